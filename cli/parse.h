/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a person types: durations, days, kinds, names. Pure functions. */

#include "daemon/common/util.h"

enum {
        PARSE_DAY_SIZE = 11, /* YYYY-MM-DD and a terminator */

        PARSE_E_SYNTAX = 1,
        PARSE_E_RANGE, /* well formed, too much or too little */
};

/** parse_duration() - "30d", "12h", "15min", "4w", "1y" (365 days): whole numbers from 1 with a unit. @ret_s: seconds */
must_check int parse_duration(const char *text, int64_t *ret_s);
/** parse_days() - the same, and a whole number of days */
must_check int parse_days(const char *text, int64_t *ret_days);
/** parse_day() - "YYYY-MM-DD", a day of the Gregorian calendar from 1900 to 2199. PARSE_E_RANGE: there is no such day */
must_check int parse_day(const char *text);
/** parse_number() - decimal digits, min <= number <= max */
must_check int parse_number(const char *text, int64_t min, int64_t max, int64_t *ret);
/** parse_name() - a provider's name: [a-z0-9][a-z0-9._-]*, at most 63 bytes */
must_check int parse_name(const char *text);
/**
 * parse_kinds() - "cgm,bolus"
 * @ret: RECORD_KIND_BIT()s
 * @ret_bad: borrowed from @text, n_ret_bad bytes: what is no kind, set on PARSE_E_SYNTAX
 */
must_check int parse_kinds(const char *text, uint32_t *ret, const char **ret_bad, size_t *ret_n_bad);
