/* SPDX-License-Identifier: Apache-2.0 */

#include "paradigm-history.h"

#include <string.h>

typedef enum Time {
        TIME_5,    /* five bytes */
        TIME_DAY,  /* two bytes: a day */
        TIME_NONE,
} Time;

/* Lengths, opcode and time included, and where the time is: up to x22, and from x23 on. 0 for the second: as the first. */
typedef struct Type {
        const char *name;
        uint8_t n, n_large;
        uint8_t at, at_large; /* of the time; 0: at 2 */
        uint8_t time;         /* Time */
} Type;

static const Type types[256] = {
        [0x01] = { "Bolus", 9, 13, 4, 8, TIME_5 },
        [0x03] = { "Prime", 10, 0, 5, 5, TIME_5 },
        [0x06] = { "AlarmPump", 9, 0, 4, 4, TIME_5 },
        [0x07] = { "ResultDailyTotal", 7, 10, 5, 5, TIME_DAY },
        [0x08] = { "ChangeBasalProfilePattern", 152, 0, 0, 0, TIME_5 },
        [0x09] = { "ChangeBasalProfile", 152, 0, 0, 0, TIME_5 },
        [0x0a] = { "CalBGForPH", 7, 0, 0, 0, TIME_5 },
        [0x0b] = { "AlarmSensor", 8, 0, 3, 3, TIME_5 },
        [0x0c] = { "ClearAlarm", 7, 0, 0, 0, TIME_5 },
        [0x14] = { "SelectBasalProfile", 7, 0, 0, 0, TIME_5 },
        [0x16] = { "TempBasalDuration", 7, 0, 0, 0, TIME_5 },
        [0x17] = { "ChangeTime", 7, 0, 0, 0, TIME_5 },
        [0x18] = { "NewTimeSet", 7, 0, 0, 0, TIME_5 },
        [0x19] = { "LowBattery", 7, 0, 0, 0, TIME_5 },
        [0x1a] = { "Battery", 7, 0, 0, 0, TIME_5 },
        [0x1b] = { "SetAutoOff", 7, 0, 0, 0, TIME_5 },
        [0x1c] = { "PrepareInsulinChange", 7, 0, 0, 0, TIME_5 },
        [0x1e] = { "Suspend", 7, 0, 0, 0, TIME_5 },
        [0x1f] = { "Resume", 7, 0, 0, 0, TIME_5 },
        [0x20] = { "SelfTest", 7, 0, 0, 0, TIME_5 },
        [0x21] = { "Rewind", 7, 0, 0, 0, TIME_5 },
        [0x22] = { "ClearSettings", 7, 0, 0, 0, TIME_5 },
        [0x23] = { "ChildBlock", 7, 0, 0, 0, TIME_5 },
        [0x24] = { "MaxBolus", 7, 0, 0, 0, TIME_5 },
        [0x25] = { "MaxBasalOld", 7, 0, 0, 0, TIME_5 },
        [0x26] = { "EnableDisableRemote", 21, 0, 0, 0, TIME_5 },
        [0x27] = { "ChangeRemoteId", 7, 0, 0, 0, TIME_5 },
        [0x29] = { "CodeUpdate", 21, 0, 0, 0, TIME_5 },
        [0x2c] = { "MaxBasal", 7, 0, 0, 0, TIME_5 },
        [0x2d] = { "EnableBolusWizard", 7, 0, 0, 0, TIME_5 },
        [0x2e] = { "Settings512", 107, 0, 0, 0, TIME_5 },
        [0x2f] = { "BolusWizard512", 19, 0, 0, 0, TIME_5 },
        [0x30] = { "UnabsorbedInsulin512", 2, 0, 0, 0, TIME_NONE },
        [0x31] = { "ChangeBGReminder", 7, 0, 0, 0, TIME_5 },
        [0x32] = { "SetAlarmClockTime", 7, 0, 0, 0, TIME_5 },
        [0x33] = { "TempBasal", 8, 0, 0, 0, TIME_5 },
        [0x34] = { "LowReservoir", 7, 0, 0, 0, TIME_5 },
        [0x35] = { "AlarmClock", 7, 0, 0, 0, TIME_5 },
        [0x36] = { "ChangeMeterId", 21, 0, 0, 0, TIME_5 },
        [0x39] = { "BGReceived512", 10, 0, 0, 0, TIME_5 },
        [0x3a] = { "ConfirmInsulinChange", 7, 0, 0, 0, TIME_5 },
        [0x3b] = { "SensorStatus", 7, 0, 0, 0, TIME_5 },
        [0x3c] = { "ChangeParadigmLinkId", 21, 0, 0, 0, TIME_5 },
        [0x3f] = { "BGReceived", 10, 0, 0, 0, TIME_5 },
        [0x40] = { "MealMarker", 9, 0, 0, 0, TIME_5 },
        [0x41] = { "ExerciseMarker", 8, 0, 0, 0, TIME_5 },
        [0x42] = { "InsulinMarker", 8, 0, 0, 0, TIME_5 },
        [0x43] = { "OtherMarker", 7, 0, 0, 0, TIME_5 },
        [0x44] = { "EnableSensorAutoCal", 7, 0, 0, 0, TIME_5 },
        [0x4f] = { "ChangeSensorSetup", 39, 0, 0, 0, TIME_5 },
        [0x50] = { "SensorSetup", 37, 0, 0, 0, TIME_5 }, /* 41 where has_long_sensor_setup */
        [0x51] = { "SensorGraphTimeout", 7, 0, 0, 0, TIME_5 },
        [0x52] = { "SensorDemo", 7, 0, 0, 0, TIME_5 },
        [0x53] = { "SensorAlarmSilence", 8, 0, 0, 0, TIME_5 },
        [0x54] = { "SensorGlucoseLimits", 64, 0, 0, 0, TIME_5 },
        [0x55] = { "SensorPredictiveAlerts", 55, 0, 0, 0, TIME_5 },
        [0x56] = { "SensorRateAlerts", 12, 0, 0, 0, TIME_5 },
        [0x57] = { "BolusStep", 7, 0, 0, 0, TIME_5 },
        [0x5a] = { "BolusWizardSetup", 124, 144, 0, 0, TIME_5 },
        [0x5b] = { "BolusWizard", 20, 22, 0, 0, TIME_5 },
        [0x5c] = { "UnabsorbedInsulin", 2, 0, 0, 0, TIME_NONE },
        [0x5d] = { "SaveSettings", 7, 0, 0, 0, TIME_5 },
        [0x5e] = { "VariableBolus", 7, 0, 0, 0, TIME_5 },
        [0x5f] = { "AudioBolus", 7, 0, 0, 0, TIME_5 },
        [0x60] = { "EnableBGReminder", 7, 0, 0, 0, TIME_5 },
        [0x61] = { "EnableAlarmClock", 7, 0, 0, 0, TIME_5 },
        [0x62] = { "TempBasalType", 7, 0, 0, 0, TIME_5 },
        [0x63] = { "AlarmMode", 7, 0, 0, 0, TIME_5 },
        [0x64] = { "TimeFormat", 7, 0, 0, 0, TIME_5 },
        [0x65] = { "ReservoirWarning", 7, 0, 0, 0, TIME_5 },
        [0x66] = { "EnableBolusReminder", 7, 0, 0, 0, TIME_5 },
        [0x67] = { "SetBolusReminder", 9, 0, 0, 0, TIME_5 },
        [0x68] = { "DeleteBolusReminder", 9, 0, 0, 0, TIME_5 },
        [0x69] = { "BolusReminder", 9, 0, 0, 0, TIME_5 },
        [0x6a] = { "DeleteAlarmClock", 7, 0, 0, 0, TIME_5 },
        [0x6c] = { "DailyTotals515", 38, 0, 1, 1, TIME_DAY },
        [0x6d] = { "DailyTotals522", 44, 0, 1, 1, TIME_DAY },
        [0x6e] = { "DailyTotals523", 52, 0, 1, 1, TIME_DAY },
        [0x6f] = { "ChangeCarbUnits", 7, 0, 0, 0, TIME_5 },
        [0x7b] = { "BasalProfileStart", 10, 0, 0, 0, TIME_5 },
        [0x7c] = { "Watchdog", 7, 0, 0, 0, TIME_5 },
        [0x7d] = { "OtherDeviceId", 37, 0, 0, 0, TIME_5 },
        [0x7e] = { "WatchdogMarriage", 7, 0, 0, 0, TIME_5 },
        [0x7f] = { "DeleteOtherDevice", 8, 0, 0, 0, TIME_5 },
        [0x81] = { "ChangeMarriage", 12, 0, 0, 0, TIME_5 },
        [0x82] = { "DeleteMarriage", 12, 0, 0, 0, TIME_5 },
        [0x83] = { "EnableCaptureEvent", 7, 0, 0, 0, TIME_5 },
};

enum {
        OP_UNABSORBED_512 = 0x30,
        OP_SENSOR_SETUP = 0x50,
        OP_UNABSORBED = 0x5c,
        OP_BOLUS_REMINDER = 0x69,
        BOLUS_REMINDER_SHORT = 7, /* in some firmware; which one, the next record tells */
        SENSOR_SETUP_LONG = 41,
};

static bool time_of(const Type *type, bool is_large, const uint8_t *record, int64_t *ret_ms) {
        size_t at = is_large ? type->at_large : type->at;

        if (type->time == TIME_DAY)
                return paradigm_day2(record + at, ret_ms);
        return paradigm_time5(record + (at ? at : 2), ret_ms);
}

static size_t length_of(const Type *type, bool is_large, const ParadigmModel *model, const uint8_t *record) {
        uint8_t op = record[0];

        if (op == OP_SENSOR_SETUP && model->has_long_sensor_setup)
                return SENSOR_SETUP_LONG;
        /* its second byte is its length; it may be the last byte of the records, then the checksum's first is read */
        if (op == OP_UNABSORBED || op == OP_UNABSORBED_512)
                return record[1] > 2 ? record[1] : 2;
        return is_large && type->n_large ? type->n_large : type->n;
}

static bool is_zero(const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i != n; i++)
                if (bytes[i])
                        return false;
        return true;
}

/* One record at @at, its length as given or, with 0, as the type has it. */
static int read_entry(const uint8_t *page, const ParadigmModel *model, size_t at, size_t n, ParadigmEntry *ret) {
        bool is_large = model->group == PARADIGM_X23;
        const Type *type;

        if (at >= PARADIGM_HISTORY_END)
                return PARADIGM_HISTORY_E_END;
        type = &types[page[at]];
        if (page[at] == 0)
                return is_zero(page + at, PARADIGM_HISTORY_END - at) ? PARADIGM_HISTORY_E_END : PARADIGM_HISTORY_E_DAMAGED;
        if (!type->name)
                return PARADIGM_HISTORY_E_UNKNOWN;
        if (n == 0)
                n = length_of(type, is_large, model, page + at);
        if (n > PARADIGM_HISTORY_END - at)
                return PARADIGM_HISTORY_E_DAMAGED;

        *ret = (ParadigmEntry) {
                .op = page[at], .name = type->name, .bytes = page + at, .n = n, .at = at,
                .has_time = type->time != TIME_NONE, .is_day = type->time == TIME_DAY,
        };
        if (ret->has_time && !time_of(type, is_large, page + at, &ret->local_ms))
                return PARADIGM_HISTORY_E_DAMAGED;
        return 0;
}

static bool goes_on(const uint8_t *page, const ParadigmModel *model, size_t at) {
        ParadigmEntry entry;
        int r = read_entry(page, model, at, 0, &entry);

        return r == 0 || r == PARADIGM_HISTORY_E_END;
}

int paradigm_history_next(const uint8_t page[static PARADIGM_PAGE_SIZE], const ParadigmModel *model, size_t *at, ParadigmEntry *ret) {
        ParadigmEntry entry;
        int r;

        assert(page);
        assert(model);

        r = read_entry(page, model, *at, 0, &entry);
        if (*at < PARADIGM_HISTORY_END && page[*at] == OP_BOLUS_REMINDER && !(r == 0 && goes_on(page, model, *at + entry.n)) &&
            goes_on(page, model, *at + BOLUS_REMINDER_SHORT))
                r = read_entry(page, model, *at, BOLUS_REMINDER_SHORT, &entry);
        if (r)
                return r;

        *at += entry.n;
        *ret = entry;
        return 0;
}
