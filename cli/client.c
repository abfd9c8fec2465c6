/* SPDX-License-Identifier: Apache-2.0 */

#include "client.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>

struct Client {
        int fd;
        Splitter splitter;
        int fds[CLIENT_FDS_MAX]; /* came in, their message is not whole yet */
        size_t n_fds;
        uint64_t fds_at;         /* a byte of their message, as position in the stream */
};

enum {
        CONNECT_TIMEOUT_S = 5, /* a daemon whose backlog is full for that long does not live */
};

static void close_fds(int *fds, size_t *n_fds) {
        for (size_t i = 0; i < *n_fds; i++)
                fds[i] = close_fd(fds[i]);
        *n_fds = 0;
}

void reply_done(Reply *reply) {
        json_decref(reply->message);
        close_fds(reply->fds, &reply->n_fds);
        *reply = (Reply) {0};
}

int reply_take_fd(Reply *reply, const char *name) {
        int64_t i = message_int(reply->parameters, name, -1);

        if (i < 0 || (uint64_t) i >= reply->n_fds)
                return -1;
        return take_fd(&reply->fds[i]);
}

static void set_timeout(int fd, int option, unsigned seconds) {
        struct timeval timeout = {.tv_sec = (time_t) seconds};

        (void) setsockopt(fd, SOL_SOCKET, option, &timeout, sizeof(timeout));
}

int client_connect(Client **ret, const char *path) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        cleanup(close_fdp) int fd = -1;
        Client *client;

        if (strlen(path) >= sizeof(address.sun_path))
                return -ENAMETOOLONG;
        memcpy(address.sun_path, path, strlen(path) + 1);

        fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (fd < 0)
                return -errno;
        set_timeout(fd, SO_SNDTIMEO, CONNECT_TIMEOUT_S);
        if (connect(fd, (const struct sockaddr *) &address, sizeof(address)) < 0)
                return errno == EAGAIN ? -ETIMEDOUT : -errno;

        client = calloc(1, sizeof(*client));
        if (!client)
                return -ENOMEM;
        client->fd = take_fd(&fd);
        *ret = client;
        return 0;
}

Client *client_free(Client *client) {
        if (client) {
                close_fds(client->fds, &client->n_fds);
                splitter_done(&client->splitter);
                (void) close_fd(client->fd);
                free(client);
        }
        return NULL;
}

void client_set_timeout(Client *client, unsigned seconds) {
        set_timeout(client->fd, SO_RCVTIMEO, seconds);
}

static int transport_error(int error) {
        switch (error) {
        case EPIPE:
        case ECONNRESET:
                return CLIENT_E_GONE;
        case EAGAIN:
                return CLIENT_E_TIMEOUT;
        default:
                return -error;
        }
}

/* The descriptors go with the first byte, where the daemon looks for them. */
static int send_all(int socket_fd, const char *bytes, size_t n, const int *fds, size_t n_fds) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * CLIENT_FDS_MAX)];
        } control = {0};

        for (size_t done = 0; done < n;) {
                struct iovec part = {.iov_base = (void *) (uintptr_t) (bytes + done), .iov_len = n - done};
                struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
                ssize_t l;

                if (done == 0 && n_fds > 0) {
                        message.msg_control = &control;
                        message.msg_controllen = CMSG_SPACE(sizeof(int) * n_fds);
                        control.header = (struct cmsghdr) {
                                .cmsg_level = SOL_SOCKET,
                                .cmsg_type = SCM_RIGHTS,
                                .cmsg_len = CMSG_LEN(sizeof(int) * n_fds),
                        };
                        memcpy(CMSG_DATA(&control.header), fds, sizeof(int) * n_fds);
                }

                l = sendmsg(socket_fd, &message, MSG_NOSIGNAL);
                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return transport_error(errno);
                }
                done += (size_t) l;
        }
        return 0;
}

int client_call(Client *client, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds) {
        cleanup(json_decrefp) json_t *call = NULL;
        cleanup(freep) char *text = NULL;
        size_t n;

        assert(n_fds <= CLIENT_FDS_MAX);

        call = json_pack("{s:s, s:o}", "method", method, "parameters", parameters ? json_incref(parameters) : json_object());
        if (!call || (more && json_object_set_new(call, "more", json_true()) < 0))
                return -ENOMEM;
        text = json_dumps(call, JSON_COMPACT);
        if (!text)
                return -ENOMEM;

        n = strlen(text) + 1; /* the NUL is the end of the frame */
        if (n > MESSAGE_MAX)
                return CLIENT_E_TOO_BIG;
        return send_all(client->fd, text, n, fds, n_fds);
}

/* One recvmsg(2). Linux ends it with the piece that brought descriptors: their message has its last byte. */
static int fill(Client *client) {
        union {
                struct cmsghdr header;
                char bytes[CMSG_SPACE(sizeof(int) * CLIENT_FDS_MAX)];
        } control;
        struct iovec part;
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
        bool bad = false;
        ssize_t l;
        int r;

        r = splitter_space(&client->splitter, &part.iov_base, &part.iov_len);
        if (r < 0)
                return r;

        do
                l = recvmsg(client->fd, &message, MSG_CMSG_CLOEXEC);
        while (l < 0 && errno == EINTR);
        if (l < 0)
                return transport_error(errno);

        for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c)) {
                size_t n_fds = (c->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                int fds[CLIENT_FDS_MAX];

                if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS)
                        continue;
                if (n_fds > CLIENT_FDS_MAX) /* can't be: there was no room for more */
                        n_fds = CLIENT_FDS_MAX;
                memcpy(fds, CMSG_DATA(c), n_fds * sizeof(int));
                if (client->n_fds > 0 || l == 0) {
                        close_fds(fds, &n_fds);
                        bad = true;
                } else {
                        memcpy(client->fds, fds, n_fds * sizeof(int));
                        client->n_fds = n_fds;
                        client->fds_at = splitter_received(&client->splitter) + (uint64_t) l - 1;
                }
        }
        if (bad || message.msg_flags & MSG_CTRUNC)
                return CLIENT_E_PROTOCOL;
        if (l == 0) /* also in the middle of a message */
                return CLIENT_E_GONE;

        splitter_filled(&client->splitter, (size_t) l);
        return 0;
}

int client_receive(Client *client, Reply *ret) {
        cleanup(json_decrefp) json_t *message = NULL;
        const json_t *parameters, *error;
        const char *bytes;
        size_t n;
        int r;

        for (;;) {
                r = splitter_next(&client->splitter, &bytes, &n);
                if (r == 0)
                        break;
                if (r != MESSAGE_E_AGAIN)
                        return CLIENT_E_PROTOCOL;
                r = fill(client);
                if (r != 0)
                        return r;
        }

        r = message_parse(&message, bytes, n);
        if (r < 0)
                return r;
        if (r > 0)
                return CLIENT_E_PROTOCOL;

        parameters = json_object_get(message, "parameters");
        error = json_object_get(message, "error");
        if ((parameters && !json_is_object(parameters)) || (error && !json_is_string(error)))
                return CLIENT_E_PROTOCOL;

        *ret = (Reply) {
                .parameters = parameters,
                .error = json_string_value(error),
                .continues = message_bool(message, "continues"),
        };
        if (client->n_fds > 0 && client->fds_at < splitter_position(&client->splitter)) {
                memcpy(ret->fds, client->fds, client->n_fds * sizeof(int));
                ret->n_fds = client->n_fds;
                client->n_fds = 0;
        }
        ret->message = take_ptr(message);
        return 0;
}

int client_wait(const Client *client, int other_fd) {
        struct pollfd polls[] = {{.fd = client->fd, .events = POLLIN}, {.fd = other_fd, .events = POLLIN}};
        const char *rest;

        if (splitter_rest(&client->splitter, &rest) > 0) /* of several messages that came at once; what is cut comes at once too */
                return 0;
        while (poll(polls, N_ELEMENTS(polls), -1) < 0)
                if (errno != EINTR)
                        return -errno;
        return polls[1].revents ? 1 : 0;
}
