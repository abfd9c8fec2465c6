/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * DPoP proofs (RFC 9449) of a key that is already known, and the nonces that make them fresh.
 *
 * Freshness is by our nonce and our monotonic clock alone: iat must be there, as the RFC says, but is not compared with
 * anything. A clinic's clock may be wrong, ours may be set back, and neither opens a window for replay.
 */

#include "daemon/common/jws.h"

typedef struct DpopNonces DpopNonces;

enum {
        DPOP_NONCE_SIZE = 33, /* base64url of 24 bytes and a terminator */
        DPOP_NONCE_PERIOD_MS = 60000,
        DPOP_JTI_MAX = 128,   /* bytes */

        DPOP_E_SIGNATURE = 1, /* not a JWS, or not by this key: nothing in it was parsed */
        DPOP_E_FORMAT,        /* typ, alg, jwk or a claim is not as it must be */
        DPOP_E_TARGET,        /* made for another method or URL */
        DPOP_E_NONCE,         /* no nonce, or one that is not of this or the last period */
        DPOP_E_TOKEN,         /* made for another access token */
};

/** dpop_nonces_new() - a random key, kept as long as these nonces: none outlives a restart */
must_check int dpop_nonces_new(DpopNonces **ret);
DpopNonces *dpop_nonces_free(DpopNonces *nonces);
DEFINE_CLEANUP(DpopNonces *, dpop_nonces_free)
/** dpop_nonce() - the one of the current period */
void dpop_nonce(const DpopNonces *nonces, int64_t monotonic_ms, char ret[static DPOP_NONCE_SIZE]);

/** dpop_ath() - base64url of the SHA-256 of an access token's text (RFC 9449, 4.2) */
void dpop_ath(char ret[static JWS_THUMBPRINT_SIZE], const char *token);

typedef struct DpopExpected {
        const uint8_t *key;      /* 32 bytes: the enrolled one */
        const char *method;      /* htm */
        const char *path;        /* htu is one of the URLs and this, byte by byte: nothing is normalised */
        const char *const *urls;
        size_t n_urls;
        const char *ath;         /* NULL: no token is presented */
} DpopExpected;

/**
 * dpop_verify() - everything about a proof but whether it was seen before
 * @ret_jti: at most DPOP_JTI_MAX bytes and a terminator; for the caller's replay check
 *
 * In this order: signature with the expected key; typ exactly dpop+jwt, alg EdDSA or Ed25519 (RFC 9864), no crit, jwk public and
 * equal to that key; htm, htu; nonce; jti and iat well formed; ath. The first that fails is the answer.
 *
 * Return: 0; DPOP_E_...; -ENOMEM.
 */
must_check int dpop_verify(const DpopExpected *expected, const DpopNonces *nonces, int64_t monotonic_ms, const char *proof, size_t n_proof,
                           char ret_jti[static DPOP_JTI_MAX + 1]);

/* The proofs of one provider's grant that were accepted, while their nonces are valid. Zero it to begin. */
typedef struct DpopSeen {
        uint64_t *slots[2];    /* open addressing, 0 is free; [0] is the current period's */
        uint32_t n_slots[2];   /* powers of two */
        uint32_t n_seen[2];
        int64_t period;
} DpopSeen;

enum {
        DPOP_SEEN_MAX = 32768, /* proofs of one grant in a period; more are refused */

        DPOP_E_REPLAYED = 1,
        DPOP_E_FULL,
};

void dpop_seen_done(DpopSeen *seen);
/**
 * dpop_seen_add() - remember a jti for this period and the next
 * A keyed 64-bit hash is kept: that a new jti is taken for an old one has a chance of 2^-48 at the most.
 *
 * Return: 0; DPOP_E_REPLAYED; DPOP_E_FULL; -ENOMEM.
 */
must_check int dpop_seen_add(DpopSeen *seen, const DpopNonces *nonces, int64_t monotonic_ms, const char *jti);
/** dpop_seen_expire() - give back what no valid nonce is left for. Return: whether nothing is remembered any more */
bool dpop_seen_expire(DpopSeen *seen, int64_t monotonic_ms);
