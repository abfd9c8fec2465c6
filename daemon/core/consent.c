/* SPDX-License-Identifier: Apache-2.0 */

#include "consent-private.h"

enum {
        CACHE_KIB = 256,
        WAL_PAGES_MAX = 256,
        WAL_LIMIT_KIB = 1024,
};

static_assert(CONSENT_E_KEY == (int) DB_E_KEY && CONSENT_E_VERSION == (int) DB_E_VERSION && CONSENT_E_SETTING == (int) DB_E_SETTING &&
              CONSENT_E_FULL == (int) DB_E_FULL && CONSENT_E_NOT_FOUND == (int) DB_E_NOT_FOUND && CONSENT_E_EXISTS == (int) DB_E_EXISTS,
              "passed up as they are");

/* daemon/FORMAT.md, "consent.db" and "ledger" */
static const char schema[] =
        "CREATE TABLE settings(name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;"
        "CREATE TABLE providers(id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, key BLOB NOT NULL UNIQUE, added_s INTEGER NOT NULL);"
        "CREATE TABLE grants(id INTEGER PRIMARY KEY AUTOINCREMENT, provider INTEGER NOT NULL, jti TEXT NOT NULL UNIQUE,"
        " assertion_sha256 BLOB NOT NULL UNIQUE, jwt TEXT NOT NULL, issued_s INTEGER NOT NULL,"
        " kinds INTEGER NOT NULL, detail INTEGER NOT NULL, identity INTEGER NOT NULL, free_text INTEGER NOT NULL,"
        " window_type INTEGER NOT NULL, from_day INTEGER NOT NULL, to_day INTEGER NOT NULL, last_days INTEGER NOT NULL, newer INTEGER NOT NULL,"
        " not_before_s INTEGER NOT NULL, expires_s INTEGER NOT NULL, uses_max INTEGER NOT NULL,"
        " uses INTEGER NOT NULL, suspended INTEGER NOT NULL, expired INTEGER NOT NULL, revoked_s INTEGER NOT NULL);"
        "CREATE TABLE ledger(n INTEGER PRIMARY KEY, salt BLOB, record BLOB, commitment BLOB NOT NULL);"
        "CREATE TABLE state(id INTEGER PRIMARY KEY CHECK(id = 1), highest_s INTEGER NOT NULL, ledger_size INTEGER NOT NULL,"
        " ledger_edge BLOB NOT NULL, checkpoint TEXT NOT NULL);";

static void put_edge(uint8_t bytes[static sizeof(MerkleRange)], size_t *ret_n, const MerkleRange *range) {
        *ret_n = (size_t) __builtin_popcountll(range->size) * MERKLE_HASH_SIZE;
        memcpy(bytes, range->edge, *ret_n);
}

/* --- opening --- */

static int create_state(Consent *consent) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        cleanup(freep) char *note = NULL;
        MerkleHash root;
        int r;

        merkle_range_root(&root, &consent->now.range);
        r = note_checkpoint_sign(&note, consent->origin, 0, &root, consent->seed);
        if (r)
                return r;
        r = db_prepare(consent->db, &statement, "INSERT INTO state(id, highest_s, ledger_size, ledger_edge, checkpoint) VALUES(1, 0, 0, x'', ?1)");
        if (r)
                return r;
        db_bind_text(statement, 1, note);
        r = db_run(statement);
        if (r)
                return r;
        consent->checkpoint = take_ptr(note);
        return 0;
}

static int count_entries(Consent *consent, uint64_t *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT max(n) + 1 FROM ledger");
        if (r)
                return r;
        r = db_step(statement, &row);
        if (r)
                return r;
        *ret = row ? (uint64_t) db_column_int(statement, 0) : 0;
        return 0;
}

/* A later epoch's origin is the first one's and its name. */
static int load_origin(Consent *consent) {
        cleanup(freep) char *epoch = NULL;
        size_t n;
        int r;

        r = consent_setting_get(consent, "ledger-epoch", &epoch, &n);
        if (r != 0 && r != CONSENT_E_NOT_FOUND)
                return r;
        if (asprintf(&consent->origin, "%s%s%s", consent->base, epoch ? "/" : "", epoch ? epoch : "") < 0) {
                consent->origin = NULL;
                return -ENOMEM;
        }
        return 0;
}

static int load_public_key(Consent *consent) {
        cleanup(secret_freep) Secret *secret_key = NULL;
        int r;

        r = secret_new(&secret_key, crypto_sign_SECRETKEYBYTES);
        if (r < 0)
                return r;
        (void) crypto_sign_seed_keypair(consent->public_key, secret_data(secret_key), secret_data(consent->seed));
        return 0;
}

/* The right edge must be that of the tree which was signed. */
static int load_state(Consent *consent) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        MerkleRange *range = &consent->now.range;
        MerkleHash root, signed_root;
        uint64_t signed_size, n_entries;
        bool row = false;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT highest_s, ledger_size, ledger_edge, checkpoint FROM state");
        if (r)
                return r;
        r = db_step(statement, &row);
        if (r)
                return r;
        r = count_entries(consent, &n_entries);
        if (r)
                return r;
        if (!row) /* new, or it ended before it had one */
                return n_entries == 0 ? create_state(consent) : CONSENT_E_KEY;

        consent->now.highest_s = db_column_int(statement, 0);
        range->size = (uint64_t) db_column_int(statement, 1);
        if (range->size > 0 && !db_column_copy(statement, 2, range->edge, (size_t) __builtin_popcountll(range->size) * MERKLE_HASH_SIZE))
                return CONSENT_E_KEY;
        consent->checkpoint = strdup(db_column_text(statement, 3));
        if (!consent->checkpoint)
                return -ENOMEM;

        r = note_checkpoint_open(consent->checkpoint, strlen(consent->checkpoint), consent->origin, consent->public_key, &signed_size, &signed_root);
        if (r)
                return r < 0 ? r : CONSENT_E_KEY;
        merkle_range_root(&root, range);
        if (signed_size != range->size || n_entries != range->size || memcmp(&root, &signed_root, sizeof(root)) != 0)
                return CONSENT_E_KEY;
        return 0;
}

int consent_open_signing(Consent *consent, const Secret *checkpoint_seed, const char *origin) {
        int r;

        assert(secret_size(checkpoint_seed) == crypto_sign_SEEDBYTES);
        assert(!consent->seed);

        consent->base = strdup(origin);
        if (!consent->base)
                return -ENOMEM;
        r = secret_new(&consent->seed, crypto_sign_SEEDBYTES);
        if (r < 0)
                return r;
        memcpy(secret_data(consent->seed), secret_data(checkpoint_seed), crypto_sign_SEEDBYTES);

        r = load_public_key(consent);
        if (r)
                return r;
        r = load_origin(consent);
        if (r)
                return r;
        r = load_state(consent);
        if (r)
                return r;
        r = db_prepare(consent->db, &consent->append, "INSERT INTO ledger(n, salt, record, commitment) VALUES(?1, ?2, ?3, ?4)");
        if (r)
                return r;
        r = db_prepare(consent->db, &consent->advance, "UPDATE state SET ledger_size = ?1, ledger_edge = ?2, checkpoint = ?3");
        if (r)
                return r;
        r = db_prepare(consent->db, &consent->saw, "UPDATE state SET highest_s = ?1");
        if (r)
                return r;

        consent->committed = consent->now;
        return 0;
}

int consent_open(Consent **ret, const char *dir, const Secret *key, const Secret *checkpoint_seed, const char *origin) {
        const DbOptions options = {
                .schema = schema,
                .cache_kib = CACHE_KIB,
                .wal_limit_kib = WAL_LIMIT_KIB,
                .durable = true,
        };
        cleanup(consent_closep) Consent *consent = NULL;
        int r;

        assert(ret);

        consent = calloc(1, sizeof(*consent));
        if (!consent)
                return -ENOMEM;
        r = db_open(&consent->db, dir, "consent.db", key, &options);
        if (r)
                return r;
        if (checkpoint_seed) {
                r = consent_open_signing(consent, checkpoint_seed, origin);
                if (r)
                        return r;
        }
        *ret = take_ptr(consent);
        return 0;
}

Consent *consent_close(Consent *consent) {
        if (consent) {
                if (consent->db)
                        db_rollback(consent->db);
                db_finalize(consent->append);
                db_finalize(consent->advance);
                db_finalize(consent->saw);
                db_close(consent->db);
                secret_free(consent->seed);
                free(consent->base);
                free(consent->origin);
                free(consent->next_origin);
                free(consent->checkpoint);
                explicit_bzero(consent, sizeof(*consent));
                free(consent);
        }
        return NULL;
}

/* --- transactions --- */

int consent_begin(Consent *consent) {
        int r;

        if (consent->depth == 0) {
                r = db_begin(consent->db);
                if (r)
                        return r;
                consent->doomed = false;
        }
        consent->depth++;
        return 0;
}

static void forget(Consent *consent) {
        db_rollback(consent->db);
        consent->now = consent->committed;
        consent->doomed = true;
        free(consent->next_origin);
        consent->next_origin = NULL;
}

void consent_rollback(Consent *consent) {
        assert(consent->depth > 0);

        forget(consent);
        consent->depth--;
}

/* The checkpoint that covers what was appended; signed before, released only after the commit. */
static int seal(Consent *consent, char **ret_note) {
        uint8_t edge[sizeof(MerkleRange)];
        cleanup(freep) char *note = NULL;
        MerkleHash root;
        size_t n_edge;
        int r;

        merkle_range_root(&root, &consent->now.range);
        r = note_checkpoint_sign(&note, consent->next_origin ? consent->next_origin : consent->origin, consent->now.range.size, &root, consent->seed);
        if (r)
                return r;
        put_edge(edge, &n_edge, &consent->now.range);
        db_bind_int(consent->advance, 1, (int64_t) consent->now.range.size);
        db_bind_blob(consent->advance, 2, edge, n_edge);
        db_bind_text(consent->advance, 3, note);
        r = db_run(consent->advance);
        if (r)
                return r;
        *ret_note = take_ptr(note);
        return 0;
}

int consent_commit(Consent *consent) {
        cleanup(freep) char *note = NULL;
        int r = 0;

        assert(consent->depth > 0);

        if (--consent->depth > 0)
                return consent->doomed ? -ECANCELED : 0;
        if (consent->doomed)
                return -ECANCELED;

        if (consent->now.range.size > consent->committed.range.size || consent->next_origin)
                r = seal(consent, &note);
        if (!r)
                r = db_commit(consent->db);
        if (r) {
                forget(consent);
                return r;
        }

        consent->committed = consent->now;
        if (note) {
                free(consent->checkpoint);
                consent->checkpoint = take_ptr(note);
        }
        if (consent->next_origin) {
                free(consent->origin);
                consent->origin = take_ptr(consent->next_origin);
        }
        db_checkpoint(consent->db, WAL_PAGES_MAX);
        return 0;
}

int consent_hold(Consent *consent, uint64_t *ret_n_bytes) {
        assert(consent->depth == 0);

        return db_hold(consent->db, ret_n_bytes);
}

void consent_release(Consent *consent) {
        db_release(consent->db);
}

int consent_truncate_log(Consent *consent) {
        assert(consent->depth == 0);

        return db_truncate_log(consent->db);
}

int consent_copy(Consent *consent, uint64_t at, void *ret, size_t n) {
        return db_copy(consent->db, at, ret, n);
}

int consent_change(Consent *consent, DbStatement *statement) {
        int r;

        if (consent->depth > 0 && consent->doomed) {
                db_reset(statement);
                return -ECANCELED;
        }
        r = db_run(statement);
        if (r && consent->depth > 0 && !db_in_transaction(consent->db))
                forget(consent);
        return r;
}

/* --- settings --- */

int consent_setting_put(Consent *consent, const char *name, const void *value, size_t n_value) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        if (n_value > CONSENT_SETTING_MAX)
                return -EMSGSIZE;

        r = db_prepare(consent->db, &statement, "INSERT OR REPLACE INTO settings(name, value) VALUES(?1, ?2)");
        if (r)
                return r;
        db_bind_text(statement, 1, name);
        db_bind_blob(statement, 2, n_value > 0 ? value : "", n_value);
        return consent_change(consent, statement);
}

int consent_setting_forget(Consent *consent, const char *from, const char *to) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "DELETE FROM settings WHERE name >= ?1 AND name < ?2");
        if (r)
                return r;
        db_bind_text(statement, 1, from);
        db_bind_text(statement, 2, to);
        return consent_change(consent, statement);
}

int consent_setting_get(Consent *consent, const char *name, char **ret, size_t *ret_n) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const void *value;
        bool row = false;
        char *copy;
        size_t n;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT value FROM settings WHERE name = ?1");
        if (r)
                return r;
        db_bind_text(statement, 1, name);
        r = db_step(statement, &row);
        if (r)
                return r;
        if (!row)
                return CONSENT_E_NOT_FOUND;

        value = db_column_blob(statement, 0, &n);
        copy = malloc(n + 1);
        if (!copy)
                return -ENOMEM;
        if (n > 0)
                memcpy(copy, value, n);
        copy[n] = '\0';
        *ret = copy;
        *ret_n = n;
        return 0;
}

/* --- highest time seen --- */

int64_t consent_highest_s(const Consent *consent) {
        return consent->now.highest_s;
}

static int set_highest(Consent *consent, int64_t now_s) {
        int r;

        db_bind_int(consent->saw, 1, now_s);
        r = consent_change(consent, consent->saw);
        if (r)
                return r;
        consent->now.highest_s = now_s;
        if (consent->depth == 0)
                consent->committed.highest_s = now_s;
        return 0;
}

int consent_saw_time(Consent *consent, int64_t now_s) {
        return now_s <= consent->now.highest_s ? 0 : set_highest(consent, now_s);
}

int consent_lower_time(Consent *consent, int64_t now_s) {
        return now_s >= consent->now.highest_s ? 0 : set_highest(consent, now_s);
}
