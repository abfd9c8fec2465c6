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

/* All that is left of the descriptor; NULL where that is no credential. */
static Secret *read_credential(int fd) {
        cleanup(secret_freep) Secret *secret = NULL;
        ssize_t n;

        if (fd < 0 || secret_new(&secret, SLOTS_CREDENTIAL_SIZE + 1) < 0)
                return NULL;
        n = read(fd, secret_data(secret), secret_size(secret));
        if (n == 0)
                return NULL;
        if (n != SLOTS_CREDENTIAL_SIZE) {
                fputs("carewalletd: the credential \"carewallet\" has not 32 bytes: it is not used\n", stderr);
                return NULL;
        }
        return take_ptr(secret);
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
                .credential = read_credential(core->credential_fd),
        };
        r = manager_new(&manager, &config);
        if (r != 0)
                (void) secret_free(config.credential);
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
