/* SPDX-License-Identifier: Apache-2.0 */

/* A new root key: what opened the wallet before, or a copy of it, opens nothing of what is written from then on. */

#include "cli.h"

#include "recovery-code.h"

enum {
        YES = N_CLI_PROOF_OPTIONS,
        OUT,
        PDF,
        END_GRANTS,
};

static const Option options[] = {
        CLI_PROOF_OPTIONS,
        [YES] = {"yes", NULL, "do not ask", NULL},
        [OUT] = {"out", "FILE", "write the new recovery code to a new file and not to the terminal", NULL},
        [PDF] = {"pdf", "FILE", "make a new recovery kit, a page to be printed", NULL},
        [END_GRANTS] = {"end-grants", NULL, "revoke everything that anybody may see, too", NULL},
        {NULL, NULL, NULL, NULL},
};

static int confirm(Cli *cli) {
        if (cli_option(cli, YES))
                return 0;
        output_say(stderr, 0, "All your data will be written anew under a new key, which takes a while and as much room on the disk again. Then only the passphrase that you give "
                              "now opens the wallet, and a new recovery code: every other passphrase, the recovery code that you have, and machines that open it by themselves "
                              "are out, and have to be added again. %s",
                   cli_option(cli, END_GRANTS) ? "Every grant is revoked." : "Grants go on (--end-grants would end them), but nobody is served meanwhile.");
        return cli_confirm(cli, "Go on?");
}

static int end_grants(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "Revoke", json_pack("{s:b, s:s}", "all", 1, "reason", "keys rotated"), false, NULL, 0, &reply);
        if (r == 0 && !message_bool(reply.parameters, "durable"))
                r = cli_fail(cli, EXIT_REFUSED, "The grants are ended, but that could not be written to the disk, so the keys are as they were. Make room and try again.");
        return r;
}

/* The plan is on the disk, or may be. @file: where the new code is, or NULL */
static int unfinished(const char *file, int r) {
        if (file)
                cli_warn("the rotation goes on at the next carewallet unlock, if it had begun. If that says that the keys have changed, the code in %s counts, else delete that file.", file);
        else
                cli_warn("the rotation goes on at the next carewallet unlock, if it had begun. If that says that the keys have changed, make another recovery code: "
                         "carewallet key recovery");
        return r;
}

static int run(Cli *cli) {
        cleanup(close_fdp) int secret_fd = -1, new_fd = -1;
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:i}", "newFd", 1);
        cleanup(reply_done) Reply planned = {0}, reply = {0};
        const char *out = cli_option(cli, OUT), *pdf = cli_option(cli, PDF), *file = pdf ? pdf : out, *state;
        cleanup(secret_freep) Secret *code = NULL;
        int fds[2], r;

        if (out && pdf)
                return cli_usage(cli, "--out or --pdf, not both.");
        r = confirm(cli);
        if (r == 0)
                r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0 && cli_option(cli, END_GRANTS))
                r = end_grants(cli);
        if (r != 0)
                return r;
        r = recovery_code_make(&code);
        if (r == 0)
                r = secret_to_memfd(&new_fd, code, strlen((const char *) secret_data(code)));
        if (r < 0)
                return cli_trouble(cli, r, "Making the code failed");
        if (file) {
                r = recovery_code_write(out, pdf, code, message_text(cli->status, "walletId", "?"));
                if (r < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s. The keys are as they were.", file, strerror(-r));
        }

        fds[0] = secret_fd;
        fds[1] = new_fd;
        r = cli_call(cli, "RotateKey", json_incref(parameters), false, fds, 2, &planned);
        if (r == EXIT_UNREACHABLE) /* nobody knows whether it was planned */
                return unfinished(file, r);
        if (r != 0) {
                if (file)
                        (void) unlink(file);
                return r;
        }
        r = cli_reconnect(cli);
        if (r == 0)
                r = cli_unlock(cli, json_pack("{s:i}", "secretFd", 0), secret_fd, &reply);
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        if (r != 0)
                return unfinished(file, r);
        state = message_text(reply.parameters, "rotation", "");
        if (strcmp(state, "done") != 0) {
                if (file)
                        (void) unlink(file);
                return cli_fail(cli, EXIT_REFUSED, "The keys are as they were (%s), and so is the recovery code.", state);
        }

        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:O}", "ended", json_object_get(planned.parameters, "ended"));

                (void) json_object_set_new(answer, file ? "out" : "recovery_code", file ? json_string(file) : json_string((const char *) secret_data(code)));
                return cli_print_json(cli, answer);
        }
        output_say(stdout, 0, "Your data is written anew, and the wallet is open. The passphrase that you gave opens it, and the new recovery code%s%s.", file ? " in " : "", file ? file : "");
        if (json_array_size(json_object_get(planned.parameters, "ended")) > 0) {
                fputs("These open it no more: ", stdout);
                output_list(stdout, json_object_get(planned.parameters, "ended"));
                puts(". Add them again, if they should: carewallet key add");
        }
        if (!file && recovery_code_show(code) < 0)
                return cli_fail(cli, EXIT_INTERNAL, "The new recovery code could not be written. Make another: carewallet key recovery");
        return EXIT_DONE;
}

const Verb verb_key_rotate = {
        .name = "key rotate",
        .group = "Keys",
        .operands = "",
        .summary = "Write everything anew under a new key; old keys open nothing",
        .help = "For when somebody may have a passphrase and a copy of your files, or when the wallet is handed over. Changing a passphrase does not help there: "
                "an old copy of the file slots still opens with the old one.\n"
                "Needs the passphrase. If it is interrupted, even by a power cut, it goes on at the next unlock. Old backups keep their old keys: delete them.",
        .options = options,
        .run = run,
};
