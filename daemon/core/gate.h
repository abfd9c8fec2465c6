/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core's end of the gate: starts it, answers its frames by way of redeem.h, cuts it. */

#include "manager.h"

enum {
        GATE_RESET_MS = 100, /* a gate that has not cut a grant's connections by then is killed */
        GATE_LISTEN_MAX = 256,
        GATE_RESTART_MS = 60 * 1000, /* a gate that dies sooner than so after the last one that died stays off */
};

/* error: NULL, or why it does not listen; address: what was bound. Called once. */
typedef void (*GateReady)(const char *error, const char *address, void *userdata);

/** gate_start() - manager->gate from now on; @ready may be NULL */
must_check int gate_start(Manager *manager, const char *listen, GateReady ready, void *userdata);
/** gate_start_stored() - as the patient left it when the wallet was locked; nothing when it was off */
must_check int gate_start_stored(Manager *manager);
/** gate_stop() - kill it; open streams end as cut in the ledger; accepts no gate */
void gate_stop(Manager *manager, const char *reason);
/** gate_url_valid() - https://, of printable ASCII, no query, no slash at the end, below GRANT_URL_MAX */
bool gate_url_valid(const char *url);
const char *gate_address(const Gate *gate); /* NULL while it does not listen yet */
/** gate_out() - flush what redeem put off */
void gate_has_work(Manager *manager);

/* All connections of the grants were reset, or the gate was killed. */
typedef void (*GateReset)(void *userdata);
/** gate_reset() - cut connections; @done is called at once when there is no gate. @ids: borrowed for the call; n_ids 0: all */
must_check int gate_reset(Manager *manager, const uint64_t *ids, size_t n_ids, GateReset done, void *userdata);

/* key_pem NULL: failed */
typedef void (*GateKey)(const char *key_pem, const char *certificate_pem, const uint8_t *spki_sha256, void *userdata);
must_check int gate_make_key(Manager *manager, GateKey done, void *userdata);
