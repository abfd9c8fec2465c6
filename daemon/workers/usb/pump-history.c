/* SPDX-License-Identifier: Apache-2.0 */

/*
 * History records as the wallet's. One table says what each opcode is; its second column, CareLink's name for it, is
 * the match rule: kind, moment and discriminator come out as the CSV importer makes them (import/legacy.c), so that
 * both paths give one event one identity. A name that CareLink's exports were not seen to use is in lower case.
 *
 *   record            tolerance in time   value               told apart by
 *   bolus             none                1/40 or 1/10 U      part (normal, square, dual ...)
 *   basal             none                1/40 U/h, per cent  rate, suspend, resume, kind of temp basal
 *   wizard            none                1/40 or 1/10 U      nothing
 *   carbs             none                1 g, 0.1 exchange   wizard, marker
 *   fingerstick, cgm  none                as stored           nothing
 *   alarm             none                none                CareLink's name and code
 *   device_event      none                as stored           CareLink's name and words
 *   settings, note    none                none                CareLink's name
 *
 * CareLink reads the same memory: where the pages and its exports could be compared, no time and no value differed, so
 * there is no tolerance that could make two events one.
 */

#include "pump-private.h"

#include <stdio.h>

enum {
        ENTRIES_MAX = PARADIGM_PAGE_SIZE / 2, /* of a page: the shortest record has two bytes */
        TWIN_REACH = 8,                       /* records between a meter's reading and the pump's note of it */
        HALF_HOUR_S = 30 * 60,
        UNABSORBED_TEXT = 40, /* bytes, of one earlier bolus */
        DATE_END = 7, /* of a record whose time is at 2: where its body begins */
};

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

static const ParadigmEntry *entry(const Map *m) {
        return &m->entries[m->at];
}

static unsigned page_number(const Map *m) {
        return m->pages[m->page_of[m->at]].number;
}

static const ParadigmEntry *next(const Map *m) {
        return m->at + 1 < m->n ? &m->entries[m->at + 1] : NULL;
}

static void key(Draft *draft, const char *text) {
        draft_key(draft, text, strlen(text));
}

static void set_text(Draft *draft, FieldId id, const char *text) {
        if (text)
                (void) draft_text(draft, id, (Cell) { text, strlen(text) });
}

/* Who made the pump do it: the upper bits of the day. Seen beside CareLink's words for them; 1 and others were not. */
static const char *requestor(const ParadigmEntry *e) {
        static const char *const words[8] = { [0] = "pump", [2] = "rf_diagnostic", [3] = "paradigm link or b key" };
        size_t at = e->op == 0x01 ? e->n - 2 : e->op == 0x03 ? 8 : 5;

        return words[e->bytes[at] >> 5];
}

/*
 * CareLink's name. What is decoded whole says no more than an export does, so that a record which that path brought
 * first stays as it is.
 */
static void set_raw(Draft *draft, const char *name) {
        set_text(draft, FIELD_RAW_TYPE, name);
}

/* The same with the record's bytes, where not all of them are understood. */
static void set_bytes(Map *m, Draft *draft, const char *name) {
        const ParadigmEntry *e = entry(m);
        char hex[2 * 255 + 1];

        for (size_t i = 0; i != e->n; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", e->bytes[i]);
        set_text(draft, FIELD_RAW_TYPE, name);
        (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "bytes=%s", hex));
}

static int put(Map *m, const Draft *draft) {
        return pump_put(m->pump, draft, entry(m)->local_ms, page_number(m), false);
}

static int put_extra(Map *m, const Draft *draft) {
        return pump_put(m->pump, draft, entry(m)->local_ms, page_number(m), true);
}

static int32_t insulin(const Map *m, unsigned strokes) {
        return (int32_t) strokes * (m->is_large ? 25 : 100);
}

static void set_glucose(Draft *draft, unsigned value, bool is_mmol) {
        if (value)
                draft_value(draft, is_mmol ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL, pump_number((int32_t) value * (is_mmol ? 100 : 1000)));
        else
                draft->unit = is_mmol ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL;
}

/* --- insulin --- */

static int map_bolus(Map *m, const Rule *rule) {
        static const uint8_t tokens[8] = {
                [1] = TOKEN_NORMAL, [2] = TOKEN_NORMAL, [3] = TOKEN_SQUARE, [4] = TOKEN_DUAL_NORMAL, [5] = TOKEN_DUAL_SQUARE,
        };
        const uint8_t *b = entry(m)->bytes;
        unsigned programmed = m->is_large ? paradigm_be16(b + 1) : b[1], delivered = m->is_large ? paradigm_be16(b + 3) : b[2];
        unsigned duration = m->is_large ? b[7] : b[3], subtype = b[m->is_large ? 10 : 6] >> 5;
        TokenId token = tokens[subtype] ? (TokenId) tokens[subtype] : TOKEN_OTHER;
        Draft *draft = pump_draft(m->pump, RECORD_BOLUS);
        bool is_square = token == TOKEN_SQUARE || token == TOKEN_DUAL_SQUARE;

        (void) rule;
        (void) draft_token(draft, FIELD_TYPE, token);
        (void) draft_milli(draft, FIELD_PROGRAMMED, insulin(m, programmed));
        (void) draft_milli(draft, FIELD_DELIVERED, insulin(m, delivered));
        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(insulin(m, delivered)));
        if (is_square)
                (void) draft_uint(draft, FIELD_DURATION_S, duration * HALF_HOUR_S);
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        if (m->is_large)
                (void) draft_milli(draft, FIELD_UNABSORBED, insulin(m, paradigm_be16(b + 5)));
        key(draft, record_token_name(token));
        set_raw(draft, is_square ? "BolusSquare" : "BolusNormal");
        return put(m, draft);
}

static int map_basal(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes;
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, TOKEN_RATE);
        draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, pump_number((int32_t) get_le16(b + 8) * 25));
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        (void) draft_uint(draft, FIELD_INDEX, b[1]);
        (void) draft_uint(draft, FIELD_START_S, b[7] * (uint32_t) HALF_HOUR_S);
        key(draft, "rate");
        set_raw(draft, rule->name);
        return put(m, draft);
}

/* The rate, or the percentage; how long follows in a record of its own. */
static int map_temp_basal(Map *m, const Rule *rule) {
        const ParadigmEntry *e = entry(m), *duration = next(m);
        const uint8_t *b = e->bytes;
        bool is_percent = b[7] >> 3 == 1;
        const char *name = is_percent ? "ChangeTempBasalPercent" : "ChangeTempBasal";
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);
        int r;

        (void) rule;
        if (b[7] >> 3 > 1)
                return pump_reject(m->pump, page_number(m), b, e->n, "history page %u: a temp basal of an unknown type", page_number(m));

        (void) draft_token(draft, FIELD_TYPE, is_percent ? TOKEN_TEMP_PERCENT : TOKEN_TEMP);
        if (is_percent)
                draft_value(draft, RECORD_UNIT_PERCENT, pump_number(b[1] * 1000));
        else
                draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, pump_number((int32_t) (((b[7] & 7u) << 8) | b[1]) * 25));
        set_text(draft, FIELD_ORIGIN, requestor(e));
        key(draft, name);
        set_raw(draft, name);
        if (duration && duration->op == 0x16 && duration->local_ms == e->local_ms)
                (void) draft_uint(draft, FIELD_DURATION_S, duration->bytes[1] * (uint32_t) HALF_HOUR_S);
        r = put(m, draft);
        if (draft->set & UINT64_C(1) << FIELD_DURATION_S)
                m->at++;
        return r;
}

/* One that does not follow a rate: CareLink shows it as a temp basal without a rate. */
static int map_temp_duration(Map *m, const Rule *rule) {
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, TOKEN_TEMP);
        (void) draft_uint(draft, FIELD_DURATION_S, entry(m)->bytes[1] * (uint32_t) HALF_HOUR_S);
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        key(draft, rule->name);
        set_raw(draft, rule->name);
        return put(m, draft);
}

/* Why, as far as the source of these numbers goes (lower five bits). CareLink says no more than that the user did it. */
static int map_suspend(Map *m, const Rule *rule) {
        static const char *const reasons[32] = {
                [1] = "user_suspend", [2] = "alarm_suspend", [3] = "low_glucose_suspend", [4] = "no_response_suspend", [5] = "user_suspend",
        };
        const ParadigmEntry *e = entry(m);
        bool is_resume = e->op == 0x1f;
        unsigned reason = e->bytes[1] & 0x1f;
        Draft *draft = pump_draft(m->pump, RECORD_BASAL);

        (void) draft_token(draft, FIELD_TYPE, is_resume ? TOKEN_RESUME : TOKEN_SUSPEND);
        set_text(draft, FIELD_REASON, is_resume ? "normal_pumping" : reason == 0 ? "user_suspend" : reasons[reason]);
        set_text(draft, FIELD_ORIGIN, requestor(e));
        key(draft, is_resume ? "resume" : "suspend");
        set_raw(draft, rule->name);
        return put(m, draft);
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
        const ParadigmEntry *e = entry(m);
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
        const ParadigmEntry *e = next(m);
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

static int map_wizard(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes + DATE_END;
        bool is_mmol = b[1] >> 6 == 2, is_exchange = (b[1] >> 4 & 3) == 2;
        Wizard w = read_wizard(m, is_exchange);
        int32_t per_step = is_mmol ? 100 : 1000, carbs_milli = (int32_t) w.carbs * (is_exchange ? 100 : 1000);
        Draft *draft = pump_draft(m->pump, RECORD_WIZARD);
        int r;

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(w.estimate_milli));
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
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
        set_raw(draft, rule->name);
        r = put(m, draft);

        if (r == 0 && carbs_milli > 0) {
                draft = pump_draft(m->pump, RECORD_CARBS);
                draft_value(draft, is_exchange ? RECORD_UNIT_EXCHANGE : RECORD_UNIT_GRAM, pump_number(carbs_milli));
                set_text(draft, FIELD_ORIGIN, "bolus wizard");
                key(draft, "wizard");
                r = put_extra(m, draft);
        }
        return r;
}

/* Taken by the estimate before it; here one that stands alone, at the begin of a page or before a bolus by hand. */
static int map_nothing(Map *m, const Rule *rule) {
        (void) m;
        (void) rule;
        return 0;
}

/* --- glucose --- */

static unsigned meter_glucose(const ParadigmEntry *e) {
        return (unsigned) e->bytes[1] << 3 | e->bytes[4] >> 5;
}

static unsigned pump_glucose(const ParadigmEntry *e) {
        return (e->bytes[4] & 0x80u) << 2 | (e->bytes[6] & 0x80u) << 1 | e->bytes[1];
}

static bool pump_glucose_is_mmol(const ParadigmEntry *e) {
        return (e->bytes[4] >> 5 & 3) == 2;
}

/* The pump notes a meter's reading a second time, in the same second and with the same value. */
static bool are_twins(const ParadigmEntry *meter, const ParadigmEntry *pump) {
        return meter->op == 0x3f && pump->op == 0x0a && meter->local_ms == pump->local_ms && !pump_glucose_is_mmol(pump) &&
               meter_glucose(meter) == pump_glucose(pump);
}

/* Whether one of the records nearby is the other one of the two. */
static bool has_twin(const Map *m) {
        const ParadigmEntry *e = entry(m);
        size_t from = m->at > TWIN_REACH ? m->at - TWIN_REACH : 0, to = m->n - m->at > TWIN_REACH ? m->at + TWIN_REACH : m->n;

        for (size_t i = from; i != to; i++)
                if (are_twins(e, &m->entries[i]) || are_twins(&m->entries[i], e))
                        return true;
        return false;
}

/* From a linked meter; always mg/dL. */
static int map_meter(Map *m, const Rule *rule) {
        const ParadigmEntry *e = entry(m);
        Draft *draft = pump_draft(m->pump, RECORD_FINGERSTICK);

        set_glucose(draft, meter_glucose(e), false);
        set_text(draft, FIELD_GLUCOSE_SOURCE, has_twin(m) ? "BGReceived,CalBGForPH" : rule->name);
        (void) draft_text(draft, FIELD_LINKED_METER, pump_text(m->pump, "#%02X%02X%02X", e->bytes[7], e->bytes[8], e->bytes[9]));
        set_raw(draft, rule->name);
        return put(m, draft);
}

static int map_pump_glucose(Map *m, const Rule *rule) {
        const ParadigmEntry *e = entry(m);
        Draft *draft;

        if (has_twin(m))
                return 0;
        draft = pump_draft(m->pump, RECORD_FINGERSTICK);
        set_glucose(draft, pump_glucose(e), pump_glucose_is_mmol(e));
        set_text(draft, FIELD_GLUCOSE_SOURCE, rule->name);
        set_raw(draft, rule->name);
        return put(m, draft);
}

/* --- alarms --- */

typedef struct Word {
        unsigned code;
        const char *text;
} Word;

/* As CareLink words them; a code that its exports were not seen to have gets no words. */
static const Word pump_alarms[] = {
        { 3, "Battery Out Limit Exceeded (3)" },
        { 4, "No Delivery (4)" },
        { 55, "Device Alarm (55)" },
        { 61, "Reprogram Error (61)" },
        { 74, "Device Alarm (74)" },
};

static const Word sensor_alarms[] = {
        { 88, "Sensor Alarm (88)" },
        { 101, "Sensor Alert: High Glucose (101)" },
        { 102, "Sensor Alert: Low Glucose (102)" },
        { 104, "Sensor Alert: Meter BG Now (104)" },
        { 105, "Sensor Alarm (105)" },
        { 106, "Sensor Alert: Calibration Error (106)" },
        { 107, "Sensor Alert: Sensor End (107)" },
        { 112, "Sensor Alert: Weak Signal (112)" },
        { 113, "Sensor Alert: Lost Sensor (113)" },
        { 114, "Sensor Alert: High Glucose Predicted (114)" },
        { 115, "Sensor Alert: Low Glucose Predicted (115)" },
};

static const char *word(const Word *words, size_t n, unsigned code) {
        for (size_t i = 0; i != n; i++)
                if (words[i].code == code)
                        return words[i].text;
        return NULL;
}

static int map_alarm(Map *m, const Rule *rule) {
        const ParadigmEntry *e = entry(m);
        uint32_t code = e->bytes[1];
        Draft *draft = pump_draft(m->pump, RECORD_ALARM);

        (void) draft_uint(draft, FIELD_CODE, code);
        if (e->op == 0x06) {
                set_text(draft, FIELD_TEXT_DEVICE, word(pump_alarms, N_ELEMENTS(pump_alarms), code));
                (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "RAW_MODULE=%u, LINE_NUM=%u", (e->bytes[6] & 0xe0u) >> 2 | e->bytes[7] >> 5,
                                                                             paradigm_be16(e->bytes + 2)));
        }
        if (e->op == 0x0b) {
                set_text(draft, FIELD_TEXT_DEVICE, word(sensor_alarms, N_ELEMENTS(sensor_alarms), code));
                (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "AMOUNT=%u, ACTION_REQUESTOR=sensor", e->bytes[2] | (e->bytes[7] & 0x80u) << 1));
        }
        if (e->op == 0x0c)
                (void) draft_token(draft, FIELD_CLEARED, TOKEN_YES);
        key(draft, rule->name);
        draft_key(draft, (const char *) &code, sizeof(code));
        set_raw(draft, rule->name);
        return put(m, draft);
}

/* --- what else happens --- */

static Draft *event(Map *m, const char *name, TokenId token, const char *values) {
        Draft *draft = pump_draft(m->pump, RECORD_DEVICE_EVENT);

        (void) draft_token(draft, FIELD_TYPE, token);
        set_text(draft, FIELD_TEXT_DEVICE, values[0] ? values : NULL);
        key(draft, name);
        key(draft, values);
        if (name[0] >= 'a')
                set_bytes(m, draft, name);
        else
                set_raw(draft, name);
        return draft;
}

static int map_event(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, (TokenId) rule->token, "");

        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        return put(m, draft);
}

/* Events of which CareLink does not say who made them. */
static int map_plain_event(Map *m, const Rule *rule) {
        return put(m, event(m, rule->name, (TokenId) rule->token, ""));
}

static int map_battery(Map *m, const Rule *rule) {
        return put(m, event(m, rule->name, TOKEN_BATTERY, entry(m)->bytes[1] ? "ENABLE=true" : "ENABLE=false"));
}

static int map_prime(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes;
        unsigned fixed = b[2], amount = b[4];
        Draft *draft = event(m, rule->name, TOKEN_PRIME, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number((int32_t) amount * 100));
        set_text(draft, FIELD_TEXT_DEVICE, fixed ? "fixed" : "manual");
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        (void) draft_milli(draft, FIELD_PROGRAMMED, (int32_t) fixed * 100);
        return put(m, draft);
}

static int map_daily_total(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes;
        Draft *draft = event(m, rule->name, TOKEN_DAILY_TOTAL, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number((int32_t) paradigm_be16(b + 3) * 25));
        return put(m, draft);
}

/* Sums of what the other records say one by one: kept as bytes. */
static int map_sums(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, TOKEN_OTHER, "");

        set_bytes(m, draft, rule->name);
        return put(m, draft);
}

static int map_reservoir(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, TOKEN_RESERVOIR, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(entry(m)->bytes[1] * 100));
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        return put(m, draft);
}

/* The time that the pump showed, followed by the one that was set. */
static int map_time(Map *m, const Rule *rule) {
        const ParadigmEntry *e = entry(m), *after = next(m);
        bool is_known = after && after->op == 0x18;
        char day[16], values[40] = "";
        Draft *draft;
        int64_t s;
        int r;

        if (is_known)
                (void) snprintf(values, sizeof(values), "NEW_TIME=%lld", (long long) after->local_ms);
        draft = event(m, rule->name, TOKEN_CLOCK_CHANGE, values);
        set_text(draft, FIELD_ORIGIN, requestor(e));
        if (!is_known)
                return put(m, draft);

        s = after->local_ms / 1000;
        day_put(day, s / 86400);
        (void) draft_text(draft, FIELD_NEW_TIME, pump_text(m->pump, "%sT%02u:%02u:%02u", day, (unsigned) (s % 86400 / 3600),
                                                           (unsigned) (s % 3600 / 60), (unsigned) (s % 60)));
        r = put(m, draft);
        pump_mark_unset(m->pump, e->local_ms, after->local_ms);
        m->at++;
        if (r == 0 && after->local_ms <= e->local_ms - 60000)
                r = pump_note(m->pump, "The pump's clock was put back by %lld minutes on %s: the UTC times of records from these minutes are not certain.",
                              (long long) (e->local_ms - after->local_ms) / 60000, day);
        return r;
}

/* --- markers --- */

static int map_meal(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes;
        bool is_exchange = (b[8] & 3) == 2;
        Draft *draft = pump_draft(m->pump, RECORD_CARBS);

        draft_value(draft, is_exchange ? RECORD_UNIT_EXCHANGE : RECORD_UNIT_GRAM,
                    pump_number((int32_t) (b[1] << 8 | b[7]) * (is_exchange ? 100 : 1000)));
        (void) draft_token(draft, FIELD_MARKER_TYPE, TOKEN_MEAL);
        set_text(draft, FIELD_ORIGIN, requestor(entry(m)));
        key(draft, rule->name);
        set_raw(draft, rule->name);
        return put(m, draft);
}

static int map_marker(Map *m, const Rule *rule) {
        const uint8_t *b = entry(m)->bytes;
        bool is_insulin = rule->token == TOKEN_INSULIN;
        int32_t milli = (int32_t) ((b[4] & 0x60u) << 3 | b[1]) * 100;
        Draft *draft = pump_draft(m->pump, RECORD_NOTE);
        int r;

        (void) draft_token(draft, FIELD_MARKER_TYPE, (TokenId) rule->token);
        set_text(draft, FIELD_MARKER, rule->name);
        key(draft, rule->name);
        if (is_insulin)
                draft_value(draft, RECORD_UNIT_INSULIN, pump_number(milli));
        set_raw(draft, rule->name);
        r = put(m, draft);
        if (r || !is_insulin)
                return r;

        draft = pump_draft(m->pump, RECORD_BOLUS);
        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(milli));
        (void) draft_token(draft, FIELD_TYPE, TOKEN_INJECTION);
        (void) draft_milli(draft, FIELD_DELIVERED, milli);
        key(draft, "marker");
        return put_extra(m, draft);
}

/* --- settings --- */

static const char *value_of(const Map *m, const Rule *rule, char *text, size_t n_text) {
        static const char *const patterns[] = { "standard", "pattern a", "pattern b" };
        unsigned b = entry(m)->bytes[1];
        char amount[16];

        if (!rule->format) { /* how CareLink puts it is not known: the bytes are kept */
                (void) snprintf(text, n_text, "%u", b);
                return entry(m)->n == DATE_END && rule->name[0] >= 'a' ? text : NULL;
        }
        switch (rule->format[0]) {
        case 'b': /* yes or no */
                return b & 1 ? "ENABLE=true" : "ENABLE=false";
        case 'p':
                (void) snprintf(text, n_text, "PATTERN_NAME=%s", b < N_ELEMENTS(patterns) ? patterns[b] : "?");
                return text;
        case 'r': /* U/h */
                pump_amount(amount, b * 25);
                (void) snprintf(text, n_text, "RATE=%s", amount);
                return text;
        case 'u':
                pump_amount(amount, b * 100);
                (void) snprintf(text, n_text, "AMOUNT=%s", amount);
                return text;
        case 't':
                return b ? "TEMP_BASAL_TYPE=percentage" : "TEMP_BASAL_TYPE=insulin_units";
        default: /* 'f' */
                return b ? "FORMAT=d24" : "FORMAT=d12";
        }
}

static int map_setting(Map *m, const Rule *rule) {
        Draft *draft = pump_draft(m->pump, RECORD_SETTINGS);
        const char *value;
        char text[64];

        set_text(draft, FIELD_SETTING, rule->name);
        value = value_of(m, rule, text, sizeof(text));
        if (value && requestor(entry(m)))
                (void) draft_text(draft, FIELD_SETTING_VALUE, pump_text(m->pump, "%s, ACTION_REQUESTOR=%s", value, requestor(entry(m))));
        else
                set_text(draft, FIELD_SETTING_VALUE, value);
        key(draft, rule->name);
        if (rule->format)
                set_raw(draft, rule->name);
        else
                set_bytes(m, draft, rule->name);
        return put(m, draft);
}

/* --- the table --- */

static const Rule rules[256] = {
        [0x01] = { "BolusNormal", map_bolus, 0, NULL },
        [0x03] = { "Prime", map_prime, 0, NULL },
        [0x06] = { "AlarmPump", map_alarm, 0, NULL },
        [0x07] = { "ResultDailyTotal", map_daily_total, 0, NULL },
        [0x08] = { "ChangeBasalProfilePatternPre", map_setting, 0, NULL },
        [0x09] = { "ChangeBasalProfilePattern", map_setting, 0, NULL },
        [0x0a] = { "CalBGForPH", map_pump_glucose, 0, NULL },
        [0x0b] = { "AlarmSensor", map_alarm, 0, NULL },
        [0x0c] = { "ClearAlarm", map_alarm, 0, NULL },
        [0x14] = { "ChangeActiveBasalProfilePattern", map_setting, 0, "p" },
        [0x16] = { "ChangeTempBasalNoRate", map_temp_duration, 0, NULL },
        [0x17] = { "ChangeTime", map_time, 0, NULL },
        [0x18] = { "new time set", map_event, TOKEN_CLOCK_CHANGE, NULL },
        [0x19] = { "JournalEntryPumpLowBattery", map_plain_event, TOKEN_BATTERY, NULL },
        [0x1a] = { "ChangeBatteryEnable", map_battery, 0, NULL },
        [0x1b] = { "auto off", map_setting, 0, NULL },
        [0x1c] = { "prepare insulin change", map_event, TOKEN_RESERVOIR, NULL },
        [0x1e] = { "ChangeSuspendEnable", map_suspend, 0, NULL },
        [0x1f] = { "ChangeSuspendEnable", map_suspend, 0, NULL },
        [0x20] = { "SelfTest", map_event, TOKEN_OTHER, NULL },
        [0x21] = { "Rewind", map_event, TOKEN_REWIND, NULL },
        [0x22] = { "clear settings", map_setting, 0, NULL },
        [0x23] = { "ChangeChildBlockEnable", map_setting, 0, "b" },
        [0x24] = { "ChangeMaxBolus", map_setting, 0, "u" },
        [0x25] = { "max basal (old)", map_setting, 0, NULL },
        [0x26] = { "ChangeRemoteControlID", map_setting, 0, NULL },
        [0x27] = { "remote id", map_setting, 0, NULL },
        [0x29] = { "code update", map_setting, 0, NULL },
        [0x2c] = { "ChangeMaxBasal", map_setting, 0, "r" },
        [0x2d] = { "ChangeBolusWizardEnable", map_setting, 0, "b" },
        [0x2e] = { "settings (512)", map_setting, 0, NULL },
        [0x2f] = { "BolusWizardBolusEstimate", map_wizard, 0, NULL },
        [0x30] = { "UnabsorbedInsulin", map_nothing, 0, NULL },
        [0x31] = { "glucose reminder", map_setting, 0, NULL },
        [0x32] = { "alarm clock time", map_setting, 0, NULL },
        [0x33] = { "ChangeTempBasal", map_temp_basal, 0, NULL },
        [0x34] = { "JournalEntryPumpLowReservoir", map_reservoir, 0, NULL },
        [0x35] = { "alarm clock", map_event, TOKEN_OTHER, NULL },
        [0x36] = { "meter id", map_setting, 0, NULL },
        [0x39] = { "BGReceived", map_meter, 0, NULL },
        [0x3a] = { "confirm insulin change", map_event, TOKEN_RESERVOIR, NULL },
        [0x3b] = { "history record 3b", map_event, TOKEN_OTHER, NULL },
        [0x3c] = { "ChangeParadigmLinkID", map_setting, 0, NULL },
        [0x3f] = { "BGReceived", map_meter, 0, NULL },
        [0x40] = { "JournalEntryMealMarker", map_meal, 0, NULL },
        [0x41] = { "JournalEntryExerciseMarker", map_marker, TOKEN_EXERCISE, NULL },
        [0x42] = { "JournalEntryInsulinMarker", map_marker, TOKEN_INSULIN, NULL },
        [0x43] = { "JournalEntryOtherMarker", map_marker, TOKEN_OTHER, NULL },
        [0x44] = { "sensor automatic calibration", map_setting, 0, "b" },
        [0x4f] = { "ChangeBolusWizardSetup", map_setting, 0, NULL },
        [0x50] = { "ChangeSensorSetup", map_setting, 0, NULL },
        [0x51] = { "ChangeSensorGraphTimeout", map_setting, 0, NULL },
        [0x52] = { "sensor demo", map_setting, 0, NULL },
        [0x53] = { "ChangeSensorAlarmSilenceConfig", map_setting, 0, NULL },
        [0x54] = { "ChangeSensorGlucoseLimitPatternSetup", map_setting, 0, NULL },
        [0x55] = { "sensor predictive alerts", map_setting, 0, NULL },
        [0x56] = { "ChangeSensorRateOfChangeAlertSetup", map_setting, 0, NULL },
        [0x57] = { "bolus step", map_setting, 0, NULL },
        [0x5a] = { "ChangeBolusWizardSetup", map_setting, 0, NULL },
        [0x5b] = { "BolusWizardBolusEstimate", map_wizard, 0, NULL },
        [0x5c] = { "UnabsorbedInsulin", map_nothing, 0, NULL },
        [0x5d] = { "SaveSettings", map_event, TOKEN_OTHER, NULL },
        [0x5e] = { "ChangeVariableBolusEnable", map_setting, 0, "b" },
        [0x5f] = { "audio bolus", map_setting, 0, NULL },
        [0x60] = { "ChangeBGReminderEnable", map_setting, 0, "b" },
        [0x61] = { "alarm clock enable", map_setting, 0, "b" },
        [0x62] = { "ChangeTempBasalType", map_setting, 0, "t" },
        [0x63] = { "ChangeAlarmNotifyMode", map_setting, 0, NULL },
        [0x64] = { "ChangeTimeDisplayFormat", map_setting, 0, "f" },
        [0x65] = { "reservoir warning", map_setting, 0, NULL },
        [0x66] = { "bolus reminder enable", map_setting, 0, "b" },
        [0x67] = { "bolus reminder set", map_setting, 0, NULL },
        [0x68] = { "bolus reminder deleted", map_setting, 0, NULL },
        [0x69] = { "bolus reminder", map_event, TOKEN_OTHER, NULL },
        [0x6a] = { "alarm clock deleted", map_setting, 0, NULL },
        [0x6c] = { "daily totals (515)", map_sums, 0, NULL },
        [0x6d] = { "daily totals (522)", map_sums, 0, NULL },
        [0x6e] = { "daily totals (523)", map_sums, 0, NULL },
        [0x6f] = { "carb units", map_setting, 0, NULL },
        [0x7b] = { "BasalProfileStart", map_basal, 0, NULL },
        [0x7c] = { "ChangeWatchdogEnable", map_setting, 0, "b" },
        [0x7d] = { "other device id", map_setting, 0, NULL },
        [0x7e] = { "watchdog marriage", map_setting, 0, NULL },
        [0x7f] = { "other device deleted", map_setting, 0, NULL },
        [0x81] = { "marriage", map_setting, 0, NULL },
        [0x82] = { "marriage deleted", map_setting, 0, NULL },
        [0x83] = { "ChangeCaptureEventEnable", map_setting, 0, "b" },
};

static int report_end(Pump *pump, int walked, const PumpPage *page, size_t at) {
        const uint8_t *rest = page->bytes + at;
        size_t n = PARADIGM_HISTORY_END - at;

        while (n && rest[n - 1] == 0)
                n--;
        if (walked == PARADIGM_HISTORY_E_UNKNOWN)
                return pump_reject(pump, page->number, rest, n,
                                   "history page %u, byte %zu: record type %02x is not known, nor what follows it", page->number, at, rest[0]);
        if (walked == PARADIGM_HISTORY_E_DAMAGED)
                return pump_reject(pump, page->number, rest, n,
                                   "history page %u, byte %zu: a record is damaged; what follows it was not read", page->number, at);
        return 0;
}

static int map_entries(Map *m) {
        int r = 0;

        for (m->at = 0; m->at < m->n && r == 0; m->at++) {
                const Rule *rule = &rules[entry(m)->op];

                assert(rule->map); /* a test says that the two tables have the same opcodes */
                pump_set_known(m->pump, m->pages[m->page_of[m->at]].is_known);
                r = rule->map(m, rule);
        }
        pump_set_known(m->pump, false);
        return r;
}

int pump_map_history(Pump *pump, const PumpPage *pages, size_t n_pages) {
        cleanup(freep) ParadigmEntry *entries = calloc(n_pages + 1, ENTRIES_MAX * sizeof(*entries));
        cleanup(freep) uint8_t *page_of = calloc(n_pages + 1, ENTRIES_MAX);
        Map m = { .pump = pump, .pages = pages, .entries = entries, .page_of = page_of, .is_large = pump_model(pump)->group == PARADIGM_X23 };
        int r;

        static_assert(PUMP_HISTORY_PAGES_MAX <= UINT8_MAX, "page_of has a byte for each");
        if (!entries || !page_of)
                return -ENOMEM;

        for (size_t i = 0; i != n_pages; i++) {
                const ParadigmEntry *head = NULL; /* the first with a time of a page that is not whole without the one before */
                ParadigmEntry first;
                bool is_head = pages[i].is_headless;
                size_t at = 0;
                int walked;

                while ((walked = paradigm_history_next(pages[i].bytes, pump_model(pump), &at, &entries[m.n])) == 0) {
                        const ParadigmEntry *e = &entries[m.n];

                        if (is_head && e->has_time && !head) {
                                first = *e;
                                head = &first;
                        }
                        is_head = is_head && (!e->has_time || e->local_ms == head->local_ms);
                        if (!is_head)
                                page_of[m.n++] = (uint8_t) i;
                }
                r = report_end(pump, walked, &pages[i], at);
                if (r)
                        return r;
        }
        return map_entries(&m);
}
