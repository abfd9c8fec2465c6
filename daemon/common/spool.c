/* SPDX-License-Identifier: Apache-2.0 */

/* Revocations that wait for the wallet to be unlocked: daemon/FORMAT.md, "spool". */

#include "spool.h"

#include "io.h"
#include "text.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

enum {
        VERSION = 1,
        /* in the sealed entry */
        WALLET_ID_AT = 4,
        TYPE_AT = 20,
        TIME_AT = 24,
        NAME_AT = 32,
        ENTRY_SIZE = NAME_AT + 2 + SPOOL_NAME_MAX,
        FILE_SIZE = 4 + ENTRY_SIZE + crypto_box_SEALBYTES,
};
static const uint8_t magic[4] = {'C', 'W', 'R', 'V'};

static void closedirp(DIR **dir) {
        if (*dir)
                (void) closedir(*dir);
}

/* STATE-DIR/spool as a stream, NULL in *ret where there is none. */
static int open_spool(int state_dir_fd, DIR **ret) {
        cleanup(close_fdp) int fd = -1;

        *ret = NULL;
        fd = openat(state_dir_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        *ret = fdopendir(fd);
        if (!*ret)
                return -errno;
        (void) take_fd(&fd);
        return 0;
}

/* The next entry; one that begins with a dot is still being written. */
static int next_entry(DIR *dir, const char **ret_name) {
        struct dirent *entry;

        do {
                errno = 0;
                entry = readdir(dir);
        } while (entry && entry->d_name[0] == '.');
        *ret_name = entry ? entry->d_name : NULL;
        return entry ? 0 : -errno;
}

int spool_count(int state_dir_fd, size_t *ret_n) {
        cleanup(closedirp) DIR *dir = NULL;
        size_t n = 0;
        int r;

        r = open_spool(state_dir_fd, &dir);
        if (r < 0)
                return r;
        while (dir) {
                const char *name;

                r = next_entry(dir, &name);
                if (r < 0)
                        return r;
                if (!name)
                        break;
                n++;
        }
        *ret_n = n;
        return 0;
}

/* Left by root for a daemon of another user: what that one can't read it can't apply. */
static int give_to_owner(int state_dir_fd, int spool_fd, const char *name) {
        struct stat owner;

        if (fstat(state_dir_fd, &owner) < 0)
                return -errno;
        if (owner.st_uid == geteuid())
                return 0;
        if (fchown(spool_fd, owner.st_uid, owner.st_gid) < 0 || fchownat(spool_fd, name, owner.st_uid, owner.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                return -errno;
        return 0;
}

static bool is_valid(const SpoolEntry *entry) {
        size_t n_name = strnlen(entry->provider, sizeof(entry->provider));

        assert(entry->type == SPOOL_REVOKE || entry->type == SPOOL_REVOKE_ALL);

        return n_name <= SPOOL_NAME_MAX && (entry->type == SPOOL_REVOKE) == (n_name > 0) && text_valid(entry->provider, n_name);
}

static int seal_entry(uint8_t ret[static FILE_SIZE], const uint8_t public_key[static 32], const uint8_t wallet_id[static 16], const SpoolEntry *entry) {
        size_t n_name = strnlen(entry->provider, sizeof(entry->provider));
        uint8_t plain[ENTRY_SIZE] = {0};

        memcpy(plain, magic, sizeof(magic));
        memcpy(plain + WALLET_ID_AT, wallet_id, 16);
        plain[TYPE_AT] = (uint8_t) entry->type;
        put_le64(plain + TIME_AT, (uint64_t) entry->time_unix_ms);
        put_le16(plain + NAME_AT, (uint16_t) n_name);
        memcpy(plain + NAME_AT + 2, entry->provider, n_name);
        put_le32(ret, VERSION);
        return crypto_box_seal(ret + 4, plain, sizeof(plain), public_key) < 0 ? -ENOTRECOVERABLE : 0;
}

static void reserve_name(char ret[static 16], unsigned number) {
        (void) snprintf(ret, 16, ".reserve-%u", number);
}

/* On a full disk: no block is needed that is not there. */
static int write_over_reserve(int spool_fd, const char *name, const uint8_t bytes[static FILE_SIZE]) {
        char reserve[16];

        for (unsigned i = 0; i < SPOOL_RESERVE; i++) {
                cleanup(close_fdp) int fd = -1;

                reserve_name(reserve, i);
                fd = openat(spool_fd, reserve, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
                if (fd < 0)
                        continue;
                if (write(fd, bytes, FILE_SIZE) != FILE_SIZE || fsync(fd) < 0 || renameat(spool_fd, reserve, spool_fd, name) < 0)
                        return -errno;
                return fsync(spool_fd) < 0 ? -errno : 0;
        }
        return -ENOSPC;
}

static int add_entry(SpoolName *ret, int state_dir_fd, int spool_fd, const uint8_t public_key[static 32], const uint8_t wallet_id[static 16], const SpoolEntry *entry) {
        uint8_t sealed[FILE_SIZE], random[16];
        int r;

        r = seal_entry(sealed, public_key, wallet_id, entry);
        if (r < 0)
                return r;
        randombytes_buf(random, sizeof(random));
        (void) sodium_bin2hex(ret->hex, sizeof(ret->hex), random, sizeof(random));
        r = io_write_file(spool_fd, ".new-", ret->hex, sealed, sizeof(sealed));
        if (r == -ENOSPC || r == -EDQUOT)
                r = write_over_reserve(spool_fd, ret->hex, sealed);
        return r < 0 ? r : give_to_owner(state_dir_fd, spool_fd, ret->hex);
}

/* STATE-DIR/spool, made where there is none. */
static int make_spool(int state_dir_fd, int *ret_fd) {
        if (mkdirat(state_dir_fd, "spool", 0700) == 0) {
                cleanup(close_fdp) int fd = openat(state_dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);

                if (fd < 0 || fsync(fd) < 0)
                        return -errno;
        } else if (errno != EEXIST)
                return -errno;
        *ret_fd = openat(state_dir_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        return *ret_fd < 0 ? -errno : 0;
}

int spool_reserve(int state_dir_fd) {
        static const uint8_t nothing[FILE_SIZE];
        cleanup(close_fdp) int spool_fd = -1;
        char name[16];
        int r;

        r = make_spool(state_dir_fd, &spool_fd);
        for (unsigned i = 0; r == 0 && i < SPOOL_RESERVE; i++) {
                cleanup(close_fdp) int fd = -1;

                reserve_name(name, i);
                fd = openat(spool_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (fd < 0) {
                        r = errno == EEXIST ? 0 : -errno;
                        continue;
                }
                /* a file system without fallocate() takes the bytes when it likes; most do at once */
                if (fallocate(fd, 0, 0, FILE_SIZE) < 0 && (errno != EOPNOTSUPP || write(fd, nothing, FILE_SIZE) != FILE_SIZE)) {
                        r = -errno;
                        (void) unlinkat(spool_fd, name, 0);
                }
        }
        return r;
}

int spool_remove(int state_dir_fd, const SpoolName *names, size_t n_names) {
        cleanup(close_fdp) int spool_fd = openat(state_dir_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);

        if (spool_fd < 0)
                return errno == ENOENT ? 0 : -errno;
        for (size_t i = 0; i < n_names; i++)
                if (unlinkat(spool_fd, names[i].hex, 0) < 0 && errno != ENOENT)
                        return -errno;
        return 0;
}

int spool_add_all(int state_dir_fd, const uint8_t public_key[static 32], const uint8_t wallet_id[static 16], const SpoolEntry *entries, size_t n_entries,
                  SpoolName *ret_names) {
        cleanup(close_fdp) int spool_fd = -1;
        cleanup(freep) SpoolName *names = NULL;
        size_t n;
        int r;

        for (size_t i = 0; i < n_entries; i++)
                if (!is_valid(&entries[i]))
                        return SPOOL_E_NAME;
        r = spool_count(state_dir_fd, &n);
        if (r < 0)
                return r;
        if (n + n_entries > SPOOL_FILES_MAX)
                return SPOOL_E_FULL;
        names = calloc(n_entries + 1, sizeof(*names));
        if (!names)
                return -ENOMEM;

        r = make_spool(state_dir_fd, &spool_fd);
        if (r < 0)
                return r;
        for (size_t i = 0; r == 0 && i < n_entries; i++)
                r = add_entry(&names[i], state_dir_fd, spool_fd, public_key, wallet_id, &entries[i]);
        for (size_t i = 0; r != 0 && i < n_entries && names[i].hex[0] != '\0'; i++)
                (void) unlinkat(spool_fd, names[i].hex, 0);
        if (r == 0 && ret_names)
                memcpy(ret_names, names, n_entries * sizeof(*names));
        return r;
}

int spool_add(int state_dir_fd, const uint8_t public_key[static 32], const uint8_t wallet_id[static 16], const SpoolEntry *entry) {
        return spool_add_all(state_dir_fd, public_key, wallet_id, entry, 1, NULL);
}

/* An entry that can't be opened is SPOOL_DAMAGED. */
static int read_entry(SpoolEntry *ret, int spool_fd, const char *name, const uint8_t wallet_id[static 16],
                      const uint8_t public_key[static 32], const Secret *secret_key) {
        uint8_t sealed[FILE_SIZE], plain[ENTRY_SIZE];
        SpoolEntry entry = {0};
        size_t n, n_name;
        int r;

        *ret = (SpoolEntry){.type = SPOOL_DAMAGED};

        r = io_read_file(spool_fd, name, sealed, sizeof(sealed), &n);
        if (r == -EFBIG || r == -ELOOP)
                return 0;
        if (r < 0)
                return r;
        if (n != sizeof(sealed) || get_le32(sealed) != VERSION ||
            crypto_box_seal_open(plain, sealed + 4, sizeof(sealed) - 4, public_key, secret_data(secret_key)) < 0)
                return 0;

        n_name = get_le16(plain + NAME_AT);
        if (memcmp(plain, magic, sizeof(magic)) != 0 || memcmp(plain + WALLET_ID_AT, wallet_id, 16) != 0 ||
            n_name > SPOOL_NAME_MAX || !text_valid((const char *) plain + NAME_AT + 2, n_name))
                return 0;
        if (plain[TYPE_AT] == SPOOL_REVOKE && n_name > 0)
                entry.type = SPOOL_REVOKE;
        else if (plain[TYPE_AT] == SPOOL_REVOKE_ALL && n_name == 0)
                entry.type = SPOOL_REVOKE_ALL;
        else
                return 0;
        entry.time_unix_ms = (int64_t) get_le64(plain + TIME_AT);
        memcpy(entry.provider, plain + NAME_AT + 2, n_name);
        *ret = entry;
        return 0;
}

int spool_apply(int state_dir_fd, const Secret *seed, const uint8_t wallet_id[static 16],
                int (*apply)(void *userdata, const SpoolEntry *entry), void *userdata) {
        cleanup(secret_freep) Secret *secret_key = NULL;
        uint8_t public_key[crypto_box_PUBLICKEYBYTES];
        cleanup(closedirp) DIR *dir = NULL;
        int r;

        assert(secret_size(seed) == crypto_box_SEEDBYTES);

        r = secret_new(&secret_key, crypto_box_SECRETKEYBYTES);
        if (r < 0)
                return r;
        if (crypto_box_seed_keypair(public_key, secret_data(secret_key), secret_data(seed)) < 0)
                return -ENOTRECOVERABLE;

        r = open_spool(state_dir_fd, &dir);
        if (r < 0 || !dir)
                return r;
        for (;;) {
                const char *name;
                SpoolEntry entry;

                r = next_entry(dir, &name);
                if (r < 0 || !name)
                        return r;
                r = read_entry(&entry, dirfd(dir), name, wallet_id, public_key, secret_key);
                if (r < 0)
                        return r;
                r = apply(userdata, &entry);
                if (r != 0)
                        return r;
                if (unlinkat(dirfd(dir), name, 0) < 0 && errno != ENOENT && errno != EISDIR) /* a directory is not ours */
                        return -errno;
        }
}
