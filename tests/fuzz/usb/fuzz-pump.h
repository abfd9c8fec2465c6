/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Pages with right checksums into a pump whose records are checked and thrown away. */

#include <stdlib.h>
#include <string.h>

#include "daemon/workers/usb/pump.h"

static ParadigmModel fuzz_the_model;

static inline const ParadigmModel *fuzz_model(void) {
        return &fuzz_the_model;
}

static inline int fuzz_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        return source->source == 1 ? 0 : -EINVAL;
}

static inline int fuzz_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        (void) userdata;
        (void) page;
        (void) is_extra;
        return record_valid(record) ? 0 : -EINVAL;
}

static inline int fuzz_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) page;
        return strlen(reason) > 10 && strlen(row) == n_row ? 0 : -EINVAL;
}

static inline int fuzz_note(void *userdata, const char *text) {
        (void) userdata;
        return text[0] ? 0 : -EINVAL;
}

static inline Pump *fuzz_pump_new(uint8_t choice) {
        static const char *const models[] = { "512", "515", "522", "723", "554", "751" };
        static const ImportSink sink = { .source = fuzz_source, .record = fuzz_record, .rejected = fuzz_rejected, .note = fuzz_note };
        static Zones *zones;
        Pump *pump;

        if (!zones && zones_load(&zones, "UTC") != 0)
                abort();
        if (paradigm_model(models[choice % N_ELEMENTS(models)], 3, &fuzz_the_model) != 0)
                abort();
        if (pump_new(&pump, &fuzz_the_model, "123456", zones, &sink, INT64_C(2000000000000)) != 0)
                abort();
        return pump;
}

/* Returns how much of the data is in the page. */
static inline size_t fuzz_page(uint8_t page[static PARADIGM_PAGE_SIZE], const uint8_t *data, size_t n) {
        size_t taken = n < PARADIGM_PAGE_SIZE - 2 ? n : PARADIGM_PAGE_SIZE - 2;
        uint16_t crc;

        memset(page, 0, PARADIGM_PAGE_SIZE);
        if (taken)
                memcpy(page, data, taken);
        crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);
        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
        return taken;
}

static inline void fuzz_pump_finish(Pump *pump) {
        FrameImportEnd end = { 0 };

        if (pump_finish(pump, &end) != 0)
                abort();
        pump_free(pump);
}
