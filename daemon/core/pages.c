/* SPDX-License-Identifier: Apache-2.0 */

#include "pages.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

enum {
        MAC_SIZE = 20,
        RESERVE = 48,
        SEALED_SIZE = PAGES_SIZE - RESERVE + 16, /* text and IV */
        KDF_ROUNDS = 2,   /* SQLCipher's fast_kdf_iter */
        SALT_MASK = 0x3a, /* and its hmac_salt_mask */
};

int pages_mac_key(Secret **ret, const Secret *key, const uint8_t salt[static PAGES_SALT_SIZE]) {
        cleanup(secret_freep) Secret *mac_key = NULL;
        uint8_t masked[PAGES_SALT_SIZE];
        int r;

        r = secret_new(&mac_key, 32);
        if (r < 0)
                return r;
        for (size_t i = 0; i < sizeof(masked); i++)
                masked[i] = salt[i] ^ SALT_MASK;
        if (PKCS5_PBKDF2_HMAC((const char *) secret_data(key), (int) secret_size(key), masked, sizeof(masked), KDF_ROUNDS, EVP_sha1(), (int) secret_size(mac_key),
                              secret_data(mac_key)) != 1)
                return -ENOMEM;
        *ret = take_ptr(mac_key);
        return 0;
}

static bool is_whole(const Secret *mac_key, uint64_t number, const uint8_t page[static PAGES_SIZE]) {
        size_t skip = number == 1 ? PAGES_SALT_SIZE : 0;
        uint8_t sealed[SEALED_SIZE + 4], mac[EVP_MAX_MD_SIZE];
        unsigned n_mac = 0;

        memcpy(sealed, page + skip, SEALED_SIZE - skip);
        put_le32(sealed + SEALED_SIZE - skip, (uint32_t) number);
        return HMAC(EVP_sha1(), secret_data(mac_key), (int) secret_size(mac_key), sealed, SEALED_SIZE - skip + 4, mac, &n_mac) && n_mac == MAC_SIZE &&
               (memcmp(mac, page + SEALED_SIZE, MAC_SIZE) == 0 || sodium_is_zero(page, PAGES_SIZE));
}

bool pages_are_whole(const Secret *mac_key, uint64_t at, const uint8_t *bytes, size_t n) {
        assert(at % PAGES_SIZE == 0 && n % PAGES_SIZE == 0);

        for (size_t i = 0; i < n; i += PAGES_SIZE)
                if (!is_whole(mac_key, (at + i) / PAGES_SIZE + 1, bytes + i))
                        return false;
        return true;
}
