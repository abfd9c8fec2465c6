/* SPDX-License-Identifier: Apache-2.0 */

#include "devices.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#define SYSFS "/sys/bus/usb/devices"

/* daemon/workers/usb/main.c reads those that can be read. */
static const struct {
        uint16_t vendor, product;
        const char *name;
        bool can_read;
} known[] = {
        {0x0a21, 0x8001, "CareLink USB stick", true},
        {0x1a79, 0x6200, "Contour Next Link", true},
        {0x1a79, 0x6300, "Contour Next Link (mmol/L)", true},
        {0x1a79, 0x6210, "Contour Next Link 2.4", false},
};

static const char *const rules[] = {
        "/etc/udev/rules.d/70-carewallet.rules",
        "/run/udev/rules.d/70-carewallet.rules",
        "/usr/local/lib/udev/rules.d/70-carewallet.rules",
        "/usr/lib/udev/rules.d/70-carewallet.rules",
        "/lib/udev/rules.d/70-carewallet.rules",
};

/* A file of one short line, without its end; false when there is none. */
static bool read_line(const char *path, char *ret, size_t n) {
        cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        ssize_t l = fd < 0 ? -1 : read(fd, ret, n - 1);

        if (l <= 0)
                return false;
        ret[l] = '\0';
        ret[strcspn(ret, "\n")] = '\0';
        return true;
}

/* A number of sysfs; -1 when there is none. */
static long read_number(const char *port, const char *name, int base) {
        char path[320], text[16], *end;
        long number;

        (void) snprintf(path, sizeof(path), SYSFS "/%s/%s", port, name);
        if (!read_line(path, text, sizeof(text)))
                return -1;
        number = strtol(text, &end, base);
        return end != text && *end == '\0' && number >= 0 && number <= UINT16_MAX ? number : -1;
}

static void trouble(Device *device, const char *words) {
        if (device->n_troubles < DEVICES_TROUBLES_MAX)
                device->troubles[device->n_troubles++] = words;
}

static bool is_ruled(void) {
        for (size_t i = 0; i < N_ELEMENTS(rules); i++)
                if (access(rules[i], F_OK) == 0)
                        return true;
        return false;
}

/* The name of the directory that a link leads to. */
static void link_name(const char *path, char *ret, size_t n) {
        char target[512];
        ssize_t l = readlink(path, target, sizeof(target) - 1);
        const char *slash;

        ret[0] = '\0';
        if (l <= 0)
                return;
        target[l] = '\0';
        slash = strrchr(target, '/');
        (void) snprintf(ret, n, "%.31s", slash ? slash + 1 : target);
}

static bool is_running(const char *program) {
        DIR *proc = opendir("/proc");
        const struct dirent *entry;
        bool found = false;

        while (proc && !found && (entry = readdir(proc))) {
                char path[300], comm[32];

                if (entry->d_name[0] < '0' || entry->d_name[0] > '9')
                        continue;
                (void) snprintf(path, sizeof(path), "/proc/%s/comm", entry->d_name);
                found = read_line(path, comm, sizeof(comm)) && strcmp(comm, program) == 0;
        }
        if (proc)
                (void) closedir(proc);
        return found;
}

static void look(Device *device) {
        cleanup(close_fdp) int fd = -1;
        char path[320];

        (void) snprintf(path, sizeof(path), SYSFS "/%s/%s:1.0/driver", device->port, device->port);
        link_name(path, device->driver, sizeof(device->driver));
        if (!device->can_read) {
                trouble(device, "carewallet can't read this device yet. Export its data with the maker's software and import that file.");
                return;
        }

        fd = open(device->node, O_RDWR | O_CLOEXEC | O_NOCTTY);
        device->is_open = fd >= 0;
        if (fd < 0 && errno == ENOENT)
                trouble(device, "Its node is missing. Unplug the device and plug it in again; in a container, the host must pass /dev/bus/usb on.");
        else if (fd < 0 && (errno == EACCES || errno == EPERM) && !is_ruled())
                trouble(device, "You may not open it, because carewallet's rule for such devices is not installed. As root: copy 70-carewallet.rules to "
                                "/etc/udev/rules.d and run \"udevadm control --reload\". Then unplug the device and plug it in again.");
        else if (fd < 0 && (errno == EACCES || errno == EPERM))
                trouble(device, "You may not open it. Unplug the device and plug it in again. Only who sits at this computer may open it: it does not "
                                "work from another one by ssh.");
        else if (fd < 0)
                trouble(device, "It can't be opened. Unplug the device and plug it in again.");

        /* it asks what looks like a modem for its name, in the middle of anything */
        if (device->driver[0] != '\0' && !is_ruled() && is_running("ModemManager"))
                trouble(device, "ModemManager is running and takes it for a modem, which can disturb the reading. carewallet's rule 70-carewallet.rules stops that: "
                                "have it installed, then unplug the device and plug it in again.");
}

static int compare(const void *a, const void *b) {
        return strcmp(((const Device *) a)->port, ((const Device *) b)->port);
}

int devices_list(Device ret[static DEVICES_MAX], size_t *ret_n) {
        DIR *dir = opendir(SYSFS);
        const struct dirent *entry;
        size_t n = 0;

        *ret_n = 0;
        if (!dir)
                return errno == ENOENT ? 0 : -errno;

        while (n < DEVICES_MAX && (entry = readdir(dir))) {
                long vendor, product, bus, number;
                Device *device = &ret[n];
                size_t i = 0;

                if (entry->d_name[0] == '.' || strchr(entry->d_name, ':') || strlen(entry->d_name) >= sizeof(device->port))
                        continue;
                vendor = read_number(entry->d_name, "idVendor", 16);
                product = read_number(entry->d_name, "idProduct", 16);
                bus = read_number(entry->d_name, "busnum", 10);
                number = read_number(entry->d_name, "devnum", 10);
                while (i < N_ELEMENTS(known) && (known[i].vendor != vendor || known[i].product != product))
                        i++;
                if (i == N_ELEMENTS(known) || bus < 0 || number < 0)
                        continue;
                *device = (Device) {.vendor = known[i].vendor, .product = known[i].product, .name = known[i].name, .can_read = known[i].can_read};
                (void) snprintf(device->port, sizeof(device->port), "%s", entry->d_name);
                (void) snprintf(device->node, sizeof(device->node), "/dev/bus/usb/%03ld/%03ld", bus, number);
                look(device);
                n++;
        }
        (void) closedir(dir);
        qsort(ret, n, sizeof(ret[0]), compare);
        *ret_n = n;
        return 0;
}
