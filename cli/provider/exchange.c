/* SPDX-License-Identifier: Apache-2.0 */

/* The provider's end of redemption, by libcurl. */

#include "exchange.h"

#include "daemon/common/text.h"

#include <curl/curl.h>
#include <signal.h>
#include <sodium.h>
#include <strings.h>
#include <time.h>

enum {
        TOKEN_TEXT_MAX = 128, /* bytes of an access token */
        NONCE_MAX = 128,
        TRIES = 3, /* a nonce may become stale between two tries */
};

struct Exchange {
        CURL *curl;
        const Secret *seed;
        uint8_t public_key[32];
        char *url;       /* of the gate */
        Secret *token;   /* text, terminated */
        char nonce[NONCE_MAX + 1];

        /* of the answer at hand */
        long status;
        char error[64];
        char text[EXCHANGE_TEXT_SIZE];
        char trailer[EXCHANGE_TEXT_SIZE];
        bool has_trailer;
        char *body;
        size_t n_body;
        ExchangeSink sink;
        void *userdata;
        int sink_r;
        char curl_error[CURL_ERROR_SIZE];
};

static volatile sig_atomic_t interrupted;

static void on_signal(int number) {
        (void) number;
        interrupted = 1;
}

static void json_donep(json_t **json) {
        json_decref(*json);
}

static void slist_donep(struct curl_slist **list) {
        curl_slist_free_all(*list);
}

static void forget_body(Exchange *exchange) {
        if (exchange->body)
                sodium_memzero(exchange->body, exchange->n_body);
        free(exchange->body);
        exchange->body = NULL;
        exchange->n_body = 0;
}

long exchange_status(const Exchange *exchange) {
        return exchange->status;
}

const char *exchange_error(const Exchange *exchange) {
        return exchange->error;
}

const char *exchange_text(const Exchange *exchange) {
        return exchange->text;
}

const char *exchange_trailer(const Exchange *exchange) {
        return exchange->has_trailer ? exchange->trailer : NULL;
}

/* --- libcurl's callbacks --- */

/* @ret: @size bytes; left alone when the header is another one or its value does not fit */
static bool header_value(char *ret, size_t size, const char *line, size_t n, const char *name) {
        size_t n_name = strlen(name);

        if (n <= n_name || line[n_name] != ':' || strncasecmp(line, name, n_name) != 0)
                return false;
        line += n_name + 1;
        n -= n_name + 1;
        while (n > 0 && (*line == ' ' || *line == '\t')) {
                line++;
                n--;
        }
        while (n > 0 && strchr(" \t\r\n", line[n - 1]))
                n--;
        if (n == 0 || n >= size || memchr(line, '\0', n) || !text_valid(line, n))
                return false;
        memcpy(ret, line, n);
        ret[n] = '\0';
        return true;
}

static size_t on_header(char *line, size_t size, size_t n, void *userdata) {
        Exchange *exchange = userdata;

        n *= size;
        (void) header_value(exchange->nonce, sizeof(exchange->nonce), line, n, "DPoP-Nonce");
        if (header_value(exchange->trailer, sizeof(exchange->trailer), line, n, "Carewallet-Slice"))
                exchange->has_trailer = true;
        return n;
}

static size_t on_body(char *bytes, size_t size, size_t n, void *userdata) {
        Exchange *exchange = userdata;
        long status = 0;
        size_t n_all;
        char *body;

        n *= size;
        (void) curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &status);
        if (status == 200 && exchange->sink) {
                exchange->sink_r = exchange->sink(bytes, n, exchange->userdata);
                return exchange->sink_r == 0 ? n : CURL_WRITEFUNC_ERROR;
        }
        if (n > EXCHANGE_BODY_MAX - exchange->n_body)
                return CURL_WRITEFUNC_ERROR;
        body = malloc(exchange->n_body + n); /* not realloc: an old copy of a token would stay behind */
        if (!body)
                return CURL_WRITEFUNC_ERROR;
        if (exchange->n_body > 0)
                memcpy(body, exchange->body, exchange->n_body);
        memcpy(body + exchange->n_body, bytes, n);
        n_all = exchange->n_body + n;
        forget_body(exchange);
        exchange->body = body;
        exchange->n_body = n_all;
        return n;
}

static int on_progress(void *userdata, curl_off_t n_down_all, curl_off_t n_down, curl_off_t n_up_all, curl_off_t n_up) {
        (void) userdata;
        (void) n_down_all;
        (void) n_down;
        (void) n_up_all;
        (void) n_up;
        return interrupted;
}

/* --- proofs --- */

static int make_proof(Exchange *exchange, char **ret, const char *method, const char *path, const char *token) {
        cleanup(json_donep) json_t *header = NULL, *payload = NULL;
        cleanup(freep) char *htu = NULL;
        char jti[24];

        if (asprintf(&htu, "%s%s", exchange->url, path) < 0) {
                htu = NULL;
                return -ENOMEM;
        }
        random_id(jti);
        header = json_pack("{s:s, s:s, s:o}", "typ", "dpop+jwt", "alg", "EdDSA", "jwk", jwk_public(exchange->public_key));
        payload = json_pack("{s:s, s:s, s:s, s:I}", "jti", jti, "htm", method, "htu", htu, "iat", (json_int_t) time(NULL));
        if (!header || !payload)
                return -ENOMEM;
        if (exchange->nonce[0] && json_object_set_new(payload, "nonce", json_string(exchange->nonce)) < 0)
                return -ENOMEM;
        if (token) {
                uint8_t hash[crypto_hash_sha256_BYTES];
                char ath[44];

                (void) crypto_hash_sha256(hash, (const uint8_t *) token, strlen(token));
                (void) b64url_encode(ath, sizeof(ath), hash, sizeof(hash));
                if (json_object_set_new(payload, "ath", json_string(ath)) < 0)
                        return -ENOMEM;
        }
        return fold(jws_sign(ret, header, payload, exchange->seed));
}

static int add_header(struct curl_slist **list, const char *name, const char *value) {
        cleanup(freep) char *line = NULL;
        struct curl_slist *longer;

        if (asprintf(&line, "%s: %s", name, value) < 0) {
                line = NULL;
                return -ENOMEM;
        }
        longer = curl_slist_append(*list, line);
        sodium_memzero(line, strlen(line));
        if (!longer)
                return -ENOMEM;
        *list = longer;
        return 0;
}

/* --- one request --- */

static void set_text(Exchange *exchange, const char *text) {
        (void) text_clean(exchange->text, sizeof(exchange->text), text, strlen(text));
}

static int failed(Exchange *exchange, CURLcode code) {
        set_text(exchange, exchange->curl_error[0] ? exchange->curl_error : curl_easy_strerror(code));
        switch ((int) code) {
        case CURLE_SSL_PINNEDPUBKEYNOTMATCH:
                return EXCHANGE_E_PIN;
        case CURLE_SSL_CONNECT_ERROR:
        case CURLE_PEER_FAILED_VERIFICATION:
        case CURLE_SSL_CACERT_BADFILE:
                return EXCHANGE_E_TLS;
        case CURLE_COULDNT_RESOLVE_HOST:
        case CURLE_COULDNT_RESOLVE_PROXY:
        case CURLE_COULDNT_CONNECT:
                return EXCHANGE_E_UNREACHABLE;
        case CURLE_ABORTED_BY_CALLBACK:
                return EXCHANGE_E_INTERRUPTED;
        case CURLE_WRITE_ERROR:
                return exchange->sink_r < 0 ? exchange->sink_r : EXCHANGE_E_PROTOCOL;
        case CURLE_OUT_OF_MEMORY:
                return -ENOMEM;
        default: /* timeouts and broken connections: before an answer, or in it */
                (void) curl_easy_getinfo(exchange->curl, CURLINFO_RESPONSE_CODE, &exchange->status);
                return exchange->status == 0 ? EXCHANGE_E_UNREACHABLE : EXCHANGE_E_CUT;
        }
}

static void read_error(Exchange *exchange) {
        cleanup(json_donep) json_t *json = exchange->body ? json_loadb(exchange->body, exchange->n_body, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const char *error = json_string_value(json_object_get(json, "error"));
        const char *text = json_string_value(json_object_get(json, "error_description"));

        (void) text_clean(exchange->error, sizeof(exchange->error), error ? error : "", error ? strlen(error) : 0);
        set_text(exchange, text ? text : "no reason was given");
}

static int perform(Exchange *exchange, const char *method, const char *path, const char *query, const char *form) {
        cleanup(slist_donep) struct curl_slist *headers = NULL;
        const char *token = form ? NULL : (const char *) secret_data(exchange->token);
        cleanup(freep) char *proof = NULL, *url = NULL;
        CURL *curl = exchange->curl;
        CURLcode code;
        int r;

        r = make_proof(exchange, &proof, method, path, token);
        if (r < 0)
                return r;
        r = add_header(&headers, "DPoP", proof);
        if (r == 0 && token) {
                cleanup(freep) char *authorization = NULL;

                r = asprintf(&authorization, "DPoP %s", token) < 0 ? (authorization = NULL, -ENOMEM) : add_header(&headers, "Authorization", authorization);
                if (authorization)
                        sodium_memzero(authorization, strlen(authorization));
        }
        if (r == 0)
                r = add_header(&headers, "Accept", "application/json, application/x-ndjson, text/csv");
        if (r < 0)
                return r;
        if (asprintf(&url, "%s%s%s", exchange->url, path, query) < 0) {
                url = NULL;
                return -ENOMEM;
        }

        forget_body(exchange);
        exchange->status = 0;
        exchange->error[0] = exchange->text[0] = exchange->curl_error[0] = '\0';
        exchange->has_trailer = false;
        exchange->sink_r = 0;
        if (curl_easy_setopt(curl, CURLOPT_URL, url) != CURLE_OK || curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers) != CURLE_OK)
                return -ENOMEM;
        if (form)
                code = curl_easy_setopt(curl, CURLOPT_POSTFIELDS, form);
        else
                code = curl_easy_setopt(curl, CURLOPT_HTTPGET, 1L);
        if (code == CURLE_OK)
                code = curl_easy_perform(curl);
        (void) curl_easy_setopt(curl, CURLOPT_HTTPHEADER, NULL);
        if (code != CURLE_OK)
                return failed(exchange, code);

        (void) curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &exchange->status);
        if (exchange->status == 200)
                return 0;
        read_error(exchange);
        return exchange->status >= 400 ? EXCHANGE_E_REFUSED : EXCHANGE_E_PROTOCOL;
}

/* With the nonce dance: the gate says which nonce it wants, we try again with it. */
static int ask(Exchange *exchange, const char *method, const char *path, const char *query, const char *form) {
        int r = EXCHANGE_E_PROTOCOL;

        for (unsigned i = 0; i < TRIES; i++) {
                r = perform(exchange, method, path, query, form);
                if (r != EXCHANGE_E_REFUSED || strcmp(exchange->error, "use_dpop_nonce") != 0 || !exchange->nonce[0])
                        break;
        }
        return r;
}

int exchange_token(Exchange *exchange, const char *url, const char *jwt) {
        cleanup(json_donep) json_t *json = NULL;
        cleanup(freep) char *form = NULL;
        const char *token, *type;
        int r;

        free(exchange->url);
        exchange->url = strdup(url);
        exchange->nonce[0] = '\0';
        exchange->sink = NULL;
        if (!exchange->url ||
            asprintf(&form, "grant_type=urn%%3Aietf%%3Aparams%%3Aoauth%%3Agrant-type%%3Ajwt-bearer&assertion=%s", jwt) < 0)
                return -ENOMEM;
        r = ask(exchange, "POST", "/token", "", form);
        if (r != 0)
                return r;

        json = json_loadb(exchange->body ? exchange->body : "", exchange->n_body, JSON_REJECT_DUPLICATES, NULL);
        forget_body(exchange);
        token = json_string_value(json_object_get(json, "access_token"));
        type = json_string_value(json_object_get(json, "token_type"));
        /* RFC 9449, 5: a token of another type is not bound to our key */
        if (!token || !type || strcasecmp(type, "DPoP") != 0 || strlen(token) > TOKEN_TEXT_MAX || !text_valid(token, strlen(token))) {
                set_text(exchange, "the answer has no access token that is bound to the key");
                return EXCHANGE_E_PROTOCOL;
        }
        exchange->token = secret_free(exchange->token);
        r = secret_new(&exchange->token, strlen(token) + 1);
        if (r < 0)
                return r;
        memcpy(secret_data(exchange->token), token, strlen(token));
        return 0;
}

int exchange_get(Exchange *exchange, const char *path, const char *query, ExchangeSink sink, void *userdata) {
        assert(exchange->token);

        exchange->sink = sink;
        exchange->userdata = userdata;
        return ask(exchange, "GET", path, query, NULL);
}

/* --- set-up --- */

/* "sha256//...;sha256//..." with base64 as curl wants it */
static int pin_text(char **ret, const GrantClaims *claims) {
        char text[GRANT_PINS_MAX * 64] = "";
        size_t n = 0;

        for (size_t i = 0; i < claims->n_pins; i++) {
                char base64[48];

                (void) sodium_bin2base64(base64, sizeof(base64), claims->pins[i], 32, sodium_base64_VARIANT_ORIGINAL);
                n += (size_t) snprintf(text + n, sizeof(text) - n, "%ssha256//%s", i > 0 ? ";" : "", base64);
        }
        *ret = strdup(text);
        return *ret ? 0 : -ENOMEM;
}

static int set_up(Exchange *exchange, const GrantClaims *claims) {
        CURL *curl = exchange->curl;
        CURLcode r;

        if ((r = curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "https")) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_HTTP_VERSION, (long) CURL_HTTP_VERSION_1_1)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_SSLVERSION, (long) CURL_SSLVERSION_TLSv1_3)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT, 15L)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_LIMIT, 1L)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_LOW_SPEED_TIME, 120L)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, exchange->curl_error)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_HEADERDATA, exchange)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_WRITEDATA, exchange)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress)) != CURLE_OK ||
            (r = curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L)) != CURLE_OK)
                return r == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ENOSYS;

        if (claims->n_pins > 0) {
                cleanup(freep) char *pins = NULL;
                int result = pin_text(&pins, claims);

                if (result < 0)
                        return result;
                /* the pin, signed by the patient's wallet, says more than any issuer could: it names the one key */
                if ((r = curl_easy_setopt(curl, CURLOPT_PINNEDPUBLICKEY, pins)) != CURLE_OK ||
                    (r = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYPEER, 0L)) != CURLE_OK ||
                    (r = curl_easy_setopt(curl, CURLOPT_SSL_VERIFYHOST, 0L)) != CURLE_OK)
                        return r == CURLE_OUT_OF_MEMORY ? -ENOMEM : -ENOSYS;
        }
        return 0;
}

int exchange_new(Exchange **ret, const GrantClaims *claims, const Secret *seed) {
        struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int) SA_RESETHAND};
        cleanup(exchange_freep) Exchange *exchange = NULL;
        int r;

        exchange = calloc(1, sizeof(*exchange));
        if (!exchange)
                return -ENOMEM;
        exchange->seed = seed;
        r = ed25519_public(exchange->public_key, seed);
        if (r < 0)
                return r;
        exchange->curl = curl_easy_init();
        if (!exchange->curl)
                return -ENOMEM;
        r = set_up(exchange, claims);
        if (r < 0)
                return r;
        /* so that what was begun is removed; a second one ends us at once */
        if (sigaction(SIGINT, &action, NULL) < 0 || sigaction(SIGTERM, &action, NULL) < 0)
                return -errno;
        *ret = take_ptr(exchange);
        return 0;
}

Exchange *exchange_free(Exchange *exchange) {
        if (!exchange)
                return NULL;
        if (exchange->curl)
                curl_easy_cleanup(exchange->curl);
        forget_body(exchange);
        (void) secret_free(exchange->token);
        free(exchange->url);
        free(exchange);
        return NULL;
}
