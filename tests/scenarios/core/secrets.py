# SPDX-License-Identifier: Apache-2.0
"""Known secrets and known health data are looked for wherever they must not be: files, deleted files, logs, arguments,
environments, and after lock the memory of every process. The keys are derived here a second time, from daemon/FORMAT.md."""

import calendar
import ctypes
import ctypes.util
import json
import os
import re
import struct
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from dpop import Client, Key, unb64
from varlink import Varlink
from wallet import PASSPHRASE, Wallet, generate, is_alive, wait_for

sodium = ctypes.CDLL(ctypes.util.find_library('sodium') or 'libsodium.so.23')
assert sodium.sodium_init() >= 0
ARGON2ID13 = 2


def root_key(state, passphrase):
        """daemon/FORMAT.md, "slot file": the root key and the key that wraps it."""
        with open(os.path.join(state, 'slots'), 'rb') as f:
                data = f.read()
        version, magic, _, wallet_id = struct.unpack_from('<I4sQ16s', data)
        assert (version, magic) == (1, b'CWSL')
        slot = data[72:72 + 172]
        kind, opslimit, memlimit, salt, nonce, wrapped = struct.unpack_from('<B3xIQ16s24s48s', slot)
        assert kind == 1
        kek, root, n = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32), ctypes.c_ulonglong()
        p = passphrase.encode()
        assert sodium.crypto_pwhash(kek, ctypes.c_ulonglong(32), p, ctypes.c_ulonglong(len(p)), salt, ctypes.c_ulonglong(opslimit),
                                    ctypes.c_size_t(memlimit), ARGON2ID13) == 0
        ad = wallet_id + slot[:32]
        assert sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(root, ctypes.byref(n), None, wrapped, ctypes.c_ulonglong(48), ad,
                                                                 ctypes.c_ulonglong(len(ad)), nonce, kek.raw) == 0
        return root.raw, kek.raw


def derived(root):
        keys = {}
        for number in range(1, 9):
                key = ctypes.create_string_buffer(32)
                assert sodium.crypto_kdf_derive_from_key(key, ctypes.c_size_t(32), ctypes.c_uint64(number), b'carewall', root) == 0
                keys[f'key {number}'] = key.raw
        return keys


def found(data, needles):
        return [name for name, needle in needles.items() if needle in data]


def memory(pid):
        """Everything that is mapped readable in a process, piece by piece."""
        with open(f'/proc/{pid}/maps') as maps, open(f'/proc/{pid}/mem', 'rb', 0) as mem:
                for line in maps:
                        span, mode, _, _, _, *name = line.split(None, 5)
                        if 'r' not in mode or name and name[0].startswith('[v'):
                                continue
                        begin, end = (int(x, 16) for x in span.split('-'))
                        mem.seek(begin)
                        try:
                                yield mem.read(end - begin)
                        except OSError:
                                continue


def in_memory(pid, needles):
        hits = set()
        for piece in memory(pid):
                hits.update(found(piece, needles))
        return sorted(hits)


def files_below(directory):
        for folder, _, names in os.walk(directory):
                for name in names:
                        path = os.path.join(folder, name)
                        if os.path.isfile(path):
                                with open(path, 'rb') as f:
                                        yield path, f.read()


def open_files(pids):
        """What the processes hold open, deleted files and memfds too."""
        for pid in pids:
                for fd in os.listdir(f'/proc/{pid}/fd'):
                        path = f'/proc/{pid}/fd/{fd}'
                        try:
                                if os.path.isfile(path) and not os.readlink(path).startswith('/dev'):
                                        with open(path, 'rb') as f:
                                                yield f'{path} -> {os.readlink(path)}', f.read()
                        except OSError:
                                continue


class Secrets(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                if os.geteuid() != 0:
                        raise unittest.SkipTest('reading other processes\' memory needs root')
                cls.w = w = Wallet()
                w.init()
                generate(w.path('year.csv'), '--days', 40, '--end', '2026-01-31')
                with open(w.path('year.csv'), encoding='utf-8-sig', newline='') as f:
                        text = f.read()
                w.cli('import', w.path('year.csv'), code=(0, 5))
                os.unlink(w.path('year.csv'))
                key = Key()
                w.cli('provider', 'add', 'clinic', '--key', key.write_jwk(w.path('clinic.jwk')))
                w.gate_on()
                with open(w.grant('clinic', '--from', '2025-12-25', '--to', '2026-01-31')) as f:
                        jwt = f.read().strip()
                client = Client(w.gate, key)
                cls.token = client.token(jwt)
                cls.slice = client.get('/slice?format=ndjson').read().decode()
                shown = w.cli('show', '--kind', 'cgm', '--json').out.splitlines()
                # glucose readings as the database has them in its pages: the device's time in ms, six bytes, before the value
                cls.readings = {f'reading {local}': struct.pack('>Q', calendar.timegm(time.strptime(local, '%Y-%m-%dT%H:%M:%S')) * 1000)[2:]
                                for local in (json.loads(line)['local_time'][:19] for line in shown[-100:])}
                w.cli('export', '--format', 'csv')
                root, kek = root_key(w.state, PASSPHRASE)
                cls.keys = {'root key': root, 'wrapping key': kek, **derived(root)}
                code = re.search(r'Recovery code: (\S+)', w.recovery_output).group(1)
                serial = re.search(r';(NG\w+);', text).group(1)
                cls.texts = {
                        'passphrase': PASSPHRASE.encode(), 'recovery code': code.encode(), 'recovery code without hyphens': code.replace('-', '').encode(),
                        'serial': serial.encode(), 'model': b'MiniMed 780G MMT-1886', 'a record as JSON': shown[len(shown) // 2][:90].encode(),
                        'a record as sent': cls.slice.splitlines()[3][:90].encode(), 'access token': unb64(cls.token), 'access token as text': cls.token.encode(),
                        'TLS key': b'PRIVATE KEY', 'local time': b'2026-01-15T', 'SQLite header': b'SQLite format 3',
                }

        @classmethod
        def tearDownClass(cls):
                cls.w.close()

        def test_1_the_search_would_find_them(self):
                core = self.w.core_pid
                self.w.cli('show', '--kind', 'cgm', '--json')
                self.assertIn('key 1', in_memory(core, self.keys), 'the keys of an open wallet are in the core')
                self.assertTrue(in_memory(core, self.readings), 'and readings that were shown')
                self.assertEqual(in_memory(self.w.pids()[0], {**self.keys, **self.readings}), [], 'but not in the launcher')
                gate = self.w.pid_of('carewallet-gate')
                self.assertEqual(in_memory(gate, {**self.keys, **self.readings}), [], 'nor in the gate')

        def test_2_no_file_of_the_wallet_has_them(self):
                n = 0
                for path, data in files_below(self.w.state):
                        n += 1
                        self.assertEqual(found(data, {**self.texts, **self.keys}), [], path)
                self.assertGreaterEqual(n, 4)

        def test_3_no_open_or_deleted_file_has_them(self):
                for path, data in open_files(self.w.pids()):
                        self.assertEqual(found(data, {**self.texts, **self.keys}), [], path)

        def test_4_no_temporary_file_has_them(self):
                # what belongs to the provider and the patient in this test's own folder is theirs
                for directory in ('/tmp', '/var/tmp', '/dev/shm'):
                        for name in os.listdir(directory):
                                path = os.path.join(directory, name)
                                if os.path.isfile(path) and os.stat(path).st_mtime >= os.stat(self.w.path('clinic.jwk')).st_mtime and os.path.getsize(path) < 1 << 24:
                                        with open(path, 'rb') as f:
                                                self.assertEqual(found(f.read(), self.keys), [], path)

        def test_5_no_log_argument_or_environment_has_them(self):
                self.assertEqual(found(self.w.log_text().encode(), {**self.texts, **self.keys}), [])
                for pid in self.w.pids():
                        for name in ('environ', 'cmdline'):
                                with open(f'/proc/{pid}/{name}', 'rb') as f:
                                        self.assertEqual(found(f.read(), {**self.texts, **self.keys}), [], f'{pid} {name}')

        def test_6_no_process_can_be_dumped(self):
                for pid in self.w.pids():
                        self.assertEqual(os.stat(f'/proc/{pid}/mem').st_uid, 0)
                        with open(f'/proc/{pid}/limits') as f:
                                self.assertRegex(f.read(), r'Max core file size +0 +0')

        def test_7_after_lock_no_process_has_them_in_memory(self):
                before = self.w.core_pid
                self.w.lock()
                wait_for(lambda: not is_alive(before), what='locking ends the core')
                wait_for(lambda: not self.w.cli('status', code=None).code, what='a fresh core')
                self.assertIsNone(self.w.pid_of('carewallet-gate'))
                searched = {name: value for name, value in self.texts.items() if name != 'SQLite header'}  # a constant of the library
                searched.pop('TLS key')  # as well
                for pid in self.w.pids():
                        self.assertEqual(in_memory(pid, {**searched, **self.keys, **self.readings}), [], pid)

        def test_8_nor_after_it_locked_itself(self):
                self.w.unlock()
                self.w.cli('show', '--kind', 'cgm', '--json')
                before = self.w.core_pid
                self.assertTrue(in_memory(before, self.readings))
                with Varlink(self.w.socket) as v:
                        self.assertNotIn('error', v.call('SetAutoLock', {'afterS': 1}))
                wait_for(lambda: not is_alive(before), what='locking ends the core')
                wait_for(self.w.is_locked, what='a fresh core')
                for pid in self.w.pids():
                        self.assertEqual(in_memory(pid, {**self.keys, **self.readings}), [], pid)


if __name__ == '__main__':
        unittest.main()
