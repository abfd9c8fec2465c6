/* SPDX-License-Identifier: Apache-2.0 */

/* Backup: the encrypted pages of both databases as of one moment, and the slot file, through a pipe while all else goes on. */

#include "daemon/common/archive.h"
#include "failure.h"
#include "importer.h"
#include "manager.h"
#include "output.h"

enum {
        PIECE_SIZE = 64 * 1024,
};

typedef struct Backup {
        Manager *manager;
        Call *call;
        Output *output;
        ArchiveHead head;
        ArchiveWriter writer;
        uint8_t slots[SLOTS_FILE_MAX];
        bool head_done;
        unsigned part;
        uint64_t at; /* in the part */
        uint64_t n_written;
} Backup;

static void backup_free(Backup *backup) {
        Wallet *wallet = backup->manager->wallet;

        records_release(wallet->records);
        consent_release(wallet->consent);
        backup->manager->is_backing_up = false;
        importer_pause(backup->manager->importer, false);
        sodium_memzero(backup, sizeof(*backup));
        free(backup);
}

static void on_gone(Call *call, void *userdata) {
        Backup *backup = userdata;

        output_cancel(backup->output);
        backup_free(backup);
        (void) call_free(call);
}

static void on_done(int r, void *userdata) {
        Backup *backup = userdata;
        Call *call = backup->call;
        json_int_t n_bytes = (json_int_t) backup->n_written;

        call->gone = NULL;
        backup_free(backup);
        if (r == -EPIPE)
                (void) call_refuse(call, "The reader went away before the end.");
        else if (r == -EBADMSG)
                (void) call_refuse(call, "A part of the wallet's files is damaged, so this would be no whole backup, and none was made. Keep those that you have, and restore one; "
                                         "carewallet doctor says more.");
        else if (r < 0)
                (void) call_failed(call, r);
        else
                (void) call_reply(call, json_pack("{s:b, s:I}", "complete", 1, "bytes", n_bytes));
}

static int put(Backup *backup, Text *text, const void *bytes, size_t n) {
        backup->n_written += n;
        return text_append(text, bytes, n);
}

static int more_pages(Text *text, bool *ret_end, void *userdata) {
        static uint8_t piece[PIECE_SIZE];
        Backup *backup = userdata;
        Wallet *wallet = backup->manager->wallet;
        uint64_t left = backup->head.n_bytes[backup->part] - backup->at;
        size_t n = left < sizeof(piece) ? (size_t) left : sizeof(piece);
        uint8_t hash[ARCHIVE_HASH_SIZE], end[ARCHIVE_END_SIZE];
        int r = 0;

        /* What an import writes now waits in the log, which should not become longer than can be written back in one go. */
        importer_pause(backup->manager->importer, records_must_wait(wallet->records));

        if (!backup->head_done) {
                uint8_t head[ARCHIVE_HEAD_SIZE];

                archive_write_head(&backup->writer, &backup->head, wallet->keys->keys[KEY_BACKUP], head);
                backup->head_done = true;
                return put(backup, text, head, sizeof(head));
        }
        if (backup->part == ARCHIVE_SLOTS)
                memcpy(piece, backup->slots + backup->at, n);
        else if (backup->part == ARCHIVE_CONSENT)
                r = consent_copy(wallet->consent, backup->at, piece, n);
        else
                r = records_copy(wallet->records, backup->at, piece, n);
        if (r != 0)
                return r;
        archive_write_bytes(&backup->writer, piece, n);
        r = put(backup, text, piece, n);
        if (r < 0)
                return r;
        backup->at += n;
        if (backup->at < backup->head.n_bytes[backup->part])
                return 0;

        archive_write_hash(&backup->writer, hash);
        r = put(backup, text, hash, sizeof(hash));
        backup->at = 0;
        if (r < 0 || ++backup->part < N_ARCHIVE_PARTS)
                return r;
        archive_write_end(&backup->writer, end);
        *ret_end = true;
        return put(backup, text, end, sizeof(end));
}

/* From here on both files stay as they are, of the same moment. */
static int hold(Backup *backup) {
        Wallet *wallet = backup->manager->wallet;
        int r;

        r = consent_hold(wallet->consent, &backup->head.n_bytes[ARCHIVE_CONSENT]);
        if (r != 0)
                return r;
        r = records_hold(wallet->records, &backup->head.n_bytes[ARCHIVE_RECORDS]);
        if (r != 0)
                consent_release(wallet->consent);
        return r;
}

int method_backup(Call *call, void *userdata) {
        Manager *manager = userdata;
        Wallet *wallet = manager->wallet;
        cleanup(close_fdp) int fd = -1;
        Backup *backup;
        size_t n_slots;
        int r;

        if (!call->more)
                return call_error(call, "org.varlink.service.ExpectedMore", NULL);
        if (manager->is_backing_up || manager->forgetting)
                return call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", manager->is_backing_up ? "backup" : "forget"));

        /* A full disk must not keep the patient from a backup, of all things: it is said on the journal, and the backup goes on. */
        r = wallet_begin(wallet);
        if (r == 0) {
                r = wallet_log(wallet, "backup", NULL);
                if (r == 0)
                        r = wallet_commit(wallet);
                else
                        wallet_rollback(wallet);
        }
        if (r != 0)
                fputs("carewalletd: a backup by the patient could not be written to the ledger\n", stderr);

        backup = calloc(1, sizeof(*backup));
        if (!backup)
                return -ENOMEM;
        backup->manager = manager;
        backup->head.time_unix_ms = wallet_now(wallet).utc_ms;
        memcpy(backup->head.wallet_id, manager->slots.wallet_id, sizeof(backup->head.wallet_id));
        r = slots_read_file(manager->config.state_dir_fd, backup->slots, &n_slots);
        backup->head.n_bytes[ARCHIVE_SLOTS] = n_slots;
        if (r == 0)
                r = hold(backup);
        if (r != 0) {
                free(backup);
                return r == -EBUSY ? call_error(call, "org.carewallet.Busy", json_pack("{s:s}", "what", "writing to the disk"))
                                   : call_refuse(call, "The backup could not begin: the state directory cannot be read, or the disk is full.");
        }
        manager->is_backing_up = true;
        r = output_start(&backup->output, manager->event, more_pages, on_done, backup, &fd);
        if (r < 0) {
                backup_free(backup);
                return r;
        }
        backup->call = call;
        call->gone = on_gone;
        call->gone_userdata = backup;
        (void) call_continue(call, json_pack("{s:i, s:I}", "outputFd", 0, "bytes", (json_int_t) archive_size(&backup->head)), fd);
        return 0;
}
