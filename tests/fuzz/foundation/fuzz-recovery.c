/* SPDX-License-Identifier: Apache-2.0 */

/* Any text as a recovery code; the first 20 bytes as a code that must come back. */

#include "daemon/common/recovery.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        uint8_t code[RECOVERY_SIZE], back[RECOVERY_SIZE];
        char text[RECOVERY_TEXT_SIZE];
        unsigned group = 0;

        switch (recovery_decode(code, (const char *) bytes, n, &group)) {
        case 0:
                recovery_encode(text, code);
                check(recovery_decode(back, text, sizeof(text) - 1, NULL) == 0);
                check(memcmp(code, back, sizeof(code)) == 0);
                break;
        case RECOVERY_E_GROUP:
                check(group >= 1 && group <= RECOVERY_N_GROUPS);
                break;
        default:
                break;
        }
        if (n >= RECOVERY_SIZE) {
                recovery_encode(text, bytes);
                check(recovery_decode(back, text, sizeof(text) - 1, NULL) == 0);
                check(memcmp(bytes, back, sizeof(back)) == 0);
        }
        return 0;
}
