/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the frames: frame.c has the buffer and the two below, frame-kdf.c, frame-import.c and frame-gate.c the frames of
 * one worker each (frame-import.c those of whatever reads records).
 */

#include "frame.h"

enum {
        FRAME_TEXT_MAX = 1024,
};

/* Putting: the first failure sticks, and takes the whole frame back. */
typedef struct FrameWriter {
        FrameBuffer *buffer;
        size_t n_frame; /* bytes of this frame so far; room for the header is part of it */
        int r;
} FrameWriter;

FrameWriter frame_writer(FrameBuffer *buffer, uint32_t type);
/** frame_writer_end() - the frame is whole: 0, FRAME_E_FORMAT when it can't be (then there is none), -ENOMEM */
must_check int frame_writer_end(FrameWriter *w);
/** frame_writer_space() - @n bytes to be filled in; NULL when that failed */
void *frame_writer_space(FrameWriter *w, size_t n);
void frame_writer_bytes(FrameWriter *w, const void *bytes, size_t n);
void frame_writer_u8(FrameWriter *w, uint8_t v);
void frame_writer_u16(FrameWriter *w, uint16_t v);
void frame_writer_u32(FrameWriter *w, uint32_t v);
void frame_writer_u64(FrameWriter *w, uint64_t v);
/** frame_writer_sized() - u32 n, bytes; n is at most @n_max */
void frame_writer_sized(FrameWriter *w, const char *bytes, size_t n, size_t n_max);
/** frame_writer_clean() - foreign text, made valid and cut */
void frame_writer_clean(FrameWriter *w, const char *text, size_t n_text, size_t n_max);
/** frame_writer_exact() - our own text: it fits and is valid, or there is no frame */
void frame_writer_exact(FrameWriter *w, const char *text, size_t n_max);
/* A char[] member: what is in the struct, without the terminator. */
#define frame_writer_member(w, member) frame_writer_clean(w, member, strnlen(member, sizeof(member)), sizeof(member) - 1)

/* Getting: running out of bytes sticks, what is left over at the end is an error. */
typedef struct FrameReader {
        const uint8_t *at;
        size_t n;
        bool bad;
} FrameReader;

/** frame_reader_end() - all was read, and was in range: 0 or FRAME_E_FORMAT */
must_check int frame_reader_end(const FrameReader *r, bool in_range);
const uint8_t *frame_reader_bytes(FrameReader *r, size_t n);
void frame_reader_copy(FrameReader *r, uint8_t *ret, size_t n);
uint8_t frame_reader_u8(FrameReader *r);
bool frame_reader_bool(FrameReader *r);
uint32_t frame_reader_u32(FrameReader *r);
uint64_t frame_reader_u64(FrameReader *r);
const char *frame_reader_sized(FrameReader *r, size_t n_max, size_t *ret_n);
/** frame_reader_text() - a valid text, terminated in @ret, which has @n_ret bytes */
void frame_reader_text(FrameReader *r, char *ret, size_t n_ret);
#define frame_reader_member(r, member) frame_reader_text(r, member, sizeof(member))
