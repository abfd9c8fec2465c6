/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the redeem module: redeem.c has tokens, proofs and the contract with the gate; redeem-refuse.c what is refused and
 * what the ledger says of it; redeem-release.c what is handed out; redeem-summary.c the day's answers.
 * All return 0 or a negative errno, after which redeem_abort() follows.
 */

#include <jansson.h>

#include "dpop.h"
#include "redeem.h"
#include "slice.h"

enum {
        N_TOKEN_CHAINS = 1024, /* powers of two */
        N_STATE_CHAINS = 256,
};

typedef struct Token {
        struct Token *next;
        uint8_t sha256[32]; /* of its text, as in ath */
        uint64_t grant;
        int64_t expires_ms; /* monotonic */
        bool pending;       /* its entry is not committed yet */
} Token;

/* The answer of the day to a grant's summary. */
typedef struct Answer {
        bool known;
        bool stored;  /* in a committed setting, or in the running transaction */
        bool pending; /* the latter */
        int32_t day;
        int64_t from_local_ms, to_local_ms;
        char *body; /* NULL: not enough data */
} Answer;

/* What is remembered of a grant under which a proof verified. */
typedef struct State {
        struct State *next;
        uint64_t grant;
        Token *tokens[REDEEM_TOKENS_MAX]; /* oldest first */
        size_t n_tokens;
        uint32_t uses_pending; /* tokens whose entries are not committed yet */
        DpopSeen seen;
        int64_t refusals_hour; /* monotonic */
        uint32_t n_refusals, n_refusals_unlogged;
        Answer answer;
} State;

/* Something that is being handed out: a slice, or a summary with its body made at once. */
typedef struct Release {
        uint64_t request, grant;
        uint64_t begun;  /* index of its entry */
        bool pending;    /* that entry is not committed yet */
        bool made;       /* to the end */
        bool seeking;    /* redeem_step() makes its next chunk */
        const char *cut; /* by what; NULL: it is not */
        const char *what; /* "slice", "summary": literals */
        Slice slice;
} Release;

typedef struct Waiter { /* for a summary that is not made yet */
        uint64_t request, grant;
} Waiter;

typedef struct Job { /* a summary being made */
        bool runs;
        uint64_t grant;
        int32_t day;
        PolicyEffective effective;
        RecordsCursor cursor;
        PolicySummary summary;
} Job;

struct Redeem {
        RedeemConfig config;
        DpopNonces *nonces;
        int64_t monotonic_ms; /* of the last call that brought it */
        Token *tokens[N_TOKEN_CHAINS];
        State *states[N_STATE_CHAINS];
        Release *releases[REDEEM_STREAMS_MAX];
        Waiter waiters[REDEEM_STREAMS_MAX];
        size_t n_waiters;
        Job job;
        Text text; /* one chunk, whoever's */
        bool anything_pending;
        uint64_t n_strangers;
        bool strangers_logged;
        int64_t strangers_logged_ms; /* UTC */
};

/* One request being answered. */
typedef struct Asked {
        uint64_t request;
        uint64_t grant; /* 0: not known */
        PolicyNow now;
        FrameBuffer *out;
} Asked;

State *redeem_state_find(Redeem *redeem, uint64_t grant);
must_check int redeem_state_get(Redeem *redeem, uint64_t grant, State **ret);
int redeem_from_consent(int r);
/** redeem_policy_request() - what the gate's frame asks for, as policy takes it */
PolicyRequest redeem_policy_request(const FrameGateRequest *request, PolicyOperation operation);
/** redeem_append() - an entry of the ledger. @fields: stolen, NULL when there was no memory; @ret_index: or NULL */
must_check int redeem_append(Redeem *redeem, PolicyNow now, const char *type, json_t *fields, uint64_t *ret_index);
must_check int redeem_log_strangers(Redeem *redeem, PolicyNow now, bool at_once);
/** redeem_log_unlogged() - the refusals of an hour that were only counted */
must_check int redeem_log_unlogged(Redeem *redeem, State *state, PolicyNow now);

must_check int redeem_put_reply(Redeem *redeem, const Asked *asked, uint32_t type, FrameGateError error, const char *message,
                                uint8_t content_type, const char *body, size_t n_body);
must_check int redeem_refuse(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message);
must_check int redeem_refuse_stranger(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message);
/** redeem_refuse_provider() - the proof was good; @reason: for the ledger, a word */
must_check int redeem_refuse_provider(Redeem *redeem, const Asked *asked, const Grant *grant, const char *reason, FrameGateError error,
                                      const char *message);
must_check int redeem_refuse_verdict(Redeem *redeem, const Asked *asked, const Grant *grant, PolicyVerdict verdict, bool is_token);

Release **redeem_release_find(Redeem *redeem, uint64_t request);
/** redeem_release_begin() - a place among those that hand out, and its first entry. @ret: NULL when it was refused: too many at once */
must_check int redeem_release_begin(Redeem *redeem, const Asked *asked, const Grant *grant, const char *what, unsigned format,
                                    const PolicyRequest *policy, const PolicyEffective *effective, Release **ret);
must_check int redeem_release_end(Redeem *redeem, Release **place, uint64_t n_sent, bool whole, PolicyNow now);
/** redeem_release_next() - the next chunk of a slice into the buffer */
must_check int redeem_release_next(Redeem *redeem, Release *release, PolicyNow now, FrameBuffer *out);
must_check int redeem_on_slice(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant);

void redeem_answer_clear(Answer *answer);
must_check int redeem_on_summary(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant);
must_check int redeem_summary_step(Redeem *redeem, PolicyNow now, FrameBuffer *out);
