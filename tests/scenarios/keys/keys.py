# SPDX-License-Identifier: Apache-2.0
"""What opens the wallet: several passphrases, changed, removed; the recovery code; old slot files; limits."""

import os
import re
import shutil
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink, secret
from wallet import LOCKED, PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, USAGE, Wallet

SECOND, THIRD = 'quartz nimbus teapot voyage', 'lantern ocelot gravel syntax'
CODE = re.compile(r'Recovery code: (\S+)')


def new(w, *args, passphrase=PASSPHRASE, fresh=SECOND, **options):
        return w.cli('key', *args, '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=passphrase, extra_passphrases=[fresh], **options)


def labels(w):
        return [key['label'] for key in w.json('key', 'list')]


def opens(w, *args, passphrase):
        """Whether a secret opens the locked wallet."""
        w.lock()
        return w.cli('unlock', *(args or ('--passphrase-fd', '{}')), passphrase=passphrase, code=(0, PASSPHRASE_NEEDED)).code == 0


class Keys(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.code = CODE.search(self.w.recovery_output).group(1)

        def test_a_second_passphrase_opens_the_wallet_until_it_is_removed(self):
                w = self.w
                new(w, 'add', 'mother')
                self.assertEqual(labels(w), ['passphrase', 'recovery code', 'mother'])
                self.assertIn('already', new(w, 'add', 'mother', fresh=THIRD, code=REFUSED).err)
                self.assertTrue(opens(w, passphrase=SECOND))
                self.assertTrue(opens(w, passphrase=PASSPHRASE))
                w.cli('key', 'remove', 'mother', '--yes', '--passphrase-fd', '{}', passphrase=SECOND)  # by herself
                self.assertFalse(opens(w, passphrase=SECOND))
                w.unlock()
                self.assertEqual(labels(w), ['passphrase', 'recovery code'])
                entries = [entry for entry in w.cli('log', '--json').rows if entry['type'].startswith('key-')]
                self.assertEqual([(entry['type'], entry['label']) for entry in entries], [('key-added', 'mother'), ('key-removed', 'mother')])

        def test_a_changed_passphrase_takes_the_place_of_the_old_one(self):
                w = self.w
                new(w, 'change')
                self.assertEqual(labels(w), ['passphrase', 'recovery code'])
                self.assertFalse(opens(w, passphrase=PASSPHRASE))
                self.assertTrue(opens(w, passphrase=SECOND))
                # of several it is the one that was given, unless one is named
                new(w, 'add', 'mother', passphrase=SECOND, fresh=THIRD)
                new(w, 'change', passphrase=THIRD, fresh='dapple fjord wicker bronze')
                new(w, 'change', 'passphrase', passphrase='dapple fjord wicker bronze', fresh=PASSPHRASE)
                self.assertFalse(opens(w, passphrase=SECOND))
                self.assertFalse(opens(w, passphrase=THIRD))
                self.assertTrue(opens(w, passphrase=PASSPHRASE))
                self.assertIn('key list', new(w, 'change', 'nobody', code=REFUSED).err)
                self.assertIn('another kind', new(w, 'change', 'recovery code', code=REFUSED).err)

        def test_a_wrong_passphrase_changes_nothing(self):
                w = self.w
                for args in ('add', 'x'), ('change',):
                        new(w, *args, passphrase='wrong', code=PASSPHRASE_NEEDED)
                w.cli('key', 'remove', 'recovery code', '--yes', '--passphrase-fd', '{}', passphrase='wrong', code=PASSPHRASE_NEEDED)
                w.cli('key', 'recovery', '--yes', '--passphrase-fd', '{}', passphrase='wrong', code=PASSPHRASE_NEEDED)
                self.assertEqual(labels(w), ['passphrase', 'recovery code'])
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=self.code))

        def test_the_last_passphrase_stays_and_the_recovery_code_need_not(self):
                w = self.w
                self.assertIn('last passphrase', w.cli('key', 'remove', 'passphrase', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)
                w.cli('key', 'remove', 'recovery code', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                self.assertFalse(opens(w, '--recovery-fd', '{}', passphrase=self.code))
                self.assertTrue(opens(w, passphrase=PASSPHRASE))
                again = CODE.search(w.cli('key', 'recovery', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE).out).group(1)
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=again))
                self.assertIn('--yes', w.cli('key', 'remove', 'recovery code', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=USAGE).err)

        def test_a_new_recovery_code_ends_the_old_one(self):
                w = self.w
                path = w.path('code')
                w.cli('key', 'recovery', '--yes', '--out', path, '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                with open(path) as f:
                        code = f.read().strip()
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
                self.assertFalse(opens(w, '--recovery-fd', '{}', passphrase=self.code))
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=code))
                # a file in the way, or a failure, leaves the code as it is
                self.assertIn('still', w.cli('key', 'recovery', '--yes', '--out', path, '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)
                w.cli('key', 'recovery', '--yes', '--out', w.path('other'), '--passphrase-fd', '{}', passphrase='wrong', code=PASSPHRASE_NEEDED)
                self.assertFalse(os.path.exists(w.path('other')))
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=code))

        def test_a_lost_passphrase_is_replaced_with_the_recovery_code(self):
                w = self.w
                w.lock()
                w.cli('key', 'change', '--recovery-fd', '{}', '--new-passphrase-fd', '{}', passphrase=self.code, extra_passphrases=[SECOND])
                self.assertFalse(w.is_locked())
                self.assertTrue(opens(w, passphrase=SECOND))
                self.assertFalse(opens(w, passphrase=PASSPHRASE))
                self.assertTrue(opens(w, '--recovery-fd', '{}', passphrase=self.code), 'it stays')

        def test_a_weak_passphrase_needs_a_word_more(self):
                w = self.w
                for args in ('add', 'x'), ('change',):
                        result = new(w, *args, fresh='password1', code=REFUSED)
                        self.assertRegex(result.err, r'weak.*guess')
                        self.assertIn('--weak-anyway', result.err)
                new(w, 'add', 'x', '--weak-anyway', fresh='password1')
                self.assertTrue(opens(w, passphrase='password1'))
                with Wallet() as other:
                        other.passphrase = 'diabetes'
                        self.assertIn('weak', other.init(code=REFUSED).err)
                        self.assertFalse(other.json('status')['initialized'])
                        other.init('--weak-anyway')

        def test_eight_keys_are_the_most(self):
                w = self.w
                with Varlink(w.socket) as v:
                        def add(label, **more):
                                return v.call('AddKey', {'secretFd': 0, 'newFd': 1, 'type': 'credential', 'label': label, **more},
                                              [secret(PASSPHRASE), secret('x' * 32)])
                        for i in range(6):
                                self.assertNotIn('error', add(f'machine {i}'))
                        self.assertIn('eight', add('one too many')['parameters']['reason'])
                        self.assertNotIn('error', add('machine 3', replace=True))
                        self.assertEqual(add('x' * 65)['error'], 'org.varlink.service.InvalidParameter')
                        self.assertEqual(add('two\nlines')['error'], 'org.varlink.service.InvalidParameter')
                        short = v.call('AddKey', {'secretFd': 0, 'newFd': 1, 'type': 'credential', 'label': 'machine 3', 'replace': True},
                                       [secret(PASSPHRASE), secret('x' * 31)])
                        self.assertIn('32', short['parameters']['reason'])
                self.assertEqual(len(labels(w)), 8)
                w.restart()
                w.unlock()
                self.assertEqual(len(labels(w)), 8)

        def test_an_old_slot_file_is_refused_unless_the_patient_insists(self):
                w = self.w
                for name in 'slots', 'slots.bak':
                        shutil.copy(os.path.join(w.state, name), w.path(name))
                new(w, 'change')
                w.stop()
                for name in 'slots', 'slots.bak':
                        shutil.copy(w.path(name), os.path.join(w.state, name))
                w.start()
                self.assertIn('older', w.unlock(code=REFUSED).err)
                w.unlock(passphrase=SECOND, code=PASSPHRASE_NEEDED)
                w.cli('unlock', '--insist', '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                w.restart()
                w.unlock()  # said once: from then on it is the newest

        def test_limits_of_argon2_are_checked_before_they_are_used(self):
                """A file with a right checksum, which anybody can make, and costs beyond the limits: it is damaged, not tried."""
                import hashlib
                w = self.w
                w.stop()
                with open(os.path.join(w.state, 'slots'), 'rb') as f:
                        good = bytearray(f.read())
                for at, kind, value in (76, '<I', 65), (76, '<I', 0), (76, '<I', 0xffffffff), (80, '<Q', (4 << 30) + 1), (80, '<Q', 8191), (80, '<Q', (1 << 64) - 1):
                        bad = bytearray(good)
                        struct.pack_into(kind, bad, at, value)
                        bad[-16:] = hashlib.blake2b(bytes(bad[:-16]), digest_size=16).digest()
                        for name in 'slots', 'slots.bak':
                                with open(os.path.join(w.state, name), 'wb') as f:
                                        f.write(bad)
                        with self.subTest((at, value)):
                                w.start()
                                self.assertIn('doctor', w.unlock(code=REFUSED).err)
                                w.stop()
                for value in 64,:  # at the limit it is tried, and is not this wallet's
                        bad = bytearray(good)
                        struct.pack_into('<I', bad, 76, value)
                        struct.pack_into('<Q', bad, 80, 8192)
                        bad[-16:] = hashlib.blake2b(bytes(bad[:-16]), digest_size=16).digest()
                        for name in 'slots', 'slots.bak':
                                with open(os.path.join(w.state, name), 'wb') as f:
                                        f.write(bad)
                        w.start()
                        w.unlock(code=PASSPHRASE_NEEDED)

        def test_on_a_locked_wallet_nothing_is_listed(self):
                self.w.lock()
                self.w.cli('key', 'list', code=LOCKED)


if __name__ == '__main__':
        unittest.main()
