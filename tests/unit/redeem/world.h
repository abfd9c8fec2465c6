/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* A wallet with records and a provider, without sockets: what the gate would send, and what it would get. */

#include <dirent.h>
#include <fcntl.h>

#include "daemon/core/dpop.h"
#include "daemon/core/redeem.h"
#include "daemon/core/serialise.h"
#include "tools.h"

#define URL "https://127.0.0.1:8443"
#define SERIAL "NG1234567H"
#define NOTE_TEXT "I slept badly"
#define TODAY 19100                    /* 2022-04-18 */
#define NOON_MS (TODAY * POLICY_DAY_MS + INT64_C(43200000))
#define N_DAYS 20                      /* of sensor readings, the last of them yesterday */
#define N_CGM (N_DAYS * 288u - 1)      /* that may leave: one is quarantined */

typedef struct World {
        char folder[32];
        Secret *keys[4], *wallet_seed, *provider_seed, *other_seed, *pseudonym_key;
        Consent *consent;
        Records *records;
        Grants *grants;
        Redeem *redeem;
        ConsentProvider provider, other;
        PolicyNow now;
        int64_t monotonic_ms;
        uint64_t next_request;
        unsigned next_jti;
        char nonce[44];
} World;

/* What came back for one request. */
typedef struct Got {
        bool replied, streams, ended, whole;
        FrameGateError error;
        uint64_t request, grant;
        char message[160];
        char body[4096];
        Text stream;
        size_t n_chunks, largest_chunk;
        char trailer[161];
} Got;

static inline void take_frames(World *w, FrameBuffer *out, Got *got) {
        const uint8_t *payload;
        uint32_t type;
        size_t n;

        while (frame_next(out, &type, &payload, &n) == 0) {
                FrameGateReply reply;
                const uint8_t *bytes;
                uint64_t request;
                size_t n_bytes;

                switch (type) {
                case FRAME_GATE_REPLY:
                case FRAME_GATE_STREAM:
                        ok(frame_get_gate_reply(&reply, payload, n));
                        assert_false(got->replied);
                        got->replied = true;
                        got->streams = type == FRAME_GATE_STREAM;
                        got->error = reply.error;
                        assert_int_equal(reply.request, got->request);
                        got->grant = reply.grant;
                        memcpy(got->message, reply.message, sizeof(got->message));
                        assert_int_not_equal(strlen(reply.nonce), 0);
                        memcpy(w->nonce, reply.nonce, sizeof(w->nonce));
                        assert_true(reply.n_body < sizeof(got->body));
                        if (reply.n_body > 0)
                                memcpy(got->body, reply.body, reply.n_body);
                        got->body[reply.n_body] = '\0';
                        break;
                case FRAME_GATE_CHUNK:
                        ok(frame_get_gate_chunk(&request, &bytes, &n_bytes, payload, n));
                        assert_int_equal(request, got->request);
                        assert_false(got->ended);
                        ok(text_append(&got->stream, (const char *) bytes, n_bytes));
                        got->n_chunks++;
                        if (n_bytes > got->largest_chunk)
                                got->largest_chunk = n_bytes;
                        break;
                case FRAME_GATE_END:
                        ok(frame_get_gate_end(&request, &got->whole, got->trailer, payload, n));
                        assert_int_equal(request, got->request);
                        assert_false(got->ended);
                        got->ended = true;
                        break;
                default:
                        fail_msg("frame %x", type);
                }
        }
        assert_int_equal(out->at, out->n);
        frame_buffer_done(out);
}

static inline void commit(World *w) {
        ok(consent_commit(w->consent));
        redeem_committed(w->redeem);
}

static inline void ask(World *w, FrameGateRequest request, const char *proof, Got *got) {
        FrameBuffer out = {0};

        memset(got, 0, sizeof(*got));
        request.request = got->request = ++w->next_request;
        if (proof) {
                request.flags |= FRAME_GATE_HAS_PROOF;
                request.proof = proof;
                request.n_proof = strlen(proof);
        }
        ok(consent_begin(w->consent));
        ok(redeem_request(w->redeem, &request, w->now, w->monotonic_ms, &out));
        commit(w);
        take_frames(w, &out, got);
}

/* The rest of a stream, as a gate whose client reads. */
static inline void read_on(World *w, Got *got, size_t n_chunks) {
        for (size_t i = 0; i < n_chunks && !got->ended; i++) {
                FrameBuffer out = {0};

                if (redeem_has_work(w->redeem)) {
                        ok(consent_begin(w->consent));
                        assert_true(redeem_step(w->redeem, w->now, &out) >= 0);
                        commit(w);
                } else
                        ok(redeem_more(w->redeem, got->request, w->now, &out));
                take_frames(w, &out, got);
        }
}

/* Work off what was put off, for one request's answer. */
static inline void work(World *w, Got *got) {
        while (redeem_has_work(w->redeem)) {
                FrameBuffer out = {0};

                ok(consent_begin(w->consent));
                assert_true(redeem_step(w->redeem, w->now, &out) >= 0);
                commit(w);
                take_frames(w, &out, got);
        }
}

static inline void closed(World *w, Got *got, bool whole) {
        ok(consent_begin(w->consent));
        ok(redeem_closed(w->redeem, got->request, got->streams ? got->stream.n : strlen(got->body), whole, w->now));
        commit(w);
        text_done(&got->stream);
}

static inline json_t *proof_header(const uint8_t key[static 32]) {
        return json_pack("{s:s, s:s, s:o}", "typ", "dpop+jwt", "alg", "EdDSA", "jwk", jwk_public(key));
}

static inline json_t *proof_claims(World *w, const char *method, const char *path, const char *token) {
        char jti[16], ath[JWS_THUMBPRINT_SIZE] = "", htu[128];
        json_t *claims;

        (void) snprintf(jti, sizeof(jti), "%u", ++w->next_jti);
        (void) snprintf(htu, sizeof(htu), URL "%s", path);
        if (token)
                dpop_ath(ath, token);
        claims = json_pack("{s:s, s:s, s:s, s:i, s:s*, s:s*}", "jti", jti, "htm", method, "htu", htu, "iat", 0,
                           "nonce", *w->nonce ? w->nonce : NULL, "ath", token ? ath : NULL);
        assert_non_null(claims);
        return claims;
}

static inline char *proof(World *w, const Secret *seed, const char *method, const char *path, const char *token) {
        uint8_t key[32];

        ok(ed25519_public(key, seed));
        return sign_json(seed, proof_header(key), proof_claims(w, method, path, token));
}

static inline void ask_token_with(World *w, const Grant *grant, const char *made, Got *got) {
        FrameGateRequest request = { .operation = FRAME_GATE_TOKEN, .flags = FRAME_GATE_HAS_CREDENTIAL };

        memcpy(request.credential, grant->assertion_sha256, 32);
        ask(w, request, made, got);
}

static inline void ask_token(World *w, const Grant *grant, Got *got) {
        cleanup(freep) char *made = proof(w, w->provider_seed, "POST", "/token", NULL);

        ask_token_with(w, grant, made, got);
}

/* An access token's text; 44 bytes. */
static inline void get_token(World *w, const Grant *grant, char ret[static 44]) {
        cleanup(json_decrefp) json_t *json = NULL;
        Got got;

        ask_token(w, grant, &got);
        if (got.error == FRAME_GATE_USE_DPOP_NONCE)
                ask_token(w, grant, &got);
        assert_int_equal(got.error, FRAME_GATE_OK);
        json = json_loads(got.body, 0, NULL);
        assert_string_equal(json_string_value(json_object_get(json, "token_type")), "DPoP");
        (void) snprintf(ret, 44, "%s", json_string_value(json_object_get(json, "access_token")));
}

static inline void ask_resource_with(World *w, FrameGateRequest request, const char *token, const char *made, Got *got) {
        size_t n;

        request.flags |= FRAME_GATE_HAS_CREDENTIAL;
        ok(b64url_decode(request.credential, 32, &n, token, strlen(token)));
        ask(w, request, made, got);
}

static inline void ask_resource(World *w, FrameGateRequest request, const char *token, Got *got) {
        const char *path = request.operation == FRAME_GATE_SLICE ? "/slice" : "/summary";
        cleanup(freep) char *made = proof(w, w->provider_seed, "GET", path, token);

        ask_resource_with(w, request, token, made, got);
}

#define SLICE_REQUEST ((FrameGateRequest) { .operation = FRAME_GATE_SLICE, .format = FRAME_GATE_NDJSON })
#define SUMMARY_REQUEST ((FrameGateRequest) { .operation = FRAME_GATE_SUMMARY })

static inline GrantClaims claims_for(const World *w) {
        return (GrantClaims) {
                .issued_s = w->now.utc_ms / 1000,
                .issued_day = TODAY,
                .terms = {
                        .scope = {
                                .kinds = RECORD_KIND_BIT(RECORD_CGM) | RECORD_KIND_BIT(RECORD_BOLUS),
                                .detail = POLICY_DATA,
                                .identity = POLICY_PSEUDONYM,
                                .window = { .type = POLICY_WINDOW_LAST, .last_days = 90, .newer = true },
                        },
                        .not_before_s = w->now.utc_ms / 1000,
                        .expires_s = w->now.utc_ms / 1000 + 30 * 86400,
                },
                .purpose = "TREAT",
                .n_urls = 1,
                .urls = { URL },
        };
}

static inline Grant *grant_to(World *w, const ConsentProvider *provider, GrantClaims claims) {
        const Grant *grant;

        ok(consent_begin(w->consent));
        ok(grants_issue(w->grants, provider, &claims, &grant));
        ok(consent_commit(w->consent));
        return grants_by_id(w->grants, grant->id);
}

static inline Grant *new_grant(World *w) {
        return grant_to(w, &w->provider, claims_for(w));
}

static inline void put_record(Record *batch, size_t *n, uint32_t source, unsigned kind, int64_t local_ms, int32_t milli, Payload *payload) {
        Record *record = &batch[(*n)++];

        *record = (Record) {
                .kind = (uint8_t) kind,
                .unit = kind == RECORD_CGM ? RECORD_UNIT_MG_DL : kind == RECORD_BOLUS ? RECORD_UNIT_INSULIN : RECORD_UNIT_NONE,
                .flags = kind == RECORD_NOTE ? 0 : RECORD_HAS_VALUE,
                .decimals = kind == RECORD_BOLUS ? 2 : 0,
                .offset_min = 120,
                .value_milli = milli,
                .utc_ms = local_ms - 7200000,
                .local_ms = local_ms,
                .source = source,
                .payload = payload ? payload->bytes : NULL,
                .n_payload = payload ? payload->n : 0,
        };
        memset(record->identity, 0x11, 8);
}

/* Readings of the days [first, last]; one of them is quarantined when there is a note. */
static inline void import(World *w, int32_t first, int32_t last, bool with_note) {
        RecordsSource source = { .model = "MiniMed 780G MMT-1886", .serial = SERIAL, .section = "pump" };
        Payload note = {0}, bolus = {0};
        RecordsCounts counts = {0};
        uint32_t id;

        payload_text(&note, FIELD_MARKER, NOTE_TEXT, strlen(NOTE_TEXT));
        payload_text(&bolus, FIELD_ORIGIN, "CLOSED_LOOP", 11);
        payload_text(&bolus, FIELD_LINKED_METER, "METER77", 7);
        payload_text(&bolus, FIELD_NAME, "my breakfast", 12);
        ok(records_import_begin(w->records, "test.csv", w->now.utc_ms, &id));
        ok(records_source_find_or_add(w->records, &source));
        for (int32_t day = first; day <= last; day++) {
                Record batch[300];
                size_t n = 0;

                for (int i = 0; i < 288; i++)
                        put_record(batch, &n, source.id, RECORD_CGM, day * POLICY_DAY_MS + i * 300000, (100 + i % 50) * 1000, NULL);
                put_record(batch, &n, source.id, RECORD_BOLUS, day * POLICY_DAY_MS + 28800000, 1250, &bolus);
                put_record(batch, &n, source.id, RECORD_NOTE, day * POLICY_DAY_MS + 28800000, 0, &note);
                if (with_note && day == first) {
                        batch[7].flags |= RECORD_QUARANTINED;
                        batch[7].value_milli = 399000;
                }
                ok(records_import_batch(w->records, batch, n, &counts));
        }
        ok(records_import_finish(w->records, "{}"));
}

static inline int start(World *w) {
        static const char *const urls[] = { URL };
        RedeemConfig config;
        size_t n_altered;

        ok(grants_load(&w->grants, w->consent, w->wallet_seed, w->pseudonym_key, &n_altered));
        config = (RedeemConfig) { .consent = w->consent, .records = w->records, .grants = w->grants, .urls = urls, .n_urls = 1 };
        ok(redeem_new(&w->redeem, &config));
        w->nonce[0] = '\0';
        return (int) n_altered;
}

static inline void stop(World *w) {
        w->redeem = redeem_free(w->redeem);
        w->grants = grants_free(w->grants);
}

static inline int setup(void **state) {
        World *w = calloc(1, sizeof(*w));

        strcpy(w->folder, "/tmp/redeem-XXXXXX");
        assert_non_null(mkdtemp(w->folder));
        for (uint8_t i = 0; i < 4; i++)
                w->keys[i] = seed_of((uint8_t) (0x40 + i));
        w->wallet_seed = seed_of(1);
        w->provider_seed = seed_of(2);
        w->other_seed = seed_of(3);
        w->pseudonym_key = seed_of(4);
        w->now = (PolicyNow) { .utc_ms = NOON_MS - 7200000, .local_ms = NOON_MS };
        w->monotonic_ms = 1000000;
        ok(consent_open(&w->consent, w->folder, w->keys[0], w->keys[1], "test/ledger"));
        ok(records_open(&w->records, w->folder, w->keys[2]));

        strcpy(w->provider.name, "endo-clinic");
        ok(ed25519_public(w->provider.key, w->provider_seed));
        strcpy(w->other.name, "other-clinic");
        ok(ed25519_public(w->other.key, w->other_seed));
        ok(consent_begin(w->consent));
        ok(consent_provider_add(w->consent, &w->provider));
        ok(consent_provider_add(w->consent, &w->other));
        ok(consent_commit(w->consent));
        import(w, TODAY - N_DAYS, TODAY - 1, true);
        ok(start(w));
        *state = w;
        return 0;
}

static inline int teardown(void **state) {
        World *w = *state;
        DIR *dir = opendir(w->folder);
        struct dirent *entry;

        stop(w);
        (void) records_close(w->records);
        (void) consent_close(w->consent);
        while (dir && (entry = readdir(dir)))
                (void) unlinkat(dirfd(dir), entry->d_name, 0);
        if (dir)
                (void) closedir(dir);
        (void) rmdir(w->folder);
        for (size_t i = 0; i < 4; i++)
                (void) secret_free(w->keys[i]);
        (void) secret_free(w->wallet_seed);
        (void) secret_free(w->provider_seed);
        (void) secret_free(w->other_seed);
        (void) secret_free(w->pseudonym_key);
        free(w);
        return 0;
}

/* The ledger as one text, an entry a line. */
static inline int add_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        Text *text = userdata;

        (void) index;
        ok(text_append(text, record, n_record));
        ok(text_append(text, "\n", 1));
        return 0;
}

static inline char *ledger(World *w) {
        Text text = {0};

        ok(consent_ledger_read(w->consent, 0, SIZE_MAX, add_entry, &text));
        ok(text_append(&text, "", 1));
        return text.bytes;
}

static inline size_t n_in(const char *text, const char *word) {
        size_t n = 0;

        for (; (text = strstr(text, word)); text += strlen(word))
                n++;
        return n;
}

static inline size_t n_logged(World *w, const char *word) {
        cleanup(freep) char *text = ledger(w);

        return n_in(text, word);
}
