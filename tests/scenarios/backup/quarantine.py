# SPDX-License-Identifier: Apache-2.0
"""Quarantine: what is in it leaves under no grant until it is released; what is dropped is gone."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import REFUSED, USAGE, Wallet, generate


class Quarantine(unittest.TestCase):
        def test_listed_released_dropped(self):
                with Wallet() as w:
                        w.init()
                        path = w.path('a.csv')
                        generate(path, '--days', 8, '--end', '2026-03-20')
                        w.cli('import', path)
                        readings = [r for r in w.cli('show', '--kind', 'cgm', '--from', '2026-03-16', '--to', '2026-03-16', '--json').rows if r.get('value')]
                        n_all = len(w.cli('export', '--format', 'ndjson').rows)
                        with open(path) as f:
                                text = f.read()
                        # three readings become what no sensor can mean: 20 mmol/L more than there is, or 900 mg/dL
                        strange = '90.0' if readings[0]['unit'] == 'mmol/L' else '900'
                        chosen = [readings[10], readings[20], readings[30]]
                        lines, changed = text.split('\n'), 0
                        for r in chosen:
                                day, clock = r['local_time'][:10], r['local_time'][11:19]
                                for i, line in enumerate(lines):
                                        forms = (day.replace('-', '/'), '/'.join(day.split('-')[::-1]), day)
                                        value = str(r['value'])
                                        cells = re.split('([,;])', line)
                                        if any(f in cells for f in forms) and clock in cells and any(c.replace(',', '.') == value for c in cells):
                                                at = next(k for k in range(len(cells) - 1, -1, -1) if cells[k] == value)
                                                cells[at] = strange
                                                lines[i] = ''.join(cells)
                                                changed += 1
                                                break
                        self.assertEqual(changed, 3, text[:2000])
                        odd = w.path('odd.csv')
                        with open(odd, 'w') as f:
                                f.write('\n'.join(lines))
                        w.cli('imports', 'undo', '1', '--yes')
                        w.cli('import', odd)

                        listed = w.json('quarantine', 'list')
                        self.assertEqual([r['local_time'] for r in listed], [r['local_time'] for r in chosen])
                        self.assertIn('quarantine release', w.cli('quarantine', 'list').out)
                        p = w.provider('clinic')
                        w.gate_on()
                        grant = w.grant('clinic', '--from', '2026-03-16', '--to', '2026-03-16', '--kinds', 'cgm', '--detail', 'data')

                        def served():
                                return {r['local_time'] for r in p.redeem(grant).rows[1:-1]}
                        times = [r['local_time'] for r in chosen]
                        self.assertFalse(served() & set(times))

                        self.assertIn('--yes', w.cli('quarantine', 'release', listed[0]['id'], code=USAGE).err)
                        w.cli('quarantine', 'release', listed[0]['id'], '--yes')
                        self.assertEqual(served() & set(times), {times[0]})
                        self.assertEqual([r['local_time'] for r in w.json('quarantine', 'list')], times[1:])
                        self.assertEqual(len(w.cli('export', '--format', 'ndjson').rows), n_all)
                        # another export of the same does not put it back, and undoing the release does
                        again = w.json('import', odd)[0]
                        self.assertEqual((again['inserted'], again['superseded']), (0, 0))
                        self.assertEqual(served() & set(times), {times[0]})
                        release = next(i['id'] for i in w.json('imports') if 'quarantine' in i['file'])
                        w.cli('imports', 'undo', str(release), '--yes')
                        self.assertEqual([r['local_time'] for r in w.json('quarantine', 'list')], times)
                        self.assertFalse(served() & set(times))

                        w.cli('quarantine', 'drop', listed[1]['id'], '--yes')
                        self.assertEqual([r['local_time'] for r in w.json('quarantine', 'list')], [times[0], times[2]])
                        self.assertEqual(len(w.cli('export', '--format', 'ndjson').rows), n_all - 1)
                        w.cli('quarantine', 'release', listed[1]['id'], '--yes', code=REFUSED)
                        w.cli('quarantine', 'release', '--all', '--yes')
                        self.assertEqual(w.json('quarantine', 'list'), [])
                        self.assertEqual(served() & set(times), {times[0], times[2]})
                        w.cli('quarantine', 'drop', '--all', '--yes')
                        for wrong in 'x', 'cgm.1.00', 'cgm.x.' + '00' * 16, 'nothing.1.' + '00' * 16, 'cgm.1.' + '0g' * 16, 'cgm.1.' + '00' * 17:
                                w.cli('quarantine', 'release', wrong, '--yes', code=USAGE)
                                w.cli('quarantine', 'drop', wrong, '--yes', code=USAGE)
                        types = [e['type'] for e in w.cli('log', '--json').rows]
                        self.assertEqual((types.count('quarantine-released'), types.count('forgotten')), (2, 1))


if __name__ == '__main__':
        unittest.main(verbosity=2)
