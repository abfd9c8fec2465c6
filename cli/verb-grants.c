/* SPDX-License-Identifier: Apache-2.0 */

#include "grants.h"

const char *grants_purpose(const char *purpose) {
        static const struct {
                const char *code, *words;
        } all[] = { /* HL7 v3 ActReason */
                {"TREAT", "to treat you"},
                {"CAREMGT", "to manage your care"},
                {"HRESCH", "for health research"},
                {"PATRQT", "because you ask for it"},
                {"FAMRQT", "because your family asks for it"},
        };

        for (size_t i = 0; i < N_ELEMENTS(all); i++)
                if (strcmp(all[i].code, purpose) == 0)
                        return all[i].words;
        return purpose;
}

void grants_print_scope(FILE *file, const json_t *grant) {
        const json_t *window = json_object_get(grant, "window");
        int64_t last_days = message_int(window, "lastDays", 0);

        if (strcmp(message_text(grant, "detail", ""), "summary") == 0)
                fputs("a summary of sensor glucose, no single reading", file);
        else {
                fputs("every record of ", file);
                output_kinds(file, json_object_get(grant, "kinds"));
        }
        if (last_days > 0)
                fprintf(file, message_bool(window, "newer") ? ", the last %lld days" : ", the %lld days up to the grant", (long long) last_days);
        else
                fprintf(file, ", %s to %s%s", message_text(window, "from", "?"), message_text(window, "to", "?"),
                        message_bool(window, "newer") ? "" : ", none newer than the grant");
}

void grants_print(FILE *file, const json_t *grant) {
        const char *state = message_text(grant, "state", "?"), *revoked = message_text(grant, "revoked", NULL);
        int64_t uses = message_int(grant, "uses", 0), uses_max = message_int(grant, "usesMax", 0);
        bool is_active = strcmp(state, "active") == 0;
        cleanup(freep) char *scope = NULL;
        char time[OUTPUT_TIME_SIZE];
        size_t n_scope;
        FILE *memory;

        fprintf(file, "%s%s%s  %s%s%s", paint(file, PAINT_BOLD), message_text(grant, "provider", "?"), unpaint(file),
                paint(file, is_active ? PAINT_WARNING : PAINT_FAINT), state, unpaint(file));
        if (revoked)
                fprintf(file, " %s", output_time(time, revoked));
        else if (strcmp(state, "not yet valid") == 0)
                fprintf(file, ", from %s", output_time(time, message_text(grant, "notBefore", "?")));
        else if (is_active || strcmp(state, "expired") == 0)
                fprintf(file, "%s %s", is_active ? " until" : "", output_time(time, message_text(grant, "expires", "?")));
        if (json_is_false(json_object_get(grant, "durable")))
                fprintf(file, ", %snot on the disk yet%s: make room", paint(file, PAINT_BAD), unpaint(file));
        fputc('\n', file);

        memory = open_memstream(&scope, &n_scope);
        if (!memory)
                return;
        grants_print_scope(memory, grant);
        if (message_bool(grant, "freeText"))
                fputs("; your notes too", memory);
        fprintf(memory, "; serial numbers: %s", strcmp(message_text(grant, "identity", ""), "pseudonym") == 0 ? "made-up ones" : "none");
        if (fclose(memory) == 0)
                output_say(file, 2, "%s", scope);
        output_say(file, 2, "made %s, %s", output_time(time, message_text(grant, "issued", "?")), grants_purpose(message_text(grant, "purpose", "?")));
        if (uses_max > 0)
                fprintf(file, "  redeemed %lld of %lld times\n", (long long) uses, (long long) uses_max);
        else
                fprintf(file, "  redeemed %lld time%s\n", (long long) uses, uses == 1 ? "" : "s");
}

static int run(Cli *cli) {
        cleanup(reply_done) Reply reply = {0};
        const json_t *grants, *grant;
        bool any_active = false;
        size_t i;
        int r;

        r = cli_zone(cli);
        if (r != 0)
                return r;
        r = cli_call(cli, "ListGrants", json_object(), false, NULL, 0, &reply);
        if (r != 0)
                return r;
        grants = json_object_get(reply.parameters, "grants");
        if (cli->json)
                return cli_print_json(cli, grants);

        if (json_array_size(grants) == 0)
                output_say(stdout, 0, "Nobody may see anything. Next: carewallet grant NAME --preset visit --out FILE");
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
        .group = "Sharing",
        .operands = "",
        .summary = "Who may see what, and until when",
        .run = run,
};
