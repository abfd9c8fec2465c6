/* SPDX-License-Identifier: Apache-2.0 */

#include "pump-private.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum {
        ITEMS_STEP = 4096,
        SCRATCH = 8192,
        ROW_BYTES = 512, /* of what is rejected, in one row: twice as many hex digits, the most that is kept of one */
        DAY_MS = 24 * 60 * 60 * 1000,
};

typedef struct HistoryPage {
        unsigned number;
        bool is_known;
        uint8_t bytes[PARADIGM_PAGE_SIZE];
} HistoryPage;

typedef struct GlucosePage {
        unsigned number;
        bool is_known, has_isig;
        int64_t first_ms; /* of its first event with a time; INT64_MAX when none has one */
        uint8_t bytes[PARADIGM_PAGE_SIZE];
        uint8_t isig[PARADIGM_ISIG_PAGE_SIZE];
} GlucosePage;

struct Pump {
        ParadigmModel model;
        char serial[PARADIGM_SERIAL_SIZE + 1];
        uint8_t device[IDENTITY_DEVICE_SIZE];
        const ImportSink *sink;
        int64_t now_utc_ms;
        Zones *zones;
        HistoryPage *history[PUMP_HISTORY_PAGES_MAX];
        size_t n_history;
        uint64_t came; /* numbers of history pages, a bit each: also of those that were there already, and of empty ones */
        unsigned n_expected;
        GlucosePage *glucose[PUMP_GLUCOSE_PAGES_MAX];
        size_t n_glucose;
        PumpItem *items;
        size_t n_items, n_room;
        bool is_known; /* the page that is being mapped */
        uint32_t n_rejected, n_rows;
        uint32_t n_unset, n_ambiguous, n_skipped, n_future;
        const uint8_t *raw; /* of what is being mapped */
        size_t n_raw;
        Draft draft;
        Payload payload;
        char scratch[SCRATCH];
        size_t n_scratch;
        ParadigmCgm cgm;
};

int pump_new(Pump **ret, const ParadigmModel *model, const char *serial, Zones *zones, const ImportSink *sink,
             int64_t now_utc_ms) {
        Pump *pump;

        assert(ret);
        assert(strlen(serial) == PARADIGM_SERIAL_SIZE - 1);

        pump = calloc(1, sizeof(*pump));
        if (!pump)
                return -ENOMEM;
        pump->model = *model;
        pump->zones = zones;
        pump->sink = sink;
        pump->now_utc_ms = now_utc_ms;
        /* as CareLink's exports of such pumps write it: one device, one source */
        (void) snprintf(pump->serial, sizeof(pump->serial), "#%s", serial);
        identity_device(pump->device, model->name, pump->serial, "");
        *ret = pump;
        return 0;
}

static void wipe(void *bytes, size_t n) {
        if (bytes)
                explicit_bzero(bytes, n);
        free(bytes);
}

Pump *pump_free(Pump *pump) {
        if (!pump)
                return NULL;
        for (size_t i = 0; i != pump->n_history; i++)
                wipe(pump->history[i], sizeof(*pump->history[i]));
        for (size_t i = 0; i != pump->n_glucose; i++)
                wipe(pump->glucose[i], sizeof(*pump->glucose[i]));
        for (size_t i = 0; i != pump->n_items; i++)
                wipe(pump->items[i].payload, pump->items[i].n_payload);
        wipe(pump->items, pump->n_items * sizeof(*pump->items));
        wipe(pump, sizeof(*pump));
        return NULL;
}

const ParadigmModel *pump_model(const Pump *pump) {
        return &pump->model;
}

/* --- saying what is wrong --- */

int pump_report(const ImportSink *sink, unsigned page, const char *reason, const uint8_t *bytes, size_t n, uint32_t *ret_n_rejected) {
        char row[ROW_BYTES * 2 + 1] = "", text[256];
        size_t at = 0;
        int r;

        do {
                size_t n_row = n - at < ROW_BYTES ? n - at : ROW_BYTES;

                for (size_t i = 0; i != n_row; i++)
                        (void) snprintf(row + 2 * i, 3, "%02x", bytes[at + i]);
                (void) snprintf(text, sizeof(text), "%s%s", reason, at ? " (its next bytes)" : "");
                (*ret_n_rejected)++;
                r = sink->rejected(sink->userdata, page, text, row, 2 * n_row);
                at += n_row;
        } while (r == 0 && at < n);
        return r;
}

int pump_reject(Pump *pump, unsigned page, const uint8_t *bytes, size_t n, const char *format, ...) {
        char reason[192];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(reason, sizeof(reason), format, args);
        va_end(args);
        if (pump->is_known) /* it was reported when the page was read first */
                return 0;
        return pump_report(pump->sink, page, reason, bytes, n, &pump->n_rejected);
}

int pump_note(Pump *pump, const char *format, ...) {
        char text[320];
        va_list args;

        if (pump->is_known) /* said when the page was read first */
                return 0;
        va_start(args, format);
        (void) vsnprintf(text, sizeof(text), format, args);
        va_end(args);
        return pump->sink->note(pump->sink->userdata, text);
}

/* --- pages --- */

/* Bytes of records, without the zeros behind them and the mark that moves along at the end of a glucose page. */
static size_t page_used(const uint8_t *page, bool is_glucose) {
        size_t n = PARADIGM_PAGE_SIZE - 2;

        while (n && page[n - 1] == 0)
                n--;
        if (is_glucose && n && page[n - 1] == PARADIGM_CGM_DATA_END)
                n--;
        return n;
}

/*
 * The page that the pump was writing, and the same page a moment later: what the one has, the other begins with. While
 * pages are read the pump may begin a new one, and each number then means what the number before meant.
 */
static bool is_begin_of(const uint8_t *a, const uint8_t *b, bool is_glucose) {
        size_t n = page_used(a, is_glucose);

        return n <= page_used(b, is_glucose) && memcmp(a, b, n) == 0;
}

static int bad_page(Pump *pump, int r, const char *what, unsigned number, const uint8_t *page, size_t n) {
        if (r == PARADIGM_E_SIZE)
                r = pump_reject(pump, number, page, n, "%s page %u is %zu bytes long and not whole", what, number, n);
        else
                r = pump_reject(pump, number, page, n, "%s page %u has a wrong checksum: it was damaged on its way", what, number);
        return r ? r : PUMP_E_PAGE;
}

int pump_add_history(Pump *pump, unsigned number, const uint8_t *page, size_t n, bool is_known) {
        HistoryPage *copy;
        int r;

        r = paradigm_page_check(page, n);
        if (r)
                return bad_page(pump, r, "history", number, page, n);
        if (number < PUMP_HISTORY_PAGES_MAX)
                pump->came |= UINT64_C(1) << number;

        for (size_t i = 0; i != pump->n_history; i++) {
                HistoryPage *other = pump->history[i];

                if (is_begin_of(page, other->bytes, false))
                        return 0;
                if (is_begin_of(other->bytes, page, false)) {
                        memcpy(other->bytes, page, sizeof(other->bytes));
                        other->is_known &= is_known;
                        return 0;
                }
        }
        if (pump->n_history == PUMP_HISTORY_PAGES_MAX)
                return PUMP_E_FULL;

        copy = calloc(1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        copy->number = number;
        copy->is_known = is_known;
        memcpy(copy->bytes, page, sizeof(copy->bytes));
        pump->history[pump->n_history++] = copy;
        return 0;
}

static int take_glucose(Pump *pump, GlucosePage *ret, unsigned number, const uint8_t *page, const uint8_t *isig, size_t n_isig) {
        ret->number = number;
        memcpy(ret->bytes, page, sizeof(ret->bytes));
        ret->has_isig = isig && paradigm_isig_check(isig, n_isig) == 0;
        if (ret->has_isig)
                memcpy(ret->isig, isig, sizeof(ret->isig));
        if (isig && !ret->has_isig)
                return pump_reject(pump, number, isig, n_isig, "the sensor currents of glucose page %u are damaged or not whole", number);
        return 0;
}

int pump_add_glucose(Pump *pump, unsigned number, const uint8_t *page, size_t n, const uint8_t *isig, size_t n_isig, bool is_known) {
        GlucosePage *copy;
        int r;

        r = paradigm_page_check(page, n);
        if (r)
                return bad_page(pump, r, "glucose", number, page, n);
        for (size_t i = 0; i != pump->n_glucose; i++) {
                GlucosePage *other = pump->glucose[i];

                if (is_begin_of(page, other->bytes, true))
                        return 0;
                if (is_begin_of(other->bytes, page, true)) {
                        other->is_known &= is_known;
                        return take_glucose(pump, other, number, page, isig, n_isig);
                }
        }
        if (pump->n_glucose == PUMP_GLUCOSE_PAGES_MAX)
                return PUMP_E_FULL;

        copy = calloc(1, sizeof(*copy));
        if (!copy)
                return -ENOMEM;
        copy->is_known = is_known;
        pump->glucose[pump->n_glucose++] = copy;
        return take_glucose(pump, copy, number, page, isig, n_isig);
}

/* --- records --- */

void pump_expect_history(Pump *pump, unsigned n_pages) {
        pump->n_expected = n_pages;
}

static bool has_history(const Pump *pump, unsigned number) {
        static_assert(PUMP_HISTORY_PAGES_MAX <= 64, "came has a bit for each");
        return number < PUMP_HISTORY_PAGES_MAX && pump->came >> number & 1;
}

void pump_set_known(Pump *pump, bool is_known) {
        pump->is_known = is_known;
}

void pump_set_raw(Pump *pump, const uint8_t *bytes, size_t n) {
        pump->raw = bytes;
        pump->n_raw = n;
}

uint32_t pump_n_future(const Pump *pump) {
        return pump->n_future;
}

Draft *pump_draft(Pump *pump, RecordKind kind) {
        Draft *draft = &pump->draft;

        pump->n_scratch = 0;
        draft->kind = (uint8_t) kind;
        draft->unit = RECORD_UNIT_NONE;
        draft->decimals = 0;
        draft->flags = 0;
        draft->value_milli = 0;
        draft->set = 0;
        draft->n_key = 0;
        return draft;
}

Cell pump_text(Pump *pump, const char *format, ...) {
        char *text = pump->scratch + pump->n_scratch;
        size_t n_left = sizeof(pump->scratch) - pump->n_scratch;
        va_list args;
        int n;

        va_start(args, format);
        n = vsnprintf(text, n_left, format, args);
        va_end(args);
        assert(n >= 0 && (size_t) n < n_left); /* each is far shorter */
        pump->n_scratch += (size_t) n + 1;
        return (Cell) { text, (size_t) n };
}

/* With as many digits as CareLink prints: no zeros at the end. */
Number pump_number(int32_t milli) {
        unsigned decimals = milli % 10 ? 3 : milli % 100 ? 2 : milli % 1000 ? 1 : 0;

        return (Number) { .milli = milli, .decimals = (uint8_t) decimals, .is_exact = true };
}

/* An amount as CareLink prints it: no zeros at the end. */
void pump_amount(char ret[static 16], unsigned milli) {
        unsigned part = milli % 1000, digits = 3;

        while (digits && part % 10 == 0) {
                part /= 10;
                digits--;
        }
        if (digits)
                (void) snprintf(ret, 16, "%u.%0*u", milli / 1000, (int) digits, part);
        else
                (void) snprintf(ret, 16, "%u", milli / 1000);
}

/* The year before any pump: what its clock shows after its battery was out. As the CSV importer has it. */
static bool is_year_2000(int64_t local_ms) {
        return local_ms < INT64_C(978307200000);
}

int pump_put(Pump *pump, const Draft *draft, int64_t local_ms, unsigned page, bool is_extra) {
        Record record = { .local_ms = local_ms };
        PumpItem *item;
        char day[16];

        if (local_ms < RECORD_TIME_MIN_MS || local_ms >= RECORD_TIME_MAX_MS)
                return pump_reject(pump, page, pump->raw, pump->n_raw, "a record of history page %u has no possible time", page);

        if (is_year_2000(local_ms))
                record.clock = RECORD_CLOCK_UNSET;
        zones_place(pump->zones, &record);
        if (record.utc_ms > pump->now_utc_ms + DAY_MS) {
                if (is_extra) /* what it was made of is rejected as well */
                        return 0;
                pump->n_future += !pump->is_known;
                day_put(day, local_ms / DAY_MS);
                return pump_reject(pump, page, pump->raw, pump->n_raw, "a record of page %u says that it was made on %s, which is in the future", page, day);
        }

        draft_encode(draft, &pump->payload);
        if (pump->payload.overflow)
                return pump_reject(pump, page, pump->raw, pump->n_raw, "a record of page %u is too long", page);

        if (pump->n_items == pump->n_room) {
                PumpItem *items = reallocarray(pump->items, pump->n_room + ITEMS_STEP, sizeof(*items));

                if (!items)
                        return -ENOMEM;
                pump->items = items;
                pump->n_room += ITEMS_STEP;
        }
        item = &pump->items[pump->n_items];
        record.kind = draft->kind;
        record.unit = draft->unit;
        record.decimals = draft->decimals;
        record.flags = draft->flags;
        record.value_milli = draft->value_milli;
        record.source = 1;
        *item = (PumpItem) {
                .record = record,
                .n_payload = (uint32_t) pump->payload.n,
                .page = page, .sequence = (uint32_t) pump->n_items, .is_known = pump->is_known, .is_extra = is_extra,
        };
        identity_discriminator(item->discriminator, draft->key, draft->n_key);
        if (pump->payload.n) {
                item->payload = malloc(pump->payload.n);
                if (!item->payload)
                        return -ENOMEM;
                memcpy(item->payload, pump->payload.bytes, pump->payload.n);
        }
        pump->n_items++;
        return 0;
}

/* A clock that was set forward by half a year or more had not been set since a reset, in which it shows a first January. */
void pump_mark_unset(Pump *pump, int64_t old_ms, int64_t new_ms) {
        int64_t begin_ms = old_ms - INT64_C(31) * DAY_MS;

        if (new_ms - old_ms < INT64_C(183) * DAY_MS)
                return;
        for (size_t i = pump->n_items; i; i--) {
                PumpItem *item = &pump->items[i - 1];

                if (item->record.local_ms > old_ms || item->record.local_ms < begin_ms)
                        return;
                item->record.clock = RECORD_CLOCK_UNSET;
        }
}

static int compare_content(const PumpItem *x, const PumpItem *y) {
        size_t n = x->n_payload < y->n_payload ? x->n_payload : y->n_payload;
        int r;

        if (x->record.value_milli != y->record.value_milli)
                return x->record.value_milli < y->record.value_milli ? -1 : 1;
        if (x->record.flags != y->record.flags)
                return x->record.flags < y->record.flags ? -1 : 1;
        if (x->record.unit != y->record.unit)
                return x->record.unit < y->record.unit ? -1 : 1;
        if (x->record.decimals != y->record.decimals)
                return x->record.decimals < y->record.decimals ? -1 : 1;
        r = n ? memcmp(x->payload, y->payload, n) : 0;
        if (r == 0 && x->n_payload != y->n_payload)
                return x->n_payload < y->n_payload ? -1 : 1;
        return r;
}

static int compare_place(const PumpItem *x, const PumpItem *y) {
        if (x->record.kind != y->record.kind)
                return x->record.kind < y->record.kind ? -1 : 1;
        if (x->record.local_ms != y->record.local_ms)
                return x->record.local_ms < y->record.local_ms ? -1 : 1;
        return memcmp(x->discriminator, y->discriminator, sizeof(x->discriminator));
}

static int compare_items(const void *a, const void *b) {
        const PumpItem *x = a, *y = b;
        int r = compare_place(x, y);

        if (r == 0)
                r = compare_content(x, y);
        if (r == 0)
                r = x->sequence < y->sequence ? -1 : 1;
        return r;
}

/* Records in one place that differ, or are there twice, are told apart by the order of their content. */
static int give(Pump *pump, FrameImportEnd *end) {
        uint16_t ordinal = 0;
        const PumpItem *given = NULL;
        int r;

        if (pump->n_items)
                qsort(pump->items, pump->n_items, sizeof(*pump->items), compare_items);
        for (size_t i = 0; i != pump->n_items; i++) {
                PumpItem *item = &pump->items[i];
                Record *record = &item->record;

                ordinal = given && compare_place(given, item) == 0 && ordinal < UINT16_MAX ? (uint16_t) (ordinal + 1) : 0;
                given = item;
                if (item->is_known)
                        continue;

                identity_put(record->identity, pump->device, 0, ordinal, item->discriminator);
                record->payload = item->payload;
                record->n_payload = item->n_payload;
                assert(record_valid(record));
                r = pump->sink->record(pump->sink->userdata, item->page, record, item->is_extra);
                if (r)
                        return r;
                if (item->is_extra)
                        end->n_extra[record->kind]++;
                else
                        end->n_records[record->kind]++;
                pump->n_ambiguous += record->clock == RECORD_CLOCK_AMBIGUOUS;
                pump->n_skipped += record->clock == RECORD_CLOCK_SKIPPED;
                pump->n_unset += record->clock == RECORD_CLOCK_UNSET;
        }
        return 0;
}

static int compare_glucose(const void *a, const void *b) {
        const GlucosePage *x = *(GlucosePage *const *) a, *y = *(GlucosePage *const *) b;

        return x->first_ms == y->first_ms ? (x->number > y->number) - (x->number < y->number) : x->first_ms < y->first_ms ? -1 : 1;
}

static int map_pages(Pump *pump) {
        PumpPage pages[PUMP_HISTORY_PAGES_MAX];
        int r;

        for (size_t i = 0; i != pump->n_history; i++) {
                const HistoryPage *page = pump->history[pump->n_history - 1 - i];

                pages[i] = (PumpPage) {
                        .number = page->number, .is_known = page->is_known, .bytes = page->bytes,
                        .is_headless = page->number + 1 < pump->n_expected && !has_history(pump, page->number + 1),
                };
        }
        r = pump_map_history(pump, pages, pump->n_history);
        if (r)
                return r;

        for (size_t i = 0; i != pump->n_glucose; i++) {
                GlucosePage *page = pump->glucose[i];

                paradigm_cgm_decode(page->bytes, page->has_isig ? page->isig : NULL, &pump->model, &pump->cgm);
                page->first_ms = INT64_MAX;
                for (size_t j = pump->cgm.n_events; j; j--)
                        if (pump->cgm.events[j - 1].has_time)
                                page->first_ms = pump->cgm.events[j - 1].local_ms;
        }
        qsort(pump->glucose, pump->n_glucose, sizeof(pump->glucose[0]), compare_glucose);
        for (size_t i = 0; i != pump->n_glucose && r == 0; i++) {
                GlucosePage *page = pump->glucose[i];

                paradigm_cgm_decode(page->bytes, page->has_isig ? page->isig : NULL, &pump->model, &pump->cgm);
                pump_set_known(pump, page->is_known);
                r = pump_map_cgm(pump, page->number, &pump->cgm, page->bytes);
                pump_set_known(pump, false);
        }
        return r;
}

int pump_finish(Pump *pump, FrameImportEnd *end) {
        FrameImportSource source = { .source = 1 };
        int r;

        memcpy(source.device_key, pump->device, sizeof(source.device_key));
        (void) snprintf(source.model, sizeof(source.model), "%s", pump->model.name);
        (void) snprintf(source.serial, sizeof(source.serial), "%s", pump->serial);
        (void) snprintf(source.section, sizeof(source.section), "pump");
        r = pump->sink->source(pump->sink->userdata, &source);
        if (r == 0)
                r = map_pages(pump);
        if (r == 0)
                r = give(pump, end);
        if (r == 0 && pump->n_unset)
                r = pump_note(pump, "%u records are from before the pump's clock was set.", pump->n_unset);
        if (r == 0 && pump->n_ambiguous)
                r = pump_note(pump, "%u records are in an hour that the clock shows twice; which one can't be told, the earlier is assumed.", pump->n_ambiguous);
        if (r == 0 && pump->n_skipped)
                r = pump_note(pump, "%u records are at a time that the zone skips; the pump's clock had not been put forward yet.", pump->n_skipped);
        end->n_rejected = pump->n_rejected;
        end->n_rows = pump->n_rejected;
        for (unsigned kind = 0; kind != N_RECORD_KINDS; kind++)
                end->n_rows += end->n_records[kind];
        return r;
}
