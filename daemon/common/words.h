/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Eight words that a person can read out: proquints (Wilkerson 2009, arXiv:0901.4016) of the first 16 bytes of SHA-256
 * over the key's RFC 7638 thumbprint input. 128 bits: finding another key with the same words is out of reach.
 */

#include "util.h"

enum {
        WORDS_SIZE = 8 * 6, /* eight words of five letters, joined by hyphens, and a terminator */
};

void words_of_key(char ret[static WORDS_SIZE], const uint8_t public_key[static 32]);
