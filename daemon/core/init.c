/* SPDX-License-Identifier: Apache-2.0 */

/* Init: passphrase key, recovery key, databases, two gate keys, and last the slot file: without it there is no wallet. */

#include <sodium.h>

#include "daemon/common/recovery.h"
#include "gate.h"
#include "keyjob.h"

struct Initializing {
        KeyJob job;
        char zone[CLOCK_ZONE_MAX];
        int passphrase_fd;
        int recovery_fd;
        Slots slots;
        Wallet *wallet;
        unsigned n_gate_keys;
        bool gate_key_running;
};

static void done(KeyJob *job) {
        Initializing *init = (Initializing *) job;

        /* A gate key that is being made finds that nobody initializes any more. */
        if (job->manager->initializing == init)
                job->manager->initializing = NULL;
        (void) close_fd(init->passphrase_fd);
        (void) close_fd(init->recovery_fd);
        (void) wallet_close(init->wallet);
}

static void initialized(Initializing *init) {
        Manager *manager = init->job.manager;
        cleanup(close_fdp) int recovery_fd = -1;
        json_t *unknown = json_array();
        unsigned n_applied;
        char id[24];
        int r;

        manager->wallet = take_ptr(init->wallet);
        r = manager_store_slots(manager, &init->slots, init->job.root, NULL, NULL);
        if (r < 0) {
                manager->wallet = wallet_close(manager->wallet);
                json_decref(unknown);
                keyjob_failed(&init->job, r);
                return;
        }
        manager->has_slots = true;
        slots_end(manager->config.state_dir_fd);
        if (r == 0)
                r = manager_opened(manager, &n_applied, unknown);
        json_decref(unknown);
        if (r != 0)
                fputs("carewalletd: the new wallet could not be written in full\n", stderr);

        guard_passed(&manager->guard, &init->job.call->peer, clock_monotonic_ms());
        recovery_fd = take_fd(&init->recovery_fd);
        (void) b64url_encode(id, sizeof(id), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
        keyjob_reply(&init->job, json_pack("{s:i, s:s, s:s}", "recoveryFd", 0, "walletId", id, "timezone", manager->wallet->zone), recovery_fd);
}

static void on_gate_key(const char *key_pem, const char *certificate_pem, const uint8_t *spki_sha256, void *userdata) {
        static const char *const names[2][3] = { { "gate-key", "gate-certificate", "gate-pin" }, { "gate-key-next", "gate-certificate-next", "gate-pin-next" } };
        Manager *manager = userdata;
        Initializing *init = manager->initializing;
        Wallet *wallet;
        const char *const *name;
        int r;

        if (!init || !init->gate_key_running)
                return;
        init->gate_key_running = false;
        if (!key_pem) {
                keyjob_refuse(&init->job, "The gate worker could not make its TLS key. The journal says why.");
                return;
        }
        wallet = init->wallet;
        name = names[init->n_gate_keys];
        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_setting_put(wallet->consent, name[0], key_pem, strlen(key_pem));
        if (r == 0)
                r = consent_setting_put(wallet->consent, name[1], certificate_pem, strlen(certificate_pem));
        if (r == 0)
                r = consent_setting_put(wallet->consent, name[2], spki_sha256, 32);
        if (r == 0)
                r = wallet_commit(wallet);
        if (r != 0) {
                keyjob_refuse(&init->job, "The disk is full or cannot be written. Make room and try again.");
                return;
        }
        memcpy(wallet->pins[wallet->n_pins++], spki_sha256, 32);
        if (++init->n_gate_keys == N_ELEMENTS(names)) {
                initialized(init);
                return;
        }
        init->gate_key_running = true;
        r = gate_make_key(manager, on_gate_key, manager);
        if (r != 0)
                keyjob_failed(&init->job, fold(r));
}

static void remove_leftovers(int state_dir_fd) {
        static const char *const names[] = { "slots", "slots.bak", "consent.db", "consent.db-wal", "consent.db-shm", "records.db", "records.db-wal", "records.db-shm" };

        /* Of an Init that did not end well: nobody was told of it. The slot file first, without which there is no wallet. */
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                (void) unlinkat(state_dir_fd, names[i], 0);
}

static int add_slot(Initializing *init, const char *label) {
        const KeyMaterial *made = &init->job.made;

        return slots_add(&init->slots, (SlotType) made->type, made->salt, made->opslimit, made->memlimit, label, made->kek, init->job.root);
}

static void on_recovery_key(KeyJob *job) {
        Initializing *init = (Initializing *) job;
        Manager *manager = job->manager;
        int r;

        r = add_slot(init, "recovery code");
        if (r != 0) {
                keyjob_failed(job, fold(r));
                return;
        }
        remove_leftovers(manager->config.state_dir_fd);
        r = slots_begin(manager->config.state_dir_fd);
        if (r < 0) {
                keyjob_refuse(job, "The disk is full or cannot be written. Make room and try again.");
                return;
        }
        r = wallet_open(&init->wallet, manager->config.state_dir, job->root, init->zone, false);
        if (r > 0 && wallet_reason(r)) {
                keyjob_refuse(job, wallet_reason(r));
                return;
        }
        if (r == 0) {
                init->gate_key_running = true;
                r = gate_make_key(manager, on_gate_key, manager);
        }
        if (r != 0)
                keyjob_failed(job, fold(r));
}

static int make_recovery_code(int *ret_fd) {
        cleanup(secret_freep) Secret *bytes = NULL, *text = NULL;
        int r;

        r = secret_new(&bytes, RECOVERY_SIZE);
        if (r < 0)
                return r;
        r = secret_new(&text, RECOVERY_TEXT_SIZE);
        if (r < 0)
                return r;
        randombytes_buf(secret_data(bytes), RECOVERY_SIZE);
        recovery_encode((char *) secret_data(text), secret_data(bytes));
        return secret_to_memfd(ret_fd, text, strlen((const char *) secret_data(text)));
}

static void on_passphrase_key(KeyJob *job) {
        Initializing *init = (Initializing *) job;
        int r;

        r = secret_new(&job->root, KEYS_ROOT_SIZE);
        if (r == 0) {
                randombytes_buf(secret_data(job->root), KEYS_ROOT_SIZE);
                r = slots_create(&init->slots, job->root);
        }
        if (r == 0)
                r = add_slot(init, "passphrase");
        if (r == 0)
                r = make_recovery_code(&init->recovery_fd);
        if (r == 0)
                keyjob_derive(job, init->recovery_fd, SLOT_RECOVERY, on_recovery_key);
        else
                keyjob_failed(job, fold(r));
}

static void begin(KeyJob *job) {
        Initializing *init = (Initializing *) job;

        if (job->manager->has_slots) { /* while it waited */
                keyjob_error(job, "org.carewallet.AlreadyInitialized", NULL);
                return;
        }
        job->manager->initializing = init;
        keyjob_derive(job, init->passphrase_fd, SLOT_PASSPHRASE, on_passphrase_key);
}

int method_init(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *zone = call_string(call, "timezone");
        Initializing *init;

        if (manager->has_slots)
                return call_error(call, "org.carewallet.AlreadyInitialized", NULL);
        if (manager->has_lost_slots)
                return call_error(call, manager_why_closed(manager), NULL);
        if (!zone)
                zone = manager->config.system_zone;
        if (!clock_zone_valid(zone))
                return call_refuse(call, "'%.64s' is no time zone that this machine knows. Give a name such as Europe/Berlin; `timedatectl list-timezones` lists them.", zone);
        init = (Initializing *) keyjob_start(manager, call, sizeof(*init), begin, done);
        if (!init)
                return -ENOMEM;
        init->passphrase_fd = call_take_fd(call, "passphraseFd");
        init->recovery_fd = -1;
        (void) snprintf(init->zone, sizeof(init->zone), "%s", zone);
        return 0;
}
