/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "Lock", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        cli->client = client_free(cli->client); /* that core is gone */

        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        puts("The wallet is locked: its keys are out of memory, and nothing can be fetched until: carewallet unlock");
        return EXIT_DONE;
}

const Verb verb_lock = {
        .name = "lock",
        .operands = "",
        .summary = "Close the wallet and wipe its keys from memory",
        .run = run,
};
