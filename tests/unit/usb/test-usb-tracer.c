/* SPDX-License-Identifier: Apache-2.0 */

/* A trace of a session: nothing of it names the patient's devices, and it reads as what the pump said. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "daemon/workers/usb/pull.h"
#include "daemon/workers/usb/trace.h"
#include "daemon/workers/usb/tracer.h"
#include "tests/simulators/stick.h"

enum {
        PAGES = 2,
        TRACE_MAX = 4 * 1024 * 1024,
};

static uint8_t made[PAGES][PARADIGM_PAGE_SIZE], seen[PAGES][PARADIGM_PAGE_SIZE];
static bool has_seen[PAGES];
static char text[TRACE_MAX], joined[TRACE_MAX];

/* Boluses, a reading of the meter abcdef, and the list of meters. */
static void make_pages(void) {
        static const uint8_t reading[] = { 0x3f, 0x10, 0x40, 0x45, 0x07, 0x14, 0x0f, 0xab, 0xcd, 0xef };
        static const uint8_t meters[] = { 0x3c, 0xab, 0x40, 0x46, 0x07, 0x14, 0x0f, 0xab, 0xcd, 0xef, 0xab, 0xcd, 0xef, 0xab, 0xcd, 0xef, 0, 0, 0, 0, 0 };

        for (size_t i = 0; i != PAGES; i++) {
                uint8_t *at = made[i];
                uint16_t crc;

                memset(made[i], 0, PARADIGM_PAGE_SIZE);
                for (uint8_t j = 0; j != 30; j++) {
                        const uint8_t bolus[] = { 0x01, 0, (uint8_t) (j + 1), 0, (uint8_t) (j + 1), 0, 0, 0, 0x40, (uint8_t) (0x40 | j), 0x06, (uint8_t) (20 - i), 0x0f };

                        memcpy(at, bolus, sizeof(bolus));
                        at += sizeof(bolus);
                }
                memcpy(at, reading, sizeof(reading));
                memcpy(at + sizeof(reading), meters, sizeof(meters));
                crc = paradigm_crc16(made[i], PARADIGM_PAGE_SIZE - 2);
                made[i][PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
                made[i][PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
        }
}

static int ignore_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        (void) source;
        return 0;
}

static int ignore_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        (void) userdata;
        (void) page;
        (void) record;
        (void) is_extra;
        return 0;
}

static int ignore_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) page;
        (void) reason;
        (void) row;
        (void) n_row;
        return 0;
}

static int ignore_note(void *userdata, const char *words) {
        (void) userdata;
        (void) words;
        return 0;
}

static size_t trace_of(Sim *sim) {
        const ImportSink sink = { .source = ignore_source, .record = ignore_record, .rejected = ignore_rejected, .note = ignore_note };
        FrameUsbRequest request = { .now_utc_ms = INT64_C(1432838783000), .serial = "345192" };
        cleanup(close_fdp) int fd = memfd_create("trace", MFD_CLOEXEC);
        cleanup(zones_freep) Zones *zones = NULL;
        cleanup(tracer_freep) Tracer *tracer = NULL;
        Transport inner = sim_transport(sim), transport;
        char refusal[PULL_REFUSAL_MAX];
        FrameImportEnd end;
        FrameUsbPump pump;
        ssize_t n;

        assert_int_equal(zones_load(&zones, "America/New_York"), 0);
        assert_int_equal(tracer_new(&tracer, &inner, fd), 0);
        transport = tracer_transport(tracer);
        assert_true(pull_run(&transport, &request, zones, &sink, &pump, &end, refusal) >= 0);
        assert_int_equal(tracer_finish(tracer), 0);
        n = pread(fd, text, sizeof(text) - 1, 0);
        assert_true(n > 0);
        text[n] = '\0';
        return (size_t) n;
}

/* A stick that says these bytes, in transfers of one size. */
typedef struct Script {
        const uint8_t *bytes;
        size_t n, n_transfer;
} Script;

static int script_write(void *userdata, const uint8_t *bytes, size_t n) {
        (void) userdata;
        (void) bytes;
        (void) n;
        return 0;
}

static int script_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Script *script = userdata;

        (void) timeout_ms;
        *ret_n = script->n < script->n_transfer ? script->n : script->n_transfer;
        assert_true(*ret_n <= n);
        memcpy(bytes, script->bytes, *ret_n);
        script->bytes += *ret_n;
        script->n -= *ret_n;
        return 0;
}

static int64_t script_now(void *userdata) {
        (void) userdata;
        return 0;
}

static void begin(Sim *sim) {
        sim_init(sim, "345192", "723");
        sim->n_pages = PAGES;
        for (size_t i = 0; i != PAGES; i++)
                sim->pages[i] = made[i];
}

/* All that came, without the lines' begins and ends: a number may be on two of them. */
static void join_reads(void) {
        size_t n = 0;

        for (const char *line = text; (line = strstr(line, "{\"d\":\"r\"")); line++) {
                const char *hex = strstr(line, "\"hex\":\"") + 7;
                size_t n_hex = strcspn(hex, "\"");

                memcpy(joined + n, hex, n_hex);
                n += n_hex;
        }
        joined[n] = '\0';
}

/* The pump's number in packets and as letters, the meter's, the stick's. */
static const char *name_in_trace(void) {
        static const char *const names[] = { "345192", "333435313932", "abcdef", "09120000" };

        join_reads();
        for (size_t i = 0; i != N_ELEMENTS(names); i++)
                if (strstr(text, names[i]) || strstr(joined, names[i]))
                        return names[i];
        return NULL;
}

static int take_answer(void *userdata, const TraceAnswer *answer) {
        unsigned *n_answers = userdata;

        assert_string_equal(answer->serial, TRACER_SERIAL);
        ++*n_answers;
        if (answer->opcode == 0x71 && answer->is_whole)
                assert_memory_equal(answer->bytes, TRACER_SERIAL, 6);
        if (answer->opcode == 0x80 && answer->is_whole && answer->n == PARADIGM_PAGE_SIZE) {
                assert_true(answer->parameter < PAGES);
                memcpy(seen[answer->parameter], answer->bytes, PARADIGM_PAGE_SIZE);
                has_seen[answer->parameter] = true;
        }
        return 0;
}

static int no_bad_line(void *userdata, unsigned line, const char *line_text, size_t n_text) {
        (void) userdata;
        fail_msg("line %u can't be read: %.*s", line, (int) n_text, line_text);
        return 0;
}

static void a_trace_reads_as_the_session_was_without_its_serial_numbers(void **state) {
        unsigned n_answers = 0;
        const TraceSink sink = { .userdata = &n_answers, .answer = take_answer, .bad_line = no_bad_line };
        bool is_replaced = false;
        size_t n;

        (void) state;
        for (unsigned merge = 1; merge <= 3; merge++) {
                Sim sim;

                begin(&sim);
                sim.merge = merge;
                n = trace_of(&sim);
                assert_null(name_in_trace());
                memset(has_seen, 0, sizeof(has_seen));
                assert_int_equal(trace_read(text, n, &sink, &is_replaced), 0);
                assert_true(is_replaced);
                for (size_t i = 0; i != PAGES; i++) {
                        assert_true(has_seen[i]);
                        assert_int_equal(paradigm_page_check(seen[i], PARADIGM_PAGE_SIZE), 0);
                        assert_memory_equal(seen[i], made[i], 30 * 13 + 7); /* the boluses and the reading, but for the meter */
                }
        }
        assert_true(n_answers > 3 * 10);
}

static void whatever_goes_wrong_it_names_nothing(void **state) {
        const char *name;
        Sim sim;
        unsigned n_transfers;

        (void) state;
        begin(&sim);
        (void) trace_of(&sim);
        n_transfers = sim.n_transfers;
        for (unsigned fault = SIM_STALL; fault <= SIM_STALE; fault++) {
                for (unsigned at = 1 + fault % 3; at <= n_transfers; at += 3) {
                        begin(&sim);
                        sim.fault = (SimFault) fault;
                        sim.fault_at = at;
                        (void) trace_of(&sim);
                        name = name_in_trace();
                        if (name)
                                fail_msg("fault %u at transfer %u: %s", fault, at, name);
                }
        }
}

/* One byte a transfer, and nothing but damage; the pump's own answer as the answer to something else, and to nothing. */
static void neither_small_transfers_nor_late_answers_name_anything(void **state) {
        static const uint8_t power_off[] = { 0x01, 0, 0xa7, 0x01, 0x34, 0x51, 0x92, 0x80, 2, 0x55, 0, 0, 0, 0x5d, 0, 0, 0, 0 };
        static const uint8_t download[] = { 0x0c, 0, 0, 78, 0x95 };
        uint8_t frame[78] = { 0x02, 0, 0x03, 0, 0xdf, 0x80, 64, 0xa7, 0x01, 0x34, 0x51, 0x92 };

        (void) state;
        memcpy(frame + 20, "345192", 6);
        frame[12] = paradigm_crc8(frame, 12);
        frame[77] = paradigm_crc8(frame + 13, 64);
        for (unsigned i = 0; i != 8; i++) {
                bool is_asked = i & 1, is_small = i & 2, is_damaged = i & 4;
                cleanup(close_fdp) int fd = memfd_create("trace", MFD_CLOEXEC);
                cleanup(tracer_freep) Tracer *tracer = NULL;
                Script script = { .bytes = frame, .n = sizeof(frame), .n_transfer = is_small ? 1 : 64 };
                const Transport inner = { .userdata = &script, .write = script_write, .read = script_read, .now_ms = script_now };
                uint8_t packet[64];
                Transport transport;
                size_t n_packet;
                ssize_t n;

                frame[30] = is_damaged ? 1 : 0;
                assert_int_equal(tracer_new(&tracer, &inner, fd), 0);
                transport = tracer_transport(tracer);
                if (is_asked)
                        assert_int_equal(transport.write(transport.userdata, power_off, sizeof(power_off)), 0);
                assert_int_equal(transport.write(transport.userdata, download, sizeof(download)), 0);
                while (script.n)
                        assert_int_equal(transport.read(transport.userdata, packet, sizeof(packet), 0, &n_packet), 0);
                assert_int_equal(tracer_finish(tracer), 0);
                n = pread(fd, text, sizeof(text) - 1, 0);
                assert_true(n > 0);
                text[n] = '\0';
                assert_null(name_in_trace());
        }
}

static void a_file_that_is_full_ends_the_trace_and_not_the_session(void **state) {
        cleanup(close_fdp) int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        cleanup(tracer_freep) Tracer *tracer = NULL;
        Transport inner, transport;
        Sim sim;

        (void) state;
        begin(&sim);
        inner = sim_transport(&sim);
        assert_int_equal(tracer_new(&tracer, &inner, fd), 0);
        transport = tracer_transport(tracer);
        assert_int_equal(transport.write(transport.userdata, (const uint8_t[]) { 4, 0, 0 }, 3), 0);
        assert_true(tracer_finish(tracer) < 0);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_trace_reads_as_the_session_was_without_its_serial_numbers),
                cmocka_unit_test(whatever_goes_wrong_it_names_nothing),
                cmocka_unit_test(neither_small_transfers_nor_late_answers_name_anything),
                cmocka_unit_test(a_file_that_is_full_ends_the_trace_and_not_the_session),
        };

        make_pages();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
