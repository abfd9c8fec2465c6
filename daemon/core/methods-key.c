/* SPDX-License-Identifier: Apache-2.0 */

/* What opens the wallet: listed, added, replaced, removed. Each change is one new slot file, or none. */

#include "keyjob.h"

#include "daemon/common/text.h"

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
