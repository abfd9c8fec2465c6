#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# Every header of what ships compiles alone, with gcc and, where it is there, clang.
set -u
cd "$(dirname "$(readlink -f "$0")")/../../.."

flags=(-std=gnu17 -D_GNU_SOURCE -DSQLITE_HAS_CODEC -Wall -Wextra -Werror -Wmissing-prototypes -Wno-unused-function -I.)
read -ra packages < <(pkg-config --cflags libsodium jansson libseccomp libsystemd sqlcipher libmicrohttpd gnutls libcurl libusb-1.0)
n=0 bad=0
while IFS= read -r -d '' header; do
        for cc in gcc clang; do
                command -v $cc >/dev/null || continue
                n=$((n + 1))
                if ! $cc "${flags[@]}" "${packages[@]}" -I"$(dirname "$header")" -fsyntax-only -include "$header" -x c /dev/null; then
                        printf '%s does not compile alone (%s)\n' "$header" $cc
                        bad=$((bad + 1))
                fi
        done
done < <(find policy daemon cli -name '*.h' -print0)
printf '%d checks of headers, %d failed\n' $n $bad
[ $n -gt 0 ] && [ $bad = 0 ]
