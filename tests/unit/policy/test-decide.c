/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

enum {
        TODAY = 20000,          /* 2024-10-04 on the wall clock */
        ISSUED = TODAY - 10,
        DAY_MAX = 47482,        /* 2100-01-01 */
        HOUR_S = 3600,
        CGM = RECORD_KIND_BIT(RECORD_CGM),
        BOLUS = RECORD_KIND_BIT(RECORD_BOLUS),
        CARBS = RECORD_KIND_BIT(RECORD_CARBS),
};

#define NOW_S (TODAY * INT64_C(86400) + 43200)

/* What every test starts from: allowed as it is, each test changes one thing. */
typedef struct Case {
        PolicyGrant grant;
        PolicyRequest request;
        PolicyNow now;
        PolicyEffective effective;
} Case;

static PolicyTerms terms(void) {
        return (PolicyTerms) {
                .scope = {
                        .kinds = CGM | BOLUS,
                        .detail = POLICY_DATA,
                        .identity = POLICY_PSEUDONYM,
                        .window = { .type = POLICY_WINDOW_LAST, .last_days = 90, .newer = true },
                },
                .not_before_s = NOW_S - 10 * INT64_C(86400),
                .expires_s = NOW_S + 20 * INT64_C(86400),
        };
}

static Case slice(void) {
        return (Case) {
                .grant = { .signed_terms = terms(), .live_terms = terms(), .issued_day = ISSUED },
                .request = { .operation = POLICY_OP_SLICE },
                .now = { .utc_ms = NOW_S * 1000, .local_ms = (NOW_S + HOUR_S) * 1000 },
        };
}

static Case of(PolicyOperation operation) {
        Case c = slice();

        c.request.operation = (uint8_t) operation;
        return c;
}

static PolicyVerdict decide(Case *c) {
        static const PolicyEffective untouched = { .kinds = 0x55aa55aa, .identity = 77 };
        PolicyVerdict verdict;

        c->effective = untouched;
        verdict = policy_decide(&c->grant, &c->request, c->now, &c->effective);
        if (verdict != POLICY_ALLOW)
                assert_memory_equal(&c->effective, &untouched, sizeof(untouched));
        return verdict;
}

static void both(Case *c, PolicyTerms t) {
        c->grant.signed_terms = t;
        c->grant.live_terms = t;
}

#define assert_days(c, first, last)                                                                     \
        do {                                                                                            \
                assert_int_equal(decide(c), POLICY_ALLOW);                                              \
                assert_int_equal((c)->effective.from_local_ms, (int64_t) (first) * POLICY_DAY_MS);      \
                assert_int_equal((c)->effective.to_local_ms, ((int64_t) (last) + 1) * POLICY_DAY_MS);   \
        } while (0)

static void every_verdict_has_its_own_name(void **state) {
        (void) state;

        for (unsigned a = 0; a < N_POLICY_VERDICTS; a++) {
                assert_non_null(policy_verdict_name(a));
                for (unsigned b = 0; b < a; b++)
                        assert_string_not_equal(policy_verdict_name(a), policy_verdict_name(b));
        }
        assert_string_equal(policy_verdict_name(POLICY_DENY_REVOKED), "revoked");
        assert_null(policy_verdict_name(N_POLICY_VERDICTS));
        assert_null(policy_verdict_name(UINT32_MAX));
}

static void a_grant_allows_what_it_says(void **state) {
        Case c = slice();

        (void) state;

        assert_days(&c, TODAY - 89, TODAY);
        assert_int_equal(c.effective.kinds, CGM | BOLUS);
        assert_int_equal(c.effective.identity, POLICY_PSEUDONYM);
        assert_false(c.effective.free_text);
        assert_int_equal(c.effective.since_utc_ms, INT64_MIN);

        c = of(POLICY_OP_TOKEN);
        assert_days(&c, TODAY - 89, TODAY);
        assert_int_equal(c.effective.kinds, CGM | BOLUS);
}

#define TERMS_VALID(expected, member, value)                            \
        do {                                                            \
                PolicyTerms _terms = terms();                           \
                Case _case = slice();                                   \
                _terms.member = (value);                                \
                assert_int_equal(policy_terms_valid(&_terms), expected); \
                _case.grant.signed_terms = _terms;                      \
                assert_int_equal(decide(&_case) != POLICY_DENY_INVALID, expected); \
                _case = slice();                                        \
                _case.grant.live_terms = _terms;                        \
                assert_int_equal(decide(&_case) != POLICY_DENY_INVALID, expected); \
        } while (0)

static void terms_are_valid_up_to_their_limits_and_no_further(void **state) {
        (void) state;

        TERMS_VALID(false, scope.kinds, 0);
        TERMS_VALID(false, scope.kinds, 1);
        TERMS_VALID(false, scope.kinds, CGM | 1);
        TERMS_VALID(true, scope.kinds, RECORD_ALL_KINDS);
        TERMS_VALID(false, scope.kinds, RECORD_KIND_BIT(N_RECORD_KINDS));
        TERMS_VALID(false, scope.kinds, UINT32_MAX);
        TERMS_VALID(false, scope.detail, 0);
        TERMS_VALID(true, scope.detail, POLICY_SUMMARY);
        TERMS_VALID(true, scope.detail, POLICY_REPORT);
        TERMS_VALID(true, scope.detail, POLICY_DATA);
        TERMS_VALID(false, scope.detail, POLICY_DATA + 1);
        TERMS_VALID(false, scope.identity, 0);
        TERMS_VALID(true, scope.identity, POLICY_NONE);
        TERMS_VALID(true, scope.identity, POLICY_PSEUDONYM);
        TERMS_VALID(false, scope.identity, POLICY_PSEUDONYM + 1);
        TERMS_VALID(false, scope.window.type, 0);
        TERMS_VALID(false, scope.window.type, 3);
        TERMS_VALID(false, scope.window.last_days, 0);
        TERMS_VALID(false, scope.window.last_days, -1);
        TERMS_VALID(false, scope.window.last_days, INT32_MIN);
        TERMS_VALID(true, scope.window.last_days, 1);
        TERMS_VALID(true, scope.window.last_days, POLICY_LAST_DAYS_MAX);
        TERMS_VALID(false, scope.window.last_days, POLICY_LAST_DAYS_MAX + 1);
        TERMS_VALID(false, scope.window.last_days, INT32_MAX);
        TERMS_VALID(true, uses_max, POLICY_USES_MAX);
        TERMS_VALID(false, uses_max, POLICY_USES_MAX + 1);
        TERMS_VALID(false, uses_max, UINT32_MAX);
}

static void a_validity_is_a_second_at_least_and_a_year_at_most(void **state) {
        PolicyTerms t = terms();

        (void) state;

        t.expires_s = t.not_before_s;
        assert_false(policy_terms_valid(&t));
        t.expires_s = t.not_before_s + 1;
        assert_true(policy_terms_valid(&t));
        t.expires_s = t.not_before_s + POLICY_FOR_MAX_S;
        assert_true(policy_terms_valid(&t));
        t.expires_s = t.not_before_s + POLICY_FOR_MAX_S + 1;
        assert_false(policy_terms_valid(&t));
        t.expires_s = INT64_MAX;
        assert_false(policy_terms_valid(&t));
        t.expires_s = INT64_MIN;
        assert_false(policy_terms_valid(&t));

        t.not_before_s = 0;
        t.expires_s = 1;
        assert_true(policy_terms_valid(&t));
        t.not_before_s = -1;
        assert_false(policy_terms_valid(&t));
        t.not_before_s = RECORD_TIME_MAX_MS / 1000;
        t.expires_s = t.not_before_s + 1;
        assert_true(policy_terms_valid(&t));
        t.not_before_s++;
        t.expires_s++;
        assert_false(policy_terms_valid(&t));
        t.not_before_s = INT64_MAX;
        t.expires_s = INT64_MAX;
        assert_false(policy_terms_valid(&t));
        t.not_before_s = INT64_MIN;
        assert_false(policy_terms_valid(&t));
}

static bool fixed_valid(int32_t from_day, int32_t to_day) {
        PolicyTerms t = terms();

        t.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = from_day, .to_day = to_day };
        return policy_terms_valid(&t);
}

static void a_fixed_window_is_a_day_at_least_and_in_order(void **state) {
        (void) state;

        assert_true(fixed_valid(TODAY, TODAY));
        assert_false(fixed_valid(TODAY, TODAY - 1));
        assert_true(fixed_valid(0, DAY_MAX));
        assert_false(fixed_valid(-1, DAY_MAX));
        assert_false(fixed_valid(0, DAY_MAX + 1));
        assert_false(fixed_valid(DAY_MAX + 1, DAY_MAX + 1));
        assert_false(fixed_valid(INT32_MIN, INT32_MAX));
        assert_false(fixed_valid(INT32_MAX, INT32_MIN));
}

static void the_day_of_issue_is_a_day(void **state) {
        static const struct {
                int32_t day;
                bool is_valid;
        } rows[] = { { 0, true }, { -1, false }, { DAY_MAX, true }, { DAY_MAX + 1, false }, { INT32_MIN, false }, { INT32_MAX, false } };

        (void) state;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Case c = slice();

                c.grant.issued_day = rows[i].day;
                assert_int_equal(decide(&c) != POLICY_DENY_INVALID, rows[i].is_valid);
        }
}

static void a_request_that_is_not_well_formed_is_invalid(void **state) {
        Case c;

        (void) state;

        c = of(0);
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);
        c = of(POLICY_OP_SLICE + 1);
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);
        c = of(255);
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);

        c = slice();
        c.request.kinds = 1;
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);
        c.request.kinds = RECORD_KIND_BIT(N_RECORD_KINDS) | CGM;
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);

        c = slice();
        c.request.has_from = c.request.has_to = true;
        c.request.from_day = c.request.to_day = TODAY - 5;
        assert_days(&c, TODAY - 5, TODAY - 5);
        c.request.to_day = TODAY - 6;
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);
        c.request.has_to = false; /* without the flag a day means nothing */
        assert_days(&c, TODAY - 5, TODAY);
        c.request.has_to = true;
        c.request.has_from = false;
        assert_days(&c, TODAY - 89, TODAY - 6);
}

static void a_grant_ends_by_each_of_its_ways(void **state) {
        static const PolicyOperation operations[] = { POLICY_OP_TOKEN, POLICY_OP_SUMMARY, POLICY_OP_SLICE };

        (void) state;

        for (size_t i = 0; i < 3; i++) {
                Case c;

                c = of(operations[i]);
                assert_int_equal(decide(&c), POLICY_ALLOW);
                c.grant.revoked = true;
                assert_int_equal(decide(&c), POLICY_DENY_REVOKED);
                c = of(operations[i]);
                c.grant.suspended = true;
                assert_int_equal(decide(&c), POLICY_DENY_SUSPENDED);
                c = of(operations[i]);
                c.grant.expired = true;
                assert_int_equal(decide(&c), POLICY_DENY_EXPIRED);
                c = of(operations[i]);
                c.now.clock_behind = true;
                assert_int_equal(decide(&c), POLICY_DENY_CLOCK);
        }
}

/* Everything is wrong; one thing after the other is put right, and each time the next reason is given. */
static void the_first_reason_is_the_answer(void **state) {
        Case c = of(POLICY_OP_TOKEN);

        (void) state;

        c.grant.signed_terms.scope.kinds = CGM;
        c.grant.live_terms.scope.kinds = 1;
        c.grant.live_terms.uses_max = 1;
        c.grant.live_terms.not_before_s = NOW_S + 1;
        c.grant.uses = 1;
        c.grant.revoked = c.grant.suspended = c.grant.expired = c.now.clock_behind = true;
        c.request.kinds = BOLUS;
        c.request.has_from = true;
        c.request.from_day = TODAY - 90;
        assert_int_equal(decide(&c), POLICY_DENY_INVALID);
        c.grant.live_terms.scope.kinds = BOLUS;
        assert_int_equal(decide(&c), POLICY_DENY_REVOKED);
        c.grant.revoked = false;
        assert_int_equal(decide(&c), POLICY_DENY_SUSPENDED);
        c.grant.suspended = false;
        assert_int_equal(decide(&c), POLICY_DENY_CLOCK);
        c.now.clock_behind = false;
        assert_int_equal(decide(&c), POLICY_DENY_NOT_YET);
        c.grant.live_terms.not_before_s = NOW_S;
        assert_int_equal(decide(&c), POLICY_DENY_EXPIRED);
        c.grant.expired = false;
        assert_int_equal(decide(&c), POLICY_DENY_USES);
        c.request.operation = POLICY_OP_SLICE;
        c.grant.live_terms.scope.detail = POLICY_REPORT;
        assert_int_equal(decide(&c), POLICY_DENY_DETAIL);
        c.request.operation = POLICY_OP_SUMMARY;
        assert_int_equal(decide(&c), POLICY_DENY_PARAMETERS);
        c.request.operation = POLICY_OP_SLICE;
        c.grant.live_terms.scope.detail = POLICY_DATA;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
        c.grant.signed_terms.scope.kinds |= BOLUS;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.from_day++;
        assert_int_equal(decide(&c), POLICY_ALLOW);
}

static void a_grant_is_valid_from_its_first_millisecond_to_its_last(void **state) {
        (void) state;

        for (unsigned is_live = 0; is_live < 2; is_live++) {
                Case c = slice();
                PolicyTerms *t = is_live ? &c.grant.live_terms : &c.grant.signed_terms;

                t->not_before_s = NOW_S;
                assert_int_equal(decide(&c), POLICY_ALLOW);
                c.now.utc_ms--;
                assert_int_equal(decide(&c), POLICY_DENY_NOT_YET);

                c = slice();
                t->expires_s = NOW_S;
                assert_int_equal(decide(&c), POLICY_DENY_EXPIRED);
                c.now.utc_ms--;
                assert_int_equal(decide(&c), POLICY_ALLOW);
        }
}

static void a_clock_that_no_record_can_have_is_no_clock(void **state) {
        static const struct {
                int64_t utc_ms, offset_ms;
                bool is_clock;
        } rows[] = {
                { RECORD_TIME_MIN_MS, 0, true },
                { RECORD_TIME_MIN_MS - 1, 0, false },
                { RECORD_TIME_MAX_MS, 0, true },
                { RECORD_TIME_MAX_MS + 1, 0, false },
                { INT64_MIN, 0, false },
                { INT64_MAX, 0, false },
                { -1, 0, false },
                { NOW_S * 1000, 14 * 3600000, true },
                { NOW_S * 1000, 14 * 3600000 + 1, false },
                { NOW_S * 1000, -14 * 3600000, true },
                { NOW_S * 1000, -14 * 3600000 - 1, false },
        };

        (void) state;

        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
                Case c = slice();

                c.now.utc_ms = rows[i].utc_ms;
                c.now.local_ms = rows[i].utc_ms + rows[i].offset_ms;
                assert_int_equal(decide(&c) != POLICY_DENY_CLOCK, rows[i].is_clock);
        }
}

static void uses_are_counted_when_a_token_is_issued(void **state) {
        (void) state;

        for (unsigned is_live = 0; is_live < 2; is_live++) {
                Case c = of(POLICY_OP_TOKEN);
                PolicyTerms *t = is_live ? &c.grant.live_terms : &c.grant.signed_terms;

                c.grant.uses = UINT32_MAX; /* not limited */
                assert_int_equal(decide(&c), POLICY_ALLOW);
                t->uses_max = 3;
                c.grant.uses = 2;
                assert_int_equal(decide(&c), POLICY_ALLOW);
                c.grant.uses = 3;
                assert_int_equal(decide(&c), POLICY_DENY_USES);
                c.grant.uses = 4;
                assert_int_equal(decide(&c), POLICY_DENY_USES);
                /* the token that was issued as the last one works */
                c.request.operation = POLICY_OP_SLICE;
                assert_int_equal(decide(&c), POLICY_ALLOW);
                c.request.operation = POLICY_OP_SUMMARY;
                assert_int_equal(decide(&c), POLICY_ALLOW);
        }
}

static void the_smaller_limit_of_uses_counts(void **state) {
        Case c = of(POLICY_OP_TOKEN);

        (void) state;

        c.grant.signed_terms.uses_max = 5;
        c.grant.live_terms.uses_max = 3;
        c.grant.uses = 3;
        assert_int_equal(decide(&c), POLICY_DENY_USES);
        c.grant.signed_terms.uses_max = 3;
        c.grant.live_terms.uses_max = 5;
        assert_int_equal(decide(&c), POLICY_DENY_USES);
        c.grant.uses = 2;
        assert_int_equal(decide(&c), POLICY_ALLOW);
        c.grant.uses = 0;
        assert_int_equal(decide(&c), POLICY_ALLOW);
}

static void records_need_the_detail_data_in_both_terms(void **state) {
        (void) state;

        for (uint8_t a = POLICY_SUMMARY; a <= POLICY_DATA; a++) {
                for (uint8_t b = POLICY_SUMMARY; b <= POLICY_DATA; b++) {
                        Case c = slice();

                        c.grant.signed_terms.scope.detail = a;
                        c.grant.live_terms.scope.detail = b;
                        assert_int_equal(decide(&c), a == POLICY_DATA && b == POLICY_DATA ? POLICY_ALLOW : POLICY_DENY_DETAIL);
                        c.request.operation = POLICY_OP_SUMMARY;
                        assert_int_equal(decide(&c), POLICY_ALLOW);
                        c.request.operation = POLICY_OP_TOKEN;
                        assert_int_equal(decide(&c), POLICY_ALLOW);
                }
        }
}

static void a_summary_and_a_token_take_no_parameters(void **state) {
        static const PolicyOperation operations[] = { POLICY_OP_TOKEN, POLICY_OP_SUMMARY };

        (void) state;

        for (size_t i = 0; i < 2; i++) {
                Case c;

                c = of(operations[i]);
                c.request.kinds = CGM;
                assert_int_equal(decide(&c), POLICY_DENY_PARAMETERS);
                c = of(operations[i]);
                c.request.has_from = true;
                c.request.from_day = TODAY - 5;
                assert_int_equal(decide(&c), POLICY_DENY_PARAMETERS);
                c = of(operations[i]);
                c.request.has_to = true;
                c.request.to_day = TODAY - 5;
                assert_int_equal(decide(&c), POLICY_DENY_PARAMETERS);
                c = of(operations[i]);
                c.request.has_since = true;
                assert_int_equal(decide(&c), POLICY_DENY_PARAMETERS);
        }
}

static void a_kind_that_was_not_granted_is_refused_not_cut(void **state) {
        Case c = slice();

        (void) state;

        c.request.kinds = CGM;
        assert_int_equal(decide(&c), POLICY_ALLOW);
        assert_int_equal(c.effective.kinds, CGM);
        c.request.kinds = CGM | BOLUS;
        assert_int_equal(decide(&c), POLICY_ALLOW);
        assert_int_equal(c.effective.kinds, CGM | BOLUS);
        c.request.kinds = CARBS;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
        c.request.kinds = CGM | CARBS;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
        c.grant.live_terms.scope.kinds = CGM;
        c.request.kinds = BOLUS;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
        c.request.kinds = 0;
        assert_int_equal(decide(&c), POLICY_ALLOW);
        assert_int_equal(c.effective.kinds, CGM);
        /* nothing in common */
        c.grant.live_terms.scope.kinds = CARBS;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
}

static void a_summary_is_of_cgm_and_needs_it_granted(void **state) {
        Case c = of(POLICY_OP_SUMMARY);

        (void) state;

        assert_int_equal(decide(&c), POLICY_ALLOW);
        assert_int_equal(c.effective.kinds, CGM);
        c.grant.live_terms.scope.kinds = BOLUS;
        assert_int_equal(decide(&c), POLICY_DENY_KINDS);
        c.request.operation = POLICY_OP_SLICE;
        assert_int_equal(decide(&c), POLICY_ALLOW);
        assert_int_equal(c.effective.kinds, BOLUS);
}

static void the_stricter_of_both_terms_counts(void **state) {
        (void) state;

        for (unsigned i = 0; i < 4; i++) {
                Case c = slice();

                c.grant.signed_terms.scope.identity = i & 1 ? POLICY_PSEUDONYM : POLICY_NONE;
                c.grant.live_terms.scope.identity = i & 2 ? POLICY_PSEUDONYM : POLICY_NONE;
                c.grant.signed_terms.scope.free_text = i & 1;
                c.grant.live_terms.scope.free_text = i & 2;
                assert_int_equal(decide(&c), POLICY_ALLOW);
                assert_int_equal(c.effective.identity, i == 3 ? POLICY_PSEUDONYM : POLICY_NONE);
                assert_int_equal(c.effective.free_text, i == 3);
        }
}

static void the_last_days_include_today(void **state) {
        Case c = slice();
        PolicyTerms t = terms();

        (void) state;

        t.scope.window.last_days = 1;
        both(&c, t);
        assert_days(&c, TODAY, TODAY);
        t.scope.window.last_days = 2;
        both(&c, t);
        assert_days(&c, TODAY - 1, TODAY);
        t.scope.window.last_days = POLICY_LAST_DAYS_MAX;
        both(&c, t);
        assert_days(&c, TODAY - POLICY_LAST_DAYS_MAX + 1, TODAY);
}

static void today_begins_at_local_midnight(void **state) {
        Case c = slice();

        (void) state;

        c.now.local_ms = TODAY * POLICY_DAY_MS;
        c.now.utc_ms = c.now.local_ms - 14 * 3600000;
        assert_days(&c, TODAY - 89, TODAY);
        c.now.local_ms--;
        c.now.utc_ms--;
        assert_days(&c, TODAY - 90, TODAY - 1);
        c.now.local_ms = (TODAY + 1) * POLICY_DAY_MS - 1;
        c.now.utc_ms = c.now.local_ms + 3600000;
        assert_days(&c, TODAY - 89, TODAY);
        c.now.local_ms++;
        assert_days(&c, TODAY - 88, TODAY + 1);
}

static void without_newer_nothing_after_the_day_of_issue_is_in_the_window(void **state) {
        Case c = slice();
        PolicyTerms t = terms();

        (void) state;

        t.scope.window.newer = false;
        both(&c, t);
        assert_days(&c, ISSUED - 89, ISSUED);

        t.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = ISSUED - 3, .to_day = ISSUED + 3 };
        both(&c, t);
        assert_days(&c, ISSUED - 3, ISSUED);
        t.scope.window.to_day = ISSUED - 1;
        both(&c, t);
        assert_days(&c, ISSUED - 3, ISSUED - 1);
        t.scope.window.newer = true;
        t.scope.window.to_day = ISSUED + 3;
        both(&c, t);
        assert_days(&c, ISSUED - 3, ISSUED + 3);

        t.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = ISSUED, .to_day = ISSUED + 3 };
        both(&c, t);
        assert_days(&c, ISSUED, ISSUED);
        t.scope.window.from_day = ISSUED + 1;
        both(&c, t);
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
}

static void the_window_is_what_both_terms_have_in_common(void **state) {
        Case c = slice();
        PolicyWindow *a = &c.grant.signed_terms.scope.window;
        PolicyWindow *b = &c.grant.live_terms.scope.window;

        (void) state;

        b->last_days = 30;
        assert_days(&c, TODAY - 29, TODAY);
        a->last_days = 7;
        assert_days(&c, TODAY - 6, TODAY);
        b->newer = false; /* ISSUED - 29 .. ISSUED, and TODAY - 6 .. TODAY */
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        a->last_days = 11;
        assert_days(&c, ISSUED, ISSUED);
        *b = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = TODAY - 5, .to_day = TODAY + 5, .newer = true };
        assert_days(&c, TODAY - 5, TODAY);
        *a = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = TODAY - 7, .to_day = TODAY - 5, .newer = true };
        assert_days(&c, TODAY - 5, TODAY - 5);
        a->to_day = TODAY - 6;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
}

static void days_outside_the_window_are_refused_not_cut(void **state) {
        Case c = slice();

        (void) state;

        c.request.has_from = true;
        c.request.from_day = TODAY - 89;
        assert_days(&c, TODAY - 89, TODAY);
        c.request.from_day = TODAY - 90;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.from_day = TODAY;
        assert_days(&c, TODAY, TODAY);
        c.request.from_day = TODAY + 1;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.from_day = INT32_MIN;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.from_day = INT32_MAX;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);

        c = slice();
        c.request.has_to = true;
        c.request.to_day = TODAY;
        assert_days(&c, TODAY - 89, TODAY);
        c.request.to_day = TODAY + 1;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.to_day = TODAY - 89;
        assert_days(&c, TODAY - 89, TODAY - 89);
        c.request.to_day = TODAY - 90;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.to_day = INT32_MIN;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
        c.request.to_day = INT32_MAX;
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);
}

static void since_may_be_any_time_and_only_narrows(void **state) {
        static const int64_t times[] = { INT64_MIN, -1, 0, NOW_S * 1000, INT64_MAX };

        (void) state;

        for (size_t i = 0; i < 5; i++) {
                Case c = slice();

                c.request.has_since = true;
                c.request.since_utc_ms = times[i];
                assert_days(&c, TODAY - 89, TODAY);
                assert_int_equal(c.effective.since_utc_ms, times[i]);
                c.request.has_since = false;
                assert_int_equal(decide(&c), POLICY_ALLOW);
                assert_int_equal(c.effective.since_utc_ms, INT64_MIN);
        }
}

static void a_summary_ends_at_the_last_local_midnight(void **state) {
        Case c = of(POLICY_OP_SUMMARY);
        PolicyTerms t = terms();

        (void) state;

        assert_days(&c, TODAY - 89, TODAY - 1);
        t.scope.window.last_days = 2;
        both(&c, t);
        assert_days(&c, TODAY - 1, TODAY - 1);
        t.scope.window.last_days = 1;
        both(&c, t);
        assert_int_equal(decide(&c), POLICY_DENY_WINDOW);

        t.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = TODAY - 9, .to_day = TODAY - 2 };
        t.scope.window.newer = true;
        both(&c, t);
        assert_days(&c, TODAY - 9, TODAY - 2);
        t.scope.window.to_day = TODAY + 9;
        both(&c, t);
        assert_days(&c, TODAY - 9, TODAY - 1);
}

#define NARROWS(expected, statement)                                    \
        do {                                                            \
                PolicyScope a = terms().scope, b = terms().scope;       \
                statement;                                              \
                assert_int_equal(policy_scope_narrows(&a, &b), expected); \
        } while (0)

static void a_scope_narrows_only_where_it_lets_out_nothing_more(void **state) {
        (void) state;

        NARROWS(true, );
        NARROWS(true, a.kinds = CGM);
        NARROWS(false, a.kinds = CARBS);
        NARROWS(false, a.kinds |= CARBS);
        NARROWS(true, a.detail = POLICY_SUMMARY);
        NARROWS(false, b.detail = POLICY_REPORT);
        NARROWS(true, a.identity = POLICY_NONE);
        NARROWS(false, b.identity = POLICY_NONE);
        NARROWS(true, b.free_text = true);
        NARROWS(false, a.free_text = true);
        NARROWS(true, a.free_text = b.free_text = true);
        NARROWS(true, a.window.last_days = 89);
        NARROWS(false, a.window.last_days = 91);
        /* the window up to the day of issue stays, the one up to today moves on */
        NARROWS(false, a.window.newer = false);
        NARROWS(false, b.window.newer = false);
        NARROWS(true, a.window.newer = b.window.newer = false);
        NARROWS(false, a.window.type = POLICY_WINDOW_FIXED);
        NARROWS(false, b.window.type = POLICY_WINDOW_FIXED);
}

static void a_fixed_window_narrows_one_that_holds_it(void **state) {
        const PolicyWindow ten = { .type = POLICY_WINDOW_FIXED, .from_day = 100, .to_day = 109, .newer = true };

        (void) state;

        NARROWS(true, a.window = b.window = ten);
        NARROWS(true, a.window = b.window = ten; a.window.from_day++; a.window.to_day--);
        NARROWS(false, a.window = b.window = ten; a.window.from_day--);
        NARROWS(false, a.window = b.window = ten; a.window.to_day++);
        NARROWS(true, a.window = b.window = ten; a.window.newer = false);
        NARROWS(false, a.window = b.window = ten; b.window.newer = false);
        NARROWS(true, a.window = b.window = ten; a.window.newer = b.window.newer = false);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_verdict_has_its_own_name),
                cmocka_unit_test(a_grant_allows_what_it_says),
                cmocka_unit_test(terms_are_valid_up_to_their_limits_and_no_further),
                cmocka_unit_test(a_validity_is_a_second_at_least_and_a_year_at_most),
                cmocka_unit_test(a_fixed_window_is_a_day_at_least_and_in_order),
                cmocka_unit_test(the_day_of_issue_is_a_day),
                cmocka_unit_test(a_request_that_is_not_well_formed_is_invalid),
                cmocka_unit_test(a_grant_ends_by_each_of_its_ways),
                cmocka_unit_test(the_first_reason_is_the_answer),
                cmocka_unit_test(a_grant_is_valid_from_its_first_millisecond_to_its_last),
                cmocka_unit_test(a_clock_that_no_record_can_have_is_no_clock),
                cmocka_unit_test(uses_are_counted_when_a_token_is_issued),
                cmocka_unit_test(the_smaller_limit_of_uses_counts),
                cmocka_unit_test(records_need_the_detail_data_in_both_terms),
                cmocka_unit_test(a_summary_and_a_token_take_no_parameters),
                cmocka_unit_test(a_kind_that_was_not_granted_is_refused_not_cut),
                cmocka_unit_test(a_summary_is_of_cgm_and_needs_it_granted),
                cmocka_unit_test(the_stricter_of_both_terms_counts),
                cmocka_unit_test(the_last_days_include_today),
                cmocka_unit_test(today_begins_at_local_midnight),
                cmocka_unit_test(without_newer_nothing_after_the_day_of_issue_is_in_the_window),
                cmocka_unit_test(the_window_is_what_both_terms_have_in_common),
                cmocka_unit_test(days_outside_the_window_are_refused_not_cut),
                cmocka_unit_test(since_may_be_any_time_and_only_narrows),
                cmocka_unit_test(a_summary_ends_at_the_last_local_midnight),
                cmocka_unit_test(a_scope_narrows_only_where_it_lets_out_nothing_more),
                cmocka_unit_test(a_fixed_window_narrows_one_that_holds_it),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
