/* SPDX-License-Identifier: Apache-2.0 */

#include "failure.h"

const char *failure_reason(int r) {
        switch (-r) {
        case EIO:
                return "The disk with the wallet's files reports an error. Look after that disk; carewallet doctor says what can still be read.";
        case ENOSPC:
        case EDQUOT:
        case EROFS:
                return "The disk is full or cannot be written. Make room and try again.";
        case ENOMEM:
                return "There is not enough free memory. Close other programs and try again.";
        default:
                return NULL;
        }
}

int call_failed(Call *call, int r) {
        const char *reason = failure_reason(r);

        return reason ? call_refuse(call, "%s", reason) : call_error(call, "org.carewallet.Internal", json_pack("{s:s}", "reason", strerror(r < 0 ? -r : ENOTRECOVERABLE)));
}
