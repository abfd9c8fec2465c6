/* SPDX-License-Identifier: Apache-2.0 */

#include "kdf.h"

#include "daemon/common/code.h"
#include "daemon/common/recovery.h"
#include "daemon/common/slots.h"

#include <sodium.h>
#include <time.h>

static int argon2id(uint8_t key[static KDF_KEY_SIZE], const FrameKdfRequest *request, uint32_t opslimit, const Secret *phrase) {
        static_assert(sizeof(request->salt) == crypto_pwhash_SALTBYTES, "salt in the frame");

        /* in libsodium this fails for lack of memory only: the limits have been checked */
        if (crypto_pwhash(key, KDF_KEY_SIZE, (const char *) secret_data(phrase), secret_size(phrase), request->salt,
                          opslimit, (size_t) request->memlimit, crypto_pwhash_ALG_ARGON2ID13) < 0)
                return -ENOMEM;
        return 0;
}

static int64_t now_ms(void) {
        struct timespec now;

        if (clock_gettime(CLOCK_MONOTONIC, &now) < 0)
                return 0;
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Argon2's time grows linearly with its passes: one measurement is enough. */
static int calibrate(uint8_t key[static KDF_KEY_SIZE], const FrameKdfRequest *request, const Secret *phrase,
                     uint32_t *ret_opslimit) {
        int64_t begin_ms = now_ms(), took_ms, scaled;
        uint32_t opslimit = request->opslimit;
        int r;

        r = argon2id(key, request, opslimit, phrase);
        if (r < 0)
                return r;
        took_ms = now_ms() - begin_ms;
        if (took_ms < 1)
                took_ms = 1;

        scaled = (int64_t) opslimit * KDF_CALIBRATED_MS / took_ms;
        if (scaled > KDF_CALIBRATED_OPSLIMIT_MAX)
                scaled = KDF_CALIBRATED_OPSLIMIT_MAX;
        if (scaled > opslimit) {
                opslimit = (uint32_t) scaled;
                r = argon2id(key, request, opslimit, phrase);
                if (r < 0)
                        return r;
        }
        *ret_opslimit = opslimit;
        return 0;
}

static int from_recovery_code(uint8_t key[static KDF_KEY_SIZE], const FrameKdfRequest *request, const Secret *phrase) {
        cleanup(secret_freep) Secret *code = NULL;
        int r;

        r = secret_new(&code, RECOVERY_SIZE);
        if (r < 0)
                return r;
        if (recovery_decode(secret_data(code), (const char *) secret_data(phrase), secret_size(phrase), NULL) != 0)
                return KDF_E_CODE;
        return slots_random_kek(key, SLOT_RECOVERY, request->salt, code);
}

static int from_code(uint8_t key[static KDF_KEY_SIZE], const FrameKdfRequest *request, const Secret *phrase) {
        cleanup(secret_freep) Secret *code = NULL;
        int r;

        r = secret_new(&code, CODE_TEXT_SIZE);
        if (r < 0)
                return r;
        if (code_read((char *) secret_data(code), (const char *) secret_data(phrase), secret_size(phrase)) != 0)
                return KDF_E_CODE;
        code_hash(key, request->salt, (const char *) secret_data(code));
        return 0;
}

int kdf_derive(const FrameKdfRequest *request, const Secret *phrase, Secret **ret_key, uint32_t *ret_opslimit) {
        cleanup(secret_freep) Secret *key = NULL;
        uint32_t opslimit = request->opslimit;
        int r;

        r = secret_new(&key, KDF_KEY_SIZE);
        if (r < 0)
                return r;

        switch ((FrameKdfMode) request->mode) {
        case FRAME_KDF_PASSPHRASE:
                r = argon2id(secret_data(key), request, opslimit, phrase);
                break;
        case FRAME_KDF_CALIBRATE:
                r = calibrate(secret_data(key), request, phrase, &opslimit);
                break;
        case FRAME_KDF_RECOVERY:
                r = from_recovery_code(secret_data(key), request, phrase);
                opslimit = 0;
                break;
        case FRAME_KDF_CREDENTIAL:
                r = secret_size(phrase) == SLOTS_CREDENTIAL_SIZE ? slots_random_kek(secret_data(key), SLOT_CREDENTIAL, request->salt, phrase) : KDF_E_CODE;
                opslimit = 0;
                break;
        case FRAME_KDF_CODE:
                r = from_code(secret_data(key), request, phrase);
                opslimit = 0;
                break;
        default: /* frame_get_kdf_request() lets no other pass */
                return -EINVAL;
        }
        if (r != 0)
                return r;

        *ret_key = take_ptr(key);
        *ret_opslimit = opslimit;
        return 0;
}

static int read_request(FrameKdfRequest *ret, int fd) {
        cleanup(frame_buffer_done) FrameBuffer in = {0};
        const uint8_t *payload;
        size_t n_payload;
        uint32_t type;
        ssize_t l;
        int r;

        for (;;) {
                r = frame_next(&in, &type, &payload, &n_payload);
                if (r == 0)
                        break;
                if (r != FRAME_E_AGAIN)
                        return -EBADMSG;
                l = frame_read(&in, fd);
                if (l < 0 && l != -EINTR)
                        return (int) l;
                if (l == 0)
                        return -EPIPE;
        }
        if (type != FRAME_KDF_REQUEST || frame_get_kdf_request(ret, payload, n_payload) != 0)
                return -EBADMSG;
        return 0;
}

int kdf_run(int in_fd, int out_fd, int phrase_fd) {
        cleanup(secret_freep) Secret *phrase = NULL, *key = NULL;
        cleanup(frame_buffer_done) FrameBuffer out = {0};
        FrameKdfRequest request;
        uint32_t opslimit = 0;
        int r;

        r = read_request(&request, in_fd);
        if (r < 0)
                return r;

        r = secret_read_memfd(&phrase, phrase_fd);
        if (r < 0)
                return r;
        if (r == SECRET_E_MEMFD)
                r = frame_put_u32(&out, FRAME_KDF_FAILED, FRAME_KDF_E_MEMFD);
        else {
                r = kdf_derive(&request, phrase, &key, &opslimit);
                if (r == KDF_E_CODE)
                        r = frame_put_u32(&out, FRAME_KDF_FAILED, FRAME_KDF_E_CODE);
                else if (r == -ENOMEM)
                        r = frame_put_u32(&out, FRAME_KDF_FAILED, FRAME_KDF_E_MEMORY);
                else if (r == 0)
                        r = frame_put_kdf_key(&out, opslimit, opslimit > 0 ? request.memlimit : 0, secret_data(key));
        }
        if (r != 0)
                return fold(r);
        return frame_write_all(&out, out_fd);
}
