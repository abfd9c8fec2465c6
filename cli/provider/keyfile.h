/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * The provider's key on disk: an Ed25519 JWK with "d" (RFC 8037), or, with a passphrase, an envelope of our own:
 *
 *   {"carewallet-provider-key":1, "x":..., "salt":..., "opslimit":n, "memlimit":n, "nonce":..., "box":...}
 *
 * base64url all; box is the seed under XChaCha20-Poly1305 (IETF) with a key that Argon2id makes of the passphrase and
 * salt, and with the public key as additional data.
 */

#include "daemon/common/secret.h"

enum {
        KEYFILE_MAX = 2048, /* bytes */

        KEYFILE_E_FORMAT = 1,
        KEYFILE_E_PASSPHRASE, /* it is wrong, or the file was altered: not told apart */
        KEYFILE_E_EXISTS,
};

/** keyfile_write() - a new file, mode 0600, durable. @passphrase: NULL for none. KEYFILE_E_EXISTS, negative errno */
must_check int keyfile_write(const char *path, const Secret *seed, const Secret *passphrase, size_t n_passphrase);
/** keyfile_write_public() - the public JWK, mode 0644; errors as above */
must_check int keyfile_write_public(const char *path, const uint8_t public_key[static 32]);

/** keyfile_parse_public() - of a key file of either form, or of a public JWK. KEYFILE_E_FORMAT */
must_check int keyfile_parse_public(uint8_t ret[static 32], const uint8_t *bytes, size_t n);
/** keyfile_needs_passphrase() - whether it is the envelope */
bool keyfile_needs_passphrase(const uint8_t *bytes, size_t n);
/** keyfile_open() - the seed. Takes about a second with a passphrase. KEYFILE_E_FORMAT, KEYFILE_E_PASSPHRASE (wrong), -ENOMEM */
must_check int keyfile_open(Secret **ret, const uint8_t *bytes, size_t n, const Secret *passphrase, size_t n_passphrase);
