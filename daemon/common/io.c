/* SPDX-License-Identifier: Apache-2.0 */

#include "io.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

int io_read_file(int dir_fd, const char *name, uint8_t *ret, size_t n_max, size_t *ret_n) {
        cleanup(close_fdp) int fd = -1;
        struct stat st;
        size_t n = 0;

        fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK); /* a FIFO must not stop us */
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 0 || (uint64_t) st.st_size > n_max)
                return -EFBIG;

        while (n < (size_t) st.st_size) {
                ssize_t l = read(fd, ret + n, (size_t) st.st_size - n);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                if (l == 0)
                        break; /* became shorter: the reader's checks will tell */
                n += (size_t) l;
        }
        *ret_n = n;
        return 0;
}

static int write_new(int dir_fd, const char *name, const uint8_t *bytes, size_t n_bytes) {
        cleanup(close_fdp) int fd = -1;

        fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return -errno;
        for (size_t n = 0; n < n_bytes;) {
                ssize_t l = write(fd, bytes + n, n_bytes - n);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                n += (size_t) l;
        }
        return fsync(fd) < 0 ? -errno : 0;
}

static int sync_dir(int dir_fd) {
        cleanup(close_fdp) int fd = -1;

        fd = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* @dir_fd may be O_PATH */
        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 ? -errno : 0;
}

int io_write_file(int dir_fd, const char *prefix, const char *name, const uint8_t *bytes, size_t n_bytes) {
        char hex[17], temporary[64];
        uint8_t random[8];
        int r;

        assert(strlen(prefix) + sizeof(hex) <= sizeof(temporary));

        randombytes_buf(random, sizeof(random));
        (void) sodium_bin2hex(hex, sizeof(hex), random, sizeof(random));
        (void) snprintf(temporary, sizeof(temporary), "%s%s", prefix, hex);

        r = write_new(dir_fd, temporary, bytes, n_bytes);
        if (r == 0 && renameat(dir_fd, temporary, dir_fd, name) < 0)
                r = -errno;
        if (r < 0) {
                if (r != -EEXIST)
                        (void) unlinkat(dir_fd, temporary, 0);
                return r;
        }
        return sync_dir(dir_fd);
}
