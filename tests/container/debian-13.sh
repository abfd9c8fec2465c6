#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Debian 13: built and tested there with its own packages; and one wallet by turns under SQLCipher 3.4.1 of Debian 12 and
# 4.6 of Debian 13, each time left behind by kill -9.
. "$(dirname "$(readlink -f "$0")")/tree.sh"

started=$SECONDS
shared=$(mktemp -d /var/tmp/carewallet-shared.XXXXXX)
at_end+=("$shared")

make_tree bookworm
old=$tree
make_tree trixie
new=$tree
for tree in "$old" "$new"; do
        echo "== building in $(basename "$tree")"
        inside 'cd /root/carewallet && ./dev build'
done

echo "== the tests in trixie"
inside 'cd /root/carewallet && meson test -C build --no-rebuild --timeout-multiplier 3 --no-suite interop --no-suite reconcile >/tmp/test.log 2>&1 ||
        { cat /tmp/test.log; tail -n 200 build/meson-logs/testlog.txt; exit 1; }; grep -E "^(Ok|Fail|Skipped):" /tmp/test.log'

generation() { # TREE STEP NAME
        tree=$1
        nspawn --pipe --bind="$shared:/srv" /bin/bash -c \
                "cd /root/carewallet && PATH=\$PATH CAREWALLET_BUILD=\$PWD/build python3 -B tests/container/generations.py $2 /srv '$3'" </dev/null
}
echo "== one wallet under both"
generation "$old" make "Debian 12"
generation "$new" open "Debian 13"
generation "$old" open "Debian 12"
generation "$new" upgrade "Debian 13"
generation "$new" open "Debian 13"
generation "$old" refused "Debian 12"
echo "debian 13: passed in $((SECONDS - started)) s"
