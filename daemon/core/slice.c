/* SPDX-License-Identifier: Apache-2.0 */

/* Making the chunks of a slice. */

#include <jansson.h>

#include "daemon/common/civil.h"
#include "slice.h"

enum {
        END_MAX = 12288, /* bytes of the end line: 32 devices of at most 190 bytes of model and 60 around it, and the rest */
        ROWS_ROOM = FRAME_GATE_CHUNK_MAX - END_MAX,
};

typedef struct Rows {
        Slice *slice;
        const Records *records;
        const Grant *grant;
        const PolicyEffective *effective;
        Text *text;
        PolicyRedacted redacted;
} Rows;

void slice_init(Slice *slice, unsigned format, const PolicyRequest *asked) {
        *slice = (Slice) { .format = (uint8_t) format, .asked = *asked };
        (void) SHA256_Init(&slice->hash);
}

void slice_add_bytes(Slice *slice, const char *bytes, size_t n) {
        (void) SHA256_Update(&slice->hash, bytes, n);
        slice->n_bytes += n;
}

void slice_digest(const Slice *slice, char ret[static SLICE_DIGEST_SIZE]) {
        SHA256_CTX hash = slice->hash;
        uint8_t digest[crypto_hash_sha256_BYTES];

        (void) SHA256_Final(digest, &hash);
        (void) sodium_bin2hex(ret, SLICE_DIGEST_SIZE, digest, sizeof(digest));
}

/* What is known of a source; found at once, as neighbours mostly are of the same one. */
static SliceDevice *device_of(Slice *slice, const Grant *grant, const RecordsSource *source) {
        SliceDevice *device;

        for (size_t i = slice->n_devices; i > 0; i--)
                if (slice->devices[i - 1].source == source->id)
                        return &slice->devices[i - 1];

        if (slice->n_devices < SLICE_DEVICES_MAX)
                device = &slice->devices[slice->n_devices++];
        else {
                device = &slice->devices[SLICE_DEVICES_MAX - 1];
                slice->more_devices = true;
        }
        *device = (SliceDevice) { .source = source->id };
        if (*source->serial)
                grants_pseudonym(grant, source->serial, device->pseudonym);
        return device;
}

static void add_gap(Slice *slice, int64_t gap_ms) {
        if (gap_ms <= SLICE_GAP_MIN * INT64_C(60000))
                return;
        slice->n_gaps++;
        slice->all_gaps_ms += gap_ms;
        if (gap_ms > slice->longest_gap_ms)
                slice->longest_gap_ms = gap_ms;
}

/* How long there was none before a reading: since the last, or since the window began. */
static void note_reading(Slice *slice, const PolicyEffective *effective, const Record *record) {
        int64_t gap_ms;

        if (record->kind != RECORD_CGM)
                return;
        if (slice->any_cgm) {
                gap_ms = record->utc_ms - slice->last_cgm_ms;
        } else {
                gap_ms = record->local_ms - effective->from_local_ms;
                if (effective->since_utc_ms != INT64_MIN && record->utc_ms - effective->since_utc_ms < gap_ms)
                        gap_ms = record->utc_ms - effective->since_utc_ms;
        }
        add_gap(slice, gap_ms);
        slice->any_cgm = true;
        slice->last_cgm_ms = record->utc_ms;
        slice->last_cgm_local_ms = record->local_ms;
}

/* How long there was none until the end of the window, which is not later than now; or in all of it. */
static void note_end(Slice *slice, const PolicyEffective *effective, PolicyNow now) {
        bool is_past = effective->to_local_ms <= now.local_ms;
        int64_t end_ms = is_past ? effective->to_local_ms : now.local_ms, gap_ms;

        if (!(effective->kinds & RECORD_KIND_BIT(RECORD_CGM)))
                return;
        if (slice->any_cgm) {
                gap_ms = is_past ? end_ms - slice->last_cgm_local_ms : now.utc_ms - slice->last_cgm_ms;
        } else {
                gap_ms = end_ms - effective->from_local_ms;
                if (effective->since_utc_ms != INT64_MIN && now.utc_ms - effective->since_utc_ms < gap_ms)
                        gap_ms = now.utc_ms - effective->since_utc_ms;
        }
        add_gap(slice, gap_ms);
}

static int each_row(const Record *record, void *userdata) {
        Rows *rows = userdata;
        Slice *slice = rows->slice;
        const RecordsSource *source = records_source(rows->records, record->source);
        PolicyRedacted *redacted = &rows->redacted;
        SliceDevice *known = NULL;
        PolicyDevice device = {0};
        size_t n = rows->text->n;
        int r;

        if (source) {
                known = device_of(slice, rows->grant, source);
                device.model = source->model;
                device.serial = source->serial;
                device.pseudonym = *known->pseudonym ? known->pseudonym : NULL;
        }
        if (!policy_redact(record, &device, rows->effective, redacted))
                return 0;

        if (slice->format == FRAME_GATE_CSV)
                r = serialise_csv(rows->text, &redacted->record, redacted->model, redacted->serial, rows->effective->kinds, false);
        else
                r = serialise_ndjson(rows->text, &redacted->record, redacted->model, redacted->serial);
        if (r < 0)
                return r;
        if (rows->text->n > ROWS_ROOM) {
                rows->text->n = n; /* it comes again in the next chunk */
                return 1;
        }

        if (known)
                known->left = true;
        note_reading(slice, rows->effective, &redacted->record);
        slice->n_rows++;
        return 0;
}

/* A JSON object and a line end. @json: stolen */
static int put_line(Text *text, json_t *json) {
        cleanup(freep) char *line = json ? json_dumps(json, JSON_COMPACT) : NULL;
        int r;

        json_decref(json);
        if (!line)
                return -ENOMEM;
        r = text_append(text, line, strlen(line));
        if (r < 0)
                return r;
        return text_append(text, "\n", 1);
}

static int put_head(const Slice *slice, const Grant *grant, const PolicyEffective *effective, PolicyNow now, Text *text) {
        char from[CIVIL_DATE_SIZE], to[CIVIL_DATE_SIZE], made[CIVIL_TIME_SIZE], since[CIVIL_TIME_SIZE];

        if (slice->format == FRAME_GATE_CSV)
                return serialise_csv_header(text, effective->kinds, false);

        civil_date(from, (int32_t) (effective->from_local_ms / POLICY_DAY_MS));
        civil_date(to, (int32_t) (effective->to_local_ms / POLICY_DAY_MS - 1));
        civil_time(made, now.utc_ms / 1000);
        civil_time(since, slice->asked.since_utc_ms / 1000);
        return put_line(text, json_pack("{s:{s:s, s:s, s:s, s:s, s:s, s:s, s:s*, s:o, s:s}}", "slice",
                                        "notice", SERIALISE_NOTICE, "made", made, "grant", grant->claims.jti,
                                        "subject", grant->claims.subject, "from", from, "to", to, "since", slice->asked.has_since ? since : NULL,
                                        "kinds", grant_kinds_json(effective->kinds),
                                        "identity", grant_identity_name(effective->identity)));
}

static json_t *devices_json(const Slice *slice, const PolicyEffective *effective, const Records *records) {
        json_t *devices = json_array();

        for (size_t i = 0; i < slice->n_devices; i++) {
                const SliceDevice *known = &slice->devices[i];
                const RecordsSource *source = records_source(records, known->source);
                bool has_serial = effective->identity == POLICY_PSEUDONYM && *known->pseudonym, is_there = false;
                json_t *device, *other;
                size_t k;

                if (!known->left || !source || (!*source->model && !has_serial))
                        continue;
                device = json_pack("{s:s, s:s*}", "device", source->model, "serial", has_serial ? known->pseudonym : NULL);
                json_array_foreach (devices, k, other)
                        is_there = is_there || json_equal(device, other); /* its pump and its sensor are sources of their own */
                if (is_there)
                        json_decref(device);
                else
                        (void) json_array_append_new(devices, device);
        }
        return devices;
}

static int put_end(const Slice *slice, const PolicyEffective *effective, const Records *records, Text *text) {
        char digest[SLICE_DIGEST_SIZE];
        json_t *json;

        slice_digest(slice, digest);
        json = json_pack("{s:{s:I, s:s, s:o, s:b, s:{s:i, s:I, s:I, s:I}}}", "end",
                         "rows", (json_int_t) slice->n_rows, "sha256", digest,
                         "devices", devices_json(slice, effective, records), "more_devices", (int) slice->more_devices,
                         "gaps", "longer_than_minutes", SLICE_GAP_MIN, "count", (json_int_t) slice->n_gaps,
                         "longest_minutes", (json_int_t) (slice->longest_gap_ms / 60000),
                         "total_minutes", (json_int_t) (slice->all_gaps_ms / 60000));
        return put_line(text, json);
}

static int put_rows(Slice *slice, Records *records, const Grant *grant, const PolicyEffective *effective, Text *text) {
        RecordsQuery query = {
                .kinds = effective->kinds,
                .from_local_ms = effective->from_local_ms,
                .to_local_ms = effective->to_local_ms,
        };
        Rows rows = { .slice = slice, .records = records, .grant = grant, .effective = effective, .text = text };

        return records_read(records, &query, &slice->cursor, SLICE_ROWS_READ, each_row, &rows);
}

int slice_next(Slice *slice, Records *records, const Grant *grant, PolicyNow now, Text *text, SliceState *ret_state,
               PolicyVerdict *ret_verdict) {
        PolicyEffective effective;
        PolicyVerdict verdict;
        int r;

        assert(text->n == 0);

        verdict = policy_decide(&grant->policy, &slice->asked, now, &effective);
        if (verdict != POLICY_ALLOW) {
                *ret_state = SLICE_DENIED;
                *ret_verdict = verdict;
                return 0;
        }

        if (!slice->head_done) {
                r = put_head(slice, grant, &effective, now, text);
                if (r < 0)
                        return r;
                slice->head_done = true;
        }
        r = put_rows(slice, records, grant, &effective, text);
        if (r != 0)
                return r;

        slice_add_bytes(slice, text->bytes, text->n);
        if (slice->cursor.ended && slice->format != FRAME_GATE_CSV) {
                size_t n = text->n;

                note_end(slice, &effective, now);
                r = put_end(slice, &effective, records, text);
                if (r < 0)
                        return r;
                slice->n_bytes += text->n - n; /* not in the hash */
        }

        *ret_state = slice->cursor.ended ? SLICE_WHOLE : text->n > 0 ? SLICE_CHUNK : SLICE_SEEKING;
        return 0;
}

typedef struct Summing {
        const Records *records;
        const PolicyEffective *effective;
        PolicySummary *summary;
        PolicyRedacted redacted;
} Summing;

static int each_reading(const Record *record, void *userdata) {
        Summing *summing = userdata;
        const RecordsSource *source = records_source(summing->records, record->source);
        PolicyDevice device = { .model = source ? source->model : NULL, .serial = source ? source->serial : NULL };

        if (policy_redact(record, &device, summing->effective, &summing->redacted))
                policy_summary_add(summing->summary, &summing->redacted.record);
        return 0;
}

int slice_sum(Records *records, const PolicyEffective *effective, RecordsCursor *cursor, PolicySummary *summary) {
        RecordsQuery query = {
                .kinds = effective->kinds,
                .from_local_ms = effective->from_local_ms,
                .to_local_ms = effective->to_local_ms,
        };
        Summing summing = { .records = records, .effective = effective, .summary = summary };

        return fold(records_read(records, &query, cursor, SLICE_ROWS_READ, each_reading, &summing));
}
