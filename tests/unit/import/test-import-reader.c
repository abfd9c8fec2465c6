/* SPDX-License-Identifier: Apache-2.0 */

#include "collect.h"

#include <time.h>

#include "daemon/workers/import/cell.h"

static Reader reader;
static Row row;

static int open_text(const void *bytes, size_t n) {
        int fd = memory_file(bytes, n);

        assert_int_equal(reader_init(&reader, fd), 0);
        return fd;
}

static void next_is(const char *expected) {
        char *line;
        size_t n;

        assert_int_equal(reader_next(&reader, &line, &n), 0);
        assert_int_equal(n, strlen(expected));
        assert_memory_equal(line, expected, n);
}

static void at_end(void) {
        char *line;
        size_t n;

        assert_int_equal(reader_next(&reader, &line, &n), READER_E_END);
}

static void lines_end_with_lf_crlf_or_cr(void **state) {
        int fd = open_text("a\r\nb\nc\rd\r\n\r\ne", 13);

        (void) state;
        next_is("a");
        next_is("b");
        next_is("c");
        next_is("d");
        next_is("");
        assert_true(reader.has_line_end);
        assert_int_equal(reader.line, 5);
        next_is("e");
        assert_false(reader.has_line_end);
        assert_int_equal(reader.line, 6);
        assert_int_equal(reader.offset, 12);
        at_end();
        close_fd(fd);
}

static void a_line_of_64_kib_is_read_and_one_more_byte_is_refused(void **state) {
        static char text[IMPORT_LINE_MAX + 3];
        char *line;
        size_t n;
        int fd;

        (void) state;
        memset(text, 'x', sizeof(text));
        memcpy(text + IMPORT_LINE_MAX, "\r\n", 2);
        fd = open_text(text, IMPORT_LINE_MAX + 2);
        assert_int_equal(reader_next(&reader, &line, &n), 0);
        assert_int_equal(n, IMPORT_LINE_MAX);
        at_end();
        close_fd(fd);

        text[IMPORT_LINE_MAX] = 'x';
        text[IMPORT_LINE_MAX + 1] = '\n';
        fd = open_text(text, IMPORT_LINE_MAX + 2);
        assert_int_equal(reader_next(&reader, &line, &n), READER_E_LINE);
        close_fd(fd);
}

static void lines_across_the_buffer_s_end_come_whole(void **state) {
        size_t n_text = 5 * (size_t) READER_BUFFER, at = 0;
        char *text = malloc(n_text + 64), *line;
        unsigned n_lines = 0, n_seen = 0;
        size_t n;
        int fd;

        (void) state;
        assert_non_null(text);
        while (at < n_text)
                at += (size_t) snprintf(text + at, 64, "line %u of %*s\r\n", n_lines++, (int) (at % 37), "");
        fd = open_text(text, at);
        while (reader_next(&reader, &line, &n) == 0) {
                char expected[32];

                (void) snprintf(expected, sizeof(expected), "line %u of ", n_seen++);
                assert_true(n >= strlen(expected));
                assert_memory_equal(line, expected, strlen(expected));
        }
        assert_int_equal(n_seen, n_lines);
        close_fd(fd);
        free(text);
}

static int split(const char *text, size_t n) {
        static char line[IMPORT_LINE_MAX];

        memcpy(line, text, n);
        return row_split(&row, line, n, ';');
}

static void quotes_are_undone_and_a_lone_one_is_an_error(void **state) {
        static const char good[] = "\"a;b\";\"say \"\"hi\"\"\";;\"\" ; x y ;5\"";

        (void) state;
        assert_int_equal(split(good, sizeof(good) - 1), 0);
        assert_int_equal(row.n_cells, 6);
        assert_true(cell_is(row.cells[0], "a;b"));
        assert_true(cell_is(row.cells[1], "say \"hi\""));
        assert_true(cell_is(row.cells[2], ""));
        assert_true(cell_is(row.cells[3], ""));
        assert_true(cell_is(row.cells[4], "x y"));
        assert_true(cell_is(row.cells[5], "5\""));

        assert_int_equal(split("a;\"b;c", 6), ROW_E_QUOTE);
        assert_int_equal(split("a;\"b\"c;d", 8), ROW_E_QUOTE);
        assert_int_equal(split("\"", 1), ROW_E_QUOTE);
}

static void five_hundred_and_twelve_columns_are_read_and_one_more_is_refused(void **state) {
        char text[IMPORT_COLUMNS_MAX + 1];

        (void) state;
        memset(text, ';', sizeof(text));
        assert_int_equal(split(text, IMPORT_COLUMNS_MAX - 1), 0);
        assert_int_equal(row.n_cells, IMPORT_COLUMNS_MAX);
        assert_int_equal(split(text, IMPORT_COLUMNS_MAX), ROW_E_COLUMNS);
}

static void bytes_that_are_no_text_are_refused(void **state) {
        (void) state;
        assert_int_equal(split("a;\0;b", 5), ROW_E_BYTES);
        assert_int_equal(split("a;\xff;b", 5), ROW_E_BYTES);
        assert_int_equal(split("a;\xc3\x28", 4), ROW_E_BYTES);
        assert_int_equal(split("a;\x1b[2J", 6), ROW_E_BYTES);
        assert_int_equal(split("a;\xe2\x84\xa2;\t", 7), 0);
}

static Cell cell(const char *text) {
        return (Cell) { text, strlen(text) };
}

static void number_is(const char *text, char decimal, int32_t milli, unsigned decimals, bool is_exact) {
        Number number;

        assert_true(cell_number(cell(text), decimal, &number));
        assert_int_equal(number.milli, milli);
        assert_int_equal(number.decimals, decimals);
        assert_int_equal(number.is_exact, is_exact);
}

static void numbers_are_read_to_the_last_digit(void **state) {
        static const char *const bad[] = { "", "-", ".", ",", "1,5", "1.5.2", "1e3", "0x10", " 1", "1 ", "NaN", "2000001", "99999999999999999999" };
        Number number;

        (void) state;
        number_is("0", '.', 0, 0, true);
        number_is("109.90", '.', 109900, 2, true);
        number_is("9,6494", ',', 9649, 3, false);
        number_is("9,6496", ',', 9650, 3, false);
        number_is("1,0000", ',', 1000, 3, true);
        number_is("-0,425", ',', -425, 3, true);
        number_is("+3", ',', 3000, 0, true);
        number_is("\xe2\x88\x92" "0,5", ',', -500, 1, true);
        number_is(".5", '.', 500, 1, true);
        number_is("5.", '.', 5000, 0, true);
        number_is("2000000", '.', 2000000000, 0, true);
        for (size_t i = 0; i != N_ELEMENTS(bad); i++)
                assert_false(cell_number(cell(bad[i]), '.', &number));
}

static void dates_are_read_as_the_file_s_shapes_say(void **state) {
        DateShape shape;
        int32_t day;
        char text[16];

        (void) state;
        assert_true(cell_date(cell("2025/11/04"), 0, &day));
        assert_int_equal(day, 20396);
        day_put(text, day);
        assert_string_equal(text, "2025-11-04");
        assert_true(cell_date(cell("2025-04-11"), DATE_SHAPE_BIT(DATE_YEAR_FIRST), &day));
        assert_int_equal(day, 20396);
        assert_true(cell_date(cell("2024-02-29"), 0, &day));
        assert_true(cell_date(cell("3/6/15"), 0, &day));
        assert_int_equal(day, 16500);
        assert_true(cell_date(cell("6/3/2015"), DATE_SHAPE_BIT(DATE_SLASH), &day));
        assert_int_equal(day, 16500);
        assert_true(cell_date(cell("06.03.2015"), DATE_SHAPE_BIT(DATE_DOT), &day));
        assert_int_equal(day, 16500);
        assert_true(cell_date(cell("03-06-15"), DATE_SHAPE_BIT(DATE_DOT), &day));
        assert_int_equal(day, 16500);

        assert_true(cell_date_shape(cell("13/6/15"), &shape));
        assert_int_equal(shape, DATE_SLASH);
        assert_false(cell_date_shape(cell("13/13/15"), &shape));
        assert_false(cell_date(cell("13/6/15"), 0, &day));
        assert_false(cell_date(cell("2025/02/29"), 0, &day));
        assert_false(cell_date(cell("2025/13/01"), 0, &day));
        assert_false(cell_date(cell("2025/00/10"), 0, &day));
        assert_false(cell_date(cell("2025/1-10"), 0, &day));
        assert_false(cell_date(cell("2025/1/1x"), 0, &day));
        assert_false(cell_date(cell("2/12/018"), 0, &day));
        assert_false(cell_date(cell("0025/01/01"), 0, &day));
        assert_false(cell_date(cell("20250101"), 0, &day));
        assert_false(cell_date(cell(""), 0, &day));
}

static void clock_is(const char *text, uint32_t expected) {
        uint32_t second;

        assert_true(cell_clock(cell(text), &second));
        assert_int_equal(second, expected);
}

static void times_are_read_with_and_without_a_half_of_the_day(void **state) {
        static const char *const bad[] = { "24:00:00", "23:60:00", "0:10:00 AM", "13:00:00 PM", "12:00:00 XM", "12:00:00 A", "12", "12:", "" };
        uint32_t second;
        int64_t ms;

        (void) state;
        clock_is("23:59:59", 86399);
        clock_is("9:05:01", 32701);
        clock_is("12:00:00 AM", 0);
        clock_is("12:00:00 PM", 43200);
        clock_is("01:20:53 p. m.", 48053);
        clock_is("1:20 PM", 48000);
        clock_is("23:00", 82800);
        for (size_t i = 0; i != N_ELEMENTS(bad); i++)
                assert_false(cell_clock(cell(bad[i]), &second));

        assert_true(cell_duration(cell("26:30:00"), &second));
        assert_int_equal(second, 95400);
        assert_true(cell_moment(cell("2022/03/27 10:56:06"), 0, &ms));
        assert_int_equal(ms, INT64_C(1648378566000));
        assert_true(cell_moment(cell("3/27/2022 10:56"), 0, &ms));
        assert_int_equal(ms, INT64_C(1648378560000));
}

static void only_zones_of_this_machine_are_loaded(void **state) {
        static const char *const bad[] = { "", "Nowhere/City", "../../etc/passwd", "/etc/localtime", "Europe", "Europe/../UTC",
                                           "Europe//Berlin", ":UTC", "UTC0", "CET-1CEST", "Europe/Berlin\n", "tzdata.zi" };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(bad); i++)
                assert_true(in_zone(bad[i]) > 0);
        assert_int_equal(in_zone("America/Argentina/Buenos_Aires"), 0);
        assert_int_equal(in_zone("Etc/GMT+5"), 0);
}

static void periods_of_other_zones_begin_on_their_days(void **state) {
        static const char *const bad[] = { "Europe/Berlin;", "Europe/Berlin;2024-05-01", "Europe/Berlin;2024-02-30=UTC", "Europe/Berlin;2024-05-01=",
                                           "Europe/Berlin;2024-05-02=UTC;2024-05-01=UTC", "Europe/Berlin;2024-05-01=UTC;2024-05-01=UTC", "2024-05-01=UTC" };
        char many[ZONES_SPEC_MAX] = "UTC", before[64] = "";
        int32_t day;
        size_t n;

        (void) state;
        assert_int_equal(setenv("TZ", "Asia/Tokyo", 1), 0);
        for (size_t i = 0; i != N_ELEMENTS(bad); i++)
                assert_true(in_zone(bad[i]) > 0);
        assert_int_equal(in_zone("Europe/Berlin;2024-05-01=America/New_York;2024-06-01=Europe/Berlin"), 0);
        (void) snprintf(before, sizeof(before), "%s", getenv("TZ"));
        assert_string_equal(before, "Asia/Tokyo");

        assert_int_equal(zones_n(test_zones), 3);
        assert_string_equal(zones_at(test_zones, 1, &day), "America/New_York");
        assert_int_equal(day, 19844);
        /* the last second of April, the first of May, the first of June */
        assert_int_equal(zones_resolve(test_zones, INT64_C(1714521599000), ZONE_UNKNOWN).offset_min, 120);
        assert_int_equal(zones_resolve(test_zones, INT64_C(1714521600000), ZONE_UNKNOWN).offset_min, -240);
        assert_int_equal(zones_resolve(test_zones, INT64_C(1717200000000), ZONE_UNKNOWN).offset_min, 120);
        assert_string_equal(zones_name(test_zones, INT64_C(1717200000000)), "Europe/Berlin");

        for (unsigned i = 0; i != ZONES_MAX; i++) {
                assert_int_equal(in_zone(many), 0);
                n = strlen(many);
                (void) snprintf(many + n, sizeof(many) - n, ";20%02u-01-01=UTC", i + 10);
        }
        assert_int_equal(in_zone(many), ZONES_E_SPEC);
}

static void a_zone_is_as_libc_has_it(void **state) {
        static const char *const names[] = { "Europe/Dublin", "America/St_Johns", "Africa/Casablanca", "Asia/Kathmandu", "Pacific/Apia", "America/Sao_Paulo" };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(names); i++) {
                assert_int_equal(in_zone(names[i]), 0);
                assert_int_equal(setenv("TZ", names[i], 1), 0);
                tzset();
                for (int64_t s = 631152000; s < INT64_C(4102444800); s += 7 * 3600 + 13 * 60) {
                        time_t t = (time_t) s;
                        struct tm tm;
                        ZoneTime time;

                        assert_non_null(localtime_r(&t, &tm));
                        time = zones_resolve(test_zones, (s + tm.tm_gmtoff) * 1000, tm.tm_isdst > 0 ? ZONE_FIRST : ZONE_SECOND);
                        if (time.clock == RECORD_CLOCK_ZONE)
                                assert_int_equal(time.utc_ms, s * 1000);
                }
        }
        assert_int_equal(unsetenv("TZ"), 0);
}

static void hours_that_a_zone_repeats_or_skips_are_known(void **state) {
        ZoneTime time;

        (void) state;
        assert_int_equal(in_zone("Europe/Berlin"), 0);

        /* 2025-10-26 02:30, shown twice */
        time = zones_resolve(test_zones, INT64_C(1761445800000), ZONE_UNKNOWN);
        assert_int_equal(time.clock, RECORD_CLOCK_AMBIGUOUS);
        assert_int_equal(time.offset_min, 120);
        time = zones_resolve(test_zones, INT64_C(1761445800000), ZONE_FIRST);
        assert_int_equal(time.clock, RECORD_CLOCK_REPEATED);
        assert_int_equal(time.offset_min, 120);
        time = zones_resolve(test_zones, INT64_C(1761445800000), ZONE_SECOND);
        assert_int_equal(time.offset_min, 60);
        assert_int_equal(time.utc_ms, INT64_C(1761442200000));
        assert_int_equal(zones_resolve(test_zones, INT64_C(1761443999000), ZONE_UNKNOWN).clock, RECORD_CLOCK_ZONE); /* 01:59:59 */
        assert_int_equal(zones_resolve(test_zones, INT64_C(1761444000000), ZONE_UNKNOWN).clock, RECORD_CLOCK_AMBIGUOUS); /* 02:00:00 */
        assert_int_equal(zones_resolve(test_zones, INT64_C(1761447600000), ZONE_UNKNOWN).offset_min, 60); /* 03:00:00 */

        /* 2025-03-30 02:30, never shown */
        time = zones_resolve(test_zones, INT64_C(1743301800000), ZONE_UNKNOWN);
        assert_int_equal(time.clock, RECORD_CLOCK_SKIPPED);
        assert_int_equal(time.offset_min, 60);
        assert_int_equal(zones_resolve(test_zones, INT64_C(1743303600000), ZONE_UNKNOWN).offset_min, 120); /* 03:00:00 */

        /* half an hour, southern: Lord Howe put the clock back from 02:00 to 01:30 on 2025-04-06 */
        assert_int_equal(in_zone("Australia/Lord_Howe"), 0);
        assert_int_equal(zones_resolve(test_zones, INT64_C(1743903900000), ZONE_UNKNOWN).clock, RECORD_CLOCK_AMBIGUOUS); /* 01:45 */
        assert_int_equal(zones_resolve(test_zones, INT64_C(1743903900000), ZONE_FIRST).offset_min, 660);
        assert_int_equal(zones_resolve(test_zones, INT64_C(1743903900000), ZONE_SECOND).offset_min, 630);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(lines_end_with_lf_crlf_or_cr),
                cmocka_unit_test(a_line_of_64_kib_is_read_and_one_more_byte_is_refused),
                cmocka_unit_test(lines_across_the_buffer_s_end_come_whole),
                cmocka_unit_test(quotes_are_undone_and_a_lone_one_is_an_error),
                cmocka_unit_test(five_hundred_and_twelve_columns_are_read_and_one_more_is_refused),
                cmocka_unit_test(bytes_that_are_no_text_are_refused),
                cmocka_unit_test(numbers_are_read_to_the_last_digit),
                cmocka_unit_test(dates_are_read_as_the_file_s_shapes_say),
                cmocka_unit_test(times_are_read_with_and_without_a_half_of_the_day),
                cmocka_unit_test(only_zones_of_this_machine_are_loaded),
                cmocka_unit_test(periods_of_other_zones_begin_on_their_days),
                cmocka_unit_test(a_zone_is_as_libc_has_it),
                cmocka_unit_test(hours_that_a_zone_repeats_or_skips_are_known),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
