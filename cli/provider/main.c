/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet-provider: the provider's command line. */

#include "provider.h"

#include <curl/curl.h>
#include <malloc.h>
#include <sodium.h>

static const ProviderVerb *const verbs[] = {&verb_keygen, &verb_redeem, &verb_list, &verb_verify, &verb_words};

static const Option common[] = {
        {"json", NULL, "print JSON, for programs", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Jansson has held tokens and keys. */
static void wiping_free(void *pointer) {
        if (pointer)
                sodium_memzero(pointer, malloc_usable_size(pointer));
        free(pointer);
}

static void print_options(FILE *file, const Option *options) {
        for (size_t i = 0; options && options[i].name; i++) {
                char left[64];

                (void) snprintf(left, sizeof(left), "--%s%s%s", options[i].name, options[i].argument ? " " : "",
                                options[i].argument ? options[i].argument : "");
                fprintf(file, "  %-24s %s\n", left, options[i].help);
        }
}

static void print_verb_help(FILE *file, const ProviderVerb *verb) {
        fprintf(file, "usage: carewallet-provider %s%s%s [OPTION]...\n\n%s\n\n", verb->name, verb->operands[0] ? " " : "", verb->operands,
                verb->help);
        print_options(file, verb->options);
        print_options(file, common);
}

static void print_help(FILE *file) {
        fprintf(file, "usage: carewallet-provider VERB [OPTION]...\n\n"
                      "Redeems what patients have granted. Each verb has -h.\n\n");
        for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
                fprintf(file, "  %-8s %-20s %s\n", verbs[i]->name, verbs[i]->operands, verbs[i]->summary);
}

static int usage(const ProviderVerb *verb, const char *wrong) {
        fprintf(stderr, "%scarewallet-provider%s: %s See: carewallet-provider %s%s-h\n", paint(stderr, PAINT_BAD), unpaint(stderr), wrong,
                verb ? verb->name : "", verb ? " " : "");
        return EXIT_USAGE;
}

int main(int argc, char **argv) {
        const ProviderVerb *verb = NULL;
        Invocation invocation = {0};
        char wrong[256];
        int r;

        json_set_alloc_funcs(malloc, wiping_free);
        if (sodium_init() < 0 || curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
                return EXIT_INTERNAL;
        if (argc < 2)
                return usage(NULL, "Say what to do.");
        if (strcmp(argv[1], "-h") == 0 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0) {
                print_help(stdout);
                return EXIT_DONE;
        }
        if (strcmp(argv[1], "--version") == 0) {
                printf("carewallet-provider %s\n", CAREWALLET_VERSION);
                return EXIT_DONE;
        }
        for (size_t i = 0; i < N_ELEMENTS(verbs); i++)
                if (strcmp(argv[1], verbs[i]->name) == 0)
                        verb = verbs[i];
        if (!verb) {
                (void) snprintf(wrong, sizeof(wrong), "There is no verb %.64s.", argv[1]);
                return usage(NULL, wrong);
        }

        r = arguments_parse(verb->options, common, argv + 2, (size_t) argc - 2, &invocation.arguments, wrong);
        if (r == ARGUMENTS_E_HELP) {
                print_verb_help(stdout, verb);
                return EXIT_DONE;
        }
        if (r != 0)
                return usage(verb, wrong);
        if (invocation.arguments.n_operands < verb->n_min)
                return usage(verb, "Something is missing.");
        if (invocation.arguments.n_operands > verb->n_max)
                return usage(verb, "That is too much.");
        invocation.verb = verb;
        invocation.json = invocation.arguments.common[0];
        return verb->run(&invocation);
}
