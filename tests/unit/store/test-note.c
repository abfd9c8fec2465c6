/* SPDX-License-Identifier: Apache-2.0 */

#include "store.h"

#include <jansson.h>
#include <sodium.h>

#include "daemon/core/note.h"

#define ORIGIN "wallet.example/ledger"

typedef struct Signed {
        char *note;
        uint8_t public_key[32];
        MerkleHash root;
} Signed;

static void signed_done(Signed *s) {
        free(s->note);
}

static Signed sign(uint64_t size) {
        cleanup(secret_freep) Secret *seed = key_of(7);
        uint8_t secret_key[64];
        Signed s = { 0 };

        (void) crypto_sign_seed_keypair(s.public_key, secret_key, secret_data(seed));
        memset(s.root.bytes, 0xab, sizeof(s.root.bytes));
        ok(note_checkpoint_sign(&s.note, ORIGIN, size, &s.root, seed));
        return s;
}

static int open_note(const char *note, const uint8_t *public_key) {
        uint64_t size;
        MerkleHash root;

        return note_checkpoint_open(note, strlen(note), ORIGIN, public_key, &size, &root);
}

static void a_checkpoint_is_byte_for_byte_that_of_the_go_library(void **state) {
        json_t *vectors = json_load_file(reference("vectors/tlog/xmod-tlog-vectors.json"), 0, NULL), *item;
        cleanup(secret_freep) Secret *seed = key_of(0);
        cleanup(freep) char *note = NULL;
        uint8_t secret_key[64], public_key[32];
        const char *root64;
        MerkleHash root, again;
        uint64_t size;
        size_t n;

        (void) state;

        if (!vectors) {
                seed = secret_free(seed); /* skip() does not return */
                print_message("skipped: no %s\n", reference("vectors/tlog/xmod-tlog-vectors.json"));
                skip();
        }
        for (uint8_t i = 0; i < 32; i++)
                secret_data(seed)[i] = i;
        (void) crypto_sign_seed_keypair(public_key, secret_key, secret_data(seed));

        item = json_object_get(vectors, "checkpoint");
        root64 = json_string_value(json_object_get(json_array_get(json_object_get(vectors, "entries"), 19), "root_after"));
        ok(sodium_base642bin(root.bytes, sizeof(root.bytes), root64, strlen(root64), NULL, &n, NULL, sodium_base64_VARIANT_ORIGINAL));
        ok(note_checkpoint_sign(&note, ORIGIN, 20, &root, seed));
        assert_string_equal(note, json_string_value(json_object_get(item, "signed_note")));

        ok(note_checkpoint_open(note, strlen(note), ORIGIN, public_key, &size, &again));
        assert_int_equal(size, 20);
        assert_memory_equal(&again, &root, sizeof(root));
        json_decref(vectors);
}

static void what_was_signed_is_what_is_opened(void **state) {
        static const uint64_t sizes[] = { 0, 1, 9, 10, 4294967296, INT64_MAX, UINT64_MAX };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
                cleanup(signed_done) Signed s = sign(sizes[i]);
                MerkleHash root;
                uint64_t size;

                ok(note_checkpoint_open(s.note, strlen(s.note), ORIGIN, s.public_key, &size, &root));
                assert_true(size == sizes[i]);
                assert_memory_equal(&root, &s.root, sizeof(root));
        }
}

static void no_altered_byte_is_accepted(void **state) {
        cleanup(signed_done) Signed s = sign(42);
        size_t n = strlen(s.note);

        (void) state;

        for (size_t i = 0; i < n; i++)
                for (unsigned bit = 0; bit < 8; bit++) {
                        s.note[i] ^= (char) (1u << bit);
                        assert_true(open_note(s.note, s.public_key) > 0);
                        s.note[i] ^= (char) (1u << bit);
                }
        for (size_t i = 0; i < n; i++) {
                uint64_t size;
                MerkleHash root;

                assert_true(note_checkpoint_open(s.note, i, ORIGIN, s.public_key, &size, &root) > 0);
        }
        ok(open_note(s.note, s.public_key));
}

static void another_key_or_another_origin_is_refused(void **state) {
        cleanup(signed_done) Signed s = sign(42);
        MerkleHash root;
        uint64_t size;

        (void) state;

        assert_int_equal(note_checkpoint_open(s.note, strlen(s.note), "other", s.public_key, &size, &root), NOTE_E_FORMAT);
        s.public_key[0] ^= 1;
        assert_int_equal(open_note(s.note, s.public_key), NOTE_E_SIGNATURE);
}

/* text, changed in some way, under a signature that holds for just that text */
static int open_resigned(const char *text, const char *more_signatures) {
        cleanup(freep) char *note = NULL;
        uint8_t public_key[32], secret_key[64], blob[68], hash[32], id[256];
        char blob64[128];
        size_t n_id;

        memset(secret_key, 7, 32);
        (void) crypto_sign_seed_keypair(public_key, secret_key, (const uint8_t *) memset(blob, 7, 32));
        n_id = (size_t) snprintf((char *) id, sizeof(id), ORIGIN "\n\x01");
        memcpy(id + n_id, public_key, 32);
        (void) crypto_hash_sha256(hash, id, n_id + 32);
        memcpy(blob, hash, 4);
        (void) crypto_sign_detached(blob + 4, NULL, (const uint8_t *) text, strlen(text), secret_key);
        (void) sodium_bin2base64(blob64, sizeof(blob64), blob, sizeof(blob), sodium_base64_VARIANT_ORIGINAL);
        assert_true(asprintf(&note, "%s\n%s\xe2\x80\x94 " ORIGIN " %s\n", text, more_signatures, blob64) > 0);
        return open_note(note, public_key);
}

#define ROOT64 "q6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6s="

static void a_signed_text_that_is_no_checkpoint_is_refused(void **state) {
        static const char *const bad[] = {
                ORIGIN "\n",
                ORIGIN "\n42\n",
                ORIGIN "\n042\n" ROOT64 "\n",
                ORIGIN "\n-1\n" ROOT64 "\n",
                ORIGIN "\n+1\n" ROOT64 "\n",
                ORIGIN "\n 1\n" ROOT64 "\n",
                ORIGIN "\n18446744073709551616\n" ROOT64 "\n",
                ORIGIN "\n99999999999999999999999\n" ROOT64 "\n",
                ORIGIN "\n\n" ROOT64 "\n",
                ORIGIN "\n42\n" ROOT64 "AA==\n",
                ORIGIN "\n42\nq6s=\n",
                ORIGIN "\n42\n" ROOT64 " \n",
                ORIGIN "\n42\nq6urq6urq6urq6urq6urq6urq6urq6urq6urq6urq6t=\n", /* bits behind the end */
                ORIGIN "\n42\n" ROOT64 "\n\nmore\n",
                ORIGIN "\n42\n" ROOT64 "\ntab\there\n",
                ORIGIN "\n42\n" ROOT64 "\n\xff\n",
                ORIGIN "\r\n42\n" ROOT64 "\n",
                "\n" ORIGIN "\n42\n" ROOT64 "\n",
        };

        (void) state;

        ok(open_resigned(ORIGIN "\n42\n" ROOT64 "\n", ""));
        ok(open_resigned(ORIGIN "\n42\n" ROOT64 "\nextension\n", ""));
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                if (open_resigned(bad[i], "") <= 0)
                        fail_msg("accepted: %s", bad[i]);
}

static void signatures_of_others_are_passed_over_but_not_nonsense(void **state) {
        static const char text[] = ORIGIN "\n42\n" ROOT64 "\n";
        static const char other[] = "\xe2\x80\x94 witness.example AAAAAAAAAAAA\n";
        char many[16 * sizeof(other)] = "";

        (void) state;

        for (unsigned i = 0; i < 15; i++)
                strcat(many, other);
        ok(open_resigned(text, many));
        assert_int_equal(open_resigned(text, "\xe2\x80\x94 witness.example\n"), NOTE_E_FORMAT);
        assert_int_equal(open_resigned(text, "\xe2\x80\x94 witness.example AAAA\n"), NOTE_E_FORMAT);
        assert_int_equal(open_resigned(text, "\xe2\x80\x94 witness+example AAAAAAAA\n"), NOTE_E_FORMAT);
        assert_int_equal(open_resigned(text, "\xe2\x80\x94  AAAAAAAA\n"), NOTE_E_FORMAT);
        assert_int_equal(open_resigned(text, "- witness.example AAAAAAAA\n"), NOTE_E_FORMAT);
        /* our own name under a key we do not know */
        ok(open_resigned(text, "\xe2\x80\x94 " ORIGIN " AAAAAAAAAAAA\n"));
}

static void a_name_that_a_note_cannot_carry_is_not_signed(void **state) {
        cleanup(secret_freep) Secret *seed = key_of(1);
        char *note = NULL;
        cleanup(freep) char *name = calloc(1, NOTE_MAX + 1);
        MerkleHash root = { 0 };

        (void) state;

        assert_int_equal(note_checkpoint_sign(&note, "", 0, &root, seed), -EINVAL);
        assert_int_equal(note_checkpoint_sign(&note, "a b", 0, &root, seed), -EINVAL);
        assert_int_equal(note_checkpoint_sign(&note, "a+b", 0, &root, seed), -EINVAL);
        assert_int_equal(note_checkpoint_sign(&note, "a\nb", 0, &root, seed), -EINVAL);
        memset(name, 'n', NOTE_MAX);
        assert_int_equal(note_checkpoint_sign(&note, name, 0, &root, seed), -EMSGSIZE);
        name[NOTE_MAX / 2] = '\0';
        assert_int_equal(note_checkpoint_sign(&note, name, 0, &root, seed), -EMSGSIZE);
        assert_null(note);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_checkpoint_is_byte_for_byte_that_of_the_go_library),
                cmocka_unit_test(what_was_signed_is_what_is_opened),
                cmocka_unit_test(no_altered_byte_is_accepted),
                cmocka_unit_test(another_key_or_another_origin_is_refused),
                cmocka_unit_test(a_signed_text_that_is_no_checkpoint_is_refused),
                cmocka_unit_test(signatures_of_others_are_passed_over_but_not_nonsense),
                cmocka_unit_test(a_name_that_a_note_cannot_carry_is_not_signed),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
