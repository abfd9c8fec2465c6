/* SPDX-License-Identifier: Apache-2.0 */

/* The bytes and descriptors of one peer: messages in, answers out. */

#include <fcntl.h>
#include <sys/socket.h>

#include "server-private.h"

enum {
        OUTPUT_MAX = 4 * 1024 * 1024, /* bytes that wait for a peer that does not read */
        READ_SIZE = 16 * 1024,
};

static void connection_free(Connection *connection) {
        Connection **at = &connection->server->connections;

        while (*at != connection)
                at = &(*at)->next;
        *at = connection->next;
        connection->server->n_connections--;

        sd_event_source_disable_unref(connection->source);
        if (!connection->linger)
                (void) close_fd(connection->fd);
        for (size_t i = 0; i < connection->n_in_fds; i++)
                (void) close_fd(connection->in_fds[i].fd);
        for (size_t i = 0; i < connection->n_out_fds; i++)
                (void) close_fd(connection->out_fds[i].fd);
        if (connection->in)
                explicit_bzero(connection->in, connection->n_in_allocated);
        if (connection->out)
                explicit_bzero(connection->out, connection->n_out_allocated);
        free(connection->in);
        free(connection->out);
        free(connection);
}

void connection_bury(Connection *connection) {
        Call *call = take_ptr(connection->call);

        if (call) {
                call->connection = NULL;
                if (call->gone)
                        call->gone(call, call->gone_userdata);
                else
                        (void) call_free(call);
        }
        connection_free(connection);
}

void connection_kill(Connection *connection) {
        if (connection->dead)
                return;
        connection->dead = true;
        (void) sd_event_source_set_enabled(connection->source, SD_EVENT_OFF);
        (void) sd_event_source_set_enabled(connection->server->reaper, SD_EVENT_ONESHOT);
        if (!connection->linger)
                (void) shutdown(connection->fd, SHUT_RDWR);
}

/* A whole message may be there already: it has its turn when everybody else had theirs. */
static bool connection_has_more(const Connection *connection) {
        return !connection->call && connection->n_in > connection->at_scanned;
}

int connection_want(Connection *connection) {
        uint32_t events = 0;

        if (connection->dead)
                return 0;
        if (connection->half && !connection->call && connection->n_out == 0 && !connection_has_more(connection)) {
                connection_kill(connection); /* it has all its answers */
                return 0;
        }
        if (!connection->half)
                events |= EPOLLRDHUP;
        if (!connection->half && !connection->call && !connection_has_more(connection))
                events |= EPOLLIN;
        if (connection->n_out > 0 || connection_has_more(connection))
                events |= EPOLLOUT;
        return sd_event_source_set_io_events(connection->source, events);
}

int connection_write(Connection *connection) {
        while (connection->n_out > 0) {
                union {
                        char bytes[CMSG_SPACE(sizeof(int))];
                        struct cmsghdr align;
                } control = { 0 };
                struct iovec iov = { .iov_base = connection->out, .iov_len = connection->n_out };
                struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
                bool with_fd = connection->n_out_fds > 0 && connection->out_fds[0].at == 0;
                size_t sent;
                ssize_t n;

                if (with_fd) {
                        struct cmsghdr *header;

                        message.msg_control = control.bytes;
                        message.msg_controllen = sizeof(control.bytes);
                        header = CMSG_FIRSTHDR(&message);
                        header->cmsg_level = SOL_SOCKET;
                        header->cmsg_type = SCM_RIGHTS;
                        header->cmsg_len = CMSG_LEN(sizeof(int));
                        memcpy(CMSG_DATA(header), &connection->out_fds[0].fd, sizeof(int));
                }
                if (connection->n_out_fds > (with_fd ? 1 : 0)) /* stop where the next descriptor goes */
                        iov.iov_len = connection->out_fds[with_fd ? 1 : 0].at;

                n = sendmsg(connection->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
                if (n < 0)
                        return errno == EINTR ? 0 : -errno;
                sent = (size_t) n;
                if (with_fd) {
                        (void) close_fd(connection->out_fds[0].fd);
                        connection->n_out_fds--;
                        memmove(connection->out_fds, connection->out_fds + 1, connection->n_out_fds * sizeof(connection->out_fds[0]));
                }
                for (size_t i = 0; i < connection->n_out_fds; i++)
                        connection->out_fds[i].at -= sent;
                connection->n_out -= sent;
                memmove(connection->out, connection->out + sent, connection->n_out);
                explicit_bzero(connection->out + connection->n_out, sent);
        }
        return 0;
}

static int grow(char **bytes, size_t *n_allocated, size_t n_used, size_t n_needed) {
        size_t n = *n_allocated ? *n_allocated : READ_SIZE;
        char *larger;

        if (n_needed <= *n_allocated)
                return 0;
        while (n < n_needed)
                n *= 2;
        larger = malloc(n);
        if (!larger)
                return -ENOMEM;
        if (*bytes) {
                memcpy(larger, *bytes, n_used);
                explicit_bzero(*bytes, *n_allocated);
                free(*bytes);
        }
        *bytes = larger;
        *n_allocated = n;
        return 0;
}

int connection_send(Connection *connection, json_t *message, int fd) {
        size_t n;
        int r;

        n = json_dumpb(message, NULL, 0, JSON_COMPACT);
        if (n == 0)
                return -ENOMEM;
        if (n + 1 > SERVER_FRAME_MAX)
                return -EMSGSIZE;
        if (connection->n_out + n + 1 > OUTPUT_MAX)
                return -ENOBUFS;
        r = grow(&connection->out, &connection->n_out_allocated, connection->n_out, connection->n_out + n + 1);
        if (r < 0)
                return r;
        if (fd >= 0) {
                int duplicate;

                if (connection->n_out_fds == SERVER_FDS_MAX)
                        return -ENOBUFS;
                duplicate = fcntl(fd, F_DUPFD_CLOEXEC, 3);
                if (duplicate < 0)
                        return -errno;
                connection->out_fds[connection->n_out_fds].at = connection->n_out;
                connection->out_fds[connection->n_out_fds++].fd = duplicate;
        }
        (void) json_dumpb(message, connection->out + connection->n_out, n, JSON_COMPACT);
        connection->out[connection->n_out + n] = '\0';
        connection->n_out += n + 1;

        r = connection_write(connection);
        if (r < 0 && r != -EAGAIN) {
                connection_kill(connection);
                return -ECONNRESET;
        }
        return connection_want(connection);
}

static bool too_deep(const char *text, size_t n_text) {
        size_t depth = 0;
        bool quoted = false;

        for (size_t i = 0; i < n_text; i++)
                if (quoted) {
                        if (text[i] == '\\')
                                i++;
                        else if (text[i] == '"')
                                quoted = false;
                } else if (text[i] == '"')
                        quoted = true;
                else if (text[i] == '{' || text[i] == '[') {
                        if (++depth > SERVER_JSON_DEPTH_MAX)
                                return true;
                } else if ((text[i] == '}' || text[i] == ']') && depth > 0)
                        depth--;
        return false;
}

static int connection_receive(Connection *connection) {
        union {
                char bytes[CMSG_SPACE(sizeof(int) * SERVER_FDS_MAX)];
                struct cmsghdr align;
        } control;
        struct msghdr message = { .msg_iovlen = 1, .msg_control = control.bytes, .msg_controllen = sizeof(control.bytes) };
        struct iovec iov;
        ssize_t n;
        int r;

        /* what was handled makes room */
        connection->n_in -= connection->at_in;
        connection->at_scanned -= connection->at_in;
        for (size_t i = 0; i < connection->n_in_fds; i++)
                connection->in_fds[i].at -= connection->at_in;
        if (connection->n_in > 0)
                memmove(connection->in, connection->in + connection->at_in, connection->n_in);
        connection->at_in = 0;

        r = grow(&connection->in, &connection->n_in_allocated, connection->n_in, connection->n_in + READ_SIZE);
        if (r < 0)
                return r;
        iov = (struct iovec){ .iov_base = connection->in + connection->n_in, .iov_len = connection->n_in_allocated - connection->n_in };
        if (iov.iov_len > SERVER_FRAME_MAX - connection->n_in)
                iov.iov_len = SERVER_FRAME_MAX - connection->n_in;
        message.msg_iov = &iov;

        n = recvmsg(connection->fd, &message, MSG_CMSG_CLOEXEC | MSG_DONTWAIT);
        if (n < 0)
                return -errno;
        for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
                size_t n_fds;

                if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS)
                        continue;
                n_fds = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
                for (size_t i = 0; i < n_fds; i++) {
                        int fd;

                        memcpy(&fd, CMSG_DATA(header) + i * sizeof(int), sizeof(fd));
                        if (connection->n_in_fds < SERVER_FDS_MAX) {
                                connection->in_fds[connection->n_in_fds].at = connection->n_in + (size_t) n - (n > 0);
                                connection->in_fds[connection->n_in_fds++].fd = fd;
                        } else {
                                (void) close_fd(fd);
                                r = -E2BIG;
                        }
                }
        }
        if (r < 0 || message.msg_flags & MSG_CTRUNC)
                return -E2BIG;
        if (n == 0)
                connection->half = true;
        connection->n_in += (size_t) n;
        return 0;
}

/* One message, if a whole one is there and no call is under way. */
static int connection_work(Connection *connection) {
        const char *text = connection->in + connection->at_in, *end;

        if (!connection_has_more(connection))
                return 0;
        end = memchr(connection->in + connection->at_scanned, '\0', connection->n_in - connection->at_scanned);
        if (!end) {
                connection->at_scanned = connection->n_in;
                return connection->n_in - connection->at_in >= SERVER_FRAME_MAX ? -EMSGSIZE : 0;
        }
        connection->at_in = connection->at_scanned = (size_t) (end - connection->in) + 1;
        if (too_deep(text, (size_t) (end - text)))
                return -EBADMSG;
        return server_take_message(connection, text, (size_t) (end - text));
}

static int on_connection(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Connection *connection = userdata;
        int r = 0;

        (void) source;
        (void) fd;
        if (connection->n_out > 0 && events & EPOLLOUT)
                r = connection_write(connection);
        if (r == -EAGAIN)
                r = 0;
        if (r >= 0 && events & EPOLLIN && !connection->half && !connection->call && !connection_has_more(connection))
                r = connection_receive(connection);
        else if (r >= 0 && events & (EPOLLHUP | EPOLLERR))
                r = -ECONNRESET;
        else if (events & EPOLLRDHUP && !(events & EPOLLIN))
                connection->half = true;
        if (r == -EAGAIN || r == -EINTR)
                r = 0;
        if (r >= 0)
                r = connection_work(connection);
        if (r >= 0)
                r = connection_want(connection);
        if (r < 0)
                connection_kill(connection);
        return 0;
}

void connection_new(Server *server, int *fd_io, const Peer *peer) {
        Connection *connection = calloc(1, sizeof(*connection));

        if (!connection)
                return;
        connection->server = server;
        connection->fd = take_fd(fd_io);
        connection->peer = *peer;
        connection->next = server->connections;
        server->connections = connection;
        server->n_connections++;
        if (sd_event_add_io(server->config.event, &connection->source, connection->fd, EPOLLIN | EPOLLRDHUP, on_connection, connection) < 0)
                connection_free(connection);
}
