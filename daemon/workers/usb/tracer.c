/* SPDX-License-Identifier: Apache-2.0 */

#include "tracer.h"

#include "carelink-frame.h"
#include "carelink-stick.h"
#include "paradigm-history.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
        LINES_STEP = 256,
        LINE_TEXT = 64 + 2 * CARELINK_STICK_PACKET,
        FRAMES_MAX = 64, /* of one answer */
        PROFILE_SIZE = 192,

        STICK_TRANSMIT = 0x01,
        STICK_DOWNLOAD = 0x0c,
        PAYLOAD = 3, /* in an answer of the stick */
        OPCODE_AT = 13,
        SERIAL_IN_PACKET = 4,
        SERIAL_IN_FRAME = 9,
};

typedef struct Line {
        bool is_read;
        uint8_t bytes[CARELINK_STICK_PACKET];
        size_t n;
        int64_t ms;
} Line;

/* A frame that the radio has received, over as many lines as it took. */
typedef struct Held {
        size_t line; /* the first */
        uint8_t bytes[CARELINK_FRAME_MAX];
        size_t n;
} Held;

struct Tracer {
        const Transport *inner;
        int fd, failed;
        int64_t begun_ms;
        ParadigmModel model;
        bool has_model;
        uint8_t stick[3]; /* its serial number */
        char pump[PARADIGM_SERIAL_SIZE]; /* that of the pump that is asked; "" before the first question */
        Line *lines; /* since the last packet to the pump, that included: what was asked and all that came */
        size_t n_lines, n_room;
        Held frames[FRAMES_MAX];
        size_t n_frames;
};

int tracer_new(Tracer **ret, const Transport *inner, int fd) {
        static const char head[] = "{\"trace\":1,\"device\":\"carelink-stick\",\"serials\":\"replaced\"}\n";
        Tracer *tracer = calloc(1, sizeof(*tracer));

        if (!tracer)
                return -ENOMEM;
        tracer->inner = inner;
        tracer->fd = fd;
        tracer->begun_ms = inner->now_ms(inner->userdata);
        if (write(fd, head, sizeof(head) - 1) != (ssize_t) sizeof(head) - 1)
                tracer->failed = -EIO;
        *ret = tracer;
        return 0;
}

Tracer *tracer_free(Tracer *tracer) {
        if (!tracer)
                return NULL;
        if (tracer->lines)
                explicit_bzero(tracer->lines, tracer->n_room * sizeof(*tracer->lines));
        free(tracer->lines);
        explicit_bzero(tracer, sizeof(*tracer));
        free(tracer);
        return NULL;
}

/* --- other numbers --- */

static void replace_in_write(Tracer *tracer, Line *line) {
        const uint8_t *serial = line->bytes + SERIAL_IN_PACKET;

        if (line->bytes[0] != STICK_TRANSMIT || line->n <= OPCODE_AT + 1)
                return;
        (void) snprintf(tracer->pump, sizeof(tracer->pump), "%02x%02x%02x", serial[0], serial[1], serial[2]);
        memset(line->bytes + SERIAL_IN_PACKET, 0, 3);
        line->bytes[OPCODE_AT + 1] = paradigm_crc8(line->bytes, OPCODE_AT + 1);
}

/* An answer of the stick itself. What the command does not define is left over from others: it is nobody's business. */
static void replace_in_answer(Tracer *tracer, const Line *command, Line *line) {
        static const uint8_t n_payload[] = { [0x03] = 5, [0x04] = 23, [0x05] = 12, [0x06] = 1 };
        size_t n = PAYLOAD + (command->bytes[0] < N_ELEMENTS(n_payload) ? n_payload[command->bytes[0]] : 0);

        if (n < line->n)
                memset(line->bytes + n, 0, line->n - n);
        if (line->n < PAYLOAD + sizeof(tracer->stick))
                return;
        if (command->bytes[0] == 0x04)
                memcpy(tracer->stick, line->bytes + PAYLOAD, sizeof(tracer->stick));
        if (memcmp(line->bytes + PAYLOAD, tracer->stick, sizeof(tracer->stick)) == 0) /* also when it comes late, as the answer to something else */
                memset(line->bytes + PAYLOAD, 0, sizeof(tracer->stick));
}

/* Of meters, remote controls and transmitters: all that such a record says besides that it is one. */
static void replace_in_page(uint8_t page[static PARADIGM_PAGE_SIZE], const ParadigmModel *model) {
        static const uint8_t devices[] = { 0x26, 0x27, 0x36, 0x3c, 0x50, 0x7d, 0x7e, 0x7f, 0x81, 0x82 };
        ParadigmEntry entry;
        uint16_t crc;
        size_t at = 0;

        while (paradigm_history_next(page, model, &at, &entry) == 0) {
                uint8_t *bytes = page + entry.at;

                if (entry.op == 0x3f || entry.op == 0x39)
                        memset(bytes + 7, 0, 3); /* the meter that sent it */
                else if (memchr(devices, entry.op, sizeof(devices))) {
                        bytes[1] = 0;
                        if (entry.n > 7)
                                memset(bytes + 7, 0, entry.n - 7);
                }
        }
        crc = paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2);
        page[PARADIGM_PAGE_SIZE - 2] = (uint8_t) (crc >> 8);
        page[PARADIGM_PAGE_SIZE - 1] = (uint8_t) crc;
}

static size_t body_size(const Held *frame) {
        return frame->n - CARELINK_FRAME_OVERHEAD;
}

static uint8_t *body_of(Held *frame) {
        return frame->bytes + CARELINK_FRAME_HEADER;
}

/* The frames' bodies, one behind the other, to @page or back; whether they are a page of @n_page bytes. */
static bool gather(Tracer *tracer, uint8_t *page, size_t n_page, bool is_back) {
        size_t n = 0;

        for (size_t i = 0; i != tracer->n_frames; i++) {
                size_t n_body = body_size(&tracer->frames[i]);

                if (n_body > n_page - n)
                        return false;
                if (is_back)
                        memcpy(body_of(&tracer->frames[i]), page + n, n_body);
                else
                        memcpy(page + n, body_of(&tracer->frames[i]), n_body);
                n += n_body;
        }
        return n == n_page;
}

/* The bodies of a page. False when they are none that is whole: what they hold can't be told then. */
static bool replace_in_long(Tracer *tracer, unsigned opcode) {
        uint8_t page[PARADIGM_ISIG_PAGE_SIZE];
        bool is_whole;

        switch (opcode) {
        case CARELINK_HISTORY_PAGE:
                is_whole = tracer->has_model && gather(tracer, page, PARADIGM_PAGE_SIZE, false) && paradigm_page_check(page, PARADIGM_PAGE_SIZE) == 0;
                if (is_whole) {
                        replace_in_page(page, &tracer->model);
                        (void) gather(tracer, page, PARADIGM_PAGE_SIZE, true);
                }
                break;
        case CARELINK_GLUCOSE_PAGE:
                is_whole = gather(tracer, page, PARADIGM_PAGE_SIZE, false) && paradigm_page_check(page, PARADIGM_PAGE_SIZE) == 0;
                break;
        case CARELINK_ISIG_PAGE:
                is_whole = gather(tracer, page, PARADIGM_ISIG_PAGE_SIZE, false) && paradigm_isig_check(page, PARADIGM_ISIG_PAGE_SIZE) == 0;
                break;
        case CARELINK_PROFILE_STANDARD:
        case CARELINK_PROFILE_A:
        case CARELINK_PROFILE_B:
                is_whole = gather(tracer, page, PROFILE_SIZE, false);
                break;
        default: /* left over from an earlier question */
                is_whole = false;
                break;
        }
        explicit_bzero(page, sizeof(page));
        return is_whole;
}

/* Whatever was asked: the answer to who it is may come late. */
static void replace_in_short(const Tracer *tracer, uint8_t *body, size_t n) {
        const size_t n_serial = strlen(TRACER_SERIAL);

        for (size_t i = 0; i + n_serial <= n; i++)
                if (memcmp(body + i, tracer->pump, n_serial) == 0)
                        memcpy(body + i, TRACER_SERIAL, n_serial);
}

static void replace_in_bodies(Tracer *tracer, unsigned opcode) {
        Held *first = &tracer->frames[0];
        bool is_kept = opcode != 0; /* else it is the answer to an earlier session */

        if (tracer->n_frames == 0)
                return;
        if (opcode == CARELINK_MODEL && body_size(first) > 3)
                tracer->has_model = paradigm_model((const char *) body_of(first) + 1, 3, &tracer->model) == 0;
        if (tracer->n_frames > 1 || first->bytes[2] == CARELINK_FRAME_PART || body_size(first) > CARELINK_STICK_REPLY)
                is_kept = replace_in_long(tracer, opcode);
        else
                replace_in_short(tracer, body_of(first), body_size(first));
        for (size_t i = 0; i != tracer->n_frames && !is_kept; i++)
                memset(body_of(&tracer->frames[i]), 0, body_size(&tracer->frames[i]));
}

/* A download's bytes, from the lines behind its command. */
static size_t collect(Tracer *tracer, size_t command) {
        size_t n_wanted = paradigm_be16(tracer->lines[command].bytes + 2), at = command + 1;
        Held *frame = &tracer->frames[tracer->n_frames];
        CarelinkFrame read;

        frame->line = at;
        frame->n = 0;
        for (; at != tracer->n_lines && tracer->lines[at].is_read && frame->n != n_wanted; at++) {
                if (tracer->lines[at].n > n_wanted - frame->n || n_wanted > sizeof(frame->bytes))
                        break;
                memcpy(frame->bytes + frame->n, tracer->lines[at].bytes, tracer->lines[at].n);
                frame->n += tracer->lines[at].n;
        }
        if (frame->n == n_wanted && tracer->n_frames + 1 < FRAMES_MAX && carelink_frame_read(frame->bytes, frame->n, &read) == 0)
                tracer->n_frames++;
        else
                for (size_t i = command + 1; i != at; i++) /* damaged: a number may be anywhere in it */
                        memset(tracer->lines[i].bytes, 0, tracer->lines[i].n);
        return at;
}

static void put_back(Tracer *tracer, Held *frame) {
        size_t n = 0;

        memset(frame->bytes + SERIAL_IN_FRAME, 0, 3);
        frame->bytes[CARELINK_FRAME_HEADER - 1] = paradigm_crc8(frame->bytes, CARELINK_FRAME_HEADER - 1);
        frame->bytes[frame->n - 1] = paradigm_crc8(body_of(frame), body_size(frame));
        for (Line *line = &tracer->lines[frame->line]; n != frame->n; line++) {
                memcpy(line->bytes, frame->bytes + n, line->n);
                n += line->n;
        }
}

static void replace(Tracer *tracer) {
        unsigned opcode = tracer->lines[0].bytes[0] == STICK_TRANSMIT && tracer->lines[0].n > OPCODE_AT ? tracer->lines[0].bytes[OPCODE_AT] : 0;
        const Line *command = NULL;

        tracer->n_frames = 0;
        for (size_t at = 0; at != tracer->n_lines;) {
                Line *line = &tracer->lines[at];

                if (!line->is_read && line->bytes[0] == STICK_DOWNLOAD && line->n > 3) {
                        at = collect(tracer, at);
                        command = NULL;
                        continue;
                }
                if (line->is_read && command) {
                        replace_in_answer(tracer, command, line);
                        command = NULL;
                } else if (line->is_read)
                        memset(line->bytes, 0, line->n); /* of an earlier session, or the rest of what was cut */
                else {
                        replace_in_write(tracer, line);
                        command = line;
                }
                at++;
        }
        replace_in_bodies(tracer, opcode);
        for (size_t i = 0; i != tracer->n_frames; i++)
                put_back(tracer, &tracer->frames[i]);
}

/* --- the file --- */

static int write_line(Tracer *tracer, const Line *line) {
        char text[LINE_TEXT];
        size_t n;

        n = (size_t) snprintf(text, sizeof(text), "{\"d\":\"%c\",\"n\":%zu,\"hex\":\"", line->is_read ? 'r' : 'w', line->n);
        for (size_t i = 0; i != line->n; i++)
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%02x", line->bytes[i]);
        n += (size_t) snprintf(text + n, sizeof(text) - n, "\",\"ms\":%lld}\n", (long long) (line->ms - tracer->begun_ms));
        assert(n < sizeof(text));
        for (size_t done = 0; done != n;) {
                ssize_t l = write(tracer->fd, text + done, n - done);

                if (l < 0 && errno != EINTR)
                        return -errno;
                done += l > 0 ? (size_t) l : 0;
        }
        return 0;
}

int tracer_finish(Tracer *tracer) {
        if (tracer->n_lines)
                replace(tracer);
        for (size_t i = 0; i != tracer->n_lines && !tracer->failed; i++)
                tracer->failed = write_line(tracer, &tracer->lines[i]);
        tracer->n_lines = 0;
        return tracer->failed;
}

static void add(Tracer *tracer, bool is_read, const uint8_t *bytes, size_t n) {
        if (tracer->failed || n == 0 || n > CARELINK_STICK_PACKET)
                return;
        if (!is_read && bytes[0] == STICK_TRANSMIT && tracer_finish(tracer) < 0)
                return;
        if (tracer->n_lines == tracer->n_room) {
                Line *lines = reallocarray(tracer->lines, tracer->n_room + LINES_STEP, sizeof(*lines));

                if (!lines) {
                        tracer->failed = -ENOMEM;
                        return;
                }
                tracer->lines = lines;
                tracer->n_room += LINES_STEP;
        }
        tracer->lines[tracer->n_lines] = (Line) { .is_read = is_read, .n = n, .ms = tracer->inner->now_ms(tracer->inner->userdata) };
        memcpy(tracer->lines[tracer->n_lines++].bytes, bytes, n);
}

/* --- the transport --- */

static int trace_write(void *userdata, const uint8_t *bytes, size_t n) {
        Tracer *tracer = userdata;
        int r = tracer->inner->write(tracer->inner->userdata, bytes, n);

        if (r == 0)
                add(tracer, false, bytes, n);
        return r;
}

static int trace_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Tracer *tracer = userdata;
        int r = tracer->inner->read(tracer->inner->userdata, bytes, n, timeout_ms, ret_n);

        if (r == 0)
                add(tracer, true, bytes, *ret_n);
        return r;
}

static int trace_wait(void *userdata, unsigned ms) {
        Tracer *tracer = userdata;

        return tracer->inner->wait(tracer->inner->userdata, ms);
}

static int64_t trace_now(void *userdata) {
        Tracer *tracer = userdata;

        return tracer->inner->now_ms(tracer->inner->userdata);
}

Transport tracer_transport(Tracer *tracer) {
        return (Transport) { .userdata = tracer, .write = trace_write, .read = trace_read, .wait = trace_wait, .now_ms = trace_now };
}
