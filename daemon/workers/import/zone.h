/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Device wall clock to UTC through the wallet's IANA zone. */

#include "daemon/common/util.h"
#include "policy/record.h"

enum {
        ZONE_E_UNKNOWN = 1, /* no such zone on this machine, or not the name of one */
};

/**
 * zone_load() - make a zone the process's own and read its file, so that nothing opens it later
 *
 * Sets TZ. To be called before lockdown. Return: 0; ZONE_E_UNKNOWN; negative errno.
 */
must_check int zone_load(const char *name);

/* Which of two runs of a repeated hour a row belongs to, as far as the order of rows tells. */
typedef enum ZonePass {
        ZONE_UNKNOWN,
        ZONE_FIRST,
        ZONE_SECOND,
} ZonePass;

typedef struct ZoneDay {
        int32_t day;
        int32_t before_s; /* offset a day earlier */
        int32_t after_s;  /* offset a day later */
        bool is_valid;
} ZoneDay;

typedef struct Zone {
        ZoneDay days[8]; /* rows come in the order of time: nearly every look-up is a hit */
} Zone;

typedef struct ZoneTime {
        int64_t utc_ms;
        int16_t offset_min;
        uint8_t clock; /* RecordClock: ZONE, REPEATED, AMBIGUOUS or SKIPPED */
} ZoneTime;

/** zone_resolve() - @local_ms within record.h's valid times */
ZoneTime zone_resolve(Zone *zone, int64_t local_ms, ZonePass pass);
/** zone_repeats() - whether the zone shows this wall-clock time twice */
bool zone_repeats(Zone *zone, int64_t local_ms);
