/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "daemon/core/clock.h"

static void days_are_read_and_written_alike(void **state) {
        static const char *const texts[] = { "1970-01-01", "2000-02-29", "2024-12-31", "2199-12-31" };
        char again[CLOCK_TEXT_SIZE];
        int32_t day;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                assert_int_equal(clock_parse_day(&day, texts[i]), 0);
                clock_format_day(again, day);
                assert_string_equal(again, texts[i]);
        }
        assert_int_equal(clock_parse_day(&day, "1970-01-02"), 0);
        assert_int_equal(day, 1);
}

static void what_is_no_day_is_refused(void **state) {
        static const char *const texts[] = { "", "2024-02-30", "2023-02-29", "2024-13-01", "2024-00-10", "2024-01-00", "1969-12-31", "2200-01-01",
                                             "2024-1-01", "2024-01-01 ", "+024-01-01", "2024/01/01", "2024-01-0a" };
        int32_t day = 7;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(texts); i++)
                assert_int_equal(clock_parse_day(&day, texts[i]), CLOCK_E_TEXT);
        assert_int_equal(day, 7);
}

static void a_zone_names_a_file_of_zoneinfo_and_no_other(void **state) {
        (void) state;
        assert_true(clock_zone_valid("Europe/Berlin"));
        assert_true(clock_zone_valid("UTC"));
        assert_false(clock_zone_valid("Europe/Atlantis"));
        assert_false(clock_zone_valid("Europe"));
        assert_false(clock_zone_valid("../../../etc/passwd"));
        assert_false(clock_zone_valid("/etc/localtime"));
        assert_false(clock_zone_valid("Europe/../Europe/Berlin"));
        assert_false(clock_zone_valid(""));
        assert_false(clock_zone_valid("a23456789b123456789c123456789d123456789e123456789f123456789g1234"));
}

static void a_local_day_begins_at_the_zones_midnight(void **state) {
        (void) state;
        assert_int_equal(clock_set_zone("Europe/Berlin"), 0);
        assert_int_equal(clock_local_day(INT64_C(1647212399)), 19064); /* 2022-03-13 23:59:59 +01:00 */
        assert_int_equal(clock_local_day(INT64_C(1647212400)), 19065);
        assert_int_equal(clock_set_zone("America/New_York"), 0);
        assert_int_equal(clock_local_day(INT64_C(1647212400)), 19064);
        assert_int_equal(clock_set_zone("Pacific/Kiritimati"), 0);
        assert_int_equal(clock_local_day(INT64_C(1647165600)), 19065); /* 10:00 UTC, and 00:00 of the next day there */
        assert_int_equal(clock_set_zone("America/New_York"), 0);
        assert_int_equal(clock_local_day(0), -1);
        assert_int_equal(clock_set_zone("Nowhere/None"), CLOCK_E_ZONE);
}

static void the_clock_is_behind_only_below_the_highest_time_seen(void **state) {
        PolicyNow now;

        (void) state;
        now = clock_now(0);
        assert_false(now.clock_behind);
        assert_true(clock_now(now.utc_ms / 1000 + 3600).clock_behind);
        assert_false(clock_now(now.utc_ms / 1000).clock_behind);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(days_are_read_and_written_alike),
                cmocka_unit_test(what_is_no_day_is_refused),
                cmocka_unit_test(a_zone_names_a_file_of_zoneinfo_and_no_other),
                cmocka_unit_test(a_local_day_begins_at_the_zones_midnight),
                cmocka_unit_test(the_clock_is_behind_only_below_the_highest_time_seen),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
