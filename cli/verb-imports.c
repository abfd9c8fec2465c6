/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"
#include "parse.h"

enum {
        YES, /* of undo */
};

static const Option undo_options[] = {
        [YES] = {"yes", NULL, "don't ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *imports, *import;
        char time[OUTPUT_TIME_SIZE];
        size_t i;
        int r;

        if (cli->arguments.n_operands > 0 && strcmp(cli_operand(cli, 0), "list") != 0)
                return cli_usage(cli, "There is no verb \"imports %.64s\".", cli_operand(cli, 0));
        r = cli_zone(cli);
        if (r != 0)
                return r;
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
                int64_t n_superseded = message_int(report, "superseded", 0), n_rejected = message_int(report, "rejectedCount", 0);
                char number[OUTPUT_NUMBER_SIZE];

                printf("%3lld  %s  %s: ", (long long) message_int(import, "id", 0), output_time(time, message_text(import, "time", "")), message_text(import, "file", "?"));
                output_count(stdout, message_int(report, "inserted", 0), "new record", "new records");
                if (n_superseded > 0)
                        printf(", %s replaced", output_number(number, n_superseded));
                if (n_rejected > 0) {
                        fputs(", ", stdout);
                        output_count(stdout, n_rejected, "row rejected", "rows rejected");
                }
                putchar('\n');
        }
        return EXIT_DONE;
}

/* The import that the operand names; @reply holds it. Return: 0 or an exit code. */
static int find(Cli *cli, Reply *reply, const json_t **ret) {
        const json_t *imports, *import;
        int64_t id;
        size_t i;
        int r;

        if (parse_number(cli_operand(cli, 0), 1, INT32_MAX, &id) != 0)
                return cli_usage(cli, "An import is named by its number. Next: carewallet imports");
        r = cli_call(cli, "Imports", json_object(), false, NULL, 0, reply);
        if (r != 0)
                return r;
        imports = json_object_get(reply->parameters, "imports");
        json_array_foreach (imports, i, import)
                if (message_int(import, "id", 0) == id) {
                        *ret = import;
                        return 0;
                }
        return cli_fail(cli, EXIT_REFUSED, "There is no import %lld. Next: carewallet imports", (long long) id);
}

/* All rejected rows with their text, page by page. Return: 0 or an exit code. */
static int add_rejected(Cli *cli, int64_t id, json_t *ret) {
        size_t n;

        do {
                cleanup(reply_done) Reply reply = {0};
                int r;

                n = json_array_size(ret);
                r = cli_call(cli, "ImportRejected", json_pack("{s:I, s:I}", "id", (json_int_t) id, "first", (json_int_t) n), false, NULL, 0, &reply);
                if (r != 0)
                        return r;
                if (json_array_extend(ret, json_object_get(reply.parameters, "rejected")) < 0)
                        return cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        } while (json_array_size(ret) > n);
        return 0;
}

static int run_show(Cli *cli) {
        cleanup(json_decrefp) json_t *copy = NULL, *rejected = json_array();
        cleanup(reply_done) Reply reply = {0};
        const json_t *import, *report;
        char time[OUTPUT_TIME_SIZE];
        int64_t id;
        int r;

        r = cli_zone(cli);
        if (r != 0)
                return r;
        r = find(cli, &reply, &import);
        if (r != 0)
                return r;
        id = message_int(import, "id", 0);
        report = json_object_get(import, "report");

        if (cli->json) {
                r = add_rejected(cli, id, rejected);
                if (r != 0)
                        return r;
                copy = json_deep_copy(import);
                (void) json_object_set(json_object_get(copy, "report"), "rejected", rejected);
                return cli_print_json(cli, copy);
        }
        printf("Import %lld, %s, clocks read as %s\n", (long long) id, output_time(time, message_text(import, "time", "")), message_text(report, "timezone", "?"));
        cli_print_report(report, message_text(import, "file", "?"), id);
        return EXIT_DONE;
}

static int run_undo(Cli *cli) {
        cleanup(reply_done) Reply reply = {0}, done = {0};
        const json_t *import;
        char question[512];
        int64_t id;
        int r;

        r = find(cli, &reply, &import);
        if (r != 0)
                return r;
        id = message_int(import, "id", 0);
        if (!cli_option(cli, YES)) {
                (void) snprintf(question, sizeof(question), "Take back everything that import %lld (%.200s) brought and no other import has?", (long long) id,
                                message_text(import, "file", "?"));
                r = cli_confirm(cli, question);
                if (r != 0)
                        return r;
        }
        r = cli_call(cli, "UndoImport", json_pack("{s:I}", "id", (json_int_t) id), false, NULL, 0, &done);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, done.parameters);
        printf("Import %lld is undone: the wallet is as if it had never been.\n", (long long) id);
        return EXIT_DONE;
}

const Verb verb_imports = {
        .name = "imports",
        .group = "Data",
        .operands = "[list]",
        .n_max = 1,
        .summary = "What was imported when, and what could not be read",
        .help = "With --json the whole reports, with the first 1,000 rows of each that were rejected and why.",
        .run = run,
};

const Verb verb_imports_show = {
        .name = "imports show",
        .group = "Data",
        .operands = "N",
        .n_min = 1,
        .n_max = 1,
        .summary = "The report of one import",
        .help = "With --json also the text of each row that was rejected (10,000 are kept).",
        .run = run_show,
};

const Verb verb_imports_undo = {
        .name = "imports undo",
        .group = "Data",
        .operands = "N",
        .n_min = 1,
        .n_max = 1,
        .summary = "Take one import back",
        .help = "The wallet is then as if it had never been: what it corrected is back, what another import had too stays.\n"
                "What was already given to a provider is not taken back by it.",
        .options = undo_options,
        .run = run_undo,
};
