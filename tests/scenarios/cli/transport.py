# SPDX-License-Identifier: Apache-2.0
"""The command line against a peer that is not the daemon: what it says when the other side is slow, false or gone."""

import array
import json
import os
import pty
import socket
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import CLI, INTERNAL, LOCKED, REFUSED, UNREACHABLE, USAGE, run  # noqa: E402

STATUS = {'version': '0', 'initialized': True, 'locked': False, 'stateDir': '/nonexistent'}


class Peer:
        """Answers each call by script: {method: [(reply, [descriptors]) | bytes ...]}; then hangs up."""

        def __init__(self, path, script):
                self.script, self.calls = script, []
                self.listener = socket.socket(socket.AF_UNIX)
                self.listener.bind(path)
                self.listener.listen(1)
                self.thread = threading.Thread(target=self.serve, daemon=True)
                self.thread.start()

        def serve(self):
                connection, _ = self.listener.accept()
                self.listener.close()
                data = b''
                with connection:
                        while True:
                                while b'\0' not in data:
                                        try:
                                                part = connection.recv(65536)
                                        except ConnectionResetError:
                                                return
                                        if not part:
                                                return
                                        data += part
                                frame, data = data.split(b'\0', 1)
                                call = json.loads(frame)
                                method = call['method'].rsplit('.', 1)[1]
                                self.calls.append(call)
                                if method == 'Status' and method not in self.script:
                                        connection.sendall(json.dumps({'parameters': STATUS}).encode() + b'\0')
                                        continue
                                for step in self.script.get(method, []):
                                        if step is None:
                                                return
                                        if isinstance(step, float):
                                                time.sleep(step)
                                                continue
                                        reply, fds = (step, []) if isinstance(step, bytes) else step
                                        if not isinstance(reply, bytes):
                                                reply = json.dumps(reply).encode() + b'\0'
                                        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', fds))] if fds else []
                                        connection.sendmsg([reply], ancillary)
                                        for fd in fds:
                                                os.close(fd)


def output(text):
        """The reading end of a pipe that has this and its end."""
        r, w = os.pipe()
        os.write(w, text)
        os.close(w)
        return r


class Transport(unittest.TestCase):
        def setUp(self):
                self.directory = tempfile.TemporaryDirectory(prefix='cw-', dir='/tmp')
                self.addCleanup(self.directory.cleanup)
                self.path = lambda name: os.path.join(self.directory.name, name)

        def cli(self, script, *args, **options):
                self.peer = Peer(self.path('s'), script)
                env = {'PATH': os.environ['PATH'], 'HOME': self.directory.name, 'CAREWALLET_SOCKET': self.path('s'), 'LC_ALL': 'C.UTF-8'}
                try:
                        return run([CLI, *args], env, **options)
                finally:
                        os.unlink(self.path('s'))

        def error(self, name, **parameters):
                return [({'error': 'org.carewallet.' + name, 'parameters': parameters}, [])]

        def test_each_error_has_its_exit_code(self):
                for name, code in {'Locked': 4, 'NotInitialized': 4, 'AlreadyInitialized': 1, 'StepUpRequired': 6, 'WrongPassphrase': 6, 'NotFound': 1,
                                   'Exists': 1, 'Refused': 1, 'NotDurable': 1, 'Busy': 1, 'Internal': 7, 'Unheard': 7}.items():
                        with self.subTest(name):
                                result = self.cli({'ListGrants': self.error(name)}, 'grants', code=code)
                                self.assertEqual(result.out, '')
                                self.assertRegex(result.err, r'^carewallet: .+\.|carewallet: .+Next: ')
                                self.assertEqual(result.err.count('\n'), 1)
                result = self.cli({'ListGrants': [({'error': 'org.varlink.service.MethodNotFound', 'parameters': {'method': 'x'}}, [])]}, 'grants', code=USAGE)
                self.assertIn('version', result.err)

        def test_errors_are_json_with_json(self):
                result = self.cli({'ListGrants': self.error('Locked')}, 'grants', '--json', code=LOCKED)
                self.assertEqual(result.out, '')
                error = json.loads(result.err)
                self.assertEqual((error['error'], error['exit_code']), ('org.carewallet.Locked', 4))

        def test_a_false_daemon_can_not_drive_the_terminal(self):
                result = self.cli({'ListGrants': self.error('Refused', reason='\x1b]0;x\x07\x9b31m\r\n ok')}, 'grants', code=REFUSED)
                self.assertNotRegex(result.err[:-1], '[\x00-\x08\x0a-\x1f\x7f-\x9f]')
                grant = {'provider': 'a\x1b[2J', 'state': 'active', 'kinds': ['c\x07gm'], 'window': {'lastDays': 3}}
                result = self.cli({'ListGrants': [({'parameters': {'grants': [grant]}}, [])]}, 'grants')
                self.assertNotRegex(result.out, '[\x00-\x08\x0b-\x1f\x7f-\x9f]')

        def test_a_reply_that_is_cut_or_nonsense_is_told(self):
                self.cli({'ListGrants': [b'{"parameters":{"gr', None]}, 'grants', code=UNREACHABLE)
                self.cli({'ListGrants': [None]}, 'grants', code=UNREACHABLE)
                for nonsense in b'nonsense\0', b'\0', b'[]\0', b'{"parameters":1}\0', b'\xff\0', b'{"a":' * 3000 + b'\0', b'x' * (1 << 20):
                        with self.subTest(nonsense[:20]):
                                self.cli({'ListGrants': [nonsense, None]}, 'grants', code=INTERNAL)

        def test_an_output_without_complete_leaves_no_file(self):
                rows = b'{"kind":"cgm"}\n' * 100
                for last in ({'parameters': {}}, []), ({'parameters': {'complete': False}}, []), None, b'{"param':
                        with self.subTest(last):
                                first = ({'continues': True, 'parameters': {'outputFd': 0}}, [output(rows)])
                                result = self.cli({'Export': [first, last, None]}, 'export', '--format', 'ndjson', '--out', self.path('x'), code=None)
                                self.assertIn(result.code, (INTERNAL, UNREACHABLE))
                                self.assertEqual(os.listdir(self.directory.name), [n for n in os.listdir(self.directory.name) if n == '.local'])

        def test_an_old_export_is_kept_until_there_is_a_whole_new_one(self):
                with open(self.path('x'), 'w') as f:
                        f.write('old')
                first = ({'continues': True, 'parameters': {'outputFd': 0}}, [output(b'new\n')])
                self.cli({'Export': [first, None]}, 'export', '--format', 'csv', '--out', self.path('x'), code=UNREACHABLE)
                with open(self.path('x')) as f:
                        self.assertEqual(f.read(), 'old')
                first = ({'continues': True, 'parameters': {'outputFd': 0}}, [output(b'new\n')])
                last = ({'parameters': {'complete': True, 'rows': 1}}, [])
                self.cli({'Export': [first, last]}, 'export', '--format', 'csv', '--out', self.path('x'))
                with open(self.path('x')) as f:
                        self.assertEqual(f.read(), 'new\n')
                self.assertEqual(os.stat(self.path('x')).st_mode & 0o777, 0o600)

        def test_the_table_shows_numbers_as_the_device_printed_them(self):
                rows = (b'{"kind":"bolus","time":"2025-01-01T00:00:00Z","local_time":"2025-01-01T01:00:00","value":5.0,"unit":"U","origin":"\\"value\\":9"}\n'
                        b'{"kind":"cgm","time":"2025-01-01T00:00:00Z","local_time":"2025-01-01T01:00:00","code":"LO","unit":"mg/dL","quarantined":true}\n')
                first = ({'continues': True, 'parameters': {'outputFd': 0}}, [output(rows)])
                result = self.cli({'Show': [first, ({'parameters': {'complete': True, 'rows': 2}}, [])]}, 'show', '--all')
                lines = result.out.splitlines()
                self.assertRegex(lines[0], r'^2025-01-01 01:00:00  bolus +5\.0 U +by "value":9$')
                self.assertRegex(lines[1], r'^2025-01-01 01:00:00  CGM +LO +implausible')
                self.assertRegex(lines[2], '^2 records;')

        def test_half_a_line_in_the_output_is_an_error(self):
                first = ({'continues': True, 'parameters': {'outputFd': 0}}, [output(b'{"kind":"cgm"}\n{"kin')])
                self.cli({'Show': [first, ({'parameters': {'complete': True, 'rows': 2}}, [])]}, 'show', '--all', code=INTERNAL)

        def test_words_of_another_key_are_noticed(self):
                with open(self.path('p.jwk'), 'w') as f:
                        json.dump({'kty': 'OKP', 'crv': 'Ed25519', 'x': '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'}, f)
                result = self.cli({'AddProvider': [({'parameters': {'words': 'nagup-soruv', 'thumbprint': 'x'}}, [])]},
                                  'provider', 'add', 'endo', '--key', self.path('p.jwk'), code=INTERNAL)
                self.assertIn('Do not grant', result.err)

        def test_what_takes_long_shows_how_far_it_is(self):
                with open(self.path('x.csv'), 'w') as f:
                        f.write('x')
                steps = [({'continues': True, 'parameters': {'progress': {'done': 40, 'all': 80}}}, []), 1.2] * 2
                final = ({'parameters': {'report': {'inserted': 1, 'rejected': [], 'rejectedCount': 0}}}, [])
                self.peer = Peer(self.path('s'), {'Import': [*steps, ({'continues': True, 'parameters': {'progress': {'done': 60, 'all': 80}}}, []), final]})
                pid, fd = pty.fork()
                if pid == 0:
                        os.execve(CLI, [CLI, 'import', self.path('x.csv')], {'HOME': self.directory.name, 'CAREWALLET_SOCKET': self.path('s')})
                text = b''
                try:
                        while part := os.read(fd, 4096):
                                text += part
                except OSError:
                        pass
                self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 0, text)
                os.close(fd)
                self.assertIn(b'50 %', text)
                self.assertIn(b'75 %', text)
                self.assertEqual(text.count(b' 50 %'), 1)  # none in the first second
                self.assertIn(b'1 new record', text)

        def test_a_revocation_without_an_answer_is_not_taken_for_done(self):
                result = self.cli({'Revoke': [None]}, 'revoke', '--all', code=UNREACHABLE)
                self.assertIn('--state-dir', result.err)
                result = self.cli({'Revoke': [None]}, 'revoke', '--all', '--state-dir', self.directory.name, code=UNREACHABLE)
                self.assertIn('no wallet', result.err)


unittest.main()
