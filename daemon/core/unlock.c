/* SPDX-License-Identifier: Apache-2.0 */

/* Unlock: also of an open wallet, where it only proves that the passphrase is known. */

#include "epoch.h"
#include "failure.h"
#include "gate.h"
#include "keyjob.h"
#include "narrowing.h"
#include "rotation.h"

enum {
        PROGRESS_MS = 200,
};

/* The highest generation that the wallet has seen; 0: none. */
static uint64_t seen_generation(Wallet *wallet) {
        cleanup(freep) char *seen = NULL;
        size_t n;

        return consent_setting_get(wallet->consent, "slots-generation", &seen, &n) == 0 && n == 8 ? get_le64((const uint8_t *) seen) : 0;
}

static const char *spool_reason(int r) {
        return r == -EACCES ? "Revocations that wait in the state directory belong to another user and can't be read. "
                              "Give the folder spool in it to carewalletd's user, then unlock again."
                            : "Revocations that wait could not be written to the wallet: the disk is full or cannot be written. Make room on the disk, then unlock again.";
}

static const char *epoch_reason(int r) {
        switch (r) {
        case -EIO:
        case -ENOMEM:
                return failure_reason(r);
        case EPOCH_E_FOREIGN:
                return "This state directory was restored from a file that this wallet did not write. Restore the backup again, from the file that carewallet backup wrote.";
        case EPOCH_E_FULL:
                return "This wallet is an older state of itself, and that must be written down before it opens: the disk is full. Make room and try again.";
        default:
                return "What was restored could not be read. The journal says more.";
        }
}

static const char *wallet_trouble(int r) {
        const char *reason = r > 0 ? wallet_reason(r) : r == -ENOTRECOVERABLE || r == -EBADMSG ? wallet_reason(WALLET_E_KEY) : failure_reason(r);

        return reason ? reason : "The databases could not be opened. The journal says more.";
}

/*
 * The wallet of a root key, which is taken over, and all that waits for it. @seen: a checkpoint that the command line kept, or NULL; @unknown gets the
 * names in revocations that are no provider's. @ret_changed: what opens it was changed, and who did that may not know: the
 * wallet does not. Return: NULL, and the wallet is open; else why not, for a person.
 */
static const char *use_wallet(Manager *manager, Wallet *opened, const Secret *root, bool insist, const char *seen, unsigned *ret_applied, json_t *unknown, bool *ret_changed) {
        cleanup(wallet_closep) Wallet *wallet = opened;
        bool is_old, store;
        uint64_t generation;
        int r;

        generation = seen_generation(wallet);
        *ret_changed = generation < manager->slots.generation;
        is_old = generation > manager->slots.generation;
        if (is_old && !insist)
                return "The slot file is older than the one that this wallet has seen: somebody put an old file back. "
                       "If that was you, unlock with --insist.";
        store = is_old || manager->slots.n_copies < 2;
        if (is_old)
                manager->slots.generation = generation; /* from now on it is the newest */
        manager->wallet = take_ptr(wallet);
        if (store) {
                if (manager_store_slots(manager, &manager->slots, root, NULL, NULL) != 0)
                        fputs("carewalletd: the slot file could not be written again\n", stderr);
        } else if (generation < manager->slots.generation && manager_note_slots(manager, NULL, NULL) != 0)
                fputs("carewalletd: the generation of the slot file could not be noted\n", stderr);
        r = epoch_check(manager, seen, is_old);
        if (r != 0) {
                manager->wallet = wallet_close(manager->wallet);
                return epoch_reason(r);
        }
        r = manager_opened(manager, ret_applied, unknown);
        if (r == 0)
                return NULL;
        manager->wallet = wallet_close(manager->wallet);
        return spool_reason(r);
}

/* --- with a credential of the service manager --- */

static int open_slot(const Slots *slots, size_t index, const Secret *credential, Secret **ret_root) {
        cleanup(secret_freep) Secret *kek = NULL;
        int r;

        r = secret_new(&kek, 32);
        if (r == 0)
                r = slots_random_kek(secret_data(kek), SLOT_CREDENTIAL, slots->slots[index].salt, credential);
        return r == 0 ? slots_unwrap(slots, index, kek, ret_root) : r;
}

/* At start, when nobody waits: all of a copy at once. */
static int open_or_migrate(Wallet **ret, const char *dir, const Secret *root) {
        cleanup(keep_freep) Keep *keep = NULL;
        bool is_done = false;
        int r;

        r = wallet_open(ret, dir, root, NULL, false);
        if (r != WALLET_E_OLDER)
                return r;
        r = wallet_keep(&keep, dir, root);
        while (r == 0 && !is_done)
                r = keep_step(keep, &is_done);
        keep = keep_free(keep);
        return r == 0 ? wallet_open(ret, dir, root, NULL, true) : r > 0 ? WALLET_E_FULL : r;
}

static const char *open_with(Manager *manager, const Secret *credential) {
        const Slots *slots = &manager->slots;
        cleanup(secret_freep) Secret *root = NULL;
        Wallet *wallet;
        json_t *unknown;
        const char *reason;
        unsigned n_applied;
        bool changed;
        int r;

        for (size_t i = 0; !root && manager->has_slots && i < slots->n_slots; i++)
                if (slots->slots[i].type == SLOT_CREDENTIAL && open_slot(slots, i, credential, &root) < 0)
                        return "Out of memory.";
        if (!root)
                return "It is none of this wallet's keys. Make another: carewallet key add --systemd-credential";
        if (slots_verify(slots, root) != 0)
                return "The slot file was altered since carewallet wrote it. Restore a backup.";
        if (rotation_is_due(manager->config.state_dir_fd))
                return "A rotation of the keys was interrupted. It goes on when the wallet is unlocked with the passphrase.";
        r = open_or_migrate(&wallet, manager->config.state_dir, root);
        if (r != 0)
                return wallet_trouble(r);
        unknown = json_array();
        reason = use_wallet(manager, wallet, root, false, NULL, &n_applied, unknown, &changed);
        json_decref(unknown);
        return reason;
}

void unlock_at_start(Manager *manager) {
        cleanup(secret_freep) Secret *read = manager->config.credential, *credential = NULL;
        const char *reason;

        manager->config.credential = NULL;
        if (!read || secret_new(&credential, SLOTS_CREDENTIAL_SIZE) < 0)
                return;
        memcpy(secret_data(credential), secret_data(read), SLOTS_CREDENTIAL_SIZE);
        reason = open_with(manager, credential);
        (void) fprintf(stderr, "carewalletd: the credential %s%s\n", reason ? "did not open the wallet: " : "opened the wallet", reason ? reason : "");
}

/* --- Unlock --- */

typedef struct Unlocking {
        KeyJob job;
        Rotation *rotation; /* being carried out before it opens */
        sd_event_source *step;
        uint64_t said_ms;
        const char *rotated; /* what came of one, for the log; NULL: there was none */
        bool is_upgrade;     /* it was for another format of the files */
        Keep *keep;          /* being made before a migration */
        bool kept;
} Unlocking;

static void done(KeyJob *job) {
        Unlocking *unlocking = (Unlocking *) job;

        sd_event_source_disable_unref(unlocking->step);
        (void) rotation_free(unlocking->rotation);
        (void) keep_free(unlocking->keep);
}

static void start_steps(Unlocking *unlocking, sd_event_handler_t on_step) {
        int r;

        r = sd_event_add_defer(unlocking->job.manager->event, &unlocking->step, on_step, unlocking);
        if (r >= 0)
                r = sd_event_source_set_priority(unlocking->step, SD_EVENT_PRIORITY_IDLE);
        if (r >= 0)
                r = sd_event_source_set_enabled(unlocking->step, SD_EVENT_ON);
        if (r < 0)
                keyjob_failed(&unlocking->job, r);
}

static void open_now(KeyJob *job);

static int on_keep_step(sd_event_source *source, void *userdata) {
        Unlocking *unlocking = userdata;
        bool is_done = false;
        int r;

        (void) source;
        r = keep_step(unlocking->keep, &is_done);
        if (r != 0) {
                keyjob_refuse(&unlocking->job, wallet_trouble(r > 0 ? WALLET_E_FULL : r));
                return 0;
        }
        if (!is_done)
                return 0;
        unlocking->step = sd_event_source_disable_unref(unlocking->step);
        unlocking->keep = keep_free(unlocking->keep);
        unlocking->kept = true;
        open_now(&unlocking->job);
        return 0;
}

static void open_now(KeyJob *job) {
        Unlocking *unlocking = (Unlocking *) job;
        Manager *manager = job->manager;
        json_t *unknown, *reply;
        unsigned n_applied = 0;
        bool changed = false;
        Wallet *wallet;
        const char *reason;
        int r;

        r = wallet_open(&wallet, manager->config.state_dir, job->root, NULL, unlocking->kept);
        if (r == WALLET_E_OLDER) {
                r = wallet_keep(&unlocking->keep, manager->config.state_dir, job->root);
                if (r == 0) {
                        start_steps(unlocking, on_keep_step);
                        return;
                }
        }
        if (r != 0) {
                keyjob_refuse(job, wallet_trouble(r));
                return;
        }
        unknown = json_array();
        reason = use_wallet(manager, wallet, job->root, call_bool(job->call, "insist", false), call_string(job->call, "seen"), &n_applied, unknown, &changed);
        if (reason) {
                json_decref(unknown);
                keyjob_refuse(job, reason);
                return;
        }
        if (unlocking->rotated && manager_note_slots(manager, unlocking->is_upgrade ? "cipher-upgraded" : "keys-rotated", json_pack("{s:s}", "state", unlocking->rotated)) != 0)
                fputs("carewalletd: the rotation of the keys could not be logged\n", stderr);
        reply = json_pack("{s:i, s:o}", "applied", (int) n_applied, "unknown", unknown);
        if (reply && unlocking->rotated)
                (void) json_object_set_new(reply, "rotation", json_string(unlocking->rotated));
        if (reply && changed && !unlocking->is_upgrade)
                (void) json_object_set_new(reply, "keysChanged", json_true());
        keyjob_reply(job, reply, -1);
}

/* What could not be copied stays as it was, under the old keys. */
static void give_up(Unlocking *unlocking, int r) {
        (void) fprintf(stderr, "carewalletd: the keys could not be rotated: %s\n", r == ROTATION_E_FULL ? "the disk is full" : r < 0 ? strerror(-r) : "a database can't be read");
        unlocking->step = sd_event_source_disable_unref(unlocking->step);
        unlocking->rotation = rotation_free(unlocking->rotation);
        rotation_abandon(unlocking->job.manager->config.state_dir_fd);
        unlocking->rotated = r == ROTATION_E_FULL ? "given up: the disk is full" : "given up";
        open_now(&unlocking->job);
}

static void finish_rotation(Unlocking *unlocking) {
        Manager *manager = unlocking->job.manager;
        Secret *root = NULL;
        bool whole = false;
        int r;

        unlocking->step = sd_event_source_disable_unref(unlocking->step);
        r = rotation_finish(unlocking->rotation, &whole, &root);
        if (r != 0 && !whole) {
                give_up(unlocking, r == -ENOSPC ? ROTATION_E_FULL : r);
                return;
        }
        if (r == 0)
                r = slots_load(&manager->slots, manager->config.state_dir_fd);
        if (r != 0) {
                (void) secret_free(root);
                keyjob_refuse(&unlocking->job, "The data is written anew, but not all files could be put in their places. Make room on the disk, then start carewalletd again: it goes on by itself.");
                return;
        }
        unlocking->rotation = rotation_free(unlocking->rotation);
        (void) secret_free(unlocking->job.root);
        unlocking->job.root = root;
        unlocking->rotated = "done";
        open_now(&unlocking->job);
}

static int on_step(sd_event_source *source, void *userdata) {
        Unlocking *unlocking = userdata;
        uint64_t now_ms = clock_monotonic_ms();
        bool is_done = false;
        int r;

        (void) source;
        r = rotation_step(unlocking->rotation, &is_done);
        if (r != 0)
                give_up(unlocking, r);
        else if (is_done)
                finish_rotation(unlocking);
        else if (unlocking->job.call->more && now_ms >= unlocking->said_ms + PROGRESS_MS) {
                int64_t n_done, n_all;

                rotation_progress(unlocking->rotation, &n_done, &n_all);
                unlocking->said_ms = now_ms;
                (void) call_continue(unlocking->job.call, json_pack("{s:{s:I, s:I}}", "progress", "done", (json_int_t) n_done, "all", (json_int_t) n_all), -1);
        }
        return 0;
}

static void start_rotation(Unlocking *unlocking) {
        Manager *manager = unlocking->job.manager;
        int r;

        r = rotation_begin(&unlocking->rotation, manager->config.state_dir, manager->config.state_dir_fd, unlocking->job.root);
        if (r != 0) {
                give_up(unlocking, r);
                return;
        }
        unlocking->is_upgrade = rotation_is_upgrade(unlocking->rotation);
        start_steps(unlocking, on_step);
}

static void on_reset(void *userdata) {
        (void) userdata;
}

static void unlocked(KeyJob *job) {
        Manager *manager = job->manager;
        json_t *unknown;
        unsigned n_applied = 0;
        int r;

        if (!manager->wallet && rotation_is_due(manager->config.state_dir_fd)) {
                start_rotation((Unlocking *) job);
                return;
        }
        if (!manager->wallet) {
                open_now(job);
                return;
        }
        unknown = json_array();
        r = manager_apply_spool(manager, &n_applied, unknown);
        if (wallet_is_unstored(manager->wallet))
                narrowing_hold_gate(manager);
        else if (n_applied > 0 && gate_reset(manager, NULL, 0, on_reset, NULL) < 0)
                gate_stop(manager, "out of memory");
        keyjob_reply(job, json_pack("{s:i, s:o, s:s*}", "applied", (int) n_applied, "unknown", unknown, "notApplied", r != 0 ? spool_reason(r) : NULL), -1);
}

static void begin_unlock(KeyJob *job) {
        keyjob_prove(job, unlocked);
}

int method_unlock(Call *call, void *userdata) {
        Manager *manager = userdata;

        if (!manager->has_slots)
                return call_error(call, manager_why_closed(manager), NULL);
        return keyjob_start(manager, call, sizeof(Unlocking), begin_unlock, done) ? 0 : -ENOMEM;
}
