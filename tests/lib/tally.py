# SPDX-License-Identifier: Apache-2.0
"""Count single tests in a run of meson test: tally.py TESTLOG.JSON CONSOLE-LOG.

Prints "PASSED FAILED SKIPPED" on stdout. What failed is shown whole on stderr, why something was skipped in one line.
A program that says how many tests it ran (cmocka, Python's unittest) counts as so many, any other as one; a program
that failed counts at least one failure, whatever it says.
"""

import json
import re
import sys


def counts(test):
        text = test.get('stdout', '') + '\n' + test.get('stderr', '')
        result = test['result']
        passed = failed = skipped = 0
        for n in re.findall(r'\[  PASSED  \] (\d+) test', text):
                passed += int(n)
        for n in re.findall(r'\[  FAILED  \] (\d+) test', text):
                failed += int(n)
        for n in re.findall(r'\[  SKIPPED \] (\d+) test', text):
                skipped += int(n)
        for n, outcome in re.findall(r'^Ran (\d+) tests? in .*\n\n?((?:OK|FAILED).*)$', text, re.M):
                bad = sum(int(x) for x in re.findall(r'(?:failures|errors|unexpected successes)=(\d+)', outcome))
                not_run = sum(int(x) for x in re.findall(r'skipped=(\d+)', outcome))
                passed, failed, skipped = passed + int(n) - bad - not_run, failed + bad, skipped + not_run
        if result == 'SKIP':
                return 0, 0, max(1, skipped)
        if result in ('OK', 'EXPECTEDFAIL'):
                return (passed, failed, skipped) if passed + failed + skipped else (1, 0, 0)
        return passed, max(1, failed), skipped


def main():
        passed = failed = skipped = 0
        try:
                with open(sys.argv[1]) as f:
                        tests = [json.loads(line) for line in f if line.strip()]
        except (OSError, ValueError) as e:
                sys.exit(f'tally: {e}')
        if not tests:
                sys.exit('tally: no test was run')
        for test in tests:
                p, f, s = counts(test)
                passed, failed, skipped = passed + p, failed + f, skipped + s
                if f:
                        print(f'--- {test["name"]}: {test["result"]}\n{test.get("stdout", "")}{test.get("stderr", "")}', file=sys.stderr)
                elif s:
                        text = test.get('stdout', '') + '\n' + test.get('stderr', '')
                        why = next((line for line in text.splitlines() if 'skipped' in line.lower()), 'skipped')
                        print(f'  {test["name"]}: {why.strip()}', file=sys.stderr)
        print(passed, failed, skipped)


main()
