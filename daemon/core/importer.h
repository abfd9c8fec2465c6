/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* An import under way: one at a time, from a file (importer.c) or from a device (puller.c). */

#include "manager.h"
#include "worker.h"

typedef struct ImporterConfig {
        const char *name; /* borrowed: what the patient knows it by */
        const int *fds;   /* borrowed: the file; or the device's node and, perhaps, a file for a trace */
        size_t n_fds;
        const char *serial; /* of the pump that is to be read; NULL for a file */
        bool is_quiet; /* the answer is only that it is done: who asked may not read */
        int (*put_request)(FrameBuffer *out, const void *request);
        const void *request; /* borrowed; none of these is used after importer_start() */
} ImporterConfig;

/** importer_start() - takes the call over, unless it returns < 0: -ENOMEM */
must_check int importer_start(Manager *manager, Call *call, const ImporterConfig *config);
bool importer_is_device(const Importer *importer);
/** importer_stop() - of a device: what was read so far is stored, and the call answered, within a second */
void importer_stop(Importer *importer);

/** importer_pause() - its worker is not listened to for as long. @importer: NULL: none runs */
void importer_pause(Importer *importer, bool pause);

/* What puller.c adds where a device was read. */

/** puller_report() - what is known of a pump, for the report; new reference */
json_t *puller_report(const FrameUsbPump *pump);
/** puller_keep() - what need not be read again, in the running transaction of consent.db. Return: as consent_setting_put(). */
must_check int puller_keep(Wallet *wallet, const FrameUsbPump *pump);
/** puller_forget() - of all pumps, in the running transaction: their pages are read once again */
must_check int puller_forget(Wallet *wallet);
