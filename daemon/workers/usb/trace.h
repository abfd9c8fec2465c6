/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A transcript of a session with a pump (daemon/FORMAT.md, "trace"), read back: which question got which answer. What the
 * other end was asked does not matter: transcripts of other programs hold questions that this one never asks.
 */

#include "paradigm.h"

enum {
        TRACE_ANSWER_MAX = PARADIGM_ISIG_PAGE_SIZE,

        TRACE_E_VERSION = 1, /* of a later version */
        TRACE_E_DEVICE,      /* of a device that we don't know */
};

typedef struct TraceAnswer {
        char serial[PARADIGM_SERIAL_SIZE]; /* of the pump that was asked */
        uint8_t opcode;
        uint32_t parameter;   /* of the question, big-endian: a page's number; 0 when there is none */
        const uint8_t *bytes; /* borrowed for the call */
        size_t n;
        bool is_whole;        /* else the session went on before, or a frame of it was damaged */
        bool is_refused;      /* the pump said no: n is 0 */
} TraceAnswer;

typedef struct TraceSink {
        void *userdata;
        /* each returns 0, or negative errno, which ends the reading and is passed up */
        int (*answer)(void *userdata, const TraceAnswer *answer);
        int (*bad_line)(void *userdata, unsigned line, const char *text, size_t n_text);
} TraceSink;

/** trace_is() - whether a text begins as a transcript does */
bool trace_is(const char *text, size_t n_text);
/**
 * trace_read() - a whole transcript
 * @ret_is_replaced: it says that its serial numbers are not the real ones
 *
 * Return: 0; TRACE_E_VERSION; TRACE_E_DEVICE; what the sink returned.
 */
must_check int trace_read(const char *text, size_t n_text, const TraceSink *sink, bool *ret_is_replaced);
