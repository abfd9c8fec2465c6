/* SPDX-License-Identifier: Apache-2.0 */

#include "rotation.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "clock.h"
#include "daemon/common/io.h"
#include "daemon/common/keys.h"
#include "db.h"

enum {
        VERSION = 1,
        PHASE_COPYING = 1,
        PHASE_WHOLE = 2,
        /* in the plan */
        PHASE_AT = 8,
        N_SLOTS_AT = 12,
        WALLET_ID_AT = 16,
        NONCE_AT = 32,
        ROOT_AT = 56,
        CIPHER_AT = 104,
        SLOTS_AT = 108,
        CHECKSUM_SIZE = 16,
        PLAN_MAX = SLOTS_AT + SLOTS_FILE_MAX + CHECKSUM_SIZE,

        N_DBS = 2,
        TABLES_MAX = 64,
        CACHE_KIB = 1024,
        WAL_PAGES_MAX = 1024, /* 4 MiB: writing that back takes a few ms */
        WAL_LIMIT_KIB = 16 * 1024,
        ROWS_PER_LOOK = 32, /* between two looks at the clock */
};

static const uint8_t magic[4] = { 'C', 'W', 'R', 'O' };
static const char plan_name[] = "rotation";
static const char *const db_names[N_DBS] = { "records.db", "consent.db" };

static_assert(ROOT_AT - NONCE_AT == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");
static_assert(CIPHER_AT - ROOT_AT == KEYS_ROOT_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES, "sealed root key");

typedef struct Plan {
        uint8_t bytes[PLAN_MAX];
        size_t n; /* with the checksum */
} Plan;

typedef struct Copy { /* of one database */
        const char *name;
        Db *from, *to;
        char *tables[TABLES_MAX];
        size_t n_tables, table; /* and the one that is being copied */
        DbStatement *select, *insert;
        int64_t n_rows; /* copied, of all tables */
        int64_t n_skip; /* rows that had been copied before and are passed over */
        DbStatement *copied; /* reads back what @select reads */
        size_t n_compared; /* tables read back and found the same */
        bool whole;
} Copy;

struct Rotation {
        int state_dir_fd; /* borrowed */
        Plan plan;
        Secret *new_root;
        Keys *keys, *new_keys;
        Copy copies[N_DBS];
        size_t copy;
};

/* --- the plan --- */

static void plan_seal(Plan *plan) {
        (void) crypto_generichash(plan->bytes + plan->n - CHECKSUM_SIZE, CHECKSUM_SIZE, plan->bytes, plan->n - CHECKSUM_SIZE, NULL, 0);
}

static int plan_write(const Plan *plan, int state_dir_fd) {
        return io_write_file(state_dir_fd, ".rotation-", plan_name, plan->bytes, plan->n);
}

static int plan_read(Plan *ret, int state_dir_fd) {
        uint8_t checksum[CHECKSUM_SIZE];
        int r;

        r = io_read_file(state_dir_fd, plan_name, ret->bytes, sizeof(ret->bytes), &ret->n);
        if (r < 0)
                return r == -EFBIG ? ROTATION_E_KEY : r;
        if (ret->n < SLOTS_AT + CHECKSUM_SIZE || get_le32(ret->bytes) != VERSION || memcmp(ret->bytes + 4, magic, sizeof(magic)) != 0 ||
            get_le32(ret->bytes + N_SLOTS_AT) != ret->n - SLOTS_AT - CHECKSUM_SIZE)
                return ROTATION_E_KEY;
        (void) crypto_generichash(checksum, sizeof(checksum), ret->bytes, ret->n - CHECKSUM_SIZE, NULL, 0);
        return memcmp(checksum, ret->bytes + ret->n - CHECKSUM_SIZE, sizeof(checksum)) == 0 ? 0 : ROTATION_E_KEY;
}

int rotation_prepare(int state_dir_fd, const Secret *root, const Secret *new_root, Slots *slots, unsigned cipher) {
        cleanup(secret_freep) Secret *key = NULL;
        Plan plan = { 0 };
        size_t n;
        int r;

        r = keys_derive_one(&key, root, KEY_ROTATION);
        if (r < 0)
                return r;
        slots->generation++;
        r = slots_encode(slots, new_root, plan.bytes + SLOTS_AT, &n);
        if (r < 0)
                return r;
        put_le32(plan.bytes, VERSION);
        memcpy(plan.bytes + 4, magic, sizeof(magic));
        put_le32(plan.bytes + PHASE_AT, PHASE_COPYING);
        put_le32(plan.bytes + N_SLOTS_AT, (uint32_t) n);
        put_le32(plan.bytes + CIPHER_AT, cipher);
        memcpy(plan.bytes + WALLET_ID_AT, slots->wallet_id, sizeof(slots->wallet_id));
        randombytes_buf(plan.bytes + NONCE_AT, ROOT_AT - NONCE_AT);
        if (crypto_aead_xchacha20poly1305_ietf_encrypt(plan.bytes + ROOT_AT, NULL, secret_data(new_root), KEYS_ROOT_SIZE, plan.bytes + WALLET_ID_AT, NONCE_AT - WALLET_ID_AT,
                                                       NULL, plan.bytes + NONCE_AT, secret_data(key)) < 0)
                return -ENOTRECOVERABLE;
        plan.n = SLOTS_AT + n + CHECKSUM_SIZE;
        plan_seal(&plan);
        rotation_abandon(state_dir_fd); /* copies of another plan are of another key */
        return plan_write(&plan, state_dir_fd);
}

bool rotation_is_due(int state_dir_fd) {
        return faccessat(state_dir_fd, plan_name, F_OK, 0) == 0;
}

static void remove_copies(int state_dir_fd) {
        static const char *const ends[] = { ".new", ".new-wal", ".new-journal" };

        for (size_t i = 0; i < N_DBS; i++)
                for (size_t j = 0; j < N_ELEMENTS(ends); j++) {
                        char name[64];

                        (void) snprintf(name, sizeof(name), "%s%s", db_names[i], ends[j]);
                        (void) unlinkat(state_dir_fd, name, 0);
                }
}

/* Files that were being written when the program was killed. */
static int remove_unfinished(int state_dir_fd) {
        int fd = openat(state_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        const struct dirent *entry;
        DIR *dir;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        while ((entry = readdir(dir)))
                if (strncmp(entry->d_name, ".rotation-", 10) == 0 || strncmp(entry->d_name, ".slots-", 7) == 0)
                        (void) unlinkat(state_dir_fd, entry->d_name, 0);
        (void) closedir(dir);
        return 0;
}

void rotation_abandon(int state_dir_fd) {
        (void) unlinkat(state_dir_fd, plan_name, 0); /* first: copies without it are nothing */
        remove_copies(state_dir_fd);
}

static int sync_dir(int state_dir_fd) {
        cleanup(close_fdp) int fd = openat(state_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

/* An old log beside the new database would be taken for its own. */
static int put_in_place(int state_dir_fd, const char *db_name) {
        static const char *const ends[] = { "-wal", "-journal", ".before" }; /* .before: what a migration kept, under the old key */
        char from[64], name[64];
        int r;

        (void) snprintf(from, sizeof(from), "%s.new", db_name);
        if (faccessat(state_dir_fd, from, F_OK, 0) < 0)
                return errno == ENOENT ? 0 : -errno; /* it is there already */
        for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
                (void) snprintf(name, sizeof(name), "%s%s", db_name, ends[i]);
                if (unlinkat(state_dir_fd, name, 0) < 0 && errno != ENOENT)
                        return -errno;
        }
        r = sync_dir(state_dir_fd);
        if (r < 0)
                return r;
        if (renameat(state_dir_fd, from, state_dir_fd, db_name) < 0)
                return -errno;
        return sync_dir(state_dir_fd);
}

int rotation_settle(int state_dir_fd) {
        Plan plan;
        size_t n;
        int r;

        r = remove_unfinished(state_dir_fd);
        if (r == 0)
                r = plan_read(&plan, state_dir_fd);
        if (r == -ENOENT) {
                remove_copies(state_dir_fd);
                return 0;
        }
        if (r != 0)
                return r;
        if (get_le32(plan.bytes + PHASE_AT) != PHASE_WHOLE)
                return 0;

        if (get_le32(plan.bytes + CIPHER_AT) == 4) { /* before them, so that no older program takes them for damaged */
                r = io_write_file(state_dir_fd, ".rotation-", ROTATION_CIPHER_MARKER, plan.bytes, 4); /* u32 1 */
                if (r < 0)
                        return r;
        }
        for (size_t i = 0; i < N_DBS; i++) {
                r = put_in_place(state_dir_fd, db_names[i]);
                if (r < 0)
                        return r;
        }
        n = get_le32(plan.bytes + N_SLOTS_AT);
        r = io_write_file(state_dir_fd, ".slots-", "slots.bak", plan.bytes + SLOTS_AT, n);
        if (r == 0)
                r = io_write_file(state_dir_fd, ".slots-", "slots", plan.bytes + SLOTS_AT, n);
        if (r < 0)
                return r;
        if (unlinkat(state_dir_fd, plan_name, 0) < 0)
                return -errno;
        return sync_dir(state_dir_fd);
}

/* --- copying --- */

static int from_db(int r) {
        if (r <= 0)
                return r;
        return r == DB_E_FULL ? ROTATION_E_FULL : ROTATION_E_KEY;
}

/* One number, or 0. */
static int ask_number(Db *db, const char *sql, int64_t *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        int r;

        *ret = 0;
        r = db_prepare(db, &statement, sql);
        if (r == 0)
                r = db_step(statement, &row);
        if (r == 0 && row)
                *ret = db_column_int(statement, 0);
        return r;
}

/* The same tables and indices in the copy, and how far it is. All or nothing: a copy that has tables without it is whole. */
static int make_tables(Copy *copy) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(copy->from, &statement, "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid");
        if (r == 0)
                r = db_begin(copy->to);
        while (r == 0) {
                bool row = false;

                r = db_step(statement, &row);
                if (r != 0 || !row)
                        break;
                r = db_execute(copy->to, db_column_text(statement, 0));
        }
        if (r == 0)
                r = db_execute(copy->to, "CREATE TABLE rotation_progress(n_rows INTEGER NOT NULL); INSERT INTO rotation_progress VALUES(0)");
        if (r != 0) {
                db_rollback(copy->to);
                return r;
        }
        return db_commit(copy->to);
}

static int list_tables(Copy *copy) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(copy->from, &statement, "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY rowid");
        while (r == 0) {
                bool row = false;

                r = db_step(statement, &row);
                if (r != 0 || !row)
                        break;
                if (copy->n_tables == TABLES_MAX)
                        return -E2BIG;
                copy->tables[copy->n_tables] = strdup(db_column_text(statement, 0));
                if (!copy->tables[copy->n_tables])
                        return -ENOMEM;
                copy->n_tables++;
        }
        return r;
}

static int copy_open(Copy *copy, const char *dir, const char *name, const Secret *key, const Secret *new_key, unsigned cipher) {
        DbOptions options = { .cache_kib = CACHE_KIB, .wal_limit_kib = WAL_LIMIT_KIB, .durable = false };
        int64_t n_tables, has_progress;
        char new_name[64];
        int r;

        copy->name = name;
        (void) snprintf(new_name, sizeof(new_name), "%s.new", name);
        r = db_open(&copy->from, dir, name, key, &options);
        if (r == 0) {
                options.cipher = cipher ? cipher : db_cipher(copy->from);
                r = db_open(&copy->to, dir, new_name, new_key, &options);
        }
        if (r == 0)
                r = ask_number(copy->to, "SELECT count(*) FROM sqlite_master", &n_tables);
        if (r == 0)
                r = ask_number(copy->to, "SELECT count(*) FROM sqlite_master WHERE name = 'rotation_progress'", &has_progress);
        if (r != 0)
                return r;
        copy->whole = n_tables > 0 && !has_progress;
        if (n_tables == 0)
                r = make_tables(copy);
        if (r == 0 && !copy->whole)
                r = ask_number(copy->to, "SELECT n_rows FROM rotation_progress", &copy->n_rows);
        copy->n_skip = copy->n_rows;
        return r == 0 ? list_tables(copy) : r;
}

static void copy_done(Copy *copy) {
        db_finalize(copy->select);
        db_finalize(copy->insert);
        db_finalize(copy->copied);
        db_close(copy->from);
        db_close(copy->to);
        for (size_t i = 0; i < copy->n_tables; i++)
                free(copy->tables[i]);
        *copy = (Copy){ 0 };
}

/* Names come from our own schema. Rows come in the order in which they lie, which nobody changes while a plan is there. */
static int next_table(Copy *copy) {
        char sql[1024];
        size_t n;
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", copy->tables[copy->table]);
        r = db_prepare(copy->from, &copy->select, sql);
        if (r != 0)
                return r;
        n = (size_t) snprintf(sql, sizeof(sql), "INSERT INTO \"%s\" VALUES(?", copy->tables[copy->table]);
        for (size_t i = 1; i < db_n_columns(copy->select) && n < sizeof(sql); i++)
                n += (size_t) snprintf(sql + n, sizeof(sql) - n, ", ?");
        if (n < sizeof(sql))
                n += (size_t) snprintf(sql + n, sizeof(sql) - n, ")");
        return n < sizeof(sql) ? db_prepare(copy->to, &copy->insert, sql) : -E2BIG;
}

static int copy_rows(Copy *copy, uint64_t until_ms) {
        for (unsigned n = 1;; n++) {
                bool row = false;
                int r;

                if (!copy->select) {
                        if (copy->table == copy->n_tables)
                                return 0;
                        r = next_table(copy);
                        if (r != 0)
                                return r;
                }
                r = db_step(copy->select, &row);
                if (r != 0)
                        return r;
                if (!row) {
                        copy->select = db_finalize(copy->select);
                        copy->insert = db_finalize(copy->insert);
                        copy->table++;
                } else if (copy->n_skip > 0)
                        copy->n_skip--;
                else {
                        r = db_copy_row(copy->select, copy->insert);
                        if (r != 0)
                                return r;
                        copy->n_rows++;
                }
                if (n % ROWS_PER_LOOK == 0 && clock_monotonic_ms() >= until_ms)
                        return 0;
        }
}

static int copy_step(Copy *copy, uint64_t until_ms) {
        char sql[64];
        int r;

        r = db_begin(copy->to);
        if (r != 0)
                return r;
        r = copy_rows(copy, until_ms);
        if (r == 0) {
                (void) snprintf(sql, sizeof(sql), "UPDATE rotation_progress SET n_rows = %lld", (long long) copy->n_rows);
                r = db_execute(copy->to, sql);
        }
        if (r != 0) {
                db_rollback(copy->to);
                return r;
        }
        r = db_commit(copy->to);
        if (r == 0)
                db_checkpoint(copy->to, WAL_PAGES_MAX);
        return r;
}

static int next_comparison(Copy *copy) {
        char sql[128];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT * FROM \"%s\"", copy->tables[copy->n_compared]);
        r = db_prepare(copy->from, &copy->select, sql);
        return r == 0 ? db_prepare(copy->to, &copy->copied, sql) : r;
}

/* What was written is read back, row beside row, before it counts. */
static int compare_step(Copy *copy, uint64_t until_ms) {
        for (unsigned n = 1; n % ROWS_PER_LOOK != 0 || clock_monotonic_ms() < until_ms; n++) {
                bool row = false, copied = false;
                int r = 0;

                if (!copy->select)
                        r = next_comparison(copy);
                if (r == 0)
                        r = db_step(copy->select, &row);
                if (r == 0)
                        r = db_step(copy->copied, &copied);
                if (r == 0 && (row != copied || (row && !db_same_row(copy->select, copy->copied))))
                        r = DB_E_KEY;
                if (r != 0)
                        return r;
                if (!row) {
                        copy->select = db_finalize(copy->select);
                        copy->copied = db_finalize(copy->copied);
                        if (++copy->n_compared == copy->n_tables)
                                return 0;
                }
        }
        return 0;
}

/* Who the wallet is to others stays: what providers, their grants and the ledger know is not changed by it. */
static int put_identity(Copy *copy, const Keys *keys) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        cleanup(secret_freep) Secret *identity = NULL;
        int r;

        r = keys_identity(keys, &identity);
        if (r < 0)
                return r;
        r = db_prepare(copy->to, &statement, "INSERT OR IGNORE INTO settings(name, value) VALUES('identity', ?1)"); /* that of an earlier rotation stays */
        if (r != 0)
                return r;
        db_bind_blob(statement, 1, secret_data(identity), secret_size(identity));
        return db_run(statement);
}

/* Numbers that are never used again are not rows of a table of ours. */
static int copy_sequences(Copy *copy) {
        cleanup(db_finalizep) DbStatement *select = NULL, *insert = NULL;
        int64_t n;
        int r;

        r = ask_number(copy->from, "SELECT count(*) FROM sqlite_master WHERE name = 'sqlite_sequence'", &n);
        if (r != 0 || n == 0)
                return r;
        r = db_execute(copy->to, "DELETE FROM sqlite_sequence");
        if (r == 0)
                r = db_prepare(copy->from, &select, "SELECT name, seq FROM sqlite_sequence");
        if (r == 0)
                r = db_prepare(copy->to, &insert, "INSERT INTO sqlite_sequence(name, seq) VALUES(?, ?)");
        while (r == 0) {
                bool row = false;

                r = db_step(select, &row);
                if (r != 0 || !row)
                        break;
                r = db_copy_row(select, insert);
        }
        return r;
}

static int copy_end(Copy *copy, const Keys *keys) {
        int64_t version;
        char sql[64];
        int r;

        r = ask_number(copy->from, "PRAGMA user_version", &version);
        if (r == 0)
                r = db_begin(copy->to);
        if (r != 0)
                return r;
        r = copy_sequences(copy);
        if (r == 0 && strcmp(copy->name, "consent.db") == 0)
                r = put_identity(copy, keys);
        if (r == 0)
                r = db_execute(copy->to, "DROP TABLE rotation_progress");
        (void) snprintf(sql, sizeof(sql), "PRAGMA user_version=%lld", (long long) version);
        if (r == 0)
                r = db_execute(copy->to, sql);
        if (r != 0) {
                db_rollback(copy->to);
                return r;
        }
        r = db_commit(copy->to);
        if (r == 0)
                copy->whole = true;
        return r;
}

/* --- the rotation --- */

Rotation *rotation_free(Rotation *rotation) {
        if (rotation) {
                for (size_t i = 0; i < N_DBS; i++)
                        copy_done(&rotation->copies[i]);
                (void) keys_free(rotation->keys);
                (void) keys_free(rotation->new_keys);
                (void) secret_free(rotation->new_root);
                free(rotation);
        }
        return NULL;
}

static int unseal(Rotation *rotation, const Secret *root) {
        cleanup(secret_freep) Secret *key = NULL;
        const uint8_t *bytes = rotation->plan.bytes;
        int r;

        r = keys_derive_one(&key, root, KEY_ROTATION);
        if (r == 0)
                r = secret_new(&rotation->new_root, KEYS_ROOT_SIZE);
        if (r < 0)
                return r;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret_data(rotation->new_root), NULL, NULL, bytes + ROOT_AT, CIPHER_AT - ROOT_AT, bytes + WALLET_ID_AT,
                                                       NONCE_AT - WALLET_ID_AT, bytes + NONCE_AT, secret_data(key)) < 0)
                return ROTATION_E_KEY;
        return 0;
}

int rotation_begin(Rotation **ret, const char *dir, int state_dir_fd, const Secret *root) {
        static const KeyId key_ids[N_DBS] = { KEY_RECORDS_DB, KEY_CONSENT_DB };
        cleanup(rotation_freep) Rotation *rotation = NULL;
        int r;

        rotation = calloc(1, sizeof(*rotation));
        if (!rotation)
                return -ENOMEM;
        rotation->state_dir_fd = state_dir_fd;
        r = plan_read(&rotation->plan, state_dir_fd);
        if (r == 0)
                r = unseal(rotation, root);
        if (r == 0)
                r = keys_derive(&rotation->keys, root);
        if (r == 0)
                r = keys_derive(&rotation->new_keys, rotation->new_root);
        if (r != 0)
                return r;
        for (size_t i = 0; i < N_DBS; i++) {
                struct stat st;

                if (fstatat(state_dir_fd, db_names[i], &st, AT_SYMLINK_NOFOLLOW) < 0 || st.st_size == 0)
                        return ROTATION_E_KEY;
                r = from_db(copy_open(&rotation->copies[i], dir, db_names[i], rotation->keys->keys[key_ids[i]], rotation->new_keys->keys[key_ids[i]], get_le32(rotation->plan.bytes + CIPHER_AT)));
                if (r != 0)
                        return r;
        }
        *ret = take_ptr(rotation);
        return 0;
}

bool rotation_is_upgrade(const Rotation *rotation) {
        return get_le32(rotation->plan.bytes + CIPHER_AT) != 0;
}

/* Closed, its log written back and gone, and on the disk. */
static int close_copy(Rotation *rotation, Copy *copy) {
        cleanup(close_fdp) int fd = -1;
        char name[64], log[64];

        (void) snprintf(name, sizeof(name), "%s.new", copy->name);
        (void) snprintf(log, sizeof(log), "%s.new-wal", copy->name);
        copy_done(copy);
        if (faccessat(rotation->state_dir_fd, log, F_OK, 0) == 0)
                return -ENOSPC;
        fd = openat(rotation->state_dir_fd, name, O_RDWR | O_CLOEXEC | O_NOFOLLOW);
        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

int rotation_step(Rotation *rotation, bool *ret_done) {
        Copy *copy = &rotation->copies[rotation->copy];
        int r;

        if (!copy->whole && copy->n_compared < copy->n_tables) {
                uint64_t until_ms = clock_monotonic_ms() + ROTATION_STEP_MS;

                return from_db(copy->table < copy->n_tables ? copy_step(copy, until_ms) : compare_step(copy, until_ms));
        }
        if (!copy->whole)
                return from_db(copy_end(copy, rotation->keys));
        r = close_copy(rotation, copy);
        if (r < 0)
                return r == -ENOSPC ? (int) ROTATION_E_FULL : r;
        *ret_done = ++rotation->copy == N_DBS;
        return 0;
}

int rotation_finish(Rotation *rotation, bool *ret_whole, Secret **ret_root) {
        int r;

        *ret_whole = false;
        put_le32(rotation->plan.bytes + PHASE_AT, PHASE_WHOLE);
        plan_seal(&rotation->plan);
        r = plan_write(&rotation->plan, rotation->state_dir_fd);
        if (r < 0)
                return r;
        *ret_whole = true;
        r = rotation_settle(rotation->state_dir_fd);
        if (r != 0)
                return fold(r);
        *ret_root = take_ptr(rotation->new_root);
        return 0;
}

void rotation_progress(const Rotation *rotation, int64_t *ret_done, int64_t *ret_all) {
        *ret_done = *ret_all = 0;
        for (size_t i = 0; i < N_DBS; i++) {
                const Copy *copy = &rotation->copies[i];
                int64_t from = 0, to = 0;

                if (!copy->from || ask_number(copy->from, "PRAGMA page_count", &from) != 0 || ask_number(copy->to, "PRAGMA page_count", &to) != 0)
                        continue;
                *ret_all += from;
                *ret_done += to < from ? to : from;
        }
}
