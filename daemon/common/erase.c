/* SPDX-License-Identifier: Apache-2.0 */

#include "erase.h"

#include <dirent.h>
#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

#include "slots.h"

static int sync_dir(int dir_fd) {
        cleanup(close_fdp) int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* @dir_fd may be O_PATH */

        return fd < 0 || fsync(fd) < 0 ? -errno : 0;
}

static int overwrite(int dir_fd, const char *name) {
        cleanup(close_fdp) int fd = -1;
        uint8_t bytes[512];
        struct stat st;

        fd = openat(dir_fd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
        if (fd < 0)
                return errno == ENOENT ? 0 : -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        for (off_t at = 0; S_ISREG(st.st_mode) && at < st.st_size;) {
                size_t n = st.st_size - at < (off_t) sizeof(bytes) ? (size_t) (st.st_size - at) : sizeof(bytes);
                ssize_t l;

                randombytes_buf(bytes, n);
                l = pwrite(fd, bytes, n, at);
                if (l < 0 && errno != EINTR)
                        return -errno;
                at += l > 0 ? l : 0;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

/* Files of these names, or that begin so: an interrupted write of ours. */
static bool is_ours(const char *name, bool slots) {
        static const char *const of_slots[] = { "slots", "slots.bak", "rotation", NULL }, *const begin_of_slots[] = { ".slots-", ".rotation-", NULL };
        static const char *const of_rest[] = { "restored", "cipher-4", NULL }, *const begin_of_rest[] = { "consent.db", "records.db", ".restore-", NULL };
        const char *const *names = slots ? of_slots : of_rest, *const *begins = slots ? begin_of_slots : begin_of_rest;

        for (; *names; names++)
                if (strcmp(name, *names) == 0)
                        return true;
        for (; *begins; begins++)
                if (strncmp(name, *begins, strlen(*begins)) == 0)
                        return true;
        return false;
}

/* @slots: true: the key files, overwritten first; false: the rest; @all: everything that is no directory */
static int erase(int dir_fd, bool slots, bool all) {
        int fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), r = 0;
        const struct dirent *entry;
        DIR *dir;

        if (fd < 0)
                return -errno;
        dir = fdopendir(fd);
        if (!dir) {
                (void) close_fd(fd);
                return -ENOMEM;
        }
        while (r == 0 && (errno = 0, entry = readdir(dir))) {
                if (entry->d_type == DT_DIR || (!all && !is_ours(entry->d_name, slots)))
                        continue;
                if (slots)
                        r = overwrite(dir_fd, entry->d_name);
                if (r == 0 && unlinkat(dir_fd, entry->d_name, 0) < 0 && errno != ENOENT)
                        r = -errno;
        }
        (void) closedir(dir);
        return r == 0 ? sync_dir(dir_fd) : r;
}

int erase_slots(int state_dir_fd) {
        int marked = slots_begin(state_dir_fd), r = erase(state_dir_fd, true, false);

        if (marked < 0 && r == 0) /* a full disk has room now */
                marked = slots_begin(state_dir_fd);
        return r;
}

int erase_files(int state_dir_fd) {
        cleanup(close_fdp) int spool = openat(state_dir_fd, "spool", O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
        int r = 0;

        if (spool >= 0)
                r = erase(spool, false, true);
        if (spool >= 0)
                (void) unlinkat(state_dir_fd, "spool", AT_REMOVEDIR); /* the core may remove no folder: then it stays, empty */
        if (r == 0)
                r = erase(state_dir_fd, false, false);
        if (r == 0)
                slots_end(state_dir_fd);
        return r;
}
