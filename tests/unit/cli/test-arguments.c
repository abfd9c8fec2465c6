/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/arguments.h"

static const Option options[] = {
        {"out", "FILE", "", NULL},
        {"yes", NULL, "", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option common[] = {
        {"json", NULL, "", NULL},
        {"socket", "PATH", "", NULL},
        {NULL, NULL, NULL, NULL},
};

enum { OUT, YES };
enum { JSON, SOCKET };

#define PARSE(arguments, wrong, ...)                                                                                        \
        __extension__ ({                                                                                                    \
                static char *_argv[] = {__VA_ARGS__};                                                                       \
                arguments_parse(options, common, _argv, N_ELEMENTS(_argv), arguments, wrong);                               \
        })

static char word_a[] = "a", word_b[] = "b", out[] = "--out", out_b[] = "--out=b=c", yes[] = "--yes", yes_b[] = "--yes=b", json[] = "--json",
            socket_[] = "--socket", end[] = "--", h[] = "-h", help[] = "--help", nope[] = "--nope", prefix[] = "--ou", minus[] = "-",
            letter[] = "-o", empty[] = "", out_empty[] = "--out=";

static void options_and_operands_may_be_mixed(void **state) {
        Arguments arguments;
        char wrong[256];

        (void) state;

        assert_int_equal(PARSE(&arguments, wrong, word_a, out, word_b, json, minus, yes, empty), 0);
        assert_int_equal(arguments.n_operands, 3);
        assert_string_equal(arguments.operand[0], "a");
        assert_string_equal(arguments.operand[1], "-");
        assert_string_equal(arguments.operand[2], "");
        assert_string_equal(arguments.value[OUT], "b");
        assert_string_equal(arguments.value[YES], "");
        assert_string_equal(arguments.common[JSON], "");
        assert_null(arguments.common[SOCKET]);
}

static void the_last_of_equal_options_counts(void **state) {
        Arguments arguments;
        char wrong[256];

        (void) state;

        assert_int_equal(PARSE(&arguments, wrong, out, word_a, out_b), 0);
        assert_string_equal(arguments.value[OUT], "b=c");
        assert_int_equal(PARSE(&arguments, wrong, out_empty), 0);
        assert_string_equal(arguments.value[OUT], "");
}

static void nothing_after_two_hyphens_is_an_option(void **state) {
        Arguments arguments;
        char wrong[256];

        (void) state;

        assert_int_equal(PARSE(&arguments, wrong, word_a, end, yes, h, end), 0);
        assert_int_equal(arguments.n_operands, 4);
        assert_string_equal(arguments.operand[1], "--yes");
        assert_string_equal(arguments.operand[3], "--");
        assert_null(arguments.value[YES]);
}

static void what_is_wrong_is_named(void **state) {
        Arguments arguments;
        char wrong[256];

        (void) state;

        assert_int_equal(PARSE(&arguments, wrong, nope), ARGUMENTS_E_USAGE);
        assert_non_null(strstr(wrong, "--nope"));
        assert_int_equal(PARSE(&arguments, wrong, prefix, word_a), ARGUMENTS_E_USAGE);
        assert_int_equal(PARSE(&arguments, wrong, letter), ARGUMENTS_E_USAGE);
        assert_int_equal(PARSE(&arguments, wrong, yes_b), ARGUMENTS_E_USAGE);
        assert_int_equal(PARSE(&arguments, wrong, word_a, socket_), ARGUMENTS_E_USAGE);
        assert_non_null(strstr(wrong, "--socket PATH"));
}

static void help_may_stand_anywhere(void **state) {
        Arguments arguments;
        char wrong[256];

        (void) state;

        assert_int_equal(PARSE(&arguments, wrong, word_a, h), ARGUMENTS_E_HELP);
        assert_int_equal(PARSE(&arguments, wrong, help, nope), ARGUMENTS_E_HELP);
        assert_int_equal(PARSE(&arguments, wrong, out, h), 0); /* it is the argument */
}

static void what_stands_before_the_verb_is_counted(void **state) {
        char *words[] = {json, socket_, word_b, word_a, json}, *equals[] = {out_b, word_a}, *cut[] = {json, socket_}, *help_first[] = {h, word_a};

        (void) state;

        assert_int_equal(arguments_leading(common, words, N_ELEMENTS(words)), 3);
        assert_int_equal(arguments_leading(common, words + 3, 2), 0);
        assert_int_equal(arguments_leading(options, equals, N_ELEMENTS(equals)), 1);
        assert_int_equal(arguments_leading(common, equals, N_ELEMENTS(equals)), 0); /* an option of the verb's belongs behind it */
        assert_int_equal(arguments_leading(common, cut, N_ELEMENTS(cut)), N_ELEMENTS(cut));
        assert_int_equal(arguments_leading(common, help_first, N_ELEMENTS(help_first)), 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(options_and_operands_may_be_mixed),
                cmocka_unit_test(the_last_of_equal_options_counts),
                cmocka_unit_test(nothing_after_two_hyphens_is_an_option),
                cmocka_unit_test(what_is_wrong_is_named),
                cmocka_unit_test(help_may_stand_anywhere),
                cmocka_unit_test(what_stands_before_the_verb_is_counted),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
