# SPDX-License-Identifier: Apache-2.0
"""The gate as it ships, with real TLS clients; the test is its core."""

import os
import re
import socket
import ssl
import struct
import subprocess
import sys
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import core as c  # noqa: E402
from core import Core  # noqa: E402

GRANT_TYPE = 'grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Ajwt-bearer'
FORM = {'Content-Type': 'application/x-www-form-urlencoded'}


class Gate(unittest.TestCase):
        address = '127.0.0.1:0'

        def setUp(self):
                self.core = Core(self.address, KEY)
                self.addCleanup(self.core.__exit__)

        def client(self, **options):
                client = self.core.connect(**options)
                self.addCleanup(client.__exit__)
                return client

        def no_request(self):
                """Nothing has reached the core: what does next is the one sent here."""
                with self.core.connect() as client:
                        client.get('/summary')
                        request = self.core.request()
                        self.assertEqual(request.operation, c.SUMMARY)
                        self.core.reply(request.number, body=b'{}')
                        self.assertEqual(client.answer().body, b'{}')
                        self.core.wait_closed(request.number)


class Requests(Gate):
        def test_a_token_request_becomes_a_frame_with_the_hash_of_the_assertion(self):
                client = self.client()
                client.post(GRANT_TYPE + '&assertion=aa.bb.cc-_9')
                request = self.core.request()
                self.assertEqual(request.operation, c.TOKEN)
                self.assertEqual(request.flags, c.HAS_CREDENTIAL | c.HAS_PROOF)
                self.assertEqual(request.credential, c.sha256(b'aa.bb.cc-_9'))
                self.assertEqual(request.proof, c.PROOF)
                self.core.reply(request.number, grant=7, nonce='n' * 43, body=b'{"access_token":"x"}')
                answer = client.answer()
                self.assertEqual((answer.status, answer.body), (200, b'{"access_token":"x"}'))
                self.assertEqual(answer.headers['content-type'], 'application/json')
                self.assertEqual(answer.headers['cache-control'], 'no-store')
                self.assertEqual(answer.headers['x-content-type-options'], 'nosniff')
                self.assertEqual(answer.headers['dpop-nonce'], 'n' * 43)
                self.assertEqual(self.core.wait_closed(request.number), (20, True))

        def test_narrowing_parameters_reach_the_core(self):
                client = self.client()
                client.get('/slice?since=2026-01-02T03:04:05.5%2B01:00&kinds=cgm,bolus&from=2025-12-31&to=1970-01-02&format=csv')
                request = self.core.request()
                self.assertEqual(request.operation, c.SLICE)
                self.assertEqual(request.format, c.CSV)
                self.assertEqual(request.flags, 31)
                self.assertEqual(request.kinds, 1 << 1 | 1 << 4)
                self.assertEqual((request.from_day, request.to_day), (20453, 1))
                self.assertEqual(request.since, 1767319445500)

        def test_a_request_without_a_proof_is_for_the_core_to_refuse(self):
                client = self.client()
                client.get('/summary', {'Authorization': 'dpop ' + c.TOKEN_TEXT})
                request = self.core.request()
                self.assertEqual(request.flags, c.HAS_CREDENTIAL)
                self.assertEqual(request.proof, '')

        def test_requests_that_are_sent_without_waiting_are_answered_in_order(self):
                client = self.client()
                for i in range(5):
                        client.get(f'/slice?from=1970-01-0{i + 1}')
                for i in range(5):
                        request = self.core.request()
                        self.assertEqual(request.from_day, i)
                        self.core.reply(request.number, body=b'%d' % i)
                        self.assertEqual(client.answer().body, b'%d' % i)
                        self.core.wait_closed(request.number)

        def test_the_errors_of_the_core_become_those_of_oauth(self):
                resource = {c.INVALID_REQUEST: (400, 'invalid_request'), c.INVALID_GRANT: (401, 'invalid_token'),
                            c.INVALID_DPOP_PROOF: (401, 'invalid_dpop_proof'), c.USE_DPOP_NONCE: (401, 'use_dpop_nonce'),
                            c.INVALID_TOKEN: (401, 'invalid_token'), c.INSUFFICIENT_SCOPE: (403, 'insufficient_scope'),
                            c.NOT_ENOUGH_DATA: (404, 'not_enough_data'), c.UNAVAILABLE: (503, 'temporarily_unavailable'),
                            c.SERVER_ERROR: (500, 'server_error')}
                token = {**resource, c.INVALID_GRANT: (400, 'invalid_grant'), c.INVALID_DPOP_PROOF: (400, 'invalid_dpop_proof'),
                         c.USE_DPOP_NONCE: (400, 'use_dpop_nonce')}
                client = self.client()
                for errors, is_resource in ((resource, True), (token, False)):
                        for error, (status, code) in errors.items():
                                if is_resource:
                                        client.get('/summary')
                                else:
                                        client.post(GRANT_TYPE + '&assertion=a.b.c')
                                request = self.core.request()
                                self.core.reply(request.number, error, nonce='N1', message='why it is so')
                                answer = client.answer()
                                self.assertEqual(answer.status, status)
                                self.assertEqual(answer.body.decode(),
                                                 '{"error":"%s","error_description":"why it is so"}\n' % code)
                                self.assertEqual(answer.headers['dpop-nonce'], 'N1')
                                challenge = answer.headers.get('www-authenticate')
                                if status in (401, 403) and (is_resource or status == 401):
                                        self.assertEqual(challenge, f'DPoP error="{code}", error_description="why it is so", '
                                                                    'algs="EdDSA Ed25519"')
                                else:
                                        self.assertIsNone(challenge)

        def test_what_is_not_well_formed_is_refused_by_the_gate_and_counted(self):
                auth = {'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'DPoP': c.PROOF}
                jwt = '&assertion=a.b.c'
                gets = [
                        ('/', auth, 404), ('/slice/', auth, 404), ('//slice', auth, 404), ('/token', auth, 405),
                        ('/SLICE', auth, 404), ('/slice?', auth, 400), ('/slice?since=yesterday', auth, 400),
                        ('/slice?format=xml', auth, 400), ('/slice?format=', auth, 400), ('/slice?kinds=cgm,', auth, 400),
                        ('/slice?kinds=cgm,cgm', auth, 400), ('/slice?kinds=sugar', auth, 400), ('/slice?from=2025-02-29', auth, 400),
                        ('/slice?to=2025-1-1', auth, 400), ('/slice?from=2025-01-01&from=2025-01-01', auth, 400),
                        ('/slice?form=2025-01-01', auth, 400), ('/slice?from=%0A', auth, 400), ('/slice?from=%2', auth, 400),
                        ('/slice?&from=2025-01-01', auth, 400), ('/summary?from=2025-01-01', auth, 400),
                        ('/slice', {}, 401), ('/slice', {'Authorization': 'Bearer ' + c.TOKEN_TEXT}, 401),
                        ('/slice', {'Authorization': 'DPoP ' + c.TOKEN_TEXT[:-1]}, 401),
                        ('/slice', {'Authorization': 'DPoP ' + c.TOKEN_TEXT[:-1] + 'B'}, 401),
                        ('/slice', {'Authorization': 'DPoP ' + c.TOKEN_TEXT + 'A'}, 401),
                        ('/slice', {'Authorization': 'DPoP ' + '+' * 43}, 401),
                        ('/slice', [*auth.items(), ('DPoP', c.PROOF)], 401),
                        ('/slice', [*auth.items(), ('Authorization', 'DPoP ' + c.TOKEN_TEXT)], 400),
                        ('/slice', {**auth, 'DPoP': 'a.b'}, 401), ('/slice', {**auth, 'DPoP': 'a.b.c,d.e.f'}, 401),
                        ('/slice', {**auth, 'Accept': 'application/json'}, 406),
                        ('/slice', {**auth, 'Accept': 'text/csv;q=0'}, 406),
                ]
                posts = [
                        ('', FORM, 400), (GRANT_TYPE, FORM, 400), (jwt[1:], FORM, 400), (GRANT_TYPE + jwt + jwt, FORM, 400),
                        (GRANT_TYPE + jwt + '&scope=all', FORM, 400), ('grant_type=password' + jwt, FORM, 400),
                        (GRANT_TYPE + '&assertion=a.b', FORM, 400), (GRANT_TYPE + '&assertion=a.b.c%00', FORM, 400),
                        (GRANT_TYPE + jwt, {}, 415), (GRANT_TYPE + jwt, {'Content-Type': 'application/json'}, 415),
                        (GRANT_TYPE + jwt, [*FORM.items(), ('DPoP', 'a')], 400),
                ]
                n = 0
                client = self.client()
                for target, headers, status in gets:
                        with self.subTest(target=target, headers=headers):
                                client.get(target, headers)
                                answer = client.answer()
                                self.assertEqual(answer.status, status, answer.body)
                                self.assertRegex(answer.body, rb'^\{"error":"[a-z_]+","error_description":"[^"\\]+"\}\n$')
                                n += 1
                for body, headers, status in posts:
                        with self.subTest(body=body, headers=headers):
                                client.post(body, headers)
                                self.assertEqual(client.answer().status, status)
                                n += 1
                for method in ('HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'TRACE', 'PATCH', 'BREW'):
                        with self.subTest(method=method):
                                client.get('/slice', auth, method=method)
                                answer = client.answer(is_head=method == 'HEAD')
                                self.assertEqual((answer.status, answer.headers['allow']), (405, 'GET'))
                                n += 1
                client.get('/token', auth)
                answer = client.answer()
                self.assertEqual((answer.status, answer.headers['allow']), (405, 'POST'))
                n += 1
                self.no_request()
                while self.core.strangers == 0:
                        self.core.wait(c.STRANGERS)
                self.assertEqual(self.core.strangers, 1, 'the first is told at once, the rest not within the same minute')
                self.assertGreater(n, 50)

        def test_who_brings_no_token_is_told_no_error(self):
                client = self.client()
                client.get('/slice', {})
                self.assertEqual(client.answer().headers['www-authenticate'], 'DPoP algs="EdDSA Ed25519"')

        def test_the_form_of_a_slice_follows_accept_and_a_parameter_beats_it(self):
                client = self.client()
                for accept, target, form in ((None, '', c.NDJSON), ('*/*', '', c.NDJSON), ('text/csv', '', c.CSV),
                                             ('text/*, application/json', '', c.CSV), ('text/csv, application/x-ndjson', '', c.NDJSON),
                                             ('text/csv;q=0.9, application/x-ndjson;q=0.5', '', c.CSV),
                                             ('text/csv', '?format=ndjson', c.NDJSON), ('application/json', '?format=csv', c.CSV)):
                        headers = {'Authorization': 'DPoP ' + c.TOKEN_TEXT} | ({'Accept': accept} if accept else {})
                        client.get('/slice' + target, headers)
                        request = self.core.request()
                        self.assertEqual(request.format, form, accept)
                        self.core.reply(request.number, body=b'.')
                        client.answer()


class Limits(Gate):
        def test_an_address_of_2048_bytes_passes_and_one_more_does_not(self):
                client = self.client()
                target = '/slice?from=2025-01-01'
                for n, status in ((2048, 400), (2049, 414)):
                        client.get(target + '&' + 'x' * (n - len(target) - 1))
                        self.assertEqual(client.answer().status, status)

        def test_a_proof_of_4096_bytes_passes_and_one_more_does_not(self):
                client = self.client()
                client.get(headers={'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'DPoP': 'a.b.' + 'c' * 4092})
                request = self.core.request()
                self.assertEqual(len(request.proof), 4096)
                self.core.reply(request.number, body=b'.')
                client.answer()
                client.get(headers={'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'DPoP': 'a.b.' + 'c' * 4093})
                self.assertEqual(client.answer().status, 401)
                self.no_request()

        def test_headers_of_16_kib_pass_and_more_do_not(self):
                frame = len('GET /summary HTTP/1.1\r\nHost: localhost\r\nAuthorization: DPoP \r\nX: \r\n\r\n') + 43
                client = self.client()
                client.get('/summary', {'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'X': 'x' * (16384 - frame)})
                request = self.core.request()
                self.core.reply(request.number, body=b'.')
                self.assertEqual(client.answer().status, 200)
                client.get('/summary', {'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'X': 'x' * (16385 - frame)})
                self.assertEqual(client.answer().status, 431)
                client = self.client()
                client.get('/summary', {'X': 'x' * 40000})
                self.assertEqual(client.head()[0], 431)
                self.no_request()

        def test_a_body_of_16_kib_passes_and_more_is_not_read(self):
                client = self.client()
                start = GRANT_TYPE + '&assertion=a.b.'
                client.post(start + 'c' * (16384 - len(start)))
                request = self.core.request()
                self.assertEqual(request.credential, c.sha256(b'a.b.' + b'c' * (16384 - len(start))))
                self.core.reply(request.number, body=b'.')
                self.assertEqual(client.answer().status, 200)
                client.send('POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n'
                            'Content-Length: 16385\r\n\r\n')
                self.assertEqual(client.answer().status, 413)
                self.assertTrue(client.is_closed())
                self.no_request()

        def test_a_body_must_say_its_length(self):
                client = self.client()
                client.send('POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n'
                            'Transfer-Encoding: chunked\r\n\r\n')
                self.assertEqual(client.answer().status, 411)
                self.assertTrue(client.is_closed())
                client = self.client()
                client.send('POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n\r\n')
                self.assertEqual(client.answer().status, 411)
                for lengths in (('5', '6'), ('5', '5')):
                        client = self.client()
                        client.send('POST /token HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-www-form-urlencoded\r\n'
                                    'Content-Length: %s\r\nContent-Length: %s\r\n\r\nabcdef' % lengths)
                        self.assertEqual(client.answer().status, 400)
                client = self.client()
                client.post('abc', {'Authorization': 'DPoP ' + c.TOKEN_TEXT}, target='/slice', method='GET')
                self.assertEqual(client.answer().status, 400)
                self.no_request()

        def test_http_1_0_is_refused_because_a_slice_that_was_cut_would_look_whole(self):
                client = self.client()
                client.get(version='HTTP/1.0')
                self.assertEqual(client.head()[0], 505)
                self.no_request()

        def test_nonsense_ends_its_own_connection_only(self):
                other = self.client()
                for junk in (b'\0' * 1000, b'GET\r\n\r\n', b'\r\n' * 10000, os.urandom(50000), b'GET /slice HTTP/1.1\r\nHost: a\r\nX\0Y: 1\r\n\r\n'):
                        client = self.client()
                        try:
                                client.send(junk)
                                client.tls.shutdown(socket.SHUT_WR)
                        except OSError:
                                pass
                        client.is_closed()
                other.get('/summary')
                request = self.core.request()
                self.core.reply(request.number, body=b'.')
                self.assertEqual(other.answer().body, b'.')

        def test_loopback_has_48_connections_and_the_next_is_closed(self):
                clients = [self.client() for _ in range(48)]
                with self.assertRaises((OSError, EOFError)):
                        self.client()
                clients[0].tls.close()
                c_end = time.monotonic() + 10
                while True:
                        try:
                                self.client()
                                break
                        except OSError:
                                self.assertLess(time.monotonic(), c_end)
                clients[1].get('/summary')
                request = self.core.request()
                self.core.reply(request.number, body=b'.')
                self.assertEqual(clients[1].answer().body, b'.')

        def test_all_peers_together_have_64_connections_and_the_next_waits_its_turn(self):
                clients = [self.client(source=f'127.0.0.{1 + i % 2}') for i in range(64)]
                with socket.create_connection(self.core.peer, source_address=('127.0.0.3', 0)) as waiting:
                        # the one that waits is not accepted, while the others are served
                        clients[7].get('/summary')
                        request = self.core.request()
                        self.core.reply(request.number, body=b'.')
                        self.assertEqual(clients[7].answer().body, b'.')
                        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                        context.load_verify_locations(cadata=self.core.certificate)
                        clients[0].tls.close()
                        waiting.settimeout(10)
                        with context.wrap_socket(waiting, server_hostname='localhost') as tls:
                                tls.sendall(b'GET /nothing HTTP/1.1\r\nHost: localhost\r\n\r\n')
                                self.assertTrue(tls.recv(1000).startswith(b'HTTP/1.1 404'))

        def test_older_tls_and_plain_http_get_nothing(self):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                with socket.create_connection(self.core.peer) as raw, self.assertRaises(OSError):
                        context.wrap_socket(raw)
                with socket.create_connection(self.core.peer) as raw:
                        raw.sendall(b'GET /slice HTTP/1.1\r\nHost: a\r\n\r\n')
                        try:
                                self.assertNotIn(b'HTTP', raw.recv(1000))
                        except ConnectionError:
                                pass
                self.assertEqual(self.client().tls.version(), 'TLSv1.3')

        def test_a_core_that_does_not_read_gets_no_more_requests_after_half_a_megabyte(self):
                client = self.client()
                n_asked = 0
                while True:
                        client.get('/slice', {'Authorization': 'DPoP ' + c.TOKEN_TEXT, 'DPoP': 'a.b.' + 'c' * 4000})
                        client.tls.settimeout(0.5)
                        while True: # an answer that is there before its question is none: try again
                                time.sleep(0.002)
                                self.core.reply(n_asked + 1, body=b'.')
                                try:
                                        answer = client.answer()
                                        break
                                except TimeoutError:
                                        pass
                        if answer.status == 503:
                                break
                        n_asked += 1
                        self.assertLess(n_asked, 300)
                self.assertEqual(answer.headers['retry-after'], '10')
                self.assertGreater(n_asked, 100)
                for i in range(n_asked): # the core reads again, and nothing was lost
                        self.assertEqual(self.core.request().number, i + 1)
                self.assertEqual(self.core.wait_closed(n_asked), (1, True))
                self.no_request()


class Streams(Gate):
        def open(self, client, grant=0, content=c.NDJSON_BODY, target='/slice'):
                client.get(target)
                request = self.core.request()
                self.core.stream(request.number, grant, content)
                return request.number

        def test_a_stream_asks_for_the_next_chunk_while_it_sends_one(self):
                client = self.client()
                number = self.open(client)
                data = b''
                for i in range(20):
                        chunk = os.urandom(1 + i * 3449)
                        data += chunk
                        self.core.chunk(number, chunk)
                        while len(client.buffer) < len(chunk):
                                client.fill()
                        client.buffer = b''
                        self.core.wait_more(number)
                self.core.end(number)
                self.assertEqual(self.core.wait_closed(number), (len(data), True))

        def test_a_csv_stream_ends_with_a_trailer_and_the_connection_lives_on(self):
                client = self.client()
                for _ in range(2):
                        number = self.open(client, content=c.CSV_BODY)
                        self.core.chunk(number, b'a,b\n1,2\n')
                        self.core.end(number, True, 'rows=1; sha256=00')
                        answer = client.answer()
                        self.assertTrue(answer.whole)
                        self.assertEqual(answer.headers['content-type'], 'text/csv; charset=utf-8')
                        self.assertEqual(answer.headers['trailer'], 'Carewallet-Slice')
                        self.assertEqual(answer.body, b'a,b\n1,2\n')
                        self.assertEqual(answer.trailer, {'carewallet-slice': 'rows=1; sha256=00'})
                        self.assertEqual(self.core.wait_closed(number), (8, True))

        def test_a_stream_that_is_cut_does_not_end_as_a_whole_one_does(self):
                client = self.client()
                number = self.open(client)
                self.core.chunk(number, b'x' * 1000)
                self.core.wait_more(number)
                self.core.end(number, whole=False)
                answer = client.answer()
                self.assertFalse(answer.whole)
                self.assertEqual(self.core.wait_closed(number), (1000, False))

        def test_a_stream_may_be_empty(self):
                client = self.client()
                number = self.open(client)
                self.core.end(number)
                answer = client.answer()
                self.assertEqual((answer.status, answer.body, answer.whole), (200, b'', True))
                self.assertEqual(self.core.wait_closed(number), (0, True))

        def test_a_client_that_leaves_closes_its_request_once(self):
                client = self.client()
                number = self.open(client)
                client.tls.close()
                for _ in range(4):
                        self.core.chunk(number, b'x' * 65536)
                        kind, payload = self.core.frame()
                        if kind == c.CLOSED:
                                break
                self.assertEqual(kind, c.CLOSED)
                self.assertEqual(struct.unpack('<QQB', payload)[::2], (number, 0))
                self.core.chunk(number, b'late')
                self.core.end(number)
                self.no_request()

        def test_a_reset_leaves_a_slow_client_at_most_256_kib_and_no_end(self):
                # the client's own buffer is as the system makes it: what is in it can't be taken back
                client, other = self.client(), self.client()
                number, unhurt = self.open(client, grant=7), self.open(other, grant=8)
                n_made = 0
                while True: # until neither client nor kernel takes any more
                        self.core.chunk(number, os.urandom(65536))
                        n_made += 65536
                        try:
                                self.core.wait_more(number, timeout_s=1)
                        except AssertionError:
                                break
                n_read = 0
                for _ in range(16):
                        n_read += len(client.tls.recv(64))
                self.assertEqual(self.core.reset(7), 1)
                self.assertEqual(self.core.closed[number][1], False)
                self.assertLessEqual(self.core.closed[number][0], n_made)
                # below TLS, whose library in Python takes a reset for an end
                raw = socket.socket(fileno=os.dup(client.tls.fileno()))
                raw.settimeout(10)
                n_after = 0
                with raw, self.assertRaises(ConnectionResetError):
                        while data := raw.recv(65536):
                                n_after += len(data)
                self.assertLessEqual(n_after, 256 * 1024)
                self.core.chunk(unhurt, b'y' * 50000)
                self.core.end(unhurt)
                answer = other.answer()
                self.assertEqual((len(answer.body), answer.whole), (50000, True))

        def test_a_reset_ends_every_connection_that_has_carried_the_grant(self):
                waiting, idle, streaming, elsewhere, unused = (self.client() for _ in range(5))
                for client, grant in ((waiting, 7), (idle, 7), (elsewhere, 8)):
                        client.get('/summary')
                        request = self.core.request()
                        self.core.reply(request.number, grant=grant, body=b'.')
                        client.answer()
                        self.core.wait_closed(request.number)
                waiting.get('/summary')
                asked = self.core.request().number
                self.open(streaming, grant=7)
                self.assertEqual(self.core.reset(7), 3)
                self.assertEqual(self.core.closed[asked], (0, False))
                for client in (waiting, idle, streaming):
                        self.assertTrue(client.is_closed())
                self.core.reply(asked, grant=7, body=b'too late')
                for client in (elsewhere, unused):
                        client.get('/summary')
                        request = self.core.request()
                        self.core.reply(request.number, body=b'.')
                        self.assertEqual(client.answer().body, b'.')
                self.assertEqual(self.core.reset(7), 0)

        def test_a_reset_of_all_ends_all(self):
                clients = [self.client() for _ in range(10)]
                number = self.open(clients[0], grant=3)
                with socket.create_connection(self.core.peer): # in the handshake
                        while self.core.reset(0) == 0:
                                pass
                        for client in clients:
                                self.assertTrue(client.is_closed())
                self.assertEqual(self.core.closed[number][1], False)
                self.no_request()

        def test_a_connection_with_more_grants_than_are_remembered_ends_with_any(self):
                client = self.client()
                for grant in range(1, 11):
                        client.get('/summary')
                        request = self.core.request()
                        self.core.reply(request.number, grant=grant, body=b'.')
                        client.answer()
                        if grant == 8:
                                self.assertEqual(self.core.reset(99), 0)
                self.assertEqual(self.core.reset(99), 1)
                self.assertTrue(client.is_closed())

        def test_forty_streams_run_at_once(self):
                clients = [self.client() for _ in range(40)]
                numbers = [self.open(client) for client in clients]
                for turn in range(3):
                        for number in numbers:
                                self.core.chunk(number, bytes([65 + turn]) * 5000)
                        for number in numbers:
                                self.core.wait_more(number)
                for number in numbers:
                        self.core.end(number)
                for client in clients:
                        answer = client.answer()
                        self.assertEqual((answer.body, answer.whole), (b'A' * 5000 + b'B' * 5000 + b'C' * 5000, True))


class Foreign(Gate):
        address = '0.0.0.0:0'

        def test_a_peer_from_elsewhere_has_16_connections(self):
                with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
                        try:
                                s.connect(('192.0.2.1', 9)) # sends nothing; says which address this machine has towards others
                                here = s.getsockname()[0]
                        except OSError:
                                self.skipTest('this machine has no address but its own')
                clients = [self.client(host=here) for _ in range(16)]
                with self.assertRaises((OSError, EOFError)):
                        self.client(host=here)
                clients[0].get('/nothing')
                self.assertEqual(clients[0].answer().status, 404)
                self.client(host='127.0.0.1').get('/nothing')


class Ipv6(Gate):
        address = '[::1]:0'

        def setUp(self):
                try:
                        with socket.socket(socket.AF_INET6) as s:
                                s.bind(('::1', 0))
                except OSError:
                        self.skipTest('this machine has no IPv6')
                super().setUp()

        def test_the_gate_listens_on_ipv6(self):
                self.assertRegex(self.core.address, r'^\[::1\]:\d+$')
                self.no_request()


class Life(unittest.TestCase):
        def test_every_key_is_new_and_its_pin_is_that_of_the_certificate(self):
                again = c.a_key()
                self.assertNotEqual(again[0], KEY[0])
                self.assertNotEqual(again[2], KEY[2])
                def openssl(*args, data):
                        return subprocess.run(['openssl', *args], input=data, capture_output=True, check=True).stdout
                public = openssl('x509', '-pubkey', '-noout', data=KEY[1].encode())
                self.assertEqual(c.sha256(openssl('pkey', '-pubin', '-outform', 'DER', data=public)), KEY[2])
                described = openssl('x509', '-noout', '-text', data=KEY[1].encode()).decode().replace('CN = ', 'CN=')  # as OpenSSL 3.0 says it
                for fact in ('Subject: CN=carewallet gate', 'ASN1 OID: prime256v1', 'DNS:localhost, IP Address:127.0.0.1',
                             'CA:FALSE', 'TLS Web Server Authentication'):
                        self.assertIn(fact, described)

        def test_an_address_that_is_taken_or_no_address_is_said_in_words(self):
                with socket.socket() as s:
                        s.bind(('127.0.0.1', 0))
                        s.listen()
                        port = s.getsockname()[1]
                        for address, words in ((f'127.0.0.1:{port}', 'another program'), ('localhost:8443', 'no numeric address'),
                                               ('127.0.0.1', 'no numeric address'), ('127.0.0.1:70000', 'no numeric address'),
                                               ('192.0.2.1:8443', 'does not have that address')):
                                core = Core(address=None)
                                with core:
                                        core.send(c.CONFIG, c.text(address) + c.text(KEY[0]) + c.text(KEY[1]))
                                        kind, payload = core.frame()
                                        self.assertEqual(kind, c.FAILED)
                                        self.assertIn(words, c.take_text(payload, 0)[0])
                                        self.assertIsNone(core.frame())
                                self.assertEqual(core.status, 0)

        def test_a_key_that_is_none_is_said_in_words(self):
                core = Core(address=None)
                with core:
                        core.send(c.CONFIG, c.text('127.0.0.1:0') + c.text('nonsense') + c.text(KEY[1]))
                        kind, payload = core.frame()
                        self.assertEqual(kind, c.FAILED)
                        self.assertIn('key', c.take_text(payload, 0)[0])

        def test_the_end_of_the_core_is_the_end_of_the_gate(self):
                core = Core(key=KEY)
                with core.connect() as client:
                        client.get()
                        core.request()
                        core.process.stdin.close()
                        self.assertEqual(core.process.wait(10), 0)
                        self.assertTrue(client.is_closed())
                core.process.stdout.close()

        def test_frames_that_are_not_as_specified_end_the_gate(self):
                for kind, payload in ((0x999, b''), (c.RESET, b'1234'), (c.END, b''), (c.CHUNK, struct.pack('<Q', 0) + b'x'),
                                      (c.CONFIG, b''), (c.REPLY, b'\0' * 10)):
                        core = Core(key=KEY)
                        with core:
                                core.process.stderr = None
                                core.send(kind, payload)
                                self.assertIsNone(core.frame())
                        self.assertEqual(core.status, 1)

        def test_a_second_answer_or_a_chunk_too_early_ends_the_gate(self):
                answer = struct.pack('<QQBB', 1, 0, 0, 2) + c.text('') + c.text('')
                chunk = struct.pack('<Q', 1) + b'x'
                for frames in ([(c.STREAM, answer), (c.STREAM, answer)], [(c.STREAM, answer), *[(c.CHUNK, chunk)] * 3],
                               [(c.REPLY, answer + b'x'), (c.CHUNK, chunk)]):
                        core = Core(key=KEY)
                        with core, core.connect() as client:
                                client.get()
                                self.assertEqual(core.request().number, 1)
                                # in one write, so that nothing is taken in between
                                core.process.stdin.write(b''.join(struct.pack('<II', kind, len(p)) + p for kind, p in frames))
                                while core.frame():
                                        pass
                        self.assertEqual(core.status, 1)

        def test_the_gate_can_do_nothing_else_after_its_lockdown(self):
                for probe in ('open-read', 'open-write', 'connect', 'socket-inet', 'exec', 'execveat', 'ptrace', 'process_vm_readv',
                              'mount', 'fork', 'bpf'):
                        run = subprocess.run([c.PROGRAM, '--probe', probe], capture_output=True)
                        self.assertEqual((run.returncode, run.stdout), (-31, b''), f'{probe}: killed by SIGSYS')

        def test_the_gate_is_linked_to_no_database_and_no_http_client(self):
                libraries = subprocess.run(['ldd', c.PROGRAM], capture_output=True, text=True, check=True).stdout
                self.assertIn('libmicrohttpd', libraries)
                self.assertIsNone(re.search(r'sqlcipher|sqlite|curl|usb|cairo|systemd', libraries))


if __name__ == '__main__':
        KEY = c.a_key()
        unittest.main(verbosity=0)
