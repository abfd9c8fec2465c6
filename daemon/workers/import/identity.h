/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The 16 bytes that make a record the same record in every export: daemon/FORMAT.md, "identity". */

#include "daemon/common/util.h"
#include "policy/record.h"

enum {
        IDENTITY_DEVICE_SIZE = 8,
        IDENTITY_DISCRIMINATOR_SIZE = 4,
};

/** identity_device() - of model and serial; of @section when there is no serial */
void identity_device(uint8_t ret[static IDENTITY_DEVICE_SIZE], const char *model, const char *serial, const char *section);
/** identity_discriminator() - of a text whose parts are joined by LF; zeros for no text */
void identity_discriminator(uint8_t ret[static IDENTITY_DISCRIMINATOR_SIZE], const char *text, size_t n_text);
void identity_put(uint8_t ret[static RECORD_IDENTITY_SIZE], const uint8_t device[static IDENTITY_DEVICE_SIZE], uint16_t epoch,
                  uint16_t ordinal, const uint8_t discriminator[static IDENTITY_DISCRIMINATOR_SIZE]);
