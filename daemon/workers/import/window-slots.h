/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside the window: window.c holds, joins and gives out rows, window-merge.c makes one record of the parts of an event. */

#include "window.h"

enum {
        N_BUCKETS = 4096,
        PAYLOAD_INLINE = 224,       /* bytes; nearly all payloads fit */
        PAYLOAD_HEAP_MAX = 1 << 20, /* bytes of longer ones held at once */
        CANDIDATES_MAX = 256,       /* rows with one join key that are looked at */
        N_SEEN = 1 << 15,           /* remembered notes and bare rows: ten years have about 20,000 */
        NOWHERE = -1,
};

typedef enum SlotState {
        SLOT_WAITING,
        SLOT_PART, /* belongs to the slot in anchor */
        SLOT_DONE,
} SlotState;

/* A list through the slots of one bucket. */
typedef struct Link {
        int16_t next, previous;
} Link;

typedef struct Slot {
        Record record; /* its payload is below */
        uint64_t offset;
        uint32_t line, section, join, duration_s, hash;
        int64_t oldest_ms, newest_ms;
        uint16_t epoch;
        uint8_t device[IDENTITY_DEVICE_SIZE];
        uint8_t discriminator[IDENTITY_DISCRIMINATOR_SIZE];
        uint8_t role, state;
        bool is_extra, is_part_only;
        int16_t anchor, first_part, next_part;
        Link group, joined;
        uint16_t n_payload;
        uint8_t *heap;
        uint8_t bytes[PAYLOAD_INLINE];
} Slot;

/* A record that was given out, by a hash of all that it says. */
typedef struct Seen {
        uint64_t hash;
        uint32_t line;
} Seen;

struct Window {
        const Reader *reader;
        const ImportSink *sink;
        FrameImportEnd *end;
        unsigned first, n; /* ring */
        size_t n_heap;
        Slot slots[IMPORT_WINDOW];
        int16_t groups[N_BUCKETS], joins[N_BUCKETS];
        int16_t members[IMPORT_WINDOW];
        Seen seen[N_SEEN];
        unsigned n_seen;
        Draft draft;
        Payload payload;
        char extra[RECORD_TEXT_MAX], words[RECORD_TEXT_MAX];
        char row[1024];
};

static inline const uint8_t *window_slot_payload(const Slot *slot) {
        return slot->heap ? slot->heap : slot->bytes;
}

/** window_slot_release() - wipe and free a payload that did not fit inside the slot */
void window_slot_release(Window *window, Slot *slot);
/** window_slot_set() - a copy of the payload becomes the slot's. Return: 0; -ENOMEM. */
must_check int window_slot_set(Window *window, Slot *slot, const Payload *payload);

/**
 * window_merge() - rebuild the payload of a slot that has parts
 *
 * The order of the parts in the file makes no difference. What no longer fits into a record is left out of it; the row
 * is counted as merged all the same. Return: 0; -ENOMEM.
 */
must_check int window_merge(Window *window, Slot *anchor);
