/* SPDX-License-Identifier: Apache-2.0 */

/*
 * One loop over the core's frames and libmicrohttpd's epoll descriptor. Three objects: Gate; a Connection for each TCP
 * connection, from accept to close; a Request for each HTTP request, from its request line to its last byte. A request
 * that waits for the core, or a stream that waits for the next chunk, is suspended: libmicrohttpd then forgets its
 * socket until it is resumed.
 */

#include "gate.h"

#include "request.h"

#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <linux/tcp.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <sodium.h>
#include <time.h>

typedef struct Connection Connection;

typedef enum Step {
        STEP_HEAD,    /* request line and headers */
        STEP_BODY,
        STEP_CORE,    /* suspended until the core answers */
        STEP_ANSWER,
} Step;

/* Bytes of a body. */
typedef struct Held {
        uint8_t *bytes;
        size_t n;
} Held;

typedef struct Request {
        Connection *connection;
        RequestHead head;
        Step step;
        bool asked;     /* FRAME_GATE_CLOSED is owed */
        bool late;      /* answered without the core, whose answer is not wanted any more */
        bool suspended;
        char *body;     /* n_content bytes and a terminator */
        size_t n_body;

        struct MHD_Response *response; /* a reference of our own: a trailer may still be added */
        unsigned status;
        bool is_stream;
        Held held;      /* what libmicrohttpd has not taken yet */
        size_t at;
        Held next;      /* a stream's chunk behind it: made while the other was sent */
        bool ended;     /* nothing comes after what is held */
        uint64_t n_sent;
} Request;

struct Connection {
        Gate *gate;
        struct MHD_Connection *mhd; /* NULL: free */
        int fd;
        uint8_t peer[ADDRESS_PEER_SIZE];
        Request *request;
        int64_t deadline_ms;        /* then it is dropped, or answered when it waits for the core */
        int64_t end_ms;             /* no progress moves the deadline beyond it; 0: none */
        uint64_t grants[GATE_GRANTS_PER_CONNECTION];
        size_t n_grants;
        bool any_grant;             /* more than fit: it is reset with any */
        bool dropped;
};

struct Gate {
        struct MHD_Daemon *daemon;
        int listen_fd;
        int epoll_fd;
        FrameBuffer out;
        Connection connections[GATE_CONNECTIONS_MAX];
        uint64_t n_requests;
        char nonce[44];             /* the core's last: goes with the gate's own refusals, too */
        uint32_t n_strangers;
        int64_t strangers_ms;       /* not before */
        int r;                      /* first error of a callback: ends the loop */

        bool run_again;             /* libmicrohttpd has work that its epoll descriptor does not show */
        bool progress;              /* a callback was called in this turn */
        unsigned n_idle_runs;
};

static int64_t now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* For callbacks: a frame that can't be put ends the gate, as the core would wait for it for ever. */
static void keep(Gate *gate, int r) {
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

static void request_hold(Request *request, uint8_t *bytes, size_t n) {
        held_free(&request->held);
        request->held = (Held) { bytes, n };
        request->at = 0;
}

/* There is room for a stream's next chunk. */
static void request_more(Request *request) {
        Gate *gate = request->connection->gate;

        if (request->is_stream && !request->ended)
                keep(gate, frame_put_gate_u64(&gate->out, FRAME_GATE_MORE, request->head.frame.request));
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
                keep(gate, frame_put_gate_closed(&gate->out, request->head.frame.request, request->late ? 0 : request->n_sent, whole));
        connection->request = request_free(request);
        connection->deadline_ms = now_ms() + GATE_REQUEST_MS;
        connection->end_ms = now_ms() + GATE_STALL_MS;
}

/* --- connections --- */

static void connection_wake(Connection *connection) {
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

/*
 * End a connection. shutdown() is what makes libmicrohttpd see it, in the next MHD_run().
 * @reset: what the kernel holds for it never leaves: with SO_LINGER {1, 0}, close() resets
 */
static void connection_drop(Connection *connection, bool reset) {
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

static void connection_carries(Connection *connection, uint64_t grant) {
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

static bool connection_is_of(const Connection *connection, uint64_t grant) {
        if (grant == 0 || connection->any_grant)
                return true;
        for (size_t i = 0; i < connection->n_grants; i++)
                if (connection->grants[i] == grant)
                        return true;
        return false;
}

/*
 * Whether the kernel still has bytes for the peer. Such a connection is kept for a while after its last answer: when it
 * is closed, nothing can take these bytes back any more.
 */
static bool connection_drains(const Connection *connection) {
        struct tcp_info info = {0};
        socklen_t n = sizeof(info);

        return connection->n_grants > 0 && getsockopt(connection->fd, IPPROTO_TCP, TCP_INFO, &info, &n) == 0 &&
               (info.tcpi_unacked > 0 || info.tcpi_notsent_bytes > 0);
}

static enum MHD_Result on_peer(void *userdata, const struct sockaddr *address, socklen_t n_address) {
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
                connection->deadline_ms = now_ms() + GATE_REQUEST_MS;
                connection->gate->progress = true;
        }
        return 0;
}

static void on_connection(void *userdata, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code) {
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

        *connection = (Connection){.gate = gate, .mhd = mhd, .deadline_ms = now_ms() + GATE_HANDSHAKE_MS};
        *socket_context = connection;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CONNECTION_FD);
        connection->fd = info->connect_fd;
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
        (void) address_peer(connection->peer, info->client_addr);
        info = MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION);
        gnutls_handshake_set_hook_function(info->tls_session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_handshake);
}

/* --- requests --- */

/* The first that is heard of a request. Method and headers come with the first call of on_request(). */
static void *on_request_line(void *userdata, const char *uri, struct MHD_Connection *mhd) {
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

static void on_request_end(void *userdata, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code) {
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
        connection->deadline_ms = now_ms() + GATE_STALL_MS;
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

/* The response to a request, of @n_body bytes that are held (or come: SIZE_UNKNOWN), with the headers that all have. */
static int make_response(Request *request, uint64_t n_body, const char *content_type) {
        Gate *gate = request->connection->gate;
        struct MHD_Response *response;

        assert(!request->response);
        response = MHD_create_response_from_callback(n_body, 4096, on_content, request, NULL);
        if (!response)
                return -ENOMEM;
        request->response = response;
        if (MHD_add_response_header(response, "Content-Type", content_type) != MHD_YES ||
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

static int make_refusal(Request *request, const Refusal *refusal) {
        struct MHD_Response *response;
        char *body;
        int n, r;

        n = asprintf(&body, "{\"error\":\"%s\",\"error_description\":\"%s\"}\n", refusal->code, refusal->text);
        if (n < 0)
                return -ENOMEM;
        request_hold(request, (uint8_t *) body, (size_t) n);
        request->ended = true;
        r = make_response(request, (uint64_t) n, content_types[1]);
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
        connection->deadline_ms = now_ms() + GATE_STALL_MS;
        connection->end_ms = now_ms() + GATE_ANSWER_MS;
        return MHD_queue_response(connection->mhd, request->status, request->response);
}

/* Of the gate's own accord. */
static enum MHD_Result send_refusal(Request *request, const Refusal *refusal) {
        Gate *gate = request->connection->gate;

        if (refusal->status < 500 && gate->n_strangers < UINT32_MAX)
                gate->n_strangers++;
        if (make_refusal(request, refusal) < 0)
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
                keep(gate, r);
                return MHD_NO;
        }
        request->asked = true;
        request->step = STEP_CORE;
        request->suspended = true;
        MHD_suspend_connection(connection->mhd);
        connection->deadline_ms = now_ms() + GATE_CORE_MS;
        return MHD_YES;
}

static enum MHD_Result on_request(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
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

/* --- frames of the core --- */

/* NULL: it is over already; the core learns it, or has learnt it, by FRAME_GATE_CLOSED */
static Request *find_request(Gate *gate, uint64_t number) {
        for (size_t i = 0; i < N_ELEMENTS(gate->connections); i++) {
                Request *request = gate->connections[i].request;

                if (request && request->asked && !request->late && request->head.frame.request == number && !gate->connections[i].dropped)
                        return request;
        }
        return NULL;
}

static int on_reply(Gate *gate, const FrameGateReply *reply, bool is_stream) {
        Request *request = find_request(gate, reply->request);
        int r;

        if (reply->nonce[0])
                memcpy(gate->nonce, reply->nonce, sizeof(gate->nonce));
        if (is_stream && (reply->n_body > 0 || reply->error != FRAME_GATE_OK))
                return -EPROTO;
        if (!request)
                return 0;
        connection_carries(request->connection, reply->grant);
        if (request->step != STEP_CORE || request->response)
                return -EPROTO; /* a second answer */

        if (reply->error != FRAME_GATE_OK) {
                const Refusal refusal = request_refusal_of(reply->error, request_is_resource(&request->head), reply->message);

                r = make_refusal(request, &refusal);
        } else {
                uint8_t *body = NULL;

                if (reply->n_body > 0) {
                        body = malloc(reply->n_body);
                        if (!body)
                                return -ENOMEM;
                        memcpy(body, reply->body, reply->n_body);
                }
                request_hold(request, body, reply->n_body);
                request->is_stream = is_stream;
                request->ended = !is_stream;
                request->status = 200;
                r = make_response(request, is_stream ? MHD_SIZE_UNKNOWN : reply->n_body, content_types[reply->content_type]);
                if (r == 0 && is_stream && reply->content_type == 3 &&
                    MHD_add_response_header(request->response, "Trailer", "Carewallet-Slice") != MHD_YES)
                        r = -ENOMEM;
        }
        if (r < 0)
                return r;
        connection_wake(request->connection);
        return 0;
}

static int on_chunk(Gate *gate, uint64_t number, const uint8_t *bytes, size_t n) {
        Request *request = find_request(gate, number);
        uint8_t *copy;

        if (!request)
                return 0;
        if (!request->is_stream || request->ended || request->next.bytes)
                return -EPROTO; /* it was not asked for */
        copy = malloc(n);
        if (!copy)
                return -ENOMEM;
        memcpy(copy, bytes, n);
        if (request->held.bytes) {
                request->next = (Held) { copy, n };
                return 0;
        }
        request_hold(request, copy, n);
        request_more(request);
        if (request->step == STEP_ANSWER)
                connection_wake(request->connection);
        return 0;
}

static int on_end(Gate *gate, uint64_t number, bool whole, const char *trailer) {
        Request *request = find_request(gate, number);

        if (!request)
                return 0;
        if (!request->is_stream || request->ended)
                return -EPROTO;
        if (!whole) {
                connection_drop(request->connection, true); /* no last chunk: nobody can take it for the whole */
                return 0;
        }
        if (trailer[0] && MHD_add_response_footer(request->response, "Carewallet-Slice", trailer) != MHD_YES)
                return -EPROTO;
        request->ended = true;
        if (request->step == STEP_ANSWER)
                connection_wake(request->connection);
        return 0;
}

/* Returns when the sockets are closed: the core then says that nothing more leaves. */
static int on_reset(Gate *gate, uint64_t grant) {
        uint32_t n = 0;
        bool left = true;

        for (size_t i = 0; i < N_ELEMENTS(gate->connections); i++) {
                Connection *connection = &gate->connections[i];

                if (connection->mhd && connection_is_of(connection, grant)) {
                        connection_drop(connection, true);
                        n++;
                }
        }
        for (unsigned turn = 0; left && turn < 4; turn++) {
                left = false;
                if (n > 0 && MHD_run(gate->daemon) != MHD_YES)
                        return -EIO;
                for (size_t i = 0; i < N_ELEMENTS(gate->connections); i++)
                        left = left || (gate->connections[i].mhd && gate->connections[i].dropped);
        }
        if (left)
                return -EIO; /* the end of this process closes them */
        return frame_put_gate_reset_done(&gate->out, grant, n);
}

static int on_frame(Gate *gate, uint32_t type, const uint8_t *payload, size_t n_payload) {
        char trailer[161];
        FrameGateReply reply;
        const uint8_t *bytes;
        uint64_t number;
        size_t n_bytes;
        bool whole;
        int r;

        switch (type) {
        case FRAME_GATE_REPLY:
        case FRAME_GATE_STREAM:
                r = frame_get_gate_reply(&reply, payload, n_payload);
                return r != 0 ? -EPROTO : on_reply(gate, &reply, type == FRAME_GATE_STREAM);
        case FRAME_GATE_CHUNK:
                r = frame_get_gate_chunk(&number, &bytes, &n_bytes, payload, n_payload);
                return r != 0 ? -EPROTO : on_chunk(gate, number, bytes, n_bytes);
        case FRAME_GATE_END:
                r = frame_get_gate_end(&number, &whole, trailer, payload, n_payload);
                return r != 0 ? -EPROTO : on_end(gate, number, whole, trailer);
        case FRAME_GATE_RESET:
                r = frame_get_gate_u64(&number, payload, n_payload);
                return r != 0 ? -EPROTO : fold(on_reset(gate, number));
        default:
                return -EPROTO;
        }
}

static int take_frames(Gate *gate, FrameBuffer *in) {
        for (;;) {
                const uint8_t *payload;
                size_t n_payload;
                uint32_t type;
                int r;

                r = frame_next(in, &type, &payload, &n_payload);
                if (r == FRAME_E_AGAIN)
                        return 0;
                if (r != 0)
                        return -EPROTO;
                r = on_frame(gate, type, payload, n_payload);
                if (r < 0)
                        return r;
                gate->progress = true;
        }
}

/* --- the loop --- */

/* Ends what takes too long. Return: ms until the next deadline, -1: none. */
static int64_t check_deadlines(Gate *gate, int64_t now) {
        int64_t next = INT64_MAX;

        for (size_t i = 0; i < N_ELEMENTS(gate->connections); i++) {
                Connection *connection = &gate->connections[i];
                Request *request = connection->request;
                int64_t deadline = connection->deadline_ms;

                if (!connection->mhd || connection->dropped)
                        continue;
                if (connection->end_ms > 0 && connection->end_ms < deadline)
                        deadline = connection->end_ms;
                if (deadline > now) {
                        next = deadline < next ? deadline : next;
                } else if (request && request->step == STEP_CORE && !request->response) {
                        request->late = true;
                        keep(gate, make_refusal(request, &REQUEST_LATE));
                        connection_wake(connection);
                } else if (!request && now < connection->end_ms && connection_drains(connection)) {
                        connection->deadline_ms = now + GATE_REQUEST_MS;
                        next = connection->deadline_ms < next ? connection->deadline_ms : next;
                } else {
                        connection_drop(connection, request);
                }
        }
        if (gate->n_strangers > 0 && gate->strangers_ms < next)
                next = gate->strangers_ms;
        return next == INT64_MAX ? -1 : next > now ? next - now : 0;
}

static int report_strangers(Gate *gate, int64_t now) {
        int r;

        if (gate->n_strangers == 0 || now < gate->strangers_ms)
                return 0;
        r = frame_put_u32(&gate->out, FRAME_GATE_STRANGERS, gate->n_strangers);
        if (r != 0)
                return fold(r);
        gate->n_strangers = 0;
        gate->strangers_ms = now + GATE_STRANGERS_MS;
        return 0;
}

/*
 * Spin. While a peer stalls in the handshake, libmicrohttpd wants to be run without end. Its wish is followed five times
 * without anything having come of it, then every GATE_SPIN_MS; whatever happens on a descriptor or in a callback counts.
 */
static bool wants_run(Gate *gate) {
        MHD_UNSIGNED_LONG_LONG timeout;

        return gate->run_again || (MHD_get_timeout(gate->daemon, &timeout) == MHD_YES && timeout == 0);
}

static int flush(Gate *gate, int out_fd) {
        int r;

        if (gate->out.at == gate->out.n)
                return 0;
        r = frame_flush(&gate->out, out_fd);
        return r < 0 && r != -EAGAIN && r != -EINTR ? r : 0;
}

static int turn(Gate *gate, FrameBuffer *in, int in_fd, int out_fd, bool *ret_end) {
        struct pollfd fds[] = {
                {.fd = in_fd, .events = POLLIN},
                {.fd = gate->epoll_fd, .events = POLLIN},
                {.fd = out_fd, .events = gate->out.at < gate->out.n ? POLLOUT : 0},
        };
        int64_t now = now_ms(), wait_ms = check_deadlines(gate, now);
        bool wanted = wants_run(gate);
        int r;

        if (wanted)
                wait_ms = gate->n_idle_runs < 5 ? 0 : wait_ms < 0 || wait_ms > GATE_SPIN_MS ? GATE_SPIN_MS : wait_ms;
        r = poll(fds, N_ELEMENTS(fds), (int) wait_ms);
        if (r < 0)
                return errno == EINTR ? 0 : -errno;

        gate->progress = false;
        if (fds[0].revents) {
                ssize_t l = frame_read(in, in_fd);

                if (l == 0) {
                        *ret_end = true;
                        return 0;
                }
                if (l < 0 && l != -EAGAIN && l != -EINTR)
                        return (int) l;
                r = take_frames(gate, in);
                if (r < 0)
                        return r;
        }
        if (fds[2].revents & (POLLERR | POLLHUP | POLLNVAL))
                return -EPIPE;
        if (wanted || gate->run_again || fds[1].revents) {
                gate->run_again = false;
                if (MHD_run(gate->daemon) != MHD_YES)
                        return -EIO;
        }
        gate->n_idle_runs = fds[0].revents || fds[1].revents || gate->progress ? 0 : gate->n_idle_runs < 5 ? gate->n_idle_runs + 1 : 5;

        if (gate->r < 0)
                return gate->r;
        r = report_strangers(gate, now);
        if (r < 0)
                return r;
        return flush(gate, out_fd);
}

int gate_run(Gate *gate, FrameBuffer *in, int in_fd, int out_fd) {
        char address[ADDRESS_TEXT_SIZE];
        bool end = false;
        int flags, r;

        flags = fcntl(out_fd, F_GETFL);
        if (flags < 0 || fcntl(out_fd, F_SETFL, flags | O_NONBLOCK) < 0)
                return -errno;
        r = address_text(address, gate->listen_fd);
        if (r < 0)
                return r;
        r = frame_put_text(&gate->out, FRAME_GATE_READY, address);
        if (r != 0)
                return fold(r);
        r = flush(gate, out_fd);
        if (r < 0)
                return r;

        gate->run_again = true; /* libmicrohttpd takes up the listening socket in its first run */
        r = take_frames(gate, in);
        while (r == 0 && !end)
                r = turn(gate, in, in_fd, out_fd, &end);
        return r;
}

int gate_new(Gate **ret, const char *listen, const char *key_pem, const char *certificate_pem, char ret_error[static GATE_ERROR_SIZE]) {
        struct sockaddr_storage address;
        const union MHD_DaemonInfo *info;
        socklen_t n_address;
        Gate *gate;
        int r;

        r = address_parse(&address, &n_address, listen);
        if (r > 0) {
                (void) snprintf(ret_error, GATE_ERROR_SIZE, "%.64s is no numeric address with a port, such as 0.0.0.0:8443", listen);
                return GATE_E_LISTEN;
        }
        gate = calloc(1, sizeof(*gate));
        if (!gate)
                return -ENOMEM;
        r = address_listen(&gate->listen_fd, &address, n_address, GATE_SEND_BUFFER);
        if (r < 0) {
                (void) snprintf(ret_error, GATE_ERROR_SIZE, "the gate can't listen on %.64s: %s", listen,
                                r == -EADDRINUSE      ? "another program does; choose another port"
                                : r == -EADDRNOTAVAIL ? "this machine does not have that address"
                                : r == -EACCES        ? "ports below 1024 need a right that it does not have; choose another port"
                                                      : strerrordesc_np(-r));
                free(gate);
                return GATE_E_LISTEN;
        }

        gate->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME, 0, on_peer, gate, on_request, gate,
                                        MHD_OPTION_LISTEN_SOCKET, gate->listen_fd,
                                        MHD_OPTION_HTTPS_MEM_KEY, key_pem,
                                        MHD_OPTION_HTTPS_MEM_CERT, certificate_pem,
                                        MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:-VERS-ALL:+VERS-TLS1.3:%NO_TICKETS",
                                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) GATE_CONNECTION_MEMORY,
                                        MHD_OPTION_CONNECTION_LIMIT, (unsigned) GATE_CONNECTIONS_MAX,
                                        MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                                        MHD_OPTION_URI_LOG_CALLBACK, on_request_line, gate,
                                        MHD_OPTION_NOTIFY_COMPLETED, on_request_end, gate,
                                        MHD_OPTION_NOTIFY_CONNECTION, on_connection, gate,
                                        MHD_OPTION_END);
        info = gate->daemon ? MHD_get_daemon_info(gate->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
        if (!info) {
                (void) snprintf(ret_error, GATE_ERROR_SIZE, "the gate's key and certificate can't be used");
                (void) close_fd(gate->listen_fd);
                free(gate);
                return GATE_E_LISTEN;
        }
        gate->epoll_fd = info->epoll_fd;
        *ret = gate;
        return 0;
}
