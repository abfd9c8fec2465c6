/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A CareLink stick with a Paradigm pump behind it, byte by byte, in the test's own process and time: as the captured
 * traffic of a real one shows them, with faults on demand. Speaks only what the specification has, strictly: a frame
 * with a wrong checksum, length or serial gets no answer from the pump.
 */

#include "daemon/workers/usb/transport.h"

#include "replay.h"

enum {
        SIM_PAGES_MAX = 36,
        SIM_QUEUE = 4096,
        SIM_REFUSED_MAX = 64,
};

typedef enum SimFault {
        SIM_NONE,
        SIM_UNPLUG,     /* from this transfer on */
        SIM_STALL,      /* this transfer */
        SIM_SILENCE,    /* the stick loses this answer */
        SIM_SHORT,      /* this transfer is cut to half; the rest is lost */
        SIM_FLIP,       /* a bit of this transfer is wrong */
        SIM_NAK,        /* the stick says no to this command */
        SIM_CANCEL,     /* the patient presses Ctrl-C */
        SIM_STALE,      /* sixty-four bytes of an earlier session come first */
} SimFault;

typedef struct Sim {
        /* what it is */
        char serial[7], model[4];
        const uint8_t *pages[SIM_PAGES_MAX]; /* 1024 bytes each, newest first */
        size_t n_pages;
        const uint8_t *glucose[SIM_PAGES_MAX], *isig[SIM_PAGES_MAX]; /* newest first */
        size_t n_glucose;
        uint32_t newest_glucose;
        bool is_asleep, is_worldwide, is_deaf; /* deaf: no pump in reach */
        bool is_mute_when_cancelled;           /* the stick says nothing any more then */
        unsigned merge;                        /* radio packets in a frame: 1 to 3 */
        int bad_page;                          /* this history page always comes with a wrong checksum; -1 none */
        int refused_page;                      /* this history page, and those behind it, are refused with refusal; -1 none */
        uint8_t refusal;
        int64_t sleeps_after_ms;               /* of having been woken; 0: never */
        Replay replay;                         /* what it has captured is answered as captured, all else as simulated */
        /* what goes wrong: at the how-manieth transfer, and then again every so many */
        SimFault fault;
        unsigned fault_at, fault_every;

        /* what it is doing */
        int64_t now_ms, awake_at_ms, woken_ms, cancelled_at_ms;
        unsigned n_transfers, n_pages_sent, n_commands[256];
        bool is_gone, is_cancelled, is_radio_on;
        uint8_t queue[SIM_QUEUE]; /* to the host */
        size_t n_queue, n_taken;
        uint8_t radio[4096];      /* body that the pump still sends */
        size_t n_radio, n_sent;
        bool is_nak;
        uint8_t last[64];         /* answers leave their traces in the next */
        uint8_t refused[SIM_REFUSED_MAX]; /* opcodes that no reader should send */
        size_t n_refused;
} Sim;

void sim_init(Sim *sim, const char *serial, const char *model);
Transport sim_transport(Sim *sim);
