/* SPDX-License-Identifier: Apache-2.0 */

/* Random histories of imports, against a model that is a plain array. CAREWALLET_TEST_SEED picks another history. */

#include "store.h"

#include "daemon/core/records.h"

#define T0 INT64_C(1647216000000)

enum {
        N_HISTORIES = 10,
        N_OPERATIONS = 1000, /* of each: superseded rows pile up, and reading passes over all of them */
        N_KINDS = 3,
        N_TIMES = 40,
        N_IDENTITIES = 3,
        N_KEYS = N_KINDS * N_TIMES * N_IDENTITIES, /* in the order in which records are read */
        N_IMPORTS = 400, /* of a history, at most */
        NOTHING = -1,
};

static const uint8_t kinds[N_KINDS] = { RECORD_CGM, RECORD_BOLUS, RECORD_NOTE };

typedef struct Model {
        int visible[N_KEYS]; /* content, or NOTHING */
        int staged[N_KEYS];
        int8_t said[N_KEYS];            /* by the running import, repetitions too */
        int8_t had[N_IMPORTS][N_KEYS];  /* what each finished import said of each key */
        uint32_t ids[N_IMPORTS];        /* 0: undone */
        unsigned n_imports;
        uint32_t import;
        bool running;
        Records *records;
        const char *folder;
        uint32_t random;
} Model;

static unsigned below(Model *model, unsigned n) { /* xorshift32 */
        model->random ^= model->random << 13;
        model->random ^= model->random >> 17;
        model->random ^= model->random << 5;
        return model->random % n;
}

static Record record_of(int key, int content) {
        static const uint8_t payloads[3][5] = { { FIELD_ISIG, 5, 5, 5, 5 }, { FIELD_ISIG, 1, 2, 3, 4 }, { FIELD_ISIG, 9, 9, 9, 9 } };
        Record record = {
                .kind = kinds[key / (N_TIMES * N_IDENTITIES)],
                .flags = RECORD_HAS_VALUE,
                .value_milli = content / 3,
                .local_ms = T0 + key / N_IDENTITIES % N_TIMES,
                .utc_ms = T0,
        };

        record.identity[3] = (uint8_t) (key % N_IDENTITIES);
        record.payload = payloads[content % 3];
        record.n_payload = 5;
        return record;
}

static int key_of_record(const Record *record) {
        int kind = record->kind == RECORD_CGM ? 0 : record->kind == RECORD_BOLUS ? 1 : 2;

        return (kind * N_TIMES + (int) (record->local_ms - T0)) * N_IDENTITIES + record->identity[3];
}

static int content_of(const Record *record) {
        return record->value_milli * 3 + (record->payload[1] == 5 ? 0 : record->payload[1] == 1 ? 1 : 2);
}

static void import_some(Model *model) {
        unsigned n = 1 + below(model, below(model, 4) ? 20 : 300);
        RecordsCounts expected = { 0 }, counts = { 0 };
        Record batch[300];

        for (unsigned i = 0; i < n; i++) {
                int key = (int) below(model, N_KEYS), content = (int) below(model, 6);
                int *staged = &model->staged[key];
                int now = *staged != NOTHING ? *staged : model->visible[key];
                uint8_t kind = kinds[key / (N_TIMES * N_IDENTITIES)];

                batch[i] = record_of(key, content);
                model->said[key] = (int8_t) content;
                if (now == content)
                        expected.n_duplicates[kind]++;
                else {
                        if (now == NOTHING)
                                expected.n_inserted[kind]++;
                        else
                                expected.n_superseded[kind]++;
                        *staged = content;
                }
        }
        ok(records_import_batch(model->records, batch, n, &counts));
        assert_memory_equal(&counts, &expected, sizeof(counts));
}

typedef struct Reader {
        Model *model;
        const RecordsQuery *query;
        int key; /* the next that can come */
        unsigned n_left;
} Reader;

static bool wanted(const Reader *reader, int key) {
        Record record = record_of(key, 0);

        return reader->model->visible[key] != NOTHING && reader->query->kinds & RECORD_KIND_BIT(record.kind) &&
               record.local_ms >= reader->query->from_local_ms && record.local_ms < reader->query->to_local_ms;
}

static int read_one(const Record *record, void *userdata) {
        Reader *reader = userdata;

        if (reader->n_left == 0)
                return 1;
        reader->n_left--;
        while (reader->key < N_KEYS && !wanted(reader, reader->key))
                reader->key++;
        assert_int_equal(key_of_record(record), reader->key);
        assert_int_equal(content_of(record), reader->model->visible[reader->key]);
        reader->key++;
        return 0;
}

static void read_some(Model *model) {
        const RecordsQuery query = {
                .kinds = below(model, 16) << 1 | RECORD_KIND_BIT(kinds[below(model, N_KINDS)]) | (below(model, 2) ? RECORD_ALL_KINDS : 0),
                .from_local_ms = below(model, 3) ? T0 + below(model, N_TIMES) : INT64_MIN,
                .to_local_ms = below(model, 3) ? T0 + below(model, N_TIMES + 2) : INT64_MAX,
        };
        Reader reader = { .model = model, .query = &query };
        unsigned n_max = 1 + below(model, 50);
        RecordsCursor cursor = { 0 };

        while (!cursor.ended) {
                reader.n_left = below(model, 3) ? UINT32_MAX : 1 + below(model, 5);
                ok(records_read(model->records, &query, &cursor, n_max, read_one, &reader));
        }
        while (reader.key < N_KEYS && !wanted(&reader, reader.key))
                reader.key++;
        assert_int_equal(reader.key, N_KEYS); /* none is missing at the end */
}

static void check_counts(Model *model) {
        uint64_t counts[N_RECORD_KINDS], expected[N_RECORD_KINDS] = { 0 };
        int64_t first = 0, last = 0;
        bool any = false;

        for (int key = 0; key < N_KEYS; key++)
                if (model->visible[key] != NOTHING)
                        expected[kinds[key / (N_TIMES * N_IDENTITIES)]]++;
        records_count(model->records, counts);
        assert_memory_equal(counts, expected, sizeof(counts));

        ok(records_range(model->records, &any, &first, &last));
        for (int key = 0; key < N_KEYS; key++)
                if (model->visible[key] != NOTHING) {
                        Record record = record_of(key, 0);

                        assert_true(any && record.local_ms >= first && record.local_ms <= last);
                }
}

static void forget_staged(Model *model) {
        for (int key = 0; key < N_KEYS; key++)
                model->staged[key] = model->said[key] = NOTHING;
        model->running = false;
}

/* As if it had never been: what the latest of the others said counts. */
static void undo_one(Model *model, unsigned which) {
        int r;

        if (model->ids[which] == 0) {
                assert_int_equal(records_undo_begin(model->records, UINT32_MAX / 2), RECORDS_E_NOT_FOUND);
                return;
        }
        ok(records_undo_begin(model->records, model->ids[which]));
        if (below(model, 4) == 0) { /* given up at some moment: nothing has changed */
                for (unsigned n = below(model, 5); n > 0; n--)
                        if (records_undo_step(model->records) == 0)
                                goto undone;
                records_undo_cancel(model->records);
                read_some(model);
                return;
        }
        do {
                r = records_undo_step(model->records);
                if (r == 1 && below(model, 3) == 0)
                        read_some(model);
        } while (r == 1);
        ok(r);

undone:
        assert_int_equal(records_undo_begin(model->records, model->ids[which]), RECORDS_E_NOT_FOUND);
        model->ids[which] = 0;
        for (int key = 0; key < N_KEYS; key++) {
                model->visible[key] = NOTHING;
                for (unsigned i = 0; i < model->n_imports; i++)
                        if (model->ids[i] && model->had[i][key] != NOTHING)
                                model->visible[key] = model->had[i][key];
        }
        read_some(model);
}

static void operate(Model *model) {
        unsigned what = below(model, 100);

        if (what < 40) {
                if (!model->running)
                        ok(records_import_begin(model->records, "f", T0, &model->import));
                model->running = true;
                import_some(model);
        } else if (what < 50 && model->running)
                ok(records_import_reject(model->records, what, "reason", "row"));
        else if (what < 62 && model->running) {
                ok(records_import_finish(model->records, "{}"));
                for (int key = 0; key < N_KEYS; key++)
                        if (model->staged[key] != NOTHING)
                                model->visible[key] = model->staged[key];
                assert_true(model->n_imports < N_IMPORTS);
                memcpy(model->had[model->n_imports], model->said, sizeof(model->said));
                model->ids[model->n_imports++] = model->import;
                forget_staged(model);
        } else if (what < 68 && model->running) {
                records_import_cancel(model->records);
                forget_staged(model);
        } else if (what < 72 && !model->running && model->n_imports > 0) {
                undo_one(model, below(model, model->n_imports));
        } else if (what < 80)
                assert_true(records_cleanup_step(model->records) >= 0);
        else if (what < 98)
                read_some(model);
        else {
                cleanup(secret_freep) Secret *key = key_of(1);

                model->records = records_close(model->records);
                forget_staged(model);
                ok(records_open(&model->records, model->folder, key));
        }
        check_counts(model);
}

static void live_through(Model *model) {
        cleanup(secret_freep) Secret *key = key_of(1);
        char path[PATH_MAX];
        int r;

        ok(records_open(&model->records, model->folder, key));
        for (int i = 0; i < N_KEYS; i++)
                model->visible[i] = NOTHING;
        model->n_imports = 0;
        forget_staged(model);

        for (unsigned i = 0; i < N_OPERATIONS; i++)
                operate(model);

        records_import_cancel(model->records);
        do
                r = records_cleanup_step(model->records);
        while (r == 1);
        ok(r);
        read_some(model);
        model->records = records_close(model->records);
        (void) snprintf(path, sizeof(path), "%s/records.db", model->folder);
        ok(unlink(path));
}

static void every_history_is_what_the_model_says(void **state) {
        static Model model;
        const char *seed = getenv("CAREWALLET_TEST_SEED");

        model = (Model) { .folder = *state, .random = seed ? (uint32_t) strtoul(seed, NULL, 10) | 1 : 20220314 };

        print_message("seed %u\n", model.random);
        for (unsigned i = 0; i < N_HISTORIES; i++)
                live_through(&model);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                in_folder(every_history_is_what_the_model_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
