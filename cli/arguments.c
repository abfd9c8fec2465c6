/* SPDX-License-Identifier: Apache-2.0 */

#include "arguments.h"

static bool find(const Option *options, const char *name, size_t n_name, size_t *ret) {
        for (size_t i = 0; options && options[i].name; i++) {
                assert(i < ARGUMENTS_OPTIONS_MAX);
                if (strlen(options[i].name) == n_name && memcmp(options[i].name, name, n_name) == 0) {
                        *ret = i;
                        return true;
                }
        }
        return false;
}

size_t arguments_leading(const Option *options, char *const *argv, size_t n) {
        size_t i = 0;

        while (i < n && strncmp(argv[i], "--", 2) == 0) {
                const char *name = argv[i] + 2, *equals = strchr(name, '=');
                size_t at;

                if (!find(options, name, equals ? (size_t) (equals - name) : strlen(name), &at))
                        break;
                i += options[at].argument && !equals ? 2 : 1;
        }
        return i < n ? i : n;
}

int arguments_parse(const Option *options, const Option *common, char **argv, size_t n, Arguments *ret,
                    char ret_wrong[static 256]) {
        Arguments arguments = {.operand = (const char **) argv};

        for (size_t i = 0; i < n; i++) {
                const char *name = argv[i], *equals;
                const Option *option;
                const char **value;
                size_t n_name, at;

                if (strcmp(name, "--") == 0) {
                        for (i++; i < n; i++)
                                arguments.operand[arguments.n_operands++] = argv[i];
                        break;
                }
                if (strcmp(name, "-h") == 0 || strcmp(name, "--help") == 0)
                        return ARGUMENTS_E_HELP;
                if (name[0] != '-' || name[1] == '\0') {
                        arguments.operand[arguments.n_operands++] = name;
                        continue;
                }
                if (name[1] != '-') {
                        (void) snprintf(ret_wrong, 256, "There is no option %.64s.", name);
                        return ARGUMENTS_E_USAGE;
                }

                name += 2;
                equals = strchr(name, '=');
                n_name = equals ? (size_t) (equals - name) : strlen(name);
                if (find(options, name, n_name, &at)) {
                        option = &options[at];
                        value = &arguments.value[at];
                } else if (find(common, name, n_name, &at)) {
                        option = &common[at];
                        value = &arguments.common[at];
                } else {
                        (void) snprintf(ret_wrong, 256, "There is no option --%.*s.", (int) (n_name < 64 ? n_name : 64), name);
                        return ARGUMENTS_E_USAGE;
                }

                if (!option->argument) {
                        if (equals) {
                                (void) snprintf(ret_wrong, 256, "--%s takes no argument.", option->name);
                                return ARGUMENTS_E_USAGE;
                        }
                        *value = "";
                } else if (equals)
                        *value = equals + 1;
                else if (i + 1 < n)
                        *value = argv[++i];
                else {
                        (void) snprintf(ret_wrong, 256, "--%s needs an argument: --%s %s.", option->name, option->name, option->argument);
                        return ARGUMENTS_E_USAGE;
                }
        }

        *ret = arguments;
        return 0;
}
