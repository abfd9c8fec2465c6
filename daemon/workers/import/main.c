/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet-import: one request in, the records of the file at descriptor 3 out, exit. */

#include <jansson.h>

#include "daemon/common/frame.h"
#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"
#include "daemon/workers/usb/pages.h"
#include "everything.h"
#include "sink.h"

enum {
        FILE_FD = 3,
};

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

static int flush(FrameBuffer *out, void *userdata) {
        (void) userdata;
        return frame_write_all(out, STDOUT_FILENO);
}

static int run(void) {
        cleanup(frame_buffer_done) FrameBuffer out = { 0 };
        const ImportSink sink = import_sink(&out);
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

        json_object_seed(0); /* else Jansson opens /dev/urandom at its first object */
        r = lock_down();
        if (r < 0)
                return r;

        if (everything_is(FILE_FD)) {
                r = everything_run(FILE_FD, &out, flush, NULL, &end, refusal);
        } else if (!zones) {
                (void) snprintf(refusal, sizeof(refusal), "A time zone of the wallet (%.200s) is not known on this machine. "
                                "Install the tzdata package, or set another zone.", request.zones);
                r = IMPORT_E_REFUSED;
        } else if (pages_is(FILE_FD, &request)) {
                r = pages_run(FILE_FD, &request, zones, &sink, &end, refusal);
        } else {
                r = import_run(FILE_FD, &request, zones, &sink, &end, refusal);
        }

        return import_sink_end(&out, r, &end, refusal);
}

int main(int argc, char **argv) {
        int r;

        if (argc == 3 && strcmp(argv[1], "--probe") == 0) {
                r = lock_down();
                return r < 0 ? EXIT_FAILURE : probe_run(argv[2]);
        }

        r = run();
        if (r < 0 && r != -EPIPE) /* the core is gone, and says itself why */
                (void) fprintf(stderr, "carewallet-import: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
