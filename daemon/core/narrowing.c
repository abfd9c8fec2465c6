/* SPDX-License-Identifier: Apache-2.0 */

#include "narrowing.h"

#include "daemon/common/spool.h"
#include "epoch.h"
#include "gate.h"

static int on_retry(sd_event_source *source, uint64_t time_us, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        (void) time_us;
        if (!manager->wallet || narrowing_store(manager) != 0)
                return 0;
        fputs("carewalletd: what was ended is on the disk now\n", stderr);
        manager->narrowing = (sd_event_source_disable_unref(manager->narrowing), NULL);
        if (!manager->gate_waits)
                return 0;
        manager->gate_waits = false;
        if (!manager->gate && gate_start_stored(manager) != 0)
                fputs("carewalletd: the gate could not be started again\n", stderr);
        return 0;
}

static void try_again_later(Manager *manager) {
        int r = 0;

        if (!manager->narrowing) {
                fputs("carewalletd: what was ended is not stored: the disk is full or cannot be written. It is tried again every few seconds\n", stderr);
                r = sd_event_add_time_relative(manager->event, &manager->narrowing, CLOCK_MONOTONIC, 0, 0, on_retry, manager);
        }
        if (r >= 0)
                r = sd_event_source_set_time_relative(manager->narrowing, NARROWING_RETRY_MS * UINT64_C(1000));
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->narrowing, SD_EVENT_ONESHOT);
        if (r < 0)
                fputs("carewalletd: out of memory: what was ended is not tried again by itself\n", stderr);
}

/* The notes of what is stored are not needed any more; one that can't be removed now is removed the next time. */
static void forget_notes(Manager *manager) {
        if (manager->n_notes == 0 || spool_remove(manager->config.state_dir_fd, manager->notes, manager->n_notes) < 0)
                return;
        manager->n_notes = 0;
        if (spool_reserve(manager->config.state_dir_fd) < 0)
                fputs("carewalletd: no room could be reserved for revocations on a full disk\n", stderr);
}

int narrowing_store(Manager *manager) {
        bool is_stored = !manager->seen_unstored || epoch_try_again(manager) == 0;

        if (wallet_is_unstored(manager->wallet) && (wallet_begin(manager->wallet) != 0 || wallet_commit(manager->wallet) != 0))
                is_stored = false;
        if (is_stored)
                forget_notes(manager);
        else
                try_again_later(manager);
        return is_stored ? 0 : NARROWING_E_UNSTORED;
}

void narrowing_hold_gate(Manager *manager) {
        manager->gate_waits |= manager->gate != NULL;
        gate_stop(manager, "the disk is full or cannot be written: a revocation is not stored yet");
}

/* One entry for each provider that lost something, or one for all when nobody has anything left. */
int narrowing_spool(Manager *manager) {
        const Wallet *wallet = manager->wallet;
        cleanup(freep) SpoolEntry *entries = calloc(SPOOL_FILES_MAX, sizeof(*entries));
        SpoolName *notes;
        bool is_all = true;
        size_t n = 0;
        int r;

        if (!entries)
                return -ENOMEM;
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                const Grant *grant = grants_at(wallet->grants, i);
                size_t known = 0;

                is_all = is_all && grant->policy.revoked;
                if (!grant->revoked_unstored || grant->revoked_spooled)
                        continue;
                while (known < n && strcmp(entries[known].provider, grant->provider_name) != 0)
                        known++;
                if (known < n)
                        continue;
                if (n == SPOOL_FILES_MAX)
                        return SPOOL_E_FULL;
                entries[n] = (SpoolEntry){ .type = SPOOL_REVOKE, .time_unix_ms = grant->revoked_s * 1000 };
                (void) snprintf(entries[n++].provider, sizeof(entries[0].provider), "%s", grant->provider_name);
        }
        if (is_all && n > 0) {
                entries[0] = (SpoolEntry){ .type = SPOOL_REVOKE_ALL, .time_unix_ms = entries[0].time_unix_ms };
                n = 1;
        }
        if (n == 0)
                return 0;
        notes = realloc(manager->notes, (manager->n_notes + n) * sizeof(*notes));
        if (!notes)
                return -ENOMEM;
        manager->notes = notes;
        r = spool_add_all(manager->config.state_dir_fd, manager->slots.spool_public_key, manager->slots.wallet_id, entries, n, notes + manager->n_notes);
        if (r != 0)
                return r;
        manager->n_notes += n;
        for (size_t i = 0; i < grants_n(wallet->grants); i++)
                grants_at(wallet->grants, i)->revoked_spooled |= grants_at(wallet->grants, i)->revoked_unstored;
        return 0;
}

int narrowing_keep(Manager *manager, bool ends_anyway) {
        int r;

        if (!manager->wallet || narrowing_store(manager) == 0)
                return 0;
        if (manager->wallet->gate_off_unstored && !ends_anyway)
                return NARROWING_E_UNSTORED;
        r = narrowing_spool(manager);
        return r != 0 || manager->wallet->gate_off_unstored ? NARROWING_E_UNSTORED : 0;
}
