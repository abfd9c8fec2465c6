/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The socketpair between core and launcher: SOCK_SEQPACKET, both of one binary, so these are plain structs. */

#include "launcher.h"

#define LAUNCHER_MAGIC UINT32_C(0x4357414c)

typedef struct LauncherRequest { /* with 2..LAUNCHER_FDS_MAX descriptors */
        uint32_t magic;
        uint32_t worker; /* LauncherWorker */
} LauncherRequest;

typedef struct LauncherAnswer { /* with a pidfd when result is 0 */
        uint32_t magic;
        int32_t result; /* 0 or negative errno */
} LauncherAnswer;
