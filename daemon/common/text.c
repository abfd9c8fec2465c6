/* SPDX-License-Identifier: Apache-2.0 */

#include "text.h"

/* Bytes of the UTF-8 character at @text, 0 when it is none or a control character. */
static size_t character(const uint8_t *text, size_t n) {
        static const uint32_t smallest[] = {0, 0, 0x80, 0x800, 0x10000}; /* RFC 3629, 3: overlong forms are invalid */
        uint32_t code;
        size_t length;

        if (text[0] < 0x80)
                return text[0] == '\t' || (text[0] >= 0x20 && text[0] != 0x7f);

        if ((text[0] & 0xe0) == 0xc0) {
                length = 2;
                code = text[0] & 0x1f;
        } else if ((text[0] & 0xf0) == 0xe0) {
                length = 3;
                code = text[0] & 0x0f;
        } else if ((text[0] & 0xf8) == 0xf0) {
                length = 4;
                code = text[0] & 0x07;
        } else
                return 0;

        if (length > n)
                return 0;
        for (size_t i = 1; i < length; i++) {
                if ((text[i] & 0xc0) != 0x80)
                        return 0;
                code = code << 6 | (text[i] & 0x3f);
        }
        if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff) || code < 0xa0)
                return 0;
        return length;
}

bool text_valid(const char *text, size_t n_text) {
        const uint8_t *bytes = (const uint8_t *) text;

        for (size_t at = 0, length; at < n_text; at += length) {
                length = character(bytes + at, n_text - at);
                if (length == 0)
                        return false;
        }
        return true;
}

size_t text_clean(char *ret, size_t n_ret, const char *text, size_t n_text) {
        const uint8_t *bytes = (const uint8_t *) text;
        size_t n = 0;

        assert(n_ret > 0);

        for (size_t at = 0; at < n_text;) {
                size_t length = character(bytes + at, n_text - at);

                if (n + (length > 0 ? length : 1) > n_ret - 1)
                        break;
                if (length > 0) {
                        memcpy(ret + n, bytes + at, length);
                        n += length;
                        at += length;
                } else {
                        ret[n++] = bytes[at] == '\n' || bytes[at] == '\r' ? ' ' : '?';
                        at++;
                }
        }
        ret[n] = '\0';
        return n;
}
