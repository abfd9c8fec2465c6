/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The recovery kit: one printed A4 page with the recovery code as text and QR code, and what to do with it. */

#include "daemon/common/secret.h"

/**
 * kit_make() - a PDF (ISO 32000-1) with the standard fonts, no compression and nothing that runs
 * @code:       text of the recovery code, terminated
 * @wallet_id:  base64url
 * @day:        "2026-03-14"
 * @ret_n:      bytes of the file; the secret is larger
 */
must_check int kit_make(Secret **ret, size_t *ret_n, const Secret *code, const char *wallet_id, const char *day);
