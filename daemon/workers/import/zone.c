/* SPDX-License-Identifier: Apache-2.0 */

#include "zone.h"

static Zones *loaded;

int zone_load(const char *spec) {
        int r;

        loaded = zones_free(loaded);
        r = zones_load(&loaded, spec);
        return r > 0 ? ZONE_E_UNKNOWN : r;
}

ZoneTime zone_resolve(Zone *zone, int64_t local_ms, ZonePass pass) {
        (void) zone;
        assert(loaded);
        return zones_resolve(loaded, local_ms, pass);
}
