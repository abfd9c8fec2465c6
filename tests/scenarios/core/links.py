# SPDX-License-Identifier: Apache-2.0
"""What is linked into what is a boundary: each risky library in the one program that may have it."""

import os
import re
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import BUILD

PROGRAMS = {
        'carewalletd': 'daemon/carewalletd',
        'carewallet-kdf': 'daemon/workers/kdf/carewallet-kdf',
        'carewallet-import': 'daemon/workers/import/carewallet-import',
        'carewallet-gate': 'daemon/workers/gate/carewallet-gate',
        'carewallet-usb': 'daemon/workers/usb/carewallet-usb',
        'carewallet': 'cli/carewallet',
        'carewallet-provider': 'cli/provider/carewallet-provider',
}
ONLY = {
        'libsqlcipher': {'carewalletd'},
        'libsystemd': {'carewalletd'},
        'libmicrohttpd': {'carewallet-gate'},
        'libgnutls': {'carewallet-gate'},
        'libcurl': {'carewallet-provider'},
        'libusb-1.0': {'carewallet-usb'},
        'libzxcvbn': {'carewallet'},
        'libqrencode': {'carewallet'},
        'libsqlite3': set(),
}
BASE = {'libc', 'libsodium', 'libjansson', 'libseccomp', 'libcrypto', 'libm'}


def needed(program):
        out = subprocess.run(['readelf', '-d', os.path.join(BUILD, PROGRAMS[program])], capture_output=True, text=True, check=True).stdout
        return {name.split('.so')[0] for name in re.findall(r'NEEDED.*\[(.*?)\]', out)} - {'ld-linux-x86-64', 'ld-linux-aarch64'}


class Links(unittest.TestCase):
        def test_each_risky_library_is_in_its_one_program(self):
                found = {library: {p for p in PROGRAMS if library in needed(p)} for library in ONLY}
                self.assertEqual(found, ONLY)

        def test_nothing_else_is_linked(self):
                for program in PROGRAMS:
                        with self.subTest(program):
                                self.assertLessEqual(needed(program), BASE | set(ONLY))

        def test_the_workers_that_read_foreign_bytes_have_no_database_and_no_network_library(self):
                self.assertLessEqual(needed('carewallet-import'), {'libc', 'libsodium', 'libjansson', 'libseccomp', 'libm'})
                self.assertLessEqual(needed('carewallet-kdf'), {'libc', 'libsodium', 'libjansson', 'libseccomp', 'libm'})
                self.assertLessEqual(needed('carewallet-usb'), {'libc', 'libsodium', 'libjansson', 'libseccomp', 'libm', 'libusb-1.0'})
                self.assertNotIn('libcrypto', needed('carewallet'))

        def test_the_programs_are_hardened(self):
                for program, path in PROGRAMS.items():
                        out = subprocess.run(['readelf', '-Wdlh', os.path.join(BUILD, path)], capture_output=True, text=True, check=True).stdout
                        with self.subTest(program):
                                self.assertIn('DYN (', out)        # position-independent
                                self.assertIn('GNU_RELRO', out)
                                self.assertRegex(out, r'BIND_NOW|NOW')
                                self.assertRegex(out, r'GNU_STACK\s.*RW ')


if __name__ == '__main__':
        unittest.main()
