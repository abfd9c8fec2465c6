/* SPDX-License-Identifier: Apache-2.0 */

#include "signature.h"

static bool type_matches(const char *type, size_t n_type, const json_t *value) {
        if (n_type > 1 && type[0] == '?')
                return json_is_null(value) || type_matches(type + 1, n_type - 1, value);
        if (n_type > 2 && type[0] == '[' && type[1] == ']') {
                size_t i;
                json_t *item;

                if (!json_is_array(value))
                        return false;
                json_array_foreach(value, i, item) {
                        if (!type_matches(type + 2, n_type - 2, item))
                                return false;
                }
                return true;
        }
        if (n_type == 6 && memcmp(type, "string", 6) == 0)
                return json_is_string(value) && strlen(json_string_value(value)) == json_string_length(value);
        if (n_type == 3 && memcmp(type, "int", 3) == 0)
                return json_is_integer(value);
        if (n_type == 4 && memcmp(type, "bool", 4) == 0)
                return json_is_boolean(value);
        return false;
}

/* Calls each with every "name: type" of a signature; stops at the first that returns false. */
static bool signature_each(const char *signature, bool (*each)(const char *name, const char *type, size_t n_type, void *userdata), void *userdata) {
        const char *p = signature;

        while (*p) {
                const char *colon = strchr(p, ':');
                const char *type, *end;
                char name[SIGNATURE_NAME_SIZE];

                assert(colon && (size_t) (colon - p) < sizeof(name));
                memcpy(name, p, (size_t) (colon - p));
                name[colon - p] = '\0';
                type = colon + 1 + strspn(colon + 1, " ");
                end = type + strcspn(type, ",");
                if (!each(name, type, (size_t) (end - type), userdata))
                        return false;
                p = *end ? end + 1 + strspn(end + 1, " ") : end;
        }
        return true;
}

typedef struct Checking {
        const json_t *parameters;
        size_t n_fds;
        size_t n_seen;
        char *bad;
} Checking;

static bool check_one(const char *name, const char *type, size_t n_type, void *userdata) {
        Checking *checking = userdata;
        const json_t *value = json_object_get(checking->parameters, name);
        size_t n_name = strlen(name);
        bool good;

        if (value)
                checking->n_seen++;
        good = value ? type_matches(type, n_type, value) : type[0] == '?';
        if (good && n_name > 2 && strcmp(name + n_name - 2, "Fd") == 0) {
                json_int_t i = json_integer_value(value);

                good = i >= 0 && (size_t) i < checking->n_fds;
        }
        if (!good)
                memcpy(checking->bad, name, n_name + 1);
        return good;
}

typedef struct Knowing {
        const char *name;
        bool found;
} Knowing;

static bool know_one(const char *name, const char *type, size_t n_type, void *userdata) {
        Knowing *knowing = userdata;

        (void) type;
        (void) n_type;
        knowing->found = strcmp(name, knowing->name) == 0;
        return !knowing->found;
}

const char *signature_misfit(const char *signature, json_t *parameters, size_t n_fds, char bad[static SIGNATURE_NAME_SIZE]) {
        Checking checking = { .parameters = parameters, .n_fds = n_fds, .bad = bad };
        const char *name;
        json_t *value;

        if (!signature_each(signature, check_one, &checking))
                return bad;
        if (checking.n_seen == json_object_size(parameters))
                return NULL;
        json_object_foreach(parameters, name, value) {
                Knowing knowing = { .name = name };

                (void) signature_each(signature, know_one, &knowing);
                if (!knowing.found)
                        return name;
        }
        return NULL;
}
