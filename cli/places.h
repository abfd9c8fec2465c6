/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Where this user's wallets are. Each has a daemon of its own; the plain one has no name, others are carewallet@NAME:
 *
 *      $XDG_RUNTIME_DIR/carewallet[@NAME]/socket, ~/.local/state/carewallet[@NAME]     the user's own services
 *      /run/carewallet/NAME/socket, /var/lib/carewallet/NAME                           system services; NAME: the login for the plain one
 */

#include "daemon/common/util.h"

enum {
        PLACES_NAME_MAX = 32,  /* characters: [a-z0-9][a-z0-9-]* */
        PLACES_PATH_SIZE = 256,
        PLACES_MAX = 64,       /* wallets of a user that are listed */

        PLACES_E_LONG = 1, /* there is no such path, or it is longer than PLACES_PATH_SIZE */
        PLACES_E_NONE,
};

#define PLACES_PLAIN "default" /* what the plain wallet is called where a name is needed */

typedef struct Place {
        char name[PLACES_NAME_MAX + 1]; /* PLACES_PLAIN for the plain one */
        char socket[PLACES_PATH_SIZE];
} Place;

/** places_is_name() - may a wallet be called so? */
bool places_is_name(const char *name);

/** places_socket() - of the wallet @name, whether it is there or not; NULL: the plain one. 0; PLACES_E_LONG */
must_check int places_socket(const char *name, char ret[static PLACES_PATH_SIZE]);

/** places_state_dir() - where such a wallet's files are, of the user's own service or else of a system service. 0; PLACES_E_NONE: in neither place */
must_check int places_state_dir(const char *name, char ret[static PLACES_PATH_SIZE]);

/** places_list() - the wallets that this user has: those with a socket, and those of which only the files are found; by name, the plain one first. Return: how many */
size_t places_list(Place ret[static PLACES_MAX]);
