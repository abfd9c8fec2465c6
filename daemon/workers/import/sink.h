/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Results as frames to the core: the sink of every worker that gives out records. */

#include "import.h"

/** import_sink() - to descriptor 1 by way of @out, which the caller owns; what is held back goes with import_sink_end() */
ImportSink import_sink(FrameBuffer *out);

/**
 * import_sink_end() - the last frame
 * @r:       what the job returned: 0, or > 0 when it was refused; negative: passed up
 * @end:     with 0
 * @refusal: with > 0
 *
 * Return: 0; negative errno.
 */
must_check int import_sink_end(FrameBuffer *out, int r, const FrameImportEnd *end, const char *refusal);
