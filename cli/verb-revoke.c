/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>
#include <sys/file.h>
#include <time.h>

#include "daemon/common/slots.h"
#include "daemon/common/spool.h"
#include "parse.h"
#include "places.h"

enum {
        ALL,
        REASON,
        YES,

        TIMEOUT_S = 10, /* a daemon that takes longer does not live */
};

#define UNCHECKED " Whether you know a provider of that name could not be checked, as that is sealed too: if not, unlock says so."

static const Option options[] = {
        [ALL] = {"all", NULL, "end everything that anybody has", NULL},
        [REASON] = {"reason", "TEXT", "for your own log", NULL},
        [YES] = {"yes", NULL, "changes nothing: revoking never asks", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Where the wallet's files are: as given, as its daemon once said, or where its service keeps them. NULL: not known. */
static const char *find_state_dir(const Cli *cli, char buffer[static PLACES_PATH_SIZE]) {
        const char *dir = cli->state_dir ? cli->state_dir : cli->memory ? memory_state_dir(cli->memory) : NULL;

        if (dir)
                return dir;
        return !cli->is_socket_given && places_state_dir(cli->wallet, buffer) == 0 ? buffer : NULL;
}

/* Nothing may be said to be ended, or not to be served, that was not looked at. */
static int printf_like(3, 4) may_be_serving(const Cli *cli, const char *provider, const char *format, ...) {
        cleanup(freep) char *what = NULL;
        va_list arguments;

        va_start(arguments, format);
        if (vasprintf(&what, format, arguments) < 0)
                what = NULL;
        va_end(arguments);
        return cli_fail(cli, EXIT_UNREACHABLE, "Nothing was ended: nobody listens at %s, and %s. So it can't be told whether carewalletd runs: it may still be serving. "
                                               "Say where it listens or keeps its state: carewallet revoke %s --socket PATH, or --state-dir DIR. To be sure now, stop it: "
                                               "systemctl --user stop carewalletd", cli->socket, what ? what : "its state can't be read", provider ? provider : "--all");
}

/* Without a daemon: a sealed note in its state directory, applied before it serves anything again. */
static int leave_note(Cli *cli, const char *provider) {
        SpoolEntry entry = {.type = provider ? SPOOL_REVOKE : SPOOL_REVOKE_ALL};
        char buffer[PLACES_PATH_SIZE];
        const char *dir = find_state_dir(cli, buffer);
        uint8_t key[32], wallet_id[16];
        cleanup(close_fdp) int fd = -1;
        struct timespec now;
        bool runs;
        int r;

        if (!dir)
                return may_be_serving(cli, provider, "where carewalletd keeps its state is not known");
        fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
        if (fd < 0)
                return may_be_serving(cli, provider, "its state in %s can't be reached (%s; try again as its user or as root)", dir, strerror(errno));

        /* a running daemon holds a lock on its state directory */
        r = flock(fd, LOCK_SH | LOCK_NB);
        if (r < 0 && errno != EWOULDBLOCK)
                return may_be_serving(cli, provider, "the lock on %s can't be looked at (%s)", dir, strerror(errno));
        runs = r < 0;
        (void) flock(fd, LOCK_UN);

        r = slots_read_public_key(fd, key, wallet_id);
        if (r != 0 && !(cli->memory && memory_revocation_key(cli->memory, key, wallet_id)))
                return runs ? may_be_serving(cli, provider, "the wallet in %s, which a carewalletd uses, can't be read", dir)
                            : cli_fail(cli, EXIT_UNREACHABLE, "No carewalletd runs in %s, and there is no wallet in it that could be read%s%s.", dir, r < 0 ? ": " : "",
                                       r < 0 ? strerror(-r) : "");

        (void) clock_gettime(CLOCK_REALTIME, &now);
        entry.time_unix_ms = (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
        if (provider)
                (void) snprintf(entry.provider, sizeof(entry.provider), "%s", provider);
        r = spool_add(fd, key, wallet_id, &entry);
        if (r == SPOOL_E_FULL)
                return cli_fail(cli, EXIT_REFUSED, "Too many revocations wait already. Start carewalletd and unlock the wallet.");
        if (r != 0)
                return cli_fail(cli, EXIT_UNREACHABLE, "The revocation could not be written to %s: %s. %s Try again as its user or as root.", dir, strerror(-fold(r)),
                                runs ? "carewalletd runs and may still be serving." : "Nothing is served while carewalletd does not run.");

        if (runs)
                return cli_fail(cli, EXIT_UNREACHABLE, "carewalletd runs, but does not answer at %s: it may still be serving. The revocation is on the disk "
                                                       "and is applied at the next unlock. To be sure now, name its socket (--socket PATH), or stop it: "
                                                       "systemctl --user stop carewalletd", cli->socket);
        if (cli->json) {
                cleanup(json_decrefp) json_t *answer = json_pack("{s:b, s:b, s:b}", "spooled", true, "durable", true, "reachable", false);

                return cli_print_json(cli, answer);
        }
        output_say(stdout, 0, "%s: the revocation is on the disk, sealed for the wallet. It takes effect when the wallet is next unlocked, before "
                              "anything is served. Nothing is served while carewalletd does not run.%s", provider ? provider : "All grants", provider ? UNCHECKED : "");
        return EXIT_DONE;
}

static void print_fetched(const json_t *fetched) {
        cleanup(json_decrefp) json_t *uses_of = json_object(); /* a provider may have had several grants */
        const json_t *grant;
        const char *provider;
        json_t *uses;
        bool any = false;
        size_t i;

        json_array_foreach (fetched, i, grant) {
                provider = message_text(grant, "provider", "?");
                (void) json_object_set_new(uses_of, provider, json_integer(message_int(uses_of, provider, 0) + message_int(grant, "uses", 0)));
        }
        json_object_foreach (uses_of, provider, uses) {
                int64_t n = (int64_t) json_integer_value(uses);

                if (n == 0)
                        continue;
                any = true;
                output_say(stdout, 0, "%s had redeemed %lld time%s before.", provider, (long long) n, n == 1 ? "" : "s");
        }
        output_say(stdout, 0, "%s", any ? "What was fetched can't be recalled: it is with whoever fetched it."
                                        : "Nothing had been fetched under what was ended.");
}

static int print_result(Cli *cli, const char *provider, const json_t *result) {
        int64_t n = message_int(result, "revoked", 0), n_cut = message_int(result, "streamsCut", 0);
        char number[OUTPUT_NUMBER_SIZE];

        if (cli->json)
                return cli_print_json(cli, result);

        if (message_bool(result, "spooled") && n == 0) {
                output_say(stdout, 0, "%s: the wallet is locked, so nothing is served now. The revocation is on the disk and takes effect when the "
                                      "wallet is unlocked, before anything is served.%s", provider ? provider : "All grants", provider ? UNCHECKED : "");
                return EXIT_DONE;
        }
        if (n == 0) {
                printf("%s: there was nothing to end.\n", provider ? provider : "All grants");
                return EXIT_DONE;
        }
        printf("%s%s%s: ", paint(stdout, PAINT_GOOD), provider ? provider : "All grants", unpaint(stdout));
        output_count(stdout, n, "grant", "grants");
        puts(" ended. Nothing more leaves.");
        if (n_cut > 0) {
                output_say(stdout, 0, "%lld running transfer%s cut; up to %s of %s had been handed to the network already.", (long long) n_cut,
                           n_cut == 1 ? " was" : "s were", output_bytes(number, message_int(result, "bytesHandedOut", 0)), n_cut == 1 ? "it" : "them");
        }
        print_fetched(json_object_get(result, "fetched"));
        if (message_bool(result, "spooled"))
                cli_warn("the disk is full or cannot be written, so the gate is off. The revocation is kept on it as a sealed note, which holds after any restart; it is "
                         "written to the wallet as soon as there is room.");
        else if (!message_bool(result, "durable"))
                cli_warn("it holds as long as carewalletd runs, but is not on the disk yet. Make room; it is tried again by itself.");
        return EXIT_DONE;
}

static int run(Cli *cli) {
        const char *provider = cli_operand(cli, 0), *reason = cli_option(cli, REASON);
        cleanup(json_decrefp) json_t *parameters = json_object();
        cleanup(reply_done) Reply reply = {0};
        int r;

        if (!provider && !cli_option(cli, ALL))
                return cli_usage(cli, "Whose? Name a provider, or all of them by --all.");
        if (provider && cli_option(cli, ALL))
                return cli_usage(cli, "A provider or --all, not both.");
        if (provider && parse_name(provider) != 0)
                return cli_fail(cli, EXIT_REFUSED, "There is no provider of that name. Those whom you know: carewallet provider list");

        r = cli_try_connect(cli);
        if (r != 0)
                return leave_note(cli, provider);

        if (provider)
                (void) json_object_set_new(parameters, "provider", json_string(provider));
        else
                (void) json_object_set_new(parameters, "all", json_true());
        if (reason)
                (void) json_object_set_new(parameters, "reason", json_string(reason));

        client_set_timeout(cli->client, TIMEOUT_S);
        r = client_call(cli->client, "org.carewallet.Revoke", parameters, false, NULL, 0);
        if (r == 0)
                r = client_receive(cli->client, &reply);
        client_set_timeout(cli->client, 0);
        if (r == CLIENT_E_TIMEOUT || r == CLIENT_E_GONE) {
                cli->client = client_free(cli->client);
                return leave_note(cli, provider);
        }
        if (r != 0)
                return cli_transport_failed(cli, r);
        if (reply.error)
                return cli_reply_failed(cli, &reply);
        return print_result(cli, provider, reply.parameters);
}

const Verb verb_revoke = {
        .name = "revoke",
        .group = "Sharing",
        .operands = "[NAME]",
        .n_max = 1,
        .summary = "End what a provider has, at once; --all ends everything",
        .help = "Never asks for a passphrase. Works on a locked wallet and while carewalletd does not run: the revocation is then "
                "written down, sealed, and applied before anything is served again.",
        .options = options,
        .run = run,
};
