/* SPDX-License-Identifier: Apache-2.0 */

#include "window-slots.h"

int window_new(Window **ret, const Reader *reader, const ImportSink *sink, FrameImportEnd *end) {
        Window *w = calloc(1, sizeof(*w));

        if (!w)
                return -ENOMEM;
        w->reader = reader;
        w->sink = sink;
        w->end = end;
        memset(w->groups, 0xff, sizeof(w->groups));
        memset(w->joins, 0xff, sizeof(w->joins));
        *ret = w;
        return 0;
}

Window *window_free(Window *w) {
        if (w) {
                for (unsigned i = 0; i != IMPORT_WINDOW; i++)
                        window_slot_release(w, &w->slots[i]);
                explicit_bzero(w, sizeof(*w));
                free(w);
        }
        return NULL;
}

int window_reject(Window *w, uint32_t line, uint64_t offset, const char *reason) {
        size_t n = reader_peek(w->reader, offset, w->row, sizeof(w->row));

        w->end->n_rejected++;
        return w->sink->rejected(w->sink->userdata, line, reason, w->row, n);
}

/* --- lists --- */

static Link *link_of(Slot *slot, bool is_join) {
        return is_join ? &slot->joined : &slot->group;
}

static int16_t *bucket_of(Window *w, const Slot *slot, bool is_join) {
        return is_join ? &w->joins[slot->join % N_BUCKETS] : &w->groups[slot->hash % N_BUCKETS];
}

static void link_add(Window *w, Slot *slot, bool is_join) {
        int16_t *bucket = bucket_of(w, slot, is_join), at = (int16_t) (slot - w->slots);

        *link_of(slot, is_join) = (Link) { *bucket, NOWHERE };
        if (*bucket != NOWHERE)
                link_of(&w->slots[*bucket], is_join)->previous = at;
        *bucket = at;
}

static void link_remove(Window *w, Slot *slot, bool is_join) {
        Link *link = link_of(slot, is_join);

        if (link->previous != NOWHERE)
                link_of(&w->slots[link->previous], is_join)->next = link->next;
        else
                *bucket_of(w, slot, is_join) = link->next;
        if (link->next != NOWHERE)
                link_of(&w->slots[link->next], is_join)->previous = link->previous;
}

static bool same_group(const Slot *a, const Slot *b) {
        return a->hash == b->hash && a->record.kind == b->record.kind && a->record.local_ms == b->record.local_ms &&
               a->epoch == b->epoch && memcmp(a->device, b->device, sizeof(a->device)) == 0 &&
               memcmp(a->discriminator, b->discriminator, sizeof(a->discriminator)) == 0;
}

static uint32_t group_hash(const Slot *slot) {
        uint64_t hash = (uint64_t) slot->record.local_ms / 1000 * 31 + slot->record.kind;

        hash = hash * 31 + slot->epoch;
        hash = hash * 31 + get_le32(slot->discriminator);
        hash = hash * 31 + get_le32(slot->device);
        hash *= UINT64_C(0x9e3779b97f4a7c15); /* Fibonacci hashing: the upper bits are mixed */
        return (uint32_t) (hash >> 40);
}

/* --- what belongs together --- */

/*
 * A part is of an anchor with the same key in the same section, when its time less the anchor's is in this range.
 * Where @is_single an anchor takes one part of the role, the nearest in time.
 */
typedef struct Rule {
        uint8_t anchor;
        int32_t from_s, to_s;
        bool is_single;
} Rule;

static const Rule rules[N_DRAFT_ROLES] = {
        /* 8 h is the longest extended bolus; two more for what was interrupted. Numbers come back after 256 boluses. */
        [DRAFT_BOLUS_SELECTED] = { DRAFT_BOLUS_DELIVERED, -10 * 3600, 0, true },
        [DRAFT_BOLUS_CANCELLED] = { DRAFT_BOLUS_DELIVERED, -2, 2, false },
        /* the pump asks for up to 11 minutes whether to accept a reading */
        [DRAFT_METER_ECHO] = { DRAFT_METER, 0, 15 * 60, false },
        [DRAFT_METER_TWIN] = { DRAFT_METER, 0, 0, true },
        [DRAFT_WIZARD_PART] = { DRAFT_WIZARD, 0, 0, false },
        [DRAFT_TEMP_BASAL_PART] = { DRAFT_TEMP_BASAL, 0, 0, true },
};

static bool has_part(const Window *w, const Slot *anchor, unsigned role) {
        for (int16_t i = anchor->first_part; i != NOWHERE; i = w->slots[i].next_part)
                if (w->slots[i].role == role)
                        return true;
        return false;
}

static bool fits(const Window *w, const Slot *anchor, const Slot *part) {
        const Rule *rule = &rules[part->role];
        int64_t delta_ms = part->record.local_ms - anchor->record.local_ms;

        return rule->anchor != DRAFT_ALONE && anchor->role == rule->anchor && anchor->state == SLOT_WAITING &&
               part->state == SLOT_WAITING && anchor->join == part->join && anchor->section == part->section &&
               delta_ms >= rule->from_s * INT64_C(1000) && delta_ms <= rule->to_s * INT64_C(1000) &&
               !(rule->is_single && has_part(w, anchor, part->role));
}

static void attach(Window *w, Slot *anchor, Slot *part) {
        link_remove(w, part, false);
        part->state = SLOT_PART;
        part->anchor = (int16_t) (anchor - w->slots);
        part->next_part = anchor->first_part;
        anchor->first_part = (int16_t) (part - w->slots);
}

/* Find for a new slot the parts or the anchor that came before it; the nearest in time first. */
static void join(Window *w, Slot *slot) {
        bool is_part = rules[slot->role].anchor != DRAFT_ALONE;

        for (;;) {
                Slot *best = NULL;
                int64_t best_ms = INT64_MAX;
                unsigned n = 0;

                for (int16_t i = *bucket_of(w, slot, true); i != NOWHERE && n != CANDIDATES_MAX; i = w->slots[i].joined.next, n++) {
                        Slot *other = &w->slots[i];
                        int64_t delta_ms = llabs(slot->record.local_ms - other->record.local_ms);

                        if (other != slot && delta_ms < best_ms && (is_part ? fits(w, other, slot) : fits(w, slot, other))) {
                                best = other;
                                best_ms = delta_ms;
                        }
                }

                if (!best)
                        return;
                if (is_part) {
                        attach(w, best, slot);
                        return;
                }
                attach(w, slot, best);
        }
}

/* --- giving out --- */

static int report_merged(Window *w, uint32_t line, uint32_t into, unsigned kind) {
        w->end->n_merged[kind]++;
        return w->sink->merged ? w->sink->merged(w->sink->userdata, line, into, kind) : 0;
}

/* All rows of a record are accounted for: the record's own, unless another's already is the same, and its parts. */
static int finish(Window *w, Slot *slot, bool is_twin, uint32_t into) {
        unsigned kind = slot->record.kind;
        int r = 0;

        slot->state = SLOT_DONE;
        link_remove(w, slot, false);
        if (is_twin && !slot->is_extra)
                r = report_merged(w, slot->line, into, kind);
        else if (!is_twin && slot->is_extra)
                w->end->n_extra[kind]++;
        else if (!is_twin)
                w->end->n_records[kind]++;

        for (int16_t i = slot->first_part; i != NOWHERE && r == 0; i = w->slots[i].next_part) {
                w->slots[i].state = SLOT_DONE;
                /* an extra record's row is accounted for by its first one */
                if (!w->slots[i].is_extra)
                        r = report_merged(w, w->slots[i].line, into, kind);
        }
        return r;
}

/*
 * Exports list day markers in two blocks of a section, far apart, and daily totals beside the same bare row elsewhere.
 * Such a row is the same record: the line of the earlier one, or 0 when there is none.
 */
static uint32_t seen_before(Window *w, const Slot *slot) {
        uint64_t hash = UINT64_C(14695981039346656037); /* FNV-1a */
        const uint8_t *payload = window_slot_payload(slot);
        Seen *seen;

        if (slot->record.kind != RECORD_NOTE && slot->record.kind != RECORD_DEVICE_EVENT)
                return 0;

        for (size_t i = 0; i != slot->n_payload; i++)
                hash = (hash ^ payload[i]) * UINT64_C(1099511628211);
        hash = (hash ^ (uint64_t) slot->record.local_ms) * UINT64_C(1099511628211);
        hash = (hash ^ get_le64(slot->device)) * UINT64_C(1099511628211);
        hash = (hash ^ get_le32(slot->discriminator)) * UINT64_C(1099511628211);
        hash = (hash ^ (uint32_t) slot->record.value_milli) * UINT64_C(1099511628211);
        hash = (hash ^ (uint32_t) (slot->epoch << 8 | slot->record.kind)) * UINT64_C(1099511628211);

        for (seen = &w->seen[hash % N_SEEN]; seen->line; seen = seen == &w->seen[N_SEEN - 1] ? w->seen : seen + 1)
                if (seen->hash == hash)
                        return seen->line;
        if (w->n_seen < N_SEEN / 4 * 3) {
                *seen = (Seen) { hash, slot->line };
                w->n_seen++;
        }
        return 0;
}

/* @ret_line: of the row that the record is known by */
static int give(Window *w, Slot *slot, uint16_t ordinal, uint32_t *ret_line) {
        Record *record = &slot->record;
        uint32_t line;
        int r;

        line = ordinal == 0 ? seen_before(w, slot) : 0;
        *ret_line = line ? line : slot->line;
        if (line)
                return finish(w, slot, true, line);

        record->payload = window_slot_payload(slot);
        record->n_payload = slot->n_payload;
        identity_put(record->identity, slot->device, slot->epoch, ordinal, slot->discriminator);
        assert(record_valid(record));

        r = w->sink->record(w->sink->userdata, slot->line, record, slot->is_extra);
        return r ? r : finish(w, slot, false, slot->line);
}

static int compare_content(const void *a, const void *b, void *userdata) {
        const Window *w = userdata;
        const Slot *x = &w->slots[*(const int16_t *) a], *y = &w->slots[*(const int16_t *) b];
        size_t n = x->n_payload < y->n_payload ? x->n_payload : y->n_payload;
        int r;

        if (x->record.value_milli != y->record.value_milli)
                return x->record.value_milli < y->record.value_milli ? -1 : 1;
        if (x->record.flags != y->record.flags)
                return x->record.flags < y->record.flags ? -1 : 1;
        if (x->record.unit != y->record.unit)
                return x->record.unit < y->record.unit ? -1 : 1;
        if (x->record.decimals != y->record.decimals)
                return x->record.decimals < y->record.decimals ? -1 : 1;
        r = n ? memcmp(window_slot_payload(x), window_slot_payload(y), n) : 0;
        return r ? r : (int) x->n_payload - (int) y->n_payload;
}

/* Twins: a row's own record goes before an extra one, so that the row is the one that is counted as a record. */
static int compare_members(const void *a, const void *b, void *userdata) {
        const Window *w = userdata;
        int r = compare_content(a, b, userdata);

        return r ? r : (int) w->slots[*(const int16_t *) a].is_extra - (int) w->slots[*(const int16_t *) b].is_extra;
}

/* Why a part that has found no anchor is no record; NULL when it is one. */
static const char *no_record(const Slot *slot) {
        int64_t wait_ms = (INT64_C(3600) + slot->duration_s) * 1000, edge_ms = rules[DRAFT_BOLUS_CANCELLED].to_s * INT64_C(1000);

        if (slot->is_extra)
                return NULL;
        if (slot->is_part_only)
                return "part of a bolus estimate that is not in this export";
        if (slot->role == DRAFT_METER_ECHO && slot->record.local_ms - slot->oldest_ms <= rules[DRAFT_METER_ECHO].to_s * INT64_C(1000))
                return "accepts a meter reading from before the first row of this export; an earlier one has the reading";
        if (slot->role == DRAFT_BOLUS_CANCELLED && (slot->record.local_ms - slot->oldest_ms <= edge_ms || slot->newest_ms - slot->record.local_ms <= edge_ms))
                return "why a bolus was ended that is not in this export; an earlier or a later one has it";
        if (slot->role == DRAFT_BOLUS_SELECTED && slot->record.local_ms + wait_ms > slot->newest_ms)
                return "a bolus that was just selected: its delivery is not in this export; a later one will have it";
        return NULL;
}

static int give_group(Window *w, Slot *slot) {
        size_t n = 0;
        uint16_t ordinal = 0;
        uint32_t line = slot->line;
        int r;

        if (no_record(slot)) {
                slot->state = SLOT_DONE;
                link_remove(w, slot, false);
                return window_reject(w, slot->line, slot->offset, no_record(slot));
        }

        for (int16_t i = *bucket_of(w, slot, false); i != NOWHERE; i = w->slots[i].group.next) {
                if (same_group(slot, &w->slots[i]) && !no_record(&w->slots[i])) {
                        r = window_merge(w, &w->slots[i]);
                        if (r)
                                return r;
                        n++;
                }
        }
        if (n == 1)
                return give(w, slot, 0, &line);

        n = 0;
        for (int16_t i = *bucket_of(w, slot, false); i != NOWHERE; i = w->slots[i].group.next)
                if (same_group(slot, &w->slots[i]) && !no_record(&w->slots[i]))
                        w->members[n++] = i;
        qsort_r(w->members, n, sizeof(w->members[0]), compare_members, w);

        for (size_t i = 0, last = 0; i != n; i++) {
                if (i != 0 && compare_content(&w->members[last], &w->members[i], w) == 0) {
                        r = finish(w, &w->slots[w->members[i]], true, line);
                } else {
                        r = give(w, &w->slots[w->members[i]], ordinal++, &line);
                        last = i;
                }
                if (r)
                        return r;
        }
        return 0;
}

static int evict(Window *w) {
        Slot *slot = &w->slots[w->first];
        int r = 0;

        if (slot->state == SLOT_PART)
                r = give_group(w, &w->slots[slot->anchor]);
        else if (slot->state == SLOT_WAITING)
                r = give_group(w, slot);
        if (r)
                return r;

        if (slot->role != DRAFT_ALONE)
                link_remove(w, slot, true);
        window_slot_release(w, slot);
        w->first = (w->first + 1) % IMPORT_WINDOW;
        w->n--;
        return 0;
}

/* The payload is in w->payload, and there is room. */
static int push(Window *w, const WindowPlace *place, const Draft *draft, bool is_extra) {
        Slot *slot;
        int r;

        slot = &w->slots[(w->first + w->n) % IMPORT_WINDOW];
        slot->record = (Record) {
                .kind = draft->kind, .unit = draft->unit, .decimals = draft->decimals, .flags = draft->flags | place->flags,
                .clock = place->clock, .offset_min = place->offset_min, .value_milli = draft->value_milli,
                .utc_ms = place->utc_ms, .local_ms = place->local_ms, .source = place->source,
        };
        slot->offset = place->offset;
        slot->line = place->line;
        slot->section = place->section;
        slot->join = draft->join;
        slot->duration_s = draft->duration_s;
        slot->oldest_ms = place->oldest_ms;
        slot->newest_ms = place->newest_ms;
        slot->epoch = place->epoch;
        memcpy(slot->device, place->device, sizeof(slot->device));
        identity_discriminator(slot->discriminator, draft->key, draft->n_key);
        slot->role = draft->role;
        slot->state = SLOT_WAITING;
        slot->is_extra = is_extra;
        slot->is_part_only = draft->is_part_only;
        slot->anchor = slot->first_part = slot->next_part = NOWHERE;
        slot->hash = group_hash(slot);

        r = window_slot_set(w, slot, &w->payload);
        if (r)
                return r;
        w->n++;
        link_add(w, slot, false);
        if (slot->role != DRAFT_ALONE) {
                link_add(w, slot, true);
                join(w, slot);
        }
        return 0;
}

/* A row is taken whole or not at all. */
static bool fits_records(Window *w, Drafts *drafts) {
        for (unsigned i = 0; i != drafts->n && !drafts->is_bad; i++) {
                draft_encode(&drafts->drafts[i], &w->payload);
                if (w->payload.overflow)
                        drafts_reject(drafts, "too long for a record");
        }
        return !drafts->is_bad;
}

int window_push(Window *w, const WindowPlace *place, Drafts *drafts) {
        int r;

        /* first, since merging uses w->payload too */
        while (w->n > IMPORT_WINDOW - DRAFTS_MAX || (w->n && w->n_heap > PAYLOAD_HEAP_MAX)) {
                r = evict(w);
                if (r)
                        return r;
        }

        if (!fits_records(w, drafts))
                return window_reject(w, place->line, place->offset, drafts->reason);

        for (unsigned i = 0; i != drafts->n; i++) {
                if (drafts->n > 1)
                        draft_encode(&drafts->drafts[i], &w->payload);
                r = push(w, place, &drafts->drafts[i], i != 0);
                if (r)
                        return r;
        }
        return 0;
}

int window_flush(Window *w) {
        int r;

        while (w->n) {
                r = evict(w);
                if (r)
                        return r;
        }
        return 0;
}
