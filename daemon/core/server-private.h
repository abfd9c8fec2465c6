/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What server.c (calls, their answers, the table) and connection.c (bytes and descriptors) share. */

#include "server.h"

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
        } out_fds[SERVER_FDS_MAX];
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

/** connection_new() - into the server's list; without memory for it the peer is hung up on. @fd_io: -1 once it was taken over */
void connection_new(Server *server, int *fd_io, const Peer *peer);
/** connection_kill() - a bad peer loses its connection, nothing else. It is buried from the loop, since callers up the stack may hold it. */
void connection_kill(Connection *connection);
/** connection_bury() - tells the job of a dead connection, and frees it. Never from within a handler, which may still hold the call. */
void connection_bury(Connection *connection);
/** connection_want() - after each change: what the loop is to watch for */
int connection_want(Connection *connection);
/** connection_send() - @fd: borrowed, duplicated; -1: none. -EMSGSIZE; -ENOBUFS: the peer does not read; -ECONNRESET. */
must_check int connection_send(Connection *connection, json_t *message, int fd);
/** connection_write() - what waits, as far as the peer takes it now: 0, -EAGAIN or another negative errno */
must_check int connection_write(Connection *connection);

/** server_take_message() - one message without its NUL. 0; -EBADMSG when the peer does not speak the protocol. */
must_check int server_take_message(Connection *connection, const char *text, size_t n_text);
