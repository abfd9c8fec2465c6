/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What the verbs of carewallet-provider share. One file a verb; their table is in main.c. */

#include "cli/cli.h" /* ExitCode: the same numbers as carewallet's */
#include "daemon/common/grant.h"

typedef struct ProviderVerb ProviderVerb;

typedef struct Invocation {
        const ProviderVerb *verb;
        Arguments arguments;
        bool json;
} Invocation;

struct ProviderVerb {
        const char *name;
        const char *operands;
        size_t n_min, n_max;
        const char *summary;
        const char *help;
        const Option *options;
        int (*run)(const Invocation *invocation); /* an ExitCode */
};

extern const ProviderVerb verb_keygen, verb_redeem, verb_list, verb_verify, verb_words;

/** provider_option() - its argument by the option's index in the verb's table, "" when it takes none; NULL: not given */
const char *provider_option(const Invocation *invocation, size_t option);
/** provider_fail() - say it on standard error (with --json as an object). Returns @code. */
int provider_fail(const Invocation *invocation, int code, const char *format, ...) printf_like(3, 4);

/* The calls below return 0 or, having said what is wrong, an exit code. */

enum {
        PROVIDER_FILE_MAX = 65536, /* bytes of a key or grant file */
};

/** provider_passphrase() - from --passphrase-fd (@fd_text), or from the terminal with @prompt when @fd_text is NULL */
must_check int provider_passphrase(const Invocation *invocation, const char *fd_text, const char *prompt, Secret **ret, size_t *ret_n);
/** provider_read_file() - a regular file. Return: 0, -EFBIG when it is longer or none, negative errno; says nothing */
must_check int provider_read_file(const char *path, uint8_t *ret, size_t n_max, size_t *ret_n);
/** provider_read_grant() - a grant whose signature is right. @ret_jwt: malloc'd */
must_check int provider_read_grant(const Invocation *invocation, const char *path, GrantClaims *ret, char **ret_jwt);

/** describe_grant() - what a grant permits, in plain words, to @file; each line begins with @indent */
void describe_grant(FILE *file, const GrantClaims *claims, const char *indent);
/** describe_json() - the same as new object; NULL: no memory */
json_t *describe_json(const GrantClaims *claims);
/** describe_state() - "valid", "expired", "not yet valid", by this machine's clock */
const char *describe_state(const GrantClaims *claims);
