/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether two records of one identity say the same, in whatever unit the account was set to when they were exported. */

#include "daemon/common/util.h"
#include "policy/record.h"

/**
 * same_content() - value, codes and payload; not the decimals, which say how an export printed it, nor source and times
 *
 * Where one is in mg/dL and the other in mmol/L, numbers are the same when the device can have meant one glucose: as far
 * apart as rounding to the printed digits explains, and the two factors in use (18 and 18.0182).
 */
bool same_content(const Record *a, const Record *b);
