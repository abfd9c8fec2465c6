/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The way to a pump: through a CareLink stick, or through a Contour Next Link meter. The session does not mind which. */

#include "carelink-stick.h"
#include "contour-next-link.h"

enum {
        PUMP_LINK_REPLY = CARELINK_STICK_REPLY,

        /* as both drivers number theirs */
        PUMP_LINK_E_FORBIDDEN = CARELINK_STICK_E_FORBIDDEN, /* not asked this way */
        PUMP_LINK_E_SILENT = CARELINK_STICK_E_SILENT,
        PUMP_LINK_E_OTHER = CARELINK_STICK_E_OTHER,
        PUMP_LINK_E_NO_PUMP = CARELINK_STICK_E_NO_PUMP,
        PUMP_LINK_E_REFUSED = CARELINK_STICK_E_REFUSED,
        PUMP_LINK_E_GARBLED = CARELINK_STICK_E_GARBLED,
        PUMP_LINK_E_FOREIGN = CARELINK_STICK_E_FOREIGN,

        /* of PUMP_LINK_E_REFUSED, from a page that it does not have (a 723: the first); others are for a while, as 0c when a bolus runs */
        PUMP_LINK_REFUSED = 0x08,
        PUMP_LINK_NO_SUCH_PAGE = 0x0d,
};

typedef enum PumpLinkKind {
        PUMP_LINK_STICK,
        PUMP_LINK_METER,
} PumpLinkKind;

typedef struct PumpLink {
        PumpLinkKind kind;
        bool is_begun; /* something is to be switched off */
        bool may_wake; /* the pump has answered since it was woken last: when it falls silent it may have gone to sleep */
        CarelinkStick stick;
        ContourNextLink meter;
} PumpLink;

/**
 * pump_link_open() - to a pump that listens; takes 17 s through a stick when it sleeps
 * @serial: six digits, else PUMP_LINK_E_FORBIDDEN
 *
 * Return: 0; PUMP_LINK_E_...; negative errno of the transport. All of these of the others too.
 */
must_check int pump_link_open(PumpLink *link, PumpLinkKind kind, const Transport *transport, const char *serial);
/** pump_link_close() - switch off what was switched on; whatever went wrong before, this is tried */
must_check int pump_link_close(PumpLink *link);
/** pump_link_ask() - a short answer, up to three times */
must_check int pump_link_ask(PumpLink *link, CarelinkOpcode opcode, uint8_t ret[static PUMP_LINK_REPLY]);
/** pump_link_page() - a long answer of exactly @n_page bytes, up to three times; *ret_n is how many came at the last try */
must_check int pump_link_page(PumpLink *link, CarelinkOpcode opcode, uint32_t number, uint8_t *page, size_t n_page,
                              int (*check)(const uint8_t *page, size_t n), size_t *ret_n);

/** pump_link_has_no_page() - whether the pump's last refusal was of a page that it does not have */
bool pump_link_has_no_page(const PumpLink *link);
/** pump_link_words() - what an error means for the patient, and what to do */
const char *pump_link_words(const PumpLink *link, int r);
/** pump_link_words_open() - the same of what pump_link_close() could not do */
const char *pump_link_words_open(const PumpLink *link);
