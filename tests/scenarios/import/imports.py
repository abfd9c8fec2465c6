# SPDX-License-Identifier: Apache-2.0
"""Imports and clocks from the command line: overlapping exports, their reports, one taken back, journeys."""

import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import PARTLY, REFUSED, USAGE, Wallet, generate  # noqa: E402

HEAD = '-------;Pump X;Pump;NG1;-------\nIndex;Date;Time;Sensor Glucose (mg/dL);Bolus Type;Bolus Volume Delivered (U)\n'


def write(path, text):
        with open(path, 'w') as f:
                f.write(text)
        return path


def crc16(data):
        crc = 0xffff
        for byte in data:
                crc ^= byte << 8
                for _ in range(8):
                        crc = (crc << 1 ^ 0x1021) & 0xffff if crc & 0x8000 else crc << 1 & 0xffff
        return crc


def page(*seconds):
        """A history page of a Paradigm 723: a bolus of 1 U on 2015-05-17 11:42 at each of these seconds."""
        records = b''.join(bytes((1, 0, 40, 0, 40, 0, 0, 0, 0x40 | s, 0x6a, 0x4b, 0x11, 0x0f)) for s in seconds)
        data = records.ljust(1022, b'\0')
        return data + crc16(data).to_bytes(2, 'big')


class Imports(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()

        def content(self):
                """All that the wallet holds, without the number of the import."""
                return sorted(self.w.cli('export', '--format', 'ndjson').out.splitlines())

        def test_an_import_that_is_undone_never_was_and_what_another_had_too_stays(self):
                w = self.w
                for name, days in (('a', ('2025-06-01', '2025-06-08')), ('b', ('2025-06-05', '2025-06-12'))):
                        generate(w.path(name), '--days', '20', '--end', '2025-06-14', '--from', days[0], '--to', days[1])
                w.cli('import', w.path('b'), code=None)
                only_b = self.content()
                w.cli('imports', 'undo', '1', '--yes')
                self.assertEqual(self.content(), [])
                self.assertEqual(w.cli('imports', '--json').json, [])

                w.cli('import', w.path('a'), code=None)
                w.cli('import', w.path('b'), code=None)
                both = self.content()
                self.assertGreater(len(both), len(only_b))
                w.cli('imports', 'undo', '2', '--yes')
                self.assertEqual(self.content(), only_b)
                w.stop()
                w.start()
                w.unlock()
                self.assertEqual(self.content(), only_b)
                self.assertEqual(sum(w.cli('status', '--json').json['records'].values()), len(only_b))
                w.cli('import', w.path('a'), code=None)
                self.assertEqual(self.content(), both)
                self.assertIn('you took import 2 back (a)', w.cli('log').out)

        def test_the_file_imported_last_counts_and_an_older_one_is_said_to_be_older(self):
                w = self.w
                rows = [f'{i};2025/05/0{3 - i};10:00:00;10{i};;\n' for i in range(3)]
                write(w.path('new.csv'), HEAD + ''.join(rows))
                write(w.path('old.csv'), HEAD + ''.join(rows[1:]).replace(';101;', ';201;'))
                w.cli('import', w.path('new.csv'))
                before = self.content()
                older = w.cli('import', w.path('old.csv'))
                text = ' '.join(older.out.split())
                self.assertIn('1 replaced by what this file says', text)
                self.assertIn('This file ends on 2025-05-02, what was imported before on 2025-05-03.', text)
                self.assertIn('":201', ''.join(self.content()).replace('"value":', '":'))
                self.assertNotIn('This file ends on', w.cli('import', w.path('new.csv')).out)
                w.cli('imports', 'undo', '3', '--yes')
                w.cli('imports', 'undo', '2', '--yes')
                self.assertEqual(self.content(), before)

        def test_what_was_replaced_is_said_beside_what_is_new(self):
                w = self.w
                rows = lambda glucose: ''.join(f'{i};2025/05/03;{10 + i // 12}:{i % 12 * 5:02}:00;{glucose};;\n' for i in range(12))  # noqa: E731
                w.cli('import', write(w.path('x.csv'), HEAD + rows(100)))
                report, = w.json('import', write(w.path('y.csv'), HEAD + rows(120)))
                self.assertEqual((report['inserted'], report['superseded']), (0, 12))
                self.assertIn('0 new records, 12 replaced', w.cli('imports').out)
                self.assertIn('you imported 0 new records, 12 replaced', w.cli('log').out)
                self.assertNotIn('replaced', w.cli('imports').out.splitlines()[0])

        def test_an_import_is_named_by_its_number_and_says_what_it_could_not_read(self):
                w = self.w
                write(w.path('x.csv'), HEAD + '0;2025/05/03;10:00:00;100;;\n' + ''.join(f'{i};2025/05/03;09:00:00;zwei{i};;\n' for i in range(250)))
                w.cli('import', w.path('x.csv'), code=PARTLY)
                shown = w.cli('imports', 'show', '1')
                self.assertIn('x.csv', shown.out)
                self.assertIn('imports show 1 --json', shown.out)
                rejected = w.cli('imports', 'show', '1', '--json').json['report']['rejected']
                self.assertEqual(len(rejected), 250)
                self.assertEqual(rejected[249]['row'], '249;2025/05/03;09:00:00;zwei249;;')
                w.cli('imports', 'show', '2', code=REFUSED)
                w.cli('imports', 'show', 'x', code=USAGE)
                w.cli('imports', 'undo', '7', '--yes', code=REFUSED)

        def test_pages_of_a_pump_need_to_be_said_whose_they_are_and_what_is_damaged_is_named(self):
                w = self.w
                with open(w.path('pages'), 'wb') as f:
                        f.write(page(3, 4) + page(1, 2)[:100] + b'x' + page(1, 2)[101:])
                self.assertIn('--model', w.cli('import', w.path('pages'), code=REFUSED).err)
                w.cli('import', '--model', '72', w.path('pages'), code=USAGE)
                w.cli('import', '--model', '723', '--serial', '12345a', w.path('pages'), code=USAGE)
                self.assertIn('no pump 999', w.cli('import', '--model', '999', '--serial', '123456', w.path('pages'), code=REFUSED).err)
                self.assertEqual(self.content(), [])

                done = w.cli('import', '--model', '723', '--serial', '123456', w.path('pages'), code=PARTLY)
                self.assertIn('Paradigm Revel - 723, serial #123456', done.out)
                self.assertIn('block 2 of the file, byte 1024, has a wrong checksum', done.out)
                self.assertNotIn('line 0', done.out)
                self.assertEqual(len(self.content()), 2)
                number = w.cli('imports', '--json').json[-1]['id']
                shown = w.cli('imports', 'show', number, '--json').json['report']['rejected']
                self.assertEqual(''.join(r['row'] for r in shown), (page(1, 2)[:100] + b'x' + page(1, 2)[101:]).hex())

                write(w.path('hex'), (page(3, 4) + page(1, 2)).hex(' '))
                w.cli('import', '--model', '723', '--serial', '123456', w.path('hex'))
                self.assertEqual(len(self.content()), 4)
                write(w.path('cut'), '{"trace":1,"device":"carelink-stick","serials":"real"}\n{"d":"w","n":2,"hex":"0400"}\n')
                self.assertIn('no pump was asked', w.cli('import', w.path('cut'), code=REFUSED).err)

        def test_a_report_says_what_is_implausible_and_what_clocks_did(self):
                w = self.w
                w.cli('timezone', 'Europe/Berlin')
                head = HEAD.replace('Index;', 'Index;New Device Time;')
                readings = ''.join(f'{i};;2025/05/04;{23 - i // 60:02}:{i % 60:02}:00;120;;\n' for i in range(120))
                night = ''.join(f'{i};;2025/10/26;{hour:02}:{minute:02}:00;{100 + i};;\n' for i, (hour, minute) in enumerate(
                        [(3, 5)] + [(2, 40), (2, 20), (2, 0)] * 2 + [(1, 40)]))
                write(w.path('x.csv'), head + night + readings + '0;;2025/05/03;10:00:00;;Normal;250,0\n1;2025/05/03 11:00:30;2025/05/03;09:59:00;;;\n'
                      '2;;2016/01/01;00:01:00;100;;\n3;;2025/03/30;02:30:00;100;;\n')
                shown = w.cli('import', w.path('x.csv')).out
                for text in ('1 implausible: you see it', 'clock set at 2025-05-03T09:59:00 to 2025-05-03T11:00:30', '6 in an hour that the clock showed twice',
                             "1 row from before the device's clock was set", '1 row at a time that the zone skips'):
                        self.assertIn(text, ' '.join(shown.split()))
                report = w.cli('imports', 'show', '1', '--json').json['report']
                self.assertEqual(report['quarantined'], 1)
                self.assertEqual(report['by_kind']['bolus']['quarantined'], 1)
                self.assertEqual(report['clocks'], {'repeated': 6, 'skipped': 1, 'unset': 1})
                self.assertEqual(report['clock_changes'], [{'at': '2025-05-03T09:59:00', 'to': '2025-05-03T11:00:30'}])
                self.assertEqual(report['timezone'], 'Europe/Berlin')
                self.assertEqual([(d['model'], d['serial'], d['section']) for d in report['devices']], [('Pump X', 'NG1', 'pump')])

        def test_a_band_is_that_of_the_unit_reported_and_mmol_keeps_two_decimals(self):
                edges = {'mg/dL': ('53', '54', '69', '70', '180', '181', '250', '251'),
                         'mmol/L': ('2.99', '3.00', '3.89', '3.90', '10.00', '10.01', '13.90', '13.91')}
                for unit, values in edges.items():
                        with self.subTest(unit):
                                w = Wallet()
                                self.addCleanup(w.close)
                                w.init()
                                rows = [f'0;2025/05/{1 + i // 80:02};{i // 4 % 20:02}:{i % 4 * 15:02}:00;{values[i % 8]}' for i in range(320)]
                                write(w.path('x.csv'), f'-------;Pump X;Pump;NG1;-------\nIndex;Date;Time;Sensor Glucose ({unit})\n' + '\n'.join(reversed(rows)) + '\n')
                                w.cli('import', w.path('x.csv'))
                                text = w.cli('export', '--format', 'ndjson').out
                                self.assertEqual({json.loads(line)['unit'] for line in text.splitlines() if '"cgm"' in line}, {unit})
                                for value in values:
                                        self.assertIn(f':{value},', text)
                                w.provider('clinic')
                                w.grant('clinic', '--from', '2025-05-01', '--to', '2025-05-04', preset='research-summary')
                                summary = w.cli('preview', 'clinic', '--json').out
                                self.assertIn('"very_low":40,"low":80,"target":80,"high":80,"very_high":40', summary.replace(' ', '').replace('\n', ''))

        def times(self):
                """Wall clock and UTC of readings."""
                rows = (json.loads(line) for line in self.content())
                return sorted((r['local_time'], r['time'], r.get('clock', 'zone')) for r in rows if r['kind'] == 'cgm')

        def test_one_export_says_that_a_clock_was_late_of_another_s_readings(self):
                w = self.w
                w.cli('timezone', 'Europe/Berlin')
                head = HEAD.replace('Index;', 'Index;New Device Time;')
                early = write(w.path('early.csv'), head + '1;;2025/03/30;11:00:00;120;;\n2;;2025/03/29;10:00:00;121;;\n')
                late = write(w.path('late.csv'), head + '0;;2025/04/02;10:00:00;122;;\n1;2025/03/31 10:00:00;2025/03/31;09:00:00;;;\n')
                plain = [('2025-03-29T10:00:00', '2025-03-29T09:00:00Z', 'zone'), ('2025-03-30T11:00:00', '2025-03-30T09:00:00Z', 'zone'),
                         ('2025-04-02T10:00:00', '2025-04-02T08:00:00Z', 'zone')]
                known = [plain[0], ('2025-03-30T11:00:00', '2025-03-30T10:00:00Z', 'zone'), plain[2]]
                for first, second in (early, late), (late, early):
                        w.cli('import', first)
                        w.cli('import', second)
                        self.assertEqual(self.times(), known)
                        number = w.cli('imports', '--json').json[-1]['id']
                        w.cli('imports', 'undo', number, '--yes')
                        self.assertEqual(self.times(), plain[:2] if first is early else known[2:])
                        w.cli('import', second)
                        w.stop()
                        w.start()
                        w.unlock()
                        self.assertEqual(self.times(), known)
                        # a journey that the patient tells of explains it better
                        check = w.cli('timezone', 'check', 'Europe/Moscow', '--from', '2025-03-31', '--json').json
                        self.assertEqual(sorted((shift['minutes'], shift['records']) for shift in check['shifts']), [(-120, 1), (-60, 2)])
                        w.cli('timezone', 'add', 'Europe/Moscow', '--from', '2025-03-31')
                        self.assertEqual(self.times()[:2], plain[:2])
                        w.cli('timezone', 'remove', '2025-03-31')
                        self.assertEqual(self.times(), known)
                        for number in [i['id'] for i in w.cli('imports', '--json').json]:
                                w.cli('imports', 'undo', number, '--yes')

        def test_no_reading_is_lost_where_a_clock_was_put_back_or_reset(self):
                w = self.w
                w.cli('timezone', 'Europe/Berlin')
                head = HEAD.replace('Index;', 'Index;New Device Time;')
                day = lambda day, first, last, glucose: ''.join(  # noqa: E731
                        f'{i};;{day};{m // 60:02}:{m % 60:02}:00;{glucose + (m - first) // 5};;\n' for i, m in enumerate(range(last, first - 1, -5)))
                cases = {
                        'by hand': (day('2025/05/03', 500, 600, 100), day('2025/05/03', 545, 700, 200) + '9;2025/05/03 09:01:00;2025/05/03;10:01:00;;;\n'),
                        'by hand, said by the first': ('9;2025/05/03 09:01:00;2025/05/03;10:01:00;;;\n' + day('2025/05/03', 500, 600, 100), day('2025/05/03', 545, 700, 200)),
                        'with the zone': (day('2025/10/26', 60, 175, 100), day('2025/10/26', 120, 300, 200)),
                        'reset twice': ('0;2023/05/01 10:00:00;2016/01/01;00:31:00;;;\n' + day('2016/01/01', 0, 30, 100) + day('2023/05/01', 500, 560, 90),
                                        '0;2025/05/01 10:00:00;2016/01/01;00:21:00;;;\n' + day('2016/01/01', 0, 20, 200) + day('2025/05/01', 500, 560, 90)),
                }
                for what, files in cases.items():
                        paths = [write(w.path(f'{i}.csv'), head + text) for i, text in enumerate(files)]
                        n = sum(text.count(';;2') for text in files)
                        seen = []
                        for order in paths, paths[::-1]:
                                with self.subTest(what, first=order[0]):
                                        for path in order + order:
                                                report, = w.json('import', path)
                                                self.assertEqual(report['superseded'], 0)
                                        seen.append(self.times())
                                        self.assertEqual(len(seen[-1]), n)
                                        self.assertEqual(seen[0], seen[-1])
                                        for number in [i['id'] for i in w.cli('imports', '--json').json]:
                                                w.cli('imports', 'undo', number, '--yes')

        def test_a_legacy_export_without_its_preamble_is_the_same_as_with_it(self):
                w = self.w
                with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'data', 'carelink', 'legacy-v1.0.1.csv')) as f:
                        text = re.sub(r'\b5/([1-3])/15', r'5/2\1/15', f.read())  # days that cannot be months
                paths = [write(w.path('whole.csv'), text), write(w.path('bare.csv'), text[text.index('Index,'):])]
                for first, second in paths, paths[::-1]:
                        one, two, again, = (w.json('import', path)[0] for path in (first, second, first))
                        self.assertGreater(one['inserted'], 15)
                        self.assertEqual([(r['inserted'], r['superseded']) for r in (two, again)], [(0, 0)] * 2)
                        self.assertEqual(len(self.content()), one['inserted'])
                        number = [i['id'] for i in w.cli('imports', '--json').json]
                        w.cli('imports', 'undo', number[0], '--yes')
                        self.assertEqual(len(self.content()), one['inserted'])
                        w.cli('imports', 'undo', number[1], '--yes')
                        w.cli('imports', 'undo', number[2], '--yes')
                        self.assertEqual(self.content(), [])

        def test_another_zone_moves_records_and_back_again(self):
                w = self.w
                w.cli('timezone', 'Europe/Berlin')
                write(w.path('x.csv'), HEAD + '0;2025/07/03;10:00:00;100;;\n1;2025/05/03;10:00:00;101;;\n2;2025/03/30;02:30:00;102;;\n')
                w.cli('import', w.path('x.csv'))
                before = self.content()

                moved = w.cli('timezone', 'check', 'America/New_York', '--json').json
                self.assertEqual((moved['records'], moved['moved'], moved['first_day'], moved['last_day']), (3, 3, '2025-03-30', '2025-07-03'))
                self.assertEqual(moved['shifts'], [{'minutes': 300, 'records': 1}, {'minutes': 360, 'records': 2}])
                self.assertIn('2 by 6:00 h later', w.cli('timezone', 'check', 'America/New_York').out)
                self.assertEqual(self.content(), before)

                w.cli('timezone', 'add', 'America/New_York', '--from', '2025-05-01')
                w.cli('timezone', 'add', 'Europe/Berlin', '--from', '2025-06-01')
                self.assertEqual([z.get('from') for z in w.cli('timezone', '--json').json], [None, '2025-05-01', '2025-06-01'])
                changed = self.content()
                self.assertEqual(len(set(changed) - set(before)), 1)
                self.assertTrue(any('2025-05-03T14:00:00Z' in line and '2025-05-03T10:00:00' in line for line in changed))
                w.stop()
                w.start()
                w.unlock()
                self.assertEqual(self.content(), changed)
                self.assertIn('known already', w.cli('import', w.path('x.csv')).out)
                self.assertEqual(self.content(), changed)

                w.cli('timezone', 'remove', '2025-05-01')
                self.assertEqual(self.content(), before)
                w.cli('timezone', 'remove', '2025-05-01', code=REFUSED)
                w.cli('timezone', 'add', 'Nowhere/City', '--from', '2025-05-01', code=REFUSED)
                w.cli('timezone', 'add', 'UTC', '--from', '2025-02-30', code=USAGE)
                w.cli('timezone', 'add', 'UTC', code=USAGE)
                w.cli('timezone', 'America/New_York')
                self.assertNotEqual(self.content(), before)
                w.cli('timezone', 'Europe/Berlin')
                self.assertEqual(self.content(), before)


if __name__ == '__main__':
        unittest.main(verbosity=2)
