/* SPDX-License-Identifier: Apache-2.0 */

#include "meter.h"

#include <string.h>

#include "daemon/workers/usb/paradigm.h"

enum {
        TRANSFER_MS = 10,
        ENVELOPE = 33,
        PART = 256,
        REMOTE = 6,
};

void meter_init(Meter *meter, const char *serial, const char *model) {
        memset(meter, 0, sizeof(*meter));
        memcpy(meter->serial, serial, 6);
        memcpy(meter->model, model, 3);
        meter->bad_page = -1;
}

static bool is_fault(Meter *m, MeterFault fault) {
        unsigned n = m->n_transfers;

        if (m->fault != fault || n < m->fault_at)
                return false;
        return n == m->fault_at || (m->fault_every && (n - m->fault_at) % m->fault_every == 0);
}

static int begin_transfer(Meter *m) {
        m->n_transfers++;
        m->now_ms += TRANSFER_MS;
        if (is_fault(m, METER_UNPLUG))
                m->is_gone = true;
        if (m->is_gone)
                return -ENODEV;
        if (is_fault(m, METER_CANCEL) && !m->is_cancelled) {
                m->is_cancelled = true;
                m->cancelled_at_ms = m->now_ms;
                return -ECANCELED;
        }
        return is_fault(m, METER_STALL) ? TRANSPORT_E_STALL : 0;
}

/* Sixty bytes a report; a message ends with one that is not full. */
static void queue(Meter *m, const uint8_t *bytes, size_t n) {
        if (m->n_taken == m->n_queue)
                m->n_taken = m->n_queue = 0;
        do {
                size_t n_report = n < 60 ? n : 60;
                uint8_t *report = m->queue[m->n_queue];

                if (m->n_queue == METER_QUEUE) /* a host that does not read loses it */
                        return;
                memset(report, 0, 64);
                memcpy(report, "ABC", 3);
                report[3] = (uint8_t) n_report;
                memcpy(report + 4, bytes, n_report);
                m->n_queue++;
                bytes += n_report;
                n -= n_report;
        } while (n);
}

static uint8_t sum_of(const uint8_t *bytes, size_t n) {
        unsigned sum = 0;

        for (size_t i = 0; i != n; i++)
                sum += bytes[i];
        return (uint8_t) sum;
}

static void answer(Meter *m, const void *payload, size_t n, uint8_t reason, bool is_bad) {
        uint8_t message[ENVELOPE + PART] = { 0x51, 0x01 };

        memcpy(message + 2, m->serial, 6);
        message[18] = 0x12;
        message[27] = reason;
        message[28] = (uint8_t) n;
        message[29] = (uint8_t) (n >> 8);
        if (n)
                memcpy(message + ENVELOPE, payload, n);
        message[32] = (uint8_t) (sum_of(message, ENVELOPE + n) + is_bad);
        queue(m, message, ENVELOPE + n);
}

/* --- the pump --- */

static void send_page(Meter *m, const uint8_t *page, size_t n, bool has_bad_crc, bool has_bad_sum) {
        uint8_t copy[2048];

        memcpy(copy, page, n);
        if (has_bad_crc)
                copy[100] ^= 0x10;
        m->n_pages_sent++;
        for (size_t at = 0; at != n; at += PART)
                answer(m, copy + at, PART, 0, has_bad_sum);
}

static void pump_page(Meter *m, uint8_t opcode, const uint8_t *area) {
        uint32_t number = opcode == 0x80 ? area[1] : (uint32_t) paradigm_be16(area + 1) << 16 | paradigm_be16(area + 3);
        const uint8_t *page = NULL;

        if (opcode == 0x80 && area[0] == 1 && number < m->n_pages)
                page = m->pages[number];
        else if (opcode != 0x80 && area[0] == 4 && number <= m->newest_glucose && m->newest_glucose - number < m->n_glucose)
                page = opcode == 0x9a ? m->glucose[m->newest_glucose - number] : m->isig[m->newest_glucose - number];
        if (page)
                send_page(m, page, opcode == 0x9b ? 2048 : 1024, opcode == 0x80 && (int) number == m->bad_page, opcode != 0x80 && m->has_bad_sums);
        else
                answer(m, "\x15\x08", 2, 0, false);
}

static void pump(Meter *m, uint8_t opcode) {
        static const uint8_t clock[] = { 0x14, 0x2e, 0x17, 0x07, 0xdf, 0x05, 0x1c }; /* 2015-05-28 20:46:23 */
        uint8_t reply[64] = { 0 };
        uint32_t newest = m->n_pages ? (uint32_t) m->n_pages - 1 : 0;

        switch (opcode) {
        case 0x70:
                memcpy(reply, clock, sizeof(clock));
                break;
        case 0x72:
                reply[2] = 0x80;
                break;
        case 0x80:
        case 0x9a:
        case 0x9b:
                answer(m, "\x06", 1, 0, false);
                return;
        case 0x8d:
                reply[0] = 3;
                memcpy(reply + 1, m->model, 3);
                break;
        case 0x9d:
                reply[3] = (uint8_t) newest;
                break;
        case 0xc0:
                reply[6] = 150;
                break;
        case 0xcd:
                reply[2] = (uint8_t) (m->newest_glucose >> 8);
                reply[3] = (uint8_t) m->newest_glucose;
                reply[5] = reply[7] = (uint8_t) m->n_glucose;
                break;
        default:
                if (m->n_refused < METER_REFUSED_MAX)
                        m->refused[m->n_refused++] = opcode;
                return;
        }
        answer(m, reply, sizeof(reply), 0, false);
}

/* --- the meter --- */

/* A whole question: its sums, its serial and its length must be right, else nothing comes. */
static void on_question(Meter *m) {
        const uint8_t *q = m->question, *body = q + ENVELOPE;
        size_t n_body = m->n_question - ENVELOPE;
        uint8_t copy[128];

        memcpy(copy, q, m->n_question);
        copy[32] = 0;
        if (sum_of(copy, m->n_question) != q[32] || memcmp(q + 2, m->serial, 6) != 0 || (size_t) (q[28] | q[29] << 8) != n_body)
                return;
        if (m->is_deaf || is_fault(m, METER_NAK)) {
                answer(m, NULL, 0, 0x0e, false);
                return;
        }
        if (q[18] == 0x10 && n_body == 0) {
                m->is_open = true;
                queue(m, q, ENVELOPE);
        } else if (q[18] == 0x12 && m->is_open && n_body >= 7 && paradigm_crc8(body, n_body - 1) == body[n_body - 1]) {
                m->n_commands[body[4]]++;
                if (n_body == 71)
                        pump_page(m, body[4], body + 5);
                else
                        pump(m, body[4]);
        }
}

static void on_word(Meter *m, const uint8_t *word, size_t n) {
        static const struct {
                const char *word, *answer;
        } steps[REMOTE] = { { "\x04", "\x05" }, { "\x15", "\x04" }, { "\x05", "\x06" }, { "W|", "\x06" }, { "Q|", "\x06" }, { "1|", "\x06" } };
        static const uint8_t greeting[70] = "\x02" "1H|\\^&||test|Bayer7350^01.10";

        if (n == 1 && word[0] == 0x04) {
                m->step = 0;
                m->is_open = false;
                queue(m, greeting, sizeof(greeting)); /* it begins to tell its readings */
        }
        if (m->step < REMOTE && n == strlen(steps[m->step].word) && memcmp(word, steps[m->step].word, n) == 0) {
                queue(m, (const uint8_t *) steps[m->step].answer, 1);
                m->step++;
        } else {
                queue(m, (const uint8_t *) "\x15", 1);
        }
}

static int on_write(void *userdata, const uint8_t *bytes, size_t n) {
        Meter *m = userdata;
        int r = begin_transfer(m);

        if (r)
                return r;
        if (n != 64 || bytes[0] || bytes[1] || bytes[2] || bytes[3] > 60)
                return 0;
        if (bytes[3] < 3) {
                m->is_listening = false;
                on_word(m, bytes + 4, bytes[3]);
                return 0;
        }
        if (m->step != REMOTE)
                return 0;
        if (!m->is_listening)
                m->n_question = 0;
        memcpy(m->question + m->n_question, bytes + 4, bytes[3]);
        m->n_question += bytes[3];
        m->is_listening = !m->is_listening && bytes[3] == 60;
        if (!m->is_listening && m->n_question >= ENVELOPE)
                on_question(m);
        return 0;
}

static int on_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Meter *m = userdata;
        int r = begin_transfer(m);

        *ret_n = 0;
        if (r)
                return r;
        if (is_fault(m, METER_STALE)) {
                memset(bytes, 0x41, n);
                *ret_n = n;
                return 0;
        }
        if (is_fault(m, METER_SILENCE) && m->n_taken != m->n_queue)
                m->n_taken++;
        if (m->n_taken == m->n_queue) {
                m->now_ms += timeout_ms;
                return TRANSPORT_E_TIMEOUT;
        }
        *ret_n = n < 64 ? n : 64;
        memcpy(bytes, m->queue[m->n_taken++], *ret_n);
        if (is_fault(m, METER_FLIP))
                bytes[m->n_transfers % *ret_n] ^= 0x20;
        if (is_fault(m, METER_SHORT))
                *ret_n /= 2;
        return 0;
}

static int on_wait(void *userdata, unsigned ms) {
        Meter *m = userdata;

        m->now_ms += ms;
        return m->is_gone ? -ENODEV : 0;
}

static int64_t on_now(void *userdata) {
        Meter *m = userdata;

        return m->now_ms;
}

Transport meter_transport(Meter *m) {
        return (Transport) { .userdata = m, .write = on_write, .read = on_read, .wait = on_wait, .now_ms = on_now };
}
