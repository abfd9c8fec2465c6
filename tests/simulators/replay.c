/* SPDX-License-Identifier: Apache-2.0 */

#include "replay.h"

#include <string.h>

enum {
        HEAD = 3, /* of a transfer */
        PACKET_TO_PUMP = 0x01,
        LINK = 0x03,
        DOWNLOAD = 0x0c,
};

typedef struct Transfer {
        bool is_write;
        const uint8_t *bytes;
        size_t n, next;
} Transfer;

static int digit(char c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

size_t replay_read(const char *text, size_t n_text, uint8_t *ret, size_t n_before) {
        static const char begin[] = "{\"d\": \"", hex[] = "\"hex\": \"";
        size_t n = n_before;

        for (const char *line = text, *end; line != text + n_text; line = end + 1) {
                const char *bytes;
                size_t n_bytes = 0;

                end = memchr(line, '\n', (size_t) (text + n_text - line));
                if (!end)
                        return 0;
                bytes = memmem(line, (size_t) (end - line), hex, sizeof(hex) - 1);
                if (!bytes || memcmp(line, begin, sizeof(begin) - 1) != 0 || n + HEAD + (size_t) (end - line) / 2 > REPLAY_SIZE_MAX)
                        return 0;
                for (bytes += sizeof(hex) - 1; digit(bytes[0]) >= 0 && digit(bytes[1]) >= 0; bytes += 2)
                        ret[n + HEAD + n_bytes++] = (uint8_t) (digit(bytes[0]) << 4 | digit(bytes[1]));
                ret[n] = (uint8_t) line[sizeof(begin) - 1];
                put_le16(ret + n + 1, (uint16_t) n_bytes);
                n += HEAD + n_bytes;
        }
        return n;
}

static bool next(const Replay *replay, size_t at, Transfer *ret) {
        const uint8_t *head = replay->transfers + at;

        if (at >= replay->n)
                return false;
        *ret = (Transfer) { .is_write = head[0] == 'w', .bytes = head + HEAD, .n = get_le16(head + 1) };
        ret->next = at + HEAD + ret->n;
        return true;
}

static bool is_packet(const Transfer *t) {
        return t->is_write && t->bytes[0] == PACKET_TO_PUMP;
}

/* Where this write is, from @at on; up to the next packet for the pump unless it is one. */
static bool find(const Replay *replay, size_t at, const uint8_t *written, size_t n, bool is_everywhere, size_t *ret_at) {
        for (Transfer t; next(replay, at, &t); at = t.next) {
                if (t.is_write && t.n == n && memcmp(t.bytes, written, n) == 0) {
                        *ret_at = at;
                        return true;
                }
                if (!is_everywhere && is_packet(&t))
                        return false;
        }
        return false;
}

bool replay_begin(Replay *replay, const uint8_t *packet, size_t n) {
        replay->is_begun = find(replay, 0, packet, n, true, &replay->at);
        return replay->is_begun;
}

void replay_end(Replay *replay) {
        replay->is_begun = false;
}

bool replay_answer(Replay *replay, const uint8_t *written, size_t n, uint8_t *ret, size_t n_ret, size_t *ret_n) {
        bool is_of_radio = written[0] == LINK || written[0] == DOWNLOAD;
        size_t at = replay->at;
        Transfer t;

        if (is_of_radio && !replay->is_begun)
                return false;
        if (written[0] != PACKET_TO_PUMP && !find(replay, is_of_radio ? replay->at : 0, written, n, !is_of_radio, &at))
                return false;
        if (!next(replay, at, &t))
                return false;
        *ret_n = 0;
        for (at = t.next; next(replay, at, &t) && !t.is_write && *ret_n + t.n <= n_ret; at = t.next) {
                memcpy(ret + *ret_n, t.bytes, t.n);
                *ret_n += t.n;
        }
        if (is_of_radio || written[0] == PACKET_TO_PUMP)
                replay->at = at;
        replay->n_answers++;
        return true;
}
