/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A backup's file taken apart into a state directory, and what may be wrong with it. */

#include "cli.h"
#include "daemon/common/archive.h"

enum {
        RESTORE_E_OCCUPIED = 16, /* the directory has a wallet */
        RESTORE_E_BUSY,          /* a daemon uses it */
        RESTORE_E_LOST,          /* it has a wallet without its key file */
};

/**
 * restore_unpack() - check a backup while its parts are written into @dir, which is made where it is missing
 *
 * Nothing is left behind on any failure. What root writes belongs to the directory's owner.
 *
 * Return: 0; ARCHIVE_E_*; RESTORE_E_*; negative errno.
 */
must_check int restore_unpack(int file_fd, const char *dir, Archive *ret);
/** restore_discard() - remove what restore_unpack() wrote, and what a daemon made of it, and the directory */
void restore_discard(const char *dir);
/** restore_failed() - say why; @r: of restore_unpack() or archive_read(). Returns the exit code */
int restore_failed(const Cli *cli, int r, const char *path, const char *dir);
