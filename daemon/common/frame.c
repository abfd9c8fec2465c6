/* SPDX-License-Identifier: Apache-2.0 */

/* Frames between the core and its workers: daemon/FORMAT.md, "frames". Texts are made valid when put, checked when got. */

#include "frame-private.h"

#include "text.h"

#include <sodium.h>

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

/* --- putting --- */

void *frame_writer_space(FrameWriter *w, size_t n) {
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

void frame_writer_bytes(FrameWriter *w, const void *bytes, size_t n) {
        void *space = frame_writer_space(w, n);

        if (space && n > 0)
                memcpy(space, bytes, n);
}

void frame_writer_u8(FrameWriter *w, uint8_t v) {
        frame_writer_bytes(w, &v, 1);
}

void frame_writer_u16(FrameWriter *w, uint16_t v) {
        uint8_t bytes[2];

        put_le16(bytes, v);
        frame_writer_bytes(w, bytes, sizeof(bytes));
}

void frame_writer_u32(FrameWriter *w, uint32_t v) {
        uint8_t bytes[4];

        put_le32(bytes, v);
        frame_writer_bytes(w, bytes, sizeof(bytes));
}

void frame_writer_u64(FrameWriter *w, uint64_t v) {
        uint8_t bytes[8];

        put_le64(bytes, v);
        frame_writer_bytes(w, bytes, sizeof(bytes));
}

void frame_writer_sized(FrameWriter *w, const char *bytes, size_t n, size_t n_max) {
        if (n > n_max) {
                if (w->r == 0)
                        w->r = FRAME_E_FORMAT;
                return;
        }
        frame_writer_u16(w, (uint16_t) n);
        frame_writer_bytes(w, bytes, n);
}

void frame_writer_clean(FrameWriter *w, const char *text, size_t n_text, size_t n_max) {
        char clean[FRAME_TEXT_MAX + 1];
        size_t n;

        assert(n_max <= FRAME_TEXT_MAX);

        n = text_clean(clean, n_max + 1, text, n_text);
        frame_writer_sized(w, clean, n, n_max);
        sodium_memzero(clean, n);
}

void frame_writer_exact(FrameWriter *w, const char *text, size_t n_max) {
        size_t n = strlen(text);

        if (w->r == 0 && !text_valid(text, n))
                w->r = FRAME_E_FORMAT;
        frame_writer_sized(w, text, n, n_max);
}

FrameWriter frame_writer(FrameBuffer *buffer, uint32_t type) {
        FrameWriter w = {.buffer = buffer};

        frame_writer_u32(&w, type);
        frame_writer_u32(&w, 0);
        return w;
}

int frame_writer_end(FrameWriter *w) {
        if (w->r == 0)
                put_le32(w->buffer->bytes + (w->buffer->n - w->n_frame) + 4, (uint32_t) (w->n_frame - FRAME_HEADER_SIZE));
        else
                w->buffer->n -= w->n_frame;
        return w->r;
}

int frame_put(FrameBuffer *buffer, uint32_t type, const void *payload, size_t n_payload) {
        FrameWriter w = frame_writer(buffer, type);

        frame_writer_bytes(&w, payload, n_payload);
        return frame_writer_end(&w);
}

int frame_put_u32(FrameBuffer *buffer, uint32_t type, uint32_t value) {
        FrameWriter w = frame_writer(buffer, type);

        frame_writer_u32(&w, value);
        return frame_writer_end(&w);
}

int frame_put_text(FrameBuffer *buffer, uint32_t type, const char *text) {
        FrameWriter w = frame_writer(buffer, type);

        frame_writer_clean(&w, text, strlen(text), FRAME_TEXT_MAX);
        return frame_writer_end(&w);
}

/* --- getting --- */

const uint8_t *frame_reader_bytes(FrameReader *r, size_t n) {
        const uint8_t *bytes = r->at;

        if (r->bad || n > r->n) {
                r->bad = true;
                return NULL;
        }
        r->at += n;
        r->n -= n;
        return bytes;
}

void frame_reader_copy(FrameReader *r, uint8_t *ret, size_t n) {
        const uint8_t *bytes = frame_reader_bytes(r, n);

        if (bytes)
                memcpy(ret, bytes, n);
}

uint8_t frame_reader_u8(FrameReader *r) {
        const uint8_t *bytes = frame_reader_bytes(r, 1);

        return bytes ? *bytes : 0;
}

bool frame_reader_bool(FrameReader *r) {
        uint8_t v = frame_reader_u8(r);

        r->bad = r->bad || v > 1;
        return v == 1;
}

uint32_t frame_reader_u32(FrameReader *r) {
        const uint8_t *bytes = frame_reader_bytes(r, 4);

        return bytes ? get_le32(bytes) : 0;
}

uint64_t frame_reader_u64(FrameReader *r) {
        const uint8_t *bytes = frame_reader_bytes(r, 8);

        return bytes ? get_le64(bytes) : 0;
}

const char *frame_reader_sized(FrameReader *r, size_t n_max, size_t *ret_n) {
        const uint8_t *length = frame_reader_bytes(r, 2);

        *ret_n = length ? get_le16(length) : 0;
        if (*ret_n > n_max)
                r->bad = true;
        return (const char *) frame_reader_bytes(r, *ret_n);
}

void frame_reader_text(FrameReader *r, char *ret, size_t n_ret) {
        size_t n;
        const char *text = frame_reader_sized(r, n_ret - 1, &n);

        if (!text)
                return;
        if (!text_valid(text, n)) {
                r->bad = true;
                return;
        }
        memcpy(ret, text, n);
        ret[n] = '\0';
}

int frame_reader_end(const FrameReader *r, bool in_range) {
        return r->bad || r->n > 0 || !in_range ? FRAME_E_FORMAT : 0;
}

int frame_get_u32(uint32_t *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint32_t value = frame_reader_u32(&r);

        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        *ret = value;
        return 0;
}

int frame_get_text(char ret[static 1025], const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        char text[FRAME_TEXT_MAX + 1];

        frame_reader_member(&r, text);
        if (frame_reader_end(&r, true) != 0)
                return FRAME_E_FORMAT;
        memcpy(ret, text, strlen(text) + 1);
        return 0;
}
