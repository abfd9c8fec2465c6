/* SPDX-License-Identifier: Apache-2.0 */

/*
 * dump-pages MODEL SERIAL ZONE PAGE...: what the decoders make of pages, one JSON object a line. For tests only.
 * PAGE is h:FILE (history; newest first) or g:FILE or g:FILE:ISIG-FILE (glucose).
 */

#include <stdio.h>
#include <stdlib.h>

#include "daemon/workers/usb/paradigm-history.h"
#include "daemon/workers/usb/pump.h"
#include "tests/unit/import/dump.h"

enum {
        FILE_MAX = 64 * 1024,
};

/* The entries themselves, for what is no record of its own. */
static void print_entries(const uint8_t *page, const ParadigmModel *model, unsigned number) {
        ParadigmEntry e;
        size_t at = 0;
        int r;

        while ((r = paradigm_history_next(page, model, &at, &e)) == 0) {
                (void) printf("{\"event\":\"entry\",\"page\":%u,\"at\":%zu,\"op\":%u,\"name\":\"%s\",\"local_ms\":", number, e.at, e.op, e.name);
                if (e.has_time)
                        (void) printf("%lld", (long long) e.local_ms);
                else
                        (void) printf("null");
                (void) printf(",\"hex\":\"");
                for (size_t i = 0; i != e.n; i++)
                        (void) printf("%02x", e.bytes[i]);
                (void) puts("\"}");
        }
        (void) printf("{\"event\":\"end\",\"page\":%u,\"at\":%zu,\"result\":%d}\n", number, at, r);
}

static size_t read_file(const char *path, uint8_t *ret) {
        FILE *file = fopen(path, "rb");
        size_t n;

        if (!file) {
                perror(path);
                exit(EXIT_FAILURE);
        }
        n = fread(ret, 1, FILE_MAX, file);
        (void) fclose(file);
        return n;
}

static int add(Pump *pump, const ParadigmModel *model, unsigned number, char *argument) {
        static uint8_t page[FILE_MAX], isig[FILE_MAX];
        char *second = strchr(argument + 2, ':');
        size_t n, n_isig = 0;
        int r;

        if (second)
                *second++ = '\0';
        n = read_file(argument + 2, page);
        if (argument[0] == 'h') {
                r = pump_add_history(pump, number, page, n, false);
                if (r == 0)
                        print_entries(page, model, number);
                return r;
        }
        if (second)
                n_isig = read_file(second, isig);
        return pump_add_glucose(pump, number, page, n, second ? isig : NULL, n_isig, false);
}

int main(int argc, char **argv) {
        static const ImportSink sink = { .source = dump_source, .record = dump_record, .rejected = dump_rejected, .note = dump_note };
        cleanup(pump_freep) Pump *pump = NULL;
        cleanup(zones_freep) Zones *zones = NULL;
        FrameImportEnd end = { 0 };
        ParadigmModel model;
        int r;

        if (argc < 4 || paradigm_model(argv[1], strlen(argv[1]), &model) != 0 || zones_load(&zones, argv[3]) != 0)
                return 2;
        r = pump_new(&pump, &model, argv[2], zones, &sink, INT64_C(4000000000000));
        for (int i = 4; i < argc && r >= 0; i++)
                r = add(pump, &model, (unsigned) i - 4, argv[i]);
        if (r >= 0)
                r = pump_finish(pump, &end);
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
