/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/common/keys.h"
#include "daemon/common/slots.h"
#include "daemon/common/spool.h"

#include <dirent.h>
#include <sys/stat.h>

typedef struct Fixture {
        Folder folder;
        Secret *seed;
        Slots slots;
} Fixture;

static void fixture_done(Fixture *f) {
        folder_done(&f->folder);
        f->seed = secret_free(f->seed);
}

static Fixture fixture_new(void) {
        cleanup(secret_freep) Secret *root = key_of(1);
        Fixture f = {.folder = folder_new()};

        assert_int_equal(slots_create(&f.slots, root), 0);
        assert_int_equal(keys_derive_one(&f.seed, root, KEY_SPOOL_SEED), 0);
        return f;
}

static int add(const Fixture *f, SpoolType type, const char *provider) {
        SpoolEntry entry = {.type = type, .time_unix_ms = 1234567890123};

        (void) snprintf(entry.provider, sizeof(entry.provider), "%s", provider);
        return spool_add(f->folder.fd, f->slots.spool_public_key, f->slots.wallet_id, &entry);
}

typedef struct Seen {
        SpoolEntry entries[8];
        size_t n;
        int answer;
} Seen;

static int see(void *userdata, const SpoolEntry *entry) {
        Seen *seen = userdata;

        assert_true(seen->n < N_ELEMENTS(seen->entries));
        seen->entries[seen->n++] = *entry;
        return seen->answer;
}

static int apply(const Fixture *f, Seen *seen) {
        return spool_apply(f->folder.fd, f->seed, f->slots.wallet_id, see, seen);
}

static size_t count(const Fixture *f) {
        size_t n = 99;

        assert_int_equal(spool_count(f->folder.fd, &n), 0);
        return n;
}

static void what_was_spooled_is_applied_once(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();
        Seen seen = {0};

        (void) state;

        assert_int_equal(count(&f), 0);
        assert_int_equal(apply(&f, &seen), 0);
        assert_int_equal(add(&f, SPOOL_REVOKE, "endo-clinic"), 0);
        assert_int_equal(add(&f, SPOOL_REVOKE_ALL, ""), 0);
        assert_int_equal(count(&f), 2);
        assert_int_equal(apply(&f, &seen), 0);
        assert_int_equal(seen.n, 2);
        for (size_t i = 0; i < 2; i++) {
                assert_string_equal(seen.entries[i].provider, seen.entries[i].type == SPOOL_REVOKE ? "endo-clinic" : "");
                assert_int_equal(seen.entries[i].time_unix_ms, 1234567890123);
        }
        assert_int_not_equal(seen.entries[0].type, seen.entries[1].type);
        assert_int_equal(count(&f), 0);
        assert_int_equal(apply(&f, &seen), 0);
        assert_int_equal(seen.n, 2);
}

static void an_entry_stays_until_it_was_committed(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();
        Seen seen = {.answer = -ENOSPC};

        (void) state;

        assert_int_equal(add(&f, SPOOL_REVOKE, "endo-clinic"), 0);
        assert_int_equal(apply(&f, &seen), -ENOSPC);
        assert_int_equal(count(&f), 1);
        seen.answer = 0;
        assert_int_equal(apply(&f, &seen), 0);
        assert_int_equal(seen.n, 2);
        assert_int_equal(count(&f), 0);
}

static void the_file_does_not_show_whom_it_concerns(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();
        static const char *const providers[] = {"endo-clinic", "a", ""};
        ssize_t size = -1;

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(providers); i++)
                assert_int_equal(add(&f, providers[i][0] ? SPOOL_REVOKE : SPOOL_REVOKE_ALL, providers[i]), 0);

        cleanup(close_fdp) int fd = openat(f.folder.fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        DIR *dir = fdopendir(take_fd(&fd));
        struct dirent *entry;

        assert_non_null(dir);
        while ((entry = readdir(dir))) {
                uint8_t bytes[1024];
                size_t n;

                if (entry->d_name[0] == '.') {
                        assert_true(strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0);
                        continue;
                }
                n = read_whole(dirfd(dir), entry->d_name, bytes, sizeof(bytes));
                assert_true(size < 0 || size == (ssize_t) n);
                size = (ssize_t) n;
                assert_null(memmem(bytes, n, "endo", 4));
        }
        (void) closedir(dir);
}

static void what_can_not_be_opened_is_said_and_removed(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();
        uint8_t foreign_id[16] = {0};
        SpoolEntry entry = {.type = SPOOL_REVOKE_ALL};
        Seen seen = {0};

        (void) state;

        assert_int_equal(mkdirat(f.folder.fd, "spool", 0700), 0);
        write_whole(f.folder.fd, "spool/0123", "nonsense", 8);
        assert_int_equal(spool_add(f.folder.fd, f.slots.spool_public_key, foreign_id, &entry), 0);
        assert_int_equal(symlinkat("/etc/passwd", f.folder.fd, "spool/4567"), 0);
        assert_int_equal(mkdirat(f.folder.fd, "spool/89ab", 0700), 0);
        assert_int_equal(apply(&f, &seen), 0);
        assert_int_equal(seen.n, 4);
        for (size_t i = 0; i < seen.n; i++)
                assert_int_equal(seen.entries[i].type, SPOOL_DAMAGED);
        assert_int_equal(count(&f), 1); /* the directory: not ours to remove */
}

static void a_name_that_is_none_and_a_thousand_and_first_entry_are_refused(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();

        (void) state;

        assert_int_equal(add(&f, SPOOL_REVOKE, ""), SPOOL_E_NAME);
        assert_int_equal(add(&f, SPOOL_REVOKE_ALL, "x"), SPOOL_E_NAME);
        assert_int_equal(add(&f, SPOOL_REVOKE, "two\nlines"), SPOOL_E_NAME);
        assert_int_equal(count(&f), 0);

        assert_int_equal(mkdirat(f.folder.fd, "spool", 0700), 0);
        for (unsigned i = 0; i < SPOOL_FILES_MAX - 1; i++) {
                char name[32];

                (void) snprintf(name, sizeof(name), "spool/%u", i);
                write_whole(f.folder.fd, name, "", 0);
        }
        assert_int_equal(add(&f, SPOOL_REVOKE, "last"), 0);
        assert_int_equal(add(&f, SPOOL_REVOKE, "one more"), SPOOL_E_FULL);
}

static void several_are_spooled_or_none(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();
        SpoolEntry entries[] = {
                {.type = SPOOL_REVOKE, .provider = "clinic"},
                {.type = SPOOL_REVOKE, .provider = "two\nlines"},
                {.type = SPOOL_REVOKE, .provider = "other"},
        };
        SpoolName names[N_ELEMENTS(entries)];

        (void) state;

        assert_int_equal(spool_add_all(f.folder.fd, f.slots.spool_public_key, f.slots.wallet_id, entries, N_ELEMENTS(entries), NULL), SPOOL_E_NAME);
        assert_int_equal(count(&f), 0);
        (void) snprintf(entries[1].provider, sizeof(entries[1].provider), "third");
        assert_int_equal(spool_add_all(f.folder.fd, f.slots.spool_public_key, f.slots.wallet_id, entries, N_ELEMENTS(entries), names), 0);
        assert_int_equal(count(&f), N_ELEMENTS(entries));
        assert_int_equal(spool_remove(f.folder.fd, names, N_ELEMENTS(names)), 0);
        assert_int_equal(spool_remove(f.folder.fd, names, N_ELEMENTS(names)), 0);
        assert_int_equal(count(&f), 0);
}

static void what_is_in_reserve_waits_for_nothing(void **state) {
        cleanup(fixture_done) Fixture f = fixture_new();

        (void) state;

        assert_int_equal(spool_reserve(f.folder.fd), 0);
        assert_int_equal(spool_reserve(f.folder.fd), 0);
        assert_int_equal(count(&f), 0);
        assert_int_equal(add(&f, SPOOL_REVOKE, "clinic"), 0);
        assert_int_equal(count(&f), 1);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_spooled_is_applied_once),
                cmocka_unit_test(an_entry_stays_until_it_was_committed),
                cmocka_unit_test(the_file_does_not_show_whom_it_concerns),
                cmocka_unit_test(what_can_not_be_opened_is_said_and_removed),
                cmocka_unit_test(a_name_that_is_none_and_a_thousand_and_first_entry_are_refused),
                cmocka_unit_test(several_are_spooled_or_none),
                cmocka_unit_test(what_is_in_reserve_waits_for_nothing),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
