/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What one row becomes: one record under construction, and sometimes further ones. */

#include "cell.h"
#include "scan.h"
#include "policy/record.h"

/* Rows that are parts of one event find each other by role and join key: rules in window.c. */
typedef enum DraftRole {
        DRAFT_ALONE,
        DRAFT_BOLUS_DELIVERED,
        DRAFT_BOLUS_SELECTED,  /* part of the delivered one */
        DRAFT_BOLUS_CANCELLED, /* part of the delivered one */
        DRAFT_METER,
        DRAFT_METER_ECHO,      /* the same reading accepted, or sent for calibration, a little later */
        DRAFT_METER_TWIN,      /* the same reading in the same second */
        DRAFT_WIZARD,
        DRAFT_WIZARD_PART,     /* more of it in the same second */
        DRAFT_TEMP_BASAL,
        DRAFT_TEMP_BASAL_PART, /* in the same second */
        N_DRAFT_ROLES,
} DraftRole;

typedef struct DraftField {
        int32_t milli;
        uint32_t number;
        const char *text;
        size_t n_text;
} DraftField;

typedef struct Draft {
        uint8_t kind, unit, decimals, flags;
        int32_t value_milli;
        uint64_t set; /* bit per FieldId */
        DraftField fields[N_FIELDS];
        char key[768]; /* what the discriminator is made of; "" for none */
        size_t n_key;
        uint8_t role;
        uint32_t join;
        uint32_t duration_s; /* of a bolus as selected: how long its delivery may be awaited */
        bool is_part_only;   /* says nothing without the row that it is a part of */
} Draft;

enum {
        DRAFTS_MAX = 4,
        DRAFT_SCRATCH = 2 * IMPORT_LINE_MAX,
};

typedef struct Drafts {
        const Scanner *scanner; /* the row */
        char decimal;
        uint8_t unit_override;
        uint64_t present;       /* columns with something in them */
        uint64_t used;          /* columns that have found their field; the rest goes to FIELD_EXTRA */
        Draft drafts[DRAFTS_MAX];
        unsigned n;
        bool is_bad;            /* the row must be rejected */
        char reason[192];
        size_t n_extra;         /* "name=value" joined by TAB, for the first draft */
        char extra[RECORD_TEXT_MAX];
        size_t n_scratch;
        char scratch[DRAFT_SCRATCH];
} Drafts;

void drafts_begin(Drafts *drafts, const Scanner *scanner, char decimal, uint8_t unit_override);
/** drafts_end() - put what no field took into the first draft's FIELD_EXTRA */
void drafts_end(Drafts *drafts);
void drafts_reject(Drafts *drafts, const char *format, ...) printf_like(2, 3);
/** drafts_add() - a new draft; the first is the row's record, others are extra. Never NULL: rows become three at most. */
Draft *drafts_add(Drafts *drafts, RecordKind kind);
void drafts_extra(Drafts *drafts, const char *name, size_t n_name, Cell value);
/** drafts_text() - a text that lives as long as the drafts do */
Cell drafts_text(Drafts *drafts, const char *format, ...) printf_like(2, 3);

/* Cells of the row; reading one marks it as used. */
bool drafts_has(const Drafts *drafts, ColumnId id);
Cell drafts_take(Drafts *drafts, ColumnId id);
/** drafts_number() - false when empty; a text that is no number rejects the row */
bool drafts_number(Drafts *drafts, ColumnId id, Number *ret);
bool drafts_duration(Drafts *drafts, ColumnId id, uint32_t *ret_s);
/** drafts_glucose() - a glucose cell becomes the draft's value or code; a text that is neither rejects the row */
void drafts_glucose(Drafts *drafts, Draft *draft, ColumnId id);
/** drafts_moment() - YYYY-MM-DDTHH:MM:SS */
Cell drafts_moment(Drafts *drafts, int64_t local_ms);
/** drafts_unit() - of a glucose column, the patient's override considered */
unsigned drafts_unit(const Drafts *drafts, ColumnId id);

/* Fields: one that its kind may not have, or that is empty, is left out and false is returned. */
bool draft_milli(Draft *draft, FieldId id, int32_t milli);
bool draft_uint(Draft *draft, FieldId id, uint32_t number);
bool draft_token(Draft *draft, FieldId id, TokenId token);
bool draft_text(Draft *draft, FieldId id, Cell text);

void draft_value(Draft *draft, RecordUnit unit, Number number);
/** draft_delivered() - insulin that a pump gave as a bolus; more than a pump can is quarantined */
void draft_delivered(Draft *draft, Number number);
/** draft_glucose() - a glucose cell: number of three decimals at most, or a code (LO, HI, 0); false when it is neither */
bool draft_glucose(Draft *draft, unsigned unit, Cell cell, char decimal);
void draft_key(Draft *draft, const char *part, size_t n_part);
void draft_join(Draft *draft, DraftRole role, const char *key, size_t n_key);
/** draft_encode() - the payload; its overflow says that the row must be rejected */
void draft_encode(const Draft *draft, Payload *ret);

/* The two families. */
void modern_map(Drafts *drafts);
void legacy_map(Drafts *drafts);
