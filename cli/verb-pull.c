/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"
#include "devices.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/signalfd.h>
#include <time.h>

enum {
        AUTOMATIC,
        DEVICE,
        SERIAL,
        SAVE_TRACE,
};

static const Option options[] = {
        [AUTOMATIC] = {"automatic", "WHEN", "on: read the pump of the last time whenever a device is plugged in, without a question; off; now: what the service does", "on off now"},
        [DEVICE] = {"device", "NODE", "the device to read, where several are plugged in: a node that carewallet devices names", NULL},
        [SERIAL] = {"serial", "NNNNNN", "the pump's serial number, six digits on its back; the one of the last time when not given", NULL},
        [SAVE_TRACE] = {"save-trace", "FILE", "write what went over the cable to FILE, with other serial numbers, to show it to who helps you", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Opened as the user: the daemon reaches no device but this. Return: 0 or an exit code. */
static int open_device(const Cli *cli, int *ret_fd) {
        const char *node = cli_option(cli, DEVICE);
        Device devices[DEVICES_MAX];
        const Device *found = NULL;
        size_t n, n_ready = 0;
        int r;

        if (!node) {
                r = devices_list(devices, &n);
                if (r < 0)
                        return cli_trouble(cli, r, "Looking for USB devices failed");
                for (size_t i = 0; i < n; i++) {
                        if (!found || !found->is_open)
                                found = &devices[i];
                        n_ready += devices[i].is_open;
                }
                if (n == 0)
                        return cli_fail(cli, EXIT_REFUSED, "No device that can be read is plugged in. Plug in the CareLink USB stick and try again.");
                if (n_ready > 1)
                        return cli_usage(cli, "Several devices are plugged in. Say which one with --device; carewallet devices lists them.");
                if (!found->is_open)
                        return cli_fail(cli, EXIT_REFUSED, "The %s can't be read. %s", found->name, found->n_troubles > 0 ? found->troubles[0] : "");
                node = found->node;
        }
        *ret_fd = open(node, O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
        if (*ret_fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be opened: %s. carewallet devices says what to do.", node, strerror(errno));
        return 0;
}

/* A new file that only you may read: it tells all that the pump knows. */
static int open_trace(const Cli *cli, int *ret_fd) {
        const char *path = cli_option(cli, SAVE_TRACE);

        if (!path)
                return 0;
        *ret_fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        if (*ret_fd < 0)
                return cli_fail(cli, EXIT_REFUSED, "%s can't be written: %s.%s", path, strerror(errno), errno == EEXIST ? " Give another name." : "");
        return 0;
}

/* On a connection of its own: the other one waits for the report. */
static void ask_to_stop(const Cli *cli) {
        cleanup(client_freep) Client *client = NULL;
        cleanup(reply_done) Reply reply = {0};

        if (client_connect(&client, cli->socket) == 0 && client_call(client, "org.carewallet.StopPull", NULL, false, NULL, 0) == 0)
                (void) !client_receive(client, &reply);
}

static int64_t now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Pages take about the same time each. */
static void show_progress(Progress *progress, int64_t n_done, int64_t n_all, int64_t *begun_ms) {
        char text[128];
        int64_t left_s;

        if (n_all <= 0) {
                progress_note(progress, "Waking the pump; that may take half a minute. Keep the stick near it.");
                return;
        }
        if (*begun_ms == 0)
                *begun_ms = now_ms();
        left_s = n_done > 0 ? (now_ms() - *begun_ms) * (n_all - n_done) / n_done / 1000 : 0;
        if (n_done > 0 && left_s >= 60)
                (void) snprintf(text, sizeof(text), "Page %lld of %lld, about %lld min %lld s left. Keep the stick near the pump.", (long long) n_done + 1,
                                (long long) n_all, (long long) left_s / 60, (long long) left_s % 60);
        else if (n_done > 0)
                (void) snprintf(text, sizeof(text), "Page %lld of %lld, about %lld s left. Keep the stick near the pump.", (long long) n_done + 1,
                                (long long) n_all, (long long) left_s);
        else
                (void) snprintf(text, sizeof(text), "Page 1 of %lld. Keep the stick near the pump.", (long long) n_all);
        progress_note(progress, text);
}

/* Until the last reply. Ctrl-C asks the daemon to stop, a second one leaves at once. Return: 0 or an exit code. */
static int follow(Cli *cli, Reply *reply, Progress *progress, int signal_fd) {
        struct signalfd_siginfo info;
        int64_t begun_ms = 0;
        bool is_stopping = false;
        int r;

        while (!reply->error && reply->continues) {
                const json_t *step = json_object_get(reply->parameters, "progress");

                if (!is_stopping)
                        show_progress(progress, message_int(step, "done", 0), message_int(step, "all", 0), &begun_ms);
                while ((r = client_wait(cli->client, signal_fd)) == 1) {
                        if (read(signal_fd, &info, sizeof(info)) != sizeof(info))
                                continue;
                        if (is_stopping)
                                return cli_fail(cli, EXIT_REFUSED, "Left. carewalletd switches the pump's radio off and keeps what was read.");
                        is_stopping = true;
                        progress_note(progress, "Stopping: the pump's radio is switched off ...");
                        ask_to_stop(cli);
                }
                if (r < 0)
                        return cli_trouble(cli, r, "Waiting failed");
                reply_done(reply);
                r = client_receive(cli->client, reply);
                if (r != 0)
                        return cli_transport_failed(cli, r);
        }
        return 0;
}

static void print_pump(const json_t *pump) {
        const json_t *battery = json_object_get(pump, "batteryV"), *reservoir = json_object_get(pump, "reservoirU");

        if (battery && reservoir)
                printf("  battery %.2f V, %.1f U in the reservoir\n", json_number_value(battery), json_number_value(reservoir));
}

static int ask(Cli *cli, const int *fds, size_t n_fds, int signal_fd, Reply *ret) {
        const char *serial = cli_option(cli, SERIAL);
        json_t *parameters = json_pack("{s:i}", "deviceFd", 0);
        Progress progress;
        int r;

        if (serial)
                (void) json_object_set_new(parameters, "serial", json_string(serial));
        if (n_fds > 1)
                (void) json_object_set_new(parameters, "traceFd", json_integer(1));
        r = cli_ask(cli, "Pull", parameters, true, fds, n_fds, ret);
        if (r != 0)
                return r;
        progress_begin(&progress);
        r = follow(cli, ret, &progress, signal_fd);
        progress_end(&progress);
        return r;
}

static int automatic(Cli *cli, const char *when) {
        cleanup(reply_done) Reply reply = {0};
        cleanup(close_fdp) int device_fd = -1;
        bool is_on = strcmp(when, "on") == 0;
        int r;

        if (strcmp(when, "now") == 0) {
                r = open_device(cli, &device_fd);
                return r != 0 ? r : cli_call(cli, "PullAutomatic", json_pack("{s:i}", "deviceFd", 0), false, &device_fd, 1, &reply);
        }
        if (!is_on && strcmp(when, "off") != 0)
                return cli_usage(cli, "--automatic is on, off or now.");
        r = cli_call(cli, "SetAutomaticPull", json_pack("{s:b}", "on", (int) is_on), false, NULL, 0, &reply);
        if (r != 0 || cli->json)
                return r != 0 ? r : cli_print_json(cli, reply.parameters);
        if (is_on)
                output_say(stdout, 0, "Pump %s is read whenever its stick is plugged in and the wallet is unlocked. carewallet imports shows what came of it.",
                           message_text(reply.parameters, "serial", "?"));
        else
                puts("No pump is read by itself.");
        return EXIT_DONE;
}

static int run(Cli *cli) {
        cleanup(close_fdp) int device_fd = -1, trace_fd = -1, signal_fd = -1;
        const char *serial = cli_option(cli, SERIAL);
        cleanup(reply_done) Reply reply = {0};
        const json_t *report, *pump;
        sigset_t interrupt;
        int r;

        if (cli_option(cli, AUTOMATIC))
                return automatic(cli, cli_option(cli, AUTOMATIC));
        if (serial && (strlen(serial) != 6 || strspn(serial, "0123456789") != 6))
                return cli_usage(cli, "A pump's serial number has six digits; it is on its back.");
        r = open_device(cli, &device_fd);
        if (r == 0)
                r = open_trace(cli, &trace_fd);
        if (r != 0)
                return r;

        (void) sigemptyset(&interrupt);
        (void) sigaddset(&interrupt, SIGINT);
        signal_fd = signalfd(-1, &interrupt, SFD_CLOEXEC | SFD_NONBLOCK);
        if (signal_fd < 0 || sigprocmask(SIG_BLOCK, &interrupt, NULL) < 0)
                return cli_trouble(cli, -errno, "Waiting for Ctrl-C failed");
        r = ask(cli, (const int[]) {device_fd, trace_fd}, trace_fd >= 0 ? 2 : 1, signal_fd, &reply);
        if (r == 0 && reply.error)
                r = cli_reply_failed(cli, &reply);
        if (r != 0)
                return r;

        report = json_object_get(reply.parameters, "report");
        pump = json_object_get(report, "pump");
        if (!json_is_object(report) || !json_is_object(pump))
                return cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        if (cli->json) {
                r = cli_print_json(cli, report);
                if (r != 0)
                        return r;
        } else {
                cli_print_report(report, message_text(report, "file", "pump"), 0);
                print_pump(pump);
                if (isatty(STDOUT_FILENO) && message_bool(pump, "complete"))
                        puts("\nNext: carewallet show --kind cgm");
        }
        return message_bool(pump, "complete") && message_int(report, "rejectedCount", 0) == 0 ? EXIT_DONE : EXIT_PARTLY;
}

const Verb verb_pull = {
        .name = "pull",
        .operands = "",
        .group = "Data",
        .summary = "Read a pump through its USB stick into the wallet",
        .help = "Hold the stick within a hand's breadth of the pump. A sleeping pump takes 17 seconds to wake, a page about 3, and there are 36 of them the "
                "first time; later only what is new is read. Nothing is ever changed on the pump. Ctrl-C stops, switches the pump's radio off and keeps what "
                "was read; pull again for the rest. What was imported from an export of the same pump is not added twice. Exit status 5: some pages "
                "could not be read or understood.",
        .options = options,
        .run = run,
};
