# SPDX-License-Identifier: Apache-2.0
"""Every process tries, inside the shipped program and after its own lockdown, what it must not be able to do.

Argument: the build directory. Prints a table of what stopped each act, and fails where something that the design forbids
was let through, or was stopped by chance only (a file that is not there is no protection).
"""

import os
import signal
import subprocess
import sys
import tempfile

BUILD = sys.argv[1]
ACTS = ['open-read', 'open-write', 'connect', 'socket-inet', 'exec', 'execveat', 'ptrace', 'process_vm_readv', 'mount', 'fork', 'bpf']
PROCESSES = {
        'launcher': ['daemon/carewalletd', '--state-dir', '{state}', '--probe', 'launcher:{act}'],
        'core': ['daemon/carewalletd', '--state-dir', '{state}', '--probe', 'core:{act}'],
        'kdf': ['daemon/workers/kdf/carewallet-kdf', '--probe', '{act}'],
        'import': ['daemon/workers/import/carewallet-import', '--probe', '{act}'],
        'gate': ['daemon/workers/gate/carewallet-gate', '--probe', '{act}'],
        'usb': ['daemon/workers/usb/carewallet-usb', '--probe', '{act}'],
}

MADE = '/tmp/carewallet-probe'  # by open-write, were it let through

# What must stop it. Workers: their allow-list kills, whatever it is. FILES is Landlock, or said to be missing.
KILLED, FILES, ENOSYS, ALLOWED = 'SIGSYS', 'EACCES', 'ENOSYS', 'allowed'
EXPECTED = {worker: {act: KILLED for act in ACTS} for worker in ('kdf', 'import', 'gate', 'usb')}
EXPECTED['core'] = {act: KILLED for act in ACTS} | {'open-read': FILES, 'open-write': FILES, 'fork': ENOSYS}
EXPECTED['launcher'] = {act: KILLED for act in ACTS} | {
        'open-read': FILES,
        'open-write': FILES,
        'socket-inet': ALLOWED,  # the gate, its child, listens
        'fork': ALLOWED,  # it starts the workers
}


def landlock_abi():
        import ctypes
        libc = ctypes.CDLL(None, use_errno=True)
        return libc.syscall(444, None, 0, 1)  # landlock_create_ruleset, LANDLOCK_CREATE_RULESET_VERSION


def probe(command, act, state):
        """What stopped it: SIGSYS, the name of an errno, or 'allowed'."""
        program = os.path.join(BUILD, command[0])
        run = subprocess.run([program] + [part.format(act=act, state=state) for part in command[1:]],
                             stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, timeout=30)
        if run.returncode == -signal.SIGSYS:
                return KILLED
        said = run.stdout.strip()
        if run.returncode == 3 and said == f'PROBE {act}: ALLOWED':
                return ALLOWED
        if run.returncode == 0 and said.startswith(f'PROBE {act}: errno '):
                return said.split()[-1]
        if run.returncode == 0 and said == '':
                return ALLOWED  # it became another program
        return f'?? exit {run.returncode} {said} {run.stderr.strip()}'


def main():
        abi = landlock_abi()
        wrong = []
        print(f'Landlock ABI {abi}' if abi > 0 else 'no Landlock in this kernel: open is stopped in the workers only')
        print('act'.ljust(18) + ''.join(name.ljust(12) for name in PROCESSES))
        if os.path.exists(MADE):  # somebody's earlier experiment
                os.unlink(MADE)
        with tempfile.TemporaryDirectory(prefix='carewallet-probe-', dir='/var/tmp') as state:
                for act in ACTS:
                        row = act.ljust(18)
                        for name, command in PROCESSES.items():
                                found, expected = probe(command, act, state), EXPECTED[name][act]
                                row += found.ljust(12)
                                if found != expected and not (expected == FILES and abi <= 0):
                                        wrong.append(f'{name}: {act}: {found}, should be {expected}')
                        print(row)
        for line in wrong:
                print('WRONG', line)
        if os.path.exists(MADE):
                os.unlink(MADE)
                print('WRONG a file was made in /tmp')
                return 1
        return 1 if wrong else 0


sys.exit(main())
