/* SPDX-License-Identifier: Apache-2.0 */

#include "consent-private.h"

enum {
        SALT_SIZE = 32,
        VERIFY_BATCH = 1000, /* entries in one step: about 2 ms */
        EPOCH_SIZE = 8,      /* bytes of an epoch's random name */
};

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
        r = consent_change(consent, consent->append);
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
