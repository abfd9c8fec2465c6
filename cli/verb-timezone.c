/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

static int run_timezone(Cli *cli) {
        const char *zone = cli_operand(cli, 0);
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (!zone) {
                r = cli_look(cli, false);
                if (r != 0)
                        return r;
                zone = message_text(cli->status, "timezone", NULL);
                if (!zone)
                        return cli_fail(cli, EXIT_LOCKED, "The time zone is not known while the wallet is locked. Next: carewallet unlock");
        } else {
                r = cli_call(cli, "SetTimezone", json_pack("{s:s}", "timezone", zone), false, NULL, 0, &reply);
                if (r != 0)
                        return r;
        }

        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s}", "timezone", zone);

                return cli_print_json(cli, answer);
        }
        printf("Your devices' clocks are read as %s.\n", zone);
        return EXIT_DONE;
}

const Verb verb_timezone = {
        .name = "timezone",
        .group = "Wallet",
        .operands = "[ZONE]",
        .n_max = 1,
        .summary = "Where your devices' clocks live, such as Europe/Berlin",
        .help = "Devices note the time of day without a zone. It can be changed as long as there are no records.",
        .run = run_timezone,
};

static int run_clock_accept(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "AcceptClock", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        puts("The clock is believed as it is now. Grants end by it.");
        return EXIT_DONE;
}

const Verb verb_clock_accept = {
        .name = "clock accept",
        .group = "Wallet",
        .operands = "",
        .summary = "Believe this machine's clock though it was ahead before",
        .help = "A clock that goes back could keep a grant alive, so nothing is served until it has caught up or you say this.",
        .run = run_clock_accept,
};
