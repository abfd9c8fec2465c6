/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the stick's radio received from a pump: a header, a body, a checksum behind each. Shared by driver and transcripts. */

#include "paradigm.h"

enum {
        CARELINK_FRAME_HEADER = 13,
        CARELINK_FRAME_OVERHEAD = 14, /* and the checksum behind the body */
        CARELINK_FRAME_MAX = 64 * 16 + CARELINK_FRAME_OVERHEAD,

        CARELINK_FRAME_NAK = 0x02, /* kinds; the body of this one is the reason */
        CARELINK_FRAME_PART = 0x04, /* of a long answer */
        CARELINK_FRAME_TIMEOUT = 0x05,

        CARELINK_FRAME_E_GARBLED = 1, /* cut, too long, or a checksum is wrong */
};

typedef struct CarelinkFrame {
        uint8_t kind;
        bool is_end; /* of an answer of several frames */
        const uint8_t *serial; /* of the pump, three bytes, two digits each; this and the body are borrowed */
        const uint8_t *body;
        size_t n_body; /* 1.. */
} CarelinkFrame;

/** carelink_frame_read() - Return: 0; CARELINK_FRAME_E_GARBLED */
must_check int carelink_frame_read(const uint8_t *bytes, size_t n, CarelinkFrame *ret);
