/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* Lines of a hostile file by pread(2) into one fixed buffer, and the cells of a line. */

#include "daemon/common/util.h"
#include "import.h"

enum {
        READER_CHUNK = 128 * 1024,
        READER_BUFFER = IMPORT_LINE_MAX + READER_CHUNK,
        READER_RAW = READER_CHUNK / 3, /* bytes: each may become three of UTF-8 */

        READER_E_END = 1, /* no further line */
        READER_E_KIND,    /* not a regular file */
        READER_E_SIZE,    /* larger than IMPORT_FILE_MAX */
        READER_E_EMPTY,   /* no byte in it */
        READER_E_LINE,    /* a line of more than IMPORT_LINE_MAX bytes */

        ROW_E_QUOTE = 1, /* a quote that is not closed, or text behind a closed one */
        ROW_E_COLUMNS,   /* more than IMPORT_COLUMNS_MAX */
        ROW_E_BYTES,     /* not UTF-8, or control characters */
};

/* How the file's bytes stand for text. What is not UTF-8 becomes UTF-8 as it is read; a pair of bytes that is none becomes U+FFFD. */
typedef enum Encoding {
        ENCODING_UNKNOWN, /* until the first bytes are there */
        ENCODING_UTF8,
        ENCODING_UTF16_LE,
        ENCODING_UTF16_BE,
        ENCODING_CP1252,  /* Windows, western Europe: what spreadsheet programs there save; never found out, only set */
} Encoding;

typedef struct Reader {
        int fd; /* borrowed */
        uint64_t n_file;
        uint8_t encoding;     /* Encoding */
        uint64_t offset;      /* in the file, of the line given last */
        uint32_t line;        /* its number, from 1 */
        bool has_line_end;    /* false only for a last line that is cut off */
        uint64_t at_file;     /* next byte to read */
        uint64_t next_offset; /* in the file, of the next line */
        size_t start;         /* of the next line in the buffer */
        size_t end;           /* of what is filled */
        char buffer[READER_BUFFER];
} Reader;

/** reader_init() - look at the descriptor without reading. Return: 0; READER_E_KIND, _SIZE, _EMPTY; negative errno. */
must_check int reader_init(Reader *reader, int fd);
/** reader_rewind() - to the first line; the encoding stays */
void reader_rewind(Reader *reader);

/**
 * reader_next() - the next line without its end: LF, CR LF or CR
 * @ret_line: in the reader's buffer until the next call; may be written to, not terminated
 *
 * Return: 0; READER_E_END; READER_E_LINE; negative errno of pread(2).
 */
must_check int reader_next(Reader *reader, char **ret_line, size_t *ret_n_line);

/** reader_peek() - up to @n bytes at a place in the file, for a message; 0 when it can't be read */
size_t reader_peek(const Reader *reader, uint64_t offset, char *ret, size_t n);

typedef struct Cell {
        const char *text; /* not terminated */
        size_t n;
} Cell;

typedef struct Row {
        Cell cells[IMPORT_COLUMNS_MAX]; /* spaces at both ends are gone */
        unsigned n_cells;
} Row;

/**
 * row_split() - the cells of a line
 * @line:  doubled quotes are undoubled in place
 *
 * A cell ends with its line even inside quotes: CareLink has no line breaks in cells, and so a lone quote costs its own
 * row only. Return: 0; ROW_E_QUOTE; ROW_E_COLUMNS; ROW_E_BYTES.
 */
must_check int row_split(Row *row, char *line, size_t n_line, char delimiter);

bool cell_is(Cell cell, const char *text);
bool cell_begins(Cell cell, const char *text);
bool cell_has(Cell cell, const char *text);
