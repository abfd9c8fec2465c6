/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>

#include "outfile.h"
#include "parse.h"
#include "policy/presets.h"

enum {
        PRESET,
        OUT,
        FOR,
        LAST,
        FROM,
        TO,
        NEWER,
        NO_NEWER,
        DETAIL,
        KINDS,
        IDENTITY,
        FREE_TEXT,
        USES,
        PURPOSE,
        URL,
        DRY_RUN,
        YES,
};

static const Option options[] = {
        [PRESET] = {"preset", "PRESET", "what to begin with; the other options change it", "endocrinologist visit caregiver research-summary"},
        [OUT] = {"out", "FILE", "write the grant to this new file, for the provider", NULL},
        [FOR] = {"for", "TIME", "how long it is valid: 12h, 30d, 4w; a year at most", NULL},
        [LAST] = {"last", "TIME", "records of the last so many days: 90d, 12w", NULL},
        [FROM] = {"from", "DAY", "instead: records from this day on", NULL},
        [TO] = {"to", "DAY", "to this day, included", NULL},
        [NEWER] = {"newer", NULL, "records that come after today, too", NULL},
        [NO_NEWER] = {"no-newer", NULL, "nothing that comes after today", NULL},
        [DETAIL] = {"detail", "DETAIL", "summary (time in range and the like) or data (each record)", "summary data"},
        [KINDS] = {"kinds", "K[,K]", "only these kinds of records",
                   "cgm fingerstick calibration bolus basal carbs wizard settings alarm device_event note"},
        [IDENTITY] = {"identity", "IDENTITY", "none, or pseudonym: devices bear made-up serial numbers", "none pseudonym"},
        [FREE_TEXT] = {"free-text", NULL, "notes and names that you wrote, too", NULL},
        [USES] = {"uses", "N", "how often it can be redeemed", NULL},
        [PURPOSE] = {"purpose", "CODE", "what for, as HL7 ActReason: TREAT, HRESCH ...", "TREAT CAREMGT PATRQT FAMRQT HRESCH"},
        [URL] = {"url", "URL[,URL]", "where the provider reaches your gate (else the addresses that it has)", NULL},
        [DRY_RUN] = {"dry-run", NULL, "say what it would permit; make nothing", NULL},
        [YES] = {"yes", NULL, "do not ask", NULL},
        {NULL, NULL, NULL, NULL},
};

static bool is_one_of(const char *text, const char *words) {
        size_t n = strlen(text);

        for (const char *at = words; (at = strstr(at, text)); at++)
                if ((at == words || at[-1] == ' ') && (at[n] == ' ' || at[n] == '\0') && n > 0)
                        return true;
        return false;
}

static int copy_texts(const Cli *cli, json_t *parameters) {
        static const size_t texts[] = {DETAIL, IDENTITY, PURPOSE};

        for (size_t i = 0; i < N_ELEMENTS(texts); i++) {
                const Option *option = &options[texts[i]];
                const char *text = cli_option(cli, texts[i]);

                if (!text)
                        continue;
                if (texts[i] != PURPOSE && !is_one_of(text, option->choices))
                        return cli_usage(cli, "--%s is one of: %s.", option->name, option->choices);
                (void) json_object_set_new(parameters, option->name, json_string(text));
        }
        return 0;
}

static int add_numbers(const Cli *cli, json_t *parameters) {
        const char *for_text = cli_option(cli, FOR), *last = cli_option(cli, LAST), *uses = cli_option(cli, USES);
        int64_t n;

        if (for_text) {
                if (parse_duration(for_text, &n) != 0)
                        return cli_usage(cli, "--for needs a time such as 12h, 30d or 4w, not \"%.64s\".", for_text);
                if (n > POLICY_FOR_MAX_S)
                        return cli_usage(cli, "A grant ends within a year: --for 365d at most.");
                (void) json_object_set_new(parameters, "forS", json_integer(n));
        }
        if (last) {
                if (parse_days(last, &n) != 0)
                        return cli_usage(cli, "--last needs whole days such as 90d or 12w, not \"%.64s\".", last);
                if (n > POLICY_LAST_DAYS_MAX)
                        return cli_usage(cli, "--last is %d days at most.", POLICY_LAST_DAYS_MAX);
                (void) json_object_set_new(parameters, "lastDays", json_integer(n));
        }
        if (uses) {
                if (parse_number(uses, 1, POLICY_USES_MAX, &n) != 0)
                        return cli_usage(cli, "--uses needs a number from 1 to %d.", POLICY_USES_MAX);
                (void) json_object_set_new(parameters, "uses", json_integer(n));
        }
        return 0;
}

/* The call's parameters from the options. Return: 0 or an exit code. */
static int make_parameters(const Cli *cli, json_t *parameters) {
        const char *preset = cli_option(cli, PRESET), *kinds = cli_option(cli, KINDS), *urls = cli_option(cli, URL);
        int r;

        if (!preset) {
                char list[256] = "";
                size_t n = 0;

                for (const PolicyPreset *p = policy_presets; p->name && n < sizeof(list) - 64; p++)
                        n += (size_t) snprintf(list + n, sizeof(list) - n, "%s%s", n > 0 ? ", " : "", p->name);
                return cli_usage(cli, "Say what to begin with: --preset %s.", list);
        }
        if (cli_option(cli, NEWER) && cli_option(cli, NO_NEWER))
                return cli_usage(cli, "--newer or --no-newer, not both.");
        if (cli_option(cli, LAST) && (cli_option(cli, FROM) || cli_option(cli, TO)))
                return cli_usage(cli, "--last or --from and --to, not both.");
        if (!cli_option(cli, FROM) != !cli_option(cli, TO))
                return cli_usage(cli, "--from and --to belong together.");

        (void) json_object_set_new(parameters, "provider", json_string(cli_operand(cli, 0)));
        (void) json_object_set_new(parameters, "preset", json_string(preset));
        r = add_numbers(cli, parameters);
        if (r == 0)
                r = copy_texts(cli, parameters);
        if (r == 0)
                r = cli_period(cli, cli_option(cli, FROM), cli_option(cli, TO), parameters);
        if (r != 0)
                return r;

        if (kinds) {
                json_t *array = cli_kinds(cli, kinds, &r);

                if (!array)
                        return r;
                (void) json_object_set_new(parameters, "kinds", array);
        }
        if (cli_option(cli, NEWER) || cli_option(cli, NO_NEWER))
                (void) json_object_set_new(parameters, "newer", json_boolean(cli_option(cli, NEWER) != NULL));
        if (urls) {
                json_t *array = json_array();

                for (size_t n; *urls != '\0'; urls += n + (urls[n] == ',')) {
                        n = strcspn(urls, ",");
                        (void) json_array_append_new(array, json_stringn(urls, n));
                }
                (void) json_object_set_new(parameters, "urls", array);
        }
        if (cli_option(cli, FREE_TEXT))
                (void) json_object_set_new(parameters, "freeText", json_true());
        return 0;
}

static void print_text(const char *text) {
        for (size_t n; *text != '\0'; text += n + (text[n] == '\n')) {
                cleanup(freep) char *line = NULL;

                n = strcspn(text, "\n");
                line = strndup(text, n);
                if (line)
                        output_wrap(stdout, 0, 6, line); /* beside "What: " */
        }
}

static int try_out(Cli *cli, json_t *parameters) {
        cleanup(json_decrefp) json_t *copy = json_copy(parameters);
        cleanup(reply_done) Reply reply = {0};
        int r;

        (void) json_object_set_new(copy, "dryRun", json_true());
        r = cli_call(cli, "Grant", take_ptr(copy), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_option(cli, DRY_RUN) ? cli_print_json(cli, reply.parameters) : 0;
        print_text(message_text(reply.parameters, "text", ""));
        if (message_text(reply.parameters, "words", NULL))
                printf("\nThe words of this provider's key:\n  %s\n", message_text(reply.parameters, "words", ""));
        (void) fflush(stdout);
        return 0;
}

/* A provider finds the gate by the grant: one without an address works, and is a nuisance. */
static int warn_without_address(Cli *cli) {
        int r;

        if (cli_option(cli, URL) || cli->json)
                return 0;
        r = cli_look(cli, false);
        if (r == 0 && json_array_size(json_object_get(json_object_get(cli->status, "gate"), "urls")) == 0)
                cli_warn("the gate has no address yet, so this grant would name none, and %s would have to be told it. Better first: "
                         "carewallet gate on --listen ADDRESS:PORT --external URL (or give the grant --url URL)", cli_operand(cli, 0));
        return r;
}

static int write_out(Cli *cli, int fd, const char *path, const Reply *reply) {
        const char *jwt = message_text(reply->parameters, "jwt", "");
        int r;

        r = output_write(fd, jwt, strlen(jwt));
        if (r == 0)
                r = output_write(fd, "\n", 1);
        if (r == 0)
                r = outfile_sync(path, fd);
        if (r == 0)
                return 0;
        printf("%s\n", jwt);
        return cli_fail(cli, EXIT_REFUSED, "The grant was made, but %s could not be written: %s. The grant stands above; or end it: "
                                           "carewallet revoke %s", path, strerror(-r), cli_operand(cli, 0));
}

static int run(Cli *cli) {
        const char *path = cli_option(cli, OUT), *name = cli_operand(cli, 0);
        cleanup(json_decrefp) json_t *parameters = json_object(), *answer = NULL;
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int fd = -1;
        const json_t *grant;
        int r;

        r = make_parameters(cli, parameters);
        if (r != 0)
                return r;
        if (!path && !cli_option(cli, DRY_RUN))
                return cli_usage(cli, "Say where to write the grant: --out FILE.");
        if (path && access(path, F_OK) == 0)
                return cli_fail(cli, EXIT_REFUSED, "%s exists already. Choose another name: --out FILE.", path);

        r = try_out(cli, parameters);
        if (r != 0 || cli_option(cli, DRY_RUN))
                return r;
        r = warn_without_address(cli);
        if (r != 0)
                return r;
        if (!cli_option(cli, YES)) {
                if (!cli->json)
                        putchar('\n');
                (void) fflush(stdout);
                r = cli_confirm(cli, "Make this grant?");
                if (r != 0)
                        return r;
        }

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be made: %s. No grant was made.", path, strerror(errno));
        r = cli_call(cli, "Grant", take_ptr(parameters), false, NULL, 0, &reply);
        if (r == 0 && !message_text(reply.parameters, "jwt", NULL))
                r = cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        if (r != 0) {
                (void) unlink(path); /* made a moment ago, by us, and empty */
                return r;
        }
        r = write_out(cli, fd, path, &reply);
        if (r != 0)
                return r;

        grant = json_object_get(reply.parameters, "grant");
        if (cli->json) {
                answer = json_pack("{s:O*, s:s, s:s*, s:s*}", "grant", grant, "out", path, "words", message_text(reply.parameters, "words", NULL),
                                   "text", message_text(reply.parameters, "text", NULL));
                return cli_print_json(cli, answer);
        }
        printf("\n%sThe grant is in %s.%s\n", paint(stdout, PAINT_GOOD), path, unpaint(stdout));
        output_say(stdout, 0, "Next: give that file to %s, by mail if you like: it is of no use without %s's own key.", name, name);
        if (cli->status || cli_look(cli, false) == 0)
                if (!message_bool(json_object_get(cli->status, "gate"), "on"))
                        output_say(stdout, 0, "The gate is closed; nothing can be fetched until: carewallet gate on --listen ADDRESS:PORT");
        output_say(stdout, 0, "See what it lets out: carewallet preview %s\nEnd it: carewallet revoke %s", name, name);
        return EXIT_DONE;
}

const Verb verb_grant = {
        .name = "grant",
        .group = "Sharing",
        .operands = "NAME",
        .n_min = 1,
        .n_max = 1,
        .summary = "Let a provider see some of your records for some time",
        .help = "Shows what the grant says in plain words first, then asks; without a terminal --yes is needed.",
        .options = options,
        .run = run,
};
