/* SPDX-License-Identifier: Apache-2.0 */

#include "stick.h"

#include <string.h>

#include "daemon/workers/usb/paradigm.h"

enum {
        WRITE_MS = 105, /* as a real one takes */
        READ_MS = 1,
        WAKE_MS = 17000,
        PACKET = 64,
};

void sim_init(Sim *sim, const char *serial, const char *model) {
        memset(sim, 0, sizeof(*sim));
        memcpy(sim->serial, serial, 6);
        memcpy(sim->model, model, 3);
        sim->is_asleep = true;
        sim->merge = 2;
        sim->bad_page = sim->refused_page = -1;
}

static bool is_fault(Sim *sim, SimFault fault) {
        unsigned n = sim->n_transfers;

        if (sim->fault != fault || n < sim->fault_at)
                return false;
        return n == sim->fault_at || (sim->fault_every && (n - sim->fault_at) % sim->fault_every == 0);
}

static int begin_transfer(Sim *sim) {
        sim->n_transfers++;
        if (is_fault(sim, SIM_UNPLUG))
                sim->is_gone = true;
        if (sim->is_gone)
                return -ENODEV;
        if (is_fault(sim, SIM_CANCEL) && !sim->is_cancelled) {
                sim->is_cancelled = true;
                sim->cancelled_at_ms = sim->now_ms;
                return -ECANCELED;
        }
        return is_fault(sim, SIM_STALL) ? TRANSPORT_E_STALL : 0;
}

static void queue(Sim *sim, const uint8_t *bytes, size_t n) {
        if (sim->n_taken == sim->n_queue)
                sim->n_taken = sim->n_queue = 0;
        if (sim->is_cancelled && sim->is_mute_when_cancelled)
                return;
        if (n > SIM_QUEUE - sim->n_queue) /* a host that does not read loses it */
                return;
        memcpy(sim->queue + sim->n_queue, bytes, n);
        sim->n_queue += n;
}

/* An answer of the stick: what the command does not define is left over from the answer before. */
static void answer(Sim *sim, const uint8_t *payload, size_t n) {
        sim->last[0] = 0x01;
        sim->last[1] = is_fault(sim, SIM_NAK) ? 0x66 : 0x55;
        sim->last[2] = is_fault(sim, SIM_NAK) ? 0x03 : 0x00;
        if (n)
                memcpy(sim->last + 3, payload, n);
        if (!is_fault(sim, SIM_SILENCE))
                queue(sim, sim->last, sizeof(sim->last));
}

static void serial_bytes(const Sim *sim, uint8_t ret[static 3]) {
        for (size_t i = 0; i != 3; i++)
                ret[i] = (uint8_t) ((sim->serial[2 * i] - '0') << 4 | (sim->serial[2 * i + 1] - '0'));
}

/* --- the pump --- */

static void send(Sim *sim, const void *body, size_t n) {
        memset(sim->radio, 0, sizeof(sim->radio));
        memcpy(sim->radio, body, n);
        sim->n_radio = (n + PACKET - 1) / PACKET * PACKET;
        sim->n_sent = 0;
        sim->is_nak = false;
}

static void refuse(Sim *sim, uint8_t reason) {
        sim->radio[0] = reason;
        sim->n_radio = 1;
        sim->n_sent = 0;
        sim->is_nak = true;
}

static void send_page(Sim *sim, const uint8_t *page, size_t n, bool is_bad) {
        send(sim, page, n);
        sim->n_pages_sent++;
        if (is_bad)
                sim->radio[100] ^= 0x10;
}

static const uint8_t *glucose_page(const Sim *sim, const uint8_t *const *pages, const uint8_t *parameters) {
        uint32_t number = (uint32_t) paradigm_be16(parameters) << 16 | paradigm_be16(parameters + 2);

        if (number > sim->newest_glucose || sim->newest_glucose - number >= sim->n_glucose)
                return NULL;
        return pages[sim->newest_glucose - number];
}

static void send_profile(Sim *sim, unsigned opcode) {
        /* standard: 0.8 U/h, from 6:30 on 1.025; A and B: none */
        static const uint8_t standard[] = { 0x20, 0x00, 0x00, 0x29, 0x00, 0x0d }, none[] = { 0x00, 0x00, 0x3f };
        uint8_t profile[3 * PACKET] = { 0 };

        memcpy(profile, opcode == 0x92 ? standard : none, opcode == 0x92 ? sizeof(standard) : sizeof(none));
        send(sim, profile, sizeof(profile));
}

static void pump(Sim *sim, unsigned opcode, const uint8_t *parameters) {
        /* 2015-05-28 20:46:23 */
        static const uint8_t clock[] = { 0x14, 0x2e, 0x17, 0x07, 0xdf, 0x05, 0x1c };
        /* 1.28 V; 49.525 U; normal; 15 U and 2 U/h at most, no patterns */
        static const uint8_t battery[] = { 0x00, 0x00, 0x80 }, reservoir[] = { 0x00, 0x00, 0x07, 0xbd }, state[] = { 0x03, 0x00, 0x00 };
        static const uint8_t settings[] = { 0x00, 0x02, 0x01, 0x05, 0x01, 0x00, 0x96, 0x00, 0x50 };
        uint8_t reply[64] = { 0 };
        const uint8_t *page;

        switch (opcode) {
        case 0x72:
                send(sim, battery, sizeof(battery));
                return;
        case 0x73:
                send(sim, reservoir, sizeof(reservoir));
                return;
        case 0xc0:
                send(sim, settings, sizeof(settings));
                return;
        case 0xce:
                send(sim, state, sizeof(state));
                return;
        case 0x92:
        case 0x93:
        case 0x94:
                send_profile(sim, opcode);
                return;
        case 0x5d:
                sim->is_radio_on = parameters[0] == 1;
                if (sim->is_radio_on && sim->is_asleep)
                        sim->awake_at_ms = sim->now_ms + WAKE_MS;
                sim->woken_ms = sim->now_ms < sim->awake_at_ms ? sim->awake_at_ms : sim->now_ms;
                sim->is_asleep = !sim->is_radio_on;
                sim->radio[0] = 0;
                sim->n_radio = 1;
                sim->n_sent = 0;
                sim->is_nak = false;
                return;
        case 0x70:
                send(sim, clock, sizeof(clock));
                return;
        case 0x71:
                send(sim, sim->serial, 6);
                return;
        case 0x80:
                if (parameters[0] >= sim->n_pages)
                        refuse(sim, 0x08);
                else if (sim->refused_page >= 0 && parameters[0] >= sim->refused_page)
                        refuse(sim, sim->refusal);
                else
                        send_page(sim, sim->pages[parameters[0]], PARADIGM_PAGE_SIZE, sim->bad_page == parameters[0]);
                return;
        case 0x8d:
                reply[0] = 3;
                memcpy(reply + 1, sim->model, 3);
                send(sim, reply, sizeof(reply));
                return;
        case 0x9a:
        case 0x9b:
                page = glucose_page(sim, opcode == 0x9a ? sim->glucose : sim->isig, parameters);
                if (page)
                        send_page(sim, page, opcode == 0x9a ? PARADIGM_PAGE_SIZE : PARADIGM_ISIG_PAGE_SIZE, false);
                else
                        refuse(sim, 0x08);
                return;
        case 0x9d: /* it counts on when the oldest are overwritten */
                reply[2] = sim->n_pages == SIM_PAGES_MAX ? 0x01 : 0;
                reply[3] = sim->n_pages == SIM_PAGES_MAX ? 0xcb : (uint8_t) (sim->n_pages - 1);
                send(sim, reply, sizeof(reply));
                return;
        case 0xcd:
                if (sim->n_glucose == 0) {
                        refuse(sim, 0x08);
                        return;
                }
                reply[2] = (uint8_t) (sim->newest_glucose >> 8);
                reply[3] = (uint8_t) sim->newest_glucose;
                reply[5] = reply[7] = (uint8_t) sim->n_glucose;
                send(sim, reply, sizeof(reply));
                return;
        default: /* a command that this test has no use for, or one that nobody should send */
                if (sim->n_refused < SIM_REFUSED_MAX)
                        sim->refused[sim->n_refused++] = (uint8_t) opcode;
                refuse(sim, 0x08);
                return;
        }
}

/* What a real pump does with a packet that is not for it, or not whole: nothing. */
static void transmit(Sim *sim, const uint8_t *bytes, size_t n) {
        uint8_t serial[3];
        size_t n_parameters = bytes[8];

        sim->n_radio = sim->n_sent = 0;
        serial_bytes(sim, serial);
        answer(sim, NULL, 0);
        if (n != 16 + n_parameters || paradigm_crc8(bytes, 14) != bytes[14] ||
            paradigm_crc8(bytes + 15, n_parameters) != bytes[15 + n_parameters])
                return;
        sim->n_commands[bytes[13]]++;
        sim->is_asleep |= sim->sleeps_after_ms && sim->now_ms - sim->woken_ms >= sim->sleeps_after_ms;
        if (sim->is_deaf || memcmp(bytes + 4, serial, 3) != 0 || (sim->is_asleep && bytes[13] != 0x5d))
                return;
        pump(sim, bytes[13], bytes + 15);
}

/* How long a frame is that can be downloaded now. */
static size_t frame_size(const Sim *sim) {
        size_t left = sim->n_radio - sim->n_sent;

        if (left == 0 || sim->now_ms < sim->awake_at_ms)
                return 0;
        if (sim->n_sent == 0 && left > PACKET) /* the first packet comes alone */
                return PACKET + 14;
        return (left < sim->merge * PACKET ? left : sim->merge * PACKET) + 14;
}

static void download(Sim *sim, size_t n) {
        uint8_t frame[14 + 3 * PACKET] = { 0x02, 0, 0, 0, 0xdf };
        size_t n_body = n - 14;

        if (n != frame_size(sim) || n < 15)
                return;
        frame[2] = sim->is_nak ? 2 : sim->n_radio == 1 ? 1 : sim->n_radio > PACKET ? 4 : 3;
        frame[6] = (uint8_t) n_body;
        frame[5] = sim->n_sent + n_body == sim->n_radio ? 0x80 : 0;
        frame[7] = 0xa7;
        frame[8] = 0x01;
        serial_bytes(sim, frame + 9);
        frame[12] = paradigm_crc8(frame, 12);
        memcpy(frame + 13, sim->radio + sim->n_sent, n_body);
        frame[13 + n_body] = paradigm_crc8(frame + 13, n_body);
        sim->n_sent += n_body;
        if (!is_fault(sim, SIM_SILENCE))
                queue(sim, frame, n);
}

/* --- captured traffic --- */

/*
 * The bytes that a real stick gave to this write. A pump that sleeps, is out of reach or is not the one captured, and what
 * the capture does not have, is left to the simulation: false.
 */
static bool replayed(Sim *sim, const uint8_t *bytes, size_t n) {
        uint8_t answers[SIM_QUEUE];
        size_t n_answers;

        if (bytes[0] == 0x01 && (n < 16 || sim->is_deaf || (sim->is_asleep && bytes[13] != 0x5d) || !replay_begin(&sim->replay, bytes, n))) {
                replay_end(&sim->replay);
                return false;
        }
        if (!replay_answer(&sim->replay, bytes, n, answers, sizeof(answers), &n_answers))
                return false;
        if (bytes[0] == 0x01) {
                sim->n_radio = sim->n_sent = 0;
                sim->n_commands[bytes[13]]++;
                sim->n_pages_sent += bytes[13] == 0x80;
                sim->is_asleep = false;
                sim->is_radio_on |= bytes[13] == 0x5d;
        }
        if (is_fault(sim, SIM_NAK) && n_answers == PACKET && bytes[0] != 0x0c)
                answers[1] = 0x66;
        if (!is_fault(sim, SIM_SILENCE))
                queue(sim, answers, n_answers);
        return true;
}

/* --- the stick --- */

static int sim_write(void *userdata, const uint8_t *bytes, size_t n) {
        static const uint8_t product[] = { 0x09, 0x12, 0, 0, 0, 0, 'C', 'o', 'm', 'L', 'i', 'n', 'k', ' ', 'I', 'I', 0x01, 0x10, 0x02, 0x00, 0x01, 0x01, 0x03 };
        Sim *sim = userdata;
        uint8_t payload[23] = { 0 };
        int r = begin_transfer(sim);

        if (r)
                return r;
        sim->now_ms += WRITE_MS;
        if (is_fault(sim, SIM_STALE))
                queue(sim, sim->last, sizeof(sim->last));
        if (sim->replay.n && replayed(sim, bytes, n))
                return 0;
        switch (bytes[0]) {
        case 0x01:
                if (n >= 16)
                        transmit(sim, bytes, n);
                break;
        case 0x03:
                payload[1] = 0x02;
                payload[2] = frame_size(sim) ? 0x01 : 0x00;
                payload[3] = (uint8_t) (frame_size(sim) >> 8);
                payload[4] = (uint8_t) frame_size(sim);
                answer(sim, payload, 5);
                break;
        case 0x04:
                memcpy(payload, product, sizeof(product));
                payload[5] = sim->is_worldwide ? 0x01 : 0x00;
                answer(sim, payload, sizeof(product));
                break;
        case 0x06:
                payload[0] = 0xc1;
                answer(sim, payload, 1);
                break;
        case 0x0c:
                if (n == 5 && paradigm_crc8(bytes, 4) == bytes[4])
                        download(sim, paradigm_be16(bytes + 2));
                break;
        default:
                sim->refused[sim->n_refused++ % SIM_REFUSED_MAX] = bytes[0];
                break;
        }
        return 0;
}

static int sim_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Sim *sim = userdata;
        size_t left;
        int r;

        *ret_n = 0;
        r = begin_transfer(sim);
        if (r)
                return r;
        left = sim->n_queue - sim->n_taken;
        if (left == 0) {
                sim->n_queue = sim->n_taken = 0;
                sim->now_ms += timeout_ms;
                return TRANSPORT_E_TIMEOUT;
        }
        sim->now_ms += READ_MS;
        if (left > PACKET)
                left = PACKET;
        if (left > n)
                left = n;
        memcpy(bytes, sim->queue + sim->n_taken, left);
        sim->n_taken += left;
        if (is_fault(sim, SIM_FLIP))
                bytes[left / 2] ^= 0x04;
        *ret_n = is_fault(sim, SIM_SHORT) ? left / 2 : left;
        return 0;
}

static int sim_wait(void *userdata, unsigned ms) {
        Sim *sim = userdata;

        sim->now_ms += ms;
        return sim->is_gone ? -ENODEV : 0;
}

static int64_t sim_now(void *userdata) {
        return ((Sim *) userdata)->now_ms;
}

Transport sim_transport(Sim *sim) {
        return (Transport) { .userdata = sim, .write = sim_write, .read = sim_read, .wait = sim_wait, .now_ms = sim_now };
}
