/* SPDX-License-Identifier: Apache-2.0 */

#include "store.h"

#include "daemon/core/db.h"
#include "daemon/core/keep.h"

static const DbOptions options = {
        .schema = "CREATE TABLE t(a INTEGER PRIMARY KEY, b BLOB UNIQUE)",
        .cache_kib = 256,
        .wal_limit_kib = 1024,
        .durable = true,
};

static Db *open_db(const char *folder, uint8_t key_byte) {
        cleanup(secret_freep) Secret *key = key_of(key_byte);
        Db *db = NULL;

        ok(db_open(&db, folder, "t.db", key, &options));
        return db;
}

static int insert(Db *db, int64_t a, const char *b) {
        cleanup(db_finalizep) DbStatement *statement = NULL;

        ok(db_prepare(db, &statement, "INSERT INTO t(a, b) VALUES(?1, ?2)"));
        db_bind_int(statement, 1, a);
        db_bind_blob(statement, 2, b, strlen(b));
        return db_run(statement);
}

static int64_t count(Db *db) {
        cleanup(db_finalizep) DbStatement *statement = NULL;
        bool row = false;

        ok(db_prepare(db, &statement, "SELECT count(*) FROM t"));
        ok(db_step(statement, &row));
        assert_true(row);
        return db_column_int(statement, 0);
}

static void nothing_readable_is_in_any_file(void **state) {
        cleanup(db_closep) Db *db = open_db(*state, 1);
        unsigned n_files;

        ok(insert(db, 1, "the patient's own words"));
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_int_equal(n_files, 2); /* t.db and t.db-wal, and no shared memory */
        assert_false(any_file_has(*state, "own words", &n_files));
        assert_false(any_file_has(*state, "CREATE TABLE", &n_files));

        db = db_close(db);
        assert_false(any_file_has(*state, "SQLite format 3", &n_files));
        assert_int_equal(n_files, 1);
        assert_false(any_file_has(*state, "own words", &n_files));
}

static void the_file_is_the_users_alone(void **state) {
        mode_t mask = umask(0);
        cleanup(db_closep) Db *db = open_db(*state, 1);
        char path[PATH_MAX];
        struct stat st;

        (void) umask(mask);
        ok(insert(db, 1, "x"));
        (void) snprintf(path, sizeof(path), "%s/t.db", (char *) *state);
        ok(stat(path, &st));
        assert_int_equal(st.st_mode & 0777, 0600);
        (void) snprintf(path, sizeof(path), "%s/t.db-wal", (char *) *state);
        ok(stat(path, &st));
        assert_int_equal(st.st_mode & 0777, 0600);
}

static void another_key_opens_nothing_and_harms_nothing(void **state) {
        cleanup(secret_freep) Secret *wrong = key_of(2);
        Db *db = open_db(*state, 1), *none = NULL;

        ok(insert(db, 1, "x"));
        db = db_close(db);
        assert_int_equal(db_open(&none, *state, "t.db", wrong, &options), DB_E_KEY);
        assert_null(none);
        db = open_db(*state, 1);
        assert_int_equal(count(db), 1);
        db_close(db);
}

static void every_page_that_is_altered_is_noticed(void **state) {
        cleanup(secret_freep) Secret *key = key_of(1);
        char path[PATH_MAX], big[3000];
        Db *db = open_db(*state, 1);
        rlim_t size;

        memset(big, 'x', sizeof(big) - 1);
        big[sizeof(big) - 1] = '\0';
        for (int i = 0; i < 20; i++) {
                big[0] = (char) ('a' + i);
                ok(insert(db, i, big));
        }
        db_close(db);

        size = size_of_file(*state, "t.db");
        (void) snprintf(path, sizeof(path), "%s/t.db", (char *) *state);
        for (rlim_t at = 100; at < size; at += 4096) {
                cleanup(close_fdp) int fd = open(path, O_RDWR | O_CLOEXEC);
                uint8_t byte, altered;
                int r;

                assert_int_equal(pread(fd, &byte, 1, (off_t) at), 1);
                altered = byte ^ 1;
                assert_int_equal(pwrite(fd, &altered, 1, (off_t) at), 1);

                db = NULL;
                r = db_open(&db, *state, "t.db", key, &options);
                if (r == 0) {
                        cleanup(db_finalizep) DbStatement *statement = NULL;
                        bool row = false;

                        r = db_prepare(db, &statement, "PRAGMA integrity_check"); /* reads every page */
                        if (r == 0)
                                r = db_step(statement, &row);
                        if (r == 0 && row && strcmp(db_column_text(statement, 0), "ok") != 0)
                                r = DB_E_KEY;
                }
                if (r != DB_E_KEY)
                        fail_msg("page %u of %u: %d", (unsigned) (at / 4096 + 1), (unsigned) (size / 4096), r);
                db_close(db);
                assert_int_equal(pwrite(fd, &byte, 1, (off_t) at), 1);
        }
        db = open_db(*state, 1);
        assert_int_equal(count(db), 20);
        db_close(db);
}

static void a_schema_of_a_later_program_is_refused(void **state) {
        cleanup(secret_freep) Secret *key = key_of(1);
        Db *db = open_db(*state, 1);

        ok(db_execute(db, "PRAGMA user_version=2"));
        db = db_close(db);
        assert_int_equal(db_open(&db, *state, "t.db", key, &options), DB_E_VERSION);
}

static void an_older_schema_is_copied_in_steps_before_it_is_changed(void **state) {
        static const char *const migrations[] = { "CREATE TABLE more(a)", NULL };
        DbOptions newer = options;
        cleanup(secret_freep) Secret *key = key_of(1);
        cleanup(keep_freep) Keep *keep = NULL;
        Db *db = open_db(*state, 1);
        bool is_done = false;
        unsigned n_steps = 0;
        char text[1000];

        newer.migrations = migrations;
        ok(db_begin(db));
        for (int i = 0; i < 1500; i++) {
                (void) snprintf(text, sizeof(text), "%0900d", i);
                ok(insert(db, i, text));
        }
        ok(db_commit(db));
        db = db_close(db);
        assert_int_equal(db_open(&db, *state, "t.db", key, &newer), DB_E_OLDER);

        ok(keep_begin(&keep, *state, "t.db", key));
        keep = keep_free(keep);
        assert_int_equal(size_of_file(*state, "t.db.before.tmp"), 0);
        ok(keep_begin(&keep, *state, "t.db", key));
        while (!is_done) {
                ok(keep_step(keep, &is_done));
                n_steps++;
                assert_true(is_done == (size_of_file(*state, "t.db.before") > 0));
        }
        assert_int_equal(n_steps, (size_of_file(*state, "t.db") + 512 * 1024 - 1) / (512 * 1024));
        assert_true(n_steps > 2);
        keep = keep_free(keep);
        assert_int_equal(size_of_file(*state, "t.db.before"), size_of_file(*state, "t.db"));

        newer.kept = true;
        ok(db_open(&db, *state, "t.db", key, &newer));
        ok(db_execute(db, "INSERT INTO more VALUES(1)"));
        assert_int_equal(count(db), 1500);
        db = db_close(db);
        ok(db_open(&db, *state, "t.db.before", key, &options));
        assert_int_equal(count(db), 1500);
        db = db_close(db);
}

static void one_process_has_it_at_a_time(void **state) {
        cleanup(db_closep) Db *db = open_db(*state, 1);
        int status;
        pid_t pid;

        ok(insert(db, 1, "x"));
        pid = fork();
        if (pid == 0) {
                cleanup(secret_freep) Secret *key = key_of(1);
                Db *second = NULL;

                _exit(db_open(&second, *state, "t.db", key, &options) == -EBUSY ? 0 : 1);
        }
        assert_int_equal(waitpid(pid, &status, 0), pid);
        ok(status);
}

static void what_was_rolled_back_is_not_there(void **state) {
        cleanup(db_closep) Db *db = open_db(*state, 1);

        ok(db_begin(db));
        ok(insert(db, 1, "x"));
        assert_true(db_in_transaction(db));
        db_rollback(db);
        db_rollback(db);
        assert_int_equal(count(db), 0);
        ok(db_begin(db));
        ok(insert(db, 1, "x"));
        ok(db_commit(db));
        assert_int_equal(count(db), 1);
        assert_int_equal(insert(db, 1, "y"), DB_E_EXISTS);
        assert_int_equal(insert(db, 2, "x"), DB_E_EXISTS);
        assert_int_equal(count(db), 1);
}

static void a_log_is_written_back_when_it_is_long(void **state) {
        cleanup(db_closep) Db *db = open_db(*state, 1);
        char text[1000];

        for (int i = 0; i < 1000; i++) {
                (void) snprintf(text, sizeof(text), "%0900d", i);
                ok(insert(db, i, text));
                db_checkpoint(db, 100);
                assert_true(size_of_file(*state, "t.db-wal") < 120 * 4200);
        }
        assert_true(size_of_file(*state, "t.db") > 900000);
        db_release_memory(db);
        assert_int_equal(count(db), 1000);
}

int main(void) {
        const struct CMUnitTest tests[] = {
                in_folder(nothing_readable_is_in_any_file),
                in_folder(the_file_is_the_users_alone),
                in_folder(another_key_opens_nothing_and_harms_nothing),
                in_folder(every_page_that_is_altered_is_noticed),
                in_folder(a_schema_of_a_later_program_is_refused),
                in_folder(an_older_schema_is_copied_in_steps_before_it_is_changed),
                in_folder(one_process_has_it_at_a_time),
                in_folder(what_was_rolled_back_is_not_there),
                in_folder(a_log_is_written_back_when_it_is_long),
        };

        return cmocka_run_group_tests(tests, NULL, NULL);
}
