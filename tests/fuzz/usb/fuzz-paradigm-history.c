/* SPDX-License-Identifier: Apache-2.0 */

/* History pages: first byte the model, then one or two pages, their checksums made right so that records are reached. */

#include <stdlib.h>

#include "fuzz-pump.h"
#include "daemon/workers/usb/paradigm-history.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void walk(const uint8_t *page, const ParadigmModel *model) {
        ParadigmEntry entry;
        size_t at = 0, before = 0;

        while (paradigm_history_next(page, model, &at, &entry) == 0) {
                if (entry.at != before || entry.n < 2 || at != before + entry.n || at > PARADIGM_HISTORY_END)
                        abort();
                before = at;
        }
        if (at != before)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n) {
        uint8_t page[PARADIGM_PAGE_SIZE];
        Pump *pump;

        if (n < 2)
                return 0;
        pump = fuzz_pump_new(data[0]);
        data++;
        n--;
        for (unsigned number = 0; number != 2 && n; number++) {
                size_t taken = fuzz_page(page, data, n);

                walk(page, fuzz_model());
                if (pump_add_history(pump, number, page, sizeof(page), n & 1) != 0)
                        abort();
                data += taken;
                n -= taken;
        }
        fuzz_pump_finish(pump);
        return 0;
}
