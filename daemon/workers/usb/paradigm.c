/* SPDX-License-Identifier: Apache-2.0 */

#include "paradigm.h"

#include "daemon/common/civil.h"

#include <stdio.h>
#include <string.h>

/* Names as in CareLink's exports. */
static const struct {
        unsigned number;
        const char *name;
} models[] = {
        { 511, "Paradigm 511" },
        { 512, "Paradigm 512" },
        { 711, "Paradigm 711" },
        { 712, "Paradigm 712" },
        { 515, "Paradigm 515" },
        { 715, "Paradigm 715" },
        { 522, "Paradigm 522" },
        { 722, "Paradigm 722" },
        { 523, "Paradigm Revel - 523" },
        { 723, "Paradigm Revel - 723" },
        { 551, "MiniMed 530G - 551" },
        { 751, "MiniMed 530G - 751" },
        { 554, "Paradigm Veo - 554" },
        { 754, "Paradigm Veo - 754" },
};

int paradigm_model(const char *digits, size_t n_digits, ParadigmModel *ret) {
        ParadigmModel model = { 0 };
        unsigned number = 0;

        if (n_digits != 3)
                return PARADIGM_E_UNKNOWN;
        for (size_t i = 0; i != n_digits; i++) {
                if (digits[i] < '0' || digits[i] > '9')
                        return PARADIGM_E_UNKNOWN;
                number = number * 10 + (unsigned) (digits[i] - '0');
        }

        for (size_t i = 0; i != N_ELEMENTS(models); i++) {
                if (models[i].number != number)
                        continue;
                model.number = number;
                model.group = number % 100 < 15 ? PARADIGM_X12 : number % 100 < 22 ? PARADIGM_X15
                                                             : number % 100 < 23   ? PARADIGM_X22
                                                                                   : PARADIGM_X23;
                model.has_long_sensor_setup = number % 100 > 23;
                (void) snprintf(model.name, sizeof(model.name), "%s", models[i].name);
                *ret = model;
                return 0;
        }
        return PARADIGM_E_UNKNOWN;
}

uint8_t paradigm_crc8(const uint8_t *bytes, size_t n) {
        unsigned crc = 0;

        for (size_t i = 0; i != n; i++) {
                crc ^= bytes[i];
                for (unsigned bit = 0; bit != 8; bit++)
                        crc = crc & 0x80 ? (crc << 1 ^ 0x9b) & 0xff : crc << 1;
        }
        return (uint8_t) crc;
}

/* x^4 at a time: small enough to read, fast enough for 300 MB/s. */
static const uint16_t crc16_nibble[16] = {
        0x0000, 0x1021, 0x2042, 0x3063, 0x4084, 0x50a5, 0x60c6, 0x70e7,
        0x8108, 0x9129, 0xa14a, 0xb16b, 0xc18c, 0xd1ad, 0xe1ce, 0xf1ef,
};

uint16_t paradigm_crc16(const uint8_t *bytes, size_t n) {
        unsigned crc = 0xffff;

        for (size_t i = 0; i != n; i++) {
                crc = (crc << 4 ^ crc16_nibble[(crc >> 12 ^ bytes[i] >> 4) & 0xf]) & 0xffff;
                crc = (crc << 4 ^ crc16_nibble[(crc >> 12 ^ bytes[i]) & 0xf]) & 0xffff;
        }
        return (uint16_t) crc;
}

int paradigm_page_check(const uint8_t *page, size_t n) {
        if (n != PARADIGM_PAGE_SIZE)
                return PARADIGM_E_SIZE;
        return paradigm_crc16(page, PARADIGM_PAGE_SIZE - 2) == paradigm_be16(page + PARADIGM_PAGE_SIZE - 2) ? 0 : PARADIGM_E_CRC;
}

int paradigm_isig_check(const uint8_t *page, size_t n) {
        if (n != PARADIGM_ISIG_PAGE_SIZE)
                return PARADIGM_E_SIZE;
        return paradigm_crc16(page, PARADIGM_ISIG_PAGE_SIZE - 4) == ((unsigned) page[2044] << 8 | page[2046]) ? 0 : PARADIGM_E_CRC;
}

static bool moment(unsigned year, unsigned month, unsigned day, unsigned hour, unsigned min, unsigned s, int64_t *ret_ms) {
        static const uint8_t days[] = { 31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31 };
        unsigned last;

        if (month < 1 || month > 12 || hour > 23 || min > 59 || s > 59 || year > 2099)
                return false;
        last = days[month - 1] + (month == 2 && year % 4 == 0 ? 1u : 0u); /* 2000 to 2099 */
        if (day < 1 || day > last)
                return false;

        *ret_ms = (int64_t) civil_to_days((Civil) { (int32_t) year, (int32_t) month, (int32_t) day }) * 86400000 +
                  (int64_t) (hour * 3600 + min * 60 + s) * 1000;
        return true;
}

/* Its bits are spread over two bytes. */
static unsigned month_of(unsigned high, unsigned n_low, unsigned low) {
        return high << n_low | low;
}

bool paradigm_time5(const uint8_t b[static 5], int64_t *ret_ms) {
        return moment(2000u + (b[4] & 0x7f), month_of(b[0] >> 6, 2, b[1] >> 6), b[3] & 0x1f, b[2] & 0x1f, b[1] & 0x3f, b[0] & 0x3f, ret_ms);
}

bool paradigm_time4(const uint8_t b[static 4], int64_t *ret_ms) {
        return moment(2000u + (b[3] & 0x7f), month_of(b[0] >> 6, 2, b[1] >> 6), b[2] & 0x1f, b[0] & 0x1f, b[1] & 0x3f, 0, ret_ms);
}

bool paradigm_day2(const uint8_t b[static 2], int64_t *ret_ms) {
        return moment(2000u + (b[1] & 0x7f), month_of(b[0] >> 5, 1, b[1] >> 7), b[0] & 0x1f, 0, 0, 0, ret_ms);
}

bool paradigm_clock(const uint8_t b[static 7], int64_t *ret_ms) {
        return paradigm_be16(b + 3) >= 2000 && moment(paradigm_be16(b + 3), b[5], b[6], b[0], b[1], b[2], ret_ms);
}
