/* SPDX-License-Identifier: Apache-2.0 */

#include "keyjob.h"

#include "failure.h"

#include <sodium.h>

enum {
        OPSLIMIT_MIN = 3, /* RFC 9106 section 4: t = 3 with less than 2 GiB */
};

/* --- the queue --- */

static int on_turn(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        if (manager->keyjobs)
                manager->keyjobs->begin(manager->keyjobs);
        return 0;
}

static void next_turn(Manager *manager) {
        int r = 0;

        if (!manager->keyjob_turn)
                r = sd_event_add_defer(manager->event, &manager->keyjob_turn, on_turn, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(manager->keyjob_turn, SD_EVENT_ONESHOT);
        if (r < 0)
                fputs("carewalletd: out of memory: a call waits in vain\n", stderr);
}

KeyJob *keyjob_free(KeyJob *job) {
        Manager *manager;

        if (!job)
                return NULL;
        manager = job->manager;
        if (manager->keyjobs == job) {
                manager->keyjobs = job->next;
                if (job->next)
                        next_turn(manager);
        } else
                for (KeyJob *before = manager->keyjobs; before; before = before->next)
                        if (before->next == job)
                                before->next = job->next;
        (void) kdf_cancel(job->kdf);
        if (job->done)
                job->done(job);
        (void) close_fd(job->secret_fd);
        (void) secret_free(job->root);
        (void) secret_free(job->kek);
        (void) secret_free(job->made.kek);
        free(job);
        return NULL;
}

static void on_gone(Call *call, void *userdata) {
        (void) keyjob_free(userdata);
        (void) call_free(call);
}

KeyJob *keyjob_start(Manager *manager, Call *call, size_t n_bytes, void (*begin)(KeyJob *job), void (*done)(KeyJob *job)) {
        KeyJob *job = calloc(1, n_bytes), **at = &manager->keyjobs;

        assert(n_bytes >= sizeof(*job));
        if (!job)
                return NULL;
        job->manager = manager;
        job->call = call;
        job->begin = begin;
        job->done = done;
        job->secret_fd = call_take_fd(call, "secretFd");
        job->type = call_bool(call, "recovery", false) ? SLOT_RECOVERY : SLOT_PASSPHRASE;
        call->gone = on_gone;
        call->gone_userdata = job;
        while (*at)
                at = &(*at)->next;
        *at = job;
        if (manager->keyjobs == job)
                next_turn(manager);
        return job;
}

/* --- answers --- */

static Call *release(KeyJob *job) {
        Call *call = job->call;

        call->gone = NULL;
        (void) keyjob_free(job);
        return call;
}

void keyjob_reply(KeyJob *job, json_t *parameters, int fd) {
        (void) call_reply_fd(release(job), parameters, fd);
}

void keyjob_error(KeyJob *job, const char *error, json_t *parameters) {
        (void) call_error(release(job), error, parameters);
}

void keyjob_refuse(KeyJob *job, const char *reason) {
        keyjob_error(job, "org.carewallet.Refused", json_pack("{s:s}", "reason", reason));
}

void keyjob_failed(KeyJob *job, int r) {
        (void) call_failed(release(job), r);
}

void keyjob_store(KeyJob *job, const Slots *slots, const char *type, json_t *fields, json_t *reply) {
        int r = manager_store_slots(job->manager, slots, job->root, type, fields);

        if (r == 0) {
                keyjob_reply(job, reply, -1);
                return;
        }
        json_decref(reply);
        if (r < 0)
                keyjob_refuse(job, "The key file could not be written: the disk is full or cannot be written. Nothing was changed. Make room, then do it again.");
        else
                keyjob_error(job, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The key was changed, but the second copy of the key file, or the log, could not be written: the disk is full or cannot be "
                                                                                  "written. Make room, then do it again."));
}

/* --- a wrong secret: its answer waits, by a timer --- */

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

static void answer_wrong(KeyJob *job) {
        Manager *manager = job->manager;
        Call *call = release(job);
        uint64_t now_ms = clock_monotonic_ms(), wait_ms = guard_failed(&manager->guard, &call->peer, now_ms);
        Delayed *delayed = calloc(1, sizeof(*delayed));

        /* not relative: that is to the beginning of the loop's turn, and the answer would come before the next try may be made */
        if (!delayed || sd_event_add_time(manager->event, &delayed->timer, CLOCK_MONOTONIC, (now_ms + wait_ms) * 1000, 1000, on_delay, delayed) < 0) {
                free(delayed);
                (void) wrong(call, wait_ms);
                return;
        }
        delayed->call = call;
        call->gone = on_delayed_gone;
        call->gone_userdata = delayed;
}

/* --- runs of the worker --- */

static void refuse_kdf(KeyJob *job, int r, unsigned type) {
        switch (r) {
        case KDF_E_SECRET:
                keyjob_refuse(job, "The passphrase must come as a sealed memfd of 1 to 4096 bytes.");
                break;
        case KDF_E_CODE:
                keyjob_refuse(job, type == 0                 ? "That is no code: one of the phone has six digits, a one-time code ten letters and digits."
                                   : type == SLOT_CREDENTIAL ? "A credential is 32 random bytes."
                                                           : "That is no recovery code: it has eight groups of five characters, and a group does not check. Compare it with your copy.");
                break;
        case KDF_E_MEMORY:
                keyjob_refuse(job, "There is not enough free memory to derive the key. Close other programs and try again.");
                break;
        case KDF_E_WORKER:
                keyjob_refuse(job, "The key worker failed. The journal says why.");
                break;
        default:
                keyjob_failed(job, r);
        }
}

static FrameKdfRequest request_for(SlotType type) {
        static const uint32_t modes[N_SLOT_TYPES] = {
                [SLOT_PASSPHRASE] = FRAME_KDF_PASSPHRASE, [SLOT_RECOVERY] = FRAME_KDF_RECOVERY, [SLOT_CREDENTIAL] = FRAME_KDF_CREDENTIAL };

        return (FrameKdfRequest){ .version = FRAME_VERSION, .mode = modes[type] };
}

static void try_next(KeyJob *job);

static void on_proof_key(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata) {
        KeyJob *job = userdata;

        (void) opslimit;
        (void) memlimit;
        job->kdf = NULL;
        if (r != 0) {
                refuse_kdf(job, r, job->type);
                return;
        }
        job->kek = key;
        r = slots_unwrap(&job->manager->slots, job->slot, job->kek, &job->root);
        if (r > 0) {
                job->kek = secret_free(job->kek);
                job->slot++;
                try_next(job);
                return;
        }
        if (r == 0)
                r = slots_verify(&job->manager->slots, job->root);
        if (r > 0)
                keyjob_refuse(job, "The slot file was altered since carewallet wrote it. Restore a backup.");
        else if (r < 0)
                keyjob_failed(job, r);
        else {
                guard_passed(&job->manager->guard, &job->call->peer, clock_monotonic_ms());
                if (job->type == SLOT_RECOVERY) /* always counts as a step-up */
                        guard_code_passed(&job->manager->guard, &job->call->peer, clock_monotonic_ms());
                job->proven(job);
        }
}

static void try_next(KeyJob *job) {
        Manager *manager = job->manager;
        FrameKdfRequest request = request_for(job->type);
        const Slot *slot;
        int r;

        while (job->slot < manager->slots.n_slots && manager->slots.slots[job->slot].type != job->type)
                job->slot++;
        if (job->slot == manager->slots.n_slots) {
                answer_wrong(job);
                return;
        }
        slot = &manager->slots.slots[job->slot];
        memcpy(request.salt, slot->salt, sizeof(request.salt));
        request.opslimit = slot->opslimit;
        request.memlimit = slot->memlimit;
        r = kdf_start(&job->kdf, manager->event, manager->config.launcher_fd, job->secret_fd, &request, on_proof_key, job);
        if (r != 0)
                keyjob_failed(job, fold(r));
}

void keyjob_prove(KeyJob *job, void (*proven)(KeyJob *job)) {
        uint64_t wait_ms = guard_must_wait(&job->manager->guard, &job->call->peer, clock_monotonic_ms());

        if (wait_ms > 0) {
                (void) wrong(release(job), wait_ms);
                return;
        }
        job->proven = proven;
        job->slot = 0;
        try_next(job);
}

static void on_made_key(int r, uint32_t opslimit, uint64_t memlimit, Secret *key, void *userdata) {
        KeyJob *job = userdata;

        job->kdf = NULL;
        if (r != 0) {
                refuse_kdf(job, r, job->made.type);
                return;
        }
        job->made.kek = key;
        job->made.opslimit = opslimit;
        job->made.memlimit = memlimit;
        job->derived(job);
}

static void run(KeyJob *job, int fd, unsigned type, const FrameKdfRequest *request, void (*derived)(KeyJob *job)) {
        int r;

        job->made.type = type;
        job->made.kek = secret_free(job->made.kek);
        memcpy(job->made.salt, request->salt, sizeof(job->made.salt));
        job->derived = derived;
        r = kdf_start(&job->kdf, job->manager->event, job->manager->config.launcher_fd, fd, request, on_made_key, job);
        if (r != 0)
                keyjob_failed(job, fold(r));
}

void keyjob_derive(KeyJob *job, int secret_fd, SlotType type, void (*derived)(KeyJob *job)) {
        FrameKdfRequest request = request_for(type);

        if (type == SLOT_PASSPHRASE) {
                request.mode = FRAME_KDF_CALIBRATE;
                request.opslimit = OPSLIMIT_MIN;
                request.memlimit = job->manager->config.kdf_memlimit;
        }
        randombytes_buf(request.salt, sizeof(request.salt));
        run(job, secret_fd, type, &request, derived);
}

void keyjob_hash_code(KeyJob *job, int fd, const uint8_t salt[static 16], void (*derived)(KeyJob *job)) {
        FrameKdfRequest request = { .version = FRAME_VERSION, .mode = FRAME_KDF_CODE };

        memcpy(request.salt, salt, sizeof(request.salt));
        run(job, fd, 0, &request, derived);
}
