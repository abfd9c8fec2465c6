/* SPDX-License-Identifier: Apache-2.0 */

/* The tables that say what a record may hold, and the checks that follow from them. */

#include "record.h"

#include <string.h>

#define NAME_AT(names, i) ((i) < sizeof(names) / sizeof((names)[0]) ? (names)[i] : NULL)

static const char *const kind_names[N_RECORD_KINDS + 1] = { /* the last one ends it */
        [RECORD_CGM] = "cgm",
        [RECORD_FINGERSTICK] = "fingerstick",
        [RECORD_CALIBRATION] = "calibration",
        [RECORD_BOLUS] = "bolus",
        [RECORD_BASAL] = "basal",
        [RECORD_CARBS] = "carbs",
        [RECORD_WIZARD] = "wizard",
        [RECORD_SETTINGS] = "settings",
        [RECORD_ALARM] = "alarm",
        [RECORD_DEVICE_EVENT] = "device_event",
        [RECORD_NOTE] = "note",
};

static const char *const unit_names[N_RECORD_UNITS] = {
        [RECORD_UNIT_NONE] = "",
        [RECORD_UNIT_MG_DL] = "mg/dL",
        [RECORD_UNIT_MMOL_L] = "mmol/L",
        [RECORD_UNIT_INSULIN] = "U",
        [RECORD_UNIT_INSULIN_PER_HOUR] = "U/h",
        [RECORD_UNIT_GRAM] = "g",
        [RECORD_UNIT_EXCHANGE] = "exchange",
        [RECORD_UNIT_PERCENT] = "%",
};

static const char *const token_names[N_TOKENS] = {
        [TOKEN_YES] = "yes",
        [TOKEN_NORMAL] = "normal",
        [TOKEN_SQUARE] = "square",
        [TOKEN_DUAL_NORMAL] = "dual_normal",
        [TOKEN_DUAL_SQUARE] = "dual_square",
        [TOKEN_MICRO] = "micro",
        [TOKEN_INJECTION] = "injection",
        [TOKEN_RATE] = "rate",
        [TOKEN_TEMP] = "temp",
        [TOKEN_TEMP_PERCENT] = "temp_percent",
        [TOKEN_SUSPEND] = "suspend",
        [TOKEN_RESUME] = "resume",
        [TOKEN_GRAM] = "gram",
        [TOKEN_EXCHANGE] = "exchange",
        [TOKEN_MG_DL] = "mg_dl",
        [TOKEN_MMOL_L] = "mmol_l",
        [TOKEN_PRIME] = "prime",
        [TOKEN_REWIND] = "rewind",
        [TOKEN_RESERVOIR] = "reservoir",
        [TOKEN_BATTERY] = "battery",
        [TOKEN_CLOCK_CHANGE] = "clock_change",
        [TOKEN_DAILY_TOTAL] = "daily_total",
        [TOKEN_DAILY_AUTO_TOTAL] = "daily_auto_total",
        [TOKEN_SENSOR] = "sensor",
        [TOKEN_CONNECTION] = "connection",
        [TOKEN_OTHER] = "other",
        [TOKEN_MEAL] = "meal",
        [TOKEN_EXERCISE] = "exercise",
        [TOKEN_INSULIN] = "insulin",
        [TOKEN_SELECTED_ONLY] = "selected_only",
};

static const char *const clock_names[N_RECORD_CLOCKS] = {
        [RECORD_CLOCK_ZONE] = "zone",
        [RECORD_CLOCK_REPEATED] = "repeated",
        [RECORD_CLOCK_AMBIGUOUS] = "ambiguous",
        [RECORD_CLOCK_SKIPPED] = "skipped",
        [RECORD_CLOCK_UNSET] = "unset",
};

enum {
        ALL = RECORD_ALL_KINDS,
        CGM = RECORD_KIND_BIT(RECORD_CGM),
        FINGERSTICK = RECORD_KIND_BIT(RECORD_FINGERSTICK),
        CALIBRATION = RECORD_KIND_BIT(RECORD_CALIBRATION),
        BOLUS = RECORD_KIND_BIT(RECORD_BOLUS),
        BASAL = RECORD_KIND_BIT(RECORD_BASAL),
        CARBS = RECORD_KIND_BIT(RECORD_CARBS),
        WIZARD = RECORD_KIND_BIT(RECORD_WIZARD),
        SETTINGS = RECORD_KIND_BIT(RECORD_SETTINGS),
        ALARM = RECORD_KIND_BIT(RECORD_ALARM),
        EVENT = RECORD_KIND_BIT(RECORD_DEVICE_EVENT),
        NOTE = RECORD_KIND_BIT(RECORD_NOTE),
        GLUCOSE = CGM | FINGERSTICK | CALIBRATION,
};

/* What may leave the wallet, and of which kind. POLICY.md, "Fields", says the same in words. */
static const FieldInfo fields[N_FIELDS] = {
        [FIELD_ISIG] = { "isig", FIELD_MILLI, FIELD_CLINICAL, CGM | CALIBRATION },
        [FIELD_TYPE] = { "type", FIELD_TOKEN, FIELD_CLINICAL, BOLUS | BASAL | CARBS | SETTINGS | ALARM | EVENT | NOTE },
        [FIELD_PROGRAMMED] = { "programmed", FIELD_MILLI, FIELD_CLINICAL, BOLUS | EVENT },
        [FIELD_DELIVERED] = { "delivered", FIELD_MILLI, FIELD_CLINICAL, BOLUS | EVENT },
        [FIELD_DURATION_S] = { "duration_s", FIELD_UINT, FIELD_CLINICAL, BOLUS | BASAL | SETTINGS | ALARM | EVENT | NOTE },
        [FIELD_NUMBER] = { "number", FIELD_UINT, FIELD_CLINICAL, BOLUS | WIZARD | CARBS | EVENT },
        [FIELD_ORIGIN] = { "origin", FIELD_TEXT, FIELD_CLINICAL, BOLUS | BASAL | CARBS | WIZARD | ALARM | EVENT },
        [FIELD_REASON] = { "reason", FIELD_TEXT, FIELD_CLINICAL, CALIBRATION | BOLUS | BASAL | ALARM | EVENT },
        [FIELD_CODE] = { "code", FIELD_UINT, FIELD_CLINICAL, ALARM | EVENT },
        [FIELD_TEXT_DEVICE] = { "text_device", FIELD_TEXT, FIELD_CLINICAL, GLUCOSE | BOLUS | BASAL | SETTINGS | ALARM | EVENT },
        [FIELD_START_DELAY_S] = { "start_delay_s", FIELD_UINT, FIELD_CLINICAL, BOLUS },
        [FIELD_PERCENT] = { "percent", FIELD_MILLI, FIELD_CLINICAL, BASAL | SETTINGS | EVENT },
        [FIELD_CARBS] = { "carbs", FIELD_MILLI, FIELD_CLINICAL, WIZARD | BOLUS | NOTE },
        [FIELD_CARB_UNIT] = { "carb_unit", FIELD_TOKEN, FIELD_CLINICAL, WIZARD | BOLUS | SETTINGS | NOTE },
        [FIELD_CARB_RATIO] = { "carb_ratio", FIELD_MILLI, FIELD_CLINICAL, WIZARD | SETTINGS },
        [FIELD_SENSITIVITY] = { "sensitivity", FIELD_MILLI, FIELD_CLINICAL, WIZARD | SETTINGS },
        [FIELD_TARGET_LOW] = { "target_low", FIELD_MILLI, FIELD_CLINICAL, WIZARD | SETTINGS },
        [FIELD_TARGET_HIGH] = { "target_high", FIELD_MILLI, FIELD_CLINICAL, WIZARD | SETTINGS },
        [FIELD_GLUCOSE_INPUT] = { "glucose_input", FIELD_MILLI, FIELD_CLINICAL, WIZARD },
        [FIELD_GLUCOSE_UNIT] = { "glucose_unit", FIELD_TOKEN, FIELD_CLINICAL, WIZARD | SETTINGS },
        [FIELD_CORRECTION_ESTIMATE] = { "correction_estimate", FIELD_MILLI, FIELD_CLINICAL, WIZARD },
        [FIELD_FOOD_ESTIMATE] = { "food_estimate", FIELD_MILLI, FIELD_CLINICAL, WIZARD },
        [FIELD_ACTIVE_INSULIN] = { "active_insulin", FIELD_MILLI, FIELD_CLINICAL, WIZARD | BOLUS },
        [FIELD_UNABSORBED] = { "unabsorbed", FIELD_MILLI, FIELD_CLINICAL, WIZARD | BOLUS | EVENT },
        [FIELD_FINAL_ESTIMATE] = { "final_estimate", FIELD_MILLI, FIELD_CLINICAL, WIZARD | BOLUS | EVENT },
        [FIELD_STATUS] = { "status", FIELD_TEXT, FIELD_CLINICAL, BOLUS | BASAL | WIZARD | ALARM | EVENT },
        [FIELD_CLEARED] = { "cleared", FIELD_TOKEN, FIELD_CLINICAL, ALARM },
        [FIELD_NEW_TIME] = { "new_time", FIELD_TEXT, FIELD_CLINICAL, EVENT },
        [FIELD_SETTING] = { "setting", FIELD_TEXT, FIELD_CLINICAL, SETTINGS },
        [FIELD_SETTING_VALUE] = { "setting_value", FIELD_TEXT, FIELD_CLINICAL, SETTINGS },
        [FIELD_INDEX] = { "index", FIELD_UINT, FIELD_CLINICAL, BASAL | SETTINGS },
        [FIELD_START_S] = { "start_s", FIELD_UINT, FIELD_CLINICAL, BASAL | SETTINGS },
        [FIELD_SENSOR_STATE] = { "sensor_state", FIELD_TEXT, FIELD_CLINICAL, CGM | CALIBRATION | EVENT },
        [FIELD_GLUCOSE_SOURCE] = { "glucose_source", FIELD_TEXT, FIELD_CLINICAL, GLUCOSE },
        [FIELD_LINKED_METER] = { "linked_meter", FIELD_TEXT, FIELD_SERIAL, ALL },
        [FIELD_NAME] = { "name", FIELD_TEXT, FIELD_FREE_TEXT, BOLUS | BASAL | SETTINGS | EVENT },
        [FIELD_MARKER] = { "marker", FIELD_TEXT, FIELD_FREE_TEXT, BOLUS | CARBS | NOTE },
        [FIELD_RAW_TYPE] = { "raw_type", FIELD_TEXT, FIELD_INTERNAL, ALL },
        [FIELD_RAW_VALUES] = { "raw_values", FIELD_TEXT, FIELD_INTERNAL, ALL },
        [FIELD_RAW_KEY] = { "raw_key", FIELD_TEXT, FIELD_INTERNAL, ALL },
        [FIELD_EXTRA] = { "extra", FIELD_TEXT, FIELD_INTERNAL, ALL },
        [FIELD_VOLUME] = { "volume", FIELD_MILLI, FIELD_CLINICAL, EVENT },
        [FIELD_STEP] = { "step", FIELD_TEXT, FIELD_CLINICAL, WIZARD | BOLUS | SETTINGS | EVENT },
        [FIELD_EXCEPTION] = { "exception", FIELD_TEXT, FIELD_CLINICAL, CGM | CALIBRATION | ALARM | EVENT },
        [FIELD_MARKER_TYPE] = { "marker_type", FIELD_TOKEN, FIELD_CLINICAL, BOLUS | CARBS | NOTE },
};

#define UNIT_BIT(unit) (UINT32_C(1) << (unit))

/* Units in which a value of the kind may be. */
static const uint32_t value_units[N_RECORD_KINDS] = {
        [RECORD_CGM] = UNIT_BIT(RECORD_UNIT_MG_DL) | UNIT_BIT(RECORD_UNIT_MMOL_L),
        [RECORD_FINGERSTICK] = UNIT_BIT(RECORD_UNIT_MG_DL) | UNIT_BIT(RECORD_UNIT_MMOL_L),
        [RECORD_CALIBRATION] = UNIT_BIT(RECORD_UNIT_MG_DL) | UNIT_BIT(RECORD_UNIT_MMOL_L),
        [RECORD_BOLUS] = UNIT_BIT(RECORD_UNIT_INSULIN),
        [RECORD_BASAL] = UNIT_BIT(RECORD_UNIT_INSULIN_PER_HOUR) | UNIT_BIT(RECORD_UNIT_PERCENT),
        [RECORD_CARBS] = UNIT_BIT(RECORD_UNIT_GRAM) | UNIT_BIT(RECORD_UNIT_EXCHANGE),
        [RECORD_WIZARD] = UNIT_BIT(RECORD_UNIT_INSULIN),
        [RECORD_SETTINGS] = UNIT_BIT(N_RECORD_UNITS) - 1,
        [RECORD_ALARM] = 0,
        [RECORD_DEVICE_EVENT] = UNIT_BIT(RECORD_UNIT_NONE) | UNIT_BIT(RECORD_UNIT_INSULIN) |
                                UNIT_BIT(RECORD_UNIT_INSULIN_PER_HOUR) | UNIT_BIT(RECORD_UNIT_PERCENT),
        [RECORD_NOTE] = UNIT_BIT(RECORD_UNIT_NONE) | UNIT_BIT(RECORD_UNIT_INSULIN) | UNIT_BIT(RECORD_UNIT_GRAM) |
                        UNIT_BIT(RECORD_UNIT_EXCHANGE),
};

const char *record_kind_name(unsigned kind) {
        return NAME_AT(kind_names, kind);
}

unsigned record_kind_from_name(const char *name, size_t n_name) {
        for (unsigned kind = RECORD_CGM; kind_names[kind]; kind++) {
                if (strlen(kind_names[kind]) == n_name && memcmp(kind_names[kind], name, n_name) == 0)
                        return kind;
        }

        return 0;
}

const char *record_unit_name(unsigned unit) {
        return NAME_AT(unit_names, unit);
}

const char *record_token_name(unsigned token) {
        return NAME_AT(token_names, token);
}

const char *record_clock_name(unsigned clock) {
        return NAME_AT(clock_names, clock);
}

const FieldInfo *record_field_info(unsigned id) {
        return id < N_FIELDS && fields[id].name ? &fields[id] : NULL;
}

static uint16_t get_le16(const uint8_t *p) {
        return (uint16_t) (p[0] | p[1] << 8);
}

static uint32_t get_le32(const uint8_t *p) {
        return (uint32_t) get_le16(p) | (uint32_t) get_le16(p + 2) << 16;
}

/* Bytes of a field, id included, text without its bytes. */
static size_t field_size(FieldType type) {
        switch (type) {
        case FIELD_MILLI:
        case FIELD_UINT:
                return 1 + 4;
        case FIELD_TOKEN:
                return 1 + 1;
        case FIELD_TEXT:
        default:
                return 1 + 2;
        }
}

bool record_field_next(const uint8_t *payload, size_t n_payload, size_t *at, Field *ret) {
        const uint8_t *bytes;
        const FieldInfo *info;
        size_t n_left, size;
        Field field = { 0 };

        if (*at >= n_payload)
                return false;

        bytes = payload + *at;
        n_left = n_payload - *at;
        info = record_field_info(bytes[0]);
        if (!info)
                return false;

        size = field_size(info->type);
        if (size > n_left)
                return false;

        field.id = bytes[0];
        field.info = info;
        switch (info->type) {
        case FIELD_MILLI:
                field.milli = (int32_t) get_le32(bytes + 1);
                break;
        case FIELD_UINT:
                field.number = get_le32(bytes + 1);
                break;
        case FIELD_TOKEN:
                field.number = bytes[1];
                break;
        case FIELD_TEXT:
        default:
                field.text = (const char *) bytes + size;
                field.n_text = get_le16(bytes + 1);
                size += field.n_text;
                if (size > n_left)
                        return false;
                break;
        }

        *at += size;
        *ret = field;
        return true;
}

/* UTF-8 of RFC 3629, shortest form, without the control characters U+0000-1F but TAB, U+007F and U+0080-9F. */
static bool text_valid(const char *text, size_t n_text) {
        const uint8_t *bytes = (const uint8_t *) text;
        size_t i = 0;

        while (i < n_text) {
                uint8_t lead = bytes[i++];
                uint32_t point, least;
                unsigned n_more;

                if ((lead & 0x80) == 0x00) {
                        point = lead;
                        least = 0x20;
                        n_more = 0;
                } else if ((lead & 0xe0) == 0xc0) {
                        point = lead & 0x1f;
                        least = 0xa0; /* below are what fits into one byte, and control characters */
                        n_more = 1;
                } else if ((lead & 0xf0) == 0xe0) {
                        point = lead & 0x0f;
                        least = 0x800;
                        n_more = 2;
                } else if ((lead & 0xf8) == 0xf0) {
                        point = lead & 0x07;
                        least = 0x10000;
                        n_more = 3;
                } else
                        return false;

                for (; n_more; n_more--) {
                        if (i == n_text || (bytes[i] & 0xc0) != 0x80)
                                return false;
                        point = point << 6 | (bytes[i++] & 0x3f);
                }

                if (point == '\t')
                        continue;
                if (point < least || point == 0x7f || (point & ~UINT32_C(0x7ff)) == 0xd800 || point > 0x10ffff)
                        return false;
        }

        return true;
}

static bool field_valid(const Field *field, unsigned kind) {
        if (!(field->info->kinds & RECORD_KIND_BIT(kind)))
                return false;
        if (field->info->type == FIELD_TOKEN)
                return record_token_name(field->number);
        return field->n_text <= RECORD_TEXT_MAX && text_valid(field->text, field->n_text);
}

static bool payload_valid(const uint8_t *payload, size_t n_payload, unsigned kind) {
        unsigned last = 0;
        size_t at = 0;
        Field field;

        if (n_payload > RECORD_PAYLOAD_MAX)
                return false;

        while (record_field_next(payload, n_payload, &at, &field)) {
                if (field.id <= last || !field_valid(&field, kind))
                        return false;
                last = field.id;
        }

        return at == n_payload;
}

static bool time_valid(int64_t ms) {
        return ms >= RECORD_TIME_MIN_MS && ms <= RECORD_TIME_MAX_MS;
}

static bool value_valid(const Record *record) {
        uint32_t units = value_units[record->kind];

        switch (record->flags & (RECORD_HAS_VALUE | RECORD_CODE_LOW | RECORD_CODE_HIGH)) {
        case RECORD_HAS_VALUE:
                break;
        case RECORD_CODE_LOW:
        case RECORD_CODE_HIGH:
                if (!(RECORD_KIND_BIT(record->kind) & GLUCOSE))
                        return false;
                /* fall through */
        case 0:
                if (record->value_milli != 0)
                        return false;
                units |= UNIT_BIT(RECORD_UNIT_NONE);
                break;
        default:
                return false;
        }

        return units & UNIT_BIT(record->unit);
}

bool record_valid(const Record *record) {
        return record_kind_name(record->kind) &&
               record_unit_name(record->unit) &&
               record_clock_name(record->clock) &&
               record->decimals <= 3 &&
               !(record->flags & ~RECORD_FLAGS_KNOWN) &&
               record->offset_min >= -RECORD_OFFSET_MAX_MIN &&
               record->offset_min <= RECORD_OFFSET_MAX_MIN &&
               time_valid(record->utc_ms) &&
               time_valid(record->local_ms) &&
               record->local_ms - record->utc_ms == record->offset_min * INT64_C(60000) &&
               value_valid(record) &&
               payload_valid(record->payload, record->n_payload, record->kind);
}

/* Room for a field of @size bytes, its id filled in, or NULL and the payload marked. */
static uint8_t *payload_append(Payload *payload, FieldId id, FieldType type, size_t size) {
        const FieldInfo *info = record_field_info(id);
        size_t at = 0;
        Field last;
        uint8_t *bytes;

        while (record_field_next(payload->bytes, payload->n, &at, &last)) {
                if (last.id >= id)
                        payload->overflow = true;
        }

        if (!info || info->type != type || size > RECORD_PAYLOAD_MAX - payload->n)
                payload->overflow = true;
        if (payload->overflow)
                return NULL;

        bytes = payload->bytes + payload->n;
        payload->n += size;
        bytes[0] = (uint8_t) id;
        return bytes + 1;
}

static void put_le32(uint8_t *p, uint32_t v) {
        for (unsigned i = 0; i != 4; i++)
                p[i] = (uint8_t) (v >> 8 * i);
}

void payload_milli(Payload *payload, FieldId id, int32_t milli) {
        uint8_t *bytes = payload_append(payload, id, FIELD_MILLI, field_size(FIELD_MILLI));

        if (bytes)
                put_le32(bytes, (uint32_t) milli);
}

void payload_uint(Payload *payload, FieldId id, uint32_t number) {
        uint8_t *bytes = payload_append(payload, id, FIELD_UINT, field_size(FIELD_UINT));

        if (bytes)
                put_le32(bytes, number);
}

void payload_token(Payload *payload, FieldId id, TokenId token) {
        uint8_t *bytes = payload_append(payload, id, FIELD_TOKEN, field_size(FIELD_TOKEN));

        if (bytes)
                bytes[0] = (uint8_t) token;
}

void payload_text(Payload *payload, FieldId id, const char *text, size_t n_text) {
        uint8_t *bytes;

        if (n_text > RECORD_TEXT_MAX) {
                payload->overflow = true;
                return;
        }

        bytes = payload_append(payload, id, FIELD_TEXT, field_size(FIELD_TEXT) + n_text);
        if (bytes) {
                bytes[0] = (uint8_t) n_text;
                bytes[1] = (uint8_t) (n_text >> 8);
                if (n_text)
                        memcpy(bytes + 2, text, n_text);
        }
}
