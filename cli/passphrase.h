/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Secrets from a descriptor or from the terminal; never from arguments or the environment. */

#include "daemon/common/secret.h"

enum {
        PASSPHRASE_E_EMPTY = 1,
        PASSPHRASE_E_LONG,        /* over SECRET_MEMFD_MAX bytes */
        PASSPHRASE_E_TERMINAL,    /* there is no terminal to ask on */
        PASSPHRASE_E_INTERRUPTED, /* by end of input at the prompt */
};

/** passphrase_read() - all that @fd gives, without ONE line end behind it. @ret_n: its bytes; the secret is larger */
must_check int passphrase_read(int fd, Secret **ret, size_t *ret_n);

/**
 * passphrase_ask() - show @prompt on the terminal and read a line without echo
 *
 * A signal that ends or stops the program restores the terminal first.
 */
must_check int passphrase_ask(const char *prompt, Secret **ret, size_t *ret_n);

/** passphrase_can_ask() - whether somebody sits before this program */
bool passphrase_can_ask(void);
