/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        ALL,
        YES,

        RELEASE_MAX = 100, /* in one call */
        DROP_MAX = 1000,
};

static const Option options[] = {
        [ALL] = {"all", NULL, "all that are in it", NULL},
        [YES] = {"yes", NULL, "don't ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run_list(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *records, *record;
        size_t i;
        int r;

        r = cli_call(cli, "Quarantined", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        records = json_object_get(reply.parameters, "records");
        if (cli->json)
                return cli_print_json(cli, records);
        if (json_array_size(records) == 0)
                puts("Nothing is in quarantine.");
        json_array_foreach (records, i, record) {
                cleanup(freep) char *value = json_dumps(json_object_get(record, "value"), JSON_ENCODE_ANY | JSON_REAL_PRECISION(9));

                printf("%s  %s %s %s\n      %s\n", message_text(record, "local_time", "?"), output_kind(message_text(record, "kind", "?")), value ? value : "",
                       message_text(record, "unit", ""), message_text(record, "id", "?"));
        }
        if (!message_bool(reply.parameters, "whole"))
                puts("... and more.");
        if (json_array_size(records) > 0)
                output_say(stdout, 0, "No slice and no statistic has them. Is one right after all? carewallet quarantine release ID. Gone for good: carewallet quarantine drop ID");
        return EXIT_DONE;
}

/* The ids that the operands name, or with --all those that are listed. */
static int find_ids(Cli *cli, json_t *ret) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *record;
        size_t i;
        int r;

        for (i = 0; cli_operand(cli, i); i++)
                if (json_array_append_new(ret, json_string(cli_operand(cli, i))) < 0)
                        return cli_usage(cli, "\"%.64s\" is no record's id. See them: carewallet quarantine list", cli_operand(cli, i));
        if (!cli_option(cli, ALL))
                return 0;
        r = cli_call(cli, "Quarantined", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        json_array_foreach (json_object_get(reply.parameters, "records"), i, record)
                (void) json_array_append(ret, json_object_get(record, "id"));
        return 0;
}

/* @method in parts of @n_max, page after page where --all has more than are listed at once. */
static int apply(Cli *cli, const char *method, const char *question, const char *done, size_t n_max) {
        int64_t n = 0;
        int r;

        if (!cli_operand(cli, 0) == !cli_option(cli, ALL))
                return cli_usage(cli, "Which? Name records by their ids (carewallet quarantine list), or all of them by --all.");
        if (!cli_option(cli, YES)) {
                r = cli_confirm(cli, question);
                if (r != 0)
                        return r;
        }
        for (;;) {
                cleanup(json_decrefp) json_t *ids = json_array();
                size_t n_ids;

                r = find_ids(cli, ids);
                if (r != 0)
                        return r;
                n_ids = json_array_size(ids);
                for (size_t at = 0; at < n_ids; at += n_max) {
                        cleanup(reply_done) Reply reply = {0};
                        json_t *some = json_array();

                        for (size_t i = at; i < n_ids && i < at + n_max; i++)
                                (void) json_array_append(some, json_array_get(ids, i));
                        r = cli_call(cli, method, json_pack("{s:o}", "ids", some), false, NULL, 0, &reply);
                        if (r != 0)
                                return r;
                        n += (int64_t) (n_ids - at < n_max ? n_ids - at : n_max);
                }
                if (!cli_option(cli, ALL) || n_ids == 0)
                        break;
        }
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:I}", "records", (json_int_t) n);

                return cli_print_json(cli, answer);
        }
        output_count(stdout, n, "record", "records");
        printf(" %s.\n", done);
        return EXIT_DONE;
}

static int run_release(Cli *cli) {
        return apply(cli, "Release", "Let them count like any other value, for you and for those with a grant?", "released: they count like any other now", RELEASE_MAX);
}

static int run_drop(Cli *cli) {
        return apply(cli, "Forget", "Drop them for good?", "dropped for good", DROP_MAX);
}

const Verb verb_quarantine_list = {
        .name = "quarantine list",
        .group = "Data",
        .operands = "",
        .summary = "Values that no device can have meant",
        .help = "You see them in show and export; no slice and no statistic has them.",
        .run = run_list,
};

const Verb verb_quarantine_release = {
        .name = "quarantine release",
        .group = "Data",
        .operands = "[ID...]",
        .n_max = 1000,
        .summary = "Say that a value in quarantine is right after all",
        .help = "It is stored once more without the mark, as an import of its own: carewallet imports undo takes it back.",
        .options = options,
        .run = run_release,
};

const Verb verb_quarantine_drop = {
        .name = "quarantine drop",
        .group = "Data",
        .operands = "[ID...]",
        .n_max = 1000,
        .summary = "Values in quarantine go for good",
        .help = "As carewallet forget does it. The same file imported again brings them back, into quarantine.",
        .options = options,
        .run = run_drop,
};
