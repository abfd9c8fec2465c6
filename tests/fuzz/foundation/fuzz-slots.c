/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Any bytes as a slot file. The checksum at the end is put right first, so that what lies behind it is reached. What is
 * decoded is in range, and encoded again it is the same up to the MAC.
 */

#include "daemon/common/slots.h"
#include "daemon/common/text.h"

#include <sodium.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds) {
        if (!holds)
                abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static Secret *root;
        uint8_t fixed[SLOTS_FILE_MAX], again[SLOTS_FILE_MAX];
        size_t n_again, n_body = n - SLOTS_CHECKSUM_SIZE;
        Slots slots;

        if (!root)
                check(secret_new(&root, 32) == 0);

        (void) !slots_decode(&slots, bytes, n);
        if (n < SLOTS_CHECKSUM_SIZE || n > sizeof(fixed))
                return 0;
        memcpy(fixed, bytes, n_body);
        check(crypto_generichash(fixed + n_body, SLOTS_CHECKSUM_SIZE, fixed, n_body, NULL, 0) == 0);
        if (slots_decode(&slots, fixed, n) != 0)
                return 0;

        check(slots.n_slots <= SLOTS_MAX);
        for (size_t i = 0; i < slots.n_slots; i++) {
                check(slots.slots[i].opslimit <= SLOTS_OPSLIMIT_MAX);
                check(slots.slots[i].memlimit <= SLOTS_MEMLIMIT_MAX);
                check(text_valid(slots.slots[i].label, strlen(slots.slots[i].label)));
        }
        check(slots_encode(&slots, root, again, &n_again) == 0);
        check(n_again == n);
        check(memcmp(again, fixed, n - SLOTS_CHECKSUM_SIZE - SLOTS_MAC_SIZE) == 0);
        return 0;
}
