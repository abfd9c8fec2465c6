/* SPDX-License-Identifier: Apache-2.0 */

#include "store.h"

#include "daemon/core/records.h"

#define T0 INT64_C(1647216000000) /* 2022-03-14 */
#define MINUTE INT64_C(60000)

static Records *open_records(const char *folder) {
        cleanup(secret_freep) Secret *key = key_of(1);
        Records *records = NULL;

        ok(records_open(&records, folder, key));
        return records;
}

static Record cgm(int64_t minute, int32_t value) {
        return (Record) {
                .kind = RECORD_CGM,
                .unit = RECORD_UNIT_MG_DL,
                .flags = RECORD_HAS_VALUE,
                .offset_min = 60,
                .value_milli = value * 1000,
                .local_ms = T0 + minute * MINUTE,
                .utc_ms = T0 + (minute - 60) * MINUTE,
                .identity = "device",
                .source = 1,
        };
}

static Record alarm_at(int64_t minute, uint8_t which) {
        Record record = {
                .kind = RECORD_ALARM,
                .local_ms = T0 + minute * MINUTE,
                .utc_ms = T0 + minute * MINUTE,
                .identity = "device",
        };

        record.identity[15] = which;
        return record;
}

static void begin(Records *records) {
        uint32_t import;

        ok(records_import_begin(records, "export.csv", T0, &import));
        assert_true(import > 0);
}

static RecordsCounts batch(Records *records, Record *rows, size_t n) {
        RecordsCounts counts = { 0 };

        ok(records_import_batch(records, rows, n, &counts));
        return counts;
}

static RecordsCounts import_rows(Records *records, Record *rows, size_t n) {
        RecordsCounts counts;

        begin(records);
        counts = batch(records, rows, n);
        ok(records_import_finish(records, "{}"));
        return counts;
}

static void clean(Records *records) {
        int r;

        do
                r = records_cleanup_step(records);
        while (r == 1);
        ok(r);
}

static uint64_t count_of(const Records *records, RecordKind kind) {
        uint64_t counts[N_RECORD_KINDS];

        records_count(records, counts);
        assert_true(counts[0] == 0);
        return counts[kind];
}

typedef struct Seen {
        Record rows[4000];
        uint8_t payloads[4000][16];
        size_t n;
        size_t stop_at; /* answer 1 instead of taking this many */
        int error;
} Seen;

static int see(const Record *record, void *userdata) {
        Seen *seen = userdata;

        if (seen->error)
                return seen->error;
        if (seen->stop_at > 0 && seen->n == seen->stop_at)
                return 1;
        assert_true(seen->n < N_ELEMENTS(seen->rows));
        seen->rows[seen->n] = *record;
        if (record->n_payload > 0)
                memcpy(seen->payloads[seen->n], record->payload, record->n_payload < 16 ? record->n_payload : 16);
        seen->n++;
        return 0;
}

static Seen *read_all(Records *records, uint32_t kinds, int64_t from, int64_t to, size_t n_max) {
        const RecordsQuery query = { kinds, from, to };
        Seen *seen = calloc(1, sizeof(*seen));
        RecordsCursor cursor = { 0 };

        assert_non_null(seen);
        while (!cursor.ended)
                ok(records_read(records, &query, &cursor, n_max, see, seen));
        ok(records_read(records, &query, &cursor, n_max, see, seen)); /* and stays ended */
        return seen;
}

static size_t n_visible(Records *records) {
        cleanup(freep) Seen *seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 100);

        return seen->n;
}

static void a_record_comes_back_as_it_was_stored(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        uint8_t payload[] = { FIELD_ISIG, 1, 2, 3, 4 };
        Record rows[] = { cgm(0, 100), cgm(1, -1), alarm_at(2, 255) };
        cleanup(freep) Seen *seen = NULL;
        RecordsCounts counts;

        rows[0].payload = payload;
        rows[0].n_payload = sizeof(payload);
        rows[0].decimals = 3;
        rows[0].flags = RECORD_FLAGS_KNOWN;
        rows[0].clock = RECORD_CLOCK_UNSET;
        rows[0].offset_min = RECORD_OFFSET_MAX_MIN;
        rows[0].value_milli = INT32_MAX;
        rows[0].source = UINT32_MAX;
        rows[1].value_milli = INT32_MIN;
        rows[1].offset_min = -RECORD_OFFSET_MAX_MIN;
        rows[1].utc_ms = -1;
        rows[2].local_ms = RECORD_TIME_MAX_MS;

        counts = import_rows(records, rows, N_ELEMENTS(rows));
        assert_true(counts.n_inserted[RECORD_CGM] == 2 && counts.n_inserted[RECORD_ALARM] == 1);

        seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 10);
        assert_int_equal(seen->n, 3);
        for (size_t i = 0; i < 3; i++) {
                const Record *a = &rows[i], *b = &seen->rows[i];

                assert_true(a->kind == b->kind && a->unit == b->unit && a->decimals == b->decimals && a->flags == b->flags);
                assert_true(a->clock == b->clock && a->offset_min == b->offset_min && a->value_milli == b->value_milli);
                assert_true(a->utc_ms == b->utc_ms && a->local_ms == b->local_ms && a->source == b->source && a->import == b->import);
                assert_memory_equal(a->identity, b->identity, sizeof(a->identity));
                assert_int_equal(a->n_payload, b->n_payload);
        }
        assert_memory_equal(seen->payloads[0], payload, sizeof(payload));
}

static void an_import_is_invisible_until_it_is_finished(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        Record rows[] = { cgm(0, 100), cgm(5, 101) };
        int64_t first, last;
        bool any = true;

        begin(records);
        (void) batch(records, rows, 2);
        assert_int_equal(records_last_import(records), 0);
        assert_int_equal(n_visible(records), 0);
        assert_int_equal(count_of(records, RECORD_CGM), 0);
        ok(records_range(records, &any, &first, &last));
        assert_false(any);

        ok(records_import_finish(records, "{}"));
        assert_int_equal(n_visible(records), 2);
        assert_int_equal(count_of(records, RECORD_CGM), 2);
        ok(records_range(records, &any, &first, &last));
        assert_true(any && first == T0 && last == T0 + 5 * MINUTE);
}

static void the_same_file_twice_adds_nothing(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        Record rows[] = { cgm(0, 100), cgm(5, 101), alarm_at(1, 1), alarm_at(1, 2) };
        RecordsCounts counts;

        (void) import_rows(records, rows, 4);
        rows[0].decimals = 1; /* another export may print more digits of the same number */
        rows[1].source = 9;
        counts = import_rows(records, rows, 4);
        assert_true(counts.n_duplicates[RECORD_CGM] == 2 && counts.n_duplicates[RECORD_ALARM] == 2);
        assert_true(counts.n_inserted[RECORD_CGM] == 0 && counts.n_superseded[RECORD_CGM] == 0);
        assert_int_equal(n_visible(records), 4);
        assert_int_equal(count_of(records, RECORD_CGM), 2);
}

static void a_correction_is_shown_and_counted_once(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(freep) Seen *seen = NULL;
        Record row = cgm(0, 100), changed;
        uint8_t payload[] = { FIELD_ISIG, 1, 2, 3, 4 };
        RecordsCounts counts;

        (void) import_rows(records, &row, 1);
        changed = cgm(0, 120);
        counts = import_rows(records, &changed, 1);
        assert_true(counts.n_superseded[RECORD_CGM] == 1 && counts.n_inserted[RECORD_CGM] == 0);
        changed = cgm(0, 120);
        changed.payload = payload;
        changed.n_payload = sizeof(payload);
        counts = import_rows(records, &changed, 1);
        assert_true(counts.n_superseded[RECORD_CGM] == 1);
        changed.utc_ms++; /* as other zones would have it: no correction */
        counts = import_rows(records, &changed, 1);
        assert_true(counts.n_duplicates[RECORD_CGM] == 1);
        row = cgm(0, 100); /* back to the first */
        counts = import_rows(records, &row, 1);
        assert_true(counts.n_superseded[RECORD_CGM] == 1);

        seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 1);
        assert_int_equal(seen->n, 1);
        assert_int_equal(seen->rows[0].value_milli, 100000);
        assert_int_equal(count_of(records, RECORD_CGM), 1);
}

static void what_has_no_value_takes_none_away(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(freep) Seen *seen = NULL;
        uint8_t payload[] = { FIELD_ISIG, 1, 2, 3, 4 };
        Record row = cgm(0, 0), value = cgm(0, 100);
        RecordsCounts counts;

        row.flags = 0;
        row.payload = payload;
        row.n_payload = sizeof(payload);
        (void) import_rows(records, &row, 1);
        counts = import_rows(records, &value, 1);
        assert_int_equal(counts.n_superseded[RECORD_CGM], 1);
        counts = import_rows(records, &row, 1);
        assert_int_equal(counts.n_duplicates[RECORD_CGM], 1);
        seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 1);
        assert_int_equal(seen->rows[0].value_milli, 100000);

        /* that it was too high for one is said, not lost */
        row.flags = RECORD_CODE_HIGH;
        counts = import_rows(records, &row, 1);
        assert_int_equal(counts.n_superseded[RECORD_CGM], 1);
}

static Record reading(int64_t ms, unsigned epoch, uint8_t pass, int32_t value) {
        Record record = cgm(0, value);

        record.local_ms += ms;
        record.identity[8] = (uint8_t) epoch;
        record.flags |= pass;
        if (!pass)
                record.clock = RECORD_CLOCK_AMBIGUOUS;
        return record;
}

static void undo(Records *records, uint32_t import) {
        int r;

        ok(records_undo_begin(records, import));
        do
                r = records_undo_step(records);
        while (r == 1);
        ok(r);
}

/* Twelve readings each of an hour that the clock showed twice, told apart by order; @from: the first that the export has. */
static size_t night(Record *ret, unsigned from, bool knows, int64_t slip_ms) {
        size_t n = 0;

        for (unsigned i = from; i < 24; i++) {
                bool second = i >= 12;
                int64_t ms = (i % 12) * 300000 + (second ? slip_ms : 0);

                ret[n++] = reading(ms, knows && second, knows ? second ? RECORD_SECOND_PASS : RECORD_FIRST_PASS : 0, 100 + (int32_t) i);
        }
        return n;
}

static void an_export_that_begins_inside_a_repeated_hour_adds_nothing_and_hides_nothing(void **state) {
        for (unsigned variant = 0; variant < 8; variant++) {
                cleanup(records_closep) Records *records = open_records(*state);
                cleanup(freep) Seen *seen = NULL;
                bool whole_first = variant & 1, other_second = variant & 2, undo_part = variant & 4;
                int64_t slip_ms = other_second ? 7000 : 0; /* a sensor's pace may slip: times of the second pass are then its own */
                Record whole[24], part[24];
                size_t n_whole = night(whole, 0, true, slip_ms), n_part = night(part, 15, false, slip_ms);
                uint32_t part_import;
                RecordsCounts counts;
                char path[PATH_MAX];
                int32_t sum = 0;

                if (whole_first)
                        (void) import_rows(records, whole, n_whole);
                counts = import_rows(records, part, n_part);
                part_import = records_last_import(records);
                if (whole_first)
                        assert_int_equal(counts.n_duplicates[RECORD_CGM], n_part);
                else
                        (void) import_rows(records, whole, n_whole);
                if (undo_part)
                        undo(records, part_import);

                seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 100);
                assert_int_equal(seen->n, 24);
                for (size_t i = 0; i < seen->n; i++) {
                        sum += seen->rows[i].value_milli / 1000;
                        assert_int_equal(seen->rows[i].flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS),
                                         seen->rows[i].value_milli < 112000 ? RECORD_FIRST_PASS : RECORD_SECOND_PASS);
                }
                assert_int_equal(sum, 24 * 100 + 23 * 12);
                assert_int_equal(count_of(records, RECORD_CGM), 24);
                records = records_close(records);
                (void) snprintf(path, sizeof(path), "%s/records.db", (const char *) *state);
                ok(unlink(path));
        }
}

static void one_glucose_in_two_units_is_no_correction(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        RecordsCounts counts;

        for (int32_t mgdl = 40; mgdl <= 400; mgdl++) {
                for (unsigned tenths = 0; tenths < 2; tenths++) {
                        Record row = cgm(mgdl * 5, mgdl);
                        int32_t step = tenths ? 100 : 10;

                        row.unit = RECORD_UNIT_MG_DL;
                        (void) import_rows(records, &row, 1);
                        row = cgm(mgdl * 5, 0);
                        row.unit = RECORD_UNIT_MMOL_L;
                        row.decimals = tenths ? 1 : 2;
                        row.value_milli = (int32_t) ((mgdl * 1000000LL / 18016 + step / 2) / step * step);
                        counts = import_rows(records, &row, 1);
                        assert_int_equal(counts.n_duplicates[RECORD_CGM], 1);
                        row.value_milli += tenths ? 300 : 150;
                        counts = import_rows(records, &row, 1);
                        assert_int_equal(counts.n_superseded[RECORD_CGM], 1);
                }
        }
}

static void fewer_digits_of_one_glucose_add_nothing(void **state) {
        static const struct {
                int32_t value_milli;
                uint8_t decimals;
                bool adds;
        } said[] = { { 16540, 2, true }, { 16500, 1, false }, { 17000, 0, false }, { 16540, 2, false }, { 16600, 1, true }, { 16550, 2, true } };
        cleanup(records_closep) Records *records = open_records(*state);

        for (size_t i = 0; i < N_ELEMENTS(said); i++) {
                Record row = cgm(0, 0);
                RecordsCounts counts;

                row.unit = RECORD_UNIT_MMOL_L;
                row.value_milli = said[i].value_milli;
                row.decimals = said[i].decimals;
                counts = import_rows(records, &row, 1);
                assert_int_equal(counts.n_duplicates[RECORD_CGM], !said[i].adds);
        }
}

static void a_pumps_reading_without_its_last_bit_adds_nothing_to_the_whole_one(void **state) {
        static const uint8_t with_current[] = { FIELD_ISIG, 1, 2, 3, 4, FIELD_RAW_TYPE, 1, 0, 'G' }, without[] = { FIELD_RAW_TYPE, 1, 0, 'G' };
        static const struct {
                int32_t value;
                bool has_current, is_duplicate, is_correction;
        } said[] = {
                { 118, false, false, false }, { 118, false, true, false }, { 119, true, false, true }, { 118, false, true, false },
                { 120, false, false, true }, { 121, true, false, true }, { 119, false, false, true }, { 118, false, false, true },
        };
        cleanup(records_closep) Records *records = open_records(*state);

        for (size_t i = 0; i < N_ELEMENTS(said); i++) {
                Record row = cgm(0, said[i].value);
                RecordsCounts counts;

                row.payload = said[i].has_current ? with_current : without;
                row.n_payload = said[i].has_current ? sizeof(with_current) : sizeof(without);
                counts = import_rows(records, &row, 1);
                assert_int_equal(counts.n_duplicates[RECORD_CGM], said[i].is_duplicate);
                assert_int_equal(counts.n_superseded[RECORD_CGM], said[i].is_correction);
        }
}

static void what_a_spreadsheet_program_spoilt_adds_nothing(void **state) {
        static const struct {
                FieldId field;
                uint8_t kind;
                const char *whole, *spoilt, *other;
        } texts[] = {
                { FIELD_NEW_TIME, RECORD_DEVICE_EVENT, "2025-05-03T10:15:18", "2025-05-03T10:15:00", "2025-05-03T10:16:00" },
                { FIELD_LINKED_METER, RECORD_FINGERSTICK, "00000000007", "7", "8" },
        };
        cleanup(records_closep) Records *records = open_records(*state);

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                const char *said[] = { texts[i].spoilt, texts[i].whole, texts[i].spoilt, texts[i].other };

                for (size_t k = 0; k < N_ELEMENTS(said); k++) {
                        Record row = cgm((int64_t) i, 100);
                        Payload payload = { 0 };
                        RecordsCounts counts;

                        payload_text(&payload, texts[i].field, said[k], strlen(said[k]));
                        row.kind = texts[i].kind;
                        row.payload = payload.bytes;
                        row.n_payload = payload.n;
                        counts = import_rows(records, &row, 1);
                        assert_int_equal(counts.n_inserted[row.kind], k == 0);
                        assert_int_equal(counts.n_duplicates[row.kind], k == 2);
                        assert_int_equal(counts.n_superseded[row.kind], k == 1 || k == 3);
                }
        }
}

static Record of_texts(RecordKind kind, Payload *payload, size_t n_texts, const FieldId *fields, const char *const *texts) {
        Record row = cgm(kind, 100);

        for (size_t i = 0; i < n_texts; i++)
                payload_text(payload, fields[i], texts[i], strlen(texts[i]));
        row.kind = (uint8_t) kind;
        row.payload = payload->bytes;
        row.n_payload = payload->n;
        return row;
}

static void some_of_the_rows_of_one_event_add_nothing_to_all_of_them(void **state) {
        static const FieldId meter[] = { FIELD_GLUCOSE_SOURCE, FIELD_LINKED_METER, FIELD_RAW_TYPE, FIELD_RAW_VALUES, FIELD_RAW_KEY };
        static const FieldId twin[] = { FIELD_GLUCOSE_SOURCE, FIELD_RAW_TYPE, FIELD_RAW_VALUES, FIELD_RAW_KEY };
        static const FieldId extra[] = { FIELD_EXTRA }, event[] = { FIELD_RAW_TYPE, FIELD_RAW_KEY };
        static const struct {
                RecordKind kind;
                size_t n_whole, n_part;
                const FieldId *whole_fields, *part_fields;
                const char *whole[5], *part[5];
                bool adds;
        } cases[] = {
                { RECORD_FINGERSTICK, 5, 4, meter, twin, { "BGReceived,CalBGForPH", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" },
                  { "CalBGForPH", "CalBGForPH", "A=b", "2/1/173" }, false },
                { RECORD_FINGERSTICK, 5, 5, meter, meter, { "BGReceived,CalBGForPH", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" },
                  { "BGReceived", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" }, false },
                { RECORD_FINGERSTICK, 5, 5, meter, meter, { "BGReceived,CalBGForPH", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" },
                  { "BGReceived", "#000001", "BGReceived", "A=b, L=c", "1/1/172" }, true },
                { RECORD_FINGERSTICK, 5, 4, meter, twin, { "BGReceived", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" },
                  { "CalBGForPH", "CalBGForPH", "A=b", "2/1/173" }, false },
                { RECORD_FINGERSTICK, 4, 5, twin, meter, { "CalBGForPH", "CalBGForPH", "A=b", "2/1/173" },
                  { "BGReceived", "#AED763", "BGReceived", "A=b, L=c", "1/1/172" }, true },
                { RECORD_DEVICE_EVENT, 2, 2, event, event, { "SensorTimestamp", "1/1/105" }, { "SensorTimestamp", "1/1/106" }, false },
                { RECORD_WIZARD, 1, 1, extra, extra, { "u 0=1\tu 1=2\tu 2=3" }, { "u 2=3" }, false },
                { RECORD_WIZARD, 1, 1, extra, extra, { "u 0=1\tu 1=2\tu 2=3" }, { "u 1=2\tu 2=3" }, false },
                { RECORD_WIZARD, 1, 1, extra, extra, { "u 0=1\tu 1=2\tu 2=3" }, { "u 1=2\tu 2=" }, true },
                { RECORD_WIZARD, 1, 1, extra, extra, { "u 0=1\tu 1=2\tu 2=3" }, { "u 3=4" }, true },
        };
        cleanup(records_closep) Records *records = open_records(*state);

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                Payload payloads[2] = { 0 };
                Record rows[2];
                RecordsCounts counts;

                rows[0] = of_texts(cases[i].kind, &payloads[0], cases[i].n_whole, cases[i].whole_fields, cases[i].whole);
                rows[1] = of_texts(cases[i].kind, &payloads[1], cases[i].n_part, cases[i].part_fields, cases[i].part);
                rows[0].local_ms = rows[1].local_ms = T0 + (int64_t) i * MINUTE;
                (void) import_rows(records, &rows[0], 1);
                counts = import_rows(records, &rows[1], 1);
                assert_int_equal(counts.n_superseded[cases[i].kind], cases[i].adds);
                assert_int_equal(counts.n_duplicates[cases[i].kind], !cases[i].adds);
        }
}

/* Some thirty rows of an estimate may be more than a text holds: the last are left out, and an export that begins among them has just these. */
static void a_piece_that_had_no_room_is_no_news(void **state) {
        static const FieldId extra[] = { FIELD_EXTRA };
        cleanup(records_closep) Records *records = open_records(*state);
        char text[RECORD_TEXT_MAX + 1];
        const char *texts[] = { text, "u 9=1" };
        RecordsCounts counts;

        for (size_t n_left = 5; n_left <= 6; n_left++) {
                Payload payloads[2] = { 0 };
                Record rows[2];

                memset(text, 'x', sizeof(text));
                text[RECORD_TEXT_MAX - n_left] = 0;
                for (size_t i = 0; i < 2; i++) {
                        rows[i] = of_texts(RECORD_WIZARD, &payloads[i], 1, extra, &texts[i]);
                        rows[i].local_ms = T0 + (int64_t) n_left * MINUTE;
                }
                (void) import_rows(records, &rows[0], 1);
                counts = import_rows(records, &rows[1], 1);
                assert_int_equal(counts.n_superseded[RECORD_WIZARD], n_left == 6);
        }
}

static void zones_are_asked_when_records_are_read(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(zones_freep) Zones *zones = NULL;
        cleanup(freep) Seen *seen = NULL, *again = NULL;
        Record row = cgm(0, 100);

        (void) import_rows(records, &row, 1);
        ok(zones_load(&zones, "Asia/Tokyo"));
        records_set_zones(records, zones);
        seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 100);
        assert_int_equal(seen->rows[0].utc_ms, row.local_ms - 9 * 3600000);
        assert_int_equal(seen->rows[0].offset_min, 540);
        assert_int_equal(seen->rows[0].local_ms, row.local_ms);
        records_set_zones(records, NULL);
        again = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 100);
        assert_int_equal(again->rows[0].utc_ms, row.utc_ms);
}

/* Berlin's clocks went to +2 on 2022-03-27 at 02:00; a pump's was set to that in the morning, as one export says and another one does not. */
static void clocks_that_were_set_are_known_however_the_table_is_written(void **state) {
        static const int64_t morning_ms = INT64_C(1648368000000); /* 2022-03-27 08:00 */
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(zones_freep) Zones *zones = NULL;
        cleanup(freep) Seen *after = NULL;
        Record row = cgm(0, 100), set = alarm_at(0, 7);
        Payload payload = { 0 };

        ok(zones_load(&zones, "Europe/Berlin"));
        row.local_ms = morning_ms;
        (void) import_rows(records, &row, 1);
        payload_token(&payload, FIELD_TYPE, TOKEN_CLOCK_CHANGE);
        payload_text(&payload, FIELD_NEW_TIME, "2022-03-27T10:00:30", 19);
        set.kind = RECORD_DEVICE_EVENT;
        set.local_ms = morning_ms + 60 * MINUTE;
        set.payload = payload.bytes;
        set.n_payload = payload.n;
        (void) import_rows(records, &set, 1);

        for (unsigned i = 0; i < 4; i++) {
                RecordsRebuild rebuild = { 0 };
                Seen *seen;
                int r;

                records_set_zones(records, zones);
                seen = read_all(records, RECORD_KIND_BIT(RECORD_CGM), INT64_MIN, INT64_MAX, 100);
                assert_int_equal(seen->rows[0].offset_min, 60);
                assert_int_equal(seen->rows[0].utc_ms, morning_ms - 60 * MINUTE);
                free(seen);
                do
                        r = records_rebuild_step(records, &rebuild);
                while (r == 1);
                ok(r);
                if (i < 2)
                        continue;
                records = records_close(records);
                records = open_records(*state);
        }
        records_set_zones(records, zones);
        undo(records, 2);
        after = read_all(records, RECORD_KIND_BIT(RECORD_CGM), INT64_MIN, INT64_MAX, 100);
        assert_int_equal(after->rows[0].offset_min, 120);
}

static void within_an_import_the_later_row_counts(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(freep) Seen *seen = NULL;
        Record same_batch[] = { cgm(0, 1), cgm(5, 7), cgm(0, 2), cgm(0, 2), cgm(0, 3) };
        Record next_batch[] = { cgm(0, 3), cgm(0, 4), cgm(5, 7) };
        RecordsCounts counts;

        begin(records);
        counts = batch(records, same_batch, 5);
        assert_true(counts.n_inserted[RECORD_CGM] == 2 && counts.n_superseded[RECORD_CGM] == 2 && counts.n_duplicates[RECORD_CGM] == 1);
        counts = batch(records, next_batch, 3);
        assert_true(counts.n_inserted[RECORD_CGM] == 0 && counts.n_superseded[RECORD_CGM] == 1 && counts.n_duplicates[RECORD_CGM] == 2);
        ok(records_import_finish(records, "{}"));

        seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 100);
        assert_int_equal(seen->n, 2);
        assert_int_equal(seen->rows[0].value_milli, 4000);
        assert_int_equal(count_of(records, RECORD_CGM), 2);
}

static void a_cancelled_import_leaves_what_was_there(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        Record row = cgm(0, 100), changed[] = { cgm(0, 120), cgm(1, 1), alarm_at(3, 3) };
        RecordsSource source = { .device_key = "12345678", .model = "Pump", .serial = "S1" };
        unsigned n_files;

        (void) import_rows(records, &row, 1);
        begin(records);
        ok(records_source_find_or_add(records, &source));
        assert_int_equal(records_n_sources(records), 1);
        (void) batch(records, changed, 3);
        ok(records_import_reject(records, 7, "no time", "a;b;c"));
        records_import_cancel(records);
        records_import_cancel(records);

        for (unsigned i = 0; i < 2; i++) {
                cleanup(freep) Seen *seen = read_all(records, RECORD_ALL_KINDS, INT64_MIN, INT64_MAX, 1);

                assert_int_equal(seen->n, 1);
                assert_int_equal(seen->rows[0].value_milli, 100000);
                assert_int_equal(records_n_sources(records), 0);
                clean(records);
        }
        (void) any_file_has(*state, "x", &n_files);
        assert_int_equal(n_files, 2);
}

static void sources_are_found_again(void **state) {
        Records *records = open_records(*state);
        RecordsSource a = { .device_key = "12345678", .model = "Pump", .serial = "S1", .section = "x" }, b = a, c = a;

        begin(records);
        ok(records_source_find_or_add(records, &a));
        ok(records_source_find_or_add(records, &b));
        assert_int_equal(a.id, b.id);
        c.serial[0] = 'T';
        ok(records_source_find_or_add(records, &c));
        assert_int_not_equal(a.id, c.id);
        ok(records_import_finish(records, "{}"));
        records = records_close(records);

        records = open_records(*state);
        assert_int_equal(records_n_sources(records), 2);
        assert_string_equal(records_source(records, c.id)->serial, "T1");
        assert_memory_equal(records_source(records, a.id)->device_key, "12345678", 8);
        assert_null(records_source(records, 0));
        assert_null(records_source(records, 3));
        begin(records);
        b = a;
        b.id = 0;
        ok(records_source_find_or_add(records, &b));
        assert_int_equal(a.id, b.id);
        records_close(records);
}

static void too_many_sources_are_refused(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        RecordsSource source = { .model = "Pump" };
        int r = 0;
        unsigned i;

        begin(records);
        for (i = 0; i < 5000 && r == 0; i++) {
                put_le32(source.device_key, i);
                r = records_source_find_or_add(records, &source);
        }
        assert_int_equal(r, -E2BIG);
        assert_int_equal(i, 4097);
}

static void reading_goes_on_where_it_stopped(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        const RecordsQuery query = { RECORD_ALL_KINDS, T0, INT64_MAX };
        cleanup(freep) Seen *seen = calloc(1, sizeof(*seen));
        RecordsCursor cursor = { 0 };
        Record rows[40];

        for (int i = 0; i < 20; i++) {
                rows[i] = cgm(i / 3, i);
                rows[i].identity[10] = (uint8_t) (20 - i);
                rows[20 + i] = alarm_at(i, 1);
        }
        (void) import_rows(records, rows, 40);

        for (size_t i = 1; i <= 40; i++) { /* a callback that has room for one more */
                seen->stop_at = i;
                ok(records_read(records, &query, &cursor, 1000, see, seen));
                assert_int_equal(seen->n, i);
        }
        ok(records_read(records, &query, &cursor, 1000, see, seen));
        assert_true(cursor.ended);
        for (size_t i = 0; i < 40; i++) { /* rows[] was sorted by the import: but for the kind, that is the order */
                assert_memory_equal(seen->rows[i].identity, rows[i].identity, RECORD_IDENTITY_SIZE);
                assert_true(seen->rows[i].local_ms == rows[i].local_ms);
        }

        cursor = (RecordsCursor) { 0 };
        seen->error = -ENOBUFS;
        assert_int_equal(records_read(records, &query, &cursor, 1000, see, seen), -ENOBUFS);
}

static void a_range_holds_its_first_moment_and_not_its_last(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(freep) Seen *seen = NULL;
        Record rows[] = { cgm(0, 1), cgm(1, 2), cgm(2, 3), alarm_at(1, 1) };

        memset(rows[0].identity, 0xff, RECORD_IDENTITY_SIZE);
        memset(rows[1].identity, 0, RECORD_IDENTITY_SIZE);
        (void) import_rows(records, rows, 4);
        seen = read_all(records, RECORD_KIND_BIT(RECORD_CGM), T0 + MINUTE, T0 + 2 * MINUTE, 10);
        assert_int_equal(seen->n, 1);
        assert_int_equal(seen->rows[0].value_milli, 2000);
        free(seen);
        seen = read_all(records, RECORD_KIND_BIT(RECORD_ALARM) | 1, INT64_MIN, INT64_MAX, 10);
        assert_int_equal(seen->n, 1);
        free(seen);
        seen = read_all(records, 0, INT64_MIN, INT64_MAX, 10);
        assert_int_equal(seen->n, 0);
}

static int count_imports(const RecordsImport *import, void *userdata) {
        unsigned *n = userdata;

        assert_string_equal(import->file_name, "export.csv");
        assert_string_equal(import->report_json, "{}");
        assert_true(import->time_utc_ms == T0);
        return ++*n == 2;
}

static int check_reject(uint32_t line, const char *reason, const char *row, void *userdata) {
        unsigned *n = userdata;

        assert_int_equal(line, ++*n);
        assert_string_equal(reason, "no time");
        assert_string_equal(row, "a;b;c");
        return 0;
}

static void only_finished_imports_are_listed(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        Record row = cgm(0, 1);
        unsigned n = 0;

        (void) import_rows(records, &row, 1);
        begin(records);
        records_import_cancel(records);
        (void) import_rows(records, &row, 1);
        begin(records);
        ok(records_imports(records, 0, count_imports, &n));
        assert_int_equal(n, 2);
}

static void ten_thousand_rejected_rows_are_kept_and_no_more(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        uint32_t import;
        unsigned n = 0;

        ok(records_import_begin(records, "export.csv", T0, &import));
        for (uint32_t line = 1; line <= 10050; line++)
                ok(records_import_reject(records, line, "no time", "a;b;c"));
        ok(records_import_finish(records, "{}"));
        ok(records_rejected(records, import, 0, check_reject, &n));
        assert_int_equal(n, 10000);

        ok(records_import_begin(records, "export.csv", T0, &import));
        ok(records_import_reject(records, 1, "no time", "a;b;c"));
        clean(records); /* beside a running import, which it must not touch */
        ok(records_import_reject(records, 2, "no time", "a;b;c"));
        ok(records_import_finish(records, "{}"));
        n = 0;
        ok(records_rejected(records, import, 0, check_reject, &n));
        assert_int_equal(n, 2);
}

static void the_largest_batch_and_payload_are_taken_and_no_larger_ones(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        cleanup(freep) Record *rows = calloc(RECORDS_BATCH_MAX, sizeof(*rows));
        cleanup(freep) uint8_t *payload = malloc(RECORD_PAYLOAD_MAX);
        RecordsCounts counts = { 0 };
        Record bad;

        memset(payload, 'p', RECORD_PAYLOAD_MAX);
        for (int i = 0; i < RECORDS_BATCH_MAX; i++) {
                rows[i] = cgm(RECORDS_BATCH_MAX - i, i);
                rows[i].payload = payload;
                rows[i].n_payload = RECORD_PAYLOAD_MAX;
        }
        (void) import_rows(records, rows, RECORDS_BATCH_MAX);
        assert_int_equal(n_visible(records), RECORDS_BATCH_MAX);
        counts = import_rows(records, rows, RECORDS_BATCH_MAX);
        assert_int_equal(counts.n_duplicates[RECORD_CGM], RECORDS_BATCH_MAX);

        begin(records);
        bad = cgm(0, 1);
        bad.payload = payload;
        bad.n_payload = RECORD_PAYLOAD_MAX + 1;
        assert_int_equal(records_import_batch(records, &bad, 1, &counts), -EINVAL);
        bad = cgm(0, 1);
        bad.kind = N_RECORD_KINDS;
        assert_int_equal(records_import_batch(records, &bad, 1, &counts), -EINVAL);
        bad = cgm(0, 1);
        bad.offset_min = RECORD_OFFSET_MAX_MIN + 1;
        assert_int_equal(records_import_batch(records, &bad, 1, &counts), -EINVAL);
        bad = cgm(0, 1);
        bad.local_ms = RECORD_TIME_MIN_MS - 1;
        assert_int_equal(records_import_batch(records, &bad, 1, &counts), -EINVAL);
        ok(records_import_batch(records, NULL, 0, &counts));
        assert_true(records_batch_size(records) > 0 && records_batch_size(records) <= RECORDS_BATCH_MAX);
}

static void counts_and_ranges_outlive_the_program(void **state) {
        Records *records = open_records(*state);
        Record rows[] = { alarm_at(9, 1), alarm_at(3, 1) }, more[] = { cgm(5, 1), cgm(6, 1) };
        int64_t first, last;
        bool any;

        (void) import_rows(records, rows, 2);
        ok(records_range(records, &any, &first, &last));
        assert_true(any && first == T0 + 3 * MINUTE && last == T0 + 9 * MINUTE);
        (void) import_rows(records, more, 2);
        (void) import_rows(records, more, 2);
        records_close(records);

        records = open_records(*state);
        assert_int_equal(count_of(records, RECORD_CGM), 2);
        assert_int_equal(count_of(records, RECORD_ALARM), 2);
        ok(records_range(records, &any, &first, &last));
        assert_true(any && first == T0 + 3 * MINUTE && last == T0 + 9 * MINUTE);
        assert_int_equal(records_last_import(records), 3);
        records_release_memory(records);
        assert_int_equal(n_visible(records), 4);
        records_close(records);
}

static void nothing_readable_is_in_any_file(void **state) {
        Records *records = open_records(*state);
        uint8_t payload[] = "\x25\x0c\x00my own words";
        Record row = cgm(0, 100);
        unsigned n_files;

        row.payload = payload;
        row.n_payload = sizeof(payload) - 1;
        begin(records);
        (void) batch(records, &row, 1);
        ok(records_import_reject(records, 1, "no time", "my own row"));
        ok(records_import_finish(records, "{\"my own report\":1}"));
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_int_equal(n_files, 2);
        assert_false(any_file_has(*state, "my own", &n_files));
        assert_false(any_file_has(*state, "export.csv", &n_files));
        records_close(records);
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_false(any_file_has(*state, "my own", &n_files));
}

static void another_key_opens_nothing(void **state) {
        cleanup(secret_freep) Secret *wrong = key_of(2);
        Records *records = open_records(*state), *none = NULL;

        records_close(records);
        assert_int_equal(records_open(&none, *state, wrong), RECORDS_E_KEY);
        assert_null(none);
        records_close(open_records(*state));
}

/* The program is killed in the middle of an import, after at least @n_batches of its batches. */
static void import_and_be_killed(const char *folder, unsigned n_batches, bool finished_first) {
        int pipes[2], status;
        pid_t pid;

        ok(pipe(pipes));
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                Records *records = open_records(folder);
                static Record rows[500];

                if (finished_first) {
                        rows[0] = alarm_at(77, 7);
                        (void) import_rows(records, rows, 1);
                }
                begin(records);
                if (records_import_reject(records, 1, "no time", "a;b;c"))
                        _exit(1);
                for (int64_t k = 0;; k++) {
                        for (int64_t i = 0; i < 500; i++)
                                rows[i] = cgm(5000000 - k * 500 - i, 42);
                        (void) batch(records, rows, 500);
                        if (write(pipes[1], "b", 1) != 1)
                                _exit(1);
                }
        }
        (void) close(pipes[1]);
        for (unsigned i = 0; i < n_batches; i++) {
                char byte;

                assert_int_equal(read(pipes[0], &byte, 1), 1);
        }
        ok(kill(pid, SIGKILL));
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(WIFSIGNALED(status));
        (void) close(pipes[0]);
}

static void an_import_that_is_killed_leaves_nothing_visible(void **state) {
        Records *records = open_records(*state);
        Record rows[] = { cgm(0, 100), cgm(5, 101) };
        rlim_t size;

        (void) import_rows(records, rows, 2);
        records_close(records);

        for (unsigned i = 0; i < 8; i++) {
                cleanup(freep) Seen *seen = NULL;

                import_and_be_killed(*state, 1 + 4 * i, i == 3);

                records = open_records(*state);
                seen = read_all(records, RECORD_KIND_BIT(RECORD_CGM), INT64_MIN, T0 + 6 * MINUTE, 3);
                assert_int_equal(seen->n, 2);
                assert_int_equal(seen->rows[0].value_milli, 100000);
                assert_int_equal(count_of(records, RECORD_CGM), 2);
                assert_int_equal(count_of(records, RECORD_ALARM), i >= 3); /* what was finished before is there */
                assert_int_equal(n_visible(records), i >= 3 ? 3 : 2);
                if (i % 2 == 0)
                        assert_int_equal(records_cleanup_step(records), 1); /* interrupted again, in the cleanup */
                else
                        clean(records);
                assert_int_equal(n_visible(records), i >= 3 ? 3 : 2);
                records_close(records);
        }

        /* all pages of it are free again: one more import of that size makes the file no larger */
        records = open_records(*state);
        clean(records);
        records_close(records);
        size = size_of_file(*state, "records.db");
        records = open_records(*state);
        begin(records);
        for (int k = 0; k < 20; k++) {
                static Record more[500];

                for (int i = 0; i < 500; i++)
                        more[i] = cgm(k * 500 + i + 10, 1);
                (void) batch(records, more, 500);
        }
        records_import_cancel(records);
        clean(records);
        records_close(records);
        assert_int_equal(size_of_file(*state, "records.db"), size);
}

static void a_full_disk_changes_nothing(void **state) {
        Records *records = open_records(*state);
        static Record rows[500];
        RecordsCounts counts = { 0 };
        Record row = cgm(0, 100);
        unsigned n_batches = 0;
        int r = 0;

        (void) import_rows(records, &row, 1);
        begin(records);
        limit_files(size_of_file(*state, "records.db-wal") + 300000);
        while (r == 0 && n_batches < 1000) {
                for (int i = 0; i < 500; i++)
                        rows[i] = cgm(1 + i + (int) n_batches * 500, 7);
                r = records_import_batch(records, rows, 500, &counts);
                n_batches++;
        }
        assert_int_equal(r, RECORDS_E_FULL);
        assert_true(n_batches > 1);
        assert_int_equal(counts.n_inserted[RECORD_CGM], (n_batches - 1) * 500); /* what failed is not counted */
        assert_int_equal(records_import_finish(records, "{}"), RECORDS_E_FULL);
        assert_int_equal(n_visible(records), 1);
        records_import_cancel(records);
        assert_true(records_cleanup_step(records) == -ENOSPC || n_visible(records) == 1);
        assert_int_equal(n_visible(records), 1);

        limit_files(RLIM_INFINITY);
        clean(records);
        assert_int_equal(n_visible(records), 1);
        assert_true(import_rows(records, rows, 500).n_inserted[RECORD_CGM] == 500);
        records_close(records);
        records = open_records(*state);
        assert_int_equal(n_visible(records), 501);
        records_close(records);
}

static void a_finish_that_fails_can_be_tried_again(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        RecordsSource source = { .model = "Pump" };
        Record row = cgm(0, 100);

        begin(records);
        ok(records_source_find_or_add(records, &source));
        (void) batch(records, &row, 1);
        limit_files(4096);
        assert_int_equal(records_import_finish(records, "{}"), RECORDS_E_FULL);
        assert_int_equal(n_visible(records), 0);
        limit_files(RLIM_INFINITY);
        ok(records_import_finish(records, "{}"));
        assert_int_equal(n_visible(records), 1);
        assert_int_equal(records_n_sources(records), 1);
}

static void the_log_stays_short(void **state) {
        cleanup(records_closep) Records *records = open_records(*state);
        static Record rows[RECORDS_BATCH_MAX];

        begin(records);
        for (int k = 0; k < 100; k++) {
                for (int i = 0; i < RECORDS_BATCH_MAX; i++)
                        rows[i] = cgm(4000000 - k * RECORDS_BATCH_MAX - i, 7);
                (void) batch(records, rows, RECORDS_BATCH_MAX);
                assert_true(size_of_file(*state, "records.db-wal") < 8 << 20);
        }
        ok(records_import_finish(records, "{}"));
        assert_int_equal(count_of(records, RECORD_CGM), 100 * RECORDS_BATCH_MAX);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                in_folder(a_record_comes_back_as_it_was_stored),
                in_folder(an_import_is_invisible_until_it_is_finished),
                in_folder(the_same_file_twice_adds_nothing),
                in_folder(a_correction_is_shown_and_counted_once),
                in_folder(what_has_no_value_takes_none_away),
                in_folder(an_export_that_begins_inside_a_repeated_hour_adds_nothing_and_hides_nothing),
                in_folder(one_glucose_in_two_units_is_no_correction),
                in_folder(fewer_digits_of_one_glucose_add_nothing),
                in_folder(a_pumps_reading_without_its_last_bit_adds_nothing_to_the_whole_one),
                in_folder(what_a_spreadsheet_program_spoilt_adds_nothing),
                in_folder(some_of_the_rows_of_one_event_add_nothing_to_all_of_them),
                in_folder(a_piece_that_had_no_room_is_no_news),
                in_folder(zones_are_asked_when_records_are_read),
                in_folder(clocks_that_were_set_are_known_however_the_table_is_written),
                in_folder(within_an_import_the_later_row_counts),
                in_folder(a_cancelled_import_leaves_what_was_there),
                in_folder(sources_are_found_again),
                in_folder(too_many_sources_are_refused),
                in_folder(reading_goes_on_where_it_stopped),
                in_folder(a_range_holds_its_first_moment_and_not_its_last),
                in_folder(only_finished_imports_are_listed),
                in_folder(ten_thousand_rejected_rows_are_kept_and_no_more),
                in_folder(the_largest_batch_and_payload_are_taken_and_no_larger_ones),
                in_folder(counts_and_ranges_outlive_the_program),
                in_folder(nothing_readable_is_in_any_file),
                in_folder(another_key_opens_nothing),
                in_folder(an_import_that_is_killed_leaves_nothing_visible),
                in_folder(a_full_disk_changes_nothing),
                in_folder(a_finish_that_fails_can_be_tried_again),
                in_folder(the_log_stays_short),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
