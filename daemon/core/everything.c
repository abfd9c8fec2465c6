/* SPDX-License-Identifier: Apache-2.0 */

#include "everything.h"

#include <sodium.h>

#include "daemon/common/jws.h"
#include "daemon/common/words.h"
#include "version.h"

enum {
        PIECE_SIZE = 64 * 1024,
        ROWS_MAX = 500,     /* records, stretches or rejected rows looked at in one step: about 2 ms */
        ENTRIES_MAX = 200,  /* of the ledger */
};

typedef enum Part {
        PART_HEAD,
        PART_SOURCES,
        PART_IMPORTS,
        PART_REJECTED, /* of the import that was given last */
        PART_AGAIN,
        PART_RECORDS,
        PART_PROVIDERS,
        PART_GRANTS,
        PART_ENTRIES,
        PART_END,
} Part;

struct Everything {
        Manager *manager;
        Part part;
        Text *text; /* borrowed while everything_more() runs */
        crypto_hash_sha256_state hash;
        uint64_t n_lines;
        uint32_t last_import, import;
        uint32_t n_sources, n_rejected;
        RecordsAgain again;
        RecordsRowCursor rows;
        size_t n_grants;
        uint64_t n_entries, n_entries_given;
        uint64_t *rows_io;
};

int everything_new(Everything **ret, Manager *manager) {
        const Wallet *wallet = manager->wallet;
        Everything *everything = calloc(1, sizeof(*everything));

        if (!everything)
                return -ENOMEM;
        everything->manager = manager;
        everything->last_import = records_last_import(wallet->records);
        everything->n_entries = consent_ledger_size(wallet->consent);
        (void) crypto_hash_sha256_init(&everything->hash);
        manager->n_everything++;
        *ret = everything;
        return 0;
}

Everything *everything_free(Everything *everything) {
        if (everything) {
                everything->manager->n_everything--;
                free(everything);
        }
        return NULL;
}

/* {"name":value} and a line end. @value: stolen */
static int put_line(Everything *e, const char *name, json_t *value) {
        cleanup(json_decrefp) json_t *line = value ? json_pack("{s:o}", name, value) : NULL;
        cleanup(freep) char *text = line ? json_dumps(line, JSON_COMPACT) : NULL;
        int r;

        if (!text)
                return -ENOMEM;
        e->n_lines++;
        r = text_append(e->text, text, strlen(text));
        return r < 0 ? r : text_append(e->text, "\n", 1);
}

static bool is_full(const Everything *e) {
        return e->text->n >= PIECE_SIZE;
}

/* --- parts --- */

static int put_head(Everything *e) {
        const Manager *manager = e->manager;
        char wallet[2 * sizeof(manager->slots.wallet_id) + 1], made[CLOCK_TEXT_SIZE];

        clock_format_utc(made, wallet_now(manager->wallet).utc_ms / 1000);
        (void) sodium_bin2hex(wallet, sizeof(wallet), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
        e->part = PART_SOURCES;
        return put_line(e, "carewallet-export", json_pack("{s:i, s:s, s:s, s:s, s:s}", "version", 1, "made", made, "by", "carewallet " CAREWALLET_VERSION, "wallet", wallet,
                                                          "timezone", manager->wallet->zones_spec));
}

static int put_source(Everything *e) {
        const RecordsSource *source = records_source(e->manager->wallet->records, e->n_sources + 1);
        char key[2 * sizeof(source->device_key) + 1];

        if (!source) {
                e->part = PART_IMPORTS;
                return 0;
        }
        e->n_sources++;
        return put_line(e, "source", json_pack("{s:i, s:s, s:s, s:s, s:s}", "id", (int) source->id, "key", sodium_bin2hex(key, sizeof(key), source->device_key, sizeof(source->device_key)),
                                               "model", source->model, "serial", source->serial, "section", source->section));
}

/* The first rejected rows stand in the report too; here they are lines of their own, all of them. */
static int put_import(const RecordsImport *import, void *userdata) {
        Everything *e = userdata;
        json_t *report = json_loads(import->report_json, JSON_REJECT_DUPLICATES, NULL);
        char time[CLOCK_TEXT_SIZE];
        int r;

        if (import->id > e->last_import) {
                json_decref(report);
                return 1;
        }
        if (!report)
                report = json_object();
        if (json_array_size(json_object_get(report, "rejected")) > 0)
                (void) json_object_set_new(report, "rejected", json_array());
        clock_format_utc(time, import->time_utc_ms / 1000);
        e->import = import->id;
        e->n_rejected = 0;
        e->part = PART_REJECTED;
        r = put_line(e, "import", json_pack("{s:i, s:s, s:s, s:o}", "id", (int) import->id, "time", time, "file", import->file_name, "report", report));
        return r < 0 ? r : 1;
}

static int put_imports(Everything *e) {
        int r;

        e->part = PART_AGAIN;
        r = records_imports(e->manager->wallet->records, e->import, put_import, e);
        return r;
}

static int put_rejected(uint32_t line, const char *reason, const char *row, void *userdata) {
        Everything *e = userdata;
        int r;

        if (is_full(e))
                return 1;
        r = put_line(e, "rejected", json_pack("{s:i, s:I, s:s, s:s}", "import", (int) e->import, "line", (json_int_t) line, "reason", reason, "row", row));
        e->n_rejected += r == 0;
        return r;
}

static int put_all_rejected(Everything *e) {
        uint32_t n_before = e->n_rejected;
        int r;

        r = records_rejected(e->manager->wallet->records, e->import, n_before, put_rejected, e);
        if (r == 0 && e->n_rejected == n_before)
                e->part = PART_IMPORTS;
        return r;
}

static int put_stretch(const RecordsAgain *again, void *userdata) {
        char from[SERIALISE_TIME_SIZE], to[SERIALISE_TIME_SIZE], from_identity[2 * RECORD_IDENTITY_SIZE + 1], to_identity[2 * RECORD_IDENTITY_SIZE + 1];

        serialise_local(from, again->from.local_ms);
        serialise_local(to, again->to.local_ms);
        (void) sodium_bin2hex(from_identity, sizeof(from_identity), again->from.identity, sizeof(again->from.identity));
        (void) sodium_bin2hex(to_identity, sizeof(to_identity), again->to.identity, sizeof(again->to.identity));
        return put_line(userdata, "again", json_pack("{s:i, s:s, s:s, s:s, s:s, s:s}", "import", (int) again->import, "kind", record_kind_name(again->kind), "from", from,
                                                     "from_identity", from_identity, "to", to, "to_identity", to_identity));
}

static int put_again(Everything *e) {
        bool end = false;
        int r;

        r = records_again(e->manager->wallet->records, &e->again, e->last_import, ROWS_MAX / 2, &end, put_stretch, e);
        if (r == 0 && end)
                e->part = PART_RECORDS;
        return r;
}

static int put_record(const Record *record, void *userdata) {
        Everything *e = userdata;
        int r;

        if (is_full(e))
                return 1;
        r = serialise_everything(e->text, record);
        e->n_lines += r == 0;
        *e->rows_io += r == 0;
        return r;
}

static int put_records(Everything *e) {
        int r;

        r = records_rows(e->manager->wallet->records, &e->rows, e->last_import, ROWS_MAX, put_record, e);
        if (r == 0 && e->rows.ended)
                e->part = PART_PROVIDERS;
        return r;
}

static int put_provider(const ConsentProvider *provider, void *userdata) {
        return put_line(userdata, "provider", provider_json(provider));
}

static int put_providers(Everything *e) {
        e->part = PART_GRANTS;
        return consent_providers(e->manager->wallet->consent, put_provider, e);
}

static int put_grant(Everything *e) {
        const Wallet *wallet = e->manager->wallet;

        if (e->n_grants >= grants_n(wallet->grants)) {
                e->part = PART_ENTRIES;
                return 0;
        }
        return put_line(e, "grant", grant_json(grants_at(wallet->grants, e->n_grants++), wallet_now(wallet)));
}

/* Byte for byte what the ledger has, but for its place in front. */
static int put_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        static const char erased[] = "{\"type\":\"erased\"}";
        Everything *e = userdata;
        char head[64];
        int r;

        if (is_full(e))
                return 1;
        if (!record || n_record < 3) {
                record = erased;
                n_record = sizeof(erased) - 1;
        }
        (void) snprintf(head, sizeof(head), "{\"entry\":{\"index\":%llu,", (unsigned long long) index);
        r = text_append(e->text, head, strlen(head));
        if (r == 0)
                r = text_append(e->text, record + 1, n_record - 1);
        if (r == 0)
                r = text_append(e->text, "}\n", 2);
        e->n_lines++;
        e->n_entries_given++;
        return r;
}

static int put_entries(Everything *e) {
        const Consent *consent = e->manager->wallet->consent;
        uint64_t n_left = e->n_entries - e->n_entries_given;

        if (n_left > 0)
                return consent_ledger_read(e->manager->wallet->consent, e->n_entries_given, n_left < ENTRIES_MAX ? (size_t) n_left : ENTRIES_MAX, put_entry, e);
        e->part = PART_END;
        return put_line(e, "checkpoint", json_string(consent_ledger_checkpoint(consent)));
}

static int step(Everything *e) {
        switch (e->part) {
        case PART_HEAD:
                return put_head(e);
        case PART_SOURCES:
                return put_source(e);
        case PART_IMPORTS:
                return put_imports(e);
        case PART_REJECTED:
                return put_all_rejected(e);
        case PART_AGAIN:
                return put_again(e);
        case PART_RECORDS:
                return put_records(e);
        case PART_PROVIDERS:
                return put_providers(e);
        case PART_GRANTS:
                return put_grant(e);
        case PART_ENTRIES:
        case PART_END:
        default:
                return put_entries(e);
        }
}

static int put_end(Everything *e) {
        char hex[2 * crypto_hash_sha256_BYTES + 1];
        uint8_t digest[crypto_hash_sha256_BYTES];

        (void) crypto_hash_sha256_final(&e->hash, digest);
        return put_line(e, "end", json_pack("{s:I, s:s}", "lines", (json_int_t) e->n_lines, "sha256", sodium_bin2hex(hex, sizeof(hex), digest, sizeof(digest))));
}

int everything_more(Everything *everything, Text *text, bool *ret_end, uint64_t *rows_io) {
        size_t n_before = text->n;
        int r = 0;

        everything->text = text;
        everything->rows_io = rows_io;
        for (unsigned n_parts = 0; r == 0 && n_parts < 64 && everything->part != PART_END && !is_full(everything); n_parts++) {
                Part part = everything->part;

                r = step(everything);
                if (part == PART_AGAIN || part == PART_RECORDS || part == PART_ENTRIES)
                        break;
        }
        if (r != 0)
                return r;
        (void) crypto_hash_sha256_update(&everything->hash, (const uint8_t *) text->bytes + n_before, text->n - n_before);
        *ret_end = everything->part == PART_END;
        return *ret_end ? put_end(everything) : 0;
}
