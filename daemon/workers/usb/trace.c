/* SPDX-License-Identifier: Apache-2.0 */

#include "trace.h"

#include "carelink-frame.h"

#include <stdio.h>

enum {
        TRANSFER_MAX = 4096, /* bytes; a stick's is 64, some programs log a whole frame as one */
        STICK_TRANSMIT = 0x01,
        STICK_DOWNLOAD = 0x0c,
        PACKET_MIN = 16,  /* bytes of a packet without parameters */
        MODE_SEVERAL = 2, /* of a question: the answer is several frames */
};

/* A text that is not terminated. */
typedef struct Text {
        const char *text;
        size_t n;
} Text;

typedef struct Line {
        Text trace, device, serials, direction, hex;
} Line;

typedef struct Trace {
        const TraceSink *sink;
        bool is_asked, is_broken, is_several;
        TraceAnswer answer;
        uint8_t bytes[TRACE_ANSWER_MAX];
        uint8_t frame[CARELINK_FRAME_MAX];
        size_t n_frame, n_expected; /* of a frame that is being downloaded */
} Trace;

static bool text_is(Text text, const char *other) {
        return text.n == strlen(other) && memcmp(text.text, other, text.n) == 0;
}

/* --- lines --- */

static void skip_blank(Text *rest) {
        while (rest->n && (*rest->text == ' ' || *rest->text == '\t' || *rest->text == '\r')) {
                rest->text++;
                rest->n--;
        }
}

static bool take(Text *rest, char c) {
        skip_blank(rest);
        if (!rest->n || *rest->text != c)
                return false;
        rest->text++;
        rest->n--;
        return true;
}

/* Without escapes: no member that means anything here needs one. */
static bool take_string(Text *rest, Text *ret) {
        size_t n = 0;

        if (!take(rest, '"'))
                return false;
        while (n != rest->n && rest->text[n] != '"' && rest->text[n] != '\\')
                n++;
        if (n == rest->n || rest->text[n] != '"')
                return false;
        *ret = (Text) { rest->text, n };
        rest->text += n + 1;
        rest->n -= n + 1;
        return true;
}

/* A string, or a number or a word. */
static bool take_value(Text *rest, Text *ret) {
        size_t n = 0;

        skip_blank(rest);
        if (rest->n && *rest->text == '"')
                return take_string(rest, ret);
        while (n != rest->n && ((rest->text[n] >= '0' && rest->text[n] <= '9') || (rest->text[n] >= 'a' && rest->text[n] <= 'z') ||
                                rest->text[n] == '-' || rest->text[n] == '.'))
                n++;
        *ret = (Text) { rest->text, n };
        rest->text += n;
        rest->n -= n;
        return n != 0;
}

static bool read_object(Text rest, Line *ret) {
        Line line = { 0 };
        Text key, value;

        if (!take(&rest, '{'))
                return false;
        do {
                if (!take_string(&rest, &key) || !take(&rest, ':') || !take_value(&rest, &value))
                        return false;
                if (text_is(key, "trace"))
                        line.trace = value;
                else if (text_is(key, "device"))
                        line.device = value;
                else if (text_is(key, "serials"))
                        line.serials = value;
                else if (text_is(key, "d"))
                        line.direction = value;
                else if (text_is(key, "hex"))
                        line.hex = value;
        } while (take(&rest, ','));
        if (!take(&rest, '}'))
                return false;
        skip_blank(&rest);
        *ret = line;
        return rest.n == 0;
}

static bool begins(Text text, const char *prefix) {
        return text.n >= strlen(prefix) && memcmp(text.text, prefix, strlen(prefix)) == 0;
}

/* One line of either form. */
static bool read_line(Text text, Line *ret) {
        if (begins(text, "out,"))
                *ret = (Line) { .direction = { "w", 1 }, .hex = { text.text + 4, text.n - 4 } };
        else if (begins(text, "in,"))
                *ret = (Line) { .direction = { "r", 1 }, .hex = { text.text + 3, text.n - 3 } };
        else
                return read_object(text, ret);
        return true;
}

static int digit_of(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static bool read_hex(Text hex, uint8_t ret[static TRANSFER_MAX], size_t *ret_n) {
        size_t n = 0;

        for (size_t i = 0; i != hex.n;) {
                if (hex.text[i] == ' ' || hex.text[i] == '\r') {
                        i++;
                        continue;
                }
                if (i + 1 == hex.n || n == TRANSFER_MAX || digit_of(hex.text[i]) < 0 || digit_of(hex.text[i + 1]) < 0)
                        return false;
                ret[n++] = (uint8_t) (digit_of(hex.text[i]) << 4 | digit_of(hex.text[i + 1]));
                i += 2;
        }
        *ret_n = n;
        return true;
}

static Text next_line(Text *rest) {
        const char *end = memchr(rest->text, '\n', rest->n);
        Text line = { rest->text, end ? (size_t) (end - rest->text) : rest->n };
        size_t n_taken = line.n + (end ? 1 : 0);

        rest->text += n_taken;
        rest->n -= n_taken;
        skip_blank(&line);
        return line;
}

bool trace_is(const char *text, size_t n_text) {
        Text rest = { text, n_text };
        Line line;

        while (rest.n) {
                Text first = next_line(&rest);

                if (first.n)
                        return read_line(first, &line) && (line.trace.n || line.direction.n);
        }
        return false;
}

/* --- questions and answers --- */

static int emit(Trace *t, bool is_whole) {
        if (!t->is_asked)
                return 0;
        t->is_asked = false;
        t->answer.is_whole = is_whole && !t->is_broken;
        t->answer.bytes = t->bytes;
        return t->sink->answer(t->sink->userdata, &t->answer);
}

/* Two digits a byte; false where one of them is none. */
static bool read_serial(const uint8_t bytes[static 3], char ret[static PARADIGM_SERIAL_SIZE]) {
        (void) snprintf(ret, PARADIGM_SERIAL_SIZE, "%02x%02x%02x", bytes[0], bytes[1], bytes[2]);
        return strspn(ret, "0123456789") == PARADIGM_SERIAL_SIZE - 1;
}

/* A packet for a pump: stick's opcode, address, parameters and the pump's opcode, each part with its checksum. */
static int on_packet(Trace *t, const uint8_t *bytes, size_t n) {
        size_t n_parameters = ((size_t) (bytes[7] & 0x7f) << 8) | bytes[8];
        int r = emit(t, false);

        if (r || bytes[2] != 0xa7 || paradigm_crc8(bytes, 14) != bytes[14] || n < PACKET_MIN - 1 + n_parameters)
                return r;
        t->answer = (TraceAnswer) { .opcode = bytes[13] };
        t->is_asked = read_serial(bytes + 4, t->answer.serial);
        t->is_broken = false;
        t->is_several = bytes[11] == MODE_SEVERAL;
        for (size_t i = 0; i != n_parameters && i != 4; i++)
                t->answer.parameter = t->answer.parameter << 8 | bytes[15 + i];
        return 0;
}

static int on_write(Trace *t, const uint8_t *bytes, size_t n) {
        t->n_expected = 0;
        t->n_frame = 0;
        if (n >= 4 && bytes[0] == STICK_DOWNLOAD) {
                t->n_expected = paradigm_be16(bytes + 2);
                if (t->n_expected > sizeof(t->frame)) {
                        t->n_expected = 0;
                        t->is_broken = true;
                }
        } else if (n >= PACKET_MIN - 1 && bytes[0] == STICK_TRANSMIT) {
                return on_packet(t, bytes, n);
        }
        return 0;
}

static int on_frame(Trace *t, size_t n) {
        CarelinkFrame frame;
        char serial[PARADIGM_SERIAL_SIZE];

        if (!t->is_asked)
                return 0;
        if (carelink_frame_read(t->frame, n, &frame) != 0 || frame.kind == CARELINK_FRAME_TIMEOUT) {
                t->is_broken = true;
                return 0;
        }
        if (!read_serial(frame.serial, serial) || strcmp(serial, t->answer.serial) != 0)
                return 0; /* another pump's */
        if (frame.kind == CARELINK_FRAME_NAK) {
                t->answer.is_refused = true;
                t->answer.n = 0;
                return emit(t, true);
        }
        if (frame.n_body > sizeof(t->bytes) - t->answer.n) {
                t->is_broken = true;
                return 0;
        }
        memcpy(t->bytes + t->answer.n, frame.body, frame.n_body);
        t->answer.n += frame.n_body;
        return frame.is_end || !t->is_several ? emit(t, true) : 0;
}

static int on_read(Trace *t, const uint8_t *bytes, size_t n) {
        size_t n_taken = n < t->n_expected - t->n_frame ? n : t->n_expected - t->n_frame;

        memcpy(t->frame + t->n_frame, bytes, n_taken);
        t->n_frame += n_taken;
        if (t->n_frame != t->n_expected)
                return 0;
        n_taken = t->n_frame;
        t->n_expected = 0;
        t->n_frame = 0;
        return n_taken ? on_frame(t, n_taken) : 0;
}

int trace_read(const char *text, size_t n_text, const TraceSink *sink, bool *ret_is_replaced) {
        static uint8_t bytes[TRANSFER_MAX];
        Trace t = { .sink = sink };
        Text rest = { text, n_text };
        bool is_replaced = false;
        int r = 0;

        for (unsigned number = 1; rest.n && r == 0; number++) {
                Text line = next_line(&rest);
                bool is_read;
                Line read;
                size_t n;

                if (line.n == 0)
                        continue;
                is_read = read_line(line, &read);
                if (is_read && read.trace.n) {
                        if (!text_is(read.trace, "1"))
                                return TRACE_E_VERSION;
                        if (!text_is(read.device, "carelink-stick"))
                                return TRACE_E_DEVICE;
                        is_replaced = text_is(read.serials, "replaced");
                        continue;
                }
                if (!is_read || !(text_is(read.direction, "w") || text_is(read.direction, "r")) || !read_hex(read.hex, bytes, &n))
                        r = sink->bad_line(sink->userdata, number, line.text, line.n);
                else if (read.direction.text[0] == 'w')
                        r = on_write(&t, bytes, n);
                else
                        r = on_read(&t, bytes, n);
        }
        if (r == 0)
                r = emit(&t, false);
        *ret_is_replaced = is_replaced;
        explicit_bzero(&t, sizeof(t));
        explicit_bzero(bytes, sizeof(bytes));
        return r;
}
