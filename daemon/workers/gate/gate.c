/* SPDX-License-Identifier: Apache-2.0 */

/* One loop over the core's frames and libmicrohttpd's epoll descriptor. */

#include "gate-private.h"

#include <fcntl.h>
#include <poll.h>

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

                r = request_make_refusal(request, &refusal);
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
                r = request_make_response(request, is_stream ? MHD_SIZE_UNKNOWN : reply->n_body, reply->content_type);
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
                        gate_keep(gate, request_make_refusal(request, &REQUEST_LATE));
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
        int64_t now = gate_now_ms(), wait_ms = check_deadlines(gate, now);
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

        gate->daemon = MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_TLS | MHD_ALLOW_SUSPEND_RESUME, 0, gate_on_peer, gate, gate_on_request, gate,
                                        MHD_OPTION_LISTEN_SOCKET, gate->listen_fd,
                                        MHD_OPTION_HTTPS_MEM_KEY, key_pem,
                                        MHD_OPTION_HTTPS_MEM_CERT, certificate_pem,
                                        MHD_OPTION_HTTPS_PRIORITIES, "NORMAL:-VERS-ALL:+VERS-TLS1.3:%NO_TICKETS",
                                        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t) GATE_CONNECTION_MEMORY,
                                        MHD_OPTION_CONNECTION_LIMIT, (unsigned) GATE_CONNECTIONS_MAX,
                                        MHD_OPTION_STRICT_FOR_CLIENT, 1,
                                        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,
                                        MHD_OPTION_URI_LOG_CALLBACK, gate_on_request_line, gate,
                                        MHD_OPTION_NOTIFY_COMPLETED, gate_on_request_end, gate,
                                        MHD_OPTION_NOTIFY_CONNECTION, gate_on_connection, gate,
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
