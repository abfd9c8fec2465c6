/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* How hard a passphrase is to guess: zxcvbn, which knows words, names, dates, keyboards and habits. No rule of composition. */

#include "daemon/common/secret.h"

typedef enum Strength { /* zxcvbn's scores 0..4: below 10^3, 10^6, 10^8, 10^10 guesses, and more */
        STRENGTH_GUESSED,
        STRENGTH_POOR,
        STRENGTH_WEAK,
        STRENGTH_FAIR,
        STRENGTH_STRONG,

        STRENGTH_NEEDED = STRENGTH_FAIR,
} Strength;

/**
 * strength_of() - a passphrase's
 * @secret, @n:   its bytes are the first @n
 * @user:         login name, which is as good as a common word; may be NULL
 * @ret_advice:   what makes it weak and what to do, a sentence or two; "" where there is nothing to say. Static
 *
 * Return: 0; -ENOMEM.
 */
must_check int strength_of(const Secret *secret, size_t n, const char *user, Strength *ret, const char **ret_advice);
/** strength_words() - "very weak: among the first thousand guesses" */
const char *strength_words(Strength strength);
