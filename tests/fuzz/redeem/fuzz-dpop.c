/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: header and claims of a proof as JSON, with a zero byte between; "NONCE" in the claims becomes a valid nonce. Signed with
 * the enrolled key, so that what is behind the signature is reached. A proof that is accepted must say what was expected.
 */

#include <sodium.h>

#include "daemon/core/dpop.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static const char *text_at(const json_t *json, const char *name) {
        const char *text = json_string_value(json_object_get(json, name));

        assert(text);
        return text;
}

static void check(const char *proof, size_t n_proof, const char *jti, const char *nonce) {
        cleanup(json_decrefp) json_t *header = NULL, *claims = NULL;
        Jws jws;

        assert(jws_split(&jws, proof, n_proof) == 0);
        assert(jws_json(&header, jws.header, jws.n_header) == 0 && jws_json(&claims, jws.payload, jws.n_payload) == 0);
        assert(strcmp(text_at(header, "typ"), "dpop+jwt") == 0);
        assert(strcmp(text_at(header, "alg"), "EdDSA") == 0 || strcmp(text_at(header, "alg"), "Ed25519") == 0);
        assert(!json_object_get(json_object_get(header, "jwk"), "d"));
        assert(strcmp(text_at(claims, "htm"), "GET") == 0 && strcmp(text_at(claims, "htu"), "https://a/slice") == 0);
        assert(strcmp(text_at(claims, "nonce"), nonce) == 0 && strcmp(text_at(claims, "ath"), "ath") == 0);
        assert(strcmp(text_at(claims, "jti"), jti) == 0 && strlen(jti) >= 1 && strlen(jti) <= DPOP_JTI_MAX);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const char *const urls[] = { "https://a" };
        static DpopNonces *nonces;
        static uint8_t public_key[32], secret_key[64];
        const uint8_t *zero = memchr(bytes, 0, n);
        DpopExpected expected = { .key = public_key, .method = "GET", .path = "/slice", .urls = urls, .n_urls = 1, .ath = "ath" };
        char nonce[DPOP_NONCE_SIZE], jti[DPOP_JTI_MAX + 1];
        cleanup(freep) char *claims = NULL, *proof = NULL;
        size_t n_header, n_claims, size, at;
        uint8_t signature[64];
        char *mark;

        if (!nonces) {
                static const uint8_t seed[32] = { 3 };

                if (sodium_init() < 0 || dpop_nonces_new(&nonces) < 0)
                        return 0;
                (void) crypto_sign_seed_keypair(public_key, secret_key, seed);
        }
        assert(dpop_verify(&expected, nonces, 60000, (const char *) bytes, n, jti) != 0);
        if (!zero || n > JWS_MAX)
                return 0;

        n_header = (size_t) (zero - bytes);
        n_claims = n - n_header - 1;
        claims = malloc(n_claims + sizeof(nonce));
        size = 4 * ((n_header + 2) / 3) + 4 * ((n_claims + sizeof(nonce) + 2) / 3) + 96;
        proof = malloc(size);
        if (!claims || !proof)
                return 0;
        memcpy(claims, zero + 1, n_claims);
        dpop_nonce(nonces, 60000, nonce);
        mark = memmem(claims, n_claims, "NONCE", 5);
        if (mark) {
                memmove(mark + sizeof(nonce) - 1, mark + 5, n_claims - (size_t) (mark + 5 - claims));
                memcpy(mark, nonce, sizeof(nonce) - 1);
                n_claims += sizeof(nonce) - 1 - 5;
        }

        at = b64url_encode(proof, size, bytes, n_header);
        proof[at++] = '.';
        at += b64url_encode(proof + at, size - at, claims, n_claims);
        (void) crypto_sign_detached(signature, NULL, (const uint8_t *) proof, at, secret_key);
        proof[at++] = '.';
        at += b64url_encode(proof + at, size - at, signature, sizeof(signature));
        if (dpop_verify(&expected, nonces, 60000, proof, at, jti) == 0)
                check(proof, at, jti, nonce);
        return 0;
}
