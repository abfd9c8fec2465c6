/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "places.h"

enum {
        TIMEOUT_S = 5,
};

static const char *state_of(const Place *place) {
        cleanup(client_freep) Client *client = NULL;
        cleanup(reply_done) Reply reply = {0};

        if (client_connect(&client, place->socket) != 0)
                return "not running";
        client_set_timeout(client, TIMEOUT_S);
        if (client_call(client, "org.carewallet.Status", NULL, false, NULL, 0) != 0 || client_receive(client, &reply) != 0 || reply.error)
                return "not answering";
        if (!message_bool(reply.parameters, "initialized"))
                return "none yet";
        if (message_bool(reply.parameters, "keysLost"))
                return "keys lost";
        return message_bool(reply.parameters, "locked") ? "locked" : "open";
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *list = json_array();
        static Place places[PLACES_MAX];
        size_t n = places_list(places);

        for (size_t i = 0; i < n; i++) {
                const char *state = state_of(&places[i]);

                if (cli->json)
                        (void) json_array_append_new(list, json_pack("{s:s, s:s, s:s}", "name", places[i].name, "state", state, "socket", places[i].socket));
                else
                        printf("%s%-*s%s  %-13s  %s\n", paint(stdout, PAINT_BOLD), (int) (n > 1 ? PLACES_NAME_MAX / 2 : sizeof(PLACES_PLAIN) - 1), places[i].name,
                               unpaint(stdout), state, places[i].socket);
        }
        if (cli->json)
                return cli_print_json(cli, list);
        if (n == 0)
                output_say(stdout, 0, "There is none. Next: systemctl --user enable --now carewalletd.socket; carewallet init");
        else
                output_say(stdout, 0, "\nUse one of them: carewallet --wallet NAME VERB, or CAREWALLET_WALLET=NAME for all that follows. Another one: "
                                      "systemctl --user enable --now carewalletd@NAME.socket; carewallet --wallet NAME init");
        return EXIT_DONE;
}

const Verb verb_wallets = {
        .name = "wallets",
        .group = "Wallet",
        .operands = "",
        .summary = "Which wallets you have: a child's beside your own, say",
        .help = "Each has a daemon, keys, files and a passphrase of its own; nothing is shared. The one without a name is called " PLACES_PLAIN ".",
        .run = run,
};
