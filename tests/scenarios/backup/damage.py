# SPDX-License-Identifier: Apache-2.0
"""Files that are damaged or gone: it is said what is wrong and what to do, and what is left of the wallet is not touched."""

import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import REFUSED, Wallet, generate


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


if __name__ == '__main__':
        unittest.main()
