/* SPDX-License-Identifier: Apache-2.0 */

/* Check: every record, every entry of the ledger, read and compared with what the wallet says of them, a few ms at a time. */

#include "failure.h"
#include "manager.h"

enum {
        ROWS_PER_STEP = 4096, /* about 5 ms */
        LOST_MAX = 100,       /* stretches that are named */
};

struct Checking {
        Manager *manager;
        Call *call;
        sd_event_source *source;
        ConsentVerify *verify;
        bool ledger_done, records_done;
        RecordsCursor cursor;
        uint64_t n_records[N_RECORD_KINDS], n_invalid;
        uint64_t n_wanted[N_RECORD_KINDS];
        uint32_t last_import;
        json_t *lost;
        uint64_t n_lost;
};

static void checking_free(Checking *checking) {
        checking->manager->checking = NULL;
        sd_event_source_disable_unref(checking->source);
        free(checking->verify);
        json_decref(checking->lost);
        records_release_memory(checking->manager->wallet->records);
        free(checking);
}

static void on_gone(Call *call, void *userdata) {
        checking_free(userdata);
        (void) call_free(call);
}

static int look_at_record(const Record *record, void *userdata) {
        Checking *checking = userdata;

        checking->n_records[record->kind]++;
        checking->n_invalid += !record_valid(record);
        return 0;
}

static void add_local_time(json_t *object, const char *name, int64_t local_ms) {
        char text[CLOCK_TEXT_SIZE];

        clock_format_utc(text, local_ms / 1000);
        (void) json_object_set_new(object, name, json_stringn(text, strcspn(text, "Z")));
}

static void name_lost(Checking *checking, const RecordsGap *gap) {
        json_t *lost;

        if (++checking->n_lost > LOST_MAX)
                return;
        lost = json_pack("{s:s}", "kind", record_kind_name(gap->kind));
        if (gap->from_local_ms >= RECORD_TIME_MIN_MS)
                add_local_time(lost, "after", gap->from_local_ms);
        if (gap->to_local_ms != INT64_MAX)
                add_local_time(lost, "before", gap->to_local_ms);
        (void) json_array_append_new(checking->lost, lost);
}

static int read_records(Checking *checking, const RecordsQuery *all) {
        Records *records = checking->manager->wallet->records;
        RecordsGap gap;
        int r;

        r = records_read(records, all, &checking->cursor, ROWS_PER_STEP, look_at_record, checking);
        if (r != RECORDS_E_KEY && r != -EIO)
                return r;
        records_step_over(records, all, &checking->cursor, &gap);
        name_lost(checking, &gap);
        return 0;
}

static int step(Checking *checking, bool *ret_done) {
        static const RecordsQuery all = { .kinds = RECORD_ALL_KINDS, .from_local_ms = INT64_MIN, .to_local_ms = INT64_MAX };
        Wallet *wallet = checking->manager->wallet;

        if (!checking->ledger_done)
                return consent_ledger_verify_step(wallet->consent, &checking->verify, &checking->ledger_done);
        if (checking->last_import != records_last_import(wallet->records)) { /* what was counted is another wallet's */
                checking->cursor = (RecordsCursor){ 0 };
                memset(checking->n_records, 0, sizeof(checking->n_records));
                (void) json_array_clear(checking->lost);
                checking->n_lost = 0;
                checking->last_import = records_last_import(wallet->records);
        }
        if (!checking->cursor.ended)
                return read_records(checking, &all);
        records_count(wallet->records, checking->n_wanted);
        *ret_done = true;
        return checking->n_lost > 0 ? 0 : records_check_rest(wallet->records);
}

static void answer(Checking *checking) {
        Call *call = checking->call;
        const Wallet *wallet = checking->manager->wallet;
        json_t *records = json_object(), *reply;
        bool is_whole = checking->n_invalid == 0 && checking->n_lost == 0;

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                (void) json_object_set_new(records, record_kind_name(kind), json_integer((json_int_t) checking->n_records[kind]));
                is_whole &= checking->n_records[kind] == checking->n_wanted[kind];
        }
        reply = json_pack("{s:b, s:o, s:O, s:I, s:I, s:I, s:I}", "whole", is_whole, "records", records, "lost", checking->lost, "stretchesLost", (json_int_t) checking->n_lost, "entries", (json_int_t) consent_ledger_size(wallet->consent), "grants",
                          (json_int_t) grants_n(wallet->grants), "altered", (json_int_t) wallet->n_altered);
        call->gone = NULL;
        checking_free(checking);
        (void) call_reply(call, reply);
}

static int on_step(sd_event_source *source, void *userdata) {
        Checking *checking = userdata;
        Call *call = checking->call;
        bool done = false;
        int r;

        (void) source;
        r = step(checking, &done);
        if (r == 0 && !done)
                return 0;
        if (r == 0) {
                answer(checking);
                return 0;
        }
        call->gone = NULL;
        checking_free(checking);
        if (r > 0)
                (void) call_refuse(call, "The wallet is damaged: a part of its files cannot be read with its keys, or does not fit the rest. Restore a backup.");
        else
                (void) call_failed(call, r);
        return 0;
}

int method_check(Call *call, void *userdata) {
        Manager *manager = userdata;
        Checking *checking;
        int r;

        if (manager->checking)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "check"));
        checking = calloc(1, sizeof(*checking));
        if (!checking)
                return -ENOMEM;
        checking->manager = manager;
        checking->call = call;
        checking->last_import = records_last_import(manager->wallet->records);
        checking->lost = json_array();
        manager->checking = checking;
        r = sd_event_add_defer(manager->event, &checking->source, on_step, checking);
        if (r >= 0)
                r = sd_event_source_set_priority(checking->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(checking->source, SD_EVENT_ON);
        if (r < 0) {
                checking_free(checking);
                return r;
        }
        call->gone = on_gone;
        call->gone_userdata = checking;
        return 0;
}
