/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the tests of grants and redemption share: keys, signed texts of any content, reference vectors. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <sodium.h>

#include "daemon/common/jws.h"

#define ok(expression) assert_int_equal((expression), 0)

static inline Secret *seed_of(uint8_t byte) {
        Secret *seed = NULL;

        ok(secret_new(&seed, 32));
        memset(secret_data(seed), byte, 32);
        return seed;
}

/* base64url of text, malloc'd */
static inline char *b64(const char *text, size_t n) {
        size_t size = 4 * ((n + 2) / 3) + 1;
        char *ret = malloc(size);

        assert_non_null(ret);
        (void) b64url_encode(ret, size, text, n);
        return ret;
}

/* A compact JWS over any two texts, as someone who has the key but not our code would make it. */
static inline char *sign_raw(const Secret *seed, const char *header, const char *payload) {
        cleanup(freep) char *h = b64(header, strlen(header)), *p = b64(payload, strlen(payload)), *s = NULL;
        uint8_t public_key[32], secret[64], signature[64];
        char *input = NULL, *ret = NULL;

        assert_true(asprintf(&input, "%s.%s", h, p) > 0);
        (void) crypto_sign_seed_keypair(public_key, secret, secret_data(seed));
        (void) crypto_sign_detached(signature, NULL, (const uint8_t *) input, strlen(input), secret);
        s = b64((const char *) signature, sizeof(signature));
        assert_true(asprintf(&ret, "%s.%s", input, s) > 0);
        free(input);
        return ret;
}

/* The same over JSON; both are stolen. */
static inline char *sign_json(const Secret *seed, json_t *header, json_t *payload) {
        cleanup(freep) char *h = json_dumps(header, JSON_COMPACT), *p = json_dumps(payload, JSON_COMPACT);

        assert_non_null(h);
        assert_non_null(p);
        json_decref(header);
        json_decref(payload);
        return sign_raw(seed, h, p);
}

/* Reference vectors of others, NULL when they are not here: CAREWALLET_SHARED, or beside the source. */
static inline json_t *vectors(void) {
        const char *folder = getenv("CAREWALLET_SHARED");
        char path[4096];

        (void) snprintf(path, sizeof(path), "%s/vectors/jose/ed25519-vectors.json", folder ? folder : SOURCE_ROOT "/../shared");
        return json_load_file(path, 0, NULL);
}
