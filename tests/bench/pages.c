/* SPDX-License-Identifier: Apache-2.0 */

/*
 * bench-pages SECONDS: how fast pages of a pump's memory are decoded, checksum included, on one core: full pages as a
 * pump in use fills them. One JSON object on stdout: megabytes of pages a second (10^6), the best of several rounds.
 */

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "daemon/workers/usb/paradigm-cgm.h"
#include "daemon/workers/usb/paradigm-history.h"

enum {
        PAGES = 36,
        ROUNDS = 5,
};

static uint8_t history[PAGES][PARADIGM_PAGE_SIZE], glucose[PAGES][PARADIGM_PAGE_SIZE], isig[PAGES][PARADIGM_ISIG_PAGE_SIZE];
static volatile int64_t sum; /* so that nothing is left out */

/* of this process: other work on the machine is no part of it */
static double now_s(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static void seal(uint8_t page[static PARADIGM_PAGE_SIZE]) {
        uint16_t crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);

        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
}

/* An estimate, what it still counted, a bolus; 2015-05-17, a minute apart. */
static void make_history(uint8_t page[static PARADIGM_PAGE_SIZE], unsigned n) {
        static const uint8_t records[] = {
                0x5b, 0x64, 0x49, 0x40, 0x0b, 0x11, 0x0f, 0x32, 0x50, 0x00, 0x64, 0x28, 0x5a, 0x00, 0x00, 0x28, 0x00, 0x00, 0x00, 0x00, 0x28, 0x78,
                0x5c, 0x0e, 0x40, 0x4e, 0x44, 0x38, 0xc4, 0x44, 0x08, 0xce, 0x54, 0x10, 0x20, 0x54,
                0x01, 0x00, 0x28, 0x00, 0x28, 0x00, 0x00, 0x00, 0x49, 0x40, 0x4b, 0x11, 0x0f,
        };

        for (size_t at = 0; at + sizeof(records) <= PARADIGM_HISTORY_END; at += sizeof(records), n++) {
                memcpy(page + at, records, sizeof(records));
                page[at + 3] = page[at + 45] = (uint8_t) (0x40 | n % 60);
        }
        seal(page);
}

/* Read from its end: a timestamp, then readings, with one of them and a calibration every now and then. */
static void make_glucose(uint8_t page[static PARADIGM_PAGE_SIZE], uint8_t currents[static PARADIGM_ISIG_PAGE_SIZE], unsigned n) {
        static const uint8_t stamp[] = { 0x0f, 0x11, 0x6a, 0x4b, 0x08 };
        uint16_t crc;

        for (size_t at = 0; at != PARADIGM_HISTORY_END; at++)
                page[at] = (uint8_t) (20 + (at * 7 + n * 13) % 180);
        for (size_t at = 288; at < PARADIGM_HISTORY_END; at += 288)
                memcpy(page + at, stamp, sizeof(stamp));
        memcpy(page + PARADIGM_HISTORY_END - sizeof(stamp), stamp, sizeof(stamp));
        seal(page);
        for (size_t at = 0; at != 2044; at++)
                currents[at] = (uint8_t) (at % 2 ? 10 + at % 7 : at * 31);
        crc = paradigm_crc16(currents, PARADIGM_ISIG_PAGE_SIZE - 4);
        currents[2044] = (uint8_t) (crc >> 8);
        currents[2046] = (uint8_t) crc;
}

static _Noreturn void fail(void) {
        (void) fprintf(stderr, "bench-pages: a page that was made here does not decode\n");
        exit(EXIT_FAILURE);
}

static size_t decode_history(const ParadigmModel *model) {
        size_t n = 0;

        for (unsigned i = 0; i != PAGES; i++) {
                ParadigmEntry entry;
                size_t at = 0;
                int r = paradigm_page_check(history[i], PARADIGM_PAGE_SIZE);

                while (r == 0 && (r = paradigm_history_next(history[i], model, &at, &entry)) == 0)
                        sum += entry.local_ms;
                if (r != PARADIGM_HISTORY_E_END)
                        fail();
                n += PARADIGM_PAGE_SIZE;
        }
        return n;
}

static size_t decode_glucose(const ParadigmModel *model, bool has_isig) {
        static ParadigmCgm cgm;
        size_t n = 0;

        for (unsigned i = 0; i != PAGES; i++) {
                if (paradigm_page_check(glucose[i], PARADIGM_PAGE_SIZE) != 0 || (has_isig && paradigm_isig_check(isig[i], PARADIGM_ISIG_PAGE_SIZE) != 0))
                        fail();
                paradigm_cgm_decode(glucose[i], has_isig ? isig[i] : NULL, model, &cgm);
                if (cgm.n_unread || cgm.n_events < 900)
                        fail();
                sum += cgm.events[0].local_ms;
                n += has_isig ? (size_t) PARADIGM_PAGE_SIZE + PARADIGM_ISIG_PAGE_SIZE : PARADIGM_PAGE_SIZE;
        }
        return n;
}

static double best(const ParadigmModel *model, double seconds, int what) {
        double fastest = 0;

        for (unsigned round = 0; round != ROUNDS; round++) {
                double begin = now_s(), took;
                size_t n = 0;

                do {
                        n += what == 0 ? decode_history(model) : decode_glucose(model, what == 2);
                        took = now_s() - begin;
                } while (took < seconds / ROUNDS);
                if ((double) n / took / 1e6 > fastest)
                        fastest = (double) n / took / 1e6;
        }
        return fastest;
}

int main(int argc, char **argv) {
        double seconds = argc > 1 ? strtod(argv[1], NULL) : 1;
        ParadigmModel model;

        if (paradigm_model("723", 3, &model) != 0)
                fail();
        for (unsigned i = 0; i != PAGES; i++) {
                make_history(history[i], i);
                make_glucose(glucose[i], isig[i], i);
        }
        (void) printf("{\"history\":%.1f,\"glucose\":%.1f,\"glucose_isig\":%.1f}\n", best(&model, seconds, 0), best(&model, seconds, 1), best(&model, seconds, 2));
        return EXIT_SUCCESS;
}
