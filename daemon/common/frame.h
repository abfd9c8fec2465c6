/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/*
 * Frames between the core and its workers: a fixed little-endian header, then a payload whose layout is fixed by the
 * type. Specified in daemon/FORMAT.md, "frames". A frame that is not exactly as specified ends the worker's job.
 *
 * Every worker is started with an empty environment and: 0 = frames from the core, 1 = frames to the core,
 * 2 = the daemon's stderr, 3 = the foreign descriptor that its job is about (memfd, CSV file, USB device), 4 = a second
 * one, if any.
 */

#include "policy/record.h"
#include "util.h"

enum {
        FRAME_HEADER_SIZE = 8,      /* u32 type, u32 n_payload */
        FRAME_GATE_CHUNK_MAX = 128 * 1024, /* bytes of a slice in one frame: each costs both processes a wake-up, 64 KiB 10 % of a slice */
        FRAME_PAYLOAD_MAX = FRAME_GATE_CHUNK_MAX + 2048,
        FRAME_RECORD_SIZE = 56,     /* bytes of a record before its payload */
        FRAME_VERSION = 1,

        FRAME_E_AGAIN = 1,          /* not enough bytes yet */
        FRAME_E_FORMAT,             /* not a frame that we know */
};

typedef enum FrameType {
        /* kdf: one request, one answer */
        FRAME_KDF_REQUEST = 0x0101, /* FrameKdfRequest; fd 3 is the sealed memfd */
        FRAME_KDF_KEY = 0x0102,     /* FrameKdfKey */
        FRAME_KDF_FAILED = 0x0103,  /* u32 FrameKdfError */

        /* import: one request; sources, records and the rest; END or REFUSED last */
        FRAME_IMPORT_REQUEST = 0x0201,  /* FrameImportRequest */
        FRAME_IMPORT_SOURCE = 0x0202,   /* FrameImportSource; before the first record that names it */
        FRAME_IMPORT_RECORD = 0x0203,   /* u32 line, record */
        FRAME_IMPORT_REJECTED = 0x0204, /* u32 line (0: the reason says where), text reason, text row (cut to 1,024 bytes) */
        FRAME_IMPORT_NOTE = 0x0205,     /* text: what the patient should know of this file */
        FRAME_IMPORT_PROGRESS = 0x0206, /* u64 bytes done, u64 bytes in all; at most every 256 KiB of input */
        FRAME_IMPORT_END = 0x0207,      /* FrameImportEnd */
        FRAME_IMPORT_REFUSED = 0x0208,  /* text: what is wrong with the file and what to do; nothing is stored */

        /* import, when the file is a complete export of a wallet: RESTORE first; sources; each import, its rejected rows (REJECTED) and the
         * nodes of its report; stretches; records, whose line is 0 */
        FRAME_RESTORE = 0x0211,        /* FrameRestore */
        FRAME_RESTORE_IMPORT = 0x0212, /* FrameRestoreImport */
        FRAME_RESTORE_NODE = 0x0213,   /* FrameRestoreNode */
        FRAME_RESTORE_AGAIN = 0x0214,  /* FrameRestoreAgain */

        /* gate, from the core */
        FRAME_GATE_MAKE_KEY = 0x0301, /* nothing: answer with FRAME_GATE_KEY, then exit */
        FRAME_GATE_CONFIG = 0x0302,   /* text listen address, text key PEM, text certificate PEM */
        FRAME_GATE_REPLY = 0x0303,    /* FrameGateReply: a whole answer */
        FRAME_GATE_STREAM = 0x0304,   /* FrameGateReply: head of a streamed answer, its body is empty */
        FRAME_GATE_CHUNK = 0x0305,    /* u64 request, bytes (1..FRAME_GATE_CHUNK_MAX) */
        FRAME_GATE_END = 0x0306,      /* u64 request, u8 whole (1) or cut (0), text trailer value ("" for none) */
        FRAME_GATE_RESET = 0x0307,    /* u64 grant: reset all its connections; 0: all connections */

        /* gate, to the core */
        FRAME_GATE_KEY = 0x0311,     /* text key PEM, text certificate PEM, 32 bytes SHA-256 of the SPKI */
        FRAME_GATE_READY = 0x0312,   /* text address that was bound, such as 127.0.0.1:8443 */
        FRAME_GATE_FAILED = 0x0313,  /* text: why the gate can't listen */
        FRAME_GATE_REQUEST = 0x0314, /* FrameGateRequest */
        FRAME_GATE_MORE = 0x0315,    /* u64 request: there is room for the next chunk, the one behind what is being sent */
        FRAME_GATE_CLOSED = 0x0316,  /* u64 request, u64 body bytes handed to the network, u8 whole: last frame of a request */
        FRAME_GATE_RESET_DONE = 0x0317, /* u64 grant, u32 connections reset */
        FRAME_GATE_STRANGERS = 0x0318, /* u32 requests refused by the gate itself since the last such frame; at most one a minute */

        /* usb: one request; then as import, with FRAME_USB_PUMP before END */
        FRAME_USB_REQUEST = 0x0401, /* FrameUsbRequest; fd 3 is the device's node, 4 a file for the trace when one is wanted */
        FRAME_USB_STOP = 0x0402,    /* nothing: the radio off, give out what was read, end */
        FRAME_USB_PUMP = 0x0411,    /* FrameUsbPump */
} FrameType;

typedef enum FrameKdfMode {
        FRAME_KDF_PASSPHRASE = 1, /* Argon2id with the limits given */
        FRAME_KDF_CALIBRATE = 2,  /* Argon2id; memory given, opslimit found so that it takes about 1 s, at least the one given */
        FRAME_KDF_RECOVERY = 3,   /* recovery code: base32 and check characters verified, then BLAKE2b; no Argon2 */
        FRAME_KDF_CREDENTIAL = 4, /* 32 random bytes: BLAKE2b; no Argon2 */
        FRAME_KDF_CODE = 5,       /* a code to step up: code_hash() */
} FrameKdfMode;

typedef enum FrameKdfError {
        FRAME_KDF_E_MEMFD = 1,  /* not a sealed memfd of 1..4096 bytes */
        FRAME_KDF_E_CODE = 2,   /* not a recovery code: the check characters of a group do not fit; not a credential: not 32 bytes; not a code to step up */
        FRAME_KDF_E_MEMORY = 3, /* not enough memory for Argon2 */
} FrameKdfError;

typedef struct FrameKdfRequest { /* 36 bytes: in this order, no padding */
        uint32_t version;  /* FRAME_VERSION */
        uint32_t mode;     /* FrameKdfMode */
        uint8_t salt[16];  /* crypto_pwhash_SALTBYTES */
        uint32_t opslimit;
        uint64_t memlimit; /* bytes */
} FrameKdfRequest;

enum {
        FRAME_KDF_REQUEST_SIZE = 36,
        FRAME_KDF_KEY_SIZE = 44, /* u32 opslimit, u64 memlimit, 32 bytes key */
};

typedef struct FrameImportRequest {
        uint32_t version;     /* FRAME_VERSION */
        int64_t now_utc_ms;   /* rows from more than a day after it are rejected */
        uint8_t glucose_unit; /* 0: as the column says; else RecordUnit: the patient's explicit override */
        bool has_no_checksums; /* the patient says so of a pump's pages: nothing can tell then whether they are undamaged */
        char zones[1024];     /* IANA name, and periods of others: zones.h; text in the frame, as are the next two */
        char model[8];        /* of a pump, three digits, and its serial number, six: whose memory the file holds; "" where it is */
        char serial[8];       /* no such file, or the patient did not say */
} FrameImportRequest;

typedef struct FrameImportSource {
        uint32_t source;        /* number in this job, 1.. */
        uint8_t device_key[8];  /* first 8 bytes of identity: SHA-256(model LF serial)[0..7], see FORMAT.md "identity" */
        char model[96];         /* texts in the frame */
        char serial[64];
        char section[32];       /* "pump", "sensor", "meter" ... */
} FrameImportSource;

typedef struct FrameImportEnd {
        uint32_t n_rows;     /* data rows in the file, blank lines and headers left out */
        uint32_t n_rejected;
        uint32_t n_records[N_RECORD_KINDS]; /* rows that became a record of the kind; index 0 is unused */
        uint32_t n_merged[N_RECORD_KINDS];  /* rows whose content went into a record of the kind that another row became */
        uint32_t n_extra[N_RECORD_KINDS];   /* further records of a row that became more than one */
        char format[48];     /* text: "CareLink CSV v1.0.1", "CareLink CSV (2018 and later)" */
} FrameImportEnd;
/* n_rows = sum(n_records) + sum(n_merged) + n_rejected; RECORD frames = sum(n_records) + sum(n_extra). */

typedef struct FrameRestore {
        uint8_t wallet_id[16];
        char zones[1024]; /* as of FrameImportRequest */
} FrameRestore;

typedef struct FrameRestoreImport {
        uint32_t import;
        int64_t time_utc_ms;
        char file_name[256];
} FrameRestoreImport;

typedef struct FrameRestoreAgain { /* daemon/FORMAT.md, "records.db" */
        uint32_t import;
        uint8_t kind;
        int64_t from_local_ms, to_local_ms;
        uint8_t from_identity[RECORD_IDENTITY_SIZE], to_identity[RECORD_IDENTITY_SIZE];
} FrameRestoreAgain;

typedef enum FrameNodeType {
        FRAME_NODE_END = 0, /* of the object or array that was begun last */
        FRAME_NODE_OBJECT = 1,
        FRAME_NODE_ARRAY = 2,
        FRAME_NODE_TEXT = 3,
        FRAME_NODE_INTEGER = 4,
        FRAME_NODE_REAL = 5, /* finite */
        FRAME_NODE_TRUE = 6,
        FRAME_NODE_FALSE = 7,
        FRAME_NODE_NULL = 8,
        N_FRAME_NODES = 9,
} FrameNodeType;

/* A piece of a report: JSON that the core need not parse. u8 type, text name; then by type text, u64 integer or the bits of the real. */
typedef struct FrameRestoreNode {
        uint8_t type;    /* FrameNodeType */
        char name[64];   /* text: of a member; "" in an array, and of the report itself */
        char text[1025];
        int64_t integer;
        double real;
} FrameRestoreNode;

enum {
        FRAME_USB_KNOWN_MAX = 96, /* pages and the like; a pump has 36 */
        FRAME_USB_HASH_SIZE = 16,
};

typedef struct FrameUsbRequest {
        uint32_t version;    /* FRAME_VERSION */
        int64_t now_utc_ms;
        uint8_t has_trace;   /* bool: fd 4 is there */
        char serial[16];     /* text: of the pump, as on its back */
        char zones[1024];    /* as of FrameImportRequest */
        uint16_t n_known;
        uint8_t known[FRAME_USB_KNOWN_MAX][FRAME_USB_HASH_SIZE]; /* what was read whole before: hashes of FrameUsbPump; n_known of them in the frame */
} FrameUsbRequest;

typedef struct FrameUsbPump {
        char model[96];          /* texts in the frame */
        char serial[16];
        int64_t clock_offset_ms; /* the pump's wall clock less what it should be */
        uint8_t is_complete;     /* bool: read to the end, or to what was known */
        uint32_t n_pages;        /* asked for */
        uint32_t n_missing;      /* and did not come whole */
        uint32_t battery_mv;     /* 0: not known */
        int32_t reservoir_milli; /* thousandths of U; -1: not known */
        uint16_t n_known;
        uint8_t known[FRAME_USB_KNOWN_MAX][FRAME_USB_HASH_SIZE]; /* to be given with the next request, newest first */
} FrameUsbPump;

typedef enum FrameGateOperation {
        FRAME_GATE_TOKEN = 1,
        FRAME_GATE_SLICE = 2,
        FRAME_GATE_SUMMARY = 3,
} FrameGateOperation;

typedef enum FrameGateFormat {
        FRAME_GATE_NDJSON = 1,
        FRAME_GATE_CSV = 2,
} FrameGateFormat;

enum {
        FRAME_GATE_PROOF_MAX = 4096, /* bytes of a DPoP proof */
        FRAME_GATE_HAS_FROM = 1 << 0,
        FRAME_GATE_HAS_TO = 1 << 1,
        FRAME_GATE_HAS_SINCE = 1 << 2,
        FRAME_GATE_HAS_CREDENTIAL = 1 << 3, /* an assertion (TOKEN) or an access token (others) was given in the right form */
        FRAME_GATE_HAS_PROOF = 1 << 4,
};

typedef struct FrameGateRequest {
        uint64_t request;       /* chosen by the gate, never 0, never reused while it runs */
        uint8_t operation;      /* FrameGateOperation */
        uint8_t format;         /* FrameGateFormat, 0 where it does not matter */
        uint8_t flags;          /* FRAME_GATE_HAS_... */
        uint32_t kinds;         /* 0: not asked */
        int32_t from_day;       /* days since 1970-01-01 */
        int32_t to_day;
        int64_t since_utc_ms;
        uint8_t credential[32]; /* TOKEN: SHA-256 of the assertion; others: the access token's 32 bytes */
        const char *proof;      /* borrowed; compact JWS */
        size_t n_proof;         /* 0..FRAME_GATE_PROOF_MAX */
} FrameGateRequest;

typedef enum FrameGateError { /* the gate turns it into status, WWW-Authenticate and body; RFC 6749 5.2, 6750 3.1, 9449 */
        FRAME_GATE_OK = 0,
        FRAME_GATE_INVALID_REQUEST = 1,    /* 400 */
        FRAME_GATE_INVALID_GRANT = 2,      /* 400; at resources 401 invalid_token */
        FRAME_GATE_INVALID_DPOP_PROOF = 3, /* 400; at resources 401 */
        FRAME_GATE_USE_DPOP_NONCE = 4,     /* 400; at resources 401 */
        FRAME_GATE_INVALID_TOKEN = 5,      /* 401 */
        FRAME_GATE_INSUFFICIENT_SCOPE = 6, /* 403 */
        FRAME_GATE_NOT_ENOUGH_DATA = 7,    /* 404: summary of fewer than 3 days or 200 readings */
        FRAME_GATE_UNAVAILABLE = 8,        /* 503: clock behind, locked, too many streams */
        FRAME_GATE_SERVER_ERROR = 9,       /* 500 */
        N_FRAME_GATE_ERRORS = 10,
} FrameGateError;

typedef struct FrameGateReply {
        uint64_t request;
        uint64_t grant;       /* wallet's id: connections that have carried it are reset with it; 0: none */
        uint8_t error;        /* FrameGateError */
        uint8_t content_type; /* 1 JSON, 2 NDJSON, 3 CSV */
        char nonce[44];       /* text: fresh DPoP-Nonce for every answer, "" for none */
        char message[160];    /* text: error_description, ASCII without quote and backslash */
        const uint8_t *body;  /* borrowed; REPLY only */
        size_t n_body;
} FrameGateReply;

/* Put the bytes of a whole frame behind what @buffer holds; it grows. */
typedef struct FrameBuffer {
        uint8_t *bytes;
        size_t n;         /* filled */
        size_t n_allocated;
        size_t at;        /* consumed by frame_next() */
} FrameBuffer;

/** frame_buffer_done() - wipe and free what the buffer holds; it may be used again */
void frame_buffer_done(FrameBuffer *buffer);

/**
 * frame_next() - the next whole frame in a buffer that was filled by frame_read()
 * @ret_payload: borrowed until the next frame_read()
 *
 * Return: 0; FRAME_E_AGAIN; FRAME_E_FORMAT when the header's length is over FRAME_PAYLOAD_MAX.
 */
must_check int frame_next(FrameBuffer *buffer, uint32_t *ret_type, const uint8_t **ret_payload, size_t *ret_n_payload);

/** frame_read() - one read(2) into the buffer. Return: bytes read, 0 at the end, negative errno (-EAGAIN included). */
must_check ssize_t frame_read(FrameBuffer *buffer, int fd);

/** frame_flush() - one write(2) of what is unsent. Return: 1 all sent, 0 some left, negative errno (-EAGAIN included). */
must_check int frame_flush(FrameBuffer *buffer, int fd);

/** frame_write_all() - blocking: write the whole buffer, for workers; negative errno */
must_check int frame_write_all(FrameBuffer *buffer, int fd);

/* Building: each returns 0 or -ENOMEM, and FRAME_E_FORMAT when the content is over a limit. */
must_check int frame_put(FrameBuffer *buffer, uint32_t type, const void *payload, size_t n_payload);
must_check int frame_put_kdf_request(FrameBuffer *buffer, const FrameKdfRequest *request);
must_check int frame_put_kdf_key(FrameBuffer *buffer, uint32_t opslimit, uint64_t memlimit, const uint8_t key[static 32]);
must_check int frame_put_u32(FrameBuffer *buffer, uint32_t type, uint32_t value);
must_check int frame_put_text(FrameBuffer *buffer, uint32_t type, const char *text); /* cut at 1,024 bytes */
must_check int frame_put_import_request(FrameBuffer *buffer, const FrameImportRequest *request);
must_check int frame_put_import_source(FrameBuffer *buffer, const FrameImportSource *source);
must_check int frame_put_import_record(FrameBuffer *buffer, uint32_t line, const Record *record);
must_check int frame_put_import_rejected(FrameBuffer *buffer, uint32_t line, const char *reason, const char *row, size_t n_row);
must_check int frame_put_import_progress(FrameBuffer *buffer, uint64_t n_done, uint64_t n_all);
must_check int frame_put_import_end(FrameBuffer *buffer, const FrameImportEnd *end);
must_check int frame_put_restore(FrameBuffer *buffer, const FrameRestore *restore);
must_check int frame_put_restore_import(FrameBuffer *buffer, const FrameRestoreImport *import);
must_check int frame_put_restore_node(FrameBuffer *buffer, const FrameRestoreNode *node);
must_check int frame_put_restore_again(FrameBuffer *buffer, const FrameRestoreAgain *again);
must_check int frame_put_usb_request(FrameBuffer *buffer, const FrameUsbRequest *request);
must_check int frame_put_usb_pump(FrameBuffer *buffer, const FrameUsbPump *pump);
must_check int frame_put_gate_config(FrameBuffer *buffer, const char *listen, const char *key_pem, const char *certificate_pem);
must_check int frame_put_gate_key(FrameBuffer *buffer, const char *key_pem, const char *certificate_pem, const uint8_t spki_sha256[static 32]);
must_check int frame_put_gate_request(FrameBuffer *buffer, const FrameGateRequest *request);
must_check int frame_put_gate_reply(FrameBuffer *buffer, uint32_t type, const FrameGateReply *reply);
must_check int frame_put_gate_chunk(FrameBuffer *buffer, uint64_t request, const uint8_t *bytes, size_t n_bytes);
must_check int frame_put_gate_end(FrameBuffer *buffer, uint64_t request, bool whole, const char *trailer);
must_check int frame_put_gate_closed(FrameBuffer *buffer, uint64_t request, uint64_t n_sent, bool whole);
must_check int frame_put_gate_u64(FrameBuffer *buffer, uint32_t type, uint64_t value); /* RESET, MORE */
must_check int frame_put_gate_reset_done(FrameBuffer *buffer, uint64_t grant, uint32_t n_connections);

/* Parsing: each returns 0 or FRAME_E_FORMAT; strict: whole payload used, texts terminated in the struct, ranges checked. */
must_check int frame_get_kdf_request(FrameKdfRequest *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_kdf_key(uint32_t *ret_opslimit, uint64_t *ret_memlimit, uint8_t ret_key[static 32], const uint8_t *payload, size_t n_payload);
must_check int frame_get_u32(uint32_t *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_text(char ret[static 1025], const uint8_t *payload, size_t n_payload);
must_check int frame_get_import_request(FrameImportRequest *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_import_source(FrameImportSource *ret, const uint8_t *payload, size_t n_payload);
/* record_valid() has been asked; ret->payload is borrowed from @payload */
must_check int frame_get_import_record(uint32_t *ret_line, Record *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_import_rejected(uint32_t *ret_line, char ret_reason[static 1025], char ret_row[static 1025], const uint8_t *payload, size_t n_payload);
must_check int frame_get_import_progress(uint64_t *ret_done, uint64_t *ret_all, const uint8_t *payload, size_t n_payload);
must_check int frame_get_import_end(FrameImportEnd *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_restore(FrameRestore *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_restore_import(FrameRestoreImport *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_restore_node(FrameRestoreNode *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_restore_again(FrameRestoreAgain *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_usb_request(FrameUsbRequest *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_usb_pump(FrameUsbPump *ret, const uint8_t *payload, size_t n_payload);
/* the three texts are terminated copies in one allocation that *ret_texts owns */
must_check int frame_get_gate_config(char **ret_texts, const char **ret_listen, const char **ret_key_pem, const char **ret_certificate_pem, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_key(char **ret_texts, const char **ret_key_pem, const char **ret_certificate_pem, uint8_t ret_spki_sha256[static 32], const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_request(FrameGateRequest *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_reply(FrameGateReply *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_chunk(uint64_t *ret_request, const uint8_t **ret_bytes, size_t *ret_n_bytes, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_end(uint64_t *ret_request, bool *ret_whole, char ret_trailer[static 161], const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_closed(uint64_t *ret_request, uint64_t *ret_n_sent, bool *ret_whole, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_u64(uint64_t *ret, const uint8_t *payload, size_t n_payload);
must_check int frame_get_gate_reset_done(uint64_t *ret_grant, uint32_t *ret_n_connections, const uint8_t *payload, size_t n_payload);

/* A record's fixed part and payload as stored and sent; @ret has FRAME_RECORD_SIZE + n_payload bytes. */
void frame_record_encode(uint8_t *ret, const Record *record);
must_check int frame_record_decode(Record *ret, const uint8_t *bytes, size_t n_bytes);
