/* SPDX-License-Identifier: Apache-2.0 */

/* Proquints of a key. */

#include <sodium.h>

#include "jws.h"
#include "words.h"

void words_of_key(char ret[static WORDS_SIZE], const uint8_t public_key[static 32]) {
        static const char consonants[] = "bdfghjklmnprstvz";
        static const char vowels[] = "aiou";
        char thumbprint[JWS_THUMBPRINT_SIZE];
        uint8_t hash[32];
        size_t n;
        int r;

        /* the thumbprint is the hash that the words spell */
        jwk_thumbprint(thumbprint, public_key);
        r = b64url_decode(hash, sizeof(hash), &n, thumbprint, sizeof(thumbprint) - 1);
        assert(r == 0 && n == sizeof(hash));

        for (size_t i = 0; i < 8; i++) {
                unsigned bits = (unsigned) (hash[2 * i] << 8 | hash[2 * i + 1]);

                *ret++ = consonants[bits >> 12];
                *ret++ = vowels[bits >> 10 & 3];
                *ret++ = consonants[bits >> 6 & 15];
                *ret++ = vowels[bits >> 4 & 3];
                *ret++ = consonants[bits & 15];
                *ret++ = i < 7 ? '-' : '\0';
        }
}
