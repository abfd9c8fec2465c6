/* SPDX-License-Identifier: Apache-2.0 */

/* dump-frames FILE ZONE [UNIT [MODEL SERIAL [no-checksums]]]: what the import worker makes of a file, one JSON object a line. For tests only. */

#include <fcntl.h>
#include <time.h>

#include "daemon/workers/usb/pages.h"
#include "dump.h"

static int on_merged(void *userdata, uint32_t line, uint32_t into_line, unsigned kind) {
        (void) userdata;
        (void) printf("{\"event\":\"merged\",\"line\":%u,\"into\":%u,\"kind\":\"%s\"}\n", line, into_line, record_kind_name(kind));
        return 0;
}

int main(int argc, char **argv) {
        static const ImportSink sink = {
                .source = dump_source, .record = dump_record, .rejected = dump_rejected,
                .note = dump_note, .progress = dump_progress, .merged = on_merged,
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
        (void) snprintf(request.model, sizeof(request.model), "%s", argc > 4 ? argv[4] : "");
        (void) snprintf(request.serial, sizeof(request.serial), "%s", argc > 5 ? argv[5] : "");
        request.has_no_checksums = argc > 6;

        if (pages_is(fd, &request))
                r = pages_run(fd, &request, zones, &sink, &end, refusal);
        else
                r = import_run(fd, &request, zones, &sink, &end, refusal);
        if (r == IMPORT_E_REFUSED) {
                (void) printf("{\"event\":\"refused\"");
                dump_text("text", refusal, strlen(refusal));
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
