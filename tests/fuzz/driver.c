/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Replays a corpus through a fuzz target, so that every build runs it as a normal test. Arguments are files and
 * directories (one level). The input is copied to a buffer of exactly its size: a read past its end is then seen by
 * AddressSanitizer, as it is under libFuzzer.
 */

#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static unsigned n_inputs;

static int replay(const char *path, size_t n) {
        uint8_t *bytes = malloc(n > 0 ? n : 1);
        FILE *file = fopen(path, "rb");
        int r = -1;

        if (!bytes || !file || fread(bytes, 1, n, file) != n) {
                perror(path);
                goto end;
        }

        (void) LLVMFuzzerTestOneInput(bytes, n);
        n_inputs++;
        r = 0;
end:
        if (file)
                (void) fclose(file);
        free(bytes);
        return r;
}

static int replay_any(const char *path, int depth) {
        struct stat st;
        struct dirent *entry;
        DIR *dir;
        int r = 0;

        if (stat(path, &st) < 0) {
                perror(path);
                return -1;
        }
        if (S_ISREG(st.st_mode))
                return replay(path, (size_t) st.st_size);
        if (!S_ISDIR(st.st_mode) || depth == 0)
                return 0;

        dir = opendir(path);
        if (!dir) {
                perror(path);
                return -1;
        }
        while ((entry = readdir(dir))) {
                char child[4096];

                if (entry->d_name[0] == '.')
                        continue;
                if ((size_t) snprintf(child, sizeof(child), "%s/%s", path, entry->d_name) >= sizeof(child) ||
                    replay_any(child, depth - 1) < 0)
                        r = -1;
        }
        (void) closedir(dir);
        return r;
}

int main(int argc, char **argv) {
        int r = 0;

        for (int i = 1; i < argc; i++)
                if (replay_any(argv[i], 1) < 0)
                        r = -1;

        printf("%u inputs replayed\n", n_inputs);
        return r < 0 || n_inputs == 0 ? EXIT_FAILURE : EXIT_SUCCESS;
}
