# SPDX-License-Identifier: Apache-2.0
"""Whoever asks the real gate for what it may not have gets the right error and none of the data, and the ledger knows."""

import base64
import datetime
import hashlib
import hmac
import json
import os
import re
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from world import FORM, SERIAL, Clinic, Key, Refused, Template, Wallet, World, ath, b64, form  # noqa: E402

CGM = ('--kinds', 'cgm')


def flipped(text, at):
        """The same text with one character of base64url exchanged."""
        return text[:at] + ('A' if text[at] != 'A' else 'B') + text[at + 1:]


class Refusals(unittest.TestCase):
        n = 0

        @classmethod
        def setUpClass(cls):
                cls.w = World(Template(days=40))
                cls.addClassCleanup(cls.w.close)

        def clinic(self, *terms, **options):
                Refusals.n += 1
                clinic = Clinic(self.w, f'clinic-{self.n}', *terms, **options)
                clinic.plain = clinic.client(token=False)
                self.addCleanup(clinic.plain.close)
                clinic.plain.send('GET', '/summary', headers={'Authorization': 'DPoP ' + b64(bytes(32))}).read()  # a nonce
                return clinic

        def with_token(self, *terms, **options):
                clinic = self.clinic(*terms, **options)
                return clinic, clinic.plain, clinic.plain.token(clinic.jwt)

        def refused(self, response, status, error, clinic=None, reason=None, n_entries=1):
                """@reason: of the entries that it leaves under the clinic's grant; None: it leaves none there."""
                body = response.read()
                resource = response.path != '/token'
                self.assertEqual((response.status, response.reason != ''), (status, True), body)
                headers = {name.lower(): value for name, value in response.getheaders()}
                self.assertRegex(headers.get('dpop-nonce', ''), r'^[A-Za-z0-9_-]{32}$')
                self.assertEqual(headers.get('cache-control'), 'no-store')
                challenge = headers.get('www-authenticate')
                if response.method == 'HEAD':
                        self.assertEqual(body, b'')
                else:
                        answer = json.loads(body)
                        self.assertEqual(headers['content-type'], 'application/json')
                        self.assertEqual(sorted(answer), ['error', 'error_description'])
                        self.assertEqual(answer['error'], error)
                        self.assertRegex(answer['error_description'], r'^[ -!#-\[\]-~]{5,160}$')
                        for secret in (SERIAL, 'local_time', 'mg/dL', clinic.jti if clinic else SERIAL, clinic.name if clinic else SERIAL):
                                self.assertNotIn(secret.encode(), body)
                if resource and status in (401, 403):
                        self.assertRegex(challenge or '', r'^DPoP (error="' + error + '".*)?algs="EdDSA Ed25519"$')
                elif status != 401:
                        self.assertIsNone(challenge)
                if clinic:
                        found = [entry['reason'] for entry in clinic.entries('refused')]
                        self.assertEqual(found, [reason] * n_entries if reason else [])
                return headers

        def send(self, client, method, path, body=None, headers=None):
                response = client.send(method, path, body, headers)
                response.method, response.path = method, path.split('?')[0]
                return response

        def ask_token(self, client, jwt, proof=None, body=None, **claims):
                headers = {**FORM, 'DPoP': proof or client.proof('POST', '/token', **claims)}
                return self.send(client, 'POST', '/token', body or form(jwt), headers)

        def ask(self, client, path, token=None, proof=None, method='GET', scheme='DPoP', **claims):
                token = token or client.access_token
                claims.setdefault('ath', ath(token))
                headers = {'Authorization': f'{scheme} {token}', 'DPoP': proof or client.proof('GET', path, **claims)}
                return self.send(client, method, path, headers=headers)

        def gets(self, client, path='/slice'):
                rows = client.get(path).read().decode().splitlines()
                self.assertIn('end', json.loads(rows[-1]))
                return rows[1:-1]

        # --- whose key ---

        def test_another_key_gets_no_token(self):
                clinic = self.clinic()
                thief = Key()
                for header in (None, {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': clinic.key.jwk}):
                        response = self.ask_token(clinic.plain, clinic.jwt, clinic.plain.proof('POST', '/token', key=thief, header=header))
                        self.refused(response, 400, 'invalid_dpop_proof', clinic)
                self.assertEqual(self.w.grants_of(clinic.name)[0]['uses'], 0)
                self.assertEqual(clinic.entries('redeemed'), [])

        def test_the_right_key_that_names_another_one_gets_no_token(self):
                clinic = self.clinic()
                header = {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': Key().jwk}
                self.refused(self.ask_token(clinic.plain, clinic.jwt, header=header), 400, 'invalid_dpop_proof', clinic, 'proof')

        def test_a_stolen_token_is_worth_nothing_to_another_provider(self):
                clinic, client, token = self.with_token()
                thief, theirs, _ = self.with_token()
                self.refused(self.ask(theirs, '/slice', token), 401, 'invalid_dpop_proof', clinic)
                self.assertEqual(clinic.entries('release-begun') + thief.entries('release-begun'), [])

        def test_a_stolen_grant_is_worth_nothing_to_another_provider(self):
                clinic, thief = self.clinic(), self.clinic()
                self.refused(self.ask_token(thief.plain, clinic.jwt), 400, 'invalid_dpop_proof', clinic)
                self.assertEqual(self.w.grants_of(clinic.name)[0]['uses'], 0)

        # --- proofs ---

        def test_a_proof_is_good_for_one_token(self):
                clinic = self.clinic()
                proof = clinic.plain.proof('POST', '/token')
                response = self.ask_token(clinic.plain, clinic.jwt, proof)
                self.assertEqual((response.status, b'access_token' in response.read()), (200, True))
                self.refused(self.ask_token(clinic.plain, clinic.jwt, proof), 400, 'invalid_dpop_proof', clinic, 'proof-replayed')
                self.assertEqual(self.w.grants_of(clinic.name)[0]['uses'], 1)

        def test_a_proof_is_good_for_one_answer_on_any_connection(self):
                clinic, client, token = self.with_token(*CGM)
                proof = client.proof('GET', '/slice', ath=ath(token))
                response = self.ask(client, '/slice', proof=proof)
                self.assertIn(b'"end"', response.read()[-1000:])
                other = clinic.client(token=False)
                self.addCleanup(other.close)
                self.refused(self.ask(other, '/slice', token, proof), 401, 'invalid_dpop_proof', clinic, 'proof-replayed')
                self.assertEqual(len(clinic.entries('release-begun')), 1)

        def test_a_proof_for_another_address_is_refused(self):
                clinic, client, token = self.with_token()
                n = 0
                for htu in (f'https://{self.w.gate}/summary', f'https://{self.w.gate}/slice/', f'https://{self.w.gate}/slice?kinds=cgm',
                            f'https://{self.w.gate}/Slice', f'http://{self.w.gate}/slice', f'https://localhost:{client.port}/slice',
                            'https://evil.example/slice', '/slice', '', 7, None):
                        n += 1
                        with self.subTest(htu=htu):
                                self.refused(self.ask(client, '/slice', htu=htu), 401, 'invalid_dpop_proof', clinic, 'proof-target', n)
                self.assertEqual(clinic.entries('release-begun'), [])

        def test_the_host_header_does_not_say_what_the_address_is(self):
                clinic, client, token = self.with_token()
                headers = {'Host': 'evil.example', 'Forwarded': 'host=evil.example', 'X-Forwarded-Host': 'evil.example',
                           'Authorization': f'DPoP {token}', 'DPoP': client.proof('GET', '/slice', ath=ath(token), htu='https://evil.example/slice')}
                self.refused(self.send(client, 'GET', '/slice', headers=headers), 401, 'invalid_dpop_proof', clinic, 'proof-target')

        def test_a_proof_for_another_method_is_refused(self):
                clinic = self.clinic()
                self.refused(self.ask_token(clinic.plain, clinic.jwt, htm='GET'), 400, 'invalid_dpop_proof', clinic, 'proof-target')
                self.refused(self.ask_token(clinic.plain, clinic.jwt, htm='post'), 400, 'invalid_dpop_proof', clinic, 'proof-target', 2)
                self.refused(self.ask_token(clinic.plain, clinic.jwt, htm=None), 400, 'invalid_dpop_proof', clinic, 'proof-target', 3)

        def test_without_our_nonce_it_is_told_and_nothing_is_logged(self):
                clinic, client, token = self.with_token()
                for bad in (None, 'x', client.nonce[:-1], flipped(client.nonce, 5), client.nonce + 'A', client.nonce.swapcase()):
                        with self.subTest(nonce=bad):
                                self.refused(self.ask_token(client, clinic.jwt, nonce=bad), 400, 'use_dpop_nonce', clinic)
                                self.refused(self.ask(client, '/slice', nonce=bad), 401, 'use_dpop_nonce', clinic)
                self.refused(self.ask(client, '/slice', nonce=7), 401, 'invalid_dpop_proof', clinic, 'proof')
                self.assertEqual(clinic.entries('release-begun'), [])

        def test_a_proof_without_its_claims_is_refused(self):
                clinic, client, token = self.with_token()
                n = 0
                for claims in ({'jti': None}, {'jti': ''}, {'jti': 'j' * 129}, {'jti': 5}, {'iat': None}, {'iat': 'now'}):
                        n += 1
                        with self.subTest(**claims):
                                self.refused(self.ask(client, '/slice', **claims), 401, 'invalid_dpop_proof', clinic, 'proof', n)

        def test_a_proof_for_another_token_is_refused(self):
                clinic, client, token = self.with_token()
                old = ath(token)
                client.token(clinic.jwt)
                self.refused(self.ask(client, '/slice', ath=old), 401, 'invalid_dpop_proof', clinic, 'proof-token')
                self.refused(self.ask(client, '/slice', ath=None), 401, 'invalid_dpop_proof', clinic, 'proof-token', 2)

        def test_no_algorithm_but_ours_is_taken(self):
                clinic, client, token = self.with_token()
                n = 0
                for alg in 'none', 'None', 'HS256', 'ES256', 'RS256', 'eddsa', 'Ed448', '', None:
                        for typ in ('dpop+jwt',) if alg != 'none' else ('dpop+jwt', 'JWT', None):
                                n += 1
                                header = {'typ': typ, 'alg': alg, 'jwk': clinic.key.jwk}
                                with self.subTest(**header):
                                        self.refused(self.ask(client, '/slice', header=header), 401, 'invalid_dpop_proof', clinic, 'proof', n)

        def test_a_proof_without_signature_is_no_proof(self):
                clinic, client, token = self.with_token()
                signed = client.proof('GET', '/slice', ath=ath(token))
                head, claims, signature = signed.split('.')
                none = b64(json.dumps({'typ': 'dpop+jwt', 'alg': 'none', 'jwk': clinic.key.jwk}).encode())
                for proof in (f'{none}.{claims}.', f'{head}.{claims}.', f'{none}.{claims}.{signature}', f'{head}.{flipped(claims, 9)}.{signature}',
                              f'{head}.{claims}.{flipped(signature, 3)}', f'{head}.{claims}', f'{signed}.', f'{head}.{claims}.{signature}=', 'x', '..'):
                        with self.subTest(proof=proof[-60:]):
                                self.refused(self.ask(client, '/slice', proof=proof), 401, 'invalid_dpop_proof', clinic)

        def test_an_hmac_with_our_public_key_is_no_signature(self):
                clinic, client, token = self.with_token()
                head, claims, _ = client.proof('GET', '/slice', ath=ath(token), header={'typ': 'dpop+jwt', 'alg': 'HS256', 'jwk': clinic.key.jwk}).split('.')
                mac = b64(hmac.new(clinic.key.public, f'{head}.{claims}'.encode(), hashlib.sha256).digest())
                self.refused(self.ask(client, '/slice', proof=f'{head}.{claims}.{mac}'), 401, 'invalid_dpop_proof', clinic)

        def test_a_request_without_a_proof_is_refused(self):
                clinic, client, token = self.with_token()
                self.refused(self.send(client, 'GET', '/slice', headers={'Authorization': f'DPoP {token}'}), 401, 'invalid_dpop_proof', clinic)
                self.refused(self.send(client, 'POST', '/token', form(clinic.jwt), FORM), 400, 'invalid_dpop_proof', clinic)

        def test_a_nonce_of_an_earlier_start_is_stale(self):
                clinic, client, token = self.with_token()
                old, proof = client.nonce, client.proof('POST', '/token')
                self.w.gate_on(self.w.gate)
                again = clinic.client(token=False)
                self.addCleanup(again.close)
                again.nonce = old
                self.refused(self.ask_token(again, clinic.jwt, proof), 400, 'use_dpop_nonce', clinic)
                self.assertNotEqual(again.nonce, old)
                again.token(clinic.jwt)

        # --- grants ---

        def test_an_altered_grant_does_not_exist(self):
                clinic = self.clinic()
                head, claims, signature = clinic.jwt.split('.')
                longer = json.loads(base64.urlsafe_b64decode(claims + '=='))
                longer['exp'] += 86400
                longer = b64(json.dumps(longer, separators=(',', ':')).encode())
                none = b64(b'{"alg":"none","typ":"wallet-grant+jwt"}')
                tail = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'
                same_bytes = signature[:-1] + tail[tail.index(signature[-1]) ^ 1]  # the last character has two bits to spare
                for jwt in (f'{flipped(head, 4)}.{claims}.{signature}', f'{head}.{flipped(claims, 30)}.{signature}', f'{head}.{claims}.{flipped(signature, 8)}',
                            f'{head}.{longer}.{signature}', clinic.key.jws(json.loads(base64.urlsafe_b64decode(head + '==')), {'a': 1}),
                            f'{none}.{claims}.', f'{none}.{longer}.{signature}', f'{head}.{claims}.', f'{head}.{claims}.{same_bytes}', '..'):
                        with self.subTest(jwt=jwt[-40:]):
                                self.refused(self.ask_token(clinic.plain, jwt), 400, 'invalid_grant', clinic)
                for jwt in (f'{head}.{claims}', clinic.jwt + '.', clinic.jwt + '=', 'x'):
                        with self.subTest(jwt=jwt[-40:]):
                                self.refused(self.ask_token(clinic.plain, jwt), 400, 'invalid_grant', clinic)
                self.assertEqual(self.w.grants_of(clinic.name)[0]['uses'], 0)
                clinic.plain.token(clinic.jwt)

        def test_a_grant_of_another_wallet_does_not_exist(self):
                clinic = self.clinic()
                with Wallet() as other:
                        other.init()
                        other.cli('provider', 'add', 'them', '--key', clinic.key.write_jwk(other.path('them.jwk')))
                        with open(other.grant('them')) as f:
                                foreign = f.read().strip()
                self.refused(self.ask_token(clinic.plain, foreign), 400, 'invalid_grant', clinic)

        def test_what_is_revoked_is_dead_with_its_tokens(self):
                clinic, client, token = self.with_token()
                self.w.cli('revoke', clinic.name)
                client.connect()  # the old connection was reset
                self.refused(self.ask(client, '/slice', token), 401, 'invalid_token', clinic)
                self.refused(self.ask(client, '/summary', token), 401, 'invalid_token', clinic)
                self.refused(self.ask_token(client, clinic.jwt), 400, 'invalid_grant', clinic, 'revoked')
                self.assertEqual([len(clinic.entries(type)) for type in ('redeemed', 'revoked', 'release-begun')], [1, 1, 0])

        def test_uses_are_counted(self):
                clinic, client, token = self.with_token('--uses', '1')
                self.refused(self.ask_token(client, clinic.jwt), 400, 'invalid_grant', clinic, 'uses')
                self.gets(client, '/slice?kinds=cgm')  # the token that there is may be used until it ends
                self.assertEqual(self.w.grants_of(clinic.name)[0]['state'], 'used up')

        def test_the_seventeenth_token_ends_the_first(self):
                clinic, client, first = self.with_token(*CGM)
                for _ in range(16):
                        client.token(clinic.jwt)
                self.refused(self.ask(client, '/slice', first), 401, 'invalid_token', clinic)
                self.gets(client)

        # --- time ---

        def test_an_expired_grant_is_refused(self):
                clinic, client, token = self.with_token('--for', '1h')
                self.w.clock.set(3601)
                try:
                        self.wait_expired(clinic)
                        client.connect()
                        self.refused(self.ask(client, '/slice', token), 401, 'invalid_token', clinic)
                        self.refused(self.ask_token(client, clinic.jwt), 400, 'invalid_grant', clinic, 'expired')
                finally:
                        self.w.clock.set(0)
                        self.assertNotIn('error', self.w.call('AcceptClock'))

        def wait_expired(self, clinic):
                for _ in range(200):
                        if clinic.entries('expired'):
                                return
                self.fail('not expired')

        def test_a_grant_is_not_valid_before_its_time(self):
                self.w.clock.set(7200)
                clinic = self.clinic()
                self.w.clock.set(0)
                try:
                        # the clock is behind what it has been: that comes first
                        self.refused(self.ask_token(clinic.plain, clinic.jwt), 503, 'temporarily_unavailable', clinic, 'clock')
                finally:
                        self.assertNotIn('error', self.w.call('AcceptClock'))
                response = self.ask_token(clinic.plain, clinic.jwt)
                self.assertEqual((response.status, json.loads(response.read())['error']), (400, 'invalid_grant'))
                self.assertEqual([entry['reason'] for entry in clinic.entries('refused')], ['clock', 'not_yet'])

        # --- more than was granted ---

        def test_kinds_that_were_not_granted_are_refused(self):
                clinic, client, token = self.with_token(*CGM)
                self.refused(self.ask(client, '/slice?kinds=bolus'), 403, 'insufficient_scope', clinic, 'kinds')
                self.refused(self.ask(client, '/slice?kinds=cgm,bolus'), 403, 'insufficient_scope', clinic, 'kinds', 2)
                self.refused(self.ask(client, '/slice?kinds=note'), 403, 'insufficient_scope', clinic, 'kinds', 3)
                self.assertEqual({json.loads(row)['kind'] for row in self.gets(client)}, {'cgm'})

        def test_days_that_were_not_granted_are_refused(self):
                day = datetime.timedelta(days=1)
                begin, end = self.w.template.first + 5 * day, self.w.template.last - day
                clinic, client, token = self.with_token(*CGM, '--from', begin.isoformat(), '--to', end.isoformat())
                n = 0
                for query in (f'from={begin - day}', f'from={begin - day}&to={end}', f'to={end + day}', f'from={begin}&to={end + day}',
                              f'from={self.w.template.first}', 'to=2099-01-01', f'to={begin - day}'):
                        n += 1
                        with self.subTest(query):
                                self.refused(self.ask(client, f'/slice?{query}'), 403, 'insufficient_scope', clinic, 'window', n)
                self.refused(self.ask(client, f'/slice?from={end}&to={begin}'), 400, 'invalid_request')
                whole = self.gets(client)
                self.assertTrue(all(str(begin) <= json.loads(row)['local_time'][:10] <= str(end) for row in whole))
                self.assertEqual(self.gets(client, '/slice?since=1970-01-01T00:00:00Z'), whole)  # may be asked, and widens nothing
                self.assertLess(len(self.gets(client, f'/slice?from={end}')), len(whole))

        def test_a_summary_takes_no_parameters(self):
                clinic, client, token = self.with_token(preset='caregiver')
                client.get('/summary').read()
                for query in 'from=2026-01-01', 'to=2026-01-01', 'since=2026-01-01T00:00:00Z', 'kinds=cgm', 'format=csv', 'x=y':
                        with self.subTest(query):
                                self.refused(self.ask(client, f'/summary?{query}'), 400, 'invalid_request', clinic)

        def test_a_summary_is_all_that_a_summary_grants(self):
                clinic, client, token = self.with_token(preset='caregiver')
                self.refused(self.ask(client, '/slice'), 403, 'insufficient_scope', clinic, 'detail')
                self.refused(self.ask(client, '/slice?kinds=cgm&format=csv'), 403, 'insufficient_scope', clinic, 'detail', 2)

        def test_too_few_readings_make_no_summary(self):
                last = self.w.template.last
                clinic, client, token = self.with_token('--from', (last - datetime.timedelta(days=1)).isoformat(), '--to', last.isoformat())
                self.refused(self.ask(client, '/summary'), 404, 'not_enough_data', clinic, 'not-enough-data')
                self.refused(self.ask(client, '/summary'), 404, 'not_enough_data', clinic, 'not-enough-data', 2)
                self.assertEqual(clinic.entries('release-begun'), [])

        # --- HTTP ---

        def test_a_token_is_not_a_bearer_token(self):
                clinic, client, token = self.with_token()
                self.refused(self.ask(client, '/slice', scheme='Bearer'), 401, 'invalid_token', clinic)
                self.refused(self.ask(client, '/slice', scheme='Basic'), 401, 'invalid_token', clinic)

        def test_without_a_token_there_is_a_challenge_and_no_error(self):
                clinic, client, token = self.with_token()
                headers = self.refused(self.send(client, 'GET', '/slice', headers={'DPoP': client.proof('GET', '/slice')}), 401, 'invalid_token', clinic)
                self.assertEqual(headers['www-authenticate'], 'DPoP algs="EdDSA Ed25519"')

        def test_a_token_that_was_never_given_is_unknown(self):
                clinic, client, token = self.with_token()
                for bad in (b64(os.urandom(32)), flipped(token, 3), clinic.jti, token[:-1], token + 'A', clinic.jwt):
                        with self.subTest(bad[-20:]):
                                self.refused(self.ask(client, '/slice', bad), 401, 'invalid_token', clinic)

        def test_what_is_not_known_is_refused(self):
                clinic, client, token = self.with_token()
                for query in 'limit=1', 'kinds=glucose', 'kinds=', 'kinds=cgm&kinds=cgm', 'format=xml', 'from=yesterday', 'since=1', 'Kinds=cgm', 'a', '&':
                        with self.subTest(query):
                                self.refused(self.ask(client, f'/slice?{query}'), 400, 'invalid_request', clinic)
                for more in {'scope': 'data'}, {'audience': 'x'}:
                        self.refused(self.ask_token(client, None, body=form(clinic.jwt, **more)), 400, 'invalid_request', clinic)
                self.refused(self.ask_token(client, None, body='grant_type=password&assertion=a.b.c'), 400, 'unsupported_grant_type', clinic)
                self.refused(self.ask(client, '/records'), 404, 'not_found', clinic)
                self.refused(self.ask(client, '/report'), 404, 'not_found', clinic)

        def test_no_other_method_is_served(self):
                clinic, client, token = self.with_token()
                for method in 'HEAD', 'PUT', 'POST', 'DELETE', 'OPTIONS', 'PATCH':
                        for path in '/slice', '/summary':
                                with self.subTest(method=method, path=path):
                                        headers = self.refused(self.ask(client, path, method=method), 405, 'invalid_request', clinic)
                                        self.assertEqual(headers['allow'], 'GET')
                                        client.connect()  # the gate may close after it
                for method in 'HEAD', 'GET', 'PUT':
                        with self.subTest(method=method):
                                response = self.send(client, method, '/token', headers={'DPoP': client.proof(method, '/token')})
                                self.assertEqual(self.refused(response, 405, 'invalid_request', clinic)['allow'], 'POST')
                                client.connect()

        # --- the ledger ---

        def test_strangers_cannot_fill_the_ledger(self):
                clinic = self.clinic()
                self.w.gate_on(self.w.gate)
                before = sum(entry['count'] for entry in self.w.ledger(type='refused', reason='stranger'))
                n_before = len(self.w.ledger())
                client = clinic.client(token=False)
                self.addCleanup(client.close)
                n = 100
                for _ in range(n):
                        self.assertEqual(self.ask_token(client, f'{b64(os.urandom(9))}.e30.AA').read()[:9], b'{"error":')
                self.assertLessEqual(len(self.w.ledger()), n_before + 2)
                self.w.cli('gate', 'off')
                after = sum(entry['count'] for entry in self.w.ledger(type='refused', reason='stranger'))
                self.w.gate_on(self.w.gate)
                self.assertEqual(after - before, n)

        def test_a_provider_cannot_fill_the_ledger(self):
                clinic, client, token = self.with_token(*CGM)
                for _ in range(100):
                        self.ask(client, '/slice?kinds=bolus').read()
                self.assertEqual([entry['reason'] for entry in clinic.entries('refused')], ['kinds'] * 60)
                self.w.cli('gate', 'off')
                self.assertEqual([(entry['reason'], entry.get('count')) for entry in clinic.entries('refused')][60:], [('more', 40)])
                self.w.gate_on(self.w.gate)


if __name__ == '__main__':
        unittest.main(verbosity=2)
