/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A transport over libusb: one transfer at a time, to and from the first interface of a device that somebody else has
 * opened. While it waits it listens for the word to stop.
 */

#include "transport.h"

enum {
        CABLE_SLICE_MS = 125, /* of a longer wait: how long a word to stop may go unheard, and what a write may take after it */

        CABLE_E_ACCESS = 1, /* not a USB device's node, or not open for writing */
        CABLE_E_OTHER,      /* no interface with an endpoint each way, of the kind that was asked for */
        CABLE_E_BUSY,       /* another program has claimed the interface */
        CABLE_E_GONE,       /* unplugged */
};

typedef struct Cable Cable;

typedef struct CableConfig {
        int fd; /* borrowed: of the device's node, as Linux has them below /dev/bus/usb */
        /** is_stopped() - look, for at most @wait_ms, whether the patient wants to stop; @userdata may be NULL */
        bool (*is_stopped)(void *userdata, unsigned wait_ms);
        void *userdata;
} CableConfig;

/**
 * cable_open() - before lockdown: libusb looks at the file system
 *
 * Return: 0; CABLE_E_ACCESS; CABLE_E_GONE; -ENOMEM.
 */
must_check int cable_open(Cable **ret, const CableConfig *config);
/** cable_release() - gives the interface back to the kernel's driver that had it; also where there is nothing to give back */
void cable_release(Cable *cable);
/** cable_close() - the same, and all else; accepts NULL, returns NULL */
Cable *cable_close(Cable *cable);
DEFINE_CLEANUP(Cable *, cable_close)

uint16_t cable_vendor(const Cable *cable);
uint16_t cable_product(const Cable *cable);

/** cable_claim() - after lockdown. Return: 0; CABLE_E_OTHER; CABLE_E_BUSY; CABLE_E_GONE. */
must_check int cable_claim(Cable *cable);
/** cable_transport() - as of transport.h; valid until cable_close() */
Transport cable_transport(Cable *cable);
