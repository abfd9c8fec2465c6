/* SPDX-License-Identifier: Apache-2.0 */

#include "credential.h"

#include <fcntl.h>
#include <limits.h>
#include <pwd.h>
#include <sodium.h>
#include <spawn.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "daemon/common/slots.h"
#include "outfile.h"

/* systemd-creds reads the secret from a pipe and writes what it sealed to @out_fd. Return: 0; its exit status; negative errno. */
static int seal(const Secret *secret, int out_fd) {
        char program[] = "systemd-creds", name[] = "--name=carewallet", verb[] = "encrypt", through[] = "-";
        char *const arguments[] = {program, name, verb, through, through, NULL};
        posix_spawn_file_actions_t actions;
        int pipe_fds[2], status, r;
        pid_t pid;

        if (pipe2(pipe_fds, O_CLOEXEC) < 0)
                return -errno;
        r = posix_spawn_file_actions_init(&actions);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, pipe_fds[0], STDIN_FILENO);
        if (r == 0)
                r = posix_spawn_file_actions_adddup2(&actions, out_fd, STDOUT_FILENO);
        if (r == 0)
                r = posix_spawnp(&pid, arguments[0], &actions, NULL, arguments, environ);
        (void) posix_spawn_file_actions_destroy(&actions);
        (void) close_fd(pipe_fds[0]);
        if (r != 0) {
                (void) close_fd(pipe_fds[1]);
                return -r;
        }
        r = output_write(pipe_fds[1], secret_data(secret), secret_size(secret)); /* less than a pipe holds: it does not wait */
        (void) close_fd(pipe_fds[1]);
        if (waitpid(pid, &status, 0) < 0)
                return -errno;
        return r < 0 ? r : WIFEXITED(status) ? WEXITSTATUS(status) : -EIO;
}

static int make(Cli *cli, const char *out, Secret **ret) {
        cleanup(close_fdp) int fd = -1;
        struct stat st;
        int r;

        fd = open(out, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s. Nothing was done.", out, strerror(errno));
        r = secret_new(ret, SLOTS_CREDENTIAL_SIZE);
        if (r == 0) {
                randombytes_buf(secret_data(*ret), SLOTS_CREDENTIAL_SIZE);
                r = seal(*ret, fd);
        }
        if (r == 0)
                r = outfile_sync(out, fd);
        if (r == 0 && fstat(fd, &st) < 0)
                r = -errno;
        if (r == 0 && st.st_size > 0)
                return 0;
        (void) unlink(out);
        if (r == -ENOENT)
                return cli_fail(cli, EXIT_REFUSED, "There is no systemd-creds on this machine: it comes with systemd 250 and later. Nothing was done.");
        return cli_fail(cli, EXIT_REFUSED, "systemd-creds could not seal the key. The machine's own key is root's: run this with sudo, and --socket %s. Nothing was done.", cli->socket);
}

static void say_where(const Cli *cli, const char *out) {
        const char *name = getenv("SUDO_USER");
        const struct passwd *user = getpwuid(getuid());
        char unit[512];

        if (!name)
                name = user ? user->pw_name : "NAME";
        /* the socket's path says whose it is: /run/carewallet/NAME/socket */
        if (sscanf(cli->socket, "/run/carewallet/%255[^/]/socket", unit) == 1)
                name = unit;
        printf("This machine has a key of its own now. To let it open the wallet at each start:\n\n"
               "  sudo install -D -m 600 %s /etc/credstore.encrypted/carewallet.%s\n"
               "  sudo rm %s\n"
               "  sudo systemctl edit carewalletd@%s.service\n\n"
               "and write there:\n\n"
               "  [Service]\n"
               "  LoadCredentialEncrypted=carewallet:/etc/credstore.encrypted/carewallet.%s\n\n",
               out, name, out, name, name);
        output_say(stdout, 0, "Whoever can start this machine then has an open wallet. To end it: carewallet key remove \"systemd credential\"");
}

int credential_add(Cli *cli, const char *label, const char *out) {
        cleanup(json_decrefp) json_t *parameters = json_pack("{s:s, s:i}", "type", "credential", "newFd", 1);
        cleanup(close_fdp) int secret_fd = -1, new_fd = -1;
        cleanup(secret_freep) Secret *secret = NULL;
        cleanup(reply_done) Reply reply = {0};
        int fds[2], r;

        if (!out)
                return cli_usage(cli, "--systemd-credential needs --out FILE.");
        if (label)
                (void) json_object_set_new(parameters, "label", json_string(label));
        r = cli_proof(cli, parameters, &secret_fd);
        if (r == 0)
                r = make(cli, out, &secret);
        if (r != 0)
                return r;
        r = secret_to_memfd(&new_fd, secret, secret_size(secret));
        if (r < 0)
                r = cli_trouble(cli, r, "Handing over a secret failed");
        fds[0] = secret_fd;
        fds[1] = new_fd;
        if (r == 0)
                r = cli_call(cli, "AddKey", json_incref(parameters), false, fds, 2, &reply);
        if (r != 0) {
                (void) unlink(out);
                return r;
        }
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        say_where(cli, out);
        return EXIT_DONE;
}
