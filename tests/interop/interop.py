# SPDX-License-Identifier: Apache-2.0
"""A grant redeemed with software that is not ours: npm's jose under Node, curl with jose, curl with OpenSSL.

Needs node (18 or later) and npm with a way to its registry; skipped with the reason where these can't be had.
"""

import json
import os
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', 'lib'))
import wallet as w  # noqa: E402

WORK = os.path.join(w.BUILD, 'interop')


def install():
        """Copies the scripts to the build directory and installs what package-lock.json names beside them."""
        node = shutil.which('node')
        if not node or not shutil.which('npm'):
                w.skip('no node and npm')
        version = subprocess.run([node, '--version'], capture_output=True, text=True).stdout.strip()
        if int(version.lstrip('v').split('.')[0]) < 18:
                w.skip(f'node {version} is older than 18')
        if not shutil.which('curl') or not shutil.which('openssl'):
                w.skip('no curl and openssl')
        os.makedirs(WORK, exist_ok=True)
        for name in os.listdir(HERE):
                if name.endswith(('.mjs', '.sh', '.json')):
                        shutil.copy(os.path.join(HERE, name), WORK)
        with open(os.path.join(HERE, 'package.json')) as f:
                wanted = json.load(f)['dependencies']['jose']
        try:
                with open(os.path.join(WORK, 'node_modules', 'jose', 'package.json')) as f:
                        if json.load(f)['version'] == wanted:
                                return
        except OSError:
                pass
        npm = subprocess.run(['npm', 'ci', '--ignore-scripts', '--no-audit', '--no-fund', '--fetch-retries=1', '--fetch-timeout=20000'],
                             cwd=WORK, capture_output=True, text=True)
        if npm.returncode != 0:
                lines = [line for line in npm.stderr.splitlines() if 'npm error' in line] or ['npm ci failed']
                w.skip(f'npm packages can not be installed: {lines[0]}')


class Interop(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.wallet = w.Wallet()
                cls.addClassCleanup(cls.wallet.close)
                cls.wallet.init()
                cls.csv = cls.wallet.path('data.csv')
                w.generate(cls.csv, '--days', 12)
                cls.wallet.cli('import', cls.csv, code=(w.DONE, w.PARTLY))
                cls.wallet.gate_on()
                # a key that jose made: the wallet gets its public half only
                cls.key = cls.wallet.path('clinic.jwk.private')
                made = subprocess.run(['node', '--input-type=module', '-e', '''
                        import * as jose from 'jose'
                        const { privateKey } = await jose.generateKeyPair('EdDSA', { extractable: true })
                        console.log(JSON.stringify(await jose.exportJWK(privateKey)))'''], cwd=WORK, capture_output=True, text=True, check=True)
                jwk = json.loads(made.stdout)
                with open(cls.key, 'w') as f:
                        json.dump(jwk, f)
                public = cls.wallet.path('clinic.jwk')
                with open(public, 'w') as f:
                        json.dump({k: v for k, v in jwk.items() if k != 'd'}, f)
                cls.wallet.cli('provider', 'add', 'clinic', '--key', public)
                cls.grant = cls.wallet.grant('clinic', '--last', '5000d', '--kinds', 'cgm,bolus')
                cls.shown = [row for kind in ('cgm', 'bolus') for row in cls.wallet.cli(
                        'show', '--kind', kind, '--from', '2000-01-01', '--to', '2099-12-31', '--json').rows]

        def run_tool(self, *argv, code=0, env=None):
                run = subprocess.run(argv, cwd=WORK, capture_output=True, text=True, env={**os.environ, **(env or {})}, timeout=120)
                self.assertEqual(run.returncode, code, run.stdout + run.stderr)
                return run.stdout

        def test_jose_under_node_redeems_a_grant(self):
                got = json.loads(self.run_tool('node', 'redeem.mjs', self.grant, self.key))
                self.assertEqual((got['status'], got['type']), (200, 'DPoP'))
                self.assertGreaterEqual(got['dances'], 1, 'the gate names a nonce first')
                self.assertEqual(len(got['rows']), len(self.shown))
                self.assertGreater(len(got['rows']), 3000)
                self.assertEqual(got['csvRows'], len(got['rows']))
                self.assertEqual({row['kind'] for row in got['rows']}, {'cgm', 'bolus'})
                self.assertEqual(sorted((r['kind'], r['time'], r.get('value')) for r in got['rows'] if r['kind'] == 'cgm'),
                                 sorted((r['kind'], r['time'], r.get('value')) for r in self.shown if r['kind'] == 'cgm'))
                self.assertIn('mean', json.dumps(got['summary']))

        def test_curl_redeems_a_grant_with_proofs_of_jose_and_of_openssl(self):
                for prove in ('node prove.mjs', os.path.join(WORK, 'prove.sh')):
                        for form in ('ndjson', 'csv', 'summary'):
                                with self.subTest(prove=prove, form=form):
                                        out = self.wallet.path('curl.out')
                                        self.run_tool('./redeem.sh', self.grant, self.key, form, out, env={'PROVE': prove})
                                        with open(out) as f:
                                                lines = f.read().splitlines()
                                        if form == 'ndjson': # a head, the records, the end
                                                self.assertEqual(len(lines), len(self.shown) + 2)
                                        elif form == 'csv':
                                                self.assertEqual(len(lines), len(self.shown) + 1)
                                        else:
                                                self.assertIn('mean', lines[0])

        def test_what_must_be_refused_is_refused_with_the_right_error(self):
                seen = json.loads(self.run_tool('node', 'refusals.mjs', self.grant, self.key))
                wanted = {
                        'first request has no nonce': [400, 'use_dpop_nonce'],
                        'with it': [200, None],
                        'the same proof again': [400, 'invalid_dpop_proof'],
                        'a stranger\'s key': [400, 'invalid_dpop_proof'],
                        'a stranger\'s signature under our key': [400, 'invalid_dpop_proof'],
                        'our signature under a stranger\'s key': [400, 'invalid_dpop_proof'],
                        'ES256': [400, 'invalid_dpop_proof'],
                        'another htu': [400, 'invalid_dpop_proof'],
                        'another host in htu': [400, 'invalid_dpop_proof'],
                        'another htm': [400, 'invalid_dpop_proof'],
                        'a nonce of its own': [400, 'use_dpop_nonce'],
                        'no typ': [400, 'invalid_dpop_proof'],
                        'alg none': [400, 'invalid_dpop_proof'],
                        'alg none with a signature': [400, 'invalid_dpop_proof'],
                        'an altered grant': [400, 'invalid_grant'],
                        'a grant of another wallet': [400, 'invalid_grant'],
                        'a token as Bearer': [401, 'invalid_token'],
                        'a token with a stranger\'s proof': [401, 'invalid_dpop_proof'],
                        'a token without ath': [401, 'invalid_dpop_proof'],
                        'ath of another token': [401, 'invalid_dpop_proof'],
                        'a token that is none': [401, 'invalid_token'],
                        'a parameter that is not known': [400, 'invalid_request'],
                        'a window that is wider': [403, 'insufficient_scope'],
                        'a kind that was not granted': [403, 'insufficient_scope'],
                        'and still': [200, None],
                }
                self.assertEqual(seen, wanted)

        def test_a_revoked_grant_gets_nothing(self):
                # a wallet of its own: revoking ends all that the provider has
                other = w.Wallet()
                self.addCleanup(other.close)
                other.init()
                other.gate_on()
                public = self.wallet.path('clinic.jwk')
                other.cli('provider', 'add', 'clinic', '--key', public)
                revoked = other.grant('clinic')
                other.cli('revoke', 'clinic')
                self.assertEqual(json.loads(self.run_tool('node', 'redeem.mjs', revoked, self.key, code=1)), {'status': 400, 'error': 'invalid_grant'})


if __name__ == '__main__':
        install()
        unittest.main(verbosity=0)
