/* SPDX-License-Identifier: Apache-2.0 */

/* A checkpoint as it may come from elsewhere. What is accepted must be what we would sign. */

#include <sodium.h>

#include "daemon/core/note.h"

#define ORIGIN "wallet.example/ledger"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
        static Secret *seed;
        MerkleHash root;
        uint64_t size;

        if (!seed) { /* seed of the first corpus file: 00 01 .. 1f */
                cleanup(secret_freep) Secret *secret_key = NULL;

                if (secret_new(&seed, crypto_sign_SEEDBYTES) < 0 || secret_new(&secret_key, crypto_sign_SECRETKEYBYTES) < 0)
                        abort();
                for (uint8_t i = 0; i < crypto_sign_SEEDBYTES; i++)
                        secret_data(seed)[i] = i;
                (void) crypto_sign_seed_keypair(public_key, secret_data(secret_key), secret_data(seed));
        }

        if (note_checkpoint_open((const char *) bytes, n, ORIGIN, public_key, &size, &root) == 0) {
                cleanup(freep) char *note = NULL;

                if (note_checkpoint_sign(&note, ORIGIN, size, &root, seed) < 0 || memcmp(note, bytes, strlen(ORIGIN) + 1) != 0)
                        abort();
        }
        return 0;
}
