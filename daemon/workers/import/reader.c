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
        reader_rewind(reader);
        return 0;
}

void reader_rewind(Reader *reader) {
        reader->offset = 0;
        reader->line = 0;
        reader->has_line_end = true;
        reader->at_file = 0;
        reader->start = 0;
        reader->end = 0;
}

static int fill(Reader *reader, bool *ret_at_end) {
        ssize_t n;

        memmove(reader->buffer, reader->buffer + reader->start, reader->end - reader->start);
        reader->end -= reader->start;
        reader->start = 0;

        /* what is appended while we read is not ours */
        if (reader->at_file >= reader->n_file) {
                *ret_at_end = true;
                return 0;
        }

        do
                n = pread(reader->fd, reader->buffer + reader->end, sizeof(reader->buffer) - reader->end, (off_t) reader->at_file);
        while (n < 0 && errno == EINTR);
        if (n < 0)
                return -errno;

        reader->at_file += (uint64_t) n;
        reader->end += (size_t) n;
        *ret_at_end = n == 0;
        return 0;
}

static int give(Reader *reader, size_t n_line, size_t n_end, char **ret_line, size_t *ret_n_line) {
        if (n_line > IMPORT_LINE_MAX)
                return READER_E_LINE;

        reader->offset = reader->at_file - (reader->end - reader->start);
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
        ssize_t n_read = pread(reader->fd, ret, n, (off_t) offset);

        if (n_read <= 0)
                return 0;
        for (size_t i = 0; i != (size_t) n_read; i++)
                if (ret[i] == '\n' || ret[i] == '\r')
                        return i;
        return (size_t) n_read;
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
