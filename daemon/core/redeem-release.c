/* SPDX-License-Identifier: Apache-2.0 */

/* What is handed out: its two entries in the ledger, and a slice's chunks. */

#include "redeem-private.h"

#include <sodium.h>

#include "daemon/common/civil.h"

Release **redeem_release_find(Redeem *redeem, uint64_t request) {
        for (size_t i = 0; i < REDEEM_STREAMS_MAX; i++)
                if (redeem->releases[i] && redeem->releases[i]->request == request)
                        return &redeem->releases[i];
        return NULL;
}

static json_t *asked_json(const PolicyRequest *policy) {
        char day[CIVIL_TIME_SIZE];
        json_t *json = json_object();

        if (policy->kinds)
                (void) json_object_set_new(json, "kinds", grant_kinds_json(policy->kinds));
        if (policy->has_from) {
                civil_date(day, policy->from_day);
                (void) json_object_set_new(json, "from", json_string(day));
        }
        if (policy->has_to) {
                civil_date(day, policy->to_day);
                (void) json_object_set_new(json, "to", json_string(day));
        }
        if (policy->has_since)
                (void) json_object_set_new(json, "since_utc_ms", json_integer(policy->since_utc_ms));
        return json;
}

int redeem_release_begin(Redeem *redeem, const Asked *asked, const Grant *grant, const char *what, unsigned format,
                         const PolicyRequest *policy, const PolicyEffective *effective, Release **ret) {
        static const char *const formats[] = { "json", [FRAME_GATE_NDJSON] = "ndjson", [FRAME_GATE_CSV] = "csv" };
        char from[CIVIL_DATE_SIZE], to[CIVIL_DATE_SIZE];
        cleanup(freep) Release *release = NULL;
        Release **place = NULL;
        int r;

        *ret = NULL;
        for (size_t i = 0; i < REDEEM_STREAMS_MAX && !place; i++)
                if (!redeem->releases[i])
                        place = &redeem->releases[i];
        if (!place)
                return redeem_refuse_provider(redeem, asked, grant, "too-many", FRAME_GATE_UNAVAILABLE, "too many answers are under way");

        release = calloc(1, sizeof(*release));
        if (!release)
                return -ENOMEM;
        civil_date(from, (int32_t) (effective->from_local_ms / POLICY_DAY_MS));
        civil_date(to, (int32_t) (effective->to_local_ms / POLICY_DAY_MS - 1));
        r = redeem_append(redeem, asked->now, "release-begun",
                          json_pack("{s:s, s:s, s:s, s:s, s:{s:o, s:s, s:s, s:s, s:b}, s:o, s:I}",
                                    "grant", grant->claims.jti, "provider", grant->provider_name, "what", what, "format", formats[format],
                                    "scope", "kinds", grant_kinds_json(effective->kinds), "from", from, "to", to,
                                    "identity", grant_identity_name(effective->identity), "free_text", (int) effective->free_text,
                                    "request", asked_json(policy), "high_water", (json_int_t) records_last_import(redeem->config.records)), &release->begun);
        if (r < 0)
                return r;

        release->request = asked->request;
        release->grant = grant->id;
        release->what = what;
        release->pending = true;
        slice_init(&release->slice, format, policy);
        redeem->anything_pending = true;
        *ret = release;
        *place = take_ptr(release);
        return 0;
}

int redeem_release_end(Redeem *redeem, Release **place, uint64_t n_sent, bool whole, PolicyNow now) {
        Release *release = *place;
        const Grant *grant = grants_by_id(redeem->config.grants, release->grant);
        char digest[SLICE_DIGEST_SIZE];
        int r = 0;

        /* the gate's own word: no more than was made can have been handed over */
        if (n_sent > release->slice.n_bytes)
                n_sent = release->slice.n_bytes;
        whole = whole && release->made;
        slice_digest(&release->slice, digest);
        if (grant)
                r = redeem_append(redeem, now, "release-ended",
                                  json_pack("{s:s, s:s, s:I, s:s, s:I, s:I, s:s, s:s, s:s*}", "grant", grant->claims.jti, "provider", grant->provider_name,
                                            "begun", (json_int_t) release->begun, "what", release->what, "rows", (json_int_t) release->slice.n_rows,
                                            "bytes", (json_int_t) n_sent, "sha256", digest, "state", whole ? "complete" : "cut",
                                            "by", whole ? NULL : release->cut ? release->cut : "recipient"), NULL);
        if (r < 0)
                return r;
        free(release);
        *place = NULL;
        return 0;
}

int redeem_release_next(Redeem *redeem, Release *release, PolicyNow now, FrameBuffer *out) {
        const Grant *grant = grants_by_id(redeem->config.grants, release->grant);
        PolicyVerdict verdict = POLICY_DENY_REVOKED;
        SliceState state = SLICE_DENIED;
        char trailer[128] = "";
        int r;

        release->seeking = false;
        if (release->made || release->cut)
                return 0;

        text_clear(&redeem->text);
        if (grant) {
                r = fold(slice_next(&release->slice, redeem->config.records, grant, now, &redeem->text, &state, &verdict));
                if (r < 0)
                        return r;
        }
        if (state == SLICE_DENIED) {
                release->cut = policy_verdict_name(verdict);
                return fold(frame_put_gate_end(out, release->request, false, ""));
        }

        if (redeem->text.n > 0) {
                r = fold(frame_put_gate_chunk(out, release->request, (const uint8_t *) redeem->text.bytes, redeem->text.n));
                if (r < 0)
                        return r;
        }
        if (state == SLICE_SEEKING)
                release->seeking = true;
        if (state != SLICE_WHOLE)
                return 0;

        release->made = true;
        if (release->slice.format == FRAME_GATE_CSV) {
                char digest[SLICE_DIGEST_SIZE];

                slice_digest(&release->slice, digest);
                (void) snprintf(trailer, sizeof(trailer), "rows=%llu; sha256=%s", (unsigned long long) release->slice.n_rows, digest);
        }
        return fold(frame_put_gate_end(out, release->request, true, trailer));
}

int redeem_on_slice(Redeem *redeem, const Asked *asked, const FrameGateRequest *request, const Grant *grant) {
        PolicyRequest policy = redeem_policy_request(request, POLICY_OP_SLICE);
        unsigned format = request->format == FRAME_GATE_CSV ? FRAME_GATE_CSV : FRAME_GATE_NDJSON;
        PolicyEffective effective;
        PolicyVerdict verdict;
        Release *release;
        int r;

        verdict = policy_decide(&grant->policy, &policy, asked->now, &effective);
        if (verdict != POLICY_ALLOW)
                return redeem_refuse_verdict(redeem, asked, grant, verdict, false);

        r = redeem_release_begin(redeem, asked, grant, "slice", format, &policy, &effective, &release);
        if (r < 0 || !release)
                return r;
        r = redeem_put_reply(redeem, asked, FRAME_GATE_STREAM, FRAME_GATE_OK, "", format == FRAME_GATE_CSV ? 3 : 2, NULL, 0);
        if (r < 0)
                return r;
        return redeem_release_next(redeem, release, asked->now, asked->out);
}
