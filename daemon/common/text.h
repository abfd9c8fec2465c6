/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Text that crosses a process boundary or reaches a terminal: UTF-8 without control characters but TAB. */

#include "util.h"

/** text_valid() - UTF-8 (RFC 3629) without control characters (C0 but TAB, DEL, C1) */
bool text_valid(const char *text, size_t n_text);

/**
 * text_clean() - make foreign bytes valid
 * @ret:  n_ret bytes, terminated; what does not fit is cut between characters
 *
 * A byte that is no UTF-8 and a control character each become '?', line breaks a space.
 *
 * Return: bytes in @ret without the terminator.
 */
size_t text_clean(char *ret, size_t n_ret, const char *text, size_t n_text);
