#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Change each comparison of policy/ in turn, and demand that a test notices.

mutate.py SOURCE_ROOT PRESET_TABLE CC... works in a temporary directory. A mutant is found when a unit test or 200,000
cases of decide.py fail, crash or hang with it. Undefined behaviour traps, so that reading past a table is found, too.
"""

import os
import re
import subprocess
import sys
import tempfile
import time

FILES = ('record', 'decide', 'redact', 'summary', 'presets')
FLIPS = {'<': ('<=', '>='), '<=': ('<', '>'), '>': ('>=', '<='), '>=': ('>', '<'),
         '==': ('!=',), '!=': ('==',), '&&': ('||',), '||': ('&&',)}
# In C comments, text and directives that name files are passed over; then the longest operator counts.
TOKEN = re.compile(r'''/\*.*?\*/|//[^\n]*|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\#\s*include[^\n]*'''
                   r'''|->|<<=?|>>=?|<=|>=|==|!=|&&|\|\||<|>''', re.DOTALL)
FLAGS = ['-std=gnu17', '-D_GNU_SOURCE', '-O1', '-w', '-fsanitize=undefined', '-fsanitize-undefined-trap-on-error']

# Mutants that no test can find, as they mean the same: the line, what it becomes, and why.
EQUIVALENT = {
        ('return a < b ? a : b;', 'return a <= b ? a : b;'): 'min(): equal arguments, equal answers',
        ('return a < b ? b : a;', 'return a <= b ? b : a;'): 'max(): equal arguments, equal answers',
}


def run(command, seconds=20, **options):
    """Whether it ended well and in time."""
    try:
        return subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=seconds,
                              check=False, **options).returncode == 0
    except subprocess.TimeoutExpired:
        return False


class Bench:
    def __init__(self, root, table, cc, directory):
        self.root, self.cc, self.directory = root, cc, directory
        self.objects = {}
        for name in FILES:
            self.compile(name, f'{root}/policy/{name}.c')
            self.compile(f'test-{name}', f'{root}/tests/unit/policy/test-{name}.c')
        self.compile('oracle-driver', f'{root}/tests/unit/policy/oracle-driver.c')
        self.compile('table', table)

    def path(self, name):
        return os.path.join(self.directory, name)

    def compile_to(self, target, source):
        if not run([*self.cc, *FLAGS, f'-I{self.root}', f'-I{self.root}/policy', '-c', source, '-o', target], 60):
            raise SystemExit(f'{source} does not compile')

    def compile(self, name, source):
        self.objects[name] = self.path(name + '.o')
        self.compile_to(self.objects[name], source)

    def link(self, main, replaced=None, by=None):
        objects = [by if name == replaced else self.objects[name] for name in (*FILES, 'table', main)]
        if not run([*self.cc, *objects, '-lcmocka', '-o', self.path(main)], 60):
            raise SystemExit(f'{main} does not link')
        return self.path(main)

    def passes(self, replaced=None, by=None):
        """Whether every test passes; the likeliest to fail comes first."""
        for name in sorted(FILES, key=lambda name: name != replaced):
            if not run([self.link(f'test-{name}', replaced, by)]):
                return False
        return run([sys.executable, f'{self.root}/tests/policy-oracle/decide.py',
                    self.link('oracle-driver', replaced, by), '200000', '7'], 120)

    def survives(self, name, text):
        source, by = self.path(f'mutant-{name}.c'), self.path('mutant.o')
        with open(source, 'w', encoding='utf-8') as file:
            file.write(text)
        self.compile_to(by, source)
        return self.passes(name, by)


def mutants(text):
    """(line number, line, the line as it becomes, text)"""
    for token in TOKEN.finditer(text):
        for flip in FLIPS.get(token.group(), ()):
            begin = text.rfind('\n', 0, token.start()) + 1
            end = text.index('\n', token.end())
            changed = text[:token.start()] + flip + text[token.end():]
            yield (text.count('\n', 0, begin) + 1, text[begin:end].strip(),
                   changed[begin:end + len(flip) - len(token.group())].strip(), changed)


def main(root, table, *cc):
    n, survivors, equivalent, start = 0, [], set(EQUIVALENT), time.monotonic()
    with tempfile.TemporaryDirectory(prefix='policy-mutation-') as directory:
        bench = Bench(root, table, cc, directory)
        if not bench.passes():
            raise SystemExit('the tests fail without any change')
        for name in FILES:
            with open(f'{root}/policy/{name}.c', encoding='utf-8') as file:
                text = file.read()
            for number, line, changed_line, changed in mutants(text):
                n += 1
                if (line, changed_line) in EQUIVALENT:
                    equivalent.discard((line, changed_line))
                elif bench.survives(name, changed):
                    survivors.append(f'policy/{name}.c:{number}: {line}\n    survives as: {changed_line}')
    for survivor in survivors:
        print(survivor)
    for line, _ in equivalent:
        print(f'no such line any more: {line}')
    print(f'{n} changes, {n - len(survivors) - len(EQUIVALENT) + len(equivalent)} found, '
          f'{len(EQUIVALENT) - len(equivalent)} mean the same, '
          f'{len(survivors)} not found; {time.monotonic() - start:.0f} s')
    return bool(survivors or equivalent)


if __name__ == '__main__':
    sys.exit(main(*sys.argv[1:]))
