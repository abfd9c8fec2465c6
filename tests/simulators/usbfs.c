/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Linux's usbfs with a simulated stick behind it, preloaded: the shipped daemon, worker and libusb run as they are, and
 * what libusb asks of descriptor 3 is answered here. Each request goes to the kernel too, so that the worker's filter
 * sees what it would see. Time passes faster, the same for everybody.
 *
 * In the daemon (LD_PRELOAD, CAREWALLET_SIM=FILE): keeps itself and FILE (SimFile, below; tests/lib/usb.py writes it) as
 * descriptors and hands them to carewallet-usb when the launcher executes it. The launcher clears the environment, so
 * nothing of this can happen by an environment variable alone: the daemon itself must have been started under it.
 */

#undef _FORTIFY_SOURCE /* its poll() is an inline function, and here it is defined */

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/usbdevice_fs.h>
#include <poll.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "stick.h"

enum {
        SELF_FD = 200, /* a copy of this file, which the launcher's Landlock would not let a worker open */
        FILE_FD = 201,
        DEVICE_FD = 3,
        PAGE = 1024,
        ISIG = 2048,
        LATENCY_MS = 105, /* of a write, as a real stick takes */
        SCRIPT_MAX = 256 * 1024,
};

typedef struct SimFile { /* as tests/lib/usb.py has it */
        /* what there is */
        char serial[8], model[8];
        uint32_t n_pages, n_glucose, newest_glucose;
        uint32_t is_asleep, is_worldwide, is_deaf, merge;
        int32_t bad_page;
        uint32_t fault, fault_at, fault_every;
        uint32_t speed; /* how much faster time passes */
        /* what happened */
        uint32_t n_sessions, n_transfers, n_pages_sent, n_refused, is_radio_on;
        uint32_t is_driver_bound, n_detached, n_attached, n_claimed;
        uint32_t n_script, n_replayed, n_until_stop; /* transfers when the word to stop was heard; 0: it was not */
        uint8_t pages[SIM_PAGES_MAX][PAGE], glucose[SIM_PAGES_MAX][PAGE], isig[SIM_PAGES_MAX][ISIG];
        char script[SCRIPT_MAX]; /* captures (replay.h), n_script bytes of them */
} SimFile;

static struct {
        int (*ioctl)(int fd, unsigned long request, ...);
        int (*poll)(struct pollfd *fds, nfds_t n, int timeout_ms);
        int (*clock_gettime)(clockid_t id, struct timespec *ret);
        int (*timerfd_settime)(int fd, int flags, const struct itimerspec *new, struct itimerspec *old);
        long (*syscall)(long number, ...);
} real;
static SimFile *file; /* NULL: not the worker */
static Sim sim;
static Transport transport;
static struct timespec began;
static struct usbdevfs_urb *pending, *done;

long syscall(long number, ...);
int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size);

/* --- time --- */

static int64_t ns_of(struct timespec t) {
        return (int64_t) t.tv_sec * 1000000000 + t.tv_nsec;
}

static struct timespec of_ns(int64_t ns) {
        return (struct timespec) { .tv_sec = ns / 1000000000, .tv_nsec = (long) (ns % 1000000000) };
}

int clock_gettime(clockid_t id, struct timespec *ret) {
        int r = real.clock_gettime(file ? CLOCK_MONOTONIC : id, ret);

        if (r == 0 && file)
                *ret = of_ns(ns_of(began) + (ns_of(*ret) - ns_of(began)) * file->speed);
        return r;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new, struct itimerspec *old) {
        struct itimerspec scaled = *new;

        if (file && flags & TFD_TIMER_ABSTIME && ns_of(new->it_value) > ns_of(began))
                scaled.it_value = of_ns(ns_of(began) + (ns_of(new->it_value) - ns_of(began)) / file->speed);
        return real.timerfd_settime(fd, flags, &scaled, old);
}

static int scaled_ms(int ms) {
        return ms <= 0 ? ms : (ms + (int) file->speed - 1) / (int) file->speed;
}

static void set_now(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        sim.now_ms = ns_of(now) / 1000000;
}

/* --- the device --- */

static void report(void) {
        file->n_transfers = sim.n_transfers;
        file->n_pages_sent = sim.n_pages_sent;
        file->n_refused = (uint32_t) sim.n_refused;
        file->is_radio_on = sim.is_radio_on;
        file->is_asleep = sim.is_asleep;
        file->n_replayed = sim.replay.n_answers;
}

static int submit(struct usbdevfs_urb *urb) {
        size_t n = 0;
        int r;

        set_now();
        if (urb->endpoint & 0x80)
                r = transport.read(&sim, urb->buffer, (size_t) urb->buffer_length, 0, &n);
        else {
                (void) real.poll(NULL, 0, scaled_ms(LATENCY_MS));
                r = transport.write(&sim, urb->buffer, (size_t) urb->buffer_length);
                n = r == 0 ? (size_t) urb->buffer_length : 0;
        }
        report();
        if (r < 0) {
                errno = ENODEV;
                return -1;
        }
        urb->actual_length = (int) n;
        urb->status = r == TRANSPORT_E_STALL ? -EPIPE : 0;
        if (r == TRANSPORT_E_TIMEOUT)
                pending = urb;
        else
                done = urb;
        return 0;
}

static int fail(int error) {
        errno = error;
        return -1;
}

static int answer(unsigned long request, void *argument) {
        switch (request) {
        case USBDEVFS_GET_CAPABILITIES:
                *(uint32_t *) argument = USBDEVFS_CAP_ZERO_PACKET | USBDEVFS_CAP_REAP_AFTER_DISCONNECT;
                return 0;
        case USBDEVFS_CONNECTINFO:
                *(struct usbdevfs_connectinfo *) argument = (struct usbdevfs_connectinfo) { .devnum = 2 };
                return 0;
        case USBDEVFS_GET_SPEED:
                return 2; /* full */
        case USBDEVFS_CONTROL: /* GET_CONFIGURATION */
                *(uint8_t *) ((struct usbdevfs_ctrltransfer *) argument)->data = 1;
                return 1;
        default:
                break;
        }
        if (sim.is_gone && request != USBDEVFS_REAPURBNDELAY)
                return fail(ENODEV);
        switch (request) {
        case USBDEVFS_DISCONNECT_CLAIM:
                file->n_detached += file->is_driver_bound;
                file->is_driver_bound = 0;
                file->n_claimed++;
                return 0;
        case USBDEVFS_RELEASEINTERFACE:
        case USBDEVFS_CLEAR_HALT:
                return 0;
        case USBDEVFS_IOCTL:
                if (((struct usbdevfs_ioctl *) argument)->ioctl_code != (int) USBDEVFS_CONNECT)
                        return fail(ENOTTY);
                file->is_driver_bound = 1;
                file->n_attached++;
                return 1;
        case USBDEVFS_SUBMITURB:
                return submit(argument);
        case USBDEVFS_DISCARDURB:
                if (argument != pending)
                        return fail(EINVAL);
                pending->status = -ENOENT;
                done = pending;
                pending = NULL;
                return 0;
        case USBDEVFS_REAPURBNDELAY:
                if (!done)
                        return fail(sim.is_gone ? ENODEV : EAGAIN);
                *(void **) argument = done;
                done = NULL;
                return 0;
        default:
                (void) fprintf(stderr, "usbfs: an unexpected request, %lx\n", request);
                return fail(ENOTTY);
        }
}

int ioctl(int fd, unsigned long request, ...) {
        void *argument;
        va_list args;
        int r;

        va_start(args, request);
        argument = va_arg(args, void *);
        va_end(args);
        r = real.ioctl(fd, request, argument); /* kills where the filter does not know it; no file knows it */
        return file && fd == DEVICE_FD ? answer(request, argument) : r;
}

static int wait_for(struct pollfd *fds, nfds_t n, int timeout_ms) {
        struct pollfd *device = NULL;
        int r;

        for (nfds_t i = 0; i != n && file; i++) {
                fds[i].revents = 0;
                if (fds[i].fd == DEVICE_FD)
                        device = &fds[i];
        }
        if (device && (done || sim.is_gone)) {
                device->revents = sim.is_gone ? POLLERR | POLLHUP : POLLOUT;
                return 1;
        }
        if (device)
                device->fd = -1;
        r = real.poll(fds, n, file ? scaled_ms(timeout_ms) : timeout_ms);
        if (device)
                device->fd = DEVICE_FD;
        if (file && r > 0 && n == 1 && fds[0].fd == STDIN_FILENO && file->n_until_stop == 0)
                file->n_until_stop = sim.n_transfers;
        return r;
}

int poll(struct pollfd *fds, nfds_t n, int timeout_ms) {
        return wait_for(fds, n, timeout_ms);
}

int __poll_chk(struct pollfd *fds, nfds_t n, int timeout_ms, size_t size) {
        (void) size;
        return wait_for(fds, n, timeout_ms);
}

/* --- from process to process --- */

/* glibc's syscall() takes as many as there are; six are read whatever there is, as it does itself */
long syscall(long number, ...) {
        static char *const environment[] = { (char *) "LD_PRELOAD=/proc/self/fd/200", NULL };
        long a[6];
        va_list args;

        va_start(args, number);
        for (size_t i = 0; i != 6; i++)
                a[i] = va_arg(args, long);
        va_end(args);
        if (number == SYS_execveat && strcmp(((char *const *) a[2])[0], "carewallet-usb") == 0) {
                (void) fcntl(SELF_FD, F_SETFD, 0);
                (void) fcntl(FILE_FD, F_SETFD, 0);
                a[3] = (long) environment;
        }
        return real.syscall(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void die(const char *what) {
        perror(what);
        _exit(99);
}

static void keep(int fd, int at) {
        if (fd < 0 || dup3(fd, at, O_CLOEXEC) < 0)
                die("usbfs: keeping a descriptor");
        (void) close(fd);
}

static void begin_daemon(void) {
        int fd = memfd_create("usbfs", MFD_CLOEXEC), self;
        struct stat st;
        Dl_info info;

        self = dladdr((void *) (uintptr_t) &begin_daemon, &info) ? open(info.dli_fname, O_RDONLY | O_CLOEXEC) : -1;
        if (fd < 0 || self < 0 || fstat(self, &st) < 0 || sendfile(fd, self, NULL, (size_t) st.st_size) != st.st_size)
                die("usbfs: copying itself");
        (void) close(self);
        keep(fd, SELF_FD);
        keep(open(getenv("CAREWALLET_SIM"), O_RDWR | O_CLOEXEC), FILE_FD);
}

static void begin_worker(void) {
        static uint8_t transfers[REPLAY_SIZE_MAX];
        SimFile *mapped = mmap(NULL, sizeof(*mapped), PROT_READ | PROT_WRITE, MAP_SHARED, FILE_FD, 0);

        if (mapped == MAP_FAILED)
                die("usbfs: reading the simulation");
        (void) close(FILE_FD);
        (void) close(SELF_FD);
        (void) real.clock_gettime(CLOCK_MONOTONIC, &began);
        sim_init(&sim, mapped->serial, mapped->model);
        sim.n_pages = mapped->n_pages;
        sim.n_glucose = mapped->n_glucose;
        sim.newest_glucose = mapped->newest_glucose;
        for (size_t i = 0; i != SIM_PAGES_MAX; i++) {
                sim.pages[i] = mapped->pages[i];
                sim.glucose[i] = mapped->glucose[i];
                sim.isig[i] = mapped->isig[i];
        }
        if (mapped->n_script > SCRIPT_MAX)
                die("usbfs: the script");
        sim.replay = (Replay) { .transfers = transfers, .n = replay_read(mapped->script, mapped->n_script, transfers, 0) };
        sim.is_asleep = mapped->is_asleep;
        sim.is_worldwide = mapped->is_worldwide;
        sim.is_deaf = mapped->is_deaf;
        sim.merge = mapped->merge;
        sim.bad_page = mapped->bad_page;
        sim.fault = (SimFault) mapped->fault;
        sim.fault_at = mapped->fault_at;
        sim.fault_every = mapped->fault_every;
        transport = sim_transport(&sim);
        mapped->n_until_stop = 0;
        mapped->n_sessions++;
        file = mapped;
}

__attribute__((constructor)) static void begin(void) {
        *(void **) &real.ioctl = dlsym(RTLD_NEXT, "ioctl");
        *(void **) &real.poll = dlsym(RTLD_NEXT, "poll");
        *(void **) &real.clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
        *(void **) &real.timerfd_settime = dlsym(RTLD_NEXT, "timerfd_settime");
        *(void **) &real.syscall = dlsym(RTLD_NEXT, "syscall");
        if (strcmp(program_invocation_short_name, "carewalletd") == 0 && getenv("CAREWALLET_SIM"))
                begin_daemon();
        if (strcmp(program_invocation_short_name, "carewallet-usb") == 0)
                begin_worker();
}
