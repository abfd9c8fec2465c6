/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli.h"

/** grants_print() - one grant of daemon/PROTOCOL.md in plain words, some lines */
void grants_print(FILE *file, const json_t *grant);
