/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A glucose page and its ISIG page: sensor events, most of them without a time of their own. */

#include "paradigm.h"

enum {
        PARADIGM_CGM_EVENTS_MAX = PARADIGM_PAGE_SIZE - 2, /* one-byte events */
        PARADIGM_CGM_STEP_MS = 5 * 60 * 1000,             /* between two sensor packets */
};

typedef enum ParadigmCgmType {
        PARADIGM_CGM_DATA_END = 0x01,
        PARADIGM_CGM_WEAK_SIGNAL = 0x02,
        PARADIGM_CGM_SENSOR_CAL = 0x03,    /* detail: 0 meter BG now, 1 waiting, 2 error */
        PARADIGM_CGM_PACKET = 0x04,        /* detail: 2 init */
        PARADIGM_CGM_ERROR = 0x05,         /* detail: 1 end */
        PARADIGM_CGM_LOW = 0x06,           /* glucose below 40 mg/dL */
        PARADIGM_CGM_HIGH = 0x07,          /* above 400 */
        PARADIGM_CGM_TIMESTAMP = 0x08,     /* detail: 0 last RF, 1 page end, 2 gap */
        PARADIGM_CGM_BATTERY = 0x0a,
        PARADIGM_CGM_STATUS = 0x0b,        /* detail: 0 off, 1 on, 2 lost */
        PARADIGM_CGM_TIME_CHANGE = 0x0c,
        PARADIGM_CGM_SYNC = 0x0d,          /* detail: 0 resync, 1 new, 2 old, 3 find */
        PARADIGM_CGM_CALIBRATION = 0x0e,   /* number: mg/dL */
        PARADIGM_CGM_CAL_FACTOR = 0x0f,    /* number: thousandths */
        PARADIGM_CGM_SPECIAL = 0x10,
        PARADIGM_CGM_FILLER = 0x13,
        PARADIGM_CGM_GLUCOSE = 0x14,       /* this opcode and all above; number: mg/dL */
} ParadigmCgmType;

typedef struct ParadigmCgmEvent {
        uint8_t type;     /* ParadigmCgmType */
        uint8_t detail;
        uint8_t n;        /* bytes in the page */
        bool is_relative; /* counted in steps of five minutes */
        bool has_time;    /* a relative one has none where its page does not tell */
        bool has_isig;
        bool is_even;     /* the number's lowest bit is with the sensor currents, which are not there: it may be one more */
        uint16_t at;      /* of its opcode, in the page */
        uint16_t number;
        uint16_t isig_centi; /* hundredths of nA */
        int64_t local_ms; /* pump's wall clock */
} ParadigmCgmEvent;

typedef struct ParadigmCgm {
        const ParadigmCgmEvent *events; /* oldest first; the end of what is below */
        size_t n_events;
        size_t n_unread;  /* bytes, the oldest, behind something unknown or cut; 0: all was read */
        uint8_t unread_op;
        bool is_untimed;  /* the newest events have no time: the pump has not written a timestamp yet */
        ParadigmCgmEvent storage[PARADIGM_CGM_EVENTS_MAX];
} ParadigmCgm;

/**
 * paradigm_cgm_decode() - a whole page
 * @page: its checksum is not looked at
 * @isig: NULL when there is none: no currents, and from x23 on glucose without its lowest bit
 *
 * What can't be read is left out and counted; nothing is guessed.
 */
void paradigm_cgm_decode(const uint8_t page[static PARADIGM_PAGE_SIZE], const uint8_t *isig, const ParadigmModel *model, ParadigmCgm *ret);
