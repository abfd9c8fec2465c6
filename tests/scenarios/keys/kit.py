# SPDX-License-Identifier: Apache-2.0
"""The recovery kit: what is printed opens the wallet, by hand and by camera."""

import os
import re
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from wallet import PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, USAGE, Wallet

CODE = re.compile(r'Recovery code: (\S+)')


def make(w, path, *args, **options):
        return w.cli('key', 'recovery', '--pdf', path, '--yes', '--passphrase-fd', '{}', *args, passphrase=PASSPHRASE, **options)


def needs(*programs):
        missing = [name for name in programs if not shutil.which(name)]
        return unittest.skipIf(missing, f'{", ".join(missing)} not installed')


class Kit(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.w = Wallet()
                cls.w.init()
                cls.old = CODE.search(cls.w.recovery_output).group(1)
                cls.pdf = cls.w.path('kit.pdf')
                make(cls.w, cls.pdf)

        @classmethod
        def tearDownClass(cls):
                cls.w.close()

        def opens(self, code):
                self.w.lock()
                return self.w.cli('unlock', '--recovery-fd', '{}', passphrase=code, code=(0, PASSPHRASE_NEEDED)).code == 0

        def test_the_file_is_the_patient_s_alone_and_none_is_overwritten(self):
                self.assertEqual(os.stat(self.pdf).st_mode & 0o777, 0o600)
                with open(self.pdf, 'rb') as f:
                        before = f.read()
                self.assertTrue(before.startswith(b'%PDF-1.4\n') and before.endswith(b'%%EOF\n'))
                self.assertIn('still the right one', make(self.w, self.pdf, code=REFUSED).err)
                self.assertIn('still the right one', make(self.w, self.w.path('no/such/folder/kit.pdf'), code=REFUSED).err)
                make(self.w, self.w.path('other.pdf'), '--out', self.w.path('x'), code=USAGE)
                with open(self.pdf, 'rb') as f:
                        self.assertEqual(f.read(), before)

        def test_every_object_is_where_the_table_says(self):
                with open(self.pdf, 'rb') as f:
                        data = f.read()
                at = int(re.search(rb'startxref\n(\d+)\n', data).group(1))
                table = data[at:].split(b'\n')
                self.assertEqual(table[0], b'xref')
                n = int(table[1].split()[1])
                for number in range(1, n):
                        line = table[2 + number]
                        self.assertEqual(len(line), 19)
                        self.assertTrue(data[int(line[:10]):].startswith(b'%d 0 obj\n' % number))
                length = int(re.search(rb'/Length (\d+)', data).group(1))
                begin = data.index(b'stream\n') + 7
                self.assertEqual(data[begin + length:][:10], b'\nendstream')

        @needs('pdftotext')
        def test_the_text_opens_the_wallet_and_says_what_to_do(self):
                text = subprocess.run(['pdftotext', '-layout', self.pdf, '-'], capture_output=True, text=True, check=True).stdout
                groups = re.findall(r'\b[0-9A-HJKMNP-TV-Z]{5}-[0-9A-HJKMNP-TV-Z]{5}\b', text)
                self.assertEqual(len(groups), 4, text)
                self.assertFalse(self.opens(self.old))
                self.assertTrue(self.opens(' '.join(groups)))
                self.w.unlock()
                self.assertIn(self.w.json('status')['wallet_id'], text)
                for words in 'carewallet unlock --recovery', 'does not replace a backup', 'carewallet key change --recovery':
                        self.assertIn(words, text)

        @needs('pdftoppm', 'zbarimg')
        def test_the_qr_code_is_the_code(self):
                subprocess.run(['pdftoppm', '-r', '150', '-png', '-singlefile', self.pdf, self.w.path('kit')], check=True)
                read = subprocess.run(['zbarimg', '--quiet', '--raw', self.w.path('kit.png')], capture_output=True, text=True, check=True).stdout.strip()
                self.assertRegex(read, r'^([0-9A-Z]{5}-){7}[0-9A-Z]{5}$')
                self.assertTrue(self.opens(read))
                self.w.unlock()

        @needs('pdfinfo')
        def test_it_is_one_page_of_a4(self):
                info = subprocess.run(['pdfinfo', self.pdf], capture_output=True, text=True, check=True)
                self.assertRegex(info.stdout, r'Pages: +1\n')
                self.assertRegex(info.stdout, r'595 x 842')
                self.assertEqual(info.stderr, '')


if __name__ == '__main__':
        unittest.main()
