/* SPDX-License-Identifier: Apache-2.0 */

#include "keyfile.h"
#include "provider.h"

enum {
        OPTION_KEY,
};

static const Option options[] = {
        [OPTION_KEY] = {"key", "FILE", "also check that the grant is for this key (private or public)", NULL},
        {NULL, NULL, NULL, NULL},
};

static int check_key(const Invocation *invocation, const char *path, const GrantClaims *claims) {
        char thumbprint[JWS_THUMBPRINT_SIZE];
        uint8_t bytes[KEYFILE_MAX], public_key[32];
        size_t n;
        int r;

        r = provider_read_file(path, bytes, sizeof(bytes), &n);
        if (r == 0)
                r = keyfile_parse_public(public_key, bytes, n);
        explicit_bzero(bytes, sizeof(bytes));
        if (r < 0 && r != -EFBIG)
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be read: %s.", path, strerrordesc_np(-r));
        if (r != 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s is no key of carewallet-provider.", path);
        jwk_thumbprint(thumbprint, public_key);
        if (strcmp(thumbprint, claims->provider_thumbprint) != 0)
                return provider_fail(invocation, EXIT_REFUSED, "This grant is for another key than %s.", path);
        return 0;
}

static int run(const Invocation *invocation) {
        const char *path = invocation->arguments.operand[0], *key = provider_option(invocation, OPTION_KEY);
        cleanup(freep) char *jwt = NULL;
        GrantClaims claims;
        int r;

        r = provider_read_grant(invocation, path, &claims, &jwt);
        if (r == 0 && key)
                r = check_key(invocation, key, &claims);
        if (r != 0)
                return r;

        if (invocation->json) {
                json_t *object = describe_json(&claims);

                r = object ? output_json(stdout, object) : -ENOMEM;
                json_decref(object);
                return r == 0 ? EXIT_DONE : EXIT_INTERNAL;
        }
        printf("The signature of %s is right%s.\n", path, key ? ", and it is for your key" : "");
        describe_grant(stdout, &claims, "  ");
        printf("Compare the words with those that the patient's wallet shows. Whether it was revoked only the gate knows.\n");
        return EXIT_DONE;
}

const ProviderVerb verb_verify = {
        .name = "verify",
        .operands = "GRANTFILE",
        .n_min = 1,
        .n_max = 1,
        .summary = "check a grant's signature, and say what it permits",
        .help = "Checks a grant without asking the gate: who signed it, until when it is valid, and what it permits.",
        .options = options,
        .run = run,
};
