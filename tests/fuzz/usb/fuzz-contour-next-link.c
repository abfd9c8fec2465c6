/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A meter and a pump that say what they like. Reports come from messages that the input fills; most of them are well
 * formed, so that pages are reached. A page that is taken has a right checksum.
 */

#include <stdlib.h>

#include "daemon/workers/usb/contour-next-link.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

enum {
        TRANSFERS_MAX = 2000,
        ENVELOPE = 33,
        QUEUE = 8 * 1024,
};

typedef struct Device {
        const uint8_t *bytes; /* of the input, what is left */
        size_t n;
        uint8_t queue[QUEUE]; /* data of reports: each a length and its bytes */
        size_t n_queue, at;
        unsigned n_transfers;
        int64_t now_ms;
} Device;

static uint8_t take(Device *d) {
        if (!d->n)
                return 0;
        d->n--;
        return *d->bytes++;
}

static void queue(Device *d, const uint8_t *bytes, size_t n) {
        if (d->at == d->n_queue)
                d->at = d->n_queue = 0;
        do {
                size_t n_report = n < 60 ? n : 60;

                if (d->n_queue + 1 + n_report > QUEUE)
                        return;
                d->queue[d->n_queue++] = (uint8_t) n_report;
                memcpy(d->queue + d->n_queue, bytes, n_report);
                d->n_queue += n_report;
                bytes += n_report;
                n -= n_report;
        } while (n);
}

static void message(Device *d, const uint8_t *payload, size_t n, uint8_t control) {
        uint8_t bytes[ENVELOPE + 256] = { 0x51, 0x01, '3', '4', '5', '1', '9', '2' };

        bytes[28] = (uint8_t) n;
        bytes[29] = (uint8_t) (n >> 8);
        memcpy(bytes + ENVELOPE, payload, n);
        if (control >= 240)
                bytes[control % 32] ^= control;
        for (size_t i = 0; i != ENVELOPE + n; i++)
                bytes[32] = (uint8_t) (bytes[32] + (i == 32 ? 0 : bytes[i]));
        if (control == 239)
                bytes[32]++;
        queue(d, bytes, ENVELOPE + n - (control == 238));
}

static void send_page(Device *d, size_t n_page) {
        uint8_t page[PARADIGM_ISIG_PAGE_SIZE] = { 0 }, control = take(d);
        size_t n_tail = n_page == PARADIGM_PAGE_SIZE ? 2 : 4, taken = d->n < n_page / 4 ? d->n : n_page / 4;
        uint16_t crc;

        if (taken)
                memcpy(page, d->bytes, taken);
        d->bytes += taken;
        d->n -= taken;
        crc = paradigm_crc16(page, n_page - n_tail);
        page[n_page - n_tail] = (uint8_t) (crc >> 8);
        page[n_page - (n_tail == 2 ? 1 : 2)] = (uint8_t) (crc + (control == 1));
        for (size_t at = 0; at != n_page; at += 256)
                message(d, page + at, 256, take(d));
}

static int on_write(void *userdata, const uint8_t *bytes, size_t n) {
        Device *d = userdata;
        uint8_t control, reply[64] = { 0 };

        if (++d->n_transfers > TRANSFERS_MAX)
                return -ENODEV;
        if (n != CONTOUR_NEXT_LINK_REPORT || bytes[3] > 60)
                abort();
        if (bytes[3] == 44) /* the second half of a question */
                return 0;
        control = take(d);
        if (control == 0xff)
                return TRANSPORT_E_STALL;
        if (bytes[3] < 3) {
                static const uint8_t answers[] = { [0x04] = 0x05, [0x15] = 0x04, [0x05] = 0x06 };
                uint8_t word = bytes[4] < sizeof(answers) && answers[bytes[4]] ? answers[bytes[4]] : 0x06;

                if (control >= 230)
                        word = control;
                queue(d, &word, 1);
        } else if (bytes[4 + 18] == 0x10) {
                if (control < 240)
                        queue(d, bytes + 4, ENVELOPE);
                else
                        message(d, NULL, 0, control);
        } else if (bytes[4 + 28] == 71) {
                if (bytes[4 + 33 + 4] == 0x9b)
                        send_page(d, PARADIGM_ISIG_PAGE_SIZE);
                else
                        send_page(d, PARADIGM_PAGE_SIZE);
        } else if (bytes[4 + 33 + 4] == 0x80 || bytes[4 + 33 + 4] == 0x9a || bytes[4 + 33 + 4] == 0x9b) {
                message(d, (const uint8_t *) (control == 200 ? "\x15\x08" : "\x06"), control == 200 ? 2 : 1, control);
        } else {
                for (size_t i = 0; i != sizeof(reply); i++)
                        reply[i] = take(d);
                message(d, reply, control % 65, control);
        }
        return 0;
}

static int on_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Device *d = userdata;
        uint8_t control, n_data;

        *ret_n = 0;
        if (n != CONTOUR_NEXT_LINK_REPORT)
                abort();
        if (++d->n_transfers > TRANSFERS_MAX)
                return -ENODEV;
        if (d->at == d->n_queue) {
                d->now_ms += timeout_ms;
                return TRANSPORT_E_TIMEOUT;
        }
        control = d->n % 4 == 0 ? take(d) : 0;
        n_data = d->queue[d->at];
        memset(bytes, 0, n);
        memcpy(bytes, "ABC", 3);
        bytes[3] = n_data;
        memcpy(bytes + 4, d->queue + d->at + 1, n_data);
        d->at += 1u + n_data;
        if (control == 0xff)
                return -ENODEV;
        if (control >= 0xf0)
                bytes[control % 16] ^= 0x20;
        *ret_n = control >= 0xe0 && control < 0xf0 ? control % 64 : n;
        return 0;
}

static int on_wait(void *userdata, unsigned ms) {
        Device *d = userdata;

        d->now_ms += ms;
        return 0;
}

static int64_t on_now(void *userdata) {
        const Device *d = userdata;

        return d->now_ms;
}

static int check_page(const uint8_t *page, size_t n) {
        return n == PARADIGM_PAGE_SIZE ? paradigm_page_check(page, n) : paradigm_isig_check(page, n);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const uint8_t questions[] = { 0x8d, 0x70, 0x72, 0xc0, 0x9d, 0xcd }, kinds[] = { 0x80, 0x9a, 0x9b };
        static Device d;
        const Transport transport = { .userdata = &d, .write = on_write, .read = on_read, .wait = on_wait, .now_ms = on_now };
        uint8_t reply[CONTOUR_NEXT_LINK_REPLY], page[PARADIGM_ISIG_PAGE_SIZE];
        ContourNextLink link;
        size_t n_page;
        int r;

        d = (Device) { .bytes = bytes, .n = n };
        r = contour_next_link_open(&link, &transport, "345192");
        for (size_t i = 0; i != sizeof(questions) && r >= 0; i++)
                r = contour_next_link_ask(&link, questions[i], reply);
        for (uint32_t i = 0; i != 9 && r >= 0 && d.n; i++) {
                size_t n_whole = i % 3 == 2 ? PARADIGM_ISIG_PAGE_SIZE : PARADIGM_PAGE_SIZE;

                r = contour_next_link_page(&link, kinds[i % 3], i, page, n_whole, check_page, &n_page);
                if (n_page > n_whole || (r == 0 && (n_page != n_whole || check_page(page, n_whole) != 0)))
                        abort();
        }
        if (r != -ENODEV && contour_next_link_close(&link) == CONTOUR_NEXT_LINK_E_FORBIDDEN)
                abort();
        return 0;
}
