/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What comes from the daemon, before it is believed: bytes cut at a delimiter, then one JSON object a piece. The wire
 * format is in daemon/PROTOCOL.md. No I/O here.
 */

#include <jansson.h>

#include "daemon/common/util.h"

enum {
        MESSAGE_MAX = 1024 * 1024, /* bytes of a frame with its delimiter, and of a line of output */
        MESSAGE_DEPTH_MAX = 32,    /* objects and arrays within each other */

        MESSAGE_E_AGAIN = 1, /* no whole piece yet */
        MESSAGE_E_LIMIT,     /* longer than MESSAGE_MAX: nothing after it can be trusted */
        MESSAGE_E_FORMAT,    /* not what PROTOCOL.md promises */
};

/* Pieces of a stream of bytes. All zeros and a delimiter is a new one; splitter_done() wipes what it held. */
typedef struct Splitter {
        char *bytes;
        size_t n, n_allocated;
        size_t at;       /* up to here it was handed out */
        size_t searched; /* up to here there is no delimiter */
        uint64_t n_dropped; /* bytes of the stream before bytes[0] */
        char delimiter;
} Splitter;

void splitter_done(Splitter *splitter);

/** splitter_space() - where to put what is read next; -ENOMEM. Pieces handed out before are gone. */
must_check int splitter_space(Splitter *splitter, void **ret, size_t *ret_n);
/** splitter_filled() - @n bytes were put there */
void splitter_filled(Splitter *splitter, size_t n);
/** splitter_next() - @ret: borrowed, without its delimiter, not terminated. 0, MESSAGE_E_AGAIN, MESSAGE_E_LIMIT */
must_check int splitter_next(Splitter *splitter, const char **ret, size_t *ret_n);
/** splitter_position() - bytes of the stream that were handed out, delimiters included */
uint64_t splitter_position(const Splitter *splitter);
/** splitter_received() - bytes of the stream that were filled in */
uint64_t splitter_received(const Splitter *splitter);
/** splitter_rest() - what follows the last delimiter; borrowed */
size_t splitter_rest(const Splitter *splitter, const char **ret);

/**
 * message_parse() - one JSON object
 * @ret: new reference; every string in it is fit for a terminal: no control characters but line ends in the members
 *       "text" and "checkpoint"
 *
 * Return: 0; MESSAGE_E_FORMAT; -ENOMEM.
 */
must_check int message_parse(json_t **ret, const char *bytes, size_t n);

/* Members of an object with what stands for them when they are absent or of another type. Borrowed. */
const char *message_text(const json_t *object, const char *name, const char *otherwise);
int64_t message_int(const json_t *object, const char *name, int64_t otherwise);
bool message_bool(const json_t *object, const char *name);
