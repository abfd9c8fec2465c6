/* SPDX-License-Identifier: Apache-2.0 */

#include "same.h"

/* mg/dL of glucose in a mmol/L, by its molar mass of 180.156 g/mol; in thousandths */
#define FACTOR_MILLI INT64_C(18016)

static bool is_glucose(unsigned unit) {
        return unit == RECORD_UNIT_MG_DL || unit == RECORD_UNIT_MMOL_L;
}

/* Half of the last printed digit, in thousandths. */
static int64_t half_digit(unsigned decimals) {
        static const int64_t halves[] = { 500, 50, 5, 1 };

        return halves[decimals < N_ELEMENTS(halves) ? decimals : N_ELEMENTS(halves) - 1];
}

static bool same_glucose(int32_t mgdl_milli, unsigned mgdl_decimals, int32_t mmol_milli, unsigned mmol_decimals) {
        int64_t converted = mmol_milli * FACTOR_MILLI / 1000;
        /* a thousandth for the factor, and one of each number for rounding here */
        int64_t slack = half_digit(mgdl_decimals) + (half_digit(mmol_decimals) + 1) * FACTOR_MILLI / 1000 + llabs(converted) / 1000 + 1;

        return llabs(mgdl_milli - converted) <= slack;
}

/* What the rows of one event said is joined with a separator; 0: one row's own text. */
static char separator_of(unsigned id) {
        return id == FIELD_GLUCOSE_SOURCE ? ',' : id == FIELD_EXTRA ? '\t' : 0;
}

static bool has_piece(const Field *now, char separator, const char *piece, size_t n_piece) {
        const char *at = now->text, *end = now->text + now->n_text;

        for (size_t n = 0; at <= end; at += n + 1) {
                const char *next = at < end ? memchr(at, separator, (size_t) (end - at)) : NULL;

                n = (size_t) ((next ? next : end) - at);
                if (n == n_piece && memcmp(at, piece, n) == 0)
                        return true;
        }
        return false;
}

/* An export may begin or end among the rows of one event and have some of the pieces. One that had no room any more is not missed. */
static bool adds_text(const Field *now, const Field *more) {
        char separator = separator_of(now->id);

        if (!separator)
                return more->n_text != now->n_text || (more->n_text > 0 && memcmp(now->text, more->text, more->n_text) != 0);
        for (size_t at = 0, n; at < more->n_text; at += n + 1) {
                const char *next = memchr(more->text + at, separator, more->n_text - at);

                n = next ? (size_t) (next - more->text) - at : more->n_text - at;
                if (n + 1 <= RECORD_TEXT_MAX - now->n_text && !has_piece(now, separator, more->text + at, n))
                        return true;
        }
        return false;
}

/* What a row of the legacy form was: of an event that several rows tell it is that of the first one that the export has. */
static bool is_raw(unsigned id) {
        return id == FIELD_RAW_TYPE || id == FIELD_RAW_KEY || id == FIELD_RAW_VALUES;
}

/*
 * What a spreadsheet program makes of a text that it takes for a number or a time: a meter's id loses its zeros in front,
 * the time that a clock was set to its seconds. Beside the unchanged text neither says anything.
 */
static bool is_spoilt(const Field *now, const Field *more) {
        static const char no_seconds[] = ":00";
        size_t n_zeros = 0, n = sizeof(no_seconds) - 1;

        if (now->id == FIELD_NEW_TIME)
                return more->n_text == now->n_text && more->n_text > n && memcmp(more->text, now->text, more->n_text - n) == 0 &&
                       memcmp(more->text + more->n_text - n, no_seconds, n) == 0;
        if (now->id != FIELD_LINKED_METER)
                return false;
        while (n_zeros != now->n_text && now->text[n_zeros] == '0')
                n_zeros++;
        return n_zeros > 0 && more->n_text > 0 && more->n_text == now->n_text - n_zeros && memcmp(more->text, now->text + n_zeros, more->n_text) == 0;
}

static bool adds_field(const Field *now, const Field *more) {
        /* of several events of one second and one content an export may have the last alone: their numbers tell nothing else */
        if (now->id == FIELD_RAW_KEY || is_spoilt(now, more))
                return false;
        return now->milli != more->milli || now->number != more->number || adds_text(now, more);
}

static unsigned glucose_unit(const Record *record) {
        size_t at = 0;
        Field field;

        while (record_field_next(record->payload, record->n_payload, &at, &field))
                if (field.id == FIELD_GLUCOSE_UNIT)
                        return field.number;
        return 0;
}

static bool is_glucose_field(unsigned id) {
        return id == FIELD_SENSITIVITY || id == FIELD_TARGET_LOW || id == FIELD_TARGET_HIGH || id == FIELD_GLUCOSE_INPUT;
}

/* A payload does not say decimals, so those that an export may have printed are allowed for. */
static bool adds_glucose(const Field *now, unsigned now_unit, const Field *more) {
        return now_unit == TOKEN_MG_DL ? !same_glucose(now->milli, 0, more->milli, 1) : !same_glucose(more->milli, 0, now->milli, 1);
}

static bool has_field(const Record *record, unsigned id) {
        size_t at = 0;
        Field field;

        while (record_field_next(record->payload, record->n_payload, &at, &field))
                if (field.id == id)
                        return true;
        return false;
}

/* In the legacy form a pump's own row of a reading that its meter sent: exports cut between the two have one of them each. */
static bool is_note_of_reading(const Record *now, const Record *more) {
        return now->kind == RECORD_FINGERSTICK && has_field(more, FIELD_RAW_TYPE) && has_field(now, FIELD_LINKED_METER) && !has_field(more, FIELD_LINKED_METER);
}

/* Of a pump whose page of sensor currents could not be read: the last bit of its readings is there. */
static bool lacks_last_bit(const Record *now, const Record *more) {
        return now->kind == RECORD_CGM && now->unit == RECORD_UNIT_MG_DL && more->value_milli % 2000 == 0 && now->value_milli == more->value_milli + 1000 &&
               has_field(more, FIELD_RAW_TYPE) && has_field(now, FIELD_ISIG) && !has_field(more, FIELD_ISIG);
}

/* Whether @more has a field that @now has not, or has otherwise. */
static bool adds_payload(const Record *now, const Record *more) {
        size_t at = 0, more_at = 0;
        unsigned now_unit, more_unit;
        bool is_converted, is_part;
        Field there, field;

        if (now->n_payload == more->n_payload && (now->n_payload == 0 || memcmp(now->payload, more->payload, now->n_payload) == 0))
                return false;

        is_part = is_note_of_reading(now, more);
        now_unit = glucose_unit(now);
        more_unit = glucose_unit(more);
        is_converted = now_unit && more_unit && now_unit != more_unit;
        while (record_field_next(more->payload, more->n_payload, &more_at, &field)) {
                if (is_part && (is_raw(field.id) || field.id == FIELD_GLUCOSE_SOURCE))
                        continue;
                do
                        if (!record_field_next(now->payload, now->n_payload, &at, &there))
                                return true;
                while (there.id < field.id);
                if (there.id != field.id)
                        return true;
                if (is_converted && field.id == FIELD_GLUCOSE_UNIT)
                        continue;
                if (is_converted && is_glucose_field(field.id) ? adds_glucose(&there, now_unit, &field) : adds_field(&there, &field))
                        return true;
                is_part |= field.id == FIELD_GLUCOSE_SOURCE && field.n_text < there.n_text;
        }
        return false;
}

bool same_adds_nothing(const Record *now, const Record *more) {
        static const uint8_t times = RECORD_FIRST_PASS | RECORD_SECOND_PASS;

        /* a value that the patient has let out of quarantine is not put back by another export of it */
        if (((now->flags ^ more->flags) & ~(times | RECORD_QUARANTINED)) || (now->flags & ~more->flags & RECORD_QUARANTINED) || adds_payload(now, more))
                return false;
        if (now->unit == more->unit) /* an export may print fewer digits of the same glucose */
                return now->value_milli == more->value_milli || lacks_last_bit(now, more) || (is_glucose(now->unit) && more->decimals < now->decimals &&
                                                                 llabs(now->value_milli - more->value_milli) <= half_digit(more->decimals));
        if (!is_glucose(now->unit) || !is_glucose(more->unit))
                return false;
        if (!(now->flags & RECORD_HAS_VALUE))
                return true;
        return now->unit == RECORD_UNIT_MG_DL ? same_glucose(now->value_milli, now->decimals, more->value_milli, more->decimals)
                                              : same_glucose(more->value_milli, more->decimals, now->value_milli, now->decimals);
}
