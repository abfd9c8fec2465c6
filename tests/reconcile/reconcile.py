#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Explain every raw row of CareLink files by what a wallet holds of them: reconcile.py FOLDER...

Each file of the folders (of the reference data; "own": those of this project) goes through the real daemon and command line into a wallet and out again,
and what comes out is compared with what carelink.py and expected.py say must: every field of every record, each device time to the
second, the rows of each kind to zero (rows = records + merged + rejected), each rejected row with its reason; and with
records written by hand (sample.py). At last all files are in one wallet. Exit code 77: no reference data here (skipped).
"""

import collections
import datetime
import gc
import json
import os
import sys
import zoneinfo

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from carelink import D, printed  # noqa: E402
from expected import Expected  # noqa: E402
from sample import SAMPLE  # noqa: E402
from wallet import DONE, PARTLY, REFUSED, Wallet, shared  # noqa: E402

KINDS = ('cgm', 'fingerstick', 'calibration', 'bolus', 'basal', 'carbs', 'wizard', 'settings', 'alarm', 'device_event', 'note')

# Where the devices' clocks were, as far as the files tell: by their language, or by the day on which a clock was set an hour.
ZONES = {
        'masked/780G-mgdl-semicolon-7d-2025.csv': 'Europe/Brussels',
        'masked/780G-mgdl-semicolon-82d-2025.csv': 'Europe/Brussels',
        'masked/640G+780G-mgdl-semicolon-90d-2022.csv': 'Europe/Brussels',
        'masked/GuardianConnect-mmol-comma-systemid-2021.csv': 'Europe/Berlin',
        'masked/GuardianConnect-mgdl-semicolon-2021.csv': 'Europe/Berlin',
        'masked/legacy-revel723-2015.csv': 'America/New_York',
        'masked/legacy-paradigm522-2011.csv': 'America/Los_Angeles',
        'masked/legacy-paradigm722-cgm-2014.csv': 'America/Los_Angeles',
        'masked/legacy-paradigm722-cgm-20140426.csv': 'America/Los_Angeles',
        'modern/pra008-780G-mmol-semicolon-decimalcomma.csv': 'Europe/Berlin',
        'modern/cse572-670G-us-comma-CGM_patient2.csv': 'America/New_York',
        'modern/cse572-670G-us-comma-InsulinData.csv': 'America/New_York',
        'legacy-v1/decocare-736868-revel523-20150510.csv': 'America/Los_Angeles',
        'legacy-v1/decocare-736868-cgm-20150413.csv': 'America/Los_Angeles',
        'legacy-v1/decocare-736868-pcconnect-20150413.csv': 'America/Los_Angeles',
        'legacy-v1/decocare-578398-paradigm522-20150429.csv': 'America/Los_Angeles',
        'legacy-v1/decocare-594040-revel723-headerless.csv': 'America/Los_Angeles',
        'legacy-v1/decocare-208850-paradigm515-2012.csv': 'America/Los_Angeles',
        'fixtures/agpplus-valid-6line-header.csv': 'Europe/Berlin',
        'fixtures/agpplus-valid-8line-header.csv': 'Europe/Berlin',
        'fixtures/agpplus-reordered-columns.csv': 'Europe/Berlin',
        'fixtures/agpplus-malformed.csv': 'Europe/Berlin',
        'fixtures/agpplus-missing-columns.csv': 'Europe/Berlin',
        'fixtures/tidepool-mmcsv-withSettingsChanges.input.csv': 'America/Los_Angeles',
        'fixtures/tidepool-mmcsv-withoutSettingsChanges.input.csv': 'America/Los_Angeles',
        'own/clock-back-mgdl.csv': 'Europe/Berlin',
        'own/legacy-v1.0.1.csv': 'Europe/Berlin',
        'own/pens-mmol-comma.csv': 'Europe/Berlin',
        'own/pump-mgdl-semicolon.csv': 'Europe/Berlin',
}
# Files that must be refused, and the words that say why.
REFUSED_FOR = {'fixtures/agpplus-malformed.csv': 'not a CareLink CSV export', 'fixtures/agpplus-missing-columns.csv': 'no column Date'}
# Rows that must be rejected, read off the files by eye: two boluses of synthetic files that were selected a minute before these end. No other row.
REJECTED = {'fixtures/agpplus-valid-6line-header.csv': {9: 'just selected'}, 'fixtures/agpplus-valid-8line-header.csv': {11: 'just selected'}}
# Synthetic files of one device, with other values, or the same in another unit, for the same moments.
CONTRADICTORY = {name for name in ZONES if name.startswith('fixtures/agpplus')} | {'own/pens-mmol-comma.csv'}
OWN = os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'data', 'carelink')


class Check:
        def __init__(self, name):
                self.name, self.n_failed = name, 0

        def that(self, fact, *what):
                if not fact:
                        self.n_failed += 1
                        if self.n_failed <= 20:
                                print('WRONG:', self.name, *what)


def parse(line):
        """(content, (time, clock)) of an exported record. Numbers stay as they were printed."""
        record = json.loads(line, parse_float=str, parse_int=str)
        time, clock = record.pop('time'), record.pop('clock', None)
        if 'extra' in record:
                record['extra'] = frozenset(record['extra'].split('\t'))
        if 'glucose_source' in record:
                record['glucose_source'] = frozenset(record['glucose_source'].split(','))
        return frozenset(record.items()), (datetime.datetime.fromisoformat(time[:-1]), clock)


def exported(w):
        """{content: [(time, clock)]} of every record that the wallet has."""
        found = collections.defaultdict(list)
        for line in w.cli('export', '--format', 'ndjson').out.splitlines():
                content, time = parse(line)
                found[content].append(time)
        return found


def compare_times(check, clock, records, times):
        """As many as there are of one content: each time must be one that a row may have, and no two of them the same."""
        check.that(len(set(times)) == len(times), 'one time twice', sorted(records[0].key, key=str), times)
        for record in records:
                allowed = clock.utc(record)
                found = [time for time in times for utc, words in allowed if time[0] in utc and time[1] in words]
                check.that(found, 'UTC of line', record.row.line, record.local, 'is', times, 'and must be one of', allowed)


def compare_records(check, expected, found):
        wanted = collections.defaultdict(list)
        for record in expected.records:
                wanted[record.key].append(record)
        for key, records in wanted.items():
                times = found.get(key, [])
                if len(times) == len(records):
                        compare_times(check, expected.clock, records, times)
                        continue
                check.that(False, f'line {records[0].row.line}: {len(records)} must be there,', len(times), 'are:', sorted(key, key=str))
        for key in found.keys() - wanted.keys():
                check.that(False, 'no row of the file says', sorted(key, key=str))


def compare_report(check, expected, report, found):
        """What imports show says, per kind: to zero; and of days, devices and clocks."""
        own, rows = collections.Counter(), collections.Counter()
        for record in expected.records:
                own[record.kind] += 1
        print(f'{check.name}: {len(expected.rows)} rows, {len(expected.rejected)} rejected')
        print(f'  {"kind":14} {"records":>8} {"merged":>8} {"extra":>8}')
        for kind in KINDS:
                said = report['by_kind'].get(kind, {})
                said = [said.get(name, 0) for name in ('inserted', 'merged', 'extra', 'duplicates', 'superseded', 'quarantined')]
                here = [own[kind], expected.merged[kind], expected.extra[kind], 0, 0, 0]
                check.that(said == here, 'counts of', kind, '(inserted, merged, extra, duplicates, superseded, quarantined) are', said, 'and must be', here)
                rows['all'] += said[0] - said[2] + said[1]
                if any(said):
                        print(f'  {kind:14} {said[0] - said[2]:8} {said[1]:8} {said[2]:8}')
        check.that(report['rows'] == len(expected.rows) == rows['all'] + report['rejected_count'], 'the sum of rows', report['rows'], rows)
        for name in ('inserted', 'merged', 'extra', 'duplicates', 'superseded', 'quarantined'):
                check.that(report[name] == sum(by.get(name, 0) for by in report['by_kind'].values()), 'the sum of', name)
        days = [record.local.date().isoformat() for record in expected.records if not expected.clock.is_unset(record.local)] or [None]
        devices = {(device['model'], device['serial']) for device in report['devices']}
        settings = collections.Counter((change['at'], change.get('to')) for change in report['clock_changes'])
        wanted = collections.Counter((record.local.isoformat(), record.event.fields.get('new_time')) for record in expected.records
                                     if record.event.fields.get('type') == 'clock_change')
        clocks = collections.Counter(clock for times in found.values() for _, clock in times if clock)
        check.that((report.get('first_day'), report.get('last_day')) == (min(days), max(days)), 'days', report, 'not', min(days), max(days))
        check.that(devices == {record.device for record in expected.records}, 'devices', devices)
        check.that(settings == wanted and report['clock_changes_count'] == sum(wanted.values()), 'clock changes', settings, 'must be', wanted)
        check.that(report['clocks'] == clocks and report['timezone'] == ZONES[check.name], 'clocks', report['clocks'], 'of the records', clocks)


def compare_rejected(check, expected, rejected, pinned, path):
        with open(path, encoding='utf-8-sig', newline='') as file:
                lines = file.read().splitlines()
        check.that(expected.rejected == pinned, 'rejections by the rules', expected.rejected, 'and by eye', pinned)
        check.that([row['line'] for row in rejected] == sorted(pinned), 'rejected rows', rejected, 'must be', pinned)
        for row in rejected:
                check.that(pinned.get(row['line'], '?') in row['reason'], 'reason of line', row)
                check.that(row['row'] == lines[row['line'] - 1], 'text of line', row)


def insulin(check, expected, found):
        """Counted once: the delivered cells of all boluses and the values of all boluses are one sum."""
        raw = sum(D(printed(cell)) for row in expected.rows if not expected.is_legacy and not row.section.is_aggregated
                  for cell in [row.get('Bolus Volume Delivered')] if cell)
        if expected.is_legacy:
                raw = sum(D(row.cells['Bolus Volume Delivered']) for row in expected.rows if row.get('Bolus Volume Delivered'))
        ours = sum(D(dict(key)['value']) * len(times) for key, times in found.items()
                   for content in [dict(key)] if content['kind'] == 'bolus' and 'value' in content and content['type'] != 'injection')
        check.that(raw == ours, 'insulin', raw, 'in the file,', ours, 'in the wallet')


def compare_order(check, expected, found):
        """Rows stand newest first in a section, readings and events apart: what was later in UTC must be above, whatever the clock showed.

        Up to 20 minutes beside that is how pumps log; times that are said to be uncertain prove nothing.
        """
        newer = {}
        for record in [] if expected.is_legacy else sorted(expected.records, key=lambda record: record.row.line):
                times = found.get(record.key, [])
                if len(times) != 1 or times[0][1] in ('unset', 'ambiguous') or record.kind == 'note' or record.row.section.is_aggregated:
                        continue
                stream = id(record.row.section), record.kind == 'cgm'
                if stream in newer:
                        above, time = newer[stream]
                        check.that(times[0][0] - time < datetime.timedelta(minutes=20), 'line', record.row.line, times[0][0], 'is below line', above, time)
                newer[stream] = record.row.line, times[0][0]


def compare_sample(check, found, lines):
        for line in lines:
                content, time = parse(line)
                check.that(time in found.get(content, []), 'of the sample written by hand is not there:', line)


def compare(check, w, expected, path):
        """The wallet's last import, and all that it holds, with what must be there of the file @check.name."""
        report = w.json('imports', 'show', w.json('imports')[-1]['id'])['report']
        found = exported(w)
        compare_report(check, expected, report, found)
        compare_rejected(check, expected, report['rejected'], REJECTED.get(check.name, {}), path)
        compare_records(check, expected, found)
        compare_order(check, expected, found)
        compare_sample(check, found, SAMPLE.get(check.name, []))
        insulin(check, expected, found)


def reconcile(w, name, path, everything):
        """Number of contradictions. @everything: {content: how often}, to which the file's records are added."""
        check, zone = Check(name), ZONES[name]
        w.cli('timezone', zone)
        if name in REFUSED_FOR:
                refused = w.cli('import', path, code=REFUSED)
                check.that(REFUSED_FOR[name] in refused.err, 'refused for', refused.err)
                check.that(not exported(w), 'something of a refused file is there')
                return check.n_failed

        expected = Expected(path, zoneinfo.ZoneInfo(zone))
        for error in expected.errors:
                check.that(False, error)
        w.cli('import', path, code=PARTLY if name in REJECTED else DONE)
        compare(check, w, expected, path)
        for content, n in collections.Counter(record.key for record in expected.records).items():
                everything[content] = max(n, everything[content])
        w.cli('imports', 'undo', w.json('imports')[-1]['id'], '--yes')
        check.that(not exported(w), 'something is left after the import was taken back')
        print(f'  wrong: {check.n_failed}')
        return check.n_failed


def together(w, paths, everything):
        """Number of contradictions when all files are in one wallet: what several of them have is there once, and nothing is missing."""
        check = Check('all of them together')
        w.cli('import', *paths)
        found = {content: len(times) for content, times in exported(w).items()}
        print(f'{check.name}: {sum(found.values())} records')
        for content in everything.keys() | found.keys():
                check.that(everything.get(content) == found.get(content), everything.get(content), 'must be there,', found.get(content), 'are:', sorted(content, key=str))
        return check.n_failed


def files(folders):
        """{name: path} of all files of the folders, or a skip. Each must be explained above."""
        there = {}
        for folder in folders:
                at = OWN if folder == 'own' else shared('data', 'carelink-csv', folder)
                there.update((f'{folder}/{name}', os.path.join(at, name)) for name in sorted(os.listdir(at)) if name.endswith('.csv'))
        missing = there.keys() ^ {name for name in ZONES if name.split('/')[0] in folders}
        assert not missing, f'files that nobody explains, or that are not there: {sorted(missing)}'
        return there


def main():
        there, everything, n_failed = files(sys.argv[1:]), collections.Counter(), 0
        gc.disable()  # nothing here refers to itself, and there are millions of small things
        with Wallet(timezone='UTC') as w:
                w.init()
                for name, path in there.items():
                        n_failed += reconcile(w, name, path, collections.Counter() if name in CONTRADICTORY else everything)
                n_failed += together(w, [path for name, path in there.items() if name not in CONTRADICTORY], everything)
        return 1 if n_failed else 0


if __name__ == '__main__':
        sys.exit(main())
