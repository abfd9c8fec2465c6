/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"
#include "same.h"

/*
 * A legacy export without its preamble has the names of its devices and no serial numbers, so their identities are not those
 * of an export with it. The number that CareLink gave each row is the same in both: by that the one that comes later finds
 * the records of the other.
 */

static bool is_same_but_for_serial(const RecordsSource *a, const RecordsSource *b) {
        return a->model[0] && strcmp(a->model, b->model) == 0 && !a->serial[0] != !b->serial[0];
}

/* Raw-ID, of "Raw-ID/Raw-Upload ID/Raw-Seq Num"; false when there is none */
static bool raw_id(const Record *record, Field *ret) {
        size_t at = 0;
        const char *end;

        while (record_field_next(record->payload, record->n_payload, &at, ret)) {
                if (ret->id != FIELD_RAW_KEY)
                        continue;
                end = ret->n_text > 0 ? memchr(ret->text, '/', ret->n_text) : NULL;
                ret->n_text = end ? (size_t) (end - ret->text) : 0;
                return ret->n_text > 0;
        }
        return false;
}

/* What a row made besides its own record has no number: there the content tells. */
static bool is_same_row(const Record *a, const Record *b) {
        Field id, other;
        bool has_id = raw_id(a, &id);

        if (has_id != raw_id(b, &other))
                return false;
        return has_id ? id.n_text == other.n_text && memcmp(id.text, other.text, id.n_text) == 0 : same_adds_nothing(a, b) || same_adds_nothing(b, a);
}

/* The record that another device's name has for the same row gives its identity. */
static int take_identity(Records *records, Record *record, const uint8_t *device_key, bool *ret_changed) {
        cleanup(db_resetp) DbStatement *statement = records->from;
        uint8_t begin[RECORD_IDENTITY_SIZE] = { 0 };

        memcpy(begin, device_key, IDENTITY_EPOCH_AT);
        db_bind_int(statement, 1, record->kind);
        db_bind_int(statement, 2, record->local_ms);
        db_bind_blob(statement, 3, begin, sizeof(begin));
        for (;;) {
                bool row = false;
                Record there;
                int r;

                r = db_step(statement, &row);
                if (!r && row)
                        r = records_read_row(records, statement, record->kind, &there);
                if (r || !row || there.local_ms != record->local_ms || memcmp(there.identity, begin, IDENTITY_EPOCH_AT) != 0)
                        return r;
                if (!records_is_done(records, there.import) || !is_same_row(record, &there) ||
                    memcmp(there.identity + IDENTITY_DISCRIMINATOR_AT, record->identity + IDENTITY_DISCRIMINATOR_AT, sizeof(begin) - IDENTITY_DISCRIMINATOR_AT) != 0)
                        continue;
                memcpy(record->identity, there.identity, sizeof(record->identity));
                *ret_changed = true;
                return 0;
        }
}

int records_find_under_other_name(Records *records, Record *batch, size_t n_batch, bool *ret_changed) {
        *ret_changed = false;
        for (size_t i = 0; i < n_batch; i++) {
                const RecordsSource *source = records_source(records, batch[i].source);
                bool is_found = false;

                for (size_t k = 0; source && !is_found && k < records->n_sources; k++) {
                        const RecordsSource *other = records->sources[k];
                        int r;

                        if (!is_same_but_for_serial(source, other))
                                continue;
                        r = take_identity(records, &batch[i], other->device_key, &is_found);
                        if (r)
                                return r;
                }
                *ret_changed |= is_found;
        }
        return 0;
}
