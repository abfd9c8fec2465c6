/* SPDX-License-Identifier: Apache-2.0 */

/* Addresses and the listening socket. */

#include "address.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>

int address_parse(struct sockaddr_storage *ret, socklen_t *ret_n, const char *text) {
        const char *colon = strrchr(text, ':'), *host = text;
        struct sockaddr_storage address = {0};
        char copy[INET6_ADDRSTRLEN];
        unsigned port = 0;
        bool ipv6;
        size_t n;

        if (!colon || colon[1] == '\0' || strlen(colon + 1) > 5)
                return ADDRESS_E_FORMAT;
        for (const char *c = colon + 1; *c; c++) {
                if (*c < '0' || *c > '9')
                        return ADDRESS_E_FORMAT;
                port = port * 10 + (unsigned) (*c - '0');
        }
        n = (size_t) (colon - host);
        ipv6 = n >= 2 && host[0] == '[' && host[n - 1] == ']';
        if (ipv6) {
                host++;
                n -= 2;
        }
        if (port > 65535 || n >= sizeof(copy))
                return ADDRESS_E_FORMAT;
        memcpy(copy, host, n);
        copy[n] = '\0';

        if (ipv6) {
                struct sockaddr_in6 *in6 = (struct sockaddr_in6 *) &address;

                in6->sin6_family = AF_INET6;
                in6->sin6_port = htons((uint16_t) port);
                if (inet_pton(AF_INET6, copy, &in6->sin6_addr) != 1)
                        return ADDRESS_E_FORMAT;
                *ret_n = sizeof(*in6);
        } else {
                struct sockaddr_in *in = (struct sockaddr_in *) &address;

                in->sin_family = AF_INET;
                in->sin_port = htons((uint16_t) port);
                if (inet_pton(AF_INET, copy, &in->sin_addr) != 1)
                        return ADDRESS_E_FORMAT;
                *ret_n = sizeof(*in);
        }
        *ret = address;
        return 0;
}

int address_listen(int *ret_fd, const struct sockaddr_storage *address, socklen_t n, int n_send) {
        cleanup(close_fdp) int fd = -1;
        const int on = 1, off = 0;

        fd = socket(address->ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
        if (fd < 0)
                return -errno;
        /* the accepted sockets inherit the send buffer and the delay */
        if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) < 0 ||
            setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &n_send, sizeof(n_send)) < 0 ||
            setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0)
                return -errno;
        /* [::] means both, whatever the system's default */
        if (address->ss_family == AF_INET6 && setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0)
                return -errno;
        if (bind(fd, (const struct sockaddr *) address, n) < 0 || listen(fd, 64) < 0)
                return -errno;
        *ret_fd = take_fd(&fd);
        return 0;
}

int address_text(char ret[static ADDRESS_TEXT_SIZE], int fd) {
        union {
                struct sockaddr any;
                struct sockaddr_in in;
                struct sockaddr_in6 in6;
        } address = {.in6 = {0}};
        socklen_t n = sizeof(address);
        char host[INET6_ADDRSTRLEN];

        if (getsockname(fd, &address.any, &n) < 0)
                return -errno;
        if (address.any.sa_family == AF_INET6) {
                if (!inet_ntop(AF_INET6, &address.in6.sin6_addr, host, sizeof(host)))
                        return -errno;
                (void) snprintf(ret, ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(address.in6.sin6_port));
        } else {
                if (!inet_ntop(AF_INET, &address.in.sin_addr, host, sizeof(host)))
                        return -errno;
                (void) snprintf(ret, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(address.in.sin_port));
        }
        return 0;
}

bool address_peer(uint8_t ret[static ADDRESS_PEER_SIZE], const struct sockaddr *address) {
        memset(ret, 0, ADDRESS_PEER_SIZE);
        if (address->sa_family == AF_INET6) {
                const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *) address;

                if (IN6_IS_ADDR_V4MAPPED(&in6->sin6_addr)) {
                        memcpy(ret, in6->sin6_addr.s6_addr, ADDRESS_PEER_SIZE);
                        return ret[12] == 127;
                }
                memcpy(ret, in6->sin6_addr.s6_addr, 8);
                return IN6_IS_ADDR_LOOPBACK(&in6->sin6_addr);
        }
        ret[10] = ret[11] = 0xff; /* as mapped, so that both forms are one */
        memcpy(ret + 12, &((const struct sockaddr_in *) address)->sin_addr, 4);
        return ret[12] == 127;
}
