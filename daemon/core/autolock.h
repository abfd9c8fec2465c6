/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Locking by itself, when the patient has not used the wallet for some time. Off unless the patient wants it: providers
 * fetch while the patient is away, and what they do is no use of it.
 */

#include "daemon/common/util.h"

typedef struct Autolock Autolock;
typedef struct Call Call;
typedef struct Manager Manager;

enum {
        AUTOLOCK_MIN_S = 1, /* the command line has a minute; tests have less patience */
        AUTOLOCK_MAX_S = 7 * 86400,
};

/** autolock_new() - for a wallet that was opened: as its setting says. 0; negative errno */
must_check int autolock_new(Autolock **ret, Manager *manager);
Autolock *autolock_free(Autolock *autolock);

/** autolock_used() - the patient made a call that needs the keys. Accepts NULL */
void autolock_used(Autolock *autolock);
/** autolock_after_s() - 0: never */
uint32_t autolock_after_s(const Autolock *autolock);

int method_set_auto_lock(Call *call, void *userdata);
