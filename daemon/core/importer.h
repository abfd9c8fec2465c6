/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The import that runs, as others see it. */

#include "manager.h"

/** importer_pause() - its worker is not listened to for as long. @importer: NULL: none runs */
void importer_pause(Importer *importer, bool pause);
