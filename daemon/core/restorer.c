/* SPDX-License-Identifier: Apache-2.0 */

#include "restorer.h"

enum {
        DEPTH_MAX = 8,      /* of a report */
        NODES_MAX = 20000,  /* in a report: one with all notes, devices and clock changes has 1,000 */
        REJECTED_SHOWN_MAX = 1000, /* as in the report of an import */
};

struct Restorer {
        Wallet *wallet;
        FrameRestore from;
        json_t *stack[DEPTH_MAX]; /* the first is owned, and has the others */
        size_t depth;
        unsigned n_nodes;
        json_t *rejected; /* of the last import, the first of them; its report has not been stored */
        uint64_t n_imports;
        uint64_t n_before[N_RECORD_KINDS];
};

Restorer *restorer_free(Restorer *restorer) {
        if (restorer) {
                json_decref(restorer->stack[0]);
                json_decref(restorer->rejected);
                explicit_bzero(restorer, sizeof(*restorer));
                free(restorer);
        }
        return NULL;
}

int restorer_new(Restorer **ret, Wallet *wallet, const uint8_t *payload, size_t n_payload) {
        cleanup(restorer_freep) Restorer *restorer = calloc(1, sizeof(*restorer));
        cleanup(zones_freep) Zones *zones = NULL;
        int r;

        if (!restorer)
                return -ENOMEM;
        restorer->wallet = wallet;
        if (frame_get_restore(&restorer->from, payload, n_payload) != 0)
                return -EBADMSG;
        r = zones_load(&zones, restorer->from.zones);
        if (r != 0)
                return r < 0 ? r : RESTORER_E_ZONES;
        r = records_restore_begin(wallet->records);
        if (r != 0)
                return r;
        *ret = take_ptr(restorer);
        return 0;
}

/* --- an import: its rejected rows, and its report node by node --- */

static int take_import(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        FrameRestoreImport import;

        if (frame_get_restore_import(&import, payload, n_payload) != 0)
                return -EBADMSG;
        restorer->n_imports++;
        return records_restore_import(restorer->wallet->records, &(RecordsImport) {
                .id = import.import, .time_utc_ms = import.time_utc_ms, .file_name = import.file_name,
        });
}

static json_t *value_of(const FrameRestoreNode *node) {
        switch (node->type) {
        case FRAME_NODE_OBJECT:
                return json_object();
        case FRAME_NODE_ARRAY:
                return json_array();
        case FRAME_NODE_TEXT:
                return json_string(node->text);
        case FRAME_NODE_INTEGER:
                return json_integer(node->integer);
        case FRAME_NODE_REAL:
                return json_real(node->real);
        case FRAME_NODE_TRUE:
                return json_true();
        case FRAME_NODE_FALSE:
                return json_false();
        default:
                return json_null();
        }
}

static int store_report(Restorer *restorer) {
        cleanup(json_decrefp) json_t *report = restorer->stack[0], *rejected = restorer->rejected;
        cleanup(freep) char *text = NULL;

        restorer->stack[0] = restorer->rejected = NULL;
        if (rejected && json_object_set(report, "rejected", rejected) < 0)
                return -ENOMEM;
        text = json_dumps(report, JSON_COMPACT);
        return text ? records_restore_report(restorer->wallet->records, text) : -ENOMEM;
}

/* The report itself is an object without a name, and is whole when it ends. */
static int take_node(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        json_t *in = restorer->depth > 0 ? restorer->stack[restorer->depth - 1] : NULL, *value;
        FrameRestoreNode node;
        int r;

        if (frame_get_restore_node(&node, payload, n_payload) != 0 || (!in && (node.type != FRAME_NODE_OBJECT || restorer->stack[0])) ||
            restorer->n_nodes++ == NODES_MAX)
                return -EBADMSG;
        if (node.type == FRAME_NODE_END) {
                restorer->depth--;
                return 0;
        }
        if (restorer->depth == DEPTH_MAX)
                return -EBADMSG;
        value = value_of(&node);
        r = !value ? -1 : !in ? 0 : json_is_object(in) ? json_object_set(in, node.name, value) : json_array_append(in, value);
        if (r == 0 && (node.type == FRAME_NODE_OBJECT || node.type == FRAME_NODE_ARRAY))
                restorer->stack[restorer->depth++] = value;
        if (r < 0 || in)
                json_decref(value);
        return r < 0 ? -ENOMEM : 0;
}

/* What the report says of rejected rows is what stands behind it, and is not sent twice. */
static int take_rejected(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        char reason[1025], row[1025];
        uint32_t line;

        if (frame_get_import_rejected(&line, reason, row, payload, n_payload) != 0)
                return -EBADMSG;
        if (!restorer->rejected)
                restorer->rejected = json_array();
        if (json_array_size(restorer->rejected) < REJECTED_SHOWN_MAX &&
            json_array_append_new(restorer->rejected, json_pack("{s:I, s:s}", "line", (json_int_t) line, "reason", reason)) < 0)
                return -ENOMEM;
        return records_restore_rejected(restorer->wallet->records, line, reason, row);
}

/* --- the rest --- */

static int take_source(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        FrameImportSource from;
        RecordsSource source = { 0 };

        if (frame_get_import_source(&from, payload, n_payload) != 0)
                return -EBADMSG;
        source.id = from.source;
        memcpy(source.device_key, from.device_key, sizeof(source.device_key));
        memcpy(source.model, from.model, sizeof(source.model));
        memcpy(source.serial, from.serial, sizeof(source.serial));
        memcpy(source.section, from.section, sizeof(source.section));
        return records_restore_source(restorer->wallet->records, &source);
}

static int take_again(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        FrameRestoreAgain from;
        RecordsAgain again = { 0 };

        if (frame_get_restore_again(&from, payload, n_payload) != 0)
                return -EBADMSG;
        again = (RecordsAgain) { from.kind, from.import, { .local_ms = from.from_local_ms }, { .local_ms = from.to_local_ms } };
        memcpy(again.from.identity, from.from_identity, sizeof(again.from.identity));
        memcpy(again.to.identity, from.to_identity, sizeof(again.to.identity));
        return records_restore_again(restorer->wallet->records, &again);
}

static int take_record(Restorer *restorer, const uint8_t *payload, size_t n_payload) {
        Record record;
        uint32_t line;

        return frame_get_import_record(&line, &record, payload, n_payload) != 0 ? -EBADMSG : records_restore_row(restorer->wallet->records, &record);
}

int restorer_take(Restorer *restorer, uint32_t type, const uint8_t *payload, size_t n_payload) {
        bool in_report = restorer->depth > 0, of_import = type == FRAME_IMPORT_REJECTED || type == FRAME_RESTORE_NODE;
        int r = 0;

        if (!of_import && restorer->stack[0])
                r = in_report ? -EBADMSG : store_report(restorer);
        if (r != 0)
                return r;
        restorer->n_nodes = type == FRAME_RESTORE_NODE ? restorer->n_nodes : 0;
        switch (type) {
        case FRAME_IMPORT_SOURCE:
                r = take_source(restorer, payload, n_payload);
                break;
        case FRAME_RESTORE_IMPORT:
                r = take_import(restorer, payload, n_payload);
                break;
        case FRAME_RESTORE_NODE:
                r = take_node(restorer, payload, n_payload);
                break;
        case FRAME_IMPORT_REJECTED:
                r = in_report || !restorer->stack[0] ? -EBADMSG : take_rejected(restorer, payload, n_payload);
                break;
        case FRAME_RESTORE_AGAIN:
                r = take_again(restorer, payload, n_payload);
                break;
        case FRAME_IMPORT_RECORD:
                r = take_record(restorer, payload, n_payload);
                break;
        default:
                r = -EBADMSG;
                break;
        }
        return r == -EINVAL ? -EBADMSG : r;
}

static json_t *make_report(const Restorer *restorer, const FrameImportEnd *end, const char *file_name) {
        const Records *records = restorer->wallet->records;
        uint64_t n_visible[N_RECORD_KINDS], n_all = 0;
        json_t *by_kind = json_object(), *report;

        records_count(records, n_visible);
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                n_all += n_visible[kind];
                if (n_visible[kind] > 0)
                        (void) json_object_set_new(by_kind, record_kind_name(kind), json_pack("{s:I}", "inserted", (json_int_t) n_visible[kind]));
        }
        report = json_pack("{s:s, s:s, s:I, s:I, s:i, s:i, s:i, s:i, s:[], s:i, s:o, s:[s], s:[], s:s, s:I}", "file", file_name, "format", end->format, "rows",
                           (json_int_t) end->n_rows, "inserted", (json_int_t) n_all, "duplicates", 0, "superseded", 0, "merged", 0, "extra", 0, "rejected",
                           "rejectedCount", 0, "byKind", by_kind, "notes", "The imports of the other wallet are here with their reports, and its time zones. Its providers, grants "
                           "and log are not: they are in the file for you to read. A grant is signed by the wallet that made it; make new ones here.",
                           "devices", "timezone", restorer->from.zones, "imports", (json_int_t) restorer->n_imports);
        for (size_t i = 1; report && i <= records_n_sources(records); i++) {
                const RecordsSource *source = records_source(records, (uint32_t) i);

                (void) json_array_append_new(json_object_get(report, "devices"),
                                             json_pack("{s:s, s:s, s:s}", "model", source->model, "serial", source->serial, "section", source->section));
        }
        return report;
}

int restorer_finish(Restorer *restorer, const FrameImportEnd *end, const char *file_name, json_t **ret_report) {
        Wallet *wallet = restorer->wallet;
        json_t *report;
        int r = 0;

        if (restorer->depth > 0)
                return -EBADMSG;
        if (restorer->stack[0])
                r = store_report(restorer);
        /* without a record of its own the wallet loses nothing by other zones, should the next step fail */
        if (r == 0 && strcmp(wallet->zones_spec, restorer->from.zones) != 0)
                r = wallet_set_zones(wallet, restorer->from.zones);
        if (r == 0)
                r = records_restore_finish(wallet->records);
        if (r != 0)
                return r == -EINVAL ? -EBADMSG : r;
        report = make_report(restorer, end, file_name);
        if (!report)
                return -ENOMEM;
        *ret_report = report;
        return 0;
}
