/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The local socket: Varlink frames, descriptors, peers. Knows no method: it looks each call up in a table, checks its
 * parameters against the signature there, asks the guard, and runs the handler.
 */

#include <jansson.h>
#include <sys/types.h>
#include <systemd/sd-event.h>

#include "daemon/common/util.h"

enum {
        SERVER_FRAME_MAX = 1024 * 1024, /* bytes of a message, NUL included */
        SERVER_CONNECTIONS_MAX = 16, /* one more, and the one that is idle longest goes */
        SERVER_FDS_MAX = 4, /* descriptors with one message */
        SERVER_JSON_DEPTH_MAX = 16,
};

typedef struct Server Server;
typedef struct Connection Connection;
typedef struct Call Call;

/* What a method does to the patient's privacy; daemon/PROTOCOL.md, "Classes". */
typedef enum MethodClass {
        METHOD_OPEN = 1, /* narrows or tells nothing: no question asked */
        METHOD_READING,
        METHOD_WIDENING,
        METHOD_PROVING, /* widening too; the call itself brings the passphrase or the recovery code */
} MethodClass;

typedef struct Method {
        const char *name;
        MethodClass class;
        const char *in;  /* Varlink types: "name: string, fileFd: int, unit: ?string"; a name that ends in Fd is an index into the call's descriptors */
        const char *out;
        const char *text; /* one line for the interface description */
        int (*handle)(Call *call, void *userdata); /* takes the call over, unless it returns < 0: answered with Internal */
} Method;

typedef struct Peer {
        uid_t uid;
        pid_t session; /* getsid(2) of the peer when it connected; -1 where that is not known */
        pid_t pid;           /* when it connected; 0 where that is not known */
        uint64_t connection; /* its number, never used again */
} Peer;

struct Call {
        Connection *connection; /* NULL once the peer is gone */
        const Method *method;
        json_t *parameters; /* object, checked against method->in */
        int fds[SERVER_FDS_MAX];
        size_t n_fds;
        bool more;
        Peer peer;
        void (*gone)(Call *call, void *userdata); /* the peer hung up: the job must end and free the call */
        void *gone_userdata;
};

typedef struct ServerConfig {
        sd_event *event;
        int listen_fd; /* borrowed */
        uid_t patient; /* may connect, beside root and our own user */
        const Method *methods; /* ends with a row without name */
        const char *interface, *vendor, *product, *version;
        /* may this peer make this call now? NULL: yes; else the error's name */
        const char *(*guard)(const Call *call, void *userdata);
        void *userdata;
} ServerConfig;

must_check int server_new(Server **ret, const ServerConfig *config);
Server *server_free(Server *server);
DEFINE_CLEANUP(Server *, server_free)
/** server_description() - the interface in Varlink's language, from the table; malloc'd */
char *server_description(const ServerConfig *config);

/* Answers. Each takes @parameters over (NULL: {}); the last one of a call frees it. All cope with a peer that is gone. */
int call_reply(Call *call, json_t *parameters);
/** call_continue() - one of several replies; @fd: borrowed, duplicated into the message; -1: none. -ENOBUFS when the peer does not read, -ECONNRESET when it is gone, -EMSGSIZE. */
int call_continue(Call *call, json_t *parameters, int fd);
int call_reply_fd(Call *call, json_t *parameters, int fd);
int call_error(Call *call, const char *error, json_t *parameters);
/** call_refuse() - org.carewallet.Refused with a reason for a person */
int call_refuse(Call *call, const char *format, ...) printf_like(2, 3);
int call_invalid(Call *call, const char *parameter);
Call *call_free(Call *call);
DEFINE_CLEANUP(Call *, call_free)

/** call_linger() - the peer's connection ends with this process, not before: that is how it knows that memory is gone */
void call_linger(const Call *call);
/** call_flush() - wait, at most so long in all, until the lingering peers have their answers; for Lock, which ends the process */
void call_flush(Server *server, int timeout_ms);

/* Parameters, once checked. */
const char *call_string(const Call *call, const char *name); /* NULL: absent */
bool call_bool(const Call *call, const char *name, bool fallback);
json_int_t call_int(const Call *call, const char *name, json_int_t fallback);
/** call_take_fd() - the descriptor that parameter @name names; the caller owns it */
int call_take_fd(Call *call, const char *name);
