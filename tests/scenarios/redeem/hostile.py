# SPDX-License-Identifier: Apache-2.0
"""A gate taken over, in place of the real one, gets no byte of the data without a provider's key, and never hurts the core."""

import contextlib
import hashlib
import json
import os
import shutil
import socket
import struct
import sys
import tempfile
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import BUILD, SERIAL, Client, Clinic, Key, Template, Varlink, World, ath, b64, free_port, unb64, wait_for  # noqa: E402
import wallet  # noqa: E402

# FrameType of daemon/common/frame.h
CONFIG, REPLY, STREAM, CHUNK, END, RESET = 0x302, 0x303, 0x304, 0x305, 0x306, 0x307
KEY, READY, FAILED, REQUEST, MORE, CLOSED, RESET_DONE, STRANGERS = range(0x311, 0x319)
TOKEN, SLICE, SUMMARY = 1, 2, 3
HAS_FROM, HAS_TO, HAS_SINCE, HAS_CREDENTIAL, HAS_PROOF = 1, 2, 4, 8, 16
OK, INVALID_REQUEST, INVALID_GRANT, INVALID_PROOF, USE_NONCE, INVALID_TOKEN, SCOPE, NOT_ENOUGH, UNAVAILABLE = range(9)
PAYLOAD_MAX = 130 * 1024


def frame(type, payload=b'', n=None):
        return struct.pack('<II', type, len(payload) if n is None else n) + payload


def text(value):
        value = value.encode() if isinstance(value, str) else value
        return struct.pack('<H', len(value)) + value


def u64(type, value):
        return frame(type, struct.pack('<Q', value))


def closed(number, n_sent=0, whole=1):
        return frame(CLOSED, struct.pack('<QQB', number, n_sent, whole))


def request(number, operation, credential=None, proof=None, format=1, kinds=0, flags=0, days=(0, 0), since=0):
        flags |= (HAS_CREDENTIAL if credential else 0) | (HAS_PROOF if proof else 0)
        return frame(REQUEST, struct.pack('<QBBBBIiiq', number, operation, format, flags, 0, kinds, *days, since) + (credential or bytes(32)) + text(proof or ''))


class Reply:
        def __init__(self, payload):
                self.number, self.grant, self.error, self.content_type = struct.unpack_from('<QQBB', payload)
                at = 18
                self.nonce, at = self.text(payload, at)
                self.message, at = self.text(payload, at)
                self.body = payload[at:]

        @staticmethod
        def text(payload, at):
                n = struct.unpack_from('<H', payload, at)[0]
                return payload[at + 2:at + 2 + n].decode(), at + 2 + n


class HostileGate:
        """Turns the gate on and speaks for it. All that the core ever sent to any is in .all."""

        all = b''

        def __init__(self, w, ready=True):
                self.w, self.listen = w, f'127.0.0.1:{free_port()}'
                self.varlink = Varlink(w.socket)
                self.varlink.send('GateOn', {'listen': self.listen})
                self.socket = wait_for(self.connect, what='the hostile gate listens')
                self.buffer, self.frames, self.number = b'', [], 0
                if ready:
                        self.send(frame(READY, text(self.listen)))
                        answer = self.varlink.receive()
                        assert 'error' not in answer, answer
                        w.gate = self.listen

        def connect(self):
                try:
                        return socket.create_connection(('127.0.0.1', int(self.listen.split(':')[1])), timeout=10)
                except OSError:
                        return None

        def send(self, *frames):
                self.socket.sendall(b''.join(frames))

        def receive(self, timeout_s=10):
                """The next frame (type, payload), or nothing: the end, or silence for so long."""
                self.socket.settimeout(timeout_s)
                while len(self.buffer) < 8 or len(self.buffer) < 8 + struct.unpack_from('<I', self.buffer, 4)[0]:
                        try:
                                data = self.socket.recv(1 << 20)
                        except (TimeoutError, ConnectionResetError):
                                return None
                        if not data:
                                return None
                        HostileGate.all += data
                        self.buffer += data
                type, n = struct.unpack_from('<II', self.buffer)
                payload, self.buffer = self.buffer[8:8 + n], self.buffer[8 + n:]
                return type, payload

        def answer(self, number):
                """The core's reply to a request; frames of others are passed over."""
                while True:
                        got = self.receive()
                        assert got, 'no answer'
                        if got[0] in (REPLY, STREAM) and Reply(got[1]).number == number:
                                return got[0], Reply(got[1])

        def ask(self, operation, credential=None, proof=None, **options):
                self.number += 1
                self.send(request(self.number, operation, credential, proof, **options))
                type, reply = self.answer(self.number)
                if type == REPLY:
                        self.send(closed(self.number))
                return type, reply

        def is_ended(self):
                """Whether the core has ended it."""
                while self.receive(timeout_s=5):
                        pass
                self.socket.settimeout(5)
                try:
                        return self.socket.recv(1) == b''
                except ConnectionResetError:
                        return True
                except TimeoutError:
                        return False

        def close(self):
                self.socket.close()
                self.varlink.close()


class Hostile(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                template = Template(days=60)
                cls.directory = tempfile.mkdtemp(prefix='cw-hostile-', dir='/tmp')
                cls.addClassCleanup(shutil.rmtree, cls.directory)
                for source, name in (('daemon/carewalletd', 'carewalletd'), ('daemon/workers/kdf/carewallet-kdf', 'carewallet-kdf'),
                                     ('daemon/workers/import/carewallet-import', 'carewallet-import'),
                                     ('tests/scenarios/redeem/hostile-gate', 'carewallet-gate')):
                        shutil.copy(os.path.join(BUILD, source), os.path.join(cls.directory, name))
                wallet.DAEMON = os.path.join(cls.directory, 'carewalletd')
                cls.w = World(template, gate=False)
                cls.addClassCleanup(cls.w.close)
                cls.core = cls.w.core_pid
                cls.clinic = Clinic(cls.w, 'clinic')

        def setUp(self):
                HostileGate.all = b''

        def tearDown(self):
                self.assertEqual(self.w.core_pid, self.core)
                self.assertFalse(self.w.json('status')['locked'])

        def gate(self, **options):
                gate = HostileGate(self.w, **options)
                self.addCleanup(gate.close)
                return gate

        def victim(self, gate):
                """A provider whose proofs pass through the gate: a Client without a connection."""
                client = Client(gate.listen, self.clinic.key, connect=False)
                client.nonce = gate.ask(TOKEN, self.assertion, self.clinic.key.jws({}, {}))[1].nonce
                return client

        @property
        def assertion(self):
                return hashlib.sha256(self.clinic.jwt.encode()).digest()

        def reason(self):
                return self.w.json('status')['gate'].get('reason', '')

        # --- the data ---

        def test_without_a_providers_key_it_gets_nothing(self):
                gate = self.gate()
                mine = Key()
                me = Client(gate.listen, mine, connect=False)
                them = self.victim(gate)
                me.nonce = them.nonce

                # the provider's own request passes through it, and it learns the token and the proof
                proof = them.proof('POST', '/token')
                type, reply = gate.ask(TOKEN, self.assertion, proof)
                self.assertEqual((type, reply.error), (REPLY, OK))
                token = json.loads(reply.body)['access_token']
                secret = unb64(token)
                slices, uses = len(self.clinic.entries('release-begun')), self.w.grants_of('clinic')[0]['uses']

                refused = {INVALID_GRANT, INVALID_PROOF, INVALID_TOKEN, INVALID_REQUEST, USE_NONCE}
                their_jwk = {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': self.clinic.key.jwk}
                tries = [
                        (TOKEN, self.assertion, proof),  # once more
                        (TOKEN, self.assertion, me.proof('POST', '/token')),
                        (TOKEN, self.assertion, me.proof('POST', '/token', header=their_jwk)),
                        (TOKEN, self.assertion, None),
                        (TOKEN, os.urandom(32), me.proof('POST', '/token')),
                        (TOKEN, hashlib.sha256(b'a.b.c').digest(), proof),
                        (TOKEN, None, me.proof('POST', '/token')),
                        (TOKEN, secret, proof),
                ]
                for operation, path in (SLICE, '/slice'), (SUMMARY, '/summary'):
                        bound = {'ath': ath(token)}
                        signed = me.proof('GET', path, header=their_jwk, **bound)
                        theirs = proof.split('.')
                        tries += [
                                (operation, secret, None),
                                (operation, secret, proof),  # theirs, for another path and spent
                                (operation, secret, me.proof('GET', path, **bound)),
                                (operation, secret, signed),
                                (operation, secret, '.'.join(signed.split('.')[:2] + theirs[2:])),  # their signature under my words
                                (operation, secret, '.'.join(signed.split('.')[:2]) + '.'),
                                (operation, secret, b64_none(signed)),
                                (operation, self.assertion, me.proof('GET', path)),
                                (operation, os.urandom(32), me.proof('GET', path)),
                                (operation, bytes(32), None),
                                (operation, None, None),
                                (operation, hashlib.sha256(token.encode()).digest(), me.proof('GET', path, **bound)),
                        ]
                for operation, credential, bad in tries:
                        for kinds in 0, 2, 0xffe:
                                type, reply = gate.ask(operation, credential, bad, kinds=kinds)
                                self.assertEqual((type, reply.body), (REPLY, b''))
                                self.assertIn(reply.error, refused)
                for i in range(64):  # streams that do not exist
                        gate.send(u64(MORE, i), u64(MORE, 2 ** 64 - 1 - i), closed(2 ** 63 + i, 2 ** 64 - 1, 1))
                gate.send(frame(STRANGERS, struct.pack('<I', 1)))
                gate.ask(SLICE, secret, None)

                self.nothing_of_the_data(gate)
                self.assertEqual(len(self.clinic.entries('release-begun')), slices)
                self.assertEqual(self.w.grants_of('clinic')[0]['uses'], uses)

        def nothing_of_the_data(self, gate):
                while gate.receive(timeout_s=0.2):
                        pass
                said = HostileGate.all
                self.assertGreater(len(said), 2000)
                for word in SERIAL, 'local_time', 'mg/dL', '"kind"', 'MiniMed', 'Guardian', 'Patient-supplied', 'mean', '"sub"', self.clinic.jwt[:40]:
                        self.assertNotIn(word.encode(), said)

        def test_a_spent_or_stale_proof_that_it_kept_opens_nothing(self):
                gate = self.gate()
                them = self.victim(gate)
                token = self.token(gate, them)
                proof = them.proof('GET', '/slice', ath=ath(token))
                type, reply = gate.ask(SLICE, unb64(token), proof)
                self.assertEqual((type, reply.error), (STREAM, OK))
                gate.send(closed(gate.number, 0, 0))
                for operation in SLICE, SUMMARY, TOKEN:
                        type, reply = gate.ask(operation, unb64(token), proof)
                        self.assertEqual((type, reply.body), (REPLY, b''))
                unspent = them.proof('GET', '/slice', ath=ath(token))
                gate.close()
                again = self.gate()
                fresh = self.token(again, self.victim(again))
                for credential in token, fresh:
                        type, reply = again.ask(SLICE, unb64(credential), unspent)
                        self.assertEqual((type, reply.body), (REPLY, b''))

        def token(self, gate, client):
                type, reply = gate.ask(TOKEN, self.assertion, client.proof('POST', '/token'))
                self.assertEqual((type, reply.error), (REPLY, OK))
                return json.loads(reply.body)['access_token']

        def test_a_revoked_stream_goes_no_further_whatever_it_says(self):
                clinic = Clinic(self.w, f'clinic-{time.monotonic_ns()}')
                for how in 'says so', 'says it of another', 'is silent':
                        honest = how == 'says so'
                        gate = self.gate()
                        client = Client(gate.listen, clinic.key, connect=False)
                        assertion = hashlib.sha256(clinic.jwt.encode()).digest()
                        client.nonce = gate.ask(TOKEN, assertion, clinic.key.jws({}, {}))[1].nonce
                        client.nonce = gate.ask(TOKEN, assertion, client.proof('POST', '/token', nonce=None))[1].nonce
                        token = json.loads(gate.ask(TOKEN, assertion, client.proof('POST', '/token'))[1].body)['access_token']
                        self.assertEqual(gate.ask(SLICE, unb64(token), client.proof('GET', '/slice', ath=ath(token)))[0], STREAM)
                        stream = gate.number
                        gate.send(u64(MORE, stream))
                        with Varlink(self.w.socket) as v:
                                v.send('Revoke', {'provider': clinic.name})
                                resets = 0
                                while resets == 0:
                                        type, payload = gate.receive()
                                        resets += type == RESET
                                if honest:  # that is, it says so
                                        gate.send(frame(RESET_DONE, payload + struct.pack('<I', 1)), u64(MORE, stream), u64(MORE, stream))
                                if how == 'says it of another':
                                        gate.send(frame(RESET_DONE, struct.pack('<QI', struct.unpack('<Q', payload)[0] + 1, 1)))
                                self.assertTrue(v.receive()['parameters']['durable'])
                        if how == 'says it of another':
                                self.assertIn('no frame', wait_for(self.reason))
                        if honest:
                                gate.send(*[u64(MORE, stream)] * 20)
                                type, reply = gate.ask(SLICE, unb64(token), client.proof('GET', '/slice', ath=ath(token)))
                                self.assertEqual((type, reply.error), (REPLY, INVALID_TOKEN))
                                self.assertEqual(gate.ask(TOKEN, assertion, client.proof('POST', '/token'))[1].error, INVALID_GRANT)
                                gate.send(closed(stream, 2 ** 64 - 1, 1))
                                self.assertIsNone(gate.receive(timeout_s=0.3))
                        else:
                                self.assertTrue(gate.is_ended())
                        ended, = wait_for(lambda: clinic.entries('release-ended'))
                        self.assertEqual((ended['state'], ended['by']), ('cut', 'revoked'))
                        self.assertTrue(0 <= ended['bytes'] < 1 << 20)
                        clinic.grant_again()

        # --- the core ---

        def test_nonsense_ends_the_gate_and_not_the_core(self):
                good = request(1, SLICE, os.urandom(32), 'a.b.c')[8:]
                nonsense = {
                        'an unknown type': frame(0x9999),
                        'type 0': frame(0),
                        'a length over the limit': frame(REQUEST, b'', PAYLOAD_MAX + 1),
                        'the largest length': frame(REQUEST, b'', 0xffffffff),
                        'a huge frame': frame(REQUEST, bytes(PAYLOAD_MAX + 1000)),
                        'the largest frame': frame(REQUEST, bytes(PAYLOAD_MAX)),
                        'no frame at all': b'GET / HTTP/1.1\r\nHost: x\r\n\r\n',
                        'zeros': bytes(100000),
                        'a chunk to the core': frame(CHUNK, struct.pack('<Q', 1) + b'x'),
                        'a reply to the core': frame(REPLY, bytes(40)),
                        'a reset to the core': u64(RESET, 0),
                        'a configuration': frame(CONFIG, text('a') * 3),
                        'a key of the kdf': frame(0x102, bytes(44)),
                        'a record of an import': frame(0x203, bytes(60)),
                        'a gate key': frame(KEY, text('a') * 2 + bytes(32)),
                        'ready twice': frame(READY, text('127.0.0.1:1')),
                        'an empty request': frame(REQUEST),
                        'a request that is cut': frame(REQUEST, good[:-1]),
                        'a request with more behind': frame(REQUEST, good + b'x'),
                        'request number 0': frame(REQUEST, bytes(8) + good[8:]),
                        'operation 0': frame(REQUEST, good[:8] + b'\0' + good[9:]),
                        'operation 255': frame(REQUEST, good[:8] + b'\xff' + good[9:]),
                        'format 9': frame(REQUEST, good[:9] + b'\x09' + good[10:]),
                        'unknown flags': frame(REQUEST, good[:10] + b'\xff' + good[11:]),
                        'unknown kinds': request(1, SLICE, os.urandom(32), 'a.b.c', kinds=1),
                        'a proof that is too long': request(1, SLICE, os.urandom(32), 'a' * 4097),
                        'more of nothing': frame(MORE),
                        'more of request 0 and a byte': frame(MORE, bytes(9)),
                        'closed in three ways': closed(5, 0, 2),
                        'closed without a number': closed(0),
                        'reset done without a reset': frame(RESET_DONE, struct.pack('<QI', 1, 1)),
                        'strangers that are cut': frame(STRANGERS, b'\0\0'),
                        'failed without a text': frame(FAILED),
                        'failed with control characters': frame(FAILED, text('\x1b]0;x\x07')),
                        'failed with what is no UTF-8': frame(FAILED, text(b'\xff\xfe')),
                        'failed with a NUL': frame(FAILED, text(b'a\0b')),
                }
                for what, bytes_ in nonsense.items():
                        with self.subTest(what):
                                gate = HostileGate(self.w)
                                with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                                        gate.send(bytes_)
                                self.assertTrue(gate.is_ended())
                                self.assertFalse(self.w.json('status')['gate']['on'])
                                self.assertIn('no frame', self.reason())
                                self.assertEqual(self.w.core_pid, self.core)
                                gate.close()

        def test_a_frame_cut_by_its_death_is_no_harm(self):
                gate = self.gate()
                gate.send(request(1, SLICE, os.urandom(32), 'a.b.c')[:30])
                gate.close()
                wait_for(lambda: not self.w.json('status')['gate']['on'], what='the gate is off')
                self.assertIn('ended', self.reason())

        def test_a_late_failure_is_believed_and_said(self):
                gate = self.gate()
                them = self.victim(gate)
                token = self.token(gate, them)
                n_begun, n_ended = (len(self.clinic.entries(type)) for type in ('release-begun', 'release-ended'))
                gate.number += 1
                # one write, one transaction: what it began goes with it
                gate.send(request(gate.number, SLICE, unb64(token), them.proof('GET', '/slice', ath=ath(token))), frame(FAILED, text('the roof is on fire')))
                self.assertTrue(gate.is_ended())
                self.assertEqual(self.reason(), 'the roof is on fire')
                begun, ended = self.clinic.entries('release-begun'), self.clinic.entries('release-ended')
                self.assertEqual(len(begun) - n_begun, len(ended) - n_ended)
                self.assertEqual([entry['begun'] for entry in ended], [entry['index'] for entry in begun])

        def test_it_fails_before_it_is_ready(self):
                gate = self.gate(ready=False)
                gate.send(frame(FAILED, text('no such address')))
                answer = gate.varlink.receive()
                self.assertEqual(answer['error'], 'org.carewallet.Refused')
                self.assertIn('no such address', answer['parameters']['reason'])

        def test_a_gate_that_asks_and_never_reads_is_ended(self):
                for what in 'requests', 'chunks':
                        gate = self.gate()
                        them = self.victim(gate)
                        token = self.token(gate, them)
                        flood = b''.join(request(1000 + i, SUMMARY, os.urandom(32), 'a.b.c') for i in range(300000)) if what == 'requests' else b''
                        for _ in range(8 if what == 'chunks' else 0):
                                self.assertEqual(gate.ask(SLICE, unb64(token), them.proof('GET', '/slice', ath=ath(token)))[0], STREAM)
                                flood += u64(MORE, gate.number) * 400
                        before = self.rss_kib()
                        with contextlib.suppress(OSError):
                                gate.send(flood)
                        wait_for(lambda: 'does not read' in self.reason(), 20, what=f'the core gives up on {what}')
                        grown_kib = self.rss_kib() - before
                        print(f'the core grew by {grown_kib} KiB under unread {what}', file=sys.stderr)
                        self.assertLess(grown_kib, 40 * 1024)
                        gate.close()

        def rss_kib(self):
                with open(f'/proc/{self.core}/status') as f:
                        return next(int(line.split()[1]) for line in f if line.startswith('VmRSS:'))

        def test_it_cannot_fill_the_ledger(self):
                gate = self.gate()
                n = len(self.w.ledger())
                gate.send(frame(STRANGERS, struct.pack('<I', 0xffffffff)) * 2000)
                for i in range(2000):
                        gate.send(request(1000 + i, TOKEN, os.urandom(32), 'a.b.c'))
                gate.number = 10000
                gate.ask(TOKEN, os.urandom(32), 'a.b.c')
                self.assertLessEqual(len(self.w.ledger()), n + 1)
                self.w.cli('gate', 'off')
                counts = [entry['count'] for entry in self.w.ledger(type='refused', reason='stranger')[-2:]]
                self.assertGreaterEqual(sum(counts), 0xffffffff * 2000)


def b64_none(proof):
        return f'{b64(b"{}")}.{proof.split(".")[1]}.{b64(bytes(64))}'


if __name__ == '__main__':
        unittest.main(verbosity=2)
