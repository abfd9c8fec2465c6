/* SPDX-License-Identifier: Apache-2.0 */

/* What libmicrohttpd calls: connections, requests, answers. */

#include "gate-private.h"

#include <gnutls/gnutls.h>
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sodium.h>
#include <time.h>

int64_t gate_now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void gate_keep(Gate *gate, int r) {
        if (r != 0 && gate->r == 0)
                gate->r = fold(r);
}

/* --- the life of a request --- */

static void held_free(Held *held) {
        if (held->bytes) {
                sodium_memzero(held->bytes, held->n);
                free(held->bytes);
        }
        *held = (Held) { NULL, 0 };
}

void request_hold(Request *request, uint8_t *bytes, size_t n) {
        held_free(&request->held);
        request->held = (Held) { bytes, n };
        request->at = 0;
}

void request_more(Request *request) {
        Gate *gate = request->connection->gate;

        if (request->is_stream && !request->ended)
                gate_keep(gate, frame_put_gate_u64(&gate->out, FRAME_GATE_MORE, request->head.frame.request));
}

static Request *request_free(Request *request) {
        if (!request)
                return NULL;
        request_hold(request, NULL, 0);
        held_free(&request->next);
        if (request->response)
                MHD_destroy_response(request->response);
        if (request->body) {
                sodium_memzero(request->body, request->head.n_content);
                free(request->body);
        }
        sodium_memzero(request, sizeof(*request));
        free(request);
        return NULL;
}

/* Its end, once: the core is told, and the connection is there for the next. */
static void request_finish(Request *request, bool whole) {
        Connection *connection = request->connection;
        Gate *gate = connection->gate;

        whole = whole && request->step == STEP_ANSWER && request->ended && !request->late && !connection->dropped;
        if (request->asked)
                gate_keep(gate, frame_put_gate_closed(&gate->out, request->head.frame.request, request->late ? 0 : request->n_sent, whole));
        connection->request = request_free(request);
        connection->deadline_ms = gate_now_ms() + GATE_REQUEST_MS;
        connection->end_ms = gate_now_ms() + GATE_STALL_MS;
}

/* --- connections --- */

void connection_wake(Connection *connection) {
        Request *request = connection->request;

        if (request && request->suspended) {
                request->suspended = false;
                MHD_resume_connection(connection->mhd);
                connection->gate->run_again = true;
        }
}

/*
 * libmicrohttpd (0.9.75, 1.0.1) forgets a connection whose content reader failed while it was not writable, socket open. One
 * with a timeout of its own is looked at in every run; 1.0.1 gives none to one that is suspended.
 */
static void connection_look(const Connection *connection) {
        (void) MHD_set_connection_option(connection->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 3600u);
}

/* shutdown() is what makes libmicrohttpd see it, in the next MHD_run(). */
void connection_drop(Connection *connection, bool reset) {
        const struct linger at_once = {.l_onoff = 1, .l_linger = 0};

        if (connection->dropped)
                return;
        connection->dropped = true;
        if (reset)
                (void) setsockopt(connection->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
        (void) shutdown(connection->fd, SHUT_RDWR);
        connection_look(connection);
        connection_wake(connection);
        connection->gate->run_again = true;
}

void connection_carries(Connection *connection, uint64_t grant) {
        if (grant == 0)
                return;
        for (size_t i = 0; i < connection->n_grants; i++)
                if (connection->grants[i] == grant)
                        return;
        if (connection->n_grants == N_ELEMENTS(connection->grants))
                connection->any_grant = true;
        else
                connection->grants[connection->n_grants++] = grant;
}

bool connection_is_of(const Connection *connection, uint64_t grant) {
        if (grant == 0 || connection->any_grant)
                return true;
        for (size_t i = 0; i < connection->n_grants; i++)
                if (connection->grants[i] == grant)
                        return true;
        return false;
}

bool connection_drains(const Connection *connection) {
        struct tcp_info info = {0};
        socklen_t n = sizeof(info);

        return connection->n_grants > 0 && getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
               (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0);
}

enum MHD_Result gate_on_peer(void *userdata, const struct sockaddr *address, socklen_t n_address) {
        Gate *gate = userdata;
        uint8_t peer[ADDRESS_PEER_SIZE];
        unsigned n = 0, n_max;

        (void) n_address;
        n_max = address_peer(peer, address) ? GATE_CONNECTIONS_LOOPBACK : GATE_CONNECTIONS_PER_PEER;
        for (size_t i = 0; i < N_ELEMENTS(gate->connections); i++)
                if (gate->connections[i].mhd && memcmp(gate->connections[i].peer, peer, sizeof(peer)) == 0)
                        n++;
        return n < n_max ? MHD_YES : MHD_NO;
}

/* libmicrohttpd makes its connection the session's pointer. */
static int on_handshake(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming, const gnutls_datum_t *message) {
        struct MHD_Connection *mhd = gnutls_session_get_ptr(session);
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Connection *connection = info ? info->socket_context : NULL;

        (void) type;
        (void) when;
        (void) message;
        if (connection && incoming) {
                connection->deadline_ms = gate_now_ms() + GATE_REQUEST_MS;
                connection->gate->progress = true;
        }
        return 0;
}

void gate_on_connection(void *userdata, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code) {
        Gate *gate = userdata;
        const union MHD_ConnectionInfo *info;
        Connection *connection = NULL;

        gate->progress = true;
        if (code == MHD_CONNECTION_NOTIFY_CLOSED) {
                connection = *socket_context;
                if (connection && connection->request) /* libmicrohttpd gave up on the connection itself */
                        request_finish(connection->request, false);
                if (connection)
                        *connection = (Connection){0};
                gate->run_again = true; /* at the limit, the listening socket is taken up again by the next run */
                return;
        }

        for (size_t i = 0; i < N_ELEMENTS(gate->connections) && !connection; i++)
                if (!gate->connections[i].mhd)
                        connection = &gate->connections[i];
        assert(connection); /* MHD_OPTION_CONNECTION_LIMIT */

        *connection = (Connection){.gate = gate, .mhd = mhd, .deadline_ms = gate_now_ms() + GATE_HANDSHAKE_MS};
        *socket_context = connection;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        connection->fd = info->connect_fd;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        (void) address_peer(connection->peer, info->client_addr);
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        gnutls_handshake_set_hook_function(info->tls_session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_handshake);
}

/* --- requests --- */

/* The first that is heard of a request. Method and headers come with the first call of gate_on_request(). */
void *gate_on_request_line(void *userdata, const char *uri, struct MHD_Connection *mhd) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
        Connection *connection = info->socket_context;
        Gate *gate = userdata;
        Request *request;

        gate->progress = true;
        if (!connection || connection->request)
                return NULL;
        request = calloc(1, sizeof(*request));
        if (!request)
                return NULL;
        request->connection = connection;
        /* the address is needed with the method, and libmicrohttpd decodes it in place before it says that one */
        request->body = strndup(uri, REQUEST_URI_MAX + 1);
        if (!request->body) {
                free(request);
                return NULL;
        }
        connection->request = request;
        connection->end_ms = 0;
        return request;
}

void gate_on_request_end(void *userdata, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code) {
        Request *request = *request_context;
        Gate *gate = userdata;

        (void) mhd;
        gate->progress = true;
        *request_context = NULL;
        if (request)
                request_finish(request, code == MHD_REQUEST_TERMINATED_COMPLETED_OK);
}

static ssize_t on_content(void *userdata, uint64_t position, char *buffer, size_t n_buffer) {
        Request *request = userdata;
        Connection *connection = request->connection;
        Gate *gate = connection->gate;
        size_t n = request->held.n - request->at;

        (void) position;
        gate->progress = true;
        if (connection->dropped) {
                connection_look(connection);
                return MHD_CONTENT_READER_END_WITH_ERROR;
        }
        if (n == 0) {
                if (request->ended)
                        return MHD_CONTENT_READER_END_OF_STREAM;
                request->suspended = true;
                MHD_suspend_connection(connection->mhd);
                return 0;
        }

        if (n > n_buffer)
                n = n_buffer;
        memcpy(buffer, request->held.bytes + request->at, n);
        request->at += n;
        request->n_sent += n;
        connection->deadline_ms = gate_now_ms() + GATE_STALL_MS;
        if (request->at == request->held.n) {
                bool any_next = request->next.bytes;

                request_hold(request, request->next.bytes, request->next.n);
                request->next = (Held) { NULL, 0 };
                if (any_next)
                        request_more(request);
        }
        return (ssize_t) n;
}

/* --- answers --- */

static const char *const content_types[] = {"application/json", "application/json", "application/x-ndjson", "text/csv; charset=utf-8"};

int request_make_response(Request *request, uint64_t n_body, unsigned content_type) {
        Gate *gate = request->connection->gate;
        struct MHD_Response *response;

        assert(!request->response);
        response = MHD_create_response_from_callback(n_body, 4096, on_content, request, NULL);
        if (!response)
                return -ENOMEM;
        request->response = response;
        if (MHD_add_response_header(response, "Content-Type", content_types[content_type]) != MHD_YES ||
            MHD_add_response_header(response, "Cache-Control", "no-store") != MHD_YES ||
            MHD_add_response_header(response, "X-Content-Type-Options", "nosniff") != MHD_YES ||
            MHD_add_response_header(response, "Carewallet-Notice", "patient-supplied, not verified by a clinic, not for dosing") != MHD_YES ||
            (gate->nonce[0] && MHD_add_response_header(response, "DPoP-Nonce", gate->nonce) != MHD_YES))
                return -ENOMEM;
        return 0;
}

static int add_challenge(struct MHD_Response *response, const Refusal *refusal) {
        char challenge[512];

        /* RFC 6750, 3.1: who brought no token is told no error; RFC 9449, 5.1 for algs */
        if (refusal == &REQUEST_NO_TOKEN)
                (void) snprintf(challenge, sizeof(challenge), "DPoP algs=\"EdDSA Ed25519\"");
        else
                (void) snprintf(challenge, sizeof(challenge), "DPoP error=\"%s\", error_description=\"%s\", algs=\"EdDSA Ed25519\"",
                                refusal->code, refusal->text);
        return MHD_add_response_header(response, "WWW-Authenticate", challenge) == MHD_YES ? 0 : -ENOMEM;
}

int request_make_refusal(Request *request, const Refusal *refusal) {
        struct MHD_Response *response;
        char *body;
        int n, r;

        n = asprintf(&body, "{\"error\":\"%s\",\"error_description\":\"%s\"}\n", refusal->code, refusal->text);
        if (n < 0)
                return -ENOMEM;
        request_hold(request, (uint8_t *) body, (size_t) n);
        request->ended = true;
        r = request_make_response(request, (uint64_t) n, 1);
        if (r < 0)
                return r;
        response = request->response;
        request->status = refusal->status;

        if (refusal->status == 405 && MHD_add_response_header(response, "Allow", request->head.allow) != MHD_YES)
                return -ENOMEM;
        if (refusal->status == 503 && MHD_add_response_header(response, "Retry-After", "10") != MHD_YES)
                return -ENOMEM;
        if (refusal->status == 401 || (refusal->status == 403 && request_is_resource(&request->head)))
                return add_challenge(response, refusal);
        return 0;
}

static enum MHD_Result send_answer(Request *request) {
        Connection *connection = request->connection;

        request->step = STEP_ANSWER;
        connection->deadline_ms = gate_now_ms() + GATE_STALL_MS;
        connection->end_ms = gate_now_ms() + GATE_ANSWER_MS;
        return MHD_queue_response(connection->mhd, request->status, request->response);
}

/* Of the gate's own accord. */
static enum MHD_Result send_refusal(Request *request, const Refusal *refusal) {
        Gate *gate = request->connection->gate;

        if (refusal->status < 500 && gate->n_strangers < UINT32_MAX)
                gate->n_strangers++;
        if (request_make_refusal(request, refusal) < 0)
                return MHD_NO;
        return send_answer(request);
}

/* --- libmicrohttpd asks what to do with a request --- */

static enum MHD_Result on_header(void *userdata, enum MHD_ValueKind kind, const char *name, size_t n_name, const char *value, size_t n_value) {
        RequestHead *head = userdata;
        char empty[] = "";

        (void) kind;
        if (!value) {
                value = empty;
                n_value = 0;
        }
        if (strlen(name) != n_name || strlen(value) != n_value)
                return MHD_NO; /* a NUL: nothing good comes after it */
        request_header(head, name, value);
        return MHD_YES;
}

static enum MHD_Result read_head(Request *request, const char *method, const char *version) {
        struct MHD_Connection *mhd = request->connection->mhd;
        cleanup(freep) char *uri = take_ptr(request->body);
        const union MHD_ConnectionInfo *info;
        int n, n_counted;

        request_begin(&request->head, method, uri, version);
        n = MHD_get_connection_values(mhd, MHD_HEADER_KIND, NULL, NULL);
        n_counted = MHD_get_connection_values_n(mhd, MHD_HEADER_KIND, on_header, &request->head);
        if (n != n_counted)
                return MHD_NO;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
        request_headers_end(&request->head, info ? info->header_size : SIZE_MAX);

        if (!request_reads_body(&request->head))
                return send_refusal(request, request->head.refusal); /* libmicrohttpd closes after it, as the body is unread */
        request->body = malloc(request->head.n_content + 1);
        if (!request->body)
                return MHD_NO;
        request->step = STEP_BODY;
        return MHD_YES;
}

static enum MHD_Result ask_core(Request *request) {
        Connection *connection = request->connection;
        Gate *gate = connection->gate;
        int r;

        if (gate->out.n - gate->out.at > GATE_UNSENT_MAX)
                return send_refusal(request, &REQUEST_BUSY);

        request->head.frame.request = ++gate->n_requests;
        r = frame_put_gate_request(&gate->out, &request->head.frame);
        if (r != 0) {
                gate_keep(gate, r);
                return MHD_NO;
        }
        request->asked = true;
        request->step = STEP_CORE;
        request->suspended = true;
        MHD_suspend_connection(connection->mhd);
        connection->deadline_ms = gate_now_ms() + GATE_CORE_MS;
        return MHD_YES;
}

enum MHD_Result gate_on_request(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                const char *upload, size_t *n_upload, void **request_context) {
        Request *request = *request_context;
        Gate *gate = userdata;

        (void) url;
        gate->progress = true;
        if (!request || request->connection->dropped)
                return MHD_NO;

        switch (request->step) {
        case STEP_HEAD:
                return read_head(request, method, version);
        case STEP_BODY:
                if (*n_upload > 0) {
                        if (*n_upload > request->head.n_content - request->n_body)
                                return MHD_NO;
                        memcpy(request->body + request->n_body, upload, *n_upload);
                        request->n_body += *n_upload;
                        *n_upload = 0;
                        return MHD_YES;
                }
                if (request->head.is_post)
                        request_body(&request->head, request->body, request->n_body);
                if (request->head.refusal)
                        return send_refusal(request, request->head.refusal);
                return ask_core(request);
        case STEP_CORE:
                if (request->response)
                        return send_answer(request);
                request->suspended = true;
                MHD_suspend_connection(mhd);
                return MHD_YES;
        case STEP_ANSWER:
                break;
        }
        return MHD_NO;
}
