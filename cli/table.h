/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Records as a person reads them. */

#include "cli.h"
#include "policy/record.h"

typedef struct RecordTable {
        const char *title; /* before the first row; NULL: none */
        size_t n_max;   /* rows to print; the rest is counted only */
        bool one_kind;  /* all are of one kind, which then has no column */
        /* filled by cli_table() */
        size_t n_records;
        size_t n_of_kind[N_RECORD_KINDS];
        size_t n_days;
        char first_day[16], last_day[16];
} RecordTable;

/** cli_table() - print the NDJSON that comes with @first; as cli_stream() */
must_check int cli_table(Cli *cli, Reply *first, RecordTable *table);

/** table_row() - print one record. @line: as in daemon/PROTOCOL.md, "record as JSON"; @record: what message_parse() made of it */
void table_row(FILE *file, const json_t *record, const char *line, size_t n_line, bool one_kind);
