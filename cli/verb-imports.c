/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *imports, *import;
        char time[OUTPUT_TIME_SIZE];
        size_t i;
        int r;

        r = cli_call(cli, "Imports", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        imports = json_object_get(reply.parameters, "imports");
        if (cli->json)
                return cli_print_json(cli, imports);

        if (json_array_size(imports) == 0)
                puts("Nothing was imported yet. Next: carewallet import FILE");
        json_array_foreach (imports, i, import) {
                const json_t *report = json_object_get(import, "report");
                int64_t n_rejected = message_int(report, "rejectedCount", 0);

                printf("%s  %s\n    ", output_time(time, message_text(import, "time", "")), message_text(import, "file", "?"));
                output_count(stdout, message_int(report, "inserted", 0), "new record", "new records");
                if (message_text(report, "firstDay", NULL))
                        printf(", %s to %s", message_text(report, "firstDay", "?"), message_text(report, "lastDay", "?"));
                if (n_rejected > 0) {
                        fputs(", ", stdout);
                        output_count(stdout, n_rejected, "row rejected", "rows rejected");
                }
                putchar('\n');
        }
        return EXIT_DONE;
}

const Verb verb_imports = {
        .name = "imports",
        .group = "Data",
        .operands = "",
        .summary = "What was imported when, and what could not be read",
        .help = "With --json the whole reports, with each row that was rejected and why.",
        .run = run,
};
