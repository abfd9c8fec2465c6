/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * CareLink CSV in, records out. Two passes over a regular file with fixed buffers: the first finds out what the file is
 * (survey.h), the second turns every data row into a record, a part of another row's record, or a rejection.
 */

#include "daemon/common/frame.h"
#include "daemon/common/util.h"
#include "daemon/common/zones.h"

enum {
        IMPORT_FILE_MAX = 1024 * 1024 * 1024, /* bytes */
        IMPORT_LINE_MAX = 64 * 1024,          /* bytes, line end left out; a longer one is no CareLink row */
        IMPORT_COLUMNS_MAX = 512,             /* CareLink has 39 to 54 */
        IMPORT_SECTIONS_MAX = 64,             /* a device has two or three */
        IMPORT_DEVICES_MAX = 16,              /* devices in the preamble of the legacy form */
        IMPORT_WINDOW = 2048,                 /* rows that are held to find what belongs together */
        IMPORT_REFUSAL_MAX = 512,             /* bytes of the text that says why, terminator included */

        IMPORT_E_REFUSED = 1, /* the file as a whole can't be imported */
};

/*
 * Where the results go. Each returns 0, or negative errno, which ends the import and is passed up. All pointers are
 * borrowed for the call. The last two may be NULL.
 */
typedef struct ImportSink {
        void *userdata;
        int (*source)(void *userdata, const FrameImportSource *source);
        int (*record)(void *userdata, uint32_t line, const Record *record, bool is_extra);
        int (*rejected)(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row);
        int (*note)(void *userdata, const char *text);
        int (*progress)(void *userdata, uint64_t n_done, uint64_t n_all);
        int (*merged)(void *userdata, uint32_t line, uint32_t into_line, unsigned kind);
} ImportSink;

/**
 * import_run() - import one file
 * @fd:          borrowed; anything: what is no regular file is refused without a read
 * @zones:       those that @request names
 * @sink:        called as results come, a source before its first record
 * @ret_end:     counts, as promised in FrameImportEnd
 * @ret_refusal: what is wrong and what to do next; set with IMPORT_E_REFUSED only. Records may have been given out before.
 *
 * Return: 0; IMPORT_E_REFUSED; -ENOMEM; what the sink returned.
 */
must_check int import_run(int fd, const FrameImportRequest *request, Zones *zones, const ImportSink *sink, FrameImportEnd *ret_end,
                          char ret_refusal[static IMPORT_REFUSAL_MAX]);
