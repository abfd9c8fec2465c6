/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Files of a pump's memory. The first byte says what the rest becomes: the file as it is; pages, their checksums made
 * right; the same as hex digits; questions and answers of a transcript. Besides not crashing: what is given out is valid
 * and the counts are what FrameImportEnd promises.
 */

#include <stdarg.h>
#include <stdio.h>
#include <sys/mman.h>

#include "fuzz-pump.h"
#include "daemon/workers/usb/pages.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum {
        TEXT_MAX = 256 * 1024,
        INPUT_MAX = 8 * 1024,
};

static char text[TEXT_MAX];
static size_t n_text;

static void add(const char *format, ...) printf_like(1, 2);
static void add(const char *format, ...) {
        va_list args;

        va_start(args, format);
        n_text += (size_t) vsnprintf(text + n_text, sizeof(text) - n_text, format, args);
        va_end(args);
        if (n_text >= sizeof(text))
                abort();
}

static void add_hex(const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i != n; i++)
                add("%02x", bytes[i]);
}

static void transfer(char direction, const uint8_t *bytes, size_t n) {
        add("{\"d\":\"%c\",\"n\":%zu,\"hex\":\"", direction, n);
        add_hex(bytes, n);
        add("\"}\n");
}

/* What follows the first byte: opcode or answer's flags, length, that many bytes. */
static void make_trace(const uint8_t *bytes, size_t n) {
        static const uint8_t opcodes[] = { 0x80, 0x8d, 0x9a, 0x9b, 0x9d, 0x4d };
        uint8_t serial[3] = { 0x34, 0x51, 0x92 };

        add("{\"trace\":1,\"device\":\"carelink-stick\",\"serials\":\"%s\"}\n", n % 2 ? "replaced" : "real");
        while (n >= 2) {
                uint8_t kind = bytes[0], packet[24] = { 0x01, 0, 0xa7, 0x01 }, frame[300] = { 0x02, 0 };
                size_t n_body = bytes[1] < n - 2 ? bytes[1] : n - 2;
                const uint8_t *body = bytes + 2;

                serial[2] = kind == 0xff ? 0x93 : 0x92;
                if (kind & 1) {
                        size_t n_parameters = n_body < 4 ? n_body : 4;

                        memcpy(packet + 4, serial, 3);
                        packet[8] = (uint8_t) n_parameters;
                        packet[11] = kind & 2 ? 1 : 2;
                        packet[13] = opcodes[(kind >> 2) % N_ELEMENTS(opcodes)];
                        packet[14] = paradigm_crc8(packet, 14);
                        memcpy(packet + 15, body, n_parameters);
                        transfer('w', packet, 16 + n_parameters);
                        n_body = n_parameters;
                } else {
                        frame[2] = kind >> 2 & 7;
                        frame[5] = kind & 2 ? 0x80 : 0;
                        frame[6] = (uint8_t) n_body;
                        memcpy(frame + 9, serial, 3);
                        frame[12] = paradigm_crc8(frame, 12);
                        memcpy(frame + 13, body, n_body);
                        frame[13 + n_body] = paradigm_crc8(body, n_body);
                        transfer('w', (const uint8_t[]) { 0x0c, 0, (uint8_t) ((n_body + 14) >> 8), (uint8_t) (n_body + 14), 0 }, 5);
                        transfer('r', frame, n_body + 14);
                }
                bytes += 2 + n_body;
                n -= 2 + n_body;
        }
}

static uint32_t n_records, n_rejected;

static int on_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        (void) userdata;
        (void) is_extra;
        n_records++;
        return line == 0 && record_valid(record) ? 0 : -EINVAL;
}

static int on_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        (void) userdata;
        n_rejected++;
        return line == 0 && strlen(reason) > 10 && n_row <= 1024 && strlen(row) == n_row ? 0 : -EINVAL;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const char *const models[] = { "", "512", "522", "723" };
        static const ImportSink sink = { .source = fuzz_source, .record = on_record, .rejected = on_rejected, .note = fuzz_note };
        static Zones *zones;
        static int fd = -1;
        FrameImportRequest request = { .version = FRAME_VERSION, .now_utc_ms = INT64_C(2000000000000) };
        uint8_t page[PARADIGM_PAGE_SIZE];
        char refusal[IMPORT_REFUSAL_MAX] = "";
        FrameImportEnd end;
        uint64_t n_counted = 0, n_extra = 0;
        unsigned choice;
        int r;

        if (n < 1 || n > INPUT_MAX)
                return 0;
        if (fd < 0 && ((fd = memfd_create("fuzz-pages", MFD_CLOEXEC)) < 0 || zones_load(&zones, "Europe/Berlin") != 0))
                abort();
        choice = *bytes++;
        n--;
        (void) snprintf(request.model, sizeof(request.model), "%s", models[choice >> 2 & 3]);
        (void) snprintf(request.serial, sizeof(request.serial), "%s", choice & 16 ? "345192" : "");
        request.has_no_checksums = choice & 32;

        n_text = 0;
        switch (choice & 3) {
        case 0:
                memcpy(text, bytes, n);
                n_text = n;
                break;
        case 1:
        case 2:
                while (n) {
                        size_t taken = fuzz_page(page, bytes, n);

                        if (choice & 1) {
                                memcpy(text + n_text, page, sizeof(page));
                                n_text += sizeof(page);
                        } else {
                                add_hex(page, sizeof(page));
                        }
                        bytes += taken;
                        n -= taken;
                }
                break;
        default:
                make_trace(bytes, n);
                break;
        }
        if (ftruncate(fd, 0) < 0 || pwrite(fd, text, n_text, 0) != (ssize_t) n_text)
                abort();

        if (!pages_is(fd, &request))
                return 0;
        n_records = n_rejected = 0;
        r = pages_run(fd, &request, zones, &sink, &end, refusal);
        if (r == IMPORT_E_REFUSED ? strlen(refusal) < 20 : r != 0)
                abort();
        if (r)
                return 0;
        for (unsigned kind = 0; kind != N_RECORD_KINDS; kind++) {
                n_counted += end.n_records[kind];
                n_extra += end.n_extra[kind];
        }
        if (end.n_rows != n_counted + end.n_rejected || n_records != n_counted + n_extra || n_rejected != end.n_rejected)
                abort();
        return 0;
}
