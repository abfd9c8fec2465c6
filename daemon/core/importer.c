/* SPDX-License-Identifier: Apache-2.0 */

/* Import: a worker reads a file or a device; its records are stored in batches that nobody sees until all is well. */

#include "importer.h"

#include "daemon/common/text.h"
#include "failure.h"
#include "restorer.h"

enum {
        SILENCE_MS = 60 * 1000,
        DEVICE_SILENCE_MS = 180 * 1000, /* a page that comes slowly, three times */
        REJECTED_SHOWN_MAX = 1000,
        NOTES_MAX = 100,
        CLOCK_CHANGES_MAX = 100, /* shown, all are counted */
        SOURCES_MAX = 64,
        ARENA_SIZE = 256 * 1024, /* bytes of payload that wait with a batch */
};

struct Importer {
        Manager *manager;
        Call *call;
        Worker *worker;
        char serial[16];     /* of the pump; "" for a file */
        FrameUsbPump *pump; /* of a device: what is known of it, NULL until the worker has said it */
        Restorer *restorer; /* of a complete export; NULL: it is none, or has not begun */
        char name[256];
        bool begun, is_stopping, is_quiet;
        Record batch[RECORDS_BATCH_MAX];
        size_t n_batch;
        uint8_t arena[ARENA_SIZE];
        size_t n_arena;
        RecordsCounts counts;
        RecordsSource sources[SOURCES_MAX]; /* by the worker's number, less one */
        size_t n_sources;
        uint64_t n_records;
        uint64_t n_rejected;
        uint64_t n_quarantined[N_RECORD_KINDS];
        uint64_t n_clocks[N_RECORD_CLOCKS];
        uint64_t n_clock_changes;
        json_t *rejected, *notes, *devices, *clock_changes;
        int64_t first_local_ms, last_local_ms;
};

static Importer *importer_free(Importer *importer) {
        if (!importer)
                return NULL;
        if (importer->manager->importer == importer)
                importer->manager->importer = NULL;
        (void) worker_free(importer->worker);
        if (importer->begun)
                records_import_cancel(importer->manager->wallet->records);
        manager_clean(importer->manager);
        records_release_memory(importer->manager->wallet->records);
        json_decref(importer->rejected);
        json_decref(importer->notes);
        json_decref(importer->devices);
        json_decref(importer->clock_changes);
        free(importer->pump);
        (void) restorer_free(importer->restorer);
        explicit_bzero(importer->batch, sizeof(importer->batch));
        explicit_bzero(importer->arena, sizeof(importer->arena));
        free(importer);
        return NULL;
}

void importer_pause(Importer *importer, bool pause) {
        if (importer && importer->worker)
                worker_pause(importer->worker, pause);
}

bool importer_is_device(const Importer *importer) {
        return importer->serial[0] != '\0';
}

/* Nobody wants it any more. What a device has given is kept all the same: reading it again takes minutes. */
static void on_gone(Call *call, void *userdata) {
        Importer *importer = userdata;

        if (importer_is_device(importer)) {
                importer_stop(importer);
                return;
        }
        (void) importer_free(importer);
        (void) call_free(call);
}

void importer_stop(Importer *importer) {
        if (importer->is_stopping)
                return;
        importer->is_stopping = true;
        if (frame_put(worker_out(importer->worker), FRAME_USB_STOP, NULL, 0) == 0)
                (void) !worker_flush(importer->worker); /* a worker that is gone needs no word */
}


static void refuse(Importer *importer, const char *reason) {
        Call *call = importer->call;

        (void) importer_free(importer);
        (void) call_refuse(call, "%s", reason);
}

static const char *records_reason(int r) {
        switch (r) {
        case RECORDS_E_FULL:
                return "The disk is full or cannot be written. Nothing of this import is kept. Make room and try again.";
        case RECORDS_E_NOT_EMPTY:
                return "This is a complete export of a wallet, and goes into a new one: into this one something was imported before. Make a wallet for it "
                       "(carewallet --wallet NAME init) and import it there. Just after an import that failed, try again in a minute.";
        case RESTORER_E_ZONES:
                return "A time zone of the wallet that was exported is not known on this machine. Install the tzdata package and import the file again.";
        case RECORDS_E_KEY:
                return "The records database is damaged. Nothing of this import is kept. Restore a backup.";
        default:
                return failure_reason(r) ? failure_reason(r) : "Something failed inside carewallet. Nothing of this import is kept. The journal says more.";
        }
}

static int store_batch(Importer *importer) {
        int r;

        if (importer->n_batch == 0)
                return 0;
        r = records_import_batch(importer->manager->wallet->records, importer->batch, importer->n_batch, &importer->counts);
        importer->n_batch = 0;
        importer->n_arena = 0;
        return r;
}

static int take_source(Importer *importer, const uint8_t *payload, size_t n_payload) {
        FrameImportSource from;
        RecordsSource *source;
        int r;

        if (frame_get_import_source(&from, payload, n_payload) != 0 || from.source != importer->n_sources + 1)
                return FRAME_E_FORMAT;
        if (importer->n_sources == SOURCES_MAX)
                return FRAME_E_FORMAT;
        source = &importer->sources[importer->n_sources];
        *source = (RecordsSource){ 0 };
        memcpy(source->device_key, from.device_key, sizeof(source->device_key));
        memcpy(source->model, from.model, sizeof(source->model));
        memcpy(source->serial, from.serial, sizeof(source->serial));
        memcpy(source->section, from.section, sizeof(source->section));
        r = records_source_find_or_add(importer->manager->wallet->records, source);
        if (r != 0)
                return fold(r);
        importer->n_sources++;
        return json_array_append_new(importer->devices, json_pack("{s:s, s:s, s:s}", "model", from.model, "serial", from.serial, "section", from.section)) < 0 ? -ENOMEM : 0;
}

/* YYYY-MM-DDTHH:MM:SS of a device's wall clock */
static json_t *wall_clock(int64_t local_ms) {
        char text[CLOCK_TEXT_SIZE];

        clock_format_utc(text, local_ms / 1000);
        text[strlen("YYYY-MM-DDTHH:MM:SS")] = 0;
        return json_string(text);
}

/* What the report says of implausible values, of clocks that were set, and of how sure times are. */
static void take_note_of(Importer *importer, const Record *record) {
        const Field *new_time = NULL;
        bool is_change = false;
        Field fields[2];
        size_t at = 0;
        json_t *change;

        importer->n_quarantined[record->kind] += record->flags & RECORD_QUARANTINED ? 1 : 0;
        importer->n_clocks[record->clock]++;
        if (record->kind != RECORD_DEVICE_EVENT)
                return;
        while (record_field_next(record->payload, record->n_payload, &at, &fields[0])) {
                is_change |= fields[0].id == FIELD_TYPE && fields[0].number == TOKEN_CLOCK_CHANGE;
                if (fields[0].id == FIELD_NEW_TIME) {
                        fields[1] = fields[0];
                        new_time = &fields[1];
                }
        }
        if (!is_change || importer->n_clock_changes++ >= CLOCK_CHANGES_MAX)
                return;
        change = json_pack("{s:o}", "at", wall_clock(record->local_ms));
        if (new_time)
                (void) json_object_set_new(change, "to", json_stringn(new_time->text, new_time->n_text));
        (void) json_array_append_new(importer->clock_changes, change);
}

static int take_record(Importer *importer, const uint8_t *payload, size_t n_payload, int *ret_stored) {
        Record record;
        uint32_t line;

        if (frame_get_import_record(&line, &record, payload, n_payload) != 0)
                return FRAME_E_FORMAT;
        if (record.source == 0 || record.source > importer->n_sources)
                return FRAME_E_FORMAT;
        if (importer->n_batch >= records_batch_size(importer->manager->wallet->records) || importer->n_arena + record.n_payload > ARENA_SIZE) {
                *ret_stored = store_batch(importer);
                if (*ret_stored != 0)
                        return 0;
        }
        record.source = importer->sources[record.source - 1].id;
        if (record.n_payload > 0) {
                memcpy(importer->arena + importer->n_arena, record.payload, record.n_payload);
                record.payload = importer->arena + importer->n_arena;
                importer->n_arena += record.n_payload;
        }
        if (record.clock != RECORD_CLOCK_UNSET) {
                if (importer->n_records == 0 || record.local_ms < importer->first_local_ms)
                        importer->first_local_ms = record.local_ms;
                if (importer->n_records == 0 || record.local_ms > importer->last_local_ms)
                        importer->last_local_ms = record.local_ms;
                importer->n_records++;
        }
        take_note_of(importer, &record);
        importer->batch[importer->n_batch++] = record;
        return 0;
}

static int take_rejected(Importer *importer, const uint8_t *payload, size_t n_payload, int *ret_stored) {
        char reason[1025], row[1025];
        uint32_t line;

        if (frame_get_import_rejected(&line, reason, row, payload, n_payload) != 0)
                return FRAME_E_FORMAT;
        importer->n_rejected++;
        if (json_array_size(importer->rejected) < REJECTED_SHOWN_MAX)
                (void) json_array_append_new(importer->rejected, json_pack("{s:i, s:s}", "line", (int) line, "reason", reason));
        *ret_stored = records_import_reject(importer->manager->wallet->records, line, reason, row);
        return 0;
}

static json_t *make_report(const Importer *importer, const FrameImportEnd *end) {
        json_t *by_kind = json_object(), *clocks = json_object(), *report;
        uint64_t n_inserted = 0, n_duplicates = 0, n_superseded = 0, n_merged = 0, n_extra = 0, n_quarantined = 0;
        char day[CLOCK_TEXT_SIZE];

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                const RecordsCounts *counts = &importer->counts;

                if (counts->n_inserted[kind] + counts->n_duplicates[kind] + counts->n_superseded[kind] + end->n_merged[kind] + end->n_extra[kind] == 0)
                        continue;
                n_inserted += counts->n_inserted[kind];
                n_duplicates += counts->n_duplicates[kind];
                n_superseded += counts->n_superseded[kind];
                n_merged += end->n_merged[kind];
                n_extra += end->n_extra[kind];
                n_quarantined += importer->n_quarantined[kind];
                (void) json_object_set_new(by_kind, record_kind_name(kind),
                                           json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "inserted", (json_int_t) counts->n_inserted[kind], "duplicates",
                                                     (json_int_t) counts->n_duplicates[kind], "superseded", (json_int_t) counts->n_superseded[kind], "merged",
                                                     (json_int_t) end->n_merged[kind], "extra", (json_int_t) end->n_extra[kind], "quarantined",
                                                     (json_int_t) importer->n_quarantined[kind]));
        }
        for (unsigned clock = RECORD_CLOCK_ZONE + 1; clock < N_RECORD_CLOCKS; clock++)
                if (importer->n_clocks[clock] > 0)
                        (void) json_object_set_new(clocks, record_clock_name(clock), json_integer((json_int_t) importer->n_clocks[clock]));
        report = json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:O, s:I, s:o, s:O, s:O, s:s}", "file", importer->name, "format", end->format, "rows",
                           (json_int_t) end->n_rows, "inserted", (json_int_t) n_inserted, "duplicates", (json_int_t) n_duplicates, "superseded",
                           (json_int_t) n_superseded, "merged", (json_int_t) n_merged, "extra", (json_int_t) n_extra, "rejected", importer->rejected,
                           "rejectedCount", (json_int_t) importer->n_rejected, "byKind", by_kind, "notes", importer->notes, "devices", importer->devices,
                           "timezone", importer->manager->wallet->zones_spec);
        if (report) {
                (void) json_object_set_new(report, "quarantined", json_integer((json_int_t) n_quarantined));
                (void) json_object_set_new(report, "clocks", clocks);
                (void) json_object_set(report, "clockChanges", importer->clock_changes);
                (void) json_object_set_new(report, "clockChangesCount", json_integer((json_int_t) importer->n_clock_changes));
        } else
                json_decref(clocks);
        if (report && importer->n_records > 0) {
                clock_format_day(day, (int32_t) (importer->first_local_ms / POLICY_DAY_MS));
                (void) json_object_set_new(report, "firstDay", json_string(day));
                clock_format_day(day, (int32_t) (importer->last_local_ms / POLICY_DAY_MS));
                (void) json_object_set_new(report, "lastDay", json_string(day));
        }
        if (report && importer->pump)
                (void) json_object_set_new(report, "pump", puller_report(importer->pump));
        return report;
}

/* The import that came last counts: where it is likely to be of an older export, the patient is told. */
static int note_older(Importer *importer) {
        char days[2][CLOCK_TEXT_SIZE], text[320];
        uint64_t n_superseded = 0;
        int64_t first, last;
        bool any;
        int r;

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                n_superseded += importer->counts.n_superseded[kind];
        r = records_range(importer->manager->wallet->records, &any, &first, &last);
        if (r != 0)
                return fold(r);
        if (n_superseded == 0 || importer->n_records == 0 || !any || importer->last_local_ms / POLICY_DAY_MS >= last / POLICY_DAY_MS)
                return 0;
        clock_format_day(days[0], (int32_t) (importer->last_local_ms / POLICY_DAY_MS));
        clock_format_day(days[1], (int32_t) (last / POLICY_DAY_MS));
        (void) snprintf(text, sizeof(text), "This file ends on %s, what was imported before on %s. Where they differ this file counts from now on, because it was "
                        "imported last. If it is the older export, take it back with \"carewallet imports undo\".", days[0], days[1]);
        return json_array_append_new(importer->notes, json_string(text)) < 0 ? -ENOMEM : 0;
}

/* The records are in and durable; that the ledger can't say so is told, not hidden. @report: stolen */
static int answer(Importer *importer, json_t *report) {
        Wallet *wallet = importer->manager->wallet;
        Call *call = importer->call;
        json_t *entry;
        int r;

        importer->begun = false;
        entry = json_pack("{s:O, s:O, s:O, s:O, s:O}", "rows", json_object_get(report, "rows"), "inserted", json_object_get(report, "inserted"), "duplicates",
                          json_object_get(report, "duplicates"), "superseded", json_object_get(report, "superseded"), "rejected",
                          json_object_get(report, "rejectedCount"));
        if (entry && importer->restorer)
                (void) json_object_set(entry, "imports", json_object_get(report, "imports"));
        r = wallet_begin(wallet);
        if (r == 0) {
                r = wallet_log(wallet, "import", entry);
                if (r == 0 && importer->pump)
                        r = puller_keep(wallet, importer->pump);
                if (r == 0)
                        r = wallet_commit(wallet);
                else
                        wallet_rollback(wallet);
        } else
                json_decref(entry);
        if (r != 0)
                (void) json_array_append_new(json_object_get(report, "notes"), json_string("The records are stored, but the disk was too full to write the import into the log."));
        if (importer->is_quiet) {
                json_decref(report);
                (void) importer_free(importer);
                return call_reply(call, NULL);
        }
        (void) importer_free(importer);
        return call_reply(call, json_pack("{s:o}", "report", report));
}

static int finish(Importer *importer, const FrameImportEnd *end) {
        cleanup(freep) char *text = NULL;
        json_t *report;
        int r;

        r = note_older(importer);
        if (r != 0)
                return r;
        report = make_report(importer, end);
        text = report ? json_dumps(report, JSON_COMPACT) : NULL;
        if (!text) {
                json_decref(report);
                return -ENOMEM;
        }
        r = records_import_finish(importer->manager->wallet->records, text);
        if (r != 0) {
                json_decref(report);
                refuse(importer, records_reason(r));
                return 0;
        }
        return answer(importer, report);
}

/* --- a complete export --- */

static int begin_restore(Importer *importer, const uint8_t *payload, size_t n_payload, int *ret_stored) {
        int r;

        if (importer->restorer || importer_is_device(importer) || importer->n_sources > 0 || importer->n_rejected > 0)
                return FRAME_E_FORMAT;
        r = restorer_new(&importer->restorer, importer->manager->wallet, payload, n_payload);
        *ret_stored = r > 0 ? r : 0;
        return r == -EBADMSG ? FRAME_E_FORMAT : r < 0 ? r : 0;
}

static int restore(Importer *importer, uint32_t type, const uint8_t *payload, size_t n_payload, int *ret_stored) {
        FrameImportEnd end;
        json_t *report;
        int r;

        if (type == FRAME_IMPORT_END) {
                if (frame_get_import_end(&end, payload, n_payload) != 0)
                        return FRAME_E_FORMAT;
                r = restorer_finish(importer->restorer, &end, importer->name, &report);
                if (r == 0)
                        return answer(importer, report);
        } else
                r = restorer_take(importer->restorer, type, payload, n_payload);
        *ret_stored = r > 0 ? r : 0;
        return r == -EBADMSG ? FRAME_E_FORMAT : r < 0 ? r : 0;
}

static int on_frame(uint32_t type, const uint8_t *payload, size_t n_payload, void *userdata) {
        Importer *importer = userdata;
        FrameImportEnd end;
        char text[1025];
        uint64_t n_done, n_all;
        bool in_restore = importer->restorer && type != FRAME_IMPORT_NOTE && type != FRAME_IMPORT_PROGRESS && type != FRAME_IMPORT_REFUSED;
        int stored = 0, r = 0;

        switch (in_restore ? (uint32_t) FRAME_RESTORE : type) {
        case FRAME_RESTORE:
                r = in_restore ? restore(importer, type, payload, n_payload, &stored) : begin_restore(importer, payload, n_payload, &stored);
                break;
        case FRAME_IMPORT_SOURCE:
                r = take_source(importer, payload, n_payload);
                break;
        case FRAME_IMPORT_RECORD:
                r = take_record(importer, payload, n_payload, &stored);
                break;
        case FRAME_IMPORT_REJECTED:
                r = take_rejected(importer, payload, n_payload, &stored);
                break;
        case FRAME_IMPORT_NOTE:
                if (frame_get_text(text, payload, n_payload) != 0)
                        return FRAME_E_FORMAT;
                if (json_array_size(importer->notes) < NOTES_MAX)
                        (void) json_array_append_new(importer->notes, json_string(text));
                break;
        case FRAME_IMPORT_PROGRESS:
                r = frame_get_import_progress(&n_done, &n_all, payload, n_payload);
                if (r == 0 && importer->call->more)
                        (void) call_continue(importer->call, json_pack("{s:{s:I, s:I}}", "progress", "done", (json_int_t) n_done, "all", (json_int_t) n_all), -1);
                break;
        case FRAME_USB_PUMP:
                r = importer_is_device(importer) && !importer->pump ? 0 : FRAME_E_FORMAT;
                if (r == 0) {
                        importer->pump = malloc(sizeof(*importer->pump));
                        r = importer->pump ? frame_get_usb_pump(importer->pump, payload, n_payload) : -ENOMEM;
                }
                if (r == 0 && strcmp(importer->pump->serial, importer->serial) != 0)
                        r = FRAME_E_FORMAT;
                break;
        case FRAME_IMPORT_REFUSED:
                if (frame_get_text(text, payload, n_payload) != 0)
                        return FRAME_E_FORMAT;
                refuse(importer, text);
                return 0;
        case FRAME_IMPORT_END:
                r = frame_get_import_end(&end, payload, n_payload);
                if (r == 0 && importer_is_device(importer) && !importer->pump)
                        r = FRAME_E_FORMAT;
                if (r == 0)
                        stored = store_batch(importer);
                if (r == 0 && stored == 0)
                        return finish(importer, &end);
                break;
        default:
                return FRAME_E_FORMAT;
        }
        if (stored != 0) {
                refuse(importer, records_reason(stored));
                return 0;
        }
        return r;
}

static void on_ended(WorkerEnd why, void *userdata) {
        const Importer *importer = userdata;

        if (importer_is_device(importer))
                refuse(userdata, why == WORKER_SILENT ? "The device did not answer in time. Nothing of it is kept. Unplug it, plug it in again, and try once more."
                               : why == WORKER_CLOSED ? "Reading the device was cut short. Nothing of it is kept. Unplug it, plug it in again, and try once more."
                                                      : "What came of the device is no record. Nothing of it is kept.");
        else
                refuse(userdata, why == WORKER_SILENT ? "The import worker did not get on with this file and was stopped. Nothing of it is kept."
                               : why == WORKER_CLOSED ? "The import worker was stopped while reading this file: the file may be damaged or hostile. Nothing of it is kept."
                                                      : "The import worker sent something that is no record. Nothing of this file is kept.");
}

int importer_start(Manager *manager, Call *call, const ImporterConfig *config) {
        static const WorkerEvents events = { .frame = on_frame, .ended = on_ended };
        Importer *importer;
        uint32_t id;
        int r;

        importer = calloc(1, sizeof(*importer));
        if (!importer)
                return -ENOMEM;
        importer->manager = manager;
        importer->call = call;
        importer->is_quiet = config->is_quiet;
        if (config->serial)
                (void) snprintf(importer->serial, sizeof(importer->serial), "%s", config->serial);
        (void) text_clean(importer->name, sizeof(importer->name), config->name, strlen(config->name));
        importer->rejected = json_array();
        importer->notes = json_array();
        importer->devices = json_array();
        importer->clock_changes = json_array();
        call->gone = on_gone;
        call->gone_userdata = importer;
        manager->importer = importer;

        r = records_import_begin(manager->wallet->records, importer->name, wallet_now(manager->wallet).utc_ms, &id);
        if (r != 0) {
                refuse(importer, records_reason(r));
                return 0;
        }
        importer->begun = true;
        r = worker_start(&importer->worker, manager->event, manager->config.launcher_fd, config->serial ? LAUNCHER_USB : LAUNCHER_IMPORT, config->fds,
                         config->n_fds, config->serial ? DEVICE_SILENCE_MS : SILENCE_MS, &events, importer);
        if (r >= 0) {
                worker_stand_back(importer->worker);
                r = config->put_request(worker_out(importer->worker), config->request);
        }
        if (r >= 0)
                r = worker_flush(importer->worker);
        if (r == 0 && config->serial && call->more) /* at once: who asked listens for Ctrl-C while the pump wakes up */
                (void) call_continue(call, json_pack("{s:{s:i, s:i}}", "progress", "done", 0, "all", 0), -1);
        if (r != 0)
                refuse(importer, config->serial ? "The worker that reads devices could not be started. The journal says why."
                                                   : "The import worker could not be started. The journal says why.");
        return 0;
}

static int put_request(FrameBuffer *out, const void *request) {
        return frame_put_import_request(out, request);
}

/* Digits of a pump, where the patient said them. */
static bool take_digits(const Call *call, const char *name, size_t n_digits, char *ret) {
        const char *text = call_string(call, name);

        if (text && (strlen(text) != n_digits || strspn(text, "0123456789") != n_digits))
                return false;
        memcpy(ret, text ? text : "", text ? n_digits + 1 : 1);
        return true;
}

int method_import(Call *call, void *userdata) {
        Manager *manager = userdata;
        FrameImportRequest request = { .version = FRAME_VERSION };
        const char *unit = call_string(call, "glucoseUnit");
        cleanup(close_fdp) int file_fd = -1;

        if (manager_is_storing(manager))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        if (unit && strcmp(unit, "mg/dL") == 0)
                request.glucose_unit = RECORD_UNIT_MG_DL;
        else if (unit && strcmp(unit, "mmol/L") == 0)
                request.glucose_unit = RECORD_UNIT_MMOL_L;
        else if (unit)
                return call_invalid(call, "glucoseUnit");
        if (!take_digits(call, "model", 3, request.model))
                return call_invalid(call, "model");
        if (!take_digits(call, "serial", 6, request.serial))
                return call_invalid(call, "serial");
        request.has_no_checksums = call_bool(call, "noChecksum", false);
        request.now_utc_ms = wallet_now(manager->wallet).utc_ms;
        memcpy(request.zones, manager->wallet->zones_spec, sizeof(request.zones));

        file_fd = call_take_fd(call, "fileFd");
        return importer_start(manager, call, &(ImporterConfig){
                .name = call_string(call, "name"), .fds = &file_fd, .n_fds = 1, .put_request = put_request, .request = &request,
        });
}
