/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The structure of a CareLink file, line by line: preamble, section lines, header rows, data rows. Used by both passes. */

#include "columns.h"
#include "identity.h"

typedef enum ScanItem {
        SCAN_END,
        SCAN_PREAMBLE, /* anything before the first header that says nothing to us */
        SCAN_SECTION,  /* scanner->section is new */
        SCAN_HEADER,   /* scanner->columns are new */
        SCAN_ROW,      /* a data row: scanner->row, as many cells as columns */
        SCAN_BAD,      /* a data row that can't be read: scanner->bad says why */
        SCAN_BLANK,
} ScanItem;

enum {
        SCAN_E_LINE = 1,  /* a line over IMPORT_LINE_MAX */
        SCAN_E_SECTIONS,  /* more than IMPORT_SECTIONS_MAX */
        SCAN_E_BINARY,    /* NUL bytes at the start: no text */
        SCAN_E_HEADER,    /* the first header can't be split */
};

/* One section, or in the legacy form one device of the preamble. */
typedef struct Device {
        char model[96];
        char serial[64];
        char section[32]; /* "pump", "sensor", "meter", or "" */
        uint8_t key[IDENTITY_DEVICE_SIZE];
} Device;

static_assert(IMPORT_SECTIONS_MAX <= 64, "a bit for each section");

typedef struct Scanner {
        Reader reader;
        char delimiter;          /* 0 until the first header */
        bool is_legacy;          /* the header has Raw-Type */
        unsigned day_first;      /* DATE_SHAPE_BIT()s, as found out by the survey; survives scan_rewind() */
        uint64_t sensors;        /* bit per section, from the first on, that has sensor readings; as day_first */
        bool is_aggregated;      /* the section holds daily totals of insulin that other rows hold too */
        unsigned section;        /* 0 before the first section line, then 1.. */
        Device device;           /* of the section */
        Device devices[IMPORT_DEVICES_MAX]; /* of a legacy preamble */
        unsigned n_devices;
        Columns columns;
        Row row;
        char bad[160];
        const char *line;        /* the raw line; a row with quotes has been changed by row_split() */
        size_t n_line;
} Scanner;

/** scan_init() - returns as reader_init() */
must_check int scan_init(Scanner *scanner, int fd);
void scan_rewind(Scanner *scanner);
/** scan_next() - Return: 0 and an item; SCAN_E_...; negative errno */
must_check int scan_next(Scanner *scanner, ScanItem *ret_item);
/** scan_section_word() - "pump", "sensor", "meter" or "": in another language what the section holds tells */
const char *scan_section_word(const Scanner *scanner);
/** scan_device() - of a data row: the section's, or the one of the preamble that Raw-Device Type names; @scratch has room for one */
const Device *scan_device(const Scanner *scanner, Device *scratch);
