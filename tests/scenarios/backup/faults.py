# SPDX-License-Identifier: Apache-2.0
"""Power cuts and failing disks at every change of a file: what was acknowledged is there, and nothing is half.

A library between the programs and the kernel writes down what they do to files. A power cut at any moment is then made of that, also
with what was not synced in another order (tests/lib/powercut.py); and the work is done again on a disk that fails from some change on.
CAREWALLET_FAULT_POINTS says at how many places (default: 3; 0: all of them, which takes hours: ./dev faults).
"""

import hashlib
import mmap
import os
import re
import shutil
import struct
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from powercut import PowerCut, all_of_it, none_of_it, notes, some_of_it
from varlink import Varlink
from wallet import BUILD, PASSPHRASE, ROOT, Wallet, generate, skip

FIRST = os.path.join(ROOT, 'tests', 'data', 'wallets', '1')
LIBRARY = os.path.join(BUILD, 'tests', 'simulators', 'libfaults.so')
POINTS = int(os.environ.get('CAREWALLET_FAULT_POINTS', '3'))
OFF, RECORD, FULL, BROKEN, READ_ONLY, UNREADABLE, NO_MEMORY = range(7)
DISKS = {FULL: 'full', BROKEN: 'broken', READ_ONLY: 'read-only', UNREADABLE: 'unreadable'}
ROOM_FOR_NOTES = 256 << 20  # a hole, mostly
PARTS = 'state', 'home', 'out'
SECOND = 'quartz nimbus teapot voyage'
CODE = re.compile(r'\w{5}(-\w{5}){7}')
WITH_CODE = '--recovery-fd', '{}'

# How many changes of files each work makes: a number that shrinks says that some are not seen any more.
AT_LEAST = {'init': 170, 'import': 170, 'grant': 20, 'revoke': 90, 'revoke, locked': 5, 'key change': 20, 'key add': 20, 'key remove': 20, 'key recovery': 24,
            'key rotate': 240, 'backup': 100, 'restore': 28, 'unlock after restore': 90, 'migration': 95, 'forget': 320}


def slots_of(state):
        """The newest whole slot file: generation, and (type, label, salt) of each slot."""
        found = []
        for name in 'slots', 'slots.bak':
                try:
                        with open(os.path.join(state, name), 'rb') as f:
                                data = f.read()
                except FileNotFoundError:
                        continue
                n = int.from_bytes(data[64:68], 'little')
                if hashlib.blake2b(data[:-16], digest_size=16).digest() == data[-16:]:
                        slots = [data[72 + 172 * i:72 + 172 * (i + 1)] for i in range(n)]
                        found.append((int.from_bytes(data[8:16], 'little'), [(s[0], s[106:106 + int.from_bytes(s[104:106], 'little')].decode(), s[16:32]) for s in slots]))
        return max(found, key=lambda f: f[0], default=(0, []))


class Faulty(Wallet):
        """A wallet whose files can fail. Opened by the recovery code, which takes no second."""

        def __init__(self):
                super().__init__(start=False)
                path = self.path('faults')
                with open(path, 'wb') as f:
                        f.truncate(ROOM_FOR_NOTES)
                with open(path, 'r+b') as f:
                        self.shared = mmap.mmap(f.fileno(), ROOM_FOR_NOTES)
                self.faulty = {'LD_PRELOAD': LIBRARY, 'CAREWALLET_FAULTS': path}
                os.mkdir(self.path('out'))

        def between(self, yes):
                """Whether the library is between the programs and their files."""
                for env in self.env, self.daemon_env:
                        for name, value in self.faulty.items():
                                env.pop(name, None)
                                if yes:
                                        env[name] = value

        def arm(self, mode, n_left=0):
                self.shared[:80] = struct.pack('<10q', mode, n_left, *[0] * 8)

        def disarm(self):
                """Return: how many calls there were that each failure could have hit."""
                self.shared[:8] = struct.pack('<q', OFF)
                return struct.unpack('<7q', self.shared[24:80])

        def put(self, base):
                """The files as they are in a folder that keep() made; no daemon runs."""
                if self.process:
                        self.kill()
                for part in PARTS:
                        shutil.rmtree(self.path(part), ignore_errors=True)
                        if os.path.exists(os.path.join(base, part)):
                                shutil.copytree(os.path.join(base, part), self.path(part))

        def keep(self, name):
                for part in PARTS:
                        if os.path.exists(self.path(part)):
                                shutil.copytree(self.path(part), os.path.join(self.path(name), part))
                return self.path(name)

        def opened(self, *codes):
                """Opens it by the first of these recovery codes that does; without one by the passphrase."""
                if not codes:
                        return self.unlock()
                for code in codes:
                        result = self.cli('unlock', '--recovery-fd', '{}', passphrase=code, code=None)
                        if result.code == 0:
                                return result
                raise AssertionError(f'no code opens it: {result}')

        def view(self):
                """All that the patient can see, but for what is another one each time."""
                rows = self.cli('show', '--all', '--json').out
                return {'rows': hashlib.sha256(rows.encode()).hexdigest(), 'n': rows.count('\n'),
                        'grants': sorted((g['provider'], g['state']) for g in self.json('grants')),
                        'imports': [i['file'] for i in self.json('imports')]}


class Work:
        """Something that the patient does: from the files in @base, with the library between from @armed on."""

        def __init__(self, name, base, run, codes, unlocked=True, started=True, view=None, between=None, extra=None, may_forget=False, disks=DISKS, keeps_keys=True):
                self.name, self.base, self.run, self.codes, self.unlocked, self.started, self.view = name, base, run, codes, unlocked, started, view
                self.between = between      # whether a state that is neither before nor after is allowed where nothing was acknowledged
                self.extra = extra          # more that has to hold afterwards
                self.may_forget = may_forget  # what is refused may hold for as long as the daemon runs
                self.disks, self.keeps_keys = disks, keeps_keys


class Faults(unittest.TestCase):
        """What the works have in common."""

        @classmethod
        def setUpClass(cls):
                if not os.path.exists(LIBRARY):
                        skip('no fault library in this build')
                cls.w = w = Faulty()
                cls.addClassCleanup(w.close)
                cls.empty = w.keep('empty')
                w.start()
                w.init()
                cls.code = CODE.search(w.recovery_output).group()
                generate(w.path('a.csv'), '--days', 3, '--end', '2026-03-20', '--seed', 1)
                generate(w.path('b.csv'), '--days', 3, '--end', '2026-03-25', '--seed', 2)
                w.cli('import', w.path('a.csv'))
                w.provider('clinic')
                w.grant('clinic', '--from', '2026-03-18', '--to', '2026-03-20')
                w.stop()
                cls.base = w.keep('base')

        def setUp(self):
                self.w.between(False)

        def places(self, n, others=0):
                """Of n; other ones for another number of @others."""
                if POINTS == 0 or n <= POINTS:
                        return range(n)
                return sorted({int((i + others % 4 / 4) * n / POINTS) for i in range(POINTS)})

        # --- looking

        def look(self, work):
                """What is there after a start: opened, whole, and to no one's eyes older than it was."""
                w = self.w
                w.start()
                if not w.json('status')['initialized']:
                        return 'nothing'
                result = w.opened(*work.codes())
                self.assertNotIn('older', result.err)
                view = (work.view or w.view)()
                with Varlink(w.socket) as v:
                        check = v.call('Check')
                self.assertTrue(check['parameters'].get('whole'), check)
                if work.extra:
                        work.extra()
                return view, slots_of(w.state)[1] if work.keeps_keys else None

        def begin(self, work):
                """Return: what is armed is what the work does."""
                w = self.w
                w.put(work.base)
                w.between(True)
                w.arm(OFF)
                if work.started:
                        w.start()
                        if work.unlocked:
                                w.opened(*work.codes())

        def end(self):
                if self.w.process:
                        self.w.kill()
                self.w.between(False)

        # --- a power cut

        def cut_everywhere(self, work):
                w = self.w
                w.put(work.base)
                before = self.look(work)
                self.begin(work)
                cut = PowerCut(w.directory, PARTS)
                w.arm(RECORD)
                result = work.run()
                self.n_calls = w.disarm()
                self.end()
                self.assertEqual(result.code, 0, result)
                after = self.look(work)
                trial = list(notes(w.shared))
                n_done = n_states = 0
                total = len(trial)
                wanted = set(self.places(total + 1)) | {total}
                for at in range(total + 1):
                        if at > 0 and cut.apply(trial[at - 1]):
                                n_done += 1
                        if at not in wanted:
                                continue
                        is_end = at == total
                        ways = [('none', none_of_it)] + [(f'some {seed}', some_of_it(seed)) for seed in range(3)] + [('all', all_of_it)]
                        if POINTS > 0:
                                ways = ways[:2] if is_end else [ways[at % 5]]
                        for how, keep in ways:
                                with self.subTest(work.name, cut=at, of=total, unsynced=how):
                                        if w.process:
                                                w.kill()
                                        cut.write(w.directory, keep)
                                        for part in PARTS:
                                                os.makedirs(w.path(part), mode=0o700, exist_ok=True)
                                        now = self.look(work)
                                        n_states += 1
                                        if is_end:
                                                self.assertEqual(now, after, 'it was acknowledged')
                                        elif now not in (before, after):
                                                self.assertTrue(work.between and work.between(now, before, after), f'{now} is neither before {before} nor after {after}')
                print(f'{work.name}: {n_done} changes of files, {n_states} power cuts')
                self.assertGreaterEqual(n_done, AT_LEAST[work.name])
                return before, after

        # --- a disk that fails

        def fail_everywhere(self, work, before, after):
                w, said, n_faults = self.w, set(), 0
                for mode, disk in work.disks.items():
                        n = self.n_calls[mode]
                        for at in self.places(n, mode):
                                with self.subTest(work.name, disk=disk, at=at, of=n):
                                        self.begin(work)
                                        w.arm(mode, at)
                                        result = work.run()
                                        w.disarm()
                                        n_faults += 1
                                        if result.code != 0:
                                                said.add(result.err.strip())
                                                self.assertNotRegex(result.err, 'nternal|inside carewallet')
                                        if work.started:  # the disk is well again, and the daemon was never away, if it could start at all
                                                if w.process.poll() is not None:
                                                        w.process = None
                                                        w.start()
                                                self.assertIsNotNone(w.json('status')['version'])
                                                if w.json('status')['initialized'] and w.is_locked():
                                                        w.opened(*work.codes())
                                                now = self.same(work, result, before, after)
                                        self.end()
                                        again = self.loosely(self.look(work))
                                        if not work.started:
                                                now = again
                                        allowed = [now, self.loosely(before)] if work.may_forget and result.code != 0 else [now]
                                        self.assertIn(again, allowed, 'what is on the disk is not what was shown')
                                        self.end()
                print(f'{work.name}: {n_faults} failures of a disk')
                for text in sorted(said):
                        print('   ', text.replace('\n', ' '))

        # --- no memory

        def starve_everywhere(self, work, before, after):
                """One allocation of the core fails: it says so, or ends; what it had said stays true."""
                w, n_ended = self.w, 0
                for at in self.places(self.n_calls[NO_MEMORY]):
                        with self.subTest(work.name, allocation=at, of=self.n_calls[NO_MEMORY]):
                                self.begin(work)
                                w.arm(NO_MEMORY, at)
                                result = work.run()
                                w.disarm()
                                self.assertNotIn('Segmentation', w.log_text())
                                n_ended += w.process.poll() is not None
                                self.end()
                                now = self.loosely(self.look(work))
                                self.assertIn(now, [self.loosely(seen) for seen in ((after,) if result.code == 0 else (before, after))])
                                self.end()
                print(f'{work.name}: {len(self.places(self.n_calls[NO_MEMORY]))} failures of memory, {n_ended} ended it')

        def loosely(self, seen):
                return seen if seen == 'nothing' else (seen[0], seen[1] and [(slot[0], slot[1]) for slot in seen[1]])

        def same(self, work, result, before, after):
                w = self.w
                now = 'nothing' if not w.json('status')['initialized'] else ((work.view or w.view)(), slots_of(w.state)[1] if work.keeps_keys else None)
                loose = self.loosely(now)
                if result.code == 0:
                        self.assertEqual(loose, self.loosely(after), 'it was acknowledged')
                elif loose not in (self.loosely(before), self.loosely(after)):
                        self.assertTrue(work.between and work.between(now, before, after), f'{loose} is neither before nor after')
                return loose

        def everywhere(self, *args, **options):
                work = Work(*args, **options)
                before, after = self.cut_everywhere(work)
                self.fail_everywhere(work, before, after)
                if work.started and not work.between:
                        self.starve_everywhere(work, before, after)

        def codes(self):
                return [self.code]

        def cli(self, *args, **options):
                return lambda: self.w.cli(*args, code=None, timeout_s=60, **options)


class Keys(Faults):
        def test_init(self):
                w, out = self.w, self.w.path('out/code')

                def init():
                        return w.cli('init', '--passphrase-fd', '{}', '--timezone', 'Europe/Berlin', '--recovery-out', out, passphrase=PASSPHRASE, code=None)

                def view():
                        return w.json('status')['records'], w.json('grants')

                def codes():
                        """The code reaches paper when the wallet was made; cut before, the passphrase opens it."""
                        if not os.path.exists(out) or os.path.getsize(out) < 48:
                                return []
                        with open(out) as f:
                                return [f.read().strip()]
                work = Work('init', self.empty, init, codes, unlocked=False, view=view, keeps_keys=False)
                before, after = self.cut_everywhere(work)
                self.assertEqual(before, 'nothing')
                self.fail_everywhere(work, before, after)

        def test_key_change(self):
                self.everywhere('key change', self.base, self.cli('key', 'change', 'passphrase', '--recovery-fd', '{}', '--new-passphrase-fd', '{}', passphrase=self.code,
                                                                  extra_passphrases=[SECOND]), self.codes)

        def test_key_add(self):
                self.everywhere('key add', self.base, self.cli('key', 'add', 'mother', '--recovery-fd', '{}', '--new-passphrase-fd', '{}', passphrase=self.code,
                                                               extra_passphrases=[SECOND]), self.codes)

        def test_key_remove(self):
                self.everywhere('key remove', self.with_two_keys(), self.cli('key', 'remove', 'mother', '--yes', *WITH_CODE, passphrase=self.code), self.codes)

        def with_two_keys(self):
                w = self.w
                w.put(self.base)
                w.start()
                w.opened(self.code)
                w.cli('key', 'add', 'mother', '--recovery-fd', '{}', '--new-passphrase-fd', '{}', passphrase=self.code, extra_passphrases=[SECOND])
                w.stop()
                return w.keep('two-keys')

        def new_codes(self, out):
                """The old code and a new one that is in a file; by the slot file which one it is, as a wrong try takes a second."""
                def codes():
                        old = dict((s[0], s[2]) for s in slots_of(os.path.join(self.base, 'state'))[1])[2]
                        now = dict((s[0], s[2]) for s in slots_of(self.w.state)[1])[2]
                        if now == old or not os.path.exists(out):
                                return [self.code]
                        with open(out) as f:
                                return [f.read().strip()]
                return codes

        def test_key_recovery(self):
                out = self.w.path('out/code')
                self.everywhere('key recovery', self.base, self.cli('key', 'recovery', '--yes', '--out', out, *WITH_CODE, passphrase=self.code), self.new_codes(out))

        def test_key_rotate(self):
                out = self.w.path('out/code')
                codes = self.new_codes(out)

                def both():
                        """While a rotation is due the old code opens it, and then the new one."""
                        return codes() + ([self.code] if os.path.exists(out) else [])
                self.everywhere('key rotate', self.base, self.cli('key', 'rotate', '--yes', '--out', out, '--passphrase-fd', '{}', passphrase=PASSPHRASE), both, keeps_keys=False)


class Data(Faults):
        def test_import(self):
                self.everywhere('import', self.base, self.cli('import', self.w.path('b.csv')), self.codes)

        def test_grant(self):
                w, out = self.w, self.w.path('out/g.grant')

                def grant():
                        return w.cli('grant', 'clinic', '--preset', 'visit', '--yes', '--out', out, code=None)
                self.everywhere('grant', self.base, grant, self.codes)

        def test_revoke(self):
                """Where the disk takes nothing it is dead in memory, and said not to be durable: asked again it is."""
                self.everywhere('revoke', self.base, self.cli('revoke', 'clinic'), self.codes, may_forget=True)

        def test_revoke_locked(self):
                self.everywhere('revoke, locked', self.base, self.cli('revoke', 'clinic'), self.codes, unlocked=False)

        def test_backup(self):
                w = self.w
                path = w.path('out/x.backup')

                def whole():
                        if os.path.exists(path):
                                w.cli('backup', 'verify', path)
                self.everywhere('backup', self.base, self.cli('backup', path), self.codes, extra=whole)

        def a_backup(self):
                w = self.w
                path = w.path('there.backup')
                if not os.path.exists(path):
                        w.put(self.base)
                        w.start()
                        w.opened(self.code)
                        w.cli('backup', path)
                        w.stop()
                w.put(self.base)
                shutil.rmtree(w.state)
                shutil.rmtree(w.home)
                os.mkdir(w.home)
                return path

        def test_restore(self):
                path = self.a_backup()
                nothing = self.w.keep('nothing')
                self.everywhere('restore', nothing, self.cli('restore', path, '--state-dir', self.w.state), self.codes, started=False)

        def test_unlock_after_restore(self):
                w = self.w
                path = self.a_backup()
                w.cli('restore', path, '--state-dir', w.state)
                restored = w.keep('restored')
                self.everywhere('unlock after restore', restored, self.cli('unlock', *WITH_CODE, passphrase=self.code), self.codes, unlocked=False)

        def test_migration(self):
                """From the first schema: with a recovery code, which that wallet did not write down."""
                w = self.w
                w.put(self.empty)
                for name in 'slots', 'slots.bak', 'consent.db', 'records.db':
                        shutil.copy(os.path.join(FIRST, name), w.state)
                w.start()
                w.unlock()
                out = w.path('old-code')
                w.cli('key', 'recovery', '--yes', '--out', out, '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                w.stop()
                with open(out) as f:
                        code = f.read().strip()
                for name in 'consent.db', 'records.db':
                        shutil.copy(os.path.join(FIRST, name), w.state)
                shutil.rmtree(w.home)
                os.mkdir(w.home)
                older = w.keep('older')
                self.everywhere('migration', older, self.cli('unlock', *WITH_CODE, passphrase=code), lambda: [code], unlocked=False)

        def test_forget(self):
                def fewer(now, before, after):
                        now, before, after = now[0], before[0], after[0]
                        return (now['grants'], now['imports']) == (before['grants'], before['imports']) and after['n'] <= now['n'] <= before['n']
                self.everywhere('forget', self.base, self.cli('forget', '--from', '2026-03-19', '--to', '2026-03-20', '--yes'), self.codes, between=fewer)


if __name__ == '__main__':
        unittest.main(verbosity=2)
