/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What a record is: kinds, units, fields, and the byte layout of a payload.
 *
 * Everything here is data that a reviewer can read: which fields exist, of what type they are, to which kinds they
 * belong, and whether they may ever leave the wallet. libc only. The same layout is stored, sent between processes and
 * redacted; it is specified in daemon/FORMAT.md, "record".
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers are stored: never renumber, never reuse. */
typedef enum RecordKind {
        RECORD_CGM = 1,          /* sensor glucose; value mg/dL or mmol/L */
        RECORD_FINGERSTICK = 2,  /* meter glucose; value mg/dL or mmol/L */
        RECORD_CALIBRATION = 3,  /* glucose given to the sensor; value mg/dL or mmol/L */
        RECORD_BOLUS = 4,        /* value: units delivered (programmed, while delivery is not known) */
        RECORD_BASAL = 5,        /* value: rate in U/h, or per cent for a relative temp basal */
        RECORD_CARBS = 6,        /* value: grams or exchanges */
        RECORD_WIZARD = 7,       /* bolus calculator; value: the estimate in U */
        RECORD_SETTINGS = 8,     /* one device setting as it became valid; no value, or the setting's number */
        RECORD_ALARM = 9,        /* no value */
        RECORD_DEVICE_EVENT = 10, /* prime, rewind, battery, clock, daily totals ...; value where the event has one */
        RECORD_NOTE = 11,        /* event marker or the patient's text; value where the marker has one */
        N_RECORD_KINDS = 12,     /* one more than the largest */
} RecordKind;

#define RECORD_KIND_BIT(kind) (UINT32_C(1) << (kind))
#define RECORD_ALL_KINDS (RECORD_KIND_BIT(N_RECORD_KINDS) - 2)

typedef enum RecordUnit {
        RECORD_UNIT_NONE = 0,
        RECORD_UNIT_MG_DL = 1,
        RECORD_UNIT_MMOL_L = 2,
        RECORD_UNIT_INSULIN = 3,          /* U */
        RECORD_UNIT_INSULIN_PER_HOUR = 4, /* U/h */
        RECORD_UNIT_GRAM = 5,             /* g */
        RECORD_UNIT_EXCHANGE = 6,         /* exchange */
        RECORD_UNIT_PERCENT = 7,          /* % */
        N_RECORD_UNITS = 8,
} RecordUnit;

enum {
        RECORD_HAS_VALUE = 1 << 0,   /* value is a number; without it value is 0 and means nothing */
        RECORD_CODE_LOW = 1 << 1,    /* the device said LO: below its range; no value */
        RECORD_CODE_HIGH = 1 << 2,   /* the device said HI: above its range; no value */
        RECORD_QUARANTINED = 1 << 3, /* implausible: the patient sees it, no slice and no statistic does */
        RECORD_FIRST_PASS = 1 << 4,  /* the clock showed this time twice, the order of rows says that this was the first time */
        RECORD_SECOND_PASS = 1 << 5, /* ... the second time */
        /* 64 and 128 were once stored, and say nothing */
        RECORD_FLAGS_KNOWN = 0x3f,
};

/* How sure we are of utc_ms, given local_ms. */
typedef enum RecordClock {
        RECORD_CLOCK_ZONE = 0,      /* the wallet's zone says it, and there is one answer */
        RECORD_CLOCK_REPEATED = 1,  /* an hour that the clock repeats, told apart by order */
        RECORD_CLOCK_AMBIGUOUS = 2, /* such an hour, order does not tell; the earlier one assumed */
        RECORD_CLOCK_SKIPPED = 3,   /* a wall-clock time that the zone skips; offset before the jump assumed */
        RECORD_CLOCK_UNSET = 4,     /* the device's clock was not set (2000, 2016-01-01 after a reset) */
        N_RECORD_CLOCKS = 5,
} RecordClock;

enum {
        RECORD_IDENTITY_SIZE = 16,
        RECORD_PAYLOAD_MAX = 4096,     /* bytes; a longer row is rejected, not cut */
        RECORD_TEXT_MAX = 2048,        /* bytes of one text field */
        RECORD_OFFSET_MAX_MIN = 14 * 60, /* largest offset from UTC that a zone has (Kiritimati) */
};

/* Times: milliseconds; local_ms is the device's wall clock read as if it were UTC. Valid range 1990-01-01..2100-01-01. */
#define RECORD_TIME_MIN_MS INT64_C(631152000000)
#define RECORD_TIME_MAX_MS INT64_C(4102444800000)

typedef struct Record {
        uint8_t kind;     /* RecordKind */
        uint8_t unit;     /* RecordUnit */
        uint8_t decimals; /* digits after the point as the device printed them, 0..3 */
        uint8_t flags;    /* RECORD_HAS_VALUE ... */
        uint8_t clock;    /* RecordClock */
        int16_t offset_min; /* local = UTC + offset; minutes */
        int32_t value_milli; /* thousandths of unit, as reported */
        int64_t utc_ms;
        int64_t local_ms;
        uint8_t identity[RECORD_IDENTITY_SIZE]; /* layout in daemon/FORMAT.md, "identity" */
        uint32_t source; /* wallet's id of the device seen through an import; 0 in a worker's frame that has not been mapped */
        uint32_t import; /* wallet's id of the import */
        const uint8_t *payload; /* borrowed; fields in ascending order of id, see record_field_next() */
        size_t n_payload;
} Record;

/* How a field is laid out after its id byte. */
typedef enum FieldType {
        FIELD_MILLI = 1, /* int32 little-endian, thousandths */
        FIELD_UINT = 2,  /* uint32 little-endian */
        FIELD_TOKEN = 3, /* uint8, index into record_token_name() */
        FIELD_TEXT = 4,  /* uint16 little-endian length, then UTF-8 without control characters but TAB */
} FieldType;

/* Whether a field may leave the wallet in a slice. Deny is the default: a new field needs a class. */
typedef enum FieldClass {
        FIELD_CLINICAL = 1, /* leaves with its kind */
        FIELD_SERIAL = 2,   /* identifies a device: never leaves; the source's pseudonym stands for it */
        FIELD_FREE_TEXT = 3, /* written or named by the patient, or raw device text: leaves only when the grant says free_text */
        FIELD_INTERNAL = 4, /* keys of other systems (upload ids, raw columns): never leaves */
} FieldClass;

/* Numbers are stored: never renumber, never reuse. */
typedef enum FieldId {
        FIELD_ISIG = 1,               /* MILLI nA */
        FIELD_TYPE = 2,               /* TOKEN: what sort of bolus, basal, device event, carbs, setting */
        FIELD_PROGRAMMED = 3,         /* MILLI U */
        FIELD_DELIVERED = 4,          /* MILLI U */
        FIELD_DURATION_S = 5,         /* UINT s */
        FIELD_NUMBER = 6,             /* UINT: device's number of the bolus; joins wizard, selected and delivered */
        FIELD_ORIGIN = 7,             /* TEXT: the device's word for what caused it, such as CLOSED_LOOP_BG_CORRECTION */
        FIELD_REASON = 8,             /* TEXT: why suspended, cancelled, rejected */
        FIELD_CODE = 9,               /* UINT: alarm code */
        FIELD_TEXT_DEVICE = 10,       /* TEXT: the device's own wording of an alarm, status or setting */
        FIELD_START_DELAY_S = 11,     /* UINT s from the moment a bolus was selected to this record's time */
        FIELD_PERCENT = 12,           /* MILLI % */
        FIELD_CARBS = 13,             /* MILLI, in FIELD_CARB_UNIT */
        FIELD_CARB_UNIT = 14,         /* TOKEN gram or exchange */
        FIELD_CARB_RATIO = 15,        /* MILLI g/U or U/exchange */
        FIELD_SENSITIVITY = 16,       /* MILLI glucose/U */
        FIELD_TARGET_LOW = 17,        /* MILLI glucose */
        FIELD_TARGET_HIGH = 18,       /* MILLI glucose */
        FIELD_GLUCOSE_INPUT = 19,     /* MILLI glucose */
        FIELD_GLUCOSE_UNIT = 20,      /* TOKEN mg_dl or mmol_l, of the four fields above */
        FIELD_CORRECTION_ESTIMATE = 21, /* MILLI U */
        FIELD_FOOD_ESTIMATE = 22,     /* MILLI U */
        FIELD_ACTIVE_INSULIN = 23,    /* MILLI U */
        FIELD_UNABSORBED = 24,        /* MILLI U */
        FIELD_FINAL_ESTIMATE = 25,    /* MILLI U */
        FIELD_STATUS = 26,            /* TEXT: device's status word */
        FIELD_CLEARED = 27,           /* TOKEN yes: the row says that the user cleared the alarm */
        FIELD_NEW_TIME = 28,          /* TEXT: wall clock set by a clock change, YYYY-MM-DDTHH:MM:SS */
        FIELD_SETTING = 29,           /* TEXT: name of the setting, as the device has it */
        FIELD_SETTING_VALUE = 30,     /* TEXT: its new value, verbatim */
        FIELD_INDEX = 31,             /* UINT: index in a profile */
        FIELD_START_S = 32,           /* UINT: seconds after midnight at which a profile segment starts */
        FIELD_SENSOR_STATE = 33,      /* TEXT */
        FIELD_GLUCOSE_SOURCE = 34,    /* TEXT: BG Source, such as BG_SENT_FOR_CALIB */
        FIELD_LINKED_METER = 35,      /* TEXT, serial */
        FIELD_NAME = 36,              /* TEXT, free: preset or profile name that the patient may have chosen */
        FIELD_MARKER = 37,            /* TEXT, free: event marker or note, verbatim */
        FIELD_RAW_TYPE = 38,          /* TEXT, internal: legacy Raw-Type */
        FIELD_RAW_VALUES = 39,        /* TEXT, internal: legacy Raw-Values */
        FIELD_RAW_KEY = 40,           /* TEXT, internal: legacy "Raw-ID/Raw-Upload ID/Raw-Seq Num" */
        FIELD_EXTRA = 41,             /* TEXT, internal: columns that we have no field for, "name=value" joined by TAB */
        FIELD_VOLUME = 42,            /* MILLI U: prime or reservoir volume */
        FIELD_STEP = 43,              /* TEXT: scroll step size, insulin action curve and the like */
        FIELD_EXCEPTION = 44,         /* TEXT: sensor exception, rejected calibration */
        FIELD_MARKER_TYPE = 45,       /* TOKEN: what the marker says (insulin, meal, exercise, other) */
        N_FIELDS = 46,
} FieldId;

/* Numbers are stored: never renumber, never reuse. */
typedef enum TokenId {
        TOKEN_YES = 1,
        TOKEN_NORMAL = 2,      /* bolus */
        TOKEN_SQUARE = 3,      /* bolus, extended */
        TOKEN_DUAL_NORMAL = 4, /* immediate part of a combined bolus */
        TOKEN_DUAL_SQUARE = 5, /* extended part of a combined bolus */
        TOKEN_MICRO = 6,       /* automatic micro-bolus or auto-basal given as boluses */
        TOKEN_INJECTION = 7,   /* insulin that the patient entered as given by pen */
        TOKEN_RATE = 8,        /* basal segment */
        TOKEN_TEMP = 9,
        TOKEN_TEMP_PERCENT = 10,
        TOKEN_SUSPEND = 11,
        TOKEN_RESUME = 12,
        TOKEN_GRAM = 13,
        TOKEN_EXCHANGE = 14,
        TOKEN_MG_DL = 15,
        TOKEN_MMOL_L = 16,
        TOKEN_PRIME = 17,
        TOKEN_REWIND = 18,
        TOKEN_RESERVOIR = 19,
        TOKEN_BATTERY = 20,
        TOKEN_CLOCK_CHANGE = 21,
        TOKEN_DAILY_TOTAL = 22,      /* all insulin of a day, as the device counted it: never added to boluses */
        TOKEN_DAILY_AUTO_TOTAL = 23, /* automatic insulin of a day ("Aggregated Auto Insulin Data") */
        TOKEN_SENSOR = 24,           /* sensor start, change, end, connection */
        TOKEN_CONNECTION = 25,       /* network device events */
        TOKEN_OTHER = 26,
        TOKEN_MEAL = 27,
        TOKEN_EXERCISE = 28,
        TOKEN_INSULIN = 29,
        TOKEN_SELECTED_ONLY = 30, /* bolus that was selected and for which no delivery is known */
        N_TOKENS = 31,
} TokenId;

typedef struct FieldInfo {
        const char *name; /* JSON and CSV name, snake case */
        FieldType type;
        FieldClass class;
        uint32_t kinds; /* RECORD_KIND_BIT()s to which it may belong */
} FieldInfo;

/** record_kind_name() - "cgm", "device_event" ...; NULL when there is no such kind */
const char *record_kind_name(unsigned kind);
/** record_kind_from_name() - RecordKind, or 0 when the name is none */
unsigned record_kind_from_name(const char *name, size_t n_name);
/** record_unit_name() - "mg/dL", "U" ...; "" for none; NULL when there is no such unit */
const char *record_unit_name(unsigned unit);
const char *record_token_name(unsigned token);
/** record_clock_name() - "zone", "repeated" ...; NULL when there is no such clock */
const char *record_clock_name(unsigned clock);
/** record_field_info() - NULL when there is no such field */
const FieldInfo *record_field_info(unsigned id);

typedef struct Field {
        uint8_t id;
        const FieldInfo *info;
        int32_t milli;       /* FIELD_MILLI */
        uint32_t number;     /* FIELD_UINT and FIELD_TOKEN */
        const char *text;    /* FIELD_TEXT: borrowed from the payload, not terminated */
        size_t n_text;
} Field;

/**
 * record_field_next() - walk a payload
 * @payload:  borrowed; the whole payload
 * @at:       in and out; 0 to begin
 * @ret:      the field, untouched at the end
 *
 * Return: true with a field; false at the end or where the bytes are no field. A payload that record_valid() accepts
 * always walks to its end.
 */
bool record_field_next(const uint8_t *payload, size_t n_payload, size_t *at, Field *ret);

/**
 * record_valid() - all that is promised above holds
 *
 * Kind, unit, flags, clock, decimals and times in range; value only with RECORD_HAS_VALUE, glucose units only for
 * glucose kinds and the like; the payload is a whole number of known fields in strictly ascending order, each
 * belonging to the kind, each token known, each text valid UTF-8 without control characters but TAB. Used on every record that crosses a process
 * boundary. Identity, source and import are not looked at.
 */
bool record_valid(const Record *record);

/* Append to a payload under construction. Fields must come in ascending order of id. */
typedef struct Payload {
        uint8_t bytes[RECORD_PAYLOAD_MAX];
        size_t n;
        bool overflow; /* something did not fit or came out of order: the record must be rejected */
} Payload;

void payload_milli(Payload *payload, FieldId id, int32_t milli);
void payload_uint(Payload *payload, FieldId id, uint32_t number);
void payload_token(Payload *payload, FieldId id, TokenId token);
void payload_text(Payload *payload, FieldId id, const char *text, size_t n_text);
