# SPDX-License-Identifier: Apache-2.0
"""Whether reconcile.py would notice: one cell of a file is changed, the wallet is compared with the file as it was.

        notices.py N [SEED]     N changes to each of the project's own files
"""

import contextlib
import csv
import io
import random
import re
import sys
import zoneinfo

from expected import Expected
from reconcile import ZONES, Check, compare, files
from wallet import Wallet

# What makes no difference: Date and Time once more, and the numbers of rows (kept, but not of those that are part of another's record).
UNUSED = ('Index', 'Timestamp', 'Raw-ID', 'Raw-Upload ID', 'Raw-Seq Num')


def cells(lines):
        """[(line, cell)] of what is there to be changed."""
        delimiter, header = next(re.match('Index(.)', line)[1] for line in lines if line.startswith('Index')), None
        for n, row in enumerate(csv.reader(lines, delimiter=delimiter)):
                if row and row[0] == 'Index':
                        header = [name.partition(' (')[0] for name in row]
                elif row and row[0] == '-------':
                        header = None
                elif header:
                        yield from ((n, i, delimiter) for i, cell in enumerate(row) if cell and header[i] not in UNUSED)


def changed(line, i, delimiter, rng):
        """The line with another digit, or another letter, in its cell i."""
        row = next(csv.reader([line], delimiter=delimiter))
        places = [m.start() for m in re.finditer(r'\d' if re.search(r'\d', row[i]) else r'\w', row[i])]
        at = rng.choice(places)
        row[i] = row[i][:at] + (str((int(row[i][at]) + rng.randint(1, 9)) % 10) if row[i][at].isdigit() else 'x' if row[i][at] != 'x' else 'y') + row[i][at + 1:]
        text = io.StringIO()
        csv.writer(text, delimiter=delimiter, lineterminator='').writerow(row)
        return text.getvalue()


def contradicts_itself(path, zone):
        """In v1.0.1 what is for people and what is for programs; or it can't be read at all."""
        try:
                return Expected(path, zone).errors
        except (ArithmeticError, KeyError, ValueError):
                return True


def main(n_changes, seed='1'):
        rng, n_missed, n_refused = random.Random(int(seed)), 0, 0
        with Wallet(timezone='UTC') as w:
                w.init()
                for name, path in files(['own']).items():
                        zone = zoneinfo.ZoneInfo(ZONES[name])
                        w.cli('timezone', zone.key)
                        expected = Expected(path, zone)
                        with open(path, encoding='utf-8-sig', newline='') as file:
                                lines = file.read().splitlines()
                        there = list(cells(lines))
                        for n, i, delimiter in (rng.choice(there) for _ in range(int(n_changes))):
                                spoilt = [*lines[:n], changed(lines[n], i, delimiter, rng), *lines[n + 1:]]
                                with open(w.path('spoilt.csv'), 'w', encoding='utf-8', newline='') as file:
                                        file.write('\r\n'.join(spoilt) + '\r\n')
                                if w.cli('import', w.path('spoilt.csv'), code=None).code not in (0, 5):
                                        n_refused += 1
                                        continue
                                check = Check(name)
                                with contextlib.redirect_stdout(io.StringIO()):
                                        compare(check, w, expected, path)
                                if not check.n_failed and not contradicts_itself(w.path('spoilt.csv'), zone):
                                        print('NOT NOTICED:', name, 'line', n + 1, lines[n], 'as', spoilt[n])
                                        n_missed += 1
                                w.cli('imports', 'undo', w.json('imports')[-1]['id'], '--yes')
        print(f'{n_changes} changes to each of the files, {n_refused} refused at once, {n_missed} not noticed')
        return 1 if n_missed else 0


sys.exit(main(*sys.argv[1:]))
