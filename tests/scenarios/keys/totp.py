# SPDX-License-Identifier: Apache-2.0
"""Codes of a phone: whatever lets more out needs one each time, ending never does, and a lost phone is not the end."""

import os
import re
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from phone import Phone, enrol
from varlink import Varlink, secret
from wallet import CLI, PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, Wallet, generate, run

CODE = re.compile(r'Recovery code: (\S+)')


class Totp(unittest.TestCase):
        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)
                self.w.init()
                self.recovery = CODE.search(self.w.recovery_output).group(1)

        def with_code(self, typed, *args, **options):
                return self.w.cli(*args, '--code-fd', '{}', passphrase=typed, **options)

        def test_whatever_lets_more_out_needs_a_code_each_time(self):
                w = self.w
                w.provider('clinic')
                phone, codes = enrol(w)
                self.assertEqual(len(set(codes)), 10)
                grant = ('grant', 'clinic', '--preset', 'visit', '--yes', '--out')
                result = w.cli(*grant, w.path('g1'), code=PASSPHRASE_NEEDED)
                self.assertIn('--code-fd', result.err)
                self.assertFalse(os.path.exists(w.path('g1')))
                code = phone.code()
                self.with_code(code, *grant, w.path('g2'))
                self.assertIn('does not count', self.with_code(code, *grant, w.path('g3'), code=PASSPHRASE_NEEDED).err)
                self.with_code(codes[0].lower(), *grant, w.path('g3'))
                self.with_code(codes[0], *grant, w.path('g4'), code=PASSPHRASE_NEEDED)
                self.assertEqual(len(w.json('grants')), 2)
                # reading, importing and saying what a grant would be go on as before; ending asks nothing
                generate(w.path('x.csv'), '--days', 3)
                w.cli('import', w.path('x.csv'), code=(0, 5))
                w.cli('grant', 'clinic', '--preset', 'visit', '--dry-run')
                w.cli('revoke', 'clinic')
                w.cli('gate', 'off')
                self.assertEqual({g['state'] for g in w.json('grants')}, {'revoked'})

        def test_every_widening_method_asks_for_one(self):
                sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', 'core'))
                from guard import methods, filled
                w = self.w
                enrol(w)
                with open(os.path.join(os.path.dirname(__file__), '..', '..', '..', 'daemon', 'PROTOCOL.md')) as f:
                        classes = dict(re.findall(r'^\| (open|reading|widening|proving) \| ([^|]+) \|', f.read(), re.M))
                asked = set()
                with Varlink(w.socket) as v:
                        for method, signature in methods(w).items():
                                if method in ('Lock', 'Init'):
                                        continue
                                fds = [secret('x'), secret('x')]
                                if v.call(method, filled(signature), fds).get('error') == 'org.carewallet.CodeRequired':
                                        asked.add(method)
                self.assertEqual(asked, set(', '.join((classes['widening'], classes['proving'])).split(', ')))

        def test_a_code_is_as_good_as_the_passphrase_for_reading_and_only_in_its_session(self):
                w = self.w
                phone, codes = enrol(w)
                script = '"$1" grants --code-fd 3 3<<<"$2" && "$1" grants --json'
                run(['setsid', '--wait', 'bash', '-c', script, 'x', CLI, phone.code()], w.env)
                self.assertEqual(run(['setsid', '--wait', CLI, 'grants'], w.env, code=None).code, PASSPHRASE_NEEDED)
                w.lock()
                self.with_code(codes[0], 'grants', code=4)  # a phone unlocks nothing
                w.unlock()
                self.assertEqual(w.json('status')['codes_left'], 10)

        def test_wrong_codes_have_to_wait_longer_and_a_one_time_code_does_not(self):
                w = self.w
                phone, codes = enrol(w)
                with Varlink(w.socket) as v:
                        waits = [v.call('StepUp', {'codeFd': 0}, [secret(phone.wrong())])['parameters']['retryAfterMs'] for _ in range(2)]
                        self.assertGreater(waits[0], 0)
                        reply = v.call('StepUp', {'codeFd': 0}, [secret(phone.code())])
                        self.assertEqual(reply['error'], 'org.carewallet.WrongCode', 'a right one is not looked at meanwhile')
                        self.assertEqual(v.call('StepUp', {'codeFd': 0}, [secret(codes[3])])['parameters'], {'codesLeft': 9})
                        self.assertNotIn('error', v.call('StepUp', {'codeFd': 0}, [secret(phone.code())]))
                        for no_code in '12345', 'x' * 4096, '123456x':
                                self.assertIn('no code', v.call('StepUp', {'codeFd': 0}, [secret(no_code)])['parameters']['reason'])

        def test_a_used_code_stays_used_when_the_daemon_is_killed_after_its_answer(self):
                w = self.w
                phone, codes = enrol(w)
                code = phone.code()
                with Varlink(w.socket) as v:
                        self.assertNotIn('error', v.call('StepUp', {'codeFd': 0}, [secret(code)]))
                        self.assertNotIn('error', v.call('StepUp', {'codeFd': 0}, [secret(codes[0])]))
                w.kill()
                w.start()
                w.unlock()
                with Varlink(w.socket) as v:
                        self.assertEqual(v.call('StepUp', {'codeFd': 0}, [secret(codes[0])])['error'], 'org.carewallet.WrongCode')
                w.restart()
                w.unlock()
                with Varlink(w.socket) as v:
                        self.assertEqual(v.call('StepUp', {'codeFd': 0}, [secret(code)])['error'], 'org.carewallet.WrongCode')
                        self.assertEqual(v.call('StepUp', {'codeFd': 0}, [secret(codes[1])])['parameters'], {'codesLeft': 8})

        def test_nothing_is_enrolled_before_the_phone_has_shown_a_code(self):
                w = self.w
                code, err = enrol(w, confirm='000000')
                self.assertEqual(code, PASSPHRASE_NEEDED)
                self.assertIn('Nothing was changed', err)
                self.assertNotIn('codes_left', w.json('status'))
                w.provider('clinic')
                with Varlink(w.socket) as v:
                        self.assertIn('No phone', v.call('StepUp', {'codeFd': 0}, [secret('123456')])['parameters']['reason'])

        def test_a_phone_is_enrolled_by_who_began_and_not_by_guessing(self):
                w = self.w
                with Varlink(w.socket) as v, Varlink(w.socket) as other:
                        v.call('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)])
                        v.call('EnrolTotp', {'secretFd': 0}, [secret(PASSPHRASE)])
                        phone = Phone(re.search('secret=([A-Z2-7]+)', os.pread(v.fds[-1], 4096, 0).decode()).group(1))
                        self.assertIn('Begin', other.call('ConfirmTotp', {'codeFd': 0}, [secret(phone.code())])['parameters']['reason'])
                        for _ in range(10):
                                self.assertEqual(v.call('ConfirmTotp', {'codeFd': 0}, [secret(phone.wrong())])['error'], 'org.carewallet.WrongCode')
                        self.assertIn('Begin', v.call('ConfirmTotp', {'codeFd': 0}, [secret(phone.code())])['parameters']['reason'])
                self.assertNotIn('codes_left', w.json('status'))

        def test_a_change_of_keys_needs_passphrase_and_code(self):
                w = self.w
                phone, codes = enrol(w)
                new = ('key', 'add', 'second', '--passphrase-fd', '{}', '--new-passphrase-fd', '{}')
                w.cli(*new, passphrase=PASSPHRASE, extra_passphrases=['lantern ocelot gravel syntax'], code=PASSPHRASE_NEEDED)
                w.cli(*new, '--code-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=['lantern ocelot gravel syntax', phone.code()])
                w.cli('totp', 'remove', '--yes', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=PASSPHRASE_NEEDED)
                fresh = w.cli('totp', 'codes', '--passphrase-fd', '{}', '--code-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=[codes[5]]).out
                self.assertIn('void', fresh)
                again = re.findall(r'^([0-9A-Z]{5}-[0-9A-Z]{5})$', fresh, re.M)
                self.assertEqual(len(set(again) | set(codes)), 20)
                self.with_code(codes[6], 'gate', 'on', '--listen', '127.0.0.1:0', '--yes', code=PASSPHRASE_NEEDED)
                w.cli('totp', 'remove', '--yes', '--passphrase-fd', '{}', '--code-fd', '{}', passphrase=PASSPHRASE, extra_passphrases=[again[0]])
                w.provider('clinic')
                self.assertNotIn('codes_left', w.json('status'))
                types = [entry['type'] for entry in w.cli('log', '--json').rows]
                self.assertEqual([t for t in types if t.startswith(('totp', 'code'))], ['totp-enrolled', 'code-used', 'codes-renewed', 'code-used', 'totp-removed'])

        def test_with_the_phone_lost_the_recovery_code_enrols_another(self):
                w = self.w
                old, old_codes = enrol(w)
                new, codes = enrol(w, '--recovery-fd', '{}', secrets=[self.recovery])
                with Varlink(w.socket) as v:
                        self.assertEqual(v.call('StepUp', {'codeFd': 0}, [secret(old_codes[0])])['error'], 'org.carewallet.WrongCode')
                        self.assertNotIn('error', v.call('StepUp', {'codeFd': 0}, [secret(codes[0])]))
                # or it stands for a code itself
                self.with_code(self.recovery, 'gate', 'on', '--listen', '127.0.0.1:0', '--yes', code=(0, REFUSED))
                w.cli('totp', 'remove', '--yes', '--recovery-fd', '{}', passphrase=self.recovery)
                self.assertNotIn('codes_left', w.json('status'))

        def test_secrets_of_codes_are_in_no_file_in_the_clear(self):
                w = self.w
                phone, codes = enrol(w)
                needles = [phone.key, *(code.encode() for code in codes), *(code.replace('-', '').encode() for code in codes)]
                for folder, _, names in os.walk(w.directory):
                        for name in names:
                                path = os.path.join(folder, name)
                                if os.path.isfile(path):
                                        with open(path, 'rb') as f:
                                                data = f.read()
                                        self.assertFalse([n for n in needles if n in data], path)


if __name__ == '__main__':
        unittest.main()
