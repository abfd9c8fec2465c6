/* SPDX-License-Identifier: Apache-2.0 */

/* What leaves of one record. Deny is the default: a field leaves when a line here says so. */

#include "policy.h"

#include <string.h>

static bool field_leaves(const Field *field, const PolicyDevice *device, const PolicyEffective *effective) {
        switch (field->info->class) {
        case FIELD_CLINICAL:
                break;
        case FIELD_FREE_TEXT:
                if (!effective->free_text)
                        return false;
                break;
        case FIELD_SERIAL:
        case FIELD_INTERNAL:
        default:
                return false;
        }

        /* a device's own words, and the patient's, may name the device's serial: then they stay */
        if (field->info->type != FIELD_TEXT || !device->serial || !*device->serial)
                return true;
        return !memmem(field->text, field->n_text, device->serial, strlen(device->serial));
}

bool policy_redact(const Record *record, const PolicyDevice *device, const PolicyEffective *effective, PolicyRedacted *ret) {
        size_t at = 0, begin = 0;
        Field field;

        if (!record_kind_name(record->kind) || !(effective->kinds & RECORD_KIND_BIT(record->kind)))
                return false;
        if (record->flags & RECORD_QUARANTINED)
                return false;
        if (record->local_ms < effective->from_local_ms || record->local_ms >= effective->to_local_ms)
                return false;
        if (record->utc_ms < effective->since_utc_ms)
                return false;
        if (record->n_payload > RECORD_PAYLOAD_MAX)
                return false;

        ret->payload.n = 0;
        ret->payload.overflow = false;
        for (; record_field_next(record->payload, record->n_payload, &at, &field); begin = at) {
                if (!field_leaves(&field, device, effective))
                        continue;
                memcpy(ret->payload.bytes + ret->payload.n, record->payload + begin, at - begin);
                ret->payload.n += at - begin;
        }

        ret->record = *record;
        memset(ret->record.identity, 0, sizeof(ret->record.identity));
        ret->record.source = 0;
        ret->record.import = 0;
        ret->record.payload = ret->payload.bytes;
        ret->record.n_payload = ret->payload.n;
        ret->model = device->model;
        ret->serial = effective->identity == POLICY_PSEUDONYM ? device->pseudonym : NULL;
        return true;
}
