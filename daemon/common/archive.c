/* SPDX-License-Identifier: Apache-2.0 */

/* Backups: daemon/FORMAT.md, "backup". */

#include "archive.h"

enum {
        VERSION = 1,
        TIME_AT = 8,
        WALLET_ID_AT = 16,
        N_PARTS_AT = 32,
        PARTS_AT = 40,
        PART_SIZE = 16, /* of its line in the head */
        PAGE_SIZE = 4096,
        PIECE_SIZE = 64 * 1024,
};
static const uint8_t magic[4] = { 'C', 'W', 'B', 'K' }, end_mark[8] = { 'C', 'W', 'B', 'K', 'E', 'N', 'D', '\n' };

static_assert(ARCHIVE_HASH_SIZE == crypto_generichash_BYTES && ARCHIVE_MAC_SIZE == crypto_generichash_BYTES, "BLAKE2b-256");

uint64_t archive_size(const ArchiveHead *head) {
        uint64_t n = ARCHIVE_HEAD_SIZE + ARCHIVE_END_SIZE;

        for (size_t i = 0; i < N_ARCHIVE_PARTS; i++)
                n += head->n_bytes[i] + ARCHIVE_HASH_SIZE;
        return n;
}

/* --- writing --- */

static void add(ArchiveWriter *writer, const uint8_t *bytes, size_t n) {
        (void) crypto_generichash_update(&writer->whole, bytes, n);
        (void) crypto_generichash_update(&writer->mac, bytes, n);
}

void archive_write_head(ArchiveWriter *writer, const ArchiveHead *head, const Secret *key, uint8_t ret[static ARCHIVE_HEAD_SIZE]) {
        memset(ret, 0, ARCHIVE_HEAD_SIZE);
        put_le32(ret, VERSION);
        memcpy(ret + 4, magic, sizeof(magic));
        put_le64(ret + TIME_AT, (uint64_t) head->time_unix_ms);
        memcpy(ret + WALLET_ID_AT, head->wallet_id, sizeof(head->wallet_id));
        put_le32(ret + N_PARTS_AT, N_ARCHIVE_PARTS);
        for (size_t i = 0; i < N_ARCHIVE_PARTS; i++) {
                put_le32(ret + PARTS_AT + i * PART_SIZE, (uint32_t) i + 1);
                put_le64(ret + PARTS_AT + i * PART_SIZE + 8, head->n_bytes[i]);
        }
        (void) crypto_generichash(ret + ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE, ARCHIVE_HASH_SIZE, ret, ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE, NULL, 0);

        (void) crypto_generichash_init(&writer->whole, NULL, 0, ARCHIVE_HASH_SIZE);
        (void) crypto_generichash_init(&writer->mac, secret_data(key), secret_size(key), ARCHIVE_MAC_SIZE);
        (void) crypto_generichash_init(&writer->part, NULL, 0, ARCHIVE_HASH_SIZE);
        add(writer, ret, ARCHIVE_HEAD_SIZE);
}

void archive_write_bytes(ArchiveWriter *writer, const void *bytes, size_t n) {
        (void) crypto_generichash_update(&writer->part, bytes, n);
}

void archive_write_hash(ArchiveWriter *writer, uint8_t ret[static ARCHIVE_HASH_SIZE]) {
        (void) crypto_generichash_final(&writer->part, ret, ARCHIVE_HASH_SIZE);
        (void) crypto_generichash_init(&writer->part, NULL, 0, ARCHIVE_HASH_SIZE);
        add(writer, ret, ARCHIVE_HASH_SIZE);
}

void archive_write_end(ArchiveWriter *writer, uint8_t ret[static ARCHIVE_END_SIZE]) {
        memcpy(ret, end_mark, sizeof(end_mark));
        (void) crypto_generichash_final(&writer->mac, ret + sizeof(end_mark), ARCHIVE_MAC_SIZE);
        (void) crypto_generichash_update(&writer->whole, ret, sizeof(end_mark) + ARCHIVE_MAC_SIZE);
        (void) crypto_generichash_final(&writer->whole, ret + sizeof(end_mark) + ARCHIVE_MAC_SIZE, ARCHIVE_HASH_SIZE);
}

/* --- reading --- */

static int decode_head(ArchiveHead *ret, const uint8_t bytes[static ARCHIVE_HEAD_SIZE]) {
        uint8_t hash[ARCHIVE_HASH_SIZE];
        ArchiveHead head;

        if (memcmp(bytes + 4, magic, sizeof(magic)) != 0)
                return ARCHIVE_E_FORMAT;
        if (get_le32(bytes) != VERSION)
                return get_le32(bytes) > VERSION && get_le32(bytes) < 256 ? ARCHIVE_E_VERSION : ARCHIVE_E_ALTERED;
        (void) crypto_generichash(hash, sizeof(hash), bytes, ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE, NULL, 0);
        if (memcmp(hash, bytes + ARCHIVE_HEAD_SIZE - ARCHIVE_HASH_SIZE, sizeof(hash)) != 0)
                return ARCHIVE_E_ALTERED;

        head.time_unix_ms = (int64_t) get_le64(bytes + TIME_AT);
        memcpy(head.wallet_id, bytes + WALLET_ID_AT, sizeof(head.wallet_id));
        if (get_le32(bytes + N_PARTS_AT) != N_ARCHIVE_PARTS || get_le32(bytes + N_PARTS_AT + 4) != 0)
                return ARCHIVE_E_FORMAT;
        for (size_t i = 0; i < N_ARCHIVE_PARTS; i++) {
                const uint8_t *line = bytes + PARTS_AT + i * PART_SIZE;
                uint64_t n = get_le64(line + 8);

                if (get_le32(line) != i + 1 || get_le32(line + 4) != 0 || n == 0 || n > (i == ARCHIVE_SLOTS ? (uint64_t) SLOTS_FILE_MAX : ARCHIVE_PART_MAX) ||
                    (i != ARCHIVE_SLOTS && n % PAGE_SIZE != 0))
                        return ARCHIVE_E_FORMAT;
                head.n_bytes[i] = n;
        }
        *ret = head;
        return 0;
}

static int read_whole(int fd, uint8_t *bytes, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t l = read(fd, bytes + done, n - done);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (l == 0)
                        return ARCHIVE_E_TRUNCATED;
                done += (size_t) l;
        }
        return 0;
}

typedef struct Reading {
        int fd;
        int (*each)(ArchivePart part, const uint8_t *bytes, size_t n, void *userdata);
        void *userdata;
        crypto_generichash_state whole;
} Reading;

static int read_part(Reading *reading, ArchivePart part, Archive *archive, uint8_t ret_hash[static ARCHIVE_HASH_SIZE]) {
        static uint8_t piece[PIECE_SIZE];
        uint8_t hash[ARCHIVE_HASH_SIZE];
        crypto_generichash_state state;
        int r;

        (void) crypto_generichash_init(&state, NULL, 0, sizeof(hash));
        for (uint64_t at = 0; at < archive->head.n_bytes[part];) {
                uint64_t left = archive->head.n_bytes[part] - at;
                size_t n = left < sizeof(piece) ? (size_t) left : sizeof(piece);

                r = read_whole(reading->fd, piece, n);
                if (r != 0)
                        return r;
                (void) crypto_generichash_update(&state, piece, n);
                if (part == ARCHIVE_SLOTS)
                        memcpy(archive->slots + at, piece, n);
                else if (reading->each) {
                        r = reading->each(part, piece, n, reading->userdata);
                        if (r != 0)
                                return fold(r);
                }
                at += n;
        }
        (void) crypto_generichash_final(&state, hash, sizeof(hash));
        r = read_whole(reading->fd, ret_hash, ARCHIVE_HASH_SIZE);
        if (r != 0)
                return r;
        (void) crypto_generichash_update(&reading->whole, ret_hash, ARCHIVE_HASH_SIZE);
        return memcmp(hash, ret_hash, sizeof(hash)) == 0 ? 0 : ARCHIVE_E_ALTERED;
}

int archive_read(int fd, int (*each)(ArchivePart part, const uint8_t *bytes, size_t n, void *userdata), void *userdata, Archive *ret) {
        Reading reading = { .fd = fd, .each = each, .userdata = userdata };
        uint8_t end[ARCHIVE_END_SIZE + 1], hash[ARCHIVE_HASH_SIZE];
        uint8_t *at = ret->manifest;
        int r;

        r = read_whole(fd, at, ARCHIVE_HEAD_SIZE);
        if (r != 0)
                return r == ARCHIVE_E_TRUNCATED && memcmp(at + 4, magic, sizeof(magic)) != 0 ? ARCHIVE_E_FORMAT : r;
        r = decode_head(&ret->head, at);
        if (r != 0)
                return r;
        (void) crypto_generichash_init(&reading.whole, NULL, 0, sizeof(hash));
        (void) crypto_generichash_update(&reading.whole, at, ARCHIVE_HEAD_SIZE);
        at += ARCHIVE_HEAD_SIZE;

        for (unsigned part = 0; part < N_ARCHIVE_PARTS; part++, at += ARCHIVE_HASH_SIZE) {
                r = read_part(&reading, (ArchivePart) part, ret, at);
                if (r != 0)
                        return r;
        }

        r = read_whole(fd, end, ARCHIVE_END_SIZE);
        if (r != 0)
                return r;
        (void) crypto_generichash_update(&reading.whole, end, ARCHIVE_END_SIZE - ARCHIVE_HASH_SIZE);
        (void) crypto_generichash_final(&reading.whole, hash, sizeof(hash));
        if (memcmp(end, end_mark, sizeof(end_mark)) != 0 || memcmp(end + ARCHIVE_END_SIZE - ARCHIVE_HASH_SIZE, hash, sizeof(hash)) != 0)
                return ARCHIVE_E_ALTERED;
        memcpy(at, end + sizeof(end_mark), ARCHIVE_MAC_SIZE);
        r = read_whole(fd, end, 1);
        if (r != ARCHIVE_E_TRUNCATED)
                return r == 0 ? ARCHIVE_E_ALTERED : r;

        r = slots_decode(&ret->keys, ret->slots, (size_t) ret->head.n_bytes[ARCHIVE_SLOTS]);
        if (r != 0)
                return r < 0 ? r : ARCHIVE_E_FORMAT;
        return memcmp(ret->keys.wallet_id, ret->head.wallet_id, sizeof(ret->head.wallet_id)) == 0 ? 0 : ARCHIVE_E_FORMAT;
}

int archive_manifest_verify(const uint8_t manifest[static ARCHIVE_MANIFEST_SIZE], const Secret *key, ArchiveHead *ret) {
        uint8_t mac[ARCHIVE_MAC_SIZE];
        int r;

        r = decode_head(ret, manifest);
        if (r != 0)
                return ARCHIVE_E_FORMAT;
        (void) crypto_generichash(mac, sizeof(mac), manifest, ARCHIVE_MANIFEST_SIZE - ARCHIVE_MAC_SIZE, secret_data(key), secret_size(key));
        return sodium_memcmp(mac, manifest + ARCHIVE_MANIFEST_SIZE - ARCHIVE_MAC_SIZE, sizeof(mac)) == 0 ? 0 : ARCHIVE_E_MAC;
}
