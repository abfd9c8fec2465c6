/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Inside the gate: gate.c is the loop and the core's frames, exchange.c what libmicrohttpd calls.
 *
 * Three objects: Gate; a Connection for each TCP connection, from accept to close; a Request for each HTTP request, from
 * its request line to its last byte. A request that waits for the core, or a stream that waits for the next chunk, is
 * suspended: libmicrohttpd then forgets its socket until it is resumed.
 */

#include "gate.h"
#include "request.h"

#include <microhttpd.h>

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

/** gate_now_ms() - monotonic */
int64_t gate_now_ms(void);
/** gate_keep() - for callbacks: a frame that can't be put ends the gate, as the core would wait for it for ever */
void gate_keep(Gate *gate, int r);

/** request_hold() - @bytes: owned from here on; what was held before is wiped */
void request_hold(Request *request, uint8_t *bytes, size_t n);
/** request_more() - tell the core that there is room for a stream's next chunk */
void request_more(Request *request);
/** request_make_response() - of @n_body bytes that are held (or come: SIZE_UNKNOWN), with the headers that all have; -ENOMEM.
 * @content_type: as in FrameGateReply */
must_check int request_make_response(Request *request, uint64_t n_body, unsigned content_type);
must_check int request_make_refusal(Request *request, const Refusal *refusal);

void connection_wake(Connection *connection);
/** connection_drop() - end it. @reset: what the kernel holds for it never leaves: with SO_LINGER {1, 0}, close() resets */
void connection_drop(Connection *connection, bool reset);
void connection_carries(Connection *connection, uint64_t grant);
bool connection_is_of(const Connection *connection, uint64_t grant);
/**
 * connection_drains() - whether the kernel still has bytes for the peer
 *
 * Such a connection is kept for a while after its last answer: when it is closed, nothing can take these bytes back any more.
 */
bool connection_drains(const Connection *connection);

/* What libmicrohttpd calls. */
enum MHD_Result gate_on_peer(void *userdata, const struct sockaddr *address, socklen_t n_address);
void gate_on_connection(void *userdata, struct MHD_Connection *mhd, void **socket_context, enum MHD_ConnectionNotificationCode code);
void *gate_on_request_line(void *userdata, const char *uri, struct MHD_Connection *mhd);
void gate_on_request_end(void *userdata, struct MHD_Connection *mhd, void **request_context, enum MHD_RequestTerminationCode code);
enum MHD_Result gate_on_request(void *userdata, struct MHD_Connection *mhd, const char *url, const char *method, const char *version,
                                const char *upload, size_t *n_upload, void **request_context);
