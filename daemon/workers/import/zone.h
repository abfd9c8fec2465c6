/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* One zone for a whole worker, where there is no place to pass Zones along: zones.h is what lies behind it. */

#include "daemon/common/zones.h"

enum {
        ZONE_E_UNKNOWN = ZONES_E_UNKNOWN,
};

typedef struct Zone {
        bool is_default; /* nothing else is known of it */
} Zone;

/** zone_load() - before lockdown: a specification for zones_load(). Return: 0; ZONE_E_UNKNOWN; negative errno. */
must_check int zone_load(const char *spec);
ZoneTime zone_resolve(Zone *zone, int64_t local_ms, ZonePass pass);
