/* SPDX-License-Identifier: Apache-2.0 */

/* Recovery code: daemon/FORMAT.md, "recovery code". */

#include "recovery.h"

#include <sodium.h>

enum {
        GROUP = 4, /* data characters */
        N_CHARACTERS = RECOVERY_N_GROUPS * (GROUP + 1),
};

static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ"; /* Crockford's base32 */

/* Times alpha in GF(32) with x^5 + x^2 + 1. */
static unsigned times_alpha(unsigned v) {
        v <<= 1;
        return v & 32 ? v ^ 0x25 : v;
}

/*
 * place + a1 alpha + a2 alpha^2 + a3 alpha^3 + a4 alpha^4. Each character has another factor (the check character 1), so
 * one wrong character and two swapped ones always show; each group has another constant, so moved groups do too.
 */
static unsigned check_of(unsigned group, const uint8_t values[static GROUP]) {
        unsigned sum = 0;

        for (unsigned i = GROUP; i-- > 0;)
                sum = times_alpha(sum ^ values[i]);
        return sum ^ (group + 1);
}

void recovery_encode(char ret[static RECOVERY_TEXT_SIZE], const uint8_t code[static RECOVERY_SIZE]) {
        char *at = ret;

        for (unsigned group = 0; group < RECOVERY_N_GROUPS; group++) {
                uint8_t values[GROUP];

                for (unsigned i = 0; i < GROUP; i++) {
                        unsigned bit = (group * GROUP + i) * 5, byte = bit / 8;
                        unsigned pair = (unsigned) code[byte] << 8 | (byte + 1 < RECOVERY_SIZE ? code[byte + 1] : 0);

                        values[i] = (uint8_t) (pair >> (11 - bit % 8) & 31);
                        *at++ = alphabet[values[i]];
                }
                *at++ = alphabet[check_of(group, values)];
                *at++ = '-';
                sodium_memzero(values, sizeof(values));
        }
        at[-1] = '\0';
}

/* Of a letter that is more than one byte, which is none of a code: the bytes behind its first one (RFC 3629 section 3). */
static bool is_continuation(char c) {
        return ((uint8_t) c & 0xc0) == 0x80;
}

/* 0..31, or 32: not of the alphabet. */
static uint8_t value_of(char c) {
        const char *found;

        if (c >= 'a' && c <= 'z')
                c = (char) (c - 'a' + 'A');
        if (c == 'O')
                c = '0';
        if (c == 'I' || c == 'L')
                c = '1';
        found = c ? strchr(alphabet, c) : NULL;
        return found ? (uint8_t) (found - alphabet) : 32;
}

static bool is_between(char c) {
        return c == ' ' || c == '-' || c == '\t' || c == '\n' || c == '\r';
}

/* Of eight groups that are written apart, the first that has not five characters; 0: none, or they are not eight. */
static unsigned find_uneven(const char *text, size_t n_text) {
        unsigned n_groups = 0, uneven = 0;
        size_t n = 0;

        for (size_t i = 0; i <= n_text; i++) {
                if (i < n_text && !is_between(text[i])) {
                        n += !is_continuation(text[i]);
                        continue;
                }
                if (n == 0)
                        continue;
                n_groups++;
                if (n != GROUP + 1 && uneven == 0)
                        uneven = n_groups;
                n = 0;
        }
        return n_groups == RECOVERY_N_GROUPS ? uneven : 0;
}

int recovery_decode(uint8_t ret[static RECOVERY_SIZE], const char *text, size_t n_text, unsigned *ret_bad_group) {
        uint8_t values[N_CHARACTERS];
        size_t n = 0;
        int r = 0;

        for (size_t i = 0; i < n_text; i++) {
                if (is_between(text[i]) || is_continuation(text[i]))
                        continue;
                if (n < N_CHARACTERS)
                        values[n] = value_of(text[i]);
                n++;
        }
        if (n != N_CHARACTERS) {
                unsigned uneven = find_uneven(text, n_text);

                r = uneven > 0 ? RECOVERY_E_GROUP : RECOVERY_E_LENGTH;
                if (uneven > 0 && ret_bad_group)
                        *ret_bad_group = uneven;
        }

        for (unsigned group = 0; r == 0 && group < RECOVERY_N_GROUPS; group++) {
                const uint8_t *g = values + (size_t) group * (GROUP + 1);
                bool bad = check_of(group, g) != g[GROUP];

                for (unsigned i = 0; i <= GROUP; i++)
                        bad = bad || g[i] > 31;
                if (bad) {
                        r = RECOVERY_E_GROUP;
                        if (ret_bad_group)
                                *ret_bad_group = group + 1;
                }
        }

        if (r == 0) {
                memset(ret, 0, RECOVERY_SIZE);
                for (unsigned i = 0; i < RECOVERY_N_GROUPS * GROUP; i++) {
                        unsigned bit = i * 5, byte = bit / 8;
                        unsigned pair = (unsigned) values[i / GROUP * (GROUP + 1) + i % GROUP] << (11 - bit % 8);

                        ret[byte] = (uint8_t) (ret[byte] | pair >> 8);
                        if (byte + 1 < RECOVERY_SIZE)
                                ret[byte + 1] = (uint8_t) (ret[byte + 1] | (pair & 0xff));
                }
        }
        sodium_memzero(values, sizeof(values));
        return r;
}
