/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"
#include "parse.h"

enum {
        FROM,
};

static const Option from_options[] = {
        [FROM] = {"from", "DAY", "the first day on which the devices' clocks showed it, such as 2024-05-01", NULL},
        {NULL, NULL, NULL, NULL},
};

static int list(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *zones, *zone;
        size_t i;
        int r;

        r = cli_call(cli, "Timezones", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        zones = json_object_get(reply.parameters, "timezones");
        if (cli->json)
                return cli_print_json(cli, zones);
        json_array_foreach (zones, i, zone) {
                const char *from = message_text(zone, "from", NULL);

                if (i == 0)
                        printf("Your devices' clocks are read as %s.\n", message_text(zone, "timezone", "?"));
                else
                        printf("From %s on as %s.\n", from ? from : "?", message_text(zone, "timezone", "?"));
        }
        return EXIT_DONE;
}

static int change(Cli *cli, const char *method, json_t *parameters) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, method, parameters, false, NULL, 0, &reply);
        return r != 0 ? r : list(cli);
}

static int run_timezone(Cli *cli) {
        const char *zone = cli_operand(cli, 0);

        return zone ? change(cli, "SetTimezone", json_pack("{s:s}", "timezone", zone)) : list(cli);
}

/* Return: 0 or an exit code. */
static int get_day(const Cli *cli, const char *day) {
        return !day || parse_day(day) == 0 ? 0 : cli_usage(cli, "\"%.40s\" is no day. Write it as 2024-05-01.", day);
}

static int run_add(Cli *cli) {
        const char *from = cli_option(cli, FROM);
        int r;

        if (!from)
                return cli_usage(cli, "Say from which day on: carewallet timezone add %.64s --from 2024-05-01", cli_operand(cli, 0));
        r = get_day(cli, from);
        return r != 0 ? r : change(cli, "AddTimezone", json_pack("{s:s, s:s}", "timezone", cli_operand(cli, 0), "from", from));
}

static int run_remove(Cli *cli) {
        int r = get_day(cli, cli_operand(cli, 0));

        return r != 0 ? r : change(cli, "RemoveTimezone", json_pack("{s:s}", "from", cli_operand(cli, 0)));
}

static int run_check(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const char *zone = cli_operand(cli, 0), *from = cli_option(cli, FROM), *first;
        const json_t *shift, *shifts;
        char number[OUTPUT_NUMBER_SIZE];
        size_t i;
        int r;

        r = get_day(cli, from);
        if (r != 0)
                return r;
        r = cli_call(cli, "CheckTimezone", json_pack("{s:s, s:s*}", "timezone", zone, "from", from), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);

        first = message_text(reply.parameters, "firstDay", NULL);
        printf("%s of ", output_number(number, message_int(reply.parameters, "moved", 0)));
        output_count(stdout, message_int(reply.parameters, "records", 0), "record", "records");
        puts(" would be at another moment; what their devices showed stays as it is.");
        if (first)
                printf("  %s to %s\n", first, message_text(reply.parameters, "lastDay", "?"));
        shifts = json_object_get(reply.parameters, "shifts");
        json_array_foreach (shifts, i, shift) {
                int64_t minutes = message_int(shift, "minutes", 0);

                printf("  %s by %lld:%02lld h %s\n", output_number(number, message_int(shift, "records", 0)), (long long) (llabs(minutes) / 60),
                       (long long) (llabs(minutes) % 60), minutes < 0 ? "earlier" : "later");
        }
        if (message_int(reply.parameters, "ambiguous", 0) > 0)
                printf("  %s would be in an hour that is shown twice, and which one can't be told\n", output_number(number, message_int(reply.parameters, "ambiguous", 0)));
        if (message_int(reply.parameters, "skipped", 0) > 0)
                printf("  %s would be at a time that the zone skips\n", output_number(number, message_int(reply.parameters, "skipped", 0)));
        return EXIT_DONE;
}

const Verb verb_timezone = {
        .name = "timezone",
        .group = "Wallet",
        .operands = "[ZONE]",
        .n_max = 1,
        .summary = "Where your devices' clocks live, such as Europe/Berlin",
        .help = "Devices note the time of day without a zone. Another zone moves all records that no period says another zone for;\n"
                "what the devices showed stays as it is, so that it can be set back. See first: carewallet timezone check ZONE",
        .run = run_timezone,
};

const Verb verb_timezone_add = {
        .name = "timezone add",
        .group = "Wallet",
        .operands = "ZONE",
        .n_min = 1,
        .n_max = 1,
        .summary = "From a day on your devices' clocks show another zone",
        .help = "For a journey, or a move. Only where a device's clock was set to the other zone; add the zone at home for the way back.",
        .options = from_options,
        .run = run_add,
};

const Verb verb_timezone_remove = {
        .name = "timezone remove",
        .group = "Wallet",
        .operands = "DAY",
        .n_min = 1,
        .n_max = 1,
        .summary = "Forget the zone that begins on a day",
        .help = "",
        .run = run_remove,
};

const Verb verb_timezone_check = {
        .name = "timezone check",
        .group = "Wallet",
        .operands = "ZONE",
        .n_min = 1,
        .n_max = 1,
        .summary = "What would move if the zone were another",
        .help = "Nothing is changed. With --from only what is on that day and later, up to the next period.",
        .options = from_options,
        .run = run_check,
};

static int run_clock_accept(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        int r;

        r = cli_call(cli, "AcceptClock", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        if (cli->json)
                return cli_print_json(cli, reply.parameters);
        puts("The clock is believed as it is now. Grants end by it.");
        return EXIT_DONE;
}

const Verb verb_clock_accept = {
        .name = "clock accept",
        .group = "Wallet",
        .operands = "",
        .summary = "Believe this machine's clock though it was ahead before",
        .help = "A clock that goes back could keep a grant alive, so nothing is served until it has caught up or you say this.",
        .run = run_clock_accept,
};
