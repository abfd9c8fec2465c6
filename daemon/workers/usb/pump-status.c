/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a pump says of itself when it is asked: how it is, its settings, its basal profiles. Records at the time that its
 * clock shows. Of the settings only what the specification has is put in words, and all of the bytes are kept.
 */

#include "pump-private.h"

#include <stdio.h>

enum {
        PROFILE_ITEMS_MAX = 48,
        PROFILE_ITEM = 3, /* u16 rate in 1/40 U/h, little-endian; u8 half hour of the day */
        HALF_HOUR_MIN = 30,
};

/* @text is static */
static void set_text(Draft *draft, FieldId id, const char *text) {
        (void) draft_text(draft, id, (Cell) { text, strlen(text) });
}

static void set_bytes(Pump *pump, Draft *draft, const uint8_t *bytes, size_t n) {
        char hex[2 * PUMP_READING_MAX + 1];

        for (size_t i = 0; i != n; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", bytes[i]);
        (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(pump, "bytes=%.*s", (int) (2 * n), hex));
}

/* Battery, reservoir, state: four bytes each. */
static Draft *draft_status(Pump *pump, const uint8_t *bytes) {
        uint32_t battery_mv = pump_battery_mv(bytes);
        int32_t reservoir_milli = pump_reservoir_milli(pump_model(pump), bytes + PUMP_STATUS_PART);
        const uint8_t *state = bytes + 2 * PUMP_STATUS_PART;
        Draft *draft = pump_draft(pump, RECORD_DEVICE_EVENT);

        (void) draft_token(draft, FIELD_TYPE, TOKEN_RESERVOIR);
        if (reservoir_milli >= 0)
                draft_value(draft, RECORD_UNIT_INSULIN, pump_number(reservoir_milli));
        (void) draft_text(draft, FIELD_TEXT_DEVICE,
                          pump_text(pump, "battery %u.%02u V%s, %s", battery_mv / 1000, battery_mv / 10 % 100, bytes[0] ? " (low)" : "",
                                    state[2] ? "suspended" : state[1] ? "giving a bolus" : "delivering"));
        return draft;
}

/* Bytes 5 to 7 up to x22, one more from x23 on; as the pump's menu has them. */
static Draft *draft_settings(Pump *pump, const uint8_t *bytes) {
        static const char *const patterns[] = { "standard", "A", "B" };
        bool is_large = pump_model(pump)->group == PARADIGM_X23;
        const uint8_t *b = bytes + (is_large ? 1 : 0);
        unsigned bolus = b[5] * 100u, basal = paradigm_be16(b + 6) * 25u, pattern = b[11];
        Draft *draft = pump_draft(pump, RECORD_SETTINGS);
        char max_bolus[16], max_basal[16];

        pump_amount(max_bolus, bolus);
        pump_amount(max_basal, basal);
        set_text(draft, FIELD_SETTING, "pump settings");
        (void) draft_text(draft, FIELD_SETTING_VALUE,
                          pump_text(pump, "max bolus %s U, max basal %s U/h, pattern %s", max_bolus, max_basal,
                                    !b[10] ? "off" : pattern < N_ELEMENTS(patterns) ? patterns[pattern] : "unknown"));
        return draft;
}

static Draft *draft_profile(Pump *pump, const char *name, const uint8_t *bytes) {
        Draft *draft = pump_draft(pump, RECORD_SETTINGS);
        char text[PROFILE_ITEMS_MAX * 24] = "", rate[16];
        size_t n = 0;

        for (size_t i = 0; i != PROFILE_ITEMS_MAX; i++) {
                const uint8_t *item = bytes + i * PROFILE_ITEM;

                /* the first with a start that can't be: no profile; a later one of zeros: the end */
                if (item[2] >= PROFILE_ITEMS_MAX || (i && item[0] == 0 && item[1] == 0 && item[2] == 0))
                        break;
                pump_amount(rate, get_le16(item) * 25u);
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%s%02u:%02u %s U/h", i ? ", " : "", item[2] * HALF_HOUR_MIN / 60,
                                       item[2] * HALF_HOUR_MIN % 60, rate);
        }
        set_text(draft, FIELD_SETTING, name);
        (void) draft_text(draft, FIELD_SETTING_VALUE, pump_text(pump, "%s", n ? text : "empty"));
        return draft;
}

uint32_t pump_battery_mv(const uint8_t bytes[static 3]) {
        return paradigm_be16(bytes + 1) * 10;
}

int32_t pump_reservoir_milli(const ParadigmModel *model, const uint8_t bytes[static 4]) {
        return (int32_t) (model->group == PARADIGM_X23 ? paradigm_be16(bytes + 2) * 25 : paradigm_be16(bytes) * 100);
}

int pump_add_reading(Pump *pump, PumpReading reading, int64_t local_ms, const uint8_t *bytes, size_t n) {
        static const char *const names[N_PUMP_READINGS] = {
                [PUMP_STATUS] = "status", [PUMP_SETTINGS] = "pump settings", [PUMP_PROFILE_STANDARD] = "basal profile standard",
                [PUMP_PROFILE_A] = "basal profile A", [PUMP_PROFILE_B] = "basal profile B",
        };
        Draft *draft;

        assert(n <= PUMP_READING_MAX);
        assert(n >= (reading == PUMP_STATUS ? 3 * PUMP_STATUS_PART : reading == PUMP_SETTINGS ? 16 : PROFILE_ITEMS_MAX * PROFILE_ITEM));
        draft = reading == PUMP_STATUS ? draft_status(pump, bytes) : reading == PUMP_SETTINGS ? draft_settings(pump, bytes) : draft_profile(pump, names[reading], bytes);
        draft_key(draft, names[reading], strlen(names[reading]));
        set_text(draft, FIELD_RAW_TYPE, names[reading]);
        set_bytes(pump, draft, bytes, n);
        return pump_put(pump, draft, local_ms, 0, true);
}
