/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A complete export of arbitrary lines: what comes out is frames that the core takes, in an order in which they can be taken.
 * The end line is made to fit unless the first byte says otherwise, as no fuzzer finds a hash.
 */

#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#include "daemon/workers/import/everything.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct Seen {
        bool has_begun, has_rows;
        uint32_t n_sources, last_import;
        size_t depth;
        Record last;
        uint64_t n_rows;
} Seen;

static void check(bool condition) {
        if (!condition)
                abort();
}

static void on_record(Seen *seen, const uint8_t *payload, size_t n_payload) {
        Record record;
        uint32_t line;
        int order;

        check(frame_get_import_record(&line, &record, payload, n_payload) == 0);
        check(record.source > 0 && record.source <= seen->n_sources && record.import > 0 && record.import <= seen->last_import);
        if (seen->has_rows) {
                order = record.kind != seen->last.kind ? record.kind - seen->last.kind : record.local_ms != seen->last.local_ms
                                ? (record.local_ms > seen->last.local_ms ? 1 : -1) : memcmp(record.identity, seen->last.identity, sizeof(record.identity));
                check(order > 0 || (order == 0 && record.import < seen->last.import));
        }
        seen->last = record;
        seen->has_rows = true;
        seen->n_rows++;
}

static void on_frame(Seen *seen, uint32_t type, const uint8_t *payload, size_t n_payload) {
        char reason[1025], row[1025];
        FrameRestoreImport import;
        FrameRestoreAgain again;
        FrameRestoreNode node;
        FrameImportSource source;
        FrameRestore restore;
        uint64_t n_done, n_all;
        uint32_t line;

        check(seen->has_begun == (type != FRAME_RESTORE));
        switch (type) {
        case FRAME_RESTORE:
                /* that its zones are no path is the core's to say: the frame is refused then */
                seen->has_begun = frame_get_restore(&restore, payload, n_payload) == 0 || n_payload >= 16;
                break;
        case FRAME_IMPORT_SOURCE:
                check(frame_get_import_source(&source, payload, n_payload) == 0 && source.source == ++seen->n_sources);
                break;
        case FRAME_RESTORE_IMPORT:
                check(frame_get_restore_import(&import, payload, n_payload) == 0);
                check(import.import > seen->last_import && seen->depth == 0 && !seen->has_rows);
                seen->last_import = import.import;
                break;
        case FRAME_RESTORE_NODE:
                check(frame_get_restore_node(&node, payload, n_payload) == 0);
                check(node.type != FRAME_NODE_END || seen->depth > 0);
                seen->depth += node.type == FRAME_NODE_OBJECT || node.type == FRAME_NODE_ARRAY;
                seen->depth -= node.type == FRAME_NODE_END;
                check(seen->depth <= 8);
                break;
        case FRAME_IMPORT_REJECTED:
                check(frame_get_import_rejected(&line, reason, row, payload, n_payload) == 0 && seen->last_import > 0);
                break;
        case FRAME_RESTORE_AGAIN:
                check(frame_get_restore_again(&again, payload, n_payload) == 0 && again.import <= seen->last_import);
                break;
        case FRAME_IMPORT_RECORD:
                on_record(seen, payload, n_payload);
                break;
        case FRAME_IMPORT_PROGRESS:
                check(frame_get_import_progress(&n_done, &n_all, payload, n_payload) == 0 && n_done <= n_all);
                break;
        default:
                abort();
        }
}

static int flush(FrameBuffer *out, void *userdata) {
        const uint8_t *payload;
        size_t n_payload;
        uint32_t type;

        while (frame_next(out, &type, &payload, &n_payload) == 0)
                on_frame(userdata, type, payload, n_payload);
        frame_buffer_done(out);
        return 0;
}

static int file_of(const uint8_t *bytes, size_t n, bool sealed) {
        uint8_t digest[crypto_hash_sha256_BYTES];
        char hex[2 * sizeof(digest) + 1], end[160];
        static int fd = -1;
        size_t n_lines = 0;

        for (size_t i = 0; i < n; i++)
                n_lines += bytes[i] == '\n';
        (void) crypto_hash_sha256(digest, bytes, n);
        (void) snprintf(end, sizeof(end), "{\"end\":{\"lines\":%zu,\"sha256\":\"%s\"}}\n", n_lines, sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest)));
        if (fd < 0)
                fd = memfd_create("fuzz-everything", MFD_CLOEXEC);
        check(fd >= 0 && ftruncate(fd, 0) == 0 && pwrite(fd, bytes, n, 0) == (ssize_t) n);
        if (sealed)
                check(pwrite(fd, end, strlen(end), (off_t) n) == (ssize_t) strlen(end));
        return fd;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        cleanup(frame_buffer_done) FrameBuffer out = { 0 };
        char refusal[IMPORT_REFUSAL_MAX] = "";
        FrameImportEnd end = { 0 };
        Seen seen = { 0 };
        uint64_t n_rows = 0;
        int fd, r;

        if (n == 0)
                return 0;
        fd = file_of(bytes + 1, n - 1, bytes[0] != '!');
        (void) everything_is(fd);
        r = everything_run(fd, &out, flush, &seen, &end, refusal);
        check(r == 0 || (r == IMPORT_E_REFUSED && refusal[0]));
        (void) flush(&out, &seen);
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                n_rows += end.n_records[kind];
        if (r == 0)
                check(seen.has_begun && seen.depth == 0 && n_rows == seen.n_rows && end.n_rows == n_rows);
        return 0;
}
