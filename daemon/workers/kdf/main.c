/* SPDX-License-Identifier: Apache-2.0 */

#include "daemon/common/lockdown.h"
#include "daemon/common/probe.h"
#include "kdf.h"

#include <sodium.h>

int main(int argc, char **argv) {
        int r;

        if (sodium_init() < 0)
                return EXIT_FAILURE;

        r = lockdown(&(Lockdown){.profile = LOCKDOWN_KDF});
        if (r < 0) {
                fprintf(stderr, "carewallet-kdf: can't lock down: %s\n", strerror(-r));
                return EXIT_FAILURE;
        }

        if (argc == 3 && strcmp(argv[1], "--probe") == 0)
                return probe_run(argv[2]);

        r = kdf_run(STDIN_FILENO, STDOUT_FILENO, 3);
        if (r < 0 && r != -EPIPE) /* the core is gone, and says itself why */
                fprintf(stderr, "carewallet-kdf: %s\n", strerror(-r));
        return r < 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
