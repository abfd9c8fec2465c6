/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a pump's pages become: the wallet's records, with the identities that a CareLink export of the same pump gets
 * (daemon/workers/import/identity.h), so that reading a pump and importing its CSV adds nothing twice.
 *
 * Pages are collected first and decoded together: records of one second get their ordinals by content, and a page that
 * was read twice because the pump began a new one meanwhile counts once.
 */

#include "paradigm.h"
#include "daemon/common/zones.h"
#include "daemon/workers/import/import.h"

enum {
        PUMP_HISTORY_PAGES_MAX = 64, /* a pump gives out 36 */
        PUMP_GLUCOSE_PAGES_MAX = 64, /* 32 */

        PUMP_E_PAGE = 1, /* not a whole page, or its checksum is wrong: reported to the sink, nothing of it is used */
        PUMP_E_FULL,     /* more pages than a pump has */
};

typedef struct Pump Pump;

/* What a pump says of itself when it is asked, besides its pages. */
typedef enum PumpReading {
        PUMP_STATUS, /* battery, reservoir, state: the first PUMP_STATUS_PART bytes of each answer */
        PUMP_SETTINGS,
        PUMP_PROFILE_STANDARD,
        PUMP_PROFILE_A,
        PUMP_PROFILE_B,
        N_PUMP_READINGS,
} PumpReading;

enum {
        PUMP_STATUS_PART = 4,
        PUMP_PROFILE_SIZE = 192,
        PUMP_READING_MAX = PUMP_PROFILE_SIZE, /* bytes */
};

/**
 * pump_new() - begin
 * @serial: six digits
 * @zones:  borrowed: the wallet's
 * @sink:   borrowed; its progress and merged are not called
 *
 * Return: 0; -ENOMEM.
 */
must_check int pump_new(Pump **ret, const ParadigmModel *model, const char *serial, Zones *zones, const ImportSink *sink,
                       int64_t now_utc_ms);
Pump *pump_free(Pump *pump);
DEFINE_CLEANUP(Pump *, pump_free)

/**
 * pump_add_history() - one page, copied; newest first, in the order of their numbers
 * @is_known: it was read before: it tells what the other pages' records are, and gives none
 *
 * Return: 0; PUMP_E_PAGE; PUMP_E_FULL; -ENOMEM; what the sink returned.
 */
must_check int pump_add_history(Pump *pump, unsigned number, const uint8_t *page, size_t n, bool is_known);
/**
 * pump_expect_history() - how many history pages there are
 *
 * The first records of a page belong with the last ones of the page before it when they are of one second. Where that
 * page exists and was not read they are left for another time. 0, as it begins: no others than were added.
 */
void pump_expect_history(Pump *pump, unsigned n_pages);
/** pump_add_glucose() - the same of a glucose page; @isig NULL or its ISIG page, which is left out when it is not whole */
must_check int pump_add_glucose(Pump *pump, unsigned number, const uint8_t *page, size_t n, const uint8_t *isig, size_t n_isig, bool is_known);

/** pump_add_reading() - an answer of the pump as a record. @local_ms: its clock. Return: as pump_add_history(). */
must_check int pump_add_reading(Pump *pump, PumpReading reading, int64_t local_ms, const uint8_t *bytes, size_t n);
/** pump_n_future() - records of more than a day from now, which were rejected; after pump_finish() */
uint32_t pump_n_future(const Pump *pump);
uint32_t pump_battery_mv(const uint8_t bytes[static 3]);
int32_t pump_reservoir_milli(const ParadigmModel *model, const uint8_t bytes[static 4]);

/**
 * pump_report() - tell a sink what could not be read: all of its bytes, as hex, in as many rows as they need
 * @ret_n_rejected: counted up by those
 */
must_check int pump_report(const ImportSink *sink, unsigned page, const char *reason, const uint8_t *bytes, size_t n, uint32_t *ret_n_rejected);
/**
 * pump_finish() - give out the source and all records, sorted by kind and time, and count them in @end
 *
 * What could not be read is rejected with the page, the byte and the bytes from there on. Return: 0; -ENOMEM; what the
 * sink returned.
 */
must_check int pump_finish(Pump *pump, FrameImportEnd *end);
