/* SPDX-License-Identifier: Apache-2.0 */

#include "code.h"

#include <sodium.h>

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base32 */

int code_read(char ret[static CODE_TEXT_SIZE], const char *text, size_t n) {
        char read[CODE_TEXT_SIZE] = "";
        size_t n_read = 0;
        int r = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (c == ' ' || c == '-' || c == '\t' || c == '\n' || c == '\r')
                        continue;
                if (c >= 'a' && c <= 'z')
                        c = (char) (c - 'a' + 'A');
                if (c == 'O')
                        c = '0';
                if (c == 'I' || c == 'L')
                        c = '1';
                if (n_read == CODE_ONE_TIME || c == '\0' || !strchr(alphabet, c)) {
                        r = CODE_E_FORMAT;
                        break;
                }
                read[n_read++] = c;
        }
        if (n_read != CODE_ONE_TIME && (n_read != CODE_DIGITS || strspn(read, "0123456789") != n_read))
                r = CODE_E_FORMAT;
        if (r == 0)
                memcpy(ret, read, sizeof(read));
        sodium_memzero(read, sizeof(read));
        return r;
}

void code_hash(uint8_t ret[static CODE_HASH_SIZE], const uint8_t salt[static 16], const char *code) {
        static const char context[] = "carewallet code v1"; /* without the terminator */
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, NULL, 0, CODE_HASH_SIZE);
        (void) crypto_generichash_update(&state, (const uint8_t *) context, sizeof(context) - 1);
        (void) crypto_generichash_update(&state, salt, 16);
        (void) crypto_generichash_update(&state, (const uint8_t *) code, strlen(code));
        (void) crypto_generichash_final(&state, ret, CODE_HASH_SIZE);
        sodium_memzero(&state, sizeof(state));
}

void code_make(char ret[static CODE_TEXT_SIZE], char ret_shown[static CODE_SHOWN_SIZE]) {
        uint8_t random[CODE_ONE_TIME];

        randombytes_buf(random, sizeof(random));
        for (size_t i = 0; i < CODE_ONE_TIME; i++)
                ret[i] = alphabet[random[i] & 31];
        ret[CODE_ONE_TIME] = '\0';
        memcpy(ret_shown, ret, 5);
        ret_shown[5] = '-';
        memcpy(ret_shown + 6, ret + 5, 6);
        sodium_memzero(random, sizeof(random));
}
