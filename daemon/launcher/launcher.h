/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The launcher: parent of the core and of every worker.
 *
 * It forks the core before anything else is opened, locks itself down, and then only starts workers from a compiled-in
 * list, asked by the core over a socketpair with a fixed-size request and descriptors. It parses nothing else. A seccomp
 * filter is inherited across exec: a core that has given up the network could not start the gate itself.
 */

#include "daemon/common/util.h"

/* Numbers cross the socketpair; names and order of the list in launcher.c are the same. */
typedef enum LauncherWorker {
        LAUNCHER_KDF = 0,
        LAUNCHER_IMPORT = 1,
        LAUNCHER_GATE = 2,
        LAUNCHER_USB = 3,
        N_LAUNCHER_WORKERS = 4,
} LauncherWorker;

enum {
        LAUNCHER_FDS_MAX = 4,     /* of a worker: become 0, 1, 3 and 4; 2 stays the daemon's stderr */
        LAUNCHER_RUNNING_MAX = 32, /* workers at a time */
        LAUNCHER_CORE_RELOCK = 10, /* exit code of a core that wants to be followed by a fresh, locked one */
        LAUNCHER_STOP_MS = 5000,   /* a core that was told to stop and has not is killed after this */
};

typedef struct LauncherConfig {
        int state_dir_fd;  /* borrowed: the launcher and what it starts may write there and nowhere else */
        int socket_dir_fd; /* borrowed, or -1: directory of a socket that is unlinked after launcher_run() has returned */
} LauncherConfig;

/**
 * launcher_run() - fork the core, start workers for it, until it ends
 * @core_main:  runs in the child, with the original signal mask; returns its exit code; @launcher_fd is its own
 *
 * The caller holds no secret, has one thread, and has made the sockets, close-on-exec, that each core inherits: it has
 * read the environment, which is cleared here, and connected what is to be connected, because the launcher's lockdown
 * comes before the first core and connect() kills from then on. SIGTERM, SIGINT and SIGHUP are passed on to the core as SIGTERM. A core that exits with LAUNCHER_CORE_RELOCK is followed by a
 * fresh one; one that a signal ended is not, since the service manager's limits for starting again
 * hold then (Restart=on-failure): that it is so goes to stderr. However a core ends, its workers are killed. Children do not outlive the launcher.
 *
 * Return: the core's exit code; 128 and the signal's number when one ended it; negative errno.
 */
must_check int launcher_run(const LauncherConfig *config, int (*core_main)(void *userdata, int launcher_fd), void *userdata);

/**
 * launcher_spawn() - for the core: start a worker
 * @fds:        borrowed, 2..LAUNCHER_FDS_MAX: frames in, frames out, and what the job is about
 * @ret_pidfd:  readable when the worker has ended; may be NULL
 *
 * Blocks for one fork, below 5 ms. The worker has an empty environment and no other descriptor. It is the launcher's
 * child: how it ended is not known to the core but by the end of its frames.
 *
 * Return: 0; negative errno: -EAGAIN when LAUNCHER_RUNNING_MAX are running, -ENOENT when it is not installed.
 */
must_check int launcher_spawn(int launcher_fd, LauncherWorker worker, const int *fds, size_t n_fds, int *ret_pidfd);

/** launcher_kill() - for the core: SIGKILL to exactly that worker; 0 also when it has ended; negative errno */
must_check int launcher_kill(int pidfd);
