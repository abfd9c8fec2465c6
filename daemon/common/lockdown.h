/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a process gives up, for good, before it reads a foreign byte: no_new_privs, dumps, limits, Landlock where the
 * kernel has it, seccomp. What each profile keeps is in the tables of lockdown.c.
 */

#include "util.h"

typedef enum LockdownProfile {
        LOCKDOWN_LAUNCHER, /* everything but a list that kills; inherited by all */
        LOCKDOWN_CORE,     /* a list; else ENOSYS and one line on stderr per call; a second list that kills */
        LOCKDOWN_KDF,      /* workers: a list; everything else kills */
        LOCKDOWN_IMPORT,
        LOCKDOWN_GATE,
        LOCKDOWN_USB,  /* the device is descriptor 3: ioctl on no other, and only what transfers need */
        N_LOCKDOWN_PROFILES,
} LockdownProfile;

typedef struct Lockdown {
        LockdownProfile profile;
        int state_dir_fd;       /* launcher, core: may be read and written below it; others: not looked at */
        int socket_dir_fd;      /* launcher: may be unlinked in; -1 when there is none */
        const int *exec_fds;    /* launcher: the programs that may be executed, besides the dynamic loader */
        size_t n_exec_fds;
        int *ret_landlock_abi;  /* NULL, or gets the Landlock ABI in use: 0 where the kernel has none (status says so) */
} Lockdown;

/**
 * lockdown() - give up
 *
 * Once, with one thread. Afterwards a worker can't open, execute, connect, trace or fork; see the tables.
 *
 * Return: 0, or negative errno: the process must not go on.
 */
must_check int lockdown(const Lockdown *lockdown);
