/* SPDX-License-Identifier: Apache-2.0 */

#include "qr.h"

#include <qrencode.h>

struct Qr {
        QRcode *code;
};

int qr_new(Qr **ret, const char *text) {
        cleanup(qr_freep) Qr *qr = calloc(1, sizeof(*qr));

        if (!qr)
                return -ENOMEM;
        /* Q: a quarter of it may be lost to a fold or a stain */
        qr->code = QRcode_encodeString(text, 0, QR_ECLEVEL_Q, QR_MODE_8, 1);
        if (!qr->code)
                return errno == ERANGE ? -ERANGE : -ENOMEM;
        *ret = take_ptr(qr);
        return 0;
}

Qr *qr_free(Qr *qr) {
        if (qr) {
                if (qr->code)
                        explicit_bzero(qr->code->data, (size_t) qr->code->width * (size_t) qr->code->width);
                QRcode_free(qr->code);
                free(qr);
        }
        return NULL;
}

unsigned qr_width(const Qr *qr) {
        return (unsigned) qr->code->width;
}

bool qr_is_dark(const Qr *qr, unsigned x, unsigned y) {
        return qr->code->data[y * qr_width(qr) + x] & 1;
}

static bool dark_at(const Qr *qr, int x, int y) {
        int width = (int) qr_width(qr);

        return x >= 0 && y >= 0 && x < width && y < width && qr_is_dark(qr, (unsigned) x, (unsigned) y);
}

void qr_print(FILE *file, const Qr *qr) {
        int end = (int) qr_width(qr) + QR_QUIET;

        for (int y = -QR_QUIET; y < end; y += 2) {
                fputs("\033[30;107m", file); /* black on white */
                for (int x = -QR_QUIET; x < end; x++) {
                        bool upper = dark_at(qr, x, y), lower = dark_at(qr, x, y + 1);

                        fputs(upper ? lower ? "\u2588" : "\u2580" : lower ? "\u2584" : " ", file);
                }
                fputs("\033[0m\n", file);
        }
}
