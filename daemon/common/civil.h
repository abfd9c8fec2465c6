/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Days since 1970-01-01 and the Gregorian calendar (proleptic, years 0000-9999), without libc's time zones. */

#include "util.h"

enum {
        CIVIL_DATE_SIZE = 11, /* YYYY-MM-DD and a terminator */
        CIVIL_TIME_SIZE = 21, /* YYYY-MM-DDTHH:MM:SSZ and a terminator */
        CIVIL_DAYS_MAX = 2932896, /* 9999-12-31 */
};

typedef struct Civil {
        int32_t year;
        int32_t month, day; /* 1.. */
} Civil;

/* Both after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms": years begin in March, eras have 400 years. */
static inline Civil civil_from_days(int32_t days) {
        int32_t z = days + 719468;
        int32_t era = (z >= 0 ? z : z - 146096) / 146097;
        int32_t day_of_era = z - era * 146097;
        int32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
        int32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        int32_t month = (5 * day_of_year + 2) / 153;

        return (Civil) {
                .year = year_of_era + era * 400 + (month >= 10),
                .month = month < 10 ? month + 3 : month - 9,
                .day = day_of_year - (153 * month + 2) / 5 + 1,
        };
}

static inline int32_t civil_to_days(Civil civil) {
        int32_t year = civil.year - (civil.month <= 2);
        int32_t era = (year >= 0 ? year : year - 399) / 400;
        int32_t year_of_era = year - era * 400;
        int32_t day_of_year = (153 * (civil.month > 2 ? civil.month - 3 : civil.month + 9) + 2) / 5 + civil.day - 1;

        return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

static inline void civil_digits(char *ret, int32_t value, size_t n_digits) {
        for (size_t i = n_digits; i > 0; i--, value /= 10)
                ret[i - 1] = (char) ('0' + value % 10);
}

/** civil_date() - @days: years 0000-9999 */
static inline void civil_date(char ret[static CIVIL_DATE_SIZE], int32_t days) {
        Civil civil = civil_from_days(days);

        civil_digits(ret, civil.year, 4);
        ret[4] = '-';
        civil_digits(ret + 5, civil.month, 2);
        ret[7] = '-';
        civil_digits(ret + 8, civil.day, 2);
        ret[10] = '\0';
}

/** civil_parse_date() - exactly YYYY-MM-DD, a day that exists; false otherwise */
static inline bool civil_parse_date(int32_t *ret_days, const char *text, size_t n_text) {
        Civil civil = {0};
        Civil again;
        int32_t days;

        if (n_text != CIVIL_DATE_SIZE - 1)
                return false;
        for (size_t i = 0; i < n_text; i++) {
                int32_t *part = i < 4 ? &civil.year : i < 7 ? &civil.month : &civil.day;

                if (i == 4 || i == 7) {
                        if (text[i] != '-')
                                return false;
                        continue;
                }
                if (text[i] < '0' || text[i] > '9')
                        return false;
                *part = *part * 10 + (text[i] - '0');
        }

        if (civil.month < 1 || civil.month > 12 || civil.day < 1 || civil.day > 31)
                return false;
        days = civil_to_days(civil);
        again = civil_from_days(days);
        if (again.month != civil.month || again.day != civil.day)
                return false;
        *ret_days = days;
        return true;
}

/** civil_time() - RFC 3339 UTC in whole seconds; @unix_s: years 0000-9999 */
static inline void civil_time(char ret[static CIVIL_TIME_SIZE], int64_t unix_s) {
        int64_t days = unix_s / 86400 - (unix_s % 86400 < 0);
        int32_t second = (int32_t) (unix_s - days * 86400);

        civil_date(ret, (int32_t) days);
        ret[10] = 'T';
        civil_digits(ret + 11, second / 3600, 2);
        ret[13] = ':';
        civil_digits(ret + 14, second / 60 % 60, 2);
        ret[16] = ':';
        civil_digits(ret + 17, second % 60, 2);
        ret[19] = 'Z';
        ret[20] = '\0';
}
