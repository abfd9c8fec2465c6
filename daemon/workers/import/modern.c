/* SPDX-License-Identifier: Apache-2.0 */

#include "draft.h"

#include <ctype.h>

/*
 * Family B, 2018 and later: what a row is follows from which columns are filled. Each function below looks at its
 * columns and makes at most one record (and its extra ones). The order decides which one is the row's record.
 */

static Cell cell_of(const char *text) {
        return (Cell) { text, strlen(text) };
}

static void key_cell(Draft *draft, Cell cell) {
        draft_key(draft, cell.text, cell.n);
}

/* Events of the same kind, name and moment in the pump's and the sensor's section are two. */
static void key_section(Draft *draft, Drafts *drafts, const char *word) {
        const char *section = scan_section_word(drafts->scanner);

        draft_key(draft, section, strlen(section));
        draft_key(draft, word, strlen(word));
}

static void take_text(Drafts *drafts, Draft *draft, ColumnId column, FieldId id) {
        if (drafts_has(drafts, column) && draft_text(draft, id, drafts->scanner->row.cells[drafts->scanner->columns.at[column]]))
                (void) drafts_take(drafts, column);
}

static void take_milli(Drafts *drafts, Draft *draft, ColumnId column, FieldId id) {
        Number number;

        if (drafts_number(drafts, column, &number))
                (void) draft_milli(draft, id, number.milli);
}

static Draft *event(Drafts *drafts, TokenId type, Cell text) {
        Draft *draft = drafts_add(drafts, RECORD_DEVICE_EVENT);

        (void) draft_token(draft, FIELD_TYPE, type);
        key_section(draft, drafts, record_token_name(type));
        key_cell(draft, text);
        return draft;
}

static void map_new_time(Drafts *drafts) {
        Cell cell = drafts_take(drafts, COLUMN_NEW_TIME);
        int64_t ms;

        if (cell.n == 0)
                return;
        if (!cell_moment(cell, drafts->scanner->day_first, &ms)) {
                drafts_reject(drafts, "column New Device Time: no date and time");
                return;
        }

        /* the new time is what the event says, not which one it is: a spreadsheet program cuts its seconds off */
        (void) draft_text(event(drafts, TOKEN_CLOCK_CHANGE, cell_of("")), FIELD_NEW_TIME, drafts_moment(drafts, ms));
}

/*
 * One reading of a meter is listed up to three times: received (or entered by hand), accepted, sent for calibration.
 * The first is the fingerstick, what follows within minutes with the same value and meter is merged into it.
 */
static void map_bg(Drafts *drafts) {
        Cell source, meter, key;
        bool is_echo;
        Draft *draft;

        if (!drafts_has(drafts, COLUMN_BG))
                return;

        draft = drafts_add(drafts, RECORD_FINGERSTICK);
        drafts_glucose(drafts, draft, COLUMN_BG);

        source = drafts_take(drafts, COLUMN_BG_SOURCE);
        meter = drafts_take(drafts, COLUMN_METER);
        (void) draft_text(draft, FIELD_GLUCOSE_SOURCE, source);
        (void) draft_text(draft, FIELD_LINKED_METER, meter);
        if (source.n == 0)
                return;

        is_echo = !cell_is(source, "BG_READIN_RECEIVED") && !cell_begins(source, "ENTERED_IN");
        key = drafts_text(drafts, "meter\n%u\n%d\n%.*s", drafts->scanner->section, draft->value_milli, (int) meter.n, meter.text);
        draft_join(draft, is_echo ? DRAFT_METER_ECHO : DRAFT_METER, key.text, key.n);
        /* on its own, what was sent for calibration is a calibration */
        if (is_echo && cell_is(source, "BG_SENT_FOR_CALIB"))
                draft->kind = RECORD_CALIBRATION;
}

static void map_calibration(Drafts *drafts) {
        Draft *draft;

        if (!drafts_has(drafts, COLUMN_CALIBRATION))
                return;
        draft = drafts_add(drafts, RECORD_CALIBRATION);
        drafts_glucose(drafts, draft, COLUMN_CALIBRATION);
        take_text(drafts, draft, COLUMN_SENSOR_STATE, FIELD_SENSOR_STATE);
}

static void map_sensor(Drafts *drafts) {
        Draft *draft;

        if (!drafts_has(drafts, COLUMN_SENSOR_GLUCOSE) && !drafts_has(drafts, COLUMN_ISIG))
                return;

        draft = drafts_add(drafts, RECORD_CGM);
        drafts_glucose(drafts, draft, COLUMN_SENSOR_GLUCOSE);
        take_milli(drafts, draft, COLUMN_ISIG, FIELD_ISIG);
        take_text(drafts, draft, COLUMN_SENSOR_STATE, FIELD_SENSOR_STATE);
        take_text(drafts, draft, COLUMN_SENSOR_EXCEPTION, FIELD_EXCEPTION);
}

static void map_aggregate(Drafts *drafts) {
        Cell source = drafts_take(drafts, COLUMN_BOLUS_SOURCE);
        Draft *draft = event(drafts, TOKEN_DAILY_AUTO_TOTAL, source);
        Number number;

        if (drafts_number(drafts, COLUMN_BOLUS_DELIVERED, &number))
                draft_value(draft, RECORD_UNIT_INSULIN, number);
        take_milli(drafts, draft, COLUMN_BOLUS_SELECTED, FIELD_PROGRAMMED);
        (void) draft_text(draft, FIELD_ORIGIN, source);
        /* always "Normal": it says nothing of a day's total */
        (void) drafts_take(drafts, COLUMN_BOLUS_TYPE);
}

/* 33 of 33.0, which is what a spreadsheet program may make of it */
static Cell whole_number(Cell cell) {
        Number number;
        size_t n = 0;

        if (!cell_number(cell, memchr(cell.text, ',', cell.n) ? ',' : '.', &number) || number.milli % 1000 || !number.is_exact)
                return cell;
        while (n != cell.n && cell.text[n] >= '0' && cell.text[n] <= '9')
                n++;
        return (Cell) { cell.text, n };
}

static TokenId bolus_type(Cell type, Cell source) {
        if (cell_is(source, "CLOSED_LOOP_AUTO_BASAL") || cell_is(source, "CLOSED_LOOP_MICRO_BOLUS"))
                return TOKEN_MICRO;
        if (cell_begins(type, "Dual"))
                return cell_has(type, "quare") ? TOKEN_DUAL_SQUARE : TOKEN_DUAL_NORMAL;
        if (cell_begins(type, "Square"))
                return TOKEN_SQUARE;
        return cell_begins(type, "Normal") ? TOKEN_NORMAL : TOKEN_OTHER;
}

/*
 * Selected, (cancelled,) delivered: rows of one bolus. The delivered one is the record: it holds both volumes, and is
 * there in every export that holds the bolus. A row that finds no delivered one says what was wanted, not what was
 * given: it has no value, so that nobody can count it.
 */
static void map_bolus(Drafts *drafts) {
        Cell type, source, cancelled, number_cell, key;
        bool has_selected, has_delivered;
        Number selected, delivered;
        uint32_t number;
        TokenId token;
        Draft *draft;

        if (!(drafts->present & (COLUMN_BIT(COLUMN_BOLUS_TYPE) | COLUMN_BIT(COLUMN_BOLUS_SELECTED) |
                                 COLUMN_BIT(COLUMN_BOLUS_DELIVERED) | COLUMN_BIT(COLUMN_BOLUS_CANCELLED))))
                return;
        source = drafts_take(drafts, COLUMN_BOLUS_SOURCE);
        if (drafts->scanner->is_aggregated || cell_is(source, "CLOSED_LOOP_AUTO_INSULIN")) {
                map_aggregate(drafts);
                return;
        }

        draft = drafts_add(drafts, RECORD_BOLUS);
        type = drafts_take(drafts, COLUMN_BOLUS_TYPE);
        cancelled = drafts_take(drafts, COLUMN_BOLUS_CANCELLED);
        number_cell = drafts_take(drafts, COLUMN_BOLUS_NUMBER);
        has_selected = drafts_number(drafts, COLUMN_BOLUS_SELECTED, &selected);
        has_delivered = drafts_number(drafts, COLUMN_BOLUS_DELIVERED, &delivered);
        token = bolus_type(type, source);

        if (token == TOKEN_OTHER)
                (void) draft_text(draft, FIELD_TEXT_DEVICE, type);
        (void) draft_token(draft, FIELD_TYPE, has_delivered ? token : TOKEN_SELECTED_ONLY);
        if (has_selected)
                (void) draft_milli(draft, FIELD_PROGRAMMED, selected.milli);
        if (has_delivered)
                draft_delivered(draft, delivered);
        if (drafts_duration(drafts, COLUMN_BOLUS_DURATION, &draft->duration_s))
                (void) draft_uint(draft, FIELD_DURATION_S, draft->duration_s);
        number_cell = whole_number(number_cell);
        if (number_cell.n && cell_uint(number_cell, &number))
                (void) draft_uint(draft, FIELD_NUMBER, number);
        else if (number_cell.n)
                drafts_extra(drafts, "Bolus Number", 12, number_cell);
        (void) draft_text(draft, FIELD_ORIGIN, source);
        (void) draft_text(draft, FIELD_REASON, cancelled);
        take_text(drafts, draft, COLUMN_BOLUS_PRESET, FIELD_NAME);

        key_cell(draft, cell_of(has_delivered ? "delivered" : has_selected ? "selected" : "cancelled"));
        key_cell(draft, type);
        key_cell(draft, number_cell);

        /* without a number the volume has to tell boluses apart */
        key = number_cell.n ? drafts_text(drafts, "bolus\n%u\n%.*s\n%.*s", drafts->scanner->section, (int) type.n, type.text,
                                          (int) number_cell.n, number_cell.text)
                            : drafts_text(drafts, "bolus\n%u\n%.*s\nv%d", drafts->scanner->section, (int) type.n, type.text,
                                          has_selected ? selected.milli : 0);
        draft_join(draft, has_delivered ? DRAFT_BOLUS_DELIVERED : has_selected ? DRAFT_BOLUS_SELECTED : DRAFT_BOLUS_CANCELLED,
                   key.text, key.n);
}

static void map_temp_basal(Drafts *drafts) {
        Cell type;
        bool is_percent;
        uint32_t duration_s;
        Number number;
        Draft *draft;

        if (!(drafts->present & (COLUMN_BIT(COLUMN_TEMP_AMOUNT) | COLUMN_BIT(COLUMN_TEMP_TYPE) | COLUMN_BIT(COLUMN_TEMP_DURATION))))
                return;

        draft = drafts_add(drafts, RECORD_BASAL);
        type = drafts_take(drafts, COLUMN_TEMP_TYPE);
        is_percent = cell_has(type, "ercent");
        (void) draft_token(draft, FIELD_TYPE, is_percent ? TOKEN_TEMP_PERCENT : TOKEN_TEMP);
        if (drafts_number(drafts, COLUMN_TEMP_AMOUNT, &number))
                draft_value(draft, is_percent ? RECORD_UNIT_PERCENT : RECORD_UNIT_INSULIN_PER_HOUR, number);
        if (drafts_duration(drafts, COLUMN_TEMP_DURATION, &duration_s))
                (void) draft_uint(draft, FIELD_DURATION_S, duration_s);
        take_text(drafts, draft, COLUMN_TEMP_NAME, FIELD_NAME);
        draft_key(draft, "temp", 4);
}

/* A suspended pump's rate, 0, stands in the same row and belongs to it. */
static void map_suspend(Drafts *drafts) {
        Cell cell = drafts_take(drafts, COLUMN_SUSPEND);
        bool is_resume;
        Number number;
        Draft *draft;

        if (cell.n == 0)
                return;
        is_resume = cell_is(cell, "NORMAL_PUMPING") || cell_begins(cell, "Resume") || cell_begins(cell, "RESUME");
        draft = drafts_add(drafts, RECORD_BASAL);
        (void) draft_token(draft, FIELD_TYPE, is_resume ? TOKEN_RESUME : TOKEN_SUSPEND);
        (void) draft_text(draft, FIELD_REASON, cell);
        if (drafts_number(drafts, COLUMN_BASAL_RATE, &number))
                draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, number);
        draft_key(draft, is_resume ? "resume" : "suspend", is_resume ? 6 : 7);
}

static void map_basal(Drafts *drafts) {
        Number number;
        Draft *draft;

        if (!drafts_has(drafts, COLUMN_BASAL_RATE) || drafts->used & COLUMN_BIT(COLUMN_BASAL_RATE))
                return;
        if (!drafts_number(drafts, COLUMN_BASAL_RATE, &number))
                return;
        draft = drafts_add(drafts, RECORD_BASAL);
        (void) draft_token(draft, FIELD_TYPE, TOKEN_RATE);
        draft_value(draft, RECORD_UNIT_INSULIN_PER_HOUR, number);
        draft_key(draft, "rate", 4);
}

static void map_prime(Drafts *drafts) {
        Cell type;
        Number number;
        Draft *draft;

        if (!(drafts->present & (COLUMN_BIT(COLUMN_PRIME_TYPE) | COLUMN_BIT(COLUMN_PRIME_VOLUME) | COLUMN_BIT(COLUMN_RESERVOIR))))
                return;

        type = drafts_take(drafts, COLUMN_PRIME_TYPE);
        draft = event(drafts, type.n || drafts_has(drafts, COLUMN_PRIME_VOLUME) ? TOKEN_PRIME : TOKEN_RESERVOIR, type);
        (void) draft_text(draft, FIELD_TEXT_DEVICE, type);
        if (drafts_number(drafts, COLUMN_PRIME_VOLUME, &number))
                draft_value(draft, RECORD_UNIT_INSULIN, number);
        take_milli(drafts, draft, COLUMN_RESERVOIR, FIELD_VOLUME);
}

static void map_rewind(Drafts *drafts) {
        Cell cell = drafts_take(drafts, COLUMN_REWIND);

        if (cell.n)
                (void) draft_text(event(drafts, TOKEN_REWIND, cell), FIELD_TEXT_DEVICE, cell);
}

static void map_alarm(Drafts *drafts, ColumnId column, bool is_cleared) {
        static const char code_words[] = "Other Alarm Code: ";
        Cell cell = drafts_take(drafts, column);
        uint32_t code;
        Draft *draft;

        if (cell.n == 0)
                return;
        draft = drafts_add(drafts, RECORD_ALARM);
        if (cell_begins(cell, code_words) &&
            cell_uint((Cell) { cell.text + sizeof(code_words) - 1, cell.n - (sizeof(code_words) - 1) }, &code))
                (void) draft_uint(draft, FIELD_CODE, code);
        (void) draft_text(draft, FIELD_TEXT_DEVICE, cell);
        if (is_cleared)
                (void) draft_token(draft, FIELD_CLEARED, TOKEN_YES);
        key_section(draft, drafts, is_cleared ? "cleared" : "raised");
        key_cell(draft, cell);
}

static void take_glucose_milli(Drafts *drafts, Draft *draft, ColumnId column, FieldId id) {
        Number number;

        /* 0 means that none was given */
        if (drafts_number(drafts, column, &number) && number.milli != 0) {
                (void) draft_milli(draft, id, number.milli);
                (void) draft_token(draft, FIELD_GLUCOSE_UNIT,
                                   drafts_unit(drafts, column) == RECORD_UNIT_MG_DL ? TOKEN_MG_DL : TOKEN_MMOL_L);
        }
}

static void map_wizard(Drafts *drafts) {
        static const uint64_t columns =
                COLUMN_BIT(COLUMN_BWZ_ESTIMATE) | COLUMN_BIT(COLUMN_BWZ_TARGET_HIGH) | COLUMN_BIT(COLUMN_BWZ_TARGET_LOW) |
                COLUMN_BIT(COLUMN_BWZ_RATIO) | COLUMN_BIT(COLUMN_BWZ_SENSITIVITY) | COLUMN_BIT(COLUMN_BWZ_CARBS) |
                COLUMN_BIT(COLUMN_BWZ_GLUCOSE) | COLUMN_BIT(COLUMN_BWZ_CORRECTION) | COLUMN_BIT(COLUMN_BWZ_FOOD) |
                COLUMN_BIT(COLUMN_BWZ_ACTIVE) | COLUMN_BIT(COLUMN_BWZ_STATUS) | COLUMN_BIT(COLUMN_BWZ_UNABSORBED) |
                COLUMN_BIT(COLUMN_BWZ_FINAL);
        const Columns *names = &drafts->scanner->columns;
        unsigned carbs_at = names->at[COLUMN_BWZ_CARBS], ratio_at = names->at[COLUMN_BWZ_RATIO];
        unsigned carb_unit = carbs_at != COLUMN_NOWHERE ? names->unit[carbs_at] : RECORD_UNIT_GRAM;
        bool is_exchange = carb_unit == RECORD_UNIT_EXCHANGE, has_carbs;
        Number number, carbs;
        Draft *draft;
        Cell status;

        if (!(drafts->present & columns))
                return;

        draft = drafts_add(drafts, RECORD_WIZARD);
        if (drafts_has(drafts, COLUMN_BWZ_ESTIMATE)) {
                draft_join(draft, DRAFT_WIZARD, "wizard", 6);
                if (drafts_number(drafts, COLUMN_BWZ_ESTIMATE, &number))
                        draft_value(draft, RECORD_UNIT_INSULIN, number);
        } else {
                /* unabsorbed insulin and the final estimate stand in a row of their own */
                draft_join(draft, DRAFT_WIZARD_PART, "wizard", 6);
        }

        has_carbs = drafts_number(drafts, COLUMN_BWZ_CARBS, &carbs);
        if (has_carbs) {
                (void) draft_milli(draft, FIELD_CARBS, carbs.milli);
                (void) draft_token(draft, FIELD_CARB_UNIT, is_exchange ? TOKEN_EXCHANGE : TOKEN_GRAM);
        }
        /* a ratio in another unit than the carbs stays beside them, under its own name */
        if (ratio_at != COLUMN_NOWHERE && names->unit[ratio_at] == carb_unit)
                take_milli(drafts, draft, COLUMN_BWZ_RATIO, FIELD_CARB_RATIO);
        take_glucose_milli(drafts, draft, COLUMN_BWZ_SENSITIVITY, FIELD_SENSITIVITY);
        take_glucose_milli(drafts, draft, COLUMN_BWZ_TARGET_LOW, FIELD_TARGET_LOW);
        take_glucose_milli(drafts, draft, COLUMN_BWZ_TARGET_HIGH, FIELD_TARGET_HIGH);
        take_glucose_milli(drafts, draft, COLUMN_BWZ_GLUCOSE, FIELD_GLUCOSE_INPUT);
        take_milli(drafts, draft, COLUMN_BWZ_CORRECTION, FIELD_CORRECTION_ESTIMATE);
        take_milli(drafts, draft, COLUMN_BWZ_FOOD, FIELD_FOOD_ESTIMATE);
        take_milli(drafts, draft, COLUMN_BWZ_ACTIVE, FIELD_ACTIVE_INSULIN);
        take_milli(drafts, draft, COLUMN_BWZ_UNABSORBED, FIELD_UNABSORBED);
        take_milli(drafts, draft, COLUMN_BWZ_FINAL, FIELD_FINAL_ESTIMATE);
        status = drafts_take(drafts, COLUMN_BWZ_STATUS);
        (void) draft_text(draft, FIELD_STATUS, status);
        take_text(drafts, draft, COLUMN_STEP, FIELD_STEP);

        /* what was eaten, as far as a pump knows it; an estimate that was not followed is no meal */
        if (has_carbs && carbs.milli > 0 && !cell_begins(status, "Not")) {
                draft = drafts_add(drafts, RECORD_CARBS);
                draft_value(draft, is_exchange ? RECORD_UNIT_EXCHANGE : RECORD_UNIT_GRAM, carbs);
                (void) draft_text(draft, FIELD_ORIGIN, cell_of("bolus wizard"));
                draft_key(draft, "wizard", 6);
        }
}

/* A marker's text, with a point where the account's form has a comma within a number: the same in every account. */
static Cell neutral_text(Drafts *drafts, Cell cell) {
        Cell text;

        if (!memchr(cell.text, ',', cell.n))
                return cell;
        text = drafts_text(drafts, "%.*s", (int) cell.n, cell.text);
        for (size_t i = 1; i + 1 < text.n; i++)
                if (text.text[i] == ',' && isdigit((unsigned char) text.text[i - 1]) && isdigit((unsigned char) text.text[i + 1]))
                        drafts->scratch[text.text - drafts->scratch + (ptrdiff_t) i] = '.';
        return text;
}

/* The number behind "Meal: " in the account's form, whatever the mark, and what follows it. */
static bool marker_number(Cell cell, size_t at, Number *ret, Cell *ret_rest) {
        size_t end = at;

        while (end != cell.n && ((cell.text[end] >= '0' && cell.text[end] <= '9') || cell.text[end] == ',' || cell.text[end] == '.'))
                end++;
        *ret_rest = (Cell) { cell.text + end, cell.n - end };
        return cell_number((Cell) { cell.text + at, end - at }, memchr(cell.text + at, ',', end - at) ? ',' : '.', ret);
}

static void map_marker(Drafts *drafts) {
        Cell cell = neutral_text(drafts, drafts_take(drafts, COLUMN_MARKER)), rest;
        unsigned unit = RECORD_UNIT_NONE; /* none: what stands there is kept as text only */
        TokenId type = TOKEN_OTHER;
        Draft *draft;
        Number number;

        if (cell.n == 0)
                return;

        draft = drafts_add(drafts, RECORD_NOTE);
        if (cell_begins(cell, "Insulin: ")) {
                type = TOKEN_INSULIN;
                if (marker_number(cell, 9, &number, &rest))
                        unit = column_insulin_unit(rest);
        } else if (cell_begins(cell, "Meal: ")) {
                type = TOKEN_MEAL;
                if (marker_number(cell, 6, &number, &rest))
                        unit = column_carb_unit(rest);
        } else if (cell_begins(cell, "Exercise")) {
                type = TOKEN_EXERCISE;
        }
        if (unit != RECORD_UNIT_NONE)
                draft_value(draft, (RecordUnit) unit, number);
        (void) draft_text(draft, FIELD_MARKER, cell);
        (void) draft_token(draft, FIELD_MARKER_TYPE, type);
        key_section(draft, drafts, "marker");
        key_cell(draft, cell);
        if (unit == RECORD_UNIT_NONE)
                return;

        /* the same, where who looks for insulin or carbs will find it */
        draft = drafts_add(drafts, type == TOKEN_INSULIN ? RECORD_BOLUS : RECORD_CARBS);
        draft_value(draft, (RecordUnit) unit, number);
        if (type == TOKEN_INSULIN) {
                (void) draft_token(draft, FIELD_TYPE, TOKEN_INJECTION);
                (void) draft_milli(draft, FIELD_DELIVERED, number.milli);
        }
        (void) draft_token(draft, FIELD_MARKER_TYPE, type);
        draft_key(draft, "marker", 6);
}

static void map_sensor_event(Drafts *drafts, ColumnId column) {
        Cell cell = drafts_take(drafts, column);
        Draft *draft;

        if (cell.n == 0)
                return;
        draft = event(drafts, TOKEN_SENSOR, cell);
        (void) draft_text(draft, FIELD_EXCEPTION, cell);
        draft_key(draft, column_name(column), strlen(column_name(column)));
        take_text(drafts, draft, COLUMN_SENSOR_STATE, FIELD_SENSOR_STATE);
}

/* "Glucose Sensor Transmitter (GT0000006M) was added": the serial stays inside, the rest may leave. */
static Cell without_serial(Drafts *drafts, Cell cell) {
        const char *open = memchr(cell.text, '(', cell.n);
        const char *close = open ? memchr(open, ')', (size_t) (cell.text + cell.n - open)) : NULL;
        size_t n_before, n_after;

        if (!close)
                return cell;
        n_before = (size_t) (open - cell.text);
        while (n_before && cell.text[n_before - 1] == ' ')
                n_before--;
        n_after = (size_t) (cell.text + cell.n - close - 1);
        return drafts_text(drafts, "%.*s%.*s", (int) n_before, cell.text, (int) n_after, close + 1);
}

static void map_connection(Drafts *drafts) {
        static const ColumnId columns[] = { COLUMN_BLE_DEVICE, COLUMN_DEVICE_UPDATE, COLUMN_ASSOCIATED, COLUMN_DISASSOCIATED,
                                            COLUMN_DISCONNECTED };

        for (size_t i = 0; i != N_ELEMENTS(columns); i++) {
                Cell cell, text;
                Draft *draft;

                if (!drafts_has(drafts, columns[i]))
                        continue;
                cell = drafts_take(drafts, columns[i]);
                text = without_serial(drafts, cell);
                draft = event(drafts, TOKEN_CONNECTION, cell);
                draft_key(draft, column_name(columns[i]), strlen(column_name(columns[i])));
                (void) draft_text(draft, columns[i] == COLUMN_BLE_DEVICE || columns[i] == COLUMN_DEVICE_UPDATE ? FIELD_TEXT_DEVICE
                                                                                                              : FIELD_REASON, text);
                if (text.text != cell.text)
                        drafts_extra(drafts, column_name(columns[i]), strlen(column_name(columns[i])), cell);
        }
}

static void map_settings(Drafts *drafts) {
        static const ColumnId columns[] = { COLUMN_ACTION_CURVE, COLUMN_STEP };

        for (size_t i = 0; i != N_ELEMENTS(columns); i++) {
                Draft *draft;

                if (!drafts_has(drafts, columns[i]) || drafts->used & COLUMN_BIT(columns[i]))
                        continue;
                draft = drafts_add(drafts, RECORD_SETTINGS);
                (void) draft_text(draft, FIELD_SETTING, cell_of(column_name(columns[i])));
                (void) draft_text(draft, FIELD_SETTING_VALUE, drafts_take(drafts, columns[i]));
                draft_key(draft, column_name(columns[i]), strlen(column_name(columns[i])));
        }
}

void modern_map(Drafts *drafts) {
        map_new_time(drafts);
        map_sensor(drafts);
        map_bg(drafts);
        map_calibration(drafts);
        map_bolus(drafts);
        map_wizard(drafts);
        map_temp_basal(drafts);
        map_suspend(drafts);
        map_alarm(drafts, COLUMN_ALERT, false);
        map_alarm(drafts, COLUMN_ALERT_CLEARED, true);
        map_prime(drafts);
        map_rewind(drafts);
        map_marker(drafts);
        map_sensor_event(drafts, COLUMN_CALIBRATION_REJECTED);
        map_sensor_event(drafts, COLUMN_SENSOR_EXCEPTION);
        map_connection(drafts);
        map_basal(drafts);
        map_settings(drafts);

        /* a date and a time alone: something happened that the export has no column for */
        if (drafts->n == 0)
                (void) event(drafts, TOKEN_OTHER, cell_of("no content"));
}
