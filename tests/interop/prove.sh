#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: prove.sh KEY.jwk METHOD URL [NONCE [TOKEN]]      prints a DPoP proof (RFC 9449), with nothing but OpenSSL and Python
set -euo pipefail
key=$1 method=$2 url=$3 nonce=${4:-} token=${5:-}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
b64url() { base64 -w 0 | tr '+/' '-_' | tr -d '='; }

# the private key of the JWK as OpenSSL wants it (RFC 8410), and what is to be signed
python3 - "$key" "$method" "$url" "$nonce" "$token" "$work" <<'END'
import base64, hashlib, json, secrets, sys, time
key, method, url, nonce, token, work = sys.argv[1:]
jwk = json.load(open(key))
seed = base64.urlsafe_b64decode(jwk.pop('d') + '=')
open(work + '/key', 'wb').write(bytes.fromhex('302e020100300506032b657004220420') + seed)
b64url = lambda data: base64.urlsafe_b64encode(data).rstrip(b'=')
claims = {'jti': secrets.token_urlsafe(16), 'htm': method, 'htu': url, 'iat': int(time.time())}
if nonce:
        claims['nonce'] = nonce
if token:
        claims['ath'] = b64url(hashlib.sha256(token.encode()).digest()).decode()
header = {'typ': 'dpop+jwt', 'alg': 'EdDSA', 'jwk': jwk}
open(work + '/text', 'wb').write(b'.'.join(b64url(json.dumps(part).encode()) for part in (header, claims)))
END
openssl pkeyutl -sign -rawin -keyform DER -inkey "$work/key" -in "$work/text" -out "$work/signature"
printf '%s.%s\n' "$(cat "$work/text")" "$(b64url <"$work/signature")"
