/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

/*
 * All that the database holds of the imports that are done, row by row; and the same into a wallet that holds nothing. What
 * follows from the rows is not taken from elsewhere: which row was the first of its record, what an import brought, and
 * where its rows lie.
 */

enum {
        RESTORE_IMPORTS_MAX = 65536,
        RESTORE_ID_MAX = 1 << 24, /* a bit of memory each */
        RESTORE_ROWS_PER_COMMIT = 2000,
};

/* --- out --- */

int records_rows(Records *records, RecordsRowCursor *cursor, uint32_t last_import, size_t n_max,
                 int (*each)(const Record *record, void *userdata), void *userdata) {
        cleanup(db_resetp) DbStatement *statement = records->from;
        Place begin;
        size_t n_seen = 0;
        int r;

        if (cursor->kind == 0) {
                cursor->kind = 1;
                cursor->place = records_place_before(RECORD_TIME_MIN_MS);
        }
        begin = cursor->place;
        db_bind_int(statement, 1, cursor->kind);
        db_bind_int(statement, 2, begin.local_ms);
        db_bind_blob(statement, 3, begin.identity, sizeof(begin.identity));
        for (size_t n_passed = 0; n_seen < n_max;) {
                bool row = false;
                Record record;
                Place place;

                r = db_step(statement, &row);
                if (r)
                        return r;
                if (!row) {
                        cursor->kind++;
                        cursor->place = records_place_before(RECORD_TIME_MIN_MS);
                        cursor->n_given = 0;
                        cursor->ended = cursor->kind == N_RECORD_KINDS;
                        return 0;
                }
                r = records_read_row(records, statement, cursor->kind, &record);
                if (r)
                        return r;
                place = (Place) { .local_ms = record.local_ms };
                memcpy(place.identity, record.identity, sizeof(place.identity));
                if (!records_places_equal(&place, &cursor->place)) {
                        cursor->place = place;
                        cursor->n_given = n_passed = 0;
                        n_seen++;
                }
                if (record.import > last_import || !records_is_done(records, record.import))
                        continue;
                if (n_passed < cursor->n_given) {
                        n_passed++;
                        continue;
                }
                r = each(&record, userdata);
                if (r)
                        return r < 0 ? r : 0;
                n_passed = ++cursor->n_given;
        }
        return 0;
}

int records_again(Records *records, RecordsAgain *at_io, uint32_t last_import, size_t n_max, bool *ret_end,
                  int (*each)(const RecordsAgain *again, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const RecordsAgain begin = *at_io;
        int r;

        r = db_prepare(records->db, &statement, "SELECT kind, from_ms, from_identity, import, to_ms, to_identity FROM again"
                                                " WHERE (kind, from_ms, from_identity, import, to_ms, to_identity) > (?1, ?2, ?3, ?4, ?5, ?6)"
                                                " ORDER BY kind, from_ms, from_identity, import, to_ms, to_identity");
        if (r)
                return r;
        db_bind_int(statement, 1, begin.kind);
        db_bind_int(statement, 2, begin.from.local_ms);
        db_bind_blob(statement, 3, begin.from.identity, sizeof(begin.from.identity));
        db_bind_int(statement, 4, begin.import);
        db_bind_int(statement, 5, begin.to.local_ms);
        db_bind_blob(statement, 6, begin.to.identity, sizeof(begin.to.identity));
        *ret_end = false;
        for (size_t i = 0; i < n_max; i++) {
                RecordsAgain again = { 0 };
                bool row = false;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row;
                if (!row)
                        return 0;
                again.kind = (uint8_t) db_column_int(statement, 0);
                again.from.local_ms = db_column_int(statement, 1);
                again.import = (uint32_t) db_column_int(statement, 3);
                again.to.local_ms = db_column_int(statement, 4);
                if (!db_column_copy(statement, 2, again.from.identity, sizeof(again.from.identity)) ||
                    !db_column_copy(statement, 5, again.to.identity, sizeof(again.to.identity)))
                        return RECORDS_E_KEY;
                if (again.import <= last_import && records_is_done(records, again.import)) {
                        r = each(&again, userdata);
                        if (r)
                                return r;
                }
                *at_io = again;
        }
        return 0;
}

/* --- in --- */

typedef struct RestoredImport {
        uint32_t id;
        uint32_t n_rejected;
        Stats stats;
} RestoredImport;

struct RecordsRestore {
        RestoredImport *imports; /* by ascending id */
        size_t n_imports, n_allocated;
        size_t n_rows; /* not committed */
        bool has_last;
        Record last; /* the row that came last; it is stored when it is known whether another of the same record follows */
        uint8_t payload[RECORD_PAYLOAD_MAX];
};

static void restore_free(Records *records) {
        RecordsRestore *restore = take_ptr(records->restore);

        free(restore->imports);
        explicit_bzero(restore, sizeof(*restore));
        free(restore);
}

void records_restore_cancel(Records *records) {
        if (!records->restore)
                return;
        db_rollback(records->db);
        records_drop_new_sources(records);
        records->clean = false;
        restore_free(records);
}

int records_restore_begin(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        assert(records->import > 0 && !records->restore);

        if (!records->clean || records->has_old || records->n_sources_stored > 0 || records_last_import(records) > 0)
                return RECORDS_E_NOT_EMPTY;
        r = db_prepare(records->db, &statement, "DELETE FROM imports WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(statement, 1, records->import);
        r = db_run(statement);
        if (r)
                return r;
        records->restore = calloc(1, sizeof(*records->restore));
        if (!records->restore)
                return -ENOMEM;
        records->import = 0;
        return 0;
}

static RestoredImport *find_import(RecordsRestore *restore, uint32_t id) {
        size_t low = 0, high = restore->n_imports;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (restore->imports[middle].id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < restore->n_imports && restore->imports[low].id == id ? &restore->imports[low] : NULL;
}

int records_restore_commit(Records *records) {
        int r = db_in_transaction(records->db) ? db_commit(records->db) : 0;

        if (!r) {
                records->restore->n_rows = 0;
                db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        }
        return r;
}

/* Before a row is stored: into a transaction that does not grow too large. */
static int begin_row(Records *records) {
        int r = records->restore->n_rows >= RESTORE_ROWS_PER_COMMIT ? records_restore_commit(records) : 0;

        records->restore->n_rows++;
        return r || db_in_transaction(records->db) ? r : db_begin(records->db);
}

int records_restore_source(Records *records, const RecordsSource *source) {
        return source->id == records->n_sources + 1 ? records_add_source(records, source) : -EINVAL;
}

static int insert_import(Records *records, const RecordsImport *import) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        Stats anywhere;
        int r;

        /* should it end before its end: where a cleanup has to look */
        for (unsigned i = 0; i < N_RECORD_KINDS; i++)
                anywhere.kinds[i] = (KindStats) { 0, RECORD_TIME_MIN_MS, RECORD_TIME_MAX_MS };
        records_stats_write(bytes, &anywhere);

        r = db_prepare(records->db, &statement, "INSERT INTO imports(id, done, time_ms, file_name, stats, n_rejected) VALUES(?1, 0, ?2, ?3, ?4, 0)");
        if (r)
                return r;
        db_bind_int(statement, 1, import->id);
        db_bind_int(statement, 2, import->time_utc_ms);
        db_bind_text(statement, 3, import->file_name);
        db_bind_blob(statement, 4, bytes, sizeof(bytes));
        return db_run(statement);
}

int records_restore_import(Records *records, const RecordsImport *import) {
        RecordsRestore *restore = records->restore;
        RestoredImport *added;
        int r;

        if (import->id == 0 || import->id > RESTORE_ID_MAX || restore->n_imports == RESTORE_IMPORTS_MAX || restore->has_last ||
            (restore->n_imports > 0 && restore->imports[restore->n_imports - 1].id >= import->id))
                return -EINVAL;
        if (restore->n_imports == restore->n_allocated) {
                size_t n = restore->n_allocated > 0 ? restore->n_allocated * 2 : 64;
                RestoredImport *grown = realloc(restore->imports, n * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                restore->imports = grown;
                restore->n_allocated = n;
        }
        r = begin_row(records);
        if (!r)
                r = insert_import(records, import);
        if (r)
                return r;
        added = &restore->imports[restore->n_imports++];
        *added = (RestoredImport) { .id = import->id };
        records_stats_clear(&added->stats);
        return 0;
}

int records_restore_rejected(Records *records, uint32_t line, const char *reason, const char *row) {
        RecordsRestore *restore = records->restore;
        RestoredImport *import = restore->n_imports > 0 ? &restore->imports[restore->n_imports - 1] : NULL;
        int r;

        if (!import || import->n_rejected == RECORDS_REJECTS_MAX)
                return -EINVAL;
        r = begin_row(records);
        if (r)
                return r;
        db_bind_int(records->reject, 1, import->id);
        db_bind_int(records->reject, 2, import->n_rejected);
        db_bind_int(records->reject, 3, line);
        db_bind_text(records->reject, 4, reason);
        db_bind_text(records->reject, 5, row);
        r = db_run(records->reject);
        import->n_rejected += r == 0;
        return r;
}

int records_restore_report(Records *records, const char *report_json) {
        RecordsRestore *restore = records->restore;
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        if (restore->n_imports == 0)
                return -EINVAL;
        r = begin_row(records);
        if (!r)
                r = db_prepare(records->db, &statement, "UPDATE imports SET report = ?2 WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(statement, 1, restore->imports[restore->n_imports - 1].id);
        db_bind_text(statement, 2, report_json);
        return db_run(statement);
}

int records_restore_again(Records *records, const RecordsAgain *again) {
        if (again->kind == 0 || again->kind >= N_RECORD_KINDS || again->from.local_ms > again->to.local_ms || again->from.local_ms < RECORD_TIME_MIN_MS ||
            again->to.local_ms > RECORD_TIME_MAX_MS || again->to.local_ms / RECORDS_AGAIN_MS != again->from.local_ms / RECORDS_AGAIN_MS ||
            !find_import(records->restore, again->import))
                return -EINVAL;
        return records_store_again(records, again);
}

/* Rows of one record come latest import first: the one behind which another record begins was the first that was said of it. */
static int store_last(Records *records, bool is_further) {
        RecordsRestore *restore = records->restore;
        const Record *last = &restore->last;
        KindStats *stats;
        int r;

        if (!restore->has_last)
                return 0;
        r = begin_row(records);
        if (!r)
                r = records_write_row(records->insert, last, last->import, is_further);
        if (r)
                return r == DB_E_EXISTS ? -EINVAL : r;
        stats = &find_import(restore, last->import)->stats.kinds[last->kind];
        records_kind_stats_add(stats, &(KindStats) { 0, last->local_ms, last->local_ms });
        stats->n_inserted += !is_further;
        restore->has_last = false;
        return 0;
}

int records_restore_row(Records *records, const Record *record) {
        RecordsRestore *restore = records->restore;
        int order = restore->has_last ? records_compare_place(&restore->last, record) : -1;
        int r;

        if (!records_storable(record) || record->source == 0 || record->source > records->n_sources || !find_import(restore, record->import) ||
            order > 0 || (order == 0 && restore->last.import <= record->import))
                return -EINVAL;
        r = store_last(records, order == 0);
        if (r)
                return r;
        restore->last = *record;
        if (record->n_payload > 0)
                memcpy(restore->payload, record->payload, record->n_payload);
        restore->last.payload = restore->payload;
        restore->has_last = true;
        return 0;
}

static int finish(Records *records, const void *userdata) {
        static const char sql[] = "UPDATE imports SET done = 1, stats = ?2, n_rejected = ?3 WHERE id = ?1";
        const RecordsRestore *restore = records->restore;
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        (void) userdata;
        r = db_prepare(records->db, &statement, sql);
        if (!r)
                r = records_store_new_sources(records);
        for (size_t i = 0; r == 0 && i < restore->n_imports; i++) {
                uint8_t bytes[STATS_SIZE];

                records_stats_write(bytes, &restore->imports[i].stats);
                db_bind_int(statement, 1, restore->imports[i].id);
                db_bind_blob(statement, 2, bytes, sizeof(bytes));
                db_bind_int(statement, 3, restore->imports[i].n_rejected);
                r = db_run(statement);
        }
        return r;
}

int records_restore_finish(Records *records) {
        RecordsRestore *restore = records->restore;
        int r;

        r = store_last(records, false);
        if (!r)
                r = records_restore_commit(records);
        if (!r && restore->n_imports > 0)
                r = records_reserve_done(records, restore->imports[restore->n_imports - 1].id);
        if (!r)
                r = records_settle(records, finish, NULL);
        if (r)
                return r;

        for (size_t i = 0; i < restore->n_imports; i++) {
                records_set_done(records, restore->imports[i].id);
                records_stats_add(&records->visible, &restore->imports[i].stats);
        }
        records->n_sources_stored = records->n_sources;
        restore_free(records);
        return 0;
}
