/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Whether two records of one identity say the same, in whatever unit the account was set to when they were exported. */

#include "daemon/common/util.h"
#include "policy/record.h"

/**
 * same_adds_nothing() - whether @more says nothing that @now does not say: value, codes and payload
 *
 * Decimals say how an export printed it: fewer digits of the same glucose add nothing. Source and times are not looked
 * at. An export may end or begin among the rows of one event and lack some of its fields: then it adds nothing; one with
 * more fields does. Texts that several rows made are compared piece by piece, the numbers of legacy rows not at all.
 * Where one is in mg/dL and the other in mmol/L, numbers are the same when the device can have meant one glucose: as far
 * apart as rounding to the printed digits explains, and the two factors in use (18 and 18.0182).
 */
bool same_adds_nothing(const Record *now, const Record *more);
