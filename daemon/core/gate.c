/* SPDX-License-Identifier: Apache-2.0 */

#include "gate.h"

#include "narrowing.h"
#include "worker.h"

enum {
        KEY_SILENCE_MS = 30 * 1000,
        UNSENT_MAX = 2 * REDEEM_STREAMS_MAX * FRAME_GATE_CHUNK_MAX, /* bytes that wait for a gate that does not read: it is killed */
        TICK_US = 60 * 1000 * 1000,
        URL_SIZE = GATE_LISTEN_MAX + 16,
};

typedef struct Reset {
        struct Reset *next; /* gate::resets */
        GateReset done;
        void *userdata;
        size_t n_ids, n_done;
        uint64_t ids[]; /* of grants, in the order in which the gate was asked and answers; 0: all */
} Reset;

struct Gate {
        Worker *worker;
        char address[GATE_LISTEN_MAX]; /* "" until it listens */
        GateReady ready;
        void *ready_userdata;
        Reset *resets; /* in the order in which they were asked */
        sd_event_source *reset_timer, *work, *tick;
        bool began;     /* frames are being handled, in a transaction */
        bool failed;    /* while they were */
        bool listening; /* since these frames: to be told after their commit */
};

const char *gate_address(const Gate *gate) {
        return gate->address[0] ? gate->address : NULL;
}

static void resets_done(Gate *gate) {
        while (gate->resets) {
                Reset *reset = gate->resets;

                gate->resets = reset->next;
                reset->done(reset->userdata);
                free(reset);
        }
}

void gate_stop(Manager *manager, const char *reason) {
        Gate *gate = take_ptr(manager->gate);

        if (!gate)
                return;
        (void) snprintf(manager->gate_off_reason, sizeof(manager->gate_off_reason), "%s", reason);
        if (gate->worker)
                worker_kill(gate->worker); /* another one may want its address at once */
        (void) worker_free(gate->worker);
        sd_event_source_disable_unref(gate->reset_timer);
        sd_event_source_disable_unref(gate->work);
        sd_event_source_disable_unref(gate->tick);
        if (gate->ready)
                gate->ready(reason, NULL, gate->ready_userdata);
        if (manager->wallet && wallet_begin(manager->wallet) == 0) {
                if (redeem_gate_gone(manager->wallet->redeem, wallet_now(manager->wallet)) != 0 || wallet_commit(manager->wallet) != 0) {
                        wallet_rollback(manager->wallet);
                        fputs("carewalletd: the end of open streams could not be written to the ledger\n", stderr);
                }
        }
        resets_done(gate);
        free(gate);
}

/* The frames of one wake-up share one commit; nothing is sent before it is durable. */
static void on_begin(void *userdata) {
        Manager *manager = userdata;
        Gate *gate = manager->gate;

        gate->began = true;
        gate->failed = wallet_begin(manager->wallet) != 0;
}

/* The gate may have been stopped since on_begin(), or even be another one. */
static void on_end(void *userdata) {
        Manager *manager = userdata;
        Gate *gate = manager->gate;

        if (!gate || !gate->began)
                return;
        gate->began = false;
        if (gate->failed)
                wallet_rollback(manager->wallet);
        else if (wallet_commit(manager->wallet) != 0)
                gate->failed = true;
        if (gate->failed) {
                redeem_abort(manager->wallet->redeem);
                gate_stop(manager, "the disk is full or cannot be written, and no disclosure goes unlogged");
                return;
        }
        redeem_committed(manager->wallet->redeem);
        if (worker_n_unsent(gate->worker) > UNSENT_MAX) {
                gate_stop(manager, "the gate worker does not read");
                return;
        }
        if (worker_flush(gate->worker) < 0)
                return; /* its end is seen on the other pipe */
        gate_has_work(manager);
        if (gate->listening) {
                GateReady ready = gate->ready;

                gate->listening = false;
                gate->ready = NULL;
                if (ready)
                        ready(NULL, gate->address, gate->ready_userdata);
        }
}

static int on_work(sd_event_source *source, void *userdata) {
        Manager *manager = userdata;
        Gate *gate = manager->gate;
        Wallet *wallet = manager->wallet;

        (void) source;
        on_begin(manager);
        if (!gate->failed && redeem_step(wallet->redeem, wallet_now(wallet), worker_out(gate->worker)) < 0)
                gate->failed = true;
        on_end(manager);
        return 0;
}

static int on_tick(sd_event_source *source, uint64_t time_us, void *userdata) {
        Manager *manager = userdata;
        Gate *gate = manager->gate;
        Wallet *wallet = manager->wallet;

        (void) source;
        (void) time_us;
        on_begin(manager);
        if (!gate->failed && redeem_tick(wallet->redeem, wallet_now(wallet), (int64_t) clock_monotonic_ms()) != 0)
                gate->failed = true;
        on_end(manager);
        return 0;
}

void gate_has_work(Manager *manager) {
        if (manager->gate)
                (void) sd_event_source_set_enabled(manager->gate->work, redeem_has_work(manager->wallet->redeem) ? SD_EVENT_ON : SD_EVENT_OFF);
}

/* Only after something happened: an idle gate wakes nobody. */
static void arm_tick(Gate *gate) {
        int enabled = SD_EVENT_OFF;

        if (sd_event_source_get_enabled(gate->tick, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                return;
        (void) sd_event_source_set_time_relative(gate->tick, TICK_US);
        (void) sd_event_source_set_enabled(gate->tick, SD_EVENT_ONESHOT);
}

/* How many connections it says to have cut is its own business: what it may still send is decided here. */
static int on_reset_done(Gate *gate, uint64_t id) {
        Reset *reset = gate->resets;

        if (!reset || reset->ids[reset->n_done] != id)
                return FRAME_E_FORMAT;
        if (++reset->n_done < reset->n_ids)
                return 0;
        gate->resets = reset->next;
        if (!gate->resets)
                (void) sd_event_source_set_enabled(gate->reset_timer, SD_EVENT_OFF);
        reset->done(reset->userdata);
        free(reset);
        return 0;
}

static int on_listening(Manager *manager, Gate *gate, const uint8_t *payload, size_t n_payload) {
        char address[1025];

        if (gate->address[0] || frame_get_text(address, payload, n_payload) != 0 || strlen(address) >= sizeof(gate->address))
                return FRAME_E_FORMAT;
        memcpy(gate->address, address, strlen(address) + 1);
        manager->gate_off_reason[0] = '\0';
        gate->listening = true;
        return 0;
}

static int on_frame(uint32_t type, const uint8_t *payload, size_t n_payload, void *userdata) {
        Manager *manager = userdata;
        Gate *gate = manager->gate;
        Wallet *wallet = manager->wallet;
        PolicyNow now = wallet_now(wallet);
        FrameBuffer *out = worker_out(gate->worker);
        FrameGateRequest request;
        uint64_t id, n_sent;
        uint32_t n;
        char text[1025];
        bool whole;
        int r;

        if (gate->failed || worker_n_unsent(gate->worker) > UNSENT_MAX)
                return 0; /* on_end() ends it */
        switch (type) {
        case FRAME_GATE_REQUEST:
                r = frame_get_gate_request(&request, payload, n_payload);
                if (r == 0) {
                        arm_tick(gate);
                        r = redeem_request(wallet->redeem, &request, now, (int64_t) clock_monotonic_ms(), out);
                }
                break;
        case FRAME_GATE_MORE:
                r = frame_get_gate_u64(&id, payload, n_payload);
                if (r == 0)
                        r = redeem_more(wallet->redeem, id, now, out);
                break;
        case FRAME_GATE_CLOSED:
                r = frame_get_gate_closed(&id, &n_sent, &whole, payload, n_payload);
                if (r == 0)
                        r = redeem_closed(wallet->redeem, id, n_sent, whole, now);
                break;
        case FRAME_GATE_RESET_DONE:
                r = frame_get_gate_reset_done(&id, &n, payload, n_payload);
                if (r == 0)
                        r = on_reset_done(gate, id);
                break;
        case FRAME_GATE_STRANGERS:
                r = frame_get_u32(&n, payload, n_payload);
                if (r == 0) {
                        arm_tick(gate);
                        r = redeem_strangers(wallet->redeem, n, now);
                }
                break;
        case FRAME_GATE_READY:
                r = on_listening(manager, gate, payload, n_payload);
                break;
        case FRAME_GATE_FAILED:
                if (frame_get_text(text, payload, n_payload) != 0)
                        return FRAME_E_FORMAT;
                wallet_rollback(wallet);
                redeem_abort(wallet->redeem); /* what the frames before it began */
                gate_stop(manager, text);
                return 0;
        default:
                return FRAME_E_FORMAT;
        }
        if (r < 0) {
                gate->failed = true;
                return 0;
        }
        return r;
}

/* A gate that dies is started again, but not for ever: what kills it at once would kill it again. */
static void on_ended(WorkerEnd why, void *userdata) {
        Manager *manager = userdata;
        uint64_t now_ms = clock_monotonic_ms();
        bool again = gate_address(manager->gate) && now_ms >= manager->gate_died_ms + GATE_RESTART_MS;

        if (gate_address(manager->gate))
                manager->gate_died_ms = now_ms;
        gate_stop(manager, why == WORKER_CLOSED ? "the gate worker ended" : "the gate worker sent something that is no frame");
        if (again && gate_start_stored(manager) != 0)
                fputs("carewalletd: the gate could not be started again\n", stderr);
}

static int on_reset_late(sd_event_source *source, uint64_t time_us, void *userdata) {
        Manager *manager = userdata;

        (void) source;
        (void) time_us;
        gate_stop(manager, "the gate worker did not cut a connection in time and was killed");
        if (gate_start_stored(manager) != 0)
                fputs("carewalletd: the gate could not be started again\n", stderr);
        return 0;
}

int gate_reset(Manager *manager, const uint64_t *ids, size_t n_ids, GateReset done, void *userdata) {
        Gate *gate = manager->gate;
        Reset *reset, **last;
        int r = 0;

        if (!gate) {
                done(userdata);
                return 0;
        }
        reset = calloc(1, sizeof(*reset) + (n_ids > 0 ? n_ids : 1) * sizeof(reset->ids[0]));
        if (!reset)
                return -ENOMEM;
        reset->done = done;
        reset->userdata = userdata;
        reset->n_ids = n_ids > 0 ? n_ids : 1;
        if (n_ids > 0)
                memcpy(reset->ids, ids, n_ids * sizeof(ids[0]));
        for (size_t i = 0; i < reset->n_ids && r == 0; i++)
                r = frame_put_gate_u64(worker_out(gate->worker), FRAME_GATE_RESET, reset->ids[i]);
        for (last = &gate->resets; *last; last = &(*last)->next)
                ;
        *last = reset;
        if (r == 0)
                r = worker_flush(gate->worker);
        if (r != 0) {
                gate_stop(manager, "the gate worker could not be asked to cut a connection and was killed");
                return 0;
        }
        if (gate->resets == reset) {
                (void) sd_event_source_set_time_relative(gate->reset_timer, GATE_RESET_MS * 1000);
                (void) sd_event_source_set_enabled(gate->reset_timer, SD_EVENT_ONESHOT);
        }
        return 0;
}

int gate_start(Manager *manager, const char *listen, GateReady ready, void *userdata) {
        static const WorkerEvents events = { .frame = on_frame, .begin = on_begin, .end = on_end, .ended = on_ended };
        cleanup(freep) char *key = NULL, *certificate = NULL;
        Consent *consent = manager->wallet->consent;
        Gate *gate;
        size_t n;
        int r;

        assert(!manager->gate);
        r = consent_setting_get(consent, "gate-key", &key, &n);
        if (r == 0)
                r = consent_setting_get(consent, "gate-certificate", &certificate, &n);
        if (r != 0)
                return fold(r);
        gate = calloc(1, sizeof(*gate));
        if (!gate) {
                explicit_bzero(key, strlen(key));
                return -ENOMEM;
        }
        manager->gate = gate;
        r = sd_event_add_time_relative(manager->event, &gate->reset_timer, CLOCK_MONOTONIC, 0, 1, on_reset_late, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(gate->reset_timer, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_time_relative(manager->event, &gate->tick, CLOCK_MONOTONIC, 0, 1000000, on_tick, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(gate->tick, SD_EVENT_OFF);
        if (r >= 0)
                r = sd_event_add_defer(manager->event, &gate->work, on_work, manager);
        if (r >= 0)
                r = sd_event_source_set_enabled(gate->work, SD_EVENT_OFF);
        if (r >= 0)
                r = worker_start(&gate->worker, manager->event, manager->config.launcher_fd, LAUNCHER_GATE, NULL, 0, 0, &events, manager);
        if (r >= 0)
                r = frame_put_gate_config(worker_out(gate->worker), listen, key, certificate);
        explicit_bzero(key, strlen(key));
        if (r == 0)
                r = worker_flush(gate->worker);
        if (r != 0) {
                gate_stop(manager, "the gate worker could not be started");
                return fold(r);
        }
        gate->ready = ready;
        gate->ready_userdata = userdata;
        return 0;
}

/* --- the patient's switch, kept in the settings "gate-listen" and "gate-external" --- */

static int store_switch(Wallet *wallet, const char *listen, const char *external, const char *type) {
        int r;

        r = wallet_begin(wallet);
        if (r != 0)
                return r;
        r = consent_setting_put(wallet->consent, "gate-listen", listen, strlen(listen));
        if (r == 0)
                r = consent_setting_put(wallet->consent, "gate-external", external, strlen(external));
        if (r == 0)
                r = wallet_log(wallet, type, json_pack("{s:s, s:s}", "listen", listen, "external", external));
        if (r != 0) {
                wallet_rollback(wallet);
                return r;
        }
        return wallet_commit(wallet);
}

/* Every address of this machine is none that a provider could name. */
static bool names_no_host(const char *address) {
        return strncmp(address, "0.0.0.0:", 8) == 0 || strncmp(address, "[::]:", 5) == 0;
}

static int use_urls(Wallet *wallet, const char *external, const char *address) {
        char local[URL_SIZE];
        const char *urls[2];
        size_t n = 0;

        (void) snprintf(local, sizeof(local), "https://%s", address);
        if (external[0])
                urls[n++] = external;
        if (!names_no_host(address))
                urls[n++] = local;
        return wallet_set_urls(wallet, urls, n);
}

bool gate_url_valid(const char *url) {
        size_t n = strlen(url);

        if (n >= GRANT_URL_MAX || strncmp(url, "https://", 8) != 0 || n == 8 || url[n - 1] == '/')
                return false;
        for (const char *p = url; *p; p++)
                if ((unsigned char) *p <= ' ' || (unsigned char) *p >= 0x7f || strchr("\"\\<>#?@", *p))
                        return false;
        return true;
}

typedef struct Starting {
        Manager *manager;
        Call *call; /* NULL: started by itself, or the peer is gone */
        char listen[GATE_LISTEN_MAX];
        char external[GRANT_URL_MAX];
        bool store; /* the patient asked for it now, even one who hung up since */
} Starting;

static void on_starting_gone(Call *call, void *userdata) {
        Starting *starting = userdata;

        starting->call = NULL;
        (void) call_free(call);
}

static void on_ready(const char *error, const char *address, void *userdata) {
        cleanup(freep) Starting *starting = userdata;
        Manager *manager = starting->manager;
        Wallet *wallet = manager->wallet;
        Call *call = take_ptr(starting->call);
        json_t *urls, *pins;
        int r;

        if (call)
                call->gone = NULL;
        if (error) {
                if (call)
                        (void) call_refuse(call, "The gate cannot listen on %s: %s", starting->listen, error);
                /* what was open before stays open */
                if (starting->store && gate_start_stored(manager) != 0)
                        fputs("carewalletd: the gate could not be started again\n", stderr);
                return;
        }
        r = use_urls(wallet, starting->external, address);
        if (r == 0 && starting->store)
                r = store_switch(wallet, address, starting->external, "gate-on"); /* a port that was chosen here stays: grants name it */
        if (r != 0) {
                /* Widening that the ledger does not have does not happen. */
                gate_stop(manager, "the disk is full or cannot be written: turning it on was not stored");
                if (call)
                        (void) call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The gate stays off: the disk is full or cannot be written. "
                                                                                                            "Make room and turn it on again."));
                return;
        }
        if (!call)
                return;
        urls = json_array();
        for (size_t i = 0; i < wallet->n_urls; i++)
                (void) json_array_append_new(urls, json_string(wallet->urls[i]));
        pins = json_array();
        for (size_t i = 0; i < wallet->n_pins; i++) {
                char pin[JWS_THUMBPRINT_SIZE];

                (void) b64url_encode(pin, sizeof(pin), wallet->pins[i], sizeof(wallet->pins[i]));
                (void) json_array_append_new(pins, json_string(pin));
        }
        (void) call_reply(call, json_pack("{s:s, s:o, s:o}", "address", address, "urls", urls, "pins", pins));
}

static int start(Manager *manager, Call *call, const char *listen, const char *external) {
        Starting *starting = calloc(1, sizeof(*starting));
        int r;

        if (!starting)
                return -ENOMEM;
        starting->manager = manager;
        starting->call = call;
        starting->store = call != NULL;
        (void) snprintf(starting->listen, sizeof(starting->listen), "%s", listen);
        (void) snprintf(starting->external, sizeof(starting->external), "%s", external);
        if (call) {
                call->gone = on_starting_gone;
                call->gone_userdata = starting;
        }
        r = gate_start(manager, listen, on_ready, starting);
        if (r != 0) {
                if (call)
                        call->gone = NULL;
                free(starting);
        }
        return r;
}

int gate_start_stored(Manager *manager) {
        cleanup(freep) char *listen = NULL, *external = NULL;
        Consent *consent = manager->wallet->consent;
        size_t n;
        int r;

        if (wallet_is_unstored(manager->wallet) && narrowing_store(manager) != 0) {
                manager->gate_waits = true;
                (void) snprintf(manager->gate_off_reason, sizeof(manager->gate_off_reason), "the disk is full or cannot be written: what was ended is not stored yet");
                return 0;
        }
        r = consent_setting_get(consent, "gate-listen", &listen, &n);
        if (r == CONSENT_E_NOT_FOUND || (r == 0 && n == 0))
                return 0;
        if (r == 0)
                r = consent_setting_get(consent, "gate-external", &external, &n);
        if (r != 0)
                return fold(r);
        return start(manager, NULL, listen, external);
}

int method_gate_on(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *listen = call_string(call, "listen"), *external = call_string(call, "external");
        int r;

        if (strlen(listen) >= GATE_LISTEN_MAX)
                return call_invalid(call, "listen");
        if (external && !gate_url_valid(external))
                return call_refuse(call, "--external must be the https:// address under which providers reach the gate, without a path at its end, such as https://home.example:8443");
        if (!external && names_no_host(listen))
                return call_refuse(call, "%s is every address of this machine and none that a provider could name. Say with --external how providers reach it, "
                                         "such as --external https://home.example:8443", listen);
        if (wallet_is_unstored(manager->wallet) && narrowing_store(manager) != 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The gate stays off: the disk is full or cannot be written, and what was ended is not on it "
                                                                                                    "yet. Make room and turn it on again."));
        manager->gate_waits = false;
        if (manager->gate)
                gate_stop(manager, "turned on anew");
        r = start(manager, call, listen, external ? external : "");
        if (r != 0)
                return call_refuse(call, "The gate worker could not be started: %s", r < 0 ? strerror(-r) : "see the journal");
        return 0;
}

int method_gate_off(Call *call, void *userdata) {
        Manager *manager = userdata;

        if (!manager->wallet)
                return call_reply(call, NULL); /* a locked wallet serves nothing; the switch is inside */
        gate_stop(manager, "");
        manager->gate_waits = false;
        wallet_gate_off(manager->wallet);
        if (narrowing_store(manager) != 0)
                return call_error(call, "org.carewallet.NotDurable", json_pack("{s:s}", "reason", "The gate is off now, but the disk is full or cannot be written: after a restart it would "
                                                                                                    "be on again. Make room: it is tried again every few seconds."));
        return call_reply(call, NULL);
}

/* --- keys --- */

typedef struct KeyMaking {
        Worker *worker;
        GateKey done;
        void *userdata;
} KeyMaking;

static void key_finish(KeyMaking *making, const char *key_pem, const char *certificate_pem, const uint8_t *spki_sha256) {
        GateKey done = making->done;
        void *userdata = making->userdata;

        (void) worker_free(making->worker);
        free(making);
        done(key_pem, certificate_pem, spki_sha256, userdata);
}

static int on_key_frame(uint32_t type, const uint8_t *payload, size_t n_payload, void *userdata) {
        cleanup(freep) char *texts = NULL;
        const char *key_pem, *certificate_pem;
        uint8_t spki_sha256[32];

        if (type != FRAME_GATE_KEY || frame_get_gate_key(&texts, &key_pem, &certificate_pem, spki_sha256, payload, n_payload) != 0)
                return FRAME_E_FORMAT;
        key_finish(userdata, key_pem, certificate_pem, spki_sha256);
        explicit_bzero((char *) key_pem, strlen(key_pem));
        return 0;
}

static void on_key_ended(WorkerEnd why, void *userdata) {
        (void) why;
        key_finish(userdata, NULL, NULL, NULL);
}

int gate_make_key(Manager *manager, GateKey done, void *userdata) {
        static const WorkerEvents events = { .frame = on_key_frame, .ended = on_key_ended };
        KeyMaking *making = calloc(1, sizeof(*making));
        int r;

        if (!making)
                return -ENOMEM;
        making->done = done;
        making->userdata = userdata;
        r = worker_start(&making->worker, manager->event, manager->config.launcher_fd, LAUNCHER_GATE, NULL, 0, KEY_SILENCE_MS, &events, making);
        if (r >= 0)
                r = frame_put(worker_out(making->worker), FRAME_GATE_MAKE_KEY, NULL, 0);
        if (r >= 0)
                r = worker_flush(making->worker);
        if (r < 0) {
                (void) worker_free(making->worker);
                free(making);
        }
        return r;
}
