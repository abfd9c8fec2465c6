/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <limits.h>
#include <time.h>

#include "restore.h"

static int run(Cli *cli) {
        static Archive archive;
        const char *path = cli_operand(cli, 0);
        char when[OUTPUT_TIME_SIZE], text[32];
        cleanup(close_fdp) int fd = -1;
        struct tm tm;
        time_t t;
        int r;

        if (!cli->state_dir)
                return cli_usage(cli, "Say where to: --state-dir DIR, the state directory that carewalletd is going to use. For the user service that is "
                                      "~/.local/state/carewallet.");
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be read: %s.", path, strerror(errno));
        r = restore_unpack(fd, cli->state_dir, &archive);
        if (r != 0)
                return restore_failed(cli, r, path, cli->state_dir);

        t = (time_t) (archive.head.time_unix_ms / 1000);
        (void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm) ? &tm : &(struct tm) {0});
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:s}", "stateDir", cli->state_dir, "backup", text);

                return cli_print_json(cli, answer);
        }
        output_say(stdout, 0, "The wallet of %s is in %s. All its grants are suspended, and the gate is closed.", output_time(when, text), cli->state_dir);
        output_say(stdout, 0, "Next: start carewalletd on it (systemctl --user start carewalletd.socket), then carewallet unlock, with the passphrase or the "
                              "recovery code of that day; then look at carewallet grants, and let count again what you still want: carewallet resume NAME");
        return EXIT_DONE;
}

const Verb verb_restore = {
        .name = "restore",
        .group = "Wallet",
        .operands = "FILE",
        .n_min = 1,
        .n_max = 1,
        .summary = "Make a wallet of a backup, in a state directory that has none",
        .help = "Needs --state-dir, and no daemon that uses it. A FILE that is cut or altered is refused, and nothing is left behind.",
        .run = run,
};
