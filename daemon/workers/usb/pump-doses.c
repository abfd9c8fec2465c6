/* SPDX-License-Identifier: Apache-2.0 */

/* Insulin, what was estimated for it, and carbs. */

#include "pump-map.h"

#include <stdio.h>

enum {
        HALF_HOUR_S = 30 * 60,
        UNABSORBED_TEXT = 40, /* bytes, of one earlier bolus */
        DATE_END = 7, /* of a record whose time is at 2: where its body begins */
};

static int32_t insulin(const Map *m, unsigned strokes) {
        return (int32_t) strokes * (m->is_large ? 25 : 100);
}

/* --- insulin --- */

int doses_bolus(Map *m, const Rule *rule) {
        static const uint8_t tokens[8] = {
                [1] = TOKEN_NORMAL, [2] = TOKEN_NORMAL, [3] = TOKEN_SQUARE, [4] = TOKEN_DUAL_NORMAL, [5] = TOKEN_DUAL_SQUARE,
        };
        const uint8_t *b = map_entry(m)->bytes;
        unsigned programmed = m->is_large ? paradigm_be16(b + 1) : b[1], delivered = m->is_large ? paradigm_be16(b + 3) : b[2];
        unsigned duration = m->is_large ? b[7] : b[3], subtype = b[m->is_large ? 10 : 6] >> 5;
        TokenId token = tokens[subtype] ? (TokenId) tokens[subtype] : TOKEN_OTHER;
        Draft *draft = pump_draft(m->pump, RECORD_BOLUS);
        bool is_square = token == TOKEN_SQUARE || token == TOKEN_DUAL_SQUARE;

        (void) rule;
        (void) draft_token(draft, FIELD_TYPE, token);
        (void) draft_milli(draft, FIELD_PROGRAMMED, insulin(m, programmed));
        draft_delivered(draft, pump_number(insulin(m, delivered)));
        if (is_square)
                (void) draft_uint(draft, FIELD_DURATION_S, duration * HALF_HOUR_S);
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        if (m->is_large)
                (void) draft_milli(draft, FIELD_UNABSORBED, insulin(m, paradigm_be16(b + 5)));
        map_key(draft, record_token_name(token));
        map_raw(draft, is_square ? "BolusSquare" : "BolusNormal");
        return map_put(m, draft);
}

int doses_basal(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes;
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, TOKEN_RATE);
        draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, pump_number((int32_t) get_le16(b + 8) * 25));
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        (void) draft_uint(draft, FIELD_INDEX, b[1]);
        (void) draft_uint(draft, FIELD_START_S, b[7] * (uint32_t) HALF_HOUR_S);
        map_key(draft, "rate");
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

/* The rate, or the percentage; how long follows in a record of its own. */
int doses_temp_basal(Map *m, const Rule *rule) {
        const ParadigmEntry *e = map_entry(m), *duration = map_next(m);
        const uint8_t *b = e->bytes;
        bool is_percent = b[7] >> 3 == 1;
        const char *name = is_percent ? "ChangeTempBasalPercent" : "ChangeTempBasal";
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);
        int r;

        (void) rule;
        if (b[7] >> 3 > 1)
                return pump_reject(m->pump, map_page(m), b, e->n, "history page %u: a temp basal of an unknown type", map_page(m));

        (void) draft_token(draft, FIELD_TYPE, is_percent ? TOKEN_TEMP_PERCENT : TOKEN_TEMP);
        if (is_percent)
                draft_value(draft, RECORD_UNIT_PERCENT, pump_number(b[1] * 1000));
        else
                draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, pump_number((int32_t) (((b[7] & 7u) << 8) | b[1]) * 25));
        map_text(draft, FIELD_ORIGIN, map_requestor(e));
        map_key(draft, name);
        map_raw(draft, name);
        if (duration && duration->op == 0x16 && duration->local_ms == e->local_ms)
                (void) draft_uint(draft, FIELD_DURATION_S, duration->bytes[1] * (uint32_t) HALF_HOUR_S);
        r = map_put(m, draft);
        if (draft->set & UINT64_C(1) << FIELD_DURATION_S)
                m->at++;
        return r;
}

/* One that does not follow a rate: CareLink shows it as a temp basal without a rate. */
int doses_temp_duration(Map *m, const Rule *rule) {
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, TOKEN_TEMP);
        (void) draft_uint(draft, FIELD_DURATION_S, map_entry(m)->bytes[1] * (uint32_t) HALF_HOUR_S);
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        map_key(draft, rule->name);
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

/* Why, as far as the source of these numbers goes (lower five bits). CareLink says no more than that the user did it. */
int doses_suspend(Map *m, const Rule *rule) {
        static const char *const reasons[32] = {
                [1] = "user_suspend", [2] = "alarm_suspend", [3] = "low_glucose_suspend", [4] = "no_response_suspend", [5] = "user_suspend",
        };
        const ParadigmEntry *e = map_entry(m);
        bool is_resume = e->op == 0x1f;
        unsigned reason = e->bytes[1] & 0x1f;
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, is_resume ? TOKEN_RESUME : TOKEN_SUSPEND);
        map_text(draft, FIELD_REASON, is_resume ? "normal_pumping" : reason == 0 ? "user_suspend" : reasons[reason]);
        map_text(draft, FIELD_ORIGIN, map_requestor(e));
        map_key(draft, is_resume ? "resume" : "suspend");
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

/* --- bolus estimates --- */

typedef struct Wizard {
        unsigned glucose, carbs, target_low, target_high, sensitivity;
        int32_t ratio_milli; /* 0: not known how to read it */
        int32_t correction_milli, food_milli, active_milli, estimate_milli;
} Wizard;

static int32_t sign_extend(unsigned value, unsigned bits) {
        return value & 1u << (bits - 1) ? (int32_t) value - (1 << bits) : (int32_t) value;
}

static Wizard read_wizard(const Map *m, bool is_exchange) {
        const ParadigmEntry *e = map_entry(m);
        const uint8_t *r = e->bytes, *b = r + DATE_END;
        Wizard w = {
                .glucose = (b[1] & 3u) << 8 | r[1],
                .carbs = (b[1] & 0x0cu) << 6 | b[0],
        };

        if (m->is_large && e->op == 0x5b) {
                unsigned ratio = (b[2] & 7u) << 8 | b[3];

                w.ratio_milli = (int32_t) ratio * (is_exchange ? 1 : 100);
                w.sensitivity = (r[4] >> 6 & 3u) << 8 | b[4];
                w.target_low = b[5];
                w.target_high = b[14];
                w.correction_milli = sign_extend((b[9] >> 3 & 0x1fu) << 8 | b[6], 13) * 25;
                w.food_milli = (int32_t) paradigm_be16(b + 7) * 25;
                w.active_milli = (int32_t) paradigm_be16(b + 10) * 25;
                w.estimate_milli = (int32_t) paradigm_be16(b + 12) * 25;
        } else {
                w.ratio_milli = is_exchange ? 0 : b[2] * 1000;
                w.sensitivity = b[3];
                w.target_low = b[4];
                w.target_high = e->op == 0x5b ? b[12] : b[4]; /* a 512 has one target */
                w.correction_milli = sign_extend((b[7] >> 4 & 0xfu) << 8 | b[5], 12) * 100;
                w.food_milli = (int32_t) ((b[7] & 0xfu) << 8 | b[6]) * 100;
                w.active_milli = (int32_t) paradigm_be16(b + 8) * 100;
                w.estimate_milli = (int32_t) paradigm_be16(b + 10) * 100;
        }
        return w;
}

/*
 * What an estimate still counted of earlier boluses, in the record behind it: three bytes each, low bits of the amount
 * (1/40 U) and of the age (minutes), then two high bits of the hours' low, of the age, of the hours' high, of the amount.
 * Exports of three pumps say so (3,736 rows); the highest bit of an amount, 12.8 U, was not among them.
 */
static void set_unabsorbed(Map *m, Draft *draft) {
        const ParadigmEntry *e = map_next(m);
        char text[RECORD_TEXT_MAX];
        size_t n = 0;

        /* a record that says 84 of them would not fit; a day of boluses is about thirty */
        if (!e || (e->op != 0x5c && e->op != 0x30))
                return;
        for (size_t i = 0; 2 + 3 * i + 3 <= e->n && sizeof(text) - n > UNABSORBED_TEXT; i++) {
                const uint8_t *b = e->bytes + 2 + 3 * i;
                unsigned milli = ((b[2] & 3u) << 8 | b[0]) * 25;

                n += (size_t) snprintf(text + n, sizeof(text) - n, "%sunabsorbed %zu=%u.%03u U, %u min", i ? "\t" : "", i,
                                       milli / 1000, milli % 1000, b[1] + ((b[2] & 0x30u) << 4));
        }
        (void) draft_text(draft, FIELD_EXTRA, pump_text(m->pump, "%.*s", (int) n, text));
}

int doses_wizard(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes + DATE_END;
        bool is_mmol = b[1] >> 6 == 2, is_exchange = (b[1] >> 4 & 3) == 2;
        Wizard w = read_wizard(m, is_exchange);
        int32_t per_step = is_mmol ? 100 : 1000, carbs_milli = (int32_t) w.carbs * (is_exchange ? 100 : 1000);
        Draft *draft = pump_draft(m->pump, RECORD_WIZARD);
        int r;

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(w.estimate_milli));
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        (void) draft_milli(draft, FIELD_CARBS, carbs_milli);
        (void) draft_token(draft, FIELD_CARB_UNIT, is_exchange ? TOKEN_EXCHANGE : TOKEN_GRAM);
        if (w.ratio_milli)
                (void) draft_milli(draft, FIELD_CARB_RATIO, w.ratio_milli);
        if (w.sensitivity)
                (void) draft_milli(draft, FIELD_SENSITIVITY, (int32_t) w.sensitivity * per_step);
        if (w.target_low)
                (void) draft_milli(draft, FIELD_TARGET_LOW, (int32_t) w.target_low * per_step);
        if (w.target_high)
                (void) draft_milli(draft, FIELD_TARGET_HIGH, (int32_t) w.target_high * per_step);
        if (w.glucose)
                (void) draft_milli(draft, FIELD_GLUCOSE_INPUT, (int32_t) w.glucose * per_step);
        (void) draft_token(draft, FIELD_GLUCOSE_UNIT, is_mmol ? TOKEN_MMOL_L : TOKEN_MG_DL);
        (void) draft_milli(draft, FIELD_CORRECTION_ESTIMATE, w.correction_milli);
        (void) draft_milli(draft, FIELD_FOOD_ESTIMATE, w.food_milli);
        (void) draft_milli(draft, FIELD_UNABSORBED, w.active_milli);
        set_unabsorbed(m, draft);
        map_raw(draft, rule->name);
        r = map_put(m, draft);

        if (r == 0 && carbs_milli > 0) {
                draft = pump_draft(m->pump, RECORD_CARBS);
                draft_value(draft, is_exchange ? RECORD_UNIT_EXCHANGE : RECORD_UNIT_GRAM, pump_number(carbs_milli));
                map_text(draft, FIELD_ORIGIN, "bolus wizard");
                map_key(draft, "wizard");
                r = map_put_extra(m, draft);
        }
        return r;
}

/* --- markers --- */

int doses_meal(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes;
        bool is_exchange = (b[8] & 3) == 2;
        Draft *draft = pump_draft(m->pump, RECORD_CARBS);

        draft_value(draft, is_exchange ? RECORD_UNIT_EXCHANGE : RECORD_UNIT_GRAM,
                    pump_number((int32_t) (b[1] << 8 | b[7]) * (is_exchange ? 100 : 1000)));
        (void) draft_token(draft, FIELD_MARKER_TYPE, TOKEN_MEAL);
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        map_key(draft, rule->name);
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

int doses_marker(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes;
        bool is_insulin = rule->token == TOKEN_INSULIN;
        int32_t milli = (int32_t) ((b[4] & 0x60u) << 3 | b[1]) * 100;
        Draft *draft = pump_draft(m->pump, RECORD_NOTE);
        int r;

        (void) draft_token(draft, FIELD_MARKER_TYPE, (TokenId) rule->token);
        map_text(draft, FIELD_MARKER, rule->name);
        map_key(draft, rule->name);
        if (is_insulin)
                draft_value(draft, RECORD_UNIT_INSULIN, pump_number(milli));
        map_raw(draft, rule->name);
        r = map_put(m, draft);
        if (r || !is_insulin)
                return r;

        draft = pump_draft(m->pump, RECORD_BOLUS);
        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(milli));
        (void) draft_token(draft, FIELD_TYPE, TOKEN_INJECTION);
        (void) draft_milli(draft, FIELD_DELIVERED, milli);
        map_key(draft, "marker");
        return map_put_extra(m, draft);
}
