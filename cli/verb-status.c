/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        ACCEPT_OLDER,
};

static const Option options[] = {
        [ACCEPT_OLDER] = {"accept-older", NULL, "the wallet was put back to an older state, and that was you: stop warning", NULL},
        {NULL, NULL, NULL, NULL},
};

static void label(const char *name) {
        printf("%-12s", name);
}

static void print_wallet(const json_t *status) {
        const char *timezone = message_text(status, "timezone", NULL);

        label("Wallet");
        if (!message_bool(status, "initialized"))
                printf("%snone yet%s", paint(stdout, PAINT_BOLD), unpaint(stdout));
        else if (message_bool(status, "locked"))
                printf("%slocked%s", paint(stdout, PAINT_BOLD), unpaint(stdout));
        else
                printf("%sopen%s", paint(stdout, PAINT_GOOD), unpaint(stdout));
        if (timezone)
                printf(", devices' time zone %s", timezone);
        putchar('\n');
}

static void print_contents(const json_t *status) {
        const json_t *records = json_object_get(status, "records"), *gate = json_object_get(status, "gate");
        const char *first = message_text(status, "firstDay", NULL), *last = message_text(status, "lastDay", NULL);
        const char *last_import = message_text(status, "lastImport", NULL);
        char time[OUTPUT_TIME_SIZE];

        if (records) {
                label("Records");
                output_records(stdout, records);
                if (first && last)
                        printf(", from %s to %s", first, last);
                putchar('\n');
        }
        if (last_import) {
                label("Last import");
                puts(output_time(time, last_import));
        }
        if (json_object_get(status, "grants")) {
                label("Grants");
                output_count(stdout, message_int(status, "grants", 0), "active", "active");
                putchar('\n');
        }
        if (gate) {
                label("Gate");
                if (message_bool(gate, "on")) {
                        printf("%sopen%s at %s", paint(stdout, PAINT_WARNING), unpaint(stdout), message_text(gate, "address", "?"));
                        if (json_array_size(json_object_get(gate, "urls")) > 0) {
                                fputs(", reached by ", stdout);
                                output_list(stdout, json_object_get(gate, "urls"));
                        }
                        putchar('\n');
                } else if (message_text(gate, "reason", NULL))
                        printf("%sclosed%s: %s\n", paint(stdout, PAINT_BAD), unpaint(stdout), message_text(gate, "reason", ""));
                else
                        puts("closed: nobody can fetch anything");
        }
}

static void print_warnings(const json_t *status) {
        int64_t n_altered = message_int(status, "altered", 0);
        const json_t *landlock = json_object_get(status, "landlock"); /* its version */

        if (n_altered > 0)
                cli_warn("%d stored grant%s no longer bear%s this wallet's signature and count%s for nothing: somebody changed the wallet's file.",
                         (int) n_altered, n_altered == 1 ? "" : "s", n_altered == 1 ? "s" : "", n_altered == 1 ? "s" : "");
        if (json_is_false(json_object_get(status, "memoryLocked")))
                cli_warn("the daemon's memory can't be locked: keys could be written to swap. Raise its memory lock limit (LimitMEMLOCK=).");
        if (message_bool(status, "clockBehind"))
                cli_warn("this machine's clock is earlier than it has been, so nothing is served. Set it right; if it was wrong before: "
                         "carewallet clock accept");
        if (json_is_false(landlock) || (json_is_integer(landlock) && json_integer_value(landlock) <= 0))
                cli_warn("this kernel has no Landlock: one of the daemon's fences is missing.");
}

static const char *next_step(const json_t *status) {
        const json_t *records = json_object_get(status, "records"), *value;
        const char *kind;
        int64_t n = 0;

        json_object_foreach ((json_t *) (uintptr_t) records, kind, value)
                n += json_integer_value(value);

        if (!message_bool(status, "initialized"))
                return "carewallet init";
        if (message_bool(status, "locked"))
                return "carewallet unlock";
        if (records && n == 0)
                return "carewallet import FILE (a CSV export from CareLink)";
        if (message_int(status, "grants", 0) == 0)
                return "carewallet show --kind cgm, or carewallet provider add NAME --key FILE to let somebody see it";
        if (!message_bool(json_object_get(status, "gate"), "on"))
                return "carewallet gate on --listen ADDRESS:PORT, so that those with a grant can fetch";
        return NULL;
}

static int run(Cli *cli) {
        const char *next;
        int r;

        r = cli_look(cli, cli_option(cli, ACCEPT_OLDER));
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, cli->status);

        print_wallet(cli->status);
        print_contents(cli->status);
        if (message_int(cli->status, "waiting", 0) > 0) {
                label("Waiting");
                output_count(stdout, message_int(cli->status, "waiting", 0), "revocation, applied at the next unlock",
                             "revocations, applied at the next unlock");
                putchar('\n');
        }
        if (json_object_get(cli->status, "since")) {
                label("Since then");
                if (!cli_print_since(stdout, cli->status))
                        fputs("nothing was fetched", stdout);
                putchar('\n');
        }
        if (cli->memory)
                (void) memory_first_today(cli->memory); /* it has been told */
        print_warnings(cli->status);

        next = next_step(cli->status);
        if (next)
                printf("\nNext: %s\n", next);
        return EXIT_DONE;
}

const Verb verb_status = {
        .name = "status",
        .operands = "",
        .summary = "What is in the wallet, who may see it, what happened",
        .options = options,
        .run = run,
};
