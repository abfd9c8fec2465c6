/* SPDX-License-Identifier: Apache-2.0 */

#include "secret.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/mman.h>
#include <sys/stat.h>

struct Secret {
        size_t n;
        uint8_t *data; /* apart from the size, so that it ends at the guard page */
};

int secret_new(Secret **ret, size_t n) {
        Secret *secret;

        assert(ret);
        assert(n > 0);

        if (sodium_init() < 0)
                return -ENOTRECOVERABLE;

        secret = malloc(sizeof(*secret));
        if (!secret)
                return -ENOMEM;
        secret->n = n;
        secret->data = sodium_malloc(n);
        if (!secret->data) {
                free(secret);
                return -ENOMEM;
        }
        sodium_memzero(secret->data, n);
        *ret = secret;
        return 0;
}

Secret *secret_free(Secret *secret) {
        if (secret) {
                sodium_free(secret->data);
                free(secret);
        }
        return NULL;
}

uint8_t *secret_data(const Secret *secret) {
        return secret->data;
}

size_t secret_size(const Secret *secret) {
        return secret->n;
}

bool secret_can_lock(void) {
        long page = sysconf(_SC_PAGESIZE);
        void *probe;
        bool locked;

        assert(page > 0);

        probe = mmap(NULL, (size_t) page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (probe == MAP_FAILED)
                return false;
        locked = sodium_mlock(probe, (size_t) page) == 0;
        (void) munmap(probe, (size_t) page);
        return locked;
}

int secret_read_memfd(Secret **ret, int fd) {
        const int sealed = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;
        cleanup(secret_freep) Secret *secret = NULL;
        struct stat st;
        size_t n = 0;
        int r;

        assert(ret);

        r = fcntl(fd, F_GET_SEALS);
        if (r < 0)
                return errno == EINVAL || errno == EBADF ? SECRET_E_MEMFD : -errno;
        if ((r & sealed) != sealed)
                return SECRET_E_MEMFD;

        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode) || st.st_size < 1 || st.st_size > SECRET_MEMFD_MAX)
                return SECRET_E_MEMFD;

        r = secret_new(&secret, (size_t) st.st_size);
        if (r < 0)
                return r;

        while (n < secret->n) { /* the writer's offset does not matter: descriptors share it */
                ssize_t l = pread(fd, secret->data + n, secret->n - n, (off_t) n);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return errno == EBADF ? SECRET_E_MEMFD : -errno; /* not open for reading */
                }
                if (l == 0)
                        return -EIO;
                n += (size_t) l;
        }

        *ret = take_ptr(secret);
        return 0;
}

int secret_to_memfd(int *ret_fd, const Secret *secret, size_t n) {
        cleanup(close_fdp) int fd = -1;

        assert(ret_fd);
        assert(secret);
        assert(n >= 1 && n <= secret->n);

        if (n > SECRET_MEMFD_MAX)
                return -EMSGSIZE;

        fd = memfd_create("secret", MFD_CLOEXEC | MFD_ALLOW_SEALING);
        if (fd < 0)
                return -errno;
        for (size_t done = 0; done < n;) {
                ssize_t l = pwrite(fd, secret->data + done, n - done, (off_t) done);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                done += (size_t) l;
        }
        if (fcntl(fd, F_ADD_SEALS, F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK | F_SEAL_SEAL) < 0)
                return -errno;

        *ret_fd = take_fd(&fd);
        return 0;
}
