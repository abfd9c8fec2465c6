/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/common/text.h"

#define CASE(bytes, expected) {bytes, sizeof(bytes) - 1, expected}

static void text_is_utf8_without_control_characters(void **state) {
        static const struct {
                const char *bytes;
                size_t n;
                bool valid;
        } cases[] = {
                CASE("", true),
                CASE("plain\ttext", true),
                CASE("M\xc3\xbcnchen \xe2\x82\xac \xf0\x9f\x98\x80", true),
                CASE("\xc2\xa0", true),
                CASE("\xf4\x8f\xbf\xbf", true),
                CASE("a\0b", false),
                CASE("a\nb", false),
                CASE("\x1b[2J", false),
                CASE("\x7f", false),
                CASE("\xc2\x9b", false),         /* CSI as C1 */
                CASE("\xc0\x80", false),         /* overlong */
                CASE("\xe0\x9f\xbf", false),     /* overlong */
                CASE("\xf0\x8f\xbf\xbf", false), /* overlong */
                CASE("\xed\xa0\x80", false),     /* surrogate */
                CASE("\xf4\x90\x80\x80", false), /* past U+10FFFF */
                CASE("\xf8\x88\x80\x80\x80", false),
                CASE("\x80", false),
                CASE("\xc3", false),
                CASE("\xe2\x82", false),
                CASE("\xc3(", false),
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++)
                assert_int_equal(text_valid(cases[i].bytes, cases[i].n), cases[i].valid);
}

static void cleaned_bytes_are_text(void **state) {
        char clean[12];

        (void) state;

        assert_int_equal(text_clean(clean, sizeof(clean), "a\xff\x1b\r\n\0z", 7), 7);
        assert_string_equal(clean, "a??  ?z");
        assert_int_equal(text_clean(clean, 4, "ab\xc3\xbc", 4), 2); /* cut between characters */
        assert_string_equal(clean, "ab");
        assert_int_equal(text_clean(clean, 5, "ab\xc3\xbc", 4), 4);
        assert_int_equal(text_clean(clean, 1, "ab", 2), 0);

        for (unsigned seed = 0; seed < 20000; seed++) {
                char bytes[24];
                unsigned x = seed * 2654435761U + 1;

                for (size_t i = 0; i < sizeof(bytes); i++) {
                        x = x * 1664525U + 1013904223U;
                        bytes[i] = (char) (x >> 24);
                }
                assert_true(text_valid(clean, text_clean(clean, sizeof(clean), bytes, sizeof(bytes))));
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(text_is_utf8_without_control_characters),
                cmocka_unit_test(cleaned_bytes_are_text),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
