/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/common/civil.h"
#include "daemon/common/grant.h"
#include "tools.h"

/* The claims of a grant that has everything. */
static GrantClaims full(const Secret *seed) {
        GrantClaims claims = {
                .issued_s = 1647259200,
                .issued_day = 19065,
                .terms = {
                        .scope = {
                                .kinds = RECORD_KIND_BIT(RECORD_CGM) | RECORD_KIND_BIT(RECORD_BOLUS),
                                .detail = POLICY_DATA,
                                .identity = POLICY_PSEUDONYM,
                                .window = { .type = POLICY_WINDOW_LAST, .last_days = 90, .newer = true },
                        },
                        .not_before_s = 1647259200,
                        .expires_s = 1647259200 + 30 * 86400,
                        .uses_max = 5,
                },
                .purpose = "TREAT",
                .retention_days = 365,
                .n_urls = 2,
                .urls = { "https://127.0.0.1:8443", "https://wallet.example/patient" },
                .n_pins = 1,
        };

        ok(ed25519_public(claims.wallet_key, seed));
        jwk_thumbprint(claims.wallet_thumbprint, claims.wallet_key);
        memset(claims.provider_key, 9, 32);
        jwk_thumbprint(claims.provider_thumbprint, claims.provider_key);
        memset(claims.pins[0], 0xa5, 32);
        strcpy(claims.subject, "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA");
        strcpy(claims.jti, "AAAAAAAAAAAAAAAAAAAAAA");
        return claims;
}

static char *full_jwt(const Secret *seed) {
        GrantClaims claims = full(seed);
        char *jwt = NULL;

        ok(grant_sign(&jwt, &claims, seed));
        return jwt;
}

static json_t *part_of(const char *jwt, bool payload) {
        json_t *json = NULL;
        Jws jws;

        ok(jws_split(&jws, jwt, strlen(jwt)));
        ok(payload ? jws_json(&json, jws.payload, jws.n_payload) : jws_json(&json, jws.header, jws.n_header));
        return json;
}

static int open_with(const char *jwt, const Secret *seed) {
        GrantClaims claims;
        uint8_t key[32];

        ok(ed25519_public(key, seed));
        return grant_open(&claims, jwt, strlen(jwt), key);
}

static void what_was_granted_is_what_is_read(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        GrantClaims claims = full(seed), opened;

        (void) state;
        for (unsigned i = 0; i < 2; i++) {
                cleanup(freep) char *jwt = NULL;

                if (i == 1) {
                        claims.terms.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = 18000, .to_day = 18100 };
                        claims.terms.scope.detail = POLICY_SUMMARY;
                        claims.terms.scope.identity = POLICY_NONE;
                        claims.terms.scope.free_text = true;
                        claims.terms.uses_max = 0;
                        claims.n_urls = 0;
                        claims.n_pins = 0;
                }
                ok(grant_sign(&jwt, &claims, seed));
                ok(grant_open(&opened, jwt, strlen(jwt), claims.wallet_key));
                assert_true(policy_scope_narrows(&opened.terms.scope, &claims.terms.scope));
                assert_true(policy_scope_narrows(&claims.terms.scope, &opened.terms.scope));
                assert_int_equal(opened.terms.not_before_s, claims.terms.not_before_s);
                assert_int_equal(opened.terms.expires_s, claims.terms.expires_s);
                assert_int_equal(opened.terms.uses_max, claims.terms.uses_max);
                assert_string_equal(opened.jti, claims.jti);
                assert_string_equal(opened.subject, claims.subject);
                assert_string_equal(opened.purpose, claims.purpose);
                assert_string_equal(opened.provider_thumbprint, claims.provider_thumbprint);
                assert_string_equal(opened.wallet_thumbprint, claims.wallet_thumbprint);
                assert_memory_equal(opened.wallet_key, claims.wallet_key, 32);
                assert_int_equal(opened.issued_s, claims.issued_s);
                assert_int_equal(opened.issued_day, claims.issued_day);
                assert_int_equal(opened.retention_days, claims.retention_days);
                assert_int_equal(opened.n_urls, claims.n_urls);
                assert_int_equal(opened.n_pins, claims.n_pins);
                for (size_t u = 0; u < claims.n_urls; u++)
                        assert_string_equal(opened.urls[u], claims.urls[u]);
                for (size_t p = 0; p < claims.n_pins; p++)
                        assert_memory_equal(opened.pins[p], claims.pins[p], 32);
        }
}

static void the_claims_are_those_of_the_specification(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        cleanup(freep) char *jwt = full_jwt(seed), *dump = NULL;
        GrantClaims claims = full(seed);
        cleanup(json_decrefp) json_t *payload = part_of(jwt, true), *header = part_of(jwt, false), *expected = NULL;
        const char *w = claims.wallet_thumbprint, *p = claims.provider_thumbprint;

        (void) state;
        expected = json_pack("{s:s,s:s,s:[s,s],s:s,s:s,s:i,s:i,s:i,s:i,s:{s:s},s:{s:[s,s],s:s,s:s,s:b,s:{s:i,s:b}},s:i,s:s,s:{s:i,s:b},"
                             "s:{s:[s,s],s:[s]},s:i}",
                             "iss", w, "sub", claims.subject, "aud", w, p, "client_id", p, "jti", claims.jti, "iat", 1647259200,
                             "nbf", 1647259200, "exp", 1647259200 + 30 * 86400, "iday", 19065, "cnf", "jkt", p,
                             "scope", "kinds", "cgm", "bolus", "detail", "data", "identity", "pseudonym", "free_text", 0,
                             "window", "last_days", 90, "newer", 1, "uses", 5, "purpose", "TREAT", "terms", "retention_days", 365,
                             "onward_sharing", 0, "gate", "urls", "https://127.0.0.1:8443", "https://wallet.example/patient", "pins",
                             "paWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaWlpaU", "ver", 1);
        assert_non_null(expected);
        assert_true(json_equal(payload, expected));
        dump = json_dumps(header, JSON_COMPACT);
        assert_non_null(strstr(dump, "{\"alg\":\"EdDSA\",\"typ\":\"wallet-grant+jwt\",\"jwk\":{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\""));
        assert_int_equal(json_object_size(header), 3);
}

static void no_bit_of_a_grant_can_be_changed(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        cleanup(freep) char *jwt = full_jwt(seed);

        (void) state;
        ok(open_with(jwt, seed));
        for (size_t i = 0; i < strlen(jwt); i++)
                for (unsigned bit = 0; bit < 7; bit++) {
                        GrantClaims claims;

                        jwt[i] = (char) (jwt[i] ^ 1 << bit);
                        assert_true(open_with(jwt, seed) > 0);
                        assert_true(grant_open(&claims, jwt, strlen(jwt), NULL) > 0);
                        jwt[i] = (char) (jwt[i] ^ 1 << bit);
                }
        ok(open_with(jwt, seed));
}

static void a_grant_of_another_wallet_is_foreign(void **state) {
        cleanup(secret_freep) Secret *ours = seed_of(3), *theirs = seed_of(4);
        cleanup(freep) char *jwt = full_jwt(theirs), *own = full_jwt(ours), *mixed = NULL;
        GrantClaims claims;

        (void) state;
        assert_int_equal(open_with(jwt, ours), GRANT_E_SIGNATURE);
        ok(grant_open(&claims, jwt, strlen(jwt), NULL));

        /* their key in the header, our thumbprint in iss */
        mixed = sign_json(theirs, part_of(jwt, false), part_of(own, true));
        assert_int_equal(grant_open(&claims, mixed, strlen(mixed), NULL), GRANT_E_FORMAT);
}

static void the_header_is_exactly_ours(void **state) {
        static const char *const algs[] = { "none", "NONE", "HS256", "Ed25519", "eddsa", "ES256", "RS256", "" };
        static const char *const types[] = { "JWT", "wallet-grant", "WALLET-GRANT+JWT", "application/wallet-grant+jwt", "dpop+jwt", "" };
        cleanup(secret_freep) Secret *seed = seed_of(3), *other = seed_of(4);
        cleanup(freep) char *jwt = full_jwt(seed);
        uint8_t other_key[32];

        (void) state;
        ok(ed25519_public(other_key, other));
        for (size_t i = 0; i < N_ELEMENTS(algs) + N_ELEMENTS(types) + 8; i++) {
                json_t *header = part_of(jwt, false);
                cleanup(freep) char *made = NULL;
                size_t n = i - N_ELEMENTS(algs) - N_ELEMENTS(types);
                GrantClaims claims;

                if (i < N_ELEMENTS(algs))
                        (void) json_object_set_new(header, "alg", json_string(algs[i]));
                else if (i - N_ELEMENTS(algs) < N_ELEMENTS(types))
                        (void) json_object_set_new(header, "typ", json_string(types[i - N_ELEMENTS(algs)]));
                else if (n == 0)
                        (void) json_object_del(header, "alg");
                else if (n == 1)
                        (void) json_object_del(header, "typ");
                else if (n == 2)
                        (void) json_object_del(header, "jwk");
                else if (n == 3)
                        (void) json_object_set_new(header, "kid", json_string("x"));
                else if (n == 4)
                        (void) json_object_set_new(header, "crit", json_array());
                else if (n == 5)
                        (void) json_object_set_new(header, "jwk", jwk_public(other_key));
                else if (n == 6)
                        (void) json_object_set_new(json_object_get(header, "jwk"), "d", json_string("AA"));
                else
                        (void) json_object_set_new(header, "alg", json_integer(0));

                made = sign_json(seed, header, part_of(jwt, true));
                assert_true(open_with(made, seed) > 0);
                assert_true(grant_open(&claims, made, strlen(made), NULL) > 0);
        }
}

/* Every object within the claims: a member less, a member more, a member of each other type. */
static void spoil(json_t *root, json_t *object, const char *jwt, const Secret *seed, unsigned *n_tried) {
        cleanup(json_decrefp) json_t *before = json_deep_copy(object);
        const char *key;
        json_t *value;

        json_object_foreach(before, key, value) {
                for (unsigned how = 0; how < 9; how++) {
                        cleanup(freep) char *made = NULL;
                        json_t *to = NULL;
                        bool same = false;

                        switch (how) {
                        case 0: break;
                        case 1: to = json_null(); break;
                        case 2: to = json_string("x"); break;
                        case 3: to = json_integer(-1); break;
                        case 4: to = json_real(1.5); break;
                        case 5: to = json_array(); break;
                        case 6: to = json_object(); break;
                        case 7: to = json_true(); same = json_is_boolean(value) && strcmp(key, "onward_sharing") != 0; break;
                        default: to = json_string(""); break;
                        }
                        /* lists may be empty, but that of kinds; without a limit of uses there is none */
                        if (how == 5 && (strcmp(key, "urls") == 0 || strcmp(key, "pins") == 0))
                                same = true;
                        if (how == 0 && strcmp(key, "uses") == 0)
                                same = true;
                        if (strcmp(key, "purpose") == 0 && how == 2)
                                same = true;
                        if (to)
                                (void) json_object_set_new(object, key, to);
                        else
                                (void) json_object_del(object, key);
                        made = sign_json(seed, part_of(jwt, false), json_incref(root));
                        if (open_with(made, seed) != (same ? 0 : GRANT_E_FORMAT))
                                fail_msg("%s, way %u", key, how);
                        ++*n_tried;
                        (void) json_object_set_new(object, key, json_deep_copy(value));
                }
                if (json_is_object(value))
                        spoil(root, json_object_get(object, key), jwt, seed, n_tried);
        }

        (void) json_object_set_new(object, "extra", json_integer(1));
        {
                cleanup(freep) char *made = sign_json(seed, part_of(jwt, false), json_incref(root));

                assert_int_equal(open_with(made, seed), GRANT_E_FORMAT);
        }
        (void) json_object_del(object, "extra");
}

static void the_claims_are_exactly_ours(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        cleanup(freep) char *jwt = full_jwt(seed);
        cleanup(json_decrefp) json_t *root = part_of(jwt, true);
        unsigned n_tried = 0;

        (void) state;
        spoil(root, root, jwt, seed, &n_tried);
        assert_true(n_tried > 200);
}

/* Values of the right type that are not right; a path of two names at most. */
static void a_claim_out_of_range_is_refused(void **state) {
        static const struct {
                const char *object, *key, *json;
        } bad[] = {
                { NULL, "ver", "2" }, { NULL, "ver", "0" }, { NULL, "uses", "0" }, { NULL, "uses", "1000001" }, { NULL, "uses", "4294967296" },
                { NULL, "exp", "1647259200" }, { NULL, "exp", "1647259199" }, { NULL, "exp", "9223372036854775807" }, { NULL, "exp", "1678795201" },
                { NULL, "nbf", "9223372036854775807" }, { NULL, "nbf", "-9223372036854775808" }, { NULL, "iday", "4294967296" },
                { NULL, "iat", "9223372036854775807" }, { NULL, "jti", "\"AAAAAAAAAAAAAAAAAAAAA\"" }, { NULL, "jti", "\"AAAAAAAAAAAAAAAAAAAAAB\"" },
                { NULL, "jti", "\"AAAAAAAAAAAAAAAAAAAAAAA\"" }, { NULL, "sub", "\"AAAA\"" }, { NULL, "purpose", "\"TREAT!\"" },
                { NULL, "purpose", "\"ABCDEFGHIJKLMNOPQRSTUVWXYZABCDEF\"" }, { NULL, "aud", "[\"a\",\"b\"]" }, { NULL, "client_id", "\"a\"" },
                { "cnf", "jkt", "\"a\"" }, { "terms", "onward_sharing", "true" }, { "terms", "retention_days", "4294967296" },
                { "scope", "kinds", "[]" }, { "scope", "kinds", "[\"cgm\",\"cgm\"]" }, { "scope", "kinds", "[\"all\"]" }, { "scope", "kinds", "[1]" },
                { "scope", "kinds", "[\"\"]" }, { "scope", "detail", "\"everything\"" }, { "scope", "identity", "\"name\"" },
                { "scope", "window", "{\"last_days\":0,\"newer\":true}" }, { "scope", "window", "{\"last_days\":36501,\"newer\":true}" },
                { "scope", "window", "{\"last_days\":9,\"from\":\"2020-01-01\",\"to\":\"2020-01-02\",\"newer\":true}" },
                { "scope", "window", "{\"from\":\"2020-01-02\",\"to\":\"2020-01-01\",\"newer\":true}" },
                { "scope", "window", "{\"from\":\"2020-02-30\",\"to\":\"2020-03-01\",\"newer\":true}" },
                { "scope", "window", "{\"from\":\"2020-2-03\",\"to\":\"2020-03-01\",\"newer\":true}" },
                { "scope", "window", "{\"from\":\"1969-12-31\",\"to\":\"2020-03-01\",\"newer\":true}" },
                { "scope", "window", "{\"newer\":true}" }, { "scope", "window", "{\"last_days\":9}" },
                { "gate", "urls", "[\"http://a\"]" }, { "gate", "urls", "[\"https://\"]" }, { "gate", "urls", "[\"https://a/\"]" },
                { "gate", "urls", "[\"https://a?b\"]" }, { "gate", "urls", "[\"https://a b\"]" }, { "gate", "urls", "[\"https://user@a\"]" },
                { "gate", "urls", "[\"https://\\u00e4\"]" },
                { "gate", "urls", "[\"https://a\",\"https://a\",\"https://a\",\"https://a\",\"https://a\"]" }, { "gate", "urls", "[1]" },
                { "gate", "pins", "[\"AAAA\"]" }, { "gate", "pins", "[1]" },
                { "gate", "pins", "[\"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAB\"]" },
        };
        cleanup(secret_freep) Secret *seed = seed_of(3);
        cleanup(freep) char *jwt = full_jwt(seed);

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                json_t *root = part_of(jwt, true), *value = json_loads(bad[i].json, JSON_DECODE_ANY, NULL);
                cleanup(freep) char *made = NULL;

                assert_non_null(value);
                (void) json_object_set_new(bad[i].object ? json_object_get(root, bad[i].object) : root, bad[i].key, value);
                made = sign_json(seed, part_of(jwt, false), root);
                if (open_with(made, seed) != GRANT_E_FORMAT)
                        fail_msg("%s %s", bad[i].key, bad[i].json);
        }
}

static void a_claim_given_twice_is_refused(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        cleanup(freep) char *jwt = full_jwt(seed), *header = NULL, *payload = NULL, *twice = NULL, *made = NULL;
        cleanup(json_decrefp) json_t *h = part_of(jwt, false), *p = part_of(jwt, true);

        (void) state;
        header = json_dumps(h, JSON_COMPACT);
        payload = json_dumps(p, JSON_COMPACT);
        assert_true(asprintf(&twice, "{\"ver\":1,%s", payload + 1) > 0);
        made = sign_raw(seed, header, twice);
        assert_int_equal(open_with(made, seed), GRANT_E_FORMAT);
}

static void what_could_not_be_read_is_not_signed(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(3);
        GrantClaims claims = full(seed);
        char *jwt = NULL;

        (void) state;
        claims.terms.expires_s = claims.terms.not_before_s;
        assert_int_equal(grant_sign(&jwt, &claims, seed), GRANT_E_FORMAT);
        claims = full(seed);
        strcpy(claims.urls[0], "http://127.0.0.1:8443");
        assert_int_equal(grant_sign(&jwt, &claims, seed), GRANT_E_FORMAT);
        claims = full(seed);
        strcpy(claims.purpose, "");
        assert_int_equal(grant_sign(&jwt, &claims, seed), GRANT_E_FORMAT);
        claims = full(seed);
        claims.wallet_key[0] ^= 1; /* not the key that signs */
        assert_true(grant_sign(&jwt, &claims, seed) > 0);
        assert_null(jwt);
}

static void days_and_dates_are_the_same_thing(void **state) {
        static const struct {
                int32_t days;
                const char *date;
        } known[] = { { 0, "1970-01-01" }, { 11016, "2000-02-29" }, { 19065, "2022-03-14" }, { -1, "1969-12-31" }, { 47540, "2100-02-28" },
                      { 47541, "2100-03-01" }, { CIVIL_DAYS_MAX, "9999-12-31" } };
        char text[CIVIL_TIME_SIZE];
        int32_t days;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(known); i++) {
                civil_date(text, known[i].days);
                assert_string_equal(text, known[i].date);
        }
        for (int32_t day = -40000; day < 60000; day++) {
                civil_date(text, day);
                assert_true(civil_parse_date(&days, text, strlen(text)));
                assert_int_equal(days, day);
        }
        civil_time(text, 1647237350);
        assert_string_equal(text, "2022-03-14T05:55:50Z");
        civil_time(text, -1);
        assert_string_equal(text, "1969-12-31T23:59:59Z");
        assert_false(civil_parse_date(&days, "2021-02-29", 10));
        assert_false(civil_parse_date(&days, "2021-00-10", 10));
        assert_false(civil_parse_date(&days, "2021-01-00", 10));
        assert_false(civil_parse_date(&days, "+021-01-01", 10));
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(what_was_granted_is_what_is_read),
                cmocka_unit_test(the_claims_are_those_of_the_specification),
                cmocka_unit_test(no_bit_of_a_grant_can_be_changed),
                cmocka_unit_test(a_grant_of_another_wallet_is_foreign),
                cmocka_unit_test(the_header_is_exactly_ours),
                cmocka_unit_test(the_claims_are_exactly_ours),
                cmocka_unit_test(a_claim_out_of_range_is_refused),
                cmocka_unit_test(a_claim_given_twice_is_refused),
                cmocka_unit_test(what_could_not_be_read_is_not_signed),
                cmocka_unit_test(days_and_dates_are_the_same_thing),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
