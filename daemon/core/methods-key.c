/* SPDX-License-Identifier: Apache-2.0 */

/* What opens the wallet: listed, added, replaced, removed. Each change is one new slot file, or none. */

#include "db.h"
#include "keyjob.h"
#include "narrowing.h"
#include "rotation.h"

#include <fcntl.h>
#include <sodium.h>
#include <sys/stat.h>
#include <sys/vfs.h>

#include "daemon/common/text.h"

enum {
        CIPHER_NEW = 4, /* version of SQLCipher's format */
};

typedef struct Adding {
        KeyJob job;
        int new_fd;
        SlotType type;
        bool replaces;
        size_t index; /* of the slot to be replaced */
        char label[SLOTS_LABEL_MAX + 1];
} Adding;

int method_list_keys(Call *call, void *userdata) {
        Manager *manager = userdata;
        json_t *keys = json_array();

        for (size_t i = 0; i < manager->slots.n_slots; i++) {
                const Slot *slot = &manager->slots.slots[i];
                json_t *key = json_pack("{s:s, s:s}", "label", slot->label, "type", slots_type_name(slot->type));

                if (key && slot->type == SLOT_PASSPHRASE)
                        (void) json_object_update_new(key, json_pack("{s:I, s:I}", "passes", (json_int_t) slot->opslimit, "memoryMib",
                                                                     (json_int_t) (slot->memlimit >> 20)));
                (void) json_array_append_new(keys, key);
        }
        return call_reply(call, json_pack("{s:o}", "keys", keys));
}

/* --- AddKey --- */

static void adding_done(KeyJob *job) {
        (void) close_fd(((Adding *) job)->new_fd);
}

static void store_added(KeyJob *job) {
        Adding *adding = (Adding *) job;
        Slots slots = job->manager->slots;
        const KeyMaterial *made = &job->made;
        int r;

        if (adding->replaces)
                r = slots_replace(&slots, adding->index, (SlotType) made->type, made->salt, made->opslimit, made->memlimit, adding->label, made->kek, job->root);
        else
                r = slots_add(&slots, (SlotType) made->type, made->salt, made->opslimit, made->memlimit, adding->label, made->kek, job->root);
        if (r != 0) {
                keyjob_failed(job, fold(r));
                return;
        }
        keyjob_store(job, &slots, adding->replaces ? "key-changed" : "key-added",
                     json_pack("{s:s, s:s}", "label", adding->label, "key", slots_type_name(made->type)), json_pack("{s:s}", "label", adding->label));
}

/* Which slot is meant where none is named: the one that was opened, or the only one of its type. */
static bool find_replaced(const Slots *slots, size_t opened, SlotType type, size_t *ret) {
        size_t n = 0;

        if (slots->slots[opened].type == type) {
                *ret = opened;
                return true;
        }
        for (size_t i = 0; i < slots->n_slots; i++)
                if (slots->slots[i].type == type) {
                        *ret = i;
                        n++;
                }
        return n == 1;
}

static void add_proven(KeyJob *job) {
        static const char *const names[N_SLOT_TYPES] = {
                [SLOT_PASSPHRASE] = "passphrase", [SLOT_RECOVERY] = "recovery code", [SLOT_CREDENTIAL] = "systemd credential" };
        Adding *adding = (Adding *) job;
        const Slots *slots = &job->manager->slots;
        bool named = adding->label[0] != '\0';
        size_t found;

        if (!named && !adding->replaces)
                (void) snprintf(adding->label, sizeof(adding->label), "%s", names[adding->type]);
        if (!adding->replaces || (adding->type == SLOT_RECOVERY && !named && !find_replaced(slots, job->slot, SLOT_RECOVERY, &found))) {
                /* a recovery code that was removed is made anew */
                adding->replaces = false;
                if (!named)
                        (void) snprintf(adding->label, sizeof(adding->label), "%s", names[adding->type]);
                if (slots_find(slots, adding->label, &found)) {
                        keyjob_error(job, "org.carewallet.Exists", json_pack("{s:s, s:s}", "what", "key", "name", adding->label));
                        return;
                }
                if (slots->n_slots == SLOTS_MAX) {
                        keyjob_refuse(job, "There are eight keys already, and no room for more. Remove one first: carewallet key list");
                        return;
                }
        } else {
                if (named ? !slots_find(slots, adding->label, &found) : !find_replaced(slots, job->slot, adding->type, &found)) {
                        if (named)
                                keyjob_error(job, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "key", "name", adding->label));
                        else
                                keyjob_refuse(job, "There are several passphrases. Say which one: carewallet key change LABEL; they are in: carewallet key list");
                        return;
                }
                if (slots->slots[found].type != adding->type) {
                        keyjob_refuse(job, "That key is of another kind and can't be changed into this one. Look at: carewallet key list");
                        return;
                }
                adding->index = found;
                (void) snprintf(adding->label, sizeof(adding->label), "%s", slots->slots[found].label);
        }
        keyjob_derive(job, adding->new_fd, adding->type, store_added);
}

static void begin_adding(KeyJob *job) {
        keyjob_prove(job, add_proven);
}

static bool label_valid(const char *label) {
        return strlen(label) <= SLOTS_LABEL_MAX && text_valid(label, strlen(label));
}

int method_add_key(Call *call, void *userdata) {
        const char *label = call_string(call, "label"), *type = call_string(call, "type");
        unsigned number = 1;
        Adding *adding;

        while (number < N_SLOT_TYPES && strcmp(type, slots_type_name(number)) != 0)
                number++;
        if (number == N_SLOT_TYPES)
                return call_invalid(call, "type");
        if (label && !label_valid(label))
                return call_invalid(call, "label");
        adding = (Adding *) keyjob_start(userdata, call, sizeof(*adding), begin_adding, adding_done);
        if (!adding)
                return -ENOMEM;
        adding->new_fd = call_take_fd(call, "newFd");
        adding->type = (SlotType) number;
        adding->replaces = call_bool(call, "replace", false);
        (void) snprintf(adding->label, sizeof(adding->label), "%s", label ? label : "");
        return 0;
}

/* --- RemoveKey --- */

static void remove_proven(KeyJob *job) {
        const char *label = call_string(job->call, "label");
        Slots slots = job->manager->slots;
        json_t *fields;
        size_t found;
        int r;

        if (!slots_find(&slots, label, &found)) {
                keyjob_error(job, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "key", "name", label));
                return;
        }
        fields = json_pack("{s:s, s:s}", "label", label, "key", slots_type_name(slots.slots[found].type));
        r = slots_remove(&slots, found);
        if (r == 0)
                keyjob_store(job, &slots, "key-removed", fields, NULL);
        else {
                json_decref(fields);
                keyjob_refuse(job, "That is the last passphrase: without one, only paper or this machine would open the wallet. "
                                   "Add another first (carewallet key add LABEL), or change this one (carewallet key change).");
        }
}

static void begin_removing(KeyJob *job) {
        keyjob_prove(job, remove_proven);
}

int method_remove_key(Call *call, void *userdata) {
        if (!label_valid(call_string(call, "label")))
                return call_invalid(call, "label");
        return keyjob_start(userdata, call, sizeof(KeyJob), begin_removing, NULL) ? 0 : -ENOMEM;
}

/* --- RotateKey: the plan, and then the core ends: who unlocks a fresh one carries it out --- */

static void lock_for_rotation(Manager *manager) {
        if (manager_lock(manager) != 0)
                fputs("carewalletd: the wallet could not be locked now; the plan is carried out when it was locked and is unlocked again\n", stderr);
}

typedef struct Rotating {
        KeyJob job;
        int code_fd;
        int passphrase_fd; /* of who is going to own it; -1: the one that was given stays */
        KeyMaterial code;
} Rotating;

static void rotating_done(KeyJob *job) {
        Rotating *rotating = (Rotating *) job;

        (void) close_fd(rotating->code_fd);
        (void) close_fd(rotating->passphrase_fd);
        (void) secret_free(rotating->code.kek);
}

/* Under the new root key: one passphrase and the new code. Which others end is said. */
static int new_slots(const Rotating *rotating, const Secret *new_root, Slots *ret, json_t *ended) {
        const Slots *slots = &rotating->job.manager->slots;
        const Slot *given = &slots->slots[rotating->job.slot];
        bool is_kept = rotating->passphrase_fd < 0;
        const char *label = is_kept ? given->label : "passphrase";
        const KeyMaterial *made = &rotating->job.made, *code = &rotating->code;
        int r;

        for (size_t i = 0; i < slots->n_slots; i++)
                if ((!is_kept || &slots->slots[i] != given) && slots->slots[i].type != SLOT_RECOVERY)
                        (void) json_array_append_new(ended, json_string(slots->slots[i].label));
        ret->n_slots = 0;
        if (is_kept)
                r = slots_add(ret, SLOT_PASSPHRASE, given->salt, given->opslimit, given->memlimit, label, rotating->job.kek, new_root);
        else
                r = slots_add(ret, SLOT_PASSPHRASE, made->salt, made->opslimit, made->memlimit, label, made->kek, new_root);
        return r ? r : slots_add(ret, SLOT_RECOVERY, code->salt, 0, 0, strcmp(label, "recovery code") == 0 ? "recovery code on paper" : "recovery code", code->kek, new_root);
}

static void rotate(Rotating *rotating) {
        KeyJob *job = &rotating->job;
        Manager *manager = job->manager;
        cleanup(secret_freep) Secret *new_root = NULL;
        json_t *ended = json_array();
        Slots slots = manager->slots;
        int r;

        r = secret_new(&new_root, KEYS_ROOT_SIZE);
        if (r == 0) {
                randombytes_buf(secret_data(new_root), KEYS_ROOT_SIZE);
                r = new_slots(rotating, new_root, &slots, ended);
        }
        /* first: whoever owns it next must not be asked for codes of a phone that another has */
        if (r == 0 && rotating->passphrase_fd >= 0)
                r = totp_give_up(manager);
        if (r == 0)
                r = rotation_prepare(manager->config.state_dir_fd, job->root, new_root, &slots, 0);
        if (r != 0) {
                json_decref(ended);
                rotation_abandon(manager->config.state_dir_fd);
                keyjob_refuse(job, "The plan could not be written: the disk is full or cannot be written. Nothing was changed.");
                return;
        }
        call_linger(job->call);
        keyjob_reply(job, json_pack("{s:o}", "ended", ended), -1);
        lock_for_rotation(manager);
}

/* A second copy, and a little; what waits for room goes first. */
static bool has_room(Manager *manager) {
        static const char *const names[] = { "records.db", "records.db-wal", "consent.db", "consent.db-wal" };
        uint64_t n_needed = 8 * 1024 * 1024;
        struct statfs fs;
        struct stat st;

        if (wallet_is_unstored(manager->wallet) && narrowing_store(manager) != 0)
                return false;
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                if (fstatat(manager->config.state_dir_fd, names[i], &st, AT_SYMLINK_NOFOLLOW) == 0)
                        n_needed += (uint64_t) st.st_size;
        return fstatfs(manager->config.state_dir_fd, &fs) < 0 || (uint64_t) fs.f_bavail * (uint64_t) fs.f_bsize >= n_needed;
}

static bool is_at_work(const Manager *manager) {
        return manager_is_storing(manager) || manager->checking || manager->is_backing_up || manager->n_outputs > 0;
}

static void passphrase_derived(KeyJob *job) {
        rotate((Rotating *) job);
}

static void code_derived(KeyJob *job) {
        Rotating *rotating = (Rotating *) job;

        rotating->code = job->made;
        job->made.kek = NULL;
        if (rotating->passphrase_fd >= 0)
                keyjob_derive(job, rotating->passphrase_fd, SLOT_PASSPHRASE, passphrase_derived);
        else
                rotate(rotating);
}

static void rotate_proven(KeyJob *job) {
        Rotating *rotating = (Rotating *) job;
        Manager *manager = job->manager;

        if (job->type != SLOT_PASSPHRASE && rotating->passphrase_fd < 0)
                keyjob_refuse(job, "For this the passphrase is needed. If it is lost, set a new one first: carewallet key change --recovery");
        else if (is_at_work(manager))
                keyjob_error(job, "org.carewallet.Busy", json_pack("{s:s}", "what", "an import, an export or a backup"));
        else if (!has_room(manager))
                keyjob_refuse(job, "There is no room on the disk for the second copy of your data that this needs. Make room and try again.");
        else
                keyjob_derive(job, rotating->code_fd, SLOT_RECOVERY, code_derived);
}

static void begin_rotating(KeyJob *job) {
        keyjob_prove(job, rotate_proven);
}

int method_rotate_key(Call *call, void *userdata) {
        Rotating *rotating = (Rotating *) keyjob_start(userdata, call, sizeof(*rotating), begin_rotating, rotating_done);

        if (!rotating)
                return -ENOMEM;
        rotating->code_fd = call_take_fd(call, "newFd");
        rotating->passphrase_fd = call_take_fd(call, "passphraseFd");
        return 0;
}

/* --- UpgradeCipher: the same, with the root key that there is, for another format --- */

static void upgrade_proven(KeyJob *job) {
        Manager *manager = job->manager;
        Slots slots = manager->slots;

        if (!db_has_cipher_4())
                keyjob_refuse(job, "This machine has SQLCipher 3, which knows only the format that the wallet has. Nothing was changed. It is for machines with SQLCipher 4, "
                                   "such as Debian 13, and there is no hurry: both read the format that the wallet has.");
        else if (faccessat(manager->config.state_dir_fd, ROTATION_CIPHER_MARKER, F_OK, 0) == 0)
                keyjob_refuse(job, "The wallet has the format of SQLCipher 4 already.");
        else if (is_at_work(manager))
                keyjob_error(job, "org.carewallet.Busy", json_pack("{s:s}", "what", "an import, an export or a backup"));
        else if (!has_room(manager))
                keyjob_refuse(job, "There is no room on the disk for the second copy of your data that this needs. Make room and try again.");
        else if (rotation_prepare(manager->config.state_dir_fd, job->root, job->root, &slots, CIPHER_NEW) != 0) {
                rotation_abandon(manager->config.state_dir_fd);
                keyjob_refuse(job, "The plan could not be written: the disk is full or cannot be written. Nothing was changed.");
        } else {
                call_linger(job->call);
                keyjob_reply(job, NULL, -1);
                lock_for_rotation(manager);
        }
}

static void begin_upgrading(KeyJob *job) {
        keyjob_prove(job, upgrade_proven);
}

int method_upgrade_cipher(Call *call, void *userdata) {
        return keyjob_start(userdata, call, sizeof(KeyJob), begin_upgrading, NULL) ? 0 : -ENOMEM;
}
