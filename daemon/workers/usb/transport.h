/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A cable: bytes to the device, bytes from it, and time. libusb is behind it in the worker, a simulator in tests. */

#include "daemon/common/util.h"

enum {
        TRANSPORT_E_TIMEOUT = 1, /* nothing came, or nothing could be written, in time */
        TRANSPORT_E_STALL,       /* this transfer failed; the next one may not */
};

/*
 * Each may return a negative errno, which ends the session: -ENODEV unplugged; -ECANCELED, once, the patient does not want it
 * any more: what is said after that is to switch the radio off.
 */
typedef struct Transport {
        void *userdata;
        /** write() - all of it, as one transfer. Return: 0; TRANSPORT_E_TIMEOUT; TRANSPORT_E_STALL; negative errno. */
        int (*write)(void *userdata, const uint8_t *bytes, size_t n);
        /** read() - one transfer, at most @n bytes of it; *ret_n may be 0. Return: as write(). */
        int (*read)(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n);
        /** wait() - let time pass. Return: 0; negative errno. */
        int (*wait)(void *userdata, unsigned ms);
        int64_t (*now_ms)(void *userdata); /* steady */
} Transport;
