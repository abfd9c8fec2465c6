/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/stat.h>

enum {
        FORMAT,
        OUT,
};

static const Option options[] = {
        [FORMAT] = {"format", "FORMAT", "ndjson or csv", "ndjson csv"},
        [OUT] = {"out", "FILE", "write to FILE, which is replaced only by a complete export (else standard output)", NULL},
        {NULL, NULL, NULL, NULL},
};

static char temporary[PATH_MAX]; /* for the handler; "" when there is none */

/* Half an export looks like a whole one: it does not stay. */
static void on_signal(int number) {
        if (temporary[0] != '\0')
                (void) unlink(temporary);
        (void) raise(number); /* SA_RESETHAND: now for real */
}

/* Beside FILE, to be renamed; a FILE that is no ordinary one (a pipe, /dev/null) is written to directly. */
static int open_out(const char *path, int *ret_fd) {
        static const int signals[] = {SIGINT, SIGTERM, SIGHUP, SIGPIPE};
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND | SA_NODEFER};
        struct stat st;

        if (stat(path, &st) == 0 && !S_ISREG(st.st_mode)) {
                *ret_fd = open(path, O_WRONLY | O_CLOEXEC | O_NOCTTY);
                return *ret_fd < 0 ? -errno : 0;
        }

        if ((size_t) snprintf(temporary, sizeof(temporary), "%s.XXXXXX", path) >= sizeof(temporary)) {
                temporary[0] = '\0';
                return -ENAMETOOLONG;
        }
        *ret_fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
        if (*ret_fd < 0) {
                temporary[0] = '\0';
                return -errno;
        }
        for (size_t i = 0; i < N_ELEMENTS(signals); i++)
                (void) sigaction(signals[i], &action, NULL);
        return 0;
}

static int run(Cli *cli) {
        const char *format = cli_option(cli, FORMAT), *path = cli_option(cli, OUT);
        char number[OUTPUT_NUMBER_SIZE];
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        Progress progress;
        int64_t n_rows;
        int r;

        if (!format)
                return cli_usage(cli, "Say in which form: --format ndjson or --format csv.");
        if (strcmp(format, "ndjson") != 0 && strcmp(format, "csv") != 0)
                return cli_usage(cli, "--format is ndjson or csv.");

        r = cli_call(cli, "Export", json_pack("{s:s}", "format", format), true, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (path) {
                r = open_out(path, &fd);
                if (r < 0)
                        return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s.", path, strerror(-r));
        }

        progress_begin(&progress);
        r = cli_stream(cli, &reply, path ? fd : STDOUT_FILENO, path || !isatty(STDOUT_FILENO) ? &progress : NULL);
        if (r == 0 && temporary[0] != '\0' && (fsync(fd) < 0 || rename(temporary, path) < 0))
                r = cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s.", path, strerror(errno));
        if (r != 0) {
                if (temporary[0] != '\0')
                        (void) unlink(temporary);
                return r;
        }
        temporary[0] = '\0';

        n_rows = message_int(reply.parameters, "rows", 0);
        if (path && cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:I}", "out", path, "rows", (json_int_t) n_rows);

                return cli_print_json(cli, answer);
        }
        if (path)
                output_say(stdout, 0, "%s record%s in %s. It is readable by anyone who gets the file: keep it safe.", output_number(number, n_rows),
                           n_rows == 1 ? "" : "s", path);
        return EXIT_DONE;
}

const Verb verb_export = {
        .name = "export",
        .group = "Data",
        .operands = "",
        .summary = "Everything in the wallet, for you to keep or take elsewhere",
        .help = "All records with all their fields, notes and serial numbers too. An export that is cut short leaves no FILE.",
        .options = options,
        .run = run,
};
