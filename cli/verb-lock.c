/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "parse.h"
#include "places.h"

enum {
        AFTER,
        ALL,

        TIMEOUT_S = 10,
        AFTER_MIN_S = 60,
        AFTER_MAX_S = 7 * 86400, /* daemon/PROTOCOL.md, SetAutoLock */
};

static const Option options[] = {
        [AFTER] = {"after", "TIME|off", "do not lock now, but whenever you have not used it for so long, such as 15min", NULL},
        [ALL] = {"all", NULL, "lock every wallet that you have, as carewallet wallets lists them", NULL},
        {NULL, NULL, NULL, NULL},
};

static int set_after(Cli *cli, const char *text) {
        cleanup(reply_done) Reply reply = {0};
        char duration[OUTPUT_NUMBER_SIZE];
        int64_t after_s = 0;
        int r;

        if (strcmp(text, "off") != 0 && (parse_duration(text, &after_s) != 0 || after_s < AFTER_MIN_S || after_s > AFTER_MAX_S))
                return cli_usage(cli, "--after needs a time from 1min to 7d such as 15min or 2h, or off; not \"%.64s\".", text);
        r = cli_call(cli, "SetAutoLock", json_pack("{s:I}", "afterS", (json_int_t) after_s), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:I}", "auto_lock_s", (json_int_t) after_s);

                return cli_print_json(cli, answer);
        }
        if (after_s > 0)
                output_say(stdout, 0, "From now on the wallet locks itself when you have not used it for %s. What providers fetch is no use of it: they get "
                                      "nothing from then on, until: carewallet unlock", output_duration(duration, after_s));
        else
                puts("The wallet stays open until: carewallet lock");
        return EXIT_DONE;
}

/* That core keeps the connection until its process is gone: only then are the keys out of memory. */
static int wait_for_end(Client *client) {
        cleanup(reply_done) Reply end = {0};

        client_set_timeout(client, TIMEOUT_S);
        return client_receive(client, &end) == CLIENT_E_GONE ? 0 : -ETIMEDOUT;
}

static int lock_place(const Place *place) {
        cleanup(client_freep) Client *client = NULL;
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = client_connect(&client, place->socket);
        if (r == -ENOENT || r == -ECONNREFUSED)
                return 0; /* no process, no keys */
        if (r != 0)
                return r;
        client_set_timeout(client, TIMEOUT_S);
        r = client_call(client, "org.carewallet.Lock", NULL, false, NULL, 0);
        if (r == 0)
                r = client_receive(client, &reply);
        if (r == 0 && reply.error)
                r = -EBADMSG;
        return r == 0 && message_bool(reply.parameters, "ended") ? wait_for_end(client) : r;
}

static int lock_all(Cli *cli) {
        cleanup(json_decrefp) json_t *locked = json_array();
        static Place places[PLACES_MAX];
        size_t n = places_list(places);
        int code = EXIT_DONE;

        for (size_t i = 0; i < n; i++)
                if (lock_place(&places[i]) == 0)
                        (void) json_array_append_new(locked, json_string(places[i].name));
                else
                        code = cli_fail(cli, EXIT_INTERNAL, "The wallet \"%s\" could not be locked. Stop its carewalletd to be sure.", places[i].name);
        if (cli->json)
                return cli_print_json(cli, locked) != 0 ? EXIT_INTERNAL : code;
        if (code == EXIT_DONE)
                puts(n == 0 ? "You have no wallet." : "All your wallets are locked: their keys are out of memory.");
        return code;
}

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (cli_option(cli, AFTER) && cli_option(cli, ALL))
                return cli_usage(cli, "--after or --all, not both.");
        if (cli_option(cli, AFTER))
                return set_after(cli, cli_option(cli, AFTER));
        if (cli_option(cli, ALL))
                return lock_all(cli);
        r = cli_call(cli, "Lock", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (message_bool(reply.parameters, "ended") && wait_for_end(cli->client) != 0)
                return cli_fail(cli, EXIT_INTERNAL, "The daemon said that it locks, but its process has not ended. Stop carewalletd to be sure.");
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
        .help = "Unless you say --after, the wallet stays open until you lock it: providers fetch while you are away, and from a locked wallet they get nothing.",
        .options = options,
        .run = run,
};
