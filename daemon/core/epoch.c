/* SPDX-License-Identifier: Apache-2.0 */

#include "epoch.h"

#include "daemon/common/archive.h"
#include "daemon/common/io.h"
#include "gate.h"
#include "narrowing.h"
#include "note.h"

static int fold_full(int r) {
        return r == CONSENT_E_FULL || r == -ENOSPC ? EPOCH_E_FULL : fold(r);
}

/* Dead in memory first, as with a revocation. */
static void suspend_in_memory(Wallet *wallet) {
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                Grant *grant = grants_at(wallet->grants, i);

                if (grant->policy.revoked || grant->policy.expired)
                        continue;
                grant->policy.suspended = true;
                (void) redeem_grant_dead(wallet->redeem, grant->id);
        }
}

/* @fields: stolen; what the entry says beside the checkpoint that the last epoch ended with */
static int begin_anew(Manager *manager, const char *type, json_t *fields, const uint8_t *manifest) {
        Wallet *wallet = manager->wallet;
        uint8_t generation[8];
        unsigned n = 0;
        int r;

        suspend_in_memory(wallet);
        gate_stop(manager, "");
        put_le64(generation, manager->slots.generation);

        r = wallet_begin(wallet);
        if (r == 0) /* what was older than it should be is what counts now */
                r = consent_setting_put(wallet->consent, "slots-generation", generation, sizeof(generation));
        for (size_t i = 0; r == 0 && i < grants_n(wallet->grants); i++) {
                const Grant *grant = grants_at(wallet->grants, i);

                if (!grant->policy.suspended)
                        continue;
                n++;
                r = consent_grant_suspend(wallet->consent, grant->id, true);
        }
        if (r == 0)
                r = consent_setting_put(wallet->consent, "gate-listen", "", 0);
        if (r == 0 && manifest)
                r = consent_setting_put(wallet->consent, "restored", manifest, ARCHIVE_MANIFEST_SIZE);
        if (r == 0)
                r = consent_setting_put(wallet->consent, "ledger-epoch-by", type, strlen(type));
        if (r == 0)
                r = consent_ledger_new_epoch(wallet->consent);
        if (r == 0) {
                (void) json_object_set_new(fields, "checkpoint", json_string(consent_ledger_checkpoint(wallet->consent)));
                (void) json_object_set_new(fields, "suspended", json_integer(n));
                r = wallet_log(wallet, type, take_ptr(fields));
        }
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        json_decref(fields);
        if (r != 0)
                return fold_full(r);

        /* Nobody is told of addresses that are not served. */
        return wallet_set_urls(wallet, NULL, 0);
}

/* The file that a restore leaves is gone once the new epoch is durable; until then it is the same restore. */
static int check_restored(Manager *manager, bool *ret_restored) {
        Wallet *wallet = manager->wallet;
        uint8_t manifest[ARCHIVE_MANIFEST_SIZE];
        cleanup(freep) char *known = NULL;
        char time[CLOCK_TEXT_SIZE];
        ArchiveHead head;
        size_t n, n_known;
        int r;

        r = io_read_file(manager->config.state_dir_fd, ARCHIVE_MANIFEST_NAME, manifest, sizeof(manifest), &n);
        if (r == -ENOENT)
                return 0;
        if (r < 0)
                return r == -EFBIG ? EPOCH_E_FOREIGN : r;
        if (n != sizeof(manifest) || archive_manifest_verify(manifest, wallet->keys->keys[KEY_BACKUP], &head) != 0 ||
            memcmp(head.wallet_id, manager->slots.wallet_id, sizeof(head.wallet_id)) != 0)
                return EPOCH_E_FOREIGN;

        r = consent_setting_get(wallet->consent, "restored", &known, &n_known);
        if (r != 0 && r != CONSENT_E_NOT_FOUND)
                return fold(r);
        if (r == CONSENT_E_NOT_FOUND || n_known != n || memcmp(known, manifest, n) != 0) {
                clock_format_utc(time, head.time_unix_ms / 1000);
                r = begin_anew(manager, "restored", json_pack("{s:s}", "backup", time), manifest);
                if (r != 0)
                        return r;
                *ret_restored = true;
        }
        return unlinkat(manager->config.state_dir_fd, ARCHIVE_MANIFEST_NAME, 0) < 0 && errno != ENOENT ? -errno : 0;
}

/* @ret_back: it was behind, and is now in a new epoch */
static int check_seen(Manager *manager, const char *seen, bool *ret_back) {
        int order, r;

        r = consent_ledger_compare(manager->wallet->consent, seen, &order);
        if (r != 0)
                return r == CONSENT_E_NOT_FOUND ? 0 : r < 0 ? r : fold(r);
        if (order == 0)
                return 0;
        *ret_back = true;
        return begin_anew(manager, "went-back", json_pack("{s:s, s:s}", "by", order > 0 ? "checkpoint" : "other-checkpoint", "seen", seen), NULL);
}

int epoch_check(Manager *manager, const char *seen, bool old_keys) {
        bool restored = false, back = false;
        int r;

        r = check_restored(manager, &restored);
        if (r == 0 && !restored && old_keys)
                return begin_anew(manager, "went-back", json_pack("{s:s}", "by", "keys"), NULL);
        if (r == 0 && !restored && seen)
                r = check_seen(manager, seen, &back);
        return r;
}

int epoch_try_again(Manager *manager) {
        bool back;
        int r;

        r = check_seen(manager, manager->seen_unstored, &back);
        if (r != 0)
                return r;
        free(manager->seen_unstored);
        manager->seen_unstored = NULL;
        return 0;
}

int method_witness(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *seen = call_string(call, "checkpoint");
        bool back = false;
        int r;

        if (strlen(seen) > NOTE_MAX)
                return call_invalid(call, "checkpoint");
        if (!manager->wallet)
                return call_error(call, "org.carewallet.Locked", NULL);
        r = check_seen(manager, seen, &back);
        if (r == EPOCH_E_FULL) {
                free(manager->seen_unstored);
                manager->seen_unstored = strdup(seen);
                if (narrowing_store(manager) != 0)
                        return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The wallet has gone back in time: all grants are suspended and the gate is off, as "
                                                                                                          "long as carewalletd runs; the disk is too full to write that down. It is tried "
                                                                                                          "again every few seconds."));
                r = 0;
        }
        if (r != 0)
                return fold(r);
        return call_reply(call, json_pack("{s:b}", "wentBack", back));
}

int method_resume(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const char *provider = call_string(call, "provider");
        ConsentProvider known;
        unsigned n = 0;
        int r;

        if (!provider == !call_bool(call, "all", false))
                return call_invalid(call, "provider");
        if (provider) {
                r = consent_provider_find(wallet->consent, provider, &known);
                if (r == CONSENT_E_NOT_FOUND)
                        return call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "provider", "name", provider));
                if (r != 0)
                        return fold(r);
        }

        r = wallet_begin(wallet);
        for (size_t i = 0; r == 0 && i < grants_n(wallet->grants); i++) {
                const Grant *grant = grants_at(wallet->grants, i);

                if (!grant->policy.suspended || grant->policy.revoked || grant->policy.expired || (provider && strcmp(grant->provider_name, provider) != 0))
                        continue;
                n++;
                r = consent_grant_suspend(wallet->consent, grant->id, false);
                if (r == 0)
                        r = wallet_log(wallet, "resumed", json_pack("{s:s, s:s}", "grant", grant->claims.jti, "provider", grant->provider_name));
        }
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        if (r != 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Nothing was resumed: the disk is full or cannot be written."));
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                Grant *grant = grants_at(wallet->grants, i);

                if (!provider || strcmp(grant->provider_name, provider) == 0)
                        grant->policy.suspended = false;
        }
        return call_reply(call, json_pack("{s:i}", "resumed", (int) n));
}
