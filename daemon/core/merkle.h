/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* RFC 6962 section 2.1 Merkle tree with SHA-256: compact range, inclusion and consistency proofs. Pure functions. */

#include "daemon/common/util.h"

enum {
        MERKLE_HASH_SIZE = 32,
        MERKLE_PROOF_MAX = 65, /* hashes */

        MERKLE_E_PROOF = 1, /* does not verify */
};

typedef struct MerkleHash {
        uint8_t bytes[MERKLE_HASH_SIZE];
} MerkleHash;

/* The right edge of a tree: roots of its complete subtrees, largest first. */
typedef struct MerkleRange {
        uint64_t size;
        MerkleHash edge[64];
} MerkleRange;

void merkle_leaf(MerkleHash *ret, const void *entry, size_t n_entry);
void merkle_node(MerkleHash *ret, const MerkleHash *left, const MerkleHash *right);
void merkle_range_append(MerkleRange *range, const MerkleHash *leaf);
void merkle_range_root(MerkleHash *ret, const MerkleRange *range);
must_check int merkle_verify_inclusion(uint64_t index, uint64_t size, const MerkleHash *leaf, const MerkleHash *proof, size_t n_proof, const MerkleHash *root);
must_check int merkle_verify_consistency(uint64_t size1, uint64_t size2, const MerkleHash *root1, const MerkleHash *root2, const MerkleHash *proof, size_t n_proof);
/* @leaf_at gives leaf hashes; for a personal log recomputing is cheap */
must_check int merkle_prove_inclusion(MerkleHash *ret_proof, size_t *ret_n, uint64_t index, uint64_t size, int (*leaf_at)(uint64_t i, MerkleHash *ret, void *userdata), void *userdata);
must_check int merkle_prove_consistency(MerkleHash *ret_proof, size_t *ret_n, uint64_t size1, uint64_t size2, int (*leaf_at)(uint64_t i, MerkleHash *ret, void *userdata), void *userdata);
