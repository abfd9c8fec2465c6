/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The client's side of daemon/PROTOCOL.md: Varlink over a Unix stream socket, descriptors by SCM_RIGHTS. It blocks. */

#include "message.h"

enum {
        CLIENT_FDS_MAX = 4, /* descriptors with a message */

        CLIENT_E_GONE = 1, /* the daemon closed the connection */
        CLIENT_E_PROTOCOL, /* what came is not the protocol; the connection is of no more use */
        CLIENT_E_TIMEOUT,  /* no answer in time; the same */
        CLIENT_E_TOO_BIG,  /* the call is over MESSAGE_MAX: nothing was sent */
};

typedef struct Client Client;

typedef struct Reply {
        json_t *message;          /* owned */
        const json_t *parameters; /* borrowed from it; an object, or NULL */
        const char *error;        /* borrowed; NULL when it is none */
        bool continues;           /* another one follows */
        int fds[CLIENT_FDS_MAX];  /* owned */
        size_t n_fds;
} Reply;

/** reply_done() - free what it holds; it may be used again. All zeros is an empty one */
void reply_done(Reply *reply);
/** reply_take_fd() - the descriptor that parameter @name is the index of, or -1; it is the caller's then */
int reply_take_fd(Reply *reply, const char *name);

/**
 * client_connect() - to the daemon at @path, waiting a few seconds at most
 *
 * Return: 0; negative errno of socket(2) and connect(2); -ENAMETOOLONG.
 */
must_check int client_connect(Client **ret, const char *path);
Client *client_free(Client *client);
DEFINE_CLEANUP(Client *, client_free)

/** client_set_timeout() - how long to wait for a reply; 0: as long as it takes */
void client_set_timeout(Client *client, unsigned seconds);

/**
 * client_call() - send one call
 * @parameters: borrowed; an object, or NULL
 * @fds:        borrowed; at most CLIENT_FDS_MAX
 *
 * Return: 0; CLIENT_E_GONE, CLIENT_E_TIMEOUT, CLIENT_E_TOO_BIG; negative errno.
 */
must_check int client_call(Client *client, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds);

/** client_receive() - wait for a reply. 0; CLIENT_E_GONE, CLIENT_E_PROTOCOL, CLIENT_E_TIMEOUT; negative errno */
must_check int client_receive(Client *client, Reply *ret);

/** client_wait() - until client_receive() has something to do: 0; or @other_fd can be read: 1; negative errno */
must_check int client_wait(const Client *client, int other_fd);
