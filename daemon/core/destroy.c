/* SPDX-License-Identifier: Apache-2.0 */

/* Destroy: the wallet is gone, and the core with it; the next one finds none. */

#include "daemon/common/erase.h"
#include "daemon/launcher/launcher.h"
#include "gate.h"
#include "manager.h"

int method_destroy(Call *call, void *userdata) {
        Manager *manager = userdata;
        const char *id = call_string(call, "walletId");
        char own[24];
        int r;

        (void) b64url_encode(own, sizeof(own), manager->slots.wallet_id, sizeof(manager->slots.wallet_id));
        if (strcmp(id, own) != 0)
                return call_refuse(call, "That is the number of another wallet than the one here. Nothing was done.");

        gate_stop(manager, "");
        r = erase_slots(manager->config.state_dir_fd);
        if (r < 0)
                return call_refuse(call, "The key file could not be erased: %s. Nothing else was done: the wallet may still open.", strerror(-r));
        manager->has_slots = false;
        r = erase_files(manager->config.state_dir_fd);
        if (r < 0)
                (void) fprintf(stderr, "carewalletd: the keys of the wallet are erased, but not all its files: %s\n", strerror(-r));
        manager->exit_code = LAUNCHER_CORE_RELOCK;
        call_linger(call);
        r = call_reply(call, json_pack("{s:b}", "whole", r == 0));
        (void) sd_event_exit(manager->event, 0);
        return r;
}
