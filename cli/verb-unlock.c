/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "daemon/common/recovery.h"
#include "parse.h"
#include "passphrase.h"

enum {
        RECOVERY,
        RECOVERY_FD,
        INSIST,

        TRIES = 3, /* at the prompt */
};

static const Option options[] = {
        [RECOVERY] = {"recovery", NULL, "with the recovery code instead of the passphrase", NULL},
        [RECOVERY_FD] = {"recovery-fd", "N", "read the recovery code from this descriptor", NULL},
        [INSIST] = {"insist", NULL, "open it though its key file is older than the wallet has seen", NULL},
        {NULL, NULL, NULL, NULL},
};

/* A mistyped group is found here, before a try is used up. */
static int recovery_code(Cli *cli, int *ret_fd) {
        cleanup(secret_freep) Secret *text = NULL, *code = NULL;
        unsigned group = 0;
        size_t n;
        int r;

        if (cli->passphrase_fd >= 0)
                r = passphrase_read(cli->passphrase_fd, &text, &n);
        else
                r = passphrase_can_ask() ? passphrase_ask("Recovery code: ", &text, &n) : PASSPHRASE_E_TERMINAL;
        if (r < 0)
                return cli_trouble(cli, r, "Reading the recovery code failed");
        if (r > 0)
                return cli_fail(cli, EXIT_PASSPHRASE, "No recovery code was given%s",
                                r == PASSPHRASE_E_TERMINAL ? ", and there is no terminal to ask for it: use --recovery-fd N." : ".");

        r = secret_new(&code, RECOVERY_SIZE);
        if (r < 0)
                return cli_trouble(cli, r, "Reading the recovery code failed");
        r = recovery_decode(secret_data(code), (const char *) secret_data(text), n, &group);
        if (r == RECOVERY_E_GROUP)
                return cli_fail(cli, EXIT_PASSPHRASE, "Group %u of the code is mistyped. Look at it again.", group);
        if (r != 0)
                return cli_fail(cli, EXIT_PASSPHRASE, "That is not a recovery code: it has eight groups of five letters and digits.");

        r = secret_to_memfd(ret_fd, text, n);
        return r == 0 ? 0 : cli_trouble(cli, r, "Handing over the recovery code failed");
}

static int run(Cli *cli) {
        bool recovery = cli_option(cli, RECOVERY) || cli_option(cli, RECOVERY_FD);
        char number[OUTPUT_NUMBER_SIZE];
        int r;

        if (cli_option(cli, RECOVERY_FD)) {
                int64_t n;

                if (parse_number(cli_option(cli, RECOVERY_FD), 0, 1 << 20, &n) != 0)
                        return cli_usage(cli, "--recovery-fd needs the number of an open descriptor.");
                cli->passphrase_fd = (int) n;
        }
        r = cli_look(cli, false);
        if (r != 0)
                return r;
        if (!message_bool(cli->status, "initialized"))
                return cli_fail(cli, EXIT_LOCKED, "There is no wallet yet. Next: carewallet init");

        for (unsigned try = 1;; try++) {
                cleanup(close_fdp) int fd = -1;
                cleanup(reply_done) Reply reply = {0};
                json_t *parameters = json_pack("{s:i}", "secretFd", 0);
                Progress progress;
                int64_t wait_ms, n_applied;

                if (recovery)
                        (void) json_object_set_new(parameters, "recovery", json_true());
                cli_show_seen(cli, parameters);
                if (cli_option(cli, INSIST))
                        (void) json_object_set_new(parameters, "insist", json_true());
                r = recovery ? recovery_code(cli, &fd) : cli_secret_fd(cli, "Passphrase: ", NULL, &fd);
                if (r != 0) {
                        json_decref(parameters);
                        return r;
                }

                progress_begin(&progress);
                progress_note(&progress, "Unlocking ...");
                r = cli_ask(cli, "Unlock", parameters, false, &fd, 1, &reply);
                progress_end(&progress);
                if (r != 0)
                        return r;
                if (reply.error) {
                        r = cli_reply_failed(cli, &reply);
                        if (r != EXIT_PASSPHRASE || cli->passphrase_fd >= 0 || cli->json || try == TRIES)
                                return r;
                        wait_ms = message_int(reply.parameters, "retryAfterMs", 0);
                        (void) usleep((useconds_t) (wait_ms > 0 && wait_ms < 60000 ? wait_ms : 0) * 1000);
                        continue;
                }

                n_applied = message_int(reply.parameters, "applied", 0);
                r = cli_look(cli, false);
                if (r != 0)
                        return r;
                if (cli->json) {
                        cleanup(json_decrefp) json_t *answer = json_pack("{s:I}", "applied", (json_int_t) n_applied);

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
