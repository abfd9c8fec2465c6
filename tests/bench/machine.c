/* SPDX-License-Identifier: Apache-2.0 */

/*
 * What this machine can do, beside which the programs' figures are read: Ed25519, durable appends, durable commits.
 * usage: bench-machine DIR; one JSON object on stdout. DIR is on the disk that the wallet is on.
 */

#include <errno.h>
#include <fcntl.h>
#include <sodium.h>
#include <sqlite3.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
        N_SIGNATURES = 4000,
        N_APPENDS = 600,
        N_COMMITS = 600,
        APPEND_SIZE = 4096,
};

static double now_s(void) {
        struct timespec t;

        (void) clock_gettime(CLOCK_MONOTONIC, &t);
        return (double) t.tv_sec + (double) t.tv_nsec / 1e9;
}

static int signatures(double *ret_sign, double *ret_verify) {
        static uint8_t message[600]; /* about a DPoP proof */
        uint8_t public_key[crypto_sign_PUBLICKEYBYTES], secret_key[crypto_sign_SECRETKEYBYTES], signature[crypto_sign_BYTES];
        double begin;

        (void) crypto_sign_keypair(public_key, secret_key); /* of nobody */
        begin = now_s();
        for (unsigned i = 0; i < N_SIGNATURES; i++)
                (void) crypto_sign_detached(signature, NULL, message, sizeof(message), secret_key);
        *ret_sign = N_SIGNATURES / (now_s() - begin);

        begin = now_s();
        for (unsigned i = 0; i < N_SIGNATURES; i++)
                if (crypto_sign_verify_detached(signature, message, sizeof(message), public_key) < 0)
                        return -1;
        *ret_verify = N_SIGNATURES / (now_s() - begin);
        return 0;
}

static int appends(double *ret_appends) {
        static const uint8_t block[APPEND_SIZE];
        int fd = open("bench-append", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        double begin = now_s();

        if (fd < 0)
                return -1;
        for (unsigned i = 0; i < N_APPENDS; i++)
                if (write(fd, block, sizeof(block)) != (ssize_t) sizeof(block) || fdatasync(fd) < 0) {
                        (void) close(fd);
                        return -1;
                }
        *ret_appends = N_APPENDS / (now_s() - begin);
        (void) close(fd);
        return unlink("bench-append");
}

static int commits(double *ret_commits) {
        sqlite3 *db = NULL;
        double begin;
        int r = -1;

        if (sqlite3_open("bench-commit", &db) != SQLITE_OK ||
            sqlite3_exec(db, "PRAGMA key=\"x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'\";"
                             "PRAGMA cipher_page_size=4096; PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL;"
                             "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB)", NULL, NULL, NULL) != SQLITE_OK)
                goto end;
        begin = now_s();
        for (unsigned i = 0; i < N_COMMITS; i++)
                if (sqlite3_exec(db, "INSERT INTO t(b) VALUES(zeroblob(200))", NULL, NULL, NULL) != SQLITE_OK)
                        goto end;
        *ret_commits = N_COMMITS / (now_s() - begin);
        r = 0;
end:
        (void) sqlite3_close(db);
        (void) unlink("bench-commit");
        return r;
}

int main(int argc, char **argv) {
        double sign, verify, append, commit;

        if (argc != 2 || chdir(argv[1]) < 0 || sodium_init() < 0) {
                fprintf(stderr, "usage: bench-machine DIR\n");
                return EXIT_FAILURE;
        }
        if (signatures(&sign, &verify) < 0 || appends(&append) < 0 || commits(&commit) < 0) {
                fprintf(stderr, "bench-machine: %s\n", strerror(errno));
                return EXIT_FAILURE;
        }
        printf("{\"sign_per_s\":%.0f,\"verify_per_s\":%.0f,\"fdatasync_per_s\":%.0f,\"commit_per_s\":%.0f}\n", sign, verify, append, commit);
        return EXIT_SUCCESS;
}
