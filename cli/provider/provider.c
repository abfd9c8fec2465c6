/* SPDX-License-Identifier: Apache-2.0 */

/* Errors, files and secrets for all verbs. */

#include "provider.h"

#include "cli/parse.h"
#include "cli/passphrase.h"

#include <fcntl.h>
#include <stdarg.h>
#include <sys/stat.h>

const char *provider_option(const Invocation *invocation, size_t option) {
        return invocation->arguments.value[option];
}

int provider_fail(const Invocation *invocation, int code, const char *format, ...) {
        cleanup(freep) char *text = NULL;
        va_list arguments;
        int n;

        va_start(arguments, format);
        n = vasprintf(&text, format, arguments);
        va_end(arguments);
        if (n < 0)
                text = NULL;

        if (invocation->json) {
                json_t *object = json_pack("{s:s?, s:i}", "error", text, "exit_code", code);

                if (object)
                        (void) json_dumpf(object, stderr, JSON_COMPACT);
                fputc('\n', stderr);
                json_decref(object);
        } else {
                fprintf(stderr, "%scarewallet-provider%s: %s\n", paint(stderr, PAINT_BAD), unpaint(stderr), text ? text : "out of memory");
        }
        return code;
}

int provider_passphrase(const Invocation *invocation, const char *fd_text, const char *prompt, Secret **ret, size_t *ret_n) {
        int64_t fd;
        int r;

        if (fd_text) {
                if (parse_number(fd_text, 0, 65535, &fd) != 0)
                        return provider_fail(invocation, EXIT_USAGE, "--passphrase-fd takes the number of a descriptor.");
                r = passphrase_read((int) fd, ret, ret_n);
        } else if (passphrase_can_ask()) {
                r = passphrase_ask(prompt, ret, ret_n);
        } else {
                r = PASSPHRASE_E_TERMINAL;
        }

        switch (r) {
        case 0:
                return 0;
        case PASSPHRASE_E_EMPTY:
                return provider_fail(invocation, EXIT_PASSPHRASE, "The passphrase is empty.");
        case PASSPHRASE_E_LONG:
                return provider_fail(invocation, EXIT_PASSPHRASE, "The passphrase is too long.");
        case PASSPHRASE_E_TERMINAL:
        case PASSPHRASE_E_INTERRUPTED:
                return provider_fail(invocation, EXIT_PASSPHRASE, "The key has a passphrase: give it with --passphrase-fd N.");
        default:
                return provider_fail(invocation, EXIT_PASSPHRASE, "The passphrase can't be read: %s.", strerrordesc_np(-fold(r)));
        }
}

int provider_read_file(const char *path, uint8_t *ret, size_t n_max, size_t *ret_n) {
        cleanup(close_fdp) int fd = -1;
        struct stat st;
        size_t n = 0;

        fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
        if (fd < 0)
                return -errno;
        if (fstat(fd, &st) < 0)
                return -errno;
        if (!S_ISREG(st.st_mode))
                return -EFBIG;
        while (n < n_max) {
                ssize_t l = read(fd, ret + n, n_max - n);

                if (l < 0 && errno == EINTR)
                        continue;
                if (l < 0)
                        return -errno;
                if (l == 0) {
                        *ret_n = n;
                        return 0;
                }
                n += (size_t) l;
        }
        return -EFBIG;
}

int provider_read_grant(const Invocation *invocation, const char *path, GrantClaims *ret, char **ret_jwt) {
        cleanup(freep) char *jwt = NULL;
        size_t n = 0;
        int r;

        jwt = malloc(JWS_MAX + 2);
        if (!jwt)
                return provider_fail(invocation, EXIT_INTERNAL, "There is not enough memory.");
        r = provider_read_file(path, (uint8_t *) jwt, JWS_MAX + 2, &n);
        if (r == -EFBIG)
                return provider_fail(invocation, EXIT_REFUSED, "%s is no grant.", path);
        if (r < 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s can't be read: %s.", path, strerrordesc_np(-r));
        while (n > 0 && strchr(" \t\r\n", jwt[n - 1]))
                n--;
        jwt[n] = '\0';

        r = grant_open(ret, jwt, n, NULL);
        if (r == GRANT_E_SIGNATURE)
                return provider_fail(invocation, EXIT_REFUSED, "%s was altered: its signature is wrong. Ask the patient for a new one.", path);
        if (r > 0)
                return provider_fail(invocation, EXIT_REFUSED, "%s is no grant that this program understands.", path);
        if (r < 0)
                return provider_fail(invocation, EXIT_INTERNAL, "%s can't be checked: %s.", path, strerrordesc_np(-r));
        *ret_jwt = take_ptr(jwt);
        return 0;
}
