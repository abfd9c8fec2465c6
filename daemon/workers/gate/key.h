/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The gate's own TLS key and certificate. Nobody has to trust the certificate: grants carry the pin of its key. */

#include "daemon/common/util.h"

enum {
        KEY_YEARS = 20, /* a grant ends within one year, and its pin is all that a provider checks */
};

typedef struct Key {
        char *key_pem;         /* PKCS #8; wiped by key_done() */
        char *certificate_pem;
        uint8_t spki_sha256[32];
} Key;

/** key_make() - a fresh P-256 key and a self-signed certificate that says nothing of the patient; -ENOMEM, -EIO */
must_check int key_make(Key *ret);
void key_done(Key *key);
