/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of whole files: the project's own small ones in tests/data/carelink, and small ones made here. */

#include "collect.h"
static void a_pump_s_file_becomes_the_records_it_holds(void **state) {
        Imported i;
        const Got *got;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        assert_int_equal(i.r, 0);
        assert_string_equal(i.end.format, "CareLink CSV (2018 and later)");
        assert_int_equal(i.end.n_rows, 35);
        assert_int_equal(i.end.n_rejected, 0);
        assert_int_equal(i.n_sources, 2);

        got = got_at(&i, 41, false);
        assert_value(got, RECORD_CGM, RECORD_UNIT_MG_DL, 86000);
        assert_number(got, FIELD_ISIG, 16900);
        assert_int_equal(got->record.offset_min, 120);
        assert_int_equal(got->record.utc_ms, INT64_C(1746289205000)); /* 2025-05-03T16:20:05Z */

        /* prime with four decimals: rounded, and kept as printed */
        got = got_at(&i, 25, false);
        assert_value(got, RECORD_DEVICE_EVENT, RECORD_UNIT_INSULIN, 9649);
        assert_number(got, FIELD_TYPE, TOKEN_PRIME);
        assert_number(got, FIELD_VOLUME, 252250);
        assert_text(got, FIELD_EXTRA, "Prime Volume Delivered=9.6494");

        got = got_at(&i, 28, false);
        assert_value(got, RECORD_BASAL, RECORD_UNIT_PERCENT, 50000);
        assert_number(got, FIELD_DURATION_S, 5400);
        assert_number(got_at(&i, 31, false), FIELD_TYPE, TOKEN_OTHER);
        assert_text(got_at(&i, 33, false), FIELD_NEW_TIME, "2025-05-02T23:59:30");
        assert_text(got_at(&i, 46, false), FIELD_EXCEPTION, "SENSOR_INIT_CODE");
        imported_done(&i);
}

static void insulin_is_counted_once(void **state) {
        int64_t milli = 0;
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        for (size_t n = 0; n != i.n; n++)
                if (i.records[n].record.kind == RECORD_BOLUS)
                        milli += i.records[n].record.value_milli;
        assert_int_equal(milli, 1475 + 1300 + 1925);

        /* selected and delivered are one record, at the time of delivery */
        got = got_at(&i, 22, false);
        assert_value(got, RECORD_BOLUS, RECORD_UNIT_INSULIN, 1925);
        assert_number(got, FIELD_PROGRAMMED, 1925);
        assert_number(got, FIELD_DELIVERED, 1925);
        assert_number(got, FIELD_NUMBER, 33);
        assert_number(got, FIELD_START_DELAY_S, 78);

        /* a dual wave is two, the second one was stopped */
        assert_number(got_at(&i, 15, false), FIELD_TYPE, TOKEN_DUAL_NORMAL);
        got = got_at(&i, 13, false);
        assert_value(got, RECORD_BOLUS, RECORD_UNIT_INSULIN, 1475);
        assert_number(got, FIELD_TYPE, TOKEN_DUAL_SQUARE);
        assert_number(got, FIELD_PROGRAMMED, 1950);
        assert_number(got, FIELD_DURATION_S, 3180);
        assert_text(got, FIELD_REASON, "User Request");
        assert_text(got, FIELD_EXTRA, "duration_s=9000");

        /* selected and never delivered: wanted, not given */
        got = got_at(&i, 30, false);
        assert_int_equal(got->record.flags, 0);
        assert_number(got, FIELD_TYPE, TOKEN_SELECTED_ONLY);
        assert_number(got, FIELD_PROGRAMMED, 4000);

        /* the day's total is no bolus */
        got = got_at(&i, 37, false);
        assert_value(got, RECORD_DEVICE_EVENT, RECORD_UNIT_INSULIN, 8454);
        assert_number(got, FIELD_TYPE, TOKEN_DAILY_AUTO_TOTAL);
        imported_done(&i);
}

static void one_reading_of_a_meter_is_one_fingerstick(void **state) {
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        assert_int_equal(i.end.n_records[RECORD_FINGERSTICK], 1);
        assert_int_equal(i.end.n_merged[RECORD_FINGERSTICK], 2);
        got = got_at(&i, 12, false);
        assert_value(got, RECORD_FINGERSTICK, RECORD_UNIT_MG_DL, 142000);
        assert_text(got, FIELD_GLUCOSE_SOURCE, "BG_READIN_RECEIVED,BG_SENT_FOR_CALIB,USER_ACCEPTED_REMOTE_BG");
        assert_text(got, FIELD_LINKED_METER, "00000000007");
        assert_value(got_at(&i, 9, false), RECORD_CALIBRATION, RECORD_UNIT_MG_DL, 142000);
        imported_done(&i);
}

static void an_estimate_s_two_rows_are_one_and_its_meal_is_carbs(void **state) {
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        got = got_at(&i, 19, false);
        assert_value(got, RECORD_WIZARD, RECORD_UNIT_INSULIN, 3250);
        assert_number(got, FIELD_CARBS, 35000);
        assert_number(got, FIELD_SENSITIVITY, 50000);
        assert_number(got, FIELD_TARGET_LOW, 90000);
        assert_number(got, FIELD_CORRECTION_ESTIMATE, -425);
        assert_number(got, FIELD_UNABSORBED, -250);
        assert_number(got, FIELD_FINAL_ESTIMATE, 3250);
        assert_text(got, FIELD_STEP, "STEP_0_POINT_025");
        assert_no_field(got, FIELD_GLUCOSE_INPUT); /* 0: none was given */
        assert_value(got_at(&i, 19, true), RECORD_CARBS, RECORD_UNIT_GRAM, 35000);
        imported_done(&i);
}

static void codes_are_never_numbers(void **state) {
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        assert_int_equal(got_at(&i, 42, false)->record.flags, 0); /* 0 */
        assert_int_equal(got_at(&i, 43, false)->record.flags, RECORD_CODE_HIGH);
        imported_done(&i);

        import_text(&i, HEAD "0;2025/05/03;10:00:00;LO;;;;;;\n1;2025/05/03;09:00:00;;0,0;;;;;\n2;2025/05/03;08:00:00;;abc;;;;;\n"
                             "3;2025/05/03;07:00:00;>400;;;;;;\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(got_at(&i, 3, false)->record.flags, RECORD_CODE_LOW);
        assert_int_equal(got_at(&i, 4, false)->record.flags, 0);
        assert_int_equal(got_at(&i, 6, false)->record.flags, RECORD_CODE_HIGH);
        assert_int_equal(i.n_rejected, 1);
        assert_int_equal(i.rejected_line, 5);
        assert_string_equal(i.reason, "column Sensor Glucose: \"abc\" is no glucose value");
        assert_string_equal(i.row, "2;2025/05/03;08:00:00;;abc;;;;;");
        imported_done(&i);
}

static void a_serial_in_a_text_stays_in_the_wallet(void **state) {
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        got = got_at(&i, 29, false);
        assert_text(got, FIELD_TEXT_DEVICE, "Glucose Sensor Transmitter was added");
        assert_text(got, FIELD_EXTRA, "BLE Network Device=Glucose Sensor Transmitter (GT0000006M) was added");
        imported_done(&i);

        import_data(&i, "legacy-v1.0.1.csv");
        got = got_at(&i, 19, false);
        assert_text(got, FIELD_SETTING, "CurrentSensorTransmitterID");
        assert_no_field(got, FIELD_SETTING_VALUE);
        assert_text(got, FIELD_RAW_VALUES, "TRANSMITTER_ID=2172258");
        imported_done(&i);
}

static void only_what_a_device_is_known_to_say_may_leave(void **state) {
        static const char head[] = "Index,Date,Time,Timestamp,BG Reading (mg/dL),Raw-Type,Raw-Values,Raw-ID,Raw-Upload ID,Raw-Seq Num,Raw-Device Type\n"
                                   "1,5/23/15,10:00:00,5/23/15 10:00:00,,ChangeActiveBasalProfilePattern,";
        char text[1024];
        Imported i;

        (void) state;
        (void) snprintf(text, sizeof(text), "%s%s", head, "\"PATTERN_NAME=standard, OLD_PATTERN_NAME=Jane's, OWNER=Jane Doe, SIZE=3\",1,2,3,Pump\n");
        import_text(&i, text);
        assert_int_equal(i.r, 0);
        assert_text(&i.records[0], FIELD_SETTING_VALUE, "SIZE=3");
        assert_text(&i.records[0], FIELD_NAME, "standard"); /* free text */
        assert_text(&i.records[0], FIELD_RAW_VALUES, "OLD_PATTERN_NAME=Jane's, OWNER=Jane Doe"); /* internal */
        imported_done(&i);

        (void) snprintf(text, sizeof(text), "%s%s", head, "\"OWNER=Jane Doe\",1,2,3,Pump\n");
        memcpy(strstr(text, "ChangeActiveBasalProfilePattern"), "SomethingThatIsYetToBeInvented1", 31);
        import_text(&i, text);
        assert_int_equal(i.r, 0);
        assert_int_equal(i.records[0].record.kind, RECORD_DEVICE_EVENT);
        assert_no_field(&i.records[0], FIELD_TEXT_DEVICE);
        assert_text(&i.records[0], FIELD_RAW_VALUES, "OWNER=Jane Doe");
        imported_done(&i);
}

static void pens_and_points_and_mmol_are_read(void **state) {
        Imported i;

        (void) state;
        import_data(&i, "pens-mmol-comma.csv");
        assert_int_equal(i.r, 0);
        assert_value(got_at(&i, 8, false), RECORD_NOTE, RECORD_UNIT_INSULIN, 27000);
        assert_value(got_at(&i, 8, true), RECORD_BOLUS, RECORD_UNIT_INSULIN, 27000);
        assert_number(got_at(&i, 8, true), FIELD_TYPE, TOKEN_INJECTION);
        assert_value(got_at(&i, 9, true), RECORD_CARBS, RECORD_UNIT_GRAM, 12500);
        assert_number(got_at(&i, 10, false), FIELD_MARKER_TYPE, TOKEN_EXERCISE);
        assert_value(got_at(&i, 11, false), RECORD_FINGERSTICK, RECORD_UNIT_MMOL_L, 11500);
        assert_number(got_at(&i, 12, false), FIELD_CODE, 1003);
        assert_value(got_at(&i, 16, false), RECORD_CGM, RECORD_UNIT_MMOL_L, 4940);
        assert_int_equal(got_at(&i, 16, false)->record.decimals, 2);
        imported_done(&i);
}

static void the_legacy_form_is_read_from_its_raw_values(void **state) {
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "legacy-v1.0.1.csv");
        assert_int_equal(i.r, 0);
        assert_string_equal(i.end.format, "CareLink CSV v1.0.1");
        assert_int_equal(i.end.n_rows, 18);

        assert_value(got_at(&i, 12, false), RECORD_DEVICE_EVENT, RECORD_UNIT_INSULIN, 40625); /* not 40.6 */
        assert_value(got_at(&i, 13, false), RECORD_BASAL, RECORD_UNIT_INSULIN_PER_HOUR, 750);
        assert_value(got_at(&i, 14, false), RECORD_FINGERSTICK, RECORD_UNIT_MG_DL, 134000);
        assert_int_equal(i.end.n_merged[RECORD_FINGERSTICK], 1);
        assert_value(got_at(&i, 16, false), RECORD_BOLUS, RECORD_UNIT_INSULIN, 5400);
        got = got_at(&i, 17, false);
        assert_value(got, RECORD_WIZARD, RECORD_UNIT_INSULIN, 5700);
        assert_number(got, FIELD_GLUCOSE_INPUT, 134000);
        assert_text(got, FIELD_EXTRA, "unabsorbed 1=0.65 U, 291 of 300 min");
        assert_value(got_at(&i, 22, false), RECORD_BASAL, RECORD_UNIT_PERCENT, 50000);
        assert_int_equal(i.end.n_merged[RECORD_BASAL], 1);
        assert_value(got_at(&i, 23, false), RECORD_CGM, RECORD_UNIT_MG_DL, 192000);
        assert_text(got_at(&i, 23, false), FIELD_RAW_VALUES, "VCNTR=-0.525, BACKFILL_INDICATOR=false");
        assert_int_equal(got_at(&i, 24, false)->record.flags, RECORD_CODE_HIGH);
        assert_int_equal(got_at(&i, 25, false)->record.flags, RECORD_CODE_LOW);
        assert_number(got_at(&i, 26, false), FIELD_CODE, 4);
        assert_number(got_at(&i, 27, false), FIELD_CLEARED, TOKEN_YES);
        assert_number(got_at(&i, 28, false), FIELD_TYPE, TOKEN_SUSPEND);
        assert_text(got_at(&i, 12, false), FIELD_RAW_KEY, "1465000001/53766239/80");
        imported_done(&i);
}

static void an_hour_shown_twice_keeps_both_its_readings(void **state) {
        Imported i;

        (void) state;
        import_data(&i, "clock-back-mgdl.csv");
        assert_int_equal(i.r, 0);
        assert_int_equal(i.end.n_records[RECORD_CGM], 24);
        for (uint32_t line = 8; line != 32; line++) {
                const Record *record = &got_at(&i, line, false)->record;

                /* a reading every 15 minutes of UTC, whatever the clock shows: the last at 03:45Z */
                assert_int_equal(record->utc_ms, INT64_C(1761450300000) - (line - 8) * INT64_C(900000));
                assert_int_equal(record->clock, line >= 16 && line < 24 ? RECORD_CLOCK_REPEATED : RECORD_CLOCK_ZONE);
                assert_int_equal(record->identity[8], line >= 16 && line < 20);
        }
        imported_done(&i);

        /* alone, nothing tells which of the two it is */
        import_text(&i, HEAD "0;2025/10/26;02:30:00;;120;;;;;\n");
        assert_int_equal(got_at(&i, 3, false)->record.clock, RECORD_CLOCK_AMBIGUOUS);
        assert_int_equal(got_at(&i, 3, false)->record.offset_min, 120);
        imported_done(&i);
}

/* Readings of a night and a morning, newest first; the clock is set at 10:00, which the zone had changed long before. */
static void a_clock_that_follows_its_zone_late_is_believed(void **state) {
        static const struct {
                const char *day, *set_at, *set_to;
                int64_t shift_ms; /* by which times between the zone's change and the setting are another UTC time */
                bool follows;
        } cases[] = {
                { "2025/03/30", "10:00:00", "11:00:30", 3600000, true },   /* the zone went from +1 to +2 at 02:00 */
                { "2025/10/26", "10:00:00", "09:01:00", -3600000, true },  /* and back at 03:00 */
                { "2025/10/26", "10:00:00", "11:00:00", 0, false },        /* the other way: a journey */
                { "2025/05/30", "10:00:00", "11:00:00", 0, false },        /* no change of the zone near */
                { "2025/03/30", "10:00:00", "10:10:00", 0, false },        /* only corrected */
        };

        (void) state;
        for (size_t c = 0; c != N_ELEMENTS(cases); c++) {
                char text[2048];
                size_t n;
                Imported i;

                n = (size_t) snprintf(text, sizeof(text), "-------;Pump X;Pump;NG1;-------\nIndex;Date;Time;New Device Time;Sensor Glucose (mg/dL)\n");
                n += (size_t) snprintf(text + n, sizeof(text) - n, "0;%s;11:30:00;;120\n1;%s;%s;%s %s;\n", cases[c].day, cases[c].day, cases[c].set_at, cases[c].day,
                                       cases[c].set_to);
                for (unsigned hour = 9; hour-- > 0;)
                        n += (size_t) snprintf(text + n, sizeof(text) - n, "%u;%s;%02u:30:00;;120\n", hour, cases[c].day, hour);
                n += (size_t) snprintf(text + n, sizeof(text) - n, "-------;Meter;Meter;M1;-------\nIndex;Date;Time;Sensor Glucose (mg/dL)\n0;%s;08:00:00;100\n", cases[c].day);
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                for (uint32_t line = 3; line < 14; line++) {
                        const Record *record = &got_at(&i, line, false)->record;
                        bool is_late = cases[c].follows && line > 3 && record->local_ms % 86400000 >= (cases[c].shift_ms > 0 ? 2 : 3) * INT64_C(3600000);
                        ZoneTime plain = zones_resolve(test_zones, record->local_ms, ZONE_UNKNOWN);

                        if (record->local_ms % 86400000 / 3600000 != 2)
                                assert_int_equal(record->utc_ms - plain.utc_ms, is_late ? cases[c].shift_ms : 0);
                        if (is_late)
                                assert_int_equal(record->clock, RECORD_CLOCK_ZONE);
                }
                /* another device's clock is its own */
                assert_int_equal(got_at(&i, 16, false)->record.flags, RECORD_HAS_VALUE);
                assert_int_equal(!strstr(i.notes, "read by the hour before"), !cases[c].follows);
                imported_done(&i);
        }
}

static void rows_before_the_clock_was_set_and_from_the_future_are_told_apart(void **state) {
        Imported i;

        (void) state;
        import_text(&i, HEAD "0;2025/10/20;02:30:00;;120;;;;;\n1;2016/01/01;00:01:10;;120;;;;;\n2;2026/11/24;02:30:00;;120;;;;;\n"
                             "3;2026/11/22;02:30:00;;120;;;;;\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(got_at(&i, 4, false)->record.clock, RECORD_CLOCK_UNSET);
        assert_int_equal(i.n_rejected, 1);
        assert_int_equal(i.rejected_line, 5);
        assert_string_equal(i.reason, "its time is in the future");
        imported_done(&i);
}

static void days_listed_without_any_total_do_not_hide_a_reset_clock(void **state) {
        Imported i;

        (void) state;
        import_text(&i, HEAD "0;2025/10/20;02:30:00;;120;;;;;\n1;2016/01/01;00:01:10;;120;;;;;\n"
                             "-------;Pump X;Pump;NG1;Aggregated Auto Insulin Data \nIndex;Date;Time;Bolus Volume Delivered (U)\n"
                             "2;2016/01/03;00:00:00;\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(got_at(&i, 4, false)->record.clock, RECORD_CLOCK_UNSET);
        assert_int_equal(got_at(&i, 7, false)->record.clock, RECORD_CLOCK_ZONE);
        imported_done(&i);
}

static void a_row_with_two_events_is_counted_once(void **state) {
        Imported i;

        (void) state;
        /* a reading and a bolus in one row, the bolus being a part of another row's */
        import_text(&i, HEAD "0;2025/05/03;12:01:00;;;Normal;2,0;2,0;7;\n1;2025/05/03;12:00:00;;120;Normal;2,0;;7;\n"
                             "2;2025/05/03;11:00:00;90;91;;;;;Exercise\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(i.end.n_records[RECORD_BOLUS], 1);
        assert_int_equal(i.end.n_merged[RECORD_BOLUS], 0);
        assert_number(got_at(&i, 3, false), FIELD_START_DELAY_S, 60);
        assert_value(got_at(&i, 4, false), RECORD_CGM, RECORD_UNIT_MG_DL, 120000);
        assert_int_equal(i.end.n_extra[RECORD_FINGERSTICK], 1);
        assert_int_equal(i.end.n_extra[RECORD_NOTE], 1);
        imported_done(&i);
}

/* The file's lines, but only those whose number is in a range (headers stay). */
static void import_part(Imported *i, const char *name, uint32_t from, uint32_t to, bool is_reversed) {
        char path[512], *text, *part, *line, *save;
        char *rows[64];
        unsigned n_rows = 0;
        uint32_t number = 0;
        size_t n = 0, at = 0;

        (void) snprintf(path, sizeof(path), "%s/%s", TEST_DATA, name);
        text = read_file(path, &n);
        part = malloc(n + 128);
        assert_non_null(part);

        /* strtok_r skips empty lines; nothing here depends on their number */
        for (line = strtok_r(text, "\r\n", &save); line; line = strtok_r(NULL, "\r\n", &save)) {
                bool is_row = line[0] >= '0' && line[0] <= '9';

                /* how many rows an export says it has is its own number */
                if (strncmp(line, "DEVICE DATA", 11) == 0)
                        continue;
                if (!is_row) {
                        while (n_rows)
                                at += (size_t) sprintf(part + at, "%s\n", rows[--n_rows]);
                        at += (size_t) sprintf(part + at, "%s\n", line);
                        continue;
                }
                number++;
                if (number < from || number >= to)
                        continue;
                if (is_reversed)
                        rows[n_rows++] = line;
                else
                        at += (size_t) sprintf(part + at, "%s\n", line);
        }
        while (n_rows)
                at += (size_t) sprintf(part + at, "%s\n", rows[--n_rows]);

        import_bytes(i, part, at);
        free(part);
        free(text);
}

static void exports_that_overlap_add_nothing(void **state) {
        static const char *const names[] = { "pump-mgdl-semicolon.csv", "pens-mmol-comma.csv", "legacy-v1.0.1.csv" };

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(names); n++) {
                Imported whole, part;

                import_data(&whole, names[n]);
                assert_int_equal(whole.r, 0);

                import_part(&part, names[n], 0, 99, true);
                assert_int_equal(part.n, whole.n);
                assert_adds_nothing(&whole, &part);
                imported_done(&part);

                /* cut where no bolus is being delivered and no two rows share a second */
                import_part(&part, names[n], 0, n == 0 ? 18 : n == 1 ? 3 : 9, false);
                assert_int_equal(part.r, 0);
                assert_adds_nothing(&whole, &part);
                imported_done(&part);
                import_part(&part, names[n], n == 0 ? 14 : n == 1 ? 3 : 5, 99, false);
                assert_int_equal(part.r, 0);
                assert_adds_nothing(&whole, &part);
                imported_done(&part);
                imported_done(&whole);
        }
}

static void a_bolus_that_is_still_being_delivered_waits_for_the_next_export(void **state) {
        Imported whole, part;

        (void) state;
        import_data(&whole, "pump-mgdl-semicolon.csv");
        /* the newest row is the selection of a bolus */
        import_part(&part, "pump-mgdl-semicolon.csv", 16, 99, false);
        assert_int_equal(part.n_rejected, 1);
        assert_true(strstr(part.reason, "just selected"));
        assert_adds_nothing(&whole, &part);
        imported_done(&part);
        imported_done(&whole);
}

static void a_section_line_is_known_whatever_a_spreadsheet_made_of_it(void **state) {
        static const char *const sections[] = {
                "\"-------\";\"Pump X\";\"Pump\";\"NG1\";\"-------\"", " -------;Pump X;Pump;NG1;-------", ";-------;Pump X;Pump;NG1;-------", "#NAME?;Pump X;Pump;NG1;#NAME?",
        };
        static const char rest[] = "\nIndex;Date;Time;Sensor Glucose (mg/dL);Bolus Type;Bolus Volume Delivered (U)\n0;2025/05/03;10:00:00;100;;\n1;2025/05/03;09:00:00;;Normal;5\n";
        char text[512];
        Imported whole, other;

        (void) state;
        (void) snprintf(text, sizeof(text), "-------;Pump X;Pump;NG1;-------%s", rest);
        import_text(&whole, text);
        assert_int_equal(whole.n, 2);
        for (size_t i = 0; i != N_ELEMENTS(sections); i++) {
                (void) snprintf(text, sizeof(text), "%s%s", sections[i], rest);
                import_text(&other, text);
                assert_int_equal(other.n, 2);
                assert_adds_nothing(&whole, &other);
                imported_done(&other);
        }
        imported_done(&whole);
}

static void an_accepted_reading_from_before_the_export_is_no_second_one(void **state) {
        static const char head[] = "Index;Date;Time;BG Source;BG Reading (mg/dL);Linked BG Meter ID\n";
        char text[512];
        Imported whole, part;

        (void) state;
        (void) snprintf(text, sizeof(text), "%s"
                        "0;2025/05/03;10:30:00;USER_ACCEPTED_REMOTE_BG;120;A1\n"
                        "1;2025/05/03;10:00:40;USER_ACCEPTED_REMOTE_BG;120;A1\n"
                        "2;2025/05/03;10:00:00;BG_READIN_RECEIVED;120;A1\n", head);
        import_text(&whole, text);
        assert_int_equal(whole.n, 2); /* half an hour later it is one of its own */
        assert_int_equal(whole.end.n_merged[RECORD_FINGERSTICK], 1);

        *strstr(text, "2;2025") = '\0';
        import_text(&part, text);
        assert_int_equal(part.n, 1);
        assert_int_equal(part.n_rejected, 1);
        assert_non_null(strstr(part.reason, "an earlier one has the reading"));
        assert_adds_nothing(&whole, &part);
        imported_done(&part);
        imported_done(&whole);

        /* the longest wait, and a second more */
        for (unsigned i = 0; i != 2; i++) {
                (void) snprintf(text, sizeof(text), "%s0;2025/05/03;10:15:0%u;BG_SENT_FOR_CALIB;120;A1\n1;2025/05/03;10:00:00;BG_READIN_RECEIVED;99;A1\n", head, i);
                import_text(&part, text);
                assert_int_equal(part.n_rejected, i == 0 ? 1 : 0);
                assert_int_equal(part.end.n_records[RECORD_CALIBRATION], i);
                imported_done(&part);
        }
}

static void equal_moments_get_ordinals_by_content(void **state) {
        Imported a, b;

        (void) state;
        import_text(&a, HEAD "0;2025/05/03;10:00:00;;100;;;;;\n1;2025/05/03;10:00:00;;120;;;;;\n2;2025/05/03;10:00:00;;120;;;;;\n");
        import_text(&b, HEAD "7;2025/05/03;10:00:00;;120;;;;;\n8;2025/05/03;10:00:00;;100;;;;;\n");
        assert_int_equal(a.end.n_records[RECORD_CGM], 2);
        assert_int_equal(a.end.n_merged[RECORD_CGM], 1); /* the same row again */
        assert_int_equal(b.n, 2);
        assert_adds_nothing(&a, &b);
        assert_memory_not_equal(b.records[0].record.identity, b.records[1].record.identity, RECORD_IDENTITY_SIZE);
        imported_done(&a);
        imported_done(&b);
}

static void an_identity_is_as_specified(void **state) {
        /* SHA-256 of "MiniMed 780G MMT-1886\nNG0000042H" and of "delivered\nNormal\n33\n", from sha256sum(1) */
        static const uint8_t device[] = { 0x41, 0x55, 0xdb, 0x67, 0x47, 0xe5, 0x53, 0xbb };
        static const uint8_t discriminator[] = { 0xa5, 0xbd, 0x40, 0xd4 };
        const Got *got;
        Imported i;

        (void) state;
        import_data(&i, "pump-mgdl-semicolon.csv");
        got = got_at(&i, 22, false);
        assert_memory_equal(got->record.identity, device, 8);
        assert_memory_equal(got->record.identity + 8, "\0\0\0\0", 4);
        assert_memory_equal(got->record.identity + 12, discriminator, 4);
        assert_memory_equal(got_at(&i, 41, false)->record.identity + 8, "\0\0\0\0\0\0\0\0", 8);
        assert_int_equal(got_at(&i, 44, false)->record.identity[10], 1); /* the higher of two readings of one second */
        assert_int_equal(got_at(&i, 45, false)->record.identity[10], 0);
        imported_done(&i);
}

static void a_correction_keeps_its_identity(void **state) {
        Imported a, b;

        (void) state;
        import_text(&a, HEAD "0;2025/05/03;10:00:00;;100;;;;;\n");
        import_text(&b, HEAD "0;2025/05/03;10:00:00;;104;;;;;\n");
        assert_memory_equal(a.records[0].record.identity, b.records[0].record.identity, RECORD_IDENTITY_SIZE);
        assert_int_not_equal(a.records[0].record.value_milli, b.records[0].record.value_milli);
        imported_done(&a);
        imported_done(&b);
}

static void a_bolus_is_joined_over_thousands_of_rows_and_not_beyond(void **state) {
        for (unsigned n_between = 1500; n_between <= 2500; n_between += 1000) {
                char *text = malloc(256 * 1024);
                size_t at = (size_t) sprintf(text, "%s0;2025/05/03;12:00:00;;;Square;2,0;2,0;7;\n", HEAD);
                Imported i;

                for (unsigned n = 0; n != n_between; n++)
                        at += (size_t) sprintf(text + at, "%u;2025/05/03;11:%02u:%02u;;100;;;;;\n", n, 59 - n / 60, 59 - n % 60);
                at += (size_t) sprintf(text + at, "1;2025/05/03;10:00:00;;;Square;2,0;;7;\n");
                import_bytes(&i, text, at);
                assert_int_equal(i.r, 0);
                if (n_between == 1500) {
                        assert_int_equal(i.end.n_merged[RECORD_BOLUS], 1);
                        assert_number(got_at(&i, 3, false), FIELD_START_DELAY_S, 7200);
                } else {
                        /* too far: what was wanted is a record without a value, nothing is counted twice */
                        assert_int_equal(i.end.n_records[RECORD_BOLUS], 2);
                        assert_int_equal(got_at(&i, n_between + 4, false)->record.flags, 0);
                }
                imported_done(&i);
                free(text);
        }
        (void) state;
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_pump_s_file_becomes_the_records_it_holds),
                cmocka_unit_test(insulin_is_counted_once),
                cmocka_unit_test(one_reading_of_a_meter_is_one_fingerstick),
                cmocka_unit_test(an_estimate_s_two_rows_are_one_and_its_meal_is_carbs),
                cmocka_unit_test(codes_are_never_numbers),
                cmocka_unit_test(a_serial_in_a_text_stays_in_the_wallet),
                cmocka_unit_test(only_what_a_device_is_known_to_say_may_leave),
                cmocka_unit_test(pens_and_points_and_mmol_are_read),
                cmocka_unit_test(the_legacy_form_is_read_from_its_raw_values),
                cmocka_unit_test(an_hour_shown_twice_keeps_both_its_readings),
                cmocka_unit_test(a_clock_that_follows_its_zone_late_is_believed),
                cmocka_unit_test(rows_before_the_clock_was_set_and_from_the_future_are_told_apart),
                cmocka_unit_test(days_listed_without_any_total_do_not_hide_a_reset_clock),
                cmocka_unit_test(a_row_with_two_events_is_counted_once),
                cmocka_unit_test(exports_that_overlap_add_nothing),
                cmocka_unit_test(a_bolus_that_is_still_being_delivered_waits_for_the_next_export),
                cmocka_unit_test(an_accepted_reading_from_before_the_export_is_no_second_one),
                cmocka_unit_test(a_section_line_is_known_whatever_a_spreadsheet_made_of_it),
                cmocka_unit_test(equal_moments_get_ordinals_by_content),
                cmocka_unit_test(an_identity_is_as_specified),
                cmocka_unit_test(a_correction_keeps_its_identity),
                cmocka_unit_test(a_bolus_is_joined_over_thousands_of_rows_and_not_beyond),
        };

        return cmocka_run_group_tests(tests, berlin, NULL);
}
