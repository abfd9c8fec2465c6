/* SPDX-License-Identifier: Apache-2.0 */

#include "support.h"

#include "daemon/common/frame.h"

static const uint8_t *only_frame(FrameBuffer *buffer, uint32_t type, size_t *ret_n) {
        const uint8_t *payload = NULL;
        uint32_t found = 0;

        assert_int_equal(frame_next(buffer, &found, &payload, ret_n), 0);
        assert_int_equal(found, type);
        assert_int_equal(buffer->at, buffer->n);
        return payload;
}

/* Every payload that is shorter, or longer by a byte, is refused; the whole one is taken. */
#define ASSERT_EXACT(payload, n, ...)                                                  \
        do {                                                                           \
                uint8_t longer_[8192];                                                 \
                const uint8_t *whole_ = payload;                                       \
                size_t n_whole_ = n;                                                   \
                memcpy(longer_, whole_, n_whole_);                                     \
                longer_[n_whole_] = 0;                                                 \
                for (size_t n_ = 0; n_ <= n_whole_ + 1; n_++) {                        \
                        uint8_t *exact_ = malloc(n_ > 0 ? n_ : 1);                     \
                        int r_;                                                        \
                        memcpy(exact_, longer_, n_);                                   \
                        payload = exact_;                                              \
                        n = n_;                                                        \
                        r_ = __VA_ARGS__;                                              \
                        assert_int_equal(r_, n_ == n_whole_ ? 0 : FRAME_E_FORMAT);     \
                        free(exact_);                                                  \
                }                                                                      \
                payload = whole_;                                                      \
                n = n_whole_;                                                          \
        } while (0)

static void frames_come_out_as_they_went_in_however_they_are_cut(void **state) {
        (void) state;

        for (size_t step = 1; step < 40; step++) {
                cleanup(frame_buffer_done) FrameBuffer out = {0}, in = {0};
                unsigned n_frames = 0;
                int fds[2];

                assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
                for (uint32_t i = 0; i < 10; i++)
                        assert_int_equal(frame_put(&out, 100 + i, "0123456789", i), 0);
                for (size_t at = 0; at < out.n; at += step) {
                        const uint8_t *payload;
                        uint32_t type;
                        size_t n;
                        int r;

                        n = out.n - at < step ? out.n - at : step;
                        assert_int_equal(write(fds[1], out.bytes + at, n), (ssize_t) n);
                        assert_int_equal(frame_read(&in, fds[0]), (ssize_t) n);
                        while ((r = frame_next(&in, &type, &payload, &n)) == 0) {
                                assert_int_equal(type, 100 + n_frames);
                                assert_int_equal(n, n_frames);
                                assert_memory_equal(payload, "0123456789", n);
                                n_frames++;
                        }
                        assert_int_equal(r, FRAME_E_AGAIN);
                }
                assert_int_equal(n_frames, 10);
                assert_int_equal(frame_read(&in, fds[0]), -EAGAIN);
                (void) close(fds[1]);
                assert_int_equal(frame_read(&in, fds[0]), 0);
                (void) close(fds[0]);
        }
}

static void the_largest_frame_passes_and_a_larger_one_does_not(void **state) {
        cleanup(frame_buffer_done) FrameBuffer out = {0}, in = {0};
        static uint8_t big[FRAME_PAYLOAD_MAX + 1];
        const uint8_t *payload;
        uint32_t type;
        size_t n;
        int fds[2];

        (void) state;

        assert_int_equal(frame_put_u32(&out, 1, 7), 0);
        n = out.n;
        assert_int_equal(frame_put(&out, 2, big, sizeof(big)), FRAME_E_FORMAT);
        assert_int_equal(out.n, n); /* taken back whole */
        assert_int_equal(frame_put(&out, 2, big, FRAME_PAYLOAD_MAX), 0);

        assert_int_equal(pipe2(fds, O_NONBLOCK), 0);
        for (unsigned n_got = 0; n_got < 2;) {
                int sent = frame_flush(&out, fds[1]), r;

                assert_true(sent >= 0 || sent == -EAGAIN);
                assert_true(frame_read(&in, fds[0]) > 0);
                while ((r = frame_next(&in, &type, &payload, &n)) == 0)
                        n_got++;
                assert_int_equal(r, FRAME_E_AGAIN);
        }
        assert_int_equal(n, FRAME_PAYLOAD_MAX);
        assert_int_equal(out.n, 0);

        frame_buffer_done(&in);
        put_le32(big, 1);
        put_le32(big + 4, FRAME_PAYLOAD_MAX + 1);
        assert_int_equal(write(fds[1], big, FRAME_HEADER_SIZE), FRAME_HEADER_SIZE);
        assert_int_equal(frame_read(&in, fds[0]), FRAME_HEADER_SIZE);
        assert_int_equal(frame_next(&in, &type, &payload, &n), FRAME_E_FORMAT);
        (void) close(fds[0]);
        (void) close(fds[1]);
}

static void kdf_frames_are_exact(void **state) {
        cleanup(frame_buffer_done) FrameBuffer buffer = {0};
        FrameKdfRequest request = {.version = 1, .mode = FRAME_KDF_CALIBRATE, .salt = "salt", .opslimit = 3, .memlimit = 1 << 28}, got;
        uint8_t key[32] = {1, 2, 3}, got_key[32];
        uint32_t opslimit;
        uint64_t memlimit;
        const uint8_t *payload;
        size_t n;

        (void) state;

        assert_int_equal(frame_put_kdf_request(&buffer, &request), 0);
        payload = only_frame(&buffer, FRAME_KDF_REQUEST, &n);
        assert_int_equal(n, FRAME_KDF_REQUEST_SIZE);
        ASSERT_EXACT(payload, n, frame_get_kdf_request(&got, payload, n));
        assert_int_equal(got.mode, request.mode);
        assert_int_equal(got.opslimit, request.opslimit);
        assert_int_equal(got.memlimit, request.memlimit);
        assert_memory_equal(got.salt, request.salt, sizeof(got.salt));

        assert_int_equal(frame_put_kdf_key(&buffer, 5, 1 << 28, key), 0);
        payload = only_frame(&buffer, FRAME_KDF_KEY, &n);
        assert_int_equal(n, FRAME_KDF_KEY_SIZE);
        ASSERT_EXACT(payload, n, frame_get_kdf_key(&opslimit, &memlimit, got_key, payload, n));
        assert_int_equal(opslimit, 5);
        assert_int_equal(memlimit, 1 << 28);
        assert_memory_equal(got_key, key, sizeof(key));
}

static void import_frames_are_exact(void **state) {
        cleanup(frame_buffer_done) FrameBuffer buffer = {0};
        FrameImportRequest request = {.version = 1, .now_utc_ms = 1700000000000, .glucose_unit = 2, .zones = "Europe/Berlin"}, got_request;
        FrameImportSource source = {.source = 3, .device_key = {1, 2}, .model = "MiniMed 780G", .serial = "NG1", .section = "pump"}, got_source;
        FrameImportEnd end = {.n_rows = 10, .n_rejected = 1, .format = "CareLink CSV"}, got_end;
        char reason[1025], row[1025], text[1025];
        uint64_t n_done, n_all;
        const uint8_t *payload;
        uint32_t line;
        size_t n;

        (void) state;

        assert_int_equal(frame_put_import_request(&buffer, &request), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_REQUEST, &n);
        ASSERT_EXACT(payload, n, frame_get_import_request(&got_request, payload, n));
        assert_string_equal(got_request.zones, request.zones);
        assert_int_equal(got_request.now_utc_ms, request.now_utc_ms);
        assert_false(got_request.has_no_checksums);
        request.has_no_checksums = true;
        assert_int_equal(frame_put_import_request(&buffer, &request), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_REQUEST, &n);
        ASSERT_EXACT(payload, n, frame_get_import_request(&got_request, payload, n));
        assert_true(got_request.has_no_checksums);

        assert_int_equal(frame_put_import_source(&buffer, &source), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_SOURCE, &n);
        ASSERT_EXACT(payload, n, frame_get_import_source(&got_source, payload, n));
        assert_string_equal(got_source.model, source.model);
        assert_string_equal(got_source.serial, source.serial);
        assert_string_equal(got_source.section, source.section);
        assert_memory_equal(got_source.device_key, source.device_key, 8);

        assert_int_equal(frame_put_import_rejected(&buffer, 17, "no such date", "2022/02/30;\xff\x1b\n", 14), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_REJECTED, &n);
        ASSERT_EXACT(payload, n, frame_get_import_rejected(&line, reason, row, payload, n));
        assert_int_equal(line, 17);
        assert_string_equal(reason, "no such date");
        assert_string_equal(row, "2022/02/30;?? ");

        assert_int_equal(frame_put_import_progress(&buffer, 5, 10), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_PROGRESS, &n);
        ASSERT_EXACT(payload, n, frame_get_import_progress(&n_done, &n_all, payload, n));
        assert_int_equal(n_done, 5);
        assert_int_equal(n_all, 10);

        assert_int_equal(frame_put_text(&buffer, FRAME_IMPORT_NOTE, "two sections"), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_NOTE, &n);
        ASSERT_EXACT(payload, n, frame_get_text(text, payload, n));
        assert_string_equal(text, "two sections");

        end.n_records[RECORD_CGM] = 6;
        end.n_merged[RECORD_BOLUS] = 3;
        end.n_extra[RECORD_NOTE] = 40;
        assert_int_equal(frame_put_import_end(&buffer, &end), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_END, &n);
        ASSERT_EXACT(payload, n, frame_get_import_end(&got_end, payload, n));
        assert_int_equal(got_end.n_records[RECORD_CGM], 6);
        assert_int_equal(got_end.n_merged[RECORD_BOLUS], 3);
        assert_int_equal(got_end.n_extra[RECORD_NOTE], 40);
        assert_string_equal(got_end.format, end.format);

        end.n_rows = 11; /* a row that nothing explains */
        assert_int_equal(frame_put_import_end(&buffer, &end), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_END, &n);
        assert_int_equal(frame_get_import_end(&got_end, payload, n), FRAME_E_FORMAT);
}

static void usb_frames_are_exact(void **state) {
        cleanup(frame_buffer_done) FrameBuffer buffer = {0};
        FrameUsbRequest request = {.version = 1, .now_utc_ms = 1700000000000, .has_trace = 1, .serial = "345192", .zones = "Europe/Berlin"}, got_request;
        FrameUsbPump pump = {.model = "Paradigm Revel - 723", .serial = "345192", .clock_offset_ms = -60000, .is_complete = 1, .n_pages = 36,
                             .n_missing = 1, .battery_mv = 1280, .reservoir_milli = -1}, got_pump;
        const uint8_t *payload;
        size_t n;

        (void) state;

        for (uint16_t n_known = 0; n_known <= FRAME_USB_KNOWN_MAX; n_known++) {
                request.n_known = pump.n_known = n_known;
                for (size_t i = 0; i < n_known; i++)
                        request.known[i][0] = pump.known[i][15] = (uint8_t) (i + 1);
                assert_int_equal(frame_put_usb_request(&buffer, &request), 0);
                payload = only_frame(&buffer, FRAME_USB_REQUEST, &n);
                ASSERT_EXACT(payload, n, frame_get_usb_request(&got_request, payload, n));
                assert_memory_equal(&got_request, &request, sizeof(request));

                assert_int_equal(frame_put_usb_pump(&buffer, &pump), 0);
                payload = only_frame(&buffer, FRAME_USB_PUMP, &n);
                ASSERT_EXACT(payload, n, frame_get_usb_pump(&got_pump, payload, n));
                assert_memory_equal(&got_pump, &pump, sizeof(pump));
        }

        request.n_known = FRAME_USB_KNOWN_MAX + 1;
        assert_int_equal(frame_put_usb_request(&buffer, &request), FRAME_E_FORMAT);
        pump.n_known = 0;
        pump.n_missing = 37;
        assert_int_equal(frame_put_usb_pump(&buffer, &pump), 0);
        payload = only_frame(&buffer, FRAME_USB_PUMP, &n);
        assert_int_equal(frame_get_usb_pump(&got_pump, payload, n), FRAME_E_FORMAT);
}

static void records_are_exact_and_valid(void **state) {
        cleanup(frame_buffer_done) FrameBuffer buffer = {0};
        Payload fields = {0};
        Record record = {
                .kind = RECORD_CGM,
                .unit = RECORD_UNIT_MG_DL,
                .flags = RECORD_HAS_VALUE,
                .offset_min = -90,
                .value_milli = 123000,
                .utc_ms = 1700000000000,
                .local_ms = 1700000000000 - 90 * 60000,
                .identity = "0123456789abcde",
                .source = 4,
                .import = 5,
        };
        const uint8_t *payload;
        uint32_t line;
        Record got;
        size_t n;

        (void) state;

        payload_milli(&fields, FIELD_ISIG, 20500);
        record.payload = fields.bytes;
        record.n_payload = fields.n;
        assert_true(record_valid(&record));
        assert_int_equal(frame_put_import_record(&buffer, 9, &record), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_RECORD, &n);
        assert_int_equal(n, 4 + FRAME_RECORD_SIZE + fields.n);
        ASSERT_EXACT(payload, n, frame_get_import_record(&line, &got, payload, n));
        assert_int_equal(frame_get_import_record(&line, &got, payload, n), 0);
        assert_int_equal(line, 9);
        assert_int_equal(got.kind, record.kind);
        assert_int_equal(got.offset_min, record.offset_min);
        assert_int_equal(got.value_milli, record.value_milli);
        assert_int_equal(got.utc_ms, record.utc_ms);
        assert_int_equal(got.local_ms, record.local_ms);
        assert_memory_equal(got.identity, record.identity, 16);
        assert_int_equal(got.source, 4);
        assert_int_equal(got.import, 5);
        assert_memory_equal(got.payload, record.payload, record.n_payload);

        record.unit = RECORD_UNIT_INSULIN; /* a reading in units of insulin is no record */
        assert_int_equal(frame_put_import_record(&buffer, 9, &record), 0);
        payload = only_frame(&buffer, FRAME_IMPORT_RECORD, &n);
        assert_int_equal(frame_get_import_record(&line, &got, payload, n), FRAME_E_FORMAT);
}

static void gate_frames_are_exact(void **state) {
        cleanup(frame_buffer_done) FrameBuffer buffer = {0};
        FrameGateRequest request = {.request = 7, .operation = FRAME_GATE_SLICE, .format = FRAME_GATE_CSV,
                                    .flags = FRAME_GATE_HAS_FROM | FRAME_GATE_HAS_PROOF, .kinds = RECORD_KIND_BIT(RECORD_CGM),
                                    .from_day = -5, .to_day = 19000, .since_utc_ms = -1, .credential = {9},
                                    .proof = "a.b.c", .n_proof = 5}, got;
        FrameGateReply reply = {.request = 7, .grant = 3, .error = FRAME_GATE_INVALID_TOKEN, .content_type = 1, .nonce = "n0nce",
                                .message = "token is unknown", .body = (const uint8_t *) "{}", .n_body = 2}, got_reply;
        const char *listen, *key, *certificate;
        char *texts = NULL, trailer[161];
        const uint8_t *payload, *bytes;
        uint64_t id, sent;
        uint32_t number;
        uint8_t spki[32] = {5}, got_spki[32];
        bool whole;
        static const uint8_t large[FRAME_GATE_CHUNK_MAX + 1] = {0};
        size_t n, n_bytes;

        (void) state;

        assert_int_equal(frame_put_gate_request(&buffer, &request), 0);
        payload = only_frame(&buffer, FRAME_GATE_REQUEST, &n);
        ASSERT_EXACT(payload, n, frame_get_gate_request(&got, payload, n));
        assert_int_equal(frame_get_gate_request(&got, payload, n), 0);
        assert_int_equal(got.from_day, -5);
        assert_int_equal(got.since_utc_ms, -1);
        assert_int_equal(got.kinds, request.kinds);
        assert_int_equal(got.n_proof, 5);
        assert_memory_equal(got.proof, "a.b.c", 5);

        assert_int_equal(frame_put_gate_reply(&buffer, FRAME_GATE_REPLY, &reply), 0);
        payload = only_frame(&buffer, FRAME_GATE_REPLY, &n);
        assert_int_equal(frame_get_gate_reply(&got_reply, payload, n), 0);
        assert_string_equal(got_reply.nonce, reply.nonce);
        assert_string_equal(got_reply.message, reply.message);
        assert_int_equal(got_reply.n_body, 2);
        assert_memory_equal(got_reply.body, "{}", 2);

        memcpy(reply.message, "a\"b", 4); /* would end the header's quoted string */
        assert_int_equal(frame_put_gate_reply(&buffer, FRAME_GATE_REPLY, &reply), 0);
        payload = only_frame(&buffer, FRAME_GATE_REPLY, &n);
        assert_int_equal(frame_get_gate_reply(&got_reply, payload, n), FRAME_E_FORMAT);

        assert_int_equal(frame_put_gate_config(&buffer, "127.0.0.1:8443", "KEY\n", "CERTIFICATE\n"), 0);
        payload = only_frame(&buffer, FRAME_GATE_CONFIG, &n);
        assert_int_equal(frame_get_gate_config(&texts, &listen, &key, &certificate, payload, n), 0);
        assert_string_equal(listen, "127.0.0.1:8443");
        assert_string_equal(key, "KEY\n");
        assert_string_equal(certificate, "CERTIFICATE\n");
        free(texts);
        for (size_t shorter = 0; shorter < n; shorter++)
                assert_int_equal(frame_get_gate_config(&texts, &listen, &key, &certificate, payload, shorter), FRAME_E_FORMAT);

        assert_int_equal(frame_put_gate_key(&buffer, "KEY\n", "CERTIFICATE\n", spki), 0);
        payload = only_frame(&buffer, FRAME_GATE_KEY, &n);
        assert_int_equal(frame_get_gate_key(&texts, &key, &certificate, got_spki, payload, n), 0);
        assert_string_equal(certificate, "CERTIFICATE\n");
        assert_memory_equal(got_spki, spki, 32);
        free(texts);

        assert_int_equal(frame_put_gate_chunk(&buffer, 7, (const uint8_t *) "abc", 3), 0);
        payload = only_frame(&buffer, FRAME_GATE_CHUNK, &n);
        assert_int_equal(frame_get_gate_chunk(&id, &bytes, &n_bytes, payload, n), 0);
        assert_int_equal(n_bytes, 3);
        assert_int_equal(frame_get_gate_chunk(&id, &bytes, &n_bytes, payload, 8), FRAME_E_FORMAT);
        assert_int_equal(frame_put_gate_chunk(&buffer, 7, (const uint8_t *) "", 0), FRAME_E_FORMAT);
        assert_int_equal(frame_put_gate_chunk(&buffer, 7, large, sizeof(large)), FRAME_E_FORMAT);
        assert_int_equal(frame_put_gate_chunk(&buffer, 7, large, sizeof(large) - 1), 0);
        payload = only_frame(&buffer, FRAME_GATE_CHUNK, &n);
        assert_int_equal(frame_get_gate_chunk(&id, &bytes, &n_bytes, payload, n), 0);
        assert_int_equal(n_bytes, FRAME_GATE_CHUNK_MAX);

        assert_int_equal(frame_put_gate_end(&buffer, 7, true, "rows=3"), 0);
        payload = only_frame(&buffer, FRAME_GATE_END, &n);
        ASSERT_EXACT(payload, n, frame_get_gate_end(&id, &whole, trailer, payload, n));
        assert_true(whole);
        assert_string_equal(trailer, "rows=3");

        assert_int_equal(frame_put_gate_closed(&buffer, 7, 65536, false), 0);
        payload = only_frame(&buffer, FRAME_GATE_CLOSED, &n);
        ASSERT_EXACT(payload, n, frame_get_gate_closed(&id, &sent, &whole, payload, n));
        assert_int_equal(sent, 65536);
        assert_false(whole);

        assert_int_equal(frame_put_gate_u64(&buffer, FRAME_GATE_RESET, 3), 0);
        payload = only_frame(&buffer, FRAME_GATE_RESET, &n);
        ASSERT_EXACT(payload, n, frame_get_gate_u64(&id, payload, n));
        assert_int_equal(id, 3);

        assert_int_equal(frame_put_gate_reset_done(&buffer, 3, 2), 0);
        payload = only_frame(&buffer, FRAME_GATE_RESET_DONE, &n);
        ASSERT_EXACT(payload, n, frame_get_gate_reset_done(&id, &number, payload, n));
        assert_int_equal(number, 2);
}

static void a_zone_is_a_name_and_no_path(void **state) {
        static const struct {
                const char *zone;
                int expected;
        } cases[] = {
                {"UTC", 0},
                {"America/Argentina/Buenos_Aires", 0},
                {"Etc/GMT+1", 0},
                {"", FRAME_E_FORMAT},
                {"/etc/passwd", FRAME_E_FORMAT},
                {"../../etc/passwd", FRAME_E_FORMAT},
                {":UTC", FRAME_E_FORMAT},
        };

        (void) state;

        for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
                cleanup(frame_buffer_done) FrameBuffer buffer = {0};
                FrameImportRequest request = {.version = 1, .now_utc_ms = 1700000000000}, got;
                const uint8_t *payload;
                size_t n;

                (void) snprintf(request.zones, sizeof(request.zones), "%s", cases[i].zone);
                assert_int_equal(frame_put_import_request(&buffer, &request), 0);
                payload = only_frame(&buffer, FRAME_IMPORT_REQUEST, &n);
                assert_int_equal(frame_get_import_request(&got, payload, n), cases[i].expected);
        }
}

int main(void) {
        const struct CMUnitTest tests[] = {
                cmocka_unit_test(frames_come_out_as_they_went_in_however_they_are_cut),
                cmocka_unit_test(the_largest_frame_passes_and_a_larger_one_does_not),
                cmocka_unit_test(kdf_frames_are_exact),
                cmocka_unit_test(import_frames_are_exact),
                cmocka_unit_test(usb_frames_are_exact),
                cmocka_unit_test(records_are_exact_and_valid),
                cmocka_unit_test(gate_frames_are_exact),
                cmocka_unit_test(a_zone_is_a_name_and_no_path),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
