# SPDX-License-Identifier: Apache-2.0
"""Plays the core for the real carewallet-gate: frames over pipes, as daemon/common/frame.h lays them out."""

import hashlib
import os
import select
import socket
import ssl
import struct
import subprocess
import time

BUILD = os.path.abspath(os.environ.get('CAREWALLET_BUILD', os.path.join(os.path.dirname(__file__), '..', '..', '..', 'build')))
PROGRAM = os.environ.get('CAREWALLET_GATE', os.path.join(BUILD, 'daemon', 'workers', 'gate', 'carewallet-gate'))

MAKE_KEY, CONFIG, REPLY, STREAM, CHUNK, END, RESET = range(0x301, 0x308)
KEY, READY, FAILED, REQUEST, MORE, CLOSED, RESET_DONE, STRANGERS = range(0x311, 0x319)

TOKEN, SLICE, SUMMARY = 1, 2, 3
NDJSON, CSV = 1, 2
HAS_FROM, HAS_TO, HAS_SINCE, HAS_CREDENTIAL, HAS_PROOF = 1, 2, 4, 8, 16
(OK, INVALID_REQUEST, INVALID_GRANT, INVALID_DPOP_PROOF, USE_DPOP_NONCE, INVALID_TOKEN, INSUFFICIENT_SCOPE, NOT_ENOUGH_DATA,
 UNAVAILABLE, SERVER_ERROR) = range(10)
JSON_BODY, NDJSON_BODY, CSV_BODY = 1, 2, 3


def text(value):
        data = value.encode()
        return struct.pack('<H', len(data)) + data


def take_text(payload, at):
        n, = struct.unpack_from('<H', payload, at)
        return payload[at + 2:at + 2 + n].decode(), at + 2 + n


class Request:
        def __init__(self, payload):
                (self.number, self.operation, self.format, self.flags, zero, self.kinds, self.from_day, self.to_day,
                 self.since) = struct.unpack_from('<QBBBBIiiq', payload)
                assert zero == 0
                self.credential = payload[32:64]
                self.proof, end = take_text(payload, 64)
                assert end == len(payload)


class Core:
        """@address None: only start the program."""

        def __init__(self, address='127.0.0.1:0', key=None):
                self.process = subprocess.Popen([PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env={}, bufsize=0)
                self.buffer = b''
                self.closed = {}   # request: (bytes, whole)
                self.more = []
                self.strangers = 0
                self.address = None
                if address:
                        self.key, self.certificate, self.spki = key or a_key()
                        self.send(CONFIG, text(address) + text(self.key) + text(self.certificate))
                        kind, payload = self.frame()
                        assert kind == READY, payload
                        self.address = take_text(payload, 0)[0]
                        host, port = self.address.rsplit(':', 1)
                        self.peer = host.strip('[]'), int(port)

        def __enter__(self):
                return self

        def __exit__(self, *error):
                self.process.stdin.close()
                try:
                        self.status = self.process.wait(10)
                except subprocess.TimeoutExpired:
                        self.process.kill()
                        self.status = self.process.wait()
                self.process.stdout.close()

        # frames

        def send(self, kind, payload=b''):
                data = struct.pack('<II', kind, len(payload)) + payload
                while data:
                        data = data[self.process.stdin.write(data):]

        def frame(self, timeout_s=10):
                """(type, payload), or None at the end of file."""
                end = time.monotonic() + timeout_s
                while True:
                        if len(self.buffer) >= 8:
                                kind, n = struct.unpack_from('<II', self.buffer)
                                if len(self.buffer) >= 8 + n:
                                        payload, self.buffer = self.buffer[8:8 + n], self.buffer[8 + n:]
                                        return kind, payload
                        ready, _, _ = select.select([self.process.stdout], [], [], max(0, end - time.monotonic()))
                        if not ready:
                                raise AssertionError(f'no frame within {timeout_s} s')
                        data = self.process.stdout.read(65536)
                        if not data:
                                return None
                        self.buffer += data

        def wait(self, kind, timeout_s=10, match=lambda payload: True):
                """The payload of the next such frame; what comes before it is kept where it is kept."""
                end = time.monotonic() + timeout_s
                while True:
                        frame = self.frame(max(0.01, end - time.monotonic()))
                        assert frame, f'the gate ended before frame {kind:#x}'
                        got, payload = frame
                        if got == CLOSED:
                                number, sent, whole = struct.unpack('<QQB', payload)
                                assert number not in self.closed, 'a request was closed twice'
                                self.closed[number] = sent, bool(whole)
                        elif got == MORE:
                                self.more.append(struct.unpack('<Q', payload)[0])
                        elif got == STRANGERS:
                                self.strangers += struct.unpack('<I', payload)[0]
                        if got == kind and match(payload):
                                return payload

        def request(self, timeout_s=10):
                return Request(self.wait(REQUEST, timeout_s))

        def reply(self, number, error=OK, grant=0, content=JSON_BODY, nonce='', message='', body=b'', kind=REPLY):
                self.send(kind, struct.pack('<QQBB', number, grant, error, content) + text(nonce) + text(message) + body)

        def stream(self, number, grant=0, content=NDJSON_BODY, nonce=''):
                self.reply(number, grant=grant, content=content, nonce=nonce, kind=STREAM)

        def chunk(self, number, data):
                self.send(CHUNK, struct.pack('<Q', number) + data)

        def end(self, number, whole=True, trailer=''):
                self.send(END, struct.pack('<QB', number, whole) + text(trailer))

        def reset(self, grant, timeout_s=10):
                self.send(RESET, struct.pack('<Q', grant))
                done, n = struct.unpack('<QI', self.wait(RESET_DONE, timeout_s))
                assert done == grant
                return n

        def wait_more(self, number, timeout_s=10):
                while number not in self.more:
                        self.wait(MORE, timeout_s)
                self.more.remove(number)

        def wait_closed(self, number, timeout_s=10):
                while number not in self.closed:
                        self.wait(CLOSED, timeout_s)
                return self.closed[number]

        # clients

        def connect(self, **options):
                return Client(self, **options)


def a_key():
        """(key PEM, certificate PEM, SHA-256 of the SPKI), made by the gate itself."""
        core = Core(address=None)
        with core:
                core.send(MAKE_KEY)
                kind, payload = core.frame()
                assert kind == KEY
                key, at = take_text(payload, 0)
                certificate, at = take_text(payload, at)
                spki = payload[at:]
                assert len(spki) == 32
                assert core.frame() is None
        assert core.status == 0
        return key, certificate, spki


class Answer:
        def __init__(self, status, headers, body, whole, trailer):
                self.status, self.headers, self.body, self.whole, self.trailer = status, headers, body, whole, trailer


TOKEN_TEXT = 'A' * 43
PROOF = 'aaa.bbb.ccc'


class Client:
        """One TLS connection. The bytes sent are exactly those given."""

        def __init__(self, core, timeout_s=10, source=None, host=None):
                """@source: address to come from; @host: address to reach the gate at"""
                raw = socket.create_connection((host or core.peer[0], core.peer[1]), timeout_s, (source, 0) if source else None)
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.load_verify_locations(cadata=core.certificate)
                try:
                        self.tls = context.wrap_socket(raw, server_hostname='localhost')
                except BaseException:
                        raw.close()
                        raise
                self.buffer = b''

        def __enter__(self):
                return self

        def __exit__(self, *error):
                self.tls.close()

        def send(self, data):
                self.tls.sendall(data if isinstance(data, bytes) else data.encode())

        def get(self, target='/slice', headers=None, method='GET', version='HTTP/1.1'):
                if headers is None:
                        headers = {'Authorization': 'DPoP ' + TOKEN_TEXT, 'DPoP': PROOF}
                lines = [f'{method} {target} {version}', 'Host: localhost']
                lines += [f'{k}: {v}' for k, v in (headers.items() if isinstance(headers, dict) else headers)]
                self.send('\r\n'.join(lines) + '\r\n\r\n')

        def post(self, body, headers=None, target='/token', method='POST'):
                body = body if isinstance(body, bytes) else body.encode()
                if headers is None:
                        headers = {'Content-Type': 'application/x-www-form-urlencoded', 'DPoP': PROOF}
                items = list(headers.items() if isinstance(headers, dict) else headers) + [('Content-Length', len(body))]
                lines = [f'{method} {target} HTTP/1.1', 'Host: localhost'] + [f'{k}: {v}' for k, v in items]
                self.send('\r\n'.join(lines).encode() + b'\r\n\r\n' + body)

        def fill(self):
                for tries_left in reversed(range(20)):
                        try:
                                data = self.tls.recv(65536)
                                self.buffer += data
                                return len(data)
                        except BrokenPipeError:  # with OpenSSL 3.5 it is that of another connection: errors are the thread's
                                if tries_left == 0:
                                        raise
                                time.sleep(0.05)

        def line(self):
                while b'\r\n' not in self.buffer:
                        if not self.fill():
                                raise EOFError(self.buffer)
                line, self.buffer = self.buffer.split(b'\r\n', 1)
                return line

        def take(self, n):
                while len(self.buffer) < n:
                        if not self.fill():
                                raise EOFError(f'{len(self.buffer)} of {n} bytes')
                data, self.buffer = self.buffer[:n], self.buffer[n:]
                return data

        def head(self):
                """(status, headers)"""
                status = int(self.line().split()[1])
                return status, self.fields()

        def fields(self):
                fields = {}
                while line := self.line():
                        name, value = line.decode().split(':', 1)
                        fields[name.lower()] = value.strip()
                return fields

        def answer(self, is_head=False):
                """Reads one whole answer. whole: whether it ended as HTTP says."""
                status, headers = self.head()
                body, trailer, whole = b'', {}, True
                try:
                        if is_head:
                                pass
                        elif headers.get('transfer-encoding') == 'chunked':
                                while n := int(self.line(), 16):
                                        body += self.take(n)
                                        assert self.line() == b''
                                trailer = self.fields()
                        else:
                                body = self.take(int(headers['content-length']))
                except (EOFError, OSError):
                        whole = False
                return Answer(status, headers, body, whole, trailer)

        def is_closed(self):
                """Reads until the gate's end of the connection; False when none comes."""
                try:
                        while self.tls.recv(65536):
                                pass
                        return True
                except (ConnectionError, ssl.SSLError, OSError) as e:
                        if isinstance(e, TimeoutError):
                                return False
                        return True


def sha256(data):
        return hashlib.sha256(data).digest()
