/* SPDX-License-Identifier: Apache-2.0 */

/* Everything out of one database of records and into another. */

#include "store.h"

#include "daemon/core/records.h"

#define T0 INT64_C(1647216000000) /* 2022-03-14 */

enum {
        N_ROWS = 300,
        N_IMPORTS = 5,
};

static Records *open_in(const char *folder, const char *name) {
        cleanup(secret_freep) Secret *key = key_of(1);
        char path[PATH_MAX];
        Records *records = NULL;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        (void) mkdir(path, 0700);
        ok(records_open(&records, path, key));
        return records;
}

static int remove_folders(void **state) {
        static const char *const names[] = { "old", "new" };

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                char path[PATH_MAX];
                void *folder;

                (void) snprintf(path, sizeof(path), "%s/%s", (const char *) *state, names[i]);
                folder = strdup(path);
                (void) remove_folder(&folder);
        }
        return remove_folder(state);
}

static Record row_of(int64_t at, int32_t value) {
        return (Record) {
                .kind = at % 3 ? RECORD_CGM : RECORD_ALARM, .flags = at % 3 ? RECORD_HAS_VALUE : 0, .unit = at % 3 ? RECORD_UNIT_MG_DL : RECORD_UNIT_NONE,
                .value_milli = at % 3 ? value * 1000 : 0, .local_ms = T0 + at * 60000, .utc_ms = T0 + at * 60000, .identity = "device", .source = 1,
        };
}

/* Five imports, each of which has most of what the one before had, some of it corrected. */
static void fill(Records *records) {
        for (int i = 0; i < N_IMPORTS; i++) {
                RecordsSource source = { .device_key = "device", .model = "pump", .serial = "1" };
                RecordsCounts counts = { 0 };
                Record rows[N_ROWS];
                uint32_t import;

                ok(records_import_begin(records, "export.csv", T0 + i, &import));
                ok(records_source_find_or_add(records, &source));
                for (int k = 0; k < N_ROWS; k++)
                        rows[k] = row_of(i * 50 + k, 100 + (k % 7 == i ? i : 0));
                ok(records_import_batch(records, rows, N_ROWS, &counts));
                ok(records_import_reject(records, 7, "no time", "a;b;c"));
                ok(records_import_finish(records, "{\"file\":\"x\"}"));
        }
}

static int give_row(const Record *record, void *userdata) {
        return records_restore_row(userdata, record);
}

static int give_stretch(const RecordsAgain *again, void *userdata) {
        return records_restore_again(userdata, again);
}

static int give_rejected(uint32_t line, const char *reason, const char *row, void *userdata) {
        return records_restore_rejected(userdata, line, reason, row);
}

typedef struct Copying {
        Records *from, *to;
} Copying;

static int give_import(const RecordsImport *import, void *userdata) {
        const Copying *copying = userdata;

        ok(records_restore_import(copying->to, import));
        ok(records_rejected(copying->from, import->id, 0, give_rejected, copying->to));
        ok(records_restore_report(copying->to, import->report_json));
        return 0;
}

static void begin(Records *to) {
        uint32_t import;

        ok(records_import_begin(to, "everything", T0, &import));
        ok(records_restore_begin(to));
}

/* Whatever a step has room for. */
static void copy(Records *from, Records *to, size_t n_max) {
        Copying copying = { from, to };
        RecordsRowCursor rows = { 0 };
        RecordsAgain again = { 0 };
        bool end = false;

        begin(to);
        for (uint32_t id = 1; id <= records_n_sources(from); id++)
                ok(records_restore_source(to, records_source(from, id)));
        ok(records_imports(from, 0, give_import, &copying));
        while (!end)
                ok(records_again(from, &again, UINT32_MAX, n_max, &end, give_stretch, to));
        while (!rows.ended)
                ok(records_rows(from, &rows, UINT32_MAX, n_max, give_row, to));
}

typedef struct Content {
        Record rows[N_ROWS * N_IMPORTS * N_IMPORTS];
        size_t n;
} Content;

static int see(const Record *record, void *userdata) {
        Content *content = userdata;

        assert_true(content->n < N_ELEMENTS(content->rows));
        content->rows[content->n] = *record;
        content->rows[content->n++].payload = NULL;
        return 0;
}

/* What is visible, and what each import said. */
static Content *content_of(Records *records) {
        const RecordsQuery all = { RECORD_ALL_KINDS, INT64_MIN, INT64_MAX };
        Content *content = calloc(1, sizeof(*content));
        RecordsRowCursor rows = { 0 };
        RecordsCursor cursor = { 0 };

        assert_non_null(content);
        while (!cursor.ended)
                ok(records_read(records, &all, &cursor, 1000, see, content));
        while (!rows.ended)
                ok(records_rows(records, &rows, UINT32_MAX, 1000, see, content));
        return content;
}

static void assert_equal(Records *a, Records *b) {
        cleanup(freep) Content *left = content_of(a), *right = content_of(b);
        uint64_t counts[2][N_RECORD_KINDS];
        int64_t first[2], last[2];
        bool any[2];

        assert_true(left->n > 0 && left->n == right->n);
        assert_memory_equal(left->rows, right->rows, left->n * sizeof(*left->rows));
        records_count(a, counts[0]);
        records_count(b, counts[1]);
        assert_memory_equal(counts[0], counts[1], sizeof(counts[0]));
        ok(records_range(a, &any[0], &first[0], &last[0]));
        ok(records_range(b, &any[1], &first[1], &last[1]));
        assert_true(any[0] == any[1] && first[0] == first[1] && last[0] == last[1]);
        assert_int_equal(records_last_import(a), records_last_import(b));
}

static void undo(Records *records, uint32_t import) {
        int r;

        ok(records_undo_begin(records, import));
        do
                r = records_undo_step(records);
        while (r == 1);
        ok(r);
}

static void clean(Records *records) {
        int r;

        do
                r = records_cleanup_step(records);
        while (r == 1);
        ok(r);
}

static void all_of_it_comes_over_whatever_a_step_has_room_for(void **state) {
        for (size_t n_max = 1; n_max <= 1000; n_max *= 10) {
                cleanup(records_closep) Records *from = open_in(*state, "old"), *to = NULL;

                if (n_max == 1)
                        fill(from);
                to = open_in(*state, "new");
                copy(from, to, n_max);
                ok(records_restore_finish(to));
                assert_equal(from, to);

                to = records_close(to);
                to = open_in(*state, "new");
                assert_equal(from, to);
                if (n_max == 1000) { /* what is undone in both leaves the same */
                        for (uint32_t import = 1; import < N_IMPORTS; import += 2) {
                                undo(from, import);
                                undo(to, import);
                                assert_equal(from, to);
                        }
                }
                to = records_close(to);
                for (size_t i = 0; i < 2; i++) {
                        char path[PATH_MAX];

                        (void) snprintf(path, sizeof(path), "%s/new/%s", (const char *) *state, i ? "records.db-wal" : "records.db");
                        (void) unlink(path);
                }
        }
}

static void one_that_is_given_up_leaves_nothing_and_may_be_tried_again(void **state) {
        cleanup(records_closep) Records *from = open_in(*state, "old"), *to = open_in(*state, "new");
        const RecordsQuery all = { RECORD_ALL_KINDS, INT64_MIN, INT64_MAX };
        Content *content = calloc(1, sizeof(*content));
        RecordsCursor cursor = { 0 };
        uint32_t import;

        fill(from);
        copy(from, to, 100);
        while (!cursor.ended)
                ok(records_read(to, &all, &cursor, 1000, see, content));
        assert_int_equal(content->n, 0);
        free(content);

        records_import_cancel(to);
        assert_int_equal(records_n_sources(to), 0);
        ok(records_import_begin(to, "everything", T0, &import));
        assert_int_equal(records_restore_begin(to), RECORDS_E_NOT_EMPTY); /* it is still being cleared up */
        records_import_cancel(to);
        clean(to);
        copy(from, to, 100); /* and the program ends */
        to = records_close(to);
        to = open_in(*state, "new");
        clean(to);
        copy(from, to, 100);
        ok(records_restore_finish(to));
        assert_equal(from, to);

        ok(records_import_begin(to, "everything", T0, &import));
        assert_int_equal(records_restore_begin(to), RECORDS_E_NOT_EMPTY);
        records_import_cancel(to);
        assert_equal(from, to);
}

static void what_cannot_be_so_is_refused(void **state) {
        const RecordsSource source = { .id = 1, .model = "pump" }, later = { .id = 3 };
        cleanup(records_closep) Records *to = open_in(*state, "new");
        RecordsImport import = { .id = 5, .time_utc_ms = T0, .file_name = "x" };
        RecordsAgain again = { RECORD_CGM, 5, { .local_ms = T0 }, { .local_ms = T0 + 1 } };
        Record row = row_of(1, 100), other;

        begin(to);
        assert_int_equal(records_restore_rejected(to, 1, "no time", "x"), -EINVAL);
        assert_int_equal(records_restore_report(to, "{}"), -EINVAL);
        ok(records_restore_source(to, &source));
        assert_int_equal(records_restore_source(to, &later), -EINVAL);
        ok(records_restore_import(to, &import));
        assert_int_equal(records_restore_import(to, &import), -EINVAL);
        import.id = 4;
        assert_int_equal(records_restore_import(to, &import), -EINVAL);
        import.id = (1 << 24) + 1;
        assert_int_equal(records_restore_import(to, &import), -EINVAL);
        import.id = 1 << 24;
        ok(records_restore_import(to, &import));
        for (unsigned i = 0; i < RECORDS_REJECTS_MAX; i++)
                ok(records_restore_rejected(to, i, "no time", "x"));
        assert_int_equal(records_restore_rejected(to, 1, "no time", "x"), -EINVAL);
        ok(records_restore_report(to, "{}"));

        ok(records_restore_again(to, &again));
        again.to.local_ms = T0 + INT64_C(8) * 24 * 3600 * 1000;
        assert_int_equal(records_restore_again(to, &again), -EINVAL);
        again.to.local_ms = T0;
        again.import = 6;
        assert_int_equal(records_restore_again(to, &again), -EINVAL);

        row.import = 5;
        ok(records_restore_row(to, &row));
        assert_int_equal(records_restore_row(to, &row), -EINVAL);
        other = row_of(2, 100);
        assert_int_equal(records_restore_row(to, &other), -EINVAL); /* of no import */
        other.import = 5;
        other.source = 2;
        assert_int_equal(records_restore_row(to, &other), -EINVAL);
        other.source = 1;
        ok(records_restore_row(to, &other));
        row.import = 1 << 24;
        assert_int_equal(records_restore_row(to, &row), -EINVAL); /* it comes before */
        import.id = (1 << 24) - 1;
        assert_int_equal(records_restore_import(to, &import), -EINVAL); /* imports come before rows */
        ok(records_restore_finish(to));
        assert_int_equal(records_last_import(to), 1 << 24);
}

static void a_full_disk_leaves_a_wallet_in_which_nothing_is(void **state) {
        cleanup(records_closep) Records *from = open_in(*state, "old"), *to = open_in(*state, "new");
        RecordsRowCursor rows = { 0 };
        Copying copying = { from, to };
        pid_t child;
        int status, r = 0;

        fill(from);
        child = fork();
        assert_true(child >= 0);
        if (child == 0) {
                begin(to);
                ok(records_restore_source(to, records_source(from, 1)));
                ok(records_imports(from, 0, give_import, &copying));
                limit_files(4096);
                while (r == 0 && !rows.ended)
                        r = records_rows(from, &rows, UINT32_MAX, 10, give_row, to);
                if (r == 0)
                        r = records_restore_finish(to);
                _exit(r == RECORDS_E_FULL && records_last_import(to) == 0 ? 0 : 1);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test_setup_teardown(all_of_it_comes_over_whatever_a_step_has_room_for, make_folder, remove_folders),
                cmocka_unit_test_setup_teardown(one_that_is_given_up_leaves_nothing_and_may_be_tried_again, make_folder, remove_folders),
                cmocka_unit_test_setup_teardown(what_cannot_be_so_is_refused, make_folder, remove_folders),
                cmocka_unit_test_setup_teardown(a_full_disk_leaves_a_wallet_in_which_nothing_is, make_folder, remove_folders),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
