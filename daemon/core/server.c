/* SPDX-License-Identifier: Apache-2.0 */

#include "server.h"

#include <ctype.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "clock.h"
#include "daemon/common/text.h"
#include "signature.h"

enum {
        OUTPUT_MAX = 4 * 1024 * 1024, /* bytes that wait for a peer that does not read */
        READ_SIZE = 16 * 1024,
        N_OUT_FDS_MAX = 4,
};

struct Connection {
        Server *server;
        Connection *next; /* server::connections */
        int fd;
        sd_event_source *source;
        Peer peer;
        char *in;
        size_t n_in, n_in_allocated;
        size_t at_in;      /* where the next message begins */
        size_t at_scanned; /* no NUL between there and here */
        struct {
                size_t at; /* the last byte that came with it: the kernel reads no further than the bytes that bring descriptors */
                int fd;
        } in_fds[SERVER_FDS_MAX];
        size_t n_in_fds;
        char *out;
        size_t n_out, n_out_allocated;
        struct {
                size_t at; /* goes with the byte of out at this place */
                int fd;
        } out_fds[N_OUT_FDS_MAX];
        size_t n_out_fds;
        Call *call; /* under way */
        bool half; /* the peer will send no more, but may still read */
        bool dead;
        bool linger; /* the kernel closes it, when the process has ended */
};

struct Server {
        ServerConfig config;
        sd_event_source *source;
        sd_event_source *reaper; /* frees what died while it was in use */
        Connection *connections;
        size_t n_connections;
        uint64_t last_number; /* of a connection */
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

/* Tells the job of a dead connection, and frees it. Never from within a handler, which may still hold the call. */
static void connection_bury(Connection *connection) {
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

static int on_reap(sd_event_source *source, void *userdata) {
        Server *server = userdata;

        (void) source;
        for (Connection *connection = server->connections, *next; connection; connection = next) {
                next = connection->next;
                if (connection->dead)
                        connection_bury(connection);
        }
        return 0;
}

/* A bad peer loses its connection, nothing else. It is buried from the loop, since callers up the stack may hold it. */
static void connection_kill(Connection *connection) {
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

static int connection_want(Connection *connection) {
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

static int connection_write(Connection *connection) {
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

static int connection_send(Connection *connection, json_t *message, int fd) {
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

                if (connection->n_out_fds == N_OUT_FDS_MAX)
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

Call *call_free(Call *call) {
        if (!call)
                return NULL;
        if (call->connection) {
                Connection *connection = call->connection;

                connection->call = NULL;
                (void) connection_want(connection);
        }
        for (size_t i = 0; i < call->n_fds; i++)
                (void) close_fd(call->fds[i]);
        json_decref(call->parameters);
        free(call);
        return NULL;
}

/* Takes @parameters. -ECONNRESET: nobody hears it any more. */
static int say(const Call *call, const char *error, json_t *parameters, bool continues, int fd) {
        json_t *message;
        int r;

        if (!call->connection || call->connection->dead) {
                json_decref(parameters);
                return -ECONNRESET;
        }
        message = json_object();
        if (error)
                (void) json_object_set_new(message, "error", json_string(error));
        (void) json_object_set_new(message, "parameters", parameters ? parameters : json_object());
        if (continues)
                (void) json_object_set_new(message, "continues", json_true());
        r = connection_send(call->connection, message, fd);
        json_decref(message);
        return r;
}

static int answer(Call *call, const char *error, json_t *parameters, int fd) {
        int r = say(call, error, parameters, false, fd);

        if (r == -EMSGSIZE)
                r = say(call, "org.carewallet.Internal", json_pack("{s:s}", "reason", "the answer is longer than a message may be"), false, -1);
        if (r < 0 && call->connection)
                connection_kill(call->connection);
        (void) call_free(call);
        return 0;
}

int call_reply(Call *call, json_t *parameters) {
        return answer(call, NULL, parameters, -1);
}

int call_reply_fd(Call *call, json_t *parameters, int fd) {
        return answer(call, NULL, parameters, fd);
}

int call_continue(Call *call, json_t *parameters, int fd) {
        return say(call, NULL, parameters, true, fd);
}

int call_error(Call *call, const char *error, json_t *parameters) {
        return answer(call, error, parameters, -1);
}

int call_refuse(Call *call, const char *format, ...) {
        char text[1200], reason[1200];
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vsnprintf(text, sizeof(text), format, arguments);
        va_end(arguments);
        /* what a peer gave is quoted, and may have been cut within a character */
        (void) text_clean(reason, sizeof(reason), text, n < 0 ? 0 : (size_t) n < sizeof(text) ? (size_t) n : sizeof(text) - 1);
        return call_error(call, "org.carewallet.Refused", json_pack("{s:s}", "reason", reason));
}

int call_invalid(Call *call, const char *parameter) {
        return call_error(call, "org.varlink.service.InvalidParameter", json_pack("{s:s}", "parameter", parameter));
}

const char *call_string(const Call *call, const char *name) {
        return json_string_value(json_object_get(call->parameters, name));
}

bool call_bool(const Call *call, const char *name, bool fallback) {
        const json_t *value = json_object_get(call->parameters, name);

        return json_is_boolean(value) ? json_is_true(value) : fallback;
}

json_int_t call_int(const Call *call, const char *name, json_int_t fallback) {
        const json_t *value = json_object_get(call->parameters, name);

        return json_is_integer(value) ? json_integer_value(value) : fallback;
}

int call_take_fd(Call *call, const char *name) {
        json_int_t i = call_int(call, name, -1);

        if (i < 0 || (size_t) i >= call->n_fds)
                return -1;
        return take_fd(&call->fds[i]);
}

/* --- org.varlink.service --- */

static const char service_description[] =
        "# The Varlink service interface\n"
        "interface org.varlink.service\n\n"
        "method GetInfo() -> (vendor: string, product: string, version: string, url: string, interfaces: []string)\n\n"
        "method GetInterfaceDescription(interface: string) -> (description: string)\n\n"
        "error InterfaceNotFound (interface: string)\n"
        "error MethodNotFound (method: string)\n"
        "error MethodNotImplemented (method: string)\n"
        "error InvalidParameter (parameter: string)\n"
        "error ExpectedMore ()\n";

static const char carewallet_errors[] =
        "error Locked ()\n"
        "error NotInitialized ()\n"
        "error KeysLost ()\n"
        "error AlreadyInitialized ()\n"
        "error StepUpRequired ()\n"
        "error WrongPassphrase (retryAfterMs: int)\n"
        "error CodeRequired ()\n"
        "error WrongCode (retryAfterMs: int)\n"
        "error NotFound (what: string, name: string)\n"
        "error Exists (what: string, name: string)\n"
        "error Refused (reason: string)\n"
        "error NotDurable (reason: string)\n"
        "error Busy (what: string)\n"
        "error Internal (reason: string)\n";

char *server_description(const ServerConfig *config) {
        char *text = NULL;
        size_t n_text;
        FILE *file = open_memstream(&text, &n_text);

        if (!file)
                return NULL;
        (void) fprintf(file, "# carewallet: a diabetes patient's data, keys, grants and ledger. See PROTOCOL.md.\ninterface %s\n\n", config->interface);
        for (const Method *method = config->methods; method->name; method++)
                (void) fprintf(file, "# %s\nmethod %s(%s) -> (%s)\n\n", method->text, method->name, method->in, method->out);
        (void) fputs(carewallet_errors, file);
        if (fclose(file) != 0) {
                free(text);
                return NULL;
        }
        return text;
}

static int handle_service(Server *server, Call *call, const char *method) {
        const ServerConfig *config = &server->config;

        if (strcmp(method, "GetInfo") == 0)
                return call_reply(call, json_pack("{s:s, s:s, s:s, s:s, s:[s,s]}", "vendor", config->vendor, "product", config->product,
                                                  "version", config->version, "url", "", "interfaces", "org.varlink.service", config->interface));
        if (strcmp(method, "GetInterfaceDescription") == 0) {
                const char *name = json_string_value(json_object_get(call->parameters, "interface"));
                cleanup(freep) char *own = NULL;

                if (!name)
                        return call_invalid(call, "interface");
                if (strcmp(name, "org.varlink.service") == 0)
                        return call_reply(call, json_pack("{s:s}", "description", service_description));
                if (strcmp(name, config->interface) != 0)
                        return call_error(call, "org.varlink.service.InterfaceNotFound", json_pack("{s:s}", "interface", name));
                own = server_description(config);
                return call_reply(call, json_pack("{s:s}", "description", own ? own : ""));
        }
        return call_error(call, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", method));
}

static int dispatch(Server *server, Call *call, const char *name) {
        const ServerConfig *config = &server->config;
        const char *dot = strrchr(name, '.');
        size_t n_interface = dot ? (size_t) (dot - name) : 0;
        char name_of_bad[SIGNATURE_NAME_SIZE];
        const char *bad, *refusal;
        int r;

        if (!dot)
                return call_error(call, "org.varlink.service.InterfaceNotFound", json_pack("{s:s}", "interface", name));
        if (n_interface == strlen("org.varlink.service") && memcmp(name, "org.varlink.service", n_interface) == 0)
                return handle_service(server, call, dot + 1);
        if (n_interface != strlen(config->interface) || memcmp(name, config->interface, n_interface) != 0)
                return call_error(call, "org.varlink.service.InterfaceNotFound", json_pack("{s:s%}", "interface", name, n_interface));

        for (call->method = config->methods; call->method->name; call->method++)
                if (strcmp(call->method->name, dot + 1) == 0)
                        break;
        if (!call->method->name)
                return call_error(call, "org.varlink.service.MethodNotFound", json_pack("{s:s}", "method", dot + 1));

        bad = signature_misfit(call->method->in, call->parameters, call->n_fds, name_of_bad);
        if (bad)
                return call_invalid(call, bad);
        refusal = config->guard(call, config->userdata);
        if (refusal)
                return call_error(call, refusal, NULL);

        r = call->method->handle(call, config->userdata);
        if (r < 0)
                return call_error(call, "org.carewallet.Internal", json_pack("{s:s}", "reason", strerror(-r)));
        return 0;
}

/* One message. Return: 0; -EBADMSG when the peer does not speak the protocol. */
static int connection_message(Connection *connection, const char *text, size_t n_text) {
        json_error_t error;
        json_t *message, *parameters;
        const char *name;
        Call *call;
        int r;

        message = json_loadb(text, n_text, JSON_REJECT_DUPLICATES, &error);
        if (!message)
                return -EBADMSG;
        name = json_string_value(json_object_get(message, "method"));
        parameters = json_object_get(message, "parameters");
        if (!name || (parameters && !json_is_object(parameters) && !json_is_null(parameters)) || json_is_true(json_object_get(message, "oneway")) ||
            json_is_true(json_object_get(message, "upgrade"))) {
                json_decref(message);
                return -EBADMSG;
        }

        call = calloc(1, sizeof(*call));
        if (!call) {
                json_decref(message);
                return -ENOMEM;
        }
        call->connection = connection;
        call->parameters = json_is_object(parameters) ? json_incref(parameters) : json_object();
        call->more = json_is_true(json_object_get(message, "more"));
        call->peer = connection->peer;
        while (connection->n_in_fds > 0 && connection->in_fds[0].at < connection->at_in) {
                call->fds[call->n_fds++] = connection->in_fds[0].fd;
                connection->n_in_fds--;
                memmove(connection->in_fds, connection->in_fds + 1, connection->n_in_fds * sizeof(connection->in_fds[0]));
        }
        connection->call = call;

        r = dispatch(connection->server, call, name);
        json_decref(message);
        return r;
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
        return connection_message(connection, text, (size_t) (end - text));
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

/* The connection that is open longest without a call: many idle ones must not keep a revocation out. */
static Connection *oldest_idle(Server *server) {
        Connection *oldest = NULL;

        for (Connection *connection = server->connections; connection; connection = connection->next)
                if (!connection->call && connection->n_out == 0)
                        oldest = connection; /* newest first */
        return oldest;
}

static int on_listen(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Server *server = userdata;
        Connection *connection;
        struct ucred credentials;
        socklen_t n_credentials = sizeof(credentials);
        cleanup(close_fdp) int client = -1;

        (void) source;
        (void) events;
        client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        if (client < 0)
                return 0;
        if (getsockopt(client, SOL_SOCKET, SO_PEERCRED, &credentials, &n_credentials) < 0)
                return 0;
        if (credentials.uid != 0 && credentials.uid != geteuid() && credentials.uid != server->config.patient)
                return 0;

        if (server->n_connections >= SERVER_CONNECTIONS_MAX) {
                connection = oldest_idle(server);
                if (!connection)
                        return 0;
                connection_kill(connection);
                connection_bury(connection);
        }

        connection = calloc(1, sizeof(*connection));
        if (!connection)
                return 0;
        connection->server = server;
        connection->fd = take_fd(&client);
        connection->peer.uid = credentials.uid;
        connection->peer.pid = credentials.pid;
        connection->peer.connection = ++server->last_number;
        connection->peer.session = credentials.pid > 0 ? getsid(credentials.pid) : -1;
        connection->next = server->connections;
        server->connections = connection;
        server->n_connections++;
        if (sd_event_add_io(server->config.event, &connection->source, connection->fd, EPOLLIN | EPOLLRDHUP, on_connection, connection) < 0)
                connection_free(connection);
        return 0;
}

void call_linger(const Call *call) {
        if (call->connection)
                call->connection->linger = true;
}

void call_flush(Server *server, int timeout_ms) {
        uint64_t end_ms = clock_monotonic_ms() + (uint64_t) timeout_ms, now_ms;

        for (Connection *connection = server->connections; connection; connection = connection->next)
                while (connection->linger && connection->n_out > 0 && (now_ms = clock_monotonic_ms()) < end_ms) {
                        struct pollfd pollfd = { .fd = connection->fd, .events = POLLOUT };

                        if (poll(&pollfd, 1, (int) (end_ms - now_ms)) <= 0 || connection_write(connection) < 0)
                                break;
                }
}

int server_new(Server **ret, const ServerConfig *config) {
        cleanup(server_freep) Server *server = NULL;
        int r;

        server = calloc(1, sizeof(*server));
        if (!server)
                return -ENOMEM;
        server->config = *config;
        r = sd_event_add_io(config->event, &server->source, config->listen_fd, EPOLLIN, on_listen, server);
        if (r < 0)
                return r;
        r = sd_event_add_defer(config->event, &server->reaper, on_reap, server);
        if (r < 0)
                return r;
        (void) sd_event_source_set_priority(server->reaper, SD_EVENT_PRIORITY_IMPORTANT);
        r = sd_event_source_set_enabled(server->reaper, SD_EVENT_OFF);
        if (r < 0)
                return r;
        *ret = take_ptr(server);
        return 0;
}

Server *server_free(Server *server) {
        if (!server)
                return NULL;
        while (server->connections) {
                connection_kill(server->connections);
                connection_bury(server->connections);
        }
        sd_event_source_disable_unref(server->source);
        sd_event_source_disable_unref(server->reaper);
        free(server);
        return NULL;
}
