/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Redemption: what the gate asks becomes tokens, summaries and streams, by way of policy_decide() and policy_redact().
 * Knows no sockets: frames in, frames out; the caller commits consent.db before it sends what is in the buffer.
 */

#include "daemon/common/frame.h"
#include "grants.h"
#include "records.h"

typedef struct Redeem Redeem;

enum {
        REDEEM_TOKEN_LIFE_S = 600,
        REDEEM_TOKENS_MAX = 16,     /* per grant; the oldest goes */
        REDEEM_STREAMS_MAX = 64,    /* at once; more are answered UNAVAILABLE */
        REDEEM_REFUSALS_PER_HOUR = 60, /* logged singly per grant; then summarised */
        REDEEM_NONCE_PERIOD_S = 60,
};

typedef struct RedeemConfig {
        Consent *consent; /* borrowed, as the others */
        Records *records;
        Grants *grants;
        const char *const *urls; /* external gate URLs: htu must equal one of them plus path */
        size_t n_urls;
} RedeemConfig;

must_check int redeem_new(Redeem **ret, const RedeemConfig *config);
Redeem *redeem_free(Redeem *redeem);
DEFINE_CLEANUP(Redeem *, redeem_free)

/*
 * Of the functions that append to the ledger: -ENOSPC when the disk is full, negative errno otherwise, never positive. On either the
 * caller rolls back, drops what is in the buffer and calls redeem_abort().
 */

/**
 * redeem_request() - one frame of the gate. Inside consent_begin()/consent_commit() of the caller.
 * @out: frames to send after the commit. When the commit fails the caller drops them and calls redeem_abort().
 *
 * The assertion must be known; the proof is verified with the enrolled key before a byte of its JSON is parsed; then typ, alg
 * (EdDSA or Ed25519), jwk equal to that key, htm, htu, nonce (this or the last period), jti not seen in these periods, ath for resources.
 */
must_check int redeem_request(Redeem *redeem, const FrameGateRequest *request, PolicyNow now, int64_t monotonic_ms, FrameBuffer *out);
/** redeem_more() - the gate has room for a chunk behind the one that it sends: make it (a fresh decide, a fresh query) */
must_check int redeem_more(Redeem *redeem, uint64_t request, PolicyNow now, FrameBuffer *out);
/** redeem_closed() - the gate is done with a request; appends release-ended for a stream (inside a transaction) */
must_check int redeem_closed(Redeem *redeem, uint64_t request, uint64_t n_sent, bool whole, PolicyNow now);
/** redeem_step() - work that was put off (a summary of many days). Return: 1 more to do, 0 none, negative errno. At most 10 ms. Inside a transaction. */
must_check int redeem_step(Redeem *redeem, PolicyNow now, FrameBuffer *out);
bool redeem_has_work(const Redeem *redeem);
/** redeem_strangers() - n requests that nobody's key stood behind: one ledger entry a minute at most (inside a transaction) */
must_check int redeem_strangers(Redeem *redeem, uint32_t n, PolicyNow now);
/** redeem_tick() - once a minute while the gate is on: flush summarised refusals (inside a transaction); drops dead tokens */
must_check int redeem_tick(Redeem *redeem, PolicyNow now, int64_t monotonic_ms);

/**
 * redeem_stored_summary() - the copy from which this day's summaries are answered
 * @ret_known: there is one
 * @ret_body:  borrowed until the next call of this module; NULL when the answer is that the data is not enough
 */
must_check int redeem_stored_summary(Redeem *redeem, const Grant *grant, PolicyNow now, bool *ret_known, const char **ret_body);

typedef struct RedeemHandedOut { /* for the message of revoke */
        uint32_t n_streams_cut;
        uint64_t n_bytes; /* of these streams, made so far */
} RedeemHandedOut;
/** redeem_grant_dead() - drop a grant's tokens and streams, in memory, at once; release-ended entries (cut, revoked) follow with redeem_closed() */
RedeemHandedOut redeem_grant_dead(Redeem *redeem, uint64_t grant);
/** redeem_abort() - the commit failed: forget tokens, streams and uses given out since the last good commit */
void redeem_abort(Redeem *redeem);
/** redeem_committed() - the commit was good */
void redeem_committed(Redeem *redeem);
/** redeem_gate_gone() - the gate is gone or goes off: every stream is cut, tokens stay; what was counted and not yet logged is (inside a transaction) */
must_check int redeem_gate_gone(Redeem *redeem, PolicyNow now);
