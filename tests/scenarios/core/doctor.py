# SPDX-License-Identifier: Apache-2.0
"""carewallet doctor: what is wrong is named, with what to do about it; what cannot be known is not called good."""

import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink
from wallet import CLI, DONE, PARTLY, REFUSED, UNREACHABLE, Wallet, generate, run

EXPECTED = {'daemon', 'memory', 'landlock', 'confinement', 'service', 'swap', 'disk', 'keys', 'clock', 'gate', 'contents'}


def damage(path, at, n=64):
        with open(path, 'r+b') as f:
                f.seek(at)
                old = f.read(n)
                f.seek(at)
                f.write(bytes(b ^ 0x55 for b in old))


class Doctor(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)

        def fill(self):
                self.w.init()
                generate(self.w.path('days.csv'), '--days', 30, '--end', '2025-03-14')
                self.w.cli('import', self.w.path('days.csv'), code=None)

        def look(self, *args, code=DONE):
                answer = self.w.cli('doctor', *args, '--json', code=code).json
                order = ['good', 'unknown', 'warning', 'bad']
                self.assertEqual(order.index(answer['worst']), max(order.index(c['finding']) for c in answer['checks']))
                return {c['what']: c for c in answer['checks']}

        def test_a_wallet_that_is_well(self):
                self.assertIn('init', self.look()['wallet']['next'])
                self.fill()
                found = self.look()
                self.assertEqual(set(found), EXPECTED)
                # this daemon was started by hand, and this machine may have swap
                self.assertEqual({what for what, c in found.items() if c['finding'] != 'good'} - {'service', 'swap', 'landlock', 'memory'}, set())
                self.assertIn('entries of the log are whole', found['contents']['text'])
                for line in self.w.cli('doctor').out.splitlines():
                        self.assertRegex(line, r'^(good|unknown|warning|bad) |^ +')

        def test_what_is_not_known_is_not_good(self):
                self.fill()
                stranger = run(['setsid', '--wait', CLI, 'doctor', '--json'], self.w.env).json
                self.assertEqual({c['what']: c['finding'] for c in stranger['checks']}['contents'], 'unknown')
                self.w.lock()
                found = self.look()
                self.assertEqual([found[what]['finding'] for what in ('clock', 'contents')], ['unknown', 'unknown'])
                self.assertTrue(self.w.is_locked())

        def test_a_key_file_with_one_copy_is_said_and_mended(self):
                self.fill()
                damage(os.path.join(self.w.state, 'slots'), 40)
                self.assertEqual(self.look()['keys']['finding'], 'warning')
                self.w.lock()
                self.w.unlock()
                self.assertEqual(self.look()['keys']['finding'], 'good')
                for names in (('slots',), ('slots.bak',), ('slots', 'slots.bak')):
                        for name in names:
                                damage(os.path.join(self.w.state, name), 40)
                        found = self.look(code=DONE if len(names) == 1 else REFUSED)
                        self.assertEqual(found['keys']['finding'], 'warning' if len(names) == 1 else 'bad')
                        self.assertIn('--repair', found['keys']['next'])
                        self.assertEqual(self.look('--repair')['keys']['finding'], 'good')
                        self.w.restart()
                        self.w.unlock()
                for name in ('slots', 'slots.bak'):
                        damage(os.path.join(self.w.state, name), 40)
                self.assertEqual(self.look(code=REFUSED)['keys']['finding'], 'bad')

        def test_a_damaged_page_is_found(self):
                self.fill()
                self.w.lock()  # the log goes into the file
                path = os.path.join(self.w.state, 'records.db')
                damage(path, os.path.getsize(path) // 4096 // 2 * 4096 + 1000)
                self.w.unlock()
                found = self.look(code=REFUSED)
                self.assertEqual(found['contents']['finding'], 'bad')
                self.assertIn('restore', found['contents']['next'])

        def test_what_can_be_read_of_a_damaged_wallet_is_saved(self):
                """However many pages are damaged: what is named as lost and what is exported are all."""
                self.fill()
                whole = self.w.cli('export', '--format', 'ndjson').rows
                self.assertEqual(self.w.cli('export', '--format', 'ndjson', '--salvage').rows, whole)
                self.w.lock()
                path = os.path.join(self.w.state, 'records.db')
                n_pages = os.path.getsize(path) // 4096
                for n in 1, 3, 12:
                        for i in range(n):
                                damage(path, (n_pages // 3 + (i * 37 + n) % (n_pages // 2)) * 4096 + 500)
                        self.w.unlock()
                        self.w.cli('export', '--format', 'ndjson', '--out', self.w.path('x'), code=None)
                        saved = self.w.cli('export', '--format', 'ndjson', '--salvage', code=PARTLY)
                        self.assertIn('could not be read', saved.err)
                        self.assertGreater(len(saved.rows), 0)
                        kept = {json.dumps(row, sort_keys=True) for row in saved.rows}
                        lost = [row for row in whole if json.dumps(row, sort_keys=True) not in kept]
                        self.assertEqual(len(lost) + len(saved.rows), len(whole))
                        self.assertEqual(len(kept), len(saved.rows))
                        with Varlink(self.w.socket) as v:
                                check = v.call('Check')['parameters']
                        self.assertEqual((check['whole'], sum(check['records'].values())), (False, len(saved.rows)))
                        for row in lost:
                                self.assertTrue(any(gap['kind'] == row['kind'] and gap.get('after', '') <= row['local_time'] <= gap.get('before', '9') for gap in check['lost']), row)
                        text = self.look('--repair', code=REFUSED)['contents']
                        self.assertIn(check['lost'][0]['kind'], text['text'])
                        self.assertIn('--salvage', text['next'])
                        self.w.lock()

        def test_grants_without_a_gate_are_said(self):
                self.fill()
                self.w.provider('clinic')
                self.w.grant('clinic')
                self.assertEqual(self.look()['gate']['finding'], 'warning')
                self.w.gate_on()
                self.assertEqual(self.look()['gate']['finding'], 'good')

        def test_without_a_daemon_it_says_how_to_start_it(self):
                self.w.stop()
                found = self.look(code=UNREACHABLE)
                self.assertEqual(found['daemon']['finding'], 'bad')
                self.assertIn('systemctl', found['daemon']['next'])
                self.assertEqual(found['disk']['finding'], 'good')


if __name__ == '__main__':
        unittest.main()
