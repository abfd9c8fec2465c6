/* SPDX-License-Identifier: Apache-2.0 */

/* daemon/FORMAT.md is a promise for stored data: its tables say what the code does. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/record.h"

static char page[256 * 1024];

static int read_page(void **state) {
        FILE *file = fopen(FORMAT_MD, "r");
        size_t n;

        (void) state;
        assert_non_null(file);
        n = fread(page, 1, sizeof(page) - 1, file);
        (void) fclose(file);
        page[n] = '\0';
        return 0;
}

static void says(const char *text) {
        if (!strstr(page, text))
                fail_msg("FORMAT.md does not say: %s", text);
}

static void list(const char *head, unsigned first, unsigned n, const char *(*name)(unsigned)) {
        char text[4096];
        int at = snprintf(text, sizeof(text), "- %s: ", head);

        for (unsigned i = first; i < n; i++)
                at += snprintf(text + at, sizeof(text) - (size_t) at, "%s%u %s", i > first ? ", " : "", i, *name(i) ? name(i) : "none");
        (void) snprintf(text + at, sizeof(text) - (size_t) at, "\n");
        says(text);
}

static void the_numbers_of_kinds_units_clocks_and_tokens_are_those_of_the_page(void **state) {
        (void) state;
        list("kinds", 1, N_RECORD_KINDS, record_kind_name);
        list("units", 0, N_RECORD_UNITS, record_unit_name);
        list("clock", 0, N_RECORD_CLOCKS, record_clock_name);
        list("tokens", 1, N_TOKENS, record_token_name);
}

static void each_field_is_laid_out_and_leaves_as_the_page_says(void **state) {
        static const char *const types[] = { NULL, "MILLI", "UINT", "TOKEN", "TEXT" };
        static const char *const classes[] = { NULL, "clinical", "serial", "free text", "internal" };

        (void) state;
        for (unsigned id = 1; id < N_FIELDS; id++) {
                const FieldInfo *info = record_field_info(id);
                char text[1024];
                int at = snprintf(text, sizeof(text), "\n| %u | %s | %s | %s |", id, info->name, types[info->type], classes[info->class]);

                if (info->kinds == RECORD_ALL_KINDS)
                        at += snprintf(text + at, sizeof(text) - (size_t) at, " all");
                for (unsigned kind = 1; kind < N_RECORD_KINDS && info->kinds != RECORD_ALL_KINDS; kind++)
                        if (info->kinds & RECORD_KIND_BIT(kind))
                                at += snprintf(text + at, sizeof(text) - (size_t) at, " %s", record_kind_name(kind));
                (void) snprintf(text + at, sizeof(text) - (size_t) at, " |\n");
                says(text);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_numbers_of_kinds_units_clocks_and_tokens_are_those_of_the_page),
                cmocka_unit_test(each_field_is_laid_out_and_leaves_as_the_page_says),
        };

        return cmocka_run_group_tests(tests, read_page, NULL);
}
