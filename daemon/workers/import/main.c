/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet-import: one request in, the records of the CSV file at descriptor 3 out, exit. */

#include "daemon/common/frame.h"
#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"
#include "import.h"

enum {
        FILE_FD = 3,
        FLUSH_BYTES = 64 * 1024,
};

static int flush(FrameBuffer *out, bool is_last) {
        return out->n >= FLUSH_BYTES || (is_last && out->n) ? frame_write_all(out, STDOUT_FILENO) : 0;
}

/* One frame put: a frame over its limit is our own mistake. */
static int sent(FrameBuffer *out, int r) {
        return r ? fold(r) : flush(out, false);
}

static int put_source(void *userdata, const FrameImportSource *source) {
        return sent(userdata, frame_put_import_source(userdata, source));
}

static int put_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        (void) is_extra;
        return sent(userdata, frame_put_import_record(userdata, line, record));
}

static int put_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        return sent(userdata, frame_put_import_rejected(userdata, line, reason, row, n_row));
}

static int put_note(void *userdata, const char *text) {
        return sent(userdata, frame_put_text(userdata, FRAME_IMPORT_NOTE, text));
}

static int put_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        return sent(userdata, frame_put_import_progress(userdata, n_done, n_all));
}

static int read_request(FrameImportRequest *ret) {
        FrameBuffer in = { 0 };
        const uint8_t *payload;
        size_t n_payload;
        uint32_t type;
        ssize_t n;
        int r;

        do {
                n = frame_read(&in, STDIN_FILENO);
                r = n > 0 ? frame_next(&in, &type, &payload, &n_payload) : n < 0 ? (int) n : -EPIPE;
        } while (r == FRAME_E_AGAIN);

        if (r == 0)
                r = type == FRAME_IMPORT_REQUEST ? frame_get_import_request(ret, payload, n_payload) : FRAME_E_FORMAT;
        if (r == 0 && ret->version != FRAME_VERSION)
                r = FRAME_E_FORMAT;
        frame_buffer_done(&in);
        return fold(r);
}

static int lock_down(void) {
        return lockdown(&(Lockdown) { .profile = LOCKDOWN_IMPORT, .state_dir_fd = -1, .socket_dir_fd = -1 });
}

static int run(void) {
        static FrameBuffer out;
        static const ImportSink sink = {
                .userdata = &out, .source = put_source, .record = put_record, .rejected = put_rejected,
                .note = put_note, .progress = put_progress,
        };
        char refusal[IMPORT_REFUSAL_MAX];
        cleanup(zones_freep) Zones *zones = NULL;
        FrameImportRequest request;
        FrameImportEnd end;
        int r;

        r = read_request(&request);
        if (r < 0)
                return r;

        r = zones_load(&zones, request.zones);
        if (r < 0)
                return r;

        r = lock_down();
        if (r < 0)
                return r;

        if (!zones) {
                (void) snprintf(refusal, sizeof(refusal), "A time zone of the wallet (%.200s) is not known on this machine. "
                                "Install the tzdata package, or set another zone.", request.zones);
                r = IMPORT_E_REFUSED;
        } else {
                r = import_run(FILE_FD, &request, zones, &sink, &end, refusal);
        }

        if (r == 0)
                r = frame_put_import_end(&out, &end);
        else if (r == IMPORT_E_REFUSED)
                r = frame_put_text(&out, FRAME_IMPORT_REFUSED, refusal);
        if (r == 0)
                r = flush(&out, true);
        frame_buffer_done(&out);
        return fold(r);
}

int main(int argc, char **argv) {
        int r;

        if (argc == 3 && strcmp(argv[1], "--probe") == 0) {
                r = lock_down();
                return r < 0 ? EXIT_FAILURE : probe_run(argv[2]);
        }

        r = run();
        if (r < 0)
                (void) fprintf(stderr, "carewallet-import: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
