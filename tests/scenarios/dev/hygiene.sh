#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# What must never be in the tree, and what every file must have.
set -u
cd "$(dirname "$(readlink -f "$0")")/../../.."

bad=0
complain() { # WHAT, lines on stdin
        local lines
        lines=$(head -n 20)
        [ -n "$lines" ] || return 0
        printf '%s:\n%s\n' "$1" "$lines"
        bad=$((bad + 1))
}

# files as git has them; without git, or in a tree of another owner, whatever lies there
if git rev-parse --is-inside-work-tree >/dev/null 2>&1; then mapfile -t files < <(git ls-files)
else mapfile -t files < <(find . -path './build*' -prune -o -path ./.git -prune -o -name __pycache__ -prune -o -type f -printf '%P\n'); fi

code=() text=() shipped=()
for f in "${files[@]}"; do
        [ -f "$f" ] || continue
        case $f in
        *.c | *.h)
                code+=("$f") text+=("$f")
                [[ $f == tests/* ]] || shipped+=("$f")
                ;;
        dev | .ci/run | *.sh | *.py | *.md | *.build | *.mjs | *.js) text+=("$f") ;;
        esac
done
[ ${#code[@]} -gt 0 ] || { echo "no code found"; exit 1; }

# the patterns are written so that they do not find themselves
grep -nE 'TO[D]O|FIX[M]E|\bX{3}\b|not[ ]implemented' "${code[@]}" | complain "left open in the code"
grep -nE '^(<{7}|>{7}|={7})( |$)' "${text[@]}" | complain "conflict markers"
grep -nE '[[:space:]]+$' "${text[@]}" | complain "space at the end of a line"
grep -nP '\t' "${code[@]}" | complain "tabs in C"
grep -nP '[\x{200b}\x{202a}-\x{202e}\x{2066}-\x{2069}\x{feff}]' "${text[@]}" | complain "invisible characters"
grep -nE '\b(strcpy|strcat|sprintf|gets|atoi|atol|atof|strtok|system|popen) ?\(' "${shipped[@]}" | complain "functions that we do not use"
for f in "${code[@]}"; do
        head -n 1 "$f" | grep -qx '/\* SPDX-License-Identifier: Apache-2.0 \*/' || echo "$f"
done | complain "no licence line"
for f in "${code[@]}"; do
        [[ $f != *.h ]] || grep -qx '#pragma once' "$f" || echo "$f"
done | complain "headers without #pragma once"

[ $bad = 0 ] && echo "${#text[@]} files, nothing found"
[ $bad = 0 ]
