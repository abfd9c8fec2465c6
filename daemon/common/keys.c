/* SPDX-License-Identifier: Apache-2.0 */

#include "keys.h"

#include <sodium.h>

static const char context[crypto_kdf_CONTEXTBYTES] = {'c', 'a', 'r', 'e', 'w', 'a', 'l', 'l'};

int keys_derive_one(Secret **ret, const Secret *root, KeyId id) {
        cleanup(secret_freep) Secret *key = NULL;
        int r;

        assert(secret_size(root) == KEYS_ROOT_SIZE && KEYS_ROOT_SIZE == crypto_kdf_KEYBYTES);

        r = secret_new(&key, KEYS_SIZE);
        if (r < 0)
                return r;
        if (crypto_kdf_derive_from_key(secret_data(key), KEYS_SIZE, id, context, secret_data(root)) < 0)
                return -ENOTRECOVERABLE;
        *ret = take_ptr(key);
        return 0;
}

int keys_derive(Keys **ret, const Secret *root) {
        cleanup(keys_freep) Keys *keys = NULL;

        keys = calloc(1, sizeof(*keys));
        if (!keys)
                return -ENOMEM;
        for (unsigned id = 1; id < N_KEYS; id++) {
                int r = keys_derive_one(&keys->keys[id], root, (KeyId) id);

                if (r < 0)
                        return r;
        }
        *ret = take_ptr(keys);
        return 0;
}

static const KeyId identity[] = {KEY_PSEUDONYM, KEY_GRANT_SEED, KEY_CHECKPOINT_SEED, KEY_SPOOL_SEED};

int keys_identity(const Keys *keys, Secret **ret) {
        int r = secret_new(ret, KEYS_IDENTITY_SIZE);

        if (r < 0)
                return r;
        for (size_t i = 0; i < N_ELEMENTS(identity); i++)
                memcpy(secret_data(*ret) + i * KEYS_SIZE, secret_data(keys->keys[identity[i]]), KEYS_SIZE);
        return 0;
}

void keys_use_identity(Keys *keys, const uint8_t *bytes) {
        for (size_t i = 0; i < N_ELEMENTS(identity); i++)
                memcpy(secret_data(keys->keys[identity[i]]), bytes + i * KEYS_SIZE, KEYS_SIZE);
}

Keys *keys_free(Keys *keys) {
        if (keys) {
                for (unsigned id = 1; id < N_KEYS; id++)
                        (void) secret_free(keys->keys[id]);
                free(keys);
        }
        return NULL;
}
