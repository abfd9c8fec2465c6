/* SPDX-License-Identifier: Apache-2.0 */

#include "recovery-code.h"

#include <fcntl.h>
#include <sodium.h>
#include <time.h>

#include "daemon/common/recovery.h"
#include "kit.h"
#include "outfile.h"
#include "output.h"

/* Straight to the descriptor: a copy in stdio's buffer would not be wiped. */
int recovery_code_show(const Secret *code) {
        static const char before[] = "\nRecovery code: ", after[] = "\n\nWrite it down on paper now: it can't be shown again. The one that you had is void.\n";
        int r;

        if (fflush(stdout) != 0)
                return -errno;
        r = output_write(STDOUT_FILENO, before, sizeof(before) - 1);
        if (r == 0)
                r = output_write(STDOUT_FILENO, secret_data(code), strlen((const char *) secret_data(code)));
        return r == 0 ? output_write(STDOUT_FILENO, after, sizeof(after) - 1) : r;
}

int recovery_code_make(Secret **ret) {
        cleanup(secret_freep) Secret *bytes = NULL;
        int r;

        r = secret_new(&bytes, RECOVERY_SIZE);
        if (r == 0)
                r = secret_new(ret, RECOVERY_TEXT_SIZE);
        if (r < 0)
                return r;
        randombytes_buf(secret_data(bytes), RECOVERY_SIZE);
        recovery_encode((char *) secret_data(*ret), secret_data(bytes));
        return 0;
}

/* On the disk before it counts: at each moment there is one that opens the wallet. */
static int write_new(const char *path, const Secret *content, size_t n, const char *end) {
        cleanup(close_fdp) int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
        int r;

        if (fd < 0)
                return -errno;
        r = output_write(fd, secret_data(content), n);
        if (r == 0)
                r = output_write(fd, end, strlen(end));
        if (r == 0)
                r = outfile_sync(path, fd);
        if (r < 0)
                (void) unlink(path);
        return r;
}

static int write_kit(const char *path, const Secret *code, const char *wallet_id) {
        cleanup(secret_freep) Secret *kit = NULL;
        time_t now = time(NULL);
        char day[16] = "";
        struct tm tm;
        size_t n;
        int r;

        if (localtime_r(&now, &tm))
                (void) strftime(day, sizeof(day), "%Y-%m-%d", &tm);
        r = kit_make(&kit, &n, code, wallet_id, day);
        return r == 0 ? write_new(path, kit, n, "") : r;
}

const char *recovery_code_misfit(const char *out, const char *pdf, bool json) {
        if (out && pdf)
                return "--out or --pdf, not both.";
        if (json && !out && !pdf)
                return "The recovery code goes to a person or into a file, not into JSON: say --out FILE or --pdf FILE too.";
        return NULL;
}

int recovery_code_write(const char *out, const char *pdf, const Secret *code, const char *wallet_id) {
        return pdf ? write_kit(pdf, code, wallet_id) : write_new(out, code, strlen((const char *) secret_data(code)), "\n");
}
