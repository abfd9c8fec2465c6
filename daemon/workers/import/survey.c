/* SPDX-License-Identifier: Apache-2.0 */

#include "survey.h"

#include "cell.h"
#include "daemon/common/text.h"
#include "dates.h"
#include "policy/record.h"

static const int64_t minute_ms = 60 * 1000;
static const int64_t hour_ms = 60 * 60 * 1000;
static const int64_t day_ms = 24 * 60 * 60 * 1000;
static const int64_t day_2016 = INT64_C(1451606400000);

/*
 * A step against the order of a stream that means that the clock was put back. Rows of different parts of a pump are up
 * to 9 minutes out of order in the exports that we have seen; a zone's step is 30 or 60.
 */
static const int64_t break_ms = 20 * 60 * 1000;

/* Plausible glucose in thousandths: DESIGN, "wrong units kill". */
static bool glucose_fits(int32_t milli, unsigned unit) {
        return unit == RECORD_UNIT_MG_DL ? milli >= 20000 && milli <= 600000 : milli >= 1000 && milli <= 33400;
}

static Cell cell_at(const Scanner *scanner, ColumnId id) {
        unsigned at = scanner->columns.at[id];

        return at == COLUMN_NOWHERE ? (Cell) { "", 0 } : scanner->row.cells[at];
}

bool survey_moment(const Scanner *scanner, int64_t *ret_ms) {
        uint32_t second;
        int32_t day;

        if (!cell_date(cell_at(scanner, COLUMN_DATE), scanner->day_first, &day) || !cell_clock(cell_at(scanner, COLUMN_TIME), &second))
                return false;
        *ret_ms = day * day_ms + second * INT64_C(1000);
        return true;
}

bool survey_has_seconds(const Scanner *scanner) {
        Cell time = cell_at(scanner, COLUMN_TIME);
        const char *colon = time.n ? memchr(time.text, ':', time.n) : NULL;

        return !colon || memchr(colon + 1, ':', (size_t) (time.text + time.n - colon - 1));
}

/* A day that a pump shows after a reset; it may be another one's own. */
static bool is_reset_day(int64_t local_ms) {
        static const int64_t year_2000 = INT64_C(946684800000), year_2001 = INT64_C(978307200000);

        return (local_ms >= year_2000 && local_ms < year_2001) || (local_ms >= day_2016 && local_ms < day_2016 + day_ms);
}

bool survey_is_unset(const Survey *survey, int64_t local_ms) {
        return is_reset_day(local_ms) && (local_ms < day_2016 || !survey->has_january_2016);
}

unsigned survey_stream(const Scanner *scanner) {
        if (cell_at(scanner, COLUMN_SENSOR_GLUCOSE).n)
                return STREAM_READINGS;
        /* these are listed in blocks of their own; legacy files are sorted by their local time whatever the clock did */
        if (scanner->is_legacy || cell_at(scanner, COLUMN_MARKER).n || cell_at(scanner, COLUMN_NEW_TIME).n)
                return N_STREAMS;
        return STREAM_EVENTS;
}

static void run_add(Runs *runs, bool is_break, uint32_t line, int64_t local_ms) {
        Span *span;

        if (runs->n > SURVEY_RUNS_MAX)
                return;
        if (runs->n == 0 || is_break) {
                if (runs->n++ == SURVEY_RUNS_MAX)
                        return;
                runs->runs[runs->n - 1] = (Run) { line, { { INT64_MAX, INT64_MIN }, { INT64_MAX, INT64_MIN } } };
        }

        span = &runs->runs[runs->n - 1].spans[is_reset_day(local_ms)];
        if (local_ms < span->first_ms)
                span->first_ms = local_ms;
        if (local_ms > span->last_ms)
                span->last_ms = local_ms;
}

static void stream_add(Stream *stream, uint32_t line, int64_t local_ms) {
        int64_t step_ms = stream->is_begun ? local_ms - stream->last_ms : 0;

        stream->n_steps[0] += step_ms < 0;
        stream->n_steps[1] += step_ms > 0;
        run_add(&stream->runs[0], step_ms > break_ms, line, local_ms);
        run_add(&stream->runs[1], step_ms < -break_ms, line, local_ms);
        stream->last_ms = local_ms;
        stream->is_begun = true;
}

static UnitCheck *unit_check(Survey *survey, unsigned column, unsigned unit, Cell name) {
        UnitCheck *check;

        for (unsigned i = 0; i != survey->n_units; i++)
                if (survey->units[i].column == column && survey->units[i].unit == unit)
                        return &survey->units[i];
        if (survey->n_units == SURVEY_UNITS_MAX)
                return NULL;

        check = &survey->units[survey->n_units++];
        memset(check, 0, sizeof(*check));
        check->column = (uint8_t) column;
        check->unit = (uint8_t) unit;
        (void) snprintf(check->name, sizeof(check->name), "%.*s", (int) (name.n < 63 ? name.n : 63), name.text);
        return check;
}

static void check_glucose(Survey *survey, const Scanner *scanner, unsigned at) {
        const Columns *columns = &scanner->columns;
        Cell cell = scanner->row.cells[at];
        unsigned unit = columns->unit[at];
        UnitCheck *check = unit_check(survey, columns->id[at], unit, columns->names[at]);
        Number number;

        /* the decimal mark is not known yet: either will do here */
        if (!check || (!cell_number(cell, '.', &number) && !cell_number(cell, ',', &number)) || number.milli == 0)
                return;

        check->n++;
        if (glucose_fits(number.milli, unit)) {
                check->n_in++;
                return;
        }
        if (glucose_fits(number.milli, unit == RECORD_UNIT_MG_DL ? RECORD_UNIT_MMOL_L : RECORD_UNIT_MG_DL))
                check->n_other++;
        if (check->line == 0) {
                check->line = scanner->reader.line;
                (void) snprintf(check->example, sizeof(check->example), "%.*s", (int) (cell.n < 15 ? cell.n : 15), cell.text);
        }
}

/* Only what is a number with that mark counts: "n.a." in one cell says nothing of the file. */
static void check_decimal(Survey *survey, const Scanner *scanner, Cell cell) {
        static const char marks[] = { ',', '.' };
        Number number;

        for (unsigned i = 0; i != N_ELEMENTS(marks); i++)
                if (!survey->decimals_line[i] && memchr(cell.text, marks[i], cell.n) && cell_number(cell, marks[i], &number))
                        survey->decimals_line[i] = scanner->reader.line;
}

static void add_time(Survey *survey, const Scanner *scanner) {
        unsigned id = survey_stream(scanner), section = scanner->section;
        int64_t local_ms;
        DateShape shape;

        survey->n_dates++;
        if (cell_date_shape(cell_at(scanner, COLUMN_DATE), &shape)) {
                survey->shapes |= DATE_SHAPE_BIT(shape);
                survey->has_long_dates |= !cell_date_is_short(cell_at(scanner, COLUMN_DATE));
        }
        if (!survey_has_seconds(scanner) && survey->n_minutes++ == 0)
                survey->minutes_line = scanner->reader.line;
        if (!survey_moment(scanner, &local_ms)) {
                Cell date = cell_at(scanner, COLUMN_DATE);

                if (survey->n_dates_bad++ == 0) {
                        survey->dates_bad_line = scanner->reader.line;
                        (void) snprintf(survey->dates_bad, sizeof(survey->dates_bad), "%.*s",
                                        (int) (date.n < 31 ? date.n : 31), date.text);
                }
                return;
        }

        /* totals are listed for days of years without any data too: they are no sign of a clock that ran then */
        if (scanner->is_aggregated)
                return;
        if ((local_ms >= day_2016 - 7 * day_ms && local_ms < day_2016) ||
            (local_ms >= day_2016 + day_ms && local_ms < day_2016 + 8 * day_ms))
                survey->has_january_2016 = true;
        if (!survey_is_unset(survey, local_ms) && (survey->oldest_ms[section] == 0 || local_ms < survey->oldest_ms[section]))
                survey->oldest_ms[section] = local_ms;
        if (local_ms > survey->newest_ms[section])
                survey->newest_ms[section] = local_ms;
        if (id != N_STREAMS)
                stream_add(&survey->streams[section][id], scanner->reader.line, local_ms);
}

static void add_setting(Survey *survey, const Scanner *scanner) {
        Cell cell = cell_at(scanner, COLUMN_NEW_TIME);
        int64_t old_ms, new_ms;
        Device scratch;

        if (cell.n && survey_moment(scanner, &old_ms) && cell_moment(cell, scanner->day_first, &new_ms))
                clocks_add(&survey->clocks, scan_device(scanner, &scratch)->key, old_ms, new_ms);
}

static void add_row(Survey *survey, const Scanner *scanner) {
        const Columns *columns = &scanner->columns;

        add_time(survey, scanner);
        add_setting(survey, scanner);
        for (unsigned i = 0; i != scanner->row.n_cells; i++) {
                Cell cell = scanner->row.cells[i];

                if (cell.n == 0)
                        continue;
                switch (column_type(columns->id[i])) {
                case COLUMN_IS_GLUCOSE:
                        check_glucose(survey, scanner, i);
                        check_decimal(survey, scanner, cell);
                        break;
                case COLUMN_IS_SENSITIVITY:
                case COLUMN_IS_INSULIN:
                case COLUMN_IS_RATE:
                case COLUMN_IS_CARBS:
                case COLUMN_IS_NUMBER:
                        check_decimal(survey, scanner, cell);
                        break;
                case COLUMN_IS_DURATION:
                case COLUMN_IS_TEXT:
                        break;
                }
        }
}

static int check_header(Survey *survey, const Scanner *scanner, unsigned unit_override, char *ret_refusal) {
        const Columns *columns = &scanner->columns;
        unsigned other = columns_unit_differs(columns);

        if (columns->at[COLUMN_DATE] == COLUMN_NOWHERE || columns->at[COLUMN_TIME] == COLUMN_NOWHERE) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The header row in line %u has no column %s: without it no row has a time. "
                                "Export the file again from CareLink and import it unchanged.",
                                scanner->reader.line, columns->at[COLUMN_DATE] == COLUMN_NOWHERE ? "Date" : "Time");
                return SURVEY_E_REFUSED;
        }

        for (unsigned i = 0; i != columns->n; i++) {
                Cell name = columns->names[i];
                ColumnType type = column_type(columns->id[i]);
                bool is_glucose = type == COLUMN_IS_GLUCOSE || type == COLUMN_IS_SENSITIVITY;
                const char *missed = is_glucose && unit_override ? NULL : columns_unit_missed(columns, i);

                if (missed) {
                        (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                        "Column \"%.*s\" in line %u does not say its unit as CareLink does: %s is needed in its name. "
                                        "Export the file again%s.",
                                        (int) (name.n < 80 ? name.n : 80), name.text, scanner->reader.line, missed,
                                        is_glucose ? ", or say --unit when you are sure" : "; nothing was imported, because a wrong unit is dangerous");
                        return SURVEY_E_REFUSED;
                }
                if (columns->id[i] == COLUMN_UNKNOWN && column_says_glucose(name)) {
                        (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                        "Column \"%.*s\" in line %u holds glucose by its name, and no device is known to export one of that name: what "
                                        "was measured would be missing. Nothing was imported. If the file was changed, export it again; if CareLink "
                                        "wrote it so, a newer carewallet is needed.",
                                        (int) (name.n < 80 ? name.n : 80), name.text, scanner->reader.line);
                        return SURVEY_E_REFUSED;
                }
                if (columns->id[i] == COLUMN_UNKNOWN && name.n && name.n < 64 &&
                    !memmem(survey->unknown, survey->n_unknown, name.text, name.n) &&
                    survey->n_unknown + name.n + 3 < sizeof(survey->unknown))
                        survey->n_unknown += (size_t) snprintf(survey->unknown + survey->n_unknown,
                                                               sizeof(survey->unknown) - survey->n_unknown, "%s%.*s",
                                                               survey->n_unknown ? ", " : "", (int) name.n, name.text);
        }

        if (other != COLUMN_NOWHERE && !unit_override) {
                Cell name = columns->names[other];

                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Column \"%.*s\" in line %u contradicts the other BWZ columns, which name another unit of glucose. Nothing was imported, "
                                "because a wrong unit is dangerous. Export the file again; if you are sure of the unit, say so with --unit.",
                                (int) (name.n < 80 ? name.n : 80), name.text, scanner->reader.line);
                return SURVEY_E_REFUSED;
        }
        return 0;
}

static const char *unit_words(unsigned unit) {
        return unit == RECORD_UNIT_MG_DL ? "mg/dL (20-600)" : "mmol/L (1.0-33.4)";
}

/*
 * At least 99 % in range. One stray value in a column of a few is no conflict by itself, unless it would fit the other
 * unit: the row is quarantined later.
 */
static int check_units(const Survey *survey, unsigned unit_override, char *ret_refusal) {
        if (unit_override)
                return 0;

        for (unsigned i = 0; i != survey->n_units; i++) {
                const UnitCheck *check = &survey->units[i];
                uint32_t n_out = check->n - check->n_in;

                if ((uint64_t) n_out * 100 <= check->n || (n_out == 1 && check->n > 1 && check->n_other == 0))
                        continue;
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Column \"%s\" does not hold what its name says: %u of %u values are no plausible %s, first %s in line %u%s. "
                                "Nothing was imported, because a wrong unit is dangerous. Export the file again; if you are sure "
                                "of the unit, say so with --unit.",
                                check->name, n_out, check->n, unit_words(check->unit), check->example, check->line,
                                check->n_other * 2 > n_out ? ", and most would fit the other unit" : "");
                return SURVEY_E_REFUSED;
        }
        return 0;
}

static int conclude(Survey *survey, const Scanner *scanner, unsigned unit_override, char *ret_refusal) {
        if (!scanner->delimiter) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "This is not a CareLink CSV export: there is no header row that begins with Index, Date, Time. "
                                "In CareLink choose Reports, Data Export (CSV), and give the downloaded file as it is.");
                return SURVEY_E_REFUSED;
        }
        if (survey->n_dates_bad * UINT64_C(2) > survey->n_dates) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The column Date holds no dates, first \"%s\" in line %u. A spreadsheet program has probably changed the file. "
                                "Export it again and don't open it before the import.", survey->dates_bad, survey->dates_bad_line);
                return SURVEY_E_REFUSED;
        }
        if (survey->n_minutes * UINT64_C(2) > survey->n_dates) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The times have no seconds, first in line %u: a spreadsheet program has cut them off. Beside an unchanged export of the "
                                "same days every record would be there twice, so nothing was imported. "
                                "Export the file again from CareLink and don't open it before the import.", survey->minutes_line);
                return SURVEY_E_REFUSED;
        }
        if (survey->decimals_line[0] && survey->decimals_line[1]) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Numbers are written in two ways: with a decimal comma in line %u and with a point in line %u. "
                                "The file was put together from two, or changed: export it again.",
                                survey->decimals_line[0], survey->decimals_line[1]);
                return SURVEY_E_REFUSED;
        }

        survey->decimal = survey->decimals_line[0] ? ',' : '.';
        return check_units(survey, unit_override, ret_refusal);
}

static int explain(int r, const Scanner *scanner, char *ret_refusal) {
        const char *reason;

        switch (r) {
        case SCAN_E_LINE:
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Line %u is longer than %u KiB: this is not a CareLink CSV export, or it is damaged. "
                                "Export the file again from CareLink.", scanner->reader.line, IMPORT_LINE_MAX / 1024);
                return SURVEY_E_REFUSED;
        case SCAN_E_SECTIONS:
                reason = "The file has far more sections than devices can have: it is damaged. Export it again from CareLink.";
                break;
        case SCAN_E_BINARY:
                reason = "This is not a text file. In CareLink choose Reports, Data Export (CSV), and give the downloaded file as it is.";
                break;
        case SCAN_E_HEADER:
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The header row in line %u can't be read: Index, Date and Time are needed, 512 columns at most, and quotes closed. "
                                "Export the file again from CareLink.", scanner->reader.line);
                return SURVEY_E_REFUSED;
        default:
                return fold(r);
        }

        (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX, "%s", reason);
        return SURVEY_E_REFUSED;
}

/* Whether the last cell of a legacy row, the name of its device, is whole as far as the preamble and the rows before it tell. */
static bool add_device(Survey *survey, const Scanner *scanner) {
        Cell name = cell_at(scanner, COLUMN_RAW_DEVICE);
        bool is_known = name.n >= sizeof(survey->devices[0]);

        for (unsigned i = 0; i != survey->n_devices && !is_known; i++)
                is_known = cell_is(name, survey->devices[i]);
        if (is_known)
                return true;
        for (unsigned i = 0; i != scanner->n_devices; i++)
                is_known |= cell_is(name, scanner->devices[i].model);
        if (survey->n_devices != SURVEY_DEVICES_MAX) {
                char *device = survey->devices[survey->n_devices++];

                if (name.n > 0)
                        memcpy(device, name.text, name.n);
                device[name.n] = '\0';
        }
        return is_known;
}

/* Return: whether the row can be the file's last without a line end */
static bool add_legacy_row(Survey *survey, const Scanner *scanner) {
        uint32_t index;

        if (!scanner->is_legacy)
                return true;
        if (cell_uint(cell_at(scanner, COLUMN_INDEX), &index) && index > survey->last_index)
                survey->last_index = index;
        return add_device(survey, scanner);
}

/* A file that ends within a line, or has NUL bytes where text should be, did not arrive as it was sent: who knows what else is missing. */
static int check_whole(Survey *survey, const Scanner *scanner, ScanItem item, char *ret_refusal) {
        bool is_whole = item == SCAN_ROW ? add_legacy_row(survey, scanner) : item != SCAN_BAD && item != SCAN_HEADER && item != SCAN_SECTION;

        if (item == SCAN_BAD && memchr(scanner->line, 0, scanner->n_line)) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Line %u has NUL bytes: the file is damaged. Nothing was imported. Export it again from CareLink.", scanner->reader.line);
                return SURVEY_E_REFUSED;
        }
        if (!scanner->reader.has_line_end && !is_whole && item != SCAN_END) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The file is cut off in the middle of line %u: it was not downloaded or copied whole. Nothing was imported. "
                                "Export it again from CareLink.", scanner->reader.line);
                return SURVEY_E_REFUSED;
        }
        if (item == SCAN_END && survey->n_rows < survey->n_promised && survey->last_index < survey->n_promised) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The file says that it has %u records, and its last is number %u: its end is missing. It was not downloaded or copied whole. "
                                "Nothing was imported. Export it again from CareLink.", survey->n_promised, survey->last_index);
                return SURVEY_E_REFUSED;
        }
        return 0;
}

/* "DEVICE DATA (7097 records)" and "Data Exported on,10/21/12 8:51 PM" in a legacy preamble */
static void read_preamble(Survey *survey, const char *line, size_t n_line) {
        static const char rows[] = "DEVICE DATA (", exported[] = "Data Exported on,";
        size_t at = sizeof(rows) - 1;

        if (n_line > sizeof(exported) + 2 && memcmp(line, exported, sizeof(exported) - 1) == 0)
                survey->has_half_days = memmem(line + n_line - 3, 3, " AM", 3) || memmem(line + n_line - 3, 3, " PM", 3);
        if (n_line <= at || memcmp(line, rows, at) != 0)
                return;
        for (survey->n_promised = 0; at < n_line && line[at] >= '0' && line[at] <= '9' && survey->n_promised < UINT32_MAX / 16; at++)
                survey->n_promised = survey->n_promised * 10 + (uint32_t) (line[at] - '0');
}

/* Text that is all ASCII says nothing of the encoding. */
static void check_text(Survey *survey, const Scanner *scanner) {
        unsigned char bits = 0;

        for (size_t i = 0; i != scanner->n_line; i++)
                bits |= (unsigned char) scanner->line[i];
        if (bits < 0x80)
                return;
        if (text_valid(scanner->line, scanner->n_line))
                survey->n_utf8++;
        else
                survey->n_foreign++;
}

/* A sensor's current is never exported without the glucose that it gave: the column has another name, or was cut out. */
static int check_sensor(const Scanner *scanner, char *ret_refusal) {
        if (scanner->is_legacy || cell_at(scanner, COLUMN_ISIG).n == 0 || scanner->columns.at[COLUMN_SENSOR_GLUCOSE] != COLUMN_NOWHERE)
                return 0;
        (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                        "Line %u has a sensor's current in column \"ISIG Value\", and no column \"Sensor Glucose\" is there: what was measured would be "
                        "missing. Nothing was imported. If the file was changed, export it again; if CareLink wrote it so, a newer carewallet is needed.",
                        scanner->reader.line);
        return SURVEY_E_REFUSED;
}

static int read_all(Survey *survey, Scanner *scanner, unsigned unit_override, int (*progress)(void *userdata, uint64_t n_read),
                    void *userdata, char *ret_refusal) {
        ScanItem item;
        int r;

        memset(survey, 0, sizeof(*survey));
        scan_rewind(scanner);

        do {
                r = scan_next(scanner, &item);
                if (r)
                        return explain(r, scanner, ret_refusal);

                r = check_whole(survey, scanner, item, ret_refusal);
                if (r)
                        return r;
                if (item != SCAN_END)
                        check_text(survey, scanner);
                if (item == SCAN_PREAMBLE)
                        read_preamble(survey, scanner->line, scanner->n_line);
                if (item == SCAN_HEADER) {
                        r = check_header(survey, scanner, unit_override, ret_refusal);
                        if (r)
                                return r;
                }
                if (item == SCAN_ROW) {
                        r = check_sensor(scanner, ret_refusal);
                        if (r)
                                return r;
                        add_row(survey, scanner);
                }
                survey->n_rows += item == SCAN_ROW || item == SCAN_BAD;

                r = progress ? progress(userdata, scanner->reader.offset) : 0;
                if (r)
                        return r;
        } while (item != SCAN_END);

        return 0;
}

/* M/D/YY is how v1.0.1 writes them for an account in the USA: glucose in mg/dL, and hours from 1 to 12. */
static bool is_american(const Survey *survey, const Scanner *scanner) {
        bool is = scanner->is_legacy && scanner->delimiter == ',' && survey->has_half_days && !survey->has_long_dates;

        for (unsigned i = 0; i != survey->n_units; i++)
                is &= survey->units[i].unit == RECORD_UNIT_MG_DL;
        return is;
}

/* Month and day: known where CareLink writes the year in front, else found out or refused. */
static int decide_dates(const Survey *survey, Scanner *scanner, char *ret_refusal) {
        int r;

        if ((survey->shapes & ~DATE_SHAPE_BIT(DATE_YEAR_FIRST)) == 0)
                return 0;

        r = dates_decide(scanner, survey->shapes, scanner->is_legacy && !survey->has_long_dates, &scanner->day_first);
        if (r == DATES_E_UNDECIDED && is_american(survey, scanner))
                return 0;
        if (r == DATES_E_UNDECIDED && scanner->is_legacy) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "Day and month can't be told apart with certainty in the dates of this file. Nothing was imported. "
                                "Export more days at once, some of them behind the 12th of a month, and don't open the file before the import.");
                return SURVEY_E_REFUSED;
        }
        if (r == DATES_E_UNDECIDED) {
                (void) snprintf(ret_refusal, IMPORT_REFUSAL_MAX,
                                "The dates are not written as CareLink writes them (YYYY/MM/DD), and day and month can't be told apart with certainty. "
                                "A spreadsheet program has probably changed the file. Export it again and don't open it before the import.");
                return SURVEY_E_REFUSED;
        }
        return r;
}

int survey_run(Survey *survey, Scanner *scanner, unsigned unit_override,
               int (*progress)(void *userdata, uint64_t n_read), void *userdata,
               char ret_refusal[static IMPORT_REFUSAL_MAX]) {
        unsigned day_first = scanner->day_first;
        int r;

        r = read_all(survey, scanner, unit_override, progress, userdata, ret_refusal);
        if (r)
                return r;

        /* one that is UTF-8 elsewhere has damaged bytes, not another encoding */
        if (scanner->reader.encoding == ENCODING_UTF8 && survey->n_foreign && !survey->n_utf8) {
                scanner->reader.encoding = ENCODING_CP1252;
                r = read_all(survey, scanner, unit_override, progress, userdata, ret_refusal);
                if (r)
                        return r;
        }

        r = decide_dates(survey, scanner, ret_refusal);
        if (r)
                return r;
        if (scanner->day_first != day_first) {
                r = read_all(survey, scanner, unit_override, progress, userdata, ret_refusal);
                if (r)
                        return r;
        }

        for (unsigned i = 1; i <= scanner->section; i++)
                scanner->sensors |= (uint64_t) survey->streams[i][STREAM_READINGS].is_begun << (i - 1);
        return conclude(survey, scanner, unit_override, ret_refusal);
}

static bool in_run(const Run *run, int64_t local_ms) {
        const Span *span = &run->spans[is_reset_day(local_ms)];

        return local_ms >= span->first_ms && local_ms <= span->last_ms;
}

/* A stretch of the same hours as the zone repeats: the clock was put back when the zone said so. */
static bool run_begins_repeat(const Run *run, bool is_later, Zones *zones, int64_t local_ms) {
        /* a later run begins, an earlier one ends, within the repeated hour or a little beside it */
        const Span *span = &run->spans[is_reset_day(local_ms)];
        int64_t edge_ms = is_later ? span->first_ms : span->last_ms;

        return span->first_ms <= span->last_ms && edge_ms > local_ms - 2 * hour_ms && edge_ms < local_ms + 2 * hour_ms &&
               (zones_repeat(zones, edge_ms) || zones_repeat(zones, edge_ms + (is_later ? 10 : -10) * minute_ms));
}

Epoch survey_epoch(Survey *survey, const Scanner *scanner, Zones *zones, int64_t local_ms) {
        unsigned id = survey_stream(scanner);
        Epoch epoch = { 0 };
        Stream *stream;
        bool is_newest_first, is_repeat;
        const Runs *runs;

        if (id == N_STREAMS)
                return epoch;

        stream = &survey->streams[scanner->section][id];
        is_newest_first = stream->n_steps[0] >= stream->n_steps[1];
        runs = &stream->runs[is_newest_first ? 0 : 1];
        if (runs->n < 2 || runs->n > SURVEY_RUNS_MAX)
                return epoch;

        while (stream->at + 1 < runs->n && scanner->reader.line >= runs->runs[stream->at + 1].line)
                stream->at++;

        is_repeat = zones_repeat(zones, local_ms);
        for (unsigned i = 0; i != runs->n; i++) {
                const Run *run = &runs->runs[i];
                bool is_later = is_newest_first ? i < stream->at : i > stream->at;

                if (i == stream->at)
                        continue;
                if (!is_later && in_run(run, local_ms) && epoch.epoch < UINT16_MAX)
                        epoch.epoch++;
                if (is_repeat && run_begins_repeat(run, is_later, zones, local_ms))
                        epoch.pass = is_later ? ZONE_FIRST : ZONE_SECOND;
                if (!is_repeat && is_later && in_run(run, local_ms))
                        epoch.is_disputed = true;
        }

        return epoch;
}
