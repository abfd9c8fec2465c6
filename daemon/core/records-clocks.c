/* SPDX-License-Identifier: Apache-2.0 */

#include "records-private.h"

#include "daemon/common/civil.h"

enum {
        ROWS_MAX = 4096, /* what all imports said of clocks that were set: about 4 ms */
};

/*
 * A clock that was set is a record like any other. All of them together say which offset a record of before had and which
 * hours were shown twice, whichever export has the one and which the other: so they are held in memory, and read again when
 * an import, an undo or forgetting may have changed them. The index is theirs alone.
 */

/* Only the payload of a device event that is a clock change begins with these: field 2, token 21. */
static const char clock_rows[] = "substr(payload, 1, 2) = x'0215'";

static_assert(FIELD_TYPE == 0x02 && TOKEN_CLOCK_CHANGE == 0x15, "the index in records.c too");

/* YYYY-MM-DDTHH:MM:SS, as the importer writes it */
static bool parse_moment(const Field *field, int64_t *ret_ms) {
        int32_t day, second = 0;

        if (field->n_text != 19 || field->text[10] != 'T' || field->text[13] != ':' || field->text[16] != ':' ||
            !civil_parse_date(&day, field->text, CIVIL_DATE_SIZE - 1))
                return false;
        for (size_t at = 11; at < 19; at += 3) {
                const char *digits = field->text + at;

                if (digits[0] < '0' || digits[0] > '5' || digits[1] < '0' || digits[1] > '9')
                        return false;
                second = second * 60 + (digits[0] - '0') * 10 + (digits[1] - '0');
        }
        *ret_ms = (day * INT64_C(86400) + second) * 1000;
        return true;
}

static bool new_time(DbStatement *statement, int64_t *ret_ms) {
        size_t n_payload = 0, at = 0;
        const uint8_t *payload = db_column_blob(statement, 3, &n_payload);
        Field field;

        while (record_field_next(payload, n_payload, &at, &field))
                if (field.id == FIELD_NEW_TIME)
                        return parse_moment(&field, ret_ms);
        return false;
}

static int load(Records *records) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        uint8_t identity[RECORD_IDENTITY_SIZE] = { 0 }, next[RECORD_IDENTITY_SIZE];
        int64_t old_ms = INT64_MIN, new_ms = 0, ms;
        char sql[256];
        int r;

        (void) snprintf(sql, sizeof(sql), "SELECT local_ms, identity, import, payload FROM records WHERE %s AND +kind = %u ORDER BY local_ms, identity LIMIT %u",
                        clock_rows, (unsigned) RECORD_DEVICE_EVENT, (unsigned) ROWS_MAX);
        r = db_prepare(records->db, &statement, sql);
        if (r)
                return r;

        records->clocks.n = 0;
        for (;;) {
                bool row = false, is_next;

                r = db_step(statement, &row);
                if (r)
                        return r;
                if (row && !records_is_done(records, (uint32_t) db_column_int(statement, 2)))
                        continue;
                if (row && !db_column_copy(statement, 1, next, sizeof(next)))
                        return RECORDS_E_KEY;
                is_next = !row || db_column_int(statement, 0) != old_ms || memcmp(next, identity, sizeof(next)) != 0;
                if (is_next && old_ms != INT64_MIN)
                        clocks_add(&records->clocks, identity, old_ms, new_ms);
                if (!row)
                        break;
                if (!new_time(statement, &ms))
                        continue;
                /* of several the latest: a spreadsheet program takes the seconds away */
                new_ms = is_next || ms > new_ms ? ms : new_ms;
                old_ms = db_column_int(statement, 0);
                memcpy(identity, next, sizeof(identity));
        }
        clocks_settle(&records->clocks, records->zones);
        records->has_clocks = true;
        return 0;
}

int records_clocks(Records *records, const Clocks **ret) {
        int r = records->has_clocks ? 0 : load(records);

        *ret = &records->clocks;
        return r;
}

int records_clocks_by(Records *records, Zones *zones, Clocks *ret) {
        const Clocks *clocks;
        int r;

        r = records_clocks(records, &clocks);
        if (r)
                return records_fold(r);
        *ret = *clocks;
        clocks_settle(ret, zones);
        return 0;
}
