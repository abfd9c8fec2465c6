/* SPDX-License-Identifier: Apache-2.0 */

#include "keep.h"

#include <fcntl.h>
#include <limits.h>

#include "db.h"

enum {
        STEP_SIZE = 512 * 1024,
        CACHE_KIB = 256,
        WAL_LIMIT_KIB = 1024,
};

struct Keep {
        Db *db;
        int dir_fd, fd;
        char temporary[NAME_MAX], name[NAME_MAX];
        uint64_t at, n_bytes;
        bool done;
};

Keep *keep_free(Keep *keep) {
        if (!keep)
                return NULL;
        if (keep->fd >= 0 && !keep->done)
                (void) unlinkat(keep->dir_fd, keep->temporary, 0);
        (void) close_fd(keep->fd);
        (void) close_fd(keep->dir_fd);
        (void) db_close(keep->db);
        free(keep);
        return NULL;
}

int keep_begin(Keep **ret, const char *dir, const char *name, const Secret *key) {
        const DbOptions as_it_is = { .cache_kib = CACHE_KIB, .wal_limit_kib = WAL_LIMIT_KIB };
        cleanup(keep_freep) Keep *keep = NULL;
        int r;

        keep = calloc(1, sizeof(*keep));
        if (!keep)
                return -ENOMEM;
        keep->fd = -1;
        (void) snprintf(keep->name, sizeof(keep->name), "%s.before", name);
        (void) snprintf(keep->temporary, sizeof(keep->temporary), "%s.before.tmp", name);
        keep->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (keep->dir_fd < 0)
                return -errno;
        r = db_open(&keep->db, dir, name, key, &as_it_is);
        if (r == 0)
                r = db_hold(keep->db, &keep->n_bytes);
        if (r != 0)
                return r;
        keep->fd = openat(keep->dir_fd, keep->temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (keep->fd < 0)
                return DB_E_FULL;
        *ret = take_ptr(keep);
        return 0;
}

int keep_step(Keep *keep, bool *ret_done) {
        static uint8_t piece[64 * 1024];
        uint64_t until = keep->at + STEP_SIZE;
        int r = 0;

        while (keep->at < keep->n_bytes && keep->at < until) {
                size_t n = keep->n_bytes - keep->at < sizeof(piece) ? (size_t) (keep->n_bytes - keep->at) : sizeof(piece);

                r = db_copy(keep->db, keep->at, piece, n);
                if (r != 0)
                        return r;
                if (write(keep->fd, piece, n) != (ssize_t) n)
                        return DB_E_FULL;
                keep->at += n;
        }
        if (fdatasync(keep->fd) < 0)
                return DB_E_FULL;
        if (keep->at < keep->n_bytes)
                return 0;
        if (renameat(keep->dir_fd, keep->temporary, keep->dir_fd, keep->name) < 0)
                return DB_E_FULL;
        *ret_done = keep->done = true;
        return fsync(keep->dir_fd) < 0 ? DB_E_FULL : 0;
}
