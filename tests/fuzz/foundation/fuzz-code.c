/* SPDX-License-Identifier: Apache-2.0 */

/* Any text as a code to step up: what is read is of one of two forms, and reading it again changes nothing. */

#include "daemon/common/code.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        char code[CODE_TEXT_SIZE] = "kept", again[CODE_TEXT_SIZE];

        if (code_read(code, (const char *) bytes, n) != 0) {
                check(strcmp(code, "kept") == 0);
                return 0;
        }
        check(strlen(code) == CODE_ONE_TIME || (strlen(code) == CODE_DIGITS && strspn(code, "0123456789") == CODE_DIGITS));
        check(code_read(again, code, strlen(code)) == 0 && strcmp(code, again) == 0);
        return 0;
}
