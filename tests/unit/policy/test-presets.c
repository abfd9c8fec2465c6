/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "policy/presets.h"

enum { CLINICAL = RECORD_ALL_KINDS & ~RECORD_KIND_BIT(RECORD_NOTE) };

static const PolicyPreset *find(const char *name) {
        const PolicyPreset *preset = policy_preset_find(name);

        assert_non_null(preset);
        return preset;
}

static void every_preset_makes_valid_terms(void **state) {
        unsigned n = 0;

        (void) state;

        for (const PolicyPreset *preset = policy_presets; preset->name; preset++, n++) {
                PolicyTerms terms = {
                        .scope = preset->scope,
                        .not_before_s = 1700000000,
                        .expires_s = 1700000000 + preset->for_s,
                        .uses_max = preset->uses_max,
                };

                assert_true(policy_terms_valid(&terms));
                assert_ptr_equal(policy_preset_find(preset->name), preset);
                assert_int_not_equal(strlen(preset->description), 0);
                assert_int_not_equal(preset->retention_days, 0);
                assert_false(preset->scope.free_text);
        }
        assert_int_equal(n, 4);
}

static void a_name_that_is_no_preset_is_not_found(void **state) {
        (void) state;

        assert_null(policy_preset_find(""));
        assert_null(policy_preset_find("endocrinologist "));
        assert_null(policy_preset_find("Visit"));
}

static void the_endocrinologist_gets_90_days_of_device_data_for_30_days(void **state) {
        const PolicyPreset *preset = find("endocrinologist");

        (void) state;

        assert_int_equal(preset->scope.kinds, CLINICAL);
        assert_int_equal(preset->scope.detail, POLICY_DATA);
        assert_int_equal(preset->scope.identity, POLICY_PSEUDONYM);
        assert_int_equal(preset->scope.window.type, POLICY_WINDOW_LAST);
        assert_int_equal(preset->scope.window.last_days, 90);
        assert_true(preset->scope.window.newer);
        assert_int_equal(preset->for_s, 30 * 86400);
        assert_int_equal(preset->uses_max, 0);
        assert_string_equal(preset->purpose, "TREAT");
}

static void a_visit_ends_within_a_day_and_gets_nothing_newer(void **state) {
        const PolicyPreset *preset = find("visit");

        (void) state;

        assert_int_equal(preset->scope.detail, POLICY_DATA);
        assert_int_equal(preset->scope.window.last_days, 14);
        assert_false(preset->scope.window.newer);
        assert_int_equal(preset->for_s, 86400);
        assert_int_equal(preset->uses_max, 3);
}

static void a_caregiver_and_a_study_get_a_summary_without_serials(void **state) {
        static const char *const names[] = { "caregiver", "research-summary" };

        (void) state;

        for (size_t i = 0; i < 2; i++) {
                const PolicyPreset *preset = find(names[i]);

                assert_int_equal(preset->scope.kinds, RECORD_KIND_BIT(RECORD_CGM));
                assert_int_equal(preset->scope.detail, POLICY_SUMMARY);
                assert_int_equal(preset->scope.identity, POLICY_NONE);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_preset_makes_valid_terms),
                cmocka_unit_test(a_name_that_is_no_preset_is_not_found),
                cmocka_unit_test(the_endocrinologist_gets_90_days_of_device_data_for_30_days),
                cmocka_unit_test(a_visit_ends_within_a_day_and_gets_nothing_newer),
                cmocka_unit_test(a_caregiver_and_a_study_get_a_summary_without_serials),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
