/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Small files, whole and durable. */

#include "util.h"

/**
 * io_read_file() - a file's bytes
 *
 * A symbolic link is not followed; what is no regular file, or has more than @n_max bytes, is -EFBIG.
 *
 * Return: 0; negative errno.
 */
must_check int io_read_file(int dir_fd, const char *name, uint8_t *ret, size_t n_max, size_t *ret_n);

/**
 * io_write_file() - put a file in the place of another or of none: new file (0600), fsync, rename, fsync of the directory
 * @prefix:  the new file's name until then is this and random hex digits; in the same directory
 *
 * Return: 0; negative errno, and then what was there is still there, or, when the last fsync failed, either.
 */
must_check int io_write_file(int dir_fd, const char *prefix, const char *name, const uint8_t *bytes, size_t n_bytes);
