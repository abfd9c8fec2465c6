/* SPDX-License-Identifier: Apache-2.0 */

#include "merkle.h"

#include <sodium.h>

static_assert(MERKLE_HASH_SIZE == crypto_hash_sha256_BYTES, "trees are over SHA-256");

typedef int LeafAt(uint64_t i, MerkleHash *ret, void *userdata);

/* A leaf and a node can never be the same bytes: RFC 6962 section 2.1 sets one byte before each. */
void merkle_leaf(MerkleHash *ret, const void *entry, size_t n_entry) {
        crypto_hash_sha256_state state;

        (void) crypto_hash_sha256_init(&state);
        (void) crypto_hash_sha256_update(&state, (const uint8_t[]) { 0 }, 1);
        (void) crypto_hash_sha256_update(&state, entry, n_entry);
        (void) crypto_hash_sha256_final(&state, ret->bytes);
}

void merkle_node(MerkleHash *ret, const MerkleHash *left, const MerkleHash *right) {
        uint8_t bytes[1 + 2 * MERKLE_HASH_SIZE];

        bytes[0] = 1;
        memcpy(bytes + 1, left->bytes, MERKLE_HASH_SIZE);
        memcpy(bytes + 1 + MERKLE_HASH_SIZE, right->bytes, MERKLE_HASH_SIZE);
        (void) crypto_hash_sha256(ret->bytes, bytes, sizeof(bytes));
}

static bool hashes_equal(const MerkleHash *a, const MerkleHash *b) {
        return memcmp(a, b, sizeof(*a)) == 0;
}

void merkle_range_append(MerkleRange *range, const MerkleHash *leaf) {
        size_t n = (size_t) __builtin_popcountll(range->size);
        MerkleHash joined = *leaf;

        assert(range->size < UINT64_MAX);

        for (uint64_t size = range->size; size & 1; size >>= 1)
                merkle_node(&joined, &range->edge[--n], &joined);
        range->edge[n] = joined;
        range->size++;
}

void merkle_range_root(MerkleHash *ret, const MerkleRange *range) {
        size_t n = (size_t) __builtin_popcountll(range->size);

        if (n == 0) {
                (void) crypto_hash_sha256(ret->bytes, NULL, 0);
                return;
        }

        *ret = range->edge[--n];
        while (n > 0)
                merkle_node(ret, &range->edge[--n], ret);
}

/* RFC 9162 section 2.1.3.2, in the form that counts the two parts of a path first. */
int merkle_verify_inclusion(uint64_t index, uint64_t size, const MerkleHash *leaf, const MerkleHash *proof, size_t n_proof, const MerkleHash *root) {
        MerkleHash hash = *leaf;
        unsigned n_inner;

        if (index >= size)
                return MERKLE_E_PROOF;

        /* up to where the paths of this leaf and of the last one meet, then the left neighbours of the border */
        n_inner = index == size - 1 ? 0 : 64 - (unsigned) __builtin_clzll(index ^ (size - 1));
        if (n_proof != n_inner + (n_inner == 64 ? 0 : (unsigned) __builtin_popcountll(index >> n_inner)))
                return MERKLE_E_PROOF;

        for (size_t i = 0; i < n_proof; i++)
                if (i < n_inner && !(index >> i & 1))
                        merkle_node(&hash, &hash, &proof[i]);
                else
                        merkle_node(&hash, &proof[i], &hash);

        return hashes_equal(&hash, root) ? 0 : MERKLE_E_PROOF;
}

/* RFC 9162 section 2.1.4.2. An empty tree is a prefix of every tree: the proof is empty, as witnesses expect it. */
int merkle_verify_consistency(uint64_t size1, uint64_t size2, const MerkleHash *root1, const MerkleHash *root2, const MerkleHash *proof, size_t n_proof) {
        MerkleHash first, second;
        uint64_t fn, sn;
        size_t i = 0;

        if (size1 > size2)
                return MERKLE_E_PROOF;
        if (size1 == size2)
                return n_proof == 0 && hashes_equal(root1, root2) ? 0 : MERKLE_E_PROOF;
        if (size1 == 0) {
                merkle_range_root(&first, &(MerkleRange) { 0 });
                return n_proof == 0 && hashes_equal(root1, &first) ? 0 : MERKLE_E_PROOF;
        }
        if (n_proof == 0)
                return MERKLE_E_PROOF;

        fn = size1 - 1;
        sn = size2 - 1;
        for (; fn & 1; fn >>= 1)
                sn >>= 1;

        first = fn == 0 ? *root1 : proof[i++]; /* a complete first tree is its own first hash */
        second = first;
        for (; i < n_proof; i++) {
                if (sn == 0)
                        return MERKLE_E_PROOF;
                if (fn & 1 || fn == sn) {
                        merkle_node(&first, &proof[i], &first);
                        merkle_node(&second, &proof[i], &second);
                        for (; fn != 0 && !(fn & 1); fn >>= 1)
                                sn >>= 1;
                } else
                        merkle_node(&second, &second, &proof[i]);
                fn >>= 1;
                sn >>= 1;
        }

        return sn == 0 && hashes_equal(&first, root1) && hashes_equal(&second, root2) ? 0 : MERKLE_E_PROOF;
}

static int subtree_root(MerkleHash *ret, uint64_t from, uint64_t to, LeafAt *leaf_at, void *userdata) {
        MerkleRange range = { 0 };
        MerkleHash leaf;
        int r;

        for (uint64_t i = from; i < to; i++) {
                r = leaf_at(i, &leaf, userdata);
                if (r)
                        return r;
                merkle_range_append(&range, &leaf);
        }
        merkle_range_root(ret, &range);
        return 0;
}

/* where a tree of n > 1 leaves splits: the largest power of two below n */
static uint64_t split(uint64_t n) {
        return UINT64_C(1) << (63 - __builtin_clzll(n - 1));
}

/* A path is found from the root down and given from the leaf up. */
static void reverse(MerkleHash *proof, size_t n) {
        for (size_t i = 0; i < n / 2; i++) {
                MerkleHash swap = proof[i];

                proof[i] = proof[n - 1 - i];
                proof[n - 1 - i] = swap;
        }
}

int merkle_prove_inclusion(MerkleHash *ret_proof, size_t *ret_n, uint64_t index, uint64_t size, LeafAt *leaf_at, void *userdata) {
        uint64_t from = 0, to = size;
        size_t n = 0;
        int r;

        if (index >= size)
                return MERKLE_E_PROOF;

        while (to - from > 1) {
                uint64_t middle = from + split(to - from);
                bool left = index < middle;

                assert(n < MERKLE_PROOF_MAX);
                r = left ? subtree_root(&ret_proof[n++], middle, to, leaf_at, userdata)
                         : subtree_root(&ret_proof[n++], from, middle, leaf_at, userdata);
                if (r)
                        return r;
                if (left)
                        to = middle;
                else
                        from = middle;
        }

        reverse(ret_proof, n);
        *ret_n = n;
        return 0;
}

int merkle_prove_consistency(MerkleHash *ret_proof, size_t *ret_n, uint64_t size1, uint64_t size2, LeafAt *leaf_at, void *userdata) {
        uint64_t from = 0, to = size2;
        size_t n = 0;
        int r;

        if (size1 > size2)
                return MERKLE_E_PROOF;

        /* down to the subtree whose right end is that of the first tree */
        while (size1 > 0 && to > size1) {
                uint64_t middle = from + split(to - from);
                bool left = size1 <= middle;

                assert(n < MERKLE_PROOF_MAX);
                r = left ? subtree_root(&ret_proof[n++], middle, to, leaf_at, userdata)
                         : subtree_root(&ret_proof[n++], from, middle, leaf_at, userdata);
                if (r)
                        return r;
                if (left)
                        to = middle;
                else
                        from = middle;
        }
        if (from > 0) { /* else that subtree is the first tree, whose root the verifier has */
                assert(n < MERKLE_PROOF_MAX);
                r = subtree_root(&ret_proof[n++], from, to, leaf_at, userdata);
                if (r)
                        return r;
        }

        reverse(ret_proof, n);
        *ret_n = n;
        return 0;
}
