/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sodium.h>

#include "daemon/core/guard.h"
#include "daemon/core/totp.h"

static const uint8_t rfc_secret[TOTP_SECRET_SIZE] = "12345678901234567890";

/* RFC 6238 appendix B, the rows of SHA-1: eight digits there, of which a phone shows the last six. */
static void the_vectors_of_rfc_6238_come_out(void **state) {
        static const struct {
                int64_t time_s;
                uint32_t digits;
        } known[] = {
                { 59, 94287082 }, { 1111111109, 7081804 }, { 1111111111, 14050471 }, { 1234567890, 89005924 }, { 2000000000, 69279037 }, { 20000000000, 65353130 },
        };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(known); i++)
                assert_int_equal(totp_number(rfc_secret, sizeof(rfc_secret), (uint64_t) known[i].time_s / TOTP_STEP_S) % 100000000, known[i].digits);
}

/* RFC 4226 appendix D */
static void the_vectors_of_rfc_4226_come_out(void **state) {
        static const uint32_t known[] = { 755224, 287082, 359152, 969429, 338314, 254676, 287922, 162583, 399871, 520489 };

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(known); i++)
                assert_int_equal(totp_number(rfc_secret, sizeof(rfc_secret), i) % 1000000, known[i]);
}

static Totp enrolled(void) {
        Totp totp;

        assert_int_equal(totp_make(&totp), 0);
        memcpy(secret_data(totp.secret), rfc_secret, sizeof(rfc_secret));
        return totp;
}

static int take(Totp *totp, const char *text, int64_t now_s, bool digits, bool *ret_one_time) {
        uint8_t hash[CODE_HASH_SIZE];
        char code[CODE_TEXT_SIZE];

        assert_int_equal(code_read(code, text, strlen(text)), 0);
        code_hash(hash, totp->salt, code);
        return totp_take(totp, hash, now_s, digits, ret_one_time);
}

static void a_code_counts_one_step_early_or_late_and_no_further(void **state) {
        const int64_t step_9 = 9 * TOTP_STEP_S; /* 520489 */

        (void) state;
        for (int64_t now_s = step_9 - 2 * TOTP_STEP_S; now_s < step_9 + 3 * TOTP_STEP_S; now_s++) {
                cleanup(totp_done) Totp totp = enrolled();
                bool near = now_s >= step_9 - TOTP_STEP_S && now_s < step_9 + 2 * TOTP_STEP_S;

                assert_int_equal(take(&totp, "520489", now_s, true, NULL), near ? 0 : TOTP_E_WRONG);
        }
}

static void a_code_counts_once_and_none_of_an_earlier_step_after_it(void **state) {
        cleanup(totp_done) Totp totp = enrolled();
        bool one_time = true;

        (void) state;
        assert_int_equal(take(&totp, "399 871", 8 * TOTP_STEP_S, true, &one_time), 0);
        assert_false(one_time);
        assert_int_equal(totp.last_step, 8);
        assert_int_equal(take(&totp, "399871", 8 * TOTP_STEP_S, true, NULL), TOTP_E_WRONG);
        assert_int_equal(take(&totp, "162583", 8 * TOTP_STEP_S, true, NULL), TOTP_E_WRONG); /* step 7 */
        assert_int_equal(take(&totp, "520489", 8 * TOTP_STEP_S, true, NULL), 0);            /* step 9 */
        assert_int_equal(take(&totp, "399871", -5, true, NULL), TOTP_E_WRONG);
}

static void a_one_time_code_counts_once_also_while_codes_of_the_phone_wait(void **state) {
        cleanup(totp_done) Totp totp = enrolled();
        cleanup(secret_freep) Secret *shown = NULL;
        char first[CODE_SHOWN_SIZE] = "", last[CODE_SHOWN_SIZE] = "";
        bool one_time = false;

        (void) state;
        assert_int_equal(totp_make_codes(&totp, &shown), 0);
        assert_int_equal(strlen((const char *) secret_data(shown)), TOTP_N_CODES * CODE_SHOWN_SIZE);
        memcpy(first, secret_data(shown), CODE_SHOWN_SIZE - 1);
        memcpy(last, secret_data(shown) + (TOTP_N_CODES - 1) * CODE_SHOWN_SIZE, CODE_SHOWN_SIZE - 1);
        assert_int_equal(take(&totp, "399871", 8 * TOTP_STEP_S, false, NULL), TOTP_E_WRONG);
        assert_int_equal(take(&totp, first, 8 * TOTP_STEP_S, false, &one_time), 0);
        assert_true(one_time);
        assert_int_equal(totp.n_codes, TOTP_N_CODES - 1);
        assert_int_equal(take(&totp, first, 8 * TOTP_STEP_S, false, NULL), TOTP_E_WRONG);
        assert_int_equal(take(&totp, last, 0, true, NULL), 0);
        assert_int_equal(totp.last_step, 0);
        shown = secret_free(shown);
        assert_int_equal(totp_make_codes(&totp, &shown), 0); /* the others are void */
        assert_int_equal(totp.n_codes, TOTP_N_CODES);
}

static void the_phone_gets_what_it_understands(void **state) {
        cleanup(totp_done) Totp totp = enrolled();
        cleanup(secret_freep) Secret *uri = NULL;

        (void) state;
        assert_int_equal(totp_uri(&totp, "abc", &uri), 0);
        assert_string_equal((const char *) secret_data(uri), "otpauth://totp/carewallet:abc?issuer=carewallet&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
}

static void what_is_typed_is_read_and_what_is_no_code_is_not(void **state) {
        static const char *const good[][2] = { { " 123-456\n", "123456" }, { "abcde-fgh1k", "ABCDEFGH1K" }, { "olI23 45678", "0112345678" } };
        static const char *const bad[] = { "", "12345", "1234567", "12a456", "ABCDEFGHJ", "ABCDEFGHJKM", "ABCDE-FGHJU", "123456\0" };
        char code[CODE_TEXT_SIZE] = "kept";

        (void) state;
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_int_equal(code_read(code, bad[i], i == N_ELEMENTS(bad) - 1 ? 7 : strlen(bad[i])), CODE_E_FORMAT);
        assert_string_equal(code, "kept");
        for (size_t i = 0; i < N_ELEMENTS(good); i++) {
                assert_int_equal(code_read(code, good[i][0], strlen(good[i][0])), 0);
                assert_string_equal(code, good[i][1]);
        }
}

static void a_code_lets_one_call_pass_on_its_connection(void **state) {
        const Peer peer = { .uid = 1000, .session = 5, .connection = 7 }, other = { .uid = 1000, .session = 5, .connection = 8 };
        Guard guard = { 0 };

        (void) state;
        assert_false(guard_code_take(&guard, &peer, 10));
        guard_code_passed(&guard, &peer, 10);
        assert_false(guard_code_take(&guard, &other, 10));
        assert_true(guard_code_take(&guard, &peer, 10));
        assert_false(guard_code_take(&guard, &peer, 10));
        guard_code_passed(&guard, &peer, 10);
        assert_false(guard_code_take(&guard, &peer, 10 + GUARD_CODE_LIFE_MS));
}

static void wrong_codes_slow_everybody_down_up_to_an_hour(void **state) {
        const Peer peer = { .uid = 1000, .session = 5, .connection = 7 };
        uint64_t now_ms = 0, wait_ms = 0;
        Guard guard = { 0 };

        (void) state;
        for (int i = 0; i < 30; i++) {
                uint64_t before_ms = wait_ms;

                assert_int_equal(guard_code_must_wait(&guard, now_ms), 0);
                wait_ms = guard_code_failed(&guard, now_ms);
                assert_true(wait_ms >= before_ms);
                assert_int_equal(guard_code_must_wait(&guard, now_ms + wait_ms - 1), 1);
                now_ms += wait_ms;
        }
        assert_int_equal(wait_ms, GUARD_CODE_DELAY_MAX_MS);
        (void) guard_code_failed(&guard, now_ms);
        guard_code_passed(&guard, &peer, now_ms);
        assert_int_equal(guard_code_must_wait(&guard, now_ms), 0);
        assert_int_equal(guard_code_failed(&guard, now_ms), GUARD_DELAY_MIN_MS);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(the_vectors_of_rfc_6238_come_out),
                cmocka_unit_test(the_vectors_of_rfc_4226_come_out),
                cmocka_unit_test(a_code_counts_one_step_early_or_late_and_no_further),
                cmocka_unit_test(a_code_counts_once_and_none_of_an_earlier_step_after_it),
                cmocka_unit_test(a_one_time_code_counts_once_also_while_codes_of_the_phone_wait),
                cmocka_unit_test(the_phone_gets_what_it_understands),
                cmocka_unit_test(what_is_typed_is_read_and_what_is_no_code_is_not),
                cmocka_unit_test(a_code_lets_one_call_pass_on_its_connection),
                cmocka_unit_test(wrong_codes_slow_everybody_down_up_to_an_hour),
        };

        return sodium_init() < 0 ? 1 : cmocka_run_group_tests(tests, NULL, NULL);
}
