/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How the socket names one record: kind.local_ms.identity, the identity as 32 hex digits. */

#include "records.h"

enum {
        QUARANTINE_NAME_MAX = 80, /* bytes, terminator included */

        QUARANTINE_E_NAME = 1,
};

/** quarantine_read_name() - @text may be NULL; QUARANTINE_E_NAME */
must_check int quarantine_read_name(RecordsName *ret, const char *text);
