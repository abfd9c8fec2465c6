/* SPDX-License-Identifier: Apache-2.0 */

#include "store.h"

#include <jansson.h>
#include <sodium.h>

#include "daemon/core/merkle.h"

enum { PROOF_MAX = 80 };

static bool decode(uint8_t *ret, size_t max, size_t *ret_n, const json_t *text) {
        const char *string = json_string_value(text);

        *ret_n = 0;
        return !string || sodium_base642bin(ret, max, string, strlen(string), NULL, ret_n, NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
}

/* Some are empty or too long, which our interface cannot even say, so it counts as refused; a short one ("don't care") is filled up. */
static bool to_hash(MerkleHash *ret, const json_t *text) {
        size_t n;

        *ret = (MerkleHash) { 0 };
        return decode(ret->bytes, sizeof(ret->bytes), &n, text) && n > 0;
}

static bool to_proof(MerkleHash ret[static PROOF_MAX], size_t *ret_n, const json_t *list) {
        *ret_n = json_array_size(list);
        assert_true(*ret_n <= PROOF_MAX);
        for (size_t i = 0; i < *ret_n; i++)
                if (!to_hash(&ret[i], json_array_get(list, i)))
                        return false;
        return true;
}

static uint64_t number(const json_t *object, const char *name) {
        double value = json_number_value(json_object_get(object, name));

        return value < 0x1p63 ? (uint64_t) value : UINT64_MAX; /* some are beyond what Jansson takes as an integer */
}

static int try_inclusion(const json_t *c) {
        MerkleHash leaf, root, proof[PROOF_MAX];
        size_t n;

        if (!to_hash(&leaf, json_object_get(c, "leafHash")) || !to_hash(&root, json_object_get(c, "root")) || !to_proof(proof, &n, json_object_get(c, "proof")))
                return MERKLE_E_PROOF;
        return merkle_verify_inclusion(number(c, "leafIdx"), number(c, "treeSize"), &leaf, proof, n, &root);
}

static int try_consistency(const json_t *c) {
        MerkleHash root1, root2, proof[PROOF_MAX];
        size_t n;

        if (!to_hash(&root1, json_object_get(c, "root1")) || !to_hash(&root2, json_object_get(c, "root2")) || !to_proof(proof, &n, json_object_get(c, "proof")))
                return MERKLE_E_PROOF;
        return merkle_verify_consistency(number(c, "size1"), number(c, "size2"), &root1, &root2, proof, n);
}

static unsigned n_cases, n_from_nothing;

static void each_case(const char *path, int (*try)(const json_t *c)) {
        DIR *dir = opendir(path);
        struct dirent *entry;

        if (!dir) {
                json_t *c = json_load_file(path, JSON_DECODE_INT_AS_REAL, NULL);
                bool wanted = json_is_true(json_object_get(c, "wantErr"));
                int r;

                assert_non_null(c);
                r = try(c);
                n_cases++;
                /* A proof from the empty tree is refused there as meaningless; witnesses send an empty one. */
                if (json_object_get(c, "size1") && number(c, "size1") == 0 && wanted && r == 0)
                        n_from_nothing++;
                else if ((r != 0) != wanted)
                        fail_msg("%s: %d", path, r);
                json_decref(c);
                return;
        }
        while ((entry = readdir(dir))) {
                char child[PATH_MAX];

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(child, sizeof(child), "%s/%s", path, entry->d_name);
                each_case(child, try);
        }
        (void) closedir(dir);
}

static void proofs_of_the_reference_library_are_judged_as_it_does(void **state) {
        char path[PATH_MAX];

        (void) state;

        (void) snprintf(path, sizeof(path), "%s", reference("vectors/merkle-rfc6962/testdata"));
        if (access(path, R_OK) < 0) {
                print_message("skipped: no %s\n", path);
                skip();
        }
        (void) snprintf(path, sizeof(path), "%s", reference("vectors/merkle-rfc6962/testdata/inclusion"));
        each_case(path, try_inclusion);
        (void) snprintf(path, sizeof(path), "%s", reference("vectors/merkle-rfc6962/testdata/consistency"));
        each_case(path, try_consistency);

        print_message("%u cases, %u of them from the empty tree and taken here\n", n_cases, n_from_nothing);
        assert_int_equal(n_cases, 196);
        assert_true(n_from_nothing <= 3);
}

typedef struct Leaves {
        MerkleHash hashes[300];
} Leaves;

static int leaf_at(uint64_t i, MerkleHash *ret, void *userdata) {
        const Leaves *leaves = userdata;

        assert_true(i < N_ELEMENTS(leaves->hashes));
        *ret = leaves->hashes[i];
        return 0;
}

static void proofs_equal(const json_t *list, const MerkleHash *proof, size_t n) {
        MerkleHash expected[PROOF_MAX];
        size_t n_expected;

        assert_true(to_proof(expected, &n_expected, list));
        assert_int_equal(n, n_expected);
        assert_memory_equal(proof, expected, n * sizeof(*proof));
}

static void roots_and_proofs_are_those_of_the_go_library(void **state) {
        json_t *vectors = json_load_file(reference("vectors/tlog/xmod-tlog-vectors.json"), 0, NULL), *item;
        MerkleHash proof[MERKLE_PROOF_MAX], hash, expected;
        MerkleRange range = { 0 };
        Leaves leaves;
        size_t i, n;

        (void) state;

        if (!vectors) {
                print_message("skipped: no %s\n", reference("vectors/tlog/xmod-tlog-vectors.json"));
                skip();
        }

        json_array_foreach(json_object_get(vectors, "entries"), i, item) {
                const char *entry = json_string_value(json_object_get(item, "leaf_utf8"));

                merkle_leaf(&leaves.hashes[i], entry, strlen(entry));
                assert_true(to_hash(&expected, json_object_get(item, "leaf_hash")));
                assert_memory_equal(&leaves.hashes[i], &expected, sizeof(expected));
                merkle_range_append(&range, &leaves.hashes[i]);
                merkle_range_root(&hash, &range);
                assert_true(to_hash(&expected, json_object_get(item, "root_after")));
                assert_memory_equal(&hash, &expected, sizeof(expected));
        }
        assert_int_equal(range.size, 20);

        json_array_foreach(json_object_get(vectors, "inclusion"), i, item) {
                ok(merkle_prove_inclusion(proof, &n, number(item, "index"), number(item, "tree_size"), leaf_at, &leaves));
                proofs_equal(json_object_get(item, "proof"), proof, n);
        }
        assert_int_equal(i, 210);
        json_array_foreach(json_object_get(vectors, "consistency"), i, item) {
                ok(merkle_prove_consistency(proof, &n, number(item, "old_size"), number(item, "new_size"), leaf_at, &leaves));
                proofs_equal(json_object_get(item, "proof"), proof, n);
        }
        assert_true(i >= 190);
        json_decref(vectors);
}

static void every_proof_verifies_and_none_that_is_altered(void **state) {
        enum { N = 70 };
        static MerkleHash roots[N + 1];
        MerkleHash proof[MERKLE_PROOF_MAX + 1] = { 0 };
        MerkleRange range = { 0 };
        Leaves leaves;
        size_t n;

        (void) state;

        merkle_range_root(&roots[0], &range);
        for (uint32_t i = 0; i < N; i++) {
                merkle_leaf(&leaves.hashes[i], &i, sizeof(i));
                merkle_range_append(&range, &leaves.hashes[i]);
                merkle_range_root(&roots[i + 1], &range);
        }

        for (uint64_t size = 1; size <= N; size++)
                for (uint64_t i = 0; i < size; i++) {
                        const MerkleHash *leaf = &leaves.hashes[i], *root = &roots[size];

                        ok(merkle_prove_inclusion(proof, &n, i, size, leaf_at, &leaves));
                        ok(merkle_verify_inclusion(i, size, leaf, proof, n, root));
                        assert_int_equal(merkle_verify_inclusion(i, size, leaf, proof, n + 1, root), MERKLE_E_PROOF);
                        assert_int_equal(merkle_verify_inclusion(i, size, &roots[0], proof, n, root), MERKLE_E_PROOF);
                        if (i + 1 < size)
                                assert_int_equal(merkle_verify_inclusion(i + 1, size, leaf, proof, n, root), MERKLE_E_PROOF);
                        for (size_t k = 0; k < n; k++) {
                                proof[k].bytes[k % 32] ^= 1;
                                assert_int_equal(merkle_verify_inclusion(i, size, leaf, proof, n, root), MERKLE_E_PROOF);
                                proof[k].bytes[k % 32] ^= 1;
                        }
                        if (n > 0)
                                assert_int_equal(merkle_verify_inclusion(i, size, leaf, proof, n - 1, root), MERKLE_E_PROOF);
                }

        for (uint64_t size2 = 0; size2 <= N; size2++)
                for (uint64_t size1 = 0; size1 <= size2; size1++) {
                        const MerkleHash *root1 = &roots[size1], *root2 = &roots[size2];

                        ok(merkle_prove_consistency(proof, &n, size1, size2, leaf_at, &leaves));
                        ok(merkle_verify_consistency(size1, size2, root1, root2, proof, n));
                        assert_int_equal(merkle_verify_consistency(size1, size2, root1, root2, proof, n + 1), MERKLE_E_PROOF);
                        assert_int_equal(merkle_verify_consistency(size1, size2, &leaves.hashes[69], root2, proof, n), MERKLE_E_PROOF);
                        for (size_t k = 0; k < n; k++) {
                                proof[k].bytes[k % 32] ^= 1;
                                assert_int_equal(merkle_verify_consistency(size1, size2, root1, root2, proof, n), MERKLE_E_PROOF);
                                proof[k].bytes[k % 32] ^= 1;
                        }
                        if (n > 0)
                                assert_int_equal(merkle_verify_consistency(size1, size2, root1, root2, proof, n - 1), MERKLE_E_PROOF);
                        if (size1 > 0 && size1 != size2)
                                assert_int_equal(merkle_verify_consistency(size1 - 1, size2, root1, root2, proof, n), MERKLE_E_PROOF);
                }
}

static void what_lies_outside_a_tree_has_no_proof(void **state) {
        MerkleHash proof[MERKLE_PROOF_MAX], hash = { 0 };
        Leaves leaves = { 0 };
        size_t n;

        (void) state;

        assert_int_equal(merkle_prove_inclusion(proof, &n, 3, 3, leaf_at, &leaves), MERKLE_E_PROOF);
        assert_int_equal(merkle_prove_consistency(proof, &n, 4, 3, leaf_at, &leaves), MERKLE_E_PROOF);
        assert_int_equal(merkle_verify_inclusion(0, 0, &hash, NULL, 0, &hash), MERKLE_E_PROOF);
        assert_int_equal(merkle_verify_inclusion(0, UINT64_MAX, &hash, proof, 3, &hash), MERKLE_E_PROOF);
        assert_int_equal(merkle_verify_consistency(2, 1, &hash, &hash, NULL, 0), MERKLE_E_PROOF);
        assert_int_equal(merkle_verify_consistency(1, 2, &hash, &hash, NULL, 0), MERKLE_E_PROOF);
}

static int failing_leaf(uint64_t i, MerkleHash *ret, void *userdata) {
        (void) i;
        (void) ret;
        (void) userdata;
        return -EIO;
}

static void an_error_of_the_leaves_is_passed_up(void **state) {
        MerkleHash proof[MERKLE_PROOF_MAX];
        size_t n;

        (void) state;

        assert_int_equal(merkle_prove_inclusion(proof, &n, 0, 2, failing_leaf, NULL), -EIO);
        assert_int_equal(merkle_prove_consistency(proof, &n, 1, 2, failing_leaf, NULL), -EIO);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(proofs_of_the_reference_library_are_judged_as_it_does),
                cmocka_unit_test(roots_and_proofs_are_those_of_the_go_library),
                cmocka_unit_test(every_proof_verifies_and_none_that_is_altered),
                cmocka_unit_test(what_lies_outside_a_tree_has_no_proof),
                cmocka_unit_test(an_error_of_the_leaves_is_passed_up),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
