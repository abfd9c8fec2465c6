/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/common/words.h"
#include "daemon/core/dpop.h"
#include "tools.h"

static const char *text_at(const json_t *json, const char *name) {
        return json_string_value(json_object_get(json, name));
}

static void the_vectors_of_rfc_8037_hold(void **state) {
        cleanup(json_decrefp) json_t *all = vectors();
        cleanup(secret_freep) Secret *seed = NULL;
        char thumbprint[JWS_THUMBPRINT_SIZE];
        cleanup(freep) char *again = NULL;
        uint8_t key[32], parsed[32];
        const char *compact;
        json_t *v, *jwk;
        size_t n;
        Jws jws;

        (void) state;
        if (!all)
                skip();
        v = json_object_get(all, "rfc8037_appendix_A");
        jwk = json_object_get(v, "jwk");

        ok(secret_new(&seed, 32));
        ok(b64url_decode(secret_data(seed), 32, &n, text_at(jwk, "d"), strlen(text_at(jwk, "d"))));
        ok(ed25519_public(key, seed));
        jwk_thumbprint(thumbprint, key);
        assert_string_equal(thumbprint, text_at(v, "rfc7638_thumbprint"));

        /* the private key is in it: not a public one */
        assert_int_equal(jwk_parse_public(parsed, jwk), JWS_E_FORMAT);
        json_object_del(jwk, "d");
        ok(jwk_parse_public(parsed, jwk));
        assert_memory_equal(parsed, key, 32);

        compact = text_at(v, "compact");
        ok(jws_split(&jws, compact, strlen(compact)));
        ok(jws_verify(&jws, key));
        again = sign_raw(seed, "{\"alg\":\"EdDSA\"}", "Example of Ed25519 signing");
        assert_string_equal(again, compact);
}

static void the_token_hash_of_rfc_9449_holds(void **state) {
        cleanup(json_decrefp) json_t *all = vectors();
        char ath[JWS_THUMBPRINT_SIZE];
        json_t *v;

        (void) state;
        if (!all)
                skip();
        v = json_object_get(all, "rfc9449_ath");
        dpop_ath(ath, text_at(v, "access_token"));
        assert_string_equal(ath, text_at(v, "ath"));
}

static void what_is_signed_opens_again(void **state) {
        cleanup(json_decrefp) json_t *header = json_pack("{s:s}", "alg", "EdDSA"), *payload = json_pack("{s:i, s:s}", "a", 1, "b", "x");
        cleanup(json_decrefp) json_t *opened = NULL;
        cleanup(secret_freep) Secret *seed = seed_of(7);
        cleanup(freep) char *compact = NULL;
        uint8_t key[32];
        Jws jws;

        (void) state;
        ok(jws_sign(&compact, header, payload, seed));
        ok(ed25519_public(key, seed));
        ok(jws_split(&jws, compact, strlen(compact)));
        ok(jws_verify(&jws, key));
        ok(jws_json(&opened, jws.payload, jws.n_payload));
        assert_true(json_equal(opened, payload));
}

static void no_character_can_be_changed(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(7);
        cleanup(freep) char *compact = sign_raw(seed, "{\"alg\":\"EdDSA\"}", "{\"jti\":\"1\"}");
        uint8_t key[32];
        Jws jws;

        (void) state;
        ok(ed25519_public(key, seed));
        for (size_t i = 0; i < strlen(compact); i++)
                for (const char *c = "A-_z9.=+/ \n"; *c; c++) {
                        char old = compact[i];

                        if (old == *c)
                                continue;
                        compact[i] = *c;
                        assert_true(jws_split(&jws, compact, strlen(compact)) != 0 || jws_verify(&jws, key) != 0);
                        compact[i] = old;
                }
        for (size_t n = 0; n < strlen(compact); n++)
                assert_true(jws_split(&jws, compact, n) != 0 || jws_verify(&jws, key) != 0);
        ok(jws_split(&jws, compact, strlen(compact)));
        ok(jws_verify(&jws, key));
}

/* RFC 8032, 5.1.7: S must be less than L, or a signature has a twin. */
static void a_signature_has_no_twin(void **state) {
        static const uint8_t order[32] = { 0xed, 0xd3, 0xf5, 0x5c, 0x1a, 0x63, 0x12, 0x58, 0xd6, 0x9c, 0xf7, 0xa2, 0xde, 0xf9, 0xde, 0x14,
                                           0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x10 };
        cleanup(secret_freep) Secret *seed = seed_of(7);
        cleanup(freep) char *compact = sign_raw(seed, "{}", "{}");
        unsigned carry = 0;
        uint8_t key[32];
        Jws jws;

        (void) state;
        ok(ed25519_public(key, seed));
        ok(jws_split(&jws, compact, strlen(compact)));
        ok(jws_verify(&jws, key));
        for (size_t i = 0; i < 32; i++) {
                carry += (unsigned) jws.signature[32 + i] + order[i];
                jws.signature[32 + i] = (uint8_t) carry;
                carry >>= 8;
        }
        assert_int_equal(jws_verify(&jws, key), JWS_E_SIGNATURE);
}

static void a_key_of_small_order_signs_nothing(void **state) {
        cleanup(secret_freep) Secret *seed = seed_of(7);
        cleanup(freep) char *compact = sign_raw(seed, "{}", "{}");
        uint8_t key[32] = { 1 }; /* the neutral element: with R the same and S 0, every message would verify */
        Jws jws;

        (void) state;
        ok(jws_split(&jws, compact, strlen(compact)));
        memset(jws.signature, 0, sizeof(jws.signature));
        jws.signature[0] = 1;
        assert_int_equal(jws_verify(&jws, key), JWS_E_SIGNATURE);
}

static void base64url_has_one_spelling(void **state) {
        static const char *const bad[] = { "QQ==", "QR", "QUJ", "QUJD=", "Q", "QU+D", "QU/D", " QUJD", "QUJD\n", "QU JD" };
        uint8_t bytes[8];
        size_t n;

        (void) state;
        ok(b64url_decode(bytes, sizeof(bytes), &n, "QQ", 2));
        assert_int_equal(n, 1);
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(b64url_decode(bytes, sizeof(bytes), &n, bad[i], strlen(bad[i])), JWS_E_FORMAT);
        /* more than there is room for */
        assert_int_equal(b64url_decode(bytes, 2, &n, "QUJD", 4), JWS_E_FORMAT);
        /* every byte that is not of the alphabet, in the middle of a good text */
        for (unsigned c = 0; c < 256; c++) {
                char text[] = "QUJDQUJD";
                bool good = c < 128 && c > 0 && strchr("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_", (int) c);

                text[3] = (char) c;
                assert_int_equal(b64url_decode(bytes, sizeof(bytes), &n, text, 8), good ? 0 : JWS_E_FORMAT);
        }
}

static int parse(const char *text) {
        cleanup(freep) char *part = b64(text, strlen(text));
        cleanup(json_decrefp) json_t *json = NULL;

        return jws_json(&json, part, strlen(part));
}

static void json_is_an_object_without_surprises(void **state) {
        (void) state;
        ok(parse("{}"));
        ok(parse("{\"a\":[[[[[[[1]]]]]]],\"s\":\"[[[[[[[[[[[[{{{{\\\"[[[[[[[[[[\"}"));
        assert_int_equal(parse("{\"a\":[[[[[[[[1]]]]]]]]}"), JWS_E_FORMAT);
        assert_int_equal(parse("{\"a\":1,\"a\":1}"), JWS_E_FORMAT);
        assert_int_equal(parse("{\"o\":{\"a\":1,\"a\":2}}"), JWS_E_FORMAT);
        assert_int_equal(parse("[]"), JWS_E_FORMAT);
        assert_int_equal(parse("1"), JWS_E_FORMAT);
        assert_int_equal(parse("{} {}"), JWS_E_FORMAT);
        assert_int_equal(parse("{\"a\":\"\\u0000\"}"), JWS_E_FORMAT);
        assert_int_equal(parse("{\"a\":\"\xff\"}"), JWS_E_FORMAT);
        assert_int_equal(parse("{\"a\":99999999999999999999}"), JWS_E_FORMAT);
        assert_int_equal(parse(""), JWS_E_FORMAT);
}

static void a_statement_longer_than_the_limit_is_refused(void **state) {
        cleanup(freep) char *text = malloc(JWS_MAX + 2);
        cleanup(freep) char *payload = malloc(JWS_MAX);
        cleanup(json_decrefp) json_t *header = json_object(), *long_one = NULL;
        cleanup(secret_freep) Secret *seed = seed_of(7);
        cleanup(freep) char *compact = NULL;
        Jws jws;

        (void) state;
        memset(text, 'A', JWS_MAX + 1);
        text[4] = '.';
        text[JWS_MAX - 87] = '.';
        ok(jws_split(&jws, text, JWS_MAX));
        text[JWS_MAX - 87] = 'A';
        text[JWS_MAX - 86] = '.';
        assert_int_equal(jws_split(&jws, text, JWS_MAX + 1), JWS_E_FORMAT);

        memset(payload, 'x', JWS_MAX);
        payload[JWS_MAX - 1] = '\0';
        long_one = json_pack("{s:s}", "a", payload);
        assert_int_equal(jws_sign(&compact, header, long_one, seed), JWS_E_FORMAT);
}

static void only_an_ed25519_key_is_a_key(void **state) {
        static const char *const bad[] = {
                "{}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\"}",
                "{\"kty\":\"OKP\",\"crv\":\"X25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
                "{\"kty\":\"okp\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHUR\"}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURp\"}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURoAA\"}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":32}",
                "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\",\"d\":\"\"}",
        };
        uint8_t key[32], again[32];
        cleanup(json_decrefp) json_t *jwk = NULL;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++) {
                cleanup(json_decrefp) json_t *json = json_loads(bad[i], 0, NULL);

                assert_int_equal(jwk_parse_public(key, json), JWS_E_FORMAT);
        }
        assert_int_equal(jwk_parse_public(key, NULL), JWS_E_FORMAT);
        memset(key, 5, sizeof(key));
        jwk = jwk_public(key);
        (void) json_object_set_new(jwk, "kid", json_string("ignored"));
        ok(jwk_parse_public(again, jwk));
        assert_memory_equal(key, again, 32);
}

/* The key of RFC 8037, appendix A; computed by another program in another language. */
static void a_key_has_the_words_that_others_find(void **state) {
        static const char x[] = "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo";
        char words[WORDS_SIZE];
        uint8_t key[32];
        size_t n;

        (void) state;
        ok(b64url_decode(key, sizeof(key), &n, x, strlen(x)));
        words_of_key(words, key);
        assert_string_equal(words, "nagup-soruv-pokud-jijok-nodih-butub-sabid-lomof");
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_vectors_of_rfc_8037_hold),
                cmocka_unit_test(the_token_hash_of_rfc_9449_holds),
                cmocka_unit_test(what_is_signed_opens_again),
                cmocka_unit_test(no_character_can_be_changed),
                cmocka_unit_test(a_signature_has_no_twin),
                cmocka_unit_test(a_key_of_small_order_signs_nothing),
                cmocka_unit_test(base64url_has_one_spelling),
                cmocka_unit_test(json_is_an_object_without_surprises),
                cmocka_unit_test(a_statement_longer_than_the_limit_is_refused),
                cmocka_unit_test(only_an_ed25519_key_is_a_key),
                cmocka_unit_test(a_key_has_the_words_that_others_find),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
