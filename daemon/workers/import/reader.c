/* SPDX-License-Identifier: Apache-2.0 */

#include "reader.h"

#include <sys/stat.h>

#include "daemon/common/text.h"

int reader_init(Reader *reader, int fd) {
        struct stat status;

        if (fstat(fd, &status) < 0)
                return -errno;
        if (!S_ISREG(status.st_mode))
                return READER_E_KIND;
        if (status.st_size > IMPORT_FILE_MAX)
                return READER_E_SIZE;
        if (status.st_size == 0)
                return READER_E_EMPTY;

        reader->fd = fd;
        reader->n_file = (uint64_t) status.st_size;
        reader->encoding = ENCODING_UNKNOWN;
        reader_rewind(reader);
        return 0;
}

void reader_rewind(Reader *reader) {
        reader->offset = 0;
        reader->next_offset = 0;
        reader->line = 0;
        reader->has_line_end = true;
        reader->at_file = 0;
        reader->start = 0;
        reader->end = 0;
}

/* By the byte order mark; without one, every other byte of plain letters is NUL. */
static Encoding encoding_of(const uint8_t *bytes, size_t n) {
        if (n >= 2 && bytes[0] == 0xff && bytes[1] == 0xfe)
                return ENCODING_UTF16_LE;
        if (n >= 2 && bytes[0] == 0xfe && bytes[1] == 0xff)
                return ENCODING_UTF16_BE;
        if (n >= 4 && bytes[0] && !bytes[1] && bytes[2] && !bytes[3])
                return ENCODING_UTF16_LE;
        if (n >= 4 && !bytes[0] && bytes[1] && !bytes[2] && bytes[3])
                return ENCODING_UTF16_BE;
        return ENCODING_UTF8;
}

static size_t utf8_put(char *ret, uint32_t point) {
        if (point < 0x80) {
                ret[0] = (char) point;
                return 1;
        }
        if (point < 0x800) {
                ret[0] = (char) (0xc0 | point >> 6);
                ret[1] = (char) (0x80 | (point & 0x3f));
                return 2;
        }
        if (point < 0x10000) {
                ret[0] = (char) (0xe0 | point >> 12);
                ret[1] = (char) (0x80 | (point >> 6 & 0x3f));
                ret[2] = (char) (0x80 | (point & 0x3f));
                return 3;
        }
        ret[0] = (char) (0xf0 | point >> 18);
        ret[1] = (char) (0x80 | (point >> 12 & 0x3f));
        ret[2] = (char) (0x80 | (point >> 6 & 0x3f));
        ret[3] = (char) (0x80 | (point & 0x3f));
        return 4;
}

static uint32_t cp1252_point(uint8_t byte) {
        /* 0x80 to 0x9f as in unicode.org/Public/MAPPINGS/VENDORS/MICSFT/WINDOWS/CP1252.TXT; 0: not assigned */
        static const uint16_t points[32] = {
                0x20ac, 0, 0x201a, 0x0192, 0x201e, 0x2026, 0x2020, 0x2021, 0x02c6, 0x2030, 0x0160, 0x2039, 0x0152, 0, 0x017d, 0,
                0, 0x2018, 0x2019, 0x201c, 0x201d, 0x2022, 0x2013, 0x2014, 0x02dc, 0x2122, 0x0161, 0x203a, 0x0153, 0, 0x017e, 0x0178,
        };

        if (byte < 0x80 || byte >= 0xa0)
                return byte;
        return points[byte - 0x80] ? points[byte - 0x80] : 0xfffd;
}

static uint32_t utf16_unit(const uint8_t *bytes, bool is_big) {
        return is_big ? (uint32_t) bytes[0] << 8 | bytes[1] : (uint32_t) bytes[1] << 8 | bytes[0];
}

/*
 * Bytes of the file as UTF-8 behind @ret; the mark at the file's begin is left out. A half pair stays for the next time
 * unless the file ends with it. Each line end, and each place that a message shows, can be found again in the file
 * because U+FFFD stands for two bytes only.
 */
static size_t transcode(char *ret, Encoding encoding, const uint8_t *bytes, size_t n, bool is_last, size_t *ret_n_used) {
        bool is_big = encoding == ENCODING_UTF16_BE;
        size_t at = 0, n_ret = 0;

        if (encoding == ENCODING_CP1252) {
                for (; at != n; at++)
                        n_ret += utf8_put(ret + n_ret, cp1252_point(bytes[at]));
                *ret_n_used = n;
                return n_ret;
        }

        while (n - at >= 2) {
                uint32_t point = utf16_unit(bytes + at, is_big), low;

                if (point >= 0xd800 && point < 0xdc00) {
                        if (n - at < 4 && !is_last)
                                break;
                        low = n - at >= 4 ? utf16_unit(bytes + at + 2, is_big) : 0;
                        if (low >= 0xdc00 && low < 0xe000) {
                                n_ret += utf8_put(ret + n_ret, 0x10000 + ((point & 0x3ff) << 10) + (low & 0x3ff));
                                at += 4;
                                continue;
                        }
                }
                n_ret += utf8_put(ret + n_ret, point >= 0xd800 && point < 0xe000 ? 0xfffd : point);
                at += 2;
        }
        if (is_last && at != n) {
                n_ret += utf8_put(ret + n_ret, 0xfffd);
                at = n;
        }
        *ret_n_used = at;
        return n_ret;
}

/* How many bytes of the file a text of ours was. */
static uint64_t n_in_file(const Reader *reader, const char *text, size_t n) {
        uint64_t n_points = 0, n_long = 0;

        if (reader->encoding <= ENCODING_UTF8)
                return n;
        for (size_t i = 0; i != n; i++) {
                n_points += ((unsigned char) text[i] & 0xc0) != 0x80;
                n_long += (unsigned char) text[i] >= 0xf0;
        }
        return reader->encoding == ENCODING_CP1252 ? n_points : 2 * (n_points + n_long);
}

static int read_at(const Reader *reader, void *ret, size_t n, uint64_t offset, size_t *ret_n) {
        ssize_t n_read;

        do
                n_read = pread(reader->fd, ret, n, (off_t) offset);
        while (n_read < 0 && errno == EINTR);
        if (n_read < 0)
                return -errno;
        *ret_n = (size_t) n_read;
        return 0;
}

static int fill(Reader *reader, bool *ret_at_end) {
        uint8_t raw[READER_RAW];
        size_t n = 0, n_used;
        int r;

        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;

        /* what is appended while we read is not ours */
        if (reader->at_file >= reader->n_file) {
                *ret_at_end = true;
                return 0;
        }

        if (reader->encoding == ENCODING_UNKNOWN) {
                r = read_at(reader, raw, 4, 0, &n);
                if (r < 0)
                        return r;
                reader->encoding = (uint8_t) encoding_of(raw, n);
        }

        if (reader->encoding == ENCODING_UTF8) {
                r = read_at(reader, reader->buffer + reader->end, sizeof(reader->buffer) - reader->end, reader->at_file, &n);
                if (r < 0)
                        return r;
                reader->end += n;
                n_used = n;
        } else {
                size_t n_room = (sizeof(reader->buffer) - reader->end) / 3;

                r = read_at(reader, raw, n_room < sizeof(raw) ? n_room : sizeof(raw), reader->at_file, &n);
                if (r < 0)
                        return r;
                reader->end += transcode(reader->buffer + reader->end, reader->encoding, raw, n, reader->at_file + n >= reader->n_file, &n_used);
        }

        reader->at_file += n_used;
        *ret_at_end = n_used == 0;
        return 0;
}

static int give(Reader *reader, size_t n_line, size_t n_end, char **ret_line, size_t *ret_n_line) {
        if (n_line > IMPORT_LINE_MAX)
                return READER_E_LINE;

        reader->offset = reader->next_offset;
        reader->next_offset += n_in_file(reader, reader->buffer + reader->start, n_line + n_end);
        reader->line++;
        reader->has_line_end = n_end > 0;
        *ret_line = reader->buffer + reader->start;
        *ret_n_line = n_line;
        reader->start += n_line + n_end;
        return 0;
}

int reader_next(Reader *reader, char **ret_line, size_t *ret_n_line) {
        bool at_end = false;
        int r;

        for (;;) {
                const char *line = reader->buffer + reader->start;
                size_t n_left = reader->end - reader->start;
                const char *lf = n_left ? memchr(line, '\n', n_left) : NULL;
                size_t n_line = lf ? (size_t) (lf - line) : n_left;
                const char *cr = n_line ? memchr(line, '\r', n_line) : NULL;

                if (lf && (!cr || cr + 1 == lf))
                        return give(reader, cr ? n_line - 1 : n_line, cr ? 2 : 1, ret_line, ret_n_line);
                /* a CR is last in the buffer: its LF may follow */
                if (cr && (cr + 1 < line + n_left || at_end))
                        return give(reader, (size_t) (cr - line), 1, ret_line, ret_n_line);
                if (at_end && n_left == 0)
                        return READER_E_END;
                if (at_end)
                        return give(reader, n_left, 0, ret_line, ret_n_line);
                if (n_left > IMPORT_LINE_MAX + 1) {
                        reader->line++;
                        return READER_E_LINE;
                }

                r = fill(reader, &at_end);
                if (r < 0)
                        return r;
        }
}

size_t reader_peek(const Reader *reader, uint64_t offset, char *ret, size_t n) {
        uint8_t raw[1024];
        size_t n_read = 0, n_used;

        if (reader->encoding <= ENCODING_UTF8) {
                if (read_at(reader, ret, n, offset, &n_read) < 0)
                        return 0;
        } else {
                if (read_at(reader, raw, n / 3 < sizeof(raw) ? n / 3 : sizeof(raw), offset, &n_read) < 0)
                        return 0;
                n_read = transcode(ret, reader->encoding, raw, n_read, false, &n_used);
        }

        for (size_t i = 0; i != n_read; i++)
                if (ret[i] == '\n' || ret[i] == '\r')
                        return i;
        return n_read;
}

static bool line_valid(const char *line, size_t n_line) {
        unsigned unusual = 0;

        for (size_t i = 0; i != n_line; i++)
                unusual |= (unsigned char) (line[i] - 0x20) > 0x5e;
        return !unusual || text_valid(line, n_line);
}

static Cell trimmed(const char *text, size_t n) {
        while (n && text[0] == ' ') {
                text++;
                n--;
        }
        while (n && text[n - 1] == ' ')
                n--;
        return (Cell) { text, n };
}

/* A cell in quotes, from the byte behind the first one; the number of bytes up to its end, or 0. */
static size_t quoted(char *text, size_t n, char delimiter, Cell *ret) {
        size_t at = 0, n_cell = 0;

        while (at != n) {
                if (text[at] != '"') {
                        text[n_cell++] = text[at++];
                } else if (at + 1 != n && text[at + 1] == '"') {
                        text[n_cell++] = '"';
                        at += 2;
                } else {
                        at++;
                        while (at != n && text[at] == ' ')
                                at++;
                        if (at != n && text[at] != delimiter)
                                return 0;
                        *ret = (Cell) { text, n_cell };
                        return at;
                }
        }

        return 0;
}

int row_split(Row *row, char *line, size_t n_line, char delimiter) {
        size_t at = 0;

        row->n_cells = 0;
        if (!line_valid(line, n_line))
                return ROW_E_BYTES;

        for (;;) {
                Cell cell;

                if (row->n_cells == IMPORT_COLUMNS_MAX)
                        return ROW_E_COLUMNS;

                if (at != n_line && line[at] == '"') {
                        size_t n = quoted(line + at + 1, n_line - at - 1, delimiter, &cell);

                        if (n == 0)
                                return ROW_E_QUOTE;
                        at += 1 + n;
                } else {
                        size_t start = at;

                        while (at != n_line && line[at] != delimiter)
                                at++;
                        cell = trimmed(line + start, at - start);
                }

                row->cells[row->n_cells++] = cell;
                if (at == n_line)
                        return 0;
                at++;
        }
}

bool cell_is(Cell cell, const char *text) {
        return strlen(text) == cell.n && memcmp(cell.text, text, cell.n) == 0;
}

bool cell_begins(Cell cell, const char *text) {
        size_t n = strlen(text);

        return n <= cell.n && memcmp(cell.text, text, n) == 0;
}

bool cell_has(Cell cell, const char *text) {
        return cell.n && memmem(cell.text, cell.n, text, strlen(text));
}
