/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>

#include "cli/client.h"

/* A listening socket in a directory of its own, the client's end and the peer's end. */
typedef struct Pair {
        char dir[32], path[48];
        int listener, peer;
        Client *client;
} Pair;

static void pair_open(Pair *pair) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};

        memcpy(pair->dir, "/tmp/cli-XXXXXX", 16);
        assert_non_null(mkdtemp(pair->dir));
        (void) snprintf(pair->path, sizeof(pair->path), "%s/s", pair->dir);
        (void) snprintf(address.sun_path, sizeof(address.sun_path), "%s", pair->path);
        pair->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        assert_true(pair->listener >= 0);
        assert_int_equal(bind(pair->listener, (const struct sockaddr *) &address, sizeof(address)), 0);
        assert_int_equal(listen(pair->listener, 1), 0);
        assert_int_equal(client_connect(&pair->client, pair->path), 0);
        pair->peer = accept4(pair->listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(pair->peer >= 0);
        client_set_timeout(pair->client, 5);
}

static void pair_close(Pair *pair) {
        pair->client = client_free(pair->client);
        (void) close_fd(pair->peer);
        (void) close_fd(pair->listener);
        (void) unlink(pair->path);
        (void) rmdir(pair->dir);
}

static void peer_send(const Pair *pair, const char *bytes, size_t n, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 8)];
        } control = {0};
        struct iovec part = {.iov_base = (void *) (uintptr_t) bytes, .iov_len = n};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};

        if (n_fds > 0) {
                message.msg_control = &control;
                message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                control.header.cmsg_level = SOL_SOCKET;
                control.header.cmsg_type = SCM_RIGHTS;
                control.header.cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
                memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
        }
        assert_int_equal(sendmsg(pair->peer, &message, 0), n);
}

#define SEND(pair, text) peer_send(pair, text, sizeof(text), NULL, 0) /* with the NUL */

static void nobody_there_is_told(void **state) {
        Client *client = NULL;
        char path[200];

        (void) state;

        assert_int_equal(client_connect(&client, "/nonexistent/socket"), -ENOENT);
        memset(path, 'x', sizeof(path) - 1);
        path[sizeof(path) - 1] = '\0';
        assert_int_equal(client_connect(&client, path), -ENAMETOOLONG);
        assert_null(client);
}

static void a_call_is_one_frame_with_its_descriptors(void **state) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * 4)];
        } control;
        char bytes[512], content[8];
        struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        json_t *parameters = json_pack("{s:i}", "fileFd", 0);
        int pipes[2], received;
        Pair pair;
        ssize_t n;

        (void) state;

        pair_open(&pair);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(write(pipes[1], "hello", 5), 5);
        assert_int_equal(client_call(pair.client, "org.carewallet.Import", parameters, true, pipes, 1), 0);

        n = recvmsg(pair.peer, &message, MSG_CMSG_CLOEXEC);
        assert_true(n > 0);
        assert_int_equal(bytes[n - 1], '\0');
        assert_string_equal(bytes, "{\"method\":\"org.carewallet.Import\",\"parameters\":{\"fileFd\":0},\"more\":true}");
        assert_non_null(CMSG_FIRSTHDR(&message));
        memcpy(&received, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(received));
        assert_int_equal(read(received, content, sizeof(content)), 5);

        (void) close_fd(received);
        (void) close_fd(pipes[0]);
        (void) close_fd(pipes[1]);
        json_decref(parameters);
        pair_close(&pair);
}

static void a_descriptor_belongs_to_the_message_that_it_came_with(void **state) {
        static const char with_fd[] = "{\"continues\":true,\"parameters\":{\"outputFd\":0}}";
        cleanup(reply_done) Reply reply = {0};
        char content[8];
        int pipes[2], fd;
        Pair pair;

        (void) state;

        pair_open(&pair);
        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(write(pipes[1], "hello", 5), 5);
        /* one recvmsg(2) may bring the first two together */
        SEND(&pair, "{\"continues\":true,\"parameters\":{\"progress\":{}}}");
        peer_send(&pair, with_fd, sizeof(with_fd) - 1, pipes, 1);
        peer_send(&pair, "", 1, NULL, 0);
        SEND(&pair, "{\"parameters\":{\"complete\":true}}");

        assert_int_equal(client_receive(pair.client, &reply), 0);
        assert_true(reply.continues);
        assert_int_equal(reply.n_fds, 0);
        assert_int_equal(reply_take_fd(&reply, "outputFd"), -1);
        reply_done(&reply);

        assert_int_equal(client_receive(pair.client, &reply), 0);
        assert_int_equal(reply.n_fds, 1);
        assert_int_equal(reply_take_fd(&reply, "none"), -1);
        fd = reply_take_fd(&reply, "outputFd");
        assert_true(fd >= 0);
        assert_int_equal(reply_take_fd(&reply, "outputFd"), -1);
        assert_int_equal(read(fd, content, sizeof(content)), 5);
        assert_true(fcntl(fd, F_GETFD) & FD_CLOEXEC);
        reply_done(&reply);

        assert_int_equal(client_receive(pair.client, &reply), 0);
        assert_false(reply.continues);
        assert_true(message_bool(reply.parameters, "complete"));

        (void) close_fd(fd);
        (void) close_fd(pipes[0]);
        (void) close_fd(pipes[1]);
        pair_close(&pair);
}

static void an_index_beyond_the_descriptors_gives_none(void **state) {
        cleanup(reply_done) Reply reply = {0};
        Pair pair;

        (void) state;

        pair_open(&pair);
        SEND(&pair, "{\"parameters\":{\"a\":0,\"b\":-1,\"c\":4294967296}}");
        assert_int_equal(client_receive(pair.client, &reply), 0);
        assert_int_equal(reply_take_fd(&reply, "a"), -1);
        assert_int_equal(reply_take_fd(&reply, "b"), -1);
        assert_int_equal(reply_take_fd(&reply, "c"), -1);
        pair_close(&pair);
}

static void more_descriptors_than_may_be_are_an_error(void **state) {
        cleanup(reply_done) Reply reply = {0};
        int fds[5] = {0, 0, 0, 0, 0};
        Pair pair;

        (void) state;

        pair_open(&pair);
        peer_send(&pair, "{}", 3, fds, 5);
        assert_int_equal(client_receive(pair.client, &reply), CLIENT_E_PROTOCOL);
        pair_close(&pair);
}

static void what_is_no_reply_is_an_error(void **state) {
        static const char *const bad[] = {"", "nonsense", "[]", "{\"parameters\":7}", "{\"error\":{}}"};

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                Reply reply = {0};
                Pair pair;

                pair_open(&pair);
                peer_send(&pair, bad[i], strlen(bad[i]) + 1, NULL, 0);
                assert_int_equal(client_receive(pair.client, &reply), CLIENT_E_PROTOCOL);
                pair_close(&pair);
        }
}

static void a_daemon_that_goes_away_is_told(void **state) {
        Reply reply = {0};
        Pair pair;

        (void) state;

        pair_open(&pair);
        peer_send(&pair, "{\"parameters\"", 13, NULL, 0); /* in the middle of a frame */
        pair.peer = close_fd(pair.peer);
        assert_int_equal(client_receive(pair.client, &reply), CLIENT_E_GONE);
        assert_int_equal(client_call(pair.client, "org.carewallet.Status", NULL, false, NULL, 0), CLIENT_E_GONE);
        pair_close(&pair);
}

static void a_daemon_that_says_nothing_is_told(void **state) {
        Reply reply = {0};
        Pair pair;

        (void) state;

        pair_open(&pair);
        client_set_timeout(pair.client, 1);
        peer_send(&pair, "{", 1, NULL, 0);
        assert_int_equal(client_receive(pair.client, &reply), CLIENT_E_TIMEOUT);
        pair_close(&pair);
}

/* A frame of @n bytes, its NUL included, from a process of its own: it is more than a socket holds. */
static pid_t send_frame(const Pair *pair, size_t n) {
        pid_t pid = fork();

        assert_true(pid >= 0);
        if (pid == 0) {
                static const char head[] = "{\"parameters\":{\"x\":\"", tail[] = "\"}}";
                char *bytes = malloc(n);

                if (!bytes)
                        _exit(1);
                memset(bytes, 'x', n);
                memcpy(bytes, head, sizeof(head) - 1);
                memcpy(bytes + n - sizeof(tail), tail, sizeof(tail));
                for (size_t done = 0; done < n;) {
                        ssize_t l = send(pair->peer, bytes + done, n - done, MSG_NOSIGNAL);

                        if (l < 0)
                                _exit(0);
                        done += (size_t) l;
                }
                _exit(0);
        }
        return pid;
}

static void a_frame_may_have_one_mebibyte_and_no_more(void **state) {
        (void) state;

        for (size_t excess = 0; excess <= 1; excess++) {
                cleanup(reply_done) Reply reply = {0};
                int status;
                Pair pair;
                pid_t pid;

                pair_open(&pair);
                pid = send_frame(&pair, MESSAGE_MAX + excess);
                assert_int_equal(client_receive(pair.client, &reply), excess == 0 ? 0 : CLIENT_E_PROTOCOL);
                if (excess == 0)
                        assert_int_equal(json_string_length(json_object_get(reply.parameters, "x")), MESSAGE_MAX - 24);
                pair_close(&pair);
                assert_int_equal(waitpid(pid, &status, 0), pid);
        }
}

static void a_call_over_the_limit_is_not_sent(void **state) {
        char *text = test_malloc(MESSAGE_MAX + 1);
        json_t *parameters;
        Pair pair;

        (void) state;

        memset(text, 'x', MESSAGE_MAX);
        text[MESSAGE_MAX] = '\0';
        parameters = json_pack("{s:s}", "name", text);
        pair_open(&pair);
        assert_int_equal(client_call(pair.client, "org.carewallet.Import", parameters, false, NULL, 0), CLIENT_E_TOO_BIG);
        pair_close(&pair);
        json_decref(parameters);
        test_free(text);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(nobody_there_is_told),
                cmocka_unit_test(a_call_is_one_frame_with_its_descriptors),
                cmocka_unit_test(a_descriptor_belongs_to_the_message_that_it_came_with),
                cmocka_unit_test(an_index_beyond_the_descriptors_gives_none),
                cmocka_unit_test(more_descriptors_than_may_be_are_an_error),
                cmocka_unit_test(what_is_no_reply_is_an_error),
                cmocka_unit_test(a_daemon_that_goes_away_is_told),
                cmocka_unit_test(a_daemon_that_says_nothing_is_told),
                cmocka_unit_test(a_frame_may_have_one_mebibyte_and_no_more),
                cmocka_unit_test(a_call_over_the_limit_is_not_sent),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
