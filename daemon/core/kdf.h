/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One run of the kdf worker: a sealed memfd in, a key out. The core never reads the memfd. */

#include "daemon/common/secret.h"
#include "worker.h"

typedef struct Kdf Kdf;

enum {
        KDF_E_SECRET = 1, /* not a sealed memfd of 1..4096 bytes */
        KDF_E_CODE,       /* not a recovery code */
        KDF_E_MEMORY,
        KDF_E_WORKER,     /* it died, hung or sent nonsense */
};

/* r: 0, KDF_E_..., negative errno; key: to take over, with r == 0 only. The Kdf is freed by itself after this. */
typedef void (*KdfDone)(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata);

must_check int kdf_start(Kdf **ret, sd_event *event, int launcher_fd, int secret_fd, const FrameKdfRequest *request, KdfDone done, void *userdata);
/** kdf_cancel() - done is not called; accepts NULL, returns NULL */
Kdf *kdf_cancel(Kdf *kdf);
