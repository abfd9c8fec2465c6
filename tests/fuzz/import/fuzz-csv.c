/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The whole importer on arbitrary bytes. Besides not crashing: what it gives out is valid, every row is explained, and
 * the sum of the counts is what FrameImportEnd promises.
 */

#include <stdlib.h>
#include <sys/mman.h>

#include "daemon/workers/import/import.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

typedef struct Counts {
        uint32_t n_sources, n_records, n_rejected, n_merged;
} Counts;

static int on_source(void *userdata, const FrameImportSource *source) {
        Counts *counts = userdata;

        if (source->source != ++counts->n_sources)
                abort();
        return 0;
}

static int on_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        Counts *counts = userdata;

        (void) is_extra;
        if (!record_valid(record) || line == 0 || record->source == 0 || record->source > counts->n_sources)
                abort();
        counts->n_records++;
        return 0;
}

static int on_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        Counts *counts = userdata;

        (void) row;
        if (line == 0 || !reason[0] || n_row > 1024)
                abort();
        counts->n_rejected++;
        return 0;
}

static int on_note(void *userdata, const char *text) {
        (void) userdata;
        return text[0] ? 0 : -EINVAL;
}

static int on_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        (void) userdata;
        return n_done <= n_all ? 0 : -EINVAL;
}

static int on_merged(void *userdata, uint32_t line, uint32_t into_line, unsigned kind) {
        Counts *counts = userdata;

        if (line == 0 || into_line == 0 || kind == 0 || kind >= N_RECORD_KINDS)
                abort();
        counts->n_merged++;
        return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static int fd = -1;
        static Zones *zones;
        Counts counts = { 0 };
        const ImportSink sink = { &counts, on_source, on_record, on_rejected, on_note, on_progress, on_merged };
        /* the first byte is not of the file: the patient's override of the unit */
        const FrameImportRequest request = {
                .version = FRAME_VERSION, .now_utc_ms = INT64_C(1795305600000), .glucose_unit = n ? bytes[0] % 3 : 0,
        };
        char refusal[IMPORT_REFUSAL_MAX];
        FrameImportEnd end;
        uint64_t n_records = 0, n_merged = 0, n_extra = 0;
        int r;

        if (n == 0)
                return 0;
        if (fd < 0) {
                fd = memfd_create("fuzz-csv", MFD_CLOEXEC);
                if (fd < 0 || zones_load(&zones, "Europe/Berlin") != 0)
                        abort();
        }
        if (ftruncate(fd, 0) < 0 || pwrite(fd, bytes + 1, n - 1, 0) != (ssize_t) (n - 1))
                abort();

        r = import_run(fd, &request, zones, &sink, &end, refusal);
        if (r == IMPORT_E_REFUSED)
                return 0;
        if (r)
                abort();

        for (unsigned kind = 0; kind != N_RECORD_KINDS; kind++) {
                n_records += end.n_records[kind];
                n_merged += end.n_merged[kind];
                n_extra += end.n_extra[kind];
        }
        if (end.n_rows != n_records + n_merged + end.n_rejected || counts.n_records != n_records + n_extra ||
            counts.n_merged != n_merged || counts.n_rejected != end.n_rejected)
                abort();
        return 0;
}
