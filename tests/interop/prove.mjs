// SPDX-License-Identifier: Apache-2.0
// usage: node prove.mjs KEY.jwk METHOD URL [NONCE [TOKEN]]      prints a DPoP proof (RFC 9449) for curl, by npm's jose
import { proof, readKey } from './gate.mjs'

const [, , keyPath, method, url, nonce, token] = process.argv
console.log(await proof(await readKey(keyPath), method, url, { nonce, token }))
