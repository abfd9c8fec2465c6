# SPDX-License-Identifier: Apache-2.0
"""A wallet for scenario tests: the real daemon in a temporary directory, the real command line against it.

        with Wallet() as w:
                w.init()
                w.cli('import', 'year.csv')
                w.json('status')['records']
                p = w.provider('endo-clinic')           # keygen and provider add
                w.gate_on()                             # '127.0.0.1:port'; before the grant, which then names it
                grant = w.grant('endo-clinic')          # path of the grant's file
                p.redeem(grant, 'ndjson').rows          # what the provider got

The programs are those of the build directory in CAREWALLET_BUILD (default: build/ in the source tree). Reference data
that is not part of the project is in CAREWALLET_SHARED (default: ../shared); call shared() for a path or a skip.
Everything is ended by its process id and removed when the block ends.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.path.abspath(os.environ.get('CAREWALLET_BUILD', os.path.join(ROOT, 'build')))
SHARED = os.path.abspath(os.environ.get('CAREWALLET_SHARED', os.path.join(ROOT, '..', 'shared')))
GENERATOR = os.path.join(ROOT, 'tests', 'data', 'generate-carelink.py')

DAEMON = os.path.join(BUILD, 'daemon', 'carewalletd')
CLI = os.path.join(BUILD, 'cli', 'carewallet')
PROVIDER = os.path.join(BUILD, 'cli', 'provider', 'carewallet-provider')

PASSPHRASE = 'correct horse battery staple'

# exit codes of both command lines
DONE, REFUSED, USAGE, UNREACHABLE, LOCKED, PARTLY, PASSPHRASE_NEEDED, INTERNAL = range(8)


def skip(reason):
        """End the program as skipped (77 is Meson's code for it)."""
        print('skipped:', reason)
        sys.stdout.flush()
        os._exit(77)


def shared(*names):
        """The path of reference data, or the whole program is skipped."""
        path = os.path.join(SHARED, *names)
        if not os.path.exists(path):
                skip(f'no reference data {os.path.join(*names)} (CAREWALLET_SHARED)')
        return path


def generate(path, *options):
        """A synthetic CareLink export at @path; options as of generate-carelink.py. Returns its truth (a dict)."""
        truth = path + '.truth'
        subprocess.run([sys.executable, GENERATOR, *map(str, options), '--truth', truth, '--out', path], check=True)
        with open(truth) as f:
                return json.load(f)


def free_port():
        with socket.socket() as s:
                s.bind(('127.0.0.1', 0))
                return s.getsockname()[1]


def wait_for(condition, timeout_s=10, what='condition'):
        """Poll until condition() is true and return it; AssertionError after timeout_s."""
        end = time.monotonic() + timeout_s
        while True:
                value = condition()
                if value:
                        return value
                if time.monotonic() > end:
                        raise AssertionError(f'{what}: not within {timeout_s} s')
                time.sleep(0.02)


def children(pid):
        """Process ids of all descendants of @pid, @pid first."""
        parents = {}
        for name in os.listdir('/proc'):
                if name.isdigit():
                        try:
                                with open(f'/proc/{name}/stat') as f:
                                        parents.setdefault(int(f.read().rsplit(')', 1)[1].split()[1]), []).append(int(name))
                        except OSError:
                                pass
        found = [pid]
        for p in found:
                found += parents.get(p, [])
        return found


def program_of(pid):
        """The name of a process's program, or None when it is gone."""
        try:
                with open(f'/proc/{pid}/cmdline', 'rb') as f:
                        return os.path.basename(f.read().split(b'\0')[0].decode())
        except OSError:
                return None


def is_alive(pid):
        try:
                with open(f'/proc/{pid}/stat') as f:
                        return f.read().rsplit(')', 1)[1].split()[0] not in 'ZX'
        except OSError:
                return False


def pss_kib(pids):
        """Proportional memory of processes in KiB (those that are gone count nothing)."""
        total = 0
        for pid in pids:
                try:
                        with open(f'/proc/{pid}/smaps_rollup') as f:
                                total += sum(int(line.split()[1]) for line in f if line.startswith('Pss:'))
                except (FileNotFoundError, ProcessLookupError):
                        pass
        return total


class Result:
        """What a program did: code, out, err (text)."""

        def __init__(self, argv, code, out, err):
                self.argv, self.code, self.out, self.err = argv, code, out, err

        @property
        def json(self):
                return json.loads(self.out)

        @property
        def rows(self):
                """NDJSON output as a list."""
                return [json.loads(line) for line in self.out.splitlines() if line]

        def __str__(self):
                return f'{" ".join(self.argv)}: exit {self.code}\n{self.out[-4000:]}{self.err[-4000:]}'


class Failed(AssertionError):
        def __init__(self, result):
                super().__init__(str(result))
                self.result = result


def start(argv, env, passphrase=None, extra_passphrases=(), **options):
        """Popen with secrets on pipes: each '{}' in argv becomes the number of the next one's descriptor."""
        secrets = ([] if passphrase is None else [passphrase]) + list(extra_passphrases)
        argv, fds = list(map(str, argv)), []
        for secret in secrets:
                r, w = os.pipe()
                os.write(w, secret.encode() + b'\n')
                os.close(w)
                fds.append(r)
                argv[argv.index('{}')] = str(r)
        try:
                return subprocess.Popen(argv, env=env, pass_fds=fds, **options)
        finally:
                for fd in fds:
                        os.close(fd)


def run(argv, env, passphrase=None, extra_passphrases=(), code=0, input=None, timeout_s=120, **options):
        """Run to its end. @code: the exit code wanted, a tuple of those allowed, or None for any."""
        process = start(argv, env, passphrase, extra_passphrases, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                        stdin=subprocess.DEVNULL if input is None else subprocess.PIPE, text=True, errors='replace', **options)
        try:
                out, err = process.communicate(input, timeout=timeout_s)
        except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                raise Failed(Result(process.args, f'none within {timeout_s} s', out, err)) from None
        result = Result(process.args, process.returncode, out, err)
        if code is not None and result.code not in (code if isinstance(code, tuple) else (code,)):
                raise Failed(result)
        return result


class Provider:
        """A provider's machine: its key pair and its command line. It knows nothing of the wallet but a grant's file."""

        def __init__(self, directory, name, passphrase=None):
                self.directory = os.path.join(directory, 'provider-' + name)
                os.mkdir(self.directory, 0o700)
                self.name = name
                self.passphrase = passphrase
                self.env = {'PATH': os.environ['PATH'], 'HOME': self.directory, 'LC_ALL': 'C.UTF-8', 'TZ': 'UTC'}
                self.key = self.path('provider.key')
                self.jwk = self.path('provider.jwk')
                self.cli('keygen', '--out', self.key, *self.secret())

        def path(self, name):
                return os.path.join(self.directory, name)

        def secret(self):
                return [] if self.passphrase is None else ['--passphrase-fd', '{}']

        def cli(self, *args, **options):
                return run([PROVIDER, *args], self.env, passphrase=self.passphrase, **options)

        def redeem(self, grant, format='ndjson', out=None, gate=None, args=(), **options):
                """Returns a Result whose .out is the slice that was written (and .err what the program said)."""
                out = out or self.path(f'{os.path.basename(grant)}.{time.monotonic_ns()}.{format}')
                result = self.cli('redeem', grant, '--key', self.key, '--format', format, '--out', out,
                                  *(['--gate', gate] if gate else []), *args, *self.secret(), **options)
                result.err = result.out + result.err
                result.out = ''
                if os.path.exists(out):
                        with open(out) as f:
                                result.out = f.read()
                return result


class Wallet:
        """One patient's wallet. @env, @prefix: for the daemon, such as prefix=['faketime', '-f', '+0']."""

        def __init__(self, passphrase=PASSPHRASE, timezone='Europe/Berlin', env=None, prefix=(), start=True):
                self.passphrase, self.timezone = passphrase, timezone
                self.directory = tempfile.mkdtemp(prefix='cw-', dir='/tmp')  # short: a socket's path has 107 bytes
                self.state = os.path.join(self.directory, 'state')
                self.home = os.path.join(self.directory, 'home')
                self.socket = os.path.join(self.directory, 's')
                self.logfile = os.path.join(self.directory, 'daemon.log')
                os.mkdir(self.state, 0o700)
                os.mkdir(self.home, 0o700)
                self.env = {'PATH': os.environ['PATH'], 'HOME': self.home, 'LC_ALL': 'C.UTF-8', 'TZ': timezone,
                            'NO_COLOR': '1', 'CAREWALLET_SOCKET': self.socket}
                self.daemon_env = {'PATH': os.environ['PATH'], 'LC_ALL': 'C.UTF-8', **(env or {})}
                self.prefix = list(prefix)
                self.process = None
                self.gate = None
                self.recovery_output = None
                if start:
                        try:
                                self.start()
                        except BaseException:
                                self.close()
                                raise

        def __enter__(self):
                return self

        def __exit__(self, kind, value, traceback):
                if value is not None and not isinstance(value, SystemExit):
                        print(f'--- daemon log\n{self.log_text()}---', file=sys.stderr)
                self.close()

        # the daemon

        def start(self):
                with open(self.logfile, 'ab') as log:
                        self.process = subprocess.Popen([*self.prefix, DAEMON, '--state-dir', self.state, '--socket', self.socket],
                                                        env=self.daemon_env, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
                self.wait_ready()

        def wait_ready(self, timeout_s=10):
                def ready():
                        if self.process.poll() is not None:
                                raise AssertionError(f'carewalletd ended with {self.process.returncode}:\n{self.log_text()}')
                        return os.path.exists(self.socket) and self.cli('status', code=None).code != UNREACHABLE
                wait_for(ready, timeout_s, 'carewalletd answers')

        def stop(self, sig=signal.SIGTERM, timeout_s=10):
                """End the daemon and wait until all its processes are gone. Returns the launcher's exit status."""
                if not self.process:
                        return None
                pids = children(self.process.pid) if self.process.poll() is None else []
                status = None
                try:
                        if self.process.poll() is None:
                                self.process.send_signal(sig)
                        status = self.process.wait(timeout_s)
                        wait_for(lambda: not any(map(is_alive, pids)), timeout_s, 'the daemon\'s processes end')
                finally:
                        for pid in pids:
                                if is_alive(pid):
                                        os.kill(pid, signal.SIGKILL)
                        self.process.wait()
                        self.process = None
                        self.gate = None
                return status

        def kill(self):
                """kill -9 for the daemon and all its children."""
                return self.stop(signal.SIGKILL)

        def restart(self, sig=signal.SIGTERM):
                self.stop(sig)
                self.start()

        def pids(self):
                """Launcher first, then core and workers."""
                return children(self.process.pid)

        @property
        def core_pid(self):
                """The launcher's child that is the same program; after lock it is another process."""
                program = os.path.basename(DAEMON)

                def only():  # a worker that is being started is the launcher's copy for a moment, and after lock there is none
                        found = [pid for pid in self.pids()[1:] if program_of(pid) == program]
                        return found[0] if len(found) == 1 else None
                return wait_for(only, what='one core')

        def pid_of(self, program):
                """Process id of a worker by its program's name (carewallet-gate ...), or None."""
                return next((pid for pid in self.pids() if program_of(pid) == program), None)

        def pss_kib(self):
                return pss_kib(self.pids())

        def log_text(self):
                try:
                        with open(self.logfile, errors='replace') as f:
                                return f.read()
                except OSError:
                        return ''

        def close(self):
                try:
                        self.stop()
                except AssertionError as e:
                        print(e, file=sys.stderr)
                except subprocess.TimeoutExpired:
                        print('carewalletd did not end in time and was killed', file=sys.stderr)
                shutil.rmtree(self.directory, ignore_errors=True)

        # the patient's command line

        def cli(self, *args, **options):
                """carewallet ARGS; passphrase='…' fills '--passphrase-fd', '{}'. Raises Failed unless it exits with @code."""
                return run([CLI, *args], self.env, **options)

        def start_cli(self, *args, **options):
                """The same without waiting: a Popen with text pipes."""
                return start([CLI, *args], self.env, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                             text=True, **options)

        def json(self, *args, **options):
                return self.cli(*args, '--json', **options).json

        def init(self, *args, **options):
                """Makes the wallet and unlocks it. What init printed (the recovery code) is in .recovery_output."""
                result = self.cli('init', '--passphrase-fd', '{}', '--timezone', self.timezone, *args,
                                  passphrase=self.passphrase, **options)
                self.recovery_output = result.out
                if result.code == 0 and self.is_locked():
                        self.unlock()
                return result

        def unlock(self, passphrase=None, **options):
                return self.cli('unlock', '--passphrase-fd', '{}', passphrase=passphrase or self.passphrase, **options)

        def lock(self, **options):
                return self.cli('lock', **options)

        def is_locked(self):
                return self.json('status')['locked']

        def path(self, name):
                """A path in the wallet's temporary directory, which is removed at the end."""
                return os.path.join(self.directory, name)

        def provider(self, name, passphrase=None, **options):
                """A new provider with its own key, added to the wallet."""
                p = Provider(self.directory, name, passphrase)
                self.cli('provider', 'add', name, '--key', p.jwk, **options)
                return p

        def grant(self, name, *args, preset='endocrinologist', out=None, **options):
                """Grant to a provider that was added; the path of the grant's file."""
                out = out or self.path(f'{name}-{time.monotonic_ns()}.grant')
                self.cli('grant', name, '--preset', preset, *args, '--yes', '--out', out, **options)
                return out

        def gate_on(self, listen=None, *args, **options):
                """Opens the gate on a free port of this machine; its address."""
                self.gate = listen or f'127.0.0.1:{free_port()}'
                self.cli('gate', 'on', '--listen', self.gate, *args, **options)
                return self.gate
