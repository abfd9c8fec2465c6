/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A file that is there whole or not at all: half an export or backup looks like a whole one. One at a time. */

#include "daemon/common/util.h"

/**
 * outfile_open() - a new file beside @path, mode 0600, gone when the program is ended by a signal
 *
 * A @path that is no ordinary file (a pipe, /dev/null) is written to directly.
 *
 * Return: 0; negative errno.
 */
must_check int outfile_open(const char *path, int *ret_fd);
/** outfile_commit() - on the disk, and in the place of @path. @replace: also of a file that is there; else -EEXIST */
must_check int outfile_commit(const char *path, int fd, bool replace);
/** outfile_sync() - what was written to @fd, and the name @path of it, are on the disk, as far as that can be said of it; negative errno */
must_check int outfile_sync(const char *path, int fd);
/** outfile_sync_directory() - what was made or renamed in the directory that @path is in is on the disk; negative errno */
must_check int outfile_sync_directory(const char *path);
/** outfile_abandon() - as if it had never been; nothing after outfile_commit() */
void outfile_abandon(void);
