/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Preloaded into carewalletd's and the command line's processes: what they do to files is written down, so that a test can make what a
 * power cut at any moment may leave of it; or it fails from the n-th time on. Control and notes are in a file that CAREWALLET_FAULTS
 * names, mapped by all of them: i64 mode, i64 calls left before it happens, i64 bytes of notes, i64 calls seen that each of the failures
 * could hit; at 4096 the notes.
 *
 * A note: u32 type, u32 bytes of names, u64 inode, i64 where, u64 bytes, then names and bytes. Of what is done to a directory the
 * inode is the directory's, or 0 and the name is a path. Workers are started without an environment and have no part in it.
 */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
        OFF = 0,
        RECORD = 1,
        FULL = 2,      /* writes, new files, renames: ENOSPC */
        BROKEN = 3,    /* syncs: EIO */
        READ_ONLY = 4, /* every change: EROFS */
        UNREADABLE = 5, /* reads: EIO */
        NO_MEMORY = 6, /* one allocation of a core that serves */

        NOTE_CREATE = 1, /* where: the new inode */
        NOTE_WRITE,
        NOTE_TRUNCATE,
        NOTE_SYNC,
        NOTE_RENAME, /* within its directory: old name, new name */
        NOTE_UNLINK,
        NOTE_MKDIR, /* as NOTE_CREATE */
        NOTE_LINK,  /* as NOTE_RENAME */

        NOTES_AT = 4096,
        HEAD_SIZE = 32,
        N_MODES = 7,
};

typedef struct Control {
        volatile int64_t mode, n_left, n_notes, n_seen[N_MODES];
} Control;

static Control *control;
static size_t n_mapped;
static pid_t first; /* carewalletd: the launcher, which does nothing to files */

/* What is declared here is called by its 64-bit name: off_t has 64 bits. */
#define REAL(type, name) __extension__({ static type *real_; if (!real_) *(void **) &real_ = dlsym(RTLD_NEXT, name); real_; })
typedef ssize_t Write(int, const void *, size_t);
typedef ssize_t Pwrite(int, const void *, size_t, off_t);
typedef ssize_t Read(int, void *, size_t);
typedef ssize_t Pread(int, void *, size_t, off_t);
typedef int Sync(int);
typedef int Truncate(int, off_t);
typedef int Open(const char *, int, ...);
typedef int OpenAt(int, const char *, int, ...);
typedef int MakeTemporary(char *, int);
typedef int Rename(const char *, const char *);
typedef int RenameAt(int, const char *, int, const char *);
typedef int Unlink(const char *);
typedef int UnlinkAt(int, const char *, int);
typedef int MakeDir(const char *, mode_t);
typedef int MakeDirAt(int, const char *, mode_t);

void *__libc_malloc(size_t n);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *memory, size_t n);

__attribute__((constructor)) static void begin(void) {
        const char *path = getenv("CAREWALLET_FAULTS");
        int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;
        struct stat st;

        first = getpid();
        if (fd < 0 || fstat(fd, &st) < 0)
                return;
        n_mapped = (size_t) st.st_size;
        control = mmap(NULL, n_mapped, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (control == MAP_FAILED)
                control = NULL;
        (void) close(fd);
}

/* --- what happens --- */

/* Return: whether it fails, with errno set. */
static bool fails(const int *const modes, int error) {
        int64_t mode = control ? control->mode : OFF;
        bool is_due = false;

        if (mode == OFF)
                return false;
        for (const int *each = modes; *each != OFF; each++) {
                control->n_seen[*each]++;
                is_due |= *each == mode;
        }
        if (!is_due || control->n_left-- > 0)
                return false;
        errno = mode == READ_ONLY ? EROFS : error;
        return true;
}

static const int writing[] = { FULL, READ_ONLY, OFF }, removing[] = { READ_ONLY, OFF }, syncing[] = { BROKEN, READ_ONLY, OFF }, reading[] = { UNREADABLE, OFF };

static uint64_t inode_of(int fd) {
        struct stat st;

        return fstat(fd, &st) == 0 ? (uint64_t) st.st_ino : 0;
}

static bool is_file(int fd) {
        struct stat st;

        /* without a name it is memory */
        return fd > 2 && control && control->mode != OFF && fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_nlink > 0;
}

static void note(uint32_t type, uint64_t inode, int64_t at, const char *name, const char *to, const void *bytes, size_t n) {
        char names[8192];
        uint32_t n_names = name ? (uint32_t) snprintf(names, sizeof(names), "%s%c%s", name, 0, to ? to : "") : 0;
        uint64_t n_bytes = n;
        size_t n_all = HEAD_SIZE + n_names + n;
        int64_t from;
        char *p;

        if (!control || control->mode != RECORD)
                return;
        from = __atomic_fetch_add(&control->n_notes, (int64_t) n_all, __ATOMIC_SEQ_CST);
        if (NOTES_AT + (size_t) from + n_all > n_mapped)
                abort(); /* the test gave too little room */
        p = (char *) control + NOTES_AT + from;
        memcpy(p, &type, 4);
        memcpy(p + 4, &n_names, 4);
        memcpy(p + 8, &inode, 8);
        memcpy(p + 16, &at, 8);
        memcpy(p + 24, &n_bytes, 8);
        memcpy(p + HEAD_SIZE, names, n_names);
        memcpy(p + HEAD_SIZE + n_names, bytes, n);
}

static uint64_t dir_of(int dir_fd) {
        return dir_fd == AT_FDCWD ? 0 : inode_of(dir_fd);
}

/* --- files --- */

ssize_t write(int fd, const void *bytes, size_t n) {
        bool is = is_file(fd);
        ssize_t l;

        if (is && fails(writing, ENOSPC))
                return -1;
        l = REAL(Write, "write")(fd, bytes, n);
        if (is && l > 0)
                note(NOTE_WRITE, inode_of(fd), lseek(fd, 0, SEEK_CUR) - l, NULL, NULL, bytes, (size_t) l);
        return l;
}

ssize_t pwrite(int fd, const void *bytes, size_t n, off_t at) {
        bool is = is_file(fd);
        ssize_t l;

        if (is && fails(writing, ENOSPC))
                return -1;
        l = REAL(Pwrite, "pwrite64")(fd, bytes, n, at);
        if (is && l > 0)
                note(NOTE_WRITE, inode_of(fd), at, NULL, NULL, bytes, (size_t) l);
        return l;
}

ssize_t read(int fd, void *bytes, size_t n) {
        return is_file(fd) && fails(reading, EIO) ? -1 : REAL(Read, "read")(fd, bytes, n);
}

ssize_t pread(int fd, void *bytes, size_t n, off_t at) {
        return is_file(fd) && fails(reading, EIO) ? -1 : REAL(Pread, "pread64")(fd, bytes, n, at);
}

static int sync_by(Sync *real, int fd) {
        int r;

        if (fails(syncing, EIO))
                return -1;
        r = real(fd);
        if (r == 0)
                note(NOTE_SYNC, inode_of(fd), 0, NULL, NULL, "", 0);
        return r;
}

int fsync(int fd) {
        return sync_by(REAL(Sync, "fsync"), fd);
}

int fdatasync(int fd) {
        return sync_by(REAL(Sync, "fdatasync"), fd);
}

int ftruncate(int fd, off_t n) {
        int r;

        if (fails(writing, ENOSPC))
                return -1;
        r = REAL(Truncate, "ftruncate64")(fd, n);
        if (r == 0)
                note(NOTE_TRUNCATE, inode_of(fd), n, NULL, NULL, "", 0);
        return r;
}

/* --- names --- */

static int opened(int fd, uint64_t dir, const char *path, int flags) {
        struct stat st;

        if (fd < 0 || !control || control->mode != RECORD || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
                return fd;
        if (flags & O_CREAT) /* it may have been there: then nothing is new */
                note(NOTE_CREATE, dir, (int64_t) st.st_ino, path, NULL, "", 0);
        if (flags & O_TRUNC)
                note(NOTE_TRUNCATE, (uint64_t) st.st_ino, 0, NULL, NULL, "", 0);
        return fd;
}

static mode_t mode_in(int flags, va_list list) {
        return flags & O_CREAT ? va_arg(list, mode_t) : 0;
}

int open(const char *path, int flags, ...) {
        va_list list;
        mode_t mode;

        va_start(list, flags);
        mode = mode_in(flags, list);
        va_end(list);
        return (flags & O_CREAT) && fails(writing, ENOSPC) ? -1 : opened(REAL(Open, "open64")(path, flags, mode), 0, path, flags);
}

int openat(int dir_fd, const char *path, int flags, ...) {
        va_list list;
        mode_t mode;

        va_start(list, flags);
        mode = mode_in(flags, list);
        va_end(list);
        return (flags & O_CREAT) && fails(writing, ENOSPC) ? -1 : opened(REAL(OpenAt, "openat64")(dir_fd, path, flags, mode), dir_of(dir_fd), path, flags);
}

int mkostemp(char *path, int flags) {
        return fails(writing, ENOSPC) ? -1 : opened(REAL(MakeTemporary, "mkostemp64")(path, flags), 0, path, O_CREAT);
}

int renameat(int from, const char *old, int to, const char *new) {
        int r;

        if (fails(writing, ENOSPC))
                return -1;
        r = REAL(RenameAt, "renameat")(from, old, to, new);
        if (r == 0)
                note(NOTE_RENAME, dir_of(from), 0, old, new, "", 0);
        return r;
}

int rename(const char *old, const char *new) {
        int r;

        if (fails(writing, ENOSPC))
                return -1;
        r = REAL(Rename, "rename")(old, new);
        if (r == 0)
                note(NOTE_RENAME, 0, 0, old, new, "", 0);
        return r;
}

int link(const char *old, const char *new) {
        int r;

        if (fails(writing, ENOSPC))
                return -1;
        r = REAL(Rename, "link")(old, new);
        if (r == 0)
                note(NOTE_LINK, 0, 0, old, new, "", 0);
        return r;
}

int unlinkat(int dir, const char *name, int flags) {
        int r;

        if (fails(removing, EROFS))
                return -1;
        r = REAL(UnlinkAt, "unlinkat")(dir, name, flags);
        if (r == 0)
                note(NOTE_UNLINK, dir_of(dir), 0, name, NULL, "", 0);
        return r;
}

int unlink(const char *path) {
        int r;

        if (fails(removing, EROFS))
                return -1;
        r = REAL(Unlink, "unlink")(path);
        if (r == 0)
                note(NOTE_UNLINK, 0, 0, path, NULL, "", 0);
        return r;
}

static int made_dir(int r, int dir_fd, const char *path) {
        struct stat st;

        if (r == 0 && fstatat(dir_fd, path, &st, 0) == 0)
                note(NOTE_MKDIR, dir_of(dir_fd), (int64_t) st.st_ino, path, NULL, "", 0);
        return r;
}

int mkdirat(int dir_fd, const char *path, mode_t mode) {
        return fails(writing, ENOSPC) ? -1 : made_dir(REAL(MakeDirAt, "mkdirat")(dir_fd, path, mode), dir_fd, path);
}

int mkdir(const char *path, mode_t mode) {
        return fails(writing, ENOSPC) ? -1 : made_dir(REAL(MakeDir, "mkdir")(path, mode), AT_FDCWD, path);
}

/* --- memory --- */

static bool is_out(void) {
        if (!control || (control->mode != NO_MEMORY && control->mode != RECORD) || getpid() == first)
                return false;
        control->n_seen[NO_MEMORY]++;
        if (control->mode == RECORD || control->n_left-- != 0)
                return false;
        errno = ENOMEM;
        return true;
}

void *malloc(size_t n) {
        return is_out() ? NULL : __libc_malloc(n);
}

void *calloc(size_t n, size_t size) {
        return is_out() ? NULL : __libc_calloc(n, size);
}

void *realloc(void *memory, size_t n) {
        return is_out() ? NULL : __libc_realloc(memory, n);
}
