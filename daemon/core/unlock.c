/* SPDX-License-Identifier: Apache-2.0 */

/* Unlock: also of an open wallet, where it only proves that the passphrase is known. */

#include "epoch.h"
#include "keyjob.h"

/* The highest generation that the wallet has seen; 0: none. */
static uint64_t seen_generation(Wallet *wallet) {
        cleanup(freep) char *seen = NULL;
        size_t n;

        return consent_setting_get(wallet->consent, "slots-generation", &seen, &n) == 0 && n == 8 ? get_le64((const uint8_t *) seen) : 0;
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

/*
 * The wallet of a root key, and all that waits for it. @seen: a checkpoint that the command line kept, or NULL; @unknown gets the
 * names in revocations that are no provider's. Return: NULL, and the wallet is open; else why not, for a person.
 */
static const char *open_wallet(Manager *manager, const Secret *root, bool insist, const char *seen, unsigned *ret_applied, json_t *unknown) {
        cleanup(wallet_closep) Wallet *wallet = NULL;
        bool is_old, store;
        uint64_t generation;
        int r;

        r = wallet_open(&wallet, manager->config.state_dir, root, NULL);
        if (r != 0)
                return r > 0 ? wallet_reason(r) : "The databases could not be opened. The journal says more.";
        generation = seen_generation(wallet);
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
        return r == -EACCES ? "Revocations that wait in the state directory belong to another user and can't be read, so nothing is opened. "
                              "Give the folder spool in it to carewalletd's user."
                            : "Revocations that waited could not be written, so nothing is opened. Make room on the disk and try again.";
}

static void unlocked(KeyJob *job) {
        Manager *manager = job->manager;
        json_t *unknown = json_array();
        unsigned n_applied = 0;
        const char *reason;

        if (!manager->wallet) {
                reason = open_wallet(manager, job->root, call_bool(job->call, "insist", false), call_string(job->call, "seen"), &n_applied, unknown);
                if (reason) {
                        json_decref(unknown);
                        keyjob_refuse(job, reason);
                        return;
                }
        } else if (manager_apply_spool(manager, &n_applied, unknown) != 0)
                fputs("carewalletd: a revocation that waits could not be applied\n", stderr);
        keyjob_reply(job, json_pack("{s:i, s:o}", "applied", (int) n_applied, "unknown", unknown), -1);
}

static void begin_unlock(KeyJob *job) {
        keyjob_prove(job, unlocked);
}

int method_unlock(Call *call, void *userdata) {
        Manager *manager = userdata;

        if (!manager->has_slots)
                return call_error(call, "org.carewallet.NotInitialized", NULL);
        return keyjob_start(manager, call, sizeof(KeyJob), begin_unlock, NULL) ? 0 : -ENOMEM;
}
