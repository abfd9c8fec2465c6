/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"
#include "same.h"

/*
 * What several imports said of one record. Visible is what comes of them in the order of the imports, each of which counts
 * where it adds something: an undone one is left out, and all is as if it had never been.
 */

bool records_adds_nothing(const Record *now, const Record *more) {
        uint8_t pass = more->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS);

        /* an export that begins or ends inside a repeated hour knows less of it, one without other days knows less of an unset clock */
        if (pass && pass != (now->flags & (RECORD_FIRST_PASS | RECORD_SECOND_PASS)))
                return false;
        if (now->clock == RECORD_CLOCK_UNSET && more->clock != RECORD_CLOCK_UNSET)
                return false;
        /* what has neither value nor code takes no value away: its export has lost it */
        if (now->flags & RECORD_HAS_VALUE && !(more->flags & (RECORD_HAS_VALUE | RECORD_CODE_LOW | RECORD_CODE_HIGH)))
                return true;
        return same_adds_nothing(now, more);
}

bool records_are_equal(const Record *a, const Record *b) {
        return a->unit == b->unit && a->decimals == b->decimals && a->flags == b->flags && a->value_milli == b->value_milli &&
               a->source == b->source && (a->clock == RECORD_CLOCK_UNSET) == (b->clock == RECORD_CLOCK_UNSET) && a->n_payload == b->n_payload &&
               (a->n_payload == 0 || memcmp(a->payload, b->payload, a->n_payload) == 0);
}

void records_versions_clear(Versions *versions) {
        versions->n = 0;
}

void records_versions_done(Versions *versions) {
        if (versions->all) {
                explicit_bzero(versions->all, versions->n_allocated * sizeof(*versions->all));
                free(versions->all);
        }
        *versions = (Versions) { 0 };
}

int records_versions_add(Versions *versions, const Record *row) {
        Version *version;

        if (row->n_payload > RECORD_PAYLOAD_MAX)
                return RECORDS_E_KEY;
        if (versions->n == versions->n_allocated) {
                size_t n = versions->n_allocated ? versions->n_allocated * 2 : 4;
                Version *grown = calloc(n, sizeof(*grown));

                if (!grown)
                        return -ENOMEM;
                if (versions->n > 0)
                        memcpy(grown, versions->all, versions->n * sizeof(*grown));
                for (size_t i = 0; i < versions->n; i++)
                        grown[i].record.payload = grown[i].payload;
                free(versions->all);
                versions->all = grown;
                versions->n_allocated = n;
        }
        version = &versions->all[versions->n++];
        version->record = *row;
        if (row->n_payload > 0)
                memcpy(version->payload, row->payload, row->n_payload);
        version->record.payload = version->payload;
        return 0;
}

const Record *records_later(const Record *now, const Record *more) {
        return !now || (more && !records_adds_nothing(now, more)) ? more : now;
}

const Record *records_versions_visible(const Versions *versions) {
        const Record *now = NULL;

        for (size_t i = versions->n; i-- > 0;)
                now = records_later(now, &versions->all[i].record);
        return now;
}
