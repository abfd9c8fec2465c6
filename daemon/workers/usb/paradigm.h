/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * What all decoders of Medtronic Paradigm-class pumps share: checksums, models, the pump's packed times.
 *
 * Pure functions over bytes. The layouts were checked against captured pages and the maker's own CSV exports of the
 * same pumps; tests/unit/usb says which.
 */

#include "daemon/common/util.h"

enum {
        PARADIGM_PAGE_SIZE = 1024,      /* history and glucose pages, CRC included */
        PARADIGM_ISIG_PAGE_SIZE = 2048, /* sensor current of one glucose page, a 16-bit slot each */
        PARADIGM_SERIAL_SIZE = 7,       /* six digits and a terminator */
        PARADIGM_NAME_SIZE = 32,

        PARADIGM_E_UNKNOWN = 1, /* no such model */
        PARADIGM_E_SIZE,        /* not the size of a page */
        PARADIGM_E_CRC,         /* the page's checksum is wrong */
};

/* What a model's records look like. */
typedef enum ParadigmGroup {
        PARADIGM_X12, /* 511, 512, 711, 712 */
        PARADIGM_X15, /* 515, 715 */
        PARADIGM_X22, /* 522, 722 */
        PARADIGM_X23, /* 523, 723 and all later: insulin in 1/40 U, longer records */
} ParadigmGroup;

typedef struct ParadigmModel {
        unsigned number; /* 522 */
        ParadigmGroup group;
        bool has_long_sensor_setup;    /* 551, 554, 751, 754 */
        char name[PARADIGM_NAME_SIZE]; /* as CareLink calls it: part of the device's identity */
} ParadigmModel;

/** paradigm_model() - from its three digits. Return: 0; PARADIGM_E_UNKNOWN. */
must_check int paradigm_model(const char *digits, size_t n_digits, ParadigmModel *ret);

/** paradigm_crc8() - polynomial 0x9b, from 0: packets and frames of the stick */
uint8_t paradigm_crc8(const uint8_t *bytes, size_t n);
/** paradigm_crc16() - polynomial 0x1021, from 0xffff ("CCITT-FALSE"): pages */
uint16_t paradigm_crc16(const uint8_t *bytes, size_t n);
/** paradigm_page_check() - a history or glucose page. Return: 0; PARADIGM_E_SIZE; PARADIGM_E_CRC. */
must_check int paradigm_page_check(const uint8_t *page, size_t n);
/** paradigm_isig_check() - the same of an ISIG page */
must_check int paradigm_isig_check(const uint8_t *page, size_t n);

/* The pump's wall clock in milliseconds, as if it were UTC; false when the bytes are no time. */
bool paradigm_time5(const uint8_t bytes[static 5], int64_t *ret_ms); /* history records */
bool paradigm_time4(const uint8_t bytes[static 4], int64_t *ret_ms); /* glucose pages; to the minute */
bool paradigm_day2(const uint8_t bytes[static 2], int64_t *ret_ms);  /* the day of a daily total, its midnight */
/** paradigm_clock() - answer to the clock opcode: h, m, s, year, month, day */
bool paradigm_clock(const uint8_t bytes[static 7], int64_t *ret_ms);

static inline unsigned paradigm_be16(const uint8_t *p) {
        return (unsigned) p[0] << 8 | p[1];
}
