/* SPDX-License-Identifier: Apache-2.0 */

/* The stick's driver and the session, on a simulated stick and pump: what may be said, and what goes wrong. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "daemon/workers/usb/cable.h"
#include "daemon/workers/usb/pull.h"
#include "tests/simulators/stick.h"

enum {
        RECORDS_MAX = 8192,
        PAGES = 4,
        N_BOLUSES = (PAGES - 1) * 70 + 12, /* on them */
};

typedef struct Kept {
        uint8_t kind;
        int32_t value_milli;
        int64_t local_ms;
        uint8_t identity[RECORD_IDENTITY_SIZE];
        uint8_t payload[16]; /* a hash */
} Kept;

typedef struct Outcome {
        Kept records[RECORDS_MAX];
        size_t n, n_readings, n_rejected, n_notes;
        char reason[256], note[512], refusal[PULL_REFUSAL_MAX];
        FrameUsbPump result;
        FrameImportEnd end;
        int r;
} Outcome;

/* 2015-05-28 20:46:23, what the simulated pump's clock shows */
#define SIM_CLOCK_MS INT64_C(1432845983000)

/* the same in UTC */
#define NOW_MS INT64_C(1432838783000)

static Outcome whole, part;
static int64_t now_ms = NOW_MS;
static Zones *zones;
static uint8_t made[PAGES][PARADIGM_PAGE_SIZE];

static int on_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        (void) source;
        return 0;
}

static int on_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        Outcome *outcome = userdata;
        uint8_t whole_payload[RECORD_PAYLOAD_MAX] = { 0 };
        Kept *kept;

        (void) page;
        (void) is_extra;
        if (record->local_ms == SIM_CLOCK_MS) { /* what it says of itself */
                outcome->n_readings++;
                assert_true(record->kind == RECORD_SETTINGS || record->kind == RECORD_DEVICE_EVENT);
                assert_true(record_valid(record));
                return 0;
        }
        kept = &outcome->records[outcome->n++];
        assert_true(outcome->n <= RECORDS_MAX);
        assert_true(record_valid(record));
        memcpy(whole_payload, record->payload, record->n_payload);
        pull_hash(kept->payload, PULL_PAGE, whole_payload, sizeof(whole_payload));
        kept->kind = record->kind;
        kept->value_milli = record->value_milli;
        kept->local_ms = record->local_ms;
        memcpy(kept->identity, record->identity, sizeof(kept->identity));
        return 0;
}

static int on_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        Outcome *outcome = userdata;

        (void) page;
        assert_int_equal(strlen(row), n_row);
        (void) snprintf(outcome->reason, sizeof(outcome->reason), "%s", reason);
        outcome->n_rejected++;
        return 0;
}

static int on_note(void *userdata, const char *text) {
        Outcome *outcome = userdata;

        (void) snprintf(outcome->note, sizeof(outcome->note), "%s", text);
        outcome->n_notes++;
        return 0;
}

static int on_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        (void) userdata;
        assert_true(n_done <= n_all);
        return 0;
}

static void run(Sim *sim, Outcome *ret, const char *serial, const FrameUsbPump *before) {
        const ImportSink sink = {
                .userdata = ret, .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note, .progress = on_progress,
        };
        FrameUsbRequest request = { .now_utc_ms = now_ms };
        Transport transport = sim_transport(sim);

        ret->n = ret->n_readings = ret->n_rejected = ret->n_notes = 0;
        ret->reason[0] = ret->note[0] = '\0';
        if (before) {
                request.n_known = before->n_known;
                memcpy(request.known, before->known, sizeof(request.known));
        }
        (void) snprintf(request.serial, sizeof(request.serial), "%s", serial);
        ret->r = pull_run(&transport, &request, zones, &sink, &ret->result, &ret->end, ret->refusal);
        assert_int_equal(sim->n_refused, 0); /* nothing was said that is not in the specification's list */
}

/* Pages with a handful of records each; the newest is not full. */
static void make_pages(void) {
        for (size_t i = 0; i != PAGES; i++) {
                uint8_t *page = made[i], *at = page;
                size_t n_records = i ? 70 : 12;
                uint16_t crc;

                memset(page, 0, PARADIGM_PAGE_SIZE);
                for (size_t j = 0; j != n_records; j++) {
                        /* a bolus each minute, a day a page */
                        uint8_t bolus[] = { 0x01, 0x00, (uint8_t) (j + 1), 0x00, (uint8_t) (j + 1), 0, 0, 0,
                                            0x40, (uint8_t) (0x40 | j % 60), (uint8_t) (0x40 | j / 60), (uint8_t) (20 - i), 0x0f };

                        memcpy(at, bolus, sizeof(bolus));
                        at += sizeof(bolus);
                }
                crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);
                page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
                page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
        }
}

static void begin(Sim *sim) {
        sim_init(sim, "345192", "723");
        sim->n_pages = PAGES;
        for (size_t i = 0; i != PAGES; i++)
                sim->pages[i] = made[i];
}

/* Whatever was cut short: each record that was given out is one of the whole session's. */
static void assert_no_wrong_record(const char *what, unsigned at) {
        size_t j = 0;

        for (size_t i = 0; i != part.n; i++, j++) { /* both are in order */
                while (j != whole.n && memcmp(&part.records[i], &whole.records[j], sizeof(Kept)) != 0)
                        j++;
                if (j == whole.n)
                        fail_msg("%s at transfer %u: a record that is not the pump's", what, at);
        }
}

static void only_reads_of_the_list_are_ever_framed(void **state) {
        /* the specification's list of what may be sent; the others write, or may */
        static const uint8_t reads[] = { 0x5d, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x79, 0x80, 0x83, 0x86, 0x87, 0x88, 0x89, 0x8a, 0x8b,
                                         0x8c, 0x8d, 0x8e, 0x8f, 0x90, 0x91, 0x92, 0x93, 0x94, 0x95, 0x97, 0x98, 0x99, 0x9a, 0x9b, 0x9c, 0x9d,
                                         0x9f, 0xc0, 0xc1, 0xc3, 0xc5, 0xc6, 0xc7, 0xcd, 0xce, 0xd5, 0xf0 };
        static const uint8_t serial[3] = { 0x34, 0x51, 0x92 };
        uint8_t frame[CARELINK_STICK_FRAME_MAX], parameters[64] = { 0 };
        unsigned n_framed = 0;
        size_t n = 0;

        (void) state;
        for (unsigned opcode = 0; opcode != 300; opcode++) {
                for (size_t n_parameters = 0; n_parameters <= sizeof(parameters); n_parameters++) {
                        for (unsigned value = 0; value != 256; value++) {
                                int r;

                                memset(parameters, (int) value, sizeof(parameters));
                                r = carelink_stick_frame(serial, opcode, parameters, n_parameters, frame, &n);
                                if (r) {
                                        assert_int_equal(r, CARELINK_STICK_E_FORBIDDEN);
                                        continue;
                                }
                                n_framed++;
                                assert_true(opcode < 256);
                                assert_non_null(memchr(reads, (int) opcode, sizeof(reads)));
                                assert_int_equal(frame[13], opcode);
                                assert_int_equal(n, 16 + n_parameters);
                                assert_memory_equal(frame + 4, serial, 3);
                                if (opcode == 0x5d) /* off, or on for a minute */
                                        assert_true(value <= 1);
                        }
                }
        }
        assert_true(n_framed > 256);
        for (unsigned minutes = 0; minutes != 256; minutes++)
                assert_int_equal(carelink_stick_frame(serial, 0x5d, (const uint8_t[]) { 1, (uint8_t) minutes }, 2, frame, &n),
                                 minutes >= 1 && minutes <= 10 ? 0 : CARELINK_STICK_E_FORBIDDEN);
}

static void frames_are_those_of_captured_traffic(void **state) {
        static const uint8_t model[] = { 0x01, 0x00, 0xa7, 0x01, 0x20, 0x88, 0x50, 0x80, 0x00, 0x00, 0x02, 0x01, 0x00, 0x8d, 0xc7, 0x00 };
        static const uint8_t on[] = { 0x01, 0x00, 0xa7, 0x01, 0x20, 0x88, 0x50, 0x80, 0x02, 0x55, 0x00, 0x00, 0x00, 0x5d, 0x7a, 0x01, 0x0a, 0xa2 };
        static const uint8_t page[] = { 0x01, 0x00, 0xa7, 0x01, 0x34, 0x51, 0x92, 0x80, 0x01, 0x00, 0x02, 0x02, 0x00, 0x80, 0x68, 0x00, 0x00 };
        static const uint8_t status[] = { 0x01, 0x00, 0xa7, 0x01, 0x20, 0x88, 0x50, 0x80, 0x00, 0x00, 0x00, 0x01, 0x00, 0xce, 0xbc, 0x00 };
        uint8_t frame[CARELINK_STICK_FRAME_MAX], a[3], b[3];
        size_t n;

        (void) state;
        assert_true(carelink_stick_serial("208850", a));
        assert_true(carelink_stick_serial("345192", b));
        assert_false(carelink_stick_serial("34519", b));
        assert_false(carelink_stick_serial("34519a", b));
        assert_true(carelink_stick_serial("345192", b));
        assert_int_equal(carelink_stick_frame(a, 0x8d, NULL, 0, frame, &n), 0);
        assert_int_equal(n, sizeof(model));
        assert_memory_equal(frame, model, n);
        assert_int_equal(carelink_stick_frame(a, 0x5d, (const uint8_t[]) { 1, 10 }, 2, frame, &n), 0);
        assert_int_equal(n, sizeof(on));
        assert_memory_equal(frame, on, n);
        assert_int_equal(carelink_stick_frame(b, 0x80, (const uint8_t[]) { 0 }, 1, frame, &n), 0);
        assert_int_equal(n, sizeof(page));
        assert_memory_equal(frame, page, n);
        assert_int_equal(carelink_stick_frame(a, 0xce, NULL, 0, frame, &n), 0);
        assert_int_equal(n, sizeof(status));
        assert_memory_equal(frame, status, n);
}

static void a_session_reads_all_and_leaves_the_radio_off(void **state) {
        (void) state;
        for (unsigned merge = 1; merge <= 3; merge++) {
                for (unsigned is_asleep = 0; is_asleep != 2; is_asleep++) {
                        Sim sim;

                        begin(&sim);
                        sim.merge = merge;
                        sim.is_asleep = is_asleep;
                        run(&sim, &part, "345192", NULL);
                        assert_int_equal(part.r, 0);
                        assert_true(part.result.is_complete);
                        assert_int_equal(part.n, (PAGES - 1) * 70 + 12);
                        assert_int_equal(part.n_readings, 5);
                        assert_int_equal(part.result.battery_mv, 1280);
                        assert_int_equal(part.result.reservoir_milli, 49525);
                        assert_int_equal(part.n_rejected, 0);
                        assert_int_equal(sim.n_pages_sent, PAGES);
                        assert_false(sim.is_radio_on);
                        assert_int_equal(sim.n_commands[0x5d], is_asleep ? 2 : 1);
                        assert_string_equal(part.end.format, "Paradigm Revel - 723, read by USB");
                }
        }
}

static void a_pump_that_is_unchanged_sends_one_page_and_one_that_went_on_two(void **state) {
        FrameUsbPump first;
        Sim sim;

        (void) state;
        begin(&sim);
        for (size_t i = 0; i != PAGES - 1; i++) /* all but the newest, as they were before */
                sim.pages[i] = made[i + 1];
        sim.n_pages = PAGES - 1;
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, 0);
        first = part.result;

        sim.n_pages_sent = 0;
        sim.is_asleep = true;
        run(&sim, &part, "345192", &first);
        assert_int_equal(part.r, 0);
        assert_int_equal(sim.n_pages_sent, 1);
        assert_int_equal(part.n, 0);
        assert_int_equal(part.n_readings, 0);

        begin(&sim);
        run(&sim, &part, "345192", &first);
        assert_int_equal(part.r, 0);
        assert_int_equal(sim.n_pages_sent, 2);
        assert_int_equal(part.n, 12);
        assert_true(part.result.is_complete);
}

/* Readings every five minutes until a timestamp on a day in May; they are of the same hour, whatever their number. */
static void make_glucose(uint8_t *page, uint8_t *isig, uint8_t day, unsigned n_readings) {
        uint8_t *at = page;
        uint16_t crc;

        memset(page, 0, PARADIGM_PAGE_SIZE);
        memset(isig, 0, PARADIGM_ISIG_PAGE_SIZE);
        for (unsigned i = 0; i != n_readings; i++)
                *at++ = (uint8_t) (50 + i);
        memcpy(at, (const uint8_t[]) { 0x0f, day, 0x40, 0x4c, 0x08 }, 5); /* behind them, from its end: 08, then 12:00 */
        crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);
        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
        crc = paradigm_crc16(isig, PARADIGM_ISIG_PAGE_SIZE - 4);
        isig[2044] = (uint8_t) (crc >> 8);
        isig[2046] = (uint8_t) crc;
}

static void a_sensor_is_read_on_while_the_pump_stands_still(void **state) {
        static uint8_t glucose[3][PARADIGM_PAGE_SIZE], isig[3][PARADIGM_ISIG_PAGE_SIZE];
        FrameUsbPump first;
        size_t n_all;
        Sim sim;

        (void) state;
        for (uint8_t i = 0; i != 3; i++)
                make_glucose(glucose[i], isig[i], (uint8_t) (9 - i), 10);
        begin(&sim);
        sim.n_glucose = 2;
        sim.newest_glucose = 40;
        for (size_t i = 0; i != 2; i++) {
                sim.glucose[i] = glucose[i + 1];
                sim.isig[i] = isig[i + 1];
        }
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, 0);
        assert_int_equal(sim.n_pages_sent, PAGES + 2 * 2);
        assert_int_equal(part.n_rejected, 0);
        n_all = part.n;
        assert_true(n_all > N_BOLUSES + 2 * 9);
        first = part.result;

        /* nothing new: two pages, and one of each is enough to see it */
        sim.n_pages_sent = 0;
        run(&sim, &part, "345192", &first);
        assert_int_equal(sim.n_pages_sent, 2);
        assert_int_equal(part.n, 0);

        for (size_t i = 0; i != 3; i++) {
                sim.glucose[i] = glucose[i];
                sim.isig[i] = isig[i];
        }
        sim.n_glucose = 3;
        sim.newest_glucose = 41;
        sim.n_pages_sent = 0;
        run(&sim, &part, "345192", &first);
        assert_int_equal(sim.n_pages_sent, 1 + 2 + 1);
        assert_int_equal(part.n, (n_all - N_BOLUSES) / 2);
        assert_true(part.result.is_complete);
}

static void who_is_not_there_or_is_another_is_said_in_plain_words(void **state) {
        Sim sim;

        (void) state;
        begin(&sim);
        sim.is_deaf = true;
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, PULL_E_REFUSED);
        assert_non_null(strstr(part.refusal, "does not answer"));
        assert_non_null(strstr(part.refusal, "USA (916 MHz)"));

        begin(&sim);
        sim.is_deaf = sim.is_worldwide = true;
        run(&sim, &part, "345192", NULL);
        assert_non_null(strstr(part.refusal, "outside the USA"));

        begin(&sim);
        run(&sim, &part, "345193", NULL);
        assert_int_equal(part.r, PULL_E_REFUSED);
        assert_non_null(strstr(part.refusal, "does not answer"));

        begin(&sim);
        run(&sim, &part, "34519", NULL);
        assert_int_equal(part.r, PULL_E_REFUSED);
        assert_non_null(strstr(part.refusal, "six digits"));

        sim_init(&sim, "345192", "640");
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, PULL_E_REFUSED);
        assert_non_null(strstr(part.refusal, "model"));
        assert_false(sim.is_radio_on);

        begin(&sim);
        sim.fault = SIM_UNPLUG;
        sim.fault_at = 1;
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, PULL_E_REFUSED);
        assert_non_null(strstr(part.refusal, "unplugged"));
}

static void a_page_that_never_comes_whole_is_reported_and_the_others_are_read(void **state) {
        Sim sim;

        (void) state;
        begin(&sim);
        sim.bad_page = 2;
        run(&sim, &part, "345192", NULL);
        assert_int_equal(part.r, 0);
        assert_false(part.result.is_complete);
        assert_int_equal(part.result.n_missing, 1);
        assert_int_equal(part.n, (PAGES - 2) * 70 + 12 - 1); /* the first of page 1 may belong with what is missing */
        assert_int_equal(part.n_rejected, 2); /* all of its bytes, in two rows */
        assert_string_equal(part.reason, "history page 2 did not come whole after three tries (1024 bytes came) (its next bytes)");
        assert_int_equal(sim.n_pages_sent, PAGES + 2);
        assert_int_equal(part.end.n_rejected, 2);
}

/* For a while, or against what it said: what it did not give out is asked for again the next time. */
static void a_pump_that_refuses_a_page_has_not_been_read_whole(void **state) {
        static const uint8_t refusals[] = { 0x0c, 0x08, 0x0d };

        (void) state;
        for (size_t i = 0; i != N_ELEMENTS(refusals); i++) {
                Sim sim;

                begin(&sim);
                sim.refused_page = 2;
                sim.refusal = refusals[i];
                run(&sim, &part, "345192", NULL);
                assert_int_equal(part.r, 0);
                assert_false(part.result.is_complete);
                assert_true(part.result.n_missing);
                assert_int_equal(part.n, 12 + 70 - 1); /* the first of a page may belong with the page that is missing */
                assert_false(sim.is_radio_on);
        }
}

/* Its radio is on for ten minutes, and nobody knows for how long it has been when it is awake already. */
static void a_pump_that_falls_asleep_is_woken_again(void **state) {
        (void) state;
        for (unsigned is_asleep = 0; is_asleep != 2; is_asleep++) {
                Sim sim;

                begin(&sim);
                sim.is_asleep = is_asleep;
                sim.sleeps_after_ms = 5000;
                run(&sim, &part, "345192", NULL);
                assert_int_equal(part.r, 0);
                assert_true(part.result.is_complete);
                assert_int_equal(part.n, N_BOLUSES);
                assert_true(sim.n_commands[0x5d] >= 2 + is_asleep);
                assert_false(sim.is_radio_on);
        }
}

/* A computer that woke up in 1970, or a pump that was set to the wrong year: once that is put right all is there. */
static void what_is_yet_to_come_by_a_wrong_clock_is_read_again(void **state) {
        Sim sim;

        (void) state;
        begin(&sim);
        now_ms = INT64_C(1262304000000); /* 2010 */
        run(&sim, &part, "345192", NULL);
        now_ms = NOW_MS;
        assert_int_equal(part.r, 0);
        assert_int_equal(part.n, 0);
        assert_int_equal(part.n_rejected, N_BOLUSES);
        assert_false(part.result.is_complete);
        assert_non_null(strstr(part.note, "clock"));
}

static void no_fault_at_any_transfer_makes_a_wrong_record(void **state) {
        static const struct {
                SimFault fault;
                const char *name;
                bool heals; /* one such fault costs no record */
        } faults[] = {
                { SIM_UNPLUG, "unplug", false }, { SIM_STALL, "stall", true }, { SIM_SILENCE, "silence", true }, { SIM_SHORT, "short", true },
                { SIM_FLIP, "flip", false },     { SIM_NAK, "NAK", true },     { SIM_CANCEL, "cancel", false },  { SIM_STALE, "stale", true },
        };
        unsigned n_transfers, n_runs = 0, n_whole = 0;
        Sim sim;

        (void) state;
        begin(&sim);
        run(&sim, &whole, "345192", NULL);
        assert_int_equal(whole.r, 0);
        n_transfers = sim.n_transfers;

        for (size_t i = 0; i != N_ELEMENTS(faults); i++) {
                for (unsigned at = 1; at <= n_transfers; at++) {
                        begin(&sim);
                        sim.fault = faults[i].fault;
                        sim.fault_at = at;
                        run(&sim, &part, "345192", NULL);
                        n_runs++;
                        assert_true(part.r == 0 || part.r == PULL_E_REFUSED);
                        assert_no_wrong_record(faults[i].name, at);
                        if (part.r == 0 && part.result.is_complete)
                                assert_int_equal(part.n, whole.n);
                        n_whole += part.r == 0 && part.result.is_complete;
                        if (faults[i].heals && !(part.r == 0 && part.n == whole.n))
                                fail_msg("%s at transfer %u of %u: %d, %zu of %zu records, %s", faults[i].name, at, n_transfers, part.r, part.n,
                                         whole.n, part.r ? part.refusal : part.note);
                        if (faults[i].fault == SIM_CANCEL && sim.is_radio_on)
                                fail_msg("cancelled at transfer %u: the radio is left on", at);
                }
        }
        print_message("%u sessions with a fault, %u of them read everything\n", n_runs, n_whole);
}

/* In the simulated pump's time, at each transfer: until it is heard, for the radio, and for the last write. */
static void who_wants_to_stop_waits_for_less_than_a_second(void **state) {
        int64_t longest_ms = 0;
        unsigned n_off = 0;
        Sim sim;

        (void) state;
        for (unsigned is_asleep = 0; is_asleep != 2; is_asleep++) {
                for (unsigned is_mute = 0; is_mute != 2; is_mute++) {
                        unsigned at = 0;

                        do {
                                int64_t took_ms;

                                begin(&sim);
                                sim.is_asleep = is_asleep;
                                sim.is_mute_when_cancelled = is_mute;
                                sim.fault = SIM_CANCEL;
                                sim.fault_at = ++at;
                                run(&sim, &part, "345192", NULL);
                                took_ms = sim.now_ms - sim.cancelled_at_ms;
                                if (sim.is_cancelled && took_ms > PULL_STOP_MS + CABLE_SLICE_MS)
                                        fail_msg("stopped at transfer %u: it took %lld ms", at, (long long) took_ms);
                                if (sim.is_cancelled && took_ms > longest_ms)
                                        longest_ms = took_ms;
                                /* a pump that is being woken hears nothing else for 17 s */
                                if (sim.is_cancelled && !is_mute && sim.cancelled_at_ms > sim.awake_at_ms && strstr(part.note, "could not be switched off"))
                                        fail_msg("stopped at transfer %u: the pump did not say that its radio is off", at);
                                n_off += sim.is_cancelled && !sim.is_radio_on;
                                assert_true(!sim.is_cancelled || is_mute || !sim.is_radio_on);
                        } while (sim.is_cancelled);
                        assert_true(at > 300);
                }
        }
        print_message("stopped within %lld ms at each transfer, and %d until it is heard\n", (long long) longest_ms, CABLE_SLICE_MS);
        assert_true(n_off > 600);
}

static void what_keeps_failing_ends_in_time(void **state) {
        static const SimFault faults[] = { SIM_STALL, SIM_SILENCE, SIM_SHORT, SIM_FLIP, SIM_NAK, SIM_STALE };
        Sim sim;

        (void) state;
        begin(&sim);
        run(&sim, &whole, "345192", NULL);
        for (size_t i = 0; i != N_ELEMENTS(faults); i++) {
                for (unsigned every = 1; every != 12; every++) {
                        begin(&sim);
                        sim.fault = faults[i];
                        sim.fault_at = 30;
                        sim.fault_every = every;
                        run(&sim, &part, "345192", NULL);
                        assert_true(part.r == 0 || part.r == PULL_E_REFUSED);
                        assert_no_wrong_record("again and again", every);
                        assert_true(sim.now_ms < INT64_C(20) * 60 * 1000);
                }
        }
}

/* --- the pages of a real pump --- */

static bool load_real_pages(Sim *sim) {
        static uint8_t pages[SIM_PAGES_MAX][PARADIGM_PAGE_SIZE];
        const char *shared = getenv("CAREWALLET_SHARED");

        sim_init(sim, "345192", "723");
        for (size_t i = 0; i != SIM_PAGES_MAX; i++) {
                char path[4096];
                FILE *file;

                (void) snprintf(path, sizeof(path), "%s/data/pump-history/decocare-345192-from-usb/ReadHistoryData-page-%zu.data",
                                shared ? shared : DEFAULT_SHARED, i);
                file = fopen(path, "rb");
                if (!file)
                        return false;
                assert_int_equal(fread(pages[i], 1, PARADIGM_PAGE_SIZE, file), PARADIGM_PAGE_SIZE);
                (void) fclose(file);
                sim->pages[i] = pages[i];
        }
        sim->n_pages = SIM_PAGES_MAX;
        return true;
}

/* What was captured of its download, and of two other sessions with it: what the pump says of itself, how it is woken. */
static bool load_capture(Sim *sim) {
        static const char *const names[] = { "download", "session", "commands" };
        static uint8_t transfers[REPLAY_SIZE_MAX];
        static char text[REPLAY_SIZE_MAX * 2];
        const char *shared = getenv("CAREWALLET_SHARED");
        static size_t n;
        bool is_read = n != 0;

        sim_init(sim, "345192", "723");
        for (size_t i = 0; i != N_ELEMENTS(names) && !is_read; i++) {
                size_t n_text, n_before = n;
                char path[4096];
                FILE *file;

                (void) snprintf(path, sizeof(path), "%s/data/usb-traces/linux-723-345192-%s.jsonl", shared ? shared : DEFAULT_SHARED, names[i]);
                file = fopen(path, "rb");
                if (!file)
                        return false;
                n_text = fread(text, 1, sizeof(text), file);
                (void) fclose(file);
                n = replay_read(text, n_text, transfers, n_before);
                assert_true(n > n_before);
        }
        sim->replay = (Replay) { .transfers = transfers, .n = n };
        return true;
}

static void captured_traffic_gives_what_its_pages_give_and_survives_unplugging_at_every_transfer(void **state) {
        unsigned n_transfers, n_kept = 0;
        Sim sim;

        (void) state;
        if (!load_real_pages(&sim)) {
                print_message("skipped: no reference data (CAREWALLET_SHARED)\n");
                return;
        }
        run(&sim, &whole, "345192", NULL);
        assert_int_equal(whole.r, 0);
        assert_true(whole.result.is_complete);
        assert_int_equal(sim.n_pages_sent, 36);
        n_transfers = sim.n_transfers;

        for (unsigned is_asleep = 0; is_asleep != 2; is_asleep++) {
                assert_true(load_capture(&sim));
                sim.is_asleep = is_asleep;
                run(&sim, &part, "345192", NULL);
                assert_int_equal(part.r, 0);
                assert_true(part.result.is_complete);
                assert_int_equal(sim.n_pages_sent, 36);
                assert_true(sim.replay.n_answers > 700); /* two transfers each, and the longer frames more */
                assert_int_equal(part.n, whole.n);
                assert_memory_equal(part.records, whole.records, whole.n * sizeof(Kept));
                assert_int_equal(part.result.battery_mv, 1280);
                assert_int_equal(part.result.reservoir_milli, 49525);
                assert_false(sim.is_radio_on);
        }
        n_transfers = sim.n_transfers;
        print_message("%u transfers, %u writes answered as captured, %zu records\n", n_transfers, sim.replay.n_answers, part.n);

        for (unsigned at = 1; at <= n_transfers; at++) {
                assert_true(load_capture(&sim));
                sim.fault = SIM_UNPLUG;
                sim.fault_at = at;
                run(&sim, &part, "345192", NULL);
                assert_true(part.r == 0 || part.r == PULL_E_REFUSED);
                assert_no_wrong_record("unplug", at);
                n_kept += part.n > 0;
        }
        print_message("%u transfers, %zu records; unplugged at each: records were kept %u times\n", n_transfers, whole.n, n_kept);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(only_reads_of_the_list_are_ever_framed),
                cmocka_unit_test(frames_are_those_of_captured_traffic),
                cmocka_unit_test(a_session_reads_all_and_leaves_the_radio_off),
                cmocka_unit_test(a_pump_that_is_unchanged_sends_one_page_and_one_that_went_on_two),
                cmocka_unit_test(a_sensor_is_read_on_while_the_pump_stands_still),
                cmocka_unit_test(who_is_not_there_or_is_another_is_said_in_plain_words),
                cmocka_unit_test(a_page_that_never_comes_whole_is_reported_and_the_others_are_read),
                cmocka_unit_test(a_pump_that_refuses_a_page_has_not_been_read_whole),
                cmocka_unit_test(a_pump_that_falls_asleep_is_woken_again),
                cmocka_unit_test(what_is_yet_to_come_by_a_wrong_clock_is_read_again),
                cmocka_unit_test(no_fault_at_any_transfer_makes_a_wrong_record),
                cmocka_unit_test(who_wants_to_stop_waits_for_less_than_a_second),
                cmocka_unit_test(what_keeps_failing_ends_in_time),
                cmocka_unit_test(captured_traffic_gives_what_its_pages_give_and_survives_unplugging_at_every_transfer),
        };

        if (zones_load(&zones, "America/New_York") != 0)
                return EXIT_FAILURE;
        make_pages();
        return cmocka_run_group_tests(tests, NULL, NULL);
}
