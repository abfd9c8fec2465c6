/* SPDX-License-Identifier: Apache-2.0 */

#include "pull.h"

#include "daemon/workers/import/cell.h"

#include <sodium.h>
#include <stdio.h>
#include <string.h>

enum {
        HISTORY_PAGES_MAX = 36,  /* what a pump keeps */
        HISTORY_PAGES_512 = 32,  /* a 512 does not say how many it has */
        GLUCOSE_PAGES_MAX = 32,
        PAGES_BAD_MAX = 4,       /* one after the other: then it is not the pages */
        CLOCK_OFFSET_SHOWN_MS = 2 * 60 * 1000,
        DAY_MS = 24 * 60 * 60 * 1000,
};

typedef struct Pull {
        PumpLink link;
        const FrameUsbRequest *request;
        Zones *zones;
        const ImportSink *sink;
        Pump *pump;
        ParadigmModel model;
        int64_t clock_ms; /* the pump's wall clock; 0: it has none */
        FrameUsbPump *result;
        unsigned n_done, n_all, n_bad; /* pages; n_bad: in a row */
        uint32_t n_rejected;
        char *refusal;
} Pull;

void pull_hash(uint8_t ret[static FRAME_USB_HASH_SIZE], unsigned known, const uint8_t *bytes, size_t n) {
        /* raised when the decoders learn to read more: what was read before is then read once again */
        static const uint8_t key[crypto_generichash_KEYBYTES] = "what a pump says, 2";

        (void) crypto_generichash(ret, FRAME_USB_HASH_SIZE, bytes, n, key, sizeof(key));
        ret[0] = (uint8_t) known;
}

static int refuse(Pull *p, const char *text) {
        (void) snprintf(p->refusal, PULL_REFUSAL_MAX, "%s", text);
        return PULL_E_REFUSED;
}

static int note(Pull *p, const char *text) {
        return p->sink->note(p->sink->userdata, text);
}

static bool is_known(const Pull *p, const uint8_t *hash) {
        for (size_t i = 0; i != p->request->n_known; i++)
                if (memcmp(p->request->known[i], hash, FRAME_USB_HASH_SIZE) == 0)
                        return true;
        return false;
}

static void keep_known(Pull *p, const uint8_t hash[static FRAME_USB_HASH_SIZE]) {
        if (p->result->n_known < FRAME_USB_KNOWN_MAX)
                memcpy(p->result->known[p->result->n_known++], hash, FRAME_USB_HASH_SIZE);
}

/* --- who is there --- */

static int ask_clock(Pull *p) {
        uint8_t reply[PUMP_LINK_REPLY];
        Record now = { 0 };
        int64_t offset_ms;
        char text[200], day[16];
        int r;

        r = pump_link_ask(&p->link, CARELINK_CLOCK, reply);
        if (r)
                return r;
        if (!paradigm_clock(reply, &now.local_ms))
                return note(p, "The pump's clock shows no valid time.");
        zones_place(p->zones, &now);
        p->clock_ms = now.local_ms;
        p->result->clock_offset_ms = now.utc_ms - p->request->now_utc_ms;
        offset_ms = p->result->clock_offset_ms;
        if (llabs(offset_ms) < CLOCK_OFFSET_SHOWN_MS)
                return 0;
        if (llabs(offset_ms) < DAY_MS)
                (void) snprintf(text, sizeof(text), "The pump's clock is %lld minutes %s this computer's, in the wallet's time zone.",
                                (long long) llabs(offset_ms) / 60000, offset_ms > 0 ? "ahead of" : "behind");
        else {
                day_put(day, now.local_ms / DAY_MS);
                (void) snprintf(text, sizeof(text), "The pump's clock shows another day, %s.", day);
        }
        return note(p, text);
}

static int identify(Pull *p) {
        uint8_t reply[PUMP_LINK_REPLY];
        int r;

        r = pump_link_ask(&p->link, CARELINK_MODEL, reply);
        if (r)
                return r;
        if (reply[0] != 3 || paradigm_model((const char *) reply + 1, 3, &p->model) != 0)
                return refuse(p, "This pump is of a model that carewallet can't read this way.");

        r = pump_link_ask(&p->link, CARELINK_PUMP_ID, reply);
        if (r == PUMP_LINK_E_FORBIDDEN) /* a meter asks the one pump that it is linked with */
                return ask_clock(p);
        if (r)
                return r;
        if (memcmp(reply, p->request->serial, 6) != 0)
                return refuse(p, "The pump says that it has another serial number than the one that you gave.");
        return ask_clock(p);
}

/* --- how it is --- */

/* One that can't be had, or not now, or not this way, is no reason to leave the pages unread. */
static bool is_passed_over(int r) {
        return r == PUMP_LINK_E_FORBIDDEN || r == PUMP_LINK_E_REFUSED || r == PUMP_LINK_E_GARBLED || r == PUMP_LINK_E_NO_PUMP;
}

/* A record of it when it is not what it was the last time. */
static int take_reading(Pull *p, PumpReading reading, const uint8_t *bytes, size_t n) {
        uint8_t hash[FRAME_USB_HASH_SIZE];

        pull_hash(hash, PULL_READING + reading, bytes, n);
        keep_known(p, hash);
        if (p->clock_ms == 0 || is_known(p, hash))
                return 0;
        return fold(pump_add_reading(p->pump, reading, p->clock_ms, bytes, n));
}

static int read_status(Pull *p) {
        static const CarelinkOpcode questions[] = { CARELINK_BATTERY, CARELINK_RESERVOIR, CARELINK_STATUS };
        uint8_t reply[PUMP_LINK_REPLY], status[N_ELEMENTS(questions) * PUMP_STATUS_PART];
        int r;

        for (size_t i = 0; i != N_ELEMENTS(questions); i++) {
                r = pump_link_ask(&p->link, questions[i], reply);
                if (r)
                        return is_passed_over(r) ? 0 : r;
                memcpy(status + i * PUMP_STATUS_PART, reply, PUMP_STATUS_PART);
        }
        p->result->battery_mv = pump_battery_mv(status);
        p->result->reservoir_milli = pump_reservoir_milli(&p->model, status + PUMP_STATUS_PART);
        return take_reading(p, PUMP_STATUS, status, sizeof(status));
}

static int read_settings(Pull *p) {
        static const CarelinkOpcode profiles[] = { CARELINK_PROFILE_STANDARD, CARELINK_PROFILE_A, CARELINK_PROFILE_B };
        uint8_t reply[PUMP_LINK_REPLY], profile[PUMP_PROFILE_SIZE];
        size_t n;
        int r;

        r = pump_link_ask(&p->link, p->model.group == PARADIGM_X12 ? CARELINK_SETTINGS_512 : CARELINK_SETTINGS, reply);
        if (r == 0)
                r = take_reading(p, PUMP_SETTINGS, reply, sizeof(reply));
        for (size_t i = 0; i != N_ELEMENTS(profiles) && (r == 0 || is_passed_over(r)); i++) {
                r = pump_link_page(&p->link, profiles[i], 0, profile, sizeof(profile), NULL, &n);
                if (r == 0)
                        r = take_reading(p, (PumpReading) (PUMP_PROFILE_STANDARD + i), profile, sizeof(profile));
        }
        return is_passed_over(r) ? 0 : r;
}

/* --- pages --- */

static int progress(Pull *p) {
        return p->sink->progress ? p->sink->progress(p->sink->userdata, p->n_done, p->n_all) : 0;
}

/* A page that did not come: what came is reported, and the session goes on, unless nothing comes any more. */
static int missing(Pull *p, int r, const char *what, unsigned number, const uint8_t *bytes, size_t n) {
        char reason[160];

        if (r < 0)
                return r;
        (void) snprintf(reason, sizeof(reason), "%s page %u did not come whole after three tries (%zu bytes came)", what, number, n);
        p->result->n_missing++;
        if (++p->n_bad == PAGES_BAD_MAX)
                return r;
        return pump_report(p->sink, number, reason, bytes, n, &p->n_rejected);
}

static int check_page(const uint8_t *page, size_t n) {
        return paradigm_page_check(page, n);
}

static int check_isig(const uint8_t *page, size_t n) {
        return paradigm_isig_check(page, n);
}

/* It said that it had more: whether what is missing exists must be found out another time. */
static int pages_end(Pull *p, const char *what, unsigned i, unsigned n_pages) {
        char text[160];

        (void) snprintf(text, sizeof(text), "The pump says that it has %u %s pages, and gives out %u of them. Pull again when nothing is on its screen.", n_pages, what, i);
        p->result->n_missing++;
        return note(p, text);
}

/* Newest first, until one that is known; that one is still of use: it tells equal records apart. */
static int read_history(Pull *p) {
        unsigned n_pages = HISTORY_PAGES_512;
        uint8_t reply[PUMP_LINK_REPLY], page[PARADIGM_PAGE_SIZE], hash[FRAME_USB_HASH_SIZE];
        size_t n;
        int r;

        if (p->model.group != PARADIGM_X12) {
                uint32_t newest;

                r = pump_link_ask(&p->link, CARELINK_NEWEST_HISTORY, reply);
                if (r)
                        return r;
                newest = (uint32_t) paradigm_be16(reply) << 16 | paradigm_be16(reply + 2);
                n_pages = newest < HISTORY_PAGES_MAX - 1 ? newest + 1 : HISTORY_PAGES_MAX;
        }
        p->n_all = n_pages;
        pump_expect_history(p->pump, n_pages);

        for (unsigned number = 0; number != n_pages; number++) {
                bool known;

                r = progress(p);
                if (r)
                        return r;
                p->result->n_pages++;
                r = pump_link_page(&p->link, CARELINK_HISTORY_PAGE, number, page, sizeof(page), check_page, &n);
                p->n_done++;
                if (r == PUMP_LINK_E_REFUSED && number > 0 && pump_link_has_no_page(&p->link)) {
                        if (p->model.group != PARADIGM_X12)
                                return pages_end(p, "history", number, n_pages);
                        pump_expect_history(p->pump, number);
                        return 0;
                }
                if (r) {
                        r = missing(p, r, "history", number, page, n);
                        if (r)
                                return r;
                        continue;
                }
                p->n_bad = 0;
                pull_hash(hash, PULL_PAGE, page, sizeof(page));
                known = is_known(p, hash);
                r = fold(pump_add_history(p->pump, number, page, sizeof(page), known));
                if (r)
                        return r;
                if (known)
                        return 0;
                keep_known(p, hash);
        }
        return 0;
}

static int read_glucose(Pull *p) {
        uint8_t reply[PUMP_LINK_REPLY], page[PARADIGM_PAGE_SIZE], isig[PARADIGM_ISIG_PAGE_SIZE], hash[FRAME_USB_HASH_SIZE];
        uint32_t newest;
        unsigned n_pages;
        bool has_isig;
        size_t n;
        int r;

        if (p->model.group < PARADIGM_X22)
                return 0;
        r = pump_link_ask(&p->link, CARELINK_NEWEST_GLUCOSE, reply);
        if (r == PUMP_LINK_E_REFUSED && pump_link_has_no_page(&p->link))
                return 0; /* a pump that has had no sensor */
        if (r)
                return r;
        newest = (uint32_t) paradigm_be16(reply) << 16 | paradigm_be16(reply + 2);
        n_pages = reply[5] < GLUCOSE_PAGES_MAX ? reply[5] : GLUCOSE_PAGES_MAX;
        if (newest < n_pages)
                n_pages = newest + 1;
        p->n_all = p->n_done + n_pages;

        for (unsigned i = 0; i != n_pages; i++) {
                uint32_t number = newest - i;

                r = progress(p);
                if (r)
                        return r;
                r = pump_link_page(&p->link, CARELINK_GLUCOSE_PAGE, number, page, sizeof(page), check_page, &n);
                p->n_done++;
                if (r == PUMP_LINK_E_REFUSED && pump_link_has_no_page(&p->link))
                        return pages_end(p, "glucose", i, n_pages);
                if (r) {
                        p->result->n_pages++;
                        r = missing(p, r, "glucose", number, page, n);
                        if (r)
                                return r;
                        continue;
                }
                p->n_bad = 0;
                p->result->n_pages++;
                pull_hash(hash, PULL_PAGE, page, sizeof(page));
                if (is_known(p, hash))
                        return fold(pump_add_glucose(p->pump, number, page, sizeof(page), NULL, 0, true));

                r = progress(p); /* the currents take twice as long as the page */
                if (r)
                        return r;
                r = pump_link_page(&p->link, CARELINK_ISIG_PAGE, number, isig, sizeof(isig), check_isig, &n);
                has_isig = r == 0;
                if (r)
                        r = missing(p, r, "sensor current", number, isig, n);
                if (r == 0)
                        r = fold(pump_add_glucose(p->pump, number, page, sizeof(page), has_isig ? isig : NULL, sizeof(isig), false));
                if (r)
                        return r;
                if (has_isig)
                        keep_known(p, hash);
        }
        return 0;
}

/* --- an end in time --- */

/* A transport that gives out a moment after the word to stop: whatever a driver still tries then, and however often, the session ends. */
typedef struct Deadline {
        const Transport *real;
        int64_t until_ms; /* on its clock; INT64_MAX: nobody wants to stop */
} Deadline;

static int heard(Deadline *d, int r) {
        if (r == -ECANCELED)
                d->until_ms = d->real->now_ms(d->real->userdata) + PULL_STOP_MS;
        return r;
}

static unsigned left_ms(const Deadline *d, unsigned wanted_ms) {
        int64_t left = d->until_ms - d->real->now_ms(d->real->userdata);

        return left <= 0 ? 0 : left < wanted_ms ? (unsigned) left : wanted_ms;
}

static int deadline_write(void *userdata, const uint8_t *bytes, size_t n) {
        Deadline *d = userdata;

        return left_ms(d, 1) ? heard(d, d->real->write(d->real->userdata, bytes, n)) : -ETIMEDOUT;
}

static int deadline_read(void *userdata, uint8_t *bytes, size_t n, unsigned timeout_ms, size_t *ret_n) {
        Deadline *d = userdata;

        timeout_ms = left_ms(d, timeout_ms);
        *ret_n = 0;
        return timeout_ms ? heard(d, d->real->read(d->real->userdata, bytes, n, timeout_ms, ret_n)) : -ETIMEDOUT;
}

static int deadline_wait(void *userdata, unsigned ms) {
        Deadline *d = userdata;

        ms = left_ms(d, ms);
        return ms ? heard(d, d->real->wait(d->real->userdata, ms)) : -ETIMEDOUT;
}

static int64_t deadline_now(void *userdata) {
        const Deadline *d = userdata;

        return d->real->now_ms(d->real->userdata);
}

/* --- the session --- */

static int talk(Pull *p, PumpLinkKind kind, const Transport *transport) {
        int r;

        r = pump_link_open(&p->link, kind, transport, p->request->serial);
        if (r == PUMP_LINK_E_FORBIDDEN)
                return refuse(p, "A pump's serial number has six digits; it is on its back.");
        if (r)
                return r;
        r = identify(p);
        if (r)
                return r;
        r = pump_new(&p->pump, &p->model, p->request->serial, p->zones, p->sink, p->request->now_utc_ms);
        if (r)
                return r;
        r = read_status(p);
        if (r == 0)
                r = read_settings(p);
        if (r == 0)
                r = read_history(p);
        return r ? r : read_glucose(p);
}

/* Errors that come from the cable and the pump; the others are ours. */
static bool is_of_device(int r) {
        return r > 0 || r == -ENODEV || r == -ECANCELED || r == -ETIMEDOUT || r == -EIO || r == -EPIPE || r == -EPROTO || r == -EOVERFLOW;
}

static int run(PumpLinkKind kind, const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink,
               FrameUsbPump *ret, FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]) {
        cleanup(pump_freep) Pump *pump = NULL;
        FrameUsbPump result = { .reservoir_milli = -1 };
        FrameImportEnd end = { 0 };
        Deadline deadline = { .real = transport, .until_ms = INT64_MAX };
        const Transport limited = { .userdata = &deadline, .write = deadline_write, .read = deadline_read, .wait = deadline_wait, .now_ms = deadline_now };
        Pull p = { .request = request, .zones = zones, .sink = sink, .result = &result, .refusal = ret_refusal };
        char text[320];
        int r, slept = 0;

        ret_refusal[0] = '\0';
        r = talk(&p, kind, &limited);
        pump = p.pump;
        if (r != -ENODEV)
                slept = pump_link_close(&p.link);
        if (r == PULL_E_REFUSED && ret_refusal[0])
                return r;
        if (!is_of_device(r) && r)
                return r;
        if (!pump) {
                (void) snprintf(ret_refusal, PULL_REFUSAL_MAX, "%s", pump_link_words(&p.link, r));
                return PULL_E_REFUSED;
        }

        if (r) {
                (void) snprintf(text, sizeof(text), "%s %u of %u pages were read before that; they are kept. Pull again for the rest.",
                                pump_link_words(&p.link, r), p.n_done, p.n_all);
                r = note(&p, text);
        } else {
                result.is_complete = result.n_missing == 0;
        }
        if (r == 0 && slept)
                r = note(&p, pump_link_words_open(&p.link));
        if (r == 0)
                r = pump_finish(pump, &end);
        if (r == 0 && pump_n_future(pump) && result.clock_offset_ms > DAY_MS) {
                result.is_complete = false; /* what was rejected is read again */
                r = note(&p, "By this computer's clock records of this pump are yet to come, so they were not kept: one of the two clocks is wrong. Set it, and pull again.");
        }
        if (r)
                return r;
        end.n_rejected += p.n_rejected;
        end.n_rows += p.n_rejected;
        (void) snprintf(end.format, sizeof(end.format), "%s, read by USB", p.model.name);
        for (size_t i = 0; i != request->n_known; i++) /* settings that were others are forgotten, so that they are new when they come back */
                if (request->known[i][0] == PULL_PAGE)
                        keep_known(&p, request->known[i]);
        memcpy(result.model, p.model.name, sizeof(p.model.name));
        memcpy(result.serial, request->serial, sizeof(result.serial));
        *ret = result;
        *ret_end = end;
        return 0;
}

int pull_run(const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink, FrameUsbPump *ret,
             FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]) {
        return run(PUMP_LINK_STICK, transport, request, zones, sink, ret, ret_end, ret_refusal);
}

int pull_run_meter(const Transport *transport, const FrameUsbRequest *request, Zones *zones, const ImportSink *sink, FrameUsbPump *ret,
                   FrameImportEnd *ret_end, char ret_refusal[static PULL_REFUSAL_MAX]) {
        return run(PUMP_LINK_METER, transport, request, zones, sink, ret, ret_end, ret_refusal);
}
