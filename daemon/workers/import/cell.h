/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What a cell means as a number, a duration or a time. No locale, no atoi, no rounding by floating point. */

#include "reader.h"

typedef struct Number {
        int32_t milli;     /* thousandths, rounded half away from zero */
        uint8_t decimals;  /* as printed, 3 at most */
        bool is_exact;     /* no digit behind the third was lost */
} Number;

/**
 * cell_number() - all of the cell: sign, digits, one decimal mark
 * @decimal:  '.' or ','; the other one is no number
 */
bool cell_number(Cell cell, char decimal, Number *ret);
bool cell_uint(Cell cell, uint32_t *ret);
/** cell_duration() - h:mm:ss as seconds */
bool cell_duration(Cell cell, uint32_t *ret_s);
/** cell_date() - YYYY/MM/DD or YYYY-MM-DD; with @is_legacy M/D/YY or M/D/YYYY instead; days since 1970-01-01 */
bool cell_date(Cell cell, bool is_legacy, int32_t *ret_day);
/** cell_clock() - HH:MM:SS as seconds after midnight */
bool cell_clock(Cell cell, uint32_t *ret_s);
/** cell_moment() - date, space, time: milliseconds */
bool cell_moment(Cell cell, bool is_legacy, int64_t *ret_ms);

/** day_put() - YYYY-MM-DD of a day since 1970-01-01 */
void day_put(char ret[static 16], int64_t day);
