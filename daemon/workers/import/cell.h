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

/*
 * How a date is written. CareLink writes the year first, its legacy form M/D/YY; spreadsheet programs write what their
 * country does, and change only the dates that they take for some. A set of shapes in which the day comes before the
 * month is a mask of DATE_SHAPE_BIT()s; which it is only the whole file can tell (dates.h).
 */
typedef enum DateShape {
        DATE_YEAR_FIRST, /* YYYY/MM/DD, YYYY-MM-DD, YYYY.MM.DD */
        DATE_SLASH,      /* M/D/YY, M/D/YYYY, D/M/YYYY ... */
        DATE_DASH,
        DATE_DOT,
        N_DATE_SHAPES,
} DateShape;

#define DATE_SHAPE_BIT(shape) (1u << (shape))

/** cell_date_shape() - false when it is no date, whichever way it is read */
bool cell_date_shape(Cell cell, DateShape *ret);
/** cell_date_is_short() - M/D/YY as the legacy form has it: two digits of the year, no zero in front of the others */
bool cell_date_is_short(Cell cell);
/** cell_date() - days since 1970-01-01 */
bool cell_date(Cell cell, unsigned day_first, int32_t *ret_day);
/** cell_clock() - HH:MM:SS or HH:MM, with AM or PM (a.m., p. m.) behind it or without: seconds after midnight */
bool cell_clock(Cell cell, uint32_t *ret_s);
/** cell_moment() - date, space, time: milliseconds */
bool cell_moment(Cell cell, unsigned day_first, int64_t *ret_ms);

/** day_put() - YYYY-MM-DD of a day since 1970-01-01 */
void day_put(char ret[static 16], int64_t day);
