/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The 16 bytes that make a record the same record in every export: daemon/FORMAT.md, "identity". What is in the
 * discriminator's text, every part followed by LF:
 *
 *   cgm, fingerstick, calibration, wizard   nothing
 *   bolus         "delivered", "selected" or "cancelled", the type's words, the bolus number
 *   bolus, carbs  "marker" or "wizard" when made from such a row
 *   basal         "rate", "temp", "suspend" or "resume"; legacy temp basal: its Raw-Type
 *   alarm         section, "raised" or "cleared", text; legacy: Raw-Type and code
 *   device_event  section, type, text, and for some the column; legacy: Raw-Type and values without ids
 *   settings      name; legacy: Raw-Type, and Raw-ID where no ACTION_REQUESTOR says that it is one change of the pump's
 *   note          section, "marker", text; legacy: Raw-Type
 *
 * The section is "pump", "sensor" or "meter", whatever the language that the file has it in. Legacy boluses have the type's token alone: that form has no number.
 */

#include "daemon/common/util.h"
#include "policy/record.h"

enum {
        IDENTITY_DEVICE_SIZE = 8,
        IDENTITY_DISCRIMINATOR_SIZE = 4,
};

/** identity_device() - of model and serial; the signs of a trademark, which some exports leave out, are no part of the name. Of @section when there is no serial */
void identity_device(uint8_t ret[static IDENTITY_DEVICE_SIZE], const char *model, const char *serial, const char *section);
/** identity_discriminator() - of a text whose parts are joined by LF; zeros for no text */
void identity_discriminator(uint8_t ret[static IDENTITY_DISCRIMINATOR_SIZE], const char *text, size_t n_text);
void identity_put(uint8_t ret[static RECORD_IDENTITY_SIZE], const uint8_t device[static IDENTITY_DEVICE_SIZE], uint16_t epoch,
                  uint16_t ordinal, const uint8_t discriminator[static IDENTITY_DISCRIMINATOR_SIZE]);
