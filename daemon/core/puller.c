/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Pull: reading a pump by USB. What was read whole is remembered by its hash, so that the next time only what is new is
 * read; it is forgotten when an import is taken back, because its records may then be missing.
 */

#include "importer.h"

enum {
        SERIAL_DIGITS = 6,
};

#define SETTING_PUMP "pump" /* the serial number of the one that was read last */

/* A setting for each pump: u32 the last import when it was read, then the hashes. FORMAT.md, "settings". */
static void setting_name(char ret[static 32], const char *serial) {
        (void) snprintf(ret, 32, "pull-%.15s", serial);
}

json_t *puller_report(const FrameUsbPump *pump) {
        json_t *report = json_pack("{s:s, s:s, s:I, s:b, s:i, s:i}", "model", pump->model, "serial", pump->serial, "clockOffsetS",
                                   (json_int_t) (pump->clock_offset_ms / 1000), "complete", (int) pump->is_complete, "pages", (int) pump->n_pages,
                                   "missing", (int) pump->n_missing);

        if (report && pump->battery_mv > 0)
                (void) json_object_set_new(report, "batteryV", json_real(pump->battery_mv / 1000.0));
        if (report && pump->reservoir_milli >= 0)
                (void) json_object_set_new(report, "reservoirU", json_real(pump->reservoir_milli / 1000.0));
        return report;
}

int puller_keep(Wallet *wallet, const FrameUsbPump *pump) {
        uint8_t value[4 + sizeof(pump->known)];
        char name[32];
        int r;

        if (!pump->is_complete)
                return 0;
        setting_name(name, pump->serial);
        put_le32(value, records_last_import(wallet->records));
        memcpy(value + 4, pump->known, (size_t) pump->n_known * FRAME_USB_HASH_SIZE);
        r = consent_setting_put(wallet->consent, name, value, 4 + (size_t) pump->n_known * FRAME_USB_HASH_SIZE);
        return r ? r : consent_setting_put(wallet->consent, SETTING_PUMP, pump->serial, SERIAL_DIGITS);
}

int puller_forget(Wallet *wallet) {
        return consent_setting_forget(wallet->consent, "pull-", "pull.");
}

/* What is kept of it; nothing when records.db is an older one than when that was written. */
static int recall(Wallet *wallet, FrameUsbRequest *request) {
        cleanup(freep) char *value = NULL;
        char name[32];
        size_t n;
        int r;

        setting_name(name, request->serial);
        r = consent_setting_get(wallet->consent, name, &value, &n);
        if (r == CONSENT_E_NOT_FOUND)
                return 0;
        if (r != 0)
                return fold(r);
        if (n < 4 || (n - 4) % FRAME_USB_HASH_SIZE != 0 || n - 4 > sizeof(request->known) ||
            get_le32((const uint8_t *) value) > records_last_import(wallet->records))
                return 0;
        request->n_known = (uint16_t) ((n - 4) / FRAME_USB_HASH_SIZE);
        memcpy(request->known, value + 4, n - 4);
        return 0;
}

static int put_request(FrameBuffer *out, const void *request) {
        return frame_put_usb_request(out, request);
}

static bool is_serial(const char *text) {
        return strlen(text) == SERIAL_DIGITS && strspn(text, "0123456789") == SERIAL_DIGITS;
}

/* The one that is asked for, or that of the last time. Return: 0; > 0 when there is none; negative errno. */
static int get_serial(Wallet *wallet, const char *asked, FrameUsbRequest *request) {
        cleanup(freep) char *value = NULL;
        size_t n;
        int r;

        if (!asked) {
                r = consent_setting_get(wallet->consent, SETTING_PUMP, &value, &n);
                if (r != 0)
                        return r == CONSENT_E_NOT_FOUND ? r : fold(r);
                asked = value;
        }
        memcpy(request->serial, asked, SERIAL_DIGITS + 1);
        return 0;
}

int method_pull(Call *call, void *userdata) {
        cleanup(close_fdp) int device_fd = -1, trace_fd = -1;
        const char *serial = call_string(call, "serial");
        FrameUsbRequest request = { .version = FRAME_VERSION };
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        char name[32];
        int r;

        if (manager_is_storing(manager))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        if (serial && !is_serial(serial))
                return call_invalid(call, "serial");
        r = get_serial(wallet, serial, &request);
        if (r < 0)
                return r;
        if (r > 0)
                return call_refuse(call, "Which pump? Give its serial number the first time: --serial and the six digits on its back.");
        request.now_utc_ms = wallet_now(wallet).utc_ms;
        memcpy(request.zones, wallet->zones_spec, sizeof(request.zones));
        r = recall(wallet, &request);
        if (r < 0)
                return r;

        device_fd = call_take_fd(call, "deviceFd");
        trace_fd = call_take_fd(call, "traceFd");
        request.has_trace = trace_fd >= 0;
        (void) snprintf(name, sizeof(name), "pump %s", request.serial);
        return importer_start(manager, call, &(ImporterConfig){
                .name = name, .fds = (const int[]){ device_fd, trace_fd }, .n_fds = trace_fd >= 0 ? 2 : 1, .serial = request.serial,
                .put_request = put_request, .request = &request,
        });
}

int method_stop_pull(Call *call, void *userdata) {
        Manager *manager = userdata;
        bool is_running = manager->importer && importer_is_device(manager->importer);

        if (is_running)
                importer_stop(manager->importer);
        return call_reply(call, json_pack("{s:b}", "stopped", (int) is_running));
}
