/* SPDX-License-Identifier: Apache-2.0 */

/* The writer of records. It reserves the room that any record can need once, then puts bytes without asking. */

#include <inttypes.h>
#include <sodium.h>

#include "daemon/common/civil.h"
#include "serialise.h"

enum {
        TEXT_FIRST = 4096, /* bytes of a new text's first allocation */
};

void text_done(Text *text) {
        if (text->bytes)
                sodium_memzero(text->bytes, text->n_allocated);
        free(text->bytes);
        *text = (Text) {0};
}

void text_clear(Text *text) {
        text->n = 0;
}

static int reserve(Text *text, size_t n) {
        size_t n_allocated = text->n_allocated > 0 ? text->n_allocated : TEXT_FIRST;
        char *bytes;

        if (text->n_allocated - text->n >= n)
                return 0;

        while (n_allocated - text->n < n) {
                if (n_allocated > SIZE_MAX / 2)
                        return -ENOMEM;
                n_allocated *= 2;
        }
        bytes = malloc(n_allocated); /* not realloc(): it would leave the old bytes behind */
        if (!bytes)
                return -ENOMEM;
        if (text->n > 0)
                memcpy(bytes, text->bytes, text->n);
        if (text->bytes)
                sodium_memzero(text->bytes, text->n_allocated);
        free(text->bytes);
        text->bytes = bytes;
        text->n_allocated = n_allocated;
        return 0;
}

int text_append(Text *text, const char *bytes, size_t n) {
        int r = reserve(text, n);

        if (r < 0)
                return r;
        if (n > 0)
                memcpy(text->bytes + text->n, bytes, n);
        text->n += n;
        return 0;
}

/* --- bytes behind a pointer: each returns the place behind what it put --- */

static char *put_bytes(char *p, const char *bytes, size_t n) {
        memcpy(p, bytes, n);
        return p + n;
}

static char *put_text(char *p, const char *text) {
        return put_bytes(p, text, strlen(text));
}

#define put_literal(p, text) put_bytes((p), "" text, sizeof(text) - 1)

static char *put_uint(char *p, uint64_t value) {
        char digits[20];
        size_t n = 0;

        do
                digits[n++] = (char) ('0' + value % 10);
        while ((value /= 10) > 0);
        while (n > 0)
                *p++ = digits[--n];
        return p;
}

/* Thousandths with at least @decimals digits behind the point, and as many more as the number has. */
static char *put_milli(char *p, int64_t milli, unsigned decimals) {
        uint64_t magnitude = milli < 0 ? (uint64_t) 0 - (uint64_t) milli : (uint64_t) milli;
        unsigned fraction = (unsigned) (magnitude % 1000);
        unsigned n_needed = fraction == 0 ? 0 : fraction % 100 == 0 ? 1 : fraction % 10 == 0 ? 2 : 3;

        if (milli < 0)
                *p++ = '-';
        p = put_uint(p, magnitude / 1000);
        if (decimals < n_needed)
                decimals = n_needed;
        if (decimals > 0)
                *p++ = '.';
        for (unsigned i = 0, scale = 100; i < decimals; i++, scale /= 10)
                *p++ = (char) (scale > 0 ? '0' + fraction / scale % 10 : '0');
        return p;
}

/* RFC 3339 without an offset; .mmm only where there is one. */
static char *put_time(char *p, int64_t ms) {
        char text[CIVIL_TIME_SIZE];
        int32_t fraction = (int32_t) ((ms % 1000 + 1000) % 1000);

        civil_time(text, (ms - fraction) / 1000);
        p = put_bytes(p, text, CIVIL_TIME_SIZE - 2); /* not the Z */
        if (fraction > 0) {
                *p++ = '.';
                civil_digits(p, fraction, 3);
                p += 3;
        }
        return p;
}

/* A JSON string. record_valid() promises UTF-8 without control characters but TAB; others become a space. At most 2n + 2 bytes. */
static char *put_json(char *p, const char *text, size_t n_text) {
        *p++ = '"';
        for (size_t i = 0; i < n_text; i++) {
                char c = text[i];

                if (c == '"' || c == '\\') {
                        *p++ = '\\';
                        *p++ = c;
                } else if (c == '\t') {
                        *p++ = '\\';
                        *p++ = 't';
                } else
                        *p++ = (unsigned char) c < 0x20 || c == 0x7f ? ' ' : c;
        }
        *p++ = '"';
        return p;
}

/*
 * A cell of text, RFC 4180. A spreadsheet takes what begins with one of = + - @ TAB CR for a formula: an apostrophe in front makes
 * it text. At most 2n + 3 bytes.
 */
static char *put_cell(char *p, const char *text, size_t n_text) {
        static const char formula[] = "=+-@\t\r";
        bool quoted = false;

        for (size_t i = 0; i < n_text && !quoted; i++)
                quoted = text[i] == ',' || text[i] == '"' || text[i] == '\r' || text[i] == '\n';

        if (quoted)
                *p++ = '"';
        if (n_text > 0 && memchr(formula, text[0], sizeof(formula) - 1))
                *p++ = '\'';
        for (size_t i = 0; i < n_text; i++) {
                if (text[i] == '"')
                        *p++ = '"';
                *p++ = text[i];
        }
        if (quoted)
                *p++ = '"';
        return p;
}

static const char *code_of(const Record *record) {
        if (record->flags & RECORD_CODE_LOW)
                return "LO";
        if (record->flags & RECORD_CODE_HIGH)
                return "HI";
        return NULL;
}

int serialise_ndjson(Text *text, const Record *record, const char *model, const char *serial) {
        const char *code = code_of(record);
        size_t at = 0;
        Field field;
        char *p;
        int r;

        r = reserve(text, SERIALISE_MAX);
        if (r < 0)
                return r;

        p = put_literal(text->bytes + text->n, "{\"kind\":\"");
        p = put_text(p, record_kind_name(record->kind));
        p = put_literal(p, "\",\"time\":\"");
        p = put_time(p, record->utc_ms);
        p = put_literal(p, "Z\",\"local_time\":\"");
        p = put_time(p, record->local_ms);
        *p++ = '"';
        if (record->flags & RECORD_HAS_VALUE) {
                p = put_literal(p, ",\"value\":");
                p = put_milli(p, record->value_milli, record->decimals);
        } else if (code)
                p = put_literal(p, ",\"value\":null");
        if (record->unit != RECORD_UNIT_NONE) {
                p = put_literal(p, ",\"unit\":\"");
                p = put_text(p, record_unit_name(record->unit));
                *p++ = '"';
        }
        if (code) {
                p = put_literal(p, ",\"code\":\"");
                p = put_text(p, code);
                *p++ = '"';
        }

        while (record_field_next(record->payload, record->n_payload, &at, &field)) {
                p = put_literal(p, ",\"");
                p = put_text(p, field.info->name);
                p = put_literal(p, "\":");
                switch (field.info->type) {
                case FIELD_MILLI:
                        p = put_milli(p, field.milli, 0);
                        break;
                case FIELD_UINT:
                        p = put_uint(p, field.number);
                        break;
                case FIELD_TOKEN:
                        *p++ = '"';
                        p = put_text(p, record_token_name(field.number));
                        *p++ = '"';
                        break;
                case FIELD_TEXT:
                        p = put_json(p, field.text, field.n_text);
                        break;
                }
        }

        if (record->clock != RECORD_CLOCK_ZONE) {
                p = put_literal(p, ",\"clock\":\"");
                p = put_text(p, record_clock_name(record->clock));
                *p++ = '"';
        }
        if (record->flags & RECORD_QUARANTINED)
                p = put_literal(p, ",\"quarantined\":true");
        if (model) {
                p = put_literal(p, ",\"device\":");
                p = put_json(p, model, strlen(model));
        }
        if (serial) {
                p = put_literal(p, ",\"serial\":");
                p = put_json(p, serial, strlen(serial));
        }
        p = put_literal(p, "}\n");

        text->n = (size_t) (p - text->bytes);
        assert(text->n <= text->n_allocated);
        return 0;
}

int serialise_everything(Text *text, const Record *record) {
        static const char head[] = "{\"record\":";
        char hex[2 * RECORD_IDENTITY_SIZE + 1];
        char *p;
        int r;

        r = text_append(text, head, sizeof(head) - 1);
        if (r == 0)
                r = serialise_ndjson(text, record, NULL, NULL);
        if (r == 0)
                r = reserve(text, SERIALISE_MAX);
        if (r < 0)
                return r;
        text->n -= strlen("}\n");
        p = put_literal(text->bytes + text->n, ",\"import\":");
        p = put_uint(p, record->import);
        p = put_literal(p, ",\"source\":");
        p = put_uint(p, record->source);
        p = put_literal(p, ",\"flags\":");
        p = put_uint(p, record->flags);
        p = put_literal(p, ",\"decimals\":");
        p = put_uint(p, record->decimals);
        p = put_literal(p, ",\"identity\":\"");
        p = put_text(p, sodium_bin2hex(hex, sizeof(hex), record->identity, sizeof(record->identity)));
        p = put_literal(p, "\"}}\n");
        text->n = (size_t) (p - text->bytes);
        return 0;
}

void serialise_local(char ret[static SERIALISE_TIME_SIZE], int64_t local_ms) {
        *put_time(ret, local_ms) = '\0';
}

/* Whether a field has a column. FIELD_CODE shares the fixed column "code": no kind has both. */
static bool has_column(unsigned id, uint32_t kinds, bool internal) {
        const FieldInfo *info = record_field_info(id);

        if (!info || !(info->kinds & kinds) || id == FIELD_CODE)
                return false;
        return internal || info->class == FIELD_CLINICAL || info->class == FIELD_FREE_TEXT;
}

int serialise_csv_header(Text *text, uint32_t kinds, bool internal) {
        char *p;
        int r;

        r = reserve(text, SERIALISE_MAX);
        if (r < 0)
                return r;

        p = put_literal(text->bytes + text->n, "kind,time,local_time,value,unit,code");
        for (unsigned id = 1; id < N_FIELDS; id++) {
                if (!has_column(id, kinds, internal))
                        continue;
                *p++ = ',';
                p = put_text(p, record_field_info(id)->name);
        }
        p = put_literal(p, ",clock");
        if (internal)
                p = put_literal(p, ",quarantined");
        p = put_literal(p, ",device,serial\r\n");

        text->n = (size_t) (p - text->bytes);
        return 0;
}

static char *put_field_cell(char *p, const Field *field) {
        switch (field->info->type) {
        case FIELD_MILLI:
                return put_milli(p, field->milli, 0);
        case FIELD_UINT:
                return put_uint(p, field->number);
        case FIELD_TOKEN:
                return put_text(p, record_token_name(field->number));
        case FIELD_TEXT:
                return put_cell(p, field->text, field->n_text);
        }
        return p;
}

int serialise_csv(Text *text, const Record *record, const char *model, const char *serial, uint32_t kinds, bool internal) {
        const char *code = code_of(record);
        Field fields[N_FIELDS];
        uint64_t present = 0; /* bit per field; N_FIELDS is less than 64 */
        size_t at = 0;
        Field field;
        char *p;
        int r;

        _Static_assert(N_FIELDS <= 64, "a bit for each field");

        r = reserve(text, SERIALISE_MAX);
        if (r < 0)
                return r;

        while (record_field_next(record->payload, record->n_payload, &at, &field)) {
                fields[field.id] = field;
                present |= UINT64_C(1) << field.id;
        }

        p = put_text(text->bytes + text->n, record_kind_name(record->kind));
        *p++ = ',';
        p = put_time(p, record->utc_ms);
        p = put_literal(p, "Z,");
        p = put_time(p, record->local_ms);
        *p++ = ',';
        if (record->flags & RECORD_HAS_VALUE)
                p = put_milli(p, record->value_milli, record->decimals);
        *p++ = ',';
        p = put_text(p, record_unit_name(record->unit));
        *p++ = ',';
        if (code)
                p = put_text(p, code);
        else if (present & UINT64_C(1) << FIELD_CODE)
                p = put_uint(p, fields[FIELD_CODE].number);

        for (unsigned id = 1; id < N_FIELDS; id++) {
                if (!has_column(id, kinds, internal))
                        continue;
                *p++ = ',';
                if (present & UINT64_C(1) << id)
                        p = put_field_cell(p, &fields[id]);
        }

        *p++ = ',';
        if (record->clock != RECORD_CLOCK_ZONE)
                p = put_text(p, record_clock_name(record->clock));
        if (internal)
                p = record->flags & RECORD_QUARANTINED ? put_literal(p, ",true") : put_literal(p, ",");
        *p++ = ',';
        if (model)
                p = put_cell(p, model, strlen(model));
        *p++ = ',';
        if (serial)
                p = put_cell(p, serial, strlen(serial));
        p = put_literal(p, "\r\n");

        text->n = (size_t) (p - text->bytes);
        assert(text->n <= text->n_allocated);
        return 0;
}

int serialise_summary(Text *text, const PolicySummary *summary) {
        static const char *const names[N_POLICY_BANDS] = {
                [POLICY_BAND_VERY_LOW] = "very_low",
                [POLICY_BAND_LOW] = "low",
                [POLICY_BAND_TARGET] = "target",
                [POLICY_BAND_HIGH] = "high",
                [POLICY_BAND_VERY_HIGH] = "very_high",
        };
        char date[CIVIL_DATE_SIZE];
        int64_t mean = policy_summary_mean_milli(summary);
        unsigned step = summary->is_mmol ? 10 : 100; /* mmol/L with two decimals, mg/dL with one */
        char *p;
        int r;

        r = reserve(text, SERIALISE_MAX);
        if (r < 0)
                return r;

        p = put_literal(text->bytes + text->n, "{\"notice\":\"" SERIALISE_NOTICE "\",\"from\":\"");
        civil_date(date, summary->from_day);
        p = put_text(p, date);
        p = put_literal(p, "\",\"to\":\"");
        civil_date(date, summary->to_day);
        p = put_text(p, date);
        p = put_literal(p, "\",\"days\":");
        p = put_uint(p, summary->n_days);
        p = put_literal(p, ",\"readings\":");
        p = put_uint(p, summary->n_readings);
        p = put_literal(p, ",\"codes\":");
        p = put_uint(p, summary->n_codes);
        p = put_literal(p, ",\"mean\":");
        p = put_milli(p, (mean + step / 2) / step * step, summary->is_mmol ? 2 : 1);
        p = put_literal(p, ",\"unit\":\"");
        p = put_text(p, record_unit_name(summary->is_mmol ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL));
        p = put_literal(p, "\",\"bands\":{");
        for (unsigned band = 0; band < N_POLICY_BANDS; band++) {
                if (band > 0)
                        *p++ = ',';
                *p++ = '"';
                p = put_text(p, names[band]);
                p = put_literal(p, "\":");
                p = put_uint(p, summary->band[band]);
        }
        p = put_literal(p, "}}\n");

        text->n = (size_t) (p - text->bytes);
        return 0;
}
