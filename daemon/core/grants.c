/* SPDX-License-Identifier: Apache-2.0 */

/* The registry of grants, and what stands for the patient towards a provider. */

#include <sodium.h>

#include "grants.h"

struct Grants {
        Consent *consent; /* borrowed */
        Secret *signing_seed;
        Secret *pseudonym_key;
        uint8_t wallet_key[32];
        Grant **by_id;        /* oldest first: ids ascend */
        Grant **by_assertion; /* the same, ascending by hash */
        size_t n_grants, n_allocated;
        ConsentProvider *providers; /* while loading */
        size_t n_providers;
        size_t n_altered;
};

static Grant *grant_free(Grant *grant) {
        if (!grant)
                return NULL;
        free(grant->jwt);
        free(grant->revoked_reason);
        sodium_memzero(grant, sizeof(*grant));
        free(grant);
        return NULL;
}
DEFINE_CLEANUP(Grant *, grant_free)

Grants *grants_free(Grants *grants) {
        if (!grants)
                return NULL;
        for (size_t i = 0; i < grants->n_grants; i++)
                (void) grant_free(grants->by_id[i]);
        free(grants->by_id);
        free(grants->by_assertion);
        free(grants->providers);
        (void) secret_free(grants->signing_seed);
        (void) secret_free(grants->pseudonym_key);
        free(grants);
        return NULL;
}

static int secret_copy(Secret **ret, const Secret *secret) {
        int r = secret_new(ret, secret_size(secret));

        if (r < 0)
                return r;
        memcpy(secret_data(*ret), secret_data(secret), secret_size(secret));
        return 0;
}

/* BLAKE2b keyed with the wallet's pseudonym key: another provider, and another use, give unrelated bytes. */
static void pairwise(const Grants *grants, const char *use, const uint8_t provider_key[static 32], uint8_t ret[static 32]) {
        crypto_generichash_state state;

        (void) crypto_generichash_init(&state, secret_data(grants->pseudonym_key), secret_size(grants->pseudonym_key), 32);
        (void) crypto_generichash_update(&state, (const uint8_t *) use, strlen(use) + 1);
        (void) crypto_generichash_update(&state, provider_key, 32);
        (void) crypto_generichash_final(&state, ret, 32);
        sodium_memzero(&state, sizeof(state));
}

static void subject_of(const Grants *grants, const uint8_t provider_key[static 32], char ret[static JWS_THUMBPRINT_SIZE]) {
        uint8_t bytes[32];

        pairwise(grants, "subject", provider_key, bytes);
        (void) b64url_encode(ret, JWS_THUMBPRINT_SIZE, bytes, sizeof(bytes));
}

void grants_pseudonym(const Grant *grant, const char *serial, char ret[static POLICY_SERIAL_MAX]) {
        static const char base32[] = "abcdefghijklmnopqrstuvwxyz234567"; /* RFC 4648, 6, in lower case */
        uint8_t hash[crypto_generichash_BYTES];
        uint64_t bits = 0;
        unsigned n_bits = 0;
        size_t n = 0;

        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) serial, strlen(serial), grant->pseudonym_key,
                                  sizeof(grant->pseudonym_key));
        ret[n++] = 'd';
        ret[n++] = '-';
        for (size_t i = 0; i < 10; i++) { /* 80 bits, 16 characters */
                bits = bits << 8 | hash[i];
                for (n_bits += 8; n_bits >= 5; n_bits -= 5)
                        ret[n++] = base32[bits >> (n_bits - 5) & 31];
        }
        ret[n] = '\0';
}

/* Where the hash is or belongs in by_assertion. */
static size_t assertion_at(const Grants *grants, const uint8_t sha256[static 32], bool *ret_found) {
        size_t low = 0, high = grants->n_grants;

        while (low < high) {
                size_t middle = low + (high - low) / 2;
                int order = memcmp(grants->by_assertion[middle]->assertion_sha256, sha256, 32);

                if (order == 0) {
                        *ret_found = true;
                        return middle;
                }
                if (order < 0)
                        low = middle + 1;
                else
                        high = middle;
        }
        *ret_found = false;
        return low;
}

static size_t id_at(const Grants *grants, uint64_t id) {
        size_t low = 0, high = grants->n_grants;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (grants->by_id[middle]->id < id)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low;
}

static int grow(Grant ***array, size_t n) {
        Grant **grown = reallocarray(*array, n, sizeof(Grant *));

        if (!grown)
                return -ENOMEM;
        *array = grown;
        return 0;
}

static int make_room(Grants *grants) {
        size_t n = grants->n_allocated > 0 ? 2 * grants->n_allocated : 16;
        int r;

        if (grants->n_grants >= GRANTS_MAX)
                return GRANTS_E_FULL;
        if (grants->n_grants < grants->n_allocated)
                return 0;
        r = grow(&grants->by_id, n);
        if (r == 0)
                r = grow(&grants->by_assertion, n);
        if (r < 0)
                return r;
        grants->n_allocated = n;
        return 0;
}

/* There is room. @grant: handed over */
static void insert(Grants *grants, Grant *grant) {
        bool found;
        size_t at;

        at = assertion_at(grants, grant->assertion_sha256, &found);
        memmove(grants->by_assertion + at + 1, grants->by_assertion + at, (grants->n_grants - at) * sizeof(Grant *));
        grants->by_assertion[at] = grant;
        at = id_at(grants, grant->id);
        memmove(grants->by_id + at + 1, grants->by_id + at, (grants->n_grants - at) * sizeof(Grant *));
        grants->by_id[at] = grant;
        grants->n_grants++;
}

void grants_forget(Grants *grants, uint64_t id) {
        size_t at = id_at(grants, id);
        Grant *grant;
        bool found;

        if (at >= grants->n_grants || grants->by_id[at]->id != id)
                return;
        grant = grants->by_id[at];
        memmove(grants->by_id + at, grants->by_id + at + 1, (grants->n_grants - at - 1) * sizeof(Grant *));
        at = assertion_at(grants, grant->assertion_sha256, &found);
        assert(found);
        memmove(grants->by_assertion + at, grants->by_assertion + at + 1, (grants->n_grants - at - 1) * sizeof(Grant *));
        grants->n_grants--;
        (void) grant_free(grant);
}

Grant *grants_by_assertion(Grants *grants, const uint8_t assertion_sha256[static 32]) {
        bool found;
        size_t at = assertion_at(grants, assertion_sha256, &found);

        return found ? grants->by_assertion[at] : NULL;
}

Grant *grants_by_id(Grants *grants, uint64_t id) {
        size_t at = id_at(grants, id);

        return at < grants->n_grants && grants->by_id[at]->id == id ? grants->by_id[at] : NULL;
}

size_t grants_n(const Grants *grants) {
        return grants->n_grants;
}

Grant *grants_at(Grants *grants, size_t i) {
        return i < grants->n_grants ? grants->by_id[i] : NULL;
}

static int load_provider(const ConsentProvider *provider, void *userdata) {
        Grants *grants = userdata;
        ConsentProvider *grown = reallocarray(grants->providers, grants->n_providers + 1, sizeof(*grown));

        if (!grown)
                return -ENOMEM;
        grants->providers = grown;
        grants->providers[grants->n_providers++] = *provider;
        return 0;
}

static void set_provider(const Grants *grants, Grant *grant, const ConsentProvider *provider) {
        grant->provider_id = provider->id;
        memcpy(grant->provider_name, provider->name, sizeof(grant->provider_name));
        memcpy(grant->provider_key, provider->key, sizeof(grant->provider_key));
        pairwise(grants, "serial", provider->key, grant->pseudonym_key);
}

/* Whether the row is about what was signed, and signed for the key that the provider enrolled. */
static bool row_fits(const Grants *grants, const ConsentGrant *row, const Grant *grant) {
        char thumbprint[JWS_THUMBPRINT_SIZE], subject[JWS_THUMBPRINT_SIZE];

        jwk_thumbprint(thumbprint, grant->provider_key);
        subject_of(grants, grant->provider_key, subject);
        return memcmp(grant->assertion_sha256, row->assertion_sha256, sizeof(grant->assertion_sha256)) == 0 &&
               strcmp(grant->claims.jti, row->jti) == 0 &&
               strcmp(grant->claims.provider_thumbprint, thumbprint) == 0 &&
               strcmp(grant->claims.subject, subject) == 0;
}

static int load_grant(const ConsentGrant *row, void *userdata) {
        cleanup(grant_freep) Grant *grant = NULL;
        const ConsentProvider *provider = NULL;
        Grants *grants = userdata;
        int r;

        for (size_t i = 0; i < grants->n_providers && !provider; i++)
                if (grants->providers[i].id == row->provider)
                        provider = &grants->providers[i];

        grant = calloc(1, sizeof(*grant));
        if (!grant)
                return -ENOMEM;
        r = grant_open(&grant->claims, row->jwt, strlen(row->jwt), grants->wallet_key);
        if (r < 0)
                return r;
        if (r > 0 || !provider) {
                grants->n_altered++;
                return 0;
        }

        set_provider(grants, grant, provider);
        (void) crypto_hash_sha256(grant->assertion_sha256, (const uint8_t *) row->jwt, strlen(row->jwt));
        if (!row_fits(grants, row, grant) || grants_by_assertion(grants, grant->assertion_sha256)) {
                grants->n_altered++;
                return 0;
        }

        grant->id = row->id;
        grant->revoked_s = row->revoked_s;
        grant->policy = row->policy;
        grant->policy.signed_terms = grant->claims.terms;
        grant->policy.issued_day = grant->claims.issued_day;
        memcpy(grant->claims.provider_key, provider->key, sizeof(provider->key));
        grant->jwt = strdup(row->jwt);
        if (!grant->jwt)
                return -ENOMEM;

        r = make_room(grants);
        if (r != 0)
                return r;
        insert(grants, take_ptr(grant));
        return 0;
}

int grants_load(Grants **ret, Consent *consent, const Secret *signing_seed, const Secret *pseudonym_key, size_t *ret_n_altered) {
        cleanup(grants_freep) Grants *grants = NULL;
        int r;

        grants = calloc(1, sizeof(*grants));
        if (!grants)
                return -ENOMEM;
        grants->consent = consent;

        r = secret_copy(&grants->signing_seed, signing_seed);
        if (r == 0)
                r = secret_copy(&grants->pseudonym_key, pseudonym_key);
        if (r == 0)
                r = ed25519_public(grants->wallet_key, signing_seed);
        if (r == 0)
                r = consent_providers(consent, load_provider, grants);
        if (r == 0)
                r = consent_grants(consent, load_grant, grants);
        if (r != 0)
                return r;

        free(take_ptr(grants->providers));
        grants->n_providers = 0;
        *ret_n_altered = grants->n_altered;
        *ret = take_ptr(grants);
        return 0;
}

int grants_issue(Grants *grants, const ConsentProvider *provider, GrantClaims *claims, const Grant **ret) {
        cleanup(grant_freep) Grant *grant = NULL;
        ConsentGrant row = {0};
        int r;

        r = make_room(grants);
        if (r != 0)
                return r;
        grant = calloc(1, sizeof(*grant));
        if (!grant)
                return -ENOMEM;

        memcpy(claims->wallet_key, grants->wallet_key, sizeof(claims->wallet_key));
        memcpy(claims->provider_key, provider->key, sizeof(claims->provider_key));
        jwk_thumbprint(claims->wallet_thumbprint, claims->wallet_key);
        jwk_thumbprint(claims->provider_thumbprint, claims->provider_key);
        subject_of(grants, claims->provider_key, claims->subject);
        random_id(claims->jti);
        r = grant_sign(&grant->jwt, claims, grants->signing_seed);
        if (r != 0)
                return r < 0 ? r : GRANTS_E_TERMS;

        set_provider(grants, grant, provider);
        grant->claims = *claims;
        (void) crypto_hash_sha256(grant->assertion_sha256, (const uint8_t *) grant->jwt, strlen(grant->jwt));
        grant->policy.signed_terms = claims->terms;
        grant->policy.live_terms = claims->terms;
        grant->policy.issued_day = claims->issued_day;

        row.provider = provider->id;
        memcpy(row.jti, claims->jti, sizeof(row.jti));
        memcpy(row.assertion_sha256, grant->assertion_sha256, sizeof(row.assertion_sha256));
        row.jwt = grant->jwt;
        row.policy = grant->policy;
        row.issued_s = claims->issued_s;
        r = consent_grant_add(grants->consent, &row);
        if (r != 0)
                return r == CONSENT_E_FULL ? -ENOSPC : fold(r);

        grant->id = row.id;
        *ret = grant;
        insert(grants, take_ptr(grant));
        return 0;
}
