/* SPDX-License-Identifier: Apache-2.0 */

#include "totp.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <sodium.h>

enum {
        VERSION = 1,
        URI_SIZE = 256,
        /* in the setting */
        LAST_STEP_AT = 4,
        SECRET_AT = 12,
        SALT_AT = SECRET_AT + TOTP_SECRET_SIZE,
        N_CODES_AT = SALT_AT + 16,
        CODES_AT = N_CODES_AT + 4,
        SETTING_MAX = CODES_AT + TOTP_N_CODES * CODE_HASH_SIZE,
};
static const char setting[] = "totp";

uint32_t totp_number(const uint8_t *secret, size_t n_secret, uint64_t step) {
        uint8_t counter[8], mac[EVP_MAX_MD_SIZE];
        const uint8_t *at;
        unsigned n_mac = 0;
        uint32_t number;

        for (unsigned i = 0; i < 8; i++)
                counter[i] = (uint8_t) (step >> (56 - 8 * i));
        if (!HMAC(EVP_sha1(), secret, (int) n_secret, counter, sizeof(counter), mac, &n_mac) || n_mac != 20)
                abort(); /* the library is broken */
        at = mac + (mac[19] & 15);
        number = ((uint32_t) at[0] & 127) << 24 | (uint32_t) at[1] << 16 | (uint32_t) at[2] << 8 | at[3];
        sodium_memzero(mac, sizeof(mac));
        return number;
}

int totp_make(Totp *ret) {
        Totp totp = { 0 };
        int r;

        r = secret_new(&totp.secret, TOTP_SECRET_SIZE);
        if (r < 0)
                return r;
        randombytes_buf(secret_data(totp.secret), TOTP_SECRET_SIZE);
        randombytes_buf(totp.salt, sizeof(totp.salt));
        *ret = totp;
        return 0;
}

void totp_done(Totp *totp) {
        (void) secret_free(totp->secret);
        sodium_memzero(totp, sizeof(*totp));
}

int totp_make_codes(Totp *totp, Secret **ret_shown) {
        cleanup(secret_freep) Secret *shown = NULL, *code = NULL;
        char *at;
        int r;

        r = secret_new(&shown, TOTP_N_CODES * CODE_SHOWN_SIZE + 1);
        if (r == 0)
                r = secret_new(&code, CODE_TEXT_SIZE);
        if (r < 0)
                return r;
        at = (char *) secret_data(shown);
        for (size_t i = 0; i < TOTP_N_CODES; i++, at += CODE_SHOWN_SIZE) {
                code_make((char *) secret_data(code), at);
                code_hash(totp->codes[i], totp->salt, (const char *) secret_data(code));
                at[CODE_SHOWN_SIZE - 1] = '\n';
        }
        totp->n_codes = TOTP_N_CODES;
        *ret_shown = take_ptr(shown);
        return 0;
}

int totp_uri(const Totp *totp, const char *account, Secret **ret) {
        static const char base32[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"; /* RFC 4648, 6 */
        cleanup(secret_freep) Secret *uri = NULL;
        const uint8_t *bytes = secret_data(totp->secret);
        char *text, *at;
        int r;

        static_assert(TOTP_SECRET_SIZE % 5 == 0, "no padding");
        r = secret_new(&uri, URI_SIZE);
        if (r < 0)
                return r;
        text = (char *) secret_data(uri);
        at = text + snprintf(text, URI_SIZE / 2, "otpauth://totp/carewallet:%.24s?issuer=carewallet&secret=", account);
        for (size_t bit = 0; bit < TOTP_SECRET_SIZE * 8; bit += 5) {
                unsigned pair = (unsigned) bytes[bit / 8] << 8 | (bit / 8 + 1 < TOTP_SECRET_SIZE ? bytes[bit / 8 + 1] : 0);

                *at++ = base32[pair >> (11 - bit % 8) & 31];
        }
        *ret = take_ptr(uri);
        return 0;
}

int totp_take(Totp *totp, const uint8_t hash[static CODE_HASH_SIZE], int64_t now_s, bool digits, bool *ret_one_time) {
        uint64_t now = now_s < 0 ? 0 : (uint64_t) now_s / TOTP_STEP_S, found = 0;
        uint8_t expected[CODE_HASH_SIZE];
        char text[CODE_TEXT_SIZE];

        for (uint64_t step = now < TOTP_DRIFT ? 0 : now - TOTP_DRIFT; step <= now + TOTP_DRIFT; step++) {
                (void) snprintf(text, sizeof(text), "%06u", totp_number(secret_data(totp->secret), TOTP_SECRET_SIZE, step) % 1000000);
                code_hash(expected, totp->salt, text);
                if (sodium_memcmp(expected, hash, sizeof(expected)) == 0 && step > totp->last_step && digits && found == 0)
                        found = step;
        }
        sodium_memzero(text, sizeof(text));
        if (found > 0) {
                totp->last_step = found;
                if (ret_one_time)
                        *ret_one_time = false;
                return 0;
        }

        for (size_t i = 0; i < totp->n_codes; i++) {
                if (sodium_memcmp(totp->codes[i], hash, CODE_HASH_SIZE) != 0)
                        continue;
                memcpy(totp->codes[i], totp->codes[--totp->n_codes], CODE_HASH_SIZE);
                if (ret_one_time)
                        *ret_one_time = true;
                return 0;
        }
        return TOTP_E_WRONG;
}

int totp_store(const Totp *totp, Consent *consent) {
        cleanup(secret_freep) Secret *bytes = NULL;
        uint8_t *at;
        int r;

        if (!totp->secret)
                return consent_setting_forget(consent, setting, "totp\x01");
        r = secret_new(&bytes, SETTING_MAX);
        if (r < 0)
                return r;
        at = secret_data(bytes);
        put_le32(at, VERSION);
        put_le64(at + LAST_STEP_AT, totp->last_step);
        memcpy(at + SECRET_AT, secret_data(totp->secret), TOTP_SECRET_SIZE);
        memcpy(at + SALT_AT, totp->salt, sizeof(totp->salt));
        put_le32(at + N_CODES_AT, (uint32_t) totp->n_codes);
        memcpy(at + CODES_AT, totp->codes, totp->n_codes * CODE_HASH_SIZE);
        return consent_setting_put(consent, setting, at, CODES_AT + totp->n_codes * CODE_HASH_SIZE);
}

int totp_load(Totp *ret, Consent *consent) {
        char *bytes = NULL;
        const uint8_t *at;
        Totp totp = { 0 };
        size_t n;
        int r;

        r = consent_setting_get(consent, setting, &bytes, &n);
        if (r == CONSENT_E_NOT_FOUND) {
                *ret = totp;
                return 0;
        }
        if (r != 0)
                return r;
        at = (const uint8_t *) bytes;
        if (n < CODES_AT || get_le32(at) != VERSION || get_le32(at + N_CODES_AT) > TOTP_N_CODES || n != CODES_AT + get_le32(at + N_CODES_AT) * CODE_HASH_SIZE)
                r = CONSENT_E_KEY;
        else
                r = secret_new(&totp.secret, TOTP_SECRET_SIZE);
        if (r == 0) {
                totp.last_step = get_le64(at + LAST_STEP_AT);
                memcpy(secret_data(totp.secret), at + SECRET_AT, TOTP_SECRET_SIZE);
                memcpy(totp.salt, at + SALT_AT, sizeof(totp.salt));
                totp.n_codes = get_le32(at + N_CODES_AT);
                memcpy(totp.codes, at + CODES_AT, totp.n_codes * CODE_HASH_SIZE);
                *ret = totp;
        }
        explicit_bzero(bytes, n);
        free(bytes);
        return r;
}
