/* SPDX-License-Identifier: Apache-2.0 */

/* Rows and hash of a slice, while it comes in. */

#include "endmark.h"

#include <inttypes.h>
#include <jansson.h>

void endmark_init(EndMark *mark, bool is_csv) {
        mark->is_csv = is_csv;
        mark->n_lines = 0;
        mark->has_head = mark->line_ended = mark->too_long = false;
        mark->n_line = 0;
        (void) crypto_hash_sha256_init(&mark->hash);
}

static void take_line(EndMark *mark) {
        static const char head[] = "{\"slice\":";

        if (mark->n_lines == 0)
                mark->has_head = mark->n_line > sizeof(head) && memcmp(mark->line, head, sizeof(head) - 1) == 0;
        (void) crypto_hash_sha256_update(&mark->hash, (const uint8_t *) mark->line, mark->n_line);
        mark->n_lines++;
        mark->n_line = 0;
        mark->line_ended = false;
}

static void feed_lines(EndMark *mark, const char *bytes, size_t n) {
        while (n > 0 && !mark->too_long) {
                const char *end = memchr(bytes, '\n', n);
                size_t n_part = end ? (size_t) (end - bytes) + 1 : n;

                if (mark->line_ended)
                        take_line(mark); /* another follows: it was not the last */
                if (n_part > sizeof(mark->line) - mark->n_line) {
                        mark->too_long = true;
                        return;
                }
                memcpy(mark->line + mark->n_line, bytes, n_part);
                mark->n_line += n_part;
                mark->line_ended = end;
                bytes += n_part;
                n -= n_part;
        }
}

void endmark_feed(EndMark *mark, const char *bytes, size_t n) {
        if (!mark->is_csv) {
                feed_lines(mark, bytes, n);
                return;
        }
        (void) crypto_hash_sha256_update(&mark->hash, (const uint8_t *) bytes, n);
        for (const char *at = bytes; (at = memchr(at, '\n', n - (size_t) (at - bytes))); at++)
                mark->n_lines++;
}

static void hash_text(EndMark *mark, char ret[static ENDMARK_HEX_SIZE]) {
        uint8_t hash[crypto_hash_sha256_BYTES];

        (void) crypto_hash_sha256_final(&mark->hash, hash);
        (void) sodium_bin2hex(ret, ENDMARK_HEX_SIZE, hash, sizeof(hash));
}

static int check_trailer(EndMark *mark, const char *trailer, uint64_t *ret_rows) {
        uint64_t n_rows = mark->n_lines > 0 ? mark->n_lines - 1 : 0; /* the first has the names of the columns */
        char hex[ENDMARK_HEX_SIZE], wanted[128];

        if (!trailer)
                return ENDMARK_E_MISSING;
        hash_text(mark, hex);
        (void) snprintf(wanted, sizeof(wanted), "rows=%" PRIu64 "; sha256=%s", n_rows, hex);
        if (strcmp(trailer, wanted) != 0)
                return ENDMARK_E_MISMATCH;
        *ret_rows = n_rows;
        return 0;
}

static int check_line(EndMark *mark, uint64_t *ret_rows) {
        uint64_t n_rows = mark->n_lines - (mark->has_head ? 1 : 0);
        char wanted[ENDMARK_HEX_SIZE];
        json_t *json, *end;
        const char *hex;
        json_int_t rows;
        int r = ENDMARK_E_MISSING;

        if (!mark->line_ended)
                return ENDMARK_E_MISSING;
        hash_text(mark, wanted);
        json = json_loadb(mark->line, mark->n_line, JSON_REJECT_DUPLICATES, NULL);
        end = json_object_get(json, "end");
        if (json_object_size(json) == 1 && json_unpack(end, "{s:I, s:s}", "rows", &rows, "sha256", &hex) == 0)
                r = rows >= 0 && (uint64_t) rows == n_rows && strcmp(hex, wanted) == 0 ? 0 : ENDMARK_E_MISMATCH;
        json_decref(json);
        if (r == 0)
                *ret_rows = n_rows;
        return r;
}

int endmark_check(EndMark *mark, const char *trailer, uint64_t *ret_rows) {
        if (mark->too_long)
                return ENDMARK_E_MISMATCH;
        return mark->is_csv ? check_trailer(mark, trailer, ret_rows) : check_line(mark, ret_rows);
}
