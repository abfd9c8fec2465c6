/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A complete export of a wallet, on its way into another: daemon/FORMAT.md, "complete export". One pass over a regular file,
 * a line at a time, its hash over all of them; what comes out is frames.
 */

#include "import.h"

enum {
        EVERYTHING_LINE_MAX = 1024 * 1024, /* bytes; the report of an import with all notes that it can have is a quarter of it */
};

/** everything_is() - whether a file begins like one, of whatever version */
bool everything_is(int fd);

/**
 * everything_run() - read one
 * @fd:          borrowed
 * @out:         FRAME_RESTORE and what belongs to it, and FRAME_IMPORT_PROGRESS
 * @flush:       empties @out when it has about 64 KiB; negative errno ends it and is passed up
 * @ret_end:     n_records: the rows by kind
 * @ret_refusal: with IMPORT_E_REFUSED: what is wrong and what to do next. Frames may have been given out before
 *
 * Only the last line says that all was right. Return: 0; IMPORT_E_REFUSED; negative errno.
 */
must_check int everything_run(int fd, FrameBuffer *out, int (*flush)(FrameBuffer *out, void *userdata), void *userdata, FrameImportEnd *ret_end,
                              char ret_refusal[static IMPORT_REFUSAL_MAX]);
