/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A wallet that is not what it was last: restored from a backup, or put back to an older state behind the patient's back. Then
 * grants that had been revoked may be there again. So the ledger begins a new epoch that names its last checkpoint, every grant is
 * suspended until the patient resumes it, and the gate is off.
 */

#include "manager.h"

enum {
        EPOCH_E_FOREIGN = 1, /* the state directory was restored from something that this wallet did not write */
        EPOCH_E_FULL,        /* disk full: nothing was changed, and nothing may be served */
};

/**
 * epoch_check() - when the wallet was opened and nothing is served yet
 * @seen: a checkpoint that the patient's command line kept, or NULL
 * @old_keys: its slot file is older than the wallet has seen, and the patient insisted
 *
 * Return: 0; EPOCH_E_*; negative errno.
 */
must_check int epoch_check(Manager *manager, const char *seen, bool old_keys);

/** epoch_try_again() - the new epoch that a full disk did not take: manager->seen_unstored, which is gone when this returns 0 */
must_check int epoch_try_again(Manager *manager);
