/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include "parse.h"

enum {
        LIMIT,

        PAGE = 1000, /* entries a call: a reply has a limit */
};

static const Option options[] = {
        [LIMIT] = {"limit", "N", "only the last N entries", NULL},
        {NULL, NULL, NULL, NULL},
};

static void print_refusal(const json_t *entry) {
        static const struct {
                const char *reason, *words;
        } reasons[] = {
                {"stranger", "without a key that you know"},
                {"more", "more of the same"},
                {"revoked", "it was revoked"},
                {"expired", "it had ended"},
                {"uses", "it was used up"},
                {"not-yet", "it was not valid yet"},
                {"kinds", "kinds that were not granted"},
                {"window", "days that were not granted"},
                {"detail", "records, and a summary was granted"},
        };
        const char *provider = message_text(entry, "provider", NULL), *reason = message_text(entry, "reason", "?");
        int64_t count = message_int(entry, "count", 1);

        for (size_t i = 0; i < N_ELEMENTS(reasons); i++)
                if (strcmp(reasons[i].reason, reason) == 0)
                        reason = reasons[i].words;
        if (provider)
                printf("%s tried to fetch and was refused: ", provider);
        else
                fputs("somebody tried to fetch and was refused: ", stdout);
        fputs(reason, stdout);
        if (count > 1) {
                fputs(", ", stdout);
                output_count(stdout, count, "time", "times");
        }
}

static void print_release(const json_t *entry, bool is_begin) {
        const char *provider = message_text(entry, "provider", "?"), *what = message_text(entry, "what", "records");
        const json_t *scope = json_object_get(entry, "scope");
        char number[OUTPUT_NUMBER_SIZE];
        bool is_summary = strcmp(what, "summary") == 0;

        if (is_begin) {
                printf("%s fetches %s of ", provider, is_summary ? "the summary" : "records");
                output_list(stdout, json_object_get(scope, "kinds"));
                printf(", %.10s to %.10s", message_text(scope, "from", "?"), message_text(scope, "to", "?"));
                return;
        }
        if (strcmp(message_text(entry, "state", ""), "complete") == 0)
                printf("%s got all of it: ", provider);
        else
                printf("%s was cut off (%s) after ", provider, message_text(entry, "by", "?"));
        output_count(stdout, message_int(entry, "rows", 0), "record", "records");
        printf(", %s", output_bytes(number, message_int(entry, "bytes", 0)));
}

static void print_grant(const json_t *entry) {
        const json_t *window = json_object_get(entry, "window");
        int64_t last_days = message_int(window, "lastDays", 0);
        char time[OUTPUT_TIME_SIZE];

        printf("%s may see %s of ", message_text(entry, "provider", "?"),
               strcmp(message_text(entry, "detail", ""), "summary") == 0 ? "a summary" : "each record");
        output_list(stdout, json_object_get(entry, "kinds"));
        if (last_days > 0)
                printf(" of the last %lld days", (long long) last_days);
        else
                printf(", %s to %s", message_text(window, "from", "?"), message_text(window, "to", "?"));
        printf(", until %s", output_time(time, message_text(entry, "expires", "?")));
}

/* What this version has no words for: its members as they are. */
static void print_other(const json_t *entry) {
        const char *name;
        json_t *value;

        fputs(message_text(entry, "type", "?"), stdout);
        json_object_foreach ((json_t *) (uintptr_t) entry, name, value) {
                cleanup(freep) char *text = NULL;

                if (strcmp(name, "type") == 0 || strcmp(name, "time") == 0 || strcmp(name, "index") == 0)
                        continue;
                text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
                printf(", %s %s", name, text ? text : json_is_string(value) ? json_string_value(value) : "?");
        }
}

static void print_entry(const json_t *entry) {
        static const struct {
                const char *type, *words; /* with the provider's name in front where there is one */
        } plain[] = {
                {"wallet-created", "the wallet was made"},
                {"provider-added", "is known now by its key"},
                {"redeemed", "redeemed a grant"},
                {"expired", "a grant of this provider ended by itself"},
                {"clock-accepted", "you said that the clock is right"},
                {"gate-off", "the gate was closed"},
                {"erased", "this entry was erased"},
        };
        const char *type = message_text(entry, "type", "?"), *provider = message_text(entry, "provider", NULL);
        char time[OUTPUT_TIME_SIZE];

        printf("%s%5lld%s  %-16s  ", paint(stdout, PAINT_FAINT), (long long) message_int(entry, "index", 0), unpaint(stdout),
               output_time(time, message_text(entry, "time", "")));

        if (strcmp(type, "release-begun") == 0 || strcmp(type, "release-ended") == 0)
                print_release(entry, strcmp(type, "release-begun") == 0);
        else if (strcmp(type, "refused") == 0)
                print_refusal(entry);
        else if (strcmp(type, "grant-issued") == 0)
                print_grant(entry);
        else if (strcmp(type, "revoked") == 0) {
                printf("%srevoked%s: %s", paint(stdout, PAINT_BOLD), unpaint(stdout), provider ? provider : "?");
                if (message_text(entry, "reason", NULL))
                        printf(" (%s)", message_text(entry, "reason", ""));
        } else if (strcmp(type, "import") == 0) {
                fputs("you imported ", stdout);
                output_count(stdout, message_int(entry, "inserted", 0), "new record", "new records");
                if (message_int(entry, "rejected", 0) > 0)
                        printf(", %lld rows rejected", (long long) message_int(entry, "rejected", 0));
        } else if (strcmp(type, "export") == 0)
                printf("you exported everything as %s", message_text(entry, "format", "?"));
        else if (strcmp(type, "timezone") == 0)
                printf("time zone: %s", message_text(entry, "timezone", "?"));
        else if (strcmp(type, "gate-on") == 0)
                printf("the gate was opened at %s", message_text(entry, "listen", "?"));
        else {
                size_t i = 0;

                while (i < N_ELEMENTS(plain) && strcmp(plain[i].type, type) != 0)
                        i++;
                if (i == N_ELEMENTS(plain))
                        print_other(entry);
                else
                        printf("%s%s%s", provider ? provider : "", provider ? ": " : "", plain[i].words);
        }
        putchar('\n');
}

/* @each: false to look only at what the last reply says. */
static int read_page(Cli *cli, int64_t first, int64_t limit, bool each, Reply *ret) {
        json_t *parameters = json_pack("{s:I}", "limit", (json_int_t) limit);
        int r;

        if (first >= 0)
                (void) json_object_set_new(parameters, "first", json_integer(first));
        r = cli_call(cli, "Log", parameters, true, NULL, 0, ret);
        while (r == 0) {
                const json_t *entries = json_object_get(ret->parameters, "entries"), *entry;
                size_t i;

                if (each)
                        json_array_foreach (entries, i, entry) {
                                if (!cli->json)
                                        print_entry(entry);
                                else if (json_dumpf(entry, stdout, JSON_COMPACT) < 0 || putchar('\n') == EOF)
                                        return cli_trouble(cli, -EIO, "Writing the log failed");
                        }
                if (!ret->continues)
                        break;
                r = cli_next(cli, ret);
        }
        if (r == 0 && !message_bool(ret->parameters, "complete"))
                r = cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        return r;
}

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int64_t limit = 0, size;
        int r;

        if (cli_option(cli, LIMIT) && parse_number(cli_option(cli, LIMIT), 1, INT64_C(1) << 40, &limit) != 0)
                return cli_usage(cli, "--limit needs a number of entries.");

        r = read_page(cli, -1, 1, false, &reply);
        if (r != 0)
                return r;
        size = message_int(reply.parameters, "size", 0);

        for (int64_t first = limit > 0 && limit < size ? size - limit : 0; first < size; first += PAGE) {
                reply_done(&reply);
                r = read_page(cli, first, size - first < PAGE ? size - first : PAGE, true, &reply);
                if (r != 0)
                        return r;
        }
        return EXIT_DONE;
}

const Verb verb_log = {
        .name = "log",
        .operands = "",
        .summary = "Everything that was granted, fetched, refused and ended",
        .help = "The ledger: nothing in it can be changed without being noticed. With --json one entry a line, as it was sealed.",
        .options = options,
        .run = run,
};
