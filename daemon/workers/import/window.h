/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The last rows, held until it is known what belongs together: rows that are parts of one event become one record, and
 * records that are equal in kind, moment and discriminator get ordinals by their content, not by their order in the
 * file. So two exports that share an event give it the same identity and payload.
 */

#include "draft.h"
#include "identity.h"
#include "import.h"

typedef struct Window Window;

/* Where and when a draft is: what the row says besides its columns. */
typedef struct WindowPlace {
        uint32_t line;
        uint64_t offset;   /* of the row in the file */
        int64_t local_ms, utc_ms;
        int16_t offset_min;
        uint8_t clock;
        uint8_t flags;     /* RECORD_FIRST_PASS, RECORD_SECOND_PASS */
        uint16_t epoch;
        uint32_t source;
        uint32_t section;  /* parts of one event are in one section */
        const uint8_t *device; /* IDENTITY_DEVICE_SIZE bytes */
        int64_t oldest_ms; /* of the section: what a meter sent shortly before may be in an earlier export */
        int64_t newest_ms; /* of the section: what was selected shortly before may be delivered in a later export */
} WindowPlace;

must_check int window_new(Window **ret, const Reader *reader, const ImportSink *sink, FrameImportEnd *end);
Window *window_free(Window *window);
DEFINE_CLEANUP(Window *, window_free)

/** window_reject() - count and report a row that becomes nothing; negative errno of the sink */
must_check int window_reject(Window *window, uint32_t line, uint64_t offset, const char *reason);
/** window_push() - a row; may give out older ones. Negative errno: of the sink, -ENOMEM. */
must_check int window_push(Window *window, const WindowPlace *place, Drafts *drafts);
/** window_flush() - give out all that is held */
must_check int window_flush(Window *window);
