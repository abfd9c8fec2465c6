/* SPDX-License-Identifier: Apache-2.0 */

/* Glucose pages: first byte the model and whether there are currents, then the page, then the currents. */

#include <stdlib.h>

#include "fuzz-pump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        uint8_t page[PARADIGM_PAGE_SIZE], isig[PARADIGM_ISIG_PAGE_SIZE] = { 0 };
        bool has_isig;
        uint16_t crc;
        size_t taken;
        Pump *pump;

        if (n < 2)
                return 0;
        pump = fuzz_pump_new(data[0] & 0x7f);
        has_isig = data[0] & 0x80;
        taken = fuzz_page(page, data + 1, n - 1);
        data += 1 + taken;
        n -= 1 + taken;
        memcpy(isig, data, n < PARADIGM_ISIG_PAGE_SIZE - 4 ? n : PARADIGM_ISIG_PAGE_SIZE - 4);
        crc = paradigm_crc16(isig, PARADIGM_ISIG_PAGE_SIZE - 4);
        isig[2044] = (uint8_t) (crc >> 8);
        isig[2046] = (uint8_t) crc;
        if (pump_add_glucose(pump, 7, page, sizeof(page), has_isig ? isig : NULL, has_isig ? sizeof(isig) : 0, false) != 0)
                abort();
        fuzz_pump_finish(pump);
        return 0;
}
