/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Probes: a shipped program tries, after its own lockdown(), what it must not be able to do. */

#include "util.h"

enum {
        PROBE_STOPPED = 0,
        PROBE_UNKNOWN = 2,
        PROBE_ALLOWED = 3,
};

/**
 * probe_run() - try one act
 * @name:  open-read, open-write, connect, socket-inet, exec, execveat, ptrace, process_vm_readv, mount, fork, bpf
 *
 * Writes "PROBE name: errno NAME" or "PROBE name: ALLOWED" to descriptor 1. A probe that is killed by SIGSYS, or that
 * became another program, writes nothing: the parent sees which.
 *
 * Return: exit code, PROBE_...
 */
must_check int probe_run(const char *name);
