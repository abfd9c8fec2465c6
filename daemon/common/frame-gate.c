/* SPDX-License-Identifier: Apache-2.0 */

#include "frame-private.h"

#include "text.h"

enum {
        LISTEN_MAX = 255,
        PEM_MAX = 16 * 1024, /* a key of 16,384 bits, or a chain of several certificates */
        TRAILER_MAX = 160,
};

int frame_put_gate_config(FrameBuffer *buffer, const char *listen, const char *key_pem, const char *certificate_pem) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_CONFIG);

        frame_writer_exact(&w, listen, LISTEN_MAX);
        frame_writer_sized(&w, key_pem, strlen(key_pem), PEM_MAX);
        frame_writer_sized(&w, certificate_pem, strlen(certificate_pem), PEM_MAX);
        return frame_writer_end(&w);
}

int frame_put_gate_key(FrameBuffer *buffer, const char *key_pem, const char *certificate_pem,
                       const uint8_t spki_sha256[static 32]) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_KEY);

        frame_writer_sized(&w, key_pem, strlen(key_pem), PEM_MAX);
        frame_writer_sized(&w, certificate_pem, strlen(certificate_pem), PEM_MAX);
        frame_writer_bytes(&w, spki_sha256, 32);
        return frame_writer_end(&w);
}

int frame_put_gate_request(FrameBuffer *buffer, const FrameGateRequest *request) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_REQUEST);

        frame_writer_u64(&w, request->request);
        frame_writer_u8(&w, request->operation);
        frame_writer_u8(&w, request->format);
        frame_writer_u8(&w, request->flags);
        frame_writer_u8(&w, 0);
        frame_writer_u32(&w, request->kinds);
        frame_writer_u32(&w, (uint32_t) request->from_day);
        frame_writer_u32(&w, (uint32_t) request->to_day);
        frame_writer_u64(&w, (uint64_t) request->since_utc_ms);
        frame_writer_bytes(&w, request->credential, sizeof(request->credential));
        frame_writer_sized(&w, request->proof, request->n_proof, FRAME_GATE_PROOF_MAX);
        return frame_writer_end(&w);
}

int frame_put_gate_reply(FrameBuffer *buffer, uint32_t type, const FrameGateReply *reply) {
        FrameWriter w = frame_writer(buffer, type);

        assert(type == FRAME_GATE_REPLY || (type == FRAME_GATE_STREAM && reply->n_body == 0));

        frame_writer_u64(&w, reply->request);
        frame_writer_u64(&w, reply->grant);
        frame_writer_u8(&w, reply->error);
        frame_writer_u8(&w, reply->content_type);
        frame_writer_member(&w, reply->nonce);
        frame_writer_member(&w, reply->message);
        frame_writer_bytes(&w, reply->body, reply->n_body);
        return frame_writer_end(&w);
}

int frame_put_gate_chunk(FrameBuffer *buffer, uint64_t request, const uint8_t *bytes, size_t n_bytes) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_CHUNK);

        if ((n_bytes < 1 || n_bytes > FRAME_GATE_CHUNK_MAX) && w.r == 0)
                w.r = FRAME_E_FORMAT;
        frame_writer_u64(&w, request);
        frame_writer_bytes(&w, bytes, n_bytes);
        return frame_writer_end(&w);
}

int frame_put_gate_end(FrameBuffer *buffer, uint64_t request, bool whole, const char *trailer) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_END);

        frame_writer_u64(&w, request);
        frame_writer_u8(&w, whole);
        frame_writer_exact(&w, trailer, TRAILER_MAX);
        return frame_writer_end(&w);
}

int frame_put_gate_closed(FrameBuffer *buffer, uint64_t request, uint64_t n_sent, bool whole) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_CLOSED);

        frame_writer_u64(&w, request);
        frame_writer_u64(&w, n_sent);
        frame_writer_u8(&w, whole);
        return frame_writer_end(&w);
}

int frame_put_gate_u64(FrameBuffer *buffer, uint32_t type, uint64_t value) {
        FrameWriter w = frame_writer(buffer, type);

        frame_writer_u64(&w, value);
        return frame_writer_end(&w);
}

int frame_put_gate_reset_done(FrameBuffer *buffer, uint64_t grant, uint32_t n_connections) {
        FrameWriter w = frame_writer(buffer, FRAME_GATE_RESET_DONE);

        frame_writer_u64(&w, grant);
        frame_writer_u32(&w, n_connections);
        return frame_writer_end(&w);
}

static const char *get_pem(FrameReader *r, size_t *ret_n) {
        const char *pem = frame_reader_sized(r, PEM_MAX, ret_n);

        for (size_t i = 0; pem && i < *ret_n; i++) /* RFC 7468: printable ASCII in lines */
                if ((pem[i] < 0x20 || pem[i] > 0x7e) && pem[i] != '\n' && pem[i] != '\r') {
                        r->bad = true;
                        return NULL;
                }
        return pem;
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
        FrameReader r = {payload, n_payload, false};
        const char *texts[3], *copies[3];
        size_t lengths[3];
        int result;

        texts[0] = frame_reader_sized(&r, LISTEN_MAX, &lengths[0]);
        texts[1] = get_pem(&r, &lengths[1]);
        texts[2] = get_pem(&r, &lengths[2]);
        if (frame_reader_end(&r, true) != 0 || !text_valid(texts[0], lengths[0]))
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
        FrameReader r = {payload, n_payload, false};
        const char *texts[2], *copies[2];
        const uint8_t *spki_sha256;
        size_t lengths[2];
        int result;

        texts[0] = get_pem(&r, &lengths[0]);
        texts[1] = get_pem(&r, &lengths[1]);
        spki_sha256 = frame_reader_bytes(&r, 32);
        if (frame_reader_end(&r, true) != 0)
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
        FrameReader r = {payload, n_payload, false};
        FrameGateRequest request = {0};
        uint8_t zero;

        request.request = frame_reader_u64(&r);
        request.operation = frame_reader_u8(&r);
        request.format = frame_reader_u8(&r);
        request.flags = frame_reader_u8(&r);
        zero = frame_reader_u8(&r);
        request.kinds = frame_reader_u32(&r);
        request.from_day = (int32_t) frame_reader_u32(&r);
        request.to_day = (int32_t) frame_reader_u32(&r);
        request.since_utc_ms = (int64_t) frame_reader_u64(&r);
        frame_reader_copy(&r, request.credential, sizeof(request.credential));
        request.proof = frame_reader_sized(&r, FRAME_GATE_PROOF_MAX, &request.n_proof);

        if (frame_reader_end(&r, request.request != 0 && request.operation >= FRAME_GATE_TOKEN && request.operation <= FRAME_GATE_SUMMARY &&
                             request.format <= FRAME_GATE_CSV && (request.flags & ~known) == 0 && zero == 0 &&
                            (request.kinds & ~RECORD_ALL_KINDS) == 0) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_gate_reply(FrameGateReply *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameGateReply reply = {0};

        reply.request = frame_reader_u64(&r);
        reply.grant = frame_reader_u64(&r);
        reply.error = frame_reader_u8(&r);
        reply.content_type = frame_reader_u8(&r);
        frame_reader_member(&r, reply.nonce);
        frame_reader_member(&r, reply.message);
        reply.n_body = r.n;
        reply.body = frame_reader_bytes(&r, r.n);

        /* both go into header lines: RFC 6749, 5.2 for the message */
        for (const char *c = reply.nonce; *c; c++)
                r.bad = r.bad || *c <= ' ' || *c > '~' || *c == '"' || *c == '\\';
        for (const char *c = reply.message; *c; c++)
                r.bad = r.bad || *c < ' ' || *c > '~' || *c == '"' || *c == '\\';

        if (frame_reader_end(&r, reply.request != 0 && reply.error < N_FRAME_GATE_ERRORS && reply.content_type <= 3) != 0)
                return FRAME_E_FORMAT;
        *ret = reply;
        return 0;
}

int frame_get_gate_chunk(uint64_t *ret_request, const uint8_t **ret_bytes, size_t *ret_n_bytes,
                         const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t request = frame_reader_u64(&r);

        if (r.bad || request == 0 || r.n < 1 || r.n > FRAME_GATE_CHUNK_MAX)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_bytes = r.at;
        *ret_n_bytes = r.n;
        return 0;
}

int frame_get_gate_end(uint64_t *ret_request, bool *ret_whole, char ret_trailer[static 161],
                       const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t request = frame_reader_u64(&r);
        bool whole = frame_reader_bool(&r);
        char trailer[TRAILER_MAX + 1];

        frame_reader_member(&r, trailer);
        if (frame_reader_end(&r, request != 0) != 0)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_whole = whole;
        memcpy(ret_trailer, trailer, strlen(trailer) + 1);
        return 0;
}

int frame_get_gate_closed(uint64_t *ret_request, uint64_t *ret_n_sent, bool *ret_whole,
                          const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t request = frame_reader_u64(&r), n_sent = frame_reader_u64(&r);
        bool whole = frame_reader_bool(&r);

        if (frame_reader_end(&r, request != 0) != 0)
                return FRAME_E_FORMAT;
        *ret_request = request;
        *ret_n_sent = n_sent;
        *ret_whole = whole;
        return 0;
}

int frame_get_gate_u64(uint64_t *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t value = frame_reader_u64(&r);

        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret = value;
        return 0;
}

int frame_get_gate_reset_done(uint64_t *ret_grant, uint32_t *ret_n_connections, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint64_t grant = frame_reader_u64(&r);
        uint32_t n_connections = frame_reader_u32(&r);

        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret_grant = grant;
        *ret_n_connections = n_connections;
        return 0;
}
