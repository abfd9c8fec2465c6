/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Random (grant, record, request, now), what the policy says of each, in binary on stdout: struct Case, one after the
 * other. tests/policy-oracle/decide.py reads them and answers for itself. Arguments: number of cases, seed.
 *
 * A case begins as a likely one, at and beside boundaries more often than chance would have it, and one in five then
 * has members spoilt: with members that are random everywhere nearly every case would just be invalid.
 */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

typedef struct __attribute__((packed)) CaseTerms {
        uint32_t kinds;
        uint8_t detail, identity, free_text, window_type;
        int32_t from_day, to_day, last_days;
        uint8_t newer;
        int64_t not_before_s, expires_s;
        uint32_t uses_max;
} CaseTerms;

typedef struct __attribute__((packed)) Case {
        CaseTerms signed_terms, live_terms;
        int32_t issued_day;
        uint8_t revoked, suspended, expired;
        uint32_t uses;
        uint8_t operation;
        uint32_t request_kinds;
        uint8_t has_from, has_to, has_since;
        int32_t request_from_day, request_to_day;
        int64_t since_utc_ms;
        int64_t now_utc_ms, now_local_ms;
        uint8_t clock_behind;
        uint8_t kind, flags, field, n_field; /* the record's payload is this one field, of so many bytes */
        int64_t record_utc_ms, record_local_ms;
        /* answers */
        uint8_t verdict;
        uint32_t effective_kinds;
        uint8_t effective_identity, effective_free_text;
        int64_t from_local_ms, to_local_ms, effective_since_utc_ms;
        uint8_t leaves, field_leaves, has_serial;
} Case;

static uint64_t state;

/* splitmix64: Steele, Lea, Flood 2014, doi:10.1145/2660193.2660195 */
static uint64_t draw(void) {
        uint64_t z = state += UINT64_C(0x9e3779b97f4a7c15);

        z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
        z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
        return z ^ z >> 31;
}

static int64_t below(int64_t n) {
        return (int64_t) (draw() % (uint64_t) n);
}

static bool one_in(int64_t n) {
        return below(n) == 0;
}

static int64_t around(int64_t value) {
        return (int64_t) ((uint64_t) value + draw() % 3 - 1); /* wraps, where the value is hostile */
}

#define PICK(array) (array)[below(sizeof(array) / sizeof((array)[0]))]

static int64_t hostile_i64(void) {
        static const int64_t values[] = {
                INT64_MIN, INT64_MIN + 1, -1, 0, 1, INT64_MAX - 1, INT64_MAX, RECORD_TIME_MIN_MS - 1, RECORD_TIME_MIN_MS,
                RECORD_TIME_MAX_MS, RECORD_TIME_MAX_MS + 1, RECORD_TIME_MAX_MS / 1000, RECORD_TIME_MAX_MS / 1000 + 1,
        };

        return one_in(4) ? (int64_t) draw() : PICK(values);
}

static int32_t hostile_i32(void) {
        static const int32_t values[] = {
                INT32_MIN, INT32_MIN + 1, -1, 0, 1, 2, INT32_MAX - 1, INT32_MAX, 47481, 47482, 47483,
                POLICY_LAST_DAYS_MAX, POLICY_LAST_DAYS_MAX + 1,
        };

        return one_in(4) ? (int32_t) draw() : PICK(values);
}

static uint32_t some_kinds(void) {
        switch (below(32)) {
        case 0:
                return (uint32_t) draw();
        case 1:
                return RECORD_KIND_BIT(below(14));
        case 2:
        case 3:
        case 4:
        case 5:
                return RECORD_KIND_BIT(1 + below(N_RECORD_KINDS - 1));
        case 6:
        case 7:
        case 8:
        case 9:
                return (uint32_t) draw() & RECORD_ALL_KINDS;
        default:
                return RECORD_ALL_KINDS;
        }
}

static PolicyWindow some_window(int32_t today, int32_t issued_day) {
        static const int32_t lasts[] = { 1, 2, 3, 7, 14, 30, 90, 365, POLICY_LAST_DAYS_MAX };
        int32_t anchors[] = { today, issued_day, issued_day + 7, today - 7, today - 30 };
        PolicyWindow window = { .newer = one_in(2), .last_days = PICK(lasts) };

        window.type = one_in(2) ? POLICY_WINDOW_LAST : POLICY_WINDOW_FIXED;
        window.to_day = (int32_t) around(PICK(anchors));
        window.from_day = one_in(3) ? (int32_t) around(window.to_day) : window.to_day - (int32_t) below(60);
        return window;
}

static PolicyTerms some_terms(int32_t today, int32_t issued_day, int64_t now_s) {
        PolicyTerms terms = {
                .scope = {
                        .kinds = some_kinds(),
                        .detail = one_in(4) ? (uint8_t) (1 + below(3)) : POLICY_DATA,
                        .identity = (uint8_t) (1 + below(2)),
                        .free_text = !one_in(4),
                        .window = some_window(today, issued_day),
                },
                .not_before_s = one_in(6) ? around(now_s) : now_s - below(100 * 86400),
                .expires_s = one_in(6) ? around(now_s) : now_s + below(200 * 86400),
                .uses_max = one_in(2) ? 0 : (uint32_t) below(6),
        };

        if (one_in(10))
                terms.expires_s = around(terms.not_before_s + POLICY_FOR_MAX_S);
        return terms;
}

/* One member becomes what it should not be, or nearly so. */
static void spoil_terms(PolicyTerms *terms) {
        switch (below(9)) {
        case 0:
                terms->scope.kinds = one_in(2) ? (uint32_t) below(3) : (uint32_t) draw();
                break;
        case 1:
                terms->scope.detail = (uint8_t) below(5);
                break;
        case 2:
                terms->scope.identity = (uint8_t) below(4);
                break;
        case 3:
                terms->scope.window.type = (uint8_t) below(4);
                break;
        case 4:
                terms->scope.window.from_day = hostile_i32();
                break;
        case 5:
                terms->scope.window.to_day = hostile_i32();
                break;
        case 6:
                terms->scope.window.last_days = hostile_i32();
                break;
        case 7:
                terms->not_before_s = hostile_i64();
                terms->expires_s = one_in(2) ? hostile_i64() : (int64_t) ((uint64_t) terms->not_before_s + (uint64_t) around(1));
                break;
        default:
                terms->uses_max = one_in(2) ? (uint32_t) around(POLICY_USES_MAX) : (uint32_t) draw();
                break;
        }
}

static void spoil(PolicyGrant *grant, PolicyRequest *request, PolicyNow *now) {
        switch (below(12)) {
        case 0:
        case 1:
                spoil_terms(&grant->signed_terms);
                break;
        case 2:
        case 3:
                spoil_terms(&grant->live_terms);
                break;
        case 4:
                grant->issued_day = hostile_i32();
                break;
        case 5:
                grant->revoked = true;
                break;
        case 6:
                grant->suspended = true;
                break;
        case 7:
                grant->expired = true;
                break;
        case 8:
                now->clock_behind = true;
                break;
        case 9:
                now->utc_ms = hostile_i64();
                if (one_in(2))
                        now->local_ms = (int64_t) ((uint64_t) now->utc_ms + (uint64_t) (around(0) * 3600000));
                break;
        case 10:
                now->local_ms = one_in(2) ? hostile_i64() :
                                around((int64_t) ((uint64_t) now->utc_ms + (one_in(2) ? 1 : UINT64_MAX) * 14 * 3600000));
                break;
        default:
                request->operation = (uint8_t) below(6);
                break;
        }
}

static PolicyRequest some_request(int32_t today, const PolicyGrant *grant) {
        const PolicyWindow *window = &grant->signed_terms.scope.window;
        int32_t days[] = {
                today, window->from_day, window->to_day, grant->issued_day, today - window->last_days + 1,
                grant->issued_day - window->last_days + 1, today - 3, hostile_i32(),
        };
        PolicyRequest request = {
                .operation = (uint8_t) (one_in(4) ? POLICY_OP_TOKEN : one_in(3) ? POLICY_OP_SUMMARY : POLICY_OP_SLICE),
                .from_day = (int32_t) (uint32_t) around(PICK(days)),
                .to_day = (int32_t) (uint32_t) around(PICK(days)),
                .since_utc_ms = one_in(4) ? hostile_i64() : today * POLICY_DAY_MS - below(3 * POLICY_DAY_MS),
        };

        if (request.operation != POLICY_OP_SLICE && !one_in(4))
                return request;
        if (one_in(3))
                request.kinds = one_in(2) ? some_kinds() : grant->signed_terms.scope.kinds & grant->live_terms.scope.kinds & (uint32_t) draw();
        request.has_from = one_in(4);
        request.has_to = one_in(4);
        request.has_since = one_in(3);
        return request;
}

static Record some_record(const PolicyEffective *effective, const PolicyNow *now, Payload *payload) {
        FieldId id = (FieldId) (1 + below(N_FIELDS - 1));
        const FieldInfo *info = record_field_info(id);
        int64_t times[] = {
                effective->from_local_ms, effective->to_local_ms, now->local_ms,
                effective->from_local_ms + below(effective->to_local_ms - effective->from_local_ms + 1),
        };
        Record record = {
                .kind = (uint8_t) (one_in(3) ? below(16) : __builtin_ctz(effective->kinds)),
                .flags = (uint8_t) (one_in(8) ? RECORD_QUARANTINED | RECORD_HAS_VALUE : RECORD_HAS_VALUE),
                .local_ms = around(PICK(times)),
                .payload = payload->bytes,
        };

        record.utc_ms = one_in(2) && effective->since_utc_ms > 1 && effective->since_utc_ms < INT64_MAX ?
                        around(effective->since_utc_ms) : record.local_ms - 3600000;

        payload->n = 0;
        switch (info->type) {
        case FIELD_MILLI:
                payload_milli(payload, id, 1000);
                break;
        case FIELD_UINT:
                payload_uint(payload, id, 1000);
                break;
        case FIELD_TOKEN:
                payload_token(payload, id, TOKEN_YES);
                break;
        case FIELD_TEXT:
        default:
                payload_text(payload, id, "text", 4);
                break;
        }
        record.n_payload = payload->n;
        return record;
}

static CaseTerms case_terms(const PolicyTerms *terms) {
        const PolicyScope *scope = &terms->scope;

        return (CaseTerms) {
                scope->kinds, scope->detail, scope->identity, scope->free_text, scope->window.type,
                scope->window.from_day, scope->window.to_day, scope->window.last_days, scope->window.newer,
                terms->not_before_s, terms->expires_s, terms->uses_max,
        };
}

static Case one_case(void) {
        static const PolicyDevice device = { .model = "model", .serial = "serial", .pseudonym = "pseudonym" };
        static PolicyRedacted redacted;
        static Payload payload;
        int64_t offset_ms = around(0) * below(14 * 60 + 1) * 60000;
        int32_t today = 16000 + (int32_t) below(8000);
        PolicyNow now = { .local_ms = today * POLICY_DAY_MS + (one_in(3) ? around(0) : below(POLICY_DAY_MS)) };
        PolicyEffective effective = { .kinds = RECORD_ALL_KINDS, .from_local_ms = 0, .to_local_ms = RECORD_TIME_MAX_MS };
        PolicyRequest request;
        PolicyGrant grant;
        Record record;
        Case c;

        now.utc_ms = now.local_ms - offset_ms;
        if (one_in(4))
                now.utc_ms = now.utc_ms / 1000 * 1000; /* at the boundary of a second */
        grant = (PolicyGrant) { .issued_day = today - (one_in(3) ? (int32_t) below(3) : (int32_t) below(90)), .uses = (uint32_t) below(4) };
        grant.signed_terms = some_terms(today, grant.issued_day, now.utc_ms / 1000);
        grant.live_terms = one_in(2) ? grant.signed_terms : some_terms(today, grant.issued_day, now.utc_ms / 1000);
        request = some_request(today, &grant);
        while (one_in(5))
                spoil(&grant, &request, &now);

        c = (Case) {
                .signed_terms = case_terms(&grant.signed_terms),
                .live_terms = case_terms(&grant.live_terms),
                .issued_day = grant.issued_day,
                .revoked = grant.revoked,
                .suspended = grant.suspended,
                .expired = grant.expired,
                .uses = grant.uses,
                .operation = request.operation,
                .request_kinds = request.kinds,
                .has_from = request.has_from,
                .has_to = request.has_to,
                .has_since = request.has_since,
                .request_from_day = request.from_day,
                .request_to_day = request.to_day,
                .since_utc_ms = request.since_utc_ms,
                .now_utc_ms = now.utc_ms,
                .now_local_ms = now.local_ms,
                .clock_behind = now.clock_behind,
        };
        c.verdict = (uint8_t) policy_decide(&grant, &request, now, &effective);
        if (c.verdict != POLICY_ALLOW)
                return c;

        c.effective_kinds = effective.kinds;
        c.effective_identity = effective.identity;
        c.effective_free_text = effective.free_text;
        c.from_local_ms = effective.from_local_ms;
        c.to_local_ms = effective.to_local_ms;
        c.effective_since_utc_ms = effective.since_utc_ms;

        record = some_record(&effective, &now, &payload);
        c.kind = record.kind;
        c.flags = record.flags;
        c.field = payload.bytes[0];
        c.n_field = (uint8_t) payload.n;
        c.record_utc_ms = record.utc_ms;
        c.record_local_ms = record.local_ms;
        c.leaves = policy_redact(&record, &device, &effective, &redacted);
        if (c.leaves) {
                c.field_leaves = redacted.record.n_payload == payload.n;
                c.has_serial = redacted.serial == device.pseudonym;
                if ((redacted.record.n_payload && !c.field_leaves) || (redacted.serial && !c.has_serial))
                        abort();
        }
        return c;
}

int main(int argc, char **argv) {
        uint64_t n = argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000;

        state = argc > 2 ? strtoull(argv[2], NULL, 10) : 1;
        for (; n; n--) {
                Case c = one_case();

                if (fwrite(&c, sizeof(c), 1, stdout) != 1)
                        return EXIT_FAILURE;
        }
        return fflush(stdout) ? EXIT_FAILURE : EXIT_SUCCESS;
}
