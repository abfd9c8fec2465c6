/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The wallet's grants in memory: verified again when loaded, changed here first, then in consent.db. */

#include "consent.h"
#include "daemon/common/grant.h"

typedef struct Grants Grants;

typedef struct Grant {
        uint64_t id;
        uint64_t provider_id;
        char provider_name[CONSENT_NAME_MAX];
        uint8_t provider_key[32];     /* the enrolled key */
        uint8_t assertion_sha256[32];
        char *jwt;
        GrantClaims claims;           /* as signed */
        PolicyGrant policy;           /* what policy_decide() gets */
        int64_t revoked_s;            /* 0: not */
        bool revoked_spooled; /* the same, but there is a note of it in the spool */
        bool revoked_unstored, expired_unstored; /* so in memory, and the disk does not know it yet: wallet_revoke() */
        char *revoked_reason;         /* until it is stored; NULL: none */
        uint8_t pseudonym_key[32];    /* of this provider: HMAC key for serials; derived */
} Grant;

enum {
        GRANTS_MAX = 2000, /* all of them are one answer of ListGrants, below 1 MiB */

        GRANTS_E_FULL = 1,
        GRANTS_E_TERMS, /* claims that grant_open() would not accept */
};

/**
 * grants_load() - all grants of @consent, each JWT verified with the wallet's key
 * @signing_seed:  borrowed for the call; a copy is kept
 * @pseudonym_key: the same; 32 bytes, from the root key
 * A grant that does not verify, or is not for the key of its provider, is left out; *ret_n_altered counts them.
 *
 * Return: 0; GRANTS_E_FULL; negative errno; what consent_grants() returns.
 */
must_check int grants_load(Grants **ret, Consent *consent, const Secret *signing_seed, const Secret *pseudonym_key, size_t *ret_n_altered);
Grants *grants_free(Grants *grants);
DEFINE_CLEANUP(Grants *, grants_free)

/** grants_issue() - sign, store (inside the caller's transaction), keep. claims: provider_key, terms, purpose, urls, pins, issued_* are given; the rest is filled. GRANTS_E_FULL, GRANTS_E_TERMS, -ENOSPC: disk full */
must_check int grants_issue(Grants *grants, const ConsentProvider *provider, GrantClaims *claims, const Grant **ret);
/** grants_forget() - drop one from memory whose transaction failed */
void grants_forget(Grants *grants, uint64_t id);
Grant *grants_by_assertion(Grants *grants, const uint8_t assertion_sha256[static 32]);
Grant *grants_by_id(Grants *grants, uint64_t id);
size_t grants_n(const Grants *grants);
Grant *grants_at(Grants *grants, size_t i); /* oldest first */
/** grants_pseudonym() - what stands for a serial towards this provider: "d-" and 16 characters of base32(BLAKE2b keyed) */
void grants_pseudonym(const Grant *grant, const char *serial, char ret[static POLICY_SERIAL_MAX]);
