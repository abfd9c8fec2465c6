/* SPDX-License-Identifier: Apache-2.0 */

#include "kdf.h"

enum {
        SILENCE_MS = 120 * 1000, /* Argon2 with the largest limits on a slow machine */
};

struct Kdf {
        Worker *worker;
        KdfDone done;
        void *userdata;
};

Kdf *kdf_cancel(Kdf *kdf) {
        if (!kdf)
                return NULL;
        (void) worker_free(kdf->worker);
        free(kdf);
        return NULL;
}

static void finish(Kdf *kdf, int r, uint32_t opslimit, uint64_t memlimit, Secret *key) {
        KdfDone done = kdf->done;
        void *userdata = kdf->userdata;

        (void) kdf_cancel(kdf);
        done(r, opslimit, memlimit, key, userdata);
}

static int on_frame(uint32_t type, const uint8_t *payload, size_t n_payload, void *userdata) {
        cleanup(secret_freep) Secret *key = NULL;
        Kdf *kdf = userdata;
        uint32_t opslimit, error;
        uint64_t memlimit;
        int r;

        if (type == FRAME_KDF_KEY) {
                r = secret_new(&key, 32);
                if (r < 0)
                        return r;
                r = frame_get_kdf_key(&opslimit, &memlimit, secret_data(key), payload, n_payload);
                if (r != 0)
                        return r;
                finish(kdf, 0, opslimit, memlimit, take_ptr(key));
                return 0;
        }
        if (type != FRAME_KDF_FAILED || frame_get_u32(&error, payload, n_payload) != 0)
                return FRAME_E_FORMAT;
        finish(kdf, error == FRAME_KDF_E_CODE ? KDF_E_CODE : error == FRAME_KDF_E_MEMORY ? KDF_E_MEMORY : KDF_E_SECRET, 0, 0, NULL);
        return 0;
}

static void on_ended(WorkerEnd why, void *userdata) {
        (void) why;
        finish(userdata, KDF_E_WORKER, 0, 0, NULL);
}

int kdf_start(Kdf **ret, sd_event *event, int launcher_fd, int secret_fd, const FrameKdfRequest *request, KdfDone done, void *userdata) {
        static const WorkerEvents events = { .frame = on_frame, .ended = on_ended };
        Kdf *kdf;
        int r;

        kdf = calloc(1, sizeof(*kdf));
        if (!kdf)
                return -ENOMEM;
        kdf->done = done;
        kdf->userdata = userdata;
        r = worker_start(&kdf->worker, event, launcher_fd, LAUNCHER_KDF, &secret_fd, 1, SILENCE_MS, &events, kdf);
        if (r >= 0)
                r = frame_put_kdf_request(worker_out(kdf->worker), request);
        if (r >= 0)
                r = worker_flush(kdf->worker);
        if (r < 0) {
                (void) kdf_cancel(kdf);
                return r;
        }
        *ret = kdf;
        return 0;
}
