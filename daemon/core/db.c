/* SPDX-License-Identifier: Apache-2.0 */

#include "db.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <malloc.h>
#include <sodium.h>

#define SQLITE_HAS_CODEC 1
#include <sqlite3.h>

#include "pages.h"

enum {
        PAGE_SIZE = 4096,
        RAW_KEY_SIZE = 3 + 2 * DB_KEY_SIZE + 1, /* x'...' and a terminator */
        LONG_LOG_PAGES = 2048,                  /* 8 MiB: writing that back takes 10 ms */
};

struct Db {
        sqlite3 *handle;
        unsigned cipher; /* version of the file's format: 3 or 4 */
        unsigned n_wal_pages;
        bool is_held;
        Secret *key;     /* a copy */
        Secret *mac_key; /* of the pages, while it is held; NULL: they are not looked at */
};

/* --- memory: what SQLite frees has held rows --- */

static void *wiping_malloc(int n) {
        return malloc((size_t) n);
}

static void wiping_free(void *memory) {
        if (memory) {
                explicit_bzero(memory, malloc_usable_size(memory));
                free(memory);
        }
}

static int wiping_size(void *memory) {
        return memory ? (int) malloc_usable_size(memory) : 0;
}

static void *wiping_realloc(void *memory, int n) {
        size_t n_old = malloc_usable_size(memory);
        void *moved;

        if ((size_t) n <= n_old)
                return memory;

        moved = malloc((size_t) n);
        if (moved) {
                memcpy(moved, memory, n_old);
                wiping_free(memory);
        }
        return moved;
}

static int wiping_roundup(int n) {
        return (n + 7) & ~7;
}

static int wiping_init(void *userdata) {
        (void) userdata;
        return SQLITE_OK;
}

static void wiping_shutdown(void *userdata) {
        (void) userdata;
}

/* --- memory of the cipher: SQLCipher 3.4 does not look whether OpenSSL did what it was asked, and would write a page that nobody can read --- */

static void *cipher_has(void *memory, size_t n) {
        static const char text[] = "carewalletd: out of memory while encrypting: ended before a page is written that nobody can read\n";

        if (!memory && n > 0) {
                ssize_t l = write(STDERR_FILENO, text, sizeof(text) - 1);

                (void) l;
                _exit(EXIT_FAILURE);
        }
        return memory;
}

static void *cipher_malloc(size_t n, const char *file, int line) {
        (void) file;
        (void) line;
        return cipher_has(malloc(n), n);
}

static void *cipher_realloc(void *memory, size_t n, const char *file, int line) {
        (void) file;
        (void) line;
        return cipher_has(realloc(memory, n), n);
}

static void cipher_free(void *memory, const char *file, int line) {
        (void) file;
        (void) line;
        free(memory);
}

/* By its name, as SQLCipher brings it: the core is not linked with OpenSSL itself. Where that has another one, nothing is lost. */
static void guard_cipher(void) {
        int (*set)(void *(*)(size_t, const char *, int), void *(*)(void *, size_t, const char *, int), void (*)(void *, const char *, int));

        *(void **) &set = dlsym(RTLD_DEFAULT, "CRYPTO_set_mem_functions");
        if (set && set(cipher_malloc, cipher_realloc, cipher_free) != 1)
                fputs("carewalletd: OpenSSL was used before its memory could be guarded\n", stderr);
}

int db_init(void) {
        static const sqlite3_mem_methods wiping = {
                .xMalloc = wiping_malloc,
                .xFree = wiping_free,
                .xRealloc = wiping_realloc,
                .xSize = wiping_size,
                .xRoundup = wiping_roundup,
                .xInit = wiping_init,
                .xShutdown = wiping_shutdown,
        };
        static bool done;
        uint8_t random;

        if (done)
                return 0;
        guard_cipher();
        if (sqlite3_config(SQLITE_CONFIG_SINGLETHREAD) != SQLITE_OK ||
            sqlite3_config(SQLITE_CONFIG_MEMSTATUS, 0) != SQLITE_OK ||
            sqlite3_config(SQLITE_CONFIG_MALLOC, &wiping) != SQLITE_OK ||
            sqlite3_initialize() != SQLITE_OK)
                return -ENOTRECOVERABLE;

        sqlite3_randomness(sizeof(random), &random);
        done = true;
        return 0;
}

static int map_error(int r) {
        switch (r & 0xff) {
        case SQLITE_OK:
                return 0;
        case SQLITE_NOTADB:
        case SQLITE_CORRUPT:
        case SQLITE_ERROR: /* what SQLCipher makes of a page whose MAC is wrong; mistakes in our SQL are found by tests */
                return DB_E_KEY;
        case SQLITE_FULL:
        case SQLITE_READONLY:
        case SQLITE_CANTOPEN:
                return DB_E_FULL;
        case SQLITE_IOERR:
                if (r == SQLITE_IOERR_NOMEM)
                        return -ENOMEM;
                return r == SQLITE_IOERR_READ || r == SQLITE_IOERR_SHORT_READ ? -EIO : DB_E_FULL;
        case SQLITE_CONSTRAINT:
                return DB_E_EXISTS;
        case SQLITE_NOMEM:
                return -ENOMEM;
        case SQLITE_BUSY:
                return -EBUSY;
        case SQLITE_TOOBIG:
                return -EMSGSIZE;
        default:
                return -ENOTRECOVERABLE;
        }
}

/* --- opening --- */

/* SQLite would make the file with the umask's mode, and the log takes its mode from the file. */
static int make_file(const char *path) {
        int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);

        if (fd < 0)
                return errno == ENOSPC || errno == EDQUOT || errno == EROFS ? DB_E_FULL : -errno;
        (void) close_fd(fd);
        return 0;
}

/* As the raw key itself: no derivation, and no statement that holds it. */
static int give_key(Db *db, const Secret *key) {
        cleanup(secret_freep) Secret *raw = NULL;
        char *text;
        int r;

        r = secret_new(&raw, RAW_KEY_SIZE);
        if (r < 0)
                return r;
        text = (char *) secret_data(raw);
        memcpy(text, "x'", 2);
        (void) sodium_bin2hex(text + 2, RAW_KEY_SIZE - 2, secret_data(key), DB_KEY_SIZE);
        text[RAW_KEY_SIZE - 2] = '\''; /* where the terminator was */

        return map_error(sqlite3_key_v2(db->handle, "main", text, RAW_KEY_SIZE - 1));
}

static int read_setting(Db *db, const char *name, char *ret, size_t n_ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        char sql[64];
        bool row = false;
        int r;

        (void) snprintf(sql, sizeof(sql), "PRAGMA %s", name);
        r = db_prepare(db, &statement, sql);
        if (r)
                return r;
        r = db_step(statement, &row);
        if (r)
                return r;
        (void) snprintf(ret, n_ret, "%s", row ? db_column_text(statement, 0) : "");
        return 0;
}

static int set(Db *db, const char *name, const char *value) {
        char sql[64], now[32];
        int r;

        (void) snprintf(sql, sizeof(sql), "PRAGMA %s=%s", name, value);
        r = db_execute(db, sql);
        if (r)
                return r;
        r = read_setting(db, name, now, sizeof(now));
        if (r)
                return r;
        return strcmp(value, now) == 0 ? 0 : DB_E_SETTING;
}

static int set_number(Db *db, const char *name, long value) {
        char text[32];

        (void) snprintf(text, sizeof(text), "%ld", value);
        return set(db, name, text);
}

bool db_has_cipher_4(void) {
        return sqlite3_libversion_number() >= 3025000; /* SQLCipher 4.0.0 came on SQLite 3.25.2, 3.4.2 on 3.20.1 */
}

/*
 * Version 3 of the format, which 3.4.1 and 4.x both read and write; in no other order do both find the same pages. Version 4 is
 * what the patient may choose where all machines have 4.x.
 */
static int set_format(Db *db, unsigned cipher) {
        char text[64];
        int r;

        if (cipher > 3 && !db_has_cipher_4())
                return DB_E_SETTING;

        r = read_setting(db, "cipher_version", text, sizeof(text));
        if (r)
                return r;
        if (text[0] < '3' || text[0] > '9')
                return DB_E_SETTING; /* plain SQLite answers nothing */
        if (text[0] > '3') {
                r = db_execute(db, "PRAGMA cipher_log_level=NONE"); /* it would write to stderr */
                if (!r)
                        r = db_execute(db, cipher == 3 ? "PRAGMA cipher_compatibility=3" : "PRAGMA cipher_compatibility=4");
                if (r)
                        return r;
                r = read_setting(db, "cipher_hmac_algorithm", text, sizeof(text)); /* it cannot be read back itself */
                if (r)
                        return r;
                if (strcmp(text, cipher == 3 ? "HMAC_SHA1" : "HMAC_SHA512") != 0)
                        return DB_E_SETTING;
        }
        return set_number(db, "cipher_page_size", PAGE_SIZE);
}

static int set_schema(Db *db, const char *path, const DbOptions *options) {
        cleanup(freep) char *before = NULL;
        char version[32], sql[64];
        unsigned now = 0, last = 1;
        int r;

        while (options->migrations && options->migrations[last - 1])
                last++;
        r = read_setting(db, "user_version", version, sizeof(version));
        if (r)
                return r;
        for (; now <= last; now++) {
                (void) snprintf(sql, sizeof(sql), "%u", now);
                if (strcmp(version, sql) == 0)
                        break;
        }
        if (now > last)
                return DB_E_VERSION;
        if (asprintf(&before, "%s.before", path) < 0) {
                before = NULL;
                return -ENOMEM;
        }
        if (now == last) {
                (void) unlink(before);
                return 0;
        }
        if (now > 0 && !options->kept)
                return DB_E_OLDER;

        r = db_begin(db);
        if (r)
                return r;
        if (now == 0) {
                r = db_execute(db, options->schema);
                now = 1;
        }
        for (; !r && now < last; now++)
                r = db_execute(db, options->migrations[now - 1]);
        (void) snprintf(sql, sizeof(sql), "PRAGMA user_version=%u", last);
        if (!r)
                r = db_execute(db, sql);
        if (r) {
                db_rollback(db);
                return r;
        }
        return db_commit(db);
}

static int count_wal_pages(void *userdata, sqlite3 *handle, const char *name, int n_pages) {
        Db *db = userdata;

        (void) handle;
        (void) name;
        db->n_wal_pages = (unsigned) n_pages;
        return SQLITE_OK;
}

/* Keyed, and read once: DB_E_KEY, and the handle is closed again, when the format or the key is another. */
static int open_handle(Db *db, const char *path, const Secret *key, unsigned cipher) {
        int r;

        r = map_error(sqlite3_open_v2(path, &db->handle, SQLITE_OPEN_READWRITE, NULL));
        if (!r)
                (void) sqlite3_extended_result_codes(db->handle, 1);
        if (!r)
                r = give_key(db, key);
        if (!r)
                r = set_format(db, cipher);
        if (!r) /* before the first read: then there is no shared memory file */
                r = set(db, "locking_mode", "exclusive");
        if (!r)
                r = db_execute(db, "SELECT count(*) FROM sqlite_master");
        if (r) {
                (void) sqlite3_close(db->handle);
                db->handle = NULL;
                return r;
        }
        db->cipher = cipher;
        return 0;
}

int db_open(Db **ret, const char *dir, const char *name, const Secret *key, const DbOptions *options) {
        cleanup(db_closep) Db *db = NULL;
        cleanup(freep) char *path = NULL;
        int r;

        assert(ret);
        assert(secret_size(key) == DB_KEY_SIZE);

        r = db_init();
        if (r)
                return r;
        if (asprintf(&path, "%s/%s", dir, name) < 0) {
                path = NULL;
                return -ENOMEM;
        }
        r = make_file(path);
        if (r)
                return r;
        db = calloc(1, sizeof(*db));
        if (!db)
                return -ENOMEM;

        r = secret_new(&db->key, DB_KEY_SIZE);
        if (r)
                return r;
        memcpy(secret_data(db->key), secret_data(key), DB_KEY_SIZE);
        r = open_handle(db, path, key, options->cipher ? options->cipher : 3);
        if (r == DB_E_KEY && !options->cipher && db_has_cipher_4())
                r = open_handle(db, path, key, 4);
        if (r)
                return r;

        r = set(db, "journal_mode", "wal");
        if (r)
                return r;
        r = set_number(db, "temp_store", 2); /* memory */
        if (r)
                return r;
        r = set_number(db, "mmap_size", 0);
        if (r)
                return r;
        r = set_number(db, "secure_delete", 1);
        if (r)
                return r;
        r = set_number(db, "foreign_keys", 0);
        if (r)
                return r;
        r = set_number(db, "wal_autocheckpoint", 0); /* see db_checkpoint() */
        if (r)
                return r;
        r = set_number(db, "journal_size_limit", (long) options->wal_limit_kib * 1024);
        if (r)
                return r;
        r = set_number(db, "cache_size", -(long) options->cache_kib);
        if (r)
                return r;
        r = db_set_durable(db, options->durable);
        if (r)
                return r;
        (void) sqlite3_wal_hook(db->handle, count_wal_pages, db);

        r = options->schema ? set_schema(db, path, options) : 0;
        if (r)
                return r;

        *ret = take_ptr(db);
        return 0;
}

Db *db_close(Db *db) {
        if (db) {
                int r = sqlite3_close(db->handle);

                assert(r == SQLITE_OK); /* else a statement was left */
                (void) secret_free(db->key);
                (void) secret_free(db->mac_key);
                free(db);
        }
        return NULL;
}

unsigned db_cipher(const Db *db) {
        return db->cipher;
}

/* --- statements --- */

int db_execute(Db *db, const char *sql) {
        return map_error(sqlite3_exec(db->handle, sql, NULL, NULL, NULL));
}

int db_set_durable(Db *db, bool durable) {
        assert(!db_in_transaction(db));

        return set_number(db, "synchronous", durable ? 2 : 1); /* FULL, NORMAL */
}

int db_begin(Db *db) {
        return db_execute(db, "BEGIN");
}

/*
 * A commit whose sync failed stands whole in the log, and a crash would make it count though it was refused. What is written next
 * takes its place: a commit that changes nothing.
 */
static void write_over(Db *db) {
        char version[32], sql[64];
        int r;

        r = read_setting(db, "user_version", version, sizeof(version));
        if (r != 0)
                return;
        (void) snprintf(sql, sizeof(sql), "PRAGMA user_version=%s", version);
        r = db_execute(db, sql);
        (void) r; /* its sync may fail as the other one did: it stands in the log all the same */
}

int db_commit(Db *db) {
        int r;

        assert(db_in_transaction(db));

        r = db_execute(db, "COMMIT");
        if (r == 0)
                return 0;
        db_rollback(db);
        if (sqlite3_extended_errcode(db->handle) == SQLITE_IOERR_FSYNC)
                write_over(db);
        return r;
}

void db_rollback(Db *db) {
        if (db_in_transaction(db))
                (void) sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
}

bool db_in_transaction(const Db *db) {
        return !sqlite3_get_autocommit(db->handle);
}

int db_prepare(Db *db, DbStatement **ret, const char *sql) {
        return map_error(sqlite3_prepare_v2(db->handle, sql, -1, ret, NULL));
}

DbStatement *db_finalize(DbStatement *statement) {
        (void) sqlite3_finalize(statement);
        return NULL;
}

/* Nothing is copied and nothing converted: binding can only fail for a wrong index. */
void db_bind_int(DbStatement *statement, int at, int64_t value) {
        int r = sqlite3_bind_int64(statement, at, value);

        assert(r == SQLITE_OK);
}

void db_bind_text(DbStatement *statement, int at, const char *text) {
        int r = sqlite3_bind_text(statement, at, text, -1, SQLITE_STATIC);

        assert(r == SQLITE_OK);
}

void db_bind_blob(DbStatement *statement, int at, const void *bytes, size_t n) {
        int r;

        assert(n <= INT32_MAX);

        r = sqlite3_bind_blob(statement, at, bytes, (int) n, SQLITE_STATIC);
        assert(r == SQLITE_OK);
}

int db_step(DbStatement *statement, bool *ret_row) {
        int r = sqlite3_step(statement);

        if (r == SQLITE_ROW) {
                *ret_row = true;
                return 0;
        }

        (void) sqlite3_reset(statement);
        if (r != SQLITE_DONE)
                return map_error(r);
        *ret_row = false;
        return 0;
}

int db_run(DbStatement *statement) {
        int r;

        do
                r = sqlite3_step(statement);
        while (r == SQLITE_ROW);
        (void) sqlite3_reset(statement);
        return r == SQLITE_DONE ? 0 : map_error(r);
}

void db_reset(DbStatement *statement) {
        (void) sqlite3_reset(statement);
}

void db_resetp(DbStatement **statement) {
        if (*statement)
                db_reset(*statement);
}

int64_t db_column_int(DbStatement *statement, int at) {
        return sqlite3_column_int64(statement, at);
}

const void *db_column_blob(DbStatement *statement, int at, size_t *ret_n) {
        const void *bytes = sqlite3_column_blob(statement, at);

        *ret_n = (size_t) sqlite3_column_bytes(statement, at);
        return bytes;
}

bool db_column_copy(DbStatement *statement, int at, void *ret, size_t n) {
        size_t n_column;
        const void *bytes = db_column_blob(statement, at, &n_column);

        if (!bytes || n_column != n)
                return false;
        memcpy(ret, bytes, n);
        return true;
}

const char *db_column_text(DbStatement *statement, int at) {
        const char *text = (const char *) sqlite3_column_text(statement, at);

        return text ? text : "";
}

size_t db_n_columns(DbStatement *statement) {
        return (size_t) sqlite3_column_count(statement);
}

bool db_same_row(DbStatement *a, DbStatement *b) {
        if (sqlite3_column_count(a) != sqlite3_column_count(b))
                return false;
        for (int i = 0; i < sqlite3_column_count(a); i++) {
                int type = sqlite3_column_type(a, i), n;

                if (type != sqlite3_column_type(b, i))
                        return false;
                if (type == SQLITE_INTEGER) {
                        if (sqlite3_column_int64(a, i) != sqlite3_column_int64(b, i))
                                return false;
                } else if (type != SQLITE_NULL) { /* text as its bytes; there are no floating numbers here */
                        const void *bytes = sqlite3_column_blob(a, i), *others = sqlite3_column_blob(b, i);

                        n = sqlite3_column_bytes(a, i);
                        if (n != sqlite3_column_bytes(b, i) || (n > 0 && (!bytes || !others || memcmp(bytes, others, (size_t) n) != 0)))
                                return false;
                }
        }
        return true;
}

int db_copy_row(DbStatement *from, DbStatement *to) {
        for (int i = 0; i < sqlite3_column_count(from); i++) {
                int r = sqlite3_bind_value(to, i + 1, sqlite3_column_value(from, i));

                if (r != SQLITE_OK)
                        return map_error(r);
        }
        return db_run(to);
}

int64_t db_last_id(const Db *db) {
        return sqlite3_last_insert_rowid(db->handle);
}

int64_t db_n_changes(const Db *db) {
        return sqlite3_changes(db->handle);
}

void db_checkpoint(Db *db, unsigned n_pages_min) {
        assert(!db_in_transaction(db));

        if (db->n_wal_pages <= n_pages_min || db->is_held)
                return;
        (void) sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_PASSIVE, NULL, NULL);
        db->n_wal_pages = 0; /* when it failed, the next commit says it again */
}

int db_truncate_log(Db *db) {
        int n_log = 0, r;

        if (db->is_held)
                return -EBUSY;
        r = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_TRUNCATE, &n_log, NULL);
        if (r != SQLITE_OK)
                return map_error(r);
        db->n_wal_pages = 0;
        return n_log == 0 ? 0 : -EBUSY;
}

void db_release_memory(Db *db) {
        (void) sqlite3_db_release_memory(db->handle);
}

/* --- copying the pages --- */

int db_hold(Db *db, uint64_t *ret_n_bytes) {
        int n_log = 0, n_written_back = 0, r;
        sqlite3_file *file = NULL;
        sqlite3_int64 n;

        assert(!db_in_transaction(db) && !db->is_held);

        r = sqlite3_wal_checkpoint_v2(db->handle, NULL, SQLITE_CHECKPOINT_FULL, &n_log, &n_written_back);
        if (r != SQLITE_OK)
                return map_error(r);
        if (n_log != n_written_back)
                return -EBUSY;
        db->n_wal_pages = 0;

        r = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        if (r == SQLITE_OK)
                r = file->pMethods->xFileSize(file, &n);
        if (r != SQLITE_OK)
                return map_error(r);
        if (n % PAGE_SIZE != 0)
                return DB_E_KEY;
        if (db->cipher == 3) {
                uint8_t salt[PAGES_SALT_SIZE];

                r = map_error(file->pMethods->xRead(file, salt, sizeof(salt), 0));
                if (r == 0)
                        r = pages_mac_key(&db->mac_key, db->key, salt);
                if (r != 0)
                        return r;
        }
        db->is_held = true;
        *ret_n_bytes = (uint64_t) n;
        return 0;
}

void db_release(Db *db) {
        db->is_held = false; /* the next commit writes back what is due */
        db->mac_key = secret_free(db->mac_key);
}

int db_copy(Db *db, uint64_t at, void *ret, size_t n) {
        sqlite3_file *file = NULL;
        int r;

        assert(db->is_held && n <= INT32_MAX);

        r = sqlite3_file_control(db->handle, "main", SQLITE_FCNTL_FILE_POINTER, &file);
        if (r == SQLITE_OK)
                r = file->pMethods->xRead(file, ret, (int) n, (sqlite3_int64) at);
        if (r == SQLITE_OK && db->mac_key && !pages_are_whole(db->mac_key, at, ret, n))
                return DB_E_KEY;
        return map_error(r);
}

bool db_log_is_long(const Db *db) {
        return db->n_wal_pages > LONG_LOG_PAGES;
}
