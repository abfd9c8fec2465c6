/* SPDX-License-Identifier: Apache-2.0 */

#include "table.h"

/* How a field's value is written. */
typedef enum Form {
        FORM_HIDDEN,  /* has its own place in the row, belongs to another field's words, or is of no use to a person */
        FORM_PLAIN,   /* as it is */
        FORM_TIDY,    /* the device's or our own name for something: blanks for underscores, SHOUTING as small letters */
        FORM_INSULIN, /* U */
        FORM_GLUCOSE, /* in the record's glucose_unit */
        FORM_CARBS,   /* in the record's carb_unit */
        FORM_RATIO,
        FORM_SECONDS,
        FORM_TIME_OF_DAY, /* seconds after midnight */
        FORM_FACT,        /* it is there: its words alone */
} Form;

/* The fields of policy/record.c in words; one that is not here is named as it is. */
static const struct {
        const char *name;
        Form form;
        const char *before, *after;
} words[] = {
        {"kind", FORM_HIDDEN, "", ""},
        {"time", FORM_HIDDEN, "", ""},
        {"local_time", FORM_HIDDEN, "", ""},
        {"value", FORM_HIDDEN, "", ""},
        {"unit", FORM_HIDDEN, "", ""},
        {"clock", FORM_HIDDEN, "", ""},
        {"quarantined", FORM_HIDDEN, "", ""},
        {"device", FORM_HIDDEN, "", ""},
        {"serial", FORM_HIDDEN, "", ""},
        {"number", FORM_HIDDEN, "", ""},
        {"carb_unit", FORM_HIDDEN, "", ""},
        {"glucose_unit", FORM_HIDDEN, "", ""},
        {"extra", FORM_HIDDEN, "", ""},
        {"raw_type", FORM_HIDDEN, "", ""},
        {"raw_values", FORM_HIDDEN, "", ""},
        {"raw_key", FORM_HIDDEN, "", ""},
        {"isig", FORM_PLAIN, "ISIG ", " nA"},
        {"type", FORM_TIDY, "", ""},
        {"programmed", FORM_INSULIN, "programmed ", ""},
        {"delivered", FORM_INSULIN, "delivered ", ""},
        {"duration_s", FORM_SECONDS, "for ", ""},
        {"origin", FORM_TIDY, "by ", ""},
        {"reason", FORM_TIDY, "because of ", ""},
        {"code", FORM_PLAIN, "code ", ""},
        {"text_device", FORM_PLAIN, "", ""},
        {"start_delay_s", FORM_SECONDS, "selected ", " before"},
        {"percent", FORM_PLAIN, "", " %"},
        {"carbs", FORM_CARBS, "carbs ", ""},
        {"carb_ratio", FORM_RATIO, "carb ratio ", ""},
        {"sensitivity", FORM_GLUCOSE, "sensitivity ", " per U"},
        {"target_low", FORM_GLUCOSE, "target from ", ""},
        {"target_high", FORM_GLUCOSE, "target to ", ""},
        {"glucose_input", FORM_GLUCOSE, "glucose ", ""},
        {"correction_estimate", FORM_INSULIN, "correction ", ""},
        {"food_estimate", FORM_INSULIN, "food ", ""},
        {"active_insulin", FORM_INSULIN, "active insulin ", ""},
        {"unabsorbed", FORM_INSULIN, "unabsorbed ", ""},
        {"final_estimate", FORM_INSULIN, "final estimate ", ""},
        {"status", FORM_TIDY, "", ""},
        {"cleared", FORM_FACT, "cleared", ""},
        {"new_time", FORM_PLAIN, "set to ", ""},
        {"setting", FORM_PLAIN, "", ""},
        {"setting_value", FORM_PLAIN, "now ", ""},
        {"index", FORM_PLAIN, "entry ", ""},
        {"start_s", FORM_TIME_OF_DAY, "from ", ""},
        {"sensor_state", FORM_TIDY, "sensor: ", ""},
        {"glucose_source", FORM_TIDY, "from ", ""},
        {"linked_meter", FORM_PLAIN, "meter ", ""},
        {"name", FORM_PLAIN, "named ", ""},
        {"marker", FORM_PLAIN, "", ""},
        {"marker_type", FORM_TIDY, "", ""},
        {"volume", FORM_INSULIN, "", ""},
        {"step", FORM_TIDY, "", ""},
        {"exception", FORM_TIDY, "exception: ", ""},
};

static void print_plain(FILE *file, const json_t *value) {
        cleanup(freep) char *text = NULL;

        if (json_is_string(value)) {
                fputs(json_string_value(value), file);
                return;
        }
        text = json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT | JSON_REAL_PRECISION(9));
        fputs(text ? text : "?", file);
}

static void print_tidy(FILE *file, const char *text) {
        bool shouts = true;

        for (const char *c = text; *c != '\0'; c++)
                shouts &= !(*c >= 'a' && *c <= 'z');
        for (const char *c = text; *c != '\0'; c++)
                fputc(*c == '_' ? ' ' : shouts && *c >= 'A' && *c <= 'Z' ? *c - 'A' + 'a' : *c, file);
}

static void print_seconds(FILE *file, int64_t s) {
        if (s < 120)
                fprintf(file, "%lld s", (long long) s);
        else if (s % 60 != 0)
                fprintf(file, "%lld min %lld s", (long long) s / 60, (long long) s % 60);
        else
                fprintf(file, "%lld min", (long long) s / 60);
}

static void print_field(FILE *file, const json_t *record, const json_t *value, Form form) {
        bool exchanges = strcmp(message_text(record, "carb_unit", ""), "exchange") == 0;
        int64_t s = json_is_integer(value) ? (int64_t) json_integer_value(value) : 0;

        switch (form) {
        case FORM_TIDY:
                if (json_is_string(value)) {
                        print_tidy(file, json_string_value(value));
                        break;
                }
                print_plain(file, value);
                break;
        case FORM_INSULIN:
                print_plain(file, value);
                fputs(" U", file);
                break;
        case FORM_GLUCOSE:
                print_plain(file, value);
                if (json_object_get(record, "glucose_unit"))
                        fprintf(file, " %s", strcmp(message_text(record, "glucose_unit", ""), "mmol_l") == 0 ? "mmol/L" : "mg/dL");
                break;
        case FORM_CARBS:
                print_plain(file, value);
                fputs(exchanges ? " exchanges" : json_object_get(record, "carb_unit") ? " g" : "", file);
                break;
        case FORM_RATIO:
                print_plain(file, value);
                fputs(exchanges ? " U per exchange" : json_object_get(record, "carb_unit") ? " g per U" : "", file);
                break;
        case FORM_SECONDS:
                print_seconds(file, s);
                break;
        case FORM_TIME_OF_DAY:
                fprintf(file, "%02lld:%02lld", (long long) s / 3600, (long long) s / 60 % 60);
                break;
        case FORM_FACT:
                break;
        case FORM_PLAIN:
        case FORM_HIDDEN:
        default:
                print_plain(file, value);
        }
}

static void print_fields(FILE *file, const json_t *record) {
        const char *name, *comma = "";
        const json_t *value;

        json_object_foreach ((json_t *) (uintptr_t) record, name, value) {
                size_t i = 0;

                while (i < N_ELEMENTS(words) && strcmp(words[i].name, name) != 0)
                        i++;
                if (i < N_ELEMENTS(words) && (words[i].form == FORM_HIDDEN || (json_is_string(value) && strcmp(name, "code") == 0)))
                        continue; /* LO and HI stand where the value would */
                fprintf(file, "%s%s", comma, i < N_ELEMENTS(words) ? words[i].before : name);
                if (i == N_ELEMENTS(words))
                        fputc(' ', file);
                print_field(file, record, value, i < N_ELEMENTS(words) ? words[i].form : FORM_PLAIN);
                if (i < N_ELEMENTS(words))
                        fputs(words[i].after, file);
                comma = ", ";
        }
        if (message_bool(record, "quarantined"))
                fprintf(file, "%s%simplausible: shown to you only%s", comma, paint(stdout, PAINT_WARNING), unpaint(stdout));
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

/* How sure the time is, where it is not. */
static const char *clock_words(const char *clock) {
        static const struct {
                const char *name, *words;
        } all[] = {
                {"zone", NULL},
                {"repeated", "in the hour that the clock repeated"},
                {"ambiguous", "in an hour that the clock repeated, first or second unknown"},
                {"skipped", "at a time that the zone skips"},
                {"unset", "the device's clock was not set"},
        };

        for (size_t i = 0; i < N_ELEMENTS(all); i++)
                if (strcmp(clock, all[i].name) == 0)
                        return all[i].words;
        return clock;
}

void table_row(FILE *file, const json_t *record, const char *line, size_t n_line, bool one_kind) {
        const char *local = message_text(record, "local_time", ""), *clock = clock_words(message_text(record, "clock", "zone"));
        cleanup(freep) char *fields = NULL;
        char time[24], amount[64];
        FILE *memory;
        size_t n;
        int at;

        (void) snprintf(time, sizeof(time), "%.19s", local);
        if (time[10] == 'T')
                time[10] = ' ';
        print_amount(amount, record, line, n_line);

        memory = open_memstream(&fields, &n);
        if (!memory)
                return;
        print_fields(memory, record);
        if (clock)
                fprintf(memory, "%s(%s)", ftell(memory) > 0 ? " " : "", clock);
        if (fclose(memory) != 0)
                return;

        at = fprintf(file, "%-19s  ", time);
        if (!one_kind)
                at += fprintf(file, "%-12s  ", output_kind(message_text(record, "kind", "")));
        at += fprintf(file, n > 0 ? "%-12s  " : "%s", amount);
        output_wrap(file, (unsigned) at, (unsigned) at, fields);
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
        if (table->n_records == 0 && table->title)
                puts(table->title);
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
