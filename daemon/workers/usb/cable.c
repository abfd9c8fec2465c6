/* SPDX-License-Identifier: Apache-2.0 */

#include "cable.h"

#include <libusb.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
        WRITE_MS = 1000,
        INTERFACE = 0,
        N_TRIES = 8,    /* of a call that a signal interrupted */
};

struct Cable {
        CableConfig config;
        libusb_context *context;
        libusb_device_handle *handle;
        uint16_t vendor, product;
        uint8_t in, out;
        bool is_interrupt, is_claimed;
        bool is_stopped; /* it has been said; from then on only what switches the radio off */
};

static int error_of(int r) {
        switch (r) {
        case LIBUSB_ERROR_NO_DEVICE:
                return -ENODEV;
        case LIBUSB_ERROR_TIMEOUT:
                return TRANSPORT_E_TIMEOUT;
        case LIBUSB_ERROR_PIPE:
        case LIBUSB_ERROR_OVERFLOW:
                return TRANSPORT_E_STALL;
        case LIBUSB_ERROR_NO_MEM:
                return -ENOMEM;
        default:
                return -EIO;
        }
}

int cable_open(Cable **ret, const CableConfig *config) {
        cleanup(cable_closep) Cable *cable = NULL;
        struct libusb_device_descriptor descriptor;
        int r;

        cable = calloc(1, sizeof(*cable));
        if (!cable)
                return -ENOMEM;
        cable->config = *config;

        if (lseek(config->fd, 0, SEEK_SET) < 0) /* the descriptors are read from here */
                return CABLE_E_ACCESS;
        (void) libusb_set_option(NULL, LIBUSB_OPTION_NO_DEVICE_DISCOVERY);
        if (libusb_init(&cable->context) < 0)
                return -ENOMEM;
        r = libusb_wrap_sys_device(cable->context, config->fd, &cable->handle);
        if (r == 0)
                r = libusb_get_device_descriptor(libusb_get_device(cable->handle), &descriptor);
        if (r < 0)
                return r == LIBUSB_ERROR_NO_MEM ? -ENOMEM : r == LIBUSB_ERROR_NO_DEVICE ? CABLE_E_GONE : CABLE_E_ACCESS;
        cable->vendor = descriptor.idVendor;
        cable->product = descriptor.idProduct;
        *ret = take_ptr(cable);
        return 0;
}

void cable_release(Cable *cable) {
        if (cable->is_claimed)
                (void) libusb_release_interface(cable->handle, INTERFACE);
        cable->is_claimed = false;
}

Cable *cable_close(Cable *cable) {
        if (!cable)
                return NULL;
        cable_release(cable);
        if (cable->handle)
                libusb_close(cable->handle);
        if (cable->context)
                libusb_exit(cable->context);
        free(cable);
        return NULL;
}

uint16_t cable_vendor(const Cable *cable) {
        return cable->vendor;
}

uint16_t cable_product(const Cable *cable) {
        return cable->product;
}

/* The first endpoint each way, both of one kind. */
static bool find_endpoints(Cable *cable) {
        const struct libusb_interface_descriptor *interface;
        struct libusb_config_descriptor *config;

        if (libusb_get_active_config_descriptor(libusb_get_device(cable->handle), &config) != 0)
                return false;
        if (config->bNumInterfaces > 0 && config->interface[INTERFACE].num_altsetting > 0) {
                interface = &config->interface[INTERFACE].altsetting[0];
                for (unsigned kind = LIBUSB_TRANSFER_TYPE_BULK; kind <= LIBUSB_TRANSFER_TYPE_INTERRUPT && !(cable->in && cable->out); kind++) {
                        cable->in = cable->out = 0;
                        cable->is_interrupt = kind == LIBUSB_TRANSFER_TYPE_INTERRUPT;
                        for (size_t i = 0; i != interface->bNumEndpoints; i++) {
                                const struct libusb_endpoint_descriptor *endpoint = &interface->endpoint[i];
                                bool is_in = endpoint->bEndpointAddress & LIBUSB_ENDPOINT_IN;
                                uint8_t *address = is_in ? &cable->in : &cable->out;

                                if ((endpoint->bmAttributes & LIBUSB_TRANSFER_TYPE_MASK) == kind && *address == 0)
                                        *address = endpoint->bEndpointAddress;
                        }
                }
        }
        libusb_free_config_descriptor(config);
        return cable->in && cable->out;
}

int cable_claim(Cable *cable) {
        int r;

        if (!find_endpoints(cable))
                return CABLE_E_OTHER;
        (void) libusb_set_auto_detach_kernel_driver(cable->handle, 1);
        r = libusb_claim_interface(cable->handle, INTERFACE);
        if (r < 0)
                return r == LIBUSB_ERROR_NO_DEVICE ? CABLE_E_GONE : r == LIBUSB_ERROR_BUSY ? CABLE_E_BUSY : CABLE_E_OTHER;
        cable->is_claimed = true;
        return 0;
}

/* --- the transport --- */

/* BOOTTIME: a machine that slept has kept the pump waiting too. */
static int64_t now_ms(void *userdata) {
        struct timespec now;

        (void) userdata;
        (void) clock_gettime(CLOCK_BOOTTIME, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Said once; then the session ends, and what it says in ending is not to be stopped. */
static int stopped(Cable *cable, unsigned wait_ms) {
        if (cable->is_stopped || !cable->config.is_stopped(cable->config.userdata, wait_ms))
                return 0;
        cable->is_stopped = true;
        return -ECANCELED;
}

static int transfer(Cable *cable, uint8_t endpoint, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        int r = LIBUSB_ERROR_INTERRUPTED, n_done = 0;

        for (unsigned i = 0; i != N_TRIES && r == LIBUSB_ERROR_INTERRUPTED; i++)
                r = (cable->is_interrupt ? libusb_interrupt_transfer : libusb_bulk_transfer)(cable->handle, endpoint, bytes, (int) n, &n_done, timeout_ms);
        *ret_n = n_done > 0 ? (size_t) n_done : 0;
        if (r == LIBUSB_ERROR_PIPE)
                (void) libusb_clear_halt(cable->handle, endpoint);
        return r < 0 ? error_of(r) : 0;
}

static int write_bytes(void *userdata, const uint8_t *bytes, size_t n) {
        Cable *cable = userdata;
        uint8_t copy[64]; /* libusb's buffer is not const; nothing longer is ever said */
        unsigned left_ms = WRITE_MS;
        size_t n_done;
        int r;

        assert(n <= sizeof(copy));

        memcpy(copy, bytes, n);
        do { /* one packet: it went, or it did not */
                r = stopped(cable, 0);
                if (r)
                        return r;
                r = transfer(cable, cable->out, copy, n, CABLE_SLICE_MS, &n_done);
                left_ms -= CABLE_SLICE_MS;
        } while (r == TRANSPORT_E_TIMEOUT && n_done == 0 && left_ms && !cable->is_stopped);
        return r == 0 && n_done < n ? TRANSPORT_E_STALL : r;
}

static int read_bytes(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        unsigned left_ms = timeout_ms, slice_ms;
        Cable *cable = userdata;
        int r;

        do {
                r = stopped(cable, 0);
                if (r)
                        return r;
                slice_ms = left_ms < CABLE_SLICE_MS ? left_ms : CABLE_SLICE_MS;
                r = transfer(cable, cable->in, bytes, n, slice_ms, ret_n);
                if (r == TRANSPORT_E_TIMEOUT && *ret_n)
                        return 0; /* it came as time ran out */
                left_ms -= slice_ms;
        } while (r == TRANSPORT_E_TIMEOUT && left_ms);
        return r;
}

static int wait_for(void *userdata, unsigned ms) {
        Cable *cable = userdata;

        if (!cable->is_stopped)
                return stopped(cable, ms);
        (void) poll(NULL, 0, (int) ms);
        return 0;
}

Transport cable_transport(Cable *cable) {
        return (Transport) { .userdata = cable, .write = write_bytes, .read = read_bytes, .wait = wait_for, .now_ms = now_ms };
}
