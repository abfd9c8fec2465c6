# SPDX-License-Identifier: Apache-2.0
"""What Tidepool's parser makes of its two CareLink fixtures, beside what ours does: tidepool.py DUMP-FRAMES

Prints a table. What both models have must agree in device time and every number; what only one has is named with its
reason, and anything else is an error. Exit code 77: no reference data here (skipped).
"""

import collections
import datetime
import json
import os
import subprocess
import sys

EPOCH = datetime.datetime(1970, 1, 1)
OURS_ALONE = {
        'carbs': 'the meal of an estimate: Tidepool has it in the estimate alone',
        'settings': 'each change as it came: Tidepool puts what was valid at a moment together into one object',
}


def milli(value):
        return round(value * 1000)


def key_of(theirs):
        """(kind, value, fields) as ours would have it."""
        kind = theirs['type']
        if kind in ('cbg', 'smbg'):
                return {'cbg': 'cgm', 'smbg': 'fingerstick'}[kind], milli(theirs['value']), {}
        if kind == 'basal-rate-change' and theirs['deliveryType'] == 'temp':
                return 'basal', milli(theirs['percent'] if 'percent' in theirs else theirs['value']), {'type': 'temp_percent' if 'percent' in theirs else 'temp',
                                                                                                     'duration_s': theirs['duration'] // 1000}
        if kind == 'basal-rate-change':
                return 'basal', milli(theirs['value']), {'type': 'rate', 'name': theirs['scheduleName']}
        if kind == 'bolus':
                fields = {'type': theirs['subType'].replace('/', '_'), 'programmed': milli(theirs['programmed'])}
                if 'duration' in theirs:
                        fields['duration_s'] = theirs['duration'] // 1000
                return 'bolus', milli(theirs['value']), fields
        if kind == 'wizard':
                p = theirs['payload']
                return 'wizard', milli(p['estimate']), {
                        'carbs': milli(p['carbInput']), 'carb_ratio': milli(p['carbRatio']), 'sensitivity': milli(p['insulinSensitivity']), 'target_low': milli(p['targetLow']),
                        'target_high': milli(p['targetHigh']), 'glucose_input': milli(p['bgInput']), 'correction_estimate': milli(p['correctionEstimate']),
                        'food_estimate': milli(p['foodEstimate'])}
        return None


def compare(dump, folder, name):
        with open(os.path.join(folder, f'tidepool-mmcsv-{name}.output.json')) as f:
                theirs = json.load(f)
        output = subprocess.run([dump, os.path.join(folder, f'tidepool-mmcsv-{name}.input.csv'), 'UTC'], stdout=subprocess.PIPE, check=True).stdout
        ours = collections.defaultdict(list)
        for line in output.decode().splitlines():
                record = json.loads(line)
                if record['event'] == 'record':
                        ours[record['kind'], record['local_ms']].append(record)
        table, n_wrong = collections.Counter(), 0

        for one in theirs:
                key = key_of(one)
                if not key:
                        table[one['type'], 'theirs alone: ' + OURS_ALONE['settings']] += 1
                        continue
                kind, value, fields = key
                local_ms = (datetime.datetime.fromisoformat(one['deviceTime']) - EPOCH) // datetime.timedelta(milliseconds=1)
                found = [r for r in ours[kind, local_ms] if r['value_milli'] == value and all(r['fields'].get(k, 0) == v for k, v in fields.items())]
                table[kind, 'agree' if found else 'WRONG'] += 1
                n_wrong += not found
                if found:
                        ours[kind, local_ms].remove(found[0])
                else:
                        print('WRONG:', one, ours[kind, local_ms])
        for (kind, _), records in ours.items():
                for record in records:
                        table[kind, 'ours alone: ' + OURS_ALONE.get(kind, 'WRONG')] += 1
                        n_wrong += kind not in OURS_ALONE
        print(name)
        for (kind, what), n in sorted(table.items()):
                print(f'  {n:4} {kind:12} {what}')
        return n_wrong


def main():
        root = os.environ.get('CAREWALLET_SHARED') or os.path.join(os.path.dirname(__file__), '..', '..', '..', 'shared')
        folder = os.path.join(root, 'data', 'carelink-csv', 'fixtures')
        if not os.path.isdir(folder):
                print('skipped: no reference data (CAREWALLET_SHARED)')
                return 77
        return 1 if sum(compare(sys.argv[1], folder, name) for name in ('withSettingsChanges', 'withoutSettingsChanges')) else 0


sys.exit(main())
