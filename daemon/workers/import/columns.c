/* SPDX-License-Identifier: Apache-2.0 */

#include "columns.h"

#include "policy/record.h"

#include <ctype.h>
#include <strings.h>

/*
 * Names without what stands in parentheses. Several names may mean one column: exports of different years and devices
 * differ. What each column becomes is in modern.c (2018 and later) and legacy.c (v1.0.1, where the Raw- columns decide).
 *
 *   column                         becomes
 *   Date, Time, Timestamp          the device's wall clock
 *   New Device Time                device_event clock_change
 *   BG Reading + BG Source         fingerstick; its echoes (accepted, sent for calibration) are merged into it; one whose reading an
 *                                  export does not reach back to is rejected
 *   Sensor Calibration BG          calibration
 *   Sensor Glucose, ISIG Value     cgm
 *   Bolus ...                      bolus: the selected row is merged into the delivered one
 *   the same below "Aggregated"    device_event daily_auto_total
 *   Basal Rate, Temp Basal ...     basal
 *   Suspend                        basal, suspend or resume
 *   BWZ ..., Final Bolus Estimate  wizard, and carbs when a carb input was made
 *   Alarm, Alert, User Cleared ... alarm
 *   Prime, Rewind, Reservoir       device_event
 *   Sensor Exception, ... Rejected device_event sensor
 *   Network device columns         device_event connection
 *   Event Marker                   note, and bolus (injection) or carbs where it has such a number
 *   Insulin Action Curve Time ...  settings, when nothing else is in the row
 *   date and time alone            device_event other
 */
static const struct {
        const char *name;
        uint8_t id;
        uint8_t type;
} table[] = {
        { "Index", COLUMN_INDEX, COLUMN_IS_TEXT },
        { "Date", COLUMN_DATE, COLUMN_IS_TEXT },
        { "Time", COLUMN_TIME, COLUMN_IS_TEXT },
        { "Timestamp", COLUMN_TIMESTAMP, COLUMN_IS_TEXT },
        { "New Device Time", COLUMN_NEW_TIME, COLUMN_IS_TEXT },
        { "BG Source", COLUMN_BG_SOURCE, COLUMN_IS_TEXT },
        { "BG Reading", COLUMN_BG, COLUMN_IS_GLUCOSE },
        { "Linked BG Meter ID", COLUMN_METER, COLUMN_IS_TEXT },
        { "Basal Rate", COLUMN_BASAL_RATE, COLUMN_IS_RATE },
        { "Temp Basal Amount", COLUMN_TEMP_AMOUNT, COLUMN_IS_RATE },
        { "Temp Basal Type", COLUMN_TEMP_TYPE, COLUMN_IS_TEXT },
        { "Temp Basal Duration", COLUMN_TEMP_DURATION, COLUMN_IS_DURATION },
        { "Preset Temp Basal Name", COLUMN_TEMP_NAME, COLUMN_IS_TEXT },
        { "Bolus Type", COLUMN_BOLUS_TYPE, COLUMN_IS_TEXT },
        { "Bolus Volume Selected", COLUMN_BOLUS_SELECTED, COLUMN_IS_INSULIN },
        { "Bolus Volume Delivered", COLUMN_BOLUS_DELIVERED, COLUMN_IS_INSULIN },
        { "Bolus Duration", COLUMN_BOLUS_DURATION, COLUMN_IS_DURATION },
        { "Programmed Bolus Duration", COLUMN_BOLUS_DURATION, COLUMN_IS_DURATION },
        { "Bolus Number", COLUMN_BOLUS_NUMBER, COLUMN_IS_TEXT },
        { "Bolus Cancellation Reason", COLUMN_BOLUS_CANCELLED, COLUMN_IS_TEXT },
        { "Preset Bolus", COLUMN_BOLUS_PRESET, COLUMN_IS_TEXT },
        { "Bolus Source", COLUMN_BOLUS_SOURCE, COLUMN_IS_TEXT },
        { "Prime Type", COLUMN_PRIME_TYPE, COLUMN_IS_TEXT },
        { "Prime Volume Delivered", COLUMN_PRIME_VOLUME, COLUMN_IS_INSULIN },
        { "Estimated Reservoir Volume after Fill", COLUMN_RESERVOIR, COLUMN_IS_INSULIN },
        { "Alert", COLUMN_ALERT, COLUMN_IS_TEXT },
        { "Alarm", COLUMN_ALERT, COLUMN_IS_TEXT },
        { "User Cleared Alerts", COLUMN_ALERT_CLEARED, COLUMN_IS_TEXT },
        { "Suspend", COLUMN_SUSPEND, COLUMN_IS_TEXT },
        { "Rewind", COLUMN_REWIND, COLUMN_IS_TEXT },
        { "BWZ Estimate", COLUMN_BWZ_ESTIMATE, COLUMN_IS_INSULIN },
        { "BWZ Target High BG", COLUMN_BWZ_TARGET_HIGH, COLUMN_IS_GLUCOSE },
        { "BWZ Target Low BG", COLUMN_BWZ_TARGET_LOW, COLUMN_IS_GLUCOSE },
        { "BWZ Carb Ratio", COLUMN_BWZ_RATIO, COLUMN_IS_NUMBER },
        { "BWZ Insulin Sensitivity", COLUMN_BWZ_SENSITIVITY, COLUMN_IS_SENSITIVITY },
        { "BWZ Carb Input", COLUMN_BWZ_CARBS, COLUMN_IS_CARBS },
        { "BWZ BG Input", COLUMN_BWZ_GLUCOSE, COLUMN_IS_GLUCOSE },
        { "BWZ BG/SG Input", COLUMN_BWZ_GLUCOSE, COLUMN_IS_GLUCOSE },
        { "BWZ Correction Estimate", COLUMN_BWZ_CORRECTION, COLUMN_IS_INSULIN },
        { "BWZ Food Estimate", COLUMN_BWZ_FOOD, COLUMN_IS_INSULIN },
        { "BWZ Active Insulin", COLUMN_BWZ_ACTIVE, COLUMN_IS_INSULIN },
        { "BWZ Status", COLUMN_BWZ_STATUS, COLUMN_IS_TEXT },
        { "BWZ Unabsorbed Insulin Total", COLUMN_BWZ_UNABSORBED, COLUMN_IS_INSULIN },
        { "Final Bolus Estimate", COLUMN_BWZ_FINAL, COLUMN_IS_INSULIN },
        { "Scroll Step Size", COLUMN_STEP, COLUMN_IS_TEXT },
        { "Insulin Action Curve Time", COLUMN_ACTION_CURVE, COLUMN_IS_TEXT },
        { "Sensor Calibration BG", COLUMN_CALIBRATION, COLUMN_IS_GLUCOSE },
        { "Sensor Calibration Rejected Reason", COLUMN_CALIBRATION_REJECTED, COLUMN_IS_TEXT },
        { "Sensor Glucose", COLUMN_SENSOR_GLUCOSE, COLUMN_IS_GLUCOSE },
        { "ISIG Value", COLUMN_ISIG, COLUMN_IS_NUMBER },
        { "Sensor Exception", COLUMN_SENSOR_EXCEPTION, COLUMN_IS_TEXT },
        { "Sensor State", COLUMN_SENSOR_STATE, COLUMN_IS_TEXT },
        { "Event Marker", COLUMN_MARKER, COLUMN_IS_TEXT },
        { "BLE Network Device", COLUMN_BLE_DEVICE, COLUMN_IS_TEXT },
        { "Device Update Event", COLUMN_DEVICE_UPDATE, COLUMN_IS_TEXT },
        { "Network Device Associated Reason", COLUMN_ASSOCIATED, COLUMN_IS_TEXT },
        { "Network Device Disassociated Reason", COLUMN_DISASSOCIATED, COLUMN_IS_TEXT },
        { "Network Device Disconnected Reason", COLUMN_DISCONNECTED, COLUMN_IS_TEXT },
        { "Daily Insulin Total", COLUMN_DAILY_TOTAL, COLUMN_IS_INSULIN },
        { "Raw-Type", COLUMN_RAW_TYPE, COLUMN_IS_TEXT },
        { "Raw-Values", COLUMN_RAW_VALUES, COLUMN_IS_TEXT },
        { "Raw-ID", COLUMN_RAW_ID, COLUMN_IS_TEXT },
        { "Raw-Upload ID", COLUMN_RAW_UPLOAD, COLUMN_IS_TEXT },
        { "Raw-Seq Num", COLUMN_RAW_SEQUENCE, COLUMN_IS_TEXT },
        { "Raw-Device Type", COLUMN_RAW_DEVICE, COLUMN_IS_TEXT },
};

/* What stands in a name's parentheses, where it makes a difference. */
static const struct {
        const char *text;
        uint8_t unit;
} units[] = {
        { "mg/dL", RECORD_UNIT_MG_DL },
        { "mg/dL/U", RECORD_UNIT_MG_DL },
        { "mmol/L", RECORD_UNIT_MMOL_L },
        { "mmol/L/U", RECORD_UNIT_MMOL_L },
        { "U", RECORD_UNIT_INSULIN },
        { "U/h", RECORD_UNIT_INSULIN_PER_HOUR },
        { "grams", RECORD_UNIT_GRAM },
        { "gram", RECORD_UNIT_GRAM },
        { "Gramm", RECORD_UNIT_GRAM },
        { "g", RECORD_UNIT_GRAM },
        { "g/U", RECORD_UNIT_GRAM },
        { "exchanges", RECORD_UNIT_EXCHANGE },
        { "exchange", RECORD_UNIT_EXCHANGE },
        { "exch", RECORD_UNIT_EXCHANGE },
        { "ex", RECORD_UNIT_EXCHANGE },
        { "U/ex", RECORD_UNIT_EXCHANGE },
        { "U/exch", RECORD_UNIT_EXCHANGE },
};

static unsigned id_of(Cell name) {
        for (size_t i = 0; i != N_ELEMENTS(table); i++)
                if (cell_is(name, table[i].name))
                        return table[i].id;
        return COLUMN_UNKNOWN;
}

static unsigned unit_of(Cell text) {
        while (text.n && text.text[text.n - 1] == ' ')
                text.n--;
        for (; text.n && text.text[0] == ' '; text.n--)
                text.text++;
        if (text.n == 0)
                return RECORD_UNIT_NONE;
        for (size_t i = 0; i != N_ELEMENTS(units); i++)
                if (strlen(units[i].text) == text.n && strncasecmp(units[i].text, text.text, text.n) == 0)
                        return units[i].unit;
        return COLUMN_UNIT_OTHER;
}

unsigned column_insulin_unit(Cell text) {
        unsigned unit = unit_of(text);

        return unit == RECORD_UNIT_INSULIN || unit == RECORD_UNIT_NONE ? RECORD_UNIT_INSULIN : RECORD_UNIT_NONE;
}

unsigned column_carb_unit(Cell text) {
        unsigned unit = unit_of(text);

        return unit == RECORD_UNIT_GRAM || unit == RECORD_UNIT_EXCHANGE ? unit : RECORD_UNIT_NONE;
}

/* Cut "BG Reading (mg/dL)" into its two parts; the second is empty without parentheses. */
static Cell parts(Cell name, Cell *ret_unit) {
        const char *open = memrchr(name.text, '(', name.n);
        Cell base = name;

        *ret_unit = (Cell) { name.text, 0 };
        if (!open || name.text[name.n - 1] != ')')
                return name;

        *ret_unit = (Cell) { open + 1, (size_t) (name.text + name.n - 1 - (open + 1)) };
        base.n = (size_t) (open - name.text);
        while (base.n && base.text[base.n - 1] == ' ')
                base.n--;
        return base;
}

bool columns_are(const Row *row) {
        bool has_index = false, has_time = false;

        for (unsigned i = 0; i != row->n_cells; i++) {
                has_index |= i < 2 && cell_is(row->cells[i], "Index");
                has_time |= cell_is(row->cells[i], "Time") || cell_is(row->cells[i], "Date");
        }
        return has_index && has_time;
}

void columns_map(Columns *columns, const Row *header) {
        char *text = columns->text;

        columns->n = header->n_cells;
        for (unsigned i = 0; i != N_COLUMNS; i++)
                columns->at[i] = COLUMN_NOWHERE;

        for (unsigned i = 0; i != header->n_cells; i++) {
                Cell name = header->cells[i], unit, base;
                unsigned id;

                memcpy(text, name.text, name.n);
                columns->names[i] = name = (Cell) { text, name.n };
                text += name.n;

                base = name.n ? parts(name, &unit) : (unit = name);
                id = id_of(base);
                if (id != COLUMN_UNKNOWN && columns->at[id] != COLUMN_NOWHERE)
                        id = COLUMN_UNKNOWN;
                if (id != COLUMN_UNKNOWN)
                        columns->at[id] = (uint16_t) i;
                columns->id[i] = (uint8_t) id;
                columns->unit[i] = (uint8_t) unit_of(unit);
        }
}

ColumnType column_type(unsigned id) {
        static uint8_t types[N_COLUMNS];
        static bool is_filled;

        if (!is_filled) {
                for (size_t i = 0; i != N_ELEMENTS(table); i++)
                        types[table[i].id] = table[i].type;
                is_filled = true;
        }
        return types[id];
}

const char *columns_unit_missed(const Columns *columns, unsigned at) {
        unsigned unit = columns->unit[at];

        switch (column_type(columns->id[at])) {
        case COLUMN_IS_GLUCOSE:
        case COLUMN_IS_SENSITIVITY:
                return unit == RECORD_UNIT_MG_DL || unit == RECORD_UNIT_MMOL_L ? NULL : "mg/dL or mmol/L";
        case COLUMN_IS_INSULIN:
                return unit == RECORD_UNIT_INSULIN || unit == RECORD_UNIT_NONE ? NULL : "U";
        case COLUMN_IS_RATE:
                return unit == RECORD_UNIT_INSULIN_PER_HOUR || unit == RECORD_UNIT_NONE ? NULL : "U/h";
        case COLUMN_IS_CARBS:
                return unit == RECORD_UNIT_GRAM || unit == RECORD_UNIT_EXCHANGE ? NULL : "grams or exchanges";
        case COLUMN_IS_TEXT:
        case COLUMN_IS_NUMBER:
        case COLUMN_IS_DURATION:
                break;
        }
        return NULL;
}

unsigned columns_unit_differs(const Columns *columns) {
        static const ColumnId wizard[] = { COLUMN_BWZ_SENSITIVITY, COLUMN_BWZ_TARGET_LOW, COLUMN_BWZ_TARGET_HIGH, COLUMN_BWZ_GLUCOSE };
        unsigned first = COLUMN_NOWHERE;

        for (size_t i = 0; i != N_ELEMENTS(wizard); i++) {
                unsigned at = columns->at[wizard[i]];

                if (at != COLUMN_NOWHERE && first != COLUMN_NOWHERE && columns->unit[at] != columns->unit[first])
                        return first;
                if (first == COLUMN_NOWHERE)
                        first = at;
        }
        return COLUMN_NOWHERE;
}

const char *column_name(unsigned id) {
        for (size_t i = 0; i != N_ELEMENTS(table); i++)
                if (table[i].id == id)
                        return table[i].name;
        return "";
}

/* @word, of small letters, whatever the case and the spaces between. */
static bool says(Cell name, size_t at, const char *word) {
        for (; at != name.n && *word; at++) {
                if (name.text[at] == ' ')
                        continue;
                if (tolower((unsigned char) name.text[at]) != *word++)
                        return false;
        }
        return !*word;
}

bool column_says_glucose(Cell name) {
        for (size_t at = 0; at != name.n; at++)
                if (says(name, at, "mg/dl") || says(name, at, "mmol/l"))
                        return true;
        return false;
}
