# SPDX-License-Identifier: Apache-2.0
"""The patient's command line against the real daemon: exit codes, prompts, what is said, what is kept."""

import json
import os
import pty
import re
import select
import shutil
import signal
import subprocess
import sys
import termios
import time
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), '..', '..', 'lib'))
from wallet import (CLI, LOCKED, PARTLY, PASSPHRASE, PASSPHRASE_NEEDED, REFUSED, UNREACHABLE, USAGE, Wallet, generate, start)  # noqa: E402

JWK = {'kty': 'OKP', 'crv': 'Ed25519', 'x': '11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo'}
CODE = re.compile(r'^Recovery code: ((?:[0-9A-Z]{5}-){7}[0-9A-Z]{5})$', re.M)


class Terminal:
        """The command line with a person before it."""

        def __init__(self, w, *args):
                self.pid, self.fd = pty.fork()
                if self.pid == 0:
                        os.execve(CLI, [CLI, *args], {**w.env, 'TERM': 'xterm'})
                self.text = ''

        def expect(self, words, timeout_s=20):
                end = time.monotonic() + timeout_s
                while words not in self.text:
                        if not select.select([self.fd], [], [], max(0, end - time.monotonic()))[0]:
                                raise AssertionError(f'no "{words}" in {self.text!r}')
                        try:
                                self.text += os.read(self.fd, 4096).decode(errors='replace')
                        except OSError:
                                raise AssertionError(f'ended without "{words}": {self.text!r}') from None
                before, self.text = self.text.split(words, 1)
                return before

        def echoes(self):
                return bool(termios.tcgetattr(self.fd)[3] & termios.ECHO)

        def wait_echo(self, on):
                end = time.monotonic() + 10
                while self.echoes() != on:
                        assert time.monotonic() < end, 'echo'
                        time.sleep(0.01)

        def type(self, text):
                os.write(self.fd, text.encode())

        def unlock(self):
                """A terminal is a session of its own: the guard asks once."""
                self.expect('Passphrase: ')
                self.wait_echo(False)
                self.type(PASSPHRASE + '\n')

        def end(self):
                """Exit status (negative: signal) and what was left to read."""
                while True:
                        try:
                                part = os.read(self.fd, 4096)
                        except OSError:
                                break
                        if not part:
                                break
                        self.text += part.decode(errors='replace')
                _, status = os.waitpid(self.pid, 0)
                os.close(self.fd)
                return os.waitstatus_to_exitcode(status), self.text


def write(path, text):
        with open(path, 'w') as f:
                f.write(text)
        return path


class Fresh(unittest.TestCase):
        """Each with a daemon and wallet of its own."""

        def setUp(self):
                self.w = Wallet()
                self.addCleanup(self.w.close)

        def test_before_there_is_a_wallet_each_verb_names_init(self):
                for verb in ['grants'], ['log'], ['show'], ['export', '--format', 'csv'], ['unlock'], ['provider', 'list'], ['preview', 'x'], ['imports']:
                        with self.subTest(verb):
                                self.assertIn('carewallet init', self.w.cli(*verb, code=LOCKED).err)
                self.assertIn('carewallet init', self.w.cli('status').out)
                status = self.w.json('status')
                self.assertEqual((status['initialized'], status['locked']), (False, True))

        def test_the_recovery_code_is_shown_once_and_opens_the_wallet(self):
                self.w.init()
                code = CODE.search(self.w.recovery_output).group(1)
                self.assertIn('write it down', self.w.recovery_output)
                self.w.lock()
                typo = code[:12] + ('A' if code[12] != 'A' else 'B') + code[13:]
                self.assertIn('Group 3', self.w.cli('unlock', '--recovery-fd', '{}', passphrase=typo, code=PASSPHRASE_NEEDED).err)
                self.assertTrue(self.w.is_locked())
                self.w.cli('unlock', '--recovery-fd', '{}', passphrase=code.lower())
                self.assertFalse(self.w.is_locked())
                self.assertIn('already', self.w.cli('init', '--passphrase-fd', '{}', passphrase=PASSPHRASE, code=REFUSED).err)
                for name in os.listdir(self.w.home):
                        for folder, _, files in os.walk(os.path.join(self.w.home, name)):
                                for file in files:
                                        with open(os.path.join(folder, file)) as f:
                                                self.assertNotIn(code, f.read())

        def test_the_recovery_code_never_goes_into_json(self):
                result = self.w.cli('init', '--passphrase-fd', '{}', '--json', passphrase=PASSPHRASE, code=2)
                self.assertIn('--recovery-out', result.err)
                self.assertFalse(self.w.json('status')['initialized'])
                for verb in ('key', 'recovery'), ('key', 'rotate'), ('handover', '--keep-grants'):
                        self.assertIn('--pdf', self.w.cli(*verb, '--yes', '--json', code=2).err)

        def test_the_recovery_code_can_go_to_a_file(self):
                path = self.w.path('code')
                result = self.w.cli('init', '--passphrase-fd', '{}', '--recovery-out', path, '--json', passphrase=PASSPHRASE)
                with open(path) as f:
                        code = f.read()
                self.assertRegex(code, r'^([0-9A-Z]{5}-){7}[0-9A-Z]{5}\n$')
                self.assertNotIn(code.strip(), result.out)
                self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
                self.assertEqual(set(result.json), {'wallet_id', 'recovery_out'})

        def test_a_file_in_the_way_makes_no_wallet(self):
                path = write(self.w.path('code'), 'mine')
                self.w.cli('init', '--passphrase-fd', '{}', '--recovery-out', path, passphrase=PASSPHRASE, code=REFUSED)
                self.assertFalse(self.w.json('status')['initialized'])
                with open(path) as f:
                        self.assertEqual(f.read(), 'mine')

        def test_init_asks_twice_without_echo(self):
                t = Terminal(self.w, 'init')
                t.expect('New passphrase: ')
                t.wait_echo(False)
                t.type('correct horse\n')
                t.expect('Once more: ')
                t.wait_echo(False)
                t.type('correct house\n')
                code, text = t.end()
                self.assertEqual(code, PASSPHRASE_NEEDED)
                self.assertIn('not the same', text)
                self.assertFalse(self.w.json('status')['initialized'])

                t = Terminal(self.w, 'init')
                for prompt in 'New passphrase: ', 'Once more: ':
                        t.expect(prompt)
                        t.wait_echo(False)
                        t.type(PASSPHRASE + '\n')
                code, text = t.end()
                self.assertEqual(code, 0, text)
                self.assertNotIn(PASSPHRASE, text)
                self.assertIn('Recovery code: ', text)

        def test_a_signal_at_the_prompt_restores_the_terminal(self):
                t = Terminal(self.w, 'init')
                t.expect('New passphrase: ')
                t.wait_echo(False)
                t.type('half a pass')
                os.kill(t.pid, signal.SIGINT)
                t.wait_echo(True)
                self.assertEqual(t.end()[0], -signal.SIGINT)
                t = Terminal(self.w, 'init')
                t.expect('New passphrase: ')
                t.wait_echo(False)
                t.type('\x04')
                self.assertEqual(t.end()[0], PASSPHRASE_NEEDED)

        def test_an_older_state_is_noticed_until_it_is_accepted(self):
                self.w.init()
                self.w.stop()
                shutil.copytree(self.w.state, self.w.path('old'))
                self.w.start()
                self.w.unlock()
                write(self.w.path('p.jwk'), json.dumps(JWK))
                self.w.cli('provider', 'add', 'endo', '--key', self.w.path('p.jwk'))
                self.assertNotIn('older', self.w.cli('status').err)
                self.w.stop()
                shutil.rmtree(self.w.state)
                shutil.copytree(self.w.path('old'), self.w.state)
                self.w.start()
                self.assertIn('put back to an older state', self.w.unlock().err)
                self.w.cli('provider', 'add', 'one', '--key', self.w.path('p.jwk'))
                self.w.cli('timezone', 'Europe/Paris')
                self.assertIn('put back to an older state', self.w.cli('log').err)
                self.assertNotIn('older state', self.w.cli('status', '--accept-older').err)
                self.assertNotIn('older state', self.w.cli('status').err)


        def test_a_gate_that_is_being_opened_is_not_said_to_be_closed(self):
                w = self.w
                w.init()
                w.provider('endo')
                w.gate_on()
                w.grant('endo')
                w.lock()
                w.unlock()
                out = w.cli('status').out
                self.assertRegex(out, r'Gate +open')
                self.assertNotIn('gate on', out)

        def test_what_happened_is_told_once_and_only_to_who_gave_the_passphrase(self):
                w = self.w
                w.init()
                w.cli('import', self.export(), code=None)
                p = w.provider('endo')
                w.gate_on()
                grant = w.grant('endo', '--for', '3d', '--last', '365d')
                w.cli('status')
                p.redeem(grant)
                p.redeem(grant, 'summary', code=None)
                since = w.json('status')['since']
                self.assertEqual({k: since[k] for k in ('fetched', 'refused', 'expired', 'revoked', 'expiring', 'whole')},
                                 {'fetched': 1, 'refused': 1, 'expired': 0, 'revoked': 0, 'expiring': 1, 'whole': True})
                self.assertEqual(since['last_fetch']['provider'], 'endo')
                self.assertEqual(w.json('status')['since'], since)  # a program is told nothing that a person then misses

                stranger = start([CLI, 'status', '--json'], w.env, stdout=subprocess.PIPE, text=True, start_new_session=True)
                self.assertNotIn('since', json.loads(stranger.communicate()[0]))
                t = Terminal(w, 'status')  # a session of its own
                t.expect('once you gave your passphrase')
                self.assertEqual(t.end()[0], 0)
                self.forget_today()
                t = Terminal(w, 'grants')
                t.unlock()
                t.expect('Since the last time: 1 fetch of your data (endo, ')
                t.expect('1 try to fetch was refused, 1 grant ends within a week')
                self.assertEqual(t.end()[0], 0)
                t = Terminal(w, 'grants')
                t.unlock()
                self.assertNotIn('Since', t.end()[1])
                w.cli('revoke', 'endo')
                self.assertIn('1 grant was revoked', w.cli('status').out)
                self.assertIn('nothing was fetched', w.cli('status').out)

        def export(self):
                generate(self.w.path('five.csv'), '--days', 5)
                return self.w.path('five.csv')

        def forget_today(self):
                """As if the last command had been yesterday."""
                folder = os.path.join(self.w.home, '.local', 'state', 'carewallet', 'cli')
                for name in os.listdir(folder):
                        with open(os.path.join(folder, name)) as f:
                                memory = json.load(f)
                        memory['shown'] = '2020-01-01'
                        write(os.path.join(folder, name), json.dumps(memory))


class Filled(unittest.TestCase):
        """One wallet with ten synthetic days for all."""

        @classmethod
        def setUpClass(cls):
                cls.w = w = Wallet()
                w.init()
                cls.truth = generate(w.path('ten.csv'), '--days', 10, '--end', '2025-03-14')
                cls.report = w.json('import', w.path('ten.csv'), code=None)
                write(w.path('p.jwk'), json.dumps(JWK))
                w.cli('provider', 'add', 'endo', '--key', w.path('p.jwk'))

        @classmethod
        def tearDownClass(cls):
                cls.w.close()

        def setUp(self):
                if self.w.is_locked():
                        self.w.unlock()

        def test_wrong_usage_has_its_code_and_changes_nothing(self):
                for args in (['nonsense'], ['show', '--nonsense'], ['show', 'operand'], ['show', '--kind', 'insulin'], ['show', '--from', '14.3.2025'],
                             ['show', '--from', '2025-03-14', '--to', '2025-03-13'], ['import'], ['export'], ['export', '--format', 'xml'],
                             ['grant', 'endo'], ['grant', 'endo', '--preset', 'visit'], ['grant', 'endo', '--preset', 'visit', '--out', '/x', '--for', '2y', '--yes'],
                             ['grant', 'endo', '--preset', 'visit', '--out', self.w.path('never')], ['provider', 'add', 'x'], ['provider'],
                             ['revoke'], ['revoke', 'endo', '--all'], ['gate', 'on'], ['log', '--limit', '0'], ['completion', 'tcsh'],
                             ['unlock', '--passphrase-fd', 'x'], ['unlock', '--passphrase-fd', '99'], ['import', '--unit', 'mg', 'x']):
                        with self.subTest(args):
                                self.w.cli(*args, code=USAGE)
                self.assertFalse(os.path.exists(self.w.path('never')))

        def test_every_verb_has_help(self):
                verbs = re.findall(r'^  (\w+(?: \w+)?)  ', self.w.cli('help').out, re.M)
                self.assertGreater(len(verbs), 18)
                with open(os.path.join(os.path.dirname(__file__), '..', '..', '..', 'cli', 'carewallet.1')) as f:
                        manual = f.read()
                for verb in verbs:
                        with self.subTest(verb):
                                out = self.w.cli(*verb.split(), '-h').out
                                self.assertIn('usage: carewallet ' + verb, out)
                                self.assertEqual(out, self.w.cli('help', *verb.split()).out)
                                self.assertIn('.It Cm ' + verb, manual)
                                for option in re.findall(r'^  --([a-z-]+)', out, re.M):
                                        self.assertRegex(manual, r'Fl Fl ' + option + r'\b')

        def test_the_first_word_of_a_family_explains_all_of_it(self):
                out = self.w.cli('gate', '-h').out
                for words in ('usage: carewallet gate on', '--listen ADDRESS:PORT', 'usage: carewallet gate off'):
                        self.assertIn(words, out)
                self.assertEqual(self.w.cli('help', 'gate').out, out)
                self.assertEqual(self.w.cli('gate', code=USAGE).err, out)
                self.w.cli('help', 'gates', code=USAGE)

        def test_times_are_those_of_the_wallet_whatever_this_machine_thinks(self):
                env, self.w.env = self.w.env, {**self.w.env, 'TZ': 'Asia/Tokyo'}
                try:
                        self.w.cli('grant', 'endo', '--preset', 'visit', '--yes', '--out', self.w.path('zone.grant'))
                        self.assertEqual(self.w.json('grants')[-1]['issued'][-1], 'Z')
                        for args in (['log'], ['grants'], ['preview', 'endo'], ['imports'], ['imports', 'show', '1'], ['provider', 'list']):
                                with self.subTest(args):
                                        out = self.w.cli(*args).out
                                        self.assertRegex(out, r'\d\d:\d\d CES?T')
                                        self.assertNotIn('JST', out)
                        self.assertEqual(self.w.cli('log', '--json').rows[0]['time'][-1], 'Z')
                finally:
                        self.w.env = env
                        self.w.cli('revoke', 'endo')

        def test_a_report_counts_what_came_in(self):
                report, = self.report
                self.assertEqual(report['file'], self.w.path('ten.csv'))
                self.assertEqual(report['inserted'], sum(n['inserted'] for n in report['by_kind'].values()))
                records = self.w.json('status')['records']
                self.assertEqual(records['cgm'], report['by_kind']['cgm']['inserted'])

        def test_the_same_file_twice_adds_nothing(self):
                before = self.w.json('status')['records']
                again, = self.w.json('import', self.w.path('ten.csv'), code=None)
                self.assertEqual((again['inserted'], again['superseded']), (0, 0))
                self.assertEqual(self.w.json('status')['records'], before)

        def test_one_bad_file_does_not_keep_the_others_out(self):
                os.mkfifo(self.w.path('fifo'))
                write(self.w.path('empty.csv'), '')
                write(self.w.path('other.csv'), 'a,b\n1,2\n')
                names = [self.w.path(n) for n in ('fifo', 'empty.csv', 'other.csv', 'none.csv', '')] + ['/dev/null']
                result = self.w.cli('import', '--json', *names, self.w.path('ten.csv'), code=PARTLY)
                self.assertEqual(['refused' in r for r in result.json], [True] * 6 + [False])
                self.assertEqual(result.json[0]['file'], names[0])
                result = self.w.cli('import', *names, code=REFUSED)
                for words in 'pipe', 'empty', 'no such file', 'folder', 'device':
                        self.assertIn(words, result.err)

        def test_rows_that_are_rejected_are_named_and_the_rest_is_stored(self):
                with open(self.w.path('ten.csv'), encoding='utf-8') as f:
                        text = f.read()
                broken = text.replace('2025/03/14', '2025/13/14', 1) if '2025/03/14' in text else None
                if broken is None:
                        day = re.search(r'\d{4}/\d\d/\d\d;\d\d:\d\d:\d\d', text).group(0)
                        broken = text.replace(day, '2025/13/14' + day[10:], 1)
                result = self.w.cli('import', write(self.w.path('broken.csv'), broken), code=PARTLY)
                self.assertRegex(result.out, r'line \d+: ')
                report, = self.w.cli('import', self.w.path('broken.csv'), '--json', code=PARTLY).json
                self.assertEqual(len(report['rejected']), report['rejected_count'])
                self.assertEqual(set(report['rejected'][0]), {'line', 'reason'})

        def test_both_days_of_a_period_are_included(self):
                rows = self.w.cli('show', '--kind', 'cgm', '--from', '2025-03-12', '--to', '2025-03-13', '--json').rows
                self.assertEqual({r['local_time'][:10] for r in rows}, {'2025-03-12', '2025-03-13'})
                for row in rows[:5]:
                        self.assertTrue({'kind', 'time', 'local_time', 'value', 'unit'} <= set(row))
                table = self.w.cli('show', '--kind', 'cgm', '--from', '2025-03-12', '--to', '2025-03-13').out.splitlines()
                self.assertEqual(len(table), len(rows) + 1)
                csv = self.w.cli('show', '--kind', 'cgm', '--from', '2025-03-12', '--to', '2025-03-13', '--csv').out.splitlines()
                self.assertEqual(len(csv), len(rows) + 1)
                self.assertTrue(csv[0].startswith('kind,time,local_time,value,unit'))

        def test_a_person_sees_the_last_day_and_a_program_everything(self):
                result = self.w.cli('show', '--kind', 'cgm')
                days = {line[:10] for line in result.out.splitlines()[:-1]}
                self.assertEqual(len(days), 1)
                self.assertIn(days.pop(), result.err)
                every = self.w.cli('show', '--kind', 'cgm', '--json').rows
                self.assertEqual(len(every), self.w.json('status')['records']['cgm'])

        def test_an_export_has_every_record(self):
                path = self.w.path('all.ndjson')
                self.assertIn('records in', self.w.cli('export', '--format', 'ndjson', '--out', path).out)
                with open(path) as f:
                        rows = [json.loads(line) for line in f]
                self.assertEqual(len(rows), sum(self.w.json('status')['records'].values()))
                self.assertEqual(self.w.cli('export', '--format', 'ndjson').rows, rows)

        def test_an_output_that_nobody_takes_harms_nobody(self):
                with open('/dev/full', 'w') as full:
                        for _ in range(5):
                                p = subprocess.run([CLI, 'export', '--format', 'csv'], env=self.w.env, stdout=full, stderr=subprocess.PIPE)
                                self.assertEqual(p.returncode, REFUSED, p.stderr)
                self.w.cli('export', '--format', 'csv', '--out', '/dev/full', code=REFUSED)
                stalled = start([CLI, 'export', '--format', 'ndjson'], self.w.env, stdout=subprocess.PIPE)
                try:
                        self.w.cli('status')
                        self.w.cli('log')
                finally:
                        stalled.kill()
                        stalled.communicate()
                self.assertFalse(self.w.is_locked())

        def test_a_private_key_is_refused(self):
                path = write(self.w.path('private.jwk'), json.dumps({**JWK, 'd': 'nWGxne_9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A'}))
                self.assertIn('PRIVATE', self.w.cli('provider', 'add', 'x', '--key', path, code=REFUSED).err)
                for text in '', '{}', 'x', json.dumps({**JWK, 'crv': 'X25519'}), json.dumps({**JWK, 'x': 'AAAA'}), '{' * 70000:
                        write(path, text)
                        self.w.cli('provider', 'add', 'x', '--key', path, code=REFUSED)
                self.assertEqual([p['name'] for p in self.w.json('provider', 'list')], ['endo'])

        def test_a_grant_is_shown_and_asked_for_on_a_terminal(self):
                out = self.w.path('asked.grant')
                t = Terminal(self.w, 'grant', 'endo', '--preset', 'visit', '--out', out)
                t.unlock()
                t.expect('Make this grant? [y/N]')
                t.type('n\n')
                self.assertEqual(t.end()[0], REFUSED)
                self.assertFalse(os.path.exists(out))
                t = Terminal(self.w, 'grant', 'endo', '--preset', 'visit', '--out', out)
                t.unlock()
                t.expect('nagup-soruv')
                t.expect('Make this grant? [y/N]')
                t.type('y\n')
                self.assertEqual(t.end()[0], 0)
                with open(out) as f:
                        self.assertRegex(f.read(), r'^[\w-]+\.[\w-]+\.[\w-]+\n$')
                self.assertEqual(os.stat(out).st_mode & 0o777, 0o600)
                n = len(self.w.json('grants'))
                self.assertIn('exists', self.w.cli('grant', 'endo', '--preset', 'visit', '--out', out, '--yes', code=REFUSED).err)
                self.w.cli('grant', 'endo', '--preset', 'visit', '--out', '/nonexistent/x', '--yes', code=REFUSED)
                self.w.cli('grant', 'nobody', '--preset', 'visit', '--out', self.w.path('y'), '--yes', code=REFUSED)
                self.assertFalse(os.path.exists(self.w.path('y')))
                self.assertEqual(len(self.w.json('grants')), n)

        def test_options_of_a_grant_reach_it(self):
                answer = self.w.json('grant', 'endo', '--preset', 'endocrinologist', '--for', '2w', '--from', '2025-03-10', '--to', '2025-03-14', '--kinds',
                                     'cgm,bolus', '--identity', 'none', '--no-newer', '--uses', '7', '--purpose', 'CAREMGT', '--free-text', '--yes',
                                     '--out', self.w.path('options.grant'))
                grant = answer['grant']
                self.assertEqual((grant['kinds'], grant['identity'], grant['uses_max'], grant['purpose'], grant['free_text'], grant['detail']),
                                 (['cgm', 'bolus'], 'none', 7, 'CAREMGT', True, 'data'))
                self.assertEqual(grant['window'], {'from': '2025-03-10', 'to': '2025-03-14', 'newer': False})
                self.assertIn(grant, self.w.json('grants'))

                preview = self.w.cli('preview', 'endo')
                for words in 'CGM', 'In all', 'in range', 'carewallet preview endo --format ndjson':
                        self.assertIn(words, preview.out)
                rows = self.w.cli('preview', 'endo', '--json').rows
                self.assertEqual({r['kind'] for r in rows if 'kind' in r}, {'cgm', 'bolus'})
                self.assertEqual(rows[-1]['end']['rows'], sum('kind' in r for r in rows))
                self.assertTrue(self.w.cli('preview', 'endo', '--format', 'csv').out.startswith('kind,'))
                self.assertIn('bands', self.w.cli('preview', 'endo', '--summary').json)

        def test_revoking_says_what_it_did(self):
                self.w.grant('endo', preset='visit')
                result = self.w.cli('revoke', 'endo', '--reason', 'moved away')
                self.assertIn('Nothing had been fetched', result.out)
                self.assertIn('nothing to end', self.w.cli('revoke', 'endo').out)
                self.assertFalse([g for g in self.w.json('grants') if g['state'] == 'active'])
                self.assertIn('moved away', self.w.cli('log').out)
                self.w.cli('revoke', 'nobody', code=REFUSED)
                self.w.cli('revoke', 'No Name', code=REFUSED)
                self.w.cli('preview', 'endo', code=REFUSED)

        def test_revoking_works_locked_and_with_the_daemon_dead(self):
                for how in 'locked', 'dead':
                        for what in ['endo'], ['--all']:
                                with self.subTest(how=how, what=what):
                                        self.w.grant('endo', preset='visit')
                                        if how == 'locked':
                                                self.w.lock()
                                        else:
                                                self.w.kill()
                                        self.assertIn('before anything is served', ' '.join(self.w.cli('revoke', *what).out.split()))
                                        if how == 'dead':
                                                self.w.cli('status', code=UNREACHABLE)
                                                self.w.start()
                                        self.assertEqual(self.w.json('status')['waiting'], 1)
                                        self.assertIn('Applied first: 1 revocation that waited', self.w.unlock().out)
                                        self.assertFalse([g for g in self.w.json('grants') if g['state'] == 'active'])

        def test_a_mistyped_name_that_waited_for_the_wallet_is_said_and_not_swallowed(self):
                for how in 'locked', 'dead':
                        with self.subTest(how=how):
                                self.w.grant('endo', preset='visit')
                                if how == 'locked':
                                        self.w.lock()
                                else:
                                        self.w.kill()
                                self.assertIn('could not be checked', ' '.join(self.w.cli('revoke', 'endo-klinik').out.split()))
                                if how == 'dead':
                                        self.w.start()
                                result = self.w.cli('unlock', '--json', '--passphrase-fd', '{}', passphrase=self.w.passphrase)
                                self.assertEqual((result.json['applied'], result.json['unknown']), (0, ['endo-klinik']))
                                self.assertRegex(' '.join(result.err.split()), '"endo-klinik".*you know no provider of that name, so it ended nothing')
                                self.assertTrue([g for g in self.w.json('grants') if g['state'] == 'active'])
                                entry = self.w.cli('log', '--json').rows[-1]
                                self.assertEqual((entry['type'], entry['name']), ('revocation-unknown', 'endo-klinik'))
                                self.assertIn('you know nobody named endo-klinik', self.w.cli('log').out)
                                self.assertEqual(self.w.json('status')['waiting'], 0)
                                self.w.cli('revoke', 'endo')

        def test_where_nobody_listens_it_is_looked_whether_a_daemon_runs(self):
                home = self.w.path('other-home')
                state = os.path.join(home, '.local', 'state', 'carewallet@mine')
                runtime = self.w.path('runtime')
                for path in os.path.dirname(state), runtime:
                        os.makedirs(path, 0o700)
                env = {**self.w.env, 'HOME': home, 'XDG_RUNTIME_DIR': runtime}
                del env['CAREWALLET_SOCKET']
                revoke = lambda: subprocess.run([CLI, 'revoke', '--all', '--wallet', 'mine'], env=env, capture_output=True, text=True)  # noqa: E731

                nowhere = revoke()  # it may run anywhere
                self.assertEqual(nowhere.returncode, UNREACHABLE)
                self.assertRegex(' '.join(nowhere.stderr.split()), "can't be told whether carewalletd runs.*may still be serving")
                self.assertNotIn('nothing is served', nowhere.stderr)

                os.symlink(self.w.state, state)  # where the unit keeps it, as its daemon listens elsewhere
                running = revoke()
                self.assertEqual(running.returncode, UNREACHABLE)
                self.assertRegex(' '.join(running.stderr.split()), 'carewalletd runs, but.*may still be serving')
                self.assertEqual(self.w.json('status')['waiting'], 1)
                self.w.kill()
                dead = revoke()
                self.w.start()
                self.assertEqual(dead.returncode, 0, dead.stderr)
                self.assertIn('Nothing is served while carewalletd does not run', ' '.join(dead.stdout.split()))
                self.w.unlock()
                self.assertEqual(self.w.json('status')['waiting'], 0)

        def test_a_dead_daemon_that_was_never_met_can_be_revoked_with_its_state(self):
                self.w.grant('endo', preset='visit')
                self.w.kill()
                try:
                        env = {**self.w.env, 'HOME': self.w.path('stranger')}
                        os.makedirs(env['HOME'], exist_ok=True)
                        p = subprocess.run([CLI, 'revoke', '--all'], env=env, capture_output=True, text=True)
                        self.assertEqual(p.returncode, UNREACHABLE)
                        self.assertIn('--state-dir', p.stderr)
                        p = subprocess.run([CLI, 'revoke', '--all', '--state-dir', self.w.state], env=env, capture_output=True, text=True)
                        self.assertEqual(p.returncode, 0, p.stderr)
                finally:
                        self.w.start()
                self.w.unlock()
                self.assertFalse([g for g in self.w.json('grants') if g['state'] == 'active'])

        def test_the_log_is_told_in_plain_words_and_whole(self):
                entries = self.w.cli('log', '--json').rows
                self.assertEqual([e['index'] for e in entries], list(range(len(entries))))
                self.assertEqual(len(self.w.cli('log').out.splitlines()), len(entries))
                last = self.w.cli('log', '--json', '--limit', 2).rows
                self.assertEqual([e['index'] for e in last], [len(entries) - 2, len(entries) - 1])
                self.assertEqual(len(self.w.cli('log', '--json', '--limit', 100000).rows), len(entries))

        def test_the_passphrase_is_asked_for_when_it_is_needed(self):
                t = Terminal(self.w, 'grants')  # a session of its own
                t.expect('Passphrase: ')
                t.wait_echo(False)
                t.type('wrong\n')
                t.expect('not the right passphrase')
                t.expect('Passphrase: ')
                t.wait_echo(False)
                t.type(PASSPHRASE + '\n')
                code, text = t.end()
                self.assertEqual(code, 0, text)
                p = start([CLI, 'grants', '--json'], self.w.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True)
                out, err = p.communicate()
                self.assertEqual((p.returncode, out), (PASSPHRASE_NEEDED, ''))
                self.assertIn('carewallet unlock', err)
                p = start([CLI, 'grants', '--json', '--passphrase-fd', '{}'], self.w.env, PASSPHRASE, stdout=subprocess.PIPE, start_new_session=True)
                self.assertIsInstance(json.loads(p.communicate()[0]), list)

        def test_colour_is_for_terminals_that_want_it(self):
                self.assertNotIn('\x1b', self.w.cli('status').out)
                self.assertNotIn('\x1b[', Terminal(self.w, 'status').end()[1])  # NO_COLOR
                no_color = self.w.env.pop('NO_COLOR')
                try:
                        self.assertIn('\x1b[', Terminal(self.w, 'status').end()[1])
                        self.assertNotIn('\x1b', self.w.cli('status').out)
                finally:
                        self.w.env['NO_COLOR'] = no_color

        def test_completion_knows_verbs_options_and_names(self):
                def words(*line):
                        return self.w.cli('completion', '--words', '--', *line).out.split('\n')[:-1]
                self.assertIn('grant', words(''))
                self.assertIn('add', words('provider', ''))
                self.assertIn('--preset', words('grant', 'endo', '--'))
                self.assertEqual(words('grant', 'endo', '--preset', ''), ['endocrinologist', 'visit', 'caregiver', 'research-summary'])
                self.assertEqual(words('').count('gate'), 1)
                self.assertEqual(words('show', '--kind', 'cgm,b')[:2], ['cgm,cgm', 'cgm,fingerstick'])
                self.assertEqual(words('completion', ''), ['bash', 'zsh', 'fish'])
                self.assertEqual(words('revoke', ''), ['endo'])
                self.assertEqual(words('import', ''), [])  # files
                for shell, program in ('bash', 'bash'), ('zsh', 'zsh'), ('fish', 'fish'):
                        script = write(self.w.path('completion'), self.w.cli('completion', shell).out)
                        if shutil.which(program):
                                subprocess.run([program, '-n', script], check=True)


if __name__ == '__main__':
        unittest.main()
