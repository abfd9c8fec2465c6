/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "cli/message.h"
#include "daemon/common/text.h"

static void feed(Splitter *splitter, const void *bytes, size_t n) {
        for (size_t at = 0; at < n;) {
                size_t n_space, part;
                void *space;

                assert_int_equal(splitter_space(splitter, &space, &n_space), 0);
                part = n - at < n_space ? n - at : n_space;
                memcpy(space, (const char *) bytes + at, part);
                splitter_filled(splitter, part);
                at += part;
        }
}

static void pieces_come_out_whole_however_they_come_in(void **state) {
        static const char stream[] = "{\"a\":1}\0{\"b\":22}\0\0{\"c\":333}";
        static const char *const expected[] = {"{\"a\":1}", "{\"b\":22}", ""};

        (void) state;

        for (size_t step = 1; step <= sizeof(stream); step++) {
                cleanup(splitter_done) Splitter splitter = {0};
                size_t n_pieces = 0, n;
                const char *piece;

                for (size_t at = 0; at < sizeof(stream) - 1; at += step) {
                        size_t left = sizeof(stream) - 1 - at;

                        feed(&splitter, stream + at, left < step ? left : step);
                        while (splitter_next(&splitter, &piece, &n) == 0) {
                                assert_true(n_pieces < N_ELEMENTS(expected));
                                assert_int_equal(n, strlen(expected[n_pieces]));
                                assert_memory_equal(piece, expected[n_pieces], n);
                                n_pieces++;
                        }
                }
                assert_int_equal(n_pieces, N_ELEMENTS(expected));
                assert_int_equal(splitter_next(&splitter, &piece, &n), MESSAGE_E_AGAIN);
                assert_int_equal(splitter_rest(&splitter, &piece), 9);
                assert_int_equal(splitter_position(&splitter), sizeof(stream) - 1 - 9);
                assert_int_equal(splitter_received(&splitter), sizeof(stream) - 1);
        }
}

static void a_piece_may_be_as_long_as_the_limit_and_no_longer(void **state) {
        char *bytes = test_malloc(MESSAGE_MAX + 1);
        const char *piece;
        size_t n;

        (void) state;

        memset(bytes, 'x', MESSAGE_MAX + 1);
        {
                cleanup(splitter_done) Splitter splitter = {.delimiter = '\n'};

                bytes[MESSAGE_MAX - 1] = '\n';
                feed(&splitter, bytes, MESSAGE_MAX);
                assert_int_equal(splitter_next(&splitter, &piece, &n), 0);
                assert_int_equal(n, MESSAGE_MAX - 1);
        }
        {
                cleanup(splitter_done) Splitter splitter = {.delimiter = '\n'};

                bytes[MESSAGE_MAX - 1] = 'x';
                bytes[MESSAGE_MAX] = '\n';
                feed(&splitter, bytes, MESSAGE_MAX - 1);
                assert_int_equal(splitter_next(&splitter, &piece, &n), MESSAGE_E_AGAIN);
                feed(&splitter, bytes, 1);
                assert_int_equal(splitter_next(&splitter, &piece, &n), MESSAGE_E_LIMIT);
                feed(&splitter, bytes + MESSAGE_MAX, 1);
                assert_int_equal(splitter_next(&splitter, &piece, &n), MESSAGE_E_LIMIT);
        }
        test_free(bytes);
}

static int parse(json_t **ret, const char *text) {
        return message_parse(ret, text, strlen(text));
}

static void only_one_whole_object_is_a_message(void **state) {
        static const char *const bad[] = {
                "", "{", "[]", "1", "null", "\"x\"", "{}{}", "{} x", "{\"a\":1,\"a\":2}", "{\"a\":\"\\u0000\"}", "{\"a\":\"\xff\"}",
                "{\"a\x01\":1}", "{\"a\\u001b\":1}", "{\"a\":\"line\nend\"}",
        };
        json_t *message = NULL;

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(parse(&message, bad[i]), MESSAGE_E_FORMAT);
        assert_null(message);
        assert_int_equal(message_parse(&message, "{}\0", 3), MESSAGE_E_FORMAT);
        assert_int_equal(parse(&message, " {\"a\":[{}]} "), 0);
        json_decref(message);
}

static void depth_has_a_limit(void **state) {
        char text[6 * (MESSAGE_DEPTH_MAX + 2)];
        json_t *message = NULL;

        (void) state;

        for (size_t depth = 1; depth <= MESSAGE_DEPTH_MAX + 1; depth++) {
                size_t n = 0;

                for (size_t i = 0; i < depth; i++, n += 5)
                        memcpy(text + n, "{\"a\":", 5);
                text[n - 5] = '{';
                text[n - 4] = '}';
                n -= 3;
                for (size_t i = 1; i < depth; i++)
                        text[n++] = '}';
                assert_int_equal(message_parse(&message, text, n), depth <= MESSAGE_DEPTH_MAX ? 0 : MESSAGE_E_FORMAT);
                if (depth <= MESSAGE_DEPTH_MAX)
                        json_decref(take_ptr(message));
        }
}

static void no_control_character_reaches_a_terminal(void **state) {
        json_t *message = NULL;
        const char *text;

        (void) state;

        assert_int_equal(parse(&message, "{\"error\":\"\\u001b[2J\\u0007\\u009bx\\u007f\\n\\tok\\u00fc\",\"text\":\"a\\nb\\u001b\\n\\nc\",\"deep\":[{\"x\":\"\\r\"}]}"), 0);
        assert_string_equal(message_text(message, "error", NULL), "?[2J???x? \tok\xc3\xbc");
        assert_string_equal(message_text(message, "text", NULL), "a\nb?\n\nc");
        text = message_text(json_array_get(json_object_get(message, "deep"), 0), "x", NULL);
        assert_string_equal(text, " ");
        json_decref(message);
}

static void a_member_of_another_type_counts_as_absent(void **state) {
        json_t *message = NULL;

        (void) state;

        assert_int_equal(parse(&message, "{\"t\":\"x\",\"i\":7,\"b\":true,\"n\":null}"), 0);
        assert_string_equal(message_text(message, "t", "-"), "x");
        assert_string_equal(message_text(message, "i", "-"), "-");
        assert_string_equal(message_text(message, "none", "-"), "-");
        assert_string_equal(message_text(NULL, "t", "-"), "-");
        assert_int_equal(message_int(message, "i", -1), 7);
        assert_int_equal(message_int(message, "t", -1), -1);
        assert_int_equal(message_int(NULL, "i", -1), -1);
        assert_true(message_bool(message, "b"));
        assert_false(message_bool(message, "i"));
        assert_false(message_bool(message, "n"));
        json_decref(message);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(pieces_come_out_whole_however_they_come_in),
                cmocka_unit_test(a_piece_may_be_as_long_as_the_limit_and_no_longer),
                cmocka_unit_test(only_one_whole_object_is_a_message),
                cmocka_unit_test(depth_has_a_limit),
                cmocka_unit_test(no_control_character_reaches_a_terminal),
                cmocka_unit_test(a_member_of_another_type_counts_as_absent),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
