/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The end of a wallet: its keys first, then its files. */

#include "util.h"

/**
 * erase_slots() - overwrite both copies of the slot file, on the disk, and remove them
 *
 * From here on nobody opens the databases, whatever else fails. What a disk kept of older copies (a file system's journal, a
 * flash disk's spare blocks) still needs a passphrase. Return: 0, also when there were none; negative errno.
 */
must_check int erase_slots(int state_dir_fd);

/** erase_files() - remove all else that carewallet wrote in a state directory; what others put there stays. negative errno */
must_check int erase_files(int state_dir_fd);
