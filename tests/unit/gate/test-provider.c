/* SPDX-License-Identifier: Apache-2.0 */

/* The provider's key files and the end mark of slices. Redemption itself: tests/scenarios/gate/provider.py. */

#include "cli/provider/endmark.h"
#include "cli/provider/keyfile.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static char directory[] = "/tmp/cw-test-XXXXXX";

static char *path(const char *name) {
        static char text[64];

        (void) snprintf(text, sizeof(text), "%s/%s", directory, name);
        return text;
}

static size_t read_file(const char *name, uint8_t *ret, size_t n_max) {
        FILE *file = fopen(path(name), "rb");
        size_t n;

        assert_non_null(file);
        n = fread(ret, 1, n_max, file);
        (void) fclose(file);
        return n;
}

static Secret *secret(const char *text, size_t n) {
        Secret *ret = NULL;

        assert_int_equal(secret_new(&ret, n), 0);
        memcpy(secret_data(ret), text, n);
        return ret;
}

static void hex_of(char ret[static 65], const char *bytes, size_t n) {
        uint8_t hash[32];

        (void) crypto_hash_sha256(hash, (const uint8_t *) bytes, n);
        (void) sodium_bin2hex(ret, 65, hash, sizeof(hash));
}

/* in pieces of @step bytes */
static int feed(bool is_csv, const char *bytes, size_t n, size_t step, const char *trailer, uint64_t *ret_rows) {
        static EndMark mark;

        endmark_init(&mark, is_csv);
        for (size_t at = 0; at < n; at += step)
                endmark_feed(&mark, bytes + at, n - at < step ? n - at : step);
        return endmark_check(&mark, trailer, ret_rows);
}

static void a_slice_is_whole_however_its_bytes_arrive(void **state) {
        static const char lines[] = "{\"slice\":{}}\n{\"v\":1}\n{\"v\":2}\n";
        static const char table[] = "a,b\n1,2\n3,4\n5,6\n";
        char hex[65], slice[256], trailer[128];
        uint64_t rows;
        size_t n;

        (void) state;
        hex_of(hex, lines, strlen(lines));
        n = (size_t) snprintf(slice, sizeof(slice), "%s{\"end\":{\"rows\":2,\"sha256\":\"%s\",\"gaps\":{}}}\n", lines, hex);
        for (size_t step = 1; step <= n; step++) {
                rows = 0;
                assert_int_equal(feed(false, slice, n, step, NULL, &rows), 0);
                assert_int_equal(rows, 2);
        }
        for (size_t cut = 0; cut < n; cut++)
                assert_int_not_equal(feed(false, slice, cut, 7, NULL, &rows), 0);
        slice[20] ^= 1;
        assert_int_equal(feed(false, slice, n, 7, NULL, &rows), ENDMARK_E_MISMATCH);

        hex_of(hex, table, strlen(table));
        (void) snprintf(trailer, sizeof(trailer), "rows=3; sha256=%s", hex);
        for (size_t step = 1; step <= strlen(table); step++)
                assert_int_equal(feed(true, table, strlen(table), step, trailer, &rows), 0);
        assert_int_equal(rows, 3);
        assert_int_equal(feed(true, table, strlen(table) - 1, 3, trailer, &rows), ENDMARK_E_MISMATCH);
        assert_int_equal(feed(true, table, strlen(table), 3, NULL, &rows), ENDMARK_E_MISSING);
        trailer[5] = '4';
        assert_int_equal(feed(true, table, strlen(table), 3, trailer, &rows), ENDMARK_E_MISMATCH);
}

static void an_empty_slice_is_whole_when_it_says_so(void **state) {
        char hex[65], slice[256];
        uint64_t rows = 9;
        size_t n;

        (void) state;
        hex_of(hex, "", 0);
        n = (size_t) snprintf(slice, sizeof(slice), "{\"end\":{\"rows\":0,\"sha256\":\"%s\"}}\n", hex);
        assert_int_equal(feed(false, slice, n, n, NULL, &rows), 0);
        assert_int_equal(rows, 0);
        assert_int_equal(feed(false, "", 0, 1, NULL, &rows), ENDMARK_E_MISSING);
        assert_int_equal(feed(true, "", 0, 1, NULL, &rows), ENDMARK_E_MISSING);
}

static void a_line_may_have_64_kib_and_no_more(void **state) {
        static EndMark mark;
        static char line[ENDMARK_LINE_MAX + 1];
        uint64_t rows;

        (void) state;
        memset(line, 'x', sizeof(line));
        for (unsigned over = 0; over < 2; over++) {
                endmark_init(&mark, false);
                endmark_feed(&mark, line, ENDMARK_LINE_MAX - 1 + over);
                endmark_feed(&mark, "\n", 1);
                assert_int_equal(endmark_check(&mark, NULL, &rows), over ? ENDMARK_E_MISMATCH : ENDMARK_E_MISSING);
        }
}

static void a_key_comes_back_from_its_file(void **state) {
        cleanup(secret_freep) Secret *seed = secret("0123456789abcdef0123456789ABCDEF", 32), *again = NULL;
        uint8_t bytes[KEYFILE_MAX], public_key[32];
        size_t n;

        (void) state;
        assert_int_equal(keyfile_write(path("a.key"), seed, NULL, 0), 0);
        assert_int_equal(keyfile_write(path("a.key"), seed, NULL, 0), KEYFILE_E_EXISTS);
        n = read_file("a.key", bytes, sizeof(bytes));
        assert_false(keyfile_needs_passphrase(bytes, n));
        assert_int_equal(keyfile_open(&again, bytes, n, NULL, 0), 0);
        assert_memory_equal(secret_data(again), secret_data(seed), 32);
        assert_int_equal(keyfile_parse_public(public_key, bytes, n), 0);

        for (size_t i = 0; i < n; i++) { /* cut anywhere, or another public key: no key */
                cleanup(secret_freep) Secret *none = NULL;

                if (i < n - 1) /* without its line end it is whole */
                        assert_int_equal(keyfile_open(&none, bytes, i, NULL, 0), KEYFILE_E_FORMAT);
        }
        bytes[strlen("{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"")] ^= 2;
        assert_int_equal(keyfile_open(&again, bytes, n, NULL, 0), KEYFILE_E_FORMAT);
}

static void a_protected_key_opens_with_its_passphrase_only(void **state) {
        cleanup(secret_freep) Secret *seed = secret("0123456789abcdef0123456789ABCDEF", 32), *right = secret("right", 5),
                                     *wrong = secret("wrong", 5), *again = NULL;
        uint8_t bytes[KEYFILE_MAX];
        char *x;
        size_t n;

        (void) state;
        assert_int_equal(keyfile_write(path("b.key"), seed, right, 5), 0);
        n = read_file("b.key", bytes, sizeof(bytes) - 1);
        bytes[n] = '\0';
        assert_true(keyfile_needs_passphrase(bytes, n));
        assert_int_equal(keyfile_open(&again, bytes, n, NULL, 0), KEYFILE_E_PASSPHRASE);
        assert_int_equal(keyfile_open(&again, bytes, n, wrong, 5), KEYFILE_E_PASSPHRASE);
        assert_int_equal(keyfile_open(&again, bytes, n, right, 5), 0);
        assert_memory_equal(secret_data(again), secret_data(seed), 32);

        x = strstr((char *) bytes, "\"x\":\"");
        assert_non_null(x);
        x[5] = x[5] == 'A' ? 'B' : 'A'; /* the public key is authenticated with the box */
        assert_int_equal(keyfile_open(&again, bytes, n, right, 5), KEYFILE_E_PASSPHRASE);
}

static int make_directory(void **state) {
        (void) state;
        return mkdtemp(directory) ? 0 : -1;
}

static int remove_directory(void **state) {
        (void) state;
        (void) unlink(path("a.key"));
        (void) unlink(path("b.key"));
        return rmdir(directory);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(a_slice_is_whole_however_its_bytes_arrive),
                cmocka_unit_test(an_empty_slice_is_whole_when_it_says_so),
                cmocka_unit_test(a_line_may_have_64_kib_and_no_more),
                cmocka_unit_test(a_key_comes_back_from_its_file),
                cmocka_unit_test(a_protected_key_opens_with_its_passphrase_only),
        };

        if (sodium_init() < 0)
                return EXIT_FAILURE;
        return cmocka_run_group_tests(tests, make_directory, remove_directory);
}
