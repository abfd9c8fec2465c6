/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What an importer gives out, one JSON object a line: for tests that compare it with what others say. */

#include <stdio.h>

#include "daemon/workers/import/import.h"

static inline void dump_string(const char *text, size_t n) {
        (void) putchar('"');
        for (size_t i = 0; i != n; i++) {
                unsigned char c = (unsigned char) text[i];

                if (c == '"' || c == '\\')
                        (void) printf("\\%c", c);
                else if (c < 0x20)
                        (void) printf("\\u%04x", c);
                else
                        (void) putchar(c);
        }
        (void) putchar('"');
}

static inline void dump_text(const char *name, const char *text, size_t n) {
        (void) printf(",\"%s\":", name);
        dump_string(text, n);
}

static inline int dump_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        (void) printf("{\"event\":\"source\",\"source\":%u", source->source);
        dump_text("model", source->model, strlen(source->model));
        dump_text("serial", source->serial, strlen(source->serial));
        dump_text("section", source->section, strlen(source->section));
        (void) puts("}");
        return 0;
}

static inline int dump_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        bool is_first = true;
        size_t at = 0;
        Field field;

        (void) userdata;
        (void) printf("{\"event\":\"record\",\"line\":%u,\"extra\":%s,\"kind\":\"%s\",\"unit\":\"%s\",\"decimals\":%u,\"flags\":%u,"
                      "\"clock\":\"%s\",\"offset_min\":%d,\"value_milli\":%d,\"utc_ms\":%lld,\"local_ms\":%lld,\"source\":%u,\"identity\":\"",
                      line, is_extra ? "true" : "false", record_kind_name(record->kind), record_unit_name(record->unit),
                      record->decimals, record->flags, record_clock_name(record->clock), record->offset_min, record->value_milli,
                      (long long) record->utc_ms, (long long) record->local_ms, record->source);
        for (size_t i = 0; i != RECORD_IDENTITY_SIZE; i++)
                (void) printf("%02x", record->identity[i]);
        (void) printf("\",\"fields\":{");
        while (record_field_next(record->payload, record->n_payload, &at, &field)) {
                (void) printf("%s\"%s\":", is_first ? "" : ",", field.info->name);
                is_first = false;
                switch (field.info->type) {
                case FIELD_MILLI:
                        (void) printf("%d", field.milli);
                        break;
                case FIELD_UINT:
                        (void) printf("%u", field.number);
                        break;
                case FIELD_TOKEN:
                        (void) printf("\"%s\"", record_token_name(field.number));
                        break;
                case FIELD_TEXT:
                        dump_string(field.text, field.n_text);
                        break;
                }
        }
        (void) puts("}}");
        return 0;
}

static inline int dump_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) printf("{\"event\":\"rejected\",\"line\":%u", line);
        dump_text("row", row, n_row);
        dump_text("reason", reason, strlen(reason));
        (void) puts("}");
        return 0;
}

static inline int dump_note(void *userdata, const char *text) {
        (void) userdata;
        (void) printf("{\"event\":\"note\"");
        dump_text("text", text, strlen(text));
        (void) puts("}");
        return 0;
}

static inline int dump_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        (void) userdata;
        (void) n_done;
        (void) n_all;
        return 0;
}
