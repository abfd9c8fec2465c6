/* SPDX-License-Identifier: Apache-2.0 */

#include "kit.h"

#include <stdarg.h>

#include "qr.h"

enum { /* points of 1/72 inch; the origin is below on the left */
        PAGE_WIDTH = 595, /* A4 */
        PAGE_HEIGHT = 842,
        MARGIN = 56,
        QR_SIZE = 170,
        SIZE_MAX_BYTES = 64 * 1024,
        N_OBJECTS = 7,
};

typedef struct Text {
        char *bytes; /* a secret's */
        size_t n, n_max;
        bool full;
} Text;

static printf_like(2, 3) void add(Text *text, const char *format, ...) {
        va_list list;
        int n;

        va_start(list, format);
        n = vsnprintf(text->bytes + text->n, text->n_max - text->n, format, list);
        va_end(list);
        if (n < 0 || (size_t) n >= text->n_max - text->n)
                text->full = true;
        else
                text->n += (size_t) n;
}

/* ASCII without parentheses and backslashes, which PDF would want escaped: all of it is ours. */
static void add_line(Text *text, const char *font, int size, int x, int y, const char *line, size_t n) {
        add(text, "BT /%s %d Tf %d %d Td (%.*s) Tj ET\n", font, size, x, y, (int) n, line);
}

static void add_text(Text *text, const char *font, int size, int x, int y, const char *line) {
        add_line(text, font, size, x, y, line, strlen(line));
}

static void add_qr(Text *text, const Qr *qr, int left, int bottom) {
        unsigned n = qr_width(qr);
        double module = (double) QR_SIZE / n;

        for (unsigned y = 0; y < n; y++)
                for (unsigned x = 0; x < n; x++) {
                        unsigned begin = x;

                        while (x < n && qr_is_dark(qr, x, y))
                                x++;
                        if (x > begin) /* a little higher than a module: no hairlines between rows */
                                add(text, "%.3f %.3f %.3f %.3f re\n", left + begin * module, bottom + (n - 1 - y) * module, (x - begin) * module, module + 0.05);
                }
        add(text, "f\n");
}

static void add_page(Text *text, const Qr *qr, const char *code, const char *wallet_id, const char *day) {
        static const char *const paragraphs[] = {
                "Keep this page as you keep a passport: on paper, away from the computer.",
                "Whoever has it and your computer's disk has your data. Nobody else has a copy.",
                "",
                "*When the passphrase is forgotten",
                "1. In a terminal of the computer with the wallet:   carewallet unlock --recovery",
                "2. Type the code. Capitals or not, with or without hyphens; O counts as 0, I and L as 1.",
                "    If a character is mistyped, the group in which it is will be named.",
                "3. Set a new passphrase, for which you type it again:   carewallet key change --recovery",
                "",
                "*When the phone with the codes is lost",
                "    carewallet totp enrol --recovery",
                "",
                "*When somebody may have seen this page",
                "    carewallet key recovery --pdf new-kit.pdf   makes a new code, and this one is void.",
                "",
                "*This page does not replace a backup",
                "It opens the wallet on the computer, or one that you restore from a backup. It holds none of",
                "your data: if the computer is lost and there is no backup, the code opens nothing.",
                "Make one:   carewallet backup FILE",
        };
        char label[64];
        int y;

        add_text(text, "B", 22, MARGIN, PAGE_HEIGHT - 80, "carewallet recovery kit");
        (void) snprintf(label, sizeof(label), "Wallet %s", wallet_id);
        add_text(text, "R", 11, MARGIN, PAGE_HEIGHT - 102, label);
        (void) snprintf(label, sizeof(label), "Made on %s. An older kit of this wallet is void.", day);
        add_text(text, "R", 11, MARGIN, PAGE_HEIGHT - 118, label);

        add_qr(text, qr, MARGIN, PAGE_HEIGHT - 318);
        add_text(text, "B", 12, MARGIN + QR_SIZE + 34, PAGE_HEIGHT - 168, "Recovery code");
        for (int i = 0; i < 4; i++) { /* two groups a line: easy to read out and to type */
                size_t n = strlen(code) < (size_t) i * 12 + 11 ? strlen(code) - (size_t) i * 12 : 11;

                add_line(text, "C", 20, MARGIN + QR_SIZE + 34, PAGE_HEIGHT - 200 - 30 * i, code + (ptrdiff_t) i * 12, n);
        }

        y = PAGE_HEIGHT - 362;
        for (size_t i = 0; i < N_ELEMENTS(paragraphs); i++, y -= 19) {
                bool heading = paragraphs[i][0] == '*';

                if (paragraphs[i][0] != '\0')
                        add_text(text, heading ? "B" : "R", heading ? 12 : 11, MARGIN, y, paragraphs[i] + heading);
        }
}

/* --- the file around it --- */

static void add_file(Text *file, const Text *page) {
        static const char *const fonts[] = {"Helvetica", "Helvetica-Bold", "Courier-Bold"}; /* of the standard 14, 9.6.2.2 */
        size_t at[N_OBJECTS + 1], at_xref;
        unsigned number = 0;

        add(file, "%%PDF-1.4\n");
        at[++number] = file->n;
        add(file, "1 0 obj\n<< /Type /Catalog /Pages 2 0 R >>\nendobj\n");
        at[++number] = file->n;
        add(file, "2 0 obj\n<< /Type /Pages /Kids [3 0 R] /Count 1 >>\nendobj\n");
        at[++number] = file->n;
        add(file, "3 0 obj\n<< /Type /Page /Parent 2 0 R /MediaBox [0 0 %d %d] /Contents 4 0 R /Resources << /Font << /R 5 0 R /B 6 0 R /C 7 0 R >> >> >>\nendobj\n",
            PAGE_WIDTH, PAGE_HEIGHT);
        at[++number] = file->n;
        add(file, "4 0 obj\n<< /Length %zu >>\nstream\n%s\nendstream\nendobj\n", page->n, page->bytes);
        for (size_t i = 0; i < N_ELEMENTS(fonts); i++) {
                at[++number] = file->n;
                add(file, "%u 0 obj\n<< /Type /Font /Subtype /Type1 /BaseFont /%s /Encoding /WinAnsiEncoding >>\nendobj\n", number, fonts[i]);
        }
        at_xref = file->n;
        add(file, "xref\n0 %u\n0000000000 65535 f \n", number + 1);
        for (unsigned i = 1; i <= number; i++)
                add(file, "%010zu 00000 n \n", at[i]);
        add(file, "trailer\n<< /Size %u /Root 1 0 R >>\nstartxref\n%zu\n%%%%EOF\n", number + 1, at_xref);
}

int kit_make(Secret **ret, size_t *ret_n, const Secret *code, const char *wallet_id, const char *day) {
        cleanup(secret_freep) Secret *content = NULL, *whole = NULL;
        const char *code_text = (const char *) secret_data(code);
        Text page = {.n_max = SIZE_MAX_BYTES}, file = {.n_max = SIZE_MAX_BYTES};
        cleanup(qr_freep) Qr *qr = NULL;
        int r;

        r = qr_new(&qr, code_text);
        if (r == 0)
                r = secret_new(&content, SIZE_MAX_BYTES);
        if (r == 0)
                r = secret_new(&whole, SIZE_MAX_BYTES);
        if (r < 0)
                return r;
        page.bytes = (char *) secret_data(content);
        file.bytes = (char *) secret_data(whole);
        add_page(&page, qr, code_text, wallet_id, day);
        add_file(&file, &page);
        if (page.full || file.full)
                return -EMSGSIZE;
        *ret = take_ptr(whole);
        *ret_n = file.n;
        return 0;
}
