/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a record: 24 of head, the rest its payload. What record_valid() accepts walks to its end, and what
 * policy_redact() lets out of it is valid again and holds nothing that must stay.
 */

#include <stdlib.h>
#include <string.h>

#include "policy/policy.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum { HEAD = 24 };

static void check(bool holds) {
        if (!holds)
                abort();
}

static int64_t get_le64(const uint8_t *p) {
        uint64_t v = 0;

        for (unsigned i = 8; i > 0; i--)
                v = v << 8 | p[i - 1];
        return (int64_t) v;
}

static void check_redacted(const Record *record, bool free_text) {
        static const PolicyDevice device = { .model = "model", .serial = "NG1", .pseudonym = "pseudonym" };
        static PolicyRedacted redacted;
        const PolicyEffective effective = {
                .kinds = RECORD_ALL_KINDS,
                .identity = POLICY_PSEUDONYM,
                .free_text = free_text,
                .from_local_ms = RECORD_TIME_MIN_MS,
                .to_local_ms = RECORD_TIME_MAX_MS + 1,
                .since_utc_ms = INT64_MIN,
        };
        size_t at = 0;
        Field field;

        if (!policy_redact(record, &device, &effective, &redacted)) {
                check(record->flags & RECORD_QUARANTINED);
                return;
        }

        check(record_valid(&redacted.record));
        check(redacted.record.n_payload <= record->n_payload);
        while (record_field_next(redacted.record.payload, redacted.record.n_payload, &at, &field)) {
                check(field.info->class == FIELD_CLINICAL || (free_text && field.info->class == FIELD_FREE_TEXT));
                check(field.info->type != FIELD_TEXT || !memmem(field.text, field.n_text, "NG1", 3));
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        PolicySummary summary = { .last_day = INT32_MIN };
        Record record = { 0 };
        size_t at = 0;
        Field field;

        if (n < HEAD)
                return 0;

        record.kind = bytes[0];
        record.unit = bytes[1];
        record.decimals = bytes[2];
        record.flags = bytes[3];
        record.clock = bytes[4];
        record.offset_min = (int16_t) (bytes[6] | bytes[7] << 8);
        record.value_milli = (int32_t) get_le64(bytes + 8);
        record.utc_ms = get_le64(bytes + 16);
        record.local_ms = (int64_t) ((uint64_t) record.utc_ms + (uint64_t) (record.offset_min * INT64_C(60000)));
        record.payload = bytes + HEAD;
        record.n_payload = n - HEAD;

        while (record_field_next(record.payload, record.n_payload, &at, &field))
                check(field.info && at <= record.n_payload);
        if (!record_valid(&record))
                return 0;

        check(at == record.n_payload);
        check_redacted(&record, false);
        check_redacted(&record, true);

        policy_summary_add(&summary, &record);
        check(summary.n_days == summary.n_readings + summary.n_codes);
        (void) policy_summary_mean_milli(&summary);
        return 0;
}
