# SPDX-License-Identifier: Apache-2.0
"""A wallet that this machine opens by itself: a credential in the folder that the service manager names."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink, secret
from wallet import PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, USAGE, Wallet

BYTES = bytes(range(1, 33))


class Credential(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.folder = self.w.path('credentials')
                os.mkdir(self.folder, 0o700)
                self.w.daemon_env['CREDENTIALS_DIRECTORY'] = self.folder

        def place(self, content):
                path = os.path.join(self.folder, 'carewallet')
                if os.path.lexists(path):
                        os.unlink(path)
                with open(path, 'wb') as f:
                        f.write(content)

        def add(self, content, label='systemd credential'):
                fd = os.memfd_create('secret', os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
                os.write(fd, content)
                import fcntl
                fcntl.fcntl(fd, 1033, 0xf)
                with Varlink(self.w.socket) as v:
                        self.assertNotIn('error', v.call('AddKey', {'secretFd': 0, 'newFd': 1, 'type': 'credential', 'label': label}, [secret(PASSPHRASE), fd]))

        def test_the_wallet_is_open_after_each_start_until_it_is_locked_or_the_key_removed(self):
                w = self.w
                self.add(BYTES)
                self.place(BYTES)
                w.restart()
                self.assertFalse(w.is_locked())
                self.assertIn('opened the wallet', w.log_text())
                self.assertEqual(w.cli('grants', code=None).code, PASSPHRASE_NEEDED, 'open to providers, not to whoever asks')
                w.lock()
                self.assertTrue(w.is_locked(), 'a lock holds')
                w.restart()
                self.assertFalse(w.is_locked())
                w.cli('key', 'remove', 'systemd credential', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE)
                w.restart()
                self.assertTrue(w.is_locked())
                self.assertIn('none of this wallet\'s keys', w.log_text())

        def test_what_is_no_credential_leaves_it_locked(self):
                w = self.w
                self.add(BYTES)
                for content in b'', BYTES[:31], BYTES + b'\n', bytes(32):
                        self.place(content)
                        w.restart()
                        self.assertTrue(w.is_locked(), content)
                os.unlink(os.path.join(self.folder, 'carewallet'))
                os.mkfifo(os.path.join(self.folder, 'carewallet'))
                w.restart()
                self.assertTrue(w.is_locked())
                os.unlink(os.path.join(self.folder, 'carewallet'))
                with open(w.path('elsewhere'), 'wb') as f:
                        f.write(BYTES)
                os.symlink(w.path('elsewhere'), os.path.join(self.folder, 'carewallet'))
                w.restart()
                self.assertTrue(w.is_locked(), 'a link is not followed')
                w.unlock()

        def test_the_secret_is_in_no_environment_and_no_argument(self):
                w = self.w
                self.add(BYTES)
                self.place(BYTES)
                w.restart()
                for pid in w.pids():
                        for name in 'environ', 'cmdline':
                                with open(f'/proc/{pid}/{name}', 'rb') as f:
                                        self.assertNotIn(BYTES, f.read())

        @unittest.skipUnless(shutil.which('systemd-creds') and os.geteuid() == 0, 'systemd-creds as root is needed')
        def test_what_the_command_line_has_sealed_opens_it(self):
                w = self.w
                sealed = w.path('sealed')
                result = w.cli('key', 'add', '--systemd-credential', '--out', sealed, '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=(0, REFUSED))
                if result.code:
                        self.assertIn('systemd-creds', result.err)
                        self.assertFalse(os.path.exists(sealed))
                        self.skipTest('systemd-creds has no key to seal with here')
                self.assertIn('LoadCredentialEncrypted=carewallet:', result.out)
                self.assertEqual(os.stat(sealed).st_mode & 0o777, 0o600)
                plain = subprocess.run(['systemd-creds', '--name=carewallet', 'decrypt', sealed, '-'], capture_output=True, check=True).stdout
                self.place(plain)
                w.restart()
                self.assertFalse(w.is_locked())
                w.unlock()
                self.assertIn('systemd credential', [key['label'] for key in w.json('key', 'list')])
                self.assertIn('can\'t be made', w.cli('key', 'add', '--systemd-credential', '--out', sealed, '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)
                w.cli('key', 'add', '--systemd-credential', '--out', w.path('second'), '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED)
                self.assertFalse(os.path.exists(w.path('second')), 'the label is taken: nothing is left')
                w.cli('key', 'add', '--systemd-credential', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=USAGE)


if __name__ == '__main__':
        unittest.main()
