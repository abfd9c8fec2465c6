/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Which number of a date is the day. A spreadsheet program rewrites the dates of an export: "2018/02/12" may become
 * 2/12/2018, 12.02.2018 or, where it took the month for the day, 02-12-2018 beside an untouched 12/13/2017. One row
 * cannot tell; the file can, because its rows are in the order of time: read rightly, one day follows another.
 */

#include "scan.h"

enum {
        DATES_E_UNDECIDED = 1, /* either way would do, or none */
};

/**
 * dates_decide() - read the whole file once for its dates alone
 * @shapes:        DATE_SHAPE_BIT()s that it has
 * @is_printed:    they are as CareLink wrote them, all in one way: where one order alone makes dates of all, that is it
 * @ret_day_first: of the shapes, those in which the day comes first
 *
 * Return: 0; DATES_E_UNDECIDED; -EBADMSG when the file can't be scanned (any more); negative errno.
 */
must_check int dates_decide(Scanner *scanner, unsigned shapes, bool is_printed, unsigned *ret_day_first);
