/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/strength.h"

static Strength judged(const char *text, const char **ret_advice) {
        cleanup(secret_freep) Secret *secret = NULL;
        Strength strength;

        assert_int_equal(secret_new(&secret, strlen(text) + 7), 0);
        memset(secret_data(secret), 'X', secret_size(secret)); /* what is behind the passphrase is not part of it */
        memcpy(secret_data(secret), text, strlen(text));
        assert_int_equal(strength_of(secret, strlen(text), "gertrude", &strength, ret_advice), 0);
        return strength;
}

static void what_is_guessed_early_is_not_enough_and_it_is_said_why(void **state) {
        static const struct {
                const char *text, *advice;
        } weak[] = {
                {"password", "common word"}, {"x", ""}, {"qwertyuiop", ""}, {"19840314", "Dates"}, {"gertrude", "login name"}, {"carewallet", "login name"},
                {"aaaaaaaaaaaa", "repeated"}, {"abcdefgh", "Sequences"}, {"correcthorse", "common word"},
        };
        const char *advice;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(weak); i++) {
                assert_true(judged(weak[i].text, &advice) < STRENGTH_NEEDED);
                assert_non_null(strstr(advice, weak[i].advice));
        }
}

static void words_that_do_not_belong_together_are_enough_without_a_digit(void **state) {
        const char *advice;

        (void) state;
        assert_int_equal(judged("correct horse battery staple", &advice), STRENGTH_STRONG);
        assert_string_equal(advice, "");
        assert_true(judged("kaffee tasse lampe", &advice) >= STRENGTH_NEEDED);
}

static void one_of_the_greatest_length_is_judged_too(void **state) {
        static char longest[4097];
        const char *advice;

        (void) state;
        memset(longest, 'a', 4096);
        (void) judged(longest, &advice);
        for (int i = 0; i < 4096; i++)
                longest[i] = (char) (33 + (i * 7919) % 94);
        assert_int_equal(judged(longest, &advice), STRENGTH_STRONG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_is_guessed_early_is_not_enough_and_it_is_said_why),
                cmocka_unit_test(words_that_do_not_belong_together_are_enough_without_a_digit),
                cmocka_unit_test(one_of_the_greatest_length_is_judged_too),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
