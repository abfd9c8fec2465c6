/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A Contour Next Link meter with a Paradigm pump behind it, report by report, in the test's own process and time: as public
 * descriptions have them (contour-next-link.h says how far they are proven), strictly, with faults on demand.
 */

#include "daemon/workers/usb/transport.h"

enum {
        METER_PAGES_MAX = 36,
        METER_QUEUE = 64,
        METER_REFUSED_MAX = 64,
};

typedef enum MeterFault {
        METER_NONE,
        METER_UNPLUG,  /* from this transfer on */
        METER_STALL,   /* this transfer */
        METER_SILENCE, /* the meter loses this report */
        METER_SHORT,   /* this transfer is cut to half */
        METER_FLIP,    /* a bit of this transfer is wrong */
        METER_CANCEL,  /* the patient presses Ctrl-C */
        METER_STALE,   /* a report of an earlier session comes first */
        METER_NAK,     /* the meter has a reason why nothing came from the pump */
} MeterFault;

typedef struct Meter {
        /* what it is */
        char serial[7], model[4];
        const uint8_t *pages[METER_PAGES_MAX]; /* 1024 bytes each, newest first */
        size_t n_pages;
        const uint8_t *glucose[METER_PAGES_MAX], *isig[METER_PAGES_MAX]; /* newest first */
        size_t n_glucose;
        uint32_t newest_glucose;
        bool is_deaf;          /* no pump in reach */
        bool has_bad_sums;     /* of the envelopes of glucose pages */
        int bad_page;          /* this history page always comes with a wrong checksum; -1 none */
        /* what goes wrong: at the how-manieth transfer, and then again every so many */
        MeterFault fault;
        unsigned fault_at, fault_every;

        /* what it is doing */
        int64_t now_ms, cancelled_at_ms;
        unsigned n_transfers, n_pages_sent, n_commands[256];
        unsigned step;         /* into remote mode; 6: there */
        bool is_open;          /* the pump */
        bool is_gone, is_cancelled, is_listening; /* listening: the second report of a question must come */
        uint8_t question[128];
        size_t n_question;
        uint8_t queue[METER_QUEUE][64]; /* to the host */
        size_t n_queue, n_taken;
        uint8_t refused[METER_REFUSED_MAX]; /* opcodes that no reader should send */
        size_t n_refused;
} Meter;

void meter_init(Meter *meter, const char *serial, const char *model);
Transport meter_transport(Meter *meter);
