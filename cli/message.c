/* SPDX-License-Identifier: Apache-2.0 */

#include "message.h"

#include "daemon/common/text.h"

enum {
        READ_SIZE = 64 * 1024,
};

static void wipe(char *bytes, size_t n) {
        if (bytes)
                explicit_bzero(bytes, n);
}

void splitter_done(Splitter *splitter) {
        wipe(splitter->bytes, splitter->n_allocated);
        free(splitter->bytes);
        *splitter = (Splitter) {.delimiter = splitter->delimiter};
}

int splitter_space(Splitter *splitter, void **ret, size_t *ret_n) {
        if (splitter->at > 0) {
                memmove(splitter->bytes, splitter->bytes + splitter->at, splitter->n - splitter->at);
                splitter->n -= splitter->at;
                splitter->searched -= splitter->at;
                splitter->n_dropped += splitter->at;
                splitter->at = 0;
        }

        if (splitter->n_allocated - splitter->n < READ_SIZE) {
                size_t n_allocated = splitter->n_allocated > 0 ? splitter->n_allocated * 2 : (size_t) 2 * READ_SIZE;
                char *bytes = malloc(n_allocated);

                if (!bytes)
                        return -ENOMEM;
                if (splitter->n > 0)
                        memcpy(bytes, splitter->bytes, splitter->n);
                wipe(splitter->bytes, splitter->n_allocated);
                free(splitter->bytes);
                splitter->bytes = bytes;
                splitter->n_allocated = n_allocated;
        }

        *ret = splitter->bytes + splitter->n;
        *ret_n = READ_SIZE;
        return 0;
}

void splitter_filled(Splitter *splitter, size_t n) {
        assert(n <= splitter->n_allocated - splitter->n);

        splitter->n += n;
}

int splitter_next(Splitter *splitter, const char **ret, size_t *ret_n) {
        char *end = NULL;

        if (splitter->searched < splitter->n)
                end = memchr(splitter->bytes + splitter->searched, splitter->delimiter, splitter->n - splitter->searched);
        if (!end) {
                splitter->searched = splitter->n;
                return splitter->n - splitter->at >= MESSAGE_MAX ? MESSAGE_E_LIMIT : MESSAGE_E_AGAIN;
        }
        if (end - (splitter->bytes + splitter->at) >= MESSAGE_MAX)
                return MESSAGE_E_LIMIT;

        *ret = splitter->bytes + splitter->at;
        *ret_n = (size_t) (end - *ret);
        splitter->at = (size_t) (end + 1 - splitter->bytes);
        splitter->searched = splitter->at;
        return 0;
}

uint64_t splitter_position(const Splitter *splitter) {
        return splitter->n_dropped + splitter->at;
}

uint64_t splitter_received(const Splitter *splitter) {
        return splitter->n_dropped + splitter->n;
}

size_t splitter_rest(const Splitter *splitter, const char **ret) {
        *ret = splitter->bytes + splitter->at;
        return splitter->n - splitter->at;
}

/* A terminal obeys control characters, whoever sent them: they end here. */
static int clean_string(json_t *string, bool lines) {
        cleanup(freep) char *cleaned = NULL;
        const char *text = json_string_value(string);
        size_t n = json_string_length(string), at = 0;

        if (text_valid(text, n))
                return 0;

        cleaned = malloc(n + 1);
        if (!cleaned)
                return -ENOMEM;
        while (at < n) { /* what is between two line ends, then the line end */
                const char *end = lines ? memchr(text + at, '\n', n - at) : NULL;
                size_t n_line = end ? (size_t) (end - text) - at : n - at;
                size_t n_cleaned = text_clean(cleaned + at, n_line + 1, text + at, n_line);

                assert(n_cleaned == n_line); /* each byte of a fault becomes one */
                at += n_line;
                if (end)
                        cleaned[at++] = '\n';
        }
        return json_string_setn(string, cleaned, n) < 0 ? -ENOMEM : 0;
}

static int clean(json_t *value, unsigned depth, bool lines) {
        const char *name;
        json_t *member;
        size_t i;
        int r;

        if (depth == 0)
                return MESSAGE_E_FORMAT;

        if (json_is_string(value))
                return clean_string(value, lines);

        json_array_foreach (value, i, member) {
                r = clean(member, depth - 1, false);
                if (r != 0)
                        return r;
        }
        json_object_foreach (value, name, member) {
                if (!text_valid(name, strlen(name)))
                        return MESSAGE_E_FORMAT;
                r = clean(member, depth - 1, strcmp(name, "text") == 0 || strcmp(name, "checkpoint") == 0);
                if (r != 0)
                        return r;
        }
        return 0;
}

int message_parse(json_t **ret, const char *bytes, size_t n) {
        cleanup(json_decrefp) json_t *message = NULL;
        int r;

        if (n == 0 || n > MESSAGE_MAX)
                return MESSAGE_E_FORMAT;

        message = json_loadb(bytes, n, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(message))
                return MESSAGE_E_FORMAT;

        r = clean(message, MESSAGE_DEPTH_MAX, false);
        if (r != 0)
                return r;

        *ret = take_ptr(message);
        return 0;
}

const char *message_text(const json_t *object, const char *name, const char *otherwise) {
        const char *text = json_string_value(json_object_get(object, name));

        return text ? text : otherwise;
}

int64_t message_int(const json_t *object, const char *name, int64_t otherwise) {
        const json_t *value = json_object_get(object, name);

        return json_is_integer(value) ? (int64_t) json_integer_value(value) : otherwise;
}

bool message_bool(const json_t *object, const char *name) {
        return json_is_true(json_object_get(object, name));
}
