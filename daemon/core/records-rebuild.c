/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

/*
 * SQLite zeroes what it deletes, but where it moves cells between pages, copies of them stay in the pages' free space. So
 * what is left of the table is written anew, row by row in order, and the old one emptied: its pages are zeroed as they become free. The
 * old table is what counts until one commit changes the names.
 */

enum {
        COPY_ROWS = 1000,  /* in one step: about 4 ms */
        DELETE_ROWS = 250, /* the same */
};

static int exists(Records *records, const char *name, bool *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = ?1");
        if (r)
                return r;
        db_bind_text(statement, 1, name);
        return db_step(statement, ret);
}

/* Where the next step ends; *ret_row: false when all that is left of the kind is one step. */
static int find_end(Records *records, uint8_t kind, const Place *from, Place *ret, bool *ret_row) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT local_ms, identity FROM records WHERE kind = ?1 AND (local_ms, identity) > (?2, ?3)"
                                                " ORDER BY kind, local_ms, identity LIMIT 1 OFFSET ?4");
        if (r)
                return r;
        db_bind_int(statement, 1, kind);
        db_bind_int(statement, 2, from->local_ms);
        db_bind_blob(statement, 3, from->identity, sizeof(from->identity));
        db_bind_int(statement, 4, COPY_ROWS - 1);
        r = db_step(statement, ret_row);
        if (r)
                return r;
        if (!*ret_row) {
                *ret = records_place_before(INT64_MAX);
                return 0;
        }
        ret->local_ms = db_column_int(statement, 0);
        return db_column_copy(statement, 1, ret->identity, sizeof(ret->identity)) ? 0 : RECORDS_E_KEY;
}

static int copy_some(Records *records, RecordsRebuild *rebuild) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        Place end;
        int r;

        r = find_end(records, rebuild->kind, &rebuild->place, &end, &row);
        if (!r)
                r = db_prepare(records->db, &statement, "INSERT INTO records_new SELECT * FROM records WHERE kind = ?1 AND (local_ms, identity) > (?2, ?3)"
                                                        " AND (local_ms, identity) <= (?4, ?5) ORDER BY kind, local_ms, identity, import DESC");
        if (r)
                return r;
        db_bind_int(statement, 1, rebuild->kind);
        db_bind_int(statement, 2, rebuild->place.local_ms);
        db_bind_blob(statement, 3, rebuild->place.identity, sizeof(rebuild->place.identity));
        db_bind_int(statement, 4, end.local_ms);
        db_bind_blob(statement, 5, end.identity, sizeof(end.identity));
        r = db_run(statement);
        if (r)
                return r;
        rebuild->place = end;
        if (!row) {
                rebuild->kind++;
                rebuild->place = records_place_before(RECORD_TIME_MIN_MS);
        }
        return 0;
}

static int rename_both(Records *records, const void *userdata) {
        (void) userdata;
        return db_execute(records->db, "ALTER TABLE records RENAME TO records_old; ALTER TABLE records_new RENAME TO records");
}

static int empty_some(Records *records, bool *ret_gone) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "DELETE FROM records_old WHERE (kind, local_ms, identity, import) IN"
                                                " (SELECT kind, local_ms, identity, import FROM records_old ORDER BY kind, local_ms, identity, import DESC LIMIT ?1)");
        if (r)
                return r;
        db_bind_int(statement, 1, DELETE_ROWS);
        r = db_run(statement);
        if (r || db_n_changes(records->db) > 0)
                return r;
        statement = db_finalize(statement);
        *ret_gone = true;
        return db_execute(records->db, "DROP TABLE records_old");
}

int records_rebuild_leftovers(Records *records) {
        bool is_old = false, is_new = false;
        int r;

        r = exists(records, "records_old", &is_old);
        if (!r)
                r = exists(records, "records_new", &is_new);
        if (r)
                return r;
        if (is_new) /* one at a time: what is old goes before anything new is begun */
                r = db_execute(records->db, is_old ? "DROP TABLE records_new" : "ALTER TABLE records_new RENAME TO records_old");
        records->has_old |= is_old || is_new;
        return r;
}

int records_empty_old_step(Records *records) {
        bool gone = false;
        int r;

        if (!records->has_old)
                return 0;
        r = empty_some(records, &gone);
        db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        if (r)
                return records_fold(r);
        if (!gone)
                return 1;
        records->has_old = false;
        return 0;
}

int records_rebuild_step(Records *records, RecordsRebuild *rebuild) {
        int r;

        assert(records->import == 0 && records->undo.import == 0);

        if (records->has_old) {
                r = records_empty_old_step(records);
                return r < 0 ? r : !(r == 0 && rebuild->kind == N_RECORD_KINDS);
        }
        if (rebuild->kind == N_RECORD_KINDS) {
                r = records_settle(records, rename_both, NULL);
                records->has_old = r == 0;
                return r ? records_fold(r) : 1;
        }
        if (rebuild->kind == 0) {
                r = records_rebuild_leftovers(records); /* of one whose peer hung up */
                if (r || records->has_old)
                        return r ? records_fold(r) : 1;
                r = records_new_table(records);
                rebuild->kind = 1;
                rebuild->place = records_place_before(RECORD_TIME_MIN_MS);
        } else
                r = copy_some(records, rebuild);
        db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        return r ? records_fold(r) : 1;
}
