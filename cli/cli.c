/* SPDX-License-Identifier: Apache-2.0 */

/* What verbs share: how things are said, asked and printed. */

#include "cli.h"

#include <inttypes.h>
#include <stdarg.h>

#include "parse.h"
#include "policy/record.h"

enum {
        LONG_WAIT_MS = 10000,
};

const char *cli_option(const Cli *cli, size_t option) {
        return cli->arguments.value[option];
}

const char *cli_operand(const Cli *cli, size_t i) {
        return i < cli->arguments.n_operands ? cli->arguments.operand[i] : NULL;
}

/* --- errors --- */

static void say_marked(Paint colour, const char *mark, const char *message) {
        fprintf(stderr, "%s%s%s", paint(stderr, colour), mark, unpaint(stderr));
        output_wrap(stderr, (unsigned) strlen(mark), 2, message);
}

static int say_failure(const Cli *cli, int code, const char *error, const char *message) {
        if (cli->json) {
                cleanup(json_decrefp) json_t *object =
                        json_pack("{s:s*, s:s, s:i}", "error", error, "message", message, "exit_code", code);

                if (output_json(stderr, object) < 0)
                        return EXIT_INTERNAL; /* nobody reads it */
        } else
                say_marked(PAINT_BAD, "carewallet: ", message);
        return code;
}

static printf_like(2, 0) void format_message(char **ret, const char *format, va_list list) {
        if (vasprintf(ret, format, list) < 0)
                *ret = NULL;
}

int cli_fail(const Cli *cli, int code, const char *format, ...) {
        cleanup(freep) char *message = NULL;
        va_list list;

        va_start(list, format);
        format_message(&message, format, list);
        va_end(list);
        return say_failure(cli, code, NULL, message ? message : "Out of memory.");
}

int cli_usage(const Cli *cli, const char *format, ...) {
        cleanup(freep) char *message = NULL, *whole = NULL;
        va_list list;

        va_start(list, format);
        format_message(&message, format, list);
        va_end(list);
        if (!message || asprintf(&whole, "%s See: carewallet %s%s-h", message, cli->verb ? cli->verb->name : "", cli->verb ? " " : "") < 0)
                whole = NULL;
        return say_failure(cli, EXIT_USAGE, NULL, whole ? whole : "Out of memory.");
}

int cli_trouble(const Cli *cli, int r, const char *what) {
        return cli_fail(cli, EXIT_INTERNAL, "%s: %s.", what, strerror(-fold(r)));
}

void cli_warn(const char *format, ...) {
        cleanup(freep) char *message = NULL;
        va_list list;

        va_start(list, format);
        format_message(&message, format, list);
        va_end(list);
        if (message)
                say_marked(PAINT_WARNING, "Warning: ", message);
}

int cli_transport_failed(const Cli *cli, int r) {
        switch (r) {
        case CLIENT_E_GONE:
                return cli_fail(cli, EXIT_UNREACHABLE, "carewalletd ended the connection before it had answered. Is it still running? "
                                                       "Try: carewallet status");
        case CLIENT_E_TIMEOUT:
                return cli_fail(cli, EXIT_UNREACHABLE, "carewalletd does not answer. Restart it, then try again.");
        case CLIENT_E_TOO_BIG:
                return cli_usage(cli, "That is more than fits into one call (1 MiB).");
        case CLIENT_E_PROTOCOL:
                return cli_fail(cli, EXIT_INTERNAL, "What came from %s is not the protocol of carewalletd. Is it another program, or another "
                                                    "version?", cli->socket);
        default:
                return cli_trouble(cli, r, "Talking to carewalletd failed");
        }
}

#define KEYS_LOST "The wallet can't be opened: both copies of its key file are gone or damaged. Nothing was touched. What to do: carewallet doctor"

int cli_keys_lost(const Cli *cli) {
        return cli_fail(cli, EXIT_REFUSED, KEYS_LOST);
}

int cli_reply_failed(const Cli *cli, const Reply *reply) {
        static const struct {
                const char *error;
                int code;
                const char *message;
        } errors[] = {
                {"Locked", EXIT_LOCKED, "The wallet is locked. Next: carewallet unlock"},
                {"NotInitialized", EXIT_LOCKED, "There is no wallet yet. Next: carewallet init"},
                {"KeysLost", EXIT_REFUSED, KEYS_LOST},
                {"AlreadyInitialized", EXIT_REFUSED, "There is a wallet already; it was not touched. Next: carewallet unlock"},
                {"StepUpRequired", EXIT_PASSPHRASE, "This needs your passphrase first, as more than 15 minutes have passed or this is another "
                                                    "terminal. Next: carewallet unlock (or give --passphrase-fd)"},
                {"WrongPassphrase", EXIT_PASSPHRASE, "That is not the right passphrase or code. Forgotten? carewallet unlock --recovery"},
                {"CodeRequired", EXIT_PASSPHRASE, "This needs a code from your phone each time. Run it in a terminal, or give --code-fd. Phone lost? Use a one-time "
                                                  "code, or the recovery code: carewallet totp enrol --recovery"},
                {"WrongCode", EXIT_PASSPHRASE, "That code does not count: it is mistyped, too old, or was used already. Wait for the next one. Phone lost? Use a "
                                               "one-time code, or the recovery code: carewallet totp enrol --recovery"},
                {"NotFound", EXIT_REFUSED, "There is nothing of that name."},
                {"Exists", EXIT_REFUSED, "There is one already."},
                {"Refused", EXIT_REFUSED, "Refused."},
                {"NotDurable", EXIT_REFUSED, "Done, but it could not be written to the disk."},
                {"Busy", EXIT_REFUSED, "carewalletd is at work on something that must end first. Try again in a moment."},
                {"Internal", EXIT_INTERNAL, "Something failed inside carewalletd. Its journal says more."},
        };
        static const char prefix[] = "org.carewallet.";
        const char *error = reply->error, *name = error;
        const char *what = message_text(reply->parameters, "what", NULL);
        const char *thing = message_text(reply->parameters, "name", NULL);
        const char *reason = message_text(reply->parameters, "reason", NULL);
        cleanup(freep) char *message = NULL;
        int n = 0, code = EXIT_INTERNAL;

        if (strncmp(error, prefix, sizeof(prefix) - 1) == 0)
                name += sizeof(prefix) - 1;
        else if (strncmp(error, "org.varlink.service.", 20) == 0) {
                const char *detail = message_text(reply->parameters, "parameter", message_text(reply->parameters, "method", ""));

                n = asprintf(&message, "carewalletd does not know this: %s %s. Is it of another version?", error + 20, detail);
                return say_failure(cli, EXIT_USAGE, error, n < 0 ? error : message);
        }

        for (size_t i = 0; i < N_ELEMENTS(errors); i++) {
                int64_t wait_ms = message_int(reply->parameters, "retryAfterMs", 0);

                if (strcmp(errors[i].error, name) != 0)
                        continue;
                code = errors[i].code;
                if (strcmp(name, "NotFound") == 0 && what)
                        n = asprintf(&message, "There is no %s%s%s.%s", what, thing ? " " : "", thing ? thing : "",
                                     strcmp(what, "provider") == 0 ? " Those whom you know: carewallet provider list"
                                     : strcmp(what, "key") == 0    ? " Those that there are: carewallet key list"
                                                                   : "");
                else if (strcmp(name, "Exists") == 0 && what)
                        n = asprintf(&message, "There is a %s%s%s already.", what, thing ? " " : "", thing ? thing : "");
                else if (strcmp(name, "Busy") == 0 && what)
                        n = asprintf(&message, "carewalletd is busy: %s. Try again when that has ended.", what);
                else if (strcmp(name, "WrongPassphrase") == 0 && wait_ms > 0)
                        n = asprintf(&message, "Not tried: a wrong one is still to be answered. Try again in %" PRId64 " s.", (wait_ms + 999) / 1000);
                else if (strcmp(name, "WrongCode") == 0 && wait_ms >= LONG_WAIT_MS)
                        n = asprintf(&message, "That code does not count. After so many wrong ones the next has to wait %" PRId64 " s. If it was not you who typed them, another "
                                               "program guesses. A one-time code, or the recovery code, counts at once.", (wait_ms + 999) / 1000);
                else if ((strcmp(name, "Refused") == 0 || strcmp(name, "NotDurable") == 0) && reason)
                        n = asprintf(&message, "%s", reason);
                else if (reason)
                        n = asprintf(&message, "%s %s", errors[i].message, reason);
                else
                        n = asprintf(&message, "%s", errors[i].message);
                break;
        }
        if (n == 0)
                n = asprintf(&message, "carewalletd answered with an error that this version does not know: %s %s", error, reason ? reason : "");
        return say_failure(cli, code, error, n < 0 ? error : message);
}

/* --- what verbs share --- */

int cli_confirm(const Cli *cli, const char *question) {
        char answer[16];

        if (!isatty(STDIN_FILENO))
                return cli_usage(cli, "There is no terminal to ask on: if you mean it, add --yes.");
        fprintf(stderr, "%s [y/N] ", question);
        if (fgets(answer, sizeof(answer), stdin) && (answer[0] == 'y' || answer[0] == 'Y'))
                return 0;
        return cli_fail(cli, EXIT_REFUSED, "Nothing was done.");
}

int cli_stream(Cli *cli, Reply *first, int to, Progress *progress) {
        cleanup(close_fdp) int from = reply_take_fd(first, "outputFd");
        Reply last = *first;
        int64_t n_bytes;
        int r;

        *first = (Reply) {0};
        if (from >= 0) {
                r = output_copy(from, to, progress, &n_bytes);
                if (progress)
                        progress_end(progress);
                if (r < 0) {
                        reply_done(&last);
                        if (r == -EPIPE) /* head(1) has seen enough */
                                return EXIT_REFUSED;
                        return cli_fail(cli, EXIT_REFUSED, "Writing the output failed: %s.", strerror(-r));
                }
        }

        r = 0;
        while (r == 0 && last.continues)
                r = cli_next(cli, &last);
        if (r == 0 && !message_bool(last.parameters, "complete"))
                r = cli_fail(cli, EXIT_INTERNAL, "The output is not complete: carewalletd stopped in the middle. Try again.");
        if (r == 0)
                *first = last;
        else
                reply_done(&last);
        return r;
}

bool cli_print_since(FILE *file, const json_t *status) {
        static const struct {
                const char *name, *one, *many;
        } parts[] = {
                {"fetched", "fetch of your data", "fetches of your data"},
                {"refused", "try to fetch was refused", "tries to fetch were refused"},
                {"revoked", "grant was revoked", "grants were revoked"},
                {"expired", "grant ended by itself", "grants ended by themselves"},
                {"expiring", "grant ends within a week", "grants end within a week"},
        };
        const json_t *since = json_object_get(status, "since"), *last = json_object_get(since, "lastFetch");
        char time[OUTPUT_TIME_SIZE];
        bool any = false;

        for (size_t i = 0; i < N_ELEMENTS(parts); i++) {
                int64_t n = message_int(since, parts[i].name, 0);

                if (n <= 0)
                        continue;
                fputs(any ? ", " : "", file);
                output_count(file, n, parts[i].one, parts[i].many);
                if (i == 0 && last)
                        fprintf(file, " (%s%s, %s)", n == 1 ? "" : "the last by ", message_text(last, "provider", "?"),
                                output_time(time, message_text(last, "time", "?")));
                any = true;
        }
        if (any && json_is_false(json_object_get(since, "whole")))
                fputs(", and more before that", file);
        return any;
}

int cli_print_json(const Cli *cli, const json_t *value) {
        int r = output_json(stdout, value);

        return r == 0 ? 0 : cli_trouble(cli, r, "Writing the output failed");
}

void cli_print_kinds(FILE *file) {
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                fprintf(file, "%s%s", kind > 1 ? ", " : "", record_kind_name(kind));
}

json_t *cli_kinds(const Cli *cli, const char *text, int *ret_code) {
        uint32_t kinds = RECORD_ALL_KINDS;
        const char *bad;
        json_t *array;
        size_t n_bad;

        if (text && parse_kinds(text, &kinds, &bad, &n_bad) != 0) {
                char list[256] = "";
                size_t n = 0;

                for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                        n += (size_t) snprintf(list + n, sizeof(list) - n, "%s%s", kind > 1 ? ", " : "", record_kind_name(kind));
                *ret_code = cli_usage(cli, "\"%.*s\" is no kind of record. Kinds: %s.", (int) (n_bad < 64 ? n_bad : 64), bad, list);
                return NULL;
        }

        array = json_array();
        for (unsigned kind = 1; array && kind < N_RECORD_KINDS; kind++)
                if (kinds & RECORD_KIND_BIT(kind))
                        (void) json_array_append_new(array, json_string(record_kind_name(kind)));
        if (!array)
                *ret_code = cli_trouble(cli, -ENOMEM, "Making the call failed");
        return array;
}

int cli_period(const Cli *cli, const char *from, const char *to, json_t *parameters) {
        const char *const days[] = {from, to}, *const names[] = {"from", "to"};

        for (size_t i = 0; i < N_ELEMENTS(days); i++) {
                if (!days[i])
                        continue;
                if (parse_day(days[i]) != 0)
                        return cli_usage(cli, "--%s needs a day such as 2026-03-14, not \"%.64s\".", names[i], days[i]);
                (void) json_object_set_new(parameters, names[i], json_string(days[i]));
        }
        if (from && to && strcmp(from, to) > 0)
                return cli_usage(cli, "--from %s is after --to %s.", from, to);
        return 0;
}
