/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/core/dpop.h"
#include "tools.h"

#define NOW_MS INT64_C(7230000) /* in the middle of a period */

static const char *const urls[] = { "https://127.0.0.1:8443", "https://wallet.example/p" };

typedef struct World {
        Secret *seed;
        uint8_t key[32];
        DpopNonces *nonces;
        char nonce[DPOP_NONCE_SIZE], ath[JWS_THUMBPRINT_SIZE];
} World;

static int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        w->seed = seed_of(9);
        ok(ed25519_public(w->key, w->seed));
        ok(dpop_nonces_new(&w->nonces));
        dpop_nonce(w->nonces, NOW_MS, w->nonce);
        dpop_ath(w->ath, "token");
        *state = w;
        return 0;
}

static int teardown(void **state) {
        World *w = *state;

        (void) secret_free(w->seed);
        (void) dpop_nonces_free(w->nonces);
        free(w);
        return 0;
}

static json_t *header_of(const World *w) {
        return json_pack("{s:s, s:s, s:o}", "typ", "dpop+jwt", "alg", "EdDSA", "jwk", jwk_public(w->key));
}

static json_t *claims_of(const World *w) {
        return json_pack("{s:s, s:s, s:s, s:i, s:s, s:s}", "jti", "1", "htm", "GET", "htu", "https://127.0.0.1:8443/slice", "iat", 1,
                         "nonce", w->nonce, "ath", w->ath);
}

static int check_at(const World *w, json_t *header, json_t *claims, int64_t monotonic_ms) {
        cleanup(freep) char *proof = sign_json(w->seed, header, claims);
        DpopExpected expected = { .key = w->key, .method = "GET", .path = "/slice", .urls = urls, .n_urls = 2, .ath = w->ath };
        char jti[DPOP_JTI_MAX + 1];

        return dpop_verify(&expected, w->nonces, monotonic_ms, proof, strlen(proof), jti);
}

static int check(const World *w, json_t *header, json_t *claims) {
        return check_at(w, header, claims, NOW_MS);
}

/* One member of a header or of claims set to JSON, or taken out. */
static json_t *with(json_t *object, const char *key, const char *json) {
        if (json)
                assert_int_equal(json_object_set_new(object, key, json_loads(json, JSON_DECODE_ANY, NULL)), 0);
        else
                (void) json_object_del(object, key);
        return object;
}

static void a_right_proof_is_accepted(void **state) {
        World *w = *state;

        ok(check(w, header_of(w), claims_of(w)));
        ok(check(w, with(header_of(w), "alg", "\"Ed25519\""), claims_of(w)));
        ok(check(w, header_of(w), with(claims_of(w), "htu", "\"https://wallet.example/p/slice\"")));
        ok(check(w, with(header_of(w), "kid", "\"x\""), with(claims_of(w), "other", "{}")));
}

static void the_clock_of_the_clinic_does_not_matter(void **state) {
        World *w = *state;

        ok(check(w, header_of(w), with(claims_of(w), "iat", "0")));
        ok(check(w, header_of(w), with(claims_of(w), "iat", "99999999999")));
        ok(check(w, header_of(w), with(claims_of(w), "iat", "1.5")));
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "iat", NULL)), DPOP_E_FORMAT);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "iat", "\"1\"")), DPOP_E_FORMAT);
}

static void another_header_is_refused(void **state) {
        static const struct {
                const char *key, *json;
        } bad[] = {
                { "typ", NULL }, { "typ", "\"JWT\"" }, { "typ", "\"DPOP+JWT\"" }, { "typ", "\"wallet-grant+jwt\"" }, { "typ", "1" },
                { "alg", NULL }, { "alg", "\"none\"" }, { "alg", "\"HS256\"" }, { "alg", "\"ES256\"" }, { "alg", "\"eddsa\"" }, { "alg", "1" },
                { "jwk", NULL }, { "jwk", "{}" }, { "jwk", "\"x\"" }, { "crit", "[\"b64\"]" },
                { "jwk", "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}" },
        };
        World *w = *state;
        json_t *private_key;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(check(w, with(header_of(w), bad[i].key, bad[i].json), claims_of(w)), DPOP_E_FORMAT);
        private_key = header_of(w);
        (void) with(json_object_get(private_key, "jwk"), "d", "\"AAAA\"");
        assert_int_equal(check(w, private_key, claims_of(w)), DPOP_E_FORMAT);
}

static void another_method_or_url_is_refused(void **state) {
        static const struct {
                const char *key, *json;
        } bad[] = {
                { "htm", NULL }, { "htm", "\"POST\"" }, { "htm", "\"get\"" }, { "htm", "1" }, { "htu", NULL }, { "htu", "1" }, { "htu", "\"\"" },
                { "htu", "\"https://127.0.0.1:8443/token\"" }, { "htu", "\"https://127.0.0.1:8443/slice?kinds=cgm\"" },
                { "htu", "\"https://127.0.0.1:8443/slice#a\"" }, { "htu", "\"https://127.0.0.1:8443/slice/\"" },
                { "htu", "\"https://127.0.0.1:8443//slice\"" }, { "htu", "\"HTTPS://127.0.0.1:8443/slice\"" },
                { "htu", "\"https://127.0.0.1/slice\"" }, { "htu", "\"https://127.0.0.1:84431/slice\"" },
                { "htu", "\"https://evil.example/slice\"" }, { "htu", "\"https://wallet.example/slice\"" }, { "htu", "\"/slice\"" },
                { "htu", "\"https://127.0.0.1:8443\"" },
        };
        World *w = *state;

        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(check(w, header_of(w), with(claims_of(w), bad[i].key, bad[i].json)), DPOP_E_TARGET);
}

static void a_nonce_is_good_for_two_periods(void **state) {
        cleanup(dpop_nonces_freep) DpopNonces *restarted = NULL;
        char other[DPOP_NONCE_SIZE];
        World *w = *state;
        char json[64];

        ok(check_at(w, header_of(w), claims_of(w), NOW_MS + DPOP_NONCE_PERIOD_MS));
        assert_int_equal(check_at(w, header_of(w), claims_of(w), NOW_MS + 2 * DPOP_NONCE_PERIOD_MS), DPOP_E_NONCE);
        assert_int_equal(check_at(w, header_of(w), claims_of(w), NOW_MS - DPOP_NONCE_PERIOD_MS), DPOP_E_NONCE);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "nonce", NULL)), DPOP_E_NONCE);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "nonce", "\"\"")), DPOP_E_NONCE);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "nonce", "1")), DPOP_E_FORMAT);

        /* the same moment of a core that was started again */
        ok(dpop_nonces_new(&restarted));
        dpop_nonce(restarted, NOW_MS, other);
        (void) snprintf(json, sizeof(json), "\"%s\"", other);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "nonce", json)), DPOP_E_NONCE);
}

static void a_proof_is_for_its_token(void **state) {
        World *w = *state;

        assert_int_equal(check(w, header_of(w), with(claims_of(w), "ath", NULL)), DPOP_E_TOKEN);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "ath", "\"fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo\"")), DPOP_E_TOKEN);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "ath", "1")), DPOP_E_TOKEN);
}

static void a_proof_has_a_name(void **state) {
        World *w = *state;
        char json[DPOP_JTI_MAX + 4];

        assert_int_equal(check(w, header_of(w), with(claims_of(w), "jti", NULL)), DPOP_E_FORMAT);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "jti", "\"\"")), DPOP_E_FORMAT);
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "jti", "7")), DPOP_E_FORMAT);
        memset(json, 'j', sizeof(json));
        json[0] = json[DPOP_JTI_MAX + 1] = '"';
        json[DPOP_JTI_MAX + 2] = '\0';
        ok(check(w, header_of(w), with(claims_of(w), "jti", json)));
        json[DPOP_JTI_MAX + 1] = 'j';
        json[DPOP_JTI_MAX + 2] = '"';
        json[DPOP_JTI_MAX + 3] = '\0';
        assert_int_equal(check(w, header_of(w), with(claims_of(w), "jti", json)), DPOP_E_FORMAT);
}

static void nothing_is_parsed_before_the_signature_is_right(void **state) {
        cleanup(secret_freep) Secret *other = seed_of(10);
        World *w = *state;
        DpopExpected expected = { .key = w->key, .method = "GET", .path = "/slice", .urls = urls, .n_urls = 2 };
        cleanup(freep) char *foreign = sign_json(other, header_of(w), claims_of(w)), *garbage = sign_raw(other, "{{{", "\xff");
        cleanup(freep) char *own_garbage = sign_raw(w->seed, "{{{", "\xff"), *twice = sign_raw(w->seed, "{\"alg\":\"EdDSA\",\"alg\":\"EdDSA\"}", "{}");
        char jti[DPOP_JTI_MAX + 1];

        assert_int_equal(dpop_verify(&expected, w->nonces, NOW_MS, foreign, strlen(foreign), jti), DPOP_E_SIGNATURE);
        assert_int_equal(dpop_verify(&expected, w->nonces, NOW_MS, garbage, strlen(garbage), jti), DPOP_E_SIGNATURE);
        assert_int_equal(dpop_verify(&expected, w->nonces, NOW_MS, "", 0, jti), DPOP_E_SIGNATURE);
        assert_int_equal(dpop_verify(&expected, w->nonces, NOW_MS, own_garbage, strlen(own_garbage), jti), DPOP_E_FORMAT);
        assert_int_equal(dpop_verify(&expected, w->nonces, NOW_MS, twice, strlen(twice), jti), DPOP_E_FORMAT);
}

static void a_name_is_taken_while_its_nonce_may_be_valid(void **state) {
        World *w = *state;
        DpopSeen seen = {0};

        ok(dpop_seen_add(&seen, w->nonces, NOW_MS, "a"));
        assert_int_equal(dpop_seen_add(&seen, w->nonces, NOW_MS, "a"), DPOP_E_REPLAYED);
        assert_int_equal(dpop_seen_add(&seen, w->nonces, NOW_MS + DPOP_NONCE_PERIOD_MS, "a"), DPOP_E_REPLAYED);
        ok(dpop_seen_add(&seen, w->nonces, NOW_MS + DPOP_NONCE_PERIOD_MS, "b"));
        ok(dpop_seen_add(&seen, w->nonces, NOW_MS + 2 * DPOP_NONCE_PERIOD_MS, "a"));
        assert_int_equal(dpop_seen_add(&seen, w->nonces, NOW_MS + 2 * DPOP_NONCE_PERIOD_MS, "b"), DPOP_E_REPLAYED);
        assert_false(dpop_seen_expire(&seen, NOW_MS + 3 * DPOP_NONCE_PERIOD_MS));
        assert_true(dpop_seen_expire(&seen, NOW_MS + 9 * DPOP_NONCE_PERIOD_MS));
        dpop_seen_done(&seen);
}

static void the_names_of_one_period_have_a_limit(void **state) {
        World *w = *state;
        DpopSeen seen = {0};
        char jti[16];

        for (unsigned period = 0; period < 2; period++) {
                int64_t now_ms = NOW_MS + period * DPOP_NONCE_PERIOD_MS;

                for (unsigned i = 0; i < DPOP_SEEN_MAX; i++) {
                        (void) snprintf(jti, sizeof(jti), "%u/%u", period, i);
                        ok(dpop_seen_add(&seen, w->nonces, now_ms, jti));
                }
                assert_int_equal(dpop_seen_add(&seen, w->nonces, now_ms, "one more"), DPOP_E_FULL);
                assert_int_equal(dpop_seen_add(&seen, w->nonces, now_ms, "0/7"), DPOP_E_REPLAYED);
        }
        assert_int_equal(seen.n_slots[0], 2 * DPOP_SEEN_MAX);
        dpop_seen_done(&seen);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_right_proof_is_accepted),
                cmocka_unit_test(the_clock_of_the_clinic_does_not_matter),
                cmocka_unit_test(another_header_is_refused),
                cmocka_unit_test(another_method_or_url_is_refused),
                cmocka_unit_test(a_nonce_is_good_for_two_periods),
                cmocka_unit_test(a_proof_is_for_its_token),
                cmocka_unit_test(a_proof_has_a_name),
                cmocka_unit_test(nothing_is_parsed_before_the_signature_is_right),
                cmocka_unit_test(a_name_is_taken_while_its_nonce_may_be_valid),
                cmocka_unit_test(the_names_of_one_period_have_a_limit),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, setup, teardown);
}
