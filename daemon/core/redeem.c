/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens, streams, summaries, and what the ledger says of them. */

#include <jansson.h>
#include <sodium.h>

#include "daemon/common/civil.h"
#include "dpop.h"
#include "redeem.h"
#include "slice.h"

enum {
        N_TOKEN_CHAINS = 1024, /* powers of two */
        N_STATE_CHAINS = 256,
        TOKEN_BYTES = 32,
        TOKEN_TEXT_SIZE = 44, /* base64url and a terminator */
};

#define HOUR_MS INT64_C(3600000)
#define MINUTE_MS INT64_C(60000)

typedef struct Token {
        struct Token *next;
        uint8_t sha256[32]; /* of its text, as in ath */
        uint64_t grant;
        int64_t expires_ms; /* monotonic */
        bool pending;       /* its entry is not committed yet */
} Token;

/* The answer of the day to a grant's summary. */
enum {
        ANSWER_NAME_SIZE = 80,
};

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

/* --- tokens and states --- */

static Token **token_chain(Redeem *redeem, const uint8_t sha256[static 32]) {
        return &redeem->tokens[get_le16(sha256) % N_TOKEN_CHAINS];
}

static void token_drop(Redeem *redeem, State *state, size_t i) {
        Token *token = state->tokens[i];
        Token **at = token_chain(redeem, token->sha256);

        while (*at != token)
                at = &(*at)->next;
        *at = token->next;
        free(token);
        state->n_tokens--;
        memmove(state->tokens + i, state->tokens + i + 1, (state->n_tokens - i) * sizeof(Token *));
}

static Token *token_find(Redeem *redeem, const uint8_t sha256[static 32]) {
        for (Token *token = *token_chain(redeem, sha256); token; token = token->next)
                if (memcmp(token->sha256, sha256, sizeof(token->sha256)) == 0)
                        return redeem->monotonic_ms < token->expires_ms ? token : NULL;
        return NULL;
}

static void token_hash(uint8_t ret[static 32], const char *text) {
        (void) crypto_hash_sha256(ret, (const uint8_t *) text, strlen(text));
}

static State *state_find(Redeem *redeem, uint64_t grant) {
        State *state = redeem->states[grant % N_STATE_CHAINS];

        while (state && state->grant != grant)
                state = state->next;
        return state;
}

static int state_get(Redeem *redeem, uint64_t grant, State **ret) {
        State *state = state_find(redeem, grant);

        if (!state) {
                state = calloc(1, sizeof(*state));
                if (!state)
                        return -ENOMEM;
                state->grant = grant;
                state->next = redeem->states[grant % N_STATE_CHAINS];
                redeem->states[grant % N_STATE_CHAINS] = state;
        }
        *ret = state;
        return 0;
}

static void answer_clear(Answer *answer) {
        if (answer->body)
                sodium_memzero(answer->body, strlen(answer->body));
        free(answer->body);
        *answer = (Answer) {0};
}

int redeem_new(Redeem **ret, const RedeemConfig *config) {
        cleanup(redeem_freep) Redeem *redeem = NULL;
        int r;

        redeem = calloc(1, sizeof(*redeem));
        if (!redeem)
                return -ENOMEM;
        redeem->config = *config;
        r = dpop_nonces_new(&redeem->nonces);
        if (r < 0)
                return r;
        *ret = take_ptr(redeem);
        return 0;
}

Redeem *redeem_free(Redeem *redeem) {
        if (!redeem)
                return NULL;
        for (size_t i = 0; i < N_STATE_CHAINS; i++)
                while (redeem->states[i]) {
                        State *state = redeem->states[i];

                        redeem->states[i] = state->next;
                        while (state->n_tokens > 0)
                                token_drop(redeem, state, 0);
                        dpop_seen_done(&state->seen);
                        answer_clear(&state->answer);
                        free(state);
                }
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                free(redeem->releases[i]);
        text_done(&redeem->text);
        (void) dpop_nonces_free(redeem->nonces);
        free(redeem);
        return NULL;
}

/* --- ledger --- */

static int from_consent(int r) {
        return r == CONSENT_E_FULL ? -ENOSPC : fold(r);
}

/* @fields: stolen, NULL when there was no memory */
static int append(Redeem *redeem, PolicyNow now, const char *type, json_t *fields, uint64_t *ret_index) {
        cleanup(json_decrefp) json_t *owned = fields;
        cleanup(json_decrefp) json_t *entry = NULL;
        cleanup(freep) char *text = NULL;
        char time[CIVIL_TIME_SIZE];
        uint64_t index;
        int r;

        civil_time(time, now.utc_ms / 1000);
        entry = json_pack("{s:s, s:s}", "type", type, "time", time);
        if (!entry || !owned || json_object_update(entry, owned) < 0)
                return -ENOMEM;
        text = json_dumps(entry, JSON_COMPACT);
        if (!text)
                return -ENOMEM;
        r = consent_ledger_append(redeem->config.consent, text, strlen(text), &index);
        if (r == 0 && ret_index)
                *ret_index = index;
        return from_consent(r);
}

static int log_strangers(Redeem *redeem, PolicyNow now, bool at_once) {
        int64_t since_ms = now.utc_ms - redeem->strangers_logged_ms;
        int r;

        if (redeem->n_strangers == 0)
                return 0;
        if (!at_once && redeem->strangers_logged && since_ms >= 0 && since_ms < MINUTE_MS)
                return 0;

        r = append(redeem, now, "refused", json_pack("{s:s, s:I}", "reason", "stranger", "count", (json_int_t) redeem->n_strangers), NULL);
        if (r < 0)
                return r;
        redeem->n_strangers = 0;
        redeem->strangers_logged = true;
        redeem->strangers_logged_ms = now.utc_ms;
        return 0;
}

/* The refusals of an hour that were only counted. */
static int log_unlogged(Redeem *redeem, State *state, PolicyNow now) {
        const Grant *grant = grants_by_id(redeem->config.grants, state->grant);
        int r = 0;

        if (state->n_refusals_unlogged > 0 && grant)
                r = append(redeem, now, "refused",
                           json_pack("{s:s, s:s, s:s, s:I}", "grant", grant->claims.jti, "provider", grant->provider_name,
                                     "reason", "more", "count", (json_int_t) state->n_refusals_unlogged), NULL);
        if (r < 0)
                return r;
        state->n_refusals_unlogged = 0;
        return 0;
}

static int log_refusal(Redeem *redeem, const Grant *grant, const char *reason, PolicyNow now) {
        int64_t hour = redeem->monotonic_ms / HOUR_MS;
        State *state;
        int r;

        r = state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        if (state->refusals_hour != hour) {
                r = log_unlogged(redeem, state, now);
                if (r < 0)
                        return r;
                state->refusals_hour = hour;
                state->n_refusals = 0;
        }
        if (state->n_refusals >= REDEEM_REFUSALS_PER_HOUR) {
                state->n_refusals_unlogged++;
                return 0;
        }
        r = append(redeem, now, "refused",
                   json_pack("{s:s, s:s, s:s}", "grant", grant->claims.jti, "provider", grant->provider_name, "reason", reason), NULL);
        if (r < 0)
                return r;
        state->n_refusals++;
        return 0;
}

/* --- answers --- */

static int put_reply(Redeem *redeem, const Asked *asked, uint32_t type, FrameGateError error, const char *message,
                     uint8_t content_type, const char *body, size_t n_body) {
        FrameGateReply reply = {
                .request = asked->request,
                .grant = asked->grant,
                .error = (uint8_t) error,
                .content_type = content_type,
                .body = (const uint8_t *) body,
                .n_body = n_body,
        };

        _Static_assert(DPOP_NONCE_SIZE <= sizeof(reply.nonce), "a nonce fits");

        dpop_nonce(redeem->nonces, redeem->monotonic_ms, reply.nonce);
        (void) snprintf(reply.message, sizeof(reply.message), "%s", message);
        return fold(frame_put_gate_reply(asked->out, type, &reply));
}

static int refuse(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message) {
        return put_reply(redeem, asked, FRAME_GATE_REPLY, error, message, 1, NULL, 0);
}

static int refuse_stranger(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message) {
        int r;

        redeem->n_strangers++;
        r = log_strangers(redeem, asked->now, false);
        if (r < 0)
                return r;
        return refuse(redeem, asked, error, message);
}

static int refuse_provider(Redeem *redeem, const Asked *asked, const Grant *grant, const char *reason, FrameGateError error,
                           const char *message) {
        int r = log_refusal(redeem, grant, reason, asked->now);

        if (r < 0)
                return r;
        return refuse(redeem, asked, error, message);
}

static int refuse_verdict(Redeem *redeem, const Asked *asked, const Grant *grant, PolicyVerdict verdict, bool is_token) {
        FrameGateError dead = is_token ? FRAME_GATE_INVALID_GRANT : FRAME_GATE_INVALID_TOKEN;
        static const char *const messages[N_POLICY_VERDICTS] = {
                [POLICY_DENY_INVALID] = "the request is not well formed",
                [POLICY_DENY_REVOKED] = "the patient has revoked this grant",
                [POLICY_DENY_SUSPENDED] = "the patient has suspended this grant",
                [POLICY_DENY_CLOCK] = "the clock of the wallet is behind: nothing is handed out until it is right",
                [POLICY_DENY_NOT_YET] = "the grant is not valid yet",
                [POLICY_DENY_EXPIRED] = "the grant has expired",
                [POLICY_DENY_USES] = "the grant has been used as often as it may be",
                [POLICY_DENY_DETAIL] = "the grant does not permit this",
                [POLICY_DENY_PARAMETERS] = "this takes no parameters: the window is that of the grant",
                [POLICY_DENY_KINDS] = "a kind was asked for that was not granted",
                [POLICY_DENY_WINDOW] = "days were asked for that were not granted, or there are none now",
        };
        FrameGateError error = FRAME_GATE_SERVER_ERROR;

        switch (verdict) {
        case POLICY_DENY_INVALID:
        case POLICY_DENY_PARAMETERS:
                error = FRAME_GATE_INVALID_REQUEST;
                break;
        case POLICY_DENY_REVOKED:
        case POLICY_DENY_SUSPENDED:
        case POLICY_DENY_NOT_YET:
        case POLICY_DENY_EXPIRED:
        case POLICY_DENY_USES:
                error = dead;
                break;
        case POLICY_DENY_CLOCK:
                error = FRAME_GATE_UNAVAILABLE;
                break;
        case POLICY_DENY_DETAIL:
        case POLICY_DENY_KINDS:
        case POLICY_DENY_WINDOW:
                error = FRAME_GATE_INSUFFICIENT_SCOPE;
                break;
        case POLICY_ALLOW:
        case N_POLICY_VERDICTS:
                break;
        }
        assert(error != FRAME_GATE_SERVER_ERROR);
        return refuse_provider(redeem, asked, grant, policy_verdict_name(verdict), error, messages[verdict]);
}

/* --- proofs --- */

/* @token: text of the access token, or NULL. *ret_good is false when the request has been answered. */
static int check_proof(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant, const char *method,
                       const char *path, const char *token, bool *ret_good) {
        DpopExpected expected = {
                .key = grant->provider_key,
                .method = method,
                .path = path,
                .urls = redeem->config.urls,
                .n_urls = redeem->config.n_urls,
        };
        char jti[DPOP_JTI_MAX + 1], ath[JWS_THUMBPRINT_SIZE];
        State *state;
        int r;

        *ret_good = false;
        if (!(request->flags & FRAME_GATE_HAS_PROOF))
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_DPOP_PROOF, "a DPoP proof is needed");

        if (token) {
                dpop_ath(ath, token);
                expected.ath = ath;
        }
        r = dpop_verify(&expected, redeem->nonces, redeem->monotonic_ms, request->proof, request->n_proof, jti);
        switch (r) {
        case 0:
                break;
        case DPOP_E_SIGNATURE:
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_DPOP_PROOF, "the proof is not signed by the key of this grant");
        case DPOP_E_NONCE: /* how every conversation begins: not worth an entry */
                return refuse(redeem, asked, FRAME_GATE_USE_DPOP_NONCE, "repeat with the nonce of this answer");
        case DPOP_E_FORMAT:
                return refuse_provider(redeem, asked, grant, "proof", FRAME_GATE_INVALID_DPOP_PROOF,
                                       "typ, alg, jwk, jti or iat of the proof is not as it must be");
        case DPOP_E_TARGET:
                return refuse_provider(redeem, asked, grant, "proof-target", FRAME_GATE_INVALID_DPOP_PROOF,
                                       "the proof is for another method or URL");
        case DPOP_E_TOKEN:
                return refuse_provider(redeem, asked, grant, "proof-token", FRAME_GATE_INVALID_DPOP_PROOF,
                                       "the proof is for another access token");
        default:
                return fold(r);
        }

        r = state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        r = dpop_seen_add(&state->seen, redeem->nonces, redeem->monotonic_ms, jti);
        if (r == DPOP_E_REPLAYED)
                return refuse_provider(redeem, asked, grant, "proof-replayed", FRAME_GATE_INVALID_DPOP_PROOF,
                                       "this proof has been used before");
        if (r == DPOP_E_FULL)
                return refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many requests in a minute");
        if (r < 0)
                return r;
        *ret_good = true;
        return 0;
}

static PolicyRequest policy_request(const FrameGateRequest *request, PolicyOperation operation) {
        return (PolicyRequest) {
                .operation = (uint8_t) operation,
                .kinds = request->kinds,
                .has_from = request->flags & FRAME_GATE_HAS_FROM,
                .has_to = request->flags & FRAME_GATE_HAS_TO,
                .has_since = request->flags & FRAME_GATE_HAS_SINCE,
                .from_day = request->from_day,
                .to_day = request->to_day,
                .since_utc_ms = request->since_utc_ms,
        };
}

/* --- access tokens --- */

/* OAuth's scope: words with spaces between. The detail is the one that holds. */
static void scope_words(char *ret, size_t n_ret, const Grant *grant, uint32_t kinds) {
        uint8_t signed_detail = grant->policy.signed_terms.scope.detail, live_detail = grant->policy.live_terms.scope.detail;
        size_t n = (size_t) snprintf(ret, n_ret, "%s", grant_detail_name(signed_detail < live_detail ? signed_detail : live_detail));

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                if (kinds & RECORD_KIND_BIT(kind))
                        n += (size_t) snprintf(ret + n, n_ret - n, " %s", record_kind_name(kind));
        assert(n < n_ret);
}

static int issue_token(Redeem *redeem, const Asked *asked, Grant *grant, const PolicyEffective *effective) {
        uint8_t bytes[TOKEN_BYTES];
        char text[TOKEN_TEXT_SIZE], scope[192], body[384];
        int64_t life_s, expires_s;
        cleanup(freep) Token *token = NULL;
        Token **chain;
        State *state;
        int r;

        r = state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        token = calloc(1, sizeof(*token));
        if (!token)
                return -ENOMEM;

        r = append(redeem, asked->now, "redeemed",
                   json_pack("{s:s, s:s, s:I}", "grant", grant->claims.jti, "provider", grant->provider_name,
                             "use", (json_int_t) grant->policy.uses + 1), NULL);
        if (r < 0)
                return r;
        r = from_consent(consent_grant_use(redeem->config.consent, grant->id, grant->policy.uses + 1));
        if (r < 0)
                return r;

        expires_s = grant->policy.signed_terms.expires_s < grant->policy.live_terms.expires_s ?
                    grant->policy.signed_terms.expires_s : grant->policy.live_terms.expires_s;
        life_s = expires_s - asked->now.utc_ms / 1000;
        if (life_s > REDEEM_TOKEN_LIFE_S)
                life_s = REDEEM_TOKEN_LIFE_S;

        randombytes_buf(bytes, sizeof(bytes));
        (void) b64url_encode(text, sizeof(text), bytes, sizeof(bytes));
        scope_words(scope, sizeof(scope), grant, effective->kinds);
        (void) snprintf(body, sizeof(body), "{\"access_token\":\"%s\",\"token_type\":\"DPoP\",\"expires_in\":%lld,\"scope\":\"%s\"}",
                        text, (long long) life_s, scope);
        r = put_reply(redeem, asked, FRAME_GATE_REPLY, FRAME_GATE_OK, "", 1, body, strlen(body));
        token_hash(token->sha256, text);
        sodium_memzero(bytes, sizeof(bytes));
        sodium_memzero(text, sizeof(text));
        sodium_memzero(body, sizeof(body));
        if (r < 0)
                return r;

        while (state->n_tokens >= REDEEM_TOKENS_MAX)
                token_drop(redeem, state, 0);
        token->grant = grant->id;
        token->expires_ms = redeem->monotonic_ms + life_s * 1000;
        token->pending = true;
        chain = token_chain(redeem, token->sha256);
        token->next = *chain;
        *chain = token;
        state->tokens[state->n_tokens++] = take_ptr(token);
        state->uses_pending++;
        grant->policy.uses++;
        redeem->anything_pending = true;
        return 0;
}

static int on_token(Redeem *redeem, Asked *asked, const FrameGateRequest *request) {
        PolicyRequest policy = policy_request(request, POLICY_OP_TOKEN);
        PolicyEffective effective;
        PolicyVerdict verdict;
        Grant *grant;
        bool good;
        int r;

        if (!(request->flags & FRAME_GATE_HAS_CREDENTIAL))
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_REQUEST, "an assertion is needed");
        grant = grants_by_assertion(redeem->config.grants, request->credential);
        if (!grant)
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_GRANT, "this wallet has not issued such a grant");

        asked->grant = grant->id;
        r = check_proof(redeem, asked, request, grant, "POST", "/token", NULL, &good);
        if (r < 0 || !good)
                return r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return refuse_verdict(redeem, asked, grant, verdict, true);
        return issue_token(redeem, asked, grant, &effective);
}

/* --- releases --- */

static Release **release_find(Redeem *redeem, uint64_t request) {
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                if (redeem->releases[i] && redeem->releases[i]->request == request)
                        return &redeem->releases[i];
        return NULL;
}

static json_t *asked_json(const PolicyRequest *policy) {
        char day[CIVIL_TIME_SIZE];
        json_t *json = json_object();

        if (policy->kinds)
                (void) json_object_set_new(json, "kinds", grant_kinds_json(policy->kinds));
        if (policy->has_from) {
                civil_date(day, policy->from_day);
                (void) json_object_set_new(json, "from", json_string(day));
        }
        if (policy->has_to) {
                civil_date(day, policy->to_day);
                (void) json_object_set_new(json, "to", json_string(day));
        }
        if (policy->has_since)
                (void) json_object_set_new(json, "since_utc_ms", json_integer(policy->since_utc_ms));
        return json;
}

/* A place among those that hand out, and the entry that says so. *ret is NULL when the request has been refused. */
static int release_begin(Redeem *redeem, const Asked *asked, const Grant *grant, const char *what, unsigned format,
                         const PolicyRequest *policy, const PolicyEffective *effective, Release **ret) {
        static const char *const formats[] = { "json", [FRAME_GATE_NDJSON] = "ndjson", [FRAME_GATE_CSV] = "csv" };
        char from[CIVIL_DATE_SIZE], to[CIVIL_DATE_SIZE];
        cleanup(freep) Release *release = NULL;
        Release **place = NULL;
        int r;

        *ret = NULL;
        for (size_t i = 0; i < REDEEM_STREAMS_MAX && !place; i++)
                if (!redeem->releases[i])
                        place = &redeem->releases[i];
        if (!place)
                return refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many answers are under way");

        release = calloc(1, sizeof(*release));
        if (!release)
                return -ENOMEM;
        civil_date(from, (int32_t) (effective->from_local_ms / POLICY_DAY_MS));
        civil_date(to, (int32_t) (effective->to_local_ms / POLICY_DAY_MS - 1));
        r = append(redeem, asked->now, "release-begun",
                   json_pack("{s:s, s:s, s:s, s:s, s:{s:o, s:s, s:s, s:s, s:b}, s:o, s:I}",
                             "grant", grant->claims.jti, "provider", grant->provider_name, "what", what, "format", formats[format],
                             "scope", "kinds", grant_kinds_json(effective->kinds), "from", from, "to", to,
                             "identity", grant_identity_name(effective->identity), "free_text", (int) effective->free_text,
                             "request", asked_json(policy), "high_water", (json_int_t) records_last_import(redeem->config.records)), &release->begun);
        if (r < 0)
                return r;

        release->request = asked->request;
        release->grant = grant->id;
        release->what = what;
        release->pending = true;
        slice_init(&release->slice, format, policy);
        redeem->anything_pending = true;
        *ret = release;
        *place = take_ptr(release);
        return 0;
}

static int release_end(Redeem *redeem, Release **place, uint64_t n_sent, bool whole, PolicyNow now) {
        Release *release = *place;
        const Grant *grant = grants_by_id(redeem->config.grants, release->grant);
        char digest[SLICE_DIGEST_SIZE];
        int r = 0;

        /* the gate's own word: no more than was made can have been handed over */
        if (n_sent > release->slice.n_bytes)
                n_sent = release->slice.n_bytes;
        whole = whole && release->made;
        slice_digest(&release->slice, digest);
        if (grant)
                r = append(redeem, now, "release-ended",
                           json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:s*}", "grant", grant->claims.jti, "provider", grant->provider_name,
                                     "begun", (json_int_t) release->begun, "what", release->what, "rows", (json_int_t) release->slice.n_rows,
                                     "bytes", (json_int_t) n_sent, "sha256", digest, "state", whole ? "complete" : "cut",
                                     "by", whole ? NULL : release->cut ? release->cut : "recipient"), NULL);
        if (r < 0)
                return r;
        free(release);
        *place = NULL;
        return 0;
}

/* The next chunk of a slice into the buffer. */
static int release_next(Redeem *redeem, Release *release, PolicyNow now, FrameBuffer *out) {
        const Grant *grant = grants_by_id(redeem->config.grants, release->grant);
        PolicyVerdict verdict = POLICY_DENY_REVOKED;
        SliceState state = SLICE_DENIED;
        char trailer[128] = "";
        int r;

        release->seeking = false;
        if (release->made || release->cut)
                return 0;

        text_clear(&redeem->text);
        if (grant) {
                r = fold(slice_next(&release->slice, redeem->config.records, grant, now, &redeem->text, &state, &verdict));
                if (r < 0)
                        return r;
        }
        if (state == SLICE_DENIED) {
                release->cut = policy_verdict_name(verdict);
                return fold(frame_put_gate_end(out, release->request, false, ""));
        }

        if (redeem->text.n > 0) {
                r = fold(frame_put_gate_chunk(out, release->request, (const uint8_t *) redeem->text.bytes, redeem->text.n));
                if (r < 0)
                        return r;
        }
        if (state == SLICE_SEEKING)
                release->seeking = true;
        if (state != SLICE_WHOLE)
                return 0;

        release->made = true;
        if (release->slice.format == FRAME_GATE_CSV) {
                char digest[SLICE_DIGEST_SIZE];

                slice_digest(&release->slice, digest);
                (void) snprintf(trailer, sizeof(trailer), "rows=%llu; sha256=%s", (unsigned long long) release->slice.n_rows, digest);
        }
        return fold(frame_put_gate_end(out, release->request, true, trailer));
}

static int on_slice(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant) {
        PolicyRequest policy = policy_request(request, POLICY_OP_SLICE);
        unsigned format = request->format == FRAME_GATE_CSV ? FRAME_GATE_CSV : FRAME_GATE_NDJSON;
        PolicyEffective effective;
        PolicyVerdict verdict;
        Release *release;
        int r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return refuse_verdict(redeem, asked, grant, verdict, false);

        r = release_begin(redeem, asked, grant, "slice", format, &policy, &effective, &release);
        if (r < 0 || !release)
                return r;
        r = put_reply(redeem, asked, FRAME_GATE_STREAM, FRAME_GATE_OK, "", format == FRAME_GATE_CSV ? 3 : 2, NULL, 0);
        if (r < 0)
                return r;
        return release_next(redeem, release, asked->now, asked->out);
}

/* --- summaries: made once a day, so that asking often or subtracting reveals no reading --- */

static int32_t day_of(PolicyNow now) {
        return (int32_t) (now.local_ms / POLICY_DAY_MS);
}

/* The copy is good for its day, and for the one before, which comes again when the patient travels west. */
static bool answer_fits(const Answer *answer, const PolicyEffective *effective, PolicyNow now) {
        int32_t today = day_of(now);

        return answer->known && (answer->day == today || answer->day == today + 1) &&
               answer->from_local_ms == effective->from_local_ms && answer->to_local_ms == effective->to_local_ms;
}

/*
 * By day and window, not by grant: the summaries of one window are the same for all, so that two grants and an import between them
 * reveal no reading.
 */
static void answer_name(char ret[static ANSWER_NAME_SIZE], int32_t day, int64_t from_local_ms, int64_t to_local_ms) {
        (void) snprintf(ret, ANSWER_NAME_SIZE, "summary/%06d/%lld-%lld", (int) day, (long long) (from_local_ms / POLICY_DAY_MS), (long long) (to_local_ms / POLICY_DAY_MS));
}

static int answer_load(Redeem *redeem, State *state, const PolicyEffective *effective, PolicyNow now) {
        cleanup(json_decrefp) json_t *json = NULL;
        cleanup(freep) char *text = NULL;
        json_int_t from, to;
        const char *body;
        json_t *held;
        char name[ANSWER_NAME_SIZE];
        int day, r = CONSENT_E_NOT_FOUND;
        size_t n;

        if (answer_fits(&state->answer, effective, now))
                return 0;
        for (int32_t of = day_of(now) + 1; r == CONSENT_E_NOT_FOUND && of >= day_of(now); of--) {
                answer_name(name, of, effective->from_local_ms, effective->to_local_ms);
                r = consent_setting_get(redeem->config.consent, name, &text, &n);
        }
        if (r == CONSENT_E_NOT_FOUND)
                return 0;
        if (r != 0)
                return from_consent(r);

        json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        sodium_memzero(text, n);
        if (json_unpack(json, "{s:i, s:I, s:I, s:o}", "day", &day, "from", &from, "to", &to, "body", &held) < 0)
                return -EBADMSG;
        body = json_string_value(held); /* NULL for null: not enough data */
        answer_clear(&state->answer);
        state->answer = (Answer) { .known = true, .stored = true, .day = day, .from_local_ms = from, .to_local_ms = to };
        if (body) {
                state->answer.body = strdup(body);
                if (!state->answer.body)
                        return -ENOMEM;
        }
        return 0;
}

static int answer_store(Redeem *redeem, State *state) {
        cleanup(freep) char *text = NULL;
        Answer *answer = &state->answer;
        json_t *json;
        char name[ANSWER_NAME_SIZE], oldest[ANSWER_NAME_SIZE];
        int r;

        if (answer->stored)
                return 0;
        json = json_pack("{s:i, s:I, s:I, s:s?}", "day", (int) answer->day, "from", (json_int_t) answer->from_local_ms,
                         "to", (json_int_t) answer->to_local_ms, "body", answer->body);
        text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        if (!text)
                return -ENOMEM;
        answer_name(name, answer->day, answer->from_local_ms, answer->to_local_ms);
        (void) snprintf(oldest, sizeof(oldest), "summary/%06d", (int) answer->day - 1);
        r = from_consent(consent_setting_put(redeem->config.consent, name, text, strlen(text)));
        if (r == 0)
                r = from_consent(consent_setting_forget(redeem->config.consent, "summary/", oldest));
        sodium_memzero(text, strlen(text));
        if (r < 0)
                return r;
        answer->stored = true;
        answer->pending = true;
        redeem->anything_pending = true;
        return 0;
}

/* The day's answer to one request. */
static int answer_give(Redeem *redeem, const Asked *asked, const Grant *grant, State *state, const PolicyRequest *policy,
                       const PolicyEffective *effective) {
        const char *body = state->answer.body;
        Release *release;
        int r;

        r = answer_store(redeem, state); /* a copy whose commit failed */
        if (r < 0)
                return r;
        if (!body)
                return refuse_provider(redeem, asked, grant, "not-enough-data", FRAME_GATE_NOT_ENOUGH_DATA,
                                       "a summary needs 3 whole days and 200 readings; the answer is the same for the rest of the day");

        r = release_begin(redeem, asked, grant, "summary", 0, policy, effective, &release);
        if (r < 0 || !release)
                return r;
        release->made = true;
        slice_add_bytes(&release->slice, body, strlen(body));
        return put_reply(redeem, asked, FRAME_GATE_REPLY, FRAME_GATE_OK, "", 1, body, strlen(body));
}

int redeem_stored_summary(Redeem *redeem, const Grant *grant, PolicyNow now, bool *ret_known, const char **ret_body) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        PolicyEffective effective;
        State *state;
        int r;

        *ret_known = false;
        if (policy_decide(&grant->policy, &policy, now, &effective) != POLICY_ALLOW)
                return 0;
        r = state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_load(redeem, state, &effective, now);
        if (r < 0)
                return r;
        *ret_known = answer_fits(&state->answer, &effective, now);
        *ret_body = state->answer.body;
        return 0;
}

static int on_summary(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant) {
        PolicyRequest policy = policy_request(request, POLICY_OP_SUMMARY);
        PolicyEffective effective;
        PolicyVerdict verdict;
        State *state;
        int r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return refuse_verdict(redeem, asked, grant, verdict, false);

        r = state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_load(redeem, state, &effective, asked->now);
        if (r < 0)
                return r;
        if (answer_fits(&state->answer, &effective, asked->now))
                return answer_give(redeem, asked, grant, state, &policy, &effective);

        if (redeem->n_waiters >= N_ELEMENTS(redeem->waiters))
                return refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many answers are under way");
        redeem->waiters[redeem->n_waiters++] = (Waiter) { .request = asked->request, .grant = grant->id };
        return 0;
}

static int answer_make(Redeem *redeem, State *state, const Job *job) {
        Answer answer = {
                .known = true,
                .day = job->day,
                .from_local_ms = job->effective.from_local_ms,
                .to_local_ms = job->effective.to_local_ms,
        };
        int r;

        if (policy_summary_permitted(&job->summary)) {
                text_clear(&redeem->text);
                r = serialise_summary(&redeem->text, &job->summary);
                if (r < 0)
                        return r;
                answer.body = strndup(redeem->text.bytes, redeem->text.n);
                if (!answer.body)
                        return -ENOMEM;
        }
        answer_clear(&state->answer);
        state->answer = answer;
        return answer_store(redeem, state);
}

/* Answer all who wait for this grant: with the copy, or with what policy says by now. */
static int answer_waiters(Redeem *redeem, uint64_t id, PolicyNow now, FrameBuffer *out) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        const Grant *grant = grants_by_id(redeem->config.grants, id);
        State *state = state_find(redeem, id);
        size_t i = 0;
        int r;

        while (i < redeem->n_waiters) {
                Asked asked = { .request = redeem->waiters[i].request, .grant = id, .now = now, .out = out };
                PolicyEffective effective;
                PolicyVerdict verdict;

                if (redeem->waiters[i].grant != id) {
                        i++;
                        continue;
                }
                redeem->n_waiters--;
                memmove(redeem->waiters + i, redeem->waiters + i + 1, (redeem->n_waiters - i) * sizeof(Waiter));

                if (!grant || !state) {
                        r = refuse(redeem, &asked, FRAME_GATE_INVALID_TOKEN, "the grant is gone");
                } else {
                        verdict = policy_decide(&grant->policy, &policy, now, &effective);
                        r = verdict == POLICY_ALLOW ? answer_give(redeem, &asked, grant, state, &policy, &effective) :
                                                      refuse_verdict(redeem, &asked, grant, verdict, false);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

static int summary_step(Redeem *redeem, PolicyNow now, FrameBuffer *out) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        Job *job = &redeem->job;
        PolicyEffective effective;
        const Grant *grant;
        State *state;
        int r;

        if (!job->runs)
                *job = (Job) { .grant = redeem->waiters[0].grant };
        grant = grants_by_id(redeem->config.grants, job->grant);
        if (!grant || policy_decide(&grant->policy, &policy, now, &effective) != POLICY_ALLOW) {
                job->runs = false;
                return answer_waiters(redeem, job->grant, now, out);
        }
        /* somebody else's answer for the same window may have been made meanwhile */
        if (!job->runs) {
                r = state_get(redeem, grant->id, &state);
                if (r == 0)
                        r = answer_load(redeem, state, &effective, now);
                if (r < 0)
                        return r;
                if (answer_fits(&state->answer, &effective, now))
                        return answer_waiters(redeem, grant->id, now, out);
        }
        /* begin, and begin again when midnight or the patient moved the window meanwhile */
        if (!job->runs || job->day != day_of(now) || job->effective.from_local_ms != effective.from_local_ms ||
            job->effective.to_local_ms != effective.to_local_ms) {
                *job = (Job) { .runs = true, .grant = grant->id, .day = day_of(now), .effective = effective };
                policy_summary_init(&job->summary, &effective);
        }

        r = slice_sum(redeem->config.records, &job->effective, &job->cursor, &job->summary);
        if (r < 0 || !job->cursor.ended)
                return r;

        job->runs = false;
        r = state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_make(redeem, state, job);
        if (r < 0)
                return r;
        return answer_waiters(redeem, grant->id, now, out);
}

/* --- the rest of the contract --- */

static int on_resource(Redeem *redeem, Asked *asked, const FrameGateRequest *request, const char *path) {
        char text[TOKEN_TEXT_SIZE];
        uint8_t sha256[32];
        const Token *token;
        const Grant *grant;
        bool good;
        int r;

        if (!(request->flags & FRAME_GATE_HAS_CREDENTIAL))
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_TOKEN, "an access token is needed");
        (void) b64url_encode(text, sizeof(text), request->credential, sizeof(request->credential));
        token_hash(sha256, text);
        token = token_find(redeem, sha256);
        grant = token ? grants_by_id(redeem->config.grants, token->grant) : NULL;
        if (!grant) {
                sodium_memzero(text, sizeof(text));
                return refuse_stranger(redeem, asked, FRAME_GATE_INVALID_TOKEN, "the access token is unknown or has ended");
        }

        asked->grant = grant->id;
        r = check_proof(redeem, asked, request, grant, "GET", path, text, &good);
        sodium_memzero(text, sizeof(text));
        if (r < 0 || !good)
                return r;
        return request->operation == FRAME_GATE_SLICE ? on_slice(redeem, asked, request, grant) : on_summary(redeem, asked, request, grant);
}

int redeem_request(Redeem *redeem, const FrameGateRequest *request, PolicyNow now, int64_t monotonic_ms, FrameBuffer *out) {
        Asked asked = { .request = request->request, .now = now, .out = out };

        redeem->monotonic_ms = monotonic_ms;
        switch (request->operation) {
        case FRAME_GATE_TOKEN:
                return on_token(redeem, &asked, request);
        case FRAME_GATE_SLICE:
                return on_resource(redeem, &asked, request, "/slice");
        case FRAME_GATE_SUMMARY:
                return on_resource(redeem, &asked, request, "/summary");
        default:
                return refuse_stranger(redeem, &asked, FRAME_GATE_INVALID_REQUEST, "there is no such operation");
        }
}

int redeem_more(Redeem *redeem, uint64_t request, PolicyNow now, FrameBuffer *out) {
        Release **place = release_find(redeem, request);

        return place ? release_next(redeem, *place, now, out) : 0;
}

int redeem_closed(Redeem *redeem, uint64_t request, uint64_t n_sent, bool whole, PolicyNow now) {
        Release **place = release_find(redeem, request);

        for (size_t i = 0; i < redeem->n_waiters; i++)
                if (redeem->waiters[i].request == request) {
                        redeem->n_waiters--;
                        memmove(redeem->waiters + i, redeem->waiters + i + 1, (redeem->n_waiters - i) * sizeof(Waiter));
                        break;
                }
        return place ? release_end(redeem, place, n_sent, whole, now) : 0;
}

static Release *seeking(const Redeem *redeem) {
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                if (redeem->releases[i] && redeem->releases[i]->seeking)
                        return redeem->releases[i];
        return NULL;
}

bool redeem_has_work(const Redeem *redeem) {
        return redeem->n_waiters > 0 || seeking(redeem);
}

int redeem_step(Redeem *redeem, PolicyNow now, FrameBuffer *out) {
        Release *release = seeking(redeem);
        int r = 0;

        if (release)
                r = release_next(redeem, release, now, out);
        else if (redeem->n_waiters > 0)
                r = summary_step(redeem, now, out);
        return r < 0 ? r : redeem_has_work(redeem);
}

int redeem_strangers(Redeem *redeem, uint32_t n, PolicyNow now) {
        redeem->n_strangers += n;
        return log_strangers(redeem, now, false);
}

int redeem_tick(Redeem *redeem, PolicyNow now, int64_t monotonic_ms) {
        int r;

        redeem->monotonic_ms = monotonic_ms;
        for (size_t i = 0; i < N_STATE_CHAINS; i++)
                for (State *state = redeem->states[i]; state; state = state->next) {
                        for (size_t t = state->n_tokens; t > 0; t--)
                                if (monotonic_ms >= state->tokens[t - 1]->expires_ms)
                                        token_drop(redeem, state, t - 1);
                        (void) dpop_seen_expire(&state->seen, monotonic_ms);
                        if (state->refusals_hour != monotonic_ms / HOUR_MS) {
                                r = log_unlogged(redeem, state, now);
                                if (r < 0)
                                        return r;
                        }
                }
        return log_strangers(redeem, now, false);
}

static const char *why_dead(const Grant *grant) {
        if (!grant || grant->policy.revoked)
                return policy_verdict_name(POLICY_DENY_REVOKED);
        return policy_verdict_name(grant->policy.suspended ? POLICY_DENY_SUSPENDED : POLICY_DENY_EXPIRED);
}

RedeemHandedOut redeem_grant_dead(Redeem *redeem, uint64_t grant) {
        State *state = state_find(redeem, grant);
        RedeemHandedOut ret = {0};

        while (state && state->n_tokens > 0)
                token_drop(redeem, state, 0);
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++) {
                Release *release = redeem->releases[i];

                if (!release || release->grant != grant)
                        continue;
                if (!release->cut)
                        release->cut = why_dead(grants_by_id(redeem->config.grants, grant));
                release->seeking = false;
                ret.n_streams_cut++;
                ret.n_bytes += release->slice.n_bytes;
        }
        return ret;
}

void redeem_abort(Redeem *redeem) {
        for (size_t i = 0; i < N_STATE_CHAINS; i++)
                for (State *state = redeem->states[i]; state; state = state->next) {
                        Grant *grant = grants_by_id(redeem->config.grants, state->grant);

                        for (size_t t = state->n_tokens; t > 0; t--)
                                if (state->tokens[t - 1]->pending)
                                        token_drop(redeem, state, t - 1);
                        if (grant)
                                grant->policy.uses -= state->uses_pending;
                        state->uses_pending = 0;
                        if (state->answer.pending)
                                state->answer.stored = state->answer.pending = false;
                }
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                if (redeem->releases[i] && redeem->releases[i]->pending) {
                        free(redeem->releases[i]);
                        redeem->releases[i] = NULL;
                }
        redeem->anything_pending = false;
}

void redeem_committed(Redeem *redeem) {
        if (!redeem->anything_pending)
                return;
        for (size_t i = 0; i < N_STATE_CHAINS; i++)
                for (State *state = redeem->states[i]; state; state = state->next) {
                        for (size_t t = 0; t < state->n_tokens; t++)
                                state->tokens[t]->pending = false;
                        state->uses_pending = 0;
                        state->answer.pending = false;
                }
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                if (redeem->releases[i])
                        redeem->releases[i]->pending = false;
        redeem->anything_pending = false;
}

int redeem_gate_gone(Redeem *redeem, PolicyNow now) {
        int failed, r = 0;

        redeem->n_waiters = 0;
        redeem->job = (Job) {0};
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++) {
                Release *release = redeem->releases[i];

                if (!release)
                        continue;
                if (!release->cut)
                        release->cut = "gate";
                /* the gate can no longer say how much it handed over: at most all that was made */
                failed = release_end(redeem, &redeem->releases[i], release->slice.n_bytes, false, now);
                if (failed < 0) { /* it is over all the same */
                        r = failed;
                        free(release);
                        redeem->releases[i] = NULL;
                }
        }
        if (r < 0)
                return r;
        for (size_t i = 0; i < N_STATE_CHAINS; i++)
                for (State *state = redeem->states[i]; state; state = state->next) {
                        r = log_unlogged(redeem, state, now);
                        if (r < 0)
                                return r;
                }
        return log_strangers(redeem, now, true);
}
