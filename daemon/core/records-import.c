/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

#include <time.h>

enum {
        REJECTS_PER_COMMIT = 200,
        SCAN_MAX = 16,            /* existing rows passed over before it is quicker to seek */
        BATCH_SIZE_FIRST = 250,
        BATCH_SIZE_MIN = 100,
        BATCH_SLOW_NS = 10000000,
        BATCH_FAST_NS = 5000000,
};

int records_compare_place(const Record *a, const Record *b) {
        if (a->kind != b->kind)
                return a->kind < b->kind ? -1 : 1;
        if (a->local_ms != b->local_ms)
                return a->local_ms < b->local_ms ? -1 : 1;
        return memcmp(a->identity, b->identity, sizeof(a->identity));
}

/* While a batch is sorted, import is where the record stood in it. */
static int compare_for_sort(const void *a, const void *b) {
        const Record *left = a, *right = b;
        int r = records_compare_place(left, right);

        return r != 0 ? r : (left->import > right->import) - (left->import < right->import);
}

int records_import_begin(Records *records, const char *file_name, int64_t now_utc_ms, uint32_t *ret_import) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        int64_t id;
        int r;

        assert(records->import == 0 && records->undo.import == 0);

        records_stats_clear(&records->stats);
        records_stats_write(bytes, &records->stats);

        r = db_prepare(records->db, &statement, "INSERT INTO imports(done, time_ms, file_name, stats, n_rejected) VALUES(0, ?1, ?2, ?3, 0)");
        if (r)
                return r;
        db_bind_int(statement, 1, now_utc_ms);
        db_bind_text(statement, 2, file_name);
        db_bind_blob(statement, 3, bytes, sizeof(bytes));
        r = db_run(statement);
        if (r)
                return r;

        id = db_last_id(records->db);
        if (id <= 0 || id >= UINT32_MAX)
                return -EOVERFLOW;
        records->import = (uint32_t) id;
        records->n_rejected = 0;
        records->n_uncommitted = 0;
        records->batch_size = BATCH_SIZE_FIRST;
        records->failed = 0;
        *ret_import = records->import;
        return 0;
}

static int begin_if_needed(Records *records) {
        return db_in_transaction(records->db) ? 0 : db_begin(records->db);
}

int records_commit(Records *records, const Stats *stats) {
        uint8_t bytes[STATS_SIZE];
        int r;

        records_stats_write(bytes, stats);
        db_bind_int(records->touch, 1, records->import);
        db_bind_blob(records->touch, 2, bytes, sizeof(bytes));
        db_bind_int(records->touch, 3, records->n_rejected);
        r = db_run(records->touch);
        if (!r)
                r = db_commit(records->db);
        if (r) {
                db_rollback(records->db);
                return r;
        }
        records->n_uncommitted = 0;
        db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        return 0;
}

/* A walk along the rows that exist, in step with a sorted batch. */
typedef struct Walk {
        Records *records;
        uint8_t kind; /* 0: nothing is being walked */
        bool at_row;  /* row is valid and not before where was sought */
        bool passed;  /* something visible was passed over since this was cleared */
        Record row;
} Walk;

static int walk_next(Walk *walk) {
        int r;

        r = db_step(walk->records->from, &walk->at_row);
        if (r || !walk->at_row)
                return r;
        return records_read_row(walk->records, walk->records->from, walk->kind, &walk->row);
}

/* Go to the first row that is not before @place, by steps where it is near. Rows behind the last one of a kind need no query. */
static int walk_to(Walk *walk, const Record *place) {
        int r;

        if (walk->kind == place->kind) {
                for (unsigned i = 0; i < SCAN_MAX; i++) {
                        if (!walk->at_row || records_compare_place(&walk->row, place) >= 0)
                                return 0;
                        walk->passed |= records_is_done(walk->records, walk->row.import);
                        r = walk_next(walk);
                        if (r)
                                return r;
                }
                db_reset(walk->records->from);
        }

        walk->kind = place->kind;
        walk->passed = true;
        db_reset(walk->records->from);
        db_bind_int(walk->records->from, 1, place->kind);
        db_bind_int(walk->records->from, 2, place->local_ms);
        db_bind_blob(walk->records->from, 3, place->identity, sizeof(place->identity));
        return walk_next(walk);
}

/* Which records of a sorted batch have a place that the device's clock had shown before, as far as the wallet knows. */
static int find_repeats(Records *records, const Record *batch, size_t n_batch, bool *ret) {
        static const uint8_t first_epoch[2] = { 0 };
        cleanup(db_resetp) DbStatement *walked = records->from;
        Walk walk = { .records = records };
        const Clocks *clocks;
        int r;

        (void) walked;

        r = records_clocks(records, &clocks);
        if (r)
                return r;
        for (size_t i = 0; i < n_batch; i++) {
                Record begin = batch[i];

                memset(begin.identity + IDENTITY_EPOCH_AT, 0, sizeof(begin.identity) - IDENTITY_EPOCH_AT);
                if (i > 0 && batch[i - 1].kind == begin.kind && batch[i - 1].local_ms == begin.local_ms &&
                    memcmp(batch[i - 1].identity, begin.identity, IDENTITY_EPOCH_AT) == 0) {
                        ret[i] = ret[i - 1];
                        continue;
                }
                ret[i] = clocks_shows_twice(clocks, begin.identity, begin.local_ms);
                r = walk_to(&walk, &begin);
                while (!r && !ret[i] && walk.at_row && walk.row.local_ms == begin.local_ms &&
                       memcmp(walk.row.identity, begin.identity, IDENTITY_EPOCH_AT) == 0) {
                        ret[i] = memcmp(walk.row.identity + IDENTITY_EPOCH_AT, first_epoch, sizeof(first_epoch)) != 0;
                        r = walk_next(&walk);
                }
                if (r)
                        return r;
        }
        return 0;
}

/* What becomes of the records of one identity in a batch. */
typedef struct Settled {
        const Record *write; /* to be stored as what this import says; NULL: nothing is */
        bool replace;        /* in place of what it stored before */
        bool is_further;     /* another import said something of it */
        bool again;          /* it says exactly what is visible, and nothing needs to be stored for that */
} Settled;

/* What is stored of the identity: by others, into the walk's versions, and by this import, as the first of them. */
static int find_stored(Walk *walk, const Record *place, bool *ret_own) {
        Versions *versions = &walk->records->versions;
        int r;

        records_versions_clear(versions);
        *ret_own = false;
        r = walk_to(walk, place);
        while (!r && walk->at_row && records_compare_place(&walk->row, place) == 0) {
                bool own = walk->row.import == walk->records->import;

                if (own || records_is_done(walk->records, walk->row.import))
                        r = records_versions_add(versions, &walk->row);
                *ret_own |= own;
                if (!r)
                        r = walk_next(walk);
        }
        return r;
}

/* batch[0] .. batch[n - 1], in the order in which they came. What an import says of a record comes of its own rows alone. */
static int settle(Walk *walk, const Record *batch, size_t n, RecordsCounts *counts, Settled *ret) {
        Versions others;
        const Record *there, *said, *stored, *now;
        bool own = false;
        int r;

        r = find_stored(walk, batch, &own);
        if (r)
                return r;
        others = walk->records->versions;
        stored = said = own ? &others.all[0].record : NULL;
        if (own) {
                others.all++;
                others.n--;
        }
        there = records_versions_visible(&others);
        now = records_later(there, said);

        for (size_t i = 0; i < n; i++) {
                const Record *before = now;

                said = records_later(said, &batch[i]);
                now = records_later(there, said);
                if (!before)
                        counts->n_inserted[batch->kind]++;
                else if (now == before)
                        counts->n_duplicates[batch->kind]++;
                else
                        counts->n_superseded[batch->kind]++;
        }

        ret->again = !own && there && records_are_equal(there, said);
        ret->write = said != stored && !ret->again ? said : NULL;
        ret->replace = own;
        ret->is_further = there;
        return 0;
}

typedef struct Write {
        uint16_t index; /* in the batch */
        bool replace, is_further;
} Write;

static_assert(RECORDS_BATCH_MAX <= UINT16_MAX, "an index into a batch");

/*
 * A stretch of a kind, within a week, of which this import had every record that was visible then, exactly as it was but where
 * it has a row of its own. It takes the place of storing them again: when the import that they are from is undone, they are
 * this one's.
 */
typedef struct Run {
        Record from, to; /* their places alone */
} Run;

static bool same_week(const Record *a, const Record *b) {
        return a->local_ms / RECORDS_AGAIN_MS == b->local_ms / RECORDS_AGAIN_MS;
}

int records_store_again(Records *records, const RecordsAgain *again) {
        db_bind_int(records->again, 1, again->kind);
        db_bind_int(records->again, 2, again->from.local_ms);
        db_bind_blob(records->again, 3, again->from.identity, sizeof(again->from.identity));
        db_bind_int(records->again, 4, again->import);
        db_bind_int(records->again, 5, again->to.local_ms);
        db_bind_blob(records->again, 6, again->to.identity, sizeof(again->to.identity));
        return db_run(records->again);
}

static int store_run(Records *records, Run *run) {
        RecordsAgain again = { run->from.kind, records->import, { .local_ms = run->from.local_ms }, { .local_ms = run->to.local_ms } };

        if (run->from.kind == 0)
                return 0;
        memcpy(again.from.identity, run->from.identity, sizeof(again.from.identity));
        memcpy(again.to.identity, run->to.identity, sizeof(again.to.identity));
        run->from.kind = 0;
        return records_store_again(records, &again);
}

/* Runs are stored as they are found: into the transaction that the batch is going to be in. */
static int find_writes(Records *records, const Record *batch, size_t n_batch, RecordsCounts *counts, Write *ret, size_t *ret_n) {
        cleanup(db_resetp) DbStatement *walked = records->from;
        Walk walk = { .records = records };
        Run run = { 0 };
        size_t n = 0;
        int r;

        (void) walked;

        for (size_t i = 0, next; i < n_batch; i = next) {
                Settled settled = { 0 };

                for (next = i + 1; next < n_batch && records_compare_place(&batch[i], &batch[next]) == 0;)
                        next++;
                r = settle(&walk, &batch[i], next - i, counts, &settled);
                if (r)
                        return r;
                if (settled.write)
                        ret[n++] = (Write) { (uint16_t) (settled.write - batch), settled.replace, settled.is_further };

                if (run.from.kind && (walk.passed || run.from.kind != batch[i].kind || !same_week(&run.from, &batch[i]))) {
                        r = store_run(records, &run);
                        if (r)
                                return r;
                }
                walk.passed = false;
                if (settled.again && run.from.kind == 0)
                        run.from = batch[i];
                if (settled.again)
                        run.to = batch[i];
        }
        *ret_n = n;
        return store_run(records, &run);
}

static int64_t now_ns(void) {
        struct timespec now = { 0 };

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return now.tv_sec * INT64_C(1000000000) + now.tv_nsec;
}

/* Rows in the order of time lie on few pages, scattered ones each on its own: that is a factor of thirty. */
static void adapt_batch_size(Records *records, size_t n_batch, int64_t took_ns) {
        if (took_ns > BATCH_SLOW_NS && n_batch / 2 < records->batch_size)
                records->batch_size = n_batch / 2 > BATCH_SIZE_MIN ? n_batch / 2 : BATCH_SIZE_MIN;
        else if (took_ns < BATCH_FAST_NS && n_batch >= records->batch_size)
                records->batch_size = records->batch_size * 2 < RECORDS_BATCH_MAX ? records->batch_size * 2 : RECORDS_BATCH_MAX;
}

size_t records_batch_size(const Records *records) {
        return records->batch_size;
}

static int import_batch(Records *records, Record *batch, size_t n_batch, RecordsCounts *counts) {
        RecordsCounts more = { 0 };
        Stats stats = records->stats;
        Write writes[RECORDS_BATCH_MAX];
        bool is_repeated[RECORDS_BATCH_MAX] = { false }, changed = false;
        size_t n_writes = 0;
        int r;

        assert(records->import > 0);
        assert(n_batch <= RECORDS_BATCH_MAX);

        if (n_batch == 0)
                return 0;

        for (size_t i = 0; i < n_batch; i++) {
                if (!records_storable(&batch[i]))
                        return -EINVAL;
                batch[i].import = (uint32_t) i;
        }
        qsort(batch, n_batch, sizeof(*batch), compare_for_sort);
        r = records_find_under_other_name(records, batch, n_batch, &changed);
        if (r)
                return r;
        if (changed)
                qsort(batch, n_batch, sizeof(*batch), compare_for_sort);
        r = find_repeats(records, batch, n_batch, is_repeated);
        if (!r)
                r = records_tell_passes_apart(records, batch, n_batch, is_repeated, &changed);
        if (r)
                return r;
        if (changed)
                qsort(batch, n_batch, sizeof(*batch), compare_for_sort);
        for (size_t i = 0; i < n_batch; i++)
                batch[i].import = records->import;

        r = begin_if_needed(records);
        if (r)
                return r;
        r = find_writes(records, batch, n_batch, &more, writes, &n_writes);
        if (r) {
                db_rollback(records->db);
                return r;
        }
        for (size_t i = 0; i < n_writes; i++) {
                const Record *record = &batch[writes[i].index];

                r = records_write_row(writes[i].replace ? records->replace : records->insert, record, records->import, writes[i].is_further);
                if (r) {
                        db_rollback(records->db);
                        return r == DB_E_EXISTS ? -ENOTRECOVERABLE : r;
                }
                records_kind_stats_add(&stats.kinds[record->kind], &(KindStats) { 0, record->local_ms, record->local_ms });
        }
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                stats.kinds[i].n_inserted += more.n_inserted[i];

        r = records_commit(records, &stats);
        if (r)
                return r;
        records->stats = stats;
        for (unsigned i = 1; i < N_RECORD_KINDS; i++) {
                counts->n_inserted[i] += more.n_inserted[i];
                counts->n_duplicates[i] += more.n_duplicates[i];
                counts->n_superseded[i] += more.n_superseded[i];
        }
        return 0;
}

static int note_failure(Records *records, int r) {
        if (r && !records->failed)
                records->failed = r;
        return r;
}

int records_import_batch(Records *records, Record *batch, size_t n_batch, RecordsCounts *counts) {
        int64_t begun_ns = now_ns();
        int r;

        r = import_batch(records, batch, n_batch, counts);
        adapt_batch_size(records, n_batch, now_ns() - begun_ns);
        return note_failure(records, r);
}

static int reject_row(Records *records, uint32_t line, const char *reason, const char *row) {
        int r;

        assert(records->import > 0);

        if (records->n_rejected >= RECORDS_REJECTS_MAX) {
                if (records->n_rejected < UINT32_MAX)
                        records->n_rejected++;
                return 0;
        }

        r = begin_if_needed(records);
        if (r)
                return r;
        db_bind_int(records->reject, 1, records->import);
        db_bind_int(records->reject, 2, records->n_rejected);
        db_bind_int(records->reject, 3, line);
        db_bind_text(records->reject, 4, reason);
        db_bind_text(records->reject, 5, row);
        r = db_run(records->reject);
        if (r) {
                db_rollback(records->db);
                return r == DB_E_EXISTS ? -ENOTRECOVERABLE : r;
        }
        records->n_rejected++;
        if (++records->n_uncommitted >= REJECTS_PER_COMMIT)
                return records_commit(records, &records->stats);
        return 0;
}

int records_import_reject(Records *records, uint32_t line, const char *reason, const char *row) {
        return note_failure(records, reject_row(records, line, reason, row));
}

static int finish(Records *records, const void *userdata) {
        const char *report_json = userdata;
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "UPDATE imports SET done = 1, report = ?2 WHERE id = ?1");
        if (!r)
                r = records_store_new_sources(records);
        if (r)
                return r;
        db_bind_int(statement, 1, records->import);
        db_bind_text(statement, 2, report_json);
        return db_run(statement);
}

int records_import_finish(Records *records, const char *report_json) {
        int r;

        assert(records->import > 0);

        if (records->failed)
                return records->failed;
        r = records_reserve_done(records, records->import);
        if (r)
                return r;
        r = begin_if_needed(records);
        if (r)
                return r;
        r = records_commit(records, &records->stats);
        if (r)
                return r;

        r = records_settle(records, finish, report_json);
        if (r)
                return r;

        records_set_done(records, records->import);
        records_stats_add(&records->visible, &records->stats);
        records->n_sources_stored = records->n_sources;
        records->import = 0;
        return 0;
}

void records_import_cancel(Records *records) {
        records_restore_cancel(records);
        if (records->import == 0)
                return;
        db_rollback(records->db);
        records_drop_new_sources(records);
        records->import = 0;
        records->clean = false;
}
