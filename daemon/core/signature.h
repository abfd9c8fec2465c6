/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Parameters of a method against a signature such as "name: string, kinds: ?[]string, fileFd: int". */

#include <jansson.h>

#include "daemon/common/util.h"

enum {
        SIGNATURE_NAME_SIZE = 64, /* of a parameter, with its terminator */
};

/**
 * signature_misfit() - the name of the first parameter that is missing, unknown or of another type, or NULL
 * @n_fds: what came with the call; a name that ends in "Fd" is the number of one
 * @bad:   may hold what is returned
 */
const char *signature_misfit(const char *signature, json_t *parameters, size_t n_fds, char bad[static SIGNATURE_NAME_SIZE]);
