# SPDX-License-Identifier: Apache-2.0
"""A grant ends by itself, in the middle of a stream too, and no clock brings it back."""

import os
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import BUFFERED_MAX, FORM, Clinic, Stream, Template, World, form, is_whole  # noqa: E402


class Expiry(unittest.TestCase):
        @classmethod
        def setUpClass(cls):
                cls.template = Template(days=300)

        def setUp(self):
                self.w = World(self.template)
                self.addCleanup(self.w.close)
                self.long = Clinic(self.w, 'long', '--for', '2h', '--last', '365d')
                self.clinic = Clinic(self.w, 'clinic', '--for', '1h', '--last', '365d')
                self.client = self.clinic.client()
                self.addCleanup(self.client.close)

        def until_expired(self, timeout_s=10):
                end = time.monotonic() + timeout_s
                while not self.clinic.entries('expired'):
                        self.assertLess(time.monotonic(), end, 'not expired in time')
                        time.sleep(0.02)

        def refused(self, clinic, status, error):
                self.assertEqual(clinic.refusal(), (status, error))

        def test_it_ends_by_itself_with_a_stream_open(self):
                stream = Stream(self.client)
                other = self.long.client()
                self.addCleanup(other.close)
                theirs = other.get('/slice')
                self.w.clock.set(3600 - 4)
                begin = time.monotonic()
                while not self.clinic.entries('expired'):
                        stream.read(1024)
                        time.sleep(0.1)
                self.assertGreater(time.monotonic() - begin, 2)
                n = stream.drain()
                print(f'{n} bytes came after the grant had ended, {stream.n} in all; the end: {stream.error!r}', file=sys.stderr)
                self.assertLessEqual(n, BUFFERED_MAX)
                self.assertFalse(stream.has_end_mark or stream.whole)
                self.assertIsInstance(stream.error, ConnectionResetError)
                cut, = self.clinic.entries('release-ended')
                self.assertEqual((cut['state'], cut['by']), ('cut', 'expired'))
                self.assertGreater(cut['bytes'], 0)
                self.assertEqual(self.clinic.state, 'expired')
                self.refused(self.clinic, 400, 'invalid_grant')

                # and nobody else's
                self.assertTrue(is_whole(theirs.read()))
                self.assertEqual(self.long.state, 'active')

        def test_a_clock_that_jumps_ahead_ends_it_and_one_that_jumps_back_does_not_revive_it(self):
                self.w.clock.set(3601)
                self.until_expired()
                self.refused(self.clinic, 400, 'invalid_grant')
                self.w.clock.set(0)
                self.assertTrue(self.w.json('status')['clock_behind'])
                self.refused(self.clinic, 503, 'temporarily_unavailable')
                self.refused(self.long, 503, 'temporarily_unavailable')
                self.assertEqual(self.w.cli('preview', 'long', code=None).code, 1)

                # nor when the patient says that the clock is right, nor after a restart
                self.assertNotIn('error', self.w.call('AcceptClock'))
                self.assertFalse(self.w.json('status')['clock_behind'])
                self.assertIsNone(self.long.refusal())
                self.refused(self.clinic, 400, 'invalid_grant')
                self.assertEqual(self.clinic.state, 'expired')
                self.w.restart()
                self.w.unlock()
                self.assertEqual(self.clinic.state, 'expired')
                self.w.wait_gate()
                self.refused(self.clinic, 400, 'invalid_grant')
                self.assertIsNone(self.long.refusal())
                self.assertEqual(len(self.clinic.entries('expired')), 1)
                self.assertEqual(len(self.w.ledger(type='clock-accepted')), 1)

        def test_it_ends_while_the_daemon_does_not_run(self):
                self.w.kill()
                self.w.clock.set(3601)
                self.w.start()
                self.w.unlock()
                self.assertEqual(len(self.clinic.entries('expired')), 1)
                self.w.wait_gate()
                self.refused(self.clinic, 400, 'invalid_grant')
                self.w.kill()
                self.w.clock.set(0)
                self.w.start()
                self.w.unlock()
                self.w.wait_gate()
                self.assertTrue(self.w.json('status')['clock_behind'])
                self.refused(self.long, 503, 'temporarily_unavailable')

        def test_a_token_does_not_outlive_its_grant(self):
                self.w.clock.set(3600 - 3)
                token = self.clinic.client(token=False)
                self.addCleanup(token.close)
                response = token.request('POST', '/token', form(self.clinic.jwt), FORM)
                self.assertRegex(response.read(), rb'"expires_in":[123],')

        def test_a_minute_is_the_shortest_grant(self):
                answer = self.w.call('Grant', provider='clinic', preset='visit', forS=59)
                self.assertEqual(answer.get('error'), 'org.carewallet.Refused')
                answer = self.w.call('Grant', provider='clinic', preset='visit', forS=60)
                self.assertNotIn('error', answer)


if __name__ == '__main__':
        unittest.main(verbosity=2)
