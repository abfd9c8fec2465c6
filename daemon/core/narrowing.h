/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What the patient or the clock ended and a full disk did not take: it holds in memory at once, is tried again until it is stored,
 * and does not get lost by locking, nor, while the reserve of the spool lasts, by a power cut. Until then the gate is off after a revocation, and Status and ListGrants say so.
 */

#include "manager.h"

enum {
        NARROWING_RETRY_MS = 5000,

        NARROWING_E_UNSTORED = 1, /* still in memory only */
};

/** narrowing_store() - commit it now; where that fails, again every NARROWING_RETRY_MS and with whatever else is committed. 0; NARROWING_E_UNSTORED */
must_check int narrowing_store(Manager *manager);

/**
 * narrowing_spool() - a sealed note in the spool of each revocation that is not stored: a full disk has some room in reserve for that
 *
 * The notes go when it is stored; after any end of this process before, the next unlock applies them.
 *
 * Return: 0: each has one; SPOOL_E_FULL; negative errno.
 */
must_check int narrowing_spool(Manager *manager);

/** narrowing_hold_gate() - after a revocation that could not be stored: off, and on again by itself once it is */
void narrowing_hold_gate(Manager *manager);

/**
 * narrowing_keep() - before this process ends: on the disk, or in the spool, to be applied by the next unlock
 *
 * @ends_anyway: keep what can be kept; else all or nothing
 * An expiry does not count: it is in what the grant's signature covers. Nor does a wallet that went back: the next unlock sees that anew.
 *
 * Return: 0: nothing is undone by the end; NARROWING_E_UNSTORED.
 */
must_check int narrowing_keep(Manager *manager, bool ends_anyway);
