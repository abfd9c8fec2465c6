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

static bool same_field(const Field *a, const Field *b) {
        if (a->id != b->id || a->milli != b->milli || a->number != b->number || a->n_text != b->n_text)
                return false;
        return a->n_text == 0 || memcmp(a->text, b->text, a->n_text) == 0;
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

/* The fields of @mgdl and @mmol one by one: a payload does not say decimals, so those that an export may have printed are allowed for. */
static bool same_converted(const Record *mgdl, const Record *mmol) {
        size_t at = 0, other_at = 0;
        Field a, b;

        for (;;) {
                bool has_a = record_field_next(mgdl->payload, mgdl->n_payload, &at, &a);
                bool has_b = record_field_next(mmol->payload, mmol->n_payload, &other_at, &b);

                if (!has_a || !has_b)
                        return has_a == has_b;
                if (a.id != b.id)
                        return false;
                if (a.id == FIELD_GLUCOSE_UNIT)
                        continue;
                if (is_glucose_field(a.id) ? !same_glucose(a.milli, 0, b.milli, 1) : !same_field(&a, &b))
                        return false;
        }
}

static bool same_payload(const Record *a, const Record *b) {
        unsigned unit_a, unit_b;

        if (a->n_payload == b->n_payload && (a->n_payload == 0 || memcmp(a->payload, b->payload, a->n_payload) == 0))
                return true;
        if (a->kind != RECORD_WIZARD)
                return false;

        unit_a = glucose_unit(a);
        unit_b = glucose_unit(b);
        if (unit_a == TOKEN_MG_DL && unit_b == TOKEN_MMOL_L)
                return same_converted(a, b);
        return unit_a == TOKEN_MMOL_L && unit_b == TOKEN_MG_DL && same_converted(b, a);
}

bool same_content(const Record *a, const Record *b) {
        static const uint8_t passes = RECORD_FIRST_PASS | RECORD_SECOND_PASS;

        if ((a->flags & ~passes) != (b->flags & ~passes) || !same_payload(a, b))
                return false;
        if (a->unit == b->unit)
                return a->value_milli == b->value_milli;
        if (!is_glucose(a->unit) || !is_glucose(b->unit))
                return false;
        if (!(a->flags & RECORD_HAS_VALUE))
                return true;
        return a->unit == RECORD_UNIT_MG_DL ? same_glucose(a->value_milli, a->decimals, b->value_milli, b->decimals)
                                            : same_glucose(b->value_milli, b->decimals, a->value_milli, a->decimals);
}
