/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/workers/kdf/kdf.h"

#include <sys/mman.h>

static FrameKdfRequest request_of(uint32_t mode, uint32_t opslimit, uint64_t memlimit) {
        FrameKdfRequest request = {.version = FRAME_VERSION, .mode = mode, .opslimit = opslimit, .memlimit = memlimit};

        memset(request.salt, 's', sizeof(request.salt));
        return request;
}

static void assert_key(const Secret *key, const char *hex) {
        char found[65] = "";

        for (size_t i = 0; i < KDF_KEY_SIZE; i++)
                (void) snprintf(found + 2 * i, 3, "%02x", secret_data(key)[i]);
        assert_string_equal(found, hex);
}

/* By the reference implementation: printf %s PHRASE | argon2 SALT -id -t T -m LOG2(KiB) -p 1 -l 32 -r */
static void argon2id_gives_the_reference_implementation_s_answers(void **state) {
        static const struct {
                const char *phrase, *salt, *hex;
                uint32_t opslimit;
                uint64_t memlimit;
        } known[] = {
                {"correct horse", "ssssssssssssssss", "07a3476f4c4c72d7590532031096f700c8421a16fb78e5dfcbeaea50a6fbf02e", 3, UINT64_C(256) << 20},
                {"a second passphrase", "0123456789abcdef", "0e24e0a51cf4dec45f127ee3d7f95932088d55904c185fafc9b5d649e6bfe783", 1, UINT64_C(8) << 20},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(known); i++) {
                cleanup(secret_freep) Secret *phrase = secret_of(known[i].phrase, strlen(known[i].phrase)), *key = NULL;
                FrameKdfRequest request = request_of(FRAME_KDF_PASSPHRASE, known[i].opslimit, known[i].memlimit);
                uint32_t opslimit = 0;

                memcpy(request.salt, known[i].salt, sizeof(request.salt));
                assert_int_equal(kdf_derive(&request, phrase, &key, &opslimit), 0);
                assert_key(key, known[i].hex);
        }
}

/* Key by Python's hashlib.blake2b. */
static void a_credential_gives_its_key_and_must_have_32_bytes(void **state) {
        cleanup(secret_freep) Secret *credential = secret_of("abcdefghijklmnopqrstuvwxyz012345", 32), *shorter = secret_of("abc", 3), *key = NULL;
        FrameKdfRequest request = request_of(FRAME_KDF_CREDENTIAL, 0, 0);
        uint32_t opslimit = 9;

        (void) state;

        assert_int_equal(kdf_derive(&request, shorter, &key, &opslimit), KDF_E_CODE);
        assert_int_equal(kdf_derive(&request, credential, &key, &opslimit), 0);
        assert_int_equal(opslimit, 0);
        assert_key(key, "cdec2f82333755ea8cc5703c5f5512c0cb89f0f67f08ef008102bb69d3e2338e");
}

/* Key and code by Python's hashlib.blake2b and an independent base32: see test-recovery.c. */
static void a_recovery_code_gives_its_key_however_it_is_typed(void **state) {
        static const char *const typed[] = {"000GC-40R4Y-0M301-E209M-185G2-R38EE-1W810-24GKG", "000gc 40r4y 0m301 e209m 185g2 r38ee 1w810 24gkg\n"};
        FrameKdfRequest request = request_of(FRAME_KDF_RECOVERY, 0, 0);

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(typed); i++) {
                cleanup(secret_freep) Secret *phrase = secret_of(typed[i], strlen(typed[i])), *key = NULL;
                uint32_t opslimit = 9;

                assert_int_equal(kdf_derive(&request, phrase, &key, &opslimit), 0);
                assert_int_equal(opslimit, 0);
                assert_key(key, "289a6a580a09070545edf64a2347e6ac0d1cc7f22833c3fab0e6bc4ddecc261a");
        }
}

static void a_mistyped_recovery_code_gives_no_key(void **state) {
        cleanup(secret_freep) Secret *phrase = secret_of("correct horse", 13), *key = NULL;
        FrameKdfRequest request = request_of(FRAME_KDF_RECOVERY, 0, 0);
        uint32_t opslimit = 9;

        (void) state;

        assert_int_equal(kdf_derive(&request, phrase, &key, &opslimit), KDF_E_CODE);
        assert_null(key);
        assert_int_equal(opslimit, 9);
}

static void calibration_never_goes_below_what_was_asked_and_gives_the_same_key_as_its_result(void **state) {
        cleanup(secret_freep) Secret *phrase = secret_of("correct horse", 13), *key = NULL, *again = NULL;
        FrameKdfRequest request = request_of(FRAME_KDF_CALIBRATE, 2, UINT64_C(8) << 20);
        uint32_t opslimit = 0;

        (void) state;

        assert_int_equal(kdf_derive(&request, phrase, &key, &opslimit), 0);
        assert_in_range(opslimit, 2, KDF_CALIBRATED_OPSLIMIT_MAX);
        request.mode = FRAME_KDF_PASSPHRASE;
        request.opslimit = opslimit;
        assert_int_equal(kdf_derive(&request, phrase, &again, &opslimit), 0);
        assert_memory_equal(secret_data(key), secret_data(again), KDF_KEY_SIZE);
}

/* The worker's whole life over pipes: @ret_type of its one answer. */
static int run_worker(const FrameKdfRequest *request, int phrase_fd, uint32_t *ret_type, uint32_t *ret_value) {
        cleanup(frame_buffer_done) FrameBuffer out = {0}, in = {0};
        int to[2], from[2], r;
        const uint8_t *payload;
        size_t n_payload;

        assert_int_equal(pipe(to), 0);
        assert_int_equal(pipe(from), 0);
        assert_int_equal(frame_put_kdf_request(&out, request), 0);
        assert_int_equal(frame_write_all(&out, to[1]), 0);
        (void) close(to[1]);
        r = kdf_run(to[0], from[1], phrase_fd);
        (void) close(to[0]);
        (void) close(from[1]);
        if (r == 0) {
                assert_true(frame_read(&in, from[0]) > 0);
                assert_int_equal(frame_next(&in, ret_type, &payload, &n_payload), 0);
                if (*ret_type == FRAME_KDF_FAILED)
                        assert_int_equal(frame_get_u32(ret_value, payload, n_payload), 0);
                else
                        assert_int_equal(n_payload, FRAME_KDF_KEY_SIZE);
                assert_int_equal(frame_read(&in, from[0]), 0); /* one answer, then the end */
        }
        (void) close(from[0]);
        return r;
}

static void the_worker_answers_every_good_request_once(void **state) {
        cleanup(secret_freep) Secret *phrase = secret_of("correct horse", 13);
        FrameKdfRequest request = request_of(FRAME_KDF_PASSPHRASE, 1, UINT64_C(1) << 20);
        cleanup(close_fdp) int fd = -1, unsealed = memfd_create("test", MFD_CLOEXEC);
        uint32_t type = 0, value = 0;

        (void) state;

        assert_int_equal(secret_to_memfd(&fd, phrase, 13), 0);
        assert_int_equal(run_worker(&request, fd, &type, &value), 0);
        assert_int_equal(type, FRAME_KDF_KEY);

        assert_int_equal(run_worker(&request, unsealed, &type, &value), 0);
        assert_int_equal(type, FRAME_KDF_FAILED);
        assert_int_equal(value, FRAME_KDF_E_MEMFD);

        request = request_of(FRAME_KDF_RECOVERY, 0, 0);
        assert_int_equal(run_worker(&request, fd, &type, &value), 0);
        assert_int_equal(type, FRAME_KDF_FAILED);
        assert_int_equal(value, FRAME_KDF_E_CODE);
}

static void the_worker_answers_no_bad_request(void **state) {
        cleanup(secret_freep) Secret *phrase = secret_of("correct horse", 13);
        cleanup(close_fdp) int fd = -1;
        FrameKdfRequest request = request_of(FRAME_KDF_PASSPHRASE, 1, UINT64_C(5) << 30);
        uint32_t type, value;

        (void) state;

        assert_int_equal(secret_to_memfd(&fd, phrase, 13), 0);
        assert_int_equal(run_worker(&request, fd, &type, &value), -EBADMSG);
        request = request_of(FRAME_KDF_PASSPHRASE, 65, UINT64_C(1) << 20);
        assert_int_equal(run_worker(&request, fd, &type, &value), -EBADMSG);
        request = request_of(6, 1, UINT64_C(1) << 20);
        assert_int_equal(run_worker(&request, fd, &type, &value), -EBADMSG);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(argon2id_gives_the_reference_implementation_s_answers),
                cmocka_unit_test(a_credential_gives_its_key_and_must_have_32_bytes),
                cmocka_unit_test(a_recovery_code_gives_its_key_however_it_is_typed),
                cmocka_unit_test(a_mistyped_recovery_code_gives_no_key),
                cmocka_unit_test(calibration_never_goes_below_what_was_asked_and_gives_the_same_key_as_its_result),
                cmocka_unit_test(the_worker_answers_every_good_request_once),
                cmocka_unit_test(the_worker_answers_no_bad_request),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
