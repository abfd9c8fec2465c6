/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the command line remembers of a daemon, in $XDG_STATE_HOME/carewallet/cli, one file a socket: where its state
 * is and to which key a revocation is sealed when it does not run, up to where the patient was told what happened, and the
 * newest checkpoint of the ledger that it has shown. A ledger that is behind that checkpoint has been put back to an older
 * state; the daemon cannot know, we can.
 */

#include "message.h"

typedef enum MemoryVerdict {
        MEMORY_FINE,
        MEMORY_OLDER,     /* the ledger is shorter than it was, or was when the core noticed it */
        MEMORY_REWRITTEN, /* as long as it was, and another */
        MEMORY_ANEW,      /* the ledger began a new epoch: restored. Told once */
        MEMORY_OTHER,     /* another wallet than the last time */
} MemoryVerdict;

typedef struct Memory Memory;

/** memory_load() - @socket_path: the daemon's. NULL when there is no home to keep it in or no memory */
Memory *memory_load(const char *socket_path);
Memory *memory_free(Memory *memory);
DEFINE_CLEANUP(Memory *, memory_free)

/**
 * memory_note() - compare with a reply to Status that was asked for after memory_load(), and remember it
 * @accept: what looks wrong is as the patient wants it: forget what was before
 *
 * Once something was wrong, it is told each time until it is accepted: a ledger that grew on is not better for it.
 */
MemoryVerdict memory_note(Memory *memory, const json_t *status, bool accept);

/** memory_checkpoint() - the newest one of the last wallet that was seen; borrowed; NULL when there is none */
const char *memory_checkpoint(const Memory *memory);
/** memory_checkpoint_size() - entries that the ledger of the last wallet is known to have had */
int64_t memory_checkpoint_size(const Memory *memory);

/** memory_told_size() - entries of the last wallet's ledger that the patient has been told about; 0: none yet */
int64_t memory_told_size(const Memory *memory);
/** memory_told_today() - the patient has been told today */
bool memory_told_today(const Memory *memory);
/** memory_tell() - the patient is told now what @status says */
void memory_tell(Memory *memory, const json_t *status);

const char *memory_state_dir(const Memory *memory); /* borrowed; NULL when it is not known */
/** memory_revocation_key() - false when it is not known */
bool memory_revocation_key(const Memory *memory, uint8_t ret_key[static 32], uint8_t ret_wallet_id[static 16]);

/** memory_save() - write what changed; what fails is of no consequence for the verb that runs */
void memory_save(Memory *memory);

/** memory_checkpoint_parse() - the size in a C2SP checkpoint, and where its signatures begin; MESSAGE_E_FORMAT */
must_check int memory_checkpoint_parse(const char *checkpoint, int64_t *ret_size, size_t *ret_n_body);
