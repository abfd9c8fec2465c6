/* SPDX-License-Identifier: Apache-2.0 */

#include "frame-private.h"

#include <sodium.h>

enum {
        OPSLIMIT_MAX = 64,
};
static const uint64_t MEMLIMIT_MAX = UINT64_C(4) << 30;

int frame_put_kdf_request(FrameBuffer *buffer, const FrameKdfRequest *request) {
        FrameWriter w = frame_writer(buffer, FRAME_KDF_REQUEST);

        frame_writer_u32(&w, request->version);
        frame_writer_u32(&w, request->mode);
        frame_writer_bytes(&w, request->salt, sizeof(request->salt));
        frame_writer_u32(&w, request->opslimit);
        frame_writer_u64(&w, request->memlimit);
        return frame_writer_end(&w);
}

int frame_put_kdf_key(FrameBuffer *buffer, uint32_t opslimit, uint64_t memlimit, const uint8_t key[static 32]) {
        FrameWriter w = frame_writer(buffer, FRAME_KDF_KEY);

        frame_writer_u32(&w, opslimit);
        frame_writer_u64(&w, memlimit);
        frame_writer_bytes(&w, key, 32);
        return frame_writer_end(&w);
}

int frame_get_kdf_request(FrameKdfRequest *ret, const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        FrameKdfRequest request = {0};
        bool argon2;

        request.version = frame_reader_u32(&r);
        request.mode = frame_reader_u32(&r);
        frame_reader_copy(&r, request.salt, sizeof(request.salt));
        request.opslimit = frame_reader_u32(&r);
        request.memlimit = frame_reader_u64(&r);

        argon2 = request.mode == FRAME_KDF_PASSPHRASE || request.mode == FRAME_KDF_CALIBRATE;
        if (frame_reader_end(&r, request.version == FRAME_VERSION && (argon2 || request.mode == FRAME_KDF_RECOVERY || request.mode == FRAME_KDF_CREDENTIAL || request.mode == FRAME_KDF_CODE) &&
                             request.opslimit <= OPSLIMIT_MAX && request.memlimit <= MEMLIMIT_MAX &&
                            (!argon2 || (request.opslimit >= crypto_pwhash_OPSLIMIT_MIN &&
                                         request.memlimit >= crypto_pwhash_MEMLIMIT_MIN))) != 0)
                return FRAME_E_FORMAT;
        *ret = request;
        return 0;
}

int frame_get_kdf_key(uint32_t *ret_opslimit, uint64_t *ret_memlimit, uint8_t ret_key[static 32],
                      const uint8_t *payload, size_t n_payload) {
        FrameReader r = {payload, n_payload, false};
        uint32_t opslimit = frame_reader_u32(&r);
        uint64_t memlimit = frame_reader_u64(&r);
        const uint8_t *key = frame_reader_bytes(&r, 32);

        if (frame_reader_end(&r, opslimit <= OPSLIMIT_MAX && memlimit <= MEMLIMIT_MAX) != 0)
                return FRAME_E_FORMAT;
        *ret_opslimit = opslimit;
        *ret_memlimit = memlimit;
        memcpy(ret_key, key, 32);
        return 0;
}
