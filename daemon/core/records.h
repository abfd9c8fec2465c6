/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * records.db: the patient's records, staged imports, and the queries that everything reads through.
 *
 * One table, primary key (kind, local_ms, identity, import), WITHOUT ROWID. What another import says of a record is a
 * further row of the same identity; what is visible follows from the rows of the imports that are done, in their order.
 * So nothing is ever updated, an import becomes visible by one small commit, and undoing one is as if it had never been.
 */

#include "daemon/common/clocks.h"
#include "daemon/common/secret.h"
#include "policy/record.h"

typedef struct Records Records;

enum {
        RECORDS_BATCH_MAX = 2000, /* rows in one records_import_batch() at most; see records_batch_size() */
        RECORDS_REJECTS_MAX = 10000, /* rejected rows of an import that are kept */

        RECORDS_E_KEY = 1,   /* not encrypted with this key, or altered */
        RECORDS_E_VERSION,   /* schema of a later program */
        RECORDS_E_SETTING,   /* SQLCipher did not take a setting (it ignores unknown ones silently) */
        RECORDS_E_FULL,      /* disk full: nothing was changed */
        RECORDS_E_NOT_FOUND,
        RECORDS_E_OLDER = 7, /* written by an older program: first a copy, then records_open_kept() */
        RECORDS_E_NOT_EMPTY,
};

/** records_open() - open or create DIR/records.db; blocks for a few ms. @dir: path of the state directory */
must_check int records_open(Records **ret, const char *dir, const Secret *key);
/** records_open_kept() - the same; one of an older schema, of which keep.h made a copy, is brought up to date */
must_check int records_open_kept(Records **ret, const char *dir, const Secret *key);
/** records_close() - checkpoint, close; accepts NULL, returns NULL */
Records *records_close(Records *records);
DEFINE_CLEANUP(Records *, records_close)

/**
 * records_set_zones() - by which wall clocks become UTC
 * @zones: borrowed until records_close() or the next call; NULL: times are given as they were stored
 *
 * UTC, offset and clock of a record are not what an import stored but what its device time, what is known of its pass, all
 * that is known of clocks that were set, and these zones say when it is read: other zones are one pointer, whatever the
 * number of records.
 */
void records_set_zones(Records *records, Zones *zones);

/** records_clocks_by() - the clocks that were set, by other zones: for clocks_place(). Return: 0; negative errno */
must_check int records_clocks_by(Records *records, Zones *zones, Clocks *ret);

/* --- sources --- */
typedef struct RecordsSource {
        uint32_t id;
        uint8_t device_key[8];
        char model[96];
        char serial[64];
        char section[32];
} RecordsSource;

/** records_source_find_or_add() - the wallet's id of a device; part of the running import's transaction */
must_check int records_source_find_or_add(Records *records, RecordsSource *source_io);
/** records_source() - borrowed until records_close(); NULL when there is none. Held in memory: a wallet has few. */
const RecordsSource *records_source(const Records *records, uint32_t id);
size_t records_n_sources(const Records *records);

/* --- imports --- */
typedef struct RecordsCounts {
        uint64_t n_inserted[N_RECORD_KINDS];
        uint64_t n_duplicates[N_RECORD_KINDS]; /* adds nothing to what is visible already */
        uint64_t n_superseded[N_RECORD_KINDS]; /* same identity, other content: the new one is shown from now on */
} RecordsCounts;

/** records_import_begin() - a new import, invisible until records_import_finish(); one at a time */
must_check int records_import_begin(Records *records, const char *file_name, int64_t now_utc_ms, uint32_t *ret_import);
/**
 * records_import_batch() - store up to RECORDS_BATCH_MAX records
 * @batch: sorted in place by primary key; identity and source are set by the caller, import by this
 * @counts: added to
 * A record equal in identity to one earlier in the same import: if equal in content it is a duplicate, else the later one counts.
 */
must_check int records_import_batch(Records *records, Record *batch, size_t n_batch, RecordsCounts *counts);
/**
 * records_batch_size() - how many rows the next batch should have, so that it takes about 10 ms; at most RECORDS_BATCH_MAX
 *
 * Rows in the order of time go in at 2 us each, rows scattered over a large wallet at 50 us and more.
 */
size_t records_batch_size(const Records *records);
/** records_import_reject() - keep a rejected row in the import's report; at most 10,000 are kept, all are counted */
must_check int records_import_reject(Records *records, uint32_t line, const char *reason, const char *row);
/** records_import_finish() - one small durable commit makes it visible. @report_json: kept with the import. When a batch or a rejected row failed, that error: it can only be cancelled */
must_check int records_import_finish(Records *records, const char *report_json);
/** records_import_cancel() - it will be deleted in steps by records_cleanup_step() */
void records_import_cancel(Records *records);
/** records_cleanup_step() - delete some rows of cancelled or interrupted imports. Return: 1 more to do, 0 clean, negative errno. At most 10 ms. */
must_check int records_cleanup_step(Records *records);

/**
 * records_undo_begin() - take back a finished import; no other may be running
 *
 * Afterwards the wallet is what importing the others alone would have made of it, to the last bit of each record. Until the
 * last step nothing of it can be seen, and then all of it. Return: 0; RECORDS_E_NOT_FOUND.
 */
must_check int records_undo_begin(Records *records, uint32_t import);
/** records_undo_step() - Return: 1 more to do; 0 it is undone, durably; negative errno: not undone. At most 10 ms. Rows are deleted by records_cleanup_step(). */
must_check int records_undo_step(Records *records);
void records_undo_cancel(Records *records);

/* Within a kind. */
typedef struct RecordsPlace {
        int64_t local_ms;
        uint8_t identity[RECORD_IDENTITY_SIZE];
} RecordsPlace;

typedef struct RecordsName {
        uint8_t kind;
        RecordsPlace place;
} RecordsName;

/* What is to be forgotten for good; of import, sources and time one is given. Zero what follows to begin. */
typedef struct RecordsForget {
        uint32_t import; /* 0: not by import. Only to count: an import is undone, and then cleaned up */
        bool *sources;   /* by id - 1, malloc'd; NULL: not by source */
        size_t n_sources;
        int64_t from_local_ms, to_local_ms; /* inclusive, exclusive */
        RecordsName *names; /* malloc'd; NULL: not by name. Sorted by the first step */
        size_t n_names;
        bool dry;        /* count only */

        uint64_t n_records[N_RECORD_KINDS]; /* that something was said of that goes */
        uint8_t kind; /* where it stands */
        RecordsPlace place;
        uint8_t *touched; /* bit per import that lost a row */
        size_t n_touched;
} RecordsForget;

/** records_forget_step() - Return: 1 more to do; 0; negative errno: what was deleted until then stays deleted. At most 10 ms. No import, no undo may run. */
must_check int records_forget_step(Records *records, RecordsForget *forget);
/* Zero it to begin. */
typedef struct RecordsRebuild {
        uint8_t kind;
        RecordsPlace place;
} RecordsRebuild;

/** records_rebuild_step() - write the table anew: copies of deleted rows in its pages' free space go. As records_forget_step() */
must_check int records_rebuild_step(Records *records, RecordsRebuild *rebuild);
bool records_forget_touched(const RecordsForget *forget, uint32_t import);
/** records_forget_report() - an import lost rows: what it kept of rejected ones goes, and its report is another. negative errno */
must_check int records_forget_report(Records *records, uint32_t import, const char *report_json);
/** records_forget_finish() - durable: ranges and sources say nothing of what is gone, and the log holds no page of before. negative errno */
must_check int records_forget_finish(Records *records, const RecordsForget *forget);
void records_forget_done(RecordsForget *forget);

typedef struct RecordsImport {
        uint32_t id;
        int64_t time_utc_ms;
        const char *file_name;   /* borrowed for the callback */
        const char *report_json;
} RecordsImport;
/** records_imports() - those that are done, with a number above @after; each returns 0 to go on */
must_check int records_imports(Records *records, uint32_t after, int (*each)(const RecordsImport *import, void *userdata), void *userdata);
/** records_rejected() - the rows kept by records_import_reject(), from number @first (0) on, in their order; each returns 0 to go on */
must_check int records_rejected(Records *records, uint32_t import, uint32_t first, int (*each)(uint32_t line, const char *reason, const char *row, void *userdata), void *userdata);

/** records_last_import() - number of the latest import that is done; 0: none */
uint32_t records_last_import(const Records *records);

/* --- everything: all that is stored of the imports that are done, out of one wallet and into another --- */

/* Where it stands. Zero it to begin. */
typedef struct RecordsRowCursor {
        bool ended;
        uint8_t kind;
        RecordsPlace place;
        size_t n_given; /* rows of that one record */
} RecordsRowCursor;

/**
 * records_rows() - what each import said, visible or not, by kind, local time, identity, then the latest import first
 * @last_import: of later ones nothing
 * @each, @n_max, return: as records_read(). No undo and no forgetting between calls
 */
must_check int records_rows(Records *records, RecordsRowCursor *cursor, uint32_t last_import, size_t n_max,
                            int (*each)(const Record *record, void *userdata), void *userdata);

/* Of this stretch the import said exactly what was visible: daemon/FORMAT.md, "records.db". */
typedef struct RecordsAgain {
        uint8_t kind;
        uint32_t import;
        RecordsPlace from, to;
} RecordsAgain;

/** records_again() - the stretches behind *at_io, which is zeroed to begin and moves on; each returns 0 to go on. Return: 0; RECORDS_E_*; what each returned */
must_check int records_again(Records *records, RecordsAgain *at_io, uint32_t last_import, size_t n_max, bool *ret_end,
                             int (*each)(const RecordsAgain *again, void *userdata), void *userdata);

/**
 * records_restore_begin() - in the place of the import that was just begun, the imports of another wallet with all that they had
 *
 * Then sources, each import followed by its rejected rows and its report, stretches, rows: each in the order in which they are
 * given out above. Nothing of it is visible until records_restore_finish(); records_import_cancel() gives it up.
 *
 * Return: 0; RECORDS_E_NOT_EMPTY: something was imported into this wallet, or is still being cleared up. All of them: RECORDS_E_*,
 * negative errno; -EINVAL: it can't be so.
 */
must_check int records_restore_begin(Records *records);
must_check int records_restore_source(Records *records, const RecordsSource *source);
must_check int records_restore_import(Records *records, const RecordsImport *import); /* but for its report */
must_check int records_restore_rejected(Records *records, uint32_t line, const char *reason, const char *row);
must_check int records_restore_report(Records *records, const char *report_json);
must_check int records_restore_again(Records *records, const RecordsAgain *again);
must_check int records_restore_row(Records *records, const Record *record);
/** records_restore_finish() - one durable commit. Its time grows with the number of imports: 1,000 take about 15 ms */
must_check int records_restore_finish(Records *records);

/* --- reading --- */
typedef struct RecordsQuery {
        uint32_t kinds;        /* RECORD_KIND_BIT()s */
        int64_t from_local_ms; /* inclusive */
        int64_t to_local_ms;   /* exclusive */
} RecordsQuery;

/* Where a query stands. Zero it to begin. No statement stays open between calls. */
typedef struct RecordsCursor {
        bool begun, ended;
        uint8_t kind;
        int64_t local_ms;
        uint8_t identity[RECORD_IDENTITY_SIZE];
} RecordsCursor;

/**
 * records_read() - visible records after the cursor, by kind, then local time, then identity
 * @each:   record is borrowed for the call; returns 0 to go on, > 0 to stop before this record (it will come again), < 0 an error passed up
 * @n_max:  at most so many rows are read from the database: bounds the time (10,000 rows: about 10 ms)
 *
 * Return: 0 (cursor->ended says whether there is more); negative errno; RECORDS_E_KEY on a damaged page.
 */
must_check int records_read(Records *records, const RecordsQuery *query, RecordsCursor *cursor, size_t n_max,
                            int (*each)(const Record *record, void *userdata), void *userdata);

/* Records that can't be read stand between these two, which can; INT64_MAX: and the end. Device time. */
typedef struct RecordsGap {
        uint8_t kind;
        int64_t from_local_ms, to_local_ms;
} RecordsGap;
/** records_step_over() - where records_read() came to RECORDS_E_KEY or -EIO: put the cursor behind what can't be read. About 1 ms */
void records_step_over(Records *records, const RecordsQuery *query, RecordsCursor *cursor, RecordsGap *ret);

/** records_check_rest() - read what records_read() does not come by. Return: 0; RECORDS_E_KEY: damaged. About 10 ms */
must_check int records_check_rest(Records *records);
/** records_count() - visible records per kind; held in memory and kept up to date by finish; @ret[kind] */
void records_count(const Records *records, uint64_t ret[static N_RECORD_KINDS]);
/** records_range() - earliest and latest local_ms of all visible records; false when there are none */
must_check int records_range(Records *records, bool *ret_any, int64_t *ret_first_local_ms, int64_t *ret_last_local_ms);
/*
 * A copy of the file's encrypted pages, as of records_hold(), while all else goes on: db.h. One at a time.
 */
must_check int records_hold(Records *records, uint64_t *ret_n_bytes);
void records_release(Records *records);
must_check int records_copy(Records *records, uint64_t at, void *ret, size_t n);
/** records_must_wait() - an import should wait until records_release(): the log is long enough */
bool records_must_wait(const Records *records);

/** records_release_memory() - give page caches back after bulk work */
void records_release_memory(Records *records);
