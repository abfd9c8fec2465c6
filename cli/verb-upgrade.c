/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        YES = N_CLI_PROOF_OPTIONS,
};

static const Option options[] = {
        CLI_PROOF_OPTIONS,
        [YES] = {"yes", NULL, "do not ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_object();
        cleanup(reply_done) Reply planned = {0}, reply = {0};
        cleanup(close_fdp) int secret_fd = -1;
        json_t *unlock = json_pack("{s:i}", "secretFd", 0);
        const char *state;
        int r;

        r = cli_connect(cli);
        if (r == 0 && !cli_option(cli, YES)) {
                output_say(stderr, 0, "This writes the wallet anew in the format of SQLCipher 4, which takes a while and as much room on the disk again. From then on no machine with "
                                      "SQLCipher 3 (Debian 12) can open it, nor a backup that is made of it afterwards. There is no way back. Nobody is served meanwhile.");
                r = cli_confirm(cli, "Upgrade?");
        }
        if (r == 0)
                r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0)
                r = cli_call(cli, "UpgradeCipher", json_incref(parameters), false, &secret_fd, 1, &planned);
        if (r == 0)
                r = cli_reconnect(cli);
        if (r != 0) {
                json_decref(unlock);
                return r;
        }
        if (message_bool(parameters, "recovery"))
                (void) json_object_set_new(unlock, "recovery", json_true());
        r = cli_unlock(cli, unlock, secret_fd, &reply);
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        if (r != 0) {
                cli_warn("the upgrade goes on at the next carewallet unlock.");
                return r;
        }
        state = message_text(reply.parameters, "rotation", "");
        if (strcmp(state, "done") != 0)
                return cli_fail(cli, EXIT_REFUSED, "The wallet has the format that it had (%s).", state);
        if (cli->json)
                return cli_print_json(cli, planned.parameters);
        output_say(stdout, 0, "The wallet has the format of SQLCipher 4, and is open: every row was written anew, read back and compared. SQLCipher 3 cannot open it any more. "
                              "Make a new backup.");
        return EXIT_DONE;
}

const Verb verb_upgrade_cipher = {
        .name = "upgrade-cipher",
        .group = "Keys",
        .operands = "",
        .summary = "Move the wallet to the format of SQLCipher 4",
        .help = "Its pages are then authenticated by HMAC-SHA512 instead of HMAC-SHA1. Not needed, and for good: SQLCipher 3 (Debian 12) cannot open it any "
                "more. Interrupted, it goes on at the next unlock.",
        .options = options,
        .run = run,
};
