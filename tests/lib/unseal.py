# SPDX-License-Identifier: Apache-2.0
"""A state directory's plaintext, by its passphrase and daemon/FORMAT.md alone: what somebody who has the key could find.

        key = Unsealed(w.state, w.passphrase)
        key.pages(path)          # of a database, decrypted, free ones too
        key.frames(path)         # of its write-ahead log, with what earlier transactions left there
        key.search(needle)       # names of the files of the state directory that have it anywhere
"""

import ctypes
import ctypes.util
import hashlib
import hmac
import os

PAGE, RESERVE = 4096, 48  # SQLCipher's format of version 3: 16 bytes IV, 20 of HMAC-SHA1, 12 of nothing

sodium = ctypes.CDLL(ctypes.util.find_library('sodium') or 'libsodium.so.23')
crypto = ctypes.CDLL('libcrypto.so.3')
crypto.EVP_CIPHER_CTX_new.restype = crypto.EVP_aes_256_cbc.restype = ctypes.c_void_p


def cbc(key, iv, data, encrypt):
        context = ctypes.c_void_p(crypto.EVP_CIPHER_CTX_new())
        out, n = ctypes.create_string_buffer(len(data) + 16), ctypes.c_int(0)
        crypto.EVP_CipherInit_ex(context, ctypes.c_void_p(crypto.EVP_aes_256_cbc()), None, key, iv, int(encrypt))
        crypto.EVP_CIPHER_CTX_set_padding(context, 0)
        crypto.EVP_CipherUpdate(context, out, ctypes.byref(n), data, len(data))
        crypto.EVP_CIPHER_CTX_free(context)
        assert n.value == len(data)
        return out.raw[:len(data)]


def unwrap(slots, passphrase):
        """The root key, by the first slot that this passphrase opens."""
        for i in range(int.from_bytes(slots[64:68], 'little')):
                slot = slots[72 + 172 * i:72 + 172 * (i + 1)]
                if slot[0] != 1:
                        continue
                kek, root, n = ctypes.create_string_buffer(32), ctypes.create_string_buffer(32), ctypes.c_ulonglong()
                secret = passphrase.encode()
                assert sodium.crypto_pwhash(kek, ctypes.c_ulonglong(32), secret, ctypes.c_ulonglong(len(secret)), slot[16:32],
                                            ctypes.c_ulonglong(int.from_bytes(slot[4:8], 'little')), ctypes.c_size_t(int.from_bytes(slot[8:16], 'little')), 2) == 0
                known = slots[16:32] + slot[:32]
                if sodium.crypto_aead_xchacha20poly1305_ietf_decrypt(root, ctypes.byref(n), None, slot[56:104], ctypes.c_ulonglong(48), known,
                                                                     ctypes.c_ulonglong(len(known)), slot[32:56], kek) == 0:
                        return root.raw
        raise ValueError('no slot opens')


class Unsealed:
        def __init__(self, state, passphrase):
                assert sodium.sodium_init() >= 0
                self.state = state
                with open(os.path.join(state, 'slots'), 'rb') as f:
                        root = unwrap(f.read(), passphrase)
                self.keys = {}
                for number, name in (1, 'consent.db'), (2, 'records.db'):
                        key = ctypes.create_string_buffer(32)
                        sodium.crypto_kdf_derive_from_key(key, ctypes.c_size_t(32), ctypes.c_uint64(number), b'carewall', root)
                        self.keys[name] = key.raw

        def key_of(self, path):
                return next(key for name, key in self.keys.items() if os.path.basename(path).startswith(name))

        def decrypt(self, path, page, first):
                skip = 16 if first else 0  # the salt stands where SQLite's magic would
                iv = page[PAGE - RESERVE:PAGE - RESERVE + 16]
                return page[:skip] + cbc(self.key_of(path), iv, page[skip:PAGE - RESERVE], False)

        def pages(self, path):
                with open(path, 'rb') as f:
                        data = f.read()
                assert len(data) % PAGE == 0
                return [self.decrypt(path, data[at:at + PAGE], at == 0) for at in range(0, len(data), PAGE)]

        def frames(self, path):
                """A 32-byte header, then frames of 24 bytes and a page, from SQLite's file format."""
                with open(path, 'rb') as f:
                        data = f.read()[32:]
                for at in range(0, len(data) - PAGE - 23, PAGE + 24):
                        yield self.decrypt(path, data[at + 24:at + 24 + PAGE], data[at:at + 4] == b'\0\0\0\1')

        def write_page(self, path, number, content):
                """In the place of the page of that number (from 1), with a MAC that holds."""
                key = self.key_of(path)
                with open(path, 'r+b') as f:
                        salt = f.read(16)
                        f.seek((number - 1) * PAGE)
                        iv = f.read(PAGE)[PAGE - RESERVE:PAGE - RESERVE + 16]
                        skip = 16 if number == 1 else 0
                        body = cbc(key, iv, content[skip:], True) + iv
                        mac_key = hashlib.pbkdf2_hmac('sha1', key, bytes(b ^ 0x3a for b in salt), 2, 32)
                        mac = hmac.new(mac_key, body + number.to_bytes(4, 'little'), hashlib.sha1).digest()
                        f.seek((number - 1) * PAGE + skip)
                        f.write(body + mac)

        def search(self, needle):
                """Also over the ends of neighbouring pages' contents it would not be found: give what lies in one row."""
                found = []
                for name in sorted(os.listdir(self.state)):
                        path = os.path.join(self.state, name)
                        if not os.path.isfile(path) or os.path.getsize(path) == 0:
                                continue
                        if name.startswith(('consent.db', 'records.db')):
                                parts = self.frames(path) if name.endswith('-wal') else self.pages(path)
                        else:
                                with open(path, 'rb') as f:
                                        parts = [f.read()]
                        if any(needle in part for part in parts):
                                found.append(name)
                return found
