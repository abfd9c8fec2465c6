/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A compact JWS as it comes from outside: split, and both parts as JSON, whatever the signature says. What is read must be
 * the same when it is written and read again.
 */

#include <sodium.h>

#include "daemon/common/jws.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void part(const char *text, size_t n_text) {
        cleanup(json_decrefp) json_t *json = NULL, *again = NULL;
        cleanup(freep) char *dump = NULL, *encoded = NULL;
        uint8_t key[32];
        size_t n;

        if (jws_json(&json, text, n_text) != 0)
                return;
        (void) !jwk_parse_public(key, json);
        (void) !jwk_parse_public(key, json_object_get(json, "jwk"));

        dump = json_dumps(json, JSON_COMPACT);
        assert(dump);
        n = 4 * ((strlen(dump) + 2) / 3) + 1;
        if (n > JWS_MAX)
                return; /* escapes made it longer than what may be read */
        encoded = malloc(n);
        assert(encoded);
        n = b64url_encode(encoded, n, dump, strlen(dump));
        assert(jws_json(&again, encoded, n) == 0);
        assert(json_equal(json, again));
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static const uint8_t key[32] = { 0x3d, 0x40, 0x17, 0xc3 };
        const char *text = (const char *) bytes;
        Jws jws;

        if (sodium_init() < 0)
                return 0;
        if (jws_split(&jws, text, n) == 0) {
                assert(jws.n_header > 0 && jws.n_payload > 0);
                assert(jws.n_signing_input == jws.n_header + 1 + jws.n_payload && n == jws.n_signing_input + 87);
                assert(jws_verify(&jws, key) != 0);
                part(jws.header, jws.n_header);
                part(jws.payload, jws.n_payload);
        }
        part(text, n);
        return 0;
}
