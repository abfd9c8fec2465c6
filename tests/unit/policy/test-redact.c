/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/policy.h"

#define LITERAL(text) (text), sizeof(text) - 1
#define NOON_MS INT64_C(1647259200000) /* 2022-03-14 12:00:00 UTC */

static const PolicyDevice device = { .model = "MiniMed 780G MMT-1885", .serial = "NG1234567H", .pseudonym = "device-7f3a" };
static PolicyRedacted redacted;

static Record cgm(void) {
        Record record = {
                .kind = RECORD_CGM,
                .unit = RECORD_UNIT_MMOL_L,
                .decimals = 1,
                .flags = RECORD_HAS_VALUE,
                .clock = RECORD_CLOCK_REPEATED,
                .value_milli = 6700,
                .offset_min = 60,
                .utc_ms = NOON_MS,
                .local_ms = NOON_MS + 3600000,
                .source = 3,
                .import = 4,
        };

        memset(record.identity, 0xab, sizeof(record.identity));
        return record;
}

static PolicyEffective all(void) {
        return (PolicyEffective) {
                .kinds = RECORD_ALL_KINDS,
                .identity = POLICY_PSEUDONYM,
                .from_local_ms = 0,
                .to_local_ms = RECORD_TIME_MAX_MS,
                .since_utc_ms = INT64_MIN,
        };
}

static bool leaves(const Record *record, PolicyEffective effective) {
        return policy_redact(record, &device, &effective, &redacted);
}

static bool field_leaves(FieldId id, PolicyEffective effective) {
        const FieldInfo *info = record_field_info(id);
        Record record = { .local_ms = NOON_MS, .utc_ms = NOON_MS };
        Payload payload = { 0 };

        record.kind = (uint8_t) __builtin_ctz(info->kinds);
        switch (info->type) {
        case FIELD_MILLI:
                payload_milli(&payload, id, -1500);
                break;
        case FIELD_UINT:
                payload_uint(&payload, id, 1500);
                break;
        case FIELD_TOKEN:
                payload_token(&payload, id, TOKEN_YES);
                break;
        case FIELD_TEXT:
        default:
                payload_text(&payload, id, LITERAL("text"));
                break;
        }
        record.payload = payload.bytes;
        record.n_payload = payload.n;
        assert_true(record_valid(&record));
        assert_true(leaves(&record, effective));
        assert_true(redacted.payload.n == 0 || redacted.payload.n == payload.n);
        assert_memory_equal(redacted.payload.bytes, payload.bytes, redacted.payload.n);
        return redacted.payload.n;
}

static void a_reading_leaves_without_what_is_internal(void **state) {
        static const uint8_t nothing[RECORD_IDENTITY_SIZE];
        Record record = cgm();

        (void) state;

        assert_true(leaves(&record, all()));
        assert_int_equal(redacted.record.kind, RECORD_CGM);
        assert_int_equal(redacted.record.unit, RECORD_UNIT_MMOL_L);
        assert_int_equal(redacted.record.decimals, 1);
        assert_int_equal(redacted.record.flags, RECORD_HAS_VALUE);
        assert_int_equal(redacted.record.clock, RECORD_CLOCK_REPEATED);
        assert_int_equal(redacted.record.value_milli, 6700);
        assert_int_equal(redacted.record.offset_min, 60);
        assert_int_equal(redacted.record.utc_ms, NOON_MS);
        assert_int_equal(redacted.record.local_ms, NOON_MS + 3600000);
        assert_memory_equal(redacted.record.identity, nothing, sizeof(nothing));
        assert_int_equal(redacted.record.source, 0);
        assert_int_equal(redacted.record.import, 0);
        assert_ptr_equal(redacted.record.payload, redacted.payload.bytes);
        assert_int_equal(redacted.record.n_payload, 0);
        assert_true(record_valid(&redacted.record));
        assert_string_equal(redacted.model, "MiniMed 780G MMT-1885");
}

static void a_serial_is_a_pseudonym_or_nothing(void **state) {
        PolicyEffective effective = all();
        Record record = cgm();

        (void) state;

        assert_true(leaves(&record, effective));
        assert_string_equal(redacted.serial, "device-7f3a");
        effective.identity = POLICY_NONE;
        assert_true(leaves(&record, effective));
        assert_null(redacted.serial);
        assert_string_equal(redacted.model, "MiniMed 780G MMT-1885");
        effective.identity = 0;
        assert_true(leaves(&record, effective));
        assert_null(redacted.serial);
        effective.identity = 3;
        assert_true(leaves(&record, effective));
        assert_null(redacted.serial);
}

static void only_the_kinds_that_were_granted_leave(void **state) {
        (void) state;

        for (unsigned granted = RECORD_CGM; granted < N_RECORD_KINDS; granted++) {
                PolicyEffective effective = all();

                effective.kinds = RECORD_KIND_BIT(granted);
                for (unsigned kind = 0; kind < 256; kind++) {
                        Record record = cgm();

                        record.kind = (uint8_t) kind;
                        assert_int_equal(leaves(&record, effective), kind == granted);
                }
        }
}

static void only_what_is_in_the_range_leaves(void **state) {
        PolicyEffective effective = all();
        Record record = cgm();

        (void) state;

        effective.from_local_ms = record.local_ms;
        assert_true(leaves(&record, effective));
        effective.from_local_ms = record.local_ms + 1;
        assert_false(leaves(&record, effective));
        effective = all();
        effective.to_local_ms = record.local_ms + 1;
        assert_true(leaves(&record, effective));
        effective.to_local_ms = record.local_ms;
        assert_false(leaves(&record, effective));
        effective = all();
        effective.since_utc_ms = record.utc_ms;
        assert_true(leaves(&record, effective));
        effective.since_utc_ms = record.utc_ms + 1;
        assert_false(leaves(&record, effective));
}

static void what_is_quarantined_never_leaves(void **state) {
        Record record = cgm();

        (void) state;

        record.flags |= RECORD_QUARANTINED;
        assert_true(record_valid(&record));
        assert_false(leaves(&record, all()));
        record.flags = RECORD_QUARANTINED;
        assert_false(leaves(&record, all()));
        record.flags = RECORD_CODE_LOW;
        assert_true(leaves(&record, all()));
}

static void a_refusal_leaves_the_answer_untouched(void **state) {
        static PolicyRedacted before;
        PolicyEffective effective = all();
        Record record = cgm();

        (void) state;

        memset(&redacted, 0x5a, sizeof(redacted));
        before = redacted;
        effective.kinds = 0;
        assert_false(leaves(&record, effective));
        effective = all();
        effective.to_local_ms = 0;
        assert_false(leaves(&record, effective));
        record.flags |= RECORD_QUARANTINED;
        assert_false(leaves(&record, all()));
        assert_memory_equal(&redacted, &before, sizeof(before));
}

/* Said once more by hand, as in test-record.c: only these fields need more than their kind. */
static void a_field_leaves_by_its_class(void **state) {
        PolicyEffective closed = all(), open = all();

        (void) state;

        open.free_text = true;
        for (unsigned id = 1; id < N_FIELDS; id++) {
                bool is_free = id == FIELD_NAME || id == FIELD_MARKER;
                bool is_never = id == FIELD_LINKED_METER || (id >= FIELD_RAW_TYPE && id <= FIELD_EXTRA);

                assert_int_equal(field_leaves(id, closed), !is_free && !is_never);
                assert_int_equal(field_leaves(id, open), !is_never);
        }
}

static void what_leaves_of_a_payload_stays_in_order(void **state) {
        PolicyEffective effective = all();
        Record record = cgm();
        Payload payload = { 0 }, expected = { 0 };

        (void) state;

        record.kind = RECORD_BOLUS;
        record.unit = RECORD_UNIT_INSULIN;
        payload_token(&payload, FIELD_TYPE, TOKEN_NORMAL);
        payload_uint(&payload, FIELD_NUMBER, 9);
        payload_text(&payload, FIELD_LINKED_METER, LITERAL("123"));
        payload_text(&payload, FIELD_NAME, LITERAL("Pizza at Anna's"));
        payload_text(&payload, FIELD_RAW_KEY, LITERAL("1/2/3"));
        payload_text(&payload, FIELD_STEP, LITERAL("0.1"));
        record.payload = payload.bytes;
        record.n_payload = payload.n;
        assert_true(record_valid(&record));

        payload_token(&expected, FIELD_TYPE, TOKEN_NORMAL);
        payload_uint(&expected, FIELD_NUMBER, 9);
        payload_text(&expected, FIELD_STEP, LITERAL("0.1"));
        memset(&redacted, 0xff, sizeof(redacted)); /* what was in it before does not matter */
        assert_true(leaves(&record, effective));
        assert_int_equal(redacted.record.n_payload, expected.n);
        assert_int_equal(redacted.payload.n, expected.n);
        assert_false(redacted.payload.overflow);
        assert_memory_equal(redacted.record.payload, expected.bytes, expected.n);
        assert_true(record_valid(&redacted.record));

        expected = (Payload) { 0 };
        payload_token(&expected, FIELD_TYPE, TOKEN_NORMAL);
        payload_uint(&expected, FIELD_NUMBER, 9);
        payload_text(&expected, FIELD_NAME, LITERAL("Pizza at Anna's"));
        payload_text(&expected, FIELD_STEP, LITERAL("0.1"));
        effective.free_text = true;
        assert_true(leaves(&record, effective));
        assert_int_equal(redacted.record.n_payload, expected.n);
        assert_memory_equal(redacted.record.payload, expected.bytes, expected.n);
}

static size_t alarm_text_leaves(const char *text, const char *serial) {
        PolicyDevice other = device;
        PolicyEffective effective = all();
        Record record = { .kind = RECORD_ALARM, .local_ms = NOON_MS, .utc_ms = NOON_MS };
        Payload payload = { 0 };

        other.serial = serial;
        effective.free_text = true;
        payload_uint(&payload, FIELD_CODE, 816);
        payload_text(&payload, FIELD_TEXT_DEVICE, text, strlen(text));
        record.payload = payload.bytes;
        record.n_payload = payload.n;
        assert_true(record_valid(&record));
        assert_true(policy_redact(&record, &other, &effective, &redacted));
        assert_memory_equal(redacted.payload.bytes, payload.bytes, 5); /* the code leaves always */
        return redacted.payload.n > 5;
}

static void a_text_that_names_the_serial_stays(void **state) {
        (void) state;

        assert_true(alarm_text_leaves("LOW RESERVOIR", "NG1234567H"));
        assert_false(alarm_text_leaves("NG1234567H", "NG1234567H"));
        assert_false(alarm_text_leaves("Pump (NG1234567H) lost", "NG1234567H"));
        assert_true(alarm_text_leaves("NG1234567", "NG1234567H"));
        assert_true(alarm_text_leaves("", "NG1234567H"));
        /* a device without a serial */
        assert_true(alarm_text_leaves("LOW RESERVOIR", ""));
        assert_true(alarm_text_leaves("LOW RESERVOIR", NULL));
}

static void a_payload_of_the_largest_size_leaves_whole_and_a_longer_one_not_at_all(void **state) {
        static char text[RECORD_TEXT_MAX];
        static uint8_t bytes[RECORD_PAYLOAD_MAX + 5];
        Record record = { .kind = RECORD_DEVICE_EVENT, .local_ms = NOON_MS, .utc_ms = NOON_MS };
        Payload payload = { 0 };

        (void) state;

        memset(text, 'x', sizeof(text));
        payload_text(&payload, FIELD_ORIGIN, text, RECORD_TEXT_MAX);
        payload_text(&payload, FIELD_REASON, text, RECORD_PAYLOAD_MAX - 3 - RECORD_TEXT_MAX - 3);
        assert_false(payload.overflow);
        assert_int_equal(payload.n, RECORD_PAYLOAD_MAX);
        memcpy(bytes, payload.bytes, payload.n);
        record.payload = bytes;
        record.n_payload = RECORD_PAYLOAD_MAX;
        assert_true(leaves(&record, all()));
        assert_int_equal(redacted.payload.n, RECORD_PAYLOAD_MAX);
        assert_memory_equal(redacted.payload.bytes, bytes, RECORD_PAYLOAD_MAX);

        bytes[RECORD_PAYLOAD_MAX] = FIELD_CODE;
        record.n_payload = RECORD_PAYLOAD_MAX + 5;
        assert_false(leaves(&record, all()));
        record.n_payload = RECORD_PAYLOAD_MAX + 1;
        assert_false(leaves(&record, all()));
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_reading_leaves_without_what_is_internal),
                cmocka_unit_test(a_serial_is_a_pseudonym_or_nothing),
                cmocka_unit_test(only_the_kinds_that_were_granted_leave),
                cmocka_unit_test(only_what_is_in_the_range_leaves),
                cmocka_unit_test(what_is_quarantined_never_leaves),
                cmocka_unit_test(a_refusal_leaves_the_answer_untouched),
                cmocka_unit_test(a_field_leaves_by_its_class),
                cmocka_unit_test(what_leaves_of_a_payload_stays_in_order),
                cmocka_unit_test(a_text_that_names_the_serial_stays),
                cmocka_unit_test(a_payload_of_the_largest_size_leaves_whole_and_a_longer_one_not_at_all),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
