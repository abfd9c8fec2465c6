/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A provider's HTTP request, checked and turned into the fixed frame that the core gets. Pure: no sockets, no MHD.
 * Whatever is not exactly as GATE.md says is refused here; so is a parameter that is not known,
 * because one that was meant to narrow and is ignored widens. Host and forwarded headers are not looked at.
 */

#include "daemon/common/frame.h"

enum {
        REQUEST_URI_MAX = 2048,      /* bytes of path and query */
        REQUEST_HEADERS_MAX = 16384, /* bytes of the request line and all headers */
        REQUEST_BODY_MAX = 16384,    /* bytes of a body */
};

/* What is answered instead of asking the core. Static data: never freed. */
typedef struct Refusal {
        unsigned status;
        const char *code; /* of RFC 6749 and RFC 9449, or our own word */
        const char *text; /* error_description: ASCII without quote and backslash */
} Refusal;

extern const Refusal REQUEST_BUSY;    /* 503: the core has not taken what it was sent before */
extern const Refusal REQUEST_LATE;    /* 503: the core has not answered in time */
extern const Refusal REQUEST_NO_TOKEN; /* 401 at a resource, and nothing was presented: the challenge names no error */

typedef struct Preference {
        unsigned rank; /* of the range in Accept that it is in: 0: none, 1: of everything, 2: of its type, 3: itself */
        unsigned q;    /* thousandths */
} Preference;

typedef struct RequestHead {
        FrameGateRequest frame; /* without its number; proof is borrowed from this struct */
        const Refusal *refusal; /* NULL: well formed so far. The first one stays. */
        const char *allow;      /* with status 405 */
        size_t n_content;       /* bytes of body that are announced */
        bool is_chunked;        /* the body's length is not announced */

        bool is_post, has_length, has_type, has_authorization, has_proof, format_asked;
        Preference ndjson, csv; /* of Accept */
        bool has_accept;
        char proof[FRAME_GATE_PROOF_MAX];
} RequestHead;

/** request_begin() - request line. @uri: path and query as received. @ret: overwritten */
void request_begin(RequestHead *ret, const char *method, const char *uri, const char *version);
/** request_header() - one header, in the order received */
void request_header(RequestHead *head, const char *name, const char *value);
/** request_headers_end() - all headers have been given; @n_bytes of request line and headers */
void request_headers_end(RequestHead *head, size_t n_bytes);
/** request_body() - the whole body of POST /token. @body: is decoded in place */
void request_body(RequestHead *head, char *body, size_t n_body);

/** request_reads_body() - whether the body should be read (and thrown away after a refusal) before the answer */
bool request_reads_body(const RequestHead *head);

/** request_is_resource() - whether errors are those of a protected resource (RFC 6750, RFC 9449 7.1) */
bool request_is_resource(const RequestHead *head);

/** request_refusal_of() - status and code for an error of the core's */
Refusal request_refusal_of(FrameGateError error, bool is_resource, const char *message);

/** request_parse_time() - RFC 3339 with a zone. Return: whether it is one */
bool request_parse_time(int64_t *ret_utc_ms, const char *text);
/** request_parse_day() - YYYY-MM-DD as days since 1970-01-01 */
bool request_parse_day(int32_t *ret_day, const char *text);
