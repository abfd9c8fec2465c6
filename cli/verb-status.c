/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

enum {
        ACCEPT_OLDER,
};

static const Option options[] = {
        [ACCEPT_OLDER] = {"accept-older", NULL, "the wallet was put back to an older state, and that was you: stop warning", NULL},
        {NULL, NULL, NULL, NULL},
};

static void print_wallet(const Cli *cli) {
        const json_t *status = cli->status;
        int64_t after_s = message_int(status, "autoLockS", 0);
        char duration[OUTPUT_NUMBER_SIZE];
        const char *timezone = message_text(status, "timezone", NULL);
        bool is_made = message_bool(status, "initialized"), is_open = is_made && !message_bool(status, "locked");

        output_row(stdout, "Wallet", "%s%s%s%s%s%s%s%s%s%s", cli->wallet ? cli->wallet : "", cli->wallet ? ", " : "", paint(stdout, is_open ? PAINT_GOOD : PAINT_BOLD), !is_made ? "none yet" : is_open ? "open" : message_bool(status, "keysLost") ? "can't be opened: both copies of its key file are gone or damaged" : "locked",
                   unpaint(stdout), after_s > 0 ? " (locks itself when not used for " : "", after_s > 0 ? output_duration(duration, after_s) : "",
                   after_s > 0 ? ")" : "", timezone ? ", devices' time zone " : "", timezone ? timezone : "");
}

static void print_records(const json_t *status) {
        const char *first = message_text(status, "firstDay", NULL), *last = message_text(status, "lastDay", NULL);
        cleanup(freep) char *text = NULL;
        size_t n_text;
        FILE *memory = open_memstream(&text, &n_text);

        if (!memory)
                return;
        output_records(memory, json_object_get(status, "records"));
        if (first && last)
                fprintf(memory, "\n%s to %s", first, last);
        if (fclose(memory) == 0)
                output_row(stdout, "Records", "%s", text);
}

static void print_gate(const json_t *gate) {
        const char *reason = message_text(gate, "reason", NULL);
        cleanup(freep) char *urls = NULL;
        size_t n_urls;
        FILE *memory;

        if (message_bool(gate, "opening")) {
                output_row(stdout, "Gate", "opening");
                return;
        }
        if (!message_bool(gate, "on")) {
                output_row(stdout, "Gate", "%sclosed%s: %s", reason ? paint(stdout, PAINT_BAD) : "", reason ? unpaint(stdout) : "",
                           reason ? reason : "nobody can fetch anything");
                return;
        }
        memory = open_memstream(&urls, &n_urls);
        if (!memory)
                return;
        output_list(memory, json_object_get(gate, "urls"));
        if (fclose(memory) == 0)
                output_row(stdout, "Gate", "%sopen%s at %s%s%s", paint(stdout, PAINT_WARNING), unpaint(stdout), message_text(gate, "address", "?"),
                           n_urls > 0 ? ", reached by " : "", urls);
}

static void print_contents(const json_t *status) {
        int64_t n_waiting = message_int(status, "waiting", 0);
        const json_t *gate = json_object_get(status, "gate");

        if (json_object_get(status, "records"))
                print_records(status);
        if (json_object_get(status, "grants"))
                output_row(stdout, "Grants", message_int(status, "grants", 0) > 0 ? "%d active" : "none active: nobody may see anything",
                           (int) message_int(status, "grants", 0));
        if (message_int(status, "suspended", 0) > 0)
                output_row(stdout, "Suspended", "%d grant%s: carewallet grants, then carewallet resume NAME", (int) message_int(status, "suspended", 0),
                           message_int(status, "suspended", 0) == 1 ? "" : "s");
        if (message_int(status, "unstored", 0) > 0)
                output_row(stdout, "Not stored", "%sthe end of %d grant%s is not on the disk yet%s: after a restart %s would be alive again. Make room; it is tried again by itself",
                           paint(stdout, PAINT_BAD), (int) message_int(status, "unstored", 0), message_int(status, "unstored", 0) == 1 ? "" : "s", unpaint(stdout),
                           message_int(status, "unstored", 0) == 1 ? "it" : "they");
        if (gate)
                print_gate(gate);
        if (n_waiting > 0)
                output_row(stdout, "Waiting", "%d revocation%s, applied at the next unlock", (int) n_waiting, n_waiting == 1 ? "" : "s");
}

static void print_since(Cli *cli) {
        cleanup(freep) char *text = NULL;
        bool any = false;
        size_t n_text;
        FILE *memory;

        if (message_bool(cli->status, "locked"))
                return;
        if (!json_object_get(cli->status, "since")) {
                output_row(stdout, "Happened", "shown once you gave your passphrase here: carewallet unlock");
                return;
        }
        memory = open_memstream(&text, &n_text);
        if (!memory)
                return;
        any = cli_print_since(memory, cli->status);
        if (fclose(memory) != 0)
                return;
        output_row(stdout, cli->memory && memory_told_size(cli->memory) > 0 ? "Since then" : "Until now", "%s",
                   any ? text : "nothing was fetched, and nobody was refused");
        if (cli->memory)
                memory_tell(cli->memory, cli->status);
}

static void print_warnings(const json_t *status) {
        int64_t n_altered = message_int(status, "altered", 0);
        const json_t *landlock = json_object_get(status, "landlock"); /* its version */

        if (n_altered > 0)
                cli_warn("%d stored grant%s no longer bear%s this wallet's signature and count%s for nothing: somebody changed the wallet's file.",
                         (int) n_altered, n_altered == 1 ? "" : "s", n_altered == 1 ? "s" : "", n_altered == 1 ? "s" : "");
        if (json_is_false(json_object_get(status, "memoryLocked")))
                cli_warn("the daemon's memory can't be locked: keys could be written to swap. Raise its memory lock limit (LimitMEMLOCK=).");
        if (message_int(status, "codesLeft", 99) < 3)
                cli_warn("%d one-time codes are left for when your phone is not at hand. Make new ones: carewallet totp codes", (int) message_int(status, "codesLeft", 0));
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
        if (message_bool(status, "keysLost"))
                return "carewallet doctor";
        if (message_bool(status, "locked"))
                return "carewallet unlock";
        if (records && n == 0)
                return "carewallet import FILE (a CSV export from CareLink)";
        if (message_int(status, "grants", 0) == 0)
                return "carewallet show --kind cgm; or, to let somebody see it, carewallet provider add NAME --key FILE and carewallet grant NAME";
        if (!message_bool(json_object_get(status, "gate"), "on") && !message_bool(json_object_get(status, "gate"), "opening"))
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

        print_wallet(cli);
        print_contents(cli->status);
        print_since(cli);
        print_warnings(cli->status);

        next = next_step(cli->status);
        if (next) {
                putchar('\n');
                output_say(stdout, 0, "Next: %s", next);
        }
        return EXIT_DONE;
}

const Verb verb_status = {
        .name = "status",
        .group = "Wallet",
        .operands = "",
        .summary = "What is in the wallet, who may see it, what happened",
        .options = options,
        .run = run,
};
