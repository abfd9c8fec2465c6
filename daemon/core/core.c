/* SPDX-License-Identifier: Apache-2.0 */

#include "core.h"

#include <malloc.h>
#include <sodium.h>

#include "daemon/common/lockdown.h"
#include "db.h"
#include "manager.h"

enum {
        EXIT_INTERNAL = 7,
};

/* Health data passes through JSON: nothing of it stays in freed memory. */
static void json_wiping_free(void *pointer) {
        if (pointer)
                explicit_bzero(pointer, malloc_usable_size(pointer));
        free(pointer);
}

int core_main(void *userdata, int launcher_fd) {
        const CoreConfig *core = userdata;
        cleanup(manager_freep) Manager *manager = NULL;
        char zone[CLOCK_ZONE_MAX];
        ManagerConfig config;
        int abi = 0, r;

        if (sodium_init() < 0)
                return EXIT_INTERNAL;
        json_set_alloc_funcs(malloc, json_wiping_free);
        json_object_seed(0);
        r = db_init();
        if (r < 0)
                return EXIT_INTERNAL;
        clock_system_zone(zone);
        (void) clock_now(0); /* loads the zone */

        config = (ManagerConfig){
                .listen_fd = core->listen_fd,
                .launcher_fd = launcher_fd,
                .state_dir_fd = core->state_dir_fd,
                .notify_fd = core->notify_fd,
                .state_dir = core->state_dir,
                .system_zone = zone,
                .kdf_memlimit = core->kdf_memlimit,
                .patient = core->patient,
        };
        r = manager_new(&manager, &config);
        if (r == 0)
                r = lockdown(&(Lockdown){ .profile = LOCKDOWN_CORE, .state_dir_fd = core->state_dir_fd, .socket_dir_fd = -1, .ret_landlock_abi = &abi });
        if (r == 0) {
                manager->config.landlock_abi = abi;
                r = manager_run(manager);
        }
        if (r < 0) {
                (void) fprintf(stderr, "carewalletd: %s\n", strerror(-r));
                return EXIT_INTERNAL;
        }
        return r;
}
