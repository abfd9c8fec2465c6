/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * consent.db: providers, grants, ledger, settings. synchronous=FULL, small transactions only: what was committed is durable.
 *
 * Every change happens between consent_begin() and consent_commit(); the ledger entries of a change are in the same
 * transaction, with the checkpoint that covers them. Concurrent redemptions share one commit.
 */

#include "daemon/common/secret.h"
#include "policy/policy.h"

typedef struct Consent Consent;

enum {
        CONSENT_NAME_MAX = 64,     /* bytes of a provider's name: [a-z0-9][a-z0-9._-]*, terminator included */
        CONSENT_GRANT_MAX = 8192,  /* bytes of a grant's JWT */
        CONSENT_ENTRY_MAX = 4096,  /* bytes of a ledger record */
        CONSENT_SETTING_MAX = 65536,

        CONSENT_E_KEY = 1,
        CONSENT_E_VERSION,
        CONSENT_E_SETTING,
        CONSENT_E_FULL,      /* disk full or not writable: nothing was changed */
        CONSENT_E_NOT_FOUND,
        CONSENT_E_EXISTS,
};

/** consent_open() - open or create DIR/consent.db. @checkpoint_seed: 32-byte Ed25519 seed, or NULL: see below; @origin: "<wallet key thumbprint>/ledger", of the first epoch */
must_check int consent_open(Consent **ret, const char *dir, const Secret *key, const Secret *checkpoint_seed, const char *origin);
/** consent_open_signing() - the second half of consent_open(), where that was given no seed: only settings can be read before. CONSENT_E_KEY also when the ledger is not of this key */
must_check int consent_open_signing(Consent *consent, const Secret *checkpoint_seed, const char *origin);
Consent *consent_close(Consent *consent);
DEFINE_CLEANUP(Consent *, consent_close)

/* Transactions nest by counting; only the outermost commits. After a failed commit everything since begin is gone. */
must_check int consent_begin(Consent *consent);
must_check int consent_commit(Consent *consent);
void consent_rollback(Consent *consent);

/* A copy of the file's encrypted pages, as of consent_hold(), while all else goes on: db.h. Not inside a transaction; one at a time. */
must_check int consent_hold(Consent *consent, uint64_t *ret_n_bytes);
void consent_release(Consent *consent);
must_check int consent_copy(Consent *consent, uint64_t at, void *ret, size_t n);

/** consent_truncate_log() - nothing of what was deleted stays in the log. Not inside a transaction */
must_check int consent_truncate_log(Consent *consent);

/* --- settings: small named blobs --- */
must_check int consent_setting_put(Consent *consent, const char *name, const void *value, size_t n_value);
/** consent_setting_get() - @ret: malloc'd, with a terminator behind it; CONSENT_E_NOT_FOUND */
must_check int consent_setting_get(Consent *consent, const char *name, char **ret, size_t *ret_n);

/** consent_setting_forget() - all whose name is at least @from and less than @to, byte by byte */
must_check int consent_setting_forget(Consent *consent, const char *from, const char *to);

/* --- providers --- */
typedef struct ConsentProvider {
        uint64_t id;
        char name[CONSENT_NAME_MAX];
        uint8_t key[32]; /* Ed25519 public key */
        int64_t added_s;
} ConsentProvider;

must_check int consent_provider_add(Consent *consent, ConsentProvider *provider_io); /* sets id; CONSENT_E_EXISTS: name or key */
must_check int consent_provider_find(Consent *consent, const char *name, ConsentProvider *ret);
must_check int consent_providers(Consent *consent, int (*each)(const ConsentProvider *provider, void *userdata), void *userdata);

/* --- grants --- */
typedef struct ConsentGrant {
        uint64_t id;
        uint64_t provider;
        char jti[24];                /* base64url of 16 random bytes */
        uint8_t assertion_sha256[32];
        char *jwt;                   /* owned */
        PolicyGrant policy;          /* signed_terms and issued_day are filled by the caller from the verified JWT, never from here */
        int64_t issued_s;
        int64_t revoked_s;           /* 0: not */
} ConsentGrant;
void consent_grant_done(ConsentGrant *grant);

must_check int consent_grant_add(Consent *consent, ConsentGrant *grant_io); /* sets id */
/** consent_grants() - all, oldest first; grant is borrowed for the call. live_terms, revoked, suspended, expired, uses are the row's */
must_check int consent_grants(Consent *consent, int (*each)(const ConsentGrant *grant, void *userdata), void *userdata);
must_check int consent_grant_revoke(Consent *consent, uint64_t id, int64_t now_s);
must_check int consent_grant_expire(Consent *consent, uint64_t id);
must_check int consent_grant_suspend(Consent *consent, uint64_t id, bool suspended);
must_check int consent_grant_use(Consent *consent, uint64_t id, uint32_t uses);

/* --- highest time seen --- */
int64_t consent_highest_s(const Consent *consent);
must_check int consent_saw_time(Consent *consent, int64_t now_s); /* stores when higher */
must_check int consent_lower_time(Consent *consent, int64_t now_s); /* stores when lower: the patient says that the clock was wrong */

/* --- ledger (RFC 6962 tree over salted commitments; layout in daemon/FORMAT.md, "ledger") --- */
/**
 * consent_ledger_append() - part of the running transaction
 * @record: exact bytes that are committed to; compact JSON object with "type" and "time"
 * @ret_index: index of the entry
 */
must_check int consent_ledger_append(Consent *consent, const char *record, size_t n_record, uint64_t *ret_index);
uint64_t consent_ledger_size(const Consent *consent);
/** consent_ledger_checkpoint() - the signed note of the last commit; borrowed until the next commit */
const char *consent_ledger_checkpoint(const Consent *consent);
/**
 * consent_ledger_new_epoch() - checkpoints from this transaction on have an origin of their own, so that none of them can be
 * taken for one of the ledger that grew on elsewhere; the tree and its entries stay
 */
must_check int consent_ledger_new_epoch(Consent *consent);
/**
 * consent_ledger_compare() - a checkpoint that somebody kept with what this ledger is
 * @ret: > 0: it is ahead, or of an epoch that this ledger has not heard of; 0: nothing speaks against it; < 0: as long as this one, and another
 *
 * Return: 0; CONSENT_E_NOT_FOUND: not signed by this wallet; negative errno.
 */
must_check int consent_ledger_compare(Consent *consent, const char *checkpoint, int *ret);
/** consent_ledger_read() - entries [first, ...) ; record NULL when erased. each returns 0 to go on, > 0 to stop */
must_check int consent_ledger_read(Consent *consent, uint64_t first, size_t n_max,
                                   int (*each)(uint64_t index, const char *record, size_t n_record, void *userdata), void *userdata);
/** consent_ledger_verify() - recompute some leaves; call until it returns 0 (done, root equals the checkpoint's) or > 0 CONSENT_E_*; 1 leaf batch a call; *state starts NULL and is freed at the end */
typedef struct ConsentVerify ConsentVerify;
must_check int consent_ledger_verify_step(Consent *consent, ConsentVerify **state, bool *ret_done);
