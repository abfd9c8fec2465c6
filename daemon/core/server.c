/* SPDX-License-Identifier: Apache-2.0 */

#include "server-private.h"

#include <poll.h>
#include <stdarg.h>
#include <sys/socket.h>

#include "clock.h"
#include "daemon/common/text.h"
#include "failure.h"
#include "signature.h"

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
                return call_failed(call, r);
        return 0;
}

int server_take_message(Connection *connection, const char *text, size_t n_text) {
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
                Connection *oldest = oldest_idle(server);

                if (!oldest)
                        return 0;
                connection_kill(oldest);
                connection_bury(oldest);
        }

        connection_new(server, &client, &(Peer) {
                .uid = credentials.uid,
                .pid = credentials.pid,
                .connection = ++server->last_number,
                .session = credentials.pid > 0 ? getsid(credentials.pid) : -1,
        });
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
