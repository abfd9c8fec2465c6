/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/parse.h"
#include "policy/record.h"

static void a_duration_is_a_number_and_a_unit(void **state) {
        static const struct {
                const char *text;
                int r;
                int64_t s;
        } cases[] = {
                {"15min", 0, 900},
                {"0min", PARSE_E_RANGE, 0},
                {"15mins", PARSE_E_SYNTAX, 0},
                {"1h", 0, 3600},
                {"30d", 0, 30 * 86400},
                {"4w", 0, 28 * 86400},
                {"1y", 0, 365 * 86400},
                {"007d", 0, 7 * 86400},
                {"0d", PARSE_E_RANGE, 0},
                {"9223372036854775807h", PARSE_E_RANGE, 0},
                {"99999999999999999999d", PARSE_E_RANGE, 0},
                {"", PARSE_E_SYNTAX, 0},
                {"d", PARSE_E_SYNTAX, 0},
                {"30", PARSE_E_SYNTAX, 0},
                {"30m", PARSE_E_SYNTAX, 0}, /* minutes or months? */
                {"30 d", PARSE_E_SYNTAX, 0},
                {"30dd", PARSE_E_SYNTAX, 0},
                {"-30d", PARSE_E_SYNTAX, 0},
                {"+30d", PARSE_E_SYNTAX, 0},
                {"1.5d", PARSE_E_SYNTAX, 0},
                {"30D", PARSE_E_SYNTAX, 0},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                int64_t s = -1;

                assert_int_equal(parse_duration(cases[i].text, &s), cases[i].r);
                assert_int_equal(s, cases[i].r == 0 ? cases[i].s : -1);
        }
}

static void days_are_whole(void **state) {
        int64_t days = -1;

        (void) state;

        assert_int_equal(parse_days("12h", &days), PARSE_E_SYNTAX);
        assert_int_equal(parse_days("25h", &days), PARSE_E_SYNTAX);
        assert_int_equal(parse_days("0d", &days), PARSE_E_RANGE);
        assert_int_equal(days, -1);
        assert_int_equal(parse_days("48h", &days), 0);
        assert_int_equal(days, 2);
        assert_int_equal(parse_days("12w", &days), 0);
        assert_int_equal(days, 84);
}

static void a_day_is_one_of_the_calendar(void **state) {
        static const struct {
                const char *text;
                int r;
        } cases[] = {
                {"2022-03-14", 0},
                {"2024-02-29", 0},
                {"2000-02-29", 0},
                {"1900-01-01", 0},
                {"2199-12-31", 0},
                {"2023-02-29", PARSE_E_RANGE},
                {"2100-02-29", PARSE_E_RANGE},
                {"2022-04-31", PARSE_E_RANGE},
                {"2022-00-10", PARSE_E_RANGE},
                {"2022-13-10", PARSE_E_RANGE},
                {"2022-10-00", PARSE_E_RANGE},
                {"1899-12-31", PARSE_E_RANGE},
                {"2200-01-01", PARSE_E_RANGE},
                {"2022-3-14", PARSE_E_SYNTAX},
                {"2022-03-14 ", PARSE_E_SYNTAX},
                {"2022-03-14T00", PARSE_E_SYNTAX},
                {"14.03.2022", PARSE_E_SYNTAX},
                {"2022/03/14", PARSE_E_SYNTAX},
                {"2022-03", PARSE_E_SYNTAX},
                {"", PARSE_E_SYNTAX},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_int_equal(parse_day(cases[i].text), cases[i].r);
}

static void a_number_is_in_its_range(void **state) {
        int64_t n = -1;

        (void) state;

        assert_int_equal(parse_number("0", 1, 10, &n), PARSE_E_RANGE);
        assert_int_equal(parse_number("11", 1, 10, &n), PARSE_E_RANGE);
        assert_int_equal(parse_number("1x", 1, 10, &n), PARSE_E_SYNTAX);
        assert_int_equal(parse_number("-1", -5, 10, &n), PARSE_E_SYNTAX);
        assert_int_equal(parse_number("", 0, 10, &n), PARSE_E_SYNTAX);
        assert_int_equal(parse_number("18446744073709551617", 0, 10, &n), PARSE_E_RANGE);
        assert_int_equal(n, -1);
        assert_int_equal(parse_number("10", 1, 10, &n), 0);
        assert_int_equal(n, 10);
}

static void a_name_is_small_and_plain(void **state) {
        static const char longest[] = "a23456789012345678901234567890123456789012345678901234567890123";
        static const char too_long[] = "a234567890123456789012345678901234567890123456789012345678901234";

        (void) state;

        assert_int_equal(parse_name("endo-clinic"), 0);
        assert_int_equal(parse_name("dr.no_2"), 0);
        assert_int_equal(parse_name("7"), 0);
        assert_int_equal(parse_name(longest), 0);
        assert_int_equal(parse_name(too_long), PARSE_E_RANGE);
        assert_int_equal(parse_name(""), PARSE_E_SYNTAX);
        assert_int_equal(parse_name("Endo"), PARSE_E_SYNTAX);
        assert_int_equal(parse_name("-x"), PARSE_E_SYNTAX);
        assert_int_equal(parse_name(".x"), PARSE_E_SYNTAX);
        assert_int_equal(parse_name("a b"), PARSE_E_SYNTAX);
        assert_int_equal(parse_name("a/b"), PARSE_E_SYNTAX);
        assert_int_equal(parse_name("\xc3\xa4rztin"), PARSE_E_SYNTAX);
}

static void kinds_are_those_of_the_policy(void **state) {
        const char *bad = NULL;
        uint32_t kinds = 0;
        size_t n_bad = 0;

        (void) state;

        assert_int_equal(parse_kinds("cgm", &kinds, &bad, &n_bad), 0);
        assert_int_equal(kinds, RECORD_KIND_BIT(RECORD_CGM));
        assert_int_equal(parse_kinds("bolus,device_event,bolus", &kinds, &bad, &n_bad), 0);
        assert_int_equal(kinds, RECORD_KIND_BIT(RECORD_BOLUS) | RECORD_KIND_BIT(RECORD_DEVICE_EVENT));

        assert_int_equal(parse_kinds("cgm,insulin,bolus", &kinds, &bad, &n_bad), PARSE_E_SYNTAX);
        assert_int_equal(n_bad, 7);
        assert_memory_equal(bad, "insulin", 7);
        assert_int_equal(parse_kinds("", &kinds, &bad, &n_bad), PARSE_E_SYNTAX);
        assert_int_equal(parse_kinds("cgm,", &kinds, &bad, &n_bad), PARSE_E_SYNTAX);
        assert_int_equal(parse_kinds("CGM", &kinds, &bad, &n_bad), PARSE_E_SYNTAX);
        assert_int_equal(parse_kinds("cgm, bolus", &kinds, &bad, &n_bad), PARSE_E_SYNTAX);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_duration_is_a_number_and_a_unit),
                cmocka_unit_test(days_are_whole),
                cmocka_unit_test(a_day_is_one_of_the_calendar),
                cmocka_unit_test(a_number_is_in_its_range),
                cmocka_unit_test(a_name_is_small_and_plain),
                cmocka_unit_test(kinds_are_those_of_the_policy),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
