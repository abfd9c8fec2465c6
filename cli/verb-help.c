/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

static int run(Cli *cli) {
        const Verb *verb = NULL;
        size_t n_words;

        if (cli_operand(cli, 0)) {
                verb = cli_find(cli->verbs, (char *const *) (uintptr_t) cli->arguments.operand, cli->arguments.n_operands, &n_words);
                if (!verb && cli_print_family(stdout, cli->verbs, cli_operand(cli, 0)))
                        return EXIT_DONE;
                if (!verb)
                        return cli_usage(cli, "There is no verb \"%.64s\".", cli_operand(cli, 0));
        }
        cli_print_help(stdout, cli->verbs, verb);
        return EXIT_DONE;
}

const Verb verb_help = {
        .name = "help",
        .group = "Help",
        .operands = "[VERB]",
        .n_max = 2,
        .summary = "This, or more of one verb",
        .run = run,
};
