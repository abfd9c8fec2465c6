/* SPDX-License-Identifier: Apache-2.0 */

/* A grant in plain words. */

#include "provider.h"

#include "daemon/common/civil.h"
#include "daemon/common/words.h"

#include <time.h>

static const char *const purposes[][2] = { /* HL7 v3 ActReason */
        {"TREAT", "treatment"},
        {"CAREMGT", "care management"},
        {"HRESCH", "research"},
        {"FAMRQT", "a request of the family"},
        {"PATRQT", "a request of the patient"},
        {"ETREAT", "emergency treatment"},
};

static const char *purpose_words(const char *purpose) {
        for (size_t i = 0; i < N_ELEMENTS(purposes); i++)
                if (strcmp(purpose, purposes[i][0]) == 0)
                        return purposes[i][1];
        return purpose;
}

const char *describe_state(const GrantClaims *claims) {
        int64_t now = (int64_t) time(NULL);

        return now >= claims->terms.expires_s ? "expired" : now < claims->terms.not_before_s ? "not yet valid" : "valid";
}

static void print_time(FILE *file, int64_t unix_s) {
        char utc[CIVIL_TIME_SIZE], local[OUTPUT_TIME_SIZE];

        civil_time(utc, unix_s);
        fputs(output_time(local, utc), file);
}

static void print_window(FILE *file, const PolicyWindow *window) {
        char from[CIVIL_DATE_SIZE], to[CIVIL_DATE_SIZE];

        if (window->type == POLICY_WINDOW_LAST) {
                fprintf(file, "the last ");
                output_count(file, window->last_days, "day", "days");
        } else {
                civil_date(from, window->from_day);
                civil_date(to, window->to_day);
                fprintf(file, "%s to %s", from, to);
        }
        fputs(window->newer ? ", newer data too" : ", nothing newer than the grant", file);
}

void describe_grant(FILE *file, const GrantClaims *claims, const char *indent) {
        const PolicyScope *scope = &claims->terms.scope;
        const char *state = describe_state(claims);
        char words[WORDS_SIZE];
        json_t *kinds;

        words_of_key(words, claims->wallet_key);
        fprintf(file, "%swallet     %s\n", indent, words);
        fprintf(file, "%svalid      ", indent);
        print_time(file, claims->terms.not_before_s);
        fprintf(file, " until ");
        print_time(file, claims->terms.expires_s);
        fprintf(file, ": %s%s%s\n", paint(file, strcmp(state, "valid") == 0 ? PAINT_GOOD : PAINT_WARNING), state, unpaint(file));
        fprintf(file, "%spermits    %s\n", indent,
                scope->detail == POLICY_SUMMARY ? "a summary of sensor glucose; no single reading"
                : scope->detail == POLICY_REPORT ? "a summary and the report; no single record"
                                                 : "single records, and a summary");
        kinds = grant_kinds_json(scope->kinds);
        fprintf(file, "%skinds      ", indent);
        if (kinds)
                output_list(file, kinds);
        json_decref(kinds);
        fprintf(file, "\n%speriod     ", indent);
        print_window(file, &scope->window);
        fprintf(file, "\n%sidentity   %s%s\n", indent,
                scope->identity == POLICY_NONE ? "no serial numbers, no name" : "pseudonyms for serial numbers, no name",
                scope->free_text ? "; free text included" : "");
        if (claims->terms.uses_max > 0) {
                fprintf(file, "%suses       at most ", indent);
                output_count(file, claims->terms.uses_max, "access token", "access tokens");
                fputc('\n', file);
        }
        fprintf(file, "%spurpose    %s\n", indent, purpose_words(claims->purpose));
        fprintf(file, "%sterms      no onward sharing", indent);
        if (claims->retention_days > 0) {
                fprintf(file, "; delete after ");
                output_count(file, claims->retention_days, "day", "days");
        }
        fputc('\n', file);
        for (size_t i = 0; i < claims->n_urls; i++)
                fprintf(file, "%s%s %s\n", indent, i == 0 ? "gate      " : "          ", claims->urls[i]);
        if (claims->n_urls == 0)
                fprintf(file, "%sgate       none named: ask the patient, and use --gate\n", indent);
}

json_t *describe_json(const GrantClaims *claims) {
        char words[WORDS_SIZE], from[CIVIL_TIME_SIZE], until[CIVIL_TIME_SIZE];
        json_t *urls = json_array(), *scope = grant_scope_json(&claims->terms.scope);

        for (size_t i = 0; i < claims->n_urls; i++)
                (void) json_array_append_new(urls, json_string(claims->urls[i]));
        words_of_key(words, claims->wallet_key);
        civil_time(from, claims->terms.not_before_s);
        civil_time(until, claims->terms.expires_s);
        return json_pack("{s:s, s:s, s:s, s:s, s:s, s:s, s:o, s:s, s:I, s:I, s:o}", "wallet", claims->wallet_thumbprint, "wallet_words", words,
                         "provider", claims->provider_thumbprint, "state", describe_state(claims), "valid_from", from, "valid_until", until,
                         "scope", scope, "purpose", claims->purpose, "uses", (json_int_t) claims->terms.uses_max, "retention_days",
                         (json_int_t) claims->retention_days, "gate", urls);
}
