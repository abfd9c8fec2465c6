/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* C2SP signed notes and checkpoints (c2sp.org/signed-note, c2sp.org/tlog-checkpoint), Ed25519 only. */

#include "daemon/common/secret.h"
#include "merkle.h"

enum {
        NOTE_MAX = 4096, /* bytes of a checkpoint */

        NOTE_E_FORMAT = 1,
        NOTE_E_SIGNATURE,
};

/** note_checkpoint_sign() - @ret: malloc'd text; @seed: 32 bytes; key name is the origin */
must_check int note_checkpoint_sign(char **ret, const char *origin, uint64_t size, const MerkleHash *root, const Secret *seed);
/** note_checkpoint_open() - verify and parse */
must_check int note_checkpoint_open(const char *note, size_t n_note, const char *origin, const uint8_t public_key[static 32], uint64_t *ret_size, MerkleHash *ret_root);
