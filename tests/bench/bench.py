# SPDX-License-Identifier: Apache-2.0
"""Speed and memory of the real programs: ./dev bench [NAME…].

Each line is a figure, its limit and whether it holds. Limits are ratios to what the bare library does in the same run
where that is possible; the machine's own figures stand at the top, because absolute figures vary between machines and by
about 30 % between runs. Exit code 1 when a limit is broken.
"""

import hashlib
import http.client
import json
import os
import shutil
import signal
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', 'lib'))
import dpop  # noqa: E402
import usb  # noqa: E402
import varlink  # noqa: E402
import wallet  # noqa: E402
from wallet import Wallet  # noqa: E402

BENCH = os.path.join(wallet.BUILD, 'tests', 'bench')
RUNS = 5
TODAY = time.strftime('%Y-%m-%d')
YESTERDAY = time.strftime('%Y-%m-%d', time.localtime(time.time() - 86400))

failures = 0


def line(name, figure, limit='', holds=None):
        global failures
        if holds is False:
                failures += 1
        print(f'{name:<58} {figure:>16}  {limit:<22} {"" if holds is None else "ok" if holds else "BROKEN"}', flush=True)


def at_most(name, value, limit, unit, decimals=1):
        line(name, f'{value:.{decimals}f} {unit}', f'<= {limit} {unit}', value <= limit)


def at_least(name, value, limit, unit='', decimals=2):
        line(name, f'{value:.{decimals}f} {unit}'.strip(), f'>= {limit} {unit}'.strip(), value >= limit)


def bench_program(name, *args):
        out = subprocess.run([os.path.join(BENCH, name), *map(str, args)], check=True, stdout=subprocess.PIPE, text=True).stdout
        return json.loads(out)


class Peak:
        """Highest proportional memory of processes, sampled: with Peak(lambda: pids) as p: …; p.kib"""

        def __init__(self, pids):
                self.pids, self.kib, self.done = pids, 0, threading.Event()

        def sample(self):
                self.kib = max(self.kib, wallet.pss_kib(self.pids()))

        def loop(self):
                while not self.done.wait(0.02):
                        self.sample()

        def __enter__(self):
                self.sample()
                self.thread = threading.Thread(target=self.loop)
                self.thread.start()
                return self

        def __exit__(self, *_):
                self.sample()
                self.done.set()
                self.thread.join()


class Data:
        """A year and ten years of synthetic exports, made once; and the import worker's frames of the year."""

        def __init__(self, directory):
                self.directory = directory
                self.bare = os.path.join(directory, 'bare')
                os.mkdir(self.bare)
                self.made = {}

        def years(self, n):
                if n not in self.made:
                        path = os.path.join(self.directory, f'{n}-years.csv')
                        self.made[n] = (path, wallet.generate(path, '--days', 365 * n, '--end', YESTERDAY))
                return self.made[n]

        def run_worker(self, years=1):
                """The import worker over the years: what it sends. The request is daemon/FORMAT.md's."""
                zone = b'Europe/Berlin'
                request = struct.pack('<IqBBH', 1, int(time.time() * 1000), 0, 0, len(zone)) + zone + struct.pack('<HH', 0, 0)
                csv = os.open(self.years(years)[0], os.O_RDONLY)
                worker = os.path.join(wallet.BUILD, 'daemon', 'workers', 'import', 'carewallet-import')
                # the worker wants its file as descriptor 3
                process = subprocess.Popen(['bash', '-c', f'exec {worker} 3<&{csv}'], pass_fds=[csv], env={},
                                           stdin=subprocess.PIPE, stdout=subprocess.PIPE)
                os.close(csv)
                frames, _ = process.communicate(struct.pack('<II', 0x0201, len(request)) + request)
                assert process.returncode == 0, f'the import worker ended with {process.returncode}'
                return frames

        def frames(self, years=1):
                """The same records for the bare loop."""
                path = os.path.join(self.directory, f'frames-{years}')
                if not os.path.exists(path):
                        with open(path, 'wb') as f:
                                f.write(self.run_worker(years))
                return path


class Varlink:
        """One call on a connection of its own, without the command line's own start."""

        def __init__(self, path):
                self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                self.socket.connect(path)

        def call(self, method, **parameters):
                self.socket.sendall(json.dumps({'method': f'org.carewallet.{method}', 'parameters': parameters}).encode() + b'\0')
                data = b''
                while not data.endswith(b'\0'):
                        more = self.socket.recv(65536)
                        assert more, 'the core closed the connection'
                        data += more
                reply = json.loads(data[:-1])
                assert 'error' not in reply, reply
                return reply['parameters']

        def read(self, method, **parameters):
                """One that gives a pipe: all that comes out of it."""
                self.socket.sendall(json.dumps({'method': f'org.carewallet.{method}', 'parameters': parameters, 'more': True}).encode() + b'\0')
                _, fds, _, _ = socket.recv_fds(self.socket, 65536, 1)
                assert fds, f'{method} gave no pipe'
                out = b''
                with os.fdopen(fds[0], 'rb') as f:
                        while more := f.read(1 << 16):
                                out += more
                return out


class Turns:
        """The longest turn of the core's loop while something runs: with Turns(w) as t: …; t.ms

        A trivial call is always under way on a connection of its own, and goes before all bulk work: what the core computes
        until it is answered is what was left of one turn, and the answer. By the core's processor time, as the machine's other
        work is no turn of the core; .wall_ms is by the clock, with disk and all."""

        CALL = b'{"method":"org.varlink.service.GetInfo"}\0'

        def __init__(self, w):
                self.w, self.done, self.n, self.ms, self.wall_ms = w, threading.Event(), 0, 0, 0

        def one_core(self):
                """Until the core ends, as it does by Lock."""
                pid = self.w.core_pid
                clock = (~pid << 3) | 2  # CPUCLOCK_SCHED of a process: clock_getcpuclockid(3)
                with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as s:
                        s.connect(self.w.socket)
                        while not self.done.is_set():
                                wall, cpu = time.monotonic(), time.clock_gettime(clock)
                                s.sendall(self.CALL)
                                data = b''
                                while not data.endswith(b'\0'):
                                        more = s.recv(65536)
                                        if not more:
                                                return
                                        data += more
                                self.ms = max(self.ms, 1000 * (time.clock_gettime(clock) - cpu))
                                self.wall_ms = max(self.wall_ms, 1000 * (time.monotonic() - wall))
                                self.n += 1

        def loop(self):
                while not self.done.is_set():
                        try:
                                self.one_core()
                        except (OSError, AssertionError):
                                time.sleep(0.001)  # between two cores

        def __enter__(self):
                self.thread = threading.Thread(target=self.loop)
                self.thread.start()
                time.sleep(0.05)
                return self

        def __exit__(self, *_):
                self.done.set()
                self.thread.join()


def imported_wallet(data, years=1, **options):
        w = Wallet(**options)
        try:
                w.init()
                w.cli('import', data.years(years)[0], timeout_s=600)
        except BaseException:
                w.close()
                raise
        return w


def open_gate(w, name='bench', preset_args=('--last', '90d')):
        """A provider with a grant and an open gate: (key, jwt)."""
        key = dpop.Key()
        w.cli('provider', 'add', name, '--key', key.write_jwk(w.path(f'{name}.jwk')))
        if not w.gate:
                w.gate_on()
        path = w.grant(name, *preset_args)
        with open(path) as f:
                return key, f.read().strip()


def curl(client, path):
        """A resource by a reader that costs little beside what is measured: (bytes of the body, seconds from the request to the last)."""
        headers = f'Authorization: DPoP {client.access_token}\nDPoP: {client.resource_proof(path)}\n'
        out = subprocess.run(['curl', '--silent', '--insecure', '--tlsv1.3', '--header', '@-', '--output', os.devnull, '--write-out',
                              '%{http_code} %{size_download} %{time_pretransfer} %{time_total}', f'{client.url}{path}'],
                             input=headers, stdout=subprocess.PIPE, text=True, check=True, timeout=60).stdout.split()
        assert out[0] == '200', out
        return int(out[1]), float(out[3]) - float(out[2])


def fetch(client, path):
        """The same on the connection that is there: (bytes as they came, seconds to the first, to the last)."""
        sock = client.connection.sock
        request = (f'GET {path} HTTP/1.1\r\nHost: {client.host}\r\nAuthorization: DPoP {client.access_token}\r\n'
                   f'DPoP: {client.resource_proof(path)}\r\n\r\n')
        buffer, n, first_s = bytearray(32 << 20), 0, None
        view = memoryview(buffer)
        begin = time.monotonic()
        sock.sendall(request.encode())
        while not buffer[max(0, n - 5):n] == b'0\r\n\r\n':
                got = sock.recv_into(view[n:])
                first_s = first_s or time.monotonic() - begin
                assert got > 0, 'the gate closed the connection'
                n += got
        all_s = time.monotonic() - begin
        body = bytes(buffer[:n])
        assert body.startswith(b'HTTP/1.1 200 '), body[:400]
        return body, first_s, all_s


# the benches, in the order of the table


def machine(data):
        figures = bench_program('bench-machine', data.directory)
        line('machine: Ed25519 sign / verify', f'{figures["sign_per_s"]} / {figures["verify_per_s"]} /s')
        line('machine: 4 KiB append + fdatasync', f'{figures["fdatasync_per_s"]} /s')
        line('machine: SQLCipher commit, synchronous FULL', f'{figures["commit_per_s"]} /s')
        return figures


def imports(data):
        path, truth = data.years(1)
        frames = data.frames()
        ours, bare = [], []
        for _ in range(RUNS):
                with Wallet() as w:
                        w.init()
                        begin = time.monotonic()
                        report = w.cli('import', path, '--json', timeout_s=600)
                        ours.append(time.monotonic() - begin)
                        n = sum(w.json('status')['records'].values())
                figures = bench_program('bench-bare', 'insert', frames, data.bare)
                assert figures['records'] == n, (figures, n, report.out[:1000])
                bare.append(figures['seconds'])
        rate, bare_rate = n / statistics.median(ours), n / statistics.median(bare)
        line(f'import: {truth["n_rows"]} rows, {n} records, whole command', f'{rate / 1000:.0f} k/s', f'spread {min(ours):.2f}-{max(ours):.2f} s')
        line('import: bare loop, the same records, one transaction', f'{bare_rate / 1000:.0f} k/s', f'spread {min(bare):.2f}-{max(bare):.2f} s')
        at_least('import: ratio to the bare loop', rate / bare_rate, 0.5)


CSV_READER = """
import csv, sys
with open(sys.argv[1], encoding='utf-8-sig', newline='') as f:
        for row in csv.reader(f, delimiter=';'):
                pass
"""
CSV_BY_NAME = """
import csv, sys
with open(sys.argv[1], encoding='utf-8-sig', newline='') as f:
        for _ in range(int(sys.argv[2])):
                next(f)
        for row in csv.DictReader(f, delimiter=';'):
                pass
"""
PANDAS = """
import sys, pandas
pandas.read_csv(sys.argv[1], sep=';', encoding='utf-8-sig', skiprows=int(sys.argv[2]), dtype=str, on_bad_lines='skip', low_memory=False)
"""


def readers(data):
        """Whole programs over the same year: ours, which stores it encrypted, beside those that only read it."""
        path, _ = data.years(1)
        python = '/usr/bin/python3'  # Debian's, which has Debian's pandas
        with open(path, encoding='utf-8-sig') as f:
                n_before = next(i for i, text in enumerate(f) if text.startswith('Index'))

        def median_s(run):
                times = []
                for _ in range(RUNS):
                        begin = time.monotonic()
                        run()
                        times.append(time.monotonic() - begin)
                return statistics.median(times)

        def theirs(program):
                return median_s(lambda: subprocess.run([python, '-c', program, path, str(n_before)], check=True))

        times = []
        for _ in range(RUNS):
                with Wallet() as w:
                        w.init()
                        begin = time.monotonic()
                        w.cli('import', path, timeout_s=600)
                        times.append(time.monotonic() - begin)
        ours, worker = statistics.median(times), median_s(data.run_worker)
        line('readers: the whole import', f'{ours:.2f} s')
        line('readers: of it the worker: locked down, read twice, records', f'{worker:.2f} s')
        plain = theirs(CSV_READER)
        at_most("readers: the worker, to Python's csv.reader alone", worker / plain, 1, 'x', 2)
        line("readers: the whole import, to Python's csv.reader alone", f'{ours / plain:.2f} x', f'it takes {plain:.2f} s')
        at_most("readers: the whole import, to csv.DictReader (by name)", ours / theirs(CSV_BY_NAME), 1, 'x', 2)
        if subprocess.run([python, '-c', 'import pandas'], stderr=subprocess.DEVNULL).returncode != 0:
                line('readers: pandas', 'skipped', 'python3-pandas is not there')
        else:
                at_most('readers: the whole import, to pandas.read_csv', ours / theirs(PANDAS), 1, 'x', 2)


def memory(data):
        peaks = {}
        for years in (1, 10):
                path, _ = data.years(years)
                with Wallet() as w:
                        w.init()
                        process = w.start_cli('import', path)
                        with Peak(lambda: w.pids() + [process.pid]) as peak:
                                out, err = process.communicate()
                        assert process.returncode == 0, err
                        peaks[years] = peak.kib / 1024
                        at_most(f'memory: peak of all processes, import of {years} year{"s" if years > 1 else ""}', peaks[years], 64, 'MiB')
        at_most('memory: ten years to one year', peaks[10] / peaks[1], 1.2, 'x', 2)


def idle(data):
        with imported_wallet(data) as w:
                time.sleep(2)
                launcher_core = [w.process.pid, w.core_pid]
                at_most('idle: launcher and core, wallet open, a year in it', wallet.pss_kib(launcher_core) / 1024, 12, 'MiB')

                def switches(pids):
                        n = 0
                        for pid in pids:
                                with open(f'/proc/{pid}/status') as f:
                                        n += sum(int(text.split()[1]) for text in f if 'ctxt_switches' in text)
                        return n

                before = switches(launcher_core)
                time.sleep(10)
                at_most('idle: wake-ups of launcher and core in 10 s', switches(launcher_core) - before, 0, '', 0)
                open_gate(w)
                time.sleep(2)
                pids = w.pids()
                before = switches(pids)
                time.sleep(10)
                line('idle: the same with the gate on', f'{switches(pids) - before}')


def slices(data):
        with imported_wallet(data, years=10) as w:
                key, jwt = open_gate(w)
                core = w.core_pid
                ours, bare, first, rows = [], [], [], 0
                client = dpop.Client(w.gate, key)
                client.token(jwt)
                memory_before = wallet.pss_kib([core])
                bench_program('bench-bare', 'insert', data.frames(), data.bare)
                with Peak(lambda: [core]) as peak:
                        for _ in range(4 * RUNS):  # short, and so noisy
                                body, first_s, _ = fetch(client, '/slice?format=ndjson')
                                first.append(first_s)
                                rows = body.count(b'{"kind":')
                                assert b'\n{"end":' in body[-4096:], body[-200:]
                                n_bytes, all_s = curl(client, '/slice?format=ndjson')
                                assert 0.9 * len(body) < n_bytes < len(body), (n_bytes, len(body))  # less its headers and chunks' lengths
                                ours.append(all_s)
                                figures = bench_program('bench-bare', 'query', data.bare, 90)
                                bare.append(figures['seconds'] / figures['records'])
                rate, bare_rate = rows / min(ours), 1 / min(bare)  # three processes on the cores of this machine: what interferes only ever slows
                line(f'slice: 90 days, {rows} rows, over HTTPS', f'{rate / 1000:.0f} k/s')
                line('slice: bare query and serialisation', f'{bare_rate / 1000:.0f} k/s')
                at_least('slice: ratio to the bare query', rate / bare_rate, 0.5)
                at_most('slice: first byte, kept connection, median', statistics.median(first) * 1000, 20, 'ms')
                at_most('slice: growth of the core over twenty slices', max(0, peak.kib - memory_before) / 1024, 2, 'MiB')


def revoke(data):
        figures = bench_program('bench-machine', data.directory)
        with imported_wallet(data) as w:
                idle_times = []
                for i in range(RUNS):
                        open_gate(w, f'idle{i}')
                        begin = time.monotonic()
                        Varlink(w.socket).call('Revoke', provider=f'idle{i}')
                        idle_times.append(time.monotonic() - begin)
                fsync_s = 1 / figures['fdatasync_per_s']
                idle_s = statistics.median(idle_times)
                line('revoke: whole call, idle, gate on', f'{idle_s * 1000:.1f} ms')
                line('revoke: the same as a ratio to one fdatasync', f'{idle_s / fsync_s:.1f} x')

                # ten streams that are read slowly enough to be there at the end, and an import
                streams, stop = [], threading.Event()

                def read_slowly(response):
                        try:
                                while not stop.is_set() and response.read(4096):
                                        time.sleep(0.02)
                        except (OSError, http.client.HTTPException):
                                pass  # reset, as it should be

                for i in range(10):
                        key, jwt = open_gate(w, f'stream{i}', ('--last', '365d'))
                        client = dpop.Client(w.gate, key)
                        client.token(jwt)
                        thread = threading.Thread(target=read_slowly, args=(client.get('/slice?format=ndjson'),), daemon=True)
                        thread.start()
                        streams.append((client, thread))
                times, n_cut = [], 0
                path = data.years(10)[0]
                process = w.start_cli('import', path)
                time.sleep(0.5)
                for i in range(10):
                        begin = time.monotonic()
                        n_cut += Varlink(w.socket).call('Revoke', provider=f'stream{i}')['streamsCut']
                        times.append(time.monotonic() - begin)
                        time.sleep(0.1)
                busy = process.poll() is None
                stop.set()
                process.kill()
                process.communicate()
                for client, thread in streams:
                        client.close()
                        thread.join()
                line('revoke: streams cut, and the import ran all the time', f'{n_cut}, {"yes" if busy else "no"}', '10, yes', busy and n_cut == 10)
                at_most('revoke: whole call, import and ten streams, median', statistics.median(times) * 1000, 50, 'ms')
                at_most('revoke: the same, slowest of ten', max(times) * 1000, 50, 'ms')


def redemptions(data):
        figures = bench_program('bench-machine', data.directory)
        with imported_wallet(data) as w:
                def measure(kept, n_threads, seconds=4):
                        counts, end = [0] * n_threads, time.monotonic() + seconds
                        clients = []
                        for i in range(n_threads):
                                key, jwt = open_gate(w, f'p{kept:d}-{n_threads}-{i}')
                                clients.append((dpop.Client(w.gate, key), jwt))

                        def loop(i):
                                client, jwt = clients[i]
                                while time.monotonic() < end:
                                        if not kept:
                                                client.connect()
                                        client.token(jwt)
                                        counts[i] += 1

                        threads = [threading.Thread(target=loop, args=(i,)) for i in range(n_threads)]
                        begin, end = time.monotonic(), time.monotonic() + seconds
                        for t in threads:
                                t.start()
                        for t in threads:
                                t.join()
                        for client, _ in clients:
                                client.close()
                        return sum(counts) / (time.monotonic() - begin)

                line('redemptions: one client, kept connection', f'{measure(True, 1):.0f} /s', f'verify {figures["verify_per_s"]}/s')
                line('redemptions: eight clients, kept connections', f'{measure(True, 8):.0f} /s', f'commit {figures["commit_per_s"]}/s')
                line('redemptions: one client, new connection each', f'{measure(False, 1):.0f} /s')


def stalled(data):
        with Wallet() as w:
                w.init()
                w.gate_on()
                host, port = w.gate.rsplit(':', 1)
                pid = w.pid_of('carewallet-gate')
                sockets = []
                for _ in range(10):
                        s = socket.create_connection((host, int(port)))
                        s.sendall(b'\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03')  # the beginning of a ClientHello
                        sockets.append(s)

                def cpu_s():
                        total = 0
                        for p in (pid, w.process.pid, w.core_pid):
                                with open(f'/proc/{p}/stat') as f:
                                        fields = f.read().rsplit(')', 1)[1].split()
                                total += int(fields[11]) + int(fields[12])
                        return total / os.sysconf('SC_CLK_TCK')

                time.sleep(0.5)
                before, begin = cpu_s(), time.monotonic()
                time.sleep(5)
                at_most('gate: CPU with ten peers stalled in the handshake', 100 * (cpu_s() - before) / (time.monotonic() - begin), 5, '%')
                for s in sockets:
                        s.close()


def recovery_code(w):
        return next(word for word in w.recovery_output.split() if word.count('-') == 7)


def unlock_s(w, code):
        """By the recovery code, which needs no Argon2: all that unlocking is but that."""
        times = []
        for _ in range(2 * RUNS):
                w.lock()
                with varlink.Varlink(w.socket) as v:
                        begin = time.monotonic()
                        reply = v.calls('Unlock', {'secretFd': 0, 'recovery': True}, [varlink.secret(code)])[-1]
                        times.append(time.monotonic() - begin)
                        assert 'error' not in reply, reply
        return statistics.median(times)


def storage(data):
        """Ten years of one patient: what they take, and how long what is done with all of them takes."""
        with Wallet() as empty:
                empty.init()
                empty_s = unlock_s(empty, recovery_code(empty))
        at_most('storage: unlock, all but Argon2, an empty wallet', empty_s * 1000, 30, 'ms')

        with imported_wallet(data, years=10) as w:
                counts = w.json('status')['records']
                line('storage: ten years, records', f'{sum(counts.values())}', f'{counts["cgm"]} cgm')
                full_s = unlock_s(w, recovery_code(w))
                at_most('storage: unlock, all but Argon2, ten years', full_s * 1000, 30, 'ms')
                at_most('storage: the same, longer than an empty wallet', max(0, full_s - empty_s) * 1000, 10, 'ms')

                n_bytes = os.path.getsize(os.path.join(w.state, 'records.db'))
                for name in ('plain', 'rowid'):
                        figures = bench_program('bench-bare', name, data.frames(10), data.bare)
                        path = os.path.join(data.bare, f'{name}.db')
                        what = 'plain SQLite, the same table' if name == 'plain' else 'a rowid table, index (kind, time)'
                        at_most(f'storage: bytes to {what}', n_bytes / sum(counts.values()) / (os.path.getsize(path) / figures['records']), 1.5, 'x', 2)
                        os.unlink(path)

                times = []
                for _ in range(4 * RUNS):
                        begin = time.monotonic()
                        Varlink(w.socket).read('Show', kinds=[], to='2024-01-15', format='ndjson', **{'from': '2024-01-15'})
                        times.append(time.monotonic() - begin)
                at_most("storage: a day's show, on the socket, median", statistics.median(times) * 1000, 10, 'ms')

                # both write a new file on the same disk, and both are there only when they are on it
                times, copies = [], []
                for i in range(RUNS):
                        with open(os.path.join(w.state, 'records.db'), 'rb') as f, open(w.path('copy'), 'wb') as to:
                                begin = time.monotonic()
                                shutil.copyfileobj(f, to, 1 << 20)
                                to.flush()
                                os.fdatasync(to.fileno())
                                copies.append(time.monotonic() - begin)
                        begin = time.monotonic()
                        w.cli('backup', w.path(f'backup-{i}'))
                        times.append(time.monotonic() - begin)
                        os.unlink(w.path('copy'))
                        os.unlink(w.path(f'backup-{i}'))
                line('storage: a copy with fdatasync', f'{n_bytes / statistics.median(copies) / 1e6:.0f} MB/s')
                at_least('storage: backup, hashed twice, to that', statistics.median(copies) / statistics.median(times), 0.5, 'x')


def turns(data):
        """The longest that the core is away from its loop, by its processor time."""

        def during(name, do):
                with Turns(w) as t:
                        do()
                at_most(f'turns: {name}', t.ms, 20, 'ms')
                line(f'turns: {name}, by the clock', f'{t.wall_ms:.1f} ms', f'{t.n} calls answered')

        with imported_wallet(data, years=10) as w:
                during('an idle wallet', lambda: time.sleep(2))
                during('backup of ten years', lambda: w.cli('backup', w.path('backup'), timeout_s=600))
                during('export of ten years', lambda: w.cli('export', '--everything', '--out', w.path('everything'), timeout_s=600))
                for i in range(50):
                        w.cli('provider', 'add', f'p{i}', '--key', dpop.Key().write_jwk(w.path(f'{i}.jwk')))
                v = Varlink(w.socket)
                for i in range(1500):
                        v.call('Grant', provider=f'p{i % 50}', preset='endocrinologist', forS=3600 * 24 * 30)
                code = recovery_code(w)
                w.lock()
                during('unlock with 1,500 grants', lambda: w.cli('unlock', '--recovery-fd', '{}', passphrase=code))
                during('a day forgotten', lambda: w.cli('forget', '--from', '2024-01-15', '--to', '2024-01-15', '--yes', timeout_s=600))
                during('the key rotated', lambda: w.cli('key', 'rotate', '--yes', '--passphrase-fd', '{}', passphrase=w.passphrase, timeout_s=900))
                during("a provider's 30 grants revoked", lambda: w.cli('revoke', 'p0'))
                with Turns(w) as t:  # one commit for all, before anything else happens
                        w.cli('revoke', '--all')
                line('turns: 1,470 grants revoked at once', f'{t.ms:.1f} ms')
                everything = os.path.join(data.directory, 'everything')
                os.rename(w.path('everything'), everything)
                backup = os.path.join(data.directory, 'backup')
                os.rename(w.path('backup'), backup)
        with Wallet(start=False) as w:
                w.cli('restore', backup, '--state-dir', w.state, timeout_s=600)
                w.start()
                during('the first unlock of what was restored', lambda: w.cli('unlock', '--recovery-fd', '{}', passphrase=code))
        os.unlink(backup)
        with Wallet() as w:
                w.init()
                begin = time.monotonic()
                during('a complete export of ten years, imported', lambda: w.cli('import', everything, timeout_s=900))
                line('turns: that took', f'{time.monotonic() - begin:.0f} s', f'{os.path.getsize(everything) >> 20} MiB')
        os.unlink(everything)


def pages(data):
        """Decoding of a pump's memory: bytes to records of the pump, checksums included."""
        figures = bench_program('bench-pages', 2)
        at_least('pages: history', figures['history'], 200, 'MB/s', 0)
        at_least('pages: glucose', figures['glucose'], 200, 'MB/s', 0)
        at_least('pages: glucose with sensor currents', figures['glucose_isig'], 200, 'MB/s', 0)


def stop(data):
        """Ctrl-C while a pump is read, at the stick's own pace: until the radio is off, what was read is stored and the command has ended."""
        took_s = []
        pages = [usb.page([usb.bolus(1 + i // 2, 12 + i % 2, m, 0, 5) for m in range(60)]) for i in range(36)]
        stick = usb.Stick(pages, speed=1)
        with Wallet(env=stick.env) as w:
                w.init()
                for i in range(RUNS):
                        stick.set(n_pages_sent=0, is_asleep=0, is_radio_on=1)
                        process = w.start_cli('pull', '--device', stick.node, '--serial', stick.serial)
                        wallet.wait_for(lambda: stick['n_pages_sent'] >= 1, 60, 'a page')
                        time.sleep(0.13 * i)
                        begin = time.monotonic()
                        process.send_signal(signal.SIGINT)
                        process.communicate(timeout=20)
                        took_s.append(time.monotonic() - begin)
                        assert not stick['is_radio_on']
                        for one in w.json('imports'):
                                w.cli('imports', 'undo', str(one['id']), '--yes')
        stick.close()
        line('pull: Ctrl-C until the command has ended, median', f'{statistics.median(took_s):.2f} s')
        at_most('pull: Ctrl-C until the command has ended, longest', max(took_s), 1, 's', 2)


BENCHES = [machine, imports, readers, pages, stop, memory, idle, slices, revoke, redemptions, stalled, storage, turns]


def main():
        wanted = sys.argv[1:]
        unknown = set(wanted) - {b.__name__ for b in BENCHES}
        if unknown:
                sys.exit(f'no bench {", ".join(sorted(unknown))}; there are: {" ".join(b.__name__ for b in BENCHES)}')
        try:  # before whatever else the machine does, with all that is started from here
                os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(10))
        except PermissionError:
                line('machine: not as root', 'other work counts', 'figures by the clock are worse')
        with tempfile.TemporaryDirectory(prefix='carewallet-bench-') as directory:
                data = Data(directory)
                for bench in BENCHES:
                        if not wanted or bench.__name__ in wanted:
                                bench(data)
        print(f'\n{failures} limit(s) broken' if failures else '\nall limits hold')
        sys.exit(1 if failures else 0)


main()
