/* SPDX-License-Identifier: Apache-2.0 */

/* Tokens, proofs, and the contract with the gate. */

#include "redeem-private.h"

#include <sodium.h>

enum {
        TOKEN_BYTES = 32,
        TOKEN_TEXT_SIZE = 44, /* base64url and a terminator */
};

#define HOUR_MS INT64_C(3600000)

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

State *redeem_state_find(Redeem *redeem, uint64_t grant) {
        State *state = redeem->states[grant % N_STATE_CHAINS];

        while (state && state->grant != grant)
                state = state->next;
        return state;
}

int redeem_state_get(Redeem *redeem, uint64_t grant, State **ret) {
        State *state = redeem_state_find(redeem, grant);

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
                        redeem_answer_clear(&state->answer);
                        free(state);
                }
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                free(redeem->releases[i]);
        text_done(&redeem->text);
        (void) dpop_nonces_free(redeem->nonces);
        free(redeem);
        return NULL;
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
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_DPOP_PROOF, "a DPoP proof is needed");

        if (token) {
                dpop_ath(ath, token);
                expected.ath = ath;
        }
        r = dpop_verify(&expected, redeem->nonces, redeem->monotonic_ms, request->proof, request->n_proof, jti);
        switch (r) {
        case 0:
                break;
        case DPOP_E_SIGNATURE:
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_DPOP_PROOF, "the proof is not signed by the key of this grant");
        case DPOP_E_NONCE: /* how every conversation begins: not worth an entry */
                return redeem_refuse(redeem, asked, FRAME_GATE_USE_DPOP_NONCE, "repeat with the nonce of this answer");
        case DPOP_E_FORMAT:
                return redeem_refuse_provider(redeem, asked, grant, "proof", FRAME_GATE_INVALID_DPOP_PROOF,
                                              "typ, alg, jwk, jti or iat of the proof is not as it must be");
        case DPOP_E_TARGET:
                return redeem_refuse_provider(redeem, asked, grant, "proof-target", FRAME_GATE_INVALID_DPOP_PROOF,
                                              "the proof is for another method or URL");
        case DPOP_E_TOKEN:
                return redeem_refuse_provider(redeem, asked, grant, "proof-token", FRAME_GATE_INVALID_DPOP_PROOF,
                                              "the proof is for another access token");
        default:
                return fold(r);
        }

        r = redeem_state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        r = dpop_seen_add(&state->seen, redeem->nonces, redeem->monotonic_ms, jti);
        if (r == DPOP_E_REPLAYED)
                return redeem_refuse_provider(redeem, asked, grant, "proof-replayed", FRAME_GATE_INVALID_DPOP_PROOF,
                                              "this proof has been used before");
        if (r == DPOP_E_FULL)
                return redeem_refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many requests in a minute");
        if (r < 0)
                return r;
        *ret_good = true;
        return 0;
}

PolicyRequest redeem_policy_request(const FrameGateRequest *request, PolicyOperation operation) {
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

        r = redeem_state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        token = calloc(1, sizeof(*token));
        if (!token)
                return -ENOMEM;

        r = redeem_append(redeem, asked->now, "redeemed",
                          json_pack("{s:s, s:s, s:I}", "grant", grant->claims.jti, "provider", grant->provider_name,
                                    "use", (json_int_t) grant->policy.uses + 1), NULL);
        if (r < 0)
                return r;
        r = redeem_from_consent(consent_grant_use(redeem->config.consent, grant->id, grant->policy.uses + 1));
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
        r = redeem_put_reply(redeem, asked, FRAME_GATE_REPLY, FRAME_GATE_OK, "", 1, body, strlen(body));
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
        PolicyRequest policy = redeem_policy_request(request, POLICY_OP_TOKEN);
        PolicyEffective effective;
        PolicyVerdict verdict;
        Grant *grant;
        bool good;
        int r;

        if (!(request->flags & FRAME_GATE_HAS_CREDENTIAL))
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_REQUEST, "an assertion is needed");
        grant = grants_by_assertion(redeem->config.grants, request->credential);
        if (!grant)
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_GRANT, "this wallet has not issued such a grant");

        asked->grant = grant->id;
        r = check_proof(redeem, asked, request, grant, "POST", "/token", NULL, &good);
        if (r < 0 || !good)
                return r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return redeem_refuse_verdict(redeem, asked, grant, verdict, true);
        return issue_token(redeem, asked, grant, &effective);
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
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_TOKEN, "an access token is needed");
        (void) b64url_encode(text, sizeof(text), request->credential, sizeof(request->credential));
        token_hash(sha256, text);
        token = token_find(redeem, sha256);
        grant = token ? grants_by_id(redeem->config.grants, token->grant) : NULL;
        if (!grant) {
                sodium_memzero(text, sizeof(text));
                return redeem_refuse_stranger(redeem, asked, FRAME_GATE_INVALID_TOKEN, "the access token is unknown or has ended");
        }

        asked->grant = grant->id;
        r = check_proof(redeem, asked, request, grant, "GET", path, text, &good);
        sodium_memzero(text, sizeof(text));
        if (r < 0 || !good)
                return r;
        return request->operation == FRAME_GATE_SLICE ? redeem_on_slice(redeem, asked, request, grant) : redeem_on_summary(redeem, asked, request, grant);
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
                return redeem_refuse_stranger(redeem, &asked, FRAME_GATE_INVALID_REQUEST, "there is no such operation");
        }
}

int redeem_more(Redeem *redeem, uint64_t request, PolicyNow now, FrameBuffer *out) {
        Release **place = redeem_release_find(redeem, request);

        return place ? redeem_release_next(redeem, *place, now, out) : 0;
}

int redeem_closed(Redeem *redeem, uint64_t request, uint64_t n_sent, bool whole, PolicyNow now) {
        Release **place = redeem_release_find(redeem, request);

        for (size_t i = 0; i < redeem->n_waiters; i++)
                if (redeem->waiters[i].request == request) {
                        redeem->n_waiters--;
                        memmove(redeem->waiters + i, redeem->waiters + i + 1, (redeem->n_waiters - i) * sizeof(Waiter));
                        break;
                }
        return place ? redeem_release_end(redeem, place, n_sent, whole, now) : 0;
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
                r = redeem_release_next(redeem, release, now, out);
        else if (redeem->n_waiters > 0)
                r = redeem_summary_step(redeem, now, out);
        return r < 0 ? r : redeem_has_work(redeem);
}

int redeem_strangers(Redeem *redeem, uint32_t n, PolicyNow now) {
        redeem->n_strangers += n;
        return redeem_log_strangers(redeem, now, false);
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
                                r = redeem_log_unlogged(redeem, state, now);
                                if (r < 0)
                                        return r;
                        }
                }
        return redeem_log_strangers(redeem, now, false);
}

static const char *why_dead(const Grant *grant) {
        if (!grant || grant->policy.revoked)
                return policy_verdict_name(POLICY_DENY_REVOKED);
        return policy_verdict_name(grant->policy.suspended ? POLICY_DENY_SUSPENDED : POLICY_DENY_EXPIRED);
}

RedeemHandedOut redeem_grant_dead(Redeem *redeem, uint64_t grant) {
        State *state = redeem_state_find(redeem, grant);
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
                failed = redeem_release_end(redeem, &redeem->releases[i], release->slice.n_bytes, false, now);
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
                        r = redeem_log_unlogged(redeem, state, now);
                        if (r < 0)
                                return r;
                }
        return redeem_log_strangers(redeem, now, true);
}
