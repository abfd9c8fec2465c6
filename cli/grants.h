/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

#include "cli.h"

/** grants_print() - one grant of daemon/PROTOCOL.md in plain words, some lines */
void grants_print(FILE *file, const json_t *grant);
/** grants_print_scope() - what of, and of when, in half a sentence */
void grants_print_scope(FILE *file, const json_t *grant);
/** grants_purpose() - a code of HL7 v3 ActReason in words; one that is not known stays as it is */
const char *grants_purpose(const char *purpose);
