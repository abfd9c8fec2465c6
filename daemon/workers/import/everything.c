/* SPDX-License-Identifier: Apache-2.0 */

#include "everything.h"

#include <jansson.h>
#include <sodium.h>
#include <sys/stat.h>

#include "everything-record.h"

enum {
        CHUNK = 128 * 1024,
        FLUSH_BYTES = 64 * 1024,
        PROGRESS_BYTES = 4 * 1024 * 1024,
        TAIL = 256,         /* bytes: the last line is shorter */
        DEPTH_MAX = 8,      /* of a report */
        VERSION = 1,
        IMPORTS_MAX = 65536,
};

#define MARK "{\"carewallet-export\":"

typedef struct Everything {
        int fd;
        uint64_t n_file, n_read, n_reported;
        crypto_hash_sha256_state hash;
        uint32_t line;
        FrameBuffer *out;
        int (*flush)(FrameBuffer *out, void *userdata);
        void *userdata;
        FrameImportEnd end;
        uint32_t n_sources;
        uint32_t imports[IMPORTS_MAX]; /* ascending */
        size_t n_imports;
        bool has_ended;
        bool has_rows;
        Record last; /* its place and its import */
        char *refusal;
        size_t start, n_buffer;
        char buffer[EVERYTHING_LINE_MAX + CHUNK];
} Everything;

static Everything *everything_free(Everything *e) {
        if (e) {
                explicit_bzero(e, sizeof(*e));
                free(e);
        }
        return NULL;
}

DEFINE_CLEANUP(Everything *, everything_free)

bool everything_is(int fd) {
        char bytes[sizeof(MARK) - 1];
        struct stat status;

        return fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && pread(fd, bytes, sizeof(bytes), 0) == (ssize_t) sizeof(bytes) &&
               memcmp(bytes, MARK, sizeof(bytes)) == 0;
}

/* --- what is wrong --- */

static int refuse(Everything *e, const char *text) {
        (void) snprintf(e->refusal, IMPORT_REFUSAL_MAX, "%s", text);
        return IMPORT_E_REFUSED;
}

static int refuse_line(Everything *e, const char *what) {
        (void) snprintf(e->refusal, IMPORT_REFUSAL_MAX, "Line %u %s: the file was altered or damaged since carewallet wrote it. Take the copy that you did not touch, "
                        "or export everything again.", e->line, what);
        return IMPORT_E_REFUSED;
}

static int altered(Everything *e) {
        return refuse_line(e, "is not as carewallet writes it");
}

/* A frame was put: over its limit is what a line can be, not we. */
static int sent(Everything *e, int r) {
        if (r == FRAME_E_FORMAT)
                return altered(e);
        if (r)
                return fold(r);
        return e->out->n >= FLUSH_BYTES ? e->flush(e->out, e->userdata) : 0;
}

/* --- lines of the file --- */

static int refill(Everything *e) {
        ssize_t n;

        memmove(e->buffer, e->buffer + e->start, e->n_buffer - e->start);
        e->n_buffer -= e->start;
        e->start = 0;
        do
                n = pread(e->fd, e->buffer + e->n_buffer, sizeof(e->buffer) - e->n_buffer, (off_t) e->n_read);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;
        e->n_buffer += (size_t) n;
        e->n_read += (size_t) n;
        return 0;
}

/* The next line with its end; NULL at the end of the file, or where a line is longer than any. */
static int next_line(Everything *e, const char **ret, size_t *ret_n) {
        const char *end = memchr(e->buffer + e->start, '\n', e->n_buffer - e->start);
        int r;

        *ret = NULL;
        if (!end && e->n_buffer - e->start <= EVERYTHING_LINE_MAX) {
                do { /* what a file gives at once may be less than there is room for */
                        uint64_t n_before = e->n_read;

                        r = refill(e);
                        if (r)
                                return r;
                        end = memchr(e->buffer, '\n', e->n_buffer);
                        if (e->n_read == n_before)
                                break;
                } while (!end && e->n_buffer <= EVERYTHING_LINE_MAX);
        }
        if (!end)
                return 0;
        *ret = e->buffer + e->start;
        *ret_n = (size_t) (end + 1 - *ret);
        e->start += *ret_n;
        e->line++;
        return 0;
}

static int report_progress(Everything *e) {
        uint64_t n_done = e->n_read - (e->n_buffer - e->start);

        if (n_done < e->n_reported + PROGRESS_BYTES)
                return 0;
        e->n_reported = n_done;
        return sent(e, frame_put_import_progress(e->out, n_done, e->n_file > n_done ? e->n_file : n_done));
}

/* --- pieces of a line --- */

static bool get_text(const json_t *object, const char *name, char *ret, size_t n_ret) {
        const json_t *value = json_object_get(object, name);
        size_t n = json_string_length(value);

        if (!json_is_string(value) || n >= n_ret || memchr(json_string_value(value), 0, n))
                return false;
        memcpy(ret, json_string_value(value), n + 1);
        return true;
}

static bool get_int(const json_t *object, const char *name, int64_t min, int64_t max, int64_t *ret) {
        const json_t *value = json_object_get(object, name);

        *ret = json_integer_value(value);
        return json_is_integer(value) && *ret >= min && *ret <= max;
}

static bool get_hex(const json_t *object, const char *name, uint8_t *ret, size_t n_ret) {
        const json_t *value = json_object_get(object, name);
        size_t n = 0;

        return json_is_string(value) && json_string_length(value) == 2 * n_ret &&
               sodium_hex2bin(ret, n_ret, json_string_value(value), 2 * n_ret, NULL, &n, NULL) == 0 && n == n_ret;
}

static bool get_time(const json_t *object, const char *name, bool is_utc, int64_t *ret_ms) {
        const json_t *value = json_object_get(object, name);

        return json_is_string(value) && everything_time(json_string_value(value), json_string_length(value), is_utc, ret_ms) && *ret_ms >= RECORD_TIME_MIN_MS &&
               *ret_ms <= RECORD_TIME_MAX_MS;
}

static bool is_import(const Everything *e, uint32_t import) {
        size_t low = 0, high = e->n_imports;

        while (low < high) {
                size_t middle = low + (high - low) / 2;

                if (e->imports[middle] < import)
                        low = middle + 1;
                else
                        high = middle;
        }
        return low < e->n_imports && e->imports[low] == import;
}

/* --- what a line says --- */

static int take_head(Everything *e, const json_t *head) {
        FrameRestore restore = { 0 };
        int64_t version;

        if (e->line != 1 || !get_int(head, "version", 1, INT32_MAX, &version))
                return altered(e);
        if (version > VERSION) {
                (void) snprintf(e->refusal, IMPORT_REFUSAL_MAX, "This complete export is of version %lld, from a later carewallet; this one reads version %d. "
                                "Install the later carewallet, then import it.", (long long) version, VERSION);
                return IMPORT_E_REFUSED;
        }
        if (!get_text(head, "timezone", restore.zones, sizeof(restore.zones)) || !get_hex(head, "wallet", restore.wallet_id, sizeof(restore.wallet_id)))
                return altered(e);
        return sent(e, frame_put_restore(e->out, &restore));
}

static int take_source(Everything *e, const json_t *line) {
        FrameImportSource source = { 0 };
        int64_t id;

        if (!get_int(line, "id", e->n_sources + INT64_C(1), e->n_sources + INT64_C(1), &id) || !get_hex(line, "key", source.device_key, sizeof(source.device_key)) ||
            !get_text(line, "model", source.model, sizeof(source.model)) || !get_text(line, "serial", source.serial, sizeof(source.serial)) ||
            !get_text(line, "section", source.section, sizeof(source.section)))
                return altered(e);
        source.source = ++e->n_sources;
        return sent(e, frame_put_import_source(e->out, &source));
}

/* Of a report: a value and what is in it, by a stack of their own. */
static int put_report(Everything *e, json_t *report) {
        struct {
                json_t *value;
                void *member; /* of an object: the one that is next */
                size_t index; /* of an array */
        } stack[DEPTH_MAX] = { { report, json_object_iter(report), 0 } };
        FrameRestoreNode node = { .type = FRAME_NODE_OBJECT };
        size_t depth = 1;
        int r;

        r = sent(e, frame_put_restore_node(e->out, &node));
        while (r == 0 && depth > 0) {
                json_t *in = stack[depth - 1].value, *value;

                node = (FrameRestoreNode) { .type = FRAME_NODE_END };
                if (json_is_object(in)) {
                        void *member = stack[depth - 1].member;

                        value = json_object_iter_value(member);
                        if (member && strlen(json_object_iter_key(member)) >= sizeof(node.name))
                                return altered(e);
                        if (member)
                                (void) snprintf(node.name, sizeof(node.name), "%s", json_object_iter_key(member));
                        stack[depth - 1].member = json_object_iter_next(in, member);
                } else {
                        value = json_array_get(in, stack[depth - 1].index++);
                }
                if (!value) {
                        depth--;
                } else if (json_is_object(value) || json_is_array(value)) {
                        node.type = json_is_object(value) ? FRAME_NODE_OBJECT : FRAME_NODE_ARRAY;
                        if (depth == DEPTH_MAX)
                                return altered(e);
                        stack[depth].value = value;
                        stack[depth].member = json_object_iter(value);
                        stack[depth++].index = 0;
                } else if (json_is_string(value)) {
                        node.type = FRAME_NODE_TEXT;
                        if (json_string_length(value) >= sizeof(node.text))
                                return altered(e);
                        memcpy(node.text, json_string_value(value), json_string_length(value));
                } else if (json_is_integer(value)) {
                        node.type = FRAME_NODE_INTEGER;
                        node.integer = json_integer_value(value);
                } else if (json_is_real(value)) {
                        node.type = FRAME_NODE_REAL;
                        node.real = json_real_value(value);
                } else {
                        node.type = json_is_null(value) ? FRAME_NODE_NULL : json_is_true(value) ? FRAME_NODE_TRUE : FRAME_NODE_FALSE;
                }
                r = sent(e, frame_put_restore_node(e->out, &node));
        }
        return r;
}

static int take_import(Everything *e, const json_t *line) {
        json_t *report = json_object_get(line, "report");
        FrameRestoreImport import = { 0 };
        int64_t id;
        int r;

        if (!get_int(line, "id", e->n_imports > 0 ? e->imports[e->n_imports - 1] + INT64_C(1) : 1, UINT32_MAX - 1, &id) || e->n_imports == IMPORTS_MAX ||
            !get_time(line, "time", true, &import.time_utc_ms) || !get_text(line, "file", import.file_name, sizeof(import.file_name)) || !json_is_object(report) ||
            e->has_rows)
                return altered(e);
        import.import = e->imports[e->n_imports++] = (uint32_t) id;
        r = sent(e, frame_put_restore_import(e->out, &import));
        return r ? r : put_report(e, report);
}

static int take_rejected(Everything *e, const json_t *line) {
        const char *text = json_string_value(json_object_get(line, "row"));
        char reason[1025];
        int64_t import, number;

        if (e->n_imports == 0 || !get_int(line, "import", e->imports[e->n_imports - 1], e->imports[e->n_imports - 1], &import) ||
            !get_int(line, "line", 0, UINT32_MAX, &number) || !get_text(line, "reason", reason, sizeof(reason)) || !text)
                return altered(e);
        return sent(e, frame_put_import_rejected(e->out, (uint32_t) number, reason, text, strlen(text)));
}

static int take_again(Everything *e, const json_t *line) {
        const json_t *kind = json_object_get(line, "kind");
        FrameRestoreAgain again = { 0 };
        int64_t import;

        again.kind = (uint8_t) (json_is_string(kind) ? record_kind_from_name(json_string_value(kind), json_string_length(kind)) : 0);
        if (again.kind == 0 || !get_int(line, "import", 1, UINT32_MAX - 1, &import) || !is_import(e, (uint32_t) import) ||
            !get_time(line, "from", false, &again.from_local_ms) || !get_time(line, "to", false, &again.to_local_ms) || again.from_local_ms > again.to_local_ms ||
            !get_hex(line, "from_identity", again.from_identity, sizeof(again.from_identity)) || !get_hex(line, "to_identity", again.to_identity, sizeof(again.to_identity)))
                return altered(e);
        again.import = (uint32_t) import;
        return sent(e, frame_put_restore_again(e->out, &again));
}

/* Each behind the one before, and of one record the latest import first. */
static bool is_behind(const Record *last, const Record *record) {
        int r = (last->kind > record->kind) - (last->kind < record->kind);

        if (r == 0)
                r = (last->local_ms > record->local_ms) - (last->local_ms < record->local_ms);
        if (r == 0)
                r = memcmp(last->identity, record->identity, sizeof(last->identity));
        return r < 0 || (r == 0 && last->import > record->import);
}

static int take_record(Everything *e, const json_t *line) {
        Payload payload = { .n = 0 };
        Record record;

        if (!everything_record(line, &payload, &record) || record.source > e->n_sources || !is_import(e, record.import) ||
            (e->has_rows && !is_behind(&e->last, &record)))
                return altered(e);
        e->has_rows = true;
        e->last = record;
        e->last.payload = NULL;
        e->end.n_rows++;
        e->end.n_records[record.kind]++;
        return sent(e, frame_put_import_record(e->out, 0, &record));
}

static int take_end(Everything *e, const json_t *line) {
        uint8_t said[crypto_hash_sha256_BYTES], is[crypto_hash_sha256_BYTES];
        int64_t n_lines;

        (void) crypto_hash_sha256_final(&e->hash, is);
        if (!get_int(line, "lines", 0, INT64_MAX, &n_lines) || !get_hex(line, "sha256", said, sizeof(said)))
                return altered(e);
        if (n_lines != e->line - 1 || memcmp(said, is, sizeof(is)) != 0)
                return refuse(e, "The file is not as carewallet wrote it: its SHA-256 is another. It was altered or damaged since. Take the copy that you did not touch, "
                                 "or export everything again.");
        e->has_ended = true;
        return 0;
}

/* History, for people to read: it is not taken over. */
static int take_history(Everything *e, const json_t *line) {
        (void) e;
        (void) line;
        return 0;
}

static int take_line(Everything *e, const char *text, size_t n) {
        static const struct {
                const char *name;
                int (*take)(Everything *e, const json_t *line);
        } sorts[] = {
                { "record", take_record },     { "again", take_again },     { "rejected", take_rejected }, { "import", take_import },
                { "source", take_source },     { "provider", take_history }, { "grant", take_history },     { "entry", take_history },
                { "checkpoint", take_history }, { "end", take_end },
        };
        cleanup(json_decrefp) json_t *line = NULL;

        if (n > EVERYTHING_LINE_MAX || e->has_ended)
                return altered(e);
        line = json_loadb(text, n, JSON_REJECT_DUPLICATES, NULL);
        if (!line || json_object_size(line) != 1)
                return altered(e);
        if (e->line == 1)
                return take_head(e, json_object_get(line, "carewallet-export"));
        for (size_t i = 0; i < N_ELEMENTS(sorts); i++) {
                const json_t *said = json_object_get(line, sorts[i].name);

                if (said)
                        return sorts[i].take(e, said);
        }
        return altered(e);
}

/* So that of a file that is cut nothing need be read. */
static int check_tail(Everything *e) {
        char tail[TAIL];
        const char *last = tail;
        ssize_t n;

        n = pread(e->fd, tail, sizeof(tail), (off_t) (e->n_file > sizeof(tail) ? e->n_file - sizeof(tail) : 0));
        if (n < 0)
                return -errno;
        for (ssize_t i = 0; i + 1 < n; i++)
                if (tail[i] == '\n')
                        last = tail + i + 1;
        if (n == 0 || tail[n - 1] != '\n' || tail + n - last < 8 || memcmp(last, "{\"end\":{", 8) != 0)
                return refuse(e, "The file is cut short, or something was added: the line that every complete export ends with is not its last one. "
                                 "Copy it again, or export everything again.");
        return 0;
}

int everything_run(int fd, FrameBuffer *out, int (*flush)(FrameBuffer *out, void *userdata), void *userdata, FrameImportEnd *ret_end,
                   char ret_refusal[static IMPORT_REFUSAL_MAX]) {
        cleanup(everything_freep) Everything *e = calloc(1, sizeof(*e));
        struct stat status;
        const char *line;
        size_t n_line;
        int r;

        if (!e)
                return -ENOMEM;
        e->fd = fd;
        e->out = out;
        e->flush = flush;
        e->userdata = userdata;
        e->refusal = ret_refusal;
        if (fstat(fd, &status) < 0)
                return -errno;
        e->n_file = (uint64_t) status.st_size;
        (void) crypto_hash_sha256_init(&e->hash);

        /* a later version may end otherwise */
        r = next_line(e, &line, &n_line);
        if (r == 0 && line)
                r = take_line(e, line, n_line);
        if (r == 0)
                r = check_tail(e);
        while (r == 0 && line) {
                (void) crypto_hash_sha256_update(&e->hash, (const uint8_t *) line, n_line);
                r = next_line(e, &line, &n_line);
                if (r == 0 && line)
                        r = take_line(e, line, n_line);
                if (r == 0)
                        r = report_progress(e);
        }
        if (r)
                return r;
        if (!e->has_ended)
                return refuse_line(e, "is followed by one that is too long");
        (void) snprintf(e->end.format, sizeof(e->end.format), "complete export");
        *ret_end = e->end;
        return 0;
}
