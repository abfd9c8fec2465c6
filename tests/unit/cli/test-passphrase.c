/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>

#include "cli/passphrase.h"

static int read_from(const char *bytes, size_t n, Secret **ret, size_t *ret_n) {
        int pipes[2], r;

        assert_int_equal(pipe2(pipes, O_CLOEXEC), 0);
        assert_int_equal(write(pipes[1], bytes, n), n);
        (void) close_fd(pipes[1]);
        r = passphrase_read(pipes[0], ret, ret_n);
        (void) close_fd(pipes[0]);
        return r;
}

static void one_line_end_does_not_count(void **state) {
        static const struct {
                const char *bytes;
                size_t n, n_left;
        } cases[] = {
                {"horse", 5, 5},
                {"horse\n", 6, 5},
                {"horse\n\n", 7, 6},
                {" horse ", 7, 7},
                {"ho\nrse", 6, 6},
                {"ho\0rse\n", 7, 6},
                {"\n\n", 2, 1},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                cleanup(secret_freep) Secret *secret = NULL;
                size_t n = 0;

                assert_int_equal(read_from(cases[i].bytes, cases[i].n, &secret, &n), 0);
                assert_int_equal(n, cases[i].n_left);
                assert_memory_equal(secret_data(secret), cases[i].bytes, n);
        }
}

static void nothing_is_no_passphrase(void **state) {
        Secret *secret = NULL;
        size_t n;

        (void) state;

        assert_int_equal(read_from("", 0, &secret, &n), PASSPHRASE_E_EMPTY);
        assert_int_equal(read_from("\n", 1, &secret, &n), PASSPHRASE_E_EMPTY);
        assert_int_equal(passphrase_read(-1, &secret, &n), -EBADF);
        assert_null(secret);
}

static void a_passphrase_may_be_as_long_as_the_limit_and_no_longer(void **state) {
        static char bytes[SECRET_MEMFD_MAX + 8];

        (void) state;

        for (size_t excess = 0; excess <= 4; excess++) {
                cleanup(secret_freep) Secret *secret = NULL;
                size_t n = 0;

                memset(bytes, 'x', sizeof(bytes));
                bytes[SECRET_MEMFD_MAX + excess] = '\n';
                assert_int_equal(read_from(bytes, SECRET_MEMFD_MAX + excess + 1, &secret, &n), excess == 0 ? 0 : PASSPHRASE_E_LONG);
                assert_int_equal(n, excess == 0 ? SECRET_MEMFD_MAX : 0);
        }
}

static void it_goes_into_a_memfd_whole(void **state) {
        cleanup(secret_freep) Secret *secret = NULL, *back = NULL;
        cleanup(close_fdp) int fd = -1;
        size_t n;

        (void) state;

        assert_int_equal(read_from("correct horse\n", 14, &secret, &n), 0);
        assert_int_equal(secret_to_memfd(&fd, secret, n), 0);
        assert_int_equal(secret_read_memfd(&back, fd), 0);
        assert_int_equal(secret_size(back), 13);
        assert_memory_equal(secret_data(back), "correct horse", 13);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(one_line_end_does_not_count),
                cmocka_unit_test(nothing_is_no_passphrase),
                cmocka_unit_test(a_passphrase_may_be_as_long_as_the_limit_and_no_longer),
                cmocka_unit_test(it_goes_into_a_memfd_whole),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
