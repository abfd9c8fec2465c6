/* SPDX-License-Identifier: Apache-2.0 */

/* dump-frames FILE ZONE [UNIT]: what the import library makes of a file, one JSON object a line. For tests only. */

#include <fcntl.h>
#include <time.h>

#include "daemon/workers/import/import.h"

static void put_string(const char *text, size_t n) {
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

static void put_text(const char *name, const char *text, size_t n) {
        (void) printf(",\"%s\":", name);
        put_string(text, n);
}

static int on_source(void *userdata, const FrameImportSource *source) {
        (void) userdata;
        (void) printf("{\"event\":\"source\",\"source\":%u", source->source);
        put_text("model", source->model, strlen(source->model));
        put_text("serial", source->serial, strlen(source->serial));
        put_text("section", source->section, strlen(source->section));
        (void) puts("}");
        return 0;
}

static int on_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
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
                        put_string(field.text, field.n_text);
                        break;
                }
        }
        (void) puts("}}");
        return 0;
}

static int on_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        (void) row;
        (void) n_row;
        (void) printf("{\"event\":\"rejected\",\"line\":%u", line);
        put_text("reason", reason, strlen(reason));
        (void) puts("}");
        return 0;
}

static int on_note(void *userdata, const char *text) {
        (void) userdata;
        (void) printf("{\"event\":\"note\"");
        put_text("text", text, strlen(text));
        (void) puts("}");
        return 0;
}

static int on_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        (void) userdata;
        (void) n_done;
        (void) n_all;
        return 0;
}

static int on_merged(void *userdata, uint32_t line, uint32_t into_line, unsigned kind) {
        (void) userdata;
        (void) printf("{\"event\":\"merged\",\"line\":%u,\"into\":%u,\"kind\":\"%s\"}\n", line, into_line, record_kind_name(kind));
        return 0;
}

int main(int argc, char **argv) {
        static const ImportSink sink = {
                .source = on_source, .record = on_record, .rejected = on_rejected,
                .note = on_note, .progress = on_progress, .merged = on_merged,
        };
        FrameImportRequest request = { .version = FRAME_VERSION };
        cleanup(zones_freep) Zones *zones = NULL;
        char refusal[IMPORT_REFUSAL_MAX];
        FrameImportEnd end;
        int fd, r;

        if (argc < 3)
                return 2;
        fd = open(argv[1], O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0 || zones_load(&zones, argv[2]) != 0)
                return 1;
        request.now_utc_ms = (int64_t) time(NULL) * 1000;
        request.glucose_unit = (uint8_t) (argc > 3 ? strtoul(argv[3], NULL, 10) : 0);

        r = import_run(fd, &request, zones, &sink, &end, refusal);
        if (r == IMPORT_E_REFUSED) {
                (void) printf("{\"event\":\"refused\"");
                put_text("text", refusal, strlen(refusal));
                (void) puts("}");
                return 0;
        }
        if (r)
                return 1;

        (void) printf("{\"event\":\"end\",\"format\":\"%s\",\"rows\":%u,\"rejected\":%u,\"kinds\":{", end.format, end.n_rows, end.n_rejected);
        for (unsigned i = 1; i != N_RECORD_KINDS; i++)
                (void) printf("%s\"%s\":[%u,%u,%u]", i == 1 ? "" : ",", record_kind_name(i), end.n_records[i], end.n_merged[i], end.n_extra[i]);
        (void) puts("}}");
        return 0;
}
