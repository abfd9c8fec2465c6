#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""validate.py refuses a preset with any one thing wrong, and says which: test-validate.py VALIDATE"""

import copy
import json
import os
import subprocess
import sys
import tempfile

GOOD = {
        'name': 'friend', 'description': 'For a friend who looks after you on a journey.', 'purpose': 'PATRQT',
        'for_days': 365, 'uses': 1000000,
        'scope': {'kinds': ['cgm', 'note'], 'detail': 'data', 'identity': 'none', 'free_text': False,
                  'window': {'last_days': 36500, 'newer': True}},
        'terms': {'retention_days': 3650, 'onward_sharing': False},
}
GONE = object()
BAD = [
        (('name',), 'Friend'), (('name',), 'other'), (('name',), GONE), (('name',), 7),
        (('description',), ''), (('description',), 'Says "quotes" and ends well, as it should.'),
        (('description',), 'Says a lot and never comes to its end'), (('description',), 'Back\\slash is not for you, is it so.'),
        (('description',), 'Two lines are too many\nfor one paragraph.'),
        (('purpose',), 'FUN'), (('purpose',), None), (('purpose',), 'treat'),
        (('for_days',), 0), (('for_days',), 366), (('for_days',), 1.5), (('for_days',), True), (('for_days',), '30'),
        (('uses',), -1), (('uses',), 1000001),
        (('scope', 'kinds'), []), (('scope', 'kinds'), ['cgm', 'cgm']), (('scope', 'kinds'), ['sugar']), (('scope', 'kinds'), 'cgm'),
        (('scope', 'kinds'), [['cgm']]), (('scope', 'kinds'), GONE),
        (('scope', 'detail'), 'summary'),  # of more than cgm
        (('scope', 'detail'), 'report'), (('scope', 'identity'), 'name'), (('scope', 'free_text'), True), (('scope', 'free_text'), 0),
        (('scope', 'window', 'last_days'), 0), (('scope', 'window', 'last_days'), 36501), (('scope', 'window', 'newer'), 1),
        (('scope', 'window'), None), (('scope', 'write'), True),
        (('terms', 'retention_days'), 0), (('terms', 'retention_days'), 3651), (('terms', 'onward_sharing'), True),
        (('terms',), GONE), (('extra',), 1),
]


def validates(validate, directory, text):
    path, output = os.path.join(directory, 'friend.json'), os.path.join(directory, 'out.c')
    with open(path, 'w', encoding='utf-8') as file:
        file.write(text)
    result = subprocess.run([sys.executable, validate, output, path], capture_output=True, text=True, check=False)
    if 'Traceback' in result.stderr:
        raise SystemExit(f'{text}\n{result.stderr}')
    if result.returncode and path not in result.stderr:
        raise SystemExit(f'the error does not name the file: {result.stderr}')
    return result.returncode == 0


def main(validate):
    failed = 0
    with tempfile.TemporaryDirectory() as directory:
        if not validates(validate, directory, json.dumps(GOOD)):
            print('a good preset is refused')
            failed += 1
        for path, value in BAD:
            preset = copy.deepcopy(GOOD)
            place = preset
            for name in path[:-1]:
                place = place[name]
            if value is GONE:
                del place[path[-1]]
            else:
                place[path[-1]] = value
            if validates(validate, directory, json.dumps(preset)):
                print(f'accepted: {".".join(path)} = {value!r}')
                failed += 1
        for text in ('', '[]', '{', 'null', json.dumps(GOOD)[:-1] + ', "uses": 1}', json.dumps(GOOD).replace('journey', 'voyage\u00e9')
                     .encode().decode('unicode_escape')):
            if validates(validate, directory, text):
                print(f'accepted: {text}')
                failed += 1
    print(f'{len(BAD) + 7} presets tried, {failed} wrong answers')
    return failed != 0


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
