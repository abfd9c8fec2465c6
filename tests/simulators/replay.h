/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The captured traffic of a real stick and pump as a script: to what the host wrote then, the same bytes are answered.
 *
 * A packet for the pump is looked for in the whole script, and the first one there is is taken, so that a page that is asked
 * for again comes again. The polls and downloads that follow are answered by those that followed it then, in their order
 * and up to the next packet: how many radio packets a frame had is as it was.
 */

#include "daemon/common/util.h"

enum {
        REPLAY_SIZE_MAX = 128 * 1024, /* bytes of a script; three captures have 95,000 */
};

typedef struct Replay {
        const uint8_t *transfers; /* borrowed: one behind the other, each 'w' or 'r', u16 length, the bytes */
        size_t n;                 /* bytes; 0: there is no script */
        size_t at;                /* behind the packet that the pump was asked with, and what was taken since */
        bool is_begun;
        unsigned n_answers;       /* writes that were answered from the script */
} Replay;

/** replay_read() - add the lines of a capture, {"d": "w", "n": 3, "hex": "040000"}; the bytes in @ret then, 0 when a line is none */
size_t replay_read(const char *text, size_t n_text, uint8_t *ret, size_t n_before);
/** replay_begin() - a packet for the pump; false when the capture has none like it */
bool replay_begin(Replay *replay, const uint8_t *packet, size_t n);
void replay_end(Replay *replay);
/** replay_answer() - what was read after this write; false when the capture does not say */
bool replay_answer(Replay *replay, const uint8_t *written, size_t n, uint8_t *ret, size_t n_ret, size_t *ret_n);
