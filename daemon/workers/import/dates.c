/* SPDX-License-Identifier: Apache-2.0 */

#include "dates.h"

#include "cell.h"

enum {
        GAP_MAX = 31,     /* days: a longer one says no more than this */
        DECISIVE = 60,    /* two months' jumps: so far the next best reading must be worse, besides being three times worse */
        DECISIVE_TIMES = 3,
        ROWS_A_DAY = 4,   /* where density is the only argument: single readings of a day may well be a month apart */
        CHANGES_MIN = 3,  /* changes of the date: with fewer, a day a month apart is as likely as a month a day apart */
        N_READINGS = 1 << N_DATE_SHAPES,
};

/* The file as it would be with one set of shapes read day first. */
typedef struct Reading {
        bool is_begun;
        int32_t day;      /* of the row before */
        uint64_t n_odd;   /* days between neighbours beyond the one that is normal, and GAP_MAX for each date that is none */
        uint64_t n_bad;
        uint64_t n_changes;
        uint64_t n_rows, n_days;
        uint64_t hash;    /* of the days in their order */
} Reading;

static void reading_add(Reading *reading, unsigned day_first, Cell date) {
        int32_t day, gap;

        if (!cell_date(date, day_first, &day)) {
                reading->n_odd += GAP_MAX;
                reading->n_bad++;
                return;
        }

        gap = reading->is_begun ? abs(day - reading->day) : 0;
        reading->n_changes += gap != 0;
        reading->n_days += gap != 0 || !reading->is_begun;
        reading->n_rows++;
        reading->hash = (reading->hash ^ (uint32_t) day) * UINT64_C(1099511628211); /* FNV-1a */
        if (gap > 1)
                reading->n_odd += (uint64_t) (gap < GAP_MAX ? gap : GAP_MAX) - 1;
        reading->day = day;
        reading->is_begun = true;
}

/* 1/1, 2/2 and the like alone */
static bool same_days(const Reading *a, const Reading *b) {
        return a->n_bad == b->n_bad && a->hash == b->hash;
}

int dates_decide(Scanner *scanner, unsigned shapes, bool is_printed, unsigned *ret_day_first) {
        static const unsigned slash = DATE_SHAPE_BIT(DATE_SLASH);
        Reading readings[N_READINGS] = { 0 };
        unsigned best = 0, next = N_READINGS;
        ScanItem item;
        int r;

        scan_rewind(scanner);
        do {
                r = scan_next(scanner, &item);
                if (r)
                        return r < 0 ? r : -EBADMSG;
                /* a section begins anew; totals of days stand where nothing else of the day does */
                if (item == SCAN_SECTION || item == SCAN_HEADER)
                        for (unsigned i = 0; i != N_READINGS; i++)
                                readings[i].is_begun = false;
                if (item != SCAN_ROW || scanner->columns.at[COLUMN_DATE] == COLUMN_NOWHERE)
                        continue;
                for (unsigned i = 0; i != N_READINGS; i++)
                        if ((i & ~shapes) == 0)
                                reading_add(&readings[i], i, scanner->row.cells[scanner->columns.at[COLUMN_DATE]]);
        } while (item != SCAN_END);

        if (is_printed && (readings[0].n_bad == 0) != (readings[slash].n_bad == 0)) {
                *ret_day_first = readings[0].n_bad == 0 ? 0 : slash;
                return 0;
        }
        for (unsigned i = 1; i != N_READINGS; i++)
                if ((i & ~shapes) == 0 && readings[i].n_odd < readings[best].n_odd)
                        best = i;
        for (unsigned i = 0; i != N_READINGS; i++)
                if ((i & ~shapes) == 0 && !same_days(&readings[i], &readings[best]) && (next == N_READINGS || readings[i].n_odd < readings[next].n_odd))
                        next = i;

        /* dates that only one reading allows need no neighbours */
        if (next != N_READINGS && readings[next].n_bad <= readings[best].n_bad &&
            (readings[best].n_changes < CHANGES_MIN || readings[best].n_rows < readings[best].n_days * ROWS_A_DAY))
                return DATES_E_UNDECIDED;
        if (next != N_READINGS && readings[next].n_odd <= readings[best].n_odd * DECISIVE_TIMES + DECISIVE)
                return DATES_E_UNDECIDED;

        *ret_day_first = best;
        return 0;
}
