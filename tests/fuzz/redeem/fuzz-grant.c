/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: header and payload as JSON, with a zero byte between. They are signed with a known key, so that what is behind the
 * signature is reached; the bytes are also tried as they are. A grant that opens must be one that policy knows, and must come
 * out the same when it is signed again.
 */

#include <sodium.h>

#include "daemon/common/grant.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const GrantClaims *claims, const Secret *seed) {
        cleanup(freep) char *jwt = NULL;
        GrantClaims again;

        assert(policy_terms_valid(&claims->terms));
        assert(claims->n_urls <= GRANT_URLS_MAX && claims->n_pins <= GRANT_PINS_MAX);
        assert(memchr(claims->purpose, '\0', sizeof(claims->purpose)));
        assert(grant_sign(&jwt, claims, seed) == 0);
        assert(grant_open(&again, jwt, strlen(jwt), claims->wallet_key) == 0);
        assert(strcmp(again.jti, claims->jti) == 0 && strcmp(again.provider_thumbprint, claims->provider_thumbprint) == 0);
        assert(policy_scope_narrows(&again.terms.scope, &claims->terms.scope));
        assert(policy_scope_narrows(&claims->terms.scope, &again.terms.scope));
        assert(again.terms.expires_s == claims->terms.expires_s && again.terms.uses_max == claims->terms.uses_max);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static Secret *seed;
        static uint8_t public_key[32], secret_key[64];
        const uint8_t *zero = memchr(bytes, 0, n);
        size_t n_header = zero ? (size_t) (zero - bytes) : n;
        const uint8_t *payload = zero ? zero + 1 : bytes;
        size_t n_payload = zero ? n - n_header - 1 : n;
        cleanup(freep) char *jwt = NULL;
        uint8_t signature[64];
        GrantClaims claims;
        size_t size, at;

        if (!seed) {
                if (sodium_init() < 0 || secret_new(&seed, 32) < 0)
                        return 0;
                memset(secret_data(seed), 3, 32);
                (void) crypto_sign_seed_keypair(public_key, secret_key, secret_data(seed));
        }

        (void) !grant_open(&claims, (const char *) bytes, n, NULL);
        (void) !grant_open(&claims, (const char *) bytes, n, public_key);

        if (n > JWS_MAX)
                return 0;
        size = 4 * ((n_header + 2) / 3) + 4 * ((n_payload + 2) / 3) + 96;
        jwt = malloc(size);
        if (!jwt)
                return 0;
        at = b64url_encode(jwt, size, bytes, n_header);
        jwt[at++] = '.';
        at += b64url_encode(jwt + at, size - at, payload, n_payload);
        (void) crypto_sign_detached(signature, NULL, (const uint8_t *) jwt, at, secret_key);
        jwt[at++] = '.';
        at += b64url_encode(jwt + at, size - at, signature, sizeof(signature));
        if (grant_open(&claims, jwt, at, public_key) == 0)
                check(&claims, seed);
        return 0;
}
