/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A backup: the encrypted pages of both databases and the key slots of that day, in one file. Layout in daemon/FORMAT.md,
 * "backup". Whoever has no key can say whether the file is whole; that this wallet made it is seen with the backup key.
 */

#include <sodium.h>

#include "secret.h"
#include "slots.h"

typedef enum ArchivePart {
        ARCHIVE_SLOTS = 0,
        ARCHIVE_CONSENT = 1,
        ARCHIVE_RECORDS = 2,
        N_ARCHIVE_PARTS = 3,
} ArchivePart;

enum {
        ARCHIVE_HASH_SIZE = 32,
        ARCHIVE_MAC_SIZE = 32,
        ARCHIVE_HEAD_SIZE = 40 + N_ARCHIVE_PARTS * 16 + ARCHIVE_HASH_SIZE,
        ARCHIVE_END_SIZE = 8 + ARCHIVE_MAC_SIZE + ARCHIVE_HASH_SIZE,
        ARCHIVE_MANIFEST_SIZE = ARCHIVE_HEAD_SIZE + N_ARCHIVE_PARTS * ARCHIVE_HASH_SIZE + ARCHIVE_MAC_SIZE,

        ARCHIVE_E_FORMAT = 1, /* no backup of a wallet */
        ARCHIVE_E_VERSION,    /* of a later program */
        ARCHIVE_E_TRUNCATED,
        ARCHIVE_E_ALTERED,    /* a hash or the end mark does not fit, or bytes follow the end */
        ARCHIVE_E_MAC,        /* archive_manifest_verify() only: not made by this wallet */
};

#define ARCHIVE_PART_MAX (UINT64_C(1) << 40) /* bytes */

/* The name of the file in the state directory by which a restored wallet is known until it was unlocked once: the manifest. */
#define ARCHIVE_MANIFEST_NAME "restored"

typedef struct ArchiveHead {
        int64_t time_unix_ms;
        uint8_t wallet_id[16];
        uint64_t n_bytes[N_ARCHIVE_PARTS];
} ArchiveHead;

/** archive_size() - of the whole file */
uint64_t archive_size(const ArchiveHead *head);

/* --- writing: head; each part's bytes, then its hash; end --- */
typedef struct ArchiveWriter {
        crypto_generichash_state part;
        crypto_generichash_state whole; /* head and hashes */
        crypto_generichash_state mac;   /* the same, keyed */
} ArchiveWriter;

void archive_write_head(ArchiveWriter *writer, const ArchiveHead *head, const Secret *key, uint8_t ret[static ARCHIVE_HEAD_SIZE]);
void archive_write_bytes(ArchiveWriter *writer, const void *bytes, size_t n);
/** archive_write_hash() - the part that archive_write_bytes() got is whole; another may begin */
void archive_write_hash(ArchiveWriter *writer, uint8_t ret[static ARCHIVE_HASH_SIZE]);
void archive_write_end(ArchiveWriter *writer, uint8_t ret[static ARCHIVE_END_SIZE]);

/* --- reading --- */
typedef struct Archive {
        ArchiveHead head;
        uint8_t slots[SLOTS_FILE_MAX]; /* the slot file, as it was; head.n_bytes[ARCHIVE_SLOTS] bytes */
        uint8_t manifest[ARCHIVE_MANIFEST_SIZE];
        Slots keys; /* that file, decoded */
} Archive;

/**
 * archive_read() - all of it, from where @fd stands to its end, checked as it comes
 * @each: gets the bytes of the databases in their order; < 0 ends it and is returned. NULL: they are only checked
 *
 * What @each got is worth nothing before this has returned 0.
 *
 * Return: 0; ARCHIVE_E_*; negative errno.
 */
must_check int archive_read(int fd, int (*each)(ArchivePart part, const uint8_t *bytes, size_t n, void *userdata), void *userdata, Archive *ret);

/** archive_manifest_verify() - @key: KEY_BACKUP; ARCHIVE_E_FORMAT, ARCHIVE_E_MAC */
must_check int archive_manifest_verify(const uint8_t manifest[static ARCHIVE_MANIFEST_SIZE], const Secret *key, ArchiveHead *ret);
