/* SPDX-License-Identifier: Apache-2.0 */

/* What was imported, what of it could not be read, and taking it back. */

#include "failure.h"
#include "importer.h"

enum {
        REJECTED_PAGE = 100, /* rows with their text in one reply: 250 KiB at most */
};

static int add_import(const RecordsImport *import, void *userdata) {
        json_t *report = json_loads(import->report_json, JSON_REJECT_DUPLICATES, NULL);
        char time[CLOCK_TEXT_SIZE];

        clock_format_utc(time, import->time_utc_ms / 1000);
        return json_array_append_new(userdata, json_pack("{s:i, s:s, s:s, s:o}", "id", (int) import->id, "time", time, "file", import->file_name, "report",
                                                         report ? report : json_object())) < 0
                       ? -ENOMEM
                       : 0;
}

int method_imports(Call *call, void *userdata) {
        Manager *manager = userdata;
        json_t *imports = json_array();
        int r;

        r = records_imports(manager->wallet->records, 0, add_import, imports);
        if (r != 0) {
                json_decref(imports);
                return fold(r);
        }
        return call_reply(call, json_pack("{s:o}", "imports", imports));
}

/* --- what could not be read, and taking an import back --- */

static int add_rejected(uint32_t line, const char *reason, const char *row, void *userdata) {
        if (json_array_size(userdata) == REJECTED_PAGE)
                return 1;
        return json_array_append_new(userdata, json_pack("{s:i, s:s, s:s}", "line", (int) line, "reason", reason, "row", row)) < 0 ? -ENOMEM : 0;
}

typedef struct Finding {
        uint32_t id;
        bool found;
        char file[256];
} Finding;

static int find_import(const RecordsImport *import, void *userdata) {
        Finding *finding = userdata;

        if (import->id == finding->id) {
                finding->found = true;
                (void) snprintf(finding->file, sizeof(finding->file), "%s", import->file_name);
        }
        return 1;
}

/* Return: 0 with an import; > 0 when there is none, the call is answered; negative errno. */
static int import_of(Call *call, Manager *manager, Finding *ret) {
        json_int_t id = call_int(call, "id", 0);
        char name[32];
        int r;

        *ret = (Finding) { .id = id > 0 && id < UINT32_MAX ? (uint32_t) id : 0 };
        r = records_imports(manager->wallet->records, ret->id > 0 ? ret->id - 1 : 0, find_import, ret);
        if (r != 0)
                return fold(r);
        if (ret->found)
                return 0;
        (void) snprintf(name, sizeof(name), "%lld", (long long) id);
        (void) call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "import", "name", name));
        return 1;
}

int method_import_rejected(Call *call, void *userdata) {
        Manager *manager = userdata;
        json_int_t first = call_int(call, "first", 0);
        Finding import;
        json_t *rows;
        int r;

        if (first < 0 || first > UINT32_MAX)
                return call_invalid(call, "first");

        r = import_of(call, manager, &import);
        if (r != 0)
                return r < 0 ? r : 0;
        rows = json_array();
        r = records_rejected(manager->wallet->records, import.id, (uint32_t) first, add_rejected, rows);
        if (r != 0) {
                json_decref(rows);
                return fold(r);
        }
        return call_reply(call, json_pack("{s:o}", "rejected", rows));
}

struct Undoing {
        Manager *manager;
        Call *call;
        sd_event_source *source;
        Finding import;
};

static Undoing *undoing_free(Undoing *undoing) {
        if (undoing) {
                if (undoing->manager->wallet)
                        records_undo_cancel(undoing->manager->wallet->records);
                undoing->manager->undoing = NULL;
                sd_event_source_disable_unref(undoing->source);
                free(undoing);
        }
        return NULL;
}

static void on_undo_gone(Call *call, void *userdata) {
        (void) undoing_free(userdata);
        (void) call_free(call);
}

static int on_undoing(sd_event_source *source, void *userdata) {
        Undoing *undoing = userdata;
        Manager *manager = undoing->manager;
        Wallet *wallet = manager->wallet;
        Call *call = undoing->call;
        json_t *entry;
        int r;

        (void) source;
        r = records_undo_step(wallet->records);
        if (r == 1)
                return 0;
        if (r < 0) {
                (void) undoing_free(undoing);
                if (r == -ENOSPC)
                        (void) call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The import was not undone: the disk is full or cannot be written."));
                else
                        (void) call_failed(call, r);
                return 0;
        }

        /* The records are gone, durably; that the ledger can't say so is for the journal. */
        entry = json_pack("{s:i, s:s}", "import", (int) undoing->import.id, "file", undoing->import.file);
        r = wallet_begin(wallet);
        if (r == 0)
                r = wallet_log(wallet, "import-undone", entry);
        else
                json_decref(entry);
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        if (r != 0)
                fputs("carewalletd: that an import was undone could not be written into the log\n", stderr);
        (void) undoing_free(undoing);
        manager_clean(manager);
        (void) call_reply(call, NULL);
        return 0;
}

/* What it brought is read again by the next pull, should it be of a pump. */
static int forget_pages(Wallet *wallet) {
        int r;

        r = wallet_begin(wallet);
        if (r == 0)
                r = puller_forget(wallet);
        if (r == 0)
                return wallet_commit(wallet);
        wallet_rollback(wallet);
        return r;
}

int method_undo_import(Call *call, void *userdata) {
        Manager *manager = userdata;
        Undoing *undoing;
        Finding import;
        int r;

        if (manager_is_storing(manager))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        r = import_of(call, manager, &import);
        if (r != 0)
                return r < 0 ? r : 0;
        r = forget_pages(manager->wallet);
        if (r != 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The import was not undone: the disk is full or cannot be written."));
        r = records_undo_begin(manager->wallet->records, import.id);
        if (r != 0)
                return fold(r);

        undoing = calloc(1, sizeof(*undoing));
        if (!undoing) {
                records_undo_cancel(manager->wallet->records);
                return -ENOMEM;
        }
        undoing->manager = manager;
        undoing->import = import;
        manager->undoing = undoing;
        r = sd_event_add_defer(manager->event, &undoing->source, on_undoing, undoing);
        if (r >= 0)
                r = sd_event_source_set_priority(undoing->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(undoing->source, SD_EVENT_ON);
        if (r < 0) {
                (void) undoing_free(undoing);
                return r;
        }
        undoing->call = call;
        call->gone = on_undo_gone;
        call->gone_userdata = undoing;
        return 0;
}
