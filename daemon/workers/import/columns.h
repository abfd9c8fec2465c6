/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Which columns there are. A column is found by its name, never by its place; its unit is in the name. */

#include "reader.h"

typedef enum ColumnId {
        COLUMN_UNKNOWN = 0, /* kept as text in FIELD_EXTRA, and named in a note */
        COLUMN_INDEX,       /* renumbered in every export: never used */
        COLUMN_DATE,
        COLUMN_TIME,
        COLUMN_TIMESTAMP,
        COLUMN_NEW_TIME,
        COLUMN_BG_SOURCE,
        COLUMN_BG,
        COLUMN_METER,
        COLUMN_BASAL_RATE,
        COLUMN_TEMP_AMOUNT,
        COLUMN_TEMP_TYPE,
        COLUMN_TEMP_DURATION,
        COLUMN_TEMP_NAME,
        COLUMN_BOLUS_TYPE,
        COLUMN_BOLUS_SELECTED,
        COLUMN_BOLUS_DELIVERED,
        COLUMN_BOLUS_DURATION,
        COLUMN_BOLUS_NUMBER,
        COLUMN_BOLUS_CANCELLED,
        COLUMN_BOLUS_PRESET,
        COLUMN_BOLUS_SOURCE,
        COLUMN_PRIME_TYPE,
        COLUMN_PRIME_VOLUME,
        COLUMN_RESERVOIR,
        COLUMN_ALERT,
        COLUMN_ALERT_CLEARED,
        COLUMN_SUSPEND,
        COLUMN_REWIND,
        COLUMN_BWZ_ESTIMATE,
        COLUMN_BWZ_TARGET_HIGH,
        COLUMN_BWZ_TARGET_LOW,
        COLUMN_BWZ_RATIO,
        COLUMN_BWZ_SENSITIVITY,
        COLUMN_BWZ_CARBS,
        COLUMN_BWZ_GLUCOSE,
        COLUMN_BWZ_CORRECTION,
        COLUMN_BWZ_FOOD,
        COLUMN_BWZ_ACTIVE,
        COLUMN_BWZ_STATUS,
        COLUMN_BWZ_UNABSORBED,
        COLUMN_BWZ_FINAL,
        COLUMN_STEP,
        COLUMN_ACTION_CURVE,
        COLUMN_CALIBRATION,
        COLUMN_CALIBRATION_REJECTED,
        COLUMN_SENSOR_GLUCOSE,
        COLUMN_ISIG,
        COLUMN_SENSOR_EXCEPTION,
        COLUMN_SENSOR_STATE,
        COLUMN_MARKER,
        COLUMN_BLE_DEVICE,
        COLUMN_DEVICE_UPDATE,
        COLUMN_ASSOCIATED,
        COLUMN_DISASSOCIATED,
        COLUMN_DISCONNECTED,
        COLUMN_DAILY_TOTAL,
        COLUMN_RAW_TYPE,
        COLUMN_RAW_VALUES,
        COLUMN_RAW_ID,
        COLUMN_RAW_UPLOAD,
        COLUMN_RAW_SEQUENCE,
        COLUMN_RAW_DEVICE,
        N_COLUMNS,
} ColumnId;

_Static_assert(N_COLUMNS <= 64, "a set of columns is one uint64_t");

#define COLUMN_BIT(id) (UINT64_C(1) << (id))

typedef enum ColumnType {
        COLUMN_IS_TEXT,
        COLUMN_IS_NUMBER,
        COLUMN_IS_GLUCOSE,     /* number, its unit must be in the name, checked against the values */
        COLUMN_IS_SENSITIVITY, /* number per U: unit as above, not checked */
        COLUMN_IS_INSULIN,     /* U, said by the name or not */
        COLUMN_IS_RATE,        /* U/h, said by the name or not */
        COLUMN_IS_CARBS,       /* number, grams or exchanges must be in the name */
        COLUMN_IS_DURATION,
} ColumnType;

typedef struct Columns {
        unsigned n;
        uint8_t id[IMPORT_COLUMNS_MAX];    /* ColumnId */
        uint8_t unit[IMPORT_COLUMNS_MAX];  /* RecordUnit said by the name; 0 when none, or COLUMN_UNIT_OTHER */
        uint16_t at[N_COLUMNS];            /* place of a column, or COLUMN_NOWHERE */
        Cell names[IMPORT_COLUMNS_MAX];    /* into text */
        char text[IMPORT_LINE_MAX];
} Columns;

enum {
        COLUMN_NOWHERE = 0xffff,
        COLUMN_UNIT_OTHER = 0xff, /* something stands where a unit should, and is none that is known */
};

/** columns_are() - whether a row is a header: it has columns Index and Time, or Index and Date */
bool columns_are(const Row *row);
/** columns_map() - take over a header row; the names are copied */
void columns_map(Columns *columns, const Row *header);
ColumnType column_type(unsigned id);
const char *column_name(unsigned id);
/** columns_unit_missed() - in words, what a column's name had to say; NULL when all is well with its unit */
const char *columns_unit_missed(const Columns *columns, unsigned at);
/** columns_unit_differs() - an estimate has one unit of glucose: the place of a column whose unit another contradicts, or COLUMN_NOWHERE */
unsigned columns_unit_differs(const Columns *columns);
/** column_insulin_unit() - RECORD_UNIT_INSULIN for U or nothing; RECORD_UNIT_NONE for any other word */
unsigned column_insulin_unit(Cell text);
/** column_carb_unit() - RECORD_UNIT_GRAM or RECORD_UNIT_EXCHANGE; RECORD_UNIT_NONE for any other word and for none */
unsigned column_carb_unit(Cell text);
/** column_says_glucose() - whether mg/dL or mmol/L stands anywhere in a name, in whatever letters and with whatever spaces */
bool column_says_glucose(Cell name);
