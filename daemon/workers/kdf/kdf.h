/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The kdf worker: a passphrase or a recovery code in, a key out. No files, no network. */

#include "daemon/common/frame.h"
#include "daemon/common/secret.h"

enum {
        KDF_KEY_SIZE = 32,
        KDF_CALIBRATED_MS = 1000, /* what a calibrated derivation should take */
        KDF_CALIBRATED_OPSLIMIT_MAX = 32,

        KDF_E_CODE = 1, /* not a recovery code, not a credential, or not a code */
};

/**
 * kdf_derive() - do what a request asks for
 * @phrase:        borrowed; passphrase bytes verbatim, or a recovery code as typed
 * @ret_opslimit:  what was used: after FRAME_KDF_CALIBRATE at least the request's; 0 for a recovery code
 *
 * Blocks for as long as Argon2id takes: with FRAME_KDF_CALIBRATE up to twice that.
 *
 * Return: 0; KDF_E_CODE; -ENOMEM.
 */
must_check int kdf_derive(const FrameKdfRequest *request, const Secret *phrase, Secret **ret_key, uint32_t *ret_opslimit);

/**
 * kdf_run() - the worker's life after its lockdown
 * @in_fd, @out_fd:  frames; blocking
 * @phrase_fd:       sealed memfd
 *
 * Return: 0 when an answer was written, a failure included; negative errno.
 */
must_check int kdf_run(int in_fd, int out_fd, int phrase_fd);
