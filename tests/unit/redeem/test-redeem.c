/* SPDX-License-Identifier: Apache-2.0 */

#include <sys/stat.h>

#include "world.h"

static json_t *last_line(const Got *got) {
        const char *at = memrchr(got->stream.bytes, '\n', got->stream.n - 1);

        return json_loadb(at + 1, got->stream.n - (size_t) (at + 1 - got->stream.bytes), JSON_REJECT_DUPLICATES, NULL);
}

/* Bytes before the end line, hashed. */
static void hash_before_end(const Got *got, char ret[static 65]) {
        const char *at = memrchr(got->stream.bytes, '\n', got->stream.n - 1);
        uint8_t hash[32];

        (void) crypto_hash_sha256(hash, (const uint8_t *) got->stream.bytes, (size_t) (at + 1 - got->stream.bytes));
        (void) sodium_bin2hex(ret, 65, hash, sizeof(hash));
}

static void check_end(const Got *got, size_t n_rows) {
        cleanup(json_decrefp) json_t *end = last_line(got);
        const char *sha256;
        json_int_t rows;
        char hash[65];

        assert_true(got->ended && got->whole);
        ok(json_unpack(end, "{s:{s:I, s:s}}", "end", "rows", &rows, "sha256", &sha256));
        assert_int_equal(rows, n_rows);
        hash_before_end(got, hash);
        assert_string_equal(sha256, hash);
        assert_int_equal(n_in(got->stream.bytes, "\n"), n_rows + 2);
}

/* From the start to the permitted slice, whole, of what the grant names and nothing else. */
static void a_provider_gets_what_was_granted_and_nothing_else(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        Got got;

        /* the dance: no nonce yet */
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_USE_DPOP_NONCE);
        assert_int_equal(got.grant, grant->id);
        get_token(w, grant, token);
        assert_int_equal(grant->policy.uses, 1);

        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        assert_true(got.streams);
        assert_int_equal(n_logged(w, "release-begun"), 1);
        assert_int_equal(n_logged(w, "release-ended"), 0);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        got.stream.n--;
        assert_true(got.largest_chunk <= FRAME_GATE_CHUNK_MAX);
        assert_true(got.n_chunks > 5);
        check_end(&got, N_CGM + N_DAYS);
        assert_int_equal(strncmp(got.stream.bytes, "{\"slice\":{\"notice\":", 19), 0);
        assert_int_equal(n_in(got.stream.bytes, "{\"kind\":\"cgm\""), N_CGM);
        assert_int_equal(n_in(got.stream.bytes, "{\"kind\":\"bolus\""), N_DAYS);
        assert_int_equal(n_in(got.stream.bytes, "CLOSED_LOOP"), N_DAYS);
        assert_null(strstr(got.stream.bytes, SERIAL));
        assert_null(strstr(got.stream.bytes, NOTE_TEXT));
        assert_null(strstr(got.stream.bytes, "METER77"));
        assert_null(strstr(got.stream.bytes, "my breakfast"));
        assert_null(strstr(got.stream.bytes, "\"value\":399"));
        assert_non_null(strstr(got.stream.bytes, "\"serial\":\"d-"));
        closed(w, &got, true);
        assert_int_equal(n_logged(w, "\"state\":\"complete\""), 1);
        assert_int_equal(n_logged(w, "release-ended"), 1);
        assert_int_equal(n_logged(w, "\"type\":\"redeemed\""), 1);
        assert_int_equal(n_logged(w, "\"type\":\"refused\""), 0);
}

static void csv_ends_with_a_trailer(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        FrameGateRequest request = SLICE_REQUEST;
        char token[44], expected[161], hex[65];
        uint8_t hash[32];
        Got got;

        request.format = FRAME_GATE_CSV;
        get_token(w, grant, token);
        ask_resource(w, request, token, &got);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        got.stream.n--;
        assert_true(got.ended && got.whole);
        assert_int_equal(n_in(got.stream.bytes, "\r\n"), N_CGM + N_DAYS + 1);
        assert_int_equal(strncmp(got.stream.bytes, "kind,time,local_time,value,unit,code,", 37), 0);
        (void) crypto_hash_sha256(hash, (const uint8_t *) got.stream.bytes, got.stream.n);
        (void) sodium_bin2hex(hex, sizeof(hex), hash, sizeof(hash));
        (void) snprintf(expected, sizeof(expected), "rows=%u; sha256=%s", N_CGM + N_DAYS, hex);
        assert_string_equal(got.trailer, expected);
        assert_null(strstr(got.stream.bytes, SERIAL));
        assert_null(strstr(got.stream.bytes, "my breakfast"));
        closed(w, &got, true);
}

static void without_identity_no_device_has_a_number(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        char token[44];
        Grant *grant;
        Got got;

        claims.terms.scope.identity = POLICY_NONE;
        grant = grant_to(w, &w->provider, claims);
        get_token(w, grant, token);
        ask_resource(w, SLICE_REQUEST, token, &got);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        assert_null(strstr(got.stream.bytes, "\"serial\""));
        assert_non_null(strstr(got.stream.bytes, "\"device\""));
        closed(w, &got, true);
}

static void two_providers_cannot_join_what_they_got(void **state) {
        World *w = *state;
        Grant *one = new_grant(w), *again = new_grant(w), *two = grant_to(w, &w->other, claims_for(w));
        char a[POLICY_SERIAL_MAX], b[POLICY_SERIAL_MAX];

        assert_string_equal(one->claims.subject, again->claims.subject);
        assert_string_not_equal(one->claims.subject, two->claims.subject);
        grants_pseudonym(one, SERIAL, a);
        grants_pseudonym(again, SERIAL, b);
        assert_string_equal(a, b);
        grants_pseudonym(two, SERIAL, b);
        assert_string_not_equal(a, b);
        assert_int_equal(strlen(a), 18);
        grants_pseudonym(one, "NG1234568H", b);
        assert_string_not_equal(a, b);
}

/* --- refused, each with its error --- */

static void another_key_gets_nothing(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *foreign = NULL, *resource = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        foreign = proof(w, w->other_seed, "POST", "/token", NULL);
        ask_token_with(w, grant, foreign, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        /* a stolen access token is worth nothing either */
        resource = proof(w, w->other_seed, "GET", "/slice", token);
        ask_resource_with(w, SLICE_REQUEST, token, resource, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        assert_int_equal(n_logged(w, "\"reason\":\"stranger\""), 1);
        assert_int_equal(n_logged(w, "release-begun"), 0);
}

static void a_proof_by_the_right_key_that_embeds_another_is_refused(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *made = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        made = sign_json(w->provider_seed, proof_header(w->other.key), proof_claims(w, "POST", "/token", NULL));
        ask_token_with(w, grant, made, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        assert_int_equal(n_logged(w, "\"reason\":\"proof\""), 1);
}

static void a_proof_is_used_once(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *made = NULL, *resource = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        made = proof(w, w->provider_seed, "POST", "/token", NULL);
        ask_token_with(w, grant, made, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        ask_token_with(w, grant, made, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);

        resource = proof(w, w->provider_seed, "GET", "/slice", token);
        ask_resource_with(w, SLICE_REQUEST, token, resource, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
        w->monotonic_ms += DPOP_NONCE_PERIOD_MS; /* still fresh */
        ask_resource_with(w, SLICE_REQUEST, token, resource, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        w->monotonic_ms += DPOP_NONCE_PERIOD_MS;
        ask_resource_with(w, SLICE_REQUEST, token, resource, &got);
        assert_int_equal(got.error, FRAME_GATE_USE_DPOP_NONCE);
        assert_int_equal(n_logged(w, "\"reason\":\"proof-replayed\""), 2);
}

static void a_proof_is_for_one_method_url_and_token(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44], other[44];
        Got got;

        get_token(w, grant, token);
        get_token(w, grant, other);
        for (unsigned i = 0; i < 5; i++) {
                cleanup(freep) char *made = NULL;

                switch (i) {
                case 0: made = proof(w, w->provider_seed, "POST", "/slice", token); break;
                case 1: made = proof(w, w->provider_seed, "GET", "/summary", token); break;
                case 2: made = proof(w, w->provider_seed, "GET", "/slice", other); break;
                case 3: made = proof(w, w->provider_seed, "GET", "/slice", NULL); break;
                default: made = proof(w, w->provider_seed, "GET", "/slice?kinds=cgm", token); break;
                }
                ask_resource_with(w, SLICE_REQUEST, token, made, &got);
                assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
                assert_int_equal(got.grant, grant->id);
        }
        assert_int_equal(n_logged(w, "\"reason\":\"proof-target\""), 3);
        assert_int_equal(n_logged(w, "\"reason\":\"proof-token\""), 2);
}

static void alg_none_and_others_are_refused(void **state) {
        static const char *const algs[] = { "none", "HS256", "ES256" };
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *unsigned_one = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        for (size_t i = 0; i < N_ELEMENTS(algs); i++) {
                json_t *header = proof_header(w->provider.key);
                cleanup(freep) char *made = NULL;

                (void) json_object_set_new(header, "alg", json_string(algs[i]));
                made = sign_json(w->provider_seed, header, proof_claims(w, "POST", "/token", NULL));
                ask_token_with(w, grant, made, &got);
                assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        }
        unsigned_one = proof(w, w->provider_seed, "POST", "/token", NULL);
        strrchr(unsigned_one, '.')[1] = '\0';
        ask_token_with(w, grant, unsigned_one, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
}

static void a_nonce_that_is_old_or_missing_is_asked_for_again(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *made = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        made = proof(w, w->provider_seed, "POST", "/token", NULL);
        w->monotonic_ms += 2 * DPOP_NONCE_PERIOD_MS;
        ask_token_with(w, grant, made, &got);
        assert_int_equal(got.error, FRAME_GATE_USE_DPOP_NONCE);
        /* and a core that was started again knows none of those before */
        stop(w);
        (void) start(w);
        grant = grants_at(w->grants, 0);
        w->monotonic_ms -= 2 * DPOP_NONCE_PERIOD_MS;
        ask_token_with(w, grant, made, &got);
        assert_int_equal(got.error, FRAME_GATE_USE_DPOP_NONCE);
}

static void without_proof_or_assertion_there_is_nothing(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        Got got;

        ask_token_with(w, grant, NULL, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        ask(w, (FrameGateRequest) { .operation = FRAME_GATE_TOKEN }, NULL, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_REQUEST);
        ask(w, SLICE_REQUEST, NULL, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        get_token(w, grant, token);
        ask_resource_with(w, SLICE_REQUEST, token, NULL, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
}

/* Altered, or of another wallet: what this one did not issue does not exist. */
static void a_grant_that_was_not_issued_here_does_not_exist(void **state) {
        World *w = *state;
        Grant copy = *new_grant(w);
        cleanup(freep) char *altered = strdup(copy.jwt), *made = proof(w, w->provider_seed, "POST", "/token", NULL);
        Got got;

        altered[100] = (char) (altered[100] == 'A' ? 'B' : 'A');
        (void) crypto_hash_sha256(copy.assertion_sha256, (const uint8_t *) altered, strlen(altered));
        ask_token_with(w, &copy, made, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);
        assert_int_equal(got.grant, 0);
}

static void the_time_of_a_grant_is_kept(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        PolicyNow then = w->now;
        Grant *grant;
        char token[44];
        Got got;

        claims.terms.not_before_s += 3600;
        grant = grant_to(w, &w->provider, claims);
        ask_token(w, grant, &got);
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);
        assert_int_equal(n_logged(w, "\"reason\":\"not_yet\""), 1);

        w->now.utc_ms += 3600000;
        w->now.local_ms += 3600000;
        get_token(w, grant, token);
        w->now.utc_ms = claims.terms.expires_s * 1000;
        w->now.local_ms = w->now.utc_ms + 7200000;
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);
        ask_resource(w, SLICE_REQUEST, token, &got); /* a token does not outlive its grant */
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        assert_int_equal(n_logged(w, "\"reason\":\"expired\""), 2);

        /* the clock set back to when all was well */
        w->now = then;
        w->now.clock_behind = true;
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_UNAVAILABLE);
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_UNAVAILABLE);
}

static void a_token_does_not_outlive_its_grant_or_ten_minutes(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        GrantClaims claims = claims_for(w);
        cleanup(json_decrefp) json_t *json = NULL;
        char token[44];
        Got got;

        get_token(w, grant, token);
        w->monotonic_ms += 599 * 1000;
        ask_resource(w, SLICE_REQUEST, token, &got); /* an old nonce, but a good token */
        assert_int_equal(got.error, FRAME_GATE_USE_DPOP_NONCE);
        w->monotonic_ms += 1000;
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);

        claims.terms.expires_s = w->now.utc_ms / 1000 + 60;
        ask_token(w, grant_to(w, &w->provider, claims), &got);
        json = json_loads(got.body, 0, NULL);
        assert_int_equal(json_integer_value(json_object_get(json, "expires_in")), 60);
        assert_string_equal(json_string_value(json_object_get(json, "scope")), "data cgm bolus");
}

static void a_grant_has_sixteen_tokens_at_most(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char tokens[REDEEM_TOKENS_MAX + 1][44];
        Got got;

        for (size_t i = 0; i < N_ELEMENTS(tokens); i++)
                get_token(w, grant, tokens[i]);
        ask_resource(w, SUMMARY_REQUEST, tokens[0], &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        ask_resource(w, SLICE_REQUEST, tokens[1], &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
        ask_resource(w, SLICE_REQUEST, tokens[REDEEM_TOKENS_MAX], &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
}

static void uses_are_counted_also_across_a_restart(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        char token[44];
        Grant *grant;
        Got got;

        claims.terms.uses_max = 2;
        grant = grant_to(w, &w->provider, claims);
        get_token(w, grant, token);
        stop(w);
        (void) start(w);
        grant = grants_at(w->grants, 0);
        assert_int_equal(grant->policy.uses, 1);
        ask_resource(w, SLICE_REQUEST, token, &got); /* tokens die with the core */
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        get_token(w, grant, token);
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);
        assert_int_equal(n_logged(w, "\"reason\":\"uses\""), 1);
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
}

static void parameters_only_narrow(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        FrameGateRequest request;
        char token[44];
        Grant *grant;
        Got got;

        claims.terms.scope.window.last_days = 10;
        grant = grant_to(w, &w->provider, claims);
        get_token(w, grant, token);

        request = SLICE_REQUEST;
        request.kinds = RECORD_KIND_BIT(RECORD_CGM) | RECORD_KIND_BIT(RECORD_NOTE);
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INSUFFICIENT_SCOPE);
        request = SLICE_REQUEST;
        request.flags = FRAME_GATE_HAS_FROM;
        request.from_day = TODAY - 10;
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INSUFFICIENT_SCOPE);
        request.flags = FRAME_GATE_HAS_TO;
        request.to_day = TODAY + 1;
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INSUFFICIENT_SCOPE);
        request.flags = FRAME_GATE_HAS_FROM | FRAME_GATE_HAS_TO;
        request.from_day = TODAY - 2;
        request.to_day = TODAY - 3;
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_REQUEST);

        request.from_day = request.to_day = TODAY - 3;
        request.kinds = RECORD_KIND_BIT(RECORD_CGM);
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        got.stream.n--;
        check_end(&got, 288);
        assert_non_null(strstr(got.stream.bytes, "\"count\":0,"));
        closed(w, &got, true);

        /* a day without readings is a gap, as much of it as is over */
        request.from_day = request.to_day = TODAY;
        ask_resource(w, request, token, &got);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        got.stream.n--;
        check_end(&got, 0);
        assert_non_null(strstr(got.stream.bytes, "\"count\":1,\"longest_minutes\":720,\"total_minutes\":720"));
        closed(w, &got, true);

        request = SLICE_REQUEST;
        request.flags = FRAME_GATE_HAS_SINCE;
        request.since_utc_ms = TODAY * POLICY_DAY_MS - 7200000 - 3600000; /* the last hour before midnight */
        ask_resource(w, request, token, &got);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        got.stream.n--;
        check_end(&got, 12);
        assert_non_null(strstr(got.stream.bytes, "\"since\":\"2022-04-17T21:00:00Z\""));
        assert_non_null(strstr(got.stream.bytes, "\"count\":1,\"longest_minutes\":725,"));
        closed(w, &got, true);
        assert_int_equal(n_logged(w, "\"since_utc_ms\""), 1);
}

static void a_summary_grant_gives_no_records(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        char token[44];
        Got got;

        claims.terms.scope.detail = POLICY_SUMMARY;
        get_token(w, grant_to(w, &w->provider, claims), token);
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INSUFFICIENT_SCOPE);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        work(w, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, true);
}

/* A bit of a row that says more than was signed widens nothing. */
static void a_written_row_widens_nothing(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        Got got;

        grant->policy.live_terms.scope.kinds = RECORD_ALL_KINDS;
        grant->policy.live_terms.scope.free_text = true;
        get_token(w, grant, token);
        ask_resource(w, SLICE_REQUEST, token, &got);
        read_on(w, &got, SIZE_MAX);
        ok(text_append(&got.stream, "", 1));
        assert_null(strstr(got.stream.bytes, "\"kind\":\"note\""));
        assert_null(strstr(got.stream.bytes, "my breakfast"));
        closed(w, &got, true);
}

/* --- revocation --- */

static void revoke_it(World *w, Grant *grant, RedeemHandedOut *ret) {
        grant->policy.revoked = true;
        *ret = redeem_grant_dead(w->redeem, grant->id);
        ok(consent_begin(w->consent));
        ok(consent_grant_revoke(w->consent, grant->id, w->now.utc_ms / 1000));
        commit(w);
}

static void nothing_follows_a_revocation(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w), *undisturbed = grant_to(w, &w->other, claims_for(w));
        cleanup(freep) char *others = NULL;
        RedeemHandedOut handed_out;
        FrameBuffer out = {0};
        char token[44], bytes_in_log[64];
        Got cut, whole, got;
        size_t n;

        get_token(w, grant, token);
        ask_resource(w, SLICE_REQUEST, token, &cut);
        read_on(w, &cut, 2);
        n = cut.stream.n;

        /* another provider's stream goes on */
        others = proof(w, w->other_seed, "POST", "/token", NULL);
        ask_token_with(w, undisturbed, others, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        {
                cleanup(json_decrefp) json_t *json = json_loads(got.body, 0, NULL);
                const char *text = json_string_value(json_object_get(json, "access_token"));
                cleanup(freep) char *made = proof(w, w->other_seed, "GET", "/slice", text);

                ask_resource_with(w, SLICE_REQUEST, text, made, &whole);
        }

        revoke_it(w, grant, &handed_out);
        assert_int_equal(handed_out.n_streams_cut, 1);
        assert_int_equal(handed_out.n_bytes, n);
        ok(redeem_more(w->redeem, cut.request, w->now, &out));
        take_frames(w, &out, &cut);
        assert_int_equal(cut.stream.n, n);
        assert_false(cut.ended); /* no end mark */
        (void) snprintf(bytes_in_log, sizeof(bytes_in_log), "\"bytes\":%zu", n);
        closed(w, &cut, false);
        assert_int_equal(n_logged(w, "\"state\":\"cut\",\"by\":\"revoked\""), 1);
        assert_int_equal(n_logged(w, bytes_in_log), 1);

        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);

        read_on(w, &whole, SIZE_MAX);
        assert_true(whole.ended && whole.whole);
        closed(w, &whole, true);

        stop(w);
        (void) start(w);
        ask_token(w, grants_at(w->grants, 0), &got);
        ask_token(w, grants_at(w->grants, 0), &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_GRANT);
        assert_int_equal(n_logged(w, "\"reason\":\"revoked\""), 2);
}

/* Should someone forget to say that a grant is dead: the next chunk is a decision of its own. */
static void each_chunk_is_decided_anew(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        size_t n;
        Got got;

        get_token(w, grant, token);
        ask_resource(w, SLICE_REQUEST, token, &got);
        n = got.stream.n;
        w->now.utc_ms = grant->claims.terms.expires_s * 1000;
        w->now.local_ms = w->now.utc_ms + 7200000;
        read_on(w, &got, SIZE_MAX);
        assert_true(got.ended);
        assert_false(got.whole);
        assert_int_equal(got.stream.n, n);
        closed(w, &got, false);
        assert_int_equal(n_logged(w, "\"state\":\"cut\",\"by\":\"expired\""), 1);
}

static void a_recipient_that_goes_away_is_logged(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        Got got, other;

        get_token(w, grant, token);
        ask_resource(w, SLICE_REQUEST, token, &got);
        closed(w, &got, false);
        assert_int_equal(n_logged(w, "\"state\":\"cut\",\"by\":\"recipient\""), 1);
        ask_resource(w, SLICE_REQUEST, token, &got);
        ask_resource(w, SLICE_REQUEST, token, &other);
        ok(consent_begin(w->consent));
        ok(redeem_gate_gone(w->redeem, w->now));
        commit(w);
        assert_int_equal(n_logged(w, "\"state\":\"cut\",\"by\":\"gate\""), 2);
        text_done(&got.stream);
        text_done(&other.stream);
        ask_resource(w, SLICE_REQUEST, token, &got); /* tokens stay */
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
}

static void streams_have_a_limit(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        Got streams[REDEEM_STREAMS_MAX], got;
        char token[44];

        get_token(w, grant, token);
        for (size_t i = 0; i < N_ELEMENTS(streams); i++) {
                ask_resource(w, SLICE_REQUEST, token, &streams[i]);
                assert_int_equal(streams[i].error, FRAME_GATE_OK);
        }
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_UNAVAILABLE);
        closed(w, &streams[7], false);
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
        for (size_t i = 0; i < N_ELEMENTS(streams); i++)
                text_done(&streams[i].stream);
}

/* What the disk did not take has not happened. */
static void a_failed_commit_takes_everything_back(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        FrameGateRequest request = { .request = 900, .operation = FRAME_GATE_TOKEN, .flags = FRAME_GATE_HAS_CREDENTIAL | FRAME_GATE_HAS_PROOF };
        FrameGateRequest slice = SLICE_REQUEST;
        cleanup(freep) char *made = NULL, *resource = NULL;
        char token[44], lost[44];
        FrameBuffer out = {0};
        uint64_t size;
        size_t n;
        Got got;

        get_token(w, grant, token);
        size = consent_ledger_size(w->consent);
        made = proof(w, w->provider_seed, "POST", "/token", NULL);
        memcpy(request.credential, grant->assertion_sha256, 32);
        request.proof = made;
        request.n_proof = strlen(made);
        resource = proof(w, w->provider_seed, "GET", "/slice", token);
        slice.request = 901;
        slice.flags = FRAME_GATE_HAS_CREDENTIAL | FRAME_GATE_HAS_PROOF;
        ok(b64url_decode(slice.credential, 32, &n, token, strlen(token)));
        slice.proof = resource;
        slice.n_proof = strlen(resource);

        ok(consent_begin(w->consent));
        ok(redeem_request(w->redeem, &request, w->now, w->monotonic_ms, &out));
        memset(&got, 0, sizeof(got));
        got.request = request.request;
        take_frames(w, &out, &got);
        assert_int_equal(grant->policy.uses, 2);
        (void) snprintf(lost, sizeof(lost), "%.43s", strstr(got.body, "\":\"") + 3);
        ok(redeem_request(w->redeem, &slice, w->now, w->monotonic_ms, &out));
        frame_buffer_done(&out);
        consent_rollback(w->consent);
        redeem_abort(w->redeem);

        assert_int_equal(grant->policy.uses, 1);
        assert_int_equal(consent_ledger_size(w->consent), size);
        ask_resource(w, SLICE_REQUEST, lost, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        ok(redeem_more(w->redeem, 901, w->now, &out));
        assert_int_equal(out.n, 0);
        ask_resource(w, SLICE_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, false);
}

/* --- summaries --- */

static void a_summary_is_made_once_a_day(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44], first[4096];
        FrameGateRequest request;
        Got got, second;

        get_token(w, grant, token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_false(got.replied); /* put off */
        assert_true(redeem_has_work(w->redeem));
        ask_resource(w, SUMMARY_REQUEST, token, &second);
        closed(w, &second, false); /* that one went away meanwhile */
        work(w, &got);
        assert_true(got.replied);
        assert_int_equal(got.error, FRAME_GATE_OK);
        strcpy(first, got.body);
        assert_non_null(strstr(first, "\"readings\":5759,"));
        assert_non_null(strstr(first, "\"to\":\"2022-04-17\",\"days\":20,"));
        closed(w, &got, true);
        assert_int_equal(n_logged(w, "\"what\":\"summary\""), 2); /* its begin and its end */
        assert_int_equal(n_logged(w, "\"rows\":0"), 1);

        /* more data, the same day: the same answer, after a restart too */
        import(w, TODAY - N_DAYS - 10, TODAY - N_DAYS - 1, false);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_true(got.replied);
        assert_string_equal(got.body, first);
        closed(w, &got, true);
        stop(w);
        (void) start(w);
        get_token(w, grants_at(w->grants, 0), token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_string_equal(got.body, first);
        closed(w, &got, true);

        /* another grant of the same window, too: an import between the two reveals nothing */
        (void) new_grant(w);
        get_token(w, grants_at(w->grants, 1), token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_true(got.replied);
        assert_string_equal(got.body, first);
        closed(w, &got, true);

        /* no parameters */
        request = SUMMARY_REQUEST;
        request.flags = FRAME_GATE_HAS_FROM;
        request.from_day = TODAY - 5;
        ask_resource(w, request, token, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_REQUEST);

        /* the next day another one */
        w->now.utc_ms += POLICY_DAY_MS;
        w->now.local_ms += POLICY_DAY_MS;
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        work(w, &got);
        assert_string_not_equal(got.body, first);
        assert_non_null(strstr(got.body, "\"readings\":8639,"));
        closed(w, &got, true);
}

static void too_little_data_stays_too_little_for_the_day(void **state) {
        World *w = *state;
        GrantClaims claims = claims_for(w);
        char token[44];
        Grant *grant;
        Got got;

        claims.terms.scope.window = (PolicyWindow) { .type = POLICY_WINDOW_FIXED, .from_day = TODAY - 31, .to_day = TODAY - 19, .newer = false };
        grant = grant_to(w, &w->provider, claims);
        get_token(w, grant, token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        work(w, &got);
        assert_int_equal(got.error, FRAME_GATE_NOT_ENOUGH_DATA);
        import(w, TODAY - N_DAYS - 10, TODAY - N_DAYS - 1, false);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_int_equal(got.error, FRAME_GATE_NOT_ENOUGH_DATA);
        stop(w);
        (void) start(w);
        get_token(w, grants_at(w->grants, 0), token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        assert_true(got.replied);
        assert_int_equal(got.error, FRAME_GATE_NOT_ENOUGH_DATA);
        w->now.utc_ms += POLICY_DAY_MS;
        w->now.local_ms += POLICY_DAY_MS;
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        work(w, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        closed(w, &got, true);
}

static void a_revoked_grant_gets_no_summary_that_was_being_made(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        RedeemHandedOut handed_out;
        FrameBuffer out = {0};
        char token[44];
        Got got;

        get_token(w, grant, token);
        ask_resource(w, SUMMARY_REQUEST, token, &got);
        ok(consent_begin(w->consent));
        assert_int_equal(redeem_step(w->redeem, w->now, &out), 1);
        commit(w);
        assert_int_equal(out.n, 0);
        revoke_it(w, grant, &handed_out);
        work(w, &got);
        assert_int_equal(got.error, FRAME_GATE_INVALID_TOKEN);
        assert_string_equal(got.body, "");
        assert_int_equal(n_logged(w, "release-begun"), 0);
        closed(w, &got, false);
}

/* --- the ledger's growth --- */

static void refusals_are_counted_beyond_sixty_an_hour(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        char token[44];
        Got got;

        get_token(w, grant, token);
        for (unsigned i = 0; i < 100; i++) {
                cleanup(freep) char *made = proof(w, w->provider_seed, "GET", "/token", NULL);

                ask_token_with(w, grant, made, &got);
                assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
        }
        assert_int_equal(n_logged(w, "\"reason\":\"proof-target\""), REDEEM_REFUSALS_PER_HOUR);
        w->monotonic_ms += 3600000;
        ok(consent_begin(w->consent));
        ok(redeem_tick(w->redeem, w->now, w->monotonic_ms));
        commit(w);
        assert_int_equal(n_logged(w, "\"reason\":\"more\",\"count\":40"), 1);
}

static off_t ledger_bytes(World *w) {
        char path[64];
        struct stat st;

        /* closing writes the log back into the file */
        stop(w);
        w->consent = consent_close(w->consent);
        (void) snprintf(path, sizeof(path), "%s/consent.db", w->folder);
        ok(stat(path, &st));
        ok(consent_open(&w->consent, w->folder, w->keys[0], w->keys[1], "test/ledger"));
        (void) start(w);
        return st.st_size;
}

/* A day of a stranger that never stops, and of a provider that was let in and does what it may not. */
static void a_day_of_strangers_and_refusals_costs_less_than_a_mebibyte(void **state) {
        World *w = *state;
        Grant *grant = new_grant(w);
        cleanup(freep) char *foreign = proof(w, w->other_seed, "POST", "/token", NULL);
        off_t before = ledger_bytes(w), after;
        char token[44];
        Got got;

        grant = grants_at(w->grants, 0);
        for (unsigned second = 0; second < 86400; second += 20) {
                cleanup(freep) char *made = NULL;

                /* an hour shares a commit, for the sake of the disk */
                if (second % 3600 == 0)
                        ok(consent_begin(w->consent));
                w->now.utc_ms += 20000;
                w->now.local_ms += 20000;
                w->monotonic_ms += 20000;
                /* nonce kept fresh */
                if (second % 60 == 0) {
                        get_token(w, grant, token);
                        grant->policy.uses = 0;
                }
                made = proof(w, w->provider_seed, "GET", "/token", NULL);
                ask_token_with(w, grant, made, &got);
                assert_int_equal(got.error, FRAME_GATE_INVALID_DPOP_PROOF);
                ask_token_with(w, grant, foreign, &got);
                ok(consent_begin(w->consent));
                ok(redeem_strangers(w->redeem, 1000, w->now));
                if (second % 60 == 0)
                        ok(redeem_tick(w->redeem, w->now, w->monotonic_ms));
                commit(w);
                if (second % 3600 == 3580)
                        ok(consent_commit(w->consent));
        }
        after = ledger_bytes(w);
        print_message("a day: %lld bytes in %zu entries, of these redeemed %zu\n", (long long) (after - before), n_logged(w, "\"type\""),
                      n_logged(w, "\"redeemed\""));
        assert_true(after - before < 1 << 20);
}

/* --- loading --- */

static void an_altered_row_is_left_out(void **state) {
        World *w = *state;
        ConsentGrant row = {0};
        Grant *grant = new_grant(w);
        cleanup(freep) char *jwt = NULL;
        GrantClaims claims = claims_for(w);

        /* a grant signed by another wallet, and one that was signed for another provider's key, put into the database */
        memcpy(claims.provider_key, w->other.key, 32);
        ok(ed25519_public(claims.wallet_key, w->other_seed));
        jwk_thumbprint(claims.wallet_thumbprint, claims.wallet_key);
        jwk_thumbprint(claims.provider_thumbprint, claims.provider_key);
        strcpy(claims.subject, grant->claims.subject);
        random_id(claims.jti);
        ok(grant_sign(&jwt, &claims, w->other_seed));
        ok(consent_begin(w->consent));
        for (unsigned i = 0; i < 2; i++) {
                row = (ConsentGrant) { .provider = i == 0 ? w->provider.id : w->other.id, .policy = grant->policy, .issued_s = 1 };
                row.jwt = i == 0 ? jwt : NULL;
                memcpy(row.jti, claims.jti, sizeof(row.jti));
                if (i == 1) {
                        cleanup(freep) char *stolen = NULL;

                        claims = grant->claims;
                        random_id(claims.jti);
                        ok(grant_sign(&stolen, &claims, w->wallet_seed));
                        row.jwt = stolen;
                        memcpy(row.jti, claims.jti, sizeof(row.jti));
                        (void) crypto_hash_sha256(row.assertion_sha256, (const uint8_t *) stolen, strlen(stolen));
                        ok(consent_grant_add(w->consent, &row));
                        continue;
                }
                (void) crypto_hash_sha256(row.assertion_sha256, (const uint8_t *) jwt, strlen(jwt));
                ok(consent_grant_add(w->consent, &row));
        }
        ok(consent_commit(w->consent));
        stop(w);
        assert_int_equal(start(w), 2);
        assert_int_equal(grants_n(w->grants), 1);
}

static void a_grant_can_be_forgotten(void **state) {
        World *w = *state;
        Grant *a = new_grant(w), *b = new_grant(w), *c = new_grant(w);
        uint8_t hash[32];
        uint64_t id = b->id;

        memcpy(hash, b->assertion_sha256, 32);
        assert_ptr_equal(grants_by_assertion(w->grants, hash), b);
        grants_forget(w->grants, id);
        assert_null(grants_by_id(w->grants, id));
        assert_null(grants_by_assertion(w->grants, hash));
        assert_ptr_equal(grants_at(w->grants, 0), a);
        assert_ptr_equal(grants_at(w->grants, 1), c);
        assert_ptr_equal(grants_by_assertion(w->grants, c->assertion_sha256), c);
        assert_null(grants_at(w->grants, 2));
}

#define in_a_world(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void) {
        const struct CMUnitTest tests[] = {
                in_a_world(a_provider_gets_what_was_granted_and_nothing_else),
                in_a_world(csv_ends_with_a_trailer),
                in_a_world(without_identity_no_device_has_a_number),
                in_a_world(two_providers_cannot_join_what_they_got),
                in_a_world(another_key_gets_nothing),
                in_a_world(a_proof_by_the_right_key_that_embeds_another_is_refused),
                in_a_world(a_proof_is_used_once),
                in_a_world(a_proof_is_for_one_method_url_and_token),
                in_a_world(alg_none_and_others_are_refused),
                in_a_world(a_nonce_that_is_old_or_missing_is_asked_for_again),
                in_a_world(without_proof_or_assertion_there_is_nothing),
                in_a_world(a_grant_that_was_not_issued_here_does_not_exist),
                in_a_world(the_time_of_a_grant_is_kept),
                in_a_world(a_token_does_not_outlive_its_grant_or_ten_minutes),
                in_a_world(a_grant_has_sixteen_tokens_at_most),
                in_a_world(uses_are_counted_also_across_a_restart),
                in_a_world(parameters_only_narrow),
                in_a_world(a_summary_grant_gives_no_records),
                in_a_world(a_written_row_widens_nothing),
                in_a_world(nothing_follows_a_revocation),
                in_a_world(each_chunk_is_decided_anew),
                in_a_world(a_recipient_that_goes_away_is_logged),
                in_a_world(streams_have_a_limit),
                in_a_world(a_failed_commit_takes_everything_back),
                in_a_world(a_summary_is_made_once_a_day),
                in_a_world(too_little_data_stays_too_little_for_the_day),
                in_a_world(a_revoked_grant_gets_no_summary_that_was_being_made),
                in_a_world(refusals_are_counted_beyond_sixty_an_hour),
                in_a_world(a_day_of_strangers_and_refusals_costs_less_than_a_mebibyte),
                in_a_world(an_altered_row_is_left_out),
                in_a_world(a_grant_can_be_forgotten),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
