/* SPDX-License-Identifier: Apache-2.0 */

#include "table.h"

/* Members that have their own place in a row, or are of no use to a person. */
static bool has_place(const char *name) {
        static const char *const names[] = {"kind", "time", "local_time", "value", "unit", "code", "clock", "quarantined", "device", "serial"};

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (strcmp(names[i], name) == 0)
                        return true;
        return false;
}

static void print_value(FILE *file, const json_t *value) {
        cleanup(freep) char *text = NULL;

        if (json_is_string(value)) {
                fputs(json_string_value(value), file);
                return;
        }
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputs(text ? text : "?", file);
}

/*
 * The number as it was printed: 5.0 is not 5 to the one who reads it, but it is to a parser. A quote within a JSON
 * string is escaped, so that this can't be found in one.
 */
static void print_amount(char ret[static 64], const json_t *record, const char *line, size_t n_line) {
        static const char member[] = "\"value\":";
        const char *unit = message_text(record, "unit", ""), *code = message_text(record, "code", NULL);
        const char *value = memmem(line, n_line, member, sizeof(member) - 1);
        size_t n = 0;

        ret[0] = '\0';
        if (code)
                (void) snprintf(ret, 64, "%s", code);
        else if (value && json_is_number(json_object_get(record, "value"))) {
                value += sizeof(member) - 1;
                while (value + n < line + n_line && strchr("+-.0123456789eE", value[n]) && n < 24)
                        n++;
                (void) snprintf(ret, 64, "%.*s %s", (int) n, value, unit);
        }
}

void table_row(FILE *file, const json_t *record, const char *line, size_t n_line, bool one_kind) {
        const char *local = message_text(record, "local_time", ""), *clock = message_text(record, "clock", NULL), *name;
        char time[24], amount[64];
        const json_t *value;
        bool any = false;

        (void) snprintf(time, sizeof(time), "%.19s", local);
        if (time[10] == 'T')
                time[10] = ' ';
        print_amount(amount, record, line, n_line);

        fprintf(file, "%-19s  ", time);
        if (!one_kind)
                fprintf(file, "%-12s  ", message_text(record, "kind", ""));
        fprintf(file, "%-12s", amount);

        json_object_foreach ((json_t *) (uintptr_t) record, name, value) {
                if (has_place(name))
                        continue;
                fprintf(file, "%s%s ", any ? ", " : "  ", name);
                print_value(file, value);
                any = true;
        }
        if (message_bool(record, "quarantined"))
                fprintf(file, "  %simplausible: shown to you only%s", paint(file, PAINT_WARNING), unpaint(file));
        if (clock && strcmp(clock, "zone") != 0)
                fprintf(file, "  %sclock: %s%s", paint(file, PAINT_FAINT), clock, unpaint(file));
        fputc('\n', file);
}

static void count(RecordTable *table, const json_t *record) {
        const char *kind = message_text(record, "kind", ""), *local = message_text(record, "local_time", "");
        char day[16];

        (void) snprintf(day, sizeof(day), "%.10s", local);
        if (table->n_records == 0 || strcmp(day, table->first_day) < 0)
                memcpy(table->first_day, day, sizeof(day));
        if (table->n_records == 0 || strcmp(day, table->last_day) > 0)
                memcpy(table->last_day, day, sizeof(day));
        table->n_records++;
        table->n_of_kind[record_kind_from_name(kind, strlen(kind))]++;
}

static int print_line(RecordTable *table, const char *line, size_t n) {
        cleanup(json_decrefp) json_t *record = NULL;
        int r;

        r = message_parse(&record, line, n);
        if (r != 0)
                return r;
        if (!json_object_get(record, "kind")) /* the end of a slice */
                return 0;
        if (table->n_records < table->n_max)
                table_row(stdout, record, line, n, table->one_kind);
        count(table, record);
        return 0;
}

int cli_table(Cli *cli, Reply *first, RecordTable *table) {
        cleanup(close_fdp) int fd = reply_take_fd(first, "outputFd");
        cleanup(splitter_done) Splitter lines = {.delimiter = '\n'};
        const char *line;
        size_t n;
        int r = 0;

        while (fd >= 0) {
                void *space;
                ssize_t l;

                r = splitter_space(&lines, &space, &n);
                if (r != 0)
                        break;
                l = read(fd, space, n);
                if (l < 0 && errno == EINTR)
                        continue;
                if (l <= 0) {
                        r = l < 0 ? -errno : splitter_rest(&lines, &line) > 0 ? MESSAGE_E_FORMAT : 0;
                        break;
                }
                splitter_filled(&lines, (size_t) l);
                while ((r = splitter_next(&lines, &line, &n)) == 0) {
                        r = print_line(table, line, n);
                        if (r != 0)
                                break;
                }
                if (r != MESSAGE_E_AGAIN)
                        break;
        }
        if (r < 0)
                return cli_trouble(cli, r, "Reading the records failed");
        if (r > 0)
                return cli_fail(cli, EXIT_INTERNAL, "The output is not complete or damaged: carewalletd stopped in the middle. Try again.");
        return cli_stream(cli, first, -1, NULL);
}
