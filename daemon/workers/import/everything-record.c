/* SPDX-License-Identifier: Apache-2.0 */

#include "everything-record.h"

#include <math.h>
#include <sodium.h>
#include <string.h>

#include "daemon/common/civil.h"

/* Two digits below @limit at a place; a negative number where there are none. */
static int32_t two_digits(const char *text, int32_t limit) {
        int32_t value;

        if (text[0] < '0' || text[0] > '9' || text[1] < '0' || text[1] > '9')
                return -1;
        value = (text[0] - '0') * 10 + text[1] - '0';
        return value < limit ? value : -1;
}

bool everything_time(const char *text, size_t n_text, bool is_utc, int64_t *ret_ms) {
        enum { SECONDS = 19, MILLISECONDS = 23 };
        size_t n = n_text - is_utc;
        int32_t days, hour, minute, second, fraction = 0;

        if (n_text < SECONDS || (n != SECONDS && n != MILLISECONDS) || (is_utc && text[n] != 'Z') || !civil_parse_date(&days, text, 10) || text[10] != 'T' ||
            text[13] != ':' || text[16] != ':')
                return false;
        hour = two_digits(text + 11, 24);
        minute = two_digits(text + 14, 60);
        second = two_digits(text + 17, 60);
        if (hour < 0 || minute < 0 || second < 0)
                return false;
        if (n == MILLISECONDS) {
                int32_t tens = two_digits(text + 20, 100);

                if (text[19] != '.' || tens < 0 || text[22] < '0' || text[22] > '9')
                        return false;
                fraction = tens * 10 + text[22] - '0';
        }
        *ret_ms = (days * INT64_C(86400) + hour * 3600 + minute * 60 + second) * 1000 + fraction;
        return true;
}

/* A decimal number in thousandths; not one of more than three digits behind the point. */
static bool get_milli(const json_t *value, int32_t *ret) {
        double milli = json_number_value(value) * 1000.0;
        int64_t whole;

        if (!json_is_number(value) || !(milli >= INT32_MIN && milli <= INT32_MAX))
                return false;
        whole = (int64_t) (milli < 0 ? milli - 0.5 : milli + 0.5);
        *ret = (int32_t) whole;
        return fabs(milli - (double) whole) < 1e-4;
}

static bool get_uint(const json_t *value, uint64_t max, uint32_t *ret) {
        json_int_t number = json_integer_value(value);

        if (!json_is_integer(value) || number < 0 || (uint64_t) number > max)
                return false;
        *ret = (uint32_t) number;
        return true;
}

/* The number that has this name, below @n; @n where none has. */
static unsigned number_of(const json_t *value, const char *(*name_of)(unsigned number), unsigned n) {
        for (unsigned i = 0; json_is_string(value) && i < n; i++) {
                const char *name = name_of(i);

                if (name && strcmp(name, json_string_value(value)) == 0 && strlen(name) == json_string_length(value))
                        return i;
        }
        return n;
}

static bool put_field(Payload *payload, FieldId id, const FieldInfo *info, const json_t *value) {
        uint32_t number;
        int32_t milli;

        switch (info->type) {
        case FIELD_MILLI:
                if (!get_milli(value, &milli))
                        return false;
                payload_milli(payload, id, milli);
                return true;
        case FIELD_UINT:
                if (!get_uint(value, UINT32_MAX, &number))
                        return false;
                payload_uint(payload, id, number);
                return true;
        case FIELD_TOKEN:
                number = number_of(value, record_token_name, N_TOKENS);
                if (number == N_TOKENS)
                        return false;
                payload_token(payload, id, (TokenId) number);
                return true;
        case FIELD_TEXT:
                if (!json_is_string(value))
                        return false;
                payload_text(payload, id, json_string_value(value), json_string_length(value));
                return true;
        }
        return false;
}

/* "code" is LO or HI where it is text, an alarm's number where it is one. */
static bool put_fields(Payload *payload, const json_t *json, size_t *n_taken) {
        for (unsigned id = 1; id < N_FIELDS; id++) {
                const FieldInfo *info = record_field_info(id);
                const json_t *value = info ? json_object_get(json, info->name) : NULL;

                if (!value || (id == FIELD_CODE && !json_is_integer(value)))
                        continue;
                if (!put_field(payload, (FieldId) id, info, value))
                        return false;
                ++*n_taken;
        }
        return !payload->overflow;
}

/* What is said twice, for people and in the flags, must be the same. */
static bool flags_agree(const json_t *json, const Record *record, size_t *n_taken) {
        const json_t *value = json_object_get(json, "value"), *code = json_object_get(json, "code"), *quarantined = json_object_get(json, "quarantined");
        bool has_code = json_is_string(code);
        const char *text = has_code ? json_string_value(code) : "";

        *n_taken += (value ? 1u : 0u) + (has_code ? 1u : 0u) + (quarantined ? 1u : 0u);
        return (value && !json_is_null(value)) == !!(record->flags & RECORD_HAS_VALUE) && (!json_is_null(value) || has_code) &&
               (strcmp(text, "LO") == 0) == !!(record->flags & RECORD_CODE_LOW) && (strcmp(text, "HI") == 0) == !!(record->flags & RECORD_CODE_HIGH) &&
               has_code == !!(record->flags & (RECORD_CODE_LOW | RECORD_CODE_HIGH)) &&
               (quarantined ? json_is_true(quarantined) : true) && (quarantined != NULL) == !!(record->flags & RECORD_QUARANTINED);
}

bool everything_record(const json_t *json, Payload *payload, Record *ret) {
        const json_t *kind = json_object_get(json, "kind"), *unit = json_object_get(json, "unit"), *clock = json_object_get(json, "clock");
        const json_t *time = json_object_get(json, "time"), *local = json_object_get(json, "local_time"), *identity = json_object_get(json, "identity");
        const json_t *value = json_object_get(json, "value");
        size_t n_taken = 8, n_identity = 0; /* kind, time, local_time, import, source, flags, decimals, identity */
        uint32_t flags, decimals;
        Record record = { 0 };
        int64_t offset_min;

        if (!json_is_string(kind) || !json_is_string(time) || !json_is_string(local) || !json_is_string(identity))
                return false;
        record.kind = (uint8_t) record_kind_from_name(json_string_value(kind), json_string_length(kind));
        record.unit = (uint8_t) (unit ? number_of(unit, record_unit_name, N_RECORD_UNITS) : RECORD_UNIT_NONE);
        record.clock = (uint8_t) (clock ? number_of(clock, record_clock_name, N_RECORD_CLOCKS) : RECORD_CLOCK_ZONE);
        n_taken += (unit ? 1u : 0u) + (clock ? 1u : 0u);
        if (record.kind == 0 || !everything_time(json_string_value(time), json_string_length(time), true, &record.utc_ms) ||
            !everything_time(json_string_value(local), json_string_length(local), false, &record.local_ms))
                return false;
        offset_min = (record.local_ms - record.utc_ms) / 60000;
        if (offset_min < -RECORD_OFFSET_MAX_MIN || offset_min > RECORD_OFFSET_MAX_MIN)
                return false;
        record.offset_min = (int16_t) offset_min;

        if (!get_uint(json_object_get(json, "import"), UINT32_MAX, &record.import) || !get_uint(json_object_get(json, "source"), UINT32_MAX, &record.source) ||
            !get_uint(json_object_get(json, "flags"), UINT8_MAX, &flags) || !get_uint(json_object_get(json, "decimals"), UINT8_MAX, &decimals) ||
            json_string_length(identity) != 2 * sizeof(record.identity) ||
            sodium_hex2bin(record.identity, sizeof(record.identity), json_string_value(identity), 2 * sizeof(record.identity), NULL, &n_identity, NULL) != 0 ||
            n_identity != sizeof(record.identity))
                return false;
        record.flags = (uint8_t) flags;
        record.decimals = (uint8_t) decimals;
        if (!flags_agree(json, &record, &n_taken) || (record.flags & RECORD_HAS_VALUE && !get_milli(value, &record.value_milli)) ||
            !put_fields(payload, json, &n_taken) || n_taken != json_object_size(json))
                return false;
        record.payload = payload->bytes;
        record.n_payload = payload->n;
        if (record.source == 0 || record.import == 0 || !record_valid(&record))
                return false;
        *ret = record;
        return true;
}
