/* SPDX-License-Identifier: Apache-2.0 */

/* What the ledger says, and what is refused. */

#include "redeem-private.h"

#include "daemon/common/civil.h"

#define HOUR_MS INT64_C(3600000)
#define MINUTE_MS INT64_C(60000)

/* --- ledger --- */

int redeem_from_consent(int r) {
        return r == CONSENT_E_FULL ? -ENOSPC : fold(r);
}

int redeem_append(Redeem *redeem, PolicyNow now, const char *type, json_t *fields, uint64_t *ret_index) {
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
        return redeem_from_consent(r);
}

int redeem_log_strangers(Redeem *redeem, PolicyNow now, bool at_once) {
        int64_t since_ms = now.utc_ms - redeem->strangers_logged_ms;
        int r;

        if (redeem->n_strangers == 0)
                return 0;
        if (!at_once && redeem->strangers_logged && since_ms >= 0 && since_ms < MINUTE_MS)
                return 0;

        r = redeem_append(redeem, now, "refused", json_pack("{s:s, s:I}", "reason", "stranger", "count", (json_int_t) redeem->n_strangers), NULL);
        if (r < 0)
                return r;
        redeem->n_strangers = 0;
        redeem->strangers_logged = true;
        redeem->strangers_logged_ms = now.utc_ms;
        return 0;
}

int redeem_log_unlogged(Redeem *redeem, State *state, PolicyNow now) {
        const Grant *grant = grants_by_id(redeem->config.grants, state->grant);
        int r = 0;

        if (state->n_refusals_unlogged > 0 && grant)
                r = redeem_append(redeem, now, "refused",
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

        r = redeem_state_get(redeem, grant->id, &state);
        if (r < 0)
                return r;
        if (state->refusals_hour != hour) {
                r = redeem_log_unlogged(redeem, state, now);
                if (r < 0)
                        return r;
                state->refusals_hour = hour;
                state->n_refusals = 0;
        }
        if (state->n_refusals >= REDEEM_REFUSALS_PER_HOUR) {
                state->n_refusals_unlogged++;
                return 0;
        }
        r = redeem_append(redeem, now, "refused",
                          json_pack("{s:s, s:s, s:s}", "grant", grant->claims.jti, "provider", grant->provider_name, "reason", reason), NULL);
        if (r < 0)
                return r;
        state->n_refusals++;
        return 0;
}

/* --- answers --- */

int redeem_put_reply(Redeem *redeem, const Asked *asked, uint32_t type, FrameGateError error, const char *message,
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

int redeem_refuse(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message) {
        return redeem_put_reply(redeem, asked, FRAME_GATE_REPLY, error, message, 1, NULL, 0);
}

int redeem_refuse_stranger(Redeem *redeem, const Asked *asked, FrameGateError error, const char *message) {
        int r;

        redeem->n_strangers++;
        r = redeem_log_strangers(redeem, asked->now, false);
        if (r < 0)
                return r;
        return redeem_refuse(redeem, asked, error, message);
}

int redeem_refuse_provider(Redeem *redeem, const Asked *asked, const Grant *grant, const char *reason, FrameGateError error,
                           const char *message) {
        int r = log_refusal(redeem, grant, reason, asked->now);

        if (r < 0)
                return r;
        return redeem_refuse(redeem, asked, error, message);
}

int redeem_refuse_verdict(Redeem *redeem, const Asked *asked, const Grant *grant, PolicyVerdict verdict, bool is_token) {
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
        return redeem_refuse_provider(redeem, asked, grant, policy_verdict_name(verdict), error, messages[verdict]);
}
