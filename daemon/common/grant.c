/* SPDX-License-Identifier: Apache-2.0 */

/* A grant's JWT, made and read. Reading accepts exactly what daemon/FORMAT.md says, and nothing beside it. */

#include "civil.h"
#include "grant.h"

#define ALG "EdDSA"
#define TYP "wallet-grant+jwt"

enum {
        GRANT_VERSION = 1,
};

static const char *const details[] = {
        [POLICY_SUMMARY] = "summary",
        [POLICY_REPORT] = "report",
        [POLICY_DATA] = "data",
};

static const char *const identities[] = {
        [POLICY_NONE] = "none",
        [POLICY_PSEUDONYM] = "pseudonym",
};

/* Index of a name, 0 when there is none. */
static uint8_t number_of(const char *const *names, size_t n_names, const char *name) {
        for (size_t i = 1; i < n_names; i++)
                if (names[i] && strcmp(names[i], name) == 0)
                        return (uint8_t) i;
        return 0;
}

const char *grant_detail_name(unsigned detail) {
        return detail < N_ELEMENTS(details) ? details[detail] : NULL;
}

const char *grant_identity_name(unsigned identity) {
        return identity < N_ELEMENTS(identities) ? identities[identity] : NULL;
}

json_t *grant_kinds_json(uint32_t kinds) {
        json_t *array = json_array();

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                if (kinds & RECORD_KIND_BIT(kind))
                        (void) json_array_append_new(array, json_string(record_kind_name(kind)));
        return array;
}

static json_t *window_json(const PolicyWindow *window) {
        char from[CIVIL_DATE_SIZE], to[CIVIL_DATE_SIZE];

        if (window->type == POLICY_WINDOW_LAST)
                return json_pack("{s:i, s:b}", "last_days", (int) window->last_days, "newer", (int) window->newer);

        civil_date(from, window->from_day);
        civil_date(to, window->to_day);
        return json_pack("{s:s, s:s, s:b}", "from", from, "to", to, "newer", (int) window->newer);
}

json_t *grant_scope_json(const PolicyScope *scope) {
        return json_pack("{s:o, s:s, s:s, s:b, s:o}",
                         "kinds", grant_kinds_json(scope->kinds),
                         "detail", details[scope->detail],
                         "identity", identities[scope->identity],
                         "free_text", (int) scope->free_text,
                         "window", window_json(&scope->window));
}

static int parse_kinds(uint32_t *ret, const json_t *array) {
        uint32_t kinds = 0;
        const json_t *item;
        size_t i;

        if (!json_is_array(array))
                return GRANT_E_FORMAT;
        json_array_foreach(array, i, item) {
                unsigned kind = 0;

                if (json_is_string(item))
                        kind = record_kind_from_name(json_string_value(item), json_string_length(item));
                if (kind == 0 || (kinds & RECORD_KIND_BIT(kind)))
                        return GRANT_E_FORMAT;
                kinds |= RECORD_KIND_BIT(kind);
        }
        *ret = kinds;
        return 0;
}

static int parse_window(PolicyWindow *ret, json_t *json) {
        PolicyWindow window = {0};
        const char *from, *to;
        json_int_t last;
        int newer;

        if (json_unpack(json, "{s:I, s:b!}", "last_days", &last, "newer", &newer) == 0) {
                if (last < 1 || last > POLICY_LAST_DAYS_MAX)
                        return GRANT_E_FORMAT;
                window.type = POLICY_WINDOW_LAST;
                window.last_days = (int32_t) last;
        } else if (json_unpack(json, "{s:s, s:s, s:b!}", "from", &from, "to", &to, "newer", &newer) == 0) {
                if (!civil_parse_date(&window.from_day, from, strlen(from)) ||
                    !civil_parse_date(&window.to_day, to, strlen(to)))
                        return GRANT_E_FORMAT;
                window.type = POLICY_WINDOW_FIXED;
        } else
                return GRANT_E_FORMAT;

        window.newer = newer;
        *ret = window;
        return 0;
}

static int parse_scope(PolicyScope *ret, json_t *json) {
        const char *detail, *identity;
        json_t *kinds, *window;
        int free_text, r;

        if (json_unpack(json, "{s:o, s:s, s:s, s:b, s:o!}", "kinds", &kinds, "detail", &detail, "identity", &identity,
                        "free_text", &free_text, "window", &window) < 0)
                return GRANT_E_FORMAT;

        ret->detail = number_of(details, N_ELEMENTS(details), detail);
        ret->identity = number_of(identities, N_ELEMENTS(identities), identity);
        ret->free_text = free_text;
        r = parse_kinds(&ret->kinds, kinds);
        if (r != 0)
                return r;
        return parse_window(&ret->window, window);
}

static bool purpose_valid(const char *purpose) {
        size_t n = strspn(purpose, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-");

        return n > 0 && n < GRANT_PURPOSE_MAX && purpose[n] == '\0';
}

/* https, then visible ASCII without what would end a URL's path or a JSON string; "/token" is put behind it. */
static bool url_valid(const char *url) {
        static const char scheme[] = "https://";
        size_t n = strlen(url);

        if (n < sizeof(scheme) || n >= GRANT_URL_MAX || strncmp(url, scheme, sizeof(scheme) - 1) != 0 || url[n - 1] == '/')
                return false;
        for (size_t i = 0; i < n; i++)
                if (url[i] <= ' ' || url[i] > '~' || strchr("\"\\?#<>^`{|}@", url[i]))
                        return false;
        return true;
}

static int parse_gate(GrantClaims *claims, json_t *urls, json_t *pins) {
        const json_t *item;
        size_t i;

        if (!json_is_array(urls) || json_array_size(urls) > GRANT_URLS_MAX ||
            !json_is_array(pins) || json_array_size(pins) > GRANT_PINS_MAX)
                return GRANT_E_FORMAT;

        json_array_foreach(urls, i, item) {
                if (!json_is_string(item) || !url_valid(json_string_value(item)))
                        return GRANT_E_FORMAT;
                memcpy(claims->urls[i], json_string_value(item), json_string_length(item) + 1);
        }
        claims->n_urls = json_array_size(urls);

        json_array_foreach(pins, i, item) {
                size_t n;

                if (!json_is_string(item) ||
                    b64url_decode(claims->pins[i], 32, &n, json_string_value(item), json_string_length(item)) != 0 || n != 32)
                        return GRANT_E_FORMAT;
        }
        claims->n_pins = json_array_size(pins);
        return 0;
}

/* A copy of text that must be the base64url of exactly @n_bytes bytes. */
static bool copy_b64url(char *ret, size_t n_ret, const char *text, size_t n_bytes) {
        uint8_t bytes[32];
        size_t n, n_text = strlen(text);

        assert(n_bytes <= sizeof(bytes));

        if (n_text >= n_ret || b64url_decode(bytes, n_bytes, &n, text, n_text) != 0 || n != n_bytes)
                return false;
        memcpy(ret, text, n_text + 1);
        return true;
}

static int parse_claims(GrantClaims *claims, json_t *json) {
        json_int_t issued, not_before, expires, issued_day, retention, version, uses = 0;
        const char *iss, *sub, *aud[2], *client, *jti, *jkt, *purpose;
        json_t *scope, *urls, *pins;
        int onward, r;

        /* "!" after the last member: no others */
        if (json_unpack(json,
                        "{s:s, s:s, s:[s, s!], s:s, s:s, s:I, s:I, s:I, s:I, s:{s:s!}, s:o, s?I, s:s, s:{s:I, s:b!}, s:{s:o, s:o!}, s:I!}",
                        "iss", &iss, "sub", &sub, "aud", &aud[0], &aud[1], "client_id", &client, "jti", &jti,
                        "iat", &issued, "nbf", &not_before, "exp", &expires, "iday", &issued_day, "cnf", "jkt", &jkt,
                        "scope", &scope, "uses", &uses, "purpose", &purpose,
                        "terms", "retention_days", &retention, "onward_sharing", &onward,
                        "gate", "urls", &urls, "pins", &pins, "ver", &version) < 0)
                return GRANT_E_FORMAT;

        if (version != GRANT_VERSION)
                return GRANT_E_FORMAT;
        if (strcmp(iss, claims->wallet_thumbprint) != 0 || strcmp(aud[0], iss) != 0 || strcmp(aud[1], jkt) != 0 ||
            strcmp(client, jkt) != 0)
                return GRANT_E_FORMAT;
        if (!copy_b64url(claims->provider_thumbprint, sizeof(claims->provider_thumbprint), jkt, 32) ||
            !copy_b64url(claims->subject, sizeof(claims->subject), sub, 32) ||
            !copy_b64url(claims->jti, sizeof(claims->jti), jti, 16))
                return GRANT_E_FORMAT;
        if (issued < 0 || issued > RECORD_TIME_MAX_MS / 1000 || issued_day < 0 || issued_day > RECORD_TIME_MAX_MS / POLICY_DAY_MS)
                return GRANT_E_FORMAT;
        if (retention < 0 || retention > UINT32_MAX || onward || !purpose_valid(purpose))
                return GRANT_E_FORMAT;
        /* absent means unlimited: 0 must not */
        if (uses < 0 || uses > POLICY_USES_MAX || (uses == 0 && json_object_get(json, "uses")))
                return GRANT_E_FORMAT;

        r = parse_scope(&claims->terms.scope, scope);
        if (r != 0)
                return r;
        r = parse_gate(claims, urls, pins);
        if (r != 0)
                return r;

        claims->issued_s = issued;
        claims->issued_day = (int32_t) issued_day;
        claims->terms.not_before_s = not_before;
        claims->terms.expires_s = expires;
        claims->terms.uses_max = (uint32_t) uses;
        claims->retention_days = (uint32_t) retention;
        memcpy(claims->purpose, purpose, strlen(purpose) + 1);
        /* numbers that would overflow on the way are out of range there */
        if (not_before < 0 || expires < 0 || expires > RECORD_TIME_MAX_MS / 1000 + POLICY_FOR_MAX_S ||
            not_before > expires || !policy_terms_valid(&claims->terms))
                return GRANT_E_FORMAT;
        return 0;
}

static json_t *claims_json(const GrantClaims *claims) {
        cleanup(json_decrefp) json_t *json = NULL;
        json_t *urls, *pins;

        urls = json_array();
        for (size_t i = 0; i < claims->n_urls; i++)
                (void) json_array_append_new(urls, json_string(claims->urls[i]));
        pins = json_array();
        for (size_t i = 0; i < claims->n_pins; i++) {
                char pin[JWS_THUMBPRINT_SIZE];

                (void) b64url_encode(pin, sizeof(pin), claims->pins[i], 32);
                (void) json_array_append_new(pins, json_string(pin));
        }

        json = json_pack("{s:s, s:s, s:[s, s], s:s, s:s, s:I, s:I, s:I, s:I, s:{s:s}, s:o, s:s, s:{s:I, s:b}, s:{s:o, s:o}, s:i}",
                         "iss", claims->wallet_thumbprint, "sub", claims->subject,
                         "aud", claims->wallet_thumbprint, claims->provider_thumbprint,
                         "client_id", claims->provider_thumbprint, "jti", claims->jti,
                         "iat", (json_int_t) claims->issued_s, "nbf", (json_int_t) claims->terms.not_before_s,
                         "exp", (json_int_t) claims->terms.expires_s, "iday", (json_int_t) claims->issued_day,
                         "cnf", "jkt", claims->provider_thumbprint, "scope", grant_scope_json(&claims->terms.scope),
                         "purpose", claims->purpose,
                         "terms", "retention_days", (json_int_t) claims->retention_days, "onward_sharing", 0,
                         "gate", "urls", urls, "pins", pins, "ver", GRANT_VERSION);
        if (!json)
                return NULL;
        /* a limit that could not be written must not become no limit */
        if (claims->terms.uses_max > 0 && json_object_set_new(json, "uses", json_integer(claims->terms.uses_max)) < 0)
                return NULL;
        return take_ptr(json);
}

int grant_sign(char **ret, const GrantClaims *claims, const Secret *signing_seed) {
        cleanup(json_decrefp) json_t *header = NULL, *payload = NULL;
        cleanup(freep) char *jwt = NULL;
        cleanup(freep) GrantClaims *again = NULL;
        int r;

        if (!policy_terms_valid(&claims->terms) || claims->n_urls > GRANT_URLS_MAX || claims->n_pins > GRANT_PINS_MAX)
                return GRANT_E_FORMAT;

        header = json_pack("{s:s, s:s, s:o}", "alg", ALG, "typ", TYP, "jwk", jwk_public(claims->wallet_key));
        payload = claims_json(claims);
        if (!header || !payload)
                return -ENOMEM;
        r = jws_sign(&jwt, header, payload, signing_seed);
        if (r != 0)
                return r < 0 ? r : GRANT_E_FORMAT;

        /* what this wallet could not read back must not leave it */
        again = malloc(sizeof(*again));
        if (!again)
                return -ENOMEM;
        r = grant_open(again, jwt, strlen(jwt), claims->wallet_key);
        if (r != 0)
                return r;

        *ret = take_ptr(jwt);
        return 0;
}

static int parse_header(uint8_t ret_key[static 32], json_t *header) {
        const char *alg, *typ;
        json_t *jwk;

        if (json_unpack(header, "{s:s, s:s, s:o!}", "alg", &alg, "typ", &typ, "jwk", &jwk) < 0)
                return GRANT_E_FORMAT;
        if (strcmp(alg, ALG) != 0 || strcmp(typ, TYP) != 0 || json_object_size(jwk) != 3 || jwk_parse_public(ret_key, jwk) != 0)
                return GRANT_E_FORMAT;
        return 0;
}

/* What jws_*() found, in our words. */
static int grant_error(int r) {
        return r <= 0 ? r : r == JWS_E_SIGNATURE ? GRANT_E_SIGNATURE : GRANT_E_FORMAT;
}

int grant_open(GrantClaims *ret, const char *jwt, size_t n_jwt, const uint8_t *wallet_key) {
        cleanup(json_decrefp) json_t *header = NULL, *payload = NULL;
        cleanup(freep) GrantClaims *claims = NULL;
        Jws jws;
        int r;

        claims = calloc(1, sizeof(*claims));
        if (!claims)
                return -ENOMEM;

        r = jws_split(&jws, jwt, n_jwt);
        if (r != 0)
                return grant_error(r);
        if (wallet_key) {
                r = jws_verify(&jws, wallet_key); /* then not even the header is parsed before */
                if (r != 0)
                        return grant_error(r);
        }

        r = jws_json(&header, jws.header, jws.n_header);
        if (r != 0)
                return grant_error(r);
        r = parse_header(claims->wallet_key, header);
        if (r != 0)
                return r;
        r = jws_verify(&jws, claims->wallet_key);
        if (r != 0)
                return grant_error(r);
        if (wallet_key && memcmp(wallet_key, claims->wallet_key, 32) != 0)
                return GRANT_E_SIGNATURE;

        jwk_thumbprint(claims->wallet_thumbprint, claims->wallet_key);
        r = jws_json(&payload, jws.payload, jws.n_payload);
        if (r != 0)
                return grant_error(r);
        r = parse_claims(claims, payload);
        if (r != 0)
                return r;

        *ret = *claims;
        return 0;
}
