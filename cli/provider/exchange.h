/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Requests to a gate over TLS 1.3, each with a DPoP proof (RFC 9449) and the nonce that the gate wants. */

#include "daemon/common/grant.h"

enum {
        EXCHANGE_BODY_MAX = 65536, /* bytes of an answer that is no slice */
        EXCHANGE_TEXT_SIZE = 256,

        EXCHANGE_E_UNREACHABLE = 1, /* no connection: exchange_text() says why */
        EXCHANGE_E_PIN,             /* somebody else answers there: nothing was sent */
        EXCHANGE_E_TLS,             /* no TLS 1.3, or, without a pin, a certificate that can't be trusted */
        EXCHANGE_E_REFUSED,         /* exchange_status(), exchange_error(), exchange_text() */
        EXCHANGE_E_CUT,             /* it ended before its end */
        EXCHANGE_E_PROTOCOL,        /* not what a gate answers */
        EXCHANGE_E_INTERRUPTED,     /* by the user */
};

typedef struct Exchange Exchange;

/** takes the body of an answer 200, in pieces. Return: 0, or negative errno to give up */
typedef int (*ExchangeSink)(const char *bytes, size_t n, void *userdata);

/**
 * exchange_new()
 * @claims: borrowed; its pins, when it has some, replace the check of the certificate's issuer and name
 * @seed:   borrowed; the key that the grant is bound to
 */
must_check int exchange_new(Exchange **ret, const GrantClaims *claims, const Secret *seed);
Exchange *exchange_free(Exchange *exchange);
DEFINE_CLEANUP(Exchange *, exchange_free)

/** exchange_token() - an access token for the grant. @url: of the gate, without slash at the end */
must_check int exchange_token(Exchange *exchange, const char *url, const char *jwt);
/** exchange_get() - "/slice" or "/summary" with the token. @query: "" or "?...", encoded; the sink's error is passed on */
must_check int exchange_get(Exchange *exchange, const char *path, const char *query, ExchangeSink sink, void *userdata);

long exchange_status(const Exchange *exchange);
const char *exchange_error(const Exchange *exchange); /* OAuth's code, "" for none */
const char *exchange_text(const Exchange *exchange);  /* fit for a terminal */
const char *exchange_trailer(const Exchange *exchange); /* of a slice as CSV; NULL for none */
