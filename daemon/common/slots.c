/* SPDX-License-Identifier: Apache-2.0 */

/* Key slots: daemon/FORMAT.md, "slot file". */

#include "slots.h"

#include "io.h"
#include "keys.h"
#include "text.h"

#include <fcntl.h>
#include <sodium.h>

enum {
        VERSION = 1,
        WALLET_ID_AT = 16,
        PUBLIC_KEY_AT = 32,
        N_SLOTS_AT = 64,
        /* in a slot */
        OPSLIMIT_AT = 4,
        MEMLIMIT_AT = 8,
        SALT_AT = 16,
        NONCE_AT = 32,
        WRAPPED_AT = 56,
        LABEL_AT = 104,
        N_AUTHENTICATED = 16 + NONCE_AT, /* wallet id, then the slot up to its nonce */
};
static const uint8_t magic[4] = {'C', 'W', 'S', 'L'};

static_assert(SLOTS_SLOT_SIZE == LABEL_AT + 2 + SLOTS_LABEL_MAX + 2, "slot's layout");
static_assert(sizeof(((Slot *) NULL)->wrapped) == KEYS_ROOT_SIZE + crypto_aead_xchacha20poly1305_ietf_ABYTES, "wrapped key");
static_assert(sizeof(((Slot *) NULL)->nonce) == crypto_aead_xchacha20poly1305_ietf_NPUBBYTES, "nonce");

static bool slot_in_range(const Slot *slot) {
        size_t n_label = strnlen(slot->label, sizeof(slot->label));

        if (n_label > SLOTS_LABEL_MAX || !text_valid(slot->label, n_label))
                return false;

        switch (slot->type) {
        case SLOT_PASSPHRASE: /* bounded before use: the file may have been written by anybody */
                return slot->opslimit >= crypto_pwhash_OPSLIMIT_MIN && slot->opslimit <= SLOTS_OPSLIMIT_MAX &&
                       slot->memlimit >= crypto_pwhash_MEMLIMIT_MIN && slot->memlimit <= SLOTS_MEMLIMIT_MAX;
        case SLOT_RECOVERY:
        case SLOT_CREDENTIAL:
                return slot->opslimit == 0 && slot->memlimit == 0;
        default:
                return false;
        }
}

/* What is authenticated with the wrapped key: moved to another wallet or given other limits, a slot opens no more. */
static void encode_parameters(uint8_t ret[static N_AUTHENTICATED], const Slots *slots, const Slot *slot) {
        uint8_t *at = ret + sizeof(slots->wallet_id);

        memset(ret, 0, N_AUTHENTICATED);
        memcpy(ret, slots->wallet_id, sizeof(slots->wallet_id));
        at[0] = slot->type;
        put_le32(at + OPSLIMIT_AT, slot->opslimit);
        put_le64(at + MEMLIMIT_AT, slot->memlimit);
        memcpy(at + SALT_AT, slot->salt, sizeof(slot->salt));
}

static int public_key_of(uint8_t ret[static 32], const Secret *root) {
        cleanup(secret_freep) Secret *seed = NULL, *secret_key = NULL;
        int r;

        r = keys_derive_one(&seed, root, KEY_SPOOL_SEED);
        if (r < 0)
                return r;
        r = secret_new(&secret_key, crypto_box_SECRETKEYBYTES);
        if (r < 0)
                return r;
        return crypto_box_seed_keypair(ret, secret_data(secret_key), secret_data(seed)) < 0 ? -ENOTRECOVERABLE : 0;
}

int slots_random_kek(uint8_t ret[static 32], SlotType type, const uint8_t salt[static 16], const Secret *random) {
        const char *context = type == SLOT_RECOVERY ? "carewallet recovery v1" : "carewallet credential v1"; /* without the terminator */
        crypto_generichash_state state;

        assert(type == SLOT_RECOVERY || type == SLOT_CREDENTIAL);

        if (crypto_generichash_init(&state, secret_data(random), secret_size(random), 32) < 0 ||
            crypto_generichash_update(&state, (const uint8_t *) context, strlen(context)) < 0 || crypto_generichash_update(&state, salt, 16) < 0 ||
            crypto_generichash_final(&state, ret, 32) < 0)
                return -ENOTRECOVERABLE;
        sodium_memzero(&state, sizeof(state));
        return 0;
}

int slots_create(Slots *ret, const Secret *root) {
        Slots slots = {0};
        int r;

        r = public_key_of(slots.spool_public_key, root);
        if (r < 0)
                return r;
        randombytes_buf(slots.wallet_id, sizeof(slots.wallet_id));
        *ret = slots;
        return 0;
}

int slots_add(Slots *slots, SlotType type, const uint8_t salt[static 16], uint32_t opslimit, uint64_t memlimit,
              const char *label, const Secret *kek, const Secret *root) {
        uint8_t parameters[N_AUTHENTICATED];
        Slot slot = {.type = (uint8_t) type, .opslimit = opslimit, .memlimit = memlimit};
        size_t n_label = strlen(label);

        assert(secret_size(kek) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);
        assert(secret_size(root) == KEYS_ROOT_SIZE);

        if (slots->n_slots == SLOTS_MAX)
                return SLOTS_E_FULL;
        if (n_label > SLOTS_LABEL_MAX)
                return SLOTS_E_FORMAT;
        memcpy(slot.label, label, n_label);
        memcpy(slot.salt, salt, sizeof(slot.salt));
        if (!slot_in_range(&slot))
                return SLOTS_E_FORMAT;

        randombytes_buf(slot.nonce, sizeof(slot.nonce));
        encode_parameters(parameters, slots, &slot);
        if (crypto_aead_xchacha20poly1305_ietf_encrypt(slot.wrapped, NULL, secret_data(root), KEYS_ROOT_SIZE, parameters,
                                                       sizeof(parameters), NULL, slot.nonce, secret_data(kek)) < 0)
                return -ENOTRECOVERABLE;

        slots->slots[slots->n_slots++] = slot;
        return 0;
}

int slots_replace(Slots *slots, size_t index, SlotType type, const uint8_t salt[static 16], uint32_t opslimit, uint64_t memlimit,
                  const char *label, const Secret *kek, const Secret *root) {
        Slots one = *slots;
        int r;

        assert(index < slots->n_slots);

        one.n_slots = 0;
        r = slots_add(&one, type, salt, opslimit, memlimit, label, kek, root);
        if (r != 0)
                return r;
        slots->slots[index] = one.slots[0];
        return 0;
}

int slots_remove(Slots *slots, size_t index) {
        size_t n_passphrases = 0;

        assert(index < slots->n_slots);

        for (size_t i = 0; i < slots->n_slots; i++)
                n_passphrases += slots->slots[i].type == SLOT_PASSPHRASE;
        if (slots->n_slots == 1 || (n_passphrases == 1 && slots->slots[index].type == SLOT_PASSPHRASE))
                return SLOTS_E_LAST;
        slots->n_slots--;
        memmove(&slots->slots[index], &slots->slots[index + 1], (slots->n_slots - index) * sizeof(Slot));
        slots->slots[slots->n_slots] = (Slot){0};
        return 0;
}

bool slots_find(const Slots *slots, const char *label, size_t *ret_index) {
        for (size_t i = 0; i < slots->n_slots; i++)
                if (strcmp(slots->slots[i].label, label) == 0) {
                        *ret_index = i;
                        return true;
                }
        return false;
}

const char *slots_type_name(unsigned type) {
        static const char *const names[N_SLOT_TYPES] = {
                [SLOT_PASSPHRASE] = "passphrase", [SLOT_RECOVERY] = "recovery", [SLOT_CREDENTIAL] = "credential"};

        return type < N_SLOT_TYPES ? names[type] : NULL;
}

int slots_unwrap(const Slots *slots, size_t index, const Secret *kek, Secret **ret_root) {
        cleanup(secret_freep) Secret *root = NULL;
        uint8_t parameters[N_AUTHENTICATED];
        const Slot *slot;
        int r;

        assert(index < slots->n_slots);
        assert(secret_size(kek) == crypto_aead_xchacha20poly1305_ietf_KEYBYTES);

        slot = &slots->slots[index];
        r = secret_new(&root, KEYS_ROOT_SIZE);
        if (r < 0)
                return r;
        encode_parameters(parameters, slots, slot);
        if (crypto_aead_xchacha20poly1305_ietf_decrypt(secret_data(root), NULL, NULL, slot->wrapped, sizeof(slot->wrapped),
                                                       parameters, sizeof(parameters), slot->nonce, secret_data(kek)) < 0)
                return SLOTS_E_KEY;
        *ret_root = take_ptr(root);
        return 0;
}

/* --- bytes --- */

/* Everything before the MAC. Return: how many bytes that is. */
static size_t encode_body(const Slots *slots, uint8_t ret[static SLOTS_FILE_MAX]) {
        uint8_t *at = ret + SLOTS_HEADER_SIZE;

        assert(slots->n_slots <= SLOTS_MAX);

        memset(ret, 0, SLOTS_FILE_MAX);
        put_le32(ret, VERSION);
        memcpy(ret + 4, magic, sizeof(magic));
        put_le64(ret + 8, slots->generation);
        memcpy(ret + WALLET_ID_AT, slots->wallet_id, sizeof(slots->wallet_id));
        memcpy(ret + PUBLIC_KEY_AT, slots->spool_public_key, sizeof(slots->spool_public_key));
        put_le32(ret + N_SLOTS_AT, (uint32_t) slots->n_slots);

        for (size_t i = 0; i < slots->n_slots; i++, at += SLOTS_SLOT_SIZE) {
                const Slot *slot = &slots->slots[i];
                size_t n_label = strnlen(slot->label, SLOTS_LABEL_MAX);

                at[0] = slot->type;
                put_le32(at + OPSLIMIT_AT, slot->opslimit);
                put_le64(at + MEMLIMIT_AT, slot->memlimit);
                memcpy(at + SALT_AT, slot->salt, sizeof(slot->salt));
                memcpy(at + NONCE_AT, slot->nonce, sizeof(slot->nonce));
                memcpy(at + WRAPPED_AT, slot->wrapped, sizeof(slot->wrapped));
                put_le16(at + LABEL_AT, (uint16_t) n_label);
                memcpy(at + LABEL_AT + 2, slot->label, n_label);
        }
        return (size_t) (at - ret);
}

static int mac_of(uint8_t ret[static SLOTS_MAC_SIZE], const uint8_t *body, size_t n_body, const Secret *root) {
        cleanup(secret_freep) Secret *key = NULL;
        int r;

        r = keys_derive_one(&key, root, KEY_SLOTS_MAC);
        if (r < 0)
                return r;
        return crypto_generichash(ret, SLOTS_MAC_SIZE, body, n_body, secret_data(key), secret_size(key)) < 0 ? -ENOTRECOVERABLE : 0;
}

/* Tells a torn copy from a whole one, before any key is known. */
static int checksum_of(uint8_t ret[static SLOTS_CHECKSUM_SIZE], const uint8_t *bytes, size_t n) {
        return crypto_generichash(ret, SLOTS_CHECKSUM_SIZE, bytes, n, NULL, 0) < 0 ? -ENOTRECOVERABLE : 0;
}

int slots_encode(const Slots *slots, const Secret *root, uint8_t ret[static SLOTS_FILE_MAX], size_t *ret_n) {
        size_t n = encode_body(slots, ret);
        int r;

        r = mac_of(ret + n, ret, n, root);
        if (r < 0)
                return r;
        n += SLOTS_MAC_SIZE;
        r = checksum_of(ret + n, ret, n);
        if (r < 0)
                return r;
        *ret_n = n + SLOTS_CHECKSUM_SIZE;
        return 0;
}

int slots_verify(const Slots *slots, const Secret *root) {
        uint8_t body[SLOTS_FILE_MAX], mac[SLOTS_MAC_SIZE];
        int r;

        r = mac_of(mac, body, encode_body(slots, body), root);
        if (r < 0)
                return r;
        return sodium_memcmp(mac, slots->mac, sizeof(mac)) == 0 ? 0 : SLOTS_E_MAC;
}

static bool all_zero(const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i < n; i++)
                if (bytes[i] != 0)
                        return false;
        return true;
}

static int decode_slot(Slot *ret, const uint8_t *at) {
        size_t n_label = get_le16(at + LABEL_AT);

        if (n_label > SLOTS_LABEL_MAX || !text_valid((const char *) at + LABEL_AT + 2, n_label) || !all_zero(at + 1, 3) ||
            !all_zero(at + LABEL_AT + 2 + n_label, SLOTS_SLOT_SIZE - LABEL_AT - 2 - n_label))
                return SLOTS_E_FORMAT;

        *ret = (Slot){.type = at[0], .opslimit = get_le32(at + OPSLIMIT_AT), .memlimit = get_le64(at + MEMLIMIT_AT)};
        memcpy(ret->salt, at + SALT_AT, sizeof(ret->salt));
        memcpy(ret->nonce, at + NONCE_AT, sizeof(ret->nonce));
        memcpy(ret->wrapped, at + WRAPPED_AT, sizeof(ret->wrapped));
        memcpy(ret->label, at + LABEL_AT + 2, n_label);
        return slot_in_range(ret) ? 0 : SLOTS_E_FORMAT;
}

int slots_decode(Slots *ret, const uint8_t *bytes, size_t n_bytes) {
        uint8_t checksum[SLOTS_CHECKSUM_SIZE];
        Slots slots = {.n_copies = 1};
        size_t n_body;
        int r;

        if (n_bytes < SLOTS_HEADER_SIZE || get_le32(bytes) != VERSION || memcmp(bytes + 4, magic, sizeof(magic)) != 0)
                return SLOTS_E_FORMAT;
        slots.n_slots = get_le32(bytes + N_SLOTS_AT);
        if (slots.n_slots > SLOTS_MAX || !all_zero(bytes + N_SLOTS_AT + 4, 4))
                return SLOTS_E_FORMAT;
        n_body = SLOTS_HEADER_SIZE + slots.n_slots * SLOTS_SLOT_SIZE;
        if (n_bytes != n_body + SLOTS_MAC_SIZE + SLOTS_CHECKSUM_SIZE)
                return SLOTS_E_FORMAT;

        r = checksum_of(checksum, bytes, n_body + SLOTS_MAC_SIZE);
        if (r < 0)
                return r;
        if (memcmp(checksum, bytes + n_body + SLOTS_MAC_SIZE, sizeof(checksum)) != 0)
                return SLOTS_E_FORMAT;

        slots.generation = get_le64(bytes + 8);
        memcpy(slots.wallet_id, bytes + WALLET_ID_AT, sizeof(slots.wallet_id));
        memcpy(slots.spool_public_key, bytes + PUBLIC_KEY_AT, sizeof(slots.spool_public_key));
        memcpy(slots.mac, bytes + n_body, sizeof(slots.mac));
        for (size_t i = 0; i < slots.n_slots; i++) {
                r = decode_slot(&slots.slots[i], bytes + SLOTS_HEADER_SIZE + i * SLOTS_SLOT_SIZE);
                if (r != 0)
                        return r;
        }
        *ret = slots;
        return 0;
}

/* --- files --- */

static int load_copy(Slots *ret, int state_dir_fd, const char *name) {
        uint8_t bytes[SLOTS_FILE_MAX];
        size_t n;
        int r;

        r = io_read_file(state_dir_fd, name, bytes, sizeof(bytes), &n);
        if (r == -EFBIG || r == -ELOOP)
                return SLOTS_E_FORMAT;
        if (r < 0)
                return r;
        return slots_decode(ret, bytes, n);
}

int slots_load(Slots *ret, int state_dir_fd) {
        Slots slots, backup;
        int r, r_backup;

        r = load_copy(&slots, state_dir_fd, "slots");
        if (r < 0 && r != -ENOENT)
                return r;
        r_backup = load_copy(&backup, state_dir_fd, "slots.bak");
        if (r_backup < 0 && r_backup != -ENOENT)
                return r_backup;

        if (r != 0 && r_backup != 0)
                return r == -ENOENT && r_backup == -ENOENT ? -ENOENT : SLOTS_E_FORMAT;
        if (r == 0 && r_backup == 0 && slots.generation == backup.generation)
                slots.n_copies = 2;
        *ret = r != 0 || (r_backup == 0 && backup.generation > slots.generation) ? backup : slots;
        return 0;
}

int slots_read_file(int state_dir_fd, uint8_t ret[static SLOTS_FILE_MAX], size_t *ret_n) {
        static const char *const names[] = { "slots", "slots.bak" };
        Slots newest, slots;
        int r;

        r = slots_load(&newest, state_dir_fd);
        for (size_t i = 0; r == 0 && i < N_ELEMENTS(names); i++) {
                if (io_read_file(state_dir_fd, names[i], ret, SLOTS_FILE_MAX, ret_n) == 0 && slots_decode(&slots, ret, *ret_n) == 0 &&
                    slots.generation == newest.generation)
                        return 0;
        }
        return r != 0 ? r : -EIO;
}

int slots_store_again(const Slots *slots, int state_dir_fd) {
        uint8_t bytes[SLOTS_FILE_MAX];
        size_t n = encode_body(slots, bytes);
        int r;

        memcpy(bytes + n, slots->mac, SLOTS_MAC_SIZE);
        n += SLOTS_MAC_SIZE;
        r = checksum_of(bytes + n, bytes, n);
        n += SLOTS_CHECKSUM_SIZE;
        if (r == 0)
                r = io_write_file(state_dir_fd, ".slots-", "slots.bak", bytes, n);
        if (r == 0)
                r = io_write_file(state_dir_fd, ".slots-", "slots", bytes, n);
        return r;
}

int slots_store(Slots *slots, int state_dir_fd, const Secret *root) {
        uint8_t bytes[SLOTS_FILE_MAX];
        Slots next = *slots;
        size_t n;
        int r;

        assert(slots->n_slots > 0);

        next.generation++;
        next.n_copies = 2;
        r = slots_encode(&next, root, bytes, &n);
        if (r < 0)
                return r;
        memcpy(next.mac, bytes + n - SLOTS_CHECKSUM_SIZE - SLOTS_MAC_SIZE, SLOTS_MAC_SIZE);

        r = io_write_file(state_dir_fd, ".slots-", "slots.bak", bytes, n);
        if (r < 0)
                return r;
        if (io_write_file(state_dir_fd, ".slots-", "slots", bytes, n) < 0)
                next.n_copies = 1; /* the first counts, and this one is written again when the wallet is unlocked */
        *slots = next;
        return 0;
}

int slots_read_public_key(int state_dir_fd, uint8_t ret_public_key[static 32], uint8_t ret_wallet_id[static 16]) {
        Slots slots;
        int r;

        r = slots_load(&slots, state_dir_fd);
        if (r != 0)
                return r;
        memcpy(ret_public_key, slots.spool_public_key, sizeof(slots.spool_public_key));
        memcpy(ret_wallet_id, slots.wallet_id, sizeof(slots.wallet_id));
        return 0;
}

/* --- while a wallet is being made --- */

int slots_begin(int state_dir_fd) {
        uint8_t version[4];

        put_le32(version, VERSION);
        return io_write_file(state_dir_fd, ".slots-", SLOTS_UNFINISHED_NAME, version, sizeof(version));
}

void slots_end(int state_dir_fd) {
        (void) unlinkat(state_dir_fd, SLOTS_UNFINISHED_NAME, 0);
}

static bool is_there(int dir_fd, const char *name) {
        return faccessat(dir_fd, name, F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

bool slots_are_lost(int state_dir_fd) {
        return !is_there(state_dir_fd, SLOTS_UNFINISHED_NAME) && (is_there(state_dir_fd, "consent.db") || is_there(state_dir_fd, "records.db"));
}
