/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"
#include "devices.h"

static json_t *device_json(const Device *device) {
        json_t *troubles = json_array();
        char id[12];

        for (size_t i = 0; i < device->n_troubles; i++)
                (void) json_array_append_new(troubles, json_string(device->troubles[i]));
        (void) snprintf(id, sizeof(id), "%04x:%04x", device->vendor, device->product);
        return json_pack("{s:s, s:s, s:s, s:s, s:b, s:s*, s:o}", "name", device->name, "id", id, "port", device->port, "node", device->node, "ready",
                         (int) (device->can_read && device->is_open), "driver", device->driver[0] != '\0' ? device->driver : NULL, "troubles", troubles);
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *list = json_array();
        Device devices[DEVICES_MAX];
        bool any_ready = false;
        size_t n;
        int r;

        r = devices_list(devices, &n);
        if (r < 0)
                return cli_trouble(cli, r, "Looking for USB devices failed");
        for (size_t i = 0; i < n; i++) {
                const Device *device = &devices[i];

                any_ready |= device->can_read && device->is_open;
                if (cli->json) {
                        (void) json_array_append_new(list, device_json(device));
                        continue;
                }
                printf("%s%s%s  %s\n", paint(stdout, PAINT_BOLD), device->name, unpaint(stdout), device->node);
                for (size_t j = 0; j < device->n_troubles; j++)
                        output_say(stdout, 2, "%s%s%s", paint(stdout, PAINT_WARNING), device->troubles[j], unpaint(stdout));
                if (device->can_read && device->is_open)
                        output_say(stdout, 2, "Ready.%s", device->driver[0] != '\0' ? " A driver of the system holds it; it is asked to step aside while we read." : "");
        }
        if (cli->json)
                return cli_print_json(cli, list);
        if (n == 0)
                output_say(stdout, 0, "No device that carewallet knows is plugged in. It reads pumps of the Paradigm family through the CareLink USB stick.");
        else if (any_ready && isatty(STDOUT_FILENO))
                puts("\nNext: carewallet pull --serial NNNNNN, the six digits on the back of the pump");
        return EXIT_DONE;
}

const Verb verb_devices = {
        .name = "devices",
        .operands = "",
        .group = "Data",
        .summary = "Say which devices are plugged in that can be read",
        .help = "For each device at this machine's USB that carewallet knows: whether it can be read, and what is in the way. Asks the "
                "daemon nothing. With --json an array.",
        .run = run,
};
