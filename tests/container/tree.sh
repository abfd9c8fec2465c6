# SPDX-License-Identifier: Apache-2.0
# Sourced by the container scripts: a fresh, bare Debian in a temporary folder, with a clean clone of HEAD in it.
# Root. The bare system is made once and kept as a tar file.

set -euo pipefail
root=$(cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")/../.." && pwd)
cache=/var/cache/carewallet
suite=${CAREWALLET_SUITE:-bookworm}

[ "$(id -u)" = 0 ] || { echo "containers need root" >&2; exit 1; }
for program in debootstrap systemd-nspawn git; do
        command -v $program >/dev/null || { echo "$program is missing: ./dev container installs it" >&2; exit 1; }
done

# the mirror that this machine itself uses
mirror() {
        local m
        m=$(sed -n -e 's/^URIs: *\([^ ]*debian\/\?\)$/\1/p' /etc/apt/sources.list.d/debian.sources 2>/dev/null | head -n 1)
        [ -n "$m" ] || m=$(sed -n -e 's/^deb \(\[[^]]*\] *\)\?\([^ ]*\/debian\/\?\) .*/\2/p' /etc/apt/sources.list 2>/dev/null | head -n 1)
        printf '%s\n' "${m:-http://deb.debian.org/debian}"
}

tree=
at_end=() # removed then
remove_trees() {
        local status=$? dir
        trap - EXIT INT TERM
        for dir in "${at_end[@]}"; do
                # a mount that was left behind must not be emptied
                if ! grep -q " $dir" /proc/self/mounts; then rm -rf --one-file-system "$dir"; fi
        done
        exit $status
}
trap remove_trees EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# make_tree [SUITE]: sets $tree
make_tree() {
        local suite=${1:-$suite}
        local bare=$cache/$suite-minbase.tar
        if [ ! -f "$bare" ]; then
                echo "making a bare $suite from $(mirror)"
                mkdir -p "$cache"
                tree=$(mktemp -d /var/tmp/carewallet-tree.XXXXXX)
                at_end+=("$tree")
                debootstrap --variant=minbase "$suite" "$tree" "$(mirror)" >"$cache/debootstrap.log" 2>&1 ||
                        { tail -n 20 "$cache/debootstrap.log" >&2; exit 1; }
                tar -C "$tree" -cf "$bare.new" .
                mv "$bare.new" "$bare"
                rm -rf --one-file-system "$tree"
        fi
        tree=$(mktemp -d "/var/tmp/carewallet-$suite.XXXXXX")
        at_end+=("$tree")
        tar -C "$tree" -xf "$bare"
        chmod 0755 "$tree" # its root, which mktemp made for root alone
        git clone -q --no-local "$root" "$tree/root/carewallet"
}

# Landlock is off nspawn's own list of system calls; the programs are to be tried with it.
nspawn() {
        systemd-nspawn --quiet --register=no --keep-unit --resolv-conf=copy-host -D "$tree" \
                --system-call-filter="landlock_create_ruleset landlock_add_rule landlock_restrict_self" "$@"
}
inside() { nspawn --pipe /bin/bash -c "$1" </dev/null; }
