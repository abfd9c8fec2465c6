/* SPDX-License-Identifier: Apache-2.0 */

#include "scan.h"

#include "daemon/common/text.h"

static const char delimiters[] = { ';', ',', '\t' };

enum {
        SNIFF_MAX = 4096, /* bytes of the first line that are looked at for NUL */
};

int scan_init(Scanner *scanner, int fd) {
        int r = reader_init(&scanner->reader, fd);

        scanner->day_first = 0;
        scanner->sensors = 0;
        if (r == 0)
                scan_rewind(scanner);
        return r;
}

void scan_rewind(Scanner *scanner) {
        reader_rewind(&scanner->reader);
        scanner->delimiter = 0;
        scanner->is_legacy = false;
        scanner->is_aggregated = false;
        scanner->section = 0;
        scanner->n_devices = 0;
        scanner->columns.n = 0;
        memset(&scanner->device, 0, sizeof(scanner->device));
        identity_device(scanner->device.key, "", "", "");
}

/*
 * The delimiter of a header row: what stands behind the cell Index, which is the first or second one; 0 when the line
 * is no such row.
 */
static char header_delimiter(const char *line, size_t n_line) {
        size_t at = 0;

        if (n_line > 0 && memchr(delimiters, line[0], sizeof(delimiters)))
                at++;
        if (at != n_line && line[at] == '"')
                at++;
        if (n_line - at < 6 || memcmp(line + at, "Index", 5) != 0)
                return 0;
        at += 5;
        if (line[at] == '"')
                at++;
        return at != n_line && memchr(delimiters, line[at], sizeof(delimiters)) ? line[at] : 0;
}

/*
 * The delimiter of a section line: what stands behind its cell of dashes, or behind what a spreadsheet program makes of a
 * "formula" that begins with a minus; 0 when the line is no such line. @ret_at: where that cell begins
 */
static char section_delimiter(const char *line, size_t n_line, size_t *ret_at) {
        static const char *const marks[] = { "-------", "#NAME?" };
        size_t at = 0;

        if (n_line > 0 && memchr(delimiters, line[0], sizeof(delimiters)))
                at++;
        while (at != n_line && line[at] == ' ')
                at++;
        *ret_at = at;
        if (at != n_line && line[at] == '"')
                at++;
        for (size_t i = 0; i != N_ELEMENTS(marks); i++) {
                size_t n = strlen(marks[i]);

                if (n_line - at <= n || memcmp(line + at, marks[i], n) != 0)
                        continue;
                at += n;
                if (line[at] == '"')
                        at++;
                return at != n_line && memchr(delimiters, line[at], sizeof(delimiters)) ? line[at] : 0;
        }
        return 0;
}

static void copy(char *ret, size_t n_ret, Cell cell) {
        (void) text_clean(ret, n_ret, cell.text, cell.n);
}

static void set_key(Device *device) {
        char section[256];

        (void) snprintf(section, sizeof(section), "%s\n%s", device->model, device->section);
        identity_device(device->key, device->model, device->serial, section);
}

/* -------;MiniMed 780G MMT-1886;Pump;NG0000001H;------- */
static int read_section(Scanner *scanner, char *line, size_t n_line, char delimiter) {
        Row *row = &scanner->row;
        Device *device = &scanner->device;

        if (scanner->section == IMPORT_SECTIONS_MAX)
                return SCAN_E_SECTIONS;

        scanner->section++;
        scanner->columns.n = 0;
        memset(device, 0, sizeof(*device));
        scanner->is_aggregated = false;

        if (row_split(row, line, n_line, delimiter) == 0) {
                if (row->n_cells > 1)
                        copy(device->model, sizeof(device->model), row->cells[1]);
                if (row->n_cells > 2)
                        copy(device->section, sizeof(device->section), row->cells[2]);
                if (row->n_cells > 3)
                        copy(device->serial, sizeof(device->serial), row->cells[3]);
                scanner->is_aggregated = row->n_cells > 4 && cell_begins(row->cells[4], "Aggregated");
        }
        for (char *c = device->section; *c; c++)
                if (*c >= 'A' && *c <= 'Z')
                        *c = (char) (*c - 'A' + 'a');
        set_key(device);
        return 0;
}

/* Pump:,Paradigm Revel - 723,#345192,Time Changes: 1 */
static void read_device(Scanner *scanner, char *line, size_t n_line) {
        static const char *const words[] = { "Pump:", "Meter:", "Sensor:" };
        static const char *const sections[] = { "pump", "meter", "sensor" };
        Row *row = &scanner->row;
        Device *device;

        if (scanner->n_devices == IMPORT_DEVICES_MAX || row_split(row, line, n_line, memchr(line, ';', n_line) ? ';' : ',') != 0 || row->n_cells < 3)
                return;

        for (size_t i = 0; i != N_ELEMENTS(words); i++) {
                if (!cell_is(row->cells[0], words[i]))
                        continue;
                device = &scanner->devices[scanner->n_devices++];
                memset(device, 0, sizeof(*device));
                copy(device->model, sizeof(device->model), row->cells[1]);
                copy(device->serial, sizeof(device->serial), row->cells[2]);
                (void) snprintf(device->section, sizeof(device->section), "%s", sections[i]);
                set_key(device);
        }
}

static int read_header(Scanner *scanner, char *line, size_t n_line, char delimiter, ScanItem *ret_item) {
        if (row_split(&scanner->row, line, n_line, delimiter) != 0 || !columns_are(&scanner->row))
                return SCAN_E_HEADER;

        columns_map(&scanner->columns, &scanner->row);
        scanner->delimiter = delimiter;
        scanner->is_legacy = scanner->columns.at[COLUMN_RAW_TYPE] != COLUMN_NOWHERE;
        *ret_item = SCAN_HEADER;
        return 0;
}

static bool is_blank(const char *line, size_t n_line, char delimiter) {
        for (size_t i = 0; i != n_line; i++)
                if (line[i] != ' ' && line[i] != '\t' && line[i] != delimiter)
                        return false;
        return true;
}

static ScanItem read_row(Scanner *scanner, char *line, size_t n_line) {
        Row *row = &scanner->row;
        unsigned n = scanner->columns.n;
        int r = row_split(row, line, n_line, scanner->delimiter);
        const char *reason = NULL;

        if (r == ROW_E_QUOTE)
                reason = "a quotation mark is not closed";
        else if (r == ROW_E_COLUMNS)
                reason = "far too many columns";
        else if (r == ROW_E_BYTES)
                reason = "bytes that are no UTF-8 text";
        else if (n == 0)
                reason = "no header row before it in its section";
        if (reason) {
                (void) snprintf(scanner->bad, sizeof(scanner->bad), "%s", reason);
                return SCAN_BAD;
        }

        while (row->n_cells > n && row->cells[row->n_cells - 1].n == 0)
                row->n_cells--;
        if (row->n_cells != n) {
                (void) snprintf(scanner->bad, sizeof(scanner->bad), "%u columns where the header has %u", row->n_cells, n);
                return SCAN_BAD;
        }
        return SCAN_ROW;
}

int scan_next(Scanner *scanner, ScanItem *ret_item) {
        char *line, delimiter;
        size_t n_line, at;
        int r;

        r = reader_next(&scanner->reader, &line, &n_line);
        if (r == READER_E_END) {
                *ret_item = SCAN_END;
                return 0;
        }
        if (r == READER_E_LINE)
                return SCAN_E_LINE;
        if (r)
                return fold(r);

        if (scanner->reader.line == 1) {
                if (n_line && memchr(line, 0, n_line < SNIFF_MAX ? n_line : SNIFF_MAX))
                        return SCAN_E_BINARY;
                if (n_line >= 3 && memcmp(line, "\xef\xbb\xbf", 3) == 0) {
                        line += 3;
                        n_line -= 3;
                }
        }
        scanner->line = line;
        scanner->n_line = n_line;

        if (is_blank(line, n_line, scanner->delimiter ? scanner->delimiter : ',')) {
                *ret_item = SCAN_BLANK;
                return 0;
        }

        delimiter = section_delimiter(line, n_line, &at);
        if (delimiter) {
                *ret_item = SCAN_SECTION;
                return read_section(scanner, line + at, n_line - at, delimiter);
        }

        delimiter = header_delimiter(line, n_line);
        if (delimiter)
                return read_header(scanner, line, n_line, delimiter, ret_item);

        if (!scanner->delimiter) {
                if (!memchr(line, 0, n_line))
                        read_device(scanner, line, n_line);
                *ret_item = SCAN_PREAMBLE;
                return 0;
        }

        *ret_item = read_row(scanner, line, n_line);
        return 0;
}

const char *scan_section_word(const Scanner *scanner) {
        static const char *const words[] = { "", "pump", "sensor", "meter" };

        for (size_t i = 0; i != N_ELEMENTS(words); i++)
                if (strcmp(scanner->device.section, words[i]) == 0)
                        return words[i];
        return words[scanner->sensors >> (scanner->section - 1) & 1 ? 2 : 1];
}

const Device *scan_device(const Scanner *scanner, Device *scratch) {
        unsigned at = scanner->columns.at[COLUMN_RAW_DEVICE];
        Cell name;

        if (!scanner->is_legacy || at == COLUMN_NOWHERE)
                return &scanner->device;

        name = scanner->row.cells[at];
        for (unsigned i = 0; i != scanner->n_devices; i++)
                if (cell_is(name, scanner->devices[i].model))
                        return &scanner->devices[i];

        /* a file without its preamble: no serial, the name has to do */
        memset(scratch, 0, sizeof(*scratch));
        if (name.n < sizeof(scratch->model))
                memcpy(scratch->model, name.text, name.n);
        identity_device(scratch->key, "", "", scratch->model);
        return scratch;
}
