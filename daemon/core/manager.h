/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core: one event loop that holds the wallet, its clients and its workers together. */

#include <systemd/sd-event.h>

#include "autolock.h"
#include "daemon/common/slots.h"
#include "daemon/common/spool.h"
#include "guard.h"
#include "wallet.h"

typedef struct Checking Checking;
typedef struct Forgetting Forgetting;
typedef struct Sifting Sifting;
typedef struct Gate Gate;
typedef struct Importer Importer;
typedef struct Undoing Undoing;
typedef struct Initializing Initializing;
typedef struct KeyJob KeyJob;

typedef struct ManagerConfig {
        int listen_fd;    /* borrowed */
        int launcher_fd;  /* borrowed */
        int state_dir_fd; /* borrowed */
        int notify_fd;    /* borrowed: connected to NOTIFY_SOCKET; -1: none */
        const char *state_dir;
        const char *system_zone; /* for a wallet that is made without one */
        uint64_t kdf_memlimit;   /* bytes, by the machine's memory */
        uid_t patient;
        int landlock_abi;
        Secret *credential; /* to take over: opens the wallet at start; its last byte is not of it. NULL: none */
} ManagerConfig;

typedef struct Manager {
        ManagerConfig config;
        sd_event *event;
        Server *server;
        Guard guard;
        bool has_slots;
        bool has_lost_slots; /* there is a wallet, and no slot file to open it with */
        Slots slots;
        Wallet *wallet; /* NULL: locked */
        Autolock *autolock; /* NULL while locked */
        KeyJob *keyjobs; /* the first is being worked on */
        sd_event_source *keyjob_turn;
        Initializing *initializing;
        Totp totp_new; /* of a phone that is being enrolled */
        uint64_t totp_new_connection; /* whose it is */
        unsigned totp_new_tries; /* that are left */
        Importer *importer;
        Undoing *undoing;
        Forgetting *forgetting;
        Sifting *sifting;
        Checking *checking;
        Gate *gate; /* NULL: off */
        char gate_off_reason[256]; /* why it is off though the patient turned it on; "" */
        uint64_t gate_died_ms; /* when one that listened ended by itself; monotonic */
        bool is_backing_up; /* both databases are held */
        size_t n_outputs; /* exports and the like under way */
        size_t n_everything; /* of them, complete exports */
        sd_event_source *cleaning; /* deletes what failed imports left, step by step */
        int expiry_fd; /* timerfd, realtime, cancelled when the clock is set */
        sd_event_source *expiry;
        sd_event_source *narrowing; /* while something holds in memory only: narrowing.h */
        bool gate_waits; /* off until that is stored */
        SpoolName *notes; /* of revocations that a full disk did not take otherwise */
        size_t n_notes;
        char *seen_unstored; /* a checkpoint that this wallet is behind, and the new epoch is not on the disk; NULL: none */
        int exit_code;
} Manager;

must_check int manager_new(Manager **ret, const ManagerConfig *config);
Manager *manager_free(Manager *manager);
DEFINE_CLEANUP(Manager *, manager_free)
/** manager_run() - until a signal or Lock. Return: the process's exit code, negative errno */
int manager_run(Manager *manager);

/** manager_lock() - ends the loop, and with the process the keys; a fresh, locked core takes its place. > 0, and nothing ends: narrowing_keep() */
must_check int manager_lock(Manager *manager);

/**
 * manager_apply_spool() - revocations that waited, committed when this returns 0
 * @unknown: array that gets the names that are no provider's
 */
must_check int manager_apply_spool(Manager *manager, unsigned *ret_applied, json_t *unknown);
/** manager_opened() - the wallet was unlocked: apply what waited, then timers and gate */
must_check int manager_opened(Manager *manager, unsigned *ret_applied, json_t *unknown);
/**
 * manager_store_slots() - both copies, then the generation that the wallet has seen, and a ledger entry in the same commit
 * @type, @fields: of the entry; NULL: none. @fields is stolen
 *
 * Return: 0; negative errno: the slots are as they were, or were when it was read again; CONSENT_E_*: stored, but not logged.
 */
must_check int manager_store_slots(Manager *manager, const Slots *slots, const Secret *root, const char *type, json_t *fields);
/** manager_note_slots() - the last half of it: generation and entry */
must_check int manager_note_slots(Manager *manager, const char *type, json_t *fields);
/** manager_arm_expiry() - after grants changed */
void manager_arm_expiry(Manager *manager);
/** manager_is_storing() - records.db is being changed at length: nothing else of that kind begins */
bool manager_is_storing(const Manager *manager);
/** manager_clean() - start deleting what a failed import left */
void manager_clean(Manager *manager);

/* What revoking did. */
typedef struct Revocation {
        unsigned n_grants;
        RedeemHandedOut handed_out;
        bool durable;
        uint64_t ids[GRANTS_MAX];
} Revocation;

/**
 * manager_revoke() - dead in memory, then committed; the gate's connections are the caller's next step
 * @provider: NULL for all
 */
must_check int manager_revoke(Manager *manager, const char *provider, const char *reason, Revocation *ret);

/** grant_is_active() - may be redeemed now, as far as its terms go */
bool grant_is_active(const Grant *grant, PolicyNow now);
/** grant_json() - daemon/PROTOCOL.md, <grant>; new reference */
json_t *grant_json(const Grant *grant, PolicyNow now);
/** provider_json() - as ListProviders has it; new reference */
json_t *provider_json(const ConsentProvider *provider);

/** unlock_at_start() - with the credential, if it opens a slot; frees it. What does not work is said on stderr: the wallet stays locked */
void unlock_at_start(Manager *manager);

/** totp_give_up() - no phone is enrolled any more, durably. Return: 0; CONSENT_E_*; negative errno: nothing was changed */
must_check int totp_give_up(Manager *manager);

extern const Method methods[];
/** manager_why_closed() - the error for whoever needs an open wallet where none is */
const char *manager_why_closed(const Manager *manager);

const char *methods_guard(const Call *call, void *userdata);

/* Handlers, by file. */
int method_status(Call *call, void *userdata);
int method_upgrade_cipher(Call *call, void *userdata);
int method_diagnose(Call *call, void *userdata);
int method_repair(Call *call, void *userdata);
int method_lock(Call *call, void *userdata);
int method_set_timezone(Call *call, void *userdata);
int method_add_timezone(Call *call, void *userdata);
int method_remove_timezone(Call *call, void *userdata);
int method_timezones(Call *call, void *userdata);
int method_check_timezone(Call *call, void *userdata);
int method_accept_clock(Call *call, void *userdata);
int method_init(Call *call, void *userdata);
int method_unlock(Call *call, void *userdata);
int method_list_keys(Call *call, void *userdata);
int method_add_key(Call *call, void *userdata);
int method_step_up(Call *call, void *userdata);
int method_enrol_totp(Call *call, void *userdata);
int method_confirm_totp(Call *call, void *userdata);
int method_remove_totp(Call *call, void *userdata);
int method_renew_codes(Call *call, void *userdata);
int method_rotate_key(Call *call, void *userdata);
int method_remove_key(Call *call, void *userdata);
int method_import(Call *call, void *userdata);
int method_pull(Call *call, void *userdata);
int method_pull_automatic(Call *call, void *userdata);
int method_set_automatic_pull(Call *call, void *userdata);
int method_stop_pull(Call *call, void *userdata);
int method_imports(Call *call, void *userdata);
int method_import_rejected(Call *call, void *userdata);
int method_undo_import(Call *call, void *userdata);
int method_show(Call *call, void *userdata);
int method_export(Call *call, void *userdata);
int method_resume(Call *call, void *userdata);
int method_witness(Call *call, void *userdata);
int method_forget(Call *call, void *userdata);
int method_quarantined(Call *call, void *userdata);
int method_release(Call *call, void *userdata);
int method_destroy(Call *call, void *userdata);
int method_check(Call *call, void *userdata);
int method_backup(Call *call, void *userdata);
int method_preview(Call *call, void *userdata);
int method_log(Call *call, void *userdata);
int method_add_provider(Call *call, void *userdata);
int method_list_providers(Call *call, void *userdata);
int method_grant(Call *call, void *userdata);
int method_list_grants(Call *call, void *userdata);
int method_revoke(Call *call, void *userdata);
int method_gate_on(Call *call, void *userdata);
int method_gate_off(Call *call, void *userdata);
