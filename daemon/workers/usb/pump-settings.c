/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Settings that are tables: basal profiles, the bolus wizard's, the sensor's. Their layouts were checked against the maker's
 * exports of a 522 and a 723, and those of profiles and wizard also against ecc1's records of a 515, 522, 523 and 554. The text is what is
 * set now; all bytes of the record are kept beside it. Where a table is not as those were, there is no text.
 */

#include "pump-map.h"

#include <stdarg.h>
#include <stdio.h>

enum {
        DATE_END = 7,
        HALF_HOURS = 48, /* of a day: when an item of a table begins */
        HALF_HOUR_MIN = 30,

        PROFILE_ITEM = 3, /* u8 begin; u16 rate, 1/40 U/h, little-endian */

        /* of the wizard: what was set, what is set now, and a byte: hours of insulin action, in its upper half those of now */
        ITEMS_MAX = 8,
        RATIOS_AT = 2,           /* u8 begin, u8 ratio; from x23 on u16 ratio, and two bytes behind them all */
        SENSITIVITY_ITEM = 2,    /* u8 begin and, in bit 6, 256; u8 sensitivity */
        TARGET_ITEM = 3,         /* u8 begin, low, high */
        UNIT_MG_DL = 1,
        UNIT_MMOL_L = 2,
        UNIT_GRAM = 1,
        UNIT_EXCHANGE = 2,

        SENSOR_SIZE = 16, /* of one of two such tables */
};

typedef struct Text {
        char bytes[1200]; /* 48 segments of 21 bytes, and what they are */
        size_t n;
} Text;

static void add(Text *text, const char *format, ...) printf_like(2, 3);
static void add(Text *text, const char *format, ...) {
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text->bytes + text->n, sizeof(text->bytes) - text->n, format, args);
        va_end(args);
        assert(n >= 0 && (size_t) n < sizeof(text->bytes) - text->n);
        text->n += (size_t) n;
}

static void add_time(Text *text, const char *before, unsigned half_hour) {
        add(text, "%s%02u:%02u ", before, half_hour * HALF_HOUR_MIN / 60, half_hour * HALF_HOUR_MIN % 60);
}

static void add_milli(Text *text, unsigned milli) {
        char amount[16];

        pump_amount(amount, milli);
        add(text, "%s", amount);
}

/* A table begins at midnight and goes on through the day. */
static bool is_in_order(const uint8_t *items, size_t n_items, size_t n_item, uint8_t mask) {
        for (size_t i = 0; i != n_items; i++) {
                unsigned begin = items[i * n_item] & mask;

                if (begin >= HALF_HOURS || (i ? begin <= (items[(i - 1) * n_item] & mask) : begin != 0))
                        return false;
        }
        return true;
}

static int put(Map *m, const Rule *rule, const Text *text, const Text *before) {
        Draft *draft = pump_draft(m->pump, RECORD_SETTINGS);

        map_text(draft, FIELD_SETTING, rule->name);
        if (text)
                (void) draft_text(draft, FIELD_SETTING_VALUE, pump_text(m->pump, "%s", text->bytes));
        if (before)
                (void) draft_text(draft, FIELD_EXTRA, pump_text(m->pump, "before=%s", before->bytes));
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        map_key(draft, rule->name);
        map_bytes(m, draft, rule->name);
        return map_put(m, draft);
}

/* --- basal profiles --- */

int settings_basal(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes, *items = b + DATE_END;
        unsigned n_items = b[1], pattern = b[4] >> 5;
        Text text = { .n = 0 };

        if (n_items > HALF_HOURS || !is_in_order(items, n_items, PROFILE_ITEM, 0xff))
                return put(m, rule, NULL, NULL);
        if (pattern) /* A and B by the order of a new pump's; no export has them */
                add(&text, "pattern %u: ", pattern);
        else
                add(&text, "standard: ");
        for (unsigned i = 0; i != n_items; i++) {
                add_time(&text, i ? ", " : "", items[i * PROFILE_ITEM]);
                add_milli(&text, get_le16(items + i * PROFILE_ITEM + 1) * 25u);
                add(&text, " U/h");
        }
        if (!n_items)
                add(&text, "empty");
        return put(m, rule, &text, NULL);
}

/* --- the bolus wizard --- */

typedef struct Tables {
        const uint8_t *ratios, *sensitivities, *targets;
        unsigned n_ratios, n_sensitivities, n_targets, carb_unit, glucose_unit, n_ratio;
} Tables;

static void add_glucose(Text *text, unsigned value, unsigned unit) {
        add_milli(text, value * (unit == UNIT_MMOL_L ? 100 : 1000));
}

/* Whether the units and the order are such that were seen beside what they mean. */
static bool is_known(const Tables *t) {
        if (t->n_ratios > ITEMS_MAX || t->n_sensitivities > ITEMS_MAX || t->n_targets > ITEMS_MAX)
                return false;
        if (t->n_ratios && t->carb_unit != UNIT_GRAM && t->carb_unit != UNIT_EXCHANGE)
                return false;
        if ((t->n_sensitivities || t->n_targets) && t->glucose_unit != UNIT_MG_DL && t->glucose_unit != UNIT_MMOL_L)
                return false;
        return is_in_order(t->ratios, t->n_ratios, t->n_ratio, 0xff) && is_in_order(t->sensitivities, t->n_sensitivities, SENSITIVITY_ITEM, 0xbf) &&
               is_in_order(t->targets, t->n_targets, TARGET_ITEM, 0xff);
}

static bool add_wizard(Text *text, const uint8_t *b, bool is_large, unsigned action_h) {
        size_t n_ratio = is_large ? 3 : 2, sensitivities_at = RATIOS_AT + ITEMS_MAX * n_ratio + (is_large ? 2 : 0);
        Tables t = {
                .ratios = b + RATIOS_AT, .n_ratios = b[0] >> 4, .carb_unit = b[0] & 3, .n_ratio = (unsigned) n_ratio,
                .sensitivities = b + sensitivities_at, .n_sensitivities = b[1] & 0x0f, .glucose_unit = b[0] >> 2 & 3,
                .targets = b + sensitivities_at + ITEMS_MAX * SENSITIVITY_ITEM, .n_targets = b[1] >> 4,
        };
        const char *glucose = t.glucose_unit == UNIT_MMOL_L ? " mmol/L" : " mg/dL";

        if (!is_known(&t))
                return false;
        if (!t.n_ratios && !t.n_sensitivities && !t.n_targets) {
                add(text, "not set");
                return true;
        }
        for (unsigned i = 0; i != t.n_ratios; i++) {
                const uint8_t *item = t.ratios + i * n_ratio;

                add_time(text, i ? ", " : "carb ratio ", item[0]);
                if (t.carb_unit == UNIT_EXCHANGE)
                        add_milli(text, is_large ? paradigm_be16(item + 1) : item[1] * 100u);
                else
                        add_milli(text, is_large ? paradigm_be16(item + 1) * 100u : item[1] * 1000u);
        }
        if (t.n_ratios)
                add(text, t.carb_unit == UNIT_EXCHANGE ? " U/exchange; " : " g/U; ");
        for (unsigned i = 0; i != t.n_sensitivities; i++) {
                const uint8_t *item = t.sensitivities + i * SENSITIVITY_ITEM;

                add_time(text, i ? ", " : "sensitivity ", item[0] & 0x3f);
                add_glucose(text, (item[0] & 0x40u) << 2 | item[1], t.glucose_unit);
        }
        if (t.n_sensitivities)
                add(text, "%s per U; ", glucose);
        for (unsigned i = 0; i != t.n_targets; i++) {
                const uint8_t *item = t.targets + i * TARGET_ITEM;

                add_time(text, i ? ", " : "target ", item[0]);
                add_glucose(text, item[1], t.glucose_unit);
                add(text, "-");
                add_glucose(text, item[2], t.glucose_unit);
        }
        if (t.n_targets)
                add(text, "%s; ", glucose);
        add(text, "insulin action %u h", action_h);
        return true;
}

int settings_wizard(Map *m, const Rule *rule) {
        const ParadigmEntry *e = map_entry(m);
        size_t n_table = (e->n - DATE_END - 1) / 2;
        const uint8_t *b = e->bytes + DATE_END;
        Text text = { .n = 0 }, before = { .n = 0 };
        bool has_before = add_wizard(&before, b, m->is_large, b[2 * n_table] & 0x0f);
        bool has_text = add_wizard(&text, b + n_table, m->is_large, b[2 * n_table] >> 4);

        return put(m, rule, has_text ? &text : NULL, has_before ? &before : NULL);
}

/* --- the sensor --- */

/* Of the 522 and 722. Which bits of the second byte switch which alert no export tells; nor does it what mmol/L looks like. */
static bool add_sensor(Text *text, const uint8_t *b) {
        if ((b[0] & 0xfe) != UNIT_MG_DL << 5)
                return false;
        add(text, "sensor %s, high limit %u mg/dL, low limit %u mg/dL, high snooze %u min, low snooze %u min, alarm snooze %u min, calibration reminder %u min, missed data %u min",
            b[0] & 1 ? "on" : "off", paradigm_be16(b + 2), b[4], paradigm_be16(b + 7), b[9], paradigm_be16(b + 10), b[12], b[6]);
        return true;
}

int settings_sensor(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes + DATE_END;
        Text text = { .n = 0 }, before = { .n = 0 };
        bool has_before = !m->is_large && add_sensor(&before, b), has_text = !m->is_large && add_sensor(&text, b + SENSOR_SIZE);

        return put(m, rule, has_text ? &text : NULL, has_before ? &before : NULL);
}
