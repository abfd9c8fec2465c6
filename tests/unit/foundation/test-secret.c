/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include <sys/mman.h>

static int memfd_with(size_t n, int seals) {
        static const uint8_t bytes[SECRET_MEMFD_MAX + 1] = "phrase";
        int fd = memfd_create("test", MFD_CLOEXEC | MFD_ALLOW_SEALING);

        assert_true(fd >= 0);
        assert_int_equal(write(fd, bytes, n), (ssize_t) n);
        assert_int_equal(fcntl(fd, F_ADD_SEALS, seals), 0);
        return fd;
}

static const int all_seals = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK;

static void a_secret_begins_as_zeros(void **state) {
        cleanup(secret_freep) Secret *secret = NULL;
        static const uint8_t zeros[100];

        (void) state;

        assert_int_equal(secret_new(&secret, sizeof(zeros)), 0);
        assert_int_equal(secret_size(secret), sizeof(zeros));
        assert_memory_equal(secret_data(secret), zeros, sizeof(zeros));
        assert_null(secret_free(NULL));
}

static void a_secret_comes_through_a_memfd(void **state) {
        cleanup(secret_freep) Secret *secret = secret_of("correct horse\n", 14), *back = NULL;
        cleanup(close_fdp) int fd = -1;

        (void) state;

        assert_int_equal(secret_to_memfd(&fd, secret, 13), 0);
        assert_int_equal(write(fd, "x", 1), -1);
        assert_int_equal(lseek(fd, 5, SEEK_SET), 5); /* where the writer left it does not matter */
        assert_int_equal(secret_read_memfd(&back, fd), 0);
        assert_int_equal(secret_size(back), 13);
        assert_memory_equal(secret_data(back), "correct horse", 13);
}

static void only_a_sealed_memfd_of_the_right_size_is_read(void **state) {
        static const struct {
                size_t n;
                int seals;
                int expected;
        } cases[] = {
                {1, all_seals, 0},
                {SECRET_MEMFD_MAX, all_seals, 0},
                {0, all_seals, SECRET_E_MEMFD},
                {SECRET_MEMFD_MAX + 1, all_seals, SECRET_E_MEMFD},
                {6, 0, SECRET_E_MEMFD},
                {6, F_SEAL_GROW | F_SEAL_SHRINK, SECRET_E_MEMFD},
                {6, F_SEAL_WRITE | F_SEAL_SHRINK, SECRET_E_MEMFD},
                {6, F_SEAL_WRITE | F_SEAL_GROW, SECRET_E_MEMFD},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                cleanup(secret_freep) Secret *secret = NULL;
                cleanup(close_fdp) int fd = memfd_with(cases[i].n, cases[i].seals);

                assert_int_equal(secret_read_memfd(&secret, fd), cases[i].expected);
                assert_int_equal(secret != NULL, cases[i].expected == 0);
        }
}

static void another_sort_of_descriptor_is_not_read(void **state) {
        cleanup(secret_freep) Secret *secret = NULL;
        int pipe_fds[2];

        (void) state;

        assert_int_equal(pipe(pipe_fds), 0);
        assert_int_equal(secret_read_memfd(&secret, pipe_fds[0]), SECRET_E_MEMFD);
        (void) close(pipe_fds[0]);
        (void) close(pipe_fds[1]);
        assert_int_equal(secret_read_memfd(&secret, pipe_fds[0]), SECRET_E_MEMFD);
        assert_null(secret);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_secret_begins_as_zeros),
                cmocka_unit_test(a_secret_comes_through_a_memfd),
                cmocka_unit_test(only_a_sealed_memfd_of_the_right_size_is_read),
                cmocka_unit_test(another_sort_of_descriptor_is_not_read),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
