/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How things look on a terminal, in a pipe and as JSON. */

#include "message.h"

typedef enum Paint {
        PAINT_BOLD,
        PAINT_GOOD,
        PAINT_WARNING,
        PAINT_BAD,
        PAINT_FAINT,
        N_PAINTS,
} Paint;

/** paint() - start a colour on @file, "" where it is no terminal or NO_COLOR is set (no-color.org) */
const char *paint(FILE *file, Paint paint);
/** unpaint() - end it */
const char *unpaint(FILE *file);

/**
 * output_wrap() - @text and a line end, broken at blanks where @file is a terminal that knows its width
 * @at:     the column where the cursor is
 * @indent: columns before each further line; a line end in @text begins one
 */
void output_wrap(FILE *file, unsigned at, unsigned indent, const char *text);
/** output_wrap_at() - the same at @width columns, whatever @file is; 0: no breaks but those in @text */
void output_wrap_at(FILE *file, unsigned width, unsigned at, unsigned indent, const char *text);
/** output_width() - columns to use on @file, 100 at most; 0 where it is no terminal */
unsigned output_width(FILE *file);
/** output_say() - printf() from column @indent on, wrapped, with a line end */
void output_say(FILE *file, unsigned indent, const char *format, ...) printf_like(3, 4);
/** output_row() - a name, and the text beside it, wrapped within its column */
void output_row(FILE *file, const char *name, const char *format, ...) printf_like(3, 4);

enum {
        OUTPUT_NUMBER_SIZE = 32,
        OUTPUT_TIME_SIZE = 32,
};

/** output_number() - with a comma between thousands. Return: @ret */
const char *output_number(char ret[static OUTPUT_NUMBER_SIZE], int64_t number);
/** output_bytes() - "812 bytes", "1.4 MiB". Return: @ret */
const char *output_bytes(char ret[static OUTPUT_NUMBER_SIZE], int64_t n_bytes);
/** output_time() - an RFC 3339 UTC time on the wall clock, cli_zone(), "2026-03-14 09:05 CET"; what is no such time stays as it is. Return: @ret */
const char *output_time(char ret[static OUTPUT_TIME_SIZE], const char *time);
/** output_duration() - "15 minutes", "36 hours", "7 days": in the largest unit that it is a whole number of, from minutes on. Return: @ret */
const char *output_duration(char ret[static OUTPUT_NUMBER_SIZE], int64_t s);
/** output_plural() - "1 record", "2,000 records" to @file */
void output_count(FILE *file, int64_t n, const char *one, const char *many);
/** output_list() - an array of strings with ", " between */
void output_list(FILE *file, const json_t *array);
/** output_kind() - a kind of record for people: "device event"; @name where that is none */
const char *output_kind(const char *name);
/** output_kinds() - an array of kinds; "all kinds" when it has every one */
void output_kinds(FILE *file, const json_t *array);
/** output_records() - {kind: n} as "105,120 cgm, 12 bolus" in the order of the kinds; "none" */
void output_records(FILE *file, const json_t *records);

/** output_json() - @value, its members' names in snake case, and a line end. 0; -ENOMEM; -EIO */
must_check int output_json(FILE *file, const json_t *value);

/* A line on standard error that is drawn over; nothing where that is no terminal. Appears after a second. */
typedef struct Progress {
        int64_t begun_ms;
        int64_t drawn_ms;
        bool is_shown;
} Progress;

void progress_begin(Progress *progress);
/** progress_bar() - @all 0: only how much is done */
void progress_bar(Progress *progress, const char *what, int64_t done, int64_t all);
/** progress_note() - a text at once, until progress_end() */
void progress_note(Progress *progress, const char *text);
void progress_end(Progress *progress);

/**
 * output_copy() - all that comes out of @from to @to, counted
 * @progress: NULL for none
 *
 * Return: 0; -EPIPE ...: writing or reading failed. *ret_n_bytes is set in any case.
 */
must_check int output_copy(int from, int to, Progress *progress, int64_t *ret_n_bytes);
/** output_write() - all bytes; negative errno */
must_check int output_write(int fd, const void *bytes, size_t n);
