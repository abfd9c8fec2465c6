/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "Lock", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (json_is_true(json_object_get(reply.parameters, "ended"))) {
                cleanup(reply_done) Reply end = {0};

                /* That core keeps the connection until its process is gone: only then are the keys out of memory. */
                client_set_timeout(cli->client, 10);
                if (client_receive(cli->client, &end) != CLIENT_E_GONE)
                        return cli_fail(cli, EXIT_INTERNAL, "The daemon said that it locks, but its process has not ended. Stop carewalletd to be sure.");
        }
        cli->client = client_free(cli->client);

        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        output_say(stdout, 0, "The wallet is locked: its keys are out of memory, and nothing can be fetched until: carewallet unlock");
        return EXIT_DONE;
}

const Verb verb_lock = {
        .name = "lock",
        .group = "Wallet",
        .operands = "",
        .summary = "Close the wallet and wipe its keys from memory",
        .run = run,
};
