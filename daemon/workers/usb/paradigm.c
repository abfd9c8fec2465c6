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

enum {
        SLICES = 8, /* bytes at a time ("slicing by 8"): the checksum is most of the time that a page takes */
};

static uint16_t crc16_byte(uint8_t byte) {
        unsigned crc = (unsigned) byte << 8;

        for (unsigned bit = 0; bit != 8; bit++)
                crc = crc & 0x8000 ? (crc << 1 ^ 0x1021) & 0xffff : crc << 1;
        return (uint16_t) crc;
}

/* [k][b]: what byte b becomes when k bytes of zeros follow it. */
static void crc16_tables(uint16_t (*ret)[256]) {
        for (unsigned b = 0; b != 256; b++)
                ret[0][b] = crc16_byte((uint8_t) b);
        for (unsigned k = 1; k != SLICES; k++)
                for (unsigned b = 0; b != 256; b++)
                        ret[k][b] = (uint16_t) (ret[k - 1][b] << 8 ^ ret[0][ret[k - 1][b] >> 8]);
}

uint16_t paradigm_crc16(const uint8_t *bytes, size_t n) {
        static uint16_t tables[SLICES][256];
        const uint16_t(*t)[256] = (const uint16_t(*)[256]) tables;
        unsigned crc = 0xffff;

        if (tables[0][1] == 0)
                crc16_tables(tables);
        for (; n >= SLICES; n -= SLICES, bytes += SLICES)
                crc = t[7][(crc >> 8 ^ bytes[0]) & 0xff] ^ t[6][(crc ^ bytes[1]) & 0xff] ^ t[5][bytes[2]] ^ t[4][bytes[3]] ^ t[3][bytes[4]] ^
                      t[2][bytes[5]] ^ t[1][bytes[6]] ^ (unsigned) t[0][bytes[7]];
        for (; n; n--, bytes++)
                crc = (crc << 8 ^ t[0][(crc >> 8 ^ *bytes) & 0xff]) & 0xffff;
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
