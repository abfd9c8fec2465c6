/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"
#include "parse.h"

enum {
        IMPORT,
        SOURCE,
        FROM,
        TO,
        DRY_RUN,
        YES,
};

static const Option options[] = {
        [IMPORT] = {"import", "N", "what that import brought and no other has", NULL},
        [SOURCE] = {"source", "SERIAL", "all from the device with that serial number (or model, if it has none)", NULL},
        [FROM] = {"from", "DAY", "all from that day on the device's clock ...", NULL},
        [TO] = {"to", "DAY", "... to that one, both included", NULL},
        [DRY_RUN] = {"dry-run", NULL, "only say what would go", NULL},
        [YES] = {"yes", NULL, "don't ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int make_parameters(Cli *cli, json_t *parameters) {
        int64_t import;

        if (!cli_option(cli, IMPORT) + !cli_option(cli, SOURCE) + !(cli_option(cli, FROM) || cli_option(cli, TO)) != 2 || !cli_option(cli, FROM) != !cli_option(cli, TO))
                return cli_usage(cli, "Say what to forget: --import N, or --source SERIAL, or --from DAY and --to DAY.");
        if (cli_option(cli, IMPORT)) {
                if (parse_number(cli_option(cli, IMPORT), 1, INT32_MAX, &import) != 0)
                        return cli_usage(cli, "An import is named by its number. Next: carewallet imports");
                (void) json_object_set_new(parameters, "import", json_integer(import));
        }
        if (cli_option(cli, SOURCE))
                (void) json_object_set_new(parameters, "source", json_string(cli_option(cli, SOURCE)));
        return cli_period(cli, cli_option(cli, FROM), cli_option(cli, TO), parameters);
}

static int forget(Cli *cli, const json_t *parameters, bool is_dry, Reply *ret) {
        json_t *copy = json_deep_copy(parameters);

        if (is_dry)
                (void) json_object_set_new(copy, "dryRun", json_true());
        return cli_call(cli, "Forget", copy, false, NULL, 0, ret);
}

static void print(const char *what, const json_t *records) {
        cleanup(freep) char *text = NULL;
        size_t n;
        FILE *memory = open_memstream(&text, &n);

        if (!memory)
                return;
        output_records(memory, records);
        if (fclose(memory) == 0)
                output_say(stdout, 0, "%s: %s.", what, text);
        (void) fflush(stdout);
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_object();
        cleanup(reply_done) Reply preview = {0}, reply = {0};
        int r;

        r = make_parameters(cli, parameters);
        if (r != 0)
                return r;
        r = forget(cli, parameters, true, &preview);
        if (r != 0)
                return r;
        if (cli_option(cli, DRY_RUN) && cli->json)
                return cli_print_json(cli, preview.parameters);
        if (!cli->json)
                print("To be forgotten", json_object_get(preview.parameters, "records"));
        if (cli_option(cli, DRY_RUN))
                return EXIT_DONE;
        if (!cli_option(cli, YES)) {
                r = cli_confirm(cli, "For good? Only a backup has them then.");
                if (r != 0)
                        return r;
        }
        r = forget(cli, parameters, false, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        print("Forgotten", json_object_get(reply.parameters, "records"));
        output_say(stdout, 0, "Backups and exports that you made still have them, and providers what they fetched. The same file imported again brings them back.");
        return EXIT_DONE;
}

const Verb verb_forget = {
        .name = "forget",
        .group = "Data",
        .operands = "",
        .summary = "Records go for good: of an import, a device or some days",
        .help = "They are overwritten in the wallet's files, and the log keeps that it was so and how many. Imports that lost some keep no text of their rejected rows.",
        .options = options,
        .run = run,
};
