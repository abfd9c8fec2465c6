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

Keys *keys_free(Keys *keys) {
        if (keys) {
                for (unsigned id = 1; id < N_KEYS; id++)
                        (void) secret_free(keys->keys[id]);
                free(keys);
        }
        return NULL;
}
