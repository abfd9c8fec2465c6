# SPDX-License-Identifier: Apache-2.0
"""Locking by itself: what counts as use and what does not, what it waits for, what is left of the wallet afterwards."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink
from wallet import LOCKED, USAGE, Wallet, generate, is_alive, wait_for

AFTER_S = 2


class Locking(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.w = w = Wallet()
                w.init()
                generate(w.path('days.csv'), '--days', 60, '--end', '2026-01-31')
                w.cli('import', w.path('days.csv'), code=None)

        @classmethod
        def tearDownClass(cls):
                cls.w.close()

        def setUp(self):
                if self.w.is_locked():
                        self.w.unlock()

        def is_locked(self):
                status = self.w.cli('status', '--json', code=None)  # in the moment of locking nobody answers
                return status.code == 0 and status.json['locked']

        def set_after(self, seconds):
                with Varlink(self.w.socket) as v:
                        return v.call('SetAutoLock', {'afterS': seconds}).get('error')

        def test_it_is_off_until_it_is_wanted(self):
                self.w.cli('lock', '--after', 'off')
                self.assertEqual(self.w.json('status')['auto_lock_s'], 0)
                self.w.cli('lock', '--after', '15min')
                self.assertEqual(self.w.json('status')['auto_lock_s'], 900)
                self.assertIn('15 minutes', self.w.cli('status').out)
                self.assertIn('lock itself after 15 minutes', self.w.cli('log').out)
                self.assertFalse(self.w.is_locked())
                for text in ('0min', '30', '8d', 'never', '15m'):
                        self.w.cli('lock', '--after', text, code=USAGE)
                for seconds, error in ((-1, True), (7 * 86400, False), (7 * 86400 + 1, True), (1 << 40, True)):
                        self.assertEqual(bool(self.set_after(seconds)), error)

        def test_what_is_not_used_is_locked_and_its_process_is_gone(self):
                before = self.w.core_pid
                self.set_after(AFTER_S)
                wait_for(lambda: not is_alive(before), what='the core ends')
                wait_for(self.is_locked, what='a locked one takes its place')
                self.w.cli('show', '--kind', 'cgm', code=LOCKED)
                self.assertIn('not used', self.w.log_text())
                # it is a setting of the wallet: it holds for the next time too
                self.w.unlock()
                self.assertEqual(self.w.json('status')['auto_lock_s'], AFTER_S)
                wait_for(self.is_locked, what='locked again')

        def test_use_keeps_it_open_and_asking_how_it_is_does_not(self):
                self.set_after(AFTER_S)
                end = time.monotonic() + 3 * AFTER_S
                while time.monotonic() < end:
                        self.w.cli('grants')
                        time.sleep(0.2)
                wait_for(self.is_locked, what='status does not keep it open')

        def test_what_providers_do_is_no_use_of_it(self):
                self.set_after(0)
                p = self.w.provider('clinic')
                self.w.gate_on()
                grant = self.w.grant('clinic', '--last', '30d')
                core = self.w.core_pid
                self.set_after(AFTER_S)
                end = time.monotonic() + 5 * AFTER_S
                while is_alive(core) and time.monotonic() < end:
                        p.redeem(grant, code=None)
                        time.sleep(0.1)
                self.assertFalse(is_alive(core))
                self.assertTrue(self.w.is_locked())

        def test_an_export_that_is_under_way_is_use(self):
                export = self.w.start_cli('export', '--format', 'ndjson')
                first = export.stdout.readline()
                self.set_after(AFTER_S)
                time.sleep(3 * AFTER_S)
                rest = export.stdout.read()
                export.communicate()
                self.assertEqual(export.returncode, 0)
                self.assertGreater(len((first + rest).splitlines()), 10000)
                wait_for(self.is_locked, what='locked afterwards')


if __name__ == '__main__':
        unittest.main()
