/* SPDX-License-Identifier: Apache-2.0 */

/* Records that go for good: all that was ever said of them, under whatever import. */

#include "records-private.h"

enum {
        SEEN_MAX = 4000, /* rows looked at in one step: about 3 ms */
        ROWS_MAX = 250,  /* rows deleted in one step: about 3 ms */
};

typedef struct Row {
        Place place;
        uint32_t import;
} Row;

static int compare_names(const void *a, const void *b) {
        const RecordsName *left = a, *right = b;

        if (left->kind != right->kind)
                return left->kind < right->kind ? -1 : 1;
        if (left->place.local_ms != right->place.local_ms)
                return left->place.local_ms < right->place.local_ms ? -1 : 1;
        return memcmp(left->place.identity, right->place.identity, sizeof(left->place.identity));
}

static bool matches(const RecordsForget *forget, const Place *place, uint32_t import, uint32_t source) {
        RecordsName name = { .kind = forget->kind, .place = *place };

        if (forget->names)
                return bsearch(&name, forget->names, forget->n_names, sizeof(name), compare_names) != NULL;
        if (forget->import > 0)
                return import == forget->import;
        return !forget->sources || (source > 0 && source <= forget->n_sources && forget->sources[source - 1]);
}

static int touch(RecordsForget *forget, uint32_t import) {
        size_t n = import / 8 + 1;

        if (n > forget->n_touched) {
                uint8_t *grown = realloc(forget->touched, n + 64);

                if (!grown)
                        return -ENOMEM;
                memset(grown + forget->n_touched, 0, n + 64 - forget->n_touched);
                forget->touched = grown;
                forget->n_touched = n + 64;
        }
        forget->touched[import / 8] |= (uint8_t) (1u << import % 8);
        return 0;
}

static void at_kind(RecordsForget *forget, uint8_t kind) {
        int64_t from = forget->from_local_ms > RECORD_TIME_MIN_MS ? forget->from_local_ms : RECORD_TIME_MIN_MS;

        forget->kind = kind;
        forget->place = records_place_before(from);
}

/* The next rows of this kind that go, whole identities only. @ret_rows has room for ROWS_MAX and those of one identity more. */
static int find_rows(Records *records, RecordsForget *forget, Row **rows, size_t *ret_n, uint64_t *ret_n_gone, uint64_t *ret_n_seen, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        Place place = forget->place, begun = forget->place;
        bool has_match = false, has_done = false, has_left = false;
        size_t n = 0, n_allocated = 0;
        int r;

        *ret_end = false;
        records_seek_after(records, forget->kind, &begun);
        for (size_t n_seen = 0;; n_seen++) {
                bool row = false;
                uint32_t import;
                Place at = place;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row || db_column_int(statement, 0) >= forget->to_local_ms;
                if (!*ret_end) {
                        at.local_ms = db_column_int(statement, 0);
                        if (!db_column_copy(statement, 1, at.identity, sizeof(at.identity)))
                                return RECORDS_E_KEY;
                }
                if (*ret_end || !records_places_equal(&at, &place)) {
                        forget->place = place;
                        *ret_n_seen += has_match;
                        *ret_n_gone += has_match && has_done && !has_left;
                        has_match = has_done = has_left = false;
                        if (*ret_end || n_seen >= SEEN_MAX || n >= ROWS_MAX) {
                                *ret_n = n;
                                return 0;
                        }
                        place = at;
                }
                import = (uint32_t) db_column_int(statement, 2);
                has_done |= records_is_done(records, import);
                if (!matches(forget, &at, import, (uint32_t) db_column_int(statement, 6))) {
                        has_left |= records_is_done(records, import);
                        continue;
                }
                has_match = true;
                if (n == n_allocated) {
                        Row *grown = realloc(*rows, (n_allocated ? n_allocated * 2 : ROWS_MAX) * sizeof(*grown));

                        if (!grown)
                                return -ENOMEM;
                        *rows = grown;
                        n_allocated = n_allocated ? n_allocated * 2 : ROWS_MAX;
                }
                (*rows)[n++] = (Row) { at, import };
        }
}

/* The numbers of what is visible leave with the rows: from any import, as their sum is what counts. */
static int remove_rows(Records *records, RecordsForget *forget, const Row *rows, size_t n, uint64_t n_gone) {
        Stats less;
        int r;

        for (size_t i = 0; i < n; i++) {
                db_bind_int(records->remove, 1, forget->kind);
                db_bind_int(records->remove, 2, rows[i].place.local_ms);
                db_bind_blob(records->remove, 3, rows[i].place.identity, sizeof(rows[i].place.identity));
                db_bind_int(records->remove, 4, rows[i].import);
                r = db_run(records->remove);
                if (!r)
                        r = touch(forget, rows[i].import);
                if (r)
                        return r;
        }
        records_stats_clear(&less);
        less.kinds[forget->kind].n_inserted = 0 - n_gone;
        return records_widen_stats(records, records_last_import(records), &less);
}

static int step(Records *records, RecordsForget *forget) {
        cleanup(freep) Row *rows = NULL;
        uint64_t n_gone = 0, n_seen = 0;
        bool end = false;
        size_t n = 0;
        int r;

        r = find_rows(records, forget, &rows, &n, &n_gone, &n_seen, &end);
        if (!r && n > 0 && !forget->dry) {
                r = db_begin(records->db);
                if (!r) {
                        r = remove_rows(records, forget, rows, n, n_gone);
                        if (r)
                                db_rollback(records->db);
                        else
                                r = db_commit(records->db);
                }
                if (!r)
                        records->visible.kinds[forget->kind].n_inserted -= n_gone;
                db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        }
        if (r)
                return r;
        forget->n_records[forget->kind] += n_seen;
        if (end)
                at_kind(forget, (uint8_t) (forget->kind + 1));
        return 0;
}

int records_forget_step(Records *records, RecordsForget *forget) {
        int r;

        assert(records->import == 0 && records->undo.import == 0);

        if (!records->clean) { /* what dead imports left is in the way */
                r = records_cleanup_step(records);
                return r < 0 ? r : 1;
        }
        if (forget->kind == 0) {
                at_kind(forget, 1);
                if (forget->names)
                        qsort(forget->names, forget->n_names, sizeof(*forget->names), compare_names);
        }
        r = step(records, forget);
        records->has_clocks = false;
        return r ? records_fold(r) : forget->kind < N_RECORD_KINDS;
}

bool records_forget_touched(const RecordsForget *forget, uint32_t import) {
        return import / 8 < forget->n_touched && forget->touched[import / 8] >> import % 8 & 1;
}

void records_forget_done(RecordsForget *forget) {
        free(forget->touched);
        free(forget->sources);
        free(forget->names);
        *forget = (RecordsForget) { 0 };
}

/* --- what is known of rows that are gone --- */

static int find_range(Records *records, uint8_t kind, KindStats *ret) {
        static const char *const sql[] = { "SELECT local_ms FROM records WHERE kind = ?1 ORDER BY kind, local_ms LIMIT 1",
                                           "SELECT local_ms FROM records WHERE kind = ?1 ORDER BY kind DESC, local_ms DESC LIMIT 1" };
        int64_t *const ends[] = { &ret->first_local_ms, &ret->last_local_ms };

        for (size_t i = 0; i < N_ELEMENTS(sql); i++) {
                cleanup(db_finalizep) DbStatement *statement = NULL;
                bool row = false;
                int r;

                r = db_prepare(records->db, &statement, sql[i]);
                if (r)
                        return r;
                db_bind_int(statement, 1, kind);
                r = db_step(statement, &row);
                if (r)
                        return r;
                if (row)
                        *ends[i] = db_column_int(statement, 0);
        }
        return 0;
}

/* No import says that it has rows before the first or behind the last that there are. */
static int cut_ranges(Records *records) {
        cleanup(db_finalizep) DbStatement *set = NULL;
        Stats all;
        int r;

        records_stats_clear(&all);
        for (uint8_t kind = 1; kind < N_RECORD_KINDS; kind++) {
                r = find_range(records, kind, &all.kinds[kind]);
                if (r)
                        return r;
        }
        r = db_prepare(records->db, &set, "UPDATE imports SET stats = ?2 WHERE id = ?1");
        if (r)
                return r;
        for (uint32_t import = 1; import <= records_last_import(records); import++) {
                uint8_t bytes[STATS_SIZE];
                Stats stats;

                if (!records_is_done(records, import))
                        continue;
                r = records_load_stats(records, import, &stats);
                if (r)
                        return r;
                for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                        KindStats *of = &stats.kinds[kind];

                        if (of->first_local_ms < all.kinds[kind].first_local_ms)
                                of->first_local_ms = all.kinds[kind].first_local_ms;
                        if (of->last_local_ms > all.kinds[kind].last_local_ms)
                                of->last_local_ms = all.kinds[kind].last_local_ms;
                        if (of->first_local_ms > of->last_local_ms) {
                                of->first_local_ms = INT64_MAX;
                                of->last_local_ms = INT64_MIN;
                        }
                }
                records_stats_write(bytes, &stats);
                db_bind_int(set, 1, import);
                db_bind_blob(set, 2, bytes, sizeof(bytes));
                r = db_run(set);
                if (r)
                        return r;
        }
        return 0;
}

static int run_with(Records *records, const char *sql, uint32_t id, const char *text) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, sql);
        if (r)
                return r;
        db_bind_int(statement, 1, id);
        if (text)
                db_bind_text(statement, 2, text);
        return db_run(statement);
}

int records_forget_report(Records *records, uint32_t import, const char *report_json) {
        int r;

        r = db_begin(records->db);
        if (r)
                return records_fold(r);
        r = run_with(records, "DELETE FROM rejected WHERE import = ?1", import, NULL);
        if (!r)
                r = run_with(records, "UPDATE imports SET report = ?2 WHERE id = ?1", import, report_json);
        if (r)
                db_rollback(records->db);
        else
                r = db_commit(records->db);
        return r ? records_fold(r) : 0;
}

/* What imports said of others' records keeps its ends outside of the days, and names no device that is gone. */
static int cut_again(Records *records, const RecordsForget *forget) {
        static const char *const of_days[] = {
                "INSERT OR IGNORE INTO again SELECT kind, from_ms, from_identity, import, ?1 - 1, x'ffffffffffffffffffffffffffffffff' FROM again WHERE from_ms < ?1 AND to_ms >= ?1",
                "INSERT OR IGNORE INTO again SELECT kind, ?2, zeroblob(16), import, to_ms, to_identity FROM again WHERE from_ms < ?2 AND to_ms >= ?2",
                "DELETE FROM again WHERE from_ms < ?2 AND to_ms >= ?1",
        };
        static const char *const of_source[] = {
                "UPDATE OR REPLACE again SET from_identity = x'ffffffffffffffffffffffffffffffff' WHERE substr(from_identity, 1, 8) = ?1",
                "UPDATE OR REPLACE again SET to_identity = zeroblob(16) WHERE substr(to_identity, 1, 8) = ?1",
        };
        int r;

        for (size_t i = 0; !forget->sources && !forget->names && forget->import == 0 && i < N_ELEMENTS(of_days); i++) {
                cleanup(db_finalizep) DbStatement *statement = NULL;

                r = db_prepare(records->db, &statement, of_days[i]);
                if (r)
                        return r;
                if (i != 1)
                        db_bind_int(statement, 1, forget->from_local_ms);
                if (i != 0)
                        db_bind_int(statement, 2, forget->to_local_ms);
                r = db_run(statement);
                if (r)
                        return r;
        }
        for (size_t k = 0; forget->sources && k < forget->n_sources && k < records->n_sources; k++)
                for (size_t i = 0; forget->sources[k] && i < N_ELEMENTS(of_source); i++) {
                        cleanup(db_finalizep) DbStatement *statement = NULL;

                        r = db_prepare(records->db, &statement, of_source[i]);
                        if (r)
                                return r;
                        db_bind_blob(statement, 1, records->sources[k]->device_key, sizeof(records->sources[k]->device_key));
                        r = db_run(statement);
                        if (r)
                                return r;
                }
        return 0;
}

/* A source keeps its number: others count from it. */
static int blank_sources(Records *records, const RecordsForget *forget) {
        for (size_t i = 0; forget->sources && i < forget->n_sources && i < records->n_sources; i++) {
                int r;

                if (!forget->sources[i])
                        continue;
                r = run_with(records, "UPDATE sources SET device_key = zeroblob(8), model = '', serial = '', section = '' WHERE id = ?1", (uint32_t) i + 1, NULL);
                if (r)
                        return r;
        }
        return 0;
}

static int finish(Records *records, const void *userdata) {
        const RecordsForget *forget = userdata;
        int r;

        r = cut_ranges(records);
        if (!r)
                r = cut_again(records, forget);
        return r ? r : blank_sources(records, forget);
}

int records_forget_finish(Records *records, const RecordsForget *forget) {
        int r;

        r = records_settle(records, finish, forget);
        if (r)
                return records_fold(r);

        for (size_t i = 0; forget->sources && i < forget->n_sources && i < records->n_sources; i++)
                if (forget->sources[i])
                        *records->sources[i] = (RecordsSource) { .id = (uint32_t) i + 1 };
        r = records_load_visible(records);
        if (!r)
                r = db_truncate_log(records->db);
        return r ? records_fold(r) : 0;
}
