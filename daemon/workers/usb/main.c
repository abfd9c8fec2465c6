/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet-usb: one request in, the records of the pump behind the USB device at descriptor 3 out, exit. */

#include <poll.h>

#include "cable.h"
#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"
#include "daemon/workers/import/sink.h"
#include "pull.h"
#include "tracer.h"

enum {
        DEVICE_FD = 3,
        TRACE_FD = 4,
};

/* What can be read, and who reads it. cli/devices.c names the same to the patient. */
static const struct {
        uint16_t vendor, product;
        int (*run)(const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink, FrameUsbPump *ret,
                   FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]);
} drivers[] = {
        { 0x0a21, 0x8001, pull_run }, /* CareLink USB, MMT-7305 */
        { 0x1a79, 0x6200, pull_run_meter }, /* Contour Next Link, mg/dL */
        { 0x1a79, 0x6300, pull_run_meter }, /* and mmol/L */
};

/* The core's frames. Return: 0 with one; -EPIPE at their end; negative errno. */
static int next_frame(FrameBuffer *in, uint32_t *ret_type, const uint8_t **ret_payload, size_t *ret_n) {
        ssize_t n;
        int r;

        for (;;) {
                r = frame_next(in, ret_type, ret_payload, ret_n);
                if (r != FRAME_E_AGAIN)
                        return fold(r);
                n = frame_read(in, STDIN_FILENO);
                if (n <= 0)
                        return n < 0 ? (int) n : -EPIPE;
        }
}

/* Whatever the core says after the request, and that it is gone, means: stop. */
static bool is_stopped(void *userdata, unsigned wait_ms) {
        struct pollfd said = { .fd = STDIN_FILENO, .events = POLLIN };
        const FrameBuffer *in = userdata;

        return in->n > in->at || poll(&said, 1, (int) wait_ms) > 0;
}

static int read_request(FrameBuffer *in, FrameUsbRequest *ret) {
        const uint8_t *payload;
        size_t n_payload;
        uint32_t type;
        int r;

        r = next_frame(in, &type, &payload, &n_payload);
        if (r < 0)
                return r;
        return fold(type == FRAME_USB_REQUEST ? frame_get_usb_request(ret, payload, n_payload) : FRAME_E_FORMAT);
}

static int lock_down(void) {
        return lockdown(&(Lockdown) { .profile = LOCKDOWN_USB, .state_dir_fd = -1, .socket_dir_fd = -1 });
}

static const char *why_not(int r) {
        switch (r) {
        case CABLE_E_BUSY:
                return "Another program uses this device. Close it, or unplug the device and plug it in again.";
        case CABLE_E_GONE:
                return "The device was unplugged.";
        case CABLE_E_OTHER:
                return "This device does not look as it should. Unplug it, plug it in again, and try once more.";
        default:
                return "This is no USB device that can be read and written.";
        }
}

static_assert(CABLE_SLICE_MS + PULL_STOP_MS + CABLE_SLICE_MS < 1000, "who wants to stop waits for less than a second: until it is heard, for the radio, and for its last write");

static int session(Cable *cable, const FrameUsbRequest *request, Zones *zones, FrameBuffer *out) {
        const ImportSink sink = import_sink(out);
        cleanup(tracer_freep) Tracer *tracer = NULL;
        Transport transport = cable_transport(cable), real = transport;
        char refusal[PULL_REFUSAL_MAX];
        FrameImportEnd end;
        FrameUsbPump pump;
        size_t i = 0;
        int r;

        while (i != N_ELEMENTS(drivers) && (drivers[i].vendor != cable_vendor(cable) || drivers[i].product != cable_product(cable)))
                i++;
        if (i == N_ELEMENTS(drivers))
                return import_sink_end(out, IMPORT_E_REFUSED, NULL, "carewallet can't read this device. carewallet devices says which it can.");

        if (request->has_trace && drivers[i].run != pull_run)
                return import_sink_end(out, IMPORT_E_REFUSED, NULL, "A trace can be saved of a CareLink USB stick only. Pull without --save-trace.");

        r = cable_claim(cable);
        if (r)
                return import_sink_end(out, r, NULL, why_not(r));
        if (request->has_trace) {
                r = tracer_new(&tracer, &real, TRACE_FD);
                if (r)
                        return r;
                transport = tracer_transport(tracer);
        }
        r = drivers[i].run(&transport, request, zones, &sink, &pump, &end, refusal);
        if (r >= 0 && tracer && tracer_finish(tracer) < 0) {
                int noted = sink.note(sink.userdata, "The trace could not be written whole: the disk is full, or the file can't be written.");

                if (noted < 0)
                        return noted;
        }
        cable_release(cable); /* now: with the last frame the core has all that it wants of this process, and ends it */
        if (r == 0)
                r = fold(frame_put_usb_pump(out, &pump));
        return import_sink_end(out, r, &end, refusal);
}

static int run(void) {
        cleanup(frame_buffer_done) FrameBuffer in = { 0 }, out = { 0 };
        cleanup(zones_freep) Zones *zones = NULL;
        cleanup(cable_closep) Cable *cable = NULL;
        FrameUsbRequest request;
        char refusal[PULL_REFUSAL_MAX];
        int r, opened;

        r = read_request(&in, &request);
        if (r < 0)
                return r;
        r = zones_load(&zones, request.zones);
        if (r < 0)
                return r;
        opened = cable_open(&cable, &(CableConfig) { .fd = DEVICE_FD, .is_stopped = is_stopped, .userdata = &in });
        if (opened < 0)
                return opened;
        r = lock_down();
        if (r < 0)
                return r;

        if (opened)
                return import_sink_end(&out, opened, NULL, why_not(opened));
        if (!zones) {
                (void) snprintf(refusal, sizeof(refusal), "A time zone of the wallet (%.200s) is not known on this machine. "
                                "Install the tzdata package, or set another zone.", request.zones);
                return import_sink_end(&out, IMPORT_E_REFUSED, NULL, refusal);
        }
        return session(cable, &request, zones, &out);
}

int main(int argc, char **argv) {
        int r;

        if (argc == 3 && strcmp(argv[1], "--probe") == 0) {
                r = lock_down();
                return r < 0 ? EXIT_FAILURE : probe_run(argv[2]);
        }

        r = run();
        if (r < 0 && r != -EPIPE) /* the core is gone, and says itself why */
                (void) fprintf(stderr, "carewallet-usb: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
