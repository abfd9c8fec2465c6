/* SPDX-License-Identifier: Apache-2.0 */

/* Key files of carewallet-provider. */

#include "keyfile.h"

#include "daemon/common/jws.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>

enum {
        SEED_SIZE = crypto_sign_SEEDBYTES,
        BOX_SIZE = SEED_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES,
        TEXT_32 = 44, /* base64url of 32 bytes and a terminator */
        OPSLIMIT_MAX = 16,
};
static const uint64_t MEMLIMIT_MAX = UINT64_C(1) << 30;

static int write_file(const char *path, mode_t mode, const void *bytes, size_t n) {
        cleanup(close_fdp) int fd = -1;
        size_t at = 0;
        int r = 0;

        fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, mode);
        if (fd < 0)
                return errno == EEXIST ? KEYFILE_E_EXISTS : -errno;
        while (r == 0 && at < n) {
                ssize_t l = write(fd, (const uint8_t *) bytes + at, n - at);

                if (l >= 0)
                        at += (size_t) l;
                else if (errno != EINTR)
                        r = -errno;
        }
        if (r == 0 && fsync(fd) < 0)
                r = -errno;
        if (r < 0)
                (void) unlink(path);
        return r;
}

static int make_key(Secret **ret, const Secret *passphrase, size_t n_passphrase, const uint8_t *salt, uint64_t opslimit, uint64_t memlimit) {
        cleanup(secret_freep) Secret *key = NULL;
        int r;

        r = secret_new(&key, crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
        if (r < 0)
                return r;
        if (crypto_pwhash(secret_data(key), secret_size(key), (const char *) secret_data(passphrase), n_passphrase, salt, opslimit,
                          (size_t) memlimit, crypto_pwhash_ALG_ARGON2ID13) < 0)
                return -ENOMEM;
        *ret = take_ptr(key);
        return 0;
}

static int write_protected(const char *path, const Secret *seed, const uint8_t public_key[static 32], const Secret *passphrase, size_t n_passphrase) {
        const uint64_t opslimit = crypto_pwhash_OPSLIMIT_MODERATE, memlimit = crypto_pwhash_MEMLIMIT_MODERATE;
        uint8_t salt[crypto_pwhash_SALTBYTES], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], box[BOX_SIZE];
        char x[TEXT_32], salt_text[32], nonce_text[40], box_text[72], text[KEYFILE_MAX];
        cleanup(secret_freep) Secret *key = NULL;
        int n, r;

        randombytes_buf(salt, sizeof(salt));
        randombytes_buf(nonce, sizeof(nonce));
        r = make_key(&key, passphrase, n_passphrase, salt, opslimit, memlimit);
        if (r < 0)
                return r;
        (void) crypto_aead_xchacha20poly1305_ietf_encrypt(box, NULL, secret_data(seed), SEED_SIZE, public_key, 32, NULL, nonce, secret_data(key));

        (void) b64url_encode(x, sizeof(x), public_key, 32);
        (void) b64url_encode(salt_text, sizeof(salt_text), salt, sizeof(salt));
        (void) b64url_encode(nonce_text, sizeof(nonce_text), nonce, sizeof(nonce));
        (void) b64url_encode(box_text, sizeof(box_text), box, sizeof(box));
        n = snprintf(text, sizeof(text),
                     "{\"carewallet-provider-key\":1,\"x\":\"%s\",\"salt\":\"%s\",\"opslimit\":%llu,\"memlimit\":%llu,\"nonce\":\"%s\",\"box\":\"%s\"}\n",
                     x, salt_text, (unsigned long long) opslimit, (unsigned long long) memlimit, nonce_text, box_text);
        return write_file(path, 0600, text, (size_t) n);
}

int keyfile_write(const char *path, const Secret *seed, const Secret *passphrase, size_t n_passphrase) {
        cleanup(secret_freep) Secret *text = NULL;
        uint8_t public_key[32];
        char x[TEXT_32];
        char *at;
        int n, r;

        r = ed25519_public(public_key, seed);
        if (r < 0)
                return r;
        if (passphrase)
                return write_protected(path, seed, public_key, passphrase, n_passphrase);

        r = secret_new(&text, 256);
        if (r < 0)
                return r;
        (void) b64url_encode(x, sizeof(x), public_key, 32);
        at = (char *) secret_data(text);
        n = snprintf(at, 128, "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\",\"d\":\"", x);
        n += (int) b64url_encode(at + n, TEXT_32, secret_data(seed), SEED_SIZE);
        n += snprintf(at + n, 8, "\"}\n");
        return write_file(path, 0600, at, (size_t) n);
}

int keyfile_write_public(const char *path, const uint8_t public_key[static 32]) {
        char x[TEXT_32], text[128];
        int n;

        (void) b64url_encode(x, sizeof(x), public_key, 32);
        n = snprintf(text, sizeof(text), "{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"x\":\"%s\"}\n", x);
        return write_file(path, 0644, text, (size_t) n);
}

static void json_donep(json_t **json) {
        json_decref(*json);
}

static json_t *load(const uint8_t *bytes, size_t n) {
        json_t *json = n <= KEYFILE_MAX ? json_loadb((const char *) bytes, n, JSON_REJECT_DUPLICATES, NULL) : NULL;

        if (!json_is_object(json)) {
                json_decref(json);
                return NULL;
        }
        return json;
}

/* exactly @n bytes of base64url in a member */
static bool member_bytes(const json_t *json, const char *name, uint8_t *ret, size_t n) {
        const json_t *member = json_object_get(json, name);
        size_t n_got = 0;

        return json_is_string(member) &&
               b64url_decode(ret, n, &n_got, json_string_value(member), json_string_length(member)) == 0 && n_got == n;
}

static bool is_envelope(const json_t *json) {
        return json_integer_value(json_object_get(json, "carewallet-provider-key")) == 1;
}

static bool is_ed25519(const json_t *json) {
        const char *kty = json_string_value(json_object_get(json, "kty")), *crv = json_string_value(json_object_get(json, "crv"));

        return kty && crv && strcmp(kty, "OKP") == 0 && strcmp(crv, "Ed25519") == 0;
}

bool keyfile_needs_passphrase(const uint8_t *bytes, size_t n) {
        cleanup(json_donep) json_t *json = load(bytes, n);

        return json && is_envelope(json);
}

int keyfile_parse_public(uint8_t ret[static 32], const uint8_t *bytes, size_t n) {
        cleanup(json_donep) json_t *json = load(bytes, n);

        if (!json || (!is_envelope(json) && !is_ed25519(json)) || !member_bytes(json, "x", ret, 32))
                return KEYFILE_E_FORMAT;
        return 0;
}

static int open_box(const json_t *json, const uint8_t public_key[static 32], const Secret *passphrase, size_t n_passphrase, Secret *seed) {
        uint8_t salt[crypto_pwhash_SALTBYTES], nonce[crypto_aead_xchacha20poly1305_ietf_NPUBBYTES], box[BOX_SIZE];
        json_int_t opslimit = json_integer_value(json_object_get(json, "opslimit"));
        json_int_t memlimit = json_integer_value(json_object_get(json, "memlimit"));
        cleanup(secret_freep) Secret *key = NULL;
        int r;

        if (!member_bytes(json, "salt", salt, sizeof(salt)) || !member_bytes(json, "nonce", nonce, sizeof(nonce)) ||
            !member_bytes(json, "box", box, sizeof(box)) || opslimit < (json_int_t) crypto_pwhash_OPSLIMIT_MIN || opslimit > OPSLIMIT_MAX ||
            memlimit < (json_int_t) crypto_pwhash_MEMLIMIT_MIN || (uint64_t) memlimit > MEMLIMIT_MAX)
                return KEYFILE_E_FORMAT;
        r = make_key(&key, passphrase, n_passphrase, salt, (uint64_t) opslimit, (uint64_t) memlimit);
        if (r < 0)
                return r;
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret_data(seed), NULL, NULL, box, sizeof(box), public_key, 32, nonce, secret_data(key)) < 0)
                return KEYFILE_E_PASSPHRASE;
        return 0;
}

int keyfile_open(Secret **ret, const uint8_t *bytes, size_t n, const Secret *passphrase, size_t n_passphrase) {
        cleanup(json_donep) json_t *json = load(bytes, n);
        cleanup(secret_freep) Secret *seed = NULL;
        uint8_t public_key[32], again[32];
        int r;

        if (!json || !member_bytes(json, "x", public_key, 32))
                return KEYFILE_E_FORMAT;
        r = secret_new(&seed, SEED_SIZE);
        if (r < 0)
                return r;
        if (is_envelope(json)) {
                if (!passphrase)
                        return KEYFILE_E_PASSPHRASE;
                r = open_box(json, public_key, passphrase, n_passphrase, seed);
                if (r != 0)
                        return r;
        } else if (!is_ed25519(json) || !member_bytes(json, "d", secret_data(seed), SEED_SIZE)) {
                return KEYFILE_E_FORMAT;
        }

        r = ed25519_public(again, seed);
        if (r < 0)
                return r;
        if (memcmp(public_key, again, sizeof(again)) != 0)
                return KEYFILE_E_FORMAT;
        *ret = take_ptr(seed);
        return 0;
}
