/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "places.h"

enum {
        WORDS,

        TIMEOUT_S = 1,
};

static const Option options[] = {
        [WORDS] = {"words", NULL, "for the scripts: what may follow these words, a line each", NULL},
        {NULL, NULL, NULL, NULL},
};

/* The shells only ask; what there is to say stands in the verbs' tables. No answer means that files may follow. */
static const char bash_script[] =
        "_carewallet() {\n"
        "        local IFS=$'\\n'\n"
        "        COMPREPLY=($(compgen -W \"$(carewallet completion --words -- \"${COMP_WORDS[@]:1:COMP_CWORD}\" 2>/dev/null)\" -- \"$2\"))\n"
        "}\n"
        "complete -o default -F _carewallet carewallet\n";

static const char zsh_script[] =
        "#compdef carewallet\n"
        "_carewallet() {\n"
        "        local -a answers\n"
        "        answers=(\"${(@f)$(carewallet completion --words -- \"${(@)words[2,CURRENT]}\" 2>/dev/null)}\")\n"
        "        if [[ -n \"${answers[*]}\" ]]; then compadd -- \"${answers[@]}\"; else _files; fi\n"
        "}\n"
        "compdef _carewallet carewallet\n";

static const char fish_script[] =
        "complete -c carewallet -a '(carewallet completion --words -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'\n";

static void print_options(const Option *option) {
        for (; option && option->name; option++)
                printf("--%s\n", option->name);
}

/* @separator: between the choices; @typed: what of a list with commas stands before the item that is being typed */
static void print_choices(const char *choices, char separator, const char *typed, size_t n_typed) {
        for (const char *end; *choices != '\0'; choices = *end == '\0' ? end : end + 1) {
                end = strchrnul(choices, separator);
                printf("%.*s%.*s\n", (int) n_typed, typed, (int) (end - choices), choices);
        }
}

static void print_providers(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *provider;
        size_t i;

        /* never a prompt and never a long wait: the guard may say no, and then there are no names */
        if (cli_try_connect(cli) != 0)
                return;
        client_set_timeout(cli->client, TIMEOUT_S);
        if (client_call(cli->client, "org.carewallet.ListProviders", NULL, false, NULL, 0) != 0 ||
            client_receive(cli->client, &reply) != 0 || reply.error)
                return;
        json_array_foreach (json_object_get(reply.parameters, "providers"), i, provider)
                puts(message_text(provider, "name", ""));
}

static void print_wallets(void) {
        static Place places[PLACES_MAX];
        size_t n = places_list(places);

        for (size_t i = 0; i < n; i++)
                puts(places[i].name);
}

static const Option *find(const Option *option, const char *word) {
        for (; option && option->name && word[0] == '-' && word[1] == '-'; option++)
                if (strcmp(option->name, word + 2) == 0)
                        return option;
        return NULL;
}

/* The last word is the one that is being typed. */
static void answer(Cli *cli) {
        char *const *words = (char *const *) (uintptr_t) cli->arguments.operand;
        size_t n = cli->arguments.n_operands, n_verb = 0;
        const Option *before = NULL;
        const Verb *verb;

        if (n == 0)
                return;
        if (n >= 2 && strcmp(words[n - 2], "--wallet") == 0) {
                print_wallets();
                return;
        }
        n_verb = arguments_leading(cli_common_options, words, n - 1);
        words += n_verb;
        n -= n_verb;
        verb = cli_find(cli->verbs, words, n - 1, &n_verb);
        if (!verb) { /* the first word, or the second of a verb that has two */
                for (const Verb *const *each = cli->verbs; *each; each++) {
                        const char *blank = strchr((*each)->name, ' ');
                        size_t n_first = blank ? (size_t) (blank - (*each)->name) : strlen((*each)->name);

                        if (n == 1 && !(each > cli->verbs && strncmp(each[-1]->name, (*each)->name, n_first) == 0 && each[-1]->name[n_first] == ' '))
                                printf("%.*s\n", (int) n_first, (*each)->name);
                        else if (n == 2 && blank && strncmp((*each)->name, words[0], n_first) == 0 && words[0][n_first] == '\0')
                                puts(blank + 1);
                }
                return;
        }

        if (n >= 2) {
                before = find(verb->options, words[n - 2]);
                if (!before)
                        before = find(cli_common_options, words[n - 2]);
        }
        if (before && before->argument) {
                const char *comma = strstr(before->argument, "[,") ? strrchr(words[n - 1], ',') : NULL;

                if (before->choices)
                        print_choices(before->choices, ' ', words[n - 1], comma ? (size_t) (comma + 1 - words[n - 1]) : 0);
        } else if (words[n - 1][0] == '-') {
                print_options(verb->options);
                print_options(cli_common_options);
        } else if (strchr(verb->operands, '|'))
                print_choices(verb->operands, '|', "", 0);
        else if (strstr(verb->operands, "NAME"))
                print_providers(cli);
        else if (strstr(verb->operands, "VERB"))
                for (const Verb *const *each = cli->verbs; *each; each++)
                        puts((*each)->name);
}

static int run(Cli *cli) {
        const char *shell = cli_operand(cli, 0);

        if (cli_option(cli, WORDS)) {
                answer(cli);
                cli->client = client_free(cli->client);
                return EXIT_DONE;
        }
        if (!shell)
                return cli_usage(cli, "For which shell? bash, zsh or fish.");
        if (strcmp(shell, "bash") == 0)
                fputs(bash_script, stdout);
        else if (strcmp(shell, "zsh") == 0)
                fputs(zsh_script, stdout);
        else if (strcmp(shell, "fish") == 0)
                fputs(fish_script, stdout);
        else
                return cli_usage(cli, "There is completion for bash, zsh and fish.");
        return EXIT_DONE;
}

const Verb verb_completion = {
        .name = "completion",
        .group = "Help",
        .operands = "bash|zsh|fish",
        .n_max = SIZE_MAX,
        .summary = "Let your shell complete what you type",
        .help = "bash: carewallet completion bash >~/.local/share/bash-completion/completions/carewallet\n"
                "zsh: carewallet completion zsh >>~/.zshrc, after compinit\n"
                "fish: carewallet completion fish >~/.config/fish/completions/carewallet.fish",
        .options = options,
        .run = run,
};
