/* SPDX-License-Identifier: Apache-2.0 */

/* The core's side of the launcher. */

#include "message.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>

static int send_request(int launcher_fd, LauncherWorker worker, const int *fds, size_t n_fds) {
        LauncherRequest request = {.magic = LAUNCHER_MAGIC, .worker = (uint32_t) worker};
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int) * LAUNCHER_FDS_MAX)];
        } control = {0};
        struct iovec iov = {.iov_base = &request, .iov_len = sizeof(request)};
        struct msghdr message = {
                .msg_iov = &iov,
                .msg_iovlen = 1,
                .msg_control = &control,
                .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds),
        };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        ssize_t l;

        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        memcpy(CMSG_DATA(header), fds, sizeof(int) * n_fds);

        do
                l = sendmsg(launcher_fd, &message, MSG_NOSIGNAL);
        while (l < 0 && errno == EINTR);
        return l < 0 ? -errno : 0;
}

static int receive_answer(int launcher_fd, int *ret_pidfd) {
        cleanup(close_fdp) int pidfd = -1;
        LauncherAnswer answer = {0};
        union {
                struct cmsghdr header;
                char space[CMSG_SPACE(sizeof(int))];
        } control = {0};
        struct iovec iov = {.iov_base = &answer, .iov_len = sizeof(answer)};
        struct msghdr message = {
                .msg_iov = &iov, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        struct cmsghdr *header;
        ssize_t l;

        do
                l = recvmsg(launcher_fd, &message, MSG_CMSG_CLOEXEC);
        while (l < 0 && errno == EINTR);
        if (l < 0)
                return -errno;
        if (l == 0)
                return -EPIPE; /* the launcher is gone */

        header = CMSG_FIRSTHDR(&message);
        if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
            header->cmsg_len == CMSG_LEN(sizeof(int)))
                memcpy(&pidfd, CMSG_DATA(header), sizeof(pidfd));
        if (l != sizeof(answer) || answer.magic != LAUNCHER_MAGIC || answer.result > 0)
                return -EBADMSG;
        if (answer.result < 0)
                return answer.result;
        if (pidfd < 0)
                return -EMFILE; /* it came, but found no place here */

        if (ret_pidfd)
                *ret_pidfd = take_fd(&pidfd);
        return 0;
}

int launcher_spawn(int launcher_fd, LauncherWorker worker, const int *fds, size_t n_fds, int *ret_pidfd) {
        int r;

        assert((unsigned) worker < N_LAUNCHER_WORKERS);
        assert(n_fds >= 2 && n_fds <= LAUNCHER_FDS_MAX);

        r = send_request(launcher_fd, worker, fds, n_fds);
        if (r < 0)
                return r;
        return receive_answer(launcher_fd, ret_pidfd);
}

int launcher_kill(int pidfd) {
        if (syscall(SYS_pidfd_send_signal, pidfd, SIGKILL, NULL, 0) < 0 && errno != ESRCH)
                return -errno;
        return 0;
}
