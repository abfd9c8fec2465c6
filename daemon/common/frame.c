/* SPDX-License-Identifier: Apache-2.0 */

/* Frames between the core and its workers: daemon/FORMAT.md, "frames". Texts are made valid when put, checked when got. */

#include "frame.h"

#include "text.h"

#include <sodium.h>

enum {
        TEXT_MAX = 1024,
        LISTEN_MAX = 255,
        PEM_MAX = 16 * 1024, /* a key of 16,384 bits, or a chain of several certificates */
        TRAILER_MAX = 160,
        OPSLIMIT_MAX = 64,
};
static const uint64_t MEMLIMIT_MAX = UINT64_C(4) << 30;

/* --- the buffer --- */

void frame_buffer_done(FrameBuffer *buffer) {
        if (buffer->bytes)
                sodium_memzero(buffer->bytes, buffer->n_allocated);
        free(buffer->bytes);
        *buffer = (FrameBuffer){0};
}

/* Make room for @n more bytes. What was read or sent is dropped first; no copy of the old bytes is left in the heap. */
static int reserve(FrameBuffer *buffer, size_t n) {
        size_t n_kept = buffer->n - buffer->at, n_new = buffer->n_allocated;
        uint8_t *bytes;

        if (buffer->n_allocated - buffer->n >= n)
                return 0;

        if (buffer->n_allocated - n_kept >= n) {
                memmove(buffer->bytes, buffer->bytes + buffer->at, n_kept);
                buffer->n = n_kept;
                buffer->at = 0;
                return 0;
        }

        if (n_new < 256)
                n_new = 256;
        while (n_new - n_kept < n) {
                if (n_new > SIZE_MAX / 2)
                        return -ENOMEM;
                n_new *= 2;
        }
        bytes = malloc(n_new);
        if (!bytes)
                return -ENOMEM;
        if (n_kept > 0)
                memcpy(bytes, buffer->bytes + buffer->at, n_kept);
        frame_buffer_done(buffer);
        *buffer = (FrameBuffer){.bytes = bytes, .n = n_kept, .n_allocated = n_new};
        return 0;
}

int frame_next(FrameBuffer *buffer, uint32_t *ret_type, const uint8_t **ret_payload, size_t *ret_n_payload) {
        size_t n_left = buffer->n - buffer->at;
        const uint8_t *at;
        uint32_t n_payload;

        if (n_left < FRAME_HEADER_SIZE)
                return FRAME_E_AGAIN;
        at = buffer->bytes + buffer->at;
        n_payload = get_le32(at + 4);
        if (n_payload > FRAME_PAYLOAD_MAX)
                return FRAME_E_FORMAT;
        if (n_left - FRAME_HEADER_SIZE < n_payload)
                return FRAME_E_AGAIN;

        *ret_type = get_le32(at);
        *ret_payload = at + FRAME_HEADER_SIZE;
        *ret_n_payload = n_payload;
        buffer->at += FRAME_HEADER_SIZE + n_payload;
        return 0;
}

ssize_t frame_read(FrameBuffer *buffer, int fd) {
        /* room for the rest of any frame: after frame_next() has said FRAME_E_AGAIN, less than one whole frame is held */
        enum { ROOM = FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX };
        size_t n_kept = buffer->n - buffer->at;
        ssize_t l;
        int r;

        if (n_kept >= ROOM)
                return -ENOBUFS; /* not drained by frame_next() */
        r = reserve(buffer, ROOM - n_kept);
        if (r < 0)
                return r;

        l = read(fd, buffer->bytes + buffer->n, buffer->n_allocated - buffer->n);
        if (l < 0)
                return -errno;
        buffer->n += (size_t) l;
        return l;
}

int frame_flush(FrameBuffer *buffer, int fd) {
        ssize_t l;

        if (buffer->at < buffer->n) {
                l = write(fd, buffer->bytes + buffer->at, buffer->n - buffer->at);
                if (l < 0)
                        return -errno;
                buffer->at += (size_t) l;
        }
        if (buffer->at < buffer->n)
                return 0;
        buffer->at = buffer->n = 0;
        return 1;
}

int frame_write_all(FrameBuffer *buffer, int fd) {
        int r;

        do
                r = frame_flush(buffer, fd);
        while (r == 0 || r == -EINTR);
        return r < 0 ? r : 0;
}

/* --- putting: the first failure sticks, and takes the whole frame back --- */

typedef struct Writer {
        FrameBuffer *buffer;
        size_t n_frame; /* bytes of this frame so far; room for the header is part of it */
        int r;
} Writer;

static void *put_space(Writer *w, size_t n) {
        void *space;

        if (w->r != 0)
                return NULL;
        if (n > FRAME_HEADER_SIZE + FRAME_PAYLOAD_MAX - w->n_frame) {
                w->r = FRAME_E_FORMAT;
                return NULL;
        }
        w->r = reserve(w->buffer, n);
        if (w->r != 0)
                return NULL;
        space = w->buffer->bytes + w->buffer->n;
        w->buffer->n += n;
        w->n_frame += n;
        return space;
}

static void put_bytes(Writer *w, const void *bytes, size_t n) {
        void *space = put_space(w, n);

        if (space && n > 0)
                memcpy(space, bytes, n);
}

static void put_u8(Writer *w, uint8_t v) {
        put_bytes(w, &v, 1);
}

static void put_u16(Writer *w, uint16_t v) {
        uint8_t bytes[2];

        put_le16(bytes, v);
        put_bytes(w, bytes, sizeof(bytes));
}

static void put_u32(Writer *w, uint32_t v) {
        uint8_t bytes[4];

        put_le32(bytes, v);
        put_bytes(w, bytes, sizeof(bytes));
}

static void put_u64(Writer *w, uint64_t v) {
        uint8_t bytes[8];

        put_le64(bytes, v);
        put_bytes(w, bytes, sizeof(bytes));
}

static void put_sized(Writer *w, const char *bytes, size_t n, size_t n_max) {
        if (n > n_max) {
                if (w->r == 0)
                        w->r = FRAME_E_FORMAT;
                return;
        }
        put_u16(w, (uint16_t) n);
        put_bytes(w, bytes, n);
}

/* Foreign text, made valid and cut. */
static void put_clean(Writer *w, const char *text, size_t n_text, size_t n_max) {
        char clean[TEXT_MAX + 1];
        size_t n;

        assert(n_max <= TEXT_MAX);

        n = text_clean(clean, n_max + 1, text, n_text);
        put_sized(w, clean, n, n_max);
        sodium_memzero(clean, n);
}

/* A char[] member: what is in the struct, without the terminator. */
#define put_member(w, member) put_clean(w, member, strnlen(member, sizeof(member)), sizeof(member) - 1)

/* Our own text: it fits and is valid, or there is no frame. */
static void put_exact(Writer *w, const char *text, size_t n_max) {
        size_t n = strlen(text);

        if (w->r == 0 && !text_valid(text, n))
                w->r = FRAME_E_FORMAT;
        put_sized(w, text, n, n_max);
}

static Writer writer(FrameBuffer *buffer, uint32_t type) {
        Writer w = {.buffer = buffer};

        put_u32(&w, type);
        put_u32(&w, 0);
        return w;
}

static int written(Writer *w) {
        if (w->r == 0)
                put_le32(w->buffer->bytes + (w->buffer->n - w->n_frame) + 4, (uint32_t) (w->n_frame - FRAME_HEADER_SIZE));
        else
                w->buffer->n -= w->n_frame;
        return w->r;
}

int frame_put(FrameBuffer *buffer, uint32_t type, const void *payload, size_t n_payload) {
        Writer w = writer(buffer, type);

        put_bytes(&w, payload, n_payload);
        return written(&w);
}

int frame_put_kdf_request(FrameBuffer *buffer, const FrameKdfRequest *request) {
        Writer w = writer(buffer, FRAME_KDF_REQUEST);

        put_u32(&w, request->version);
        put_u32(&w, request->mode);
        put_bytes(&w, request->salt, sizeof(request->salt));
        put_u32(&w, request->opslimit);
        put_u64(&w, request->memlimit);
        return written(&w);
}

int frame_put_kdf_key(FrameBuffer *buffer, uint32_t opslimit, uint64_t memlimit, const uint8_t key[static 32]) {
        Writer w = writer(buffer, FRAME_KDF_KEY);

        put_u32(&w, opslimit);
        put_u64(&w, memlimit);
        put_bytes(&w, key, 32);
        return written(&w);
}

int frame_put_u32(FrameBuffer *buffer, uint32_t type, uint32_t value) {
        Writer w = writer(buffer, type);

        put_u32(&w, value);
        return written(&w);
}

int frame_put_text(FrameBuffer *buffer, uint32_t type, const char *text) {
        Writer w = writer(buffer, type);

        put_clean(&w, text, strlen(text), TEXT_MAX);
        return written(&w);
}

int frame_put_import_request(FrameBuffer *buffer, const FrameImportRequest *request) {
        Writer w = writer(buffer, FRAME_IMPORT_REQUEST);

        put_u32(&w, request->version);
        put_u64(&w, (uint64_t) request->now_utc_ms);
        put_u8(&w, request->glucose_unit);
        put_member(&w, request->zones);
        put_member(&w, request->model);
        put_member(&w, request->serial);
        return written(&w);
}

int frame_put_import_source(FrameBuffer *buffer, const FrameImportSource *source) {
        Writer w = writer(buffer, FRAME_IMPORT_SOURCE);

        put_u32(&w, source->source);
        put_bytes(&w, source->device_key, sizeof(source->device_key));
        put_member(&w, source->model);
        put_member(&w, source->serial);
        put_member(&w, source->section);
        return written(&w);
}

int frame_put_import_record(FrameBuffer *buffer, uint32_t line, const Record *record) {
        Writer w = writer(buffer, FRAME_IMPORT_RECORD);
        uint8_t *space;

        if (record->n_payload > RECORD_PAYLOAD_MAX && w.r == 0)
                w.r = FRAME_E_FORMAT;
        space = put_space(&w, 4 + FRAME_RECORD_SIZE + record->n_payload);
        if (space) {
                put_le32(space, line);
                frame_record_encode(space + 4, record);
        }
        return written(&w);
}

int frame_put_import_rejected(FrameBuffer *buffer, uint32_t line, const char *reason, const char *row, size_t n_row) {
        Writer w = writer(buffer, FRAME_IMPORT_REJECTED);

        put_u32(&w, line);
        put_clean(&w, reason, strlen(reason), TEXT_MAX);
        put_clean(&w, row, n_row, TEXT_MAX);
        return written(&w);
}

int frame_put_import_progress(FrameBuffer *buffer, uint64_t n_done, uint64_t n_all) {
        Writer w = writer(buffer, FRAME_IMPORT_PROGRESS);

        put_u64(&w, n_done);
        put_u64(&w, n_all);
        return written(&w);
}

int frame_put_import_end(FrameBuffer *buffer, const FrameImportEnd *end) {
        Writer w = writer(buffer, FRAME_IMPORT_END);

        put_u32(&w, end->n_rows);
        put_u32(&w, end->n_rejected);
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                put_u32(&w, end->n_records[kind]);
                put_u32(&w, end->n_merged[kind]);
                put_u32(&w, end->n_extra[kind]);
        }
        put_member(&w, end->format);
        return written(&w);
}

static void put_known(Writer *w, uint16_t n_known, const uint8_t known[][FRAME_USB_HASH_SIZE]) {
        if (n_known > FRAME_USB_KNOWN_MAX && w->r == 0)
                w->r = FRAME_E_FORMAT;
        put_u16(w, n_known);
        put_bytes(w, known, (size_t) n_known * FRAME_USB_HASH_SIZE);
}

int frame_put_usb_request(FrameBuffer *buffer, const FrameUsbRequest *request) {
        Writer w = writer(buffer, FRAME_USB_REQUEST);

        put_u32(&w, request->version);
        put_u64(&w, (uint64_t) request->now_utc_ms);
        put_u8(&w, request->has_trace);
        put_member(&w, request->serial);
        put_member(&w, request->zones);
        put_known(&w, request->n_known, request->known);
        return written(&w);
}

int frame_put_usb_pump(FrameBuffer *buffer, const FrameUsbPump *pump) {
        Writer w = writer(buffer, FRAME_USB_PUMP);

        put_member(&w, pump->model);
        put_member(&w, pump->serial);
        put_u64(&w, (uint64_t) pump->clock_offset_ms);
        put_u8(&w, pump->is_complete);
        put_u32(&w, pump->n_pages);
        put_u32(&w, pump->n_missing);
        put_u32(&w, pump->battery_mv);
        put_u32(&w, (uint32_t) pump->reservoir_milli);
        put_known(&w, pump->n_known, pump->known);
        return written(&w);
}

int frame_put_gate_config(FrameBuffer *buffer, const char *listen, const char *key_pem, const char *certificate_pem) {
        Writer w = writer(buffer, FRAME_GATE_CONFIG);

        put_exact(&w, listen, LISTEN_MAX);
        put_sized(&w, key_pem, strlen(key_pem), PEM_MAX);
        put_sized(&w, certificate_pem, strlen(certificate_pem), PEM_MAX);
        return written(&w);
}

int frame_put_gate_key(FrameBuffer *buffer, const char *key_pem, const char *certificate_pem,
                       const uint8_t spki_sha256[static 32]) {
        Writer w = writer(buffer, FRAME_GATE_KEY);

        put_sized(&w, key_pem, strlen(key_pem), PEM_MAX);
        put_sized(&w, certificate_pem, strlen(certificate_pem), PEM_MAX);
        put_bytes(&w, spki_sha256, 32);
        return written(&w);
}

int frame_put_gate_request(FrameBuffer *buffer, const FrameGateRequest *request) {
        Writer w = writer(buffer, FRAME_GATE_REQUEST);

        put_u64(&w, request->request);
        put_u8(&w, request->operation);
        put_u8(&w, request->format);
        put_u8(&w, request->flags);
        put_u8(&w, 0);
        put_u32(&w, request->kinds);
        put_u32(&w, (uint32_t) request->from_day);
        put_u32(&w, (uint32_t) request->to_day);
        put_u64(&w, (uint64_t) request->since_utc_ms);
        put_bytes(&w, request->credential, sizeof(request->credential));
        put_sized(&w, request->proof, request->n_proof, FRAME_GATE_PROOF_MAX);
        return written(&w);
}

int frame_put_gate_reply(FrameBuffer *buffer, uint32_t type, const FrameGateReply *reply) {
        Writer w = writer(buffer, type);

        assert(type == FRAME_GATE_REPLY || (type == FRAME_GATE_STREAM && reply->n_body == 0));

        put_u64(&w, reply->request);
        put_u64(&w, reply->grant);
        put_u8(&w, reply->error);
        put_u8(&w, reply->content_type);
        put_member(&w, reply->nonce);
        put_member(&w, reply->message);
        put_bytes(&w, reply->body, reply->n_body);
        return written(&w);
}

int frame_put_gate_chunk(FrameBuffer *buffer, uint64_t request, const uint8_t *bytes, size_t n_bytes) {
        Writer w = writer(buffer, FRAME_GATE_CHUNK);

        if ((n_bytes < 1 || n_bytes > 65536) && w.r == 0)
                w.r = FRAME_E_FORMAT;
        put_u64(&w, request);
        put_bytes(&w, bytes, n_bytes);
        return written(&w);
}

int frame_put_gate_end(FrameBuffer *buffer, uint64_t request, bool whole, const char *trailer) {
        Writer w = writer(buffer, FRAME_GATE_END);

        put_u64(&w, request);
        put_u8(&w, whole);
        put_exact(&w, trailer, TRAILER_MAX);
        return written(&w);
}

int frame_put_gate_closed(FrameBuffer *buffer, uint64_t request, uint64_t n_sent, bool whole) {
        Writer w = writer(buffer, FRAME_GATE_CLOSED);

        put_u64(&w, request);
        put_u64(&w, n_sent);
        put_u8(&w, whole);
        return written(&w);
}

int frame_put_gate_u64(FrameBuffer *buffer, uint32_t type, uint64_t value) {
        Writer w = writer(buffer, type);

        put_u64(&w, value);
        return written(&w);
}

int frame_put_gate_reset_done(FrameBuffer *buffer, uint64_t grant, uint32_t n_connections) {
        Writer w = writer(buffer, FRAME_GATE_RESET_DONE);

        put_u64(&w, grant);
        put_u32(&w, n_connections);
        return written(&w);
}

/* --- getting: running out of bytes sticks, what is left over at the end is an error --- */

typedef struct Reader {
        const uint8_t *at;
        size_t n;
        bool bad;
} Reader;

static const uint8_t *get_bytes(Reader *r, size_t n) {
        const uint8_t *bytes = r->at;

        if (r->bad || n > r->n) {
                r->bad = true;
                return NULL;
        }
        r->at += n;
        r->n -= n;
        return bytes;
}

static void get_copy(Reader *r, uint8_t *ret, size_t n) {
        const uint8_t *bytes = get_bytes(r, n);

        if (bytes)
                memcpy(ret, bytes, n);
}

static uint8_t get_u8(Reader *r) {
        const uint8_t *bytes = get_bytes(r, 1);

        return bytes ? *bytes : 0;
}

static bool get_bool(Reader *r) {
        uint8_t v = get_u8(r);

        r->bad = r->bad || v > 1;
        return v == 1;
}

static uint32_t get_u32(Reader *r) {
        const uint8_t *bytes = get_bytes(r, 4);

        return bytes ? get_le32(bytes) : 0;
}

static uint64_t get_u64(Reader *r) {
        const uint8_t *bytes = get_bytes(r, 8);

        return bytes ? get_le64(bytes) : 0;
}

static const char *get_sized(Reader *r, size_t n_max, size_t *ret_n) {
        const uint8_t *length = get_bytes(r, 2);

        *ret_n = length ? get_le16(length) : 0;
        if (*ret_n > n_max)
                r->bad = true;
        return (const char *) get_bytes(r, *ret_n);
}

/* A valid text, terminated in @ret, which has @n_ret bytes. */
static void get_text(Reader *r, char *ret, size_t n_ret) {
        size_t n;
        const char *text = get_sized(r, n_ret - 1, &n);

        if (!text)
                return;
        if (!text_valid(text, n)) {
                r->bad = true;
                return;
        }
        memcpy(ret, text, n);
        ret[n] = '\0';
}

#define get_member(r, member) get_text(r, member, sizeof(member))

static const char *get_pem(Reader *r, size_t *ret_n) {
        const char *pem = get_sized(r, PEM_MAX, ret_n);

        for (size_t i = 0; pem && i < *ret_n; i++) /* RFC 7468: printable ASCII in lines */
                if ((pem[i] < 0x20 || pem[i] > 0x7e) && pem[i] != '\n' && pem[i] != '\r') {
                        r->bad = true;
                        return NULL;
                }
        return pem;
}

static int got(const Reader *r, bool in_range) {
        return r->bad || r->n > 0 || !in_range ? FRAME_E_FORMAT : 0;
}

int frame_get_kdf_request(FrameKdfRequest *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameKdfRequest request = {0};
        bool argon2;

        request.version = get_u32(&r);
        request.mode = get_u32(&r);
        get_copy(&r, request.salt, sizeof(request.salt));
        request.opslimit = get_u32(&r);
        request.memlimit = get_u64(&r);

        argon2 = request.mode == FRAME_KDF_PASSPHRASE || request.mode == FRAME_KDF_CALIBRATE;
        if (got(&r, request.version == FRAME_VERSION && (argon2 || request.mode == FRAME_KDF_RECOVERY || request.mode == FRAME_KDF_CREDENTIAL) &&
                            request.opslimit <= OPSLIMIT_MAX && request.memlimit <= MEMLIMIT_MAX &&
                            (!argon2 || (request.opslimit >= crypto_pwhash_OPSLIMIT_MIN &&
                                         request.memlimit >= crypto_pwhash_MEMLIMIT_MIN))) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_kdf_key(uint32_t *ret_opslimit, uint64_t *ret_memlimit, uint8_t ret_key[static 32],
                      const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint32_t opslimit = get_u32(&r);
        uint64_t memlimit = get_u64(&r);
        const uint8_t *key = get_bytes(&r, 32);

        if (got(&r, opslimit <= OPSLIMIT_MAX && memlimit <= MEMLIMIT_MAX) != 0)
                return FRAME_E_FORMAT;
        *ret_opslimit = opslimit;
        *ret_memlimit = memlimit;
        memcpy(ret_key, key, 32);
        return 0;
}

int frame_get_u32(uint32_t *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint32_t value = get_u32(&r);

        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret = value;
        return 0;
}

int frame_get_text(char ret[static 1025], const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        char text[TEXT_MAX + 1];

        get_member(&r, text);
        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        memcpy(ret, text, strlen(text) + 1);
        return 0;
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
        Reader r = {payload, n_payload, false};
        FrameImportRequest request = {0};

        request.version = get_u32(&r);
        request.now_utc_ms = (int64_t) get_u64(&r);
        request.glucose_unit = get_u8(&r);
        get_member(&r, request.zones);
        get_member(&r, request.model);
        get_member(&r, request.serial);
        if (got(&r, request.version == FRAME_VERSION && request.now_utc_ms >= RECORD_TIME_MIN_MS &&
                            request.now_utc_ms < RECORD_TIME_MAX_MS &&
                            (request.glucose_unit == RECORD_UNIT_NONE || request.glucose_unit == RECORD_UNIT_MG_DL ||
                             request.glucose_unit == RECORD_UNIT_MMOL_L) &&
                            zones_valid(request.zones) && digits_valid(request.model, 3) && digits_valid(request.serial, 6)) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

static void get_known(Reader *r, uint16_t *ret_n, uint8_t ret[][FRAME_USB_HASH_SIZE]) {
        const uint8_t *n = get_bytes(r, 2);

        *ret_n = n ? get_le16(n) : 0;
        if (*ret_n > FRAME_USB_KNOWN_MAX) {
                r->bad = true;
                return;
        }
        get_copy(r, ret[0], (size_t) *ret_n * FRAME_USB_HASH_SIZE);
}

int frame_get_usb_request(FrameUsbRequest *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameUsbRequest request = {0};

        request.version = get_u32(&r);
        request.now_utc_ms = (int64_t) get_u64(&r);
        request.has_trace = get_bool(&r);
        get_member(&r, request.serial);
        get_member(&r, request.zones);
        get_known(&r, &request.n_known, request.known);
        if (got(&r, request.version == FRAME_VERSION && request.now_utc_ms >= RECORD_TIME_MIN_MS &&
                            request.now_utc_ms < RECORD_TIME_MAX_MS && zones_valid(request.zones)) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_usb_pump(FrameUsbPump *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameUsbPump pump = {0};

        get_member(&r, pump.model);
        get_member(&r, pump.serial);
        pump.clock_offset_ms = (int64_t) get_u64(&r);
        pump.is_complete = get_bool(&r);
        pump.n_pages = get_u32(&r);
        pump.n_missing = get_u32(&r);
        pump.battery_mv = get_u32(&r);
        pump.reservoir_milli = (int32_t) get_u32(&r);
        get_known(&r, &pump.n_known, pump.known);
        if (got(&r, pump.n_missing <= pump.n_pages && pump.reservoir_milli >= -1 && pump.clock_offset_ms > -RECORD_TIME_MAX_MS &&
                            pump.clock_offset_ms < RECORD_TIME_MAX_MS) != 0)
                return FRAME_E_FORMAT;
        *ret = pump;
        return 0;
}

int frame_get_import_source(FrameImportSource *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameImportSource source = {0};

        source.source = get_u32(&r);
        get_copy(&r, source.device_key, sizeof(source.device_key));
        get_member(&r, source.model);
        get_member(&r, source.serial);
        get_member(&r, source.section);
        if (got(&r, source.source > 0) != 0)
                return FRAME_E_FORMAT;
        *ret = source;
        return 0;
}

int frame_get_import_record(uint32_t *ret_line, Record *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint32_t line = get_u32(&r);
        Record record;

        if (r.bad || frame_record_decode(&record, r.at, r.n) != 0 || !record_valid(&record))
                return FRAME_E_FORMAT;
        *ret_line = line;
        *ret = record;
        return 0;
}

int frame_get_import_rejected(uint32_t *ret_line, char ret_reason[static 1025], char ret_row[static 1025],
                              const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        char reason[TEXT_MAX + 1], row[TEXT_MAX + 1];
        uint32_t line = get_u32(&r);

        get_member(&r, reason);
        get_member(&r, row);
        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_line = line;
        memcpy(ret_reason, reason, strlen(reason) + 1);
        memcpy(ret_row, row, strlen(row) + 1);
        return 0;
}

int frame_get_import_progress(uint64_t *ret_done, uint64_t *ret_all, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t n_done = get_u64(&r), n_all = get_u64(&r);

        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_done = n_done;
        *ret_all = n_all;
        return 0;
}

int frame_get_import_end(FrameImportEnd *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameImportEnd end = {0};
        uint64_t n_explained;

        end.n_rows = get_u32(&r);
        end.n_rejected = get_u32(&r);
        n_explained = end.n_rejected;
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                end.n_records[kind] = get_u32(&r);
                end.n_merged[kind] = get_u32(&r);
                end.n_extra[kind] = get_u32(&r);
                n_explained += (uint64_t) end.n_records[kind] + end.n_merged[kind];
        }
        get_member(&r, end.format);
        if (got(&r, n_explained == end.n_rows) != 0)
                return FRAME_E_FORMAT;
        *ret = end;
        return 0;
}

/* Terminated copies of @n texts in one allocation. */
static int copy_texts(char **ret_texts, const char *copies[], const char *const texts[], const size_t lengths[], size_t n) {
        size_t n_bytes = 0;
        char *bytes;

        for (size_t i = 0; i < n; i++)
                n_bytes += lengths[i] + 1;
        bytes = calloc(1, n_bytes);
        if (!bytes)
                return -ENOMEM;
        *ret_texts = bytes;
        for (size_t i = 0; i < n; i++) {
                memcpy(bytes, texts[i], lengths[i]);
                copies[i] = bytes;
                bytes += lengths[i] + 1;
        }
        return 0;
}

int frame_get_gate_config(char **ret_texts, const char **ret_listen, const char **ret_key_pem,
                          const char **ret_certificate_pem, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        const char *texts[3], *copies[3];
        size_t lengths[3];
        int result;

        texts[0] = get_sized(&r, LISTEN_MAX, &lengths[0]);
        texts[1] = get_pem(&r, &lengths[1]);
        texts[2] = get_pem(&r, &lengths[2]);
        if (got(&r, true) != 0 || !text_valid(texts[0], lengths[0]))
                return FRAME_E_FORMAT;
        result = copy_texts(ret_texts, copies, texts, lengths, 3);
        if (result < 0)
                return result;
        *ret_listen = copies[0];
        *ret_key_pem = copies[1];
        *ret_certificate_pem = copies[2];
        return 0;
}

int frame_get_gate_key(char **ret_texts, const char **ret_key_pem, const char **ret_certificate_pem,
                       uint8_t ret_spki_sha256[static 32], const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        const char *texts[2], *copies[2];
        const uint8_t *spki_sha256;
        size_t lengths[2];
        int result;

        texts[0] = get_pem(&r, &lengths[0]);
        texts[1] = get_pem(&r, &lengths[1]);
        spki_sha256 = get_bytes(&r, 32);
        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        result = copy_texts(ret_texts, copies, texts, lengths, 2);
        if (result < 0)
                return result;
        *ret_key_pem = copies[0];
        *ret_certificate_pem = copies[1];
        memcpy(ret_spki_sha256, spki_sha256, 32);
        return 0;
}

int frame_get_gate_request(FrameGateRequest *ret, const uint8_t *payload, size_t n_payload) {
        const uint8_t known = FRAME_GATE_HAS_FROM | FRAME_GATE_HAS_TO | FRAME_GATE_HAS_SINCE | FRAME_GATE_HAS_CREDENTIAL |
                              FRAME_GATE_HAS_PROOF;
        Reader r = {payload, n_payload, false};
        FrameGateRequest request = {0};
        uint8_t zero;

        request.request = get_u64(&r);
        request.operation = get_u8(&r);
        request.format = get_u8(&r);
        request.flags = get_u8(&r);
        zero = get_u8(&r);
        request.kinds = get_u32(&r);
        request.from_day = (int32_t) get_u32(&r);
        request.to_day = (int32_t) get_u32(&r);
        request.since_utc_ms = (int64_t) get_u64(&r);
        get_copy(&r, request.credential, sizeof(request.credential));
        request.proof = get_sized(&r, FRAME_GATE_PROOF_MAX, &request.n_proof);

        if (got(&r, request.request != 0 && request.operation >= FRAME_GATE_TOKEN && request.operation <= FRAME_GATE_SUMMARY &&
                            request.format <= FRAME_GATE_CSV && (request.flags & ~known) == 0 && zero == 0 &&
                            (request.kinds & ~RECORD_ALL_KINDS) == 0) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_gate_reply(FrameGateReply *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        FrameGateReply reply = {0};

        reply.request = get_u64(&r);
        reply.grant = get_u64(&r);
        reply.error = get_u8(&r);
        reply.content_type = get_u8(&r);
        get_member(&r, reply.nonce);
        get_member(&r, reply.message);
        reply.n_body = r.n;
        reply.body = get_bytes(&r, r.n);

        /* both go into header lines: RFC 6749, 5.2 for the message */
        for (const char *c = reply.nonce; *c; c++)
                r.bad = r.bad || *c <= ' ' || *c > '~' || *c == '"' || *c == '\\';
        for (const char *c = reply.message; *c; c++)
                r.bad = r.bad || *c < ' ' || *c > '~' || *c == '"' || *c == '\\';

        if (got(&r, reply.request != 0 && reply.error < N_FRAME_GATE_ERRORS && reply.content_type <= 3) != 0)
                return FRAME_E_FORMAT;
        *ret = reply;
        return 0;
}

int frame_get_gate_chunk(uint64_t *ret_request, const uint8_t **ret_bytes, size_t *ret_n_bytes,
                         const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t request = get_u64(&r);

        if (r.bad || request == 0 || r.n < 1 || r.n > 65536)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_bytes = r.at;
        *ret_n_bytes = r.n;
        return 0;
}

int frame_get_gate_end(uint64_t *ret_request, bool *ret_whole, char ret_trailer[static 161],
                       const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t request = get_u64(&r);
        bool whole = get_bool(&r);
        char trailer[TRAILER_MAX + 1];

        get_member(&r, trailer);
        if (got(&r, request != 0) != 0)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_whole = whole;
        memcpy(ret_trailer, trailer, strlen(trailer) + 1);
        return 0;
}

int frame_get_gate_closed(uint64_t *ret_request, uint64_t *ret_n_sent, bool *ret_whole,
                          const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t request = get_u64(&r), n_sent = get_u64(&r);
        bool whole = get_bool(&r);

        if (got(&r, request != 0) != 0)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_n_sent = n_sent;
        *ret_whole = whole;
        return 0;
}

int frame_get_gate_u64(uint64_t *ret, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t value = get_u64(&r);

        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret = value;
        return 0;
}

int frame_get_gate_reset_done(uint64_t *ret_grant, uint32_t *ret_n_connections, const uint8_t *payload, size_t n_payload) {
        Reader r = {payload, n_payload, false};
        uint64_t grant = get_u64(&r);
        uint32_t n_connections = get_u32(&r);

        if (got(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_grant = grant;
        *ret_n_connections = n_connections;
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
