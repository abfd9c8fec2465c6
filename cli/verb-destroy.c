/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <sys/file.h>

#include "cli.h"
#include "daemon/common/erase.h"
#include "daemon/common/slots.h"

enum {
        YES,
};

static const Option options[] = {
        [YES] = {"yes", NULL, "don't ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static int confirm(const Cli *cli, const char *where) {
        char answer[32];

        if (cli_option(cli, YES))
                return 0;
        if (!isatty(STDIN_FILENO))
                return cli_usage(cli, "There is no terminal to ask on: if you mean it, add --yes.");
        fprintf(stderr, "Every record, grant and key of the wallet in %s will be gone. Only a backup brings it back.\nType \"destroy\" to go on: ", where);
        if (fgets(answer, sizeof(answer), stdin) && strcmp(answer, "destroy\n") == 0)
                return 0;
        return cli_fail(cli, EXIT_REFUSED, "Nothing was done.");
}

static int done(Cli *cli, const char *where, bool is_whole) {
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:b}", "stateDir", where, "whole", (int) is_whole);

                return cli_print_json(cli, answer);
        }
        output_say(stdout, 0, "The wallet in %s is destroyed: its keys first, then its files.", where);
        if (!is_whole)
                cli_warn("some of its files are still there, but nobody has a key to them. Remove %s yourself.", where);
        output_say(stdout, 0, "Backups and exports that you made are not: they open as before. Providers keep what they fetched.");
        return EXIT_DONE;
}

/* Also what is left of one: its keys may be lost, or it was being destroyed. */
static bool has_any(int dir_fd) {
        static const char *const names[] = {"slots", "slots.bak", "consent.db", "records.db", SLOTS_UNFINISHED_NAME};

        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (faccessat(dir_fd, names[i], F_OK, AT_SYMLINK_NOFOLLOW) == 0)
                        return true;
        return false;
}

/* Who may write there can remove the files anyway: no passphrase is asked for. */
static int destroy_files(Cli *cli) {
        cleanup(close_fdp) int fd = open(cli->state_dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        int r;

        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be opened: %s.", cli->state_dir, strerror(errno));
        if (flock(fd, LOCK_EX | LOCK_NB) < 0)
                return cli_fail(cli, EXIT_REFUSED, "A carewalletd uses %s. Leave --state-dir away and give the passphrase, or stop it first: systemctl --user stop "
                                                   "carewalletd.socket carewalletd.service", cli->state_dir);
        if (!has_any(fd))
                return cli_fail(cli, EXIT_REFUSED, "There is no wallet in %s.", cli->state_dir);
        r = confirm(cli, cli->state_dir);
        if (r != 0)
                return r;
        r = erase_slots(fd);
        if (r < 0)
                return cli_fail(cli, EXIT_REFUSED, "The key file could not be erased: %s. Nothing else was done: the wallet may still open.", strerror(-r));
        return done(cli, cli->state_dir, erase_files(fd) == 0);
}

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0}, end = {0};
        const char *id, *where;
        int r;

        if (cli->state_dir)
                return destroy_files(cli);
        r = cli_look(cli, false);
        if (r != 0)
                return r;
        id = message_text(cli->status, "walletId", NULL);
        where = message_text(cli->status, "stateDir", "?");
        if (!id)
                return cli_fail(cli, EXIT_LOCKED, "There is no wallet. Next: carewallet init");
        r = confirm(cli, where);
        if (r == 0)
                r = cli_call(cli, "Destroy", json_pack("{s:s}", "walletId", id), false, NULL, 0, &reply);
        if (r == EXIT_LOCKED || r == EXIT_PASSPHRASE)
                output_say(stderr, 0, "Passphrase lost too? Stop carewalletd, then: carewallet destroy --state-dir %s", where);
        if (r != 0)
                return r;
        client_set_timeout(cli->client, 10);
        if (client_receive(cli->client, &end) != CLIENT_E_GONE)
                return cli_fail(cli, EXIT_INTERNAL, "The keys are erased from the disk, but the daemon's process has not ended. Stop carewalletd to be sure.");
        cli->client = client_free(cli->client);
        return done(cli, where, message_bool(reply.parameters, "whole"));
}

const Verb verb_destroy = {
        .name = "destroy",
        .group = "Wallet",
        .operands = "",
        .summary = "Erase the wallet: its keys, then its files",
        .help = "Asks for the passphrase. With --state-dir and no daemon running it needs none: who may write there can remove the files anyway. Backups and exports stay.",
        .options = options,
        .run = run,
};
