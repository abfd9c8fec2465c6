/* SPDX-License-Identifier: Apache-2.0 */

/* carewallet: the patient's command line. Each verb is one file; this is the order in which -h names them. */

#include "cli.h"

static const Verb *const verbs[] = {
        &verb_init,
        &verb_unlock,
        &verb_lock,
        &verb_key_list,
        &verb_key_add,
        &verb_key_change,
        &verb_key_remove,
        &verb_key_recovery,
        &verb_key_rotate,
        &verb_handover,
        &verb_totp_enrol,
        &verb_totp_codes,
        &verb_totp_remove,
        &verb_status,
        &verb_wallets,
        &verb_doctor,
        &verb_upgrade_cipher,
        &verb_timezone,
        &verb_timezone_add,
        &verb_timezone_remove,
        &verb_timezone_check,
        &verb_clock_accept,
        &verb_backup,
        &verb_backup_verify,
        &verb_restore,
        &verb_destroy,
        &verb_import,
        &verb_devices,
        &verb_pull,
        &verb_imports,
        &verb_imports_show,
        &verb_imports_undo,
        &verb_forget,
        &verb_quarantine_list,
        &verb_quarantine_release,
        &verb_quarantine_drop,
        &verb_show,
        &verb_export,
        &verb_provider_add,
        &verb_provider_list,
        &verb_grant,
        &verb_grants,
        &verb_preview,
        &verb_revoke,
        &verb_resume,
        &verb_log,
        &verb_gate_on,
        &verb_gate_off,
        &verb_completion,
        &verb_help,
        NULL,
};

int main(int argc, char **argv) {
        return cli_main(verbs, argc, argv);
}
