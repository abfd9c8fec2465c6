/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A history page: records one behind the other, oldest first, each an opcode and a length that follows from it. */

#include "paradigm.h"

enum {
        PARADIGM_HISTORY_END = PARADIGM_PAGE_SIZE - 2, /* where records end and the checksum begins */

        PARADIGM_HISTORY_E_END = 1, /* nothing follows but zeros */
        PARADIGM_HISTORY_E_UNKNOWN, /* an opcode that we do not know: what follows it can't be read */
        PARADIGM_HISTORY_E_DAMAGED, /* a record that is cut, without a valid time, or nothing where something is */
};

typedef struct ParadigmEntry {
        uint8_t op;
        const char *name;
        const uint8_t *bytes; /* borrowed from the page, opcode first */
        size_t n;
        size_t at;            /* where in the page */
        bool has_time;        /* UnabsorbedInsulin has none: it belongs to the bolus estimate before it */
        bool is_day;          /* the time is the midnight that begins the day meant */
        int64_t local_ms;     /* pump's wall clock */
} ParadigmEntry;

/**
 * paradigm_history_next() - walk a page
 * @page: borrowed; its checksum is not looked at
 * @at:   in and out; 0 to begin. Stays on failure: from there on the page can't be read.
 *
 * Return: 0 with an entry; PARADIGM_HISTORY_E_...
 */
must_check int paradigm_history_next(const uint8_t page[static PARADIGM_PAGE_SIZE], const ParadigmModel *model, size_t *at,
                                     ParadigmEntry *ret);
