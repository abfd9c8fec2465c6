/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Compact JWS (RFC 7515) with Ed25519 (RFC 8037) and nothing else. Verify first, parse after. Used by the core and by
 * carewallet-provider.
 */

#include <jansson.h>

#include "secret.h"

enum {
        JWS_MAX = 16384,       /* bytes of a compact JWS */
        JWS_THUMBPRINT_SIZE = 44, /* base64url of SHA-256 and a terminator */

        JWS_E_FORMAT = 1, /* not a strict compact JWS or base64url or JSON as expected */
        JWS_E_SIGNATURE,
};

/** b64url_encode() - unpadded; @size: of @ret, at least 4 * ((n + 2) / 3) + 1. Return: length */
size_t b64url_encode(char *ret, size_t size, const void *bytes, size_t n);
/** b64url_decode() - strict: no padding, no other characters, no non-zero trailing bits. JWS_E_FORMAT */
must_check int b64url_decode(uint8_t *ret, size_t size, size_t *ret_n, const char *text, size_t n_text);

/** jwk_thumbprint() - RFC 7638 of an Ed25519 key, base64url */
void jwk_thumbprint(char ret[static JWS_THUMBPRINT_SIZE], const uint8_t public_key[static 32]);
/** jwk_public() - new reference {"kty":"OKP","crv":"Ed25519","x":...}; NULL: no memory */
json_t *jwk_public(const uint8_t public_key[static 32]);
/** jwk_parse_public() - exactly kty OKP and crv Ed25519, x of 32 bytes; refuses "d"; other members are ignored. JWS_E_FORMAT */
must_check int jwk_parse_public(uint8_t ret[static 32], const json_t *jwk);

typedef struct Jws { /* borrowed parts of one text */
        const char *header, *payload; /* base64url */
        size_t n_header, n_payload;
        const char *signing_input;
        size_t n_signing_input;
        uint8_t signature[64];
} Jws;

must_check int jws_split(Jws *ret, const char *compact, size_t n_compact);
must_check int jws_verify(const Jws *jws, const uint8_t public_key[static 32]);
/** jws_json() - decode a part as a JSON object: no duplicate keys, depth and size bounded. @ret: new reference */
must_check int jws_json(json_t **ret, const char *part, size_t n_part);
/** jws_sign() - @ret: malloc'd compact JWS. @seed: 32 bytes */
must_check int jws_sign(char **ret, const json_t *header, const json_t *payload, const Secret *seed);
/** ed25519_public() - public key of a seed */
must_check int ed25519_public(uint8_t ret[static 32], const Secret *seed);
/** random_id() - base64url of 16 random bytes */
void random_id(char ret[static 24]);
