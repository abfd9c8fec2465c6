/* SPDX-License-Identifier: Apache-2.0 */

#include "pages.h"

#include "paradigm-cgm.h"
#include "paradigm-history.h"
#include "pump.h"
#include "trace.h"

#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>

enum {
        SNIFF = 4096, /* bytes */
        HISTORY_PAGES = 36, /* that a pump keeps */

        OP_HISTORY = 0x80,
        OP_MODEL = 0x8d,
        OP_GLUCOSE = 0x9a,
        OP_ISIG = 0x9b,
        OP_NEWEST_HISTORY = 0x9d,
};

typedef enum Form {
        FORM_BINARY,
        FORM_HEX,
        FORM_TRACE,
        FORM_TEXT, /* some other text */
} Form;

typedef enum PageKind {
        PAGE_NONE,  /* nothing is on it */
        PAGE_HISTORY,
        PAGE_GLUCOSE,
        PAGE_EITHER, /* can be read as both, or as neither */
} PageKind;

/* A page as it came, whole or not. */
typedef struct Page {
        uint8_t opcode; /* with which a pump is asked for it */
        uint32_t number;
        size_t n;
        uint8_t bytes[PARADIGM_ISIG_PAGE_SIZE];
} Page;

typedef struct Pages {
        const FrameImportRequest *request;
        const ImportSink *sink;
        ImportSink inner; /* of the pump module, and of what is rejected before it */
        ParadigmModel model;
        char serial[PARADIGM_SERIAL_SIZE]; /* "" until it is known */
        bool has_model, has_two_serials, is_full;
        unsigned n_expected; /* history pages of the pump; 0: not known */
        Page *pages;
        size_t n_pages, n_room;
        uint32_t n_used, n_rejected;
        char first_rejection[256];
        char *refusal;
        ParadigmCgm cgm;
} Pages;

static Pages *pages_free(Pages *p) {
        if (p) {
                if (p->pages)
                        explicit_bzero(p->pages, p->n_room * sizeof(*p->pages));
                free(p->pages);
                explicit_bzero(p, sizeof(*p));
                free(p);
        }
        return NULL;
}

DEFINE_CLEANUP(Pages *, pages_free)

static int refuse(Pages *p, const char *format, ...) printf_like(2, 3);
static int refuse(Pages *p, const char *format, ...) {
        va_list args;

        va_start(args, format);
        (void) vsnprintf(p->refusal, IMPORT_REFUSAL_MAX, format, args);
        va_end(args);
        return IMPORT_E_REFUSED;
}

static int reject(Pages *p, const uint8_t *bytes, size_t n, const char *format, ...) printf_like(4, 5);
static int reject(Pages *p, const uint8_t *bytes, size_t n, const char *format, ...) {
        char reason[192];
        va_list args;

        va_start(args, format);
        (void) vsnprintf(reason, sizeof(reason), format, args);
        va_end(args);
        return pump_report(&p->inner, 0, reason, bytes, n, &p->n_rejected);
}

/* --- the file --- */

typedef struct Bytes {
        uint8_t *bytes;
        size_t n;
} Bytes;

static void bytes_done(Bytes *b) {
        if (b->bytes)
                explicit_bzero(b->bytes, b->n);
        free(b->bytes);
}

static int read_all(Pages *p, int fd, Bytes *ret) {
        struct stat status;

        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return refuse(p, "This is not a regular file (but a directory, a pipe, a device or a socket).");
        if (status.st_size > PAGES_FILE_MAX)
                return refuse(p, "The file is larger than 16 MiB: no pump has so much memory.");
        if (status.st_size == 0)
                return refuse(p, "The file is empty: nothing of the pump's memory arrived.");

        ret->bytes = malloc((size_t) status.st_size);
        if (!ret->bytes)
                return -ENOMEM;
        for (; ret->n != (size_t) status.st_size;) {
                ssize_t n = pread(fd, ret->bytes + ret->n, (size_t) status.st_size - ret->n, (off_t) ret->n);

                if (n < 0 && errno == EINTR)
                        continue;
                if (n <= 0)
                        return refuse(p, "The file can't be read, or was changed while it was read. Import it again.");
                ret->n += (size_t) n;
        }
        return 0;
}

static bool is_space(uint8_t c) {
        return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static int digit_of(uint8_t c) {
        return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

static Form form_of(const uint8_t *bytes, size_t n) {
        bool is_hex = true;

        for (size_t i = 0; i != n; i++) {
                if ((bytes[i] < 0x20 && !is_space(bytes[i])) || bytes[i] >= 0x7f)
                        return FORM_BINARY;
                is_hex &= is_space(bytes[i]) || digit_of(bytes[i]) >= 0;
        }
        return is_hex ? FORM_HEX : trace_is((const char *) bytes, n) ? FORM_TRACE : FORM_TEXT;
}

bool pages_is(int fd, const FrameImportRequest *request) {
        uint8_t bytes[SNIFF];
        struct stat status;
        const uint8_t *end;
        ssize_t n;

        if (fstat(fd, &status) < 0 || !S_ISREG(status.st_mode))
                return false;
        if (request->model[0])
                return true;
        n = pread(fd, bytes, sizeof(bytes), 0);
        if (n <= 0)
                return false;
        switch (form_of(bytes, (size_t) n)) {
        case FORM_TRACE:
        case FORM_HEX:
                return true;
        case FORM_BINARY:
                /* a transcript whose first lines are good, or whole pages; other files of such a size are told from them later */
                end = memchr(bytes, '\n', (size_t) n);
                return (status.st_size % PARADIGM_PAGE_SIZE == 0 && status.st_size <= PAGES_FILE_MAX && memcmp(bytes, "PK", 2) != 0 &&
                        bytes[0] != 0xff && bytes[0] != 0xfe && bytes[0] != 0xef) ||
                       (end && trace_is((const char *) bytes, (size_t) (end - bytes)));
        case FORM_TEXT:
        default:
                return false;
        }
}

/* In place: two digits become the byte they are. */
static int read_hex(Pages *p, Bytes *b) {
        size_t n = 0;
        int high = -1;

        for (size_t i = 0; i != b->n; i++) {
                int digit = digit_of(b->bytes[i]);

                if (is_space(b->bytes[i]))
                        continue;
                if (digit < 0)
                        return refuse(p, "At byte %zu of the file is neither a hex digit nor a space: the file is damaged, or not what it seemed.", i);
                if (high < 0) {
                        high = digit;
                } else {
                        b->bytes[n++] = (uint8_t) (high << 4 | digit);
                        high = -1;
                }
        }
        if (high >= 0)
                return refuse(p, "The number of hex digits is odd: the file is cut off or damaged.");
        b->n = n;
        return 0;
}

/* --- collecting pages --- */

static Page *find_page(const Pages *p, unsigned opcode, uint32_t number) {
        for (size_t i = 0; i != p->n_pages; i++)
                if (p->pages[i].opcode == opcode && p->pages[i].number == number)
                        return &p->pages[i];
        return NULL;
}

static bool is_whole(const Page *page) {
        return (page->opcode == OP_ISIG ? paradigm_isig_check(page->bytes, page->n) : paradigm_page_check(page->bytes, page->n)) == 0;
}

/* A page that was asked for again takes the place of the one before, unless that was whole and this one is not. */
static int add_page(Pages *p, unsigned opcode, uint32_t number, const uint8_t *bytes, size_t n) {
        Page *page = find_page(p, opcode, number), old;

        if (!page && p->n_pages == PUMP_HISTORY_PAGES_MAX + 2 * PUMP_GLUCOSE_PAGES_MAX) {
                p->is_full = true;
                return 0;
        }
        if (!page && p->n_pages == p->n_room) {
                Page *pages = reallocarray(p->pages, p->n_room + 32, sizeof(*pages));

                if (!pages)
                        return -ENOMEM;
                p->pages = pages;
                p->n_room += 32;
        }
        if (!page) {
                page = &p->pages[p->n_pages++];
                *page = (Page) { .opcode = (uint8_t) opcode, .number = number };
        }
        old = *page;
        page->n = n;
        if (n)
                memcpy(page->bytes, bytes, n);
        if (is_whole(&old) && !is_whole(page))
                *page = old;
        return 0;
}

/* --- pages as they are --- */

static bool is_zero(const uint8_t *bytes, size_t n) {
        for (size_t i = 0; i != n; i++)
                if (bytes[i])
                        return false;
        return true;
}

/*
 * Both kinds have one size and one checksum. History is read from the begin, glucose from the end: a page that reads
 * through one way does not the other way. One with something unknown on it is what reads through further than half of it,
 * where its checksum says that it is undamaged. Of zeros at the end of a history page fewer may have come.
 */
static PageKind kind_of(Pages *p, const uint8_t *page, size_t n_came) {
        size_t n = PARADIGM_HISTORY_END, at = 0, n_glucose;
        bool is_history, is_glucose;
        ParadigmEntry entry;
        int r;

        while (n && page[n - 1] == 0)
                n--;
        if (n == 0)
                return PAGE_NONE;

        while ((r = paradigm_history_next(page, &p->model, &at, &entry)) == 0)
                ;
        paradigm_cgm_decode(page, NULL, &p->model, &p->cgm);
        n_glucose = n - p->cgm.n_unread;
        is_history = r == PARADIGM_HISTORY_E_END && at <= n_came;
        is_glucose = p->cgm.n_unread == 0 && n_came >= PARADIGM_HISTORY_END;
        if (!is_history && !is_glucose && !p->request->has_no_checksums) {
                is_history = at > n / 2;
                is_glucose = n_glucose > n / 2;
        }
        return is_history == is_glucose ? PAGE_EITHER : is_history ? PAGE_HISTORY : PAGE_GLUCOSE;
}

/* When the first record of a history page was written; false when none has a time. */
static bool first_time(const Pages *p, const Page *page, int64_t *ret_ms) {
        ParadigmEntry entry;
        size_t at = 0;

        while (paradigm_history_next(page->bytes, &p->model, &at, &entry) == 0) {
                if (!entry.has_time || entry.is_day)
                        continue;
                *ret_ms = entry.local_ms;
                return true;
        }
        return false;
}

/* Pumps give out the newest page first, and so do most programs save them; a file in which most steps go forward is the other way round. */
static bool is_oldest_first(const Pages *p) {
        int64_t before_ms = 0, ms;
        bool has_before = false;
        int n_forward = 0;

        for (size_t i = 0; i != p->n_pages; i++) {
                if (p->pages[i].opcode != OP_HISTORY || !first_time(p, &p->pages[i], &ms))
                        continue;
                if (has_before)
                        n_forward += (ms > before_ms) - (ms < before_ms);
                has_before = true;
                before_ms = ms;
        }
        return n_forward > 0;
}

static int split(Pages *p, const uint8_t *bytes, size_t n) {
        uint32_t number = 0, glucose = UINT32_MAX; /* of the page just before: sensor currents belong to it */
        int r = 0;

        for (size_t at = 0; at != n && r == 0; number++) {
                const uint8_t *page = bytes + at;
                size_t n_left = n - at;

                if (n_left >= PARADIGM_ISIG_PAGE_SIZE && paradigm_isig_check(page, PARADIGM_ISIG_PAGE_SIZE) == 0 &&
                    !is_zero(page, PARADIGM_ISIG_PAGE_SIZE)) {
                        r = glucose != UINT32_MAX
                                    ? add_page(p, OP_ISIG, glucose, page, PARADIGM_ISIG_PAGE_SIZE)
                                    : reject(p, page, PARADIGM_ISIG_PAGE_SIZE, "block %u of the file, byte %zu, is sensor currents without their glucose page: it goes before them", number + 1, at);
                        glucose = UINT32_MAX;
                        at += PARADIGM_ISIG_PAGE_SIZE;
                        continue;
                }
                glucose = UINT32_MAX;
                if (n_left < PARADIGM_PAGE_SIZE) {
                        r = reject(p, page, n_left, "block %u of the file, byte %zu, is %zu bytes long and not whole: a page has %u, the two of its checksum included",
                                   number + 1, at, n_left, (unsigned) PARADIGM_PAGE_SIZE);
                        break;
                }
                at += PARADIGM_PAGE_SIZE;
                if (paradigm_page_check(page, PARADIGM_PAGE_SIZE) != 0) {
                        r = reject(p, page, PARADIGM_PAGE_SIZE, "block %u of the file, byte %zu, has a wrong checksum: it was damaged on its way", number + 1,
                                   at - PARADIGM_PAGE_SIZE);
                        continue;
                }
                switch (kind_of(p, page, PARADIGM_PAGE_SIZE)) {
                case PAGE_HISTORY:
                        r = add_page(p, OP_HISTORY, number, page, PARADIGM_PAGE_SIZE);
                        break;
                case PAGE_GLUCOSE:
                        r = add_page(p, OP_GLUCOSE, number, page, PARADIGM_PAGE_SIZE);
                        glucose = number;
                        break;
                case PAGE_EITHER:
                        r = reject(p, page, PARADIGM_PAGE_SIZE, "block %u of the file, byte %zu: what is on it reads neither as history nor as glucose of this model", number + 1,
                                   at - PARADIGM_PAGE_SIZE);
                        break;
                case PAGE_NONE:
                        p->n_used++;
                        break;
                }
        }
        return r;
}

/*
 * The same without their checksums, because the patient says so: taken is what reads through to its end. Currents can't be
 * told from other bytes then. The pump module takes no page without a checksum, so each gets its own here.
 */
static int split_unchecked(Pages *p, const uint8_t *bytes, size_t n) {
        unsigned n_taken = 0;
        char text[200];
        uint16_t crc;
        int r = 0;

        for (size_t at = 0; at < n && r == 0; at += PARADIGM_HISTORY_END) {
                uint8_t page[PARADIGM_PAGE_SIZE] = { 0 };
                uint32_t number = (uint32_t) (at / PARADIGM_HISTORY_END);
                size_t n_page = n - at < PARADIGM_HISTORY_END ? n - at : PARADIGM_HISTORY_END;
                PageKind kind;

                memcpy(page, bytes + at, n_page);
                crc = paradigm_crc16(page, PARADIGM_HISTORY_END);
                page[PARADIGM_HISTORY_END] = (uint8_t) (crc >> 8);
                page[PARADIGM_HISTORY_END + 1] = (uint8_t) crc;
                kind = kind_of(p, page, n_page);
                if (kind == PAGE_EITHER)
                        r = reject(p, page, n_page, "block %u of the file, byte %zu, does not read through to its end as history or as glucose of this model", number + 1, at);
                else if (kind != PAGE_NONE)
                        r = add_page(p, kind == PAGE_HISTORY ? OP_HISTORY : OP_GLUCOSE, number, page, PARADIGM_PAGE_SIZE);
                n_taken += kind != PAGE_EITHER && kind != PAGE_NONE;
                p->n_used += kind == PAGE_NONE;
        }
        if (r || n_taken == 0)
                return r;
        (void) snprintf(text, sizeof(text), "Without their checksums it is not verified that these pages are undamaged; %u of them read through to their ends, and were taken.", n_taken);
        return p->sink->note(p->sink->userdata, text);
}

/* --- transcripts --- */

static int on_answer(void *userdata, const TraceAnswer *answer) {
        Pages *p = userdata;
        uint32_t newest;

        if (!p->serial[0])
                memcpy(p->serial, answer->serial, sizeof(p->serial));
        else if (strcmp(p->serial, answer->serial) != 0)
                p->has_two_serials = true;

        switch (answer->opcode) {
        case OP_MODEL:
                if (answer->is_whole && answer->n >= 4 && answer->bytes[0] == 3 &&
                    paradigm_model((const char *) answer->bytes + 1, 3, &p->model) == 0)
                        p->has_model = true;
                return 0;
        case OP_NEWEST_HISTORY:
                if (!answer->is_whole || answer->n < 4)
                        return 0;
                newest = (uint32_t) paradigm_be16(answer->bytes) << 16 | paradigm_be16(answer->bytes + 2);
                p->n_expected = newest < HISTORY_PAGES - 1 ? newest + 1 : HISTORY_PAGES;
                return 0;
        case OP_HISTORY:
        case OP_GLUCOSE:
        case OP_ISIG:
                return answer->is_refused ? 0 : add_page(p, answer->opcode, answer->parameter, answer->bytes, answer->n);
        default:
                return 0;
        }
}

static int on_bad_line(void *userdata, unsigned line, const char *text, size_t n_text) {
        return reject(userdata, (const uint8_t *) text, n_text < 64 ? n_text : 64, "line %u of the trace is damaged; what it said is missing", line);
}

static int read_trace(Pages *p, const Bytes *b) {
        const TraceSink sink = { .userdata = p, .answer = on_answer, .bad_line = on_bad_line };
        const FrameImportRequest *request = p->request;
        bool is_replaced;
        char text[200];
        int r;

        r = trace_read((const char *) b->bytes, b->n, &sink, &is_replaced);
        if (r == TRACE_E_VERSION)
                return refuse(p, "This trace was written by a newer carewallet. Update this one, and import it again.");
        if (r == TRACE_E_DEVICE)
                return refuse(p, "This is a trace of a device that carewallet does not know.");
        if (r)
                return r;
        if (!p->serial[0])
                return refuse(p, "In this trace no pump was asked anything: there is nothing to import.");
        if (p->has_two_serials)
                return refuse(p, "This trace is of several pumps: which records are whose can't be told. Save one trace for each.");
        if (p->has_model && request->model[0] && p->model.number != strtoul(request->model, NULL, 10))
                return refuse(p, "The pump in this trace says that it is a %u, not a %s: leave off --model.", p->model.number, request->model);
        if (!is_replaced && request->serial[0] && strcmp(request->serial, p->serial) != 0)
                return refuse(p, "The pump in this trace has another serial number than %s: leave off --serial.", request->serial);
        if (is_replaced && request->serial[0])
                memcpy(p->serial, request->serial, sizeof(p->serial));
        if (!is_replaced || request->serial[0])
                return 0;
        (void) snprintf(text, sizeof(text), "The serial numbers in this trace were replaced when it was saved: its records are kept as those of a pump %s.", p->serial);
        return p->sink->note(p->sink->userdata, text);
}

static int collect(Pages *p, Bytes *b) {
        Form form = form_of(b->bytes, b->n < SNIFF ? b->n : SNIFF);
        const uint8_t *end = memchr(b->bytes, '\n', b->n < SNIFF ? b->n : SNIFF);
        int r;

        if (form == FORM_TRACE || (end && trace_is((const char *) b->bytes, (size_t) (end - b->bytes)))) {
                r = read_trace(p, b);
                if (r == 0 && p->request->has_no_checksums)
                        r = refuse(p, "A trace has all checksums: leave off --no-checksum.");
                if (r == 0 && !p->has_model)
                        r = refuse(p, "This trace does not say which model the pump is. Say it with --model, such as --model 723; it is on the pump's back.");
                return r;
        }
        if (form == FORM_TEXT)
                return refuse(p, "This is a text and no pump's memory. To import a CareLink export, leave off --model and --serial.");
        if (!p->request->model[0] || !p->request->serial[0])
                return refuse(p, "This looks like pages of a pump's memory, and a page does not say whose it is. Say it with --model and --serial, such as "
                                 "--model 723 --serial 123456; both are on the pump's back.");
        memcpy(p->serial, p->request->serial, sizeof(p->serial));
        r = form == FORM_HEX ? read_hex(p, b) : 0;
        if (r)
                return r;
        return p->request->has_no_checksums ? split_unchecked(p, b->bytes, b->n) : split(p, b->bytes, b->n);
}

static int by_number(const void *a, const void *b) {
        const Page *x = a, *y = b;

        return (x->number > y->number) - (x->number < y->number);
}

static int feed(Pages *p, Pump *pump) {
        bool is_backward;
        int r = 0;

        if (p->n_pages)
                qsort(p->pages, p->n_pages, sizeof(*p->pages), by_number);
        is_backward = is_oldest_first(p);
        pump_expect_history(pump, p->n_expected);
        for (size_t i = 0; i != p->n_pages && r >= 0; i++) {
                const Page *page = &p->pages[is_backward ? p->n_pages - 1 - i : i], *isig;

                if (page->opcode == OP_HISTORY) {
                        r = pump_add_history(pump, page->number, page->bytes, page->n, false);
                } else if (page->opcode == OP_GLUCOSE) {
                        isig = find_page(p, OP_ISIG, page->number);
                        r = pump_add_glucose(pump, page->number, page->bytes, page->n, isig ? isig->bytes : NULL, isig ? isig->n : 0, false);
                } else {
                        continue;
                }
                if (r == PUMP_E_FULL)
                        p->is_full = true;
                p->n_used += r == 0;
        }
        return r < 0 ? r : 0;
}

/* --- what the pump module gives out --- */

static int on_source(void *userdata, const FrameImportSource *source) {
        Pages *p = userdata;

        return p->sink->source(p->sink->userdata, source);
}

static int on_record(void *userdata, uint32_t page, const Record *record, bool is_extra) {
        Pages *p = userdata;

        (void) page;
        return p->sink->record(p->sink->userdata, 0, record, is_extra);
}

static int on_rejected(void *userdata, uint32_t page, const char *reason, const char *row, size_t n_row) {
        Pages *p = userdata;

        (void) page; /* the reason says it */
        if (!p->first_rejection[0])
                (void) snprintf(p->first_rejection, sizeof(p->first_rejection), "%s", reason);
        return p->sink->rejected(p->sink->userdata, 0, reason, row, n_row);
}

static int on_note(void *userdata, const char *text) {
        Pages *p = userdata;

        return p->sink->note(p->sink->userdata, text);
}

/* --- the whole --- */

static int run(Pages *p, int fd, Zones *zones, FrameImportEnd *end) {
        const FrameImportRequest *request = p->request;
        cleanup(bytes_done) Bytes bytes = { 0 };
        cleanup(pump_freep) Pump *pump = NULL;
        int r;

        if (request->model[0]) {
                if (paradigm_model(request->model, strlen(request->model), &p->model) != 0)
                        return refuse(p, "There is no pump %s that carewallet can read: --model is the number on its back, such as 522, 723 or 554.", request->model);
                p->has_model = true;
        }
        r = read_all(p, fd, &bytes);
        if (r == 0)
                r = collect(p, &bytes);
        if (r)
                return r;

        r = pump_new(&pump, &p->model, p->serial, zones, &p->inner, request->now_utc_ms);
        if (r == 0)
                r = feed(p, pump);
        if (r)
                return r;
        if (p->is_full)
                return refuse(p, "The file has more pages than a pump's memory: it was put together from several readings. Import each of them alone.");
        if (p->n_used == 0)
                return refuse(p, "Nothing could be read: %s. Read the pump again%s.", p->first_rejection[0] ? p->first_rejection : "there is no page in this file",
                              bytes.n % PARADIGM_HISTORY_END || request->has_no_checksums ? "" : ", or, if the pages were saved without their checksums, import them with --no-checksum");
        r = pump_finish(pump, end);
        if (r)
                return r;
        end->n_rejected += p->n_rejected;
        end->n_rows += p->n_rejected;
        (void) snprintf(end->format, sizeof(end->format), "%.21s, memory pages%s", p->model.name, request->has_no_checksums ? ", unverified" : "");
        return 0;
}

int pages_run(int fd, const FrameImportRequest *request, Zones *zones, const ImportSink *sink, FrameImportEnd *ret_end,
              char ret_refusal[static IMPORT_REFUSAL_MAX]) {
        cleanup(pages_freep) Pages *p = calloc(1, sizeof(*p));
        FrameImportEnd end = { 0 };
        int r;

        if (!p)
                return -ENOMEM;
        p->request = request;
        p->sink = sink;
        p->inner = (ImportSink) { .userdata = p, .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note };
        p->refusal = ret_refusal;
        r = run(p, fd, zones, &end);
        if (r == 0)
                *ret_end = end;
        return r;
}
