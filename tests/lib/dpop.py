# SPDX-License-Identifier: Apache-2.0
"""A provider's machine written a second time, for tests: it can do what carewallet-provider would never do.

        key = Key()                                  # Ed25519, from libsodium
        key.write_jwk(w.path('clinic.jwk'))          # for: carewallet provider add clinic --key clinic.jwk
        c = Client(w.gate, key)                      # TLS 1.3, one kept connection
        token = c.token(jwt)                         # nonce dance included
        c.get('/slice?format=ndjson').read()         # with Authorization and proof

Every part can be had singly to be bent: Key.jws(), Client.proof(), Client.request().
"""

import base64
import ctypes
import ctypes.util
import hashlib
import http.client
import json
import os
import socket
import ssl
import time
import urllib.parse

JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer'

sodium = ctypes.CDLL(ctypes.util.find_library('sodium') or 'libsodium.so.23')
assert sodium.sodium_init() >= 0


def b64(data):
        return base64.urlsafe_b64encode(data).rstrip(b'=').decode()


def unb64(text):
        return base64.urlsafe_b64decode(text + '=' * (-len(text) % 4))


def compact(value):
        return json.dumps(value, separators=(',', ':')).encode()


class Key:
        def __init__(self, seed=None):
                public, secret = ctypes.create_string_buffer(32), ctypes.create_string_buffer(64)
                sodium.crypto_sign_seed_keypair(public, secret, seed or os.urandom(32))
                self.public, self.secret = public.raw, secret.raw
                self.jwk = {'kty': 'OKP', 'crv': 'Ed25519', 'x': b64(self.public)}
                self.thumbprint = b64(hashlib.sha256(compact({'crv': 'Ed25519', 'kty': 'OKP', 'x': b64(self.public)})).digest())

        def write_jwk(self, path):
                with open(path, 'wb') as f:
                        f.write(compact(self.jwk) + b'\n')
                return path

        def sign(self, message):
                signature = ctypes.create_string_buffer(64)
                sodium.crypto_sign_detached(signature, None, message, ctypes.c_ulonglong(len(message)), self.secret)
                return signature.raw

        def jws(self, header, claims):
                signed = f'{b64(compact(header))}.{b64(compact(claims))}'
                return f'{signed}.{b64(self.sign(signed.encode()))}'


class Refused(Exception):
        def __init__(self, response):
                super().__init__(f'{response.status} {response.body.decode(errors="replace")}')
                self.status = response.status
                self.headers = response.headers
                self.body = response.body
                try:
                        self.error = json.loads(response.body)['error']
                except (ValueError, KeyError, TypeError):
                        self.error = None


class Client:
        """@address: 'host:port' of the gate; @url: what htu begins with (default https://address)."""

        def __init__(self, address, key, url=None, timeout_s=30, connect=True):
                self.host, port = address.rsplit(':', 1)
                self.host, self.port = self.host.strip('[]'), int(port)
                self.url = url or f'https://{address}'
                self.key, self.timeout_s = key, timeout_s
                self.nonce = None
                self.access_token = None
                self.connection = None
                self.pin = None
                if connect:
                        self.connect()

        def connect(self):
                context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
                context.check_hostname = False
                context.verify_mode = ssl.CERT_NONE  # the pin is checked by who wants to, see .certificate
                context.minimum_version = ssl.TLSVersion.TLSv1_3
                self.close()
                self.connection = http.client.HTTPSConnection(self.host, self.port, timeout=self.timeout_s, context=context)
                self.connection.connect()
                self.connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                self.certificate = self.connection.sock.getpeercert(binary_form=True)

        def close(self):
                if self.connection:
                        self.connection.close()
                        self.connection = None

        def proof(self, method, path, key=None, header=None, **claims):
                """A DPoP proof; claims given replace ours, None removes one."""
                key = key or self.key
                ours = {'jti': b64(os.urandom(12)), 'htm': method, 'htu': self.url + path.split('?')[0], 'iat': int(time.time())}
                if self.nonce:
                        ours['nonce'] = self.nonce
                ours.update(claims)
                return key.jws(header or {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': key.jwk},
                               {name: value for name, value in ours.items() if value is not None})

        @staticmethod
        def hash(token):
                return b64(hashlib.sha256(token.encode()).digest())

        def resource_proof(self, path):
                return self.proof('GET', path, ath=self.hash(self.access_token))

        def send(self, method, path, body=None, headers=None):
                """One request as it is; the response is not read yet (streams). A nonce in it is kept."""
                if not self.connection:
                        self.connect()
                self.connection.request(method, path, body=body, headers=headers or {})
                response = self.connection.getresponse()
                self.nonce = response.headers.get('DPoP-Nonce') or self.nonce
                return response

        def request(self, method, path, body=None, headers=None, **claims):
                """With a proof, and once more when the gate wants its nonce in it. Raises Refused for an error."""
                for _ in range(2):
                        response = self.send(method, path, body, {**(headers or {}), 'DPoP': self.proof(method, path, **claims)})
                        if response.status == 200:
                                return response
                        response.body = response.read()
                        if b'use_dpop_nonce' not in response.body and 'use_dpop_nonce' not in (response.headers.get('WWW-Authenticate') or ''):
                                break
                raise Refused(response)

        def token(self, jwt, **claims):
                body = urllib.parse.urlencode({'grant_type': JWT_BEARER, 'assertion': jwt})
                response = self.request('POST', '/token', body, {'Content-Type': 'application/x-www-form-urlencoded'}, **claims)
                self.access_token = json.loads(response.read())['access_token']
                return self.access_token

        def get(self, path, token=None, **claims):
                token = token or self.access_token
                claims.setdefault('ath', self.hash(token))
                return self.request('GET', path, headers={'Authorization': f'DPoP {token}'}, **claims)
