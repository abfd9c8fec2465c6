/* SPDX-License-Identifier: Apache-2.0 */

/* What a local peer may send: the real server on a real socket, with a table that has every type of parameter. */

#include <sys/socket.h>
#include <sys/un.h>

#include "daemon/core/server.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

static int on_call(Call *call, void *userdata) {
        (void) userdata;
        (void) close_fd(call_take_fd(call, "fileFd"));
        return call_reply(call, json_pack("{s:b}", "flag", call_bool(call, "flag", false)));
}

static const Method fuzz_methods[] = {
        { "Call", METHOD_OPEN, "text: string, many: ?[]string, n: ?int, flag: ?bool", "flag: bool", "", on_call },
        { "File", METHOD_OPEN, "fileFd: int", "flag: bool", "", on_call },
        { 0 },
};

static const char *guard(const Call *call, void *userdata) {
        (void) call;
        (void) userdata;
        return NULL;
}

static void turn(sd_event *event) {
        while (sd_event_run(event, 0) > 0)
                ;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes) {
        static struct sockaddr_un address = { .sun_family = AF_UNIX };
        static sd_event *event;
        static Server *server;
        static int listen_fd;
        cleanup(close_fdp) int fd = -1;
        char answer[4096];
        size_t at = 0;

        if (!event) {
                ServerConfig config = { .methods = fuzz_methods, .interface = "org.carewallet", .vendor = "v", .product = "p", .version = "1", .guard = guard };

                (void) snprintf(address.sun_path + 1, sizeof(address.sun_path) - 1, "carewallet-fuzz-%d", getpid());
                listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
                if (bind(listen_fd, (struct sockaddr *) &address, sizeof(address)) < 0 || listen(listen_fd, 8) < 0 || sd_event_new(&event) < 0)
                        abort();
                config.event = event;
                config.listen_fd = listen_fd;
                config.patient = geteuid();
                if (server_new(&server, &config) < 0)
                        abort();
        }

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(fd, (struct sockaddr *) &address, sizeof(address)) < 0)
                abort();
        turn(event);
        while (at < n_bytes) {
                ssize_t n = send(fd, bytes + at, n_bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT);

                if (n < 0 && errno != EAGAIN)
                        break;
                at += n > 0 ? (size_t) n : 0;
                turn(event);
                while (recv(fd, answer, sizeof(answer), MSG_DONTWAIT) > 0)
                        turn(event);
        }
        fd = close_fd(fd);
        turn(event);
        return 0;
}
