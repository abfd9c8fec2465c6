/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include "policy/policy.h"

enum { DAY = 19000 };

static PolicySummary empty(void) {
        PolicySummary summary;

        policy_summary_init(&summary, &(PolicyEffective) {
                .from_local_ms = (DAY - 9) * POLICY_DAY_MS,
                .to_local_ms = (DAY + 1) * POLICY_DAY_MS,
        });
        return summary;
}

static void add(PolicySummary *summary, int32_t day, int64_t ms_of_day, RecordUnit unit, int32_t value_milli, unsigned flags) {
        policy_summary_add(summary, &(Record) {
                .kind = RECORD_CGM,
                .unit = (uint8_t) unit,
                .flags = (uint8_t) flags,
                .value_milli = value_milli,
                .local_ms = day * POLICY_DAY_MS + ms_of_day,
        });
}

static void mgdl(PolicySummary *summary, int32_t value_milli) {
        add(summary, DAY, 0, RECORD_UNIT_MG_DL, value_milli, RECORD_HAS_VALUE);
}

static void mmol(PolicySummary *summary, int32_t value_milli) {
        add(summary, DAY, 0, RECORD_UNIT_MMOL_L, value_milli, RECORD_HAS_VALUE);
}

static void a_band_ends_where_the_consensus_says_in_mgdl(void **state) {
        static const struct {
                int32_t last; /* of this band, thousandths */
                PolicyBand band;
        } rows[] = {
                { 53999, POLICY_BAND_VERY_LOW }, { 69999, POLICY_BAND_LOW }, { 180000, POLICY_BAND_TARGET }, { 250000, POLICY_BAND_HIGH },
        };

        (void) state;

        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(policy_band(rows[i].last, RECORD_UNIT_MG_DL), rows[i].band);
                assert_int_equal(policy_band(rows[i].last + 1, RECORD_UNIT_MG_DL), rows[i].band + 1);
        }
        assert_int_equal(policy_band(69500, RECORD_UNIT_MG_DL), POLICY_BAND_LOW);
        assert_int_equal(policy_band(180400, RECORD_UNIT_MG_DL), POLICY_BAND_HIGH);
        assert_int_equal(policy_band(INT32_MIN, RECORD_UNIT_MG_DL), POLICY_BAND_VERY_LOW);
        assert_int_equal(policy_band(INT32_MAX, RECORD_UNIT_MG_DL), POLICY_BAND_VERY_HIGH);
}

static void a_band_ends_where_the_consensus_says_in_mmol(void **state) {
        static const struct {
                int32_t last;
                PolicyBand band;
        } rows[] = {
                { 2999, POLICY_BAND_VERY_LOW }, { 3899, POLICY_BAND_LOW }, { 10000, POLICY_BAND_TARGET }, { 13900, POLICY_BAND_HIGH },
        };

        (void) state;

        for (size_t i = 0; i < 4; i++) {
                assert_int_equal(policy_band(rows[i].last, RECORD_UNIT_MMOL_L), rows[i].band);
                assert_int_equal(policy_band(rows[i].last + 1, RECORD_UNIT_MMOL_L), rows[i].band + 1);
        }
        assert_int_equal(policy_band(3850, RECORD_UNIT_MMOL_L), POLICY_BAND_LOW);
        assert_int_equal(policy_band(INT32_MIN, RECORD_UNIT_MMOL_L), POLICY_BAND_VERY_LOW);
        assert_int_equal(policy_band(INT32_MAX, RECORD_UNIT_MMOL_L), POLICY_BAND_VERY_HIGH);
}

static void a_summary_begins_empty(void **state) {
        PolicySummary summary = empty();

        (void) state;

        assert_int_equal(summary.from_day, DAY - 9);
        assert_int_equal(summary.to_day, DAY);
        assert_int_equal(summary.n_readings, 0);
        assert_int_equal(summary.n_days, 0);
        assert_int_equal(summary.n_codes, 0);
        assert_false(summary.is_mmol);
        for (unsigned band = 0; band < N_POLICY_BANDS; band++)
                assert_int_equal(summary.band[band], 0);
        assert_int_equal(policy_summary_mean_milli(&summary), 0);
        assert_false(policy_summary_permitted(&summary));
}

static void a_summary_counts_every_reading_in_one_band(void **state) {
        static const int32_t values[] = { 40000, 54000, 60000, 70000, 100000, 180000, 181000, 250000, 251000, 400000, 22200000 };
        static const uint64_t bands[N_POLICY_BANDS] = { 1, 2, 3, 2, 3 };
        PolicySummary summary = empty();

        (void) state;

        for (size_t i = 0; i < 11; i++)
                mgdl(&summary, values[i]);
        assert_int_equal(summary.n_readings, 11);
        assert_int_equal(summary.n_days, 1);
        assert_int_equal(summary.sum_milli_mgdl, 23786000);
        for (unsigned band = 0; band < N_POLICY_BANDS; band++)
                assert_int_equal(summary.band[band], bands[band]);
}

static void lo_and_hi_are_in_their_outer_band_and_not_in_the_mean(void **state) {
        PolicySummary summary = empty();

        (void) state;

        add(&summary, DAY, 0, RECORD_UNIT_MG_DL, 0, RECORD_CODE_LOW);
        add(&summary, DAY, 0, RECORD_UNIT_NONE, 0, RECORD_CODE_HIGH);
        add(&summary, DAY, 0, RECORD_UNIT_MMOL_L, 0, RECORD_CODE_HIGH);
        assert_int_equal(summary.n_codes, 3);
        assert_int_equal(summary.n_readings, 0);
        assert_int_equal(summary.n_mmol, 0);
        assert_int_equal(summary.n_days, 1);
        assert_int_equal(summary.band[POLICY_BAND_VERY_LOW], 1);
        assert_int_equal(summary.band[POLICY_BAND_VERY_HIGH], 2);
        assert_int_equal(policy_summary_mean_milli(&summary), 0);
        mgdl(&summary, 100000);
        assert_int_equal(policy_summary_mean_milli(&summary), 100000);
}

static void what_is_no_reading_is_not_counted(void **state) {
        PolicySummary summary = empty();

        (void) state;

        mgdl(&summary, 0);
        mgdl(&summary, -1);
        add(&summary, DAY, 0, RECORD_UNIT_MG_DL, 0, 0);
        policy_summary_add(&summary, &(Record) {
                .kind = RECORD_FINGERSTICK, .unit = RECORD_UNIT_MG_DL, .flags = RECORD_HAS_VALUE, .value_milli = 100000,
                .local_ms = DAY * POLICY_DAY_MS,
        });
        assert_int_equal(summary.n_readings, 0);
        assert_int_equal(summary.n_codes, 0);
        assert_int_equal(summary.n_days, 0);
        assert_int_equal(summary.sum_milli_mgdl, 0);
        mgdl(&summary, 1);
        assert_int_equal(summary.n_readings, 1);
        assert_int_equal(summary.n_days, 1);
}

static void a_day_counts_once_and_ends_at_midnight(void **state) {
        PolicySummary summary = empty();

        (void) state;

        add(&summary, DAY - 2, 0, RECORD_UNIT_MG_DL, 100000, RECORD_HAS_VALUE);
        add(&summary, DAY - 2, POLICY_DAY_MS - 1, RECORD_UNIT_MG_DL, 100000, RECORD_HAS_VALUE);
        assert_int_equal(summary.n_days, 1);
        add(&summary, DAY - 1, 0, RECORD_UNIT_MG_DL, 100000, RECORD_HAS_VALUE);
        assert_int_equal(summary.n_days, 2);
        add(&summary, DAY, 0, RECORD_UNIT_NONE, 0, RECORD_CODE_LOW); /* a day of codes is a day with readings */
        assert_int_equal(summary.n_days, 3);
}

static void mmol_is_converted_and_rounded_half_up(void **state) {
        PolicySummary summary = empty();

        (void) state;

        mmol(&summary, 10000);
        assert_int_equal(summary.sum_milli_mgdl, 180160);
        summary = empty();
        mmol(&summary, 1); /* 18.016 */
        assert_int_equal(summary.sum_milli_mgdl, 18);
        summary = empty();
        mmol(&summary, 31); /* 558.496 */
        assert_int_equal(summary.sum_milli_mgdl, 558);
        summary = empty();
        mmol(&summary, 32); /* 576.512 */
        assert_int_equal(summary.sum_milli_mgdl, 577);
        summary = empty();
        mmol(&summary, 125 * 3); /* 6756.000 */
        assert_int_equal(summary.sum_milli_mgdl, 6756);
        summary = empty();
        mmol(&summary, 125); /* 2252.000 */
        mmol(&summary, 125 / 2); /* 1116.992 */
        assert_int_equal(summary.sum_milli_mgdl, 2252 + 1117);
        summary = empty();
        mmol(&summary, INT32_MAX);
        assert_int_equal(summary.sum_milli_mgdl, INT64_C(38689065384));
}

static void the_mean_is_in_the_unit_of_most_readings(void **state) {
        PolicySummary summary = empty();

        (void) state;

        mgdl(&summary, 90080);
        assert_false(summary.is_mmol);
        assert_int_equal(policy_summary_mean_milli(&summary), 90080);
        mmol(&summary, 5000); /* as many: mg/dL */
        assert_false(summary.is_mmol);
        assert_int_equal(policy_summary_mean_milli(&summary), 90080);
        mmol(&summary, 5000);
        assert_true(summary.is_mmol);
        assert_int_equal(policy_summary_mean_milli(&summary), 5000);
        mgdl(&summary, 90080);
        mgdl(&summary, 90080);
        assert_false(summary.is_mmol);
        /* each in the bands of its own unit: 70 mg/dL is not low, 3.885 mmol/L is */
        summary = empty();
        mgdl(&summary, 70000);
        mmol(&summary, 3885);
        assert_int_equal(summary.band[POLICY_BAND_TARGET], 1);
        assert_int_equal(summary.band[POLICY_BAND_LOW], 1);
}

static void the_mean_is_rounded_half_up(void **state) {
        PolicySummary summary = empty();

        (void) state;

        mgdl(&summary, 100000);
        mgdl(&summary, 100001);
        assert_int_equal(policy_summary_mean_milli(&summary), 100001);
        mgdl(&summary, 100000);
        assert_int_equal(policy_summary_mean_milli(&summary), 100000);
        mgdl(&summary, 100003);
        assert_int_equal(policy_summary_mean_milli(&summary), 100001);

        /* sums that give 4.9999, 5.0005 and 5.00049 mmol/L */
        summary = (PolicySummary) { .is_mmol = true, .n_readings = 1000, .n_mmol = 1000 };
        summary.sum_milli_mgdl = 90078198;
        assert_int_equal(policy_summary_mean_milli(&summary), 5000);
        summary.sum_milli_mgdl = 90089008;
        assert_int_equal(policy_summary_mean_milli(&summary), 5001);
        summary.sum_milli_mgdl = 90089007;
        assert_int_equal(policy_summary_mean_milli(&summary), 5000);
}

static void the_largest_sum_does_not_overflow(void **state) {
        PolicySummary summary = { .n_readings = 100000000 - 1, .n_mmol = 100000000 - 1, .last_day = DAY };

        (void) state;

        summary.sum_milli_mgdl = summary.n_readings * INT64_C(38689065384);
        mmol(&summary, INT32_MAX);
        assert_int_equal(summary.n_readings, 100000000);
        assert_true(summary.is_mmol);
        assert_int_equal(policy_summary_mean_milli(&summary), INT32_MAX);
        summary.is_mmol = false;
        assert_int_equal(policy_summary_mean_milli(&summary), INT64_C(38689065384));
        /* there it ends */
        mmol(&summary, INT32_MAX);
        add(&summary, DAY, 0, RECORD_UNIT_NONE, 0, RECORD_CODE_LOW);
        assert_int_equal(summary.n_readings, 100000000);
        assert_int_equal(summary.n_codes, 0);
        summary = (PolicySummary) { .n_codes = 100000000 - 1 };
        add(&summary, DAY, 0, RECORD_UNIT_NONE, 0, RECORD_CODE_LOW);
        add(&summary, DAY, 0, RECORD_UNIT_NONE, 0, RECORD_CODE_LOW);
        mgdl(&summary, 100000);
        assert_int_equal(summary.n_codes, 100000000);
        assert_int_equal(summary.n_readings, 0);
}

static void a_summary_needs_3_days_and_200_readings(void **state) {
        (void) state;

        for (int n_days = 1; n_days <= 4; n_days++) {
                for (int n_readings = 198; n_readings <= 201; n_readings++) {
                        PolicySummary summary = empty();

                        for (int i = 0; i < n_readings; i++)
                                add(&summary, DAY - 5 + i * n_days / n_readings, 0, RECORD_UNIT_MG_DL, 100000, RECORD_HAS_VALUE);
                        assert_int_equal(summary.n_days, n_days);
                        assert_int_equal(policy_summary_permitted(&summary), n_days >= 3 && n_readings >= 200);
                        /* codes are no help */
                        add(&summary, DAY - 5 + n_days - 1, 1, RECORD_UNIT_NONE, 0, RECORD_CODE_HIGH);
                        assert_int_equal(policy_summary_permitted(&summary), n_days >= 3 && n_readings >= 200);
                }
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_band_ends_where_the_consensus_says_in_mgdl),
                cmocka_unit_test(a_band_ends_where_the_consensus_says_in_mmol),
                cmocka_unit_test(a_summary_begins_empty),
                cmocka_unit_test(a_summary_counts_every_reading_in_one_band),
                cmocka_unit_test(lo_and_hi_are_in_their_outer_band_and_not_in_the_mean),
                cmocka_unit_test(what_is_no_reading_is_not_counted),
                cmocka_unit_test(a_day_counts_once_and_ends_at_midnight),
                cmocka_unit_test(mmol_is_converted_and_rounded_half_up),
                cmocka_unit_test(the_mean_is_in_the_unit_of_most_readings),
                cmocka_unit_test(the_mean_is_rounded_half_up),
                cmocka_unit_test(the_largest_sum_does_not_overflow),
                cmocka_unit_test(a_summary_needs_3_days_and_200_readings),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
