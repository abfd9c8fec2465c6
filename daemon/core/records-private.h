/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the records module: records.c opens, keeps the sources and reads; records-clocks.c knows which clocks were set; records-import.c stages an import, with
 * records-passes.c for the hours that a clock repeats and records-names.c for devices without a serial; records-versions.c tells what is visible of what several imports said
 * of one record; records-undo.c deletes what is dead and undoes what was done.
 */

#include "db.h"
#include "records.h"

enum {
        RECORDS_WAL_PAGES_MAX = 1024, /* 4 MiB: writing that back takes a few ms */
        RECORDS_AGAIN_MS = 7 * 24 * 60 * 60 * 1000, /* a run of repeated records ends with its week, so that one can be found by its beginning */
        RECORDS_META_FURTHER = 1 << 19, /* a bit of meta: daemon/FORMAT.md */

        STATS_KIND_SIZE = 24,
        STATS_SIZE = STATS_KIND_SIZE * (N_RECORD_KINDS - 1),
};

/* The columns that records_read_row() reads and records_write_row() binds. */
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

typedef RecordsPlace Place;

/* What one import said of a record. */
typedef struct Version {
        Record record;
        uint8_t payload[RECORD_PAYLOAD_MAX];
} Version;

typedef struct Versions {
        Version *all; /* the latest import first, as rows are read */
        size_t n, n_allocated;
} Versions;

/* A row that an import gets in its own right: it said what @from stored, which is going to be undone or may no longer be visible then. */
typedef struct Heir {
        Place place;
        uint32_t from, import;
} Heir;

/* An import that is being undone: where that is, and of how many records nothing will be left. */
typedef struct Undo {
        uint32_t import; /* 0: none */
        uint8_t kind;
        Place place;
        Heir *heirs; /* of one step */
        size_t n_heirs, n_heirs_allocated;
        Stats stats;
        uint64_t n_orphans[N_RECORD_KINDS];
} Undo;

typedef struct RecordsRestore RecordsRestore;

struct Records {
        Db *db;
        Zones *zones; /* borrowed; NULL: times are as they were stored */
        Clocks clocks;
        bool has_clocks; /* they are those of what is done now */
        DbStatement *insert;
        DbStatement *replace;
        DbStatement *after;  /* rows of a kind behind (local_ms, identity) */
        DbStatement *from;   /* the same, with it */
        DbStatement *remove;
        DbStatement *reject;
        DbStatement *touch;  /* an import's stats */
        DbStatement *again;
        DbStatement *repeats; /* imports behind one that have a record again */
        DbStatement *inherit;
        Undo undo;
        Versions versions; /* of whoever looks at one record right now */

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
        RecordsRestore *restore; /* in its place: all imports of another wallet; NULL: none */
        int failed; /* what the running import's first failure was: it cannot be finished with a part missing */

        bool has_old;  /* a table that is written anew elsewhere, and goes */
        bool clean;    /* no dead import is left: cancelled, or running when the program ended */
        uint32_t dead; /* the one that is being deleted, or 0; and how far that is */
        uint8_t dead_kind;
        Place dead_place;
        Stats dead_stats;
};

/* Numbers of an import. */
void records_stats_clear(Stats *stats);
void records_stats_add(Stats *to, const Stats *more);
void records_kind_stats_add(KindStats *to, const KindStats *more);
/** records_stats_write() - as imports.stats has them: daemon/FORMAT.md */
void records_stats_write(uint8_t bytes[static STATS_SIZE], const Stats *stats);
void records_stats_read(Stats *ret, const uint8_t bytes[static STATS_SIZE]);

bool records_is_done(const Records *records, uint32_t import);
/** records_reserve_done() - room first, so that records_set_done() cannot fail once the commit is made */
must_check int records_reserve_done(Records *records, uint32_t import);
void records_set_done(Records *records, uint32_t import);
/** records_load_visible() - the numbers of all that is done, again: without an import that was undone, ranges may have shrunk */
must_check int records_load_visible(Records *records);

/** records_load_stats() - what the import stored */
must_check int records_load_stats(Records *records, uint32_t import, Stats *ret);
/** records_widen_stats() - what the import stored, and now also the rows in @more */
must_check int records_widen_stats(Records *records, uint32_t import, const Stats *more);
/** records_fold() - an error for callers that only get an errno */
int records_fold(int r);

/** records_new_table() - an empty records_new. Errors of db.h */
must_check int records_new_table(Records *records);
/** records_rebuild_leftovers() - what a rebuild that did not end left is to be emptied */
must_check int records_rebuild_leftovers(Records *records);
/** records_empty_old_step() - as records_cleanup_step() */
must_check int records_empty_old_step(Records *records);

/** records_restore_commit() - what came until now, invisible still */
must_check int records_restore_commit(Records *records);
void records_restore_cancel(Records *records);

/** records_compare_place() - the order of rows: kind, local time, identity */
int records_compare_place(const Record *a, const Record *b);
/** records_store_again() - into the running transaction */
must_check int records_store_again(Records *records, const RecordsAgain *again);
must_check int records_add_source(Records *records, const RecordsSource *source);
must_check int records_store_new_sources(Records *records);
void records_drop_new_sources(Records *records);

/** records_clocks() - those of what is done, borrowed */
must_check int records_clocks(Records *records, const Clocks **ret);
/** records_cursor_to_kind() - to the beginning of this kind, or of the next one that is asked for */
void records_cursor_to_kind(RecordsCursor *cursor, const RecordsQuery *query, uint8_t kind);

/** records_read_row() - RECORD_COLUMNS; the payload is borrowed from the statement. UTC is what the wallet's zones say today. */
must_check int records_read_row(Records *records, DbStatement *statement, uint8_t kind, Record *ret);
/** records_row_is_further() - when it was stored another import had said something of the record: versions are to be weighed */
bool records_row_is_further(DbStatement *statement);
must_check int records_write_row(DbStatement *statement, const Record *record, uint32_t import, bool is_further);
/** records_storable() - what the layout can hold and the queries rely on; record_valid() is the caller's, at the boundary */
bool records_storable(const Record *record);

/** records_settle() - a change for good: one transaction, on the disk before this returns, and all that was committed before it too */
must_check int records_settle(Records *records, int (*change)(Records *records, const void *userdata), const void *userdata);
/** records_commit() - @stats: what the running import will have stored; its row says it, so that a cleanup knows where to look */
must_check int records_commit(Records *records, const Stats *stats);
enum {
        IDENTITY_EPOCH_AT = 8,
        IDENTITY_ORDINAL_AT = 10,
        IDENTITY_DISCRIMINATOR_AT = 12,
};

/** records_find_under_other_name() - give records of a legacy export the identities that one with or without a preamble had for the same rows; @batch is not sorted any more where *@ret_changed */
must_check int records_find_under_other_name(Records *records, Record *batch, size_t n_batch, bool *ret_changed);

/**
 * records_tell_passes_apart() - give records of an hour that the clock repeats the identities of the ones that they are copies of
 * @batch:       sorted; not any more where *@ret_changed
 * @is_repeated: by index: there are records of another epoch, so that one that says nothing of its pass may be of it too
 */
must_check int records_tell_passes_apart(Records *records, Record *batch, size_t n_batch, const bool *is_repeated, bool *ret_changed);

/** records_adds_nothing() - whether @more says nothing that @now does not; UTC and offset follow from the time, the zones and the pass */
bool records_adds_nothing(const Record *now, const Record *more);
/** records_are_equal() - whether two records of one identity are the same in all that is stored of them but for what the zones say */
bool records_are_equal(const Record *a, const Record *b);
/** records_later() - what is visible once an import says @more (NULL: nothing) where @now (NULL: nothing) is visible */
const Record *records_later(const Record *now, const Record *more);

void records_versions_clear(Versions *versions);
void records_versions_done(Versions *versions);
/** records_versions_add() - a copy of a row of the identity, later imports first. Return: 0; RECORDS_E_KEY; -ENOMEM */
must_check int records_versions_add(Versions *versions, const Record *row);
/** records_versions_visible() - borrowed until the next add or clear; NULL when there is none */
const Record *records_versions_visible(const Versions *versions);

/** records_place_before() - the place before all of a kind that are at or after @local_ms */
Place records_place_before(int64_t local_ms);
bool records_places_equal(const Place *a, const Place *b);
/** records_seek_after() - @place: borrowed while the statement runs: what it is compared with is read again for each row */
void records_seek_after(Records *records, uint8_t kind, const Place *place);
