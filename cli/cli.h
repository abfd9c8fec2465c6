/* SPDX-License-Identifier: Apache-2.0 */
#pragma once

/* What all verbs of carewallet share: the connection, errors, exit codes. One file a verb; their table is in main.c. */

#include "arguments.h"
#include "client.h"
#include "memory.h"
#include "output.h"
#include "daemon/common/secret.h"

typedef enum ExitCode { /* they are a promise to scripts: carewallet(1), EXIT STATUS */
        EXIT_DONE = 0,
        EXIT_REFUSED = 1,
        EXIT_USAGE = 2,
        EXIT_UNREACHABLE = 3,
        EXIT_LOCKED = 4,
        EXIT_PARTLY = 5,
        EXIT_PASSPHRASE = 6,
        EXIT_INTERNAL = 7,
} ExitCode;

typedef struct Cli Cli;

typedef struct Verb {
        const char *name;     /* "provider add" */
        const char *operands; /* "NAME", "FILE...", ""; FILE, NAME and VERB are completed */
        size_t n_min, n_max;  /* how many operands */
        const char *group;    /* its heading in the overview */
        const char *summary;  /* one line */
        const char *help;     /* the rest of -h */
        const Option *options;
        int (*run)(Cli *cli); /* an ExitCode */
} Verb;

struct Cli {
        const Verb *const *verbs; /* all of them, NULL at the end */
        const Verb *verb;
        Arguments arguments;
        bool json;
        int passphrase_fd; /* -1: not given */
        int code_fd;       /* the same */
        char socket[256];
        const char *wallet; /* its name; NULL: the plain one, or by its socket */
        const char *state_dir; /* NULL: not given */
        bool is_socket_given;  /* not found by the wallet's name */
        Client *client;        /* NULL: not connected */
        Memory *memory;        /* NULL: there is none */
        json_t *status;        /* the last that this run has seen, or NULL */
        bool is_new;           /* this run made the wallet: that it is another than before is as it should be */
};

extern const Option cli_common_options[];

extern const Verb verb_backup, verb_backup_verify, verb_clock_accept, verb_completion, verb_destroy, verb_devices, verb_doctor, verb_export, verb_forget, verb_gate_off, verb_gate_on, verb_grant, verb_grants, verb_help, verb_import,
        verb_imports, verb_imports_show, verb_imports_undo, verb_init, verb_lock, verb_log, verb_preview, verb_provider_add, verb_provider_list, verb_pull, verb_quarantine_drop, verb_quarantine_list, verb_quarantine_release, verb_restore, verb_resume, verb_revoke, verb_show,
        verb_status, verb_timezone, verb_timezone_add, verb_timezone_check, verb_timezone_remove, verb_unlock, verb_upgrade_cipher, verb_wallets;
extern const Verb verb_totp_codes, verb_totp_enrol, verb_totp_remove;
extern const Verb verb_key_add, verb_key_change, verb_key_list, verb_key_recovery, verb_key_remove, verb_key_rotate, verb_handover;

/** cli_main() - all of main() but the table of verbs */
int cli_main(const Verb *const *verbs, int argc, char **argv);

/** cli_find() - the verb that @words begin with; *ret_n: how many words that are. NULL when there is none */
const Verb *cli_find(const Verb *const *verbs, char *const *words, size_t n, size_t *ret_n);
/** cli_print_help() - of a verb, or with NULL of the program */
void cli_print_help(FILE *file, const Verb *const *verbs, const Verb *verb);

/** cli_print_family() - of all verbs that begin with @word and have a second one; false when there are none */
bool cli_print_family(FILE *file, const Verb *const *verbs, const char *word);

/** cli_option() - argument of an option of the verb by its index in the table; "" when it takes none; NULL: not given */
const char *cli_option(const Cli *cli, size_t option);
/** cli_operand() - NULL when there are not so many */
const char *cli_operand(const Cli *cli, size_t i);

/* Errors: said once, in plain words with the next step, on standard error (as JSON with --json). Each returns @code. */
int cli_fail(const Cli *cli, int code, const char *format, ...) printf_like(3, 4);
int cli_usage(const Cli *cli, const char *format, ...) printf_like(2, 3);
/** cli_trouble() - something here failed unexpectedly; EXIT_INTERNAL */
int cli_trouble(const Cli *cli, int r, const char *what);
/** cli_keys_lost() - say so; EXIT_REFUSED */
int cli_keys_lost(const Cli *cli);
/** cli_reply_failed() - say an error reply; the exit code that belongs to it */
int cli_reply_failed(const Cli *cli, const Reply *reply);
/** cli_transport_failed() - say what a client_*() returned */
int cli_transport_failed(const Cli *cli, int r);
/** cli_warn() - on standard error, also with --json */
void cli_warn(const char *format, ...) printf_like(1, 2);

/* The calls below return 0 or, having said what is wrong, an exit code. */

/** cli_connect() - once; fills the memory */
must_check int cli_connect(Cli *cli);
/** cli_reconnect() - to the fresh core that takes the place of one that has ended */
must_check int cli_reconnect(Cli *cli);
/** cli_try_connect() - the same without a word: what client_connect() returned */
must_check int cli_try_connect(Cli *cli);

/**
 * cli_ask() - call a method and wait for the first reply, which may be an error
 * @parameters: the reference is taken
 *
 * Where the daemon wants the passphrase first, it is had from --passphrase-fd or the terminal, and the call repeated.
 */
must_check int cli_ask(Cli *cli, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds, Reply *ret);
/** cli_call() - the same; an error reply is said and becomes its exit code */
must_check int cli_call(Cli *cli, const char *method, json_t *parameters, bool more, const int *fds, size_t n_fds, Reply *ret);
/** cli_next() - the next reply of a call with more; an error reply is said and becomes its exit code */
must_check int cli_next(Cli *cli, Reply *ret);

/** cli_secret_fd() - a passphrase, from --passphrase-fd or asked with @prompt, as sealed memfd */
must_check int cli_secret_fd(Cli *cli, const char *prompt, int *ret_fd);
/** cli_new_secret_fd() - a new passphrase, from @from_fd or asked for twice; refused when it is easily guessed, unless @weak_anyway */
must_check int cli_new_secret_fd(Cli *cli, int from_fd, bool weak_anyway, int *ret_fd);
/** cli_recovery_fd() - a recovery code, from @from_fd or asked for; a mistyped group is found here, before a try is used up */
must_check int cli_recovery_fd(Cli *cli, int from_fd, int *ret_fd);
/** cli_code_fd() - a code, from @from_fd or asked with @prompt. @ret_recovery: NULL, or whether it is a recovery code instead */
must_check int cli_code_fd(Cli *cli, int from_fd, const char *prompt, int *ret_fd, bool *ret_recovery);
/** cli_unlock() - call Unlock with a secret, show how far a rotation of the keys is that has to end first, and wait for the last reply, which may be an error. @parameters: the reference is taken */
must_check int cli_unlock(Cli *cli, json_t *parameters, int secret_fd, Reply *ret);
/** cli_descriptor() - the argument of an option that names a descriptor; -1 where it was not given */
must_check int cli_descriptor(Cli *cli, size_t option, int *ret_fd);

/* The first options of each verb whose call brings the passphrase or the recovery code itself. */
#define CLI_PROOF_OPTIONS                                                                                \
        {"recovery", NULL, "with the recovery code instead of the passphrase", NULL},                   \
        {"recovery-fd", "N", "read the recovery code from this descriptor", NULL}
enum {
        CLI_RECOVERY,
        CLI_RECOVERY_FD,
        N_CLI_PROOF_OPTIONS,
};
/**
 * cli_proof() - the secret for such a call as sealed memfd, and "secretFd" 0 and "recovery" in @parameters
 *
 * A locked wallet is unlocked with it first.
 */
must_check int cli_proof(Cli *cli, json_t *parameters, int *ret_fd);

/** cli_unlocked() - after any Unlock: warns of revocations that waited and ended nothing, and of keys that are others now */
void cli_unlocked(const Reply *reply);

/** cli_look() - ask Status, remember it and warn where the ledger went back; cli->status is set. @accept: as memory_note() */
must_check int cli_look(Cli *cli, bool accept);

/** cli_zone() - from here on output_time() prints times in the wallet's zone, once it is unlocked; nothing with --json */
must_check int cli_zone(Cli *cli);

/** cli_show_seen() - give Unlock the checkpoint that was remembered: the core opens nothing to others if it is behind that */
void cli_show_seen(const Cli *cli, json_t *parameters);

/** cli_confirm() - ask on the terminal; EXIT_REFUSED when the answer is no. Without a terminal EXIT_USAGE: --yes is needed */
must_check int cli_confirm(const Cli *cli, const char *question);

/** cli_stream() - the output of Show, Export, Preview to @to, and whether all of it came. @first: consumed */
must_check int cli_stream(Cli *cli, Reply *first, int to, Progress *progress);

/** cli_print_since() - what happened since the last time, a line each to @file; whether there was anything */
bool cli_print_since(FILE *file, const json_t *status);
/** cli_print_report() - what came of an import. @id: 0 while it is not needed to find it again */
void cli_print_report(const json_t *report, const char *path, int64_t id);
/** cli_print_json() - 0 or EXIT_INTERNAL */
must_check int cli_print_json(const Cli *cli, const json_t *value);
/** cli_print_kinds() - all kinds, for messages */
void cli_print_kinds(FILE *file);
/** cli_kinds() - --kind and --kinds: text as array of names. Returns a new reference, or NULL and *ret_code set */
json_t *cli_kinds(const Cli *cli, const char *text, int *ret_code);
/** cli_period() - checks --from and --to and puts what was given into @parameters */
must_check int cli_period(const Cli *cli, const char *from, const char *to, json_t *parameters);
