/* SPDX-License-Identifier: Apache-2.0 */

#include "log.h"

#include "grants.h"
#include "parse.h"

enum {
        LIMIT,

        PAGE = 1000, /* entries a call: a reply has a limit */
};

static const Option options[] = {
        [LIMIT] = {"limit", "N", "only the last N entries", NULL},
        {NULL, NULL, NULL, NULL},
};

typedef struct Words {
        const char *name, *words;
} Words;

static const char *find_words(const Words *all, const char *name) {
        for (; all->name; all++)
                if (strcmp(all->name, name) == 0)
                        return all->words;
        return NULL;
}

static void print_refusal(FILE *file, const json_t *entry) {
        static const Words reasons[] = {
                {"stranger", "without a grant of yours, or without its key"},
                {"more", "more of the same within the hour"},
                /* a grant's state, policy_verdict_name() */
                {"invalid", "the request made no sense"},
                {"revoked", "the grant was revoked"},
                {"suspended", "the grant is suspended"},
                {"clock", "this machine's clock was behind"},
                {"not_yet", "the grant is not valid yet"},
                {"expired", "the grant had ended"},
                {"uses", "the grant was used up"},
                {"detail", "records were asked for, and a summary was granted"},
                {"parameters", "a part of the summary was asked for"},
                {"kinds", "kinds were asked for that were not granted"},
                {"window", "days were asked for that were not granted"},
                /* the proof of the provider's key, daemon/FORMAT.md */
                {"proof", "the provider's key was not proven"},
                {"proof-target", "the proof was made for another address"},
                {"proof-token", "the proof was made for another token"},
                {"proof-replayed", "the proof was a copy of one used before"},
                {"not-enough-data", "too few readings for a summary"},
                {"too-many", "too many requests at once"},
                {NULL, NULL},
        };
        const char *provider = message_text(entry, "provider", NULL), *reason = message_text(entry, "reason", "?");
        const char *words = find_words(reasons, reason);
        int64_t count = message_int(entry, "count", 1);
        char number[OUTPUT_NUMBER_SIZE];

        fprintf(file, "%s was refused: %s", provider ? provider : "somebody", words ? words : reason);
        if (count > 1)
                fprintf(file, " (%s times)", output_number(number, count));
}

static void print_release(FILE *file, const json_t *entry, bool is_begin) {
        static const Words ends[] = {
                {"revoked", "you revoked the grant"},
                {"expired", "the grant ended"},
                {"suspended", "the grant was suspended"},
                {"clock", "this machine's clock was behind"},
                {"uses", "the grant was used up"},
                {"window", "its days were over"},
                {"recipient", "the other side hung up"},
                {"gate", "the gate was closed"},
                {"restart", "carewalletd was ended"},
                {NULL, NULL},
        };
        const char *provider = message_text(entry, "provider", "?"), *by = message_text(entry, "by", "?");
        const json_t *scope = json_object_get(entry, "scope");
        bool is_summary = strcmp(message_text(entry, "what", ""), "summary") == 0;
        int64_t n_rows = message_int(entry, "rows", 0);
        char number[OUTPUT_NUMBER_SIZE], size[OUTPUT_NUMBER_SIZE];

        if (is_begin) {
                fprintf(file, "%s fetches %s", provider, is_summary ? "the summary of " : "");
                output_kinds(file, json_object_get(scope, "kinds"));
                fprintf(file, ", %.10s to %.10s", message_text(scope, "from", "?"), message_text(scope, "to", "?"));
                return;
        }
        if (strcmp(message_text(entry, "state", ""), "complete") == 0)
                fprintf(file, "%s got all of it: ", provider);
        else {
                fprintf(file, "%s was cut off (%s)", provider, find_words(ends, by) ? find_words(ends, by) : by);
                if (!json_object_get(entry, "bytes")) { /* carewalletd died in the middle */
                        fputs("; how much had left is not known", file);
                        return;
                }
                fputs(is_summary ? " in the middle of " : " after ", file);
        }
        if (is_summary)
                fputs("the summary", file);
        else
                fprintf(file, "%s record%s", output_number(number, n_rows), n_rows == 1 ? "" : "s");
        fprintf(file, ", %s", output_bytes(size, message_int(entry, "bytes", 0)));
}

static void print_grant(FILE *file, const json_t *entry) {
        char time[OUTPUT_TIME_SIZE];

        fprintf(file, "you let %s see ", message_text(entry, "provider", "?"));
        grants_print_scope(file, entry);
        fprintf(file, ", until %s", output_time(time, message_text(entry, "expires", "?")));
}

/* What this version has no words for: its members as they are. */
static void print_other(FILE *file, const json_t *entry) {
        const char *name;
        json_t *value;

        fputs(message_text(entry, "type", "?"), file);
        json_object_foreach ((json_t *) (uintptr_t) entry, name, value) {
                cleanup(freep) char *text = NULL;

                if (strcmp(name, "type") == 0 || strcmp(name, "time") == 0 || strcmp(name, "index") == 0)
                        continue;
                text = json_is_string(value) ? NULL : json_dumps(value, JSON_ENCODE_ANY | JSON_COMPACT);
                fprintf(file, ", %s %s", name, text ? text : json_is_string(value) ? json_string_value(value) : "?");
        }
}

void log_print(FILE *file, const json_t *entry) {
        static const Words plain[] = {
                {"totp-enrolled", "a phone was enrolled: from now on a code is asked for whatever lets more out"},
                {"totp-removed", "codes of a phone are asked for no more"},
                {"codes-renewed", "new one-time codes were made, and the old ones are void"},
                {"code-used", "a one-time code was used"},
                {"wallet-created", "the wallet was made"},
                {"clock-accepted", "you said that this machine's clock is right"},
                {"gate-off", "the gate was closed"},
                {"backup", "you made a backup"},
                {"erased", "this entry was erased"},
                {NULL, NULL},
        };
        static const Words keys[] = {
                {"key-added", "opens the wallet from now on"},
                {"key-changed", "was changed: the one before opens nothing any more"},
                {"key-removed", "opens the wallet no more"},
                {NULL, NULL},
        };
        const char *type = message_text(entry, "type", "?"), *provider = message_text(entry, "provider", "?");
        const char *reason = message_text(entry, "reason", NULL), *external = message_text(entry, "external", ""), *at = message_text(entry, "at", NULL);
        int64_t n = message_int(entry, "inserted", 0), n_superseded = message_int(entry, "superseded", 0), n_rejected = message_int(entry, "rejected", 0);
        char number[OUTPUT_NUMBER_SIZE], time[OUTPUT_TIME_SIZE];

        if (strcmp(type, "release-begun") == 0 || strcmp(type, "release-ended") == 0)
                print_release(file, entry, strcmp(type, "release-begun") == 0);
        else if (strcmp(type, "refused") == 0)
                print_refusal(file, entry);
        else if (strcmp(type, "grant-issued") == 0)
                print_grant(file, entry);
        else if (strcmp(type, "redeemed") == 0)
                fprintf(file, "%s redeemed a grant, use %lld", provider, (long long) message_int(entry, "use", 1));
        else if (strcmp(type, "expired") == 0)
                fprintf(file, "a grant of %s ended by itself", provider);
        else if (strcmp(type, "revoked") == 0) {
                fprintf(file, "%srevoked%s: a grant of %s%s%s%s", paint(stdout, PAINT_BOLD), unpaint(stdout), provider, reason ? " (" : "",
                        reason ? reason : "", reason ? ")" : "");
                if (at)
                        fprintf(file, ", at %s; the disk had been full", output_time(time, at));
        }
        else if (strcmp(type, "revocation-unknown") == 0)
                fprintf(file, "%sa revocation ended nothing%s: it waited for the wallet, and you know nobody named %s", paint(stdout, PAINT_BAD), unpaint(stdout),
                        message_text(entry, "name", "?"));
        else if (strcmp(type, "provider-added") == 0)
                fprintf(file, "you got to know %s by its key", provider);
        else if (strcmp(type, "import") == 0) {
                fprintf(file, "you imported %s new record%s", output_number(number, n), n == 1 ? "" : "s");
                if (n_superseded > 0)
                        fprintf(file, ", %s replaced", output_number(number, n_superseded));
                if (n_rejected > 0)
                        fprintf(file, "; %s row%s rejected", output_number(number, n_rejected), n_rejected == 1 ? "" : "s");
        } else if (strcmp(type, "import-undone") == 0)
                fprintf(file, "you took import %lld back (%s)", (long long) message_int(entry, "import", 0), message_text(entry, "file", "?"));
        else if (strcmp(type, "export") == 0 && strcmp(message_text(entry, "format", ""), "everything") == 0)
                fputs("you exported everything but the keys", file);
        else if (strcmp(type, "export") == 0)
                fprintf(file, "you exported all records as %s", message_text(entry, "format", "?"));
        else if (strcmp(type, "quarantine-released") == 0)
                fprintf(file, "you let %s record%s out of quarantine", output_number(number, message_int(entry, "records", 0)), message_int(entry, "records", 0) == 1 ? "" : "s");
        else if (strcmp(type, "forgotten") == 0)
                fprintf(file, "you had %s record%s forgotten, by %s", output_number(number, message_int(entry, "records", 0)), message_int(entry, "records", 0) == 1 ? "" : "s",
                        message_text(entry, "by", "?"));
        else if (strcmp(type, "resumed") == 0)
                fprintf(file, "you let a grant of %s count again", provider);
        else if (strcmp(type, "restored") == 0)
                fprintf(file, "the wallet was restored from the backup of %s; all grants were suspended", output_time(time, message_text(entry, "backup", "?")));
        else if (strcmp(type, "went-back") == 0)
                fprintf(file, "%sthe wallet had gone back to an older state%s (%s); all grants were suspended", paint(stdout, PAINT_BOLD), unpaint(stdout),
                        strcmp(message_text(entry, "by", ""), "keys") == 0 ? "its key file was an old one" : "a newer checkpoint of the log was known");
        else if (strcmp(type, "auto-lock") == 0) {
                char duration[OUTPUT_NUMBER_SIZE];
                int64_t after_s = message_int(entry, "after_s", 0);

                if (after_s > 0)
                        fprintf(file, "you let the wallet lock itself after %s", output_duration(duration, after_s));
                else
                        fputs("you let the wallet stay open until it is locked", file);
        } else if (strcmp(type, "timezone") == 0)
                fprintf(file, "you set the devices' time zone to %s", message_text(entry, "timezone", "?"));
        else if (strcmp(type, "gate-on") == 0)
                fprintf(file, "you opened the gate at %s%s%s", message_text(entry, "listen", "?"), external[0] ? ", reached by " : "", external);
        else if (strcmp(type, "keys-rotated") == 0)
                fprintf(file, "everything was to be written anew under a new key: %s", message_text(entry, "state", "?"));
        else if (strcmp(type, "cipher-upgraded") == 0)
                fprintf(file, "everything was to be written anew in the format of SQLCipher 4: %s", message_text(entry, "state", "?"));
        else if (find_words(keys, type))
                fprintf(file, "the key \"%s\" %s", message_text(entry, "label", "?"), find_words(keys, type));
        else if (find_words(plain, type))
                fputs(find_words(plain, type), file);
        else
                print_other(file, entry);
}

static void print_entry(const json_t *entry) {
        cleanup(freep) char *text = NULL;
        char time[OUTPUT_TIME_SIZE];
        size_t n_text;
        FILE *memory;
        int at;

        memory = open_memstream(&text, &n_text);
        if (!memory)
                return;
        log_print(memory, entry);
        if (fclose(memory) != 0)
                return;
        at = printf("%5lld  %-20s  ", (long long) message_int(entry, "index", 0), output_time(time, message_text(entry, "time", "")));
        output_wrap(stdout, (unsigned) at, (unsigned) at, text);
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

        r = cli_zone(cli);
        if (r != 0)
                return r;
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
        .group = "Sharing",
        .operands = "",
        .summary = "Everything that was granted, fetched, refused and ended",
        .help = "The ledger: nothing in it can be changed without being noticed. With --json one entry a line, as it was sealed.",
        .options = options,
        .run = run,
};
