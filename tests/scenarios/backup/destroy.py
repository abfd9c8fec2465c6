# SPDX-License-Identifier: Apache-2.0
"""Destroy: nothing is left that opens, and nothing of what others put there is touched."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink
from wallet import LOCKED, PASSPHRASE_NEEDED, REFUSED, USAGE, Wallet, generate, is_alive, wait_for


class Destroy(unittest.TestCase):
        def setUp(self):
                self.w = w = Wallet()
                self.addCleanup(w.close)
                w.init()
                generate(w.path('a.csv'), '--days', 3)
                w.cli('import', w.path('a.csv'))
                with open(os.path.join(w.state, 'mine.txt'), 'w') as f:
                        f.write('a note')
                self.slots = [os.open(os.path.join(w.state, name), os.O_RDONLY) for name in ('slots', 'slots.bak')]
                self.before = [os.pread(fd, 4096, 0) for fd in self.slots]
                self.addCleanup(lambda: [os.close(fd) for fd in self.slots])

        def assert_gone(self):
                self.assertEqual([n for n in os.listdir(self.w.state) if n != 'spool'], ['mine.txt'])
                for fd, before in zip(self.slots, self.before):
                        now = os.pread(fd, 4096, 0)  # the file itself, though it has no name any more
                        self.assertEqual(len(now), len(before))
                        self.assertFalse(any(before[i:i + 16] in now for i in range(0, len(before) - 16, 4) if before[i:i + 16] != bytes(16)))

        def test_an_open_wallet(self):
                w = self.w
                core = w.core_pid
                self.assertIn('--yes', w.cli('destroy', code=USAGE).err)
                with Varlink(w.socket) as v:
                        self.assertEqual(v.call('Destroy', {'walletId': 'AAAA'})['error'], 'org.carewallet.Refused')
                self.assertFalse(w.is_locked())
                w.cli('destroy', '--yes')
                wait_for(lambda: not is_alive(core), what='the core ends')
                self.assert_gone()
                self.assertFalse(w.json('status')['initialized'])
                w.init()  # and there is room for another
                self.assertEqual(sum(w.json('status')['records'].values()), 0)

        def test_a_locked_wallet_by_its_passphrase(self):
                w = self.w
                w.lock()
                result = w.cli('destroy', '--yes', code=LOCKED)
                self.assertIn('--state-dir', result.err)
                w.cli('destroy', '--yes', '--passphrase-fd', '{}', passphrase='not it', code=PASSPHRASE_NEEDED)
                self.assertTrue(w.json('status')['initialized'])
                w.cli('destroy', '--yes', '--passphrase-fd', '{}', passphrase=w.passphrase)
                self.assert_gone()

        def test_without_passphrase_by_who_owns_the_files(self):
                w = self.w
                w.lock()
                self.assertIn('Stop', w.cli('destroy', '--yes', '--state-dir', w.state, code=REFUSED).err.replace('stop', 'Stop'))
                w.kill()
                w.cli('destroy', '--state-dir', w.state, code=USAGE)
                w.cli('destroy', '--yes', '--state-dir', w.state)
                self.assert_gone()
                self.assertIn('no wallet', w.cli('destroy', '--yes', '--state-dir', w.state, code=REFUSED).err)
                w.start()
                self.assertFalse(w.json('status')['initialized'])


if __name__ == '__main__':
        unittest.main(verbosity=2)
