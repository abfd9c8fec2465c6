/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A gate that does what a test says: in carewallet-gate's place it listens where the core tells it to, without TLS, and passes
 * bytes between the core's pipes and the first who connects. It never locks itself down and keeps nothing back.
 */

#include "daemon/common/frame.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>

enum {
        CORE_IN = 0,
        CORE_OUT = 1,
        SEND_BUFFER = 4096, /* bytes: a test that does not read is felt at the core's pipe soon */
};

/* Wait for the core's configuration. Return: a listening socket, -1. */
static int listen_as_told(FrameBuffer *in) {
        struct sockaddr_in address = { .sin_family = AF_INET };
        const char *listen_at, *key_pem, *certificate_pem;
        cleanup(freep) char *texts = NULL;
        cleanup(close_fdp) int fd = -1;
        const uint8_t *payload;
        const int on = 1, buffer = SEND_BUFFER;
        char host[64];
        unsigned port;
        size_t n_payload;
        uint32_t type;

        while (frame_next(in, &type, &payload, &n_payload) == FRAME_E_AGAIN)
                if (frame_read(in, CORE_IN) <= 0)
                        return -1;
        if (type != FRAME_GATE_CONFIG || frame_get_gate_config(&texts, &listen_at, &key_pem, &certificate_pem, payload, n_payload) != 0 ||
            sscanf(listen_at, "%63[0-9.]:%u", host, &port) != 2 || port > UINT16_MAX || inet_pton(AF_INET, host, &address.sin_addr) != 1)
                return -1;
        address.sin_port = htons((uint16_t) port);
        fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 || setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer)) < 0 ||
            bind(fd, (const struct sockaddr *) &address, sizeof(address)) < 0 || listen(fd, 1) < 0)
                return -1;
        return take_fd(&fd);
}

/* What the test says goes on at once; while it takes nothing itself, nothing is taken from the core. */
static int pass(int test_fd) {
        static uint8_t from_test[65536], from_core[65536];
        size_t n = 0, at = 0;

        for (;;) {
                struct pollfd fds[] = {
                        { .fd = test_fd, .events = (short) (POLLIN | (at < n ? POLLOUT : 0)) },
                        { .fd = at < n ? -1 : CORE_IN, .events = POLLIN },
                };

                if (poll(fds, N_ELEMENTS(fds), -1) < 0)
                        return -errno;
                if (fds[0].revents & ~POLLOUT) {
                        ssize_t l = read(test_fd, from_test, sizeof(from_test));

                        if (l <= 0)
                                return 0;
                        for (ssize_t written = 0, m; written < l; written += m) {
                                m = write(CORE_OUT, from_test + written, (size_t) (l - written));
                                if (m < 0)
                                        return -errno;
                        }
                }
                if (fds[1].revents) {
                        ssize_t l = read(CORE_IN, from_core, sizeof(from_core));

                        if (l <= 0)
                                return 0;
                        n = (size_t) l;
                        at = 0;
                }
                if (at < n) {
                        ssize_t l = send(test_fd, from_core + at, n - at, MSG_DONTWAIT | MSG_NOSIGNAL);

                        if (l < 0 && errno != EAGAIN)
                                return -errno;
                        at += l > 0 ? (size_t) l : 0;
                }
        }
}

int main(void) {
        cleanup(frame_buffer_done) FrameBuffer in = { 0 };
        cleanup(close_fdp) int fd = -1, test_fd = -1;
        const int on = 1;

        fd = listen_as_told(&in);
        if (fd < 0)
                return EXIT_FAILURE;
        test_fd = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        if (test_fd < 0 || setsockopt(test_fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                return EXIT_FAILURE;
        return pass(test_fd) < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
