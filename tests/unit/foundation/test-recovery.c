/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/common/recovery.h"

/* Made by an independent implementation of daemon/FORMAT.md in Python. */
static const struct {
        uint8_t first; /* byte i is first + i * step */
        uint8_t step;
        const char *text;
} vectors[] = {
        {0, 1, "000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG"},
        {255, 0, "ZZZZC-ZZZZF-ZZZZE-ZZZZ9-ZZZZ8-ZZZZB-ZZZZA-ZZZZ5"},
};

static const char *text_of(size_t vector) {
        return vectors[vector].text;
}

static void a_code_is_written_as_the_format_says(void **state) {
        (void) state;

        for (size_t v = 0; v < N_ELEMENTS(vectors); v++) {
                uint8_t code[RECOVERY_SIZE], back[RECOVERY_SIZE] = {0};
                char text[RECOVERY_TEXT_SIZE];

                for (size_t i = 0; i < sizeof(code); i++)
                        code[i] = (uint8_t) (vectors[v].first + i * vectors[v].step);
                recovery_encode(text, code);
                assert_string_equal(text, text_of(v));
                assert_int_equal(recovery_decode(back, text, strlen(text), NULL), 0);
                assert_memory_equal(back, code, sizeof(code));
        }
}

static void a_code_is_read_as_people_type_it(void **state) {
        const char *text = text_of(0);
        uint8_t right[RECOVERY_SIZE], typed[RECOVERY_SIZE];
        char sloppy[200];
        size_t n = 0;

        (void) state;

        assert_int_equal(recovery_decode(right, text, strlen(text), NULL), 0);
        for (const char *c = text; *c; c++) {
                if (*c == '-') {
                        n += (size_t) snprintf(sloppy + n, sizeof(sloppy) - n, " \t");
                        continue;
                }
                sloppy[n] = *c == '0' ? 'o' : *c == '1' ? (n % 2 ? 'I' : 'l') : *c >= 'A' ? (char) (*c + 32) : *c;
                n++;
        }
        sloppy[n++] = '\n';
        assert_int_equal(recovery_decode(typed, sloppy, n, NULL), 0);
        assert_memory_equal(typed, right, sizeof(right));
}

static void every_single_wrong_character_names_its_group(void **state) {
        static const char alphabet[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZU*";
        const char *text = text_of(0);

        (void) state;

        for (size_t at = 0; text[at]; at++)
                for (const char *c = alphabet; *c; c++) {
                        uint8_t code[RECOVERY_SIZE] = {1, 2, 3};
                        char wrong[RECOVERY_TEXT_SIZE];
                        unsigned group = 0;

                        if (text[at] == '-' || text[at] == *c)
                                continue;
                        memcpy(wrong, text, sizeof(wrong));
                        wrong[at] = *c;
                        assert_int_equal(recovery_decode(code, wrong, strlen(wrong), &group), RECOVERY_E_GROUP);
                        assert_int_equal(group, at / 6 + 1);
                        assert_memory_equal(code, ((uint8_t[]){1, 2, 3}), 3);
                }
}

static void swapped_characters_and_swapped_groups_are_found(void **state) {
        const char *text = text_of(0);
        uint8_t code[RECOVERY_SIZE];
        char wrong[RECOVERY_TEXT_SIZE];
        unsigned group;

        (void) state;

        for (size_t i = 0; text[i]; i++)
                for (size_t j = i + 1; text[j] && j / 6 == i / 6; j++) {
                        if (text[i] == '-' || text[j] == '-' || text[i] == text[j])
                                continue;
                        memcpy(wrong, text, sizeof(wrong));
                        wrong[i] = text[j];
                        wrong[j] = text[i];
                        assert_int_equal(recovery_decode(code, wrong, strlen(wrong), &group), RECOVERY_E_GROUP);
                        assert_int_equal(group, i / 6 + 1);
                }
        for (unsigned i = 0; i < RECOVERY_N_GROUPS; i++)
                for (unsigned j = i + 1; j < RECOVERY_N_GROUPS; j++) {
                        memcpy(wrong, text, sizeof(wrong));
                        memcpy(wrong + (size_t) i * 6, text + (size_t) j * 6, 5);
                        memcpy(wrong + (size_t) j * 6, text + (size_t) i * 6, 5);
                        assert_int_equal(recovery_decode(code, wrong, strlen(wrong), &group), RECOVERY_E_GROUP);
                        assert_int_equal(group, i + 1);
                }
}

static void a_code_of_another_length_is_refused(void **state) {
        const char *text = text_of(0);
        uint8_t code[RECOVERY_SIZE];
        char longer[RECOVERY_TEXT_SIZE + 1];

        (void) state;

        for (size_t n = 0; n <= 7 * 6; n++)
                assert_int_equal(recovery_decode(code, text, n, NULL), RECOVERY_E_LENGTH);
        (void) snprintf(longer, sizeof(longer), "%.5s%.5s%.5s%.5s%.5s%.5s%.5s%.5s0", text, text + 6, text + 12, text + 18, text + 24, text + 30, text + 36, text + 42);
        assert_int_equal(recovery_decode(code, longer, strlen(longer), NULL), RECOVERY_E_LENGTH);
        assert_int_equal(recovery_decode(code, longer, 39, NULL), RECOVERY_E_LENGTH);
}

static void a_group_with_a_character_too_few_or_too_many_is_named(void **state) {
        uint8_t code[RECOVERY_SIZE] = { 0 };
        char text[RECOVERY_TEXT_SIZE], typed[RECOVERY_TEXT_SIZE + 8];

        (void) state;

        recovery_encode(text, code);
        for (unsigned group = 0; group < RECOVERY_N_GROUPS; group++) {
                size_t at = (size_t) group * 6 + 2;
                unsigned bad = 0;

                (void) snprintf(typed, sizeof(typed), "%.*s%s", (int) at, text, text + at + 1);
                assert_int_equal(recovery_decode(code, typed, strlen(typed), &bad), RECOVERY_E_GROUP);
                assert_int_equal(bad, group + 1);
                (void) snprintf(typed, sizeof(typed), "%.*s00%s", (int) at, text, text + at + 1);
                assert_int_equal(recovery_decode(code, typed, strlen(typed), &bad), RECOVERY_E_GROUP);
                assert_int_equal(bad, group + 1);
                bad = 0;
                (void) snprintf(typed, sizeof(typed), "%.*s\xc3\x96%s", (int) at, text, text + at + 1);
                assert_int_equal(recovery_decode(code, typed, strlen(typed), &bad), RECOVERY_E_GROUP);
                assert_int_equal(bad, group + 1);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_code_is_written_as_the_format_says),
                cmocka_unit_test(a_code_is_read_as_people_type_it),
                cmocka_unit_test(every_single_wrong_character_names_its_group),
                cmocka_unit_test(swapped_characters_and_swapped_groups_are_found),
                cmocka_unit_test(a_code_of_another_length_is_refused),
                cmocka_unit_test(a_group_with_a_character_too_few_or_too_many_is_named),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
