/* SPDX-License-Identifier: Apache-2.0 */

/*
 * The first byte chooses a frame_get_*, the rest is its payload; then all of it as a stream for frame_next(). What is
 * got is put again and must be the same bytes: there is one encoding of everything.
 */

#include "daemon/common/frame.h"
#include "daemon/common/text.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

static void check(bool holds) {
        if (!holds)
                abort();
}

static void check_same(FrameBuffer *buffer, int r, const uint8_t *payload, size_t n_payload) {
        check(r == 0);
        check(buffer->n == FRAME_HEADER_SIZE + n_payload);
        check(memcmp(buffer->bytes + FRAME_HEADER_SIZE, payload, n_payload) == 0);
}

static void one_payload(unsigned which, const uint8_t *p, size_t n) {
        cleanup(frame_buffer_done) FrameBuffer b = {0};
        cleanup(freep) char *texts = NULL;
        const char *listen, *key, *certificate;
        char text[1025], row[1025];
        const uint8_t *rest;
        uint8_t bytes32[32];
        uint64_t u64, u64_2;
        uint32_t u32;
        size_t n_rest;
        bool whole;

        switch (which % 24) {
        case 0: {
                FrameKdfRequest request;

                if (frame_get_kdf_request(&request, p, n) == 0)
                        check_same(&b, frame_put_kdf_request(&b, &request), p, n);
                break;
        }
        case 1:
                if (frame_get_kdf_key(&u32, &u64, bytes32, p, n) == 0)
                        check_same(&b, frame_put_kdf_key(&b, u32, u64, bytes32), p, n);
                break;
        case 2:
                if (frame_get_u32(&u32, p, n) == 0)
                        check_same(&b, frame_put_u32(&b, 1, u32), p, n);
                break;
        case 3:
                if (frame_get_text(text, p, n) == 0) {
                        check(text_valid(text, strlen(text)));
                        check_same(&b, frame_put_text(&b, 1, text), p, n);
                }
                break;
        case 4: {
                FrameImportRequest request;

                if (frame_get_import_request(&request, p, n) == 0)
                        check_same(&b, frame_put_import_request(&b, &request), p, n);
                break;
        }
        case 5: {
                FrameImportSource source;

                if (frame_get_import_source(&source, p, n) == 0)
                        check_same(&b, frame_put_import_source(&b, &source), p, n);
                break;
        }
        case 6: {
                Record record;

                if (frame_get_import_record(&u32, &record, p, n) == 0) {
                        check(record_valid(&record));
                        check_same(&b, frame_put_import_record(&b, u32, &record), p, n);
                }
                break;
        }
        case 7:
                if (frame_get_import_rejected(&u32, text, row, p, n) == 0)
                        check_same(&b, frame_put_import_rejected(&b, u32, text, row, strlen(row)), p, n);
                break;
        case 8:
                if (frame_get_import_progress(&u64, &u64_2, p, n) == 0)
                        check_same(&b, frame_put_import_progress(&b, u64, u64_2), p, n);
                break;
        case 9: {
                FrameImportEnd end;

                if (frame_get_import_end(&end, p, n) == 0)
                        check_same(&b, frame_put_import_end(&b, &end), p, n);
                break;
        }
        case 10:
                if (frame_get_gate_config(&texts, &listen, &key, &certificate, p, n) == 0)
                        check_same(&b, frame_put_gate_config(&b, listen, key, certificate), p, n);
                break;
        case 11:
                if (frame_get_gate_key(&texts, &key, &certificate, bytes32, p, n) == 0)
                        check_same(&b, frame_put_gate_key(&b, key, certificate, bytes32), p, n);
                break;
        case 12: {
                FrameGateRequest request;

                if (frame_get_gate_request(&request, p, n) == 0)
                        check_same(&b, frame_put_gate_request(&b, &request), p, n);
                break;
        }
        case 13: {
                FrameGateReply reply;

                if (frame_get_gate_reply(&reply, p, n) == 0)
                        check_same(&b, frame_put_gate_reply(&b, FRAME_GATE_REPLY, &reply), p, n);
                break;
        }
        case 14:
                if (frame_get_gate_chunk(&u64, &rest, &n_rest, p, n) == 0)
                        check_same(&b, frame_put_gate_chunk(&b, u64, rest, n_rest), p, n);
                break;
        case 15:
                if (frame_get_gate_end(&u64, &whole, text, p, n) == 0)
                        check_same(&b, frame_put_gate_end(&b, u64, whole, text), p, n);
                break;
        case 16:
                if (frame_get_gate_closed(&u64, &u64_2, &whole, p, n) == 0)
                        check_same(&b, frame_put_gate_closed(&b, u64, u64_2, whole), p, n);
                break;
        case 18: {
                FrameUsbRequest request;

                if (frame_get_usb_request(&request, p, n) == 0)
                        check_same(&b, frame_put_usb_request(&b, &request), p, n);
                break;
        }
        case 19: {
                FrameUsbPump pump;

                if (frame_get_usb_pump(&pump, p, n) == 0)
                        check_same(&b, frame_put_usb_pump(&b, &pump), p, n);
                break;
        }
        case 20: {
                FrameRestore restore;

                if (frame_get_restore(&restore, p, n) == 0)
                        check_same(&b, frame_put_restore(&b, &restore), p, n);
                break;
        }
        case 21: {
                FrameRestoreImport import;

                if (frame_get_restore_import(&import, p, n) == 0)
                        check_same(&b, frame_put_restore_import(&b, &import), p, n);
                break;
        }
        case 22: {
                FrameRestoreNode node;

                if (frame_get_restore_node(&node, p, n) == 0)
                        check_same(&b, frame_put_restore_node(&b, &node), p, n);
                break;
        }
        case 23: {
                FrameRestoreAgain again;

                if (frame_get_restore_again(&again, p, n) == 0)
                        check_same(&b, frame_put_restore_again(&b, &again), p, n);
                break;
        }
        default:
                if (frame_get_gate_u64(&u64, p, n) == 0)
                        check_same(&b, frame_put_gate_u64(&b, 1, u64), p, n);
                if (frame_get_gate_reset_done(&u64, &u32, p, n) == 0) {
                        frame_buffer_done(&b);
                        check_same(&b, frame_put_gate_reset_done(&b, u64, u32), p, n);
                }
                break;
        }
}

static void a_stream(const uint8_t *bytes, size_t n) {
        cleanup(frame_buffer_done) FrameBuffer b = {0};
        const uint8_t *payload;
        uint32_t type;
        size_t n_payload;

        b.bytes = malloc(n);
        check(b.bytes);
        memcpy(b.bytes, bytes, n);
        b.n = b.n_allocated = n;
        while (frame_next(&b, &type, &payload, &n_payload) == 0) {
                check(n_payload <= FRAME_PAYLOAD_MAX && payload + n_payload <= b.bytes + b.n);
                one_payload(type, payload, n_payload);
        }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n) {
        if (n < 1)
                return 0;
        one_payload(bytes[0], bytes + 1, n - 1);
        a_stream(bytes, n);
        return 0;
}
