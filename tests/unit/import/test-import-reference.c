/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Real exports (CAREWALLET_SHARED). The expected values below were read off the files by eye, the UTC times worked out
 * from the zone's rules by hand: Brussels and Berlin +2 until 2025-10-26 and in May, else +1; New York -5 until
 * 2015-03-08, then -4.
 */

#include "collect.h"

#include <dirent.h>
#include <time.h>

static const char *reference(void) {
        static char path[512];
        const char *shared = getenv("CAREWALLET_SHARED");

        (void) snprintf(path, sizeof(path), "%s/data/carelink-csv", shared ? shared : DEFAULT_SHARED);
        if (access(path, R_OK) < 0) {
                print_message("skipped: no reference data (CAREWALLET_SHARED)\n");
                skip();
        }
        return path;
}

static int import_reference(Imported *i, const char *name) {
        char path[1024];
        int fd;

        (void) snprintf(path, sizeof(path), "%s/%s", reference(), name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        assert_true(fd >= 0);
        import_fd(i, fd, 0);
        close_fd(fd);
        return i->r;
}

typedef struct Expected {
        uint32_t line;
        RecordKind kind;
        int32_t milli; /* NONE: no value */
        RecordUnit unit;
        const char *utc;
        unsigned decimals;
} Expected;

#define NONE INT32_MIN

static void check(const char *name, const char *zone, const Expected *expected, size_t n) {
        Imported i;

        assert_int_equal(in_zone(zone), 0);
        assert_int_equal(import_reference(&i, name), 0);
        for (const Expected *e = expected; e != expected + n; e++) {
                const Record *record = &got_at(&i, e->line, false)->record;
                time_t utc = (time_t) (record->utc_ms / 1000);
                char text[32];
                struct tm tm;

                assert_int_equal(record->kind, e->kind);
                assert_int_equal(record->flags, e->milli == NONE ? 0 : RECORD_HAS_VALUE);
                if (e->milli != NONE) {
                        assert_int_equal(record->value_milli, e->milli);
                        assert_int_equal(record->unit, e->unit);
                        assert_int_equal(record->decimals, e->decimals);
                }
                assert_non_null(gmtime_r(&utc, &tm));
                (void) strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%SZ", &tm);
                assert_string_equal(text, e->utc);
                assert_int_equal(record->clock, RECORD_CLOCK_ZONE);
        }
        imported_done(&i);
}

static void a_week_of_a_780g_is_as_read_by_eye(void **state) {
        static const Expected expected[] = {
                { 8, RECORD_BASAL, 600, RECORD_UNIT_INSULIN_PER_HOUR, "2025-11-05T05:00:00Z", 1 },
                { 13, RECORD_CALIBRATION, 62000, RECORD_UNIT_MG_DL, "2025-11-04T21:03:00Z", 0 },
                { 16, RECORD_FINGERSTICK, 62000, RECORD_UNIT_MG_DL, "2025-11-04T21:02:42Z", 0 },
                { 19, RECORD_BOLUS, 1925, RECORD_UNIT_INSULIN, "2025-11-04T17:47:05Z", 3 },
                { 21, RECORD_WIZARD, 1925, RECORD_UNIT_INSULIN, "2025-11-04T17:45:47Z", 3 },
                { 23, RECORD_ALARM, NONE, 0, "2025-11-04T17:45:15Z", 0 },
                { 54, RECORD_DEVICE_EVENT, NONE, 0, "2025-11-04T06:42:00Z", 0 },
                { 71, RECORD_DEVICE_EVENT, 300, RECORD_UNIT_INSULIN, "2025-11-04T04:36:43Z", 1 },
                { 73, RECORD_DEVICE_EVENT, NONE, 0, "2025-11-04T04:31:17Z", 0 },
                { 75, RECORD_BASAL, 0, RECORD_UNIT_INSULIN_PER_HOUR, "2025-11-04T04:31:01Z", 0 },
                { 445, RECORD_DEVICE_EVENT, 4511, RECORD_UNIT_INSULIN, "2025-11-04T23:00:00Z", 3 },
                { 457, RECORD_CGM, 123000, RECORD_UNIT_MG_DL, "2025-11-05T05:30:07Z", 0 },
        };

        (void) state;
        check("masked/780G-mgdl-semicolon-7d-2025.csv", "Europe/Brussels", expected, N_ELEMENTS(expected));
}

static void twelve_weeks_of_a_780g_are_as_read_by_eye(void **state) {
        static const Expected expected[] = {
                { 78, RECORD_WIZARD, 100, RECORD_UNIT_INSULIN, "2025-10-21T05:26:52Z", 1 },
                { 261, RECORD_SETTINGS, NONE, 0, "2025-10-17T22:00:00Z", 0 },
                { 868, RECORD_DEVICE_EVENT, NONE, 0, "2025-10-09T07:46:46Z", 0 },
                { 2874, RECORD_BOLUS, 1900, RECORD_UNIT_INSULIN, "2025-08-26T21:55:01Z", 1 },
                { 4475, RECORD_CGM, 86000, RECORD_UNIT_MG_DL, "2025-10-22T15:11:05Z", 0 },
        };

        (void) state;
        check("masked/780G-mgdl-semicolon-82d-2025.csv", "Europe/Brussels", expected, N_ELEMENTS(expected));
}

static void a_guardian_connect_in_mmol_is_as_read_by_eye(void **state) {
        static const Expected expected[] = {
                { 8, RECORD_ALARM, NONE, 0, "2021-05-20T07:06:17Z", 0 },
                { 12, RECORD_FINGERSTICK, 11500, RECORD_UNIT_MMOL_L, "2021-05-19T17:39:32Z", 2 },
                { 27, RECORD_NOTE, NONE, 0, "2021-05-18T16:00:32Z", 0 },
                { 816, RECORD_CGM, 4940, RECORD_UNIT_MMOL_L, "2021-05-19T19:25:17Z", 2 },
                { 17000, RECORD_CGM, 6330, RECORD_UNIT_MMOL_L, "2021-02-26T00:36:40Z", 2 },
        };

        (void) state;
        check("masked/GuardianConnect-mmol-comma-systemid-2021.csv", "Europe/Berlin", expected, N_ELEMENTS(expected));
}

static void a_revel_723_is_as_read_by_eye(void **state) {
        static const Expected expected[] = {
                { 12, RECORD_DEVICE_EVENT, 40625, RECORD_UNIT_INSULIN, "2015-03-06T05:00:00Z", 3 },
                { 13, RECORD_BASAL, 750, RECORD_UNIT_INSULIN_PER_HOUR, "2015-03-06T05:00:00Z", 2 },
                { 16, RECORD_FINGERSTICK, 134000, RECORD_UNIT_MG_DL, "2015-03-06T13:09:54Z", 0 },
                { 98, RECORD_BOLUS, 5400, RECORD_UNIT_INSULIN, "2015-03-06T13:21:32Z", 1 },
                { 99, RECORD_WIZARD, 5700, RECORD_UNIT_INSULIN, "2015-03-06T13:21:32Z", 1 },
                { 108, RECORD_BOLUS, 2900, RECORD_UNIT_INSULIN, "2015-03-06T18:06:10Z", 1 },
                { 221, RECORD_BASAL, 50000, RECORD_UNIT_PERCENT, "2015-03-07T13:38:33Z", 0 },
                { 517, RECORD_DEVICE_EVENT, 18500, RECORD_UNIT_INSULIN, "2015-03-10T12:32:01Z", 1 },
        };

        (void) state;
        check("masked/legacy-revel723-2015.csv", "America/New_York", expected, N_ELEMENTS(expected));
}

static void every_other_file_is_imported_or_refused_with_a_reason(void **state) {
        static const char *const folders[] = { "masked", "modern", "legacy-v1", "fixtures" };
        unsigned n_imported = 0, n_refused = 0;

        (void) state;
        assert_int_equal(in_zone("Europe/Berlin"), 0);
        for (size_t n = 0; n != N_ELEMENTS(folders); n++) {
                char path[1024];
                struct dirent *entry;
                DIR *dir;

                (void) snprintf(path, sizeof(path), "%s/%s", reference(), folders[n]);
                dir = opendir(path);
                assert_non_null(dir);
                while ((entry = readdir(dir))) {
                        Imported i;

                        if (entry->d_name[0] == '.')
                                continue;
                        (void) snprintf(path, sizeof(path), "%s/%s", folders[n], entry->d_name);
                        if (import_reference(&i, path) == 0) {
                                assert_true(i.end.n_rows > 0);
                                /* rejected at most: boluses whose delivery is in a later export */
                                assert_true(i.n_rejected <= 1);
                                n_imported++;
                        } else {
                                assert_int_equal(i.r, IMPORT_E_REFUSED);
                                assert_true(strlen(i.refusal) > 60);
                                n_refused++;
                        }
                        imported_done(&i);
                }
                (void) closedir(dir);
        }
        print_message("%u imported, %u refused\n", n_imported, n_refused);
        assert_true(n_imported >= 20);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_week_of_a_780g_is_as_read_by_eye),
                cmocka_unit_test(twelve_weeks_of_a_780g_are_as_read_by_eye),
                cmocka_unit_test(a_guardian_connect_in_mmol_is_as_read_by_eye),
                cmocka_unit_test(a_revel_723_is_as_read_by_eye),
                cmocka_unit_test(every_other_file_is_imported_or_refused_with_a_reason),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
