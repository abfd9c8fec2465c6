/* SPDX-License-Identifier: Apache-2.0 */

#include "cell.h"

enum {
        NUMBER_MAX = 2000000, /* int32_t holds 2,147,483 and its thousandths; no device reports more */
        YEAR_MIN = 1991,      /* record.h: valid times, in UTC too */
        YEAR_MAX = 2098,
};

static bool is_digit(char c) {
        return c >= '0' && c <= '9';
}

bool cell_number(Cell cell, char decimal, Number *ret) {
        static const int32_t scale[4] = { 1000, 100, 10, 1 };
        size_t i = 0, n_digits = 0, n_decimals = 0;
        bool is_negative = false, is_exact = true;
        int64_t whole = 0, part = 0;

        /* U+2212, the typographic minus, is what some locales print */
        if (cell.n > 3 && memcmp(cell.text, "\xe2\x88\x92", 3) == 0) {
                is_negative = true;
                i = 3;
        } else if (cell.n && (cell.text[0] == '-' || cell.text[0] == '+')) {
                is_negative = cell.text[i++] == '-';
        }

        for (; i != cell.n && is_digit(cell.text[i]); i++, n_digits++) {
                whole = whole * 10 + (cell.text[i] - '0');
                if (whole > NUMBER_MAX)
                        return false;
        }

        if (i != cell.n && cell.text[i] == decimal) {
                for (i++; i != cell.n && is_digit(cell.text[i]); i++, n_digits++) {
                        int digit = cell.text[i] - '0';

                        if (n_decimals < 3)
                                part = part * 10 + digit;
                        else if (n_decimals == 3)
                                part += digit >= 5;
                        if (n_decimals >= 3 && digit)
                                is_exact = false;
                        n_decimals++;
                }
        }

        if (n_digits == 0 || i != cell.n)
                return false;

        if (n_decimals > 3)
                n_decimals = 3;
        whole = whole * 1000 + part * scale[n_decimals];
        *ret = (Number) { (int32_t) (is_negative ? -whole : whole), (uint8_t) n_decimals, is_exact };
        return true;
}

/* Digits up to the first other byte; moves @at; no digit or more than @n_max is false. */
static bool digits(Cell cell, size_t *at, size_t n_max, uint32_t *ret) {
        size_t start = *at;
        uint32_t value = 0;

        while (*at != cell.n && is_digit(cell.text[*at]) && *at - start < n_max)
                value = value * 10 + (uint32_t) (cell.text[(*at)++] - '0');
        *ret = value;
        return *at != start;
}

static bool mark(Cell cell, size_t *at, char expected) {
        if (*at == cell.n || cell.text[*at] != expected)
                return false;
        ++*at;
        return true;
}

bool cell_uint(Cell cell, uint32_t *ret) {
        size_t at = 0;

        return digits(cell, &at, 9, ret) && at == cell.n;
}

bool cell_duration(Cell cell, uint32_t *ret_s) {
        uint32_t hour, minute, second;
        size_t at = 0;

        if (!digits(cell, &at, 4, &hour) || !mark(cell, &at, ':') || !digits(cell, &at, 2, &minute) || !mark(cell, &at, ':') ||
            !digits(cell, &at, 2, &second) || at != cell.n || minute > 59 || second > 59)
                return false;
        *ret_s = hour * 3600 + minute * 60 + second;
        return true;
}

/* AM, pm, "a.m.", "p. m." to the end of the cell: 'a' or 'p', 0 when it is none */
static char half_of_day(Cell cell, size_t at) {
        char letters[2];
        size_t n = 0;

        for (; at != cell.n; at++) {
                if (cell.text[at] == '.' || cell.text[at] == ' ')
                        continue;
                if (n == sizeof(letters))
                        return 0;
                letters[n++] = (char) (cell.text[at] | 0x20);
        }
        return n == 2 && letters[1] == 'm' && (letters[0] == 'a' || letters[0] == 'p') ? letters[0] : 0;
}

/* The time of day of @cell from @at to its end. */
static bool clock_at(Cell cell, size_t at, uint32_t *ret_s) {
        uint32_t hour, minute, second = 0;
        char half;

        if (!digits(cell, &at, 2, &hour) || !mark(cell, &at, ':') || !digits(cell, &at, 2, &minute))
                return false;
        if (mark(cell, &at, ':') && !digits(cell, &at, 2, &second))
                return false;
        if (hour > 23 || minute > 59 || second > 59)
                return false;

        if (at != cell.n) {
                half = half_of_day(cell, at);
                if (!half || hour == 0 || hour > 12)
                        return false;
                hour = hour % 12 + (half == 'p' ? 12 : 0);
        }

        *ret_s = hour * 3600 + minute * 60 + second;
        return true;
}

bool cell_clock(Cell cell, uint32_t *ret_s) {
        return clock_at(cell, 0, ret_s);
}

/* Days since 1970-01-01 of a proleptic Gregorian date: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms". */
static int32_t day_of(uint32_t year, uint32_t month, uint32_t day) {
        uint32_t y = month <= 2 ? year - 1 : year;
        uint32_t era = y / 400, of_era = y % 400;
        uint32_t of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;

        return (int32_t) (era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year) - 719468;
}

void day_put(char ret[static 16], int64_t day) {
        int64_t z = day + 719468, era = z / 146097, of_era = z % 146097;
        int64_t year = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
        int64_t of_year = of_era - (365 * year + year / 4 - year / 100);
        int64_t month = (5 * of_year + 2) / 153;
        unsigned d = (unsigned) (of_year - (153 * month + 2) / 5 + 1);
        unsigned m = (unsigned) (month < 10 ? month + 3 : month - 9);

        (void) snprintf(ret, 16, "%04u-%02u-%02u", (unsigned) (year + era * 400 + (m <= 2)) % 10000, m % 100, d % 100);
}

static bool date_valid(uint32_t year, uint32_t month, uint32_t day) {
        static const uint8_t n_days[12] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };

        if (year < YEAR_MIN || year > YEAR_MAX || month < 1 || month > 12)
                return false;
        if (month == 2 && year % 4 == 0 && (year % 100 != 0 || year % 400 == 0))
                return day >= 1 && day <= 29;
        return day >= 1 && day <= n_days[month - 1];
}

/* Three numbers with one mark between them; @ret_parts in the order in which they stand, but the year first. */
static bool date_parts(Cell cell, size_t *at, DateShape *ret_shape, uint32_t ret_parts[static 3]) {
        uint32_t numbers[3];
        size_t n_digits[3];
        char separator = 0;

        for (unsigned i = 0; i != 3; i++) {
                size_t start;

                if (i != 0 && !mark(cell, at, separator))
                        return false;
                start = *at;
                if (!digits(cell, at, 4, &numbers[i]))
                        return false;
                n_digits[i] = *at - start;
                if (i == 0)
                        separator = *at != cell.n ? cell.text[*at] : 0;
        }
        if (separator != '/' && separator != '-' && separator != '.')
                return false;

        if (n_digits[0] == 4 && n_digits[1] <= 2 && n_digits[2] <= 2) {
                *ret_shape = DATE_YEAR_FIRST;
                memcpy(ret_parts, numbers, sizeof(numbers));
                return true;
        }
        if (n_digits[0] > 2 || n_digits[1] > 2 || (n_digits[2] != 2 && n_digits[2] != 4))
                return false;
        *ret_shape = separator == '/' ? DATE_SLASH : separator == '-' ? DATE_DASH : DATE_DOT;
        ret_parts[0] = numbers[2] + (n_digits[2] == 2 ? 2000 : 0);
        ret_parts[1] = numbers[0];
        ret_parts[2] = numbers[1];
        return true;
}

static bool date_at(Cell cell, size_t *at, unsigned day_first, int32_t *ret_day) {
        uint32_t parts[3], month, day;
        DateShape shape;

        if (!date_parts(cell, at, &shape, parts))
                return false;
        month = day_first & DATE_SHAPE_BIT(shape) ? parts[2] : parts[1];
        day = day_first & DATE_SHAPE_BIT(shape) ? parts[1] : parts[2];
        if (!date_valid(parts[0], month, day))
                return false;
        *ret_day = day_of(parts[0], month, day);
        return true;
}

bool cell_date_shape(Cell cell, DateShape *ret) {
        uint32_t parts[3];
        size_t at = 0;

        return date_parts(cell, &at, ret, parts) && at == cell.n &&
               (date_valid(parts[0], parts[1], parts[2]) || date_valid(parts[0], parts[2], parts[1]));
}

bool cell_date_is_short(Cell cell) {
        const char *last = cell.n ? memrchr(cell.text, '/', cell.n) : NULL;
        const char *first = last ? memchr(cell.text, '/', cell.n) : NULL;

        return last && cell.text + cell.n - last == 3 && cell.text[0] != '0' && first[1] != '0';
}

bool cell_date(Cell cell, unsigned day_first, int32_t *ret_day) {
        size_t at = 0;

        return date_at(cell, &at, day_first, ret_day) && at == cell.n;
}

bool cell_moment(Cell cell, unsigned day_first, int64_t *ret_ms) {
        uint32_t second;
        int32_t day;
        size_t at = 0;

        if (!date_at(cell, &at, day_first, &day) || !mark(cell, &at, ' ') || !clock_at(cell, at, &second))
                return false;
        *ret_ms = (day * INT64_C(86400) + second) * 1000;
        return true;
}
