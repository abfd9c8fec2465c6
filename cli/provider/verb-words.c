/* SPDX-License-Identifier: Apache-2.0 */

#include "provider.h"

#include "daemon/common/words.h"

static const Option options[] = {{NULL, NULL, NULL, NULL}};

static int run(const Invocation *invocation) {
        const char *path = invocation->arguments.n_operands > 0 ? invocation->arguments.operand[0] : "provider.jwk";
        static char text[PROVIDER_FILE_MAX];
        cleanup(json_decrefp) json_t *jwk = NULL;
        uint8_t public_key[32];
        char words[WORDS_SIZE];
        size_t n;
        int r;

        r = provider_read_file(path, (uint8_t *) text, sizeof(text), &n);
        if (r < 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be read: %s.", path, strerrordesc_np(-r));
        jwk = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        if (!jwk || jwk_parse_public(public_key, jwk) != 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s is no public key. Give the file that `carewallet-provider keygen` wrote beside the key: provider.jwk", path);
        words_of_key(words, public_key);
        if (invocation->json) {
                cleanup(json_decrefp) json_t *object = json_pack("{s:s, s:s}", "public", path, "words", words);

                return output_json(stdout, object) == 0 ? EXIT_DONE : EXIT_INTERNAL;
        }
        puts(words);
        return EXIT_DONE;
}

const ProviderVerb verb_words = {
        .name = "words",
        .operands = "[provider.jwk]",
        .n_max = 1,
        .summary = "the eight words of your key, to read out to the patient",
        .help = "Prints the eight words of a public key. The patient sees the same words when adding it.",
        .options = options,
        .run = run,
};
