/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Encrypted SQLite databases. db.c is the only file that sees SQLCipher's header: it keys every handle before use, reads
 * every setting back (SQLCipher ignores unknown ones silently), and wipes what the library frees.
 *
 * A database is opened by one process alone, without shared memory: beside NAME there is only NAME-wal, and NAME-journal
 * for a moment when the database is made. Nothing is written elsewhere.
 */

#include "daemon/common/secret.h"

typedef struct Db Db;
typedef struct sqlite3_stmt DbStatement;

enum {
        DB_KEY_SIZE = 32,

        /* RECORDS_E_* and CONSENT_E_* begin with the same numbers, so that these are passed up as they are */
        DB_E_KEY = 1, /* not encrypted with this key, or altered */
        DB_E_VERSION, /* schema of a later program */
        DB_E_SETTING, /* a setting was not taken */
        DB_E_FULL,    /* disk full or not writable: the statement or transaction changed nothing */
        DB_E_NOT_FOUND, /* not returned here */
        DB_E_EXISTS,  /* a key or UNIQUE column has this value already */
        DB_E_OLDER,   /* schema of an older program, and no copy of it was kept */
};

typedef struct DbOptions {
        const char *schema;     /* SQL that makes version 1; NULL: take what is there as it is, whatever its version */
        const char *const *migrations; /* SQL that makes version 2 of 1, 3 of 2 ..., NULL at the end; NULL: there are none. Forward only */
        bool kept;              /* one of an older schema has its copy: keep.h */
        unsigned cache_kib;     /* page cache, the plaintext that may be in memory */
        unsigned wal_limit_kib; /* a longer log is cut to this when it starts over */
        bool durable;           /* each commit reaches the disk before it returns; else only in order */
        unsigned cipher;        /* the version that the file's format must have; 0: the one that it has, 3 for a new one */
} DbOptions;

/**
 * db_init() - once per process, before the first use of the library; db_open() does it too. Call it before lockdown:
 * SQLite seeds its generator from /dev/urandom.
 */
must_check int db_init(void);

/**
 * db_open() - open DIR/NAME, or make it (mode 0600) with options->schema
 * @key: DB_KEY_SIZE bytes, borrowed
 *
 * One of an older schema is brought up to date by one transaction, once there is a copy of it, DIR/NAME.before, which stays until it was
 * opened once more.
 *
 * Return: 0; DB_E_KEY, DB_E_VERSION, DB_E_OLDER, DB_E_SETTING, DB_E_FULL; -EBUSY when another process has it; negative errno.
 */
must_check int db_open(Db **ret, const char *dir, const char *name, const Secret *key, const DbOptions *options);
/** db_has_cipher_4() - this machine's SQLCipher is 4.x, which reads and writes both versions of the format; 3.x knows one */
bool db_has_cipher_4(void);
/** db_cipher() - version of the file's format, 3 or 4 */
unsigned db_cipher(const Db *db);
/** db_close() - all statements must be finalized; writes the log back. Accepts NULL, returns NULL */
Db *db_close(Db *db);
DEFINE_CLEANUP(Db *, db_close)

/** db_execute() - statements without parameters or results */
must_check int db_execute(Db *db, const char *sql);
/** db_set_durable() - as DbOptions.durable; outside of a transaction */
must_check int db_set_durable(Db *db, bool durable);

must_check int db_begin(Db *db);
/** db_commit() - when it fails the transaction is rolled back */
must_check int db_commit(Db *db);
/** db_rollback() - also where SQLite has rolled back by itself, and outside of a transaction */
void db_rollback(Db *db);
bool db_in_transaction(const Db *db);

must_check int db_prepare(Db *db, DbStatement **ret, const char *sql);
DbStatement *db_finalize(DbStatement *statement);
DEFINE_CLEANUP(DbStatement *, db_finalize)

/* Parameters count from 1. Bytes are borrowed until db_reset() or db_run(); a NULL pointer binds NULL. */
void db_bind_int(DbStatement *statement, int at, int64_t value);
void db_bind_text(DbStatement *statement, int at, const char *text);
void db_bind_blob(DbStatement *statement, int at, const void *bytes, size_t n);

/** db_step() - @ret_row: false at the end. Any error, and the end, resets the statement */
must_check int db_step(DbStatement *statement, bool *ret_row);
/** db_run() - step to the end and reset, whatever comes of it */
must_check int db_run(DbStatement *statement);
void db_reset(DbStatement *statement);
void db_resetp(DbStatement **statement); /* for cleanup() */

/* Columns count from 0 and are borrowed until the next step or reset. NULL columns give 0 or a NULL pointer. */
int64_t db_column_int(DbStatement *statement, int at);
const void *db_column_blob(DbStatement *statement, int at, size_t *ret_n);
/** db_column_copy() - false when the column has not exactly @n bytes */
bool db_column_copy(DbStatement *statement, int at, void *ret, size_t n);
const char *db_column_text(DbStatement *statement, int at); /* "" for NULL; terminated */

size_t db_n_columns(DbStatement *statement);
/** db_same_row() - both stand on rows of the same columns and values */
bool db_same_row(DbStatement *a, DbStatement *b);
/** db_copy_row() - run @to with the columns of the row where @from stands as parameters */
must_check int db_copy_row(DbStatement *from, DbStatement *to);

int64_t db_last_id(const Db *db);
/** db_n_changes() - rows of the last INSERT, UPDATE or DELETE */
int64_t db_n_changes(const Db *db);

/**
 * db_checkpoint() - copy the log into the database when it is longer than @n_pages_min pages
 *
 * What could not be copied stays in the log, which is no loss: there is nothing to report. Not inside a transaction.
 */
void db_checkpoint(Db *db, unsigned n_pages_min);
/** db_truncate_log() - write all of the log back and cut it to nothing, durably. Not inside a transaction. -EBUSY while held */
must_check int db_truncate_log(Db *db);
/** db_release_memory() - give the page cache back */
void db_release_memory(Db *db);

/*
 * A copy of the encrypted pages while the database is in use. As long as it is held, the log is not written back: what is
 * committed meanwhile stays in the log, and the file itself does not change.
 */

/** db_hold() - write the log back, and no more of it. Not inside a transaction. Return: 0; -EBUSY when not all of it could be; DB_E_*; negative errno */
must_check int db_hold(Db *db, uint64_t *ret_n_bytes);
void db_release(Db *db);
/** db_copy() - @n bytes of the held file from @at, whole pages, as they lie on the disk; DB_E_KEY when one is not as SQLCipher wrote it (version 3 of the format). Read by SQLite's own handle: another one, closed, would take its locks away */
must_check int db_copy(Db *db, uint64_t at, void *ret, size_t n);
/** db_log_is_long() - more waits in the log than is written back in a few ms: whoever writes much should wait for the release */
bool db_log_is_long(const Db *db);
