/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A complete export: all that the wallet holds but its keys, for the patient to read, and to be imported into a new wallet. daemon/FORMAT.md. */

#include "manager.h"
#include "serialise.h"

typedef struct Everything Everything;

/** everything_new() - as of now: what is imported meanwhile is not in it. Until it is freed nothing is undone, forgotten or placed in other zones */
must_check int everything_new(Everything **ret, Manager *manager);
Everything *everything_free(Everything *everything);
DEFINE_CLEANUP(Everything *, everything_free)

/**
 * everything_more() - append the next lines, about 64 KiB
 * @rows_io: rows of records are added
 *
 * Return: 0; RECORDS_E_*, CONSENT_E_*: damaged; negative errno.
 */
must_check int everything_more(Everything *everything, Text *text, bool *ret_end, uint64_t *rows_io);
