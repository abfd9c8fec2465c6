// SPDX-License-Identifier: Apache-2.0
// A provider in JavaScript: proofs and checks by npm's jose, TLS and HTTP by Node. Nothing of carewallet's own.
import { createHash, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import http from 'node:http'
import tls from 'node:tls'
import * as jose from 'jose'

export const sha256 = (data, as) => createHash('sha256').update(data).digest(as)

/** The key pair in a JWK file, as `carewallet-provider keygen` or jose itself makes one. */
export async function readKey(path) {
  const jwk = JSON.parse(readFileSync(path, 'utf8'))
  const { d, ...publicJwk } = jwk
  return { privateKey: await jose.importJWK(jwk, 'EdDSA'), jwk: publicJwk, thumbprint: await jose.calculateJwkThumbprint(publicJwk) }
}

/** Verifies a grant with the key in its header, which must be the one that "iss" names. Returns its claims. */
export async function readGrant(path, key) {
  const jwt = readFileSync(path, 'utf8').trim()
  const { jwk } = jose.decodeProtectedHeader(jwt)
  const issuer = await jose.calculateJwkThumbprint(jwk)
  const { payload } = await jose.jwtVerify(jwt, jose.createLocalJWKSet({ keys: [jwk] }), {
    algorithms: ['EdDSA'], typ: 'wallet-grant+jwt', issuer, audience: key.thumbprint,
    requiredClaims: ['exp', 'nbf', 'iat', 'jti', 'sub', 'cnf'],
  })
  if (payload.cnf.jkt !== key.thumbprint) throw new Error('the grant is for another key')
  return { jwt, claims: payload }
}

export function proof(key, method, url, { nonce, token, claims = {}, alg = 'EdDSA', jwk = key.jwk, sign = key.privateKey } = {}) {
  const payload = { jti: randomUUID(), htm: method, htu: url, ...(nonce && { nonce }), ...(token && { ath: sha256(token, 'base64url') }), ...claims }
  return new jose.SignJWT(payload).setProtectedHeader({ typ: 'dpop+jwt', alg, jwk }).setIssuedAt().sign(sign)
}

/** One request. The server's key is compared with the pins of the grant before a byte is sent. */
async function request(url, pins, { method, headers, body }) {
  const { hostname, port, pathname, search } = new URL(url)
  const socket = tls.connect({ host: hostname.replace(/^\[|\]$/g, ''), port: port || 443, minVersion: 'TLSv1.3', rejectUnauthorized: false })
  await new Promise((resolve, reject) => { socket.once('secureConnect', resolve); socket.once('error', reject) })
  const spki = socket.getPeerX509Certificate().publicKey.export({ type: 'spki', format: 'der' })
  if (!pins.includes(sha256(spki, 'base64url'))) { socket.destroy(); throw new Error('not the gate of the grant') }
  return new Promise((resolve, reject) => {
    const out = http.request({ createConnection: () => socket, method, path: pathname + search, headers: { host: hostname, ...headers } })
    out.once('error', reject)
    out.once('response', (response) => {
      const chunks = []
      response.on('data', (chunk) => chunks.push(chunk))
      response.once('error', reject)
      response.once('end', () => resolve({
        status: response.statusCode, headers: response.headers, trailers: response.trailers, body: Buffer.concat(chunks), whole: response.complete,
      }))
    })
    out.end(body)
  })
}

/** The client that RFC 9449 describes: a fresh proof for every request, once more when the server names a nonce. */
export class Gate {
  constructor(key, grant, url = grant.claims.gate.urls[0]) {
    Object.assign(this, { key, grant, url, pins: grant.claims.gate.pins, nonce: undefined, dances: 0 })
  }

  async send(method, path, { headers = {}, body, query = '', token, scheme = 'DPoP', proofs = {}, dance = true } = {}) {
    for (;;) {
      const sent = proofs.exactly ?? await proof(this.key, method, this.url + path, { nonce: this.nonce, token, ...proofs })
      const answer = await request(this.url + path + query, this.pins, {
        method, body,
        headers: { dpop: sent, ...(token && { authorization: `${scheme} ${token}` }), ...(body && { 'content-length': Buffer.byteLength(body) }), ...headers },
      })
      this.nonce = answer.headers['dpop-nonce'] ?? this.nonce
      answer.sent = sent
      answer.error = answer.status === 200 ? undefined : JSON.parse(answer.body).error
      if (answer.error !== 'use_dpop_nonce' || !dance) return answer
      if (++this.dances > 4) throw new Error('nonces without end')
    }
  }

  token(options) {
    return this.send('POST', '/token', {
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
      body: new URLSearchParams({ grant_type: 'urn:ietf:params:oauth:grant-type:jwt-bearer', assertion: this.grant.jwt }).toString(),
      ...options,
    })
  }
}

/** Checks the end mark of a slice as NDJSON; its rows. */
export function ndjsonRows(body) {
  const text = body.toString('utf8')
  const last = text.lastIndexOf('\n', text.length - 2) + 1
  const { end } = JSON.parse(text.slice(last))
  if (end.sha256 !== sha256(text.slice(0, last), 'hex')) throw new Error('the checksum does not fit')
  const rows = text.slice(0, last).trim().split('\n').map((line) => JSON.parse(line)).filter((row) => row.kind)
  if (rows.length !== end.rows) throw new Error(`${rows.length} rows, ${end.rows} said`)
  return rows
}

/** The same for CSV, whose end mark is a trailer. */
export function csvRows(answer) {
  const [, rows, hash] = /^rows=(\d+); sha256=([0-9a-f]{64})$/.exec(answer.trailers['carewallet-slice'])
  if (hash !== sha256(answer.body, 'hex')) throw new Error('the checksum does not fit')
  const lines = answer.body.toString('utf8').trim().split('\n').slice(1)
  if (lines.length !== Number(rows)) throw new Error(`${lines.length} rows, ${rows} said`)
  return lines
}
