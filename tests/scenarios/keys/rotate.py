# SPDX-License-Identifier: Apache-2.0
"""A new root key: the same data and grants under new keys, old keys open nothing. (Power cuts on the way: backup/faults.py.)"""

import os
import re
import shutil
import signal
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from phone import enrol
from varlink import Varlink, secret
from wallet import BUILD, PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, UNREACHABLE, Wallet, generate, wait_for

SECOND = 'quartz nimbus teapot voyage'
CODE = re.compile(r'Recovery code: (\S+)')
KILL_AT = os.path.join(BUILD, 'tests', 'scenarios', 'keys', 'libkill-at.so')


def rotate(w, *args, passphrase=PASSPHRASE, **options):
        return w.cli('key', 'rotate', '--yes', '--passphrase-fd', '{}', *args, passphrase=passphrase, **options)


def opens(w, *args, passphrase):
        w.lock()
        return w.cli('unlock', *(args or ('--passphrase-fd', '{}')), passphrase=passphrase, code=(0, PASSPHRASE_NEEDED)).code == 0


class Rotate(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.old = CODE.search(self.w.recovery_output).group(1)

        def fill(self, days=20):
                generate(self.w.path('x.csv'), '--days', days)
                self.w.cli('import', self.w.path('x.csv'), code=(0, 5))

        def everything(self):
                return self.w.cli('export', '--format', 'ndjson').out

        def test_everything_is_there_under_new_keys_and_old_ones_open_nothing(self):
                w = self.w
                self.fill()
                provider = w.provider('clinic')
                w.gate_on()
                grant = w.grant('clinic', '--last', '3650d')
                before, slice = self.everything(), provider.redeem(grant).rows
                log = w.cli('log', '--json').rows
                w.cli('key', 'add', 'mother', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=[SECOND])
                os.mkdir(w.path('stolen'))
                for name in 'slots', 'slots.bak':
                        shutil.copy(os.path.join(w.state, name), w.path('stolen'))
                with open(os.path.join(w.state, 'consent.db'), 'rb') as f:
                        old_header = f.read(16)

                result = rotate(w)
                self.assertIn('mother', result.out)
                self.assertNotIn('older', result.err)
                code = CODE.search(result.out).group(1)
                self.assertFalse(w.is_locked())
                self.assertEqual([key['label'] for key in w.json('key', 'list')], ['passphrase', 'recovery code'])
                self.assertEqual(self.everything(), before)
                after = w.cli('log', '--json').rows
                self.assertEqual(after[:len(log)], log)
                self.assertEqual([e['state'] for e in after if e['type'] == 'keys-rotated'], ['done'])
                self.assertEqual(len(provider.redeem(grant).rows), len(slice), 'grants go on')
                self.assertNotIn('older', w.cli('status').err, 'it is the same wallet to whoever knew it')

                with open(os.path.join(w.state, 'consent.db'), 'rb') as f:
                        self.assertNotEqual(f.read(16), old_header)
                self.assertFalse([name for name in os.listdir(w.state) if 'new' in name or 'rotation' in name or 'before' in name])
                for args, passphrase, does in ((), SECOND, False), (('--recovery-fd', '{}'), self.old, False), (('--recovery-fd', '{}'), code, True), ((), PASSPHRASE, True):
                        self.assertEqual(opens(w, *args, passphrase=passphrase), does)
                # with the old slot file the passphrases give the old key, which is no key to these files
                w.stop()
                for name in 'slots', 'slots.bak':
                        shutil.copy(os.path.join(w.path('stolen'), name), w.state)
                w.start()
                for passphrase in PASSPHRASE, SECOND:
                        self.assertIn('does not belong', w.cli('unlock', '--insist', '--passphrase-fd', '{}', passphrase=passphrase, code=REFUSED).err)

        def test_a_second_rotation_keeps_grants_and_codes_of_the_phone_and_ends_them_if_asked(self):
                w = self.w
                provider = w.provider('clinic')
                w.gate_on()
                self.fill(5)
                grant = w.grant('clinic', '--last', '3650d')
                phone, codes = enrol(w)
                rotate(w, code=PASSPHRASE_NEEDED)
                rotate(w, '--code-fd', '{}', '--out', w.path('code'), extra_passphrases=[codes[0]])
                rotate(w, '--code-fd', '{}', '--pdf', w.path('kit.pdf'), extra_passphrases=[codes[1]])
                self.assertEqual(w.json('status')['codes_left'], 8)
                provider.redeem(grant)
                with open(w.path('code')) as f:
                        self.assertFalse(opens(w, '--recovery-fd', '{}', passphrase=f.read()))
                w.unlock()
                rotate(w, '--end-grants', '--code-fd', '{}', extra_passphrases=[codes[2]])
                self.assertEqual([g['state'] for g in w.json('grants')], ['revoked'])
                provider.redeem(grant, code=None)

        def test_what_cannot_be_done_changes_nothing(self):
                w = self.w
                result = rotate(w, '--pdf', w.path('kit.pdf'), passphrase='wrong', code=PASSPHRASE_NEEDED)
                self.assertNotIn('goes on', result.err)
                self.assertFalse(os.path.exists(w.path('kit.pdf')))  # nobody prints a code that never counts
                with open(w.path('there'), 'w'):
                        pass
                rotate(w, '--out', w.path('there'), code=REFUSED)
                self.assertIn('passphrase', w.cli('key', 'rotate', '--yes', '--recovery-fd', '{}', passphrase=self.old, code=REFUSED).err)
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=self.old))

        def test_who_saw_no_new_code_is_told(self):
                """A power cut: the terminal with the new recovery code, or the warning of it, is gone."""
                w = self.w
                with Varlink(w.socket) as v:
                        self.assertNotIn('error', v.call('RotateKey', {'secretFd': 0, 'newFd': 1}, [secret(PASSPHRASE), secret('000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG')]))
                wait_for(lambda: w.cli('status', code=None).code != UNREACHABLE, what='a fresh core')
                w.restart(signal.SIGKILL)
                self.assertIn('carewallet key recovery', w.unlock().err)
                self.assertTrue(opens(w, '--passphrase-fd', '{}', passphrase=PASSPHRASE))
                w.lock()
                self.assertNotIn('key recovery', w.unlock().err)

        def test_a_code_that_may_count_is_not_deleted(self):
                """The core ends between the plan and its answer."""
                if not os.path.exists(KILL_AT):
                        self.skipTest('no ' + KILL_AT)
                w = self.w
                for at in range(10, 40):
                        w.stop()
                        w.daemon_env.update(LD_PRELOAD=KILL_AT, KILL_AT=str(at))
                        w.start()
                        w.unlock()
                        rotate(w, '--out', w.path('code'), code=UNREACHABLE)
                        if os.path.exists(os.path.join(w.state, 'rotation')):
                                break
                        os.unlink(w.path('code'))
                del w.daemon_env['LD_PRELOAD'], w.daemon_env['KILL_AT']
                w.restart()
                self.assertIn('change of the keys', w.unlock().err)
                with open(w.path('code')) as f:
                        self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=f.read().strip()))

        def test_revocations_of_the_meantime_count(self):
                """What was sealed to the wallet before, by a command line that knew no better, opens after."""
                w = self.w
                w.provider('clinic')
                w.grant('clinic')
                with Varlink(w.socket) as v:
                        self.assertNotIn('error', v.call('RotateKey', {'secretFd': 0, 'newFd': 1}, [secret(PASSPHRASE), secret(self.old)]))
                wait_for(lambda: w.cli('status', code=None).code != UNREACHABLE, what='a fresh core')
                self.assertTrue(w.is_locked())
                w.cli('revoke', 'clinic')
                replies = None
                with Varlink(w.socket) as v:
                        replies = v.calls('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)])
                self.assertEqual(replies[-1]['parameters'], {'applied': 1, 'unknown': [], 'rotation': 'done', 'keysChanged': True})
                self.assertEqual([g['state'] for g in w.json('grants')], ['revoked'])

        def test_a_full_disk_gives_it_up_and_opens_what_was(self):
                """A copy that can't be written: a folder is in its way."""
                w = self.w
                self.fill(3)
                before = self.everything()
                with Varlink(w.socket) as v:
                        self.assertNotIn('error', v.call('RotateKey', {'secretFd': 0, 'newFd': 1}, [secret(PASSPHRASE), secret(self.old)]))
                wait_for(lambda: w.cli('status', code=None).code != UNREACHABLE, what='a fresh core')
                os.mkdir(os.path.join(w.state, 'records.db.new'))
                with Varlink(w.socket) as v:
                        reply = v.calls('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)])[-1]
                self.assertTrue(reply['parameters']['rotation'].startswith('given up'), reply)
                os.rmdir(os.path.join(w.state, 'records.db.new'))
                self.assertEqual(self.everything(), before)
                rotate(w)
                self.assertEqual(self.everything(), before)


if __name__ == '__main__':
        unittest.main()
