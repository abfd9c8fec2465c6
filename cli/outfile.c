/* SPDX-License-Identifier: Apache-2.0 */

#include "outfile.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

static char temporary[PATH_MAX]; /* for the handler; "" when there is none */

static void on_signal(int number) {
        if (temporary[0] != '\0')
                (void) unlink(temporary);
        (void) raise(number); /* SA_RESETHAND: now for real */
}

int outfile_open(const char *path, int *ret_fd) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND | SA_NODEFER};
        struct stat st;

        assert(temporary[0] == '\0');

        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
                *ret_fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
                return *ret_fd < 0 ? -errno : 0;
        }

        if ((size_t) snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary)) {
                temporary[0] = '\0';
                return -ENAMETOOLONG;
        }
        *ret_fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
        if (*ret_fd < 0) {
                temporary[0] = '\0';
                return -errno;
        }
        for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                (void) sigaction(signals[i], &action, NULL);
        return 0;
}

int outfile_sync_directory(const char *path) {
        const char *slash = strrchr(path, '/');
        cleanup(close_fdp) int fd = -1;
        char dir[PATH_MAX];

        (void) snprintf(dir, sizeof(dir), "%.*s", slash ? (int) (slash - path) + 1 : 1, slash ? path : ".");
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return -errno;
        return fsync(fd) < 0 && errno != EINVAL && errno != EROFS ? -errno : 0;
}

int outfile_sync(const char *path, int fd) {
        if (fsync(fd) < 0 && errno != EINVAL && errno != EROFS)
                return -errno;
        return outfile_sync_directory(path);
}

int outfile_commit(const char *path, int fd, bool replace) {
        if (temporary[0] == '\0')
                return 0;
        if (fsync(fd) < 0)
                return -errno;
        if (!replace) {
                if (link(temporary, path) == 0)
                        (void) unlink(temporary);
                else if (errno == EEXIST || access(path, F_OK) == 0)
                        return -EEXIST;
                else if (rename(temporary, path) < 0) /* a file system without links: FAT on a stick */
                        return -errno;
        } else if (rename(temporary, path) < 0)
                return -errno;
        temporary[0] = '\0';
        return outfile_sync_directory(path);
}

void outfile_abandon(void) {
        if (temporary[0] != '\0')
                (void) unlink(temporary);
        temporary[0] = '\0';
}
