/* SPDX-License-Identifier: Apache-2.0 */

#include "places.h"

#include <dirent.h>
#include <limits.h>
#include <pwd.h>
#include <sys/stat.h>

#define FOLDER "carewallet"

static bool is_plain(const char *name) {
        return !name || strcmp(name, PLACES_PLAIN) == 0;
}

bool places_is_name(const char *name) {
        size_t n = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");

        return n > 0 && n <= PLACES_NAME_MAX && name[n] == '\0' && name[0] != '-';
}

static bool is_socket(const char *path) {
        struct stat st;

        return stat(path, &st) == 0 && S_ISSOCK(st.st_mode);
}

/* cron and systemd's system units start programs without the variable. */
static bool find_runtime_dir(char ret[static PLACES_PATH_SIZE]) {
        const char *runtime = getenv("XDG_RUNTIME_DIR");

        if (runtime && runtime[0] == '/')
                return snprintf(ret, PLACES_PATH_SIZE, "%s", runtime) < PLACES_PATH_SIZE;
        (void) snprintf(ret, PLACES_PATH_SIZE, "/run/user/%u", (unsigned) getuid());
        return access(ret, X_OK) == 0;
}

int places_socket(const char *name, char ret[static PLACES_PATH_SIZE]) {
        char runtime[PLACES_PATH_SIZE], own[PLACES_PATH_SIZE] = "", other[PLACES_PATH_SIZE] = "";
        const struct passwd *user = is_plain(name) ? getpwuid(getuid()) : NULL;
        int n = 0;

        if (find_runtime_dir(runtime))
                n = snprintf(own, sizeof(own), is_plain(name) ? "%s/" FOLDER "/socket" : "%s/" FOLDER "@%s/socket", runtime, name);
        if (n >= (int) sizeof(own))
                return PLACES_E_LONG;
        if (user || !is_plain(name))
                (void) snprintf(other, sizeof(other), "/run/" FOLDER "/%s/socket", user ? user->pw_name : name);
        if (other[0] != '\0' && (own[0] == '\0' || (!is_socket(own) && is_socket(other))))
                memcpy(own, other, sizeof(own));
        if (own[0] == '\0')
                return PLACES_E_LONG;
        memcpy(ret, own, sizeof(own));
        return 0;
}

static bool has(const char *dir, const char *file) {
        char path[PATH_MAX];

        (void) snprintf(path, sizeof(path), "%s/%s", dir, file);
        return access(path, F_OK) == 0;
}

int places_state_dir(const char *name, char ret[static PLACES_PATH_SIZE]) {
        const struct passwd *user = getpwuid(getuid());
        const char *home = getenv("HOME");
        char own[PLACES_PATH_SIZE], other[PLACES_PATH_SIZE];

        if ((!home || home[0] != '/') && user)
                home = user->pw_dir;
        if (home && snprintf(own, sizeof(own), is_plain(name) ? "%s/.local/state/" FOLDER : "%s/.local/state/" FOLDER "@%s", home, name) < (int) sizeof(own) && has(own, "slots")) {
                memcpy(ret, own, sizeof(own));
                return 0;
        }
        /* what is in that one is for its own user to see */
        if ((user || !is_plain(name)) && snprintf(other, sizeof(other), "/var/lib/" FOLDER "/%s", is_plain(name) ? user->pw_name : name) < (int) sizeof(other) && has(other, ".")) {
                memcpy(ret, other, sizeof(other));
                return 0;
        }
        return PLACES_E_NONE;
}

/* --- the list --- */

typedef struct List {
        Place *places;
        size_t n;
} List;

static void add(List *list, const char *name) {
        Place place = {0};

        if (list->n == PLACES_MAX || (!is_plain(name) && !places_is_name(name)))
                return;
        (void) snprintf(place.name, sizeof(place.name), "%s", name);
        for (size_t i = 0; i < list->n; i++)
                if (strcmp(list->places[i].name, name) == 0)
                        return;
        if (places_socket(name, place.socket) == 0)
                list->places[list->n++] = place;
}

/* Folders "carewallet" and "carewallet@NAME" in @dir that hold a file @what. */
static void add_folders(List *list, const char *dir, const char *what) {
        DIR *folder = opendir(dir);
        const struct dirent *entry;

        while (folder && (entry = readdir(folder))) {
                const char *name = entry->d_name;
                char path[PATH_MAX];

                if (strncmp(name, FOLDER, sizeof(FOLDER) - 1) != 0)
                        continue;
                name += sizeof(FOLDER) - 1;
                if (*name != '\0' && *name != '@')
                        continue;
                if (snprintf(path, sizeof(path), "%s/%s/%s", dir, entry->d_name, what) < (int) sizeof(path) && access(path, F_OK) == 0)
                        add(list, *name == '\0' ? PLACES_PLAIN : name + 1);
        }
        if (folder)
                (void) closedir(folder);
}

/* System services whose socket is this user's. */
static void add_system(List *list) {
        const struct passwd *user = getpwuid(getuid());
        DIR *folder = opendir("/run/" FOLDER);
        const struct dirent *entry;

        while (folder && (entry = readdir(folder))) {
                char path[PATH_MAX];
                struct stat st;

                (void) snprintf(path, sizeof(path), "/run/" FOLDER "/%s/socket", entry->d_name);
                if (stat(path, &st) == 0 && S_ISSOCK(st.st_mode) && st.st_uid == getuid())
                        add(list, user && strcmp(user->pw_name, entry->d_name) == 0 ? PLACES_PLAIN : entry->d_name);
        }
        if (folder)
                (void) closedir(folder);
}

static int compare(const void *a, const void *b) {
        const Place *one = a, *other = b;

        if (is_plain(one->name) != is_plain(other->name))
                return is_plain(one->name) ? -1 : 1;
        return strcmp(one->name, other->name);
}

size_t places_list(Place ret[static PLACES_MAX]) {
        char dir[PLACES_PATH_SIZE];
        const char *home = getenv("HOME");
        List list = {.places = ret};

        if (find_runtime_dir(dir))
                add_folders(&list, dir, "socket");
        if (home && home[0] == '/' && snprintf(dir, sizeof(dir), "%s/.local/state", home) < (int) sizeof(dir))
                add_folders(&list, dir, "slots");
        add_system(&list);
        qsort(ret, list.n, sizeof(*ret), compare);
        return list.n;
}
