/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A new recovery code: made here, and on the disk or paper before it counts. */

#include "daemon/common/secret.h"

/** recovery_code_make() - random, as text, terminated; -ENOMEM */
must_check int recovery_code_make(Secret **ret);
/** recovery_code_misfit() - why a new code can't go where the options say, in words; NULL: it can. It is a secret: on paper or in a file, never in JSON */
const char *recovery_code_misfit(const char *out, const char *pdf, bool json);
/** recovery_code_write() - to the new file @out as a line, or to @pdf as recovery kit: mode 0600, on the disk when it returns. One of them is NULL. Negative errno: there is no file */
must_check int recovery_code_write(const char *out, const char *pdf, const Secret *code, const char *wallet_id);
/** recovery_code_show() - on standard output; negative errno */
must_check int recovery_code_show(const Secret *code);
