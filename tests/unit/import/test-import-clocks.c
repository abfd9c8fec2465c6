/* SPDX-License-Identifier: Apache-2.0 */

/* Clocks that were set: which settings say that a clock was late to follow its zone, and which times it showed twice. */

#include "collect.h"

#include <time.h>

#include "daemon/common/clocks.h"

enum {
        SETTINGS_MAX = 4,
        ROWS_MAX = 6,
};

static const uint8_t pump[CLOCKS_DEVICE_SIZE] = { 1 }, meter[CLOCKS_DEVICE_SIZE] = { 2 };

/* "2025-03-30 10:00" */
static int64_t moment(const char *text) {
        unsigned year, month, day, hour, minute;
        struct tm tm = { 0 };

        assert_int_equal(sscanf(text, "%u-%u-%u %u:%u", &year, &month, &day, &hour, &minute), 5);
        tm.tm_year = (int) year - 1900;
        tm.tm_mon = (int) month - 1;
        tm.tm_mday = (int) day;
        tm.tm_hour = (int) hour;
        tm.tm_min = (int) minute;
        return (int64_t) timegm(&tm) * 1000;
}

static void only_what_nothing_else_explains_was_late(void **state) {
        static const struct {
                const char *zones;
                struct {
                        const char *old, *new;
                } settings[SETTINGS_MAX];
                struct {
                        const char *local;
                        uint8_t flags;
                        int offset_min;
                        RecordClock clock;
                } rows[ROWS_MAX];
        } cases[] = {
                /* summer time began on 2025-03-30 at 02:00; the clock followed in the morning, or ten days later */
                { "Europe/Berlin", { { "2025-03-30 10:00", "2025-03-30 11:01" } },
                  { { "2025-03-30 01:59", 0, 60, 0 }, { "2025-03-30 02:30", 0, 60, 0 }, { "2025-03-30 10:00", 0, 60, 0 }, { "2025-03-30 11:02", 0, 120, 0 } } },
                { "Europe/Berlin", { { "2025-04-09 10:00", "2025-04-09 11:00" } }, { { "2025-04-08 10:00", 0, 60, 0 }, { "2025-04-09 11:01", 0, 120, 0 } } },
                /* after more than two weeks it was no longer that */
                { "Europe/Berlin", { { "2025-04-14 10:00", "2025-04-14 11:00" } }, { { "2025-04-08 10:00", 0, 120, 0 } } },
                /* a journey that the patient told of explains it, on its day or a few days later; another one does not */
                { "Europe/Lisbon;2025-04-05=Europe/Madrid", { { "2025-04-05 10:00", "2025-04-05 11:00" } }, { { "2025-04-01 10:00", 0, 60, 0 }, { "2025-04-05 12:00", 0, 120, 0 } } },
                { "Europe/Lisbon;2025-04-03=Europe/Madrid", { { "2025-04-05 10:00", "2025-04-05 11:00" } }, { { "2025-04-01 10:00", 0, 60, 0 } } },
                { "Europe/Lisbon;2025-04-05=America/New_York", { { "2025-04-04 10:00", "2025-04-04 11:00" } }, { { "2025-04-01 10:00", 0, 0, 0 } } },
                { "Europe/Lisbon;2025-03-20=Europe/Madrid", { { "2025-03-20 10:00", "2025-03-20 11:00" }, { "2025-03-31 10:00", "2025-03-31 11:00" } },
                  { { "2025-03-30 10:00", 0, 60, 0 }, { "2025-03-31 12:00", 0, 120, 0 } } },
                /* it had followed already, in the evening before or that night: what came then is something else */
                { "Europe/Berlin", { { "2025-03-29 22:00", "2025-03-29 23:00" }, { "2025-04-05 10:00", "2025-04-05 11:00" } }, { { "2025-04-01 10:00", 0, 120, 0 } } },
                { "Europe/Berlin", { { "2025-03-30 08:00", "2025-03-30 09:00" }, { "2025-04-05 10:00", "2025-04-05 11:00" } },
                  { { "2025-03-30 07:00", 0, 60, 0 }, { "2025-03-30 10:00", 0, 120, 0 }, { "2025-04-05 09:00", 0, 120, 0 }, { "2025-04-05 12:00", 0, 120, 0 } } },
                /* in the evening before, by the hour of the night to come: what lies between was out of step, but not when it was put back again */
                { "Europe/Berlin", { { "2025-03-29 22:00", "2025-03-29 23:00" } },
                  { { "2025-03-29 21:59", 0, 60, 0 }, { "2025-03-29 23:01", 0, 120, 0 }, { "2025-03-30 01:59", 0, 120, 0 }, { "2025-03-30 02:30", 0, 120, 0 },
                    { "2025-03-30 03:00", 0, 120, 0 }, { "2025-04-05 12:00", 0, 120, 0 } } },
                { "America/New_York", { { "2017-11-04 22:58", "2017-11-04 21:58" } },
                  { { "2017-11-04 21:57", 0, -240, 0 }, { "2017-11-04 22:30", 0, -240, RECORD_CLOCK_AMBIGUOUS }, { "2017-11-04 22:59", 0, -300, 0 },
                    { "2017-11-05 00:59", 0, -300, 0 }, { "2017-11-05 01:30", 0, -300, 0 }, { "2017-11-05 02:00", 0, -300, 0 } } },
                { "America/New_York", { { "2017-11-04 22:58", "2017-11-04 21:58" } },
                  { { "2017-11-04 22:30", RECORD_FIRST_PASS, -240, RECORD_CLOCK_AMBIGUOUS }, { "2017-11-04 22:30", RECORD_SECOND_PASS, -300, 0 }, { "2017-11-04 21:58", 0, -300, 0 } } },
                { "Europe/Berlin", { { "2025-03-29 22:00", "2025-03-29 23:00" }, { "2025-03-29 23:10", "2025-03-29 22:10" } }, { { "2025-03-30 00:30", 0, 60, 0 } } },
                { "Europe/Berlin;2025-03-29=Europe/Athens", { { "2025-03-29 22:00", "2025-03-29 23:00" } }, { { "2025-03-29 23:30", 0, 120, 0 } } },
                /* there and back again */
                { "Europe/Berlin", { { "2025-04-02 10:00", "2025-04-02 09:00" }, { "2025-04-06 10:00", "2025-04-06 11:00" } }, { { "2025-04-01 10:00", 0, 120, 0 } } },
                /* a reset clock was set to what was right */
                { "Europe/Berlin", { { "2016-01-01 00:05", "2025-04-01 10:00" }, { "2025-04-06 10:00", "2025-04-06 11:00" } }, { { "2025-04-02 10:00", 0, 120, 0 } } },
                /* small corrections are nothing, neither are other steps */
                { "Europe/Berlin", { { "2025-03-30 09:00", "2025-03-30 09:05" }, { "2025-03-30 10:00", "2025-03-30 11:00" } }, { { "2025-03-30 08:00", 0, 60, 0 } } },
                { "Europe/Berlin", { { "2025-03-30 10:00", "2025-03-30 12:00" } }, { { "2025-03-30 08:00", 0, 120, 0 } } },
                { "Australia/Lord_Howe", { { "2025-10-05 10:00", "2025-10-05 10:30" } }, { { "2025-10-05 08:00", 0, 630, 0 }, { "2025-10-05 10:31", 0, 660, 0 } } },
                /* winter time began on 2025-10-26 at 03:00: what the clock showed again only order tells apart */
                { "Europe/Berlin", { { "2025-10-26 10:00", "2025-10-26 09:00" } },
                  { { "2025-10-26 02:30", 0, 120, 0 }, { "2025-10-26 08:59", 0, 120, 0 }, { "2025-10-26 09:30", RECORD_FIRST_PASS, 120, 0 },
                    { "2025-10-26 09:30", RECORD_SECOND_PASS, 60, 0 }, { "2025-10-26 09:30", 0, 60, RECORD_CLOCK_AMBIGUOUS }, { "2025-10-26 10:01", 0, 60, 0 } } },
                /* put back for no reason that the zone knows */
                { "UTC", { { "2025-05-03 10:00", "2025-05-03 09:00" } },
                  { { "2025-05-03 08:59", 0, 0, 0 }, { "2025-05-03 09:30", 0, 0, RECORD_CLOCK_AMBIGUOUS }, { "2025-05-03 10:00", 0, 0, 0 } } },
                /* by a year, for a moment */
                { "UTC", { { "2025-05-03 10:00", "2024-05-03 10:00" }, { "2024-05-03 10:02", "2025-05-03 10:02" } },
                  { { "2024-05-03 10:01", 0, 0, RECORD_CLOCK_AMBIGUOUS }, { "2024-05-03 10:05", 0, 0, 0 }, { "2025-01-01 00:00", 0, 0, 0 } } },
        };

        (void) state;
        for (size_t c = 0; c != N_ELEMENTS(cases); c++) {
                cleanup(zones_freep) Zones *zones = NULL;
                Clocks clocks = { 0 };

                assert_int_equal(zones_load(&zones, cases[c].zones), 0);
                for (size_t i = SETTINGS_MAX; i-- > 0;)
                        if (cases[c].settings[i].old)
                                clocks_add(&clocks, pump, moment(cases[c].settings[i].old), moment(cases[c].settings[i].new));
                clocks_settle(&clocks, zones);
                for (size_t i = 0; i != ROWS_MAX && cases[c].rows[i].local; i++) {
                        Record row = { .local_ms = moment(cases[c].rows[i].local), .flags = cases[c].rows[i].flags }, plain = row;

                        zones_place(zones, &plain);
                        clocks_place(&clocks, zones, meter, &row);
                        assert_int_equal(row.utc_ms, plain.utc_ms);
                        clocks_place(&clocks, zones, pump, &row);
                        if (row.offset_min != cases[c].rows[i].offset_min || row.clock != cases[c].rows[i].clock)
                                fail_msg("case %zu, %s: offset %d, clock %u", c, cases[c].rows[i].local, row.offset_min, row.clock);
                        assert_int_equal(row.utc_ms, row.local_ms - row.offset_min * INT64_C(60000));
                }
        }
}

static void more_settings_than_there_is_room_for_are_left_out(void **state) {
        cleanup(zones_freep) Zones *zones = NULL;
        Clocks clocks = { 0 };
        int64_t first_ms = moment("2025-05-03 10:00");

        (void) state;
        assert_int_equal(zones_load(&zones, "Europe/Berlin"), 0);
        for (int64_t i = 0; i != CLOCKS_MAX + 1; i++)
                clocks_add(&clocks, pump, first_ms + i * 7200000, first_ms + i * 7200000 - 3600000);
        assert_int_equal(clocks.n, CLOCKS_MAX);
        clocks_settle(&clocks, zones);
        assert_true(clocks_shows_twice(&clocks, pump, first_ms + (CLOCKS_MAX - 1) * INT64_C(7200000) - 1));
        assert_false(clocks_shows_twice(&clocks, pump, first_ms + CLOCKS_MAX * INT64_C(7200000) - 1));
}

#define EVENTS "Index;Date;Time;New Device Time;Sensor Glucose (mg/dL);Alert\n"

/* Newest first, as exports are: a pump that was reset shows 2016 for some minutes. */
static void a_reset_says_nothing_of_the_readings_before_it(void **state) {
        Imported i;

        (void) state;
        import_text(&i, "-------;Pump X;Pump;NG1;-------\n" EVENTS
                        "0;2022/03/14;09:18:10;;;AFTER\n1;2016/01/01;00:01:10;2022/03/14 09:18:10;;\n2;2016/01/01;00:00:08;;;BATTERY\n"
                        "3;2022/03/14;09:05:00;;;BEFORE\n4;2021/12/14;09:05:00;;;LONG BEFORE\n"
                        "-------;Pump X;Sensor;NG1;-------\n" EVENTS
                        "5;2022/03/14;09:20:00;;120;\n6;2016/01/01;00:01:00;;121;\n7;2022/03/14;09:00:00;;122;\n8;2022/03/13;09:00:00;;123;\n");
        assert_int_equal(i.r, 0);
        for (uint32_t line = 3; line <= 13; line++) {
                if (line == 8 || line == 9)
                        continue;
                bool is_unset = line == 4 || line == 5 || line == 11;

                assert_int_equal(got_at(&i, line, false)->record.clock, is_unset ? RECORD_CLOCK_UNSET : RECORD_CLOCK_ZONE);
                assert_int_equal(got_at(&i, line, false)->record.flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS), 0);
        }
        imported_done(&i);
}

static void two_resets_in_one_file_are_two(void **state) {
        Imported i;

        (void) state;
        import_text(&i, "-------;Pump X;Pump;NG1;-------\n" EVENTS
                        "0;2025/03/14;09:18:10;;;AFTER\n1;2016/01/01;00:00:08;;;BATTERY\n2;2024/03/14;09:05:00;;;BETWEEN\n3;2016/01/01;00:00:08;;;BATTERY\n4;2023/12/14;09:05:00;;;BEFORE\n");
        assert_int_equal(i.n, 5);
        assert_memory_not_equal(got_at(&i, 4, false)->record.identity, got_at(&i, 6, false)->record.identity, RECORD_IDENTITY_SIZE);
        imported_done(&i);
}

/* What the export of another country, or of another version of CareLink, calls the same device and its sections. */
static void one_device_is_one_whatever_it_is_called(void **state) {
        static const char *const names[][2] = {
                { "Guardian™ 4 Sensor", "Guardian 4 Sensor" }, { "MiniMed™ 780G", "MiniMed 780G" }, { "MiniMed ® 780G", "MiniMed 780G" }, { "MiniMed(TM) 780G", "MiniMed 780G" },
        };
        static const char *const sections[][2] = { { "Pump", "Pompe" }, { "Sensor", "Capteur" } };

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(names) * N_ELEMENTS(sections); n++) {
                Imported i[2];

                for (unsigned k = 0; k != 2; k++) {
                        char text[512];

                        (void) snprintf(text, sizeof(text), "-------;%s;%s;NG1;-------\n" EVENTS "0;2022/03/14;09:18:10;;;LOW\n1;2022/03/14;09:18:10;;;\n2;2022/03/14;09:00:00;;%s\n",
                                        names[n / 2][k], sections[n % 2][k], n % 2 ? "120;" : ";HIGH");
                        import_text(&i[k], text);
                        assert_int_equal(i[k].n, 3);
                }
                for (size_t row = 0; row != 3; row++)
                        assert_memory_equal(i[0].records[row].record.identity, i[1].records[row].record.identity, RECORD_IDENTITY_SIZE);
                imported_done(&i[0]);
                imported_done(&i[1]);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_what_nothing_else_explains_was_late),
                cmocka_unit_test(more_settings_than_there_is_room_for_are_left_out),
                cmocka_unit_test(a_reset_says_nothing_of_the_readings_before_it),
                cmocka_unit_test(two_resets_in_one_file_are_two),
                cmocka_unit_test(one_device_is_one_whatever_it_is_called),
        };

        return cmocka_run_group_tests(tests, berlin, NULL);
}
