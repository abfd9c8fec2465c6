/* SPDX-License-Identifier: Apache-2.0 */

/* Show, Export, Preview, Log: what the patient reads. Long output goes through a pipe, in pieces. */

#include "everything.h"
#include "failure.h"
#include "manager.h"
#include "output.h"
#include "slice.h"

enum {
        OUTPUTS_MAX = 8,
        PIECE_SIZE = 64 * 1024,
        ROWS_PER_PIECE = 4096, /* rows of the database: about 4 ms */
        LOG_PIECE = 200,       /* entries in one reply */
        LOG_MAX = 1000,        /* entries for one call: about 10 ms */
};

typedef struct Reading {
        Manager *manager;
        Call *call; /* NULL: the peer is gone, and so is the output */
        Output *output;
        uint64_t n_rows;
        /* Show, Export */
        RecordsQuery query;
        RecordsCursor cursor;
        bool csv, internal, head_done;
        bool salvage; /* past what can't be read */
        uint64_t n_lost;
        Everything *everything; /* NULL: records alone */
        /* Preview */
        uint64_t grant;
        Slice slice;
        bool is_summary, summary_begun;
        PolicySummary summary;
        PolicyEffective effective;
        bool denied;
} Reading;

static void reading_free(Reading *reading) {
        reading->manager->n_outputs--;
        records_release_memory(reading->manager->wallet->records);
        (void) everything_free(reading->everything);
        free(reading);
}

static void on_gone(Call *call, void *userdata) {
        Reading *reading = userdata;

        output_cancel(reading->output);
        reading_free(reading);
        (void) call_free(call);
}

static void on_done(int r, void *userdata) {
        Reading *reading = userdata;
        Call *call = reading->call;
        json_int_t n_rows = (json_int_t) reading->n_rows, n_lost = (json_int_t) reading->n_lost;
        bool is_salvage = reading->salvage;
        bool denied = reading->denied;

        call->gone = NULL;
        reading_free(reading);
        if (r == -EPIPE)
                (void) call_refuse(call, "The reader went away before the end.");
        else if (r == -EBADMSG)
                (void) call_refuse(call, "It ends too early: a part of the wallet's files is damaged and can't be read. Restore a backup; carewallet doctor says more.");
        else if (r < 0)
                (void) call_failed(call, r);
        else if (denied)
                (void) call_refuse(call, "The grant stopped permitting this while it was read.");
        else if (is_salvage)
                (void) call_reply(call, json_pack("{s:b, s:I, s:I}", "complete", 1, "rows", n_rows, "stretchesLost", n_lost));
        else
                (void) call_reply(call, json_pack("{s:b, s:I}", "complete", 1, "rows", n_rows));
}

/* Takes the reading over. @first: stolen, gets outputFd. */
static int start(Call *call, Reading *reading, OutputMore more, json_t *first) {
        cleanup(close_fdp) int fd = -1;
        Manager *manager = reading->manager;
        int r;

        reading->call = call;
        manager->n_outputs++;
        r = output_start(&reading->output, manager->event, more, on_done, reading, &fd);
        if (r < 0) {
                reading_free(reading);
                json_decref(first);
                return r;
        }
        call->gone = on_gone;
        call->gone_userdata = reading;
        (void) json_object_set_new(first, "outputFd", json_integer(0));
        (void) call_continue(call, first, fd); /* a peer that is gone already has been told to on_gone() */
        return 0;
}

static Reading *reading_new(Manager *manager) {
        Reading *reading = calloc(1, sizeof(*reading));

        if (reading)
                reading->manager = manager;
        return reading;
}

static int busy(Call *call) {
        return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "output"));
}

/* --- Show, Export --- */

typedef struct Appending {
        Reading *reading;
        Text *text;
} Appending;

static int append_record(const Record *record, void *userdata) {
        Appending *appending = userdata;
        Reading *reading = appending->reading;
        const RecordsSource *source = records_source(reading->manager->wallet->records, record->source);
        const char *model = source ? source->model : NULL, *serial = source ? source->serial : NULL;
        int r;

        if (appending->text->n + SERIALISE_MAX > PIECE_SIZE + SERIALISE_MAX)
                return 1;
        if (reading->csv)
                r = serialise_csv(appending->text, record, model, serial, reading->query.kinds, reading->internal);
        else
                r = serialise_ndjson(appending->text, record, model, serial);
        if (r < 0)
                return r;
        reading->n_rows++;
        return 0;
}

static int more_records(Text *text, bool *ret_end, void *userdata) {
        Reading *reading = userdata;
        Appending appending = { .reading = reading, .text = text };
        int r;

        if (reading->csv && !reading->head_done) {
                r = serialise_csv_header(text, reading->query.kinds, reading->internal);
                if (r < 0)
                        return r;
                reading->head_done = true;
        }
        r = records_read(reading->manager->wallet->records, &reading->query, &reading->cursor, ROWS_PER_PIECE, append_record, &appending);
        if (reading->salvage && (r == RECORDS_E_KEY || r == -EIO)) {
                RecordsGap gap;

                records_step_over(reading->manager->wallet->records, &reading->query, &reading->cursor, &gap);
                reading->n_lost++;
                r = 0;
        }
        *ret_end = reading->cursor.ended;
        return r;
}

static bool format_is_csv(const char *format, bool *ret) {
        *ret = strcmp(format, "csv") == 0;
        return *ret || strcmp(format, "ndjson") == 0;
}

int method_show(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *from = call_string(call, "from"), *to = call_string(call, "to");
        const json_t *kinds = json_object_get(call->parameters, "kinds"), *item;
        Reading *reading;
        int32_t day;
        size_t i;

        if (manager->n_outputs >= OUTPUTS_MAX)
                return busy(call);
        reading = reading_new(manager);
        if (!reading)
                return -ENOMEM;
        reading->internal = true;
        reading->query.from_local_ms = INT64_MIN;
        reading->query.to_local_ms = INT64_MAX;
        if (!call->more) {
                free(reading);
                return call_error(call, "org.varlink.service.ExpectedMore", NULL);
        }
        json_array_foreach(kinds, i, item) {
                unsigned kind = record_kind_from_name(json_string_value(item), json_string_length(item));

                if (kind == 0) {
                        free(reading);
                        return call_refuse(call, "'%.32s' is no kind. Kinds: cgm, fingerstick, calibration, bolus, basal, carbs, wizard, settings, alarm, device_event, note.", json_string_value(item));
                }
                reading->query.kinds |= RECORD_KIND_BIT(kind);
        }
        if (!reading->query.kinds)
                reading->query.kinds = RECORD_ALL_KINDS;
        if (from && clock_parse_day(&day, from) == 0)
                reading->query.from_local_ms = day * POLICY_DAY_MS;
        else if (from) {
                free(reading);
                return call_refuse(call, "--from must be a day such as 2025-03-31.");
        }
        if (to && clock_parse_day(&day, to) == 0)
                reading->query.to_local_ms = (day + 1) * POLICY_DAY_MS;
        else if (to) {
                free(reading);
                return call_refuse(call, "--to must be a day such as 2025-03-31.");
        }
        if (!format_is_csv(call_string(call, "format"), &reading->csv)) {
                free(reading);
                return call_invalid(call, "format");
        }
        return start(call, reading, more_records, json_object());
}

static int more_everything(Text *text, bool *ret_end, void *userdata) {
        Reading *reading = userdata;

        return everything_more(reading->everything, text, ret_end, &reading->n_rows);
}

int method_export(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const char *format = call_string(call, "format");
        bool csv = false, is_everything = strcmp(format, "everything") == 0;
        Reading *reading;
        int r;

        if (manager->n_outputs >= OUTPUTS_MAX)
                return busy(call);
        if (!is_everything && !format_is_csv(format, &csv))
                return call_invalid(call, "format");
        if (is_everything && (manager->undoing || manager->forgetting))
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "import"));
        if (!call->more)
                return call_error(call, "org.varlink.service.ExpectedMore", NULL);
        r = wallet_begin(wallet);
        if (r == 0) {
                r = wallet_log(wallet, "export", json_pack("{s:s}", "format", format));
                if (r == 0)
                        r = wallet_commit(wallet);
                else
                        wallet_rollback(wallet);
        }
        /* A full disk must not hold the patient's own data hostage: it is said on the journal, and the export goes on. */
        if (r != 0)
                fputs("carewalletd: an export by the patient could not be written to the ledger\n", stderr);

        reading = reading_new(manager);
        if (!reading)
                return -ENOMEM;
        reading->query = (RecordsQuery){ .kinds = RECORD_ALL_KINDS, .from_local_ms = INT64_MIN, .to_local_ms = INT64_MAX };
        reading->internal = true;
        reading->csv = csv;
        reading->salvage = call_bool(call, "salvage", false) && !is_everything;
        if (is_everything) {
                r = everything_new(&reading->everything, manager);
                if (r < 0) {
                        free(reading);
                        return r;
                }
        }
        return start(call, reading, is_everything ? more_everything : more_records, json_object());
}

/* --- Preview: by the real path --- */

static int more_slice(Text *text, bool *ret_end, void *userdata) {
        Reading *reading = userdata;
        Wallet *wallet = reading->manager->wallet;
        const Grant *grant = grants_by_id(wallet->grants, reading->grant);
        PolicyVerdict verdict;
        SliceState state;
        int r;

        if (!grant)
                return -ENOENT;
        r = slice_next(&reading->slice, wallet->records, grant, wallet_now(wallet), text, &state, &verdict);
        if (r != 0)
                return r;
        reading->n_rows = reading->slice.n_rows;
        reading->denied = state == SLICE_DENIED;
        *ret_end = state == SLICE_WHOLE || state == SLICE_DENIED;
        return 0;
}

/* As the provider would get it: the day's copy where there is one, else as it would be made now. */
static int more_summary(Text *text, bool *ret_end, void *userdata) {
        static const char too_little[] = "{\"summary\":null,\"reason\":\"fewer than 3 days or 200 readings: no summary leaves\"}";
        Reading *reading = userdata;
        Wallet *wallet = reading->manager->wallet;
        const Grant *grant = grants_by_id(wallet->grants, reading->grant);
        const char *body = NULL;
        bool known;
        int r;

        if (!grant)
                return -ENOENT;
        if (!reading->summary_begun) {
                policy_summary_init(&reading->summary, &reading->effective);
                reading->summary_begun = true;
        }
        r = redeem_stored_summary(wallet->redeem, grant, wallet_now(wallet), &known, &body);
        if (r < 0)
                return r;
        if (!known) {
                r = slice_sum(wallet->records, &reading->effective, &reading->cursor, &reading->summary);
                if (r != 0 || !reading->cursor.ended)
                        return r;
        }
        *ret_end = true;
        if (known && body)
                r = text_append(text, body, strlen(body));
        else if (!known && policy_summary_permitted(&reading->summary))
                r = serialise_summary(text, &reading->summary);
        else
                r = text_append(text, too_little, sizeof(too_little) - 1);
        return r < 0 ? r : text_append(text, "\n", 1);
}

static const Grant *newest_active(const Wallet *wallet, const char *provider, PolicyNow now) {
        for (size_t i = grants_n(wallet->grants); i-- > 0;) {
                const Grant *grant = grants_at(wallet->grants, i);

                if (strcmp(grant->provider_name, provider) == 0 && grant_is_active(grant, now))
                        return grant;
        }
        return NULL;
}

int method_preview(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        const char *provider = call_string(call, "provider"), *format = call_string(call, "format");
        PolicyNow now = wallet_now(wallet);
        PolicyRequest request = { .operation = POLICY_OP_SLICE };
        PolicyVerdict verdict;
        PolicyEffective effective = { 0 };
        const Grant *grant;
        Reading *reading;
        bool csv = false, is_summary = strcmp(format, "summary") == 0;

        if (manager->n_outputs >= OUTPUTS_MAX)
                return busy(call);
        if (!is_summary && !format_is_csv(format, &csv))
                return call_invalid(call, "format");
        if (!call->more)
                return call_error(call, "org.varlink.service.ExpectedMore", NULL);
        grant = newest_active(wallet, provider, now);
        if (!grant)
                return call_error(call, "org.carewallet.NotFound", json_pack("{s:s, s:s}", "what", "active grant of provider", "name", provider));
        if (is_summary)
                request.operation = POLICY_OP_SUMMARY;
        verdict = policy_decide(&grant->policy, &request, now, &effective);
        if (verdict == POLICY_DENY_DETAIL && !is_summary)
                return call_refuse(call, "This grant permits a summary only, no records. See it with `carewallet preview %s --summary`.", provider);
        if (verdict != POLICY_ALLOW)
                return call_refuse(call, "Nothing would leave now: %s.", policy_verdict_name(verdict));
        reading = reading_new(manager);
        if (!reading)
                return -ENOMEM;
        reading->grant = grant->id;
        reading->effective = effective;
        slice_init(&reading->slice, csv ? FRAME_GATE_CSV : FRAME_GATE_NDJSON, &request);
        return start(call, reading, is_summary ? more_summary : more_slice,
                     json_pack("{s:o, s:s}", "grant", grant_json(grant, now), "verdict", policy_verdict_name(verdict)));
}

/* --- Log --- */

static int add_entry(uint64_t index, const char *record, size_t n_record, void *userdata) {
        json_t *entry = record ? json_loadb(record, n_record, JSON_REJECT_DUPLICATES, NULL) : NULL;

        if (!entry)
                entry = json_pack("{s:s}", "type", "erased");
        (void) json_object_set_new(entry, "index", json_integer((json_int_t) index));
        return json_array_append_new(userdata, entry) < 0 ? -ENOMEM : 0;
}

int method_log(Call *call, void *userdata) {
        Manager *manager = userdata;
        Consent *consent = manager->wallet->consent;
        uint64_t size = consent_ledger_size(consent), first, last;
        json_int_t from = call_int(call, "first", -1), limit = call_int(call, "limit", 0);
        int r;

        if (from < -1 || limit < 0)
                return call_invalid(call, from < -1 ? "first" : "limit");
        if (!call->more)
                return call_error(call, "org.varlink.service.ExpectedMore", NULL);
        if (limit == 0 || limit > LOG_MAX)
                limit = LOG_MAX;
        first = from >= 0 ? (uint64_t) from : (uint64_t) limit < size ? size - (uint64_t) limit : 0;
        last = first < size && size - first > (uint64_t) limit ? first + (uint64_t) limit : size;
        while (first < last) {
                size_t n = last - first > LOG_PIECE ? LOG_PIECE : (size_t) (last - first);
                json_t *entries = json_array();

                r = consent_ledger_read(consent, first, n, add_entry, entries);
                if (r != 0) {
                        json_decref(entries);
                        return fold(r);
                }
                r = call_continue(call, json_pack("{s:o}", "entries", entries), -1);
                if (r == -ENOBUFS)
                        return call_refuse(call, "The log is too long for one answer: ask for a part of it.");
                if (r < 0)
                        break;
                first += n;
        }
        return call_reply(call, json_pack("{s:I, s:s, s:b}", "size", (json_int_t) size, "checkpoint", consent_ledger_checkpoint(consent), "complete", 1));
}
