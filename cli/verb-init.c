/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>
#include <limits.h>
#include <sys/stat.h>

#include "outfile.h"

enum {
        TIMEZONE,
        RECOVERY_OUT,
        WEAK_ANYWAY,
};

static const Option options[] = {
        [TIMEZONE] = {"timezone", "ZONE", "where your devices' clocks live, such as Europe/Berlin (else this machine's)", NULL},
        [RECOVERY_OUT] = {"recovery-out", "FILE", "write the recovery code to a new file and not to the terminal", NULL},
        [WEAK_ANYWAY] = {"weak-anyway", NULL, "take a passphrase that is easily guessed", NULL},
        {NULL, NULL, NULL, NULL},
};

/* This machine's zone by its IANA name, "" when it has none that we can tell. */
static void find_zone(char ret[static 64]) {
        static const char marker[] = "zoneinfo/";
        const char *tz = getenv("TZ"), *name = NULL;
        char link[PATH_MAX];
        ssize_t n;

        if (tz && tz[0] == ':')
                tz++;
        if (tz && (strchr(tz, '/') || strcmp(tz, "UTC") == 0) && tz[0] != '/')
                name = tz;
        else {
                n = readlink("/etc/localtime", link, sizeof(link) - 1);
                if (n > 0) {
                        link[n] = '\0';
                        name = strstr(link, marker);
                        name = name ? name + sizeof(marker) - 1 : NULL;
                }
        }
        (void) snprintf(ret, 64, "%s", name && strlen(name) < 64 ? name : "");
}

static int write_code(Cli *cli, const char *path, int fd, const Secret *code) {
        int r;

        r = output_write(fd, secret_data(code), secret_size(code));
        if (r == 0)
                r = output_write(fd, "\n", 1);
        if (r == 0)
                r = outfile_sync(path, fd);
        return r == 0 ? 0 : cli_fail(cli, EXIT_INTERNAL, "The recovery code could not be written to %s: %s. The wallet was made; without its "
                                                         "recovery code only the passphrase opens it.", path, strerror(-r));
}

/* Straight to the descriptor: a copy in stdio's buffer would not be wiped. */
static int show_code(const Secret *code) {
        static const char before[] = "\nRecovery code: ";
        static const char after[] =
                "\n\nThis code opens the wallet when the passphrase is forgotten. Nobody else has\n"
                "it, and it can't be shown again: write it down on paper now, and keep it where\n"
                "you keep such things. Whoever has it has your data.\n";
        int r;

        if (fflush(stdout) != 0)
                return -errno;
        r = output_write(STDOUT_FILENO, before, sizeof(before) - 1);
        if (r == 0)
                r = output_write(STDOUT_FILENO, secret_data(code), secret_size(code));
        return r == 0 ? output_write(STDOUT_FILENO, after, sizeof(after) - 1) : r;
}

static int run(Cli *cli) {
        const char *zone = cli_option(cli, TIMEZONE), *path = cli_option(cli, RECOVERY_OUT);
        cleanup(close_fdp) int fd = -1, recovery_fd = -1, out_fd = -1;
        cleanup(json_decrefp) json_t *answer = NULL;
        cleanup(secret_freep) Secret *code = NULL;
        cleanup(reply_done) Reply reply = {0};
        char own_zone[64];
        json_t *parameters;
        Progress progress;
        int r;

        if (cli->json && !path)
                return cli_usage(cli, "The recovery code goes to a person or into a file, not into JSON: say --recovery-out FILE too.");
        r = cli_look(cli, false);
        if (r != 0)
                return r;
        if (message_bool(cli->status, "keysLost"))
                return cli_keys_lost(cli);
        if (message_bool(cli->status, "initialized"))
                return cli_fail(cli, EXIT_REFUSED, "There is a wallet already; it was not touched. Next: carewallet unlock");

        if (path) {
                out_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
                if (out_fd < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s. Nothing was done.", path, strerror(errno));
        }
        r = cli_new_secret_fd(cli, cli->passphrase_fd, cli_option(cli, WEAK_ANYWAY), &fd);
        if (r != 0)
                goto end;

        if (!zone) {
                find_zone(own_zone);
                zone = own_zone;
        }
        parameters = json_pack("{s:i}", "passphraseFd", 0);
        if (zone[0] != '\0')
                (void) json_object_set_new(parameters, "timezone", json_string(zone));

        progress_begin(&progress);
        progress_note(&progress, "Making the wallet (this takes a second or two on purpose) ...");
        r = cli_ask(cli, "Init", parameters, false, &fd, 1, &reply);
        progress_end(&progress);
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        if (r != 0)
                goto end;

        recovery_fd = reply_take_fd(&reply, "recoveryFd");
        if (recovery_fd < 0 || secret_read_memfd(&code, recovery_fd) != 0)
                return cli_fail(cli, EXIT_INTERNAL, "The wallet was made, but no recovery code came with it.");
        cli->is_new = true;
        json_decref(cli->status);
        cli->status = NULL;

        if (path) {
                r = write_code(cli, path, out_fd, code);
                if (r != 0)
                        return r;
        }
        if (cli->json) {
                answer = json_pack("{s:s, s:s}", "wallet_id", message_text(reply.parameters, "walletId", ""), "recovery_out", path);
                return cli_print_json(cli, answer);
        }

        printf("%sYour wallet is made and open.%s Time zone of your devices: %s\n", paint(stdout, PAINT_GOOD), unpaint(stdout),
               message_text(reply.parameters, "timezone", zone));
        if (path)
                output_say(stdout, 0, "The recovery code is in %s: it opens the wallet when the passphrase is forgotten. Keep it away from this machine.", path);
        else if (show_code(code) < 0)
                return cli_fail(cli, EXIT_INTERNAL, "The wallet was made, but its recovery code could not be written.");
        puts("\nNext: carewallet import FILE (a CSV export from CareLink)");
        return EXIT_DONE;
end:
        if (path)
                (void) unlink(path); /* ours, and empty */
        return r;
}

const Verb verb_init = {
        .name = "init",
        .group = "Wallet",
        .operands = "",
        .summary = "Make your wallet",
        .help = "Asks for a passphrase twice, or reads it with --passphrase-fd. Prints the recovery code, once. A passphrase that is easily guessed is refused.",
        .options = options,
        .run = run,
};
