/* SPDX-License-Identifier: Apache-2.0 */

/* Summaries: made once a day, so that asking often or subtracting reveals no reading. */

#include "redeem-private.h"

#include <sodium.h>

#include "serialise.h"

enum {
        ANSWER_NAME_SIZE = 80,
};

void redeem_answer_clear(Answer *answer) {
        if (answer->body)
                sodium_memzero(answer->body, strlen(answer->body));
        free(answer->body);
        *answer = (Answer) {0};
}

static int32_t day_of(PolicyNow now) {
        return (int32_t) (now.local_ms / POLICY_DAY_MS);
}

/* The copy is good for its day, and for the one before, which comes again when the patient travels west. */
static bool answer_fits(const Answer *answer, const PolicyEffective *effective, PolicyNow now) {
        int32_t today = day_of(now);

        return answer->known && (answer->day == today || answer->day == today + 1) &&
               answer->from_local_ms == effective->from_local_ms && answer->to_local_ms == effective->to_local_ms;
}

/*
 * By day and window, not by grant: the summaries of one window are the same for all, so that two grants and an import between them
 * reveal no reading.
 */
static void answer_name(char ret[static ANSWER_NAME_SIZE], int32_t day, int64_t from_local_ms, int64_t to_local_ms) {
        (void) snprintf(ret, ANSWER_NAME_SIZE, "summary/%06d/%lld-%lld", (int) day, (long long) (from_local_ms / POLICY_DAY_MS), (long long) (to_local_ms / POLICY_DAY_MS));
}

static int answer_load(Redeem *redeem, State *state, const PolicyEffective *effective, PolicyNow now) {
        cleanup(json_decrefp) json_t *json = NULL;
        cleanup(freep) char *text = NULL;
        json_int_t from, to;
        const char *body;
        json_t *held;
        char name[ANSWER_NAME_SIZE];
        int day, r = CONSENT_E_NOT_FOUND;
        size_t n;

        if (answer_fits(&state->answer, effective, now))
                return 0;
        for (int32_t of = day_of(now) + 1; r == CONSENT_E_NOT_FOUND && of >= day_of(now); of--) {
                answer_name(name, of, effective->from_local_ms, effective->to_local_ms);
                r = consent_setting_get(redeem->config.consent, name, &text, &n);
        }
        if (r == CONSENT_E_NOT_FOUND)
                return 0;
        if (r != 0)
                return redeem_from_consent(r);

        json = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        sodium_memzero(text, n);
        if (json_unpack(json, "{s:i, s:I, s:I, s:o}", "day", &day, "from", &from, "to", &to, "body", &held) < 0)
                return -EBADMSG;
        body = json_string_value(held); /* NULL for null: not enough data */
        redeem_answer_clear(&state->answer);
        state->answer = (Answer) { .known = true, .stored = true, .day = day, .from_local_ms = from, .to_local_ms = to };
        if (body) {
                state->answer.body = strdup(body);
                if (!state->answer.body)
                        return -ENOMEM;
        }
        return 0;
}

static int answer_store(Redeem *redeem, State *state) {
        cleanup(freep) char *text = NULL;
        Answer *answer = &state->answer;
        json_t *json;
        char name[ANSWER_NAME_SIZE], oldest[ANSWER_NAME_SIZE];
        int r;

        if (answer->stored)
                return 0;
        json = json_pack("{s:i, s:I, s:I, s:s?}", "day", (int) answer->day, "from", (json_int_t) answer->from_local_ms,
                         "to", (json_int_t) answer->to_local_ms, "body", answer->body);
        text = json ? json_dumps(json, JSON_COMPACT) : NULL;
        json_decref(json);
        if (!text)
                return -ENOMEM;
        answer_name(name, answer->day, answer->from_local_ms, answer->to_local_ms);
        (void) snprintf(oldest, sizeof(oldest), "summary/%06d", (int) answer->day - 1);
        r = redeem_from_consent(consent_setting_put(redeem->config.consent, name, text, strlen(text)));
        if (r == 0)
                r = redeem_from_consent(consent_setting_forget(redeem->config.consent, "summary/", oldest));
        sodium_memzero(text, strlen(text));
        if (r < 0)
                return r;
        answer->stored = true;
        answer->pending = true;
        redeem->anything_pending = true;
        return 0;
}

/* The day's answer to one request. */
static int answer_give(Redeem *redeem, const Asked *asked, const Grant *grant, State *state, const PolicyRequest *policy,
                       const PolicyEffective *effective) {
        const char *body = state->answer.body;
        Release *release;
        int r;

        r = answer_store(redeem, state); /* a copy whose commit failed */
        if (r < 0)
                return r;
        if (!body)
                return redeem_refuse_provider(redeem, asked, grant, "not-enough-data", FRAME_GATE_NOT_ENOUGH_DATA,
                                              "a summary needs 3 whole days and 200 readings; the answer is the same for the rest of the day");

        r = redeem_release_begin(redeem, asked, grant, "summary", 0, policy, effective, &release);
        if (r < 0 || !release)
                return r;
        release->made = true;
        slice_add_bytes(&release->slice, body, strlen(body));
        return redeem_put_reply(redeem, asked, FRAME_GATE_REPLY, FRAME_GATE_OK, "", 1, body, strlen(body));
}

int redeem_stored_summary(Redeem *redeem, const Grant *grant, PolicyNow now, bool *ret_known, const char **ret_body) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        PolicyEffective effective;
        State *state;
        int r;

        *ret_known = false;
        if (policy_decide(&grant->policy, &policy, now, &effective) != POLICY_ALLOW)
                return 0;
        r = redeem_state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_load(redeem, state, &effective, now);
        if (r < 0)
                return r;
        *ret_known = answer_fits(&state->answer, &effective, now);
        *ret_body = state->answer.body;
        return 0;
}

int redeem_on_summary(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant) {
        PolicyRequest policy = redeem_policy_request(request, POLICY_OP_SUMMARY);
        PolicyEffective effective;
        PolicyVerdict verdict;
        State *state;
        int r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return redeem_refuse_verdict(redeem, asked, grant, verdict, false);

        r = redeem_state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_load(redeem, state, &effective, asked->now);
        if (r < 0)
                return r;
        if (answer_fits(&state->answer, &effective, asked->now))
                return answer_give(redeem, asked, grant, state, &policy, &effective);

        if (redeem->n_waiters >= N_ELEMENTS(redeem->waiters))
                return redeem_refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many answers are under way");
        redeem->waiters[redeem->n_waiters++] = (Waiter) { .request = asked->request, .grant = grant->id };
        return 0;
}

static int answer_make(Redeem *redeem, State *state, const Job *job) {
        Answer answer = {
                .known = true,
                .day = job->day,
                .from_local_ms = job->effective.from_local_ms,
                .to_local_ms = job->effective.to_local_ms,
        };
        int r;

        if (policy_summary_permitted(&job->summary)) {
                text_clear(&redeem->text);
                r = serialise_summary(&redeem->text, &job->summary);
                if (r < 0)
                        return r;
                answer.body = strndup(redeem->text.bytes, redeem->text.n);
                if (!answer.body)
                        return -ENOMEM;
        }
        redeem_answer_clear(&state->answer);
        state->answer = answer;
        return answer_store(redeem, state);
}

/* Answer all who wait for this grant: with the copy, or with what policy says by now. */
static int answer_waiters(Redeem *redeem, uint64_t id, PolicyNow now, FrameBuffer *out) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        const Grant *grant = grants_by_id(redeem->config.grants, id);
        State *state = redeem_state_find(redeem, id);
        size_t i = 0;
        int r;

        while (i < redeem->n_waiters) {
                Asked asked = { .request = redeem->waiters[i].request, .grant = id, .now = now, .out = out };
                PolicyEffective effective;
                PolicyVerdict verdict;

                if (redeem->waiters[i].grant != id) {
                        i++;
                        continue;
                }
                redeem->n_waiters--;
                memmove(redeem->waiters + i, redeem->waiters + i + 1, (redeem->n_waiters - i) * sizeof(Waiter));

                if (!grant || !state) {
                        r = redeem_refuse(redeem, &asked, FRAME_GATE_INVALID_TOKEN, "the grant is gone");
                } else {
                        verdict = policy_decide(&grant->policy, &policy, now, &effective);
                        r = verdict == POLICY_ALLOW ? answer_give(redeem, &asked, grant, state, &policy, &effective) :
                                                      redeem_refuse_verdict(redeem, &asked, grant, verdict, false);
                }
                if (r < 0)
                        return r;
        }
        return 0;
}

int redeem_summary_step(Redeem *redeem, PolicyNow now, FrameBuffer *out) {
        const PolicyRequest policy = { .operation = POLICY_OP_SUMMARY };
        Job *job = &redeem->job;
        PolicyEffective effective;
        const Grant *grant;
        State *state;
        int r;

        if (!job->runs)
                *job = (Job) { .grant = redeem->waiters[0].grant };
        grant = grants_by_id(redeem->config.grants, job->grant);
        if (!grant || policy_decide(&grant->policy, &policy, now, &effective) != POLICY_ALLOW) {
                job->runs = false;
                return answer_waiters(redeem, job->grant, now, out);
        }
        /* somebody else's answer for the same window may have been made meanwhile */
        if (!job->runs) {
                r = redeem_state_get(redeem, grant->id, &state);
                if (r == 0)
                        r = answer_load(redeem, state, &effective, now);
                if (r < 0)
                        return r;
                if (answer_fits(&state->answer, &effective, now))
                        return answer_waiters(redeem, grant->id, now, out);
        }
        /* begin, and begin again when midnight or the patient moved the window meanwhile */
        if (!job->runs || job->day != day_of(now) || job->effective.from_local_ms != effective.from_local_ms ||
            job->effective.to_local_ms != effective.to_local_ms) {
                *job = (Job) { .runs = true, .grant = grant->id, .day = day_of(now), .effective = effective };
                policy_summary_init(&job->summary, &effective);
        }

        r = slice_sum(redeem->config.records, &job->effective, &job->cursor, &job->summary);
        if (r < 0 || !job->cursor.ended)
                return r;

        job->runs = false;
        r = redeem_state_get(redeem, grant->id, &state);
        if (r == 0)
                r = answer_make(redeem, state, job);
        if (r < 0)
                return r;
        return answer_waiters(redeem, grant->id, now, out);
}
