/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of the store share: a folder of their own, keys, and the reference data of other projects. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/common/secret.h"

#define ok(expression) assert_int_equal((expression), 0)

static inline Secret *key_of(uint8_t byte) {
        Secret *key = NULL;

        ok(secret_new(&key, 32));
        memset(secret_data(key), byte, 32);
        return key;
}

/* *state is the path of an empty folder, removed with what is in it. */
static inline int make_folder(void **state) {
        char *path = strdup("/tmp/store-XXXXXX");

        *state = path;
        return path && mkdtemp(path) ? 0 : -1;
}

static inline int remove_folder(void **state) {
        char *path = *state;
        DIR *dir = opendir(path);
        struct dirent *entry;

        while (dir && (entry = readdir(dir)))
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                (void) closedir(dir);
        (void) rmdir(path);
        free(path);
        return 0;
}

#define in_folder(test) cmocka_unit_test_setup_teardown(test, make_folder, remove_folder)

/* A file's bytes with a terminator behind them; NULL when there is none. */
static inline char *read_whole(const char *path, size_t *ret_n) {
        int fd = open(path, O_RDONLY | O_CLOEXEC);
        struct stat st;
        char *bytes = NULL;

        if (fd < 0)
                return NULL;
        if (fstat(fd, &st) == 0)
                bytes = calloc(1, (size_t) st.st_size + 1);
        if (bytes)
                assert_int_equal(pread(fd, bytes, (size_t) st.st_size, 0), st.st_size);
        (void) close_fd(fd);
        *ret_n = (size_t) st.st_size;
        return bytes;
}

/* Whether @word is in any file of the folder; *ret_n_files says how many there are. */
static inline bool any_file_has(const char *folder, const char *word, unsigned *ret_n_files) {
        DIR *dir = opendir(folder);
        struct dirent *entry;
        bool found = false;

        assert_non_null(dir);
        *ret_n_files = 0;
        while ((entry = readdir(dir))) {
                cleanup(freep) char *bytes = NULL;
                char path[PATH_MAX];
                size_t n = 0;

                if (entry->d_name[0] == '.')
                        continue;
                (void) snprintf(path, sizeof(path), "%s/%s", folder, entry->d_name);
                bytes = read_whole(path, &n);
                assert_non_null(bytes);
                if (memmem(bytes, n, word, strlen(word)))
                        found = true;
                ++*ret_n_files;
        }
        (void) closedir(dir);
        return found;
}

/* Files may not grow beyond @n bytes from here on: what a full disk looks like to a library. */
static inline void limit_files(rlim_t n) {
        struct rlimit limit;

        (void) signal(SIGXFSZ, SIG_IGN);
        ok(getrlimit(RLIMIT_FSIZE, &limit));
        limit.rlim_cur = n < limit.rlim_max ? n : limit.rlim_max;
        ok(setrlimit(RLIMIT_FSIZE, &limit));
}

static inline rlim_t size_of_file(const char *folder, const char *name) {
        char path[PATH_MAX];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/%s", folder, name);
        return stat(path, &st) < 0 ? 0 : (rlim_t) st.st_size;
}

/* Reference data that is not ours to copy: CAREWALLET_SHARED, or beside the source. */
static inline const char *reference(const char *name) {
        static char path[PATH_MAX];
        const char *folder = getenv("CAREWALLET_SHARED");

        (void) snprintf(path, sizeof(path), "%s/%s", folder ? folder : SOURCE_ROOT "/../shared", name);
        return path;
}
