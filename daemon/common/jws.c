/* SPDX-License-Identifier: Apache-2.0 */

/* Compact JWS with Ed25519, and the JSON Web Keys that go with it. */

#include <sodium.h>

#include "jws.h"

enum {
        JSON_DEPTH_MAX = 8, /* objects and arrays within each other; bounds Jansson's recursion */

        SIGNATURE_TEXT = 86, /* base64url of 64 bytes */
        KEY_TEXT = 43,       /* base64url of 32 bytes */
};

size_t b64url_encode(char *ret, size_t size, const void *bytes, size_t n) {
        (void) sodium_bin2base64(ret, size, bytes, n, sodium_base64_VARIANT_URLSAFE_NO_PADDING);
        return sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING) - 1;
}

int b64url_decode(uint8_t *ret, size_t size, size_t *ret_n, const char *text, size_t n_text) {
        /* libsodium takes some bytes above 127 for the letter that they are without their highest bit */
        for (size_t i = 0; i < n_text; i++)
                if ((uint8_t) text[i] > 127)
                        return JWS_E_FORMAT;
        /* no set of characters to skip and no end pointer: sodium then refuses padding, strangers and trailing bits */
        if (sodium_base642bin(ret, size, text, n_text, NULL, ret_n, NULL, sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0)
                return JWS_E_FORMAT;
        return 0;
}

void jwk_thumbprint(char ret[static JWS_THUMBPRINT_SIZE], const uint8_t public_key[static 32]) {
        char x[KEY_TEXT + 1], input[96];
        uint8_t hash[crypto_hash_sha256_BYTES];

        (void) b64url_encode(x, sizeof(x), public_key, 32);
        (void) snprintf(input, sizeof(input), "{\"crv\":\"Ed25519\",\"kty\":\"OKP\",\"x\":\"%s\"}", x); /* RFC 8037, 2 */
        (void) crypto_hash_sha256(hash, (const uint8_t *) input, strlen(input));
        (void) b64url_encode(ret, JWS_THUMBPRINT_SIZE, hash, sizeof(hash));
}

json_t *jwk_public(const uint8_t public_key[static 32]) {
        char x[KEY_TEXT + 1];

        (void) b64url_encode(x, sizeof(x), public_key, 32);
        return json_pack("{s:s, s:s, s:s}", "kty", "OKP", "crv", "Ed25519", "x", x);
}

int jwk_parse_public(uint8_t ret[static 32], const json_t *jwk) {
        uint8_t key[32];
        const char *kty, *crv, *x;
        size_t n;

        /* json_unpack() wants a json_t that is not const, and leaves it as it is */
        if (json_unpack((json_t *) (uintptr_t) jwk, "{s:s, s:s, s:s}", "kty", &kty, "crv", &crv, "x", &x) < 0)
                return JWS_E_FORMAT;
        if (strcmp(kty, "OKP") != 0 || strcmp(crv, "Ed25519") != 0 || json_object_get(jwk, "d"))
                return JWS_E_FORMAT;
        if (b64url_decode(key, sizeof(key), &n, x, strlen(x)) != 0 || n != sizeof(key))
                return JWS_E_FORMAT;

        memcpy(ret, key, sizeof(key));
        return 0;
}

static bool is_b64url(const char *text, size_t n_text) {
        static const char characters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

        for (size_t i = 0; i < n_text; i++)
                if (!memchr(characters, text[i], sizeof(characters) - 1))
                        return false;
        return n_text > 0;
}

int jws_split(Jws *ret, const char *compact, size_t n_compact) {
        const char *first, *second;
        Jws jws = {0};
        size_t n;

        if (n_compact > JWS_MAX || n_compact < SIGNATURE_TEXT)
                return JWS_E_FORMAT;

        first = memchr(compact, '.', n_compact);
        second = compact + n_compact - SIGNATURE_TEXT - 1;
        if (!first || second <= first || *second != '.')
                return JWS_E_FORMAT;

        jws.header = compact;
        jws.n_header = (size_t) (first - compact);
        jws.payload = first + 1;
        jws.n_payload = (size_t) (second - jws.payload);
        jws.signing_input = compact;
        jws.n_signing_input = (size_t) (second - compact);
        /* a third dot would be in the payload, which has none */
        if (!is_b64url(jws.header, jws.n_header) || !is_b64url(jws.payload, jws.n_payload))
                return JWS_E_FORMAT;
        if (b64url_decode(jws.signature, sizeof(jws.signature), &n, second + 1, SIGNATURE_TEXT) != 0 ||
            n != sizeof(jws.signature))
                return JWS_E_FORMAT;

        *ret = jws;
        return 0;
}

int jws_verify(const Jws *jws, const uint8_t public_key[static 32]) {
        /* also refuses an S that is not canonical, and keys and R of small order */
        if (crypto_sign_verify_detached(jws->signature, (const uint8_t *) jws->signing_input, jws->n_signing_input,
                                        public_key) < 0)
                return JWS_E_SIGNATURE;
        return 0;
}

/* Whether no part of the text is deeper than allowed. Right for JSON; what is no JSON fails later. */
static bool is_shallow(const uint8_t *text, size_t n_text) {
        unsigned depth = 0;
        bool in_string = false;

        for (size_t i = 0; i < n_text; i++) {
                uint8_t c = text[i];

                if (in_string) {
                        if (c == '\\')
                                i++;
                        else if (c == '"')
                                in_string = false;
                } else if (c == '"')
                        in_string = true;
                else if (c == '{' || c == '[') {
                        if (++depth > JSON_DEPTH_MAX)
                                return false;
                } else if ((c == '}' || c == ']') && depth > 0)
                        depth--;
        }
        return true;
}

int jws_json(json_t **ret, const char *part, size_t n_part) {
        cleanup(freep) uint8_t *bytes = NULL;
        json_t *json;
        size_t n;
        int r;

        if (n_part > JWS_MAX)
                return JWS_E_FORMAT;

        bytes = malloc(n_part + 1);
        if (!bytes)
                return -ENOMEM;

        r = b64url_decode(bytes, n_part, &n, part, n_part);
        if (r != 0)
                return r;
        if (!is_shallow(bytes, n))
                return JWS_E_FORMAT;

        json = json_loadb((const char *) bytes, n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(json)) {
                json_decref(json);
                return JWS_E_FORMAT;
        }
        *ret = json;
        return 0;
}

static int keypair(uint8_t ret_public[static 32], Secret **ret_secret, const Secret *seed) {
        cleanup(secret_freep) Secret *secret = NULL;
        int r;

        assert(secret_size(seed) == crypto_sign_SEEDBYTES);

        r = secret_new(&secret, crypto_sign_SECRETKEYBYTES);
        if (r < 0)
                return r;
        (void) crypto_sign_seed_keypair(ret_public, secret_data(secret), secret_data(seed));
        *ret_secret = take_ptr(secret);
        return 0;
}

/* Append the base64url of a JSON object at @at. */
static int append_json(char *text, size_t size, size_t *at, const json_t *json) {
        cleanup(freep) char *dump = json_dumps(json, JSON_COMPACT);
        size_t n;

        if (!dump)
                return -ENOMEM;
        n = strlen(dump);
        if (sodium_base64_ENCODED_LEN(n, sodium_base64_VARIANT_URLSAFE_NO_PADDING) > size - *at)
                return JWS_E_FORMAT;
        *at += b64url_encode(text + *at, size - *at, dump, n);
        return 0;
}

int jws_sign(char **ret, const json_t *header, const json_t *payload, const Secret *seed) {
        cleanup(secret_freep) Secret *secret = NULL;
        cleanup(freep) char *text = NULL;
        uint8_t public_key[32], signature[crypto_sign_BYTES];
        const size_t room = JWS_MAX - SIGNATURE_TEXT - 1; /* for what is signed */
        size_t n = 0;
        int r;

        text = malloc(JWS_MAX + 1);
        if (!text)
                return -ENOMEM;

        r = append_json(text, room, &n, header);
        if (r != 0)
                return r;
        text[n++] = '.';
        r = append_json(text, room, &n, payload);
        if (r != 0)
                return r;

        r = keypair(public_key, &secret, seed);
        if (r < 0)
                return r;
        (void) crypto_sign_detached(signature, NULL, (const uint8_t *) text, n, secret_data(secret));
        text[n++] = '.';
        (void) b64url_encode(text + n, JWS_MAX + 1 - n, signature, sizeof(signature));

        *ret = take_ptr(text);
        return 0;
}

int ed25519_public(uint8_t ret[static 32], const Secret *seed) {
        cleanup(secret_freep) Secret *secret = NULL;

        return keypair(ret, &secret, seed);
}

void random_id(char ret[static 24]) {
        uint8_t bytes[16];

        randombytes_buf(bytes, sizeof(bytes));
        (void) b64url_encode(ret, 24, bytes, sizeof(bytes));
}
