/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codes of a phone, RFC 6238 as authenticator applications take it: SHA-1, six digits, 30 seconds. One of the step before or
 * after is taken too (section 5.2), a step that was used is not taken again. Ten one-time codes are for a phone that is not at hand.
 */

#include "consent.h"
#include "daemon/common/code.h"
#include "daemon/common/secret.h"

enum {
        TOTP_STEP_S = 30,
        TOTP_SECRET_SIZE = 20, /* bytes: RFC 4226 section 4, R6 */
        TOTP_DRIFT = 1,        /* steps */
        TOTP_N_CODES = 10,

        TOTP_E_WRONG = 1,
};

typedef struct Totp {
        Secret *secret; /* NULL: no phone is enrolled */
        uint64_t last_step; /* no code of this or an earlier one is taken */
        uint8_t salt[16];   /* of code_hash() */
        size_t n_codes;     /* that are left */
        uint8_t codes[TOTP_N_CODES][CODE_HASH_SIZE];
} Totp;

/** totp_number() - the truncated HMAC-SHA-1 of RFC 4226 section 5.3; its last digits are the code */
uint32_t totp_number(const uint8_t *secret, size_t n_secret, uint64_t step);

/** totp_make() - a new secret and salt; no one-time code yet; -ENOMEM */
must_check int totp_make(Totp *ret);
/** totp_done() - wipe; it is empty then */
void totp_done(Totp *totp);
/** totp_make_codes() - ten new one-time codes. @ret_shown: a line each, terminated; as secret as they are */
must_check int totp_make_codes(Totp *totp, Secret **ret_shown);
/** totp_uri() - what the phone scans: otpauth://totp/..., terminated */
must_check int totp_uri(const Totp *totp, const char *account, Secret **ret);

/**
 * totp_take() - whether a code counts, and then it is used up in @totp: store that before it is answered
 * @hash:    code_hash() with totp->salt
 * @digits:  also look at codes of the phone, not at one-time codes only
 * @ret_one_time: it was one of those; may be NULL
 *
 * Return: 0; TOTP_E_WRONG.
 */
must_check int totp_take(Totp *totp, const uint8_t hash[static CODE_HASH_SIZE], int64_t now_s, bool digits, bool *ret_one_time);

/* As setting "totp" of consent.db, daemon/FORMAT.md; in the caller's transaction. */
must_check int totp_store(const Totp *totp, Consent *consent);
/** totp_load() - empty when there is none; CONSENT_E_KEY when it makes no sense */
must_check int totp_load(Totp *ret, Consent *consent);
