/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Who may see what. Pure functions: no I/O, no clock, no allocation, no logging, libc only.
 *
 * Nothing is disclosed on any path except through policy_decide() and policy_redact() (records) or
 * policy_summary_*() (metrics). See POLICY.md.
 */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "record.h"

#define POLICY_DAY_MS INT64_C(86400000)

enum {
        POLICY_FOR_MAX_S = 365 * 86400,     /* a grant ends within a year */
        POLICY_FOR_DEFAULT_S = 90 * 86400,
        POLICY_LAST_DAYS_MAX = 36500,
        POLICY_USES_MAX = 1000000,
        POLICY_SUMMARY_DAYS_MIN = 3,        /* fewer whole days give no summary */
        POLICY_SUMMARY_READINGS_MIN = 200,  /* fewer readings give no summary */
        POLICY_SERIAL_MAX = 64,             /* bytes of a serial or its pseudonym, terminator included */
        POLICY_MODEL_MAX = 96,
};

/* Each includes the one before. Numbers are stored. */
typedef enum PolicyDetail {
        POLICY_SUMMARY = 1,
        POLICY_REPORT = 2, /* known, refused by this version's requests */
        POLICY_DATA = 3,
} PolicyDetail;

typedef enum PolicyIdentity {
        POLICY_NONE = 1,      /* no serials at all, and sub is of no other use */
        POLICY_PSEUDONYM = 2, /* serials become this provider's pseudonyms */
} PolicyIdentity;

typedef enum PolicyWindowType {
        POLICY_WINDOW_FIXED = 1, /* local days from_day .. to_day, both included */
        POLICY_WINDOW_LAST = 2,  /* the last n local days, today included */
} PolicyWindowType;

typedef struct PolicyWindow {
        uint8_t type;
        int32_t from_day; /* FIXED: days since 1970-01-01 on the device's wall clock */
        int32_t to_day;
        int32_t last_days; /* LAST: 1..POLICY_LAST_DAYS_MAX */
        bool newer;        /* records from after the day on which the grant was issued, too */
} PolicyWindow;

typedef struct PolicyScope {
        uint32_t kinds; /* RECORD_KIND_BIT()s, never 0 */
        uint8_t detail; /* PolicyDetail */
        uint8_t identity; /* PolicyIdentity */
        bool free_text;
        PolicyWindow window;
} PolicyScope;

/* What was signed, or what the live row says of it now: the same form, and the effective grant is their intersection. */
typedef struct PolicyTerms {
        PolicyScope scope;
        int64_t not_before_s; /* Unix seconds, first second in which it is valid */
        int64_t expires_s;    /* Unix seconds, first second in which it is not */
        uint32_t uses_max;    /* access tokens, 0: not limited */
} PolicyTerms;

typedef struct PolicyGrant {
        PolicyTerms signed_terms;
        PolicyTerms live_terms;
        int32_t issued_day;  /* local day of issue, days since 1970-01-01; signed */
        bool revoked;        /* live row, or dead in memory */
        bool suspended;
        bool expired;        /* the committed expiry row: no clock undoes it */
        uint32_t uses;       /* access tokens issued so far */
} PolicyGrant;

typedef enum PolicyOperation {
        POLICY_OP_TOKEN = 1,   /* issue an access token */
        POLICY_OP_SUMMARY = 2,
        POLICY_OP_SLICE = 3,
} PolicyOperation;

/* What the provider asks; may only narrow. */
typedef struct PolicyRequest {
        uint8_t operation; /* PolicyOperation */
        uint32_t kinds;    /* 0: all that the grant has */
        bool has_from, has_to, has_since;
        int32_t from_day;  /* local days, both included */
        int32_t to_day;
        int64_t since_utc_ms; /* only records with utc_ms >= since */
} PolicyRequest;

typedef struct PolicyNow {
        int64_t utc_ms;
        int64_t local_ms; /* the same moment on the patient's wall clock, as if it were UTC */
        bool clock_behind; /* the clock is earlier than the highest time seen: nothing is redeemed */
} PolicyNow;

typedef enum PolicyVerdict {
        POLICY_ALLOW = 0,
        /* in this order, the first that holds is the answer */
        POLICY_DENY_INVALID,       /* the grant or the request is not well formed */
        POLICY_DENY_REVOKED,
        POLICY_DENY_SUSPENDED,
        POLICY_DENY_CLOCK,
        POLICY_DENY_NOT_YET,
        POLICY_DENY_EXPIRED,
        POLICY_DENY_USES,
        POLICY_DENY_DETAIL,
        POLICY_DENY_PARAMETERS,    /* a summary was asked with parameters */
        POLICY_DENY_KINDS,         /* a kind was asked that was not granted */
        POLICY_DENY_WINDOW,        /* asked outside the window, or the window is empty now */
        N_POLICY_VERDICTS,
} PolicyVerdict;

/* What may leave now. Only policy_decide() makes one. */
typedef struct PolicyEffective {
        uint32_t kinds;
        uint8_t identity;
        bool free_text;
        int64_t from_local_ms;  /* inclusive; records are asked by their local_ms */
        int64_t to_local_ms;    /* exclusive */
        int64_t since_utc_ms;   /* inclusive; INT64_MIN when not asked */
} PolicyEffective;

/**
 * policy_decide() - may this be done now, and to which extent
 * @ret: set only on POLICY_ALLOW. For POLICY_OP_TOKEN it is the whole scope; for POLICY_OP_SUMMARY kinds is cgm alone and
 *       the range is whole local days ending at the last midnight.
 *
 * A parameter that asks for more than was granted is refused, not silently cut (POLICY_DENY_KINDS, POLICY_DENY_WINDOW):
 * from_day before the window's first day or to_day after its last is refused; since may be any time and only narrows.
 */
PolicyVerdict policy_decide(const PolicyGrant *grant, const PolicyRequest *request, PolicyNow now, PolicyEffective *ret);

/** policy_verdict_name() - a stable word such as "revoked", for the ledger */
const char *policy_verdict_name(unsigned verdict);

/** policy_terms_valid() - ranges of all members; expires after not_before, within POLICY_FOR_MAX_S */
bool policy_terms_valid(const PolicyTerms *terms);

/** policy_scope_narrows() - whether a lets nothing out that b would not; for tests and for narrowing a grant */
bool policy_scope_narrows(const PolicyScope *a, const PolicyScope *b);

/* What a slice shows of the device a record came from. */
typedef struct PolicyDevice {
        const char *model;     /* leaves always: it is clinical */
        const char *serial;    /* never leaves under the identities of this version */
        const char *pseudonym; /* made by the caller for this provider */
} PolicyDevice;

typedef struct PolicyRedacted {
        Record record;     /* identity, source and import are zero: they are internal */
        const char *model; /* borrowed from the device */
        const char *serial; /* what stands for the serial: the pseudonym, or NULL */
        Payload payload;   /* what record.payload points to */
} PolicyRedacted;

/**
 * policy_redact() - what leaves of one record
 * @record: one that record_valid() accepts
 * @ret:    set only when true is returned; big: reuse one
 *
 * Return: false when nothing of this record may leave: another kind, outside the range, quarantined.
 */
bool policy_redact(const Record *record, const PolicyDevice *device, const PolicyEffective *effective, PolicyRedacted *ret);

/*
 * Summary of sensor glucose: count, mean, the five exclusive bands, days covered.
 * Bands of the international consensus on time in range (Battelino 2019, doi:10.2337/dci19-0028), by the unit reported:
 * mg/dL < 54 | 54-69 | 70-180 | 181-250 | > 250; mmol/L < 3.0 | 3.0-3.8 | 3.9-10.0 | 10.1-13.9 | > 13.9.
 * Values between the printed edges (69.5, 3.85, 180.4 ...) belong to the band whose lower bound they have not reached:
 * mg/dL: < 54, < 70, <= 180, <= 250; mmol/L: < 3.0, < 3.9, <= 10.0, <= 13.9.
 */
typedef enum PolicyBand {
        POLICY_BAND_VERY_LOW,
        POLICY_BAND_LOW,
        POLICY_BAND_TARGET,
        POLICY_BAND_HIGH,
        POLICY_BAND_VERY_HIGH,
        N_POLICY_BANDS,
} PolicyBand;

typedef struct PolicySummary {
        int32_t from_day, to_day;         /* whole local days, both included */
        uint32_t n_readings;              /* with a number */
        uint32_t n_days;                  /* days with at least one reading */
        uint32_t n_codes;                 /* LO and HI readings: in their outer band, not in the mean */
        uint64_t band[N_POLICY_BANDS];    /* readings, codes included */
        int64_t sum_milli_mgdl;           /* of n_readings; mmol/L converted with 18.016 */
        bool is_mmol;                     /* most readings were in mmol/L: mean is shown in it */
        int32_t last_day;                 /* internal: last day seen */
        uint32_t n_mmol;                  /* internal */
} PolicySummary;

void policy_summary_init(PolicySummary *summary, const PolicyEffective *effective);
/** policy_summary_add() - only what policy_redact() gave out; in ascending order of local_ms */
void policy_summary_add(PolicySummary *summary, const Record *redacted);
/** policy_summary_permitted() - enough days and readings for a summary to leave */
bool policy_summary_permitted(const PolicySummary *summary);
/** policy_summary_mean_milli() - mean in thousandths of mg/dL, or of mmol/L when is_mmol, rounded half up; 0 without readings */
int64_t policy_summary_mean_milli(const PolicySummary *summary);
/** policy_band() - of one glucose value; unit RECORD_UNIT_MG_DL or RECORD_UNIT_MMOL_L */
PolicyBand policy_band(int32_t value_milli, unsigned unit);
