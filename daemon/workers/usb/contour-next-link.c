/* SPDX-License-Identifier: Apache-2.0 */

#include "contour-next-link.h"

#include <stdio.h>

enum {
        /* ASTM E1381 */
        EOT = 0x04,
        ENQ = 0x05,
        ACK = 0x06,
        NAK = 0x15,

        DATA_MAX = 60, /* of a report, behind its four bytes */

        /* the envelope: 51 01, serial, 10 zeros, what to do, retries, seconds, 2 zeros, bytes and packets to come, reason, size, sum */
        ENVELOPE = 33,
        AT_SERIAL = 2,
        AT_WHAT = 18,
        AT_BYTES = 23,
        AT_PACKETS = 25,
        AT_REASON = 27,
        AT_SIZE = 28,
        AT_SUM = 32,
        OPEN = 0x10,
        SEND = 0x12,

        AREA_FIRST = 22, /* bytes of a page question's parameters in its first report, and in its second, the checksum left out */
        AREA_SECOND = 43,

        MESSAGE_MAX = ENVELOPE + CONTOUR_NEXT_LINK_PART,
        TRIES = 3,
        REPORTS_MAX = 64, /* of what a meter says of itself before it listens */
        METER_MS = 2000,
        PUMP_MS = 20000,
        DRAIN_MS = 100,
        WAIT_MS = 500,
};

typedef struct Command {
        uint8_t opcode;
        uint8_t n_parameters; /* of the page's number; 0: a short answer */
} Command;

/* All that this program can say to a pump through a meter. */
static const Command commands[] = {
        { 0x70, 0 }, /* clock */
        { 0x72, 0 }, /* battery */
        { 0x80, 1 }, /* history page */
        { 0x8d, 0 }, /* model */
        { 0x9a, 4 }, /* glucose page */
        { 0x9b, 4 }, /* its ISIG page */
        { 0x9d, 0 }, /* newest history page */
        { 0xc0, 0 }, /* settings */
        { 0xcd, 0 }, /* newest glucose page */
};

static const Command *find_command(unsigned opcode) {
        for (size_t i = 0; i != N_ELEMENTS(commands); i++)
                if (commands[i].opcode == opcode)
                        return &commands[i];
        return NULL;
}

static uint8_t sum_of(const uint8_t *bytes, size_t n) {
        unsigned sum = 0;

        for (size_t i = 0; i != n; i++)
                sum += bytes[i];
        return (uint8_t) sum;
}

static void put_envelope(uint8_t *envelope, const char *serial, uint8_t what, uint8_t retries, uint8_t seconds, size_t size) {
        memset(envelope, 0, ENVELOPE);
        envelope[0] = 0x51;
        envelope[1] = 0x01;
        memcpy(envelope + AT_SERIAL, serial, PARADIGM_SERIAL_SIZE - 1);
        envelope[AT_WHAT] = what;
        envelope[AT_WHAT + 1] = (uint8_t) (retries << 4 | 1);
        envelope[AT_WHAT + 2] = seconds;
        envelope[AT_SIZE] = (uint8_t) size;
}

int contour_next_link_frame(const char serial[static PARADIGM_SERIAL_SIZE - 1], unsigned opcode, const uint8_t *parameters,
                            size_t n_parameters, uint8_t ret[static CONTOUR_NEXT_LINK_REPORTS_MAX * CONTOUR_NEXT_LINK_REPORT],
                            size_t *ret_n_reports) {
        enum { HEAD = 5, QUESTION = HEAD + AREA_FIRST + AREA_SECOND };
        const Command *command = find_command(opcode);
        uint8_t question[QUESTION + 1] = { 0xa7 }, *envelope = ret + 4, *second = ret + CONTOUR_NEXT_LINK_REPORT;
        size_t n_page;

        if (!command || (n_parameters && n_parameters != command->n_parameters) || strspn(serial, "0123456789") != PARADIGM_SERIAL_SIZE - 1)
                return CONTOUR_NEXT_LINK_E_FORBIDDEN;

        memset(ret, 0, CONTOUR_NEXT_LINK_REPORTS_MAX * CONTOUR_NEXT_LINK_REPORT);
        for (size_t i = 0; i != 3; i++)
                question[1 + i] = (uint8_t) ((serial[2 * i] - '0') << 4 | (serial[2 * i + 1] - '0'));
        question[4] = (uint8_t) opcode;

        if (n_parameters == 0) {
                question[HEAD + 1] = paradigm_crc8(question, HEAD + 1); /* behind the number of parameters */
                put_envelope(envelope, serial, SEND, 2, 5, HEAD + 2);
                memcpy(envelope + ENVELOPE, question, HEAD + 2);
                ret[3] = ENVELOPE + HEAD + 2;
                envelope[AT_SUM] = sum_of(envelope, ret[3]);
                *ret_n_reports = 1;
                return 0;
        }

        question[HEAD] = (uint8_t) n_parameters;
        memcpy(question + HEAD + 1, parameters, n_parameters);
        question[QUESTION] = paradigm_crc8(question, QUESTION);
        n_page = opcode == 0x9b ? PARADIGM_ISIG_PAGE_SIZE : PARADIGM_PAGE_SIZE;
        put_envelope(envelope, serial, SEND, 2, 5, QUESTION + 1);
        envelope[AT_BYTES] = (uint8_t) n_page;
        envelope[AT_BYTES + 1] = (uint8_t) (n_page >> 8);
        envelope[AT_PACKETS] = 16;
        envelope[AT_PACKETS + 1] = 16;
        memcpy(envelope + ENVELOPE, question, HEAD + AREA_FIRST);
        memcpy(second + 4, question + HEAD + AREA_FIRST, AREA_SECOND + 1);
        ret[3] = ENVELOPE + HEAD + AREA_FIRST;
        second[3] = AREA_SECOND + 1;
        envelope[AT_SUM] = (uint8_t) (sum_of(envelope, ret[3]) + sum_of(second + 4, second[3]));
        *ret_n_reports = 2;
        return 0;
}

/* --- reports --- */

/* One report's data. Return: 0; TRANSPORT_E_TIMEOUT, _STALL; CONTOUR_NEXT_LINK_E_GARBLED is not told from a stall; negative errno. */
static int read_report(ContourNextLink *link, unsigned timeout_ms, uint8_t ret[static DATA_MAX], size_t *ret_n) {
        const Transport *t = link->transport;
        uint8_t report[CONTOUR_NEXT_LINK_REPORT];
        size_t n = 0;
        int r;

        r = t->read(t->userdata, report, sizeof(report), timeout_ms, &n);
        if (r)
                return r;
        if (n < 4 || memcmp(report, "ABC", 3) != 0 || report[3] > DATA_MAX || n < 4u + report[3])
                return TRANSPORT_E_STALL;
        memcpy(ret, report + 4, report[3]);
        *ret_n = report[3];
        return 0;
}

static int drain(ContourNextLink *link) {
        const Transport *t = link->transport;
        uint8_t report[CONTOUR_NEXT_LINK_REPORT];
        size_t n;
        int r = 0;

        for (unsigned i = 0; i != REPORTS_MAX && r == 0; i++)
                r = t->read(t->userdata, report, sizeof(report), DRAIN_MS, &n);
        return r < 0 ? r : 0;
}

/* A word of the meter's own language, until the wanted one comes back. Return: 0; CONTOUR_NEXT_LINK_E_SILENT, _OTHER; negative errno. */
static int say(ContourNextLink *link, const char *word, uint8_t wanted) {
        const Transport *t = link->transport;
        uint8_t report[CONTOUR_NEXT_LINK_REPORT] = { 0, 0, 0, (uint8_t) strlen(word) }, data[DATA_MAX];
        size_t n;
        int r = 0;

        memcpy(report + 4, word, strlen(word));
        r = t->write(t->userdata, report, sizeof(report));
        /* the first may be answered by what the meter tells of itself */
        for (unsigned i = 0; i != REPORTS_MAX && r == 0; i++) {
                r = read_report(link, METER_MS, data, &n);
                if (r == 0 && n && data[0] == wanted)
                        return 0;
                if (r == 0 && word[0] != EOT)
                        break;
        }
        return r < 0 ? r : r == TRANSPORT_E_TIMEOUT ? CONTOUR_NEXT_LINK_E_SILENT : CONTOUR_NEXT_LINK_E_OTHER;
}

/*
 * One answer in its envelope. Return: 0; CONTOUR_NEXT_LINK_E_NO_PUMP, _REFUSED, _GARBLED, _FOREIGN, _SILENT; negative errno.
 */
static int receive(ContourNextLink *link, bool has_sum, uint8_t ret[static MESSAGE_MAX], size_t *ret_n_payload) {
        uint8_t data[DATA_MAX], sum;
        size_t n_message = 0, n, size = MESSAGE_MAX;
        int r;

        do {
                r = read_report(link, PUMP_MS, data, &n);
                if (r)
                        return r < 0 ? r : r == TRANSPORT_E_TIMEOUT && n_message == 0 ? CONTOUR_NEXT_LINK_E_SILENT : CONTOUR_NEXT_LINK_E_GARBLED;
                if (n > MESSAGE_MAX - n_message)
                        return CONTOUR_NEXT_LINK_E_GARBLED;
                memcpy(ret + n_message, data, n);
                n_message += n;
                if (n_message >= ENVELOPE && size == MESSAGE_MAX) {
                        size = (size_t) ENVELOPE + get_le32(ret + AT_SIZE);
                        if (size > MESSAGE_MAX)
                                return CONTOUR_NEXT_LINK_E_GARBLED;
                }
        } while (n == DATA_MAX && n_message < size);

        if (n_message < ENVELOPE || n_message != size || ret[0] != 0x51 || ret[1] != 0x01)
                return CONTOUR_NEXT_LINK_E_GARBLED;
        if (memcmp(ret + AT_SERIAL, link->serial, PARADIGM_SERIAL_SIZE - 1) != 0)
                return CONTOUR_NEXT_LINK_E_FOREIGN;
        sum = ret[AT_SUM];
        if (has_sum && (uint8_t) (sum_of(ret, n_message) - sum) != sum)
                return CONTOUR_NEXT_LINK_E_GARBLED;
        if (ret[AT_REASON]) {
                link->refusal = ret[AT_REASON];
                return CONTOUR_NEXT_LINK_E_NO_PUMP;
        }
        *ret_n_payload = n_message - ENVELOPE;
        if (*ret_n_payload != 2 || ret[ENVELOPE] != NAK)
                return 0;
        link->refusal = ret[ENVELOPE + 1];
        return CONTOUR_NEXT_LINK_E_REFUSED;
}

static int transmit(ContourNextLink *link, unsigned opcode, const uint8_t *parameters, size_t n_parameters) {
        uint8_t reports[CONTOUR_NEXT_LINK_REPORTS_MAX * CONTOUR_NEXT_LINK_REPORT];
        const Transport *t = link->transport;
        size_t n_reports;
        int r;

        r = contour_next_link_frame(link->serial, opcode, parameters, n_parameters, reports, &n_reports);
        for (size_t i = 0; r == 0 && i != n_reports; i++) {
                r = t->write(t->userdata, reports + i * CONTOUR_NEXT_LINK_REPORT, CONTOUR_NEXT_LINK_REPORT);
                if (r > 0)
                        return CONTOUR_NEXT_LINK_E_SILENT;
        }
        return r;
}

/* --- the meter --- */

static int remote_mode(ContourNextLink *link) {
        static const struct {
                const char *word;
                uint8_t wanted;
        } steps[] = { { "\x04", ENQ }, { "\x15", EOT }, { "\x05", ACK }, { "W|", ACK }, { "Q|", ACK }, { "1|", ACK } };
        int r = 0;

        for (size_t i = 0; i != N_ELEMENTS(steps) && r == 0; i++)
                r = say(link, steps[i].word, steps[i].wanted);
        return r;
}

/* The meter repeats it when it has the pump. */
static int open_pump(ContourNextLink *link) {
        uint8_t report[CONTOUR_NEXT_LINK_REPORT] = { 0, 0, 0, ENVELOPE }, message[MESSAGE_MAX];
        const Transport *t = link->transport;
        size_t n;
        int r;

        put_envelope(report + 4, link->serial, OPEN, 0, 30, 0);
        report[4 + AT_SUM] = sum_of(report + 4, ENVELOPE);
        r = t->write(t->userdata, report, sizeof(report));
        if (r)
                return r < 0 ? r : CONTOUR_NEXT_LINK_E_SILENT;
        r = receive(link, true, message, &n);
        if (r)
                return r;
        return n == 0 && memcmp(message, report + 4, ENVELOPE) == 0 ? 0 : CONTOUR_NEXT_LINK_E_NO_PUMP;
}

int contour_next_link_open(ContourNextLink *link, const Transport *transport, const char serial[static PARADIGM_SERIAL_SIZE - 1]) {
        int r = 0;

        *link = (ContourNextLink) { .transport = transport };
        memcpy(link->serial, serial, PARADIGM_SERIAL_SIZE - 1);
        for (unsigned i = 0; i != TRIES; i++) {
                if (i)
                        link->n_retries++;
                r = drain(link);
                if (r == 0)
                        r = remote_mode(link);
                if (r <= 0)
                        break;
        }
        return r ? r : open_pump(link);
}

int contour_next_link_close(ContourNextLink *link) {
        int r = CONTOUR_NEXT_LINK_E_SILENT;

        /* who does not want to go on wants this all the more */
        for (unsigned i = 0; i != TRIES && (r > 0 || r == -ECANCELED); i++)
                r = say(link, "\x04", ENQ);
        return r;
}

/* Errors after which the same question may be answered. */
static bool may_retry(int r) {
        return r == CONTOUR_NEXT_LINK_E_SILENT || r == CONTOUR_NEXT_LINK_E_GARBLED || r == CONTOUR_NEXT_LINK_E_NO_PUMP || r == CONTOUR_NEXT_LINK_E_FOREIGN;
}

static int before_retry(ContourNextLink *link) {
        const Transport *t = link->transport;
        int r;

        link->n_retries++;
        r = t->wait(t->userdata, WAIT_MS);
        return r ? r : drain(link);
}

int contour_next_link_ask(ContourNextLink *link, unsigned opcode, uint8_t ret[static CONTOUR_NEXT_LINK_REPLY]) {
        uint8_t message[MESSAGE_MAX];
        size_t n;
        int r = 0, before;

        for (unsigned i = 0; i != TRIES; i++) {
                r = transmit(link, opcode, NULL, 0);
                if (r == 0)
                        r = receive(link, true, message, &n);
                if (r == 0 && n && n <= CONTOUR_NEXT_LINK_REPLY) {
                        memset(ret, 0, CONTOUR_NEXT_LINK_REPLY);
                        memcpy(ret, message + ENVELOPE, n);
                        return 0;
                }
                if (r == 0)
                        r = CONTOUR_NEXT_LINK_E_GARBLED;
                if (!may_retry(r))
                        return r;
                before = before_retry(link);
                if (before)
                        return before;
        }
        return r;
}

static int read_page(ContourNextLink *link, unsigned opcode, const uint8_t *parameters, size_t n_parameters, uint8_t *page,
                     size_t n_page, size_t *ret_n) {
        bool has_sum = opcode == 0x80;
        uint8_t message[MESSAGE_MAX];
        size_t n;
        int r;

        *ret_n = 0;
        r = transmit(link, opcode, NULL, 0);
        if (r == 0)
                r = receive(link, true, message, &n);
        if (r == 0 && (n != 1 || message[ENVELOPE] != ACK))
                r = CONTOUR_NEXT_LINK_E_GARBLED;
        if (r == 0)
                r = transmit(link, opcode, parameters, n_parameters);
        while (r == 0 && *ret_n != n_page) {
                r = receive(link, has_sum, message, &n);
                if (r == 0 && n != CONTOUR_NEXT_LINK_PART)
                        r = CONTOUR_NEXT_LINK_E_GARBLED;
                if (r)
                        return r;
                memcpy(page + *ret_n, message + ENVELOPE, n);
                *ret_n += n;
        }
        return r;
}

int contour_next_link_page(ContourNextLink *link, unsigned opcode, uint32_t number, uint8_t *page, size_t n_page,
                           int (*check)(const uint8_t *page, size_t n), size_t *ret_n) {
        const uint8_t parameters[] = { (uint8_t) (number >> 24), (uint8_t) (number >> 16), (uint8_t) (number >> 8), (uint8_t) number };
        const Command *command = find_command(opcode);
        size_t n_parameters = command ? command->n_parameters : 0;
        int r = 0, before;

        assert(n_parameters);
        assert(n_parameters == 4 || number < 256);
        assert(n_page % CONTOUR_NEXT_LINK_PART == 0);
        for (unsigned i = 0; i != TRIES; i++) {
                r = read_page(link, opcode, parameters + sizeof(parameters) - n_parameters, n_parameters, page, n_page, ret_n);
                if (r == 0 && (!check || check(page, n_page) == 0))
                        return 0;
                if (r == 0)
                        r = CONTOUR_NEXT_LINK_E_GARBLED;
                if (!may_retry(r))
                        return r;
                before = before_retry(link);
                if (before)
                        return before;
        }
        return r;
}
