/* SPDX-License-Identifier: Apache-2.0 */

/* The driver of the Contour Next Link, on a simulated one. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <stdio.h>

#include "daemon/workers/usb/contour-next-link.h"
#include "daemon/workers/usb/pull.h"
#include "tests/simulators/meter.h"

static uint8_t pages[3][PARADIGM_PAGE_SIZE], isig[2][PARADIGM_ISIG_PAGE_SIZE];
static Meter meter;
static Transport transport;
static ContourNextLink reader;

static void seal(uint8_t *page, size_t n, size_t at_high, size_t at_low) {
        uint16_t crc = paradigm_crc16(page, n);

        page[at_high] = (uint8_t) (crc >> 8);
        page[at_low] = (uint8_t) crc;
}

static int check_page(const uint8_t *page, size_t n) {
        return paradigm_page_check(page, n);
}

static int check_isig(const uint8_t *page, size_t n) {
        return paradigm_isig_check(page, n);
}

static void plug_in(void) {
        meter_init(&meter, "345192", "723");
        for (size_t i = 0; i != 3; i++) {
                for (size_t j = 0; j != PARADIGM_PAGE_SIZE - 2; j++)
                        pages[i][j] = (uint8_t) (i * 7 + j);
                seal(pages[i], PARADIGM_PAGE_SIZE - 2, PARADIGM_PAGE_SIZE - 2, PARADIGM_PAGE_SIZE - 1);
                meter.pages[i] = pages[i];
        }
        for (size_t i = 0; i != 2; i++) {
                for (size_t j = 0; j != PARADIGM_ISIG_PAGE_SIZE; j++)
                        isig[i][j] = (uint8_t) (i * 5 + j);
                seal(isig[i], 2044, 2044, 2046);
                meter.glucose[i] = pages[i];
                meter.isig[i] = isig[i];
        }
        meter.n_pages = 3;
        meter.n_glucose = 2;
        meter.newest_glucose = 300;
        transport = meter_transport(&meter);
}

/* Everything that a meter and its pump are asked, as far as it comes. */
static int session(size_t *ret_n_pages) {
        static const uint8_t questions[] = { 0x8d, 0x70, 0x72, 0xc0, 0x9d, 0xcd };
        uint8_t reply[CONTOUR_NEXT_LINK_REPLY], page[PARADIGM_ISIG_PAGE_SIZE];
        size_t n;
        int r;

        *ret_n_pages = 0;
        r = contour_next_link_open(&reader, &transport, "345192");
        for (size_t i = 0; i != sizeof(questions) && r == 0; i++)
                r = contour_next_link_ask(&reader, questions[i], reply);
        for (uint32_t i = 0; i != 3 && r == 0; i++) {
                r = contour_next_link_page(&reader, 0x80, i, page, PARADIGM_PAGE_SIZE, check_page, &n);
                if (r == 0) {
                        assert_memory_equal(page, pages[i], PARADIGM_PAGE_SIZE);
                        (*ret_n_pages)++;
                }
        }
        for (uint32_t i = 0; i != 2 && r == 0; i++) {
                r = contour_next_link_page(&reader, 0x9a, 300 - i, page, PARADIGM_PAGE_SIZE, check_page, &n);
                if (r == 0) {
                        assert_memory_equal(page, pages[i], PARADIGM_PAGE_SIZE);
                        (*ret_n_pages)++;
                        r = contour_next_link_page(&reader, 0x9b, 300 - i, page, PARADIGM_ISIG_PAGE_SIZE, check_isig, &n);
                }
                if (r == 0)
                        assert_memory_equal(page, isig[i], PARADIGM_ISIG_PAGE_SIZE);
        }
        assert_int_equal(meter.n_refused, 0);
        return r;
}

static void only_reads_can_be_framed(void **state) {
        static const uint8_t reads[] = { 0x70, 0x72, 0x80, 0x8d, 0x9a, 0x9b, 0x9d, 0xc0, 0xcd };
        uint8_t reports[2 * CONTOUR_NEXT_LINK_REPORT], parameters[8];
        unsigned n_framed = 0;
        size_t n;

        (void) state;
        for (unsigned opcode = 0; opcode != 300; opcode++) {
                for (size_t n_parameters = 0; n_parameters <= sizeof(parameters); n_parameters++) {
                        for (unsigned value = 0; value != 256; value++) {
                                int r;

                                memset(parameters, (int) value, sizeof(parameters));
                                r = contour_next_link_frame("345192", opcode, parameters, n_parameters, reports, &n);
                                if (r) {
                                        assert_int_equal(r, CONTOUR_NEXT_LINK_E_FORBIDDEN);
                                        continue;
                                }
                                n_framed++;
                                assert_true(opcode < 256);
                                assert_non_null(memchr(reads, (int) opcode, sizeof(reads)));
                                assert_int_equal(n, n_parameters ? 2 : 1);
                                assert_true(n_parameters == 0 || n_parameters == (opcode == 0x80 ? 1 : 4));
                                assert_memory_equal(reports + 4, "\x51\x01" "345192", 8);
                                assert_int_equal(reports[4 + 18], 0x12);
                                assert_memory_equal(reports + 4 + 33, "\xa7\x34\x51\x92", 4);
                                assert_int_equal(reports[4 + 33 + 4], opcode);
                        }
                }
        }
        assert_int_equal(n_framed, 256 * (sizeof(reads) + 3));
        assert_int_equal(contour_next_link_frame("34519x", 0x8d, NULL, 0, reports, &n), CONTOUR_NEXT_LINK_E_FORBIDDEN);
}

/* Laid out by hand from the public description. */
static void a_question_is_laid_out_as_described(void **state) {
        static const uint8_t model[] = {
                0, 0, 0, 40, 0x51, 0x01, '3', '4', '5', '1', '9', '2', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x12, 0x21, 0x05, 0, 0, 0, 0, 0, 0, 0, 7, 0, 0, 0,
                0x38, 0xa7, 0x34, 0x51, 0x92, 0x8d, 0x00,
        };
        uint8_t reports[2 * CONTOUR_NEXT_LINK_REPORT];
        unsigned sum = 0;
        size_t n;

        (void) state;
        assert_int_equal(contour_next_link_frame("345192", 0x8d, NULL, 0, reports, &n), 0);
        for (size_t i = 4; i != 44; i++)
                sum += i == 36 ? 0 : reports[i];
        assert_int_equal(reports[36], sum & 0xff);
        assert_memory_equal(reports, model, 36);
        assert_memory_equal(reports + 37, model + 37, 6);
        assert_int_equal(reports[43], paradigm_crc8(model + 37, 6));

        assert_int_equal(contour_next_link_frame("345192", 0x9b, (const uint8_t[]) { 0, 0, 1, 44 }, 4, reports, &n), 0);
        assert_int_equal(n, 2);
        assert_int_equal(reports[3], 60);
        assert_memory_equal(reports + 4 + 21, "\0\0\0\x08\x10\x10\0\x47\0\0\0", 11);
        assert_memory_equal(reports + 4 + 33 + 4, "\x9b\x04\0\0\x01\x2c", 6);
        assert_int_equal(reports[64 + 3], 44);
}

static void a_whole_session_gives_what_the_pump_has(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE], reply[CONTOUR_NEXT_LINK_REPLY];
        size_t n;

        (void) state;
        plug_in();
        meter.has_bad_sums = true; /* of glucose pages: their own checksum counts */
        assert_int_equal(session(&n), 0);
        assert_int_equal(n, 5);
        assert_int_equal(reader.n_retries, 0);
        assert_int_equal(contour_next_link_ask(&reader, 0x8d, reply), 0);
        assert_memory_equal(reply, "\x03" "723", 4);
        assert_int_equal(contour_next_link_page(&reader, 0x80, 3, page, sizeof(page), check_page, &n), CONTOUR_NEXT_LINK_E_REFUSED);
        assert_int_equal(contour_next_link_page(&reader, 0x9a, 7, page, sizeof(page), check_page, &n), CONTOUR_NEXT_LINK_E_REFUSED);
        assert_int_equal(contour_next_link_ask(&reader, 0x4d, reply), CONTOUR_NEXT_LINK_E_FORBIDDEN);
        assert_int_equal(contour_next_link_close(&reader), 0);
        assert_false(meter.is_open);
}

static void what_is_wrong_is_said(void **state) {
        uint8_t page[PARADIGM_PAGE_SIZE];
        size_t n;

        (void) state;
        plug_in();
        meter.is_deaf = true;
        assert_int_equal(contour_next_link_open(&reader, &transport, "345192"), CONTOUR_NEXT_LINK_E_NO_PUMP);
        assert_int_equal(reader.refusal, 0x0e);
        plug_in();
        assert_int_equal(contour_next_link_open(&reader, &transport, "345193"), CONTOUR_NEXT_LINK_E_SILENT);
        plug_in();
        meter.bad_page = 1;
        assert_int_equal(contour_next_link_open(&reader, &transport, "345192"), 0);
        assert_int_equal(contour_next_link_page(&reader, 0x80, 1, page, sizeof(page), check_page, &n), CONTOUR_NEXT_LINK_E_GARBLED);
        assert_int_equal(n, sizeof(page));
        assert_int_equal(meter.n_pages_sent, 3);
        assert_int_equal(contour_next_link_page(&reader, 0x80, 2, page, sizeof(page), check_page, &n), 0);
}

static void a_fault_at_any_transfer_hangs_nothing_and_is_no_wrong_page(void **state) {
        unsigned n_transfers;
        size_t n;

        (void) state;
        plug_in();
        assert_int_equal(session(&n), 0);
        n_transfers = meter.n_transfers;
        for (unsigned fault = METER_UNPLUG; fault <= METER_NAK; fault++) {
                for (unsigned at = 1; at <= n_transfers; at++) {
                        int r;

                        plug_in();
                        meter.fault = (MeterFault) fault;
                        meter.fault_at = at;
                        r = session(&n); /* compares every page that it gets */
                        assert_true(meter.n_transfers < 3 * n_transfers);
                        if (fault == METER_UNPLUG)
                                assert_int_equal(r, -ENODEV);
                        else if (fault == METER_CANCEL)
                                assert_int_equal(r, -ECANCELED);
                        r = contour_next_link_close(&reader);
                        assert_int_equal(r, fault == METER_UNPLUG ? -ENODEV : 0);
                }
        }
        /* one fault every now and then is got over */
        for (unsigned fault = METER_STALL; fault <= METER_FLIP; fault++) {
                plug_in();
                meter.fault = (MeterFault) fault;
                meter.fault_at = 40;
                meter.fault_every = 97;
                assert_int_equal(session(&n), 0);
                assert_true(reader.n_retries > 0);
        }
}

/* --- the session of a pull --- */

static size_t n_records;
static char last_note[512];

static int on_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        assert_string_equal(source->serial, "#345192");
        return 0;
}

static int on_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        (void) userdata;
        (void) page;
        (void) is_extra;
        assert_true(record_valid(record));
        n_records += record->kind == RECORD_BASAL;
        return 0;
}

static int on_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) page;
        (void) reason;
        (void) row;
        (void) n_row;
        return 0;
}

static int on_note(void *userdata, const char *text) {
        (void) userdata;
        (void) snprintf(last_note, sizeof(last_note), "%s", text);
        return 0;
}

static int pull(const char *serial, FrameUsbPump *ret, char refusal[static PULL_REFUSAL_MAX]) {
        static const ImportSink sink = { .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note };
        static Zones *zones;
        FrameUsbRequest request = { .version = FRAME_VERSION, .now_utc_ms = INT64_C(1432838783000) };
        FrameImportEnd end;

        if (!zones)
                assert_int_equal(zones_load(&zones, "Europe/Berlin"), 0);
        (void) snprintf(request.serial, sizeof(request.serial), "%s", serial);
        n_records = 0;
        return pull_run_meter(&transport, &request, zones, &sink, ret, &end, refusal);
}

/* Pages with a suspend and a resume each. */
static void plug_in_records(void) {
        plug_in();
        for (size_t i = 0; i != 3; i++) {
                const uint8_t records[] = {
                        0x1e, 0x01, (uint8_t) (0x40 | (20 - 4 * i)), 0x6a, 0x0b, 0x11, 0x0f, 0x1f, 0x20, (uint8_t) (0x42 | (20 - 4 * i)), 0x6a, 0x0b, 0x11, 0x0f,
                };

                memset(pages[i], 0, PARADIGM_PAGE_SIZE);
                memcpy(pages[i], records, sizeof(records));
                seal(pages[i], PARADIGM_PAGE_SIZE - 2, PARADIGM_PAGE_SIZE - 2, PARADIGM_PAGE_SIZE - 1);
        }
        meter.n_glucose = 0;
}

static void a_pull_goes_through_a_meter_too(void **state) {
        char refusal[PULL_REFUSAL_MAX];
        FrameUsbPump result;
        unsigned n_transfers;

        (void) state;
        plug_in_records();
        assert_int_equal(pull("345192", &result, refusal), 0);
        assert_int_equal(n_records, 6);
        assert_int_equal(result.is_complete, 1);
        assert_string_equal(result.model, "Paradigm Revel - 723");
        assert_false(meter.is_open);
        assert_int_equal(meter.n_refused, 0);
        n_transfers = meter.n_transfers;

        for (unsigned at = 1; at <= n_transfers; at++) {
                plug_in_records();
                meter.fault = METER_UNPLUG;
                meter.fault_at = at;
                if (pull("345192", &result, refusal) != 0)
                        assert_non_null(strstr(refusal, "unplugged"));
                else
                        assert_true(n_records <= 6);
                plug_in_records();
                meter.fault = METER_CANCEL;
                meter.fault_at = at;
                if (pull("345192", &result, refusal) != 0)
                        assert_non_null(strstr(refusal, "as you asked"));
                assert_false(meter.is_open);
                assert_true(meter.now_ms - meter.cancelled_at_ms < PULL_STOP_MS);
        }

        plug_in_records();
        meter.is_deaf = true;
        assert_int_equal(pull("345192", &result, refusal), PULL_E_REFUSED);
        assert_non_null(strstr(refusal, "linked with this meter"));
        assert_int_equal(pull("34519", &result, refusal), PULL_E_REFUSED);
        assert_non_null(strstr(refusal, "six digits"));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_reads_can_be_framed),
                cmocka_unit_test(a_question_is_laid_out_as_described),
                cmocka_unit_test(a_whole_session_gives_what_the_pump_has),
                cmocka_unit_test(what_is_wrong_is_said),
                cmocka_unit_test(a_fault_at_any_transfer_hangs_nothing_and_is_no_wrong_page),
                cmocka_unit_test(a_pull_goes_through_a_meter_too),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
