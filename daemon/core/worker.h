/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* The core's end of a worker: frames out, frames in, and an end for every job that a worker does not finish. */

#include <systemd/sd-event.h>

#include "daemon/common/frame.h"
#include "daemon/launcher/launcher.h"

typedef struct Worker Worker;

typedef enum WorkerEnd {
        WORKER_CLOSED = 1, /* end of file: it exited, or died */
        WORKER_NONSENSE,   /* a frame that is not as specified */
        WORKER_SILENT,     /* nothing for too long */
} WorkerEnd;

typedef struct WorkerEvents {
        /* the payload is borrowed; anything but 0 ends the job as WORKER_NONSENSE (> 0) or as failed (< 0) */
        int (*frame)(uint32_t type, const uint8_t *payload, size_t n_payload, void *userdata);
        /* around all frames of one wake-up; may be NULL */
        void (*begin)(void *userdata);
        void (*end)(void *userdata);
        /* the worker is gone or was given up: called once, never from worker_free(); must free the worker */
        void (*ended)(WorkerEnd why, void *userdata);
} WorkerEvents;

/**
 * worker_start() - have the launcher start one
 * @fds:         borrowed, @n_fds of 2 at most: become the worker's descriptors 3 and 4
 * @silence_ms:  a worker that says nothing for so long is given up; 0: never
 */
must_check int worker_start(Worker **ret, sd_event *event, int launcher_fd, LauncherWorker kind, const int *fds, size_t n_fds,
                            uint64_t silence_ms, const WorkerEvents *events, void *userdata);
/** worker_free() - close the pipes, kill; accepts NULL, returns NULL */
Worker *worker_free(Worker *worker);
DEFINE_CLEANUP(Worker *, worker_free)
/** worker_kill() - and wait until it is gone with its sockets: a millisecond, 20 at most */
void worker_kill(Worker *worker);
/** worker_stand_back() - what it says is heard when nothing else waits, in turns with exports: an import must not hold up a revocation */
void worker_stand_back(Worker *worker);
/** worker_pause() - do not listen to it for as long. Not from a handler of its frames */
void worker_pause(Worker *worker, bool pause);
/** worker_out() - put frames here, then worker_flush() */
FrameBuffer *worker_out(Worker *worker);
must_check int worker_flush(Worker *worker);
/** worker_n_unsent() - bytes that wait */
size_t worker_n_unsent(const Worker *worker);
