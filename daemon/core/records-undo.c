/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

enum {
        CLEANUP_SEEN_MAX = 4000, /* rows looked at in one step: about 2 ms */
        CLEANUP_ROWS_MAX = 500,  /* rows deleted in one step: about 2 ms */
        UNDO_ROWS_MAX = 100,     /* rows looked at in one step of an undo: each may need a query: about 3 ms */
};

static void undo_at_kind(Records *records, uint8_t kind) {
        records->undo.kind = kind;
        if (kind < N_RECORD_KINDS)
                records->undo.place = records_place_before(records->undo.stats.kinds[kind].first_local_ms);
}

/* --- cleanup --- */

static void dead_at_kind(Records *records, uint8_t kind) {
        records->dead_kind = kind;
        if (kind < N_RECORD_KINDS)
                records->dead_place = records_place_before(records->dead_stats.kinds[kind].first_local_ms);
}

static int find_dead(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        bool row = false;
        int r;

        r = db_prepare(records->db, &statement, "SELECT id, stats FROM imports WHERE done = 0 AND id <> ?1 LIMIT 1");
        if (r)
                return r;
        db_bind_int(statement, 1, records->import);
        r = db_step(statement, &row);
        if (r)
                return r;
        if (!row) {
                records->clean = true;
                return 0;
        }
        if (!db_column_copy(statement, 1, bytes, sizeof(bytes)))
                return RECORDS_E_KEY;
        records->dead = (uint32_t) db_column_int(statement, 0);
        records_stats_read(&records->dead_stats, bytes);
        dead_at_kind(records, 1);
        return 0;
}

/* A row that goes. */
typedef struct Dead {
        Place place;
        uint32_t import;
} Dead;

/*
 * Among the next rows of this kind, those that go: of all dead imports, where the one that is being deleted has some.
 * @ret_place: how far it looked; whole identities only.
 */
static int find_dead_rows(Records *records, Dead ret[static CLEANUP_ROWS_MAX], size_t *ret_n, Place *ret_place, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        int64_t last_local_ms = records->dead_stats.kinds[records->dead_kind].last_local_ms;
        Place before = records->dead_place, place = before; /* all of the one is known */
        size_t n = 0;
        int r;

        *ret_end = false;
        records_seek_after(records, records->dead_kind, &records->dead_place);
        for (size_t n_seen = 0;; n_seen++) {
                uint32_t import;
                bool row = false;
                Place next;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row || db_column_int(statement, 0) > last_local_ms;
                if (*ret_end) {
                        before = place;
                        break;
                }
                next.local_ms = db_column_int(statement, 0);
                if (!db_column_copy(statement, 1, next.identity, sizeof(next.identity)))
                        return RECORDS_E_KEY;
                if (!records_places_equal(&next, &place)) {
                        before = place;
                        if (n_seen >= CLEANUP_SEEN_MAX)
                                break;
                }
                if (n == CLEANUP_ROWS_MAX)
                        break;
                place = next;
                import = (uint32_t) db_column_int(statement, 2);
                if (import != records->import && !records_is_done(records, import))
                        ret[n++] = (Dead) { place, import };
        }
        *ret_n = n;
        *ret_place = before;
        return 0;
}

static int remove_rows(Records *records, const Dead *rows, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && !r; i++) {
                db_bind_int(records->remove, 1, records->dead_kind);
                db_bind_int(records->remove, 2, rows[i].place.local_ms);
                db_bind_blob(records->remove, 3, rows[i].place.identity, sizeof(rows[i].place.identity));
                db_bind_int(records->remove, 4, rows[i].import);
                r = db_run(records->remove);
        }
        return r;
}

/* One statement about the dead import. */
static int run_for_dead(Records *records, const char *sql, int64_t *ret_n_changes) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, sql);
        if (r)
                return r;
        db_bind_int(statement, 1, records->dead);
        r = db_run(statement);
        *ret_n_changes = db_n_changes(records->db);
        return r;
}

/* The rows are gone: what was rejected, some at a time, then the import itself. */
static int remove_import(Records *records, bool *ret_gone) {
        int64_t n = 0;
        int r;

        r = run_for_dead(records, "DELETE FROM rejected WHERE import = ?1 AND n IN (SELECT n FROM rejected WHERE import = ?1 LIMIT 200)", &n);
        if (r || n > 0) {
                *ret_gone = false;
                return r;
        }
        r = run_for_dead(records, "DELETE FROM again WHERE (kind, from_ms, from_identity, import, to_ms, to_identity) IN"
                                  " (SELECT kind, from_ms, from_identity, import, to_ms, to_identity FROM again WHERE import = ?1 LIMIT 500)", &n);
        if (r || n > 0) {
                *ret_gone = false;
                return r;
        }
        *ret_gone = true;
        return run_for_dead(records, "DELETE FROM imports WHERE id = ?1", &n);
}

static int cleanup_dead(Records *records) {
        Dead rows[CLEANUP_ROWS_MAX];
        Place place;
        bool kind_end = false, gone = false;
        size_t n = 0;
        int r;

        if (records->dead_kind < N_RECORD_KINDS) {
                r = find_dead_rows(records, rows, &n, &place, &kind_end);
                if (r)
                        return r;
        }

        r = db_begin(records->db);
        if (r)
                return r;
        r = records->dead_kind < N_RECORD_KINDS ? remove_rows(records, rows, n) : remove_import(records, &gone);
        if (r) {
                db_rollback(records->db);
                return r;
        }
        r = db_commit(records->db);
        if (r)
                return r;
        db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);

        if (gone)
                records->dead = 0;
        else if (kind_end)
                dead_at_kind(records, (uint8_t) (records->dead_kind + 1));
        else if (records->dead_kind < N_RECORD_KINDS)
                records->dead_place = place;
        return 0;
}

int records_fold(int r) {
        return r == RECORDS_E_FULL ? -ENOSPC : r == RECORDS_E_KEY ? -EBADMSG : fold(r);
}

int records_cleanup_step(Records *records) {
        int r = 0;

        if (!records->clean && records->dead == 0)
                r = find_dead(records);
        if (!r && records->clean)
                return records->import > 0 ? 0 : records_empty_old_step(records);
        if (!r && db_in_transaction(records->db)) /* rejected rows of the running import */
                r = records_commit(records, &records->stats);
        if (!r)
                r = cleanup_dead(records);

        return r > 0 ? records_fold(r) : r < 0 ? r : 1;
}

/* --- undoing --- */

int records_undo_begin(Records *records, uint32_t import) {
        Stats stats;
        int r;

        assert(records->import == 0);

        if (import == 0 || !records_is_done(records, import))
                return RECORDS_E_NOT_FOUND;
        r = records_load_stats(records, import, &stats);
        if (r)
                return r;

        records->undo = (Undo) { .import = import, .heirs = records->undo.heirs, .n_heirs_allocated = records->undo.n_heirs_allocated, .stats = stats };
        undo_at_kind(records, 1);
        return 0;
}

void records_undo_cancel(Records *records) {
        records->undo.import = 0;
}

int records_load_stats(Records *records, uint32_t import, Stats *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        bool row = false;
        int r;

        r = db_prepare(records->db, &statement, "SELECT stats FROM imports WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(statement, 1, import);
        r = db_step(statement, &row);
        if (r)
                return r;
        if (!row || !db_column_copy(statement, 0, bytes, sizeof(bytes)))
                return RECORDS_E_KEY;
        records_stats_read(ret, bytes);
        return 0;
}

int records_widen_stats(Records *records, uint32_t import, const Stats *more) {
        cleanup(db_finalizep) DbStatement *set = NULL;
        uint8_t bytes[STATS_SIZE];
        Stats stats;
        int r;

        r = records_load_stats(records, import, &stats);
        if (!r)
                r = db_prepare(records->db, &set, "UPDATE imports SET stats = ?2 WHERE id = ?1");
        if (r)
                return r;
        records_stats_add(&stats, more);
        records_stats_write(bytes, &stats);
        db_bind_int(set, 1, import);
        db_bind_blob(set, 2, bytes, sizeof(bytes));
        return db_run(set);
}

static int add_heir(Undo *undo, const Heir *heir) {
        if (undo->n_heirs == undo->n_heirs_allocated) {
                size_t n = undo->n_heirs_allocated ? undo->n_heirs_allocated * 2 : 64;
                Heir *grown = realloc(undo->heirs, n * sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                undo->heirs = grown;
                undo->n_heirs_allocated = n;
        }
        undo->heirs[undo->n_heirs++] = *heir;
        return 0;
}

/* What is visible of a record, import by import: as it is, and as it would be without the undone one. */
typedef struct Replay {
        const Versions *versions;
        size_t n_left; /* versions[0] .. versions[n_left - 1] are later */
        const Record *with, *without;
} Replay;

static void replay_to(Replay *replay, uint32_t before, uint32_t undone) {
        while (replay->n_left > 0 && replay->versions->all[replay->n_left - 1].record.import < before) {
                const Record *said = &replay->versions->all[--replay->n_left].record;

                replay->with = records_later(replay->with, said);
                if (said->import != undone)
                        replay->without = records_later(replay->without, said);
        }
}

/*
 * One identity of the import that is being undone. Who had it again said what was visible then: where something else would have
 * been without the undone import, it gets a row that says so. Nothing of that can be seen before the undone import is gone.
 */
static int settle_identity(Records *records, const Place *place) {
        cleanup(db_resetp) DbStatement *statement = records->repeats;
        Undo *undo = &records->undo;
        Replay replay = { .versions = &records->versions, .n_left = records->versions.n };
        int r;

        db_bind_int(statement, 1, undo->kind);
        db_bind_int(statement, 2, place->local_ms / RECORDS_AGAIN_MS * RECORDS_AGAIN_MS);
        db_bind_int(statement, 3, place->local_ms);
        db_bind_blob(statement, 4, place->identity, sizeof(place->identity));
        db_bind_int(statement, 5, undo->import);
        for (;;) {
                bool row = false;
                uint32_t import;

                r = db_step(statement, &row);
                if (r)
                        return r;
                if (!row)
                        break;
                import = (uint32_t) db_column_int(statement, 0); /* it is done: dead ones are deleted before an undo begins */
                replay_to(&replay, import, undo->import);
                if (replay.n_left > 0 && replay.versions->all[replay.n_left - 1].record.import == import)
                        continue; /* it has a row of its own */
                if (!replay.with || (replay.without && records_are_equal(replay.with, replay.without)))
                        continue;
                r = add_heir(undo, &(Heir) { *place, replay.with->import, import });
                if (r)
                        return r;
                replay.without = records_later(replay.without, replay.with);
        }
        replay_to(&replay, UINT32_MAX, undo->import);
        if (!replay.without)
                undo->n_orphans[undo->kind]++;
        return 0;
}

/* The next rows of this kind, whole identities only. */
static int find_heirs(Records *records, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        Undo *undo = &records->undo;
        int64_t last_local_ms = undo->stats.kinds[undo->kind].last_local_ms;
        Place place = undo->place, begun = undo->place;
        bool has_it = false, row = false;
        size_t n_it = 0;
        int r;

        undo->n_heirs = 0;
        records_versions_clear(&records->versions);
        records_seek_after(records, undo->kind, &begun);
        for (size_t n_seen = 0;; n_seen++) {
                Record record;
                Place at;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row || db_column_int(statement, 0) > last_local_ms;
                if (!*ret_end) {
                        r = records_read_row(records, statement, undo->kind, &record);
                        if (r)
                                return r;
                        at.local_ms = record.local_ms;
                        memcpy(at.identity, record.identity, sizeof(at.identity));
                }
                if (*ret_end || !records_places_equal(&at, &place)) {
                        r = has_it ? settle_identity(records, &place) : 0;
                        if (r)
                                return r;
                        undo->place = place;
                        n_it += has_it;
                        has_it = false;
                        records_versions_clear(&records->versions);
                        if (*ret_end || n_seen >= CLEANUP_SEEN_MAX || n_it >= UNDO_ROWS_MAX)
                                return 0;
                        place = at;
                }
                if (!records_is_done(records, record.import))
                        continue;
                has_it |= record.import == undo->import;
                r = records_versions_add(&records->versions, &record);
                if (r)
                        return r;
        }
}

static int hand_over(Records *records) {
        const Heir *heirs = records->undo.heirs;
        size_t n = records->undo.n_heirs;
        uint8_t kind = records->undo.kind;

        for (size_t i = 0; i < n; i++) {
                int r;

                db_bind_int(records->inherit, 1, kind);
                db_bind_int(records->inherit, 2, heirs[i].place.local_ms);
                db_bind_blob(records->inherit, 3, heirs[i].place.identity, sizeof(heirs[i].place.identity));
                db_bind_int(records->inherit, 4, heirs[i].from);
                db_bind_int(records->inherit, 5, heirs[i].import);
                db_bind_int(records->inherit, 6, RECORDS_META_FURTHER);
                r = db_run(records->inherit);
                if (r)
                        return r;
        }
        for (size_t i = 0; i < n; i++) {
                Stats more;
                bool known = false;
                int r;

                for (size_t k = 0; k < i && !known; k++)
                        known = heirs[k].import == heirs[i].import;
                if (known)
                        continue;
                records_stats_clear(&more);
                for (size_t k = i; k < n; k++)
                        if (heirs[k].import == heirs[i].import)
                                records_kind_stats_add(&more.kinds[kind], &(KindStats) { 0, heirs[k].place.local_ms, heirs[k].place.local_ms });
                r = records_widen_stats(records, heirs[i].import, &more);
                if (r)
                        return r;
        }
        return 0;
}

/* The import's own numbers leave with it; those of records that others have too go to another, so that the sum stays right. */
static int leave(Records *records, const void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const Undo *undo = &records->undo;
        uint32_t other = records_last_import(records);
        Stats more;
        int r;

        (void) userdata;
        while (other > 0 && (other == undo->import || !records_is_done(records, other)))
                other--;
        records_stats_clear(&more);
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                more.kinds[i].n_inserted = undo->stats.kinds[i].n_inserted - undo->n_orphans[i]; /* may be less than nothing: the sum is what counts */
        if (other > 0) {
                r = records_widen_stats(records, other, &more);
                if (r)
                        return r;
        }

        r = db_prepare(records->db, &statement, "UPDATE imports SET done = 0 WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(statement, 1, undo->import);
        return db_run(statement);
}

static int undo_last(Records *records) {
        uint32_t import = records->undo.import;
        int r;

        r = records_settle(records, leave, NULL);
        if (r)
                return r;

        records->done[import / 8] &= (uint8_t) ~(1u << (import % 8));
        records->has_clocks = false;
        records->undo.import = 0;
        records->clean = false;
        return records_load_visible(records);
}

int records_undo_step(Records *records) {
        Undo *undo = &records->undo;
        bool end = false;
        int r;

        assert(undo->import > 0 && records->import == 0);

        if (!records->clean) { /* what dead imports left is in the way */
                r = records_cleanup_step(records);
                return r < 0 ? r : 1;
        }
        if (undo->kind == N_RECORD_KINDS) {
                r = undo_last(records);
                return r > 0 ? records_fold(r) : r;
        }

        r = find_heirs(records, &end);
        if (!r && undo->n_heirs > 0) {
                r = db_begin(records->db);
                if (!r) {
                        r = hand_over(records);
                        if (r)
                                db_rollback(records->db);
                        else
                                r = db_commit(records->db);
                }
                db_checkpoint(records->db, RECORDS_WAL_PAGES_MAX);
        }
        if (r)
                return r > 0 ? records_fold(r) : r;
        if (end)
                undo_at_kind(records, (uint8_t) (undo->kind + 1));
        return 1;
}
