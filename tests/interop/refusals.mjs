// SPDX-License-Identifier: Apache-2.0
// usage: node refusals.mjs GRANTFILE KEY.jwk      what a gate must refuse, tried with jose's signatures; prints {name: [status, error]}
import * as jose from 'jose'
import { Gate, proof, readGrant, readKey } from './gate.mjs'

const [, , grantPath, keyPath] = process.argv
const key = await readKey(keyPath)
const grant = await readGrant(grantPath, key)
const gate = new Gate(key, grant)
const seen = {}
const note = (name, { status, error }) => { seen[name] = [status, error ?? null] }

const stranger = await jose.generateKeyPair('EdDSA', { extractable: true })
const strangerJwk = await jose.exportJWK(stranger.publicKey)
const ec = await jose.generateKeyPair('ES256', { extractable: true })
const ecJwk = await jose.exportJWK(ec.publicKey)
const url = gate.url

note('first request has no nonce', await gate.token({ dance: false }))
const first = await gate.token()
note('with it', first)
note('the same proof again', await gate.token({ proofs: { exactly: first.sent }, dance: false }))
note('a stranger\'s key', await gate.token({ proofs: { jwk: strangerJwk, sign: stranger.privateKey } }))
note('a stranger\'s signature under our key', await gate.token({ proofs: { sign: stranger.privateKey } }))
note('our signature under a stranger\'s key', await gate.token({ proofs: { jwk: strangerJwk } }))
note('ES256', await gate.token({ proofs: { alg: 'ES256', jwk: ecJwk, sign: ec.privateKey } }))
note('another htu', await gate.token({ proofs: { claims: { htu: url + '/slice' } } }))
note('another host in htu', await gate.token({ proofs: { claims: { htu: 'https://gate.example/token' } } }))
note('another htm', await gate.token({ proofs: { claims: { htm: 'GET' } } }))
note('a nonce of its own', await gate.token({ proofs: { claims: { nonce: 'AAAAAAAAAAAAAAAAAAAAAA' } }, dance: false }))
note('no typ', await gate.token({ proofs: { exactly: await new jose.SignJWT({ jti: 'a', htm: 'POST', htu: url + '/token', nonce: gate.nonce })
  .setProtectedHeader({ alg: 'EdDSA', jwk: key.jwk }).setIssuedAt().sign(key.privateKey) }, dance: false }))
const unsigned = (await proof(key, 'POST', url + '/token', { nonce: gate.nonce })).split('.')
unsigned[0] = Buffer.from(JSON.stringify({ typ: 'dpop+jwt', alg: 'none', jwk: key.jwk })).toString('base64url')
note('alg none', await gate.token({ proofs: { exactly: `${unsigned[0]}.${unsigned[1]}.` }, dance: false }))
note('alg none with a signature', await gate.token({ proofs: { exactly: unsigned.join('.') }, dance: false }))
const altered = new Gate(key, { ...grant, jwt: grant.jwt.slice(0, -8) + 'AAAAAAAA' })
note('an altered grant', await altered.token())
const other = await new jose.SignJWT(grant.claims).setProtectedHeader({ alg: 'EdDSA', typ: 'wallet-grant+jwt', jwk: strangerJwk }).sign(stranger.privateKey)
note('a grant of another wallet', await new Gate(key, { ...grant, jwt: other }).token())

const { access_token: token } = JSON.parse(first.body)
note('a token as Bearer', await gate.send('GET', '/summary', { token, scheme: 'Bearer' }))
note('a token with a stranger\'s proof', await gate.send('GET', '/slice', { token, proofs: { jwk: strangerJwk, sign: stranger.privateKey } }))
note('a token without ath', await gate.send('GET', '/slice', { token, proofs: { token: undefined } }))
note('ath of another token', await gate.send('GET', '/slice', { token, proofs: { token: 'A'.repeat(43) } }))
note('a token that is none', await gate.send('GET', '/slice', { token: 'A'.repeat(43) }))
note('a parameter that is not known', await gate.send('GET', '/slice', { token, query: '?kind=cgm' }))
note('a window that is wider', await gate.send('GET', '/slice', { token, query: '?from=1990-01-01' }))
note('a kind that was not granted', await gate.send('GET', '/slice', { token, query: '?kinds=note' }))
note('and still', await gate.send('GET', '/slice', { token }))
console.log(JSON.stringify(seen))
