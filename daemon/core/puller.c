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
#define SETTING_AUTOMATIC "automatic-pull" /* that of the one that is read without a question when a device is plugged in */

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

/* A serial number that is kept. Return: 0; CONSENT_E_NOT_FOUND; negative errno. */
static int kept_serial(Wallet *wallet, const char *setting, char ret[static SERIAL_DIGITS + 1]) {
        cleanup(freep) char *value = NULL;
        size_t n;
        int r;

        r = consent_setting_get(wallet->consent, setting, &value, &n);
        if (r != 0)
                return r == CONSENT_E_NOT_FOUND ? r : fold(r);
        if (!is_serial(value))
                return CONSENT_E_NOT_FOUND;
        memcpy(ret, value, SERIAL_DIGITS + 1);
        return 0;
}

static int begin(Call *call, Manager *manager, FrameUsbRequest *request, bool is_quiet) {
        cleanup(close_fdp) int device_fd = -1, trace_fd = -1;
        Wallet *wallet = manager->wallet;
        char name[32];
        int r;

        request->version = FRAME_VERSION;
        request->now_utc_ms = wallet_now(wallet).utc_ms;
        memcpy(request->zones, wallet->zones_spec, sizeof(request->zones));
        r = recall(wallet, request);
        if (r < 0)
                return r;

        device_fd = call_take_fd(call, "deviceFd");
        trace_fd = call_take_fd(call, "traceFd");
        request->has_trace = trace_fd >= 0;
        (void) snprintf(name, sizeof(name), "pump %s", request->serial);
        return importer_start(manager, call, &(ImporterConfig){
                .name = name, .fds = (const int[]){ device_fd, trace_fd }, .n_fds = trace_fd >= 0 ? 2 : 1, .serial = request->serial,
                .is_quiet = is_quiet, .put_request = put_request, .request = request,
        });
}

static int busy(Call *call) {
        return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
}

int method_pull(Call *call, void *userdata) {
        const char *serial = call_string(call, "serial");
        FrameUsbRequest request = { 0 };
        Manager *manager = userdata;
        int r;

        if (manager_is_storing(manager))
                return busy(call);
        if (serial && !is_serial(serial))
                return call_invalid(call, "serial");
        if (serial)
                memcpy(request.serial, serial, SERIAL_DIGITS + 1);
        else {
                r = kept_serial(manager->wallet, SETTING_PUMP, request.serial);
                if (r < 0)
                        return r;
                if (r > 0)
                        return call_refuse(call, "Which pump? Give its serial number the first time: --serial and the six digits on its back.");
        }
        return begin(call, manager, &request, false);
}

/* Without a question: the patient has answered it, for this pump. So nothing is told but that it is done. */
int method_pull_automatic(Call *call, void *userdata) {
        FrameUsbRequest request = { 0 };
        Manager *manager = userdata;
        int r;

        if (!manager->wallet)
                return call_error(call, manager_why_closed(manager), NULL);
        if (manager_is_storing(manager))
                return busy(call);
        r = kept_serial(manager->wallet, SETTING_AUTOMATIC, request.serial);
        if (r < 0)
                return r;
        if (r > 0)
                return call_refuse(call, "No pump is to be read when a device is plugged in. To have that: carewallet pull --automatic on");
        return begin(call, manager, &request, true);
}

int method_set_automatic_pull(Call *call, void *userdata) {
        char serial[SERIAL_DIGITS + 1] = "";
        bool is_on = call_bool(call, "on", false);
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        int r;

        r = is_on ? kept_serial(wallet, SETTING_PUMP, serial) : 0;
        if (r < 0)
                return r;
        if (r > 0)
                return call_refuse(call, "Read the pump once first: carewallet pull --serial and the six digits on its back. Then ask for this again.");
        r = wallet_begin(wallet);
        if (r == 0)
                r = is_on ? consent_setting_put(wallet->consent, SETTING_AUTOMATIC, serial, SERIAL_DIGITS)
                          : consent_setting_forget(wallet->consent, SETTING_AUTOMATIC, SETTING_AUTOMATIC "!");
        if (r == 0)
                r = wallet_commit(wallet);
        if (r != 0) {
                wallet_rollback(wallet);
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Nothing was changed: the disk is full or cannot be written."));
        }
        return call_reply(call, is_on ? json_pack("{s:s}", "serial", serial) : NULL);
}

int method_stop_pull(Call *call, void *userdata) {
        Manager *manager = userdata;
        bool is_running = manager->importer && importer_is_device(manager->importer);

        if (is_running)
                importer_stop(manager->importer);
        return call_reply(call, json_pack("{s:b}", "stopped", (int) is_running));
}
