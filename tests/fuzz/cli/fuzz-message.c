/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What a daemon may send to the command line: frames out of a stream that comes in parts of the size that the first
 * byte says, then JSON, a row of the table and a checkpoint.
 */

#include "cli/table.h"
#include "daemon/common/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(const json_t *value, bool lines) {
        const char *name;
        json_t *member;
        size_t i;

        if (json_is_string(value) && !lines)
                assert(text_valid(json_string_value(value), json_string_length(value)));
        json_array_foreach (value, i, member)
                check(member, false);
        json_object_foreach ((json_t *) (uintptr_t) value, name, member) {
                assert(text_valid(name, strlen(name)));
                check(member, strcmp(name, "text") == 0 || strcmp(name, "checkpoint") == 0);
        }
}

static void one_message(const char *text, size_t n, FILE *file) {
        cleanup(json_decrefp) json_t *message = NULL;
        size_t n_body;
        int64_t size;

        if (message_parse(&message, text, n) != 0)
                return;
        check(message, false);
        table_row(file, message, text, n, false);
        if (output_json(file, message) < 0)
                return;
        if (memory_checkpoint_parse(message_text(message, "checkpoint", ""), &size, &n_body) == 0)
                assert(size >= 0 && n_body <= strlen(message_text(message, "checkpoint", "")));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static FILE *file;
        cleanup(splitter_done) Splitter splitter = {0};
        size_t step, n_piece, n_pieces = 0;
        const char *piece;

        if (!file)
                file = fopen("/dev/null", "w");
        if (!file || n == 0)
                return 0;

        step = (size_t) bytes[0] + 1;
        for (size_t at = 1; at < n; at += step) {
                size_t part = n - at < step ? n - at : step, n_space;
                void *space;

                if (splitter_space(&splitter, &space, &n_space) < 0)
                        return 0;
                assert(n_space >= part);
                memcpy(space, bytes + at, part);
                splitter_filled(&splitter, part);
                while (splitter_next(&splitter, &piece, &n_piece) == 0) {
                        one_message(piece, n_piece, file);
                        n_pieces += n_piece + 1;
                }
        }
        assert(splitter_position(&splitter) == n_pieces);
        assert(n_pieces + splitter_rest(&splitter, &piece) == n - 1);
        return 0;
}
