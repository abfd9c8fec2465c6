/* SPDX-License-Identifier: Apache-2.0 */

/* Decoders on pages that are made here; real pages are compared by compare.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/workers/usb/paradigm-cgm.h"
#include "daemon/workers/usb/paradigm-history.h"
#include "daemon/workers/usb/pump.h"

enum {
        SEEN_MAX = 64,
        PAYLOAD_MAX = RECORD_PAYLOAD_MAX,
};

typedef struct Seen {
        Record records[SEEN_MAX];
        uint8_t payloads[SEEN_MAX][PAYLOAD_MAX];
        size_t n_records, n_rejected, n_rejected_bytes, n_notes;
        char reason[200];
        FrameImportEnd end;
} Seen;

static Seen seen;

static int on_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        assert_string_equal(source->serial, "#345192");
        return 0;
}

static int on_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        (void) userdata;
        (void) page;
        (void) is_extra;
        assert_true(seen.n_records < SEEN_MAX);
        assert_true(record->n_payload <= PAYLOAD_MAX);
        assert_true(record_valid(record));
        seen.records[seen.n_records] = *record;
        memcpy(seen.payloads[seen.n_records], record->payload, record->n_payload);
        seen.records[seen.n_records].payload = seen.payloads[seen.n_records];
        seen.n_records++;
        return 0;
}

static int on_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) page;
        assert_true(strlen(row) == n_row && n_row <= 1024);
        if (!strstr(reason, "its next bytes"))
                (void) snprintf(seen.reason, sizeof(seen.reason), "%s", reason);
        seen.n_rejected++;
        seen.n_rejected_bytes += n_row / 2;
        return 0;
}

static int on_note(void *userdata, const char *text) {
        (void) userdata;
        (void) text;
        seen.n_notes++;
        return 0;
}

static Pump *begin(const char *model_digits) {
        static const ImportSink sink = { .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note };
        static Zones *zones;
        ParadigmModel model;
        Pump *pump;

        memset(&seen, 0, sizeof(seen));
        if (!zones)
                assert_int_equal(zones_load(&zones, "Europe/Berlin"), 0);
        assert_int_equal(paradigm_model(model_digits, 3, &model), 0);
        assert_int_equal(pump_new(&pump, &model, "345192", zones, &sink, INT64_C(1700000000000)), 0);
        return pump;
}

static void finish(Pump *pump) {
        assert_int_equal(pump_finish(pump, &seen.end), 0);
        pump_free(pump);
}

static void seal(uint8_t page[static PARADIGM_PAGE_SIZE]) {
        uint16_t crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);

        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
}

static void make(uint8_t page[static PARADIGM_PAGE_SIZE], const void *records, size_t n) {
        memset(page, 0, PARADIGM_PAGE_SIZE);
        memcpy(page, records, n);
        seal(page);
}

/* 2015-05-17 11:42:09; upper bits of month: 5 = 01|01 */
#define TIME 0x49, 0x6a, 0x0b, 0x11, 0x0f
/* a bolus of 1/40 U strokes, programmed and delivered */
#define BOLUS(strokes) 0x01, 0x00, strokes, 0x00, strokes, 0x00, 0x00, 0x00, 0x49, 0x6a, 0x4b, 0x11, 0x0f
#define RESUME(second) 0x1f, 0x20, 0x40 | (second), 0x6a, 0x0b, 0x11, 0x0f

static const Field *find(const Record *record, FieldId id) {
        static Field field;
        size_t at = 0;

        while (record_field_next(record->payload, record->n_payload, &at, &field))
                if (field.id == id)
                        return &field;
        return NULL;
}

static void checksums_are_the_published_ones(void **state) {
        const uint8_t *digits = (const uint8_t *) "123456789";
        const uint8_t download[] = { 0x0c, 0x00, 0x00, 78 };

        (void) state;
        assert_int_equal(paradigm_crc8(digits, 9), 0xea);
        assert_int_equal(paradigm_crc16(digits, 9), 0x29b1);
        assert_int_equal(paradigm_crc8(download, 4), 0x95);
        assert_int_equal(paradigm_crc8(NULL, 0), 0);
}

static void a_model_is_one_of_the_list(void **state) {
        ParadigmModel model;

        (void) state;
        assert_int_equal(paradigm_model("723", 3, &model), 0);
        assert_int_equal(model.group, PARADIGM_X23);
        assert_false(model.has_long_sensor_setup);
        assert_int_equal(paradigm_model("554", 3, &model), 0);
        assert_true(model.has_long_sensor_setup);
        assert_int_equal(paradigm_model("512", 3, &model), 0);
        assert_int_equal(model.group, PARADIGM_X12);
        assert_int_equal(paradigm_model("715", 3, &model), 0);
        assert_int_equal(model.group, PARADIGM_X15);
        assert_int_equal(paradigm_model("722", 3, &model), 0);
        assert_int_equal(model.group, PARADIGM_X22);
        assert_int_equal(paradigm_model("640", 3, &model), PARADIGM_E_UNKNOWN);
        assert_int_equal(paradigm_model("7230", 4, &model), PARADIGM_E_UNKNOWN);
        assert_int_equal(paradigm_model("7a3", 3, &model), PARADIGM_E_UNKNOWN);
        assert_int_equal(paradigm_model("", 0, &model), PARADIGM_E_UNKNOWN);
}

static void what_is_no_time_is_refused(void **state) {
        int64_t ms = -1;

        (void) state;
        assert_true(paradigm_time5((const uint8_t[]) { TIME }, &ms));
        assert_int_equal(ms, INT64_C(1431862929000));
        assert_false(paradigm_time5((const uint8_t[]) { 0x49, 0x6a, 0x0b, 0x00, 0x0f }, &ms)); /* day 0 */
        assert_false(paradigm_time5((const uint8_t[]) { 0x09, 0x2a, 0x0b, 0x11, 0x0f }, &ms)); /* month 0 */
        assert_false(paradigm_time5((const uint8_t[]) { 0x7c, 0x6a, 0x0b, 0x11, 0x0f }, &ms)); /* second 60 */
        assert_false(paradigm_time5((const uint8_t[]) { 0x49, 0x7c, 0x0b, 0x11, 0x0f }, &ms)); /* minute 60 */
        assert_false(paradigm_time5((const uint8_t[]) { 0x49, 0x6a, 0x18, 0x11, 0x0f }, &ms)); /* hour 24 */
        assert_false(paradigm_time5((const uint8_t[]) { 0x00, 0x80, 0x00, 0x1d, 0x0f }, &ms)); /* 29 February 2015 */
        assert_true(paradigm_time5((const uint8_t[]) { 0x00, 0x80, 0x00, 0x1d, 0x10 }, &ms));  /* 2016 */
        assert_true(paradigm_clock((const uint8_t[]) { 0x14, 0x2e, 0x17, 0x07, 0xdf, 0x05, 0x1c }, &ms));
        assert_int_equal(ms, INT64_C(1432845983000));
        assert_false(paradigm_clock((const uint8_t[]) { 0x14, 0x2e, 0x17, 0x00, 0x00, 0x05, 0x1c }, &ms));
}

/* Each opcode, alone in a page of each model: it is walked and mapped, or it is named as unknown; nothing in between. */
static void every_record_type_that_is_walked_becomes_something(void **state) {
        static const char *const models[] = { "512", "515", "522", "723", "754" };
        unsigned n_known = 0;

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(models); i++) {
                for (unsigned op = 1; op != 256; op++) {
                        uint8_t page[PARADIGM_PAGE_SIZE], body[256];
                        Pump *pump = begin(models[i]);
                        ParadigmModel model;
                        ParadigmEntry entry;
                        size_t at = 0;
                        int r;

                        /* 0x42 in every byte is a time wherever it is: 2066-05-02 02:02:02 */
                        memset(body, 0x42, sizeof(body));
                        body[0] = (uint8_t) op;
                        body[1] = 2;
                        make(page, body, sizeof(body));
                        assert_int_equal(paradigm_model(models[i], 3, &model), 0);
                        r = paradigm_history_next(page, &model, &at, &entry);
                        assert_int_not_equal(r, PARADIGM_HISTORY_E_END);
                        if (r == 0) {
                                make(page, body, entry.n);
                                n_known++;
                        }
                        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
                        finish(pump);
                        if (r == PARADIGM_HISTORY_E_UNKNOWN) {
                                assert_int_equal(seen.n_records, 0);
                                assert_non_null(strstr(seen.reason, "not known"));
                        }
                }
        }
        assert_true(n_known > 5 * 70);
}

static void an_unknown_type_keeps_what_was_before_it_and_says_where(void **state) {
        static const uint8_t records[] = { RESUME(9), 0xf9, 0x01, 0x02, RESUME(10) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");

        (void) state;
        make(page, records, sizeof(records));
        assert_int_equal(pump_add_history(pump, 4, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 1);
        assert_int_equal(seen.n_rejected, 1);
        assert_int_equal(seen.n_rejected_bytes, 3 + 7);
        assert_string_equal(seen.reason, "history page 4, byte 7: record type f9 is not known, nor what follows it");
}

static void zeros_with_something_behind_them_are_damage(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE] = { 0 };
        Pump *pump = begin("723");

        (void) state;
        page[500] = 1;
        seal(page);
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 0);
        assert_non_null(strstr(seen.reason, "damaged"));
}

static void a_record_never_reaches_into_the_checksum(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE];
        ParadigmModel model;
        ParadigmEntry entry;

        (void) state;
        assert_int_equal(paradigm_model("522", 3, &model), 0);
        memset(page, 0x5c, sizeof(page));
        for (size_t start = PARADIGM_HISTORY_END - 3; start <= PARADIGM_HISTORY_END; start++) {
                size_t at = start;

                assert_int_equal(paradigm_history_next(page, &model, &at, &entry),
                                 start == PARADIGM_HISTORY_END ? PARADIGM_HISTORY_E_END : PARADIGM_HISTORY_E_DAMAGED);
                assert_int_equal(at, start);
        }
}

static void two_boluses_in_one_second_stay_two(void **state) {
        static const uint8_t equal[] = { BOLUS(40), BOLUS(40) }, different[] = { BOLUS(80), BOLUS(40) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");

        (void) state;
        make(page, equal, sizeof(equal));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 2);
        assert_memory_not_equal(seen.records[0].identity, seen.records[1].identity, RECORD_IDENTITY_SIZE);

        /* told apart by content, not by their order in the page */
        pump = begin("723");
        make(page, different, sizeof(different));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 2);
        assert_int_equal(seen.records[0].value_milli, 1000);
        assert_int_equal(seen.records[1].value_milli, 2000);
        assert_int_equal(seen.records[1].identity[10], 1);
}

static void a_page_that_was_read_twice_counts_once(void **state) {
        static const uint8_t short_records[] = { BOLUS(40), RESUME(9) }, long_records[] = { BOLUS(40), RESUME(9), RESUME(10) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");

        (void) state;
        make(page, short_records, sizeof(short_records)); /* page 0, then the pump goes on with it and begins a new one */
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        make(page, long_records, sizeof(long_records)); /* now page 1 */
        assert_int_equal(pump_add_history(pump, 1, page, sizeof(page), false), 0);
        make(page, short_records, sizeof(short_records));
        assert_int_equal(pump_add_history(pump, 2, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 3);
}

static void a_known_page_gives_nothing_but_tells_records_apart(void **state) {
        static const uint8_t older[] = { BOLUS(40) }, newer[] = { BOLUS(80), RESUME(10) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");

        (void) state;
        make(page, newer, sizeof(newer));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        make(page, older, sizeof(older));
        assert_int_equal(pump_add_history(pump, 1, page, sizeof(page), true), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 2);
        assert_int_equal(seen.records[0].kind, RECORD_BOLUS);
        assert_int_equal(seen.records[0].value_milli, 2000);
        assert_int_equal(seen.records[0].identity[10], 1); /* the other bolus of this second is in the known page */
}

static void the_first_second_of_a_page_waits_for_the_page_before_it(void **state) {
        static const uint8_t records[] = { BOLUS(40), RESUME(9), RESUME(10), RESUME(11) };
        uint8_t page[PARADIGM_PAGE_SIZE];

        (void) state;
        for (unsigned n_expected = 0; n_expected != 3; n_expected++) {
                Pump *pump = begin("723");

                make(page, records, sizeof(records));
                pump_expect_history(pump, n_expected);
                assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
                finish(pump);
                assert_int_equal(seen.n_records, n_expected < 2 ? 4 : 2); /* bolus and the first resume are of one second */
        }
}

/* While the pump is read it may begin a page; then what was page 0 is page 1. A page with nothing on it is there all the same. */
static void a_page_that_came_again_or_is_empty_is_no_page_that_is_missing(void **state) {
        static const uint8_t records[][7] = { { RESUME(11) }, { RESUME(10) }, { RESUME(9) } };
        static const unsigned orders[][4] = { { 0, 0, 1, 2 }, { 3, 0, 1, 2 }, { 0, 3, 1, 2 } };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(orders); i++) {
                Pump *pump = begin("723");

                pump_expect_history(pump, N_ELEMENTS(orders[i]));
                for (unsigned number = 0; number != N_ELEMENTS(orders[i]); number++) {
                        uint8_t page[PARADIGM_PAGE_SIZE];
                        unsigned which = orders[i][number];

                        make(page, which < 3 ? records[which] : (const uint8_t[7]) { 0 }, 7);
                        assert_int_equal(pump_add_history(pump, number, page, sizeof(page), false), 0);
                }
                finish(pump);
                assert_int_equal(seen.n_records, 3);
        }
}

/* begin() says that it is November 2023 */
static void what_is_yet_to_come_is_kept_as_bytes(void **state) {
        static const uint8_t records[] = { BOLUS(40), 0x01, 0x00, 0x05, 0x00, 0x05, 0x00, 0x00, 0x00, 0x49, 0x6a, 0x4b, 0x11, 0x22 };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");

        (void) state;
        make(page, records, sizeof(records));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        assert_int_equal(pump_finish(pump, &seen.end), 0);
        assert_int_equal(pump_n_future(pump), 1);
        pump_free(pump);
        assert_int_equal(seen.n_records, 1);
        assert_int_equal(seen.n_rejected, 1);
        assert_int_equal(seen.n_rejected_bytes, 13);
        assert_non_null(strstr(seen.reason, "2034-05-17"));
}

static void an_estimate_says_what_it_still_counted(void **state) {
        static const uint8_t records[] = {
                0x5b, 0x64, TIME, 0x32, 0x50, 0x00, 0x64, 0x28, 0x5a, 0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x28, 0x78,
                0x5c, 0x08, 0x2c, 0x8f, 0x45, 0x40, 0x4e, 0x54, /* 7.5 U 143 minutes ago, and 1.6 U 334 minutes ago */
                BOLUS(40),
        };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");
        const Field *field = NULL;

        (void) state;
        make(page, records, sizeof(records));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_rejected, 0);
        for (size_t i = 0; i != seen.n_records && !field; i++)
                if (seen.records[i].kind == RECORD_WIZARD)
                        field = find(&seen.records[i], FIELD_EXTRA);
        assert_non_null(field);
        assert_int_equal(field->n_text, 59);
        assert_memory_equal(field->text, "unabsorbed 0=7.500 U, 143 min\tunabsorbed 1=1.600 U, 334 min", field->n_text);
}

static void what_is_not_a_whole_page_is_refused_with_a_reason(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE + 1] = { 0 };
        Pump *pump = begin("723");
        size_t sizes[] = { 0, 1, 64, 960, 1023, 1025 };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(sizes); i++) {
                assert_int_equal(pump_add_history(pump, 3, page, sizes[i], false), PUMP_E_PAGE);
                assert_non_null(strstr(seen.reason, "not whole"));
        }
        assert_int_equal(pump_add_history(pump, 3, page, PARADIGM_PAGE_SIZE, false), PUMP_E_PAGE);
        assert_string_equal(seen.reason, "history page 3 has a wrong checksum: it was damaged on its way");
        assert_int_equal(seen.n_rejected, 12); /* rows of 512 bytes */
        assert_int_equal(seen.n_rejected_bytes, 1 + 64 + 960 + 1023 + 1025 + 1024);
        finish(pump);
        assert_int_equal(seen.end.n_rejected, 12);
        assert_int_equal(seen.n_records, 0);
}

static void records_from_before_the_clock_was_set_are_marked(void **state) {
        /* 2007-01-01 00:00:10 suspend; clock set at 00:03 to 2015-05-17; resume */
        static const uint8_t records[] = { 0x1e, 0x00, 0x0a, 0x40, 0x00, 0x01, 0x07, 0x17, 0x00, 0x00, 0x43, 0x00,
                                           0x01, 0x07, 0x18, 0x00, TIME, RESUME(10) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");
        const Field *field;

        (void) state;
        make(page, records, sizeof(records));
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 3);
        assert_int_equal(seen.records[0].clock, RECORD_CLOCK_UNSET); /* suspend */
        assert_int_equal(seen.records[1].clock, RECORD_CLOCK_ZONE);  /* resume */
        assert_int_equal(seen.records[2].clock, RECORD_CLOCK_UNSET);
        field = find(&seen.records[2], FIELD_NEW_TIME);
        assert_non_null(field);
        assert_memory_equal(field->text, "2015-05-17T11:42:09", field->n_text);
}

/* What one record of settings says; NULL: nothing but its bytes. */
static const char *setting(const char *model, const uint8_t *record, size_t n, FieldId field) {
        static char text[RECORD_TEXT_MAX + 1];
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin(model);
        const Field *found;

        make(page, record, n);
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_rejected, 0);
        assert_int_equal(seen.n_records, 1);
        assert_non_null(find(&seen.records[0], FIELD_RAW_VALUES));
        found = find(&seen.records[0], field);
        if (found)
                (void) snprintf(text, sizeof(text), "%.*s", (int) found->n_text, found->text);
        return found ? text : NULL;
}

static void tables_of_settings_are_read_as_far_as_their_layout_is_known(void **state) {
        uint8_t profile[152] = { 0x09, 2, TIME, 0x00, 0x28, 0x00, 0x2f, 0x29, 0x00 };
        uint8_t wizard[124] = { 0x5a, 0x0f, TIME }, large[144] = { 0x5a, 0x0f, TIME }, *now = wizard + 7 + 58, *large_now = large + 7 + 68;
        uint8_t sensor[39] = { 0x4f, 0x00, TIME, 0x20, 0x01, 0x00, 0xc8, 0x32, 0x28, 0x1e, 0x00, 0x3c, 0x14, 0x00, 0x1e, 0x3c, 0xff, 0xff, 0xff,
                               0x21, 0x51, 0x01, 0x90, 0x50, 0x28, 0x28, 0x00, 0x5a, 0x14, 0x00, 0x1e, 0x3c, 0x21, 0x25, 0x62 };
        const char *text;

        (void) state;
        assert_string_equal(setting("723", profile, sizeof(profile), FIELD_SETTING_VALUE), "standard: 00:00 1 U/h, 23:30 1.025 U/h");
        profile[7] = 1; /* does not begin at midnight */
        assert_null(setting("723", profile, sizeof(profile), FIELD_SETTING_VALUE));
        profile[1] = 0;
        assert_string_equal(setting("522", profile, sizeof(profile), FIELD_SETTING_VALUE), "standard: empty");
        for (unsigned i = 0; i != 48; i++) /* the most there are, at the longest */
                memcpy(profile + 7 + 3 * i, (const uint8_t[]) { (uint8_t) i, 0xff, 0xff }, 3);
        profile[1] = 48;
        text = setting("723", profile, sizeof(profile), FIELD_SETTING_VALUE);
        assert_non_null(strstr(text, ", 23:30 1638.375 U/h"));
        profile[1] = 49;
        assert_null(setting("723", profile, sizeof(profile), FIELD_SETTING_VALUE));

        now[0] = 0x15; /* a ratio, grams, mg/dL; a target and two sensitivities, one above 255 */
        now[1] = 0x12;
        memcpy(now + 2, (const uint8_t[]) { 0, 15 }, 2);
        memcpy(now + 18, (const uint8_t[]) { 0x40, 0x90, 0x0c, 40 }, 4);
        memcpy(now + 34, (const uint8_t[]) { 0, 90, 120 }, 3);
        wizard[123] = 0x43;
        assert_string_equal(setting("522", wizard, sizeof(wizard), FIELD_SETTING_VALUE),
                            "carb ratio 00:00 15 g/U; sensitivity 00:00 400, 06:00 40 mg/dL per U; target 00:00 90-120 mg/dL; insulin action 4 h");
        assert_string_equal(setting("522", wizard, sizeof(wizard), FIELD_EXTRA), "before=not set");
        now[0] = 0x1a; /* exchanges, mmol/L */
        assert_string_equal(setting("522", wizard, sizeof(wizard), FIELD_SETTING_VALUE),
                            "carb ratio 00:00 1.5 U/exchange; sensitivity 00:00 40, 06:00 4 mmol/L per U; target 00:00 9-12 mmol/L; insulin action 4 h");
        for (unsigned unit = 0; unit != 16; unit++) { /* other units were not seen */
                bool is_known = unit == 5 || unit == 6 || unit == 9 || unit == 10;

                now[0] = (uint8_t) (0x10 | unit);
                assert_int_equal(setting("522", wizard, sizeof(wizard), FIELD_SETTING_VALUE) != NULL, is_known);
        }
        now[0] = 0x95; /* nine ratios */
        assert_null(setting("522", wizard, sizeof(wizard), FIELD_SETTING_VALUE));

        large_now[0] = 0x16;
        large_now[1] = 0x00;
        memcpy(large_now + 2, (const uint8_t[]) { 0, 0x09, 0xc4 }, 3);
        large[143] = 0x30;
        assert_string_equal(setting("723", large, sizeof(large), FIELD_SETTING_VALUE), "carb ratio 00:00 2.5 U/exchange; insulin action 3 h");
        large_now[0] = 0x05;
        large_now[1] = 0x08; /* as many as there can be: the last of them ends where the targets begin */
        for (uint8_t i = 0; i != 8; i++)
                memcpy(large_now + 28 + 2 * i, (const uint8_t[]) { (uint8_t) (i | 0x40), 0xff }, 2);
        assert_non_null(strstr(setting("723", large, sizeof(large), FIELD_SETTING_VALUE), "03:30 511 mg/dL per U"));

        assert_string_equal(setting("722", sensor, sizeof(sensor), FIELD_SETTING_VALUE),
                            "sensor on, high limit 400 mg/dL, low limit 80 mg/dL, high snooze 90 min, low snooze 20 min, alarm snooze 30 min, "
                            "calibration reminder 60 min, missed data 40 min");
        sensor[7 + 16] = 0x41; /* mmol/L: no export has it */
        assert_null(setting("722", sensor, sizeof(sensor), FIELD_SETTING_VALUE));
        assert_non_null(setting("722", sensor, sizeof(sensor), FIELD_EXTRA));
        sensor[7] = 0x40;
        assert_null(setting("722", sensor, sizeof(sensor), FIELD_EXTRA));
}

static void a_correction_below_zero_is_negative(void **state) {
        /* of a 723, with the sign in the upper five bits of B9: -0.5 U = -20 strokes = 0x1fec */
        static const uint8_t records[] = { 0x5b, 0x50, TIME, 0x28, 0x50, 0x00, 0x78, 0x28, 0x5a, 0xec, 0x00, 0x85, 0xf8, 0x00, 0x00, 0x00, 0x71, 0x78 };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("723");
        size_t wizard = 0;

        (void) state;
        make(page, records, 22);
        assert_int_equal(pump_add_history(pump, 0, page, sizeof(page), false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 2); /* the carbs too */
        while (seen.records[wizard].kind != RECORD_WIZARD)
                wizard++;
        assert_int_equal(find(&seen.records[wizard], FIELD_CORRECTION_ESTIMATE)->milli, -500);
        assert_int_equal(find(&seen.records[wizard], FIELD_FOOD_ESTIMATE)->milli, 3325);
        assert_int_equal(seen.records[wizard].value_milli, 2825);
}

static void a_long_bolus_reminder_and_a_short_one_are_told_apart_by_what_follows(void **state) {
        static const uint8_t short_one[] = { 0x69, 0x11, TIME, RESUME(10) }, long_one[] = { 0x69, 0x11, TIME, 0x34, 0x00, RESUME(10) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        ParadigmModel model;

        (void) state;
        assert_int_equal(paradigm_model("723", 3, &model), 0);
        for (unsigned is_long = 0; is_long != 2; is_long++) {
                ParadigmEntry entry;
                size_t at = 0;

                make(page, is_long ? long_one : short_one, is_long ? sizeof(long_one) : sizeof(short_one));
                assert_int_equal(paradigm_history_next(page, &model, &at, &entry), 0);
                assert_int_equal(entry.n, is_long ? 9 : 7);
                assert_int_equal(paradigm_history_next(page, &model, &at, &entry), 0);
                assert_int_equal(entry.op, 0x1f);
                assert_int_equal(paradigm_history_next(page, &model, &at, &entry), PARADIGM_HISTORY_E_END);
        }
}

/* Glucose pages are read from their end: the newest event last in memory, its opcode at its end. */
static void readings_count_back_from_the_timestamp_and_forward_from_the_last(void **state) {
        /* 2014-04-14 05:10, last RF; then older ones before it and newer ones behind */
        static const uint8_t events[] = { 0x30, 0x31, 0x0e, 0x0e, 0x8a, 0x05, 0x08, 0x40, 0x41 };
        uint8_t page[PARADIGM_PAGE_SIZE];
        static ParadigmCgm cgm;
        ParadigmModel model;
        int64_t stamp_ms;

        (void) state;
        assert_int_equal(paradigm_model("722", 3, &model), 0);
        make(page, events, sizeof(events));
        /* month 4 = 01|00 */
        page[5] = 0x45;
        page[4] = 0x0a;
        seal(page);
        paradigm_cgm_decode(page, NULL, &model, &cgm);
        assert_int_equal(cgm.n_unread, 0);
        assert_int_equal(cgm.n_events, 5);
        stamp_ms = cgm.events[2].local_ms;
        assert_int_equal(cgm.events[0].number, 0x60);
        assert_int_equal(cgm.events[1].local_ms, stamp_ms);
        assert_int_equal(cgm.events[0].local_ms, stamp_ms - PARADIGM_CGM_STEP_MS);
        assert_int_equal(cgm.events[3].local_ms, stamp_ms + PARADIGM_CGM_STEP_MS);
        assert_int_equal(cgm.events[4].local_ms, stamp_ms + 2 * PARADIGM_CGM_STEP_MS);

        /* the same behind a gap: nobody knows how long it was */
        page[3] = 0x0e | 2 << 5;
        seal(page);
        paradigm_cgm_decode(page, NULL, &model, &cgm);
        assert_true(cgm.is_untimed);
        assert_false(cgm.events[3].has_time);
        assert_true(cgm.events[1].has_time);
}

static void the_lowest_bit_of_a_large_pump_comes_from_the_current_or_is_said_to_be_missing(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE], isig[PARADIGM_ISIG_PAGE_SIZE] = { 0 };
        static const uint8_t events[] = { 0x30, 0x31 };
        static ParadigmCgm cgm;
        ParadigmModel model;

        (void) state;
        assert_int_equal(paradigm_model("723", 3, &model), 0);
        make(page, events, sizeof(events));
        isig[0] = 0x23; /* 0x0a23: 25.94 nA, and the bit */
        isig[1] = 0x0a;
        isig[2] = 0x22;
        isig[3] = 0x0a;
        paradigm_cgm_decode(page, isig, &model, &cgm);
        assert_int_equal(cgm.events[0].number, 0x61);
        assert_int_equal(cgm.events[0].isig_centi, 0x0a22);
        assert_int_equal(cgm.events[1].number, 0x62);
        assert_false(cgm.events[0].is_even || cgm.events[1].is_even);

        paradigm_cgm_decode(page, NULL, &model, &cgm);
        assert_int_equal(cgm.events[0].number, 0x60);
        assert_true(cgm.events[0].is_even && cgm.events[1].is_even);
        assert_false(cgm.events[0].has_isig);
        assert_int_equal(paradigm_model("722", 3, &model), 0);
        paradigm_cgm_decode(page, NULL, &model, &cgm);
        assert_false(cgm.events[0].is_even);
}

static void sensor_pages_end_at_what_is_not_known(void **state) {
        static const uint8_t events[] = { 0x30, 0x11, 0x40 };
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump = begin("722");

        (void) state;
        make(page, events, sizeof(events));
        assert_int_equal(pump_add_glucose(pump, 12, page, sizeof(page), NULL, 0, false), 0);
        finish(pump);
        assert_int_equal(seen.n_records, 0); /* 0x40 has no time */
        assert_int_equal(seen.n_rejected, 3);
        assert_string_equal(seen.reason, "glucose page 12: event type 11 is not known or damaged; 2 older bytes were not read");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(checksums_are_the_published_ones),
                cmocka_unit_test(a_model_is_one_of_the_list),
                cmocka_unit_test(what_is_no_time_is_refused),
                cmocka_unit_test(every_record_type_that_is_walked_becomes_something),
                cmocka_unit_test(an_unknown_type_keeps_what_was_before_it_and_says_where),
                cmocka_unit_test(zeros_with_something_behind_them_are_damage),
                cmocka_unit_test(a_record_never_reaches_into_the_checksum),
                cmocka_unit_test(two_boluses_in_one_second_stay_two),
                cmocka_unit_test(a_page_that_was_read_twice_counts_once),
                cmocka_unit_test(a_known_page_gives_nothing_but_tells_records_apart),
                cmocka_unit_test(the_first_second_of_a_page_waits_for_the_page_before_it),
                cmocka_unit_test(a_page_that_came_again_or_is_empty_is_no_page_that_is_missing),
                cmocka_unit_test(what_is_yet_to_come_is_kept_as_bytes),
                cmocka_unit_test(an_estimate_says_what_it_still_counted),
                cmocka_unit_test(what_is_not_a_whole_page_is_refused_with_a_reason),
                cmocka_unit_test(records_from_before_the_clock_was_set_are_marked),
                cmocka_unit_test(tables_of_settings_are_read_as_far_as_their_layout_is_known),
                cmocka_unit_test(a_correction_below_zero_is_negative),
                cmocka_unit_test(a_long_bolus_reminder_and_a_short_one_are_told_apart_by_what_follows),
                cmocka_unit_test(readings_count_back_from_the_timestamp_and_forward_from_the_last),
                cmocka_unit_test(the_lowest_bit_of_a_large_pump_comes_from_the_current_or_is_said_to_be_missing),
                cmocka_unit_test(sensor_pages_end_at_what_is_not_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
