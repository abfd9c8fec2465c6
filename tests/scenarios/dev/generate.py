# SPDX-License-Identifier: Apache-2.0
"""The generator's file says what its truth says, and is shaped like a person's data."""

import csv
import io
import json
import os
import statistics
import subprocess
import sys
import tempfile
import unittest

GENERATOR = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'data', 'generate-carelink.py')


def generate(*options):
        with tempfile.NamedTemporaryFile() as truth:
                out = subprocess.run([sys.executable, '-B', GENERATOR, *options, '--truth', truth.name], check=True, stdout=subprocess.PIPE).stdout
                return out, json.loads(truth.read())


def sections(data, delimiter=';'):
        """[(title, [row as dict])], with a look at the shape of each line."""
        found, header = [], None
        for line in data.decode('utf-8-sig').split('\r\n'):
                cells = next(csv.reader(io.StringIO(line), delimiter=delimiter), [])
                if line.startswith('-------'):
                        found.append((f'{cells[2]} {cells[4].strip()}', []))
                elif line.startswith('Index'):
                        header = cells
                elif cells and found:
                        assert len(cells) == len(header) == 54, line
                        found[-1][1].append(dict(zip(header, cells)))
        return found


def number(text):
        return float(text.replace(',', '.'))


class Generator(unittest.TestCase):
        def test_the_same_seed_gives_the_same_bytes_and_another_does_not(self):
                a, b, c = (generate('--days', '20', '--seed', s)[0] for s in '223')
                self.assertEqual(a, b)
                self.assertNotEqual(a, c)

        def test_the_truth_is_what_the_file_holds(self):
                for unit, delimiter in (('mgdl', ';'), ('mmol', ';'), ('mgdl', ','), ('mmol', ',')):
                        data, truth = generate('--days', '40', '--unit', unit, '--delimiter', delimiter)
                        name = 'mmol/L' if unit == 'mmol' else 'mg/dL'
                        (_, pump), (_, auto), (_, sensor) = parts = sections(data, delimiter)
                        self.assertEqual([title for title, _ in parts], ['Pump -------', 'Pump Aggregated Auto Insulin Data', 'Sensor -------'])
                        self.assertEqual([len(pump), len(auto), len(sensor)], list(truth['rows'].values()))
                        cgm = [number(r[f'Sensor Glucose ({name})']) for r in sensor if r[f'Sensor Glucose ({name})']]
                        self.assertEqual(len(cgm), truth['cgm'])
                        self.assertAlmostEqual(sum(cgm), truth['cgm_sum'], 3)
                        edges = (3.0, 3.9, 10.05, 13.95) if unit == 'mmol' else (54, 70, 180.5, 250.5)
                        bands = [0] * 5
                        for value in cgm:
                                bands[sum(value >= edge for edge in edges)] += 1
                        self.assertEqual(bands, truth['cgm_bands'])
                        delivered = [r for r in pump if r['Bolus Volume Delivered (U)']]
                        selected = [r for r in pump if r['Bolus Volume Selected (U)'] and not r['Bolus Volume Delivered (U)']]
                        self.assertEqual(len(selected), truth['bolus'])
                        self.assertLessEqual(len(selected) - len(delivered), 1)  # one may be on its way at the end
                        self.assertAlmostEqual(sum(number(r['Bolus Volume Selected (U)']) for r in selected), truth['bolus_units'], 3)
                        self.assertEqual(sum(bool(r[f'BG Reading ({name})']) for r in pump), truth['fingerstick'])
                        self.assertEqual(sum(bool(r[f'Sensor Calibration BG ({name})']) for r in pump), truth['calibration'])
                        self.assertEqual(sum(bool(r['Alert']) for r in pump), truth['alert_rows'])
                        self.assertEqual(sum(bool(r['User Cleared Alerts']) for r in pump), truth['cleared_rows'])
                        self.assertEqual(sum(bool(r['Basal Rate (U/h)']) for r in pump), truth['basal_rate_rows'])
                        self.assertEqual(sum(bool(r['Sensor Exception']) for r in sensor), truth['exception_rows'])
                        self.assertEqual(sum(bool(r['Event Marker']) for r in sensor), truth['marker_rows'])
                        self.assertAlmostEqual(sum(number(r['BWZ Carb Input (grams)']) for r in pump if r['BWZ Carb Input (grams)']),
                                               truth['carbs_grams'], 3)

        def test_rows_are_newest_first_and_numbered_through(self):
                rows = [s[1] for s in sections(generate('--days', '15', '--end', '2025-03-10T17:30')[0])]
                for part in rows:
                        times = [r['Date'] + r['Time'] for r in part]
                        self.assertEqual(times, sorted(times, reverse=True))
                        self.assertLess(times[0], '2025/03/1017:30')
                flat = [r for part in rows for r in part]
                self.assertEqual([int(number(r['Index'])) for r in flat], list(range(len(flat))))

        def test_two_exports_of_one_life_overlap_in_equal_rows(self):
                def rows(*options):
                        return {tuple(list(r.values())[1:]) for _, part in sections(generate('--days', '30', '--end', '2025-06-30', *options)[0])
                                for r in part}
                a, b, c = rows('--to', '2025-06-20'), rows('--from', '2025-06-15'), rows()
                self.assertEqual(a | b, c)
                self.assertEqual({r[0] for r in a & b}, {f'2025/06/{d}' for d in range(15, 21)})

        def test_a_year_looks_like_a_person(self):
                data, truth = generate()
                cgm = [int(r['Sensor Glucose (mg/dL)']) for r in sections(data)[2][1] if r['Sensor Glucose (mg/dL)']]
                share = [n / len(cgm) for n in truth['cgm_bands']]
                self.assertTrue(95_000 < len(cgm) < 104_000, len(cgm))  # a few percent without sensor
                self.assertTrue(130 < statistics.mean(cgm) < 175)
                self.assertTrue(0.25 < statistics.stdev(cgm) / statistics.mean(cgm) < 0.45)
                self.assertTrue(0.55 < share[2] < 0.85, share)
                self.assertTrue(0.002 < share[0] + share[1] < 0.05, share)
                self.assertTrue(all(40 <= x <= 400 for x in cgm))
                self.assertTrue(25 < (truth['bolus_units'] + truth['auto_units']) / 365 < 60)  # U a day


if __name__ == '__main__':
        unittest.main()
