/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What the libraries can do without us: the same records in the same schema, with nothing around it.
 *
 *   bench-bare insert FRAMES DIR   make DIR/records.db with the core's own schema, then insert the records of an import
 *                                  worker's frames in one transaction; as in the core, each 2,000 are sorted by key
 *   bench-bare plain FRAMES DIR    the same into DIR/plain.db, not encrypted
 *   bench-bare rowid FRAMES DIR    into DIR/rowid.db, not encrypted: a table with a rowid and an index on kind and time
 *   bench-bare query DIR DAYS      read the last days, kind by kind, and print them as NDJSON into memory
 *
 * One JSON object on stdout; reading FRAMES and making the file is not timed.
 */

#include <fcntl.h>
#include <sqlite3.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "daemon/common/frame.h"
#include "daemon/core/records.h"
#include "daemon/core/serialise.h"

/* 32 times 0x42; the settings are those that db.c makes the file with */
#define KEY "PRAGMA key=\"x'4242424242424242424242424242424242424242424242424242424242424242'\"; PRAGMA cipher_page_size=4096;"

/* of the core's table, without its constraints' names */
#define COLUMNS                                                                                              \
        "kind INTEGER NOT NULL, local_ms INTEGER NOT NULL, identity BLOB NOT NULL, import INTEGER NOT NULL," \
        " utc_ms INTEGER NOT NULL, value INTEGER NOT NULL, meta INTEGER NOT NULL, source INTEGER NOT NULL, payload BLOB NOT NULL"

enum { BATCH = 2000 };

static double now_s(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

_Noreturn static void fail(const char *what) {
        fprintf(stderr, "bench-bare: %s\n", what);
        exit(EXIT_FAILURE);
}

/* In a process of its own: records_open() gives SQLite an allocator that wipes, and a bare loop has none. */
static void make_database(const char *dir) {
        cleanup(records_closep) Records *records = NULL;
        cleanup(secret_freep) Secret *key = NULL;
        int status;
        pid_t child = fork();

        if (child == 0) {
                if (chdir(dir) < 0 || (unlink("records.db") < 0 && errno != ENOENT) || (unlink("records.db-wal") < 0 && errno != ENOENT))
                        fail("cannot remove the old database");
                if (secret_new(&key, 32) < 0)
                        fail("out of memory");
                memset(secret_data(key), 0x42, 32);
                if (records_open(&records, ".", key))
                        fail("cannot make the database");
                records = records_close(records);
                exit(EXIT_SUCCESS);
        }
        if (child < 0 || waitpid(child, &status, 0) < 0 || status != 0)
                fail("cannot make the database");
}

static sqlite3 *open_database(const char *dir) {
        char path[4096];
        sqlite3 *db;

        (void) snprintf(path, sizeof(path), "%s/records.db", dir);
        if (sqlite3_open_v2(path, &db, SQLITE_OPEN_READWRITE, NULL) != SQLITE_OK || sqlite3_exec(db, KEY, NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, "SELECT count(*) FROM sqlite_master", NULL, NULL, NULL) != SQLITE_OK)
                fail("cannot open the database");
        return db;
}

/* Packed into one integer as in the core, though not in the same bits. */
static int pack_meta(const Record *record) {
        return record->unit | record->decimals << 4 | record->flags << 8 | record->clock << 16 | (record->offset_min + 1024) << 20;
}

/* The records borrow their payloads from the bytes, which stay. */
static Record *read_records(const char *path, size_t *ret_n) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        FrameBuffer buffer = {0};
        Record *records;
        size_t n = 0;

        if (fd < 0 || fstat(fd, &st) < 0)
                fail("cannot open the frames");
        buffer.bytes = malloc((size_t) st.st_size);
        records = calloc((size_t) st.st_size / FRAME_RECORD_SIZE + 1, sizeof(*records));
        if (!buffer.bytes || !records)
                fail("out of memory");
        while (buffer.n < (size_t) st.st_size) {
                ssize_t r = read(fd, buffer.bytes + buffer.n, (size_t) st.st_size - buffer.n);

                if (r <= 0)
                        fail("cannot read the frames");
                buffer.n += (size_t) r;
        }
        buffer.n_allocated = buffer.n;
        (void) close(fd);

        for (;;) {
                const uint8_t *payload;
                uint32_t type, at;
                size_t n_payload;
                int r = frame_next(&buffer, &type, &payload, &n_payload);

                if (r == FRAME_E_AGAIN)
                        break;
                if (r)
                        fail("not a file of frames");
                if (type != FRAME_IMPORT_RECORD)
                        continue;
                if (frame_get_import_record(&at, &records[n], payload, n_payload))
                        fail("not a record");
                n++;
        }
        *ret_n = n;
        return records;
}

static int compare(const void *a, const void *b) {
        const Record *x = a, *y = b;

        if (x->kind != y->kind)
                return x->kind < y->kind ? -1 : 1;
        if (x->local_ms != y->local_ms)
                return x->local_ms < y->local_ms ? -1 : 1;
        return memcmp(x->identity, y->identity, sizeof(x->identity));
}

/* Not encrypted: what the library writes without a key. */
static sqlite3 *make_plain(const char *dir, bool is_rowid) {
        char path[4096];
        sqlite3 *db;

        (void) snprintf(path, sizeof(path), "%s/%s.db", dir, is_rowid ? "rowid" : "plain");
        (void) unlink(path);
        if (sqlite3_open(path, &db) != SQLITE_OK || sqlite3_exec(db, "PRAGMA page_size=4096", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_exec(db, is_rowid ? "CREATE TABLE records(" COLUMNS "); CREATE INDEX place ON records(kind, local_ms)"
                                      : "CREATE TABLE records(" COLUMNS ", PRIMARY KEY(kind, local_ms, identity, import DESC)) WITHOUT ROWID",
                         NULL, NULL, NULL) != SQLITE_OK)
                fail("cannot make the plain database");
        return db;
}

static void insert(const char *what, const char *frames, const char *dir) {
        sqlite3_stmt *statement;
        sqlite3 *db;
        Record *records;
        size_t n, n_inserted = 0;
        double begin;

        records = read_records(frames, &n);
        if (strcmp(what, "insert") == 0)
                make_database(dir);
        db = strcmp(what, "insert") == 0 ? open_database(dir) : make_plain(dir, strcmp(what, "rowid") == 0);

        begin = now_s();
        if (sqlite3_exec(db, "BEGIN", NULL, NULL, NULL) != SQLITE_OK ||
            sqlite3_prepare_v2(db,
                               "INSERT OR IGNORE INTO records(kind, local_ms, identity, import, utc_ms, value, meta, source, payload)"
                               " VALUES(?,?,?,?,?,?,?,?,?)",
                               -1, &statement, NULL) != SQLITE_OK)
                fail("statement");
        for (size_t at = 0; at < n; at += BATCH)
                qsort(records + at, n - at < BATCH ? n - at : BATCH, sizeof(*records), compare);
        for (size_t i = 0; i < n; i++) {
                const Record *record = &records[i];

                (void) sqlite3_bind_int(statement, 1, record->kind);
                (void) sqlite3_bind_int64(statement, 2, record->local_ms);
                (void) sqlite3_bind_blob(statement, 3, record->identity, RECORD_IDENTITY_SIZE, SQLITE_STATIC);
                (void) sqlite3_bind_int(statement, 4, 1);
                (void) sqlite3_bind_int64(statement, 5, record->utc_ms);
                (void) sqlite3_bind_int(statement, 6, record->value_milli);
                (void) sqlite3_bind_int(statement, 7, pack_meta(record));
                (void) sqlite3_bind_int(statement, 8, (int) record->source);
                (void) sqlite3_bind_blob(statement, 9, record->n_payload > 0 ? (const void *) record->payload : "", (int) record->n_payload,
                                         SQLITE_STATIC);
                if (sqlite3_step(statement) != SQLITE_DONE)
                        fail("insert");
                n_inserted += (size_t) sqlite3_changes(db);
                (void) sqlite3_reset(statement);
        }
        if (sqlite3_exec(db, "COMMIT", NULL, NULL, NULL) != SQLITE_OK)
                fail("commit");
        printf("{\"seconds\":%.6f,\"records\":%zu}\n", now_s() - begin, n_inserted);
        (void) sqlite3_finalize(statement);
        (void) sqlite3_close(db);
        free(records); /* what they borrow goes with the process */
}

static void query(const char *dir, long days) {
        cleanup(text_done) Text text = {0};
        sqlite3_stmt *statement;
        sqlite3 *db = open_database(dir);
        int64_t last;
        size_t n = 0, n_bytes = 0;
        double begin;

        if (sqlite3_prepare_v2(db, "SELECT max(local_ms) FROM records WHERE kind=1", -1, &statement, NULL) != SQLITE_OK ||
            sqlite3_step(statement) != SQLITE_ROW)
                fail("no records");
        last = sqlite3_column_int64(statement, 0);
        (void) sqlite3_finalize(statement);

        begin = now_s();
        if (sqlite3_prepare_v2(db,
                               "SELECT local_ms, utc_ms, value, meta, source, payload FROM records"
                               " WHERE kind=? AND local_ms>=? ORDER BY local_ms, identity",
                               -1, &statement, NULL) != SQLITE_OK)
                fail("statement");
        for (int kind = 1; kind < N_RECORD_KINDS; kind++) {
                (void) sqlite3_bind_int(statement, 1, kind);
                (void) sqlite3_bind_int64(statement, 2, last - days * INT64_C(86400000));
                while (sqlite3_step(statement) == SQLITE_ROW) {
                        int meta = sqlite3_column_int(statement, 3);
                        Record record = {
                                .kind = (uint8_t) kind,
                                .unit = meta & 15,
                                .decimals = meta >> 4 & 15,
                                .flags = (uint8_t) (meta >> 8),
                                .clock = meta >> 16 & 15,
                                .offset_min = (int16_t) ((meta >> 20) - 1024),
                                .value_milli = sqlite3_column_int(statement, 2),
                                .local_ms = sqlite3_column_int64(statement, 0),
                                .utc_ms = sqlite3_column_int64(statement, 1),
                                .source = (uint32_t) sqlite3_column_int(statement, 4),
                                .payload = sqlite3_column_blob(statement, 5),
                                .n_payload = (size_t) sqlite3_column_bytes(statement, 5),
                        };

                        if (serialise_ndjson(&text, &record, "MiniMed 780G MMT-1886", "NG0000042H"))
                                fail("serialise");
                        n++;
                        if (text.n > 65536) {
                                n_bytes += text.n;
                                text_clear(&text);
                        }
                }
                (void) sqlite3_reset(statement);
        }
        printf("{\"seconds\":%.6f,\"records\":%zu,\"bytes\":%zu}\n", now_s() - begin, n, n_bytes + text.n);
        (void) sqlite3_finalize(statement);
        (void) sqlite3_close(db);
}

int main(int argc, char **argv) {
        if (argc == 4 && (strcmp(argv[1], "insert") == 0 || strcmp(argv[1], "plain") == 0 || strcmp(argv[1], "rowid") == 0))
                insert(argv[1], argv[2], argv[3]);
        else if (argc == 4 && strcmp(argv[1], "query") == 0)
                query(argv[2], strtol(argv[3], NULL, 10));
        else
                fail("usage: bench-bare insert|plain|rowid FRAMES DIR | query DIR DAYS");
        return EXIT_SUCCESS;
}
