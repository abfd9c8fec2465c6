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

static const Type glucose = { 1, true, false };

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

static void read_isig(const uint8_t *isig, const ParadigmModel *model, ParadigmCgmEvent *event) {
        const uint8_t *slot = isig + (size_t) event->at * 2; /* the opcode's; other bytes of an event have a marker there (0022) */
        unsigned word = get_le16(slot);

        if (model->group == PARADIGM_X23) {
                if (event->type == PARADIGM_CGM_GLUCOSE)
                        event->number = (uint16_t) (event->number + (word & 1));
                word &= 0xfffe;
        }
        event->has_isig = true;
        event->isig_centi = (uint16_t) word;
}

/*
 * Relative events count back from the timestamp that is newer than they are. Those newer than the newest timestamp
 * count forward from it, unless it marks a gap: how long that lasted the page does not say.
 */
static void set_times(ParadigmCgm *cgm) {
        size_t n_before = 0, first = 0;
        int64_t t = 0;
        bool is_known;

        for (first = 0; first != cgm->n_events && cgm->events[first].type != PARADIGM_CGM_TIMESTAMP; first++)
                n_before += cgm->events[first].is_relative;
        is_known = first != cgm->n_events && (n_before == 0 || cgm->events[first].detail != TIMESTAMP_GAP);
        if (is_known)
                t = cgm->events[first].local_ms + (int64_t) n_before * PARADIGM_CGM_STEP_MS;
        cgm->is_untimed = n_before != 0 && !is_known;

        for (size_t i = 0; i != cgm->n_events; i++) {
                ParadigmCgmEvent *event = &cgm->events[i];

                if (event->type == PARADIGM_CGM_TIMESTAMP) {
                        t = event->local_ms;
                        is_known = true;
                } else if (event->is_relative) {
                        event->has_time = is_known;
                        event->local_ms = is_known ? t : 0;
                        t -= PARADIGM_CGM_STEP_MS;
                }
        }
}

void paradigm_cgm_decode(const uint8_t page[static PARADIGM_PAGE_SIZE], const uint8_t *isig, const ParadigmModel *model, ParadigmCgm *ret) {
        size_t left = END; /* bytes of the page that are not read yet: it is read from its end */

        assert(page);
        assert(model);

        ret->n_events = 0;
        ret->n_unread = 0;
        ret->unread_op = 0;
        while (left && page[left - 1] == 0)
                left--;

        while (left) {
                ParadigmCgmEvent *event = &ret->events[ret->n_events];
                uint8_t op = page[left - 1], bytes[RECORD_MAX];
                const Type *type = op >= PARADIGM_CGM_GLUCOSE ? &glucose : &types[op];

                *event = (ParadigmCgmEvent) { .type = op, .at = (uint16_t) (left - 1) };
                if (type == &glucose) {
                        event->type = PARADIGM_CGM_GLUCOSE;
                        event->number = (uint16_t) (2u * op);
                }
                if (type->n == 0 || type->n > left)
                        break;
                for (size_t i = 0; i != type->n; i++)
                        bytes[i] = page[left - 1 - i];
                if (!read_event(bytes, type, event))
                        break;
                if (isig && (type == &glucose || type->n == 2))
                        read_isig(isig, model, event);
                else if (type == &glucose && model->group == PARADIGM_X23)
                        event->number = 0;

                left -= type->n;
                ret->n_events++;
        }
        if (left) {
                ret->n_unread = left;
                ret->unread_op = page[left - 1];
        }

        set_times(ret);
        for (size_t i = 0; i != ret->n_events / 2; i++) {
                ParadigmCgmEvent event = ret->events[i];

                ret->events[i] = ret->events[ret->n_events - 1 - i];
                ret->events[ret->n_events - 1 - i] = event;
        }
}
