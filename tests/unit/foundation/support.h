/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* cmocka and what these tests share. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <ftw.h>

#include "daemon/common/secret.h"

static inline Secret *secret_of(const void *bytes, size_t n) {
        Secret *secret = NULL;

        assert_int_equal(secret_new(&secret, n), 0);
        memcpy(secret_data(secret), bytes, n);
        return secret;
}

/* A key that is @byte all over. */
static inline Secret *key_of(uint8_t byte) {
        uint8_t bytes[32];

        memset(bytes, byte, sizeof(bytes));
        return secret_of(bytes, sizeof(bytes));
}

typedef struct Folder {
        char path[64];
        int fd;
} Folder;

static inline int folder_remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw) {
        (void) st;
        (void) type;
        (void) ftw;
        return remove(path);
}

static inline void folder_done(Folder *folder) {
        (void) close(folder->fd);
        (void) nftw(folder->path, folder_remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

static inline Folder folder_new(void) {
        Folder folder = {.path = "/tmp/carewallet-test-XXXXXX"};

        assert_non_null(mkdtemp(folder.path));
        folder.fd = open(folder.path, O_PATH | O_DIRECTORY | O_CLOEXEC);
        assert_true(folder.fd >= 0);
        return folder;
}

static inline size_t read_whole(int dir_fd, const char *name, uint8_t *ret, size_t n_max) {
        cleanup(close_fdp) int fd = openat(dir_fd, name, O_RDONLY | O_CLOEXEC);
        ssize_t n = fd >= 0 ? read(fd, ret, n_max) : -1;

        assert_true(n >= 0);
        return (size_t) n;
}

static inline void write_whole(int dir_fd, const char *name, const void *bytes, size_t n) {
        cleanup(close_fdp) int fd = openat(dir_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t) n);
}
