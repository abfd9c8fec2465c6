# SPDX-License-Identifier: Apache-2.0
"""Files that are damaged or gone: it is said what is wrong and what to do, and what is left of the wallet is not touched."""

import os
import shutil
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import PASSPHRASE, REFUSED, Wallet, generate


class Damage(unittest.TestCase):
        def setUp(self):
                self.w = w = Wallet()
                self.addCleanup(w.close)
                w.init()
                generate(w.path('a.csv'), '--days', 3)
                w.cli('import', w.path('a.csv'))

        def file(self, name):
                return os.path.join(self.w.state, name)

        def test_an_emptied_database_is_not_taken_for_a_new_one(self):
                w = self.w
                for name in 'records.db', 'consent.db':
                        w.stop()
                        with open(self.file(name), 'rb') as f:
                                whole = f.read()
                        os.truncate(self.file(name), 0)
                        w.start()
                        self.assertIn('Restore a backup', w.unlock(code=REFUSED).err)
                        self.assertEqual(os.path.getsize(self.file(name)), 0)
                        with open(self.file(name), 'wb') as f:
                                f.write(whole)
                        w.unlock()
                        self.assertGreater(w.json('status')['records']['cgm'], 0)

        def flip(self, name, at):
                with open(self.file(name), 'r+b') as f:
                        f.seek(at)
                        byte = f.read(1)[0]
                        f.seek(at)
                        f.write(bytes([byte ^ 1]))

        def test_a_damaged_page_is_said_and_no_backup_takes_the_place_of_a_good_one(self):
                w = self.w
                w.cli('backup', w.path('b'))
                w.stop()
                with open(w.path('b'), 'rb') as f:
                        good = f.read()
                size = os.path.getsize(self.file('records.db'))
                self.flip('records.db', size // 2 // 4096 * 4096 + 77)
                w.start()
                w.unlock()
                self.assertIn('damaged', w.cli('backup', w.path('b'), '--replace', code=REFUSED).err)
                with open(w.path('b'), 'rb') as f:
                        self.assertEqual(f.read(), good)
                self.assertIn('damaged', w.cli('export', '--format', 'ndjson', code=REFUSED).err)
                self.assertIn('damaged', w.cli('doctor', code=REFUSED).out)
                w.stop()
                self.flip('records.db', size // 2 // 4096 * 4096 + 77)
                w.start()
                w.unlock()
                w.cli('backup', w.path('b'), '--replace')
                w.stop()
                self.flip('consent.db', 2 * 4096 + 100)
                w.start()
                self.assertIn('damaged', w.unlock(code=REFUSED).err)

        def lose_keys(self, damaged):
                self.w.stop()
                for name in 'slots', 'slots.bak':
                        if damaged:
                                os.truncate(self.file(name), 100)
                        else:
                                os.unlink(self.file(name))
                self.w.start()

        def test_without_its_key_file_a_wallet_is_left_alone_and_a_backup_s_opens_it(self):
                w = self.w
                w.cli('backup', w.path('b'))
                w.cli('key', 'change', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=['quartz nimbus teapot voyage'])
                for damaged in True, False:
                        self.lose_keys(damaged)
                        sizes = [os.path.getsize(self.file(name)) for name in ('records.db', 'consent.db')]
                        for verb in ['init', '--passphrase-fd', '{}'], ['unlock', '--passphrase-fd', '{}'], ['key', 'change', '--passphrase-fd', '{}'], ['show']:
                                result = w.cli(*verb, code=REFUSED, passphrase=PASSPHRASE if '{}' in verb else None)
                                self.assertIn('doctor', result.err)
                        w.stop()
                        w.cli('restore', w.path('b'), '--state-dir', w.state, code=REFUSED)
                        w.start()
                        self.assertIn('key file', w.cli('status').out)
                        said = w.cli('doctor', code=REFUSED).out
                        self.assertIn('copy slots and', ' '.join(said.split()))
                        self.assertEqual([os.path.getsize(self.file(name)) for name in ('records.db', 'consent.db')], sizes)
                        if not damaged:
                                shutil.rmtree(w.path('new'))
                        w.cli('restore', w.path('b'), '--state-dir', w.path('new'))
                        w.stop()
                        for name in 'slots', 'slots.bak':
                                shutil.copy(os.path.join(w.path('new'), name), self.file(name))
                        w.start()
                        w.cli('unlock', '--insist', '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                        self.assertGreater(w.json('status')['records']['cgm'], 0)

        def test_what_a_destroy_left_can_be_destroyed(self):
                w = self.w
                self.lose_keys(damaged=False)
                w.stop()
                w.cli('destroy', '--yes', '--state-dir', w.state)
                self.assertEqual(os.listdir(w.state), [])

        def test_what_another_wallet_left_is_not_taken_for_the_restored_one_s(self):
                w = self.w
                w.cli('backup', w.path('b'))
                os.mkdir(w.path('new'), 0o700)
                for name in 'rotation', 'cipher-4', 'records.db.new', 'consent.db.before':
                        with open(os.path.join(w.path('new'), name), 'w') as f:
                                f.write('of another time')
                w.cli('restore', w.path('b'), '--state-dir', w.path('new'))
                self.assertEqual(sorted(os.listdir(w.path('new'))), ['consent.db', 'records.db', 'restored', 'slots', 'slots.bak'])


if __name__ == '__main__':
        unittest.main()
