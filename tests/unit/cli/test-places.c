/* SPDX-License-Identifier: Apache-2.0 */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cli/places.h"

static char home[] = "/tmp/cw-places.XXXXXX";

static int begin(void **state) {
        (void) state;

        return mkdtemp(home) && setenv("HOME", home, 1) == 0 && setenv("XDG_RUNTIME_DIR", home, 1) == 0 ? 0 : -1;
}

static int end(void **state) {
        char command[64];

        (void) state;

        (void) snprintf(command, sizeof(command), "rm -rf %s", home);
        return system(command); /* NOLINT(cert-env33-c): our own path */
}

static void make(const char *path, bool is_socket) {
        struct sockaddr_un address = {.sun_family = AF_UNIX};
        cleanup(close_fdp) int fd = -1;
        char *slash;

        assert_true((size_t) snprintf(address.sun_path, sizeof(address.sun_path), "%s/%s", home, path) < sizeof(address.sun_path));
        for (slash = address.sun_path + sizeof(home); (slash = strchr(slash, '/')); slash++) {
                *slash = '\0';
                (void) mkdir(address.sun_path, 0700);
                *slash = '/';
        }
        fd = is_socket ? socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0) : open(address.sun_path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
        assert_true(fd >= 0);
        assert_true(!is_socket || bind(fd, (const struct sockaddr *) &address, sizeof(address)) == 0);
}

static void names_are_bounded(void **state) {
        static const char *const good[] = {"a", "0", "child", "anna-2", "a--", "default", "abcdefghijklmnopqrstuvwxyz012345"};
        static const char *const bad[] = {"", "-a", "Child", "a/b", "..", "a.b", "a@b", "a b", "\xc3\xa4", "abcdefghijklmnopqrstuvwxyz0123456"};

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(good); i++)
                assert_true(places_is_name(good[i]));
        for (size_t i = 0; i < N_ELEMENTS(bad); i++)
                assert_false(places_is_name(bad[i]));
}

static void each_wallet_has_a_socket_of_its_own(void **state) {
        char path[PLACES_PATH_SIZE], wanted[PLACES_PATH_SIZE];

        (void) state;

        assert_int_equal(places_socket(NULL, path), 0);
        (void) snprintf(wanted, sizeof(wanted), "%s/carewallet/socket", home);
        assert_string_equal(path, wanted);
        assert_int_equal(places_socket(PLACES_PLAIN, path), 0);
        assert_string_equal(path, wanted);
        assert_int_equal(places_socket("child", path), 0);
        (void) snprintf(wanted, sizeof(wanted), "%s/carewallet@child/socket", home);
        assert_string_equal(path, wanted);
}

static void a_path_that_is_too_long_is_none(void **state) {
        char runtime[PLACES_PATH_SIZE + 1], path[PLACES_PATH_SIZE];

        (void) state;

        memset(runtime, '/', PLACES_PATH_SIZE);
        for (size_t n = PLACES_PATH_SIZE - 19; n <= PLACES_PATH_SIZE - 17; n++) {
                runtime[n] = '\0';
                assert_int_equal(setenv("XDG_RUNTIME_DIR", runtime, 1), 0);
                assert_int_equal(places_socket(NULL, path), n < PLACES_PATH_SIZE - 18 ? 0 : PLACES_E_LONG); /* "/carewallet/socket" */
                runtime[n] = '/';
        }
        assert_int_equal(setenv("XDG_RUNTIME_DIR", home, 1), 0);
}

static void the_list_has_sockets_and_files_once_each_and_nothing_else(void **state) {
        static const char *const names[] = {PLACES_PLAIN, "both", "child", "files"};
        static Place places[PLACES_MAX];
        size_t n;

        (void) state;

        n = places_list(places);
        assert_int_equal(n, 0);

        make(".local/state/carewallet@files/slots", false);
        make(".local/state/carewallet@both/slots", false);
        make(".local/state/carewallet/cli/x", false); /* what the command line remembers is no wallet */
        make(".local/state/carewallet@Wrong/slots", false);
        make(".local/state/carewalleting/slots", false);
        make("carewallet@both/socket", true);
        make("carewallet@child/socket", true);
        make("carewallet@none/other", false);
        n = places_list(places);
        assert_int_equal(n, 3);
        for (size_t i = 0; i < n; i++)
                assert_string_equal(places[i].name, names[i + 1]);

        make("carewallet/socket", true);
        n = places_list(places);
        assert_int_equal(n, 4);
        for (size_t i = 0; i < n; i++)
                assert_string_equal(places[i].name, names[i]);
}

static void the_list_has_an_end(void **state) {
        static Place places[PLACES_MAX];

        (void) state;

        for (unsigned i = 0; i < PLACES_MAX + 2; i++) {
                char path[64];

                (void) snprintf(path, sizeof(path), ".local/state/carewallet@w%u/slots", i);
                make(path, false);
        }
        assert_int_equal(places_list(places), PLACES_MAX);
}

static void the_files_are_found_where_the_services_keep_them(void **state) {
        char dir[PLACES_PATH_SIZE], wanted[PLACES_PATH_SIZE];

        (void) state;

        assert_int_equal(places_state_dir("kept", dir), PLACES_E_NONE);
        make(".local/state/carewallet@kept/slots", false);
        assert_int_equal(places_state_dir("kept", dir), 0);
        (void) snprintf(wanted, sizeof(wanted), "%s/.local/state/carewallet@kept", home);
        assert_string_equal(dir, wanted);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(names_are_bounded),
                cmocka_unit_test(each_wallet_has_a_socket_of_its_own),
                cmocka_unit_test(a_path_that_is_too_long_is_none),
                cmocka_unit_test(the_list_has_sockets_and_files_once_each_and_nothing_else),
                cmocka_unit_test(the_list_has_an_end),
                cmocka_unit_test(the_files_are_found_where_the_services_keep_them),
        };

        return cmocka_run_group_tests(tests, begin, end);
}
