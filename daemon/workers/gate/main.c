/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet-gate: frames of the core on descriptor 0, frames to it on 1. See gate.h; started by the launcher only. */

#include "gate.h"
#include "key.h"

#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"

#include <signal.h>
#include <sodium.h>
#include <time.h>

enum {
        CORE_IN = 0,
        CORE_OUT = 1,
};

static const Lockdown gate_lockdown = {.profile = LOCKDOWN_GATE, .state_dir_fd = -1, .socket_dir_fd = -1};

static int answer(FrameBuffer *out) {
        int r = frame_write_all(out, CORE_OUT);

        frame_buffer_done(out);
        return r;
}

static int make_key(void) {
        cleanup(key_done) Key key = {0};
        FrameBuffer out = {0};
        int r;

        r = lockdown(&gate_lockdown);
        if (r < 0)
                return r;
        r = key_make(&key);
        if (r < 0)
                return r;
        r = frame_put_gate_key(&out, key.key_pem, key.certificate_pem, key.spki_sha256);
        if (r != 0)
                return fold(r);
        return answer(&out);
}

/* Forget the key's text as soon as the TLS library has the key. */
static void wipe(char **texts, const char *key_pem) {
        if (*texts)
                sodium_memzero(*texts + (key_pem - *texts), strlen(key_pem));
        free(*texts);
        *texts = NULL;
}

static int serve(FrameBuffer *in, const uint8_t *payload, size_t n_payload) {
        const char *listen, *key_pem, *certificate_pem;
        char error[GATE_ERROR_SIZE], *texts;
        FrameBuffer out = {0};
        Gate *gate;
        int r;

        r = frame_get_gate_config(&texts, &listen, &key_pem, &certificate_pem, payload, n_payload);
        if (r != 0)
                return r < 0 ? r : -EPROTO;
        sodium_memzero(in->bytes, in->at); /* the frame */
        r = gate_new(&gate, listen, key_pem, certificate_pem, error);
        wipe(&texts, key_pem);
        if (r == GATE_E_LISTEN) {
                r = frame_put_text(&out, FRAME_GATE_FAILED, error);
                return r != 0 ? fold(r) : answer(&out);
        }
        if (r != 0)
                return r;

        r = lockdown(&gate_lockdown);
        if (r < 0)
                return r;
        return gate_run(gate, in, CORE_IN, CORE_OUT);
}

static int run(void) {
        cleanup(frame_buffer_done) FrameBuffer in = {0};
        const uint8_t *payload;
        size_t n_payload;
        uint32_t type;
        int r;

        while ((r = frame_next(&in, &type, &payload, &n_payload)) == FRAME_E_AGAIN) {
                ssize_t l = frame_read(&in, CORE_IN);

                if (l == 0)
                        return 0;
                if (l < 0 && l != -EINTR)
                        return (int) l;
        }
        if (r != 0)
                return -EPROTO;
        if (type == FRAME_GATE_MAKE_KEY && n_payload == 0)
                return make_key();
        if (type == FRAME_GATE_CONFIG)
                return serve(&in, payload, n_payload);
        return -EPROTO;
}

static int probe(const char *name) {
        int r = lockdown(&gate_lockdown);

        return r < 0 ? EXIT_FAILURE : probe_run(name);
}

int main(int argc, char **argv) {
        int r;

        tzset(); /* opens /etc/localtime, which every conversion of a time would do later */
        if (sodium_init() < 0 || signal(SIGPIPE, SIG_IGN) == SIG_ERR)
                return EXIT_FAILURE;
        if (argc == 3 && strcmp(argv[1], "--probe") == 0)
                return probe(argv[2]);
        if (argc != 1) {
                fprintf(stderr, "carewallet-gate is started by carewalletd\n");
                return 2;
        }
        r = run();
        if (r < 0)
                fprintf(stderr, "carewallet-gate: %s\n", strerrordesc_np(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
