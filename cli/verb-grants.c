/* SPDX-License-Identifier: Apache-2.0 */

#include "grants.h"

void grants_print(FILE *file, const json_t *grant) {
        const json_t *window = json_object_get(grant, "window");
        const char *state = message_text(grant, "state", "?"), *from = message_text(window, "from", NULL), *to = message_text(window, "to", NULL);
        const char *revoked = message_text(grant, "revoked", NULL);
        int64_t last_days = message_int(window, "lastDays", 0), uses_max = message_int(grant, "usesMax", 0);
        bool is_active = strcmp(state, "active") == 0;
        char time[OUTPUT_TIME_SIZE];

        fprintf(file, "%s%s%s  %s%s%s", paint(file, PAINT_BOLD), message_text(grant, "provider", "?"), unpaint(file),
                paint(file, is_active ? PAINT_WARNING : PAINT_FAINT), state, unpaint(file));
        if (revoked)
                fprintf(file, " %s", output_time(time, revoked));
        else if (strcmp(state, "not yet valid") == 0)
                fprintf(file, ", from %s", output_time(time, message_text(grant, "notBefore", "?")));
        else if (is_active)
                fprintf(file, " until %s", output_time(time, message_text(grant, "expires", "?")));
        fprintf(file, "\n  made %s", output_time(time, message_text(grant, "issued", "?")));
        if (message_text(grant, "preset", NULL))
                fprintf(file, " from \"%s\"", message_text(grant, "preset", ""));
        fprintf(file, ", purpose %s\n  %s of ", message_text(grant, "purpose", "?"),
                strcmp(message_text(grant, "detail", ""), "summary") == 0 ? "a summary" : "each record");
        output_list(file, json_object_get(grant, "kinds"));
        if (last_days > 0)
                fprintf(file, "\n  of the last %lld days", (long long) last_days);
        else if (from && to)
                fprintf(file, "\n  from %s to %s", from, to);
        fprintf(file, "%s%s; serial numbers: %s\n  fetched ", message_bool(window, "newer") ? "" : ", none newer than the grant",
                message_bool(grant, "freeText") ? "; your notes too" : "",
                strcmp(message_text(grant, "identity", ""), "pseudonym") == 0 ? "made up" : "none");
        output_count(file, message_int(grant, "uses", 0), "time", "times");
        if (uses_max > 0)
                fprintf(file, " of %lld", (long long) uses_max);
        fputc('\n', file);
}

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *grants, *grant;
        bool any_active = false;
        size_t i;
        int r;

        r = cli_call(cli, "ListGrants", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        grants = json_object_get(reply.parameters, "grants");
        if (cli->json)
                return cli_print_json(cli, grants);

        if (json_array_size(grants) == 0)
                puts("Nobody may see anything. Next: carewallet grant NAME --preset visit --out FILE");
        json_array_foreach (grants, i, grant) {
                if (i > 0)
                        putchar('\n');
                grants_print(stdout, grant);
                any_active |= strcmp(message_text(grant, "state", ""), "active") == 0;
        }
        if (any_active)
                puts("\nEnd one: carewallet revoke NAME. End all: carewallet revoke --all");
        return EXIT_DONE;
}

const Verb verb_grants = {
        .name = "grants",
        .operands = "",
        .summary = "Who may see what, and until when",
        .run = run,
};
