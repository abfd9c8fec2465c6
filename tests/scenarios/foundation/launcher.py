# SPDX-License-Identifier: Apache-2.0
"""The launcher: starts workers, outlives cores that lock, and leaves nobody behind.

Arguments: launcher-driver, carewallet-kdf.
"""

import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

DRIVER, KDF = sys.argv[1:3]


def stat(pid):
        """Name, state and parent of a process; nothing when there is none."""
        try:
                with open(f'/proc/{pid}/stat') as f:
                        head, tail = f.read().rsplit(')', 1)
        except OSError:
                return '', 'gone', 0
        return head.split('(', 1)[1], tail.split()[0], int(tail.split()[1])


def family(pid):
        """The process and all that descend from it: by parents, because /proc/PID/exe of a locked-down process is hidden."""
        pids = [int(p) for p in os.listdir('/proc') if p.isdigit()]
        found = [pid]
        for one in found:
                found += [p for p in pids if stat(p)[2] == one]
        return found


class Launcher(unittest.TestCase):
        def setUp(self):
                self.folder = tempfile.mkdtemp(prefix='carewallet-launcher-')
                self.addCleanup(shutil.rmtree, self.folder)
                self.program = os.path.join(self.folder, 'launcher-driver')
                shutil.copy(DRIVER, self.program)
                shutil.copy(KDF, os.path.join(self.folder, 'carewallet-kdf'))
                self.state = os.path.join(self.folder, 'state')
                os.mkdir(self.state)

        def start(self, errand):
                process = subprocess.Popen([self.program, errand, self.state], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
                self.addCleanup(process.stdout.close)
                self.addCleanup(process.stderr.close)
                self.addCleanup(process.kill)
                return process

        def ready(self, process):
                """Waits for core and worker; returns the process ids of all three."""
                self.assertEqual(process.stdout.readline(), 'ready\n')
                deadline = time.monotonic() + 10
                while time.monotonic() < deadline:
                        pids = family(process.pid)
                        if [stat(pid)[0] for pid in pids if pid != process.pid and stat(pid)[0] == 'carewallet-kdf']:
                                break
                        time.sleep(0.01)
                self.assertEqual(sorted(stat(pid)[0] for pid in pids), ['carewallet-kdf', 'launcher-driver', 'launcher-driver'])
                return pids

        def assert_gone(self, pids):
                deadline = time.monotonic() + 5
                left = pids
                while left and time.monotonic() < deadline:
                        left = [pid for pid in left if stat(pid)[1] not in ('gone', 'Z', 'X')]
                        time.sleep(0.01)
                self.assertEqual(left, [])

        def test_workers_start_and_die_and_a_core_that_locks_is_followed_by_another(self):
                process = self.start('work')
                _, err = process.communicate(timeout=60)
                self.assertEqual((process.returncode, err), (7, ''))
                self.assertTrue(os.path.isdir(os.path.join(self.state, 'locked-once')))

        def test_a_launcher_that_is_killed_takes_core_and_workers_with_it(self):
                process = self.start('hang')
                pids = self.ready(process)
                process.kill()
                process.wait(10)
                self.assert_gone(pids)

        def test_each_signal_to_stop_reaches_the_core_as_sigterm(self):
                for number in signal.SIGTERM, signal.SIGINT, signal.SIGHUP:
                        process = self.start('hang')
                        pids = self.ready(process)
                        process.send_signal(number)
                        self.assertEqual(process.wait(10), 128 + signal.SIGTERM)
                        self.assertNotIn('was ended by', process.stderr.read())
                        self.assert_gone(pids)

        def test_a_core_that_does_not_stop_is_killed(self):
                process = self.start('hang-on')
                pids = self.ready(process)
                process.send_signal(signal.SIGTERM)
                self.assertEqual(process.wait(20), 128 + signal.SIGKILL)
                self.assert_gone(pids)

        def test_a_core_that_dies_ends_the_launcher_and_the_workers(self):
                process = self.start('hang')
                pids = self.ready(process)
                core = [pid for pid in pids if pid != process.pid and stat(pid)[0] == 'launcher-driver'][0]
                os.kill(core, signal.SIGKILL)
                self.assertEqual(process.wait(10), 128 + signal.SIGKILL)
                self.assertRegex(process.stderr.read(), r'core was ended by signal 9 \(Killed\).*Nothing is served any more.*start carewalletd')
                self.assert_gone(pids)

        @unittest.skipUnless(os.geteuid() == 0, 'skipped: a locked-down process shows this to root only')
        def test_a_worker_has_no_environment_and_only_its_descriptors(self):
                process = self.start('hang')
                pids = self.ready(process)
                worker = [pid for pid in pids if stat(pid)[0] == 'carewallet-kdf'][0]
                with open(f'/proc/{worker}/environ', 'rb') as f:
                        self.assertEqual(f.read(), b'')
                self.assertEqual(sorted(os.listdir(f'/proc/{worker}/fd')), ['0', '1', '2'])
                process.kill()
                process.wait(10)
                self.assert_gone(pids)


unittest.main(argv=sys.argv[:1])
