/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/common/keys.h"
#include "daemon/common/slots.h"

#include <sys/stat.h>

static const uint8_t salt[16] = "0123456789abcdef";

static Slots wallet_of(const Secret *root, const Secret *kek) {
        Slots slots = {0};

        assert_int_equal(slots_create(&slots, root), 0);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 3, UINT64_C(256) << 20, "passphrase", kek, root), 0);
        return slots;
}

static void each_slot_opens_with_its_own_key_and_no_other(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *first = key_of(2), *second = key_of(3), *found = NULL;
        Slots slots = wallet_of(root, first);

        (void) state;

        assert_int_equal(slots_add(&slots, SLOT_RECOVERY, salt, 0, 0, "recovery code", second, root), 0);
        assert_int_equal(slots_unwrap(&slots, 0, second, &found), SLOTS_E_KEY);
        assert_int_equal(slots_unwrap(&slots, 1, first, &found), SLOTS_E_KEY);
        assert_null(found);
        assert_int_equal(slots_unwrap(&slots, 1, second, &found), 0);
        assert_memory_equal(secret_data(found), secret_data(root), KEYS_ROOT_SIZE);
}

static void a_slot_with_other_parameters_or_in_another_wallet_opens_no_more(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2), *found = NULL;
        const Slots good = wallet_of(root, kek);
        Slots bad;

        (void) state;

        bad = good;
        bad.slots[0].opslimit = 1;
        assert_int_equal(slots_unwrap(&bad, 0, kek, &found), SLOTS_E_KEY);
        bad = good;
        bad.slots[0].memlimit = 8192;
        assert_int_equal(slots_unwrap(&bad, 0, kek, &found), SLOTS_E_KEY);
        bad = good;
        bad.slots[0].salt[3] ^= 1;
        assert_int_equal(slots_unwrap(&bad, 0, kek, &found), SLOTS_E_KEY);
        bad = good;
        bad.slots[0].type = SLOT_RECOVERY;
        assert_int_equal(slots_unwrap(&bad, 0, kek, &found), SLOTS_E_KEY);
        bad = good;
        bad.wallet_id[0] ^= 1;
        assert_int_equal(slots_unwrap(&bad, 0, kek, &found), SLOTS_E_KEY);
        assert_null(found);
}

static void slots_are_limited_in_number_and_in_what_they_ask_for(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        Slots slots = wallet_of(root, kek);
        char label[SLOTS_LABEL_MAX + 2] = "";

        (void) state;

        assert_int_equal(slots_remove(&slots, 0), SLOTS_E_LAST);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 65, 8192, "", kek, root), SLOTS_E_FORMAT);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 0, 8192, "", kek, root), SLOTS_E_FORMAT);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 1, SLOTS_MEMLIMIT_MAX + 1, "", kek, root), SLOTS_E_FORMAT);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 1, 8191, "", kek, root), SLOTS_E_FORMAT);
        assert_int_equal(slots_add(&slots, SLOT_RECOVERY, salt, 1, 0, "", kek, root), SLOTS_E_FORMAT);
        assert_int_equal(slots_add(&slots, SLOT_RECOVERY, salt, 0, 0, "two\nlines", kek, root), SLOTS_E_FORMAT);
        memset(label, 'x', SLOTS_LABEL_MAX + 1);
        assert_int_equal(slots_add(&slots, SLOT_RECOVERY, salt, 0, 0, label, kek, root), SLOTS_E_FORMAT);
        label[SLOTS_LABEL_MAX] = '\0';
        while (slots.n_slots < SLOTS_MAX)
                assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 64, SLOTS_MEMLIMIT_MAX, label, kek, root), 0);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 1, 8192, "", kek, root), SLOTS_E_FULL);
        assert_int_equal(slots_replace(&slots, 3, SLOT_PASSPHRASE, salt, 2, 8192, "in its place", kek, root), 0);
        assert_int_equal(slots_replace(&slots, 3, SLOT_PASSPHRASE, salt, 65, 8192, "", kek, root), SLOTS_E_FORMAT);
        assert_string_equal(slots.slots[3].label, "in its place");
        assert_int_equal(slots_remove(&slots, 0), 0);
        assert_int_equal(slots.n_slots, SLOTS_MAX - 1);
        assert_string_equal(slots.slots[0].label, label);
}

static void the_last_passphrase_stays_whatever_else_there_is(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        Slots slots = wallet_of(root, kek);
        size_t found;

        (void) state;

        assert_int_equal(slots_add(&slots, SLOT_RECOVERY, salt, 0, 0, "recovery code", kek, root), 0);
        assert_int_equal(slots_add(&slots, SLOT_CREDENTIAL, salt, 0, 0, "machine", kek, root), 0);
        assert_int_equal(slots_remove(&slots, 0), SLOTS_E_LAST);
        assert_int_equal(slots_add(&slots, SLOT_PASSPHRASE, salt, 1, 8192, "second", kek, root), 0);
        assert_int_equal(slots_remove(&slots, 0), 0);
        assert_true(slots_find(&slots, "second", &found));
        assert_int_equal(slots_remove(&slots, found), SLOTS_E_LAST);
        assert_false(slots_find(&slots, "passphrase", &found));
        assert_int_equal(slots_remove(&slots, 0), 0);
        assert_int_equal(slots_remove(&slots, 0), 0);
        assert_int_equal(slots_remove(&slots, 0), SLOTS_E_LAST);
}

static void what_was_stored_is_loaded_and_each_store_is_a_generation(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2), *found = NULL;
        cleanup(folder_done) Folder folder = folder_new();
        Slots slots = wallet_of(root, kek), loaded;
        uint8_t public_key[32], wallet_id[16];
        struct stat st;

        (void) state;

        assert_int_equal(slots_load(&loaded, folder.fd), -ENOENT);
        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        assert_int_equal(slots_load(&loaded, folder.fd), 0);
        assert_int_equal(loaded.generation, 2);
        assert_int_equal(loaded.n_copies, 2);
        assert_int_equal(slots_verify(&loaded, root), 0);
        assert_int_equal(slots_unwrap(&loaded, 0, kek, &found), 0);
        assert_memory_equal(secret_data(found), secret_data(root), KEYS_ROOT_SIZE);
        assert_string_equal(loaded.slots[0].label, "passphrase");
        assert_int_equal(slots_read_public_key(folder.fd, public_key, wallet_id), 0);
        assert_memory_equal(public_key, slots.spool_public_key, 32);
        assert_memory_equal(wallet_id, slots.wallet_id, 16);
        assert_int_equal(fstatat(folder.fd, "slots", &st, 0), 0);
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void one_torn_copy_is_survived_and_two_are_said(void **state) {
        static const char *const names[] = {"slots", "slots.bak"};
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        cleanup(folder_done) Folder folder = folder_new();
        Slots slots = wallet_of(root, kek), loaded;
        uint8_t bytes[SLOTS_FILE_MAX];
        size_t n;

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(names); i++) {
                assert_int_equal(slots_store(&slots, folder.fd, root), 0);
                n = read_whole(folder.fd, names[i], bytes, sizeof(bytes));
                write_whole(folder.fd, names[i], bytes, n / 2);
                assert_int_equal(slots_load(&loaded, folder.fd), 0);
                assert_int_equal(loaded.generation, slots.generation);
                assert_int_equal(loaded.n_copies, 1);
                assert_int_equal(slots_verify(&loaded, root), 0);
        }
        write_whole(folder.fd, "slots", "", 0);
        assert_int_equal(slots_load(&loaded, folder.fd), SLOTS_E_FORMAT);
        assert_int_equal(unlinkat(folder.fd, "slots", 0), 0);
        assert_int_equal(symlinkat("/etc/passwd", folder.fd, "slots"), 0);
        assert_int_equal(slots_load(&loaded, folder.fd), SLOTS_E_FORMAT);
}

static void a_store_that_was_cut_off_leaves_one_state_or_the_other(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        cleanup(folder_done) Folder folder = folder_new();
        Slots slots = wallet_of(root, kek), loaded;
        uint8_t old[SLOTS_FILE_MAX];
        size_t n;

        (void) state;

        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        n = read_whole(folder.fd, "slots", old, sizeof(old));
        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        write_whole(folder.fd, "slots", old, n); /* as after a crash between the two renames */
        assert_int_equal(slots_load(&loaded, folder.fd), 0);
        assert_int_equal(loaded.generation, 2);
        assert_int_equal(loaded.n_copies, 1);
}

static void the_first_copy_counts_when_the_second_cannot_be_written(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        cleanup(folder_done) Folder folder = folder_new();
        Slots slots = wallet_of(root, kek), loaded;

        (void) state;

        assert_int_equal(mkdirat(folder.fd, "slots", 0700), 0);
        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        assert_int_equal(slots.n_copies, 1);
        assert_int_equal(unlinkat(folder.fd, "slots", AT_REMOVEDIR), 0);
        assert_int_equal(slots_load(&loaded, folder.fd), 0);
        assert_int_equal(loaded.generation, 1);
        assert_int_equal(slots_store(&slots, folder.fd, root), 0);
        assert_int_equal(slots.n_copies, 2);
}

static void every_changed_bit_is_noticed(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2);
        Slots slots = wallet_of(root, kek), decoded;
        uint8_t bytes[SLOTS_FILE_MAX];
        size_t n;

        (void) state;

        assert_int_equal(slots_encode(&slots, root, bytes, &n), 0);
        assert_int_equal(slots_decode(&decoded, bytes, n), 0);
        for (size_t bit = 0; bit < n * 8; bit++) {
                bytes[bit / 8] = (uint8_t) (bytes[bit / 8] ^ 1 << bit % 8);
                assert_int_equal(slots_decode(&decoded, bytes, n), SLOTS_E_FORMAT);
                bytes[bit / 8] = (uint8_t) (bytes[bit / 8] ^ 1 << bit % 8);
        }
        for (size_t shorter = 0; shorter < n; shorter++)
                assert_int_equal(slots_decode(&decoded, bytes, shorter), SLOTS_E_FORMAT);
}

static void what_another_wallet_wrote_is_not_believed(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1), *kek = key_of(2), *other = key_of(9);
        Slots slots = wallet_of(root, kek), decoded;
        uint8_t bytes[SLOTS_FILE_MAX];
        size_t n;

        (void) state;

        /* a file that was forged with the right checksum: everything but the MAC */
        memset(slots.spool_public_key, 7, sizeof(slots.spool_public_key));
        assert_int_equal(slots_encode(&slots, other, bytes, &n), 0);
        assert_int_equal(slots_decode(&decoded, bytes, n), 0);
        assert_int_equal(slots_verify(&decoded, root), SLOTS_E_MAC);
        assert_int_equal(slots_encode(&slots, root, bytes, &n), 0);
        assert_int_equal(slots_decode(&decoded, bytes, n), 0);
        assert_int_equal(slots_verify(&decoded, root), 0);
        decoded.spool_public_key[0] ^= 1;
        assert_int_equal(slots_verify(&decoded, root), SLOTS_E_MAC);
}

static void derived_keys_differ_and_stay_what_they_are(void **state) {
        cleanup(secret_freep) Secret *root = key_of(1);
        cleanup(keys_freep) Keys *keys = NULL, *again = NULL;

        (void) state;

        assert_int_equal(keys_derive(&keys, root), 0);
        assert_int_equal(keys_derive(&again, root), 0);
        for (unsigned i = 1; i < N_KEYS; i++) {
                assert_memory_equal(secret_data(keys->keys[i]), secret_data(again->keys[i]), KEYS_SIZE);
                for (unsigned j = 1; j < i; j++)
                        assert_memory_not_equal(secret_data(keys->keys[i]), secret_data(keys->keys[j]), KEYS_SIZE);
        }
        assert_null(keys_free(NULL));
}

/* BLAKE2b with salt and person, by Python's hashlib: crypto_kdf as libsodium documents it. */
static void the_first_derived_key_is_as_the_format_says(void **state) {
        static const uint8_t expected[] = {0xef, 0x54, 0x48, 0xdc, 0xc2, 0x27, 0x32, 0x22, 0x3e, 0x10, 0x97, 0xa3, 0x8f, 0x9d, 0xd2, 0x5d, 0xf4, 0xa1, 0x57, 0xa2, 0x44, 0x9b, 0xa0, 0xd3, 0xdd, 0x34, 0xdd, 0x1b, 0xa1, 0xcf, 0x89, 0x1d};
        cleanup(secret_freep) Secret *root = key_of(1), *key = NULL;

        (void) state;

        assert_int_equal(keys_derive_one(&key, root, KEY_CONSENT_DB), 0);
        assert_memory_equal(secret_data(key), expected, sizeof(expected));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(each_slot_opens_with_its_own_key_and_no_other),
                cmocka_unit_test(a_slot_with_other_parameters_or_in_another_wallet_opens_no_more),
                cmocka_unit_test(slots_are_limited_in_number_and_in_what_they_ask_for),
                cmocka_unit_test(the_last_passphrase_stays_whatever_else_there_is),
                cmocka_unit_test(what_was_stored_is_loaded_and_each_store_is_a_generation),
                cmocka_unit_test(one_torn_copy_is_survived_and_two_are_said),
                cmocka_unit_test(a_store_that_was_cut_off_leaves_one_state_or_the_other),
                cmocka_unit_test(the_first_copy_counts_when_the_second_cannot_be_written),
                cmocka_unit_test(every_changed_bit_is_noticed),
                cmocka_unit_test(what_another_wallet_wrote_is_not_believed),
                cmocka_unit_test(derived_keys_differ_and_stay_what_they_are),
                cmocka_unit_test(the_first_derived_key_is_as_the_format_says),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
