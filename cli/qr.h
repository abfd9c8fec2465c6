/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* QR codes (libqrencode), as modules and on the terminal. */

#include "daemon/common/util.h"

enum {
        QR_QUIET = 4, /* modules around it: ISO/IEC 18004, 5.3.8 */
};

typedef struct Qr Qr;

/** qr_new() - of printable ASCII. -ENOMEM; -ERANGE: too long */
must_check int qr_new(Qr **ret, const char *text);
Qr *qr_free(Qr *qr);
DEFINE_CLEANUP(Qr *, qr_free)
unsigned qr_width(const Qr *qr); /* modules, without the quiet zone */
bool qr_is_dark(const Qr *qr, unsigned x, unsigned y);

/** qr_print() - in half blocks of UTF-8, dark on light whatever the terminal's colours are, two modules a character */
void qr_print(FILE *file, const Qr *qr);
