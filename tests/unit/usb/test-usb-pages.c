/* SPDX-License-Identifier: Apache-2.0 */

/* Files of a pump's memory, made here; real ones are compared by compare.py. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>
#include <sys/mman.h>

#include "daemon/workers/usb/pages.h"
#include "daemon/workers/usb/paradigm.h"

enum {
        SEEN_MAX = 256,
        TEXT_SIZE = 256 * 1024,
};

typedef struct Seen {
        uint8_t identities[SEEN_MAX][RECORD_IDENTITY_SIZE];
        int64_t local_ms[SEEN_MAX];
        size_t n_records, n_rejected, n_notes;
        char serial[64], reason[256], note[320];
        char refusal[IMPORT_REFUSAL_MAX];
        FrameImportEnd end;
        int r;
} Seen;

static Seen seen;
static char text[TEXT_SIZE];
static size_t n_text;

static int on_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        (void) snprintf(seen.serial, sizeof(seen.serial), "%s", source->serial);
        return 0;
}

static int on_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        (void) userdata;
        (void) is_extra;
        assert_int_equal(line, 0);
        assert_true(record_valid(record));
        assert_true(seen.n_records < SEEN_MAX);
        memcpy(seen.identities[seen.n_records], record->identity, RECORD_IDENTITY_SIZE);
        seen.local_ms[seen.n_records++] = record->local_ms;
        return 0;
}

static int on_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) row;
        assert_int_equal(line, 0);
        assert_true(n_row <= 1024);
        if (!strstr(reason, "its next bytes"))
                (void) snprintf(seen.reason, sizeof(seen.reason), "%s", reason);
        seen.n_rejected++;
        return 0;
}

static int on_note(void *userdata, const char *note) {
        (void) userdata;
        (void) snprintf(seen.note, sizeof(seen.note), "%s", note);
        seen.n_notes++;
        return 0;
}

static bool has_no_checksums;

static bool run(const void *bytes, size_t n, const char *model, const char *serial) {
        static const ImportSink sink = { .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note };
        static Zones *zones;
        FrameImportRequest request = { .version = FRAME_VERSION, .now_utc_ms = INT64_C(1700000000000), .has_no_checksums = has_no_checksums };
        int fd = memfd_create("pages", MFD_CLOEXEC);
        bool is_taken;

        memset(&seen, 0, sizeof(seen));
        if (!zones)
                assert_int_equal(zones_load(&zones, "Europe/Berlin"), 0);
        assert_true(fd >= 0);
        assert_int_equal(pwrite(fd, bytes, n, 0), (ssize_t) n);
        (void) snprintf(request.model, sizeof(request.model), "%s", model);
        (void) snprintf(request.serial, sizeof(request.serial), "%s", serial);
        is_taken = pages_is(fd, &request);
        if (is_taken)
                seen.r = pages_run(fd, &request, zones, &sink, &seen.end, seen.refusal);
        close_fd(fd);
        return is_taken;
}

static void refused(const void *bytes, size_t n, const char *model, const char *serial, const char *words) {
        assert_true(run(bytes, n, model, serial));
        assert_int_equal(seen.r, IMPORT_E_REFUSED);
        if (!strstr(seen.refusal, words))
                fail_msg("refused with \"%s\", not \"%s\"", seen.refusal, words);
}

static void taken(const void *bytes, size_t n, const char *model, const char *serial) {
        assert_true(run(bytes, n, model, serial));
        if (seen.r == IMPORT_E_REFUSED)
                fail_msg("refused: %s", seen.refusal);
        assert_int_equal(seen.r, 0);
}

static uint8_t *make(uint8_t page[static PARADIGM_PAGE_SIZE], const void *records, size_t n) {
        uint16_t crc;

        memset(page, 0, PARADIGM_PAGE_SIZE);
        if (n)
                memcpy(page, records, n);
        crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);
        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
        return page;
}

/* 2015-05-17 11:42 and this second */
#define RESUME(second) 0x1f, 0x20, 0x40 | (second), 0x6a, 0x0b, 0x11, 0x0f
#define SUSPEND(second) 0x1e, 0x01, 0x40 | (second), 0x6a, 0x0b, 0x11, 0x0f

static const uint8_t older[] = { SUSPEND(1), RESUME(2) }, newer[] = { SUSPEND(3), RESUME(4), SUSPEND(5) };
/* from its end: a timestamp of 2015-05-17 11:42, then readings of 200, 100 and 98 mg/dL */
static const uint8_t sensor[] = { 0x31, 0x32, 0x64, 0x0f, 0x11, 0x6a, 0x4b, 0x08 };

static uint8_t pages[8 * PARADIGM_PAGE_SIZE];

static void two_pages(void) {
        make(pages, newer, sizeof(newer));
        make(pages + PARADIGM_PAGE_SIZE, older, sizeof(older));
}

static void a_file_is_known_by_what_it_holds(void **state) {
        static const char *const others[] = {
                "Index;Date;Time\n0;2025/05/03;10:00:00\n", "{\"name\":\"x\"}\n", "[]", "out of order\n", "\xff\xfeI\0n\0d\0", "\xef\xbb\xbfIndex",
        };

        static const char *const traces[] = { "\n{\"d\": \"w\", \"n\": 1, \"hex\": \"00\"}\n", "{\"trace\":1,\"device\":\"carelink-stick\"}\n", "out,04 00\n" };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(others); i++)
                assert_false(run(others[i], strlen(others[i]), "", ""));
        assert_false(run("PK\3\4", 4, "", ""));
        memset(pages, 0, sizeof(pages));
        memcpy(pages, "PK\3\4", 4);
        assert_false(run(pages, PARADIGM_PAGE_SIZE, "", ""));
        assert_false(run("", 0, "", ""));
        two_pages();
        assert_false(run(pages, PARADIGM_PAGE_SIZE - 1, "", ""));
        assert_true(run(pages, PARADIGM_PAGE_SIZE, "", ""));
        assert_true(run(pages, 7, "723", ""));
        assert_true(run("00 1f 2a\n", 9, "", ""));
        for (size_t i = 0; i != N_ELEMENTS(traces); i++)
                assert_true(run(traces[i], strlen(traces[i]), "", ""));
}

static void whose_memory_it_is_must_be_said(void **state) {
        (void) state;
        two_pages();
        refused(pages, PARADIGM_PAGE_SIZE, "", "", "--model");
        refused(pages, PARADIGM_PAGE_SIZE, "723", "", "--serial");
        refused(pages, PARADIGM_PAGE_SIZE, "", "345192", "--model");
        refused(pages, PARADIGM_PAGE_SIZE, "640", "345192", "no pump 640");
        refused("Index;Date;Time\n", 16, "723", "345192", "leave off --model");
        taken(pages, PARADIGM_PAGE_SIZE, "723", "345192");
        assert_string_equal(seen.serial, "#345192");
        assert_string_equal(seen.end.format, "Paradigm Revel - 723, memory pages");
        assert_int_equal(seen.n_records, 3);
        assert_int_equal(seen.end.n_rows, 3);
}

static size_t to_hex(const uint8_t *bytes, size_t n, const char *between) {
        n_text = 0;
        for (size_t i = 0; i != n; i++)
                n_text += (size_t) snprintf(text + n_text, TEXT_SIZE - n_text, "%02X%s", bytes[i], i % 16 == 15 ? "\n" : between);
        return n_text;
}

static void pages_in_any_order_and_as_hex_are_the_same(void **state) {
        uint8_t backward[2 * PARADIGM_PAGE_SIZE];
        Seen first;

        (void) state;
        two_pages();
        taken(pages, 2 * PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_records, 5);
        first = seen;
        memcpy(backward, pages + PARADIGM_PAGE_SIZE, PARADIGM_PAGE_SIZE);
        memcpy(backward + PARADIGM_PAGE_SIZE, pages, PARADIGM_PAGE_SIZE);
        taken(backward, sizeof(backward), "723", "345192");
        assert_memory_equal(&first, &seen, sizeof(seen));
        taken(text, to_hex(pages, 2 * PARADIGM_PAGE_SIZE, ""), "723", "345192");
        assert_memory_equal(&first, &seen, sizeof(seen));
        taken(text, to_hex(pages, 2 * PARADIGM_PAGE_SIZE, " "), "723", "345192");
        assert_memory_equal(&first, &seen, sizeof(seen));

        refused(text, n_text - 2, "723", "345192", "odd");
        text[5000] = 'x';
        refused(text, n_text, "723", "345192", "byte 5000");
}

static void a_damaged_or_cut_page_is_reported_and_the_others_are_read(void **state) {
        (void) state;
        two_pages();
        pages[100] ^= 1;
        taken(pages, 2 * PARADIGM_PAGE_SIZE + 64, "723", "345192");
        assert_int_equal(seen.n_records, 2);
        assert_int_equal(seen.n_rejected, 3); /* two rows of 512 bytes, and the tail */
        assert_int_equal(seen.end.n_rejected, 3);
        assert_int_equal(seen.end.n_rows, 5);
        assert_string_equal(seen.reason, "block 3 of the file, byte 2048, is 64 bytes long and not whole: a page has 1024, the two of its checksum included");
        refused(pages, PARADIGM_PAGE_SIZE, "723", "345192", "wrong checksum");
        refused(pages, PARADIGM_PAGE_SIZE - 2, "723", "345192", "1022 bytes long and not whole");
        refused(pages, 1, "723", "345192", "not whole");
        refused(pages, 0, "723", "345192", "empty");
}

static void a_page_with_something_unknown_is_read_as_far_as_it_goes(void **state) {
        static const uint8_t records[] = { RESUME(1), SUSPEND(2), RESUME(3), 0xf9, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10 };

        (void) state;
        make(pages, records, sizeof(records));
        taken(pages, PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_records, 3);
        assert_int_equal(seen.n_rejected, 1);
        assert_string_equal(seen.reason, "history page 0, byte 21: record type f9 is not known, nor what follows it");
}

static void a_page_that_reads_neither_way_is_not_guessed(void **state) {
        static const uint8_t nonsense[] = { 0xf9, 0x01, 0x02, 0x11 };

        (void) state;
        make(pages, nonsense, sizeof(nonsense));
        refused(pages, PARADIGM_PAGE_SIZE, "723", "345192", "neither as history nor as glucose");
        /* an empty page is a page */
        make(pages, NULL, 0);
        taken(pages, PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_records, 0);
}

static void make_isig(uint8_t isig[static PARADIGM_ISIG_PAGE_SIZE], uint8_t low) {
        uint16_t crc;

        memset(isig, 0, PARADIGM_ISIG_PAGE_SIZE);
        for (size_t i = 0; i != sizeof(sensor); i++) {
                isig[2 * i] = low;
                isig[2 * i + 1] = 0x0a;
        }
        crc = paradigm_crc16(isig, PARADIGM_ISIG_PAGE_SIZE - 4);
        isig[2044] = (uint8_t) (crc >> 8);
        isig[2046] = (uint8_t) crc;
}

static void sensor_currents_belong_to_the_page_before_them(void **state) {
        (void) state;
        make(pages, sensor, sizeof(sensor));
        make_isig(pages + PARADIGM_PAGE_SIZE, 0x23);
        make(pages + 3 * PARADIGM_PAGE_SIZE, newer, sizeof(newer));
        taken(pages, 4 * PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_rejected, 0);
        assert_int_equal(seen.n_records, 3 + 3 + 1);
        refused(pages + PARADIGM_PAGE_SIZE, PARADIGM_ISIG_PAGE_SIZE, "723", "345192", "without their glucose page");
        /* without them a 723 does not say the lowest bit, a 722 has none */
        taken(pages, PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_records, 4);
        assert_int_equal(seen.n_rejected, 0);
        assert_non_null(strstr(seen.note, "each of its 3 readings may be 1 mg/dL more"));
        taken(pages, PARADIGM_PAGE_SIZE, "722", "345192");
        assert_int_equal(seen.n_records, 4);
        assert_int_equal(seen.n_rejected, 0);
        assert_string_equal(seen.note, "");
}

static void pages_without_checksums_are_taken_when_that_is_said_and_they_read_through(void **state) {
        enum { N = PARADIGM_PAGE_SIZE - 2 };
        uint8_t bytes[3 * PARADIGM_PAGE_SIZE];

        (void) state;
        two_pages();
        memcpy(bytes, pages, N);
        memcpy(bytes + N, pages + PARADIGM_PAGE_SIZE, N);
        make(pages, sensor, sizeof(sensor));
        memcpy(bytes + 2 * N, pages, N);
        refused(bytes, 3 * N, "722", "345192", "--no-checksum");

        has_no_checksums = true;
        taken(bytes, 3 * N, "722", "345192");
        assert_int_equal(seen.n_records, 3 + 2 + 4);
        assert_int_equal(seen.n_rejected, 0);
        assert_non_null(strstr(seen.note, "not verified"));
        assert_non_null(strstr(seen.note, "3 of them"));
        assert_non_null(strstr(seen.end.format, "unverified"));
        taken(bytes, N + sizeof(older), "722", "345192"); /* zeros at the end are left out */
        assert_int_equal(seen.n_records, 3 + 2);

        /* what does not read through is not taken, here because it is cut, or has pages with their checksums after all */
        taken(bytes, N + sizeof(older) - 1, "722", "345192");
        assert_int_equal(seen.n_records, 3);
        assert_non_null(strstr(seen.reason, "does not read through"));
        two_pages();
        taken(pages, 2 * PARADIGM_PAGE_SIZE, "722", "345192");
        assert_int_equal(seen.n_records, 3);
        bytes[0] = 0xff; /* no record, and no event that a sensor page ends with */
        bytes[1] = 0x11;
        refused(bytes, N, "722", "345192", "does not read through");
        has_no_checksums = false;
}

static void a_file_has_no_more_pages_than_a_pump(void **state) {
        static uint8_t many[65 * PARADIGM_PAGE_SIZE];
        static char *large;
        size_t n_large = PAGES_FILE_MAX + 1;

        (void) state;
        for (size_t i = 0; i != 65; i++) {
                uint8_t record[] = { RESUME(0) };

                record[3] = (uint8_t) (0x40 | i % 60);
                record[4] = (uint8_t) (i / 60);
                make(many + (64 - i) * PARADIGM_PAGE_SIZE, record, sizeof(record));
        }
        taken(many + PARADIGM_PAGE_SIZE, 64 * PARADIGM_PAGE_SIZE, "723", "345192");
        assert_int_equal(seen.n_records, 64);
        refused(many, 65 * PARADIGM_PAGE_SIZE, "723", "345192", "more pages");

        large = malloc(n_large);
        assert_non_null(large);
        memset(large, ' ', n_large);
        refused(large, n_large, "723", "345192", "16 MiB");
        refused(large, n_large - 1, "723", "345192", "no page");
        free(large);
}

/* --- transcripts --- */

static void add(const char *format, ...) printf_like(1, 2);
static void add(const char *format, ...) {
        va_list args;

        va_start(args, format);
        n_text += (size_t) vsnprintf(text + n_text, TEXT_SIZE - n_text, format, args);
        va_end(args);
        assert_true(n_text < TEXT_SIZE);
}

static void transfer(char direction, const uint8_t *bytes, size_t n) {
        add("{\"d\":\"%c\",\"n\":%zu,\"hex\":\"", direction, n);
        for (size_t i = 0; i != n; i++)
                add("%02x", bytes[i]);
        add("\"}\n");
}

static const uint8_t serial_a[] = { 0x34, 0x51, 0x92 }, serial_b[] = { 0x34, 0x51, 0x93 };

static void ask(const uint8_t serial[static 3], uint8_t opcode, const uint8_t *parameters, uint8_t n_parameters) {
        uint8_t packet[24] = { 0x01, 0x00, 0xa7, 0x01, serial[0], serial[1], serial[2], 0x80, n_parameters, 0, 2, opcode == 0x8d ? 1 : 2, 0, opcode };

        packet[14] = paradigm_crc8(packet, 14);
        if (n_parameters)
                memcpy(packet + 15, parameters, n_parameters);
        packet[15 + n_parameters] = paradigm_crc8(parameters, n_parameters);
        transfer('w', packet, 16u + n_parameters);
        transfer('r', (const uint8_t[64]) { 0x01, 0x55 }, 64);
}

static void answer(const uint8_t serial[static 3], uint8_t kind, const uint8_t *body, size_t n, bool is_end) {
        uint8_t frame[256] = { 0x02, 0x00, kind, 0, 0xde, (uint8_t) ((is_end ? 0x80 : 0) | n >> 8), (uint8_t) n, 0xa7, 0x01, serial[0], serial[1], serial[2] };
        uint8_t download[5] = { 0x0c, 0, 0, (uint8_t) (n + 14) };

        frame[12] = paradigm_crc8(frame, 12);
        memcpy(frame + 13, body, n);
        frame[13 + n] = paradigm_crc8(body, n);
        download[4] = paradigm_crc8(download, 4);
        transfer('w', download, sizeof(download));
        for (size_t at = 0; at < n + 14; at += 64)
                transfer('r', frame + at, n + 14 - at < 64 ? n + 14 - at : 64);
}

static void say_model(const uint8_t serial[static 3], const char *model) {
        uint8_t reply[64] = { 3 };

        memcpy(reply + 1, model, 3);
        ask(serial, 0x8d, NULL, 0);
        answer(serial, 3, reply, sizeof(reply), true);
}

static void send_page(uint8_t number, const uint8_t *page, size_t n) {
        ask(serial_a, 0x80, &number, 1);
        for (size_t at = 0; at < n; at += 64)
                answer(serial_a, 4, page + at, 64, at + 64 == PARADIGM_PAGE_SIZE);
}

static void begin(const char *serials) {
        n_text = 0;
        if (serials)
                add("{\"trace\":1,\"device\":\"carelink-stick\",\"serials\":\"%s\",\"more\":true}\n", serials);
        transfer('w', (const uint8_t[]) { 4, 0, 0 }, 3);
        transfer('r', (const uint8_t[64]) { 0x01, 0x55 }, 64);
}

static void a_trace_gives_what_its_pages_give(void **state) {
        Seen first;

        (void) state;
        two_pages();
        taken(pages, 2 * PARADIGM_PAGE_SIZE, "723", "345192");
        first = seen;

        begin("real");
        say_model(serial_a, "723");
        ask(serial_a, 0x4d, (const uint8_t[]) { 1 }, 1); /* what other programs do */
        answer(serial_a, 1, (const uint8_t[]) { 0 }, 1, true);
        send_page(0, pages, 448);
        send_page(0, pages, PARADIGM_PAGE_SIZE); /* asked for again */
        send_page(1, pages + PARADIGM_PAGE_SIZE, PARADIGM_PAGE_SIZE);
        ask(serial_a, 0x80, (const uint8_t[]) { 2 }, 1);
        answer(serial_a, 2, (const uint8_t[]) { 8 }, 1, true); /* there is no such page */
        taken(text, n_text, "", "");
        assert_int_equal(seen.n_rejected, 0);
        assert_int_equal(seen.n_notes, 0);
        assert_int_equal(seen.n_records, first.n_records);
        assert_memory_equal(seen.identities, first.identities, sizeof(seen.identities));

        taken(text, n_text, "723", "345192");
        refused(text, n_text, "722", "", "says that it is a 723");
        refused(text, n_text, "", "345193", "another serial number");
}

static void what_a_trace_does_not_have_whole_is_reported(void **state) {
        (void) state;
        two_pages();
        begin(NULL);
        say_model(serial_a, "723");
        send_page(0, pages, 448);
        send_page(1, pages + PARADIGM_PAGE_SIZE, PARADIGM_PAGE_SIZE);
        add("{\"d\":\"r\",\"n\":64,\"hex\":\"01");
        taken(text, n_text, "", "");
        assert_int_equal(seen.n_records, 2);
        assert_int_equal(seen.n_rejected, 2);
        assert_string_equal(seen.reason, "history page 0 is 448 bytes long and not whole");

        begin(NULL);
        say_model(serial_a, "723");
        refused(text, n_text, "", "", "no page in this file");
        begin(NULL);
        refused(text, n_text, "", "", "no pump was asked");
        two_pages();
        send_page(0, pages, PARADIGM_PAGE_SIZE);
        refused(text, n_text, "", "", "Say it with --model");
        taken(text, n_text, "723", "");

        /* a frame that is missing in the middle, and one with a wrong checksum: the page is not put together from the rest */
        for (unsigned i = 0; i != 2; i++) {
                begin(NULL);
                say_model(serial_a, "723");
                ask(serial_a, 0x80, (const uint8_t[]) { 0 }, 1);
                for (size_t at = 0; at < PARADIGM_PAGE_SIZE; at += 64)
                        if (at != 512 || i == 1) {
                                answer(serial_a, 4, pages + at, 64, at + 64 == PARADIGM_PAGE_SIZE);
                                if (at == 512)
                                        text[n_text - 6] ^= 1;
                        }
                refused(text, n_text, "", "", "960 bytes long and not whole");
        }
}

static void a_trace_is_of_one_pump(void **state) {
        (void) state;
        two_pages();
        begin(NULL);
        say_model(serial_a, "723");
        say_model(serial_b, "723");
        refused(text, n_text, "", "", "several pumps");
        begin(NULL);
        say_model((const uint8_t[]) { 0xab, 0xcd, 0xef }, "723");
        refused(text, n_text, "", "", "no pump was asked");
}

static void replaced_serials_are_said_and_can_be_given(void **state) {
        (void) state;
        two_pages();
        begin("replaced");
        say_model(serial_a, "723");
        send_page(0, pages, PARADIGM_PAGE_SIZE);
        taken(text, n_text, "", "");
        assert_int_equal(seen.n_notes, 1);
        assert_non_null(strstr(seen.note, "replaced"));
        assert_string_equal(seen.serial, "#345192");
        taken(text, n_text, "", "111111");
        assert_int_equal(seen.n_notes, 0);
        assert_string_equal(seen.serial, "#111111");
}

static void a_trace_of_something_else_is_refused(void **state) {
        (void) state;
        n_text = 0;
        add("{\"trace\":2,\"device\":\"carelink-stick\"}\n");
        refused(text, n_text, "", "", "newer carewallet");
        n_text = 0;
        add("{\"trace\":1,\"device\":\"toaster\"}\n");
        refused(text, n_text, "", "", "does not know");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_file_is_known_by_what_it_holds),
                cmocka_unit_test(whose_memory_it_is_must_be_said),
                cmocka_unit_test(pages_in_any_order_and_as_hex_are_the_same),
                cmocka_unit_test(a_damaged_or_cut_page_is_reported_and_the_others_are_read),
                cmocka_unit_test(a_page_with_something_unknown_is_read_as_far_as_it_goes),
                cmocka_unit_test(a_page_that_reads_neither_way_is_not_guessed),
                cmocka_unit_test(sensor_currents_belong_to_the_page_before_them),
                cmocka_unit_test(pages_without_checksums_are_taken_when_that_is_said_and_they_read_through),
                cmocka_unit_test(a_file_has_no_more_pages_than_a_pump),
                cmocka_unit_test(a_trace_gives_what_its_pages_give),
                cmocka_unit_test(what_a_trace_does_not_have_whole_is_reported),
                cmocka_unit_test(a_trace_is_of_one_pump),
                cmocka_unit_test(replaced_serials_are_said_and_can_be_given),
                cmocka_unit_test(a_trace_of_something_else_is_refused),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
