/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The gate: HTTPS on one side, frames of the core on the other, one thread, one loop. It knows no wallet: it checks the
 * syntax of what providers send (request.h), hands over a fixed frame and passes on what the core answers.
 */

#include "address.h"
#include "daemon/common/frame.h"

enum {
        GATE_CONNECTIONS_MAX = 64,
        GATE_CONNECTIONS_PER_PEER = 16,
        /* Behind a reverse proxy, an onion service or a tunnel every provider has this machine's address. Still not all:
         * one local program can't keep out who comes from elsewhere. */
        GATE_CONNECTIONS_LOOPBACK = 48,
        GATE_CONNECTION_MEMORY = 32768, /* bytes: libmicrohttpd's for headers, then for a chunk */
        GATE_SEND_BUFFER = 32768,       /* bytes; the kernel doubles it. What it holds is dropped by a reset. */
        GATE_GRANTS_PER_CONNECTION = 8, /* remembered; a connection with more is reset with any grant */
        GATE_UNSENT_MAX = 512 * 1024,   /* bytes for the core that it does not take; then requests are answered 503 */

        GATE_HANDSHAKE_MS = 10000,        /* from accept to the end of the TLS handshake */
        GATE_REQUEST_MS = 15000,          /* from then, or from the last answer, to the end of a request's body */
        GATE_CORE_MS = 60000,             /* for the core to begin an answer */
        GATE_STALL_MS = 300000,           /* of an answer that the client does not take; a slow one moves in steps of minutes */
        GATE_ANSWER_MS = 3600000,         /* of an answer in all: 1 kB/s is legal */
        GATE_STRANGERS_MS = 60000,        /* between two FRAME_GATE_STRANGERS */
        GATE_SPIN_MS = 10,                /* see gate.c, "spin" */

        GATE_ERROR_SIZE = 256,

        GATE_E_LISTEN = 1, /* it can't listen there, or not with this key: the text says why */
};

typedef struct Gate Gate;

/**
 * gate_new() - bind, listen, load the key; nothing is accepted yet. Everything that needs files happens here.
 * @listen:    numeric host:port, port 0 for any
 * @ret_error: for FRAME_GATE_FAILED; set with GATE_E_LISTEN
 *
 * There can be one in a process. Its memory and sockets end with the process.
 */
must_check int gate_new(Gate **ret, const char *listen, const char *key_pem, const char *certificate_pem,
                        char ret_error[static GATE_ERROR_SIZE]);

/**
 * gate_run() - say READY and serve
 * @in:     what was read from @in_fd already
 * @in_fd:  frames of the core; its end is the gate's
 * @out_fd: frames to the core; is made non-blocking
 *
 * Return: 0 at the end of @in_fd; -EPROTO when the core sends what it must not; negative errno.
 */
must_check int gate_run(Gate *gate, FrameBuffer *in, int in_fd, int out_fd);
