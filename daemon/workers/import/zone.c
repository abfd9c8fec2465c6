/* SPDX-License-Identifier: Apache-2.0 */

#include "zone.h"

#include <sys/stat.h>
#include <time.h>

static const int32_t day_s = 24 * 60 * 60;

int zone_load(const char *name) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
        char path[128];
        struct stat status;
        struct tm tm;
        time_t now = 0;
        size_t n = strlen(name);

        if (n == 0 || n > 63 || strspn(name, allowed) != n || name[0] == '/' || name[n - 1] == '/' || strstr(name, "//"))
                return ZONE_E_UNKNOWN;

        (void) snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
        if (stat(path, &status) < 0)
                return errno == ENOENT || errno == ENOTDIR ? ZONE_E_UNKNOWN : -errno;
        if (!S_ISREG(status.st_mode))
                return ZONE_E_UNKNOWN;

        /* the colon: a file, never the POSIX form that glibc would also accept */
        path[0] = ':';
        (void) snprintf(path + 1, sizeof(path) - 1, "%s", name);
        if (setenv("TZ", path, 1) < 0)
                return -errno;
        tzset();
        if (!localtime_r(&now, &tm))
                return -EINVAL;
        return 0;
}

static int32_t offset_at(int64_t utc_s) {
        struct tm tm;
        time_t t = (time_t) utc_s;

        if (!localtime_r(&t, &tm))
                return 0;
        /* to the minute, which is all that a record holds; no zone has had seconds since 1972 */
        return (int32_t) (tm.tm_gmtoff / 60 * 60);
}

static const ZoneDay *zone_day(Zone *zone, int64_t local_s) {
        int32_t day = (int32_t) (local_s / day_s);
        ZoneDay *entry = &zone->days[(uint32_t) day % N_ELEMENTS(zone->days)];

        if (!entry->is_valid || entry->day != day) {
                entry->day = day;
                entry->before_s = offset_at((int64_t) day * day_s - day_s);
                entry->after_s = offset_at((int64_t) day * day_s + 2 * day_s);
                entry->is_valid = true;
        }
        return entry;
}

ZoneTime zone_resolve(Zone *zone, int64_t local_ms, ZonePass pass) {
        int64_t local_s = local_ms / 1000;
        const ZoneDay *day = zone_day(zone, local_s);
        RecordClock clock = RECORD_CLOCK_ZONE;
        int32_t offset_s = day->before_s;

        if (day->before_s != day->after_s) {
                bool first = offset_at(local_s - day->before_s) == day->before_s;
                bool second = offset_at(local_s - day->after_s) == day->after_s;

                if (first && second) {
                        clock = pass == ZONE_UNKNOWN ? RECORD_CLOCK_AMBIGUOUS : RECORD_CLOCK_REPEATED;
                        if (pass == ZONE_SECOND)
                                offset_s = day->after_s;
                } else if (second) {
                        offset_s = day->after_s;
                } else if (!first) {
                        clock = RECORD_CLOCK_SKIPPED;
                }
        }

        return (ZoneTime) { local_ms - offset_s * INT64_C(1000), (int16_t) (offset_s / 60), (uint8_t) clock };
}

bool zone_repeats(Zone *zone, int64_t local_ms) {
        return zone_resolve(zone, local_ms, ZONE_UNKNOWN).clock == RECORD_CLOCK_AMBIGUOUS;
}
