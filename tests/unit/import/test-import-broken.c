/* SPDX-License-Identifier: Apache-2.0 */

/* What becomes of files that something happened to on their way: read all the same, or refused with what to do next. */

#include "collect.h"
#include "daemon/workers/import/reader.h"

#include <sys/socket.h>
#include <sys/stat.h>

static void refused(const char *text, size_t n, const char *because) {
        Imported i;

        import_bytes(&i, text, n);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        if (!strstr(i.refusal, because))
                fail_msg("\"%s\" does not say \"%s\"", i.refusal, because);
        imported_done(&i);
}

#define REFUSED(text, because) refused(text, sizeof(text) - 1, because)

static void units_that_contradict_the_values_are_refused(void **state) {
        static const char word[] = HEAD "0;2025/05/03;10:00:00;;5,5;;;;;\n";
        Imported i;
        int fd;

        (void) state;
        REFUSED(HEAD "0;2025/05/03;10:00:00;;5,5;;;;;\n1;2025/05/03;09:55:00;;6,1;;;;;\n", "Column \"Sensor Glucose (mg/dL)\"");
        REFUSED("Index;Date;Time;Sensor Glucose (mmol/L)\n0;2025/05/03;10:00:00;120\n", "Column \"Sensor Glucose (mmol/L)\"");
        REFUSED("Index;Date;Time;Sensor Glucose\n0;2025/05/03;10:00:00;120\n", "does not say its unit");

        /* the patient's word counts, and is noted */
        fd = memory_file(word, sizeof(word) - 1);
        import_fd(&i, fd, RECORD_UNIT_MMOL_L);
        assert_int_equal(i.r, 0);
        assert_value(&i.records[0], RECORD_CGM, RECORD_UNIT_MMOL_L, 5500);
        assert_true(strstr(i.notes, "because you said so"));
        imported_done(&i);
        close_fd(fd);
}

static void a_glucose_column_of_another_name_is_refused_not_left_out(void **state) {
        static const char *const names[] = { "Sensor glucose value (mg/dL)", "sensor glucose (mg/dL)", "Sensor Glucose [MG/DL]", "Glucosa mg / dl", "Glucose (mmol/l)" };

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(names); n++) {
                char text[256];
                int n_text = snprintf(text, sizeof(text), "Index;Date;Time;%s;ISIG Value\n0;2025/05/03;10:00:00;100;20,5\n", names[n]);

                refused(text, (size_t) n_text, names[n]);
        }
        REFUSED("Index;Date;Time;Sensor Glucose value;ISIG Value\n0;2025/05/03;10:00:00;100;20,5\n", "no column \"Sensor Glucose\"");
        REFUSED("Index;Date;Time;ISIG Value\n0;2025/05/03;10:00:00;20,5\n", "no column \"Sensor Glucose\"");
}

static void a_unit_may_be_in_small_letters(void **state) {
        Imported i;

        (void) state;
        import_text(&i, "Index;Date;Time;Sensor Glucose (mg/dl);ISIG Value\n0;2025/05/03;10:00:00;100;20,5\n");
        assert_int_equal(i.r, 0);
        assert_value(&i.records[0], RECORD_CGM, RECORD_UNIT_MG_DL, 100000);
        imported_done(&i);
}

static void ninety_nine_of_a_hundred_values_must_fit_the_unit(void **state) {
        for (unsigned n_wrong = 0; n_wrong != 4; n_wrong++) {
                char text[16384];
                size_t at = (size_t) sprintf(text, "%s", HEAD);
                Imported i;

                for (unsigned n = 0; n != 200; n++)
                        at += (size_t) sprintf(text + at, "%u;2025/05/03;10:%02u:%02u;;%s;;;;;\n", n, n / 60, n % 60, n < n_wrong ? "900" : "120");
                import_bytes(&i, text, at);
                assert_int_equal(i.r, n_wrong <= 2 ? 0 : IMPORT_E_REFUSED);
                if (n_wrong == 1)
                        assert_int_equal(got_at(&i, 3, false)->record.flags, RECORD_HAS_VALUE | RECORD_QUARANTINED);
                imported_done(&i);
        }
        (void) state;
}

static void other_files_are_refused_with_what_to_do_next(void **state) {
        (void) state;
        REFUSED("", "is empty");
        REFUSED("hello\nworld\n", "not a CareLink CSV export");
        REFUSED("{\"_id\": 1}", "not a CareLink CSV export");
        REFUSED("\n\n\n", "not a CareLink CSV export");
        REFUSED("\x7f" "ELF\x02\x01\x01\0\0\0\0", "not a text file");
        REFUSED("Index;Time;BG Reading (mg/dL)\n", "no column Date");
        REFUSED("Index;Nothing;Else\n", "can't be read");
        REFUSED("Index;Date;Time;BG Reading (mg/dL)\n0;12/13/2017;10:00:00;100\n1;02-12-2018;10:00:00;100\n", "spreadsheet");
        REFUSED("Index;Date;Time;Basal Rate (U/h)\n0;2025/05/03;10:00:00;1,5\n1;2025/05/03;10:00:00;1.5\n", "two ways");
        REFUSED("Index;Date;Time;Basal Rate (U/h)\n0;2025/05/03;10:00:00;n.a.\n", "Not one of 1 rows could be read; the first: line 2: column Basal Rate");
}

static void what_is_no_regular_file_is_refused_without_a_read(void **state) {
        char path[] = "/tmp/import-test-XXXXXX", fifo[64];
        int pair[2], pipes[2], fds[5];

        (void) state;
        assert_non_null(mkdtemp(path));
        (void) snprintf(fifo, sizeof(fifo), "%s/fifo", path);
        assert_int_equal(mkfifo(fifo, 0600), 0);
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
        assert_int_equal(pipe(pipes), 0);
        fds[0] = open(path, O_RDONLY | O_DIRECTORY);
        fds[1] = open(fifo, O_RDWR);
        fds[2] = open("/dev/zero", O_RDONLY);
        fds[3] = pair[0];
        fds[4] = pipes[0];

        for (size_t n = 0; n != N_ELEMENTS(fds); n++) {
                Imported i;

                assert_true(fds[n] >= 0);
                import_fd(&i, fds[n], 0);
                assert_int_equal(i.r, IMPORT_E_REFUSED);
                assert_true(strstr(i.refusal, "not a regular file"));
                close_fd(fds[n]);
        }
        close_fd(pair[1]);
        close_fd(pipes[1]);
        assert_int_equal(unlink(fifo), 0);
        assert_int_equal(rmdir(path), 0);
}

static void a_descriptor_that_can_t_be_read_is_refused(void **state) {
        char path[] = "/tmp/import-test-XXXXXX";
        int fd = mkstemp(path), write_only;
        Imported i;

        (void) state;
        assert_int_equal(write(fd, HEAD, sizeof(HEAD) - 1), sizeof(HEAD) - 1);
        write_only = open(path, O_WRONLY);
        import_fd(&i, write_only, 0);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "can't be read"));
        import_fd(&i, -1, 0);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        close_fd(write_only);
        close_fd(fd);
        assert_int_equal(unlink(path), 0);
}

static void a_line_of_2_gib_and_ten_million_columns_are_refused_at_once(void **state) {
        char path[] = "/tmp/import-test-XXXXXX";
        size_t n = 10 * 1000 * 1000;
        char *columns = malloc(n);
        int fd = mkstemp(path);
        Imported i;

        (void) state;
        /* sparse: 900 MiB without a line end (NUL bytes behind text), then 2 GiB, which is over the size limit */
        assert_int_equal(write(fd, HEAD, sizeof(HEAD) - 1), sizeof(HEAD) - 1);
        assert_int_equal(ftruncate(fd, (off_t) 900 << 20), 0);
        import_fd(&i, fd, 0);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "longer than 64 KiB"));
        assert_int_equal(ftruncate(fd, (off_t) 2 << 30), 0);
        import_fd(&i, fd, 0);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "1 GiB"));
        close_fd(fd);
        assert_int_equal(unlink(path), 0);

        assert_non_null(columns);
        memset(columns, ';', n);
        memcpy(columns, "Index;Date;Time", 15);
        import_bytes(&i, columns, n);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        /* short enough for a line, too many for a row */
        columns[4000] = '\n';
        import_bytes(&i, columns, 4001);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "512 columns"));
        free(columns);
}

static void rejected(const char *rows, const char *because) {
        char text[4096];
        Imported i;

        (void) snprintf(text, sizeof(text), "%s9;2025/05/03;12:00:00;;100;;;;;\n%s", HEAD, rows);
        import_text(&i, text);
        assert_int_equal(i.r, 0);
        assert_int_equal(i.n, 1);
        assert_int_equal(i.n_rejected, 1);
        assert_int_equal(i.rejected_line, 4);
        if (!strstr(i.reason, because))
                fail_msg("\"%s\" does not say \"%s\"", i.reason, because);
        imported_done(&i);
}

static void a_file_that_did_not_arrive_whole_is_refused(void **state) {
        char with_nul[sizeof(HEAD) + 128];
        size_t n;
        Imported i;

        (void) state;
        import_text(&i, HEAD "9;2025/05/03;12:00:00;;100;;;;;\n1;2025/05/03;10:00:00;;10");
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "cut off in the middle of line 4"));
        import_text(&i, HEAD "9;2025/05/03;12:00:00;;100;;;;;\n-------;MiniM");
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        /* whole, but for the last line's end: nothing is missing */
        import_text(&i, HEAD "9;2025/05/03;12:00:00;;100;;;;;");
        assert_int_equal(i.r, 0);
        assert_int_equal(i.n, 1);
        imported_done(&i);

        n = (size_t) snprintf(with_nul, sizeof(with_nul), "%s0;2025/05/03;10:00:00;;100;;;;;\n1;2025/05/03;09:00:00;;1?0;;;;;\n", HEAD);
        *strchr(with_nul, '?') = '\0';
        import_bytes(&i, with_nul, n);
        assert_int_equal(i.r, IMPORT_E_REFUSED);
        assert_true(strstr(i.refusal, "Line 4 has NUL bytes"));
}

#define LEGACY_HEAD "Index,Date,Time,BG Reading (mg/dL),Raw-Type,Raw-Values,Raw-Device Type\n"
#define LEGACY_ROW(n) #n ",3/16/15,08:0" #n ":00,134,BGReceived,AMOUNT=134,Paradigm 522"

static void legacy(const char *text, const char *because) {
        Imported i;

        import_text(&i, text);
        assert_int_equal(i.r, because ? IMPORT_E_REFUSED : 0);
        if (because && !strstr(i.refusal, because))
                fail_msg("\"%s\" does not say \"%s\"", i.refusal, because);
        assert_true(because || i.n_sources == 1);
        imported_done(&i);
}

static void a_legacy_file_without_its_end_is_refused(void **state) {
        static const char promised[] = "DEVICE DATA (3 records)\n" LEGACY_HEAD LEGACY_ROW(1) "\n" LEGACY_ROW(2) "\n" LEGACY_ROW(3) "\n";
        static const char rows[] = LEGACY_HEAD LEGACY_ROW(1) "\n" LEGACY_ROW(2);
        char text[sizeof(promised) + sizeof(rows)];

        (void) state;
        for (size_t n = strlen(promised); n > 0; n--) {
                memcpy(text, promised, n);
                text[n] = '\0';
                if (n >= strlen(promised) - 1)
                        legacy(text, NULL);
                else if (n > strlen(promised) - 1 - strlen(LEGACY_ROW(3)))
                        legacy(text, "cut off in the middle of line 5");
                else if (n == strlen(promised) - 1 - strlen(LEGACY_ROW(3)))
                        legacy(text, "has 3 records, and its last is number 2: its end is missing");
        }
        /* without a preamble a last row is known to be cut by its cells, or by its device */
        for (size_t n = strlen(rows); n > strlen(rows) - strlen(LEGACY_ROW(2)); n--) {
                memcpy(text, rows, n);
                text[n] = '\0';
                legacy(text, n == strlen(rows) ? NULL : "cut off in the middle of line 3");
        }
        legacy("DEVICE DATA (3 records)\n" LEGACY_HEAD LEGACY_ROW(2) "\n" LEGACY_ROW(3) "\n", NULL);
}

static void a_bolus_beyond_what_a_pump_gives_is_quarantined(void **state) {
        static const struct {
                const char *programmed, *delivered;
                bool is_quarantined;
        } cases[] = { { "5,25", "99", true }, { "75", "75,001", true }, { "75", "75", false }, { "5,25", "5,25", false } };

        (void) state;
        for (size_t n = 0; n != N_ELEMENTS(cases); n++) {
                char text[1024];
                Imported i;

                (void) snprintf(text, sizeof(text), "%s0;2025/05/03;10:00:00;;;Normal;%s;%s;7;\n", HEAD, cases[n].programmed, cases[n].delivered);
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.n, 1);
                assert_int_equal(i.records[0].record.flags, RECORD_HAS_VALUE | (cases[n].is_quarantined ? RECORD_QUARANTINED : 0));
                imported_done(&i);
        }
}

static void glucose_with_more_digits_than_a_record_holds_is_rejected_not_rounded(void **state) {
        Imported i;

        (void) state;
        rejected("0;2025/05/03;10:00:00;;109,0000001;;;;;\n", "more than three decimals");
        rejected("0;2025/05/03;10:00:00;109,0001;;;;;;\n", "more than three decimals");
        /* zeros say nothing */
        import_text(&i, HEAD "0;2025/05/03;10:00:00;;109,0000000;;;;;\n1;2025/05/03;09:55:00;;109,125;;;;;\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(i.n, 2);
        imported_done(&i);
}

static void rows_that_can_t_be_read_are_named_and_the_rest_is_kept(void **state) {
        (void) state;
        rejected("1;2025/05/03;10:00:00;\"100;;;;;;\n", "quotation mark");
        rejected("1;2025/05/03;10:00:00;\xff;;;;;;\n", "column BG Reading: \"\xc3\xbf\" is no");
        rejected("1;2025/05/03;10:00:00;;100\n", "5 columns where the header has 10");
        rejected("1;2025/05/03;10:00:00;;100;;;;;;;x\n", "12 columns where");
        rejected("1;2025/02/30;10:00:00;;100;;;;;\n", "date and time");
        rejected("1;2025/05/03;25:00:00;;100;;;;;\n", "date and time");
        rejected("1;2025/05/03;10:00:00;;;Normal;1;zwei;5;\n", "column Bolus Volume Delivered: \"zwei\" is no number");
        rejected("Total;;;;;;;;;\n", "date and time");
}

static void a_file_without_rows_is_said_to_have_none(void **state) {
        Imported i;

        (void) state;
        import_text(&i, HEAD);
        assert_int_equal(i.r, 0);
        assert_int_equal(i.end.n_rows, 0);
        assert_true(strstr(i.notes, "no data row"));
        imported_done(&i);
}

static void unknown_columns_are_kept_and_named(void **state) {
        Imported i;

        (void) state;
        import_text(&i, "Index;Date;Time;Sensor Glucose (mg/dL);Mood;Sensor State\n0;2025/05/03;10:00:00;100;good \"day\";\n");
        assert_int_equal(i.r, 0);
        assert_text(&i.records[0], FIELD_EXTRA, "Mood=good \"day\"");
        assert_true(strstr(i.notes, "Mood"));
        imported_done(&i);
}

static void carriage_returns_alone_end_lines_too(void **state) {
        char text[] = HEAD "0;2025/05/03;10:00:00;;100;;;;;\n1;2025/05/03;09:55:00;;101;;;;;\n";
        Imported i;

        (void) state;
        for (char *c = text; *c; c++)
                if (*c == '\n')
                        *c = '\r';
        import_text(&i, text);
        assert_int_equal(i.r, 0);
        assert_int_equal(i.n, 2);
        imported_done(&i);
}

/* @text as UTF-16 or Windows-1252, for letters that both have */
static size_t encode(char *ret, const char *text, Encoding encoding, bool has_mark) {
        size_t n = 0;

        if (has_mark && encoding != ENCODING_CP1252) {
                ret[n++] = encoding == ENCODING_UTF16_LE ? '\xff' : '\xfe';
                ret[n++] = encoding == ENCODING_UTF16_LE ? '\xfe' : '\xff';
        }
        while (*text) {
                bool is_mark = strncmp(text, "\xe2\x84\xa2", 3) == 0; /* U+2122, trade mark */
                uint16_t unit = is_mark ? 0x2122 : (unsigned char) *text;

                text += is_mark ? 3 : 1;
                if (encoding == ENCODING_CP1252) {
                        ret[n++] = is_mark ? '\x99' : (char) unit;
                } else {
                        ret[n++] = (char) (encoding == ENCODING_UTF16_LE ? unit : unit >> 8);
                        ret[n++] = (char) (encoding == ENCODING_UTF16_LE ? unit >> 8 : unit);
                }
        }
        return n;
}

static void the_encoding_makes_no_difference(void **state) {
        static const char text[] = "-------;Guardian\xe2\x84\xa2 X;Sensor;NG1;-------\r\nIndex;Date;Time;Sensor Glucose (mg/dL);Alert\r\n"
                                   "0;2025/05/03;10:00:00;;A\xe2\x84\xa2 B\r\n1;2025/05/03;09:55:00;x\xe2\x84\xa2;\r\n2;2025/05/03;09:50:00;101;\r\n";
        Imported plain;
        char bytes[1024];

        (void) state;
        import_text(&plain, text);
        assert_int_equal(plain.r, 0);
        assert_int_equal(plain.n, 2);
        assert_int_equal(plain.n_rejected, 1);
        for (unsigned encoding = ENCODING_UTF16_LE; encoding <= ENCODING_CP1252; encoding++) {
                for (unsigned has_mark = 0; has_mark != 2; has_mark++) {
                        size_t n = encode(bytes, text, (Encoding) encoding, has_mark);
                        Imported i;

                        import_bytes(&i, bytes, n);
                        assert_int_equal(i.r, 0);
                        assert_int_equal(i.n, 2);
                        assert_adds_nothing(&plain, &i);
                        assert_adds_nothing(&i, &plain);
                        assert_string_equal(i.row, plain.row);
                        imported_done(&i);
                }
        }
        imported_done(&plain);
}

/* Readings every hour of days 3 to 9 of February 2018, dates as printed by @date. */
static size_t week(char *ret, const char *format, const char *separator_late) {
        size_t n = (size_t) sprintf(ret, "%s", HEAD);

        for (unsigned day = 14; day >= 3; day--) {
                for (unsigned hour = 24; hour-- > 0;) {
                        n += (size_t) sprintf(ret + n, "0;");
                        if (separator_late && day > 12)
                                n += (size_t) sprintf(ret + n, "2%s%u%s2018", separator_late, day, separator_late);
                        else if (strchr(format, '$'))
                                n += (size_t) sprintf(ret + n, "%02u.02.2018", day);
                        else
                                n += (size_t) sprintf(ret + n, "02%s%02u%s2018", format, day, format);
                        n += (size_t) sprintf(ret + n, ";%02u:00:00;;1%02u;;;;;\n", hour, day);
                }
        }
        return n;
}

static void dates_of_a_spreadsheet_are_found_out_from_the_whole_file(void **state) {
        static const struct {
                const char *format, *late;
        } forms[] = { { "/", NULL }, { "-", "/" }, { "-", NULL }, { "$", NULL } };
        char *text = malloc(64 * 1024);

        (void) state;
        assert_non_null(text);
        for (size_t f = 0; f != N_ELEMENTS(forms); f++) {
                size_t n = week(text, forms[f].format, forms[f].late);
                Imported i;

                import_bytes(&i, text, n);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.n, 12 * 24);
                assert_int_equal(i.n_rejected, 0);
                assert_true(strstr(i.notes, "spreadsheet"));
                for (size_t k = 0; k != i.n; k++) {
                        const Record *record = &i.records[k].record;

                        assert_int_equal(record->local_ms / 86400000, 17565 + record->value_milli / 1000 - 103); /* 2018-02-03 */
                }
                imported_done(&i);
        }
        free(text);
}

static void dates_that_could_be_either_are_refused(void **state) {
        (void) state;
        REFUSED(HEAD "0;02/03/2018;10:00:00;;120;;;;;\n1;02/03/2018;09:55:00;;120;;;;;\n", "can't be told apart");
        REFUSED(HEAD "0;02/04/2018;10:00:00;;120;;;;;\n1;02/03/2018;09:55:00;;120;;;;;\n", "can't be told apart");
        /* a reading a day for twelve days, or one on the fifth of every month: sparse data say nothing */
        for (unsigned n_a_day = 1; n_a_day <= 4; n_a_day++) {
                char text[4096];
                size_t n = (size_t) sprintf(text, "%s", HEAD);
                Imported i;

                for (unsigned row = 12 * n_a_day; row-- > 0;)
                        n += (size_t) sprintf(text + n, "0;05/%02u/2025;%02u:00:00;;120;;;;;\n", row / n_a_day + 1, row % n_a_day + 8);
                if (n_a_day < 4) {
                        refused(text, n, "can't be told apart");
                        continue;
                }
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.n, 48);
                imported_done(&i);
        }
        /* one row that fits one way only decides nothing */
        REFUSED(HEAD "0;25/12/2018;10:00:00;;120;;;;;\n1;02/03/2018;09:55:00;;120;;;;;\n", "can't be told apart");
}

/* M/D/YY is what the form has for an account in the USA, and no other: the file says of which country it is, or its days do. */
static void a_legacy_date_has_its_month_first_where_the_file_says_so(void **state) {
        static const struct {
                const char *exported, *date, *next, *unit;
                int32_t day; /* 0: could be either */
        } files[] = {
                { "4/11/15 8:21 PM", "4/11/15", "4/12/15", "mg/dL", 16536 }, /* 2015-04-11 */
                { "4/11/15 8:21 AM", "4/11/15", "4/12/15", "mg/dL", 16536 },
                { "4/11/15 20:21", "4/11/15", "4/12/15", "mg/dL", 0 },
                { "4/11/15 8:21 PM", "4/11/15", "4/12/15", "mmol/L", 0 },
                { NULL, "4/11/15", "4/12/15", "mg/dL", 0 },
                { "4/11/15 8:21 PM", "11/04/2015", "12/04/2015", "mg/dL", 0 },
                { "4/11/15 8:21 PM", "4/11/2015", "4/12/2015", "mg/dL", 0 },
                { "4/11/15 8:21 PM", "04/11/15", "04/12/15", "mg/dL", 0 },
                { "4/11/15 8:21 PM", "4/01/15", "4/02/15", "mg/dL", 0 },
                { NULL, "4/11/15", "4/13/15", "mg/dL", 16536 },
                { NULL, "11/4/15", "13/4/15", "mg/dL", 16536 },
                { "4/11/15 8:21 PM", "11/4/15", "13/4/15", "mmol/L", 16536 },
                { NULL, "4/4/15", "5/5/15", "mg/dL", 16529 }, /* the same either way */
        };

        (void) state;
        for (size_t f = 0; f != N_ELEMENTS(files); f++) {
                char text[1024];
                int n = snprintf(text, sizeof(text), "%s%s%sIndex,Date,Time,BG Reading (%s),Raw-Type,Raw-Values,Raw-ID,Raw-Upload ID,Raw-Seq Num,Raw-Device Type\n"
                                                     "1,%s,08:21:32,%s,BGReceived,AMOUNT=1,1,2,3,Paradigm Revel - 723\n2,%s,08:21:32,,Rewind,,4,5,6,Paradigm Revel - 723\n",
                                 files[f].exported ? "Data Exported on," : "", files[f].exported ? files[f].exported : "", files[f].exported ? "\n" : "",
                                 files[f].unit, files[f].date, files[f].unit[1] == 'g' ? "100" : "5.5", files[f].next);
                Imported i;

                if (files[f].day == 0) {
                        refused(text, (size_t) n, "can't be told apart");
                        continue;
                }
                import_text(&i, text);
                assert_int_equal(i.r, 0);
                assert_int_equal(i.records[0].record.local_ms / 86400000, files[f].day);
                imported_done(&i);
        }
}

static void a_file_whose_times_lost_their_seconds_is_refused(void **state) {
        Imported i;

        (void) state;
        REFUSED(HEAD "0;2025/05/03;10:00;;100;;;;;\n1;2025/05/03;09:55;;101;;;;;\n2;2025/05/03;09:50:12;;101;;;;;\n", "no seconds, first in line 3");
        REFUSED(HEAD "0;2025/05/03;10:00 PM;;100;;;;;\n", "every record would be there twice");

        /* single ones: each is a row that cannot be told from its uncut self */
        import_text(&i, HEAD "0;2025/05/03;10:00:00;;100;;;;;\n1;2025/05/03;09:55:00;;101;;;;;\n2;2025/05/03;09:50;;101;;;;;\n");
        assert_int_equal(i.r, 0);
        assert_int_equal(i.n, 2);
        assert_int_equal(i.rejected_line, 5);
        assert_string_equal(i.reason, "its time has no seconds: a spreadsheet program has cut them off");
        imported_done(&i);
}

int main(void) {
        static const struct CMUnitTest tests[] = {
                cmocka_unit_test(units_that_contradict_the_values_are_refused),
                cmocka_unit_test(a_glucose_column_of_another_name_is_refused_not_left_out),
                cmocka_unit_test(a_unit_may_be_in_small_letters),
                cmocka_unit_test(ninety_nine_of_a_hundred_values_must_fit_the_unit),
                cmocka_unit_test(other_files_are_refused_with_what_to_do_next),
                cmocka_unit_test(what_is_no_regular_file_is_refused_without_a_read),
                cmocka_unit_test(a_descriptor_that_can_t_be_read_is_refused),
                cmocka_unit_test(a_line_of_2_gib_and_ten_million_columns_are_refused_at_once),
                cmocka_unit_test(a_file_that_did_not_arrive_whole_is_refused),
                cmocka_unit_test(a_legacy_file_without_its_end_is_refused),
                cmocka_unit_test(a_bolus_beyond_what_a_pump_gives_is_quarantined),
                cmocka_unit_test(glucose_with_more_digits_than_a_record_holds_is_rejected_not_rounded),
                cmocka_unit_test(rows_that_can_t_be_read_are_named_and_the_rest_is_kept),
                cmocka_unit_test(a_file_without_rows_is_said_to_have_none),
                cmocka_unit_test(unknown_columns_are_kept_and_named),
                cmocka_unit_test(carriage_returns_alone_end_lines_too),
                cmocka_unit_test(the_encoding_makes_no_difference),
                cmocka_unit_test(dates_of_a_spreadsheet_are_found_out_from_the_whole_file),
                cmocka_unit_test(dates_that_could_be_either_are_refused),
                cmocka_unit_test(a_legacy_date_has_its_month_first_where_the_file_says_so),
                cmocka_unit_test(a_file_whose_times_lost_their_seconds_is_refused),
        };

        return cmocka_run_group_tests(tests, berlin, NULL);
}
