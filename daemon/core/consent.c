/* SPDX-License-Identifier: Apache-2.0 */

#include "consent.h"

#include <sodium.h>

#include "db.h"
#include "note.h"

enum {
        CACHE_KIB = 256,
        WAL_PAGES_MAX = 256,
        WAL_LIMIT_KIB = 1024,
        SALT_SIZE = 32,
        VERIFY_BATCH = 1000, /* entries in one step: about 2 ms */
        EPOCH_SIZE = 8,      /* bytes of an epoch's random name */
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

#define GRANT_COLUMNS                                                                                                              \
        "provider, jti, assertion_sha256, jwt, issued_s, kinds, detail, identity, free_text, window_type, from_day, to_day, last_days, " \
        "newer, not_before_s, expires_s, uses_max, uses, suspended, expired, revoked_s"

/* What a rollback brings back. */
typedef struct State {
        MerkleRange range;
        int64_t highest_s;
} State;

struct Consent {
        Db *db;
        DbStatement *append;
        DbStatement *advance; /* state row: the ledger's */
        DbStatement *saw;     /* state row: the highest time */
        char *base;   /* origin of the first epoch */
        char *origin; /* of the epoch in consent.db */
        char *next_origin; /* begun by the running transaction; else NULL */
        Secret *seed;
        uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
        char *checkpoint;
        State now;
        State committed;
        unsigned depth;
        bool doomed; /* the transaction is lost: everything until its end fails */
};

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
        assert(secret_size(checkpoint_seed) == crypto_sign_SEEDBYTES);

        consent = calloc(1, sizeof(*consent));
        if (!consent)
                return -ENOMEM;
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

        r = db_open(&consent->db, dir, "consent.db", key, &options);
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

int consent_copy(Consent *consent, uint64_t at, void *ret, size_t n) {
        return db_copy(consent->db, at, ret, n);
}

/* Run a bound statement that changes something. Where SQLite has ended the transaction because of it, nothing more may be written as if it were still there. */
static int change(Consent *consent, DbStatement *statement) {
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
        return change(consent, statement);
}

int consent_setting_forget(Consent *consent, const char *from, const char *to) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "DELETE FROM settings WHERE name >= ?1 AND name < ?2");
        if (r)
                return r;
        db_bind_text(statement, 1, from);
        db_bind_text(statement, 2, to);
        return change(consent, statement);
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

/* --- providers --- */

static bool name_valid(const char *name) {
        size_t n = strnlen(name, CONSENT_NAME_MAX);

        return n > 0 && n < CONSENT_NAME_MAX && strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789._-") == n && name[0] != '.' && name[0] != '_' && name[0] != '-';
}

int consent_provider_add(Consent *consent, ConsentProvider *provider_io) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        if (!name_valid(provider_io->name))
                return -EINVAL;

        r = db_prepare(consent->db, &statement, "INSERT INTO providers(name, key, added_s) VALUES(?1, ?2, ?3)");
        if (r)
                return r;
        db_bind_text(statement, 1, provider_io->name);
        db_bind_blob(statement, 2, provider_io->key, sizeof(provider_io->key));
        db_bind_int(statement, 3, provider_io->added_s);
        r = change(consent, statement);
        if (r)
                return r;
        provider_io->id = (uint64_t) db_last_id(consent->db);
        return 0;
}

static int read_provider(DbStatement *statement, ConsentProvider *ret) {
        ConsentProvider provider = {
                .id = (uint64_t) db_column_int(statement, 0),
                .added_s = db_column_int(statement, 3),
        };

        (void) snprintf(provider.name, sizeof(provider.name), "%s", db_column_text(statement, 1));
        if (!db_column_copy(statement, 2, provider.key, sizeof(provider.key)))
                return CONSENT_E_KEY;
        *ret = provider;
        return 0;
}

int consent_provider_find(Consent *consent, const char *name, ConsentProvider *ret) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, name, key, added_s FROM providers WHERE name = ?1");
        if (r)
                return r;
        db_bind_text(statement, 1, name);
        r = db_step(statement, &row);
        if (r)
                return r;
        return row ? read_provider(statement, ret) : CONSENT_E_NOT_FOUND;
}

int consent_providers(Consent *consent, int (*each)(const ConsentProvider *provider, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, name, key, added_s FROM providers ORDER BY id");
        if (r)
                return r;
        for (;;) {
                ConsentProvider provider;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = read_provider(statement, &provider);
                if (r)
                        return r;
                r = each(&provider, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

/* --- grants --- */

void consent_grant_done(ConsentGrant *grant) {
        free(grant->jwt);
        grant->jwt = NULL;
}

int consent_grant_add(Consent *consent, ConsentGrant *grant_io) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        const PolicyTerms *terms = &grant_io->policy.live_terms;
        int r, at = 0;

        if (strlen(grant_io->jwt) > CONSENT_GRANT_MAX)
                return -EMSGSIZE;

        r = db_prepare(consent->db, &statement,
                       "INSERT INTO grants(" GRANT_COLUMNS ") VALUES(?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)");
        if (r)
                return r;
        db_bind_int(statement, ++at, (int64_t) grant_io->provider);
        db_bind_text(statement, ++at, grant_io->jti);
        db_bind_blob(statement, ++at, grant_io->assertion_sha256, sizeof(grant_io->assertion_sha256));
        db_bind_text(statement, ++at, grant_io->jwt);
        db_bind_int(statement, ++at, grant_io->issued_s);
        db_bind_int(statement, ++at, terms->scope.kinds);
        db_bind_int(statement, ++at, terms->scope.detail);
        db_bind_int(statement, ++at, terms->scope.identity);
        db_bind_int(statement, ++at, terms->scope.free_text);
        db_bind_int(statement, ++at, terms->scope.window.type);
        db_bind_int(statement, ++at, terms->scope.window.from_day);
        db_bind_int(statement, ++at, terms->scope.window.to_day);
        db_bind_int(statement, ++at, terms->scope.window.last_days);
        db_bind_int(statement, ++at, terms->scope.window.newer);
        db_bind_int(statement, ++at, terms->not_before_s);
        db_bind_int(statement, ++at, terms->expires_s);
        db_bind_int(statement, ++at, terms->uses_max);
        db_bind_int(statement, ++at, grant_io->policy.uses);
        db_bind_int(statement, ++at, grant_io->policy.suspended);
        db_bind_int(statement, ++at, grant_io->policy.expired);
        db_bind_int(statement, ++at, grant_io->revoked_s);
        r = change(consent, statement);
        if (r)
                return r;
        grant_io->id = (uint64_t) db_last_id(consent->db);
        return 0;
}

/* "id, " GRANT_COLUMNS; the text of the JWT is borrowed from the statement. */
static int read_grant(DbStatement *statement, ConsentGrant *ret, const char **ret_jwt) {
        ConsentGrant grant = { 0 };
        PolicyTerms *terms = &grant.policy.live_terms;
        int at = 0;

        grant.id = (uint64_t) db_column_int(statement, at++);
        grant.provider = (uint64_t) db_column_int(statement, at++);
        (void) snprintf(grant.jti, sizeof(grant.jti), "%s", db_column_text(statement, at++));
        if (!db_column_copy(statement, at++, grant.assertion_sha256, sizeof(grant.assertion_sha256)))
                return CONSENT_E_KEY;
        *ret_jwt = db_column_text(statement, at++);
        grant.issued_s = db_column_int(statement, at++);
        terms->scope.kinds = (uint32_t) db_column_int(statement, at++);
        terms->scope.detail = (uint8_t) db_column_int(statement, at++);
        terms->scope.identity = (uint8_t) db_column_int(statement, at++);
        terms->scope.free_text = db_column_int(statement, at++) != 0;
        terms->scope.window.type = (uint8_t) db_column_int(statement, at++);
        terms->scope.window.from_day = (int32_t) db_column_int(statement, at++);
        terms->scope.window.to_day = (int32_t) db_column_int(statement, at++);
        terms->scope.window.last_days = (int32_t) db_column_int(statement, at++);
        terms->scope.window.newer = db_column_int(statement, at++) != 0;
        terms->not_before_s = db_column_int(statement, at++);
        terms->expires_s = db_column_int(statement, at++);
        terms->uses_max = (uint32_t) db_column_int(statement, at++);
        grant.policy.uses = (uint32_t) db_column_int(statement, at++);
        grant.policy.suspended = db_column_int(statement, at++) != 0;
        grant.policy.expired = db_column_int(statement, at++) != 0;
        grant.revoked_s = db_column_int(statement, at++);
        grant.policy.revoked = grant.revoked_s != 0;
        *ret = grant;
        return 0;
}

int consent_grants(Consent *consent, int (*each)(const ConsentGrant *grant, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT id, " GRANT_COLUMNS " FROM grants ORDER BY id");
        if (r)
                return r;
        for (;;) {
                cleanup(consent_grant_done) ConsentGrant grant = { 0 };
                const char *jwt;
                bool row = false;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                r = read_grant(statement, &grant, &jwt);
                if (r)
                        return r;
                grant.jwt = strdup(jwt);
                if (!grant.jwt)
                        return -ENOMEM;
                r = each(&grant, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
}

static int change_grant(Consent *consent, const char *sql, uint64_t id, int64_t value) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        r = db_prepare(consent->db, &statement, sql);
        if (r)
                return r;
        db_bind_int(statement, 1, (int64_t) id);
        db_bind_int(statement, 2, value);
        r = change(consent, statement);
        if (r)
                return r;
        return db_n_changes(consent->db) > 0 ? 0 : CONSENT_E_NOT_FOUND;
}

/* A second revocation keeps the time of the first; a clock that stands before 1970 does not bring a grant to life. */
int consent_grant_revoke(Consent *consent, uint64_t id, int64_t now_s) {
        return change_grant(consent, "UPDATE grants SET revoked_s = CASE revoked_s WHEN 0 THEN ?2 ELSE revoked_s END WHERE id = ?1", id, now_s > 0 ? now_s : 1);
}

int consent_grant_expire(Consent *consent, uint64_t id) {
        return change_grant(consent, "UPDATE grants SET expired = ?2 WHERE id = ?1", id, 1);
}

int consent_grant_suspend(Consent *consent, uint64_t id, bool suspended) {
        return change_grant(consent, "UPDATE grants SET suspended = ?2 WHERE id = ?1", id, suspended);
}

int consent_grant_use(Consent *consent, uint64_t id, uint32_t uses) {
        return change_grant(consent, "UPDATE grants SET uses = ?2 WHERE id = ?1", id, uses);
}

/* --- highest time seen --- */

int64_t consent_highest_s(const Consent *consent) {
        return consent->now.highest_s;
}

static int set_highest(Consent *consent, int64_t now_s) {
        int r;

        db_bind_int(consent->saw, 1, now_s);
        r = change(consent, consent->saw);
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

/* --- ledger --- */

static void commit_to(uint8_t ret[static crypto_hash_sha256_BYTES], const uint8_t salt[static SALT_SIZE], const void *record, size_t n_record) {
        crypto_hash_sha256_state state;

        (void) crypto_hash_sha256_init(&state);
        (void) crypto_hash_sha256_update(&state, salt, SALT_SIZE);
        (void) crypto_hash_sha256_update(&state, record, n_record);
        (void) crypto_hash_sha256_final(&state, ret);
}

int consent_ledger_append(Consent *consent, const char *record, size_t n_record, uint64_t *ret_index) {
        uint8_t salt[SALT_SIZE], commitment[crypto_hash_sha256_BYTES];
        uint64_t index = consent->now.range.size;
        MerkleHash leaf;
        int r;

        assert(consent->depth > 0);

        if (n_record == 0 || n_record > CONSENT_ENTRY_MAX)
                return -EMSGSIZE;

        randombytes_buf(salt, sizeof(salt));
        commit_to(commitment, salt, record, n_record);
        db_bind_int(consent->append, 1, (int64_t) index);
        db_bind_blob(consent->append, 2, salt, sizeof(salt));
        db_bind_blob(consent->append, 3, record, n_record);
        db_bind_blob(consent->append, 4, commitment, sizeof(commitment));
        r = change(consent, consent->append);
        if (r)
                return r;

        merkle_leaf(&leaf, commitment, sizeof(commitment));
        merkle_range_append(&consent->now.range, &leaf);
        *ret_index = index;
        return 0;
}

uint64_t consent_ledger_size(const Consent *consent) {
        return consent->now.range.size;
}

const char *consent_ledger_checkpoint(const Consent *consent) {
        return consent->checkpoint;
}

/* The settings "ledger-epoch" and "ledger-epochs": the name of this one, and those of all before but the first. */
int consent_ledger_new_epoch(Consent *consent) {
        cleanup(freep) char *past = NULL, *all = NULL;
        uint8_t random[EPOCH_SIZE];
        char name[2 * EPOCH_SIZE + 1];
        char *origin;
        size_t n;
        int r;

        assert(consent->depth > 0);

        if (strlen(consent->origin) > strlen(consent->base)) {
                r = consent_setting_get(consent, "ledger-epochs", &past, &n);
                if (r && r != CONSENT_E_NOT_FOUND)
                        return r;
                if (asprintf(&all, "%s %s", past ? past : "", consent->origin + strlen(consent->base) + 1) < 0)
                        return -ENOMEM;
                r = consent_setting_put(consent, "ledger-epochs", all, strlen(all));
                if (r)
                        return r;
        }
        randombytes_buf(random, sizeof(random));
        (void) sodium_bin2hex(name, sizeof(name), random, sizeof(random));
        r = consent_setting_put(consent, "ledger-epoch", name, strlen(name));
        if (r)
                return r;
        if (asprintf(&origin, "%s/%s", consent->base, name) < 0)
                return -ENOMEM;
        free(consent->next_origin);
        consent->next_origin = origin;
        return 0;
}

/* Whether @origin is that of an epoch before this one. */
static int is_past(Consent *consent, const char *origin, bool *ret) {
        cleanup(freep) char *past = NULL;
        size_t n_base = strlen(consent->base), n;
        int r;

        *ret = strcmp(origin, consent->base) == 0;
        if (*ret || strlen(origin) != n_base + 1 + 2 * (size_t) EPOCH_SIZE)
                return 0;
        r = consent_setting_get(consent, "ledger-epochs", &past, &n);
        if (r)
                return r == CONSENT_E_NOT_FOUND ? 0 : r;
        *ret = strstr(past, origin + n_base + 1) != NULL;
        return 0;
}

int consent_ledger_compare(Consent *consent, const char *checkpoint, int *ret) {
        cleanup(freep) char *origin = strndup(checkpoint, strcspn(checkpoint, "\n"));
        MerkleHash root, signed_root;
        uint64_t size;
        bool past;
        int r;

        if (!origin)
                return -ENOMEM;
        if (strncmp(origin, consent->base, strlen(consent->base)) != 0)
                return CONSENT_E_NOT_FOUND;
        r = note_checkpoint_open(checkpoint, strlen(checkpoint), origin, consent->public_key, &size, &signed_root);
        if (r)
                return r < 0 ? r : CONSENT_E_NOT_FOUND;

        if (strcmp(origin, consent->origin) != 0) {
                r = is_past(consent, origin, &past);
                if (r)
                        return r;
                *ret = past ? 0 : 1;
                return 0;
        }
        merkle_range_root(&root, &consent->committed.range);
        *ret = size > consent->committed.range.size ? 1 : size == consent->committed.range.size && memcmp(&root, &signed_root, sizeof(root)) != 0 ? -1 : 0;
        return 0;
}

int consent_ledger_read(Consent *consent, uint64_t first, size_t n_max,
                        int (*each)(uint64_t index, const char *record, size_t n_record, void *userdata), void *userdata) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        int r;

        if (first >= consent->now.range.size)
                return 0;

        r = db_prepare(consent->db, &statement, "SELECT n, record FROM ledger WHERE n >= ?1 ORDER BY n");
        if (r)
                return r;
        db_bind_int(statement, 1, (int64_t) first);
        for (; n_max > 0; n_max--) {
                const char *record;
                bool row = false;
                size_t n;

                r = db_step(statement, &row);
                if (r || !row)
                        return r;
                record = db_column_blob(statement, 1, &n);
                r = each((uint64_t) db_column_int(statement, 0), record, n, userdata);
                if (r)
                        return r < 0 ? r : 0;
        }
        return 0;
}

/* What stood in the ledger when it began; what is appended meanwhile is left to the next one. */
struct ConsentVerify {
        MerkleRange range;
        uint64_t size;
        MerkleHash root;
};

static int verify_entry(ConsentVerify *verify, DbStatement *statement) {
        uint8_t salt[SALT_SIZE], commitment[crypto_hash_sha256_BYTES], again[crypto_hash_sha256_BYTES];
        const void *record;
        MerkleHash leaf;
        size_t n_record;

        if ((uint64_t) db_column_int(statement, 0) != verify->range.size ||
            !db_column_copy(statement, 3, commitment, sizeof(commitment)))
                return CONSENT_E_KEY;

        record = db_column_blob(statement, 2, &n_record);
        if (record) { /* else it was erased, and the commitment stands for it */
                if (!db_column_copy(statement, 1, salt, sizeof(salt)))
                        return CONSENT_E_KEY;
                commit_to(again, salt, record, n_record);
                if (memcmp(commitment, again, sizeof(again)) != 0)
                        return CONSENT_E_KEY;
        }
        merkle_leaf(&leaf, commitment, sizeof(commitment));
        merkle_range_append(&verify->range, &leaf);
        return 0;
}

static int verify_some(Consent *consent, ConsentVerify *verify, bool *ret_done) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        MerkleHash root;
        int r;

        r = db_prepare(consent->db, &statement, "SELECT n, salt, record, commitment FROM ledger WHERE n >= ?1 ORDER BY n");
        if (r)
                return r;
        db_bind_int(statement, 1, (int64_t) verify->range.size);
        for (unsigned i = 0; i < VERIFY_BATCH && verify->range.size < verify->size; i++) {
                bool row = false;

                r = db_step(statement, &row);
                if (r)
                        return r;
                r = row ? verify_entry(verify, statement) : CONSENT_E_KEY;
                if (r)
                        return r;
        }

        if (verify->range.size == verify->size) {
                merkle_range_root(&root, &verify->range);
                if (memcmp(&root, &verify->root, sizeof(root)) != 0)
                        return CONSENT_E_KEY;
                *ret_done = true;
        }
        return 0;
}

int consent_ledger_verify_step(Consent *consent, ConsentVerify **state, bool *ret_done) {
        bool done = false;
        int r;

        if (!*state) {
                *state = calloc(1, sizeof(**state));
                if (!*state)
                        return -ENOMEM;
                (*state)->size = consent->committed.range.size;
                merkle_range_root(&(*state)->root, &consent->committed.range);
        }

        r = verify_some(consent, *state, &done);
        if (r || done) {
                free(*state);
                *state = NULL;
        }
        if (r)
                return r;
        *ret_done = done;
        return 0;
}
