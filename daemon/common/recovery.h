/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Recovery code: 160 random bits as eight groups of four base32 characters and one check character.
 *
 * Specified in daemon/FORMAT.md, "recovery code". The check character depends on the group's place, so that one mistyped
 * or swapped character, or two groups in the wrong order, are found and the group is named.
 */

#include "util.h"

enum {
        RECOVERY_SIZE = 20,      /* bytes */
        RECOVERY_N_GROUPS = 8,
        RECOVERY_TEXT_SIZE = 48, /* 8 groups of 5, 7 hyphens, the terminator */

        RECOVERY_E_LENGTH = 1,   /* not 40 characters besides spaces and hyphens, nor eight groups of which one is uneven */
        RECOVERY_E_GROUP,        /* a group is mistyped, or has not five characters */
};

/** recovery_encode() - XXXXC-XXXXC-..., terminated; @ret is as secret as @code */
void recovery_encode(char ret[static RECOVERY_TEXT_SIZE], const uint8_t code[static RECOVERY_SIZE]);

/**
 * recovery_decode() - read a code as a person typed it
 * @ret:            untouched on failure
 * @text:           either case; O is 0, I and L are 1; spaces and hyphens anywhere
 * @ret_bad_group:  with RECOVERY_E_GROUP the first bad group, 1..8; may be NULL
 *
 * Return: 0; RECOVERY_E_LENGTH; RECOVERY_E_GROUP.
 */
must_check int recovery_decode(uint8_t ret[static RECOVERY_SIZE], const char *text, size_t n_text, unsigned *ret_bad_group);
