/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A complete export of another wallet that comes in by an import: what that was, with its imports and its time zones. */

#include "daemon/common/frame.h"
#include "manager.h"

typedef struct Restorer Restorer;

enum {
        RESTORER_E_ZONES = 32, /* behind RECORDS_E_*: a zone is not known on this machine */
};

/**
 * restorer_new() - takes over the import that was just begun
 * @payload: of FRAME_RESTORE
 *
 * Return: 0; FRAME_E_FORMAT as -EBADMSG; RESTORER_E_ZONES; RECORDS_E_NOT_EMPTY and the others of records_restore_begin()
 */
must_check int restorer_new(Restorer **ret, Wallet *wallet, const uint8_t *payload, size_t n_payload);
Restorer *restorer_free(Restorer *restorer);
DEFINE_CLEANUP(Restorer *, restorer_free)

/** restorer_take() - a frame of it but for the first and the last; not to be called after it failed. Return: 0; RECORDS_E_*; -EBADMSG: none that belongs here; -ENOMEM */
must_check int restorer_take(Restorer *restorer, uint32_t type, const uint8_t *payload, size_t n_payload);

/**
 * restorer_finish() - all of it is in, durably: zones, then records. As restorer_take(), and RECORDS_E_FULL for either
 * @ret_report: what the import is answered with; new reference
 */
must_check int restorer_finish(Restorer *restorer, const FrameImportEnd *end, const char *file_name, json_t **ret_report);
