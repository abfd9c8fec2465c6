/* SPDX-License-Identifier: Apache-2.0 */

#include "output.h"

#include <inttypes.h>
#include <stdarg.h>
#include <sys/ioctl.h>
#include <time.h>

#include "policy/record.h"

static bool is_colourful(FILE *file) {
        const char *no_color = getenv("NO_COLOR"), *term = getenv("TERM");

        return (!no_color || no_color[0] == '\0') && isatty(fileno(file)) && !(term && strcmp(term, "dumb") == 0);
}

const char *paint(FILE *file, Paint paint) {
        static const char *const codes[N_PAINTS] = { /* ECMA-48, SGR */
                [PAINT_BOLD] = "\033[1m",
                [PAINT_GOOD] = "\033[32m",
                [PAINT_WARNING] = "\033[33m",
                [PAINT_BAD] = "\033[1;31m",
                [PAINT_FAINT] = "\033[2m",
        };

        return is_colourful(file) ? codes[paint] : "";
}

const char *unpaint(FILE *file) {
        return is_colourful(file) ? "\033[0m" : "";
}

unsigned output_width(FILE *file) {
        enum { MAX = 100 }; /* longer lines are hard to read */
        struct winsize size;

        if (!isatty(fileno(file)) || ioctl(fileno(file), TIOCGWINSZ, &size) < 0 || size.ws_col < 20)
                return 0;
        return size.ws_col < MAX ? size.ws_col : MAX;
}

/* Columns of @n bytes of UTF-8, colours not counted. Wide characters are: nothing here needs them. */
static unsigned columns(const char *text, size_t n) {
        unsigned count = 0;

        for (size_t i = 0; i < n; i++) {
                if (text[i] == '\033')
                        while (i + 1 < n && text[i] != 'm')
                                i++;
                else
                        count += ((unsigned char) text[i] & 0xc0) != 0x80;
        }
        return count;
}

void output_wrap_at(FILE *file, unsigned width, unsigned at, unsigned indent, const char *text) {
        bool begins = true; /* no word on this line yet */
        bool is_ended = false;

        for (;;) {
                size_t n_blanks = strspn(text, " "), n;
                unsigned n_columns;

                text += n_blanks;
                n = strcspn(text, " \n");
                n_columns = columns(text, n);
                if (width > 0 && !begins && n > 0 && at + n_blanks + n_columns >= width) {
                        fprintf(file, "\n%*s", (int) indent, "");
                        at = indent;
                        n_blanks = 0;
                }
                fprintf(file, "%*s%.*s", (int) n_blanks, "", (int) n, text);
                at += (unsigned) n_blanks + n_columns;
                begins &= n == 0;
                is_ended = false;
                text += n;
                if (*text == '\n') {
                        text++;
                        fprintf(file, "\n%*s", *text != '\n' && *text != '\0' ? (int) indent : 0, "");
                        at = indent;
                        begins = is_ended = true;
                }
                if (*text == '\0')
                        break;
        }
        if (!is_ended)
                fputc('\n', file);
}

void output_wrap(FILE *file, unsigned at, unsigned indent, const char *text) {
        output_wrap_at(file, output_width(file), at, indent, text);
}

void output_say(FILE *file, unsigned indent, const char *format, ...) {
        cleanup(freep) char *text = NULL;
        va_list list;

        va_start(list, format);
        if (vasprintf(&text, format, list) < 0)
                text = NULL;
        va_end(list);
        fprintf(file, "%*s", (int) indent, "");
        output_wrap(file, indent, indent, text ? text : "");
}

void output_row(FILE *file, const char *name, const char *format, ...) {
        enum { COLUMN = 13 };
        cleanup(freep) char *text = NULL;
        va_list list;

        va_start(list, format);
        if (vasprintf(&text, format, list) < 0)
                text = NULL;
        va_end(list);
        fprintf(file, "%-*s", COLUMN, name);
        output_wrap(file, COLUMN, COLUMN, text ? text : "");
}

const char *output_number(char ret[static OUTPUT_NUMBER_SIZE], int64_t number) {
        char digits[24];
        size_t n = (size_t) snprintf(digits, sizeof(digits), "%" PRId64, number), at = 0;

        for (size_t i = 0; i < n; i++) {
                if (i > 0 && digits[i - 1] != '-' && (n - i) % 3 == 0)
                        ret[at++] = ',';
                ret[at++] = digits[i];
        }
        ret[at] = '\0';
        return ret;
}

const char *output_bytes(char ret[static OUTPUT_NUMBER_SIZE], int64_t n_bytes) {
        static const char *const units[] = {"KiB", "MiB", "GiB", "TiB"};
        double n = (double) n_bytes;
        size_t i = 0;

        if (n_bytes < 1024) {
                (void) snprintf(ret, OUTPUT_NUMBER_SIZE, "%d byte%s", (int) n_bytes, n_bytes == 1 ? "" : "s");
                return ret;
        }
        for (n /= 1024; n >= 1024 && i + 1 < N_ELEMENTS(units); n /= 1024)
                i++;
        (void) snprintf(ret, OUTPUT_NUMBER_SIZE, "%.1f %s", n, units[i]);
        return ret;
}

const char *output_time(char ret[static OUTPUT_TIME_SIZE], const char *text) {
        struct tm utc = {0}, local;
        const char *end = strptime(text, "%Y-%m-%dT%H:%M:%S", &utc);
        time_t t;

        if (end && *end == '.') /* fractions are of no interest to a person */
                end += 1 + strspn(end + 1, "0123456789");
        if (!end || strcmp(end, "Z") != 0 || (t = timegm(&utc), !localtime_r(&t, &local)) ||
            strftime(ret, OUTPUT_TIME_SIZE, "%Y-%m-%d %H:%M %Z", &local) == 0)
                (void) snprintf(ret, OUTPUT_TIME_SIZE, "%s", text);
        return ret;
}

void output_count(FILE *file, int64_t n, const char *one, const char *many) {
        char number[OUTPUT_NUMBER_SIZE];

        fprintf(file, "%s %s", output_number(number, n), n == 1 ? one : many);
}

void output_list(FILE *file, const json_t *array) {
        const json_t *value;
        size_t i;

        json_array_foreach (array, i, value)
                fprintf(file, "%s%s", i > 0 ? ", " : "", json_is_string(value) ? json_string_value(value) : "?");
}

const char *output_kind(const char *name) {
        static const char *const words[N_RECORD_KINDS] = { /* where the name itself is not how people say it */
                [RECORD_CGM] = "CGM",
                [RECORD_WIZARD] = "bolus wizard",
                [RECORD_DEVICE_EVENT] = "device event",
        };
        unsigned kind = record_kind_from_name(name, strlen(name));

        return kind > 0 && words[kind] ? words[kind] : name;
}

void output_kinds(FILE *file, const json_t *array) {
        const json_t *value;
        size_t i;

        if (json_array_size(array) == N_RECORD_KINDS - 1) { /* none is twice in it */
                fputs("all kinds", file);
                return;
        }
        json_array_foreach (array, i, value)
                fprintf(file, "%s%s", i > 0 ? ", " : "", json_is_string(value) ? output_kind(json_string_value(value)) : "?");
}

void output_records(FILE *file, const json_t *records) {
        char number[OUTPUT_NUMBER_SIZE];
        bool any = false;

        for (unsigned kind = 1; kind < N_RECORD_KINDS; kind++) {
                int64_t n = message_int(records, record_kind_name(kind), 0);

                if (n > 0) {
                        fprintf(file, "%s%s %s", any ? ", " : "", output_number(number, n), output_kind(record_kind_name(kind)));
                        any = true;
                }
        }
        if (!any)
                fputs("none", file);
}

const char *output_duration(char ret[static OUTPUT_NUMBER_SIZE], int64_t s) {
        static const struct {
                const char *name;
                int64_t s;
        } units[] = {{"day", 86400}, {"hour", 3600}, {"minute", 60}};
        size_t i = 0;
        int64_t n;

        while (i + 1 < N_ELEMENTS(units) && s % units[i].s != 0)
                i++;
        n = s / units[i].s;
        (void) snprintf(ret, OUTPUT_NUMBER_SIZE, "%" PRId64 " %s%s", n, units[i].name, n == 1 ? "" : "s");
        return ret;
}

/* The protocol has camelCase, as Varlink likes it; records, and so the command line, have snake_case. */
static json_t *snake(const json_t *value) {
        json_t *copy;
        const char *name;
        json_t *member;
        size_t i;

        if (json_is_array(value)) {
                copy = json_array();
                json_array_foreach (value, i, member)
                        if (json_array_append_new(copy, snake(member)) < 0)
                                return json_decref(copy), NULL;
                return copy;
        }
        if (!json_is_object(value))
                return json_incref((json_t *) (uintptr_t) value);

        copy = json_object();
        json_object_foreach ((json_t *) (uintptr_t) value, name, member) {
                char renamed[128];
                size_t n = 0;

                for (const char *c = name; *c != '\0' && n + 2 < sizeof(renamed); c++) {
                        bool is_upper = *c >= 'A' && *c <= 'Z';

                        if (is_upper && c > name)
                                renamed[n++] = '_';
                        renamed[n++] = is_upper ? (char) (*c - 'A' + 'a') : *c;
                }
                renamed[n] = '\0';
                if (json_object_set_new(copy, renamed, snake(member)) < 0)
                        return json_decref(copy), NULL;
        }
        return copy;
}

int output_json(FILE *file, const json_t *value) {
        cleanup(json_decrefp) json_t *copy = snake(value);

        if (!copy)
                return -ENOMEM;
        return json_dumpf(copy, file, JSON_COMPACT | JSON_ENCODE_ANY) < 0 || fputc('\n', file) == EOF ? -EIO : 0;
}

static int64_t now_ms(void) {
        struct timespec now;

        (void) clock_gettime(CLOCK_MONOTONIC, &now);
        return (int64_t) now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

void progress_begin(Progress *progress) {
        *progress = (Progress) {.begun_ms = now_ms()};
}

void progress_bar(Progress *progress, const char *what, int64_t done, int64_t all) {
        enum { BAR = 30 };
        char bar[BAR + 1], number[OUTPUT_NUMBER_SIZE];
        int64_t now = now_ms();
        size_t filled;

        if (!isatty(STDERR_FILENO) || now - progress->begun_ms < 1000 || now - progress->drawn_ms < 100)
                return;
        progress->drawn_ms = now;
        progress->is_shown = true;

        if (all <= 0) {
                fprintf(stderr, "\r\033[K%.40s  %s", what, output_bytes(number, done));
                return;
        }
        if (done > all)
                done = all;
        filled = (size_t) ((double) done / (double) all * BAR);
        for (size_t i = 0; i < BAR; i++)
                bar[i] = i < filled ? '#' : '.';
        bar[BAR] = '\0';
        fprintf(stderr, "\r\033[K%.40s  [%s] %3d %%", what, bar, (int) ((double) done / (double) all * 100));
}

void progress_note(Progress *progress, const char *text) {
        if (!isatty(STDERR_FILENO))
                return;
        fprintf(stderr, "\r\033[K%s", text);
        progress->is_shown = true;
}

void progress_end(Progress *progress) {
        if (progress->is_shown)
                fputs("\r\033[K", stderr);
        progress->is_shown = false;
}

int output_write(int fd, const void *bytes, size_t n) {
        for (size_t done = 0; done < n;) {
                ssize_t l = write(fd, (const char *) bytes + done, n - done);

                if (l < 0) {
                        if (errno == EINTR)
                                continue;
                        return -errno;
                }
                done += (size_t) l;
        }
        return 0;
}

int output_copy(int from, int to, Progress *progress, int64_t *ret_n_bytes) {
        static char buffer[64 * 1024];
        int r = 0;

        *ret_n_bytes = 0;
        for (;;) {
                ssize_t l = read(from, buffer, sizeof(buffer));

                if (l < 0 && errno == EINTR)
                        continue;
                if (l < 0)
                        r = -errno;
                if (l <= 0)
                        break;
                r = output_write(to, buffer, (size_t) l);
                if (r < 0)
                        break;
                *ret_n_bytes += l;
                if (progress)
                        progress_bar(progress, "writing", *ret_n_bytes, 0);
        }
        explicit_bzero(buffer, sizeof(buffer));
        return r;
}
