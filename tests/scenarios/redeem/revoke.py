# SPDX-License-Identifier: Apache-2.0
"""When revoke has returned nothing more leaves: not on a stream, not to a poller, not by a gate that hangs."""

import json
import os
import signal
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import ALL, BUFFERED_MAX, Clinic, Poller, Slow, Template, Varlink, World, generate, is_whole, say, wait_for  # noqa: E402


class Revoke(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.big = Template(days=365)

        def world(self):
                w = World(self.big)
                self.addCleanup(w.close)
                return w

        def clinic(self, w, name, *terms, **options):
                return Clinic(w, name, *(terms or ALL), **options)

        def was_cut(self, slow, clinic, n_entries=1):
                n = slow.finish()
                self.assertLessEqual(n, BUFFERED_MAX)
                self.assertIsInstance(slow.stream.error, ConnectionResetError)
                self.assertFalse(slow.stream.has_end_mark or slow.stream.whole or slow.stream.ended)
                ended = clinic.entries('release-ended')
                self.assertEqual([(entry['state'], entry['by']) for entry in ended], [('cut', 'revoked')] * n_entries)
                return n

        def test_a_stream_is_cut_and_another_goes_on(self):
                w = self.world()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                slow = Slow(clinic)
                theirs = other.client()
                self.addCleanup(theirs.close)
                response = theirs.get('/slice')
                body = response.read(1000)
                time.sleep(2)
                begin = time.monotonic()
                answer = w.cli('revoke', 'clinic', '--json').json
                taken_ms = (time.monotonic() - begin) * 1000
                before = slow.stream.n
                n = self.was_cut(slow, clinic)
                say(f'{before} bytes before revoke returned, {n} after; it took {taken_ms:.0f} ms')
                self.assertEqual((answer['revoked'], answer['streams_cut'], answer['durable'], answer['spooled']), (1, 1, True, False))
                self.assertGreaterEqual(answer['bytes_handed_out'], len(slow.stream.text) - 4096)
                self.assertEqual([grant['uses'] for grant in answer['fetched']], [1])
                self.assertEqual((clinic.state, len(clinic.entries('revoked'))), ('revoked', 1))
                self.assertTrue(is_whole(body + response.read()))
                self.assertEqual([entry['state'] for entry in other.entries('release-ended')], ['complete'])

        def test_nothing_is_answered_after_the_acknowledgement(self):
                w = self.world()
                clinic = self.clinic(w, 'clinic')
                n_before, n_after = 0, 0
                for _ in range(8):
                        token = clinic.client()
                        pollers = [Poller(clinic), Poller(clinic, token.access_token), Poller(clinic, token.access_token)]
                        time.sleep(0.2)
                        self.assertEqual(w.call('Revoke', provider='clinic')['parameters']['revoked'], 1)
                        acknowledged = time.monotonic()
                        time.sleep(0.15)
                        for poller in pollers:
                                poller.finish()
                                self.assertIn(200, {status for _, status in poller.answers})
                                self.assertLessEqual(poller.since(acknowledged), {0, 400, 401})
                                self.assertTrue(poller.since(acknowledged) & {400, 401})
                                n_before += sum(status == 200 for _, status in poller.answers)
                                n_after += sum(begun >= acknowledged for begun, _ in poller.answers)
                        token.close()
                        clinic.grant_again(*ALL)
                say(f'{n_before} answers before, {n_after} questions after the acknowledgement, none of them answered')

        def test_revoke_all_ends_every_stream(self):
                w = self.world()
                clinics = [self.clinic(w, f'clinic-{i}') for i in range(4)]
                streams = [Slow(clinic) for clinic in clinics]
                time.sleep(0.5)
                answer = w.cli('revoke', '--all', '--json').json
                self.assertEqual((answer['revoked'], answer['streams_cut']), (4, 4))
                for slow, clinic in zip(streams, clinics):
                        self.was_cut(slow, clinic)
                        self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))

        def test_a_caller_that_hangs_up_has_revoked_all_the_same(self):
                w = self.world()
                clinic = self.clinic(w, 'clinic')
                slow = Slow(clinic)
                time.sleep(0.5)
                v = Varlink(w.socket)
                v.send('Revoke', {'provider': 'clinic'})
                v.close()
                wait_for(lambda: clinic.entries('release-ended'), what='the stream has ended')
                self.was_cut(slow, clinic)
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))

        def test_a_caller_that_asks_more_in_one_breath_gets_every_answer(self):
                w = self.world()
                clinic = self.clinic(w, 'clinic')
                clinic.client().close()
                calls = ('Status', {}), ('Revoke', {'provider': 'clinic'}), ('ListGrants', {}), ('Status', {})
                with Varlink(w.socket) as v:
                        v.socket.sendall(b''.join(json.dumps({'method': 'org.carewallet.' + method, 'parameters': parameters}).encode() + b'\0'
                                                  for method, parameters in calls))
                        replies = [v.receive()['parameters'] for _ in calls]
                self.assertEqual((replies[0]['grants'], replies[1]['revoked'], replies[2]['grants'][0]['state'], replies[3]['grants']), (1, 1, 'revoked', 0))

        def test_a_gate_that_hangs_is_killed_and_comes_back(self):
                w = self.world()
                clinic, other = self.clinic(w, 'clinic'), self.clinic(w, 'other')
                slow = Slow(clinic)
                time.sleep(0.5)
                gate = w.pid_of('carewallet-gate')
                os.kill(gate, signal.SIGSTOP)
                begin = time.monotonic()
                answer = w.cli('revoke', 'clinic', '--json').json
                taken_ms = (time.monotonic() - begin) * 1000
                self.assertTrue(answer['durable'])
                n = slow.finish()
                say(f'{n} bytes after revoke returned; it took {taken_ms:.0f} ms with a gate that hangs')
                self.assertLessEqual(n, BUFFERED_MAX)
                self.assertFalse(slow.stream.has_end_mark or slow.stream.whole)
                w.wait_gate()
                self.assertNotIn(w.pid_of('carewallet-gate'), (None, gate))
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                self.assertIsNone(other.refusal())
                self.assertEqual([(entry['state'], entry['by']) for entry in clinic.entries('release-ended')], [('cut', 'revoked')])

        def test_it_waits_neither_for_an_import_nor_for_ten_streams(self):
                w = self.world()
                clinic = self.clinic(w, 'clinic')
                csv = w.path('years.csv')
                generate(csv, '--days', 730, '--end', self.big.first.replace(day=1), '--seed', 6)
                streams = [Slow(clinic) for _ in range(10)]
                importing = w.start_cli('import', csv)
                wait_for(lambda: w.pid_of('carewallet-import'), what='the import begins')
                time.sleep(0.2)
                begin = time.monotonic()
                answer = w.cli('revoke', 'clinic', '--json').json
                taken_ms = (time.monotonic() - begin) * 1000
                self.assertIsNone(importing.poll(), 'the import was over too soon to say anything')
                n = [self.was_cut(slow, clinic, 10) for slow in streams]
                say(f'at most {max(n)} bytes a stream after revoke returned; it took {taken_ms:.0f} ms beside an import and ten streams')
                self.assertEqual((answer['revoked'], answer['streams_cut']), (1, 10))
                self.assertEqual(clinic.refusal(), (400, 'invalid_grant'))
                out, err = importing.communicate(timeout=60)
                self.assertEqual(importing.returncode, 0, out + err)


if __name__ == '__main__':
        unittest.main(verbosity=2)
