/* SPDX-License-Identifier: Apache-2.0 */

/* The protocol as a table, its guard, and the methods that are a few lines. */

#include <sys/vfs.h>

#include "daemon/common/spool.h"
#include "daemon/launcher/launcher.h"
#include "failure.h"
#include "gate.h"
#include "version.h"

enum {
        SINCE_MAX = 2000, /* entries of the ledger that Status looks at: a few milliseconds */
        SINCE_EXPIRING_S = 7 * 86400,
};

const Method methods[] = {
        { "Status", METHOD_OPEN, "since: ?int",
          "version: string, initialized: bool, locked: bool, stateDir: string, walletId: ?string, timezone: ?string, records: ?object, firstDay: ?string, "
          "lastDay: ?string, grants: ?int, gate: ?object, memoryLocked: bool, landlock: int, altered: ?int, checkpoint: ?string, revocationKey: ?string, waiting: int, clockBehind: ?bool, codesLeft: ?int, "
          "autoLockS: ?int, suspended: ?int, unstored: ?int, keysLost: ?bool, epochBy: ?string, since: ?object",
          "What is known without keys, and more when unlocked", method_status },
        { "Init", METHOD_OPEN, "passphraseFd: int, timezone: ?string", "recoveryFd: int, walletId: string, timezone: string",
          "Make a new wallet; the recovery code comes as a sealed memfd", method_init },
        { "Unlock", METHOD_OPEN, "secretFd: int, recovery: ?bool, insist: ?bool, seen: ?string", "applied: ?int, unknown: ?[]string, notApplied: ?string, rotation: ?string, keysChanged: ?bool, progress: ?object",
          "Open the wallet, or only prove that the passphrase is known", method_unlock },
        { "Diagnose", METHOD_OPEN, "", "pid: int, free: int, slotCopies: int", "What only the core can see of its own place", method_diagnose },
        { "Repair", METHOD_OPEN, "", "slotCopies: int", "Write both copies of the key file again, as they were read at start", method_repair },
        { "ListKeys", METHOD_READING, "", "keys: []object", "What opens the wallet", method_list_keys },
        { "AddKey", METHOD_PROVING, "secretFd: int, recovery: ?bool, newFd: int, type: string, label: ?string, replace: ?bool", "label: string",
          "Another passphrase, recovery code or credential, or one in the place of another", method_add_key },
        { "RemoveKey", METHOD_PROVING, "secretFd: int, recovery: ?bool, label: string", "", "It opens the wallet no more", method_remove_key },
        { "RotateKey", METHOD_PROVING, "secretFd: int, recovery: ?bool, newFd: int, passphraseFd: ?int", "ended: []string",
          "A new root key: the core ends, and Unlock writes both databases anew", method_rotate_key },
        { "StepUp", METHOD_OPEN, "codeFd: int", "codesLeft: int", "Give a code of the phone, or a one-time code", method_step_up },
        { "UpgradeCipher", METHOD_PROVING, "secretFd: int, recovery: ?bool", "", "Plan to write the databases anew in the format of SQLCipher 4, for good; it happens at the next Unlock",
          method_upgrade_cipher },
        { "EnrolTotp", METHOD_PROVING, "secretFd: int, recovery: ?bool", "uriFd: int", "Begin to enrol a phone: what it is to scan", method_enrol_totp },
        { "ConfirmTotp", METHOD_READING, "codeFd: int", "codesFd: int", "The phone shows the right codes: from now on they are asked for", method_confirm_totp },
        { "RemoveTotp", METHOD_PROVING, "secretFd: int, recovery: ?bool", "", "Codes are asked for no more", method_remove_totp },
        { "RenewCodes", METHOD_PROVING, "secretFd: int, recovery: ?bool", "codesFd: int", "New one-time codes; the old ones are void", method_renew_codes },
        { "Lock", METHOD_OPEN, "", "ended: bool", "End the core; a fresh, locked one takes its place", method_lock },
        { "Revoke", METHOD_OPEN, "provider: ?string, all: ?bool, reason: ?string",
          "revoked: int, streamsCut: int, bytesHandedOut: int, durable: bool, spooled: bool, fetched: []object", "End everything that a provider has, or all have",
          method_revoke },
        { "Witness", METHOD_OPEN, "checkpoint: string", "wentBack: bool", "Show a checkpoint that was kept: a wallet that is behind it suspends all grants", method_witness },
        { "PullAutomatic", METHOD_OPEN, "deviceFd: int", "", "Read the pump for which the patient has asked that", method_pull_automatic },
        { "StopPull", METHOD_OPEN, "", "stopped: bool", "Stop reading a device; what was read is kept", method_stop_pull },
        { "GateOff", METHOD_OPEN, "", "", "Stop answering providers", method_gate_off },
        { "Show", METHOD_READING, "kinds: []string, from: ?string, to: ?string, format: string", "outputFd: ?int, complete: ?bool, rows: ?int",
          "Records of some days", method_show },
        { "Export", METHOD_READING, "format: string, salvage: ?bool", "outputFd: ?int, complete: ?bool, rows: ?int, stretchesLost: ?int", "All records, with everything in them", method_export },
        { "Backup", METHOD_READING, "", "outputFd: ?int, bytes: int, complete: ?bool", "Everything as it lies on the disk, encrypted, with the key slots of today", method_backup },
        { "Quarantined", METHOD_READING, "", "records: []object, whole: bool", "Records with values that no device can have meant", method_quarantined },
        { "Check", METHOD_READING, "", "whole: bool, records: object, lost: []object, stretchesLost: int, entries: int, grants: int, altered: int", "Read all there is and see that it fits together", method_check },
        { "Preview", METHOD_READING, "provider: string, format: string", "outputFd: ?int, grant: ?object, verdict: ?string, complete: ?bool, rows: ?int",
          "What a provider would get now, by the real path", method_preview },
        { "ListGrants", METHOD_READING, "", "grants: []object", "All grants, oldest first", method_list_grants },
        { "ListProviders", METHOD_READING, "", "providers: []object", "All providers", method_list_providers },
        { "Log", METHOD_READING, "first: ?int, limit: ?int", "entries: ?[]object, size: ?int, checkpoint: ?string, complete: ?bool", "The ledger", method_log },
        { "Imports", METHOD_READING, "", "imports: []object", "All imports with their reports", method_imports },
        { "Timezones", METHOD_READING, "", "timezones: []object", "The zones of the devices' clocks, and since when", method_timezones },
        { "CheckTimezone", METHOD_READING, "timezone: string, from: ?string",
          "records: int, moved: int, kinds: object, shifts: []object, firstDay: ?string, lastDay: ?string, ambiguous: int, skipped: int",
          "What would move if a zone were another", method_check_timezone },
        { "ImportRejected", METHOD_READING, "id: int, first: ?int", "rejected: []object", "The rows that an import could not read", method_import_rejected },
        { "Import", METHOD_READING, "fileFd: int, name: string, glucoseUnit: ?string, model: ?string, serial: ?string, noChecksum: ?bool", "progress: ?object, report: ?object", "Read a file into the wallet", method_import },
        { "Pull", METHOD_READING, "deviceFd: int, serial: ?string, traceFd: ?int", "progress: ?object, report: ?object", "Read a pump by USB", method_pull },
        { "SetAutomaticPull", METHOD_WIDENING, "on: bool", "serial: ?string", "Read the pump of the last time whenever a device is plugged in", method_set_automatic_pull },
        { "AddProvider", METHOD_WIDENING, "name: string, x: string", "words: string, thumbprint: string", "Enrol a provider's key", method_add_provider },
        { "Grant", METHOD_WIDENING,
          "provider: string, preset: string, forS: ?int, lastDays: ?int, from: ?string, to: ?string, newer: ?bool, detail: ?string, kinds: ?[]string, identity: ?string, "
          "freeText: ?bool, uses: ?int, purpose: ?string, urls: ?[]string, dryRun: ?bool",
          "jwt: ?string, grant: object, words: string, text: string", "Let a provider see something, for a time", method_grant },
        { "Resume", METHOD_WIDENING, "provider: ?string, all: ?bool", "resumed: int", "Let suspended grants count again", method_resume },
        { "Destroy", METHOD_WIDENING, "walletId: string", "whole: bool", "Erase the wallet, its keys first", method_destroy },
        { "Release", METHOD_WIDENING, "ids: []string", "released: int", "Quarantined records are right after all", method_release },
        { "Forget", METHOD_WIDENING, "import: ?int, source: ?string, from: ?string, to: ?string, ids: ?[]string, dryRun: ?bool", "records: object",
          "Records of an import, a source or some days go for good", method_forget },
        { "GateOn", METHOD_WIDENING, "listen: string, external: ?string", "address: string, urls: []string, pins: []string", "Answer providers", method_gate_on },
        { "SetTimezone", METHOD_WIDENING, "timezone: string", "", "The wallet's zone, where no period says another", method_set_timezone },
        { "AddTimezone", METHOD_WIDENING, "timezone: string, from: string", "", "The zone that the devices' clocks show from a day on", method_add_timezone },
        { "RemoveTimezone", METHOD_WIDENING, "from: string", "", "Forget the period that begins on a day", method_remove_timezone },
        { "UndoImport", METHOD_WIDENING, "id: int", "", "Take an import back", method_undo_import },
        { "SetAutoLock", METHOD_WIDENING, "afterS: int", "", "Lock by itself when it was not used for so long; 0: never", method_set_auto_lock },
        { "AcceptClock", METHOD_WIDENING, "", "", "Believe the clock though it is earlier than it has been", method_accept_clock },
        { 0 },
};

const char *methods_guard(const Call *call, void *userdata) {
        uint64_t now_ms = clock_monotonic_ms();
        Manager *manager = userdata;

        if (call->method->class == METHOD_OPEN)
                return NULL;
        if (!manager->wallet)
                return manager_why_closed(manager);
        if (call->method->class != METHOD_PROVING && !guard_permits(&manager->guard, &call->peer, now_ms))
                return "org.carewallet.StepUpRequired";
        /* A dry run lets nothing out; the recovery code counts as a code. */
        if (call->method->class != METHOD_READING && manager->wallet->totp.secret && !call_bool(call, "dryRun", false) &&
            !(call->method->class == METHOD_PROVING && call_bool(call, "recovery", false)) && !guard_code_take(&manager->guard, &call->peer, now_ms))
                return "org.carewallet.CodeRequired";
        autolock_used(manager->autolock);
        return NULL;
}

/* What the ledger says happened since its patient was last told. */
typedef struct Since {
        json_int_t n_fetched, n_refused, n_expired, n_revoked;
        json_t *last_fetch; /* {provider, time} */
} Since;

static int count_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        cleanup(json_decrefp) json_t *entry = record ? json_loadb(record, n_record, JSON_REJECT_DUPLICATES, NULL) : NULL;
        const char *type = json_string_value(json_object_get(entry, "type"));
        const json_t *count = json_object_get(entry, "count");
        Since *since = userdata;

        (void) index;
        if (!type) /* erased */
                return 0;
        if (strcmp(type, "release-begun") == 0) {
                since->n_fetched++;
                json_decref(since->last_fetch);
                since->last_fetch = json_pack("{s:O*, s:O*}", "provider", json_object_get(entry, "provider"), "time", json_object_get(entry, "time"));
        } else if (strcmp(type, "refused") == 0)
                since->n_refused += json_is_integer(count) ? json_integer_value(count) : 1;
        else if (strcmp(type, "expired") == 0)
                since->n_expired++;
        else if (strcmp(type, "revoked") == 0)
                since->n_revoked++;
        return 0;
}

static int add_since(const Manager *manager, json_t *status, uint64_t first) {
        const Wallet *wallet = manager->wallet;
        uint64_t size = consent_ledger_size(wallet->consent);
        PolicyNow now = wallet_now(wallet);
        bool is_whole = size < SINCE_MAX || first >= size - SINCE_MAX;
        json_int_t n_expiring = 0;
        Since since = { 0 };
        int r;

        if (!is_whole)
                first = size - SINCE_MAX;
        r = consent_ledger_read(wallet->consent, first, SINCE_MAX, count_entry, &since);
        if (r != 0) {
                json_decref(since.last_fetch);
                return fold(r);
        }
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                const Grant *grant = grants_at(wallet->grants, i);

                n_expiring += grant_is_active(grant, now) && grant->claims.terms.expires_s - now.utc_ms / 1000 <= SINCE_EXPIRING_S;
        }
        (void) json_object_set_new(status, "since", json_pack("{s:I, s:I, s:I, s:I, s:I, s:b, s:o*}", "fetched", since.n_fetched, "refused", since.n_refused, "expired",
                                                              since.n_expired, "revoked", since.n_revoked, "expiring", n_expiring, "whole", (int) is_whole, "lastFetch",
                                                              since.last_fetch));
        return 0;
}

static void add_open_state(const Manager *manager, json_t *status) {
        const Wallet *wallet = manager->wallet;
        PolicyNow now = wallet_now(wallet);
        uint64_t counts[N_RECORD_KINDS];
        json_t *records = json_object(), *gate, *urls = json_array();
        json_int_t n_active = 0, n_suspended = 0;
        cleanup(freep) char *epoch_by = NULL;
        size_t n;
        char day[CLOCK_TEXT_SIZE];
        int64_t first, last;
        bool any;

        records_count(wallet->records, counts);
        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++)
                (void) json_object_set_new(records, record_kind_name(kind), json_integer((json_int_t) counts[kind]));
        (void) json_object_set_new(status, "records", records);
        if (records_range(wallet->records, &any, &first, &last) == 0 && any) {
                clock_format_day(day, (int32_t) (first / POLICY_DAY_MS));
                (void) json_object_set_new(status, "firstDay", json_string(day));
                clock_format_day(day, (int32_t) (last / POLICY_DAY_MS));
                (void) json_object_set_new(status, "lastDay", json_string(day));
        }
        for (size_t i = 0; i < grants_n(wallet->grants); i++) {
                const PolicyGrant *policy = &grants_at(wallet->grants, i)->policy;

                n_active += grant_is_active(grants_at(wallet->grants, i), now);
                n_suspended += policy->suspended && !policy->revoked && !policy->expired;
        }
        (void) json_object_set_new(status, "suspended", json_integer(n_suspended));
        (void) json_object_set_new(status, "grants", json_integer(n_active));
        (void) json_object_set_new(status, "unstored", json_integer((json_int_t) wallet->n_unstored));
        for (size_t i = 0; i < wallet->n_urls; i++)
                (void) json_array_append_new(urls, json_string(wallet->urls[i]));
        gate = json_pack("{s:b, s:o}", "on", manager->gate && gate_address(manager->gate), "urls", urls);
        if (manager->gate && gate_address(manager->gate))
                (void) json_object_set_new(gate, "address", json_string(gate_address(manager->gate)));
        else if (manager->gate)
                (void) json_object_set_new(gate, "opening", json_true());
        if (manager->gate_off_reason[0]) /* also while one is started in the place of one that ended */
                (void) json_object_set_new(gate, "reason", json_string(manager->gate_off_reason));
        (void) json_object_set_new(status, "gate", gate);
        (void) json_object_set_new(status, "timezone", json_string(wallet->zone));
        if (wallet->totp.secret)
                (void) json_object_set_new(status, "codesLeft", json_integer((json_int_t) wallet->totp.n_codes));
        (void) json_object_set_new(status, "altered", json_integer((json_int_t) wallet->n_altered));
        (void) json_object_set_new(status, "checkpoint", json_string(consent_ledger_checkpoint(wallet->consent)));
        if (consent_setting_get(wallet->consent, "ledger-epoch-by", &epoch_by, &n) == 0)
                (void) json_object_set_new(status, "epochBy", json_string(epoch_by));
        (void) json_object_set_new(status, "clockBehind", json_boolean(now.clock_behind));
        (void) json_object_set_new(status, "autoLockS", json_integer(autolock_after_s(manager->autolock)));
}

int method_status(Call *call, void *userdata) {
        Manager *manager = userdata;
        json_int_t since = call_int(call, "since", -1);
        char text[JWS_THUMBPRINT_SIZE];
        size_t n_waiting = 0;
        json_t *status;
        int r;

        if (since < -1)
                return call_invalid(call, "since");
        status = json_pack("{s:s, s:b, s:b, s:s, s:b, s:i}", "version", CAREWALLET_VERSION, "initialized", manager->has_slots || manager->has_lost_slots, "locked", manager->wallet == NULL, "stateDir",
                           manager->config.state_dir, "memoryLocked", secret_can_lock(), "landlock", manager->config.landlock_abi);
        if (!status)
                return -ENOMEM;
        if (manager->has_slots) {
                if (spool_count(manager->config.state_dir_fd, &n_waiting) < 0)
                        n_waiting = 0;
                (void) b64url_encode(text, sizeof(text), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
                (void) json_object_set_new(status, "walletId", json_string(text));
                (void) b64url_encode(text, sizeof(text), manager->slots.spool_public_key, sizeof(manager->slots.spool_public_key));
                (void) json_object_set_new(status, "revocationKey", json_string(text));
        }
        if (manager->has_lost_slots)
                (void) json_object_set_new(status, "keysLost", json_true());
        (void) json_object_set_new(status, "waiting", json_integer((json_int_t) n_waiting));
        if (manager->wallet)
                add_open_state(manager, status);
        if (manager->wallet && since >= 0 && guard_permits(&manager->guard, &call->peer, clock_monotonic_ms())) { /* it tells of the log: a reading matter */
                r = add_since(manager, status, (uint64_t) since);
                if (r < 0) {
                        json_decref(status);
                        return r;
                }
        }
        return call_reply(call, status);
}

int method_diagnose(Call *call, void *userdata) {
        const Manager *manager = userdata;
        struct statfs fs;
        Slots slots;
        int r;

        if (fstatfs(manager->config.state_dir_fd, &fs) < 0)
                return -errno;
        r = slots_load(&slots, manager->config.state_dir_fd);
        return call_reply(call, json_pack("{s:i, s:I, s:i}", "pid", (int) getpid(), "free", (json_int_t) fs.f_bavail * (json_int_t) fs.f_bsize, "slotCopies",
                                          r == 0 ? (int) slots.n_copies : 0));
}

int method_repair(Call *call, void *userdata) {
        const Manager *manager = userdata;
        int r;

        if (!manager->has_slots)
                return call_error(call, "org.carewallet.NotInitialized", NULL);
        r = slots_store_again(&manager->slots, manager->config.state_dir_fd);
        return r < 0 ? call_failed(call, r) : call_reply(call, json_pack("{s:i}", "slotCopies", 2));
}

int method_lock(Call *call, void *userdata) {
        Manager *manager = userdata;
        bool was_open = manager->wallet != NULL || manager->keyjobs != NULL;
        int r;

        if (!was_open)
                return call_reply(call, json_pack("{s:b}", "ended", 0));
        r = manager_lock(manager);
        if (r > 0)
                return call_error(call, "org.carewallet.NotDurable",
                                  json_pack("{s:s}", "reason", "The wallet stays open: a revocation, or that the gate is off, is not on the disk yet, and locking would undo it. Nothing is "
                                                               "served meanwhile. The disk is full or cannot be written: make room, then lock again."));
        if (r < 0)
                return r;
        call_linger(call);
        return call_reply(call, json_pack("{s:b}", "ended", 1));
}

int method_accept_clock(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        int r;

        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_lower_time(wallet->consent, wallet_now(wallet).utc_ms / 1000);
        if (r == 0)
                r = wallet_log(wallet, "clock-accepted", NULL);
        if (r == 0)
                r = wallet_commit(wallet);
        if (r != 0) {
                wallet_rollback(wallet);
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Nothing was changed: the disk is full or cannot be written."));
        }
        return call_reply(call, NULL);
}
