/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cmocka, and one import with everything that came out of it. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/mman.h>

#include "daemon/workers/import/import.h"

typedef struct Got {
        uint32_t line;
        bool is_extra;
        Record record;
        uint8_t payload[2560]; /* the longest: an estimate that counted thirty boluses */
} Got;

typedef struct Imported {
        int r;
        char refusal[IMPORT_REFUSAL_MAX];
        FrameImportEnd end;
        Got *records;
        size_t n, n_allocated;
        uint32_t n_sources, n_rejected, n_notes, n_merged;
        uint32_t rejected_line; /* the last one */
        char reason[256], row[1100], notes[4096];
        uint64_t progress;
} Imported;

static inline int collect_source(void *userdata, const FrameImportSource *source) {
        Imported *i = userdata;

        assert_int_equal(source->source, i->n_sources + 1);
        i->n_sources++;
        return 0;
}

static inline int collect_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        Imported *i = userdata;
        Got *got;

        assert_true(record_valid(record));
        assert_in_range(record->source, 1, i->n_sources);
        if (i->n == i->n_allocated) {
                i->n_allocated = i->n_allocated ? i->n_allocated * 2 : 64;
                i->records = realloc(i->records, i->n_allocated * sizeof(*i->records));
                assert_non_null(i->records);
        }
        got = &i->records[i->n++];
        got->line = line;
        got->is_extra = is_extra;
        got->record = *record;
        assert_true(record->n_payload <= sizeof(got->payload));
        memcpy(got->payload, record->payload, record->n_payload);
        got->record.payload = NULL; /* the array moves */
        return 0;
}

static inline int collect_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        Imported *i = userdata;

        i->n_rejected++;
        i->rejected_line = line;
        (void) snprintf(i->reason, sizeof(i->reason), "%s", reason);
        (void) snprintf(i->row, sizeof(i->row), "%.*s", (int) n_row, row);
        return 0;
}

static inline int collect_note(void *userdata, const char *text) {
        Imported *i = userdata;
        size_t n = strlen(i->notes);

        i->n_notes++;
        (void) snprintf(i->notes + n, sizeof(i->notes) - n, "%s\n", text);
        return 0;
}

static inline int collect_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        Imported *i = userdata;

        assert_true(n_done >= i->progress && n_done <= n_all);
        i->progress = n_done;
        return 0;
}

static inline int collect_merged(void *userdata, uint32_t line, uint32_t into_line, unsigned kind) {
        Imported *i = userdata;

        (void) line;
        (void) into_line;
        (void) kind;
        i->n_merged++;
        return 0;
}

static inline void imported_done(Imported *i) {
        free(i->records);
        i->records = NULL;
}

/* 2026-11-22, so that the tests' data is never in the future */
#define TEST_NOW_MS INT64_C(1795305600000)

/* of all tests of a program; Europe/Berlin unless said otherwise */
static Zones *test_zones;

static inline int in_zone(const char *spec) {
        test_zones = zones_free(test_zones);
        return zones_load(&test_zones, spec);
}

static inline void import_fd(Imported *i, int fd, uint8_t unit) {
        FrameImportRequest request = { .version = FRAME_VERSION, .now_utc_ms = TEST_NOW_MS, .glucose_unit = unit };
        ImportSink sink = {
                .userdata = i, .source = collect_source, .record = collect_record, .rejected = collect_rejected,
                .note = collect_note, .progress = collect_progress, .merged = collect_merged,
        };
        uint32_t n_records = 0, n_merged = 0, n_extra = 0;

        memset(i, 0, sizeof(*i));
        i->r = import_run(fd, &request, test_zones, &sink, &i->end, i->refusal);
        if (i->r)
                return;

        for (unsigned kind = 0; kind != N_RECORD_KINDS; kind++) {
                n_records += i->end.n_records[kind];
                n_merged += i->end.n_merged[kind];
                n_extra += i->end.n_extra[kind];
        }
        /* what FrameImportEnd promises, for every file of every test */
        assert_int_equal(i->end.n_rows, n_records + n_merged + i->end.n_rejected);
        assert_int_equal(i->n, n_records + n_extra);
        assert_int_equal(i->n_merged, n_merged);
        assert_int_equal(i->n_rejected, i->end.n_rejected);
}

static inline int memory_file(const void *bytes, size_t n) {
        int fd = memfd_create("import-test", MFD_CLOEXEC);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t) n);
        return fd;
}

static inline void import_bytes(Imported *i, const void *bytes, size_t n) {
        int fd = memory_file(bytes, n);

        import_fd(i, fd, 0);
        close_fd(fd);
}

static inline void import_text(Imported *i, const char *text) {
        import_bytes(i, text, strlen(text));
}

static inline char *read_file(const char *path, size_t *ret_n) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        off_t n = fd < 0 ? -1 : lseek(fd, 0, SEEK_END);
        char *text;

        if (n < 0)
                abort(); /* the test's own data is not there */
        text = malloc((size_t) n + 1);
        assert_non_null(text);
        assert_int_equal(pread(fd, text, (size_t) n, 0), n);
        text[n] = 0;
        *ret_n = (size_t) n;
        close_fd(fd);
        return text;
}

static inline void import_data(Imported *i, const char *name) {
        char path[512];
        char *text;
        size_t n = 0;

        (void) snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
        text = read_file(path, &n);
        import_bytes(i, text, n);
        free(text);
}

static inline const Got *got_at(const Imported *i, uint32_t line, bool is_extra) {
        for (size_t n = 0; n != i->n; n++)
                if (i->records[n].line == line && i->records[n].is_extra == is_extra)
                        return &i->records[n];
        fail_msg("no record of line %u", line);
        return NULL;
}

static inline bool got_field(const Got *got, FieldId id, Field *ret) {
        size_t at = 0;

        while (record_field_next(got->payload, got->record.n_payload, &at, ret))
                if (ret->id == id)
                        return true;
        return false;
}

static inline void assert_text(const Got *got, FieldId id, const char *expected) {
        Field field;

        assert_true(got_field(got, id, &field));
        assert_int_equal(field.n_text, strlen(expected));
        assert_memory_equal(field.text, expected, field.n_text);
}

static inline void assert_number(const Got *got, FieldId id, int64_t expected) {
        Field field;

        assert_true(got_field(got, id, &field));
        assert_int_equal(field.info->type == FIELD_MILLI ? field.milli : (int64_t) field.number, expected);
}

static inline void assert_no_field(const Got *got, FieldId id) {
        Field field;

        assert_false(got_field(got, id, &field));
}

static inline void assert_value(const Got *got, RecordKind kind, RecordUnit unit, int32_t milli) {
        assert_int_equal(got->record.kind, kind);
        assert_int_equal(got->record.unit, unit);
        assert_int_equal(got->record.flags, RECORD_HAS_VALUE);
        assert_int_equal(got->record.value_milli, milli);
}

/* Every record of @part is in @whole with the same identity and content. */
static inline void assert_adds_nothing(const Imported *whole, const Imported *part) {
        for (size_t n = 0; n != part->n; n++) {
                const Got *a = &part->records[n];
                bool is_found = false;

                for (size_t m = 0; m != whole->n && !is_found; m++) {
                        const Got *b = &whole->records[m];

                        is_found = a->record.kind == b->record.kind && a->record.local_ms == b->record.local_ms &&
                                   memcmp(a->record.identity, b->record.identity, RECORD_IDENTITY_SIZE) == 0 &&
                                   a->record.value_milli == b->record.value_milli && a->record.utc_ms == b->record.utc_ms &&
                                   a->record.flags == b->record.flags && a->record.clock == b->record.clock &&
                                   a->record.n_payload == b->record.n_payload &&
                                   memcmp(a->payload, b->payload, a->record.n_payload) == 0;
                }
                if (!is_found)
                        fail_msg("the record of line %u is new or changed", a->line);
        }
}

/* Two columns of glucose, and what the tests below fill in. */
#define HEAD "-------;Pump X;Pump;NG1;-------\nIndex;Date;Time;BG Reading (mg/dL);Sensor Glucose (mg/dL);Bolus Type;" \
             "Bolus Volume Selected (U);Bolus Volume Delivered (U);Bolus Number;Event Marker\n"

/* Before all tests of a program. */
static inline int berlin(void **state) {
        (void) state;
        return in_zone("Europe/Berlin");
}
