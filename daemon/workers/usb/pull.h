/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A whole session with a pump behind a CareLink stick: wake it, ask who it is, read its pages, newest first, switch its
 * radio off. What could not be read is reported and the session goes on; what was read is kept however it ends.
 */

#include "carelink-stick.h"
#include "pump.h"

enum {
        PULL_KNOWN_MAX = 64,
        PULL_HASH_SIZE = 16,
        PULL_REFUSAL_MAX = 512,

        PULL_E_REFUSED = 1, /* nothing could be read; the text says why and what to do */
};

typedef struct PullRequest {
        char serial[PARADIGM_SERIAL_SIZE]; /* of the pump: six digits, as on its back */
        int64_t now_utc_ms;
        const uint8_t (*known)[PULL_HASH_SIZE]; /* pull_hash() of whole pages that are in the wallet already */
        size_t n_known;
} PullRequest;

typedef struct PullResult {
        ParadigmModel model;
        bool is_worldwide;
        bool is_complete;    /* read to the end, or to a known page, and nothing is missing */
        unsigned n_pages;    /* history pages that were asked for */
        unsigned n_missing;  /* pages that did not come whole after three tries */
        int64_t clock_offset_ms; /* the pump's wall clock less what it should be */
        uint8_t pages[PULL_KNOWN_MAX][PULL_HASH_SIZE]; /* of the history pages that were read: known the next time, if is_complete */
        size_t n_hashes;
} PullResult;

/** pull_hash() - of a history page's content */
void pull_hash(uint8_t ret[static PULL_HASH_SIZE], const uint8_t page[static PARADIGM_PAGE_SIZE]);

/**
 * pull_run() - the session
 * @sink:        as of pump_new(); progress counts pages
 * @ret_refusal: set with PULL_E_REFUSED only; no record has been given out then
 *
 * Takes about 2.7 s a page and 17 s for a pump that sleeps. Return: 0; PULL_E_REFUSED; -ENOMEM; what the sink returned.
 */
must_check int pull_run(const Transport *transport, const PullRequest *request, Zones *zones, const ImportSink *sink, PullResult *ret,
                        FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]);
