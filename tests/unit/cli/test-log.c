/* SPDX-License-Identifier: Apache-2.0 */

/* The core's sources are read for what it writes into the ledger: a new type of entry needs its words. */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <dirent.h>

#include "cli/log.h"
#include "policy/policy.h"

static char *words_of(const char *type, const char *reason) {
        cleanup(json_decrefp) json_t *entry = json_pack("{s:s, s:s, s:s*}", "type", type, "provider", "endo", "reason", reason);
        char *text = NULL;
        size_t n;
        FILE *file = open_memstream(&text, &n);

        assert_non_null(file);
        log_print(file, entry);
        (void) fclose(file);
        return text;
}

static bool has_words(const char *type) {
        cleanup(freep) char *text = words_of(type, NULL);

        /* what is not known is shown as its type and members */
        return strncmp(text, type, strlen(type)) != 0 || strncmp(text + strlen(type), ", provider", 10) != 0;
}

static bool refusal_has_words(const char *reason) {
        cleanup(freep) char *text = words_of("refused", reason), *bare = NULL;

        assert_true(asprintf(&bare, "endo was refused: %s", reason) > 0);
        return strcmp(text, bare) != 0;
}

static char *read_source(const char *path) {
        char *text = calloc(1, 1 << 20);
        FILE *file = fopen(path, "re");

        assert_non_null(text);
        assert_non_null(file);
        assert_true(fread(text, 1, (1 << 20) - 1, file) > 0);
        (void) fclose(file);
        return text;
}

/* The first string that is not empty and has only lower case, where it follows @call(, before the statement ends. Return: how many. */
static size_t check_calls(const char *source, const char *call, bool (*is_known)(const char *)) {
        size_t n = 0;

        for (const char *at = source; (at = strstr(at, call)); at++) {
                const char *quote = at + strcspn(at, "\";"), *end;
                char word[64];

                while (quote[0] == '"' && quote[1] == '"')
                        quote += 2 + strcspn(quote + 2, "\";");
                if (*quote != '"' || !(end = strchr(quote + 1, '"')) || (size_t) (end - quote) > sizeof(word))
                        continue;
                if (strspn(quote + 1, "abcdefghijklmnopqrstuvwxyz-_") != (size_t) (end - quote - 1))
                        continue;
                (void) snprintf(word, sizeof(word), "%.*s", (int) (end - quote - 1), quote + 1);
                if (!is_known(word))
                        fail_msg("%s has no words", word);
                n++;
        }
        return n;
}

static void every_type_of_entry_that_the_core_writes_has_words(void **state) {
        DIR *dir = opendir(CORE_SOURCES);
        const struct dirent *file;
        size_t n_types = 0, n_reasons = 0;

        (void) state;

        assert_non_null(dir);
        while ((file = readdir(dir))) {
                size_t n = strlen(file->d_name);
                cleanup(freep) char *path = NULL, *source = NULL;

                if (n < 3 || strcmp(file->d_name + n - 2, ".c") != 0)
                        continue;
                assert_true(asprintf(&path, "%s/%s", CORE_SOURCES, file->d_name) > 0);
                source = read_source(path);
                n_types += check_calls(source, "wallet_log(", has_words);
                n_types += check_calls(source, "keyjob_store(", has_words);
                n_types += check_calls(source, "store_switch(", has_words);
                n_types += check_calls(source, " commit(manager", has_words);
                n_types += check_calls(source, "answer_codes(", has_words);
                n_types += check_calls(source, " append(", has_words);
                n_reasons += check_calls(source, "refuse_provider(", refusal_has_words);
        }
        (void) closedir(dir);
        assert_true(n_types >= 15); /* those there are: fewer means that this test no longer finds them */
        assert_true(n_reasons >= 7);
}

static void every_verdict_and_every_summary_of_refusals_has_words(void **state) {
        (void) state;

        for (unsigned verdict = POLICY_ALLOW + 1; verdict < N_POLICY_VERDICTS; verdict++)
                if (!refusal_has_words(policy_verdict_name(verdict)))
                        fail_msg("%s has no words", policy_verdict_name(verdict));
        assert_true(refusal_has_words("stranger"));
        assert_true(refusal_has_words("more"));
        assert_true(has_words("erased"));
}

static void what_is_not_known_is_shown_as_it_is(void **state) {
        cleanup(freep) char *text = words_of("brand-new", "because"), *refusal = words_of("refused", "brand-new");

        (void) state;

        assert_string_equal(text, "brand-new, provider endo, reason because");
        assert_string_equal(refusal, "endo was refused: brand-new");
}

static void the_end_of_a_fetch_says_what_it_was(void **state) {
        static const struct {
                const char *entry, *words;
        } ends[] = {
                {"{\"what\": \"slice\", \"state\": \"complete\", \"rows\": 1, \"bytes\": 300}", "endo got all of it: 1 record, 300 bytes"},
                {"{\"what\": \"slice\", \"state\": \"complete\", \"rows\": 0, \"bytes\": 90}", "endo got all of it: 0 records, 90 bytes"},
                {"{\"what\": \"summary\", \"state\": \"complete\", \"rows\": 0, \"bytes\": 812}", "endo got all of it: the summary, 812 bytes"},
                {"{\"what\": \"summary\", \"state\": \"cut\", \"by\": \"recipient\", \"rows\": 0, \"bytes\": 12}",
                 "endo was cut off (the other side hung up) in the middle of the summary, 12 bytes"},
                {"{\"what\": \"slice\", \"state\": \"cut\", \"by\": \"restart\"}",
                 "endo was cut off (carewalletd was ended); how much had left is not known"},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(ends); i++) {
                cleanup(json_decrefp) json_t *entry = json_loads(ends[i].entry, 0, NULL);
                cleanup(freep) char *text = NULL;
                size_t n;
                FILE *file = open_memstream(&text, &n);

                assert_non_null(entry);
                assert_non_null(file);
                (void) json_object_set_new(entry, "type", json_string("release-ended"));
                (void) json_object_set_new(entry, "provider", json_string("endo"));
                log_print(file, entry);
                (void) fclose(file);
                assert_string_equal(text, ends[i].words);
        }
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(every_type_of_entry_that_the_core_writes_has_words),
                cmocka_unit_test(every_verdict_and_every_summary_of_refusals_has_words),
                cmocka_unit_test(what_is_not_known_is_shown_as_it_is),
                cmocka_unit_test(the_end_of_a_fetch_says_what_it_was),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
