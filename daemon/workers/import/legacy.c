/* SPDX-License-Identifier: Apache-2.0 */

#include "draft.h"

/*
 * Family A, v1.0.1 (to about 2017): Raw-Type says what a row is, Raw-Values holds it without loss ("AMOUNT=40.625",
 * where Daily Insulin Total shows 40.6). Numbers are taken from there; glucose from its own column, whose name says
 * the unit. Values that no field takes stay in FIELD_RAW_VALUES; those of ids, names and unknown keys only there.
 *
 * Raw-ID, Raw-Upload ID and Raw-Seq Num are kept as FIELD_RAW_KEY: in overlapping exports of one account they were the
 * same for every shared event (218 of 218). They tell settings of one second apart, nothing else.
 */

enum {
        RAW_MAX = 48, /* pairs in Raw-Values; 17 seen */
};

typedef struct Raw {
        Cell key, value;
        bool is_used;
} Raw;

typedef struct Legacy {
        Drafts *drafts;
        Cell type, values, id;
        Raw raw[RAW_MAX];
        unsigned n_raw;
} Legacy;

static bool is_key(char c) {
        return (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_';
}

/* Length of "KEY" when @text begins with KEY=, else 0. */
static size_t key_length(const char *text, size_t n) {
        size_t i = 0;

        while (i != n && is_key(text[i]))
                i++;
        return i != n && text[i] == '=' ? i : 0;
}

/* K=V, K=V: a value ends where ", KEY=" follows. */
static void read_raw(Legacy *l, Cell values) {
        size_t at = 0;

        l->n_raw = 0;
        while (at < values.n && l->n_raw < RAW_MAX) {
                size_t n_key = key_length(values.text + at, values.n - at), end;
                Raw *raw = &l->raw[l->n_raw];

                if (n_key == 0)
                        break;
                raw->key = (Cell) { values.text + at, n_key };
                at += n_key + 1;
                end = at;
                while (end != values.n &&
                       !(values.n - end > 2 && values.text[end] == ',' && values.text[end + 1] == ' ' &&
                         key_length(values.text + end + 2, values.n - end - 2)))
                        end++;
                raw->value = (Cell) { values.text + at, end - at };
                raw->is_used = cell_is(raw->value, "null");
                l->n_raw++;
                at = end + 2;
        }

        if (at < values.n)
                drafts_reject(l->drafts, "column Raw-Values: not KEY=value, KEY=value");
}

static Cell raw_take(Legacy *l, const char *key) {
        for (unsigned i = 0; i != l->n_raw; i++) {
                if (!cell_is(l->raw[i].key, key) || cell_is(l->raw[i].value, "null"))
                        continue;
                l->raw[i].is_used = true;
                return l->raw[i].value;
        }
        return (Cell) { "", 0 };
}

static bool raw_has(const Legacy *l, const char *key) {
        for (unsigned i = 0; i != l->n_raw; i++)
                if (cell_is(l->raw[i].key, key))
                        return true;
        return false;
}

static bool raw_number(Legacy *l, const char *key, Number *ret) {
        Cell cell = raw_take(l, key);

        if (cell.n == 0)
                return false;
        if (!cell_number(cell, memchr(cell.text, ',', cell.n) ? ',' : '.', ret)) {
                drafts_reject(l->drafts, "column Raw-Values: %s is no number", key);
                return false;
        }
        if (!ret->is_exact)
                drafts_extra(l->drafts, key, strlen(key), cell);
        return true;
}

static void raw_milli(Legacy *l, Draft *draft, const char *key, FieldId id) {
        Number number;

        if (raw_number(l, key, &number))
                (void) draft_milli(draft, id, number.milli);
}

/* Milliseconds as whole seconds. */
static void raw_seconds(Legacy *l, Draft *draft, const char *key, FieldId id) {
        Cell cell = raw_take(l, key);
        uint32_t ms;

        if (cell.n == 0)
                return;
        if (!cell_uint(cell, &ms))
                drafts_reject(l->drafts, "column Raw-Values: %s is no time span", key);
        else if (!draft_uint(draft, id, ms / 1000))
                drafts_extra(l->drafts, key, strlen(key), cell);
}

static void raw_uint(Legacy *l, Draft *draft, const char *key, FieldId id) {
        Cell cell = raw_take(l, key);
        uint32_t number;

        if (cell.n && cell_uint(cell, &number))
                (void) draft_uint(draft, id, number);
        else if (cell.n)
                drafts_extra(l->drafts, key, strlen(key), cell);
}

static void raw_text(Legacy *l, Draft *draft, const char *key, FieldId id) {
        Cell cell = raw_take(l, key);

        if (cell.n && !draft_text(draft, id, cell))
                drafts_extra(l->drafts, key, strlen(key), cell);
}

static void key_cell(Draft *draft, Cell cell) {
        draft_key(draft, cell.text, cell.n);
}

/*
 * What the device itself measured, was set to or did: may leave the wallet as part of a text. Any other key, known as an
 * id, a serial number or a name that the patient chose, or not known at all, stays in FIELD_RAW_VALUES, which never does.
 */
static const char *const open_keys[] = {
        "ALARM_INDEX", "ALARM_SNOOZE_TIME", "ALARM_TIME", "ALARM_TYPE", "AMOUNT", "AMOUNT_HIGH", "AMOUNT_LOW",
        "BACKFILL_INDICATOR", "BG_UNITS", "CAL_FACTOR", "CAL_REMINDER_ENABLE", "CAL_REMINDER_TIME", "CAL_TYPE", "CARB_UNITS",
        "DURATION", "ENABLE", "ERROR_TYPE", "FALLING_LIMIT", "FALLING_LIMIT_ENABLE", "FORMAT", "HIGH_AREA_UNDER_CURVE",
        "HIGH_DURATION", "HIGH_ENABLE", "HIGH_GLUCOSE_ALARM_ENABLE", "HIGH_GLUCOSE_LIMIT", "HIGH_GLUCOSE_SNOOZE_TIME", "HIGH_LIMIT",
        "HIGH_LIMIT_ENABLE", "INDEX", "INSULIN_ACTION_CURVE", "ISIG", "IS_AUTO_CAL_ENABLE", "IS_BG_TARGETS_COMPLETE",
        "IS_BG_UNITS_COMPLETE", "IS_BOLUS_WIZARD_ENABLED", "IS_CARB_RATIOS_COMPLETE", "IS_CARB_UNITS_COMPLETE",
        "IS_INSULIN_SENSITIVITIES_COMPLETE", "IS_SENSOR_ENABLED", "IS_SETUP_COMPLETE", "LANGUAGE", "LEVEL", "LIMIT_UNITS", "LINE_NUM",
        "LOW_AREA_UNDER_CURVE", "LOW_DURATION", "LOW_ENABLE", "LOW_GLUCOSE_ALARM_ENABLE", "LOW_GLUCOSE_LIMIT",
        "LOW_GLUCOSE_SNOOZE_TIME", "LOW_LIMIT", "LOW_LIMIT_ENABLE", "MARRIED", "MISSED_DATA_TIME", "MODE", "MODEL_NUMBER",
        "NEW_FALLING_LIMIT", "NEW_FALLING_LIMIT_ENABLE", "NEW_LIMIT_UNITS", "NEW_RISING_LIMIT", "NEW_RISING_LIMIT_ENABLE", "NEW_TIME",
        "NUM_PROFILES", "OLD_FALLING_LIMIT", "OLD_FALLING_LIMIT_ENABLE", "OLD_LIMIT_UNITS", "OLD_RISING_LIMIT",
        "OLD_RISING_LIMIT_ENABLE", "ORIGINAL_UNITS", "PACKET_TYPE", "PAGE_NUMBER", "PRIME_TYPE", "PROFILE_INDEX", "PROGRAMMED_AMOUNT",
        "PROGRAMMER_NUM", "RATE", "RAW_MODULE", "RAW_STATUS", "RAW_TYPE", "RISING_LIMIT", "RISING_LIMIT_ENABLE", "SAVE_TIME", "SCOPE",
        "SIZE", "START_TIME", "STATUS", "STATUS_TYPE", "STEP_SIZE", "SYNC_TYPE", "TEMP_BASAL_TYPE", "TIME", "TIMESTAMP_TYPE", "UNITS",
        "VCNTR", "VOLTAGE",
};

static bool is_open(const Raw *raw) {
        for (size_t i = 0; i != N_ELEMENTS(open_keys); i++)
                if (cell_is(raw->key, open_keys[i]))
                        return true;
        return false;
}

/* What is left, "K=V, K=V"; @only_open leaves out what may not leave the wallet. */
static Cell raw_left(Legacy *l, bool only_open) {
        Drafts *drafts = l->drafts;
        char *start = drafts->scratch + drafts->n_scratch, *at = start;
        size_t n_left = sizeof(drafts->scratch) - drafts->n_scratch;

        for (unsigned i = 0; i != l->n_raw; i++) {
                const Raw *raw = &l->raw[i];
                size_t n = raw->key.n + raw->value.n + 3;

                if (raw->is_used || n > n_left)
                        continue;
                if (only_open && !is_open(raw))
                        continue;
                if (at != start) {
                        *at++ = ',';
                        *at++ = ' ';
                }
                memcpy(at, raw->key.text, raw->key.n);
                at += raw->key.n;
                *at++ = '=';
                memcpy(at, raw->value.text, raw->value.n);
                at += raw->value.n;
                n_left -= n;
        }

        drafts->n_scratch += (size_t) (at - start);
        return (Cell) { start, (size_t) (at - start) };
}

/* What is left becomes one text, as the device has it. */
static Cell open_values(Legacy *l) {
        Cell text = raw_left(l, true);

        for (unsigned i = 0; i != l->n_raw; i++)
                l->raw[i].is_used |= is_open(&l->raw[i]);
        return text;
}

static Draft *event(Legacy *l, TokenId type) {
        Draft *draft = drafts_add(l->drafts, RECORD_DEVICE_EVENT);
        Cell values;

        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        values = open_values(l);
        (void) draft_token(draft, FIELD_TYPE, type);
        (void) draft_text(draft, FIELD_TEXT_DEVICE, values);
        key_cell(draft, l->type);
        key_cell(draft, values);
        return draft;
}

/* Glucose from its column, whose unit is known, else from AMOUNT in the unit of that column. */
static void take_glucose(Legacy *l, Draft *draft, ColumnId column) {
        Drafts *drafts = l->drafts;
        Cell cell = drafts_take(drafts, column), raw = raw_take(l, "AMOUNT");
        unsigned unit = drafts_unit(drafts, column);

        if (unit == RECORD_UNIT_NONE)
                unit = drafts_unit(drafts, COLUMN_BG);
        if (unit == RECORD_UNIT_NONE) {
                drafts_reject(drafts, "no glucose column says the unit");
                return;
        }
        if (cell.n)
                drafts_glucose(drafts, draft, column);
        else if (!draft_glucose(draft, unit, raw, '.'))
                drafts_reject(drafts, "column Raw-Values: AMOUNT is no glucose value");
}

static void map_bolus(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_BOLUS);
        bool is_dual = cell_is(raw_take(l, "IS_DUAL_COMPONENT"), "true"), is_square = cell_is(l->type, "BolusSquare");
        TokenId type = is_square ? is_dual ? TOKEN_DUAL_SQUARE : TOKEN_SQUARE : is_dual ? TOKEN_DUAL_NORMAL : TOKEN_NORMAL;
        Number number;

        (void) draft_token(draft, FIELD_TYPE, type);
        raw_milli(l, draft, "PROGRAMMED_AMOUNT", FIELD_PROGRAMMED);
        if (raw_number(l, "AMOUNT", &number))
                draft_delivered(draft, number);
        raw_seconds(l, draft, "DURATION", FIELD_DURATION_S);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        raw_milli(l, draft, "UNABSORBED_INSULIN_TOTAL", FIELD_UNABSORBED);
        draft_key(draft, record_token_name(type), strlen(record_token_name(type)));
}

/* of the glucose that a draft has: "mg dl", "mmol l" */
static void glucose_unit(Legacy *l, Draft *draft) {
        static const uint64_t of_glucose = UINT64_C(1) << FIELD_SENSITIVITY | UINT64_C(1) << FIELD_TARGET_LOW |
                                           UINT64_C(1) << FIELD_TARGET_HIGH | UINT64_C(1) << FIELD_GLUCOSE_INPUT;
        Cell unit = raw_take(l, "BG_UNITS");

        if (cell_begins(unit, "mg") || cell_begins(unit, "mmol"))
                (void) draft_token(draft, FIELD_GLUCOSE_UNIT, cell_begins(unit, "mg") ? TOKEN_MG_DL : TOKEN_MMOL_L);
        else if (draft->set & of_glucose)
                drafts_reject(l->drafts, "column Raw-Values: BG_UNITS is neither mg/dL nor mmol/L");
}

/* Of the carbs that are there: any but the two that a record can say rejects the row. */
static unsigned carb_unit(Legacy *l, bool has_carbs) {
        unsigned unit = column_carb_unit(raw_take(l, "CARB_UNITS"));

        if (has_carbs && unit == RECORD_UNIT_NONE)
                drafts_reject(l->drafts, "column Raw-Values: CARB_UNITS is neither grams nor exchanges");
        return unit;
}

static void glucose_milli(Legacy *l, Draft *draft, const char *key, FieldId id) {
        Number number;

        if (raw_number(l, key, &number) && number.milli != 0)
                (void) draft_milli(draft, id, number.milli);
}

static void map_wizard(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_WIZARD);
        Number number, carbs;
        bool has_carbs;
        unsigned unit;

        if (raw_number(l, "BOLUS_ESTIMATE", &number))
                draft_value(draft, RECORD_UNIT_INSULIN, number);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        has_carbs = raw_number(l, "CARB_INPUT", &carbs);
        unit = carb_unit(l, has_carbs);
        if (has_carbs) {
                (void) draft_milli(draft, FIELD_CARBS, carbs.milli);
                (void) draft_token(draft, FIELD_CARB_UNIT, unit == RECORD_UNIT_EXCHANGE ? TOKEN_EXCHANGE : TOKEN_GRAM);
        }
        raw_milli(l, draft, "CARB_RATIO", FIELD_CARB_RATIO);
        glucose_milli(l, draft, "INSULIN_SENSITIVITY", FIELD_SENSITIVITY);
        glucose_milli(l, draft, "BG_TARGET_LOW", FIELD_TARGET_LOW);
        glucose_milli(l, draft, "BG_TARGET_HIGH", FIELD_TARGET_HIGH);
        glucose_milli(l, draft, "BG_INPUT", FIELD_GLUCOSE_INPUT);
        glucose_unit(l, draft);
        raw_milli(l, draft, "CORRECTION_ESTIMATE", FIELD_CORRECTION_ESTIMATE);
        raw_milli(l, draft, "FOOD_ESTIMATE", FIELD_FOOD_ESTIMATE);
        raw_milli(l, draft, "UNABSORBED_INSULIN_TOTAL", FIELD_UNABSORBED);
        /* what stands in UnabsorbedInsulin rows of the same second becomes part of this one */
        draft_join(draft, DRAFT_WIZARD, l->id.text, l->id.n);

        if (has_carbs && carbs.milli > 0) {
                draft = drafts_add(l->drafts, RECORD_CARBS);
                draft_value(draft, (RecordUnit) unit, carbs);
                (void) draft_text(draft, FIELD_ORIGIN, (Cell) { "bolus wizard", 12 });
                draft_key(draft, "wizard", 6);
        }
}

/* One bolus that an estimate still counted: up to some thirty rows become part of the estimate, so their text is short. */
static void map_unabsorbed(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_WIZARD);
        Cell wizard = raw_take(l, "BOLUS_ESTIMATE_DATUM"), at = raw_take(l, "INDEX"), amount = raw_take(l, "AMOUNT");
        Cell age = raw_take(l, "RECORD_AGE"), curve = raw_take(l, "INSULIN_ACTION_CURVE"), rest = raw_left(l, false);

        draft_join(draft, DRAFT_WIZARD_PART, wizard.text, wizard.n);
        draft->is_part_only = true;
        (void) draft_text(draft, FIELD_EXTRA, drafts_text(l->drafts, "unabsorbed %.*s=%.*s U, %.*s of %.*s min%s%.*s", (int) at.n, at.text,
                                                          (int) amount.n, amount.text, (int) age.n, age.text, (int) curve.n, curve.text,
                                                          rest.n ? ", " : "", (int) rest.n, rest.text));
}

static void map_basal(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_BASAL);
        Number number;

        (void) draft_token(draft, FIELD_TYPE, TOKEN_RATE);
        if (raw_number(l, "RATE", &number))
                draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, number);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        raw_uint(l, draft, "PROFILE_INDEX", FIELD_INDEX);
        raw_seconds(l, draft, "START_TIME", FIELD_START_S);
        raw_text(l, draft, "PATTERN_NAME", FIELD_NAME);
        draft_key(draft, "rate", 4);
}

/* A percentage, a rate, or (ChangeTempBasalNoRate, written beside one of the others) only the duration. */
static void map_temp_basal(Legacy *l) {
        bool is_percent = cell_is(l->type, "ChangeTempBasalPercent"), is_part = cell_is(l->type, "ChangeTempBasalNoRate");
        Draft *draft = drafts_add(l->drafts, RECORD_BASAL);
        Cell duration = raw_take(l, "DURATION");
        Number number;

        (void) draft_token(draft, FIELD_TYPE, is_percent ? TOKEN_TEMP_PERCENT : TOKEN_TEMP);
        if (raw_number(l, is_percent ? "PERCENT_OF_RATE" : "RATE", &number))
                draft_value(draft, is_percent ? RECORD_UNIT_PERCENT : RECORD_UNIT_INSULIN_PER_HOUR, number);
        raw_seconds(l, draft, "DURATION", FIELD_DURATION_S);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        key_cell(draft, l->type);
        draft_join(draft, is_part ? DRAFT_TEMP_BASAL_PART : DRAFT_TEMP_BASAL, duration.text, duration.n);
}

static void map_suspend(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_BASAL);
        Cell enable = raw_take(l, "ENABLE");
        bool is_resume = cell_is(enable, "normal_pumping");

        (void) draft_token(draft, FIELD_TYPE, is_resume ? TOKEN_RESUME : TOKEN_SUSPEND);
        (void) draft_text(draft, FIELD_REASON, enable);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        draft_key(draft, is_resume ? "resume" : "suspend", is_resume ? 6 : 7);
}

/*
 * BGReceived: a meter sent a reading. CalBGForPH: the pump noted a glucose value; in the same second and with the same
 * value it is that reading, alone it was entered by hand. CalBGForGH: the sensor took one to calibrate.
 */
static void map_meter(Legacy *l) {
        bool is_received = cell_is(l->type, "BGReceived");
        Draft *draft = drafts_add(l->drafts, RECORD_FINGERSTICK);
        Cell key;

        take_glucose(l, draft, is_received ? COLUMN_BG : COLUMN_CALIBRATION);
        (void) draft_text(draft, FIELD_GLUCOSE_SOURCE, l->type);
        (void) draft_text(draft, FIELD_LINKED_METER, drafts_take(l->drafts, COLUMN_METER));
        key = drafts_text(l->drafts, "meter\n%u\n%d", draft->unit, draft->value_milli);
        draft_join(draft, is_received ? DRAFT_METER : DRAFT_METER_TWIN, key.text, key.n);
}

static void map_calibration(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_CALIBRATION);

        take_glucose(l, draft, COLUMN_CALIBRATION);
        raw_text(l, draft, "ORIGIN_TYPE", FIELD_GLUCOSE_SOURCE);
}

/* AMOUNT of the High and Low types is the end of the range, not a reading. */
static void map_sensor(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_CGM);
        bool is_high = cell_is(l->type, "GlucoseSensorDataHigh"), is_low = cell_is(l->type, "GlucoseSensorDataLow");

        raw_milli(l, draft, "ISIG", FIELD_ISIG);
        take_glucose(l, draft, COLUMN_SENSOR_GLUCOSE);
        if (is_high || is_low) {
                draft->flags = is_high ? RECORD_CODE_HIGH : RECORD_CODE_LOW;
                draft->value_milli = 0;
                draft->decimals = 0;
        }
}

static void map_alarm(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_ALARM);

        raw_uint(l, draft, cell_is(l->type, "AlarmPump") ? "RAW_TYPE" : "ALARM_TYPE", FIELD_CODE);
        (void) draft_text(draft, FIELD_TEXT_DEVICE, drafts_take(l->drafts, COLUMN_ALERT));
        if (cell_is(l->type, "ClearAlarm"))
                (void) draft_token(draft, FIELD_CLEARED, TOKEN_YES);
        key_cell(draft, l->type);
        draft_key(draft, (const char *) &draft->fields[FIELD_CODE].number, draft->set & UINT64_C(1) << FIELD_CODE ? 4 : 0);
}

static void amount_event(Legacy *l, TokenId type) {
        Draft *draft;
        Number number;
        bool has_number = raw_number(l, "AMOUNT", &number);

        draft = event(l, type);
        if (has_number)
                draft_value(draft, RECORD_UNIT_INSULIN, number);
}

static void map_daily_total(Legacy *l) {
        amount_event(l, TOKEN_DAILY_TOTAL);
}

static void map_reservoir(Legacy *l) {
        amount_event(l, TOKEN_RESERVOIR);
}

static void map_prime(Legacy *l) {
        Cell type = raw_take(l, "PRIME_TYPE");
        Number programmed;
        bool has_programmed = raw_number(l, "PROGRAMMED_AMOUNT", &programmed);

        amount_event(l, TOKEN_PRIME);
        (void) draft_text(&l->drafts->drafts[0], FIELD_TEXT_DEVICE, type);
        if (has_programmed)
                (void) draft_milli(&l->drafts->drafts[0], FIELD_PROGRAMMED, programmed.milli);
}

static void map_rewind(Legacy *l) {
        (void) event(l, TOKEN_REWIND);
}

static void map_battery(Legacy *l) {
        (void) event(l, TOKEN_BATTERY);
}

static void map_sensor_event(Legacy *l) {
        (void) event(l, TOKEN_SENSOR);
}

static void map_clock(Legacy *l) {
        Cell cell = drafts_take(l->drafts, COLUMN_NEW_TIME);
        Draft *draft = event(l, TOKEN_CLOCK_CHANGE);
        int64_t ms;

        if (cell.n && cell_moment(cell, l->drafts->scanner->day_first, &ms))
                (void) draft_text(draft, FIELD_NEW_TIME, drafts_moment(l->drafts, ms));
}

static void map_meal(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_CARBS);
        Number number;
        bool has_carbs = raw_number(l, "CARB_INPUT", &number);
        unsigned unit = carb_unit(l, has_carbs);

        if (has_carbs)
                draft_value(draft, (RecordUnit) unit, number);
        (void) draft_token(draft, FIELD_MARKER_TYPE, TOKEN_MEAL);
        raw_text(l, draft, "ACTION_REQUESTOR", FIELD_ORIGIN);
        key_cell(draft, l->type);
}

static void map_note(Legacy *l) {
        bool is_insulin = cell_has(l->type, "Insulin"), has_number;
        Draft *draft = drafts_add(l->drafts, RECORD_NOTE);
        Number number;

        has_number = is_insulin && raw_number(l, "AMOUNT", &number);
        (void) draft_token(draft, FIELD_MARKER_TYPE, is_insulin ? TOKEN_INSULIN : cell_has(l->type, "Exercise") ? TOKEN_EXERCISE : TOKEN_OTHER);
        (void) draft_text(draft, FIELD_MARKER, l->type);
        key_cell(draft, l->type);
        if (!has_number)
                return;
        draft_value(draft, RECORD_UNIT_INSULIN, number);
        draft = drafts_add(l->drafts, RECORD_BOLUS);
        draft_value(draft, RECORD_UNIT_INSULIN, number);
        (void) draft_token(draft, FIELD_TYPE, TOKEN_INJECTION);
        (void) draft_milli(draft, FIELD_DELIVERED, number.milli);
        draft_key(draft, "marker", 6);
}

/* Everything that is, or becomes, a setting: the type is its name; what is left of the raw values its value. */
static void map_setting(Legacy *l) {
        Draft *draft = drafts_add(l->drafts, RECORD_SETTINGS);

        (void) draft_text(draft, FIELD_SETTING, l->type);
        if (cell_has(l->type, "Profile")) {
                raw_uint(l, draft, "PROFILE_INDEX", FIELD_INDEX);
        } else {
                raw_uint(l, draft, "INDEX", FIELD_INDEX);
        }
        raw_seconds(l, draft, "START_TIME", FIELD_START_S);
        raw_text(l, draft, "PATTERN_NAME", FIELD_NAME);
        (void) draft_text(draft, FIELD_SETTING_VALUE, open_values(l));
        key_cell(draft, l->type);
        /* one that somebody made has a record of its own in the pump; parts of a table, and states at an upload, are several */
        if (!raw_has(l, "ACTION_REQUESTOR"))
                key_cell(draft, l->id);
}

static void map_other(Legacy *l) {
        if (cell_begins(l->type, "Current") || cell_begins(l->type, "Change"))
                map_setting(l);
        else if (cell_begins(l->type, "Sensor"))
                map_sensor_event(l);
        else if (cell_begins(l->type, "JournalEntry"))
                map_note(l);
        else if (cell_begins(l->type, "Alarm"))
                map_alarm(l);
        else
                (void) event(l, TOKEN_OTHER);
}

static const struct {
        const char *type;
        void (*map)(Legacy *l);
} types[] = {
        { "GlucoseSensorData", map_sensor },
        { "GlucoseSensorDataHigh", map_sensor },
        { "GlucoseSensorDataLow", map_sensor },
        { "UnabsorbedInsulin", map_unabsorbed },
        { "BolusNormal", map_bolus },
        { "BolusSquare", map_bolus },
        { "BolusWizardBolusEstimate", map_wizard },
        { "BasalProfileStart", map_basal },
        { "BGReceived", map_meter },
        { "CalBGForPH", map_meter },
        { "CalBGForGH", map_calibration },
        { "ChangeTempBasal", map_temp_basal },
        { "ChangeTempBasalPercent", map_temp_basal },
        { "ChangeTempBasalNoRate", map_temp_basal },
        { "ChangeSuspendEnable", map_suspend },
        { "ChangeTime", map_clock },
        { "ChangeTimeGH", map_clock },
        { "AlarmResetTimeChangeGH", map_clock },
        { "ChangeBatteryEnable", map_battery },
        { "ChangeBatteryEnableGH", map_battery },
        { "JournalEntryPumpLowBattery", map_battery },
        { "JournalEntryPumpLowReservoir", map_reservoir },
        { "JournalEntryMealMarker", map_meal },
        { "ResultDailyTotal", map_daily_total },
        { "Prime", map_prime },
        { "Rewind", map_rewind },
        { "AlarmPump", map_alarm },
        { "AlarmSensor", map_alarm },
        { "ClearAlarm", map_alarm },
};

void legacy_map(Drafts *drafts) {
        /* columns of the form itself: whatever stands there is also in Raw-Values */
        static const uint64_t known = (UINT64_C(1) << N_COLUMNS) - 1;
        static _Thread_local Legacy legacy;
        void (*map)(Legacy *l) = map_other;
        Legacy *l = &legacy;
        Cell upload, sequence;

        l->drafts = drafts;
        l->type = drafts_take(drafts, COLUMN_RAW_TYPE);
        l->id = drafts_take(drafts, COLUMN_RAW_ID);
        upload = drafts_take(drafts, COLUMN_RAW_UPLOAD);
        sequence = drafts_take(drafts, COLUMN_RAW_SEQUENCE);
        read_raw(l, drafts_take(drafts, COLUMN_RAW_VALUES));
        if (l->type.n == 0)
                drafts_reject(drafts, "column Raw-Type is empty");

        for (size_t i = 0; i != N_ELEMENTS(types); i++)
                if (cell_is(l->type, types[i].type))
                        map = types[i].map;
        map(l);
        drafts->used |= known;
        if (map == map_unabsorbed)
                return;

        (void) draft_text(&drafts->drafts[0], FIELD_RAW_TYPE, l->type);
        (void) draft_text(&drafts->drafts[0], FIELD_RAW_VALUES, raw_left(l, false));
        if (l->id.n)
                (void) draft_text(&drafts->drafts[0], FIELD_RAW_KEY,
                                  drafts_text(drafts, "%.*s/%.*s/%.*s", (int) l->id.n, l->id.text, (int) upload.n, upload.text,
                                              (int) sequence.n, sequence.text));
}
