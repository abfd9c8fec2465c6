/* SPDX-License-Identifier: Apache-2.0 */

#include "keyfile.h"
#include "provider.h"

#include "daemon/common/words.h"

#include <sodium.h>

enum {
        OPTION_OUT,
        OPTION_PASSPHRASE_FD,
};

static const Option options[] = {
        [OPTION_OUT] = {"out", "FILE", "where the private key goes, such as provider.key; must not exist", NULL},
        [OPTION_PASSPHRASE_FD] = {"passphrase-fd", "N", "protect it with the passphrase that descriptor N gives", NULL},
        {NULL, NULL, NULL, NULL},
};

/* provider.key has its public half in provider.jwk, whatever else in NAME.jwk */
static char *public_path(const char *path) {
        size_t n = strlen(path);
        char *ret;

        if (n > 4 && strcmp(path + n - 4, ".key") == 0)
                n -= 4;
        return asprintf(&ret, "%.*s.jwk", (int) n, path) < 0 ? NULL : ret;
}

static int wrote(const Invocation *invocation, int r, const char *path) {
        if (r == 0)
                return 0;
        if (r == KEYFILE_E_EXISTS)
                return provider_fail(invocation, EXIT_REFUSED, "%s is there already. A key that grants were made for can't be replaced: choose another name.", path);
        return provider_fail(invocation, r == -ENOMEM ? EXIT_INTERNAL : EXIT_REFUSED, "%s can't be written: %s.", path, strerrordesc_np(-fold(r)));
}

static int run(const Invocation *invocation) {
        const char *path = provider_option(invocation, OPTION_OUT), *fd_text = provider_option(invocation, OPTION_PASSPHRASE_FD);
        cleanup(secret_freep) Secret *seed = NULL, *passphrase = NULL;
        cleanup(freep) char *jwk_path = NULL;
        char words[WORDS_SIZE], thumbprint[JWS_THUMBPRINT_SIZE];
        uint8_t public_key[32];
        size_t n_passphrase = 0;
        int r;

        if (!path)
                return provider_fail(invocation, EXIT_USAGE, "Say where the key goes: --out provider.key");
        jwk_path = public_path(path);
        if (!jwk_path || secret_new(&seed, crypto_sign_SEEDBYTES) < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        if (access(jwk_path, F_OK) == 0)
                return wrote(invocation, KEYFILE_E_EXISTS, jwk_path);
        if (fd_text) {
                r = provider_passphrase(invocation, fd_text, "", &passphrase, &n_passphrase);
                if (r != 0)
                        return r;
        }

        randombytes_buf(secret_data(seed), secret_size(seed));
        r = ed25519_public(public_key, seed);
        if (r < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        r = wrote(invocation, keyfile_write(path, seed, passphrase, n_passphrase), path);
        if (r != 0)
                return r;
        r = wrote(invocation, keyfile_write_public(jwk_path, public_key), jwk_path);
        if (r != 0) {
                (void) unlink(path); /* made just now */
                return r;
        }

        words_of_key(words, public_key);
        jwk_thumbprint(thumbprint, public_key);
        if (invocation->json) {
                json_t *object = json_pack("{s:s, s:s, s:s, s:s}", "key", path, "public", jwk_path, "words", words, "thumbprint", thumbprint);

                r = output_json(stdout, object);
                json_decref(object);
                return r == 0 ? EXIT_DONE : EXIT_INTERNAL;
        }
        printf("Private key: %s%s\nPublic key:  %s\nIts words:   %s%s%s\n\n"
               "Send %s to the patient and read out the words over a number that the patient already knows.\n",
               path, passphrase ? " (protected by the passphrase)" : " (not protected: only you should be able to read it)", jwk_path,
               paint(stdout, PAINT_BOLD), words, unpaint(stdout), jwk_path);
        return EXIT_DONE;
}

const ProviderVerb verb_keygen = {
        .name = "keygen",
        .operands = "",
        .summary = "make your key; once",
        .help = "Makes an Ed25519 key: the private half in FILE, the public half beside it with the ending .jwk.\n"
                "The patient adds the public half: carewallet provider add NAME --key provider.jwk",
        .options = options,
        .run = run,
};
