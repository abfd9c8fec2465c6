/* SPDX-License-Identifier: Apache-2.0 */

#include "provider.h"

#include <dirent.h>

static const Option options[] = {{NULL, NULL, NULL, NULL}};

static int is_visible(const struct dirent *entry) {
        return entry->d_name[0] != '.';
}

/* Whether the file is a grant; others are passed over without a word. */
static bool open_grant(const char *path, GrantClaims *ret) {
        static char text[JWS_MAX + 2];
        size_t n;

        if (provider_read_file(path, (uint8_t *) text, sizeof(text), &n) != 0)
                return false;
        while (n > 0 && strchr(" \t\r\n", text[n - 1]))
                n--;
        return grant_open(ret, text, n, NULL) == 0;
}

static int run(const Invocation *invocation) {
        const char *directory = invocation->arguments.n_operands > 0 ? invocation->arguments.operand[0] : ".";
        json_t *array = json_array();
        struct dirent **entries;
        GrantClaims claims;
        size_t n_grants = 0;
        int n, r = 0;

        n = scandir(directory, &entries, is_visible, alphasort);
        if (n < 0) {
                r = errno;
                json_decref(array);
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be read: %s.", directory, strerrordesc_np(r));
        }
        for (int i = 0; i < n; i++) {
                cleanup(freep) struct dirent *entry = entries[i];
                cleanup(freep) char *path = NULL;

                if (asprintf(&path, "%s/%s", directory, entry->d_name) < 0) {
                        path = NULL;
                        continue;
                }
                if (!open_grant(path, &claims))
                        continue;
                n_grants++;
                if (invocation->json) {
                        json_t *object = describe_json(&claims);

                        (void) json_object_set_new(object, "file", json_string(entry->d_name));
                        (void) json_array_append_new(array, object);
                } else {
                        printf("%s%s%s%s\n", n_grants > 1 ? "\n" : "", paint(stdout, PAINT_BOLD), entry->d_name, unpaint(stdout));
                        describe_grant(stdout, &claims, "  ");
                }
        }
        free(entries);

        if (invocation->json)
                r = output_json(stdout, array);
        else if (n_grants == 0)
                printf("There is no grant in %s. A patient makes one with: carewallet grant NAME --out FILE\n",
                       strcmp(directory, ".") == 0 ? "this directory" : directory);
        json_decref(array);
        return r == 0 ? EXIT_DONE : EXIT_INTERNAL;
}

const ProviderVerb verb_list = {
        .name = "list",
        .operands = "[DIRECTORY]",
        .n_max = 1,
        .summary = "the grants in a directory: of whom, until when, what",
        .help = "Lists the grants in DIRECTORY, or here. Whether one was revoked only the gate knows.",
        .options = options,
        .run = run,
};
