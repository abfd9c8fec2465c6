/* SPDX-License-Identifier: Apache-2.0 */

#include "records.h"

#include <malloc.h>
#include <time.h>

#include "db.h"
#include "same.h"

enum {
        CACHE_KIB = 1024,
        WAL_PAGES_MAX = 1024,     /* 4 MiB: writing that back takes a few ms */
        WAL_LIMIT_KIB = 16 * 1024,
        REJECTS_KEPT_MAX = 10000,
        REJECTS_PER_COMMIT = 200,
        SOURCES_MAX = 4096,
        SCAN_MAX = 16,            /* existing rows passed over before it is quicker to seek */
        BATCH_SIZE_FIRST = 250,
        BATCH_SIZE_MIN = 100,
        BATCH_SLOW_NS = 10000000,
        BATCH_FAST_NS = 5000000,
        CLEANUP_SEEN_MAX = 4000,  /* rows looked at in one step: about 2 ms */
        CLEANUP_ROWS_MAX = 500,   /* rows deleted in one step: about 2 ms */
        UNDO_ROWS_MAX = 100,      /* rows looked at in one step of an undo: each may need a query: about 3 ms */
        AGAIN_MS = 7 * 24 * 60 * 60 * 1000, /* a run of repeated records ends with its week, so that one can be found by its beginning */

        STATS_KIND_SIZE = 24,
        STATS_SIZE = STATS_KIND_SIZE * (N_RECORD_KINDS - 1),
};

static_assert(RECORDS_E_KEY == (int) DB_E_KEY && RECORDS_E_VERSION == (int) DB_E_VERSION && RECORDS_E_SETTING == (int) DB_E_SETTING &&
              RECORDS_E_FULL == (int) DB_E_FULL && RECORDS_E_NOT_FOUND == (int) DB_E_NOT_FOUND, "passed up as they are");

/* daemon/FORMAT.md, "records.db" */
static const char schema[] =
        "CREATE TABLE records(kind INTEGER NOT NULL, local_ms INTEGER NOT NULL, identity BLOB NOT NULL, import INTEGER NOT NULL,"
        " utc_ms INTEGER NOT NULL, value INTEGER NOT NULL, meta INTEGER NOT NULL, source INTEGER NOT NULL, payload BLOB NOT NULL,"
        " PRIMARY KEY(kind, local_ms, identity, import DESC)) WITHOUT ROWID;"
        "CREATE TABLE imports(id INTEGER PRIMARY KEY AUTOINCREMENT, done INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
        " file_name TEXT NOT NULL, stats BLOB NOT NULL, n_rejected INTEGER NOT NULL, report TEXT);"
        "CREATE TABLE sources(id INTEGER PRIMARY KEY, device_key BLOB NOT NULL, model TEXT NOT NULL, serial TEXT NOT NULL, section TEXT NOT NULL);"
        "CREATE TABLE rejected(import INTEGER NOT NULL, n INTEGER NOT NULL, line INTEGER NOT NULL, reason TEXT NOT NULL, row TEXT NOT NULL,"
        " PRIMARY KEY(import, n)) WITHOUT ROWID;";

/* Not in the first wallets: made where it is missing. */
static const char schema_again[] =
        "CREATE TABLE IF NOT EXISTS again(kind INTEGER NOT NULL, from_ms INTEGER NOT NULL, from_identity BLOB NOT NULL, import INTEGER NOT NULL,"
        " to_ms INTEGER NOT NULL, to_identity BLOB NOT NULL,"
        " PRIMARY KEY(kind, from_ms, from_identity, import, to_ms, to_identity)) WITHOUT ROWID;";

#define RECORD_COLUMNS "local_ms, identity, import, utc_ms, value, meta, source, payload"

/* What an import stored of a kind: rows of identities that were not visible before, and where its rows lie. */
typedef struct KindStats {
        uint64_t n_inserted;
        int64_t first_local_ms; /* later than last: no row */
        int64_t last_local_ms;
} KindStats;

typedef struct Stats {
        KindStats kinds[N_RECORD_KINDS];
} Stats;

/* Within a kind. */
typedef struct Place {
        int64_t local_ms;
        uint8_t identity[RECORD_IDENTITY_SIZE];
} Place;

/* An import that is being undone: where that is, and of how many records nothing will be left. */
typedef struct Undo {
        uint32_t import; /* 0: none */
        uint8_t kind;
        Place place;
        Stats stats;
        uint64_t n_orphans[N_RECORD_KINDS];
} Undo;

struct Records {
        Db *db;
        Zones *zones; /* borrowed; NULL: times are as they were stored */
        DbStatement *insert;
        DbStatement *replace;
        DbStatement *after;  /* rows of a kind behind (local_ms, identity) */
        DbStatement *from;   /* the same, with it */
        DbStatement *remove;
        DbStatement *reject;
        DbStatement *touch;  /* an import's stats */
        DbStatement *again;
        DbStatement *heir;
        DbStatement *inherit;
        Undo undo;

        RecordsSource **sources; /* by id - 1 */
        size_t n_sources;
        size_t n_sources_stored; /* those behind belong to the running import */

        uint8_t *done; /* bit per import */
        size_t n_done;
        Stats visible;

        uint32_t import; /* 0: none is running */
        Stats stats;
        uint32_t n_rejected;
        unsigned n_uncommitted;
        size_t batch_size;
        int failed; /* what the running import's first failure was: it cannot be finished with a part missing */

        bool clean;    /* no dead import is left: cancelled, or running when the program ended */
        uint32_t dead; /* the one that is being deleted, or 0; and how far that is */
        uint8_t dead_kind;
        Place dead_place;
        Stats dead_stats;
};

/* --- numbers of imports --- */

static void stats_clear(Stats *stats) {
        for (unsigned i = 0; i < N_RECORD_KINDS; i++)
                stats->kinds[i] = (KindStats) { 0, INT64_MAX, INT64_MIN };
}

static void kind_stats_add(KindStats *to, const KindStats *more) {
        to->n_inserted += more->n_inserted;
        if (more->first_local_ms < to->first_local_ms)
                to->first_local_ms = more->first_local_ms;
        if (more->last_local_ms > to->last_local_ms)
                to->last_local_ms = more->last_local_ms;
}

static void stats_add(Stats *to, const Stats *more) {
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                kind_stats_add(&to->kinds[i], &more->kinds[i]);
}

static void stats_write(uint8_t bytes[static STATS_SIZE], const Stats *stats) {
        for (unsigned i = 1; i < N_RECORD_KINDS; i++, bytes += STATS_KIND_SIZE) {
                put_le64(bytes, stats->kinds[i].n_inserted);
                put_le64(bytes + 8, (uint64_t) stats->kinds[i].first_local_ms);
                put_le64(bytes + 16, (uint64_t) stats->kinds[i].last_local_ms);
        }
}

static void stats_read(Stats *ret, const uint8_t bytes[static STATS_SIZE]) {
        stats_clear(ret);
        for (unsigned i = 1; i < N_RECORD_KINDS; i++, bytes += STATS_KIND_SIZE)
                ret->kinds[i] = (KindStats) {
                        .n_inserted = get_le64(bytes),
                        .first_local_ms = (int64_t) get_le64(bytes + 8),
                        .last_local_ms = (int64_t) get_le64(bytes + 16),
                };
}

static bool is_done(const Records *records, uint32_t import) {
        return import / 8 < records->n_done && records->done[import / 8] >> (import % 8) & 1;
}

uint32_t records_last_import(const Records *records) {
        uint32_t import = (uint32_t) records->n_done * 8;

        while (import > 0 && !is_done(records, import - 1))
                import--;
        return import > 0 ? import - 1 : 0;
}

/* Room first, so that nothing can fail once the commit is made. */
static int reserve_done(Records *records, uint32_t import) {
        size_t n = import / 8 + 1;
        uint8_t *grown;

        if (n <= records->n_done)
                return 0;
        n += 64;
        grown = realloc(records->done, n);
        if (!grown)
                return -ENOMEM;
        memset(grown + records->n_done, 0, n - records->n_done);
        records->done = grown;
        records->n_done = n;
        return 0;
}

static void set_done(Records *records, uint32_t import) {
        records->done[import / 8] |= (uint8_t) (1u << (import % 8));
}

/* --- rows --- */

/* Bits of meta; it stays below 2^31, which SQLite keeps in four bytes. */
enum {
        META_UNIT = 0,
        META_DECIMALS = 4,
        META_FLAGS = 8,
        META_CLOCK = 16,
        META_OFFSET = 20,
        META_OFFSET_BIAS = 1024,
};

static_assert(RECORD_OFFSET_MAX_MIN < (int) META_OFFSET_BIAS && N_RECORD_UNITS <= 16 && N_RECORD_CLOCKS <= 16, "meta has room");

static uint32_t pack_meta(const Record *record) {
        return (uint32_t) record->unit << META_UNIT | (uint32_t) record->decimals << META_DECIMALS | (uint32_t) record->flags << META_FLAGS |
               (uint32_t) record->clock << META_CLOCK | (uint32_t) (record->offset_min + META_OFFSET_BIAS) << META_OFFSET;
}

static bool record_time_valid(int64_t local_ms) {
        return local_ms >= RECORD_TIME_MIN_MS && local_ms <= RECORD_TIME_MAX_MS;
}

/* What the layout can hold and the queries rely on; record_valid() is the caller's, at the boundary. */
static bool storable(const Record *record) {
        return record->kind > 0 && record->kind < N_RECORD_KINDS && record->unit < N_RECORD_UNITS && record->decimals < 16 &&
               record->clock < N_RECORD_CLOCKS && record->offset_min >= -RECORD_OFFSET_MAX_MIN && record->offset_min <= RECORD_OFFSET_MAX_MIN &&
               record_time_valid(record->local_ms) && record->n_payload <= RECORD_PAYLOAD_MAX;
}

/* RECORD_COLUMNS; the payload is borrowed from the statement. UTC is what the wallet's zones say today. */
static int read_row(const Records *records, DbStatement *statement, uint8_t kind, Record *ret) {
        int64_t meta = db_column_int(statement, 5);

        if (!db_column_copy(statement, 1, ret->identity, sizeof(ret->identity)) || meta < 0 || meta > INT32_MAX)
                return RECORDS_E_KEY;
        ret->kind = kind;
        ret->local_ms = db_column_int(statement, 0);
        ret->import = (uint32_t) db_column_int(statement, 2);
        ret->utc_ms = db_column_int(statement, 3);
        ret->value_milli = (int32_t) db_column_int(statement, 4);
        ret->unit = (uint8_t) (meta >> META_UNIT & 15);
        ret->decimals = (uint8_t) (meta >> META_DECIMALS & 15);
        ret->flags = (uint8_t) (meta >> META_FLAGS & 255);
        ret->clock = (uint8_t) (meta >> META_CLOCK & 15);
        ret->offset_min = (int16_t) ((meta >> META_OFFSET) - META_OFFSET_BIAS);
        ret->source = (uint32_t) db_column_int(statement, 6);
        ret->payload = db_column_blob(statement, 7, &ret->n_payload);
        if (records->zones && record_time_valid(ret->local_ms))
                zones_place(records->zones, ret);
        return 0;
}

static int write_row(DbStatement *statement, const Record *record, uint32_t import) {
        db_bind_int(statement, 1, record->kind);
        db_bind_int(statement, 2, record->local_ms);
        db_bind_blob(statement, 3, record->identity, sizeof(record->identity));
        db_bind_int(statement, 4, import);
        db_bind_int(statement, 5, record->utc_ms);
        db_bind_int(statement, 6, record->value_milli);
        db_bind_int(statement, 7, pack_meta(record));
        db_bind_int(statement, 8, record->source);
        db_bind_blob(statement, 9, record->n_payload > 0 ? (const void *) record->payload : "", record->n_payload);
        return db_run(statement);
}

static int compare_place(const Record *a, const Record *b) {
        if (a->kind != b->kind)
                return a->kind < b->kind ? -1 : 1;
        if (a->local_ms != b->local_ms)
                return a->local_ms < b->local_ms ? -1 : 1;
        return memcmp(a->identity, b->identity, sizeof(a->identity));
}

/* While a batch is sorted, import is where the record stood in it. */
static int compare_for_sort(const void *a, const void *b) {
        const Record *left = a, *right = b;
        int r = compare_place(left, right);

        return r != 0 ? r : (left->import > right->import) - (left->import < right->import);
}

/* Whether @more adds nothing to what is known of a record; UTC, offset and clock follow from its time, the zones and the pass. */
static bool adds_nothing(const Record *now, const Record *more) {
        uint8_t pass = more->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS);

        /* an export that begins or ends inside a repeated hour knows less of it, one without other days less of an unset clock */
        if (pass && pass != (now->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS)))
                return false;
        if (now->clock == RECORD_CLOCK_UNSET && more->clock != RECORD_CLOCK_UNSET)
                return false;
        return same_adds_nothing(now, more);
}

/* --- opening --- */

static int prepare(Records *records) {
        const struct {
                DbStatement **statement;
                const char *sql;
        } all[] = {
                { &records->insert, "INSERT INTO records(kind, " RECORD_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)" },
                { &records->replace, "INSERT OR REPLACE INTO records(kind, " RECORD_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)" },
                { &records->after, "SELECT " RECORD_COLUMNS " FROM records WHERE kind = ?1 AND (local_ms, identity) > (?2, ?3)"
                                   " ORDER BY kind, local_ms, identity, import DESC" },
                { &records->from, "SELECT " RECORD_COLUMNS " FROM records WHERE kind = ?1 AND (local_ms, identity) >= (?2, ?3)"
                                  " ORDER BY kind, local_ms, identity, import DESC" },
                { &records->remove, "DELETE FROM records WHERE kind = ?1 AND local_ms = ?2 AND identity = ?3 AND import = ?4" },
                { &records->reject, "INSERT INTO rejected(import, n, line, reason, row) VALUES(?1, ?2, ?3, ?4, ?5)" },
                { &records->again, "INSERT OR IGNORE INTO again(kind, from_ms, from_identity, import, to_ms, to_identity) VALUES(?1, ?2, ?3, ?4, ?5, ?6)" },
                { &records->heir, "SELECT import FROM again WHERE kind = ?1 AND from_ms >= ?2 AND (from_ms, from_identity) <= (?3, ?4)"
                                  " AND (to_ms, to_identity) >= (?3, ?4) AND import > ?5 AND import < ?6 ORDER BY import LIMIT 1" },
                { &records->inherit, "INSERT OR IGNORE INTO records(kind, " RECORD_COLUMNS ") SELECT kind, local_ms, identity, ?5, utc_ms, value, meta, source, payload"
                                     " FROM records WHERE kind = ?1 AND local_ms = ?2 AND identity = ?3 AND import = ?4" },
                { &records->touch, "UPDATE imports SET stats = ?2, n_rejected = ?3 WHERE id = ?1" },
        };
        int r;

        for (size_t i = 0; i < N_ELEMENTS(all); i++) {
                r = db_prepare(records->db, all[i].statement, all[i].sql);
                if (r)
                        return r;
        }
        return 0;
}

static int load_imports(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT id, done, stats FROM imports ORDER BY id DESC");
        if (r)
                return r;
        for (;;) {
                uint8_t bytes[STATS_SIZE];
                Stats stats;
                bool row = false;
                int64_t id;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;

                id = db_column_int(statement, 0);
                if (id <= 0 || id >= UINT32_MAX || !db_column_copy(statement, 2, bytes, sizeof(bytes)))
                        return RECORDS_E_KEY;
                if (!db_column_int(statement, 1)) {
                        records->clean = false; /* the program ended while it ran */
                        continue;
                }
                r = reserve_done(records, (uint32_t) id);
                if (r)
                        return r;
                set_done(records, (uint32_t) id);
                stats_read(&stats, bytes);
                stats_add(&records->visible, &stats);
        }
}

/* The numbers of all that is done, again: without an import that was undone, ranges may have shrunk. */
static int load_visible(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        stats_clear(&records->visible);
        r = db_prepare(records->db, &statement, "SELECT stats FROM imports WHERE done = 1");
        if (r)
                return r;
        for (;;) {
                uint8_t bytes[STATS_SIZE];
                bool row = false;
                Stats stats;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                if (!db_column_copy(statement, 0, bytes, sizeof(bytes)))
                        return RECORDS_E_KEY;
                stats_read(&stats, bytes);
                stats_add(&records->visible, &stats);
        }
}

static int add_source(Records *records, const RecordsSource *source) {
        RecordsSource **grown;
        RecordsSource *added;

        if (records->n_sources >= SOURCES_MAX)
                return -E2BIG;
        grown = realloc(records->sources, (records->n_sources + 1) * sizeof(*grown));
        if (!grown)
                return -ENOMEM;
        records->sources = grown;
        added = malloc(sizeof(*added));
        if (!added)
                return -ENOMEM;
        *added = *source;
        records->sources[records->n_sources++] = added;
        return 0;
}

static void drop_new_sources(Records *records) {
        while (records->n_sources > records->n_sources_stored) {
                RecordsSource *source = records->sources[--records->n_sources];

                explicit_bzero(source, sizeof(*source));
                free(source);
        }
}

static int load_sources(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT id, device_key, model, serial, section FROM sources ORDER BY id");
        if (r)
                return r;
        for (;;) {
                RecordsSource source = { 0 };
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;

                source.id = (uint32_t) db_column_int(statement, 0);
                if (source.id != records->n_sources + 1 || !db_column_copy(statement, 1, source.device_key, sizeof(source.device_key)))
                        return RECORDS_E_KEY;
                (void) snprintf(source.model, sizeof(source.model), "%s", db_column_text(statement, 2));
                (void) snprintf(source.serial, sizeof(source.serial), "%s", db_column_text(statement, 3));
                (void) snprintf(source.section, sizeof(source.section), "%s", db_column_text(statement, 4));
                r = add_source(records, &source);
                if (r)
                        return r;
                records->n_sources_stored = records->n_sources;
        }
}

int records_open(Records **ret, const char *dir, const Secret *key) {
        const DbOptions options = {
                .schema = schema,
                .cache_kib = CACHE_KIB,
                .wal_limit_kib = WAL_LIMIT_KIB,
        };
        cleanup(records_closep) Records *records = NULL;
        int r;

        assert(ret);

        records = calloc(1, sizeof(*records));
        if (!records)
                return -ENOMEM;
        records->clean = true;
        stats_clear(&records->visible);

        r = db_open(&records->db, dir, "records.db", key, &options);
        if (r)
                return r;
        r = db_execute(records->db, schema_again);
        if (r)
                return r;
        r = prepare(records);
        if (r)
                return r;
        r = load_imports(records);
        if (r)
                return r;
        r = load_sources(records);
        if (r)
                return r;

        *ret = take_ptr(records);
        return 0;
}

Records *records_close(Records *records) {
        if (records) {
                records_import_cancel(records);
                db_finalize(records->insert);
                db_finalize(records->replace);
                db_finalize(records->after);
                db_finalize(records->from);
                db_finalize(records->remove);
                db_finalize(records->reject);
                db_finalize(records->touch);
                db_finalize(records->again);
                db_finalize(records->heir);
                db_finalize(records->inherit);
                db_close(records->db);
                records->n_sources_stored = 0;
                drop_new_sources(records);
                free(records->sources);
                free(records->done);
                explicit_bzero(records, sizeof(*records));
                free(records);
        }
        return NULL;
}

void records_set_zones(Records *records, Zones *zones) {
        records->zones = zones;
}

/* --- sources --- */

int records_source_find_or_add(Records *records, RecordsSource *source_io) {
        assert(records->import > 0);

        for (size_t i = 0; i < records->n_sources; i++) {
                const RecordsSource *source = records->sources[i];

                if (memcmp(source->device_key, source_io->device_key, sizeof(source->device_key)) == 0 &&
                    strcmp(source->model, source_io->model) == 0 && strcmp(source->serial, source_io->serial) == 0 &&
                    strcmp(source->section, source_io->section) == 0) {
                        source_io->id = source->id;
                        return 0;
                }
        }

        source_io->id = (uint32_t) records->n_sources + 1;
        return add_source(records, source_io);
}

const RecordsSource *records_source(const Records *records, uint32_t id) {
        return id > 0 && id <= records->n_sources ? records->sources[id - 1] : NULL;
}

size_t records_n_sources(const Records *records) {
        return records->n_sources;
}

static int store_new_sources(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "INSERT INTO sources(id, device_key, model, serial, section) VALUES(?1, ?2, ?3, ?4, ?5)");
        if (r)
                return r;
        for (size_t i = records->n_sources_stored; i < records->n_sources; i++) {
                const RecordsSource *source = records->sources[i];

                db_bind_int(statement, 1, source->id);
                db_bind_blob(statement, 2, source->device_key, sizeof(source->device_key));
                db_bind_text(statement, 3, source->model);
                db_bind_text(statement, 4, source->serial);
                db_bind_text(statement, 5, source->section);
                r = db_run(statement);
                if (r)
                        return r;
        }
        return 0;
}

/* --- imports --- */

int records_import_begin(Records *records, const char *file_name, int64_t now_utc_ms, uint32_t *ret_import) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        int64_t id;
        int r;

        assert(records->import == 0 && records->undo.import == 0);

        stats_clear(&records->stats);
        stats_write(bytes, &records->stats);

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

/* @stats: what the import will have stored; @import's row says it, so that a cleanup knows where to look */
static int commit(Records *records, const Stats *stats) {
        uint8_t bytes[STATS_SIZE];
        int r;

        stats_write(bytes, stats);
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
        db_checkpoint(records->db, WAL_PAGES_MAX);
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
        return read_row(walk->records, walk->records->from, walk->kind, &walk->row);
}

/* Go to the first row that is not before @place, by steps where it is near. Rows behind the last one of a kind need no query. */
static int walk_to(Walk *walk, const Record *place) {
        int r;

        if (walk->kind == place->kind) {
                for (unsigned i = 0; i < SCAN_MAX; i++) {
                        if (!walk->at_row || compare_place(&walk->row, place) >= 0)
                                return 0;
                        walk->passed |= is_done(walk->records, walk->row.import);
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

/*
 * What the records of one identity in a batch come to: batch[0] .. batch[n - 1], in the order in which they came.
 * @ret_write: the one to be stored, or NULL; @ret_replace: in place of one that this import stored before
 * @ret_again: one of them said again what another import had
 */
static int settle(Walk *walk, const Record *batch, size_t n, RecordsCounts *counts, const Record **ret_write, bool *ret_replace, bool *ret_again) {
        uint8_t payload[RECORD_PAYLOAD_MAX];
        const Record *now = NULL, *write = NULL;
        Record stored;
        bool own = false;
        int r;

        r = walk_to(walk, batch);
        while (!r && walk->at_row && compare_place(&walk->row, batch) == 0) {
                if (!now && (walk->row.import == walk->records->import || is_done(walk->records, walk->row.import))) {
                        if (walk->row.n_payload > sizeof(payload))
                                return RECORDS_E_KEY;
                        stored = walk->row;
                        if (stored.n_payload > 0)
                                memcpy(payload, stored.payload, stored.n_payload);
                        stored.payload = payload;
                        now = &stored;
                        own = stored.import == walk->records->import;
                }
                r = walk_next(walk);
        }
        if (r)
                return r;

        for (size_t i = 0; i < n; i++) {
                if (now && adds_nothing(now, &batch[i])) {
                        counts->n_duplicates[batch->kind]++;
                        *ret_again |= now == &stored && !own;
                        continue;
                }
                if (now)
                        counts->n_superseded[batch->kind]++;
                else
                        counts->n_inserted[batch->kind]++;
                now = write = &batch[i];
        }

        *ret_write = write;
        *ret_replace = own;
        return 0;
}

/*
 * A repeated hour. An export that begins inside it does not know that the clock had shown these times before, so its
 * records have the identities of the first time (daemon/FORMAT.md, "identity"). Records of such an hour are therefore
 * looked for under each epoch, and what is no copy of anything never takes another's place.
 */
enum {
        EPOCH_AT = 8,  /* in an identity: daemon/FORMAT.md */
        N_EPOCHS = 32, /* more are left as they come */
};

/* What is visible of one place but for the epoch, and the records of a batch that belong there. */
typedef struct Passes {
        Record *members[N_EPOCHS];
        size_t n_members;
        uint32_t there;            /* epochs that have a visible record, bit by bit */
        uint32_t given;            /* epochs that a member has */
        uint8_t pass[N_EPOCHS];    /* of what is there */
        bool is_own[N_EPOCHS];     /* stored by the running import */
        uint32_t is_same[N_EPOCHS]; /* members that say the same, or more or less of it, bit by bit */
} Passes;

static bool same_but_epoch(const Record *a, const Record *b) {
        return a->kind == b->kind && a->local_ms == b->local_ms && memcmp(a->identity, b->identity, EPOCH_AT) == 0 &&
               memcmp(a->identity + EPOCH_AT + 2, b->identity + EPOCH_AT + 2, RECORD_IDENTITY_SIZE - EPOCH_AT - 2) == 0;
}

static unsigned epoch_of(const Record *record) {
        return get_le16(record->identity + EPOCH_AT);
}

static uint8_t pass_of(const Record *record) {
        return record->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS);
}

static void passes_add(Passes *p, const Records *records, const Record *there) {
        unsigned epoch = epoch_of(there);

        /* of an identity the latest import comes first: what follows is superseded */
        if (epoch >= N_EPOCHS || p->there >> epoch & 1)
                return;
        p->there |= UINT32_C(1) << epoch;
        p->pass[epoch] = pass_of(there);
        p->is_own[epoch] = there->import == records->import;
        for (size_t i = 0; i < p->n_members; i++)
                if (same_adds_nothing(there, p->members[i]) || same_adds_nothing(p->members[i], there))
                        p->is_same[epoch] |= UINT32_C(1) << i;
}

static int find_passes(Records *records, Passes *p) {
        cleanup(db_resetp) DbStatement *statement = records->from;
        uint8_t begin[RECORD_IDENTITY_SIZE] = { 0 };
        const Record *place = p->members[0];
        int r;

        memcpy(begin, place->identity, EPOCH_AT);
        db_bind_int(statement, 1, place->kind);
        db_bind_int(statement, 2, place->local_ms);
        db_bind_blob(statement, 3, begin, sizeof(begin));
        for (;;) {
                Record there;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = read_row(records, statement, place->kind, &there);
                if (r)
                        return r;
                if (there.local_ms != place->local_ms || memcmp(there.identity, begin, EPOCH_AT) != 0)
                        return 0;
                if (same_but_epoch(&there, place) && (there.import == records->import || is_done(records, there.import)))
                        passes_add(p, records, &there);
        }
}

/* Whether a member is a copy of what is there, or knows more of the same. */
static bool is_copy(const Passes *p, size_t member, unsigned epoch) {
        uint8_t pass = p->pass[epoch], mine = pass_of(p->members[member]);

        if (!(p->there >> epoch & 1) || p->given >> epoch & 1 || !(p->is_same[epoch] >> member & 1))
                return false;
        return pass == mine || (!p->is_own[epoch] && (!pass || !mine));
}

/* Whether a member may take its own epoch: nothing is there, or what it corrects. */
static bool is_free(const Passes *p, size_t member, unsigned epoch) {
        uint8_t pass = p->pass[epoch], mine = pass_of(p->members[member]);

        if (epoch >= N_EPOCHS)
                return true;
        if (p->given >> epoch & 1)
                return false;
        return !(p->there >> epoch & 1) || (mine && mine == pass) || (mine && !pass && !p->is_own[epoch]);
}

static void give_epochs(Passes *p) {
        bool is_given[N_EPOCHS] = { false };

        /* copies first, those under their own epoch before others */
        for (unsigned try = 0; try < 2; try++) {
                for (size_t i = 0; i < p->n_members; i++) {
                        unsigned own = epoch_of(p->members[i]), epoch = try == 0 ? own : 0;

                        while (!is_given[i] && epoch < N_EPOCHS && !is_copy(p, i, epoch) && try != 0)
                                epoch++;
                        if (is_given[i] || epoch >= N_EPOCHS || !is_copy(p, i, epoch))
                                continue;
                        put_le16(p->members[i]->identity + EPOCH_AT, (uint16_t) epoch);
                        p->given |= UINT32_C(1) << epoch;
                        is_given[i] = true;
                }
        }
        for (size_t i = 0; i < p->n_members; i++) {
                unsigned epoch = epoch_of(p->members[i]);

                if (is_given[i])
                        continue;
                if (!is_free(p, i, epoch))
                        for (epoch = 0; epoch < N_EPOCHS - 1 && ((p->there | p->given) >> epoch & 1);)
                                epoch++;
                put_le16(p->members[i]->identity + EPOCH_AT, (uint16_t) epoch);
                if (epoch < N_EPOCHS)
                        p->given |= UINT32_C(1) << epoch;
        }
}

static int tell_passes_apart(Records *records, Record *batch, size_t n_batch) {
        uint8_t is_settled[RECORDS_BATCH_MAX] = { 0 };

        for (size_t i = 0; i < n_batch; i++) {
                Passes p = { 0 };
                int r;

                if (is_settled[i] || (!pass_of(&batch[i]) && batch[i].clock != RECORD_CLOCK_AMBIGUOUS))
                        continue;
                for (size_t k = 0; k < n_batch && p.n_members < N_EPOCHS; k++) {
                        if (is_settled[k] || !same_but_epoch(&batch[i], &batch[k]))
                                continue;
                        p.members[p.n_members++] = &batch[k];
                        is_settled[k] = 1;
                }
                r = find_passes(records, &p);
                if (r)
                        return r;
                give_epochs(&p);
        }
        return 0;
}

typedef struct Write {
        uint16_t index; /* in the batch */
        bool replace;
} Write;

static_assert(RECORDS_BATCH_MAX <= UINT16_MAX, "an index into a batch");

/*
 * A stretch of a kind, within a week, of which this import had every record that was visible then. It takes the place of
 * storing them again: when the import that they are from is undone, they are this one's.
 */
typedef struct Run {
        Record from, to; /* their places alone */
} Run;

static bool same_week(const Record *a, const Record *b) {
        return a->local_ms / AGAIN_MS == b->local_ms / AGAIN_MS;
}

static int store_run(Records *records, Run *run) {
        if (run->from.kind == 0)
                return 0;
        db_bind_int(records->again, 1, run->from.kind);
        db_bind_int(records->again, 2, run->from.local_ms);
        db_bind_blob(records->again, 3, run->from.identity, sizeof(run->from.identity));
        db_bind_int(records->again, 4, records->import);
        db_bind_int(records->again, 5, run->to.local_ms);
        db_bind_blob(records->again, 6, run->to.identity, sizeof(run->to.identity));
        run->from.kind = 0;
        return db_run(records->again);
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
                const Record *write = NULL;
                bool replace = false, again = false;

                for (next = i + 1; next < n_batch && compare_place(&batch[i], &batch[next]) == 0;)
                        next++;
                r = settle(&walk, &batch[i], next - i, counts, &write, &replace, &again);
                if (r)
                        return r;
                if (write)
                        ret[n++] = (Write) { (uint16_t) (write - batch), replace };

                if (run.from.kind && (walk.passed || run.from.kind != batch[i].kind || !same_week(&run.from, &batch[i]))) {
                        r = store_run(records, &run);
                        if (r)
                                return r;
                }
                walk.passed = false;
                if (again && run.from.kind == 0)
                        run.from = batch[i];
                if (again)
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
        size_t n_writes = 0;
        int r;

        assert(records->import > 0);
        assert(n_batch <= RECORDS_BATCH_MAX);

        if (n_batch == 0)
                return 0;

        for (size_t i = 0; i < n_batch; i++) {
                if (!storable(&batch[i]))
                        return -EINVAL;
                batch[i].import = (uint32_t) i;
        }
        r = tell_passes_apart(records, batch, n_batch);
        if (r)
                return r;
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

                r = write_row(writes[i].replace ? records->replace : records->insert, record, records->import);
                if (r) {
                        db_rollback(records->db);
                        return r == DB_E_EXISTS ? -ENOTRECOVERABLE : r;
                }
                kind_stats_add(&stats.kinds[record->kind], &(KindStats) { 0, record->local_ms, record->local_ms });
        }
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                stats.kinds[i].n_inserted += more.n_inserted[i];

        r = commit(records, &stats);
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

        if (records->n_rejected >= REJECTS_KEPT_MAX) {
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
                return commit(records, &records->stats);
        return 0;
}

int records_import_reject(Records *records, uint32_t line, const char *reason, const char *row) {
        return note_failure(records, reject_row(records, line, reason, row));
}

static int finish(Records *records, const char *report_json) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "UPDATE imports SET done = 1, report = ?2 WHERE id = ?1");
        if (r)
                return r;
        r = db_begin(records->db);
        if (r)
                return r;

        r = store_new_sources(records);
        if (!r) {
                db_bind_int(statement, 1, records->import);
                db_bind_text(statement, 2, report_json);
                r = db_run(statement);
        }
        if (r) {
                db_rollback(records->db);
                return r;
        }
        return db_commit(records->db);
}

int records_import_finish(Records *records, const char *report_json) {
        int r, slower;

        assert(records->import > 0);

        if (records->failed)
                return records->failed;
        r = reserve_done(records, records->import);
        if (r)
                return r;
        r = begin_if_needed(records);
        if (r)
                return r;
        r = commit(records, &records->stats);
        if (r)
                return r;

        /* Syncing the log for this commit takes all that stands before it along: one file, one fsync. */
        r = db_set_durable(records->db, true);
        if (!r)
                r = finish(records, report_json);
        slower = db_set_durable(records->db, false);
        (void) slower; /* when this fails, further batches are synced too */
        if (r)
                return r;

        set_done(records, records->import);
        stats_add(&records->visible, &records->stats);
        records->n_sources_stored = records->n_sources;
        records->import = 0;
        return 0;
}

void records_import_cancel(Records *records) {
        if (records->import == 0)
                return;
        db_rollback(records->db);
        drop_new_sources(records);
        records->import = 0;
        records->clean = false;
}

int records_imports(Records *records, int (*each)(const RecordsImport *import, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT id, time_ms, file_name, report FROM imports WHERE done = 1 ORDER BY id");
        if (r)
                return r;
        for (;;) {
                RecordsImport import;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                import = (RecordsImport) {
                        .id = (uint32_t) db_column_int(statement, 0),
                        .time_utc_ms = db_column_int(statement, 1),
                        .file_name = db_column_text(statement, 2),
                        .report_json = db_column_text(statement, 3),
                };
                r = each(&import, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

int records_rejected(Records *records, uint32_t import, int (*each)(uint32_t line, const char *reason, const char *row, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT line, reason, row FROM rejected WHERE import = ?1 ORDER BY n");
        if (r)
                return r;
        db_bind_int(statement, 1, import);
        for (;;) {
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = each((uint32_t) db_column_int(statement, 0), db_column_text(statement, 1), db_column_text(statement, 2), userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

/* --- places --- */

/* The place before all of a kind that are at or after @local_ms. */
static Place place_before(int64_t local_ms) {
        Place place = { .local_ms = local_ms - 1 };

        memset(place.identity, 0xff, sizeof(place.identity));
        return place;
}

static bool places_equal(const Place *a, const Place *b) {
        return a->local_ms == b->local_ms && memcmp(a->identity, b->identity, sizeof(a->identity)) == 0;
}

/* @place: borrowed while the statement runs: what it is compared with is read again for each row */
static void seek_after(Records *records, uint8_t kind, const Place *place) {
        db_bind_int(records->after, 1, kind);
        db_bind_int(records->after, 2, place->local_ms);
        db_bind_blob(records->after, 3, place->identity, sizeof(place->identity));
}

static void undo_at_kind(Records *records, uint8_t kind) {
        records->undo.kind = kind;
        if (kind < N_RECORD_KINDS)
                records->undo.place = place_before(records->undo.stats.kinds[kind].first_local_ms);
}

/* --- cleanup --- */

static void dead_at_kind(Records *records, uint8_t kind) {
        records->dead_kind = kind;
        if (kind < N_RECORD_KINDS)
                records->dead_place = place_before(records->dead_stats.kinds[kind].first_local_ms);
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
        stats_read(&records->dead_stats, bytes);
        dead_at_kind(records, 1);
        return 0;
}

/* Among the next rows of this kind, those that go. @ret_place: how far it looked; whole identities only, of which each has one such row at most. */
static int find_dead_rows(Records *records, Place ret[static CLEANUP_ROWS_MAX], size_t *ret_n, Place *ret_place, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        int64_t last_local_ms = records->dead_stats.kinds[records->dead_kind].last_local_ms;
        Place place = records->dead_place;
        size_t n = 0;
        int r;

        seek_after(records, records->dead_kind, &records->dead_place);
        for (size_t n_seen = 0;; n_seen++) {
                bool row = false;
                Place next;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row || db_column_int(statement, 0) > last_local_ms;
                if (*ret_end)
                        break;
                next.local_ms = db_column_int(statement, 0);
                if (!db_column_copy(statement, 1, next.identity, sizeof(next.identity)))
                        return RECORDS_E_KEY;
                if ((n_seen >= CLEANUP_SEEN_MAX || n >= CLEANUP_ROWS_MAX) && !places_equal(&next, &place))
                        break;
                place = next;
                if (db_column_int(statement, 2) == records->dead)
                        ret[n++] = place;
        }
        *ret_n = n;
        *ret_place = place;
        return 0;
}

static int remove_rows(Records *records, const Place *rows, size_t n) {
        int r = 0;

        for (size_t i = 0; i < n && !r; i++) {
                db_bind_int(records->remove, 1, records->dead_kind);
                db_bind_int(records->remove, 2, rows[i].local_ms);
                db_bind_blob(records->remove, 3, rows[i].identity, sizeof(rows[i].identity));
                db_bind_int(records->remove, 4, records->dead);
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
        Place rows[CLEANUP_ROWS_MAX], place;
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
        db_checkpoint(records->db, WAL_PAGES_MAX);

        if (gone)
                records->dead = 0;
        else if (kind_end)
                dead_at_kind(records, (uint8_t) (records->dead_kind + 1));
        else if (records->dead_kind < N_RECORD_KINDS)
                records->dead_place = place;
        return 0;
}

/* For callers that only get an errno. */
static int fold_full(int r) {
        return r == RECORDS_E_FULL ? -ENOSPC : r == RECORDS_E_KEY ? -EBADMSG : fold(r);
}

int records_cleanup_step(Records *records) {
        int r = 0;

        if (!records->clean && records->dead == 0)
                r = find_dead(records);
        if (!r && records->clean)
                return 0;
        if (!r && db_in_transaction(records->db)) /* rejected rows of the running import */
                r = commit(records, &records->stats);
        if (!r)
                r = cleanup_dead(records);

        return r > 0 ? fold_full(r) : r < 0 ? r : 1;
}

/* --- undoing --- */

int records_undo_begin(Records *records, uint32_t import) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t bytes[STATS_SIZE];
        bool row = false;
        int r;

        assert(records->import == 0);

        if (import == 0 || !is_done(records, import))
                return RECORDS_E_NOT_FOUND;
        r = db_prepare(records->db, &statement, "SELECT stats FROM imports WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(statement, 1, import);
        r = db_step(statement, &row);
        if (r)
                return r;
        if (!row || !db_column_copy(statement, 0, bytes, sizeof(bytes)))
                return RECORDS_E_KEY;

        records->undo = (Undo) { .import = import };
        stats_read(&records->undo.stats, bytes);
        undo_at_kind(records, 1);
        return 0;
}

void records_undo_cancel(Records *records) {
        records->undo.import = 0;
}

/* What the import @import stored, and now also the rows in @more. */
static int widen_stats(Records *records, uint32_t import, const Stats *more) {
        cleanup(db_finalizep) DbStatement *get = NULL, *set = NULL;
        uint8_t bytes[STATS_SIZE];
        bool row = false;
        Stats stats;
        int r;

        r = db_prepare(records->db, &get, "SELECT stats FROM imports WHERE id = ?1");
        if (!r)
                r = db_prepare(records->db, &set, "UPDATE imports SET stats = ?2 WHERE id = ?1");
        if (r)
                return r;
        db_bind_int(get, 1, import);
        r = db_step(get, &row);
        if (r)
                return r;
        if (!row || !db_column_copy(get, 0, bytes, sizeof(bytes)))
                return RECORDS_E_KEY;
        db_reset(get);
        stats_read(&stats, bytes);
        stats_add(&stats, more);
        stats_write(bytes, &stats);
        db_bind_int(set, 1, import);
        db_bind_blob(set, 2, bytes, sizeof(bytes));
        return db_run(set);
}

/* A row that another import had too, and which. */
typedef struct Heir {
        Place place;
        uint32_t import;
} Heir;

/* The import that has the row of @place again: the first one behind the undone, before another row of the identity. */
static int find_heir(Records *records, const Place *place, uint32_t next, uint32_t *ret) {
        cleanup(db_resetp) DbStatement *statement = records->heir;
        bool row = false;
        int r;

        db_bind_int(statement, 1, records->undo.kind);
        db_bind_int(statement, 2, place->local_ms / AGAIN_MS * AGAIN_MS);
        db_bind_int(statement, 3, place->local_ms);
        db_bind_blob(statement, 4, place->identity, sizeof(place->identity));
        db_bind_int(statement, 5, records->undo.import);
        db_bind_int(statement, 6, next);
        r = db_step(statement, &row);
        if (r)
                return r;
        *ret = row ? (uint32_t) db_column_int(statement, 0) : 0; /* it is done: dead ones are deleted before an undo begins */
        return 0;
}

/* One identity of the import that is being undone: who has it too? */
static int settle_identity(Records *records, const Place *place, bool has_it, bool has_other, uint32_t next, Heir *heirs, size_t *n) {
        uint32_t heir = 0;
        int r;

        if (!has_it)
                return 0;
        r = find_heir(records, place, next, &heir);
        if (r)
                return r;
        if (heir)
                heirs[(*n)++] = (Heir) { *place, heir };
        else if (!has_other)
                records->undo.n_orphans[records->undo.kind]++;
        return 0;
}

/* The next rows of this kind, whole identities only; @heirs has room for one a row. */
static int find_heirs(Records *records, Heir *heirs, size_t *ret_n, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        Undo *undo = &records->undo;
        int64_t last_local_ms = undo->stats.kinds[undo->kind].last_local_ms;
        Place place = undo->place, begun = undo->place;
        bool has_it = false, has_other = false, row = false;
        uint32_t next = UINT32_MAX;
        size_t n_it = 0;
        int r;

        *ret_n = 0;
        seek_after(records, undo->kind, &begun);
        for (size_t n_seen = 0;; n_seen++) {
                uint32_t import;
                Place at;

                r = db_step(statement, &row);
                if (r)
                        return r;
                *ret_end = !row || db_column_int(statement, 0) > last_local_ms;
                if (!*ret_end) {
                        at.local_ms = db_column_int(statement, 0);
                        if (!db_column_copy(statement, 1, at.identity, sizeof(at.identity)))
                                return RECORDS_E_KEY;
                }
                if (*ret_end || !places_equal(&at, &place)) {
                        r = settle_identity(records, &place, has_it, has_other, next, heirs, ret_n);
                        if (r)
                                return r;
                        undo->place = place;
                        n_it += has_it;
                        has_it = has_other = false;
                        next = UINT32_MAX;
                        if (*ret_end || n_seen >= CLEANUP_SEEN_MAX || n_it >= UNDO_ROWS_MAX)
                                return 0;
                        place = at;
                }
                import = (uint32_t) db_column_int(statement, 2);
                if (import == undo->import)
                        has_it = true;
                else if (is_done(records, import)) {
                        has_other = true;
                        if (import > undo->import)
                                next = import; /* the latest comes first, so this ends at the one that is next */
                }
        }
}

static int hand_over(Records *records, const Heir *heirs, size_t n) {
        uint8_t kind = records->undo.kind;

        for (size_t i = 0; i < n; i++) {
                int r;

                db_bind_int(records->inherit, 1, kind);
                db_bind_int(records->inherit, 2, heirs[i].place.local_ms);
                db_bind_blob(records->inherit, 3, heirs[i].place.identity, sizeof(heirs[i].place.identity));
                db_bind_int(records->inherit, 4, records->undo.import);
                db_bind_int(records->inherit, 5, heirs[i].import);
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
                stats_clear(&more);
                for (size_t k = i; k < n; k++)
                        if (heirs[k].import == heirs[i].import)
                                kind_stats_add(&more.kinds[kind], &(KindStats) { 0, heirs[k].place.local_ms, heirs[k].place.local_ms });
                r = widen_stats(records, heirs[i].import, &more);
                if (r)
                        return r;
        }
        return 0;
}

/* The import's own numbers leave with it; those of records that others have too go to another, so that the sum stays right. */
static int leave(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const Undo *undo = &records->undo;
        uint32_t other = records_last_import(records);
        Stats more;
        int r;

        while (other > 0 && (other == undo->import || !is_done(records, other)))
                other--;
        stats_clear(&more);
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                more.kinds[i].n_inserted = undo->stats.kinds[i].n_inserted - undo->n_orphans[i]; /* may be less than nothing: the sum is what counts */
        if (other > 0) {
                r = widen_stats(records, other, &more);
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
        int r, slower;

        r = db_set_durable(records->db, true);
        if (!r)
                r = db_begin(records->db);
        if (!r) {
                r = leave(records);
                if (r)
                        db_rollback(records->db);
                else
                        r = db_commit(records->db);
        }
        slower = db_set_durable(records->db, false);
        (void) slower; /* when this fails, further batches are synced too */
        if (r)
                return r;

        records->done[import / 8] &= (uint8_t) ~(1u << (import % 8));
        records->undo.import = 0;
        records->clean = false;
        return load_visible(records);
}

int records_undo_step(Records *records) {
        Heir heirs[UNDO_ROWS_MAX + 1];
        Undo *undo = &records->undo;
        bool end = false;
        size_t n = 0;
        int r;

        assert(undo->import > 0 && records->import == 0);

        if (!records->clean) { /* what dead imports left is in the way */
                r = records_cleanup_step(records);
                return r < 0 ? r : 1;
        }
        if (undo->kind == N_RECORD_KINDS) {
                r = undo_last(records);
                return r > 0 ? fold_full(r) : r;
        }

        r = find_heirs(records, heirs, &n, &end);
        if (!r && n > 0) {
                r = db_begin(records->db);
                if (!r) {
                        r = hand_over(records, heirs, n);
                        if (r)
                                db_rollback(records->db);
                        else
                                r = db_commit(records->db);
                }
                db_checkpoint(records->db, WAL_PAGES_MAX);
        }
        if (r)
                return r > 0 ? fold_full(r) : r;
        if (end)
                undo_at_kind(records, (uint8_t) (undo->kind + 1));
        return 1;
}

/* --- reading --- */

typedef struct Reading {
        const RecordsQuery *query;
        RecordsCursor *cursor; /* the last identity of which all is known: given, or none of its rows is visible */
        size_t n_left;
        int (*each)(const Record *record, void *userdata);
        void *userdata;
} Reading;

static void cursor_set(RecordsCursor *cursor, const Place *place) {
        cursor->local_ms = place->local_ms;
        memcpy(cursor->identity, place->identity, sizeof(cursor->identity));
}

static void cursor_to_kind(RecordsCursor *cursor, const RecordsQuery *query, uint8_t kind) {
        int64_t from_local_ms = query->from_local_ms > RECORD_TIME_MIN_MS ? query->from_local_ms : RECORD_TIME_MIN_MS;
        Place place = place_before(from_local_ms);

        while (kind < N_RECORD_KINDS && !(query->kinds & RECORD_KIND_BIT(kind)))
                kind++;
        cursor->kind = kind;
        cursor->ended = kind == N_RECORD_KINDS;
        cursor_set(cursor, &place);
}

/* Of one identity the latest import comes first; the first that is done is what is visible. */
static int read_kind(Records *records, Reading *reading, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        RecordsCursor *cursor = reading->cursor;
        bool row = false, seen = false, given = false;
        Place begin = { .local_ms = cursor->local_ms }, place;
        int r;

        memcpy(begin.identity, cursor->identity, sizeof(begin.identity));
        seek_after(records, cursor->kind, &begin);

        *ret_end = false;
        for (;;) {
                Record record;
                Place next;

                r = db_step(statement, &row);
                if (r)
                        return r;
                if (!row || db_column_int(statement, 0) >= reading->query->to_local_ms) {
                        *ret_end = true;
                        return 0;
                }
                r = read_row(records, statement, cursor->kind, &record);
                if (r)
                        return r;

                next.local_ms = record.local_ms;
                memcpy(next.identity, record.identity, sizeof(next.identity));
                if (!seen || !places_equal(&next, &place)) {
                        if (seen)
                                cursor_set(cursor, &place);
                        if (reading->n_left == 0)
                                return 0;
                        place = next;
                        seen = true;
                        given = false;
                }
                if (reading->n_left > 0) /* more rows of one identity are read to their end */
                        reading->n_left--;
                if (given || !is_done(records, record.import))
                        continue;

                r = reading->each(&record, reading->userdata);
                if (r) {
                        reading->n_left = 0;
                        return r < 0 ? r : 0;
                }
                given = true;
                cursor_set(cursor, &place);
        }
}

int records_read(Records *records, const RecordsQuery *query, RecordsCursor *cursor, size_t n_max,
                 int (*each)(const Record *record, void *userdata), void *userdata) {
        Reading reading = { query, cursor, n_max, each, userdata };
        int r;

        assert(n_max > 0);

        if (!cursor->begun) {
                cursor_to_kind(cursor, query, 1);
                cursor->begun = true;
        }
        while (!cursor->ended && reading.n_left > 0) {
                bool end = false;

                r = read_kind(records, &reading, &end);
                if (r)
                        return r;
                if (end)
                        cursor_to_kind(cursor, query, (uint8_t) (cursor->kind + 1));
        }
        return 0;
}

void records_count(const Records *records, uint64_t ret[static N_RECORD_KINDS]) {
        for (unsigned i = 0; i < N_RECORD_KINDS; i++)
                ret[i] = records->visible.kinds[i].n_inserted;
}

int records_range(Records *records, bool *ret_any, int64_t *ret_first_local_ms, int64_t *ret_last_local_ms) {
        KindStats range = { 0, INT64_MAX, INT64_MIN };

        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                kind_stats_add(&range, &records->visible.kinds[i]);

        *ret_any = range.first_local_ms <= range.last_local_ms;
        if (*ret_any) {
                *ret_first_local_ms = range.first_local_ms;
                *ret_last_local_ms = range.last_local_ms;
        }
        return 0;
}

void records_release_memory(Records *records) {
        db_release_memory(records->db);
        (void) malloc_trim(0);
}
