/* SPDX-License-Identifier: Apache-2.0 */

/* Each case runs in a child of its own, because a lockdown is for good. */

#include "support.h"

#include "daemon/common/lockdown.h"

#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

enum {
        KILLED = -1000, /* by SIGSYS */
        MADE = 0,       /* the call returned no error */
};

typedef struct Case {
        LockdownProfile profile;
        long call[7]; /* number, then arguments */
        int expected; /* KILLED, MADE, or an errno */
} Case;

static const long high = 1L << 32; /* the kernel does not look at it in an int argument */

/* What the call did in a child with that profile. */
static int outcome(const Case *c) {
        int status;
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                const long *a = c->call;

                (void) close(STDERR_FILENO);
                if (lockdown(&(Lockdown){.profile = c->profile, .state_dir_fd = -1, .socket_dir_fd = -1}) < 0)
                        syscall(SYS_exit_group, 255);
                syscall(SYS_exit_group, syscall(a[0], a[1], a[2], a[3], a[4], a[5], a[6]) < 0 ? errno : MADE);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        if (WIFSIGNALED(status)) {
                assert_int_equal(WTERMSIG(status), SIGSYS);
                return KILLED;
        }
        assert_int_not_equal(WEXITSTATUS(status), 255);
        return WEXITSTATUS(status);
}

static void assert_outcomes(const Case *cases, size_t n) {
        for (size_t i = 0; i < n; i++) {
                int found = outcome(&cases[i]);

                if (found != cases[i].expected)
                        fail_msg("case %zu: %d, expected %d", i, found, cases[i].expected);
        }
}

static void the_launcher_has_unix_sockets_and_tcp_and_starts_programs_by_descriptor_only(void **state) {
        const Case cases[] = {
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0}, MADE},
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0}, MADE},
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_INET6, SOCK_RAW, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_NETLINK, SOCK_RAW, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_socket, AF_PACKET, SOCK_RAW, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_socket, high | AF_NETLINK, SOCK_RAW, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_socket, high | AF_INET, high | SOCK_DGRAM, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_connect, -1, 0, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_sendto, -1, 0, 0, MSG_FASTOPEN, 0, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_sendto, -1, 0, 0, MSG_NOSIGNAL, 0, 0}, EBADF},
                {LOCKDOWN_LAUNCHER, {SYS_sendmsg, -1, 0, high | MSG_FASTOPEN | MSG_NOSIGNAL}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_execveat, -1, 0, 0, 0, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_unshare, CLONE_NEWUSER}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0}, KILLED},
                {LOCKDOWN_LAUNCHER, {SYS_clone3, 0, 0}, ENOSYS},
        };

        (void) state;
        assert_outcomes(cases, N_ELEMENTS(cases));
}

static void the_core_reaches_nobody_and_survives_what_it_does_not_know(void **state) {
        const Case cases[] = {
                {LOCKDOWN_CORE, {SYS_socket, AF_UNIX, SOCK_DGRAM, 0}, MADE},
                {LOCKDOWN_CORE, {SYS_socket, AF_INET, SOCK_STREAM, 0}, KILLED},
                {LOCKDOWN_CORE, {SYS_socket, high | AF_INET, SOCK_STREAM, 0}, KILLED},
                {LOCKDOWN_CORE, {SYS_sendmsg, -1, 0, MSG_FASTOPEN}, KILLED},
                {LOCKDOWN_CORE, {SYS_sendmsg, -1, 0, MSG_NOSIGNAL}, EBADF},
                {LOCKDOWN_CORE, {SYS_kill, 0, 0}, ENOSYS},
                {LOCKDOWN_CORE, {SYS_bind, -1, 0, 0}, ENOSYS},
                {LOCKDOWN_CORE, {SYS_prlimit64, 1, 0, 0, 0}, ENOSYS},
                {LOCKDOWN_CORE, {SYS_mmap, 0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}, ENOSYS},
                {LOCKDOWN_CORE, {SYS_mmap, 0, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}, MADE},
        };

        (void) state;
        assert_outcomes(cases, N_ELEMENTS(cases));
}

static void a_worker_has_its_descriptors_and_nothing_else(void **state) {
        static const LockdownProfile workers[] = {LOCKDOWN_KDF, LOCKDOWN_IMPORT, LOCKDOWN_GATE};

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(workers); i++) {
                const Case cases[] = {
                        {workers[i], {SYS_read, -1, 0, 0}, EBADF},
                        {workers[i], {SYS_fcntl, -1, F_GETFL, 0}, EBADF},
                        {workers[i], {SYS_fcntl, -1, F_DUPFD, 0}, KILLED},
                        {workers[i], {SYS_newfstatat, AT_FDCWD, 0, 0, 0}, KILLED},
                        {workers[i], {SYS_mmap, 0, 4096, PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0}, KILLED},
                        {workers[i], {SYS_mprotect, 0, 0, PROT_READ | PROT_EXEC}, KILLED},
                        {workers[i], {SYS_openat, AT_FDCWD, 0, O_RDONLY, 0}, KILLED},
                        {workers[i], {SYS_socket, AF_UNIX, SOCK_STREAM, 0}, KILLED},
                        {workers[i], {SYS_bind, -1, 0, 0}, KILLED},
                        {workers[i], {SYS_listen, -1, 1}, KILLED},
                        {workers[i], {SYS_kill, 1, 0}, KILLED},
                        {workers[i], {SYS_ioctl, -1, 0, 0}, KILLED},
                        {workers[i], {SYS_prctl, 0, 0, 0, 0, 0}, KILLED},
                        {workers[i], {SYS_sendto, -1, 0, 0, MSG_FASTOPEN, 0, 0}, KILLED},
                };

                assert_outcomes(cases, N_ELEMENTS(cases));
        }
}

static void only_the_gate_accepts_and_only_import_seeks(void **state) {
        const Case cases[] = {
                {LOCKDOWN_GATE, {SYS_accept4, -1, 0, 0, 0}, EBADF},
                {LOCKDOWN_GATE, {SYS_sendto, -1, 0, 0, MSG_NOSIGNAL, 0, 0}, EBADF},
                {LOCKDOWN_GATE, {SYS_lseek, -1, 0, SEEK_SET}, KILLED},
                {LOCKDOWN_IMPORT, {SYS_lseek, -1, 0, SEEK_SET}, EBADF},
                {LOCKDOWN_IMPORT, {SYS_accept4, -1, 0, 0, 0}, KILLED},
                {LOCKDOWN_KDF, {SYS_lseek, -1, 0, SEEK_SET}, KILLED},
                {LOCKDOWN_KDF, {SYS_accept4, -1, 0, 0, 0}, KILLED},
        };

        (void) state;
        assert_outcomes(cases, N_ELEMENTS(cases));
}

/* The value of a line of /proc/PID/status, of a child that has locked itself down and waits. */
static void assert_status(pid_t pid, const char *name, const char *expected) {
        char path[64], line[256], found[256] = "nothing";
        FILE *file;

        (void) snprintf(path, sizeof(path), "/proc/%d/status", pid);
        file = fopen(path, "re");
        assert_non_null(file);
        while (fgets(line, sizeof(line), file))
                if (strncmp(line, name, strlen(name)) == 0 && line[strlen(name)] == ':')
                        (void) sscanf(line + strlen(name) + 1, " %255s", found);
        (void) fclose(file);
        assert_string_equal(found, expected);
}

static void nothing_can_be_regained(void **state) {
        (void) state;

        for (unsigned profile = 0; profile < N_LOCKDOWN_PROFILES; profile++) {
                int ready[2], wait_fds[2], status;
                pid_t pid;

                assert_int_equal(pipe2(ready, O_CLOEXEC), 0);
                assert_int_equal(pipe2(wait_fds, O_CLOEXEC), 0);
                pid = fork();
                assert_true(pid >= 0);
                if (pid == 0) {
                        char byte;

                        (void) close(wait_fds[1]);
                        if (lockdown(&(Lockdown){.profile = profile, .state_dir_fd = -1, .socket_dir_fd = -1}) == 0)
                                (void) !write(ready[1], "x", 1);
                        (void) !read(wait_fds[0], &byte, 1);
                        syscall(SYS_exit_group, 0);
                }
                (void) close(wait_fds[0]);
                (void) close(ready[1]);
                assert_int_equal(read(ready[0], &(char){0}, 1), 1);
                assert_status(pid, "NoNewPrivs", "1");
                assert_status(pid, "Seccomp", "2");
                if (profile >= LOCKDOWN_KDF) { /* also when it was root */
                        assert_status(pid, "CapEff", "0000000000000000");
                        assert_status(pid, "CapPrm", "0000000000000000");
                }
                (void) close(wait_fds[1]);
                (void) close(ready[0]);
                assert_int_equal(waitpid(pid, &status, 0), pid);
                assert_true(WIFEXITED(status));
        }
}

static void an_unknown_call_of_the_core_is_said_once(void **state) {
        int fds[2], status;
        char said[1024] = "", expected[128];
        pid_t pid;

        (void) state;

        (void) snprintf(expected, sizeof(expected), "carewalletd: core: unknown system call %d, answered with ENOSYS\n", SYS_kill);
        assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
        pid = fork();
        assert_true(pid >= 0);
        if (pid == 0) {
                (void) dup2(fds[1], STDERR_FILENO);
                if (lockdown(&(Lockdown){.profile = LOCKDOWN_CORE, .state_dir_fd = -1, .socket_dir_fd = -1}) == 0)
                        for (unsigned i = 0; i < 3; i++)
                                (void) syscall(SYS_kill, 0, 0);
                syscall(SYS_exit_group, 0);
        }
        (void) close(fds[1]);
        assert_int_equal(waitpid(pid, &status, 0), pid);
        assert_true(read(fds[0], said, sizeof(said) - 1) >= 0);
        (void) close(fds[0]);
        assert_string_equal(said, expected);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_launcher_has_unix_sockets_and_tcp_and_starts_programs_by_descriptor_only),
                cmocka_unit_test(the_core_reaches_nobody_and_survives_what_it_does_not_know),
                cmocka_unit_test(a_worker_has_its_descriptors_and_nothing_else),
                cmocka_unit_test(only_the_gate_accepts_and_only_import_seeks),
                cmocka_unit_test(nothing_can_be_regained),
                cmocka_unit_test(an_unknown_call_of_the_core_is_said_once),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
