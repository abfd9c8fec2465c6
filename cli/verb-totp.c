/* SPDX-License-Identifier: Apache-2.0 */

/* Codes of a phone: enrolled, renewed, given up. */

#include "cli.h"

#include "qr.h"

enum {
        YES = N_CLI_PROOF_OPTIONS, /* remove */
        CONFIRM_FD = N_CLI_PROOF_OPTIONS, /* enrol */
};

static const Option enrol_options[] = {
        CLI_PROOF_OPTIONS,
        [CONFIRM_FD] = {"confirm-fd", "N", "read the code that the phone then shows from this descriptor", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option codes_options[] = {
        CLI_PROOF_OPTIONS,
        {NULL, NULL, NULL, NULL},
};

static const Option remove_options[] = {
        CLI_PROOF_OPTIONS,
        [YES] = {"yes", NULL, "do not ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int call(Cli *cli, const char *method, Reply *ret) {
        cleanup(json_decrefp) json_t *parameters = json_object();
        cleanup(close_fdp) int fd = -1;
        Progress progress;
        int r;

        r = cli_proof(cli, parameters, &fd);
        if (r != 0)
                return r;
        progress_begin(&progress);
        progress_note(&progress, "Checking the passphrase ...");
        r = cli_ask(cli, method, json_incref(parameters), false, &fd, 1, ret);
        progress_end(&progress);
        if (r == 0 && ret->error)
                r = cli_reply_failed(cli, ret);
        return r;
}

static int take_secret(Cli *cli, Reply *reply, const char *name, Secret **ret) {
        cleanup(close_fdp) int fd = reply_take_fd(reply, name);

        if (fd < 0 || secret_read_memfd(ret, fd) != 0)
                return cli_fail(cli, EXIT_INTERNAL, "What should come with the answer of carewalletd did not. Is it of another version?");
        return 0;
}

/* Straight to the descriptor: a copy in stdio's buffer would not be wiped. */
static int say(Cli *cli, const char *before, const uint8_t *secret, size_t n, const char *after) {
        int r = fflush(stdout) == 0 ? 0 : -errno;

        if (r == 0)
                r = output_write(STDOUT_FILENO, before, strlen(before));
        if (r == 0)
                r = output_write(STDOUT_FILENO, secret, n);
        if (r == 0)
                r = output_write(STDOUT_FILENO, after, strlen(after));
        return r == 0 ? 0 : cli_trouble(cli, r, "Writing the output failed");
}

static int print_codes(Cli *cli, Reply *reply) {
        cleanup(secret_freep) Secret *codes = NULL;
        int r;

        r = take_secret(cli, reply, "codesFd", &codes);
        if (r != 0)
                return r;
        return say(cli, "\nTen one-time codes, for when the phone is not at hand. Each counts once. Write them\ndown beside the recovery code; they can't be shown again:\n\n",
                   secret_data(codes), secret_size(codes), "");
}

/* The code, and the key for whoever can't scan it. */
static int show(Cli *cli, const Secret *uri) {
        cleanup(secret_freep) Secret *text = NULL;
        cleanup(qr_freep) Qr *qr = NULL;
        const char *key;
        int r;

        r = secret_new(&text, secret_size(uri) + 1);
        if (r == 0) {
                memcpy(secret_data(text), secret_data(uri), secret_size(uri));
                r = qr_new(&qr, (const char *) secret_data(text));
        }
        if (r < 0)
                return cli_trouble(cli, r, "Making the QR code failed");
        key = strstr((const char *) secret_data(text), "secret=");
        if (!key)
                return cli_fail(cli, EXIT_INTERNAL, "What came from carewalletd is no enrolment. Is it of another version?");
        if (isatty(STDOUT_FILENO))
                qr_print(stdout, qr);
        return say(cli, "\nScan this with the authenticator on your phone, or type the key there:\n\n  ", (const uint8_t *) key + 7, strlen(key + 7),
                   "\n\nThen give the code that it shows.\n");
}

static int run_enrol(Cli *cli) {
        cleanup(reply_done) Reply begun = {0};
        cleanup(secret_freep) Secret *uri = NULL;
        int confirm_fd, r;

        if (cli->json)
                return cli_usage(cli, "The key of a phone goes to a person: there is no --json for it.");
        r = cli_descriptor(cli, CONFIRM_FD, &confirm_fd);
        if (r == 0)
                r = call(cli, "EnrolTotp", &begun);
        if (r == 0)
                r = take_secret(cli, &begun, "uriFd", &uri);
        if (r == 0)
                r = show(cli, uri);
        if (r != 0)
                return r;

        for (;;) {
                cleanup(reply_done) Reply reply = {0};
                cleanup(close_fdp) int fd = -1;

                r = cli_code_fd(cli, confirm_fd, "Code that the phone shows: ", &fd, NULL);
                if (r == 0)
                        r = cli_ask(cli, "ConfirmTotp", json_pack("{s:i}", "codeFd", 0), false, &fd, 1, &reply);
                if (r != 0)
                        return r;
                if (!reply.error) {
                        r = print_codes(cli, &reply);
                        if (r != 0)
                                return r;
                        puts("\nThe phone is enrolled. From now on a code is asked for each time that something lets\nmore out: a grant, a provider, the gate, a change of keys. Ending things never asks.");
                        return EXIT_DONE;
                }
                if (strcmp(reply.error, "org.carewallet.WrongCode") != 0)
                        return cli_reply_failed(cli, &reply);
                r = cli_fail(cli, EXIT_PASSPHRASE, "That is not the code of this key. Is the phone's clock right? %s",
                             confirm_fd >= 0 ? "Nothing was changed." : "Wait for the next one, or end with Ctrl-C: nothing is changed so far.");
                if (confirm_fd >= 0)
                        return r;
        }
}

static int run_codes(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (cli->json)
                return cli_usage(cli, "One-time codes go to a person: there is no --json for them.");
        r = call(cli, "RenewCodes", &reply);
        if (r == 0)
                r = print_codes(cli, &reply);
        if (r == 0)
                puts("\nThe ones that you had are void.");
        return r;
}

static int run_remove(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (!cli_option(cli, YES)) {
                r = cli_confirm(cli, "From then on the passphrase alone is enough for everything. Go on?");
                if (r != 0)
                        return r;
        }
        r = call(cli, "RemoveTotp", &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        puts("Codes are asked for no more. Delete the entry on the phone.");
        return EXIT_DONE;
}

const Verb verb_totp_enrol = {
        .name = "totp enrol",
        .group = "Keys",
        .operands = "",
        .summary = "A phone whose codes are asked for, or another one",
        .help = "Shows a QR code for the authenticator on the phone (TOTP), and asks for one code of it. Then ten one-time codes are printed.\n"
                "With the phone lost: --recovery. It guards the daemon's socket, not the files: those are guarded by your passphrase.",
        .options = enrol_options,
        .run = run_enrol,
};

const Verb verb_totp_codes = {
        .name = "totp codes",
        .group = "Keys",
        .operands = "",
        .summary = "Ten new one-time codes; the old ones are void",
        .options = codes_options,
        .run = run_codes,
};

const Verb verb_totp_remove = {
        .name = "totp remove",
        .group = "Keys",
        .operands = "",
        .summary = "Ask for codes of a phone no more",
        .options = remove_options,
        .run = run_remove,
};
