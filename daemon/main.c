/* SPDX-License-Identifier: Apache-2.0 */

/*
 * carewalletd: launcher and core. Takes or makes the socket, then becomes the launcher, which forks the core. What each
 * process may do after its lockdown is in daemon/common/lockdown.c.
 */

#include <fcntl.h>
#include <getopt.h>
#include <limits.h>
#include <pwd.h>
#include <signal.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/un.h>
#include <systemd/sd-daemon.h>

#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"
#include "daemon/core/core.h"
#include "daemon/launcher/launcher.h"
#include "version.h"

enum {
        EXIT_USAGE = 2,
        EXIT_INTERNAL = 7,
};

typedef struct Options {
        const char *state_dir;
        const char *socket;
        const char *probe;
        uid_t patient;
} Options;

static void usage(FILE *to) {
        (void) fputs("carewalletd --state-dir DIR --socket PATH [--patient USER]\n"
                     "\n"
                     "Keeps a wallet in DIR and answers carewallet on PATH. Runs in the foreground.\n"
                     "Under systemd the socket may come from a socket unit; --socket is not needed then.\n"
                     "  --patient USER   may connect, beside root and the user that carewalletd runs as\n"
                     "  --version, --help\n",
                     to);
}

static int parse(int argc, char *argv[], Options *options) {
        static const struct option long_options[] = {
                { "state-dir", required_argument, NULL, 'd' }, { "socket", required_argument, NULL, 's' }, { "patient", required_argument, NULL, 'p' },
                { "probe", required_argument, NULL, 'P' },     { "help", no_argument, NULL, 'h' },         { "version", no_argument, NULL, 'v' },
                { 0 },
        };
        int c;

        options->patient = geteuid();
        while ((c = getopt_long(argc, argv, "h", long_options, NULL)) >= 0)
                switch (c) {
                case 'd':
                        options->state_dir = optarg;
                        break;
                case 's':
                        options->socket = optarg;
                        break;
                case 'P':
                        options->probe = optarg;
                        break;
                case 'p': {
                        const struct passwd *user = getpwnam(optarg);
                        char *end;
                        unsigned long uid = strtoul(optarg, &end, 10);

                        if (!user && (!*optarg || *end || uid > UINT32_MAX - 1)) {
                                (void) fprintf(stderr, "carewalletd: there is no user '%s'\n", optarg);
                                return -1;
                        }
                        options->patient = user ? user->pw_uid : (uid_t) uid;
                        break;
                }
                case 'h':
                        usage(stdout);
                        exit(0);
                case 'v':
                        (void) puts("carewalletd " CAREWALLET_VERSION);
                        exit(0);
                default:
                        usage(stderr);
                        return -1;
                }
        if (optind < argc || !options->state_dir) {
                usage(stderr);
                return -1;
        }
        return 0;
}

/* The state directory is the daemon's alone, and only one daemon's at a time. */
static int open_state_dir(const char *path) {
        cleanup(close_fdp) int fd = -1;
        struct stat st;

        if (mkdir(path, 0700) < 0 && errno != EEXIST) {
                (void) fprintf(stderr, "carewalletd: %s cannot be made: %s\n", path, strerror(errno));
                return -1;
        }
        fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) < 0) {
                (void) fprintf(stderr, "carewalletd: %s cannot be opened: %s\n", path, strerror(errno));
                return -1;
        }
        if (st.st_uid != geteuid()) {
                (void) fprintf(stderr, "carewalletd: %s belongs to another user; give a directory of your own\n", path);
                return -1;
        }
        if (st.st_mode & 077 && fchmod(fd, 0700) < 0) {
                (void) fprintf(stderr, "carewalletd: %s is open to others and cannot be closed to them: %s\n", path, strerror(errno));
                return -1;
        }
        if (flock(fd, LOCK_EX | LOCK_NB) < 0) {
                (void) fprintf(stderr, "carewalletd: another carewalletd uses %s already\n", path);
                return -1;
        }
        return take_fd(&fd);
}

static int make_socket(const char *path, uid_t patient, int *ret_dir_fd, ino_t *ret_inode) {
        cleanup(close_fdp) int fd = -1, probe = -1, dir_fd = -1;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        char dir[PATH_MAX];
        char *slash;

        if (strlen(path) >= sizeof(address.sun_path)) {
                (void) fprintf(stderr, "carewalletd: the socket's path is longer than %zu characters: %s\n", sizeof(address.sun_path) - 1, path);
                return -1;
        }
        memcpy(address.sun_path, path, strlen(path) + 1);
        (void) snprintf(dir, sizeof(dir), "%s", path);
        slash = strrchr(dir, '/');
        if (slash)
                slash[slash == dir ? 1 : 0] = '\0';
        dir_fd = open(slash ? dir : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (dir_fd < 0) {
                (void) fprintf(stderr, "carewalletd: the socket's directory %s cannot be opened: %s\n", slash ? dir : ".", strerror(errno));
                return -1;
        }

        /* A socket that nobody answers is what a daemon that died left behind. */
        probe = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (probe >= 0 && connect(probe, (const struct sockaddr *) &address, sizeof(address)) == 0) {
                (void) fprintf(stderr, "carewalletd: somebody answers on %s already\n", path);
                return -1;
        }
        if (errno == ECONNREFUSED) {
                struct stat st;

                if (lstat(path, &st) == 0 && !S_ISSOCK(st.st_mode)) {
                        (void) fprintf(stderr, "carewalletd: %s is a file and no socket; give another path\n", path);
                        return -1;
                }
                (void) unlink(path);
        }

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0 || bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 64) < 0) {
                (void) fprintf(stderr, "carewalletd: cannot listen on %s: %s\n", path, strerror(errno));
                return -1;
        }
        {
                struct stat st;

                if ((patient != geteuid() && chown(path, patient, (gid_t) -1) < 0) || lstat(path, &st) < 0) {
                        (void) fprintf(stderr, "carewalletd: %s cannot be given to the patient: %s\n", path, strerror(errno));
                        (void) unlink(path);
                        return -1;
                }
                *ret_inode = st.st_ino;
        }
        *ret_dir_fd = take_fd(&dir_fd);
        return take_fd(&fd);
}

static int connect_notify(void) {
        cleanup(close_fdp) int fd = -1;
        struct sockaddr_un address = { .sun_family = AF_UNIX };
        const char *path = getenv("NOTIFY_SOCKET");
        size_t n = path ? strlen(path) : 0;

        if (n < 2 || n >= sizeof(address.sun_path) || (path[0] != '/' && path[0] != '@'))
                return -1;
        memcpy(address.sun_path, path, n);
        if (path[0] == '@')
                address.sun_path[0] = '\0';
        fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || connect(fd, (const struct sockaddr *) &address, (socklen_t) (offsetof(struct sockaddr_un, sun_path) + n)) < 0)
                return -1;
        return take_fd(&fd);
}

/* A credential that the service manager decrypted for us: the environment names its folder only. */
static int open_credential(void) {
        const char *directory = getenv("CREDENTIALS_DIRECTORY");
        char path[PATH_MAX];

        if (!directory || directory[0] != '/' || (size_t) snprintf(path, sizeof(path), "%s/carewallet", directory) >= sizeof(path))
                return -1;
        return open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
}

static int probe(const char *name, int state_dir_fd) {
        bool core = strncmp(name, "core:", 5) == 0;
        Lockdown lock = { .profile = core ? LOCKDOWN_CORE : LOCKDOWN_LAUNCHER, .state_dir_fd = state_dir_fd, .socket_dir_fd = -1 };

        if (!core && strncmp(name, "launcher:", 9) != 0)
                return EXIT_USAGE;
        if (lockdown(&lock) < 0)
                return EXIT_INTERNAL;
        return probe_run(strchr(name, ':') + 1);
}

int main(int argc, char *argv[]) {
        cleanup(close_fdp) int state_dir_fd = -1, listen_fd = -1, socket_dir_fd = -1, notify_fd = -1, credential_fd = -1;
        char state_dir[PATH_MAX];
        Options options = { 0 };
        CoreConfig core;
        struct sysinfo machine;
        ino_t socket_inode = 0;
        int n_sockets, r;

        if (parse(argc, argv, &options) < 0)
                return EXIT_USAGE;
        (void) umask(0077);
        (void) signal(SIGPIPE, SIG_IGN);
        (void) prctl(PR_SET_DUMPABLE, 0);

        state_dir_fd = open_state_dir(options.state_dir);
        if (state_dir_fd < 0 || !realpath(options.state_dir, state_dir))
                return EXIT_FAILURE;
        if (options.probe)
                return probe(options.probe, state_dir_fd);

        n_sockets = sd_listen_fds(1);
        if (n_sockets == 1 && sd_is_socket_unix(SD_LISTEN_FDS_START, SOCK_STREAM, 1, NULL, 0) > 0)
                listen_fd = SD_LISTEN_FDS_START;
        else if (n_sockets != 0) {
                (void) fputs("carewalletd: the service manager must pass exactly one listening AF_UNIX stream socket\n", stderr);
                return EXIT_USAGE;
        } else if (!options.socket) {
                usage(stderr);
                return EXIT_USAGE;
        } else
                listen_fd = make_socket(options.socket, options.patient, &socket_dir_fd, &socket_inode);
        if (listen_fd < 0)
                return EXIT_FAILURE;
        if (fcntl(listen_fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(listen_fd, F_SETFD, FD_CLOEXEC) < 0)
                return EXIT_FAILURE;
        notify_fd = connect_notify();
        credential_fd = open_credential();

        core = (CoreConfig){
                .listen_fd = listen_fd,
                .state_dir_fd = state_dir_fd,
                .notify_fd = notify_fd,
                .credential_fd = credential_fd,
                .state_dir = state_dir,
                .patient = options.patient,
                /* Argon2's memory: 256 MiB, or a quarter on a machine that has less than 1 GiB. */
                .kdf_memlimit = sysinfo(&machine) == 0 && (uint64_t) machine.totalram * machine.mem_unit < UINT64_C(1) << 30 ? UINT64_C(64) << 20 : UINT64_C(256) << 20,
        };
        r = launcher_run(&(LauncherConfig){ .state_dir_fd = state_dir_fd, .socket_dir_fd = socket_dir_fd }, core_main, &core);
        if (socket_dir_fd >= 0) {
                const char *slash = strrchr(options.socket, '/'), *name = slash ? slash + 1 : options.socket;
                struct stat st;

                /* another daemon may have taken the path since */
                if (fstatat(socket_dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0 && st.st_ino == socket_inode)
                        (void) unlinkat(socket_dir_fd, name, 0);
        }
        if (r < 0) {
                (void) fprintf(stderr, "carewalletd: %s\n", strerror(-r));
                return EXIT_INTERNAL;
        }
        return r;
}
