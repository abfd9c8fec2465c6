/* SPDX-License-Identifier: Apache-2.0 */

/* Verifying DPoP proofs. */

#include <sodium.h>

#include "dpop.h"

enum {
        NONCE_BYTES = 24,
        SLOTS_FIRST = 16,
};

struct DpopNonces {
        Secret *key; /* crypto_auth_hmacsha256_KEYBYTES, then crypto_shorthash_KEYBYTES */
};

static const uint8_t *shorthash_key(const DpopNonces *nonces) {
        return secret_data(nonces->key) + crypto_auth_hmacsha256_KEYBYTES;
}

int dpop_nonces_new(DpopNonces **ret) {
        cleanup(dpop_nonces_freep) DpopNonces *nonces = NULL;
        int r;

        nonces = calloc(1, sizeof(*nonces));
        if (!nonces)
                return -ENOMEM;
        r = secret_new(&nonces->key, crypto_auth_hmacsha256_KEYBYTES + crypto_shorthash_KEYBYTES);
        if (r < 0)
                return r;
        randombytes_buf(secret_data(nonces->key), secret_size(nonces->key));
        *ret = take_ptr(nonces);
        return 0;
}

DpopNonces *dpop_nonces_free(DpopNonces *nonces) {
        if (nonces)
                (void) secret_free(nonces->key);
        free(nonces);
        return NULL;
}

static void nonce_of(const DpopNonces *nonces, int64_t period, char ret[static DPOP_NONCE_SIZE]) {
        uint8_t counter[8], mac[crypto_auth_hmacsha256_BYTES];

        put_le64(counter, (uint64_t) period);
        (void) crypto_auth_hmacsha256(mac, counter, sizeof(counter), secret_data(nonces->key));
        (void) b64url_encode(ret, DPOP_NONCE_SIZE, mac, NONCE_BYTES);
}

void dpop_nonce(const DpopNonces *nonces, int64_t monotonic_ms, char ret[static DPOP_NONCE_SIZE]) {
        nonce_of(nonces, monotonic_ms / DPOP_NONCE_PERIOD_MS, ret);
}

static bool nonce_valid(const DpopNonces *nonces, int64_t monotonic_ms, const char *nonce) {
        int64_t period = monotonic_ms / DPOP_NONCE_PERIOD_MS;

        if (strlen(nonce) != DPOP_NONCE_SIZE - 1)
                return false;
        for (int64_t p = period; p >= period - 1; p--) {
                char valid[DPOP_NONCE_SIZE];

                nonce_of(nonces, p, valid);
                if (sodium_memcmp(valid, nonce, sizeof(valid)) == 0)
                        return true;
        }
        return false;
}

void dpop_ath(char ret[static JWS_THUMBPRINT_SIZE], const char *token) {
        uint8_t hash[crypto_hash_sha256_BYTES];

        (void) crypto_hash_sha256(hash, (const uint8_t *) token, strlen(token));
        (void) b64url_encode(ret, JWS_THUMBPRINT_SIZE, hash, sizeof(hash));
}

/* --- proofs --- */

static const char *string_at(const json_t *object, const char *name) {
        return json_string_value(json_object_get(object, name)); /* NULL for what is no string */
}

static bool is_text(const char *text, const char *expected) {
        return text && strcmp(text, expected) == 0;
}

static bool header_fits(const json_t *header, const uint8_t *expected_key) {
        const char *alg = string_at(header, "alg");
        uint8_t key[32];

        if (!is_text(string_at(header, "typ"), "dpop+jwt"))
                return false;
        if (!is_text(alg, "EdDSA") && !is_text(alg, "Ed25519"))
                return false;
        if (json_object_get(header, "crit")) /* RFC 7515, 4.1.11: there is no extension that we understand */
                return false;
        return jwk_parse_public(key, json_object_get(header, "jwk")) == 0 && memcmp(key, expected_key, sizeof(key)) == 0;
}

static bool target_fits(const json_t *claims, const DpopExpected *expected) {
        const char *htu = string_at(claims, "htu");

        if (!htu || !is_text(string_at(claims, "htm"), expected->method))
                return false;
        for (size_t i = 0; i < expected->n_urls; i++) {
                size_t n = strlen(expected->urls[i]);

                if (strncmp(htu, expected->urls[i], n) == 0 && strcmp(htu + n, expected->path) == 0)
                        return true;
        }
        return false;
}

static int check_claims(const json_t *claims, const DpopExpected *expected, const DpopNonces *nonces, int64_t monotonic_ms) {
        const char *jti = string_at(claims, "jti");
        const char *nonce = string_at(claims, "nonce");

        if (!target_fits(claims, expected))
                return DPOP_E_TARGET;
        if (json_object_get(claims, "nonce") && !nonce)
                return DPOP_E_FORMAT;
        if (!nonce || !nonce_valid(nonces, monotonic_ms, nonce))
                return DPOP_E_NONCE;
        if (!jti || *jti == '\0' || strlen(jti) > DPOP_JTI_MAX || !json_is_number(json_object_get(claims, "iat")))
                return DPOP_E_FORMAT;
        if (expected->ath && !is_text(string_at(claims, "ath"), expected->ath))
                return DPOP_E_TOKEN;
        return 0;
}

int dpop_verify(const DpopExpected *expected, const DpopNonces *nonces, int64_t monotonic_ms, const char *proof, size_t n_proof,
                char ret_jti[static DPOP_JTI_MAX + 1]) {
        cleanup(json_decrefp) json_t *header = NULL, *claims = NULL;
        const char *jti;
        Jws jws;
        int r;

        if (jws_split(&jws, proof, n_proof) != 0 || jws_verify(&jws, expected->key) != 0)
                return DPOP_E_SIGNATURE;

        r = jws_json(&header, jws.header, jws.n_header);
        if (r == 0)
                r = jws_json(&claims, jws.payload, jws.n_payload);
        if (r != 0)
                return r < 0 ? r : DPOP_E_FORMAT;
        if (!header_fits(header, expected->key))
                return DPOP_E_FORMAT;
        r = check_claims(claims, expected, nonces, monotonic_ms);
        if (r != 0)
                return r;

        jti = string_at(claims, "jti");
        memcpy(ret_jti, jti, strlen(jti) + 1);
        return 0;
}

/* --- replay --- */

static void seen_clear(DpopSeen *seen, unsigned i) {
        free(seen->slots[i]);
        seen->slots[i] = NULL;
        seen->n_slots[i] = 0;
        seen->n_seen[i] = 0;
}

void dpop_seen_done(DpopSeen *seen) {
        seen_clear(seen, 0);
        seen_clear(seen, 1);
}

bool dpop_seen_expire(DpopSeen *seen, int64_t monotonic_ms) {
        int64_t period = monotonic_ms / DPOP_NONCE_PERIOD_MS;

        if (period != seen->period) {
                seen_clear(seen, 1);
                if (period == seen->period + 1) {
                        seen->slots[1] = take_ptr(seen->slots[0]);
                        seen->n_slots[1] = seen->n_slots[0];
                        seen->n_seen[1] = seen->n_seen[0];
                }
                seen_clear(seen, 0);
                seen->period = period;
        }
        return seen->n_seen[0] == 0 && seen->n_seen[1] == 0;
}

/* The slot of a hash, or the free one where it belongs; there always is a free one. */
static uint64_t *slot_of(uint64_t *slots, uint32_t n_slots, uint64_t hash) {
        uint32_t at = (uint32_t) hash & (n_slots - 1);

        while (slots[at] != 0 && slots[at] != hash)
                at = (at + 1) & (n_slots - 1);
        return &slots[at];
}

static int seen_grow(DpopSeen *seen) {
        uint32_t n_slots = seen->n_slots[0] > 0 ? 2 * seen->n_slots[0] : SLOTS_FIRST;
        uint64_t *slots;

        if (2 * seen->n_seen[0] < seen->n_slots[0])
                return 0;

        slots = calloc(n_slots, sizeof(*slots));
        if (!slots)
                return -ENOMEM;
        for (uint32_t i = 0; i < seen->n_slots[0]; i++)
                if (seen->slots[0][i] != 0)
                        *slot_of(slots, n_slots, seen->slots[0][i]) = seen->slots[0][i];
        free(seen->slots[0]);
        seen->slots[0] = slots;
        seen->n_slots[0] = n_slots;
        return 0;
}

int dpop_seen_add(DpopSeen *seen, const DpopNonces *nonces, int64_t monotonic_ms, const char *jti) {
        uint8_t bytes[crypto_shorthash_BYTES];
        uint64_t hash;
        int r;

        (void) dpop_seen_expire(seen, monotonic_ms);
        (void) crypto_shorthash(bytes, (const uint8_t *) jti, strlen(jti), shorthash_key(nonces));
        hash = get_le64(bytes);
        if (hash == 0)
                hash = 1; /* 0 is a free slot */

        for (unsigned i = 0; i < 2; i++)
                if (seen->n_slots[i] > 0 && *slot_of(seen->slots[i], seen->n_slots[i], hash) == hash)
                        return DPOP_E_REPLAYED;
        if (seen->n_seen[0] >= DPOP_SEEN_MAX)
                return DPOP_E_FULL;

        r = seen_grow(seen);
        if (r < 0)
                return r;
        *slot_of(seen->slots[0], seen->n_slots[0], hash) = hash;
        seen->n_seen[0]++;
        return 0;
}
