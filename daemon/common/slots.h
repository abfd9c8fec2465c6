/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Key slots: the wallet's root key, wrapped once per way to open it. Layout in daemon/FORMAT.md, "slot file".
 *
 * Nothing in a Slots is secret. It is read before any key is known, so slots_load() believes only its shape; after an
 * unwrap, slots_verify() says whether the whole was written by this wallet.
 */

#include "secret.h"

typedef enum SlotType {
        SLOT_PASSPHRASE = 1, /* Argon2id with the slot's limits */
        SLOT_RECOVERY = 2,   /* BLAKE2b of the recovery code; limits are 0 */
        SLOT_CREDENTIAL = 3, /* systemd credential; limits are 0 */
        N_SLOT_TYPES = 4,
} SlotType;

enum {
        SLOTS_MAX = 8,
        SLOTS_LABEL_MAX = 64,    /* bytes */
        SLOTS_CREDENTIAL_SIZE = 32, /* random bytes in a systemd credential */
        SLOTS_OPSLIMIT_MAX = 64,
        SLOTS_HEADER_SIZE = 72,
        SLOTS_SLOT_SIZE = 172,
        SLOTS_MAC_SIZE = 32,
        SLOTS_CHECKSUM_SIZE = 16,
        SLOTS_FILE_MAX = SLOTS_HEADER_SIZE + SLOTS_MAX * SLOTS_SLOT_SIZE + SLOTS_MAC_SIZE + SLOTS_CHECKSUM_SIZE,

        SLOTS_E_FORMAT = 1, /* neither copy is a whole slot file of a version that we know */
        SLOTS_E_KEY,        /* wrong key, or an altered slot: not told apart */
        SLOTS_E_MAC,        /* not written by this wallet */
        SLOTS_E_FULL,       /* SLOTS_MAX slots */
        SLOTS_E_LAST,       /* the last passphrase can't be removed */
};
#define SLOTS_MEMLIMIT_MAX (UINT64_C(4) << 30) /* bytes */

typedef struct Slot {
        uint8_t type; /* SlotType */
        uint32_t opslimit;
        uint64_t memlimit; /* bytes */
        uint8_t salt[16];
        uint8_t nonce[24];
        uint8_t wrapped[48]; /* XChaCha20-Poly1305 of the root key */
        char label[SLOTS_LABEL_MAX + 1];
} Slot;

typedef struct Slots {
        uint64_t generation; /* one more with each slots_store() */
        uint8_t wallet_id[16];
        uint8_t spool_public_key[32]; /* X25519: revocations made while locked are sealed to it */
        size_t n_slots;
        Slot slots[SLOTS_MAX];
        uint8_t mac[SLOTS_MAC_SIZE];
        unsigned n_copies; /* whole copies of this generation found by slots_load(), 1 or 2: after 1, store again */
} Slots;

/**
 * slots_random_kek() - the key of a slot whose secret is random bytes: no work factor is needed, the salt keeps two slots of
 * one secret apart
 * @type:  SLOT_RECOVERY, SLOT_CREDENTIAL
 */
must_check int slots_random_kek(uint8_t ret[static 32], SlotType type, const uint8_t salt[static 16], const Secret *random);

/** slots_create() - a new wallet's: random id, no slot yet, generation 0; @root has KEYS_ROOT_SIZE bytes; -ENOMEM */
must_check int slots_create(Slots *ret, const Secret *root);

/**
 * slots_add() - wrap the root key once more
 * @salt:   with which @kek was derived
 * @label:  valid text of at most SLOTS_LABEL_MAX bytes
 * @kek:    32 bytes
 *
 * Return: 0; SLOTS_E_FULL; SLOTS_E_FORMAT when a limit or the label is out of range.
 */
must_check int slots_add(Slots *slots, SlotType type, const uint8_t salt[static 16], uint32_t opslimit, uint64_t memlimit,
                         const char *label, const Secret *kek, const Secret *root);

/** slots_replace() - put another in the place of a slot; as slots_add() */
must_check int slots_replace(Slots *slots, size_t index, SlotType type, const uint8_t salt[static 16], uint32_t opslimit, uint64_t memlimit,
                             const char *label, const Secret *kek, const Secret *root);

/**
 * slots_remove() - 0; SLOTS_E_LAST: the last passphrase stays
 *
 * A recovery code is for emergencies and a credential is one machine's: neither is what its patient opens a wallet with.
 */
must_check int slots_remove(Slots *slots, size_t index);
/** slots_find() - the slot of that label, which is no other's; false when there is none */
bool slots_find(const Slots *slots, const char *label, size_t *ret_index);
/** slots_type_name() - "passphrase", "recovery", "credential"; never NULL for a slot's type */
const char *slots_type_name(unsigned type);

/** slots_unwrap() - 0; SLOTS_E_KEY; -ENOMEM */
must_check int slots_unwrap(const Slots *slots, size_t index, const Secret *kek, Secret **ret_root);

/** slots_verify() - the MAC, which covers all of it; 0; SLOTS_E_MAC; -ENOMEM */
must_check int slots_verify(const Slots *slots, const Secret *root);

/** slots_encode() - bytes of the file; the MAC and the checksum are made here; -ENOMEM */
must_check int slots_encode(const Slots *slots, const Secret *root, uint8_t ret[static SLOTS_FILE_MAX], size_t *ret_n);
/** slots_decode() - 0; SLOTS_E_FORMAT. Every number is in range afterwards. */
must_check int slots_decode(Slots *ret, const uint8_t *bytes, size_t n_bytes);

/**
 * slots_load() - read "slots" and "slots.bak"; the newer whole copy counts
 *
 * Return: 0; SLOTS_E_FORMAT; -ENOENT when there is neither: no wallet yet; negative errno.
 */
must_check int slots_load(Slots *ret, int state_dir_fd);

/** slots_read_file() - the bytes of the copy that slots_load() takes */
must_check int slots_read_file(int state_dir_fd, uint8_t ret[static SLOTS_FILE_MAX], size_t *ret_n);

/** slots_store_again() - the same bytes as were read or stored last, for copies that are damaged since; no key is needed. Negative errno */
must_check int slots_store_again(const Slots *slots, int state_dir_fd);

/**
 * slots_store() - both copies, one after the other, each by a new file, fsync, rename, fsync
 *
 * The generation becomes one more. After a failure either state may be on the disk, each whole. When the first is written it
 * counts, and n_copies says whether the other one is.
 *
 * Return: 0; negative errno.
 */
must_check int slots_store(Slots *slots, int state_dir_fd, const Secret *root);

/*
 * Init and restore write the slot file last, and destroy erases it first. While it is not there, a file says that the databases are
 * nobody's: without that file they are a wallet's whose keys are lost, and a copy of its slot file, as in a backup, would open them.
 */
#define SLOTS_UNFINISHED_NAME "unfinished"

/** slots_begin() - leave that file, durably; negative errno */
must_check int slots_begin(int state_dir_fd);
/** slots_end() - and take it away */
void slots_end(int state_dir_fd);
/** slots_are_lost() - where there is no slot file: whether there should be one */
bool slots_are_lost(int state_dir_fd);

/** slots_read_public_key() - for spool_add() without a core; as slots_load() */
must_check int slots_read_public_key(int state_dir_fd, uint8_t ret_public_key[static 32], uint8_t ret_wallet_id[static 16]);
