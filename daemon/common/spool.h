/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Revocations made while the wallet is locked or the daemon does not run. Layout in daemon/FORMAT.md, "spool".
 *
 * Each is sealed to the wallet's public key (who reads the disk does not learn a provider's name) and is one file in
 * STATE-DIR/spool. Whoever can write there can revoke: narrowing needs no authority. Some files stand there in reserve, for a full
 * disk: an entry is written over one of them, which then gets its name.
 */

#include "secret.h"

typedef enum SpoolType {
        SPOOL_DAMAGED = 0,    /* to the callback only: a file that can't be opened; a revocation may be lost */
        SPOOL_REVOKE = 1,     /* all grants of one provider */
        SPOOL_REVOKE_ALL = 2,
} SpoolType;

enum {
        SPOOL_NAME_MAX = 64,   /* bytes */
        SPOOL_FILES_MAX = 1000,
        SPOOL_RESERVE = 8, /* notes that a full disk still takes */

        SPOOL_E_FULL = 1,      /* SPOOL_FILES_MAX are waiting */
        SPOOL_E_NAME,          /* not a valid text of 1..SPOOL_NAME_MAX bytes; REVOKE_ALL: not empty */
};

typedef struct SpoolEntry {
        SpoolType type;
        char provider[SPOOL_NAME_MAX + 1];
        int64_t time_unix_ms; /* as the clock showed it */
} SpoolEntry;

/**
 * spool_add() - durable when it returns
 *
 * Blocks for two fsyncs.
 *
 * Return: 0; SPOOL_E_FULL; SPOOL_E_NAME; negative errno.
 */
must_check int spool_add(int state_dir_fd, const uint8_t public_key[static 32], const uint8_t wallet_id[static 16],
                         const SpoolEntry *entry);

typedef struct SpoolName {
        char hex[33];
} SpoolName;

/** spool_add_all() - the same for several: all of them, or none. @ret_names: of the files, @n_entries of them; NULL: no matter */
must_check int spool_add_all(int state_dir_fd, const uint8_t public_key[static 32], const uint8_t wallet_id[static 16],
                             const SpoolEntry *entries, size_t n_entries, SpoolName *ret_names);

/** spool_remove() - what they ask for was committed otherwise; negative errno */
must_check int spool_remove(int state_dir_fd, const SpoolName *names, size_t n_names);

/** spool_reserve() - have room for SPOOL_RESERVE entries that only need to be written over. Without a sync; negative errno */
must_check int spool_reserve(int state_dir_fd);

/**
 * spool_apply() - hand each entry to @apply, in no particular order, and remove it when that has returned 0
 * @seed:   KEY_SPOOL_SEED
 * @apply:  has committed what the entry asks for when it returns 0; anything else stops here and is returned
 *
 * Return: 0; what @apply returned; negative errno.
 */
must_check int spool_apply(int state_dir_fd, const Secret *seed, const uint8_t wallet_id[static 16],
                           int (*apply)(void *userdata, const SpoolEntry *entry), void *userdata);

/** spool_count() - entries that wait: `status` says so while locked; negative errno */
must_check int spool_count(int state_dir_fd, size_t *ret_n);
