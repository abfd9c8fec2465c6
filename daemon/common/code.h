/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Codes that a person types to step up: six digits of a phone (daemon/core/totp.h), or a one-time code of ten characters of
 * Crockford's base32. They are compared as salted hashes, since the core reads no client's descriptor: the kdf worker does.
 */

#include "util.h"

enum {
        CODE_DIGITS = 6,
        CODE_ONE_TIME = 10,      /* characters: 50 bits */
        CODE_TEXT_SIZE = 11,     /* either, terminated */
        CODE_SHOWN_SIZE = 12,    /* XXXXX-XXXXX, terminated */
        CODE_HASH_SIZE = 32,

        CODE_E_FORMAT = 1, /* neither */
};

/**
 * code_read() - a code as a person typed it
 * @text: spaces and hyphens are ignored; either case; O is 0, I and L are 1 in a one-time code
 */
must_check int code_read(char ret[static CODE_TEXT_SIZE], const char *text, size_t n);
/** code_hash() - BLAKE2b-256 of "carewallet code v1", the salt and the code as code_read() gives it */
void code_hash(uint8_t ret[static CODE_HASH_SIZE], const uint8_t salt[static 16], const char *code);
/** code_make() - a random one-time code; @ret_shown is the same in two groups */
void code_make(char ret[static CODE_TEXT_SIZE], char ret_shown[static CODE_SHOWN_SIZE]);
