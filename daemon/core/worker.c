/* SPDX-License-Identifier: Apache-2.0 */

#include "worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>

enum {
        PIPE_SIZE = 256 * 1024, /* bytes: the largest frame, and room to work ahead; a request, best effort */
        KILL_WAIT_MS = 20,
};

struct Worker {
        sd_event *event;
        int to_fd, from_fd, pidfd;
        sd_event_source *to, *from, *silence;
        uint64_t silence_us;
        FrameBuffer out, in;
        WorkerEvents events;
        void *userdata;
};

static void give_up(Worker *worker, WorkerEnd why) {
        (void) sd_event_source_set_enabled(worker->from, SD_EVENT_OFF);
        if (worker->to)
                (void) sd_event_source_set_enabled(worker->to, SD_EVENT_OFF);
        if (worker->silence)
                (void) sd_event_source_set_enabled(worker->silence, SD_EVENT_OFF);
        worker->events.ended(why, worker->userdata);
}

static int on_from(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Worker *worker = userdata;
        const WorkerEvents handlers = worker->events;
        void *handlers_userdata = worker->userdata;
        ssize_t n;
        int r = 0;

        (void) events;
        n = frame_read(&worker->in, fd);
        if (n == -EAGAIN || n == -EINTR)
                return 0;
        if (n <= 0) {
                give_up(worker, WORKER_CLOSED);
                return 0;
        }
        if (worker->silence)
                (void) sd_event_source_set_time_relative(worker->silence, worker->silence_us);

        /* A frame may end the job and free the worker: the source lives on until this returns, and says so. */
        (void) sd_event_source_ref(source);
        if (handlers.begin)
                handlers.begin(handlers_userdata);
        for (;;) {
                const uint8_t *payload;
                size_t n_payload;
                uint32_t type;
                int enabled;

                r = frame_next(&worker->in, &type, &payload, &n_payload);
                if (r != 0)
                        break;
                r = handlers.frame(type, payload, n_payload, handlers_userdata);
                if (sd_event_source_get_enabled(source, &enabled) < 0 || enabled == SD_EVENT_OFF) {
                        worker = NULL;
                        break;
                }
                if (r != 0)
                        break;
        }
        if (handlers.end)
                handlers.end(handlers_userdata);
        if (worker && r != FRAME_E_AGAIN) {
                int enabled = SD_EVENT_OFF;

                if (sd_event_source_get_enabled(source, &enabled) >= 0 && enabled != SD_EVENT_OFF)
                        give_up(worker, WORKER_NONSENSE);
        }
        (void) sd_event_source_unref(source);
        return 0;
}

static int on_to(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Worker *worker = userdata;

        (void) source;
        (void) fd;
        (void) events;
        if (worker_flush(worker) < 0)
                (void) sd_event_source_set_enabled(worker->to, SD_EVENT_OFF); /* its end is seen on the other pipe */
        return 0;
}

static int on_silence(sd_event_source *source, uint64_t time_us, void *userdata) {
        (void) source;
        (void) time_us;
        give_up(userdata, WORKER_SILENT);
        return 0;
}

void worker_stand_back(Worker *worker) {
        (void) sd_event_source_set_priority(worker->from, SD_EVENT_PRIORITY_IDLE);
}

void worker_pause(Worker *worker, bool pause) {
        (void) sd_event_source_set_enabled(worker->from, pause ? SD_EVENT_OFF : SD_EVENT_ON);
        if (worker->silence) {
                (void) sd_event_source_set_time_relative(worker->silence, worker->silence_us);
                (void) sd_event_source_set_enabled(worker->silence, pause ? SD_EVENT_OFF : SD_EVENT_ONESHOT);
        }
}

FrameBuffer *worker_out(Worker *worker) {
        return &worker->out;
}

size_t worker_n_unsent(const Worker *worker) {
        return worker->out.n - worker->out.at;
}

int worker_flush(Worker *worker) {
        int r;

        r = frame_flush(&worker->out, worker->to_fd);
        if (r < 0 && r != -EAGAIN && r != -EINTR)
                return r;
        return sd_event_source_set_enabled(worker->to, r == 1 ? SD_EVENT_OFF : SD_EVENT_ON);
}

int worker_start(Worker **ret, sd_event *event, int launcher_fd, LauncherWorker kind, const int *foreign_fds, size_t n_foreign_fds, uint64_t silence_ms,
                 const WorkerEvents *events, void *userdata) {
        cleanup(worker_freep) Worker *worker = NULL;
        cleanup(close_fdp) int theirs_in = -1, theirs_out = -1;
        int pair[2], fds[LAUNCHER_FDS_MAX];
        int r;

        assert(n_foreign_fds <= LAUNCHER_FDS_MAX - 2);

        worker = calloc(1, sizeof(*worker));
        if (!worker)
                return -ENOMEM;
        worker->event = event;
        worker->to_fd = worker->from_fd = worker->pidfd = -1;
        worker->events = *events;
        worker->userdata = userdata;

        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        theirs_in = pair[0];
        worker->to_fd = pair[1];
        if (pipe2(pair, O_CLOEXEC) < 0)
                return -errno;
        worker->from_fd = pair[0];
        theirs_out = pair[1];
        (void) fcntl(worker->from_fd, F_SETPIPE_SZ, PIPE_SIZE);
        (void) fcntl(worker->to_fd, F_SETPIPE_SZ, PIPE_SIZE);
        if (fcntl(worker->to_fd, F_SETFL, O_NONBLOCK) < 0 || fcntl(worker->from_fd, F_SETFL, O_NONBLOCK) < 0)
                return -errno;

        fds[0] = theirs_in;
        fds[1] = theirs_out;
        for (size_t i = 0; i < n_foreign_fds; i++)
                fds[2 + i] = foreign_fds[i];
        r = launcher_spawn(launcher_fd, kind, fds, 2 + n_foreign_fds, &worker->pidfd);
        if (r < 0)
                return r;

        r = sd_event_add_io(event, &worker->from, worker->from_fd, EPOLLIN, on_from, worker);
        if (r < 0)
                return r;
        r = sd_event_add_io(event, &worker->to, worker->to_fd, EPOLLOUT, on_to, worker);
        if (r < 0)
                return r;
        r = sd_event_source_set_enabled(worker->to, SD_EVENT_OFF);
        if (r < 0)
                return r;
        if (silence_ms > 0) {
                worker->silence_us = silence_ms * 1000;
                r = sd_event_add_time_relative(event, &worker->silence, CLOCK_MONOTONIC, worker->silence_us, 1000, on_silence, worker);
                if (r < 0)
                        return r;
        }
        *ret = take_ptr(worker);
        return 0;
}

void worker_kill(Worker *worker) {
        struct pollfd ended = { .fd = worker->pidfd, .events = POLLIN };

        if (worker->pidfd >= 0 && launcher_kill(worker->pidfd) == 0)
                (void) poll(&ended, 1, KILL_WAIT_MS);
}

Worker *worker_free(Worker *worker) {
        if (!worker)
                return NULL;
        if (worker->from)
                (void) sd_event_source_set_enabled(worker->from, SD_EVENT_OFF);
        sd_event_source_disable_unref(worker->from);
        sd_event_source_disable_unref(worker->to);
        sd_event_source_disable_unref(worker->silence);
        if (worker->pidfd >= 0 && launcher_kill(worker->pidfd) < 0)
                fputs("carewalletd: a worker could not be killed; it ends with its pipes\n", stderr);
        (void) close_fd(worker->pidfd);
        (void) close_fd(worker->to_fd);
        (void) close_fd(worker->from_fd);
        frame_buffer_done(&worker->out);
        frame_buffer_done(&worker->in);
        free(worker);
        return NULL;
}
