/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <ftw.h>

#include "cli/memory.h"

#define WALLET "Xrpo0ghrrWTT2H71wtX3Pg"
#define KEY "9Xj9pUhKf5IEnkv53AkuZYbwfHOPLQ5yXs-kp2RixgE"

static char home[] = "/tmp/cli-XXXXXX";

static int set_up(void **state) {
        (void) state;

        memcpy(home + sizeof(home) - 7, "XXXXXX", 6);
        return mkdtemp(home) && setenv("HOME", home, 1) == 0 && unsetenv("XDG_STATE_HOME") == 0 ? 0 : -1;
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void) st;
        (void) type;
        (void) at;
        return remove(path);
}

static int tear_down(void **state) {
        (void) state;

        return nftw(home, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

/* One run of the program: load, note a Status with this many ledger entries and root, save. */
static MemoryVerdict run(const char *wallet, int size, const char *root, bool accept) {
        cleanup(memory_freep) Memory *memory = memory_load("/tmp/socket");
        cleanup(json_decrefp) json_t *status = NULL;
        MemoryVerdict verdict;
        char checkpoint[256];

        assert_non_null(memory);
        (void) snprintf(checkpoint, sizeof(checkpoint), "origin/ledger\n%d\n%s\n\n\xe2\x80\x94 origin/ledger c2ln\n", size, root);
        status = json_pack("{s:s, s:s, s:s, s:s}", "walletId", wallet, "stateDir", "/state", "revocationKey", KEY, "checkpoint", checkpoint);
        verdict = memory_note(memory, status, accept);
        memory_save(memory);
        return verdict;
}

static void a_ledger_that_grows_is_fine(void **state) {
        (void) state;

        assert_int_equal(run(WALLET, 1, "AAA=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 1, "AAA=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 20, "BBB=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 20, "BBB=", false), MEMORY_FINE);
}

static void a_ledger_that_went_back_is_told_until_it_is_accepted(void **state) {
        (void) state;

        assert_int_equal(run(WALLET, 20, "BBB=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 19, "CCC=", false), MEMORY_OLDER);
        assert_int_equal(run(WALLET, 21, "DDD=", false), MEMORY_OLDER); /* growing on makes it no better */
        assert_int_equal(run(WALLET, 22, "EEE=", true), MEMORY_FINE);
        assert_int_equal(run(WALLET, 23, "FFF=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 22, "EEE=", false), MEMORY_OLDER);
}

static void a_ledger_of_the_same_size_with_another_root_is_told(void **state) {
        (void) state;

        assert_int_equal(run(WALLET, 20, "BBB=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 20, "CCC=", false), MEMORY_REWRITTEN);
        assert_int_equal(run(WALLET, 21, "DDD=", false), MEMORY_REWRITTEN);
}

static void another_wallet_does_not_wash_the_first_one_clean(void **state) {
        static const char other[] = "AAAAAAAAAAAAAAAAAAAAAA";

        (void) state;

        assert_int_equal(run(WALLET, 20, "BBB=", false), MEMORY_FINE);
        assert_int_equal(run(other, 1, "AAA=", false), MEMORY_OTHER);
        assert_int_equal(run(other, 2, "AAB=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 10, "CCC=", false), MEMORY_OLDER);
        assert_int_equal(run("BAAAAAAAAAAAAAAAAAAAAA", 1, "AAA=", true), MEMORY_FINE); /* made by this program */
}

static void what_a_revocation_needs_is_remembered(void **state) {
        uint8_t key[32], id[16];
        Memory *memory;

        (void) state;

        memory = memory_load("/tmp/socket");
        assert_null(memory_state_dir(memory));
        assert_false(memory_revocation_key(memory, key, id));
        (void) memory_free(memory);

        assert_int_equal(run(WALLET, 1, "AAA=", false), MEMORY_FINE);
        memory = memory_load("/tmp/socket");
        assert_string_equal(memory_state_dir(memory), "/state");
        assert_true(memory_revocation_key(memory, key, id));
        assert_int_equal(key[0], 0xf5);
        assert_int_equal(memory_checkpoint_size(memory), 1);
        (void) memory_free(memory);

        memory = memory_load("/tmp/another");
        assert_null(memory_state_dir(memory));
        (void) memory_free(memory);
}

static void what_the_patient_was_told_is_apart_from_what_was_seen(void **state) {
        cleanup(json_decrefp) json_t *status = json_pack("{s:s, s:s}", "walletId", WALLET, "checkpoint", "origin\n9\nBBB=\n\nx\n");
        Memory *memory;

        (void) state;

        assert_int_equal(run(WALLET, 9, "BBB=", false), MEMORY_FINE);
        memory = memory_load("/tmp/socket");
        assert_int_equal(memory_told_size(memory), 0);
        assert_false(memory_told_today(memory));
        memory_tell(memory, status);
        memory_save(memory);
        (void) memory_free(memory);

        assert_int_equal(run(WALLET, 12, "CCC=", false), MEMORY_FINE);
        memory = memory_load("/tmp/socket");
        assert_int_equal(memory_told_size(memory), 9);
        assert_int_equal(memory_checkpoint_size(memory), 12);
        assert_true(memory_told_today(memory));
        (void) memory_free(memory);
}

static void a_longer_ledger_that_another_run_saw_is_not_lost(void **state) {
        Memory *slow = memory_load("/tmp/socket");
        cleanup(json_decrefp) json_t *status =
                json_pack("{s:s, s:s}", "walletId", WALLET, "checkpoint", "origin\n5\nAAA=\n\nx\n");

        (void) state;

        assert_int_equal(run(WALLET, 9, "BBB=", false), MEMORY_FINE);
        assert_int_equal(memory_note(slow, status, false), MEMORY_FINE); /* asked before the other one */
        memory_save(slow);
        (void) memory_free(slow);
        assert_int_equal(run(WALLET, 8, "CCC=", false), MEMORY_OLDER);
}

static int damage(const char *path, const struct stat *st, int type, struct FTW *at) {
        (void) st;
        (void) at;
        return type == FTW_F ? truncate(path, 10) : 0;
}

static void a_damaged_file_is_begun_anew(void **state) {
        (void) state;

        assert_int_equal(run(WALLET, 2, "AAA=", false), MEMORY_FINE);
        assert_int_equal(nftw(home, damage, 8, FTW_PHYS), 0);
        assert_int_equal(run(WALLET, 1, "BBB=", false), MEMORY_FINE);
        assert_int_equal(run(WALLET, 0, "CCC=", false), MEMORY_OLDER);
}

static void without_a_place_to_keep_it_there_is_no_memory(void **state) {
        (void) state;

        assert_int_equal(setenv("XDG_STATE_HOME", "/dev/null", 1), 0);
        assert_null(memory_load("/tmp/socket"));
        assert_int_equal(unsetenv("XDG_STATE_HOME"), 0);
        assert_int_equal(unsetenv("HOME"), 0);
        assert_null(memory_load("/tmp/socket"));
}

static void a_checkpoint_is_taken_apart_strictly(void **state) {
        static const char *const bad[] = {"", "origin", "origin\n5", "origin\n5\nroot\n", "origin\n\nroot\n\n", "origin\n-5\nroot\n\nx",
                                          "origin\n5x\nroot\n\nx", "origin\n99999999999999999999\nroot\n\nx", "\n\n5\n"};
        int64_t size = -1;
        size_t n_body = 0;

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(memory_checkpoint_parse(bad[i], &size, &n_body), MESSAGE_E_FORMAT);
        assert_int_equal(size, -1);
        assert_int_equal(memory_checkpoint_parse("origin\n5\nroot\n\nsignature\n", &size, &n_body), 0);
        assert_int_equal(size, 5);
        assert_int_equal(n_body, 14);
}

int main(void) {
#define with_home(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)
        static const struct CMUnitTest tests[] = {
                with_home(a_ledger_that_grows_is_fine),
                with_home(a_ledger_that_went_back_is_told_until_it_is_accepted),
                with_home(a_ledger_of_the_same_size_with_another_root_is_told),
                with_home(another_wallet_does_not_wash_the_first_one_clean),
                with_home(what_a_revocation_needs_is_remembered),
                with_home(what_the_patient_was_told_is_apart_from_what_was_seen),
                with_home(a_longer_ledger_that_another_run_saw_is_not_lost),
                with_home(a_damaged_file_is_begun_anew),
                with_home(without_a_place_to_keep_it_there_is_no_memory),
                cmocka_unit_test(a_checkpoint_is_taken_apart_strictly),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
