/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * First pass: what must be known of the whole file before the first record leaves. Whether it is a CareLink file,
 * its decimal mark, whether units fit their values, which way rows are ordered and where the clock went back.
 */

#include "daemon/common/clocks.h"
#include "scan.h"

enum {
        SURVEY_UNITS_MAX = 64,
        SURVEY_RUNS_MAX = 32,    /* of one stream; a file with more is not in an order that tells anything */
        SURVEY_UNKNOWN_MAX = 512, /* bytes */
        SURVEY_DEVICES_MAX = 16,

        SURVEY_E_REFUSED = 1,
};

/* Rows of one section whose order tells where the clock went back: sensor readings are listed apart from the rest. */
typedef enum StreamId {
        STREAM_READINGS,
        STREAM_EVENTS,
        N_STREAMS,
} StreamId;

/* What a run shows of the clock; first later than last: nothing. */
typedef struct Span {
        int64_t first_ms, last_ms;
} Span;

/* A part of a stream in which time goes one way. */
typedef struct Run {
        uint32_t line; /* of its first row */
        Span spans[2]; /* of a clock that was set; of one that can have been reset */
} Run;

typedef struct Runs {
        Run runs[SURVEY_RUNS_MAX];
        unsigned n; /* SURVEY_RUNS_MAX + 1: more than that, none is used */
} Runs;

typedef struct Stream {
        Runs runs[2];       /* as if newest first, as if oldest first */
        int64_t last_ms;
        uint32_t n_steps[2]; /* downwards, upwards */
        bool is_begun;
        unsigned at;        /* second pass: the run of the row before */
} Stream;

typedef struct UnitCheck {
        uint8_t column, unit;
        char name[64];
        uint32_t n, n_in, n_other; /* values; in the range of the unit; in the other one's */
        uint32_t line;             /* of the first value out of range */
        char example[16];
} UnitCheck;

typedef struct Survey {
        char decimal;
        uint32_t n_rows;
        uint32_t n_promised; /* rows that a legacy preamble says there are; 0: it does not */
        uint32_t last_index; /* the highest number of a legacy row: they count to n_promised */
        char devices[SURVEY_DEVICES_MAX][96]; /* names in legacy rows */
        unsigned n_devices;
        uint32_t n_dates, n_dates_bad, dates_bad_line;
        char dates_bad[32];
        unsigned shapes;        /* DATE_SHAPE_BIT()s of the dates */
        bool has_long_dates;    /* any but M/D/YY: not the legacy form's own */
        bool has_half_days;     /* a legacy preamble says when it was made with AM or PM */
        uint32_t n_minutes, minutes_line; /* times without seconds; the first */
        uint32_t n_foreign, n_utf8; /* lines with bytes that are not UTF-8; with letters beyond ASCII that are */
        uint32_t decimals_line[2]; /* first row with a comma, with a point; 0: none */
        UnitCheck units[SURVEY_UNITS_MAX];
        unsigned n_units;
        Stream streams[IMPORT_SECTIONS_MAX + 1][N_STREAMS];
        int64_t oldest_ms[IMPORT_SECTIONS_MAX + 1], newest_ms[IMPORT_SECTIONS_MAX + 1];
        Clocks clocks;
        bool has_january_2016;  /* days beside 2016-01-01: that date is no reset then */
        char unknown[SURVEY_UNKNOWN_MAX]; /* names of columns that we have no field for */
        size_t n_unknown;
} Survey;

/**
 * survey_run() - read the whole file once
 * @unit_override: RecordUnit said by the patient, or 0
 * @progress:      called every line; NULL for none
 *
 * Return: 0; SURVEY_E_REFUSED with the reason; SCAN_E_... is turned into a reason too; negative errno.
 */
must_check int survey_run(Survey *survey, Scanner *scanner, unsigned unit_override,
                          int (*progress)(void *userdata, uint64_t n_read), void *userdata,
                          char ret_refusal[static IMPORT_REFUSAL_MAX]);

/** survey_moment() - the wall clock of a row in milliseconds; false when it is none */
bool survey_moment(const Scanner *scanner, int64_t *ret_ms);
/** survey_has_seconds() - false for a time that a spreadsheet program has cut: its row could not be told from the uncut one */
bool survey_has_seconds(const Scanner *scanner);
/** survey_is_unset() - a time that a pump shows after a reset, before its clock is set */
bool survey_is_unset(const Survey *survey, int64_t local_ms);
/** survey_stream() - the stream that a row belongs to, or N_STREAMS for rows whose order tells nothing */
unsigned survey_stream(const Scanner *scanner);

typedef struct Epoch {
        uint16_t epoch;   /* how often the clock had shown this time before */
        ZonePass pass;
        bool is_disputed; /* the clock shows it again later, for a reason that the zone does not know */
} Epoch;

/** survey_epoch() - second pass, rows in order */
Epoch survey_epoch(Survey *survey, const Scanner *scanner, Zones *zones, int64_t local_ms);
