/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Quarantine: values that no device can have meant. Seen by the patient alone, until the patient says that one is right: then it is
 * stored once more, without the mark, by an import of its own, which can be taken back like any other.
 */

#include <sodium.h>

#include "failure.h"
#include "manager.h"
#include "quarantine.h"
#include "serialise.h"

enum {
        LISTED_MAX = 500,
        RELEASED_MAX = 100, /* in one call: 10 ms */
        ROWS_PER_STEP = 4096,
        N_HEX = 2 * RECORD_IDENTITY_SIZE,
};

/* --- names of records: kind.local_ms.identity --- */

static void write_name(char ret[static QUARANTINE_NAME_MAX], const Record *record) {
        char hex[N_HEX + 1];

        (void) sodium_bin2hex(hex, sizeof(hex), record->identity, sizeof(record->identity));
        (void) snprintf(ret, QUARANTINE_NAME_MAX, "%s.%lld.%s", record_kind_name(record->kind), (long long) record->local_ms, hex);
}

int quarantine_read_name(RecordsName *ret, const char *text) {
        const char *time = text ? strchr(text, '.') : NULL, *identity = time ? strchr(time + 1, '.') : NULL;
        RecordsName name = { 0 };
        size_t n;
        char *end;

        if (!identity || strlen(identity + 1) != N_HEX || identity - time > 20)
                return QUARANTINE_E_NAME;
        name.kind = (uint8_t) record_kind_from_name(text, (size_t) (time - text));
        errno = 0;
        name.place.local_ms = strtoll(time + 1, &end, 10);
        if (name.kind == 0 || errno != 0 || end != identity || end == time + 1 ||
            sodium_hex2bin(name.place.identity, sizeof(name.place.identity), identity + 1, N_HEX, NULL, &n, NULL) != 0 || n != sizeof(name.place.identity))
                return QUARANTINE_E_NAME;
        *ret = name;
        return 0;
}

/* --- the list --- */

struct Sifting {
        Manager *manager;
        Call *call;
        sd_event_source *source;
        RecordsCursor cursor;
        json_t *found;
        bool is_full;
};

static void sifting_free(Sifting *sifting) {
        sifting->manager->sifting = NULL;
        sd_event_source_disable_unref(sifting->source);
        records_release_memory(sifting->manager->wallet->records);
        json_decref(sifting->found);
        free(sifting);
}

static void on_gone(Call *call, void *userdata) {
        sifting_free(userdata);
        (void) call_free(call);
}

static int sift(const Record *record, void *userdata) {
        Sifting *sifting = userdata;
        const RecordsSource *source = records_source(sifting->manager->wallet->records, record->source);
        char name[QUARANTINE_NAME_MAX];
        Text text = { 0 };
        json_t *object;
        int r;

        if (!(record->flags & RECORD_QUARANTINED))
                return 0;
        if (json_array_size(sifting->found) == LISTED_MAX) {
                sifting->is_full = true;
                return 1;
        }
        r = serialise_ndjson(&text, record, source ? source->model : NULL, source ? source->serial : NULL);
        object = r == 0 ? json_loadb(text.bytes, text.n, 0, NULL) : NULL;
        text_done(&text);
        if (r < 0 || !object)
                return r < 0 ? r : -ENOMEM;
        write_name(name, record);
        (void) json_object_set_new(object, "id", json_string(name));
        return json_array_append_new(sifting->found, object) < 0 ? -ENOMEM : 0;
}

static int on_sift(sd_event_source *source, void *userdata) {
        static const RecordsQuery all = { .kinds = RECORD_ALL_KINDS, .from_local_ms = INT64_MIN, .to_local_ms = INT64_MAX };
        Sifting *sifting = userdata;
        Call *call = sifting->call;
        json_t *reply;
        int r;

        (void) source;
        r = records_read(sifting->manager->wallet->records, &all, &sifting->cursor, ROWS_PER_STEP, sift, sifting);
        if (r == 0 && !sifting->cursor.ended && !sifting->is_full)
                return 0;
        call->gone = NULL;
        reply = json_pack("{s:O, s:b}", "records", sifting->found, "whole", (int) !sifting->is_full);
        sifting_free(sifting);
        if (r == 0) {
                (void) call_reply(call, reply);
                return 0;
        }
        json_decref(reply);
        (void) call_failed(call, fold(r));
        return 0;
}

int method_quarantined(Call *call, void *userdata) {
        Manager *manager = userdata;
        Sifting *sifting;
        int r;

        if (manager->sifting)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "quarantine"));
        sifting = calloc(1, sizeof(*sifting));
        if (!sifting)
                return -ENOMEM;
        sifting->manager = manager;
        sifting->found = json_array();
        manager->sifting = sifting;
        r = sd_event_add_defer(manager->event, &sifting->source, on_sift, sifting);
        if (r >= 0)
                r = sd_event_source_set_priority(sifting->source, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(sifting->source, SD_EVENT_ON);
        if (r < 0) {
                sifting_free(sifting);
                return r;
        }
        sifting->call = call;
        call->gone = on_gone;
        call->gone_userdata = sifting;
        return 0;
}

/* --- release --- */

typedef struct Release {
        RecordsName name;
        Record batch[RELEASED_MAX];
        uint8_t payloads[RELEASED_MAX][RECORD_PAYLOAD_MAX];
        size_t n;
} Release;

static int take(const Record *record, void *userdata) {
        Release *release = userdata;
        Record *copy = &release->batch[release->n];

        if (memcmp(record->identity, release->name.place.identity, sizeof(record->identity)) != 0 || !(record->flags & RECORD_QUARANTINED) ||
            record->n_payload > RECORD_PAYLOAD_MAX)
                return 0;
        *copy = *record;
        if (record->n_payload > 0)
                memcpy(release->payloads[release->n], record->payload, record->n_payload);
        copy->payload = release->payloads[release->n++];
        copy->flags &= (uint8_t) ~RECORD_QUARANTINED;
        return 1;
}

static int store(Manager *manager, Release *release) {
        Records *records = manager->wallet->records;
        cleanup(freep) char *text = NULL;
        RecordsCounts counts = { 0 };
        json_t *report;
        uint32_t id;
        int r;

        report = json_pack("{s:s, s:s, s:I, s:i, s:i, s:I, s:i, s:i, s:[], s:i, s:{}, s:[], s:[], s:s}", "file", "released from quarantine", "format", "quarantine", "rows",
                           (json_int_t) release->n, "inserted", 0, "duplicates", 0, "superseded", (json_int_t) release->n, "merged", 0, "extra", 0, "rejected",
                           "rejectedCount", 0, "byKind", "notes", "devices", "timezone", manager->wallet->zones_spec);
        text = report ? json_dumps(report, JSON_COMPACT) : NULL;
        json_decref(report);
        if (!text)
                return -ENOMEM;
        r = records_import_begin(records, "released from quarantine", wallet_now(manager->wallet).utc_ms, &id);
        if (r != 0)
                return r;
        r = records_import_batch(records, release->batch, release->n, &counts);
        if (r == 0)
                r = records_import_finish(records, text);
        if (r != 0) {
                records_import_cancel(records);
                manager_clean(manager);
        }
        return r;
}

int method_release(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const json_t *names = json_object_get(call->parameters, "ids"), *text;
        cleanup(freep) Release *release = NULL;
        json_int_t n;
        size_t i;
        int r = 0;

        if (manager_is_storing(manager))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        if (json_array_size(names) == 0 || json_array_size(names) > RELEASED_MAX)
                return call_invalid(call, "ids");
        release = calloc(1, sizeof(*release));
        if (!release)
                return -ENOMEM;
        json_array_foreach(names, i, text) {
                RecordsQuery query;
                RecordsCursor cursor = { 0 };
                size_t n_before = release->n;

                if (quarantine_read_name(&release->name, json_string_value(text)) != 0)
                        return call_invalid(call, "ids");
                query = (RecordsQuery) { RECORD_KIND_BIT(release->name.kind), release->name.place.local_ms, release->name.place.local_ms + 1 };
                while (r == 0 && !cursor.ended && release->n == n_before)
                        r = records_read(wallet->records, &query, &cursor, ROWS_PER_STEP, take, release);
                if (r != 0)
                        return fold(r);
                if (release->n == n_before)
                        return call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "quarantined record", "name", json_string_value(text)));
        }

        n = (json_int_t) release->n;
        r = store(manager, release);
        if (r == RECORDS_E_FULL)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Nothing was released: the disk is full or cannot be written."));
        if (r != 0)
                return fold(r);
        r = wallet_begin(wallet);
        if (r == 0) {
                r = wallet_log(wallet, "quarantine-released", json_pack("{s:I}", "records", n));
                if (r == 0)
                        r = wallet_commit(wallet);
                else
                        wallet_rollback(wallet);
        }
        if (r != 0)
                fputs("carewalletd: that records were released from quarantine could not be written into the log\n", stderr);
        return call_reply(call, json_pack("{s:I}", "released", n));
}
