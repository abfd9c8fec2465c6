/* SPDX-License-Identifier: Apache-2.0 */

#include "frame-private.h"

#include <math.h>

#include "text.h"

int frame_put_import_request(FrameBuffer *buffer, const FrameImportRequest *request) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_REQUEST);

        frame_writer_u32(&w, request->version);
        frame_writer_u64(&w, (uint64_t) request->now_utc_ms);
        frame_writer_u8(&w, request->glucose_unit);
        frame_writer_u8(&w, request->has_no_checksums);
        frame_writer_member(&w, request->zones);
        frame_writer_member(&w, request->model);
        frame_writer_member(&w, request->serial);
        return frame_writer_end(&w);
}

int frame_put_import_source(FrameBuffer *buffer, const FrameImportSource *source) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_SOURCE);

        frame_writer_u32(&w, source->source);
        frame_writer_bytes(&w, source->device_key, sizeof(source->device_key));
        frame_writer_member(&w, source->model);
        frame_writer_member(&w, source->serial);
        frame_writer_member(&w, source->section);
        return frame_writer_end(&w);
}

int frame_put_import_record(FrameBuffer *buffer, uint32_t line, const Record *record) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_RECORD);
        uint8_t *space;

        if (record->n_payload > RECORD_PAYLOAD_MAX && w.r == 0)
                w.r = FRAME_E_FORMAT;
        space = frame_writer_space(&w, 4 + FRAME_RECORD_SIZE + record->n_payload);
        if (space) {
                put_le32(space, line);
                frame_record_encode(space + 4, record);
        }
        return frame_writer_end(&w);
}

int frame_put_import_rejected(FrameBuffer *buffer, uint32_t line, const char *reason, const char *row, size_t n_row) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_REJECTED);

        frame_writer_u32(&w, line);
        frame_writer_clean(&w, reason, strlen(reason), FRAME_TEXT_MAX);
        frame_writer_clean(&w, row, n_row, FRAME_TEXT_MAX);
        return frame_writer_end(&w);
}

int frame_put_import_progress(FrameBuffer *buffer, uint64_t n_done, uint64_t n_all) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_PROGRESS);

        frame_writer_u64(&w, n_done);
        frame_writer_u64(&w, n_all);
        return frame_writer_end(&w);
}

int frame_put_import_end(FrameBuffer *buffer, const FrameImportEnd *end) {
        FrameWriter w = frame_writer(buffer, FRAME_IMPORT_END);

        frame_writer_u32(&w, end->n_rows);
        frame_writer_u32(&w, end->n_rejected);
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                frame_writer_u32(&w, end->n_records[kind]);
                frame_writer_u32(&w, end->n_merged[kind]);
                frame_writer_u32(&w, end->n_extra[kind]);
        }
        frame_writer_member(&w, end->format);
        return frame_writer_end(&w);
}

int frame_put_restore(FrameBuffer *buffer, const FrameRestore *restore) {
        FrameWriter w = frame_writer(buffer, FRAME_RESTORE);

        frame_writer_bytes(&w, restore->wallet_id, sizeof(restore->wallet_id));
        frame_writer_member(&w, restore->zones);
        return frame_writer_end(&w);
}

int frame_put_restore_import(FrameBuffer *buffer, const FrameRestoreImport *import) {
        FrameWriter w = frame_writer(buffer, FRAME_RESTORE_IMPORT);

        frame_writer_u32(&w, import->import);
        frame_writer_u64(&w, (uint64_t) import->time_utc_ms);
        frame_writer_member(&w, import->file_name);
        return frame_writer_end(&w);
}

int frame_put_restore_node(FrameBuffer *buffer, const FrameRestoreNode *node) {
        FrameWriter w = frame_writer(buffer, FRAME_RESTORE_NODE);
        uint64_t bits;

        frame_writer_u8(&w, node->type);
        frame_writer_member(&w, node->name);
        if (node->type == FRAME_NODE_TEXT) {
                frame_writer_member(&w, node->text);
        } else if (node->type == FRAME_NODE_INTEGER) {
                frame_writer_u64(&w, (uint64_t) node->integer);
        } else if (node->type == FRAME_NODE_REAL) {
                memcpy(&bits, &node->real, sizeof(bits));
                frame_writer_u64(&w, bits);
        }
        return frame_writer_end(&w);
}

int frame_put_restore_again(FrameBuffer *buffer, const FrameRestoreAgain *again) {
        FrameWriter w = frame_writer(buffer, FRAME_RESTORE_AGAIN);

        frame_writer_u32(&w, again->import);
        frame_writer_u8(&w, again->kind);
        frame_writer_u64(&w, (uint64_t) again->from_local_ms);
        frame_writer_u64(&w, (uint64_t) again->to_local_ms);
        frame_writer_bytes(&w, again->from_identity, sizeof(again->from_identity));
        frame_writer_bytes(&w, again->to_identity, sizeof(again->to_identity));
        return frame_writer_end(&w);
}

static void put_known(FrameWriter *w, uint16_t n_known, const uint8_t known[][FRAME_USB_HASH_SIZE]) {
        if (n_known > FRAME_USB_KNOWN_MAX && w->r == 0)
                w->r = FRAME_E_FORMAT;
        frame_writer_u16(w, n_known);
        frame_writer_bytes(w, known, (size_t) n_known * FRAME_USB_HASH_SIZE);
}

int frame_put_usb_request(FrameBuffer *buffer, const FrameUsbRequest *request) {
        FrameWriter w = frame_writer(buffer, FRAME_USB_REQUEST);

        frame_writer_u32(&w, request->version);
        frame_writer_u64(&w, (uint64_t) request->now_utc_ms);
        frame_writer_u8(&w, request->has_trace);
        frame_writer_member(&w, request->serial);
        frame_writer_member(&w, request->zones);
        put_known(&w, request->n_known, request->known);
        return frame_writer_end(&w);
}

int frame_put_usb_pump(FrameBuffer *buffer, const FrameUsbPump *pump) {
        FrameWriter w = frame_writer(buffer, FRAME_USB_PUMP);

        frame_writer_member(&w, pump->model);
        frame_writer_member(&w, pump->serial);
        frame_writer_u64(&w, (uint64_t) pump->clock_offset_ms);
        frame_writer_u8(&w, pump->is_complete);
        frame_writer_u32(&w, pump->n_pages);
        frame_writer_u32(&w, pump->n_missing);
        frame_writer_u32(&w, pump->battery_mv);
        frame_writer_u32(&w, (uint32_t) pump->reservoir_milli);
        put_known(&w, pump->n_known, pump->known);
        return frame_writer_end(&w);
}

/* Names that may become part of a path below the zone files: no dot, so no way out of it. */
static bool zones_valid(const char *zones) {
        size_t n = strspn(zones, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/;=");

        return n > 0 && zones[n] == '\0' && zones[0] != '/' && !strstr(zones, "=/");
}

static bool digits_valid(const char *text, size_t n_digits) {
        size_t n = strspn(text, "0123456789");

        return text[n] == '\0' && (n == n_digits || n == 0);
}

int frame_get_import_request(FrameImportRequest *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameImportRequest request = {0};
        uint8_t has_no_checksums;

        request.version = frame_reader_u32(&r);
        request.now_utc_ms = (int64_t) frame_reader_u64(&r);
        request.glucose_unit = frame_reader_u8(&r);
        has_no_checksums = frame_reader_u8(&r);
        request.has_no_checksums = has_no_checksums == 1;
        frame_reader_member(&r, request.zones);
        frame_reader_member(&r, request.model);
        frame_reader_member(&r, request.serial);
        if (frame_reader_end(&r, request.version == FRAME_VERSION && request.now_utc_ms >= RECORD_TIME_MIN_MS &&
                             request.now_utc_ms < RECORD_TIME_MAX_MS &&
                            (request.glucose_unit == RECORD_UNIT_NONE || request.glucose_unit == RECORD_UNIT_MG_DL ||
                             request.glucose_unit == RECORD_UNIT_MMOL_L) && has_no_checksums <= 1 &&
                            zones_valid(request.zones) && digits_valid(request.model, 3) && digits_valid(request.serial, 6)) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

static void get_known(FrameReader *r, uint16_t *ret_n, uint8_t ret[][FRAME_USB_HASH_SIZE]) {
        const uint8_t *n = frame_reader_bytes(r, 2);

        *ret_n = n ? get_le16(n) : 0;
        if (*ret_n > FRAME_USB_KNOWN_MAX) {
                r->bad = true;
                return;
        }
        frame_reader_copy(r, ret[0], (size_t) *ret_n * FRAME_USB_HASH_SIZE);
}

int frame_get_usb_request(FrameUsbRequest *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameUsbRequest request = {0};

        request.version = frame_reader_u32(&r);
        request.now_utc_ms = (int64_t) frame_reader_u64(&r);
        request.has_trace = frame_reader_bool(&r);
        frame_reader_member(&r, request.serial);
        frame_reader_member(&r, request.zones);
        get_known(&r, &request.n_known, request.known);
        if (frame_reader_end(&r, request.version == FRAME_VERSION && request.now_utc_ms >= RECORD_TIME_MIN_MS &&
                             request.now_utc_ms < RECORD_TIME_MAX_MS && zones_valid(request.zones)) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_usb_pump(FrameUsbPump *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameUsbPump pump = {0};

        frame_reader_member(&r, pump.model);
        frame_reader_member(&r, pump.serial);
        pump.clock_offset_ms = (int64_t) frame_reader_u64(&r);
        pump.is_complete = frame_reader_bool(&r);
        pump.n_pages = frame_reader_u32(&r);
        pump.n_missing = frame_reader_u32(&r);
        pump.battery_mv = frame_reader_u32(&r);
        pump.reservoir_milli = (int32_t) frame_reader_u32(&r);
        get_known(&r, &pump.n_known, pump.known);
        if (frame_reader_end(&r, pump.n_missing <= pump.n_pages && pump.reservoir_milli >= -1 && pump.clock_offset_ms > -RECORD_TIME_MAX_MS &&
                             pump.clock_offset_ms < RECORD_TIME_MAX_MS) != 0)
                return FRAME_E_FORMAT;
        *ret = pump;
        return 0;
}

int frame_get_restore(FrameRestore *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameRestore restore = {0};

        frame_reader_copy(&r, restore.wallet_id, sizeof(restore.wallet_id));
        frame_reader_member(&r, restore.zones);
        if (frame_reader_end(&r, zones_valid(restore.zones)) != 0)
                return FRAME_E_FORMAT;
        *ret = restore;
        return 0;
}

static bool time_valid(int64_t ms) {
        return ms >= RECORD_TIME_MIN_MS && ms <= RECORD_TIME_MAX_MS;
}

int frame_get_restore_import(FrameRestoreImport *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameRestoreImport import = {0};

        import.import = frame_reader_u32(&r);
        import.time_utc_ms = (int64_t) frame_reader_u64(&r);
        frame_reader_member(&r, import.file_name);
        if (frame_reader_end(&r, import.import > 0 && time_valid(import.time_utc_ms)) != 0)
                return FRAME_E_FORMAT;
        *ret = import;
        return 0;
}

int frame_get_restore_node(FrameRestoreNode *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameRestoreNode node = {0};
        uint64_t bits;

        node.type = frame_reader_u8(&r);
        frame_reader_member(&r, node.name);
        if (node.type == FRAME_NODE_TEXT) {
                frame_reader_member(&r, node.text);
        } else if (node.type == FRAME_NODE_INTEGER) {
                node.integer = (int64_t) frame_reader_u64(&r);
        } else if (node.type == FRAME_NODE_REAL) {
                bits = frame_reader_u64(&r);
                memcpy(&node.real, &bits, sizeof(node.real));
        }
        if (frame_reader_end(&r, node.type < N_FRAME_NODES && isfinite(node.real)) != 0)
                return FRAME_E_FORMAT;
        *ret = node;
        return 0;
}

int frame_get_restore_again(FrameRestoreAgain *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameRestoreAgain again = {0};

        again.import = frame_reader_u32(&r);
        again.kind = frame_reader_u8(&r);
        again.from_local_ms = (int64_t) frame_reader_u64(&r);
        again.to_local_ms = (int64_t) frame_reader_u64(&r);
        frame_reader_copy(&r, again.from_identity, sizeof(again.from_identity));
        frame_reader_copy(&r, again.to_identity, sizeof(again.to_identity));
        if (frame_reader_end(&r, again.import > 0 && again.kind > 0 && again.kind < N_RECORD_KINDS && time_valid(again.from_local_ms) &&
                             time_valid(again.to_local_ms) && again.from_local_ms <= again.to_local_ms) != 0)
                return FRAME_E_FORMAT;
        *ret = again;
        return 0;
}

int frame_get_import_source(FrameImportSource *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameImportSource source = {0};

        source.source = frame_reader_u32(&r);
        frame_reader_copy(&r, source.device_key, sizeof(source.device_key));
        frame_reader_member(&r, source.model);
        frame_reader_member(&r, source.serial);
        frame_reader_member(&r, source.section);
        if (frame_reader_end(&r, source.source > 0) != 0)
                return FRAME_E_FORMAT;
        *ret = source;
        return 0;
}

int frame_get_import_record(uint32_t *ret_line, Record *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint32_t line = frame_reader_u32(&r);
        Record record;

        if (r.bad || frame_record_decode(&record, r.at, r.n) != 0 || !record_valid(&record))
                return FRAME_E_FORMAT;
        *ret_line = line;
        *ret = record;
        return 0;
}

int frame_get_import_rejected(uint32_t *ret_line, char ret_reason[static 1025], char ret_row[static 1025],
                              const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        char reason[FRAME_TEXT_MAX + 1], row[FRAME_TEXT_MAX + 1];
        uint32_t line = frame_reader_u32(&r);

        frame_reader_member(&r, reason);
        frame_reader_member(&r, row);
        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_line = line;
        memcpy(ret_reason, reason, strlen(reason) + 1);
        memcpy(ret_row, row, strlen(row) + 1);
        return 0;
}

int frame_get_import_progress(uint64_t *ret_done, uint64_t *ret_all, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t n_done = frame_reader_u64(&r), n_all = frame_reader_u64(&r);

        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_done = n_done;
        *ret_all = n_all;
        return 0;
}

int frame_get_import_end(FrameImportEnd *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameImportEnd end = {0};
        uint64_t n_explained;

        end.n_rows = frame_reader_u32(&r);
        end.n_rejected = frame_reader_u32(&r);
        n_explained = end.n_rejected;
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                end.n_records[kind] = frame_reader_u32(&r);
                end.n_merged[kind] = frame_reader_u32(&r);
                end.n_extra[kind] = frame_reader_u32(&r);
                n_explained += (uint64_t) end.n_records[kind] + end.n_merged[kind];
        }
        frame_reader_member(&r, end.format);
        if (frame_reader_end(&r, n_explained == end.n_rows) != 0)
                return FRAME_E_FORMAT;
        *ret = end;
        return 0;
}

/* --- records: daemon/FORMAT.md, "record" --- */

void frame_record_encode(uint8_t *ret, const Record *record) {
        assert(record->n_payload <= RECORD_PAYLOAD_MAX);

        ret[0] = record->kind;
        ret[1] = record->unit;
        ret[2] = record->decimals;
        ret[3] = record->flags;
        ret[4] = record->clock;
        ret[5] = 0;
        put_le16(ret + 6, (uint16_t) record->offset_min);
        put_le32(ret + 8, (uint32_t) record->value_milli);
        put_le16(ret + 12, (uint16_t) record->n_payload);
        put_le16(ret + 14, 0);
        put_le64(ret + 16, (uint64_t) record->utc_ms);
        put_le64(ret + 24, (uint64_t) record->local_ms);
        memcpy(ret + 32, record->identity, RECORD_IDENTITY_SIZE);
        put_le32(ret + 48, record->source);
        put_le32(ret + 52, record->import);
        if (record->n_payload > 0)
                memcpy(ret + FRAME_RECORD_SIZE, record->payload, record->n_payload);
}

int frame_record_decode(Record *ret, const uint8_t *bytes, size_t n_bytes) {
        size_t n_payload;

        if (n_bytes < FRAME_RECORD_SIZE)
                return FRAME_E_FORMAT;
        n_payload = get_le16(bytes + 12);
        if (n_payload > RECORD_PAYLOAD_MAX || n_bytes != FRAME_RECORD_SIZE + n_payload || bytes[5] != 0 ||
            get_le16(bytes + 14) != 0)
                return FRAME_E_FORMAT;

        *ret = (Record){
                .kind = bytes[0],
                .unit = bytes[1],
                .decimals = bytes[2],
                .flags = bytes[3],
                .clock = bytes[4],
                .offset_min = (int16_t) get_le16(bytes + 6),
                .value_milli = (int32_t) get_le32(bytes + 8),
                .utc_ms = (int64_t) get_le64(bytes + 16),
                .local_ms = (int64_t) get_le64(bytes + 24),
                .source = get_le32(bytes + 48),
                .import = get_le32(bytes + 52),
                .payload = bytes + FRAME_RECORD_SIZE,
                .n_payload = n_payload,
        };
        memcpy(ret->identity, bytes + 32, RECORD_IDENTITY_SIZE);
        return 0;
}
