/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A new root key. Both databases are copied, row by row, into files that are keyed anew, while the wallet is closed; at the end all
 * files change places at once. Layout in daemon/FORMAT.md, "rotation".
 *
 * What was copied is read back and compared before it counts. It is a plan on the disk: STATE-DIR/rotation has the new root key, sealed under the old one, and the new slot file. While
 * it says "copying" nothing has changed, and whoever unlocks goes on with it. Once it says "whole" the copies are what counts: they
 * are put in their places, at the next start if need be. No key is needed for that.
 */

#include "daemon/common/slots.h"

typedef struct Rotation Rotation;

enum {
        ROTATION_STEP_MS = 8,

        ROTATION_E_FULL = 1, /* no room for a second copy */
        ROTATION_E_KEY,      /* a database or the plan can't be read */
};

#define ROTATION_CIPHER_MARKER "cipher-4" /* in the state directory of a wallet that SQLCipher 3 can't read */

/**
 * rotation_prepare() - write the plan
 * @new_root: may be the same: then only the format changes
 * @slots:    of the new root key, complete but for MAC and generation; its generation is set
 * @cipher:   version of SQLCipher's format that both databases get; 0: the one that they have
 *
 * Return: 0; negative errno.
 */
must_check int rotation_prepare(int state_dir_fd, const Secret *root, const Secret *new_root, Slots *slots, unsigned cipher);
/** rotation_is_upgrade() - it is for another format */
bool rotation_is_upgrade(const Rotation *rotation);
/** rotation_settle() - at start, and at the end: what is whole is put in its places, what was left of no plan is removed. 0; ROTATION_E_KEY; negative errno */
must_check int rotation_settle(int state_dir_fd);
/** rotation_is_due() - there is a plan */
bool rotation_is_due(int state_dir_fd);
/** rotation_abandon() - back to what was; not once it is whole */
void rotation_abandon(int state_dir_fd);

/** rotation_begin() - go on with a plan. @dir: path of the state directory. 0; ROTATION_E_*; negative errno */
must_check int rotation_begin(Rotation **ret, const char *dir, int state_dir_fd, const Secret *root);
Rotation *rotation_free(Rotation *rotation);
DEFINE_CLEANUP(Rotation *, rotation_free)
/** rotation_step() - copy for ROTATION_STEP_MS. 0; ROTATION_E_*; negative errno */
must_check int rotation_step(Rotation *rotation, bool *ret_done);
/** rotation_finish() - after the last step: it is whole, and settled. @ret_whole: whether it got so far, also when it failed. 0; negative errno */
must_check int rotation_finish(Rotation *rotation, bool *ret_whole, Secret **ret_root);
/** rotation_progress() - pages copied, and of all; roughly */
void rotation_progress(const Rotation *rotation, int64_t *ret_done, int64_t *ret_all);
