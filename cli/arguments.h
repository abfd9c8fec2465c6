/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Options and operands of a verb. One table a verb: from it come parsing, -h and completion. */

#include "daemon/common/util.h"

enum {
        ARGUMENTS_OPTIONS_MAX = 32, /* of one verb */

        ARGUMENTS_E_HELP = 1, /* -h or --help was among them */
        ARGUMENTS_E_USAGE,    /* what is wrong is in the message */
};

typedef struct Option {
        const char *name;     /* "out" for --out; NULL ends a table */
        const char *argument; /* what its argument is, "FILE"; NULL: it has none */
        const char *help;
        const char *choices;  /* what the argument may be, with blanks between, for completion; NULL: anything */
} Option;

typedef struct Arguments {
        const char *value[ARGUMENTS_OPTIONS_MAX]; /* by index in the verb's table; "" for an option without argument; NULL: not given */
        const char *common[ARGUMENTS_OPTIONS_MAX]; /* the same for the options that all verbs have */
        const char **operand;                     /* borrowed: the front of argv is re-used */
        size_t n_operands;
} Arguments;

/** arguments_leading() - how many of @argv, from its beginning, are options of this table and their arguments */
size_t arguments_leading(const Option *options, char *const *argv, size_t n);

/**
 * arguments_parse() - take @argv apart; options and operands may be mixed, "--" ends the options, the last of equal ones counts
 * @ret_wrong: what is wrong, on ARGUMENTS_E_USAGE
 */
must_check int arguments_parse(const Option *options, const Option *common, char **argv, size_t n, Arguments *ret,
                               char ret_wrong[static 256]);
