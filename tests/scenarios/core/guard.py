# SPDX-License-Identifier: Apache-2.0
"""The guard: what each method needs, tried for every method of the protocol as it describes itself."""

import os
import re
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), '..', '..', 'lib'))
from varlink import Varlink, secret
from wallet import BUILD, LOCKED, PASSPHRASE, PASSPHRASE_NEEDED, CLI, Wallet, run

OPEN = {'Diagnose', 'Repair', 'PullAutomatic', 'StopPull', 'Witness', 'Status', 'Init', 'Unlock', 'Lock', 'Revoke', 'GateOff', 'StepUp'}
PROVING = {'AddKey', 'RemoveKey', 'EnrolTotp', 'RemoveTotp', 'RenewCodes', 'RotateKey', 'UpgradeCipher'}  # the call itself brings the passphrase
STEP_UP, LOCKED_ERROR = 'org.carewallet.StepUpRequired', 'org.carewallet.Locked'

# Runs one call in a session of its own: a program of the same user that simply asks.
STRANGER = '''
import json, os, sys
sys.path.insert(0, sys.argv[1])
from varlink import Varlink
os.setsid()
v = Varlink(sys.argv[2])
fds = [os.open('/dev/null', os.O_RDONLY)]
print(json.dumps(v.call(sys.argv[3], json.loads(sys.argv[4]), fds)))
'''


def methods(w):
        with Varlink(w.socket) as v:
                text = v.call('org.varlink.service.GetInterfaceDescription', {'interface': 'org.carewallet'})['parameters']['description']
        return dict(re.findall(r'^method (\w+)\((.*?)\) ->', text, re.M))


def filled(signature):
        """Parameters of the right types for a signature: only what must be there."""
        values = {'string': 'x', 'int': 0, 'bool': False, '[]string': []}
        pairs = [part.split(': ') for part in signature.split(', ') if part]
        return {name: values[kind] for name, kind in pairs if not kind.startswith('?')}


def as_stranger(w, method, parameters):
        import json
        lib = os.path.join(os.path.dirname(__file__), '..', '..', 'lib')
        result = subprocess.run([sys.executable, '-c', STRANGER, lib, w.socket, method, json.dumps(parameters)], capture_output=True, text=True, check=True)
        return json.loads(result.stdout)


class Guard(unittest.TestCase):
        def test_every_method_that_is_not_open_asks_a_stranger_for_the_passphrase(self):
                with Wallet() as w:
                        w.init()
                        table = methods(w)
                        self.assertGreaterEqual(len(table), 19)
                        self.assertLess(OPEN, set(table))
                        for method in sorted(set(table) - OPEN - PROVING):
                                with self.subTest(method):
                                        self.assertEqual(as_stranger(w, method, filled(table[method])).get('error'), STEP_UP)
                        # while the session that gave the passphrase may
                        self.assertEqual(w.json('grants'), [])

        def test_a_call_that_brings_the_passphrase_is_not_made_without_it(self):
                with Wallet() as w:
                        w.init()
                        table = methods(w)
                        parameters = {method: {**filled(table[method]), **({'type': 'passphrase'} if method == 'AddKey' else {})} for method in PROVING}
                        for method in sorted(PROVING):
                                with self.subTest(method), Varlink(w.socket) as v:
                                        self.assertEqual(as_stranger(w, method, parameters[method]).get('error'), 'org.carewallet.Refused')
                                        self.assertEqual(v.call(method, parameters[method], [secret('wrong')]).get('error'), 'org.carewallet.WrongPassphrase')
                        self.assertEqual([k['label'] for k in w.json('key', 'list')], ['passphrase', 'recovery code'])

        def test_a_program_in_another_session_cannot_make_the_patient_wait(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        script = 'for i in 1 2 3; do "$1" unlock --passphrase-fd 3 3<<<wrong; done'
                        run(['setsid', '--wait', 'bash', '-c', script, 'x', CLI], w.env, code=None)
                        with Varlink(w.socket) as v:
                                self.assertNotIn('error', v.call('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)]))

        def test_on_a_locked_wallet_nothing_but_open_methods_is_answered(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        table = methods(w)
                        fd = os.open('/dev/null', os.O_RDONLY)
                        with Varlink(w.socket) as v:
                                for method in sorted(set(table) - OPEN):
                                        with self.subTest(method):
                                                self.assertEqual(v.call(method, filled(table[method]), [fd]).get('error'), LOCKED_ERROR)
                        os.close(fd)
                        self.assertEqual(w.cli('show', '--kind', 'cgm', code=None).code, LOCKED)
                        self.assertNotIn('records', w.json('status'))

        def test_a_stranger_may_narrow_but_learns_nothing(self):
                with Wallet() as w:
                        w.init()
                        w.provider('clinic')
                        w.grant('clinic')
                        self.assertEqual(as_stranger(w, 'Revoke', {'provider': 'clinic'})['parameters']['revoked'], 1)
                        self.assertEqual([g['state'] for g in w.json('grants')], ['revoked'])

        def test_the_passphrase_opens_the_session_that_gave_it(self):
                with Wallet() as w:
                        w.init()
                        code = run(['setsid', '--wait', CLI, 'grants'], w.env, code=None).code
                        self.assertEqual(code, PASSPHRASE_NEEDED)
                        script = '"$1" unlock --passphrase-fd 3 3<<<"$2" && "$1" grants --json'
                        run(['setsid', '--wait', 'bash', '-c', script, 'x', CLI, PASSPHRASE], w.env)

        def test_wrong_passphrases_have_one_answer_and_the_right_one_still_opens(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        answers = {w.unlock(passphrase=p, code=PASSPHRASE_NEEDED).err for p in ('wrong', PASSPHRASE + ' ', PASSPHRASE.upper())}
                        self.assertEqual(len(answers), 1, answers)
                        w.unlock()
                        self.assertFalse(w.is_locked())

        def test_who_knows_it_gets_in_while_another_process_of_the_session_guesses(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        guesser = subprocess.Popen(['bash', '-c', 'while [ -S "$2" ]; do "$1" unlock --passphrase-fd 3 3<<<wrong; done', 'x', CLI, w.socket],
                                                   env=w.env, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                        try:
                                time.sleep(5)
                                for _ in range(3):
                                        w.unlock()  # the first try, each time
                                        w.lock()
                                self.assertIsNone(guesser.poll())
                        finally:
                                guesser.kill()
                                guesser.wait()

        def test_a_second_try_while_the_first_wrong_one_is_not_answered_is_not_made(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        with Varlink(w.socket) as first, Varlink(w.socket) as v:
                                first.send('Unlock', {'secretFd': 0}, [secret('wrong')])
                                while (reply := v.call('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)])).get('error') == 'org.carewallet.Busy':
                                        time.sleep(0.01)
                                self.assertEqual(reply.get('error'), 'org.carewallet.WrongPassphrase')
                                self.assertGreater(reply['parameters']['retryAfterMs'], 0)
                                self.assertEqual(first.receive().get('error'), 'org.carewallet.WrongPassphrase')
                                self.assertNotIn('error', v.call('Unlock', {'secretFd': 0}, [secret(PASSPHRASE)]))

        def test_a_secret_that_is_no_sealed_memfd_is_refused(self):
                with Wallet() as w:
                        w.init()
                        w.lock()
                        r, pipe = os.pipe()
                        os.write(pipe, PASSPHRASE.encode())
                        with Varlink(w.socket) as v:
                                for fd in (secret(PASSPHRASE, seals=0x7), secret(''), secret('x' * 4097), r, os.open('/dev/null', os.O_RDONLY)):
                                        self.assertEqual(v.call('Unlock', {'secretFd': 0}, [fd]).get('error'), 'org.carewallet.Refused')
                                        os.close(fd)
                        os.close(pipe)
                        self.assertTrue(w.is_locked())
                        w.unlock()

        def test_the_recovery_code_opens_the_wallet(self):
                with Wallet() as w:
                        w.init()
                        code = re.search(r'Recovery code: (\S+)', w.recovery_output).group(1)
                        w.lock()
                        with Varlink(w.socket) as v:
                                wrong = ('0' if code[0] != '0' else '1') + code[1:]
                                self.assertEqual(v.call('Unlock', {'secretFd': 0, 'recovery': True}, [secret(wrong)]).get('error'), 'org.carewallet.Refused')
                                self.assertNotIn('error', v.call('Unlock', {'secretFd': 0, 'recovery': True}, [secret(code.lower().replace('-', ' '))]))
                        self.assertFalse(w.is_locked())

        def test_a_second_wallet_is_not_made_over_the_first(self):
                with Wallet() as w:
                        w.init()
                        with Varlink(w.socket) as v:
                                self.assertEqual(v.call('Init', {'passphraseFd': 0}, [secret('x')]).get('error'), 'org.carewallet.AlreadyInitialized')


if __name__ == '__main__':
        unittest.main()
