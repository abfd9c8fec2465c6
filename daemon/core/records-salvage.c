/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

/*
 * What stands behind pages that can't be read. Where the next one that can be read begins is looked for by time: ever further, until a
 * record is found, and then back to within a second of what can't be read.
 */
enum {
        FIRST_STEP_MS = 1000,
        PRECISION_MS = 1000,
};
#define LAST_STEP_MS (INT64_C(1) << 44) /* 500 years */

/* Whether there is something to be read from @from_ms on. @ret_ms: its time; INT64_MAX: there is nothing more of the kind */
static bool is_readable(Records *records, uint8_t kind, int64_t from_ms, int64_t *ret_ms) {
        cleanup(db_resetp) DbStatement *statement = records->after;
        Place place = records_place_before(from_ms);
        bool row = false;

        records_seek_after(records, kind, &place);
        if (db_step(statement, &row) != 0)
                return false;
        *ret_ms = row ? db_column_int(statement, 0) : INT64_MAX;
        return true;
}

void records_step_over(Records *records, const RecordsQuery *query, RecordsCursor *cursor, RecordsGap *ret) {
        int64_t bad_ms = cursor->local_ms, step_ms = FIRST_STEP_MS, good_ms, found_ms = INT64_MAX;
        Place place;

        *ret = (RecordsGap) { .kind = cursor->kind, .from_local_ms = cursor->local_ms, .to_local_ms = INT64_MAX };
        for (good_ms = bad_ms + step_ms; !is_readable(records, cursor->kind, good_ms, &found_ms); good_ms += step_ms) {
                bad_ms = good_ms;
                step_ms *= 2;
                if (step_ms > LAST_STEP_MS) {
                        records_cursor_to_kind(cursor, query, (uint8_t) (cursor->kind + 1));
                        return;
                }
        }
        while (good_ms - bad_ms > PRECISION_MS) {
                int64_t between_ms = bad_ms + (good_ms - bad_ms) / 2, ms;

                if (is_readable(records, cursor->kind, between_ms, &ms)) {
                        good_ms = between_ms;
                        found_ms = ms;
                } else
                        bad_ms = between_ms;
        }
        ret->to_local_ms = found_ms;
        place = records_place_before(good_ms);
        cursor->local_ms = place.local_ms;
        memcpy(cursor->identity, place.identity, sizeof(cursor->identity));
}
