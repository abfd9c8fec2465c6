/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/record.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define LITERAL(text) (text), sizeof(text) - 1

/* 2022-03-14 12:00:00 UTC */
#define NOON_MS INT64_C(1647259200000)

static Record cgm(void) {
        return (Record) {
                .kind = RECORD_CGM,
                .unit = RECORD_UNIT_MG_DL,
                .flags = RECORD_HAS_VALUE,
                .value_milli = 120000,
                .offset_min = 60,
                .utc_ms = NOON_MS,
                .local_ms = NOON_MS + 3600000,
        };
}

static Record of(RecordKind kind, RecordUnit unit, bool has_value) {
        Record record = cgm();

        record.kind = (uint8_t) kind;
        record.unit = (uint8_t) unit;
        record.flags = has_value ? RECORD_HAS_VALUE : 0;
        record.value_milli = has_value ? 1000 : 0;
        return record;
}

static bool valid_with(RecordKind kind, const void *payload, size_t n) {
        Record record = of(kind, RECORD_UNIT_NONE, false);

        record.payload = payload;
        record.n_payload = n;
        return record_valid(&record);
}

/* A note with one text. The byte after the text is a control character, so that reading too far shows. */
static bool text_valid(const char *text, size_t n_text) {
        Payload payload = { 0 };

        memset(payload.bytes, 0x01, sizeof(payload.bytes));
        payload_text(&payload, FIELD_MARKER, text, n_text);
        assert_false(payload.overflow);
        return valid_with(RECORD_NOTE, payload.bytes, payload.n);
}

static void every_name_is_there_and_unique(void **state) {
        (void) state;

        for (unsigned kind = RECORD_CGM; kind < N_RECORD_KINDS; kind++) {
                const char *name = record_kind_name(kind);

                assert_non_null(name);
                assert_int_equal(record_kind_from_name(name, strlen(name)), kind);
        }
        for (unsigned unit = 0; unit < N_RECORD_UNITS; unit++)
                assert_non_null(record_unit_name(unit));
        for (unsigned clock = 0; clock < N_RECORD_CLOCKS; clock++)
                assert_non_null(record_clock_name(clock));
        for (unsigned a = 1; a < N_TOKENS; a++) {
                assert_non_null(record_token_name(a));
                for (unsigned b = 1; b < a; b++)
                        assert_string_not_equal(record_token_name(a), record_token_name(b));
        }
        for (unsigned a = 1; a < N_FIELDS; a++) {
                assert_non_null(record_field_info(a));
                for (unsigned b = 1; b < a; b++)
                        assert_string_not_equal(record_field_info(a)->name, record_field_info(b)->name);
        }

        assert_string_equal(record_kind_name(RECORD_DEVICE_EVENT), "device_event");
        assert_string_equal(record_unit_name(RECORD_UNIT_NONE), "");
        assert_string_equal(record_unit_name(RECORD_UNIT_MMOL_L), "mmol/L");
        assert_string_equal(record_token_name(TOKEN_SELECTED_ONLY), "selected_only");
        assert_string_equal(record_clock_name(RECORD_CLOCK_UNSET), "unset");
}

static void what_is_not_in_a_table_has_no_name(void **state) {
        static const unsigned none[] = { 255, 256, 65536, UINT32_MAX };

        (void) state;

        assert_null(record_kind_name(0));
        assert_null(record_kind_name(N_RECORD_KINDS));
        assert_null(record_kind_name(N_RECORD_KINDS + 1));
        assert_null(record_unit_name(N_RECORD_UNITS));
        assert_null(record_token_name(0));
        assert_null(record_token_name(N_TOKENS));
        assert_null(record_clock_name(N_RECORD_CLOCKS));
        assert_null(record_field_info(0));
        assert_null(record_field_info(N_FIELDS));
        for (size_t i = 0; i < N_ELEMENTS(none); i++) {
                assert_null(record_kind_name(none[i]));
                assert_null(record_unit_name(none[i]));
                assert_null(record_token_name(none[i]));
                assert_null(record_clock_name(none[i]));
                assert_null(record_field_info(none[i]));
        }
        assert_int_equal(record_kind_from_name(LITERAL("")), 0);
        assert_int_equal(record_kind_from_name(LITERAL("cg")), 0);
        assert_int_equal(record_kind_from_name(LITERAL("cgmx")), 0);
        assert_int_equal(record_kind_from_name(LITERAL("xyz")), 0);
        assert_int_equal(record_kind_from_name("cgmx", 3), RECORD_CGM);
}

/* The classes once more, by hand: a change of what may leave has to be made twice. */
static void every_field_has_the_class_that_the_policy_promises(void **state) {
        static const FieldClass not_clinical[N_FIELDS] = {
                [FIELD_LINKED_METER] = FIELD_SERIAL,
                [FIELD_NAME] = FIELD_FREE_TEXT,
                [FIELD_MARKER] = FIELD_FREE_TEXT,
                [FIELD_RAW_TYPE] = FIELD_INTERNAL,
                [FIELD_RAW_VALUES] = FIELD_INTERNAL,
                [FIELD_RAW_KEY] = FIELD_INTERNAL,
                [FIELD_EXTRA] = FIELD_INTERNAL,
        };

        (void) state;

        for (unsigned id = 1; id < N_FIELDS; id++) {
                const FieldInfo *info = record_field_info(id);

                assert_int_equal(info->class, not_clinical[id] ? not_clinical[id] : FIELD_CLINICAL);
                assert_true(info->type >= FIELD_MILLI && info->type <= FIELD_TEXT);
                assert_int_not_equal(info->kinds, 0);
                assert_int_equal(info->kinds & ~RECORD_ALL_KINDS, 0);
        }
}

static void a_plain_reading_is_valid(void **state) {
        Record record = cgm();

        (void) state;

        assert_true(record_valid(&record));
}

#define REFUSED(member, bad)                   \
        do {                                   \
                Record _record = cgm();        \
                _record.member = (bad);        \
                assert_false(record_valid(&_record)); \
        } while (0)

#define ACCEPTED(member, good)                 \
        do {                                   \
                Record _record = cgm();        \
                _record.member = (good);       \
                assert_true(record_valid(&_record)); \
        } while (0)

static void a_number_out_of_range_makes_a_record_invalid(void **state) {
        (void) state;

        REFUSED(kind, 0);
        REFUSED(kind, N_RECORD_KINDS);
        REFUSED(kind, 255);
        REFUSED(unit, N_RECORD_UNITS);
        REFUSED(unit, 255);
        ACCEPTED(decimals, 3);
        REFUSED(decimals, 4);
        ACCEPTED(clock, N_RECORD_CLOCKS - 1);
        REFUSED(clock, N_RECORD_CLOCKS);
        ACCEPTED(flags, RECORD_HAS_VALUE | RECORD_QUARANTINED);
        REFUSED(flags, RECORD_HAS_VALUE | 1 << 6);
        ACCEPTED(value_milli, INT32_MAX);
        ACCEPTED(value_milli, INT32_MIN);
}

static bool valid_at(int64_t utc_ms, int offset_min) {
        Record record = cgm();

        record.utc_ms = utc_ms;
        record.offset_min = (int16_t) offset_min;
        record.local_ms = utc_ms + offset_min * INT64_C(60000);
        return record_valid(&record);
}

static void times_are_valid_up_to_their_limits_and_no_further(void **state) {
        (void) state;

        assert_true(valid_at(RECORD_TIME_MIN_MS, 0));
        assert_false(valid_at(RECORD_TIME_MIN_MS - 1, 0));
        assert_true(valid_at(RECORD_TIME_MAX_MS, 0));
        assert_false(valid_at(RECORD_TIME_MAX_MS + 1, 0));
        /* utc and local each */
        assert_false(valid_at(RECORD_TIME_MIN_MS, -1));
        assert_false(valid_at(RECORD_TIME_MIN_MS - 60000, 1));
        assert_false(valid_at(RECORD_TIME_MAX_MS, 1));
        assert_false(valid_at(RECORD_TIME_MAX_MS + 60000, -1));
        REFUSED(utc_ms, INT64_MIN);
        REFUSED(utc_ms, INT64_MAX);
        REFUSED(local_ms, INT64_MIN);
        REFUSED(local_ms, INT64_MAX);
        /* offsets */
        assert_true(valid_at(NOON_MS, RECORD_OFFSET_MAX_MIN));
        assert_false(valid_at(NOON_MS, RECORD_OFFSET_MAX_MIN + 1));
        assert_true(valid_at(NOON_MS, -RECORD_OFFSET_MAX_MIN));
        assert_false(valid_at(NOON_MS, -RECORD_OFFSET_MAX_MIN - 1));
        /* local = UTC + offset */
        REFUSED(local_ms, NOON_MS + 3600001);
        REFUSED(local_ms, NOON_MS + 3599999);
        REFUSED(local_ms, NOON_MS);
}

static void a_value_is_in_a_unit_of_its_kind(void **state) {
        static const struct {
                RecordKind kind;
                const char *with, *without; /* units by their number */
        } rows[] = {
                { RECORD_CGM, "12", "012" },
                { RECORD_FINGERSTICK, "12", "012" },
                { RECORD_CALIBRATION, "12", "012" },
                { RECORD_BOLUS, "3", "03" },
                { RECORD_BASAL, "47", "047" },
                { RECORD_CARBS, "56", "056" },
                { RECORD_WIZARD, "3", "03" },
                { RECORD_SETTINGS, "01234567", "01234567" },
                { RECORD_ALARM, "", "0" },
                { RECORD_DEVICE_EVENT, "0347", "0347" },
                { RECORD_NOTE, "0356", "0356" },
        };

        (void) state;

        assert_int_equal(N_ELEMENTS(rows), N_RECORD_KINDS - 1);
        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                for (unsigned unit = 0; unit < N_RECORD_UNITS; unit++) {
                        Record with = of(rows[i].kind, unit, true);
                        Record without = of(rows[i].kind, unit, false);

                        assert_int_equal(record_valid(&with), strchr(rows[i].with, (int) ('0' + unit)) != NULL);
                        assert_int_equal(record_valid(&without), strchr(rows[i].without, (int) ('0' + unit)) != NULL);
                }
        }
}

static void a_record_without_a_value_has_the_value_0(void **state) {
        Record record = of(RECORD_BOLUS, RECORD_UNIT_NONE, false);

        (void) state;

        assert_true(record_valid(&record));
        record.value_milli = 1;
        assert_false(record_valid(&record));
        record.value_milli = -1;
        assert_false(record_valid(&record));
}

static void lo_and_hi_are_codes_of_glucose_alone_and_never_numbers(void **state) {
        static const uint8_t codes[] = { RECORD_CODE_LOW, RECORD_CODE_HIGH };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(codes); i++) {
                for (unsigned kind = RECORD_CGM; kind < N_RECORD_KINDS; kind++) {
                        Record record = of(kind, RECORD_UNIT_NONE, false);

                        record.flags = codes[i];
                        assert_int_equal(record_valid(&record), kind <= RECORD_CALIBRATION);
                        record.value_milli = 40000;
                        assert_false(record_valid(&record));
                }
                REFUSED(flags, codes[i] | RECORD_HAS_VALUE);
        }
        for (unsigned flags = 0; flags < 2; flags++) {
                Record record = of(RECORD_CGM, RECORD_UNIT_MG_DL, false);

                record.flags = (uint8_t) (RECORD_CODE_LOW | RECORD_CODE_HIGH | flags);
                assert_false(record_valid(&record));
        }
}

static void a_payload_gives_back_what_was_put_in(void **state) {
        Payload payload = { 0 };
        size_t at = 0;
        Field field;

        (void) state;

        payload_token(&payload, FIELD_TYPE, TOKEN_DUAL_SQUARE);
        payload_milli(&payload, FIELD_PROGRAMMED, INT32_MIN);
        payload_milli(&payload, FIELD_DELIVERED, 0x01020304);
        payload_uint(&payload, FIELD_NUMBER, UINT32_C(0xf1f2f3f4));
        payload_text(&payload, FIELD_ORIGIN, LITERAL("CLOSED_LOOP_FOOD_BOLUS"));
        payload_text(&payload, FIELD_REASON, NULL, 0);
        assert_false(payload.overflow);
        assert_true(valid_with(RECORD_BOLUS, payload.bytes, payload.n));

        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.id, FIELD_TYPE);
        assert_ptr_equal(field.info, record_field_info(FIELD_TYPE));
        assert_int_equal(field.number, TOKEN_DUAL_SQUARE);
        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.milli, INT32_MIN);
        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.milli, 0x01020304);
        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.number, UINT32_C(0xf1f2f3f4));
        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.n_text, 22);
        assert_memory_equal(field.text, "CLOSED_LOOP_FOOD_BOLUS", 22);
        assert_true(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.id, FIELD_REASON);
        assert_int_equal(field.n_text, 0);
        assert_int_equal(at, payload.n);
        assert_false(record_field_next(payload.bytes, payload.n, &at, &field));
        assert_int_equal(field.id, FIELD_REASON);
}

static void a_payload_has_the_bytes_that_the_format_says(void **state) {
        static const uint8_t expected[] = {
                FIELD_TYPE, TOKEN_NORMAL, FIELD_PROGRAMMED, 0xc4, 0x09, 0, 0, FIELD_NUMBER, 0x34, 0x12, 0, 0,
                FIELD_ORIGIN, 2, 0, 'o', 'k',
        };
        Payload payload = { 0 };

        (void) state;

        payload_token(&payload, FIELD_TYPE, TOKEN_NORMAL);
        payload_milli(&payload, FIELD_PROGRAMMED, 2500);
        payload_uint(&payload, FIELD_NUMBER, 0x1234);
        payload_text(&payload, FIELD_ORIGIN, LITERAL("ok"));
        assert_int_equal(payload.n, sizeof(expected));
        assert_memory_equal(payload.bytes, expected, sizeof(expected));
}

static void a_payload_cut_anywhere_but_between_fields_is_invalid(void **state) {
        Payload payload = { 0 };
        size_t whole[5] = { 0 };

        (void) state;

        payload_token(&payload, FIELD_TYPE, TOKEN_NORMAL);
        whole[1] = payload.n;
        payload_milli(&payload, FIELD_PROGRAMMED, 2500);
        whole[2] = payload.n;
        payload_uint(&payload, FIELD_NUMBER, 7);
        whole[3] = payload.n;
        payload_text(&payload, FIELD_ORIGIN, LITERAL("text"));
        whole[4] = payload.n;

        for (size_t n = 0; n <= payload.n; n++) {
                bool is_whole = false;

                for (size_t i = 0; i < N_ELEMENTS(whole); i++)
                        is_whole |= n == whole[i];
                assert_int_equal(valid_with(RECORD_BOLUS, payload.bytes, n), is_whole);
        }
}

static void a_walk_never_leaves_the_payload(void **state) {
        static const uint8_t too_long[] = { FIELD_MARKER, 3, 0, 'a', 'b' };
        static const uint8_t long_high_byte[] = { FIELD_MARKER, 2, 1, 'a', 'b' };
        static const uint8_t unknown[] = { N_FIELDS, 0, 0 };
        static const uint8_t zero[] = { 0 };
        size_t at = 0;
        Field field = { .id = 99 };

        (void) state;

        assert_false(record_field_next(too_long, sizeof(too_long), &at, &field));
        assert_false(record_field_next(long_high_byte, sizeof(long_high_byte), &at, &field));
        assert_false(record_field_next(unknown, sizeof(unknown), &at, &field));
        assert_false(record_field_next(zero, sizeof(zero), &at, &field));
        assert_int_equal(at, 0);
        at = 6;
        assert_false(record_field_next(too_long, sizeof(too_long), &at, &field));
        at = SIZE_MAX;
        assert_false(record_field_next(too_long, sizeof(too_long), &at, &field));
        assert_int_equal(at, SIZE_MAX);
        assert_int_equal(field.id, 99);

        assert_false(valid_with(RECORD_NOTE, too_long, sizeof(too_long)));
        assert_false(valid_with(RECORD_NOTE, long_high_byte, sizeof(long_high_byte)));
        assert_false(valid_with(RECORD_NOTE, unknown, sizeof(unknown)));
        assert_false(valid_with(RECORD_NOTE, zero, sizeof(zero)));
}

static void fields_are_in_strictly_ascending_order(void **state) {
        static const uint8_t ascending[] = { FIELD_DURATION_S, 1, 0, 0, 0, FIELD_NUMBER, 1, 0, 0, 0 };
        static const uint8_t twice[] = { FIELD_NUMBER, 1, 0, 0, 0, FIELD_NUMBER, 1, 0, 0, 0 };
        static const uint8_t descending[] = { FIELD_NUMBER, 1, 0, 0, 0, FIELD_DURATION_S, 1, 0, 0, 0 };

        (void) state;

        assert_true(valid_with(RECORD_BOLUS, ascending, sizeof(ascending)));
        assert_false(valid_with(RECORD_BOLUS, twice, sizeof(twice)));
        assert_false(valid_with(RECORD_BOLUS, descending, sizeof(descending)));
}

static void a_field_belongs_to_the_kinds_of_its_row_and_no_other(void **state) {
        (void) state;

        for (unsigned id = 1; id < N_FIELDS; id++) {
                const FieldInfo *info = record_field_info(id);
                uint8_t bytes[5] = { (uint8_t) id, info->type == FIELD_TOKEN };
                size_t n = info->type == FIELD_TOKEN ? 2 : info->type == FIELD_TEXT ? 3 : 5;

                for (unsigned kind = RECORD_CGM; kind < N_RECORD_KINDS; kind++)
                        assert_int_equal(valid_with(kind, bytes, n), (info->kinds & RECORD_KIND_BIT(kind)) != 0);
        }
}

static void an_unknown_token_makes_a_record_invalid(void **state) {
        (void) state;

        for (unsigned token = 0; token < 256; token++) {
                uint8_t bytes[] = { FIELD_TYPE, (uint8_t) token };

                assert_int_equal(valid_with(RECORD_BOLUS, bytes, sizeof(bytes)), token >= 1 && token < N_TOKENS);
        }
}

static void text_is_utf8_in_its_shortest_form(void **state) {
        static const char *const good[] = {
                "", "a", "Gem\xc3\xbcse \xe2\x84\xa2", "\xc2\xa0", "\xdf\xbf", "\xe0\xa0\x80", "\xed\x9f\xbf", "\xee\x80\x80",
                "\xef\xbf\xbf", "\xf0\x90\x80\x80", "\xf4\x8f\xbf\xbf", "\xf0\x9f\x8d\x95z", "~", " ",
        };
        static const char *const bad[] = {
                "\x80", "\xbf", "a\x80", "\xc0\x80", "\xc1\xbf", "\xc3", "\xc3z", "\xc3\xc3", "\xe0\x9f\xbf", "\xe2\x84",
                "\xe2z\x84", "\xe2\x84z", "\xed\xa0\x80", "\xed\xbf\xbf", "\xf0\x8f\xbf\xbf", "\xf0\x9f\x8d", "\xf4\x90\x80\x80",
                "\xf7\xbf\xbf\xbf", "\xf8\x88\x80\x80\x80", "\xfe", "\xff", "ok\xff",
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(good); i++)
                assert_true(text_valid(good[i], strlen(good[i])));
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_false(text_valid(bad[i], strlen(bad[i])));
}

static void text_has_no_control_character_but_tab(void **state) {
        (void) state;

        for (unsigned c = 0; c < 0x80; c++) {
                char text[] = { 'a', (char) c, 'b' };

                assert_int_equal(text_valid(text, sizeof(text)), (c >= 0x20 && c != 0x7f) || c == '\t');
        }
        for (unsigned c = 0x80; c < 0xc0; c++) {
                char text[] = { '\xc2', (char) c };

                assert_int_equal(text_valid(text, sizeof(text)), c >= 0xa0);
        }
        /* TAB does not end the check, nor does it in a longer form */
        assert_false(text_valid(LITERAL("\t\x01")));
        assert_false(text_valid(LITERAL("\t\x80")));
}

static void a_text_field_ends_at_its_limit(void **state) {
        static char text[RECORD_TEXT_MAX + 1];
        static uint8_t bytes[3 + RECORD_TEXT_MAX + 1];
        Payload payload = { 0 };

        (void) state;

        memset(text, 'x', sizeof(text));
        payload_text(&payload, FIELD_MARKER, text, RECORD_TEXT_MAX);
        assert_false(payload.overflow);
        assert_true(valid_with(RECORD_NOTE, payload.bytes, payload.n));

        memcpy(bytes, payload.bytes, payload.n);
        bytes[1]++; /* 2,049 */
        bytes[sizeof(bytes) - 1] = 'x';
        assert_false(valid_with(RECORD_NOTE, bytes, sizeof(bytes)));

        payload = (Payload) { 0 };
        payload_text(&payload, FIELD_MARKER, text, RECORD_TEXT_MAX + 1);
        assert_true(payload.overflow);
        assert_int_equal(payload.n, 0);
        payload = (Payload) { 0 };
        payload_text(&payload, FIELD_MARKER, text, SIZE_MAX);
        assert_true(payload.overflow);
}

static void a_payload_ends_at_its_limit(void **state) {
        enum { REST = RECORD_PAYLOAD_MAX - 3 - RECORD_TEXT_MAX - 3 };
        static uint8_t longer[RECORD_PAYLOAD_MAX + 3];
        static char text[RECORD_TEXT_MAX];
        Payload payload = { 0 };

        (void) state;

        memset(text, 'x', sizeof(text));
        payload_text(&payload, FIELD_RAW_TYPE, text, RECORD_TEXT_MAX);
        payload_text(&payload, FIELD_RAW_VALUES, text, REST);
        assert_false(payload.overflow);
        assert_int_equal(payload.n, RECORD_PAYLOAD_MAX);
        assert_true(valid_with(RECORD_NOTE, payload.bytes, payload.n));

        /* one field more is well formed but too long */
        memcpy(longer, payload.bytes, RECORD_PAYLOAD_MAX);
        memcpy(longer + RECORD_PAYLOAD_MAX, (uint8_t[]) { FIELD_RAW_KEY, 0, 0 }, 3);
        assert_false(valid_with(RECORD_NOTE, longer, sizeof(longer)));
        longer[3 + RECORD_TEXT_MAX + 1]++;
        longer[RECORD_PAYLOAD_MAX] = 'x';
        assert_false(valid_with(RECORD_NOTE, longer, RECORD_PAYLOAD_MAX + 1));

        payload = (Payload) { 0 };
        payload_text(&payload, FIELD_RAW_TYPE, text, RECORD_TEXT_MAX);
        payload_text(&payload, FIELD_RAW_VALUES, text, REST + 1);
        assert_true(payload.overflow);
        assert_int_equal(payload.n, 3 + RECORD_TEXT_MAX);
}

static void a_field_out_of_order_or_of_another_type_marks_the_payload(void **state) {
        static const Payload empty;
        Payload payload;

        (void) state;

        payload = empty;
        payload_uint(&payload, FIELD_NUMBER, 1);
        payload_uint(&payload, FIELD_NUMBER, 1);
        assert_true(payload.overflow);
        assert_int_equal(payload.n, 5);
        payload = empty;
        payload_uint(&payload, FIELD_NUMBER, 1);
        payload_uint(&payload, FIELD_DURATION_S, 1);
        assert_true(payload.overflow);
        payload = empty;
        payload_uint(&payload, FIELD_DURATION_S, 1);
        payload_uint(&payload, FIELD_NUMBER, 1);
        payload_uint(&payload, FIELD_DURATION_S, 1);
        assert_true(payload.overflow);
        /* it stays marked, and takes nothing more */
        payload_uint(&payload, FIELD_INDEX, 1);
        assert_true(payload.overflow);
        assert_int_equal(payload.n, 10);

        payload = empty;
        payload_milli(&payload, FIELD_NUMBER, 1);
        assert_true(payload.overflow);
        payload = empty;
        payload_token(&payload, FIELD_NUMBER, TOKEN_YES);
        assert_true(payload.overflow);
        payload = empty;
        payload_text(&payload, FIELD_NUMBER, LITERAL("1"));
        assert_true(payload.overflow);
        payload = empty;
        payload_uint(&payload, FIELD_ISIG, 1);
        assert_true(payload.overflow);
        payload = empty;
        payload_uint(&payload, N_FIELDS, 1);
        assert_true(payload.overflow);
        assert_int_equal(payload.n, 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_name_is_there_and_unique),
                cmocka_unit_test(what_is_not_in_a_table_has_no_name),
                cmocka_unit_test(every_field_has_the_class_that_the_policy_promises),
                cmocka_unit_test(a_plain_reading_is_valid),
                cmocka_unit_test(a_number_out_of_range_makes_a_record_invalid),
                cmocka_unit_test(times_are_valid_up_to_their_limits_and_no_further),
                cmocka_unit_test(a_value_is_in_a_unit_of_its_kind),
                cmocka_unit_test(a_record_without_a_value_has_the_value_0),
                cmocka_unit_test(lo_and_hi_are_codes_of_glucose_alone_and_never_numbers),
                cmocka_unit_test(a_payload_gives_back_what_was_put_in),
                cmocka_unit_test(a_payload_has_the_bytes_that_the_format_says),
                cmocka_unit_test(a_payload_cut_anywhere_but_between_fields_is_invalid),
                cmocka_unit_test(a_walk_never_leaves_the_payload),
                cmocka_unit_test(fields_are_in_strictly_ascending_order),
                cmocka_unit_test(a_field_belongs_to_the_kinds_of_its_row_and_no_other),
                cmocka_unit_test(an_unknown_token_makes_a_record_invalid),
                cmocka_unit_test(text_is_utf8_in_its_shortest_form),
                cmocka_unit_test(text_has_no_control_character_but_tab),
                cmocka_unit_test(a_text_field_ends_at_its_limit),
                cmocka_unit_test(a_payload_ends_at_its_limit),
                cmocka_unit_test(a_field_out_of_order_or_of_another_type_marks_the_payload),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
