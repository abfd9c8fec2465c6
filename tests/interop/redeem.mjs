// SPDX-License-Identifier: Apache-2.0
// usage: node redeem.mjs GRANTFILE KEY.jwk      prints what was fetched as one JSON object
import { Gate, csvRows, ndjsonRows, readGrant, readKey } from './gate.mjs'

const [, , grantPath, keyPath] = process.argv
const key = await readKey(keyPath)
const grant = await readGrant(grantPath, key)
const gate = new Gate(key, grant)

const issued = await gate.token()
if (issued.status !== 200) {
  console.log(JSON.stringify({ status: issued.status, error: issued.error }))
  process.exit(1)
}
const { access_token: token, token_type: type, expires_in: life } = JSON.parse(issued.body)
const ndjson = await gate.send('GET', '/slice', { token, headers: { accept: 'application/x-ndjson' } })
const csv = await gate.send('GET', '/slice', { token, headers: { accept: 'text/csv' } })
const summary = await gate.send('GET', '/summary', { token })

console.log(JSON.stringify({
  status: ndjson.status, type, life, dances: gate.dances, scope: grant.claims.scope,
  rows: ndjsonRows(ndjson.body), csvRows: csvRows(csv).length, summary: summary.status === 200 ? JSON.parse(summary.body) : summary.error,
}))
