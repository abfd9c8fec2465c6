# SPDX-License-Identifier: Apache-2.0
"""./dev demo comes to its end, shows what it promises, and leaves nothing behind."""

import glob
import os
import re
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
import wallet  # noqa: E402


class Demo(unittest.TestCase):
        def test_the_demo_ends_well_and_leaves_nothing_behind(self):
                run = subprocess.run(['bash', os.path.join(HERE, 'demo.sh')], env={**os.environ, 'CAREWALLET_BUILD': wallet.BUILD},
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
                self.assertEqual(run.returncode, 0, run.stdout)
                self.assertRegex(run.stdout.splitlines()[-1], r'^Done in \d+ s: \d+ steps, and nothing is left behind\.$')
                self.assertIn('"end":{', run.stdout.replace(' ', ''))
                folder = re.search(r'/tmp/carewallet-demo\.\w+', run.stdout).group()
                self.assertFalse(os.path.exists(folder))
                for path in glob.glob('/proc/[0-9]*/cmdline'):
                        try:
                                with open(path, 'rb') as f:
                                        self.assertNotIn(folder.encode(), f.read())
                        except OSError:
                                pass


if __name__ == '__main__':
        unittest.main()
