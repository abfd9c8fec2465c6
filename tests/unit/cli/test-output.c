/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <time.h>

#include "cli/output.h"

static void numbers_are_grouped(void **state) {
        char text[OUTPUT_NUMBER_SIZE];

        (void) state;

        assert_string_equal(output_number(text, 0), "0");
        assert_string_equal(output_number(text, 999), "999");
        assert_string_equal(output_number(text, 1000), "1,000");
        assert_string_equal(output_number(text, 105120), "105,120");
        assert_string_equal(output_number(text, -105), "-105");
        assert_string_equal(output_number(text, -1234567), "-1,234,567");
        assert_string_equal(output_number(text, INT64_MIN), "-9,223,372,036,854,775,808");
        assert_string_equal(output_bytes(text, 1), "1 byte");
        assert_string_equal(output_bytes(text, 1023), "1023 bytes");
        assert_string_equal(output_bytes(text, 1536), "1.5 KiB");
        assert_string_equal(output_bytes(text, INT64_C(5) << 40), "5.0 TiB");
}

static void times_are_shown_on_the_wall_clock(void **state) {
        char text[OUTPUT_TIME_SIZE];

        (void) state;

        assert_int_equal(setenv("TZ", "Europe/Berlin", 1), 0);
        tzset();
        assert_string_equal(output_time(text, "2026-07-14T22:05:00Z"), "2026-07-15 00:05 CEST");
        assert_string_equal(output_time(text, "2026-01-14T22:05:00.123Z"), "2026-01-14 23:05 CET");
        assert_string_equal(output_time(text, "2026-01-14"), "2026-01-14");
        assert_string_equal(output_time(text, "2026-01-14T22:05:00+01:00"), "2026-01-14T22:05:00+01:00");
        assert_string_equal(output_time(text, ""), "");
}

static char *wrapped(unsigned width, unsigned at, unsigned indent, const char *text) {
        char *result = NULL;
        size_t n;
        FILE *file = open_memstream(&result, &n);

        assert_non_null(file);
        output_wrap_at(file, width, at, indent, text);
        (void) fclose(file);
        return result;
}

static void lines_are_broken_at_blanks_and_not_within_words(void **state) {
        static const struct {
                unsigned width, at, indent;
                const char *text, *result;
        } cases[] = {
                {10, 0, 2, "one two three four", "one two\n  three\n  four\n"},
                {10, 6, 2, "one two", "one\n  two\n"},
                {0, 6, 2, "one two three four", "one two three four\n"},
                {10, 0, 2, "unbreakable-word and", "unbreakable-word\n  and\n"},
                {10, 0, 2, "one\ntwo\n", "one\n  two\n"},
                {10, 0, 2, "one\n\ntwo", "one\n\n  two\n"},
                {10, 0, 0, "\303\244\303\244\303\244 \303\244\303\244\303\244 x", "\303\244\303\244\303\244 \303\244\303\244\303\244 x\n"},
                {10, 0, 0, "\033[1mabc\033[0m abc x", "\033[1mabc\033[0m abc x\n"},
                {10, 4, 4, "", "\n"},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                cleanup(freep) char *result = wrapped(cases[i].width, cases[i].at, cases[i].indent, cases[i].text);

                assert_string_equal(result, cases[i].result);
        }
}

static void json_has_names_in_snake_case(void **state) {
        cleanup(json_decrefp) json_t *value =
                json_pack("{s:{s:i, s:[{s:b}]}, s:s}", "byKind", "device_event", 1, "nDays", "isAnyOf", 1, "x", "camelCase stays");
        cleanup(freep) char *text = NULL;
        FILE *file;
        size_t n;

        (void) state;

        file = open_memstream(&text, &n);
        assert_non_null(file);
        assert_int_equal(output_json(file, value), 0);
        (void) fclose(file);
        assert_string_equal(text, "{\"by_kind\":{\"device_event\":1,\"n_days\":[{\"is_any_of\":true}]},\"x\":\"camelCase stays\"}\n");
        assert_non_null(json_object_get(value, "byKind"));
}

static void no_colour_leaves_for_what_is_no_terminal(void **state) {
        FILE *file = fopen("/dev/null", "w");

        (void) state;

        assert_non_null(file);
        assert_string_equal(paint(file, PAINT_BAD), "");
        assert_string_equal(unpaint(file), "");
        (void) fclose(file);
}

static void all_bytes_are_copied_and_counted(void **state) {
        static char bytes[50000], back[sizeof(bytes) + 1];
        int64_t n = -1;
        int in[2], out[2];

        (void) state;

        for (size_t i = 0; i < sizeof(bytes); i++)
                bytes[i] = (char) (i * 31);
        assert_int_equal(pipe2(in, O_CLOEXEC), 0);
        assert_int_equal(pipe2(out, O_CLOEXEC), 0);
        assert_int_equal(write(in[1], bytes, sizeof(bytes)), sizeof(bytes));
        (void) close_fd(in[1]);

        assert_int_equal(output_copy(in[0], out[1], NULL, &n), 0);
        assert_int_equal(n, sizeof(bytes));
        assert_int_equal(read(out[0], back, sizeof(back)), sizeof(bytes));
        assert_memory_equal(bytes, back, sizeof(bytes));

        assert_int_equal(output_copy(out[1], in[0], NULL, &n), -EBADF);
        (void) close_fd(in[0]);
        (void) close_fd(out[0]);
        (void) close_fd(out[1]);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(numbers_are_grouped),
                cmocka_unit_test(times_are_shown_on_the_wall_clock),
                cmocka_unit_test(lines_are_broken_at_blanks_and_not_within_words),
                cmocka_unit_test(json_has_names_in_snake_case),
                cmocka_unit_test(no_colour_leaves_for_what_is_no_terminal),
                cmocka_unit_test(all_bytes_are_copied_and_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
