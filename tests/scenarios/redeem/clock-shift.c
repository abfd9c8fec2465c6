/* SPDX-License-Identifier: Apache-2.0 */

/*
 * For LD_PRELOAD: a wall clock that a test can move. CLOCK_SHIFT names a file of one little-endian i64, the seconds to add; it is
 * mapped, so that a process that has locked itself down still sees a change. The monotonic clock is left alone.
 *
 * The kernel fires a TFD_TIMER_CANCEL_ON_SET timer when the clock is set. Here nothing is set: SIGUSR2 makes the last such timer fire.
 */

#include <dlfcn.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *shift;
static int (*real_clock_gettime)(clockid_t clock, struct timespec *ret);
static int (*real_timerfd_settime)(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *ret_old);
static volatile int wall_timer_fd = -1;

static void on_clock_set(int number) {
        static const struct itimerspec at_once = { .it_value.tv_nsec = 1 };

        (void) number;
        if (wall_timer_fd >= 0)
                (void) real_timerfd_settime(wall_timer_fd, 0, &at_once, NULL);
}

__attribute__((constructor)) static void map_shift(void) {
        const char *path = getenv("CLOCK_SHIFT");
        int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
        void *page = fd >= 0 ? mmap(NULL, sizeof(*shift), PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;

        *(void **) &real_clock_gettime = dlsym(RTLD_NEXT, "clock_gettime");
        *(void **) &real_timerfd_settime = dlsym(RTLD_NEXT, "timerfd_settime");
        if (page == MAP_FAILED || !real_clock_gettime || !real_timerfd_settime || signal(SIGUSR2, on_clock_set) == SIG_ERR)
                abort();
        shift = page;
        (void) close(fd);
}

int clock_gettime(clockid_t clock, struct timespec *ret) {
        int r = real_clock_gettime(clock, ret);

        if (r == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
                ret->tv_sec += *shift;
        return r;
}

time_t time(time_t *ret) {
        struct timespec now;

        (void) clock_gettime(CLOCK_REALTIME, &now);
        if (ret)
                *ret = now.tv_sec;
        return now.tv_sec;
}

int gettimeofday(struct timeval *restrict ret, void *restrict zone) {
        struct timespec now;

        (void) zone;
        (void) clock_gettime(CLOCK_REALTIME, &now);
        *ret = (struct timeval) { .tv_sec = now.tv_sec, .tv_usec = now.tv_nsec / 1000 };
        return 0;
}

int timerfd_settime(int fd, int flags, const struct itimerspec *new_value, struct itimerspec *ret_old) {
        struct itimerspec moved = *new_value;

        if (flags & TFD_TIMER_CANCEL_ON_SET && moved.it_value.tv_sec > *shift && moved.it_value.tv_sec < INT64_C(253402300799)) {
                moved.it_value.tv_sec -= *shift;
                wall_timer_fd = fd;
        }
        return real_timerfd_settime(fd, flags, &moved, ret_old);
}
