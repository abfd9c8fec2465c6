/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <inttypes.h>

#include "outfile.h"

enum {
        FORMAT,
        EVERYTHING,
        OUT,
        SALVAGE,
};

static const Option options[] = {
        [FORMAT] = {"format", "FORMAT", "ndjson or csv", "ndjson csv"},
        [EVERYTHING] = {"everything", NULL, "not the records alone: all but the keys, to read and for carewallet import to make another wallet of", NULL},
        [OUT] = {"out", "FILE", "write to FILE, which is replaced only by a complete export (else standard output)", NULL},
        [SALVAGE] = {"salvage", NULL, "of a damaged wallet: all records that can still be read", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run(Cli *cli) {
        const char *format = cli_option(cli, FORMAT), *path = cli_option(cli, OUT);
        char number[OUTPUT_NUMBER_SIZE];
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        Progress progress;
        int64_t n_rows, n_lost;
        json_t *parameters;
        int r;

        if (cli_option(cli, EVERYTHING) && format)
                return cli_usage(cli, "--everything has one form: leave --format out.");
        if (cli_option(cli, EVERYTHING))
                format = "everything";
        if (!format)
                return cli_usage(cli, "Say in which form: --format ndjson, --format csv, or --everything.");
        if (!cli_option(cli, EVERYTHING) && strcmp(format, "ndjson") != 0 && strcmp(format, "csv") != 0)
                return cli_usage(cli, "--format is ndjson or csv.");

        if (cli_option(cli, SALVAGE) && cli_option(cli, EVERYTHING))
                return cli_usage(cli, "--salvage is for --format ndjson or csv.");
        parameters = json_pack("{s:s}", "format", format);
        if (cli_option(cli, SALVAGE))
                (void) json_object_set_new(parameters, "salvage", json_true());
        r = cli_call(cli, "Export", parameters, true, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (path) {
                r = outfile_open(path, &fd);
                if (r < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s.", path, strerror(-r));
        }

        progress_begin(&progress);
        r = cli_stream(cli, &reply, path ? fd : STDOUT_FILENO, path || !isatty(STDOUT_FILENO) ? &progress : NULL);
        if (r == 0 && path) {
                r = outfile_commit(path, fd, true);
                if (r < 0)
                        r = cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s.", path, strerror(-r));
        }
        if (r != 0) {
                outfile_abandon();
                return r;
        }

        n_rows = message_int(reply.parameters, "rows", 0);
        n_lost = message_int(reply.parameters, "stretchesLost", 0);
        if (n_lost > 0)
                cli_warn("%" PRId64 " stretch%s of records could not be read: carewallet doctor says which. A backup may have them.", n_lost, n_lost == 1 ? "" : "es");
        if (path && cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:I}", "out", path, "rows", (json_int_t) n_rows);

                if (cli_option(cli, SALVAGE))
                        (void) json_object_set_new(answer, "stretches_lost", json_integer((json_int_t) n_lost));
                r = cli_print_json(cli, answer);
                return r != 0 ? r : n_lost > 0 ? EXIT_PARTLY : EXIT_DONE;
        }
        if (path)
                output_say(stdout, 0, "%s record%s in %s. It is readable by anyone who gets the file: keep it safe.", output_number(number, n_rows),
                           n_rows == 1 ? "" : "s", path);
        return n_lost > 0 ? EXIT_PARTLY : EXIT_DONE;
}

const Verb verb_export = {
        .name = "export",
        .group = "Data",
        .operands = "",
        .summary = "Everything in the wallet, for you to keep or take elsewhere",
        .help = "All records with all their fields, notes and serial numbers too. With --everything also what each import said, corrected since or not, the imports "
                "with their reports and rejected rows, time zones, and as history the providers, grants and log: lines of JSON, described in FORMAT.md, which "
                "carewallet import takes into a new wallet. The keys are not in it. An export that is cut short leaves no FILE.",
        .options = options,
        .run = run,
};
