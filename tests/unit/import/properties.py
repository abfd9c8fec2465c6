# SPDX-License-Identifier: Apache-2.0
"""Properties of imports, over variants of random truths: properties.py IMPORT-WALLET CASES [SEED]

Any variant of one truth gives the same wallet. The order of files makes no difference, and what overlaps adds nothing.
An import that is undone never was. An export in the other unit adds nothing. Other zones are as if they always had been.
"""

import collections
import itertools
import os
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'data'))
from variants import DAY, Truth, Variant  # noqa: E402

ZONES = ('Europe/Berlin', 'America/New_York', 'Asia/Kolkata', 'UTC', 'Australia/Lord_Howe')


class Undecidable(Exception):
        """A spreadsheet's dates that really could be either: refused, as it should be."""


class Store:
        def __init__(self, program, folder):
                self.folder = folder
                self.process = subprocess.Popen([program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

        def ask(self, line):
                self.process.stdin.write(line + '\n')
                self.process.stdin.flush()
                answer = self.process.stdout.readline().strip()
                assert answer, f'no answer to {line}'
                return answer

        def new(self, zone='Europe/Berlin'):
                self.ask(f'new {zone}')

        def load(self, data, variant, may_be_empty=False):
                """(id, new, duplicates, corrected, rejected); @may_be_empty: of what others end or begin, such as a bolus that is just selected"""
                path = os.path.join(self.folder, 'export.csv')
                with open(path, 'wb') as f:
                        f.write(data)
                answer = self.ask(f'import {path}')
                if answer.startswith('refused') and variant.is_spreadsheet() and "can't be told apart" in answer:
                        raise Undecidable
                if may_be_empty and answer.startswith('refused Not one of'):
                        return [0] * 5
                assert answer.startswith('done'), f'{answer}: {variant}'
                return [int(word) for word in answer.split()[1:]]

        def sum(self):
                return self.ask('sum')

        def exact(self):
                return self.ask('exact')

        def show(self):
                lines = []
                self.process.stdin.write('show\n')
                self.process.stdin.flush()
                while True:
                        line = self.process.stdout.readline()
                        if len(line.split()) == 2 and len(line.split()[1]) == 32:
                                return lines
                        lines.append(line)


def base(store, truth, zone='Europe/Berlin'):
        store.new(zone)
        plain = Variant(random.Random(0), plain=True)
        store.load(plain.bytes(truth), plain)
        return store.sum()


def differ(got, wanted):
        print('only there:', *list((collections.Counter(got) - collections.Counter(wanted)).elements())[:5], sep='\n  ')
        print('missing:', *list((collections.Counter(wanted) - collections.Counter(got)).elements())[:5], sep='\n  ')


def same(store, truth, expected, what, zone='Europe/Berlin'):
        if store.sum() == expected:
                return
        got = store.show()
        base(store, truth, zone)
        wanted = store.show()
        differ(got, wanted)
        raise AssertionError(what)


def a_variant_is_the_same_wallet(store, r, truth):
        expected = base(store, truth)
        variant = Variant(r)
        store.new()
        store.load(variant.bytes(truth), variant)
        same(store, truth, expected, str(variant))
        # and adds nothing to the plain one, or the plain one to it
        plain = Variant(r, plain=True)
        _, new, _, corrected, _ = store.load(plain.bytes(truth), plain)
        assert (new, corrected) == (0, 0), (new, corrected, str(variant))


def files_that_overlap_are_the_whole_in_any_order(store, r, truth):
        zone = r.choice(('Europe/Berlin', 'UTC'))  # elsewhere the clock was put back by hand
        expected = base(store, truth, zone)
        n = r.randrange(2, 5)
        cuts = [r.randrange(DAY, truth.end() - DAY) for _ in range(n - 1)]
        among = [at for at, _, _, fields in truth.rows if DAY < at < truth.end() - DAY and ('bg_source' in fields or 'selected' in fields)]
        if among and r.random() < 0.5:  # between the rows of one event
                cuts[0] = r.choice(among) + r.randrange(0, 2)
        cuts.sort()
        if truth.switch is not None:
                cuts[r.randrange(n - 1)] = truth.switch + r.randrange(-3600, 3600)  # inside the repeated hour
                cuts.sort()
        ranges = list(zip([0, *cuts], [*cuts, truth.end()]))
        files = [(max(0, begin - r.choice((0, 3600, DAY))) if begin else 0, end) for begin, end in ranges]
        r.shuffle(files)
        store.new(zone)
        variants = [Variant(r) for _ in files]
        for (begin, end), variant in zip(files, variants):
                store.load(variant.bytes(truth, begin, end), variant)
        # a bolus that was selected in one file and delivered in the next is whole once a file has both: as a last one does
        plain = Variant(r, plain=True)
        store.load(plain.bytes(truth), plain)
        same(store, truth, expected, f'{files}\n' + '\n'.join(map(str, variants)), zone)
        for (begin, end), variant in zip(files, variants):
                _, new, _, corrected, _ = store.load(variant.bytes(truth, begin, end), variant)
                assert (new, corrected) == (0, 0), (new, corrected, begin, end, str(variant))


def exports_side_by_side_lose_nothing_in_any_order(store, r, truth):
        """Whatever hours the clock showed twice, and where an event is cut: as long as one of two that meet there says that it was set."""
        zone = r.choice(('Europe/Berlin', 'UTC')) if truth.is_set else 'Europe/Berlin'  # who puts a clock back for no zone leaves a row
        base(store, truth, zone)
        n_readings = sum(line.startswith('cgm') for line in store.show())
        cuts = [r.choice([at for at, _, _, _ in truth.rows if DAY < at < truth.end() - DAY]) + r.randrange(0, 2) for _ in range(1 if truth.is_set else r.randrange(1, 3))]
        if truth.switch is not None:
                cuts[0] = truth.switch + r.randrange(-3600, 3600)
        cuts.sort()
        variants = [Variant(r) for _ in range(len(cuts) + 1)]
        files = list(zip([0, *cuts], [*cuts, truth.end()], variants))
        orders = list(itertools.permutations(files))
        shown = []
        for order in orders:
                store.new(zone)
                for begin, end, variant in order:
                        store.load(variant.bytes(truth, begin, end), variant, may_be_empty=True)
                shown.append(store.show())
                n = sum(line.startswith('cgm') for line in shown[-1])
                assert n == n_readings, (n, n_readings, zone, [(begin, end, str(variant)) for begin, end, variant in order])
                if collections.Counter(shown[-1]) != collections.Counter(shown[0]):
                        differ(shown[-1], shown[0])
                        raise AssertionError((zone, [(begin, end, str(variant)) for begin, end, variant in order]))


def an_import_that_is_undone_never_was(store, r, truth):
        """Not a bit of the wallet tells, whatever overlaps, in whatever units and digits."""
        files = []
        for _ in range(r.randrange(2, 5)):
                begin, end = sorted((r.choice((0, r.randrange(truth.end()))), r.choice((truth.end(), r.randrange(truth.end())))))
                if truth.switch is not None and r.random() < 0.5:
                        begin = truth.switch + r.randrange(-3600, 3600)
                        end = r.randrange(begin, truth.end())
                variant = Variant(r, unit=r.choice(('mg/dL', 'mg/dL', 'mmol/L')))
                files.append((variant.bytes(truth, begin, end), variant, begin, end))
        gone = [i for i in range(len(files)) if r.random() < 0.5] or [0]
        r.shuffle(gone)

        store.new()
        for i, (data, variant, _, _) in enumerate(files):
                if i not in gone:
                        store.load(data, variant)
        expected = store.exact()
        wanted = store.show()

        store.new()
        ids = [store.load(data, variant)[0] for data, variant, _, _ in files]
        for i in gone:
                store.ask(f'undo {ids[i]}')
        if store.exact() != expected:
                differ(store.show(), wanted)
                raise AssertionError(f'undone: {gone}\n' + '\n'.join(f'{begin} {end} {variant}' for _, variant, begin, end in files))
        for i, id in enumerate(ids):
                if i not in gone:
                        store.ask(f'undo {id}')
        assert store.sum().startswith('0 '), 'all undone'


def the_other_unit_adds_nothing(store, r, truth):
        units = ['mg/dL', 'mmol/L']
        r.shuffle(units)
        first, second = (Variant(r, unit=unit) for unit in units)
        store.new()
        store.load(first.bytes(truth), first)
        before = store.sum()
        _, new, _, corrected, _ = store.load(second.bytes(truth), second)
        if (new, corrected) != (0, 0):
                print(*store.show()[:8])
        assert (new, corrected) == (0, 0), (new, corrected, str(first), str(second))
        assert store.sum() == before


def other_zones_are_as_if_they_always_had_been(store, r, truth):
        if truth.switch is not None:
                return
        zones = r.sample(ZONES, 2)
        day = truth.start.date().isoformat()
        spec = f'{zones[1]};{day}={r.choice(ZONES)}' if r.random() < 0.5 else zones[1]
        variant = Variant(r)
        store.new(spec)
        store.load(variant.bytes(truth), variant)
        expected = store.sum()
        store.new(zones[0])
        store.load(variant.bytes(truth), variant)
        store.ask(f'zones {spec}')
        assert store.sum() == expected, (zones, spec)


PROPERTIES = (a_variant_is_the_same_wallet, files_that_overlap_are_the_whole_in_any_order, exports_side_by_side_lose_nothing_in_any_order, an_import_that_is_undone_never_was,
              the_other_unit_adds_nothing, other_zones_are_as_if_they_always_had_been)


def main():
        program, n, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1
        begun, n_of, n_refused = time.monotonic(), collections.Counter(), 0
        with tempfile.TemporaryDirectory(dir='/dev/shm' if os.access('/dev/shm', os.W_OK) else None) as folder:
                store = Store(program, folder)
                for case in range(seed, seed + n):
                        r = random.Random(case)
                        check = PROPERTIES[case % len(PROPERTIES)]
                        try:
                                check(store, r, Truth(case, back=r.random() < 0.2, late=r.random() < 0.5))
                                n_of[check.__name__] += 1
                        except Undecidable:
                                n_refused += 1
                        except AssertionError:
                                print(f'case {case} of {check.__name__}: try properties.py {program} 1 {case}')
                                raise
        for name, count in n_of.items():
                print(f'{count:6} {name}')
        print(f'{n_refused:6} refused because day and month could be either; {time.monotonic() - begun:.0f} s')
        assert n_refused * 5 < n or n < 20
        return 0


sys.exit(main())
