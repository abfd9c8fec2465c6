/* SPDX-License-Identifier: Apache-2.0 */

#include "wallet.h"

#include <limits.h>
#include <sys/stat.h>

#include "db.h"
#include "rotation.h"

enum {
        LATE_S = 2, /* an entry of the ledger that is later than what it tells of says when that was */
};

static int consent_to_wallet(int r) {
        switch (r) {
        case CONSENT_E_KEY:
                return WALLET_E_KEY;
        case CONSENT_E_VERSION:
                return WALLET_E_VERSION;
        case CONSENT_E_FULL:
                return WALLET_E_FULL;
        default:
                return fold(r);
        }
}

static int records_to_wallet(int r) {
        switch (r) {
        case RECORDS_E_KEY:
                return WALLET_E_KEY;
        case RECORDS_E_VERSION:
                return WALLET_E_VERSION;
        case RECORDS_E_FULL:
                return WALLET_E_FULL;
        case RECORDS_E_OLDER:
                return WALLET_E_OLDER;
        default:
                return fold(r);
        }
}

static bool is_there(const char *dir, const char *name) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        return access(path, F_OK) == 0;
}

/* An emptied one must not be taken for one that is to be made. */
static bool has_content(const char *dir, const char *name) {
        char path[PATH_MAX];
        struct stat st;

        (void) snprintf(path, sizeof(path), "%s/%s", dir, name);
        return stat(path, &st) == 0 && st.st_size > 0;
}

PolicyNow wallet_now(const Wallet *wallet) {
        return clock_now(consent_highest_s(wallet->consent));
}

int wallet_begin(Wallet *wallet) {
        int r;

        assert(!wallet->in_transaction);
        r = consent_begin(wallet->consent);
        wallet->in_transaction = r == 0;
        return r;
}

void wallet_rollback(Wallet *wallet) {
        if (!wallet->in_transaction)
                return;
        wallet->in_transaction = false;
        consent_rollback(wallet->consent);
}

/* --- what narrows holds in memory first, and goes with the next commit --- */

static bool is_unstored(const Grant *grant) {
        return grant->revoked_unstored || grant->expired_unstored;
}

void wallet_revoke(Wallet *wallet, Grant *grant, int64_t now_s, const char *reason) {
        wallet->n_unstored += !is_unstored(grant);
        grant->policy.revoked = true;
        grant->revoked_unstored = true;
        grant->revoked_s = now_s > 0 ? now_s : 1;
        grant->revoked_reason = reason ? strdup(reason) : NULL;
}

void wallet_expire(Wallet *wallet, Grant *grant) {
        wallet->n_unstored += !is_unstored(grant);
        grant->policy.expired = true;
        grant->expired_unstored = true;
}

void wallet_gate_off(Wallet *wallet) {
        wallet->gate_off_unstored = true;
}

bool wallet_is_unstored(const Wallet *wallet) {
        return wallet->n_unstored > 0 || wallet->gate_off_unstored;
}

static int store_revoked(Wallet *wallet, const Grant *grant) {
        json_t *fields = json_pack("{s:s, s:s, s:i, s:s*}", "grant", grant->claims.jti, "provider", grant->provider_name, "uses", (int) grant->policy.uses, "reason",
                                   grant->revoked_reason);
        char at[CLOCK_TEXT_SIZE];
        int r;

        if (wallet_now(wallet).utc_ms / 1000 > grant->revoked_s + LATE_S) {
                clock_format_utc(at, grant->revoked_s);
                (void) json_object_set_new(fields, "at", json_string(at));
        }
        r = consent_grant_revoke(wallet->consent, grant->id, grant->revoked_s);
        if (r == 0)
                return wallet_log(wallet, "revoked", fields);
        json_decref(fields);
        return r;
}

static int store_narrowed(Wallet *wallet) {
        int r = 0;

        for (size_t i = 0; r == 0 && wallet->n_unstored > 0 && i < grants_n(wallet->grants); i++) {
                const Grant *grant = grants_at(wallet->grants, i);

                if (grant->expired_unstored) {
                        r = consent_grant_expire(wallet->consent, grant->id);
                        if (r == 0)
                                r = wallet_log(wallet, "expired", json_pack("{s:s, s:s}", "grant", grant->claims.jti, "provider", grant->provider_name));
                }
                if (r == 0 && grant->revoked_unstored)
                        r = store_revoked(wallet, grant);
        }
        if (r == 0 && wallet->gate_off_unstored) {
                r = consent_setting_put(wallet->consent, "gate-listen", "", 0);
                if (r == 0)
                        r = wallet_log(wallet, "gate-off", NULL);
        }
        return r;
}

static void narrowed_is_stored(Wallet *wallet) {
        for (size_t i = 0; wallet->n_unstored > 0 && i < grants_n(wallet->grants); i++) {
                Grant *grant = grants_at(wallet->grants, i);

                wallet->n_unstored -= is_unstored(grant);
                grant->revoked_unstored = grant->expired_unstored = grant->revoked_spooled = false;
                free(grant->revoked_reason);
                grant->revoked_reason = NULL;
        }
        wallet->gate_off_unstored = false;
}

int wallet_commit(Wallet *wallet) {
        int r = store_narrowed(wallet);

        if (r == 0)
                r = consent_saw_time(wallet->consent, wallet_now(wallet).utc_ms / 1000);
        if (r != 0) {
                wallet_rollback(wallet);
                return r;
        }
        wallet->in_transaction = false;
        r = consent_commit(wallet->consent);
        if (r == 0)
                narrowed_is_stored(wallet);
        return r;
}

int wallet_log(Wallet *wallet, const char *type, json_t *fields) {
        char time[CLOCK_TEXT_SIZE];
        cleanup(freep) char *text = NULL;
        json_t *entry;
        uint64_t index;

        clock_format_utc(time, wallet_now(wallet).utc_ms / 1000);
        entry = json_pack("{s:s, s:s}", "type", type, "time", time);
        if (!entry || (fields && json_object_update(entry, fields) < 0)) {
                json_decref(entry);
                json_decref(fields);
                return -ENOMEM;
        }
        json_decref(fields);
        text = json_dumps(entry, JSON_COMPACT);
        json_decref(entry);
        if (!text)
                return -ENOMEM;
        return consent_ledger_append(wallet->consent, text, strlen(text), &index);
}

int wallet_set_urls(Wallet *wallet, const char *const *urls, size_t n_urls) {
        RedeemConfig config = { .consent = wallet->consent, .records = wallet->records, .grants = wallet->grants };
        Redeem *redeem;
        int r;

        for (size_t i = 0; i < wallet->n_urls; i++)
                free(wallet->urls[i]);
        wallet->n_urls = 0;
        for (size_t i = 0; i < n_urls && i < WALLET_URLS_MAX; i++) {
                wallet->urls[i] = strdup(urls[i]);
                if (!wallet->urls[i])
                        return -ENOMEM;
                wallet->n_urls++;
        }
        config.urls = (const char *const *) wallet->urls;
        config.n_urls = wallet->n_urls;
        r = redeem_new(&redeem, &config);
        if (r != 0)
                return fold(r);
        (void) redeem_free(wallet->redeem);
        wallet->redeem = redeem;
        return 0;
}

static int load_settings(Wallet *wallet) {
        static const char *const pin_names[GRANT_PINS_MAX] = { "gate-pin", "gate-pin-next" };
        cleanup(freep) char *zone = NULL;
        size_t n;
        int r;

        r = consent_setting_get(wallet->consent, "timezone", &zone, &n);
        if (r != 0)
                return consent_to_wallet(r);
        (void) snprintf(wallet->zones_spec, sizeof(wallet->zones_spec), "%s", zone);

        for (size_t i = 0; i < GRANT_PINS_MAX; i++) {
                cleanup(freep) char *pin = NULL;

                r = consent_setting_get(wallet->consent, pin_names[i], &pin, &n);
                if (r == CONSENT_E_NOT_FOUND)
                        break;
                if (r != 0)
                        return consent_to_wallet(r);
                if (n != sizeof(wallet->pins[i]))
                        return -EBADMSG;
                memcpy(wallet->pins[i], pin, n);
                wallet->n_pins++;
        }
        return 0;
}

/* Takes the zones over. */
static int use_zones(Wallet *wallet, Zones *zones) {
        int r;

        records_set_zones(wallet->records, zones);
        (void) zones_free(wallet->zones);
        wallet->zones = zones;
        (void) snprintf(wallet->zone, sizeof(wallet->zone), "%s", zones_name(zones, wallet_now(wallet).utc_ms));
        r = clock_set_zone(wallet->zone);
        return r > 0 ? 0 : r; /* it was read a moment ago */
}

static int load_zones(Wallet *wallet) {
        Zones *zones = NULL;
        int r;

        r = zones_load(&zones, wallet->zones_spec);
        if (r < 0)
                return r;
        if (r == 0)
                return use_zones(wallet, zones);
        (void) snprintf(wallet->zone, sizeof(wallet->zone), "%.*s", (int) strcspn(wallet->zones_spec, ";"), wallet->zones_spec);
        return 0;
}

int wallet_set_zones(Wallet *wallet, const char *spec) {
        cleanup(zones_freep) Zones *zones = NULL;
        int r;

        r = zones_load(&zones, spec);
        if (r != 0)
                return r < 0 ? r : -EINVAL;

        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_setting_put(wallet->consent, "timezone", spec, strlen(spec));
        if (r == 0)
                r = wallet_log(wallet, "timezone", json_pack("{s:s}", "timezone", spec));
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        if (r != 0)
                return r;

        (void) snprintf(wallet->zones_spec, sizeof(wallet->zones_spec), "%s", spec);
        return use_zones(wallet, take_ptr(zones));
}

/* After a rotation the wallet is to others who it was before. */
static int load_identity(Wallet *wallet) {
        char *identity = NULL;
        size_t n;
        int r;

        r = consent_setting_get(wallet->consent, "identity", &identity, &n);
        if (r != 0)
                return r == CONSENT_E_NOT_FOUND ? 0 : r;
        if (n == KEYS_IDENTITY_SIZE)
                keys_use_identity(wallet->keys, (const uint8_t *) identity);
        else
                r = CONSENT_E_KEY;
        explicit_bzero(identity, n);
        free(identity);
        return r;
}

int wallet_keep(Keep **ret, const char *dir, const Secret *root) {
        cleanup(secret_freep) Secret *key = NULL;
        int r;

        r = keys_derive_one(&key, root, KEY_RECORDS_DB);
        return r == 0 ? records_to_wallet(keep_begin(ret, dir, "records.db", key)) : r;
}

int wallet_open(Wallet **ret, const char *dir, const Secret *root, const char *zone, bool kept) {
        cleanup(wallet_closep) Wallet *wallet = NULL;
        char origin[JWS_THUMBPRINT_SIZE + sizeof("/ledger")];
        int r;

        if (is_there(dir, ROTATION_CIPHER_MARKER) && !db_has_cipher_4())
                return WALLET_E_CIPHER;
        if (!zone && (!has_content(dir, "consent.db") || !has_content(dir, "records.db")))
                return WALLET_E_MISSING;

        wallet = calloc(1, sizeof(*wallet));
        if (!wallet)
                return -ENOMEM;
        r = keys_derive(&wallet->keys, root);
        if (r < 0)
                return r;
        r = consent_open(&wallet->consent, dir, wallet->keys->keys[KEY_CONSENT_DB], NULL, NULL);
        if (r == 0)
                r = load_identity(wallet);
        if (r != 0)
                return consent_to_wallet(r);
        r = ed25519_public(wallet->public_key, wallet->keys->keys[KEY_GRANT_SEED]);
        if (r != 0)
                return fold(r);
        jwk_thumbprint(wallet->thumbprint, wallet->public_key);
        (void) snprintf(origin, sizeof(origin), "%s/ledger", wallet->thumbprint);
        r = consent_open_signing(wallet->consent, wallet->keys->keys[KEY_CHECKPOINT_SEED], origin);
        if (r != 0)
                return consent_to_wallet(r);
        r = (kept ? records_open_kept : records_open)(&wallet->records, dir, wallet->keys->keys[KEY_RECORDS_DB]);
        if (r != 0)
                return records_to_wallet(r);
        if (zone) {
                r = wallet_begin(wallet);
                if (r == 0)
                        r = consent_setting_put(wallet->consent, "timezone", zone, strlen(zone));
                if (r == 0)
                        r = wallet_log(wallet, "wallet-created", NULL);
                if (r == 0)
                        r = wallet_commit(wallet);
                if (r != 0)
                        return consent_to_wallet(r);
        }
        r = load_settings(wallet);
        if (r != 0)
                return r;
        r = load_zones(wallet);
        if (r != 0)
                return r;
        r = totp_load(&wallet->totp, wallet->consent);
        if (r != 0)
                return consent_to_wallet(r);
        r = grants_load(&wallet->grants, wallet->consent, wallet->keys->keys[KEY_GRANT_SEED], wallet->keys->keys[KEY_PSEUDONYM], &wallet->n_altered);
        if (r != 0)
                return fold(r);
        r = wallet_set_urls(wallet, NULL, 0);
        if (r != 0)
                return r;
        *ret = take_ptr(wallet);
        return 0;
}

const char *wallet_reason(int r) {
        switch (r) {
        case WALLET_E_KEY:
                return db_has_cipher_4() ? "A database does not belong to this wallet, or it is damaged. Restore a backup."
                                         : "A database does not belong to this wallet, it is damaged, or it comes from a wallet that was moved to SQLCipher 4, which this machine "
                                           "lacks. Restore a backup, or open it on a machine with SQLCipher 4, such as Debian 13.";
        case WALLET_E_CIPHER:
                return "This wallet was moved to the format of SQLCipher 4 (carewallet upgrade-cipher), and this machine has SQLCipher 3, which cannot read it. "
                       "Nothing is damaged: open it on a machine with SQLCipher 4, such as Debian 13.";
        case WALLET_E_MISSING:
                return "A database is missing from the state directory, or is empty, though the keys are there. Restore a backup.";
        case WALLET_E_VERSION:
                return "This wallet was written by a later version of carewallet. Install that version.";
        case WALLET_E_FULL:
                return "The disk is full or cannot be written. Make room and try again.";
        default:
                return NULL;
        }
}

Wallet *wallet_close(Wallet *wallet) {
        if (!wallet)
                return NULL;
        totp_done(&wallet->totp);
        (void) redeem_free(wallet->redeem);
        (void) grants_free(wallet->grants);
        (void) records_close(wallet->records);
        (void) zones_free(wallet->zones);
        (void) consent_close(wallet->consent);
        (void) keys_free(wallet->keys);
        for (size_t i = 0; i < wallet->n_urls; i++)
                free(wallet->urls[i]);
        free(wallet);
        return NULL;
}
