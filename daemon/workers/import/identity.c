/* SPDX-License-Identifier: Apache-2.0 */

#include "identity.h"

#include <sodium.h>

/* A trademark's sign, with the space before it; 0 when @text begins with something else */
static size_t trademark(const char *text) {
        static const char *const signs[] = { "\xe2\x84\xa2", "\xc2\xae", "(TM)", "(R)" };
        size_t n_spaces = strspn(text, " ");

        for (size_t i = 0; i != N_ELEMENTS(signs); i++)
                if (strncmp(text + n_spaces, signs[i], strlen(signs[i])) == 0)
                        return n_spaces + strlen(signs[i]);
        return 0;
}

static void hash_name(crypto_hash_sha256_state *state, const char *name) {
        while (*name) {
                size_t n = trademark(name);

                if (n == 0)
                        (void) crypto_hash_sha256_update(state, (const uint8_t *) name, 1);
                name += n ? n : 1;
        }
}

void identity_device(uint8_t ret[static IDENTITY_DEVICE_SIZE], const char *model, const char *serial, const char *section) {
        uint8_t hash[crypto_hash_sha256_BYTES];
        crypto_hash_sha256_state state;

        (void) crypto_hash_sha256_init(&state);
        hash_name(&state, serial[0] ? model : section);
        if (serial[0]) {
                (void) crypto_hash_sha256_update(&state, (const uint8_t *) "\n", 1);
                (void) crypto_hash_sha256_update(&state, (const uint8_t *) serial, strlen(serial));
        }
        (void) crypto_hash_sha256_final(&state, hash);
        memcpy(ret, hash, IDENTITY_DEVICE_SIZE);
}

void identity_discriminator(uint8_t ret[static IDENTITY_DISCRIMINATOR_SIZE], const char *text, size_t n_text) {
        uint8_t hash[crypto_hash_sha256_BYTES] = { 0 };

        if (n_text)
                (void) crypto_hash_sha256(hash, (const uint8_t *) text, n_text);
        memcpy(ret, hash, IDENTITY_DISCRIMINATOR_SIZE);
}

void identity_put(uint8_t ret[static RECORD_IDENTITY_SIZE], const uint8_t device[static IDENTITY_DEVICE_SIZE], uint16_t epoch,
                  uint16_t ordinal, const uint8_t discriminator[static IDENTITY_DISCRIMINATOR_SIZE]) {
        memcpy(ret, device, IDENTITY_DEVICE_SIZE);
        put_le16(ret + 8, epoch);
        put_le16(ret + 10, ordinal);
        memcpy(ret + 12, discriminator, IDENTITY_DISCRIMINATOR_SIZE);
}
