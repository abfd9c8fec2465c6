/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * A slice under way: chunk by chunk, each by a fresh policy_decide() on the grant in memory and a fresh query. No statement and no
 * permission lives between two chunks.
 *
 * NDJSON begins with {"slice":{...}} (what it is, of whom, which days and kinds) and ends with {"end":{"rows":n,"sha256":hex,
 * "devices":[...],"gaps":{...}}}, the hash being over all bytes before that line. Devices and gaps stand at the end because only the
 * records that left say which they are. CSV is rows and a header; its end statement is a trailer.
 */

/* Not libsodium's SHA-256 (150 MB/s, as slow as all the rest of a slice together): libcrypto, which SQLCipher brings along anyway, uses the
 * processor's instructions (1,700 MB/s). Not its EVP interface: that allocates, and looks for providers in files after lockdown. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/sha.h>
#include <sodium.h>

#include "daemon/common/frame.h"
#include "grants.h"
#include "records.h"
#include "serialise.h"

enum {
        SLICE_DEVICES_MAX = 32,    /* named in the end statement; a wallet has few */
        SLICE_ROWS_READ = 4096,    /* rows of the database in one step: about 4 ms */
        SLICE_GAP_MIN = 30,        /* minutes without a sensor reading that make a gap: six readings of a five-minute sensor */
        SLICE_DIGEST_SIZE = 65,
};

typedef struct SliceDevice {
        uint32_t source;
        bool left; /* at least one of its records did */
        char pseudonym[POLICY_SERIAL_MAX]; /* "" without a serial */
} SliceDevice;

typedef struct Slice {
        uint8_t format; /* FrameGateFormat */
        PolicyRequest asked;
        RecordsCursor cursor;
        bool head_done;
        uint64_t n_rows;
        uint64_t n_bytes; /* made, the end line included */
        SHA256_CTX hash;
        SliceDevice devices[SLICE_DEVICES_MAX];
        size_t n_devices;
        bool more_devices; /* than have room above */
        bool any_cgm;
        int64_t last_cgm_ms, last_cgm_local_ms;
        uint32_t n_gaps;
        int64_t longest_gap_ms, all_gaps_ms;
} Slice;

typedef enum SliceState {
        SLICE_CHUNK,  /* the text is a chunk, and there is more */
        SLICE_SEEKING, /* nothing to send yet: call again without waiting for the recipient */
        SLICE_WHOLE,  /* the text is the last chunk */
        SLICE_DENIED, /* no longer permitted: nothing more */
} SliceState;

void slice_init(Slice *slice, unsigned format, const PolicyRequest *asked);
/**
 * slice_next() - at most FRAME_GATE_CHUNK_MAX bytes into an empty text
 * @ret_verdict: why not, when *ret_state is SLICE_DENIED
 *
 * Return: 0; negative errno; RECORDS_E_KEY on a damaged page.
 */
must_check int slice_next(Slice *slice, Records *records, const Grant *grant, PolicyNow now, Text *text, SliceState *ret_state,
                          PolicyVerdict *ret_verdict);
/** slice_digest() - hex of the SHA-256 over what was made so far, the end line left out */
void slice_digest(const Slice *slice, char ret[static SLICE_DIGEST_SIZE]);
/** slice_add_bytes() - count bytes that were made elsewhere (a summary) */
void slice_add_bytes(Slice *slice, const char *bytes, size_t n);
/** slice_sum() - some more sensor readings into a summary, as policy_redact() lets them out; cursor->ended says whether that was all */
must_check int slice_sum(Records *records, const PolicyEffective *effective, RecordsCursor *cursor, PolicySummary *summary);
