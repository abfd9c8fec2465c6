/* SPDX-License-Identifier: Apache-2.0 */

#include "table.h"

enum {
        KIND,
        FROM,
        TO,
        CSV,
        ALL,
};

static const Option options[] = {
        [KIND] = {"kind", "K[,K]", "which records, such as cgm or bolus,carbs (else all)",
                  "cgm fingerstick calibration bolus basal carbs wizard settings alarm device_event note"},
        [FROM] = {"from", "DAY", "first day, such as 2026-03-14", NULL},
        [TO] = {"to", "DAY", "last day, included", NULL},
        [CSV] = {"csv", NULL, "as comma-separated values", NULL},
        [ALL] = {"all", NULL, "everything, not just the last day that has records", NULL},
        {NULL, NULL, NULL, NULL},
};

static int stream(Cli *cli, Reply *reply) {
        Progress progress;

        progress_begin(&progress);
        return cli_stream(cli, reply, STDOUT_FILENO, isatty(STDOUT_FILENO) ? NULL : &progress);
}

static int run(Cli *cli) {
        const char *from = cli_option(cli, FROM), *to = cli_option(cli, TO);
        bool csv = cli_option(cli, CSV), table = !cli->json && !csv;
        cleanup(reply_done) Reply reply = {0};
        cleanup(json_decrefp) json_t *parameters = NULL;
        RecordTable counts = {.n_max = SIZE_MAX};
        json_t *kinds;
        int r;

        if (cli->json && csv)
                return cli_usage(cli, "--json or --csv, not both.");
        kinds = cli_kinds(cli, cli_option(cli, KIND), &r);
        if (!kinds)
                return r;
        counts.one_kind = json_array_size(kinds) == 1;
        parameters = json_pack("{s:o, s:s}", "kinds", kinds, "format", csv ? "csv" : "ndjson");
        r = cli_period(cli, from, to, parameters);
        if (r != 0)
                return r;

        if (table && !from && !to && !cli_option(cli, ALL)) { /* a person who asks without a day wants the newest */
                r = cli_look(cli, false);
                if (r != 0)
                        return r;
                from = to = message_text(cli->status, "lastDay", NULL);
                if (from) {
                        (void) json_object_set_new(parameters, "from", json_string(from));
                        (void) json_object_set_new(parameters, "to", json_string(to));
                        output_say(stderr, 0, "%s, the last day with records; others by --from and --to, everything by --all.", from);
                }
        }

        r = cli_call(cli, "Show", take_ptr(parameters), true, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (!table)
                return stream(cli, &reply);

        r = cli_table(cli, &reply, &counts);
        if (r != 0)
                return r;
        if (counts.n_records == 0)
                puts("There are no such records. What there is: carewallet status");
        else {
                char number[OUTPUT_NUMBER_SIZE];

                output_say(stdout, 0, "%s%s record%s; times are those of the device's own clock.%s", paint(stdout, PAINT_FAINT),
                           output_number(number, (int64_t) counts.n_records), counts.n_records == 1 ? "" : "s", unpaint(stdout));
        }
        return EXIT_DONE;
}

const Verb verb_show = {
        .name = "show",
        .group = "Data",
        .operands = "",
        .summary = "Your records",
        .help = "A person who names no day sees the last one that has records. With --json one record a line (NDJSON), with --csv a "
                "table for programs, both with all fields; they give everything where no day is named. Times are those of the device's own clock.",
        .options = options,
        .run = run,
};
