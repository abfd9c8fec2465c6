/* SPDX-License-Identifier: Apache-2.0 */

#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

#include "outfile.h"
#include "restore.h"

enum {
        REPLACE, /* of backup */
        OPEN = N_CLI_PROOF_OPTIONS, /* of backup verify */

        START_MS = 10000, /* of a daemon for a moment */
        STOP_MS = 10000,
        CHECK_TIMEOUT_S = 3600,
};

static const Option options[] = {
        [REPLACE] = {"replace", NULL, "FILE may be there: it is replaced by a complete backup only", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option verify_options[] = {
        CLI_PROOF_OPTIONS,
        [OPEN] = {"open", NULL, "also open it with the passphrase of its day, and read all of it", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Read what was written, from its beginning, as a restore would. */
static int check_written(Cli *cli, int fd, const char *path, Archive *ret) {
        int r;

        if (lseek(fd, 0, SEEK_SET) < 0)
                return errno == ESPIPE ? 0 : cli_fail(cli, EXIT_REFUSED, "%s can't be read again: %s.", path, strerror(errno));
        r = archive_read(fd, NULL, NULL, ret);
        return r == 0 ? 0 : restore_failed(cli, r, path, NULL);
}

static int run(Cli *cli) {
        static Archive archive;
        const char *path = cli_operand(cli, 0);
        char number[OUTPUT_NUMBER_SIZE];
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        Progress progress;
        struct stat st;
        int64_t n_bytes;
        int r;

        if (!cli_option(cli, REPLACE) && stat(path, &st) == 0 && S_ISREG(st.st_mode))
                return cli_fail(cli, EXIT_REFUSED, "%s is there already. Give another name, or --replace.", path);
        r = cli_call(cli, "Backup", json_object(), true, NULL, 0, &reply);
        if (r != 0)
                return r;
        r = outfile_open(path, &fd);
        if (r < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s.", path, strerror(-r));

        progress_begin(&progress);
        r = cli_stream(cli, &reply, fd, &progress);
        if (r == 0)
                r = check_written(cli, fd, path, &archive);
        if (r == 0) {
                r = outfile_commit(path, fd, cli_option(cli, REPLACE));
                if (r == -EEXIST)
                        r = cli_fail(cli, EXIT_REFUSED, "%s is there already. Give another name, or --replace.", path);
                else if (r < 0)
                        r = cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s.", path, strerror(-r));
        }
        if (r != 0) {
                outfile_abandon();
                return r;
        }

        n_bytes = message_int(reply.parameters, "bytes", 0);
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:I}", "out", path, "bytes", (json_int_t) n_bytes);

                return cli_print_json(cli, answer);
        }
        output_say(stdout, 0, "The whole wallet is in %s (%s), encrypted: it opens with the passphrase and the recovery code of today. Keep it on another disk; "
                              "what is in it stays in it, also when you change the passphrase or forget records here.", path, output_bytes(number, n_bytes));
        output_say(stdout, 0, "Try it: carewallet backup verify %s --open. Bring it back: carewallet restore %s --state-dir DIR", path, path);
        return EXIT_DONE;
}

/* --- verify --- */

/* Where Meson builds it, or beside where this program is installed. */
static int find_daemon(char ret[static PATH_MAX]) {
        static const char *const places[] = {"../daemon/carewalletd", "../libexec/carewallet/carewalletd"};
        char self[PATH_MAX];
        ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

        if (n < 0)
                return -errno;
        self[n] = '\0';
        *strrchr(self, '/') = '\0';
        for (size_t i = 0; i < N_ELEMENTS(places); i++)
                if ((size_t) snprintf(ret, PATH_MAX, "%s/%s", self, places[i]) < PATH_MAX && access(ret, X_OK) == 0)
                        return 0;
        (void) snprintf(ret, PATH_MAX, "%s", CAREWALLETD);
        return access(ret, X_OK) == 0 ? 0 : -ENOENT;
}

static pid_t start_daemon(const char *program, const char *dir, const char *socket) {
        char *const argv[] = {(char *) (uintptr_t) "carewalletd", (char *) (uintptr_t) "--state-dir", (char *) (uintptr_t) dir, (char *) (uintptr_t) "--socket",
                              (char *) (uintptr_t) socket, NULL};
        char *const environment[] = {NULL};
        pid_t pid = fork();

        if (pid != 0)
                return pid;
        (void) prctl(PR_SET_PDEATHSIG, SIGTERM);
        (void) execve(program, argv, environment);
        _exit(127);
}

static void stop_daemon(pid_t pid) {
        (void) kill(pid, SIGTERM);
        for (unsigned ms = 0; ms < STOP_MS; ms += 20) {
                if (waitpid(pid, NULL, WNOHANG) != 0)
                        return;
                (void) usleep(20000);
        }
        (void) kill(pid, SIGKILL);
        (void) waitpid(pid, NULL, 0);
}

static int wait_for_daemon(Client **ret, pid_t pid, const char *socket) {
        int r = -ETIMEDOUT;

        for (unsigned ms = 0; ms < START_MS; ms += 20) {
                r = client_connect(ret, socket);
                if (r == 0 || (r != -ENOENT && r != -ECONNREFUSED) || waitpid(pid, NULL, WNOHANG) == pid)
                        return r;
                (void) usleep(20000);
        }
        return r;
}

/* Ask a daemon of our own, not the patient's. */
static int ask(Cli *cli, const char *method, json_t *parameters, const int *fd, Reply *ret) {
        cleanup(json_decrefp) json_t *owned = parameters;
        int r;

        r = client_call(cli->client, method, owned, false, fd, fd ? 1 : 0);
        if (r == 0)
                r = client_receive(cli->client, ret);
        if (r != 0)
                return cli_transport_failed(cli, r);
        return ret->error ? cli_reply_failed(cli, ret) : 0;
}

static int open_and_read(Cli *cli, int secret_fd, bool recovery, Reply *ret) {
        cleanup(reply_done) Reply unlocked = {0};
        int r;

        client_set_timeout(cli->client, CHECK_TIMEOUT_S);
        r = ask(cli, "org.carewallet.Unlock", json_pack("{s:i, s:b}", "secretFd", 0, "recovery", recovery), &secret_fd, &unlocked);
        if (r != 0)
                return r;
        r = ask(cli, "org.carewallet.Check", NULL, NULL, ret);
        if (r == 0 && (!message_bool(ret->parameters, "whole") || message_int(ret->parameters, "altered", 0) > 0))
                r = cli_fail(cli, EXIT_REFUSED, "The backup opens, but what is in it does not fit together. Use another one.");
        return r;
}

/* By the program and on the way that a restore takes, in a directory for the moment. What is in there is encrypted. */
static int verify_open(Cli *cli, int fd, const char *path, Archive *archive, Reply *ret) {
        const char *base = getenv("TMPDIR");
        char program[PATH_MAX], dir[PATH_MAX], socket[PATH_MAX + 2];
        bool recovery = cli_option(cli, CLI_RECOVERY) || cli_option(cli, CLI_RECOVERY_FD);
        cleanup(close_fdp) int secret_fd = -1;
        int recovery_fd, r;
        pid_t pid;

        r = find_daemon(program);
        if (r < 0)
                return cli_fail(cli, EXIT_REFUSED, "carewalletd is not installed where this program looks for it (%s): without it the backup can't be opened.", CAREWALLETD);
        r = cli_descriptor(cli, CLI_RECOVERY_FD, &recovery_fd);
        if (r == 0)
                r = recovery ? cli_recovery_fd(cli, recovery_fd, &secret_fd) : cli_secret_fd(cli, "Passphrase of the backup: ", &secret_fd);
        if (r != 0)
                return r;

        /* Interrupted, the daemon ends and this tidies up. */
        (void) signal(SIGINT, SIG_IGN);
        (void) signal(SIGTERM, SIG_IGN);
        (void) signal(SIGHUP, SIG_IGN);
        if ((size_t) snprintf(dir, sizeof(dir), "%s/carewallet-verify.XXXXXX", base && base[0] == '/' ? base : "/var/tmp") >= sizeof(dir) || !mkdtemp(dir))
                return cli_fail(cli, EXIT_REFUSED, "A directory for the moment can't be made: %s. Set TMPDIR to one with room.", strerror(errno));
        (void) snprintf(socket, sizeof(socket), "%s/s", dir);

        r = restore_unpack(fd, dir, archive);
        if (r != 0) {
                restore_discard(dir);
                return restore_failed(cli, r, path, NULL);
        }
        pid = start_daemon(program, dir, socket);
        if (pid < 0)
                r = cli_trouble(cli, -errno, "Starting carewalletd failed");
        else {
                r = wait_for_daemon(&cli->client, pid, socket);
                r = r == 0 ? open_and_read(cli, secret_fd, recovery, ret) : cli_trouble(cli, r, "Starting carewalletd failed");
                cli->client = client_free(cli->client);
                stop_daemon(pid);
        }
        restore_discard(dir);
        return r;
}

static int print_verified(Cli *cli, const char *path, const Archive *archive, const json_t *opened) {
        char when[OUTPUT_TIME_SIZE], text[32], number[OUTPUT_NUMBER_SIZE];
        cleanup(freep) char *records = NULL;
        time_t t = (time_t) (archive->head.time_unix_ms / 1000);
        size_t n_records;
        FILE *memory;
        struct tm tm;

        (void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&t, &tm) ? &tm : &(struct tm) {0});
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:s, s:I, s:i, s:O*}", "backup", text, "bytes", (json_int_t) archive_size(&archive->head), "slots",
                                                                 (int) archive->keys.n_slots, "opened", opened);

                return cli_print_json(cli, answer);
        }
        printf("%s%s is whole.%s\n", paint(stdout, PAINT_GOOD), path, unpaint(stdout));
        output_say(stdout, 0, "A wallet of %s, %s, with %d key slot%s.", output_time(when, text), output_bytes(number, (int64_t) archive_size(&archive->head)),
                   (int) archive->keys.n_slots, archive->keys.n_slots == 1 ? "" : "s");
        if (!opened) {
                output_say(stdout, 0, "That it opens is not proved without its passphrase, or its recovery code: carewallet backup verify %s --open, or --recovery", path);
                return EXIT_DONE;
        }
        memory = open_memstream(&records, &n_records);
        if (!memory)
                return cli_trouble(cli, -ENOMEM, "Writing the output failed");
        output_records(memory, json_object_get(opened, "records"));
        if (fclose(memory) == 0)
                output_say(stdout, 0, "It opens with this %s, and every page was read: %s; %lld entries in the log.", cli_option(cli, CLI_RECOVERY) || cli_option(cli, CLI_RECOVERY_FD) ? "recovery code" : "passphrase", records,
                           (long long) message_int(opened, "entries", 0));
        return EXIT_DONE;
}

static int run_verify(Cli *cli) {
        static Archive archive;
        const char *path = cli_operand(cli, 0);
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        int r;

        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be read: %s.", path, strerror(errno));
        if (cli_option(cli, OPEN) || cli_option(cli, CLI_RECOVERY) || cli_option(cli, CLI_RECOVERY_FD) || cli->passphrase_fd >= 0)
                r = verify_open(cli, fd, path, &archive, &reply);
        else {
                r = archive_read(fd, NULL, NULL, &archive);
                if (r != 0)
                        r = restore_failed(cli, r, path, NULL);
        }
        return r != 0 ? r : print_verified(cli, path, &archive, reply.parameters);
}

const Verb verb_backup = {
        .name = "backup",
        .group = "Wallet",
        .operands = "FILE",
        .n_min = 1,
        .n_max = 1,
        .summary = "Write the whole wallet, encrypted, into one file",
        .help = "While everything goes on: imports, fetches, revocations. The file opens with today's passphrase and recovery code, and is read again before it "
                "gets its name.",
        .options = options,
        .run = run,
};

const Verb verb_backup_verify = {
        .name = "backup verify",
        .group = "Wallet",
        .operands = "FILE",
        .n_min = 1,
        .n_max = 1,
        .summary = "See that a backup is whole, and with its passphrase or recovery code that it opens",
        .help = "Without either: that nothing is missing and no byte was changed by accident. With --open, --recovery or --passphrase-fd it is restored into a directory "
                "for the moment ($TMPDIR, else /var/tmp), opened there by a carewalletd of its own, and read from end to end.",
        .options = verify_options,
        .run = run_verify,
};
