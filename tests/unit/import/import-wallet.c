/* SPDX-License-Identifier: Apache-2.0 */

/*
 * import-wallet FOLDER: the import library and the store in one process, driven line by line. For tests only.
 *
 *   new ZONES       an empty wallet
 *   zones ZONES     other zones for the same records
 *   import PATH     "done ID NEW DUPLICATES CORRECTED REJECTED" or "refused TEXT"
 *   undo ID         "done"
 *   sum             "NUMBER HASH": how many records are visible, and a hash of their set that no order and no identity changes
 *   exact           the same, of all that is kept of them: the digits that were printed and the device's names too
 *   show            each of them in a line, then "done"
 */

#include <fcntl.h>
#include <sodium.h>

#include "daemon/core/records.h"
#include "daemon/workers/import/import.h"

enum {
        BATCH_MAX = 500,
        ARENA_SIZE = BATCH_MAX * RECORD_PAYLOAD_MAX,
};

static Records *records;
static Zones *zones;
static Record batch[BATCH_MAX];
static size_t n_batch, n_arena;
static uint8_t arena[ARENA_SIZE];
static RecordsSource sources[128];
static RecordsCounts counts;

static int check(int r, const char *what) {
        if (r != 0) {
                (void) fprintf(stderr, "%s: %d\n", what, r);
                exit(1);
        }
        return 0;
}

static int flush_batch(void) {
        int r = records_import_batch(records, batch, n_batch, &counts);

        n_batch = 0;
        n_arena = 0;
        return r;
}

static int on_source(void *userdata, const FrameImportSource *from) {
        RecordsSource *source = &sources[from->source];

        (void) userdata;
        memcpy(source->device_key, from->device_key, sizeof(source->device_key));
        memcpy(source->model, from->model, sizeof(source->model));
        memcpy(source->serial, from->serial, sizeof(source->serial));
        memcpy(source->section, from->section, sizeof(source->section));
        return records_source_find_or_add(records, source);
}

static int on_record(void *userdata, uint32_t line, const Record *record, bool is_extra) {
        Record *copy = &batch[n_batch++];

        (void) userdata;
        (void) line;
        (void) is_extra;
        *copy = *record;
        copy->source = sources[record->source].id;
        if (record->n_payload)
                memcpy(arena + n_arena, record->payload, record->n_payload);
        copy->payload = arena + n_arena;
        n_arena += record->n_payload;
        return n_batch == BATCH_MAX ? flush_batch() : 0;
}

static int on_rejected(void *userdata, uint32_t line, const char *reason, const char *row, size_t n_row) {
        (void) line;
        (void) reason;
        (void) row;
        (void) n_row;
        ++*(unsigned *) userdata;
        return 0;
}

static int on_note(void *userdata, const char *text) {
        (void) userdata;
        (void) text;
        return 0;
}

static int on_progress(void *userdata, uint64_t n_done, uint64_t n_all) {
        (void) userdata;
        return n_done <= n_all ? 0 : -EINVAL;
}

static void import_file(const char *path) {
        FrameImportRequest request = { .version = FRAME_VERSION, .now_utc_ms = INT64_C(1795305600000) };
        uint64_t sums[3] = { 0 };
        unsigned n_rejected = 0;
        const ImportSink sink = { .userdata = &n_rejected, .source = on_source, .record = on_record, .rejected = on_rejected, .note = on_note, .progress = on_progress };
        cleanup(close_fdp) int fd = open(path, O_RDONLY | O_CLOEXEC);
        char refusal[IMPORT_REFUSAL_MAX];
        FrameImportEnd end;
        uint32_t id;
        int r;

        memset(&counts, 0, sizeof(counts));
        check(records_import_begin(records, "file", 0, &id), "begin");
        r = import_run(fd, &request, zones, &sink, &end, refusal);
        if (r == IMPORT_E_REFUSED) {
                n_batch = n_arena = 0;
                records_import_cancel(records);
                (void) printf("refused %s\n", refusal);
                return;
        }
        check(r, "import");
        check(flush_batch(), "batch");
        check(records_import_finish(records, "{}"), "finish");
        for (unsigned i = 0; i != N_RECORD_KINDS; i++) {
                sums[0] += counts.n_inserted[i];
                sums[1] += counts.n_duplicates[i];
                sums[2] += counts.n_superseded[i];
        }
        (void) printf("done %u %llu %llu %llu %u\n", id, (unsigned long long) sums[0], (unsigned long long) sums[1], (unsigned long long) sums[2], n_rejected);
}

typedef struct Sum {
        bool is_shown, is_exact;
        uint64_t n, hash[2];
} Sum;

static int add(const Record *record, void *userdata) {
        const RecordsSource *source = records_source(records, record->source);
        uint8_t hash[crypto_hash_sha256_BYTES];
        static uint8_t bytes[512 + RECORD_PAYLOAD_MAX];
        Sum *sum = userdata;
        size_t n;

        n = (size_t) snprintf((char *) bytes, 512, "%s %s %lld %lld %u %d ", record_kind_name(record->kind), source ? source->serial : "?", (long long) record->local_ms,
                              (long long) record->utc_ms, record->clock, record->value_milli);
        n += (size_t) snprintf((char *) bytes + n, 512 - n, "%s %x ", record_unit_name(record->unit), record->flags);
        if (sum->is_exact)
                n += (size_t) snprintf((char *) bytes + n, 512 - n, "%u %d %s %s ", record->decimals, record->offset_min, source ? source->model : "?",
                                       source ? source->section : "?");
        if (sum->is_shown) {
                (void) fputs((const char *) bytes, stdout);
                for (size_t i = 0; i != record->n_payload; i++)
                        (void) printf(record->payload[i] >= 0x20 && record->payload[i] < 0x7f ? "%c" : "\\%02x", record->payload[i]);
                (void) putchar('\n');
        }
        if (record->n_payload)
                memcpy(bytes + n, record->payload, record->n_payload);
        (void) crypto_hash_sha256(hash, bytes, n + record->n_payload);
        sum->n++;
        sum->hash[0] += get_le64(hash);
        sum->hash[1] += get_le64(hash + 8);
        return 0;
}

static Sum sum_up(bool is_shown, bool is_exact) {
        static const RecordsQuery all = { RECORD_ALL_KINDS, INT64_MIN, INT64_MAX };
        Sum sum = { .is_shown = is_shown, .is_exact = is_exact };
        RecordsCursor cursor = { 0 };
        uint64_t counted[N_RECORD_KINDS], n = 0;

        while (!cursor.ended)
                check(records_read(records, &all, &cursor, 1000, add, &sum), "read");
        records_count(records, counted);
        for (unsigned i = 1; i != N_RECORD_KINDS; i++)
                n += counted[i];
        check(n != sum.n, "the count");
        return sum;
}

static void set_zones(const char *spec) {
        Zones *next = NULL;

        check(zones_load(&next, spec), "zones");
        if (records)
                records_set_zones(records, next);
        (void) zones_free(zones);
        zones = next;
}

static void begin(const char *folder, const char *spec) {
        cleanup(secret_freep) Secret *key = NULL;
        char path[512];

        records = records_close(records);
        for (unsigned i = 0; i != 2; i++) {
                (void) snprintf(path, sizeof(path), "%s/records.db%s", folder, i ? "-wal" : "");
                (void) unlink(path);
        }
        check(secret_new(&key, 32), "key");
        check(records_open(&records, folder, key), "open");
        set_zones(spec);
}

int main(int argc, char **argv) {
        char line[2048];

        if (argc != 2 || sodium_init() < 0)
                return 2;
        while (fgets(line, sizeof(line), stdin)) {
                char *argument = strchr(line, ' ');
                Sum sum;
                int r;

                line[strcspn(line, "\n")] = 0;
                if (argument)
                        *argument++ = 0;
                if (strcmp(line, "import") == 0 && argument) {
                        import_file(argument);
                } else if (strcmp(line, "sum") == 0 || strcmp(line, "exact") == 0 || strcmp(line, "show") == 0) {
                        sum = sum_up(line[1] == 'h', line[1] != 'u');
                        (void) printf("%llu %016llx%016llx\n", (unsigned long long) sum.n, (unsigned long long) sum.hash[0], (unsigned long long) sum.hash[1]);
                } else {
                        if (strcmp(line, "new") == 0 && argument)
                                begin(argv[1], argument);
                        else if (strcmp(line, "zones") == 0 && argument)
                                set_zones(argument);
                        else if (strcmp(line, "undo") == 0 && argument) {
                                check(records_undo_begin(records, (uint32_t) strtoul(argument, NULL, 10)), "undo");
                                while ((r = records_undo_step(records)) == 1)
                                        ;
                                check(r, "undo");
                        } else
                                return 2;
                        (void) puts("done");
                }
                (void) fflush(stdout);
        }
        records = records_close(records);
        zones = zones_free(zones);
        return 0;
}
