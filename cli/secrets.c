/* SPDX-License-Identifier: Apache-2.0 */

/* Secrets that verbs hand to the daemon: had from a descriptor or the terminal, sealed into memfds. */

#include "cli.h"

#include <pwd.h>
#include <sodium.h>

#include "daemon/common/code.h"
#include "daemon/common/recovery.h"
#include "parse.h"
#include "passphrase.h"
#include "strength.h"

enum {
        TRIES = 3, /* at the prompt */
};

int cli_descriptor(Cli *cli, size_t option, int *ret_fd) {
        const char *text = cli_option(cli, option);
        int64_t n = -1;

        if (text && parse_number(text, 0, 1 << 20, &n) != 0)
                return cli_usage(cli, "--%s needs the number of an open descriptor.", cli->verb->options[option].name);
        *ret_fd = (int) n;
        return 0;
}

/* @from_fd: -1 to ask. @what: "passphrase" */
static int read_secret(Cli *cli, int from_fd, const char *option, const char *what, const char *prompt, Secret **ret, size_t *ret_n) {
        int r;

        if (from_fd < 0)
                r = passphrase_can_ask() ? passphrase_ask(prompt, ret, ret_n) : PASSPHRASE_E_TERMINAL;
        else
                r = passphrase_read(from_fd, ret, ret_n);

        switch (r) {
        case 0:
                return 0;
        case PASSPHRASE_E_EMPTY:
                return cli_fail(cli, EXIT_PASSPHRASE, "The %s is empty.", what);
        case PASSPHRASE_E_LONG:
                return cli_fail(cli, EXIT_PASSPHRASE, "The %s is too long (4096 bytes at most).", what);
        case PASSPHRASE_E_TERMINAL:
                return cli_fail(cli, EXIT_PASSPHRASE, "This needs a %s, and there is no terminal to ask for it: give --%s N.", what, option);
        case PASSPHRASE_E_INTERRUPTED:
                return cli_fail(cli, EXIT_PASSPHRASE, "No %s was given.", what);
        case -EBADF:
                return cli_usage(cli, "--%s %d is not an open descriptor.", option, from_fd);
        default:
                return cli_trouble(cli, r, "Reading a secret failed");
        }
}

static int hand_over(Cli *cli, const Secret *secret, size_t n, int *ret_fd) {
        int r = secret_to_memfd(ret_fd, secret, n);

        return r == 0 ? 0 : cli_trouble(cli, r, "Handing over a secret failed");
}

int cli_secret_fd(Cli *cli, const char *prompt, int *ret_fd) {
        cleanup(secret_freep) Secret *secret = NULL;
        size_t n;
        int r;

        r = read_secret(cli, cli->passphrase_fd, "passphrase-fd", "passphrase", prompt, &secret, &n);
        return r == 0 ? hand_over(cli, secret, n, ret_fd) : r;
}

int cli_new_secret_fd(Cli *cli, int from_fd, bool weak_anyway, int *ret_fd) {
        const char *option = from_fd >= 0 && from_fd == cli->passphrase_fd ? "passphrase-fd" : "new-passphrase-fd";
        const struct passwd *user = getpwuid(getuid());
        int r;

        for (unsigned try = 1;; try++) {
                cleanup(secret_freep) Secret *secret = NULL, *repeated = NULL;
                size_t n, n_repeated;
                const char *advice;
                Strength strength;

                r = read_secret(cli, from_fd, option, "new passphrase", "New passphrase: ", &secret, &n);
                if (r != 0)
                        return r;
                r = strength_of(secret, n, user ? user->pw_name : NULL, &strength, &advice);
                if (r < 0)
                        return cli_trouble(cli, r, "Judging the passphrase failed");
                if (strength < STRENGTH_NEEDED && !weak_anyway) {
                        if (from_fd < 0 && !cli->json && try < TRIES) {
                                output_say(stderr, 0, "This passphrase is %s. %s", strength_words(strength), advice);
                                continue;
                        }
                        return cli_fail(cli, EXIT_REFUSED, "This passphrase is %s. %s Nothing was done. If it has to be this one: --weak-anyway", strength_words(strength),
                                        advice);
                }
                if (from_fd < 0) {
                        output_say(stderr, 0, "This passphrase is %s.%s%s", strength_words(strength), advice[0] ? " " : "", advice);
                        r = read_secret(cli, -1, option, "new passphrase", "Once more: ", &repeated, &n_repeated);
                        if (r != 0)
                                return r;
                        if (n != n_repeated || sodium_memcmp(secret_data(secret), secret_data(repeated), n) != 0)
                                return cli_fail(cli, EXIT_PASSPHRASE, "The two passphrases are not the same. Nothing was done.");
                }
                return hand_over(cli, secret, n, ret_fd);
        }
}

int cli_recovery_fd(Cli *cli, int from_fd, int *ret_fd) {
        for (unsigned try = 1;; try++) {
                cleanup(secret_freep) Secret *text = NULL, *code = NULL;
                bool again = from_fd < 0 && !cli->json && try < TRIES;
                unsigned group = 0;
                size_t n;
                int r;

                r = read_secret(cli, from_fd, "recovery-fd", "recovery code", "Recovery code: ", &text, &n);
                if (r != 0)
                        return r;
                r = secret_new(&code, RECOVERY_SIZE);
                if (r < 0)
                        return cli_trouble(cli, r, "Reading the recovery code failed");
                r = recovery_decode(secret_data(code), (const char *) secret_data(text), n, &group);
                if (r == 0)
                        return hand_over(cli, text, n, ret_fd);
                if (r == RECOVERY_E_GROUP)
                        r = cli_fail(cli, EXIT_PASSPHRASE, "Group %u of the code is mistyped. Look at it again.", group);
                else
                        r = cli_fail(cli, EXIT_PASSPHRASE, "That is not a recovery code: it has eight groups of five letters and digits.");
                if (!again)
                        return r;
        }
}

int cli_code_fd(Cli *cli, int from_fd, const char *prompt, int *ret_fd, bool *ret_recovery) {
        cleanup(secret_freep) Secret *text = NULL, *scratch = NULL;
        bool is_code, is_recovery;
        unsigned group;
        size_t n;
        int r;

        r = read_secret(cli, from_fd, "code-fd", "code", prompt, &text, &n);
        if (r != 0)
                return r;
        r = secret_new(&scratch, RECOVERY_SIZE + CODE_TEXT_SIZE);
        if (r < 0)
                return cli_trouble(cli, r, "Reading the code failed");
        is_code = code_read((char *) secret_data(scratch), (const char *) secret_data(text), n) == 0;
        r = recovery_decode(secret_data(scratch), (const char *) secret_data(text), n, &group);
        is_recovery = r == 0;
        if (ret_recovery && r == RECOVERY_E_GROUP)
                return cli_fail(cli, EXIT_PASSPHRASE, "Group %u of the recovery code is mistyped. Look at it again.", group);
        if (!is_code && !(ret_recovery && is_recovery))
                return cli_fail(cli, EXIT_PASSPHRASE, "That is no code: one of the phone has six digits, a one-time code ten letters and digits.");
        if (ret_recovery)
                *ret_recovery = is_recovery;
        return hand_over(cli, text, n, ret_fd);
}

int cli_unlock(Cli *cli, json_t *parameters, int secret_fd, Reply *ret) {
        Progress progress;
        int r;

        progress_begin(&progress);
        progress_note(&progress, "Unlocking ...");
        r = cli_ask(cli, "Unlock", parameters, true, &secret_fd, 1, ret);
        while (r == 0 && !ret->error && ret->continues) {
                const json_t *done = json_object_get(ret->parameters, "progress");

                progress_bar(&progress, "Writing your data anew", message_int(done, "done", 0), message_int(done, "all", 0));
                reply_done(ret);
                r = client_receive(cli->client, ret);
                if (r != 0)
                        r = cli_transport_failed(cli, r);
        }
        progress_end(&progress);
        return r;
}

void cli_unlocked(const Reply *reply) {
        const char *reason = message_text(reply->parameters, "notApplied", NULL);
        const json_t *name;
        size_t i;

        json_array_foreach (json_object_get(reply->parameters, "unknown"), i, name)
                cli_warn("\"%s\": a revocation of that name waited for the wallet, but you know no provider of that name, so it ended nothing. Look at carewallet grants, "
                         "then: carewallet revoke NAME", json_is_string(name) ? json_string_value(name) : "?");
        if (reason)
                cli_warn("%s", reason);
        if (message_bool(reply->parameters, "keysChanged"))
                cli_warn("the last change of the keys was interrupted, and has taken effect now. See what opens the wallet: carewallet key list. If that change was to make a "
                         "recovery code, the one that you had is void: unless you have the new one, make another now: carewallet key recovery");
}

int cli_proof(Cli *cli, json_t *parameters, int *ret_fd) {
        bool recovery = cli_option(cli, CLI_RECOVERY) || cli_option(cli, CLI_RECOVERY_FD);
        cleanup(json_decrefp) json_t *unlock = NULL;
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        int recovery_fd, r;

        r = cli_descriptor(cli, CLI_RECOVERY_FD, &recovery_fd);
        if (r == 0)
                r = cli_look(cli, false);
        if (r != 0)
                return r;
        if (!message_bool(cli->status, "initialized"))
                return cli_fail(cli, EXIT_LOCKED, "There is no wallet yet. Next: carewallet init");
        if (message_bool(cli->status, "keysLost"))
                return cli_keys_lost(cli);
        r = recovery ? cli_recovery_fd(cli, recovery_fd, &fd) : cli_secret_fd(cli, "Passphrase as it is now: ", &fd);
        if (r != 0)
                return r;
        (void) json_object_set_new(parameters, "secretFd", json_integer(0));
        if (recovery)
                (void) json_object_set_new(parameters, "recovery", json_true());

        if (message_bool(cli->status, "locked")) {
                unlock = json_pack("{s:i, s:b}", "secretFd", 0, "recovery", recovery);
                r = cli_ask(cli, "Unlock", json_incref(unlock), false, &fd, 1, &reply);
                if (r == 0 && reply.error)
                        r = cli_reply_failed(cli, &reply);
                if (r != 0)
                        return r;
                cli_unlocked(&reply);
        }
        *ret_fd = take_fd(&fd);
        return 0;
}
