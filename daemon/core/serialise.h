/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Records as NDJSON and CSV: one way, for show, export, preview and slices. Hand-written because it is on the hot path;
 * numbers are printed with the decimals of the device, a point, no exponent, no locale. Format: daemon/PROTOCOL.md, "record as JSON".
 */

#include "policy/policy.h"
#include "daemon/common/util.h"

typedef struct Text { /* growing bytes; wiped when grown and freed, like all health data */
        char *bytes;
        size_t n, n_allocated;
} Text;

void text_done(Text *text);
void text_clear(Text *text); /* keeps the allocation */
must_check int text_append(Text *text, const char *bytes, size_t n);

enum {
        SERIALISE_MAX = 16384, /* bytes that one record can need */
};

/** serialise_ndjson() - one line. @model, @serial: NULL to leave out */
must_check int serialise_ndjson(Text *text, const Record *record, const char *model, const char *serial);
/** serialise_csv_header() - columns of the kinds given: fixed ones, then the fields that these kinds can have and that may be shown
 *  @internal: the patient's own export: FREE_TEXT, SERIAL and INTERNAL fields too */
must_check int serialise_csv_header(Text *text, uint32_t kinds, bool internal);
must_check int serialise_csv(Text *text, const Record *record, const char *model, const char *serial, uint32_t kinds, bool internal);
/** serialise_summary() - JSON object of a summary that may leave */
must_check int serialise_summary(Text *text, const PolicySummary *summary);
