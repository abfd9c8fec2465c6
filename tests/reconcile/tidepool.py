# SPDX-License-Identifier: Apache-2.0
"""What Tidepool's parser makes of its two CareLink fixtures, beside what a wallet has of them after an import.

Where both models have a thing they must agree in device time and in every number and word; each member of Tidepool's
objects is compared, or named below with the reason why not; what only one of them has is counted, and the table of that
is pinned. Exit code 77: no reference data here (skipped).
"""

import collections
import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
from wallet import Wallet, shared  # noqa: E402

AGREE = 'agree'
MEAL = 'ours alone: the meal of an estimate, as carbs too; Tidepool has it in the estimate alone'
PARTS = 'agree: Tidepool puts what was valid at a moment together into one object'
SINGLE = 'agree: parts of such objects, a record each'
SETTING = 'ours alone: settings of which Tidepool keeps nothing (patterns, units, enablings, remote controls ...)'
EVENTS = {('basal', AGREE): 5, ('bolus', AGREE): 3, ('cgm', AGREE): 1, ('fingerstick', AGREE): 1, ('wizard', AGREE): 1, ('carbs', MEAL): 1}
TABLE = {
        'withSettingsChanges': {**EVENTS, ('settings', PARTS): 5, ('settings', SINGLE): 62, ('settings', SETTING): 21},
        'withoutSettingsChanges': {**EVENTS, ('settings', PARTS): 1, ('settings', SINGLE): 30, ('settings', SETTING): 7},
}
# Members of Tidepool's objects that no record of ours has.
NOT_OURS = {
        '_id': 'its own database', 'company': 'always "carelink"',
        'joinKey': 'ties an estimate to its boluses: ours are tied by their time', 'units': 'of all settings at once: ours say theirs one by one',
}
# What a settings object of Tidepool's is made of, and the name of the records that say the same.
PARTS_OF = {
        'bgTarget': ('BGTargetRange', {'low': 'AMOUNT_LOW', 'high': 'AMOUNT_HIGH'}),
        'carbRatio': ('CarbRatio', {'amount': 'AMOUNT'}),
        'insulinSensitivity': ('InsulinSensitivity', {'amount': 'AMOUNT'}),
        'basalSchedules': ('BasalProfile', {'rate': 'RATE'}),
}
WIZARD = {
        'estimate': 'value', 'targetLow': 'target_low', 'targetHigh': 'target_high', 'carbRatio': 'carb_ratio', 'insulinSensitivity': 'sensitivity',
        'carbInput': 'carbs', 'bgInput': 'glucose_input', 'correctionEstimate': 'correction_estimate', 'foodEstimate': 'food_estimate',
        'activeInsulin': 'unabsorbed', 'carbUnits': 'carb_unit', 'bgUnits': 'glucose_unit',
}
WORDS = {'grams': 'gram', 'mg dl': 'mg_dl'}


def as_ours(theirs):
        """What of a record of ours must be just so. Takes each member of @theirs that it knows."""
        take = theirs.pop
        kind, ours = take('type'), {'local_time': take('deviceTime'), 'device': take('deviceId')}
        for name in NOT_OURS:
                theirs.pop(name, None)
        if kind == 'wizard':
                return 'wizard', {**ours, **{WIZARD[name]: WORDS.get(value, value) for name, value in take('payload').items()}}
        if kind == 'basal-rate-change' and take('deliveryType') == 'temp':
                return 'basal', {**ours, 'type': 'temp_percent', 'unit': '%', 'value': take('percent'), 'duration_s': take('duration') // 1000}
        ours['value'] = take('value')
        if kind == 'basal-rate-change':
                return 'basal', {**ours, 'type': 'rate', 'unit': 'U/h', 'name': take('scheduleName')}
        if kind == 'bolus':
                duration = {'duration_s': theirs.pop('duration') // 1000} if 'duration' in theirs else {}
                return 'bolus', {**ours, **duration, 'type': take('subType').replace('/', '_'), 'unit': 'U', 'programmed': take('programmed'), 'delivered': ours['value']}
        return {'cbg': 'cgm', 'smbg': 'fingerstick'}[kind], {**ours, 'unit': 'mg/dL'}


def parts_of(theirs):
        """(setting, start in s, its values) of each part of a settings object; a member of which nothing is known is a KeyError."""
        theirs = {name: value for name, value in theirs.items() if name not in (*NOT_OURS, 'type', 'deviceTime', 'deviceId')}
        yield 'ActiveBasalProfilePattern', None, theirs.pop('activeBasalSchedule')
        for name, lists in theirs.items():
                setting, keys = PARTS_OF[name]
                for part in lists if isinstance(lists, list) else sum(lists.values(), []):
                        yield setting, part['start'] // 1000, frozenset((keys[key], value) for key, value in part.items() if key != 'start')


def part_of(ours):
        """The same of a record, or None; 'Pre': what was valid before a change."""
        setting = ours['setting'].removeprefix('Current').removeprefix('Change').removesuffix('Pre')
        if setting == 'ActiveBasalProfilePattern':
                return setting, None, ours['name']
        keys = {key for name, keys in PARTS_OF.values() if name == setting for key in keys.values()}
        values = [pair.split('=') for pair in ours.get('setting_value', '').split(', ') if '=' in pair]
        return (setting, ours['start_s'], frozenset((key, float(value)) for key, value in values if key in keys)) if keys else None


def compare(w, name):
        with open(shared('data', 'carelink-csv', 'fixtures', f'tidepool-mmcsv-{name}.output.json')) as f:
                theirs = json.load(f)
        w.cli('import', shared('data', 'carelink-csv', 'fixtures', f'tidepool-mmcsv-{name}.input.csv'))
        ours = w.cli('export', '--format', 'ndjson').rows
        w.cli('imports', 'undo', w.json('imports')[-1]['id'], '--yes')
        table, n_wrong, parts = collections.Counter(), 0, set()

        for one in theirs:
                if one['type'] == 'settings':
                        parts |= set(parts_of(one))
                        table['settings', PARTS] += 1
                        continue
                left = dict(one)
                kind, fields = as_ours(left)
                found = [r for r in ours if r['kind'] == kind and all(r.get(field) == value for field, value in fields.items())]
                if len(found) != 1 or left:
                        print('WRONG:', one, 'is', fields, 'and there are', found, 'not compared:', left)
                        n_wrong += 1
                        continue
                table[kind, AGREE] += 1
                ours.remove(found[0])

        missing = parts - {part_of(record) for record in ours if record['kind'] == 'settings'}
        if missing:
                print('WRONG: settings that no record has:', missing)
                n_wrong += 1
        for record in ours:
                part = part_of(record) if record['kind'] == 'settings' else None
                reason = MEAL if record['kind'] == 'carbs' else SINGLE if part in parts else SETTING if record['kind'] == 'settings' and not part else 'WRONG'
                table[record['kind'], reason] += 1

        print(name)
        for (kind, what), n in sorted(table.items()):
                print(f'  {n:4} {kind:12} {what}')
        if table != collections.Counter(TABLE[name]):
                print('WRONG: the table must be', TABLE[name])
                n_wrong += 1
        return n_wrong


def main():
        shared('data', 'carelink-csv', 'fixtures')
        with Wallet(timezone='UTC') as w:
                w.init()
                return 1 if sum(compare(w, name) for name in TABLE) else 0


sys.exit(main())
