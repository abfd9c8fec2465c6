/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core as a process: what main() hands to the launcher. */

#include <sys/types.h>

#include "daemon/common/util.h"

typedef struct CoreConfig {
        int listen_fd, state_dir_fd, notify_fd; /* borrowed; notify_fd: -1 for none */
        int credential_fd; /* borrowed; -1: none. The first core reads it to its end, so that one after a lock finds nothing: a lock holds */
        const char *state_dir;
        uid_t patient;
        uint64_t kdf_memlimit; /* bytes */
} CoreConfig;

/** core_main() - @userdata: CoreConfig. Set up, lock down, announce, loop. Return: exit code */
int core_main(void *userdata, int launcher_fd);
