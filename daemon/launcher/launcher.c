/* SPDX-License-Identifier: Apache-2.0 */

/* The launcher: fork the core, start workers from a list, reap. libc and lockdown only. */

#include "message.h"

#include "daemon/common/lockdown.h"

#include <fcntl.h>
#include <limits.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>

/* By LauncherWorker. The name is the program's, the directory where a build tree has it. */
static const struct {
        const char *name;
        const char *build_dir;
} workers[N_LAUNCHER_WORKERS] = {
        [LAUNCHER_KDF] = {"carewallet-kdf", "workers/kdf"},
        [LAUNCHER_IMPORT] = {"carewallet-import", "workers/import"},
        [LAUNCHER_GATE] = {"carewallet-gate", "workers/gate"},
        [LAUNCHER_USB] = {"carewallet-usb", "workers/usb"},
};

enum {
        FIRST_FREE_FD = 16, /* our own lie above what a worker gets */
};

typedef struct Launcher {
        int worker_fds[N_LAUNCHER_WORKERS]; /* O_PATH; -1: not installed */
        int signal_fd;
        int core_fd;       /* our end of the core's socketpair; -1 when it has closed its own */
        pid_t pid;         /* of the launcher itself */
        pid_t core_pid;    /* 0: none */
        int core_status;   /* from waitpid() */
        pid_t running[LAUNCHER_RUNNING_MAX]; /* workers; 0: free */
        int64_t stop_by_ms; /* 0: not stopping */
        sigset_t original_mask;
} Launcher;

static void launcher_done(Launcher *l) {
        for (size_t i = 0; i < N_LAUNCHER_WORKERS; i++)
                l->worker_fds[i] = close_fd(l->worker_fds[i]);
        l->signal_fd = close_fd(l->signal_fd);
        l->core_fd = close_fd(l->core_fd);
}

static int64_t now_ms(void) {
        struct timespec now;

        if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
                return 0;
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Beside the daemon, or where Meson builds them. One that is missing is missed when it is asked for. */
static int open_workers(Launcher *l) {
        char self[PATH_MAX];
        ssize_t n;

        n = readlink("/proc/self/exe", self, sizeof(self) - 1);
        if (n < 0)
                return -errno;
        self[n] = '\0';
        *strrchr(self, '/') = '\0';

        for (size_t i = 0; i < N_LAUNCHER_WORKERS; i++) {
                char path[PATH_MAX * 2];

                for (unsigned in_build = 0; in_build < 2 && l->worker_fds[i] < 0; in_build++) {
                        cleanup(close_fdp) int fd = -1;

                        (void) snprintf(path, sizeof(path), "%s/%s%s%s", self, in_build ? workers[i].build_dir : "",
                                        in_build ? "/" : "", workers[i].name);
                        fd = open(path, O_PATH | O_CLOEXEC);
                        if (fd < 0)
                                continue;
                        l->worker_fds[i] = fcntl(fd, F_DUPFD_CLOEXEC, FIRST_FREE_FD);
                        if (l->worker_fds[i] < 0)
                                return -errno;
                }
        }
        return 0;
}

static int lock_down(const Launcher *l, const LauncherConfig *config) {
        int exec_fds[N_LAUNCHER_WORKERS];
        size_t n = 0;

        for (size_t i = 0; i < N_LAUNCHER_WORKERS; i++)
                if (l->worker_fds[i] >= 0)
                        exec_fds[n++] = l->worker_fds[i];
        return lockdown(&(Lockdown){
                .profile = LOCKDOWN_LAUNCHER,
                .state_dir_fd = config->state_dir_fd,
                .socket_dir_fd = config->socket_dir_fd,
                .exec_fds = exec_fds,
                .n_exec_fds = n,
        });
}

/* In every child: end with the launcher, and have its signals as it had them. */
static int become_child(const Launcher *l) {
        if (prctl(PR_SET_PDEATHSIG, SIGKILL) < 0)
                return -errno;
        if (getppid() != l->pid)
                return -ESRCH; /* it ended before that */
        if (sigprocmask(SIG_SETMASK, &l->original_mask, NULL) < 0)
                return -errno;
        return 0;
}

static int fork_core(Launcher *l, int (*core_main)(void *userdata, int launcher_fd), void *userdata) {
        int pair[2];
        pid_t pid;

        if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair) < 0)
                return -errno;

        pid = fork();
        if (pid < 0) {
                int r = -errno;

                (void) close_fd(pair[0]);
                (void) close_fd(pair[1]);
                return r;
        }
        if (pid == 0) {
                int code = EXIT_FAILURE;

                (void) close_fd(pair[0]);
                if (become_child(l) == 0) {
                        launcher_done(l);
                        code = core_main(userdata, pair[1]);
                }
                (void) fflush(NULL);
                _exit(code);
        }

        (void) close_fd(pair[1]);
        l->core_fd = pair[0];
        l->core_pid = pid;
        return 0;
}

/* In the child. Descriptors were received above FIRST_FREE_FD, so that none is in the way of another. */
static _Noreturn void become_worker(const Launcher *l, uint32_t worker, const int *fds, size_t n_fds) {
        static const int places[LAUNCHER_FDS_MAX] = {0, 1, 3, 4};
        char *const argv[] = {(char *) workers[worker].name, NULL};
        char *const environment[] = {NULL};

        if (become_child(l) < 0)
                _exit(127);
        for (size_t i = 0; i < n_fds; i++)
                if (dup2(fds[i], places[i]) < 0)
                        _exit(127);
        /* place 3 may hold a descriptor of ours when none was given for it */
        if (syscall(SYS_close_range, n_fds < 3 ? 3 : (unsigned) n_fds + 1, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
                _exit(127);
        (void) signal(SIGPIPE, SIG_DFL);
        (void) syscall(SYS_execveat, l->worker_fds[worker], "", argv, environment, AT_EMPTY_PATH);
        (void) dprintf(STDERR_FILENO, "carewalletd: can't start %s: %s\n", workers[worker].name, strerror(errno));
        _exit(127);
}

static int start_worker(Launcher *l, uint32_t worker, const int *fds, size_t n_fds, int *ret_pidfd) {
        size_t slot = 0;
        pid_t pid;
        int pidfd;

        if (worker >= N_LAUNCHER_WORKERS || n_fds < 2)
                return -EINVAL;
        if (l->worker_fds[worker] < 0)
                return -ENOENT;
        while (slot < LAUNCHER_RUNNING_MAX && l->running[slot] != 0)
                slot++;
        if (slot == LAUNCHER_RUNNING_MAX)
                return -EAGAIN;

        pid = fork();
        if (pid < 0)
                return -errno;
        if (pid == 0)
                become_worker(l, worker, fds, n_fds);
        l->running[slot] = pid;

        pidfd = (int) syscall(SYS_pidfd_open, pid, 0); /* surely this child: nobody else reaps it */
        if (pidfd < 0) {
                int r = -errno;

                (void) kill(pid, SIGKILL);
                return r;
        }
        *ret_pidfd = pidfd;
        return 0;
}

static int answer(Launcher *l, int result, int pidfd) {
        LauncherAnswer reply = {.magic = LAUNCHER_MAGIC, .result = result};
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {.iov_base = &reply, .iov_len = sizeof(reply)};
        struct msghdr message = {.msg_iov = &iov, .msg_iovlen = 1};

        if (pidfd >= 0) {
                struct cmsghdr *header;

                message.msg_control = &control;
                message.msg_controllen = sizeof(control);
                header = CMSG_FIRSTHDR(&message);
                header->cmsg_level = SOL_SOCKET;
                header->cmsg_type = SCM_RIGHTS;
                header->cmsg_len = CMSG_LEN(sizeof(int));
                memcpy(CMSG_DATA(header), &pidfd, sizeof(pidfd));
        }
        if (sendmsg(l->core_fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                return -errno;
        return 0;
}

/* One request. Anything that is not exactly one is answered with an error and does nothing. */
static void serve(Launcher *l) {
        int fds[LAUNCHER_FDS_MAX], moved[LAUNCHER_FDS_MAX], pidfd = -1, result;
        LauncherRequest request = {0};
        size_t n_fds = 0, n_moved = 0;
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(fds))];
        } control = {0};
        struct iovec iov = {.iov_base = &request, .iov_len = sizeof(request)};
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct cmsghdr *header;
        ssize_t n;

        n = recvmsg(l->core_fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN))
                return;
        if (n <= 0) { /* the core is ending: SIGCHLD will say how */
                l->core_fd = close_fd(l->core_fd);
                return;
        }

        header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
                n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                memcpy(fds, CMSG_DATA(header), n_fds * sizeof(int));
        }

        if (n != sizeof(request) || (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) || request.magic != LAUNCHER_MAGIC)
                result = -EINVAL;
        else {
                result = 0;
                for (; n_moved < n_fds; n_moved++) {
                        moved[n_moved] = fcntl(fds[n_moved], F_DUPFD_CLOEXEC, FIRST_FREE_FD);
                        if (moved[n_moved] < 0) {
                                result = -errno;
                                break;
                        }
                }
                if (result == 0)
                        result = start_worker(l, request.worker, moved, n_moved, &pidfd);
        }

        for (size_t i = 0; i < n_moved; i++)
                (void) close_fd(moved[i]);
        for (size_t i = 0; i < n_fds; i++)
                (void) close_fd(fds[i]);
        if (answer(l, result, pidfd) < 0)
                l->core_fd = close_fd(l->core_fd);
        (void) close_fd(pidfd);
}

static void reap(Launcher *l) {
        for (;;) {
                int status;
                pid_t pid = waitpid(-1, &status, WNOHANG);

                if (pid <= 0)
                        return;
                if (pid == l->core_pid) {
                        l->core_pid = 0;
                        l->core_status = status;
                }
                for (size_t i = 0; i < LAUNCHER_RUNNING_MAX; i++)
                        if (l->running[i] == pid)
                                l->running[i] = 0;
        }
}

static void on_signals(Launcher *l) {
        struct signalfd_siginfo info;

        while (read(l->signal_fd, &info, sizeof(info)) == sizeof(info))
                switch (info.ssi_signo) {
                case SIGCHLD:
                        reap(l);
                        break;
                default: /* SIGTERM, SIGINT, SIGHUP */
                        if (l->core_pid > 0)
                                (void) kill(l->core_pid, SIGTERM);
                        if (l->stop_by_ms == 0)
                                l->stop_by_ms = now_ms() + LAUNCHER_STOP_MS;
                        break;
                }
}

/* Until the core has ended. */
static int watch(Launcher *l) {
        while (l->core_pid > 0) {
                struct pollfd polls[] = {{.fd = l->signal_fd, .events = POLLIN}, {.fd = l->core_fd, .events = POLLIN}};
                int timeout_ms = -1;

                if (l->stop_by_ms > 0) {
                        int64_t left_ms = l->stop_by_ms - now_ms();

                        if (left_ms <= 0) {
                                (void) kill(l->core_pid, SIGKILL);
                                left_ms = 100;
                        }
                        timeout_ms = (int) left_ms;
                }
                if (poll(polls, N_ELEMENTS(polls), timeout_ms) < 0 && errno != EINTR)
                        return -errno;
                if (polls[0].revents)
                        on_signals(l);
                if (l->core_fd >= 0 && polls[1].revents)
                        serve(l);
        }
        return 0;
}

/* A worker serves one core: none may see the next. */
static void end_workers(Launcher *l) {
        for (size_t i = 0; i < LAUNCHER_RUNNING_MAX; i++)
                if (l->running[i] > 0) {
                        (void) kill(l->running[i], SIGKILL);
                        while (waitpid(l->running[i], NULL, 0) < 0 && errno == EINTR)
                                ;
                        l->running[i] = 0;
                }
}

static int run(Launcher *l, const LauncherConfig *config, int (*core_main)(void *userdata, int launcher_fd), void *userdata) {
        sigset_t mask;
        int r;

        (void) sigemptyset(&mask);
        (void) sigaddset(&mask, SIGCHLD);
        (void) sigaddset(&mask, SIGTERM);
        (void) sigaddset(&mask, SIGINT);
        (void) sigaddset(&mask, SIGHUP);
        if (sigprocmask(SIG_BLOCK, &mask, &l->original_mask) < 0)
                return -errno;
        l->signal_fd = signalfd(-1, &mask, SFD_CLOEXEC | SFD_NONBLOCK);
        if (l->signal_fd < 0)
                return -errno;

        r = open_workers(l);
        if (r < 0)
                return r;
        r = lock_down(l, config); /* before the first core too, so that no core can more than another */
        if (r < 0)
                return r;

        for (;;) {
                r = fork_core(l, core_main, userdata);
                if (r < 0)
                        return r;
                r = watch(l);
                if (r < 0) {
                        (void) kill(l->core_pid, SIGKILL);
                        end_workers(l);
                        return r;
                }
                end_workers(l);
                l->core_fd = close_fd(l->core_fd);

                if (WIFSIGNALED(l->core_status)) {
                        if (l->stop_by_ms == 0)
                                (void) dprintf(STDERR_FILENO, "carewalletd: its core was ended by signal %d (%s), and with it the daemon. Nothing is served any more, and the keys are out of "
                                                              "memory. A service manager starts it again; if there is none, start carewalletd, then: carewallet unlock\n",
                                               WTERMSIG(l->core_status), sigdescr_np(WTERMSIG(l->core_status)));
                        return 128 + WTERMSIG(l->core_status);
                }
                if (WEXITSTATUS(l->core_status) != LAUNCHER_CORE_RELOCK)
                        return WEXITSTATUS(l->core_status);
                if (l->stop_by_ms > 0) /* asked to stop while the core was locking */
                        return EXIT_SUCCESS;
        }
}

int launcher_run(const LauncherConfig *config, int (*core_main)(void *userdata, int launcher_fd), void *userdata) {
        cleanup(launcher_done) Launcher l = {.signal_fd = -1, .core_fd = -1, .pid = getpid()};
        int r;

        assert(config);
        assert(core_main);

        for (size_t i = 0; i < N_LAUNCHER_WORKERS; i++)
                l.worker_fds[i] = -1;
        if (clearenv() != 0)
                return -ENOMEM;
        r = run(&l, config, core_main, userdata);
        if (l.signal_fd >= 0)
                (void) sigprocmask(SIG_SETMASK, &l.original_mask, NULL);
        return r;
}
