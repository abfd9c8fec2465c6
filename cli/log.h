/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli.h"

/** log_print() - an entry of the ledger in plain words, without its index and time and without a line end */
void log_print(FILE *file, const json_t *entry);
