/* SPDX-License-Identifier: Apache-2.0 */

#include "import.h"

#include "cell.h"
#include "survey.h"
#include "window.h"

enum {
        PROGRESS_STEP = 1024 * 1024, /* bytes of both passes together */
        SOURCES_MAX = IMPORT_SECTIONS_MAX + IMPORT_DEVICES_MAX,
};

typedef struct Source {
        Device device;
        bool is_announced;
} Source;

typedef struct Import {
        const FrameImportRequest *request;
        const ImportSink *sink;
        Scanner scanner;
        Survey survey;
        Drafts drafts;
        Zones *zones;
        Window *window;
        FrameImportEnd end;
        Source sources[SOURCES_MAX];
        unsigned n_sources;
        uint64_t n_reported; /* bytes of both passes */
        bool is_second;
        uint32_t n_unset, n_ambiguous, n_skipped, n_disputed, n_late, n_bare;
        char first_rejection[224];
} Import;

static Import *import_free(Import *import) {
        if (import) {
                window_free(import->window);
                explicit_bzero(import, sizeof(*import));
                free(import);
        }
        return NULL;
}

DEFINE_CLEANUP(Import *, import_free)

static int report_progress(void *userdata, uint64_t n_read) {
        Import *import = userdata;
        uint64_t n_file = import->scanner.reader.n_file;
        uint64_t n_done = (import->is_second ? n_file : 0) + n_read;

        if (n_done < import->n_reported + PROGRESS_STEP)
                return 0;
        import->n_reported = n_done;
        return import->sink->progress(import->sink->userdata, n_done / 2, n_file);
}

static bool same_device(const Device *a, const Device *b) {
        return memcmp(a->key, b->key, sizeof(a->key)) == 0 && strcmp(a->section, b->section) == 0 &&
               strcmp(a->model, b->model) == 0;
}

/* The number of a device's source, announced when it is new; 0 when there are too many. */
static int source_of(Import *import, const Device *device, uint32_t *ret_source, const uint8_t **ret_key) {
        FrameImportSource frame = { 0 };
        Source *source;

        for (unsigned i = 0; i != import->n_sources; i++) {
                if (same_device(&import->sources[i].device, device)) {
                        *ret_source = i + 1;
                        *ret_key = import->sources[i].device.key;
                        return 0;
                }
        }

        *ret_source = 0;
        if (import->n_sources == SOURCES_MAX)
                return 0;

        source = &import->sources[import->n_sources++];
        source->device = *device;
        frame.source = import->n_sources;
        memcpy(frame.device_key, device->key, sizeof(frame.device_key));
        memcpy(frame.model, device->model, sizeof(frame.model));
        memcpy(frame.serial, device->serial, sizeof(frame.serial));
        memcpy(frame.section, device->section, sizeof(frame.section));
        *ret_source = frame.source;
        *ret_key = source->device.key;
        return import->sink->source(import->sink->userdata, &frame);
}

static int reject(Import *import, const char *reason) {
        if (!import->first_rejection[0])
                (void) snprintf(import->first_rejection, sizeof(import->first_rejection), "line %u: %s",
                                import->scanner.reader.line, reason);
        return window_reject(import->window, import->scanner.reader.line, import->scanner.reader.offset, reason);
}

/* When the row happened; false with a reason when that can't be. */
static bool place_in_time(Import *import, WindowPlace *place, const uint8_t *device, const char **ret_reason) {
        static const int64_t day_ms = 24 * 60 * 60 * 1000;
        Record time;
        Epoch epoch;

        if (!survey_moment(&import->scanner, &place->local_ms)) {
                *ret_reason = "its date and time are none";
                return false;
        }
        if (!survey_has_seconds(&import->scanner)) {
                *ret_reason = "its time has no seconds: a spreadsheet program has cut them off";
                return false;
        }

        epoch = survey_epoch(&import->survey, &import->scanner, import->zones, place->local_ms);
        if (epoch.pass == ZONE_FIRST || (epoch.pass == ZONE_UNKNOWN && epoch.is_disputed))
                place->flags = RECORD_FIRST_PASS;
        else if (epoch.pass == ZONE_SECOND || epoch.epoch)
                place->flags = RECORD_SECOND_PASS;

        time = (Record) { .local_ms = place->local_ms, .flags = place->flags };
        if (survey_is_unset(&import->survey, place->local_ms))
                time.clock = RECORD_CLOCK_UNSET;
        clocks_place(&import->survey.clocks, import->zones, device, &time);
        import->n_late += time.offset_min != zones_resolve(import->zones, place->local_ms, epoch.pass).offset_min;
        import->n_unset += time.clock == RECORD_CLOCK_UNSET;
        import->n_skipped += time.clock == RECORD_CLOCK_SKIPPED;
        if (time.clock == RECORD_CLOCK_AMBIGUOUS && zones_repeat(import->zones, place->local_ms))
                import->n_ambiguous++;
        else if (time.clock == RECORD_CLOCK_AMBIGUOUS)
                import->n_disputed++;

        place->utc_ms = time.utc_ms;
        place->offset_min = time.offset_min;
        place->clock = time.clock;
        place->epoch = epoch.epoch;
        *ret_reason = "its time is in the future";
        return time.utc_ms <= import->request->now_utc_ms + day_ms;
}

static int add_row(Import *import) {
        const Scanner *scanner = &import->scanner;
        Drafts *drafts = &import->drafts;
        WindowPlace place = { 0 };
        const Device *device;
        const char *reason;
        Device scratch;
        int r;

        device = scan_device(scanner, &scratch);
        if (!place_in_time(import, &place, device->key, &reason))
                return reject(import, reason);

        r = source_of(import, device, &place.source, &place.device);
        if (r)
                return r;
        if (place.source == 0)
                return reject(import, "more devices than a file can have");

        place.line = scanner->reader.line;
        place.offset = scanner->reader.offset;
        place.section = scanner->section;
        place.oldest_ms = import->survey.oldest_ms[scanner->section];
        place.newest_ms = import->survey.newest_ms[scanner->section];

        drafts_begin(drafts, scanner, import->survey.decimal, import->request->glucose_unit);
        if (scanner->is_legacy)
                legacy_map(drafts);
        else
                modern_map(drafts);
        drafts_end(drafts);

        if (drafts->is_bad)
                return reject(import, drafts->reason);
        import->n_bare += drafts->present == (drafts->present & (COLUMN_BIT(COLUMN_INDEX) | COLUMN_BIT(COLUMN_DATE) | COLUMN_BIT(COLUMN_TIME)));
        return window_push(import->window, &place, drafts);
}

static int second_pass(Import *import) {
        ScanItem item;
        int r;

        scan_rewind(&import->scanner);
        import->is_second = true;

        do {
                r = scan_next(&import->scanner, &item);
                /* the first pass has read the same without an error: the file has been changed meanwhile */
                if (r)
                        return r < 0 ? r : IMPORT_E_REFUSED;

                switch (item) {
                case SCAN_ROW:
                        import->end.n_rows++;
                        r = add_row(import);
                        break;
                case SCAN_BAD:
                        import->end.n_rows++;
                        r = reject(import, import->scanner.bad);
                        break;
                case SCAN_END:
                        r = window_flush(import->window);
                        break;
                case SCAN_PREAMBLE:
                case SCAN_SECTION:
                case SCAN_HEADER:
                case SCAN_BLANK:
                        break;
                }
                if (r)
                        return r;

                r = report_progress(import, import->scanner.reader.offset);
                if (r)
                        return r;
        } while (item != SCAN_END);

        return 0;
}

static int note(Import *import, uint32_t n, const char *text) {
        char note[320];

        if (n == 0)
                return 0;
        (void) snprintf(note, sizeof(note), "%u %s %s", n, n == 1 ? "row" : "rows", text);
        return import->sink->note(import->sink->userdata, note);
}

static int notes(Import *import) {
        static const char *const units[] = { "", "mg/dL", "mmol/L" };
        char text[SURVEY_UNKNOWN_MAX + 128];
        int r = 0;

        if (import->end.n_rows == 0)
                r = import->sink->note(import->sink->userdata, "The file has no data row.");
        if (r == 0 && import->end.n_rows < import->survey.n_promised) {
                (void) snprintf(text, sizeof(text), "The file says that it has %u records and has %u: rows before its end are missing. Export it again to be sure.",
                                import->survey.n_promised, import->end.n_rows);
                r = import->sink->note(import->sink->userdata, text);
        }
        if (r == 0 && import->end.n_rows > 0 && import->scanner.section == 0 && !import->scanner.is_legacy)
                r = import->sink->note(import->sink->userdata, "The file does not say from which device it is. Beside an export of the same days that does, its records would "
                                       "count twice: then undo this import.");
        if (r == 0 && import->survey.n_unknown) {
                (void) snprintf(text, sizeof(text), "Columns without a field of their own, kept as text: %.*s",
                                (int) import->survey.n_unknown, import->survey.unknown);
                r = import->sink->note(import->sink->userdata, text);
        }
        if (r == 0 && import->survey.shapes & ~DATE_SHAPE_BIT(DATE_YEAR_FIRST) && !import->scanner.is_legacy)
                r = import->sink->note(import->sink->userdata, "The dates were rewritten by a spreadsheet program; day and month were found out from the order of the whole file.");
        if (r == 0 && import->scanner.reader.encoding == ENCODING_CP1252)
                r = import->sink->note(import->sink->userdata, "The text is not UTF-8 and was read as Windows-1252.");
        if (r == 0 && import->request->glucose_unit) {
                (void) snprintf(text, sizeof(text), "Glucose was read as %s because you said so; the column names were not asked.",
                                units[import->request->glucose_unit % N_ELEMENTS(units)]);
                r = import->sink->note(import->sink->userdata, text);
        }
        if (r == 0)
                r = note(import, import->n_bare, "with a date and a time alone: the device logged something that the export has no column for.");
        if (r == 0)
                r = note(import, import->n_unset, "from before the device's clock was set.");
        if (r == 0)
                r = note(import, import->n_ambiguous, "in an hour that the clock shows twice; which one can't be told, the earlier is assumed.");
        if (r == 0)
                r = note(import, import->n_skipped, "at a time that the zone skips; the device's clock had not been put forward yet.");
        if (r == 0)
                r = note(import, import->n_late, "from between a change of the zone's hour and the moment when the device's clock was set to it, read by the hour before.");
        if (r == 0)
                r = note(import, import->n_disputed, "at a time that the device's clock showed twice, because it was put back; their UTC time is not certain.");
        return r;
}

static int refuse_descriptor(int r, char *ret_refusal) {
        const char *reason;

        switch (r) {
        case READER_E_KIND:
                reason = "This is not a regular file (but a directory, a pipe, a device or a socket). Give the CSV file that CareLink exported.";
                break;
        case READER_E_SIZE:
                reason = "The file is larger than 1 GiB: no CareLink export is. Give the CSV file that CareLink exported.";
                break;
        case READER_E_EMPTY:
                reason = "The file is empty. Export it again from CareLink.";
                break;
        default:
                reason = "The file can't be read.";
                break;
        }
        (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX, "%s", reason);
        return IMPORT_E_REFUSED;
}

static uint32_t n_records(const FrameImportEnd *end) {
        uint32_t n = 0;

        for (unsigned i = 0; i != N_RECORD_KINDS; i++)
                n += end->n_records[i];
        return n;
}

int import_run(int fd, const FrameImportRequest *request, Zones *zones, const ImportSink *sink, FrameImportEnd *ret_end,
               char ret_refusal[static IMPORT_REFUSAL_MAX]) {
        cleanup(import_freep) Import *import = calloc(1, sizeof(*import));
        int r;

        if (!import)
                return -ENOMEM;
        import->request = request;
        import->zones = zones;
        import->sink = sink;

        r = scan_init(&import->scanner, fd);
        if (r)
                return refuse_descriptor(r, ret_refusal);

        r = survey_run(&import->survey, &import->scanner, request->glucose_unit, report_progress, import, ret_refusal);
        if (r == SURVEY_E_REFUSED)
                return IMPORT_E_REFUSED;
        if (r == -EIO || r == -EBADF || r == -EISDIR || r == -EINVAL || r == -ESPIPE || r == -ENXIO || r == -EACCES)
                return refuse_descriptor(r, ret_refusal);
        if (r)
                return fold(r);

        clocks_settle(&import->survey.clocks, zones);
        (void) snprintf(import->end.format, sizeof(import->end.format), "%s",
                        import->scanner.is_legacy ? "CareLink CSV v1.0.1" : "CareLink CSV (2018 and later)");
        r = window_new(&import->window, &import->scanner.reader, sink, &import->end);
        if (r)
                return fold(r);

        r = second_pass(import);
        if (r == IMPORT_E_REFUSED)
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX, "The file was changed while it was read. Import it again.");
        if (r)
                return r;

        if (import->end.n_rejected && n_records(&import->end) == 0) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Not one of %u rows could be read; the first: %s. Export the file again from CareLink and import it unchanged.",
                                import->end.n_rows, import->first_rejection);
                return IMPORT_E_REFUSED;
        }

        r = notes(import);
        if (r)
                return r;
        *ret_end = import->end;
        return 0;
}
