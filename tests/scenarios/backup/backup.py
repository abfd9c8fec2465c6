# SPDX-License-Identifier: Apache-2.0
"""Backups: made while the daemon works, checked, restored; and what is no backup."""

import hashlib
import os
import random
import re
import select
import shutil
import signal
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, Wallet, generate, wait_for

DAY = ('--from', '2026-03-15', '--to', '2026-03-16')


def restored(w, backup, **options):
        """A second machine: another wallet directory, restored from @backup."""
        n = Wallet(start=False, **options)
        try:
                n.cli('restore', backup, '--state-dir', n.state)
                n.start()
        except BaseException:
                n.close()
                raise
        return n


def entries(w):
        return [e['type'] for e in w.cli('log', '--json').rows]


class Backup(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.w = Wallet()
                cls.addClassCleanup(cls.w.close)
                cls.w.init()
                generate(cls.w.path('a.csv'), '--days', 10, '--end', '2026-03-20')
                cls.w.cli('import', cls.w.path('a.csv'))
                cls.backup = cls.w.path('a.backup')
                cls.w.cli('backup', cls.backup)

        def test_it_comes_back_as_it_was(self):
                w = self.w
                before = w.cli('export', '--format', 'ndjson').out
                with restored(w, self.backup) as n:
                        n.unlock()
                        self.assertEqual(n.cli('export', '--format', 'ndjson').out, before)
                        self.assertEqual(n.json('status')['wallet_id'], w.json('status')['wallet_id'])
                        self.assertEqual(entries(n)[-1:], ['export'])
                        self.assertIn('restored', entries(n))
                        self.assertFalse(os.path.exists(os.path.join(n.state, 'restored')))
                        # and again from there, once more locked and opened
                        n.cli('import', w.path('a.csv'))
                        n.restart()
                        n.unlock()
                        self.assertEqual(entries(n).count('restored'), 1)

        def test_the_recovery_code_of_that_day_opens_it(self):
                code = re.search(r'\w{5}(-\w{5}){7}', self.w.recovery_output).group()
                with restored(self.w, self.backup) as n:
                        n.cli('unlock', '--recovery-fd', '{}', passphrase=code)
                        self.assertFalse(n.is_locked())

        def test_the_file_is_the_patients_alone_and_shows_nothing(self):
                self.assertEqual(os.stat(self.backup).st_mode & 0o777, 0o600)
                with open(self.backup, 'rb') as f:
                        data = f.read()
                self.assertNotIn(b'SQLite format 3', data)
                for word in b'CREATE TABLE', b'cgm', b'NG1234567H', b'a.csv', b'glucose':
                        self.assertNotIn(word, data)

        def test_nothing_is_overwritten_unasked(self):
                path = self.w.path('there')
                with open(path, 'w') as f:
                        f.write('mine')
                self.assertIn('--replace', self.w.cli('backup', path, code=REFUSED).err)
                with open(path) as f:
                        self.assertEqual(f.read(), 'mine')
                self.w.cli('backup', path, '--replace')
                self.w.cli('backup', 'verify', path)
                self.assertEqual([n for n in os.listdir(self.w.directory) if n.startswith('there')], ['there'])

        def test_where_it_cannot_be_written_nothing_is_left(self):
                self.assertIn('No such file', self.w.cli('backup', self.w.path('missing/b'), code=REFUSED).err)
                self.assertEqual(self.w.json('status')['locked'], False)
                process = self.w.start_cli('backup', '/dev/full')
                out, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, REFUSED)
                self.assertIn('No space', err)

        def test_verify_opens_it(self):
                self.w.env['TMPDIR'] = self.w.path('tmp')
                os.mkdir(self.w.env['TMPDIR'])
                report = self.w.json('backup', 'verify', self.backup, '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                self.assertEqual(report['opened']['records'], self.w.json('status')['records'])
                self.assertTrue(report['opened']['whole'])
                self.assertNotIn('opened', self.w.json('backup', 'verify', self.backup))
                self.assertEqual(report['bytes'], os.path.getsize(self.backup))
                code = re.search(r'\w{5}(-\w{5}){7}', self.w.recovery_output).group()
                with_code = self.w.cli('backup', 'verify', self.backup, '--recovery-fd', '{}', passphrase=code)
                self.assertIn('opens with this recovery code', with_code.out)
                wrong = self.w.cli('backup', 'verify', self.backup, '--passphrase-fd', '{}', passphrase='another', code=PASSPHRASE_NEEDED)
                self.assertIn('not the right passphrase', wrong.err)
                other = '000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG'
                self.w.cli('backup', 'verify', self.backup, '--recovery-fd', '{}', passphrase=other, code=PASSPHRASE_NEEDED)
                self.assertEqual(os.listdir(self.w.env['TMPDIR']), [])

        def test_what_is_no_whole_backup_is_refused_and_leaves_nothing(self):
                with open(self.backup, 'rb') as f:
                        data = f.read()
                rng = random.Random(4)
                n_slots = int.from_bytes(data[48:56], 'little')
                # the head, the slots, their hash and the end whole; a sample of the pages
                places = [*range(0, 120, 3), *range(120, 120 + n_slots + 32, 41), *range(len(data) - 72, len(data), 5),
                          *(rng.randrange(len(data)) for _ in range(60))]
                path, target = self.w.path('bad.backup'), self.w.path('target')

                def refused(what, bad, *words):
                        with self.subTest(what):
                                with open(path, 'wb') as f:
                                        f.write(bad)
                                for args in ('backup', 'verify', path), ('restore', path, '--state-dir', target):
                                        err = self.w.cli(*args, code=REFUSED).err
                                        self.assertTrue(any(word in err for word in words), err)
                                self.assertFalse(os.path.exists(target))

                for at in places:
                        bad = bytearray(data)
                        bad[at] ^= 1 << rng.randrange(8)
                        refused(f'byte {at}', bad, 'damaged', 'is no backup', 'later version')
                for n in 0, 1, 7, 119, 120, 500, len(data) // 2, len(data) - 73, len(data) - 1:
                        refused(f'cut at {n}', data[:n], 'ends too early', 'is no backup')
                refused('longer', data + b'\0', 'damaged')
                refused('later version', (2).to_bytes(4, 'little') + data[4:], 'later version')
                refused('another file', os.urandom(5000), 'is no backup')
                refused('head with another number of bytes', data[:64] + (1 << 41).to_bytes(8, 'little') + data[72:], 'damaged')

                # a whole file of parts that were exchanged, hashes and all: the wallet's own key tells
                def h(b, n=32):
                        return hashlib.blake2b(b, digest_size=n).digest()
                sizes = [int.from_bytes(data[48 + 16 * i:56 + 16 * i], 'little') for i in range(3)]
                parts, at = [], 120
                for size in sizes:
                        parts.append(data[at:at + size])
                        at += size + 32
                with Wallet(passphrase=PASSPHRASE) as other:
                        other.init()
                        other.cli('backup', other.path('b'))
                        with open(other.path('b'), 'rb') as f:
                                theirs = f.read()
                slots = theirs[120:120 + int.from_bytes(theirs[48:56], 'little')]
                head = bytearray(data[:88])
                head[16:32] = theirs[16:32]
                head[48:56] = len(slots).to_bytes(8, 'little')
                head += h(head)
                body = b''.join(p + h(p) for p in [slots, *parts[1:]])
                end = data[-72:-32]
                forged = bytes(head) + body + end + h(bytes(head) + b''.join(h(p) for p in [slots, *parts[1:]]) + end)
                with open(path, 'wb') as f:
                        f.write(forged)
                self.w.cli('backup', 'verify', path)
                self.assertIn('does not belong', self.w.cli('backup', 'verify', path, '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)

                # an altered end alone: the databases open, and still it is not what this wallet wrote
                forged = bytearray(data)
                forged[-50] ^= 1
                hashes, at = b'', 120
                for size in sizes:
                        hashes += data[at + size:at + size + 32]
                        at += size + 32
                forged[-32:] = h(bytes(data[:120]) + hashes + bytes(forged[-72:-32]))
                with open(path, 'wb') as f:
                        f.write(forged)
                self.w.cli('backup', 'verify', path)
                self.assertIn('did not write', self.w.cli('backup', 'verify', path, '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)

        def test_a_wallet_is_never_restored_over(self):
                self.assertIn('uses', self.w.cli('restore', self.backup, '--state-dir', self.w.state, code=REFUSED).err)
                with Wallet() as other:
                        other.init()
                        other.stop()
                        before = {n: os.stat(os.path.join(other.state, n)).st_mtime_ns for n in os.listdir(other.state)}
                        self.assertIn('was not touched', self.w.cli('restore', self.backup, '--state-dir', other.state, code=REFUSED).err)
                        self.assertEqual({n: os.stat(os.path.join(other.state, n)).st_mtime_ns for n in os.listdir(other.state)}, before)

        def test_one_backup_at_a_time_and_a_reader_that_goes_away_ends_it(self):
                with Wallet() as w:
                        w.init()
                        generate(w.path('a.csv'), '--days', 120, '--end', '2026-03-20')  # more than the pipes take
                        w.cli('import', w.path('a.csv'))
                        fifo = w.path('fifo')
                        os.mkfifo(fifo)
                        fd = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
                        process = w.start_cli('backup', fifo)
                        try:
                                self.assertTrue(select.select([fd], [], [], 20)[0])
                                self.assertIn('busy', w.cli('backup', w.path('second'), code=REFUSED).err)
                                self.assertIn('busy', w.cli('forget', '--from', '2026-03-01', '--to', '2026-03-02', '--yes', code=REFUSED).err)
                                self.assertFalse(os.path.exists(w.path('second')))
                        finally:
                                process.kill()
                                process.communicate()
                                os.close(fd)
                        wait_for(lambda: w.cli('backup', w.path('third'), '--replace', code=None).code == 0, what='the hold ends')
                        w.cli('backup', 'verify', w.path('third'))

        def test_killed_in_the_middle_it_leaves_no_file(self):
                for sig in signal.SIGINT, signal.SIGTERM:
                        process = self.w.start_cli('backup', self.w.path('half'))
                        process.send_signal(sig)
                        process.communicate()
                        if process.returncode:
                                self.assertEqual([n for n in os.listdir(self.w.directory) if n.startswith('half')], [])
                        else:
                                os.unlink(self.w.path('half'))


class Meanwhile(unittest.TestCase):
        def test_an_import_a_fetch_and_a_revocation_go_on(self):
                with Wallet() as w:
                        w.init()
                        generate(w.path('old.csv'), '--days', 120, '--end', '2025-12-31', '--seed', 1)
                        generate(w.path('new.csv'), '--days', 150, '--end', '2026-06-30', '--seed', 2)
                        w.cli('import', w.path('old.csv'))
                        p, q = w.provider('clinic'), w.provider('other')
                        w.gate_on()
                        grant, kept = w.grant('clinic', '--from', '2025-12-01', '--to', '2025-12-20'), w.grant('other', '--from', '2025-12-01', '--to', '2025-12-20')
                        before = w.cli('export', '--format', 'ndjson').out

                        # a reader that takes a piece now and then: the backup is under way all the time
                        fifo = w.path('fifo')
                        os.mkfifo(fifo)
                        backup = w.start_cli('backup', fifo)
                        with open(fifo, 'rb') as f, open(w.path('b'), 'wb') as out:
                                out.write(f.read(70000))
                                self.assertGreater(len(p.redeem(grant).rows), 1000)
                                importing = w.start_cli('import', w.path('new.csv'))
                                for _ in range(20):
                                        out.write(f.read(100000))
                                importing.communicate(timeout=120)
                                self.assertEqual(importing.returncode, 0)
                                w.cli('revoke', 'clinic')
                                p.redeem(grant, code=REFUSED)
                                self.assertIsNone(backup.poll())
                                shutil.copyfileobj(f, out)
                        backup.communicate(timeout=60)
                        self.assertEqual(backup.returncode, 0)
                        self.assertGreater(w.cli('export', '--format', 'ndjson').out.count('\n'), before.count('\n'))

                        # what is in it is the moment in which it began: no row of the import, and the grant was not revoked
                        with restored(w, w.path('b')) as n:
                                n.env['HOME'] = w.env['HOME']  # the same patient, who sees what is missing
                                n.unlock()
                                self.assertEqual(n.cli('export', '--format', 'ndjson').out, before)
                                self.assertEqual({g['provider']: g['state'] for g in n.json('grants')}, {'clinic': 'suspended', 'other': 'suspended'})
                                status = n.json('status')
                                self.assertEqual((status['grants'], status['suspended'], status['gate']['on']), (0, 2, False))

                                # only what the patient confirms counts again, one after the other
                                address = w.gate
                                w.stop()
                                n.gate_on(address)
                                q.redeem(kept, code=REFUSED)
                                self.assertNotIn('clinic', n.cli('resume', 'other', '--yes').out)
                                self.assertGreater(len(q.redeem(kept).rows), 1000)
                                p.redeem(grant, code=REFUSED)
                                n.cli('resume', 'nobody', '--yes', code=REFUSED)
                                n.cli('resume', '--all', '--yes')
                                self.assertEqual({g['state'] for g in n.json('grants')}, {'active'})
                                self.assertEqual(entries(n).count('resumed'), 2)
                                last = [e for e in n.cli('log', '--json').rows if e['type'] == 'restored'][0]
                                self.assertEqual(last['suspended'], 2)
                                self.assertIn('/ledger\n', last['checkpoint'])
                                self.assertNotIn('/ledger\n', n.json('status')['checkpoint'])

                        # the wallet that went on opens and has all of it
                        w.start()
                        w.unlock()
                        self.assertEqual({g['provider']: g['state'] for g in w.json('grants')}['clinic'], 'revoked')


if __name__ == '__main__':
        unittest.main(verbosity=2)
