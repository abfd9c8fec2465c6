# SPDX-License-Identifier: Apache-2.0
"""A wallet that is handed over: what opened it opens it no more, its data and, as asked, its grants stay; and no moment at which nobody can open it."""

import os
import re
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from phone import enrol
from varlink import Varlink, secret
from wallet import PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, UNREACHABLE, USAGE, Wallet, generate, wait_for

THEIRS = 'what only the one who came of age knows'
SECOND = 'quartz nimbus teapot voyage'
CODE = re.compile(r'Recovery code: (\S+)')
NEW_CODE = '000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG'


class Handover(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.old = CODE.search(self.w.recovery_output).group(1)

        def handover(self, *args, passphrase=PASSPHRASE, new=THEIRS, proof='--passphrase-fd', extra=(), **options):
                return self.w.cli('handover', '--yes', proof, '{}', '--new-passphrase-fd', '{}', *args, passphrase=passphrase, extra_passphrases=[new, *extra], **options)

        def opens(self, *args, passphrase):
                self.w.lock()
                return self.w.cli('unlock', *(args or ('--passphrase-fd', '{}')), passphrase=passphrase, code=(0, PASSPHRASE_NEEDED)).code == 0

        def opened_by(self, code):
                """Which of all secrets that there ever were open it."""
                return [name for name, opens in (
                        ('first', self.opens(passphrase=PASSPHRASE)), ('second', self.opens(passphrase=SECOND)), ('old code', self.opens('--recovery-fd', '{}', passphrase=self.old)),
                        ('new code', self.opens('--recovery-fd', '{}', passphrase=code)), ('theirs', self.opens(passphrase=THEIRS))) if opens]

        def fill(self):
                w = self.w
                generate(w.path('x.csv'), '--days', 5)
                w.cli('import', w.path('x.csv'), code=(0, 5))
                w.gate_on()
                provider = w.provider('clinic')
                return provider, w.grant('clinic', '--last', '3650d'), w.cli('export', '--format', 'ndjson').out

        def test_what_opened_it_opens_nothing_and_grants_end(self):
                w = self.w
                provider, grant, before = self.fill()
                w.cli('key', 'add', 'mother', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=[SECOND])
                phone, codes = enrol(w)
                wallet = w.json('status')['wallet_id']
                shutil.copytree(w.state, w.path('copy'), ignore=shutil.ignore_patterns('*-wal'))

                result = self.handover('--end-grants', '--code-fd', '{}', extra=[codes[0]])
                self.assertIn('handed over, and locked', result.out)
                self.assertTrue(w.is_locked())
                self.assertEqual(self.opened_by(CODE.search(result.out).group(1)), ['new code', 'theirs'])
                self.assertEqual(w.json('status')['wallet_id'], wallet)
                self.assertNotIn('codes_left', w.json('status'))
                self.assertEqual([(k['label'], k['type']) for k in w.json('key', 'list')], [('passphrase', 'passphrase'), ('recovery code', 'recovery')])
                self.assertEqual(w.cli('export', '--format', 'ndjson').out, before)
                self.assertEqual([g['state'] for g in w.json('grants')], ['revoked'])
                provider.redeem(grant, code=None)
                self.assertIn('revoked: a grant of clinic', w.cli('log').out)

                # with the slot file of before: the key that it gives is no key to these files
                w.stop()
                for name in 'slots', 'slots.bak':
                        shutil.copy(os.path.join(w.path('copy'), name), w.state)
                w.start()
                for passphrase in PASSPHRASE, SECOND:
                        self.assertIn('does not belong', w.cli('unlock', '--insist', '--passphrase-fd', '{}', passphrase=passphrase, code=REFUSED).err)

        def test_grants_go_on_when_asked_and_the_recovery_code_is_enough(self):
                provider, grant, before = self.fill()
                rows = len(provider.redeem(grant).rows)
                self.handover('--keep-grants', '--out', self.w.path('code'), passphrase=self.old, proof='--recovery-fd')
                with open(self.w.path('code')) as f:
                        self.assertEqual(self.opened_by(f.read().strip()), ['new code', 'theirs'])
                self.assertEqual(len(provider.redeem(grant).rows), rows)
                self.assertEqual(self.w.cli('export', '--format', 'ndjson').out, before)

        def test_what_cannot_be_done_changes_nothing(self):
                w = self.w
                self.assertIn('--keep-grants', self.handover(code=USAGE).err)
                self.handover('--keep-grants', '--end-grants', code=USAGE)
                self.handover('--end-grants', passphrase='wrong', code=PASSPHRASE_NEEDED)
                provider, grant, _ = self.fill()
                self.handover('--end-grants', new='password', code=REFUSED)
                with open(w.path('there'), 'w'):
                        pass
                self.handover('--keep-grants', '--out', w.path('there'), code=REFUSED)
                w.cli('handover', '--end-grants', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=[THEIRS], code=USAGE)
                provider.redeem(grant)
                self.assertEqual(self.opened_by(NEW_CODE), ['first', 'old code'])

        def test_one_that_is_interrupted_opens_as_before_and_goes_on(self):
                w = self.w
                self.fill()
                enrol(w)
                code = CODE.search(w.recovery_output).group(1)
                with Varlink(w.socket) as v:
                        reply = v.call('RotateKey', {'secretFd': 0, 'recovery': True, 'newFd': 1, 'passphraseFd': 2}, [secret(code), secret(NEW_CODE), secret(THEIRS)])
                        self.assertEqual(reply['parameters'], {'ended': ['passphrase']})
                wait_for(lambda: w.cli('status', code=None).code != UNREACHABLE, what='a fresh core')
                w.restart(signal.SIGKILL)
                w.unlock(passphrase=THEIRS, code=PASSPHRASE_NEEDED)
                self.assertIn('key list', w.unlock().err)
                self.assertEqual(self.opened_by(NEW_CODE), ['new code', 'theirs'])
                self.assertNotIn('codes_left', w.json('status'))


if __name__ == '__main__':
        unittest.main(verbosity=2)
