/* SPDX-License-Identifier: Apache-2.0 */

/* Forget: records of an import, of a source or of some days go for good. The ledger keeps that it was so, and how many. */

#include <fcntl.h>

#include "failure.h"
#include "manager.h"
#include "quarantine.h"

enum {
        NAMES_MAX = 1000,
};
#include "importer.h"

typedef enum Phase {
        PHASE_ROWS,    /* counted, or gone; an import's are counted first */
        PHASE_UNDO,    /* an import: others that had its records again keep them */
        PHASE_CLEANUP, /* and its rows go */
        PHASE_REBUILD,
        PHASE_REPORTS, /* of imports that lost rows */
        PHASE_END,
} Phase;

struct Forgetting {
        Manager *manager;
        Call *call;
        sd_event_source *event;
        RecordsForget what;
        RecordsRebuild rebuild;
        const char *by;
        Phase phase;
        uint32_t import; /* whose report is next */
};

static void forgetting_free(Forgetting *forgetting) {
        forgetting->manager->forgetting = NULL;
        sd_event_source_disable_unref(forgetting->event);
        if (forgetting->manager->wallet) {
                records_undo_cancel(forgetting->manager->wallet->records);
                records_release_memory(forgetting->manager->wallet->records);
        }
        records_forget_done(&forgetting->what);
        free(forgetting);
}

/* What was deleted until then stays deleted: whoever asks again goes on. */
static void on_gone(Call *call, void *userdata) {
        forgetting_free(userdata);
        (void) call_free(call);
}

/* --- reports: what an import said of rows that are gone --- */

typedef struct Scrub {
        Forgetting *forgetting;
        uint32_t import;
        char *report;
} Scrub;

static bool is_forgotten(const Forgetting *forgetting, const json_t *device) {
        const Records *records = forgetting->manager->wallet->records;
        const char *model = json_string_value(json_object_get(device, "model")), *serial = json_string_value(json_object_get(device, "serial"));

        for (size_t i = 0; model && serial && forgetting->what.sources && i < forgetting->what.n_sources; i++) {
                const RecordsSource *source = records_source(records, (uint32_t) i + 1);

                if (forgetting->what.sources[i] && source && strcmp(source->model, model) == 0 && strcmp(source->serial, serial) == 0)
                        return true;
        }
        return false;
}

static int scrub(const RecordsImport *import, void *userdata) {
        Scrub *scrub = userdata;
        cleanup(json_decrefp) json_t *report = NULL;
        json_t *devices;

        if (import->id != scrub->import)
                return 0;
        report = json_loads(import->report_json, JSON_REJECT_DUPLICATES, NULL);
        if (!report)
                report = json_object();
        (void) json_object_set_new(report, "rejected", json_array());
        (void) json_object_set_new(report, "notes", json_array());
        (void) json_object_set_new(report, "clockChanges", json_array());
        (void) json_object_del(report, "firstDay");
        (void) json_object_del(report, "lastDay");
        (void) json_object_set_new(report, "forgotten", json_true());
        devices = json_object_get(report, "devices");
        for (size_t i = json_array_size(devices); i-- > 0;)
                if (is_forgotten(scrub->forgetting, json_array_get(devices, i)))
                        (void) json_array_remove(devices, i);
        scrub->report = json_dumps(report, JSON_COMPACT);
        return scrub->report ? 1 : -ENOMEM;
}

static int next_report(Forgetting *forgetting) {
        Records *records = forgetting->manager->wallet->records;
        Scrub job = { .forgetting = forgetting };
        cleanup(freep) char *report = NULL;
        int r;

        while (++forgetting->import <= records_last_import(records) && !records_forget_touched(&forgetting->what, forgetting->import))
                ;
        if (forgetting->import > records_last_import(records)) {
                forgetting->phase = PHASE_REBUILD;
                return 0;
        }
        job.import = forgetting->import;
        r = records_imports(records, job.import - 1, scrub, &job);
        report = job.report;
        if (r != 0 || !report)
                return fold(r);
        return records_forget_report(records, forgetting->import, report);
}

/* --- the end --- */

static uint64_t n_all(const Forgetting *forgetting) {
        uint64_t n = 0;

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                n += forgetting->what.n_records[kind];
        return n;
}

/* Answers that were made of the records go too. */
static int commit_entry(Forgetting *forgetting) {
        Wallet *wallet = forgetting->manager->wallet;
        json_t *entry = json_pack("{s:s, s:I}", "by", forgetting->by, "records", (json_int_t) n_all(forgetting));
        int r;

        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_setting_forget(wallet->consent, "summary/", "summary0");
        if (r == 0 && (forgetting->what.sources || forgetting->what.import > 0)) /* a device may be read anew; days must not come back from it */
                r = puller_forget(wallet);
        if (r == 0)
                r = wallet_log(wallet, "forgotten", take_ptr(entry));
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        json_decref(entry);
        return r == CONSENT_E_FULL ? -ENOSPC : fold(r);
}

static int finish(Forgetting *forgetting) {
        static const char *const copies[] = { "consent.db.before", "records.db.before" };
        Wallet *wallet = forgetting->manager->wallet;
        int r;

        r = records_forget_finish(wallet->records, &forgetting->what);
        if (r == 0)
                r = commit_entry(forgetting);
        if (r == 0)
                r = consent_truncate_log(wallet->consent);
        if (r == CONSENT_E_FULL)
                r = -ENOSPC;
        for (size_t i = 0; i < N_ELEMENTS(copies); i++)
                if (unlinkat(forgetting->manager->config.state_dir_fd, copies[i], 0) < 0 && errno != ENOENT && r == 0)
                        r = -errno;
        return fold(r);
}

static void answer(Forgetting *forgetting) {
        Call *call = forgetting->call;
        json_t *records = json_object();

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                if (forgetting->what.n_records[kind] > 0)
                        (void) json_object_set_new(records, record_kind_name(kind), json_integer((json_int_t) forgetting->what.n_records[kind]));
        call->gone = NULL;
        forgetting_free(forgetting);
        (void) call_reply(call, json_pack("{s:o}", "records", records));
}

/* Return: 1 more to do; 0 done; negative errno. */
static int step(Forgetting *forgetting) {
        Records *records = forgetting->manager->wallet->records;
        bool by_import = forgetting->what.import > 0;
        int r;

        switch (forgetting->phase) {
        case PHASE_ROWS:
                r = records_forget_step(records, &forgetting->what);
                if (r != 0)
                        return r;
                if (call_bool(forgetting->call, "dryRun", false))
                        return 0;
                if (by_import) {
                        r = records_undo_begin(records, forgetting->what.import);
                        if (r != 0)
                                return fold(r);
                }
                forgetting->phase = by_import ? PHASE_UNDO : PHASE_REPORTS;
                return 1;
        case PHASE_UNDO:
                r = records_undo_step(records);
                if (r == 0)
                        forgetting->phase = PHASE_CLEANUP;
                return r < 0 ? r : 1;
        case PHASE_CLEANUP:
                r = records_cleanup_step(records);
                if (r == 0)
                        forgetting->phase = PHASE_REBUILD;
                return r < 0 ? r : 1;
        case PHASE_REBUILD:
                r = records_rebuild_step(records, &forgetting->rebuild);
                if (r == 0)
                        forgetting->phase = PHASE_END;
                return r < 0 ? r : 1;
        case PHASE_REPORTS:
                r = next_report(forgetting);
                return r < 0 ? r : 1;
        case PHASE_END:
        default:
                return finish(forgetting);
        }
}

static int on_step(sd_event_source *source, void *userdata) {
        Forgetting *forgetting = userdata;
        Call *call = forgetting->call;
        int r;

        (void) source;
        r = step(forgetting);
        if (r == 1)
                return 0;
        if (r == 0) {
                answer(forgetting);
                return 0;
        }
        call->gone = NULL;
        forgetting_free(forgetting);
        if (r == -ENOSPC)
                (void) call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Not all of it is gone: the disk is full or cannot be written. Make room and ask again."));
        else if (r == -EBADMSG)
                (void) call_refuse(call, "The records database is damaged, and not all of it is gone. Restore a backup, and forget there.");
        else
                (void) call_failed(call, r);
        return 0;
}

/* By serial, or by model for a device that has none. Return: how many. */
static size_t find_sources(const Records *records, const char *name, bool *ret) {
        size_t n = 0;

        for (uint32_t id = 1; id <= records_n_sources(records); id++) {
                const RecordsSource *source = records_source(records, id);

                ret[id - 1] = name[0] != '\0' && strcmp(source->serial[0] != '\0' ? source->serial : source->model, name) == 0;
                n += ret[id - 1];
        }
        return n;
}

/* Return: 0; > 0 when it is not what it should be, and the call is answered; negative errno. */
static int read_parameters(Call *call, Manager *manager, Forgetting *forgetting) {
        const char *source = call_string(call, "source"), *from = call_string(call, "from"), *to = call_string(call, "to");
        const json_t *names = json_object_get(call->parameters, "ids");
        json_int_t import = call_int(call, "import", -1);
        RecordsForget *what = &forgetting->what;
        int32_t day;

        *what = (RecordsForget) { .from_local_ms = INT64_MIN, .to_local_ms = INT64_MAX };
        if ((import != -1) + (source != NULL) + (from || to) + (names != NULL) != 1 || !from != !to) {
                (void) call_refuse(call, "Say what to forget: --import N, or --source SERIAL, or --from DAY and --to DAY.");
                return 1;
        }
        what->dry = import != -1 || call_bool(call, "dryRun", false);
        if (import != -1) {
                forgetting->by = "import";
                what->import = import > 0 && import < UINT32_MAX ? (uint32_t) import : 0;
                if (what->import == 0 || records_undo_begin(manager->wallet->records, what->import) != 0) {
                        (void) call_refuse(call, "There is no import %lld. See them: carewallet imports", (long long) import);
                        return 1;
                }
                records_undo_cancel(manager->wallet->records);
        } else if (names) {
                forgetting->by = "name";
                what->n_names = json_array_size(names);
                what->names = calloc(what->n_names + 1, sizeof(*what->names));
                if (!what->names)
                        return -ENOMEM;
                for (size_t i = 0; i < what->n_names; i++)
                        if (what->n_names > NAMES_MAX || quarantine_read_name(&what->names[i], json_string_value(json_array_get(names, i))) != 0) {
                                (void) call_invalid(call, "ids");
                                return 1;
                        }
        } else if (source) {
                forgetting->by = "source";
                what->n_sources = records_n_sources(manager->wallet->records);
                what->sources = calloc(what->n_sources + 1, sizeof(bool));
                if (!what->sources)
                        return -ENOMEM;
                if (find_sources(manager->wallet->records, source, what->sources) == 0) {
                        (void) call_refuse(call, "Nothing came from a device with the serial number %.64s. carewallet imports --json has those that are known.", source);
                        return 1;
                }
        } else {
                forgetting->by = "days";
                if (clock_parse_day(&day, from) != 0 || (what->from_local_ms = day * POLICY_DAY_MS, clock_parse_day(&day, to)) != 0) {
                        (void) call_refuse(call, "--from and --to must be days such as 2025-03-31.");
                        return 1;
                }
                what->to_local_ms = (day + 1) * POLICY_DAY_MS;
        }
        return 0;
}

int method_forget(Call *call, void *userdata) {
        Manager *manager = userdata;
        Forgetting *forgetting;
        int r;

        if (manager_is_storing(manager) || manager->is_backing_up)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", manager->is_backing_up ? "backup" : "import"));
        forgetting = calloc(1, sizeof(*forgetting));
        if (!forgetting)
                return -ENOMEM;
        r = read_parameters(call, manager, forgetting);
        if (r != 0) {
                records_forget_done(&forgetting->what);
                free(forgetting);
                return r < 0 ? r : 0;
        }
        forgetting->manager = manager;
        manager->forgetting = forgetting;
        r = sd_event_add_defer(manager->event, &forgetting->event, on_step, forgetting);
        if (r >= 0)
                r = sd_event_source_set_priority(forgetting->event, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(forgetting->event, SD_EVENT_ON);
        if (r < 0) {
                forgetting_free(forgetting);
                return r;
        }
        forgetting->call = call;
        call->gone = on_gone;
        call->gone_userdata = forgetting;
        return 0;
}
