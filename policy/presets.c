/* SPDX-License-Identifier: Apache-2.0 */

#include "presets.h"

#include <string.h>

const PolicyPreset *policy_preset_find(const char *name) {
        for (const PolicyPreset *preset = policy_presets; preset->name; preset++) {
                if (strcmp(preset->name, name) == 0)
                        return preset;
        }

        return NULL;
}
