/* SPDX-License-Identifier: Apache-2.0 */

/* From the command line to a verb. */

#include "cli.h"

#include <locale.h>
#include <malloc.h>
#include <sodium.h>

#include "parse.h"
#include "places.h"

enum { /* indices in the table below */
        COMMON_SOCKET,
        COMMON_WALLET,
        COMMON_JSON,
        COMMON_PASSPHRASE_FD,
        COMMON_CODE_FD,
        COMMON_STATE_DIR,
};

const Option cli_common_options[] = {
        [COMMON_SOCKET] = {"socket", "PATH", "where the daemon listens (else CAREWALLET_SOCKET, else the usual places)", NULL},
        [COMMON_WALLET] = {"wallet", "NAME", "which of your wallets, as carewallet wallets lists them (else CAREWALLET_WALLET)", NULL},
        [COMMON_JSON] = {"json", NULL, "for programs: JSON instead of text", NULL},
        [COMMON_PASSPHRASE_FD] = {"passphrase-fd", "N", "read the passphrase from this descriptor when it is needed", NULL},
        [COMMON_CODE_FD] = {"code-fd", "N", "read a code of your phone from this descriptor when it is needed", NULL},
        [COMMON_STATE_DIR] = {"state-dir", "DIR", "the daemon's, to revoke while it does not run", NULL},
        {NULL, NULL, NULL, NULL},
};

static int find_socket(Cli *cli) {
        const char *given = cli->arguments.common[COMMON_SOCKET], *wallet = cli->arguments.common[COMMON_WALLET];

        if (given && wallet)
                return cli_usage(cli, "--socket or --wallet, not both.");
        if (!given && !wallet) {
                given = getenv("CAREWALLET_SOCKET");
                if (given && given[0] == '\0')
                        given = NULL;
        }
        if (!given && !wallet) {
                wallet = getenv("CAREWALLET_WALLET");
                if (wallet && wallet[0] == '\0')
                        wallet = NULL;
        }
        if (wallet && !places_is_name(wallet))
                return cli_usage(cli, "A wallet's name is 1 to %d small letters, digits and hyphens and begins with no hyphen, unlike \"%.64s\". Those that you "
                                      "have: carewallet wallets.", PLACES_NAME_MAX, wallet);
        cli->is_socket_given = given != NULL;
        cli->wallet = wallet && strcmp(wallet, PLACES_PLAIN) != 0 ? wallet : NULL;
        if (given ? (size_t) snprintf(cli->socket, sizeof(cli->socket), "%s", given) >= sizeof(cli->socket) : places_socket(cli->wallet, cli->socket) != 0)
                return cli_usage(cli, "The path of the daemon's socket is missing or too long: give --socket PATH.");
        return 0;
}

static bool is_verb(const char *name, char *const *words, size_t n_words) {
        const char *blank = strchr(name, ' ');

        if (n_words == 1)
                return !blank && strcmp(name, words[0]) == 0;
        return blank && strncmp(name, words[0], (size_t) (blank - name)) == 0 && words[0][blank - name] == '\0' && strcmp(blank + 1, words[1]) == 0;
}

const Verb *cli_find(const Verb *const *verbs, char *const *words, size_t n, size_t *ret_n) {
        /* "timezone add" before "timezone", whose operand it could be */
        for (*ret_n = n < 2 ? n : 2; *ret_n > 0; --*ret_n)
                for (const Verb *const *verb = verbs; *verb; verb++)
                        if (is_verb((*verb)->name, words, *ret_n))
                                return *verb;
        return NULL;
}

enum {
        HELP_WIDTH = 80, /* where it goes to no terminal, but to a pager */
        HELP_COLUMN = 27,
};

static void print_wrapped(FILE *file, unsigned at, unsigned indent, const char *text) {
        unsigned width = output_width(file);

        output_wrap_at(file, width > 0 ? width : HELP_WIDTH, at, indent, text);
}

static void print_options(FILE *file, const Option *options) {
        for (; options && options->name; options++) {
                int n = fprintf(file, "  --%s%s%s ", options->name, options->argument ? " " : "", options->argument ? options->argument : "");

                fprintf(file, "%*s", n < HELP_COLUMN ? HELP_COLUMN - n : 0, "");
                print_wrapped(file, n < HELP_COLUMN ? HELP_COLUMN : (unsigned) n, HELP_COLUMN, options->help);
        }
}

static void print_verb(FILE *file, const Verb *verb) {
        fprintf(file, "usage: carewallet %s%s%s%s\n\n%s.\n", verb->name, verb->operands[0] ? " " : "", verb->operands,
                verb->options ? " [OPTION...]" : "", verb->summary);
        if (verb->help)
                print_wrapped(file, 0, 0, verb->help);
        if (verb->options) {
                fputc('\n', file);
                print_options(file, verb->options);
        }
}

static void print_common(FILE *file) {
        fputs("\nWith every verb:\n", file);
        print_options(file, cli_common_options);
}

bool cli_print_family(FILE *file, const Verb *const *verbs, const char *word) {
        size_t n = strlen(word);
        bool any = false;

        for (; *verbs; verbs++) {
                if (n == 0 || strncmp((*verbs)->name, word, n) != 0 || (*verbs)->name[n] != ' ')
                        continue;
                if (any)
                        fputc('\n', file);
                print_verb(file, *verbs);
                any = true;
        }
        if (any)
                print_common(file);
        return any;
}

void cli_print_help(FILE *file, const Verb *const *verbs, const Verb *verb) {
        const char *group = "";

        if (verb) {
                print_verb(file, verb);
                print_common(file);
                return;
        }

        fputs("usage: carewallet VERB [OPTION...]\n\n"
              "Your diabetes data in a wallet of your own: you decide who sees what, for how\n"
              "long, and end it with one command.\n", file);
        for (; *verbs; verbs++) {
                if (strcmp((*verbs)->group, group) != 0)
                        fprintf(file, "\n%s%s%s\n", paint(file, PAINT_BOLD), (*verbs)->group, unpaint(file));
                group = (*verbs)->group;
                fprintf(file, "  %-16s %s\n", (*verbs)->name, (*verbs)->summary);
        }
        fputs("\ncarewallet VERB -h says more of one of them, carewallet(1) of all.\n\n"
              "It starts with:\n"
              "  carewallet init\n"
              "  carewallet import FILE\n"
              "  carewallet provider add NAME --key FILE\n"
              "  carewallet grant NAME --preset visit --out FILE\n", file);
}

static void *wiped_malloc(size_t n) {
        return malloc(n);
}

static void wiped_free(void *pointer) {
        if (pointer)
                explicit_bzero(pointer, malloc_usable_size(pointer));
        free(pointer);
}

/* After the verb: keep the checkpoint and, once a day, tell what happened. */
static void look_again(Cli *cli) {
        cleanup(freep) char *line = NULL;
        bool tells, any;
        size_t n_line;
        FILE *memory;

        if (!cli->client || !cli->memory)
                return;
        tells = !cli->json && isatty(STDERR_FILENO) && !memory_told_today(cli->memory);
        /* what the verb saw may be from before the passphrase was given, and then it does not say what happened */
        if ((!cli->status || (tells && !json_object_get(cli->status, "since"))) && cli_look(cli, cli->is_new) != 0)
                return;
        if (!tells || !json_object_get(cli->status, "since"))
                return;

        memory = open_memstream(&line, &n_line);
        if (!memory)
                return;
        any = cli_print_since(memory, cli->status);
        if (fclose(memory) == 0 && any)
                output_say(stderr, 0, "%s: %s. More: carewallet log", memory_told_size(cli->memory) > 0 ? "Since the last time" : "Until now", line);
        memory_tell(cli->memory, cli->status);
}

static int run(Cli *cli, int argc, char **argv) {
        const char *passphrase_fd, *code_fd, *state_dir;
        char wrong[256];
        size_t n_leading, n_words = 0;
        int64_t fd;
        int r;

        argv++, argc--;
        if (argc == 0) {
                cli_print_help(stderr, cli->verbs, NULL);
                return EXIT_USAGE;
        }
        if (strcmp(argv[0], "--version") == 0) {
                puts("carewallet " CAREWALLET_VERSION);
                return EXIT_DONE;
        }
        n_leading = arguments_leading(cli_common_options, argv, (size_t) argc);
        if (n_leading == (size_t) argc)
                return cli_usage(cli, "Which verb?");
        if (strcmp(argv[n_leading], "-h") == 0 || strcmp(argv[n_leading], "--help") == 0) {
                cli_print_help(stdout, cli->verbs, NULL);
                return EXIT_DONE;
        }
        cli->verb = cli_find(cli->verbs, argv + n_leading, (size_t) argc - n_leading, &n_words);
        if (!cli->verb) {
                const char *word = argv[n_leading], *next = n_leading + 1 < (size_t) argc ? argv[n_leading + 1] : "";
                bool asks = strcmp(next, "-h") == 0 || strcmp(next, "--help") == 0;

                if (cli_print_family(asks ? stdout : stderr, cli->verbs, word))
                        return asks ? EXIT_DONE : EXIT_USAGE;
                return cli_usage(cli, "There is no verb \"%.64s\".", word);
        }

        memmove(argv + n_words, argv, n_leading * sizeof(*argv)); /* options before the verb are as good as behind it */
        r = arguments_parse(cli->verb->options, cli_common_options, argv + n_words, (size_t) argc - n_words, &cli->arguments, wrong);
        if (r == ARGUMENTS_E_HELP) {
                cli_print_help(stdout, cli->verbs, cli->verb);
                return EXIT_DONE;
        }
        if (r != 0)
                return cli_usage(cli, "%s", wrong);

        cli->json = cli->arguments.common[COMMON_JSON];
        if (cli->arguments.n_operands < cli->verb->n_min)
                return cli_usage(cli, "Something is missing: carewallet %s %s.", cli->verb->name, cli->verb->operands);
        if (cli->arguments.n_operands > cli->verb->n_max)
                return cli_usage(cli, "\"%.64s\" is one too many.", cli_operand(cli, cli->verb->n_max));

        passphrase_fd = cli->arguments.common[COMMON_PASSPHRASE_FD];
        if (passphrase_fd) {
                if (parse_number(passphrase_fd, 0, 1 << 20, &fd) != 0)
                        return cli_usage(cli, "--passphrase-fd needs the number of an open descriptor.");
                cli->passphrase_fd = (int) fd;
        }
        code_fd = cli->arguments.common[COMMON_CODE_FD];
        if (code_fd) {
                if (parse_number(code_fd, 0, 1 << 20, &fd) != 0)
                        return cli_usage(cli, "--code-fd needs the number of an open descriptor.");
                cli->code_fd = (int) fd;
        }
        state_dir = cli->arguments.common[COMMON_STATE_DIR];
        if (!state_dir)
                state_dir = getenv("CAREWALLET_STATE_DIR");
        cli->state_dir = state_dir && state_dir[0] != '\0' ? state_dir : NULL;
        r = find_socket(cli);
        if (r != 0)
                return r;
        cli->memory = memory_load(cli->socket);

        r = cli->verb->run(cli);

        if ((fflush(stdout) != 0 || ferror(stdout)) && errno == EPIPE)
                r = r != 0 ? r : EXIT_REFUSED;
        else if (ferror(stdout))
                r = r != 0 ? r : cli_fail(cli, EXIT_REFUSED, "Writing the output failed: %s.", strerror(errno));
        if (r == EXIT_DONE || r == EXIT_PARTLY)
                look_again(cli);
        if (cli->memory)
                memory_save(cli->memory);
        return r;
}

int cli_main(const Verb *const *verbs, int argc, char **argv) {
        Cli cli = {.verbs = verbs, .passphrase_fd = -1, .code_fd = -1};
        int r;

        (void) setlocale(LC_CTYPE, "");
        json_set_alloc_funcs(wiped_malloc, wiped_free);
        if (sodium_init() < 0)
                return cli_fail(&cli, EXIT_INTERNAL, "The crypto library can't start.");

        r = run(&cli, argc, argv);

        cli.client = client_free(cli.client);
        cli.memory = memory_free(cli.memory);
        json_decref(cli.status);
        return r;
}
