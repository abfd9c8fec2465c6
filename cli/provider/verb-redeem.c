/* SPDX-License-Identifier: Apache-2.0 */

#include "endmark.h"
#include "exchange.h"
#include "keyfile.h"
#include "provider.h"

#include "cli/parse.h"
#include "daemon/common/words.h"
#include "policy/record.h"

#include <curl/curl.h>
#include <fcntl.h>
#include <sys/stat.h>

enum {
        OPTION_KEY,
        OPTION_FORMAT,
        OPTION_OUT,
        OPTION_GATE,
        OPTION_PASSPHRASE_FD,
        OPTION_KINDS,
        OPTION_FROM,
        OPTION_TO,
        OPTION_SINCE,
};

static const Option options[] = {
        [OPTION_KEY] = {"key", "FILE", "your private key, as keygen made it", NULL},
        [OPTION_FORMAT] = {"format", "FORMAT", "ndjson, csv or summary", "ndjson csv summary"},
        [OPTION_OUT] = {"out", "FILE", "where the data goes; replaced only by a whole slice", NULL},
        [OPTION_GATE] = {"gate", "URL", "the gate's address, when it is not the one in the grant", NULL},
        [OPTION_PASSPHRASE_FD] = {"passphrase-fd", "N", "the key's passphrase comes from descriptor N", NULL},
        [OPTION_KINDS] = {"kinds", "LIST", "only these kinds, such as cgm,bolus", NULL},
        [OPTION_FROM] = {"from", "DATE", "only from this day, such as 2026-01-31", NULL},
        [OPTION_TO] = {"to", "DATE", "only to this day, included", NULL},
        [OPTION_SINCE] = {"since", "TIME", "only records from this time on, such as 2026-01-31T12:00:00Z", NULL},
        {NULL, NULL, NULL, NULL},
};

typedef enum Format {
        FORMAT_NDJSON,
        FORMAT_CSV,
        FORMAT_SUMMARY,
} Format;

typedef struct Output {
        Format format;
        char *temporary; /* NULL: none */
        int fd;
        int64_t n_bytes;
        EndMark mark;
        Progress progress;
} Output;

static void output_donep(Output **output) {
        if (!*output)
                return;
        (void) close_fd((*output)->fd);
        if ((*output)->temporary)
                (void) unlink((*output)->temporary);
        free((*output)->temporary);
        sodium_memzero(*output, sizeof(**output));
        free(*output);
}

static int read_key(const Invocation *invocation, const char *path, Secret **ret) {
        const char *fd_text = provider_option(invocation, OPTION_PASSPHRASE_FD);
        cleanup(secret_freep) Secret *passphrase = NULL;
        size_t n, n_passphrase = 0;
        uint8_t bytes[KEYFILE_MAX];
        int r;

        r = provider_read_file(path, bytes, sizeof(bytes), &n);
        if (r < 0 && r != -EFBIG)
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be read: %s.", path, strerrordesc_np(-r));
        if (r == 0 && keyfile_needs_passphrase(bytes, n)) {
                r = provider_passphrase(invocation, fd_text, "Passphrase of the key: ", &passphrase, &n_passphrase);
                if (r != 0)
                        return r;
        }
        if (r == 0)
                r = keyfile_open(ret, bytes, n, passphrase, n_passphrase);
        explicit_bzero(bytes, sizeof(bytes));
        if (r == KEYFILE_E_PASSPHRASE)
                return provider_fail(invocation, EXIT_PASSPHRASE, "The passphrase is wrong, or %s was altered.", path);
        if (r == -ENOMEM)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        if (r != 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s is no private key of carewallet-provider.", path);
        return 0;
}

static int check_holder(const Invocation *invocation, const GrantClaims *claims, const Secret *seed) {
        char thumbprint[JWS_THUMBPRINT_SIZE], words[WORDS_SIZE];
        uint8_t public_key[32];

        if (ed25519_public(public_key, seed) < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        jwk_thumbprint(thumbprint, public_key);
        if (strcmp(thumbprint, claims->provider_thumbprint) == 0)
                return 0;
        words_of_key(words, public_key);
        return provider_fail(invocation, EXIT_REFUSED, "This grant is for another key. Use the key that you gave the patient; the words of this one are %s.", words);
}

/* --- what is asked --- */

static int add_parameter(char **query, const char *name, const char *value) {
        char *encoded = curl_easy_escape(NULL, value, 0), *longer = NULL;
        int n;

        if (!encoded)
                return -ENOMEM;
        n = asprintf(&longer, "%s%c%s=%s", *query, (*query)[0] ? '&' : '?', name, encoded);
        curl_free(encoded);
        if (n < 0)
                return -ENOMEM;
        free(*query);
        *query = longer;
        return 0;
}

static int make_query(const Invocation *invocation, Format format, char **ret) {
        const char *kinds = provider_option(invocation, OPTION_KINDS), *from = provider_option(invocation, OPTION_FROM);
        const char *to = provider_option(invocation, OPTION_TO), *since = provider_option(invocation, OPTION_SINCE), *bad;
        cleanup(freep) char *query = strdup("");
        uint32_t bits;
        size_t n_bad;
        int r = query ? 0 : -ENOMEM;

        if (format == FORMAT_SUMMARY && (kinds || from || to || since))
                return provider_fail(invocation, EXIT_USAGE, "A summary is always of the grant's whole period: leave out --kinds, --from, --to and --since.");
        if (kinds && parse_kinds(kinds, &bits, &bad, &n_bad) != 0)
                return provider_fail(invocation, EXIT_USAGE, "There is no kind %.*s.", (int) n_bad, bad);
        if ((from && parse_day(from) != 0) || (to && parse_day(to) != 0))
                return provider_fail(invocation, EXIT_USAGE, "--from and --to are days such as 2026-01-31.");
        if (r == 0 && format != FORMAT_SUMMARY)
                r = add_parameter(&query, "format", format == FORMAT_CSV ? "csv" : "ndjson");
        if (r == 0 && kinds)
                r = add_parameter(&query, "kinds", kinds);
        if (r == 0 && from)
                r = add_parameter(&query, "from", from);
        if (r == 0 && to)
                r = add_parameter(&query, "to", to);
        if (r == 0 && since)
                r = add_parameter(&query, "since", since);
        if (r < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        *ret = take_ptr(query);
        return 0;
}

/* --- what comes --- */

static int open_output(const Invocation *invocation, const char *path, Output *output) {
        if (asprintf(&output->temporary, "%s.XXXXXX", path) < 0) {
                output->temporary = NULL;
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        }
        output->fd = mkostemp(output->temporary, O_CLOEXEC); /* 0600, and new */
        if (output->fd < 0) {
                int r = errno;

                free(take_ptr(output->temporary));
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be written: %s.", path, strerrordesc_np(r));
        }
        return 0;
}

static int on_bytes(const char *bytes, size_t n, void *userdata) {
        Output *output = userdata;

        if (output->format != FORMAT_SUMMARY)
                endmark_feed(&output->mark, bytes, n);
        output->n_bytes += (int64_t) n;
        progress_bar(&output->progress, "fetching", output->n_bytes, 0);
        return output_write(output->fd, bytes, n);
}

static int keep_output(const Invocation *invocation, const char *path, Output *output) {
        if (fsync(output->fd) < 0 || rename(output->temporary, path) < 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be written: %s.", path, strerrordesc_np(errno));
        free(take_ptr(output->temporary));
        return 0;
}

/* --- what goes wrong --- */

static int refused(const Invocation *invocation, const Exchange *exchange, const char *grant_path) {
        const char *error = exchange_error(exchange), *text = exchange_text(exchange);

        if (strcmp(error, "invalid_grant") == 0 || strcmp(error, "invalid_token") == 0)
                return provider_fail(invocation, EXIT_REFUSED, "This grant was revoked or has expired; ask the patient for a new one. (The gate says: %s.)", text);
        if (strcmp(error, "insufficient_scope") == 0)
                return provider_fail(invocation, EXIT_REFUSED,
                                     "The grant does not permit this. (The gate says: %s.) To see what it permits: carewallet-provider verify %s", text, grant_path);
        if (strcmp(error, "not_enough_data") == 0)
                return provider_fail(invocation, EXIT_REFUSED,
                                     "There are not enough readings for a summary yet: it needs at least 3 whole days and 200 readings. Try again in a few days.");
        if (strcmp(error, "invalid_dpop_proof") == 0 || strcmp(error, "use_dpop_nonce") == 0)
                return provider_fail(invocation, EXIT_REFUSED,
                                     "The gate does not accept the proof of your key. (It says: %s.) Its address must be one that the grant names, or one that "
                                     "the patient gave to the gate: carewallet gate on --external URL.", text);
        if (exchange_status(exchange) == 503)
                return provider_fail(invocation, EXIT_UNREACHABLE, "The patient's wallet can't answer now; try again later. (The gate says: %s.)", text);
        if (exchange_status(exchange) >= 500)
                return provider_fail(invocation, EXIT_REFUSED, "Something went wrong in the patient's wallet; try again later. (The gate says: %s.)", text);
        return provider_fail(invocation, EXIT_REFUSED, "The gate refuses this. (It says: %s.)", text);
}

static int failed(const Invocation *invocation, int r, const Exchange *exchange, const char *url, const char *grant_path) {
        const char *text = exchange_text(exchange);

        switch (r) {
        case EXCHANGE_E_REFUSED:
                return refused(invocation, exchange, grant_path);
        case EXCHANGE_E_UNREACHABLE:
                return provider_fail(invocation, EXIT_UNREACHABLE,
                                     "The gate %s does not answer (%s). Ask the patient whether it is open, and for its address if it has moved: --gate URL.", url, text);
        case EXCHANGE_E_PIN:
                return provider_fail(invocation, EXIT_REFUSED, "What answers at %s is not the patient's gate: its key is not the one in the grant. Nothing was sent.", url);
        case EXCHANGE_E_TLS:
                return provider_fail(invocation, EXIT_REFUSED, "There is no trustworthy TLS 1.3 at %s (%s). Nothing was sent.", url, text);
        case EXCHANGE_E_CUT:
                return provider_fail(invocation, EXIT_REFUSED, "The data was cut off before its end, so nothing was kept. If it happens again, the grant was probably revoked: ask the patient.");
        case EXCHANGE_E_INTERRUPTED:
                return provider_fail(invocation, EXIT_REFUSED, "Interrupted; nothing was kept.");
        case EXCHANGE_E_PROTOCOL:
                return provider_fail(invocation, EXIT_REFUSED, "What answers at %s does not behave like a gate (%s).", url, text[0] ? text : "unexpected answer");
        default:
                return provider_fail(invocation, r == -ENOMEM ? EXIT_INTERNAL : EXIT_REFUSED, "This failed: %s. Nothing was kept.", strerrordesc_np(-fold(r)));
        }
}

static int check_end(const Invocation *invocation, Output *output, const char *trailer, uint64_t *ret_rows) {
        switch (endmark_check(&output->mark, trailer, ret_rows)) {
        case 0:
                return 0;
        case ENDMARK_E_MISSING:
                return provider_fail(invocation, EXIT_REFUSED, "The data was cut off before its end, so nothing was kept. If it happens again, the grant was probably revoked: ask the patient.");
        default:
                return provider_fail(invocation, EXIT_REFUSED, "The data is not what its end says: rows or checksum do not fit. Nothing was kept; try again.");
        }
}

/* --- all of it --- */

/* An access token from the first gate that answers. @ret_url: malloc'd */
static int get_token(const Invocation *invocation, Exchange *exchange, const GrantClaims *claims, const char *jwt, const char *grant_path, char **ret_url) {
        const char *gate = provider_option(invocation, OPTION_GATE);
        size_t n = gate ? 1 : claims->n_urls;
        int r = EXCHANGE_E_UNREACHABLE;

        if (n == 0)
                return provider_fail(invocation, EXIT_USAGE, "The grant names no gate: ask the patient for its address and give it with --gate URL.");
        if (gate && strncmp(gate, "https://", 8) != 0)
                return provider_fail(invocation, EXIT_USAGE, "--gate takes an address such as https://127.0.0.1:8443");
        for (size_t i = 0; i < n; i++) {
                cleanup(freep) char *url = strdup(gate ? gate : claims->urls[i]);

                if (!url)
                        return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
                for (size_t end = strlen(url); end > 8 && url[end - 1] == '/';)
                        url[--end] = '\0';
                r = exchange_token(exchange, url, jwt);
                if (r == EXCHANGE_E_UNREACHABLE && i + 1 < n)
                        continue;
                if (r != 0)
                        return failed(invocation, r, exchange, url, grant_path);
                *ret_url = take_ptr(url);
                break;
        }
        return 0;
}

static int said(const Invocation *invocation, const char *path, const Output *output, uint64_t n_rows) {
        char bytes[OUTPUT_NUMBER_SIZE];

        if (invocation->json) {
                json_t *object = json_pack("{s:s, s:I}", "out", path, "bytes", (json_int_t) output->n_bytes);
                int r;

                if (output->format != FORMAT_SUMMARY)
                        (void) json_object_set_new(object, "rows", json_integer((json_int_t) n_rows));
                r = output_json(stdout, object);
                json_decref(object);
                return r == 0 ? EXIT_DONE : EXIT_INTERNAL;
        }
        printf("%s: ", path);
        if (output->format == FORMAT_SUMMARY)
                printf("summary");
        else
                output_count(stdout, (int64_t) n_rows, "record", "records");
        printf(", %s, whole.\nSupplied by the patient; not for dosing decisions.\n", output_bytes(bytes, output->n_bytes));
        return EXIT_DONE;
}

static int run(const Invocation *invocation) {
        const char *grant_path = invocation->arguments.operand[0], *key = provider_option(invocation, OPTION_KEY);
        const char *path = provider_option(invocation, OPTION_OUT), *format = provider_option(invocation, OPTION_FORMAT);
        static const char *const formats[] = {"ndjson", "csv", "summary"};
        cleanup(freep) char *jwt = NULL, *query = NULL, *url = NULL;
        cleanup(exchange_freep) Exchange *exchange = NULL;
        cleanup(output_donep) Output *output = NULL;
        cleanup(secret_freep) Secret *seed = NULL;
        uint64_t n_rows = 0;
        GrantClaims claims;
        struct stat st;
        size_t i = 0;
        int r;

        if (!key || !path || !format)
                return provider_fail(invocation, EXIT_USAGE, "Needed: carewallet-provider redeem GRANTFILE --key provider.key --format ndjson|csv|summary --out FILE");
        while (i < N_ELEMENTS(formats) && strcmp(format, formats[i]) != 0)
                i++;
        if (i == N_ELEMENTS(formats))
                return provider_fail(invocation, EXIT_USAGE, "--format is ndjson, csv or summary.");
        /* the finished file takes its place: never that of a device, a pipe or a link */
        if (lstat(path, &st) == 0 && !S_ISREG(st.st_mode))
                return provider_fail(invocation, EXIT_REFUSED, "%s is no ordinary file. Give the name of a new file.", path);
        output = calloc(1, sizeof(*output));
        if (!output)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        output->fd = -1;
        output->format = (Format) i;
        endmark_init(&output->mark, output->format == FORMAT_CSV);

        r = make_query(invocation, output->format, &query);
        if (r == 0)
                r = provider_read_grant(invocation, grant_path, &claims, &jwt);
        if (r == 0)
                r = read_key(invocation, key, &seed);
        if (r == 0)
                r = check_holder(invocation, &claims, seed);
        if (r == 0)
                r = open_output(invocation, path, output);
        if (r != 0)
                return r;
        r = exchange_new(&exchange, &claims, seed);
        if (r < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "libcurl can't be used: %s.", strerrordesc_np(-r));
        r = get_token(invocation, exchange, &claims, jwt, grant_path, &url);
        if (r != 0)
                return r;

        progress_begin(&output->progress);
        r = exchange_get(exchange, output->format == FORMAT_SUMMARY ? "/summary" : "/slice", query, on_bytes, output);
        progress_end(&output->progress);
        if (r != 0)
                return failed(invocation, r, exchange, url, grant_path);
        if (output->format != FORMAT_SUMMARY) {
                r = check_end(invocation, output, exchange_trailer(exchange), &n_rows);
                if (r != 0)
                        return r;
        }
        r = keep_output(invocation, path, output);
        if (r != 0)
                return r;
        return said(invocation, path, output, n_rows);
}

const ProviderVerb verb_redeem = {
        .name = "redeem",
        .operands = "GRANTFILE",
        .n_min = 1,
        .n_max = 1,
        .summary = "fetch what a grant permits",
        .help = "Redeems a grant at the patient's gate and writes the data to FILE.\n"
                "Only whole data is kept: what was cut off, or does not fit its checksum, is thrown away.\n"
                "--kinds, --from, --to and --since can only narrow what the grant permits.",
        .options = options,
        .run = run,
};
