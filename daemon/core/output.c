/* SPDX-License-Identifier: Apache-2.0 */

#include "output.h"

#include <fcntl.h>
#include <sys/epoll.h>

struct Output {
        sd_event_source *source;
        int fd;
        Text text;
        size_t at; /* sent */
        bool end;
        OutputMore more;
        OutputDone done;
        void *userdata;
        sd_event_source *stall;
};

enum {
        PIPE_SIZE = 1024 * 1024, /* bytes; a request, best effort: as much as an unprivileged process may have */
        STALL_US = 60 * 1000 * 1000, /* a reader that takes nothing for so long is gone */
};

void output_cancel(Output *output) {
        sd_event_source_disable_unref(output->source);
        sd_event_source_disable_unref(output->stall);
        (void) close_fd(output->fd);
        text_done(&output->text);
        free(output);
}

static void finish(Output *output, int r) {
        OutputDone done = output->done;
        void *userdata = output->userdata;

        output_cancel(output);
        done(r, userdata);
}

static int on_writable(sd_event_source *source, int fd, uint32_t events, void *userdata) {
        Output *output = userdata;
        ssize_t n;

        (void) source;
        if (events & (EPOLLERR | EPOLLHUP)) {
                finish(output, -EPIPE);
                return 0;
        }
        if (output->at == output->text.n && !output->end) {
                int r;

                text_clear(&output->text);
                output->at = 0;
                r = output->more(&output->text, &output->end, output->userdata);
                if (r != 0) {
                        finish(output, r > 0 ? -EBADMSG : r);
                        return 0;
                }
        }
        if (output->at < output->text.n) {
                n = write(fd, output->text.bytes + output->at, output->text.n - output->at);
                if (n < 0) {
                        if (errno != EAGAIN && errno != EINTR)
                                finish(output, -errno);
                        return 0;
                }
                output->at += (size_t) n;
                (void) sd_event_source_set_time_relative(output->stall, STALL_US);
        }
        if (output->end && output->at == output->text.n)
                finish(output, 0);
        return 0;
}

static int on_stall(sd_event_source *source, uint64_t time_us, void *userdata) {
        (void) source;
        (void) time_us;
        finish(userdata, -EPIPE);
        return 0;
}

int output_start(Output **ret, sd_event *event, OutputMore more, OutputDone done, void *userdata, int *ret_read_fd) {
        Output *output;
        int pair[2];
        int r;

        output = calloc(1, sizeof(*output));
        if (!output)
                return -ENOMEM;
        if (pipe2(pair, O_CLOEXEC) < 0) {
                free(output);
                return -errno;
        }
        output->fd = pair[1];
        (void) fcntl(output->fd, F_SETPIPE_SZ, PIPE_SIZE);
        output->more = more;
        output->done = done;
        output->userdata = userdata;
        r = fcntl(output->fd, F_SETFL, O_NONBLOCK) < 0 ? -errno : 0;
        if (r >= 0)
                r = sd_event_add_io(event, &output->source, output->fd, EPOLLOUT, on_writable, output);
        if (r >= 0)
                r = sd_event_add_time_relative(event, &output->stall, CLOCK_MONOTONIC, STALL_US, 1000000, on_stall, output);
        if (r < 0) {
                (void) close_fd(pair[0]);
                output_cancel(output);
                return r;
        }
        /* Reading comes after whatever else waits: a revocation goes before an export. */
        (void) sd_event_source_set_priority(output->source, SD_EVENT_PRIORITY_IDLE);
        *ret = output;
        *ret_read_fd = pair[0];
        return 0;
}
