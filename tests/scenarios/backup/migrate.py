# SPDX-License-Identifier: Apache-2.0
"""Wallets of every schema there ever was open with all that is in them, and those of a later program are left alone."""

import json
import os
import shutil
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
DATA = os.path.join(HERE, '..', '..', 'data', 'wallets')
sys.path[:0] = [os.path.join(HERE, '..', '..', 'lib'), DATA]
from make import digest
from unseal import Unsealed
from wallet import REFUSED, Wallet


def version(path, key):
        """user_version: bytes 60-63 of a database's first page."""
        return int.from_bytes(key.pages(path)[0][60:64], 'big')


class Migrate(unittest.TestCase):
        def fixture(self, name):
                w = Wallet(start=False)
                self.addCleanup(w.close)
                for file in 'slots', 'slots.bak', 'consent.db', 'records.db':
                        shutil.copy(os.path.join(DATA, name, file), w.state)
                with open(os.path.join(DATA, name, 'expected.json')) as f:
                        return w, json.load(f)

        def test_every_fixture_opens_with_all_that_is_in_it(self):
                names = sorted(n for n in os.listdir(DATA) if os.path.isdir(os.path.join(DATA, n)) and n != '__pycache__')
                self.assertIn('1', names)
                for name in names:
                        with self.subTest(name):
                                w, expected = self.fixture(name)
                                records, before = os.path.join(w.state, 'records.db'), os.path.join(w.state, 'records.db.before')
                                key = Unsealed(w.state, w.passphrase)
                                old = version(records, key)
                                w.start()
                                w.unlock()
                                rows = w.cli('export', '--format', 'ndjson').rows
                                self.assertEqual((len(rows), digest(rows)), (expected['rows'], expected['digest']))
                                self.assertEqual(len(w.json('imports')), expected['imports'])
                                self.assertEqual([e['type'] for e in w.cli('log', '--json').rows][:len(expected['log'])], expected['log'])
                                self.assertEqual([g['provider'] for g in w.json('grants')], ['clinic'])
                                # the file that was there is kept for the program that wrote it, until all went well once more
                                self.assertEqual(os.path.exists(before), old < 3)
                                if old < 3:
                                        with open(before, 'rb') as mine, open(os.path.join(DATA, name, 'records.db'), 'rb') as f:
                                                self.assertEqual(mine.read(), f.read())
                                        self.assertEqual(os.stat(before).st_mode & 0o777, 0o600)
                                w.cli('imports', 'undo', '2', '--yes')
                                w.restart()
                                w.unlock()
                                self.assertFalse(os.path.exists(before))
                                w.stop()
                                self.assertEqual(version(records, key), 3)

        def test_without_room_for_the_copy_nothing_changes(self):
                w, expected = self.fixture('1')
                os.mkdir(os.path.join(w.state, 'records.db.before.tmp'))  # as good as a full disk
                w.start()
                self.assertIn('Make room', w.unlock(code=REFUSED).err)
                w.stop()
                self.assertEqual(version(os.path.join(w.state, 'records.db'), Unsealed(w.state, w.passphrase)), 1)
                os.rmdir(os.path.join(w.state, 'records.db.before.tmp'))
                w.start()
                w.unlock()
                self.assertEqual(len(w.cli('export', '--format', 'ndjson').rows), expected['rows'])

        def test_a_later_wallet_is_refused_and_left_as_it_is(self):
                for file in 'consent.db', 'records.db':
                        with self.subTest(file):
                                w, _ = self.fixture('1')
                                path = os.path.join(w.state, file)
                                key = Unsealed(w.state, w.passphrase)
                                pages = key.pages(path)
                                pages[0] = pages[0][:60] + (99).to_bytes(4, 'big') + pages[0][64:]
                                key.write_page(path, 1, pages[0])
                                with open(path, 'rb') as f:
                                        before = f.read()
                                w.start()
                                self.assertIn('later version', w.unlock(code=REFUSED).err)
                                w.stop()
                                with open(path, 'rb') as f:
                                        self.assertEqual(f.read(), before)


if __name__ == '__main__':
        unittest.main(verbosity=2)
