/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside the pump module: pump.c collects, orders and gives out; pump-history.c and pump-cgm.c say what a record is. */

#include "paradigm-cgm.h"
#include "paradigm-history.h"
#include "pump.h"
#include "daemon/workers/import/draft.h"
#include "daemon/workers/import/identity.h"

typedef struct PumpPage {
        unsigned number;
        bool is_known;
        bool is_headless;     /* the page before it is missing */
        const uint8_t *bytes; /* PARADIGM_PAGE_SIZE */
} PumpPage;

typedef struct PumpItem {
        Record record; /* its payload is below, its identity still without an ordinal */
        uint8_t discriminator[IDENTITY_DISCRIMINATOR_SIZE];
        uint8_t *payload;
        uint32_t n_payload;
        uint32_t page;
        uint32_t sequence; /* in the pages, oldest first: what else is equal keeps its order */
        bool is_known, is_extra;
} PumpItem;

/** pump_put() - a record under construction becomes an item; -ENOMEM, what the sink returned. A time that can't be is rejected. */
must_check int pump_put(Pump *pump, const Draft *draft, int64_t local_ms, unsigned page, bool is_extra);
/** pump_mark_unset() - the clock was changed: what it showed before was not the time when that was long ago */
void pump_mark_unset(Pump *pump, int64_t old_ms, int64_t new_ms);
must_check int pump_reject(Pump *pump, unsigned page, const uint8_t *bytes, size_t n, const char *format, ...) printf_like(5, 6);
must_check int pump_note(Pump *pump, const char *format, ...) printf_like(2, 3);
const ParadigmModel *pump_model(const Pump *pump);
Draft *pump_draft(Pump *pump, RecordKind kind);
/** pump_text() - a text that lives until the next pump_draft() */
Cell pump_text(Pump *pump, const char *format, ...) printf_like(2, 3);
Number pump_number(int32_t milli);
/** pump_amount() - thousandths as CareLink prints them: no zeros at the end */
void pump_amount(char ret[static 16], unsigned milli);

/** pump_set_known() - whether what is put from now on is of a page that was read before */
void pump_set_known(Pump *pump, bool is_known);

/** pump_set_raw() - the bytes that the next records are made of: what is rejected is kept so */
void pump_set_raw(Pump *pump, const uint8_t *bytes, size_t n);

/** pump_map_history() - all records of all pages, oldest page first */
must_check int pump_map_history(Pump *pump, const PumpPage *pages, size_t n_pages);
/** pump_map_cgm() - all events of one glucose page */
must_check int pump_map_cgm(Pump *pump, unsigned number, const ParadigmCgm *cgm, const uint8_t page[static PARADIGM_PAGE_SIZE]);
