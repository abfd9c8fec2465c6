/* SPDX-License-Identifier: Apache-2.0 */

#include "restore.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <sys/file.h>
#include <sys/stat.h>

#include "daemon/common/io.h"
#include "outfile.h"

/* Of a state directory; the databases first, the slots, which make a wallet of them, last. */
static const char *const databases[N_ARCHIVE_PARTS] = {[ARCHIVE_CONSENT] = "consent.db", [ARCHIVE_RECORDS] = "records.db"};
static const char *const leftovers[] = {
        "consent.db", "consent.db-wal", "consent.db-journal", "consent.db.new", "consent.db.before",
        "records.db", "records.db-wal", "records.db-journal", "records.db.new", "records.db.before",
        "rotation", "cipher-4", ARCHIVE_MANIFEST_NAME,
};

typedef struct Unpacking {
        int dir_fd;
        int fds[N_ARCHIVE_PARTS]; /* -1: none */
} Unpacking;

static void unpacking_done(Unpacking *unpacking) {
        for (size_t i = 0; i < N_ARCHIVE_PARTS; i++)
                (void) close_fd(unpacking->fds[i]);
        (void) close_fd(unpacking->dir_fd);
}

static int write_piece(ArchivePart part, const uint8_t *bytes, size_t n, void *userdata) {
        Unpacking *unpacking = userdata;

        return output_write(unpacking->fds[part], bytes, n);
}

/* Databases without slots are what an init or a restore that did not end left: nobody has a key to them. */
static void remove_leftovers(int dir_fd) {
        for (size_t i = 0; i < N_ELEMENTS(leftovers); i++)
                (void) unlinkat(dir_fd, leftovers[i], 0);
}

static int unpack(Unpacking *unpacking, int file_fd, Archive *ret) {
        int r;

        remove_leftovers(unpacking->dir_fd);
        r = slots_begin(unpacking->dir_fd);
        if (r < 0)
                return r;
        for (unsigned part = ARCHIVE_CONSENT; part < N_ARCHIVE_PARTS; part++) {
                unpacking->fds[part] = openat(unpacking->dir_fd, databases[part], O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (unpacking->fds[part] < 0)
                        return -errno;
        }
        r = archive_read(file_fd, write_piece, unpacking, ret);
        if (r != 0)
                return r;
        for (unsigned part = ARCHIVE_CONSENT; part < N_ARCHIVE_PARTS; part++)
                if (fsync(unpacking->fds[part]) < 0)
                        return -errno;
        r = io_write_file(unpacking->dir_fd, ".restore-", ARCHIVE_MANIFEST_NAME, ret->manifest, sizeof(ret->manifest));
        if (r == 0)
                r = io_write_file(unpacking->dir_fd, ".slots-", "slots.bak", ret->slots, (size_t) ret->head.n_bytes[ARCHIVE_SLOTS]);
        if (r == 0)
                r = io_write_file(unpacking->dir_fd, ".slots-", "slots", ret->slots, (size_t) ret->head.n_bytes[ARCHIVE_SLOTS]);
        return r;
}

static int give_to_owner(int dir_fd) {
        static const char *const names[] = {"consent.db", "records.db", ARCHIVE_MANIFEST_NAME, "slots.bak", "slots"};
        struct stat st;

        if (geteuid() != 0)
                return 0;
        if (fstat(dir_fd, &st) < 0)
                return -errno;
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (fchownat(dir_fd, names[i], st.st_uid, st.st_gid, AT_SYMLINK_NOFOLLOW) < 0)
                        return -errno;
        return 0;
}

static bool is_there(int dir_fd, const char *name) {
        return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0 || errno != ENOENT;
}

/* Of a new home, ~/.local/state is not there yet. What fails is said by who makes the last one. */
static void make_parents(const char *dir) {
        char path[PATH_MAX];

        if ((size_t) snprintf(path, sizeof(path), "%s", dir) >= sizeof(path))
                return;
        for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                if (mkdir(path, 0700) == 0 && outfile_sync_directory(path) < 0)
                        return;
                *slash = '/';
        }
}

int restore_unpack(int file_fd, const char *dir, Archive *ret) {
        cleanup(unpacking_done) Unpacking unpacking = {.dir_fd = -1, .fds = {-1, -1, -1}};
        bool is_new;
        int r;

        make_parents(dir);
        is_new = mkdir(dir, 0700) == 0;
        if (!is_new && errno != EEXIST)
                return -errno;
        unpacking.dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (unpacking.dir_fd < 0)
                return -errno;
        if (flock(unpacking.dir_fd, LOCK_EX | LOCK_NB) < 0)
                return RESTORE_E_BUSY;
        if (is_there(unpacking.dir_fd, "slots") || is_there(unpacking.dir_fd, "slots.bak"))
                return RESTORE_E_OCCUPIED;
        if (slots_are_lost(unpacking.dir_fd))
                return RESTORE_E_LOST;

        r = unpack(&unpacking, file_fd, ret);
        if (r == 0)
                r = give_to_owner(unpacking.dir_fd);
        if (r == 0 && is_new)
                r = outfile_sync_directory(dir);
        if (r == 0)
                slots_end(unpacking.dir_fd);
        else {
                (void) unlinkat(unpacking.dir_fd, "slots", 0); /* made a moment ago, by us */
                (void) unlinkat(unpacking.dir_fd, "slots.bak", 0);
                remove_leftovers(unpacking.dir_fd);
                slots_end(unpacking.dir_fd);
                if (is_new)
                        (void) rmdir(dir);
        }
        return r;
}

/* Of a wallet that was opened for a moment: nothing waits in it. */
static void remove_spool(int dir_fd) {
        int fd = openat(dir_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        DIR *spool = fd < 0 ? NULL : fdopendir(fd);

        for (const struct dirent *entry; spool && (entry = readdir(spool));)
                (void) unlinkat(fd, entry->d_name, 0);
        if (spool)
                (void) closedir(spool);
        else
                (void) close_fd(fd);
        (void) unlinkat(dir_fd, "spool", AT_REMOVEDIR);
}

void restore_discard(const char *dir) {
        cleanup(close_fdp) int dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

        if (dir_fd < 0)
                return;
        (void) unlinkat(dir_fd, "slots", 0);
        (void) unlinkat(dir_fd, "slots.bak", 0);
        (void) unlinkat(dir_fd, "s", 0);
        remove_spool(dir_fd);
        remove_leftovers(dir_fd);
        (void) rmdir(dir);
}

int restore_failed(const Cli *cli, int r, const char *path, const char *dir) {
        switch (r) {
        case ARCHIVE_E_FORMAT:
                return cli_fail(cli, EXIT_REFUSED, "%s is no backup of a carewallet wallet.", path);
        case ARCHIVE_E_VERSION:
                return cli_fail(cli, EXIT_REFUSED, "%s was written by a later version of carewallet. Install that version.", path);
        case ARCHIVE_E_TRUNCATED:
                return cli_fail(cli, EXIT_REFUSED, "%s ends too early: it was cut when it was written or copied. Use another backup, or copy it again.", path);
        case ARCHIVE_E_ALTERED:
                return cli_fail(cli, EXIT_REFUSED, "%s is damaged: it is not what carewallet wrote. Use another backup, or copy it again.", path);
        case RESTORE_E_OCCUPIED:
                return cli_fail(cli, EXIT_REFUSED, "%s has a wallet, and it was not touched. Give an empty or new directory: --state-dir DIR.", dir);
        case RESTORE_E_LOST:
                return cli_fail(cli, EXIT_REFUSED, "%s has the databases of a wallet without its key file, and they were not touched: this backup's key file may still open them. "
                                                   "Give an empty or new directory, --state-dir DIR, and see carewallet doctor.", dir);
        case RESTORE_E_BUSY:
                return cli_fail(cli, EXIT_REFUSED, "A carewalletd uses %s. Stop it first: systemctl --user stop carewalletd.socket carewalletd.service", dir);
        default:
                if (r == -EISDIR)
                        return cli_fail(cli, EXIT_REFUSED, "%s is a directory and no backup.", path);
                return dir ? cli_fail(cli, EXIT_REFUSED, "Restoring %s failed: %s. Nothing was left in %s.", path, strerror(-fold(r)), dir)
                           : cli_fail(cli, EXIT_REFUSED, "%s can't be checked: %s.", path, strerror(-fold(r)));
        }
}
