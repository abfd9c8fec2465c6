# SPDX-License-Identifier: Apache-2.0
"""Files that are no CareLink export, or a hostile one: a clear error, the wallet as it was, the daemon answering meanwhile."""

import os
import socket
import sys
import threading
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink
from wallet import REFUSED, Wallet, generate

MIB = 1 << 20


class BadInput(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.w = w = Wallet()
                w.init()
                generate(w.path('good.csv'), '--days', 3, '--end', '2025-03-10')
                w.cli('import', w.path('good.csv'))
                with open(w.path('good.csv'), 'rb') as f:
                        cls.good = f.read()
                cls.before = w.json('status')['records']
                cls.export = w.cli('export', '--format', 'ndjson').out

        @classmethod
        def tearDownClass(cls):
                cls.w.close()

        def refused(self, path, *words):
                """Imports, and asks for the status all the while."""
                done, slowest = threading.Event(), []

                def ask():
                        with Varlink(self.w.socket) as v:
                                while not done.is_set():
                                        v.call('Status')
                                        slowest.append(1)
                                        done.wait(0.01)
                asking = threading.Thread(target=ask)
                asking.start()
                try:
                        result = self.w.cli('import', path, code=REFUSED)
                finally:
                        done.set()
                        asking.join()
                self.assertGreater(len(slowest), 0)
                for word in words:
                        self.assertIn(word, result.err)
                self.assertGreater(len(result.err.split()), 8, 'says what is wrong and what to do next')
                self.assertEqual(self.w.json('status')['records'], self.before)
                return result

        def write(self, name, *parts):
                path = self.w.path(name)
                with open(path, 'wb') as f:
                        for part in parts:
                                f.write(part)
                return path

        def test_an_empty_file(self):
                self.refused(self.write('empty.csv'), 'empty')

        def test_another_kind_of_file(self):
                self.refused(sys.executable, 'CareLink')
                self.refused(self.write('data.json', b'{"a": [1, 2, 3]}\n'), 'CareLink')
                self.refused(self.write('table.csv', b'a,b,c\n1,2,3\n'), 'CareLink')
                self.refused(self.write('zip.csv', b'PK\3\4' + os.urandom(5000)), 'CareLink')

        def test_a_directory_a_fifo_a_socket_a_device(self):
                os.mkdir(self.w.path('folder'))
                self.refused(self.w.path('folder'), 'folder')
                os.mkfifo(self.w.path('fifo'))
                self.refused(self.w.path('fifo'))
                self.refused('/dev/zero')

        def test_a_directory_or_pipe_that_the_command_line_would_not_have_passed(self):
                r, w = os.pipe()
                a, b = socket.socketpair()
                for fd in (os.open('/', os.O_RDONLY), os.open('/', os.O_PATH), r, w, a.fileno(), os.open('/dev/zero', os.O_RDWR), os.memfd_create('x')):
                        with Varlink(self.w.socket) as v:
                                self.assertIn(v.call('Import', {'fileFd': 0, 'name': 'x'}, [fd]).get('error'), ('org.carewallet.Refused',))
                self.assertEqual(self.w.json('status')['records'], self.before)

        def test_a_file_that_was_cut_off(self):
                whole = self.good[:-2] if self.good.endswith(b'\r\n') else self.good[:-1]
                lines = whole.splitlines(keepends=True)
                self.refused(self.write('cut-in-row.csv', b''.join(lines[:40]) + lines[40][:20]), 'cut off')
                self.refused(self.write('cut-in-header.csv', b''.join(lines[:6]) + lines[6][:200]), 'cut off')
                self.refused(self.write('cut-in-preamble.csv', b''.join(lines[:2])), 'CareLink')

        def test_nul_bytes(self):
                middle = self.good.index(b'\n', len(self.good) // 2)
                self.refused(self.write('nul.csv', self.good[:middle], b'\0' * 100, self.good[middle:]), 'NUL')
                self.refused(self.write('nuls.csv', b'\0' * MIB))

        def test_a_line_of_two_gibibytes(self):
                path = self.write('line.csv', b''.join(self.good.splitlines(keepends=True)[:7]), b'2025/03/10;')
                os.truncate(path, 2 << 30)  # sparse: the disk does not notice
                self.refused(path)
                path = self.write('long.csv', b''.join(self.good.splitlines(keepends=True)[:7]), *[b'a' * MIB] * 64)
                self.refused(path, '64 KiB')

        def test_ten_million_columns(self):
                lines = self.good.splitlines(keepends=True)
                header = lines[6].rstrip(b'\r\n')
                self.refused(self.write('columns.csv', b''.join(lines[:6]), header, b';x' * 10_000_000, b'\r\n', *lines[7:]))
                self.refused(self.write('cells.csv', b''.join(lines[:7]), b';' * 10_000_000, b'\r\n', *lines[7:]))

        def test_a_unit_that_contradicts_the_values(self):
                result = self.refused(self.write('unit.csv', self.good.replace(b'mg/dL', b'mmol/L')), 'mmol/L')
                self.assertRegex(result.err, r'Column "[^"]*\(mmol/L\)"')

        def test_a_worker_that_is_killed_loses_its_job_and_no_more(self):
                generate(self.w.path('year.csv'), '--days', 200, '--end', '2024-12-31', '--seed', 7)
                importing = self.w.start_cli('import', self.w.path('year.csv'))
                while importing.poll() is None:
                        pid = self.w.pid_of('carewallet-import')
                        if pid:
                                os.kill(pid, 9)
                                break
                out, err = importing.communicate()
                self.assertEqual(importing.returncode, REFUSED, err)
                self.assertEqual(self.w.json('status')['records'], self.before)

        def test_z_nothing_of_all_this_is_in_the_wallet(self):
                self.w.restart()
                self.w.unlock()
                self.assertEqual(self.w.json('status')['records'], self.before)
                self.assertEqual(self.w.cli('export', '--format', 'ndjson').out, self.export)


if __name__ == '__main__':
        unittest.main()
