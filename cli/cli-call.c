/* SPDX-License-Identifier: Apache-2.0 */

/* Calls of the daemon, with what it asks for on the way: a passphrase, a code; and the first look at it. */

#include "cli.h"

#include <inttypes.h>
#include <time.h>

#include "passphrase.h"

enum {
        LOOK_TIMEOUT_S = 5,
        RECONNECTS = 50, /* every 100 ms, while a fresh core starts */
        STEPS = 3, /* passphrase, code, and the call itself */
        TRIES = 3, /* at the prompt */
};

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
