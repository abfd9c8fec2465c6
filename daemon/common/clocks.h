/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Clocks that people set. A device shows what it was last set to: what is known of settings tells when a clock was late to
 * follow its zone, and which times it showed twice. The importer asks with the settings of one file, the wallet with all.
 */

#include "zones.h"

enum {
        CLOCKS_DEVICE_SIZE = 8, /* the beginning of an identity: daemon/FORMAT.md */
        CLOCKS_MAX = 512,       /* settings; two a year and device are usual, further ones are not looked at */
};

/* A clock showed old_ms and was set to new_ms; both as if they were UTC. */
typedef struct ClockSetting {
        uint8_t device[CLOCKS_DEVICE_SIZE];
        int64_t old_ms, new_ms;
} ClockSetting;

/* Zero it to begin; no memory of its own. */
typedef struct Clocks {
        ClockSetting all[CLOCKS_MAX];
        int64_t until_ms[CLOCKS_MAX]; /* of one that was put back: from new_ms until here it showed the same times again */
        bool is_journey[CLOCKS_MAX];  /* a period of the zones explains it */
        size_t n;
} Clocks;

/** clocks_add() - in any order; small corrections are left out: they explain nothing */
void clocks_add(Clocks *clocks, const uint8_t device[static CLOCKS_DEVICE_SIZE], int64_t old_ms, int64_t new_ms);
/** clocks_settle() - all are there: to be called before asking, and again for other zones; NULL: none, then just what was shown twice can be asked */
void clocks_settle(Clocks *clocks, Zones *zones);

/** clocks_shows_twice() - whether the device's clock was put back over this time */
bool clocks_shows_twice(const Clocks *clocks, const uint8_t device[static CLOCKS_DEVICE_SIZE], int64_t local_ms);

/**
 * clocks_place() - as zones_place(), for a record of a device whose settings are known
 *
 * A clock is late to follow a change of its zone's hour when it was first set within 14 days behind it, by that step, and no
 * period of @zones that begins there explains that: until then the offset before holds. Set by that step on the day before, and
 * not set again before the change, it is early: from then on the offset behind holds. A time that it was put back over is
 * ambiguous where the order of rows does not tell. @zones: as settled with.
 */
void clocks_place(const Clocks *clocks, Zones *zones, const uint8_t device[static CLOCKS_DEVICE_SIZE], Record *record);
