/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What is derived from the root key: crypto_kdf (BLAKE2b), context "carewall", one number per key. */

#include "secret.h"

enum {
        KEYS_ROOT_SIZE = 32,
        KEYS_SIZE = 32, /* of each derived key */
        KEYS_IDENTITY_SIZE = 4 * KEYS_SIZE,
};

/* Numbers are for ever: a wallet's files depend on them. */
typedef enum KeyId {
        KEY_CONSENT_DB = 1,      /* raw SQLCipher key of consent.db */
        KEY_RECORDS_DB = 2,      /* raw SQLCipher key of records.db */
        KEY_PSEUDONYM = 3,       /* keyed BLAKE2b */
        KEY_BACKUP = 4,
        KEY_GRANT_SEED = 5,      /* Ed25519 seed: signs grants; the wallet's public identity */
        KEY_CHECKPOINT_SEED = 6, /* Ed25519 seed: signs checkpoints of the ledger */
        KEY_SLOTS_MAC = 7,       /* keyed BLAKE2b over the slot file */
        KEY_SPOOL_SEED = 8,      /* X25519 seed: opens revocations that were sealed while locked */
        N_KEYS = 9,

        KEY_ROTATION = 9,        /* seals the next root key while the databases are written anew; derived when it is needed */
} KeyId;

typedef struct Keys {
        Secret *keys[N_KEYS]; /* by KeyId; index 0 is unused */
} Keys;

/** keys_derive_one() - @root has KEYS_ROOT_SIZE bytes; -ENOMEM */
must_check int keys_derive_one(Secret **ret, const Secret *root, KeyId id);
/** keys_derive() - all of them; -ENOMEM */
must_check int keys_derive(Keys **ret, const Secret *root);
/**
 * keys_identity() - who the wallet is to others: the keys of pseudonyms, grants, checkpoints and the spool, in this order
 *
 * After a rotation they are those of the first root key, kept in consent.db: grants go on, and the ledger is the same one.
 */
must_check int keys_identity(const Keys *keys, Secret **ret);
/** keys_use_identity() - @bytes: of keys_identity(), KEYS_IDENTITY_SIZE */
void keys_use_identity(Keys *keys, const uint8_t *bytes);
/** keys_free() - wipe and free; accepts NULL, returns NULL */
Keys *keys_free(Keys *keys);

DEFINE_CLEANUP(Keys *, keys_free)
