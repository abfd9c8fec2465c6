/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        INSIST = N_CLI_PROOF_OPTIONS,

        TRIES = 3, /* at the prompt */
};

static const Option options[] = {
        CLI_PROOF_OPTIONS,
        [INSIST] = {"insist", NULL, "open it though its key file is older than the wallet has seen", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run(Cli *cli) {
        bool recovery = cli_option(cli, CLI_RECOVERY) || cli_option(cli, CLI_RECOVERY_FD);
        char number[OUTPUT_NUMBER_SIZE];
        int recovery_fd, r;

        r = cli_descriptor(cli, CLI_RECOVERY_FD, &recovery_fd);
        if (r != 0)
                return r;
        r = cli_look(cli, false);
        if (r != 0)
                return r;
        if (!message_bool(cli->status, "initialized"))
                return cli_fail(cli, EXIT_LOCKED, "There is no wallet yet. Next: carewallet init");
        if (message_bool(cli->status, "keysLost"))
                return cli_keys_lost(cli);

        for (unsigned try = 1;; try++) {
                cleanup(close_fdp) int fd = -1;
                cleanup(reply_done) Reply reply = {0};
                json_t *parameters = json_pack("{s:i}", "secretFd", 0);
                int64_t wait_ms, n_applied;

                if (recovery)
                        (void) json_object_set_new(parameters, "recovery", json_true());
                cli_show_seen(cli, parameters);
                if (cli_option(cli, INSIST))
                        (void) json_object_set_new(parameters, "insist", json_true());
                r = recovery ? cli_recovery_fd(cli, recovery_fd, &fd) : cli_secret_fd(cli, "Passphrase: ", &fd);
                if (r != 0) {
                        json_decref(parameters);
                        return r;
                }

                r = cli_unlock(cli, parameters, fd, &reply);
                if (r != 0)
                        return r;
                if (reply.error) {
                        r = cli_reply_failed(cli, &reply);
                        if (r != EXIT_PASSPHRASE || (recovery ? recovery_fd : cli->passphrase_fd) >= 0 || cli->json || try == TRIES)
                                return r;
                        wait_ms = message_int(reply.parameters, "retryAfterMs", 0);
                        (void) usleep((useconds_t) (wait_ms > 0 && wait_ms < 60000 ? wait_ms : 0) * 1000);
                        continue;
                }

                n_applied = message_int(reply.parameters, "applied", 0);
                cli_unlocked(&reply);
                r = cli_look(cli, false);
                if (r != 0)
                        return r;
                if (cli->json) {
                        cleanup(json_decrefp) json_t *answer = json_pack("{s:I, s:O*, s:O*, s:O*}", "applied", (json_int_t) n_applied, "unknown", json_object_get(reply.parameters, "unknown"),
                                                                         "not_applied", json_object_get(reply.parameters, "notApplied"), "keys_changed",
                                                                         json_object_get(reply.parameters, "keysChanged"));

                        return cli_print_json(cli, answer);
                }
                printf("%sThe wallet is open.%s\n", paint(stdout, PAINT_GOOD), unpaint(stdout));
                if (n_applied > 0)
                        printf("Applied first: %s revocation%s that waited.\n", output_number(number, n_applied), n_applied == 1 ? "" : "s");
                return EXIT_DONE;
        }
}

const Verb verb_unlock = {
        .name = "unlock",
        .group = "Wallet",
        .operands = "",
        .summary = "Open the wallet with your passphrase",
        .help = "Also counts as giving the passphrase in this terminal: for 15 minutes nothing asks for it again.",
        .options = options,
        .run = run,
};
