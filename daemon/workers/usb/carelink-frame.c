/* SPDX-License-Identifier: Apache-2.0 */

#include "carelink-frame.h"

int carelink_frame_read(const uint8_t *bytes, size_t n, CarelinkFrame *ret) {
        CarelinkFrame frame;

        if (n <= CARELINK_FRAME_OVERHEAD || n > CARELINK_FRAME_MAX || bytes[0] != 0x02 || paradigm_crc8(bytes, 12) != bytes[12])
                return CARELINK_FRAME_E_GARBLED;
        frame = (CarelinkFrame) {
                .kind = bytes[2], .is_end = bytes[5] & 0x80, .serial = bytes + 9, .body = bytes + CARELINK_FRAME_HEADER,
                .n_body = ((size_t) (bytes[5] & 0x7f) << 8) | bytes[6],
        };
        if (frame.n_body + CARELINK_FRAME_OVERHEAD != n || paradigm_crc8(frame.body, frame.n_body) != frame.body[frame.n_body])
                return CARELINK_FRAME_E_GARBLED;
        *ret = frame;
        return 0;
}
