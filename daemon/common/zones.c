/* SPDX-License-Identifier: Apache-2.0 */

#include "zones.h"

#include <sys/stat.h>
#include <time.h>

#include "civil.h"

enum {
        DAY_S = 24 * 60 * 60,
        PROBE_S = 4 * DAY_S, /* no zone has changed twice in so short a time */
        SHIFTS_MAX = 512,    /* changes of one zone from 1990 to 2100; Morocco has most, about 220 */
};

typedef struct Shift {
        int64_t utc_s; /* from here on */
        int32_t offset_s;
} Shift;

typedef struct Period {
        int32_t day; /* INT32_MIN: always */
        int64_t from_local_ms;
        char name[ZONES_NAME_MAX];
        Shift *shifts;
        size_t n, at; /* at: where the last answer was */
} Period;

struct Zones {
        Period periods[ZONES_MAX];
        size_t n;
};

Zones *zones_free(Zones *zones) {
        if (zones) {
                for (size_t i = 0; i != zones->n; i++)
                        free(zones->periods[i].shifts);
                free(zones);
        }
        return NULL;
}

/* --- reading --- */

static int32_t probe(int64_t utc_s) {
        struct tm tm;
        time_t t = (time_t) utc_s;

        if (!localtime_r(&t, &tm))
                return 0;
        /* to the minute, which is all that a record holds; no zone has had seconds since 1972 */
        return (int32_t) (tm.tm_gmtoff / 60 * 60);
}

static int probe_zone(Period *period) {
        static const int64_t first_s = RECORD_TIME_MIN_MS / 1000 - 2 * DAY_S, last_s = RECORD_TIME_MAX_MS / 1000 + 2 * DAY_S;
        Shift shifts[SHIFTS_MAX];
        size_t n = 0;

        shifts[n++] = (Shift) { INT64_MIN, probe(first_s) };
        for (int64_t from = first_s; from < last_s; from += PROBE_S) {
                int64_t low = from, high = from + PROBE_S; /* the change is behind low, at high at the latest */
                int32_t offset_s = probe(high);

                if (offset_s == shifts[n - 1].offset_s)
                        continue;
                if (n == SHIFTS_MAX)
                        return -E2BIG;
                while (high - low > 1) {
                        int64_t middle = low + (high - low) / 2;

                        if (probe(middle) == shifts[n - 1].offset_s)
                                low = middle;
                        else
                                high = middle;
                }
                shifts[n++] = (Shift) { high, offset_s };
        }

        period->shifts = malloc(n * sizeof(*shifts));
        if (!period->shifts)
                return -ENOMEM;
        memcpy(period->shifts, shifts, n * sizeof(*shifts));
        period->n = n;
        return 0;
}

static int copy_zone(Period *period, const Period *from) {
        period->shifts = malloc(from->n * sizeof(*from->shifts));
        if (!period->shifts)
                return -ENOMEM;
        memcpy(period->shifts, from->shifts, from->n * sizeof(*from->shifts));
        period->n = from->n;
        return 0;
}

static int read_zone(const Zones *zones, Period *period, const char *name, size_t n) {
        static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/";
        char path[128];
        struct stat status;

        if (n == 0 || n >= sizeof(period->name))
                return ZONES_E_UNKNOWN;
        memcpy(period->name, name, n);
        period->name[n] = 0;
        name = period->name;
        if (strspn(name, allowed) != n || name[0] == '/' || name[n - 1] == '/' || strstr(name, "//"))
                return ZONES_E_UNKNOWN;
        for (const Period *known = zones->periods; known != period; known++)
                if (strcmp(known->name, name) == 0)
                        return copy_zone(period, known);

        (void) snprintf(path, sizeof(path), "/usr/share/zoneinfo/%s", name);
        if (stat(path, &status) < 0)
                return errno == ENOENT || errno == ENOTDIR ? ZONES_E_UNKNOWN : -errno;
        if (!S_ISREG(status.st_mode))
                return ZONES_E_UNKNOWN;

        /* the colon: a file, never the POSIX form that glibc would also accept */
        (void) snprintf(path, sizeof(path), ":%s", name);
        if (setenv("TZ", path, 1) < 0)
                return -errno;
        tzset();
        return probe_zone(period);
}

static int read_spec(Zones *zones, const char *spec) {
        int32_t last = INT32_MIN;
        int r;

        if (strlen(spec) >= ZONES_SPEC_MAX)
                return ZONES_E_SPEC;

        for (;;) {
                Period *period = &zones->periods[zones->n];
                size_t n;

                if (zones->n == ZONES_MAX)
                        return ZONES_E_SPEC;
                if (zones->n == 0) {
                        period->day = INT32_MIN;
                        period->from_local_ms = INT64_MIN;
                } else {
                        n = strcspn(spec, "=");
                        if (!civil_parse_date(&period->day, spec, n) || !spec[n] || period->day <= last)
                                return ZONES_E_SPEC;
                        last = period->day;
                        period->from_local_ms = period->day * INT64_C(1000) * DAY_S;
                        spec += n + 1;
                }

                n = strcspn(spec, ";");
                zones->n++;
                r = read_zone(zones, period, spec, n);
                if (r)
                        return r;
                if (!spec[n])
                        return 0;
                spec += n + 1;
        }
}

int zones_load(Zones **ret, const char *spec) {
        cleanup(zones_freep) Zones *zones = calloc(1, sizeof(*zones));
        cleanup(freep) char *before = NULL;
        int r;

        if (!zones)
                return -ENOMEM;
        if (getenv("TZ")) {
                before = strdup(getenv("TZ"));
                if (!before)
                        return -ENOMEM;
        }

        r = read_spec(zones, spec);
        if (before)
                (void) setenv("TZ", before, 1);
        else
                (void) unsetenv("TZ");
        tzset();
        if (r)
                return r;

        *ret = take_ptr(zones);
        return 0;
}

/* --- answers --- */

static Period *period_at(Zones *zones, int64_t local_ms) {
        size_t i = zones->n - 1;

        while (zones->periods[i].from_local_ms > local_ms)
                i--;
        return &zones->periods[i];
}

static int32_t offset_at(Period *period, int64_t utc_s) {
        size_t low = 0, high = period->n, at = period->at;

        if (period->shifts[at].utc_s > utc_s || (at + 1 != period->n && period->shifts[at + 1].utc_s <= utc_s)) {
                while (high - low > 1) {
                        size_t middle = low + (high - low) / 2;

                        if (period->shifts[middle].utc_s <= utc_s)
                                low = middle;
                        else
                                high = middle;
                }
                period->at = at = low;
        }
        return period->shifts[at].offset_s;
}

ZoneTime zones_resolve(Zones *zones, int64_t local_ms, ZonePass pass) {
        Period *period = period_at(zones, local_ms);
        int64_t local_s = local_ms / 1000;
        int32_t before_s = offset_at(period, local_s - DAY_S), after_s = offset_at(period, local_s + DAY_S);
        RecordClock clock = RECORD_CLOCK_ZONE;
        int32_t offset_s = before_s;

        if (before_s != after_s) {
                bool first = offset_at(period, local_s - before_s) == before_s;
                bool second = offset_at(period, local_s - after_s) == after_s;

                if (first && second) {
                        clock = pass == ZONE_UNKNOWN ? RECORD_CLOCK_AMBIGUOUS : RECORD_CLOCK_REPEATED;
                        if (pass == ZONE_SECOND)
                                offset_s = after_s;
                } else if (second) {
                        offset_s = after_s;
                } else if (!first) {
                        clock = RECORD_CLOCK_SKIPPED;
                }
        }

        return (ZoneTime) { local_ms - offset_s * INT64_C(1000), (int16_t) (offset_s / 60), (uint8_t) clock };
}

bool zones_repeat(Zones *zones, int64_t local_ms) {
        return zones_resolve(zones, local_ms, ZONE_UNKNOWN).clock == RECORD_CLOCK_AMBIGUOUS;
}

bool zones_last_change(Zones *zones, int64_t local_ms, ZoneChange *ret) {
        Period *period = period_at(zones, local_ms);

        (void) offset_at(period, local_ms / 1000 + DAY_S);
        for (size_t i = period->at; i > 0; i--) {
                int32_t before_s = period->shifts[i - 1].offset_s, after_s = period->shifts[i].offset_s;
                int64_t from_ms = (period->shifts[i].utc_s + (before_s < after_s ? before_s : after_s)) * 1000;

                if (from_ms > local_ms)
                        continue;
                if (from_ms < period->from_local_ms)
                        return false;
                *ret = (ZoneChange) { from_ms, (after_s - before_s) * INT64_C(1000), (int16_t) (before_s / 60) };
                return true;
        }
        return false;
}

int64_t zones_step(Zones *zones, size_t i, int64_t *ret_ms) {
        *ret_ms = zones->periods[i].from_local_ms;
        return (offset_at(&zones->periods[i], *ret_ms / 1000) - offset_at(&zones->periods[i - 1], *ret_ms / 1000)) * INT64_C(1000);
}

void zones_place(Zones *zones, Record *record) {
        ZonePass pass = record->flags & RECORD_SECOND_PASS ? ZONE_SECOND : record->flags & RECORD_FIRST_PASS ? ZONE_FIRST : ZONE_UNKNOWN;
        ZoneTime time = zones_resolve(zones, record->local_ms, pass);

        record->utc_ms = time.utc_ms;
        record->offset_min = time.offset_min;
        if (record->clock == RECORD_CLOCK_UNSET)
                return;
        record->clock = time.clock;
        /* the clock shows it again later, for a reason that the zone does not know */
        if (time.clock == RECORD_CLOCK_ZONE && pass == ZONE_FIRST)
                record->clock = RECORD_CLOCK_AMBIGUOUS;
}

size_t zones_n(const Zones *zones) {
        return zones->n;
}

const char *zones_at(const Zones *zones, size_t i, int32_t *ret_day) {
        *ret_day = zones->periods[i].day;
        return zones->periods[i].name;
}

const char *zones_name(Zones *zones, int64_t local_ms) {
        return period_at(zones, local_ms)->name;
}
