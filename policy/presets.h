/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Ready-made grants. They are data: policy/presets, checked and turned into this table by validate.py there. */

#include "policy.h"

typedef struct PolicyPreset {
        const char *name;        /* lower-case letters and hyphens */
        const char *description; /* plain words, one paragraph, shown to the patient */
        PolicyScope scope;       /* its window is POLICY_WINDOW_LAST */
        int32_t for_s;           /* how long the grant is valid, seconds */
        uint32_t uses_max;       /* access tokens, 0: not limited */
        const char *purpose;     /* code of HL7 v3 ActReason, such as "TREAT" */
        uint32_t retention_days; /* the recipient is asked to delete after so many days; onward sharing is never granted */
} PolicyPreset;

extern const PolicyPreset policy_presets[]; /* a preset without a name ends it */

/** policy_preset_find() - NULL when there is none of this name */
const PolicyPreset *policy_preset_find(const char *name);
