# SPDX-License-Identifier: Apache-2.0
"""What the manual says to do when the passphrase or the phone is lost, done to the letter by a person at a terminal."""

import os
import re
import shutil
import subprocess
import sys
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [os.path.join(HERE, '..', '..', 'lib'), os.path.join(HERE, '..', 'cli')]
from cli import Terminal
from phone import Phone, enrol
from wallet import ROOT, PASSPHRASE, PASSPHRASE_NEEDED, Wallet, free_port

NEW = 'quartz nimbus teapot voyage'
CODE = re.compile(r'Recovery code: (\S+)')


def commands(section):
        """The commands that a section of the manual displays, each a list of words behind "carewallet"."""
        with open(os.path.join(ROOT, 'cli', 'carewallet.1')) as f:
                text = re.search(rf'^\.Sh {section}\n(.*?)^\.Sh ', f.read(), re.M | re.S).group(1)
        return [line.split()[2:] for line in text.splitlines() if line.startswith('.Dl carewallet ')]


def scanned(w, text):
        """What a camera reads from the half blocks on the terminal."""
        lines = [re.sub(r'\x1b\[[0-9;]*m', '', line) for line in re.findall(r'\x1b\[30;107m(.*?)\x1b\[0m', text)]
        rows = []
        for line in lines:
                rows.append([c in '█▀' for c in line])
                rows.append([c in '█▄' for c in line])
        scale = 6
        path = w.path('qr.pgm')
        with open(path, 'wb') as f:
                f.write(b'P5 %d %d 255\n' % (len(rows[0]) * scale, len(rows) * scale))
                for row in rows:
                        f.write(b''.join((b'\0' if dark else b'\xff') * scale for dark in row) * scale)
        return subprocess.run(['zbarimg', '--quiet', '--raw', path], capture_output=True, text=True, check=True).stdout.strip()


class Lost(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.code = CODE.search(self.w.recovery_output).group(1)

        def answer(self, t, *pairs):
                for prompt, text in pairs:
                        t.expect(prompt)
                        if not prompt.endswith('[y/N] '):
                                t.wait_echo(False)
                        t.type(text + '\n')
                code, rest = t.end()
                self.assertEqual(code, 0, rest)
                return rest

        def test_the_passphrase(self):
                w = self.w
                unlock, change, recovery = commands('WHEN THE PASSPHRASE IS LOST')
                w.lock()
                typo = self.code[:7] + ('A' if self.code[7] != 'A' else 'B') + self.code[8:]
                t = Terminal(w, *unlock)
                t.expect('Recovery code: ')
                t.wait_echo(False)
                t.type(typo + '\n')
                t.expect('Group 2')
                self.answer(t, ('Recovery code: ', self.code.lower()))
                self.assertFalse(w.is_locked())
                self.answer(Terminal(w, *change), ('Recovery code: ', self.code), ('New passphrase: ', NEW), ('Once more: ', NEW))
                w.lock()
                w.unlock(code=PASSPHRASE_NEEDED)
                w.unlock(passphrase=NEW)
                text = self.answer(Terminal(w, *recovery), ('[y/N] ', 'y'), ('Passphrase as it is now: ', NEW))
                fresh = CODE.search(text).group(1)
                w.lock()
                w.cli('unlock', '--recovery-fd', '{}', passphrase=self.code, code=PASSPHRASE_NEEDED)
                w.cli('unlock', '--recovery-fd', '{}', passphrase=fresh)

        def test_the_phone(self):
                w = self.w
                again, remove = commands('WHEN THE PHONE IS LOST')
                phone, codes = enrol(w)
                # one-time codes wherever a code is asked for
                self.answer(Terminal(w, 'gate', 'on', '--listen', f'127.0.0.1:{free_port()}'), ('Passphrase: ', PASSPHRASE), ('Code from your phone', codes[0]))

                t = Terminal(w, *again)
                t.expect('Recovery code: ')
                t.wait_echo(False)
                t.type(self.code + '\n')
                text = t.expect('Then give the code')
                new = Phone(re.search(r'^  ([A-Z2-7]{32})\r?$', text, re.M).group(1))
                if shutil.which('zbarimg'):
                        self.assertRegex(scanned(w, text), r'^otpauth://totp/carewallet:\S+secret=' + re.search(r'^  ([A-Z2-7]{32})\r?$', text, re.M).group(1) + '$')
                rest = self.answer(t, ('Code that the phone shows: ', new.code()))
                self.assertEqual(len(re.findall(r'^[0-9A-Z]{5}-[0-9A-Z]{5}\r?$', rest, re.M)), 10)
                self.assertIn('does not count', w.cli('gate', 'on', '--listen', '127.0.0.1:1', '--code-fd', '{}', passphrase=codes[1], code=PASSPHRASE_NEEDED).err)
                self.answer(Terminal(w, *remove), ('[y/N] ', 'y'), ('Recovery code: ', self.code))
                self.assertNotIn('codes_left', w.json('status'))

        def test_the_readme_says_the_same(self):
                with open(os.path.join(ROOT, 'README.md')) as f:
                        text = f.read()
                for section in 'WHEN THE PASSPHRASE IS LOST', 'WHEN THE PHONE IS LOST':
                        for words in commands(section):
                                self.assertIn('carewallet ' + ' '.join(words), text)


if __name__ == '__main__':
        unittest.main()
