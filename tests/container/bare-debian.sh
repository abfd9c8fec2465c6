#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The two commands of the README on a bare Debian, from a clean clone, with nothing installed before.
. "$(dirname "$(readlink -f "$0")")/tree.sh"

make_tree
started=$SECONDS
for command in ${*:-demo test}; do
        echo "== ./dev $command on a bare $suite"
        inside "cd /root/carewallet && ./dev $command"
done
inside 'cd /root/carewallet && ./dev clean'
left=$(git -C "$tree/root/carewallet" status --porcelain --ignored)
[ -z "$left" ] || { printf 'left in the tree:\n%s\n' "$left"; exit 1; }
echo "bare $suite: passed in $((SECONDS - started)) s"
