/* SPDX-License-Identifier: Apache-2.0 */

#include "store.h"

#include <sodium.h>

#include "daemon/core/consent.h"
#include "daemon/core/db.h"
#include "daemon/core/note.h"

#define ORIGIN "kSIqNE0rzG0WN7Jg1u1KdJp2fFZBWUNtv8y5vTn5l6Q/ledger"

static Consent *open_consent(const char *folder) {
        cleanup(secret_freep) Secret *key = key_of(1), *seed = key_of(2);
        Consent *consent = NULL;

        ok(consent_open(&consent, folder, key, seed, ORIGIN));
        return consent;
}

static int try_open(const char *folder, uint8_t key_byte, uint8_t seed_byte, const char *origin) {
        cleanup(secret_freep) Secret *key = key_of(key_byte), *seed = key_of(seed_byte);
        cleanup(consent_closep) Consent *consent = NULL;

        return consent_open(&consent, folder, key, seed, origin);
}

static ConsentProvider provider_of(const char *name, uint8_t key_byte) {
        ConsentProvider provider = { .added_s = 1647216000 };

        (void) snprintf(provider.name, sizeof(provider.name), "%s", name);
        memset(provider.key, key_byte, sizeof(provider.key));
        return provider;
}

static ConsentGrant grant_of(uint8_t byte) {
        ConsentGrant grant = {
                .provider = 7,
                .jwt = strdup("header.payload.signature"),
                .policy.live_terms = {
                        .scope = {
                                .kinds = RECORD_ALL_KINDS,
                                .detail = POLICY_DATA,
                                .identity = POLICY_PSEUDONYM,
                                .free_text = true,
                                .window = { .type = POLICY_WINDOW_LAST, .from_day = -5, .to_day = 19065, .last_days = 90, .newer = true },
                        },
                        .not_before_s = 1647216000,
                        .expires_s = 1649808000,
                        .uses_max = UINT32_MAX,
                },
                .issued_s = 1647216000,
        };

        (void) snprintf(grant.jti, sizeof(grant.jti), "jti-%u", byte);
        memset(grant.assertion_sha256, byte, sizeof(grant.assertion_sha256));
        return grant;
}

static void append(Consent *consent, unsigned number) {
        char record[64];
        uint64_t index;

        (void) snprintf(record, sizeof(record), "{\"type\":\"test\",\"n\":%u}", number);
        ok(consent_ledger_append(consent, record, strlen(record), &index));
        assert_true(index + 1 == consent_ledger_size(consent));
}

static void append_and_commit(Consent *consent, unsigned n) {
        ok(consent_begin(consent));
        for (unsigned i = 0; i < n; i++)
                append(consent, i);
        ok(consent_commit(consent));
}

static int verify_all(Consent *consent) {
        ConsentVerify *verify = NULL;
        bool done = false;
        int r = 0;

        while (!done && r == 0)
                r = consent_ledger_verify_step(consent, &verify, &done);
        assert_null(verify);
        return r;
}

/* the size that the signed checkpoint says */
static uint64_t signed_size(Consent *consent) {
        const char *note = consent_ledger_checkpoint(consent);
        uint8_t public_key[32], secret_key[64], seed[32];
        MerkleHash root;
        uint64_t size;

        memset(seed, 2, sizeof(seed));
        (void) crypto_sign_seed_keypair(public_key, secret_key, seed);
        ok(note_checkpoint_open(note, strlen(note), ORIGIN, public_key, &size, &root));
        return size;
}

static void settings_come_back_as_they_were_put(void **state) {
        Consent *consent = open_consent(*state);
        cleanup(freep) char *large = calloc(1, CONSENT_SETTING_MAX + 1);
        char *value = NULL;
        size_t n = 0;

        assert_int_equal(consent_setting_get(consent, "zone", &value, &n), CONSENT_E_NOT_FOUND);
        ok(consent_begin(consent));
        ok(consent_setting_put(consent, "zone", "Europe/Berlin", 13));
        ok(consent_setting_put(consent, "empty", "", 0));
        ok(consent_setting_put(consent, "zone", "Europe/Paris", 12));
        ok(consent_setting_put(consent, "large", large, CONSENT_SETTING_MAX));
        assert_int_equal(consent_setting_put(consent, "larger", large, CONSENT_SETTING_MAX + 1), -EMSGSIZE);
        ok(consent_commit(consent));
        consent_close(consent);

        consent = open_consent(*state);
        ok(consent_setting_get(consent, "zone", &value, &n));
        assert_string_equal(value, "Europe/Paris");
        assert_int_equal(n, 12);
        free(value);
        ok(consent_setting_get(consent, "empty", &value, &n));
        assert_int_equal(n, 0);
        assert_string_equal(value, "");
        free(value);
        ok(consent_setting_get(consent, "large", &value, &n));
        assert_int_equal(n, CONSENT_SETTING_MAX);
        free(value);
        assert_int_equal(consent_setting_get(consent, "larger", &value, &n), CONSENT_E_NOT_FOUND);
        consent_close(consent);
}

static int count_providers(const ConsentProvider *provider, void *userdata) {
        unsigned *n = userdata;

        assert_string_equal(provider->name, *n == 0 ? "endo-clinic" : "mother");
        ++*n;
        return 0;
}

static void a_providers_name_and_key_are_its_own(void **state) {
        cleanup(consent_closep) Consent *consent = open_consent(*state);
        ConsentProvider provider = provider_of("endo-clinic", 1), found;
        char longest[CONSENT_NAME_MAX] = "";
        unsigned n = 0;

        ok(consent_begin(consent));
        ok(consent_provider_add(consent, &provider));
        assert_true(provider.id > 0);
        provider = provider_of("endo-clinic", 2);
        assert_int_equal(consent_provider_add(consent, &provider), CONSENT_E_EXISTS);
        provider = provider_of("other", 1);
        assert_int_equal(consent_provider_add(consent, &provider), CONSENT_E_EXISTS);
        provider = provider_of("mother", 3);
        ok(consent_provider_add(consent, &provider));
        ok(consent_commit(consent)); /* what was refused has not spoilt the rest */

        ok(consent_provider_find(consent, "mother", &found));
        assert_memory_equal(&found, &provider, sizeof(found));
        assert_int_equal(consent_provider_find(consent, "other", &found), CONSENT_E_NOT_FOUND);
        ok(consent_providers(consent, count_providers, &n));
        assert_int_equal(n, 2);

        ok(consent_begin(consent));
        memset(longest, 'n', sizeof(longest) - 1);
        provider = provider_of(longest, 4);
        ok(consent_provider_add(consent, &provider));
        static const char *const bad[] = { "", "A", "a b", ".a", "-a", "_a", "a/b", "ä" };
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                provider = provider_of(bad[i], 9);
                assert_int_equal(consent_provider_add(consent, &provider), -EINVAL);
        }
        memset(provider.name, 'n', sizeof(provider.name)); /* no terminator */
        assert_int_equal(consent_provider_add(consent, &provider), -EINVAL);
        consent_rollback(consent);
        assert_int_equal(consent_provider_find(consent, longest, &found), CONSENT_E_NOT_FOUND);
}

typedef struct Found {
        ConsentGrant grants[4];
        size_t n;
} Found;

static int keep_grant(const ConsentGrant *grant, void *userdata) {
        Found *found = userdata;

        assert_true(found->n < N_ELEMENTS(found->grants));
        assert_string_equal(grant->jwt, "header.payload.signature");
        found->grants[found->n++] = *grant;
        return 0;
}

static void a_grant_comes_back_as_it_was_added(void **state) {
        Consent *consent = open_consent(*state);
        cleanup(consent_grant_done) ConsentGrant grant = grant_of(1), second = grant_of(2);
        Found found = { 0 };

        ok(consent_begin(consent));
        ok(consent_grant_add(consent, &grant));
        assert_int_equal(consent_grant_add(consent, &grant), CONSENT_E_EXISTS);
        ok(consent_grant_add(consent, &second));
        ok(consent_commit(consent));
        consent_close(consent);

        consent = open_consent(*state);
        ok(consent_grants(consent, keep_grant, &found));
        assert_int_equal(found.n, 2);
        assert_true(found.grants[0].id == grant.id && found.grants[0].provider == 7 && found.grants[0].issued_s == grant.issued_s);
        assert_string_equal(found.grants[0].jti, "jti-1");
        assert_memory_equal(found.grants[0].assertion_sha256, grant.assertion_sha256, 32);
        assert_true(policy_scope_narrows(&found.grants[0].policy.live_terms.scope, &grant.policy.live_terms.scope));
        assert_true(policy_scope_narrows(&grant.policy.live_terms.scope, &found.grants[0].policy.live_terms.scope));
        assert_true(found.grants[0].policy.live_terms.not_before_s == grant.policy.live_terms.not_before_s);
        assert_true(found.grants[0].policy.live_terms.expires_s == grant.policy.live_terms.expires_s);
        assert_true(found.grants[0].policy.live_terms.uses_max == grant.policy.live_terms.uses_max);
        assert_memory_equal(&found.grants[0].policy.live_terms.scope.window.from_day, &grant.policy.live_terms.scope.window.from_day, 3 * sizeof(int32_t));
        assert_false(found.grants[0].policy.revoked || found.grants[0].policy.expired || found.grants[0].policy.suspended);

        ok(consent_begin(consent));
        ok(consent_grant_revoke(consent, grant.id, 1000));
        ok(consent_grant_revoke(consent, grant.id, 2000));
        ok(consent_grant_revoke(consent, second.id, -5));
        ok(consent_grant_expire(consent, second.id));
        ok(consent_grant_use(consent, second.id, 17));
        assert_int_equal(consent_grant_revoke(consent, 99, 1000), CONSENT_E_NOT_FOUND);
        assert_int_equal(consent_grant_expire(consent, 99), CONSENT_E_NOT_FOUND);
        assert_int_equal(consent_grant_use(consent, 99, 1), CONSENT_E_NOT_FOUND);
        ok(consent_commit(consent));
        found.n = 0;
        ok(consent_grants(consent, keep_grant, &found));
        assert_true(found.grants[0].policy.revoked && found.grants[0].revoked_s == 1000 && !found.grants[0].policy.expired);
        assert_true(found.grants[1].policy.revoked && found.grants[1].policy.expired && found.grants[1].policy.uses == 17);
        consent_close(consent);
}

static void the_longest_grant_and_entry_are_taken_and_no_longer_ones(void **state) {
        cleanup(consent_closep) Consent *consent = open_consent(*state);
        cleanup(consent_grant_done) ConsentGrant grant = grant_of(1);
        cleanup(freep) char *entry = malloc(CONSENT_ENTRY_MAX + 1);
        uint64_t index;

        free(grant.jwt);
        grant.jwt = calloc(1, CONSENT_GRANT_MAX + 2);
        memset(grant.jwt, 'j', CONSENT_GRANT_MAX + 1);
        memset(entry, 'e', CONSENT_ENTRY_MAX + 1);

        ok(consent_begin(consent));
        assert_int_equal(consent_grant_add(consent, &grant), -EMSGSIZE);
        grant.jwt[CONSENT_GRANT_MAX] = '\0';
        ok(consent_grant_add(consent, &grant));
        ok(consent_ledger_append(consent, entry, CONSENT_ENTRY_MAX, &index));
        assert_int_equal(consent_ledger_append(consent, entry, CONSENT_ENTRY_MAX + 1, &index), -EMSGSIZE);
        assert_int_equal(consent_ledger_append(consent, entry, 0, &index), -EMSGSIZE);
        ok(consent_commit(consent));
        assert_int_equal(consent_ledger_size(consent), 1);
        ok(verify_all(consent));
}

static void the_highest_time_only_rises(void **state) {
        Consent *consent = open_consent(*state);

        assert_int_equal(consent_highest_s(consent), 0);
        ok(consent_saw_time(consent, 100)); /* alone, outside of a transaction */
        ok(consent_begin(consent));
        ok(consent_saw_time(consent, 200));
        ok(consent_saw_time(consent, 150));
        assert_int_equal(consent_highest_s(consent), 200);
        consent_rollback(consent);
        assert_int_equal(consent_highest_s(consent), 100);
        ok(consent_begin(consent));
        ok(consent_saw_time(consent, 300));
        ok(consent_commit(consent));
        consent_close(consent);

        consent = open_consent(*state);
        assert_int_equal(consent_highest_s(consent), 300);
        consent_close(consent);
}

static int check_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        uint64_t *next = userdata;
        char expected[64];

        (void) snprintf(expected, sizeof(expected), "{\"type\":\"test\",\"n\":%u}", (unsigned) index);
        assert_true(index == *next);
        assert_int_equal(n_record, strlen(expected));
        assert_memory_equal(record, expected, n_record);
        ++*next;
        return *next == 30;
}

static void the_ledger_grows_and_each_commit_signs_it(void **state) {
        Consent *consent = open_consent(*state);
        uint64_t next = 10;

        assert_int_equal(signed_size(consent), 0);
        ok(verify_all(consent));
        for (unsigned i = 0; i < 40; i++) {
                ok(consent_begin(consent));
                append(consent, i);
                assert_int_equal(signed_size(consent), i);
                ok(consent_commit(consent));
                assert_int_equal(signed_size(consent), i + 1);
        }
        ok(consent_ledger_read(consent, 10, 5, check_entry, &next));
        assert_int_equal(next, 15);
        ok(consent_ledger_read(consent, 15, 1000, check_entry, &next));
        assert_int_equal(next, 30);
        next = 40;
        ok(consent_ledger_read(consent, 40, 1000, check_entry, &next));
        ok(consent_ledger_read(consent, UINT64_MAX, 1000, check_entry, &next));
        assert_int_equal(next, 40);
        ok(verify_all(consent));
        consent_close(consent);

        consent = open_consent(*state);
        assert_int_equal(consent_ledger_size(consent), 40);
        assert_int_equal(signed_size(consent), 40);
        append_and_commit(consent, 3000); /* goes on with the edge that was stored */
        ok(verify_all(consent));
        consent_close(consent);
        consent = open_consent(*state);
        ok(verify_all(consent));
        consent_close(consent);
}

static void a_rolled_back_entry_never_was(void **state) {
        Consent *consent = open_consent(*state);
        cleanup(freep) char *before = NULL;

        append_and_commit(consent, 5);
        before = strdup(consent_ledger_checkpoint(consent));

        ok(consent_begin(consent));
        append(consent, 100);
        append(consent, 101);
        assert_int_equal(consent_ledger_size(consent), 7);
        consent_rollback(consent);
        assert_int_equal(consent_ledger_size(consent), 5);
        assert_string_equal(consent_ledger_checkpoint(consent), before);

        append_and_commit(consent, 1);
        assert_int_equal(consent_ledger_size(consent), 6);
        ok(verify_all(consent));
        consent_close(consent);
        consent = open_consent(*state);
        ok(verify_all(consent));
        consent_close(consent);
}

static void only_the_outermost_of_nested_transactions_commits(void **state) {
        cleanup(consent_closep) Consent *consent = open_consent(*state);
        char *value;
        size_t n;

        ok(consent_begin(consent));
        append(consent, 0);
        ok(consent_begin(consent));
        append(consent, 1);
        ok(consent_commit(consent));
        assert_int_equal(signed_size(consent), 0);
        ok(consent_commit(consent));
        assert_int_equal(signed_size(consent), 2);

        /* an inner one that is rolled back takes all with it */
        ok(consent_begin(consent));
        ok(consent_setting_put(consent, "a", "1", 1));
        ok(consent_begin(consent));
        append(consent, 2);
        consent_rollback(consent);
        assert_int_equal(consent_ledger_size(consent), 2);
        assert_int_equal(consent_setting_put(consent, "a", "2", 1), -ECANCELED);
        ok(consent_begin(consent));
        assert_int_equal(consent_commit(consent), -ECANCELED);
        assert_int_equal(consent_commit(consent), -ECANCELED);
        assert_int_equal(consent_setting_get(consent, "a", &value, &n), CONSENT_E_NOT_FOUND);

        ok(consent_begin(consent)); /* and the next one is as if nothing had been */
        ok(consent_setting_put(consent, "a", "3", 1));
        append(consent, 2);
        ok(consent_commit(consent));
        ok(consent_setting_get(consent, "a", &value, &n));
        assert_string_equal(value, "3");
        free(value);
        ok(verify_all(consent));
}

static void what_is_not_committed_at_the_end_is_gone(void **state) {
        Consent *consent = open_consent(*state);

        append_and_commit(consent, 3);
        ok(consent_begin(consent));
        append(consent, 3);
        consent_close(consent);
        consent = open_consent(*state);
        assert_int_equal(consent_ledger_size(consent), 3);
        ok(verify_all(consent));
        consent_close(consent);
}

static void a_committed_change_outlives_a_kill(void **state) {
        int pipes[2], status;
        pid_t pid;

        ok(pipe(pipes));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Consent *consent = open_consent(*state);

                for (uint32_t i = 1;; i++) {
                        append_and_commit(consent, 2);
                        if (write(pipes[1], &i, sizeof(i)) != sizeof(i))
                                _exit(1);
                }
        }
        (void) close(pipes[1]);
        for (uint32_t i = 1; i <= 300; i++) {
                uint32_t told;

                assert_int_equal(read(pipes[0], &told, sizeof(told)), sizeof(told));
                assert_int_equal(told, i);
        }
        ok(kill(pid, SIGKILL));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        (void) close(pipes[0]);

        Consent *consent = open_consent(*state);
        assert_true(consent_ledger_size(consent) >= 600 && consent_ledger_size(consent) % 2 == 0);
        assert_true(signed_size(consent) == consent_ledger_size(consent));
        ok(verify_all(consent));
        consent_close(consent);
}

/* Change the database behind the module's back, with the key. */
static void tamper(const char *folder, const char *sql) {
        const DbOptions options = { .schema = "", .cache_kib = 256, .wal_limit_kib = 1024, .durable = true };
        cleanup(secret_freep) Secret *key = key_of(1);
        cleanup(db_closep) Db *db = NULL;

        ok(db_open(&db, folder, "consent.db", key, &options));
        ok(db_execute(db, sql));
}

static void an_erased_entry_leaves_the_ledger_whole(void **state) {
        Consent *consent = open_consent(*state);

        append_and_commit(consent, 10);
        consent_close(consent);
        tamper(*state, "UPDATE ledger SET salt = NULL, record = NULL WHERE n = 4");
        consent = open_consent(*state);
        ok(verify_all(consent));
        append_and_commit(consent, 1);
        ok(verify_all(consent));
        consent_close(consent);
}

static void a_changed_entry_is_found(void **state) {
        static const char *const at_verify[] = {
                "UPDATE ledger SET record = '{}' WHERE n = 4",
                "UPDATE ledger SET salt = zeroblob(32) WHERE n = 4",
                "UPDATE ledger SET salt = NULL WHERE n = 4",
                "UPDATE ledger SET commitment = zeroblob(32) WHERE n = 4",
                "UPDATE ledger SET salt = NULL, record = NULL, commitment = zeroblob(32) WHERE n = 4",
                "DELETE FROM ledger WHERE n = 4",
        };
        static const char *const at_open[] = {
                "DELETE FROM ledger WHERE n = 1099",
                "UPDATE ledger SET n = 2000 WHERE n = 1099",
                "UPDATE state SET ledger_size = ledger_size - 1",
                "UPDATE state SET ledger_edge = zeroblob(length(ledger_edge))",
                "UPDATE state SET ledger_edge = x''",
                "UPDATE state SET checkpoint = replace(checkpoint, '1100', '1101')",
                "DELETE FROM state",
        };
        const size_t n = N_ELEMENTS(at_verify) + N_ELEMENTS(at_open);

        for (size_t i = 0; i < n; i++) {
                cleanup(freep) char *path = NULL;
                Consent *consent = open_consent(*state);

                append_and_commit(consent, 1100); /* more than one step of verifying */
                consent_close(consent);
                if (i < N_ELEMENTS(at_verify)) {
                        tamper(*state, at_verify[i]);
                        consent = open_consent(*state);
                        assert_int_equal(verify_all(consent), CONSENT_E_KEY);
                        consent_close(consent);
                } else {
                        tamper(*state, at_open[i - N_ELEMENTS(at_verify)]);
                        assert_int_equal(try_open(*state, 1, 2, ORIGIN), CONSENT_E_KEY);
                }
                assert_true(asprintf(&path, "%s/consent.db", (char *) *state) > 0);
                ok(unlink(path));
        }
}

static void an_entry_that_comes_while_verifying_waits_for_the_next_time(void **state) {
        cleanup(consent_closep) Consent *consent = open_consent(*state);
        ConsentVerify *verify = NULL;
        bool done = false;

        append_and_commit(consent, 2500);
        ok(consent_ledger_verify_step(consent, &verify, &done));
        assert_false(done);
        append_and_commit(consent, 10);
        while (!done)
                ok(consent_ledger_verify_step(consent, &verify, &done));
        assert_null(verify);
}

static void another_key_seed_or_origin_opens_nothing(void **state) {
        Consent *consent = open_consent(*state);

        append_and_commit(consent, 1);
        consent_close(consent);
        assert_int_equal(try_open(*state, 9, 2, ORIGIN), CONSENT_E_KEY);
        assert_int_equal(try_open(*state, 1, 9, ORIGIN), CONSENT_E_KEY);
        assert_int_equal(try_open(*state, 1, 2, "other/ledger"), CONSENT_E_KEY);
        ok(try_open(*state, 1, 2, ORIGIN));
}

static void nothing_readable_is_in_any_file(void **state) {
        cleanup(consent_closep) Consent *consent = open_consent(*state);
        ConsentProvider provider = provider_of("endo-clinic", 1);
        unsigned n_files;

        ok(consent_begin(consent));
        ok(consent_provider_add(consent, &provider));
        append(consent, 1);
        ok(consent_commit(consent));
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_int_equal(n_files, 2);
        assert_false(any_file_has(*state, "endo-clinic", &n_files));
        assert_false(any_file_has(*state, "ledger", &n_files));
        consent = consent_close(consent);
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_int_equal(n_files, 1);
        assert_false(any_file_has(*state, "endo-clinic", &n_files));
}

static void a_full_disk_leaves_all_as_it_was(void **state) {
        Consent *consent = open_consent(*state);
        cleanup(consent_grant_done) ConsentGrant grant = grant_of(1);
        cleanup(freep) char *before = NULL;
        Found found = { 0 };
        int r;

        ok(consent_begin(consent));
        ok(consent_grant_add(consent, &grant));
        append(consent, 0);
        ok(consent_commit(consent));
        before = strdup(consent_ledger_checkpoint(consent));

        for (unsigned room = 0; room < 30000; room += 1500) {
                limit_files(size_of_file(*state, "consent.db-wal") + room);
                ok(consent_begin(consent));
                r = consent_grant_revoke(consent, grant.id, 1000);
                for (unsigned i = 0; i < 100 && r == 0; i++) { /* too much for the room, and for the page cache too */
                        static const char large[4000] = "{";
                        uint64_t index;

                        r = consent_ledger_append(consent, large, sizeof(large), &index);
                }
                if (r == 0)
                        r = consent_saw_time(consent, 5000);
                if (r == 0)
                        r = consent_commit(consent);
                else
                        consent_rollback(consent);
                assert_int_equal(r, CONSENT_E_FULL);

                assert_int_equal(consent_ledger_size(consent), 1);
                assert_int_equal(consent_highest_s(consent), 0);
                assert_string_equal(consent_ledger_checkpoint(consent), before);
                found.n = 0;
                ok(consent_grants(consent, keep_grant, &found));
                assert_false(found.grants[0].policy.revoked);
                ok(verify_all(consent));
        }

        limit_files(RLIM_INFINITY);
        ok(consent_begin(consent));
        ok(consent_grant_revoke(consent, grant.id, 1000));
        append(consent, 1);
        ok(consent_commit(consent));
        consent_close(consent);

        consent = open_consent(*state);
        found.n = 0;
        ok(consent_grants(consent, keep_grant, &found));
        assert_true(found.grants[0].policy.revoked);
        assert_int_equal(consent_ledger_size(consent), 2);
        ok(verify_all(consent));
        consent_close(consent);
}

static void a_commit_that_found_the_disk_full_does_not_come_back_after_a_kill(void **state) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                Consent *consent = open_consent(*state);

                append_and_commit(consent, 1);
                limit_files(size_of_file(*state, "consent.db-wal") + 6000);
                ok(consent_begin(consent));
                append(consent, 1);
                if (consent_commit(consent) != CONSENT_E_FULL)
                        _exit(1);
                (void) kill(getpid(), SIGKILL);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));

        Consent *consent = open_consent(*state);
        assert_int_equal(consent_ledger_size(consent), 1);
        ok(verify_all(consent));
        consent_close(consent);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                in_folder(settings_come_back_as_they_were_put),
                in_folder(a_providers_name_and_key_are_its_own),
                in_folder(a_grant_comes_back_as_it_was_added),
                in_folder(the_longest_grant_and_entry_are_taken_and_no_longer_ones),
                in_folder(the_highest_time_only_rises),
                in_folder(the_ledger_grows_and_each_commit_signs_it),
                in_folder(a_rolled_back_entry_never_was),
                in_folder(only_the_outermost_of_nested_transactions_commits),
                in_folder(what_is_not_committed_at_the_end_is_gone),
                in_folder(a_committed_change_outlives_a_kill),
                in_folder(an_erased_entry_leaves_the_ledger_whole),
                in_folder(a_changed_entry_is_found),
                in_folder(an_entry_that_comes_while_verifying_waits_for_the_next_time),
                in_folder(another_key_seed_or_origin_opens_nothing),
                in_folder(nothing_readable_is_in_any_file),
                in_folder(a_full_disk_leaves_all_as_it_was),
                in_folder(a_commit_that_found_the_disk_full_does_not_come_back_after_a_kill),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
