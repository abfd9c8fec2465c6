/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Long output: a pipe of our own that is filled without blocking, piece by piece, while a client reads. */

#include "serialise.h"
#include "server.h"

typedef struct Output Output;

/* Append the next piece (about 64 KiB, 10 ms) to @text; set *ret_end when there is no more. < 0 ends it as failed; > 0 as well: what it is read from is damaged (-EBADMSG). */
typedef int (*OutputMore)(Text *text, bool *ret_end, void *userdata);
/* All was read (r == 0), the reader went away (-EPIPE) or it failed; must free what userdata owns. The output frees itself. */
typedef void (*OutputDone)(int r, void *userdata);

/** output_start() - @ret_read_fd: for the client; the caller closes it after sending. On success @done will be called. */
must_check int output_start(Output **ret, sd_event *event, OutputMore more, OutputDone done, void *userdata, int *ret_read_fd);
/** output_cancel() - as if the reader went away; done is not called */
void output_cancel(Output *output);
