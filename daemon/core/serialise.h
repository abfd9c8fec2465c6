/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records as NDJSON and CSV: one way, for show, export, preview and slices. Hand-written because it is on the hot path;
 * numbers have the decimals that the device printed, a point, no exponent, no locale.
 *
 * NDJSON, one object a line, keys in this order: "kind"; "time": UTC, RFC 3339, with ".mmm" only where there are milliseconds;
 * "local_time": the device's wall clock; "value": a number, null beside a code, absent where the record has none; "unit", absent
 * without one; "code": "LO" or "HI"; then the fields by name in the order of their ids (MILLI: a number, UINT: an integer, TOKEN
 * and TEXT: strings); "clock" where it is not "zone"; "quarantined": true; "device": the model; "serial": the serial or what stands
 * for it.
 *
 * CSV (RFC 4180, CRLF, header first): kind, time, local_time, value, unit, code ("LO", "HI" or an alarm's number), the fields that
 * the kinds can have in the order of their ids, clock, device, serial; in the patient's own export quarantined before device. Text
 * that a spreadsheet would take for a formula gets a leading apostrophe.
 */

#include "policy/policy.h"
#include "daemon/common/util.h"

/* What every slice, summary and report says of itself. */
#define SERIALISE_NOTICE "Patient-supplied data from the patient's own devices, not verified by a clinic. Not for dosing."

typedef struct Text { /* growing bytes, not terminated; begins as {0}; wiped when grown and freed, like all health data */
        char *bytes;
        size_t n, n_allocated;
} Text;

void text_done(Text *text);
void text_clear(Text *text); /* keeps the allocation */
must_check int text_append(Text *text, const char *bytes, size_t n);

enum {
        SERIALISE_MAX = 16384, /* bytes that one record can need */
        SERIALISE_TIME_SIZE = 24,
};

/** serialise_ndjson() - one line. @record: record_valid(). @model, @serial: NULL to leave out; 95 and 63 bytes at most. -ENOMEM, as all below */
must_check int serialise_ndjson(Text *text, const Record *record, const char *model, const char *serial);
/** serialise_everything() - {"record":…}: the same and what else is stored of it: import, source, flags, decimals, identity: daemon/FORMAT.md */
must_check int serialise_everything(Text *text, const Record *record);
/** serialise_local() - text of a device's wall clock, as in local_time; terminated */
void serialise_local(char ret[static SERIALISE_TIME_SIZE], int64_t local_ms);
/**
 * serialise_csv_header() - columns of the kinds given
 * @internal: the patient's own export: SERIAL and INTERNAL fields and quarantined too. Without it FREE_TEXT has its columns, and
 *            policy_redact() says whether anything is in them.
 */
must_check int serialise_csv_header(Text *text, uint32_t kinds, bool internal);
must_check int serialise_csv(Text *text, const Record *record, const char *model, const char *serial, uint32_t kinds, bool internal);
/**
 * serialise_summary() - JSON object of a summary that may leave: notice, from, to, days, readings, codes, mean, unit, bands {very_low,
 * low, target, high, very_high: readings, codes included}
 */
must_check int serialise_summary(Text *text, const PolicySummary *summary);
