/* SPDX-License-Identifier: Apache-2.0 */

/*
 * Input: "METHOD URI VERSION LF", header lines, an empty line, body; as the gate gets them from libmicrohttpd. What is
 * not refused must be a frame that the core takes.
 */

#include "daemon/workers/gate/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(RequestHead *head) {
        FrameBuffer buffer = {0};
        const uint8_t *payload;
        FrameGateRequest got;
        size_t n_payload;
        uint32_t type;

        head->frame.request = 1;
        if (!(head->frame.flags & FRAME_GATE_HAS_CREDENTIAL))
                abort();
        if (frame_put_gate_request(&buffer, &head->frame) != 0 || frame_next(&buffer, &type, &payload, &n_payload) != 0 ||
            type != FRAME_GATE_REQUEST || frame_get_gate_request(&got, payload, n_payload) != 0)
                abort();
        if (got.operation != head->frame.operation || got.n_proof != head->frame.n_proof)
                abort();
        frame_buffer_done(&buffer);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        static RequestHead head;
        char *text, *at, *line, *end, *method, *uri, *version;
        size_t n_body;

        text = malloc(n + 1);
        if (!text)
                return 0;
        memcpy(text, bytes, n);
        text[n] = '\0';

        at = text;
        line = strsep(&at, "\n");
        method = strsep(&line, " ");
        uri = strsep(&line, " ");
        version = line;
        if (!uri || !version)
                goto end;
        request_begin(&head, method, uri, version);
        while (at && (line = strsep(&at, "\n")) && *line) {
                char *value = strchr(line, ':');

                if (!value)
                        goto end;
                *value++ = '\0';
                request_header(&head, line, value);
        }
        request_headers_end(&head, n);
        if (!head.refusal && head.is_post) {
                end = text + n;
                n_body = at ? (size_t) (end - at) : 0;
                if (!at)
                        at = end;
                request_body(&head, at, n_body);
        }
        if (!head.refusal)
                check(&head);
        else if (head.refusal->status < 400 || head.refusal->status > 599)
                abort();
end:
        free(text);
        return 0;
}
