/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Writes what goes over the cable of a CareLink stick (daemon/FORMAT.md, "trace"), with other serial numbers: of the pump
 * in packets, frames and its own answer, of the stick, and of meters and remote controls in history pages that are whole.
 * Checksums are made right again, so that trace.h reads it as what it was. What came damaged or in part is zeros: a
 * number may be anywhere in it.
 */

#include "transport.h"

#define TRACER_SERIAL "000000" /* stands for the pump's */

typedef struct Tracer Tracer;

/**
 * tracer_new() - begin
 * @inner: borrowed until tracer_free(): the real one
 * @fd:    borrowed; a file that the patient wants it in
 *
 * Return: 0; -ENOMEM.
 */
must_check int tracer_new(Tracer **ret, const Transport *inner, int fd);
Tracer *tracer_free(Tracer *tracer);
DEFINE_CLEANUP(Tracer *, tracer_free)

/** tracer_transport() - as @inner, and noted */
Transport tracer_transport(Tracer *tracer);
/** tracer_finish() - write what is still held. Return: 0 when all of it is in the file; negative errno. */
must_check int tracer_finish(Tracer *tracer);
