/* SPDX-License-Identifier: Apache-2.0 */

/* Providers' requests: request line, headers, parameters. One pass, explicit ranges, no locale. */

#include "request.h"

#include "daemon/common/civil.h"

#include <sodium.h>
#include <strings.h>

const Refusal REQUEST_BUSY = {503, "temporarily_unavailable", "too many requests: try again later"};
const Refusal REQUEST_LATE = {503, "temporarily_unavailable", "the wallet does not answer: try again later"};
const Refusal REQUEST_NO_TOKEN = {401, "invalid_token", "an access token is needed: get one at /token"};

static const Refusal no_such_path = {404, "not_found", "the gate has /token, /slice and /summary"};
static const Refusal no_such_method = {405, "invalid_request", "this method is not for this path"};
static const Refusal uri_long = {414, "invalid_request", "the address is longer than 2048 bytes"};
static const Refusal headers_long = {431, "invalid_request", "the headers are longer than 16384 bytes"};
static const Refusal no_version = {505, "invalid_request", "HTTP/1.1 is needed"};
static const Refusal body_long = {413, "invalid_request", "the body is longer than 16384 bytes"};
static const Refusal body_without_length = {411, "invalid_request", "Content-Length is needed"};
static const Refusal body_not_wanted = {400, "invalid_request", "this request has no body"};
static const Refusal header_twice = {400, "invalid_request", "a header is there twice"};
static const Refusal header_bad = {400, "invalid_request", "a header is not well formed"};
static const Refusal not_a_form = {415, "invalid_request", "the body must be application/x-www-form-urlencoded"};
static const Refusal parameters_bad = {400, "invalid_request", "the parameters are not well formed"};
static const Refusal parameter_twice = {400, "invalid_request", "a parameter is there twice"};
static const Refusal parameter_unknown = {400, "invalid_request", "there is a parameter that is not known"};
static const Refusal parameter_missing = {400, "invalid_request", "grant_type and assertion are needed"};
static const Refusal since_bad = {400, "invalid_request", "since is not a time as in 2026-01-31T12:00:00Z"};
static const Refusal day_bad = {400, "invalid_request", "from and to are days as in 2026-01-31"};
static const Refusal kinds_bad = {400, "invalid_request", "kinds is a list as in cgm,bolus"};
static const Refusal format_bad = {400, "invalid_request", "format is ndjson or csv"};
static const Refusal not_acceptable = {406, "invalid_request", "there is application/x-ndjson and text/csv"};
static const Refusal other_grant_type = {400, "unsupported_grant_type", "grant_type is urn:ietf:params:oauth:grant-type:jwt-bearer"};
static const Refusal assertion_bad = {400, "invalid_grant", "the assertion is not a grant"};
static const Refusal token_bad = {401, "invalid_token", "the access token is not one of this gate"};
static const Refusal proof_bad = {400, "invalid_dpop_proof", "the DPoP proof is not well formed"};
static const Refusal proof_bad_resource = {401, "invalid_dpop_proof", "the DPoP proof is not well formed"};

static void refuse(RequestHead *head, const Refusal *refusal) {
        if (!head->refusal)
                head->refusal = refusal;
}

bool request_is_resource(const RequestHead *head) {
        return head->frame.operation == FRAME_GATE_SLICE || head->frame.operation == FRAME_GATE_SUMMARY;
}

/* --- numbers, days, times --- */

/* exactly @n digits */
static bool digits(unsigned *ret, const char *text, unsigned n) {
        unsigned v = 0;

        for (unsigned i = 0; i < n; i++) {
                if (text[i] < '0' || text[i] > '9')
                        return false;
                v = v * 10 + (unsigned) (text[i] - '0');
        }
        *ret = v;
        return true;
}

bool request_parse_day(int32_t *ret_day, const char *text) {
        return civil_parse_date(ret_day, text, strlen(text));
}

bool request_parse_time(int64_t *ret_utc_ms, const char *text) {
        unsigned h, min, s, zone_h = 0, zone_min = 0, ms = 0;
        const char *at = text;
        int64_t offset_s;
        int32_t day;

        if (strlen(text) < 20 || !civil_parse_date(&day, at, CIVIL_DATE_SIZE - 1) || (at[10] != 'T' && at[10] != 't') || !digits(&h, at + 11, 2) ||
            at[13] != ':' || !digits(&min, at + 14, 2) || at[16] != ':' || !digits(&s, at + 17, 2))
                return false;
        if (h > 23 || min > 59 || s > 60)
                return false;
        at += 19;
        if (*at == '.') {
                unsigned scale = 100, n = 0;

                for (at++; *at >= '0' && *at <= '9'; at++, n++) {
                        ms += scale * (unsigned) (*at - '0'); /* what is finer than a millisecond is cut */
                        scale /= 10;
                }
                if (n == 0)
                        return false;
        }
        if (*at == 'Z' || *at == 'z') {
                if (at[1])
                        return false;
                offset_s = 0;
        } else {
                if ((*at != '+' && *at != '-') || strlen(at) != 6 || !digits(&zone_h, at + 1, 2) || at[3] != ':' ||
                    !digits(&zone_min, at + 4, 2) || zone_h > 23 || zone_min > 59)
                        return false;
                offset_s = (int64_t) (zone_h * 60 + zone_min) * (*at == '-' ? -60 : 60);
        }
        *ret_utc_ms = ((int64_t) day * 86400 + (int64_t) (h * 3600 + min * 60 + s) - offset_s) * 1000 + ms;
        return true;
}

/* --- parameters --- */

static int hex_digit(char c) {
        if (c >= '0' && c <= '9')
                return c - '0';
        if (c >= 'A' && c <= 'F')
                return c - 'A' + 10;
        if (c >= 'a' && c <= 'f')
                return c - 'a' + 10;
        return -1;
}

/* Decode in place, terminate. Control characters and NUL are not text that any of our parameters has. */
static bool percent_decode(char *text, size_t n, bool plus_is_space) {
        size_t to = 0;

        for (size_t i = 0; i < n; i++) {
                unsigned char c = (unsigned char) text[i];

                if (c == '%') {
                        int high, low;

                        if (n - i < 3)
                                return false;
                        high = hex_digit(text[i + 1]);
                        low = hex_digit(text[i + 2]);
                        if (high < 0 || low < 0)
                                return false;
                        c = (unsigned char) (high << 4 | low);
                        i += 2;
                } else if (c == '+' && plus_is_space) {
                        c = ' ';
                }
                if (c < ' ' || c > '~')
                        return false;
                text[to++] = (char) c;
        }
        text[to] = '\0';
        return true;
}

typedef struct Parameter {
        const char *name;
        void (*take)(RequestHead *head, const char *value);
} Parameter;

/*
 * name=value&... with each name from the table at most once.
 * @text: @n_text bytes and room for a terminator; overwritten
 */
static unsigned take_parameters(RequestHead *head, char *text, size_t n_text, bool is_form, const Parameter *table, size_t n_table) {
        unsigned seen = 0;

        for (size_t at = 0; !head->refusal && at <= n_text;) {
                char *name = text + at, *end = memchr(name, '&', n_text - at), *equals;
                size_t n = end ? (size_t) (end - name) : n_text - at, i;

                at += n + 1;
                equals = memchr(name, '=', n);
                if (!equals || equals == name || equals == name + n - 1) {
                        refuse(head, &parameters_bad);
                        break;
                }
                *equals = '\0';
                if (!percent_decode(equals + 1, n - (size_t) (equals + 1 - name), is_form)) {
                        refuse(head, &parameters_bad);
                        break;
                }
                for (i = 0; i < n_table && strcmp(name, table[i].name) != 0;)
                        i++;
                if (i == n_table) {
                        refuse(head, &parameter_unknown);
                } else if (seen & 1u << i) {
                        refuse(head, &parameter_twice);
                } else {
                        seen |= 1u << i;
                        table[i].take(head, equals + 1);
                }
        }
        return seen;
}

static void take_since(RequestHead *head, const char *value) {
        if (!request_parse_time(&head->frame.since_utc_ms, value))
                refuse(head, &since_bad);
        head->frame.flags |= FRAME_GATE_HAS_SINCE;
}

static void take_from(RequestHead *head, const char *value) {
        if (!request_parse_day(&head->frame.from_day, value))
                refuse(head, &day_bad);
        head->frame.flags |= FRAME_GATE_HAS_FROM;
}

static void take_to(RequestHead *head, const char *value) {
        if (!request_parse_day(&head->frame.to_day, value))
                refuse(head, &day_bad);
        head->frame.flags |= FRAME_GATE_HAS_TO;
}

static void take_kinds(RequestHead *head, const char *value) {
        for (;;) {
                size_t n = strcspn(value, ",");
                unsigned kind = record_kind_from_name(value, n);

                if (kind == 0 || (head->frame.kinds & RECORD_KIND_BIT(kind))) {
                        refuse(head, &kinds_bad);
                        return;
                }
                head->frame.kinds |= RECORD_KIND_BIT(kind);
                if (value[n] == '\0')
                        return;
                value += n + 1;
        }
}

static void take_format(RequestHead *head, const char *value) {
        head->format_asked = true;
        if (strcmp(value, "ndjson") == 0)
                head->frame.format = FRAME_GATE_NDJSON;
        else if (strcmp(value, "csv") == 0)
                head->frame.format = FRAME_GATE_CSV;
        else
                refuse(head, &format_bad);
}

static void take_grant_type(RequestHead *head, const char *value) {
        if (strcmp(value, "urn:ietf:params:oauth:grant-type:jwt-bearer") != 0)
                refuse(head, &other_grant_type);
}

/* Three parts of base64url: RFC 7515, 7.1. Whether it means anything is the core's to know. */
static bool is_compact_jws(const char *text, size_t n) {
        unsigned n_dots = 0;

        for (size_t i = 0; i < n; i++) {
                char c = text[i];

                if (c == '.')
                        n_dots++;
                else if (!((c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_'))
                        return false;
        }
        return n > 0 && n_dots == 2;
}

static void take_assertion(RequestHead *head, const char *value) {
        size_t n = strlen(value);

        if (!is_compact_jws(value, n)) {
                refuse(head, &assertion_bad);
                return;
        }
        crypto_hash_sha256(head->frame.credential, (const uint8_t *) value, n);
        head->frame.flags |= FRAME_GATE_HAS_CREDENTIAL;
}

/* RFC 7521, 4.1 lets clients send it; the grant says who may use it, so it decides nothing here. */
static void take_client_id(RequestHead *head, const char *value) {
        (void) head;
        (void) value;
}

static const Parameter slice_parameters[] = {
        {"since", take_since}, {"kinds", take_kinds}, {"from", take_from}, {"to", take_to}, {"format", take_format},
};
static const Parameter token_parameters[] = {
        {"grant_type", take_grant_type}, {"assertion", take_assertion}, {"client_id", take_client_id},
};

void request_body(RequestHead *head, char *body, size_t n_body) {
        unsigned seen;

        if (head->refusal)
                return;
        seen = take_parameters(head, body, n_body, true, token_parameters, N_ELEMENTS(token_parameters));
        if ((seen & 3) != 3)
                refuse(head, &parameter_missing);
}

/* --- request line --- */

typedef struct Path {
        const char *path;
        FrameGateOperation operation;
        const char *method;
} Path;

static const Path paths[] = {
        {"/token", FRAME_GATE_TOKEN, "POST"},
        {"/slice", FRAME_GATE_SLICE, "GET"},
        {"/summary", FRAME_GATE_SUMMARY, "GET"},
};

void request_begin(RequestHead *ret, const char *method, const char *uri, const char *version) {
        size_t n_uri = strnlen(uri, REQUEST_URI_MAX + 1), n_path = strcspn(uri, "?");
        char query[REQUEST_URI_MAX + 1];

        *ret = (RequestHead){0};
        if (n_uri > REQUEST_URI_MAX) {
                refuse(ret, &uri_long);
                return;
        }
        if (strcmp(version, "HTTP/1.1") != 0) /* 1.0 has no chunks: a slice that was cut would look whole */
                refuse(ret, &no_version);
        for (size_t i = 0; i < N_ELEMENTS(paths); i++)
                if (strlen(paths[i].path) == n_path && memcmp(uri, paths[i].path, n_path) == 0) {
                        ret->frame.operation = (uint8_t) paths[i].operation;
                        ret->is_post = strcmp(paths[i].method, "POST") == 0;
                        if (strcmp(method, paths[i].method) != 0) {
                                ret->allow = paths[i].method;
                                refuse(ret, &no_such_method);
                        }
                }
        if (ret->frame.operation == 0)
                refuse(ret, &no_such_path);

        if (ret->refusal || uri[n_path] == '\0')
                return;
        if (ret->frame.operation != FRAME_GATE_SLICE) {
                refuse(ret, &parameter_unknown);
                return;
        }
        memcpy(query, uri + n_path + 1, n_uri - n_path);
        /* RFC 3986, not a form: a plus sign is one, as in the zone of a time */
        (void) take_parameters(ret, query, n_uri - n_path - 1, false, slice_parameters, N_ELEMENTS(slice_parameters));
}

/* --- headers --- */

static bool is_space(char c) {
        return c == ' ' || c == '\t';
}

static void take_authorization(RequestHead *head, const char *value) {
        size_t n = 0;

        if (head->has_authorization) {
                refuse(head, &header_twice);
                return;
        }
        head->has_authorization = true;
        if (!request_is_resource(head))
                return;
        /* "Bearer" of a bound token is refused too: RFC 9449, 7.2 */
        if (strncasecmp(value, "DPoP ", 5) != 0 || strlen(value + 5) != 43 ||
            strspn(value + 5, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") != 43 || /* libsodium takes some bytes above 127 */
            sodium_base642bin(head->frame.credential, sizeof(head->frame.credential), value + 5, 43, NULL, &n, NULL,
                              sodium_base64_VARIANT_URLSAFE_NO_PADDING) < 0 ||
            n != sizeof(head->frame.credential)) {
                refuse(head, &token_bad);
                return;
        }
        head->frame.flags |= FRAME_GATE_HAS_CREDENTIAL;
}

static void take_proof(RequestHead *head, const char *value) {
        size_t n = strlen(value);

        /* RFC 9449, 4.3: not more than one */
        if (head->has_proof || n > FRAME_GATE_PROOF_MAX || !is_compact_jws(value, n)) {
                refuse(head, request_is_resource(head) ? &proof_bad_resource : &proof_bad);
                return;
        }
        head->has_proof = true;
        memcpy(head->proof, value, n);
        head->frame.n_proof = n;
        head->frame.flags |= FRAME_GATE_HAS_PROOF;
}

static void take_length(RequestHead *head, const char *value) {
        size_t n = 0, i = 0;

        if (head->has_length) {
                refuse(head, &header_twice);
                return;
        }
        head->has_length = true;
        for (; value[i] >= '0' && value[i] <= '9'; i++)
                if (n <= REQUEST_BODY_MAX)
                        n = n * 10 + (size_t) (value[i] - '0');
        if (i == 0 || value[i] != '\0')
                refuse(head, &header_bad);
        head->n_content = n;
        if (n > REQUEST_BODY_MAX)
                refuse(head, &body_long);
}

static void take_encoding(RequestHead *head, const char *value) {
        (void) value;
        head->is_chunked = true;
        refuse(head, &body_without_length);
}

static void take_type(RequestHead *head, const char *value) {
        static const char form[] = "application/x-www-form-urlencoded";
        size_t n = strcspn(value, ";");

        if (head->has_type) {
                refuse(head, &header_twice);
                return;
        }
        head->has_type = true;
        while (n > 0 && is_space(value[n - 1]))
                n--;
        if (head->is_post && (n != strlen(form) || strncasecmp(value, form, n) != 0))
                refuse(head, &not_a_form);
}

/* q of RFC 9110, 12.4.2 in thousandths; 1000 when it is not there. @parameters: what follows the media range */
static unsigned quality(const char *parameters, size_t n) {
        for (size_t i = 0; i < n; i++) {
                size_t at = i + 1;
                unsigned q = 0, scale = 1000;

                if (parameters[i] != ';')
                        continue;
                while (at < n && is_space(parameters[at]))
                        at++;
                if (n - at < 3 || (parameters[at] != 'q' && parameters[at] != 'Q') || parameters[at + 1] != '=')
                        continue;
                for (at += 2; at < n && scale > 0; at++) {
                        if (parameters[at] == '.')
                                continue;
                        if (parameters[at] < '0' || parameters[at] > '9')
                                break;
                        q += scale * (unsigned) (parameters[at] - '0');
                        scale /= 10;
                }
                return q > 1000 ? 1000 : q;
        }
        return 1000;
}

/* The most specific range that a format is in counts (RFC 9110, 12.5.1); of equals the one that wants it most. */
static void prefer(Preference *preference, unsigned rank, unsigned q) {
        if (rank > preference->rank || (rank == preference->rank && q > preference->q))
                *preference = (Preference){.rank = rank, .q = q};
}

static void take_accept(RequestHead *head, const char *value) {
        head->has_accept = true;
        while (*value) {
                size_t n = strcspn(value, ","), n_range;
                unsigned q;

                while (n > 0 && is_space(*value)) {
                        value++;
                        n--;
                }
                n_range = strcspn(value, ";,");
                q = quality(value + n_range, n - n_range);
                while (n_range > 0 && is_space(value[n_range - 1]))
                        n_range--;

#define IS(range) (n_range == sizeof(range) - 1 && strncasecmp(value, range, n_range) == 0)
                if (IS("*/*")) {
                        prefer(&head->ndjson, 1, q);
                        prefer(&head->csv, 1, q);
                } else if (IS("application/*"))
                        prefer(&head->ndjson, 2, q);
                else if (IS("text/*"))
                        prefer(&head->csv, 2, q);
                else if (IS("application/x-ndjson"))
                        prefer(&head->ndjson, 3, q);
                else if (IS("text/csv"))
                        prefer(&head->csv, 3, q);
#undef IS
                value += n;
                if (*value == ',')
                        value++;
        }
}

typedef struct Header {
        const char *name;
        void (*take)(RequestHead *head, const char *value);
} Header;

static const Header headers[] = {
        {"Authorization", take_authorization}, {"DPoP", take_proof},        {"Content-Length", take_length},
        {"Transfer-Encoding", take_encoding},  {"Content-Type", take_type}, {"Accept", take_accept},
};

void request_header(RequestHead *head, const char *name, const char *value) {
        for (size_t i = 0; i < N_ELEMENTS(headers); i++)
                if (strcasecmp(name, headers[i].name) == 0)
                        headers[i].take(head, value);
}

void request_headers_end(RequestHead *head, size_t n_bytes) {
        if (n_bytes > REQUEST_HEADERS_MAX)
                refuse(head, &headers_long);
        if (head->is_post) {
                if (!head->has_length)
                        refuse(head, &body_without_length);
                if (!head->has_type)
                        refuse(head, &not_a_form);
        } else if (head->n_content > 0) {
                refuse(head, &body_not_wanted);
        }
        if (request_is_resource(head) && !(head->frame.flags & FRAME_GATE_HAS_CREDENTIAL))
                refuse(head, &REQUEST_NO_TOKEN);
        if (head->frame.operation == FRAME_GATE_SLICE && !head->format_asked) {
                if (head->has_accept && head->ndjson.q == 0 && head->csv.q == 0)
                        refuse(head, &not_acceptable);
                head->frame.format = head->csv.q > head->ndjson.q ? FRAME_GATE_CSV : FRAME_GATE_NDJSON;
        }
        head->frame.proof = head->proof;
}

bool request_reads_body(const RequestHead *head) {
        return !head->is_chunked && head->n_content <= REQUEST_BODY_MAX;
}

Refusal request_refusal_of(FrameGateError error, bool is_resource, const char *message) {
        static const struct {
                unsigned status, resource_status;
                const char *code, *resource_code;
        } table[N_FRAME_GATE_ERRORS] = {
                [FRAME_GATE_OK] = {500, 500, "server_error", "server_error"},
                [FRAME_GATE_INVALID_REQUEST] = {400, 400, "invalid_request", "invalid_request"},
                [FRAME_GATE_INVALID_GRANT] = {400, 401, "invalid_grant", "invalid_token"},
                [FRAME_GATE_INVALID_DPOP_PROOF] = {400, 401, "invalid_dpop_proof", "invalid_dpop_proof"},
                [FRAME_GATE_USE_DPOP_NONCE] = {400, 401, "use_dpop_nonce", "use_dpop_nonce"},
                [FRAME_GATE_INVALID_TOKEN] = {401, 401, "invalid_token", "invalid_token"},
                [FRAME_GATE_INSUFFICIENT_SCOPE] = {403, 403, "insufficient_scope", "insufficient_scope"},
                [FRAME_GATE_NOT_ENOUGH_DATA] = {404, 404, "not_enough_data", "not_enough_data"},
                [FRAME_GATE_UNAVAILABLE] = {503, 503, "temporarily_unavailable", "temporarily_unavailable"},
                [FRAME_GATE_SERVER_ERROR] = {500, 500, "server_error", "server_error"},
        };

        assert(error < N_FRAME_GATE_ERRORS);
        return (Refusal){
                .status = is_resource ? table[error].resource_status : table[error].status,
                .code = is_resource ? table[error].resource_code : table[error].code,
                .text = message,
        };
}
