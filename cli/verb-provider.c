/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>

#include "daemon/common/jws.h"
#include "daemon/common/words.h"
#include "parse.h"

enum {
        KEY,

        NAMES = 0, /* of list */

        KEY_FILE_MAX = 64 * 1024, /* bytes */
};

static const Option add_options[] = {
        [KEY] = {"key", "FILE", "the provider's public key, a file such as provider.jwk", NULL},
        {NULL, NULL, NULL, NULL},
};

static const Option list_options[] = {
        [NAMES] = {"names", NULL, "just the names, one a line", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Return: 0 or an exit code. */
static int read_key(const Cli *cli, const char *path, uint8_t ret[static 32]) {
        cleanup(json_decrefp) json_t *jwk = NULL;
        cleanup(close_fdp) int fd = -1;
        static char text[KEY_FILE_MAX + 1];
        size_t n = 0;
        ssize_t l;
        int r;

        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be opened: %s.", path, strerror(errno));
        while ((l = read(fd, text + n, sizeof(text) - n)) > 0 && (n += (size_t) l) < sizeof(text))
                ;
        if (l < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be read: %s.", path, strerror(errno));
        if (n > KEY_FILE_MAX)
                return cli_fail(cli, EXIT_REFUSED, "%s is far too large for a key.", path);

        r = message_parse(&jwk, text, n);
        explicit_bzero(text, sizeof(text));
        if (r == 0 && json_object_get(jwk, "d"))
                return cli_fail(cli, EXIT_REFUSED, "%s holds a PRIVATE key. It must never leave the provider's machine, and whoever has this file "
                                                   "can pose as the provider. Delete it, tell the provider to make a new key "
                                                   "(carewallet-provider keygen) and to send you the public file, provider.jwk.", path);
        if (r == 0)
                r = jwk_parse_public(ret, jwk);
        if (r != 0)
                return cli_fail(cli, EXIT_REFUSED, "%s is not a provider's public key (a JWK of type OKP, Ed25519). "
                                                   "The provider makes one with: carewallet-provider keygen --out provider.key", path);
        return 0;
}

static int run_add(Cli *cli) {
        const char *name = cli_operand(cli, 0), *path = cli_option(cli, KEY);
        char words[WORDS_SIZE], x[44];
        cleanup(reply_done) Reply reply = {0};
        uint8_t key[32];
        int r;

        if (!path)
                return cli_usage(cli, "Whose key is it? Give the file: --key provider.jwk.");
        if (parse_name(name) != 0)
                return cli_usage(cli, "A name has small letters, digits, dots, hyphens and underlines, such as endo-clinic (63 at most).");
        r = read_key(cli, path, key);
        if (r != 0)
                return r;

        (void) b64url_encode(x, sizeof(x), key, sizeof(key));
        r = cli_call(cli, "AddProvider", json_pack("{s:s, s:s}", "name", name, "x", x), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        words_of_key(words, key);
        if (strcmp(message_text(reply.parameters, "words", ""), words) != 0)
                return cli_fail(cli, EXIT_INTERNAL, "The daemon names other words for this key than this program (%s). Do not grant anything to %s.",
                                words, name);
        if (cli->json)
                return cli_print_json(cli, reply.parameters);

        printf("%s is known now, and may see nothing yet. The words of its key:\n\n    %s%s%s\n\n",
               name, paint(stdout, PAINT_BOLD), words, unpaint(stdout));
        output_say(stdout, 0, "Ask for them over a telephone number that you already had, not one from the message that brought the key (the provider "
                              "sees them with: carewallet-provider words provider.jwk). If one differs, grant nothing.\n\n"
                              "Next: carewallet grant %s --preset visit --out FILE", name);
        return EXIT_DONE;
}

static int run_list(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *providers, *provider;
        char time[OUTPUT_TIME_SIZE];
        size_t i;
        int r;

        r = cli_zone(cli);
        if (r != 0)
                return r;
        r = cli_call(cli, "ListProviders", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        providers = json_object_get(reply.parameters, "providers");
        if (cli->json)
                return cli_print_json(cli, providers);

        if (json_array_size(providers) == 0 && !cli_option(cli, NAMES))
                puts("You know no provider yet. Next: carewallet provider add NAME --key provider.jwk");
        json_array_foreach (providers, i, provider)
                if (cli_option(cli, NAMES))
                        puts(message_text(provider, "name", ""));
                else
                        printf("%s%-20s%s  since %s\n  %s\n", paint(stdout, PAINT_BOLD), message_text(provider, "name", ""), unpaint(stdout),
                               output_time(time, message_text(provider, "added", "")), message_text(provider, "words", ""));
        return EXIT_DONE;
}

const Verb verb_provider_add = {
        .name = "provider add",
        .group = "Sharing",
        .operands = "NAME",
        .n_min = 1,
        .n_max = 1,
        .summary = "Get to know a doctor or clinic by its key",
        .help = "NAME is yours to choose. It lets nobody see anything: that takes a grant.",
        .options = add_options,
        .run = run_add,
};

const Verb verb_provider_list = {
        .name = "provider list",
        .group = "Sharing",
        .operands = "",
        .summary = "Whom you know, and the words of their keys",
        .options = list_options,
        .run = run_list,
};
