# SPDX-License-Identifier: Apache-2.0
"""Reading a pump from the command line to the wallet: the shipped programs, the real libusb, a simulated stick and pump."""

import calendar
import contextlib
import glob
import io
import json
import os
import signal
import sys
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'lib'))
sys.path.insert(0, os.path.join(HERE, '..', '..', 'unit', 'usb'))
import compare  # noqa: E402
import usb  # noqa: E402
from wallet import DONE, LOCKED, PARTLY, PASSPHRASE_NEEDED, REFUSED, SHARED, USAGE, Wallet, wait_for  # noqa: E402

PAGES = [usb.page([usb.bolus(20 - i, 7 + j // 60, j % 60, 0, 40 + j) for j in range(70 if i else 12)]) for i in range(4)]
N_BOLUSES = 3 * 70 + 12
N_RECORDS = N_BOLUSES + 5  # and how it is, its settings, three basal profiles
MILLI = {'isig', 'programmed', 'delivered', 'percent', 'carbs', 'carb_ratio', 'sensitivity', 'target_low', 'target_high', 'glucose_input',
         'correction_estimate', 'food_estimate', 'active_insulin', 'unabsorbed', 'final_estimate', 'volume'}


class Pulls(unittest.TestCase):
        def begin(self, pages, *args, timezone='America/New_York', **options):
                self.stick = usb.Stick(pages, *args, **options)
                self.addCleanup(self.stick.close)
                self.w = Wallet(env=self.stick.env, timezone=timezone)
                self.addCleanup(self.w.close)
                self.w.init()

        def pull(self, *args, code=DONE):
                return self.w.cli('pull', '--device', self.stick.node, '--serial', self.stick.serial, *args, '--json', code=code)

        def content(self):
                return sorted(self.w.cli('export', '--format', 'ndjson').out.splitlines())

        def end(self):
                """However it went: the pump's radio is off and the kernel's driver has its interface back."""
                self.assertFalse(self.stick['is_radio_on'])
                self.assertTrue(self.stick['is_driver_bound'])
                self.assertEqual(self.stick['n_refused'], 0)


class Synthetic(Pulls):
        def setUp(self):
                self.begin(PAGES)

        def test_a_pump_is_read_whole_and_then_only_what_is_new(self):
                report = self.pull().json
                self.assertEqual(report['inserted'], N_RECORDS)
                self.assertEqual(report['rejected_count'], 0)
                self.assertEqual(report['pump']['pages'], 4)
                self.assertTrue(report['pump']['complete'])
                self.assertEqual(report['pump']['serial'], '345192')
                self.assertLess(report['pump']['clock_offset_s'], 0)
                self.assertEqual((report['pump']['battery_v'], report['pump']['reservoir_u']), (1.28, 49.525))
                self.assertEqual((self.stick['n_detached'], self.stick['n_attached']), (1, 1))
                self.end()
                whole = self.content()
                self.assertEqual(len(whole), N_RECORDS)

                said = {r.get('setting', r['kind']): r for r in map(json.loads, whole) if r['local_time'] == '2015-05-28T20:46:23'}
                self.assertEqual(said['device_event']['text_device'], 'battery 1.28 V, delivering')
                self.assertEqual((said['device_event']['value'], said['device_event']['unit']), (49.525, 'U'))
                self.assertEqual(said['pump settings']['setting_value'], 'max bolus 15 U, max basal 2 U/h, pattern off')
                self.assertEqual(said['basal profile standard']['setting_value'], '00:00 0.8 U/h, 06:30 1.025 U/h')
                self.assertEqual(said['basal profile A']['setting_value'], 'empty')
                self.assertTrue(said['basal profile B']['raw_values'].startswith('bytes=00003f00'))

                # unchanged, and without its serial number: it is known by now
                report = self.w.json('pull', '--device', self.stick.node)
                self.assertEqual(report['inserted'], 0)
                self.assertEqual(self.stick['n_pages_sent'], 1)
                self.assertEqual(self.content(), whole)

                # it went on: a page begun before is fuller, and one more
                self.stick.set_pages([usb.page([usb.bolus(22, 8, 0, 0, 77)]), usb.page([usb.bolus(20, 7, j, 0, 40 + j) for j in range(12)] + [usb.bolus(21, 9, 9, 9, 99)])]
                                     + PAGES[1:])
                report = self.pull().json
                self.assertEqual(report['inserted'], 2)
                self.assertEqual(self.stick['n_pages_sent'], 3)  # two new ones, and the first that is known
                self.assertEqual(len(self.content()), N_RECORDS + 2)
                self.end()

        def test_what_was_taken_back_is_read_again(self):
                self.pull()
                whole = self.content()
                self.w.cli('imports', 'undo', '1', '--yes')
                self.assertEqual(self.content(), [])
                self.pull()
                self.assertEqual(self.stick['n_pages_sent'], 4)
                self.assertEqual(self.content(), whole)

        def test_two_boluses_of_one_second_stay_two(self):
                self.stick.set_pages([usb.page([usb.bolus(20, 7, 0, 0, 40)] * 2)])
                for _ in range(2):
                        self.pull()
                        self.assertEqual(len(self.content()), 2 + 5)

        def test_a_page_that_never_comes_whole_is_named_and_asked_for_again(self):
                self.stick.set(bad_page=2)
                report = self.pull(code=PARTLY).json
                self.assertFalse(report['pump']['complete'])
                self.assertEqual(report['pump']['missing'], 1)
                self.assertIn('history page 2', report['rejected'][0]['reason'])
                n = len(self.content())
                self.assertLess(n, N_RECORDS - 69)
                self.end()
                self.stick.set(bad_page=-1)
                self.pull()
                self.assertEqual(len(self.content()), N_RECORDS)

        def test_a_trace_can_be_replayed_and_names_nobody(self):
                trace = self.w.path('trace')
                self.pull('--save-trace', trace)
                boluses = [line for line in self.content() if '"kind":"bolus"' in line]
                with open(trace) as f:
                        text = f.read()
                self.assertEqual(os.stat(trace).st_mode & 0o777, 0o600)
                self.assertNotIn('345192', text)
                self.assertGreater(text.count('\n'), 100)
                self.assertIn('Give another name', self.pull('--save-trace', trace, code=REFUSED).err)
                self.w.cli('imports', 'undo', '1', '--yes')
                self.assertEqual(self.content(), [])
                self.w.cli('import', trace, '--serial', '345192', code=None)
                self.assertEqual([line for line in self.content() if '"kind":"bolus"' in line], boluses)
                self.end()

        def test_pages_without_checksums_are_taken_when_the_patient_says_so(self):
                path, whose = self.w.path('pages'), ('--model', '723', '--serial', '345192')
                with open(path, 'wb') as f:
                        f.write(b''.join(page[:1022] for page in PAGES))
                self.assertIn('--no-checksum', self.w.cli('import', path, *whose, code=REFUSED).err)
                self.assertIn('--model', self.w.cli('import', path, '--no-checksum', code=USAGE).err)
                report, = self.w.json('import', path, *whose, '--no-checksum')
                self.assertEqual(report['inserted'], N_BOLUSES)
                self.assertTrue(any('not verified' in note for note in report['notes']), report['notes'])
                self.assertIn('unverified', report['format'])
                self.assertEqual(self.pull().json['inserted'], N_RECORDS - N_BOLUSES)

        def test_a_pump_is_read_without_a_question_only_where_the_patient_said_so(self):
                def now(code):
                        return self.w.cli('pull', '--automatic', 'now', '--device', self.stick.node, code=code, start_new_session=True)

                self.assertIn('once first', self.w.cli('pull', '--automatic', 'on', code=REFUSED).err)
                self.pull()
                self.assertIn('--automatic on', now(REFUSED).err)
                self.assertIn('345192', self.w.cli('pull', '--automatic', 'on').out)
                self.stick.set_pages([usb.page([usb.bolus(22, 8, 0, 0, 77)])] + PAGES)
                self.w.cli('pull', '--device', self.stick.node, code=PASSPHRASE_NEEDED, start_new_session=True)
                self.assertEqual(now(DONE).out, '')
                self.assertEqual(len(self.content()), N_RECORDS + 1)
                self.w.cli('pull', '--automatic', 'off')
                now(REFUSED)
                self.w.cli('pull', '--automatic', 'perhaps', code=USAGE)
                self.w.lock()
                now(LOCKED)

        def test_ctrl_c_stops_leaves_the_radio_off_and_keeps_what_was_read(self):
                self.stick.set_pages(PAGES + [usb.page([usb.bolus(1 + i // 2, 12 + i % 2, m, 0, 5) for m in range(60)]) for i in range(28)])
                self.stick.set(speed=5)
                process = self.w.start_cli('pull', '--device', self.stick.node, '--serial', self.stick.serial, '--json')
                wait_for(lambda: self.stick['n_pages_sent'] >= 3, 60, 'some pages')
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=20)
                # the rest of an answer, the radio's switch, its acknowledgement, a look for the pump's answer, that: what each may take
                # the driver's own test says, and how long it took, ./dev bench
                self.assertGreater(self.stick['n_until_stop'], 0)
                self.assertLessEqual(self.stick['n_transfers'] - self.stick['n_until_stop'], 12)
                self.assertEqual(process.returncode, PARTLY, err)
                report = json.loads(out)
                self.assertFalse(report['pump']['complete'])
                self.assertGreater(report['inserted'], 70)
                self.assertTrue(any('as you asked' in note for note in report['notes']), report['notes'])
                self.assertEqual(len(self.content()), report['inserted'])
                self.end()

        def test_ctrl_c_is_heard_while_the_pump_wakes_up(self):
                self.stick.set(speed=1)
                process = self.w.start_cli('pull', '--device', self.stick.node, '--serial', self.stick.serial, '--json')
                wait_for(lambda: self.stick['is_radio_on'], 60, 'the call that wakes it')
                process.send_signal(signal.SIGINT)
                out, err = process.communicate(timeout=12)  # it takes 17 s to wake
                self.assertEqual(process.returncode, REFUSED, out)
                self.assertIn('as you asked', err)
                self.assertEqual(self.content(), [])
                self.end()

        def test_who_hangs_up_stops_it_too(self):
                self.stick.set(speed=5)
                process = self.w.start_cli('pull', '--device', self.stick.node, '--serial', self.stick.serial)
                wait_for(lambda: self.stick['n_pages_sent'] >= 2, 60, 'some pages')
                process.kill()
                process.communicate()
                wait_for(lambda: self.w.json('imports'), 20, 'the import')
                self.assertGreater(len(self.content()), 0)
                self.assertFalse(self.w.json('imports')[0]['report']['pump']['complete'])
                self.end()

        def test_what_is_not_there_is_said(self):
                self.stick.set(is_deaf=1)
                self.assertIn('does not answer', self.pull(code=REFUSED).err)
                self.stick.set(is_deaf=0)
                self.assertIn('No device', self.w.cli('pull', '--serial', '345192', code=REFUSED).err)
                self.assertIn("can't be opened", self.w.cli('pull', '--device', '/dev/bus/usb/999/999', '--serial', '345192', code=REFUSED).err)
                self.assertIn('six digits', self.w.cli('pull', '--device', self.stick.node, '--serial', '12345', code=USAGE).err)
                self.assertIn('Which pump', self.w.cli('pull', '--device', self.stick.node, code=REFUSED).err)
                self.assertIn('no USB device', self.w.cli('pull', '--device', '/dev/null', '--serial', '345192', code=REFUSED).err)
                self.assertEqual(self.content(), [])
                self.w.lock()
                self.pull(code=LOCKED)
                self.assertEqual(self.stick['n_sessions'], 2)  # deaf, and no device

        def test_no_fault_makes_a_wrong_record_or_a_hang(self):
                """A sample of what the driver's own test does at every transfer."""
                self.stick.set(speed=200)
                self.pull()
                whole = set(self.content())
                n_transfers = self.stick['n_transfers']
                for fault in (usb.UNPLUG, usb.STALL, usb.SILENCE, usb.SHORT, usb.FLIP, usb.NAK, usb.STALE):
                        for at in range(1 + fault, n_transfers, n_transfers // 4):
                                for one in self.w.json('imports'):
                                        self.w.cli('imports', 'undo', str(one['id']), '--yes')
                                self.stick.set(fault=fault, fault_at=at, is_asleep=1, is_radio_on=0, is_driver_bound=1)
                                result = self.pull(code=(DONE, PARTLY, REFUSED))
                                self.assertLessEqual(set(self.content()), whole, f'fault {fault} at {at}')
                                if result.code == DONE:
                                        self.assertEqual(set(self.content()), whole)
                                if fault != usb.UNPLUG:
                                        self.assertEqual(self.stick['n_refused'], 0)
                self.assertNotIn('SIGSYS', self.w.log_text())


def as_compared(line):
        """A record of an export as compare.py has those of dump-pages."""
        row = json.loads(line)
        fields = {name: round(value * 1000) if name in MILLI else value for name, value in row.items()}
        code = row.get('code') if isinstance(row.get('code'), str) else None
        return {'event': 'record', 'extra': 'raw_type' not in row, 'kind': row['kind'], 'unit': row.get('unit', ''),
                'value_milli': round(row.get('value', 0) * 1000), 'flags': {'LO': 2, 'HI': 4}.get(code, 0), 'fields': fields,
                'local_ms': calendar.timegm(time.strptime(row['local_time'][:19], '%Y-%m-%dT%H:%M:%S')) * 1000}


class Real(Pulls):
        FOLDER, CSV = 'data/pump-history/decocare-345192-from-usb', 'data/carelink-csv/masked/legacy-revel723-2015.csv'

        def setUp(self):
                self.csv = os.path.join(SHARED, self.CSV)
                if not os.path.exists(self.csv):
                        self.skipTest('no reference data (CAREWALLET_SHARED)')
                names = sorted(glob.glob(os.path.join(SHARED, self.FOLDER, 'ReadHistoryData-page-*.data')), key=compare.number_of)
                pages = []
                for name in names:
                        with open(name, 'rb') as f:
                                pages.append(f.read())
                self.begin(pages)

        def test_thirty_six_pages_equal_the_makers_own_export(self):
                report = self.pull().json
                self.assertEqual(self.stick['n_pages_sent'], 36)
                self.assertTrue(report['pump']['complete'])
                self.end()
                self.compare_with_the_export()

        def compare_with_the_export(self):
                records = [as_compared(line) for line in self.content()]
                compare.dump = lambda *args: records
                compare.table.clear()
                with contextlib.redirect_stdout(io.StringIO()) as table, self.assertRaises(SystemExit) as ended:
                        compare.compare_csv('', '723', '345192', 'America/New_York', self.csv, os.path.join(SHARED, self.FOLDER))
                print(table.getvalue())
                self.assertIn(ended.exception.code, (0, None), table.getvalue())

        def begin_captured(self, **options):
                """What the stick sends is what a real one sent, each frame as it was; the simulation adds what was not captured."""
                self.begin([], **options)
                self.stick.set_captures(os.path.join(SHARED, 'data/usb-traces', f'linux-723-345192-{name}.jsonl') for name in ('download', 'session', 'commands'))

        def test_captured_traffic_of_the_real_pump_is_read_as_its_pages_are(self):
                def of_pages():
                        return [line for line in self.content() if '"local_time":"2015-05-28T20:46:23' not in line]

                self.pull()
                records = of_pages()
                self.begin_captured()
                report = self.pull().json
                self.assertTrue(report['pump']['complete'])
                self.assertEqual((report['pump']['battery_v'], report['pump']['reservoir_u'], report['pump']['pages']), (1.28, 49.525, 36))
                self.assertGreater(self.stick['n_replayed'], 700)
                self.end()
                self.assertEqual(of_pages(), records)
                self.compare_with_the_export()

        def test_unplugged_at_any_transfer_it_keeps_only_what_the_pump_said(self):
                """At twelve of them, or at every so many (CAREWALLET_EVERY); the driver's own test does it at each."""
                self.begin_captured(speed=500)
                self.pull()
                whole, n_transfers = set(self.content()), self.stick['n_transfers']
                self.assertGreater(n_transfers, 1450)
                for at in range(1, n_transfers, int(os.environ.get('CAREWALLET_EVERY', n_transfers // 12))):
                        if at % 100 == 1:
                                self.w.unlock()
                        for one in self.w.json('imports'):
                                self.w.cli('imports', 'undo', str(one['id']), '--yes')
                        self.stick.set(fault=usb.UNPLUG, fault_at=at, is_asleep=1, is_radio_on=0, is_driver_bound=1)
                        result = self.pull(code=(DONE, PARTLY, REFUSED))
                        kept = set(self.content())
                        self.assertLessEqual(kept, whole, f'unplugged at {at}')
                        if result.code == DONE:  # behind the last answer: only the radio was still to be switched off, or all was over
                                self.assertEqual(kept, whole)

        def test_the_same_pump_by_both_paths_is_in_the_wallet_once(self):
                self.pull()
                pulled = {(r['kind'], r['local_time'], r.get('value')) for r in map(json.loads, self.content())}
                self.w.cli('import', self.csv, code=None)
                both = self.content()
                self.pull()
                self.assertEqual(self.stick['n_pages_sent'], 1)
                self.assertEqual(self.content(), both)
                self.w.cli('imports', 'undo', '1', '--yes')
                n_csv = len(self.content())
                self.pull()
                self.assertEqual(len(self.content()), len(both))
                self.assertLess(len(both), n_csv + len(pulled) // 10)


class Clocks(unittest.TestCase):
        CSV, FOLDER = 'data/carelink-csv/legacy-v1/decocare-736868-revel523-20150510.csv', 'data/pump-history/decocare-736868'

        def test_a_pump_whose_clock_was_late_has_the_same_times_by_both_paths(self):
                """Pages and export of one pump over a change to summer time that its clock followed later, each in a wallet of its own."""
                names = sorted(glob.glob(os.path.join(SHARED, self.FOLDER, 'ReadHistoryData-page-*.data')), key=compare.number_of)
                if not names:
                        self.skipTest('no reference data (CAREWALLET_SHARED)')
                times = []
                for how in ('pages', 'export'):
                        with Wallet(timezone='America/Los_Angeles') as w:
                                w.init()
                                if how == 'pages':
                                        with open(w.path('pages'), 'wb') as f:
                                                for name in names:
                                                        with open(name, 'rb') as page:
                                                                f.write(page.read())
                                        w.cli('import', w.path('pages'), '--model', '523', '--serial', '736868', code=None)
                                else:
                                        w.cli('import', os.path.join(SHARED, self.CSV), code=None)
                                rows = map(json.loads, w.cli('export', '--format', 'ndjson').out.splitlines())
                                times.append({(r['kind'], r['local_time'], r.get('raw_type')): r['time'] for r in rows})
                both = set(times[0]) & set(times[1])
                self.assertGreater(len(both), 2600)
                self.assertEqual([key for key in both if times[0][key] != times[1][key]], [])


if __name__ == '__main__':
        unittest.main()
