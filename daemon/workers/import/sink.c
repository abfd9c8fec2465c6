/* SPDX-License-Identifier: Apache-2.0 */

#include "sink.h"

enum {
        FLUSH_BYTES = 64 * 1024,
};

/* One frame put: a frame over its limit is our own mistake. */
static int sent(FrameBuffer *out, int r) {
        if (r)
                return fold(r);
        return out->n >= FLUSH_BYTES ? frame_write_all(out, STDOUT_FILENO) : 0;
}

static int put_source(void *userdata, const FrameImportSource *source) {
        return sent(userdata, frame_put_import_source(userdata, source));
}

static int put_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        (void) is_extra;
        return sent(userdata, frame_put_import_record(userdata, line, record));
}

static int put_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        return sent(userdata, frame_put_import_rejected(userdata, line, reason, row, n_row));
}

static int put_note(void *userdata, const char *text) {
        return sent(userdata, frame_put_text(userdata, FRAME_IMPORT_NOTE, text));
}

/* Of use now or not at all. */
static int put_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        int r = frame_put_import_progress(userdata, n_done, n_all);

        return r ? fold(r) : frame_write_all(userdata, STDOUT_FILENO);
}

ImportSink import_sink(FrameBuffer *out) {
        return (ImportSink) {
                .userdata = out, .source = put_source, .record = put_record, .rejected = put_rejected,
                .note = put_note, .progress = put_progress,
        };
}

int import_sink_end(FrameBuffer *out, int r, const FrameImportEnd *end, const char *refusal) {
        if (r < 0)
                return r;
        r = r == 0 ? frame_put_import_end(out, end) : frame_put_text(out, FRAME_IMPORT_REFUSED, refusal);
        return r ? fold(r) : frame_write_all(out, STDOUT_FILENO);
}
