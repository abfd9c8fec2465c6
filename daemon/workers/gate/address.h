/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Where the gate listens: numeric addresses only, as nothing is resolved after lockdown and nothing may surprise before. */

#include "daemon/common/util.h"

#include <sys/socket.h>

enum {
        ADDRESS_TEXT_SIZE = 64,  /* [ipv6]:port and a terminator */
        ADDRESS_PEER_SIZE = 16,  /* what stands for one peer when connections are counted */

        ADDRESS_E_FORMAT = 1,    /* not host:port with a numeric host */
};

/** address_parse() - "127.0.0.1:8443", "[::1]:8443"; port 0: any free one. ADDRESS_E_FORMAT */
must_check int address_parse(struct sockaddr_storage *ret, socklen_t *ret_n, const char *text);
/** address_listen() - non-blocking listening socket with a send buffer of @n_send bytes; negative errno */
must_check int address_listen(int *ret_fd, const struct sockaddr_storage *address, socklen_t n, int n_send);
/** address_text() - of the address that a socket is bound to; negative errno */
must_check int address_text(char ret[static ADDRESS_TEXT_SIZE], int fd);

/**
 * address_peer() - who is counted as one: an IPv4 address, or the /64 that an IPv6 site gets at least
 *
 * Return: whether it is this machine.
 */
bool address_peer(uint8_t ret[static ADDRESS_PEER_SIZE], const struct sockaddr *address);
