/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/core/server.h"

/* A server on a socket of its own, and a loop that is stepped by hand. */
typedef struct World {
        sd_event *event;
        Server *server;
        int listen_fd;
        struct sockaddr_un address;
        Call *held;
        unsigned n_gone;
        int talked; /* what the last of several replies returned */
        char refuse[64]; /* method that the guard refuses */
} World;

static int echo(Call *call, void *userdata) {
        (void) userdata;
        return call_reply(call, json_pack("{s:s}", "text", call_string(call, "text")));
}

static void on_gone(Call *call, void *userdata) {
        World *world = userdata;

        world->n_gone++;
        world->held = NULL;
        (void) call_free(call);
}

static int hold(Call *call, void *userdata) {
        World *world = userdata;

        world->held = call;
        call->gone = on_gone;
        call->gone_userdata = world;
        return 0;
}

static int read_fd(Call *call, void *userdata) {
        cleanup(close_fdp) int fd = call_take_fd(call, "fileFd");
        char text[16] = "";

        (void) userdata;
        if (read(fd, text, sizeof(text) - 1) < 0)
                return -errno;
        return call_reply(call, json_pack("{s:s, s:i}", "text", text, "fds", (int) call->n_fds));
}

static int talk(Call *call, void *userdata) {
        World *world = userdata;

        for (unsigned i = 0; i < 3; i++)
                world->talked = call_continue(call, json_pack("{s:s}", "text", "a"), -1);
        return call_reply(call, NULL);
}

static int fails(Call *call, void *userdata) {
        (void) call;
        (void) userdata;
        return -ENOTRECOVERABLE;
}

static const Method test_methods[] = {
        { "Echo", METHOD_READING, "text: string, many: ?[]string, n: ?int, flag: ?bool", "text: string", "Say it again", echo },
        { "Hold", METHOD_OPEN, "", "", "Wait", hold },
        { "ReadFd", METHOD_WIDENING, "fileFd: int", "text: string, fds: int", "Read a descriptor", read_fd },
        { "Talk", METHOD_OPEN, "", "text: string", "Say it thrice", talk },
        { "Fail", METHOD_OPEN, "", "", "Fail", fails },
        { 0 },
};

static const char *guard(const Call *call, void *userdata) {
        World *world = userdata;

        assert_int_equal(call->peer.uid, geteuid());
        assert_int_equal(call->peer.session, getsid(0));
        return strcmp(call->method->name, world->refuse) == 0 ? "org.carewallet.StepUpRequired" : NULL;
}

static void turn(World *world) {
        while (sd_event_run(world->event, 0) > 0)
                ;
}

static int setup(void **state) {
        World *world = calloc(1, sizeof(*world));
        ServerConfig config = { .methods = test_methods, .interface = "org.carewallet", .vendor = "v", .product = "p", .version = "1", .guard = guard, .userdata = world };

        assert_non_null(world);
        assert_return_code(sd_event_new(&world->event), 0);
        world->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        world->address.sun_family = AF_UNIX;
        (void) snprintf(world->address.sun_path + 1, sizeof(world->address.sun_path) - 1, "carewallet-test-%d", getpid());
        assert_return_code(bind(world->listen_fd, (struct sockaddr *) &world->address, sizeof(world->address)), errno);
        assert_return_code(listen(world->listen_fd, 64), errno);
        config.event = world->event;
        config.listen_fd = world->listen_fd;
        config.patient = geteuid();
        assert_int_equal(server_new(&world->server, &config), 0);
        *state = world;
        return 0;
}

static int teardown(void **state) {
        World *world = *state;

        (void) server_free(world->server);
        (void) close_fd(world->listen_fd);
        (void) sd_event_unref(world->event);
        free(world);
        return 0;
}

static int client(World *world) {
        int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

        assert_return_code(connect(fd, (struct sockaddr *) &world->address, sizeof(world->address)), errno);
        turn(world);
        return fd;
}

static void say(World *world, int fd, const char *text) {
        assert_int_equal(send(fd, text, strlen(text) + 1, MSG_NOSIGNAL), (ssize_t) strlen(text) + 1);
        turn(world);
}

static bool is_closed(World *world, int fd) {
        char byte;

        turn(world);
        errno = 0;
        return recv(fd, &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN;
}

static const char *hear(int fd) {
        static char text[4096];
        ssize_t n = recv(fd, text, sizeof(text) - 1, MSG_DONTWAIT);

        text[n > 0 ? n : 0] = '\0';
        return text;
}

static void a_call_is_answered_and_the_next_one_too(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}");
        assert_string_equal(hear(fd), "{\"parameters\":{\"text\":\"a\"}}");
        say(world, fd, "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"b\",\"many\":[\"x\"],\"n\":1,\"flag\":true}}");
        assert_string_equal(hear(fd), "{\"parameters\":{\"text\":\"b\"}}");
}

static void parameters_that_the_table_does_not_have_are_named(void **state) {
        static const struct {
                const char *parameters, *named;
        } rows[] = {
                { "{}", "text" },
                { "{\"text\":1}", "text" },
                { "{\"text\":null}", "text" },
                { "{\"text\":\"a\",\"other\":1}", "other" },
                { "{\"text\":\"a\",\"many\":\"x\"}", "many" },
                { "{\"text\":\"a\",\"many\":[1]}", "many" },
                { "{\"text\":\"a\",\"n\":1.5}", "n" },
                { "{\"text\":\"a\",\"n\":\"1\"}", "n" },
                { "{\"text\":\"a\",\"flag\":0}", "flag" },
                { "{\"text\":\"a\\u0000b\"}", NULL },
        };
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        for (size_t i = 0; i < N_ELEMENTS(rows); i++) {
                char call[256], wanted[256];

                if (!rows[i].named) /* Jansson takes no NUL in a string: not the protocol */
                        continue;
                (void) snprintf(call, sizeof(call), "{\"method\":\"org.carewallet.Echo\",\"parameters\":%s}", rows[i].parameters);
                (void) snprintf(wanted, sizeof(wanted), "{\"error\":\"org.varlink.service.InvalidParameter\",\"parameters\":{\"parameter\":\"%s\"}}", rows[i].named);
                say(world, fd, call);
                assert_string_equal(hear(fd), wanted);
        }
}

static void unknown_methods_and_interfaces_have_their_errors(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Nothing\"}");
        assert_string_equal(hear(fd), "{\"error\":\"org.varlink.service.MethodNotFound\",\"parameters\":{\"method\":\"Nothing\"}}");
        say(world, fd, "{\"method\":\"org.other.Echo\"}");
        assert_string_equal(hear(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"org.other\"}}");
        say(world, fd, "{\"method\":\"Echo\"}");
        assert_string_equal(hear(fd), "{\"error\":\"org.varlink.service.InterfaceNotFound\",\"parameters\":{\"interface\":\"Echo\"}}");
}

static void the_guard_is_asked_before_the_handler(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        (void) snprintf(world->refuse, sizeof(world->refuse), "Echo");
        say(world, fd, "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}");
        assert_string_equal(hear(fd), "{\"error\":\"org.carewallet.StepUpRequired\",\"parameters\":{}}");
}

static void a_handler_that_fails_is_an_internal_error(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Fail\"}");
        assert_non_null(strstr(hear(fd), "org.carewallet.Internal"));
}

static void who_does_not_speak_the_protocol_loses_the_connection_and_nobody_else(void **state) {
        static const char *const texts[] = {
                "", "x", "[]", "{}", "{\"method\":1}", "{\"method\":\"a.B\",\"parameters\":[]}", "{\"method\":\"a.B\",\"method\":\"a.C\"}",
                "{\"method\":\"org.carewallet.Hold\",\"oneway\":true}", "{\"method\":\"org.carewallet.Hold\",\"upgrade\":true}",
                "{\"a\":[[[[[[[[[[[[[[[[[]]]]]]]]]]]]]]]]],\"method\":\"org.carewallet.Hold\"}", "{\"method\":\"\xff\"}",
        };
        World *world = *state;
        cleanup(close_fdp) int other = client(world);

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                cleanup(close_fdp) int fd = client(world);

                say(world, fd, texts[i]);
                assert_true(is_closed(world, fd));
        }
        say(world, other, "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}");
        assert_string_equal(hear(other), "{\"parameters\":{\"text\":\"a\"}}");
}

/* A call of exactly n bytes with its NUL, sent in pieces while the loop turns. */
static void say_long(World *world, int fd, size_t n, bool *ret_broken) {
        static const char head[] = "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"\",\"many\":[\"", tail[] = "\"]}}";
        cleanup(freep) char *text = malloc(n);
        size_t at = 0;

        assert_non_null(text);
        memset(text, 'x', n);
        memcpy(text, head, sizeof(head) - 1);
        memcpy(text + n - sizeof(tail), tail, sizeof(tail));
        *ret_broken = false;
        while (at < n) {
                ssize_t sent = send(fd, text + at, n - at, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (sent < 0 && errno != EAGAIN) {
                        *ret_broken = true;
                        return;
                }
                at += sent > 0 ? (size_t) sent : 0;
                turn(world);
        }
}

static void a_message_of_one_mebibyte_is_read_and_one_byte_more_is_not(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world), long_fd = client(world);
        bool broken;

        say_long(world, fd, SERVER_FRAME_MAX, &broken);
        assert_false(broken);
        assert_string_equal(hear(fd), "{\"parameters\":{\"text\":\"\"}}");
        say_long(world, long_fd, SERVER_FRAME_MAX + 1, &broken);
        assert_true(broken || is_closed(world, long_fd));
}

static void sixteen_connections_are_served_and_the_longest_idle_makes_room(void **state) {
        static const char echo_a[] = "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}";
        World *world = *state;
        int fds[SERVER_CONNECTIONS_MAX + 1];

        for (size_t i = 0; i < SERVER_CONNECTIONS_MAX; i++)
                fds[i] = client(world);
        say(world, fds[0], "{\"method\":\"org.carewallet.Hold\"}"); /* has a call: stays */
        fds[SERVER_CONNECTIONS_MAX] = client(world);
        assert_false(is_closed(world, fds[0]));
        assert_true(is_closed(world, fds[1]));
        for (size_t i = 2; i <= SERVER_CONNECTIONS_MAX; i++) {
                say(world, fds[i], echo_a);
                assert_string_equal(hear(fds[i]), "{\"parameters\":{\"text\":\"a\"}}");
        }
        for (size_t i = 0; i <= SERVER_CONNECTIONS_MAX; i++)
                (void) close_fd(fds[i]);
        turn(world);
        assert_int_equal(world->n_gone, 1);
}

static void one_more_than_sixteen_calls_under_way_are_not_taken(void **state) {
        World *world = *state;
        int fds[SERVER_CONNECTIONS_MAX], more;

        for (size_t i = 0; i < SERVER_CONNECTIONS_MAX; i++) {
                fds[i] = client(world);
                say(world, fds[i], "{\"method\":\"org.carewallet.Hold\"}");
        }
        more = client(world);
        assert_true(is_closed(world, more));
        (void) close_fd(more);
        for (size_t i = 0; i < SERVER_CONNECTIONS_MAX; i++)
                (void) close_fd(fds[i]);
        turn(world);
}

static void a_peer_that_sends_much_at_once_lets_others_have_their_turn(void **state) {
        static const char call[] = "{\"method\":\"a.b\"}", echo_a[] = "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}";
        World *world = *state;
        cleanup(close_fdp) int flood = client(world), other = client(world);
        unsigned n_turns = 0;

        for (unsigned i = 0; i < 100; i++)
                assert_int_equal(send(flood, call, sizeof(call), MSG_NOSIGNAL), sizeof(call));
        assert_int_equal(send(other, echo_a, sizeof(echo_a), MSG_NOSIGNAL), sizeof(echo_a));
        while (!*hear(other)) {
                assert_true(sd_event_run(world->event, 0) > 0);
                assert_true(++n_turns < 20);
        }
}

static void a_peer_that_sends_no_more_still_gets_its_answer(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Hold\"}");
        assert_return_code(shutdown(fd, SHUT_WR), errno);
        turn(world);
        assert_int_equal(world->n_gone, 0);
        world->held->gone = NULL;
        assert_int_equal(call_reply(take_ptr(world->held), NULL), 0);
        turn(world);
        assert_string_equal(hear(fd), "{\"parameters\":{}}");
        assert_true(is_closed(world, fd));
}

static void say_fds(World *world, int fd, const char *text, size_t n_fds) {
        union {
                char bytes[CMSG_SPACE(sizeof(int) * 8)];
                struct cmsghdr align;
        } control = { 0 };
        struct iovec iov = { .iov_base = (char *) text, .iov_len = strlen(text) + 1 };
        struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = CMSG_SPACE(sizeof(int) * n_fds) };
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        int pair[2];

        assert_return_code(pipe2(pair, O_CLOEXEC), errno);
        assert_int_equal(write(pair[1], "hello", 5), 5);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * n_fds);
        for (size_t i = 0; i < n_fds; i++)
                memcpy(CMSG_DATA(header) + i * sizeof(int), &pair[0], sizeof(int));
        assert_true(sendmsg(fd, &message, MSG_NOSIGNAL) > 0);
        (void) close_fd(pair[0]);
        (void) close_fd(pair[1]);
        turn(world);
}

static void descriptors_come_with_their_call_and_at_most_four(void **state) {
        static const char nothing[] = "{\"method\":\"org.carewallet.Nothing\"}";
        World *world = *state;
        cleanup(close_fdp) int fd = client(world), greedy = client(world);

        say_fds(world, fd, "{\"method\":\"org.carewallet.ReadFd\",\"parameters\":{\"fileFd\":0}}", SERVER_FDS_MAX);
        assert_string_equal(hear(fd), "{\"parameters\":{\"text\":\"hello\",\"fds\":4}}");
        say_fds(world, fd, "{\"method\":\"org.carewallet.ReadFd\",\"parameters\":{\"fileFd\":1}}", 1);
        assert_non_null(strstr(hear(fd), "InvalidParameter"));
        say(world, fd, "{\"method\":\"org.carewallet.ReadFd\",\"parameters\":{\"fileFd\":0}}");
        assert_non_null(strstr(hear(fd), "InvalidParameter"));
        /* a descriptor belongs to the message with which it came */
        assert_int_equal(send(fd, nothing, sizeof(nothing), MSG_NOSIGNAL), sizeof(nothing));
        say_fds(world, fd, "{\"method\":\"org.carewallet.ReadFd\",\"parameters\":{\"fileFd\":0}}", 1);
        {
                const char *text = hear(fd);

                assert_non_null(strstr(text, "MethodNotFound"));
                assert_string_equal(text + strlen(text) + 1, "{\"parameters\":{\"text\":\"hello\",\"fds\":1}}");
        }
        say_fds(world, greedy, "{\"method\":\"org.carewallet.ReadFd\",\"parameters\":{\"fileFd\":0}}", SERVER_FDS_MAX + 1);
        assert_true(is_closed(world, greedy));
}

static void a_job_hears_that_its_peer_hung_up(void **state) {
        World *world = *state;
        int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Hold\"}");
        assert_non_null(world->held);
        (void) close_fd(fd);
        turn(world);
        assert_int_equal(world->n_gone, 1);
}

static void a_handler_may_go_on_talking_to_a_peer_that_hung_up(void **state) {
        static const char call[] = "{\"method\":\"org.carewallet.Talk\",\"parameters\":{},\"more\":true}";
        World *world = *state;
        int fd = client(world);

        assert_int_equal(send(fd, call, sizeof(call), MSG_NOSIGNAL), sizeof(call));
        (void) close_fd(fd);
        turn(world);
        assert_int_equal(world->talked, -ECONNRESET);
}

static void a_second_call_waits_for_the_first(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);

        say(world, fd, "{\"method\":\"org.carewallet.Hold\"}");
        say(world, fd, "{\"method\":\"org.carewallet.Echo\",\"parameters\":{\"text\":\"a\"}}");
        assert_string_equal(hear(fd), "");
        world->held->gone = NULL;
        assert_int_equal(call_reply(take_ptr(world->held), NULL), 0);
        turn(world);
        assert_memory_equal(hear(fd), "{\"parameters\":{}}\0{\"parameters\":{\"text\":\"a\"}}", 44);
}

static void the_description_has_every_method_of_the_table(void **state) {
        World *world = *state;
        cleanup(close_fdp) int fd = client(world);
        const char *text;

        say(world, fd, "{\"method\":\"org.varlink.service.GetInterfaceDescription\",\"parameters\":{\"interface\":\"org.carewallet\"}}");
        text = hear(fd);
        for (const Method *method = test_methods; method->name; method++)
                assert_non_null(strstr(text, method->name));
        assert_non_null(strstr(text, "error StepUpRequired"));
}

int main(void) {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        static const struct CMUnitTest tests[] = {
                TEST(a_call_is_answered_and_the_next_one_too),
                TEST(parameters_that_the_table_does_not_have_are_named),
                TEST(unknown_methods_and_interfaces_have_their_errors),
                TEST(the_guard_is_asked_before_the_handler),
                TEST(a_handler_that_fails_is_an_internal_error),
                TEST(who_does_not_speak_the_protocol_loses_the_connection_and_nobody_else),
                TEST(a_message_of_one_mebibyte_is_read_and_one_byte_more_is_not),
                TEST(sixteen_connections_are_served_and_the_longest_idle_makes_room),
                TEST(one_more_than_sixteen_calls_under_way_are_not_taken),
                TEST(a_peer_that_sends_much_at_once_lets_others_have_their_turn),
                TEST(a_peer_that_sends_no_more_still_gets_its_answer),
                TEST(descriptors_come_with_their_call_and_at_most_four),
                TEST(a_job_hears_that_its_peer_hung_up),
                TEST(a_handler_may_go_on_talking_to_a_peer_that_hung_up),
                TEST(a_second_call_waits_for_the_first),
                TEST(the_description_has_every_method_of_the_table),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
