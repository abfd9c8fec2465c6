/* SPDX-License-Identifier: Apache-2.0 */

#include "window-slots.h"

void window_slot_release(Window *w, Slot *slot) {
        if (slot->heap) {
                w->n_heap -= slot->n_payload;
                explicit_bzero(slot->heap, slot->n_payload);
                free(slot->heap);
        }
        slot->heap = NULL;
}

int window_slot_set(Window *w, Slot *slot, const Payload *payload) {
        window_slot_release(w, slot);
        slot->n_payload = (uint16_t) payload->n;
        if (payload->n > PAYLOAD_INLINE) {
                slot->heap = malloc(payload->n);
                if (!slot->heap)
                        return -ENOMEM;
                w->n_heap += payload->n;
                memcpy(slot->heap, payload->bytes, payload->n);
        } else {
                memcpy(slot->bytes, payload->bytes, payload->n);
        }
        return 0;
}

static void draft_decode(Draft *draft, const Slot *slot) {
        size_t at = 0;
        Field f;

        draft->kind = slot->record.kind;
        draft->set = 0;
        while (record_field_next(window_slot_payload(slot), slot->n_payload, &at, &f)) {
                draft->set |= UINT64_C(1) << f.id;
                draft->fields[f.id] = (DraftField) { f.milli, f.number, f.text, f.n_text };
        }
}

/* "name=value" behind what is there, TAB between; what does not fit is left out. */
static void text_append(char *text, size_t *n, char separator, const char *addition, size_t n_addition) {
        if (n_addition + 1 > RECORD_TEXT_MAX - *n)
                return;
        if (*n)
                text[(*n)++] = separator;
        memcpy(text + *n, addition, n_addition);
        *n += n_addition;
}

static size_t field_put(char *ret, size_t n_ret, const Field *f) {
        int n;

        switch (f->info->type) {
        case FIELD_MILLI:
                n = snprintf(ret, n_ret, "%s=%s%d.%03d", f->info->name, f->milli < 0 ? "-" : "", abs(f->milli / 1000), abs(f->milli % 1000));
                break;
        case FIELD_UINT:
                n = snprintf(ret, n_ret, "%s=%u", f->info->name, f->number);
                break;
        case FIELD_TOKEN:
                n = snprintf(ret, n_ret, "%s=%s", f->info->name, record_token_name(f->number));
                break;
        case FIELD_TEXT:
        default:
                n = snprintf(ret, n_ret, "%s=%.*s", f->info->name, (int) f->n_text, f->text);
                break;
        }
        return n < 0 ? 0 : (size_t) n < n_ret ? (size_t) n : 0;
}

static bool same_field(const DraftField *a, const Field *b) {
        switch (b->info->type) {
        case FIELD_MILLI:
                return a->milli == b->milli;
        case FIELD_TEXT:
                return a->n_text == b->n_text && (b->n_text == 0 || memcmp(a->text, b->text, b->n_text) == 0);
        case FIELD_UINT:
        case FIELD_TOKEN:
        default:
                return a->number == b->number;
        }
}

/*
 * Take over what a part says: a field that the record lacks becomes its field, one that differs becomes text. Raw texts
 * of the legacy form are the row's own and would differ always: they become text too, so that nothing is lost.
 */
static void merge_fields(Window *w, const Slot *part, size_t *n_extra) {
        size_t at = 0;
        Field f;

        while (record_field_next(window_slot_payload(part), part->n_payload, &at, &f)) {
                bool is_own = f.id == FIELD_RAW_TYPE || f.id == FIELD_RAW_KEY || f.id == FIELD_RAW_VALUES || f.id == FIELD_EXTRA;
                bool is_there = w->draft.set & UINT64_C(1) << f.id;
                size_t n;

                if (part->role == DRAFT_BOLUS_SELECTED || part->role == DRAFT_BOLUS_CANCELLED || part->role == DRAFT_TEMP_BASAL_PART)
                        if (f.id == FIELD_TYPE)
                                continue;
                if (is_there && same_field(&w->draft.fields[f.id], &f))
                        continue;
                if (!is_there && !is_own && (f.info->kinds & RECORD_KIND_BIT(w->draft.kind))) {
                        w->draft.set |= UINT64_C(1) << f.id;
                        w->draft.fields[f.id] = (DraftField) { f.milli, f.number, f.text, f.n_text };
                        continue;
                }
                if (f.id == FIELD_EXTRA) {
                        text_append(w->extra, n_extra, '\t', f.text, f.n_text);
                        continue;
                }
                n = field_put(w->row, sizeof(w->row), &f);
                text_append(w->extra, n_extra, '\t', w->row, n);
        }
}

/* The words of all rows that showed one reading, each once, and when the later ones came. */
static void merge_echo(Window *w, const Slot *anchor, const Slot *part, size_t *n_words, size_t *n_extra) {
        size_t at = 0;
        int n;
        Field f;

        while (record_field_next(window_slot_payload(part), part->n_payload, &at, &f)) {
                if (f.id != FIELD_GLUCOSE_SOURCE)
                        continue;
                if (!memmem(w->words, *n_words, f.text, f.n_text)) {
                        text_append(w->words, n_words, ',', f.text, f.n_text);
                }
                if (f.n_text >= sizeof(w->row) / 2)
                        continue;
                n = snprintf(w->row, sizeof(w->row), "%.*s=+%llds", (int) f.n_text, f.text,
                             (long long) ((part->record.local_ms - anchor->record.local_ms) / 1000));
                if (part->role == DRAFT_METER_ECHO && n > 0)
                        text_append(w->extra, n_extra, '\t', w->row, (size_t) n);
        }
}

static int compare_parts(const void *a, const void *b, void *userdata) {
        const Window *w = userdata;
        const Slot *x = &w->slots[*(const int16_t *) a], *y = &w->slots[*(const int16_t *) b];
        size_t n = x->n_payload < y->n_payload ? x->n_payload : y->n_payload;
        int r;

        if (x->record.local_ms != y->record.local_ms)
                return x->record.local_ms < y->record.local_ms ? -1 : 1;
        if (x->role != y->role)
                return x->role < y->role ? -1 : 1;
        r = n ? memcmp(window_slot_payload(x), window_slot_payload(y), n) : 0;
        return r ? r : (int) x->n_payload - (int) y->n_payload;
}

/* Rebuild the payload of a slot that has parts; the order of parts in the file makes no difference. */
int window_merge(Window *w, Slot *anchor) {
        size_t n_parts = 0, n_extra = 0, n_words = 0;
        DraftField *extra = &w->draft.fields[FIELD_EXTRA], *words = &w->draft.fields[FIELD_GLUCOSE_SOURCE];

        if (anchor->first_part == NOWHERE)
                return 0;

        for (int16_t i = anchor->first_part; i != NOWHERE; i = w->slots[i].next_part)
                w->members[n_parts++] = i;
        qsort_r(w->members, n_parts, sizeof(w->members[0]), compare_parts, w);

        draft_decode(&w->draft, anchor);
        if (w->draft.set & UINT64_C(1) << FIELD_EXTRA)
                text_append(w->extra, &n_extra, '\t', extra->text, extra->n_text);
        if (w->draft.set & UINT64_C(1) << FIELD_GLUCOSE_SOURCE)
                text_append(w->words, &n_words, ',', words->text, words->n_text);

        for (size_t i = 0; i != n_parts; i++) {
                const Slot *part = &w->slots[w->members[i]];

                if (part->role == DRAFT_BOLUS_SELECTED)
                        (void) draft_uint(&w->draft, FIELD_START_DELAY_S,
                                          (uint32_t) ((anchor->record.local_ms - part->record.local_ms) / 1000));
                if (part->role == DRAFT_METER_ECHO || part->role == DRAFT_METER_TWIN)
                        merge_echo(w, anchor, part, &n_words, &n_extra);
                if (part->role != DRAFT_METER_ECHO && part->role != DRAFT_METER_TWIN)
                        merge_fields(w, part, &n_extra);
        }

        if (n_words)
                (void) draft_text(&w->draft, FIELD_GLUCOSE_SOURCE, (Cell) { w->words, n_words });
        if (n_extra)
                (void) draft_text(&w->draft, FIELD_EXTRA, (Cell) { w->extra, n_extra });
        draft_encode(&w->draft, &w->payload);
        /* more than a record holds: the record stays as its own row made it */
        return w->payload.overflow ? 0 : window_slot_set(w, anchor, &w->payload);
}
