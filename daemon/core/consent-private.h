/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the consent module: consent.c opens, commits, and keeps settings and the highest time; consent-grants.c has
 * providers and grants, consent-ledger.c the ledger.
 */

#include <sodium.h>

#include "consent.h"
#include "db.h"
#include "note.h"

/* What a rollback brings back. */
typedef struct State {
        MerkleRange range;
        int64_t highest_s;
} State;

struct Consent {
        Db *db;
        DbStatement *append;
        DbStatement *advance; /* state row: the ledger's */
        DbStatement *saw;     /* state row: the highest time */
        char *base;   /* origin of the first epoch */
        char *origin; /* of the epoch in consent.db */
        char *next_origin; /* begun by the running transaction; else NULL */
        Secret *seed;
        uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
        char *checkpoint;
        State now;
        State committed;
        unsigned depth;
        bool doomed; /* the transaction is lost: everything until its end fails */
};

/**
 * consent_change() - run a bound statement that changes something
 *
 * Where SQLite has ended the transaction because of it, nothing more may be written as if it were still there: all until the
 * transaction's end is -ECANCELED. Return: that, or as of db_run().
 */
must_check int consent_change(Consent *consent, DbStatement *statement);
