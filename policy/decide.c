/* SPDX-License-Identifier: Apache-2.0 */

/* Allow, or the reason why not. The order of the checks is the order of the verdicts; POLICY.md says it in words. */

#include "policy.h"

#define DAY_MAX (RECORD_TIME_MAX_MS / POLICY_DAY_MS)
#define TIME_MAX_S (RECORD_TIME_MAX_MS / 1000)

static const char *const verdict_names[N_POLICY_VERDICTS] = {
        [POLICY_ALLOW] = "allow",
        [POLICY_DENY_INVALID] = "invalid",
        [POLICY_DENY_REVOKED] = "revoked",
        [POLICY_DENY_SUSPENDED] = "suspended",
        [POLICY_DENY_CLOCK] = "clock",
        [POLICY_DENY_NOT_YET] = "not_yet",
        [POLICY_DENY_EXPIRED] = "expired",
        [POLICY_DENY_USES] = "uses",
        [POLICY_DENY_DETAIL] = "detail",
        [POLICY_DENY_PARAMETERS] = "parameters",
        [POLICY_DENY_KINDS] = "kinds",
        [POLICY_DENY_WINDOW] = "window",
};

typedef struct Days {
        int32_t first, last; /* both included; empty when last is before first */
} Days;

const char *policy_verdict_name(unsigned verdict) {
        return verdict < N_POLICY_VERDICTS ? verdict_names[verdict] : NULL;
}

static int64_t min(int64_t a, int64_t b) {
        return a < b ? a : b;
}

static int64_t max(int64_t a, int64_t b) {
        return a < b ? b : a;
}

static bool in(int64_t value, int64_t least, int64_t most) {
        return value >= least && value <= most;
}

static Days days_and(Days a, Days b) {
        return (Days) { (int32_t) max(a.first, b.first), (int32_t) min(a.last, b.last) };
}

static bool window_valid(const PolicyWindow *window) {
        switch (window->type) {
        case POLICY_WINDOW_FIXED:
                return in(window->from_day, 0, DAY_MAX) && in(window->to_day, window->from_day, DAY_MAX);
        case POLICY_WINDOW_LAST:
                return in(window->last_days, 1, POLICY_LAST_DAYS_MAX);
        default:
                return false;
        }
}

static bool scope_valid(const PolicyScope *scope) {
        return scope->kinds != 0 &&
               !(scope->kinds & ~RECORD_ALL_KINDS) &&
               in(scope->detail, POLICY_SUMMARY, POLICY_DATA) &&
               in(scope->identity, POLICY_NONE, POLICY_PSEUDONYM) &&
               window_valid(&scope->window);
}

bool policy_terms_valid(const PolicyTerms *terms) {
        return scope_valid(&terms->scope) &&
               in(terms->not_before_s, 0, TIME_MAX_S) &&
               in(terms->expires_s, terms->not_before_s + 1, terms->not_before_s + POLICY_FOR_MAX_S) &&
               in(terms->uses_max, 0, POLICY_USES_MAX);
}

static bool window_narrows(const PolicyWindow *a, const PolicyWindow *b) {
        if (a->type != b->type)
                return false;
        /* the last n days up to today do not hold the last n days up to the day of issue for long */
        if (a->type == POLICY_WINDOW_LAST)
                return a->newer == b->newer && a->last_days <= b->last_days;

        return a->from_day >= b->from_day && a->to_day <= b->to_day && a->newer <= b->newer;
}

bool policy_scope_narrows(const PolicyScope *a, const PolicyScope *b) {
        return !(a->kinds & ~b->kinds) &&
               a->detail <= b->detail &&
               a->identity <= b->identity &&
               a->free_text <= b->free_text &&
               window_narrows(&a->window, &b->window);
}

static Days window_days(const PolicyWindow *window, int32_t issued_day, int32_t today) {
        if (window->type == POLICY_WINDOW_LAST) {
                int32_t last = window->newer ? today : issued_day;

                return (Days) { last - (window->last_days - 1), last };
        }

        return (Days) { window->from_day, window->newer ? window->to_day : (int32_t) min(window->to_day, issued_day) };
}

static bool request_has_parameters(const PolicyRequest *request) {
        return request->kinds || request->has_from || request->has_to || request->has_since;
}

static bool request_valid(const PolicyRequest *request) {
        return in(request->operation, POLICY_OP_TOKEN, POLICY_OP_SLICE) &&
               !(request->kinds & ~RECORD_ALL_KINDS) &&
               !(request->has_from && request->has_to && request->to_day < request->from_day);
}

/* A clock outside the times that a record can have says nothing; a wall clock is never further off than any zone. */
static bool now_valid(PolicyNow now) {
        return !now.clock_behind &&
               in(now.utc_ms, RECORD_TIME_MIN_MS, RECORD_TIME_MAX_MS) &&
               in(now.local_ms, now.utc_ms - RECORD_OFFSET_MAX_MIN * INT64_C(60000),
                  now.utc_ms + RECORD_OFFSET_MAX_MIN * INT64_C(60000));
}

/* The smaller limit of those that there are. */
static bool uses_spent(const PolicyGrant *grant) {
        uint32_t a = grant->signed_terms.uses_max;
        uint32_t b = grant->live_terms.uses_max;

        return (a != 0 && grant->uses >= a) || (b != 0 && grant->uses >= b);
}

PolicyVerdict policy_decide(const PolicyGrant *grant, const PolicyRequest *request, PolicyNow now, PolicyEffective *ret) {
        const PolicyTerms *a = &grant->signed_terms;
        const PolicyTerms *b = &grant->live_terms;
        bool is_slice = request->operation == POLICY_OP_SLICE;
        bool is_summary = request->operation == POLICY_OP_SUMMARY;
        int32_t today, from, to;
        uint32_t kinds;
        Days days;

        if (!policy_terms_valid(a) || !policy_terms_valid(b) || !in(grant->issued_day, 0, DAY_MAX) || !request_valid(request))
                return POLICY_DENY_INVALID;

        if (grant->revoked)
                return POLICY_DENY_REVOKED;
        if (grant->suspended)
                return POLICY_DENY_SUSPENDED;

        if (!now_valid(now))
                return POLICY_DENY_CLOCK;
        if (now.utc_ms < max(a->not_before_s, b->not_before_s) * 1000)
                return POLICY_DENY_NOT_YET;
        if (grant->expired || now.utc_ms >= min(a->expires_s, b->expires_s) * 1000)
                return POLICY_DENY_EXPIRED;

        /* a token that has been issued may be used until it ends: uses counts tokens */
        if (request->operation == POLICY_OP_TOKEN && uses_spent(grant))
                return POLICY_DENY_USES;
        if (is_slice && min(a->scope.detail, b->scope.detail) != POLICY_DATA)
                return POLICY_DENY_DETAIL;

        /* a token takes none either: it is for the whole scope */
        if (!is_slice && request_has_parameters(request))
                return POLICY_DENY_PARAMETERS;

        kinds = a->scope.kinds & b->scope.kinds;
        if (is_summary)
                kinds &= RECORD_KIND_BIT(RECORD_CGM);
        if (kinds == 0 || (request->kinds & ~kinds))
                return POLICY_DENY_KINDS;

        today = (int32_t) (now.local_ms / POLICY_DAY_MS);
        days = days_and(window_days(&a->scope.window, grant->issued_day, today),
                        window_days(&b->scope.window, grant->issued_day, today));
        if (is_summary)
                days.last = (int32_t) min(days.last, today - 1);

        from = request->has_from ? request->from_day : days.first;
        to = request->has_to ? request->to_day : days.last;
        if (from < days.first || to > days.last || to < from)
                return POLICY_DENY_WINDOW;

        *ret = (PolicyEffective) {
                .kinds = request->kinds ? request->kinds : kinds,
                .identity = (uint8_t) min(a->scope.identity, b->scope.identity),
                .free_text = a->scope.free_text && b->scope.free_text,
                .from_local_ms = from * POLICY_DAY_MS,
                .to_local_ms = (to + 1) * POLICY_DAY_MS,
                .since_utc_ms = request->has_since ? request->since_utc_ms : INT64_MIN,
        };
        return POLICY_ALLOW;
}
