/* SPDX-License-Identifier: Apache-2.0 */

/* What opens the wallet: passphrases, the recovery code, credentials. */

#include "cli.h"

#include "credential.h"
#include "recovery-code.h"

enum {
        /* add, change */
        NEW_FD = N_CLI_PROOF_OPTIONS,
        WEAK_ANYWAY,
        /* add */
        CREDENTIAL,
        CREDENTIAL_OUT,
        /* remove, recovery */
        YES = N_CLI_PROOF_OPTIONS,
        OUT,
        PDF,
};

static const Option add_options[] = {
        CLI_PROOF_OPTIONS,
        [NEW_FD] = {"new-passphrase-fd", "N", "read the new passphrase from this descriptor", NULL},
        [WEAK_ANYWAY] = {"weak-anyway", NULL, "take a passphrase that is easily guessed", NULL},
        [CREDENTIAL] = {"systemd-credential", NULL, "instead: a key with which this machine opens the wallet by itself at start", NULL},
        [CREDENTIAL_OUT] = {"out", "FILE", "the new file for it, sealed by systemd-creds", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option new_options[] = {
        CLI_PROOF_OPTIONS,
        [NEW_FD] = {"new-passphrase-fd", "N", "read the new passphrase from this descriptor", NULL},
        [WEAK_ANYWAY] = {"weak-anyway", NULL, "take a passphrase that is easily guessed", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option remove_options[] = {
        CLI_PROOF_OPTIONS,
        [YES] = {"yes", NULL, "do not ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option recovery_options[] = {
        CLI_PROOF_OPTIONS,
        [YES] = {"yes", NULL, "do not ask", NULL},
        [OUT] = {"out", "FILE", "write the code to a new file and not to the terminal", NULL},
        [PDF] = {"pdf", "FILE", "make a page to be printed, with the code, a QR code of it and what to do", NULL},
        {NULL, NULL, NULL, NULL},
};

static int run_list(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *keys, *key;
        size_t i;
        int r;

        r = cli_call(cli, "ListKeys", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        keys = json_object_get(reply.parameters, "keys");
        if (cli->json)
                return cli_print_json(cli, keys);
        json_array_foreach (keys, i, key) {
                const char *type = message_text(key, "type", "");

                printf("%s%-24s%s  %s", paint(stdout, PAINT_BOLD), message_text(key, "label", ""), unpaint(stdout),
                       strcmp(type, "recovery") == 0     ? "recovery code, on paper"
                       : strcmp(type, "credential") == 0 ? "systemd credential: this machine opens it by itself"
                                                         : "passphrase");
                if (strcmp(type, "passphrase") == 0)
                        printf(" (Argon2id, %lld MiB, %lld passes)", (long long) message_int(key, "memoryMib", 0), (long long) message_int(key, "passes", 0));
                putchar('\n');
        }
        return EXIT_DONE;
}

/* The call, with the secret that proves and the new one. */
static int change_keys(Cli *cli, const char *method, json_t *parameters, int secret_fd, int new_fd, Reply *ret) {
        const int fds[] = {secret_fd, new_fd};
        Progress progress;
        int r;

        progress_begin(&progress);
        progress_note(&progress, "Working on the keys (this takes a second or two on purpose) ...");
        r = cli_ask(cli, method, parameters, false, fds, new_fd >= 0 ? 2 : 1, ret);
        progress_end(&progress);
        if (r == 0 && ret->error)
                r = cli_reply_failed(cli, ret);
        return r;
}

static int run_new(Cli *cli, bool replace) {
        cleanup(close_fdp) int secret_fd = -1, new_fd = -1;
        cleanup(json_decrefp) json_t *parameters = NULL;
        cleanup(reply_done) Reply reply = {0};
        const char *label = cli_operand(cli, 0);
        int from_fd, r;

        r = cli_descriptor(cli, NEW_FD, &from_fd);
        if (r != 0)
                return r;
        parameters = json_pack("{s:s, s:i, s:b}", "type", "passphrase", "newFd", 1, "replace", replace);
        if (label)
                (void) json_object_set_new(parameters, "label", json_string(label));
        r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0)
                r = cli_new_secret_fd(cli, from_fd, cli_option(cli, WEAK_ANYWAY), &new_fd);
        if (r == 0)
                r = change_keys(cli, "AddKey", json_incref(parameters), secret_fd, new_fd, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        label = message_text(reply.parameters, "label", "");
        if (replace)
                output_say(stdout, 0, "The passphrase \"%s\" is changed; the one before it opens the wallet no more. An old copy of the file slots still opens with it: "
                                      "where somebody may have one, continue with carewallet key rotate.", label);
        else
                output_say(stdout, 0, "The passphrase \"%s\" opens the wallet from now on, as the others do.", label);
        return EXIT_DONE;
}

static int run_add(Cli *cli) {
        if (cli_option(cli, CREDENTIAL))
                return credential_add(cli, cli_operand(cli, 0), cli_option(cli, CREDENTIAL_OUT));
        if (!cli_operand(cli, 0))
                return cli_usage(cli, "Something is missing: carewallet key add LABEL.");
        return run_new(cli, false);
}

static int run_change(Cli *cli) {
        return run_new(cli, true);
}

static int run_remove(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:s}", "label", cli_operand(cli, 0));
        cleanup(close_fdp) int secret_fd = -1;
        cleanup(reply_done) Reply reply = {0};
        char question[256];
        int r;

        if (!cli_option(cli, YES)) {
                (void) snprintf(question, sizeof(question), "\"%.100s\" will open the wallet no more. Go on?", cli_operand(cli, 0));
                r = cli_confirm(cli, question);
                if (r != 0)
                        return r;
        }
        r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0)
                r = change_keys(cli, "RemoveKey", json_incref(parameters), secret_fd, -1, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        output_say(stdout, 0, "\"%s\" opens the wallet no more.", cli_operand(cli, 0));
        return EXIT_DONE;
}

/* --- key recovery --- */

static int run_recovery(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:s, s:i, s:b}", "type", "recovery", "newFd", 1, "replace", 1);
        cleanup(close_fdp) int secret_fd = -1, new_fd = -1;
        cleanup(secret_freep) Secret *code = NULL;
        const char *out = cli_option(cli, OUT), *pdf = cli_option(cli, PDF);
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (recovery_code_misfit(out, pdf, cli->json))
                return cli_usage(cli, "%s", recovery_code_misfit(out, pdf, cli->json));
        if (!cli_option(cli, YES)) {
                r = cli_confirm(cli, "A new recovery code will be made, and the one that you have will open the wallet no more. Go on?");
                if (r != 0)
                        return r;
        }
        r = cli_proof(cli, parameters, &secret_fd);
        if (r != 0)
                return r;
        r = recovery_code_make(&code);
        if (r == 0)
                r = secret_to_memfd(&new_fd, code, strlen((const char *) secret_data(code)));
        if (r < 0)
                return cli_trouble(cli, r, "Making the code failed");
        if (out || pdf) {
                r = recovery_code_write(out, pdf, code, message_text(cli->status, "walletId", "?"));
                out = pdf ? pdf : out;
                if (r < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s. The recovery code that you have is still the right one.", out, strerror(-r));
        }
        r = change_keys(cli, "AddKey", json_incref(parameters), secret_fd, new_fd, &reply);
        if (r != 0) {
                /* where it may count it stays */
                if (out && r != EXIT_UNREACHABLE && r != EXIT_INTERNAL && strcmp(reply.error ? reply.error : "", "org.carewallet.NotDurable") != 0)
                        (void) unlink(out);
                else if (out)
                        cli_warn("the recovery code in %s may count already. Keep it, and the one before it, until this was done again.", out);
                return r;
        }
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s}", "out", out);

                return cli_print_json(cli, answer);
        }
        if (out)
                output_say(stdout, 0, pdf ? "The recovery kit is %s: print it, then delete the file. The code that you had is void."
                                          : "The new recovery code is in %s. The one that you had is void. Keep it away from this machine.", out);
        else if (recovery_code_show(code) < 0)
                return cli_fail(cli, EXIT_INTERNAL, "The new recovery code is made, but could not be written. Make another: carewallet key recovery");
        return EXIT_DONE;
}

const Verb verb_key_list = {
        .name = "key list",
        .group = "Keys",
        .operands = "",
        .summary = "What opens the wallet",
        .run = run_list,
};

const Verb verb_key_add = {
        .name = "key add",
        .group = "Keys",
        .operands = "LABEL",
        .n_max = 1,
        .summary = "Another passphrase that opens the wallet",
        .help = "For a second person, say. LABEL is yours to choose. Each opens the whole wallet; eight keys at most.\n"
                "Asks for a passphrase as it is now (or reads it with --passphrase-fd), then for the new one twice.\n"
                "--systemd-credential, for carewalletd as a system service, makes a random key instead, which systemd-creds seals with this machine's TPM2, or its "
                "host key: the wallet is open whenever the machine runs. LABEL may be left out then.",
        .options = add_options,
        .run = run_add,
};

const Verb verb_key_change = {
        .name = "key change",
        .group = "Keys",
        .operands = "[LABEL]",
        .n_max = 1,
        .summary = "Another passphrase in the place of one",
        .help = "Without LABEL the one that you give; with --recovery, when the passphrase is forgotten, the only one.\n"
                "Your data is not written anew for it: that is carewallet key rotate.",
        .options = new_options,
        .run = run_change,
};

const Verb verb_key_remove = {
        .name = "key remove",
        .group = "Keys",
        .operands = "LABEL",
        .n_min = 1,
        .n_max = 1,
        .summary = "A key opens the wallet no more",
        .help = "The last passphrase stays: a recovery code is for emergencies.",
        .options = remove_options,
        .run = run_remove,
};

const Verb verb_key_recovery = {
        .name = "key recovery",
        .group = "Keys",
        .operands = "",
        .summary = "A new recovery code; the old one is void",
        .help = "--pdf makes the recovery kit, one page to be printed. The file is new, and yours alone (mode 0600).",
        .options = recovery_options,
        .run = run_recovery,
};
