/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Inside the mapping of history records: pump-history.c has the table and walks, pump-doses.c is what insulin and carbs are, pump-settings.c tables. */

#include "pump-private.h"

/* Records of all pages, oldest first: what belongs together may be on two. */
typedef struct Map {
        Pump *pump;
        const PumpPage *pages;
        ParadigmEntry *entries;
        uint8_t *page_of; /* index into pages, of each entry */
        size_t n, at;     /* the entry that is being mapped; a function that takes what follows too moves on */
        bool is_large;    /* 1/40 U */
} Map;

typedef struct Rule {
        const char *name; /* CareLink's Raw-Type */
        int (*map)(Map *m, const struct Rule *rule);
        uint8_t token;      /* TokenId of events */
        const char *format; /* of the value of a one-byte setting */
} Rule;

static inline const ParadigmEntry *map_entry(const Map *m) {
        return &m->entries[m->at];
}

static inline unsigned map_page(const Map *m) {
        return m->pages[m->page_of[m->at]].number;
}

static inline const ParadigmEntry *map_next(const Map *m) {
        return m->at + 1 < m->n ? &m->entries[m->at + 1] : NULL;
}

static inline void map_key(Draft *draft, const char *text) {
        draft_key(draft, text, strlen(text));
}

static inline void map_text(Draft *draft, FieldId id, const char *text) {
        if (text)
                (void) draft_text(draft, id, (Cell) { text, strlen(text) });
}

/* Who made the pump do it: the upper bits of the day. Seen beside CareLink's words for them; 1 and others were not. */
static inline const char *map_requestor(const ParadigmEntry *e) {
        static const char *const words[8] = { [0] = "pump", [2] = "rf_diagnostic", [3] = "paradigm link or b key" };
        size_t at = e->op == 0x01 ? e->n - 2 : e->op == 0x03 ? 8 : 5;

        return words[e->bytes[at] >> 5];
}

/*
 * CareLink's name. What is decoded whole says no more than an export does, so that a record which that path brought
 * first stays as it is.
 */
static inline void map_raw(Draft *draft, const char *name) {
        map_text(draft, FIELD_RAW_TYPE, name);
}

/** map_bytes() - the same with the record's bytes, where not all of them are understood */
void map_bytes(Map *m, Draft *draft, const char *name);

must_check static inline int map_put(Map *m, const Draft *draft) {
        return pump_put(m->pump, draft, map_entry(m)->local_ms, map_page(m), false);
}

must_check static inline int map_put_extra(Map *m, const Draft *draft) {
        return pump_put(m->pump, draft, map_entry(m)->local_ms, map_page(m), true);
}

/* Rules, by the records' names. */
must_check int doses_bolus(Map *m, const Rule *rule);
must_check int doses_basal(Map *m, const Rule *rule);
/** doses_temp_basal() - the rate, or the percentage; how long follows in a record of its own, which is taken too */
must_check int doses_temp_basal(Map *m, const Rule *rule);
/** doses_temp_duration() - one that does not follow a rate: CareLink shows it as a temp basal without a rate */
must_check int doses_temp_duration(Map *m, const Rule *rule);
must_check int doses_suspend(Map *m, const Rule *rule);
must_check int doses_wizard(Map *m, const Rule *rule);
must_check int doses_meal(Map *m, const Rule *rule);
must_check int doses_marker(Map *m, const Rule *rule);
must_check int settings_basal(Map *m, const Rule *rule);
must_check int settings_wizard(Map *m, const Rule *rule);
/** settings_sensor() - of the 522 and 722; others have a record of their own for it */
must_check int settings_sensor(Map *m, const Rule *rule);
