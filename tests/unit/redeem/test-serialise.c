/* SPDX-License-Identifier: Apache-2.0 */

#include <jansson.h>

#include "daemon/core/serialise.h"
#include "tools.h"

#define TIME_MS INT64_C(1647237350000) /* 2022-03-14T05:55:50Z */

static Payload payload;

static Record cgm(void) {
        return (Record) {
                .kind = RECORD_CGM,
                .unit = RECORD_UNIT_MMOL_L,
                .decimals = 1,
                .flags = RECORD_HAS_VALUE,
                .offset_min = 60,
                .value_milli = 6700,
                .utc_ms = TIME_MS,
                .local_ms = TIME_MS + 3600000,
        };
}

static const char *line_of(Record record, const char *model, const char *serial) {
        static Text text;

        record.payload = payload.bytes;
        record.n_payload = payload.n;
        assert_true(record_valid(&record));
        text_clear(&text);
        ok(serialise_ndjson(&text, &record, model, serial));
        ok(text_append(&text, "", 1));
        return text.bytes;
}

static const char *row_of(Record record, const char *model, const char *serial, uint32_t kinds, bool internal) {
        static Text text;

        record.payload = payload.bytes;
        record.n_payload = payload.n;
        text_clear(&text);
        ok(serialise_csv(&text, &record, model, serial, kinds, internal));
        ok(text_append(&text, "", 1));
        return text.bytes;
}

static void a_reading_is_one_line(void **state) {
        Record record = cgm();

        (void) state;
        payload.n = 0;
        assert_string_equal(line_of(record, NULL, NULL),
                            "{\"kind\":\"cgm\",\"time\":\"2022-03-14T05:55:50Z\",\"local_time\":\"2022-03-14T06:55:50\",\"value\":6.7,\"unit\":\"mmol/L\"}\n");
        record.utc_ms += 7;
        record.local_ms += 7;
        record.value_milli = 10000;
        record.clock = RECORD_CLOCK_REPEATED;
        record.flags |= RECORD_QUARANTINED;
        assert_string_equal(line_of(record, "Model \"X\"", "d-1"),
                            "{\"kind\":\"cgm\",\"time\":\"2022-03-14T05:55:50.007Z\",\"local_time\":\"2022-03-14T06:55:50.007\",\"value\":10.0,"
                            "\"unit\":\"mmol/L\",\"clock\":\"repeated\",\"quarantined\":true,\"device\":\"Model \\\"X\\\"\",\"serial\":\"d-1\"}\n");
}

static void what_the_device_could_not_measure_is_a_code(void **state) {
        Record record = cgm();

        (void) state;
        payload.n = 0;
        record.flags = RECORD_CODE_LOW;
        record.value_milli = 0;
        record.decimals = 0;
        assert_non_null(strstr(line_of(record, NULL, NULL), "\"value\":null,\"unit\":\"mmol/L\",\"code\":\"LO\"}"));
        record.flags = RECORD_CODE_HIGH;
        assert_non_null(strstr(line_of(record, NULL, NULL), "\"code\":\"HI\"}"));
}

static void numbers_have_the_decimals_of_the_device(void **state) {
        static const struct {
                int32_t milli;
                uint8_t decimals;
                const char *text;
        } known[] = {
                { 6700, 1, ":6.7," }, { 6700, 2, ":6.70," }, { 6700, 3, ":6.700," }, { 120000, 0, ":120," }, { 50, 2, ":0.05," },
                { 1, 3, ":0.001," }, { 6750, 1, ":6.75," }, { 5, 0, ":0.005," }, { -1500, 1, ":-1.5," }, { 0, 0, ":0," }, { 0, 2, ":0.00," },
                { INT32_MAX, 3, ":2147483.647," }, { INT32_MIN, 3, ":-2147483.648," },
        };

        (void) state;
        payload.n = 0;
        for (size_t i = 0; i < N_ELEMENTS(known); i++) {
                Record record = cgm();
                Text text = {0};

                record.value_milli = known[i].milli;
                record.decimals = known[i].decimals;
                ok(serialise_ndjson(&text, &record, NULL, NULL));
                ok(text_append(&text, "", 1));
                if (!strstr(text.bytes, known[i].text))
                        fail_msg("%s is not in %s", known[i].text, text.bytes);
                text_done(&text);
        }
}

static void fields_follow_in_the_order_of_their_numbers(void **state) {
        Record record = cgm();

        (void) state;
        record.kind = RECORD_BOLUS;
        record.unit = RECORD_UNIT_INSULIN;
        record.value_milli = 1250;
        record.decimals = 2;
        payload = (Payload) {0};
        payload_token(&payload, FIELD_TYPE, TOKEN_DUAL_NORMAL);
        payload_milli(&payload, FIELD_PROGRAMMED, 1300);
        payload_uint(&payload, FIELD_NUMBER, 4294967295);
        payload_text(&payload, FIELD_ORIGIN, "A\t\"B\"\\", 6);
        assert_false(payload.overflow);
        assert_non_null(strstr(line_of(record, NULL, NULL),
                               "\"value\":1.25,\"unit\":\"U\",\"type\":\"dual_normal\",\"programmed\":1.3,\"number\":4294967295,\"origin\":\"A\\t\\\"B\\\"\\\\\"}\n"));
}

static void an_alarm_has_no_value_and_no_unit(void **state) {
        Record record = cgm();

        (void) state;
        record.kind = RECORD_ALARM;
        record.unit = RECORD_UNIT_NONE;
        record.flags = 0;
        record.value_milli = 0;
        record.decimals = 0;
        payload = (Payload) {0};
        payload_uint(&payload, FIELD_CODE, 816);
        assert_string_equal(line_of(record, NULL, NULL),
                            "{\"kind\":\"alarm\",\"time\":\"2022-03-14T05:55:50Z\",\"local_time\":\"2022-03-14T06:55:50\",\"code\":816}\n");
        assert_non_null(strstr(row_of(record, NULL, NULL, RECORD_KIND_BIT(RECORD_ALARM), false), ",,,816,"));
}

/* The longest payload there can be, of what needs the most room. */
static void no_record_needs_more_than_there_is(void **state) {
        char long_text[RECORD_TEXT_MAX], model[POLICY_MODEL_MAX], serial[POLICY_SERIAL_MAX];
        cleanup(json_decrefp) json_t *json = NULL;
        Record record = cgm();
        Text text = {0};

        (void) state;
        memset(long_text, '"', sizeof(long_text));
        memset(model, '"', sizeof(model) - 1);
        memset(serial, '\\', sizeof(serial) - 1);
        model[sizeof(model) - 1] = serial[sizeof(serial) - 1] = '\0';
        record.kind = RECORD_NOTE;
        record.unit = RECORD_UNIT_NONE;
        record.flags = 0;
        record.value_milli = 0;
        record.decimals = 0;
        payload = (Payload) {0};
        payload_text(&payload, FIELD_MARKER, long_text, RECORD_TEXT_MAX);
        payload_text(&payload, FIELD_EXTRA, long_text, RECORD_PAYLOAD_MAX - RECORD_TEXT_MAX - 6);
        assert_false(payload.overflow);
        assert_int_equal(payload.n, RECORD_PAYLOAD_MAX);
        record.payload = payload.bytes;
        record.n_payload = payload.n;
        ok(serialise_ndjson(&text, &record, model, serial));
        assert_true(text.n <= SERIALISE_MAX);
        json = json_loadb(text.bytes, text.n, JSON_REJECT_DUPLICATES, NULL);
        assert_non_null(json);
        assert_int_equal(json_string_length(json_object_get(json, "marker")), RECORD_TEXT_MAX);
        text_clear(&text);
        ok(serialise_csv(&text, &record, model, serial, RECORD_ALL_KINDS, true));
        assert_true(text.n <= SERIALISE_MAX);
        text_done(&text);
}

/* Cells of a row, quotes taken into account. */
static unsigned n_cells(const char *row) {
        bool quoted = false;
        unsigned n = 1;

        for (; *row && (quoted || *row != '\r'); row++) {
                if (*row == '"')
                        quoted = !quoted;
                n += *row == ',' && !quoted;
        }
        assert_string_equal(row, "\r\n");
        return n;
}

static void every_row_has_the_cells_of_the_header(void **state) {
        (void) state;
        payload.n = 0;
        for (unsigned kind = 0; kind < N_RECORD_KINDS; kind++)
                for (unsigned internal = 0; internal < 2; internal++) {
                        uint32_t kinds = kind == 0 ? RECORD_ALL_KINDS : RECORD_KIND_BIT(kind);
                        Record record = cgm();
                        Text text = {0};

                        if (kind > 0)
                                record.kind = (uint8_t) kind;
                        ok(serialise_csv_header(&text, kinds, internal));
                        ok(text_append(&text, "", 1));
                        assert_int_equal(n_cells(text.bytes), n_cells(row_of(record, "M", "S", kinds, internal)));
                        assert_int_equal(!strstr(text.bytes, "linked_meter"), !internal);
                        assert_int_equal(!strstr(text.bytes, "raw_type"), !internal);
                        text_done(&text);
                }
}

static void a_cell_is_never_a_formula(void **state) {
        static const struct {
                const char *text, *cell;
        } known[] = {
                { "=1+1", ",'=1+1," }, { "+1", ",'+1," }, { "-1", ",'-1," }, { "@A1", ",'@A1," }, { "\t=1", ",'\t=1," }, { "a=1", ",a=1," },
                { "a,b", ",\"a,b\"," }, { "say \"x\"", ",\"say \"\"x\"\"\"," }, { "=HYPERLINK(\"a\",\"b\")", ",\"'=HYPERLINK(\"\"a\"\",\"\"b\"\")\"," },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(known); i++) {
                Record record = cgm();
                const char *row;

                record.kind = RECORD_NOTE;
                record.unit = RECORD_UNIT_NONE;
                record.flags = 0;
                payload = (Payload) {0};
                payload_text(&payload, FIELD_MARKER, known[i].text, strlen(known[i].text));
                row = row_of(record, known[i].text, NULL, RECORD_KIND_BIT(RECORD_NOTE), false);
                if (!strstr(row, known[i].cell))
                        fail_msg("%s is not in %s", known[i].cell, row);
                /* the model of a device, too */
                assert_non_null(strstr(strstr(row, known[i].cell) + 1, known[i].cell));
        }
}

static void a_summary_is_its_numbers(void **state) {
        PolicySummary summary = {
                .from_day = 18993, .to_day = 19064, .n_readings = 3, .n_days = 2, .n_codes = 1, .band = { 1, 0, 2, 0, 1 },
                .sum_milli_mgdl = 370000,
        };
        Text text = {0};

        (void) state;
        ok(serialise_summary(&text, &summary));
        ok(text_append(&text, "", 1));
        assert_string_equal(text.bytes, "{\"notice\":\"" SERIALISE_NOTICE "\",\"from\":\"2022-01-01\",\"to\":\"2022-03-13\",\"days\":2,\"readings\":3,"
                                        "\"codes\":1,\"mean\":123.3,\"unit\":\"mg/dL\",\"bands\":{\"very_low\":1,\"low\":0,\"target\":2,\"high\":0,\"very_high\":1}}\n");
        summary.is_mmol = true;
        text_clear(&text);
        ok(serialise_summary(&text, &summary));
        ok(text_append(&text, "", 1));
        assert_non_null(strstr(text.bytes, "\"mean\":6.85,\"unit\":\"mmol/L\"")); /* 123.333 / 18.016 = 6.8458 */
        text_done(&text);
}

static void text_grows_and_keeps_what_it_has(void **state) {
        Text text = {0};
        char byte;

        (void) state;
        for (unsigned i = 0; i < 100000; i++) {
                byte = (char) i;
                ok(text_append(&text, &byte, 1));
        }
        for (unsigned i = 0; i < 100000; i++)
                assert_int_equal(text.bytes[i], (char) i);
        text_done(&text);
        assert_null(text.bytes);
        assert_int_equal(text.n, 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_reading_is_one_line),
                cmocka_unit_test(what_the_device_could_not_measure_is_a_code),
                cmocka_unit_test(numbers_have_the_decimals_of_the_device),
                cmocka_unit_test(fields_follow_in_the_order_of_their_numbers),
                cmocka_unit_test(an_alarm_has_no_value_and_no_unit),
                cmocka_unit_test(no_record_needs_more_than_there_is),
                cmocka_unit_test(every_row_has_the_cells_of_the_header),
                cmocka_unit_test(a_cell_is_never_a_formula),
                cmocka_unit_test(a_summary_is_its_numbers),
                cmocka_unit_test(text_grows_and_keeps_what_it_has),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
