/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <inttypes.h>
#include <locale.h>
#include <malloc.h>
#include <sodium.h>
#include <stdarg.h>
#include <time.h>

#include "parse.h"
#include "passphrase.h"
#include "places.h"
#include "policy/record.h"

enum { /* indices in the table below */
        COMMON_SOCKET,
        COMMON_WALLET,
        COMMON_JSON,
        COMMON_PASSPHRASE_FD,
        COMMON_CODE_FD,
        COMMON_STATE_DIR,
};

const Option cli_common_options[] = {
        [COMMON_SOCKET] = {"socket", "PATH", "where the daemon listens (else CAREWALLET_SOCKET, else the usual places)", NULL},
        [COMMON_WALLET] = {"wallet", "NAME", "which of your wallets, as carewallet wallets lists them (else CAREWALLET_WALLET)", NULL},
        [COMMON_JSON] = {"json", NULL, "for programs: JSON instead of text", NULL},
        [COMMON_PASSPHRASE_FD] = {"passphrase-fd", "N", "read the passphrase from this descriptor when it is needed", NULL},
        [COMMON_CODE_FD] = {"code-fd", "N", "read a code of your phone from this descriptor when it is needed", NULL},
        [COMMON_STATE_DIR] = {"state-dir", "DIR", "the daemon's, to revoke while it does not run", NULL},
        {NULL, NULL, NULL, NULL},
};

enum {
        LOOK_TIMEOUT_S = 5,
        RECONNECTS = 50, /* every 100 ms, while a fresh core starts */
        LONG_WAIT_MS = 10000,
        STEPS = 3, /* passphrase, code, and the call itself */
        TRIES = 3, /* at the prompt */
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

int cli_reply_failed(const Cli *cli, const Reply *reply) {
        static const struct {
                const char *error;
                int code;
                const char *message;
        } errors[] = {
                {"Locked", EXIT_LOCKED, "The wallet is locked. Next: carewallet unlock"},
                {"NotInitialized", EXIT_LOCKED, "There is no wallet yet. Next: carewallet init"},
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

/* --- connection --- */

static int find_socket(Cli *cli) {
        const char *given = cli->arguments.common[COMMON_SOCKET], *wallet = cli->arguments.common[COMMON_WALLET];

        if (given && wallet)
                return cli_usage(cli, "--socket or --wallet, not both.");
        if (!given && !wallet) {
                given = getenv("CAREWALLET_SOCKET");
                if (given && given[0] == '\0')
                        given = NULL;
        }
        if (!given && !wallet) {
                wallet = getenv("CAREWALLET_WALLET");
                if (wallet && wallet[0] == '\0')
                        wallet = NULL;
        }
        if (wallet && !places_is_name(wallet))
                return cli_usage(cli, "A wallet's name is 1 to %d small letters, digits and hyphens and begins with no hyphen, unlike \"%.64s\". Those that you "
                                      "have: carewallet wallets.", PLACES_NAME_MAX, wallet);
        cli->is_socket_given = given != NULL;
        cli->wallet = wallet && strcmp(wallet, PLACES_PLAIN) != 0 ? wallet : NULL;
        if (given ? (size_t) snprintf(cli->socket, sizeof(cli->socket), "%s", given) >= sizeof(cli->socket) : places_socket(cli->wallet, cli->socket) != 0)
                return cli_usage(cli, "The path of the daemon's socket is missing or too long: give --socket PATH.");
        return 0;
}

int cli_try_connect(Cli *cli) {
        if (cli->client)
                return 0;
        return client_connect(&cli->client, cli->socket);
}

int cli_reconnect(Cli *cli) {
        int r = -1;

        for (unsigned i = 0; r != 0 && i < RECONNECTS; i++) {
                cli->client = client_free(cli->client);
                (void) usleep(100 * 1000);
                r = cli_try_connect(cli);
        }
        return r == 0 ? 0 : cli_connect(cli);
}

int cli_connect(Cli *cli) {
        int r = cli_try_connect(cli);

        switch (r) {
        case 0:
                return 0;
        case -ENOENT:
        case -ECONNREFUSED:
                if (cli->wallet)
                        return cli_fail(cli, EXIT_UNREACHABLE, "The carewalletd of the wallet \"%s\" does not run (nobody listens at %s). Start it: systemctl --user "
                                                               "start carewalletd@%s.socket. Those that you have: carewallet wallets", cli->wallet, cli->socket, cli->wallet);
                return cli_fail(cli, EXIT_UNREACHABLE, "carewalletd does not run (nobody listens at %s). Start it: "
                                                       "systemctl --user start carewalletd.socket", cli->socket);
        case -EACCES:
        case -EPERM:
                return cli_fail(cli, EXIT_UNREACHABLE, "You may not talk to the carewalletd at %s: it belongs to another user.", cli->socket);
        default:
                return cli_fail(cli, EXIT_UNREACHABLE, "carewalletd is not reachable at %s: %s.", cli->socket, strerror(-fold(r)));
        }
}

/* One call, one reply. */
static int exchange(Cli *cli, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds, Reply *ret) {
        char full[64];
        int r;

        (void) snprintf(full, sizeof(full), "org.carewallet.%s", method);
        r = client_call(cli->client, full, parameters, more, fds, n_fds);
        if (r == 0)
                r = client_receive(cli->client, ret);
        return r == 0 ? 0 : cli_transport_failed(cli, r);
}

static bool is_error(const Reply *reply, const char *name) {
        return reply->error && strncmp(reply->error, "org.carewallet.", 15) == 0 && strcmp(reply->error + 15, name) == 0;
}

void cli_show_seen(const Cli *cli, json_t *parameters) {
        const char *seen = cli->memory ? memory_checkpoint(cli->memory) : NULL;

        if (seen)
                (void) json_object_set_new(parameters, "seen", json_string(seen));
}

/* The core is told of what it can't know: that it was further once. */
static void bear_witness(Cli *cli) {
        cleanup(json_decrefp) json_t *parameters = json_object();
        cleanup(reply_done) Reply reply = {0};
        const char *seen = memory_checkpoint(cli->memory);

        if (!seen || message_bool(cli->status, "locked")) /* unlocking will say it */
                return;
        (void) json_object_set_new(parameters, "checkpoint", json_string(seen));
        if (exchange(cli, "Witness", parameters, false, NULL, 0, &reply) == 0 && reply.error)
                (void) cli_reply_failed(cli, &reply);
}

/* Give the passphrase, so that a call can be repeated. */
static int step_up(Cli *cli) {
        int r;

        for (unsigned try = 1;; try++) {
                cleanup(json_decrefp) json_t *parameters = json_pack("{s:i}", "secretFd", 0);
                cleanup(reply_done) Reply reply = {0};
                cleanup(close_fdp) int fd = -1;
                Progress progress;

                r = cli_secret_fd(cli, "Passphrase: ", &fd);
                if (r != 0)
                        return r;
                cli_show_seen(cli, parameters);
                progress_begin(&progress);
                progress_note(&progress, "Checking the passphrase ...");
                r = exchange(cli, "Unlock", parameters, false, &fd, 1, &reply);
                progress_end(&progress);
                if (r != 0)
                        return r;
                if (!reply.error) {
                        cli_unlocked(&reply);
                        return 0;
                }
                r = cli_reply_failed(cli, &reply);
                if (cli->passphrase_fd >= 0 || try == TRIES || !is_error(&reply, "WrongPassphrase"))
                        return r;
                (void) usleep((useconds_t) (message_int(reply.parameters, "retryAfterMs", 0) % 60000) * 1000);
        }
}

/* Give a code on this connection, so that a call can be repeated: of the phone, a one-time code, or the recovery code. */
static int give_code(Cli *cli) {
        int r;

        for (unsigned try = 1;; try++) {
                cleanup(json_decrefp) json_t *parameters = NULL;
                cleanup(reply_done) Reply reply = {0};
                cleanup(close_fdp) int fd = -1;
                bool recovery;

                r = cli_code_fd(cli, cli->code_fd, "Code from your phone (or a one-time code, or the recovery code): ", &fd, &recovery);
                if (r != 0)
                        return r;
                parameters = recovery ? json_pack("{s:i, s:b}", "secretFd", 0, "recovery", 1) : json_pack("{s:i}", "codeFd", 0);
                r = exchange(cli, recovery ? "Unlock" : "StepUp", parameters, false, &fd, 1, &reply);
                if (r != 0)
                        return r;
                if (!reply.error) {
                        cli_unlocked(&reply);
                        return 0;
                }
                r = cli_reply_failed(cli, &reply);
                if (cli->code_fd >= 0 || try == TRIES || !is_error(&reply, "WrongCode"))
                        return r;
        }
}

int cli_ask(Cli *cli, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds, Reply *ret) {
        cleanup(json_decrefp) json_t *kept = parameters;
        bool can_ask = !cli->json && passphrase_can_ask();
        int r;

        if (!kept)
                return cli_trouble(cli, -ENOMEM, "Making the call failed");
        r = cli_connect(cli);
        for (unsigned step = 1; r == 0; step++) {
                bool code, passphrase;

                r = exchange(cli, method, kept, more, fds, n_fds, ret);
                if (r != 0 || step == STEPS)
                        return r;
                code = is_error(ret, "CodeRequired");
                passphrase = is_error(ret, "Locked") || is_error(ret, "StepUpRequired");
                if (is_error(ret, "StepUpRequired") && cli->code_fd >= 0 && cli->passphrase_fd < 0) { /* either will do */
                        code = true;
                        passphrase = false;
                }
                if ((code && cli->code_fd < 0 && !can_ask) || (passphrase && cli->passphrase_fd < 0 && !can_ask) || (!code && !passphrase))
                        return 0;
                reply_done(ret);
                r = code ? give_code(cli) : step_up(cli);
                if (r == 0 && passphrase && cli->status) /* it was another before the passphrase */
                        r = cli_look(cli, false);
        }
        return r;
}

int cli_call(Cli *cli, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds, Reply *ret) {
        int r = cli_ask(cli, method, parameters, more, fds, n_fds, ret);

        if (r == 0 && ret->error)
                r = cli_reply_failed(cli, ret);
        return r;
}

int cli_next(Cli *cli, Reply *ret) {
        int r;

        reply_done(ret);
        r = client_receive(cli->client, ret);
        if (r != 0)
                return cli_transport_failed(cli, r);
        return ret->error ? cli_reply_failed(cli, ret) : 0;
}

/* --- what verbs share --- */

/* What the wallet says in words has times of the wallet's zone, so all that is said has. */
static void use_zone(const char *zone) {
        if (zone && setenv("TZ", zone, 1) == 0)
                tzset();
}

int cli_look(Cli *cli, bool accept) {
        cleanup(json_decrefp) json_t *parameters = NULL;
        cleanup(reply_done) Reply reply = {0};
        MemoryVerdict verdict = MEMORY_FINE;
        int r;

        r = cli_connect(cli);
        if (r != 0)
                return r;
        if (cli->memory)
                parameters = json_pack("{s:I}", "since", (json_int_t) memory_told_size(cli->memory));
        client_set_timeout(cli->client, LOOK_TIMEOUT_S);
        r = exchange(cli, "Status", parameters, false, NULL, 0, &reply);
        client_set_timeout(cli->client, 0);
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        if (r != 0)
                return r;

        json_decref(cli->status);
        cli->status = json_incref((json_t *) (uintptr_t) reply.parameters);
        use_zone(message_text(cli->status, "timezone", NULL));
        if (!cli->memory)
                return 0;

        verdict = memory_note(cli->memory, reply.parameters, accept);
        switch (verdict) {
        case MEMORY_FINE:
                break;
        case MEMORY_OLDER:
                bear_witness(cli);
                cli_warn("the wallet has been put back to an older state: its ledger was seen with %" PRId64 " entries and then with fewer. "
                         "The log lacks what happened since. A grant that you had revoked may be there again, so all are suspended until you say which "
                         "still count (carewallet grants, carewallet resume NAME), and the gate is closed. "
                         "If it was you, say so once: carewallet status --accept-older",
                         memory_checkpoint_size(cli->memory));
                break;
        case MEMORY_ANEW:
                cli_warn("the wallet was restored from a backup. Its log lacks what happened since. "
                         "A grant that you had revoked may be there again, so all were suspended until you say which still count "
                         "(carewallet grants, carewallet resume NAME), and the gate was closed.");
                break;
        case MEMORY_REWRITTEN:
                bear_witness(cli);
                cli_warn("the ledger is not the one that this program saw before: entries were changed. Do not trust the log. "
                         "If you know why, say so once: carewallet status --accept-older");
                break;
        case MEMORY_OTHER:
                cli_warn("this is another wallet than the last time at %s.", cli->socket);
                break;
        }
        return 0;
}

int cli_zone(Cli *cli) {
        return cli->json || message_text(cli->status, "timezone", NULL) ? 0 : cli_look(cli, false);
}

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

/* --- the program --- */

static bool is_verb(const char *name, char *const *words, size_t n_words) {
        const char *blank = strchr(name, ' ');

        if (n_words == 1)
                return !blank && strcmp(name, words[0]) == 0;
        return blank && strncmp(name, words[0], (size_t) (blank - name)) == 0 && words[0][blank - name] == '\0' && strcmp(blank + 1, words[1]) == 0;
}

const Verb *cli_find(const Verb *const *verbs, char *const *words, size_t n, size_t *ret_n) {
        /* "timezone add" before "timezone", whose operand it could be */
        for (*ret_n = n < 2 ? n : 2; *ret_n > 0; --*ret_n)
                for (const Verb *const *verb = verbs; *verb; verb++)
                        if (is_verb((*verb)->name, words, *ret_n))
                                return *verb;
        return NULL;
}

enum {
        HELP_WIDTH = 80, /* where it goes to no terminal, but to a pager */
        HELP_COLUMN = 27,
};

static void print_wrapped(FILE *file, unsigned at, unsigned indent, const char *text) {
        unsigned width = output_width(file);

        output_wrap_at(file, width > 0 ? width : HELP_WIDTH, at, indent, text);
}

static void print_options(FILE *file, const Option *options) {
        for (; options && options->name; options++) {
                int n = fprintf(file, "  --%s%s%s ", options->name, options->argument ? " " : "", options->argument ? options->argument : "");

                fprintf(file, "%*s", n < HELP_COLUMN ? HELP_COLUMN - n : 0, "");
                print_wrapped(file, n < HELP_COLUMN ? HELP_COLUMN : (unsigned) n, HELP_COLUMN, options->help);
        }
}

static void print_verb(FILE *file, const Verb *verb) {
        fprintf(file, "usage: carewallet %s%s%s%s\n\n%s.\n", verb->name, verb->operands[0] ? " " : "", verb->operands,
                verb->options ? " [OPTION...]" : "", verb->summary);
        if (verb->help)
                print_wrapped(file, 0, 0, verb->help);
        if (verb->options) {
                fputc('\n', file);
                print_options(file, verb->options);
        }
}

static void print_common(FILE *file) {
        fputs("\nWith every verb:\n", file);
        print_options(file, cli_common_options);
}

bool cli_print_family(FILE *file, const Verb *const *verbs, const char *word) {
        size_t n = strlen(word);
        bool any = false;

        for (; *verbs; verbs++) {
                if (n == 0 || strncmp((*verbs)->name, word, n) != 0 || (*verbs)->name[n] != ' ')
                        continue;
                if (any)
                        fputc('\n', file);
                print_verb(file, *verbs);
                any = true;
        }
        if (any)
                print_common(file);
        return any;
}

void cli_print_help(FILE *file, const Verb *const *verbs, const Verb *verb) {
        const char *group = "";

        if (verb) {
                print_verb(file, verb);
                print_common(file);
                return;
        }

        fputs("usage: carewallet VERB [OPTION...]\n\n"
              "Your diabetes data in a wallet of your own: you decide who sees what, for how\n"
              "long, and end it with one command.\n", file);
        for (; *verbs; verbs++) {
                if (strcmp((*verbs)->group, group) != 0)
                        fprintf(file, "\n%s%s%s\n", paint(file, PAINT_BOLD), (*verbs)->group, unpaint(file));
                group = (*verbs)->group;
                fprintf(file, "  %-16s %s\n", (*verbs)->name, (*verbs)->summary);
        }
        fputs("\ncarewallet VERB -h says more of one of them, carewallet(1) of all.\n\n"
              "It starts with:\n"
              "  carewallet init\n"
              "  carewallet import FILE\n"
              "  carewallet provider add NAME --key FILE\n"
              "  carewallet grant NAME --preset visit --out FILE\n", file);
}

static void *wiped_malloc(size_t n) {
        return malloc(n);
}

static void wiped_free(void *pointer) {
        if (pointer)
                explicit_bzero(pointer, malloc_usable_size(pointer));
        free(pointer);
}

/* After the verb: keep the checkpoint and, once a day, tell what happened. */
static void look_again(Cli *cli) {
        cleanup(freep) char *line = NULL;
        bool tells, any;
        size_t n_line;
        FILE *memory;

        if (!cli->client || !cli->memory)
                return;
        tells = !cli->json && isatty(STDERR_FILENO) && !memory_told_today(cli->memory);
        /* what the verb saw may be from before the passphrase was given, and then it does not say what happened */
        if ((!cli->status || (tells && !json_object_get(cli->status, "since"))) && cli_look(cli, cli->is_new) != 0)
                return;
        if (!tells || !json_object_get(cli->status, "since"))
                return;

        memory = open_memstream(&line, &n_line);
        if (!memory)
                return;
        any = cli_print_since(memory, cli->status);
        if (fclose(memory) == 0 && any)
                output_say(stderr, 0, "%s: %s. More: carewallet log", memory_told_size(cli->memory) > 0 ? "Since the last time" : "Until now", line);
        memory_tell(cli->memory, cli->status);
}

static int run(Cli *cli, int argc, char **argv) {
        const char *passphrase_fd, *code_fd, *state_dir;
        char wrong[256];
        size_t n_leading, n_words = 0;
        int64_t fd;
        int r;

        argv++, argc--;
        if (argc == 0) {
                cli_print_help(stderr, cli->verbs, NULL);
                return EXIT_USAGE;
        }
        if (strcmp(argv[0], "--version") == 0) {
                puts("carewallet " CAREWALLET_VERSION);
                return EXIT_DONE;
        }
        n_leading = arguments_leading(cli_common_options, argv, (size_t) argc);
        if (n_leading == (size_t) argc)
                return cli_usage(cli, "Which verb?");
        if (strcmp(argv[n_leading], "-h") == 0 || strcmp(argv[n_leading], "--help") == 0) {
                cli_print_help(stdout, cli->verbs, NULL);
                return EXIT_DONE;
        }
        cli->verb = cli_find(cli->verbs, argv + n_leading, (size_t) argc - n_leading, &n_words);
        if (!cli->verb) {
                const char *word = argv[n_leading], *next = n_leading + 1 < (size_t) argc ? argv[n_leading + 1] : "";
                bool asks = strcmp(next, "-h") == 0 || strcmp(next, "--help") == 0;

                if (cli_print_family(asks ? stdout : stderr, cli->verbs, word))
                        return asks ? EXIT_DONE : EXIT_USAGE;
                return cli_usage(cli, "There is no verb \"%.64s\".", word);
        }

        memmove(argv + n_words, argv, n_leading * sizeof(*argv)); /* options before the verb are as good as behind it */
        r = arguments_parse(cli->verb->options, cli_common_options, argv + n_words, (size_t) argc - n_words, &cli->arguments, wrong);
        if (r == ARGUMENTS_E_HELP) {
                cli_print_help(stdout, cli->verbs, cli->verb);
                return EXIT_DONE;
        }
        if (r != 0)
                return cli_usage(cli, "%s", wrong);

        cli->json = cli->arguments.common[COMMON_JSON];
        if (cli->arguments.n_operands < cli->verb->n_min)
                return cli_usage(cli, "Something is missing: carewallet %s %s.", cli->verb->name, cli->verb->operands);
        if (cli->arguments.n_operands > cli->verb->n_max)
                return cli_usage(cli, "\"%.64s\" is one too many.", cli_operand(cli, cli->verb->n_max));

        passphrase_fd = cli->arguments.common[COMMON_PASSPHRASE_FD];
        if (passphrase_fd) {
                if (parse_number(passphrase_fd, 0, 1 << 20, &fd) != 0)
                        return cli_usage(cli, "--passphrase-fd needs the number of an open descriptor.");
                cli->passphrase_fd = (int) fd;
        }
        code_fd = cli->arguments.common[COMMON_CODE_FD];
        if (code_fd) {
                if (parse_number(code_fd, 0, 1 << 20, &fd) != 0)
                        return cli_usage(cli, "--code-fd needs the number of an open descriptor.");
                cli->code_fd = (int) fd;
        }
        state_dir = cli->arguments.common[COMMON_STATE_DIR];
        if (!state_dir)
                state_dir = getenv("CAREWALLET_STATE_DIR");
        cli->state_dir = state_dir && state_dir[0] != '\0' ? state_dir : NULL;
        r = find_socket(cli);
        if (r != 0)
                return r;
        cli->memory = memory_load(cli->socket);

        r = cli->verb->run(cli);

        if ((fflush(stdout) != 0 || ferror(stdout)) && errno == EPIPE)
                r = r != 0 ? r : EXIT_REFUSED;
        else if (ferror(stdout))
                r = r != 0 ? r : cli_fail(cli, EXIT_REFUSED, "Writing the output failed: %s.", strerror(errno));
        if (r == EXIT_DONE || r == EXIT_PARTLY)
                look_again(cli);
        if (cli->memory)
                memory_save(cli->memory);
        return r;
}

int cli_main(const Verb *const *verbs, int argc, char **argv) {
        Cli cli = {.verbs = verbs, .passphrase_fd = -1, .code_fd = -1};
        int r;

        (void) setlocale(LC_CTYPE, "");
        json_set_alloc_funcs(wiped_malloc, wiped_free);
        if (sodium_init() < 0)
                return cli_fail(&cli, EXIT_INTERNAL, "The crypto library can't start.");

        r = run(&cli, argc, argv);

        cli.client = client_free(cli.client);
        cli.memory = memory_free(cli.memory);
        json_decref(cli.status);
        return r;
}
