#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The whole story in a terminal: ./dev demo. Everything happens in one temporary folder, which is gone at the end.
set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "$0")")/../../.." && pwd)
build=${CAREWALLET_BUILD:-$root/build}

dir=$(mktemp -d /tmp/carewallet-demo.XXXXXX)
daemon= finished=
cleanup() {
        local status=$?
        trap - EXIT INT TERM
        if [ -n "$daemon" ]; then
                kill -TERM "$daemon" 2>/dev/null || true
                for _ in $(seq 100); do
                        kill -0 "$daemon" 2>/dev/null || break
                        sleep 0.05
                done
                kill -KILL "$daemon" 2>/dev/null || true
                wait "$daemon" 2>/dev/null || true
        fi
        if [ -z "$finished" ]; then
                [ ! -s "$dir/daemon.log" ] || { printf '\nwhat the daemon said:\n'; cat "$dir/daemon.log"; } >&2
                printf '\nThe demo did not come to its end (%s).\n' "$status" >&2
                [ "$status" != 0 ] || status=1
        fi
        rm -rf "$dir"
        exit "$status"
}
trap cleanup EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

bold= dim= plain=
if [ -t 1 ] && [ -z "${NO_COLOR:-}" ]; then bold=$'\e[1m' dim=$'\e[2m' plain=$'\e[0m'; fi
step_n=0
step() { step_n=$((step_n + 1)); printf '\n%s%d. %s%s\n' "$bold" $step_n "$1" "$plain"; [ $# = 1 ] || printf '   %s\n' "${@:2}"; }
show() { printf '%s$ %s%s\n' "$dim" "$*" "$plain"; }

# The programs are called as a patient and as a provider would; "~" stands for the folder of each.
export LC_ALL=C.UTF-8
mkdir -m 0700 "$dir/patient" "$dir/clinic"
passphrase='four horses on a grey staple'

patient() {
        show "carewallet $*"
        (cd "$dir/patient" && HOME=$dir/patient CAREWALLET_SOCKET=$dir/socket exec "$build/cli/carewallet" "$@")
}
# with the passphrase on a pipe: never in argv, environment or a file
patient_with_passphrase() {
        show "carewallet $*"
        (cd "$dir/patient" && HOME=$dir/patient CAREWALLET_SOCKET=$dir/socket exec "$build/cli/carewallet" "$@" \
                3< <(printf '%s\n' "$passphrase"))
}
clinic() {
        show "carewallet-provider $*"
        (cd "$dir/clinic" && HOME=$dir/clinic exec "$build/cli/provider/carewallet-provider" "$@")
}
must_be_refused() { # a command that has to fail with exit code 1
        local status=0
        "$@" || status=$?
        [ $status = 1 ] || { printf 'This should have been refused (1), and ended with %d.\n' $status >&2; exit 1; }
}

started=$SECONDS
printf 'carewallet: a patient'\''s diabetes data, and who may see it\n'
printf 'Nobody'\''s data: a synthetic year of a MiniMed 780G. Everything happens in %s.\n' "$dir"

today=$(date +%Y-%m-%dT%H:%M)
python3 -B "$root/tests/data/generate-carelink.py" --days 365 --end "$today" --out "$dir/patient/carelink.csv"
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
gate=127.0.0.1:$(free_port)

step "The patient makes a wallet" "The daemon runs as the patient. The passphrase never touches a file or a command line."
show "carewalletd --state-dir ~/wallet --socket ~/socket &"
mkdir -m 0700 "$dir/wallet"
"$build/daemon/carewalletd" --state-dir "$dir/wallet" --socket "$dir/socket" >"$dir/daemon.log" 2>&1 </dev/null &
daemon=$!
for _ in $(seq 200); do
        [ ! -S "$dir/socket" ] || break
        kill -0 "$daemon" 2>/dev/null || { wait "$daemon" || true; daemon=; exit 1; }
        sleep 0.05
done
patient_with_passphrase init --passphrase-fd 3 --timezone Europe/Berlin

step "A year from CareLink goes in" "The file is read by a process that has neither files nor network."
patient_with_passphrase unlock --passphrase-fd 3
patient import carelink.csv
patient status

step "The clinic has a key, and gives the patient its public half"
clinic keygen --out provider.key
cp "$dir/clinic/provider.jwk" "$dir/patient/endo-clinic.jwk"
patient provider add endo-clinic --key endo-clinic.jwk

step "The gate is off until the patient opens it"
patient gate on --listen "$gate"

step "The patient lets the clinic see the last 90 days, for 30 days from now"
patient grant endo-clinic --preset endocrinologist --for 30d --last 90d --yes --out endo-clinic.grant

step "What would the clinic get at this moment? The preview takes the real path"
patient preview endo-clinic

step "The clinic redeems the grant" "It came by any way, such as mail: to anybody else it is worth nothing."
cp "$dir/patient/endo-clinic.grant" "$dir/clinic/"
clinic redeem endo-clinic.grant --key provider.key --format summary --out summary.json
printf '%s\n' "$(cat "$dir/clinic/summary.json")"
clinic redeem endo-clinic.grant --key provider.key --format ndjson --out slice.ndjson
rows=$(wc -l <"$dir/clinic/slice.ndjson")
printf '   the clinic holds %s lines; the first record and the last line:\n' "$rows"
grep -m 1 '"kind"' "$dir/clinic/slice.ndjson"
tail -n 1 "$dir/clinic/slice.ndjson"

step "The patient ends it, with one command"
patient revoke endo-clinic

step "The clinic tries again, and gets nothing"
must_be_refused clinic redeem endo-clinic.grant --key provider.key --format ndjson --out again.ndjson
[ ! -e "$dir/clinic/again.ndjson" ] || { echo "the clinic got a file" >&2; exit 1; }

step "Everything stands in the log"
patient log
patient gate off
patient lock
patient status

finished=yes
printf '\n%sDone in %d s: %d steps, and nothing is left behind.%s\n' "$bold" $((SECONDS - started)) $step_n "$plain"
