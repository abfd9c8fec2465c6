# SPDX-License-Identifier: Apache-2.0
"""The whole thread with the real programs: import, grant, redeem, revoke. A real export where there is one, and a synthetic one."""

import csv
import io
import json
import os
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import LOCKED, REFUSED, SHARED, UNREACHABLE, Wallet, generate

REAL = os.path.join(SHARED, 'data', 'carelink-csv', 'masked', '780G-mgdl-semicolon-7d-2025.csv')


def comparable(row):
        """A record without what a slice may not have."""
        return {k: v for k, v in row.items() if k not in ('serial', 'device', 'name', 'marker') and not k.startswith('raw_') and k not in ('extra', 'linked_meter')}


class Flow:
        """@export, @first, @last: the file and two days in it that the grant is about."""

        def thread(self, export, first, last):
                with Wallet() as w:
                        w.init()
                        report = w.json('import', export)[0]
                        self.assertGreater(report['inserted'], 500)
                        again = w.json('import', export)[0]
                        self.assertEqual((again['inserted'], again['superseded']), (0, 0))
                        self.assertEqual(again['duplicates'], report['inserted'] + report['duplicates'])

                        status = w.json('status')
                        self.assertEqual(sum(status['records'].values()), report['inserted'])
                        self.assertFalse(status['locked'])

                        # what the clinic should get: the patient's own view of the same days
                        p = w.provider('clinic')
                        w.gate_on()
                        grant = w.grant('clinic', '--from', first, '--to', last, '--kinds', 'cgm,bolus', '--detail', 'data')
                        own = w.cli('show', '--kind', 'cgm,bolus', '--from', first, '--to', last, '--json').rows
                        self.assertGreater(len(own), 250)
                        serial = own[0]['serial']

                        got = p.redeem(grant, 'ndjson')
                        head, *rows, end = got.rows
                        self.assertIn('not for dosing', json.dumps(head).lower())
                        self.assertEqual(end['end']['rows'], len(own))
                        self.assertEqual([comparable(r) for r in rows], [comparable(r) for r in own])
                        self.assertNotIn(serial, got.out)
                        self.assertEqual({r['kind'] for r in rows}, {'cgm', 'bolus'})
                        self.assertEqual(len({r['serial'] for r in rows}), 1)
                        self.assertTrue(all(first <= r['local_time'][:10] <= last for r in rows))

                        # the same in CSV
                        table = list(csv.DictReader(io.StringIO(p.redeem(grant, 'csv').out)))
                        self.assertEqual([(r['kind'], r['time'], r['value']) for r in table],
                                         [(r['kind'], r['time'], str(r['value']) if r.get('value') is not None else '') for r in rows])

                        # narrower is possible, wider is not
                        day = p.redeem(grant, 'ndjson', args=['--from', last, '--to', last, '--kinds', 'bolus'])
                        self.assertEqual([comparable(r) for r in day.rows[1:-1]], [comparable(r) for r in own if r['kind'] == 'bolus' and r['local_time'][:10] == last])
                        refused = p.redeem(grant, 'ndjson', args=['--kinds', 'carbs'], code=REFUSED)
                        self.assertEqual(refused.out, '')

                        # the preview is what left
                        preview = w.cli('preview', 'clinic', '--format', 'ndjson').rows
                        self.assertEqual(preview[1:-1], rows)

                        # another clinic has other stand-ins for the serial
                        q = w.provider('other')
                        theirs = q.redeem(w.grant('other', '--from', first, '--to', last, '--kinds', 'cgm'), 'ndjson').rows[1]
                        self.assertNotEqual(theirs['serial'], rows[0]['serial'])
                        q.redeem(grant, 'ndjson', code=REFUSED)  # the grant is bound to the other's key

                        # ended
                        self.assertEqual(w.cli('revoke', 'clinic').code, 0)
                        self.assertEqual(p.redeem(grant, 'ndjson', code=REFUSED).out, '')
                        states = {g['provider']: g['state'] for g in w.json('grants')}
                        self.assertEqual(states, {'clinic': 'revoked', 'other': 'active'})
                        q.redeem(w.grant('other'), 'ndjson')

                        log = [entry['type'] for entry in w.cli('log', '--json').rows]
                        for kind in ('wallet-created', 'import', 'provider-added', 'gate-on', 'grant-issued', 'redeemed', 'release-begun', 'release-ended', 'refused', 'revoked'):
                                self.assertIn(kind, log)
                        self.assertEqual(log.count('release-begun'), log.count('release-ended'))

                        # locked, nothing is shown or served; unlocked, all is as it was, the gate too
                        before = w.cli('export', '--format', 'ndjson').out
                        w.lock()
                        self.assertEqual(w.cli('show', '--kind', 'cgm', code=None).code, LOCKED)
                        self.assertNotEqual(q.redeem(grant, 'ndjson', code=None).code, 0)
                        w.unlock()
                        self.assertEqual(w.cli('export', '--format', 'ndjson').out, before)
                        p.redeem(grant, 'ndjson', code=REFUSED)

                        # and the same after the daemon was killed
                        w.kill()
                        self.assertEqual(w.cli('status', code=None).code, UNREACHABLE)
                        w.start()
                        w.unlock()
                        self.assertEqual(w.cli('export', '--format', 'ndjson').out, before)
                        p.redeem(grant, 'ndjson', code=REFUSED)
                        self.assertEqual([e['type'] for e in w.cli('log', '--json').rows][:len(log)], log)


class Synthetic(Flow, unittest.TestCase):
        def test_the_whole_thread(self):
                with Wallet(start=False) as files:
                        generate(files.path('export.csv'), '--days', 10, '--end', '2026-03-20')
                        self.thread(files.path('export.csv'), '2026-03-15', '2026-03-16')


@unittest.skipUnless(os.path.exists(REAL), 'no reference data (CAREWALLET_SHARED)')
class Real(Flow, unittest.TestCase):
        def test_the_whole_thread(self):
                self.thread(REAL, '2025-11-01', '2025-11-02')


if __name__ == '__main__':
        unittest.main()
