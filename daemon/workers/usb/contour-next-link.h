/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The Contour Next Link meter (1a79:6200, 6300) and the pump that it is linked with: x23 and later, by the same opcodes and
 * pages as the CareLink stick, and none of its waking up: the meter does that.
 *
 * Not proven on a real meter here: no capture of this model was to be had (those that are public are of its successor, the
 * 2.4, which speaks another protocol). Layouts are as public descriptions have them, above all the BSD-licensed uploader of
 * Tidepool, which reads such meters in the field. What it does not show is not done: asked are only the opcodes that it
 * asks too. Left out for want of proof: a last page of which some comes with the acknowledgement (asked for again here).
 * Checksums of the envelopes of glucose pages are known to be wrong at times; there the page's own counts.
 *
 * As with the stick a pump could be told to give insulin this way; contour_next_link_frame() makes only reads, and a test
 * tries all opcodes.
 */

#include "paradigm.h"
#include "transport.h"

enum {
        CONTOUR_NEXT_LINK_REPORT = 64, /* bytes of one USB transfer */
        CONTOUR_NEXT_LINK_REPORTS_MAX = 2,
        CONTOUR_NEXT_LINK_REPLY = 64, /* bytes of a pump's short answer that are kept */
        CONTOUR_NEXT_LINK_PART = 256, /* a page comes in parts of this size */

        CONTOUR_NEXT_LINK_E_FORBIDDEN = 1, /* no command of the list, or not with these parameters */
        CONTOUR_NEXT_LINK_E_SILENT,        /* the meter does not answer */
        CONTOUR_NEXT_LINK_E_OTHER,         /* what answers is no such meter, or does not go into remote mode */
        CONTOUR_NEXT_LINK_E_NO_PUMP,       /* the meter does, the pump does not */
        CONTOUR_NEXT_LINK_E_REFUSED,       /* the pump said no: no such page */
        CONTOUR_NEXT_LINK_E_GARBLED,       /* three times something else than an answer, or cut, or with a wrong checksum */
        CONTOUR_NEXT_LINK_E_FOREIGN,       /* another pump answers */
};

typedef struct ContourNextLink {
        const Transport *transport;
        char serial[PARADIGM_SERIAL_SIZE]; /* of the pump: the one that the meter is linked with */
        uint8_t refusal;                   /* the meter's or the pump's reason for which nothing came, as it says it */
        unsigned n_retries;                /* answers that were asked for again */
} ContourNextLink;

/**
 * contour_next_link_frame() - the reports of one command to a pump
 * @n_parameters: 0: the question itself, or for a page that it will be asked for; else the page's number, 1 or 4 bytes
 * @ret:          whole reports, zeros behind what they carry
 *
 * Return: 0; CONTOUR_NEXT_LINK_E_FORBIDDEN.
 */
must_check int contour_next_link_frame(const char serial[static PARADIGM_SERIAL_SIZE - 1], unsigned opcode, const uint8_t *parameters,
                                       size_t n_parameters, uint8_t ret[static CONTOUR_NEXT_LINK_REPORTS_MAX * CONTOUR_NEXT_LINK_REPORT],
                                       size_t *ret_n_reports);

/**
 * contour_next_link_open() - into remote mode, and to the pump
 * @serial: six digits
 *
 * Return: 0; CONTOUR_NEXT_LINK_E_SILENT, _OTHER, _NO_PUMP; negative errno of the transport.
 */
must_check int contour_next_link_open(ContourNextLink *link, const Transport *transport, const char serial[static PARADIGM_SERIAL_SIZE - 1]);
/** contour_next_link_close() - out of remote mode; whatever went wrong before, this is tried */
must_check int contour_next_link_close(ContourNextLink *link);

/** contour_next_link_ask() - a short answer, zeros behind it. Return: 0; CONTOUR_NEXT_LINK_E_...; negative errno of the transport. */
must_check int contour_next_link_ask(ContourNextLink *link, unsigned opcode, uint8_t ret[static CONTOUR_NEXT_LINK_REPLY]);

/**
 * contour_next_link_page() - a page of exactly @n_page bytes, a multiple of CONTOUR_NEXT_LINK_PART; up to three times
 * @ret_n: how many came at the last try, also on failure
 *
 * Return: as contour_next_link_ask().
 */
must_check int contour_next_link_page(ContourNextLink *link, unsigned opcode, uint32_t number, uint8_t *page, size_t n_page,
                                      int (*check)(const uint8_t *page, size_t n), size_t *ret_n);
