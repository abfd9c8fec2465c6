/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The patient's wall clock, and times as text. The zone is the process's: one wallet a process. */

#include "daemon/common/util.h"
#include "policy/policy.h"

enum {
        CLOCK_ZONE_MAX = 64, /* bytes of an IANA name, terminator included */
        CLOCK_TEXT_SIZE = 32,

        CLOCK_E_ZONE = 1, /* no such zone in /usr/share/zoneinfo */
        CLOCK_E_TEXT,
};

/** clock_zone_valid() - a name that names a file below /usr/share/zoneinfo, and cannot name another */
bool clock_zone_valid(const char *zone);
/** clock_set_zone() - CLOCK_E_ZONE */
must_check int clock_set_zone(const char *zone);
/** clock_system_zone() - what /etc/localtime names; "UTC" where it names nothing we know */
void clock_system_zone(char ret[static CLOCK_ZONE_MAX]);
/** clock_now() - clock_behind is true while it is earlier than @highest_s */
PolicyNow clock_now(int64_t highest_s);
uint64_t clock_monotonic_ms(void);
/** clock_local_day() - days since 1970-01-01 on the wall clock at a moment */
int32_t clock_local_day(int64_t utc_s);
/** clock_format_utc() - RFC 3339, seconds, "Z" */
void clock_format_utc(char ret[static CLOCK_TEXT_SIZE], int64_t utc_s);
/** clock_format_local() - "2025-03-31 14:05 CEST", for a person */
void clock_format_local(char ret[static CLOCK_TEXT_SIZE], int64_t utc_s);
/** clock_format_day() - YYYY-MM-DD */
void clock_format_day(char ret[static CLOCK_TEXT_SIZE], int32_t day);
/** clock_parse_day() - YYYY-MM-DD, a day that exists, 1970..2199; CLOCK_E_TEXT */
must_check int clock_parse_day(int32_t *ret, const char *text);
