/* SPDX-License-Identifier: Apache-2.0 */

#include "strength.h"

#include <zxcvbn.h>

/* zxcvbn counts in bits: half of all guesses find it. */
static Strength score(double bits) {
        static const double limits[] = {11.0, 20.9, 27.6, 34.2}; /* 10^3, 10^6, 10^8, 10^10 guesses */
        unsigned strength = 0;

        while (strength < N_ELEMENTS(limits) && bits >= limits[strength])
                strength++;
        return (Strength) strength;
}

/* The part that is longest and easily guessed says most. */
static const char *advice_for(const ZxcMatch_t *match, size_t n) {
        static const char words[] = "Four or more words that do not belong together are easy to keep in mind and hard to guess.";
        int longest = 0;
        unsigned type = 0;

        for (; match; match = match->Next) {
                unsigned kind = (unsigned) match->Type & ~(unsigned) MULTIPLE_MATCH;

                if (match->Length <= longest || kind == NON_MATCH || kind == BRUTE_MATCH)
                        continue;
                longest = match->Length;
                type = match->Type & MULTIPLE_MATCH ? (unsigned) REPEATS_MATCH : kind;
        }
        if ((size_t) longest * 2 < n)
                type = NON_MATCH;

        switch (type) {
        case DICTIONARY_MATCH:
                return "It is a common word, name or password, or few of them. Four or more words that do not belong together are hard to guess.";
        case DICT_LEET_MATCH:
        case USER_LEET_MATCH:
                return "Digits in the place of letters are guessed as well as the word. Add words that do not belong together.";
        case USER_MATCH:
                return "Your login name, or what this program is about, is guessed first. Use words that have nothing to do with it.";
        case REPEATS_MATCH:
                return "What is repeated adds next to nothing. Add words that do not belong together.";
        case SEQUENCE_MATCH:
                return "Sequences such as abc or 6543 are guessed early. Add words that do not belong together.";
        case SPATIAL_MATCH:
                return "Keys that lie side by side on the keyboard are guessed early. Add words that do not belong together.";
        case DATE_MATCH:
        case YEAR_MATCH:
                return "Dates and years are guessed early, your own first. Add words that do not belong together.";
        default:
                return words;
        }
}

int strength_of(const Secret *secret, size_t n, const char *user, Strength *ret, const char **ret_advice) {
        const char *own[] = {"carewallet", "wallet", "diabetes", "insulin", "glucose", "carelink", "medtronic", "minimed", user && strlen(user) > 2 ? user : NULL, NULL};
        cleanup(secret_freep) Secret *text = NULL;
        ZxcMatch_t *matches = NULL;
        Strength strength;
        int r;

        r = secret_new(&text, n + 1);
        if (r < 0)
                return r;
        memcpy(secret_data(text), secret_data(secret), n);
        strength = score(ZxcvbnMatch((const char *) secret_data(text), own, &matches));
        *ret = strength;
        *ret_advice = strength == STRENGTH_STRONG ? "" : advice_for(matches, n);
        ZxcvbnFreeInfo(matches);
        return 0;
}

const char *strength_words(Strength strength) {
        switch (strength) {
        case STRENGTH_GUESSED:
                return "very weak: it is among the first thousand guesses";
        case STRENGTH_POOR:
                return "weak: a million guesses find it";
        case STRENGTH_WEAK:
                return "weak: whoever has your disk guesses it in days";
        case STRENGTH_FAIR:
                return "fair: it holds against most, and would be better longer";
        case STRENGTH_STRONG:
                return "strong";
        }
        return "";
}
