/* SPDX-License-Identifier: Apache-2.0 */

#include "manager.h"

#include <signal.h>
#include <sys/socket.h>
#include <sys/timerfd.h>

#include "daemon/common/spool.h"
#include "daemon/launcher/launcher.h"
#include "gate.h"
#include "narrowing.h"
#include "rotation.h"
#include "version.h"

enum {
        REASON_MAX = 200, /* bytes in the ledger */
        CLEANING_PRIORITY = SD_EVENT_PRIORITY_IDLE,
        FLUSH_MS = 200,
        INTERRUPTED_ENTRIES = 1000, /* of the ledger that are looked at: about 10 ms */
};

/* --- revoking --- */

int manager_revoke(Manager *manager, const char *provider, const char *reason, Revocation *ret) {
        Wallet *wallet = manager->wallet;
        int64_t now_s = wallet_now(wallet).utc_ms / 1000;
        int r;

        *ret = (Revocation){ 0 };
        if (provider) {
                ConsentProvider known;

                r = consent_provider_find(wallet->consent, provider, &known);
                if (r != 0)
                        return r == CONSENT_E_NOT_FOUND ? r : fold(r);
        }

        /* Dead in memory: from here on nothing is decided in its favour. What was revoked before, but not durably, is tried again. */
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                Grant *grant = grants_at(wallet->grants, i);
                RedeemHandedOut handed_out;

                if ((provider && strcmp(grant->provider_name, provider) != 0) || (grant->policy.revoked && !grant->revoked_unstored))
                        continue;
                if (!grant->policy.revoked)
                        wallet_revoke(wallet, grant, now_s, reason && strlen(reason) <= REASON_MAX ? reason : NULL);
                handed_out = redeem_grant_dead(wallet->redeem, grant->id);
                ret->handed_out.n_streams_cut += handed_out.n_streams_cut;
                ret->handed_out.n_bytes += handed_out.n_bytes;
                ret->ids[ret->n_grants++] = grant->id;
        }
        ret->durable = ret->n_grants == 0 || narrowing_store(manager) == 0;
        return 0;
}

/* --- expiry: a committed row, set by the realtime clock, that no clock undoes --- */

static void on_expiry_reset(void *userdata) {
        (void) userdata;
}

static void expire_due(Manager *manager) {
        static uint64_t ids[GRANTS_MAX];
        Wallet *wallet = manager->wallet;
        int64_t now_s = wallet_now(wallet).utc_ms / 1000;
        size_t n = 0;

        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                Grant *grant = grants_at(wallet->grants, i);

                if (grant->policy.expired || grant->policy.revoked || now_s < grant->claims.terms.expires_s)
                        continue;
                wallet_expire(wallet, grant);
                (void) redeem_grant_dead(wallet->redeem, grant->id);
                ids[n++] = grant->id;
        }
        if (n == 0)
                return;
        if (narrowing_store(manager) != 0)
                fputs("carewalletd: the end of a grant could not be stored; it is ended in memory\n", stderr);
        if (gate_reset(manager, ids, n, on_expiry_reset, NULL) < 0)
                gate_stop(manager, "out of memory");
}

void manager_arm_expiry(Manager *manager) {
        struct itimerspec when = { 0 };
        int64_t next_s = INT64_MAX;

        for (size_t i = 0; i < grants_n(manager->wallet->grants); i++) {
                const Grant *grant = grants_at(manager->wallet->grants, i);

                if (!grant->policy.expired && !grant->policy.revoked && grant->claims.terms.expires_s < next_s)
                        next_s = grant->claims.terms.expires_s;
        }
        /* Without a grant that ends it waits for the clock to be set, no more. */
        when.it_value.tv_sec = (time_t) (next_s == INT64_MAX ? INT64_C(253402300799) : next_s);
        if (timerfd_settime(manager->expiry_fd, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &when, NULL) < 0 && errno != ECANCELED)
                fputs("carewalletd: the timer for the end of grants could not be set\n", stderr);
}

static int on_expiry(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Manager *manager = userdata;
        uint64_t n;

        (void) source;
        (void) events;
        if (read(fd, &n, sizeof(n)) < 0 && errno != ECANCELED)
                return 0;
        if (!manager->wallet)
                return 0;
        expire_due(manager);
        /* Also after a jump of the clock: the highest time is what was seen. */
        if (wallet_begin(manager->wallet) != 0 || wallet_commit(manager->wallet) != 0)
                wallet_rollback(manager->wallet);
        manager_arm_expiry(manager);
        return 0;
}

/* --- what failed imports left --- */

static int on_cleaning(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;
        int r = 0;

        if (manager->wallet && !manager->importer)
                r = records_cleanup_step(manager->wallet->records);
        if (r != 1)
                return sd_event_source_set_enabled(source, SD_EVENT_OFF);
        return 0;
}

const char *manager_why_closed(const Manager *manager) {
        return manager->has_slots ? "org.carewallet.Locked" : manager->has_lost_slots ? "org.carewallet.KeysLost" : "org.carewallet.NotInitialized";
}

bool manager_is_storing(const Manager *manager) {
        return manager->importer || manager->undoing || manager->forgetting || manager->n_everything > 0;
}

void manager_clean(Manager *manager) {
        (void) sd_event_source_set_enabled(manager->cleaning, SD_EVENT_ON);
}

/* --- what a crash left open in the ledger --- */

static int look_at_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        json_t *open = userdata, *entry = record ? json_loadb(record, n_record, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const char *type = json_string_value(json_object_get(entry, "type"));
        char text[24];

        if (type && strcmp(type, "release-begun") == 0) {
                (void) snprintf(text, sizeof(text), "%llu", (unsigned long long) index);
                (void) json_object_set(open, text, entry);
        } else if (type && strcmp(type, "release-ended") == 0) {
                (void) snprintf(text, sizeof(text), "%lld", (long long) json_integer_value(json_object_get(entry, "begun")));
                (void) json_object_del(open, text);
        }
        json_decref(entry);
        return 0;
}

/* Every release-begun has its release-ended: those of a core that died are ended now. How much had left is not known. */
static void end_interrupted(Wallet *wallet) {
        uint64_t size = consent_ledger_size(wallet->consent), first = size > INTERRUPTED_ENTRIES ? size - INTERRUPTED_ENTRIES : 0;
        json_t *open = json_object(), *entry;
        const char *index;
        int r;

        r = consent_ledger_read(wallet->consent, first, INTERRUPTED_ENTRIES, look_at_entry, open);
        if (r == 0 && json_object_size(open) > 0) {
                r = wallet_begin(wallet);
                json_object_foreach(open, index, entry) {
                        if (r == 0)
                                r = wallet_log(wallet, "release-ended", json_pack("{s:O, s:O, s:I, s:O*, s:s, s:s}", "grant", json_object_get(entry, "grant"), "provider",
                                                                                 json_object_get(entry, "provider"), "begun", (json_int_t) strtoll(index, NULL, 10),
                                                                                 "what", json_object_get(entry, "what"),
                                                                                 "state", "cut", "by", "restart"));
                }
                if (r == 0)
                        r = wallet_commit(wallet);
                else
                        wallet_rollback(wallet);
        }
        if (r != 0)
                fputs("carewalletd: the ends of transfers that a crash cut could not be written to the ledger\n", stderr);
        json_decref(open);
}

/* --- the spool --- */

typedef struct Applying {
        Manager *manager;
        unsigned n_applied;
        json_t *unknown;
        Revocation *revocation;
} Applying;

static int note_unknown(Applying *applying, const char *name) {
        Wallet *wallet = applying->manager->wallet;
        int r;

        r = wallet_begin(wallet);
        if (r == 0)
                r = wallet_log(wallet, "revocation-unknown", json_pack("{s:s}", "name", name));
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        if (r != 0)
                return -ENOSPC;
        fputs("carewalletd: a revocation that waited names no provider and ended nothing: carewallet log\n", stderr);
        return json_array_append_new(applying->unknown, json_string(name)) < 0 ? -ENOMEM : 0;
}

static int apply_revocation(void *userdata, const SpoolEntry *entry) {
        Applying *applying = userdata;
        int r;

        /* A revocation that can't be read any more: whose it was is not known, so it is everybody's. */
        if (entry->type == SPOOL_DAMAGED)
                fputs("carewalletd: a waiting revocation is damaged; all grants are revoked to be safe\n", stderr);
        r = manager_revoke(applying->manager, entry->type == SPOOL_REVOKE ? entry->provider : NULL,
                           entry->type == SPOOL_DAMAGED ? "a damaged revocation waited" : "asked for while locked", applying->revocation);
        if (r == CONSENT_E_NOT_FOUND) /* mistyped, perhaps: it is said, not swallowed */
                return note_unknown(applying, entry->provider);
        if (r != 0)
                return r;
        if (!applying->revocation->durable)
                return -ENOSPC;
        applying->n_applied++;
        return 0;
}

int manager_apply_spool(Manager *manager, unsigned *ret_applied, json_t *unknown) {
        static Revocation revocation;
        Applying applying = { .manager = manager, .revocation = &revocation, .unknown = unknown };
        int r;

        r = spool_apply(manager->config.state_dir_fd, manager->wallet->keys->keys[KEY_SPOOL_SEED], manager->slots.wallet_id, apply_revocation, &applying);
        *ret_applied = applying.n_applied;
        return fold(r);
}

int manager_lock(Manager *manager) {
        int r = narrowing_keep(manager, false);

        if (r != 0)
                return r;
        gate_stop(manager, "");
        manager->exit_code = LAUNCHER_CORE_RELOCK;
        return sd_event_exit(manager->event, 0);
}

int manager_opened(Manager *manager, unsigned *ret_applied, json_t *unknown) {
        int r;

        r = manager_apply_spool(manager, ret_applied, unknown);
        if (r != 0)
                return r;
        r = autolock_new(&manager->autolock, manager);
        if (r < 0)
                return r;
        end_interrupted(manager->wallet);
        expire_due(manager);
        manager_arm_expiry(manager);
        manager_clean(manager);
        if (spool_reserve(manager->config.state_dir_fd) < 0)
                fputs("carewalletd: no room could be reserved for revocations on a full disk\n", stderr);
        if (gate_start_stored(manager) != 0)
                fputs("carewalletd: the gate could not be started\n", stderr);
        return 0;
}

/* --- opening --- */

int manager_note_slots(Manager *manager, const char *type, json_t *fields) {
        uint8_t generation[8];
        int r;

        put_le64(generation, manager->slots.generation);
        r = wallet_begin(manager->wallet);
        if (r == 0)
                r = consent_setting_put(manager->wallet->consent, "slots-generation", generation, sizeof(generation));
        if (r == 0 && type)
                r = wallet_log(manager->wallet, type, json_incref(fields));
        if (r == 0)
                r = wallet_commit(manager->wallet);
        wallet_rollback(manager->wallet);
        json_decref(fields);
        return r < 0 ? CONSENT_E_FULL : r;
}

int manager_store_slots(Manager *manager, const Slots *slots, const Secret *root, const char *type, json_t *fields) {
        Slots next = *slots;
        int r;

        r = slots_store(&next, manager->config.state_dir_fd, root);
        if (r < 0) {
                uint64_t generation = manager->slots.generation;

                json_decref(fields);
                /* the new state may be on the disk, or half of it: what counts is what a reader finds */
                if (!manager->has_slots || slots_load(&next, manager->config.state_dir_fd) != 0)
                        return r;
                manager->slots = next;
                return next.generation == generation ? r : CONSENT_E_FULL;
        }
        manager->slots = next;
        return manager_note_slots(manager, type, fields);
}

/* --- the loop --- */

static int on_signal(sd_event_source *source, const struct signalfd_siginfo *info, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        (void) info;
        if (narrowing_keep(manager, true) != 0)
                fputs("carewalletd: ended by a signal while a revocation, or that the gate was turned off, could not be written anywhere: the disk is full. "
                      "It is undone by the next unlock: revoke again then\n", stderr);
        return sd_event_exit(manager->event, 0);
}

static void notify(const Manager *manager, const char *text) {
        if (manager->config.notify_fd >= 0 && send(manager->config.notify_fd, text, strlen(text), MSG_NOSIGNAL) < 0)
                fputs("carewalletd: the service manager could not be told\n", stderr);
}

int manager_new(Manager **ret, const ManagerConfig *config) {
        cleanup(manager_freep) Manager *manager = NULL;
        ServerConfig server;
        sigset_t signals;
        int r;

        manager = calloc(1, sizeof(*manager));
        if (!manager)
                return -ENOMEM;
        manager->config = *config;
        manager->expiry_fd = -1;
        r = sd_event_new(&manager->event);
        if (r < 0)
                return r;

        r = rotation_settle(config->state_dir_fd);
        if (r != 0) {
                fputs("carewalletd: the file rotation in the state directory is damaged, or what it says can't be done: restore a backup\n", stderr);
                return r < 0 ? r : -EBADMSG;
        }
        r = slots_load(&manager->slots, config->state_dir_fd);
        if (r < 0 && r != -ENOENT)
                return r;
        manager->has_slots = r == 0;
        if (manager->has_slots)
                slots_end(config->state_dir_fd);
        else if (r > 0 || slots_are_lost(config->state_dir_fd)) {
                manager->has_lost_slots = true;
                (void) fprintf(stderr, "carewalletd: both copies of the key file are %s, and the wallet can't be opened: carewallet doctor says what to do\n", r > 0 ? "damaged" : "gone");
        }

        (void) sigemptyset(&signals);
        (void) sigaddset(&signals, SIGTERM);
        (void) sigaddset(&signals, SIGINT);
        if (sigprocmask(SIG_BLOCK, &signals, NULL) < 0)
                return -errno;
        r = sd_event_add_signal(manager->event, NULL, SIGTERM, on_signal, manager);
        if (r >= 0)
                r = sd_event_add_signal(manager->event, NULL, SIGINT, on_signal, manager);
        if (r < 0)
                return r;

        manager->expiry_fd = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
        if (manager->expiry_fd < 0)
                return -errno;
        r = sd_event_add_io(manager->event, &manager->expiry, manager->expiry_fd, EPOLLIN, on_expiry, manager);
        if (r < 0)
                return r;
        r = sd_event_add_defer(manager->event, &manager->cleaning, on_cleaning, manager);
        if (r < 0)
                return r;
        (void) sd_event_source_set_priority(manager->cleaning, CLEANING_PRIORITY);
        r = sd_event_source_set_enabled(manager->cleaning, SD_EVENT_OFF);
        if (r < 0)
                return r;

        server = (ServerConfig){
                .event = manager->event,
                .listen_fd = config->listen_fd,
                .patient = config->patient,
                .methods = methods,
                .interface = "org.carewallet",
                .vendor = "carewallet",
                .product = "carewallet",
                .version = CAREWALLET_VERSION,
                .guard = methods_guard,
                .userdata = manager,
        };
        r = server_new(&manager->server, &server);
        if (r < 0)
                return r;
        *ret = take_ptr(manager);
        return 0;
}

int manager_run(Manager *manager) {
        int r;

        unlock_at_start(manager);
        notify(manager, manager->wallet ? "READY=1\nSTATUS=open" : "READY=1\nSTATUS=locked");
        r = sd_event_loop(manager->event);
        if (r < 0)
                return r;
        if (manager->exit_code == 0)
                notify(manager, "STOPPING=1");
        call_flush(manager->server, FLUSH_MS);
        return manager->exit_code;
}

Manager *manager_free(Manager *manager) {
        if (!manager)
                return NULL;
        /* Clients first: their jobs end, and with them what they hold of the wallet. */
        (void) server_free(manager->server);
        (void) autolock_free(manager->autolock);
        if (manager->wallet) {
                gate_stop(manager, "");
                if (wallet_begin(manager->wallet) != 0 || wallet_commit(manager->wallet) != 0)
                        fputs("carewalletd: the time could not be stored\n", stderr);
                manager->wallet = wallet_close(manager->wallet);
        }
        totp_done(&manager->totp_new);
        (void) secret_free(manager->config.credential);
        sd_event_source_disable_unref(manager->keyjob_turn);
        sd_event_source_disable_unref(manager->expiry);
        sd_event_source_disable_unref(manager->narrowing);
        free(manager->seen_unstored);
        free(manager->notes);
        sd_event_source_disable_unref(manager->cleaning);
        (void) close_fd(manager->expiry_fd);
        (void) sd_event_unref(manager->event);
        free(manager);
        return NULL;
}
