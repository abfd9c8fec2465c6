/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Pages of a database as they lie on the disk, and whether SQLCipher wrote them so. Version 3 of its format, 4096 bytes: text, 16 bytes IV,
 * 20 bytes HMAC-SHA1 of both and of the page's number (u32 LE), 12 bytes of nothing. The first page begins with the file's salt.
 */

#include "daemon/common/secret.h"

enum {
        PAGES_SIZE = 4096,
        PAGES_SALT_SIZE = 16,
};

/** pages_mac_key() - @key: the database's raw key; @salt: its first bytes; -ENOMEM */
must_check int pages_mac_key(Secret **ret, const Secret *key, const uint8_t salt[static PAGES_SALT_SIZE]);

/** pages_are_whole() - @n bytes from @at of the file, both multiples of PAGES_SIZE. One of zeros was never written, and is whole */
bool pages_are_whole(const Secret *mac_key, uint64_t at, const uint8_t *bytes, size_t n);
