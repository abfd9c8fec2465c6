/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into the daemon: the process that makes the KILL_AT-th change on the disk ends there, without a word. Counted are syncs,
 * renames and removals, and every eighth write. Each core counts from 0.
 */

#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

static long kill_at, n_changes, n_writes;

__attribute__((constructor)) static void setup(void) {
        const char *text = getenv("KILL_AT");

        kill_at = text ? strtol(text, NULL, 10) : 0;
}

static void change(void) {
        if (kill_at > 0 && ++n_changes == kill_at)
                _exit(99);
}

static void *next(const char *name) {
        return dlsym(RTLD_NEXT, name);
}

int fsync(int fd) {
        static int (*real)(int);

        change();
        if (!real)
                *(void **) &real = next("fsync");
        return real(fd);
}

int fdatasync(int fd) {
        static int (*real)(int);

        change();
        if (!real)
                *(void **) &real = next("fdatasync");
        return real(fd);
}

int renameat(int from_fd, const char *from, int to_fd, const char *to) {
        static int (*real)(int, const char *, int, const char *);

        change();
        if (!real)
                *(void **) &real = next("renameat");
        return real(from_fd, from, to_fd, to);
}

int unlinkat(int fd, const char *name, int flags) {
        static int (*real)(int, const char *, int);

        change();
        if (!real)
                *(void **) &real = next("unlinkat");
        return real(fd, name, flags);
}

int unlink(const char *name) {
        static int (*real)(const char *);

        change();
        if (!real)
                *(void **) &real = next("unlink");
        return real(name);
}

ssize_t pwrite64(int fd, const void *bytes, size_t n, off64_t at) {
        static ssize_t (*real)(int, const void *, size_t, off64_t);

        if (++n_writes % 8 == 0)
                change();
        if (!real)
                *(void **) &real = next("pwrite64");
        return real(fd, bytes, n, at);
}
