/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Cleanup attributes, ownership hand-over, the error convention, and little-endian bytes. */

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define must_check __attribute__((warn_unused_result))
#define cleanup(function) __attribute__((cleanup(function)))
#define printf_like(at, first) __attribute__((format(printf, at, first)))

/* DEFINE_CLEANUP(Vault *, vault_free) gives vault_freep() for cleanup(). */
#define DEFINE_CLEANUP(type, function)                   \
        static inline void function##p(type *pointer) { \
                if (*pointer)                           \
                        (void) function(*pointer);      \
        }

#define take_ptr(pointer)                            \
        __extension__ ({                                           \
                __typeof__(pointer) _taken = (pointer); \
                (pointer) = NULL;                    \
                _taken;                              \
        })

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

static inline void freep(void *pointer) {
        free(*(void **) pointer);
}

static inline int close_fd(int fd) {
        if (fd >= 0) {
                int saved = errno;

                (void) close(fd);
                errno = saved;
        }
        return -1;
}

static inline void close_fdp(int *fd) {
        *fd = close_fd(*fd);
}

static inline int take_fd(int *fd) {
        int taken = *fd;

        *fd = -1;
        return taken;
}

/*
 * Errors: 0 ok; < 0 negative errno, unexpected, passed up untouched; > 0 a MODULE_E_* of the called module, which the
 * caller must handle. fold() turns a positive one that nobody handled into a fatal one.
 */
static inline int fold(int r) {
        return r > 0 ? -ENOTRECOVERABLE : r;
}

static inline void put_le16(uint8_t *p, uint16_t v) {
        p[0] = (uint8_t) v;
        p[1] = (uint8_t) (v >> 8);
}

static inline void put_le32(uint8_t *p, uint32_t v) {
        put_le16(p, (uint16_t) v);
        put_le16(p + 2, (uint16_t) (v >> 16));
}

static inline void put_le64(uint8_t *p, uint64_t v) {
        put_le32(p, (uint32_t) v);
        put_le32(p + 4, (uint32_t) (v >> 32));
}

static inline uint16_t get_le16(const uint8_t *p) {
        return (uint16_t) (p[0] | p[1] << 8);
}

static inline uint32_t get_le32(const uint8_t *p) {
        return (uint32_t) get_le16(p) | (uint32_t) get_le16(p + 2) << 16;
}

static inline uint64_t get_le64(const uint8_t *p) {
        return (uint64_t) get_le32(p) | (uint64_t) get_le32(p + 4) << 32;
}
