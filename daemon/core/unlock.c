/* SPDX-License-Identifier: Apache-2.0 */

/* Init and Unlock: chains of kdf runs, since nothing here may block. */

#include <sodium.h>

#include "daemon/common/recovery.h"
#include "epoch.h"
#include "gate.h"
#include "kdf.h"
#include "manager.h"

enum {
        OPSLIMIT_MIN = 3, /* RFC 9106 section 4: t = 3 with less than 2 GiB */
};

struct Unlocking {
        Manager *manager;
        Call *call;
        Kdf *kdf;
        int secret_fd;
        Secret *root;
        /* Unlock */
        SlotType type;
        size_t slot; /* being tried */
        bool insist;
        /* Init */
        char zone[CLOCK_ZONE_MAX];
        uint8_t salt[16];
        uint8_t recovery_salt[16];
        int recovery_fd;
        Wallet *wallet;
        unsigned n_gate_keys;
        bool gate_key_running;
};

static Unlocking *unlocking_free(Unlocking *unlocking) {
        if (!unlocking)
                return NULL;
        if (unlocking->manager->unlocking == unlocking)
                unlocking->manager->unlocking = NULL;
        (void) kdf_cancel(unlocking->kdf);
        (void) close_fd(unlocking->secret_fd);
        (void) close_fd(unlocking->recovery_fd);
        (void) secret_free(unlocking->root);
        (void) wallet_close(unlocking->wallet);
        free(unlocking);
        return NULL;
}

/* The peer hung up. A gate key that is being made reports to nobody: it finds manager->unlocking changed. */
static void on_gone(Call *call, void *userdata) {
        (void) unlocking_free(userdata);
        (void) call_free(call);
}

static Unlocking *unlocking_new(Manager *manager, Call *call, const char *fd_name) {
        Unlocking *unlocking = calloc(1, sizeof(*unlocking));

        if (!unlocking)
                return NULL;
        unlocking->manager = manager;
        unlocking->call = call;
        unlocking->secret_fd = call_take_fd(call, fd_name);
        unlocking->recovery_fd = -1;
        call->gone = on_gone;
        call->gone_userdata = unlocking;
        manager->unlocking = unlocking;
        return unlocking;
}

static void fail(Unlocking *unlocking, const char *error, json_t *parameters) {
        Call *call = unlocking->call;

        call->gone = NULL;
        (void) unlocking_free(unlocking);
        (void) call_error(call, error, parameters);
}

static void fail_refused(Unlocking *unlocking, const char *reason) {
        fail(unlocking, "org.carewallet.Refused", json_pack("{s:s}", "reason", reason));
}

static void fail_internal(Unlocking *unlocking, int r) {
        fail(unlocking, "org.carewallet.Internal", json_pack("{s:s}", "reason", strerror(r < 0 ? -r : ENOTRECOVERABLE)));
}

static const char *kdf_reason(int r) {
        switch (r) {
        case KDF_E_SECRET:
                return "The passphrase must come as a sealed memfd of 1 to 4096 bytes.";
        case KDF_E_MEMORY:
                return "There is not enough free memory to derive the key. Close other programs and try again.";
        default:
                return "The key worker failed. The journal says why.";
        }
}

static const char *wallet_reason(int r) {
        switch (r) {
        case WALLET_E_KEY:
                return "A database does not belong to this wallet, or it is damaged. Restore a backup.";
        case WALLET_E_MISSING:
                return "A database is missing from the state directory though the keys are there. Restore a backup.";
        case WALLET_E_VERSION:
                return "This wallet was written by a later version of carewallet. Install that version.";
        case WALLET_E_FULL:
                return "The disk is full or cannot be written. Make room and try again.";
        default:
                return NULL;
        }
}

static const char *epoch_reason(int r) {
        switch (r) {
        case EPOCH_E_FOREIGN:
                return "This state directory was restored from a file that this wallet did not write. Restore the backup again, from the file that carewallet backup wrote.";
        case EPOCH_E_FULL:
                return "This wallet is an older state of itself, and that must be written down before it opens: the disk is full. Make room and try again.";
        default:
                return "What was restored could not be read. The journal says more.";
        }
}

/* --- Unlock --- */

/* The answer to a wrong try waits, by a timer; tries of the same user in the meantime are answered at once, and not made. */
typedef struct Delayed {
        Call *call;
        sd_event_source *timer;
} Delayed;

static void delayed_free(Delayed *delayed) {
        sd_event_source_disable_unref(delayed->timer);
        free(delayed);
}

static void on_delayed_gone(Call *call, void *userdata) {
        delayed_free(userdata);
        (void) call_free(call);
}

static int wrong(Call *call, uint64_t retry_after_ms) {
        return call_error(call, "org.carewallet.WrongPassphrase", json_pack("{s:I}", "retryAfterMs", (json_int_t) retry_after_ms));
}

static int on_delay(sd_event_source *source, uint64_t time_us, void *userdata) {
        Delayed *delayed = userdata;
        Call *call = delayed->call;

        (void) source;
        (void) time_us;
        call->gone = NULL;
        delayed_free(delayed);
        (void) wrong(call, 0);
        return 0;
}

static void fail_wrong(Unlocking *unlocking) {
        Manager *manager = unlocking->manager;
        Call *call = unlocking->call;
        uint64_t wait_ms = guard_failed(&manager->guard, &call->peer, clock_monotonic_ms());
        Delayed *delayed = calloc(1, sizeof(*delayed));

        (void) unlocking_free(unlocking);
        if (!delayed || sd_event_add_time_relative(manager->event, &delayed->timer, CLOCK_MONOTONIC, wait_ms * 1000, 1000, on_delay, delayed) < 0) {
                free(delayed);
                call->gone = NULL;
                (void) wrong(call, wait_ms);
                return;
        }
        delayed->call = call;
        call->gone = on_delayed_gone;
        call->gone_userdata = delayed;
}

static void try_next(Unlocking *unlocking);

static void unlocked(Unlocking *unlocking) {
        Manager *manager = unlocking->manager;
        cleanup(freep) char *seen = NULL;
        json_t *unknown = json_array();
        unsigned n_applied = 0;
        bool old_keys;
        Call *call;
        size_t n;
        int r;

        r = slots_verify(&manager->slots, unlocking->root);
        if (r != 0) {
                json_decref(unknown);
                fail_refused(unlocking, "The slot file was altered since carewallet wrote it. Restore a backup.");
                return;
        }
        guard_passed(&manager->guard, &unlocking->call->peer, clock_monotonic_ms());
        if (!manager->wallet) {
                r = wallet_open(&unlocking->wallet, manager->config.state_dir, unlocking->root, NULL);
                if (r != 0)
                        json_decref(unknown);
                if (r > 0) {
                        fail_refused(unlocking, wallet_reason(r));
                        return;
                }
                if (r < 0) {
                        fail_internal(unlocking, r);
                        return;
                }
                r = consent_setting_get(unlocking->wallet->consent, "slots-generation", &seen, &n);
                old_keys = r == 0 && n == 8 && get_le64((const uint8_t *) seen) > manager->slots.generation;
                if (old_keys && !unlocking->insist) {
                        json_decref(unknown);
                        fail_refused(unlocking, "The slot file is older than the one that this wallet has seen: somebody put an old file back. "
                                                "If that was you, unlock with --insist.");
                        return;
                }
                if (manager->slots.n_copies < 2)
                        (void) fold(slots_store(&manager->slots, manager->config.state_dir_fd, unlocking->root));
                manager->wallet = take_ptr(unlocking->wallet);
                r = epoch_check(manager, call_string(unlocking->call, "seen"), old_keys);
                if (r != 0) {
                        manager->wallet = wallet_close(manager->wallet);
                        json_decref(unknown);
                        fail_refused(unlocking, epoch_reason(r));
                        return;
                }
                r = manager_opened(manager, &n_applied, unknown);
                if (r != 0) {
                        manager->wallet = wallet_close(manager->wallet);
                        json_decref(unknown);
                        fail_refused(unlocking, r == -EACCES ? "Revocations that wait in the state directory belong to another user and can't be read, so nothing is opened. "
                                                               "Give the folder spool in it to carewalletd's user."
                                                             : "Revocations that waited could not be written, so nothing is opened. Make room on the disk and try again.");
                        return;
                }
        } else if (manager_apply_spool(manager, &n_applied, unknown) != 0)
                fputs("carewalletd: a revocation that waits could not be applied\n", stderr);

        call = unlocking->call;
        call->gone = NULL;
        (void) unlocking_free(unlocking);
        (void) call_reply(call, json_pack("{s:i, s:o}", "applied", (int) n_applied, "unknown", unknown));
}

static void on_unlock_key(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata) {
        cleanup(secret_freep) Secret *kek = key;
        Unlocking *unlocking = userdata;

        (void) opslimit;
        (void) memlimit;
        unlocking->kdf = NULL;
        if (r == 0) {
                r = slots_unwrap(&unlocking->manager->slots, unlocking->slot, kek, &unlocking->root);
                if (r == 0) {
                        unlocked(unlocking);
                        return;
                }
                if (r < 0) {
                        fail_internal(unlocking, r);
                        return;
                }
                unlocking->slot++;
                try_next(unlocking);
        } else if (r == KDF_E_CODE)
                fail_refused(unlocking, "That is no recovery code: it has eight groups of five characters, and a group does not check. Compare it with your copy.");
        else if (r > 0)
                fail_refused(unlocking, kdf_reason(r));
        else
                fail_internal(unlocking, r);
}

static void try_next(Unlocking *unlocking) {
        Manager *manager = unlocking->manager;
        FrameKdfRequest request = { .version = FRAME_VERSION };
        const Slot *slot;
        int r;

        while (unlocking->slot < manager->slots.n_slots && manager->slots.slots[unlocking->slot].type != unlocking->type)
                unlocking->slot++;
        if (unlocking->slot == manager->slots.n_slots) {
                fail_wrong(unlocking);
                return;
        }
        slot = &manager->slots.slots[unlocking->slot];
        request.mode = slot->type == SLOT_RECOVERY ? FRAME_KDF_RECOVERY : FRAME_KDF_PASSPHRASE;
        memcpy(request.salt, slot->salt, sizeof(request.salt));
        request.opslimit = slot->opslimit;
        request.memlimit = slot->memlimit;
        r = kdf_start(&unlocking->kdf, manager->event, manager->config.launcher_fd, unlocking->secret_fd, &request, on_unlock_key, unlocking);
        if (r != 0)
                fail_internal(unlocking, fold(r));
}

int method_unlock(Call *call, void *userdata) {
        Manager *manager = userdata;
        Unlocking *unlocking;
        uint64_t wait_ms;

        if (!manager->has_slots)
                return call_error(call, "org.carewallet.NotInitialized", NULL);
        if (manager->unlocking)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "unlock"));
        wait_ms = guard_must_wait(&manager->guard, &call->peer, clock_monotonic_ms());
        if (wait_ms > 0)
                return wrong(call, wait_ms);
        unlocking = unlocking_new(manager, call, "secretFd");
        if (!unlocking)
                return -ENOMEM;
        unlocking->type = call_bool(call, "recovery", false) ? SLOT_RECOVERY : SLOT_PASSPHRASE;
        unlocking->insist = call_bool(call, "insist", false);
        try_next(unlocking);
        return 0;
}

/* --- Init: passphrase key, recovery key, databases, two gate keys, and last the slot file: without it there is no wallet --- */

static void initialized(Unlocking *unlocking) {
        Manager *manager = unlocking->manager;
        Call *call = unlocking->call;
        uint8_t generation[8];
        char id[24];
        json_t *unknown = json_array();
        unsigned n_applied;
        cleanup(close_fdp) int recovery_fd = -1;
        int r;

        r = slots_store(&manager->slots, manager->config.state_dir_fd, unlocking->root);
        if (r < 0) {
                fail_internal(unlocking, r);
                return;
        }
        manager->has_slots = true;
        manager->wallet = take_ptr(unlocking->wallet);
        put_le64(generation, manager->slots.generation);
        r = wallet_begin(manager->wallet);
        if (r == 0)
                r = consent_setting_put(manager->wallet->consent, "slots-generation", generation, sizeof(generation));
        if (r == 0)
                r = wallet_commit(manager->wallet);
        wallet_rollback(manager->wallet);
        if (r == 0)
                r = manager_opened(manager, &n_applied, unknown);
        json_decref(unknown);
        if (r != 0)
                fputs("carewalletd: the new wallet could not be written in full\n", stderr);

        guard_passed(&manager->guard, &call->peer, clock_monotonic_ms());
        recovery_fd = take_fd(&unlocking->recovery_fd);
        (void) unlocking_free(unlocking);
        (void) b64url_encode(id, sizeof(id), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
        (void) call_reply_fd(call, json_pack("{s:i, s:s, s:s}", "recoveryFd", 0, "walletId", id, "timezone", manager->wallet->zone), recovery_fd);
}

static void on_gate_key(const char *key_pem, const char *certificate_pem, const uint8_t *spki_sha256, void *userdata) {
        static const char *const names[2][3] = { { "gate-key", "gate-certificate", "gate-pin" }, { "gate-key-next", "gate-certificate-next", "gate-pin-next" } };
        Manager *manager = userdata;
        Unlocking *unlocking = manager->unlocking;
        Wallet *wallet;
        const char *const *name;
        int r;

        if (!unlocking || !unlocking->gate_key_running)
                return;
        unlocking->gate_key_running = false;
        if (!key_pem) {
                fail_refused(unlocking, "The gate worker could not make its TLS key. The journal says why.");
                return;
        }
        wallet = unlocking->wallet;
        name = names[unlocking->n_gate_keys];
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
                fail_refused(unlocking, "The disk is full or cannot be written. Make room and try again.");
                return;
        }
        memcpy(wallet->pins[wallet->n_pins++], spki_sha256, 32);
        if (++unlocking->n_gate_keys == N_ELEMENTS(names)) {
                initialized(unlocking);
                return;
        }
        unlocking->gate_key_running = true;
        r = gate_make_key(manager, on_gate_key, manager);
        if (r != 0)
                fail_internal(unlocking, fold(r));
}

static void remove_leftovers(int state_dir_fd) {
        static const char *const names[] = { "consent.db", "consent.db-wal", "consent.db-shm", "records.db", "records.db-wal", "records.db-shm" };

        /* Of an Init that did not reach its slot file: nobody has a key to them. */
        for (size_t i = 0; i < N_ELEMENTS(names); i++)
                (void) unlinkat(state_dir_fd, names[i], 0);
}

static void on_recovery_key(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata) {
        cleanup(secret_freep) Secret *kek = key;
        Unlocking *unlocking = userdata;
        Manager *manager = unlocking->manager;

        (void) opslimit;
        (void) memlimit;
        unlocking->kdf = NULL;
        if (r > 0) {
                fail_refused(unlocking, kdf_reason(r));
                return;
        }
        if (r == 0)
                r = slots_add(&manager->slots, SLOT_RECOVERY, unlocking->recovery_salt, 0, 0, "recovery code", kek, unlocking->root);
        if (r != 0) {
                fail_internal(unlocking, fold(r));
                return;
        }
        remove_leftovers(manager->config.state_dir_fd);
        r = wallet_open(&unlocking->wallet, manager->config.state_dir, unlocking->root, unlocking->zone);
        if (r > 0 && wallet_reason(r)) {
                fail_refused(unlocking, wallet_reason(r));
                return;
        }
        if (r == 0) {
                unlocking->gate_key_running = true;
                r = gate_make_key(manager, on_gate_key, manager);
        }
        if (r != 0)
                fail_internal(unlocking, fold(r));
}

static int start_recovery(Unlocking *unlocking) {
        FrameKdfRequest request = { .version = FRAME_VERSION, .mode = FRAME_KDF_RECOVERY };
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
        r = secret_to_memfd(&unlocking->recovery_fd, text, strlen((const char *) secret_data(text)));
        if (r < 0)
                return r;
        randombytes_buf(unlocking->recovery_salt, sizeof(unlocking->recovery_salt));
        memcpy(request.salt, unlocking->recovery_salt, sizeof(request.salt));
        return kdf_start(&unlocking->kdf, unlocking->manager->event, unlocking->manager->config.launcher_fd, unlocking->recovery_fd, &request, on_recovery_key,
                         unlocking);
}

static void on_init_key(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata) {
        cleanup(secret_freep) Secret *kek = key;
        Unlocking *unlocking = userdata;
        Manager *manager = unlocking->manager;

        unlocking->kdf = NULL;
        if (r > 0) {
                fail_refused(unlocking, kdf_reason(r));
                return;
        }
        if (r == 0)
                r = secret_new(&unlocking->root, KEYS_ROOT_SIZE);
        if (r == 0) {
                randombytes_buf(secret_data(unlocking->root), KEYS_ROOT_SIZE);
                r = slots_create(&manager->slots, unlocking->root);
        }
        if (r == 0)
                r = slots_add(&manager->slots, SLOT_PASSPHRASE, unlocking->salt, opslimit, memlimit, "passphrase", kek, unlocking->root);
        if (r == 0)
                r = start_recovery(unlocking);
        if (r != 0)
                fail_internal(unlocking, fold(r));
}

int method_init(Call *call, void *userdata) {
        Manager *manager = userdata;
        FrameKdfRequest request = { .version = FRAME_VERSION, .mode = FRAME_KDF_CALIBRATE, .opslimit = OPSLIMIT_MIN };
        const char *zone = call_string(call, "timezone");
        Unlocking *unlocking;
        int r;

        if (manager->has_slots)
                return call_error(call, "org.carewallet.AlreadyInitialized", NULL);
        if (manager->unlocking)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "init"));
        if (!zone)
                zone = manager->config.system_zone;
        if (!clock_zone_valid(zone))
                return call_refuse(call, "'%.64s' is no time zone that this machine knows. Give a name such as Europe/Berlin; `timedatectl list-timezones` lists them.", zone);
        unlocking = unlocking_new(manager, call, "passphraseFd");
        if (!unlocking)
                return -ENOMEM;
        (void) snprintf(unlocking->zone, sizeof(unlocking->zone), "%s", zone);
        randombytes_buf(unlocking->salt, sizeof(unlocking->salt));
        memcpy(request.salt, unlocking->salt, sizeof(request.salt));
        request.memlimit = manager->config.kdf_memlimit;
        r = kdf_start(&unlocking->kdf, manager->event, manager->config.launcher_fd, unlocking->secret_fd, &request, on_init_key, unlocking);
        if (r != 0)
                fail_internal(unlocking, fold(r));
        return 0;
}
