/* SPDX-License-Identifier: Apache-2.0 */

#include "carelink-stick.h"

#include "carelink-frame.h"

#include <string.h>

enum {
        /* the stick's own commands */
        STICK_TRANSMIT = 0x01,
        STICK_LINK = 0x03,
        STICK_PRODUCT = 0x04,
        STICK_SIGNAL = 0x06,
        STICK_DOWNLOAD = 0x0c,

        ACK = 0x55,
        PAYLOAD = 3,  /* where it begins in an answer of the stick */
        READY = 0x01, /* link status: a frame can be downloaded */

        TRIES = 3,
        READ_MS = 1000,   /* for one transfer; it takes about 100 */
        POLL_MS = 100,
        OWED_MS = 125,    /* an answer takes about 105 */
        ANSWER_MS = 1000, /* of an awake pump */
        WAKE_MS = 25000,  /* of a sleeping one: about 17 s */
        POWER_MINUTES = 10,
        DRAIN_MAX = 64,   /* frames; a page has eight to sixteen */
};

typedef struct Command {
        uint8_t n_parameters;
        uint8_t button;
        uint8_t retries;
        uint8_t mode; /* 0 nothing is expected, 1 one packet, 2 several */
        bool is_allowed;
} Command;

/* All that this program can say to a pump. Each but the first only reads; that one switches the pump's radio on and off. */
static const Command commands[256] = {
        [CARELINK_POWER] = { 2, 0x55, 0, 0, true },
        [CARELINK_CLOCK] = { 0, 0, 2, 1, true },
        [CARELINK_PUMP_ID] = { 0, 0, 2, 1, true },
        [CARELINK_BATTERY] = { 0, 0, 2, 1, true },
        [CARELINK_RESERVOIR] = { 0, 0, 2, 1, true },
        [CARELINK_FIRMWARE] = { 0, 0, 2, 1, true },
        [CARELINK_HISTORY_PAGE] = { 1, 0, 2, 2, true },
        [CARELINK_MODEL] = { 0, 0, 2, 1, true },
        [CARELINK_SETTINGS_512] = { 0, 0, 2, 1, true },
        [CARELINK_PROFILE_STANDARD] = { 0, 0, 2, 2, true },
        [CARELINK_PROFILE_A] = { 0, 0, 2, 2, true },
        [CARELINK_PROFILE_B] = { 0, 0, 2, 2, true },
        [CARELINK_GLUCOSE_PAGE] = { 4, 0, 2, 2, true },
        [CARELINK_ISIG_PAGE] = { 4, 0, 2, 2, true },
        [CARELINK_NEWEST_HISTORY] = { 0, 0, 2, 1, true },
        [CARELINK_SETTINGS] = { 0, 0, 2, 1, true },
        [CARELINK_NEWEST_GLUCOSE] = { 0, 0, 2, 1, true },
        [CARELINK_STATUS] = { 0, 0, 0, 1, true },
};

static bool power_allowed(const uint8_t *parameters) {
        return (parameters[0] == 1 && parameters[1] >= 1 && parameters[1] <= POWER_MINUTES) || (parameters[0] == 0 && parameters[1] == 0);
}

int carelink_stick_frame(const uint8_t serial[static 3], unsigned opcode, const uint8_t *parameters, size_t n_parameters,
                         uint8_t ret[static CARELINK_STICK_FRAME_MAX], size_t *ret_n) {
        const Command *command;

        if (opcode >= N_ELEMENTS(commands))
                return CARELINK_STICK_E_FORBIDDEN;
        command = &commands[opcode];
        if (!command->is_allowed || n_parameters != command->n_parameters || n_parameters > CARELINK_STICK_PARAMETERS_MAX)
                return CARELINK_STICK_E_FORBIDDEN;
        if (opcode == CARELINK_POWER && !power_allowed(parameters))
                return CARELINK_STICK_E_FORBIDDEN;

        ret[0] = STICK_TRANSMIT;
        ret[1] = 0;
        ret[2] = 0xa7; /* Paradigm, to a pump */
        ret[3] = 0x01;
        memcpy(ret + 4, serial, 3);
        ret[7] = 0x80;
        ret[8] = (uint8_t) n_parameters;
        ret[9] = command->button;
        ret[10] = command->retries;
        ret[11] = command->mode;
        ret[12] = 0;
        ret[13] = (uint8_t) opcode;
        ret[14] = paradigm_crc8(ret, 14);
        if (n_parameters)
                memcpy(ret + 15, parameters, n_parameters);
        ret[15 + n_parameters] = paradigm_crc8(parameters, n_parameters);
        *ret_n = 16 + n_parameters;
        return 0;
}

bool carelink_stick_serial(const char *digits, uint8_t ret[static 3]) {
        if (strlen(digits) != 6)
                return false;
        for (size_t i = 0; i != 6; i++)
                if (digits[i] < '0' || digits[i] > '9')
                        return false;
        for (size_t i = 0; i != 3; i++)
                ret[i] = (uint8_t) ((digits[2 * i] - '0') << 4 | (digits[2 * i + 1] - '0'));
        return true;
}

/* --- the stick --- */

/* Exactly @n bytes, in as many transfers as it takes; what a transfer has beyond them is left over from something else. */
static int read_exactly(CarelinkStick *stick, uint8_t *bytes, size_t n) {
        const Transport *t = stick->transport;
        uint8_t packet[CARELINK_STICK_PACKET];
        size_t n_read = 0, n_packet, n_empty = 0;
        int r;

        while (n_read < n) {
                n_packet = 0;
                r = t->read(t->userdata, packet, sizeof(packet), READ_MS, &n_packet);
                if (r)
                        return r;
                if (n_packet == 0 && ++n_empty > TRIES)
                        return TRANSPORT_E_TIMEOUT;
                if (n_packet > n - n_read)
                        n_packet = n - n_read;
                memcpy(bytes + n_read, packet, n_packet);
                n_read += n_packet;
                stick->n_owed -= n_packet < stick->n_owed ? n_packet : stick->n_owed;
        }
        return 0;
}

static int write_and_owe(CarelinkStick *stick, const uint8_t *bytes, size_t n, size_t n_answer) {
        const Transport *t = stick->transport;
        int r = t->write(t->userdata, bytes, n);

        stick->n_owed = r == 0 ? n_answer : 0;
        return r;
}

/* What a session that was stopped in the middle of an answer left of it: the next command would take it for its own. */
static int take_owed(CarelinkStick *stick) {
        const Transport *t = stick->transport;
        uint8_t packet[CARELINK_STICK_PACKET];
        size_t n = 1;
        int r = 0;

        while (r == 0 && n && stick->n_owed) {
                r = t->read(t->userdata, packet, sizeof(packet), OWED_MS, &n);
                stick->n_owed -= n < stick->n_owed ? n : stick->n_owed;
        }
        stick->n_owed = 0;
        return r < 0 ? r : 0;
}

/* Until nothing comes any more: what an interrupted answer left in the pipe. */
static int drain_pipe(CarelinkStick *stick) {
        const Transport *t = stick->transport;
        uint8_t packet[CARELINK_STICK_PACKET];
        size_t n;
        int r;

        for (unsigned i = 0; i != DRAIN_MAX; i++) {
                r = t->read(t->userdata, packet, sizeof(packet), POLL_MS / 2, &n);
                if (r == TRANSPORT_E_TIMEOUT || r == TRANSPORT_E_STALL)
                        return 0;
                if (r)
                        return r;
        }
        return 0;
}

/*
 * One command of the stick, its whole answer in @ret. Only the bytes that the command defines mean anything: the others
 * are left over from earlier answers. Return: 0; CARELINK_STICK_E_SILENT, CARELINK_STICK_E_GARBLED; negative errno.
 */
static int command(CarelinkStick *stick, const uint8_t *bytes, size_t n, uint8_t ret[static CARELINK_STICK_PACKET]) {
        const Transport *t = stick->transport;
        int r = 0;

        for (unsigned i = 0; i != TRIES; i++) {
                if (i) {
                        stick->n_retries++;
                        r = t->wait(t->userdata, POLL_MS);
                        if (r == 0)
                                r = drain_pipe(stick);
                        if (r)
                                return r;
                }
                r = write_and_owe(stick, bytes, n, CARELINK_STICK_PACKET);
                if (r == 0)
                        r = read_exactly(stick, ret, CARELINK_STICK_PACKET);
                if (r < 0)
                        return r;
                if (r == 0 && ret[0] == 0x01 && ret[1] == ACK && ret[2] == 0)
                        return 0;
        }
        return r ? CARELINK_STICK_E_SILENT : CARELINK_STICK_E_GARBLED;
}

static int small_command(CarelinkStick *stick, uint8_t opcode, uint8_t ret[static CARELINK_STICK_PACKET]) {
        return command(stick, (const uint8_t[]) { opcode, 0, 0 }, 3, ret);
}

/* A frame from the radio when there is one: *ret_n is 0 when there is none yet. */
static int poll_frame(CarelinkStick *stick, uint8_t ret[static CARELINK_FRAME_MAX], size_t *ret_n) {
        uint8_t answer[CARELINK_STICK_PACKET], download[5] = { STICK_DOWNLOAD, 0 };
        size_t n;
        int r;

        *ret_n = 0;
        r = small_command(stick, STICK_LINK, answer);
        if (r)
                return r;
        n = paradigm_be16(answer + PAYLOAD + 3);
        if (!(answer[PAYLOAD + 2] & READY) || n == 0)
                return 0;
        if (n > CARELINK_FRAME_MAX)
                return CARELINK_STICK_E_GARBLED;

        download[2] = (uint8_t) (n >> 8);
        download[3] = (uint8_t) n;
        download[4] = paradigm_crc8(download, 4);
        r = write_and_owe(stick, download, sizeof(download), n);
        if (r == 0)
                r = read_exactly(stick, ret, n);
        if (r)
                return r < 0 ? r : CARELINK_STICK_E_GARBLED;
        *ret_n = n;
        return 0;
}

/* Until the radio has nothing more either. */
static int drain(CarelinkStick *stick) {
        uint8_t frame[CARELINK_FRAME_MAX];
        size_t n = 1;
        int r = drain_pipe(stick);

        for (unsigned i = 0; i != DRAIN_MAX && r >= 0 && n; i++)
                r = poll_frame(stick, frame, &n);
        return r < 0 ? r : 0;
}

int carelink_stick_open(CarelinkStick *stick, const Transport *transport, const uint8_t serial[static 3]) {
        uint8_t answer[CARELINK_STICK_PACKET];
        int r;

        *stick = (CarelinkStick) { .transport = transport };
        memcpy(stick->serial, serial, sizeof(stick->serial));
        r = drain_pipe(stick);
        if (r == 0)
                r = small_command(stick, STICK_PRODUCT, answer); /* after plug-in the first answer may be an old one */
        if (r == 0)
                r = small_command(stick, STICK_PRODUCT, answer);
        if (r == CARELINK_STICK_E_GARBLED)
                return CARELINK_STICK_E_OTHER;
        if (r)
                return r;
        if (memcmp(answer + PAYLOAD + 6, "ComLink II", 10) != 0)
                return CARELINK_STICK_E_OTHER;
        stick->is_worldwide = answer[PAYLOAD + 5] == 0x01;
        memcpy(stick->version, answer + PAYLOAD + 16, sizeof(stick->version));
        return drain(stick);
}

int carelink_stick_signal(CarelinkStick *stick, unsigned *ret) {
        uint8_t answer[CARELINK_STICK_PACKET];
        int r;

        r = small_command(stick, STICK_SIGNAL, answer);
        if (r)
                return r;
        *ret = answer[PAYLOAD];
        return 0;
}

/* --- the pump --- */

typedef struct Frame {
        CarelinkFrame frame;
        uint8_t bytes[CARELINK_FRAME_MAX]; /* that it points into */
} Frame;

/* Wait for a frame and look at it. Return: 0; CARELINK_STICK_E_NO_PUMP, REFUSED, GARBLED, FOREIGN, SILENT; negative errno. */
static int receive(CarelinkStick *stick, unsigned patience_ms, Frame *ret) {
        const Transport *t = stick->transport;
        int64_t until_ms = t->now_ms(t->userdata) + patience_ms;
        size_t n;
        int r;

        for (;;) {
                r = poll_frame(stick, ret->bytes, &n);
                if (r)
                        return r;
                if (n)
                        break;
                if (t->now_ms(t->userdata) >= until_ms)
                        return CARELINK_STICK_E_NO_PUMP;
                r = t->wait(t->userdata, POLL_MS);
                if (r)
                        return r;
        }

        if (carelink_frame_read(ret->bytes, n, &ret->frame) != 0)
                return CARELINK_STICK_E_GARBLED;
        if (memcmp(ret->frame.serial, stick->serial, sizeof(stick->serial)) != 0)
                return CARELINK_STICK_E_FOREIGN;
        if (ret->frame.kind == CARELINK_FRAME_TIMEOUT)
                return CARELINK_STICK_E_NO_PUMP;
        if (ret->frame.kind == CARELINK_FRAME_NAK) {
                stick->refusal = ret->frame.body[0];
                return CARELINK_STICK_E_REFUSED;
        }
        return 0;
}

static int transmit(CarelinkStick *stick, unsigned opcode, const uint8_t *parameters, size_t n_parameters) {
        uint8_t frame[CARELINK_STICK_FRAME_MAX], answer[CARELINK_STICK_PACKET];
        size_t n;
        int r;

        r = carelink_stick_frame(stick->serial, opcode, parameters, n_parameters, frame, &n);
        if (r)
                return r;
        return command(stick, frame, n, answer);
}

/* Errors after which the same question may be answered: not where the cable is out, and not when the pump said no. */
static bool may_retry(int r) {
        return r == CARELINK_STICK_E_NO_PUMP || r == CARELINK_STICK_E_GARBLED || r == CARELINK_STICK_E_SILENT || r == CARELINK_STICK_E_FOREIGN;
}

static int power(CarelinkStick *stick, uint8_t on, uint8_t minutes, unsigned patience_ms) {
        Frame received;
        int r;

        r = transmit(stick, CARELINK_POWER, (const uint8_t[]) { on, minutes }, 2);
        for (unsigned i = 0; i != DRAIN_MAX && r == 0; i++) {
                r = receive(stick, patience_ms, &received);
                if (r == 0 && received.frame.n_body == 1) /* else it is what a page still had on its way */
                        break;
        }
        if (may_retry(r)) {
                int drained = drain(stick);

                if (drained)
                        return drained;
        }
        return r;
}

int carelink_stick_wake(CarelinkStick *stick) {
        return power(stick, 1, POWER_MINUTES, WAKE_MS);
}

int carelink_stick_sleep(CarelinkStick *stick) {
        int r = CARELINK_STICK_E_SILENT;

        /* who does not want to go on wants this all the more */
        for (unsigned i = 0; i != TRIES && (may_retry(r) || r == -ECANCELED); i++) {
                r = take_owed(stick);
                if (r == 0)
                        r = power(stick, 0, 0, ANSWER_MS);
        }
        return r;
}

int carelink_stick_ask(CarelinkStick *stick, CarelinkOpcode opcode, unsigned n_tries, uint8_t ret[static CARELINK_STICK_REPLY]) {
        Frame received;
        int r = 0, drained;

        for (unsigned i = 0; i != n_tries; i++) {
                r = transmit(stick, opcode, NULL, 0);
                if (r == 0)
                        r = receive(stick, ANSWER_MS, &received);
                if (r == 0 && received.frame.n_body == CARELINK_STICK_REPLY) {
                        memcpy(ret, received.frame.body, CARELINK_STICK_REPLY);
                        return 0;
                }
                if (r == 0)
                        r = CARELINK_STICK_E_GARBLED;
                if (!may_retry(r))
                        return r;
                stick->n_retries++;
                drained = drain(stick);
                if (drained)
                        return drained;
        }
        return r;
}

static int read_page(CarelinkStick *stick, CarelinkOpcode opcode, const uint8_t *parameters, size_t n_parameters, uint8_t *page,
                     size_t n_page, size_t *ret_n) {
        Frame received;
        int r;

        *ret_n = 0;
        r = transmit(stick, opcode, parameters, n_parameters);
        if (r)
                return r;
        do {
                r = receive(stick, ANSWER_MS, &received);
                if (r)
                        return r;
                if (received.frame.n_body > n_page - *ret_n)
                        return CARELINK_STICK_E_GARBLED;
                memcpy(page + *ret_n, received.frame.body, received.frame.n_body);
                *ret_n += received.frame.n_body;
        } while (!received.frame.is_end);
        return 0;
}

int carelink_stick_page(CarelinkStick *stick, CarelinkOpcode opcode, uint32_t number, uint8_t *page, size_t n_page,
                        int (*check)(const uint8_t *page, size_t n), size_t *ret_n) {
        const uint8_t parameters[] = { (uint8_t) (number >> 24), (uint8_t) (number >> 16), (uint8_t) (number >> 8), (uint8_t) number };
        size_t n_parameters = commands[opcode].n_parameters;
        int r = 0, drained;

        assert(n_parameters <= sizeof(parameters));
        assert(n_parameters == 4 || number < 256);
        for (unsigned i = 0; i != TRIES; i++) {
                r = read_page(stick, opcode, parameters + sizeof(parameters) - n_parameters, n_parameters, page, n_page, ret_n);
                if (r == 0 && *ret_n == n_page && (!check || check(page, n_page) == 0))
                        return 0;
                if (r == 0)
                        r = CARELINK_STICK_E_GARBLED;
                if (!may_retry(r))
                        return r;
                stick->n_retries++;
                drained = drain(stick);
                if (drained)
                        return drained;
        }
        return r;
}
