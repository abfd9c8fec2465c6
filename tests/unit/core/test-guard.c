/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <sys/wait.h>

#include "daemon/core/guard.h"

static const Peer alice = { .uid = 1000, .session = 50 }, alice_elsewhere = { .uid = 1000, .session = 51 }, bob = { .uid = 1001, .session = 50 };

static void a_passphrase_counts_in_its_session_and_for_fifteen_minutes(void **state) {
        Guard guard = { 0 };

        (void) state;
        assert_false(guard_permits(&guard, &alice, 1000));
        guard_passed(&guard, &alice, 1000);
        assert_true(guard_permits(&guard, &alice, 1000));
        assert_true(guard_permits(&guard, &alice, 1000 + GUARD_LIFE_MS - 1));
        assert_false(guard_permits(&guard, &alice, 1000 + GUARD_LIFE_MS));
        assert_false(guard_permits(&guard, &alice_elsewhere, 1000));
        assert_false(guard_permits(&guard, &bob, 1000));
}

static void a_peer_without_a_session_is_never_permitted(void **state) {
        const Peer nobody = { .uid = 1000, .session = -1 };
        Guard guard = { 0 };

        (void) state;
        guard_passed(&guard, &nobody, 0);
        assert_false(guard_permits(&guard, &nobody, 0));
}

static void giving_it_again_starts_the_time_anew(void **state) {
        Guard guard = { 0 };

        (void) state;
        guard_passed(&guard, &alice, 0);
        guard_passed(&guard, &alice, GUARD_LIFE_MS - 1);
        assert_true(guard_permits(&guard, &alice, GUARD_LIFE_MS));
        assert_int_equal(guard.n_sessions, 1);
}

static void the_oldest_session_makes_room(void **state) {
        Guard guard = { 0 };

        (void) state;
        for (int i = 0; i <= GUARD_SESSIONS_MAX; i++)
                guard_passed(&guard, &(Peer){ .uid = 1000, .session = 100 + i }, (uint64_t) i);
        assert_int_equal(guard.n_sessions, GUARD_SESSIONS_MAX);
        assert_false(guard_permits(&guard, &(Peer){ .uid = 1000, .session = 100 }, 100));
        for (int i = 1; i <= GUARD_SESSIONS_MAX; i++)
                assert_true(guard_permits(&guard, &(Peer){ .uid = 1000, .session = 100 + i }, 100));
}

static void each_wrong_try_of_a_session_waits_longer_up_to_a_limit(void **state) {
        uint64_t now = 0, last = 0;
        Guard guard = { 0 };

        (void) state;
        for (int i = 0; i < 20; i++) {
                uint64_t wait = guard_failed(&guard, &alice, now);

                assert_true(wait >= last && wait <= GUARD_DELAY_MAX_MS);
                assert_int_equal(guard_must_wait(&guard, &alice, now), wait);
                assert_int_equal(guard_must_wait(&guard, &alice, now + wait - 1), 1);
                assert_int_equal(guard_must_wait(&guard, &alice_elsewhere, now), 0);
                assert_int_equal(guard_must_wait(&guard, &alice, now + wait), 0);
                assert_int_equal(guard_must_wait(&guard, &bob, now), 0);
                last = wait;
                now += wait;
        }
        assert_int_equal(last, GUARD_DELAY_MAX_MS);
        guard_passed(&guard, &alice, now);
        assert_int_equal(guard_must_wait(&guard, &alice, now), 0);
        assert_int_equal(guard_failed(&guard, &alice, now), GUARD_DELAY_MIN_MS);
}

static void another_process_of_the_session_is_not_kept_waiting(void **state) {
        const Peer guesser = { .uid = 1000, .session = 50, .pid = 60 }, patient = { .uid = 1000, .session = 50, .pid = 61 };
        Guard guard = { 0 };

        (void) state;
        for (int i = 0; i < 10; i++)
                (void) guard_failed(&guard, &guesser, 0);
        assert_int_equal(guard_must_wait(&guard, &guesser, 0), GUARD_DELAY_MAX_MS);
        assert_int_equal(guard_must_wait(&guard, &patient, 0), 0);
}

static void a_session_that_ended_is_not_the_one_that_gets_its_number(void **state) {
        Guard guard = { 0 };
        Peer peer = { .uid = 1000 };

        (void) state;
        peer.session = fork();
        if (peer.session == 0) {
                (void) pause();
                _exit(0);
        }
        assert_true(peer.session > 0);
        guard_passed(&guard, &peer, 0);
        assert_true(guard_permits(&guard, &peer, 0));
        assert_return_code(kill(peer.session, SIGKILL), errno);
        assert_int_equal(waitpid(peer.session, NULL, 0), peer.session);
        assert_false(guard_permits(&guard, &peer, 0));
}

static void many_sessions_do_not_make_the_guard_forget_the_slowed_one(void **state) {
        Guard guard = { 0 };

        (void) state;
        for (int i = 0; i < 10; i++)
                (void) guard_failed(&guard, &alice, 0);
        for (uid_t i = 0; i < 100; i++)
                (void) guard_failed(&guard, &(Peer){ .uid = 2000, .session = 1 + (pid_t) i }, 0);
        assert_true(guard_must_wait(&guard, &alice, 0) > 0);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_passphrase_counts_in_its_session_and_for_fifteen_minutes),
                cmocka_unit_test(a_peer_without_a_session_is_never_permitted),
                cmocka_unit_test(giving_it_again_starts_the_time_anew),
                cmocka_unit_test(the_oldest_session_makes_room),
                cmocka_unit_test(each_wrong_try_of_a_session_waits_longer_up_to_a_limit),
                cmocka_unit_test(another_process_of_the_session_is_not_kept_waiting),
                cmocka_unit_test(a_session_that_ended_is_not_the_one_that_gets_its_number),
                cmocka_unit_test(many_sessions_do_not_make_the_guard_forget_the_slowed_one),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
