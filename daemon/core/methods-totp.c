/* SPDX-License-Identifier: Apache-2.0 */

/* Codes of a phone: enrolled, asked for, given up. */

#include "keyjob.h"

#include <sodium.h>

enum {
        CONFIRM_TRIES = 10, /* then it begins anew: nobody enrols a phone by guessing */
};

typedef struct CodeJob {
        KeyJob job;
        int code_fd;
} CodeJob;

static void code_done(KeyJob *job) {
        (void) close_fd(((CodeJob *) job)->code_fd);
}

static int start(Manager *manager, Call *call, void (*begin)(KeyJob *job)) {
        CodeJob *job = (CodeJob *) keyjob_start(manager, call, sizeof(*job), begin, code_done);

        if (!job)
                return -ENOMEM;
        job->code_fd = call_take_fd(call, "codeFd");
        return 0;
}

static int64_t now_s(const Manager *manager) {
        return wallet_now(manager->wallet).utc_ms / 1000;
}

/* @totp counts when it is committed, and not before. */
static int commit(Manager *manager, const Totp *totp, const char *type, json_t *fields) {
        Wallet *wallet = manager->wallet;
        int r;

        r = wallet_begin(wallet);
        if (r == 0)
                r = totp_store(totp, wallet->consent);
        if (r == 0 && type)
                r = wallet_log(wallet, type, json_incref(fields));
        if (r == 0)
                r = wallet_commit(wallet);
        else
                wallet_rollback(wallet);
        json_decref(fields);
        return r;
}

static void refuse_full(KeyJob *job) {
        keyjob_refuse(job, "Nothing was changed: the disk is full or cannot be written. Make room and try again.");
}

static void wrong(KeyJob *job, uint64_t wait_ms) {
        keyjob_error(job, "org.carewallet.WrongCode", json_pack("{s:I}", "retryAfterMs", (json_int_t) wait_ms));
}

/* --- StepUp --- */

static void step_up_hashed(KeyJob *job) {
        Manager *manager = job->manager;
        uint64_t now_ms = clock_monotonic_ms(), wait_ms = guard_code_must_wait(&manager->guard, now_ms);
        const Totp *before = &manager->wallet->totp;
        Totp totp = *before; /* the secret is the same one's */
        bool one_time;
        int r;

        /* While codes of the phone have to wait, because somebody guesses, a one-time code still counts: nobody guesses that. */
        r = totp_take(&totp, secret_data(job->made.kek), now_s(manager), wait_ms == 0, &one_time);
        if (r != 0) {
                wrong(job, wait_ms > 0 ? wait_ms : guard_code_failed(&manager->guard, now_ms));
                return;
        }
        r = one_time ? commit(manager, &totp, "code-used", json_pack("{s:i}", "left", (int) totp.n_codes)) : commit(manager, &totp, NULL, NULL);
        if (r != 0) {
                refuse_full(job);
                return;
        }
        manager->wallet->totp = totp;
        guard_passed(&manager->guard, &job->call->peer, now_ms);
        guard_code_passed(&manager->guard, &job->call->peer, now_ms);
        keyjob_reply(job, json_pack("{s:i}", "codesLeft", (int) totp.n_codes), -1);
}

static void begin_step_up(KeyJob *job) {
        if (!job->manager->wallet->totp.secret) { /* it may have been given up while this waited */
                keyjob_refuse(job, "No phone is enrolled: there are no codes. Enrol one with: carewallet totp enrol");
                return;
        }
        keyjob_hash_code(job, ((CodeJob *) job)->code_fd, job->manager->wallet->totp.salt, step_up_hashed);
}

int method_step_up(Call *call, void *userdata) {
        Manager *manager = userdata;

        if (!manager->wallet)
                return call_error(call, manager_why_closed(manager), NULL);
        return start(manager, call, begin_step_up);
}

/* --- enrolling --- */

static void enrol_proven(KeyJob *job) {
        Manager *manager = job->manager;
        cleanup(secret_freep) Secret *uri = NULL;
        cleanup(close_fdp) int fd = -1;
        char id[24];
        Totp totp;
        int r;

        r = totp_make(&totp);
        if (r < 0) {
                keyjob_failed(job, r);
                return;
        }
        totp_done(&manager->totp_new);
        manager->totp_new = totp;
        manager->totp_new_connection = job->call->peer.connection;
        manager->totp_new_tries = CONFIRM_TRIES;
        (void) b64url_encode(id, sizeof(id), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
        r = totp_uri(&totp, id, &uri);
        if (r == 0)
                r = secret_to_memfd(&fd, uri, strlen((const char *) secret_data(uri)));
        if (r < 0)
                keyjob_failed(job, r);
        else
                keyjob_reply(job, json_pack("{s:i}", "uriFd", 0), fd);
}

static void begin_enrol(KeyJob *job) {
        keyjob_prove(job, enrol_proven);
}

int method_enrol_totp(Call *call, void *userdata) {
        return start(userdata, call, begin_enrol);
}

/* @totp: taken over, with new one-time codes, which are the answer. */
static void answer_codes(KeyJob *job, Totp *totp, const char *type) {
        Manager *manager = job->manager;
        cleanup(secret_freep) Secret *shown = NULL;
        cleanup(close_fdp) int fd = -1;
        Totp before = manager->wallet->totp;
        int r;

        r = totp_make_codes(totp, &shown);
        if (r == 0)
                r = secret_to_memfd(&fd, shown, secret_size(shown) - 1);
        if (r == 0)
                r = commit(manager, totp, type, NULL);
        if (r != 0) {
                if (totp->secret != before.secret)
                        totp_done(totp);
                refuse_full(job);
                return;
        }
        manager->wallet->totp = *totp;
        if (totp->secret != before.secret)
                totp_done(&before);
        keyjob_reply(job, json_pack("{s:i}", "codesFd", 0), fd);
}

static void confirm_hashed(KeyJob *job) {
        Manager *manager = job->manager;
        Totp totp = manager->totp_new;

        if (totp_take(&totp, secret_data(job->made.kek), now_s(manager), true, NULL) != 0) {
                if (--manager->totp_new_tries == 0)
                        totp_done(&manager->totp_new);
                wrong(job, 0);
                return;
        }
        manager->totp_new = (Totp){ 0 };
        answer_codes(job, &totp, "totp-enrolled");
}

static void begin_confirm(KeyJob *job) {
        if (!job->manager->totp_new.secret || job->manager->totp_new_connection != job->call->peer.connection) {
                keyjob_refuse(job, "No phone is being enrolled. Begin with: carewallet totp enrol");
                return;
        }
        keyjob_hash_code(job, ((CodeJob *) job)->code_fd, job->manager->totp_new.salt, confirm_hashed);
}

int method_confirm_totp(Call *call, void *userdata) {
        return start(userdata, call, begin_confirm);
}

/* --- giving up, new one-time codes --- */

static void not_enrolled(KeyJob *job) {
        keyjob_refuse(job, "No phone is enrolled.");
}

int totp_give_up(Manager *manager) {
        Totp none = { 0 };
        int r;

        r = manager->wallet->totp.secret ? commit(manager, &none, "totp-removed", NULL) : 0;
        if (r == 0)
                totp_done(&manager->wallet->totp);
        return r;
}

static void remove_proven(KeyJob *job) {
        if (!job->manager->wallet->totp.secret)
                not_enrolled(job);
        else if (totp_give_up(job->manager) != 0)
                refuse_full(job);
        else
                keyjob_reply(job, NULL, -1);
}

static void begin_remove(KeyJob *job) {
        keyjob_prove(job, remove_proven);
}

int method_remove_totp(Call *call, void *userdata) {
        return start(userdata, call, begin_remove);
}

static void renew_proven(KeyJob *job) {
        Totp totp = job->manager->wallet->totp;

        if (totp.secret)
                answer_codes(job, &totp, "codes-renewed");
        else
                not_enrolled(job);
}

static void begin_renew(KeyJob *job) {
        keyjob_prove(job, renew_proven);
}

int method_renew_codes(Call *call, void *userdata) {
        return start(userdata, call, begin_renew);
}
