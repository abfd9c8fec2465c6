/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A whole session with a pump behind a CareLink stick or a Contour Next Link: wake it, ask who it is, read its pages, newest
 * first, switch its radio off. What could not be read is reported and the session goes on; what was read is kept however it ends.
 */

#include "pump-link.h"
#include "pump.h"

enum {
        PULL_REFUSAL_MAX = 512,
        PULL_STOP_MS = 700, /* for switching the radio off when the patient wants to stop: it takes 320 to 640, four or six transfers */

        PULL_E_REFUSED = 1, /* nothing could be read; the text says why and what to do */
};

/* What is known of a pump is told apart by the first byte of its hash. */
typedef enum PullKnown {
        PULL_PAGE, /* of history or glucose */
        PULL_READING, /* and the PumpReading */
} PullKnown;

/** pull_hash() - of what a pump has said, and of what these decoders make of it */
void pull_hash(uint8_t ret[static FRAME_USB_HASH_SIZE], unsigned known, const uint8_t *bytes, size_t n);

/**
 * pull_run() - the session
 * @request:     known: what the pump was known to have; a page of these ends the reading
 * @sink:        as of pump_new(); progress counts pages
 * @ret:         its known are the history pages of this session, then those of the request
 * @ret_refusal: set with PULL_E_REFUSED only; no record has been given out then
 *
 * Takes about 2.7 s a page and 17 s for a pump that sleeps. Return: 0; PULL_E_REFUSED; -ENOMEM; what the sink returned.
 */
must_check int pull_run(const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink, FrameUsbPump *ret,
                        FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]);
/** pull_run_meter() - the same through a Contour Next Link meter that is linked with the pump; how far proven: contour-next-link.h */
must_check int pull_run_meter(const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink, FrameUsbPump *ret,
                              FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]);
