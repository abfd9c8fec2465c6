/* SPDX-License-Identifier: Apache-2.0 */

#include "grants.h"

enum {
        ALL,
        YES,
};

static const Option options[] = {
        [ALL] = {"all", NULL, "every grant that is suspended", NULL},
        [YES] = {"yes", NULL, "don't ask", NULL},
        {NULL, NULL, NULL, NULL},
};

/* What would count again; *ret_n: how many. */
static int show(Cli *cli, const char *name, size_t *ret_n) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *grant;
        size_t i;
        int r;

        r = cli_call(cli, "ListGrants", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        json_array_foreach (json_object_get(reply.parameters, "grants"), i, grant) {
                if (strcmp(message_text(grant, "state", ""), "suspended") != 0 || (name && strcmp(message_text(grant, "provider", ""), name) != 0))
                        continue;
                ++*ret_n;
                if (!cli->json)
                        grants_print(stdout, grant);
        }
        (void) fflush(stdout);
        return 0;
}

static int run(Cli *cli) {
        const char *name = cli_operand(cli, 0);
        cleanup(reply_done) Reply reply = {0};
        size_t n = 0;
        int r;

        if (!name == !cli_option(cli, ALL))
                return cli_usage(cli, "Whose? Name a provider, or all of them by --all.");
        r = show(cli, name, &n);
        if (r != 0)
                return r;
        if (n > 0 && !cli_option(cli, YES)) {
                r = cli_confirm(cli, n == 1 ? "Let this grant count again?" : "Let these grants count again?");
                if (r != 0)
                        return r;
        }
        r = cli_call(cli, "Resume", name ? json_pack("{s:s}", "provider", name) : json_pack("{s:b}", "all", 1), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        if (message_int(reply.parameters, "resumed", 0) == 0)
                printf("%s: nothing is suspended.\n", name ? name : "All grants");
        else
                printf("%s: %d grant%s again.\n", name ? name : "All grants", (int) message_int(reply.parameters, "resumed", 0),
                       message_int(reply.parameters, "resumed", 0) == 1 ? " counts" : "s count");
        return EXIT_DONE;
}

const Verb verb_resume = {
        .name = "resume",
        .group = "Sharing",
        .operands = "[NAME]",
        .n_max = 1,
        .summary = "Let grants count again that were suspended",
        .help = "All grants are suspended when the wallet was restored from a backup or put back to an older state: one that you had revoked since may be among them.",
        .options = options,
        .run = run,
};
