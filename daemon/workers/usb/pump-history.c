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

#include "pump-map.h"

#include <stdio.h>

enum {
        ENTRIES_MAX = PARADIGM_PAGE_SIZE / 2, /* of a page: the shortest record has two bytes */
        TWIN_REACH = 8,                       /* records between a meter's reading and the pump's note of it */
        DATE_END = 7, /* of a record whose time is at 2: where its body begins */
};

void map_bytes(Map *m, Draft *draft, const char *name) {
        const ParadigmEntry *e = map_entry(m);
        char hex[2 * 255 + 1];

        for (size_t i = 0; i != e->n; i++)
                (void) snprintf(hex + 2 * i, 3, "%02x", e->bytes[i]);
        map_text(draft, FIELD_RAW_TYPE, name);
        (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "bytes=%s", hex));
}

static void set_glucose(Draft *draft, unsigned value, bool is_mmol) {
        if (value)
                draft_value(draft, is_mmol ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL, pump_number((int32_t) value * (is_mmol ? 100 : 1000)));
        else
                draft->unit = is_mmol ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL;
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
        const ParadigmEntry *e = map_entry(m);
        size_t from = m->at > TWIN_REACH ? m->at - TWIN_REACH : 0, to = m->n - m->at > TWIN_REACH ? m->at + TWIN_REACH : m->n;

        for (size_t i = from; i != to; i++)
                if (are_twins(e, &m->entries[i]) || are_twins(&m->entries[i], e))
                        return true;
        return false;
}

/* From a linked meter; always mg/dL. */
static int map_meter(Map *m, const Rule *rule) {
        const ParadigmEntry *e = map_entry(m);
        Draft *draft = pump_draft(m->pump, RECORD_FINGERSTICK);

        set_glucose(draft, meter_glucose(e), false);
        map_text(draft, FIELD_GLUCOSE_SOURCE, has_twin(m) ? "BGReceived,CalBGForPH" : rule->name);
        (void) draft_text(draft, FIELD_LINKED_METER, pump_text(m->pump, "#%02X%02X%02X", e->bytes[7], e->bytes[8], e->bytes[9]));
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

static int map_pump_glucose(Map *m, const Rule *rule) {
        const ParadigmEntry *e = map_entry(m);
        Draft *draft;

        if (has_twin(m))
                return 0;
        draft = pump_draft(m->pump, RECORD_FINGERSTICK);
        set_glucose(draft, pump_glucose(e), pump_glucose_is_mmol(e));
        map_text(draft, FIELD_GLUCOSE_SOURCE, rule->name);
        map_raw(draft, rule->name);
        return map_put(m, draft);
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
        const ParadigmEntry *e = map_entry(m);
        uint32_t code = e->bytes[1];
        Draft *draft = pump_draft(m->pump, RECORD_ALARM);

        (void) draft_uint(draft, FIELD_CODE, code);
        if (e->op == 0x06) {
                map_text(draft, FIELD_TEXT_DEVICE, word(pump_alarms, N_ELEMENTS(pump_alarms), code));
                (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "RAW_MODULE=%u, LINE_NUM=%u", (e->bytes[6] & 0xe0u) >> 2 | e->bytes[7] >> 5,
                                                                             paradigm_be16(e->bytes + 2)));
        }
        if (e->op == 0x0b) {
                map_text(draft, FIELD_TEXT_DEVICE, word(sensor_alarms, N_ELEMENTS(sensor_alarms), code));
                (void) draft_text(draft, FIELD_RAW_VALUES, pump_text(m->pump, "AMOUNT=%u, ACTION_REQUESTOR=sensor", e->bytes[2] | (e->bytes[7] & 0x80u) << 1));
        }
        if (e->op == 0x0c)
                (void) draft_token(draft, FIELD_CLEARED, TOKEN_YES);
        map_key(draft, rule->name);
        draft_key(draft, (const char *) &code, sizeof(code));
        map_raw(draft, rule->name);
        return map_put(m, draft);
}

/* --- what else happens --- */

static Draft *event(Map *m, const char *name, TokenId token, const char *values) {
        Draft *draft = pump_draft(m->pump, RECORD_DEVICE_EVENT);

        (void) draft_token(draft, FIELD_TYPE, token);
        map_text(draft, FIELD_TEXT_DEVICE, values[0] ? values : NULL);
        map_key(draft, name);
        map_key(draft, values);
        if (name[0] >= 'a')
                map_bytes(m, draft, name);
        else
                map_raw(draft, name);
        return draft;
}

static int map_event(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, (TokenId) rule->token, "");

        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        return map_put(m, draft);
}

/* Events of which CareLink does not say who made them. */
static int map_plain_event(Map *m, const Rule *rule) {
        return map_put(m, event(m, rule->name, (TokenId) rule->token, ""));
}

static int map_battery(Map *m, const Rule *rule) {
        return map_put(m, event(m, rule->name, TOKEN_BATTERY, map_entry(m)->bytes[1] ? "ENABLE=true" : "ENABLE=false"));
}

static int map_prime(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes;
        unsigned fixed = b[2], amount = b[4];
        Draft *draft = event(m, rule->name, TOKEN_PRIME, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number((int32_t) amount * 100));
        map_text(draft, FIELD_TEXT_DEVICE, fixed ? "fixed" : "manual");
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        (void) draft_milli(draft, FIELD_PROGRAMMED, (int32_t) fixed * 100);
        return map_put(m, draft);
}

static int map_daily_total(Map *m, const Rule *rule) {
        const uint8_t *b = map_entry(m)->bytes;
        Draft *draft = event(m, rule->name, TOKEN_DAILY_TOTAL, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number((int32_t) paradigm_be16(b + 3) * 25));
        return map_put(m, draft);
}

/* Sums of what the other records say one by one: kept as bytes. */
static int map_sums(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, TOKEN_OTHER, "");

        map_bytes(m, draft, rule->name);
        return map_put(m, draft);
}

static int map_reservoir(Map *m, const Rule *rule) {
        Draft *draft = event(m, rule->name, TOKEN_RESERVOIR, "");

        draft_value(draft, RECORD_UNIT_INSULIN, pump_number(map_entry(m)->bytes[1] * 100));
        map_text(draft, FIELD_ORIGIN, map_requestor(map_entry(m)));
        return map_put(m, draft);
}

/* The time that the pump showed, followed by the one that was set. */
static int map_time(Map *m, const Rule *rule) {
        const ParadigmEntry *e = map_entry(m), *after = map_next(m);
        bool is_known = after && after->op == 0x18;
        char day[16], values[40] = "";
        Draft *draft;
        int64_t s;
        int r;

        if (is_known)
                (void) snprintf(values, sizeof(values), "NEW_TIME=%lld", (long long) after->local_ms);
        draft = event(m, rule->name, TOKEN_CLOCK_CHANGE, values);
        map_text(draft, FIELD_ORIGIN, map_requestor(e));
        if (!is_known)
                return map_put(m, draft);

        s = after->local_ms / 1000;
        day_put(day, s / 86400);
        (void) draft_text(draft, FIELD_NEW_TIME, pump_text(m->pump, "%sT%02u:%02u:%02u", day, (unsigned) (s % 86400 / 3600),
                                                           (unsigned) (s % 3600 / 60), (unsigned) (s % 60)));
        r = map_put(m, draft);
        pump_mark_unset(m->pump, e->local_ms, after->local_ms);
        m->at++;
        if (r == 0 && after->local_ms <= e->local_ms - 60000)
                r = pump_note(m->pump, "The pump's clock was put back by %lld minutes on %s: the UTC times of records from these minutes are not certain.",
                              (long long) (e->local_ms - after->local_ms) / 60000, day);
        return r;
}

/* --- settings --- */

static const char *value_of(const Map *m, const Rule *rule, char *text, size_t n_text) {
        static const char *const patterns[] = { "standard", "pattern a", "pattern b" };
        unsigned b = map_entry(m)->bytes[1];
        char amount[16];

        if (!rule->format) { /* how CareLink puts it is not known: the bytes are kept */
                (void) snprintf(text, n_text, "%u", b);
                return map_entry(m)->n == DATE_END && rule->name[0] >= 'a' ? text : NULL;
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

        map_text(draft, FIELD_SETTING, rule->name);
        value = value_of(m, rule, text, sizeof(text));
        if (value && map_requestor(map_entry(m)))
                (void) draft_text(draft, FIELD_SETTING_VALUE, pump_text(m->pump, "%s, ACTION_REQUESTOR=%s", value, map_requestor(map_entry(m))));
        else
                map_text(draft, FIELD_SETTING_VALUE, value);
        map_key(draft, rule->name);
        if (rule->format)
                map_raw(draft, rule->name);
        else
                map_bytes(m, draft, rule->name);
        return map_put(m, draft);
}

/* --- the table --- */

static const Rule rules[256] = {
        [0x01] = { "BolusNormal", doses_bolus, 0, NULL },
        [0x03] = { "Prime", map_prime, 0, NULL },
        [0x06] = { "AlarmPump", map_alarm, 0, NULL },
        [0x07] = { "ResultDailyTotal", map_daily_total, 0, NULL },
        [0x08] = { "ChangeBasalProfilePatternPre", settings_basal, 0, NULL },
        [0x09] = { "ChangeBasalProfilePattern", settings_basal, 0, NULL },
        [0x0a] = { "CalBGForPH", map_pump_glucose, 0, NULL },
        [0x0b] = { "AlarmSensor", map_alarm, 0, NULL },
        [0x0c] = { "ClearAlarm", map_alarm, 0, NULL },
        [0x14] = { "ChangeActiveBasalProfilePattern", map_setting, 0, "p" },
        [0x16] = { "ChangeTempBasalNoRate", doses_temp_duration, 0, NULL },
        [0x17] = { "ChangeTime", map_time, 0, NULL },
        [0x18] = { "new time set", map_event, TOKEN_CLOCK_CHANGE, NULL },
        [0x19] = { "JournalEntryPumpLowBattery", map_plain_event, TOKEN_BATTERY, NULL },
        [0x1a] = { "ChangeBatteryEnable", map_battery, 0, NULL },
        [0x1b] = { "auto off", map_setting, 0, NULL },
        [0x1c] = { "prepare insulin change", map_event, TOKEN_RESERVOIR, NULL },
        [0x1e] = { "ChangeSuspendEnable", doses_suspend, 0, NULL },
        [0x1f] = { "ChangeSuspendEnable", doses_suspend, 0, NULL },
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
        [0x2f] = { "BolusWizardBolusEstimate", doses_wizard, 0, NULL },
        [0x30] = { "UnabsorbedInsulin", map_nothing, 0, NULL },
        [0x31] = { "glucose reminder", map_setting, 0, NULL },
        [0x32] = { "alarm clock time", map_setting, 0, NULL },
        [0x33] = { "ChangeTempBasal", doses_temp_basal, 0, NULL },
        [0x34] = { "JournalEntryPumpLowReservoir", map_reservoir, 0, NULL },
        [0x35] = { "alarm clock", map_event, TOKEN_OTHER, NULL },
        [0x36] = { "meter id", map_setting, 0, NULL },
        [0x39] = { "BGReceived", map_meter, 0, NULL },
        [0x3a] = { "confirm insulin change", map_event, TOKEN_RESERVOIR, NULL },
        [0x3b] = { "history record 3b", map_event, TOKEN_OTHER, NULL },
        [0x3c] = { "ChangeParadigmLinkID", map_setting, 0, NULL },
        [0x3f] = { "BGReceived", map_meter, 0, NULL },
        [0x40] = { "JournalEntryMealMarker", doses_meal, 0, NULL },
        [0x41] = { "JournalEntryExerciseMarker", doses_marker, TOKEN_EXERCISE, NULL },
        [0x42] = { "JournalEntryInsulinMarker", doses_marker, TOKEN_INSULIN, NULL },
        [0x43] = { "JournalEntryOtherMarker", doses_marker, TOKEN_OTHER, NULL },
        [0x44] = { "sensor automatic calibration", map_setting, 0, "b" },
        [0x4f] = { "ChangeSensorSetup", settings_sensor, 0, NULL },
        [0x50] = { "ChangeSensorSetup2", map_setting, 0, NULL },
        [0x51] = { "ChangeSensorGraphTimeout", map_setting, 0, NULL },
        [0x52] = { "sensor demo", map_setting, 0, NULL },
        [0x53] = { "ChangeSensorAlarmSilenceConfig", map_setting, 0, NULL },
        [0x54] = { "ChangeSensorGlucoseLimitPatternSetup", map_setting, 0, NULL },
        [0x55] = { "sensor predictive alerts", map_setting, 0, NULL },
        [0x56] = { "ChangeSensorRateOfChangeAlertSetup", map_setting, 0, NULL },
        [0x57] = { "bolus step", map_setting, 0, NULL },
        [0x5a] = { "ChangeBolusWizardSetup", settings_wizard, 0, NULL },
        [0x5b] = { "BolusWizardBolusEstimate", doses_wizard, 0, NULL },
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
        [0x7b] = { "BasalProfileStart", doses_basal, 0, NULL },
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

        if (page->is_known) /* it was reported when the page was read first */
                return 0;
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
                const Rule *rule = &rules[map_entry(m)->op];

                assert(rule->map); /* a test says that the two tables have the same opcodes */
                pump_set_known(m->pump, m->pages[m->page_of[m->at]].is_known);
                pump_set_raw(m->pump, map_entry(m)->bytes, map_entry(m)->n);
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
