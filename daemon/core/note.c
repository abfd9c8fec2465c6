/* SPDX-License-Identifier: Apache-2.0 */

/*
 * A note is text that ends in LF, an empty line, and one line for each signature: "— name base64(key id || signature)".
 * A checkpoint's text is origin, size, base64 of the root; what follows are extensions, which we do not write.
 */

#include "note.h"

#include <sodium.h>

#include "daemon/common/text.h"

#define SIGNATURE_PREFIX "\xe2\x80\x94 " /* U+2014 and a space */

enum {
        KEY_ID_SIZE = 4,
        SIGNATURE_SIZE = KEY_ID_SIZE + crypto_sign_BYTES,
        TYPE_ED25519 = 1, /* c2sp.org/signed-note, "signature types" */
};

typedef struct Line {
        const char *text;
        size_t n;
} Line;

/* name || LF || type || key, hashed and cut */
static void key_id(uint8_t ret[static KEY_ID_SIZE], const char *name, const uint8_t public_key[static crypto_sign_PUBLICKEYBYTES]) {
        crypto_hash_sha256_state state;
        uint8_t hash[crypto_hash_sha256_BYTES];

        (void) crypto_hash_sha256_init(&state);
        (void) crypto_hash_sha256_update(&state, (const uint8_t *) name, strlen(name));
        (void) crypto_hash_sha256_update(&state, (const uint8_t[]) { '\n', TYPE_ED25519 }, 2);
        (void) crypto_hash_sha256_update(&state, public_key, crypto_sign_PUBLICKEYBYTES);
        (void) crypto_hash_sha256_final(&state, hash);
        memcpy(ret, hash, KEY_ID_SIZE);
}

static bool name_valid(Line name) {
        return name.n > 0 && text_valid(name.text, name.n) && !memchr(name.text, ' ', name.n) &&
               !memchr(name.text, '+', name.n) && !memchr(name.text, '\t', name.n);
}

int note_checkpoint_sign(char **ret, const char *origin, uint64_t size, const MerkleHash *root, const Secret *seed) {
        uint8_t public_key[crypto_sign_PUBLICKEYBYTES];
        uint8_t signature[SIGNATURE_SIZE];
        char root64[sodium_base64_ENCODED_LEN(sizeof(*root), sodium_base64_VARIANT_ORIGINAL)];
        char signature64[sodium_base64_ENCODED_LEN(sizeof(signature), sodium_base64_VARIANT_ORIGINAL)];
        cleanup(secret_freep) Secret *secret_key = NULL;
        cleanup(freep) char *note = NULL;
        int n_text, n, r;

        assert(ret);
        assert(secret_size(seed) == crypto_sign_SEEDBYTES);

        if (!name_valid((Line) { origin, strlen(origin) }))
                return -EINVAL;

        note = malloc(NOTE_MAX);
        if (!note)
                return -ENOMEM;
        r = secret_new(&secret_key, crypto_sign_SECRETKEYBYTES);
        if (r < 0)
                return r;
        (void) crypto_sign_seed_keypair(public_key, secret_data(secret_key), secret_data(seed));

        (void) sodium_bin2base64(root64, sizeof(root64), root->bytes, sizeof(root->bytes), sodium_base64_VARIANT_ORIGINAL);
        n_text = snprintf(note, NOTE_MAX, "%s\n%llu\n%s\n", origin, (unsigned long long) size, root64);
        if (n_text < 0 || n_text >= NOTE_MAX)
                return -EMSGSIZE;

        key_id(signature, origin, public_key);
        (void) crypto_sign_detached(signature + KEY_ID_SIZE, NULL, (uint8_t *) note, (unsigned long long) n_text, secret_data(secret_key));
        (void) sodium_bin2base64(signature64, sizeof(signature64), signature, sizeof(signature), sodium_base64_VARIANT_ORIGINAL);

        n = snprintf(note + n_text, (size_t) (NOTE_MAX - n_text), "\n" SIGNATURE_PREFIX "%s %s\n", origin, signature64);
        if (n < 0 || n >= NOTE_MAX - n_text)
                return -EMSGSIZE;

        *ret = take_ptr(note);
        return 0;
}

/* The next line of text in which every line ends in LF. */
static bool next_line(const char *text, size_t n_text, size_t *at, Line *ret) {
        const char *end;

        if (*at >= n_text)
                return false;
        end = memchr(text + *at, '\n', n_text - *at);
        if (!end)
                return false;
        *ret = (Line) { text + *at, (size_t) (end - (text + *at)) };
        *at += ret->n + 1;
        return true;
}

/* libsodium takes some bytes above 127 for the letter that they are without their highest bit. */
static bool base64_decode(uint8_t *ret, size_t max, size_t *ret_n, Line line) {
        for (size_t i = 0; i < line.n; i++)
                if ((uint8_t) line.text[i] > 127)
                        return false;
        return sodium_base642bin(ret, max, line.text, line.n, NULL, ret_n, NULL, sodium_base64_VARIANT_ORIGINAL) == 0;
}

/* Whose signature it is, and whether it holds: 0 ours and good, NOTE_E_SIGNATURE ours and bad, -ENOENT another's. */
static int check_signature(Line line, Line text, const char *origin, const uint8_t *id, const uint8_t *public_key) {
        uint8_t blob[NOTE_MAX];
        const char *space;
        Line name;
        size_t n;

        if (line.n < strlen(SIGNATURE_PREFIX) || memcmp(line.text, SIGNATURE_PREFIX, strlen(SIGNATURE_PREFIX)) != 0)
                return NOTE_E_FORMAT;
        line.text += strlen(SIGNATURE_PREFIX);
        line.n -= strlen(SIGNATURE_PREFIX);

        space = memchr(line.text, ' ', line.n);
        if (!space)
                return NOTE_E_FORMAT;
        name = (Line) { line.text, (size_t) (space - line.text) };
        line = (Line) { space + 1, line.n - name.n - 1 };
        if (!name_valid(name) || !base64_decode(blob, sizeof(blob), &n, line) || n <= KEY_ID_SIZE)
                return NOTE_E_FORMAT;

        if (name.n != strlen(origin) || memcmp(name.text, origin, name.n) != 0 || memcmp(blob, id, KEY_ID_SIZE) != 0)
                return -ENOENT;
        if (n != SIGNATURE_SIZE ||
            crypto_sign_verify_detached(blob + KEY_ID_SIZE, (const uint8_t *) text.text, text.n, public_key) < 0)
                return NOTE_E_SIGNATURE;
        return 0;
}

static bool parse_size(uint64_t *ret, Line line) {
        uint64_t size = 0;

        if (line.n == 0 || (line.n > 1 && line.text[0] == '0'))
                return false;
        for (size_t i = 0; i < line.n; i++) {
                unsigned digit = (unsigned) (line.text[i] - '0');

                if (digit > 9 || __builtin_mul_overflow(size, 10, &size) || __builtin_add_overflow(size, digit, &size))
                        return false;
        }
        *ret = size;
        return true;
}

int note_checkpoint_open(const char *note, size_t n_note, const char *origin, const uint8_t public_key[static 32], uint64_t *ret_size, MerkleHash *ret_root) {
        uint8_t id[KEY_ID_SIZE];
        Line text = { 0 }, line;
        bool verified = false;
        unsigned n_lines = 0;
        uint64_t size = 0;
        MerkleHash root = { 0 };
        size_t at = 0, n;
        int r;

        if (n_note > NOTE_MAX)
                return NOTE_E_FORMAT;

        /* the last empty line parts text and signatures */
        for (size_t i = n_note; i > 1; i--)
                if (note[i - 1] == '\n' && note[i - 2] == '\n') {
                        text = (Line) { note, i - 1 };
                        break;
                }
        if (text.n == 0 || text.n + 1 == n_note || note[n_note - 1] != '\n')
                return NOTE_E_FORMAT;

        for (; next_line(text.text, text.n, &at, &line); n_lines++) {
                if (line.n == 0 || !text_valid(line.text, line.n) || memchr(line.text, '\t', line.n))
                        return NOTE_E_FORMAT;
                if ((n_lines == 0 && (line.n != strlen(origin) || memcmp(line.text, origin, line.n) != 0)) ||
                    (n_lines == 1 && !parse_size(&size, line)) ||
                    (n_lines == 2 && (!base64_decode(root.bytes, sizeof(root.bytes), &n, line) || n != sizeof(root.bytes))))
                        return NOTE_E_FORMAT;
        }
        if (n_lines < 3)
                return NOTE_E_FORMAT;

        key_id(id, origin, public_key);
        for (at = text.n + 1; next_line(note, n_note, &at, &line);) {
                r = check_signature(line, text, origin, id, public_key);
                if (r > 0)
                        return r;
                if (r == 0)
                        verified = true;
        }
        if (!verified)
                return NOTE_E_SIGNATURE;

        *ret_size = size;
        *ret_root = root;
        return 0;
}
