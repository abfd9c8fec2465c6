/* SPDX-License-Identifier: Apache-2.0 */

/* What the gate takes for a request, and what not; without sockets. The same with TLS around it: tests/scenarios/gate. */

#include "daemon/workers/gate/address.h"
#include "daemon/workers/gate/key.h"
#include "daemon/workers/gate/request.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <netinet/in.h>
#include <sodium.h>

#define TOKEN "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAE"

static RequestHead head;

static const RequestHead *get(const char *uri) {
        request_begin(&head, "GET", uri, "HTTP/1.1");
        request_header(&head, "authorization", "DPoP " TOKEN);
        request_header(&head, "DPOP", "a.b.c");
        request_headers_end(&head, 100);
        return &head;
}

static const RequestHead *post(const char *form) {
        char body[1024], length[24];

        (void) snprintf(body, sizeof(body), "%s", form);
        (void) snprintf(length, sizeof(length), "%zu", strlen(form));
        request_begin(&head, "POST", "/token", "HTTP/1.1");
        request_header(&head, "Content-Type", "Application/X-WWW-Form-Urlencoded ; charset=utf-8");
        request_header(&head, "Content-Length", length);
        request_headers_end(&head, 100);
        request_body(&head, body, strlen(form));
        return &head;
}

static void a_time_is_rfc_3339_with_a_zone(void **state) {
        static const struct {
                const char *text;
                int64_t utc_ms;
        } good[] = {
                {"1970-01-01T00:00:00Z", 0},
                {"2026-07-01T12:30:00.25Z", INT64_C(1782909000250)},
                {"2026-07-01t12:30:00.123456789z", INT64_C(1782909000123)},
                {"2026-07-01T14:30:00+02:00", INT64_C(1782909000000)},
                {"2026-07-01T07:00:00-05:30", INT64_C(1782909000000)},
                {"1969-12-31T23:59:59.999Z", -1},
                {"2016-12-31T23:59:60Z", INT64_C(1483228800000)},
        };
        static const char *const bad[] = {
                "", "2026-07-01", "2026-07-01T12:30:00", "2026-07-01 12:30:00Z", "2026-07-01T12:30Z", "2026-07-01T24:00:00Z",
                "2026-07-01T12:60:00Z", "2026-07-01T12:30:61Z", "2026-02-30T12:30:00Z", "2026-07-01T12:30:00.Z",
                "2026-07-01T12:30:00+0200", "2026-07-01T12:30:00+24:00", "2026-07-01T12:30:00Z ", "2026-07-01T12:30:00ZZ",
                "2026-07-01T12:30:00+02:0", "+026-07-01T12:30:00Z",
        };
        int64_t utc_ms;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(good); i++) {
                assert_true(request_parse_time(&utc_ms, good[i].text));
                assert_int_equal(utc_ms, good[i].utc_ms);
        }
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_false(request_parse_time(&utc_ms, bad[i]));
}

static void a_day_is_one_that_exists(void **state) {
        int32_t day;

        (void) state;
        assert_true(request_parse_day(&day, "2024-02-29"));
        assert_int_equal(day, 19782);
        assert_true(request_parse_day(&day, "1970-01-01"));
        assert_int_equal(day, 0);
        assert_false(request_parse_day(&day, "2023-02-29"));
        assert_false(request_parse_day(&day, "2023-00-01"));
        assert_false(request_parse_day(&day, "2023-01-01x"));
        assert_false(request_parse_day(&day, "2023-1-1"));
}

static void a_slice_takes_each_narrowing_parameter_once(void **state) {
        (void) state;
        get("/slice?kinds=cgm%2Cbolus&from=2026-01-01&to=2026-01-31&since=2026-01-05T00:00:00+01:00&format=csv");
        assert_null(head.refusal);
        assert_int_equal(head.frame.kinds, RECORD_KIND_BIT(RECORD_CGM) | RECORD_KIND_BIT(RECORD_BOLUS));
        assert_int_equal(head.frame.from_day, 20454);
        assert_int_equal(head.frame.to_day, 20484);
        assert_int_equal(head.frame.since_utc_ms, INT64_C(1767567600000));
        assert_int_equal(head.frame.format, FRAME_GATE_CSV);
        assert_int_equal(head.frame.flags, FRAME_GATE_HAS_FROM | FRAME_GATE_HAS_TO | FRAME_GATE_HAS_SINCE | FRAME_GATE_HAS_CREDENTIAL |
                                                   FRAME_GATE_HAS_PROOF);
        assert_int_equal(head.frame.credential[31], 1);
        assert_int_equal(get("/slice?kinds=cgm&kinds=cgm")->refusal->status, 400);
        assert_int_equal(get("/slice?Kinds=cgm")->refusal->status, 400);
        assert_int_equal(get("/slice?kind=cgm")->refusal->status, 400);
        assert_int_equal(get("/slice?kinds")->refusal->status, 400);
        assert_int_equal(get("/slice?=cgm")->refusal->status, 400);
        assert_int_equal(get("/slice?kinds=cgm&")->refusal->status, 400);
        assert_int_equal(get("/slice?kinds=cgm%00")->refusal->status, 400);
        assert_int_equal(get("/summary?kinds=cgm")->refusal->status, 400);
}

static void an_assertion_is_hashed_as_it_was_before_encoding(void **state) {
        uint8_t hash[32];

        (void) state;
        crypto_hash_sha256(hash, (const uint8_t *) "aZ0.b-_.c", 9);
        post("assertion=%61Z0.b-%5F.c&grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer&client_id=x");
        assert_null(head.refusal);
        assert_memory_equal(head.frame.credential, hash, 32);
        assert_int_equal(head.frame.flags, FRAME_GATE_HAS_CREDENTIAL);
        assert_string_equal(post("assertion=a.b.c&grant_type=password")->refusal->code, "unsupported_grant_type");
        assert_string_equal(post("assertion=a.b%2B.c&grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer")->refusal->code, "invalid_grant");
        assert_string_equal(post("grant_type=urn:ietf:params:oauth:grant-type:jwt-bearer")->refusal->code, "invalid_request");
        assert_string_equal(post("assertion=a.b.c")->refusal->code, "invalid_request");
        assert_string_equal(post("a=b")->refusal->code, "invalid_request");
        assert_string_equal(post("")->refusal->code, "invalid_request");
}

static void the_first_thing_that_is_wrong_is_the_answer(void **state) {
        (void) state;
        request_begin(&head, "POST", "/slice?format=xml", "HTTP/1.0");
        assert_int_equal(head.refusal->status, 505);
        request_header(&head, "DPoP", "x");
        request_headers_end(&head, 100000);
        assert_int_equal(head.refusal->status, 505);
        request_begin(&head, "POST", "/slice?format=xml", "HTTP/1.1");
        assert_int_equal(head.refusal->status, 405);
        assert_string_equal(head.allow, "GET");
}

static void lengths_are_refused_one_over_their_limit(void **state) {
        static char uri[REQUEST_URI_MAX + 2], proof[FRAME_GATE_PROOF_MAX + 2];
        char length[16];

        (void) state;
        memset(uri, 'a', sizeof(uri) - 1);
        uri[0] = '/';
        assert_int_equal(get(uri)->refusal->status, 414);
        uri[REQUEST_URI_MAX] = '\0';
        assert_int_equal(get(uri)->refusal->status, 404);

        memset(proof, 'a', sizeof(proof) - 1);
        proof[1] = proof[3] = '.';
        for (unsigned over = 0; over < 2; over++) {
                proof[FRAME_GATE_PROOF_MAX + over] = '\0';
                request_begin(&head, "GET", "/summary", "HTTP/1.1");
                request_header(&head, "Authorization", "DPoP " TOKEN);
                request_header(&head, "DPoP", proof);
                request_headers_end(&head, REQUEST_HEADERS_MAX);
                assert_int_equal(head.refusal != NULL, over);
                proof[FRAME_GATE_PROOF_MAX] = 'a';

                (void) snprintf(length, sizeof(length), "%u", REQUEST_BODY_MAX + over);
                request_begin(&head, "POST", "/token", "HTTP/1.1");
                request_header(&head, "Content-Type", "application/x-www-form-urlencoded");
                request_header(&head, "Content-Length", length);
                request_headers_end(&head, 0);
                assert_int_equal(head.refusal != NULL, over);
                assert_int_equal(request_reads_body(&head), !over);
        }
        request_begin(&head, "GET", "/summary", "HTTP/1.1");
        request_header(&head, "Authorization", "DPoP " TOKEN);
        request_headers_end(&head, REQUEST_HEADERS_MAX + 1);
        assert_int_equal(head.refusal->status, 431);
        request_begin(&head, "POST", "/token", "HTTP/1.1");
        request_header(&head, "Content-Length", "184467440737095516160000000000000000000001");
        assert_int_equal(head.refusal->status, 413);
}

static void the_most_specific_range_of_accept_counts(void **state) {
        static const struct {
                const char *accept;
                unsigned format; /* 0: not acceptable */
        } cases[] = {
                {"*/*", FRAME_GATE_NDJSON},
                {"text/*", FRAME_GATE_CSV},
                {"application/*;q=0.5, text/*", FRAME_GATE_CSV},
                {"application/x-ndjson;q=0, */*", FRAME_GATE_CSV},
                {"*/*, application/x-ndjson;q=0", FRAME_GATE_CSV},
                {"application/x-ndjson;q=0.2, application/*;q=1, text/csv;q=0.5", FRAME_GATE_CSV},
                {"text/csv;q=0.1, */*;q=0.9", FRAME_GATE_NDJSON},
                {"text/*;q=0, */*;q=0.1", FRAME_GATE_NDJSON},
                {"text/csv;q=0, application/*;q=0, */*", 0},
                {"application/json", 0},
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                request_begin(&head, "GET", "/slice", "HTTP/1.1");
                request_header(&head, "Authorization", "DPoP " TOKEN);
                request_header(&head, "DPoP", "a.b.c");
                request_header(&head, "Accept", cases[i].accept);
                request_headers_end(&head, 0);
                assert_int_equal(head.refusal != NULL, cases[i].format == 0);
                if (cases[i].format == 0)
                        assert_int_equal(head.refusal->status, 406);
                else
                        assert_int_equal(head.frame.format, cases[i].format);
        }
}

static void a_peer_is_an_ipv4_address_or_an_ipv6_site(void **state) {
        struct sockaddr_storage a, b, mapped;
        uint8_t peer_a[ADDRESS_PEER_SIZE], peer_b[ADDRESS_PEER_SIZE];
        socklen_t n;

        (void) state;
        assert_int_equal(address_parse(&a, &n, "192.0.2.1:1"), 0);
        assert_int_equal(address_parse(&b, &n, "192.0.2.2:1"), 0);
        assert_int_equal(address_parse(&mapped, &n, "[::ffff:192.0.2.1]:1"), 0);
        assert_false(address_peer(peer_a, (struct sockaddr *) &a));
        assert_false(address_peer(peer_b, (struct sockaddr *) &b));
        assert_memory_not_equal(peer_a, peer_b, sizeof(peer_a));
        assert_false(address_peer(peer_b, (struct sockaddr *) &mapped));
        assert_memory_equal(peer_a, peer_b, sizeof(peer_a));

        assert_int_equal(address_parse(&a, &n, "[2001:db8:1:2::1]:0"), 0);
        assert_int_equal(address_parse(&b, &n, "[2001:db8:1:2:3:4:5:6]:65535"), 0);
        assert_false(address_peer(peer_a, (struct sockaddr *) &a));
        assert_false(address_peer(peer_b, (struct sockaddr *) &b));
        assert_memory_equal(peer_a, peer_b, sizeof(peer_a));

        assert_int_equal(address_parse(&a, &n, "127.1.2.3:1"), 0);
        assert_true(address_peer(peer_a, (struct sockaddr *) &a));
        assert_int_equal(address_parse(&a, &n, "[::1]:1"), 0);
        assert_true(address_peer(peer_a, (struct sockaddr *) &a));
}

static void an_address_is_numeric(void **state) {
        static const char *const bad[] = {"", ":", ":1", "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "1.2.3.4:000001", "1.2.3:1", "localhost:1",
                                          "::1:1", "[::1]", "[::1]:", "[::1:1", "[]:1", "[1.2.3.4]:1", "1.2.3.4:1 ", "1.2.3.4:+1",
                                          "[fe80::1%eth0]:1", "[0000:0000:0000:0000:0000:0000:0000:00001]:123456789"};
        struct sockaddr_storage address;
        socklen_t n;

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(address_parse(&address, &n, bad[i]), ADDRESS_E_FORMAT);
}

static void a_key_is_made_with_its_certificate_and_pin(void **state) {
        static const uint8_t zeros[32];
        cleanup(key_done) Key key = {0};

        (void) state;
        assert_int_equal(key_make(&key), 0);
        assert_ptr_equal(strstr(key.key_pem, "-----BEGIN PRIVATE KEY-----"), key.key_pem);
        assert_ptr_equal(strstr(key.certificate_pem, "-----BEGIN CERTIFICATE-----"), key.certificate_pem);
        assert_memory_not_equal(key.spki_sha256, zeros, 32);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_time_is_rfc_3339_with_a_zone),
                cmocka_unit_test(a_day_is_one_that_exists),
                cmocka_unit_test(a_slice_takes_each_narrowing_parameter_once),
                cmocka_unit_test(an_assertion_is_hashed_as_it_was_before_encoding),
                cmocka_unit_test(the_first_thing_that_is_wrong_is_the_answer),
                cmocka_unit_test(lengths_are_refused_one_over_their_limit),
                cmocka_unit_test(the_most_specific_range_of_accept_counts),
                cmocka_unit_test(a_peer_is_an_ipv4_address_or_an_ipv6_site),
                cmocka_unit_test(an_address_is_numeric),
                cmocka_unit_test(a_key_is_made_with_its_certificate_and_pin),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, NULL, NULL);
}
