/* SPDX-License-Identifier: Apache-2.0 */

#include "memory.h"

#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <sys/stat.h>
#include <time.h>

#include "daemon/common/jws.h"
#include "daemon/common/text.h"

enum {
        NAME_BYTES = 8, /* of the hash of the socket's path */
};

struct Memory {
        char path[PATH_MAX];
        json_t *root; /* {socket, stateDir, wallet, shown, wallets: {id: {checkpoint, epochs, told, revocationKey, wrong}}} */
        bool is_changed;
        bool is_accepted; /* by the patient: what the file says counts for nothing */
};

int memory_checkpoint_parse(const char *checkpoint, int64_t *ret_size, size_t *ret_n_body) {
        const char *size, *end;
        int64_t n = 0;

        size = strchr(checkpoint, '\n'); /* c2sp.org/tlog-checkpoint: origin, size, root hash, blank line, signatures */
        end = strstr(checkpoint, "\n\n");
        if (!size || !end || size >= end)
                return MESSAGE_E_FORMAT;

        size++;
        if (*size == '\n')
                return MESSAGE_E_FORMAT;
        for (; *size != '\n'; size++)
                if (*size < '0' || *size > '9' || __builtin_mul_overflow(n, 10, &n) || __builtin_add_overflow(n, *size - '0', &n))
                        return MESSAGE_E_FORMAT;
        *ret_size = n;
        *ret_n_body = (size_t) (end - checkpoint) + 1;
        return 0;
}

/* The socket itself is not there while the daemon is dead, and must have the same name then. */
static void find_absolute(const char *socket_path, char ret[static PATH_MAX]) {
        const char *slash = strrchr(socket_path, '/');
        char dir[PATH_MAX], real[PATH_MAX];

        (void) snprintf(dir, sizeof(dir), "%.*s", slash ? (int) (slash - socket_path) + 1 : 1, slash ? socket_path : ".");
        if (!realpath(dir, real) ||
            (size_t) snprintf(ret, PATH_MAX, "%s/%s", real, slash ? slash + 1 : socket_path) >= PATH_MAX)
                (void) snprintf(ret, PATH_MAX, "%s", socket_path);
}

/* Directories are made on the way; they are the user's own business. */
static bool find_path(const char *socket_path, char ret[static PATH_MAX]) {
        const char *state_home = getenv("XDG_STATE_HOME"), *home = getenv("HOME");
        char absolute[PATH_MAX], name[NAME_BYTES * 2 + 1];
        uint8_t hash[crypto_generichash_BYTES_MIN];
        int n;

        if (sodium_init() < 0)
                return false;

        if (state_home && state_home[0] == '/')
                n = snprintf(ret, PATH_MAX, "%s", state_home);
        else if (home && home[0] == '/')
                n = snprintf(ret, PATH_MAX, "%s/.local/state", home);
        else
                return false;
        if (n < 0 || n > PATH_MAX - 64)
                return false;

        for (char *slash = strchr(ret + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
                *slash = '\0';
                (void) mkdir(ret, 0700);
                *slash = '/';
        }
        (void) mkdir(ret, 0700);
        (void) strncat(ret, "/carewallet", 12);
        (void) mkdir(ret, 0700);
        (void) strncat(ret, "/cli", 5);
        if (mkdir(ret, 0700) < 0 && errno != EEXIST)
                return false;

        find_absolute(socket_path, absolute);
        (void) crypto_generichash(hash, sizeof(hash), (const uint8_t *) absolute, strlen(absolute), NULL, 0);
        (void) sodium_bin2hex(name, sizeof(name), hash, NAME_BYTES);
        n = (int) strlen(ret);
        (void) snprintf(ret + n, (size_t) (PATH_MAX - n), "/%s.json", name);
        return true;
}

Memory *memory_load(const char *socket_path) {
        Memory *memory = calloc(1, sizeof(*memory));

        if (!memory || !find_path(socket_path, memory->path)) {
                free(memory);
                return NULL;
        }
        memory->root = json_load_file(memory->path, JSON_REJECT_DUPLICATES, NULL);
        if (!json_is_object(memory->root)) {
                json_decref(memory->root);
                memory->root = json_object();
        }
        (void) json_object_set_new(memory->root, "socket", json_string(socket_path));
        return memory;
}

Memory *memory_free(Memory *memory) {
        if (memory) {
                json_decref(memory->root);
                free(memory);
        }
        return NULL;
}

static json_t *wallet_of(const json_t *root, const char *id) {
        return id ? json_object_get(json_object_get(root, "wallets"), id) : NULL;
}

static void set(Memory *memory, json_t *object, const char *name, json_t *value) {
        if (value && json_equal(json_object_get(object, name), value)) {
                json_decref(value);
                return;
        }
        memory->is_changed = true;
        if (value)
                (void) json_object_set_new(object, name, value);
        else
                (void) json_object_del(object, name);
}

static void set_text(Memory *memory, json_t *object, const char *name, const char *text) {
        if (text)
                set(memory, object, name, json_string(text));
}

/* The first line of a checkpoint names wallet and epoch. */
static size_t n_origin(const char *checkpoint) {
        return strcspn(checkpoint, "\n");
}

static bool same_epoch(const char *a, const char *b) {
        return n_origin(a) == n_origin(b) && memcmp(a, b, n_origin(a)) == 0;
}

/* Epochs that were before the one that is remembered: who is in one of them again has gone back. Return: where it stands, or -1. */
static int find_epoch(const json_t *wallet, const char *checkpoint) {
        const json_t *epochs = json_object_get(wallet, "epochs");

        for (size_t i = 0; i < json_array_size(epochs); i++) {
                const char *epoch = json_string_value(json_array_get(epochs, i));

                if (epoch && strlen(epoch) == n_origin(checkpoint) && memcmp(epoch, checkpoint, strlen(epoch)) == 0)
                        return (int) i;
        }
        return -1;
}

/* @checkpoint is of a new epoch, and takes the place of @known. */
static void begin_epoch(Memory *memory, json_t *wallet, const char *known, const char *checkpoint, int64_t size) {
        json_t *epochs = json_object_get(wallet, "epochs");

        if (!json_is_array(epochs)) {
                epochs = json_array();
                (void) json_object_set_new(wallet, "epochs", epochs);
        }
        (void) json_array_append_new(epochs, json_stringn(known, n_origin(known)));
        if (message_int(wallet, "told", 0) > size)
                (void) json_object_set_new(wallet, "told", json_integer(size));
        (void) json_object_set_new(wallet, "checkpoint", json_string(checkpoint));
        memory->is_changed = true;
        memory->is_accepted = true; /* a smaller size is no older state now */
}

/* The patient says that what @status shows is how it should be. */
static void forget_before(Memory *memory, json_t *wallet, const char *checkpoint) {
        cleanup(json_decrefp) json_t *epochs = json_incref(json_object_get(wallet, "epochs"));
        cleanup(freep) char *known = strdup(message_text(wallet, "checkpoint", ""));
        int i;

        (void) json_object_clear(wallet);
        memory->is_changed = true;
        memory->is_accepted = true;
        if (!json_is_array(epochs)) {
                json_decref(epochs);
                epochs = json_array();
        }
        (void) json_object_set(wallet, "epochs", epochs);
        if (!checkpoint)
                return;
        if (known && known[0] != '\0' && !same_epoch(known, checkpoint))
                (void) json_array_append_new(epochs, json_stringn(known, n_origin(known)));
        i = find_epoch(wallet, checkpoint);
        if (i >= 0)
                (void) json_array_remove(epochs, (size_t) i);
}

MemoryVerdict memory_note(Memory *memory, const json_t *status, bool accept) {
        const char *id = message_text(status, "walletId", NULL);
        const char *checkpoint = message_text(status, "checkpoint", NULL);
        const char *last, *known;
        MemoryVerdict verdict = MEMORY_FINE;
        json_t *wallet;
        size_t n_body, n_known_body;
        int64_t size, known_size;

        set_text(memory, memory->root, "stateDir", message_text(status, "stateDir", NULL));
        if (!id)
                return MEMORY_FINE;

        if (!json_is_object(json_object_get(memory->root, "wallets")))
                set(memory, memory->root, "wallets", json_object());
        wallet = wallet_of(memory->root, id);
        if (!json_is_object(wallet)) {
                set(memory, json_object_get(memory->root, "wallets"), id, json_object());
                wallet = wallet_of(memory->root, id);
        }
        last = message_text(memory->root, "wallet", NULL);
        if (last && strcmp(last, id) != 0 && !accept)
                verdict = MEMORY_OTHER;
        set_text(memory, memory->root, "wallet", id);
        set_text(memory, wallet, "revocationKey", message_text(status, "revocationKey", NULL));

        if (accept) {
                forget_before(memory, wallet, checkpoint);
                set_text(memory, wallet, "revocationKey", message_text(status, "revocationKey", NULL));
        }
        if (json_object_get(wallet, "wrong"))
                return strcmp(message_text(wallet, "wrong", ""), "rewritten") == 0 ? MEMORY_REWRITTEN : MEMORY_OLDER;
        if (!checkpoint || memory_checkpoint_parse(checkpoint, &size, &n_body) != 0)
                return verdict;

        known = message_text(wallet, "checkpoint", NULL);
        if (known && memory_checkpoint_parse(known, &known_size, &n_known_body) == 0) {
                if (!same_epoch(known, checkpoint) && find_epoch(wallet, checkpoint) < 0 && strcmp(message_text(status, "epochBy", ""), "went-back") != 0) {
                        begin_epoch(memory, wallet, known, checkpoint, size);
                        return verdict == MEMORY_FINE ? MEMORY_ANEW : verdict;
                }
                if (!same_epoch(known, checkpoint)) {
                        set_text(memory, wallet, "wrong", "older");
                        return MEMORY_OLDER;
                }
                if (size < known_size) {
                        set_text(memory, wallet, "wrong", "older");
                        return MEMORY_OLDER;
                }
                if (size == known_size && (n_body != n_known_body || memcmp(checkpoint, known, n_body) != 0)) {
                        set_text(memory, wallet, "wrong", "rewritten");
                        return MEMORY_REWRITTEN;
                }
        }
        set_text(memory, wallet, "checkpoint", checkpoint);
        return verdict;
}

const char *memory_checkpoint(const Memory *memory) {
        return message_text(wallet_of(memory->root, message_text(memory->root, "wallet", NULL)), "checkpoint", NULL);
}

int64_t memory_checkpoint_size(const Memory *memory) {
        const json_t *wallet = wallet_of(memory->root, message_text(memory->root, "wallet", NULL));
        size_t n_body;
        int64_t size;

        return memory_checkpoint_parse(message_text(wallet, "checkpoint", ""), &size, &n_body) == 0 ? size : 0;
}

int64_t memory_told_size(const Memory *memory) {
        int64_t size = message_int(wallet_of(memory->root, message_text(memory->root, "wallet", NULL)), "told", 0);

        return size > 0 ? size : 0;
}

static bool find_today(char ret[static 16]) {
        time_t now = time(NULL);
        struct tm tm;

        return localtime_r(&now, &tm) && strftime(ret, 16, "%Y-%m-%d", &tm) > 0;
}

bool memory_told_today(const Memory *memory) {
        char today[16];

        return find_today(today) && strcmp(message_text(memory->root, "shown", ""), today) == 0;
}

void memory_tell(Memory *memory, const json_t *status) {
        json_t *wallet = wallet_of(memory->root, message_text(status, "walletId", NULL));
        char today[16];
        size_t n_body;
        int64_t size;

        if (wallet && memory_checkpoint_parse(message_text(status, "checkpoint", ""), &size, &n_body) == 0)
                set(memory, wallet, "told", json_integer(size));
        if (find_today(today))
                set_text(memory, memory->root, "shown", today);
}

const char *memory_state_dir(const Memory *memory) {
        return message_text(memory->root, "stateDir", NULL);
}

bool memory_revocation_key(const Memory *memory, uint8_t ret_key[static 32], uint8_t ret_wallet_id[static 16]) {
        const char *id = message_text(memory->root, "wallet", NULL);
        const char *key = message_text(wallet_of(memory->root, id), "revocationKey", NULL);
        size_t n_key, n_id;

        return id && key && b64url_decode(ret_key, 32, &n_key, key, strlen(key)) == 0 && n_key == 32 &&
               b64url_decode(ret_wallet_id, 16, &n_id, id, strlen(id)) == 0 && n_id == 16;
}

/* Another program of ours may have seen a longer ledger meanwhile: that must not be lost. */
static bool is_overtaken(const Memory *memory) {
        const char *id = message_text(memory->root, "wallet", NULL);
        cleanup(json_decrefp) json_t *now = json_load_file(memory->path, JSON_REJECT_DUPLICATES, NULL);
        const json_t *mine = wallet_of(memory->root, id), *other = wallet_of(now, id);
        int64_t size, other_size;
        size_t n_body;

        return !json_object_get(mine, "wrong") && json_object_get(mine, "checkpoint") &&
               memory_checkpoint_parse(message_text(mine, "checkpoint", ""), &size, &n_body) == 0 &&
               memory_checkpoint_parse(message_text(other, "checkpoint", ""), &other_size, &n_body) == 0 &&
               (other_size > size || json_object_get(other, "wrong"));
}

void memory_save(Memory *memory) {
        char temporary[PATH_MAX + 16];
        cleanup(close_fdp) int fd = -1;

        if (!memory->is_changed || (!memory->is_accepted && is_overtaken(memory)))
                return;
        memory->is_changed = false;

        (void) snprintf(temporary, sizeof(temporary), "%s.XXXXXX", memory->path);
        fd = mkostemp(temporary, O_CLOEXEC); /* mode 0600 */
        if (fd < 0)
                return;
        if (json_dumpfd(memory->root, fd, JSON_INDENT(2)) < 0 || rename(temporary, memory->path) < 0)
                (void) unlink(temporary);
}
