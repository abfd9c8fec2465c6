#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# usage: redeem.sh GRANTFILE KEY.jwk ndjson|csv|summary OUT
# A provider with curl. PROVE is what makes the DPoP proofs: ./prove.sh (OpenSSL), or "node prove.mjs" (npm's jose).
set -euo pipefail
grant=$(tr -d '\n' <"$1") key=$2 format=$3 out=$4
here=$(dirname "$(readlink -f "$0")")
read -ra prove <<<"${PROVE:-$here/prove.sh}"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
json() { python3 -c "import json,sys; v = json.load(sys.stdin); print($1)"; }

# the gate's address and the pin of its key stand in the grant
claims() { cut -d . -f 2 <<<"$grant" | python3 -c "import base64,sys; t = sys.stdin.read().strip(); print(base64.urlsafe_b64decode(t + '=' * (-len(t) % 4)).decode())"; }
url=$(claims | json "v['gate']['urls'][0]")
pins=$(claims | json "';'.join('sha256//' + p.replace('-', '+').replace('_', '/') + '=' for p in v['gate']['pins'])")

# ask METHOD PATH QUERY TOKEN [CURL OPTION…]: once, and once more with the nonce that the gate names
nonce=
ask() {
        local method=$1 path=$2 query=$3 token=$4 try
        for try in 1 2 3; do
                curl --silent --show-error --http1.1 --tlsv1.3 --insecure --pinnedpubkey "$pins" --dump-header "$work/head" \
                        --output "$work/body" --write-out '%{http_code}' --request "$method" \
                        --header "DPoP: $("${prove[@]}" "$key" "$method" "$url$path" "$nonce" "$token")" \
                        ${token:+--header "Authorization: DPoP $token"} "${@:5}" "$url$path$query" >"$work/status"
                nonce=$(sed -n 's/^dpop-nonce: *\([^[:space:]]*\).*/\1/Ip' "$work/head" | tail -n 1)
                [ "$(cat "$work/status")" = 200 ] && return
                [ "$(json "v['error']" <"$work/body")" = use_dpop_nonce ] || break
        done
        cat "$work/body" >&2
        exit 1
}

ask POST /token '' '' --data-urlencode grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer --data-urlencode "assertion=$grant"
token=$(json "v['access_token']" <"$work/body")

# whole is what says so: a last line of NDJSON, a trailer of CSV
sum() { sha256sum | cut -d ' ' -f 1; }
case $format in
ndjson)
        ask GET /slice '?format=ndjson' "$token"
        [ "$(head -n -1 "$work/body" | sum)" = "$(tail -n 1 "$work/body" | json "v['end']['sha256']")" ] || { echo "not whole" >&2; exit 1; }
        ;;
csv)
        ask GET /slice '?format=csv' "$token"
        said=$(sed -n 's/^carewallet-slice: *rows=[0-9]*; sha256=\([0-9a-f]*\).*/\1/Ip' "$work/head")
        [ "$(sum <"$work/body")" = "$said" ] || { echo "not whole" >&2; exit 1; }
        ;;
summary) ask GET /summary '' "$token" ;;
*) echo "ndjson, csv or summary" >&2; exit 2 ;;
esac
cp "$work/body" "$out"
