/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Files that hold a pump's memory, as another program or carewallet itself read it: pages as they are, one behind the other
 * (history and glucose pages of 1,024 bytes, a glucose page's sensor currents, 2,048 bytes, behind it), the same as hex
 * digits, or the transcript of a session (trace.h). They become what the same pump read by USB becomes.
 *
 * A page does not say whose it is. Model and serial come from the transcript or from the patient, and are never guessed.
 */

#include "daemon/common/zones.h"
#include "daemon/workers/import/import.h"

enum {
        PAGES_FILE_MAX = 16 * 1024 * 1024, /* bytes; a session's transcript has about 1 MiB */
};

/** pages_is() - whether a file looks like one of these; true for every file of which the patient said a pump's model */
bool pages_is(int fd, const FrameImportRequest *request);

/**
 * pages_run() - import one such file
 *
 * As import_run(), but for the line numbers given to the sink: they are 0, each reason says the page. The sink's progress
 * and merged are not called.
 */
must_check int pages_run(int fd, const FrameImportRequest *request, Zones *zones, const ImportSink *sink, FrameImportEnd *ret_end,
                         char ret_refusal[static IMPORT_REFUSAL_MAX]);
