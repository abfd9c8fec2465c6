/* SPDX-License-Identifier: Apache-2.0 */

/* A new root key: what opened the wallet before, or a copy of it, opens nothing of what is written from then on. Handing a wallet over is that, for somebody else. */

#include "cli.h"

#include "recovery-code.h"

enum {
        YES = N_CLI_PROOF_OPTIONS,
        OUT,
        PDF,
        END_GRANTS,
        /* handover */
        KEEP_GRANTS,
        NEW_FD,
        WEAK_ANYWAY,
};

#define OPTIONS                                                                                                   \
        CLI_PROOF_OPTIONS,                                                                                        \
        [YES] = {"yes", NULL, "do not ask", NULL},                                                                \
        [OUT] = {"out", "FILE", "write the new recovery code to a new file and not to the terminal", NULL},       \
        [PDF] = {"pdf", "FILE", "make a new recovery kit, a page to be printed", NULL},                           \
        [END_GRANTS] = {"end-grants", NULL, "revoke everything that anybody may see, too", NULL}

static const Option options[] = {
        OPTIONS,
        {NULL, NULL, NULL, NULL},
};

static const Option handover_options[] = {
        OPTIONS,
        [KEEP_GRANTS] = {"keep-grants", NULL, "whoever was granted something goes on seeing it", NULL},
        [NEW_FD] = {"new-passphrase-fd", "N", "read the new holder's passphrase from this descriptor", NULL},
        [WEAK_ANYWAY] = {"weak-anyway", NULL, "take a passphrase that is easily guessed", NULL},
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

/*
 * The plan, and the unlocking that carries it out. @parameters: with newFd. @fds: what proves, and behind a place for the new code what else is new; @code: gets it.
 * Return: 0, or an exit code.
 */
static int rotate(Cli *cli, json_t *parameters, int *fds, size_t n_fds, Secret **code, json_t **ret_ended) {
        const char *out = cli_option(cli, OUT), *pdf = cli_option(cli, PDF), *file = pdf ? pdf : out, *state;
        cleanup(reply_done) Reply planned = {0}, reply = {0};
        cleanup(close_fdp) int new_fd = -1;
        int r;

        r = recovery_code_make(code);
        if (r == 0)
                r = secret_to_memfd(&new_fd, *code, strlen((const char *) secret_data(*code)));
        if (r < 0)
                return cli_trouble(cli, r, "Making the code failed");
        if (file) {
                r = recovery_code_write(out, pdf, *code, message_text(cli->status, "walletId", "?"));
                if (r < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s. The keys are as they were.", file, strerror(-r));
        }

        fds[1] = new_fd;
        r = cli_call(cli, "RotateKey", json_incref(parameters), false, fds, n_fds, &planned);
        if (r == EXIT_UNREACHABLE) /* nobody knows whether it was planned */
                return unfinished(file, r);
        if (r != 0) {
                if (file)
                        (void) unlink(file);
                return r;
        }
        r = cli_reconnect(cli);
        if (r == 0)
                r = cli_unlock(cli, json_pack("{s:i, s:b}", "secretFd", 0, "recovery", message_bool(parameters, "recovery")), fds[0], &reply);
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
        *ret_ended = json_incref(json_object_get(planned.parameters, "ended"));
        return 0;
}

static int print_answer(const Cli *cli, json_t *ended) {
        const char *file = cli_option(cli, PDF) ? cli_option(cli, PDF) : cli_option(cli, OUT);
        cleanup(json_decrefp) json_t *answer = json_pack("{s:O, s:s}", "ended", ended, "out", file);

        return cli_print_json(cli, answer);
}

static int show_code(const Cli *cli, const Secret *code) {
        if (!cli_option(cli, PDF) && !cli_option(cli, OUT) && recovery_code_show(code) < 0)
                return cli_fail(cli, EXIT_INTERNAL, "The new recovery code could not be written. Make another: carewallet key recovery");
        return EXIT_DONE;
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:i}", "newFd", 1), *ended = NULL;
        const char *out = cli_option(cli, OUT), *pdf = cli_option(cli, PDF), *file = pdf ? pdf : out;
        cleanup(close_fdp) int secret_fd = -1;
        cleanup(secret_freep) Secret *code = NULL;
        int fds[2], r;

        if (recovery_code_misfit(out, pdf, cli->json))
                return cli_usage(cli, "%s", recovery_code_misfit(out, pdf, cli->json));
        r = confirm(cli);
        if (r == 0)
                r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0 && cli_option(cli, END_GRANTS))
                r = end_grants(cli);
        if (r != 0)
                return r;
        fds[0] = secret_fd;
        r = rotate(cli, parameters, fds, 2, &code, &ended);
        if (r != 0)
                return r;

        if (cli->json)
                return print_answer(cli, ended);
        output_say(stdout, 0, "Your data is written anew, and the wallet is open. The passphrase that you gave opens it, and the new recovery code%s%s.", file ? " in " : "", file ? file : "");
        if (json_array_size(ended) > 0) {
                fputs("These open it no more: ", stdout);
                output_list(stdout, ended);
                puts(". Add them again, if they should: carewallet key add");
        }
        return show_code(cli, code);
}

/* --- handover --- */

/* Return: 0 with *ret_end; or an exit code. */
static int ask_handover(Cli *cli, bool *ret_end) {
        char answer[16];

        if (cli_option(cli, END_GRANTS) && cli_option(cli, KEEP_GRANTS))
                return cli_usage(cli, "--end-grants or --keep-grants, not both.");
        *ret_end = cli_option(cli, END_GRANTS);
        if (!cli_option(cli, END_GRANTS) && !cli_option(cli, KEEP_GRANTS)) {
                if (!isatty(STDIN_FILENO))
                        return cli_usage(cli, "Say what becomes of the grants: --end-grants or --keep-grants.");
                fputs("Shall everything end that providers may see? The new holder can grant it again. [Y/n] ", stderr);
                *ret_end = !fgets(answer, sizeof(answer), stdin) || (answer[0] != 'n' && answer[0] != 'N');
        }
        if (cli_option(cli, YES))
                return 0;
        output_say(stderr, 0, "The wallet will be written anew under a new key, which takes a while and as much room on the disk again. First you give the passphrase of now, then the new "
                              "holder types another one, which you do not see, and gets a new recovery code. Nothing else opens it from then on: no other passphrase, no recovery code of "
                              "before, no machine by itself, and no phone is asked for codes. Backups made before still open with their old keys: hand them over too, or delete them.");
        return cli_confirm(cli, "Go on?");
}

static int run_handover(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:i, s:i}", "newFd", 1, "passphraseFd", 2), *ended = NULL;
        const char *out = cli_option(cli, OUT), *pdf = cli_option(cli, PDF);
        cleanup(close_fdp) int secret_fd = -1, passphrase_fd = -1;
        cleanup(secret_freep) Secret *code = NULL;
        cleanup(reply_done) Reply locked = {0};
        bool ends_grants = false;
        int fds[3], from_fd, r;

        if (recovery_code_misfit(out, pdf, cli->json))
                return cli_usage(cli, "%s", recovery_code_misfit(out, pdf, cli->json));
        r = cli_descriptor(cli, NEW_FD, &from_fd);
        if (r == 0)
                r = ask_handover(cli, &ends_grants);
        if (r == 0)
                r = cli_proof(cli, parameters, &secret_fd);
        if (r != 0)
                return r;
        if (from_fd < 0)
                output_say(stderr, 0, "Now the new holder:");
        r = cli_new_secret_fd(cli, from_fd, cli_option(cli, WEAK_ANYWAY), &passphrase_fd);
        if (r == 0 && ends_grants)
                r = end_grants(cli);
        if (r != 0)
                return r;
        fds[0] = secret_fd;
        fds[2] = passphrase_fd;
        r = rotate(cli, parameters, fds, 3, &code, &ended);
        if (r != 0)
                return r;

        /* this session is still that of the one before */
        r = cli_call(cli, "Lock", json_object(), false, NULL, 0, &locked);
        if (r != 0)
                cli_warn("the wallet is handed over, but could not be locked. Lock it now: carewallet lock");
        if (cli->json)
                return print_answer(cli, ended);
        output_say(stdout, 0, "The wallet is handed over, and locked. The new holder's passphrase opens it, and the recovery code%s%s, and nothing else. %s", pdf || out ? " in " : "",
                   pdf ? pdf : out ? out : "", ends_grants ? "Nobody may see anything until the new holder grants it." : "Grants go on once it is unlocked: carewallet grants");
        r = show_code(cli, code);
        if (r == EXIT_DONE)
                puts("\nNext, the new holder: carewallet unlock");
        return r;
}

const Verb verb_key_rotate = {
        .name = "key rotate",
        .group = "Keys",
        .operands = "",
        .summary = "Write everything anew under a new key; old keys open nothing",
        .help = "For when somebody may have a passphrase and a copy of your files; giving the wallet away is carewallet handover. Changing a passphrase does not help there: "
                "an old copy of the file slots still opens with the old one.\n"
                "Needs the passphrase. If it is interrupted, even by a power cut, it goes on at the next unlock. Old backups keep their old keys: delete them.",
        .options = options,
        .run = run,
};

const Verb verb_handover = {
        .name = "handover",
        .group = "Keys",
        .operands = "",
        .summary = "Give the wallet to somebody else, as to a child that has come of age",
        .help = "The one who has it gives the passphrase, or the recovery code; the new holder types another passphrase and gets a new recovery code. Everything is written anew under a new "
                "key: what opened the wallet until then opens it no more, and the phone's codes end. Grants end or go on, as you say.\n"
                "If it is interrupted, even by a power cut, the wallet opens as before or as the new holder's, and never neither; begun, it goes on at the next unlock.",
        .options = handover_options,
        .run = run_handover,
};
