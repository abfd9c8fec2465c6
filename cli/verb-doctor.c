/* SPDX-License-Identifier: Apache-2.0 */

#include "cli.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <sys/vfs.h>

enum {
        MIB = 1024 * 1024,
        FREE_WARNING_MIB = 500, /* an import of ten years and its log */
        FREE_BAD_MIB = 20,

        FILE_MAX = 16 * 1024, /* bytes of a file in /proc */
        LOST_SHOWN_MAX = 10,

        REPAIR = 0,
};

static const Option options[] = {
        [REPAIR] = {"repair", NULL, "write damaged copies of the key file again, and say what else can be saved", NULL},
        {NULL, NULL, NULL, NULL},
};

typedef enum Finding {
        FINDING_GOOD,
        FINDING_UNKNOWN,
        FINDING_WARNING,
        FINDING_BAD,
        N_FINDINGS,
} Finding;

static const char *const finding_names[N_FINDINGS] = {"good", "unknown", "warning", "bad"};

typedef struct Findings {
        json_t *list;
        Finding worst;
} Findings;

/* @next: what to do about it, or NULL */
static printf_like(5, 6) void found(Findings *findings, Finding finding, const char *what, const char *next, const char *format, ...) {
        cleanup(freep) char *text = NULL;
        va_list list;

        va_start(list, format);
        if (vasprintf(&text, format, list) < 0)
                text = NULL;
        va_end(list);
        (void) json_array_append_new(findings->list, json_pack("{s:s, s:s, s:s, s:s*}", "what", what, "finding", finding_names[finding], "text", text ? text : "", "next", next));
        if (finding > findings->worst)
                findings->worst = finding;
}

/* --- what this machine says --- */

static bool read_file(const char *path, char ret[static FILE_MAX]) {
        cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        size_t n = 0;
        ssize_t l;

        if (fd < 0)
                return false;
        while (n < FILE_MAX - 1 && (l = read(fd, ret + n, FILE_MAX - 1 - n)) > 0)
                n += (size_t) l;
        ret[n] = '\0';
        return n > 0;
}

/* The number behind "NAME:" in /proc/PID/status, or -1. */
static long status_number(const char *status, const char *name) {
        const char *line = strstr(status, name);

        return line && (line == status || line[-1] == '\n') ? strtol(line + strlen(name), NULL, 10) : -1;
}

static bool has_swap(void) {
        static char swaps[FILE_MAX];

        return read_file("/proc/swaps", swaps) && strchr(swaps, '\n') && strchr(swaps, '\n')[1] != '\0'; /* a headline, and a line each */
}

static void look_at_process(Findings *findings, int64_t pid) {
        static char status[FILE_MAX], cgroup[FILE_MAX];
        char path[512], limit[FILE_MAX];
        const char *unit = NULL, *group;
        bool is_kept;

        (void) snprintf(path, sizeof(path), "/proc/%" PRId64 "/status", pid);
        if (!read_file(path, status))
                found(findings, FINDING_UNKNOWN, "confinement", NULL, "this user may not look at the daemon's process");
        else if (status_number(status, "Seccomp:") == 2 && status_number(status, "NoNewPrivs:") == 1)
                found(findings, FINDING_GOOD, "confinement", NULL, "the kernel ends the process with the keys when it tries what it never needs (seccomp)");
        else
                found(findings, FINDING_BAD, "confinement", "Stop it, and start carewalletd again.", "the process with the keys is not confined: something is wrong with this carewalletd");

        (void) snprintf(path, sizeof(path), "/proc/%" PRId64 "/cgroup", pid);
        if (read_file(path, cgroup)) {
                cgroup[strcspn(cgroup, "\n")] = '\0';
                unit = strstr(cgroup, "/carewalletd");
                unit = unit && strcmp(cgroup + strlen(cgroup) - strlen(".service"), ".service") == 0 ? unit + 1 : NULL;
        }
        if (unit)
                found(findings, FINDING_GOOD, "service", NULL, "it runs as %s%s", unit, strstr(cgroup, "user.slice") ? ", as this user" : ", as a user of its own");
        else
                found(findings, FINDING_WARNING, "service", "systemctl --user enable --now carewalletd.socket (carewallet(1), FILES)",
                      "it was started by hand: nothing starts it again, and none of the units' protections holds");

        group = strncmp(cgroup, "0::", 3) == 0 ? cgroup + 3 : NULL;
        is_kept = unit && group && snprintf(path, sizeof(path), "/sys/fs/cgroup%s/memory.swap.max", group) < (int) sizeof(path) && read_file(path, limit) && strcmp(limit, "0\n") == 0;
        if (is_kept || !has_swap())
                found(findings, FINDING_GOOD, "swap", NULL, is_kept ? "its memory is never written to swap" : "there is none");
        else
                found(findings, FINDING_WARNING, "swap", "Encrypt the swap, or run carewalletd as the service that comes with it.",
                      "records that are looked at could be written to swap (keys are not)");
}

static void look_at_space(Findings *findings, int64_t n_free) {
        Finding finding = n_free < (int64_t) FREE_BAD_MIB * MIB ? FINDING_BAD : n_free < (int64_t) FREE_WARNING_MIB * MIB ? FINDING_WARNING : FINDING_GOOD;
        char number[OUTPUT_NUMBER_SIZE];

        found(findings, finding, "disk", finding != FINDING_GOOD ? "Make room on that disk: what does not fit is refused, and nothing is lost." : NULL,
              "%s are free where the wallet is", output_bytes(number, n_free));
}

/* --- what the daemon says --- */

static void look_at_daemon(Findings *findings, const json_t *status) {
        const char *version = message_text(status, "version", "?");
        int64_t landlock = message_int(status, "landlock", 0);

        if (strcmp(version, CAREWALLET_VERSION) == 0)
                found(findings, FINDING_GOOD, "daemon", NULL, "carewalletd %s answers", version);
        else
                found(findings, FINDING_WARNING, "daemon", "Restart carewalletd: an older one is still running.", "carewalletd %s answers, and this is carewallet %s", version,
                      CAREWALLET_VERSION);
        if (message_bool(status, "memoryLocked"))
                found(findings, FINDING_GOOD, "memory", NULL, "keys are held in memory that is never written to swap");
        else
                found(findings, has_swap() ? FINDING_BAD : FINDING_WARNING, "memory", "Raise the limit of locked memory: LimitMEMLOCK=8M in the unit, or ulimit -l.", "keys can't be locked into memory and could be written to swap");
        if (landlock > 0)
                found(findings, FINDING_GOOD, "landlock", NULL, "the kernel keeps its processes to their own files (Landlock, version %" PRId64 ")", landlock);
        else
                found(findings, FINDING_WARNING, "landlock", "A kernel from 5.13 on has it; it may be off at boot (lsm=).", "this kernel has no Landlock: one of the daemon's fences is missing");
}

static void look_at_gate(Findings *findings, const json_t *status) {
        const json_t *gate = json_object_get(status, "gate");
        const char *reason = message_text(gate, "reason", NULL);

        if (message_bool(gate, "on"))
                found(findings, FINDING_GOOD, "gate", NULL, "open at %s", message_text(gate, "address", "?"));
        else if (message_bool(gate, "opening"))
                found(findings, FINDING_GOOD, "gate", NULL, "being opened");
        else if (reason)
                found(findings, FINDING_BAD, "gate", "carewallet gate on --listen ADDRESS:PORT", "it is to be open, and is not: %s", reason);
        else if (message_int(status, "grants", 0) > 0)
                found(findings, FINDING_WARNING, "gate", "carewallet gate on --listen ADDRESS:PORT", "closed, though there are grants: nobody can fetch what you permitted");
        else
                found(findings, FINDING_GOOD, "gate", NULL, "closed");
}

static void look_at_wallet(Findings *findings, const json_t *status, int64_t n_copies) {
        int64_t n_waiting = message_int(status, "waiting", 0), n_altered = message_int(status, "altered", 0), n_suspended = message_int(status, "suspended", 0);

        if (!message_bool(status, "initialized")) {
                found(findings, FINDING_GOOD, "wallet", "carewallet init", "there is none yet");
                return;
        }
        if (message_bool(status, "keysLost")) {
                char next[1024];

                (void) snprintf(next, sizeof(next), "Change nothing in %.300s. A backup has a copy of the key file: carewallet restore FILE --state-dir NEW, stop carewalletd, copy slots and "
                                "slots.bak from NEW, start it, carewallet unlock --insist. (After a key rotate since that backup they don't fit: then restore it whole, elsewhere.)",
                                message_text(status, "stateDir", "the state directory"));
                found(findings, FINDING_BAD, "keys", next, "both copies of the key file (slots, slots.bak) are damaged or gone: the wallet can't be opened");
                return;
        }
        if (n_copies == 2)
                found(findings, FINDING_GOOD, "keys", NULL, "both copies of the key file are whole and agree");
        else if (n_copies == 1)
                found(findings, FINDING_WARNING, "keys", "carewallet doctor --repair writes the other copy again. If it comes back, look after that disk.",
                      "one copy of the key file is damaged or missing, the other one is whole");
        else
                found(findings, FINDING_BAD, "keys", "carewallet doctor --repair, before carewalletd is stopped or locked: it has the key file in memory, and writes it again",
                      "both copies of the key file are damaged or missing");
        if (n_waiting > 0)
                found(findings, FINDING_WARNING, "revocations", "carewallet unlock", "%" PRId64 " wait for the wallet to be unlocked; nothing is served before", n_waiting);
        if (message_bool(status, "locked")) {
                found(findings, FINDING_UNKNOWN, "clock", "carewallet unlock", "not known while the wallet is locked");
                return;
        }
        if (message_bool(status, "clockBehind"))
                found(findings, FINDING_BAD, "clock", "Set the clock right; if it was wrong before: carewallet clock accept",
                      "this machine's clock is earlier than it has been, so nothing is served");
        else
                found(findings, FINDING_GOOD, "clock", NULL, "not behind what the wallet has seen");
        if (n_altered > 0)
                found(findings, FINDING_BAD, "grants", "carewallet grants", "%" PRId64 " of those stored don't bear the wallet's signature and count for nothing: somebody changed its file",
                      n_altered);
        else if (n_suspended > 0)
                found(findings, FINDING_WARNING, "grants", "carewallet resume, for each that is to count", "%" PRId64 " are suspended", n_suspended);
        look_at_gate(findings, status);
}

/* What a damaged page held, and what can be saved. */
static void name_lost(Findings *findings, const json_t *checked, int64_t n_read) {
        const json_t *list = json_object_get(checked, "lost"), *lost;
        int64_t n = message_int(checked, "stretchesLost", 0);
        char number[OUTPUT_NUMBER_SIZE];
        cleanup(freep) char *text = NULL;
        size_t i, n_text;
        FILE *memory = open_memstream(&text, &n_text);

        if (!memory)
                return;
        fprintf(memory, "a part is damaged and can't be read, %s records can. What is missing:", output_number(number, n_read));
        json_array_foreach (list, i, lost) {
                const char *after = message_text(lost, "after", NULL), *before = message_text(lost, "before", NULL);

                if (i == LOST_SHOWN_MAX)
                        break;
                fprintf(memory, "%s %s %s%s%s%s", i > 0 ? ";" : "", message_text(lost, "kind", "?"), after ? "after " : "from the first", after ? after : "", before ? " and before " : " to the last",
                        before ? before : "");
        }
        if (n > LOST_SHOWN_MAX)
                fprintf(memory, "; and %" PRId64 " more", n - LOST_SHOWN_MAX);
        if (fclose(memory) == 0)
                found(findings, FINDING_BAD, "contents", "carewallet export --format ndjson --salvage --out FILE saves what can be read; then restore a backup: carewallet restore", "%s", text);
}

/* Every record and every entry of the log is read, and so every page that holds one. */
static void look_at_contents(Cli *cli, Findings *findings) {
        static const char *const lacking[] = {"StepUpRequired", "Locked", "Busy"};
        cleanup(reply_done) Reply reply = {0};
        const char *error;
        Progress progress;
        json_t *value;
        int64_t n = 0;
        const char *kind;
        char number[OUTPUT_NUMBER_SIZE], entries[OUTPUT_NUMBER_SIZE];
        int r;

        if (message_bool(cli->status, "locked")) { /* it stays so */
                found(findings, FINDING_UNKNOWN, "contents", "carewallet unlock, then again", "not looked at");
                return;
        }
        progress_begin(&progress);
        progress_note(&progress, "Reading all records and the log ...");
        r = cli_ask(cli, "Check", json_object(), false, NULL, 0, &reply);
        progress_end(&progress);
        if (r != 0) {
                found(findings, FINDING_UNKNOWN, "contents", "carewallet unlock, then again", "not looked at");
                return;
        }
        error = reply.error && strncmp(reply.error, "org.carewallet.", 15) == 0 ? reply.error + 15 : reply.error;
        for (size_t i = 0; error && i < N_ELEMENTS(lacking); i++)
                if (strcmp(error, lacking[i]) == 0) {
                        found(findings, FINDING_UNKNOWN, "contents", strcmp(error, "Busy") == 0 ? "Try again in a moment." : "carewallet unlock, then again", "not looked at");
                        return;
                }
        if (error) {
                found(findings, FINDING_BAD, "contents", "carewallet restore", "%s", message_text(reply.parameters, "reason", error));
                return;
        }
        json_object_foreach (json_object_get(reply.parameters, "records"), kind, value)
                n += json_integer_value(value);
        if (message_int(reply.parameters, "stretchesLost", 0) > 0)
                name_lost(findings, reply.parameters, n);
        else if (message_bool(reply.parameters, "whole"))
                found(findings, FINDING_GOOD, "contents", NULL, "all %s records and all %s entries of the log are whole", output_number(number, n),
                      output_number(entries, message_int(reply.parameters, "entries", 0)));
        else
                found(findings, FINDING_BAD, "contents", "carewallet restore", "records are missing or can't be read: %s are there", output_number(number, n));
}

/* Without a daemon: what can be said by looking at its place. */
static void look_without_daemon(Cli *cli, Findings *findings, int r) {
        const char *dir = cli->state_dir ? cli->state_dir : cli->memory ? memory_state_dir(cli->memory) : NULL;
        char next[128];
        struct statfs fs;

        (void) snprintf(next, sizeof(next), "systemctl --user start carewalletd%s%s.socket", cli->wallet ? "@" : "", cli->wallet ? cli->wallet : "");
        if (r == -EACCES || r == -EPERM)
                found(findings, FINDING_BAD, "daemon", NULL, "it runs at %s and belongs to another user: you may not talk to it", cli->socket);
        else
                found(findings, FINDING_BAD, "daemon", next, "nobody listens at %s", cli->socket);
        if (dir && statfs(dir, &fs) == 0)
                look_at_space(findings, (int64_t) fs.f_bavail * fs.f_bsize);
}

static void print(const Findings *findings) {
        static const Paint paints[N_FINDINGS] = {PAINT_GOOD, PAINT_FAINT, PAINT_WARNING, PAINT_BAD};
        const json_t *each;
        size_t i;

        json_array_foreach (findings->list, i, each) {
                const char *name = message_text(each, "finding", ""), *next = message_text(each, "next", NULL);
                cleanup(freep) char *text = NULL;
                Finding finding = FINDING_GOOD;
                enum { COLUMN = 8 + 1 + 13 + 1 };

                while (finding < FINDING_BAD && strcmp(finding_names[finding], name) != 0)
                        finding++;
                printf("%s%-8s%s %-13s ", paint(stdout, paints[finding]), name, unpaint(stdout), message_text(each, "what", ""));
                if (asprintf(&text, "%s%s%s", message_text(each, "text", ""), next ? "\nNext: " : "", next ? next : "") > 0)
                        output_wrap(stdout, COLUMN, COLUMN, text);
        }
}

/* The one thing that can be mended in place: carewalletd has read the key file, and each half of it is all of it. */
static int repair(Cli *cli, Reply *diagnosis) {
        cleanup(reply_done) Reply repaired = {0};

        if (message_int(diagnosis->parameters, "slotCopies", 0) == 2 || !message_bool(cli->status, "initialized") || message_bool(cli->status, "keysLost"))
                return 0;
        if (cli_call(cli, "Repair", json_object(), false, NULL, 0, &repaired) != 0)
                return EXIT_REFUSED;
        reply_done(diagnosis);
        *diagnosis = (Reply) {0};
        return cli_call(cli, "Diagnose", json_object(), false, NULL, 0, diagnosis);
}

static int run(Cli *cli) {
        cleanup(json_decrefp) json_t *list = json_array(), *answer = NULL;
        cleanup(reply_done) Reply reply = {0};
        Findings findings = {.list = list};
        int code = EXIT_DONE, r;

        r = cli_try_connect(cli);
        if (r != 0) {
                look_without_daemon(cli, &findings, r);
                code = EXIT_UNREACHABLE;
        } else {
                r = cli_look(cli, false);
                if (r == 0)
                        r = cli_call(cli, "Diagnose", json_object(), false, NULL, 0, &reply);
                if (r == 0 && cli_option(cli, REPAIR))
                        r = repair(cli, &reply);
                if (r != 0)
                        return r;
                look_at_daemon(&findings, cli->status);
                look_at_process(&findings, message_int(reply.parameters, "pid", 0));
                look_at_space(&findings, message_int(reply.parameters, "free", 0));
                look_at_wallet(&findings, cli->status, message_int(reply.parameters, "slotCopies", 0));
                if (message_bool(cli->status, "initialized") && !message_bool(cli->status, "keysLost"))
                        look_at_contents(cli, &findings);
                if (findings.worst == FINDING_BAD)
                        code = EXIT_REFUSED;
        }

        if (!cli->json) {
                print(&findings);
                return code;
        }
        answer = json_pack("{s:s, s:O}", "worst", finding_names[findings.worst], "checks", list);
        r = cli_print_json(cli, answer);
        return r != 0 ? r : code;
}

const Verb verb_doctor = {
        .name = "doctor",
        .group = "Wallet",
        .operands = "",
        .summary = "Say what is right and what is wrong, and what to do about it",
        .help = "Reads all records and the whole log to see that they are whole, which needs the passphrase; all else is said without it. "
                "Exit status 1 when something is bad.\nWith --repair a damaged copy of the key file is written again, and even both while carewalletd has it in memory. Records that "
                "can't be read are named; the others can be saved: carewallet export --salvage. A database is never changed by this.",
        .options = options,
        .run = run,
};
