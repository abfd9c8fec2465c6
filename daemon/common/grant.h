/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The grant as a signed statement: a JWT, alg exactly EdDSA, typ exactly wallet-grant+jwt, the wallet's public key as
 * "jwk" in the header (its thumbprint must equal iss). Claims: daemon/FORMAT.md, "grant".
 */

#include "jws.h"
#include "policy/policy.h"

enum {
        GRANT_URLS_MAX = 4,
        GRANT_URL_MAX = 256,
        GRANT_PINS_MAX = 2,
        GRANT_PURPOSE_MAX = 32,

        GRANT_E_FORMAT = 1, /* not a grant, or one of another version */
        GRANT_E_SIGNATURE,
};

typedef struct GrantClaims {
        uint8_t wallet_key[32];         /* iss is its thumbprint */
        uint8_t provider_key[32];       /* on issue; cnf.jkt, client_id and the second aud are its thumbprint */
        char provider_thumbprint[JWS_THUMBPRINT_SIZE]; /* on parsing: cnf.jkt */
        char wallet_thumbprint[JWS_THUMBPRINT_SIZE];
        char subject[JWS_THUMBPRINT_SIZE]; /* pairwise pseudonym of the patient for this provider */
        char jti[24];
        int64_t issued_s;
        int32_t issued_day;             /* local day of issue: claim "iday" */
        PolicyTerms terms;              /* nbf, exp, scope, uses */
        char purpose[GRANT_PURPOSE_MAX]; /* HL7 v3 ActReason, such as TREAT */
        uint32_t retention_days;        /* terms: 0 says nothing */
        size_t n_urls;
        char urls[GRANT_URLS_MAX][GRANT_URL_MAX]; /* gate.urls: hints, https://host:port, no slash at the end */
        size_t n_pins;
        uint8_t pins[GRANT_PINS_MAX][32]; /* gate.pins: SHA-256 of the SPKI of the gate's current and next key */
} GrantClaims;

/** grant_sign() - @ret: malloc'd JWT. GRANT_E_FORMAT: what grant_open() would not accept, such as terms that are not valid */
must_check int grant_sign(char **ret, const GrantClaims *claims, const Secret *signing_seed);
/** grant_open() - verify with the key in its header (that must be @wallet_key when given), then parse strictly */
must_check int grant_open(GrantClaims *ret, const char *jwt, size_t n_jwt, const uint8_t *wallet_key);

/* The words that claims, the ledger and answers use. */
/** grant_detail_name(), grant_identity_name() - NULL when there is none of this number */
const char *grant_detail_name(unsigned detail);
const char *grant_identity_name(unsigned identity);
/** grant_kinds_json() - new array of names; NULL: no memory */
json_t *grant_kinds_json(uint32_t kinds);
/** grant_scope_json() - new object, the claim "scope" of a valid scope; NULL: no memory */
json_t *grant_scope_json(const PolicyScope *scope);
