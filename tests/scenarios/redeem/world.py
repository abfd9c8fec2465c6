# SPDX-License-Identifier: Apache-2.0
"""What the scenarios of redemption share: a wallet with data that is quickly made again, a clock to move, bent providers.

        template = Template(days=365)                    # once a program: init and import
        with World(template) as w:                       # a copy of it, unlocked, the gate on
                clinic = Clinic(w, 'clinic', '--uses', '1')
                client = clinic.client()
                client.token(clinic.jwt)
                w.clock.set(3600)
"""

import atexit
import datetime
import hashlib
import json
import os
import shutil
import signal
import socket
import ssl
import struct
import sys
import tempfile
import threading
import time
import urllib.parse

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from dpop import JWT_BEARER, Client, Key, Refused, b64, unb64  # noqa: E402, F401
from varlink import Varlink  # noqa: E402
from wallet import BUILD, PASSPHRASE, Wallet, free_port, generate, wait_for  # noqa: E402, F401

CLOCK_SHIFT = os.path.join(BUILD, 'tests', 'scenarios', 'redeem', 'libclock-shift.so')
SERIAL = 'NG0000042H'  # of generate-carelink.py
BUFFERED_MAX = 256 * 1024  # bytes: what the kernels at both ends may hold
ALL = ('--last', '365d')
FORM = {'Content-Type': 'application/x-www-form-urlencoded'}


class Clock:
        """The daemon's wall clock, as far as it is from the machine's."""

        def __init__(self, wallet):
                self.wallet = wallet
                self.path = wallet.path('clock')
                with open(self.path, 'wb') as f:
                        f.write(struct.pack('<q', 0))

        def set(self, shift_s):
                with open(self.path, 'r+b') as f:
                        f.write(struct.pack('<q', shift_s))
                if self.wallet.process:
                        os.kill(self.wallet.core_pid, signal.SIGUSR2)


class Template:
        """The state directory of a wallet with @days of one synthetic life up to yesterday. Removed with the program."""

        def __init__(self, days):
                self.path = tempfile.mkdtemp(prefix='cw-template-', dir='/tmp')
                atexit.register(shutil.rmtree, self.path, ignore_errors=True)
                with Wallet() as w:
                        w.init()
                        if days:
                                csv = w.path('life.csv')
                                self.last = datetime.date.today() - datetime.timedelta(days=1)
                                self.first = self.last - datetime.timedelta(days=days - 1)
                                self.truth = generate(csv, '--days', days, '--end', self.last)
                                w.cli('import', csv)
                        w.stop()
                        shutil.copytree(w.state, self.path, dirs_exist_ok=True)


class World(Wallet):
        """A wallet made from a template, unlocked, with the gate on. @before: called with it before its state is put there."""

        def __init__(self, template, gate=True, before=None, daemon=None):
                super().__init__(start=False)
                try:
                        self.clock = Clock(self)
                        self.daemon_env.update(LD_PRELOAD=CLOCK_SHIFT, CLOCK_SHIFT=self.clock.path)
                        if before:
                                before(self)
                        shutil.copytree(template.path, self.state, dirs_exist_ok=True)
                        self.template = template
                        self.start()
                        self.unlock()
                        if gate:
                                self.gate_on()
                except BaseException:
                        self.close()
                        raise

        def ledger(self, **wanted):
                """Entries, oldest first; only those that have these members."""
                entries, first = [], 0
                with Varlink(self.socket) as v:
                        while True:
                                replies = v.calls('Log', {'first': first, 'limit': 1000})
                                page = [entry for reply in replies for entry in reply['parameters'].get('entries', [])]
                                entries += page
                                first += len(page)
                                if not page or first >= replies[-1]['parameters']['size']:
                                        break
                return [entry for entry in entries if all(entry.get(name) == value for name, value in wanted.items())]

        def wait_gate(self):
                """After unlock: the gate comes back by itself, where it was."""
                self.gate = wait_for(lambda: self.json('status')['gate'].get('address'), what='the gate comes back')

        def grants_of(self, provider):
                return [grant for grant in self.json('grants') if grant['provider'] == provider]

        def call(self, method, **parameters):
                with Varlink(self.socket) as v:
                        return v.call(method, parameters)


class Clinic:
        """A provider's key, enrolled, and the text of the grant that it was given."""

        def __init__(self, w, name, *terms, preset='endocrinologist', key=None):
                self.w, self.name = w, name
                self.key = key or Key()
                w.cli('provider', 'add', name, '--key', self.key.write_jwk(w.path(name + '.jwk')))
                self.grant_again(*terms, preset=preset)

        def client(self, token=True, **options):
                client = Client(self.w.gate, self.key, **options)
                if token:
                        client.token(self.jwt)
                return client

        def refusal(self):
                """What happens when it asks for a token: (status, error), or nothing when it gets one."""
                client = self.client(token=False)
                try:
                        client.token(self.jwt)
                        return None
                except Refused as refused:
                        return refused.status, refused.error
                finally:
                        client.close()

        @property
        def state(self):
                return next(grant['state'] for grant in self.w.grants_of(self.name) if grant['id'] == self.jti)

        def grant_again(self, *terms, preset='endocrinologist'):
                with open(self.w.grant(self.name, *terms, preset=preset)) as f:
                        self.jwt = f.read().strip()
                self.jti = self.w.grants_of(self.name)[-1]['id']

        def entries(self, type, **wanted):
                return self.w.ledger(type=type, grant=self.jti, **wanted)


def form(jwt, **more):
        return urllib.parse.urlencode({'grant_type': JWT_BEARER, 'assertion': jwt, **more})


def ath(token):
        return b64(hashlib.sha256(token.encode()).digest())


class Stream:
        """
        A slice read by hand over a connection of its own, as slowly as one likes. TLS is done in memory, so that what the
        socket says is seen as it is: Python up to 3.12 takes a reset under TLS for an end.
        """

        def __init__(self, client, path='/slice'):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
                self.socket = socket.create_connection((client.host, client.port), timeout=30)
                self.input, self.output = ssl.MemoryBIO(), ssl.MemoryBIO()
                self.tls = context.wrap_bio(self.input, self.output)
                self.n = 0          # bytes that arrived, TLS and all
                self.text = b''     # the answer so far
                self.error = None   # of the socket
                self.ended = False  # by the peer, in order
                while not self.step(self.tls.do_handshake):
                        self.receive(16384)
                token = client.access_token
                self.step(lambda: self.tls.write((f'GET {path} HTTP/1.1\r\nHost: x\r\nAuthorization: DPoP {token}\r\n'
                                                  f'DPoP: {client.proof("GET", path, ath=ath(token))}\r\n\r\n').encode()))
                while b'\r\n\r\n' not in self.text and not self.over:
                        self.read(1024)
                assert self.text.startswith(b'HTTP/1.1 200 '), self.text

        def step(self, action):
                """Returns whether it was done, or waits for the peer."""
                try:
                        action()
                        done = True
                except ssl.SSLWantReadError:
                        done = False
                if self.output.pending:
                        self.socket.sendall(self.output.read())
                return done

        def receive(self, n):
                try:
                        data = self.socket.recv(n)
                except OSError as e:
                        data, self.error = b'', e
                else:
                        self.ended = not data
                self.n += len(data)
                self.input.write(data)

        @property
        def over(self):
                return self.ended or self.error is not None or self.whole

        def read(self, n=1024):
                """Take at most @n bytes off the socket."""
                self.receive(n)
                try:
                        while True:
                                self.text += self.tls.read(65536)
                                if self.tls.pending() == 0 and self.input.pending < 5:
                                        break
                except (ssl.SSLWantReadError, ssl.SSLZeroReturnError):
                        pass

        def drain(self):
                """Take everything that still comes. Returns the number of bytes."""
                before = self.n
                while not self.over:
                        self.read(65536)
                return self.n - before

        @property
        def whole(self):
                return self.text.endswith(b'\r\n0\r\n\r\n')

        @property
        def has_end_mark(self):
                return b'{"end":{' in self.text

        def close(self):
                self.socket.close()


def is_whole(body):
        """Whether the bytes of a slice as NDJSON are what its end mark says."""
        at = body.rstrip(b'\n').rfind(b'\n') + 1
        end = json.loads(body[at:])['end']
        return end['sha256'] == hashlib.sha256(body[:at]).hexdigest() and end['rows'] == body[:at].count(b'\n') - 1


def say(*words):
        print(*words, file=sys.stderr)


class Slow(threading.Thread):
        """Reads a stream at 1 kB/s until told to take the rest."""

        def __init__(self, clinic):
                super().__init__(daemon=True)
                client = clinic.client()
                self.stream, self.rest = Stream(client), threading.Event()
                client.close()
                self.n_at_rest = None
                self.start()

        def run(self):
                while not self.rest.is_set() and not self.stream.over:
                        self.stream.read(256)
                        self.rest.wait(0.25)
                self.n_at_rest = self.stream.n
                self.stream.drain()

        def finish(self):
                """Returns how many bytes came from now on."""
                self.rest.set()
                self.join(30)
                assert not self.is_alive()
                self.stream.close()
                return self.stream.n - self.n_at_rest


class Poller(threading.Thread):
        """Asks without a pause, for a token or with one; remembers when each question was begun and what was answered."""

        def __init__(self, clinic, token=None):
                super().__init__(daemon=True)
                self.clinic, self.token, self.stopped = clinic, token, False
                self.client = clinic.client(token=False, connect=False, timeout_s=10)
                self.answers = []  # (monotonic time of the question, status; 0: no connection or none left)
                self.start()

        def run(self):
                client = self.client
                while not self.stopped:
                        begun = time.monotonic()
                        try:
                                if self.token:
                                        response = client.get('/slice?kinds=fingerstick', self.token)
                                        response.read()
                                else:
                                        client.token(self.clinic.jwt)
                                self.answers.append((begun, 200))
                        except Refused as refused:
                                self.answers.append((begun, refused.status))
                        except Exception:
                                self.answers.append((begun, 0))
                                client.close()
                                time.sleep(0.002)
                client.close()

        def finish(self):
                self.stopped = True
                self.join(30)
                assert not self.is_alive()

        def since(self, moment):
                return {status for begun, status in self.answers if begun >= moment}
