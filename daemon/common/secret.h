/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Secrets: guarded, locked, wiped, not dumped. A secret is never an array and never realloc'd. */

#include "util.h"

typedef struct Secret Secret;

/** secret_new() - @n bytes of zeros in sodium_malloc() memory; -ENOMEM */
must_check int secret_new(Secret **ret, size_t n);
/** secret_free() - wipe and free; accepts NULL, returns NULL */
Secret *secret_free(Secret *secret);
uint8_t *secret_data(const Secret *secret);
size_t secret_size(const Secret *secret);

/** secret_can_lock() - whether memory can be locked here; sodium_malloc() itself does not say */
bool secret_can_lock(void);

/**
 * secret_read_memfd() - a sealed memfd's content
 * @fd: borrowed; must be a memfd sealed against write, grow and shrink, 1..SECRET_MEMFD_MAX bytes
 *
 * For the workers: the core never reads a descriptor that it did not create.
 * Return: 0; SECRET_E_MEMFD when it is not such a descriptor; negative errno.
 */
must_check int secret_read_memfd(Secret **ret, int fd);

/** secret_to_memfd() - a new sealed memfd (close-on-exec) with the secret's first @n bytes; negative errno */
must_check int secret_to_memfd(int *ret_fd, const Secret *secret, size_t n);

enum {
        SECRET_MEMFD_MAX = 4096, /* bytes */

        SECRET_E_MEMFD = 1,
};

DEFINE_CLEANUP(Secret *, secret_free)
