# SPDX-License-Identifier: Apache-2.0
"""carewallet-provider as it ships against the gate as it ships; the test is the wallet behind it, with OpenSSL for its signatures."""

import base64
import hashlib
import json
import os
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import core as c  # noqa: E402
from core import Core  # noqa: E402

PROGRAM = os.environ.get('CAREWALLET_PROVIDER', os.path.join(c.BUILD, 'cli', 'provider', 'carewallet-provider'))


def b64url(data):
        return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def from_b64url(text):
        return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def compact(value):
        return json.dumps(value, separators=(',', ':')).encode()


def thumbprint(jwk):
        return b64url(hashlib.sha256(compact({k: jwk[k] for k in ('crv', 'kty', 'x')})).digest())


class Signer:
        """An Ed25519 key that is not ours to have implemented."""

        def __init__(self, directory, name):
                self.path = os.path.join(directory, name + '.pem')
                subprocess.run(['openssl', 'genpkey', '-algorithm', 'ed25519', '-out', self.path], check=True, capture_output=True)
                der = subprocess.run(['openssl', 'pkey', '-in', self.path, '-pubout', '-outform', 'DER'], check=True,
                                     capture_output=True).stdout
                self.jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'x': b64url(der[-32:])}

        def sign(self, header, payload):
                text = f'{b64url(compact(header))}.{b64url(compact(payload))}'
                with tempfile.NamedTemporaryFile() as f:
                        f.write(text.encode())
                        f.flush()
                        signature = subprocess.run(['openssl', 'pkeyutl', '-sign', '-rawin', '-inkey', self.path, '-in', f.name],
                                                   check=True, capture_output=True).stdout
                return f'{text}.{b64url(signature)}'


def verify(jws, jwk):
        """The payload of a JWS, checked by OpenSSL."""
        text, signature = jws.rsplit('.', 1)
        prefix = bytes.fromhex('302a300506032b6570032100')  # RFC 8410
        with tempfile.TemporaryDirectory() as d:
                for name, data in (('key', prefix + from_b64url(jwk['x'])), ('text', text.encode()), ('signature', from_b64url(signature))):
                        with open(os.path.join(d, name), 'wb') as f:
                                f.write(data)
                subprocess.run(['openssl', 'pkeyutl', '-verify', '-rawin', '-pubin', '-keyform', 'DER', '-inkey', 'key', '-in', 'text',
                                '-sigfile', 'signature'], cwd=d, check=True, capture_output=True)
        return json.loads(from_b64url(text.split('.')[1]))


class Base(unittest.TestCase):
        def setUp(self):
                temporary = tempfile.TemporaryDirectory(prefix='cw-')
                self.addCleanup(temporary.cleanup)
                self.directory = temporary.name
                self.wallet = Signer(self.directory, 'wallet')
                self.run_cli('keygen', '--out', 'provider.key')
                with open(self.path('provider.jwk')) as f:
                        self.jwk = json.load(f)

        def path(self, name):
                return os.path.join(self.directory, name)

        def read(self, name):
                with open(self.path(name)) as f:
                        return f.read()

        def start(self, *args, passphrase=None):
                read, write = os.pipe()
                os.write(write, (passphrase or '').encode())
                os.close(write)
                args = [str(read) if a == '{}' else a for a in args]
                try:
                        return subprocess.Popen([PROGRAM, *args], cwd=self.directory, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                                stderr=subprocess.PIPE, text=True, pass_fds=[read],
                                                env={'LC_ALL': 'C.UTF-8', 'TZ': 'UTC', 'PATH': os.environ['PATH']})
                finally:
                        os.close(read)

        def run_cli(self, *args, code=0, passphrase=None):
                return self.finish(self.start(*args, passphrase=passphrase), code)

        def finish(self, process, code=0):
                out, err = process.communicate(timeout=30)
                self.assertEqual(process.returncode, code, out + err)
                return out + err

        def grant(self, urls, pins, name='anna.grant', signer=None, **change):
                now = int(time.time())
                provider, issuer = thumbprint(self.jwk), thumbprint(self.wallet.jwk)
                claims = {'iss': issuer, 'sub': b64url(bytes(32)), 'aud': [issuer, provider], 'client_id': provider, 'jti': b64url(bytes(16)),
                          'iat': now, 'nbf': now - 10, 'exp': now + 86400, 'iday': now // 86400, 'cnf': {'jkt': provider},
                          'scope': {'kinds': ['cgm', 'bolus'], 'detail': 'data', 'identity': 'pseudonym', 'free_text': False,
                                    'window': {'last_days': 90, 'newer': True}},
                          'purpose': 'TREAT', 'terms': {'retention_days': 0, 'onward_sharing': False},
                          'gate': {'urls': urls, 'pins': [b64url(pin) for pin in pins]}, 'ver': 1} | change
                jwt = (signer or self.wallet).sign({'alg': 'EdDSA', 'typ': 'wallet-grant+jwt', 'jwk': self.wallet.jwk}, claims)
                with open(self.path(name), 'w') as f:
                        f.write(jwt + '\n')
                return jwt


class Files(Base):
        def test_keys_are_private_and_never_overwritten(self):
                for name, mode in (('provider.key', 0o600), ('provider.jwk', 0o644)):
                        self.assertEqual(os.stat(self.path(name)).st_mode & 0o777, mode & ~0o022)
                before = self.read('provider.key')
                self.assertIn('is there already', self.run_cli('keygen', '--out', 'provider.key', code=1))
                self.assertEqual(self.read('provider.key'), before)
                self.assertNotIn('d', self.jwk)

        def test_a_passphrase_protects_the_key(self):
                out = self.run_cli('keygen', '--out', 'safe.key', '--passphrase-fd', '{}', passphrase='Correct Horse\n')
                self.assertRegex(out, r'Its words:   ([a-z]{5}-){7}[a-z]{5}\n')
                with open(self.path('safe.key')) as f:
                        self.assertNotIn('"d"', f.read())
                with open(self.path('safe.jwk')) as f:
                        self.jwk = json.load(f)
                self.grant(['https://127.0.0.1:1'], [bytes(32)])
                redeem = ('redeem', 'anna.grant', '--key', 'safe.key', '--format', 'csv', '--out', 'x')
                self.assertIn('passphrase', self.run_cli(*redeem, code=6))
                self.assertIn('wrong', self.run_cli(*redeem, '--passphrase-fd', '{}', passphrase='correct horse', code=6))
                self.assertIn('does not answer', self.run_cli(*redeem, '--passphrase-fd', '{}', passphrase='Correct Horse', code=3))
                self.assertIn('for your key', self.run_cli('verify', 'anna.grant', '--key', 'safe.key'))

        def test_verify_says_in_plain_words_what_a_grant_permits(self):
                self.grant(['https://wallet.example:8443'], [bytes(32)])
                out = self.run_cli('verify', 'anna.grant', '--key', 'provider.jwk')
                for words in ('is right, and it is for your key', 'cgm, bolus', 'the last 90 days', 'valid', 'treatment',
                              'https://wallet.example:8443', 'single records'):
                        self.assertIn(words, out)
                described = json.loads(self.run_cli('verify', 'anna.grant', '--json'))
                self.assertEqual(described['scope']['kinds'], ['cgm', 'bolus'])
                self.assertEqual(described['state'], 'valid')
                now = int(time.time())
                self.grant([], [], nbf=now - 1000, exp=now - 10, iat=now - 1000)
                self.assertIn('expired', self.run_cli('verify', 'anna.grant'))

        def test_a_grant_that_was_altered_is_refused(self):
                jwt = self.grant(['https://127.0.0.1:1'], [])
                header, payload, signature = jwt.split('.')
                claims = json.loads(from_b64url(payload))
                claims['exp'] += 1000
                for name, text in (('a', f'{header}.{b64url(compact(claims))}.{signature}'), ('b', jwt[:-1] + ('A' if jwt[-1] != 'A' else 'Q')),
                                   ('c', 'no grant'), ('d', ''), ('e', 'x' * 100000), ('f', f'{b64url(compact({"alg": "none"}))}.{payload}.')):
                        with open(self.path(name), 'w') as f:
                                f.write(text)
                        with self.subTest(name=name):
                                self.run_cli('verify', name, code=1)
                                self.run_cli('redeem', name, '--key', 'provider.key', '--format', 'csv', '--out', 'x', code=1)
                self.grant([], [], signer=Signer(self.directory, 'other'))
                self.assertIn('altered', self.run_cli('verify', 'anna.grant', code=1))

        def test_a_grant_for_another_key_is_not_even_tried(self):
                self.grant(['https://127.0.0.1:1'], [])
                self.run_cli('keygen', '--out', 'other.key')
                self.assertIn('another key', self.run_cli('redeem', 'anna.grant', '--key', 'other.key', '--format', 'csv', '--out', 'x', code=1))
                self.assertIn('another key', self.run_cli('verify', 'anna.grant', '--key', 'other.jwk', code=1))

        def test_list_names_the_grants_and_passes_over_the_rest(self):
                self.assertIn('There is no grant', self.run_cli('list'))
                self.grant(['https://a.example:1'], [], name='b.grant')
                self.grant(['https://b.example:1'], [], name='a.grant')
                out = self.run_cli('list')
                self.assertLess(out.index('a.grant'), out.index('b.grant'))
                self.assertNotIn('provider.key', out)
                self.assertEqual([g['file'] for g in json.loads(self.run_cli('list', '--json', self.directory))], ['a.grant', 'b.grant'])

        def test_the_command_line_is_explained(self):
                self.assertIn('redeem', self.run_cli('-h'))
                for verb in ('keygen', 'redeem', 'list', 'verify'):
                        self.assertIn('usage: carewallet-provider ' + verb, self.run_cli(verb, '-h'))
                for args in ((), ('bake',), ('keygen',), ('redeem',), ('redeem', 'x'), ('verify',), ('list', 'a', 'b'), ('list', '--red')):
                        self.run_cli(*args, code=2)
                self.grant([], [])
                redeem = ('redeem', 'anna.grant', '--key', 'provider.key', '--out', 'x')
                for more in (('--format', 'xml'), ('--format', 'summary', '--from', '2026-01-01'), ('--format', 'csv', '--kinds', 'sugar'),
                             ('--format', 'csv', '--from', 'today'), ('--format', 'csv'), ('--format', 'csv', '--gate', 'http://a')):
                        self.run_cli(*redeem, *more, code=2)


class Redeem(Base):
        def setUp(self):
                super().setUp()
                self.core = Core()
                self.addCleanup(self.core.__exit__)
                self.url = 'https://' + self.core.address
                self.jwt = self.grant([self.url], [self.core.spki])

        def redeem(self, form, *args, out='out'):
                return self.start('redeem', 'anna.grant', '--key', 'provider.key', '--format', form, '--out', out, *args)

        def check_proof(self, request, method, path, nonce, token=None):
                header = json.loads(from_b64url(request.proof.split('.')[0]))
                self.assertEqual(header, {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': self.jwk})
                claims = verify(request.proof, self.jwk)
                self.assertEqual((claims['htm'], claims['htu'], claims.get('nonce')), (method, self.url + path, nonce))
                self.assertLess(abs(claims['iat'] - time.time()), 60)
                self.assertEqual(claims.get('ath'), token and b64url(hashlib.sha256(token.encode()).digest()))
                self.assertNotIn(claims['jti'], self.jtis)
                self.jtis.append(claims['jti'])

        def token(self, token='T' * 42 + 'A'):
                """Plays the token endpoint with its nonce dance; the resource request that follows, with a nonce that went stale."""
                self.jtis = []
                request = self.core.request()
                self.assertEqual(request.credential, hashlib.sha256(self.jwt.encode()).digest())
                self.check_proof(request, 'POST', '/token', None)
                self.core.reply(request.number, c.USE_DPOP_NONCE, nonce='n1', message='use this nonce')
                request = self.core.request()
                self.check_proof(request, 'POST', '/token', 'n1')
                self.core.reply(request.number, grant=1, nonce='n2', body=compact(
                        {'access_token': token, 'token_type': 'DPoP', 'expires_in': 600}))
                request = self.core.request()
                self.check_proof(request, 'GET', '/slice' if request.operation == c.SLICE else '/summary', 'n2', token)
                self.core.reply(request.number, c.USE_DPOP_NONCE, nonce='n3', message='use this nonce')
                request = self.core.request()
                self.check_proof(request, 'GET', '/slice' if request.operation == c.SLICE else '/summary', 'n3', token)
                self.assertEqual(request.credential, from_b64url(token))
                return request

        NDJSON = b'{"slice":{"days":"all"}}\n' + b''.join(b'{"kind":"cgm","value":%d}\n' % i for i in range(5000))

        def end_line(self, data, rows=5000, digest=None):
                return compact({'end': {'rows': rows, 'sha256': digest or hashlib.sha256(data).hexdigest(), 'devices': []}}) + b'\n'

        def send(self, request, data, content=c.NDJSON_BODY):
                self.core.stream(request.number, 1, content)
                for at in range(0, len(data), 65536):
                        self.core.chunk(request.number, data[at:at + 65536])
                        self.core.wait_more(request.number)

        def nothing_left(self, process, words, code=1):
                self.assertIn(words, self.finish(process, code))
                self.assertEqual(sorted(n for n in os.listdir(self.directory) if n.startswith('out')), [])

        def test_a_slice_as_ndjson_is_fetched_with_fresh_proofs_and_kept(self):
                process = self.redeem('ndjson', '--kinds', 'cgm', '--from', '2026-01-01', '--to', '2026-01-31', '--since', '2026-01-05T00:00:00+01:00')
                request = self.token()
                self.assertEqual((request.format, request.kinds, request.from_day, request.to_day, request.since, request.flags),
                                 (c.NDJSON, 2, 20454, 20484, 1767567600000, 31))
                data = self.NDJSON + self.end_line(self.NDJSON)
                self.send(request, data)
                self.core.end(request.number)
                self.assertIn('5,000 records', self.finish(process))
                with open(self.path('out'), 'rb') as f:
                        self.assertEqual(f.read(), data)
                self.assertEqual(os.stat(self.path('out')).st_mode & 0o777, 0o600)

        def test_a_slice_as_csv_is_kept_when_its_trailer_fits(self):
                data = b'time,kind,value\n' + b'a,cgm,1\n' * 20000
                for trailer, code in ((f'rows=20000; sha256={hashlib.sha256(data).hexdigest()}', 0),
                                      (f'rows=19999; sha256={hashlib.sha256(data).hexdigest()}', 1),
                                      (f'rows=20000; sha256={"0" * 64}', 1), ('rows=20000', 1), ('', 1)):
                        with self.subTest(trailer=trailer):
                                process = self.redeem('csv')
                                request = self.token()
                                self.assertEqual(request.format, c.CSV)
                                self.send(request, data, c.CSV_BODY)
                                self.core.end(request.number, True, trailer)
                                if code == 0:
                                        self.assertIn('20,000 records', self.finish(process))
                                        with open(self.path('out'), 'rb') as f:
                                                self.assertEqual(f.read(), data)
                                        os.unlink(self.path('out'))
                                else:
                                        self.nothing_left(process, 'othing was kept' if trailer else 'nothing was kept')

        def test_a_summary_is_kept(self):
                process = self.redeem('summary')
                request = self.token()
                self.assertEqual(request.operation, c.SUMMARY)
                self.core.reply(request.number, grant=1, body=b'{"mean":7.5}')
                self.finish(process)
                with open(self.path('out')) as f:
                        self.assertEqual(f.read(), '{"mean":7.5}')

        def test_what_lacks_its_end_or_does_not_fit_it_is_thrown_away(self):
                data = self.NDJSON
                for name, sent, whole in (('no end', data, True), ('rows', data + self.end_line(data, rows=4999), True),
                                          ('hash', data + self.end_line(data, digest='0' * 64), True),
                                          ('altered', data.replace(b'4711', b'4712') + self.end_line(data), True),
                                          ('cut', data, False), ('cut in its last line', data + self.end_line(data)[:-1], True),
                                          ('more after the end', data + self.end_line(data) + b'{}\n', True),
                                          ('line too long', b'{"a":"' + b'x' * 70000 + b'"}\n', True)):
                        with self.subTest(name=name):
                                process = self.redeem('ndjson')
                                request = self.token()
                                self.send(request, sent)
                                self.core.end(request.number, whole)
                                self.nothing_left(process, 'othing was kept')

        def test_a_reset_in_the_middle_keeps_what_was_there_before(self):
                with open(self.path('out'), 'w') as f:
                        f.write('of yesterday')
                process = self.redeem('ndjson')
                request = self.token()
                self.send(request, self.NDJSON)
                self.core.reset(1)
                self.assertIn('cut off', self.finish(process, 1))
                with open(self.path('out')) as f:
                        self.assertEqual(f.read(), 'of yesterday')
                self.assertEqual([n for n in os.listdir(self.directory) if n.startswith('out')], ['out'])

        def test_each_refusal_is_said_in_plain_words(self):
                for error, words, code in ((c.INVALID_GRANT, 'This grant was revoked or has expired; ask the patient for a new one.', 1),
                                           (c.INVALID_DPOP_PROOF, 'proof', 1), (c.INVALID_REQUEST, 'refuses', 1),
                                           (c.UNAVAILABLE, 'try again later', 3), (c.SERVER_ERROR, 'try again later', 1)):
                        process = self.redeem('csv')
                        self.core.reply(self.core.request().number, error, nonce='n', message='reason')
                        self.nothing_left(process, words, code)
                for error, words, code in ((c.INVALID_TOKEN, 'This grant was revoked or has expired; ask the patient for a new one.', 1),
                                           (c.INSUFFICIENT_SCOPE, 'does not permit', 1)):
                        process = self.redeem('csv')
                        self.core.reply(self.token().number, error, nonce='n', message='reason')
                        self.nothing_left(process, words, code)
                process = self.redeem('summary')
                self.core.reply(self.token().number, c.NOT_ENOUGH_DATA, nonce='n', message='reason')
                self.nothing_left(process, '3 whole days', 1)

        def test_a_gate_that_asks_for_nonces_without_end_is_given_up(self):
                process = self.redeem('csv')
                for i in range(3):
                        self.core.reply(self.core.request().number, c.USE_DPOP_NONCE, nonce=f'n{i}', message='again')
                self.nothing_left(process, 'proof')

        def test_a_server_with_another_key_is_sent_nothing(self):
                self.grant([self.url], [bytes(32), bytes(31) + b'\1'])
                self.assertIn("is not the patient's gate", self.run_cli('redeem', 'anna.grant', '--key', 'provider.key', '--format', 'csv',
                                                                        '--out', 'out', code=1))
                self.jwt = self.grant([self.url], [bytes(32), self.core.spki])  # the next key counts as well
                process = self.redeem('summary')
                self.core.reply(self.token().number, body=b'{}')
                self.finish(process)

        def test_without_a_pin_the_certificate_must_be_trusted(self):
                self.grant([self.url], [])
                self.assertIn('no trustworthy TLS', self.run_cli('redeem', 'anna.grant', '--key', 'provider.key', '--format', 'csv',
                                                                 '--out', 'out', code=1))

        def test_tls_1_2_is_not_spoken(self):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
                context.maximum_version = ssl.TLSVersion.TLSv1_2
                with open(self.path('chain.pem'), 'w') as f:
                        f.write(self.core.key + self.core.certificate)
                context.load_cert_chain(self.path('chain.pem'))
                with socket.create_server(('127.0.0.1', 0)) as server:
                        def serve():
                                try:
                                        with server.accept()[0] as raw:
                                                context.wrap_socket(raw, server_side=True)
                                except OSError:
                                        pass
                        thread = threading.Thread(target=serve)
                        thread.start()
                        self.grant([f'https://127.0.0.1:{server.getsockname()[1]}'], [self.core.spki])
                        self.assertIn('no trustworthy TLS', self.run_cli('redeem', 'anna.grant', '--key', 'provider.key', '--format', 'csv',
                                                                         '--out', 'out', code=1))
                        thread.join()

        def test_the_next_address_is_tried_and_a_gate_that_has_moved_can_be_named(self):
                self.jwt = self.grant(['https://127.0.0.1:1', self.url], [self.core.spki])
                process = self.redeem('summary')
                self.core.reply(self.token().number, body=b'{}')
                self.finish(process)
                self.jwt = self.grant(['https://127.0.0.1:1'], [self.core.spki])
                self.assertIn('does not answer', self.run_cli('redeem', 'anna.grant', '--key', 'provider.key', '--format', 'csv', '--out',
                                                              'out2', code=3))
                process = self.redeem('summary', '--gate', self.url + '/')
                self.core.reply(self.token().number, body=b'{}')
                self.finish(process)

        def test_an_interrupt_leaves_nothing_behind(self):
                process = self.redeem('ndjson')
                request = self.token()
                self.send(request, self.NDJSON)
                process.terminate()
                self.nothing_left(process, 'Interrupted')

        def test_what_the_gate_says_can_not_reach_the_terminal_as_control_characters(self):
                process = self.redeem('csv')
                self.core.reply(self.core.request().number, body=b'{"access_token":"\\u001b[2J","token_type":"DPoP"}')
                self.assertNotIn('\x1b', self.finish(process, 1))
                process = self.redeem('csv')
                self.core.reply(self.core.request().number, body=b'{"access_token":"a","token_type":"Bearer"}')
                self.nothing_left(process, 'bound to the key')


if __name__ == '__main__':
        unittest.main(verbosity=0)
