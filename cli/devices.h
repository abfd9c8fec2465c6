/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Devices at this machine's USB that hold a patient's data, and what keeps us from reading them. */

#include "daemon/common/util.h"

enum {
        DEVICES_MAX = 16,
        DEVICES_TROUBLES_MAX = 4,
};

typedef struct Device {
        uint16_t vendor, product;
        const char *name;  /* static */
        bool can_read;     /* carewallet reads this kind */
        bool is_open;      /* you may open it */
        char port[32];     /* as the kernel calls its place: "1-1.4" */
        char node[32];     /* "/dev/bus/usb/001/004" */
        char driver[32];   /* of the kernel, that has its interface now; "" */
        const char *troubles[DEVICES_TROUBLES_MAX]; /* static: what is wrong and what to do, each a sentence or two */
        size_t n_troubles;
} Device;

/** devices_list() - what is plugged in and known, in the order of ports; none where the kernel shows no USB. Negative errno */
must_check int devices_list(Device ret[static DEVICES_MAX], size_t *ret_n);
