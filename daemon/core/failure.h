/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the machine refuses, for a person: its disk, its memory. */

#include "server.h"

/** failure_reason() - what a negative errno means and what to do; NULL: only the journal helps */
const char *failure_reason(int r);
/** call_failed() - the last answer: Refused with such a reason, else Internal */
int call_failed(Call *call, int r);
