/* SPDX-License-Identifier: Apache-2.0 */

#include "paradigm-cgm.h"

#include <string.h>

enum {
        END = PARADIGM_PAGE_SIZE - 2,
        RECORD_MAX = 8,

        TIMESTAMP_GAP = 2,
};

typedef struct Type {
        uint8_t n; /* bytes; 0: not known */
        bool is_relative, has_own_time;
} Type;

/* PARADIGM_CGM_LOW is published as one byte; in real pages it has a second, as PARADIGM_CGM_HIGH: 11, 12 or 13. */
static const Type types[PARADIGM_CGM_GLUCOSE] = {
        [PARADIGM_CGM_DATA_END] = { 1, false, false },
        [PARADIGM_CGM_WEAK_SIGNAL] = { 1, true, false },
        [PARADIGM_CGM_SENSOR_CAL] = { 2, true, false },
        [PARADIGM_CGM_PACKET] = { 2, true, false },
        [PARADIGM_CGM_ERROR] = { 2, true, false },
        [PARADIGM_CGM_LOW] = { 2, true, false },
        [PARADIGM_CGM_HIGH] = { 2, true, false },
        [PARADIGM_CGM_TIMESTAMP] = { 5, false, true },
        [PARADIGM_CGM_BATTERY] = { 5, false, true },
        [PARADIGM_CGM_STATUS] = { 5, false, true },
        [PARADIGM_CGM_TIME_CHANGE] = { 5, false, true },
        [PARADIGM_CGM_SYNC] = { 5, false, true },
        [PARADIGM_CGM_CALIBRATION] = { 6, false, true },
        [PARADIGM_CGM_CAL_FACTOR] = { 7, false, true },
        [PARADIGM_CGM_SPECIAL] = { 8, false, true },
        [PARADIGM_CGM_FILLER] = { 1, false, false },
};

/* What the bytes after the opcode say. */
static bool read_event(const uint8_t *b, const Type *type, ParadigmCgmEvent *event) {
        event->n = type->n;
        event->is_relative = type->is_relative;
        if (type->has_own_time) {
                event->has_time = paradigm_time4(b + 1, &event->local_ms);
                if (!event->has_time)
                        return false;
                event->detail = b[3] >> 5 & 3;
        } else if (type->n == 2) {
                event->detail = b[1];
        }

        if (event->type == PARADIGM_CGM_CALIBRATION)
                event->number = (uint16_t) ((b[3] & 0x20u) << 3 | b[5]);
        else if (event->type == PARADIGM_CGM_CAL_FACTOR)
                event->number = (uint16_t) paradigm_be16(b + 5);
        return true;
}

static void read_isig(const uint8_t *isig, bool is_large, ParadigmCgmEvent *event) {
        const uint8_t *slot = isig + (size_t) event->at * 2; /* the opcode's; other bytes of an event have a marker there (0022) */
        unsigned word = get_le16(slot);

        if (is_large) {
                if (event->type == PARADIGM_CGM_GLUCOSE)
                        event->number = (uint16_t) (event->number + (word & 1));
                word &= 0xfffe;
        }
        event->has_isig = true;
        event->isig_centi = (uint16_t) word;
}

/*
 * Relative events count back from the timestamp that is newer than they are. Those newer than the newest timestamp
 * count forward from it, unless it marks a gap: how long that lasted the page does not say. Newest first: @end is behind
 * the newest.
 */
static void set_times(ParadigmCgm *cgm, ParadigmCgmEvent *end) {
        ParadigmCgmEvent *oldest = end - cgm->n_events, *stamp = end;
        size_t n_before = 0;
        int64_t t = 0;
        bool is_known;

        while (stamp != oldest && stamp[-1].type != PARADIGM_CGM_TIMESTAMP)
                n_before += (--stamp)->is_relative;
        is_known = stamp != oldest && (n_before == 0 || stamp[-1].detail != TIMESTAMP_GAP);
        if (is_known)
                t = stamp[-1].local_ms + (int64_t) n_before * PARADIGM_CGM_STEP_MS;
        cgm->is_untimed = n_before != 0 && !is_known;

        for (ParadigmCgmEvent *event = end; event-- != oldest;) {
                if (event->is_relative) {
                        event->has_time = is_known;
                        event->local_ms = is_known ? t : 0;
                        t -= PARADIGM_CGM_STEP_MS;
                } else if (event->type == PARADIGM_CGM_TIMESTAMP) {
                        t = event->local_ms;
                        is_known = true;
                }
        }
}

/* One event whose opcode is the last of @left bytes: how many it has; 0 when it is not known, cut, or has no valid time. */
static size_t read_any(const uint8_t *page, size_t left, ParadigmCgmEvent *event) {
        uint8_t op = page[left - 1], bytes[RECORD_MAX];
        const Type *type = &types[op];

        if (type->n == 0 || type->n > left)
                return 0;
        for (size_t i = 0; i != type->n; i++)
                bytes[i] = page[left - 1 - i];
        event->type = op;
        return read_event(bytes, type, event) ? type->n : 0;
}

void paradigm_cgm_decode(const uint8_t page[static PARADIGM_PAGE_SIZE], const uint8_t *isig, const ParadigmModel *model, ParadigmCgm *ret) {
        ParadigmCgmEvent *end = ret->storage + PARADIGM_CGM_EVENTS_MAX, *event = end;
        bool is_large = model->group == PARADIGM_X23;
        size_t left = END; /* bytes of the page that are not read yet: it is read from its end */

        assert(page);

        while (left && page[left - 1] == 0)
                left--;
        while (left) {
                uint8_t op = page[left - 1];
                size_t n = 1;

                event--; /* the newest is read first, and comes last */
                *event = (ParadigmCgmEvent) { .type = PARADIGM_CGM_GLUCOSE, .n = 1, .is_relative = true, .at = (uint16_t) (left - 1), .number = (uint16_t) (2u * op) };
                if (op < PARADIGM_CGM_GLUCOSE) {
                        *event = (ParadigmCgmEvent) { .at = (uint16_t) (left - 1) };
                        n = read_any(page, left, event);
                        if (n == 0) {
                                event++;
                                break;
                        }
                }
                if (isig && n <= 2 && event->is_relative && event->type != PARADIGM_CGM_WEAK_SIGNAL)
                        read_isig(isig, is_large, event);
                else
                        event->is_even = is_large && op >= PARADIGM_CGM_GLUCOSE;
                left -= n;
        }
        ret->events = event;
        ret->n_events = (size_t) (end - event);
        ret->n_unread = left;
        ret->unread_op = left ? page[left - 1] : 0;
        set_times(ret, end);
}
