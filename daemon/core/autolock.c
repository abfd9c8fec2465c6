/* SPDX-License-Identifier: Apache-2.0 */

#include "autolock.h"

#include <time.h>

#include "manager.h"
#include "narrowing.h"

#define SETTING "auto-lock" /* seconds, u64 little-endian; 0 or absent: off */

struct Autolock {
        Manager *manager;
        sd_event_source *timer;
        uint32_t after_s;
        uint64_t used_us; /* of the clock that goes on while the machine sleeps */
};

static uint64_t now_us(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_BOOTTIME, &now);
        return (uint64_t) now.tv_sec * 1000000 + (uint64_t) now.tv_nsec / 1000;
}

static uint64_t due_us(const Autolock *autolock) {
        return autolock->used_us + (uint64_t) autolock->after_s * 1000000;
}

/* What the patient began is use until it ends. */
static bool is_busy(const Manager *manager) {
        return manager_is_storing(manager) || manager->is_backing_up || manager->checking || manager->is_backing_up || manager->keyjobs || manager->n_outputs > 0;
}

/* One timer that is set again when it fires: a call costs a look at the clock, and no system call. */
static int on_timer(sd_event_source *source, uint64_t time_us, void *userdata) {
        Autolock *autolock = userdata;

        (void) time_us;
        if (is_busy(autolock->manager))
                autolock_used(autolock);
        if (now_us() < due_us(autolock)) {
                (void) sd_event_source_set_time(source, due_us(autolock));
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        if (manager_lock(autolock->manager) != 0) {
                fputs("carewalletd: not locked though it is time: that would undo a revocation that the full disk did not take\n", stderr);
                (void) sd_event_source_set_time(source, now_us() + NARROWING_RETRY_MS * UINT64_C(1000));
                return sd_event_source_set_enabled(source, SD_EVENT_ONESHOT);
        }
        fputs("carewalletd: locked, as it was not used for the time that the patient set\n", stderr);
        return 0;
}

static int arm(Autolock *autolock) {
        int r;

        if (autolock->after_s == 0)
                return sd_event_source_set_enabled(autolock->timer, SD_EVENT_OFF);
        autolock_used(autolock);
        r = sd_event_source_set_time(autolock->timer, due_us(autolock));
        return r < 0 ? r : sd_event_source_set_enabled(autolock->timer, SD_EVENT_ONESHOT);
}

int autolock_new(Autolock **ret, Manager *manager) {
        cleanup(freep) char *value = NULL;
        Autolock *autolock;
        size_t n;
        int r;

        autolock = calloc(1, sizeof(*autolock));
        if (!autolock)
                return -ENOMEM;
        autolock->manager = manager;
        r = consent_setting_get(manager->wallet->consent, SETTING, &value, &n);
        if (r == 0 && n == 8) {
                uint64_t after_s = get_le64((const uint8_t *) value);

                autolock->after_s = after_s <= AUTOLOCK_MAX_S ? (uint32_t) after_s : AUTOLOCK_MAX_S;
        }
        r = sd_event_add_time(manager->event, &autolock->timer, CLOCK_BOOTTIME, UINT64_MAX, 1000000, on_timer, autolock);
        if (r >= 0)
                r = arm(autolock);
        if (r < 0) {
                (void) autolock_free(autolock);
                return r;
        }
        *ret = autolock;
        return 0;
}

Autolock *autolock_free(Autolock *autolock) {
        if (autolock) {
                sd_event_source_disable_unref(autolock->timer);
                free(autolock);
        }
        return NULL;
}

void autolock_used(Autolock *autolock) {
        if (autolock)
                autolock->used_us = now_us();
}

uint32_t autolock_after_s(const Autolock *autolock) {
        return autolock ? autolock->after_s : 0;
}

int method_set_auto_lock(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        json_int_t after_s = call_int(call, "afterS", 0);
        uint8_t value[8];
        int r;

        if (after_s != 0 && (after_s < AUTOLOCK_MIN_S || after_s > AUTOLOCK_MAX_S))
                return call_invalid(call, "afterS");
        put_le64(value, (uint64_t) after_s);
        r = wallet_begin(wallet);
        if (r == 0)
                r = consent_setting_put(wallet->consent, SETTING, value, sizeof(value));
        if (r == 0)
                r = wallet_log(wallet, "auto-lock", json_pack("{s:I}", "after_s", after_s));
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        if (r != 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "Nothing was changed: the disk is full or cannot be written."));
        manager->autolock->after_s = (uint32_t) after_s;
        r = arm(manager->autolock);
        return r < 0 ? r : call_reply(call, NULL);
}
