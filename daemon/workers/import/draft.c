/* SPDX-License-Identifier: Apache-2.0 */

#include "draft.h"

#include <stdarg.h>

enum {
        /* beyond these a value is quarantined: no pump of the makers supported here can do or means it */
        BOLUS_MAX_MILLI = 100 * 1000,     /* by hand: a pen of 80 U, and some */
        PUMP_BOLUS_MAX_MILLI = 75 * 1000, /* range of a normal bolus: Paradigm Veo user guide, "Pump specifications"; the most that a pump of the maker is known to give */
        RATE_MAX_MILLI = 50 * 1000,
        PERCENT_MAX_MILLI = 1000 * 1000,
        CARBS_MAX_MILLI = 1000 * 1000,
};

void drafts_begin(Drafts *drafts, const Scanner *scanner, char decimal, uint8_t unit_override) {
        drafts->scanner = scanner;
        drafts->decimal = decimal;
        drafts->unit_override = unit_override;
        drafts->present = 0;
        drafts->used = COLUMN_BIT(COLUMN_UNKNOWN) | COLUMN_BIT(COLUMN_INDEX) | COLUMN_BIT(COLUMN_DATE) | COLUMN_BIT(COLUMN_TIME);
        drafts->n = 0;
        drafts->is_bad = false;
        drafts->n_extra = 0;
        drafts->n_scratch = 0;

        for (unsigned i = 0; i != scanner->row.n_cells; i++)
                if (scanner->row.cells[i].n)
                        drafts->present |= COLUMN_BIT(scanner->columns.id[i]);
}

void drafts_reject(Drafts *drafts, const char *format, ...) {
        va_list args;

        if (drafts->is_bad)
                return;
        drafts->is_bad = true;
        va_start(args, format);
        (void) vsnprintf(drafts->reason, sizeof(drafts->reason), format, args);
        va_end(args);
}

Draft *drafts_add(Drafts *drafts, RecordKind kind) {
        Draft *draft;

        /* more events in a row than any device writes: the last is overwritten and the row rejected */
        if (drafts->n == DRAFTS_MAX) {
                drafts_reject(drafts, "too many events in one row");
                drafts->n--;
        }

        draft = &drafts->drafts[drafts->n++];
        draft->kind = (uint8_t) kind;
        draft->unit = RECORD_UNIT_NONE;
        draft->decimals = 0;
        draft->flags = 0;
        draft->value_milli = 0;
        draft->set = 0;
        draft->n_key = 0;
        draft->role = DRAFT_ALONE;
        draft->join = 0;
        draft->duration_s = 0;
        draft->is_part_only = false;
        return draft;
}

Cell drafts_text(Drafts *drafts, const char *format, ...) {
        char *text = drafts->scratch + drafts->n_scratch;
        size_t n_left = sizeof(drafts->scratch) - drafts->n_scratch;
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text, n_left, format, args);
        va_end(args);
        if (n < 0 || (size_t) n >= n_left) {
                drafts_reject(drafts, "too long");
                return (Cell) { "", 0 };
        }

        drafts->n_scratch += (size_t) n + 1;
        return (Cell) { text, (size_t) n };
}

void drafts_extra(Drafts *drafts, const char *name, size_t n_name, Cell value) {
        size_t n = n_name + 1 + value.n + (drafts->n_extra ? 1 : 0);
        char *at = drafts->extra + drafts->n_extra;

        if (n > sizeof(drafts->extra) - drafts->n_extra) {
                drafts_reject(drafts, "too much in columns that have no field");
                return;
        }

        if (drafts->n_extra)
                *at++ = '\t';
        memcpy(at, name, n_name);
        at += n_name;
        *at++ = '=';
        if (value.n)
                memcpy(at, value.text, value.n);
        drafts->n_extra += n;
}

/* The cell as text that is the same whatever the account's decimal mark. */
static Cell neutral(Drafts *drafts, unsigned at) {
        Cell cell = drafts->scanner->row.cells[at];
        Cell text;

        if (column_type(drafts->scanner->columns.id[at]) == COLUMN_IS_TEXT || !memchr(cell.text, ',', cell.n))
                return cell;

        text = drafts_text(drafts, "%.*s", (int) cell.n, cell.text);
        for (size_t i = 0; i != text.n; i++)
                if (text.text[i] == ',')
                        drafts->scratch[text.text - drafts->scratch + (ptrdiff_t) i] = '.';
        return text;
}

void drafts_end(Drafts *drafts) {
        const Columns *columns = &drafts->scanner->columns;

        if ((drafts->present & ~drafts->used) || (drafts->present & COLUMN_BIT(COLUMN_UNKNOWN))) {
                for (unsigned i = 0; i != drafts->scanner->row.n_cells; i++) {
                        unsigned id = columns->id[i];

                        if (drafts->scanner->row.cells[i].n == 0 || columns->names[i].n == 0)
                                continue;
                        if (id == COLUMN_UNKNOWN || !(drafts->used & COLUMN_BIT(id)))
                                drafts_extra(drafts, columns->names[i].text, columns->names[i].n, neutral(drafts, i));
                }
        }

        if (drafts->n_extra && drafts->n)
                (void) draft_text(&drafts->drafts[0], FIELD_EXTRA, (Cell) { drafts->extra, drafts->n_extra });
}

bool drafts_has(const Drafts *drafts, ColumnId id) {
        return drafts->present & COLUMN_BIT(id);
}

Cell drafts_take(Drafts *drafts, ColumnId id) {
        drafts->used |= COLUMN_BIT(id);
        return drafts_has(drafts, id) ? drafts->scanner->row.cells[drafts->scanner->columns.at[id]] : (Cell) { "", 0 };
}

static void reject_cell(Drafts *drafts, ColumnId id, Cell cell, const char *what) {
        drafts_reject(drafts, "column %s: \"%.*s\" is no %s", column_name(id), (int) (cell.n < 40 ? cell.n : 40), cell.text, what);
}

bool drafts_number(Drafts *drafts, ColumnId id, Number *ret) {
        Cell cell = drafts_take(drafts, id);

        if (cell.n == 0)
                return false;
        if (!cell_number(cell, drafts->decimal, ret)) {
                reject_cell(drafts, id, cell, "number");
                return false;
        }
        /* more digits than a record holds: kept as they were printed */
        if (!ret->is_exact)
                drafts_extra(drafts, column_name(id), strlen(column_name(id)), neutral(drafts, drafts->scanner->columns.at[id]));
        return true;
}

bool drafts_duration(Drafts *drafts, ColumnId id, uint32_t *ret_s) {
        Cell cell = drafts_take(drafts, id);

        if (cell.n == 0)
                return false;
        if (!cell_duration(cell, ret_s)) {
                reject_cell(drafts, id, cell, "duration");
                return false;
        }
        return true;
}

unsigned drafts_unit(const Drafts *drafts, ColumnId id) {
        unsigned at = drafts->scanner->columns.at[id];

        if (drafts->unit_override)
                return drafts->unit_override;
        return at == COLUMN_NOWHERE ? RECORD_UNIT_NONE : drafts->scanner->columns.unit[at];
}

static DraftField *field(Draft *draft, FieldId id) {
        const FieldInfo *info = record_field_info(id);

        if (!info || !(info->kinds & RECORD_KIND_BIT(draft->kind)))
                return NULL;
        draft->set |= UINT64_C(1) << id;
        return &draft->fields[id];
}

bool draft_milli(Draft *draft, FieldId id, int32_t milli) {
        DraftField *f = field(draft, id);

        if (f)
                f->milli = milli;
        return f;
}

bool draft_uint(Draft *draft, FieldId id, uint32_t number) {
        DraftField *f = field(draft, id);

        if (f)
                f->number = number;
        return f;
}

bool draft_token(Draft *draft, FieldId id, TokenId token) {
        return draft_uint(draft, id, (uint32_t) token);
}

bool draft_text(Draft *draft, FieldId id, Cell text) {
        DraftField *f = text.n ? field(draft, id) : NULL;

        if (f) {
                f->text = text.text;
                f->n_text = text.n;
        }
        return f;
}

/* Whether the number is one that a device of this kind can have meant. */
static bool is_plausible(unsigned kind, unsigned unit, int32_t milli) {
        switch (unit) {
        case RECORD_UNIT_MG_DL:
                return milli >= 20000 && milli <= 600000;
        case RECORD_UNIT_MMOL_L:
                return milli >= 1000 && milli <= 33400;
        case RECORD_UNIT_INSULIN:
                if (kind == RECORD_BOLUS)
                        return milli >= 0 && milli <= BOLUS_MAX_MILLI;
                return true;
        case RECORD_UNIT_INSULIN_PER_HOUR:
                return milli >= 0 && milli <= RATE_MAX_MILLI;
        case RECORD_UNIT_PERCENT:
                return milli >= 0 && milli <= PERCENT_MAX_MILLI;
        case RECORD_UNIT_GRAM:
        case RECORD_UNIT_EXCHANGE:
                return milli >= 0 && milli <= CARBS_MAX_MILLI;
        default:
                return true;
        }
}

void draft_value(Draft *draft, RecordUnit unit, Number number) {
        draft->unit = (uint8_t) unit;
        draft->decimals = number.decimals;
        draft->value_milli = number.milli;
        draft->flags = RECORD_HAS_VALUE;
        if (!is_plausible(draft->kind, unit, number.milli))
                draft->flags |= RECORD_QUARANTINED;
}

void draft_delivered(Draft *draft, Number number) {
        (void) draft_milli(draft, FIELD_DELIVERED, number.milli);
        draft_value(draft, RECORD_UNIT_INSULIN, number);
        if (number.milli > PUMP_BOLUS_MAX_MILLI)
                draft->flags |= RECORD_QUARANTINED;
}

bool draft_glucose(Draft *draft, unsigned unit, Cell cell, char decimal) {
        static const char *const low[] = { "LO", "Lo", "Low", "LOW", "low" };
        static const char *const high[] = { "HI", "Hi", "High", "HIGH", "high" };
        Number number;

        draft->unit = (uint8_t) unit;
        if (cell.n == 0)
                return true;

        for (size_t i = 0; i != N_ELEMENTS(low); i++) {
                if (cell_is(cell, low[i]) || cell_is(cell, high[i])) {
                        draft->flags = cell_is(cell, low[i]) ? RECORD_CODE_LOW : RECORD_CODE_HIGH;
                        return true;
                }
        }

        if ((cell.text[0] == '<' || cell.text[0] == '>') &&
            cell_number((Cell) { cell.text + 1, cell.n - 1 }, decimal, &number)) {
                draft->flags = cell.text[0] == '<' ? RECORD_CODE_LOW : RECORD_CODE_HIGH;
                return true;
        }

        /* no device prints more digits than a record holds: a cell with more was computed, or spoilt */
        if (!cell_number(cell, decimal, &number) || !number.is_exact)
                return false;
        /* 0 is the device's code for no reading: the row stays, without a value */
        if (number.milli != 0)
                draft_value(draft, (RecordUnit) unit, number);
        return true;
}

void drafts_glucose(Drafts *drafts, Draft *draft, ColumnId id) {
        Cell cell = drafts_take(drafts, id);
        Number number;

        if (!draft_glucose(draft, drafts_unit(drafts, id), cell, drafts->decimal))
                reject_cell(drafts, id, cell, cell_number(cell, drafts->decimal, &number) ? "glucose value that a device prints: more than three decimals" : "glucose value");
}

Cell drafts_moment(Drafts *drafts, int64_t local_ms) {
        int64_t s = local_ms / 1000;
        char day[16];

        day_put(day, s / 86400);
        return drafts_text(drafts, "%sT%02u:%02u:%02u", day, (unsigned) (s % 86400 / 3600), (unsigned) (s % 3600 / 60),
                           (unsigned) (s % 60));
}

void draft_key(Draft *draft, const char *part, size_t n_part) {
        size_t n_left = sizeof(draft->key) - draft->n_key;

        if (n_part + 1 > n_left)
                n_part = n_left ? n_left - 1 : 0;
        if (n_left == 0)
                return;
        memcpy(draft->key + draft->n_key, part, n_part);
        draft->n_key += n_part;
        draft->key[draft->n_key++] = '\n';
}

void draft_join(Draft *draft, DraftRole role, const char *key, size_t n_key) {
        uint32_t hash = UINT32_C(2166136261); /* FNV-1a */

        for (size_t i = 0; i != n_key; i++)
                hash = (hash ^ (uint8_t) key[i]) * UINT32_C(16777619);
        draft->role = (uint8_t) role;
        draft->join = hash;
}

void draft_encode(const Draft *draft, Payload *ret) {
        ret->n = 0;
        ret->overflow = false;

        for (uint64_t left = draft->set; left; left &= left - 1) {
                unsigned id = (unsigned) __builtin_ctzll(left);
                const DraftField *f = &draft->fields[id];

                switch (record_field_info(id)->type) {
                case FIELD_MILLI:
                        payload_milli(ret, (FieldId) id, f->milli);
                        break;
                case FIELD_UINT:
                        payload_uint(ret, (FieldId) id, f->number);
                        break;
                case FIELD_TOKEN:
                        payload_token(ret, (FieldId) id, (TokenId) f->number);
                        break;
                case FIELD_TEXT:
                        payload_text(ret, (FieldId) id, f->text, f->n_text);
                        break;
                }
        }
}
