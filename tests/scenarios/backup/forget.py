# SPDX-License-Identifier: Apache-2.0
"""Forget: what was forgotten is in no page, log, free page or report of the state directory, and all else is as it was."""

import os
import sys
import unittest
from datetime import datetime, timezone

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from unseal import Unsealed
from wallet import REFUSED, USAGE, Wallet, generate


def key(row):
        return row['kind'], row['local_time'], row.get('value'), row.get('serial')


def ms(text):
        """As SQLite stores a time: six bytes, the highest first."""
        return int(datetime.fromisoformat(text.rstrip('Z')).replace(tzinfo=timezone.utc).timestamp() * 1000).to_bytes(6, 'big')


def needles(gone, kept):
        """Device times by which single records can be found, and no other one's time by either clock."""
        return {ms(r['local_time']) for r in gone} - {ms(r[name]) for r in kept for name in ('local_time', 'time')}


class Forget(unittest.TestCase):
        def setUp(self):
                self.w = w = Wallet()
                self.addCleanup(w.close)
                w.init()

        def rows(self):
                return self.w.cli('export', '--format', 'ndjson').rows

        def assert_nowhere(self, times, *texts):
                self.w.stop()
                k = Unsealed(self.w.state, self.w.passphrase)
                parts = []
                for name in os.listdir(self.w.state):
                        path = os.path.join(self.w.state, name)
                        if name.startswith(('consent.db', 'records.db')) and os.path.getsize(path):
                                parts += [(name, p) for p in (k.frames(path) if name.endswith('-wal') else k.pages(path))]
                found = [(name, t) for name, part in parts for t in times if t in part] + [(name, t) for name, part in parts for t in texts if t.encode() in part]
                self.assertEqual(found[:5], [], f'{len(found)} found')
                self.w.start()
                self.w.unlock()

        def test_some_days(self):
                w = self.w
                generate(w.path('a.csv'), '--days', 25, '--end', '2026-03-31', '--seed', 5)
                w.cli('import', w.path('a.csv'))
                generate(w.path('b.csv'), '--days', 12, '--end', '2026-04-05', '--seed', 5)
                w.cli('import', w.path('b.csv'))
                before = self.rows()
                gone = [r for r in before if '2026-03-14' <= r['local_time'][:10] <= '2026-04-12']
                kept = [r for r in before if r not in gone]
                self.assertGreater(len(gone), 1000)
                self.assertGreater(len(kept), 1000)

                preview = w.json('forget', '--from', '2026-03-14', '--to', '2026-04-12', '--dry-run')['records']
                self.assertEqual(sum(preview.values()), len(gone))
                self.assertEqual(self.rows(), before)
                self.assertIn('--yes', w.cli('forget', '--from', '2026-03-14', '--to', '2026-04-12', code=USAGE).err)
                self.assertEqual(w.json('forget', '--from', '2026-03-14', '--to', '2026-04-12', '--yes')['records'], preview)

                self.assertEqual(self.rows(), kept)
                status = w.json('status')
                self.assertEqual((sum(status['records'].values()), status['last_day']), (len(kept), kept and max(r['local_time'][:10] for r in kept)))
                self.assertEqual(os.path.getsize(os.path.join(w.state, 'records.db-wal')), 0)
                times = needles(gone, kept)
                self.assert_nowhere(times)
                self.assertEqual(self.rows(), kept)
                entry = [e for e in w.cli('log', '--json').rows if e['type'] == 'forgotten'][-1]
                self.assertEqual((entry['by'], entry['records']), ('days', len(gone)))
                self.assertNotIn('2026-03-1', str({k: v for k, v in entry.items() if k != 'time'}))
                # what was forgotten can be imported again, and taken back as before
                w.cli('import', w.path('a.csv'))
                w.cli('import', w.path('b.csv'))
                self.assertEqual(sorted(map(key, self.rows()), key=str), sorted(map(key, before), key=str))
                w.cli('imports', 'undo', '3', '--yes')
                w.cli('imports', 'undo', '4', '--yes')
                self.assertEqual(self.rows(), kept)

        def test_an_import_with_its_report(self):
                w = self.w
                generate(w.path('secretname.csv'), '--days', 12, '--end', '2026-01-31', '--seed', 6)
                with open(w.path('secretname.csv'), 'a') as f:
                        f.write('this row is nonsense of a special kind\n')
                generate(w.path('b.csv'), '--days', 6, '--end', '2026-01-28', '--seed', 6)
                w.cli('import', w.path('secretname.csv'), code=None)
                w.cli('import', w.path('b.csv'))
                before = self.rows()
                w.cli('forget', '--import', '1', '--yes')
                kept = self.rows()
                self.assertLess(len(kept), len(before))
                # just as if it had never been
                with Wallet() as other:
                        other.init()
                        other.cli('import', w.path('b.csv'))
                        self.assertEqual(sorted(map(key, other.cli('export', '--format', 'ndjson').rows), key=str), sorted(map(key, kept), key=str))
                self.assertEqual(len(w.json('imports')), 1)
                self.assert_nowhere(needles(before, kept), 'secretname', 'of a special kind')
                self.assertIn('no import 1', w.cli('forget', '--import', '1', '--yes', code=REFUSED).err)

        def test_a_device(self):
                w = self.w
                generate(w.path('a.csv'), '--days', 6, '--end', '2026-01-31', '--seed', 7)
                with open(w.path('a.csv')) as f:
                        text = f.read()
                w.cli('import', w.path('a.csv'))
                serial = next(r['serial'] for r in self.rows() if r.get('serial'))
                self.assertIn(serial, text)
                with open(w.path('other.csv'), 'w') as f:
                        f.write(text.replace(serial, 'XX7654321Y'))
                w.cli('import', w.path('other.csv'))
                before = self.rows()
                kept = [r for r in before if r.get('serial') != serial]
                self.assertTrue(0 < len(kept) < len(before))
                self.assertIn('serial', w.cli('forget', '--source', 'nobody', '--yes', code=REFUSED).err)
                w.cli('forget', '--source', serial, '--yes')
                self.assertEqual(self.rows(), kept)
                self.assert_nowhere(set(), serial)
                self.assertEqual(self.rows(), kept)
                w.cli('import', w.path('a.csv'))
                self.assertEqual(sorted(map(key, self.rows()), key=str), sorted(map(key, before), key=str))

        def test_what_is_not_clear_is_refused(self):
                for args in [], ['--import', '1', '--source', 'x'], ['--from', '2026-01-01'], ['--to', '2026-01-01'], ['--import', '0'], ['--import', 'x'], \
                                ['--from', '2026-02-30', '--to', '2026-03-01'], ['--from', '2026-03-02', '--to', '2026-03-01']:
                        with self.subTest(args):
                                self.w.cli('forget', *args, '--yes', code=USAGE)


if __name__ == '__main__':
        unittest.main(verbosity=2)
