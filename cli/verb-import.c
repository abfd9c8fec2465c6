/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "daemon/common/text.h"

enum {
        UNIT,
        MODEL,
        SERIAL,
        NO_CHECKSUM,

        REJECTED_SHOWN = 20, /* lines in the report on a terminal */
        CLOCK_CHANGES_SHOWN = 5,
};

static const Option options[] = {
        [UNIT] = {"unit", "UNIT", "what the glucose columns are in, whatever they say: mg/dL or mmol/L; a wrong one is dangerous", "mg/dL mmol/L"},
        [MODEL] = {"model", "NUMBER", "the files are pages of a pump's memory, and this is the pump's model: 522, 723, 554 ...", NULL},
        [SERIAL] = {"serial", "DIGITS", "and this its serial number: six digits, on its back", NULL},
        [NO_CHECKSUM] = {"no-checksum", NULL, "the pages were saved without their checksums: take them, unverified, where they read through to their ends", NULL},
        {NULL, NULL, NULL, NULL},
};

/* Say why a file is not imported; with --json its reason stands in the array too. */
static int refuse(const Cli *cli, json_t *reports, const char *path, const char *reason) {
        (void) json_array_append_new(reports, json_pack("{s:s, s:s}", "file", path, "refused", reason));
        return cli_fail(cli, EXIT_REFUSED, "%s was not imported. %s", path, reason);
}

/* Opened as the user: the daemon reads what you may read, and only what you gave it. */
static const char *open_file(const char *path, int *ret_fd) {
        cleanup(close_fdp) int fd = -1;
        struct stat st;

        fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY);
        if (fd < 0 || fstat(fd, &st) < 0)
                return errno == ENOENT ? "There is no such file." : errno == EACCES ? "You may not read it." : strerror(errno);
        if (S_ISDIR(st.st_mode))
                return "It is a folder: give the CSV file in it.";
        if (!S_ISREG(st.st_mode))
                return "It is no ordinary file but a pipe or a device: save the data to a file first, then import that.";
        if (st.st_size == 0)
                return "The file is empty.";

        *ret_fd = take_fd(&fd);
        return NULL;
}

static void print_kinds(const json_t *by_kind) {
        static const struct {
                const char *name, *one, *many;
        } counts[] = {
                {"inserted", "new", "new"}, {"duplicates", "known already", "known already"}, {"superseded", "replaced", "replaced"},
                {"merged", "further row in them", "further rows in them"}, {"quarantined", "implausible", "implausible"},
        };
        const char *kind;
        json_t *value;

        json_object_foreach ((json_t *) (uintptr_t) by_kind, kind, value) {
                bool any = false;

                for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
                        int64_t n = message_int(value, counts[i].name, 0);

                        if (n == 0)
                                continue;
                        if (!any)
                                printf("  %-14s", output_kind(kind));
                        fputs(any ? ", " : "", stdout);
                        output_count(stdout, n, counts[i].one, counts[i].many);
                        any = true;
                }
                if (any)
                        putchar('\n');
        }
}

static void print_counts(const json_t *report) {
        static const struct {
                const char *name, *one, *many;
        } counts[] = {
                {"superseded", "replaced by what this file says", "replaced by what this file says"},
                {"merged", "further row of the same events", "further rows of the same events"},
                {"extra", "further record from a row with several", "further records from rows with several"},
        };
        cleanup(freep) char *text = NULL;
        char number[OUTPUT_NUMBER_SIZE];
        size_t n_text;
        FILE *memory = open_memstream(&text, &n_text);

        if (!memory)
                return;
        output_count(memory, message_int(report, "inserted", 0), "new record", "new records");
        fprintf(memory, ", %s known already", output_number(number, message_int(report, "duplicates", 0)));
        for (size_t i = 0; i < N_ELEMENTS(counts); i++) {
                int64_t n = message_int(report, counts[i].name, 0);

                if (n == 0)
                        continue;
                fputs(", ", memory);
                output_count(memory, n, counts[i].one, counts[i].many);
        }
        if (fclose(memory) == 0)
                output_say(stdout, 2, "%s", text);
}

/* What is implausible, and what clocks did; of times that are less sure than others the notes say. */
static void print_doubts(const json_t *report) {
        const json_t *changes = json_object_get(report, "clockChanges"), *change;
        int64_t n_quarantined = message_int(report, "quarantined", 0), n_changes = message_int(report, "clockChangesCount", 0);
        int64_t n_repeated = message_int(json_object_get(report, "clocks"), "repeated", 0);
        char number[OUTPUT_NUMBER_SIZE];
        size_t i;

        if (n_quarantined > 0)
                output_say(stdout, 2, "%s implausible: you see %s, no provider and no statistic does", output_number(number, n_quarantined), n_quarantined == 1 ? "it" : "them");
        if (n_repeated > 0)
                output_say(stdout, 2, "%s in an hour that the clock showed twice, told apart by the order of rows", output_number(number, n_repeated));
        json_array_foreach (changes, i, change) {
                if (i == CLOCK_CHANGES_SHOWN)
                        break;
                printf("  clock set at %s%s%s\n", message_text(change, "at", "?"), message_text(change, "to", NULL) ? " to " : "", message_text(change, "to", ""));
        }
        if (n_changes > CLOCK_CHANGES_SHOWN)
                output_say(stdout, 2, "clock set %s more time%s", output_number(number, n_changes - CLOCK_CHANGES_SHOWN), n_changes == CLOCK_CHANGES_SHOWN + 1 ? "" : "s");
}

void cli_print_report(const json_t *report, const char *path, int64_t id) {
        const json_t *rejected = json_object_get(report, "rejected"), *notes = json_object_get(report, "notes");
        const json_t *devices = json_object_get(report, "devices"), *value;
        const char *first = message_text(report, "firstDay", NULL), *last = message_text(report, "lastDay", NULL);
        int64_t n_rejected = message_int(report, "rejectedCount", (int64_t) json_array_size(rejected)), n_rows = message_int(report, "rows", 0);
        char number[OUTPUT_NUMBER_SIZE];
        size_t i;

        printf("%s%s%s\n", paint(stdout, PAINT_BOLD), path, unpaint(stdout));
        output_say(stdout, 2, "%s, %s row%s%s%s%s%s", message_text(report, "format", "imported"), output_number(number, n_rows), n_rows == 1 ? "" : "s",
                   first && last ? ", " : "", first && last ? first : "", first && last ? " to " : "", first && last ? last : "");
        print_counts(report);
        print_kinds(json_object_get(report, "byKind"));

        json_array_foreach (devices, i, value) { /* one device has several sections */
                const char *model = message_text(value, "model", ""), *serial = message_text(value, "serial", "");
                size_t before = 0;

                while (before < i && (strcmp(message_text(json_array_get(devices, before), "model", ""), model) != 0 ||
                                      strcmp(message_text(json_array_get(devices, before), "serial", ""), serial) != 0))
                        before++;
                if (before < i)
                        continue;
                printf("  from %s%s%s\n", model[0] ? model : "an unnamed device", serial[0] ? ", serial " : "", serial);
        }
        print_doubts(report);
        json_array_foreach (notes, i, value)
                output_say(stdout, 2, "%sNote:%s %s", paint(stdout, PAINT_WARNING), unpaint(stdout), json_is_string(value) ? json_string_value(value) : "");

        if (n_rejected == 0)
                return;
        output_say(stdout, 2, "%s%s row%s could not be understood and %s not in the wallet:%s", paint(stdout, PAINT_WARNING),
                   output_number(number, n_rejected), n_rejected == 1 ? "" : "s", n_rejected == 1 ? "is" : "are", unpaint(stdout));
        json_array_foreach (rejected, i, value) {
                if (i == REJECTED_SHOWN) {
                        if (id > 0)
                                printf("    ... and %s more. All of them: carewallet imports show %lld --json\n",
                                       output_number(number, n_rejected - REJECTED_SHOWN), (long long) id);
                        else
                                printf("    ... and %s more. All of them: carewallet imports show, with --json\n",
                                       output_number(number, n_rejected - REJECTED_SHOWN));
                        break;
                }
                if (message_int(value, "line", 0) > 0) /* else the reason says where */
                        output_say(stdout, 4, "line %lld: %s", (long long) message_int(value, "line", 0), message_text(value, "reason", "?"));
                else
                        output_say(stdout, 4, "%s", message_text(value, "reason", "?"));
        }
}

/* Return: 0, EXIT_PARTLY, EXIT_REFUSED: the next file may do better; anything else ends the import. */
static int import_file(Cli *cli, const char *path, json_t *reports) {
        static const struct {
                unsigned option;
                const char *name;
        } passed[] = {{UNIT, "glucoseUnit"}, {MODEL, "model"}, {SERIAL, "serial"}};
        cleanup(close_fdp) int fd = -1;
        cleanup(reply_done) Reply reply = {0};
        json_t *parameters, *report;
        const char *name = strrchr(path, '/'), *wrong;
        char cleaned[256], cleaned_path[4096];
        Progress progress;
        int r;

        name = name ? name + 1 : path;
        (void) text_clean(cleaned, sizeof(cleaned), name, strlen(name));
        (void) text_clean(cleaned_path, sizeof(cleaned_path), path, strlen(path));
        wrong = open_file(path, &fd);
        if (wrong)
                return refuse(cli, reports, cleaned_path, wrong);

        parameters = json_pack("{s:i, s:s}", "fileFd", 0, "name", cleaned);
        for (size_t i = 0; i != N_ELEMENTS(passed); i++)
                if (cli_option(cli, passed[i].option))
                        (void) json_object_set_new(parameters, passed[i].name, json_string(cli_option(cli, passed[i].option)));

        if (cli_option(cli, NO_CHECKSUM))
                (void) json_object_set_new(parameters, "noChecksum", json_true());

        progress_begin(&progress);
        r = cli_ask(cli, "Import", parameters, true, &fd, 1, &reply);
        while (r == 0 && !reply.error && reply.continues) {
                const json_t *step = json_object_get(reply.parameters, "progress");

                progress_bar(&progress, cleaned, message_int(step, "done", 0), message_int(step, "all", 0));
                reply_done(&reply);
                r = client_receive(cli->client, &reply);
                if (r != 0)
                        r = cli_transport_failed(cli, r);
        }
        progress_end(&progress);
        if (r != 0)
                return r;
        if (reply.error) {
                if (strcmp(reply.error, "org.carewallet.Refused") == 0)
                        return refuse(cli, reports, cleaned_path, message_text(reply.parameters, "reason", "No reason was given."));
                return cli_reply_failed(cli, &reply);
        }

        report = json_object_get(reply.parameters, "report");
        if (!json_is_object(report))
                return cli_transport_failed(cli, CLIENT_E_PROTOCOL);
        (void) json_object_set_new(report, "file", json_string(cleaned_path));
        (void) json_array_append(reports, report);
        if (!cli->json) {
                cli_print_report(report, cleaned_path, 0);
                (void) fflush(stdout);
        }
        return message_int(report, "rejectedCount", (int64_t) json_array_size(json_object_get(report, "rejected"))) > 0 ? EXIT_PARTLY : 0;
}

static bool are_digits(const char *text, size_t n) {
        return !text || (strlen(text) == n && strspn(text, "0123456789") == n);
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *reports = json_array();
        const char *unit = cli_option(cli, UNIT), *path;
        size_t n_refused = 0, i;
        bool is_whole = true;
        int result, r = 0;

        if (unit && strcmp(unit, "mg/dL") != 0 && strcmp(unit, "mmol/L") != 0)
                return cli_usage(cli, "--unit is mg/dL or mmol/L.");
        if (!are_digits(cli_option(cli, MODEL), 3))
                return cli_usage(cli, "--model is the three digits of a pump's model, such as 723.");
        if (!are_digits(cli_option(cli, SERIAL), 6))
                return cli_usage(cli, "--serial is the six digits of a pump's serial number; they are on its back.");
        if (cli_option(cli, NO_CHECKSUM) && (!cli_option(cli, MODEL) || !cli_option(cli, SERIAL)))
                return cli_usage(cli, "--no-checksum is of the pages of a pump's memory: say whose they are, with --model and --serial.");

        for (i = 0; (path = cli_operand(cli, i)); i++) {
                r = import_file(cli, path, reports);
                if (r != EXIT_DONE && r != EXIT_PARTLY && r != EXIT_REFUSED)
                        break;
                n_refused += r == EXIT_REFUSED;
                is_whole = is_whole && r == EXIT_DONE;
                r = 0;
        }

        result = is_whole ? EXIT_DONE : n_refused == i ? EXIT_REFUSED : EXIT_PARTLY;
        if (cli->json && cli_print_json(cli, reports) != 0)
                return EXIT_INTERNAL;
        if (r != 0)
                return r;
        if (!cli->json && result == EXIT_DONE && isatty(STDOUT_FILENO))
                puts("\nNext: carewallet show --kind cgm");
        return result;
}

const Verb verb_import = {
        .name = "import",
        .group = "Data",
        .operands = "FILE...",
        .n_min = 1,
        .n_max = SIZE_MAX,
        .summary = "Take records from CareLink exports (CSV), or a pump's memory, into the wallet",
        .help = "The same file twice, or exports that overlap, add nothing twice. Rows that can't be understood are named and the "
                "rest is stored (exit status 5); a file that is no export, or contradicts itself, is refused whole "
                "and the others are imported (exit status 1 when all were refused, else 5). Pages of a pump's memory (binary, or as hex digits; the glucose pages' sensor currents behind "
                "each) need --model and --serial; the trace that carewallet pull --save-trace wrote does not. What carewallet export --everything wrote "
                "goes into a new wallet. With --json an array with one report a file.",
        .options = options,
        .run = run,
};
