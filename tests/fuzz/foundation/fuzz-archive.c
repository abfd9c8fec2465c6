/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A backup's file from anywhere. The first byte says whether the hashes are made right before it is read, so that what
 * lies behind them is reached too: 0 none, 1 that of the head, 2 all.
 */

#include <sys/mman.h>

#include "daemon/common/archive.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static int count(ArchivePart part, const uint8_t *bytes, size_t n, void *userdata) {
        uint64_t *n_bytes = userdata;

        (void) bytes;
        n_bytes[part] += n;
        return 0;
}

static void hash(uint8_t *ret, const uint8_t *bytes, size_t n) {
        (void) crypto_generichash(ret, ARCHIVE_HASH_SIZE, bytes, n, NULL, 0);
}

static void make_right(uint8_t *bytes, size_t n, unsigned how) {
        crypto_generichash_state whole;
        size_t at = ARCHIVE_HEAD_SIZE;

        if (how == 0 || n < ARCHIVE_HEAD_SIZE)
                return;
        hash(bytes + ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE, bytes, ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE);
        if (how == 1)
                return;
        (void) crypto_generichash_init(&whole, NULL, 0, ARCHIVE_HASH_SIZE);
        (void) crypto_generichash_update(&whole, bytes, ARCHIVE_HEAD_SIZE);
        for (size_t i = 0; i < N_ARCHIVE_PARTS; i++) {
                uint64_t size = get_le64(bytes + 48 + 16 * i);

                if (size > n || n - size < at + ARCHIVE_HASH_SIZE)
                        return;
                hash(bytes + at + size, bytes + at, (size_t) size);
                (void) crypto_generichash_update(&whole, bytes + at + size, ARCHIVE_HASH_SIZE);
                at += (size_t) size + ARCHIVE_HASH_SIZE;
        }
        if (n - at < ARCHIVE_END_SIZE)
                return;
        (void) crypto_generichash_update(&whole, bytes + at, ARCHIVE_END_SIZE - ARCHIVE_HASH_SIZE);
        (void) crypto_generichash_final(&whole, bytes + at + ARCHIVE_END_SIZE - ARCHIVE_HASH_SIZE, ARCHIVE_HASH_SIZE);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static Archive archive;
        uint64_t n_bytes[N_ARCHIVE_PARTS] = { 0 };
        cleanup(close_fdp) int fd = -1;
        cleanup(freep) uint8_t *copy = NULL;

        if (n < 1)
                return 0;
        copy = malloc(n);
        fd = memfd_create("archive", MFD_CLOEXEC);
        if (!copy || fd < 0)
                abort();
        memcpy(copy, bytes + 1, n - 1);
        make_right(copy, n - 1, bytes[0] % 3);
        if (write(fd, copy, n - 1) != (ssize_t) n - 1 || lseek(fd, 0, SEEK_SET) < 0)
                abort();

        if (archive_read(fd, count, n_bytes, &archive) == 0 &&
            (archive_size(&archive.head) != n - 1 || n_bytes[ARCHIVE_CONSENT] != archive.head.n_bytes[ARCHIVE_CONSENT] ||
             n_bytes[ARCHIVE_RECORDS] != archive.head.n_bytes[ARCHIVE_RECORDS] || archive.keys.n_slots > SLOTS_MAX))
                abort();
        return 0;
}
