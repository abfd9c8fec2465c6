# SPDX-License-Identifier: Apache-2.0
"""Several wallets of one person: each its own daemon, files, keys and socket, and nothing of one in another."""

import os
import shutil
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import CLI, DAEMON, LOCKED, PASSPHRASE_NEEDED, REFUSED, UNREACHABLE, USAGE, Wallet, generate, run  # noqa: E402


class Named(Wallet):
        """A wallet where the units would have it, in the home and runtime directory of @family."""

        def __init__(self, family, name, **options):
                super().__init__(start=False, **options)
                suffix = '@' + name if name else ''
                self.state = os.path.join(family.home, '.local', 'state', 'carewallet' + suffix)
                self.socket = os.path.join(family.runtime, 'carewallet' + suffix, 'socket')
                self.env = {**{k: v for k, v in self.env.items() if k != 'CAREWALLET_SOCKET'}, 'HOME': family.home, 'XDG_RUNTIME_DIR': family.runtime,
                            **({'CAREWALLET_WALLET': name} if name else {})}
                for path in (self.state, os.path.dirname(self.socket)):
                        os.makedirs(path, 0o700, exist_ok=True)
                self.start()


class Family(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.base = Wallet(start=False)
                cls.home, cls.runtime = cls.base.path('home'), cls.base.path('run')
                os.mkdir(cls.runtime, 0o700)
                cls.own = Named(cls, None)
                cls.own.init()
                cls.child = Named(cls, 'child', passphrase='another passphrase for the child')
                cls.child.init()

        @classmethod
        def tearDownClass(cls):
                for w in (cls.child, cls.own, cls.base):
                        w.close()

        def cli(self, *args, env=None, **options):
                return run([CLI, *args], {**self.own.env, **(env or {})}, **options)

        def setUp(self):
                for w in (self.own, self.child):
                        if w.is_locked():
                                w.unlock()

        def test_what_is_imported_into_one_is_not_in_the_other(self):
                generate(self.base.path('ten.csv'), '--days', 10, '--end', '2025-03-14')
                self.cli('--wallet', 'child', 'import', self.base.path('ten.csv'), code=None)
                self.assertGreater(self.child.json('status')['records']['cgm'], 0)
                self.assertEqual(self.own.json('status')['records']['cgm'], 0)
                self.assertNotEqual(self.child.json('status')['wallet_id'], self.own.json('status')['wallet_id'])

        def test_the_name_may_stand_anywhere_and_in_the_environment(self):
                wanted = self.child.json('status')['state_dir']
                for args, env in ((['--wallet', 'child', 'status', '--json'], {}), (['status', '--json', '--wallet=child'], {}), (['--json', 'status'], {'CAREWALLET_WALLET': 'child'}),
                                  (['--wallet', 'child', '--json', 'status'], {'CAREWALLET_SOCKET': self.own.socket})):
                        with self.subTest(args):
                                self.assertEqual(self.cli(*args, env=env).json['state_dir'], wanted)
                self.assertEqual(self.cli('--wallet', 'default', 'status', '--json', env={'CAREWALLET_WALLET': 'child'}).json['state_dir'], os.path.realpath(self.own.state))
                self.assertIn('child', self.cli('--wallet', 'child', 'status').out)

        def test_names_that_are_none_are_refused_before_anything_is_done(self):
                for name in ('', '-a', 'Child', '../x', 'a' * 33):
                        with self.subTest(name):
                                self.cli('status', '--wallet=' + name, code=USAGE)
                self.cli('--wallet', 'a' * 32, 'status', code=UNREACHABLE)
                self.cli('--wallet', 'child', '--socket', self.own.socket, 'status', code=USAGE)
                self.assertIn('carewallet wallets', self.cli('--wallet', 'nobody', 'status', code=UNREACHABLE).err)
                self.cli('--wallet', 'child', code=USAGE)
                self.assertIn('usage: carewallet', self.cli('--wallet', 'child', '-h').out)

        def test_the_passphrase_of_one_does_not_open_the_other(self):
                self.child.lock()
                self.assertFalse(self.own.is_locked())
                self.cli('--wallet', 'child', 'unlock', '--passphrase-fd', '{}', passphrase=self.own.passphrase, code=PASSPHRASE_NEEDED)
                self.assertTrue(self.child.is_locked())
                self.cli('--wallet', 'child', 'show', '--kind', 'cgm', code=LOCKED)

        def test_the_passphrase_that_was_given_to_one_counts_for_that_one(self):
                # a new session for both, in which only one is told
                script = '"$1" unlock --passphrase-fd 3 3<"$2" && "$1" grants && ! "$1" --wallet child grants'
                with open(self.base.path('phrase'), 'w') as f:
                        f.write(self.own.passphrase + '\n')
                subprocess.run(['sh', '-c', script, 'sh', CLI, self.base.path('phrase')], env=self.own.env, check=True, stdin=subprocess.DEVNULL,
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)

        def test_they_are_listed_with_their_state(self):
                self.child.lock()
                third = os.path.join(self.home, '.local', 'state', 'carewallet@third')
                os.mkdir(third, 0o700)
                with open(os.path.join(third, 'slots'), 'wb'):
                        pass
                try:
                        states = {w['name']: w['state'] for w in self.cli('wallets', '--json').json}
                        self.assertEqual(states, {'default': 'open', 'child': 'locked', 'third': 'not running'})
                        self.assertEqual([line.split()[0] for line in self.cli('wallets').out.splitlines()[:3]], ['default', 'child', 'third'])
                        self.assertEqual(sorted(self.cli('completion', '--words', '--', '--wallet', '').out.split()), ['child', 'default', 'third'])
                finally:
                        os.unlink(os.path.join(third, 'slots'))
                        os.rmdir(third)

        def test_no_file_and_no_process_is_shared(self):
                for one, other in ((self.own, self.child), (self.child, self.own)):
                        self.assertFalse(os.path.realpath(one.state).startswith(os.path.realpath(other.state) + os.sep))
                        for pid in one.pids():
                                for fd in os.listdir(f'/proc/{pid}/fd'):
                                        self.assertFalse((os.readlink(f'/proc/{pid}/fd/{fd}') + os.sep).startswith(os.path.realpath(other.state) + os.sep))
                self.assertFalse(set(self.own.pids()) & set(self.child.pids()))
                self.child.kill()
                self.assertFalse(self.own.is_locked())
                self.child.start()

        def test_a_revocation_that_waits_is_left_with_its_own(self):
                self.child.stop()
                try:
                        self.cli('--wallet', 'child', 'revoke', '--all')
                        self.assertEqual(self.own.json('status')['waiting'], 0)
                        self.assertEqual(len([name for name in os.listdir(os.path.join(self.child.state, 'spool')) if not name.startswith('.')]), 1)
                finally:
                        self.child.start()
                self.assertEqual(self.child.json('status')['waiting'], 1)

        def test_a_wallet_is_handed_over(self):
                # carewallet(1), SEVERAL WALLETS, word for word
                given = Named(self, 'given', passphrase='the passphrase of a parent that knows it')
                self.addCleanup(shutil.rmtree, os.path.dirname(given.socket))
                self.addCleanup(shutil.rmtree, given.state)
                self.addCleanup(given.close)
                given.init()
                given.provider('clinic')
                given.grant('clinic')
                wallet, new = given.json('status')['wallet_id'], 'what only the child that came of age knows'
                given.cli('handover', '--end-grants', '--yes', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}', passphrase=given.passphrase, extra_passphrases=[new])
                given.unlock(code=PASSPHRASE_NEEDED)
                given.unlock(passphrase=new)
                self.assertEqual([(k['label'], k['type']) for k in given.json('key', 'list')], [('passphrase', 'passphrase'), ('recovery code', 'recovery')])
                self.assertEqual([g['state'] for g in given.json('grants')], ['revoked'])
                self.assertEqual(given.json('status')['wallet_id'], wallet)

        def test_a_second_daemon_of_the_same_wallet_is_refused(self):
                again = subprocess.run([DAEMON, '--state-dir', self.child.state, '--socket', self.base.path('again')], capture_output=True, text=True, timeout=20)
                self.assertEqual(again.returncode, REFUSED)
                self.assertIn('another carewalletd', again.stderr)


if __name__ == '__main__':
        unittest.main()
