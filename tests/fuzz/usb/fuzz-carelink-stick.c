/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A stick and a pump that say what they like. Each transfer to the host takes a control byte: most are what the protocol
 * wants there, with a body from the input, so that whole sessions are reached; the others are faults.
 */

#include "fuzz-pump.h"
#include "daemon/workers/usb/pull.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum {
        TRANSFERS_MAX = 4000,
        OUT_MAX = 1200,
};

typedef struct Device {
        const uint8_t *bytes; /* of the input, what is left */
        size_t n;
        uint8_t out[OUT_MAX]; /* on its way to the host */
        size_t n_out, at;
        uint8_t frame[OUT_MAX]; /* what the radio has */
        size_t n_frame;
        uint8_t opcode;
        size_t n_sent; /* of a page */
        unsigned n_transfers;
        int64_t now_ms;
} Device;

static uint8_t take(Device *d) {
        if (!d->n)
                return 0;
        d->n--;
        return *d->bytes++;
}

static size_t take_some(Device *d, uint8_t *ret, size_t n) {
        size_t taken = n < d->n ? n : d->n;

        memset(ret, 0, n);
        if (taken)
                memcpy(ret, d->bytes, taken);
        d->bytes += taken;
        d->n -= taken;
        return taken;
}

/* The next frame of the pump's answer, well formed but where the control byte says otherwise. */
static void make_frame(Device *d) {
        uint8_t control = take(d), *f = d->frame, *body = f + 13;
        size_t n_page = d->opcode == CARELINK_ISIG_PAGE ? 2048 : d->opcode == CARELINK_HISTORY_PAGE || d->opcode == CARELINK_GLUCOSE_PAGE ? 1024 : 64;
        size_t n_body = n_page == 64 ? 64 : 64u * (1 + control % 3);
        static uint8_t page[2048];
        uint16_t crc;

        if (d->opcode == CARELINK_POWER)
                n_body = 1;
        if (n_page > 64 && n_body > n_page - d->n_sent)
                n_body = n_page - d->n_sent;
        take_some(d, body, n_body);
        if (d->opcode == CARELINK_MODEL && control < 200)
                memcpy(body, control % 2 ? "\x03" "723" : "\x03" "522", 4);
        if (d->opcode == CARELINK_PUMP_ID && control < 200)
                memcpy(body, "345192", 6);
        if (d->opcode == CARELINK_NEWEST_HISTORY && control < 200)
                memcpy(body, "\0\0\0\2", 4);
        if (d->opcode == CARELINK_NEWEST_GLUCOSE && control < 200)
                memcpy(body, "\0\0\0\2\0\2\0\2", 8);
        if (n_page > 64) {
                memcpy(page + d->n_sent, body, n_body);
                d->n_sent += n_body;
                if (d->n_sent == n_page && control < 220) {
                        size_t n_tail = n_page == 1024 ? 2 : 4;

                        crc = paradigm_crc16(page, n_page - n_tail);
                        body[n_body - n_tail] = (uint8_t) (crc >> 8);
                        body[n_body - (n_tail == 2 ? 1 : 2)] = (uint8_t) crc;
                }
        }
        memset(f, 0, 13);
        f[0] = 2;
        f[2] = control >= 250 ? control - 249 : 3;
        f[5] = (uint8_t) ((n_page == 64 || d->n_sent >= n_page ? 0x80 : 0) | n_body >> 8);
        f[6] = (uint8_t) n_body;
        f[7] = 0xa7;
        f[8] = 1;
        memcpy(f + 9, control == 249 ? "\x34\x51\x93" : "\x34\x51\x92", 3);
        f[12] = paradigm_crc8(f, 12);
        f[13 + n_body] = paradigm_crc8(body, n_body);
        d->n_frame = n_body + 14;
        if (control >= 230 && control < 249)
                f[control % d->n_frame] ^= control;
}

static void reply(Device *d, const uint8_t *bytes, size_t n) {
        memset(d->out, 0, 64);
        memcpy(d->out, bytes, n);
        d->n_out = n < 64 ? 64 : n;
        d->at = 0;
}

static int on_write(void *userdata, const uint8_t *bytes, size_t n) {
        Device *d = userdata;

        if (++d->n_transfers > TRANSFERS_MAX)
                return -ENODEV;
        switch (n ? bytes[0] : 0xff) {
        case 0x01:
                if (n < 16)
                        abort();
                d->opcode = bytes[13];
                d->n_sent = 0;
                make_frame(d);
                reply(d, (const uint8_t[]) { 1, 0x55, 0 }, 3);
                break;
        case 0x03:
                reply(d, (const uint8_t[]) { 1, 0x55, 0, 0, 2, d->n_frame ? 1 : 0, (uint8_t) (d->n_frame >> 8), (uint8_t) d->n_frame }, 8);
                break;
        case 0x04:
                reply(d, (const uint8_t *) "\1\x55\0\x09\x12\0\0\0\0ComLink II\1\x10", 21);
                break;
        case 0x06:
                reply(d, (const uint8_t[]) { 1, 0x55, 0, 0xc0 }, 4);
                break;
        case 0x0c:
                memcpy(d->out, d->frame, d->n_frame);
                d->n_out = d->n_frame;
                d->at = 0;
                d->n_frame = 0;
                if ((d->opcode == CARELINK_HISTORY_PAGE || d->opcode == CARELINK_GLUCOSE_PAGE) ? d->n_sent < 1024 : d->opcode == CARELINK_ISIG_PAGE && d->n_sent < 2048)
                        make_frame(d);
                break;
        default:
                abort();
        }
        return 0;
}

static int on_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Device *d = userdata;
        size_t n_given = d->n_out - d->at < n ? d->n_out - d->at : n;
        uint8_t control;

        *ret_n = 0;
        if (++d->n_transfers > TRANSFERS_MAX)
                return -ENODEV;
        if (d->at == d->n_out) {
                d->now_ms += timeout_ms;
                return TRANSPORT_E_TIMEOUT;
        }
        control = take(d);
        if (control == 0xff)
                return d->n % 2 ? -ECANCELED : -ENODEV;
        if (control == 0xfe)
                return TRANSPORT_E_STALL;
        if (control >= 0xf8)
                n_given = control % 8 < n_given ? control % 8 : n_given;
        memcpy(bytes, d->out + d->at, n_given);
        if (control >= 0xf0 && control < 0xf8 && n_given)
                bytes[control % n_given] ^= (uint8_t) (1u << control % 8);
        d->at += n_given;
        *ret_n = n_given;
        d->now_ms += 5;
        return 0;
}

static int on_wait(void *userdata, unsigned ms) {
        Device *d = userdata;

        d->now_ms += ms;
        return 0;
}

static int64_t on_now(void *userdata) {
        Device *d = userdata;

        return d->now_ms;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const ImportSink sink = { .source = fuzz_source, .record = fuzz_record, .rejected = fuzz_rejected, .note = fuzz_note };
        static Zones *zones;
        static Device d;
        const Transport transport = { .userdata = &d, .write = on_write, .read = on_read, .wait = on_wait, .now_ms = on_now };
        const FrameUsbRequest request = { .version = FRAME_VERSION, .serial = "345192", .now_utc_ms = INT64_C(2000000000000) };
        char refusal[PULL_REFUSAL_MAX] = "";
        FrameUsbPump result;
        FrameImportEnd end;
        int r;

        if (!zones && zones_load(&zones, "UTC") != 0)
                abort();
        d = (Device) { .bytes = bytes, .n = n };
        r = pull_run(&transport, &request, zones, &sink, &result, &end, refusal);
        if (r == PULL_E_REFUSED ? strlen(refusal) < 10 : r != 0)
                abort();
        return 0;
}
