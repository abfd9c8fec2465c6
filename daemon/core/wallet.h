/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The unlocked wallet: keys, both databases, grants, redemption. It exists only while unlocked, and locking ends the process. */

#include <jansson.h>

#include "clock.h"
#include "consent.h"
#include "daemon/common/keys.h"
#include "grants.h"
#include "keep.h"
#include "records.h"
#include "redeem.h"
#include "totp.h"

enum {
        WALLET_URLS_MAX = GRANT_URLS_MAX,

        WALLET_E_KEY = 1, /* a database does not open with this wallet's keys */
        WALLET_E_MISSING, /* the slot file is there, a database is not: restore */
        WALLET_E_VERSION, /* made by a later program */
        WALLET_E_FULL,
        WALLET_E_CIPHER, /* in a format that this machine's SQLCipher does not know */
        WALLET_E_OLDER,  /* records.db is of an older program, and is copied first: wallet_keep() */
};

typedef struct Wallet {
        Keys *keys;
        Consent *consent;
        Records *records;
        Grants *grants;
        Redeem *redeem;
        uint8_t public_key[32]; /* signs grants */
        char thumbprint[JWS_THUMBPRINT_SIZE];
        char zones_spec[ZONES_SPEC_MAX]; /* zones.h; a plain name while the patient does not travel */
        Zones *zones;                    /* NULL: one is no longer known on this machine, times are as they were stored */
        char zone[CLOCK_ZONE_MAX];       /* of now */
        size_t n_altered; /* stored grants that did not verify */
        size_t n_pins;
        uint8_t pins[GRANT_PINS_MAX][32];
        size_t n_urls;
        char *urls[WALLET_URLS_MAX]; /* of the gate, as providers reach it */
        Totp totp; /* codes of a phone; without a secret: none is enrolled */
        bool in_transaction;
        size_t n_unstored;      /* grants that ended in memory, and the disk does not know it yet */
        bool gate_off_unstored; /* the same of the patient's switch */
} Wallet;

/**
 * wallet_open() - @zone: for a new wallet, whose databases are made; NULL: the wallet must be whole
 * @kept: what an older program wrote was copied, and is brought up to date now
 */
must_check int wallet_open(Wallet **ret, const char *dir, const Secret *root, const char *zone, bool kept);
/** wallet_keep() - after WALLET_E_OLDER: begin that copy. WALLET_E_FULL */
must_check int wallet_keep(Keep **ret, const char *dir, const Secret *root);
Wallet *wallet_close(Wallet *wallet);
DEFINE_CLEANUP(Wallet *, wallet_close)

/** wallet_reason() - a WALLET_E_* for a person; NULL for anything else */
const char *wallet_reason(int r);

PolicyNow wallet_now(const Wallet *wallet);
/**
 * wallet_begin(), wallet_commit() - a transaction on consent.db. CONSENT_E_FULL
 *
 * Committing also stores the time when it is the highest seen, and whatever narrowing holds in memory only: nothing is stored without it.
 */
must_check int wallet_begin(Wallet *wallet);
must_check int wallet_commit(Wallet *wallet);
/** wallet_rollback() - undo the running transaction; nothing when none runs: wallet_begin() that failed and wallet_commit() leave none */
void wallet_rollback(Wallet *wallet);
/** wallet_revoke(), wallet_expire(), wallet_gate_off() - in memory at once, on the disk with the next commit. @reason: for the ledger, or NULL */
void wallet_revoke(Wallet *wallet, Grant *grant, int64_t now_s, const char *reason);
void wallet_expire(Wallet *wallet, Grant *grant);
void wallet_gate_off(Wallet *wallet);
/** wallet_is_unstored() - something of it holds only as long as this process runs */
bool wallet_is_unstored(const Wallet *wallet);
/** wallet_set_zones() - committed, logged, then used; a specification that can't be read is -EINVAL. CONSENT_E_FULL */
must_check int wallet_set_zones(Wallet *wallet, const char *spec);
/** wallet_log() - a ledger entry in the running transaction; @fields: stolen object, gets "type" and "time" in front */
must_check int wallet_log(Wallet *wallet, const char *type, json_t *fields);
/** wallet_set_urls() - what htu must equal, and what grants name; stored by the caller */
must_check int wallet_set_urls(Wallet *wallet, const char *const *urls, size_t n_urls);
