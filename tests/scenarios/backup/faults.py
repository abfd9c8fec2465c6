# SPDX-License-Identifier: Apache-2.0
"""Power cuts, full and broken disks at every kind of write: what was acknowledged is there, and nothing is half.

A library between carewalletd and the kernel counts what its core does to files while it works on something, and then does it
again and again with a fault at another place. CAREWALLET_FAULT_POINTS says at how many places (default: 5 of each kind; 0: all).
"""

import hashlib
import mmap
import os
import re
import shutil
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import BUILD, Wallet, generate, skip

LIBRARY = os.path.join(BUILD, 'tests', 'simulators', 'libfaults.so')
POINTS = int(os.environ.get('CAREWALLET_FAULT_POINTS', '5'))
OFF, COUNT, KILL, FULL, BROKEN, KILL_HALF = range(6)


class Faulty(Wallet):
        """A wallet whose daemon can be hit. Opened by the recovery code, which takes no second."""

        def __init__(self):
                super().__init__(start=False)
                path = self.path('faults')
                with open(path, 'wb') as f:
                        f.write(bytes(4096))
                with open(path, 'r+b') as f:
                        self.shared = mmap.mmap(f.fileno(), 4096)
                self.daemon_env.update(LD_PRELOAD=LIBRARY, CAREWALLET_FAULTS=path)

        def arm(self, mode, n_left=0):
                self.shared[:24] = struct.pack('<3q', mode, n_left, 0)

        def disarm(self):
                n = struct.unpack('<q', self.shared[16:24])[0]
                self.arm(OFF)
                return n

        def open(self, state):
                if self.process:
                        self.kill()
                shutil.rmtree(self.state)
                shutil.copytree(state, self.state)
                shutil.rmtree(self.home)
                os.mkdir(self.home)
                self.start()
                self.open_again()

        def open_again(self):
                self.cli('unlock', '--recovery-fd', '{}', passphrase=self.code)

        def fingerprint(self):
                """All that the patient can see, but for the times in it."""
                rows = self.cli('show', '--all', '--json').out
                grants = sorted((g['id'], g['state']) for g in self.json('grants'))
                imports = [i['file'] for i in self.json('imports')]
                return hashlib.sha256(rows.encode()).hexdigest(), repr(grants), repr(imports), rows.count('\n')


class Faults(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                if not os.path.exists(LIBRARY):
                        skip('no fault library in this build')
                cls.w = w = Faulty()
                cls.addClassCleanup(w.close)
                w.start()
                w.init()
                w.code = re.search(r'\w{5}(-\w{5}){7}', w.recovery_output).group()
                generate(w.path('a.csv'), '--days', 3, '--end', '2026-03-20', '--seed', 1)
                generate(w.path('b.csv'), '--days', 3, '--end', '2026-03-25', '--seed', 2)
                w.cli('import', w.path('a.csv'))
                w.provider('clinic')
                w.grant('clinic', '--from', '2026-03-18', '--to', '2026-03-20')
                w.stop()
                shutil.copytree(w.state, w.path('base'))
                cls.n_points = {}

        def places(self, n):
                if POINTS == 0 or n <= POINTS:
                        return range(n)
                return sorted({round(i * (n - 1) / (POINTS - 1)) for i in range(POINTS)})

        def run_at_all_places(self, name, work, between=None, extra=None, may_forget=False):
                """@work(): the exit code; @between(f): whether a state that is neither before nor after is allowed where nothing was acknowledged;
                @may_forget: what is refused may hold for as long as the daemon runs"""
                w = self.w
                w.open(w.path('base'))
                before = w.fingerprint()
                w.arm(COUNT)
                self.assertEqual(work(), 0)
                n = w.disarm()
                after = w.fingerprint()
                self.n_points[name] = n
                self.assertGreater(n, 3, 'nothing was written')
                for mode in KILL, KILL_HALF, FULL, BROKEN:
                        for at in self.places(n):
                                with self.subTest(name, mode=mode, at=at):
                                        w.open(w.path('base'))
                                        w.arm(mode, at)
                                        code = work()
                                        w.disarm()
                                        if mode in (FULL, BROKEN):  # the disk is well again, and the daemon was never away
                                                self.assertIsNotNone(w.json('status')['version'])
                                                if w.is_locked():
                                                        w.open_again()
                                        else:
                                                w.kill()
                                                w.start()
                                                w.open_again()
                                        now = w.fingerprint()
                                        if code == 0:
                                                self.assertEqual(now, after, 'it was acknowledged')
                                        elif now not in (before, after):
                                                self.assertTrue(between and between(now, before, after), f'{now} is neither before nor after')
                                        if mode in (FULL, BROKEN):  # and what is on the disk is what it shows
                                                w.restart()
                                                w.open_again()
                                                again = w.fingerprint()
                                                self.assertIn(again, (after,) if code == 0 else (now, before) if may_forget else (now,))
                                        if extra:
                                                extra()
                                        self.assertTrue(all(e['type'] for e in w.cli('log', '--json').rows))
                print(f'{name}: {n} writes, {4 * len(self.places(n))} faults')

        def cli(self, *args):
                return lambda: self.w.cli(*args, code=None, timeout_s=60).code

        def test_import(self):
                self.run_at_all_places('import', self.cli('import', self.w.path('b.csv')))

        def test_grant(self):
                w = self.w

                def grant():
                        out = w.path('g.grant')
                        if os.path.exists(out):
                                os.unlink(out)
                        return w.cli('grant', 'clinic', '--preset', 'visit', '--yes', '--out', out, code=None).code

                # a grant is another one each time
                def kinds(f):
                        return f[0], len(eval(f[1])), f[2:]
                original = w.fingerprint
                w.fingerprint = lambda: kinds(original())
                try:
                        self.run_at_all_places('grant', grant)
                finally:
                        del w.fingerprint

        def test_revoke(self):
                """Where the disk takes nothing it is dead in memory, and said not to be durable: asked again it is."""
                w = self.w

                def revoke():
                        result = w.cli('revoke', 'clinic', code=None)
                        return 0 if result.code == 0 and 'not on the disk' not in result.err else 1
                self.run_at_all_places('revoke', revoke, may_forget=True)

        def test_backup(self):
                w = self.w
                path = w.path('x.backup')

                def backup():
                        if os.path.exists(path):
                                os.unlink(path)
                        return w.cli('backup', path, code=None).code

                def whole():
                        if os.path.exists(path):
                                w.cli('backup', 'verify', path)
                self.run_at_all_places('backup', backup, extra=whole)

        def test_forget(self):
                w = self.w
                forget = self.cli('forget', '--from', '2026-03-19', '--to', '2026-03-20', '--yes')

                def fewer(now, before, after):
                        return now[1:3] == before[1:3] and after[3] <= now[3] <= before[3]

                def again():
                        self.assertEqual(forget(), 0)
                self.run_at_all_places('forget', forget, between=fewer, extra=again)


if __name__ == '__main__':
        unittest.main(verbosity=2)
