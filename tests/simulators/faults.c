/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into carewalletd: the n-th write, sync, rename or removal that the core does to a file ends the process as a power cut
 * would, or fails. What happens when is in a file of 32 bytes that CAREWALLET_FAULTS names, shared with the test:
 * i64 mode, i64 calls left before it happens, i64 calls seen. The workers are other programs and have no part in it.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        OFF = 0,
        COUNT = 1,
        KILL = 2,
        FULL = 3,  /* every write from there on: ENOSPC */
        BROKEN = 4, /* every sync from there on: EIO */
        KILL_HALF = 5, /* half of the write is done */
};

typedef struct Faults {
        volatile int64_t mode, n_left, n_seen;
} Faults;

static Faults *faults;
static pid_t launcher;

static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_pwrite)(int, const void *, size_t, off_t);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);
static int (*real_ftruncate)(int, off_t);
static int (*real_renameat)(int, const char *, int, const char *);
static int (*real_unlinkat)(int, const char *, int);
static int (*real_unlink)(const char *);

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("CAREWALLET_FAULTS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

        *(void **) &real_write = dlsym(RTLD_NEXT, "write");
        *(void **) &real_pwrite = dlsym(RTLD_NEXT, "pwrite64");
        *(void **) &real_fsync = dlsym(RTLD_NEXT, "fsync");
        *(void **) &real_fdatasync = dlsym(RTLD_NEXT, "fdatasync");
        *(void **) &real_ftruncate = dlsym(RTLD_NEXT, "ftruncate64");
        *(void **) &real_renameat = dlsym(RTLD_NEXT, "renameat");
        *(void **) &real_unlinkat = dlsym(RTLD_NEXT, "unlinkat");
        *(void **) &real_unlink = dlsym(RTLD_NEXT, "unlink");
        launcher = getpid();
        if (fd < 0)
                return;
        faults = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (faults == MAP_FAILED)
                faults = NULL;
        (void) close(fd);
}

static int is_file(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 && S_ISREG(st.st_mode);
}

/* Return: the mode when it happens now, else OFF. */
static int64_t tick(void) {
        if (!faults || faults->mode == OFF || getpid() == launcher)
                return OFF;
        faults->n_seen++;
        if (faults->mode == COUNT || faults->n_left-- > 0)
                return OFF;
        if (faults->mode == KILL)
                (void) kill(getpid(), SIGKILL);
        return faults->mode;
}

static int fails(int64_t mode, int is_sync) {
        if (mode == FULL && !is_sync)
                errno = ENOSPC;
        else if (mode == BROKEN && is_sync)
                errno = EIO;
        else
                return 0;
        return 1;
}

ssize_t write(int fd, const void *bytes, size_t n) {
        int64_t mode = is_file(fd) ? tick() : OFF;

        if (mode == KILL_HALF) {
                (void) real_write(fd, bytes, n / 2);
                (void) kill(getpid(), SIGKILL);
        }
        return fails(mode, 0) ? -1 : real_write(fd, bytes, n);
}

static ssize_t at(int fd, const void *bytes, size_t n, off_t offset) {
        int64_t mode = is_file(fd) ? tick() : OFF;

        if (mode == KILL_HALF) {
                (void) real_pwrite(fd, bytes, n / 2, offset);
                (void) kill(getpid(), SIGKILL);
        }
        return fails(mode, 0) ? -1 : real_pwrite(fd, bytes, n, offset);
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t offset) /* pwrite64, as off_t has 64 bits */ {
        return at(fd, bytes, n, offset);
}

int fsync(int fd) {
        return fails(tick(), 1) ? -1 : real_fsync(fd);
}

int fdatasync(int fd) {
        return fails(tick(), 1) ? -1 : real_fdatasync(fd);
}

int ftruncate(int fd, off_t n) {
        return fails(tick(), 0) ? -1 : real_ftruncate(fd, n);
}

int renameat(int from, const char *old, int to, const char *new) {
        return fails(tick(), 0) ? -1 : real_renameat(from, old, to, new);
}

int unlinkat(int dir, const char *name, int flags) {
        (void) tick();
        return real_unlinkat(dir, name, flags);
}

int unlink(const char *name) {
        (void) tick();
        return real_unlink(name);
}
