/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

#include <malloc.h>

enum {
        CACHE_KIB = 1024,
        WAL_LIMIT_KIB = 16 * 1024,
        SOURCES_MAX = 4096,
};

static_assert(RECORDS_E_KEY == (int) DB_E_KEY && RECORDS_E_VERSION == (int) DB_E_VERSION && RECORDS_E_SETTING == (int) DB_E_SETTING &&
              RECORDS_E_FULL == (int) DB_E_FULL && RECORDS_E_NOT_FOUND == (int) DB_E_NOT_FOUND && RECORDS_E_NOT_EMPTY > (int) DB_E_EXISTS, "passed up as they are");

#define RECORDS_COLUMNS                                                                                                          \
        "(kind INTEGER NOT NULL, local_ms INTEGER NOT NULL, identity BLOB NOT NULL, import INTEGER NOT NULL,"                    \
        " utc_ms INTEGER NOT NULL, value INTEGER NOT NULL, meta INTEGER NOT NULL, source INTEGER NOT NULL, payload BLOB NOT NULL," \
        " PRIMARY KEY(kind, local_ms, identity, import DESC)) WITHOUT ROWID"

/* What records-clocks.c asks for, and nothing else. It goes with its table, so a new one's has another name. */
#define CLOCKS_INDEX(name, table) "CREATE INDEX " name " ON " table "(local_ms, identity, import, payload) WHERE substr(payload, 1, 2) = x'0215';"

/* daemon/FORMAT.md, "records.db" */
static const char schema[] =
        "CREATE TABLE records" RECORDS_COLUMNS ";"
        "CREATE TABLE imports(id INTEGER PRIMARY KEY AUTOINCREMENT, done INTEGER NOT NULL, time_ms INTEGER NOT NULL,"
        " file_name TEXT NOT NULL, stats BLOB NOT NULL, n_rejected INTEGER NOT NULL, report TEXT);"
        "CREATE TABLE sources(id INTEGER PRIMARY KEY, device_key BLOB NOT NULL, model TEXT NOT NULL, serial TEXT NOT NULL, section TEXT NOT NULL);"
        "CREATE TABLE rejected(import INTEGER NOT NULL, n INTEGER NOT NULL, line INTEGER NOT NULL, reason TEXT NOT NULL, row TEXT NOT NULL,"
        " PRIMARY KEY(import, n)) WITHOUT ROWID;";

static const char *const migrations[] = {
        /* 2: some wallets of version 1 have it already */
        "CREATE TABLE IF NOT EXISTS again(kind INTEGER NOT NULL, from_ms INTEGER NOT NULL, from_identity BLOB NOT NULL, import INTEGER NOT NULL,"
        " to_ms INTEGER NOT NULL, to_identity BLOB NOT NULL,"
        " PRIMARY KEY(kind, from_ms, from_identity, import, to_ms, to_identity)) WITHOUT ROWID;",
        /* 3 */
        CLOCKS_INDEX("clocks", "records"),
        NULL,
};

/* --- numbers of imports --- */

void records_stats_clear(Stats *stats) {
        for (unsigned i = 0; i < N_RECORD_KINDS; i++)
                stats->kinds[i] = (KindStats) { 0, INT64_MAX, INT64_MIN };
}

void records_kind_stats_add(KindStats *to, const KindStats *more) {
        to->n_inserted += more->n_inserted;
        if (more->first_local_ms < to->first_local_ms)
                to->first_local_ms = more->first_local_ms;
        if (more->last_local_ms > to->last_local_ms)
                to->last_local_ms = more->last_local_ms;
}

void records_stats_add(Stats *to, const Stats *more) {
        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                records_kind_stats_add(&to->kinds[i], &more->kinds[i]);
}

void records_stats_write(uint8_t bytes[static STATS_SIZE], const Stats *stats) {
        for (unsigned i = 1; i < N_RECORD_KINDS; i++, bytes += STATS_KIND_SIZE) {
                put_le64(bytes, stats->kinds[i].n_inserted);
                put_le64(bytes + 8, (uint64_t) stats->kinds[i].first_local_ms);
                put_le64(bytes + 16, (uint64_t) stats->kinds[i].last_local_ms);
        }
}

void records_stats_read(Stats *ret, const uint8_t bytes[static STATS_SIZE]) {
        records_stats_clear(ret);
        for (unsigned i = 1; i < N_RECORD_KINDS; i++, bytes += STATS_KIND_SIZE)
                ret->kinds[i] = (KindStats) {
                        .n_inserted = get_le64(bytes),
                        .first_local_ms = (int64_t) get_le64(bytes + 8),
                        .last_local_ms = (int64_t) get_le64(bytes + 16),
                };
}

bool records_is_done(const Records *records, uint32_t import) {
        return import / 8 < records->n_done && records->done[import / 8] >> (import % 8) & 1;
}

uint32_t records_last_import(const Records *records) {
        uint32_t import = (uint32_t) records->n_done * 8;

        while (import > 0 && !records_is_done(records, import - 1))
                import--;
        return import > 0 ? import - 1 : 0;
}

int records_reserve_done(Records *records, uint32_t import) {
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

void records_set_done(Records *records, uint32_t import) {
        records->has_clocks = false;
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

static_assert(RECORD_OFFSET_MAX_MIN < (int) META_OFFSET_BIAS && N_RECORD_UNITS <= 16 && N_RECORD_CLOCKS <= 8 &&
              RECORD_FLAGS_KNOWN <= UINT8_MAX, "meta has room");

static uint32_t pack_meta(const Record *record) {
        return (uint32_t) record->unit << META_UNIT | (uint32_t) record->decimals << META_DECIMALS | (uint32_t) record->flags << META_FLAGS |
               (uint32_t) record->clock << META_CLOCK | (uint32_t) (record->offset_min + META_OFFSET_BIAS) << META_OFFSET;
}

static bool record_time_valid(int64_t local_ms) {
        return local_ms >= RECORD_TIME_MIN_MS && local_ms <= RECORD_TIME_MAX_MS;
}

bool records_storable(const Record *record) {
        return record->kind > 0 && record->kind < N_RECORD_KINDS && record->unit < N_RECORD_UNITS && record->decimals < 16 &&
               record->clock < N_RECORD_CLOCKS && record->offset_min >= -RECORD_OFFSET_MAX_MIN && record->offset_min <= RECORD_OFFSET_MAX_MIN &&
               record_time_valid(record->local_ms) && record->n_payload <= RECORD_PAYLOAD_MAX;
}

int records_read_row(Records *records, DbStatement *statement, uint8_t kind, Record *ret) {
        int64_t meta = db_column_int(statement, 5);
        const Clocks *clocks;
        int r;

        if (!db_column_copy(statement, 1, ret->identity, sizeof(ret->identity)) || meta < 0 || meta > INT32_MAX)
                return RECORDS_E_KEY;
        ret->kind = kind;
        ret->local_ms = db_column_int(statement, 0);
        ret->import = (uint32_t) db_column_int(statement, 2);
        ret->value_milli = (int32_t) db_column_int(statement, 4);
        ret->unit = (uint8_t) (meta >> META_UNIT & 15);
        ret->decimals = (uint8_t) (meta >> META_DECIMALS & 15);
        ret->flags = (uint8_t) (meta >> META_FLAGS & RECORD_FLAGS_KNOWN);
        ret->clock = (uint8_t) (meta >> META_CLOCK & 7);
        ret->offset_min = (int16_t) ((meta >> META_OFFSET) - META_OFFSET_BIAS);
        ret->source = (uint32_t) db_column_int(statement, 6);
        ret->payload = db_column_blob(statement, 7, &ret->n_payload);
        if (!records->zones || !record_time_valid(ret->local_ms)) {
                ret->utc_ms = db_column_int(statement, 3);
                return 0;
        }
        r = records_clocks(records, &clocks);
        if (!r)
                clocks_place(clocks, records->zones, ret->identity, ret);
        return r;
}

bool records_row_is_further(DbStatement *statement) {
        return db_column_int(statement, 5) & RECORDS_META_FURTHER;
}

int records_write_row(DbStatement *statement, const Record *record, uint32_t import, bool is_further) {
        db_bind_int(statement, 1, record->kind);
        db_bind_int(statement, 2, record->local_ms);
        db_bind_blob(statement, 3, record->identity, sizeof(record->identity));
        db_bind_int(statement, 4, import);
        db_bind_int(statement, 5, record->utc_ms);
        db_bind_int(statement, 6, record->value_milli);
        db_bind_int(statement, 7, pack_meta(record) | (is_further ? RECORDS_META_FURTHER : 0));
        db_bind_int(statement, 8, record->source);
        db_bind_blob(statement, 9, record->n_payload > 0 ? (const void *) record->payload : "", record->n_payload);
        return db_run(statement);
}

/* --- opening --- */

int records_new_table(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        int r;

        r = db_prepare(records->db, &statement, "SELECT 1 FROM sqlite_master WHERE type = 'index' AND name = 'clocks'");
        if (!r)
                r = db_step(statement, &row);
        if (r)
                return r;
        return db_execute(records->db, row ? "CREATE TABLE records_new" RECORDS_COLUMNS ";" CLOCKS_INDEX("clocks_2", "records_new")
                                           : "CREATE TABLE records_new" RECORDS_COLUMNS ";" CLOCKS_INDEX("clocks", "records_new"));
}

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
                { &records->repeats, "SELECT DISTINCT import FROM again WHERE kind = ?1 AND from_ms >= ?2 AND (from_ms, from_identity) <= (?3, ?4)"
                                     " AND (to_ms, to_identity) >= (?3, ?4) AND import > ?5 ORDER BY import" },
                { &records->inherit, "INSERT OR IGNORE INTO records(kind, " RECORD_COLUMNS ") SELECT kind, local_ms, identity, ?5, utc_ms, value, meta | ?6, source, payload"
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
                r = records_reserve_done(records, (uint32_t) id);
                if (r)
                        return r;
                records_set_done(records, (uint32_t) id);
                records_stats_read(&stats, bytes);
                records_stats_add(&records->visible, &stats);
        }
}

int records_load_visible(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        records_stats_clear(&records->visible);
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
                records_stats_read(&stats, bytes);
                records_stats_add(&records->visible, &stats);
        }
}

int records_add_source(Records *records, const RecordsSource *source) {
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

void records_drop_new_sources(Records *records) {
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
                r = records_add_source(records, &source);
                if (r)
                        return r;
                records->n_sources_stored = records->n_sources;
        }
}

static int open_records(Records **ret, const char *dir, const Secret *key, bool kept) {
        const DbOptions options = {
                .schema = schema,
                .migrations = migrations,
                .kept = kept,
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
        records_stats_clear(&records->visible);

        r = db_open(&records->db, dir, "records.db", key, &options);
        if (r)
                return r;
        r = records_rebuild_leftovers(records);
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

int records_open(Records **ret, const char *dir, const Secret *key) {
        return open_records(ret, dir, key, false);
}

int records_open_kept(Records **ret, const char *dir, const Secret *key) {
        return open_records(ret, dir, key, true);
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
                db_finalize(records->repeats);
                db_finalize(records->inherit);
                db_close(records->db);
                records->n_sources_stored = 0;
                records_drop_new_sources(records);
                free(records->sources);
                free(records->done);
                records_versions_done(&records->versions);
                free(records->undo.heirs);
                explicit_bzero(records, sizeof(*records));
                free(records);
        }
        return NULL;
}

void records_set_zones(Records *records, Zones *zones) {
        records->zones = zones;
        records->has_clocks = false;
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
        return records_add_source(records, source_io);
}

const RecordsSource *records_source(const Records *records, uint32_t id) {
        return id > 0 && id <= records->n_sources ? records->sources[id - 1] : NULL;
}

size_t records_n_sources(const Records *records) {
        return records->n_sources;
}

int records_store_new_sources(Records *records) {
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

/* Syncing the log for one commit takes all that stands before it along: one file, one fsync. */
int records_settle(Records *records, int (*change)(Records *records, const void *userdata), const void *userdata) {
        int r, slower;

        r = db_set_durable(records->db, true);
        if (!r)
                r = db_begin(records->db);
        if (!r) {
                r = change(records, userdata);
                if (!r)
                        r = db_commit(records->db);
                if (r)
                        db_rollback(records->db);
        }
        slower = db_set_durable(records->db, false);
        (void) slower; /* when this fails, further batches are synced too */
        return r;
}

/* --- imports --- */

int records_imports(Records *records, uint32_t after, int (*each)(const RecordsImport *import, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT id, time_ms, file_name, report FROM imports WHERE done = 1 AND id > ?1 ORDER BY id");
        if (r)
                return r;
        db_bind_int(statement, 1, after);
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

int records_rejected(Records *records, uint32_t import, uint32_t first, int (*each)(uint32_t line, const char *reason, const char *row, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(records->db, &statement, "SELECT line, reason, row FROM rejected WHERE import = ?1 AND n >= ?2 ORDER BY n");
        if (r)
                return r;
        db_bind_int(statement, 1, import);
        db_bind_int(statement, 2, first);
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

Place records_place_before(int64_t local_ms) {
        Place place = { .local_ms = local_ms - 1 };

        memset(place.identity, 0xff, sizeof(place.identity));
        return place;
}

bool records_places_equal(const Place *a, const Place *b) {
        return a->local_ms == b->local_ms && memcmp(a->identity, b->identity, sizeof(a->identity)) == 0;
}

void records_seek_after(Records *records, uint8_t kind, const Place *place) {
        db_bind_int(records->after, 1, kind);
        db_bind_int(records->after, 2, place->local_ms);
        db_bind_blob(records->after, 3, place->identity, sizeof(place->identity));
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

void records_cursor_to_kind(RecordsCursor *cursor, const RecordsQuery *query, uint8_t kind) {
        int64_t from_local_ms = query->from_local_ms > RECORD_TIME_MIN_MS ? query->from_local_ms : RECORD_TIME_MIN_MS;
        Place place = records_place_before(from_local_ms);

        while (kind < N_RECORD_KINDS && !(query->kinds & RECORD_KIND_BIT(kind)))
                kind++;
        cursor->kind = kind;
        cursor->ended = kind == N_RECORD_KINDS;
        cursor_set(cursor, &place);
}

/* Return: 0 when the record was taken; 1 or negative errno: reading ends before it. */
static int give(Reading *reading, const Place *place, const Record *record) {
        int r = record ? reading->each(record, reading->userdata) : 0;

        if (r) {
                reading->n_left = 0;
                return r;
        }
        cursor_set(reading->cursor, place);
        return 0;
}

/*
 * Of one identity the latest import comes first. When that was stored it was the first that was said of the record, as nearly
 * all are, or all rows are to be weighed.
 */
static int read_kind(Records *records, Reading *reading, bool *ret_end) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        RecordsCursor *cursor = reading->cursor;
        enum { SEEKING, WEIGHING, GIVEN } state = SEEKING;
        bool seen = false;
        Place begin = { .local_ms = cursor->local_ms }, place;
        int r;

        memcpy(begin.identity, cursor->identity, sizeof(begin.identity));
        records_seek_after(records, cursor->kind, &begin);

        for (;;) {
                bool row = false, end;
                Record record;
                Place next;

                r = db_step(statement, &row);
                if (r)
                        return r;
                if (row) {
                        r = records_read_row(records, statement, cursor->kind, &record);
                        if (r)
                                return r;
                        next.local_ms = record.local_ms;
                        memcpy(next.identity, record.identity, sizeof(next.identity));
                }
                end = !row || next.local_ms >= reading->query->to_local_ms;
                if (seen && state != GIVEN && (end || !records_places_equal(&next, &place))) {
                        r = give(reading, &place, state == WEIGHING ? records_versions_visible(&records->versions) : NULL);
                        if (r)
                                return r < 0 ? r : 0;
                }
                if (end) {
                        *ret_end = true;
                        return 0;
                }
                if (!seen || !records_places_equal(&next, &place)) {
                        if (reading->n_left == 0)
                                return 0;
                        place = next;
                        seen = true;
                        state = SEEKING;
                }
                if (reading->n_left > 0) /* more rows of one identity are read to their end */
                        reading->n_left--;
                if (state == GIVEN || !records_is_done(records, record.import))
                        continue;

                if (state == SEEKING && !records_row_is_further(statement)) {
                        r = give(reading, &place, &record);
                        if (r)
                                return r < 0 ? r : 0;
                        state = GIVEN;
                        continue;
                }
                if (state == SEEKING)
                        records_versions_clear(&records->versions);
                state = WEIGHING;
                r = records_versions_add(&records->versions, &record);
                if (r)
                        return r;
        }
}

int records_read(Records *records, const RecordsQuery *query, RecordsCursor *cursor, size_t n_max,
                 int (*each)(const Record *record, void *userdata), void *userdata) {
        Reading reading = { query, cursor, n_max, each, userdata };
        int r;

        assert(n_max > 0);

        if (!cursor->begun) {
                records_cursor_to_kind(cursor, query, 1);
                cursor->begun = true;
        }
        while (!cursor->ended && reading.n_left > 0) {
                bool end = false;

                r = read_kind(records, &reading, &end);
                if (r)
                        return r;
                if (end)
                        records_cursor_to_kind(cursor, query, (uint8_t) (cursor->kind + 1));
        }
        return 0;
}

int records_check_rest(Records *records) {
        static const char *const counts[] = { "SELECT count(*) FROM again", "SELECT count(*) FROM rejected", "SELECT count(*) FROM sources", "SELECT count(*) FROM imports" };
        int r = 0;

        for (size_t i = 0; i < N_ELEMENTS(counts) && r == 0; i++)
                r = db_execute(records->db, counts[i]);
        return r;
}

void records_count(const Records *records, uint64_t ret[static N_RECORD_KINDS]) {
        for (unsigned i = 0; i < N_RECORD_KINDS; i++)
                ret[i] = records->visible.kinds[i].n_inserted;
}

int records_range(Records *records, bool *ret_any, int64_t *ret_first_local_ms, int64_t *ret_last_local_ms) {
        KindStats range = { 0, INT64_MAX, INT64_MIN };

        for (unsigned i = 1; i < N_RECORD_KINDS; i++)
                records_kind_stats_add(&range, &records->visible.kinds[i]);

        *ret_any = range.first_local_ms <= range.last_local_ms;
        if (*ret_any) {
                *ret_first_local_ms = range.first_local_ms;
                *ret_last_local_ms = range.last_local_ms;
        }
        return 0;
}

int records_hold(Records *records, uint64_t *ret_n_bytes) {
        int r = 0;

        if (db_in_transaction(records->db)) /* rejected rows of the running import */
                r = records->restore ? records_restore_commit(records) : records_commit(records, &records->stats);
        return r != 0 ? r : db_hold(records->db, ret_n_bytes);
}

void records_release(Records *records) {
        db_release(records->db);
}

int records_copy(Records *records, uint64_t at, void *ret, size_t n) {
        return db_copy(records->db, at, ret, n);
}

bool records_must_wait(const Records *records) {
        return db_log_is_long(records->db);
}

void records_release_memory(Records *records) {
        db_release_memory(records->db);
        (void) malloc_trim(0);
}
