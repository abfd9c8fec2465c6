/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Whether a slice is whole. NDJSON: the last line is {"end":{"rows":n,"sha256":hex,...}}, the hash being over all bytes
 * before it. CSV: the trailer Carewallet-Slice: rows=n; sha256=hex, over all bytes. daemon/workers/gate/GATE.md.
 */

#include "daemon/common/util.h"

#include <sodium.h>

enum {
        ENDMARK_LINE_MAX = 65536, /* bytes of a line */
        ENDMARK_HEX_SIZE = 65,

        ENDMARK_E_MISSING = 1,  /* the slice was cut */
        ENDMARK_E_MISMATCH,     /* rows or hash are not those of what came */
};

typedef struct EndMark {
        bool is_csv;
        crypto_hash_sha256_state hash;
        uint64_t n_lines;   /* in the hash */
        bool has_head;      /* the first is {"slice":...} */
        char line[ENDMARK_LINE_MAX]; /* NDJSON: the last one, which may be the end mark */
        size_t n_line;
        bool line_ended;
        bool too_long;
} EndMark;

void endmark_init(EndMark *mark, bool is_csv);
void endmark_feed(EndMark *mark, const char *bytes, size_t n);
/** endmark_check() - after the last byte. @trailer: NULL for none */
must_check int endmark_check(EndMark *mark, const char *trailer, uint64_t *ret_rows);
