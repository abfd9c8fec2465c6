/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The copy that is made of a database before a migration: encrypted, as it lies on the disk, for the program that wrote it. */

#include "daemon/common/secret.h"

typedef struct Keep Keep;

/**
 * keep_begin() - DIR/NAME.before of DIR/NAME, which nobody else has open
 *
 * Return: 0; DB_E_*; negative errno.
 */
must_check int keep_begin(Keep **ret, const char *dir, const char *name, const Secret *key);
/** keep_step() - the next 512 KiB, synced: a few ms. @ret_done: it has its name, durably. 0; DB_E_FULL; negative errno */
must_check int keep_step(Keep *keep, bool *ret_done);
/** keep_free() - what is not done is removed. Accepts NULL, returns NULL */
Keep *keep_free(Keep *keep);
DEFINE_CLEANUP(Keep *, keep_free)
