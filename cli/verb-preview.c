/* SPDX-License-Identifier: Apache-2.0 */

#include "grants.h"
#include "table.h"

enum {
        FORMAT,
        SUMMARY,

        ROWS_SHOWN = 10,
        SUMMARY_MAX = 64 * 1024, /* bytes */
};

static const Option options[] = {
        [FORMAT] = {"format", "FORMAT", "exactly what would leave, as ndjson, csv or summary", "ndjson csv summary"},
        [SUMMARY] = {"summary", NULL, "the same as --format summary", NULL},
        {NULL, NULL, NULL, NULL},
};

static int ask(Cli *cli, const char *format, Reply *ret) {
        return cli_ask(cli, "Preview", json_pack("{s:s, s:s}", "provider", cli_operand(cli, 0), "format", format), true, NULL, 0, ret);
}

static bool is_refused(const Reply *reply) {
        return reply->error && strcmp(reply->error, "org.carewallet.Refused") == 0;
}

/* The bytes that would leave. A grant of summaries has no rows, so without a format its summary is what is meant. */
static int run_raw(Cli *cli, const char *format) {
        cleanup(reply_done) Reply reply = {0}, summary = {0};
        int r;

        r = ask(cli, format ? format : "ndjson", &reply);
        if (r == 0 && !format && is_refused(&reply)) {
                r = ask(cli, "summary", &summary);
                if (r == 0 && !summary.error)
                        return cli_stream(cli, &summary, STDOUT_FILENO, NULL);
        }
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        return r == 0 ? cli_stream(cli, &reply, STDOUT_FILENO, NULL) : r;
}

/* The summary comes by the same pipe as rows do: one object. */
static int read_summary(Cli *cli, Reply *reply, json_t **ret) {
        cleanup(close_fdp) int fd = reply_take_fd(reply, "outputFd");
        static char text[SUMMARY_MAX];
        size_t n = 0;
        ssize_t l = 0;
        int r;

        while (fd >= 0 && n < sizeof(text) && (l = read(fd, text + n, sizeof(text) - n)) > 0)
                n += (size_t) l;
        r = cli_stream(cli, reply, -1, NULL);
        if (r == 0 && (l < 0 || message_parse(ret, text, n) != 0))
                r = cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        explicit_bzero(text, sizeof(text));
        return r;
}

static void print_summary(const json_t *summary) {
        static const struct {
                const char *name, *mg_dl, *mmol_l;
        } bands[] = { /* international consensus on time in range, doi:10.2337/dci19-0028 */
                {"very_high", "above 250", "above 13.9"},
                {"high", "181 to 250", "10.1 to 13.9"},
                {"target", "70 to 180", "3.9 to 10.0"},
                {"low", "54 to 69", "3.0 to 3.8"},
                {"very_low", "below 54", "below 3.0"},
        };
        const json_t *counts = json_object_get(summary, "bands");
        const char *unit = message_text(summary, "unit", "");
        bool is_mmol = strcmp(unit, "mmol/L") == 0;
        int64_t n_all = 0;

        if (!counts) {
                printf("  none: %s\n", message_text(summary, "reason", "there is too little data"));
                return;
        }
        printf("  %s to %s, ", message_text(summary, "from", "?"), message_text(summary, "to", "?"));
        output_count(stdout, message_int(summary, "days", 0), "day", "days");
        fputs(" with ", stdout);
        output_count(stdout, message_int(summary, "readings", 0), "reading", "readings");
        printf(", mean %.*f %s\n", is_mmol ? 2 : 1, json_number_value(json_object_get(summary, "mean")), unit);

        for (size_t i = 0; i < N_ELEMENTS(bands); i++)
                n_all += message_int(counts, bands[i].name, 0);
        for (size_t i = 0; i < N_ELEMENTS(bands); i++) {
                int64_t n = message_int(counts, bands[i].name, 0);

                printf("  %-13s %5.1f %%%s\n", is_mmol ? bands[i].mmol_l : bands[i].mg_dl, n_all > 0 ? (double) n / (double) n_all * 100 : 0,
                       strcmp(bands[i].name, "target") == 0 ? "  in range" : "");
        }
}

static void print_counts(const RecordTable *table) {
        cleanup(json_decrefp) json_t *counts = NULL;
        cleanup(freep) char *text = NULL;
        char number[OUTPUT_NUMBER_SIZE];
        size_t n_text;
        FILE *memory;

        if (table->n_records == 0) {
                puts("No record would leave now: there are none in those days.");
                return;
        }
        counts = json_object();
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                (void) json_object_set_new(counts, record_kind_name(kind), json_integer((json_int_t) table->n_of_kind[kind]));
        memory = open_memstream(&text, &n_text);
        if (!memory)
                return;
        output_records(memory, counts);
        if (fclose(memory) != 0)
                return;
        putchar('\n');
        output_say(stdout, 0, "In all %s record%s from %s to %s: %s", output_number(number, (int64_t) table->n_records), table->n_records == 1 ? "" : "s",
                   table->first_day, table->last_day, text);
}

static int run(Cli *cli) {
        const char *format = cli_option(cli, SUMMARY) ? "summary" : cli_option(cli, FORMAT);
        cleanup(reply_done) Reply rows = {0}, summary = {0};
        cleanup(json_decrefp) json_t *value = NULL;
        RecordTable table = {.title = "The first records that would leave:", .n_max = ROWS_SHOWN};
        int r;

        if (format && strcmp(format, "ndjson") != 0 && strcmp(format, "csv") != 0 && strcmp(format, "summary") != 0)
                return cli_usage(cli, "--format is ndjson, csv or summary.");
        if (format || cli->json)
                return run_raw(cli, format);

        r = cli_zone(cli);
        if (r != 0)
                return r;
        r = ask(cli, "ndjson", &rows);
        if (r != 0)
                return r;
        if (rows.error && !is_refused(&rows))
                return cli_reply_failed(cli, &rows);
        if (!rows.error) {
                grants_print(stdout, json_object_get(rows.parameters, "grant"));
                putchar('\n');
                r = cli_table(cli, &rows, &table);
                if (r != 0)
                        return r;
                print_counts(&table);
        }

        r = ask(cli, "summary", &summary);
        if (r != 0)
                return r;
        if (summary.error) {
                if (rows.error) /* nothing leaves at all */
                        return cli_reply_failed(cli, &summary);
        } else {
                if (rows.error)
                        grants_print(stdout, json_object_get(summary.parameters, "grant"));
                puts(rows.error ? "\nThe summary, and no single record, would leave:" : "\nThe summary that would leave:");
                r = read_summary(cli, &summary, &value);
                if (r != 0)
                        return r;
                print_summary(value);
        }
        putchar('\n');
        output_say(stdout, 0, "All of it, exactly as it would leave: carewallet preview %s --format %s", cli_operand(cli, 0), rows.error ? "summary" : "ndjson");
        return EXIT_DONE;
}

const Verb verb_preview = {
        .name = "preview",
        .group = "Sharing",
        .operands = "NAME",
        .n_min = 1,
        .n_max = 1,
        .summary = "See what a provider would get now, before they do",
        .help = "The newest active grant of the provider, by the same path that serves it. With --json what would leave, unchanged.",
        .options = options,
        .run = run,
};
